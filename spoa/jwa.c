#include "spoa/jwa.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

static const struct jwa algs[] = {
    {"RS256", JWT_RS256, JWA_RSA, "SHA256", false},     {"RS384", JWT_RS384, JWA_RSA, "SHA384", false},
    {"RS512", JWT_RS512, JWA_RSA, "SHA512", false},     {"PS256", JWT_PS256, JWA_RSA, "SHA256", true},
    {"PS384", JWT_PS384, JWA_RSA, "SHA384", true},      {"PS512", JWT_PS512, JWA_RSA, "SHA512", true},
    {"ES256", JWT_ES256, JWA_P256, "SHA256", false},    {"ES384", JWT_ES384, JWA_P384, "SHA384", false},
    {"ES512", JWT_ES512, JWA_P521, "SHA512", false},    {"EdDSA", JWT_EDDSA, JWA_ED25519, NULL, false},
    {"Ed25519", JWT_ED25519, JWA_ED25519, NULL, false},
};
#define NALGS (sizeof algs / sizeof *algs)

static const struct {
    const char *type, *group;
    int coordinate; /* bytes of r and of s */
} keys[] = {
    [JWA_RSA] = {"RSA", NULL, 0},         [JWA_P256] = {"EC", "prime256v1", 32}, [JWA_P384] = {"EC", "secp384r1", 48},
    [JWA_P521] = {"EC", "secp521r1", 66}, [JWA_ED25519] = {"ED25519", NULL, 0},
};
#define ED25519_SIG_LEN 64

const struct jwa *jwa_at(size_t i) { return i < NALGS ? &algs[i] : NULL; }

const struct jwa *jwa_by_name(const char *name) {
    for (size_t i = 0; i < NALGS; i++)
        if (strcmp(algs[i].name, name) == 0) return &algs[i];
    return NULL;
}

const struct jwa *jwa_of(enum jwa_alg alg) {
    for (size_t i = 0; i < NALGS; i++)
        if (algs[i].alg == alg) return &algs[i];
    return NULL;
}

unsigned jwa_algs_of(enum jwa_key key) {
    unsigned set = 0;
    for (size_t i = 0; i < NALGS; i++)
        if (algs[i].key == key) set |= (unsigned)algs[i].alg;
    return set;
}

bool jwa_key_is(const EVP_PKEY *pkey, enum jwa_key key) {
    char group[64] = "";
    if (!EVP_PKEY_is_a(pkey, keys[key].type)) return false;
    if (keys[key].group == NULL) return true;
    return EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1 && strcmp(group, keys[key].group) == 0;
}

static bool set_padding(const struct jwa *a, EVP_PKEY_CTX *ctx) {
    if (a->key != JWA_RSA) return true;
    if (!a->pss) return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

/* r and s to the DER that OpenSSL takes; its length, 0 on failure. */
static size_t to_der(const uint8_t *raw, int half, uint8_t **der) {
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, half, NULL), *s = BN_bin2bn(raw + half, half, NULL);
    int len = 0;
    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* sig owns them now */
        len = i2d_ECDSA_SIG(sig, der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len > 0 ? (size_t)len : 0;
}

static bool digest_verify(const struct jwa *a, EVP_PKEY *pkey, const uint8_t *sig, size_t sig_len, const void *text, size_t len) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    bool ok = ctx != NULL && EVP_DigestVerifyInit_ex(ctx, &how, a->digest, NULL, NULL, pkey, NULL) == 1 && set_padding(a, how) &&
              EVP_DigestVerify(ctx, sig, sig_len, text, len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

bool jwa_verify(const struct jwa *a, EVP_PKEY *pkey, const uint8_t *sig, size_t sig_len, const void *text, size_t len) {
    int half = keys[a->key].coordinate;
    if (!jwa_key_is(pkey, a->key)) return false;
    if (a->key == JWA_ED25519 && sig_len != ED25519_SIG_LEN) return false;
    if (half == 0) return digest_verify(a, pkey, sig, sig_len, text, len);
    /* RFC 7518, section 3.4: exactly twice the curve's length. */
    if (sig_len != 2 * (size_t)half) return false;
    uint8_t *der = NULL;
    size_t der_len = to_der(sig, half, &der);
    bool ok = der_len > 0 && digest_verify(a, pkey, der, der_len, text, len);
    OPENSSL_free(der);
    return ok;
}

/* DER to r and s side by side. */
static bool from_der(uint8_t **sig, size_t *len, int half) {
    const uint8_t *p = *sig;
    ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &p, (long)*len);
    uint8_t *raw = OPENSSL_malloc(2 * (size_t)half);
    bool ok = parsed != NULL && raw != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(parsed), raw, half) == half &&
              BN_bn2binpad(ECDSA_SIG_get0_s(parsed), raw + half, half) == half;
    ECDSA_SIG_free(parsed);
    OPENSSL_free(*sig);
    *sig = raw;
    *len = 2 * (size_t)half;
    return ok;
}

bool jwa_sign(const struct jwa *a, EVP_PKEY *pkey, const void *text, size_t len, uint8_t **sig, size_t *sig_len) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    *sig = NULL;
    *sig_len = 0;
    bool ok = ctx != NULL && jwa_key_is(pkey, a->key) && EVP_DigestSignInit_ex(ctx, &how, a->digest, NULL, NULL, pkey, NULL) == 1 &&
              set_padding(a, how) && EVP_DigestSign(ctx, NULL, sig_len, text, len) == 1 && (*sig = OPENSSL_malloc(*sig_len)) != NULL &&
              EVP_DigestSign(ctx, *sig, sig_len, text, len) == 1;
    if (ok && keys[a->key].coordinate > 0) ok = from_der(sig, sig_len, keys[a->key].coordinate);
    if (!ok) {
        OPENSSL_free(*sig);
        *sig = NULL;
    }
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}
