#include "filters/my_auth.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#define SHA1_LEN   20u
#define SHA256_LEN 32u
/* caching_sha2_password's words ("Caching_sha2_password information") */
#define SHA2_FAST_OK   3
#define SHA2_NEED_FULL 4

static const char *const names[] = {[MY_PLUGIN_NONE] = "",
                                    [MY_PLUGIN_NATIVE] = "mysql_native_password",
                                    [MY_PLUGIN_SHA2] = "caching_sha2_password",
                                    [MY_PLUGIN_ED25519] = "client_ed25519",
                                    [MY_PLUGIN_CLEAR] = "mysql_clear_password"};

const char *my_plugin_name(enum my_plugin p) { return names[p]; }

enum my_plugin my_plugin_of(const char *name) {
    for (int p = MY_PLUGIN_NATIVE; p <= MY_PLUGIN_CLEAR; p++)
        if (strcmp(names[p], name) == 0) return (enum my_plugin)p;
    return MY_PLUGIN_NONE;
}

bool my_auth_begin(struct my_auth *a, const struct flt_upstream *up) {
    my_auth_end(a);
    a->password = up->password == NULL ? "" : up->password;
    a->clear_ok = up->allow_cleartext;
    a->public_key = up->public_key != NULL ? strdup(up->public_key) : NULL;
    return up->public_key == NULL || a->public_key != NULL;
}

void my_auth_end(struct my_auth *a) {
    free(a->public_key);
    memset(a, 0, sizeof *a);
    a->password = "";
}

static bool digest(const EVP_MD *md, const void *x, size_t xlen, const void *y, size_t ylen, uint8_t *out) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1 && EVP_DigestUpdate(ctx, x, xlen) == 1 &&
              (ylen == 0 || EVP_DigestUpdate(ctx, y, ylen) == 1) && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* H(password) xor H(nonce, H(H(password))), the pieces of the second in the order that the method has. */
static bool scramble(const struct my_auth *a, const EVP_MD *md, size_t n, bool nonce_first, struct buf *payload) {
    uint8_t once[SHA256_LEN], twice[SHA256_LEN], mix[SHA256_LEN];
    bool ok = digest(md, a->password, strlen(a->password), NULL, 0, once) && digest(md, once, n, NULL, 0, twice) &&
              (nonce_first ? digest(md, a->nonce, a->nonce_len, twice, n, mix) : digest(md, twice, n, a->nonce, a->nonce_len, mix));
    for (size_t i = 0; ok && i < n; i++) buf_u8(payload, once[i] ^ mix[i]);
    gh_wipe(once, sizeof once);
    gh_wipe(twice, sizeof twice);
    return ok;
}

static enum gh_rc put_clear(struct my_auth *a, struct buf *payload, struct gh_err *err) {
    if (!a->clear_ok)
        return gh_fail(err, GH_UNSUPPORTED, 0, "the server wants the password in clear text, which is not allowed on this way to it");
    buf_cstr(payload, a->password);
    a->sent_all = true;
    return GH_OK;
}

enum gh_rc my_auth_first(struct my_auth *a, const char *plugin, const uint8_t *nonce, size_t nonce_len, struct buf *payload,
                         struct gh_err *err) {
    uint8_t signature[64];
    if (nonce_len == MY_NONCE + 1 && nonce[MY_NONCE] == 0) nonce_len--; /* its closing NUL */
    a->plugin = my_plugin_of(plugin);
    a->sent_all = false;
    if (a->plugin == MY_PLUGIN_NONE)
        return gh_fail(err, GH_UNSUPPORTED, 0,
                       "the server wants a way to log in that Gatehouse does not speak (see gatehouse.yaml(5), upstream)");
    if (a->plugin == MY_PLUGIN_CLEAR) return put_clear(a, payload, err);
    if (nonce_len != (a->plugin == MY_PLUGIN_ED25519 ? MY_AUTH_NONCE : MY_NONCE))
        return gh_fail(err, GH_MALFORMED, 0, "the server's nonce has a wrong length");
    memcpy(a->nonce, nonce, nonce_len);
    a->nonce_len = nonce_len;
    if (a->plugin == MY_PLUGIN_ED25519) {
        if (!my_ed25519_sign(a->password, strlen(a->password), a->nonce, nonce_len, signature))
            return gh_fail(err, GH_LIMIT, 0, "out of memory");
        buf_put(payload, signature, sizeof signature);
        return GH_OK;
    }
    if (a->password[0] == '\0') return GH_OK; /* an empty answer */
    bool ok = a->plugin == MY_PLUGIN_NATIVE ? scramble(a, EVP_sha1(), SHA1_LEN, true, payload)
                                            : scramble(a, EVP_sha256(), SHA256_LEN, false, payload);
    return ok ? GH_OK : gh_fail(err, GH_LIMIT, 0, "out of memory");
}

/* The password and its NUL, xor the nonce again and again, under the server's key (OAEP). */
static enum gh_rc put_rsa(struct my_auth *a, struct buf *payload, struct gh_err *err) {
    size_t len = strlen(a->password) + 1, size = 0;
    BIO *bio = BIO_new_mem_buf(a->public_key, -1);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    EVP_PKEY_CTX *ctx = key == NULL ? NULL : EVP_PKEY_CTX_new(key, NULL);
    uint8_t *mixed = malloc(len), *out = NULL;
    BIO_free(bio);
    bool ok =
        ctx != NULL && mixed != NULL && EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1;
    for (size_t i = 0; ok && i < len; i++) mixed[i] = (uint8_t)a->password[i] ^ a->nonce[i % MY_NONCE];
    ok = ok && EVP_PKEY_encrypt(ctx, NULL, &size, mixed, len) == 1 && (out = malloc(size)) != NULL &&
         EVP_PKEY_encrypt(ctx, out, &size, mixed, len) == 1;
    if (ok) buf_put(payload, out, size);
    if (mixed != NULL) gh_wipe(mixed, len);
    free(mixed);
    free(out);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    a->sent_all = true;
    return ok ? GH_OK : gh_fail(err, GH_UNSUPPORTED, 0, "public_key_file cannot encrypt this password: it must be the server's RSA key");
}

enum gh_rc my_auth_more(struct my_auth *a, struct cur data, struct buf *payload, bool *answer, struct gh_err *err) {
    uint8_t word;
    *answer = false;
    if (a->plugin != MY_PLUGIN_SHA2 || a->sent_all || !cur_u8(&data, &word) || cur_left(&data) != 0)
        return gh_fail(err, GH_MALFORMED, 0, "the server says more about a login than its method has");
    if (word == SHA2_FAST_OK) {
        a->sent_all = true; /* nothing more is due but OK */
        return GH_OK;
    }
    if (word != SHA2_NEED_FULL) return gh_fail(err, GH_MALFORMED, 0, "caching_sha2_password: an unknown word of the server's");
    *answer = true;
    if (a->clear_ok) return put_clear(a, payload, err);
    if (a->public_key != NULL) return put_rsa(a, payload, err);
    /* A key that the server sent over this very connection would be whoever's is on the way. */
    return gh_fail(err, GH_UNSUPPORTED, 0,
                   "caching_sha2_password wants the password itself: use tls, or name the server's key in upstream.public_key_file");
}
