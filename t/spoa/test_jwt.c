#include "spoa/jwt.h"
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
    jwks_free(both);
    jwks_free(two);
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
    {"{\"alg\":\"RS384\",\"kid\":\"r\"}", JWT_ALG_REFUSED},
    {"{\"alg\":\"PS256\",\"kid\":\"r\"}", JWT_ALG_REFUSED},
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

START_TEST(every_cause_has_a_name) {
    for (int i = JWT_OK; i <= JWT_BAD_GROUPS; i++) {
        ck_assert_str_ne(jwt_rc_name((enum jwt_rc)i), "unknown");
        for (int k = JWT_OK; k < i; k++) ck_assert_str_ne(jwt_rc_name((enum jwt_rc)i), jwt_rc_name((enum jwt_rc)k));
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("jwt");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, good_tokens);
    tcase_add_loop_test(t, headers_refused, 0, sizeof headers / sizeof *headers);
    tcase_add_loop_test(t, claims_judged, 0, sizeof payloads / sizeof *payloads);
    tcase_add_test(t, names_are_bounded);
    tcase_add_test(t, another_key_is_no_key);
    tcase_add_test(t, public_key_as_a_secret);
    tcase_add_test(t, text_is_strict);
    tcase_add_test(t, length_is_bounded);
    tcase_add_test(t, deep_nesting);
    tcase_add_test(t, every_cause_has_a_name);
    suite_add_tcase(s, t);
    return run_suite(s);
}
