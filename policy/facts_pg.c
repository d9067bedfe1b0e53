#include "policy/facts_pg.h"

#include "policy/parsed.h"
#include "policy/pg_functions.h"
#include "policy/text.h"

#include <stdlib.h>
#include <string.h>

/* --- texts --- */

const char *fx_text(struct fx *x, uint32_t i) {
    if (i == 0) return NULL;
    const char *s = jt_string(x->t, i, x->c.arena);
    if (s == NULL) fx_no_memory(x);
    return s;
}

uint32_t fx_location(const struct fx *x, uint32_t fields) {
    int64_t at = jt_int(x->t, jt_get(x->t, fields, "location"), 0);
    return at > 0 && (uint64_t)at <= x->len ? (uint32_t)at : 0;
}

size_t fx_parts(struct fx *x, uint32_t list, const char **parts, size_t max) {
    size_t n = 0;
    if (list == 0) return 0;
    for (uint32_t c = jt_first(x->t, list); c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        uint32_t fields;
        enum pg_node type = fx_node(x, c, &fields);
        const char *s = type == NT_A_Star ? "*" : NULL;
        if (type == NT_String) {
            uint32_t v = jt_get(x->t, fields, "sval");
            s = v == 0 ? "" : fx_text(x, v);
        }
        if (s == NULL) {
            fx_fail(x, POL_NOT_UNDERSTOOD, "a name that is not made of plain words is not understood");
            return 0;
        }
        if (n < max) parts[n] = s;
        n++;
    }
    return n;
}

const char *fx_fold(struct fx *x, const char *s) {
    char *copy = pol_strdup(x->c.arena, s);
    if (copy == NULL) {
        fx_no_memory(x);
        return NULL;
    }
    for (char *p = copy; *p != '\0'; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p | 0x20);
    return copy;
}

/* --- what is found --- */

bool fx_relation(struct fx *x, const char *schema, const char *name, unsigned access, uint32_t location) {
    bool catalog =
        schema == NULL ? strncmp(name, "pg_", 3) == 0 : strcmp(schema, "pg_catalog") == 0 || strcmp(schema, "information_schema") == 0;
    return pol_collect_relation(&x->c, &(struct pol_relation){schema, name, access, location, catalog, x->is_named_rows});
}

bool fx_function(struct fx *x, const char *schema, const char *name, uint32_t location) {
    return pol_collect_function(&x->c, &(struct pol_function){schema, name, location, false});
}

bool fx_field(struct fx *x, const char *name, uint32_t location) {
    return pol_collect_function(&x->c, &(struct pol_function){NULL, name, location, true});
}

bool fx_setting(struct fx *x, const char *name, const char *value, bool local, bool show) {
    const char *folded = fx_fold(x, name);
    return folded != NULL && pol_collect_setting(&x->c, &(struct pol_setting){folded, value, local, show});
}

bool fx_target(struct fx *x, uint32_t fields, unsigned access) {
    if (fields == 0) return true;
    uint32_t schema_at = jt_get(x->t, fields, "schemaname");
    const char *name = fx_text(x, jt_get(x->t, fields, "relname")), *schema = fx_text(x, schema_at);
    if (name == NULL || (schema_at != 0 && schema == NULL))
        return fx_fail(x, POL_NOT_UNDERSTOOD, "a relation without a name is not understood");
    return fx_relation(x, schema, name, access, fx_location(x, fields));
}

bool fx_named_relation(struct fx *x, const char *const *parts, size_t n, unsigned access, uint32_t location) {
    if (n == 0 || n > 3) return fx_fail(x, POL_NOT_UNDERSTOOD, "a relation's name with %zu parts is not understood", n);
    return fx_relation(x, n > 1 ? parts[n - 2] : NULL, parts[n - 1], access, location);
}

/* --- the tree --- */

enum pg_node fx_node(const struct fx *x, uint32_t i, uint32_t *fields) {
    const struct jt_value *v = x->t->v;
    *fields = 0;
    if (i == 0 || v[i].type != JT_OBJECT || v[i].next == i + 1) return NT_NONE;
    *fields = i + 1;
    return pg_node_of(x->t->json + v[i + 1].key, v[i + 1].keylen);
}

static bool is_in(const struct fx *x, uint32_t i, const char *const *names) {
    for (; names != NULL && *names != NULL; names++)
        if (jt_key_is(x->t, i, *names)) return true;
    return false;
}

static bool unknown(struct fx *x, uint32_t i, enum pg_node in) {
    const struct jt_value *v = &x->t->v[i];
    return fx_fail(x, POL_NOT_UNDERSTOOD, "the construct %s%s%.*s is not understood", pg_node_name(in), in != NT_NONE ? "." : "",
                   (int)v->keylen, x->t->json + v->key);
}

bool fx_walk_fields(struct fx *x, enum pg_node type, uint32_t i, const char *const *except) {
    if (i == 0) return true;
    if (x->t->v[i].type != JT_OBJECT) return unknown(x, i, type);
    for (uint32_t c = jt_first(x->t, i), end = jt_end(x->t, i); c < end; c = jt_skip(x->t, c)) {
        const struct pg_field *f = pg_field_of(type, x->t->json + x->t->v[c].key, x->t->v[c].keylen);
        if (f == NULL) return unknown(x, c, type);
        if (is_in(x, c, except)) continue;
        bool ok = true;
        if (f->kind == PG_NODE)
            ok = fx_walk(x, c);
        else if (f->kind == PG_TYPED)
            ok = fx_walk_as(x, (enum pg_node)f->type, c);
        else if (x->t->v[c].type <= JT_ARRAY && x->t->v[c].next != c + 1)
            ok = unknown(x, c, type); /* a scalar that holds something */
        if (!ok) return false;
    }
    return true;
}

/* Statements are entered by fx_statement() and by the cases below only, never by the walk over everything else. */
static bool is_statement(enum pg_node type) {
    const char *name = pg_node_name(type);
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, "Stmt") == 0;
}

/* Options of sequences that name a relation: GENERATED .. AS IDENTITY (SEQUENCE NAME s.n) makes that one, OWNED BY t.c ties it to t. */
static bool option(struct fx *x, uint32_t i) {
    const char *parts[4];
    uint32_t name = jt_get(x->t, i, "defname"), list;
    bool made = jt_str_is(x->t, name, "sequence_name");
    if ((made || jt_str_is(x->t, name, "owned_by")) && fx_node(x, jt_get(x->t, i, "arg"), &list) == NT_List) {
        size_t n = fx_parts(x, jt_get(x->t, list, "items"), parts, 4);
        if (n == 0 || n > 4) return fx_fail(x, POL_NOT_UNDERSTOOD, "a sequence's option is not understood");
        if (!made) n--;                           /* the column; or NONE */
        if (!made && n > 0) x->c.s->moves = true; /* who drops the table drops the sequence */
        if (n > 0 && !fx_named_relation(x, parts, n, made ? POL_CREATE : POL_ALTER, fx_location(x, i))) return false;
    }
    return fx_walk_fields(x, NT_DefElem, i, NULL);
}

/* TABLESAMPLE bernoulli and system are PostgreSQL's; another method is a function, found like one, that runs its owner's code. */
static bool sample_method(struct fx *x, uint32_t i) {
    const char *parts[2];
    size_t n = fx_parts(x, jt_get(x->t, i, "method"), parts, 2);
    if (n == 0 || n > 2) return fx_fail(x, POL_NOT_UNDERSTOOD, "this TABLESAMPLE method's name is not understood");
    const char *schema = n == 2 ? parts[0] : NULL, *name = parts[n - 1];
    if (schema != NULL && strcmp(schema, "pg_catalog") != 0) return fx_function(x, schema, name, fx_location(x, i));
    if (strcmp(name, "bernoulli") == 0 || strcmp(name, "system") == 0) return true;
    /* found by its name and one argument of type internal: a harmless function's name says nothing about it */
    if (schema != NULL || pg_function_built_in(name))
        return fx_fail(x, POL_NOT_UNDERSTOOD, "the TABLESAMPLE method %.70s is not understood", name);
    return fx_function(x, NULL, name, fx_location(x, i));
}

/* The grammar's own types (int, varchar) come with pg_catalog; text, jsonb and the like do not. regclass and its kin look names up when they run. */
static bool type_name(struct fx *x, uint32_t i) {
    const char *parts[4];
    uint32_t names = jt_get(x->t, i, "names");
    size_t n = names == 0 ? 0 : fx_parts(x, names, parts, 4); /* none: of a column without a type */
    if (x->c.err->rc != POL_PARSED) return false;
    if (n > 0 && n <= 4 && (n == 1 || strncmp(parts[n - 1], "reg", 3) == 0 || jt_bool(x->t, jt_get(x->t, i, "pct_type"))))
        x->c.s->bare_type = parts[n - 1];
    return fx_walk_fields(x, NT_TypeName, i, NULL);
}

bool fx_walk_as(struct fx *x, enum pg_node type, uint32_t i) {
    if (i == 0) return true;
    if (x->t->v[i].type != JT_OBJECT) return unknown(x, i, type);
    switch (type) {
    case NT_SelectStmt: return fx_select(x, i);
    case NT_InsertStmt: return fx_insert(x, i);
    case NT_UpdateStmt: return fx_update(x, i);
    case NT_DeleteStmt: return fx_delete(x, i);
    case NT_MergeStmt: return fx_merge(x, i);
    case NT_RangeVar: return fx_range_var(x, i);
    case NT_RangeSubselect: return fx_range_subselect(x, i);
    case NT_IntoClause: return fx_into(x, i);
    case NT_FuncCall: return fx_func_call(x, i);
    case NT_TypeName: return type_name(x, i);
    case NT_ColumnRef: return fx_column_ref(x, i);
    case NT_A_Indirection: return fx_indirection(x, i);
    case NT_A_Const: /* the most frequent node of all: its fields hold no nodes but constants */ return true;
    case NT_A_Expr:
        return fx_operator_name(x, jt_get(x->t, i, "name"), fx_location(x, i)) &&
               fx_walk_fields(x, type, i, (const char *const[]){"name", NULL});
    case NT_SubLink:
        return fx_operator_name(x, jt_get(x->t, i, "operName"), fx_location(x, i)) &&
               fx_walk_fields(x, type, i, (const char *const[]){"operName", NULL});
    case NT_SortBy:
        return fx_operator_name(x, jt_get(x->t, i, "useOp"), fx_location(x, i)) &&
               fx_walk_fields(x, type, i, (const char *const[]){"useOp", NULL});
    case NT_RangeTableSample: {
        if (!sample_method(x, i)) return false;
        return fx_walk_fields(x, type, i, (const char *const[]){"method", NULL});
    }
    case NT_CurrentOfExpr:
        x->c.s->uses_portal = fx_text(x, jt_get(x->t, i, "cursor_name"));
        return x->c.err->rc == POL_PARSED && fx_walk_fields(x, type, i, NULL);
    case NT_DefElem: return option(x, i);
    case NT_Constraint: /* FOREIGN KEY puts triggers and locks on the table that it refers to */
        return fx_target(x, jt_get(x->t, i, "pktable"), POL_ALTER) && fx_walk_fields(x, type, i, (const char *const[]){"pktable", NULL});
    case NT_TableLikeClause:
        return fx_target(x, jt_get(x->t, i, "relation"), POL_SELECT) && fx_walk_fields(x, type, i, (const char *const[]){"relation", NULL});
    case NT_ReplicaIdentityStmt: /* of ALTER TABLE: the name of an index */ return fx_walk_fields(x, type, i, NULL);
    case NT_VariableSetStmt: /* of ALTER FUNCTION: holds while the function runs */
        if (x->c.s->opaque) return fx_walk_fields(x, type, i, NULL);
        return fx_fail(x, POL_NOT_UNDERSTOOD, "SET is not understood at this place");
    default:
        if (is_statement(type))
            return fx_fail(x, POL_NOT_UNDERSTOOD, "the construct %s is not understood at this place", pg_node_name(type));
        return fx_walk_fields(x, type, i, NULL);
    }
}

bool fx_walk(struct fx *x, uint32_t i) {
    if (i == 0) return true;
    const struct jt_value *v = x->t->v;
    if (v[i].type == JT_ARRAY) {
        for (uint32_t c = i + 1; c < v[i].next; c = jt_skip(x->t, c))
            if (!fx_walk(x, c)) return false;
        return true;
    }
    if (v[i].type == JT_NULL || (v[i].type == JT_OBJECT && v[i].next == i + 1)) return true; /* a list's missing item */
    uint32_t fields;
    enum pg_node type = fx_node(x, i, &fields);
    if (type == NT_NONE || jt_skip(x->t, fields) != jt_end(x->t, i)) return unknown(x, fields != 0 ? fields : i, NT_NONE);
    return fx_walk_as(x, type, fields);
}

/* --- the text --- */

static bool one_statement(struct fx *x, uint32_t raw, struct pol_stmt *s) {
    pol_collect_begin(&x->c, s);
    x->ctes = NULL;
    x->nctes = 0;
    x->access = POL_SELECT;
    x->in_from = false;
    x->lock = NULL;
    x->columns = 0;
    s->kind = POL_K_OTHER;
    s->tag = "";
    s->reads_only = true;
    int64_t at = jt_int(x->t, jt_get(x->t, raw, "stmt_location"), 0), n = jt_int(x->t, jt_get(x->t, raw, "stmt_len"), 0);
    s->location = at > 0 && (uint64_t)at <= x->len ? (uint32_t)at : 0;
    s->len = n > 0 && (uint64_t)n <= x->len - s->location ? (uint32_t)n : (uint32_t)(x->len - s->location);
    uint32_t node = jt_get(x->t, raw, "stmt");
    if (node == 0) return fx_fail(x, POL_NOT_UNDERSTOOD, "a statement without a tree is not understood");
    return fx_statement(x, node);
}

/* Each name is looked up several times, by session and filter. */
#define MAX_NAMED 4096
static bool names_something(const struct pol_stmt *s) {
    return s->uses_statement != NULL || s->uses_portal != NULL || s->forget_statement != NULL || s->forget_portal != NULL ||
           s->forget_all_statements || s->forget_all_portals;
}

static bool all_statements(struct fx *x, struct pol_facts *f) {
    uint32_t stmts = jt_get(x->t, 0, "stmts");
    size_t n = 0;
    for (uint32_t c = stmts + 1; stmts != 0 && c < jt_end(x->t, stmts); c = jt_skip(x->t, c)) n++;
    f->stmts = pol_alloc_array(f->arena, n, sizeof *f->stmts);
    if (f->stmts == NULL) return fx_no_memory(x);
    if (!fx_collect_from_functions(x)) return false;
    size_t named = 0;
    for (uint32_t c = stmts + 1; f->nstmts < n; c = jt_skip(x->t, c)) {
        struct pol_stmt *s = &f->stmts[f->nstmts++];
        if (!one_statement(x, c, s)) return false;
        if (names_something(s) && ++named > MAX_NAMED)
            return fx_fail(x, POL_TOO_LARGE, "more than %d prepared statements and cursors cannot be named in one text", MAX_NAMED);
    }
    return true;
}

/* A text of nothing but blanks, comments and semicolons is one empty statement: something to record. */
static bool add_empty(struct pol_facts *f, size_t len) {
    if (f->nstmts > 0) return true;
    f->stmts = pol_alloc(f->arena, sizeof *f->stmts);
    if (f->stmts == NULL) return false;
    f->stmts[0] = (struct pol_stmt){.kind = POL_K_EMPTY, .tag = "", .len = (uint32_t)len, .reads_only = true};
    f->nstmts = 1;
    return true;
}

struct pol_facts *pol_facts_parsed(const struct pol_parsed *p, struct pol_parse_error *err) {
    struct pol_facts *f = calloc(1, sizeof *f);
    if (f != NULL) f->arena = pol_arena_new();
    *err = (struct pol_parse_error){.rc = POL_PARSED};
    struct fx x = {.t = &p->tree, .sql = p->sql, .len = p->len, .c.err = err};
    if (f == NULL || f->arena == NULL) {
        fx_no_memory(&x);
    } else {
        x.c.arena = f->arena;
        pol_arena_bound(f->arena, POL_ARENA_TEXT(p->len));
        if (all_statements(&x, f) && !add_empty(f, p->len)) fx_no_memory(&x);
    }
    if (err->rc == POL_PARSED) {
        f->values = x.values;
        return f;
    }
    pol_facts_free(f);
    return NULL;
}

struct pol_facts *pol_facts_pg(const char *sql, size_t len, const struct pol_parse_limits *limits, struct pol_parse_error *err) {
    struct pol_parsed p;
    if (!pol_parse_pg(&p, sql, len, limits, err)) return NULL;
    struct pol_facts *f = pol_facts_parsed(&p, err);
    pol_parse_clear(&p);
    return f;
}
