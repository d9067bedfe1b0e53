#include "policy/text.h"

#include "filters/bytes.h"
#include "policy/policy.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <string.h>

START_TEST(tidy) {
    static const char *const v[][2] = {
        {"", ""},
        {"abc", "abc"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"caf\xc3", "caf"},
        {"\xe4\xba\xba\xe4\xba", "\xe4\xba\xba"},
        {"\xf0\x9f\x98.\xe4.b", "..b"},
        {"\xff\xc3\xa9\xa9", "\xc3\xa9"},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        char s[32];
        snprintf(s, sizeof s, "%s", v[i][0]);
        pol_utf8_tidy(s);
        ck_assert_str_eq(s, v[i][1]);
    }
    ck_assert_uint_eq(pol_utf8_step("\xe4\xba\xba", 3), 3);
    ck_assert_uint_eq(pol_utf8_step("\xe4\xba\xba", 2), 0);
    ck_assert_uint_eq(pol_utf8_step("", 1), 0);
}
END_TEST

#define FINE(array) ck_assert(strnlen(array, sizeof array) < sizeof array && gh_utf8_valid(array, strlen(array)))

/* head, then as many characters as give a text of n bytes at least, then tail */
static void fill(char *out, size_t size, const char *head, const char *character, size_t n, const char *tail) {
    size_t used = (size_t)snprintf(out, size, "%s", head);
    while (used < n) used += (size_t)snprintf(out + used, size - used, "%s", character);
    snprintf(out + used, size - used, "%s", tail);
    ck_assert_uint_lt(strlen(out), size - 1);
}

/* Each length once, so that every buffer's end falls on each byte of a character. */
START_TEST(cut_errors) {
    static const char *const characters[] = {"\xc3\xa9", "\xe4\xba\xba", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < 12; i++) {
        char head[64], text[2048];
        struct pol_parse_error err;
        struct pol_verdict v;
        struct pol_error e;
        snprintf(head, sizeof head, "SELECT %.*s 1 '", (int)(i / 3 + 1), "aaaa");
        fill(text, sizeof text, head, characters[i % 3], 1000, "'");
        ck_assert_ptr_null(pol_facts_pg(text, strlen(text), NULL, &err));
        FINE(err.text);
        pol_refuse_parse(&err, &v);
        FINE(v.message);
        snprintf(head, sizeof head, "version: 1\n%.*s", (int)(i / 3 + 1), "aaaa");
        fill(text, sizeof text, head, characters[i % 3], 1000, ": 1\n");
        ck_assert_ptr_null(pol_policy_load_text("p", text, strlen(text), &e));
        FINE(e.text);
        FINE(e.key);
    }
}
END_TEST

START_TEST(cut_verdicts) {
    char hint[1000], rules[4096];
    for (int i = 1; i <= 4; i++) {
        char head[8], setting[256];
        struct pol_error e;
        struct pol_verdict v;
        static const char *const group = "g";
        snprintf(head, sizeof head, "%.*s", i, "aaaa");
        fill(hint, sizeof hint, head, "\xf0\x9f\x98\x80", 900, "");
        snprintf(rules, sizeof rules,
                 "version: 1\ndatabases: { shop: {} }\nrules:\n  - { name: '%s', groups: g, database: shop, deny: [set, all], on: '*.*', "
                 "reason: "
                 "'%s', hint: '%s' }\n",
                 hint, hint, hint);
        struct pol_policy *p = pol_policy_load_text("p", rules, strlen(rules), &e);
        ck_assert_msg(p != NULL, "%s", e.text);
        struct pol_subject who = {.principal = "x", .groups = &group, .ngroups = 1};
        struct pol_role *r = pol_role_new(p, &who, "shop", &(struct pol_pins){0});
        pol_policy_unref(p);
        fill(setting, sizeof setting, head, "\xe4\xba\xba", 100, "");
        ck_assert(!pol_judge_setting(r, setting, "1", &v));
        FINE(v.message);
        FINE(v.detail);
        FINE(v.hint);
        pol_role_free(r);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("text");
    TCase *t = tcase_create("all");
    tcase_add_test(t, tidy);
    tcase_add_test(t, cut_errors);
    tcase_add_test(t, cut_verdicts);
    suite_add_tcase(s, t);
    return run_suite(s);
}
