/* Tokens and key sets. Input: a letter, and
 *   t: a token, against a fixed key set;
 *   p: a token's header, payload and signature, not encoded, each on a line, against the same;
 *   s: a payload, which is signed here with a key of our own: its claims are read;
 *   k: a JWK set, and the good tokens against it;
 *   d: a discovery document; a: a value of Cache-Control; u: an address.
 * Checked besides memory errors: with the fixed keys nothing verifies but what was signed (ES256 lets anybody give a signature a second form,
 * so the signature itself is not compared); an identity holds what jwt.h promises; a refused key set has a reason. */
#include "filters/bytes.h"
#include "spoa/base64url.h"
#include "spoa/jwt.h"
#include "spoa/keydoc.h"
#include "t/fuzz/jwt_good.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NOW      1700000000
#define SIZE_CAP 6000

static struct jwks *fixed, *own;
static EVP_PKEY *own_key;

static enum jwt_rc verify(struct jwks *keys, const char *token, size_t len, struct jwt_identity **id) {
    static const char *const audiences[] = {"gatehouse", "other"};
    struct jwt_issuer issuers[] = {{.issuer = "https://idp.example",
                                    .audiences = audiences,
                                    .naudiences = 2,
                                    .keys = keys,
                                    .algs = JWT_RS256 | JWT_ES256,
                                    .leeway = 30},
                                   {.issuer = "https://two.example",
                                    .audiences = audiences,
                                    .naudiences = 1,
                                    .keys = keys,
                                    .algs = JWT_RS256,
                                    .principal_claim = "user.email",
                                    .groups_claim = "https://two.example/groups"}};
    enum jwt_rc rc = jwt_verify(&(struct jwt_conf){issuers, 2, 0}, token, len, NOW, id);
    CHECK((rc == JWT_OK) == (*id != NULL) && jwt_rc_name(rc)[0] != '\0');
    return rc;
}

static bool same_signed_text(const char *good, const char *token, size_t len) {
    size_t n = (size_t)(strrchr(good, '.') + 1 - good);
    return len > n && memcmp(good, token, n) == 0;
}

static void check_token(const char *token, size_t len) {
    struct jwt_identity *id;
    if (verify(fixed, token, len, &id) != JWT_OK) return;
    CHECK(same_signed_text(good_rs256, token, len) || same_signed_text(good_es256, token, len));
    CHECK(strcmp(id->principal, "agent@shop.example") == 0 && id->ngroups == 2 && id->valid_until == NOW + 630);
    jwt_identity_free(id);
}

/* base64url of three pieces, joined by dots. The caller frees. */
static char *join(const char *const piece[3], const size_t len[3]) {
    char *text = malloc(BASE64URL_LEN(len[0]) + BASE64URL_LEN(len[1]) + BASE64URL_LEN(len[2]) + 4), *end = text;
    CHECK(text != NULL);
    for (int i = 0; i < 3; i++) {
        base64url_encode(piece[i], len[i], end);
        end += BASE64URL_LEN(len[i]);
        if (i < 2) *end++ = '.';
    }
    return text;
}

static void check_parts(const char *data, size_t size) {
    const char *piece[3] = {data, data + size, data + size};
    size_t len[3] = {size, 0, 0};
    for (int i = 0; i < 2; i++) {
        const char *eol = memchr(piece[i], '\n', len[i]);
        if (eol == NULL) break;
        piece[i + 1] = eol + 1;
        len[i + 1] = (size_t)(data + size - piece[i + 1]);
        len[i] = (size_t)(eol - piece[i]);
    }
    char *token = join(piece, len);
    check_token(token, strlen(token));
    free(token);
}

static void check_name(const char *s) {
    size_t len = strlen(s);
    CHECK(len > 0 && len <= JWT_NAME_MAX && gh_utf8_valid(s, len));
    for (size_t i = 0; i < len; i++) CHECK((unsigned char)s[i] >= 0x20 && s[i] != 0x7f);
    CHECK(strstr(s, "\xe2\x80\xae") == NULL);
}

static void check_claims(const char *data, size_t size) {
    static const char header[] = "{\"alg\":\"RS256\"}";
    const char *piece[3] = {header, data, ""};
    size_t len[3] = {sizeof header - 1, size, 0};
    char *text = join(piece, len);
    uint8_t sig[256];
    size_t n = sizeof sig;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, own_key) == 1);
    CHECK(EVP_DigestSign(ctx, sig, &n, (const uint8_t *)text, strlen(text) - 1) == 1); /* without the last dot */
    EVP_MD_CTX_free(ctx);
    free(text);
    piece[2] = (const char *)sig;
    len[2] = n;
    text = join(piece, len);
    struct jwt_identity *id;
    enum jwt_rc rc = verify(own, text, strlen(text), &id);
    CHECK(rc != JWT_BAD_SIGNATURE && rc != JWT_BAD_HEADER && rc != JWT_MALFORMED && rc != JWT_BAD_BASE64);
    if (rc == JWT_OK) {
        CHECK(id->valid_until > NOW && id->valid_until - id->exp <= 30 && id->ngroups <= JWT_GROUPS_MAX);
        CHECK(strcmp(id->kid, "own") == 0);
        check_name(id->principal);
        for (size_t i = 0; i < id->ngroups; i++) check_name(id->groups[i]);
    }
    jwt_identity_free(id);
    free(text);
}

static void check_keys(const char *data, size_t size) {
    char err[200];
    memset(err, 'x', sizeof err);
    struct jwks *keys = jwks_parse(data, size, err, sizeof err);
    struct jwt_identity *id;
    if (keys == NULL) {
        size_t len = strnlen(err, sizeof err);
        CHECK(len > 0 && len < sizeof err);
        return;
    }
    CHECK(jwks_count(keys) >= 1 && jwks_count(keys) <= JWKS_KEYS_MAX);
    verify(keys, good_rs256, strlen(good_rs256), &id);
    jwt_identity_free(id);
    verify(keys, good_es256, strlen(good_es256), &id);
    jwt_identity_free(id);
    jwks_unref(keys);
}

static void check_discovery(const char *data, size_t size) {
    char err[200], why[200];
    memset(err, 'x', sizeof err);
    char *uri = keydoc_jwks_uri(data, size, "https://idp.example", false, err, sizeof err);
    if (uri == NULL)
        CHECK(strnlen(err, sizeof err) > 0 && strnlen(err, sizeof err) < sizeof err);
    else
        CHECK(strncasecmp(uri, "https://", 8) == 0 && keydoc_url_ok(uri, false, why, sizeof why));
    free(uri);
}

static void check_url(const char *data, size_t size) {
    char err[200], *url = strndup(data, size);
    CHECK(url != NULL);
    if (keydoc_url_ok(url, false, err, sizeof err)) CHECK(keydoc_url_ok(url, true, err, sizeof err));
    free(url);
}

static void set_up(void) {
    char err[200], set[512], n[BASE64URL_LEN(256) + 1];
    struct jwt_identity *id;
    fixed = jwks_parse(good_keys, strlen(good_keys), err, sizeof err);
    CHECK(fixed != NULL);
    CHECK(verify(fixed, good_rs256, strlen(good_rs256), &id) == JWT_OK);
    jwt_identity_free(id);
    CHECK(verify(fixed, good_es256, strlen(good_es256), &id) == JWT_OK);
    jwt_identity_free(id);
    BIGNUM *modulus = NULL;
    uint8_t raw[256];
    own_key = EVP_RSA_gen(2048);
    CHECK(own_key != NULL && EVP_PKEY_get_bn_param(own_key, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1);
    CHECK(BN_bn2binpad(modulus, raw, sizeof raw) == (int)sizeof raw);
    BN_free(modulus);
    base64url_encode(raw, sizeof raw, n);
    snprintf(set, sizeof set, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"own\",\"e\":\"AQAB\",\"n\":\"%s\"}]}", n);
    own = jwks_parse(set, strlen(set), err, sizeof err);
    CHECK(own != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (fixed == NULL) set_up();
    if (size == 0 || size > SIZE_CAP) return 0;
    const char *rest = (const char *)data + 1;
    switch (data[0]) {
    case 't': check_token(rest, size - 1); break;
    case 'p': check_parts(rest, size - 1); break;
    case 's': check_claims(rest, size - 1); break;
    case 'k': check_keys(rest, size - 1); break;
    case 'd': check_discovery(rest, size - 1); break;
    case 'a': CHECK(keydoc_max_age(rest, size - 1) >= -1); break;
    case 'u': check_url(rest, size - 1); break;
    default: break;
    }
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const char *token;
    size_t len;
    bool good;
};

/* Keys that can be read, and a token that is good, are so with all memory, too. */
static void faulty(void *arg) {
    struct sweeping *s = arg;
    char err[200];
    struct jwt_identity *id = NULL;
    struct jwks *keys = jwks_parse(good_keys, strlen(good_keys), err, sizeof err);
    if (keys == NULL) return;
    enum jwt_rc rc = verify(keys, s->token, s->len, &id);
    CHECK(rc != JWT_OK || s->good);
    if (id != NULL) CHECK(strcmp(id->principal, "agent@shop.example") == 0 && id->ngroups == 2 && id->valid_until == NOW + 630);
    jwt_identity_free(id);
    jwks_unref(keys);
}

static void faulty_keys(void *arg) {
    const struct sweeping *s = arg;
    char err[200];
    struct jwks *keys = jwks_parse(s->token, s->len, err, sizeof err);
    CHECK(keys == NULL || s->good);
    jwks_unref(keys);
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    if (fixed == NULL) set_up();
    if (size == 0 || size > SIZE_CAP) return;
    struct sweeping s = {.token = (const char *)data + 1, .len = size - 1};
    struct jwt_identity *id = NULL;
    char err[200];
    if (data[0] == 't') {
        s.good = verify(fixed, s.token, s.len, &id) == JWT_OK;
        jwt_identity_free(id);
        sweep(faulty, &s);
    } else if (data[0] == 'k') {
        struct jwks *keys = jwks_parse(s.token, s.len, err, sizeof err);
        s.good = keys != NULL;
        jwks_unref(keys);
        sweep(faulty_keys, &s);
    }
}
#endif
