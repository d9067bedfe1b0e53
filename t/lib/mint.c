#include "t/lib/mint.h"

#include "filters/bytes.h"
#include "spoa/base64url.h"

#include <check.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *encode(const void *data, size_t len) {
    char *out = malloc(BASE64URL_LEN(len) + 1);
    ck_assert_ptr_nonnull(out);
    base64url_encode(data, len, out);
    return out;
}

/* width 0: as short as the number is */
static char *number(EVP_PKEY *pkey, const char *name, size_t width) {
    BIGNUM *n = NULL;
    uint8_t raw[1024];
    ck_assert_int_eq(EVP_PKEY_get_bn_param(pkey, name, &n), 1);
    if (width == 0) width = (size_t)BN_num_bytes(n);
    ck_assert_int_eq(BN_bn2binpad(n, raw, (int)width), (int)width);
    BN_free(n);
    return encode(raw, width);
}

static char *raw_public(EVP_PKEY *pkey) {
    uint8_t raw[64];
    size_t len = sizeof raw;
    ck_assert_int_eq(EVP_PKEY_get_raw_public_key(pkey, raw, &len), 1);
    return encode(raw, len);
}

char *mint_jwk(EVP_PKEY *pkey, const char *kid, const char *extra) {
    bool rsa = EVP_PKEY_is_a(pkey, "RSA"), ec = EVP_PKEY_is_a(pkey, "EC");
    size_t width = (size_t)(EVP_PKEY_get_bits(pkey) + 7) / 8;
    char *a = rsa ? number(pkey, OSSL_PKEY_PARAM_RSA_N, 0) : ec ? number(pkey, OSSL_PKEY_PARAM_EC_PUB_X, width) : raw_public(pkey);
    char *b = rsa ? number(pkey, OSSL_PKEY_PARAM_RSA_E, 0) : ec ? number(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, width) : NULL;
    char named[300] = "", *out = NULL;
    if (kid != NULL) snprintf(named, sizeof named, ",\"kid\":\"%s\"", kid);
    struct buf text = BUF_INIT(4096);
    buf_str(&text, rsa ? "{\"kty\":\"RSA\",\"n\":\"" : ec ? "{\"kty\":\"EC\",\"x\":\"" : "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
    buf_str(&text, a);
    buf_str(&text, rsa ? "\",\"e\":\"" : ec ? "\",\"y\":\"" : "");
    if (b != NULL) buf_str(&text, b);
    buf_str(&text, "\"");
    if (ec) buf_str(&text, width == 32 ? ",\"crv\":\"P-256\"" : width == 48 ? ",\"crv\":\"P-384\"" : ",\"crv\":\"P-521\"");
    buf_str(&text, named);
    buf_str(&text, extra);
    buf_cstr(&text, "}");
    ck_assert(!text.failed);
    ck_assert_ptr_nonnull(out = strdup((const char *)buf_at(&text)));
    buf_free(&text);
    free(a);
    free(b);
    return out;
}

static size_t sign(EVP_PKEY *pkey, const EVP_MD *digest, int salt, const char *text, uint8_t *sig, size_t size) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    bool ed = EVP_PKEY_is_a(pkey, "ED25519");
    ck_assert_int_eq(EVP_DigestSignInit(ctx, &how, ed ? NULL : digest, NULL, pkey), 1);
    if (salt >= 0) {
        ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING), 0);
        ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_pss_saltlen(how, salt), 0);
    }
    ck_assert_int_eq(EVP_DigestSign(ctx, sig, &size, (const uint8_t *)text, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    if (!EVP_PKEY_is_a(pkey, "EC")) return size;
    const uint8_t *der = sig;
    ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &der, (long)size);
    ck_assert_ptr_nonnull(parsed);
    int width = (EVP_PKEY_get_bits(pkey) + 7) / 8;
    BN_bn2binpad(ECDSA_SIG_get0_r(parsed), sig, width);
    BN_bn2binpad(ECDSA_SIG_get0_s(parsed), sig + width, width);
    ECDSA_SIG_free(parsed);
    return (size_t)width * 2;
}

static char *mint(const char *header, const char *payload, EVP_PKEY *pkey, const EVP_MD *digest, int salt, const char *secret) {
    char *h = encode(header, strlen(header)), *p = encode(payload, strlen(payload));
    size_t size = strlen(h) + strlen(p) + 2000;
    char *text = malloc(size);
    uint8_t sig[1024];
    size_t len = 0;
    ck_assert_ptr_nonnull(text);
    snprintf(text, size, "%s.%s", h, p);
    if (pkey != NULL) {
        len = sign(pkey, digest, salt, text, sig, sizeof sig);
    } else if (secret != NULL) {
        unsigned n = 0;
        ck_assert_ptr_nonnull(HMAC(EVP_sha256(), secret, (int)strlen(secret), (const uint8_t *)text, strlen(text), sig, &n));
        len = n;
    }
    char *s = encode(sig, len);
    strcat(text, ".");
    strcat(text, s);
    free(h);
    free(p);
    free(s);
    return text;
}

char *mint_token(const char *header, const char *payload, EVP_PKEY *pkey, const char *secret) {
    return mint(header, payload, pkey, EVP_sha256(), -1, secret);
}

char *mint_token_with(const char *header, const char *payload, EVP_PKEY *pkey, const EVP_MD *digest, int salt) {
    return mint(header, payload, pkey, digest, salt, NULL);
}
