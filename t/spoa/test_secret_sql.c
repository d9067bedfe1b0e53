/* Secrets in statements: what must be hidden, and what must not hide behind it. */
#include "spoa/secret_sql.h"

#include "policy/facts_my.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S "s3cret"

/* recorded NULL: as it is. */
static const struct {
    const char *sql, *recorded;
} cases[] = {
    {"ALTER ROLE a PASSWORD '" S "'", "ALTER ROLE a PASSWORD '***'"},
    {"ALTER ROLE a PASSWORD '" S "' SUPERUSER VALID UNTIL '2027-01-01'", "ALTER ROLE a PASSWORD '***' SUPERUSER VALID UNTIL '2027-01-01'"},
    {"create user a with encrypted password E'" S "\\'x' LOGIN", "create user a with encrypted password '***' LOGIN"},
    {"CREATE ROLE a PASSWORD U&'" S "' UESCAPE '!'", "CREATE ROLE a PASSWORD '***' UESCAPE '!'"},
    {"CREATE ROLE a PASSWORD $$" S "$$ LOGIN", "CREATE ROLE a PASSWORD '***' LOGIN"},
    {"CREATE ROLE a PASSWORD $x$" S "$$x$", "CREATE ROLE a PASSWORD '***'"},
    {"CREATE ROLE a PASSWORD /* '1' */ -- '2'\n '" S "'\n  '" S "' LOGIN", "CREATE ROLE a PASSWORD /* '1' */ -- '2'\n '***' LOGIN"},
    {"CREATE ROLE a PASSWORD '" S "''" S "'", "CREATE ROLE a PASSWORD '***'"},
    {"SELECT 1; ALTER USER a PASSWORD '" S "'; SELECT '2'", "SELECT 1; ALTER USER a PASSWORD '***'; SELECT '2'"},
    {"ALTER ROLE a PASSWORD NULL VALID UNTIL 'tomorrow'", NULL},
    {"ALTER GROUP a RENAME TO b", NULL},
    {"ALTER ROLE a SET application_name = 'password'", NULL},
    {"CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password '" S "')",
     "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password '***')"},
    {"ALTER USER MAPPING FOR a SERVER s OPTIONS (SET password '" S "', ADD \"Api_Key\" E'" S "')",
     "ALTER USER MAPPING FOR a SERVER s OPTIONS (SET password '***', ADD \"Api_Key\" '***')"},
    {"CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h.example', secret_key '" S "')",
     "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h.example', secret_key '***')"},
    {"ALTER FOREIGN DATA WRAPPER w OPTIONS (ADD passwd '" S "')", "ALTER FOREIGN DATA WRAPPER w OPTIONS (ADD passwd '***')"},
    {"CREATE SUBSCRIPTION x CONNECTION 'host=h password=" S " dbname=d' PUBLICATION p",
     "CREATE SUBSCRIPTION x CONNECTION 'host=h password=*** dbname=d' PUBLICATION p"},
    {"ALTER SUBSCRIPTION x CONNECTION 'PassWord = ''" S " " S "'' host=h'", "ALTER SUBSCRIPTION x CONNECTION 'PassWord = ***'"},
    {"CREATE SUBSCRIPTION x CONNECTION 'postgresql://u:" S "@h:5432/d?sslpassword=" S "&x=1' PUBLICATION p",
     "CREATE SUBSCRIPTION x CONNECTION 'postgresql://u:***@h:5432/d?sslpassword=***&x=1' PUBLICATION p"},
    {"CREATE SUBSCRIPTION x CONNECTION 'postgresql://u@h/d?password=&sslpassword=" S "' PUBLICATION p",
     "CREATE SUBSCRIPTION x CONNECTION 'postgresql://u@h/d?password=&sslpassword=***' PUBLICATION p"},
    {"CREATE SUBSCRIPTION x CONNECTION 'postgresql://h/d?sslmode=require&%70ass%77ord=" S "&%61pplication_name=a' PUBLICATION p",
     "CREATE SUBSCRIPTION x CONNECTION 'postgresql://h/d?sslmode=require&%70ass%77ord=***&%61pplication_name=a' PUBLICATION p"},
    {"CREATE SUBSCRIPTION x CONNECTION E'pass\\167ord=" S "' PUBLICATION p", "CREATE SUBSCRIPTION x CONNECTION '***' PUBLICATION p"},
    {"CREATE SUBSCRIPTION x CONNECTION 'host=h' PUBLICATION p", NULL},
    {"SELECT * FROM dblink('host=h password=" S "', 'DELETE FROM t') AS t(a int)",
     "SELECT * FROM dblink('host=h password=***', 'DELETE FROM t') AS t(a int)"},
    {"SELECT dblink_connect('c', 'postgres://u:" S "@h/d')", "SELECT dblink_connect('c', 'postgres://u:***@h/d')"},
    {"SELECT dblink_exec('c', E'DELETE FROM t WHERE a = \\'password\\'')", NULL},
    {"ALTER SYSTEM SET primary_conninfo = 'host=h password=" S " user=u'",
     "ALTER SYSTEM SET primary_conninfo = 'host=h password=*** user=u'"},
    {"COPY t FROM PROGRAM 'PGPASSWORD=" S " psql -c x'", "COPY t FROM PROGRAM 'PGPASSWORD=*** psql -c x'"},
    {"IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b OPTIONS (auth_token '" S "', x 'y')",
     "IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b OPTIONS (auth_token '***', x 'y')"},
    {"ALTER TABLE f OPTIONS (ADD password '" S "', SET x 'y')", "ALTER TABLE f OPTIONS (ADD password '***', SET x 'y')"},
    {"ALTER TABLE f ALTER c OPTIONS (ADD password '" S "')", "ALTER TABLE f ALTER c OPTIONS (ADD password '***')"},
    {"CREATE FOREIGN TABLE f (a int) SERVER s OPTIONS (password '" S "')",
     "CREATE FOREIGN TABLE f (a int) SERVER s OPTIONS (password '***')"},
    {"CREATE USER /* a /* b */ c */ a PASSWORD /* /* ' */ ' */ '" S "'", "CREATE USER /* a /* b */ c */ a PASSWORD /* /* ' */ ' */ '***'"},
    {"CREATE USER a -- '\r PASSWORD '" S "'", "CREATE USER a -- '\r PASSWORD '***'"},
    {"CREATE USER a /* PASSWORD '" S "' */ LOGIN PASSWORD '" S "'", "CREATE USER a /* PASSWORD ****/ LOGIN PASSWORD '***'"},
    {"CREATE SUBSCRIPTION x CONNECTION 'host=h oauth_client_secret=" S "' PUBLICATION p",
     "CREATE SUBSCRIPTION x CONNECTION 'host=h oauth_client_secret=***' PUBLICATION p"},
    {"DO $$ BEGIN EXECUTE 'ALTER ROLE a PASSWORD ''" S "'''; DELETE FROM t; END $$", "DO $$ BEGIN EXECUTE '***'; DELETE FROM t; END $$"},
    {"DO $x$ BEGIN EXECUTE format('ALTER ROLE a PASS' || 'WORD %L', $$" S "$$); CREATE ROLE b PASSWORD '" S "'; END $x$",
     "DO $x$ BEGIN EXECUTE format('***' || '***', '***'); CREATE ROLE b PASSWORD '***'; END $x$"},
    {"DO 'BEGIN DELETE FROM t; ALTER ROLE a PASSWORD ''" S "''; END'", "DO 'BEGIN DELETE FROM t; ALTER ROLE a PASSWORD ***'"},
    {"DO $$ BEGIN -- PASSWORD '" S "'\n NULL; END $$", "DO $$ BEGIN -- PASSWORD ***\n NULL; END $$"},
    {"CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE a PASSWORD '" S "'; END $$",
     "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE a PASSWORD '***'; END $$"},
    {"CREATE PROCEDURE f() LANGUAGE sql AS $$ ALTER ROLE a PASSWORD '" S "' $$",
     "CREATE PROCEDURE f() LANGUAGE sql AS $$ ALTER ROLE a PASSWORD '***' $$"},
    {"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT 'a' $$", NULL},
    /* nothing of an ordinary statement may hide behind a word */
    {"SELECT 'password' , 's'", NULL},
    {"SELECT 'password=x', 'postgres://u:p@h/d'", NULL},
    {"SELECT password FROM t WHERE token = 'abc'", NULL},
    {"INSERT INTO t (password) VALUES ('x')", NULL},
    {"DO $$ BEGIN DELETE FROM t; -- password=\n END $$", NULL},
};

static char *hide(const char *sql, const struct pol_facts *f, size_t *n) {
    bool failed;
    size_t len = strlen(sql);
    uint8_t *text = guard_copy(sql, len);
    char *out = secret_sql_hide((const char *)text, len, f, n, &failed);
    ck_assert(!failed);
    guard_free(text, len);
    return out;
}

START_TEST(understood) {
    const char *sql = cases[_i].sql, *want = cases[_i].recorded;
    struct pol_parse_error err = {0};
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), &(struct pol_parse_limits){0}, &err);
    ck_assert_msg(f != NULL, "%s: %s", sql, err.text);
    size_t n = 0;
    char *out = secret_sql_may(f) ? hide(sql, f, &n) : NULL;
    if (want == NULL)
        ck_assert_msg(out == NULL, "%s: %s", sql, out);
    else {
        ck_assert_msg(out != NULL, "%s", sql);
        ck_assert_str_eq(out, want);
        ck_assert_uint_eq(n, strlen(out));
    }
    free(out);
    pol_facts_free(f);
}
END_TEST

/* Nobody knows what it is: all behind the word is hidden, whatever it is. */
START_TEST(not_understood) {
    static const char *const list[] = {"ALTR ROLE a PASSWORD '" S "'",
                                       "CREATE ROLE a PASSWORD = '" S "'",
                                       "ALTER ROLE a WITH PASSWORD('" S "')",
                                       "ALTER ROLE a PASSWORD " S,
                                       "CREATE USER u IDENTIFIED BY " S,
                                       "SELECT dblink('host=h password=" S "'",
                                       "SELECT dblink('postgres://u:" S "@h/d', FROM",
                                       "CREATE SUBSCRIPTION x CONECTION 'password=" S "'",
                                       "ALTER ROLE a PASSWORD '" S,
                                       "ALTER ROLE a PASSWORD $$" S,
                                       "SELECT password FROM t WHERE x = '" S "' FORM",
                                       "CREATE USER u IDNTIFIED BY '" S "' PASSWORD",
                                       "CREATE ROLE u PASWORD '" S "'",
                                       "SET PASSWORD = \"" S,
                                       "create user u /* /* */ identfied by 'x' identified by '" S,
                                       "CREATE USER MAPPING OPTIONS (password E'" S};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        size_t n = 0;
        ck_assert(secret_sql_may(NULL));
        char *out = hide(list[i], NULL, &n);
        ck_assert_msg(out != NULL && strstr(out, S) == NULL, "%s: %s", list[i], out);
        free(out);
    }
    size_t n = 0;
    char *out = hide("SELECT password FORM t WHERE id = 7", NULL, &n);
    ck_assert_str_eq(out, "SELECT password FORM t WHERE id = ***");
    free(out);
    ck_assert_ptr_null(hide("SELECT a FORM t WHERE id = 'x'", NULL, &n));
}
END_TEST

/* --- MySQL and MariaDB --- */

#define MA MY_MARIADB, 101119
#define MS MY_MYSQL, 80406
static const struct {
    enum my_server server;
    unsigned version, mode;
    const char *sql, *recorded;
} my_cases[] = {
    {MA, 0, "CREATE USER 'u'@'h' IDENTIFIED BY '" S "' REQUIRE SUBJECT '/CN=x'",
     "CREATE USER 'u'@'h' IDENTIFIED BY '***' REQUIRE SUBJECT '/CN=x'"},
    {MA, 0, "CREATE USER `u` IDENTIFIED BY \"" S "\\\" x\", 'v' IDENTIFIED WITH p AS '" S "'",
     "CREATE USER `u` IDENTIFIED BY '***', 'v' IDENTIFIED WITH p AS '***'"},
    {MA, 0, "CREATE USER u IDENTIFIED VIA ed25519 USING '" S "' OR unix_socket",
     "CREATE USER u IDENTIFIED VIA ed25519 USING '***' OR unix_socket"},
    {MA, 0, "CREATE USER u IDENTIFIED VIA ed25519 USING PASSWORD('" S "') REQUIRE ISSUER 'x' AND SUBJECT 'y'",
     "CREATE USER u IDENTIFIED VIA ed25519 USING PASSWORD('***') REQUIRE ISSUER 'x' AND SUBJECT 'y'"},
    {MS, 0, "ALTER USER u IDENTIFIED WITH 'caching_sha2_password' BY '" S "' REPLACE '" S "' RETAIN CURRENT PASSWORD COMMENT 'c'",
     "ALTER USER u IDENTIFIED WITH 'caching_sha2_password' BY '***' REPLACE '***' RETAIN CURRENT PASSWORD COMMENT 'c'"},
    {MS, 0, "ALTER USER u IDENTIFIED WITH comment AS '" S "' PASSWORD EXPIRE INTERVAL 90 DAY",
     "ALTER USER u IDENTIFIED WITH comment AS '***' PASSWORD EXPIRE INTERVAL 90 DAY"},
    {MS, 0, "CREATE USER u IDENTIFIED WITH p AS 0x7365637265", "CREATE USER u IDENTIFIED WITH p AS '***'"},
    {MS, 0, "ALTER USER u IDENTIFIED BY '" S "' DEFAULT ROLE 'r', 'q'", "ALTER USER u IDENTIFIED BY '***' DEFAULT ROLE 'r', 'q'"},
    {MS, 0, "CREATE USER u IDENTIFIED BY RANDOM PASSWORD", NULL},
    {MA, 0, "ALTER USER u IDENTIFIED BY PASSWORD '*" S "'", "ALTER USER u IDENTIFIED BY PASSWORD '***'"},
    {MA, 0, "GRANT SELECT ON t TO 'u'@'h' IDENTIFIED BY '" S "', 'v'@'h' IDENTIFIED BY '" S "' WITH GRANT OPTION",
     "GRANT SELECT ON t TO 'u'@'h' IDENTIFIED BY '***', 'v'@'h' IDENTIFIED BY '***' WITH GRANT OPTION"},
    {MA, 0, "GRANT SELECT ON t TO 'u'@'h'", NULL},
    {MA, 0, "SET PASSWORD FOR 'u'@'h' = '" S "'", "SET PASSWORD FOR 'u'@'h' = '***'"},
    {MA, 0, "SET PASSWORD FOR u = PASSWORD('" S "')", "SET PASSWORD FOR u = PASSWORD('***')"},
    {MA, 0, "SET PASSWORD = '" S "'", "SET PASSWORD = '***'"},
    {MS, 0, "SET PASSWORD FOR u = _utf8mb4'" S "' REPLACE '" S "' RETAIN CURRENT PASSWORD",
     "SET PASSWORD FOR u = _utf8mb4'***' REPLACE '***' RETAIN CURRENT PASSWORD"},
    {MA, MY_ANSI_QUOTES, "SET PASSWORD = \"" S "\"", "SET PASSWORD = '***'"},
    {MA, MY_ANSI_QUOTES, "CREATE USER \"u\" IDENTIFIED BY \"" S "\"", "CREATE USER \"u\" IDENTIFIED BY '***'"},
    {MA, 0, "CREATE USER 'u'@'h' IDNTIFIED BY '" S "'", "CREATE USER 'u'@'h' IDNTIFIED BY '***'"},
    {MA, 0, "GRANT 'r' TO 'u'@'h', 'v' WITH ADMIN OPTION", NULL},
    {MA, 0, "DROP USER IF EXISTS 'u', 'v'@'h'", NULL},
    {MA, 0, "RENAME USER 'a' TO 'b'", NULL},
    {MA, 0, "CREATE ROLE 'r' WITH ADMIN 'u'", NULL},
    {MA, 0, "GRANT SELECT (a, b) ON `t`.* TO 'u'@'%' REQUIRE CIPHER 'c' WITH MAX_QUERIES_PER_HOUR 5", NULL},
    {MA, 0, "EXECUTE IMMEDIATE 'create user u idntified by ''" S "'''", "EXECUTE IMMEDIATE 'create user u idntified by ''***'''"},
    {MA, 0, "CREATE USER u IDENTIFIED BY " S, "CREATE USER u IDENTIFIED BY '***'"},
    {MA, MY_NO_BACKSLASH_ESCAPES, "CREATE USER '\\' IDENTIFIED BY '" S "'", "CREATE USER '\\' IDENTIFIED BY '***'"},
    {MA, 0, "CREATE USER '\\' IDENTIFIED BY ' IDENTIFIED BY '" S "'", "CREATE USER '\\' IDENTIFIED BY ' IDENTIFIED BY '***'"},
    /* comments, as each server reads them */
    {MA, 0, "create user u3 /* /* */ identified by '" S "'", "create user u3 /* /* */ identified by '***'"},
    {MA, 0, "create user u30 -- \r '\n identified by '" S "'", "create user u30 -- \r '\n identified by '***'"},
    {MA, 0, "create user u # it's \r '\n identified by '" S "'", "create user u # it's \r '\n identified by '***'"},
    {MA, 0, "create user u37 /*!99999 ' */ identified by '" S "'", "create user u37 /*!99999 ' */ identified by '***'"},
    {MA, 0, "create user u /*!80000 ' */ identified by '" S "'", "create user u /*!80000 ' */ identified by '***'"},
    {MS, 0, "create user u /*!80000 identified by '" S "' */", "create user u /*!80000 identified by '***' */"},
    {MA, 0, "create user u /*M!100000 identified by '" S "' */", "create user u /*M!100000 identified by '***' */"},
    {MA, 0, "create user u /*!99999 identified by '" S "' */", "create user u /*!99999 identified by ****/"},
    {MA, 0, "create user u /* was: identified by '" S "' */ identified by '" S "' # password='" S "'",
     "create user u /* was: identified by ****/ identified by '***' # password=***"},
    {MA, 0, "/* reason: bob forgot his password */ alter user bob identified by '" S "'",
     "/* reason: bob forgot his password */ alter user bob identified by '***'"},
    /* replication, servers, engines */
    {MA, 0, "CHANGE MASTER TO MASTER_HOST = 'h', MASTER_PASSWORD = '" S "', MASTER_SSL_KEY = 'k'",
     "CHANGE MASTER TO MASTER_HOST = 'h', MASTER_PASSWORD = '***', MASTER_SSL_KEY = 'k'"},
    {MA, 0, "change master to master_password='" S "'", "change master to master_password='***'"},
    {MS, 0, "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD='" S "', SOURCE_HOST='h' FOR CHANNEL 'c'",
     "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD='***', SOURCE_HOST='h' FOR CHANNEL 'c'"},
    {MS, 0, "START REPLICA USER = 'u' PASSWORD = '" S "' DEFAULT_AUTH = 'p'",
     "START REPLICA USER = 'u' PASSWORD = '***' DEFAULT_AUTH = '***'"},
    {MS, 0, "START GROUP_REPLICATION USER='u', PASSWORD='" S "'", "START GROUP_REPLICATION USER='u', PASSWORD='***'"},
    {MS, 0, "CLONE INSTANCE FROM 'u'@'h':3306 IDENTIFIED BY '" S "'", "CLONE INSTANCE FROM 'u'@'h':3306 IDENTIFIED BY '***'"},
    {MA, 0, "create server s foreign data wrapper mysql options(user 'a', password '" S "', host 'h')",
     "create server s foreign data wrapper mysql options(user 'a', password '***', host 'h')"},
    {MA, 0, "CREATE OR REPLACE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (PASSWORD '" S "')",
     "CREATE OR REPLACE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (PASSWORD '***')"},
    {MA, 0, "ALTER SERVER s OPTIONS (PASSWORD '" S "', PORT 1)", "ALTER SERVER s OPTIONS (PASSWORD '***', PORT 1)"},
    {MA, 0, "CREATE TABLE t (password char(9) DEFAULT 'x') ENGINE = FEDERATED CONNECTION = 'mysql://u:password" S "@h/d/t'",
     "CREATE TABLE t (password char(9) DEFAULT 'x') ENGINE = FEDERATED CONNECTION = '***'"},
    {MA, 0, "CREATE TABLE t (a int) ENGINE = FEDERATED CONNECTION = 'mysql://u:" S "@h/d/t'",
     "CREATE TABLE t (a int) ENGINE = FEDERATED CONNECTION = '***'"},
    {MA, 0, "CREATE TABLE t (a int) ENGINE = SPIDER COMMENT = 'user \"u\", password \"" S "\"'",
     "CREATE TABLE t (a int) ENGINE = SPIDER COMMENT = '***'"},
    {MA, 0, "SET GLOBAL wsrep_sst_auth = 'u:" S "'", "SET GLOBAL wsrep_sst_auth = '***'"},
    {MS, 0, "SET GLOBAL a = 1, SESSION ssl_passphrase = '" S "'", "SET GLOBAL a = 1, SESSION ssl_passphrase = '***'"},
    {MA, 0, "SET @password = '" S "', @shown = 'x'", "SET @password = '***', @shown = 'x'"},
    {MA, 0, "SET GLOBAL wsrep_sst_auth = 'u:" S "', @a = 'shown'", "SET GLOBAL wsrep_sst_auth = '***', @a = 'shown'"},
    {MA, 0, "CREATE TABLE t (a int) ENGINE = CONNECT HTTP = 'http://u:" S "@h' OPTION_LIST = 'User=u,Password=" S "'",
     "CREATE TABLE t (a int) ENGINE = CONNECT HTTP = '***' OPTION_LIST = '***'"},
    {MS, 0, "ALTER TABLE t ENGINE_ATTRIBUTE = '{\"password\":\"" S "\"}'", "ALTER TABLE t ENGINE_ATTRIBUTE = '***'"},
    {MA, 0, "CREATE TABLE t (a int) ENGINE = SPIDER COMMENT = 'user \"u\", p\\assword \"" S "\"'",
     "CREATE TABLE t (a int) ENGINE = SPIDER COMMENT = '***'"},
    {MA, 0, "CREATE TABLE t (a int) COMMENT = 'it''s a table'", NULL},
    {MS, 0, "CREATE USER u ATTRIBUTE '{\"password\":\"" S "\"}', COMMENT 'c'", "CREATE USER u ATTRIBUTE '***', COMMENT 'c'"},
    {MA, 0, "CREATE SERVER s FOREIGN DATA WRAPPER odbc OPTIONS (HOST 'h', connection 'DSN=x;PWD=" S "')",
     "CREATE SERVER s FOREIGN DATA WRAPPER odbc OPTIONS (HOST 'h', connection '***')"},
    {MA, 0, "ALTER SERVER s OPTIONS (HOST 'mysql://u:" S "@h')", "ALTER SERVER s OPTIONS (HOST '***')"},
    /* without its quotes, as people type it */
    {MA, 0, "CREATE USER u IDENTIFIED BY " S "!" S "@" S " ACCOUNT LOCK", "CREATE USER u IDENTIFIED BY '***' ACCOUNT LOCK"},
    {MA, 0, "CREATE USER u IDENTIFIED BY *" S ", v", "CREATE USER u IDENTIFIED BY '***', v"},
    {MA, 0, "CREATE USER u IDENTIFIED BY @" S " REQUIRE SUBJECT 'x'", "CREATE USER u IDENTIFIED BY '***' REQUIRE SUBJECT 'x'"},
    {MA, 0, "CREATE USER u IDENTIFIED BY 'a'\"" S "\"'b' ACCOUNT LOCK", "CREATE USER u IDENTIFIED BY '***' '***' '***' ACCOUNT LOCK"},
    /* arguments of procedures */
    {MA, 0, "CALL set_password('bob', '" S "')", "CALL set_password('***', '***')"},
    {MA, 0, "CALL d.`Reset Password`(1, N'" S "')", "CALL d.`Reset Password`(1, '***')"},
    {MS, 0, "CALL mysql.rds_set_external_master('h', 3306, 'u', '" S "', 'f', 1, 0)",
     "CALL mysql.rds_set_external_master('***', 3306, '***', '***', '***', 1, 0)"},
    {MA, 0, "CALL run('ALTER USER u IDENTIFIED BY ''" S "''', 'x')", "CALL run('ALTER USER u IDENTIFIED BY ''***''', 'x')"},
    {MA, 0, "CALL run('ALTER USER u ident\\ified BY \"" S "\"')", "CALL run('ALTER USER u identified BY ''***''')"},
    {MA, 0, "CALL run('DELETE FROM t /* password */ WHERE a = ''b''')", NULL},
    {MA, 0, "CALL run('SELECT password FROM t', 'x')", NULL},
    {MA, 0, "EXECUTE IMMEDIATE 'CALL set_password(''" S "'')'", "EXECUTE IMMEDIATE 'CALL set_password(''***'')'"},
    /* texts in the text */
    {MA, 0, "EXECUTE IMMEDIATE 'CREATE OR REPLACE TABLE t (a int) CONNECTION = ''mysql://u:" S "@h/d/t'''",
     "EXECUTE IMMEDIATE 'CREATE OR REPLACE TABLE t (a int) CONNECTION = ''***'''"},
    {MA, 0, "EXECUTE IMMEDIATE 'create user u identified by ''" S "'''", "EXECUTE IMMEDIATE 'create user u identified by ''***'''"},
    {MA, 0, "PREPARE s FROM 'SET PASSWORD = \\'" S "\\''", "PREPARE s FROM 'SET PASSWORD = ''***'''"},
    {MA, 0, "PREPARE s FROM 'SELECT ''x'' /* password */ FROM t'", NULL},
    {MA, 0, "PREPARE s FROM 'SELECT password FROM t WHERE x = ''y'''", NULL},
    {MA, 0, "PREPARE s FROM 'CREATE PROCEDURE p() ALTER USER u IDENTIFIED BY ''" S "'''",
     "PREPARE s FROM 'CREATE PROCEDURE p() ALTER USER u IDENTIFIED BY ''***'''"},
    {MA, 0, "EXECUTE IMMEDIATE concat('create user u ident', 'ified by ''" S "''')", "EXECUTE IMMEDIATE concat('***', '***')"},
    {MA, 0, "EXECUTE IMMEDIATE 'create user u ident\\ified by ''" S "'''", "EXECUTE IMMEDIATE 'create user u identified by ''***'''"},
    {MA, 0, "SET @s = 'ALTER USER u IDENTIFIED BY ''" S "''', @t = 1", "SET @s = '***', @t = 1"},
    {MA, 0, "SET NAMES 'utf8mb4'", NULL},
    {MA, 0, "BEGIN NOT ATOMIC create user u identified by '" S "'; END", "BEGIN NOT ATOMIC create user u identified by '***'; END"},
    {MA, 0, "CREATE PROCEDURE p() BEGIN SET PASSWORD = PASSWORD('" S "'); EXECUTE IMMEDIATE 'x'; END",
     "CREATE PROCEDURE p() BEGIN SET PASSWORD = PASSWORD('***'); EXECUTE IMMEDIATE '***'; END"},
    {MA, 0, "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO ALTER USER u IDENTIFIED BY '" S "'",
     "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO ALTER USER u IDENTIFIED BY '***'"},
    {MA, 0, "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET PASSWORD = '" S "'",
     "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET PASSWORD = '***'"},
    {MA, 0, "CREATE PROCEDURE p() SELECT 'x'", NULL},
    /* nothing of an ordinary statement may hide behind a word */
    {MA, 0, "SELECT 'password', 's', identified FROM t WHERE password = 'x'", NULL},
    {MA, 0, "INSERT INTO t (password) VALUES ('x')", NULL},
    {MA, 0, "UPDATE t SET password = 'x' /* identified by 'y' */", NULL},
};

START_TEST(mysql) {
    struct pol_parse_error err = {0};
    const struct my_options o = {
        .server = my_cases[_i].server, .version = my_cases[_i].version, .mode = my_cases[_i].mode, .default_db = "d"};
    const char *sql = my_cases[_i].sql, *want = my_cases[_i].recorded;
    struct pol_facts *f = pol_facts_my(sql, strlen(sql), &o, &err);
    ck_assert_msg(f != NULL, "%s: %s", sql, err.text);
    ck_assert(f->my_server == o.server && f->my_version == o.version && f->my_mode == o.mode);
    size_t n = 0;
    char *out = secret_sql_may(f) ? hide(sql, f, &n) : NULL, *unknown = hide(sql, NULL, &n);
    if (want == NULL)
        ck_assert_msg(out == NULL, "%s: %s", sql, out);
    else {
        ck_assert_msg(out != NULL, "%s", sql);
        ck_assert_str_eq(out, want);
    }
    free(out);
    free(unknown);
    pol_facts_free(f);
}
END_TEST

/* Behind each beginning of a text, and in front of it, whatever its quotes and comments: what was understood shows no secret. */
START_TEST(mysql_around) {
    static const char *const before[] = {
        "",  "/* ' */ ", "-- '\n", "# \" \r '\n", "/* /* ' */ ",           "/*!99999 ' */ ", "/*!50000 */ ",
        ";", "/* \" */", "/**/",   "--\t\n ",     "/*!99999 /* ' */ ' */ "};
    static const char *const between[] = {" ",        "/* ' */",         " -- '\n",       "# '\n", " # \r'\n",
                                          "/* /* */", " /*!99999 ' */ ", " /*!50000 */ ", "\n"};
    for (int m = 0; m < 8; m++)
        for (size_t i = 0; i < sizeof before / sizeof *before; i++)
            for (size_t k = 0; k < sizeof between / sizeof *between; k++) {
                struct my_options o = {.server = m & 1 ? MY_MARIADB : MY_MYSQL, .version = m & 1 ? 101119 : 80406, .default_db = "d"};
                o.mode = (m & 2 ? MY_ANSI_QUOTES : 0u) | (m & 4 ? MY_NO_BACKSLASH_ESCAPES : 0u);
                const char *b = between[k];
                char sql[400];
                snprintf(sql, sizeof sql, "%sCREATE%sUSER%s'u'%sIDENTIFIED%sBY%s'" S "'%sREQUIRE SUBJECT 'x'", before[i], b, b, b, b, b, b);
                struct pol_parse_error err = {0};
                struct pol_facts *f = pol_facts_my(sql, strlen(sql), &o, &err);
                size_t n = 0;
                char *out = hide(sql, f, &n);
                ck_assert_msg(out != NULL && strstr(out, S) == NULL, "%s: %s", sql, out);
                ck_assert_msg(f == NULL || strstr(out, "REQUIRE SUBJECT 'x'") != NULL, "%s: %s", sql, out);
                free(out);
                pol_facts_free(f);
            }
}
END_TEST

/* Cut anywhere, and with any byte in any place: no byte beyond its end is read. */
static void any(const char *sql) {
    static const enum pol_kind kinds[] = {POL_K_GRANT, POL_K_DDL, POL_K_SET, POL_K_PREPARE, POL_K_OTHER, POL_K_CALL};
    struct pol_stmt s = {.opaque = true, .actions = POL_EXECUTE};
    const struct pol_facts pg = {.dialect = POL_POSTGRESQL};
    struct pol_facts my = {.dialect = POL_MYSQL, .my_server = MY_MARIADB, .my_version = 101119, .nstmts = 1, .stmts = &s};
    size_t len = strlen(sql), n;
    for (size_t cut = 0; cut <= len; cut++) {
        char *text = strndup(sql, cut);
        for (int c = 0; c < 4 && cut > 0; c++) {
            free(hide(text, NULL, &n));
            free(hide(text, &pg, &n));
            s.kind = kinds[(cut + (size_t)c) % (sizeof kinds / sizeof *kinds)];
            my.my_mode = (uint8_t)(c == 1 ? MY_ANSI_QUOTES : c == 2 ? MY_NO_BACKSLASH_ESCAPES : 0);
            free(hide(text, &my, &n));
            text[cut - 1] = "'\\$*"[c];
        }
        free(text);
    }
}

START_TEST(any_text) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) any(cases[i].sql);
    for (size_t i = 0; i < sizeof my_cases / sizeof *my_cases; i++) any(my_cases[i].sql);
}
END_TEST

START_TEST(conninfo) {
    static const struct {
        const char *text, *want;
    } list[] = {{"host=h password=" S " port=1", "host=h password=*** port=1"},
                {"password=ab", "password=**"},
                {"password = '" S " x' host=h", "password = ***"},
                {"password=a\\ " S " host=h", "password=*** host=h"},
                {"postgres://u:" S "@h/d", "postgres://u:***@h/d"},
                {"postgres://u:a@" S "@h/d", "postgres://u:***@h/d"},
                {"postgres://h/d", "postgres://h/d"},
                {"postgres://h/d?%50assword=" S, "postgres://h/d?%50assword=***"},
                {"postgres://h/d?ssl%70assword=" S "&p%61ssword=" S, "postgres://h/d?ssl%70assword=***&p%61ssword=***"},
                {"postgres://h/d?%70assword=", "postgres://h/d?%70assword="},
                {"postgres://h/d?%7&%", "postgres://h/d?%7&%"},
                {"password", "password"},
                {"password=", "password="},
                {"postgres://h/d?password=&password=" S, "postgres://h/d?password=&password=***"},
                {"", ""}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char text[100];
        strcpy(text, list[i].text);
        text[secret_conninfo_hide(text, strlen(text))] = '\0';
        ck_assert_str_eq(text, list[i].want);
    }
}
END_TEST

START_TEST(messages) {
    static const struct {
        const char *text, *message, *want;
    } list[] = {{"SELECT '" S "' '", "syntax error at or near \"'" S "'\"", "syntax error at or"},
                {"SELECT 1 FORM t", "syntax error at or near \"FORM\"", NULL},
                {"SELECT password FORM t WHERE a = 'x'", "syntax error at or near \"FORM\"", NULL},
                {"CREATE ROLE a PASSWORD " S, "syntax error at or near \"" S "\"", "syntax error at or"},
                {"CREATE ROLE a PASSWORD " S, "syntax error at or near \"CREATE\"", NULL},
                {"CREATE ROLE a PASSWORD " S, "something else", NULL}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char text[100];
        strcpy(text, list[i].message);
        secret_message(text, list[i].text, strlen(list[i].text));
        ck_assert_str_eq(text, list[i].want != NULL ? list[i].want : list[i].message);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("secret_sql");
    TCase *t = tcase_create("secret_sql");
    tcase_add_loop_test(t, understood, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(t, not_understood);
    tcase_add_test(t, any_text);
    tcase_add_loop_test(t, mysql, 0, (int)(sizeof my_cases / sizeof *my_cases));
    tcase_add_test(t, mysql_around);
    tcase_add_test(t, conninfo);
    tcase_add_test(t, messages);
    suite_add_tcase(s, t);
    return run_suite(s);
}
