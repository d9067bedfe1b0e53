/* Microseconds of processor time to verify a token with a kept key, each algorithm: the signature alone, and jwt_verify() with all of its checks.
 * Usage: bench_jwt [SECONDS]. One thread; build it without sanitizers. */
#include "spoa/base64url.h"
#include "spoa/jwt.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW 1700000000
#define CLAIMS                                                                                                                             \
    "{\"iss\":\"https://idp.example\",\"aud\":\"gatehouse\",\"sub\":\"agent@shop.example\",\"exp\":1700000600,\"iat\":1700000000,"         \
    "\"groups\":[\"ai-agents\",\"analysts\"],\"jti\":\"0e0f1a0c-9f2d-4f5e-8a51-0f6f1b7c2d3e\",\"azp\":\"agent\"}"

static double seconds = 1;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* whatever else the machine does */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static EVP_PKEY *make(enum jwa_key key) {
    static const char *const curves[] = {[JWA_P256] = "P-256", [JWA_P384] = "P-384", [JWA_P521] = "P-521"};
    if (key == JWA_RSA) return EVP_RSA_gen(2048);
    return key == JWA_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_EC_gen(curves[key]);
}

static void number(EVP_PKEY *pkey, const char *name, size_t width, char *out) {
    BIGNUM *n = NULL;
    uint8_t raw[512];
    if (EVP_PKEY_get_bn_param(pkey, name, &n) != 1) exit(1);
    if (width == 0) width = (size_t)BN_num_bytes(n);
    if (BN_bn2binpad(n, raw, (int)width) < 0) exit(1);
    base64url_encode(raw, width, out);
    BN_free(n);
}

/* A set with the public half. */
static struct jwks *set_of(EVP_PKEY *pkey, enum jwa_key key) {
    static const char *const curves[] = {[JWA_P256] = "P-256", [JWA_P384] = "P-384", [JWA_P521] = "P-521"};
    char a[700], b[700], set[2048], err[256];
    uint8_t raw[64];
    size_t len = sizeof raw, width = (size_t)(EVP_PKEY_get_bits(pkey) + 7) / 8;
    if (key == JWA_RSA) {
        number(pkey, OSSL_PKEY_PARAM_RSA_N, 0, a);
        number(pkey, OSSL_PKEY_PARAM_RSA_E, 0, b);
        snprintf(set, sizeof set, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":\"%s\"}]}", a, b);
    } else if (key == JWA_ED25519) {
        if (EVP_PKEY_get_raw_public_key(pkey, raw, &len) != 1) exit(1);
        base64url_encode(raw, len, a);
        snprintf(set, sizeof set, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":\"%s\"}]}", a);
    } else {
        number(pkey, OSSL_PKEY_PARAM_EC_PUB_X, width, a);
        number(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, width, b);
        snprintf(set, sizeof set, "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"%s\",\"kid\":\"k\",\"x\":\"%s\",\"y\":\"%s\"}]}", curves[key], a,
                 b);
    }
    struct jwks *keys = jwks_parse(set, strlen(set), err, sizeof err);
    if (keys == NULL) exit(1);
    return keys;
}

static char *mint(const struct jwa *a, EVP_PKEY *pkey) {
    char header[96], text[2048];
    uint8_t *sig;
    size_t len;
    snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"k\",\"typ\":\"at+jwt\"}", a->name);
    base64url_encode(header, strlen(header), text);
    strcat(text, ".");
    base64url_encode(CLAIMS, strlen(CLAIMS), text + strlen(text));
    if (!jwa_sign(a, pkey, text, strlen(text), &sig, &len)) exit(1);
    strcat(text, ".");
    base64url_encode(sig, len, text + strlen(text));
    OPENSSL_free(sig);
    return strdup(text);
}

static void row(const struct jwa *a) {
    static const char *const audiences[] = {"gatehouse"};
    EVP_PKEY *pkey = make(a->key);
    char *token = mint(a, pkey), *dot = strrchr(token, '.');
    uint8_t sig[1024];
    size_t sig_len, n = 0, m = 0;
    struct jwks *keys = set_of(pkey, a->key);
    struct jwks_key key;
    if (jwks_find(keys, a->alg, "k", &key) != JWKS_FOUND || !base64url_decode(dot + 1, strlen(dot + 1), sig, &sig_len)) exit(1);
    const struct jwt_issuer issuer = {
        .issuer = "https://idp.example", .audiences = audiences, .naudiences = 1, .keys = keys, .algs = (unsigned)a->alg, .leeway = 30};
    const struct jwt_conf conf = {&issuer, 1, 0};
    double begin = now_s(), end;
    do
        for (int i = 0; i < 100; i++, n++)
            if (!jwa_verify(a, key.pkey, sig, sig_len, token, (size_t)(dot - token))) exit(1);
    while ((end = now_s()) - begin < seconds);
    double bare = (end - begin) * 1e6 / (double)n;
    begin = now_s();
    do
        for (int i = 0; i < 100; i++, m++) {
            struct jwt_identity *id;
            if (jwt_verify(&conf, token, strlen(token), NOW, &id) != JWT_OK) exit(1);
            jwt_identity_free(id);
        }
    while ((end = now_s()) - begin < seconds);
    printf("%-8s %12.1f %12.1f %10.0f\n", a->name, bare, (end - begin) * 1e6 / (double)m, (double)m / (end - begin));
    jwks_unref(keys);
    free(token);
    EVP_PKEY_free(pkey);
}

int main(int argc, char **argv) {
    if (argc > 1) seconds = strtod(argv[1], NULL);
    printf("%-8s %12s %12s %10s\n", "alg", "signature us", "token us", "tokens/s");
    for (size_t i = 0; jwa_at(i) != NULL; i++) row(jwa_at(i));
    return 0;
}
