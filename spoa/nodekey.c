#include <config.h>

#include "spoa/nodekey.h"

#include "filters/bytes.h"
#include "spoa/base64url.h"
#include "spoa/starved.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAW 32u

struct nodekey {
    EVP_PKEY *pkey;
    char public_text[NODEKEY_PUBLIC_SIZE];
    uint8_t mac_key[RAW];
};

static bool say(char *err, size_t size, const char *path, const char *what) {
    snprintf(err, size, "the node's key %s: %s", path, what);
    return false;
}

/* Writes a file of this mode, whole and on disk, under a name that nobody looks at. */
static bool write_file(const char *path, mode_t mode, EVP_PKEY *pkey, bool private_key, char *err, size_t size) {
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (f == NULL) {
        if (fd >= 0) close(fd);
        return say(err, size, path, strerror(errno));
    }
    bool ok = private_key ? PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL) == 1 : PEM_write_PUBKEY(f, pkey) == 1;
    ok = fflush(f) == 0 && fsync(fileno(f)) == 0 && ok;
    ok = fclose(f) == 0 && ok;
    return ok || say(err, size, path, "cannot be written");
}

/* Two daemons may start at once: the one that links first has made the key, and the other reads it. */
static bool make(const char *path, char *err, size_t size) {
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *fresh = NULL;
    if (pkey == NULL || asprintf(&fresh, "%s.%d", path, (int)getpid()) < 0) {
        EVP_PKEY_free(pkey);
        return say(err, size, path, "cannot be made");
    }
    bool ok = write_file(fresh, 0600, pkey, true, err, size);
    if (ok && link(fresh, path) != 0 && errno != EEXIST) ok = say(err, size, path, strerror(errno));
    unlink(fresh);
    free(fresh);
    EVP_PKEY_free(pkey);
    return ok;
}

static FILE *open_private(const char *path, char *err, size_t size) {
    struct stat st;
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        say(err, size, path, strerror(errno));
        return NULL;
    }
    if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) == 0) return f;
    fclose(f);
    say(err, size, path, "others than its owner may read it: chmod 600, and ask yourself who has");
    return NULL;
}

static bool derive(struct nodekey *k) {
    static const char label[] = "gatehouse: what a statement's fingerprint is keyed with";
    uint8_t raw[RAW], pub[RAW];
    size_t n = sizeof raw, m = sizeof pub;
    unsigned len = sizeof k->mac_key;
    bool ok = EVP_PKEY_get_raw_private_key(k->pkey, raw, &n) == 1 && n == RAW && EVP_PKEY_get_raw_public_key(k->pkey, pub, &m) == 1 &&
              m == RAW && HMAC(EVP_sha256(), raw, RAW, (const uint8_t *)label, sizeof label - 1, k->mac_key, &len) != NULL && len == RAW;
    if (ok) base64url_encode(pub, RAW, k->public_text);
    gh_wipe(raw, sizeof raw);
    return ok;
}

static bool is_published(const struct nodekey *k, const char *path) {
    FILE *f = fopen(path, "re");
    EVP_PKEY *there = f == NULL ? NULL : PEM_read_PUBKEY(f, NULL, NULL, NULL);
    bool same = there != NULL && EVP_PKEY_eq(there, k->pkey) == 1;
    EVP_PKEY_free(there);
    if (f != NULL) fclose(f);
    return same;
}

static bool publish(const struct nodekey *k, const char *dir, char *err, size_t size) {
    char *path = NULL, *fresh = NULL;
    bool ok = asprintf(&path, "%s/node.pub", dir) >= 0 && asprintf(&fresh, "%s.%d", path, (int)getpid()) >= 0;
    if (!ok) say(err, size, dir, "out of memory");
    if (ok && is_published(k, path)) {
        free(path);
        free(fresh);
        return true;
    }
    ok = ok && write_file(fresh, 0644, k->pkey, false, err, size);
    if (ok && rename(fresh, path) != 0) ok = say(err, size, path, strerror(errno));
    if (!ok && fresh != NULL) unlink(fresh);
    free(path);
    free(fresh);
    return ok;
}

struct nodekey *nodekey_open(const char *dir, char *err, size_t size) {
    struct nodekey *k = calloc(1, sizeof *k);
    char *path = NULL;
    FILE *f = NULL;
    if (k == NULL || asprintf(&path, "%s/node.key", dir) < 0) {
        free(k);
        say(err, size, dir, "out of memory");
        return NULL;
    }
    bool ok = access(path, F_OK) == 0 || make(path, err, size), begun = starved_begin();
    if (ok) f = open_private(path, err, size);
    if (f != NULL) {
        k->pkey = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        fclose(f);
    }
    bool good = k->pkey != NULL && EVP_PKEY_is_a(k->pkey, "ED25519") && derive(k), starving = starved_end(begun);
    if (f != NULL && !good) {
        say(err, size, path,
            starving ? "could not be read: out of memory" : "is no Ed25519 key in PEM: move it away, and a new one is made");
        f = NULL;
    }
    ok = f != NULL && publish(k, dir, err, size);
    free(path);
    if (ok) return k;
    nodekey_free(k);
    return NULL;
}

void nodekey_free(struct nodekey *k) {
    if (k == NULL) return;
    EVP_PKEY_free(k->pkey);
    gh_wipe(k, sizeof *k);
    free(k);
}

const char *nodekey_public(const struct nodekey *k) { return k->public_text; }

bool nodekey_sign(const struct nodekey *k, const void *data, size_t len, char out[NODEKEY_SIGNATURE_SIZE]) {
    uint8_t raw[64];
    size_t n = sizeof raw;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) == 1 && EVP_DigestSign(ctx, raw, &n, data, len) == 1 &&
              n == sizeof raw;
    EVP_MD_CTX_free(ctx);
    if (ok) base64url_encode(raw, sizeof raw, out);
    return ok;
}

static bool verify(EVP_PKEY *pkey, const void *data, size_t len, const char *signature) {
    uint8_t raw[BASE64URL_DECODED(NODEKEY_SIGNATURE_SIZE)];
    size_t n = 0;
    if (strlen(signature) != NODEKEY_SIGNATURE_SIZE - 1 || !base64url_decode(signature, NODEKEY_SIGNATURE_SIZE - 1, raw, &n) || n != 64)
        return false;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 && EVP_DigestVerify(ctx, raw, n, data, len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

bool nodekey_verify(const struct nodekey *k, const void *data, size_t len, const char *signature) {
    return verify(k->pkey, data, len, signature);
}

bool nodekey_verify_by(const char *public_text, const void *data, size_t len, const char *signature) {
    uint8_t raw[BASE64URL_DECODED(NODEKEY_PUBLIC_SIZE)];
    size_t n = 0;
    if (strlen(public_text) != NODEKEY_PUBLIC_SIZE - 1 || !base64url_decode(public_text, NODEKEY_PUBLIC_SIZE - 1, raw, &n) || n != RAW)
        return false;
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, RAW);
    bool ok = pkey != NULL && verify(pkey, data, len, signature);
    EVP_PKEY_free(pkey);
    return ok;
}

bool nodekey_mac(const struct nodekey *k, const void *data, size_t len, char out[65]) {
    uint8_t md[RAW];
    unsigned n = sizeof md;
    if (HMAC(EVP_sha256(), k->mac_key, RAW, data, len, md, &n) == NULL || n != RAW) return false;
    gh_hex(out, md, RAW);
    out[64] = '\0';
    return true;
}
