#include "policy/columns.h"
#include "t/lib/guard.h"
#include "t/policy/columns_table.h"
#include "t/policy/columns_text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pol_catalog *cat;
static char out[1u << 16];

START_TEST(uses) {
    const char *sql = columns_table[_i].sql;
    columns_text(cat, sql, strlen(sql), out, sizeof out);
    ck_assert_msg(strcmp(out, columns_table[_i].uses) == 0, "%s\n  have: %s\n  want: %s", sql, out, columns_table[_i].uses);
}
END_TEST

START_TEST(conjuncts) {
    const char *sql = conjuncts_table[_i].sql;
    conjuncts_text(cat, sql, strlen(sql), out, sizeof out);
    ck_assert_msg(strcmp(out, conjuncts_table[_i].conjuncts) == 0, "%s\n  have: %s\n  want: %s", sql, out, conjuncts_table[_i].conjuncts);
}
END_TEST

static struct pol_columns *ask(const char *sql, size_t len) {
    static const char *const path[] = {"other", "public"};
    struct pol_pins pins = {.search_path = path, .nsearch_path = 2};
    struct pol_parse_error err;
    struct pol_columns *c = pol_columns_pg(sql, len, cat, &pins, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    return c;
}

START_TEST(locations) {
    const char *sql = "SELECT 1 FROM customers c, staff WHERE secret = 'x' AND c.email = name AND xmin IS NULL";
    struct pol_columns *c = ask(sql, strlen(sql));
    const struct pol_relation_use *customers = pol_columns_of(c, pol_catalog_relation(cat, "public", "customers"));
    const struct pol_relation_use *staff = pol_columns_of(c, pol_catalog_relation(cat, "other", "staff")); /* first in the path */
    ck_assert_ptr_null(pol_columns_of(c, pol_catalog_relation(cat, "public", "staff")));
    ck_assert(customers != NULL && staff != NULL && c->nrelations == 2);
    ck_assert_int_eq(strncmp(sql + staff->columns[1].location, "secret", 6), 0);
    ck_assert_int_eq(strncmp(sql + customers->columns[2].location, "c.email", 7), 0);
    ck_assert(customers->system && strncmp(sql + customers->system_location, "xmin", 4) == 0);
    pol_columns_free(c);
}
END_TEST

START_TEST(errors) {
    struct pol_pins pins = {0};
    struct pol_parse_error err;
    ck_assert_ptr_null(pol_columns_pg("SELEC", 5, cat, &pins, &err));
    ck_assert_int_eq(err.rc, POL_SYNTAX);
    pol_columns_free(NULL);
    for (unsigned bit = 1; bit <= POL_USE_EXCLUDED; bit <<= 1) ck_assert_ptr_nonnull(pol_use_name(bit));
    ck_assert_ptr_null(pol_use_name(POL_USE_EXCLUDED << 1));
}
END_TEST

/* --- texts that are large, or chosen to be slow --- */

struct text {
    char *p;
    size_t n, cap;
};

static void put(struct text *t, const char *s, unsigned times) {
    size_t len = strlen(s);
    for (; times > 0; times--) {
        if (t->n + len + 1 > t->cap) {
            t->cap = (t->n + len + 1) * 2;
            t->p = realloc(t->p, t->cap);
            ck_assert_ptr_nonnull(t->p);
        }
        memcpy(t->p + t->n, s, len + 1);
        t->n += len;
    }
}

struct job {
    struct text t;
    bool complete, read; /* customers.email is said to be read, or nothing is complete */
};

static void *run(void *arg) {
    struct job *j = arg;
    struct pol_columns *c = ask(j->t.p, j->t.n);
    const struct pol_relation_use *r = pol_columns_of(c, pol_catalog_relation(cat, "public", "customers"));
    j->complete = c->complete;
    j->read = r != NULL && (!r->complete || ((r->columns[2].named | r->columns[2].unnamed) & POL_USE_READ) != 0);
    pol_columns_free(c);
    return NULL;
}

/* On a stack of exactly POL_STACK_BYTES. */
static void on_stack(struct job *j) {
    pthread_attr_t attr;
    pthread_t t;
    ck_assert_int_eq(pthread_attr_init(&attr), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, POL_STACK_BYTES), 0);
    ck_assert_int_eq(pthread_create(&t, &attr, run, j), 0);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    pthread_attr_destroy(&attr);
    free(j->t.p);
    ck_assert(j->read);
}

static const struct {
    const char *head, *open, *middle, *close, *tail;
    unsigned n;
    bool complete;
} large[] = {
    {"SELECT ", "1+", "length(email)", "", " FROM customers", 31000, true},
    {"SELECT ", "(SELECT ", "(SELECT email)", ")", " FROM customers", 300, true},
    {"SELECT ", "(SELECT ", "(SELECT email)", ")", " FROM customers", 1200, false},
    {"", "SELECT * FROM (", "SELECT email FROM customers", ") a", "", 1200, true},
    {"", "SELECT * FROM (", "SELECT * FROM customers", ") a", "", 1200, true},
    {"SELECT email FROM customers", " UNION ALL SELECT email FROM customers", "", "", " ORDER BY 1", 4000, true},
    {"SELECT email FROM customers WHERE ", "NOT ", "true", "", "", 9000, true},
    {"SELECT customers.email FROM customers", ", staff", "", "", "", 3000, true},
    {"SELECT email FROM customers", " JOIN other.staff USING (id)", "", "", "", 700, true},
    {"SELECT email FROM customers WHERE id IN (1", ",1", "", "", ")", 100000, true},
    {"SELECT 1", ", customers.*", "", "", " FROM customers", 20000, true},
    {"SELECT 1", ", row(customers.*)", "", "", " FROM customers", 20000, true},
    {"SELECT 1", ", email", "", "", " FROM customers ORDER BY id", 50000, true},
    {"WITH RECURSIVE a AS (SELECT * FROM b)", ", b AS (SELECT * FROM b)", "", "", " SELECT email FROM customers, a", 3000, false},
};

START_TEST(large_texts) {
    struct job j = {0};
    put(&j.t, large[_i].head, 1);
    put(&j.t, large[_i].open, large[_i].n);
    put(&j.t, large[_i].middle, 1);
    put(&j.t, large[_i].close, large[_i].n);
    put(&j.t, large[_i].tail, 1);
    on_stack(&j);
    ck_assert_int_eq(j.complete, large[_i].complete);
}
END_TEST

/* A nested star over many columns, and a wide list sorted by each of its names: the bound, and nothing missing. */
START_TEST(bounded) {
    struct job j = {0};
    put(&j.t, "SELECT * FROM (", 1000);
    put(&j.t, "SELECT c.* FROM customers c", 1);
    put(&j.t, ", orders", 600);
    put(&j.t, ") a", 1000);
    on_stack(&j);
    j = (struct job){0};
    put(&j.t, "SELECT * FROM (", 1300);
    put(&j.t, "SELECT 1", 1);
    put(&j.t, ", email", 4000);
    put(&j.t, " FROM customers", 1);
    put(&j.t, ") a", 1300);
    on_stack(&j);
    ck_assert(!j.complete);
}
END_TEST

/* WITH queries that are read where they are named: their depths add up. */
static const struct {
    const char *open, *before, *behind, *close;
    unsigned n;
} chains[] = {{"NOT ", "(SELECT true FROM ", ")", "", 2000},
              {"(SELECT ", "(SELECT 1 FROM ", ")", ")", 1000},
              {"1 FROM (SELECT ", "1 FROM ", "", ") x", 1000},
              {"1 FROM staff JOIN (SELECT ", "1 FROM ", "", ") x ON true", 1000}};

START_TEST(deep_chain) {
    struct job j = {0};
    char name[64];
    put(&j.t, "WITH RECURSIVE z AS (SELECT email FROM customers)", 1);
    for (unsigned i = 0; i < 120; i++) {
        snprintf(name, sizeof name, ", a%u AS (SELECT ", i);
        put(&j.t, name, 1);
        put(&j.t, chains[_i].open, chains[_i].n);
        snprintf(name, sizeof name, "%sa%u%s", chains[_i].before, i + 1, chains[_i].behind);
        put(&j.t, name, 1);
        put(&j.t, chains[_i].close, chains[_i].n);
        put(&j.t, ")", 1);
    }
    put(&j.t, ", a120 AS (SELECT email FROM z) SELECT * FROM a0", 1);
    on_stack(&j);
    ck_assert(!j.complete);
}
END_TEST

static void setup(void) { cat = columns_catalog(); }
static void teardown(void) { pol_catalog_unref(cat); }

int main(void) {
    Suite *s = suite_create("columns");
    TCase *t = tcase_create("tables");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, uses, 0, (int)(sizeof columns_table / sizeof *columns_table));
    tcase_add_loop_test(t, conjuncts, 0, (int)(sizeof conjuncts_table / sizeof *conjuncts_table));
    tcase_add_test(t, locations);
    tcase_add_test(t, errors);
    suite_add_tcase(s, t);
    t = tcase_create("bounds");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, large_texts, 0, (int)(sizeof large / sizeof *large));
    tcase_add_test(t, bounded);
    tcase_add_loop_test(t, deep_chain, 0, (int)(sizeof chains / sizeof *chains));
    suite_add_tcase(s, t);
    return run_suite(s);
}
