/* Column facts: expressions, target lists, GROUP BY and ORDER BY. */
#include "policy/columns_int.h"

#include <string.h>

#define LOOK 8 /* steps (cx_step()) for a node that a column's name is looked for in */

static bool name_text(struct cx *x, uint32_t i, const char **out) {
    *out = fx_text(&x->fx, i);
    return x->fx.c.err->rc == POL_PARSED;
}

/* An expression reads this. */
static bool use_node(struct cx *x, struct cx_node *n, uint32_t bits, uint32_t location) {
    return cx_mark(x, n, bits, location) && (x->collect == NULL || cx_edge(x, x->collect, n));
}

bool cx_walk_for(struct cx *x, uint32_t i, unsigned use, struct cx_node *collect) {
    unsigned use_before = x->use;
    struct cx_node *before = x->collect;
    x->use = use;
    x->collect = collect;
    bool ok = cx_walk(x, i);
    x->use = use_before;
    x->collect = before;
    return ok;
}

bool cx_mark_cols(struct cx *x, struct cx_cols *c, uint32_t bits) {
    for (size_t i = 0; i < c->n; i++)
        if (!cx_mark(x, c->v[i].node, bits, 0)) return false;
    return c->rest == NULL || cx_mark(x, c->rest, bits, 0);
}

/* --- columns --- */

static uint32_t last_of(const struct jt *t, uint32_t list) {
    uint32_t last = 0;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(t, list); c = jt_skip(t, c)) last = c;
    return last;
}

static bool is_star(const struct cx *x, uint32_t list) {
    uint32_t fields;
    return fx_node(&x->fx, last_of(x->fx.t, list), &fields) == NT_A_Star;
}

/* What the ColumnRef's fields mean; not for those that end in a star. */
static bool column_ref(struct cx *x, uint32_t i, struct cx_ref *ref) {
    const char *p[4];
    uint32_t at = fx_location(&x->fx, i);
    size_t n = fx_parts(&x->fx, jt_get(x->fx.t, i, "fields"), p, 4);
    *ref = (struct cx_ref){.node = &x->none};
    switch (n) {
    case 1: return cx_name(x, p[0], ref, at);
    case 2: return cx_qualified(x, NULL, p[0], p[1], ref, at);
    case 3: return cx_qualified(x, p[0], p[1], p[2], ref, at);
    case 4: return cx_qualified(x, p[1], p[2], p[3], ref, at);
    default: x->incomplete = true; return x->fx.c.err->rc == POL_PARSED;
    }
}

/* The item of t.* or s.t.*; NULL without one. */
static struct cx_item *star_item(struct cx *x, uint32_t i, size_t *parts) {
    const char *p[4];
    *parts = fx_parts(&x->fx, jt_get(x->fx.t, i, "fields"), p, 4);
    struct cx_item *it = NULL;
    if (*parts >= 2 && *parts <= 4) it = cx_find_item(x, *parts > 2 ? p[*parts - 3] : NULL, p[*parts - 2]);
    if (it == NULL && *parts != 1) x->incomplete = true;
    return it;
}

/* t.* in an expression: row(t.*), f(t.*). */
static bool star_value(struct cx *x, uint32_t i) {
    size_t parts;
    struct cx_item *it = star_item(x, i, &parts);
    if (it == NULL) {
        x->incomplete = true;
        return x->fx.c.err->rc == POL_PARSED;
    }
    struct cx_node *n = cx_item_whole(x, it);
    return n != NULL && use_node(x, n, CX_UNNAMED(x->use), 0);
}

static bool walk_column(struct cx *x, uint32_t i) {
    struct cx_ref ref;
    if (is_star(x, jt_get(x->fx.t, i, "fields"))) return star_value(x, i);
    return column_ref(x, i, &ref) && use_node(x, ref.node, CX_NAMED(x->use), fx_location(&x->fx, i));
}

/* (t).a of a row of FROM: the server asks for the right to the whole row, and reads one column. *done when it is that. */
static bool row_field(struct cx *x, uint32_t i, struct cx_item **row, bool *done) {
    uint32_t fields, step, steps = jt_get(x->fx.t, i, "indirection"), arg = jt_get(x->fx.t, i, "arg");
    struct cx_ref ref;
    const char *name;
    *done = false;
    *row = NULL;
    if (fx_node(&x->fx, arg, &fields) != NT_ColumnRef || steps == 0 || is_star(x, jt_get(x->fx.t, fields, "fields"))) return true;
    if (!column_ref(x, fields, &ref)) return false;
    *row = ref.row;
    if (ref.row == NULL || fx_node(&x->fx, steps + 1, &step) != NT_String) return true;
    if (!name_text(x, jt_get(x->fx.t, step, "sval"), &name)) return false;
    for (size_t k = 0; name != NULL && k < cx_item_columns(ref.row); k++) {
        struct cx_col c = cx_item_column(ref.row, k);
        if (!cx_step(x, 1)) return true;
        if (c.name == NULL || strcmp(c.name, name) != 0) continue;
        *done = true;
        if (!cx_mark(x, ref.node, CX_UNNAMED(POL_USE_READ), 0)) return false;
        if (!use_node(x, c.node, CX_NAMED(x->use), fx_location(&x->fx, fields))) return false;
    }
    return true;
}

static bool walk_indirection(struct cx *x, uint32_t i) {
    bool done;
    struct cx_item *row;
    if (!row_field(x, i, &row, &done)) return false;
    return (done || cx_walk(x, jt_get(x->fx.t, i, "arg"))) && cx_walk(x, jt_get(x->fx.t, i, "indirection"));
}

/* --- functions, windows, subqueries --- */

static bool window(struct cx *x, uint32_t i) {
    const struct jt *t = x->fx.t;
    return cx_walk_for(x, jt_get(t, i, "partitionClause"), POL_USE_READ | POL_USE_GROUP, NULL) &&
           cx_walk_for(x, jt_get(t, i, "orderClause"), POL_USE_READ | POL_USE_ORDER, NULL) &&
           cx_walk_for(x, jt_get(t, i, "startOffset"), POL_USE_READ | POL_USE_PREDICATE, NULL) &&
           cx_walk_for(x, jt_get(t, i, "endOffset"), POL_USE_READ | POL_USE_PREDICATE, NULL);
}

static bool walk_call(struct cx *x, uint32_t i) {
    const struct jt *t = x->fx.t;
    bool within = jt_bool(t, jt_get(t, i, "agg_within_group")); /* the values themselves are what is computed from */
    unsigned order = within ? x->use | POL_USE_ORDER : POL_USE_READ | POL_USE_ORDER;
    return cx_walk(x, jt_get(t, i, "args")) && cx_walk_for(x, jt_get(t, i, "agg_order"), order, within ? x->collect : NULL) &&
           cx_walk_for(x, jt_get(t, i, "agg_filter"), x->use | POL_USE_PREDICATE, x->collect) && window(x, jt_get(t, i, "over"));
}

static bool walk_sublink(struct cx *x, uint32_t i) {
    const struct jt *t = x->fx.t;
    uint32_t select;
    bool exists = jt_str_is(t, jt_get(t, i, "subLinkType"), "EXISTS_SUBLINK");
    if (!cx_walk(x, jt_get(t, i, "testexpr"))) return false;
    if (fx_node(&x->fx, jt_get(t, i, "subselect"), &select) != NT_SelectStmt) {
        x->incomplete = true;
        return true;
    }
    struct cx_cols *c = cx_select(x, select, exists ? POL_USE_READ : x->use);
    if (c == NULL) return false;
    for (size_t k = 0; !exists && x->collect != NULL && k < c->n; k++)
        if (!cx_edge(x, x->collect, c->v[k].node)) return false;
    return exists || x->collect == NULL || c->rest == NULL || cx_edge(x, x->collect, c->rest);
}

static bool walk_node(struct cx *x, enum pg_node type, uint32_t i) {
    switch (type) {
    case NT_A_Const:
    case NT_TypeName:
    case NT_String: return true;
    case NT_ColumnRef: return walk_column(x, i);
    case NT_A_Indirection: return walk_indirection(x, i);
    case NT_FuncCall: return walk_call(x, i);
    case NT_SubLink: return walk_sublink(x, i);
    case NT_WindowDef: return window(x, i);
    case NT_MultiAssignRef: /* each of (a, b) = source carries the source */
        return jt_int(x->fx.t, jt_get(x->fx.t, i, "colno"), 1) > 1 || cx_walk(x, jt_get(x->fx.t, i, "source"));
    case NT_RangeVar:
    case NT_SelectStmt: /* not in an expression */ x->incomplete = true; return true;
    default: return cx_walk(x, i);
    }
}

bool cx_walk(struct cx *x, uint32_t i) {
    const struct jt *t = x->fx.t;
    if (i == 0 || t->v[i].type > JT_ARRAY || cx_deep(x)) return true;
    bool ok = true, object = t->v[i].type == JT_OBJECT;
    for (uint32_t c = i + 1, end = t->v[i].next; ok && c < end; c = jt_skip(t, c)) {
        if (t->v[c].type > JT_ARRAY) continue;
        const char *key = t->json + t->v[c].key;
        bool node = object && t->v[c].keylen > 0 && *key >= 'A' && *key <= 'Z'; /* fields begin with small letters */
        ok = node ? walk_node(x, pg_node_of(key, t->v[c].keylen), c) : cx_walk(x, c);
    }
    return ok;
}

/* --- target lists --- */

/* FigureColname() of PostgreSQL's parse_target.c in what it does ("SELECT Output Column Names" in its manual): ... AS is not written. */
static bool figure_name(struct cx *x, uint32_t node, const char **out) {
    const struct jt *t = x->fx.t;
    const char *p[4], *weak = NULL;
    *out = NULL;
    while (cx_step(x, LOOK)) { /* subselects inside each other: each is looked through again from every one around it */
        uint32_t f, last;
        size_t n;
        switch (fx_node(&x->fx, node, &f)) {
        case NT_ColumnRef:
            n = fx_parts(&x->fx, jt_get(t, f, "fields"), p, 4);
            if (n > 0 && n <= 4) *out = p[n - 1];
            return x->fx.c.err->rc == POL_PARSED;
        case NT_FuncCall:
            n = fx_parts(&x->fx, jt_get(t, f, "funcname"), p, 4);
            if (n > 0 && n <= 4) *out = p[n - 1];
            return x->fx.c.err->rc == POL_PARSED;
        case NT_A_Indirection:
            last = last_of(t, jt_get(t, f, "indirection"));
            if (fx_node(&x->fx, last, &last) == NT_String) return name_text(x, jt_get(t, last, "sval"), out);
            node = jt_get(t, f, "arg");
            continue;
        case NT_TypeCast:
            if (weak == NULL) {
                n = fx_parts(&x->fx, jt_get(t, jt_get(t, f, "typeName"), "names"), p, 4);
                if (x->fx.c.err->rc != POL_PARSED) return false;
                if (n > 0 && n <= 4) weak = p[n - 1];
            }
            node = jt_get(t, f, "arg");
            continue;
        case NT_CollateClause: node = jt_get(t, f, "arg"); continue;
        case NT_CaseExpr:
            if (weak == NULL) weak = "case";
            node = jt_get(t, f, "defresult");
            continue;
        case NT_A_Expr: *out = jt_str_is(t, jt_get(t, f, "kind"), "AEXPR_NULLIF") ? "nullif" : weak; return true;
        case NT_CoalesceExpr: *out = "coalesce"; return true;
        case NT_MinMaxExpr: *out = jt_str_is(t, jt_get(t, f, "op"), "IS_LEAST") ? "least" : "greatest"; return true;
        case NT_GroupingFunc: *out = "grouping"; return true;
        case NT_A_ArrayExpr: *out = "array"; return true;
        case NT_RowExpr: *out = "row"; return true;
        case NT_SubLink:
            if (jt_str_is(t, jt_get(t, f, "subLinkType"), "EXISTS_SUBLINK")) *out = "exists";
            if (jt_str_is(t, jt_get(t, f, "subLinkType"), "ARRAY_SUBLINK")) *out = "array";
            if (*out != NULL || !jt_str_is(t, jt_get(t, f, "subLinkType"), "EXPR_SUBLINK")) return true;
            if (fx_node(&x->fx, jt_get(t, f, "subselect"), &f) != NT_SelectStmt) return true;
            while (jt_get(t, f, "larg") != 0) f = jt_get(t, f, "larg");
            last = jt_get(t, f, "targetList");
            if (last == 0 || fx_node(&x->fx, last + 1, &f) != NT_ResTarget) return true;
            if (jt_get(t, f, "name") != 0) return name_text(x, jt_get(t, f, "name"), out);
            node = jt_get(t, f, "val");
            weak = NULL;
            continue;
        default: *out = weak; return true;
        }
    }
    return true;
}

static bool expand(struct cx *x, struct cx_item *it, unsigned use, bool all, struct cx_cols *out) {
    for (size_t i = 0, n = cx_item_columns(it); i < n && !x->stop; i++) {
        if (!all && it->hidden != NULL && it->hidden[i]) continue;
        struct cx_col c = cx_item_column(it, i);
        if (!cx_mark(x, c.node, CX_UNNAMED(use), 0) || !cx_cols_add(x, out, c.name, c.node)) return false;
    }
    struct cx_node *rest = it->cols != NULL ? it->cols->rest : NULL;
    return rest == NULL || (cx_mark(x, rest, CX_UNNAMED(use), 0) && cx_cols_rest(x, out, rest));
}

static bool expand_star(struct cx *x, uint32_t i, unsigned use, struct cx_cols *out) {
    size_t parts;
    struct cx_item *it = star_item(x, i, &parts);
    if (x->fx.c.err->rc != POL_PARSED) return false;
    if (parts != 1) return it != NULL ? expand(x, it, use, true, out) : cx_cols_rest(x, out, &x->none);
    for (size_t k = 0; k < x->level->n && !x->stop; k++)
        if (x->level->items[k]->cols_visible && !expand(x, x->level->items[k], use, false, out)) return false;
    return true;
}

/* (expr).* */
static bool expand_value(struct cx *x, uint32_t i, unsigned use, struct cx_cols *out) {
    bool done;
    struct cx_item *row = NULL;
    uint32_t steps = jt_get(x->fx.t, i, "indirection");
    if (jt_skip(x->fx.t, steps + 1) >= jt_end(x->fx.t, steps) && !row_field(x, i, &row, &done)) return false;
    if (row != NULL) {
        struct cx_node *whole = cx_item_whole(x, row);
        return whole != NULL && cx_mark(x, whole, CX_UNNAMED(POL_USE_READ), 0) && expand(x, row, use, true, out);
    }
    struct cx_node *n = cx_node_new(x);
    return n != NULL && cx_walk_for(x, i, use, n) && cx_cols_rest(x, out, n);
}

static bool target(struct cx *x, uint32_t i, unsigned use, struct cx_cols *out) {
    const struct jt *t = x->fx.t;
    uint32_t val = jt_get(t, i, "val"), label = jt_get(t, i, "name"), f;
    const char *name;
    enum pg_node type = fx_node(&x->fx, val, &f);
    if (type == NT_ColumnRef && is_star(x, jt_get(t, f, "fields"))) return expand_star(x, f, use, out);
    if (type == NT_A_Indirection && is_star(x, jt_get(t, f, "indirection"))) return expand_value(x, f, use, out);
    if (!(label != 0 ? name_text(x, label, &name) : figure_name(x, val, &name))) return false;
    if (type == NT_ColumnRef) {
        struct cx_ref ref;
        return column_ref(x, f, &ref) && cx_mark(x, ref.node, CX_NAMED(use), fx_location(&x->fx, f)) && cx_cols_add(x, out, name, ref.node);
    }
    if (type == NT_A_Const) return cx_cols_add(x, out, name, &x->none);
    struct cx_node *n = cx_node_new(x);
    return n != NULL && cx_walk_for(x, val, use, n) && cx_cols_add(x, out, name, n);
}

bool cx_targets(struct cx *x, uint32_t list, unsigned use, struct cx_cols *out) {
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->fx.t, list) && !x->stop; c = jt_skip(x->fx.t, c)) {
        uint32_t fields;
        if (fx_node(&x->fx, c, &fields) != NT_ResTarget)
            x->incomplete = true;
        else if (!target(x, fields, use, out))
            return false;
    }
    return true;
}

/* --- GROUP BY, ORDER BY, DISTINCT ON --- */

/* The output columns called name. */
static bool output_name(struct cx *x, struct cx_cols *out, const char *name, unsigned use, uint32_t location, bool *found) {
    for (uint32_t at = CX_ROW, hash = pol_hash_name(name); cx_cols_find(x, out, name, hash, &at);) {
        *found = true;
        if (!cx_mark(x, out->v[at].node, CX_NAMED(use), location)) return false;
    }
    return x->fx.c.err->rc == POL_PARSED;
}

static bool ordinal(struct cx *x, struct cx_cols *out, int64_t at, unsigned use) {
    if (out->rest != NULL) return cx_mark_cols(x, out, CX_UNNAMED(use));
    return at < 1 || (uint64_t)at > out->n || cx_mark(x, out->v[at - 1].node, CX_UNNAMED(use), 0);
}

/* A single name is an output column; for GROUP BY it is a column of FROM first. Anything else is an expression over FROM. */
static bool sort_key(struct cx *x, uint32_t node, struct cx_cols *out, unsigned use, bool inputs_first) {
    uint32_t f;
    enum pg_node type = fx_node(&x->fx, node, &f);
    const char *name;
    bool found = false;
    if (type == NT_A_Const) {
        uint32_t ival = jt_get(x->fx.t, f, "ival");
        return ival == 0 || ordinal(x, out, jt_int(x->fx.t, jt_get(x->fx.t, ival, "ival"), 0), use);
    }
    if (type != NT_ColumnRef || fx_parts(&x->fx, jt_get(x->fx.t, f, "fields"), &name, 1) != 1 || is_star(x, jt_get(x->fx.t, f, "fields")))
        return x->fx.c.err->rc == POL_PARSED && cx_walk_for(x, node, use, NULL);
    uint32_t location = fx_location(&x->fx, f);
    if (inputs_first) {
        struct cx_ref ref;
        struct cx_node *rest = NULL;
        size_t n = cx_find(x, x->level, x->level->lo, x->level->hi, name, &ref, &rest);
        if (x->fx.c.err->rc != POL_PARSED) return false;
        if (n > 0) return cx_mark(x, ref.node, CX_NAMED(use), location);
        if (rest != NULL && !cx_mark(x, rest, CX_NAMED(use), location)) return false;
        found = rest != NULL;
        if (cx_is_system(name) && !cx_walk_for(x, node, use, NULL)) return false;
    }
    if (!output_name(x, out, name, use, location, &found)) return false;
    if (found) return true;
    if (out->rest != NULL) { /* it may be one of those, or else a column of FROM */
        struct cx_ref ref;
        bool before = x->incomplete;
        if (!cx_mark(x, out->rest, CX_NAMED(use), location) || !cx_name(x, name, &ref, location)) return false;
        x->incomplete = before;
        return cx_mark(x, ref.node, CX_NAMED(use), location);
    }
    return cx_walk_for(x, node, use, NULL);
}

/* (a, b), ROLLUP (a, b), GROUPING SETS ((a), (b)) */
static bool group_keys(struct cx *x, uint32_t list, struct cx_cols *out) {
    const struct jt *t = x->fx.t;
    bool ok = !cx_deep(x);
    for (uint32_t c = list + 1; ok && list != 0 && c < jt_end(t, list) && !x->stop; c = jt_skip(t, c)) {
        uint32_t f;
        switch (fx_node(&x->fx, c, &f)) {
        case NT_GroupingSet: ok = group_keys(x, jt_get(t, f, "content"), out); break;
        case NT_RowExpr:
            if (jt_str_is(t, jt_get(t, f, "row_format"), "COERCE_IMPLICIT_CAST")) {
                ok = group_keys(x, jt_get(t, f, "args"), out);
                break;
            } /* fall through */
        default: ok = sort_key(x, c, out, POL_USE_READ | POL_USE_GROUP, true);
        }
    }
    return ok || x->stop;
}

bool cx_group(struct cx *x, uint32_t list, struct cx_cols *out) { return group_keys(x, list, out); }

bool cx_order(struct cx *x, uint32_t list, struct cx_cols *out, unsigned use) {
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->fx.t, list) && !x->stop; c = jt_skip(x->fx.t, c)) {
        uint32_t f;
        enum pg_node type = fx_node(&x->fx, c, &f);
        if (type == NT_NONE) continue; /* plain DISTINCT: a list of nothing */
        if (!sort_key(x, type == NT_SortBy ? jt_get(x->fx.t, f, "node") : c, out, POL_USE_READ | use, false)) return false;
    }
    return true;
}

bool cx_order_set(struct cx *x, uint32_t list, struct cx_cols *out) {
    const unsigned use = POL_USE_READ | POL_USE_ORDER;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->fx.t, list) && !x->stop; c = jt_skip(x->fx.t, c)) {
        uint32_t f, key;
        const char *name;
        bool found = false;
        if (fx_node(&x->fx, c, &f) != NT_SortBy) continue;
        enum pg_node type = fx_node(&x->fx, jt_get(x->fx.t, f, "node"), &key);
        if (type == NT_A_Const) {
            if (!sort_key(x, jt_get(x->fx.t, f, "node"), out, use, false)) return false;
            continue;
        }
        if (type == NT_ColumnRef && fx_parts(&x->fx, jt_get(x->fx.t, key, "fields"), &name, 1) == 1 &&
            !output_name(x, out, name, use, fx_location(&x->fx, key), &found))
            return false;
        if (x->fx.c.err->rc != POL_PARSED) return false;
        if (!found && !cx_mark_cols(x, out, CX_UNNAMED(use))) return false;
        if (!found && out->rest == NULL) x->incomplete = true; /* the server takes names of output columns only */
    }
    return true;
}
