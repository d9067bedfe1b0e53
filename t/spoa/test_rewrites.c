#include "spoa/rewrites.h"

#include "policy/catalog.h"
#include "spoa/statement.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char policy_text[] = "version: 1\n"
                                  "databases: { shop: {} }\n"
                                  "rules:\n"
                                  "  - name: some\n"
                                  "    groups: some\n"
                                  "    database: shop\n"
                                  "    allow: select\n"
                                  "    on: \"public.*\"\n"
                                  "    columns: { secret: { mask: null }, \"*\": visible }\n";
static const char catalog_text[] =
    "{\"gatehouse_catalog\":1,\"server\":150018,\"database\":\"shop\"}\n"
    "{\"type\":25,\"schema\":\"pg_catalog\",\"name\":\"text\",\"kind\":\"b\",\"category\":\"S\",\"base\":0,\"array\":false}\n"
    "{\"relation\":16385,\"schema\":\"public\",\"name\":\"t\",\"kind\":\"r\",\"columns\":[[\"a\",1,25,\"text\",\"\"],[\"secret\",2,25,"
    "\"text\",\"\"]],"
    "\"key\":[],\"parents\":[],\"definition\":null,\"reads\":[],\"row_security\":false,\"security_barrier\":false}\n"
    "{\"end\":2}\n";

static struct pol_role *role_of(void) {
    struct pol_error err;
    char why[300];
    static const char *const groups[] = {"some"}, *const path[] = {"public"};
    struct pol_policy *p = pol_policy_load_text("p", policy_text, strlen(policy_text), &err);
    ck_assert_msg(p != NULL, "%s", err.text);
    struct pol_role *r = pol_role_new(p, &(struct pol_subject){.principal = "ann", .groups = groups, .ngroups = 1}, "shop",
                                      &(struct pol_pins){.search_path = path, .nsearch_path = 1});
    struct pol_catalog *c = pol_catalog_parse(catalog_text, strlen(catalog_text), why, sizeof why);
    ck_assert_msg(c != NULL, "%s", why);
    ck_assert(pol_role_restricts(r));
    pol_role_use_catalog(r, c, true);
    pol_catalog_unref(c);
    pol_policy_unref(p);
    return r;
}

static struct rewrite *get(struct rewrites *w, const struct pol_role *role, const char *sql, bool want_cached) {
    enum rewrites_how how;
    struct pol_verdict why;
    struct rewrite *r = rewrites_get(w, NULL, sql, strlen(sql), NULL, NULL, role, &how, &why);
    ck_assert_msg(r != NULL, "%s: %s", sql, why.message);
    ck_assert_int_eq(how, want_cached ? REWRITES_CACHED : REWRITES_MADE);
    return r;
}

START_TEST(keeps) {
    struct rewrites w = {0};
    struct pol_role *role = role_of();
    struct rewrite *a = get(&w, role, "SELECT * FROM t", false), *b = get(&w, role, "SELECT * FROM t", true);
    ck_assert_ptr_eq(a, b);
    ck_assert_ptr_nonnull(strstr(a->sql, "NULL"));
    ck_assert(!a->explain);
    struct rewrite *c = get(&w, role, "SELECT 1", false), *d = get(&w, role, "SELECT * FROM t ", false);
    ck_assert_ptr_null(c->sql);
    ck_assert(rewrite_same(a, b) && !rewrite_same(a, d) && !rewrite_same(a, c) && !rewrite_same(NULL, a));
    ck_assert(rewrite_same(c, NULL) && rewrite_same(NULL, NULL));
    rewrites_clear(&w);
    ck_assert_uint_eq(w.bytes, 0);
    struct rewrite *e = get(&w, role, "SELECT * FROM t", false); /* a stays good all the same */
    ck_assert(rewrite_same(a, e) && a != e);
    struct rewrite *f = get(&w, role, "EXPLAIN SELECT * FROM t", false);
    ck_assert(f->explain);
    struct rewrite *all[] = {a, b, c, d, e, f};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) rewrite_unref(all[i]);
    rewrites_clear(&w);
    rewrite_unref(NULL);
    pol_role_free(role);
}
END_TEST

/* Somebody else's work is kept like one's own. */
START_TEST(long_ones) {
    static char sql[STMT_INLINE_BYTES + 100];
    const struct pol_parse_limits brief = {.brief = true};
    struct rewrites w = {0};
    struct pol_role *role = role_of();
    enum rewrites_how how;
    struct pol_verdict why = {0};
    memset(sql, ' ', sizeof sql - 1);
    memcpy(sql, "SELECT secret FROM t", 20);
    for (size_t len = STMT_INLINE_BYTES; len <= STMT_INLINE_BYTES + 1; len++) {
        bool is = len > STMT_INLINE_BYTES;
        sql[len] = '\0';
        struct rewrite *r = rewrites_get(&w, NULL, sql, len, NULL, &brief, role, &how, &why), *all;
        ck_assert(how == (is ? REWRITES_LONG : REWRITES_MADE) && (r == NULL) == is);
        rewrite_unref(r);
        if (!is) {
            sql[len] = ' ';
            continue;
        }
        struct rewrites other = {0};
        all = rewrites_get(&other, NULL, sql, len, NULL, NULL, role, &how, &why);
        ck_assert(how == REWRITES_MADE && all != NULL);
        rewrites_keep(&w, sql, len, all);
        r = rewrites_get(&w, NULL, sql, len, NULL, &brief, role, &how, &why);
        ck_assert(how == REWRITES_CACHED && r == all);
        rewrite_unref(r);
        rewrite_unref(all);
        rewrites_clear(&other);
    }
    rewrites_clear(&w);
    pol_role_free(role);
}
END_TEST

START_TEST(refused_is_not_kept) {
    struct rewrites w = {0};
    struct pol_role *role = role_of();
    enum rewrites_how how;
    struct pol_verdict why = {0};
    ck_assert_ptr_null(rewrites_get(&w, NULL, "SELECT ctid FROM t", 18, NULL, NULL, role, &how, &why));
    ck_assert(how == REWRITES_MADE && why.effect == POL_DENY);
    ck_assert_str_ne(why.message, "");
    ck_assert_uint_eq(w.bytes, 0);
    pol_role_free(role);
}
END_TEST

/* More texts than there is room for, by number and by size; the least used goes first. */
START_TEST(bounded) {
    struct rewrites w = {0};
    struct pol_role *role = role_of();
    char sql[128];
    for (unsigned i = 0; i < 3 * REWRITES; i++) {
        snprintf(sql, sizeof sql, "SELECT a, %u FROM t", i);
        rewrite_unref(get(&w, role, sql, false));
        rewrite_unref(get(&w, role, "SELECT a FROM t", i > 0));
    }
    snprintf(sql, sizeof sql, "SELECT a, %u FROM t", 3 * REWRITES - 1);
    rewrite_unref(get(&w, role, sql, true));
    rewrite_unref(get(&w, role, "SELECT a, 0 FROM t", false));
    char *big = malloc(REWRITES_BYTES);
    for (size_t n = 10000; n < REWRITES_BYTES - 40; n += 10000) {
        snprintf(big, 40, "SELECT a FROM t WHERE a = '");
        memset(big + strlen(big), 'x', n - 30);
        snprintf(big + n - 4, 4, "'");
        big[n - 3] = '\0';
        rewrite_unref(get(&w, role, big, false));
        ck_assert_uint_le(w.bytes, REWRITES_BYTES);
    }
    free(big);
    rewrites_clear(&w);
    pol_role_free(role);
}
END_TEST

/* The tree that the facts were read from is used once, and for its own text alone. */
START_TEST(one_parse) {
    struct rewrites w = {0};
    struct pol_role *role = role_of();
    struct factscache *cache = factscache_new(8, 1u << 20);
    struct pol_parsed p;
    struct pol_parse_error err;
    struct pol_verdict why;
    enum rewrites_how how;
    static const char *const texts[] = {"SELECT secret FROM t", "SELECT secret FROM t ", "SELECT a FROM t AS x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *copy = strdup(texts[i]); /* the first text need not live on */
        ck_assert(pol_parse_pg(&p, copy, strlen(copy), NULL, &err));
        factscache_keep_tree(cache, copy, strlen(copy), &p);
        free(copy);
        ck_assert_ptr_null(p.json);
        ck_assert(!factscache_take_tree(cache, "SELECT secret FROM u", 20, &p) && p.json == NULL);
        struct rewrite *a = rewrites_get(&w, cache, texts[i], strlen(texts[i]), NULL, NULL, role, &how, &why);
        ck_assert(a != NULL && how == REWRITES_MADE);
        ck_assert(!factscache_take_tree(cache, texts[i], strlen(texts[i]), &p));
        rewrites_clear(&w);
        struct rewrite *b = get(&w, role, texts[i], false);
        ck_assert(rewrite_same(a, b));
        rewrite_unref(a);
        rewrite_unref(b);
        rewrites_clear(&w);
    }
    ck_assert(pol_parse_pg(&p, "SELECT 1", 8, NULL, &err));
    factscache_keep_tree(cache, "SELECT 1", 8, &p);
    factscache_free(cache); /* with a tree that nobody took */
    pol_role_free(role);
}
END_TEST

int main(void) {
    Suite *s = suite_create("rewrites");
    TCase *t = tcase_create("rewrites");
    tcase_add_test(t, keeps);
    tcase_add_test(t, long_ones);
    tcase_add_test(t, refused_is_not_kept);
    tcase_add_test(t, bounded);
    tcase_add_test(t, one_parse);
    suite_add_tcase(s, t);
    return run_suite(s);
}
