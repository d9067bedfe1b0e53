/* SELECT, INSERT, UPDATE, DELETE, MERGE: which relations, and what for. */
#include "policy/facts_pg.h"
#include "policy/pg_settings.h"

#include <string.h>

#define MAX_CTES       256 /* visible at one place */
#define MAX_LOCK_NAMES 64  /* of one FOR UPDATE OF; more of them lock everything */
#define MAX_TARGETS                                                                                                                        \
    1664 /* MaxTupleAttributeNumber: PostgreSQL refuses a query with more (free_parsestate()), and to find out what they hold takes time */

static bool is_cte(const struct fx *x, const char *name) {
    uint32_t h = pol_hash_name(name);
    for (const struct fx_cte *c = x->ctes; c != NULL; c = c->outer)
        if (c->hash == h && strcmp(c->name, name) == 0) return true;
    return false;
}

static bool push_cte(struct fx *x, uint32_t fields) {
    struct fx_cte *c = pol_alloc(x->c.arena, sizeof *c);
    if (c == NULL) return fx_no_memory(x);
    c->name = fx_text(x, jt_get(x->t, fields, "ctename"));
    if (c->name == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "a WITH query without a name is not understood");
    if (++x->nctes > MAX_CTES) return fx_fail(x, POL_TOO_LARGE, "more than %d WITH queries are visible at one place", MAX_CTES);
    c->hash = pol_hash_name(c->name);
    c->outer = x->ctes;
    x->ctes = c;
    return true;
}

struct scope { /* what a query changes for its inside and puts back */
    struct fx_cte *ctes;
    unsigned nctes, access;
    bool in_from;
    const struct fx_lock *lock;
};

static struct scope enter(struct fx *x) {
    struct scope s = {x->ctes, x->nctes, x->access, x->in_from, x->lock};
    x->access = POL_SELECT;
    x->in_from = true; /* every RangeVar below is a FROM item unless a handler says otherwise */
    x->lock = NULL;
    return s;
}

static bool leave(struct fx *x, const struct scope *s, bool ok) {
    x->ctes = s->ctes;
    x->nctes = s->nctes;
    x->access = s->access;
    x->in_from = s->in_from;
    x->lock = s->lock;
    return ok;
}

/* Without RECURSIVE a WITH query sees those before it; with it, all of them ("WITH Clause", SELECT's page). The names stay visible for the
 * statement that follows; the caller's scope ends that. */
static bool with_clause(struct fx *x, uint32_t with) {
    if (with == 0) return true;
    uint32_t ctes = jt_get(x->t, with, "ctes"), fields;
    bool recursive = jt_bool(x->t, jt_get(x->t, with, "recursive"));
    for (uint32_t c = ctes + 1; ctes != 0 && recursive && c < jt_end(x->t, ctes); c = jt_skip(x->t, c)) {
        if (fx_node(x, c, &fields) != NT_CommonTableExpr) return fx_fail(x, POL_NOT_UNDERSTOOD, "a WITH clause is not understood");
        if (!push_cte(x, fields)) return false;
    }
    for (uint32_t c = ctes + 1; ctes != 0 && c < jt_end(x->t, ctes); c = jt_skip(x->t, c)) {
        if (fx_node(x, c, &fields) != NT_CommonTableExpr) return fx_fail(x, POL_NOT_UNDERSTOOD, "a WITH clause is not understood");
        struct scope s = enter(x);
        if (!leave(x, &s, fx_walk_fields(x, NT_CommonTableExpr, fields, NULL))) return false;
        if (!recursive && !push_cte(x, fields)) return false;
    }
    return fx_walk_fields(x, NT_WithClause, with, (const char *const[]){"ctes", NULL});
}

/* --- FROM --- */

static bool is_locked(struct fx *x, uint32_t i, const char *name) {
    if (x->lock == NULL) return false;
    if (x->lock->all) return true;
    uint32_t alias = jt_get(x->t, i, "alias");
    const char *called = alias != 0 ? fx_text(x, jt_get(x->t, alias, "aliasname")) : name;
    if (called == NULL) return true;
    for (size_t k = 0; k < x->lock->nnames; k++)
        if (strcmp(x->lock->names[k], called) == 0) return true;
    return false;
}

bool fx_range_var(struct fx *x, uint32_t i) {
    const char *name = fx_text(x, jt_get(x->t, i, "relname"));
    if (name == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "a relation without a name is not understood");
    if (!fx_walk_fields(x, NT_RangeVar, i, NULL)) return false;
    if (x->in_from && jt_get(x->t, i, "schemaname") == 0 && is_cte(x, name)) return true;
    x->is_named_rows = i == x->named_rows;
    bool ok = fx_target(x, i, x->access | (is_locked(x, i, name) ? POL_UPDATE : 0u));
    x->is_named_rows = false;
    return ok;
}

bool fx_range_subselect(struct fx *x, uint32_t i) {
    static const struct fx_lock everything = {.all = true};
    bool locked = is_locked(x, i, "");
    struct scope s = enter(x);
    /* FOR UPDATE reaches into a subselect: its own SELECT takes the lock over from here */
    x->lock = locked ? &everything : NULL;
    bool ok = fx_walk_fields(x, NT_RangeSubselect, i, NULL);
    return leave(x, &s, ok);
}

/* --- SELECT --- */

/* The names of one FOR UPDATE OF, behind the *n that names holds. False when there are too many, or none: then it locks everything. */
static bool lock_names(struct fx *x, uint32_t clause, const char **names, size_t *n) {
    uint32_t rels = jt_get(x->t, clause, "lockedRels"), fields;
    for (uint32_t c = rels + 1; rels != 0 && c < jt_end(x->t, rels); c = jt_skip(x->t, c)) {
        if (*n == MAX_LOCK_NAMES || fx_node(x, c, &fields) != NT_RangeVar) return false;
        if ((names[*n] = fx_text(x, jt_get(x->t, fields, "relname"))) == NULL) return false;
        ++*n;
    }
    return rels != 0;
}

/* At most MAX_LOCK_NAMES. */
static size_t count_lock_names(const struct fx *x, uint32_t clause) {
    size_t n = 0;
    uint32_t fields;
    for (uint32_t c = clause + 1; clause != 0 && c < jt_end(x->t, clause); c = jt_skip(x->t, c)) {
        if (fx_node(x, c, &fields) != NT_LockingClause) continue;
        uint32_t rels = jt_get(x->t, fields, "lockedRels");
        for (uint32_t r = rels + 1; rels != 0 && r < jt_end(x->t, rels) && n < MAX_LOCK_NAMES; r = jt_skip(x->t, r)) n++;
    }
    return n;
}

/* The locks of this SELECT: its own clause, or all when a FOR UPDATE further out reaches in. names has room for count_lock_names(). */
static bool find_lock(struct fx *x, uint32_t i, bool inherited, const char **names, struct fx_lock *lock) {
    uint32_t clause = jt_get(x->t, i, "lockingClause"), fields;
    *lock = (struct fx_lock){.all = inherited, .names = names};
    if (clause == 0) return inherited;
    for (uint32_t c = clause + 1; c < jt_end(x->t, clause); c = jt_skip(x->t, c))
        if (fx_node(x, c, &fields) != NT_LockingClause || !lock_names(x, fields, names, &lock->nnames)) lock->all = true;
    x->c.s->reads_only = false;
    return true;
}

static bool too_many_targets(const struct fx *x, uint32_t list) {
    unsigned items = 0;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c))
        if (++items > MAX_TARGETS) return true;
    return false;
}

bool fx_select(struct fx *x, uint32_t i) {
    if (too_many_targets(x, jt_get(x->t, i, "targetList")))
        return fx_fail(x, POL_TOO_LARGE, "a SELECT can have at most %d expressions, as PostgreSQL has it", MAX_TARGETS);
    bool inherited = x->lock != NULL && x->lock->all, before = x->c.s->changes;
    struct scope s = enter(x);
    struct fx_lock lock;
    const char **names = NULL; /* not on the stack: SELECTs nest deeply */
    size_t n = count_lock_names(x, jt_get(x->t, i, "lockingClause"));
    if (n > 0 && (names = pol_alloc_array(x->c.arena, n, sizeof *names)) == NULL) return leave(x, &s, fx_no_memory(x));
    bool locks = find_lock(x, i, inherited, names, &lock);
    bool ok = with_clause(x, jt_get(x->t, i, "withClause"));
    x->lock = locks ? &lock : NULL;
    ok = ok && fx_walk(x, jt_get(x->t, i, "fromClause"));
    x->lock = locks && lock.all ? &lock : NULL; /* a set operation's sides */
    ok = ok && fx_walk_as(x, NT_SelectStmt, jt_get(x->t, i, "larg")) && fx_walk_as(x, NT_SelectStmt, jt_get(x->t, i, "rarg"));
    x->lock = NULL;
    ok =
        ok && fx_walk_fields(x, NT_SelectStmt, i, (const char *const[]){"withClause", "fromClause", "larg", "rarg", "lockingClause", NULL});
    if (!before && x->c.s->changes) x->c.s->returns = true;
    return leave(x, &s, ok);
}

/* --- SELECT ... FROM pg_settings WHERE name = 'x' --- */

static bool list_of_one(const struct fx *x, uint32_t list, uint32_t *fields, enum pg_node type) {
    return list != 0 && list + 1 < jt_end(x->t, list) && jt_skip(x->t, list + 1) >= jt_end(x->t, list) &&
           fx_node(x, list + 1, fields) == type;
}

/* name = 'x' or name IN ('x', 'y'), of settings that anybody may show. */
static bool names_showable(struct fx *x, uint32_t where) {
    uint32_t e, c, list, end;
    if (fx_node(x, where, &e) != NT_A_Expr) return false;
    bool in = jt_str_is(x->t, jt_get(x->t, e, "kind"), "AEXPR_IN");
    if (!in && !jt_str_is(x->t, jt_get(x->t, e, "kind"), "AEXPR_OP")) return false;
    if (!list_of_one(x, jt_get(x->t, e, "name"), &c, NT_String) || !jt_str_is(x->t, jt_get(x->t, c, "sval"), "=")) return false;
    if (fx_node(x, jt_get(x->t, e, "lexpr"), &c) != NT_ColumnRef) return false;
    if (!list_of_one(x, jt_get(x->t, c, "fields"), &c, NT_String) || !jt_str_is(x->t, jt_get(x->t, c, "sval"), "name")) return false;
    list = jt_get(x->t, e, "rexpr");
    if (list == 0) return false;
    end = jt_skip(x->t, list);
    if (in) {
        if (fx_node(x, list, &c) != NT_List || (list = jt_get(x->t, c, "items")) == 0) return false;
        end = jt_end(x->t, list);
        list++;
    }
    for (; list < end; list = jt_skip(x->t, list)) {
        if (fx_node(x, list, &c) != NT_A_Const || jt_get(x->t, c, "sval") == 0) return false;
        const char *name = fx_const_text(x, list);
        if (name == NULL || (name = fx_fold(x, name)) == NULL || !pg_setting_showable(name)) return false;
    }
    return true;
}

/* The call in FROM pg_show_all_settings(), which is what the view calls; 0 when this is something else. */
static uint32_t show_all_settings(struct fx *x, uint32_t range) {
    static const char *const plain[] = {"lateral", "ordinality", "is_rowsfrom", "coldeflist"};
    const char *parts[3];
    uint32_t functions = jt_get(x->t, range, "functions"), fields, call;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (jt_get(x->t, range, plain[i]) != 0) return 0;
    if (!list_of_one(x, functions, &fields, NT_List)) return 0;
    uint32_t items = jt_get(x->t, fields, "items");
    if (items == 0 || fx_node(x, items + 1, &call) != NT_FuncCall || jt_get(x->t, call, "args") != 0) return 0;
    size_t n = fx_parts(x, jt_get(x->t, call, "funcname"), parts, 3);
    bool catalog = n == 1 || (n == 2 && strcmp(parts[0], "pg_catalog") == 0);
    return catalog && strcmp(parts[n - 1], "pg_show_all_settings") == 0 ? call : 0;
}

/* Drivers and tools ask pg_settings for one setting, which is no more than SHOW. It holds for the whole WHERE of a statement's own SELECT and nothing
 * less: beside another condition, or below a query whose conditions are moved into it, the server may try an expression on every row
 * before it looks at the name, and an error's text would show what is there (setting::integer > 0). HAVING is such a condition. */
bool fx_named_settings(struct fx *x, uint32_t select) {
    static const char *const none[] = {"withClause", "larg", "rarg", "lockingClause", "havingClause", "intoClause"};
    uint32_t from;
    x->named_rows = 0;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (jt_get(x->t, select, none[i]) != 0) return true;
    bool view = list_of_one(x, jt_get(x->t, select, "fromClause"), &from, NT_RangeVar);
    if (view && !jt_str_is(x->t, jt_get(x->t, from, "relname"), "pg_settings")) return true;
    if (!view && !list_of_one(x, jt_get(x->t, select, "fromClause"), &from, NT_RangeFunction)) return true;
    uint32_t alias = jt_get(x->t, from, "alias");
    if (alias != 0 && jt_get(x->t, alias, "colnames") != 0) return true; /* another column may be called name */
    if (!view && (from = show_all_settings(x, from)) == 0) return true;
    if (names_showable(x, jt_get(x->t, select, "whereClause"))) x->named_rows = from;
    return x->c.err->rc == POL_PARSED;
}

bool fx_created(struct fx *x, uint32_t range_var) {
    if (range_var == 0) return fx_fail(x, POL_NOT_UNDERSTOOD, "a CREATE without a name is not understood");
    bool temp = jt_str_is(x->t, jt_get(x->t, range_var, "relpersistence"), "t") ||
                jt_str_is(x->t, jt_get(x->t, range_var, "schemaname"), "pg_temp");
    x->c.s->reads_only = false;
    if (!temp) return fx_target(x, range_var, POL_CREATE);
    const char *name = fx_text(x, jt_get(x->t, range_var, "relname"));
    if (name == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "a relation without a name is not understood");
    return fx_relation(x, "pg_temp", name, POL_TEMP, fx_location(x, range_var));
}

bool fx_into(struct fx *x, uint32_t i) {
    return fx_created(x, jt_get(x->t, i, "rel")) && fx_walk_fields(x, NT_IntoClause, i, (const char *const[]){"rel", NULL});
}

/* --- the others --- */

/* SET a = 1 needs no select on the target, SET a = a + 1 does: columns counts the references to columns that were seen meanwhile. */
static bool walk_counting(struct fx *x, uint32_t i, bool *reads) {
    uint32_t before = x->columns;
    bool ok = fx_walk(x, i);
    if (x->columns != before) *reads = true;
    return ok;
}

static bool on_conflict(struct fx *x, uint32_t i, unsigned *access) {
    if (i == 0) return true;
    uint32_t infer = jt_get(x->t, i, "infer");
    bool reads = jt_get(x->t, i, "whereClause") != 0 || infer != 0; /* the server wants select on the arbiter's columns */
    if (jt_str_is(x->t, jt_get(x->t, i, "action"), "ONCONFLICT_UPDATE")) *access |= POL_UPDATE;
    if (!walk_counting(x, jt_get(x->t, i, "targetList"), &reads)) return false;
    if (reads) *access |= POL_SELECT;
    return fx_walk_fields(x, NT_OnConflictClause, i, (const char *const[]){"targetList", NULL});
}

static void changes(struct fx *x, uint32_t i) {
    x->c.s->changes = true;
    if (jt_get(x->t, i, "returningList") != 0) x->c.s->returns = true;
}

bool fx_insert(struct fx *x, uint32_t i) {
    struct scope s = enter(x);
    changes(x, i);
    unsigned access = POL_INSERT | (jt_get(x->t, i, "returningList") != 0 ? POL_SELECT : 0u);
    bool ok = with_clause(x, jt_get(x->t, i, "withClause")) && on_conflict(x, jt_get(x->t, i, "onConflictClause"), &access);
    ok = ok && fx_target(x, jt_get(x->t, i, "relation"), access) &&
         fx_walk_fields(x, NT_InsertStmt, i, (const char *const[]){"withClause", "onConflictClause", "relation", NULL});
    return leave(x, &s, ok);
}

bool fx_update(struct fx *x, uint32_t i) {
    struct scope s = enter(x);
    changes(x, i);
    bool where = jt_get(x->t, i, "whereClause") != 0;
    bool reads = where || jt_get(x->t, i, "returningList") != 0 || jt_get(x->t, i, "fromClause") != 0;
    bool ok = with_clause(x, jt_get(x->t, i, "withClause")) && walk_counting(x, jt_get(x->t, i, "targetList"), &reads);
    bool named = false; /* WHERE true bounds nothing */
    ok = ok && fx_target(x, jt_get(x->t, i, "relation"), POL_UPDATE | (reads ? POL_SELECT : 0u)) &&
         walk_counting(x, jt_get(x->t, i, "whereClause"), &named) &&
         fx_walk_fields(x, NT_UpdateStmt, i, (const char *const[]){"withClause", "targetList", "relation", "whereClause", NULL});
    if (x->c.s->kind == POL_K_UPDATE) x->c.s->where = where;
    if (!named) x->c.s->unbounded = true;
    return leave(x, &s, ok);
}

bool fx_delete(struct fx *x, uint32_t i) {
    struct scope s = enter(x);
    changes(x, i);
    bool where = jt_get(x->t, i, "whereClause") != 0;
    bool reads = where || jt_get(x->t, i, "returningList") != 0 || jt_get(x->t, i, "usingClause") != 0;
    bool named = false;
    bool ok = with_clause(x, jt_get(x->t, i, "withClause")) &&
              fx_target(x, jt_get(x->t, i, "relation"), POL_DELETE | (reads ? POL_SELECT : 0u)) &&
              walk_counting(x, jt_get(x->t, i, "whereClause"), &named) &&
              fx_walk_fields(x, NT_DeleteStmt, i, (const char *const[]){"withClause", "relation", "whereClause", NULL});
    if (x->c.s->kind == POL_K_DELETE) x->c.s->where = where;
    if (!named) x->c.s->unbounded = true;
    return leave(x, &s, ok);
}

bool fx_merge(struct fx *x, uint32_t i) {
    struct scope s = enter(x);
    changes(x, i);
    unsigned access = POL_SELECT;
    uint32_t whens = jt_get(x->t, i, "mergeWhenClauses"), fields;
    for (uint32_t c = whens + 1; whens != 0 && c < jt_end(x->t, whens); c = jt_skip(x->t, c)) {
        if (fx_node(x, c, &fields) != NT_MergeWhenClause)
            return leave(x, &s, fx_fail(x, POL_NOT_UNDERSTOOD, "a MERGE action is not understood"));
        uint32_t command = jt_get(x->t, fields, "commandType");
        if (jt_str_is(x->t, command, "CMD_INSERT"))
            access |= POL_INSERT;
        else if (jt_str_is(x->t, command, "CMD_UPDATE"))
            access |= POL_UPDATE;
        else if (jt_str_is(x->t, command, "CMD_DELETE"))
            access |= POL_DELETE;
        else if (!jt_str_is(x->t, command, "CMD_NOTHING"))
            return leave(x, &s, fx_fail(x, POL_NOT_UNDERSTOOD, "a MERGE action is not understood"));
    }
    if (access & (POL_UPDATE | POL_DELETE)) x->c.s->unbounded = true;
    bool ok = with_clause(x, jt_get(x->t, i, "withClause")) && fx_target(x, jt_get(x->t, i, "relation"), access) &&
              fx_walk_fields(x, NT_MergeStmt, i, (const char *const[]){"withClause", "relation", NULL});
    return leave(x, &s, ok);
}
