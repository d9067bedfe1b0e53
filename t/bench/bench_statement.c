/* What a statement costs by its size, by its number of tables, and by the number of rules, without the way through sockets and threads: bench_statement [--json].
 * Microseconds of processor time, the median of rounds; the sizes take turns. Build without sanitizers, and run on a quiet machine.
 *
 *   facts   parsed, and its facts found: a text that is not in the cache
 *   judged  the verdict alone; "again" is what a session does with a text that it was allowed before
 *   per     us for each KB, table or rule; a cost that is linear has the same everywhere */
#include "policy/facts.h"
#include "policy/policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 9

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v) {
    qsort(v, ROUNDS, sizeof *v, by_value);
    return v[ROUNDS / 2];
}

static void *need(void *p) {
    if (p != NULL) return p;
    fputs("bench_statement: out of memory\n", stderr);
    exit(1);
}

/* --- texts --- */

struct text {
    char *at;
    size_t len, cap;
};

static void put(struct text *t, const char *s) {
    size_t n = strlen(s);
    if (t->len + n + 1 > t->cap) {
        t->cap = (t->len + n + 1) * 2;
        t->at = need(realloc(t->at, t->cap));
    }
    memcpy(t->at + t->len, s, n + 1);
    t->len += n;
}

/* One long list, as an ORM writes it. */
static struct text of_size(size_t bytes) {
    struct text t = {0};
    char item[32];
    put(&t, "SELECT id, total FROM public.t0 WHERE region = 'eu' AND id IN (1");
    for (unsigned i = 0; t.len + 9 < bytes; i++) {
        snprintf(item, sizeof item, ", %u", 100000 + i % 900000);
        put(&t, item);
    }
    put(&t, ")");
    return t;
}

static struct text of_tables(size_t tables) {
    struct text t = {0};
    char item[96];
    put(&t, "SELECT t0.id FROM public.t0");
    for (size_t i = 1; i < tables; i++) {
        snprintf(item, sizeof item, " JOIN public.t%zu ON t%zu.id = t%zu.id", i, i, i - 1);
        put(&t, item);
    }
    return t;
}

/* Rules that all are about the identity, each on a relation or on a schema of its own; the last one grants. */
static struct text of_rules(size_t rules, bool globs) {
    struct text t = {0};
    char item[200];
    put(&t, "version: 1\ndatabases: { shop: {} }\nrules:\n");
    for (size_t i = 1; i < rules; i++) {
        snprintf(item, sizeof item, "  - { name: r%zu, groups: staff, database: shop, allow: select, on: \"%s%zu%s\" }\n", i,
                 globs ? "team_" : "public.other_", i, globs ? ".*" : "");
        put(&t, item);
    }
    put(&t, "  - { name: last, groups: staff, database: shop, allow: select, on: \"public.t*\" }\n");
    return t;
}

/* --- what is measured --- */

static struct pol_role *role_of(size_t rules, bool globs) {
    struct pol_error err;
    struct text t = of_rules(rules, globs);
    struct pol_policy *p = pol_policy_load_text("bench", t.at, t.len, &err);
    if (p == NULL) {
        fprintf(stderr, "bench_statement: the policy does not load\n");
        exit(1);
    }
    static const char *const groups[] = {"staff"}, *const path[] = {"public"};
    const struct pol_subject who = {.principal = "ann", .groups = groups, .ngroups = 1};
    const struct pol_pins pins = {.search_path = path, .nsearch_path = 1};
    struct pol_role *role = need(pol_role_new(p, &who, "shop", &pins));
    pol_policy_unref(p);
    free(t.at);
    return role;
}

struct cost {
    double facts[ROUNDS], judged[ROUNDS];
};

static void once(const struct text *t, const struct pol_role *role, size_t times, struct cost *c, size_t round) {
    const struct pol_parse_limits limits = {.bytes = 16u << 20};
    struct pol_parse_error err;
    struct pol_verdict v;
    struct pol_facts *f = NULL;
    double start = now_us();
    for (size_t i = 0; i < times; i++) {
        pol_facts_free(f);
        f = pol_facts_pg(t->at, t->len, &limits, &err);
        if (f == NULL) {
            fprintf(stderr, "bench_statement: no facts: %s\n", err.text);
            exit(1);
        }
    }
    c->facts[round] = (now_us() - start) / (double)times;
    start = now_us();
    for (size_t i = 0; i < times; i++) pol_judge(role, f, &v);
    c->judged[round] = (now_us() - start) / (double)times;
    pol_facts_free(f);
    if (v.effect == POL_ALLOW) return;
    fprintf(stderr, "bench_statement: refused: %s\n", v.message);
    exit(1);
}

struct row {
    const char *what, *unit;
    size_t n; /* of unit */
    struct text text;
    struct pol_role *role;
    size_t times;
    struct cost cost;
};

static void print(struct row *r, bool json, bool last) {
    double facts = median(r->cost.facts), judged = median(r->cost.judged);
    double noise = (r->cost.facts[ROUNDS * 3 / 4] - r->cost.facts[ROUNDS / 4]) / 2 / facts, per = (facts + judged) / (double)r->n;
    if (json)
        printf("{\"name\": \"%s-%zu\", \"bytes\": %zu, \"facts_us\": %.3f, \"judged_us\": %.3f, \"per_unit_us\": %.5f, \"unit\": \"%s\", "
               "\"noise\": "
               "%.3f}%s\n",
               r->what, r->n, r->text.len, facts, judged, per, r->unit, noise, last ? "" : ",");
    else
        printf("%-10s %10zu %-6s %12.1f %10.2f %10.3f %6.0f %%\n", r->what, r->n, r->unit, facts, judged, per, noise * 100);
}

int main(int argc, char **argv) {
    static const size_t sizes[] = {100, 1000, 10000, 100000, 1000000, 10000000}, tables[] = {1, 10, 100, 1000}, rules[] = {10, 1000, 10000};
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    struct row rows[16];
    size_t n = 0;
    struct pol_role *ten = role_of(10, false);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rows[n] = (struct row){
            .what = "size", .unit = "byte", .n = sizes[i], .text = of_size(sizes[i]), .role = ten, .times = 1 + 1000000 / sizes[i]};
        n++;
    }
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        rows[n] = (struct row){
            .what = "tables", .unit = "table", .n = tables[i], .text = of_tables(tables[i]), .role = ten, .times = 1 + 10000 / tables[i]};
        n++;
    }
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
            rows[n] = (struct row){.what = k == 0 ? "rules" : "globs",
                                   .unit = "rule",
                                   .n = rules[i],
                                   .text = of_size(100),
                                   .role = role_of(rules[i], k == 1),
                                   .times = 2000};
            n++;
        }
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < n; i++) once(&rows[i].text, rows[i].role, rows[i].times, &rows[i].cost, round);
    if (json)
        puts("[");
    else
        puts("what                n unit      facts us  judged us        per   noise");
    for (size_t i = 0; i < n; i++) print(&rows[i], json, i + 1 == n);
    if (json) puts("]");
    for (size_t i = 0; i < n; i++) {
        free(rows[i].text.at);
        if (rows[i].role != ten) pol_role_free(rows[i].role);
    }
    pol_role_free(ten);
    return 0;
}
