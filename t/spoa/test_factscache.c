/* The cache of facts: exact texts, least recently used goes first, bounded by count and bytes. */
#include "spoa/factscache.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <string.h>

static struct facts_ref *parse(const char *sql) {
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), &(struct pol_parse_limits){0}, &err);
    ck_assert_ptr_nonnull(f);
    struct facts_ref *r = facts_ref_new(f);
    ck_assert_ptr_nonnull(r);
    return r;
}

static void put(struct factscache *c, const char *sql) {
    struct facts_ref *r = parse(sql);
    factscache_put(c, FACTS_EXACT, sql, strlen(sql), r);
    facts_ref_put(r);
}

static bool has(struct factscache *c, const char *sql) {
    struct facts_ref *r = factscache_find(c, FACTS_EXACT, sql, strlen(sql));
    if (r == NULL) return false;
    ck_assert_uint_eq(facts_of(r)->nstmts, 1);
    facts_ref_put(r);
    return true;
}

START_TEST(exact_text) {
    struct factscache *c = factscache_new(10, 1u << 20);
    ck_assert(!has(c, "SELECT 1"));
    put(c, "SELECT 1");
    put(c, "SELECT 1"); /* twice is once */
    ck_assert_uint_eq(factscache_count(c), 1);
    ck_assert(has(c, "SELECT 1"));
    ck_assert(!has(c, "SELECT 2"));
    ck_assert(!has(c, "select 1"));
    ck_assert(!has(c, "SELECT 1 "));
    ck_assert(!has(c, "SELECT "));
    factscache_free(c);
}
END_TEST

START_TEST(least_recent) {
    struct factscache *c = factscache_new(3, 1u << 20);
    put(c, "SELECT 1");
    put(c, "SELECT 2");
    put(c, "SELECT 3");
    ck_assert(has(c, "SELECT 1"));
    put(c, "SELECT 4");
    ck_assert(has(c, "SELECT 1") && !has(c, "SELECT 2") && has(c, "SELECT 3") && has(c, "SELECT 4"));
    factscache_free(c);
}
END_TEST

START_TEST(bytes) {
    struct factscache *c = factscache_new(1000, 20000);
    char sql[10240];
    for (int i = 0; i < 200; i++) {
        snprintf(sql, sizeof sql, "SELECT %d", i);
        put(c, sql);
        ck_assert_uint_le(factscache_bytes(c), 20000);
    }
    ck_assert_uint_gt(factscache_count(c), 3);
    snprintf(sql, sizeof sql, "SELECT '%09000d'", 1); /* larger than the whole cache: not kept, nothing lost for it */
    size_t before = factscache_count(c);
    put(c, sql);
    ck_assert(!has(c, sql));
    ck_assert_uint_eq(factscache_count(c), before);
    factscache_free(c);
}
END_TEST

/* What a prepared statement holds outlives its place in the cache. */
START_TEST(outlives) {
    struct factscache *c = factscache_new(1, 1u << 20);
    put(c, "SELECT 1");
    struct facts_ref *r = factscache_find(c, FACTS_EXACT, "SELECT 1", 8);
    put(c, "SELECT 2");
    factscache_free(c);
    ck_assert_uint_eq(facts_of(r)->nstmts, 1);
    facts_ref_put(r);
    struct factscache *off = factscache_new(0, 0);
    put(off, "SELECT 1");
    ck_assert(!has(off, "SELECT 1"));
    factscache_free(off);
}
END_TEST

int main(void) {
    Suite *s = suite_create("factscache");
    TCase *t = tcase_create("factscache");
    tcase_add_test(t, exact_text);
    tcase_add_test(t, least_recent);
    tcase_add_test(t, bytes);
    tcase_add_test(t, outlives);
    suite_add_tcase(s, t);
    return run_suite(s);
}
