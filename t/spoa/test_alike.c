/* Facts of a text that is known but for its values: which texts those are, and that nobody gets another's facts. */
#include "policy/shape.h"
#include "spoa/statement.h"
#include "t/lib/guard.h"
#include "t/policy/alike.h"
#include "t/policy/pg_facts_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what is blanked --- */

static const struct {
    const char *sql, *blank; /* NULL: nothing */
} blanks[] = {
    {"SELECT 1", "SELECT 0"},
    {"SELECT abalance FROM pgbench_accounts WHERE aid = 71234;", "SELECT abalance FROM pgbench_accounts WHERE aid = 00000;"},
    {"SELECT a1, \"t 2\" FROM t3 WHERE x='it''s' AND y IN (12,-7)", "SELECT a1, \"t 2\" FROM t3 WHERE x='xxxxx' AND y IN (00,-0)"},
    {"SELECT 'a'\n'b', 'c' 'd'", "SELECT 'x'\n'x', 'x' 'x'"},
    {"SELECT 007, 123456789, 1234567890", "SELECT 000, 000000000, 1234567890"},
    {"SELECT 1.5, .5, 5., 1e5, 0x1f, 1_000, 1..2, 3", "SELECT 1.5, .5, 5., 1e5, 0x1f, 1_000, 1..2, 0"},
    {"SELECT a[1:2], b[3]", "SELECT a[0:0], b[0]"},
    {"SELECT '', 'x', 1", "SELECT '', 'x', 0"},
    {"SELECT 'caf\xc3\xa9', 'back\\slash', 'tab\t', 4", "SELECT 'caf\xc3\xa9', 'back\\slash', 'tab\t', 0"},
    {"SELECT \"a\"\"b\" FROM \"5\" WHERE \"it's\" = 5", "SELECT \"a\"\"b\" FROM \"5\" WHERE \"it's\" = 0"},
    {"SELECT 5'a'", "SELECT 0'x'"},
    {"SELECT date'2020-01-01', fe'x', ne'y' FROM t WHERE id = 5", "SELECT date'xxxxxxxxxx', fe'x', ne'x' FROM t WHERE id = 0"},
    {"SELECT a*1.5+b-2.5-3 FROM t WHERE id = 5", "SELECT a*1.5+b-2.5-0 FROM t WHERE id = 0"},
    {"SELECT 1;;SELECT 2", "SELECT 0;;SELECT 0"},
    {"SELECT x FROM floats WHERE float8 = 5", "SELECT x FROM floats WHERE float8 = 0"},
    {"", NULL},
    {"SELECT a FROM t", NULL},
    {"SELECT 1.5", NULL},
    {"SELECT 1e+5, 5", NULL},
    {"SELECT 1E-5, 5", NULL},
    {"SELECT 1.5e+5, 5", NULL},
    {"SELECT 0..e'\\', 5, ' '", NULL}, /* two dots and a string with escapes, to the server's lexer */
    {"SELECT .0.x'0', 5", NULL},
    {"SELECT 5, E'\\'", NULL},
    {"SELECT 5, e'x'", NULL},
    {"SELECT 5, N'x', B'1', X'1F'", NULL},
    {"SELECT 5, U&'\\0061'", NULL},
    {"SELECT 5 FROM U&\"\\0061\"", NULL},
    {"SELECT 5 &'3'", NULL},
    {"SELECT 5, $1", NULL},
    {"SELECT 5, $$a$$", NULL},
    {"SELECT 5, $a$'$a$", NULL},
    {"SELECT 5 -- '", NULL},
    {"SELECT 5 /* ' */", NULL},
    {"SELECT 5, 'open", NULL},
    {"SELECT 5, 'open''", NULL},
    {"SELECT 5 FROM \"open", NULL},
    {"SELECT 5 FROM caf\xc3\xa9", NULL},
    {"SELECT 5 FROM \"caf\xc3\xa9\"", NULL},
    {"SELECT 5\x01", NULL},
    {"SELECT 5 \\ 6", NULL},
    {"SELECT CAST(a AS FLOAT(24)) FROM t", NULL},
    {"SELECT CAST(a AS float (24)) FROM t", NULL},
};

START_TEST(blanked) {
    size_t len = strlen(blanks[_i].sql);
    char *sql = (char *)guard_copy(blanks[_i].sql, len), *out = (char *)guard_copy(blanks[_i].sql, len);
    size_t n = pol_blank_pg(sql, len, out);
    if (blanks[_i].blank == NULL)
        ck_assert_msg(n == 0, "%s: %.*s", blanks[_i].sql, (int)len, out);
    else {
        ck_assert_uint_eq(strlen(blanks[_i].blank), len);
        ck_assert_msg(n > 0 && memcmp(out, blanks[_i].blank, len) == 0, "%s: %.*s", blanks[_i].sql, (int)len, out);
    }
    guard_free((uint8_t *)sql, len);
    guard_free((uint8_t *)out, len);
}
END_TEST

START_TEST(with_a_nul) {
    char out[16];
    ck_assert_uint_eq(pol_blank_pg("SELECT 5\0'", 10, out), 0);
    ck_assert_uint_eq(pol_blank_pg("SELECT 'a\0b', 5", 15, out), 1); /* as it is: nothing that has facts */
    ck_assert_mem_eq(out, "SELECT 'a\0b', 0", 15);
}
END_TEST

/* --- what the cache makes of it --- */

static struct facts_ref *ask(struct factscache *cache, const char *sql, struct pol_parse_error *err) {
    return stmt_facts(cache, sql, strlen(sql), NULL, err);
}

static bool known(struct factscache *cache, const char *sql) {
    struct pol_parse_error err;
    uint64_t before = factscache_use(cache).hits;
    struct facts_ref *r = ask(cache, sql, &err);
    ck_assert_msg(r != NULL, "%s: %s", sql, err.text);
    facts_ref_put(r);
    return factscache_use(cache).hits > before;
}

START_TEST(one_for_all) {
    struct factscache *cache = factscache_new(100, 1u << 20);
    ck_assert(!known(cache, "SELECT a FROM t WHERE id = 12 AND s = 'one'"));
    ck_assert(known(cache, "SELECT a FROM t WHERE id = 34 AND s = 'two'"));
    ck_assert(known(cache, "SELECT a FROM t WHERE id = 00 AND s = 'xxx'"));
    ck_assert_uint_eq(factscache_count(cache), 1);
    ck_assert_uint_eq(factscache_use(cache).misses, 1);
    ck_assert(!known(cache, "SELECT a FROM t WHERE id = 345 AND s = 'two'")); /* what stands behind stands elsewhere */
    ck_assert(!known(cache, "SELECT a FROM t WHERE id = 34 AND t = 'two'"));
    ck_assert(!known(cache, "SELECT a FROM t WHERE id =  34 AND s = 'two'"));
    ck_assert(!known(cache, "SELECT a FROM t WHERE id = '34' AND s = 'two'"));
    ck_assert(!known(cache, "INSERT INTO t VALUES (1, 'a'), (2, 'b')"));
    ck_assert(known(cache, "INSERT INTO t VALUES (3, 'c'), (4, 'd')"));
    factscache_free(cache);
}
END_TEST

/* What comes a third time is found by the letter, whatever came between. */
START_TEST(again_and_again) {
    struct factscache *cache = factscache_new(100, 1u << 20);
    char sql[64];
    ck_assert(!known(cache, "SELECT a FROM t WHERE id = 10"));
    for (int i = 11; i < 99; i++) {
        snprintf(sql, sizeof sql, "SELECT a FROM t WHERE id = %d", i);
        ck_assert(known(cache, sql));
    }
    ck_assert_uint_eq(factscache_count(cache), 1);
    for (int i = 0; i < 3; i++) ck_assert(known(cache, "SELECT a FROM t WHERE id = 42"));
    ck_assert_uint_eq(factscache_count(cache), 2);
    ck_assert_uint_eq(factscache_use(cache).misses, 1);
    factscache_free(cache);
}
END_TEST

/* limits.statement was larger once. */
START_TEST(over_the_limit) {
    static const char sql[] = "SELECT a FROM t WHERE id = 12";
    const struct pol_parse_limits limits = {.bytes = sizeof sql - 2}, enough = {.bytes = sizeof sql - 1};
    struct my_options my = {.limits = &limits, .default_db = "d"};
    struct factscache *cache = factscache_new(100, 1u << 20);
    for (int i = 0; i < 3; i++) {
        struct pol_parse_error err = {0};
        facts_ref_put(ask(cache, sql, &err));
        ck_assert(stmt_facts(cache, sql, sizeof sql - 1, &limits, &err) == NULL && err.rc == POL_TOO_LARGE);
        struct facts_ref *r = stmt_facts(cache, sql, sizeof sql - 1, &enough, &err);
        ck_assert_ptr_nonnull(r);
        facts_ref_put(r);
        my.limits = &enough;
        ck_assert_ptr_nonnull(r = stmt_facts_my(cache, "server", sql, sizeof sql - 1, &my, &err));
        facts_ref_put(r);
        my.limits = &limits;
        ck_assert(stmt_facts_my(cache, "server", sql, sizeof sql - 1, &my, &err) == NULL && err.rc == POL_TOO_LARGE);
    }
    factscache_free(cache);
}
END_TEST

/* A client of PostgreSQL can write what MySQL's texts have in front of them here. */
START_TEST(other_dialect) {
    static const char sql[] = "SELECT a FROM t", server[] = "8.0.36\n\n0\nshop\n";
    const struct my_options my = {.default_db = "shop"};
    struct pol_parse_error err = {0};
    struct factscache *cache = factscache_new(100, 1u << 20);
    char same[64];
    facts_ref_put(stmt_facts_my(cache, server, sql, sizeof sql - 1, &my, &err));
    ck_assert_uint_eq(factscache_count(cache), 1);
    snprintf(same, sizeof same, "%s1%s", server, sql);
    ck_assert_ptr_null(ask(cache, same, &err));
    ck_assert_int_eq(err.rc, POL_SYNTAX);
    factscache_free(cache);
}
END_TEST

/* Each is asked for behind the one before, whose facts it must not get. */
static const char *const apart[][2] = {
    {"SELECT nextval('orders_seq')", "SELECT nextval('secret_seq')"},
    {"SELECT nextval('orders_seq'::regclass)", "SELECT nextval('secret_seq'::regclass)"},
    {"SELECT nextval('xxxxxx_seq')", "SELECT nextval('secret_seq')"}, /* as blanked, in part */
    {"SELECT currval('xxxxxxxxxx')", "SELECT currval('secret_seq')"},
    {"SELECT setval('orders_seq', 12)", "SELECT setval('secret_seq', 12)"},
    {"SELECT set_config('jit', 'off', false)", "SELECT set_config('jit', 'on ', false)"},
    {"SELECT set_config('work_mem', '64kB', false)", "SELECT set_config('xxxxxxxx', '64kB', false)"},
    {"SELECT current_setting('role')", "SELECT current_setting('xxxx')"},
    {"SELECT setting FROM pg_settings WHERE name = 'role'", "SELECT setting FROM pg_settings WHERE name = 'xxxx'"},
    {"SELECT setting FROM pg_settings WHERE name IN ('TimeZone', 'DateStyle')",
     "SELECT setting FROM pg_settings WHERE name IN ('TimeZone', 'hba_files')"},
    {"SELECT 1; SET work_mem = 64", "SELECT 1; SET work_mem = 65"},
    {"SET work_mem = 64", "SET work_mem = 65"},
    {"SET ROLE 'alice'", "SET ROLE 'xxxxx'"},
    {"SET search_path = 'public'", "SET search_path = 'hidden'"},
    {"BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY"},
    {"SELECT a FROM t1", "SELECT a FROM t2"},
    {"SELECT a FROM \"t1\" WHERE b = 1", "SELECT a FROM \"t2\" WHERE b = 1"},
    {"SELECT a FROM t LIMIT 5", "SELECT a FROM t OFFSET 5"},
    {"SELECT a FROM s1.t WHERE b = 1", "SELECT a FROM s2.t WHERE b = 1"},
    {"PREPARE p1 AS SELECT 5", "PREPARE p2 AS SELECT 5"},
    {"EXECUTE p1(5)", "EXECUTE p2(5)"},
};

static void check_same(struct factscache *cache, const char *sql) {
    struct pol_parse_error err, now;
    size_t len = strlen(sql);
    struct pol_facts *want = pol_facts_pg(sql, len, NULL, &now);
    struct facts_ref *have = ask(cache, sql, &err);
    ck_assert_msg((want == NULL) == (have == NULL), "%s", sql);
    ck_assert(have != NULL || err.rc == now.rc);
    ck_assert_msg(have == NULL || facts_same(facts_of(have), want), "%s", sql);
    facts_ref_put(have);
    pol_facts_free(want);
}

START_TEST(nobody_gets_anothers) {
    struct factscache *cache = factscache_new(100, 1u << 20);
    for (int k = 0; k < 4; k++) check_same(cache, apart[_i][(_i + k) % 2]);
    factscache_free(cache);
}
END_TEST

/* Every text of the table of facts, with values of all kinds, in one cache. */
START_TEST(as_parsed_anew) {
    struct factscache *cache = factscache_new(10000, 64u << 20);
    size_t variants = 0;
    char out[8192];
    for (unsigned round = 0; round < 40; round++)
        for (size_t i = 0; i < sizeof pg_facts_table / sizeof *pg_facts_table; i++) {
            const char *sql = pg_facts_table[i].sql;
            size_t len = strlen(sql);
            if (len >= sizeof out) continue;
            if (round == 0)
                check_same(cache, sql);
            else if (alike_text(sql, len, round * 7919u + (unsigned)i, out)) {
                char a[sizeof out], b[sizeof out];
                ck_assert_msg(pol_blank_pg(sql, len, a) == pol_blank_pg(out, len, b) && memcmp(a, b, len) == 0, "%s\n%s", sql, out);
                check_same(cache, out);
                variants++;
            }
        }
    ck_assert_uint_gt(variants, 3000);
    ck_assert_uint_gt(factscache_use(cache).hits, variants / 3);
    factscache_free(cache);
}
END_TEST

int main(void) {
    Suite *s = suite_create("alike");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, blanked, 0, sizeof blanks / sizeof *blanks);
    tcase_add_test(tc, with_a_nul);
    tcase_add_test(tc, one_for_all);
    tcase_add_test(tc, again_and_again);
    tcase_add_loop_test(tc, nobody_gets_anothers, 0, sizeof apart / sizeof *apart);
    tcase_add_test(tc, over_the_limit);
    tcase_add_test(tc, other_dialect);
    tcase_add_test(tc, as_parsed_anew);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
