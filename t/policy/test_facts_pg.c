#include "policy/facts.h"
#include "t/lib/guard.h"
#include "t/policy/facts_text.h"
#include "t/policy/pg_facts_table.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(facts) {
    char out[4096];
    const char *sql = pg_facts_table[_i].sql;
    facts_text(sql, strlen(sql), out, sizeof out);
    ck_assert_msg(strcmp(out, pg_facts_table[_i].facts) == 0, "%s\n  have: %s\n  want: %s", sql, out, pg_facts_table[_i].facts);
}
END_TEST

START_TEST(locations) {
    struct pol_parse_error err;
    const char *sql = "SELECT 1; SELECT '\xc3\xa9' FROM  orders";
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), NULL, &err);
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(f->nstmts, 2);
    ck_assert_uint_eq(f->stmts[0].len, 8);
    ck_assert_uint_eq(f->stmts[1].location, 9);
    ck_assert_uint_eq(f->stmts[1].location + f->stmts[1].len, strlen(sql));
    ck_assert_int_eq(strncmp(sql + f->stmts[1].relations[0].location, "orders", 6), 0);
    ck_assert_str_eq(f->stmts[1].tag, "SELECT");
    pol_facts_free(f);
}
END_TEST

START_TEST(errors) {
    static const struct {
        const char *sql;
        size_t len;
        enum pol_parse_rc rc;
        const char *sqlstate;
    } v[] = {{"SELEC 1", 7, POL_SYNTAX, "42601"},
             {"SELECT 1\0; DROP TABLE x", 23, POL_ENCODING, "22021"},
             {"SELECT '\xff'", 10, POL_ENCODING, "22021"},
             {"SELECT * FROM t TABLESAMPLE pg_catalog.x(1)", 43, POL_NOT_UNDERSTOOD, "42501"}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        struct pol_parse_error err;
        ck_assert_ptr_null(pol_facts_pg(v[i].sql, v[i].len, NULL, &err));
        ck_assert_int_eq(err.rc, v[i].rc);
        ck_assert_str_eq(pol_parse_sqlstate(err.rc), v[i].sqlstate);
        ck_assert(err.text[0] != '\0');
    }
    struct pol_parse_error err;
    struct pol_parse_limits small = {.bytes = 10, .depth = 8, .tokens = 3};
    ck_assert_ptr_null(pol_facts_pg("SELECT 12345", 12, &small, &err));
    ck_assert_int_eq(err.rc, POL_TOO_LARGE);
    ck_assert_ptr_null(pol_facts_pg("f(1,2,3)", 8, &small, &err));
    ck_assert_int_eq(err.rc, POL_TOO_LARGE);
    ck_assert_ptr_null(pol_facts_pg("a b c d e f", 11, &(struct pol_parse_limits){.depth = 8}, &err));
    ck_assert_int_eq(err.rc, POL_TOO_DEEP);
    ck_assert_ptr_null(pol_facts_pg("SELECT \xc3\xa9 FROM FROM", 19, NULL, &err));
    ck_assert_uint_eq(err.position, 15);
}
END_TEST

/* Names that are many, or chosen to be slow: bounded work, and never a smaller answer. */
static char *many(const char *head, const char *item, unsigned n, const char *middle, const char *item2, unsigned n2, const char *tail) {
    char *sql = malloc(256 + (n + n2) * 16ul), *p = sql;
    ck_assert_ptr_nonnull(sql);
    p = stpcpy(p, head);
    for (unsigned i = 0; i < n; i++) p += sprintf(p, "%s%s%u", i > 0 ? "," : "", item, i);
    p = stpcpy(p, middle);
    for (unsigned i = 0; i < n2; i++) p += sprintf(p, "%s%s%u", i > 0 ? "," : "", item2, i);
    stpcpy(p, tail);
    return sql;
}

START_TEST(many_names) {
    struct pol_parse_error err;
    char *sql = many("SELECT 1 FROM ", "a", 3000, " FOR UPDATE OF ", "b", 3000, "");
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), NULL, &err);
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(f->stmts[0].relations[2999].access, POL_SELECT | POL_UPDATE);
    pol_facts_free(f);
    free(sql);
    sql = many("SELECT ", "t.b", 60000, " FROM f() AS t(", "c", 60000, ")");
    ck_assert_ptr_null(pol_facts_pg(sql, strlen(sql), NULL, &err));
    ck_assert_int_eq(err.rc, POL_TOO_LARGE);
    free(sql);
    for (unsigned n = 1664; n <= 1665; n++) { /* as many as the server takes, and one more, at every depth */
        static const char *const heads[] = {"SELECT ", "SELECT 1 WHERE EXISTS (SELECT ", "SELECT 1 UNION SELECT ",
                                            "CREATE TABLE x AS SELECT "};
        for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
            sql = many(heads[i], "a", n, i == 1 ? ")" : "", "", 0, "");
            f = pol_facts_pg(sql, strlen(sql), NULL, &err);
            ck_assert_msg((f != NULL) == (n == 1664), "%s%u", heads[i], n);
            if (f == NULL) ck_assert_int_eq(err.rc, POL_TOO_LARGE);
            pol_facts_free(f);
            free(sql);
        }
    }
    sql = many("SELECT t.c299, t.evil", "", 0, " FROM f() AS t(", "c", 300, ")");
    f = pol_facts_pg(sql, strlen(sql), NULL, &err);
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(f->stmts[0].nfunctions, 3);
    pol_facts_free(f);
    free(sql);
    for (unsigned n = 4096; n <= 4097; n++) { /* what names prepared statements and cursors; other statements may be as many as they like */
        static const char *const one[] = {"MOVE c;", "EXECUTE p;", "CLOSE c;", "DEALLOCATE p;", "DISCARD ALL;"};
        for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
            char text[16 * 4098], *p = text;
            for (unsigned k = 0; k < n; k++) p = stpcpy(p, one[i]);
            strcpy(p, "SELECT 1");
            f = pol_facts_pg(text, strlen(text), NULL, &err);
            ck_assert_msg((f != NULL) == (n == 4096), "%s %u", one[i], n);
            if (f == NULL) ck_assert_int_eq(err.rc, POL_TOO_LARGE);
            pol_facts_free(f);
        }
    }
    sql = many("SELECT 1 FROM ", "a", 5000, "", "", 0, "");
    ck_assert_ptr_null(pol_facts_pg(sql, strlen(sql), NULL, &err));
    ck_assert_int_eq(err.rc, POL_TOO_LARGE);
    free(sql);
}
END_TEST

/* --- depth and size, on a stack of exactly POL_STACK_BYTES: AddressSanitizer's larger frames included --- */

struct job {
    char *sql;
    size_t len;
    enum pol_parse_rc rc;
};

static void *run(void *arg) {
    struct job *j = arg;
    struct pol_parse_error err = {.rc = POL_PARSED};
    pol_facts_free(pol_facts_pg(j->sql, j->len, NULL, &err));
    j->rc = err.rc;
    return NULL;
}

static enum pol_parse_rc on_stack(struct job *j) {
    pthread_attr_t attr;
    pthread_t t;
    ck_assert_int_eq(pthread_attr_init(&attr), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, POL_STACK_BYTES), 0);
    ck_assert_int_eq(pthread_create(&t, &attr, run, j), 0);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    pthread_attr_destroy(&attr);
    return j->rc;
}

static struct job repeat(const char *pre, const char *a, const char *mid, const char *b, const char *post, size_t n) {
    struct job j = {0};
    size_t la = strlen(a), lb = strlen(b);
    j.len = strlen(pre) + strlen(mid) + strlen(post) + n * (la + lb);
    j.sql = malloc(j.len + 1);
    ck_assert_ptr_nonnull(j.sql);
    char *p = stpcpy(j.sql, pre);
    for (size_t i = 0; i < n; i++) p = stpcpy(p, a);
    p = stpcpy(p, mid);
    for (size_t i = 0; i < n; i++) p = stpcpy(p, b);
    strcpy(p, post);
    return j;
}

static const struct {
    const char *pre, *a, *mid, *b, *post;
    size_t n;
    bool passes; /* false: refused as too deep, or by the grammar */
} sizes[] = {
    {"INSERT INTO t VALUES (1)", ", (1, 'abc')", "", "", "", 250000, true},
    {"SELECT 1 FROM t WHERE a IN (1", ",1234567", "", "", ")", 375000, true},
    {"SELECT '", "0123456789", "", "", "'", 300000, true},
    {"SELECT 1 FROM t WHERE true", " AND a = 1", "", "", "", 5000, true},
    {"SELECT 1 FROM t WHERE false", " OR t.a >= 'x'", "", "", "", 5000, true},
    {"SELECT 1 FROM t WHERE false", " OR (a = 1 AND b = 2)", "", "", "", 5000, true},
    {"SELECT f(1", ", a.b::text || lower('x')", "", "", ") FROM a", 20000, true},
    {"SELECT 1", "; SELECT a + 1 FROM t", "", "", "", 5000, true},
    {"SELECT ", "NOT ", "true", "", "", 100000, false},
    {"SELECT 1", "+1", "", "", "", 50000, false},
    {"SELECT a", "::a", "", "", "", 100000, false},
    {"SELECT 1", " UNION SELECT 1,2", "", "", "", 50000, false},
    {"SELECT 1 FROM a", " CROSS JOIN a", "", "", "", 50000, false},
    {"SELECT ", "(", "1", ")", "", 100000, false},
    {"SELECT ", "- ", "1", "", "", 100000, false},
    {"SELECT ", "@ ", "1", "", "", 9000, true},
    {"SELECT ", "CASE ", "1", " WHEN 1 THEN 1 END", "", 40000, false},
    {"SELECT 1", "\nCOLLATE \"C\"", "", "", "", 40000, false},
    /* runs of operator characters, for which PostgreSQL's lexer takes the square of their length */
    {"", "/*", "", "", "", 16000, false},
    {"", "/*", "SELECT 1", "*/", "", 100000, false},
    {"", "+/**/", "1", "", "", 60000, false},
    {"SELECT ", "+", "1", "", "", 31000, false},
    {"SELECT ", "+-", "1", "", "", 15000, false},
    {"SELECT ", "+", "1", "", "", 1000, true},
    {"SELECT 1 /*", "*", "", "", "*/", 100000, true},
    /* deep, and allowed: as deep as the limit lets each construct be */
    {"SELECT ", "NOT ", "true", "", "", 9000, true},
    {"SELECT 1", "+1", "", "", "", 31000, true},
    {"SELECT a", "::a", "", "", "", 15000, true},
    {"SELECT 1", " UNION SELECT 1", "", "", "", 10000, true},
    {"SELECT 1 FROM a", " CROSS JOIN a", "", "", "", 10000, true},
    {"SELECT a", " IS NULL", "", "", "", 15000, true},
    {"SELECT ", "(SELECT ", "1", ")", "", 1900, true},
    {"SELECT ", "f(", "1", ")", "", 3000, true},
    {"", "SELECT 1 FROM f((", "SELECT 1", "))", "", 900, true},
    {"", "WITH a AS (INSERT INTO a SELECT (", "SELECT 1", ")) SELECT 1", "", 500, true},
    {"SELECT ", "(x", ".a", ").a", "", 1, true},
};

START_TEST(stack) {
    struct job j = repeat(sizes[_i].pre, sizes[_i].a, sizes[_i].mid, sizes[_i].b, sizes[_i].post, sizes[_i].n);
    enum pol_parse_rc rc = on_stack(&j);
    if (sizes[_i].passes)
        ck_assert_msg(rc == POL_PARSED, "%s%s: rc %d", sizes[_i].pre, sizes[_i].a, rc);
    else
        ck_assert_msg(rc == POL_TOO_DEEP || rc == POL_TOO_LARGE, "%s%s: rc %d", sizes[_i].pre, sizes[_i].a, rc);
    free(j.sql);
}
END_TEST

/* 9 KB and 32 KB of every nesting construct: parsed or refused, never a crash. */
START_TEST(nine_kilobytes) {
    static const char *const pieces[] = {
        "NOT ", "(",      "1+",      "a::",         "SELECT ", "CASE WHEN ", "ARRAY[", "f(", "(SELECT ", "SELECT * FROM (",
        "- ",   "x IN (", "EXISTS(", "WITH a AS (", "/*",      "'",          "\"",     "$$", "$a$",      "E'\\'",
        "U&\"", "--\n",   ".",       ",",           ";",       "[",          "]",      ")",  "::",       "@@",
        "\\"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        for (size_t bytes = 9000; bytes <= 32000; bytes += 23000) {
            struct job j = repeat("SELECT ", pieces[i], "1", "", "", bytes / strlen(pieces[i]));
            on_stack(&j);
            free(j.sql);
        }
}
END_TEST

START_TEST(four_threads_agree) {
    pthread_t t[4];
    struct job jobs[4];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 4; i++) {
            jobs[i] = repeat("SELECT 1 FROM t WHERE a IN (1", i % 2 == 0 ? ",2" : ",(SELECT 1 FROM u)", "", "", i == 3 ? "" : ")", 200);
            ck_assert_int_eq(pthread_create(&t[i], NULL, run, &jobs[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            ck_assert_int_eq(pthread_join(t[i], NULL), 0);
            ck_assert_int_eq(jobs[i].rc, i == 3 ? POL_SYNTAX : POL_PARSED);
            free(jobs[i].sql);
        }
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("facts_pg");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, facts, 0, sizeof pg_facts_table / sizeof *pg_facts_table);
    tcase_add_test(t, locations);
    tcase_add_test(t, errors);
    tcase_add_test(t, many_names);
    tcase_add_loop_test(t, stack, 0, sizeof sizes / sizeof *sizes);
    tcase_add_test(t, nine_kilobytes);
    tcase_add_test(t, four_threads_agree);
    suite_add_tcase(s, t);
    return run_suite(s);
}
