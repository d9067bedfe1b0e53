#include "ctl/key.h"

#include "spoa/base64url.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX (64 * 1024)

struct ctl_key {
    EVP_PKEY *pkey;
    char *pem;
    size_t pem_len;
    const char *path; /* as given */
    enum jwa_key kind;
};

static const struct {
    enum jwa_key key;
    const char *crv; /* in a JWK; NULL: an RSA key */
    const char *alg; /* the usual one */
    size_t coordinate;
} kinds[] = {
    {JWA_RSA, NULL, "RS256", 0},      {JWA_P256, "P-256", "ES256", 32},     {JWA_P384, "P-384", "ES384", 48},
    {JWA_P521, "P-521", "ES512", 66}, {JWA_ED25519, "Ed25519", "EdDSA", 0},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static char *base64url(const unsigned char *data, size_t len) {
    char *out = malloc(BASE64URL_LEN(len) + 1);
    if (out != NULL) base64url_encode(data, len, out);
    return out;
}

/* Without this OpenSSL would ask for a passphrase on the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg) {
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1;
}

static char *slurp(const char *path, size_t *len, struct stat *st) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, st) != 0) {
        fprintf(stderr, "gatehousectl: %s: %s\n", path, strerror(errno));
        if (fd >= 0) close(fd);
        return NULL;
    }
    char *text = malloc(KEY_FILE_MAX + 1);
    size_t got = 0;
    while (text != NULL && got < KEY_FILE_MAX) {
        ssize_t n = read(fd, text + got, KEY_FILE_MAX - got);
        if (n <= 0) break;
        got += (size_t)n;
    }
    close(fd);
    if (text == NULL || got == 0 || got == KEY_FILE_MAX) {
        fprintf(stderr, "gatehousectl: %s: not a PEM file with a key\n", path);
        free(text);
        return NULL;
    }
    text[got] = '\0';
    *len = got;
    return text;
}

static EVP_PKEY *parse_pem(const char *text, size_t len, bool private) {
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    if (bio == NULL) return NULL;
    EVP_PKEY *pkey =
        private ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    return pkey;
}

/* The message for a key that the daemon would not verify with; NULL for one that it would. */
static const char *unfit(EVP_PKEY *pkey, enum jwa_key *kind) {
    for (size_t i = 0; i < KINDS; i++) {
        if (!jwa_key_is(pkey, kinds[i].key)) continue;
        *kind = kinds[i].key;
        return kinds[i].key == JWA_RSA && EVP_PKEY_get_bits(pkey) < 2048 ? "an RSA key needs at least 2048 bits" : NULL;
    }
    return "neither an RSA key, nor an EC key on P-256, P-384 or P-521, nor an Ed25519 key";
}

struct ctl_key *ctl_key_read(const char *path, bool private_only) {
    struct stat st;
    struct ctl_key *k = calloc(1, sizeof *k);
    if (k == NULL || (k->pem = slurp(path, &k->pem_len, &st)) == NULL) {
        ctl_key_free(k);
        return NULL;
    }
    const char *wrong = NULL;
    k->path = path;
    k->pkey = parse_pem(k->pem, k->pem_len, true);
    if (k->pkey != NULL && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        wrong = "a private key that other users may read or change: chmod 600 it, and make a new one if this machine is shared";
    if (k->pkey == NULL && !private_only) k->pkey = parse_pem(k->pem, k->pem_len, false);
    if (k->pkey == NULL) wrong = private_only ? "no private key in PEM without a passphrase" : "no key in PEM without a passphrase";
    if (wrong == NULL) wrong = unfit(k->pkey, &k->kind);
    if (wrong == NULL) return k;
    fprintf(stderr, "gatehousectl: %s: %s\n", path, wrong);
    ctl_key_free(k);
    return NULL;
}

void ctl_key_free(struct ctl_key *k) {
    if (k == NULL) return;
    EVP_PKEY_free(k->pkey);
    if (k->pem != NULL) explicit_bzero(k->pem, k->pem_len);
    free(k->pem);
    free(k);
}

const struct jwa *ctl_key_alg(const struct ctl_key *k, const char *name) {
    const struct jwa *a = jwa_by_name(name != NULL ? name : kinds[k->kind].alg);
    if (a != NULL && a->key == k->kind) return a;
    fprintf(stderr, "gatehousectl: %s is a key for %s, not for %s\n", k->path, kinds[k->kind].alg, name);
    return NULL;
}

bool ctl_key_sign(const struct ctl_key *k, const struct jwa *alg, const char *text, size_t len, uint8_t **sig, size_t *sig_len) {
    return jwa_sign(alg, k->pkey, text, len, sig, sig_len);
}

const char *ctl_key_pem(const struct ctl_key *k, size_t *len) {
    *len = k->pem_len;
    return k->pem;
}

/* One number of the key in base64url; width 0: as short as it goes. */
static char *number(const struct ctl_key *k, const char *param, size_t width) {
    BIGNUM *bn = NULL;
    char *text = NULL;
    if (EVP_PKEY_get_bn_param(k->pkey, param, &bn) == 1) {
        size_t len = width > 0 ? width : (size_t)BN_num_bytes(bn);
        unsigned char *raw = malloc(len);
        if (raw != NULL && BN_bn2binpad(bn, raw, (int)len) >= 0) text = base64url(raw, len);
        free(raw);
    }
    BN_free(bn);
    return text;
}

static char *raw_public(const struct ctl_key *k) {
    unsigned char raw[64];
    size_t len = sizeof raw;
    return EVP_PKEY_get_raw_public_key(k->pkey, raw, &len) == 1 ? base64url(raw, len) : NULL;
}

json_t *ctl_key_jwk(const struct ctl_key *k) {
    const char *crv = kinds[k->kind].crv;
    bool rsa = k->kind == JWA_RSA, ed = k->kind == JWA_ED25519;
    size_t width = kinds[k->kind].coordinate;
    char *a = rsa ? number(k, OSSL_PKEY_PARAM_RSA_E, 0) : ed ? raw_public(k) : number(k, OSSL_PKEY_PARAM_EC_PUB_X, width);
    char *b = rsa ? number(k, OSSL_PKEY_PARAM_RSA_N, 0) : ed ? NULL : number(k, OSSL_PKEY_PARAM_EC_PUB_Y, width);
    json_t *jwk = NULL;
    if (a != NULL && ed)
        jwk = json_pack("{s:s, s:s, s:s}", "crv", crv, "kty", "OKP", "x", a);
    else if (a != NULL && b != NULL)
        jwk = rsa ? json_pack("{s:s, s:s, s:s}", "e", a, "kty", "RSA", "n", b)
                  : json_pack("{s:s, s:s, s:s, s:s}", "crv", crv, "kty", "EC", "x", a, "y", b);
    free(a);
    free(b);
    return jwk;
}

char *ctl_key_thumbprint(const struct ctl_key *k) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    json_t *jwk = ctl_key_jwk(k);
    /* RFC 7638 section 3: the required members only, sorted, without blanks. */
    char *text = jwk == NULL ? NULL : json_dumps(jwk, JSON_COMPACT | JSON_SORT_KEYS);
    char *print = NULL;
    if (text != NULL && EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL) == 1) print = base64url(digest, sizeof digest);
    free(text);
    json_decref(jwk);
    return print;
}

static EVP_PKEY *make(enum jwa_key kind) {
    if (kind == JWA_RSA) return EVP_RSA_gen(2048);
    return kind == JWA_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_EC_gen(kinds[kind].crv);
}

bool ctl_key_make(const char *alg, const char *path) {
    const struct jwa *a = jwa_by_name(alg);
    if (a == NULL) {
        fprintf(stderr, "gatehousectl: the algorithm is one of " JWA_NAMES ", not \"%s\"\n", alg);
        return false;
    }
    EVP_PKEY *pkey = make(a->key);
    int fd = pkey == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    bool ok = f != NULL && PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL) == 1;
    if (f != NULL && fclose(f) != 0) ok = false;
    if (!ok) fprintf(stderr, "gatehousectl: %s: %s\n", path, pkey == NULL ? "no key could be made" : strerror(errno));
    EVP_PKEY_free(pkey);
    return ok;
}
