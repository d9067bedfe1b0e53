/* Secrets in statements: what must be hidden, and what must not hide behind it. */
#include "spoa/secret_sql.h"
#include "t/lib/guard.h"

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
    {"CREATE SUBSCRIPTION x CONNECTION E'pass\\167ord=" S "' PUBLICATION p", "CREATE SUBSCRIPTION x CONNECTION '***' PUBLICATION p"},
    {"CREATE SUBSCRIPTION x CONNECTION 'host=h' PUBLICATION p", NULL},
    {"SELECT * FROM dblink('host=h password=" S "', 'DELETE FROM t') AS t(a int)",
     "SELECT * FROM dblink('host=h password=***', 'DELETE FROM t') AS t(a int)"},
    {"SELECT dblink_connect('c', 'postgres://u:" S "@h/d')", "SELECT dblink_connect('c', 'postgres://u:***@h/d')"},
    {"SELECT dblink_exec('c', E'DELETE FROM t WHERE a = \\'password\\'')", NULL},
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

/* Typed wrongly, so that nobody knows what it is: the secret is hidden all the same. */
START_TEST(not_understood) {
    static const char *const list[] = {"ALTR ROLE a PASSWORD '" S "'",
                                       "CREATE ROLE a PASSWORD = '" S "'",
                                       "ALTER ROLE a WITH PASSWORD('" S "')",
                                       "SELECT dblink('host=h password=" S "'",
                                       "CREATE SUBSCRIPTION x CONECTION 'password=" S "'",
                                       "ALTER ROLE a PASSWORD '" S,
                                       "ALTER ROLE a PASSWORD $$" S,
                                       "CREATE USER MAPPING OPTIONS (password E'" S};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        size_t n = 0;
        ck_assert(secret_sql_may(NULL));
        char *out = hide(list[i], NULL, &n);
        ck_assert_msg(out != NULL && strstr(out, S) == NULL, "%s: %s", list[i], out);
        free(out);
    }
}
END_TEST

/* Cut anywhere, and with any byte in any place: no byte beyond its end is read, and the rest stays. */
START_TEST(any_text) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct pol_facts pg = {.dialect = POL_POSTGRESQL}, my = {.dialect = POL_MYSQL};
        size_t len = strlen(cases[i].sql), n;
        for (size_t cut = 0; cut <= len; cut++) {
            char *text = strndup(cases[i].sql, cut);
            for (int c = 0; c < 3 && cut > 0; c++) {
                free(hide(text, NULL, &n));
                free(hide(text, &pg, &n));
                free(hide(text, &my, &n));
                text[cut - 1] = "'\\$"[c];
            }
            free(text);
        }
    }
}
END_TEST

START_TEST(mysql) {
    static const struct {
        const char *sql, *recorded;
    } list[] = {
        {"CREATE USER 'u'@'h' IDENTIFIED BY '" S "' REQUIRE SUBJECT '/CN=x'",
         "CREATE USER 'u'@'h' IDENTIFIED BY '***' REQUIRE SUBJECT '/CN=x'"},
        {"CREATE USER `u` IDENTIFIED BY \"" S "\\\" x\", 'v' IDENTIFIED WITH p AS '" S "'",
         "CREATE USER `u` IDENTIFIED BY '***', 'v' IDENTIFIED WITH p AS '***'"},
        {"ALTER USER u IDENTIFIED BY 'a' REPLACE '" S "'", "ALTER USER u IDENTIFIED BY '***' REPLACE '***'"},
        {"SET PASSWORD FOR 'u'@'h' = '" S "'", "SET PASSWORD FOR 'u'@'h' = '***'"},
        {"SET PASSWORD = PASSWORD('" S "')", "SET PASSWORD = PASSWORD('***')"},
        {"CREATE USER u /*!50000 IDENTIFIED BY '" S "' */", "CREATE USER u /*!50000 IDENTIFIED BY '***' */"},
        {"CREATE USER u # it's\n IDENTIFIED BY '" S "'", "CREATE USER u # it's\n IDENTIFIED BY '***'"},
        {"CHANGE MASTER TO MASTER_HOST = 'h', MASTER_PASSWORD = '" S "'", "CHANGE MASTER TO MASTER_HOST = 'h', MASTER_PASSWORD = '***'"},
        {"CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'u', PASSWORD '" S "')",
         "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'u', PASSWORD '***')"},
        {"GRANT SELECT ON t TO 'u'@'h'", NULL}};
    const struct pol_facts my = {.dialect = POL_MYSQL};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        size_t n = 0;
        char *out = hide(list[i].sql, &my, &n), *unknown = hide(list[i].sql, NULL, &n);
        if (list[i].recorded == NULL)
            ck_assert_msg(out == NULL, "%s", out);
        else {
            ck_assert_msg(out != NULL, "%s", list[i].sql);
            ck_assert_str_eq(out, list[i].recorded);
            ck_assert_msg(unknown != NULL && strstr(unknown, S) == NULL, "%s", unknown);
        }
        free(out);
        free(unknown);
    }
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
                {"password", "password"},
                {"password=", "password="},
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
    char a[] = "syntax error at or near \"'" S "'\"", b[] = "syntax error at or near \"FORM\"";
    secret_message(a);
    ck_assert_str_eq(a, "syntax error at or");
    secret_message(b);
    ck_assert_str_eq(b, "syntax error at or near \"FORM\"");
}
END_TEST

int main(void) {
    Suite *s = suite_create("secret_sql");
    TCase *t = tcase_create("secret_sql");
    tcase_add_loop_test(t, understood, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(t, not_understood);
    tcase_add_test(t, any_text);
    tcase_add_test(t, mysql);
    tcase_add_test(t, conninfo);
    tcase_add_test(t, messages);
    suite_add_tcase(s, t);
    return run_suite(s);
}
