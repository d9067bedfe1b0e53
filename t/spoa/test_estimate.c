#include "spoa/estimate.h"
#include "t/lib/guard.h"

#include <string.h>

/* What EXPLAIN says, and which statements it may be asked about. */

static const struct {
    const char *json;
    long long rows; /* -1: none */
} plans[] = {
    {"[{\"Plan\": {\"Node Type\": \"Seq Scan\", \"Plan Rows\": 50}}]", 50},
    {"[{\"Plan\": {\"Node Type\": \"Result\", \"Plan Rows\": 0}}]", 0},
    {"[{\"Plan\": {\"Node Type\": \"ModifyTable\", \"Plan Rows\": 0, \"Plans\": [{\"Node Type\": \"Seq Scan\", \"Plan Rows\": 7}]}}]", 7},
    {"[{\"Plan\": {\"Node Type\": \"ModifyTable\", \"Plan Rows\": 0}}]", -1},
    {"[{\"Plan\": {\"Node Type\": \"ModifyTable\", \"Plans\": {}}}]", -1},
    {"[{\"Plan\": {\"Plan Rows\": 1e300}}]", -1},
    {"[{\"Plan\": {\"Plan Rows\": -1}}]", -1},
    {"[{\"Plan\": {\"Plan Rows\": \"5\"}}]", -1},
    {"[{\"Plan\": []}]", -1},
    {"[]", -1},
    {"{}", -1},
    {"Seq Scan on t", -1},
    {"", -1}};

START_TEST(plan) {
    uint64_t rows = 99;
    size_t len = strlen(plans[_i].json);
    uint8_t *p = guard_copy(plans[_i].json, len);
    ck_assert_int_eq(estimate_read((const char *)p, len, &rows), plans[_i].rows >= 0);
    if (plans[_i].rows >= 0) ck_assert_uint_eq(rows, (uint64_t)plans[_i].rows);
    guard_free(p, len);
}
END_TEST

static const struct {
    const char *sql;
    bool may;
} statements[] = {{"SELECT * FROM t WHERE a = 1", true},
                  {"UPDATE t SET a = upper(b) WHERE c > now()", true},
                  {"DELETE FROM t USING u WHERE t.a = u.a RETURNING *", true},
                  {"INSERT INTO t VALUES (1)", true},
                  {"SELECT f(1)", false},
                  {"SELECT public.upper(a) FROM t", false},
                  {"SELECT pg_catalog.upper(a) FROM t", true},
                  {"SELECT nextval('s')", true}, /* volatile: the planner does not call it */
                  {"SELECT pg_read_file('/etc/passwd')", false},
                  {"SELECT query_to_xml('DROP TABLE t', true, true, '')", false},
                  {"SELECT set_config('jit', 'off', false)", false},
                  {"SELECT 1; SELECT 2", false},
                  {"DROP TABLE t", false},
                  {"DO $$ BEGIN END $$", false},
                  {"EXPLAIN ANALYZE DELETE FROM t", false},
                  {"EXECUTE p", false},
                  {"COPY t TO STDOUT", false},
                  {"TRUNCATE t", false},
                  {"UPDATE t SET a = 1 WHERE CURRENT OF c", false}};

START_TEST(possible) {
    struct pol_parse_error err;
    const char *sql = statements[_i].sql;
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), NULL, &err);
    ck_assert_msg(f != NULL, "%s: %s", sql, err.text);
    ck_assert_msg(estimate_possible(f, strlen(sql)) == statements[_i].may, "%s", sql);
    ck_assert(!estimate_possible(f, (size_t)1 << 20));
    pol_facts_free(f);
}
END_TEST

int main(void) {
    Suite *s = suite_create("estimate");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, plan, 0, (int)(sizeof plans / sizeof *plans));
    tcase_add_loop_test(t, possible, 0, (int)(sizeof statements / sizeof *statements));
    suite_add_tcase(s, t);
    return run_suite(s);
}
