/* What may not run on a connection that requests share: whatever leaves something behind, or uses what was left. */
#include "spoa/api_int.h"
#include "t/lib/guard.h"

#include <string.h>

static bool ok(const char *sql, struct pol_verdict *v) {
    struct pol_parse_error err = {0};
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), &(struct pol_parse_limits){0}, &err);
    ck_assert_msg(f != NULL, "%s: %s", sql, err.text);
    bool result = api_pooled_ok(f, sql, strlen(sql), v);
    pol_facts_free(f);
    return result;
}

START_TEST(stays) {
    static const char *const texts[] = {
        "PREPARE p AS SELECT 1",
        "EXECUTE p(1)",
        "EXPLAIN ANALYZE EXECUTE p",
        "CREATE TABLE t AS EXECUTE p",
        "DEALLOCATE p",
        "DEALLOCATE ALL",
        "DISCARD ALL",
        "DISCARD TEMP",
        "DISCARD PLANS",
        "DECLARE c CURSOR FOR SELECT 1",
        "EXPLAIN DECLARE c CURSOR FOR SELECT 1",
        "FETCH ALL FROM c",
        "MOVE c",
        "CLOSE c",
        "CLOSE ALL",
        "UPDATE t SET a = 1 WHERE CURRENT OF c",
        "DELETE FROM t WHERE CURRENT OF c",
        "BEGIN",
        "START TRANSACTION READ ONLY",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT s",
        "RELEASE s",
        "ROLLBACK TO s",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "SET CONSTRAINTS ALL DEFERRED",
        "SET TRANSACTION READ WRITE",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET a.b = 1",
        "SET LOCAL work_mem = 1",
        "SET TIME ZONE 'UTC'",
        "SET ROLE x",
        "RESET work_mem",
        "RESET ALL",
        "SELECT set_config('work_mem', '1', true)",
        "SELECT pg_catalog.set_config('work_mem', '1', false) FROM t",
        "LISTEN x",
        "UNLISTEN *",
        "CREATE TEMP TABLE t(a int)",
        "CREATE TABLE pg_temp.t(a int)",
        "CREATE TEMP TABLE t AS SELECT 1",
        "SELECT 1 AS a INTO TEMP t",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE TEMP SEQUENCE s",
        "INSERT INTO pg_temp.t VALUES (1)",
        "SELECT * FROM pg_temp_3.t",
        "SELECT pg_temp.f()",
        "DROP TABLE pg_temp.t",
        "CREATE DOMAIN pg_temp.d AS int",
        "CREATE DOMAIN \"pg_temp\".int4 AS text",
        "CREATE DOMAIN U&\"pg\\005ftemp\".int4 AS text",
        "CREATE TYPE Pg_Temp.e AS ENUM ('a')",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT 1; CREATE TYPE pg_temp_3.e AS ENUM ('a')",
        "SELECT set_config('search_' || 'path', 'x', false)",
        "SELECT set_config($1, 'x', false)",
        "ALTER ROLE x SET search_path = y",
        "ALTER DATABASE x SET search_path = y",
        "ALTER DATABASE x RESET ALL",
        "ALTER SYSTEM SET work_mem = 1",
        "SELECT setseed(0.5)",
        "SELECT * FROM t WHERE a = (SELECT pg_catalog.\"setseed\"(0.5)::text)",
        "SELECT (0.5).setseed",
        "EXPLAIN ANALYZE SELECT setseed(0.5)",
        "CREATE VIEW v AS SELECT lastval()",
        "SELECT pg_advisory_unlock_all()",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1, 2)",
        "SELECT lastval()",
        "SELECT currval('s')",
        "SELECT currval('public.s'::regclass)",
        "SELECT currval('public.' || 's')",
        "SELECT currval($1)",
        "INSERT INTO t VALUES (currval('s'))",
        "SELECT * FROM pg_listening_channels()",
        "SELECT * FROM pg_cursors",
        "SELECT statement FROM pg_catalog.pg_prepared_statements",
        "DO 'BEGIN END'",
        "LOAD 'x'",
        "COPY t TO STDOUT",
        "COPY (SELECT 1) TO STDOUT",
        "SELECT 1; COPY t TO STDOUT WITH (FORMAT binary)",
        "COPY t FROM STDIN",
        "SELECT 1; COPY t FROM STDIN",
        "SELECT 1; SET a.b = 1; SELECT 2",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct pol_verdict v = {0};
        ck_assert_msg(!ok(texts[i], &v), "%s", texts[i]);
        ck_assert_int_eq(v.effect, POL_DENY);
        ck_assert_str_eq(v.sqlstate, "0A000");
        ck_assert_uint_gt(strlen(v.message), 0);
    }
}
END_TEST

START_TEST(goes) {
    static const char *const texts[] = {
        "SELECT 1",
        "SELECT current_setting('search_path')",
        "SHOW search_path",
        "INSERT INTO t VALUES (1); UPDATE t SET a = 2",
        "SELECT * FROM t FOR UPDATE",
        "NOTIFY x",
        "SELECT nextval('s')",
        "SELECT setval('s', 1)",
        "SELECT random(), pg_advisory_xact_lock(1)",
        "SELECT other.setseed(1)",
        "CREATE TABLE t(a int DEFAULT nextval('s'))",
        "ALTER ROLE x NOLOGIN",
        "COPY t TO '/tmp/x'",
        "SELECT * FROM pg_class",
        "CREATE TABLE t(a int)",
        "CREATE DOMAIN public.d AS int; SELECT 'pg_temp'",
        "EXPLAIN SELECT 1",
        "LOCK TABLE t",
        "",
    };
    struct pol_verdict v = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) ck_assert_msg(ok(texts[i], &v), "%s: %s", texts[i], v.message);
}
END_TEST

START_TEST(tables) { ck_assert_ptr_null(api_pooled_out_of_order()); }
END_TEST

int main(void) {
    Suite *s = suite_create("api_pooled");
    TCase *t = tcase_create("api_pooled");
    tcase_add_test(t, stays);
    tcase_add_test(t, goes);
    tcase_add_test(t, tables);
    suite_add_tcase(s, t);
    return run_suite(s);
}
