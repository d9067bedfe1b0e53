#include "policy/collect.h"

#include "policy/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void pol_collect_begin(struct pol_collect *c, struct pol_stmt *s) { *c = (struct pol_collect){.arena = c->arena, .s = s, .err = c->err}; }

bool pol_collect_fail(struct pol_collect *c, enum pol_parse_rc rc, const char *fmt, ...) {
    if (c->err->rc != POL_PARSED) return false;
    c->err->rc = rc;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->err->text, sizeof c->err->text, fmt, ap);
    va_end(ap);
    pol_utf8_tidy(c->err->text);
    return false;
}

bool pol_collect_no_memory(struct pol_collect *c) {
    if (pol_arena_full(c->arena)) return pol_collect_fail(c, POL_TOO_LARGE, "the statement takes more memory than is given to one");
    return pol_collect_fail(c, POL_NO_MEMORY, "out of memory");
}

uint32_t pol_hash_name(const char *s) {
    uint32_t h = 2166136261u;
    for (; *s != '\0'; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

static uint32_t hash_qualified(const char *schema, const char *name) {
    return pol_hash_name(name) * 31 + (schema != NULL ? pol_hash_name(schema) : 7);
}

static bool same_name(const char *schema, const char *name, const char *schema2, const char *name2) {
    if ((schema == NULL) != (schema2 == NULL) || strcmp(name, name2) != 0) return false;
    return schema == NULL || strcmp(schema, schema2) == 0;
}

/* The names of item i of the set, which is that of relations or that of functions. */
static void name_of(const struct pol_collect *c, const struct pol_collect_set *set, size_t i, const char **schema, const char **name) {
    bool functions = set == &c->functions;
    *schema = functions ? c->s->functions[i].schema : c->s->relations[i].schema;
    *name = functions ? c->s->functions[i].name : c->s->relations[i].name;
}

static bool grow(struct pol_collect *c, struct pol_collect_set *set) {
    size_t size = set->size == 0 ? 32 : set->size * 2;
    uint32_t *slots = pol_alloc_array(c->arena, size, sizeof *slots);
    if (slots == NULL) return pol_collect_no_memory(c);
    for (size_t i = 0; i < set->size; i++) {
        if (set->slots[i] == 0) continue;
        const char *schema, *name;
        name_of(c, set, set->slots[i] - 1, &schema, &name);
        size_t h = hash_qualified(schema, name) & (size - 1);
        while (slots[h] != 0) h = (h + 1) & (size - 1);
        slots[h] = set->slots[i];
    }
    set->slots = slots;
    set->size = size;
    return true;
}

/* The slot that holds the name, or the free one where it belongs; NULL without memory. */
static uint32_t *find(struct pol_collect *c, struct pol_collect_set *set, const char *schema, const char *name) {
    if (set->used * 2 >= set->size && !grow(c, set)) return NULL;
    size_t h = hash_qualified(schema, name) & (set->size - 1);
    for (; set->slots[h] != 0; h = (h + 1) & (set->size - 1)) {
        const char *schema2, *name2;
        name_of(c, set, set->slots[h] - 1, &schema2, &name2);
        if (same_name(schema, name, schema2, name2)) break;
    }
    return &set->slots[h];
}

/* Room for item n of an array of the statement. NULL with the error set. */
static void *room(struct pol_collect *c, void *array, size_t n, size_t *cap, size_t size, const char *what) {
    if (n == POL_MAX_NAMES) {
        pol_collect_fail(c, POL_TOO_LARGE, "a statement with more than %d %s is not supported", POL_MAX_NAMES, what);
        return NULL;
    }
    void *all = pol_grow(c->arena, array, n, cap, size);
    if (all == NULL) pol_collect_no_memory(c);
    return all;
}

bool pol_collect_relation(struct pol_collect *c, const struct pol_relation *r) {
    struct pol_stmt *s = c->s;
    uint32_t *slot = find(c, &c->relations, r->schema, r->name);
    if (slot == NULL) return false;
    if (r->access & ~(unsigned)POL_SELECT) s->reads_only = false;
    if (*slot != 0) {
        s->relations[*slot - 1].access |= r->access;
        s->relations[*slot - 1].named_rows &= r->named_rows;
        return true;
    }
    struct pol_relation *all = room(c, s->relations, s->nrelations, &c->relations_cap, sizeof *all, "relations");
    if (all == NULL) return false;
    s->relations = all;
    all[s->nrelations++] = *r;
    *slot = (uint32_t)s->nrelations;
    c->relations.used++;
    return true;
}

bool pol_collect_function(struct pol_collect *c, const struct pol_function *f) {
    struct pol_stmt *s = c->s;
    uint32_t *slot = find(c, &c->functions, f->schema, f->name);
    if (slot == NULL) return false;
    if (*slot != 0) {
        s->functions[*slot - 1].field |= f->field;
        return true;
    }
    struct pol_function *all = room(c, s->functions, s->nfunctions, &c->functions_cap, sizeof *all, "functions");
    if (all == NULL) return false;
    s->functions = all;
    all[s->nfunctions++] = *f;
    *slot = (uint32_t)s->nfunctions;
    c->functions.used++;
    return true;
}

bool pol_collect_setting(struct pol_collect *c, const struct pol_setting *setting) {
    struct pol_stmt *s = c->s;
    struct pol_setting *all = room(c, s->settings, s->nsettings, &c->settings_cap, sizeof *all, "settings");
    if (all == NULL) return false;
    s->settings = all;
    all[s->nsettings++] = *setting;
    return true;
}
