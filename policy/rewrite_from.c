/* Where a statement reads: FROM items, with the scopes of WITH names; and the statements that hold such. */
#include "policy/pg_catalog.h"
#include "policy/rewrite_int.h"

#include <stdio.h>
#include <string.h>

#define MAX_LOCK_NAMES 64u

/* --- names --- */

bool rw_is_cte(const struct rw *x, const char *name) {
    for (const struct rw_cte *c = x->ctes; c != NULL; c = c->outer)
        if (strcmp(c->name, name) == 0) return true;
    return false;
}

static const struct pol_cat_relation *resolve(const struct rw *x, const char *schema, const char *name) {
    const struct pol_pins *pins = &x->r->pins;
    bool listed = false;
    if (schema != NULL) return pol_catalog_relation(x->r->catalog, schema, name);
    for (size_t i = 0; i < pins->nsearch_path; i++) listed = listed || strcmp(pins->search_path[i], "pg_catalog") == 0;
    const struct pol_cat_relation *rel = listed ? NULL : pol_catalog_relation(x->r->catalog, "pg_catalog", name);
    for (size_t i = 0; rel == NULL && i < pins->nsearch_path; i++) rel = pol_catalog_relation(x->r->catalog, pins->search_path[i], name);
    return rel;
}

bool rw_relation(struct rw *x, uint32_t fields, const struct pol_view **view) {
    bool failed;
    uint32_t schema_at = jt_get(x->t, fields, "schemaname");
    const char *name = rw_text(x, jt_get(x->t, fields, "relname")), *schema = rw_text(x, schema_at);
    *view = NULL;
    if (name == NULL || (schema_at != 0 && schema == NULL)) return rw_no_memory(x);
    const struct pol_cat_relation *rel = resolve(x, schema, name);
    if (rel == NULL) return true; /* no relation, or a temporary one: the verdict has seen to it */
    const struct pol_view *v = pol_role_view(x->r, rel, &failed);
    if (failed) return rw_no_memory(x);
    if (v == NULL) return true;
    if (v->problem != NULL)
        return rw_refuse(x, v, rw_location(x, fields), NULL, "the policy does not fit %.64s.%.64s: %s", rel->schema, rel->name, v->problem);
    if (jt_get(x->t, fields, "catalogname") != 0)
        return rw_refuse(x, v, rw_location(x, fields), "Write schema.name, without the database.",
                         "a name with its database cannot be rewritten");
    *view = v;
    return true;
}

/* The token behind one part of a name: U&"x" UESCAPE '!' has three. */
static size_t behind_part(const struct rw *x, size_t i) { return rw_is(x, i, RW_UIDENT) && rw_is(x, i + 1, RW_UESCAPE) ? i + 3 : i + 1; }

bool rw_name_tokens(struct rw *x, uint32_t fields, size_t *first, size_t *end) {
    *first = rw_token_at(x, rw_location(x, fields));
    if (*first == RW_NONE)
        return rw_refuse(x, NULL, 0, "Write the statement in a plainer form.", "a relation's name is not found in the text");
    *end = behind_part(x, *first);
    if (jt_get(x->t, fields, "schemaname") != 0 && rw_is(x, *end, '.')) *end = behind_part(x, *end + 1);
    return true;
}

/* --- the subselect --- */

void rw_put_row(struct buf *b, const struct pol_view *v, const char *alias) {
    for (size_t i = 0; i < v->relation->ncolumns; i++) {
        if (i > 0) buf_str(b, ", ");
        if (v->columns[i].visibility == POL_VISIBLE) {
            buf_str(b, alias);
            buf_u8(b, '.');
        } else {
            pol_template(b, v->columns[i].sql, alias);
            buf_str(b, " AS ");
        }
        pol_put_ident(b, v->relation->columns[i].name);
    }
}

/* The same behind a fence. The server plans the user's conditions with statistics of the columns below, of rows that the filter leaves out too, and tries operators on values
 * from there: name LIKE '%x\' would raise an error when one of them has an x. It does so for columns alone, so none is one: CASE that it cannot see through, with a typmod. */
static void put_opaque_row(struct buf *b, const struct pol_view *v) {
    for (size_t i = 0; i < v->relation->ncolumns; i++) {
        const struct pol_view_column *c = &v->columns[i];
        const char *name = v->relation->columns[i].name;
        if (i > 0) buf_str(b, ", ");
        if (c->visibility == POL_HIDDEN || c->null) {
            pol_template(b, c->sql, "_gh");
        } else {
            buf_str(b, "CASE WHEN pg_catalog.num_nulls(_gh.");
            pol_put_ident(b, name);
            buf_str(b, ") OPERATOR(pg_catalog.=) 0 THEN ");
            for (int arm = 0; arm < 2; arm++) {
                if (c->visibility == POL_MASKED) {
                    pol_template(b, c->sql, "_gh");
                } else {
                    buf_str(b, "_gh.");
                    pol_put_ident(b, name);
                }
                buf_str(b, arm == 0 ? " ELSE " : " END");
            }
        }
        buf_str(b, " AS ");
        pol_put_ident(b, name);
    }
}

static void put_relation(struct buf *b, const struct pol_cat_relation *rel) {
    pol_put_ident(b, rel->schema);
    buf_u8(b, '.');
    pol_put_ident(b, rel->name);
}

const char *rw_proven_row(struct rw *x, const struct pol_view *v) {
    if (v->row->text != NULL) return v->row->text;
    struct buf b = BUF_INIT(RW_MAX_TEXT);
    struct pol_parsed p;
    struct pol_parse_error err;
    buf_str(&b, "SELECT ");
    if (rw_is_opaque(v))
        put_opaque_row(&b, v);
    else
        rw_put_row(&b, v, "_gh");
    size_t end = buf_used(&b);
    buf_str(&b, " FROM ");
    put_relation(&b, v->relation);
    buf_str(&b, " AS _gh");
    size_t len = buf_used(&b);
    buf_u8(&b, '\0');
    if (b.failed) {
        buf_free(&b);
        rw_no_memory(x);
        return NULL;
    }
    bool right = pol_parse_pg(&p, (const char *)buf_at(&b), len, NULL, &err) && rw_row_is_right(x, v, &p.tree);
    if (err.rc == POL_NO_MEMORY) rw_no_memory(x); /* the first refusal counts */
    pol_parse_clear(&p);
    if (right && (v->row->text = pol_strndup(x->r->arena, (const char *)buf_at(&b) + 7, end - 7)) == NULL) rw_no_memory(x);
    buf_free(&b);
    if (!right)
        rw_refuse(x, v, 0, "Ask whoever keeps the policy to write the rule in a plainer form.",
                  "%.64s.%.64s cannot be used: what the policy says of its columns cannot be put into a statement", v->relation->schema,
                  v->relation->name);
    return v->row->text;
}

/* Conditions of the user's that raise nothing and tell nothing go behind the fence too, for the index. */
static bool put_conjuncts(struct rw *x, struct buf *b, const struct pol_view *v, uint32_t location, bool *lateral) {
    if (!rw_work(x, x->columns->nconjuncts)) return false;
    for (size_t i = 0; i < x->columns->nconjuncts; i++) {
        const struct pol_conjunct *c = &x->columns->conjuncts[i];
        if (c->range_var != location || c->relation != v->relation) continue;
        if (v->columns[c->column - v->relation->columns].visibility != POL_VISIBLE) continue;
        *lateral = *lateral || c->lateral;
        buf_str(b, " AND (_gh.");
        pol_put_ident(b, c->column->name);
        buf_str(b, c->rest);
        buf_u8(b, ')');
    }
    return true;
}

/* What stands behind the columns of the subselect: FROM [ONLY] s.t AS _gh [sample] [WHERE (filter) AND .. OFFSET 0]). */
static bool put_tail(struct rw *x, struct buf *b, const struct pol_view *v, uint32_t location, bool only, const char *sample) {
    bool lateral = false;
    buf_str(b, only ? " FROM ONLY " : " FROM ");
    put_relation(b, v->relation);
    buf_str(b, " AS _gh");
    buf_str(b, sample);
    if (v->filter != NULL) {
        buf_str(b, " WHERE (");
        pol_template(b, v->filter, "_gh");
        buf_u8(b, ')');
        put_conjuncts(x, b, v, location, &lateral);
        if (RW_FENCE) buf_str(b, " OFFSET 0"); /* nothing of the user's runs before the filter, and nothing is moved into it */
    }
    buf_u8(b, ')');
    return lateral;
}

/* --- FROM --- */

static bool is_locked(const struct rw *x, const char *called) {
    if (x->lock == NULL) return false;
    for (size_t i = 0; i < x->lock->n; i++)
        if (strcmp(x->lock->names[i], called) == 0) return true;
    return x->lock->all;
}

/* Two FROM items may have one name when both are tables without an alias, in two schemas. A subselect may not. */
static bool name_is_alone(struct rw *x, const struct pol_view *v, const char *name) {
    const struct jt *t = x->t;
    struct rw_named *known = rw_named(x, v);
    if (known == NULL || known->alone_known) return known != NULL;
    known->alone_known = true;
    if (!rw_work(x, t->n)) return false;
    for (uint32_t i = 1; i < t->n; i++) {
        if (t->v[i].type != JT_OBJECT || !(jt_key_is(t, i, "RangeVar") || jt_key_is(t, i, "relation"))) continue;
        uint32_t relname = jt_get(t, i, "relname");
        if (relname == 0 || jt_get(t, i, "alias") != 0) continue;
        const char *other = rw_text(x, relname), *schema = rw_text(x, jt_get(t, i, "schemaname"));
        if (other == NULL) return false;
        if (strcmp(other, name) == 0 && schema != NULL && strcmp(schema, v->relation->schema) != 0)
            return rw_refuse(x, v, rw_location(x, i), "Give each of them an alias, as in FROM public.customers AS c.",
                             "two tables are called %.64s in this statement, one of which you do not see all of", name);
    }
    return true;
}

/* One reference in FROM: fields of the RangeVar; sample: fields of the RangeTableSample around it, or 0. mark_at: what the tree has in its place. */
static bool from_item(struct rw *x, const struct pol_view *v, uint32_t fields, uint32_t sample, uint32_t mark_at) {
    size_t first, end;
    uint32_t alias = jt_get(x->t, fields, "alias"), at = rw_location(x, fields);
    const char *called = alias != 0 ? rw_text(x, jt_get(x->t, alias, "aliasname")) : v->relation->name, *sample_text = "";
    if (called == NULL || !rw_name_tokens(x, fields, &first, &end)) return false;
    if (v->filter != NULL && is_locked(x, called))
        return rw_refuse(x, v, at, "Select without FOR UPDATE or FOR SHARE; UPDATE and DELETE lock what they touch.",
                         "rows of %.64s.%.64s cannot be locked: you do not see all of them", v->relation->schema, v->relation->name);
    if (alias == 0 && !name_is_alone(x, v, called)) return false;
    bool only = !jt_bool(x->t, jt_get(x->t, fields, "inh"));
    size_t start = first;
    if (only && start > 0 && rw_is(x, start - 1, RW_ONLY)) {
        start--;
    } else if (only && start > 1 && rw_is(x, start - 1, '(') && rw_is(x, start - 2, RW_ONLY)) {
        start -= 2;
        end++;
    }
    if (!only && rw_is(x, end, '*')) end++;
    if (end > x->ntokens) return rw_refuse(x, v, at, NULL, "this part of the statement cannot be rewritten");
    if (sample != 0) {
        size_t from = rw_token_at(x, rw_location(x, sample)), to;
        if (from == RW_NONE || from == 0) return rw_refuse(x, v, at, NULL, "this TABLESAMPLE cannot be rewritten");
        from--;
        for (to = from; to < x->ntokens && !rw_is(x, to, ')'); to++) {
        }
        if (rw_is(x, to + 1, RW_REPEATABLE))
            for (to++; to < x->ntokens && !rw_is(x, to, ')'); to++) {
            }
        if (to >= x->ntokens) return rw_refuse(x, v, at, NULL, "this TABLESAMPLE cannot be rewritten");
        struct buf b = BUF_INIT(4096);
        buf_u8(&b, ' ');
        buf_put(&b, x->sql + x->tokens[from].start, x->tokens[to].end - x->tokens[from].start);
        if ((sample_text = rw_keep(x, &b)) == NULL || !rw_replace(x, x->tokens[from].start, x->tokens[to].end, "")) return false;
    }
    const char *row = rw_proven_row(x, v);
    if (row == NULL) return false;
    bool table = start > 0 && rw_is(x, start - 1, RW_TABLE);
    struct buf tail = BUF_INIT(RW_MAX_TEXT), b = BUF_INIT(4096);
    bool lateral = put_tail(x, &tail, v, at, only, sample_text);
    if (alias == 0) {
        buf_str(&tail, " AS ");
        pol_put_ident(&tail, called);
    }
    buf_str(&b, rw_space_before(x, x->tokens[start - (table ? 1 : 0)].start));
    if (table) buf_str(&b, "SELECT * FROM ");
    buf_str(&b, lateral ? "LATERAL (SELECT " : "(SELECT ");
    const char *front = rw_keep(x, &b), *back = rw_keep(x, &tail);
    if (front == NULL || back == NULL) return false;
    if (table) start--;
    return rw_replace_proven(x, x->tokens[start].start, x->tokens[end - 1].end, rw_join(x, front, row, back),
                             rw_join(x, front, RW_PROVEN, back)) &&
           rw_mark(x, mark_at, RW_M_FROM, v, called) != NULL;
}

static bool range_var(struct rw *x, uint32_t fields) {
    const struct pol_view *v;
    rw_seen(x, fields);
    const char *name = rw_text(x, jt_get(x->t, fields, "relname"));
    if (name == NULL) return rw_no_memory(x);
    if (jt_get(x->t, fields, "schemaname") == 0 && rw_is_cte(x, name)) return true;
    if (!rw_relation(x, fields, &v)) return false;
    return v == NULL || from_item(x, v, fields, 0, fields);
}

static bool constant_list(const struct rw *x, uint32_t list) {
    uint32_t f;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        enum pg_node type = rw_node(x, c, &f);
        if (type != NT_A_Const && type != NT_ParamRef) return false;
    }
    return true;
}

static bool table_sample(struct rw *x, uint32_t fields) {
    uint32_t rel, f, repeatable = jt_get(x->t, fields, "repeatable");
    const struct pol_view *v = NULL;
    if (rw_node(x, jt_get(x->t, fields, "relation"), &rel) != NT_RangeVar) return rw_walk_fields(x, NT_RangeTableSample, fields, NULL);
    const char *name = rw_text(x, jt_get(x->t, rel, "relname"));
    if (name == NULL) return rw_no_memory(x);
    rw_seen(x, rel);
    bool cte = jt_get(x->t, rel, "schemaname") == 0 && rw_is_cte(x, name);
    if (!cte && !rw_relation(x, rel, &v)) return false;
    if (v == NULL) return rw_walk_fields(x, NT_RangeTableSample, fields, (const char *const[]){"relation", NULL});
    enum pg_node seed = rw_node(x, repeatable, &f);
    if (v->filter != NULL || !constant_list(x, jt_get(x->t, fields, "args")) ||
        (repeatable != 0 && seed != NT_A_Const && seed != NT_ParamRef))
        return rw_refuse(x, v, rw_location(x, rel), "Use ORDER BY random() LIMIT.",
                         "TABLESAMPLE of %.64s.%.64s is not possible in this form: %s", v->relation->schema, v->relation->name,
                         v->filter != NULL ? "you do not see all of its rows" : "its arguments must be constants");
    return from_item(x, v, rel, fields, fields);
}

/* --- SELECT --- */

static bool push_cte(struct rw *x, uint32_t fields) {
    struct rw_cte *c = pol_alloc(x->arena, sizeof *c);
    if (c == NULL || (c->name = rw_text(x, jt_get(x->t, fields, "ctename"))) == NULL) return rw_no_memory(x);
    c->outer = x->ctes;
    x->ctes = c;
    return true;
}

bool rw_with(struct rw *x, uint32_t with) {
    if (with == 0) return true;
    uint32_t ctes = jt_get(x->t, with, "ctes"), f;
    bool recursive = jt_bool(x->t, jt_get(x->t, with, "recursive"));
    for (uint32_t c = ctes + 1; ctes != 0 && recursive && c < jt_end(x->t, ctes); c = jt_skip(x->t, c))
        if (rw_node(x, c, &f) != NT_CommonTableExpr || !push_cte(x, f))
            return rw_refuse(x, NULL, 0, NULL, "a WITH clause is not understood");
    for (uint32_t c = ctes + 1; ctes != 0 && c < jt_end(x->t, ctes); c = jt_skip(x->t, c)) {
        if (rw_node(x, c, &f) != NT_CommonTableExpr) return rw_refuse(x, NULL, 0, NULL, "a WITH clause is not understood");
        struct rw_cte *outer = x->ctes;
        bool ok = rw_walk_fields(x, NT_CommonTableExpr, f, NULL);
        x->ctes = outer;
        if (!ok || (!recursive && !push_cte(x, f))) return false;
    }
    return true;
}

/* The names of FOR UPDATE OF; all when one has none, or when there are too many. */
static bool find_lock(struct rw *x, uint32_t select, struct rw_lock *lock) {
    uint32_t clause = jt_get(x->t, select, "lockingClause"), f, rel;
    lock->all = x->lock != NULL && x->lock->all;
    lock->names = pol_alloc_array(x->arena, MAX_LOCK_NAMES, sizeof *lock->names);
    if (lock->names == NULL) return rw_no_memory(x);
    for (uint32_t c = clause + 1; clause != 0 && c < jt_end(x->t, clause); c = jt_skip(x->t, c)) {
        uint32_t rels = rw_node(x, c, &f) == NT_LockingClause ? jt_get(x->t, f, "lockedRels") : 0;
        if (rels == 0) lock->all = true;
        for (uint32_t r = rels + 1; rels != 0 && r < jt_end(x->t, rels); r = jt_skip(x->t, r)) {
            const char *name = rw_node(x, r, &rel) == NT_RangeVar ? rw_text(x, jt_get(x->t, rel, "relname")) : NULL;
            if (name != NULL) rw_seen(x, rel); /* a FROM item's name */
            if (name == NULL || lock->n == MAX_LOCK_NAMES)
                lock->all = true;
            else
                lock->names[lock->n++] = name;
        }
    }
    return true;
}

static bool range_subselect(struct rw *x, uint32_t fields) {
    static const struct rw_lock everything = {.all = true};
    const struct rw_lock *outer = x->lock;
    uint32_t alias = jt_get(x->t, fields, "alias");
    const char *name = alias != 0 ? rw_text(x, jt_get(x->t, alias, "aliasname")) : "";
    if (name == NULL) return false;
    x->lock = is_locked(x, name) ? &everything : NULL;
    bool ok = rw_walk_fields(x, NT_RangeSubselect, fields, NULL);
    x->lock = outer;
    return ok;
}

/* --- GROUP BY a primary key: the other columns of its row may be named ungrouped, unless the table is a subselect --- */

#define GROUP_STEPS 8 /* steps (rw_work()) for a name that is held against a relation's */

struct group_name { /* [alias.]name of a ColumnRef */
    uint32_t item;  /* the list's, or the ColumnRef's own */
    uint32_t fields;
    const char *alias; /* NULL: none */
    const char *name;  /* "*": all of them */
};
struct group_names {
    struct group_name *v;
    size_t n, cap;
};
struct group {
    const struct pol_view *v;
    const char *alias;
    uint32_t select, from, list, at; /* at: the item in front of which columns are put */
    struct group_names items;        /* of the list, read once for all FROM items */
    struct group_names others;       /* of the SELECT's other clauses; the same */
    bool items_read, others_read;
};

/* Adds what a ColumnRef names, unless that has too many parts to be a column of a FROM item. */
static bool add_name(struct rw *x, struct group_names *to, uint32_t item, uint32_t ref) {
    uint32_t names = jt_get(x->t, ref, "fields"), f;
    struct group_name name = {.item = item, .fields = ref};
    size_t n = 0;
    for (uint32_t c = names + 1; names != 0 && c < jt_end(x->t, names); c = jt_skip(x->t, c)) {
        enum pg_node type = rw_node(x, c, &f);
        if (n++ == 4) return true;
        name.alias = name.name;
        name.name = type == NT_A_Star ? "*" : type == NT_String ? rw_text(x, jt_get(x->t, f, "sval")) : NULL;
        if (name.name == NULL) return !x->refused;
    }
    if (n == 0) return true;
    struct group_name *all = pol_grow(x->arena, to->v, to->n, &to->cap, sizeof *all);
    if (all == NULL) return rw_no_memory(x);
    to->v = all;
    all[to->n++] = name;
    return true;
}

static bool read_items(struct rw *x, struct group *g) {
    uint32_t f;
    if (g->items_read) return true;
    g->items_read = true;
    for (uint32_t c = g->list + 1; c < jt_end(x->t, g->list); c = jt_skip(x->t, c))
        if (rw_node(x, c, &f) == NT_ColumnRef && !add_name(x, &g->items, c, f)) return false;
    return true;
}

/* Subselects inside each other are read again by each SELECT around them. */
static bool read_others(struct rw *x, struct group *g) {
    uint32_t end = jt_skip(x->t, g->select);
    if (g->others_read) return true;
    g->others_read = true;
    if (!rw_work(x, (uint64_t)(end - g->select) * GROUP_STEPS)) return false;
    for (uint32_t i = g->select + 1; i < end; i++) {
        if (i == g->from) i = jt_skip(x->t, g->from);
        if (i >= end) break;
        if (x->t->v[i].type != JT_OBJECT || !jt_key_is(x->t, i, "ColumnRef")) continue;
        if (!add_name(x, &g->others, i, i)) return false;
    }
    return true;
}

/* The column of g's relation that is named; NULL for another, or for "*" with *star set. */
static const struct pol_cat_column *column_of(const struct group *g, const struct group_name *name, bool *star) {
    if (name->alias != NULL && strcmp(name->alias, g->alias) != 0) return NULL;
    if (strcmp(name->name, "*") == 0) {
        *star = true;
        return NULL;
    }
    return pol_cat_column(g->v->relation, name->name);
}

/* So much work it is to look for all of the names in g's relation, whose columns are looked through one by one. */
static bool may_look(struct rw *x, const struct group *g, const struct group_names *names) {
    return rw_work(x, (uint64_t)names->n * (GROUP_STEPS + g->v->relation->ncolumns));
}

static bool groups_by_key(struct rw *x, struct group *g) {
    const struct pol_cat_relation *rel = g->v->relation;
    size_t found = 0;
    bool star = false;
    if (rel->nkey == 0 || !read_items(x, g) || !may_look(x, g, &g->items)) return false;
    bool *grouped = pol_alloc_array(x->arena, rel->nkey, sizeof *grouped);
    if (grouped == NULL) return rw_no_memory(x);
    for (size_t i = 0; i < g->items.n; i++) {
        const struct pol_cat_column *col = column_of(g, &g->items.v[i], &star);
        if (col == NULL || g->v->columns[col - rel->columns].visibility != POL_VISIBLE) continue;
        for (size_t k = 0; k < rel->nkey; k++) {
            if (col->number != rel->key[k]) continue;
            size_t token = rw_token_at(x, rw_location(x, g->items.v[i].fields));
            if (token != RW_NONE && token > 0 && (rw_is(x, token - 1, RW_BY) || rw_is(x, token - 1, ','))) g->at = g->items.v[i].item;
            found += !grouped[k];
            grouped[k] = true;
        }
    }
    return found == rel->nkey && g->at != 0;
}

/* The columns that the SELECT's other clauses name, which are determined by the key. */
static size_t put_determined(struct rw *x, struct group *g, struct buf *b) {
    const struct pol_cat_relation *rel = g->v->relation;
    size_t n = 0;
    bool *wanted = pol_alloc_array(x->arena, rel->ncolumns, sizeof *wanted), star = false;
    if (wanted == NULL) rw_no_memory(x);
    if (wanted == NULL || !read_others(x, g) || !may_look(x, g, &g->others)) return 0;
    for (size_t i = 0; i < g->others.n; i++) {
        const struct pol_cat_column *col = column_of(g, &g->others.v[i], &star);
        if (col != NULL) wanted[col - rel->columns] = true;
    }
    for (size_t i = 0; i < rel->ncolumns; i++) {
        bool key = false;
        for (size_t k = 0; k < rel->nkey; k++) key = key || rel->columns[i].number == rel->key[k];
        if (key || !(star || wanted[i])) continue;
        pol_put_ident(b, g->alias);
        buf_u8(b, '.');
        pol_put_ident(b, rel->columns[i].name);
        buf_str(b, ", ");
        n++;
    }
    return n;
}

static bool group_item(struct rw *x, struct group *g, uint32_t fields) {
    uint32_t alias = jt_get(x->t, fields, "alias"), ref;
    const char *name = rw_text(x, jt_get(x->t, fields, "relname"));
    if (name == NULL || (jt_get(x->t, fields, "schemaname") == 0 && rw_is_cte(x, name))) return !x->refused;
    if (!rw_relation(x, fields, &g->v)) return false;
    if (g->v == NULL) return true;
    g->alias = alias != 0 ? rw_text(x, jt_get(x->t, alias, "aliasname")) : name;
    if (g->alias == NULL) return false;
    if ((alias != 0 && jt_get(x->t, alias, "colnames") != 0) || !groups_by_key(x, g)) return !x->refused;
    struct buf b = BUF_INIT(RW_MAX_TEXT);
    size_t n = put_determined(x, g, &b);
    const char *text = rw_keep(x, &b);
    if (text == NULL || n == 0) return text != NULL && !x->refused;
    rw_node(x, g->at, &ref);
    const struct rw_mark *known = rw_marked(x, g->at);
    size_t before = known != NULL ? known->n : 0;
    struct rw_mark *m = rw_mark(x, g->at, RW_M_GROUP, g->v, NULL);
    if (m == NULL) return false;
    m->n = before + n;
    return rw_around(x, rw_location(x, ref), rw_location(x, ref), text, "");
}

static bool group_from(struct rw *x, struct group *g, uint32_t node) {
    uint32_t f;
    switch (rw_node(x, node, &f)) {
    case NT_RangeVar: g->at = 0; return group_item(x, g, f);
    case NT_JoinExpr: return group_from(x, g, jt_get(x->t, f, "larg")) && group_from(x, g, jt_get(x->t, f, "rarg"));
    default: return true;
    }
}

static bool group_by(struct rw *x, uint32_t select) {
    struct group g = {.select = select, .from = jt_get(x->t, select, "fromClause"), .list = jt_get(x->t, select, "groupClause")};
    if (g.list == 0 || g.from == 0 || jt_get(x->t, select, "groupDistinct") != 0 || rw_holds(x, g.list, "GroupingSet")) return true;
    for (uint32_t c = g.from + 1; c < jt_end(x->t, g.from); c = jt_skip(x->t, c))
        if (!group_from(x, &g, c)) return false;
    return true;
}

static bool select_stmt(struct rw *x, uint32_t i) {
    struct rw_cte *ctes = x->ctes;
    const struct rw_lock *outer = x->lock;
    struct rw_lock *lock = NULL;
    bool locks = jt_get(x->t, i, "lockingClause") != 0 || (x->lock != NULL && x->lock->all);
    uint32_t into = jt_get(x->t, i, "intoClause");
    if (into != 0) rw_seen(x, jt_get(x->t, into, "rel"));
    if (locks && ((lock = pol_alloc(x->arena, sizeof *lock)) == NULL || !find_lock(x, i, lock))) return rw_no_memory(x);
    x->lock = NULL;
    bool ok = rw_with(x, jt_get(x->t, i, "withClause"));
    x->lock = lock;
    ok = ok && rw_walk(x, jt_get(x->t, i, "fromClause"));
    x->lock = lock != NULL && lock->all ? lock : NULL;
    uint32_t larg = jt_get(x->t, i, "larg"), rarg = jt_get(x->t, i, "rarg");
    ok = ok && (larg == 0 || select_stmt(x, larg)) && (rarg == 0 || select_stmt(x, rarg));
    x->lock = NULL;
    ok = ok && group_by(x, i) &&
         rw_walk_fields(x, NT_SelectStmt, i,
                        (const char *const[]){"withClause", "fromClause", "larg", "rarg", "lockingClause", "intoClause", NULL});
    x->lock = outer;
    x->ctes = ctes;
    return ok;
}

/* --- columns named with their schema --- */

static bool find_meaning(struct rw *x, const struct pol_view *v, const char *name) {
    const struct jt *t = x->t;
    if (!rw_work(x, t->n)) return false;
    for (uint32_t i = 1; i < t->n; i++) {
        if (t->v[i].type == JT_STRING && (jt_key_is(t, i, "aliasname") || jt_key_is(t, i, "ctename")) && jt_str_is(t, i, name))
            return false;
        if (t->v[i].type != JT_OBJECT) continue;
        if (jt_key_is(t, i, "RangeFunction") && jt_get(t, i, "alias") == 0) return false;
        uint32_t relname = jt_get(t, i, "relname");
        if (relname == 0 || !jt_str_is(t, relname, name) || jt_get(t, i, "alias") != 0) continue;
        const char *schema = rw_text(x, jt_get(t, i, "schemaname"));
        if (resolve(x, schema, name) != v->relation) return false;
    }
    return true;
}

/* Every FROM item that the statement calls by this name is this relation without an alias. */
static bool means_relation(struct rw *x, const struct pol_view *v, const char *name) {
    struct rw_named *known = rw_named(x, v);
    if (known == NULL) return false;
    if (!known->plain_known) known->plain = find_meaning(x, v, name);
    known->plain_known = true;
    return known->plain;
}

static bool system_column(const char *name) {
    static const char *const all[] = {"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i], name) == 0) return true;
    return false;
}

static bool without_schema(struct rw *x, uint32_t fields, const char *schema, const char *name, bool database) {
    bool failed;
    const struct pol_cat_relation *rel = pol_catalog_relation(x->r->catalog, schema, name);
    const struct pol_view *v = rel != NULL ? pol_role_view(x->r, rel, &failed) : NULL;
    uint32_t at = rw_location(x, fields);
    size_t token = rw_token_at(x, at);
    if (rel != NULL && v == NULL && failed) return rw_no_memory(x);
    if (v == NULL) return true;
    for (int i = 0; token != RW_NONE && i < (database ? 2 : 1); i++) {
        token = behind_part(x, token);
        token = rw_is(x, token, '.') ? token + 1 : RW_NONE;
    }
    if (token >= x->ntokens || !means_relation(x, v, name))
        return rw_refuse(x, v, at, "Give the table an alias and use that, as in FROM public.customers AS c.",
                         "%.64s.%.64s cannot be used in front of a column here", schema, name);
    return rw_replace(x, at, x->tokens[token].start, "") && rw_mark(x, fields, RW_M_NAME, v, NULL) != NULL;
}

static bool column_ref(struct rw *x, uint32_t fields) {
    uint32_t names = jt_get(x->t, fields, "fields"), f;
    const char *parts[5];
    size_t n = 0;
    for (uint32_t c = names + 1; names != 0 && c < jt_end(x->t, names); c = jt_skip(x->t, c)) {
        enum pg_node type = rw_node(x, c, &f);
        if (n == 4) return rw_refuse(x, NULL, rw_location(x, fields), NULL, "a column's name with more than four parts is not understood");
        parts[n] = type == NT_A_Star ? "*" : rw_text(x, jt_get(x->t, f, "sval"));
        if (parts[n++] == NULL) return rw_no_memory(x);
    }
    if (n == 0) return rw_refuse(x, NULL, rw_location(x, fields), NULL, "a column's name is not understood");
    const struct rw_target *t = x->target;
    if (t != NULL && system_column(parts[n - 1]))
        return rw_refuse(x, t->view, rw_location(x, fields), "Use the columns of its key.",
                         "the system column %.20s cannot be used in this statement", parts[n - 1]);
    /* RETURNING old.x and new.x are the raw rows since PostgreSQL 18 */
    if (t != NULL && x->in_returning && (strcmp(parts[0], "old") == 0 || strcmp(parts[0], "new") == 0) && strcmp(parts[0], t->alias) != 0)
        return rw_refuse(x, t->view, rw_location(x, fields), "Name the columns without it.",
                         "\"%.10s\" cannot be used in RETURNING of %.64s.%.64s", parts[0], t->view->relation->schema,
                         t->view->relation->name);
    return n < 3 || without_schema(x, fields, parts[n - 3], parts[n - 2], n == 4);
}

/* --- the tree --- */

static bool unknown(struct rw *x) {
    return rw_refuse(x, NULL, 0, "Write the statement in a plainer form.", "a construct of this statement cannot be rewritten");
}

bool rw_walk_fields(struct rw *x, enum pg_node type, uint32_t i, const char *const *except) {
    if (i == 0) return true;
    if (x->t->v[i].type != JT_OBJECT) return unknown(x);
    for (uint32_t c = jt_first(x->t, i), end = jt_end(x->t, i); c < end; c = jt_skip(x->t, c)) {
        const struct pg_field *f = pg_field_of(type, x->t->json + x->t->v[c].key, x->t->v[c].keylen);
        bool skip = false;
        if (f == NULL) return unknown(x);
        for (size_t k = 0; except != NULL && except[k] != NULL; k++) skip = skip || jt_key_is(x->t, c, except[k]);
        if (skip || f->kind == PG_SCALAR) continue;
        if (f->kind == PG_NODE ? !rw_walk(x, c) : !rw_walk_fields(x, (enum pg_node)f->type, c, NULL)) return false;
    }
    return true;
}

static bool walk_node(struct rw *x, enum pg_node type, uint32_t f) {
    switch (type) {
    case NT_A_Const: return true;
    case NT_SelectStmt: return select_stmt(x, f);
    case NT_InsertStmt: return rw_insert(x, f);
    case NT_UpdateStmt: return rw_update(x, f);
    case NT_DeleteStmt: return rw_delete(x, f);
    case NT_MergeStmt: return rw_merge(x, f);
    case NT_RangeVar: return range_var(x, f);
    case NT_RangeTableSample: return table_sample(x, f);
    case NT_RangeSubselect: return range_subselect(x, f);
    case NT_ColumnRef: return column_ref(x, f);
    default: return rw_walk_fields(x, type, f, NULL);
    }
}

bool rw_walk(struct rw *x, uint32_t i) {
    uint32_t f;
    if (i == 0) return true;
    const struct jt_value *v = x->t->v;
    if (v[i].type == JT_ARRAY) {
        for (uint32_t c = i + 1; c < v[i].next; c = jt_skip(x->t, c))
            if (!rw_walk(x, c)) return false;
        return true;
    }
    if (v[i].type == JT_NULL || (v[i].type == JT_OBJECT && v[i].next == i + 1)) return true;
    enum pg_node type = rw_node(x, i, &f);
    return type != NT_NONE ? walk_node(x, type, f) : unknown(x);
}

/* --- statements --- */

/* A statement that is not rewritten must not read what is restricted. Those that only name a table to lock, empty, drop or copy its shape may. */
static bool other_statement(struct rw *x, enum pg_node type, uint32_t i) {
    const struct jt *t = x->t;
    bool names_only =
        type == NT_LockStmt || type == NT_VacuumStmt || type == NT_TruncateStmt || type == NT_DropStmt || type == NT_RefreshMatViewStmt;
    /* CREATE TABLE x (LIKE t): the shape only. A foreign key would tell which values are in t. */
    bool shape = type == NT_CreateStmt && !rw_holds(x, i, "SelectStmt");
    for (uint32_t c = i; c < jt_skip(t, i); c++) {
        const struct pol_view *v;
        if (t->v[c].type != JT_OBJECT || jt_get(t, c, "relname") == 0) continue;
        rw_seen(x, c);
        if (names_only || (shape && !jt_key_is(t, c, "pktable"))) continue;
        if (!rw_relation(x, c, &v)) return false;
        if (v == NULL) continue;
        return rw_refuse(x, v, rw_location(x, c), "Use a SELECT, or CREATE TABLE AS.",
                         "%.64s.%.64s cannot be used in this kind of statement: you do not see all of it", v->relation->schema,
                         v->relation->name);
    }
    return true;
}

bool rw_statement(struct rw *x, uint32_t node) {
    uint32_t f;
    enum pg_node type = rw_node(x, node, &f);
    switch (type) {
    case NT_SelectStmt:
    case NT_InsertStmt:
    case NT_UpdateStmt:
    case NT_DeleteStmt:
    case NT_MergeStmt: return walk_node(x, type, f);
    case NT_ExplainStmt: x->out->explain = true; return rw_statement(x, jt_get(x->t, f, "query"));
    case NT_PrepareStmt:
    case NT_DeclareCursorStmt: return rw_statement(x, jt_get(x->t, f, "query"));
    case NT_CreateTableAsStmt:
        if (!jt_str_is(x->t, jt_get(x->t, f, "objtype"), "OBJECT_TABLE")) return other_statement(x, type, f);
        rw_seen(x, jt_get(x->t, jt_get(x->t, f, "into"), "rel"));
        return rw_statement(x, jt_get(x->t, f, "query"));
    case NT_CopyStmt: return rw_copy(x, f);
    case NT_NONE: return unknown(x);
    default: return other_statement(x, type, f);
    }
}
