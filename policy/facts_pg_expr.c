/* Functions, and the clothes in which they are called: f(x), x.f, (x).f, operators of other schemas, names in string arguments. */
#include "policy/facts_pg.h"
#include "policy/pg_functions.h"
#include "policy/pg_settings.h"

#include <string.h>

/* "Field notation" (PostgreSQL documentation, "Composite Types", "Using Composite Types in Queries"): x.f is f(x) when x has no column f. Tried on PostgreSQL 15:
 *     (expr).f           calls f for any expr, scalars too: ('/etc/passwd'::text).pg_read_file reads the file;
 *     t.f                calls f when t is a function in FROM that returns one scalar: FROM lower('X') AS t, unnest(..) AS t, coalesce(..) t,
 *                        CAST(.. AS text) t; WITH ORDINALITY, XMLTABLE, subselects, CTEs, VALUES make a row of it, and then only
 *     t.f                with an f that takes that row type, record, or any type.
 * So: every field of (expr).f counts as a call, and t.f when t is a function in FROM, except for columns that are known to be there. For any other t the
 * built-in functions that take any row are harmless (row_to_json, to_json, count, pg_typeof, record_out ...: pg_proc was asked). What is left is
 * a function of the database's own that takes the row type of a granted table, or any type; ruling that out needs the catalog. */

#define MAX_FROM    64
#define MAX_COLUMNS 256 /* of one alias */

static struct fx_from *add_from(struct fx *x, const char *name, bool own) {
    for (size_t i = 0; i < x->nfrom; i++)
        if (strcmp(x->from[i].name, name) == 0) {
            x->from[i].twice = true;
            x->from[i].own = x->from[i].own && own;
            return &x->from[i];
        }
    if (x->nfrom >= MAX_FROM) {
        x->from_any = true;
        return &x->from[0];
    }
    struct fx_from *all = pol_grow(x->c.arena, x->from, x->nfrom, &x->from_cap, sizeof *all);
    if (all == NULL) {
        fx_no_memory(x);
        return NULL;
    }
    x->from = all;
    all[x->nfrom] = (struct fx_from){.name = name, .own = own};
    return &all[x->nfrom++];
}

static bool add_columns(struct fx *x, struct fx_from *from, uint32_t list, enum pg_node type, const char *member) {
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        uint32_t fields;
        if (fx_node(x, c, &fields) != type) continue;
        const char *name = fx_text(x, jt_get(x->t, fields, member));
        if (name == NULL) return x->c.err->rc == POL_PARSED;
        if (from->ncolumns == MAX_COLUMNS) {
            from->twice = true;
            return true;
        }
        const char **all = pol_grow(x->c.arena, from->columns, from->ncolumns, &from->columns_cap, sizeof *all);
        if (all == NULL) return fx_no_memory(x);
        from->columns = all;
        all[from->ncolumns++] = name;
    }
    return true;
}

/* One function in FROM without an alias is called by its own name. */
static bool add_bare_functions(struct fx *x, uint32_t functions) {
    for (uint32_t c = functions + 1; functions != 0 && c < jt_end(x->t, functions); c = jt_skip(x->t, c)) {
        uint32_t list, call, first;
        const char *parts[3];
        if (fx_node(x, c, &list) != NT_List || (first = jt_get(x->t, list, "items")) == 0 || fx_node(x, first + 1, &call) != NT_FuncCall) {
            x->from_any = true; /* COALESCE, CAST, CURRENT_USER ...: named by rules of their own */
            continue;
        }
        size_t n = fx_parts(x, jt_get(x->t, call, "funcname"), parts, 3);
        if (n == 0 || n > 3) return fx_fail(x, POL_NOT_UNDERSTOOD, "a function's name is not understood");
        if (add_from(x, parts[n - 1], true) == NULL) return false; /* f.f: the column, or a call of what is called anyway */
    }
    return true;
}

/* FROM f(..) AS t: t.t is its column only when f has one unnamed result; an OUT parameter (json_array_elements: "value") or a column list leaves t.t to be
 * a call of t, with f's result for its argument. */
static bool has_own_column(struct fx *x, uint32_t range_function, uint32_t alias) {
    uint32_t functions = jt_get(x->t, range_function, "functions"), list, call, first;
    const char *parts[3];
    if (jt_get(x->t, alias, "colnames") != 0 || jt_get(x->t, range_function, "coldeflist") != 0 || functions == 0) return false;
    if (fx_node(x, functions + 1, &list) != NT_List || jt_skip(x->t, functions + 1) != jt_end(x->t, functions)) return false;
    if ((first = jt_get(x->t, list, "items")) == 0 || fx_node(x, first + 1, &call) != NT_FuncCall) return false;
    size_t n = fx_parts(x, jt_get(x->t, call, "funcname"), parts, 3);
    return (n == 1 || (n == 2 && strcmp(parts[0], "pg_catalog") == 0)) && pg_function_one_column(parts[n - 1]);
}

bool fx_collect_from_functions(struct fx *x) {
    for (uint32_t i = 1; i < x->t->n; i++) {
        if (x->t->v[i].type != JT_OBJECT || !jt_key_is(x->t, i, "RangeFunction")) continue;
        uint32_t alias = jt_get(x->t, i, "alias");
        if (alias == 0) {
            if (!add_bare_functions(x, jt_get(x->t, i, "functions"))) return false;
            continue;
        }
        const char *name = fx_text(x, jt_get(x->t, alias, "aliasname"));
        struct fx_from *from = name == NULL ? NULL : add_from(x, name, has_own_column(x, i, alias));
        if (from == NULL) return fx_fail(x, POL_NOT_UNDERSTOOD, "a function in FROM is not understood");
        if (!add_columns(x, from, jt_get(x->t, alias, "colnames"), NT_String, "sval") ||
            !add_columns(x, from, jt_get(x->t, i, "coldeflist"), NT_ColumnDef, "colname"))
            return false;
    }
    return true;
}

/* True when qualifier.name may be a call of name. */
static bool may_call(const struct fx *x, const char *qualifier, const char *name) {
    if (pg_function_column(name)) return false;
    if (x->from_any) return true;
    for (size_t i = 0; i < x->nfrom; i++) {
        const struct fx_from *f = &x->from[i];
        if (strcmp(f->name, qualifier) != 0) continue;
        if (f->own && strcmp(name, qualifier) == 0) return false;
        if (f->twice) return true;
        for (size_t c = 0; c < f->ncolumns; c++)
            if (strcmp(f->columns[c], name) == 0) return false;
        return true;
    }
    return false;
}

bool fx_column_ref(struct fx *x, uint32_t i) {
    const char *parts[4];
    x->columns++;
    size_t n = fx_parts(x, jt_get(x->t, i, "fields"), parts, 4);
    if (n == 0 || n > 4) return fx_fail(x, POL_NOT_UNDERSTOOD, "a column's name with %zu parts is not understood", n);
    if (n > 1 && strcmp(parts[n - 1], "*") != 0 && may_call(x, parts[n - 2], parts[n - 1]))
        if (!fx_field(x, parts[n - 1], fx_location(x, i))) return false;
    return fx_walk_fields(x, NT_ColumnRef, i, (const char *const[]){"fields", NULL});
}

bool fx_indirection(struct fx *x, uint32_t i) {
    uint32_t steps = jt_get(x->t, i, "indirection");
    for (uint32_t c = steps + 1; steps != 0 && c < jt_end(x->t, steps); c = jt_skip(x->t, c)) {
        uint32_t fields;
        if (fx_node(x, c, &fields) != NT_String) continue; /* a subscript, or * */
        const char *name = fx_text(x, jt_get(x->t, fields, "sval"));
        if (name == NULL)
            return x->c.err->rc == POL_PARSED ? fx_fail(x, POL_NOT_UNDERSTOOD, "a field without a name is not understood") : false;
        if (pg_function_column(name)) continue;
        if (!fx_field(x, name, x->c.s->location)) return false;
    }
    return fx_walk_fields(x, NT_A_Indirection, i, NULL);
}

bool fx_operator_name(struct fx *x, uint32_t list, uint32_t location) {
    const char *parts[3];
    if (list == 0) return true;
    size_t n = fx_parts(x, list, parts, 3);
    if (n == 0 || n > 3) return fx_fail(x, POL_NOT_UNDERSTOOD, "an operator's name is not understood");
    const char *name = parts[n - 1], *schema = n > 1 ? parts[n - 2] : NULL;
    if (schema != NULL && strcmp(schema, "pg_catalog") == 0) return true;
    /* "BETWEEN" and its kin are no operators */
    if (schema == NULL && (pg_operator_built_in(name) || (*name >= 'A' && *name <= 'Z'))) return true;
    return fx_function(x, schema, name, location); /* its function is whatever its owner wrote */
}

/* --- arguments that name something --- */

static const char *text_argument(struct fx *x, uint32_t args, unsigned which) {
    uint32_t c = args + 1, fields;
    if (args == 0) return NULL;
    while (which-- > 0 && c < jt_end(x->t, args)) c = jt_skip(x->t, c);
    if (c >= jt_end(x->t, args)) return NULL;
    enum pg_node type = fx_node(x, c, &fields);
    if (type == NT_TypeCast) { /* 'name'::regclass, 'name'::text */
        const char *parts[3];
        uint32_t type_name = jt_get(x->t, fields, "typeName");
        size_t n = type_name != 0 ? fx_parts(x, jt_get(x->t, type_name, "names"), parts, 3) : 0;
        if (n == 0 || n > 3 || (strcmp(parts[n - 1], "regclass") != 0 && strcmp(parts[n - 1], "text") != 0)) return NULL;
        type = fx_node(x, jt_get(x->t, fields, "arg"), &fields);
    }
    if (type != NT_A_Const) return NULL;
    x->values = true;
    uint32_t s = jt_get(x->t, fields, "sval");
    if (s == 0) return NULL;
    uint32_t text = jt_get(x->t, s, "sval");
    return text == 0 ? "" : fx_text(x, text);
}

/* Splits "Schema".name as regclass reads it. False when it is not made of one to three names. */
static bool split_name(struct fx *x, const char *s, const char **parts, size_t *n) {
    for (*n = 0; *n < 3;) {
        while (*s == ' ') s++;
        char *out = pol_alloc(x->c.arena, strlen(s) + 1), *start = out;
        if (out == NULL) return fx_no_memory(x);
        bool quoted = *s == '"';
        if (quoted) {
            for (s++; *s != '\0' && !(*s == '"' && s[1] != '"'); s++) {
                if (*s == '"') s++;
                *out++ = *s;
            }
            if (*s++ != '"') return false;
        } else {
            for (;
                 (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_' || *s == '$' || (*s & 0x80);
                 s++)
                *out++ = *s >= 'A' && *s <= 'Z' ? (char)(*s | 0x20) : *s;
        }
        if (out == start || (!quoted && *start >= '0' && *start <= '9') || out - start > 63) return false;
        parts[(*n)++] = start;
        while (*s == ' ') s++;
        if (*s == '\0') return true;
        if (*s++ != '.') return false;
    }
    return false;
}

/* nextval('s') and setval('s', n) write the sequence s, currval('s') reads it. *done: said as a relation, so that tables' rules apply. */
static bool sequence_call(struct fx *x, const char *name, uint32_t args, uint32_t location, bool *done) {
    bool reads = strcmp(name, "currval") == 0;
    const char *parts[3];
    size_t n = 0;
    const char *text = text_argument(x, args, 0);
    if (text == NULL || !split_name(x, text, parts, &n)) return x->c.err->rc == POL_PARSED;
    *done = true;
    if (reads) x->c.s->last_value = true;
    return fx_named_relation(x, parts, n, reads ? POL_SELECT : POL_UPDATE, location);
}

static bool setting_call(struct fx *x, const char *name, uint32_t args, bool *done) {
    const char *setting = text_argument(x, args, 0);
    if (setting == NULL) return x->c.err->rc == POL_PARSED;
    if (strcmp(name, "current_setting") == 0) {
        *done = true;
        return fx_setting(x, setting, NULL, false, true);
    }
    const char *value = text_argument(x, args, 1), *folded = fx_fold(x, setting);
    if (folded == NULL || x->c.err->rc != POL_PARSED) return false;
    if (value == NULL && !pg_setting_harmless(folded)) return true; /* else no value of it does harm; a pin is another than this one */
    if (value == NULL) value = POL_ANY_VALUE;
    *done = true;
    return fx_setting(x, setting, value, false, false);
}

bool fx_func_call(struct fx *x, uint32_t i) {
    const char *parts[3];
    size_t n = fx_parts(x, jt_get(x->t, i, "funcname"), parts, 3);
    if (n == 0 || n > 3) return fx_fail(x, POL_NOT_UNDERSTOOD, "a function's name is not understood");
    const char *name = parts[n - 1], *schema = n > 1 ? parts[n - 2] : NULL;
    uint32_t args = jt_get(x->t, i, "args"), location = fx_location(x, i);
    bool done = i == x->named_rows, ok = true; /* pg_show_all_settings() of named rows */
    if (schema == NULL || strcmp(schema, "pg_catalog") == 0) {
        if (strcmp(name, "nextval") == 0 || strcmp(name, "currval") == 0 || strcmp(name, "setval") == 0)
            ok = sequence_call(x, name, args, location, &done);
        else if (strcmp(name, "current_setting") == 0 || strcmp(name, "set_config") == 0)
            ok = setting_call(x, name, args, &done);
    }
    if (!ok || (!done && !fx_function(x, schema, name, location))) return false;
    return fx_walk_fields(x, NT_FuncCall, i, (const char *const[]){"funcname", NULL});
}
