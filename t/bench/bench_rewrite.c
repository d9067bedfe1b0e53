/* How long an uncached statement takes to read, judge and rewrite, and one that is known: an analytical one of a kilobyte, by a role with masks and one with
 * a row filter. Build without sanitizers, and run on a quiet machine. */
#include "policy/rewrite.h"
#include "spoa/factscache.h"
#include "spoa/rewrites.h"

#include "t/policy/shop_catalog.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char policy_text[] =
    "version: 1\ndatabases: { shop: {} }\nrules:\n"
    "  - name: masks\n    groups: masks\n    database: shop\n    allow: select\n    on: [public.customers, public.orders]\n"
    "    columns: { email: { mask: email }, phone: { mask: 'null' }, card_number: { mask: { last: 4 } }, birth_date: { mask: { truncate: "
    "year } }, '*': visible "
    "}\n"
    "  - name: rows\n    groups: rows\n    database: shop\n    allow: select\n    on: public.customers\n    rows: region = 'eu'\n"
    "  - name: orders\n    groups: [rows, all]\n    database: shop\n    allow: select\n    on: public.*\n";

static const char sql[] = "WITH monthly AS (SELECT date_trunc('month', o.placed_at) AS month, o.customer_id, sum(o.total) AS revenue, "
                          "count(*) AS orders FROM public.orders o "
                          "WHERE o.status IN ('paid', 'shipped') AND o.placed_at >= '2026-01-01' GROUP BY 1, 2), ranked AS (SELECT "
                          "m.month, c.region, c.name, c.email, m.revenue, "
                          "m.orders, rank() OVER (PARTITION BY m.month, c.region ORDER BY m.revenue DESC) AS place, lag(m.revenue) OVER "
                          "(PARTITION BY m.customer_id ORDER BY m.month) AS "
                          "previous FROM monthly m JOIN public.customers c ON c.id = m.customer_id WHERE c.birth_date < '2000-01-01') "
                          "SELECT r.month, r.region, r.name, "
                          "split_part(r.email, '@', 2) AS domain, r.revenue, CASE WHEN r.previous > 0 THEN round((r.revenue - r.previous) "
                          "/ r.previous * 100, 1) END AS growth, "
                          "(SELECT count(*) FROM public.customers x WHERE x.region = r.region) AS customers FROM ranked r LEFT JOIN "
                          "public.customers top ON top.name = r.name AND "
                          "top.region = r.region WHERE r.place <= 10 AND r.revenue > (SELECT avg(revenue) FROM monthly) ORDER BY r.month, "
                          "r.region, r.place LIMIT 500";

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* As a session does it: one parse for the facts and the rewrite. */
static double once(const struct pol_role *r, size_t len, size_t *out_len) {
    struct pol_parse_error err;
    struct pol_parsed p;
    struct pol_verdict v;
    struct pol_rewritten w = {0};
    double begin = now_us();
    struct pol_facts *f = pol_parse_pg(&p, sql, len, NULL, &err) ? pol_facts_parsed(&p, &err) : NULL;
    if (f == NULL) return -1;
    pol_judge(r, f, &v);
    if (v.effect != POL_ALLOW || (v.rewrite && pol_rewrite_parsed(&p, r, &w, &v) == POL_REWRITE_REFUSED)) {
        fprintf(stderr, "%s\n", v.message);
        return -1;
    }
    double took = now_us() - begin;
    *out_len = w.sql != NULL ? w.len : len;
    pol_rewritten_free(&w);
    pol_facts_free(f);
    pol_parse_clear(&p);
    return took;
}

/* A session's way of a statement that it and its worker know: facts from the cache, a verdict, the rewritten text from the cache. us each. */
static double known(const struct pol_role *r) {
    enum { TIMES = 20000 };
    struct factscache *cache = factscache_new(16, 1u << 20);
    struct rewrites all = {0};
    struct pol_parse_error err;
    struct pol_verdict v;
    enum rewrites_how how;
    struct facts_ref *facts = facts_ref_new(pol_facts_pg(sql, sizeof sql - 1, NULL, &err));
    factscache_put(cache, FACTS_EXACT, sql, sizeof sql - 1, facts);
    facts_ref_put(facts);
    double begin = now_us();
    for (int i = 0; i < TIMES; i++) {
        facts = factscache_find(cache, FACTS_EXACT, sql, sizeof sql - 1);
        pol_judge(r, facts_of(facts), &v);
        if (v.rewrite) rewrite_unref(rewrites_get(&all, NULL, sql, sizeof sql - 1, NULL, NULL, r, &how, &v));
        facts_ref_put(facts);
    }
    double took = now_us() - begin;
    rewrites_clear(&all);
    factscache_free(cache);
    return took / TIMES;
}

int main(void) {
    static const char *const groups[] = {"all", "masks", "rows"}, *const path[] = {"public"};
    char why[400];
    struct pol_catalog *catalog = pol_catalog_parse(shop_catalog_text, strlen(shop_catalog_text), why, sizeof why);
    struct pol_error err;
    if (catalog == NULL) return fprintf(stderr, "%s\n", why), 1;
    struct pol_policy *p = pol_policy_load_text("bench", policy_text, strlen(policy_text), &err);
    if (p == NULL) return fprintf(stderr, "%u:%u: %s\n", err.line, err.column, err.text), 1;
    printf("%-8s %8s %8s %10s %10s %10s\n", "role", "bytes", "becomes", "median us", "99 % us", "cached us");
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        enum { N = 3000 };
        static double took[N];
        size_t out = 0;
        struct pol_role *r = pol_role_new(p, &(struct pol_subject){.groups = &groups[g], .ngroups = 1}, "shop",
                                          &(struct pol_pins){.search_path = path, .nsearch_path = 1});
        pol_role_use_catalog(r, catalog, true);
        for (int i = -100; i < N; i++) {
            double t = once(r, sizeof sql - 1, &out);
            if (t < 0) return 1;
            if (i >= 0) took[i] = t;
        }
        for (int i = 1; i < N; i++) /* few enough to sort like this */
            for (int k = i; k > 0 && took[k] < took[k - 1]; k--) {
                double t = took[k];
                took[k] = took[k - 1];
                took[k - 1] = t;
            }
        printf("%-8s %8zu %8zu %10.0f %10.0f %10.2f\n", groups[g], sizeof sql - 1, out, took[N / 2], took[N * 99 / 100], known(r));
        pol_role_free(r);
    }
    pol_policy_unref(p);
    pol_catalog_unref(catalog);
    return 0;
}
