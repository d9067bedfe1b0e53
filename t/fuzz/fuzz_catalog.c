/* A database's catalog as text. Input: the text.
 *
 * Checked besides memory errors: a refused text has a reason; in one that is taken every relation is found by its name and by its number, what it points to is in the
 * catalog; and no text that is cut within a line is taken. */
#include "filters/bytes.h"
#include "policy/catalog.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 32768

static void check_relation(const struct pol_catalog *c, const struct pol_cat_relation *r) {
    size_t n;
    CHECK(pol_catalog_relation(c, r->schema, r->name) == r && pol_catalog_relation_oid(c, r->oid) == r);
    CHECK(gh_utf8_valid(r->name, strlen(r->name)) && strchr("rpvmfSc", r->kind) != NULL);
    for (size_t i = 0; i < r->ncolumns; i++) {
        CHECK(pol_cat_column(r, r->columns[i].name) == &r->columns[i] && r->columns[i].typ != NULL);
        const struct pol_cat_type *t = pol_catalog_type(c, r->columns[i].type);
        CHECK(t == NULL || t->oid == r->columns[i].type);
    }
    for (size_t i = 0; i < r->nparents; i++) CHECK(pol_catalog_relation_oid(c, r->parents[i]->oid) == r->parents[i] && r->parents[i] != r);
    for (size_t i = 0; i < r->nreads; i++) CHECK(pol_catalog_relation_oid(c, r->reads[i]->oid) == r->reads[i]);
    const struct pol_cat_function *f = pol_catalog_functions(c, r->schema, r->name, &n);
    for (size_t i = 0; i < n; i++) CHECK(strcmp(f[i].name, r->name) == 0 && strcmp(f[i].schema, r->schema) == 0);
}

static struct pol_catalog *parse(const char *text, size_t len) {
    char err[300];
    memset(err, 'x', sizeof err);
    struct pol_catalog *c = pol_catalog_parse(text, len, err, sizeof err);
    CHECK(c != NULL || (strnlen(err, sizeof err) > 0 && strnlen(err, sizeof err) < sizeof err));
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    if (size > TEXT_MAX) return 0;
    struct pol_catalog *c = parse(text, size);
    if (c == NULL) return 0;
    CHECK(pol_catalog_database(c) != NULL);
    CHECK(pol_catalog_read_views(c));
    for (size_t i = 0; i < pol_catalog_relations(c); i++) check_relation(c, pol_catalog_relation_at(c, i));
    pol_catalog_unref(c);
    size_t end = size;
    while (end > 0 && text[end - 1] != '}') end--;
    for (size_t n = 1; n <= end; n = n * 2 + 1) CHECK(parse(text, end - n) == NULL);
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const char *text;
    size_t size, relations;
    bool good;
};

/* All of it, or nothing. */
static void faulty(void *arg) {
    const struct sweeping *s = arg;
    struct pol_catalog *c = parse(s->text, s->size);
    if (c == NULL) return;
    CHECK(s->good && pol_catalog_relations(c) == s->relations);
    (void)pol_catalog_read_views(c); /* what it has found is true, if not all */
    for (size_t i = 0; i < s->relations; i++) check_relation(c, pol_catalog_relation_at(c, i));
    pol_catalog_unref(c);
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    if (size > TEXT_MAX) return;
    struct sweeping s = {.text = (const char *)data, .size = size};
    struct pol_catalog *c = parse(s.text, size);
    s.good = c != NULL;
    s.relations = c != NULL ? pol_catalog_relations(c) : 0;
    pol_catalog_unref(c);
    sweep(faulty, &s);
}
#endif
