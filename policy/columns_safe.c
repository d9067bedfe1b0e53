/* Column facts: conditions that may be copied behind a row filter's fence.
 *
 * Inside the fence a condition runs on rows that the filter takes out, so it must tell nothing and raise nothing whatever a row holds: the operators are
 * those that PostgreSQL marks leakproof, over a column as it is and a constant, a parameter, or another column (pg_proc was asked: t/e2e/test_columns_facts.py does
 * it again). It must not take away a row that counts, either: it is a conjunct of the query's own WHERE, or of a join's ON on the side that ON decides
 * about; and one that a row of NULLs satisfies (IS NULL) only where no outer join makes such rows. */
#include "policy/columns_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT (16u << 10) /* of one conjunct */

/* pg_type.oid of PostgreSQL's own types: fixed numbers. ints may be compared with each other, texts too; the others with their like. */
static const struct kind {
    uint32_t oid;
    char family;      /* i integers, t texts, or a letter of its own */
    char parameter;   /* may $n stand on the other side, of whatever type the client gives it? See put_param() */
    const char *cast; /* of a list's elements, and of a constant that has this type */
    const char *name; /* as a typed constant names it: DATE '...' */
} kinds[] = {
    {16, 'b', 'y', "pg_catalog.bool", "bool"},       {17, 'y', 'y', "pg_catalog.bytea", "bytea"},
    {20, 'i', '=', "pg_catalog.int8", "int8"},       {21, 'i', 'y', "pg_catalog.int2", "int2"},
    {23, 'i', 'y', "pg_catalog.int4", "int4"},       {25, 't', 'y', "pg_catalog.text", "text"},
    {1042, 'p', 'y', "pg_catalog.bpchar", "bpchar"}, {1043, 't', 'y', "pg_catalog.text", "varchar"},
    {1082, 'd', 'n', "pg_catalog.date", "date"},     {2950, 'u', 'y', "pg_catalog.uuid", "uuid"},
};

static const struct kind *kind_of(uint32_t oid) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].oid == oid) return &kinds[i];
    return NULL;
}

struct safe { /* one condition */
    size_t lo, hi;
    struct cx_item *item;
    size_t at; /* its place among the level's items */
    const struct pol_cat_column *column;
    const struct kind *kind;
    char *text; /* the rest, MAX_TEXT bytes */
    size_t len;
    bool lateral, over;
    struct cx_item *other;
    const struct pol_cat_column *other_column;
};

static void put(struct safe *s, const char *text) {
    size_t n = strlen(text);
    if (n >= MAX_TEXT - s->len) {
        s->over = true;
        return;
    }
    memcpy(s->text + s->len, text, n + 1);
    s->len += n;
}

/* 'it''s', or "na""me" */
static void put_quoted(struct safe *s, const char *text, char quote) {
    char two[3] = {quote, '\0', '\0'};
    put(s, two);
    for (; *text != '\0' && !s->over; text++) {
        two[0] = *text;
        two[1] = *text == quote ? quote : '\0';
        put(s, two);
    }
    two[0] = quote;
    two[1] = '\0';
    put(s, two);
}

/* --- operands --- */

/* A column, written as such, of a relation among the level's items [0, hi) and of nothing further out. */
static bool own_column(struct cx *x, uint32_t node, size_t hi, struct cx_item **item, size_t *at, const struct pol_cat_column **column) {
    const char *p[4];
    uint32_t f, list;
    struct cx_ref ref = {.node = NULL};
    if (fx_node(&x->fx, node, &f) != NT_ColumnRef) return false;
    list = jt_get(x->fx.t, f, "fields");
    size_t n = fx_parts(&x->fx, list, p, 4);
    if (n == 0 || n > 3) return false;
    bool incomplete = x->incomplete;
    bool ok = n == 1 ? cx_name(x, p[0], &ref, 0) : cx_qualified(x, n == 3 ? p[0] : NULL, p[n - 2], p[n - 1], &ref, 0);
    x->incomplete = incomplete;
    if (!ok || ref.item == NULL || ref.item->rel == NULL) return false;
    for (size_t i = 0; i < hi && i < x->level->n; i++) {
        if (!cx_step(x, 1)) return false;
        if (x->level->items[i] != ref.item) continue;
        *item = ref.item;
        *at = i;
        *column = &ref.item->rel->r->columns[ref.column];
        return true;
    }
    return false;
}

/* Digits of an integer constant that fits int8, with its sign; NULL for anything else. libpg_query 15's JSON leaves the value out when it is not greater than
 * zero: then it is what the text has there, when the text is plain. */
static const char *integer(struct cx *x, uint32_t a_const) {
    const struct jt *t = x->fx.t;
    uint32_t ival = jt_get(t, a_const, "ival"), fval = jt_get(t, a_const, "fval"), v = ival != 0 ? jt_get(t, ival, "ival") : 0;
    const char *text = fval != 0 ? fx_text(&x->fx, jt_get(t, fval, "fval")) : NULL;
    if (v != 0 || text != NULL) {
        char digits[24];
        if (v != 0) snprintf(digits, sizeof digits, "%lld", (long long)jt_int(t, v, 0));
        if (v != 0 && (text = pol_strdup(x->fx.c.arena, digits)) == NULL) fx_no_memory(&x->fx);
        size_t n = text != NULL ? strspn(text + (*text == '-'), "0123456789") : 0;
        return n > 0 && n <= 18 && text[n + (*text == '-')] == '\0' ? text : NULL;
    }
    uint32_t at = fx_location(&x->fx, a_const);
    const char *p = x->fx.sql + at;
    size_t n = strspn(p + (*p == '-'), "0123456789"); /* the text ends with a NUL */
    if (ival == 0 || n == 0 || n > 18 || (*p != '-' && strspn(p, "0") != n)) return NULL;
    const char *copy = pol_strndup(x->fx.c.arena, p, n + (*p == '-'));
    if (copy == NULL) fx_no_memory(&x->fx);
    return copy;
}

/* $n stands once in the text: its type is what this comparison gives it, there or in the copy. */
static bool lone_param(struct cx *x, int64_t number) {
    const struct jt *t = x->fx.t;
    if (number < 1 || number > UINT16_MAX) return false;
    if (x->params == NULL) {
        x->nparams = UINT16_MAX + 1;
        if ((x->params = pol_alloc_array(x->fx.c.arena, x->nparams, sizeof *x->params)) == NULL) return fx_no_memory(&x->fx);
        for (uint32_t i = 1; i < t->n; i++) {
            if (t->v[i].type != JT_OBJECT || !jt_key_is(t, i, "ParamRef")) continue;
            int64_t n = jt_int(t, jt_get(t, i, "number"), 0);
            if (n > 0 && n < (int64_t)x->nparams && x->params[n] < UINT16_MAX) x->params[n]++;
        }
    }
    return x->params[number] == 1;
}

/* A client may declare any type for $n, and so choose the operator, and a cast of the column with it. bigint = oid casts the column to oid, which raises an
 * error for a large value: it gets $n cast to its own type, which for = and no other operator can lose no row. date = timestamptz is not leakproof. For
 * the other types no cast that the server makes by itself raises anything (t/e2e/test_columns_facts.py tries all types). */
static bool put_param(struct cx *x, struct safe *s, uint32_t param_ref, const char *op, bool array) {
    int64_t number = jt_int(x->fx.t, jt_get(x->fx.t, param_ref, "number"), 0);
    bool cast = s->kind->parameter == '=';
    if (s->kind->parameter == 'n' || (cast && strcmp(op, "=") != 0) || !lone_param(x, number)) return false;
    char text[64];
    snprintf(text, sizeof text, "$%lld%s%s%s", (long long)number, cast ? "::" : "", cast ? s->kind->cast : "", cast && array ? "[]" : "");
    put(s, text);
    return true;
}

/* The constant's text; *string when it is a quoted one. */
static bool put_constant(struct cx *x, struct safe *s, uint32_t a_const, bool *string) {
    const struct jt *t = x->fx.t;
    uint32_t sval = jt_get(t, a_const, "sval"), bval = jt_get(t, a_const, "boolval");
    *string = sval != 0;
    if (sval != 0) {
        uint32_t v = jt_get(t, sval, "sval");
        const char *text = v != 0 ? fx_text(&x->fx, v) : "";
        if (text == NULL) return false;
        put_quoted(s, text, '\'');
        return true;
    }
    if (bval != 0 && s->kind->family == 'b') {
        put(s, jt_bool(t, jt_get(t, bval, "boolval")) ? "true" : "false");
        return true;
    }
    const char *digits = s->kind->family == 'i' ? integer(x, a_const) : NULL;
    if (digits == NULL) return false;
    put(s, digits);
    return true;
}

/* DATE '2026-01-01': a constant of the column's own type. */
static bool put_typed(struct cx *x, struct safe *s, uint32_t cast) {
    const struct jt *t = x->fx.t;
    const char *p[3];
    uint32_t type = jt_get(t, cast, "typeName"), f;
    bool string;
    if (jt_get(t, type, "typmods") != 0 || jt_get(t, type, "arrayBounds") != 0 || jt_bool(t, jt_get(t, type, "setof"))) return false;
    size_t n = fx_parts(&x->fx, jt_get(t, type, "names"), p, 3);
    if (n == 0 || n > 2 || (n == 2 && strcmp(p[0], "pg_catalog") != 0)) return false;
    if (strcmp(p[n - 1], s->kind->name) != 0 || fx_node(&x->fx, jt_get(t, cast, "arg"), &f) != NT_A_Const) return false;
    if (s->kind->family == 'b' || !put_constant(x, s, f, &string) || !string) return false;
    put(s, "::");
    put(s, s->kind->cast);
    return true;
}

static bool put_operand(struct cx *x, struct safe *s, uint32_t node, const char *op) {
    uint32_t f;
    bool string;
    switch (fx_node(&x->fx, node, &f)) {
    case NT_A_Const: return put_constant(x, s, f, &string);
    case NT_TypeCast: return put_typed(x, s, f);
    case NT_ParamRef: return put_param(x, s, f, op, false);
    default: return false;
    }
}

/* --- conditions --- */

static bool put_operator(struct safe *s, const char *name) {
    static const char *const names[] = {"=", "<", "<=", ">", ">=", "<>"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) != 0) continue;
        put(s, " OPERATOR(pg_catalog.");
        put(s, name);
        put(s, ") ");
        return true;
    }
    return false;
}

static const char *turned(const char *op) {
    return *op == '<' && op[1] != '>' ? (op[1] == '=' ? ">=" : ">") : *op == '>' ? (op[1] == '=' ? "<=" : "<") : op;
}

static bool left_side(struct cx *x, struct safe *s, uint32_t node) {
    if (!own_column(x, node, s->hi, &s->item, &s->at, &s->column) || s->at < s->lo) return false;
    s->kind = kind_of(s->column->type);
    return s->kind != NULL;
}

static bool operator_name(struct cx *x, uint32_t e, const char **name) {
    const char *p[3];
    size_t n = fx_parts(&x->fx, jt_get(x->fx.t, e, "name"), p, 3);
    if (n == 0 || n > 2 || (n == 2 && strcmp(p[0], "pg_catalog") != 0)) return false;
    *name = p[n - 1];
    return true;
}

static bool add(struct cx *x, const struct safe *s) {
    struct pol_columns *out = x->out;
    if (s->over || out->nconjuncts == POL_MAX_CONJUNCTS) return true;
    struct pol_conjunct *all = pol_grow(x->fx.c.arena, out->conjuncts, out->nconjuncts, &x->conjuncts_cap, sizeof *all);
    char *text = pol_strndup(x->fx.c.arena, s->text, s->len);
    if (all == NULL || text == NULL) return fx_no_memory(&x->fx);
    out->conjuncts = all;
    all[out->nconjuncts++] = (struct pol_conjunct){.range_var = s->item->location,
                                                   .relation = s->item->rel->r,
                                                   .column = s->column,
                                                   .rest = text,
                                                   .lateral = s->lateral,
                                                   .other = s->lateral ? s->other->rel->r : NULL,
                                                   .other_column = s->other_column};
    return true;
}

/* A qualifier means this item only. */
static bool is_alone(const struct cx *x, const struct cx_item *it) {
    size_t n = 0;
    for (size_t i = 0; i < x->level->n; i++) {
        const struct cx_item *other = x->level->items[i];
        if (other->rel_visible && other->hash == it->hash && strcmp(other->name, it->name) == 0) n++;
    }
    return n == 1;
}

/* Columns of the same family, of an item that the subselect can see when it is LATERAL. */
static bool add_join(struct cx *x, struct safe *s, const char *op) {
    const struct kind *kind = kind_of(s->other_column->type);
    if (kind == NULL || kind->family != s->kind->family || s->other == s->item || s->other->nullable || s->other->target ||
        !s->other->rel_visible || !is_alone(x, s->other) || !cx_step(x, (uint32_t)x->level->n))
        return true;
    /* two collations that may differ: an error as soon as there is a row, whatever it holds */
    if (s->column->collated && s->other_column->collated) return true;
    struct cx_col label = {.name = s->other_column->name};
    if (s->other->cols != NULL) label = s->other->cols->v[s->other_column - s->other->rel->r->columns];
    if (label.name == NULL || !put_operator(s, op)) return true;
    put_quoted(s, s->other->name, '"');
    put(s, ".");
    put_quoted(s, label.name, '"');
    s->lateral = true;
    return add(x, s);
}

static bool comparison(struct cx *x, struct safe *s, uint32_t e) {
    const char *op;
    uint32_t left = jt_get(x->fx.t, e, "lexpr"), right = jt_get(x->fx.t, e, "rexpr");
    size_t at;
    if (left == 0 || right == 0 || !operator_name(x, e, &op)) return true;
    for (int side = 0; side < 2; side++) {
        uint32_t column = side == 0 ? left : right, operand = side == 0 ? right : left;
        const char *name = side == 0 ? op : turned(op);
        s->len = 0;
        s->over = s->lateral = false;
        s->other_column = NULL;
        if (!left_side(x, s, column)) continue;
        if (own_column(x, operand, s->at, &s->other, &at, &s->other_column)) {
            if (!add_join(x, s, name)) return false;
            continue;
        }
        s->other_column = NULL;
        s->text[0] = '\0';
        if (put_operator(s, name) && put_operand(x, s, operand, name) && !add(x, s)) return false;
    }
    return true;
}

static bool between(struct cx *x, struct safe *s, uint32_t e) {
    uint32_t f, items;
    if (!left_side(x, s, jt_get(x->fx.t, e, "lexpr")) || fx_node(&x->fx, jt_get(x->fx.t, e, "rexpr"), &f) != NT_List) return true;
    items = jt_get(x->fx.t, f, "items");
    if (items == 0) return true;
    for (uint32_t c = items + 1, k = 0; c < jt_end(x->fx.t, items) && k < 2; c = jt_skip(x->fx.t, c), k++) {
        s->len = 0;
        s->over = false;
        const char *op = k == 0 ? ">=" : "<=";
        if (put_operator(s, op) && put_operand(x, s, c, op) && !add(x, s)) return false;
    }
    return true;
}

/* col IN ('a', 'b'), and col = ANY ($1). */
static bool in_list(struct cx *x, struct safe *s, uint32_t e, bool any) {
    const char *op;
    uint32_t f, right = jt_get(x->fx.t, e, "rexpr");
    bool strings = false, numbers = false, string;
    if (!operator_name(x, e, &op) || strcmp(op, "=") != 0 || !left_side(x, s, jt_get(x->fx.t, e, "lexpr"))) return true;
    put_operator(s, "=");
    put(s, "ANY (");
    enum pg_node type = fx_node(&x->fx, right, &f);
    if (any) {
        if (type != NT_ParamRef || !put_param(x, s, f, op, true)) return true;
        put(s, ")");
        return add(x, s);
    }
    uint32_t items = type == NT_List ? jt_get(x->fx.t, f, "items") : 0;
    if (items == 0) return true;
    put(s, "ARRAY[");
    for (uint32_t c = items + 1; c < jt_end(x->fx.t, items) && !s->over; c = jt_skip(x->fx.t, c)) {
        if (c != items + 1) put(s, ",");
        if (fx_node(&x->fx, c, &f) != NT_A_Const || !put_constant(x, s, f, &string)) return true;
        strings |= string;
        numbers |= !string;
    }
    if (strings && numbers) return true;
    put(s, "]");
    if (strings) {
        put(s, "::");
        put(s, s->kind->cast);
        put(s, "[]");
    }
    put(s, ")");
    return add(x, s);
}

static bool null_test(struct cx *x, struct safe *s, uint32_t i) {
    if (!own_column(x, jt_get(x->fx.t, i, "arg"), s->hi, &s->item, &s->at, &s->column) || s->at < s->lo) return true;
    s->kind = kind_of(s->column->type); /* of a row, IS NULL is another question */
    bool is_null = jt_str_is(x->fx.t, jt_get(x->fx.t, i, "nulltesttype"), "IS_NULL");
    if (s->kind == NULL || (is_null && s->item->nullable)) return true;
    put(s, is_null ? " IS NULL" : " IS NOT NULL");
    return add(x, s);
}

static bool condition(struct cx *x, struct safe *s, uint32_t node) {
    const struct jt *t = x->fx.t;
    uint32_t f;
    s->len = 0;
    s->over = s->lateral = false;
    s->other_column = NULL;
    switch (fx_node(&x->fx, node, &f)) {
    case NT_BoolExpr: {
        uint32_t args = jt_get(t, f, "args");
        bool ok = true;
        if (args == 0 || !jt_str_is(t, jt_get(t, f, "boolop"), "AND_EXPR") || cx_deep(x)) return true;
        for (uint32_t c = args + 1; ok && c < jt_end(t, args) && !x->stop; c = jt_skip(t, c)) ok = condition(x, s, c);
        return ok;
    }
    case NT_NullTest: return null_test(x, s, f);
    case NT_A_Expr: {
        uint32_t kind = jt_get(t, f, "kind");
        if (jt_str_is(t, kind, "AEXPR_OP")) return comparison(x, s, f);
        if (jt_str_is(t, kind, "AEXPR_BETWEEN")) return between(x, s, f);
        if (jt_str_is(t, kind, "AEXPR_IN")) return in_list(x, s, f, false);
        return !jt_str_is(t, kind, "AEXPR_OP_ANY") || in_list(x, s, f, true);
    }
    default: return true;
    }
}

bool cx_safe(struct cx *x, uint32_t where, size_t lo, size_t hi) {
    if (where == 0 || lo >= hi || x->out->nconjuncts == POL_MAX_CONJUNCTS || x->stop) return true;
    if (x->scratch == NULL && (x->scratch = pol_alloc(x->fx.c.arena, MAX_TEXT)) == NULL) return fx_no_memory(&x->fx);
    struct safe s = {.lo = lo, .hi = hi, .text = x->scratch};
    return condition(x, &s, where) && x->fx.c.err->rc == POL_PARSED;
}
