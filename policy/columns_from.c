/* Column facts: FROM and WITH, and the names that they add. */
#include "policy/columns_int.h"
#include "policy/pg_functions.h"

#include <string.h>

#define WIDE 24 /* a relation with more columns gets a table of their names */

/* --- WITH --- */

static bool add_names(struct cx *x, struct cx_cols *out, uint32_t list, struct cx_cols *from, unsigned use) {
    const struct jt *t = x->fx.t;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(t, list) && !x->stop; c = jt_skip(t, c)) {
        uint32_t f;
        if (fx_node(&x->fx, c, &f) != NT_String) continue;
        const char *name = fx_text(&x->fx, jt_get(t, f, "sval"));
        if (name == NULL) return x->fx.c.err->rc == POL_PARSED;
        for (uint32_t at = CX_ROW, hash = pol_hash_name(name); cx_cols_find(x, from, name, hash, &at);)
            if (!cx_mark(x, from->v[at].node, CX_NAMED(POL_USE_READ | use), 0) || !cx_edge(x, out->v[out->n - 1].node, from->v[at].node))
                return false;
    }
    return true;
}

/* A column that SEARCH or CYCLE adds, made of those that it lists. */
static bool add_made(struct cx *x, struct cx_cols *out, uint32_t name_at, uint32_t list, struct cx_cols *from, unsigned use) {
    if (name_at == 0) return true;
    const char *name = fx_text(&x->fx, name_at);
    struct cx_node *n = cx_node_new(x);
    if (name == NULL || n == NULL || !cx_cols_add(x, out, name, n)) return false;
    return x->stop || add_names(x, out, list, from, use);
}

static struct cx_cols *searched(struct cx *x, const struct cx_cte *cte, struct cx_cols *c) {
    const struct jt *t = x->fx.t;
    uint32_t search = jt_get(t, cte->fields, "search_clause"), cycle = jt_get(t, cte->fields, "cycle_clause");
    if (search == 0 && cycle == 0) return c;
    struct cx_cols *out = cx_cols_new(x);
    if (out == NULL) return NULL;
    for (size_t i = 0; i < c->n; i++)
        if (!cx_cols_add(x, out, c->v[i].name, c->v[i].node)) return NULL;
    if (c->rest != NULL && !cx_cols_rest(x, out, c->rest)) return NULL;
    uint32_t by = jt_get(t, search, "search_col_list"), on = jt_get(t, cycle, "cycle_col_list");
    if (search != 0 && !add_made(x, out, jt_get(t, search, "search_seq_column"), by, c, POL_USE_ORDER)) return NULL;
    if (cycle != 0 && (!add_made(x, out, jt_get(t, cycle, "cycle_mark_column"), on, c, POL_USE_GROUP) ||
                       !add_made(x, out, jt_get(t, cycle, "cycle_path_column"), on, c, POL_USE_GROUP)))
        return NULL;
    return out;
}

static bool resolve_cte(struct cx *x, struct cx_cte *cte) {
    struct cx_level *level = x->level;
    struct cx_cte *ctes = x->ctes, *publish = x->publish;
    cte->state = CX_BUSY;
    x->level = cte->outer;
    x->ctes = cte->env;
    x->publish = cte->recursive ? cte : NULL;
    struct cx_cols *c = cx_query(x, jt_get(x->fx.t, cte->fields, "ctequery"), POL_USE_READ);
    if (c != NULL) c = cte->cols != NULL ? cte->cols : cx_cols_renamed(x, c, jt_get(x->fx.t, cte->fields, "aliascolnames"));
    if (c != NULL) c = searched(x, cte, c);
    cte->cols = c;
    cte->state = CX_DONE;
    x->level = level;
    x->ctes = ctes;
    x->publish = publish;
    return c != NULL;
}

static bool push_cte(struct cx *x, uint32_t fields, bool recursive) {
    struct cx_cte *cte = pol_alloc(x->fx.c.arena, sizeof *cte);
    const char *name = fx_text(&x->fx, jt_get(x->fx.t, fields, "ctename"));
    if (cte == NULL) return fx_no_memory(&x->fx);
    if (name == NULL) {
        x->incomplete = true;
        return x->fx.c.err->rc == POL_PARSED;
    }
    *cte = (struct cx_cte){.name = name,
                           .hash = pol_hash_name(name),
                           .fields = fields,
                           .recursive = recursive,
                           .outer = x->level,
                           .env = x->ctes,
                           .next = x->ctes};
    x->ctes = cte;
    return true;
}

/* Without RECURSIVE a WITH query sees those before it; with it all of them, whatever their order ("WITH Clause", SELECT's page). */
bool cx_with(struct cx *x, uint32_t with) {
    const struct jt *t = x->fx.t;
    if (with == 0) return true;
    uint32_t list = jt_get(t, with, "ctes"), f;
    bool recursive = jt_bool(t, jt_get(t, with, "recursive"));
    struct cx_cte *before = x->ctes;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(t, list) && !x->stop; c = jt_skip(t, c)) {
        if (fx_node(&x->fx, c, &f) != NT_CommonTableExpr) {
            x->incomplete = true;
            continue;
        }
        if (!push_cte(x, f, recursive) || (!recursive && x->ctes != before && !resolve_cte(x, x->ctes))) return false;
    }
    if (!recursive) return true;
    size_t n = 0;
    for (struct cx_cte *c = x->ctes; c != before; c = c->next, n++) c->env = x->ctes;
    struct cx_cte **all = pol_alloc_array(x->fx.c.arena, n + 1, sizeof(struct cx_cte *));
    if (all == NULL) return fx_no_memory(&x->fx);
    for (struct cx_cte *c = x->ctes; c != before; c = c->next) all[--n] = c;
    for (; all[n] != NULL && !x->stop; n++) /* in the text's order: what they name they resolve on their way */
        if (all[n]->state == CX_UNSEEN && !resolve_cte(x, all[n])) return false;
    return true;
}

static struct cx_cte *find_cte(struct cx *x, const char *name) {
    uint32_t hash = pol_hash_name(name);
    for (struct cx_cte *c = x->ctes; c != NULL && cx_step(x, 1); c = c->next)
        if (c->hash == hash && strcmp(c->name, name) == 0) return c;
    return NULL;
}

/* --- relations, subqueries, functions --- */

static bool names_after(struct cx *x, uint32_t alias, struct cx_item *it) {
    uint32_t names = alias != 0 ? jt_get(x->fx.t, alias, "colnames") : 0;
    if (names == 0) return true;
    if (it->cols == NULL && it->rel != NULL && !cx_rel_cols(x, it->rel, &it->cols)) return false;
    it->cols = it->cols != NULL ? cx_cols_renamed(x, it->cols, names) : NULL;
    return it->cols != NULL;
}

/* The name of an alias, or def. */
static bool alias_name(struct cx *x, uint32_t alias, const char *def, const char **out) {
    *out = alias != 0 ? fx_text(&x->fx, jt_get(x->fx.t, alias, "aliasname")) : def;
    return x->fx.c.err->rc == POL_PARSED;
}

/* Columns of which nothing is known. */
static bool unknown_columns(struct cx *x, struct cx_item *it, struct cx_node *from) {
    return (it->cols = cx_cols_new(x)) != NULL && cx_cols_rest(x, it->cols, from);
}

static bool cte_item(struct cx *x, struct cx_cte *cte, struct cx_item *it) {
    if (cte->state == CX_UNSEEN && !resolve_cte(x, cte)) return false;
    if (cte->cols != NULL) {
        it->cols = cte->cols;
        return true;
    }
    x->incomplete = true; /* it reads itself where PostgreSQL allows no such thing */
    return unknown_columns(x, it, &x->none);
}

struct cx_item *cx_range_var(struct cx *x, uint32_t i, bool target) {
    const struct jt *t = x->fx.t;
    uint32_t alias = jt_get(t, i, "alias");
    const char *schema = fx_text(&x->fx, jt_get(t, i, "schemaname")), *name = fx_text(&x->fx, jt_get(t, i, "relname")), *called;
    if (x->fx.c.err->rc != POL_PARSED || !alias_name(x, alias, name, &called)) return NULL;
    struct cx_item *it = cx_item_add(x, x->level, x->level->n, called);
    if (it == NULL) return NULL;
    it->aliased = alias != 0;
    it->location = fx_location(&x->fx, i);
    it->target = target;
    struct cx_cte *cte = schema == NULL && !target && name != NULL ? find_cte(x, name) : NULL;
    bool ok = true;
    if (cte != NULL) {
        ok = cte_item(x, cte, it);
    } else {
        const struct pol_cat_relation *r = name != NULL ? cx_resolve(x, schema, name) : NULL;
        it->rel = r != NULL ? cx_rel_of(x, r) : NULL;
        if (r == NULL)
            ok = unknown_columns(x, it, &x->none);
        else if (it->rel != NULL && r->ncolumns > WIDE)
            ok = cx_rel_cols(x, it->rel, &it->cols);
    }
    return ok && names_after(x, alias, it) && x->fx.c.err->rc == POL_PARSED ? it : NULL;
}

static bool range_subselect(struct cx *x, uint32_t i) {
    const struct jt *t = x->fx.t;
    uint32_t alias = jt_get(t, i, "alias");
    struct cx_level *level = x->level;
    const char *name;
    if (!jt_bool(t, jt_get(t, i, "lateral"))) x->level = level->outer;
    struct cx_cols *c = cx_query(x, jt_get(t, i, "subquery"), POL_USE_READ);
    x->level = level;
    if (c == NULL || !alias_name(x, alias, NULL, &name)) return false;
    struct cx_item *it = cx_item_add(x, level, level->n, name);
    if (it == NULL) return false;
    it->aliased = true;
    it->cols = c;
    return names_after(x, alias, it);
}

/* Columns of a function's row type, when all of what may be called returns the same one; *known. */
static bool composite_columns(struct cx *x, const char *schema, const char *name, struct cx_cols *out, struct cx_node *from, bool *known) {
    size_t n = 0, all = 0;
    const struct pol_cat_function *f = NULL;
    for (size_t i = 0; i < x->pins->nsearch_path + 2; i++) {
        const char *in = i == 0 ? "pg_catalog" : i == 1 ? schema : x->pins->search_path[i - 2];
        if (in == NULL || (schema != NULL && i != 1)) continue;
        const struct pol_cat_function *g = pol_catalog_functions(x->cat, in, name, &n);
        if (n > 0) f = g;
        all += n;
    }
    if (all != 1) return true; /* none, or overloads */
    const struct pol_cat_type *type = pol_catalog_type(x->cat, f->returns);
    const struct pol_cat_relation *r = type != NULL && type->kind == 'c' ? pol_catalog_relation_oid(x->cat, type->base) : NULL;
    for (size_t i = 0; r != NULL && i < r->ncolumns; i++)
        if (!cx_cols_add(x, out, r->columns[i].name, from)) return false;
    *known = r != NULL;
    return true;
}

static bool definition_columns(struct cx *x, uint32_t list, const char *member, enum pg_node type, struct cx_cols *out,
                               struct cx_node *from) {
    const struct jt *t = x->fx.t;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(t, list) && !x->stop; c = jt_skip(t, c)) {
        uint32_t f;
        if (fx_node(&x->fx, c, &f) != type) continue;
        const char *name = fx_text(&x->fx, jt_get(t, f, member));
        if (name == NULL || !cx_cols_add(x, out, name, from)) return false;
    }
    return true;
}

/* One function of FROM: its columns, as far as they are known. single: it is the only one, and called is its alias. */
static bool function_columns(struct cx *x, uint32_t item, const char **name, const char *called, struct cx_cols *out,
                             struct cx_node *from) {
    const struct jt *t = x->fx.t;
    const char *p[4];
    uint32_t list, call, items, second;
    bool known = false;
    *name = NULL;
    if (fx_node(&x->fx, item, &list) != NT_List || (items = jt_get(t, list, "items")) == 0) return cx_cols_rest(x, out, from);
    second = jt_skip(t, items + 1);
    if (second < jt_end(t, items) && fx_node(&x->fx, second, &call) == NT_List) /* ROWS FROM (f() AS (a int)) */
        return definition_columns(x, jt_get(t, call, "items"), "colname", NT_ColumnDef, out, from);
    if (fx_node(&x->fx, items + 1, &call) != NT_FuncCall) return cx_cols_rest(x, out, from);
    size_t n = fx_parts(&x->fx, jt_get(t, call, "funcname"), p, 4);
    if (n == 0 || n > 4) return x->fx.c.err->rc == POL_PARSED && cx_cols_rest(x, out, from);
    *name = p[n - 1];
    const char *schema = n > 1 ? p[n - 2] : NULL;
    if ((schema == NULL || strcmp(schema, "pg_catalog") == 0) && pg_function_one_column(*name))
        return cx_cols_add(x, out, called != NULL ? called : *name, from);
    return composite_columns(x, schema, *name, out, from, &known) && (known || cx_cols_rest(x, out, from));
}

static bool range_function(struct cx *x, uint32_t i) {
    const struct jt *t = x->fx.t;
    uint32_t functions = jt_get(t, i, "functions"), alias = jt_get(t, i, "alias"), defs = jt_get(t, i, "coldeflist");
    const char *called, *name = NULL, *first = NULL;
    struct cx_node *from = cx_node_new(x);
    struct cx_cols *c = cx_cols_new(x);
    /* a function sees what stands left of it, with or without LATERAL */
    if (from == NULL || c == NULL || !cx_walk_for(x, functions, POL_USE_READ, from) || !alias_name(x, alias, NULL, &called)) return false;
    bool single = functions != 0 && jt_skip(t, functions + 1) >= jt_end(t, functions);
    for (uint32_t f = functions + 1; functions != 0 && f < jt_end(t, functions) && !x->stop; f = jt_skip(t, f)) {
        struct cx_cols *out = defs != 0 ? cx_cols_new(x) : c; /* a definition list says all */
        if (out == NULL || !function_columns(x, f, &name, single ? called : NULL, out, from)) return false;
        if (first == NULL) first = name;
    }
    if (defs != 0 && !definition_columns(x, defs, "colname", NT_ColumnDef, c, from)) return false;
    if (jt_bool(t, jt_get(t, i, "ordinality")) && !cx_cols_add(x, c, "ordinality", &x->none)) return false;
    struct cx_item *it = cx_item_add(x, x->level, x->level->n, called != NULL ? called : first);
    if (it == NULL) return false;
    it->aliased = true;
    it->cols = c;
    return names_after(x, alias, it);
}

/* XMLTABLE */
static bool range_table_func(struct cx *x, uint32_t i) {
    uint32_t alias = jt_get(x->fx.t, i, "alias");
    const char *name;
    struct cx_node *from = cx_node_new(x);
    struct cx_cols *c = cx_cols_new(x);
    if (from == NULL || c == NULL || !cx_walk_for(x, i, POL_USE_READ, from) || !alias_name(x, alias, "xmltable", &name)) return false;
    if (!definition_columns(x, jt_get(x->fx.t, i, "columns"), "colname", NT_RangeTableFuncCol, c, from)) return false;
    struct cx_item *it = cx_item_add(x, x->level, x->level->n, name);
    if (it == NULL) return false;
    it->aliased = true;
    it->cols = c;
    return names_after(x, alias, it);
}

static bool range_sample(struct cx *x, uint32_t i) {
    struct cx_level *level = x->level;
    if (!cx_from_item(x, jt_get(x->fx.t, i, "relation"))) return false;
    x->level = level->outer; /* its arguments see nothing of this FROM */
    bool ok = cx_walk_for(x, jt_get(x->fx.t, i, "args"), POL_USE_READ | POL_USE_PREDICATE, NULL) &&
              cx_walk_for(x, jt_get(x->fx.t, i, "repeatable"), POL_USE_READ | POL_USE_PREDICATE, NULL);
    x->level = level;
    return ok;
}

/* --- joins --- */

struct join { /* items [lo, mid) are its left side, [mid, hi) its right one */
    size_t lo, mid, hi;
    struct cx_cols *merged;
};

static bool hide(struct cx *x, const struct cx_ref *ref) {
    if (ref->item == NULL) return true;
    if (ref->item->hidden == NULL) {
        ref->item->hidden = pol_alloc_array(x->fx.c.arena, cx_item_columns(ref->item) + 1, sizeof(bool));
        if (ref->item->hidden == NULL) return fx_no_memory(&x->fx);
    }
    ref->item->hidden[ref->column] = true;
    return true;
}

/* One column of USING or NATURAL: both sides' are compared, and become one. */
static bool merge(struct cx *x, struct join *j, const char *name, bool natural) {
    struct cx_ref left = {.node = &x->none}, right = {.node = &x->none};
    struct cx_node *lrest = NULL, *rrest = NULL, *both;
    const unsigned use = POL_USE_READ | POL_USE_JOIN | POL_USE_MERGED;
    size_t nl = cx_find(x, x->level, j->lo, j->mid, name, &left, &lrest), nr = cx_find(x, x->level, j->mid, j->hi, name, &right, &rrest);
    if (x->fx.c.err->rc != POL_PARSED) return false;
    if (natural && (nl == 0 || nr == 0)) return true;
    if ((nl == 0 && lrest == NULL) || (nr == 0 && rrest == NULL)) x->incomplete = true;
    if (nl == 0 && lrest != NULL) left = (struct cx_ref){.node = lrest};
    if (nr == 0 && rrest != NULL) right = (struct cx_ref){.node = rrest};
    uint32_t bits = natural ? CX_UNNAMED(use) : CX_NAMED(use);
    if ((both = cx_node_new(x)) == NULL || !cx_edge(x, both, left.node) || !cx_edge(x, both, right.node) || !cx_mark(x, both, bits, 0))
        return false;
    return hide(x, &left) && hide(x, &right) && cx_cols_add(x, j->merged, name, both);
}

static bool has_rest(const struct cx_level *l, size_t lo, size_t hi) {
    for (size_t i = lo; i < hi; i++)
        if (l->items[i]->cols_visible && l->items[i]->cols != NULL && l->items[i]->cols->rest != NULL) return true;
    return false;
}

static bool natural(struct cx *x, struct join *j) {
    bool unknown = has_rest(x->level, j->lo, j->hi);
    for (size_t i = j->lo; i < j->hi && unknown; i++) { /* any of them may be compared */
        struct cx_item *it = x->level->items[i];
        struct cx_node *whole = it->cols_visible ? cx_item_whole(x, it) : &x->none;
        if (whole == NULL || !cx_mark(x, whole, CX_UNNAMED(POL_USE_READ | POL_USE_JOIN | POL_USE_MERGED), 0)) return false;
        x->incomplete = true;
    }
    for (size_t i = j->lo; i < j->mid && !unknown && !x->stop; i++) {
        struct cx_item *it = x->level->items[i];
        for (size_t c = 0; it->cols_visible && c < cx_item_columns(it) && !x->stop; c++) {
            const char *name = cx_item_column(it, c).name;
            if (name == NULL || (it->hidden != NULL && it->hidden[c])) continue;
            if (!merge(x, j, name, true)) return false;
        }
    }
    return true;
}

static bool using(struct cx *x, struct join *j, uint32_t list) {
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->fx.t, list) && !x->stop; c = jt_skip(x->fx.t, c)) {
        uint32_t f;
        if (fx_node(&x->fx, c, &f) != NT_String) continue;
        const char *name = fx_text(&x->fx, jt_get(x->fx.t, f, "sval"));
        if (name == NULL || !merge(x, j, name, false)) return false;
    }
    return true;
}

/* The merged columns stand first, by themselves; USING (..) AS a gives them a name. */
static bool add_merged(struct cx *x, struct join *j, uint32_t alias) {
    const char *name;
    if (j->merged->n == 0) return true;
    if (!alias_name(x, alias, NULL, &name)) return false;
    struct cx_item *it = cx_item_add(x, x->level, j->lo, name);
    if (it == NULL) return false;
    it->aliased = true;
    it->cols = j->merged;
    j->mid++;
    j->hi++;
    return true;
}

/* (a JOIN b ON ..) AS j: j is all that is left of their names. */
static bool rename_join(struct cx *x, const struct join *j, uint32_t alias) {
    struct cx_level *l = x->level;
    const char *name;
    struct cx_cols *all = cx_cols_new(x);
    if (alias == 0) return all != NULL;
    if (all == NULL || !alias_name(x, alias, NULL, &name)) return false;
    for (size_t i = j->lo; i < j->hi && !x->stop; i++) {
        struct cx_item *it = l->items[i];
        for (size_t c = 0; it->cols_visible && c < cx_item_columns(it) && !x->stop; c++) {
            struct cx_col col = cx_item_column(it, c);
            if (it->hidden != NULL && it->hidden[c]) continue;
            if (!cx_cols_add(x, all, col.name, col.node)) return false;
        }
        if (it->cols_visible && it->cols != NULL && it->cols->rest != NULL && !cx_cols_rest(x, all, it->cols->rest)) return false;
        it->rel_visible = it->cols_visible = false;
    }
    struct cx_item *it = cx_item_add(x, l, l->n, name);
    if (it == NULL) return false;
    it->aliased = true;
    it->cols = all;
    return names_after(x, alias, it);
}

static bool join_quals(struct cx *x, const struct join *j, uint32_t quals, enum cx_join type) {
    struct cx_level *l = x->level;
    size_t lo = l->lo, hi = l->hi;
    l->lo = j->lo; /* ON sees its own join, and what is further out */
    l->hi = j->hi;
    bool ok = cx_walk_for(x, quals, POL_USE_READ | POL_USE_JOIN, NULL);
    size_t from = type == CX_LEFT ? j->mid : j->lo, to = type == CX_RIGHT ? j->mid : j->hi;
    if (ok && type != CX_FULL) ok = cx_safe(x, quals, from, to);
    l->lo = lo;
    l->hi = hi;
    return ok;
}

static bool join_expr(struct cx *x, uint32_t i) {
    const struct jt *t = x->fx.t;
    struct cx_level *l = x->level;
    struct join j = {.lo = l->n, .merged = cx_cols_new(x)};
    uint32_t type = jt_get(t, i, "jointype");
    enum cx_join kind = jt_str_is(t, type, "JOIN_LEFT")    ? CX_LEFT
                        : jt_str_is(t, type, "JOIN_RIGHT") ? CX_RIGHT
                        : jt_str_is(t, type, "JOIN_INNER") ? CX_INNER
                                                           : CX_FULL;
    if (j.merged == NULL || !cx_from_item(x, jt_get(t, i, "larg"))) return false;
    j.mid = l->n;
    if (!cx_from_item(x, jt_get(t, i, "rarg"))) return false;
    j.hi = l->n;
    bool ok = jt_bool(t, jt_get(t, i, "isNatural")) ? natural(x, &j) : using(x, &j, jt_get(t, i, "usingClause"));
    if (!ok || !add_merged(x, &j, jt_get(t, i, "join_using_alias")) || !join_quals(x, &j, jt_get(t, i, "quals"), kind)) return false;
    for (size_t k = j.lo; k < j.hi; k++)
        if (kind == CX_FULL || (kind == CX_LEFT && k >= j.mid) || (kind == CX_RIGHT && k < j.mid)) l->items[k]->nullable = true;
    cx_step(x, (uint32_t)((j.hi - j.lo) / 64));
    return rename_join(x, &j, jt_get(t, i, "alias"));
}

bool cx_from_item(struct cx *x, uint32_t node) {
    uint32_t f;
    if (cx_deep(x)) return true;
    switch (fx_node(&x->fx, node, &f)) {
    case NT_RangeVar: return cx_range_var(x, f, false) != NULL;
    case NT_RangeSubselect: return range_subselect(x, f);
    case NT_RangeFunction: return range_function(x, f);
    case NT_RangeTableFunc: return range_table_func(x, f);
    case NT_RangeTableSample: return range_sample(x, f);
    case NT_JoinExpr: return join_expr(x, f);
    default: x->incomplete = true; return true;
    }
}

bool cx_from(struct cx *x, uint32_t list) {
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->fx.t, list); c = jt_skip(x->fx.t, c))
        if (!cx_from_item(x, c)) return false;
    return true;
}
