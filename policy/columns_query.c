/* Column facts: statements. */
#include "policy/columns_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a query changes for its inside and puts back. */
struct saved {
    struct cx_level *level;
    struct cx_cte *ctes;
    struct cx_node *collect;
    unsigned use;
};

/* The names of a query to come, which is inside of x->level; NULL without memory, after which leave() is not called. */
static struct cx_level *enter(struct cx *x, struct saved *s) {
    struct cx_level *level = pol_alloc(x->fx.c.arena, sizeof *level);
    if (level == NULL) {
        fx_no_memory(&x->fx);
        return NULL;
    }
    *s = (struct saved){x->level, x->ctes, x->collect, x->use};
    *level = (struct cx_level){.outer = x->level, .hi = SIZE_MAX};
    x->collect = NULL;
    return level;
}

static struct cx_cols *leave(struct cx *x, const struct saved *s, bool ok, struct cx_cols *out) {
    x->level = s->level;
    x->ctes = s->ctes;
    x->collect = s->collect;
    x->use = s->use;
    return ok ? out : NULL;
}

/* --- SELECT --- */

/* What the recursive side of WITH RECURSIVE sees of itself: the columns of the other side, and later its own. */
static bool publish(struct cx *x, struct cx_cte *cte, struct cx_cols *left) {
    struct cx_cols *named = cx_cols_renamed(x, left, jt_get(x->fx.t, cte->fields, "aliascolnames")), *own = cx_cols_new(x);
    if (named == NULL || own == NULL) return false;
    for (size_t i = 0; i < named->n && !x->stop; i++) {
        struct cx_node *n = cx_node_new(x);
        if (n == NULL || !cx_edge(x, n, named->v[i].node) || !cx_cols_add(x, own, named->v[i].name, n)) return false;
    }
    if (named->rest != NULL && !cx_cols_rest(x, own, named->rest)) return false;
    cte->cols = own;
    return true;
}

/* cte->cols gets what the recursive side adds. */
static bool feed_back(struct cx *x, struct cx_cols *own, struct cx_cols *right) {
    if (own->rest != NULL || right->rest != NULL) {
        struct cx_node *all = cx_cols_whole(x, right);
        for (size_t i = 0; all != NULL && i < own->n; i++)
            if (!cx_edge(x, own->v[i].node, all)) return false;
        return all != NULL && (own->rest == NULL || cx_cols_rest(x, own, all));
    }
    for (size_t i = 0; i < own->n && i < right->n; i++)
        if (!cx_edge(x, own->v[i].node, right->v[i].node)) return false;
    return true;
}

static bool combine(struct cx *x, struct cx_cols *left, struct cx_cols *right, struct cx_cols *out) {
    bool exact = left->rest == NULL && right->rest == NULL;
    for (size_t i = 0; i < left->n && !x->stop; i++) {
        struct cx_node *n = cx_node_new(x), *all = exact ? NULL : cx_cols_whole(x, right);
        if (n == NULL || !cx_edge(x, n, left->v[i].node) || !cx_cols_add(x, out, left->v[i].name, n)) return false;
        if (!exact && (all == NULL || !cx_edge(x, n, all))) return false;
        if (exact && i < right->n && !cx_edge(x, n, right->v[i].node)) return false;
    }
    if (exact) return true;
    struct cx_node *all = cx_cols_whole(x, right), *lall = cx_cols_whole(x, left);
    return all != NULL && lall != NULL && cx_cols_rest(x, out, all) && cx_cols_rest(x, out, lall);
}

static bool set_operation(struct cx *x, uint32_t i, unsigned use, struct cx_cte *cte, struct cx_cols *out) {
    const struct jt *t = x->fx.t;
    struct cx_cols *left = cx_select(x, jt_get(t, i, "larg"), use), *right;
    if (left == NULL || (cte != NULL && !publish(x, cte, left))) return false;
    if ((right = cx_select(x, jt_get(t, i, "rarg"), use)) == NULL || !combine(x, left, right, out)) return false;
    if (cte != NULL && !x->stop && !feed_back(x, cte->cols, right)) return false;
    if (!jt_bool(t, jt_get(t, i, "all")) && !cx_mark_cols(x, out, CX_UNNAMED(POL_USE_READ | POL_USE_GROUP))) return false;
    return cx_order_set(x, jt_get(t, i, "sortClause"), out);
}

static bool values(struct cx *x, uint32_t lists, unsigned use, struct cx_cols *out) {
    const struct jt *t = x->fx.t;
    for (uint32_t row = lists + 1; row < jt_end(t, lists) && !x->stop; row = jt_skip(t, row)) {
        uint32_t f, items;
        if (fx_node(&x->fx, row, &f) != NT_List || (items = jt_get(t, f, "items")) == 0) continue;
        size_t k = 0;
        for (uint32_t c = items + 1; c < jt_end(t, items) && !x->stop; c = jt_skip(t, c), k++) {
            if (k == out->n) {
                char name[32];
                snprintf(name, sizeof name, "column%zu", k + 1);
                const char *copy = pol_strdup(x->fx.c.arena, name);
                struct cx_node *n = cx_node_new(x);
                if (copy == NULL || n == NULL || !cx_cols_add(x, out, copy, n)) return fx_no_memory(&x->fx);
                if (x->stop) return true;
            }
            if (!cx_walk_for(x, c, use, out->v[k].node)) return false;
        }
    }
    return true;
}

static bool plain_select(struct cx *x, uint32_t i, unsigned use, struct cx_cols *out) {
    const struct jt *t = x->fx.t;
    uint32_t where = jt_get(t, i, "whereClause"), distinct = jt_get(t, i, "distinctClause"), f;
    const unsigned predicate = POL_USE_READ | POL_USE_PREDICATE;
    if (!cx_from(x, jt_get(t, i, "fromClause")) || !cx_targets(x, jt_get(t, i, "targetList"), use, out)) return false;
    if (!cx_walk_for(x, where, predicate, NULL) || !cx_group(x, jt_get(t, i, "groupClause"), out)) return false;
    if (!cx_walk_for(x, jt_get(t, i, "havingClause"), predicate, NULL) || !cx_walk_for(x, jt_get(t, i, "windowClause"), predicate, NULL) ||
        !cx_order(x, jt_get(t, i, "sortClause"), out, POL_USE_ORDER))
        return false;
    if (distinct != 0) {
        bool plain = fx_node(&x->fx, distinct + 1, &f) == NT_NONE;
        if (!(plain ? cx_mark_cols(x, out, CX_UNNAMED(POL_USE_READ | POL_USE_GROUP)) : cx_order(x, distinct, out, POL_USE_GROUP)))
            return false;
    }
    return cx_safe(x, where, 0, x->level->n);
}

struct cx_cols *cx_select(struct cx *x, uint32_t i, unsigned use) {
    const struct jt *t = x->fx.t;
    struct cx_cols *out = cx_cols_new(x);
    struct cx_cte *cte = x->publish;
    x->publish = NULL;
    if (i == 0) x->incomplete = true;
    if (out == NULL || i == 0 || cx_deep(x)) return out;
    struct saved s;
    struct cx_level *level = enter(x, &s);
    if (level == NULL) return NULL;
    bool ok = cx_with(x, jt_get(t, i, "withClause"));
    x->level = level;
    uint32_t op = jt_get(t, i, "op"), lists = jt_get(t, i, "valuesLists");
    if (!ok)
        ;
    else if (op != 0 && !jt_str_is(t, op, "SETOP_NONE"))
        ok = set_operation(x, i, use, cte, out);
    else if (lists != 0)
        ok = values(x, lists, use, out) && cx_order(x, jt_get(t, i, "sortClause"), out, POL_USE_ORDER);
    else
        ok = plain_select(x, i, use, out);
    ok = ok && cx_walk_for(x, jt_get(t, i, "limitCount"), POL_USE_READ | POL_USE_PREDICATE, NULL) &&
         cx_walk_for(x, jt_get(t, i, "limitOffset"), POL_USE_READ | POL_USE_PREDICATE, NULL);
    return leave(x, &s, ok, out);
}

/* --- what is written --- */

static bool write_column(struct cx *x, struct cx_item *it, uint32_t name_at, uint32_t location, unsigned use) {
    const char *name = fx_text(&x->fx, name_at);
    if (name == NULL) {
        x->incomplete = true;
        return x->fx.c.err->rc == POL_PARSED;
    }
    if (it->rel == NULL) return true;
    const struct pol_cat_column *c = pol_cat_column(it->rel->r, name);
    cx_step(x, 1 + (uint32_t)(it->rel->r->ncolumns / 16));
    if (c == NULL) {
        x->incomplete = true;
        return true;
    }
    return cx_mark(x, &it->rel->columns[c - it->rel->r->columns], CX_NAMED(use), location);
}

/* The first n columns: INSERT without a list, COPY. */
static bool all_columns(struct cx *x, struct cx_item *it, size_t n, unsigned use, bool generated) {
    for (size_t i = 0; it->rel != NULL && i < it->rel->r->ncolumns && i < n; i++)
        if ((generated || !it->rel->r->columns[i].generated) && !cx_mark(x, &it->rel->columns[i], CX_UNNAMED(use), 0)) return false;
    return true;
}

/* SET a = .., b[1] = .., (c, d) = .. */
static bool set_list(struct cx *x, uint32_t list, struct cx_item *it) {
    const struct jt *t = x->fx.t;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(t, list) && !x->stop; c = jt_skip(t, c)) {
        uint32_t f;
        if (fx_node(&x->fx, c, &f) != NT_ResTarget) {
            x->incomplete = true;
            continue;
        }
        if (!write_column(x, it, jt_get(t, f, "name"), fx_location(&x->fx, f), POL_USE_WRITTEN) ||
            !cx_walk_for(x, jt_get(t, f, "indirection"), POL_USE_READ | POL_USE_PREDICATE, NULL) ||
            !cx_walk_for(x, jt_get(t, f, "val"), POL_USE_READ | POL_USE_OUTPUT, NULL))
            return false;
    }
    return true;
}

/* The column list of INSERT; without one, as many columns as there are values. */
static bool insert_list(struct cx *x, uint32_t list, struct cx_item *it, size_t nvalues) {
    const struct jt *t = x->fx.t;
    if (list == 0) return all_columns(x, it, nvalues, POL_USE_WRITTEN, true);
    for (uint32_t c = list + 1; c < jt_end(t, list) && !x->stop; c = jt_skip(t, c)) {
        uint32_t f;
        if (fx_node(&x->fx, c, &f) != NT_ResTarget)
            x->incomplete = true;
        else if (!write_column(x, it, jt_get(t, f, "name"), fx_location(&x->fx, f), POL_USE_WRITTEN) ||
                 !cx_walk_for(x, jt_get(t, f, "indirection"), POL_USE_READ | POL_USE_PREDICATE, NULL))
            return false;
    }
    return true;
}

static bool infer(struct cx *x, uint32_t i, struct cx_item *it) {
    const struct jt *t = x->fx.t;
    const unsigned use = POL_USE_READ | POL_USE_PREDICATE;
    if (i == 0) return true;
    if (jt_get(t, i, "conname") != 0 && it->rel != NULL) it->rel->incomplete = true; /* the catalog does not have constraints */
    uint32_t list = jt_get(t, i, "indexElems");
    for (uint32_t c = list + 1; list != 0 && c < jt_end(t, list) && !x->stop; c = jt_skip(t, c)) {
        uint32_t f;
        if (fx_node(&x->fx, c, &f) != NT_IndexElem) {
            x->incomplete = true;
            continue;
        }
        uint32_t name = jt_get(t, f, "name");
        if (!(name != 0 ? write_column(x, it, name, 0, use) : cx_walk_for(x, jt_get(t, f, "expr"), use, NULL))) return false;
    }
    return cx_walk_for(x, jt_get(t, i, "whereClause"), use, NULL);
}

/* EXCLUDED is the row that was to be inserted: the statement's own values, nothing of the table. */
static bool add_excluded(struct cx *x, const struct cx_item *target) {
    struct cx_item *it = cx_item_add(x, x->level, x->level->n, "excluded");
    if (it == NULL || (it->cols = cx_cols_new(x)) == NULL) return false;
    it->aliased = true;
    for (size_t i = 0; target->rel != NULL && i < target->rel->r->ncolumns; i++) {
        struct cx_node *n = cx_node_new(x);
        if (n == NULL) return false;
        n->excluded = true;
        if (!cx_edge(x, n, &target->rel->columns[i]) || !cx_cols_add(x, it->cols, target->rel->r->columns[i].name, n)) return false;
    }
    return target->rel != NULL || cx_cols_rest(x, it->cols, &x->none);
}

static bool on_conflict(struct cx *x, uint32_t i, struct cx_item *it) {
    const struct jt *t = x->fx.t;
    if (i == 0) return true;
    if (!infer(x, jt_get(t, i, "infer"), it) || !add_excluded(x, it)) return false;
    bool ok =
        set_list(x, jt_get(t, i, "targetList"), it) && cx_walk_for(x, jt_get(t, i, "whereClause"), POL_USE_READ | POL_USE_PREDICATE, NULL);
    x->level->n--;
    return ok;
}

static bool insert(struct cx *x, uint32_t i, unsigned use, struct cx_cols *out) {
    const struct jt *t = x->fx.t;
    uint32_t source = jt_get(t, i, "selectStmt");
    struct cx_level *level = x->level;
    struct cx_cols *c = NULL;
    size_t nvalues = 0;
    x->level = level->outer; /* the values see nothing of the target */
    if (source != 0 && (c = cx_query(x, source, POL_USE_READ | POL_USE_OUTPUT)) == NULL) return false;
    x->level = level;
    if (c != NULL) nvalues = c->rest != NULL ? SIZE_MAX : c->n;
    struct cx_item *it = cx_range_var(x, jt_get(t, i, "relation"), true);
    return it != NULL && insert_list(x, jt_get(t, i, "cols"), it, nvalues) && on_conflict(x, jt_get(t, i, "onConflictClause"), it) &&
           cx_targets(x, jt_get(t, i, "returningList"), use, out);
}

static bool update(struct cx *x, uint32_t i, unsigned use, struct cx_cols *out) {
    const struct jt *t = x->fx.t;
    uint32_t where = jt_get(t, i, "whereClause");
    struct cx_item *it = cx_range_var(x, jt_get(t, i, "relation"), true);
    return it != NULL && cx_from(x, jt_get(t, i, "fromClause")) && cx_walk_for(x, where, POL_USE_READ | POL_USE_PREDICATE, NULL) &&
           set_list(x, jt_get(t, i, "targetList"), it) && cx_targets(x, jt_get(t, i, "returningList"), use, out) &&
           cx_safe(x, where, 0, x->level->n);
}

static bool delete (struct cx *x, uint32_t i, unsigned use, struct cx_cols *out) {
    const struct jt *t = x->fx.t;
    uint32_t where = jt_get(t, i, "whereClause");
    return cx_range_var(x, jt_get(t, i, "relation"), true) != NULL && cx_from(x, jt_get(t, i, "usingClause")) &&
           cx_walk_for(x, where, POL_USE_READ | POL_USE_PREDICATE, NULL) && cx_targets(x, jt_get(t, i, "returningList"), use, out) &&
           cx_safe(x, where, 0, x->level->n);
}

static bool merge_when(struct cx *x, uint32_t i, struct cx_item *it) {
    const struct jt *t = x->fx.t;
    size_t n = 0;
    uint32_t values = jt_get(t, i, "values"), targets = jt_get(t, i, "targetList");
    bool matched = jt_bool(t, jt_get(t, i, "matched"));
    it->rel_visible = it->cols_visible = matched; /* what is inserted has no row there yet */
    bool ok = cx_walk_for(x, jt_get(t, i, "condition"), POL_USE_READ | POL_USE_PREDICATE, NULL) &&
              cx_walk_for(x, values, POL_USE_READ | POL_USE_OUTPUT, NULL);
    for (uint32_t c = values + 1; values != 0 && c < jt_end(t, values); c = jt_skip(t, c)) n++;
    if (jt_str_is(t, jt_get(t, i, "commandType"), "CMD_INSERT"))
        ok = ok && insert_list(x, targets, it, n);
    else
        ok = ok && set_list(x, targets, it);
    it->rel_visible = it->cols_visible = true;
    return ok;
}

static bool merge(struct cx *x, uint32_t i) {
    const struct jt *t = x->fx.t;
    struct cx_item *it = cx_range_var(x, jt_get(t, i, "relation"), true);
    if (it == NULL || !cx_from_item(x, jt_get(t, i, "sourceRelation"))) return false;
    if (!cx_walk_for(x, jt_get(t, i, "joinCondition"), POL_USE_READ | POL_USE_JOIN, NULL)) return false;
    uint32_t list = jt_get(t, i, "mergeWhenClauses");
    for (uint32_t c = list + 1; list != 0 && c < jt_end(t, list) && !x->stop; c = jt_skip(t, c)) {
        uint32_t f;
        if (fx_node(&x->fx, c, &f) != NT_MergeWhenClause)
            x->incomplete = true;
        else if (!merge_when(x, f, it))
            return false;
    }
    return true;
}

struct cx_cols *cx_query(struct cx *x, uint32_t node, unsigned use) {
    uint32_t i;
    enum pg_node type = fx_node(&x->fx, node, &i);
    if (type == NT_SelectStmt) return cx_select(x, i, use);
    struct cx_cols *out = cx_cols_new(x);
    x->publish = NULL;
    if (type != NT_InsertStmt && type != NT_UpdateStmt && type != NT_DeleteStmt && type != NT_MergeStmt) {
        x->incomplete = true;
        return out;
    }
    if (out == NULL || cx_deep(x)) return out;
    struct saved s;
    struct cx_level *level = enter(x, &s);
    if (level == NULL) return NULL;
    bool ok = cx_with(x, jt_get(x->fx.t, i, "withClause"));
    x->level = level;
    if (type == NT_InsertStmt)
        ok = ok && insert(x, i, use, out);
    else if (type == NT_UpdateStmt)
        ok = ok && update(x, i, use, out);
    else if (type == NT_DeleteStmt)
        ok = ok && delete (x, i, use, out);
    else
        ok = ok && merge(x, i);
    return leave(x, &s, ok, out);
}

/* --- statements --- */

static bool copy(struct cx *x, uint32_t i) {
    const struct jt *t = x->fx.t;
    uint32_t query = jt_get(t, i, "query"), rel = jt_get(t, i, "relation"), list = jt_get(t, i, "attlist");
    bool from = jt_bool(t, jt_get(t, i, "is_from"));
    unsigned use = from ? POL_USE_WRITTEN : POL_USE_READ | POL_USE_OUTPUT;
    if (query != 0) return cx_query(x, query, POL_USE_READ | POL_USE_OUTPUT) != NULL;
    if (rel == 0) return true;
    struct saved s;
    struct cx_level *level = enter(x, &s);
    if (level == NULL) return false;
    x->level = level;
    struct cx_item *it = cx_range_var(x, rel, true);
    bool ok = it != NULL && (list != 0 || all_columns(x, it, SIZE_MAX, use, false));
    for (uint32_t c = list + 1; ok && list != 0 && c < jt_end(t, list) && !x->stop; c = jt_skip(t, c)) {
        uint32_t f;
        if (fx_node(&x->fx, c, &f) == NT_String)
            ok = write_column(x, it, jt_get(t, f, "sval"), 0, use);
        else
            x->incomplete = true;
    }
    ok = ok && cx_walk_for(x, jt_get(t, i, "whereClause"), POL_USE_READ | POL_USE_PREDICATE, NULL);
    return leave(x, &s, ok, NULL) == NULL && ok;
}

/* The RangeVars of the tape's values [from, to), wherever they are. */
static bool named(struct cx *x, uint32_t from, uint32_t to, bool incomplete) {
    const struct jt *t = x->fx.t;
    for (uint32_t i = from; i < to; i++) {
        if (t->v[i].type != JT_OBJECT) continue;
        uint32_t name_at = jt_get(t, i, "relname"), schema_at = jt_get(t, i, "schemaname");
        if (name_at == 0) continue;
        const char *name = fx_text(&x->fx, name_at), *schema = fx_text(&x->fx, schema_at);
        if (name == NULL || (schema_at != 0 && schema == NULL)) return false;
        const struct pol_cat_relation *r = cx_resolve(x, schema, name);
        struct cx_rel *rel = r != NULL ? cx_rel_of(x, r) : NULL;
        if (r != NULL && rel == NULL) return false;
        if (rel != NULL && incomplete) rel->incomplete = true;
    }
    return true;
}

bool cx_unseen(struct cx *x, uint32_t from, uint32_t to) { return named(x, from, to, true); }

static bool expressions(struct cx *x, uint32_t i) { return cx_walk_for(x, i, POL_USE_READ | POL_USE_OUTPUT, NULL); }

bool cx_statement(struct cx *x, uint32_t node) {
    const struct jt *t = x->fx.t;
    uint32_t i, inner;
    switch (fx_node(&x->fx, node, &i)) {
    case NT_SelectStmt:
    case NT_InsertStmt:
    case NT_UpdateStmt:
    case NT_DeleteStmt:
    case NT_MergeStmt: return cx_query(x, node, POL_USE_READ | POL_USE_OUTPUT) != NULL;
    case NT_ExplainStmt:
    case NT_PrepareStmt:
    case NT_DeclareCursorStmt:
    case NT_ViewStmt: inner = jt_get(t, i, "query"); return cx_statement(x, inner);
    case NT_CreateTableAsStmt: return cx_statement(x, jt_get(t, i, "query"));
    case NT_CopyStmt: return copy(x, i);
    case NT_ExecuteStmt: return expressions(x, jt_get(t, i, "params"));
    case NT_CallStmt: return expressions(x, i);
    case NT_LockStmt:
    case NT_TruncateStmt: return named(x, node, jt_skip(t, node), false);
    case NT_TransactionStmt:
    case NT_VariableSetStmt:
    case NT_VariableShowStmt: return true;
    default: return cx_unseen(x, node, jt_skip(t, node)); /* data definition: what it reads is not looked for */
    }
}
