/* Where a statement writes. No subselect can stand in for a target, so each expression over it is put over one:
 *
 *     UPDATE customers c SET name = upper(c.name) WHERE email LIKE 'a%' RETURNING email
 *     UPDATE "public"."customers" AS _gh0 SET name = (SELECT _ghv.v FROM (SELECT _gh0.id, ..) AS "c", LATERAL (VALUES ((upper(c.name)))) AS _ghv(v))
 *     WHERE CASE WHEN (filter of _gh0) THEN EXISTS (SELECT 1 FROM (SELECT _gh0.id, .., mask AS email) AS "c" WHERE (email LIKE 'a%')) ELSE false END
 *     RETURNING (SELECT (email) FROM (SELECT ..) AS "c")
 *
 * The inner FROM has the relation's full row shape under the name that the statement knows, so every name binds there, to what the role may see; the raw row's
 * name begins with _gh, which the text may not use. CASE keeps expressions of the user's away from rows that the filter leaves out. VALUES and WHERE refuse
 * aggregates, as SET and WHERE do: over one row DELETE .. WHERE count(*) = 1 would delete all. RETURNING keeps its column's name so. */
#include "policy/rewrite_int.h"

#include <stdio.h>
#include <string.h>

#define PROOF_STEPS 100 /* steps (rw_work()) for a byte that the proof parses: half a megabyte of them in 50 ms */

/* Tokens of a statement's clauses, each the keyword's; RW_NONE when there is none. end is behind the statement's last token. */
struct clauses {
    size_t set, from, where, returning, conflict, end;
};

static bool odd(struct rw *x, const struct rw_target *t) {
    return rw_refuse(x, t->view, t->location, "Write the statement in a plainer form.", "this statement on %.64s.%.64s cannot be rewritten",
                     t->view->relation->schema, t->view->relation->name);
}

static int nesting(const struct rw *x, size_t i) {
    int type = x->tokens[i].type;
    if (type == '(' || type == '[' || type == RW_CASE) return 1;
    return type == ')' || type == ']' || type == RW_END ? -1 : 0;
}

/* Statements in WITH inside each other are looked through again by each one around them. */
static struct clauses find_clauses(struct rw *x, size_t i) {
    struct clauses c = {RW_NONE, RW_NONE, RW_NONE, RW_NONE, RW_NONE, 0};
    size_t first = i;
    int depth = 0;
    for (; i < x->ntokens && !x->refused; i++) {
        int type = x->tokens[i].type;
        depth += nesting(x, i);
        if (depth < 0 || (depth == 0 && type == ';')) break;
        if (depth > 0) continue;
        if (type == RW_SET && c.set == RW_NONE) c.set = i;
        if ((type == RW_FROM || type == RW_USING) && c.from == RW_NONE && !rw_is(x, i - 1, RW_DISTINCT)) c.from = i;
        if (type == RW_WHERE && c.where == RW_NONE) c.where = i;
        if (type == RW_RETURNING) c.returning = i;
        if (type == RW_ON && rw_is(x, i + 1, RW_CONFLICT)) c.conflict = i;
    }
    rw_work(x, i - first);
    c.end = i;
    return c;
}

/* The first of a, b, c and end. */
static size_t first_of(size_t a, size_t b, size_t c, size_t end) {
    size_t m = a < b ? a : b;
    m = c < m ? c : m;
    return m < end ? m : end;
}

/* Where the item that begins at token i ends: at a comma that is in no parentheses, or at to. */
static size_t item_end(const struct rw *x, size_t i, size_t to) {
    int depth = 0;
    for (; i < to; i++) {
        depth += nesting(x, i);
        if (depth == 0 && x->tokens[i].type == ',') break;
    }
    return i;
}

static bool around_tokens(struct rw *x, size_t from, size_t to, const char *before, const char *after) {
    return rw_around(x, x->tokens[from].start, x->tokens[to - 1].end, before, after);
}

/* --- the target --- */

/* The statement's relation at rel gets a reserved name. *t is NULL when nothing of it is restricted. */
static bool take_target(struct rw *x, uint32_t rel, bool rename, struct rw_target **out) {
    const struct pol_view *v;
    size_t first, end;
    *out = NULL;
    rw_seen(x, rel);
    if (!rw_relation(x, rel, &v) || v == NULL) return !x->refused;
    struct rw_target *t = pol_alloc(x->arena, sizeof *t);
    if (t == NULL) return rw_no_memory(x);
    uint32_t alias = jt_get(x->t, rel, "alias");
    t->view = v;
    t->location = rw_location(x, rel);
    t->alias = alias != 0 ? rw_text(x, jt_get(x->t, alias, "aliasname")) : v->relation->name;
    if (t->alias == NULL || !rw_name_tokens(x, rel, &first, &end) || end > x->ntokens) return odd(x, t);
    size_t name_end = end;
    if (rw_is(x, end, ')') && first > 1 && rw_is(x, first - 1, '(') && rw_is(x, first - 2, RW_ONLY)) end++;
    if (rw_is(x, end, '*')) end++;
    t->after = end;
    if (alias != 0) t->after += rw_is(x, end, RW_AS) ? 2 : 1;
    if (alias != 0 && rw_is(x, t->after - 1, RW_UIDENT) && rw_is(x, t->after, RW_UESCAPE)) t->after += 2;
    *out = t;
    if (!rename) return true;
    if (t->after > x->ntokens || strcmp(t->alias, "excluded") == 0) return odd(x, t);
    snprintf(t->reserved, sizeof t->reserved, "_gh%u", x->targets++);
    struct buf b = BUF_INIT(RW_MAX_TEXT);
    pol_put_ident(&b, v->relation->schema);
    buf_u8(&b, '.');
    pol_put_ident(&b, v->relation->name);
    const char *name = rw_keep(x, &b);
    if (name == NULL || !rw_replace(x, x->tokens[first].start, x->tokens[name_end - 1].end, name)) return false;
    b = BUF_INIT(RW_MAX_TEXT);
    buf_str(&b, " AS ");
    buf_str(&b, t->reserved);
    buf_str(&b, rw_space_behind(x, x->tokens[t->after - 1].end));
    const char *as = rw_keep(x, &b);
    if (as == NULL || !rw_replace(x, x->tokens[end - 1].end, x->tokens[t->after - 1].end, as)) return false;
    b = BUF_INIT(RW_MAX_TEXT);
    buf_str(&b, "(SELECT ");
    rw_put_row(&b, v, t->reserved);
    buf_str(&b, ") AS ");
    pol_put_ident(&b, t->alias);
    t->row = rw_keep(x, &b);
    return t->row != NULL && rw_mark(x, rel, RW_M_TARGET, v, t->reserved) != NULL;
}

/* A column that is new since the catalog was read is in no masked row, and its name would bind to the raw one. */
static bool names_are_known(struct rw *x, const struct rw_target *t) {
    if (x->columns->complete) return true;
    return rw_refuse(x, t->view, t->location,
                     "Write each column with its table, and name no column that was made just now; functions in FROM need column aliases.",
                     "not every column of this statement on %.64s.%.64s is known", t->view->relation->schema, t->view->relation->name);
}

static bool check_written(struct rw *x, const struct pol_view *v, const char *name, uint32_t location) {
    if (!rw_work(x, v->relation->ncolumns)) return false;
    const struct pol_cat_column *col = pol_cat_column(v->relation, name);
    if (col == NULL) return true; /* the server says that there is none */
    const struct pol_view_column *c = &v->columns[col - v->relation->columns];
    if (c->writable) return true;
    return rw_refuse(x, v, location, NULL, "the column %.64s of %.64s.%.64s may not be written by you: %s", name, v->relation->schema,
                     v->relation->name,
                     c->filter                     ? "it decides which rows you see"
                     : c->visibility == POL_HIDDEN ? "it is hidden"
                     : c->visibility == POL_MASKED ? "it is masked"
                                                   : "the policy does not list it under write");
}

/* A list of ResTargets or Strings; without one the first n columns are written. */
static bool check_list(struct rw *x, const struct pol_view *v, uint32_t list, size_t n) {
    uint32_t f;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        enum pg_node type = rw_node(x, c, &f);
        const char *name = rw_text(x, jt_get(x->t, f, type == NT_String ? "sval" : "name"));
        if (name == NULL) return rw_no_memory(x);
        if (!check_written(x, v, name, type == NT_ResTarget ? rw_location(x, f) : 0)) return false;
    }
    for (size_t i = 0; list == 0 && i < v->relation->ncolumns && i < n; i++)
        if (!check_written(x, v, v->relation->columns[i].name, 0)) return false;
    return true;
}

/* --- expressions --- */

static const char *joined(struct rw *x, const char *a, const char *b, const char *c) {
    struct buf out = BUF_INIT(RW_MAX_TEXT);
    buf_str(&out, a);
    buf_str(&out, b);
    buf_str(&out, c);
    return rw_keep(x, &out);
}

/* Text around an expression. The proof parses all of it again, and an item of RETURNING or SET has the whole row around it. */
static bool put_around(struct rw *x, size_t from, size_t to, const char *before, const char *after) {
    return before != NULL && after != NULL && rw_work(x, (strlen(before) + strlen(after)) * PROOF_STEPS) &&
           around_tokens(x, from, to, before, after);
}

/* An item of RETURNING, or with set the value of a column. Without a column in it, it needs no row, and keeps its type: SET d = '2026-01-31', SET d = $1. */
static bool wrap(struct rw *x, const struct rw_target *t, uint32_t value, size_t from, size_t to, bool set) {
    if (!rw_holds(x, value, "ColumnRef")) return true;
    if (from >= to || to > x->ntokens) return odd(x, t);
    const char *before = set ? joined(x, "(SELECT _ghv.v FROM ", t->row, ", LATERAL (VALUES ((") : "(SELECT (";
    const char *after = set ? "))) AS _ghv(v))" : joined(x, ") FROM ", t->row, ")");
    return put_around(x, from, to, before, after) && rw_mark(x, value, set ? RW_M_VALUE : RW_M_WRAP, t->view, t->alias) != NULL;
}

/* The condition at tokens [from, to): over the masked row, fence: behind the filter, conjuncts: with the safe ones again outside for the index. */
static bool condition(struct rw *x, const struct rw_target *t, uint32_t value, size_t from, size_t to, bool fence, bool conjuncts) {
    if (from >= to || to > x->ntokens) return odd(x, t);
    struct buf b = BUF_INIT(RW_MAX_TEXT);
    size_t n = 0;
    fence = fence && t->view->filter != NULL;
    buf_str(&b, rw_space_before(x, x->tokens[from].start));
    if (fence) {
        buf_str(&b, "CASE WHEN (");
        pol_template(&b, t->view->filter, t->reserved);
        buf_str(&b, ") THEN ");
    }
    buf_str(&b, "EXISTS (SELECT 1 FROM ");
    buf_str(&b, t->row);
    buf_str(&b, " WHERE (");
    const char *before = rw_keep(x, &b);
    b = BUF_INIT(RW_MAX_TEXT);
    buf_str(&b, fence ? ")) ELSE false END" : "))");
    conjuncts = conjuncts && rw_work(x, x->columns->nconjuncts);
    for (size_t i = 0; conjuncts && i < x->columns->nconjuncts; i++) {
        const struct pol_conjunct *c = &x->columns->conjuncts[i];
        if (c->range_var != t->location || c->relation != t->view->relation) continue;
        if (t->view->columns[c->column - t->view->relation->columns].visibility != POL_VISIBLE) continue;
        buf_str(&b, " AND (");
        buf_str(&b, t->reserved);
        buf_u8(&b, '.');
        pol_put_ident(&b, c->column->name);
        buf_str(&b, c->rest);
        buf_u8(&b, ')');
        n++;
    }
    const char *after = rw_keep(x, &b);
    if (!put_around(x, from, to, before, after)) return false;
    struct rw_mark *m = rw_mark(x, value, RW_M_WHERE, t->view, t->alias);
    if (m == NULL) return false;
    m->n = n;
    m->fenced = fence;
    return true;
}

/* A statement without WHERE gets the filter, in front of the token before. */
static bool add_filter(struct rw *x, const struct rw_target *t, uint32_t fields, size_t before) {
    if (t->view->filter == NULL) return true;
    if (before == 0 || before > x->ntokens) return odd(x, t);
    struct buf b = BUF_INIT(RW_MAX_TEXT);
    buf_str(&b, " WHERE (");
    pol_template(&b, t->view->filter, t->reserved);
    buf_u8(&b, ')');
    const char *text = rw_keep(x, &b);
    uint32_t at = x->tokens[before - 1].end;
    return text != NULL && rw_replace(x, at, at, text) && rw_mark(x, fields, RW_M_FILTER, t->view, NULL) != NULL;
}

/* SET a = .., (b, c) = (..): the ResTargets of list, in tokens [from, to). */
static bool set_list(struct rw *x, const struct rw_target *t, uint32_t list, size_t from, size_t to) {
    uint32_t f, multi;
    size_t left = 0; /* targets that the item still has */
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        if (rw_node(x, c, &f) != NT_ResTarget) return odd(x, t);
        const char *name = rw_text(x, jt_get(x->t, f, "name"));
        uint32_t value = jt_get(x->t, f, "val"), steps = jt_get(x->t, f, "indirection");
        if (name == NULL || !check_written(x, t->view, name, rw_location(x, f))) return false;
        if (steps != 0 && rw_holds(x, steps, "ColumnRef")) return odd(x, t);
        if (rw_node(x, value, &multi) == NT_MultiAssignRef) {
            uint32_t source = jt_get(x->t, multi, "source");
            if (source != 0 && rw_holds(x, source, "ColumnRef"))
                return rw_refuse(x, t->view, rw_location(x, f), "Write SET a = .., b = ...",
                                 "SET (a, b) = .. with columns on its right cannot be rewritten");
            if (left == 0) left = (size_t)jt_int(x->t, jt_get(x->t, multi, "ncolumns"), 1);
            if (--left > 0) continue;
        }
        size_t end = item_end(x, from, to), eq = from;
        int depth = 0;
        for (; eq < end; eq++) {
            depth += nesting(x, eq);
            if (depth == 0 && x->tokens[eq].type == '=') break;
        }
        if (eq >= end || (multi == 0 && value == 0)) return odd(x, t);
        if (rw_node(x, value, &multi) != NT_MultiAssignRef && !wrap(x, t, value, eq + 1, end, true)) return false;
        from = end + 1;
    }
    return from == to + 1 || odd(x, t);
}

/* --- RETURNING --- */

static const char *item_name(struct rw *x, uint32_t node) {
    uint32_t f, alias;
    enum pg_node type = rw_node(x, node, &f);
    if (type != NT_RangeVar && type != NT_RangeSubselect && type != NT_RangeFunction) return NULL;
    if ((alias = jt_get(x->t, f, "alias")) != 0) return rw_text(x, jt_get(x->t, alias, "aliasname"));
    return type == NT_RangeVar ? rw_text(x, jt_get(x->t, f, "relname")) : NULL;
}

/* "*" or "c.*" becomes the row's columns, and with "*" those of the other FROM items. */
static bool returning_star(struct rw *x, const struct rw_target *t, uint32_t node, uint32_t from_list, bool all, size_t first, size_t end) {
    struct buf b = BUF_INIT(RW_MAX_TEXT);
    size_t n = t->view->relation->ncolumns;
    rw_put_row(&b, t->view, t->reserved);
    for (uint32_t c = from_list + 1; all && from_list != 0 && c < jt_end(x->t, from_list); c = jt_skip(x->t, c)) {
        const char *name = item_name(x, c);
        if (name == NULL) {
            buf_free(&b);
            return rw_refuse(x, t->view, t->location, "List the columns.",
                             "RETURNING * cannot be rewritten with joins and functions in FROM");
        }
        buf_str(&b, ", ");
        pol_put_ident(&b, name);
        buf_str(&b, ".*");
        n++;
    }
    const char *text = rw_keep(x, &b);
    struct rw_mark *m = text != NULL ? rw_mark(x, node, RW_M_STAR, t->view, NULL) : NULL;
    if (m == NULL) return false;
    m->n = n;
    return rw_replace(x, x->tokens[first].start, x->tokens[end - 1].end, text);
}

/* 0: no star; 1: "*" or the target's own; 2: of another FROM item. */
static int star_kind(struct rw *x, const struct rw_target *t, uint32_t value, bool *all) {
    uint32_t ref, f, list;
    const char *parts[4];
    size_t n = 0;
    if (rw_node(x, value, &ref) != NT_ColumnRef) return 0;
    list = jt_get(x->t, ref, "fields");
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list) && n < 4; c = jt_skip(x->t, c)) {
        enum pg_node type = rw_node(x, c, &f);
        parts[n] = type == NT_A_Star ? "*" : rw_text(x, jt_get(x->t, f, "sval"));
        if (parts[n] == NULL) return 0;
        n += 1;
        if (type == NT_A_Star) {
            *all = n == 1;
            return n == 1 || strcmp(parts[n - 2], t->alias) == 0 ? 1 : 2;
        }
    }
    return 0;
}

static bool returning(struct rw *x, const struct rw_target *t, uint32_t list, uint32_t from_list, size_t from, size_t to) {
    uint32_t f;
    for (uint32_t c = list + 1; c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        if (rw_node(x, c, &f) != NT_ResTarget) return odd(x, t);
        size_t end = item_end(x, from, to), last = end;
        uint32_t value = jt_get(x->t, f, "val");
        bool all = false;
        int star = star_kind(x, t, value, &all);
        if (star == 1 && !returning_star(x, t, c, from_list, all, from, end)) return false;
        if (jt_get(x->t, f, "name") != 0) { /* AS label, or only the label */
            if (last < from + 2) return odd(x, t);
            last -= last > from + 3 && rw_is(x, last - 2, RW_UESCAPE) ? 3 : 1;
            if (last > from && rw_is(x, last - 1, RW_AS)) last--;
        }
        if (star == 0 && !wrap(x, t, value, from, last, false)) return false;
        from = end + 1;
    }
    return from == to + 1 || odd(x, t);
}

/* --- the statements --- */

/* Walks a member that sees no target. */
static bool walk_source(struct rw *x, uint32_t i) {
    const struct rw_target *outer = x->target;
    x->target = NULL;
    bool ok = rw_walk(x, i);
    x->target = outer;
    return ok;
}

static bool walk_over(struct rw *x, const struct rw_target *t, uint32_t i, bool in_returning) {
    const struct rw_target *outer = x->target;
    bool was = x->in_returning;
    x->target = t;
    x->in_returning = in_returning;
    bool ok = rw_walk(x, i);
    x->target = outer;
    x->in_returning = was;
    return ok;
}

static bool current_of(struct rw *x, const struct rw_target *t, uint32_t where) {
    uint32_t f;
    if (rw_node(x, where, &f) != NT_CurrentOfExpr) return true;
    return rw_refuse(x, t->view, t->location, "Say in the WHERE which row is meant, by its key.",
                     "WHERE CURRENT OF is not possible on %.64s.%.64s", t->view->relation->schema, t->view->relation->name);
}

/* UPDATE and DELETE alike: source is the FROM or USING list. */
static bool change(struct rw *x, uint32_t i, const char *source, bool update) {
    struct rw_cte *ctes = x->ctes;
    struct rw_target *t;
    uint32_t where = jt_get(x->t, i, "whereClause"), sets = jt_get(x->t, i, "targetList"), list = jt_get(x->t, i, "returningList");
    if (!rw_with(x, jt_get(x->t, i, "withClause")) || !take_target(x, jt_get(x->t, i, "relation"), true, &t)) return false;
    if (t != NULL) {
        struct clauses c = find_clauses(x, t->after);
        size_t cond_end = first_of(c.returning, RW_NONE, RW_NONE, c.end);
        if (!names_are_known(x, t) || !current_of(x, t, where)) return false;
        if ((where != 0) != (c.where != RW_NONE) || (list != 0) != (c.returning != RW_NONE) || (update && c.set == RW_NONE))
            return odd(x, t);
        if (update && !set_list(x, t, sets, c.set + 1, first_of(c.from, c.where, c.returning, c.end))) return false;
        if (where != 0 ? !condition(x, t, where, c.where + 1, cond_end, true, true) : !add_filter(x, t, i, cond_end)) return false;
        if (list != 0 && !returning(x, t, list, jt_get(x->t, i, source), c.returning + 1, c.end)) return false;
    }
    bool ok = walk_source(x, jt_get(x->t, i, source)) && walk_over(x, t, sets, false) && walk_over(x, t, where, false) &&
              walk_over(x, t, list, true);
    x->ctes = ctes;
    return ok;
}

bool rw_update(struct rw *x, uint32_t i) { return change(x, i, "fromClause", true); }
bool rw_delete(struct rw *x, uint32_t i) { return change(x, i, "usingClause", false); }

static size_t length_of(const struct rw *x, uint32_t list) {
    size_t n = 0;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) n++;
    return n;
}

/* Columns that an INSERT without a list fills: as many as VALUES has, or all. */
static size_t inserted(const struct rw *x, uint32_t source) {
    uint32_t select, row;
    if (source == 0) return 0; /* DEFAULT VALUES */
    if (rw_node(x, source, &select) != NT_SelectStmt) return SIZE_MAX;
    uint32_t values = jt_get(x->t, select, "valuesLists");
    if (values == 0 || rw_node(x, values + 1, &row) != NT_List) return SIZE_MAX;
    return length_of(x, jt_get(x->t, row, "items"));
}

static bool on_conflict(struct rw *x, const struct rw_target *t, uint32_t conflict, const struct clauses *c) {
    uint32_t where = jt_get(x->t, conflict, "whereClause");
    size_t end = first_of(c->returning, RW_NONE, RW_NONE, c->end), i = c->conflict, at = RW_NONE;
    int depth = 0;
    if (i == RW_NONE) return odd(x, t);
    for (; i < end && !(depth == 0 && rw_is(x, i, RW_DO) && rw_is(x, i + 1, RW_UPDATE) && rw_is(x, i + 2, RW_SET)); i++)
        depth += nesting(x, i);
    size_t set = i + 3;
    for (i = set, depth = 0; i < end; i++) {
        depth += nesting(x, i);
        if (depth == 0 && rw_is(x, i, RW_WHERE)) at = i;
    }
    if (set >= end || (where != 0) != (at != RW_NONE)) return odd(x, t);
    if (!set_list(x, t, jt_get(x->t, conflict, "targetList"), set, at != RW_NONE ? at : end)) return false;
    return where != 0 ? condition(x, t, where, at + 1, end, true, false) : add_filter(x, t, conflict, end);
}

bool rw_insert(struct rw *x, uint32_t i) {
    struct rw_cte *ctes = x->ctes;
    struct rw_target *t;
    uint32_t conflict = jt_get(x->t, i, "onConflictClause"), list = jt_get(x->t, i, "returningList"),
             source = jt_get(x->t, i, "selectStmt");
    bool update = conflict != 0 && jt_str_is(x->t, jt_get(x->t, conflict, "action"), "ONCONFLICT_UPDATE");
    if (!rw_with(x, jt_get(x->t, i, "withClause")) || !take_target(x, jt_get(x->t, i, "relation"), update || list != 0, &t)) return false;
    if (t != NULL && !check_list(x, t->view, jt_get(x->t, i, "cols"), inserted(x, source))) return false;
    if (t != NULL && (update || list != 0)) {
        struct clauses c = find_clauses(x, t->after);
        if (!names_are_known(x, t)) return false;
        if ((list != 0) != (c.returning != RW_NONE)) return odd(x, t);
        if (update && !on_conflict(x, t, conflict, &c)) return false;
        if (list != 0 && !returning(x, t, list, 0, c.returning + 1, c.end)) return false;
    }
    bool ok = walk_source(x, source) && walk_source(x, jt_get(x->t, i, "cols")) && walk_over(x, t, list, true);
    if (conflict != 0)
        ok = ok && walk_over(x, t, jt_get(x->t, conflict, "targetList"), false) &&
             walk_over(x, t, jt_get(x->t, conflict, "whereClause"), false) &&
             rw_walk_fields(x, NT_OnConflictClause, conflict, (const char *const[]){"targetList", "whereClause", NULL});
    x->ctes = ctes;
    return ok;
}

/* --- MERGE --- */

static size_t next_when(const struct rw *x, size_t i, size_t end) {
    int depth = 0;
    for (; i < end; i++) {
        if (depth == 0 && rw_is(x, i, RW_WHEN)) break;
        depth += nesting(x, i);
    }
    return i;
}

/* WHEN [NOT] MATCHED [AND condition] THEN action: tokens [from, to). */
static bool merge_when(struct rw *x, const struct rw_target *t, uint32_t when, size_t from, size_t to) {
    uint32_t cond = jt_get(x->t, when, "condition"), command = jt_get(x->t, when, "commandType"), list = jt_get(x->t, when, "targetList");
    bool matched = jt_bool(x->t, jt_get(x->t, when, "matched"));
    size_t when_and = from + (matched ? 2 : 3), then = when_and;
    int depth = 0;
    for (; then < to && !(depth == 0 && rw_is(x, then, RW_THEN)); then++) depth += nesting(x, then);
    if (then >= to || (cond != 0) != rw_is(x, when_and, RW_AND)) return odd(x, t);
    if (cond != 0 && matched && !condition(x, t, cond, when_and + 1, then, false, false)) return false;
    if (jt_str_is(x->t, command, "CMD_INSERT")) return check_list(x, t->view, list, jt_get(x->t, when, "values") != 0 ? SIZE_MAX : 0);
    if (!jt_str_is(x->t, command, "CMD_UPDATE")) return true;
    if (!rw_is(x, then + 1, RW_UPDATE) || !rw_is(x, then + 2, RW_SET)) return odd(x, t);
    return set_list(x, t, list, then + 3, to);
}

static bool merge_clauses(struct rw *x, const struct rw_target *t, uint32_t i) {
    struct clauses c = find_clauses(x, t->after);
    uint32_t whens = jt_get(x->t, i, "mergeWhenClauses"), f;
    size_t when = next_when(x, t->after, c.end), on = RW_NONE;
    int depth = 0;
    for (size_t k = t->after; k < when; k++) {
        depth += nesting(x, k);
        if (depth == 0 && rw_is(x, k, RW_ON)) on = k; /* the last: a join in USING has its own */
    }
    if (on == RW_NONE || !names_are_known(x, t) || !condition(x, t, jt_get(x->t, i, "joinCondition"), on + 1, when, true, true))
        return odd(x, t);
    for (uint32_t w = whens + 1; whens != 0 && w < jt_end(x->t, whens); w = jt_skip(x->t, w)) {
        size_t next = next_when(x, when + 1, c.end);
        if (rw_node(x, w, &f) != NT_MergeWhenClause || !merge_when(x, t, f, when, next)) return odd(x, t);
        when = next;
    }
    return when == c.end || odd(x, t);
}

bool rw_merge(struct rw *x, uint32_t i) {
    struct rw_cte *ctes = x->ctes;
    struct rw_target *t;
    if (!rw_with(x, jt_get(x->t, i, "withClause")) || !take_target(x, jt_get(x->t, i, "relation"), true, &t)) return false;
    if (t != NULL && !merge_clauses(x, t, i)) return false;
    bool ok = walk_source(x, jt_get(x->t, i, "sourceRelation")) && walk_over(x, t, jt_get(x->t, i, "joinCondition"), false) &&
              walk_over(x, t, jt_get(x->t, i, "mergeWhenClauses"), false);
    x->ctes = ctes;
    return ok;
}

/* --- COPY --- */

static bool copy_out(struct rw *x, uint32_t i, const struct rw_target *t) {
    const struct pol_cat_relation *rel = t->view->relation;
    uint32_t list = jt_get(x->t, i, "attlist"), f;
    size_t first = rw_token_at(x, t->location), end = t->after;
    struct buf b = BUF_INIT(RW_MAX_TEXT);
    bool any = false;
    if (rel->kind != 'r')
        return rw_refuse(x, t->view, t->location, "Use COPY (SELECT ...) TO.",
                         "%.64s.%.64s is no plain table, and cannot be copied by its name", rel->schema, rel->name);
    if (first > 0 && !rw_is(x, first - 1, RW_COPY))
        return rw_refuse(x, t->view, t->location, "Use WITH (FORMAT binary).", "COPY BINARY is not supported here");
    if (list != 0)
        while (end < x->ntokens && !rw_is(x, end++, ')')) {
        }
    buf_str(&b, "(SELECT ");
    for (size_t k = 0; k < rel->ncolumns; k++) {
        if (list != 0 || rel->columns[k].generated) continue; /* those of a list in its order, below */
        if (any) buf_str(&b, ", ");
        any = true;
        buf_str(&b, "_ghc.");
        pol_put_ident(&b, rel->columns[k].name);
    }
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        const char *name = rw_node(x, c, &f) == NT_String ? rw_text(x, jt_get(x->t, f, "sval")) : NULL;
        const struct pol_cat_column *col = name != NULL && rw_work(x, rel->ncolumns) ? pol_cat_column(rel, name) : NULL;
        if (col == NULL) {
            buf_free(&b);
            return rw_refuse(x, t->view, t->location, NULL, "COPY names the column %.64s, which %.64s.%.64s does not have",
                             name != NULL ? name : "", rel->schema, rel->name);
        }
        if (any) buf_str(&b, ", ");
        any = true;
        buf_str(&b, "_ghc.");
        pol_put_ident(&b, name);
    }
    buf_str(&b, " FROM (SELECT ");
    rw_put_row(&b, t->view, "_gh");
    buf_str(&b, " FROM ONLY ");
    pol_put_ident(&b, rel->schema);
    buf_u8(&b, '.');
    pol_put_ident(&b, rel->name);
    buf_str(&b, " AS _gh");
    if (t->view->filter != NULL) {
        buf_str(&b, " WHERE ");
        pol_template(&b, t->view->filter, "_gh");
    }
    buf_str(&b, ") AS _ghc)");
    const char *text = rw_keep(x, &b);
    return text != NULL && rw_replace(x, x->tokens[first].start, x->tokens[end - 1].end, text) &&
           rw_mark(x, i, RW_M_COPY, t->view, NULL) != NULL;
}

bool rw_copy(struct rw *x, uint32_t i) {
    struct rw_target *t;
    uint32_t query = jt_get(x->t, i, "query"), relation = jt_get(x->t, i, "relation");
    if (query != 0) return rw_statement(x, query);
    if (!take_target(x, relation, false, &t)) return false;
    if (t == NULL) return true;
    if (jt_bool(x->t, jt_get(x->t, i, "is_from"))) return check_list(x, t->view, jt_get(x->t, i, "attlist"), SIZE_MAX);
    return copy_out(x, i, t);
}
