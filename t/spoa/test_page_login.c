/* Signing in without the network: what the browser keeps, what is sent, and who is signed in. */
#include <config.h>

#include "spoa/base64url.h"
#include "spoa/page_session.h"
#include "t/lib/guard.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 5000000u

static struct login_keys *keys, *others;
static struct page_sessions *table;

static void setup(void) {
    keys = login_keys_new();
    others = login_keys_new();
    table = page_sessions_new();
    ck_assert(keys != NULL && others != NULL && table != NULL);
}

static void teardown(void) {
    login_keys_free(keys);
    login_keys_free(others);
    page_sessions_free(table);
}

START_TEST(there_and_back) {
    struct login a, b, c;
    ck_assert(login_begin(keys, "0123456789abcdef", NOW, &a));
    ck_assert(login_resume(keys, a.cookie, NOW + LOGIN_TIME_MS - 1, &b));
    ck_assert_str_eq(a.state, b.state);
    ck_assert_str_eq(a.nonce, b.nonce);
    ck_assert_str_eq(a.verifier, b.verifier);
    ck_assert_str_eq(b.next, "0123456789abcdef");
    ck_assert_str_ne(a.state, a.nonce);
    ck_assert_str_ne(a.state, a.verifier);
    ck_assert_uint_eq(strlen(a.state), 43);
    ck_assert(!login_resume(keys, a.cookie, NOW + LOGIN_TIME_MS, &c)); /* too late */
    ck_assert(!login_resume(keys, a.cookie, NOW - 1, &c));             /* from the time to come */
    ck_assert(!login_resume(others, a.cookie, NOW, &c));               /* of another process */
    ck_assert(login_begin(keys, "", NOW, &c));
    ck_assert_str_ne(a.cookie, c.cookie);
    ck_assert_str_ne(a.state, c.state);
    ck_assert_str_eq(c.next, "");
}
END_TEST

START_TEST(changed_cookies) {
    struct login a, b;
    ck_assert(login_begin(keys, "", NOW, &a));
    size_t n = strlen(a.cookie);
    for (size_t i = 0; i < n; i++) {
        char copy[LOGIN_COOKIE_SIZE];
        memcpy(copy, a.cookie, n + 1);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        ck_assert_msg(!login_resume(keys, copy, NOW, &b), "at %zu", i);
        memcpy(copy, a.cookie, n + 1);
        copy[i] = '\0';
        ck_assert(!login_resume(keys, copy, NOW, &b));
    }
    char longer[LOGIN_COOKIE_SIZE + 1];
    snprintf(longer, sizeof longer, "%sA", a.cookie);
    ck_assert(!login_resume(keys, longer, NOW, &b));
    ck_assert(login_resume(keys, a.cookie, NOW, &b));
}
END_TEST

START_TEST(once) {
    struct login a, b, more;
    ck_assert(login_begin(keys, "", NOW, &a));
    ck_assert(login_resume(keys, a.cookie, NOW, &b));
    login_used(keys, &b, NOW);
    ck_assert(!login_resume(keys, a.cookie, NOW, &b));
    for (int i = 0; i < 1000; i++) {
        ck_assert(login_begin(keys, "", NOW, &more));
        login_used(keys, &more, NOW);
    }
    ck_assert(!login_resume(keys, a.cookie, NOW, &b));
}
END_TEST

START_TEST(addresses) {
    const struct login_client c = {.id = "a client&id=x", .redirect_uri = "https://a.example:8444/callback", .scope = "openid groups"};
    struct login l = {.state = "S", .nonce = "N", .verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"};
    char *got = login_address("https://idp.example/authorize", &c, &l); /* the verifier and its challenge: RFC 7636, appendix B */
    ck_assert_str_eq(
        got, "https://idp.example/authorize?response_type=code&client_id=a%20client%26id%3Dx&redirect_uri=https%3A%2F%2Fa.example%3A8444%2F"
             "callback&scope=openid%20groups&state=S&nonce=N&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_"
             "method=S256");
    free(got);
    got = login_address("https://idp.example/a?p=1", &c, &l);
    ck_assert_ptr_nonnull(strstr(got, "/a?p=1&response_type=code&"));
    free(got);
    const char *const more[] = {"audience", "https://g/?a&b", "prompt", "login", NULL};
    const struct login_client with = {.id = "i", .redirect_uri = "r", .scope = "openid", .more = more};
    got = login_address("https://idp.example/a", &with, &l);
    ck_assert_ptr_nonnull(strstr(got, "S256&audience=https%3A%2F%2Fg%2F%3Fa%26b&prompt=login"));
    free(got);
    got = login_token_form(&c, &l, "c/o+de", NULL);
    ck_assert_str_eq(
        got,
        "grant_type=authorization_code&code=c%2Fo%2Bde&redirect_uri=https%3A%2F%2Fa.example%3A8444%2Fcallback&client_id=a%20client%26id"
        "%3Dx&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    free(got);
    got = login_token_form(&c, &l, "x", "s&x");
    ck_assert_ptr_nonnull(strstr(got, "&client_secret=s%26x"));
    free(got);
    got = login_basic("a:b", "s\xc3\xa4 ");
    ck_assert_str_eq(got, "Authorization: Basic YSUzQWI6cyVDMyVBNCUyMA=="); /* a%3Ab:s%C3%A4%20 */
    free(got);
}
END_TEST

START_TEST(equal) {
    ck_assert(login_equal("abc", "abc"));
    ck_assert(!login_equal("abc", "abd"));
    ck_assert(!login_equal("abc", "abcd"));
    ck_assert(!login_equal("abc", ""));
}
END_TEST

/* --- sessions --- */

static struct jwt_identity *person(const char *name) {
    struct jwt_identity *id = calloc(1, sizeof *id);
    id->principal = strdup(name);
    id->issuer = strdup("https://idp.example");
    id->kid = strdup("");
    return id;
}

static bool found(const char *cookie, uint64_t now, struct page_session *s) {
    return page_session_find(table, cookie, "https://idp.example", "client", now, 1000, s);
}

START_TEST(sessions) {
    char a[LOGIN_TOKEN_SIZE], b[LOGIN_TOKEN_SIZE];
    struct page_session s;
    ck_assert(page_session_begin(table, person("dba"), "client", NOW, 10000, a));
    ck_assert(page_session_begin(table, person("lead"), "client", NOW, 10000, b));
    ck_assert_str_ne(a, b);
    ck_assert(found(a, NOW + 1, &s));
    ck_assert_str_eq(s.who->principal, "dba");
    ck_assert_uint_eq(strlen(s.csrf), 43);
    ck_assert_str_ne(s.csrf, a);
    ck_assert(found(b, NOW + 1, &s));
    ck_assert_str_eq(s.who->principal, "lead");
    ck_assert(!found("", NOW, &s));
    ck_assert(!found("x", NOW, &s));
    page_session_end(table, a);
    page_session_end(table, a);
    ck_assert(!found(a, NOW + 1, &s));
    ck_assert(found(b, NOW + 1, &s));
    ck_assert(!page_session_find(table, b, "https://other.example", "client", NOW + 1, 1000, &s));
    ck_assert(!found(b, NOW + 1, &s)); /* and is gone for good */
    ck_assert_uint_eq(page_sessions_count(table), 0);
    ck_assert(page_session_begin(table, person("lead"), "client", NOW, 10000, b));
    ck_assert(!page_session_find(table, b, "https://idp.example", "another", NOW, 1000, &s));
}
END_TEST

START_TEST(times) {
    char a[LOGIN_TOKEN_SIZE];
    struct page_session s;
    uint64_t now = NOW;
    ck_assert(page_session_begin(table, person("dba"), "client", NOW, 10000, a));
    for (; now < NOW + 10000; now += 999) ck_assert(found(a, now, &s)); /* who is seen stays, up to the end */
    ck_assert(!found(a, NOW + 10000, &s));
    ck_assert(page_session_begin(table, person("dba"), "client", NOW, 10000, a));
    ck_assert(!found(a, NOW + 1000, &s));
}
END_TEST

START_TEST(bounds) {
    char a[LOGIN_TOKEN_SIZE], own[PAGE_SESSIONS_OWN + 1][LOGIN_TOKEN_SIZE], name[32];
    struct page_session s;
    for (unsigned i = 0; i <= PAGE_SESSIONS_OWN; i++)
        ck_assert(page_session_begin(table, person(i % 2 ? "dba" : "DBA"), "client", NOW + i, 100000, own[i]));
    ck_assert(!found(own[0], NOW + 20, &s));
    ck_assert(found(own[1], NOW + 20, &s));
    for (unsigned i = 0; i < PAGE_SESSIONS_MAX + 5; i++) {
        snprintf(name, sizeof name, "p%u", i);
        ck_assert(page_session_begin(table, person(name), "client", NOW + 30, 100000, a));
    }
    ck_assert_uint_eq(page_sessions_count(table), PAGE_SESSIONS_MAX);
    ck_assert(found(a, NOW + 31, &s));
    ck_assert(!found(own[2], NOW + 31, &s));
    ck_assert(page_session_begin(table, person("late"), "client", NOW + 200000, 100000, a)); /* those that are over make room */
    ck_assert_uint_eq(page_sessions_count(table), 1);
}
END_TEST

int main(void) {
    Suite *s = suite_create("page_login");
    TCase *t = tcase_create("page_login");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, there_and_back);
    tcase_add_test(t, changed_cookies);
    tcase_add_test(t, once);
    tcase_add_test(t, addresses);
    tcase_add_test(t, equal);
    tcase_add_test(t, sessions);
    tcase_add_test(t, times);
    tcase_add_test(t, bounds);
    suite_add_tcase(s, t);
    return run_suite(s);
}
