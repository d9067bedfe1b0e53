/* A statement that is recorded and about to leave while the policy changes: it leaves only when the new policy lets it pass as it is, and as its record says. */
#include "spoa/clock.h"
#include "spoa/statement.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <string.h>

#define SQL "SELECT a FROM public.t"

/* now: the rule of readers, and the mode, that count from here on. */
static const struct {
    const char *mode, *now, *sql;
    bool same, ours, approved, observed, shaped, unpinned;
    enum pol_record record;
    const char *why; /* NULL: it may leave */
} cases[] = {
    {.mode = "enforce", .now = "allow: select, on: public.t", .why = NULL},
    {.mode = "enforce", .now = "allow: select, on: public.u", .why = "the policy has changed"},
    {.mode = "enforce", .now = "deny: select, on: public.t, reason: no", .why = "the policy has changed"},
    {.mode = "enforce", .now = "ask: select, on: public.t, approvers: dbas", .why = "the policy has changed"},
    {.mode = "enforce", .now = "allow: select, on: public.t, limits: { rows: 5 }", .why = "the policy has changed"},
    {.mode = "enforce", .now = "allow: select, on: public.u", .same = true, .why = NULL},
    {.mode = "enforce", .now = "allow: select, on: public.u", .ours = true, .why = NULL},
    {.mode = "enforce", .now = "allow: select, on: public.t", .approved = true, .why = "the policy has changed"},
    {.mode = "enforce", .now = "allow: select, on: public.t", .observed = true, .why = "the policy has changed"},
    {.mode = "enforce", .now = "allow: select, on: public.t", .shaped = true, .why = "the policy has changed"},
    {.mode = "enforce", .now = "allow: select, on: public.t", .unpinned = true, .why = "the policy has changed"},
    {.mode = "enforce", .now = "allow: select, on: public.t", .sql = "EXECUTE p", .why = "the policy has changed"},
    {.mode = "enforce", .now = "allow: select, on: public.t, record: results", .why = "the policy has changed"},
    {.mode = "enforce", .now = "allow: select, on: public.t, record: results", .record = POL_RECORD_RESULTS, .why = NULL},
    {.mode = "enforce", .now = "allow: select, on: public.t", .record = POL_RECORD_RESULTS, .why = NULL},
    {.mode = "observe", .now = "allow: select, on: public.u", .why = NULL},
    {.mode = "observe", .now = "allow: select, on: public.u", .observed = true, .why = NULL},
    {.mode = "observe", .now = "allow: select, on: public.t", .shaped = true, .why = "the policy has changed"}, /* would leave as it came */
};

static struct pol_role *role_of(const char *mode, const char *now) {
    static const char *const groups[] = {"readers"}, *const path[] = {"public"};
    const struct pol_subject who = {.principal = "ann", .groups = groups, .ngroups = 1};
    char text[1024];
    struct pol_error err;
    snprintf(text, sizeof text,
             "version: 1\ndatabases: { shop: { mode: %s } }\nrules:\n  - { name: r, groups: readers, database: shop, %s }\n", mode, now);
    struct pol_policy *p = pol_policy_load_text("test", text, strlen(text), &err);
    ck_assert_msg(p != NULL, "%s", text);
    struct pol_role *role = pol_role_new(p, &who, "shop", &(struct pol_pins){.search_path = path, .nsearch_path = 1});
    ck_assert_ptr_nonnull(role);
    pol_policy_unref(p);
    return role;
}

START_TEST(another_policy) {
    const char *sql = cases[_i].sql != NULL ? cases[_i].sql : SQL;
    struct pol_role *role = role_of(cases[_i].mode, cases[_i].now);
    struct pol_parse_error err;
    const struct pol_verdict then = {.effect = POL_ALLOW, .limits = {.record = cases[_i].record}};
    struct pol_verdict v = {0};
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), NULL, &err);
    const struct stmt_leaving l = {.role = role,
                                   .facts = f,
                                   .err = &err,
                                   .verdict = &then,
                                   .same = cases[_i].same,
                                   .ours = cases[_i].ours,
                                   .approved = cases[_i].approved,
                                   .observed = cases[_i].observed,
                                   .shaped = cases[_i].shaped,
                                   .unpinned = cases[_i].unpinned,
                                   .valid_until = INT64_MAX,
                                   .grant = ""};
    const char *why = stmt_over(&l, &v);
    ck_assert_pstr_eq(why, cases[_i].why);
    if (why != NULL) ck_assert(v.effect == POL_DENY && strcmp(v.sqlstate, "42501") == 0);
    pol_facts_free(f);
    pol_role_free(role);
}
END_TEST

START_TEST(other_ends) {
    struct pol_role *role = role_of("enforce", "allow: select, on: public.t");
    struct pol_parse_error err = {0};
    struct pol_verdict v = {0};
    struct stmt_leaving l = {.role = role, .err = &err, .same = true, .valid_until = clock_seconds() - 1, .grant = ""};
    ck_assert_str_eq(stmt_over(&l, &v), "the token has expired");
    ck_assert_str_eq(v.sqlstate, "28000");
    l.valid_until = INT64_MAX;
    ck_assert_ptr_null(stmt_over(&l, &v));
    l.glass_over = true;
    ck_assert_str_eq(stmt_over(&l, &v), "the time of the broken glass is over");
    l.glass_over = l.same = false;
    l.role = NULL;
    ck_assert_str_eq(stmt_over(&l, &v), "the policy has changed");
    pol_role_free(role);
}
END_TEST

/* Every member of a verdict that asks for something. */
START_TEST(verdict_within) {
    const struct pol_verdict plain = {.effect = POL_ALLOW}, all = {.effect = POL_ALLOW,
                                                                   .limits = {.record = POL_RECORD_RESULTS},
                                                                   .unpins = true,
                                                                   .retracks = true,
                                                                   .counts = true};
    const struct pol_verdict more[] = {{.effect = POL_DENY},
                                       {.effect = POL_ASK},
                                       {.effect = POL_ALLOW, .rewrite = true},
                                       {.effect = POL_ALLOW, .limits = {.rows = 1}},
                                       {.effect = POL_ALLOW, .limits = {.bytes = 1}},
                                       {.effect = POL_ALLOW, .limits = {.ms = 1}},
                                       {.effect = POL_ALLOW, .limits = {.record = POL_RECORD_RESULTS}},
                                       {.effect = POL_ALLOW, .unpins = true},
                                       {.effect = POL_ALLOW, .retracks = true},
                                       {.effect = POL_ALLOW, .counts = true}};
    ck_assert(pol_verdict_within(&plain, &plain) && pol_verdict_within(&plain, &all) && pol_verdict_within(&all, &all));
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) ck_assert_msg(!pol_verdict_within(&more[i], &plain), "%zu", i);
    ck_assert(!pol_verdict_within(&plain, &more[0]) && !pol_verdict_within(&plain, &more[1]));
}
END_TEST

int main(void) {
    Suite *s = suite_create("statement_over");
    TCase *tc = tcase_create("all");
    tcase_add_loop_test(tc, another_policy, 0, sizeof cases / sizeof *cases);
    tcase_add_test(tc, other_ends);
    tcase_add_test(tc, verdict_within);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
