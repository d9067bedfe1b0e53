#include "spoa/base64url.h"
#include "spoa/jwt.h"
#include "spoa/keystore.h"
#include "t/lib/guard.h"
#include "t/lib/mint.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1700000000

static EVP_PKEY *rsa, *rsa2, *ec, *ec384;
static struct jwks *both, *two;
static const char *const audiences[] = {"gatehouse", "other"};
static struct jwt_issuer issuers[2];
static struct jwt_conf conf = {issuers, 2, 0};

static struct jwks *set_of(EVP_PKEY *a, const char *kid_a, EVP_PKEY *b, const char *kid_b) {
    char text[8192], err[256], *x = mint_jwk(a, kid_a, ""), *y = mint_jwk(b, kid_b, "");
    snprintf(text, sizeof text, "{\"keys\":[%s,%s]}", x, y);
    struct jwks *set = jwks_parse(text, strlen(text), err, sizeof err);
    ck_assert_msg(set != NULL, "%s", err);
    free(x);
    free(y);
    return set;
}

static void setup(void) {
    rsa = EVP_RSA_gen(2048);
    rsa2 = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    ec384 = EVP_EC_gen("P-384");
    both = set_of(rsa, "r", ec, "e");
    two = set_of(rsa, "r", rsa2, "s");
    issuers[0] = (struct jwt_issuer){.issuer = "https://idp.example",
                                     .audiences = audiences,
                                     .naudiences = 2,
                                     .keys = both,
                                     .algs = JWT_RS256 | JWT_ES256,
                                     .leeway = JWT_LEEWAY_DEFAULT};
    issuers[1] = (struct jwt_issuer){.issuer = "https://two.example",
                                     .audiences = audiences,
                                     .naudiences = 1,
                                     .keys = two,
                                     .algs = JWT_RS256,
                                     .principal_claim = "user.email",
                                     .groups_claim = "https://two.example/groups",
                                     .leeway = 0};
}
static void teardown(void) {
    jwks_unref(both);
    jwks_unref(two);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(rsa2);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ec384);
}

static enum jwt_rc verify(const char *token, struct jwt_identity **id) {
    size_t len = strlen(token);
    uint8_t *p = guard_copy(token, len);
    enum jwt_rc rc = jwt_verify(&conf, (const char *)p, len, NOW, id);
    if (rc != JWT_OK) ck_assert_ptr_null(*id);
    guard_free(p, len);
    return rc;
}

static enum jwt_rc try(const char *header, const char *payload, EVP_PKEY *key, const char *secret) {
    char *token = mint_token(header, payload, key, secret);
    struct jwt_identity *id;
    enum jwt_rc rc = verify(token, &id);
    jwt_identity_free(id);
    free(token);
    return rc;
}

#define ISS    "\"iss\":\"https://idp.example\""
#define AUD    "\"aud\":\"gatehouse\""
#define SUB    "\"sub\":\"agent@shop.example\""
#define EXP    "\"exp\":1700000600"
#define CLAIMS "{" ISS "," AUD "," SUB "," EXP "}"
#define RS     "{\"alg\":\"RS256\",\"kid\":\"r\"}"
#define ES     "{\"alg\":\"ES256\",\"kid\":\"e\"}"

START_TEST(good_tokens) {
    char *token = mint_token(
        "{\"typ\":\"at+jwt\",\"alg\":\"ES256\"}",
        "{" ISS ",\"aud\":[\"x\",\"other\"]," SUB "," EXP ",\"nbf\":1699999999.5,\"iat\":1,\"groups\":[\"ai agents\",\"b\"]}", ec, NULL);
    struct jwt_identity *id;
    ck_assert_int_eq(verify(token, &id), JWT_OK);
    ck_assert_str_eq(id->principal, "agent@shop.example");
    ck_assert_uint_eq(id->ngroups, 2);
    ck_assert_str_eq(id->groups[0], "ai agents");
    ck_assert_str_eq(id->groups[1], "b");
    ck_assert_int_eq(id->exp, 1700000600);
    ck_assert_int_eq(id->valid_until, 1700000630);
    ck_assert_str_eq(id->issuer, "https://idp.example");
    ck_assert_str_eq(id->kid, "e");
    jwt_identity_free(id);
    free(token);
    token = mint_token("{\"alg\":\"RS256\",\"kid\":\"s\"}",
                       "{\"iss\":\"https://two.example\"," AUD ",\"user\":{\"email\":\"j\xc3\xb6@x\"}," EXP
                       ",\"https://two.example/groups\":\" a  b \"}",
                       rsa2, NULL);
    ck_assert_int_eq(verify(token, &id), JWT_OK);
    ck_assert_str_eq(id->principal, "j\xc3\xb6@x");
    ck_assert_uint_eq(id->ngroups, 2);
    ck_assert_str_eq(id->groups[1], "b");
    jwt_identity_free(id);
    free(token);
    static const char *const headers[] = {RS, "{\"alg\":\"RS256\"}", "{\"alg\":\"RS256\",\"typ\":\"jwt\",\"cty\":\"x\"}",
                                          "{\"alg\":\"RS256\",\"typ\":\"AT+JWT\"}", "{\"alg\":\"RS256\",\"typ\":\"application/at+jwt\"}"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) ck_assert_int_eq(try(headers[i], CLAIMS, rsa, NULL), JWT_OK);
}
END_TEST

static const struct {
    const char *header;
    enum jwt_rc rc;
} headers[] = {
    {"{\"alg\":\"RS384\",\"kid\":\"r\"}", JWT_ALG_REFUSED}, /* known, and not on this issuer's list */
    {"{\"alg\":\"PS256\",\"kid\":\"r\"}", JWT_ALG_REFUSED},
    {"{\"alg\":\"EdDSA\",\"kid\":\"r\"}", JWT_ALG_REFUSED},
    {"{\"alg\":\"ES256K\",\"kid\":\"r\"}", JWT_ALG_REFUSED},
    {"{\"alg\":\"HS512\",\"kid\":\"r\"}", JWT_ALG_REFUSED},
    {"{\"alg\":\"None\"}", JWT_ALG_REFUSED},
    {"{\"alg\":\"\"}", JWT_ALG_REFUSED},
    {"{\"alg\":\"rs256\",\"kid\":\"r\"}", JWT_ALG_REFUSED},
    {"{\"alg\":\"none\"}", JWT_ALG_REFUSED},
    {"{\"kid\":\"r\"}", JWT_BAD_HEADER},
    {"{\"alg\":1,\"kid\":\"r\"}", JWT_BAD_HEADER},
    {"{\"alg\":\"RS256\",\"kid\":7}", JWT_BAD_HEADER},
    {"{\"alg\":\"RS256\",\"kid\":null}", JWT_BAD_HEADER},
    {"{\"alg\":\"none\",\"alg\":\"RS256\"}", JWT_BAD_HEADER},
    {"{\"alg\":\"none\",\"\\u0061lg\":\"RS256\"}", JWT_BAD_HEADER},
    {"[\"RS256\"]", JWT_BAD_HEADER},
    {"{\"alg\":\"RS256\"} {}", JWT_BAD_HEADER},
    {"", JWT_BAD_HEADER},
    {"{\"alg\":\"RS256\",\"typ\":\"dpop+jwt\"}", JWT_BAD_TYP},
    {"{\"alg\":\"RS256\",\"typ\":\"\"}", JWT_BAD_TYP},
    {"{\"alg\":\"RS256\",\"typ\":null}", JWT_BAD_HEADER},
    {"{\"alg\":\"RS256\",\"crit\":[\"exp\"]}", JWT_HEADER_REFUSED},
    {"{\"alg\":\"RS256\",\"jku\":\"https://idp.example/keys\"}", JWT_HEADER_REFUSED},
    {"{\"alg\":\"RS256\",\"x5u\":\"https://idp.example/keys\"}", JWT_HEADER_REFUSED},
    {"{\"alg\":\"RS256\",\"jwk\":{}}", JWT_HEADER_REFUSED},
    {"{\"alg\":\"RS256\",\"x5c\":null}", JWT_HEADER_REFUSED},
    {"{\"alg\":\"RS256\",\"b64\":true}", JWT_HEADER_REFUSED},
    {"{\"alg\":\"RS256\",\"zip\":\"DEF\"}", JWT_HEADER_REFUSED},
    {"{\"alg\":\"RS256\",\"kid\":\"z\"}", JWT_UNKNOWN_KEY},
    {"{\"alg\":\"RS256\",\"kid\":\"\"}", JWT_UNKNOWN_KEY},
    {"{\"alg\":\"RS256\",\"kid\":\"e\"}", JWT_KEY_MISMATCH},
    {"{\"alg\":\"ES256\",\"kid\":\"r\"}", JWT_KEY_MISMATCH},
    {"{\"alg\":\"ES256\"}", JWT_BAD_SIGNATURE}, /* an RSA signature */
};

START_TEST(headers_refused) { ck_assert_int_eq(try(headers[_i].header, CLAIMS, rsa, NULL), headers[_i].rc); }
END_TEST

static const struct {
    const char *claims;
    enum jwt_rc rc;
} payloads[] = {
    {"[]", JWT_BAD_CLAIMS},
    {"", JWT_BAD_CLAIMS},
    {"{" ISS "," AUD "," SUB "," EXP ",\"sub\":\"dba@shop.example\"}", JWT_BAD_CLAIMS},
    {"{" ISS "," AUD "," SUB "," EXP ",\"x\":{\"a\":1,\"a\":2}}", JWT_BAD_CLAIMS},
    {"{" ISS "," AUD "," SUB "," EXP ",\"x\":\"\xff\"}", JWT_BAD_CLAIMS},
    {"{" ISS "," AUD "," SUB "," EXP ",\"x\":\"\\u0000\"}", JWT_BAD_CLAIMS},
    {"{" AUD "," SUB "," EXP "}", JWT_BAD_ISSUER},
    {"{\"iss\":\"https://idp.example/\"," AUD "," SUB "," EXP "}", JWT_BAD_ISSUER},
    {"{\"iss\":[\"https://idp.example\"]," AUD "," SUB "," EXP "}", JWT_BAD_ISSUER},
    {"{" ISS "," SUB "," EXP "}", JWT_BAD_AUDIENCE},
    {"{" ISS ",\"aud\":\"Gatehouse\"," SUB "," EXP "}", JWT_BAD_AUDIENCE},
    {"{" ISS ",\"aud\":[]," SUB "," EXP "}", JWT_BAD_AUDIENCE},
    {"{" ISS ",\"aud\":[\"gatehouse\",7]," SUB "," EXP "}", JWT_BAD_AUDIENCE},
    {"{" ISS ",\"aud\":{\"gatehouse\":1}," SUB "," EXP "}", JWT_BAD_AUDIENCE},
    {"{" ISS "," AUD "," SUB "}", JWT_NO_EXPIRY},
    {"{" ISS "," AUD "," SUB ",\"exp\":\"1700000600\"}", JWT_BAD_TIME},
    {"{" ISS "," AUD "," SUB ",\"exp\":null}", JWT_BAD_TIME},
    {"{" ISS "," AUD "," SUB ",\"exp\":1e300}", JWT_BAD_TIME},
    {"{" ISS "," AUD "," SUB ",\"exp\":9223372036854775807}", JWT_BAD_TIME},
    {"{" ISS "," AUD "," SUB ",\"exp\":-1}", JWT_BAD_TIME},
    {"{" ISS "," AUD "," SUB ",\"exp\":1699999971}", JWT_OK}, /* within the leeway */
    {"{" ISS "," AUD "," SUB ",\"exp\":1699999970}", JWT_EXPIRED},
    {"{" ISS "," AUD "," SUB ",\"exp\":1699999970.9}", JWT_EXPIRED},
    {"{" ISS "," AUD "," SUB "," EXP ",\"nbf\":1700000030}", JWT_OK},
    {"{" ISS "," AUD "," SUB "," EXP ",\"nbf\":1700000031}", JWT_NOT_YET},
    {"{" ISS "," AUD "," SUB "," EXP ",\"iat\":1700000031}", JWT_NOT_YET},
    {"{" ISS "," AUD "," SUB "," EXP ",\"nbf\":\"1\"}", JWT_BAD_TIME},
    {"{" ISS "," AUD "," EXP "}", JWT_BAD_PRINCIPAL},
    {"{" ISS "," AUD ",\"sub\":7," EXP "}", JWT_BAD_PRINCIPAL},
    {"{" ISS "," AUD ",\"sub\":\"\"," EXP "}", JWT_BAD_PRINCIPAL},
    {"{" ISS "," AUD ",\"sub\":\"a\\nb\"," EXP "}", JWT_BAD_PRINCIPAL},
    {"{" ISS "," AUD ",\"sub\":\"a\\u0085b\"," EXP "}", JWT_BAD_PRINCIPAL},
    {"{" ISS "," AUD ",\"sub\":\"a\\u202eb\"," EXP "}", JWT_BAD_PRINCIPAL},
    {"{" ISS "," AUD "," SUB "," EXP ",\"groups\":\"\"}", JWT_OK},
    {"{" ISS "," AUD "," SUB "," EXP ",\"groups\":[]}", JWT_OK},
    {"{" ISS "," AUD "," SUB "," EXP ",\"groups\":7}", JWT_BAD_GROUPS},
    {"{" ISS "," AUD "," SUB "," EXP ",\"groups\":null}", JWT_BAD_GROUPS},
    {"{" ISS "," AUD "," SUB "," EXP ",\"groups\":[\"a\",7]}", JWT_BAD_GROUPS},
    {"{" ISS "," AUD "," SUB "," EXP ",\"groups\":[\"\"]}", JWT_BAD_GROUPS},
    {"{" ISS "," AUD "," SUB "," EXP ",\"groups\":\"a b\\tc\"}", JWT_BAD_GROUPS},
    /* the key is the first issuer's; the second does not allow its algorithm */
    {"{\"iss\":\"https://two.example\"," AUD "," SUB "," EXP "}", JWT_ALG_REFUSED},
};

START_TEST(claims_judged) { ck_assert_int_eq(try(ES, payloads[_i].claims, ec, NULL), payloads[_i].rc); }
END_TEST

START_TEST(names_are_bounded) {
    char text[8192], name[300];
    memset(name, 'n', sizeof name);
    for (int n = 255; n <= 256; n++) {
        snprintf(text, sizeof text, "{" ISS "," AUD "," EXP ",\"sub\":\"%.*s\"}", n, name);
        ck_assert_int_eq(try(RS, text, rsa, NULL), n == 255 ? JWT_OK : JWT_BAD_PRINCIPAL);
    }
    for (int n = 256; n <= 257; n++) {
        int at = snprintf(text, sizeof text, "{" ISS "," AUD "," EXP "," SUB ",\"groups\":\"");
        for (int i = 0; i < n; i++) at += snprintf(text + at, sizeof text - (size_t)at, "g%d ", i);
        strcat(text, "\"}");
        ck_assert_int_eq(try(RS, text, rsa, NULL), n == 256 ? JWT_OK : JWT_BAD_GROUPS);
    }
}
END_TEST

START_TEST(another_key_is_no_key) {
    ck_assert_int_eq(try(RS, CLAIMS, rsa2, NULL), JWT_BAD_SIGNATURE);
    ck_assert_int_eq(try(ES, CLAIMS, ec384, NULL), JWT_BAD_SIGNATURE); /* ES256 with a P-384 key */
    ck_assert_int_eq(try("{\"alg\":\"none\"}", CLAIMS, NULL, NULL), JWT_ALG_REFUSED);
    ck_assert_int_eq(try(RS, CLAIMS, NULL, NULL), JWT_BAD_SIGNATURE);
    ck_assert_int_eq(try(ES, CLAIMS, NULL, NULL), JWT_BAD_SIGNATURE);
    ck_assert_int_eq(try("{\"alg\":\"RS256\"}", "{\"iss\":\"https://two.example\"," AUD "," SUB "," EXP "}", rsa2, NULL),
                     JWT_AMBIGUOUS_KEY);
    ck_assert_int_eq(try("{\"alg\":\"ES256\"}", "{\"iss\":\"https://two.example\"," AUD "," SUB "," EXP "}", ec, NULL), JWT_ALG_REFUSED);
}
END_TEST

/* The classic confusion: the public key, which everybody has, taken as an HMAC secret. */
START_TEST(public_key_as_a_secret) {
    BIO *b = BIO_new(BIO_s_mem());
    char pem[2048] = "";
    ck_assert_int_eq(PEM_write_bio_PUBKEY(b, rsa), 1);
    ck_assert_int_gt(BIO_read(b, pem, sizeof pem - 1), 0);
    BIO_free(b);
    ck_assert_int_eq(try("{\"alg\":\"HS256\",\"kid\":\"r\"}", CLAIMS, NULL, pem), JWT_ALG_REFUSED);
    ck_assert_int_eq(try(RS, CLAIMS, NULL, pem), JWT_BAD_SIGNATURE);
}
END_TEST

START_TEST(text_is_strict) {
    char *token = mint_token(RS, CLAIMS, rsa, NULL), bad[8192];
    size_t len = strlen(token);
    struct jwt_identity *id;
    for (size_t n = 0; n < len; n++) { /* every truncation */
        uint8_t *p = guard_copy(token, n);
        enum jwt_rc rc = jwt_verify(&conf, (const char *)p, n, NOW, &id);
        ck_assert_msg(rc == JWT_MALFORMED || rc == JWT_BAD_BASE64 || rc == JWT_BAD_SIGNATURE, "%zu: %s", n, jwt_rc_name(rc));
        guard_free(p, n);
    }
    for (size_t i = 0; i < len; i++) { /* every character changed */
        char keep = token[i];
        token[i] = keep == 'A' ? 'B' : 'A';
        ck_assert_msg(verify(token, &id) != JWT_OK, "position %zu", i);
        token[i] = keep;
    }
    static const struct {
        const char *form;
        enum jwt_rc rc;
    } forms[] = {{"%s.", JWT_MALFORMED},  {".%s", JWT_MALFORMED},        {"%s.AA", JWT_MALFORMED},
                 {"%s=", JWT_BAD_BASE64}, {"%s==", JWT_BAD_BASE64},      {"%s\n", JWT_BAD_BASE64},
                 {" %s", JWT_BAD_BASE64}, {"Bearer %s", JWT_BAD_BASE64}, {"%sAAAA", JWT_BAD_SIGNATURE}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const char *at = strstr(forms[i].form, "%s");
        snprintf(bad, sizeof bad, "%.*s%s%s", (int)(at - forms[i].form), forms[i].form, token, at + 2);
        ck_assert_msg(verify(bad, &id) == forms[i].rc, "%s", forms[i].form);
    }
    ck_assert_int_eq(verify(token, &id), JWT_OK);
    jwt_identity_free(id);
    free(token);
}
END_TEST

START_TEST(length_is_bounded) {
    char *token = mint_token(RS, CLAIMS, rsa, NULL);
    struct jwt_identity *id;
    conf.max_token = strlen(token);
    ck_assert_int_eq(verify(token, &id), JWT_OK);
    jwt_identity_free(id);
    conf.max_token--;
    ck_assert_int_eq(verify(token, &id), JWT_TOO_LONG);
    conf.max_token = 0;
    free(token);
    char *huge = calloc(1, JWT_TOKEN_MAX + 2);
    memset(huge, 'A', JWT_TOKEN_MAX + 1);
    ck_assert_int_eq(verify(huge, &id), JWT_TOO_LONG);
    huge[JWT_TOKEN_MAX] = '\0';
    ck_assert_int_eq(verify(huge, &id), JWT_MALFORMED);
    free(huge);
}
END_TEST

/* Nesting as deep as a token can hold. */
START_TEST(deep_nesting) {
    char text[5500];
    memset(text, '[', sizeof text);
    memcpy(text, "{\"x\":", 5);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(try(RS, text, rsa, NULL), JWT_BAD_CLAIMS);
}
END_TEST

/* --- algorithms --- */

static const struct kind {
    const char *name;
    int key; /* in keys[] */
    const EVP_MD *(*digest)(void);
    int salt;
} kinds[] = {
    {"RS256", 0, EVP_sha256, -1}, {"RS384", 0, EVP_sha384, -1}, {"RS512", 0, EVP_sha512, -1},   {"PS256", 0, EVP_sha256, 32},
    {"PS384", 0, EVP_sha384, 48}, {"PS512", 0, EVP_sha512, 64}, {"ES256", 1, EVP_sha256, -1},   {"ES384", 2, EVP_sha384, -1},
    {"ES512", 3, EVP_sha512, -1}, {"EdDSA", 4, EVP_sha512, -1}, {"Ed25519", 4, EVP_sha512, -1},
};
#define KINDS (sizeof kinds / sizeof *kinds)
static EVP_PKEY *keys[5];

static void make_keys(void) {
    setup();
    keys[0] = rsa;
    keys[1] = ec;
    keys[2] = ec384;
    keys[3] = EVP_EC_gen("P-521");
    keys[4] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}
static void drop_keys(void) {
    EVP_PKEY_free(keys[3]);
    EVP_PKEY_free(keys[4]);
    teardown();
}

static char *signed_by(const char *name, const struct kind *k, EVP_PKEY *key, int salt) {
    char header[64];
    snprintf(header, sizeof header, "{\"alg\":\"%s\"}", name);
    return mint_token_with(header, CLAIMS, key, k->digest(), salt);
}

/* Verifies and frees the token, against a set of one key, marked with alg ("": not marked), at an issuer that allows algs. */
static enum jwt_rc judged(char *token, EVP_PKEY *key, const char *alg, unsigned algs) {
    char text[2048], mark[64] = "", err[256];
    if (*alg != '\0') snprintf(mark, sizeof mark, ",\"alg\":\"%s\"", alg);
    char *jwk = mint_jwk(key, NULL, mark);
    snprintf(text, sizeof text, "{\"keys\":[%s]}", jwk);
    struct jwks *set = jwks_parse(text, strlen(text), err, sizeof err);
    ck_assert_msg(set != NULL, "%s", err);
    struct jwt_issuer one = issuers[0];
    one.keys = set;
    one.algs = algs;
    struct jwt_identity *id;
    enum jwt_rc rc = jwt_verify(&(struct jwt_conf){&one, 1, 0}, token, strlen(token), NOW, &id);
    jwt_identity_free(id);
    jwks_unref(set);
    free(jwk);
    free(token);
    return rc;
}

START_TEST(every_algorithm) {
    const struct kind *k = &kinds[_i];
    EVP_PKEY *key = keys[k->key];
    unsigned bit = (unsigned)jwa_by_name(k->name)->alg;
    for (int n = 0; n < 20; n++) /* r and s with zeros in front, too */
        ck_assert_int_eq(judged(signed_by(k->name, k, key, k->salt), key, "", bit), JWT_OK);
    ck_assert_int_eq(judged(signed_by(k->name, k, key, k->salt), key, k->name, ~0u), JWT_OK);
    ck_assert_int_eq(judged(signed_by(k->name, k, key, k->salt), key, "", ~bit), JWT_ALG_REFUSED);
    char *token = signed_by(k->name, k, key, k->salt), *last = token + strlen(token) - 20;
    *last = *last == 'A' ? 'B' : 'A';
    ck_assert_int_eq(judged(token, key, "", bit), JWT_BAD_SIGNATURE);
    /* The same signature under every other name: the name is signed, but it is not what decides. */
    for (size_t i = 0; i < KINDS; i++) {
        if (i == (size_t)_i) continue;
        bool same_key = kinds[i].key == k->key;
        enum jwt_rc rc = judged(signed_by(kinds[i].name, k, key, k->salt), key, "", ~0u);
        if (k->key == 4 && same_key)
            ck_assert_int_eq(rc, JWT_OK); /* EdDSA and Ed25519 are one */
        else
            ck_assert_int_eq(rc, same_key ? JWT_BAD_SIGNATURE : JWT_UNKNOWN_KEY);
        /* A key that is marked for one algorithm is for no other. */
        if (same_key) ck_assert_int_eq(judged(signed_by(k->name, k, key, k->salt), key, kinds[i].name, ~0u), JWT_UNKNOWN_KEY);
    }
    /* A key of another type or curve, in whose name the token comes. */
    for (int i = 0; i < 5; i++) {
        if (i == k->key) continue;
        ck_assert_int_eq(judged(signed_by(k->name, k, keys[i], i == 0 ? k->salt : -1), keys[i], "", ~0u), JWT_UNKNOWN_KEY);
        ck_assert_int_eq(judged(signed_by(k->name, k, keys[i], i == 0 ? k->salt : -1), key, "", ~0u), JWT_BAD_SIGNATURE);
    }
}
END_TEST

/* RFC 7518, section 3.5: the salt is as long as the hash. */
START_TEST(salt_length) {
    for (size_t i = 3; i <= 5; i++) {
        const struct kind *k = &kinds[i];
        for (int salt = 0; salt <= 100; salt++)
            ck_assert_msg(judged(signed_by(k->name, k, rsa, salt), rsa, "", ~0u) == (salt == k->salt ? JWT_OK : JWT_BAD_SIGNATURE),
                          "%s with %d", k->name, salt);
    }
}
END_TEST

/* The vector of RFC 8037, appendix A.4. */
START_TEST(ed25519_vector) {
    static const char set[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    static const char text[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    static const char sig[] = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    char err[256];
    uint8_t raw[BASE64URL_DECODED(sizeof sig)];
    size_t len;
    struct jwks_key key;
    struct jwks *keyset = jwks_parse(set, strlen(set), err, sizeof err);
    ck_assert_msg(keyset != NULL, "%s", err);
    ck_assert_int_eq(jwks_find(keyset, JWT_EDDSA, NULL, &key), JWKS_FOUND);
    ck_assert(base64url_decode(sig, strlen(sig), raw, &len));
    ck_assert(jwa_verify(jwa_of(JWT_EDDSA), key.pkey, raw, len, text, strlen(text)));
    ck_assert(!jwa_verify(jwa_of(JWT_EDDSA), key.pkey, raw, len, text, strlen(text) - 1));
    ck_assert(!jwa_verify(jwa_of(JWT_EDDSA), key.pkey, raw, len - 1, text, strlen(text)));
    jwks_unref(keyset);
}
END_TEST

START_TEST(signs_what_it_verifies) {
    for (size_t i = 0; i < KINDS; i++) {
        const struct jwa *a = jwa_at(i);
        uint8_t *sig;
        size_t len;
        ck_assert_str_eq(a->name, kinds[i].name);
        ck_assert(jwa_sign(a, keys[kinds[i].key], "text", 4, &sig, &len));
        ck_assert(jwa_verify(a, keys[kinds[i].key], sig, len, "text", 4));
        ck_assert(!jwa_verify(a, keys[(kinds[i].key + 1) % 5], sig, len, "text", 4));
        OPENSSL_free(sig);
        ck_assert(!jwa_sign(a, keys[(kinds[i].key + 1) % 5], "text", 4, &sig, &len));
        ck_assert_ptr_null(sig);
    }
    ck_assert_ptr_null(jwa_at(KINDS));
}
END_TEST

/* --- claims that the configuration asks for --- */

static const char *const tenants[] = {"t1", "t2"}, *const yes[] = {"true"}, *const levels[] = {"3"}, *const db_scope[] = {"db:use"};
static const struct jwt_require required[] = {
    {"tid", tenants, 2}, {"email_verified", yes, 1}, {"x.level", levels, 1}, {"scope", db_scope, 1}, {"amr", db_scope, 1}};

static const struct {
    size_t which;
    const char *claims;
    bool ok;
} demands[] = {
    {0, "", false},
    {0, ",\"tid\":\"t2\"", true},
    {0, ",\"tid\":\"t3\"", false},
    {0, ",\"tid\":\"t2 \"", false},
    {0, ",\"tid\":\"t1 t2\"", false}, /* a list only in scope and scp */
    {0, ",\"tid\":null", false},
    {0, ",\"tid\":{\"t1\":1}", false},
    {1, ",\"email_verified\":true", true},
    {1, ",\"email_verified\":\"true\"", true},
    {1, ",\"email_verified\":1", false},
    {1, ",\"email_verified\":false", false},
    {2, ",\"x\":{\"level\":3}", true},
    {2, ",\"x\":{\"level\":3.0}", false},
    {2, ",\"x\":{\"level\":33}", false},
    {2, ",\"x\":{\"level\":\"3\"}", true},
    {2, ",\"x.level\":3", true},
    {2, ",\"x\":3", false},
    {3, ",\"scope\":\"openid  db:use\"", true},
    {3, ",\"scope\":\"db:user db:us\"", false},
    {3, ",\"scope\":\"\"", false},
    {3, ",\"scope\":[\"x\",\"db:use\"]", true},
    {4, ",\"amr\":[\"x\",\"db:use\"]", true},
    {4, ",\"amr\":[[\"db:use\"]]", false},
    {4, ",\"amr\":\"x db:use\"", false},
};

START_TEST(required_claims) {
    char text[512];
    snprintf(text, sizeof text, "{" ISS "," AUD "," SUB "," EXP "%s}", demands[_i].claims);
    issuers[0].required = &required[demands[_i].which];
    issuers[0].nrequired = 1;
    ck_assert_msg(try(ES, text, ec, NULL) == (demands[_i].ok ? JWT_OK : JWT_CLAIM_REFUSED), "%s", demands[_i].claims);
    issuers[0].nrequired = 0;
}
END_TEST

static const char *const jobs[] = {"jobs", "nightly"}, *const bots[] = {"bots"};
static const struct jwt_client clients[] = {{"etl", "etl", jobs, 2}, {"bot", "service-7", bots, 1}, {"any", NULL, bots, 1}};

static const struct {
    const char *sub, *claims;
    enum jwt_rc rc;
    size_t groups;
} client_tokens[] = {
    {"etl", ",\"azp\":\"etl\"", JWT_OK, 2},
    {"etl", ",\"client_id\":\"etl\"", JWT_OK, 2},
    {"etl", ",\"azp\":\"etl\",\"client_id\":\"etl\"", JWT_OK, 2},
    {"etl", ",\"cid\":\"etl\"", JWT_OK, 2},
    {"etl", "", JWT_OK, 0},
    {"etl", ",\"azp\":\"bot\"", JWT_OK, 0},
    {"etl", ",\"azp\":\"Etl\"", JWT_OK, 0},
    {"maria", ",\"azp\":\"etl\"", JWT_OK, 0}, /* a person's, got through the client */
    {"bot", ",\"azp\":\"bot\"", JWT_OK, 0},
    {"service-7", ",\"azp\":\"bot\"", JWT_OK, 1},
    {"maria", ",\"azp\":\"any\"", JWT_OK, 1},
    {"etl", ",\"azp\":\"etl\",\"groups\":[]", JWT_OK, 0}, /* a token with groups has those */
    {"etl", ",\"azp\":\"etl\",\"groups\":[\"x\"]", JWT_OK, 1},
    {"etl", ",\"azp\":\"etl\",\"groups\":null", JWT_BAD_GROUPS, 0},
    {"etl", ",\"azp\":\"etl\",\"client_id\":\"bot\"", JWT_BAD_CLIENT, 0},
    {"etl", ",\"azp\":\"etl\",\"appid\":7", JWT_BAD_CLIENT, 0},
    {"etl", ",\"azp\":\"etl\",\"_claim_names\":{\"groups\":\"src1\"}", JWT_BAD_GROUPS, 0},
    {"etl", ",\"azp\":\"etl\",\"hasgroups\":true", JWT_BAD_GROUPS, 0},
    {"etl", ",\"azp\":\"etl\",\"_claim_names\":{\"other\":\"src1\"}", JWT_OK, 2},
};

START_TEST(client_groups) {
    char text[512];
    struct jwt_identity *id;
    issuers[0].clients = clients;
    issuers[0].nclients = 3;
    snprintf(text, sizeof text, "{" ISS "," AUD "," EXP ",\"sub\":\"%s\"%s}", client_tokens[_i].sub, client_tokens[_i].claims);
    char *token = mint_token(ES, text, ec, NULL);
    ck_assert_msg(verify(token, &id) == client_tokens[_i].rc, "%s", text);
    if (id != NULL) ck_assert_msg(id->ngroups == client_tokens[_i].groups, "%s: %zu", text, id->ngroups);
    jwt_identity_free(id);
    free(token);
    issuers[0].nclients = 0;
}
END_TEST

/* The claim is named, as the configuration has it, and its value is not. */
static void says(const char *payload, enum jwt_rc want, const char *reason) {
    char *token = mint_token(ES, payload, ec, NULL), got[JWT_REASON];
    struct jwt_identity *id;
    struct jwt_why why;
    ck_assert_int_eq(jwt_verify_from(&conf, token, strlen(token), NOW, &id, &why), want);
    ck_assert_str_eq(jwt_reason(want, &why, got, sizeof got), reason);
    jwt_identity_free(id);
    free(token);
}

START_TEST(attributes) {
    static const struct jwt_attribute list[] = {
        {"region", "org.region"}, {"level", "level"}, {"ok", "ok"}, {"space", "kubernetes.io.space"}};
    static const char *const bad[] = {",\"level\":1.5", ",\"level\":[1]",       ",\"level\":null",
                                      ",\"level\":{}",  ",\"level\":\"a\\nb\"", ",\"level\":\"a\\u202eb\""};
    struct jwt_identity *id, *other;
    char text[1024], value[300];
    issuers[0].attributes = list;
    issuers[0].nattributes = 4;
    char *token = mint_token(ES, "{" ISS "," AUD "," SUB "," EXP ",\"org\":{\"region\":\"eu'; --\"},\"ok\":false}", ec, NULL);
    ck_assert_int_eq(verify(token, &id), JWT_OK);
    ck_assert_uint_eq(id->nattributes, 2);
    ck_assert_str_eq(id->attributes[0].name, "region");
    ck_assert_str_eq(id->attributes[0].value, "eu'; --");
    ck_assert_str_eq(id->attributes[1].name, "ok");
    ck_assert_str_eq(id->attributes[1].value, "false");
    ck_assert(jwt_identity_same(id, id));
    free(token);
    token = mint_token(ES, "{" ISS "," AUD "," SUB "," EXP ",\"org\":{\"region\":\"us\"},\"ok\":false,\"level\":-7}", ec, NULL);
    ck_assert_int_eq(verify(token, &other), JWT_OK);
    ck_assert_uint_eq(other->nattributes, 3);
    ck_assert_str_eq(other->attributes[1].value, "-7");
    ck_assert(!jwt_identity_same(id, other));
    other->nattributes = 2;
    ck_assert(!jwt_identity_same(id, other));
    other->nattributes = 3;
    jwt_identity_free(other);
    jwt_identity_free(id);
    free(token);
    token = mint_token(ES, "{" ISS "," AUD "," SUB "," EXP ",\"kubernetes\":{\"x\":1},\"kubernetes.io\":{\"space\":\"s\"}}", ec, NULL);
    ck_assert_int_eq(verify(token, &id), JWT_OK); /* a name with a dot, and one that only begins like it */
    ck_assert_uint_eq(id->nattributes, 1);
    ck_assert_str_eq(id->attributes[0].value, "s");
    jwt_identity_free(id);
    free(token);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "{" ISS "," AUD "," SUB "," EXP "%s}", bad[i]);
        ck_assert_msg(try(ES, text, ec, NULL) == JWT_BAD_ATTRIBUTE, "%s", bad[i]);
    }
    says("{" ISS "," AUD "," SUB "," EXP ",\"org\":{\"region\":[\"c4n4ry\"]},\"level\":1.5}", JWT_BAD_ATTRIBUTE,
         "bad attribute claim: org.region");
    says("{" ISS "," AUD "," SUB "," EXP ",\"level\":1.5}", JWT_BAD_ATTRIBUTE, "bad attribute claim: level");
    says("{" ISS "," AUD "," SUB "," EXP ",\"level\":1}", JWT_OK, "ok");
    issuers[0].required = &required[2];
    issuers[0].nrequired = 1;
    says("{" ISS "," AUD "," SUB "," EXP ",\"level\":1.5}", JWT_CLAIM_REFUSED, "required claim missing or different: x.level");
    issuers[0].nrequired = 0;
    memset(value, 'v', sizeof value);
    for (int n = JWT_ATTRIBUTE_MAX; n <= JWT_ATTRIBUTE_MAX + 1; n++) {
        snprintf(text, sizeof text, "{" ISS "," AUD "," SUB "," EXP ",\"level\":\"%.*s\"}", n, value);
        ck_assert_int_eq(try(ES, text, ec, NULL), n == JWT_ATTRIBUTE_MAX ? JWT_OK : JWT_BAD_ATTRIBUTE);
    }
    issuers[0].nattributes = 0;
}
END_TEST

/* Keys that are fetched, and are not there yet: the caller learns where to wait for them, for this issuer and these causes alone. */
START_TEST(keys_that_are_fetched) {
    const struct keysource_conf where = {.issuer = "https://idp.example", .jwks_url = "https://idp.example/keys"};
    struct keysource *source = keysource_new(&where);
    struct jwt_why got;
    struct jwt_issuer one = issuers[0];
    const struct jwt_conf of_one = {&one, 1, 0};
    struct jwt_identity *id;
    char *good = mint_token(RS, CLAIMS, rsa, NULL), *strange = mint_token("{\"alg\":\"RS256\",\"kid\":\"z\"}", CLAIMS, rsa, NULL);
    char *elsewhere = mint_token(RS, "{\"iss\":\"https://elsewhere.example\"," AUD "," SUB "," EXP "}", rsa, NULL);
    char *none = mint_token("{\"alg\":\"none\"}", CLAIMS, NULL, NULL);
    ck_assert_ptr_nonnull(source);
    ck_assert_int_eq(jwt_verify_from(&of_one, strange, strlen(strange), NOW, &id, &got), JWT_UNKNOWN_KEY);
    ck_assert_ptr_null(got.source); /* of a file: nothing to wait for */
    one.source = source;
    ck_assert_int_eq(jwt_verify_from(&of_one, strange, strlen(strange), NOW, &id, &got), JWT_UNKNOWN_KEY);
    ck_assert_ptr_eq(got.source, source);
    ck_assert_int_eq(jwt_verify_from(&of_one, good, strlen(good), NOW, &id, &got), JWT_OK);
    ck_assert_ptr_null(got.source);
    jwt_identity_free(id);
    one.keys = NULL;
    ck_assert_int_eq(jwt_verify_from(&of_one, good, strlen(good), NOW, &id, &got), JWT_NO_KEYS);
    ck_assert_ptr_eq(got.source, source);
    ck_assert_ptr_null(id);
    ck_assert_int_eq(jwt_verify_from(&of_one, elsewhere, strlen(elsewhere), NOW, &id, &got), JWT_BAD_ISSUER);
    ck_assert_ptr_null(got.source);
    ck_assert_int_eq(jwt_verify_from(&of_one, none, strlen(none), NOW, &id, &got), JWT_ALG_REFUSED);
    ck_assert_ptr_null(got.source);
    free(good);
    free(strange);
    free(elsewhere);
    free(none);
    keysource_free(source);
}
END_TEST

/* --- ID tokens --- */

static const struct {
    const char *header, *claims; /* behind iss, sub and exp */
    enum jwt_rc rc;
} id_tokens[] = {
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "\"aud\":\"page\",\"nonce\":\"n-1\"", JWT_OK},
    {"{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"jwt\"}", "\"aud\":[\"page\"],\"nonce\":\"n-1\",\"azp\":\"page\"", JWT_OK},
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "\"aud\":[\"page\",\"x\"],\"nonce\":\"n-1\",\"azp\":\"page\"", JWT_OK},
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "\"aud\":[\"page\",\"x\"],\"nonce\":\"n-1\"", JWT_BAD_AUDIENCE},
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "\"aud\":\"page\",\"nonce\":\"n-1\",\"azp\":\"x\"", JWT_BAD_AUDIENCE},
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "\"aud\":\"page\",\"nonce\":\"n-1\",\"azp\":null", JWT_BAD_AUDIENCE},
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "\"aud\":\"gatehouse\",\"nonce\":\"n-1\"", JWT_BAD_AUDIENCE}, /* an access token's */
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "\"aud\":\"page\"", JWT_BAD_NONCE},
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "\"aud\":\"page\",\"nonce\":\"n-2\"", JWT_BAD_NONCE},
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "\"aud\":\"page\",\"nonce\":\"n-11\"", JWT_BAD_NONCE},
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}", "\"aud\":\"page\",\"nonce\":[\"n-1\"]", JWT_BAD_NONCE},
    {"{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"at+jwt\"}", "\"aud\":\"page\",\"nonce\":\"n-1\"", JWT_BAD_TYP},
    {"{\"alg\":\"RS256\",\"kid\":\"r\"}",
     "\"aud\":\"page\",\"nonce\":\"n-1\",\"cnf\":{\"x5t#S256\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", JWT_BAD_BINDING},
    {"{\"alg\":\"none\"}", "\"aud\":\"page\",\"nonce\":\"n-1\"", JWT_ALG_REFUSED},
};

START_TEST(id_token) {
    char claims[512];
    struct jwt_identity *id;
    struct jwt_why why;
    const struct jwt_id_wanted wanted = {.client_id = "page", .nonce = "n-1"};
    snprintf(claims, sizeof claims, "{\"iss\":\"%s\",\"sub\":\"dba\",\"exp\":%d,%s}", issuers[0].issuer, NOW + 60, id_tokens[_i].claims);
    char *token = mint_token(id_tokens[_i].header, claims, strstr(id_tokens[_i].header, "none") != NULL ? NULL : rsa, NULL);
    ck_assert_int_eq(jwt_verify_id(&issuers[0], &wanted, token, strlen(token), NOW, &id, &why), id_tokens[_i].rc);
    ck_assert((id != NULL) == (id_tokens[_i].rc == JWT_OK));
    jwt_identity_free(id);
    free(token);
    ck_assert_uint_eq(issuers[0].naudiences, 2); /* untouched */
}
END_TEST

START_TEST(every_cause_has_a_name) {
    for (int i = JWT_OK; i <= JWT_RC_LAST; i++) {
        ck_assert_str_ne(jwt_rc_name((enum jwt_rc)i), "unknown");
        for (int k = JWT_OK; k < i; k++) ck_assert_str_ne(jwt_rc_name((enum jwt_rc)i), jwt_rc_name((enum jwt_rc)k));
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("jwt");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_add_test(t, good_tokens);
    tcase_add_loop_test(t, id_token, 0, sizeof id_tokens / sizeof *id_tokens);
    tcase_add_loop_test(t, headers_refused, 0, sizeof headers / sizeof *headers);
    tcase_add_loop_test(t, claims_judged, 0, sizeof payloads / sizeof *payloads);
    tcase_add_test(t, names_are_bounded);
    tcase_add_test(t, another_key_is_no_key);
    tcase_add_test(t, public_key_as_a_secret);
    tcase_add_test(t, text_is_strict);
    tcase_add_test(t, length_is_bounded);
    tcase_add_test(t, deep_nesting);
    tcase_add_test(t, every_cause_has_a_name);
    tcase_add_test(t, keys_that_are_fetched);
    tcase_add_loop_test(t, required_claims, 0, sizeof demands / sizeof *demands);
    tcase_add_loop_test(t, client_groups, 0, sizeof client_tokens / sizeof *client_tokens);
    tcase_add_test(t, attributes);
    suite_add_tcase(s, t);
    t = tcase_create("algorithms");
    tcase_add_unchecked_fixture(t, make_keys, drop_keys);
    tcase_add_loop_test(t, every_algorithm, 0, KINDS);
    tcase_add_test(t, salt_length);
    tcase_add_test(t, ed25519_vector);
    tcase_add_test(t, signs_what_it_verifies);
    suite_add_tcase(s, t);
    return run_suite(s);
}
