/* What column facts cost: bench_columns [N]. Microseconds of processor time for each, of N runs (default 20,000). Build without sanitizers. */
#include "t/policy/columns_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const texts[] = {
    "SELECT 1",
    "SELECT id, name, email FROM customers WHERE id = 6",
    "WITH monthly AS (SELECT o.customer_id, date_trunc('month', o.placed_at) AS month, sum(o.total) AS revenue, count(*) AS n FROM orders "
    "o WHERE "
    "o.placed_at >= '2026-01-01' AND o.placed_at < '2027-01-01' AND o.status IN ('paid', 'shipped', 'returned') GROUP BY o.customer_id, "
    "date_trunc('month', o.placed_at)), ranked AS (SELECT m.*, c.region, c.name, rank() OVER (PARTITION BY c.region, m.month ORDER BY "
    "m.revenue "
    "DESC) AS place, lag(m.revenue) OVER (PARTITION BY m.customer_id ORDER BY m.month) AS before FROM monthly m JOIN customers c ON c.id = "
    "m.customer_id WHERE c.region IN ('eu', 'us') AND NOT EXISTS (SELECT 1 FROM staff s WHERE s.name = c.name AND s.salary > 50000)) "
    "SELECT r.region, "
    "r.month, r.name, r.revenue, r.place, round(100 * (r.revenue - r.before) / NULLIF(r.before, 0), 1) AS growth, (SELECT max(o2.total) "
    "FROM orders o2 WHERE "
    "o2.customer_id = r.customer_id AND o2.status = 'paid') AS largest FROM ranked r WHERE r.place <= 10 AND (r.before IS NULL OR "
    "r.revenue > r.before) "
    "ORDER BY r.region, r.month DESC, r.place LIMIT 500",
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    static const char *const path[] = {"public"};
    struct pol_pins pins = {.search_path = path, .nsearch_path = 1};
    long n = argc > 1 ? strtol(argv[1], NULL, 10) : 20000;
    struct pol_catalog *cat = columns_catalog();
    struct pol_parse_error err;
    puts("bytes  facts  columns (parsing included)");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t len = strlen(texts[i]);
        double start = now();
        for (long k = 0; k < n; k++) pol_facts_free(pol_facts_pg(texts[i], len, NULL, &err));
        double middle = now();
        for (long k = 0; k < n; k++) pol_columns_free(pol_columns_pg(texts[i], len, cat, &pins, &err));
        double end = now();
        printf("%5zu  %5.1f  %5.1f\n", len, (middle - start) / (double)n, (end - middle) / (double)n);
    }
    pol_catalog_unref(cat);
    return 0;
}
