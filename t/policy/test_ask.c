#include "policy/policy.h"
#include "policy/shape.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rules that ask: what they match, what they grant, and the ways around them. */
static const char head[] = "version: 1\n"
                           "databases: { shop: { mode: enforce } }\n"
                           "rules:\n";
static const char rules[] = "  - name: agents-read\n"
                            "    groups: agents\n"
                            "    database: shop\n"
                            "    allow: select\n"
                            "    on: public.orders\n"
                            "  - name: agents-update\n"
                            "    groups: agents\n"
                            "    database: shop\n"
                            "    ask: update\n"
                            "    on: public.orders\n"
                            "    require: where\n"
                            "    approvers: dbas\n"
                            "  - name: agents-not-staff\n"
                            "    groups: agents\n"
                            "    database: shop\n"
                            "    deny: all\n"
                            "    on: public.staff\n"
                            "    reason: No.\n"
                            "  - name: agents-functions\n"
                            "    groups: agents\n"
                            "    database: shop\n"
                            "    ask: [execute, set, temp]\n"
                            "    functions: [public.pay, pg_catalog.pg_sleep]\n"
                            "    approvers: [dbas, leads]\n"
                            "    grant: { max: 30m, scope: kind }\n"
                            "    breakglass: { groups: [oncall, agents], for: 15m }\n"
                            "    quorum: 2\n"
                            "    expires: 1h\n"
                            "    window: 5m\n"
                            "    justification: required\n"
                            "    mode: wait 30s\n"
                            "  - name: dbas-all\n"
                            "    groups: dbas\n"
                            "    database: shop\n"
                            "    allow: all\n"
                            "    on: \"*.*\"\n"
                            "  - name: dbas-drop\n"
                            "    groups: dbas\n"
                            "    database: shop\n"
                            "    ask: [drop, truncate]\n"
                            "    on: \"*.*\"\n"
                            "    approvers: dbas\n"
                            "  - name: keepers-all\n"
                            "    groups: keepers\n"
                            "    database: shop\n"
                            "    allow: all\n"
                            "    on: \"*.*\"\n"
                            "    functions: public.counted\n"
                            "  - name: keepers-secret\n"
                            "    groups: keepers\n"
                            "    database: shop\n"
                            "    ask: [select, update, delete]\n"
                            "    on: public.secret\n"
                            "    approvers: dbas\n"
                            "  - name: slow-all\n"
                            "    groups: slow\n"
                            "    database: shop\n"
                            "    ask: all\n"
                            "    on: \"*.*\"\n"
                            "    approvers: dbas\n";

static struct pol_policy *load(const char *more, struct pol_error *e) {
    char text[8192];
    int n = snprintf(text, sizeof text, "%s%s%s", head, more == NULL ? rules : "", more == NULL ? "" : more);
    return pol_policy_load_text("p.yaml", text, (size_t)n, e);
}

static struct pol_role *role_of(const char *group) {
    static const char *const path[] = {"public"};
    struct pol_error e = {0};
    struct pol_policy *p = load(NULL, &e);
    ck_assert_msg(p != NULL, "%u: %s", e.line, e.text);
    struct pol_subject s = {.principal = "x", .groups = &group, .ngroups = 1};
    struct pol_role *r = pol_role_new(p, &s, "shop", &(struct pol_pins){.search_path = path, .nsearch_path = 1});
    pol_policy_unref(p);
    ck_assert_ptr_nonnull(r);
    return r;
}

/* The verdict's word, and behind it the rules that ask. */
static struct pol_role *kept; /* by the last one: the verdict's texts are its */

static void judged(const char *group, const char *sql, char *out, size_t size, struct pol_verdict *v) {
    static const char *const words[] = {"allow", "deny", "ask"};
    pol_role_free(kept);
    struct pol_role *r = kept = role_of(group);
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), NULL, &err);
    if (f != NULL)
        pol_judge(r, f, v);
    else
        pol_refuse_parse(&err, v);
    size_t at = (size_t)snprintf(out, size, "%s", words[v->effect]);
    for (size_t i = 0; v->effect == POL_ASK && i < v->ask.n; i++) {
        int n = snprintf(out + at, size - at, " %s", v->ask.by[i].rule);
        at += (size_t)n;
    }
    if (v->effect == POL_ASK) ck_assert_str_eq(v->rule, v->ask.by[0].rule);
    pol_facts_free(f);
}

static void drop_kept(void) {
    pol_role_free(kept);
    kept = NULL;
}

static const struct {
    const char *group, *sql, *want;
} cases[] = {
    {"agents", "SELECT * FROM orders", "allow"},
    {"agents", "UPDATE orders SET total = 0 WHERE id = 1", "ask agents-update"},
    {"agents", "UPDATE public.orders SET total = 0 WHERE id = 1 RETURNING *", "ask agents-update"},
    {"agents", "UPDATE orders SET total = 0", "deny"},
    {"agents", "WITH x AS (UPDATE orders SET total = 0) UPDATE orders SET total = 1 WHERE id = 1", "deny"},
    {"agents", "WITH x AS (UPDATE orders SET total = 0 WHERE id = 1) UPDATE orders SET total = 1", "deny"},
    {"agents", "WITH x AS (UPDATE orders SET total = 0 WHERE id = 2 RETURNING 1) SELECT * FROM x", "ask agents-update"},
    {"agents", "WITH x AS (UPDATE orders SET total = 0 RETURNING 1) SELECT * FROM x", "deny"},
    {"agents", "MERGE INTO orders o USING orders s ON true WHEN MATCHED THEN UPDATE SET total = 0", "deny"},
    {"agents", "DELETE FROM orders WHERE id = 1", "deny"},
    {"agents", "SELECT * FROM orders FOR UPDATE", "ask agents-update"},
    {"agents", "EXPLAIN ANALYZE UPDATE orders SET total = 0 WHERE id = 1", "ask agents-update"},
    {"agents", "SELECT 1; UPDATE orders SET total = 0 WHERE id = 1", "ask agents-update"},
    {"agents", "UPDATE orders SET total = 0 WHERE id = 1; SELECT * FROM staff", "deny"},
    {"agents", "UPDATE orders SET total = (SELECT salary FROM staff LIMIT 1) WHERE id = 1", "deny"},
    {"agents", "UPDATE orders SET total = public.pay(1) WHERE id = 1", "ask agents-update agents-functions"},
    {"agents", "SELECT public.pay(1)", "ask agents-functions"},
    {"agents", "SELECT pay(1)", "ask agents-functions"},
    {"agents", "SELECT pg_sleep(1)", "ask agents-functions"},
    {"agents", "SELECT pg_read_file('x')", "deny"},
    {"agents", "CALL pay(1)", "ask agents-functions"},
    {"agents", "SET log_statement = 'none'", "ask agents-functions"},
    {"agents", "SET work_mem = '1MB'", "allow"},
    {"agents", "SET search_path = x", "deny"},
    {"agents", "CREATE TEMP TABLE t (n int)", "ask agents-functions"},
    /* many executions of one agreement */
    {"agents", "PREPARE p AS UPDATE orders SET total = 0 WHERE id = $1", "deny"},
    {"agents", "SELECT 1; PREPARE p AS SELECT pay(1)", "deny"},
    {"agents", "PREPARE p AS SELECT * FROM orders", "allow"},
    {"dbas", "SELECT * FROM orders", "allow"},
    {"dbas", "UPDATE orders SET total = 0", "allow"},
    {"dbas", "DROP TABLE orders", "ask dbas-drop"},
    {"dbas", "TRUNCATE orders", "ask dbas-drop"},
    {"dbas", "DROP SCHEMA public", "ask dbas-drop"},
    {"dbas", "DROP FUNCTION f()", "ask dbas-drop"},
    {"dbas", "DROP TABLE orders CASCADE", "ask dbas-drop"},
    {"dbas", "DO $$ BEGIN EXECUTE 'DROP TABLE orders'; END $$", "ask dbas-drop"},
    {"dbas", "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DROP TABLE orders'", "ask dbas-drop"},
    {"dbas", "SELECT query_to_xml('TRUNCATE orders', true, true, '')", "ask dbas-drop"},
    {"dbas", "SELECT public.anything()", "ask dbas-drop"},
    {"dbas", "SELECT count(*), lower(status) FROM orders GROUP BY 2", "allow"},
    {"dbas", "DELETE FROM pg_catalog.pg_class", "ask dbas-drop"},
    {"dbas", "SELECT * FROM pg_class", "allow"},
    {"dbas", "SELECT * FROM pg_catalog.pg_stats", "allow"},
    {"dbas", "BEGIN", "allow"},
    {"dbas", "COMMIT", "allow"},
    {"keepers", "SELECT * FROM orders", "allow"},
    {"keepers", "SELECT * FROM secret", "ask keepers-secret"},
    {"keepers", "INSERT INTO secret VALUES (1)", "allow"},
    {"keepers", "DROP TABLE secret", "allow"},
    {"keepers", "SELECT * FROM pg_toast.pg_toast_1", "ask keepers-secret"},
    {"keepers", "SELECT * FROM pg_stats", "ask keepers-secret"},
    {"keepers", "SELECT counted()", "allow"},
    {"keepers", "SELECT uncounted()", "ask keepers-secret"},
    {"keepers", "DO $$ BEGIN END $$", "ask keepers-secret"},
    {"keepers", "COPY secret TO STDOUT", "ask keepers-secret"},
    {"keepers", "TABLE secret", "ask keepers-secret"},
    {"slow", "SELECT 1", "allow"},
    {"slow", "SELECT * FROM orders", "ask slow-all"},
    {"slow", "COPY orders FROM STDIN", "deny"},
    {"slow", "COPY orders TO STDOUT", "ask slow-all"},
    {"slow", "CREATE SCHEMA s", "ask slow-all"},
    {"slow", "LISTEN x", "ask slow-all"},
    {"slow", "SELECT pg_notify('a', 'b')", "ask slow-all"},
    {"slow", "DO $$ BEGIN END $$", "ask slow-all"},
    {"slow", "SELECT f()", "ask slow-all"},
    {"slow", "DECLARE c CURSOR FOR SELECT * FROM orders", "ask slow-all"},
};

START_TEST(matches) {
    char got[512];
    struct pol_verdict v;
    judged(cases[_i].group, cases[_i].sql, got, sizeof got, &v);
    ck_assert_msg(strcmp(got, cases[_i].want) == 0, "%s: %s: got %s (%s), want %s", cases[_i].group, cases[_i].sql, got, v.message,
                  cases[_i].want);
}
END_TEST

/* The strictest of what the rules say. */
START_TEST(terms_add_up) {
    char got[512];
    struct pol_verdict v;
    judged("agents", "UPDATE orders SET total = public.pay(1) WHERE id = 1", got, sizeof got, &v);
    ck_assert_uint_eq(v.ask.n, 2);
    ck_assert_uint_eq(v.ask.by[0].quorum, 1);
    ck_assert_uint_eq(v.ask.by[1].quorum, 2);
    ck_assert_str_eq(v.ask.by[1].approvers[1], "leads");
    ck_assert_ptr_null(v.ask.by[1].approvers[2]);
    ck_assert_uint_eq(v.ask.expires_ms, 900000);
    ck_assert_uint_eq(v.ask.window_ms, 300000);
    ck_assert_uint_eq(v.ask.wait_ms, 0);
    ck_assert(v.ask.justify);
    judged("agents", "SELECT pay(1)", got, sizeof got, &v);
    ck_assert_uint_eq(v.ask.wait_ms, 30000);
    ck_assert_uint_eq(v.ask.expires_ms, 3600000);
    ck_assert_str_eq(v.sqlstate, "42501");
    ck_assert_ptr_nonnull(strstr(v.detail, "agents-functions"));
    ck_assert_ptr_nonnull(strstr(v.detail, "dbas, leads"));
}
END_TEST

/* For some time, and without being asked. */
START_TEST(grants_and_glass) {
    char got[512];
    struct pol_verdict v;
    judged("agents", "UPDATE orders SET total = public.pay(1) WHERE id = 1", got, sizeof got, &v);
    ck_assert_uint_eq(v.ask.by[0].grant_ms, 0);
    ck_assert_uint_eq(v.ask.by[0].glass_ms, 0);
    ck_assert_uint_eq(v.ask.by[1].grant_ms, 1800000);
    ck_assert_int_eq(v.ask.by[1].grant_scope, POL_SCOPE_KIND);
    ck_assert_uint_eq(v.ask.by[1].glass_ms, 900000);
    ck_assert_uint_eq(pol_role_glass_ms(kept), 900000);
    struct pol_role *r = role_of("dbas");
    ck_assert_uint_eq(pol_role_glass_ms(r), 0);
    pol_role_free(r);
    r = role_of("oncall"); /* whom no rule names: the glass is for those whom the rule asks about */
    ck_assert_uint_eq(pol_role_glass_ms(r), 0);
    pol_role_free(r);
    enum pol_scope scope;
    for (int i = POL_SCOPE_STATEMENT; i <= POL_SCOPE_RULE; i++) {
        ck_assert(pol_scope_of(pol_scope_name((enum pol_scope)i), &scope));
        ck_assert_int_eq((int)scope, i);
    }
    ck_assert(!pol_scope_of("all", &scope));
}
END_TEST

START_TEST(shapes) {
    static const char *const same[][2] = {{"UPDATE t SET a = 1 WHERE b = 'x'", "UPDATE t SET a = 22 WHERE b = 'it''s'"},
                                          {"SELECT 1", "SELECT 'x'"}},
                             *const other[][2] = {{"UPDATE t SET a = 1 WHERE b = 2", "UPDATE t SET a = 1 WHERE c = 2"},
                                                  {"UPDATE t SET a = 1 WHERE b = 2", "UPDATE t SET a = 1"},
                                                  {"UPDATE t SET a = 1 WHERE b = 2", "UPDATE t SET a = c WHERE b = 2"},
                                                  {"UPDATE t SET a = 1 WHERE b = 2", "UPDATE t SET a = 1 WHERE b = 2 OR b = 3"},
                                                  {"SELECT 1", "SELECT 1, 1"},
                                                  {"SELECT 1", "SELECT 1; SELECT 1"}};
    for (size_t i = 0; i < 2; i++) {
        char *a = pol_shape_pg(same[i][0]), *b = pol_shape_pg(same[i][1]);
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        char *a = pol_shape_pg(other[i][0]), *b = pol_shape_pg(other[i][1]);
        ck_assert_str_ne(a, b);
        free(a);
        free(b);
    }
    ck_assert_ptr_null(pol_shape_pg("SELEC 1"));
}
END_TEST

/* Where names matter to what is asked, nothing may make them mean something else unseen. */
START_TEST(names) {
    struct pol_role *r = role_of("dbas");
    ck_assert(pol_role_everything(r));
    pol_role_free(r);
    r = role_of("keepers");
    ck_assert(!pol_role_everything(r));
    pol_role_free(r);
    char got[512];
    struct pol_verdict v;
    judged("keepers", "DO $$ BEGIN END $$", got, sizeof got, &v);
    ck_assert(v.unpins);
    judged("dbas", "SELECT f()", got, sizeof got, &v);
    ck_assert(v.unpins);
    r = role_of("agents");
    ck_assert(!pol_judge_setting(r, "log_statement", "none", &v));
    ck_assert_int_eq(v.effect, POL_DENY);
    ck_assert(pol_judge_setting(r, "work_mem", "1MB", &v));
    pol_role_free(r);
}
END_TEST

#define RULE "  - name: r\n    groups: g\n    database: shop\n"
static const struct {
    const char *text;
    unsigned line;
    const char *want;
} mistakes[] = {
    {RULE "    ask: update\n    on: a.b\n", 4, "\"approvers\" is missing"},
    {RULE "    ask: update\n    allow: select\n    on: a.b\n    approvers: x\n", 7, "either allow, deny or ask"},
    {RULE "    ask: update\n    on: a.b\n    approvers: [x, \"*\"]\n", 9, "let everybody agree"},
    {RULE "    ask: update\n    on: a.b\n    approvers: []\n", 9, "empty"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    quorum: 0\n", 10, "0"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    mode: wait\n", 10, "expected return"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    mode: wait 0s\n", 10, "expected return"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    mode: wait 11m\n", 10, "expected return"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    mode: wait 99999999999s\n", 10, "expected return"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    expires: 1ms\n", 10, "1"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    justification: maybe\n", 10, "maybe"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    require: limits\n", 10, "possible: where"},
    {RULE "    ask: drop\n    on: a.b\n    approvers: x\n    require: where\n", 10, "WHERE"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    reason: because\n", 10, "only a deny rule"},
    {RULE "    ask: all\n    on: \"*.*\"\n    approvers: x\n    unpin: true\n", 10, "unpin"},
    {RULE "    allow: update\n    on: a.b\n    approvers: x\n", 9, "only a rule with \"ask\""},
    {RULE "    deny: update\n    on: a.b\n    reason: x\n    window: 5m\n", 10, "only a rule with \"ask\""},
    {RULE "    allow: update\n    on: a.b\n    grant: { max: 1h }\n", 9, "only a rule with \"ask\""},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    grant: {}\n", 10, "\"max\" is missing"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    grant: { max: 8d }\n", 10, "8d"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    grant: { max: 1h, scope: all }\n", 10, "all"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    breakglass: { groups: \"*\", for: 1h }\n", 10, "everybody"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    breakglass: { groups: x }\n", 10, "\"for\" is missing"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    breakglass: { for: 1h }\n", 10, "\"groups\" is missing"},
    {RULE "    ask: update\n    on: a.b\n    approvers: x\n    breakglass: { groups: x, for: 2d }\n", 10, "2d"},
};

START_TEST(mistakes_are_named) {
    struct pol_error e = {0};
    struct pol_policy *p = load(mistakes[_i].text, &e);
    ck_assert_msg(p == NULL, "%s", mistakes[_i].text);
    ck_assert_msg(strstr(e.text, mistakes[_i].want) != NULL, "%s: %s", mistakes[_i].text, e.text);
    ck_assert_msg(e.line == mistakes[_i].line, "%s: line %u", mistakes[_i].text, e.line);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ask");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, NULL, drop_kept);
    tcase_add_loop_test(t, matches, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(t, terms_add_up);
    tcase_add_test(t, names);
    tcase_add_test(t, grants_and_glass);
    tcase_add_test(t, shapes);
    tcase_add_loop_test(t, mistakes_are_named, 0, (int)(sizeof mistakes / sizeof *mistakes));
    suite_add_tcase(s, t);
    return run_suite(s);
}
