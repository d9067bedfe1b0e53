#include "spoa/base64url.h"
#include "spoa/jwks.h"
#include "t/lib/guard.h"
#include "t/lib/mint.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *rsa, *rsa_b, *rsa_nameless, *ec, *ec384, *ec521, *ed, *small;
static char err[512];

static char *jwk_of(EVP_PKEY *pkey, const char *kid, const char *extra) {
    ck_assert_ptr_nonnull(pkey);
    char *text = mint_jwk(pkey, kid, extra);
    EVP_PKEY_free(pkey);
    return text;
}

static void setup(void) {
    EVP_PKEY *key = EVP_RSA_gen(2048);
    EVP_PKEY_up_ref(key);
    EVP_PKEY_up_ref(key);
    rsa = jwk_of(key, "a", ",\"use\":\"sig\",\"alg\":\"RS256\",\"key_ops\":[\"verify\"],\"x5c\":[]");
    rsa_b = jwk_of(key, "b", "");
    rsa_nameless = jwk_of(key, NULL, "");
    ec = jwk_of(EVP_EC_gen("P-256"), "e", "");
    ec384 = jwk_of(EVP_EC_gen("P-384"), "e384", "");
    ec521 = jwk_of(EVP_EC_gen("P-521"), "e521", "");
    ed = jwk_of(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "ed", "");
    small = jwk_of(EVP_RSA_gen(1024), "s", "");
}
static void teardown(void) {
    char *all[] = {rsa, rsa_b, rsa_nameless, ec, ec384, ec521, ed, small};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static struct jwks *parse(const char *text) {
    size_t len = strlen(text);
    uint8_t *p = guard_copy(text, len);
    err[0] = '\0';
    struct jwks *set = jwks_parse((const char *)p, len, err, sizeof err);
    guard_free(p, len);
    return set;
}

/* A set of two keys; the second may be "". */
static struct jwks *set_of(const char *a, const char *b) {
    char text[8192];
    snprintf(text, sizeof text, "{\"keys\":[%s%s%s]}", a, *b == '\0' ? "" : ",", b);
    return parse(text);
}

static void refused(struct jwks *set, const char *sentence) {
    ck_assert_ptr_null(set);
    ck_assert_msg(strstr(err, sentence) != NULL, "%s", err);
}

START_TEST(base64url_is_strict) {
    static const struct {
        const char *text;
        int len; /* -1: refused */
    } v[] = {{"", 0},     {"AA", 1},    {"AAA", 2},  {"AAAA", 3}, {"-_-_", 3},    {"A", -1},    {"AAAAA", -1},  {"AB", -1},
             {"AAB", -1}, {"AA==", -1}, {"AA=", -1}, {"A A", -1}, {"AAAA\n", -1}, {"+/+/", -1}, {"AAA\xc1", -1}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        size_t n = strlen(v[i].text), got = 0;
        uint8_t out[16], *p = guard_copy(v[i].text, n);
        bool ok = base64url_decode((const char *)p, n, out, &got);
        ck_assert_msg(ok == (v[i].len >= 0) && (!ok || got == (size_t)v[i].len), "%s", v[i].text);
        guard_free(p, n);
    }
    char text[16];
    base64url_encode("\x00\xff\xfe\x01", 4, text);
    ck_assert_str_eq(text, "AP_-AQ");
}
END_TEST

START_TEST(finds_the_one_key) {
    struct jwks *set = set_of(rsa, ec);
    struct jwks_key key;
    ck_assert_msg(set != NULL, "%s", err);
    ck_assert_uint_eq(jwks_count(set), 2);
    ck_assert_int_eq(jwks_find(set, JWT_RS256, "a", &key), JWKS_FOUND);
    ck_assert_str_eq(key.kid, "a");
    ck_assert(EVP_PKEY_is_a(key.pkey, "RSA"));
    ck_assert_int_eq(jwks_find(set, JWT_ES256, NULL, &key), JWKS_FOUND);
    ck_assert_str_eq(key.kid, "e");
    ck_assert_int_eq(jwks_find(set, JWT_ES256, "a", &key), JWKS_MISMATCH);
    ck_assert_int_eq(jwks_find(set, JWT_RS256, "z", &key), JWKS_UNKNOWN);
    ck_assert_int_eq(jwks_find(set, JWT_RS256, "", &key), JWKS_UNKNOWN);
    jwks_unref(set);
    set = set_of(rsa, rsa_nameless);
    ck_assert_int_eq(jwks_find(set, JWT_RS256, NULL, &key), JWKS_AMBIGUOUS);
    ck_assert_int_eq(jwks_find(set, JWT_ES256, NULL, &key), JWKS_UNKNOWN);
    ck_assert_int_eq(jwks_find(set, JWT_RS256, "", &key), JWKS_UNKNOWN);
    jwks_unref(set);
}
END_TEST

/* A key is for every algorithm of its type and curve, or for the one that it names. */
START_TEST(algorithms_of_a_key) {
    struct jwks_key key;
    struct jwks *set = set_of(rsa, ec384);
    ck_assert_uint_eq(jwks_algs(set, 0), JWT_RS256);
    ck_assert_str_eq(jwks_kid(set, 1), "e384");
    ck_assert_uint_eq(jwks_algs(set, 1), JWT_ES384);
    ck_assert_int_eq(jwks_find(set, JWT_PS256, "a", &key), JWKS_MISMATCH);
    ck_assert_int_eq(jwks_find(set, JWT_ES256, "e384", &key), JWKS_MISMATCH);
    jwks_unref(set);
    set = set_of(rsa_b, ed);
    ck_assert_uint_eq(jwks_algs(set, 0), JWT_RS256 | JWT_RS384 | JWT_RS512 | JWT_PS256 | JWT_PS384 | JWT_PS512);
    ck_assert_uint_eq(jwks_algs(set, 1), JWT_EDDSA | JWT_ED25519);
    ck_assert_int_eq(jwks_find(set, JWT_PS512, "b", &key), JWKS_FOUND);
    jwks_unref(set);
    set = set_of(ec521, "");
    ck_assert_uint_eq(jwks_algs(set, 0), JWT_ES512);
    ck_assert_ptr_eq(jwks_ref(set), set);
    jwks_unref(set);
    ck_assert_uint_eq(jwks_count(set), 1);
    jwks_unref(set);
}
END_TEST

START_TEST(passes_over_what_is_not_for_us) {
    static const char *const others[] = {
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"ES256\",\"x\":\"AA\"}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"AAAA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"use\":7,\"n\":\"AAAA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"alg\":\"RSA-OAEP\",\"n\":\"AAAA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"key_ops\":[\"encrypt\"],\"n\":\"AAAA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"key_ops\":\"verify\",\"n\":\"AAAA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"alg\":\"ES256\",\"n\":\"AAAA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"alg\":\"HS256\",\"n\":\"AAAA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-384\",\"alg\":\"ES256\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\"}",
        "{\"kty\":\"EC\",\"crv\":\"p-256\"}",
        "{\"kty\":\"RSA\",\"alg\":7,\"n\":\"AAAA\",\"e\":\"AQAB\"}",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct jwks *set = set_of(others[i], rsa);
        ck_assert_msg(set != NULL && jwks_count(set) == 1, "%s: %s", others[i], err);
        jwks_unref(set);
        refused(set_of(others[i], ""), "no key that can verify");
    }
    refused(set_of("", ""), "no key that can verify");
}
END_TEST

START_TEST(refuses_what_is_wrong) {
    refused(set_of(rsa, rsa), "JWKS key 2: its kid is that of an earlier key");
    refused(set_of(rsa, small), "JWKS key 2: an RSA key of 1024 bits");
    refused(set_of("{\"kty\":\"RSA\",\"n\":\"AAAA\"}", ""), "n or e is missing");
    refused(set_of("{\"kty\":\"RSA\",\"n\":\"AA==\",\"e\":\"AQAB\"}", ""), "n or e is missing or not base64url");
    refused(set_of("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"d\":\"AQAB\"}", ""), "a private key");
    refused(set_of("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}", ""), "not 32 bytes");
    refused(set_of("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
                   "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}",
                   ""),
            "not a point on P-256");
    refused(set_of("{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AAAA\",\"y\":\"AAAA\"}", ""), "not 66 bytes");
    refused(set_of("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}", ""), "not 32 bytes");
    refused(set_of("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\",\"d\":\"AAAA\"}", ""), "a private key");
    refused(set_of("{\"kty\":\"EC\",\"crv\":\"P-384\",\"alg\":\"ES256\",\"d\":\"AAAA\"}", ""), "a private key");
    refused(set_of("7", ""), "not an object");
    refused(set_of("{}", ""), "kty is missing");
    refused(parse("[]"), "not a JSON object");
    refused(parse("{}"), "\"keys\" is missing");
    refused(parse("{\"keys\":[],\"keys\":[]}"), "not valid JSON, line 1");
    refused(parse(""), "not valid JSON");
    refused(parse("{\"keys\":[]} x"), "not valid JSON");
    char *long_text = calloc(1, JWKS_FILE_MAX + 2);
    memset(long_text, ' ', JWKS_FILE_MAX + 1);
    ck_assert_ptr_null(jwks_parse(long_text, JWKS_FILE_MAX + 1, err, sizeof err));
    ck_assert_ptr_nonnull(strstr(err, "longer than"));
    free(long_text);
    char one[1] = "x";
    ck_assert_ptr_null(jwks_parse("", 0, one, 1)); /* a sentence that does not fit is cut */
    ck_assert_int_eq(one[0], '\0');
}
END_TEST

START_TEST(from_a_file) {
    char path[] = "/tmp/test_jwks.XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_gt(dprintf(fd, "{\"keys\":[%s]}\n", ec), 0);
    close(fd);
    struct jwks *set = jwks_load(path, err, sizeof err);
    ck_assert_msg(set != NULL, "%s", err);
    ck_assert_uint_eq(jwks_count(set), 1);
    jwks_unref(set);
    unlink(path);
    refused(jwks_load(path, err, sizeof err), "cannot open the JWKS file /tmp/test_jwks.");
    refused(jwks_load("/", err, sizeof err), "/");
}
END_TEST

int main(void) {
    Suite *s = suite_create("jwks");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_add_test(t, base64url_is_strict);
    tcase_add_test(t, finds_the_one_key);
    tcase_add_test(t, algorithms_of_a_key);
    tcase_add_test(t, passes_over_what_is_not_for_us);
    tcase_add_test(t, refuses_what_is_wrong);
    tcase_add_test(t, from_a_file);
    suite_add_tcase(s, t);
    return run_suite(s);
}
