/* Column facts for t/e2e/test_columns_facts.py: columns_dump CATALOG SCHEMA...
 *
 * Reads statements that end with a NUL each, writes a line of JSON for each. SCHEMA... is the search_path. "columns_dump --sql" writes the statements that
 * make a catalog, with a NUL behind each. */
#include "policy/columns.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct work {
    const struct pol_catalog *cat;
    struct pol_pins pins;
};

static json_t *names(const struct pol_relation_use *r, unsigned bit) {
    json_t *a = json_array();
    for (size_t i = 0; i < r->relation->ncolumns; i++)
        if ((r->columns[i].named | r->columns[i].unnamed) & bit) json_array_append_new(a, json_string(r->relation->columns[i].name));
    return a;
}

static json_t *columns_json(const struct pol_columns *c) {
    json_t *relations = json_array(), *conjuncts = json_array();
    for (size_t i = 0; i < c->nrelations; i++) {
        const struct pol_relation_use *r = &c->relations[i];
        json_array_append_new(relations, json_pack("{s:s, s:s, s:b, s:b, s:o, s:o}", "schema", r->relation->schema, "name",
                                                   r->relation->name, "complete", r->complete, "system", r->system, "read",
                                                   names(r, POL_USE_READ | POL_USE_EXCLUDED), "written", names(r, POL_USE_WRITTEN)));
    }
    for (size_t i = 0; i < c->nconjuncts; i++) {
        const struct pol_conjunct *s = &c->conjuncts[i];
        json_array_append_new(conjuncts,
                              json_pack("{s:i, s:s, s:s, s:s, s:s, s:b}", "at", (int)s->range_var, "schema", s->relation->schema, "name",
                                        s->relation->name, "column", s->column->name, "rest", s->rest, "lateral", s->lateral));
    }
    return json_pack("{s:b, s:o, s:o}", "complete", c->complete, "relations", relations, "conjuncts", conjuncts);
}

static void answer(const struct work *w, const char *sql, size_t len) {
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_pg(sql, len, NULL, &err);
    struct pol_columns *c = f != NULL ? pol_columns_pg(sql, len, w->cat, &w->pins, &err) : NULL;
    json_t *line = c != NULL ? columns_json(c) : json_pack("{s:s}", "error", err.text);
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
    pol_columns_free(c);
    pol_facts_free(f);
}

static void *serve(void *arg) {
    char *sql = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getdelim(&sql, &cap, '\0', stdin)) > 0;) answer(arg, sql, (size_t)n - (sql[n - 1] == '\0'));
    free(sql);
    return NULL;
}

static char *read_file(const char *path, size_t *len) {
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t cap = 0;
    if (f == NULL) return NULL;
    ssize_t n = getdelim(&text, &cap, '\0', f);
    fclose(f);
    *len = n > 0 ? (size_t)n : 0;
    return text;
}

int main(int argc, char **argv) {
    char why[300];
    size_t len = 0;
    for (size_t i = 0; argc == 2 && strcmp(argv[1], "--sql") == 0; i++) {
        if (pol_catalog_pg.statements[i] == NULL) return 0;
        printf("%s%c", pol_catalog_pg.statements[i], '\0');
    }
    char *text = argc > 1 ? read_file(argv[1], &len) : NULL;
    struct pol_catalog *cat = text != NULL ? pol_catalog_parse(text, len, why, sizeof why) : NULL;
    if (cat == NULL) {
        fprintf(stderr, "columns_dump: %s\n", text != NULL ? why : "no catalog");
        free(text);
        return 1;
    }
    free(text);
    struct work w = {.cat = cat, .pins = {.search_path = (const char *const *)argv + 2, .nsearch_path = (size_t)argc - 2}};
    pthread_attr_t attr;
    pthread_t t;
    bool ok = pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, POL_STACK_BYTES) == 0 &&
              pthread_create(&t, &attr, serve, &w) == 0 && pthread_join(t, NULL) == 0;
    pol_catalog_unref(cat);
    return ok ? 0 : 1;
}
