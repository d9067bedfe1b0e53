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

START_TEST(tables) {
    ck_assert_ptr_null(api_pooled_out_of_order());
    ck_assert_ptr_null(stmt_my_out_of_order());
    ck_assert_ptr_null(api_pooled_my_out_of_order());
}
END_TEST

/* --- MySQL and MariaDB --- */

static bool my_ok(const char *sql, enum my_server server, struct pol_verdict *v) {
    const struct my_options o = {.server = server, .version = server == MY_MARIADB ? 101119 : 90704, .default_db = "shop"};
    struct pol_parse_error err = {0};
    struct pol_facts *f = pol_facts_my(sql, strlen(sql), &o, &err);
    ck_assert_msg(f != NULL, "%s: %s", sql, err.text);
    bool result = api_pooled_my_ok(f, sql, strlen(sql), &o, v);
    pol_facts_free(f);
    return result;
}

static const char *const my_stays[] = {
    /* both */
    "PREPARE p FROM 'SELECT 1'",
    "PREPARE p FROM @v",
    "EXECUTE p",
    "EXECUTE p USING @a",
    "DEALLOCATE PREPARE p",
    "DROP PREPARE p",
    "BEGIN",
    "START TRANSACTION READ ONLY",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "RELEASE SAVEPOINT s",
    "XA START 'x'",
    "XA RECOVER",
    "SET autocommit = 0",
    "SET NAMES latin1",
    "SET @a = 1",
    "SET SESSION sql_mode = 'ANSI'",
    "SET GLOBAL sql_mode = ''",
    "SET TRANSACTION READ ONLY",
    "SET @@sql_mode = ''",
    "SET ROLE x",
    "SET DEFAULT ROLE x TO y",
    "USE shop",
    "USE other",
    "CREATE TEMPORARY TABLE t(a int)",
    "CREATE TEMPORARY TABLE customers SELECT 1 AS email",
    "CREATE TEMPORARY TABLE t LIKE orders",
    "LOCK TABLES t READ",
    "UNLOCK TABLES",
    "FLUSH TABLES WITH READ LOCK",
    "FLUSH TABLES t FOR EXPORT",
    "FLUSH PRIVILEGES",
    "HANDLER t OPEN",
    "HANDLER t READ FIRST",
    "HANDLER t CLOSE",
    "SELECT @a",
    "SELECT @a := 1",
    "SELECT @'a'",
    "SELECT @`a`",
    "SELECT 1 INTO @a",
    "SELECT * FROM t WHERE a = (SELECT @b)",
    "CALL p(@a)",
    "INSERT INTO t VALUES (@a)",
    "UPDATE t SET a = @a := 1",
    "DO @a := 1",
    "EXPLAIN SELECT @a",
    "CREATE TABLE t SELECT @a := 1",
    "LOAD DATA INFILE 'x' INTO TABLE t (@a)",
    "LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
    "GET DIAGNOSTICS @a = NUMBER",
    "SELECT LAST_INSERT_ID()",
    "SELECT last_insert_id(5)",
    "UPDATE t SET a = LAST_INSERT_ID(a + 1)",
    "SELECT FOUND_ROWS()",
    "SELECT ROW_COUNT()",
    "SELECT GET_LOCK('x', 1)",
    "DO RELEASE_LOCK('x')",
    "SELECT RELEASE_ALL_LOCKS()",
    "SELECT @@last_insert_id",
    "SELECT @@identity",
    "SELECT @@SESSION.insert_id",
    "SELECT @@warning_count",
    "SELECT @@`error_count`",
    "SHOW VARIABLES LIKE 'last_insert_id'",
    "SHOW VARIABLES",
    "SHOW WARNINGS",
    "SHOW ERRORS",
    "SHOW COUNT(*) WARNINGS",
    "SHOW STATUS",
    "SHOW SESSION STATUS LIKE 'x'",
    "SHOW PROFILES",
    "SHOW PROFILE",
    "SELECT * FROM information_schema.session_status",
    "SELECT * FROM INFORMATION_SCHEMA.Session_Status",
    "SELECT * FROM information_schema.profiling",
    "SELECT * FROM performance_schema.user_variables_by_thread",
    "SELECT * FROM performance_schema.prepared_statements_instances",
    "KILL 5",
    "SIGNAL SQLSTATE '45000'",
    "BINLOG 'x'",
    "HELP 'x'",
    "SELECT 1 /*!50000 + 1 */",
    "SELECT 1 /*!99999 + 1 */",
    "SELECT /*! 1 */",
    "SELECT '@' /*! */",
};
static const char *const maria_stays[] = {
    "EXECUTE IMMEDIATE 'SELECT 1'",
    "EXECUTE IMMEDIATE CONCAT('SEL', 'ECT 1')",
    "SET STATEMENT max_statement_time = 1 FOR SELECT 1",
    "BEGIN NOT ATOMIC SET @a = 1; END",
    "IF 1 THEN SELECT 1; END IF",
    "CREATE OR REPLACE TEMPORARY TABLE t(a int)",
    "CREATE TEMPORARY SEQUENCE orders",
    "CREATE OR REPLACE TEMPORARY SEQUENCE orders",
    "BACKUP STAGE START",
    "SELECT LASTVAL(s)",
    "SELECT PREVIOUS VALUE FOR s",
    "INSERT INTO t VALUES (LASTVAL(s))",
    "SELECT @@last_gtid",
    "SELECT @@in_transaction",
    "SELECT WSREP_LAST_SEEN_GTID()",
    "SELECT mariadb_schema.last_insert_id()",
    "SELECT 1 /*M! + 1 */",
    "SELECT 1 /*M!999999 + 1 */",
    "SELECT * FROM information_schema.user_variables",
    "SHOW EXPLAIN FOR 5",
};
static const char *const mysql_stays[] = {
    "LOCK INSTANCE FOR BACKUP", "SELECT PS_CURRENT_THREAD_ID()",  "SET PERSIST sql_mode = ''",
    "SET RESOURCE GROUP x",     "CLONE LOCAL DATA DIRECTORY 'x'", "SELECT * FROM information_schema.optimizer_trace",
};
static const char *const my_goes[] = {
    "SELECT 1",
    "SELECT @@version, @@sql_mode",
    "SELECT '@a', `@b`, 2 * 3 /* @c */ FROM t -- @d",
    "SELECT * FROM t FOR UPDATE",
    "SHOW TABLES",
    "SHOW COLUMNS FROM t",
    "SHOW CREATE TABLE t",
    "SHOW VARIABLES LIKE 'version'",
    "INSERT INTO t VALUES (1)",
    "REPLACE INTO t VALUES (1)",
    "UPDATE t SET a = 2",
    "DELETE FROM t",
    "TRUNCATE TABLE t",
    "CREATE TABLE t(a int)",
    "DROP TABLE t",
    "ALTER TABLE t ADD b int",
    "CREATE USER u@localhost",
    "GRANT SELECT ON *.* TO 'u'@'%'",
    "CREATE DEFINER = u@localhost PROCEDURE p() BEGIN SET @a = 1; END",
    "CALL p(1)",
    "DO SLEEP(0)",
    "EXPLAIN SELECT 1",
    "ANALYZE TABLE t",
    "LOAD DATA INFILE 'x' INTO TABLE t",
    "SELECT * FROM t INTO OUTFILE 'x'",
    "SELECT d.get_lock('x')",
    "SELECT RAND(), CONNECTION_ID()",
    "SELECT 1;",
    "",
};

static void all(const char *const *texts, size_t n, enum my_server server, bool may) {
    for (size_t i = 0; i < n; i++) {
        struct pol_verdict v = {0};
        bool is = my_ok(texts[i], server, &v);
        ck_assert_msg(is == may, "%s: %s", texts[i], v.message);
        if (may) continue;
        ck_assert_int_eq(v.effect, POL_DENY);
        ck_assert_str_eq(v.sqlstate, "0A000");
        ck_assert_ptr_nonnull(strstr(v.message, "not possible over this API"));
    }
}
#define ALL(texts, server, may) all(texts, sizeof(texts) / sizeof *(texts), server, may)

START_TEST(mysql) {
    ALL(my_stays, MY_MARIADB, false);
    ALL(my_stays, MY_MYSQL, false);
    ALL(maria_stays, MY_MARIADB, false);
    ALL(mysql_stays, MY_MYSQL, false);
    ALL(my_goes, MY_MARIADB, true);
    ALL(my_goes, MY_MYSQL, true);
    struct pol_verdict v = {0};
    ck_assert(my_ok("SELECT NEXTVAL(s), SETVAL(s, 5)", MY_MARIADB, &v));
}
END_TEST

int main(void) {
    Suite *s = suite_create("api_pooled");
    TCase *t = tcase_create("api_pooled");
    tcase_add_test(t, stays);
    tcase_add_test(t, goes);
    tcase_add_test(t, tables);
    tcase_add_test(t, mysql);
    suite_add_tcase(s, t);
    return run_suite(s);
}
