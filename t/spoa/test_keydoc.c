#include "spoa/keydoc.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char err[512];

START_TEST(addresses) {
    static const struct {
        const char *url;
        bool ok, with_http;
    } v[] = {
        {"https://idp.example", true, true},
        {"https://idp.example/realms/x?y=1", true, true},
        {"HTTPS://idp.example:8443/keys", true, true},
        {"https://[::1]/", true, true},
        {"http://127.0.0.1:8080/keys", false, true},
        {"http://127.9.9.9/", false, true},
        {"http://[::1]:1/", false, true},
        {"http://localhost/", false, false}, /* a name may mean another address tomorrow */
        {"http://127.0.0.1.evil.example/", false, false},
        {"http://128.0.0.1/", false, false},
        {"http://[::ffff:127.0.0.1]/", false, false},
        {"http://[::2]/", false, false},
        {"http://0.0.0.0/", false, false},
        {"http://idp.example/", false, false},
        {"https://user@idp.example/", false, false},
        {"https://user:pw@idp.example/", false, false},
        {"https://idp.example/#x", false, false},
        {"https://", false, false},
        {"idp.example", false, false},
        {"//idp.example/keys", false, false},
        {"/keys", false, false},
        {"", false, false},
        {"ftp://idp.example/", false, false},
        {"file:///etc/passwd", false, false},
        {"gopher://127.0.0.1/", false, false},
        {"https://idp example/", false, false},
        {"https://idp.example/a b", false, false},
        {"https://idp.example/\r\nHost: x", false, false},
        {"https:/idp.example/x", false, false},
        {"https:\xe2\x80\xae//idp.example/x", false, false},
        {"https://idp.example/\xe2\x80\xae", false, false},
        {"https:///idp.example/x", false, false},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        ck_assert_msg(keydoc_url_ok(v[i].url, false, err, sizeof err) == v[i].ok, "%s", v[i].url);
        ck_assert_msg(keydoc_url_ok(v[i].url, true, err, sizeof err) == v[i].with_http, "%s", v[i].url);
    }
    char *url = malloc(KEYDOC_URL_MAX + 2);
    for (size_t len = KEYDOC_URL_MAX; len <= KEYDOC_URL_MAX + 1; len++) {
        memset(url, 'a', len);
        memcpy(url, "https://idp.example/", 20);
        url[len] = '\0';
        ck_assert(keydoc_url_ok(url, false, err, sizeof err) == (len == KEYDOC_URL_MAX));
    }
    ck_assert_ptr_nonnull(strstr(err, "too long"));
    free(url);
}
END_TEST

START_TEST(where_discovery_is) {
    static const char *const v[][2] = {
        {"https://idp.example", "https://idp.example/.well-known/openid-configuration"},
        {"https://idp.example/", "https://idp.example/.well-known/openid-configuration"},
        {"https://idp.example/realms/x", "https://idp.example/realms/x/.well-known/openid-configuration"},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        char *url = keydoc_discovery_url(v[i][0]);
        ck_assert_str_eq(url, v[i][1]);
        free(url);
    }
}
END_TEST

static char *jwks_uri(const char *text, bool allow_http) {
    size_t len = strlen(text);
    uint8_t *p = guard_copy(text, len);
    char *uri = keydoc_jwks_uri((const char *)p, len, "https://idp.example", allow_http, err, sizeof err);
    guard_free(p, len);
    return uri;
}

START_TEST(discovery_document) {
    static const struct {
        const char *text, *why; /* why NULL: good */
    } v[] = {
        {"{\"issuer\":\"https://idp.example\",\"jwks_uri\":\"https://keys.example/k\",\"x\":[1]}", NULL},
        {"{\"issuer\":\"https://idp.example/\",\"jwks_uri\":\"https://keys.example/k\"}", "of the issuer \"https://idp.example/\""},
        {"{\"issuer\":\"https://IDP.example\",\"jwks_uri\":\"https://keys.example/k\"}", "of the issuer"},
        {"{\"issuer\":[\"https://idp.example\"],\"jwks_uri\":\"https://keys.example/k\"}", "of the issuer \"\""},
        {"{\"jwks_uri\":\"https://keys.example/k\"}", "of the issuer \"\""},
        {"{\"issuer\":\"https://idp.example\"}", "no jwks_uri"},
        {"{\"issuer\":\"https://idp.example\",\"jwks_uri\":7}", "no jwks_uri"},
        {"{\"issuer\":\"https://idp.example\",\"jwks_uri\":\"http://keys.example/k\"}", "must begin with https://"},
        {"{\"issuer\":\"https://idp.example\",\"jwks_uri\":\"/k\"}", "absolute"},
        {"{\"issuer\":\"https://idp.example\",\"issuer\":\"https://idp.example\",\"jwks_uri\":\"https://keys.example/k\"}",
         "no JSON object"},
        {"[]", "no JSON object"},
        {"", "no JSON object"},
        {"<html>", "no JSON object"},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        char *uri = jwks_uri(v[i].text, false);
        if (v[i].why == NULL)
            ck_assert_str_eq(uri, "https://keys.example/k");
        else
            ck_assert_msg(uri == NULL && strstr(err, v[i].why) != NULL, "%s: %s", v[i].text, err);
        free(uri);
    }
    static const char local[] = "{\"issuer\":\"https://idp.example\",\"jwks_uri\":\"http://127.0.0.1/k\"}";
    ck_assert_ptr_null(jwks_uri(local, false));
    char *uri = jwks_uri(local, true);
    ck_assert_str_eq(uri, "http://127.0.0.1/k");
    free(uri);
}
END_TEST

START_TEST(how_long) {
    static const struct {
        const char *value;
        int64_t age;
    } v[] = {
        {"", -1},
        {"max-age=600", 600},
        {" public, max-age=600, must-revalidate\r\n", 600},
        {"Max-Age=5", 5},
        {"max-age=\"7\"", 7},
        {"max-age=0", 0},
        {"max-age=", -1},
        {"max-age=-1", -1},
        {"max-age=1x", -1},
        {"s-maxage=5", -1},
        {"max-age=99999999999999999999999999", 315360000},
        {"no-store, max-age=600", 0},
        {"max-age=600, no-cache", 0},
        {"max-age=5, max-age=600", 5},
        {",,,", -1},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        size_t len = strlen(v[i].value);
        uint8_t *p = guard_copy(v[i].value, len);
        ck_assert_msg(keydoc_max_age((const char *)p, len) == v[i].age, "%s", v[i].value);
        guard_free(p, len);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("keydoc");
    TCase *t = tcase_create("all");
    tcase_add_test(t, addresses);
    tcase_add_test(t, where_discovery_is);
    tcase_add_test(t, discovery_document);
    tcase_add_test(t, how_long);
    suite_add_tcase(s, t);
    return run_suite(s);
}
