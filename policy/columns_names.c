/* Column facts: nodes and uses, relations, columns, and what a name means at a place. */
#include "policy/columns_int.h"

#include <string.h>

#define HASH_FROM 12 /* fewer columns are compared one by one */

bool cx_step(struct cx *x, uint32_t n) {
    if (x->stop) return false;
    x->steps = n > x->max_steps - x->steps ? x->max_steps : x->steps + n;
    if (x->steps == x->max_steps) x->stop = true;
    return !x->stop;
}

bool cx_deep(struct cx *x) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), used = here < x->stack ? x->stack - here : here - x->stack;
    if (used > CX_STACK_BYTES) x->stop = true;
    return x->stop;
}

/* --- where values come from --- */

struct cx_node *cx_node_new(struct cx *x) {
    struct cx_node *n = pol_alloc(x->fx.c.arena, sizeof *n);
    if (n == NULL) fx_no_memory(&x->fx);
    return n;
}

static bool push(struct cx *x, struct cx_node *n, uint32_t bits, uint32_t location) {
    if ((bits & ~n->bits) == 0 || !cx_step(x, 1)) return true;
    struct cx_work *all = pol_grow(x->fx.c.arena, x->work, x->nwork, &x->work_cap, sizeof *all);
    if (all == NULL) return fx_no_memory(&x->fx);
    x->work = all;
    all[x->nwork++] = (struct cx_work){n, bits, location};
    return true;
}

static void mark_row(struct cx *x, const struct cx_rel *rel, uint32_t bits) {
    if (!cx_step(x, (uint32_t)rel->r->ncolumns)) return;
    for (size_t i = 0; i < rel->r->ncolumns; i++) rel->columns[i].bits |= bits;
}

/* What uses of n mean for what its value comes from. */
static uint32_t passed_on(const struct cx_node *n, uint32_t bits) {
    if (n->excluded) {
        const uint32_t named = CX_NAMED(POL_USE_EXCLUDED), unnamed = CX_UNNAMED(POL_USE_EXCLUDED);
        return ((bits & 0xFFFFu) != 0 ? named : 0) | (bits >> 16 != 0 ? unnamed : 0);
    }
    return n->row ? CX_UNNAMED((bits | bits >> 16) & 0xFFFFu) : bits;
}

bool cx_mark(struct cx *x, struct cx_node *n, uint32_t bits, uint32_t location) {
    if (!push(x, n, bits, location)) return false;
    while (x->nwork > 0) { /* not by recursion: WITH queries make long chains */
        struct cx_work w = x->work[--x->nwork];
        uint32_t fresh = w.bits & ~w.node->bits;
        if (fresh == 0) continue;
        w.node->bits |= fresh;
        if (w.node->location == 0 && (fresh & 0xFFFFu) != 0) w.node->location = w.location;
        fresh = passed_on(w.node, fresh);
        if (w.node->rel != NULL && w.node->column == CX_ROW) mark_row(x, w.node->rel, fresh);
        for (struct cx_edge *e = w.node->from; e != NULL; e = e->next)
            if (!push(x, e->to, fresh, w.location)) return false;
    }
    return true;
}

bool cx_edge(struct cx *x, struct cx_node *from, struct cx_node *to) {
    if (from == to || to == &x->none || (from->from != NULL && from->from->to == to)) return true;
    struct cx_edge *e = pol_alloc(x->fx.c.arena, sizeof *e);
    if (e == NULL) return fx_no_memory(&x->fx);
    *e = (struct cx_edge){to, from->from};
    from->from = e;
    return cx_mark(x, to, passed_on(from, from->bits), from->location);
}

/* --- relations --- */

static bool grow_slots(struct cx *x) {
    size_t size = x->nslots == 0 ? 16 : x->nslots * 2;
    uint32_t *slots = pol_alloc_array(x->fx.c.arena, size, sizeof *slots);
    if (slots == NULL) return fx_no_memory(&x->fx);
    for (size_t i = 0; i < x->nrels; i++) {
        size_t h = (x->rels[i]->r->oid * 2654435761u) & (size - 1);
        while (slots[h] != 0) h = (h + 1) & (size - 1);
        slots[h] = (uint32_t)i + 1;
    }
    x->slots = slots;
    x->nslots = size;
    return true;
}

static struct cx_rel *rel_new(struct cx *x, const struct pol_cat_relation *r) {
    struct cx_rel *rel = pol_alloc(x->fx.c.arena, sizeof *rel);
    struct cx_rel **all = pol_grow(x->fx.c.arena, x->rels, x->nrels, &x->rels_cap, sizeof(struct cx_rel *));
    struct cx_node *columns = pol_alloc_array(x->fx.c.arena, r->ncolumns + 1, sizeof *columns);
    if (rel == NULL || all == NULL || columns == NULL) {
        fx_no_memory(&x->fx);
        return NULL;
    }
    for (size_t i = 0; i < r->ncolumns; i++) {
        columns[i].rel = rel;
        columns[i].column = (uint32_t)i;
    }
    *rel = (struct cx_rel){.r = r, .columns = columns, .whole = {.rel = rel, .column = CX_ROW, .row = true}};
    x->rels = all;
    all[x->nrels++] = rel;
    return rel;
}

struct cx_rel *cx_rel_of(struct cx *x, const struct pol_cat_relation *r) {
    if (x->nrels * 2 >= x->nslots && !grow_slots(x)) return NULL;
    size_t h = (r->oid * 2654435761u) & (x->nslots - 1);
    for (; x->slots[h] != 0; h = (h + 1) & (x->nslots - 1))
        if (x->rels[x->slots[h] - 1]->r == r) return x->rels[x->slots[h] - 1];
    struct cx_rel *rel = rel_new(x, r);
    if (rel != NULL) x->slots[h] = (uint32_t)x->nrels;
    return rel;
}

const struct pol_cat_relation *cx_resolve(struct cx *x, const char *schema, const char *name) {
    if (schema != NULL) return pol_catalog_relation(x->cat, schema, name);
    bool listed = false;
    for (size_t i = 0; i < x->pins->nsearch_path; i++)
        if (strcmp(x->pins->search_path[i], "pg_catalog") == 0) listed = true;
    const struct pol_cat_relation *r = listed ? NULL : pol_catalog_relation(x->cat, "pg_catalog", name);
    for (size_t i = 0; r == NULL && i < x->pins->nsearch_path; i++) r = pol_catalog_relation(x->cat, x->pins->search_path[i], name);
    return r;
}

/* --- lists of columns --- */

struct cx_cols *cx_cols_new(struct cx *x) {
    struct cx_cols *c = pol_alloc(x->fx.c.arena, sizeof *c);
    if (c == NULL) fx_no_memory(&x->fx);
    return c;
}

bool cx_cols_add(struct cx *x, struct cx_cols *c, const char *name, struct cx_node *node) {
    if (!cx_step(x, 1)) return true;
    struct cx_col *all = pol_grow(x->fx.c.arena, c->v, c->n, &c->cap, sizeof *all);
    if (all == NULL) return fx_no_memory(&x->fx);
    c->v = all;
    all[c->n++] = (struct cx_col){name, name != NULL ? pol_hash_name(name) : 0, node};
    return true;
}

bool cx_cols_rest(struct cx *x, struct cx_cols *c, struct cx_node *node) {
    if (c->rest == NULL && (c->rest = cx_node_new(x)) == NULL) return false;
    return cx_edge(x, c->rest, node);
}

struct cx_node *cx_cols_whole(struct cx *x, struct cx_cols *c) {
    if (c->whole != NULL) return c->whole;
    struct cx_node *whole = cx_node_new(x);
    if (whole == NULL) return NULL;
    whole->row = true;
    for (size_t i = 0; i < c->n; i++)
        if (!cx_edge(x, whole, c->v[i].node)) return NULL;
    if (c->rest != NULL && !cx_edge(x, whole, c->rest)) return NULL;
    return c->whole = whole;
}

/* When positions are not known, every new name may be any column. */
struct cx_cols *cx_cols_renamed(struct cx *x, struct cx_cols *c, uint32_t names) {
    if (names == 0) return c;
    struct cx_cols *out = cx_cols_new(x);
    struct cx_node *any = NULL;
    if (out == NULL) return NULL;
    if (c->rest != NULL && ((any = cx_cols_whole(x, c)) == NULL || !cx_cols_rest(x, out, any))) return NULL;
    size_t i = 0;
    for (uint32_t n = names + 1; n < jt_end(x->fx.t, names); n = jt_skip(x->fx.t, n), i++) {
        uint32_t fields;
        if (fx_node(&x->fx, n, &fields) != NT_String) continue;
        const char *name = fx_text(&x->fx, jt_get(x->fx.t, fields, "sval"));
        if (x->fx.c.err->rc != POL_PARSED) return NULL;
        struct cx_node *node = any != NULL ? any : i < c->n ? c->v[i].node : &x->none;
        if (!cx_cols_add(x, out, name != NULL ? name : "", node)) return NULL;
    }
    for (; i < c->n; i++)
        if (!cx_cols_add(x, out, c->v[i].name, any != NULL ? any : c->v[i].node)) return NULL;
    return out;
}

static bool make_slots(struct cx *x, struct cx_cols *c) {
    size_t size = 32;
    while (size < c->n * 2) size *= 2;
    uint32_t *slots = pol_alloc_array(x->fx.c.arena, size, sizeof *slots);
    if (slots == NULL) return fx_no_memory(&x->fx);
    for (size_t i = 0; i < c->n; i++) {
        size_t h = c->v[i].hash & (size - 1);
        while (slots[h] != 0) h = (h + 1) & (size - 1);
        slots[h] = (uint32_t)i + 1;
    }
    c->slots = slots;
    c->nslots = size;
    return true;
}

bool cx_cols_find(struct cx *x, struct cx_cols *c, const char *name, uint32_t hash, uint32_t *at) {
    if (c->n < HASH_FROM) {
        for (uint32_t i = *at == CX_ROW ? 0 : *at + 1; i < c->n; i++)
            if (c->v[i].hash == hash && c->v[i].name != NULL && strcmp(c->v[i].name, name) == 0) {
                *at = i;
                return true;
            }
        return false;
    }
    if (c->slots == NULL && !make_slots(x, c)) return false;
    bool behind = *at == CX_ROW;
    for (size_t h = hash & (c->nslots - 1); c->slots[h] != 0; h = (h + 1) & (c->nslots - 1)) {
        uint32_t i = c->slots[h] - 1;
        if (!cx_step(x, 1)) return false;
        if (c->v[i].hash != hash || c->v[i].name == NULL || strcmp(c->v[i].name, name) != 0) continue;
        if (behind) {
            *at = i;
            return true;
        }
        behind = i == *at;
    }
    return false;
}

bool cx_rel_cols(struct cx *x, struct cx_rel *rel, struct cx_cols **out) {
    if (rel->cols == NULL) {
        struct cx_cols *c = cx_cols_new(x);
        if (c == NULL) return false;
        for (size_t i = 0; i < rel->r->ncolumns; i++)
            if (!cx_cols_add(x, c, rel->r->columns[i].name, &rel->columns[i])) return false;
        rel->cols = c;
    }
    *out = rel->cols;
    return true;
}

/* --- items --- */

size_t cx_item_columns(const struct cx_item *it) { return it->cols != NULL ? it->cols->n : it->rel != NULL ? it->rel->r->ncolumns : 0; }

struct cx_col cx_item_column(const struct cx_item *it, size_t i) {
    if (it->cols != NULL) return it->cols->v[i];
    return (struct cx_col){it->rel->r->columns[i].name, 0, &it->rel->columns[i]};
}

struct cx_node *cx_item_whole(struct cx *x, struct cx_item *it) {
    if (it->whole != NULL) return it->whole;
    if (it->rel != NULL) return it->whole = &it->rel->whole;
    return it->whole = it->cols != NULL ? cx_cols_whole(x, it->cols) : &x->none;
}

struct cx_item *cx_item_add(struct cx *x, struct cx_level *l, size_t at, const char *name) {
    struct cx_item *it = pol_alloc(x->fx.c.arena, sizeof *it);
    struct cx_item **all = pol_grow(x->fx.c.arena, l->items, l->n, &l->cap, sizeof(struct cx_item *));
    if (it == NULL || all == NULL) {
        fx_no_memory(&x->fx);
        return NULL;
    }
    l->items = all;
    memmove(all + at + 1, all + at, (l->n - at) * sizeof *all);
    all[at] = it;
    l->n++;
    cx_step(x, 1 + (uint32_t)((l->n - at) / 64));
    *it = (struct cx_item){.name = name, .hash = name != NULL ? pol_hash_name(name) : 0, .rel_visible = name != NULL, .cols_visible = true};
    return it;
}

/* --- what a name means --- */

static size_t item_find(struct cx *x, struct cx_item *it, const char *name, uint32_t hash, struct cx_ref *ref) {
    size_t n = 0;
    uint32_t at = CX_ROW;
    if (it->cols == NULL) {
        const struct pol_cat_column *c = it->rel != NULL ? pol_cat_column(it->rel->r, name) : NULL;
        if (c == NULL) return 0;
        at = (uint32_t)(c - it->rel->r->columns);
        if (it->hidden != NULL && it->hidden[at]) return 0;
        *ref = (struct cx_ref){&it->rel->columns[at], it, at, NULL};
        return 1;
    }
    while (cx_cols_find(x, it->cols, name, hash, &at)) {
        if (it->hidden != NULL && it->hidden[at]) continue;
        *ref = (struct cx_ref){it->cols->v[at].node, it, at, NULL};
        n++;
    }
    return n;
}

size_t cx_find(struct cx *x, struct cx_level *l, size_t lo, size_t hi, const char *name, struct cx_ref *ref, struct cx_node **rest) {
    uint32_t hash = pol_hash_name(name);
    size_t n = 0;
    if (hi > l->n) hi = l->n;
    for (size_t i = lo; i < hi; i++) {
        struct cx_item *it = l->items[i];
        if (!it->cols_visible) continue;
        if (!cx_step(x, 1)) return n;
        struct cx_ref one;
        size_t found = item_find(x, it, name, hash, &one);
        if (found > 0) {
            if (n > 0 || found > 1) { /* ambiguous: an error, or a join's column that was named twice. Any of them */
                struct cx_node *both = cx_node_new(x);
                if (both == NULL || (n > 0 && !cx_edge(x, both, ref->node))) return 0;
                for (uint32_t at = CX_ROW; found > 1 && cx_cols_find(x, it->cols, name, hash, &at);)
                    if (!cx_edge(x, both, it->cols->v[at].node)) return 0;
                if (found == 1 && !cx_edge(x, both, one.node)) return 0;
                one = (struct cx_ref){.node = both};
            }
            n += found;
            *ref = one;
        }
        if (it->cols == NULL || it->cols->rest == NULL) continue;
        if (*rest == NULL && (*rest = cx_node_new(x)) == NULL) return 0;
        if (!cx_edge(x, *rest, it->cols->rest)) return 0;
    }
    return n;
}

bool cx_is_system(const char *name) {
    static const char *const names[] = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

static void mark_system(struct cx_rel *rel, uint32_t location) {
    if (!rel->system) rel->system_location = location;
    rel->system = true;
}

/* ctid without a qualifier: of whatever relation is there. */
static bool system_here(struct cx_level *l, uint32_t location) {
    bool any = false;
    for (size_t i = l->lo; i < l->n && i < l->hi; i++) {
        if (!l->items[i]->cols_visible || l->items[i]->rel == NULL) continue;
        mark_system(l->items[i]->rel, location);
        any = true;
    }
    return any;
}

struct cx_item *cx_find_item(struct cx *x, const char *schema, const char *rel) {
    uint32_t hash = pol_hash_name(rel);
    const struct pol_cat_relation *r = schema != NULL ? pol_catalog_relation(x->cat, schema, rel) : NULL;
    for (struct cx_level *l = x->level; l != NULL; l = l->outer) {
        size_t hi = l->hi < l->n ? l->hi : l->n;
        if (!cx_step(x, 1 + (uint32_t)((hi - l->lo) / 8))) return NULL;
        struct cx_item *found = NULL;
        for (size_t i = l->lo; i < hi; i++) {
            struct cx_item *it = l->items[i];
            if (!it->rel_visible || it->hash != hash || strcmp(it->name, rel) != 0) continue;
            if (schema != NULL && (it->aliased || it->rel == NULL || it->rel->r != r)) continue;
            if (found != NULL) x->incomplete = true; /* ambiguous: an error */
            found = it;
        }
        if (found != NULL) return found;
    }
    return NULL;
}

/* Joins what was found with what inner items of unknown columns may mean. */
static bool with_rest(struct cx *x, struct cx_ref *ref, struct cx_node *rest) {
    if (rest == NULL) return true;
    if (!cx_edge(x, rest, ref->node)) return false;
    *ref = (struct cx_ref){.node = rest};
    return true;
}

bool cx_name(struct cx *x, const char *name, struct cx_ref *ref, uint32_t location) {
    struct cx_node *rest =
        NULL; /* a level that has the name hides whatever items of that level keep to themselves: both would be an error */
    bool system = cx_is_system(name);
    *ref = (struct cx_ref){.node = &x->none};
    for (struct cx_level *l = x->level; l != NULL && !x->stop; l = l->outer) {
        struct cx_node *here = NULL;
        bool sys = system && system_here(l, location);
        size_t n = cx_find(x, l, l->lo, l->hi, name, ref, &here);
        if (x->fx.c.err->rc != POL_PARSED) return false;
        if (n > 0 || sys) return with_rest(x, ref, rest);
        if (here == NULL) continue;
        if (rest == NULL && (rest = cx_node_new(x)) == NULL) return false;
        if (!cx_edge(x, rest, here)) return false;
    }
    struct cx_item *it = cx_find_item(x, NULL, name); /* no column anywhere: a whole row */
    if (it == NULL) {
        if (rest == NULL)
            x->incomplete = true;
        else
            ref->node = rest;
        return true;
    }
    ref->row = it;
    ref->node = cx_item_whole(x, it);
    return ref->node != NULL && with_rest(x, ref, rest);
}

bool cx_qualified(struct cx *x, const char *schema, const char *rel, const char *name, struct cx_ref *ref, uint32_t location) {
    *ref = (struct cx_ref){.node = &x->none};
    struct cx_item *it = cx_find_item(x, schema, rel);
    if (it == NULL) {
        x->incomplete = true;
        return true;
    }
    bool *hidden = it->hidden; /* a merged column is still there under its relation's name */
    it->hidden = NULL;
    struct cx_ref one;
    size_t n = item_find(x, it, name, pol_hash_name(name), &one);
    it->hidden = hidden;
    if (x->fx.c.err->rc != POL_PARSED) return false;
    if (n == 1) {
        *ref = one;
        return true;
    }
    if (n == 0 && it->rel != NULL && cx_is_system(name)) {
        mark_system(it->rel, location);
        return true;
    }
    ref->node = cx_item_whole(x, it); /* t.f is f(t); or one of the columns whose names are not known */
    return ref->node != NULL;
}
