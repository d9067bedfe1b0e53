#include "policy/expr_int.h"
#include "policy/pg_scan.h"
#include "policy/words.h"

#include <pg_query.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_OUT   (256u << 10)
#define MAX_DEPTH 200u

bool ex_fail(struct ex *x, const char *fmt, ...) {
    if (x->why[0] != '\0') return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(x->why, x->whylen, fmt, ap);
    va_end(ap);
    return false;
}

/* --- literals and names --- */

bool pol_put_literal(struct buf *out, const char *s) {
    size_t n = strlen(s);
    if (!gh_utf8_valid(s, n)) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7F) return false;
    buf_u8(out, '\'');
    for (; *s != '\0'; s++) {
        if (*s == '\'') buf_u8(out, '\'');
        buf_u8(out, (uint8_t)*s);
    }
    buf_u8(out, '\'');
    return true;
}

void pol_put_ident(struct buf *out, const char *s) {
    buf_u8(out, '"');
    for (; *s != '\0'; s++) {
        if (*s == '"') buf_u8(out, '"');
        buf_u8(out, (uint8_t)*s);
    }
    buf_u8(out, '"');
}

bool pol_is_iso_date(const char *s, bool *zoned) {
    static const char shape[] = "dddd-dd-dd";
    for (size_t i = 0; i < sizeof shape - 1; i++)
        if (shape[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != shape[i]) return false;
    const char *rest = s + sizeof shape - 1;
    size_t n = strlen(rest);
    *zoned = n > 0 && rest[n - 1] == 'Z';
    for (const char *p = rest; *p != '\0'; p++) {
        if (*p == '+' || *p == '-') *zoned = true;
        if (strchr("0123456789:.+-TZ ", *p) == NULL) return false;
    }
    return true;
}

static void note_string(struct ex *x, const char *s) {
    bool zoned = false;
    if (!pol_is_iso_date(s, &zoned)) x->traits |= POL_E_STRINGS;
    if (!zoned) x->traits |= POL_E_NO_ZONE;
}

/* --- ${claim:x} becomes $1 --- */

static bool one_claim(struct ex *x, const char *name, size_t n, struct buf *sql) {
    static const char prefix[] = "claim:";
    char number[16];
    if (!x->filter) return ex_fail(x, "claims may stand in \"rows\" only: a mask is the same for everybody");
    const char *claim = NULL;
    if (!(n == 9 && memcmp(name, "principal", 9) == 0)) {
        if (n <= sizeof prefix - 1 || n > 100 || memcmp(name, prefix, sizeof prefix - 1) != 0)
            return ex_fail(x, "\"${%.*s}\" is not known; write ${claim:name} or ${principal}", (int)(n > 60 ? 60 : n), name);
        claim = pol_strndup(x->arena, name + sizeof prefix - 1, n - (sizeof prefix - 1));
        if (claim == NULL) return ex_fail(x, "out of memory");
    }
    if (x->nclaims == EX_MAX_CLAIMS) return ex_fail(x, "more than 32 claims");
    x->claims[x->nclaims++] = claim;
    snprintf(number, sizeof number, " $%zu ", x->nclaims);
    buf_str(sql, number);
    return true;
}

static bool too_long(struct ex *x, const struct buf *b) {
    return ex_fail(x, b->no_memory ? "out of memory" : "the expression is too long");
}

static bool take_claims(struct ex *x, const char *text, struct buf *sql) {
    buf_str(sql, "SELECT (");
    for (const char *p = text; *p != '\0';) {
        if ((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t' && *p != '\r') return ex_fail(x, "it holds a control character");
        if (p[0] == '$' && p[1] == '{') {
            const char *end = strchr(p, '}');
            if (end == NULL) return ex_fail(x, "\"${\" is not closed");
            if (!one_claim(x, p + 2, (size_t)(end - p) - 2, sql)) return false;
            p = end + 1;
            continue;
        }
        buf_u8(sql, (uint8_t)*p++);
    }
    buf_str(sql, "\n)"); /* a comment at the text's end ends there */
    buf_u8(sql, '\0');
    return !sql->failed || too_long(x, sql);
}

/* --- the tree --- */

static bool expr(struct ex *x, uint32_t node);

enum pg_node ex_node(const struct ex *x, uint32_t i, uint32_t *fields) {
    const struct jt_value *v = x->t->v;
    *fields = 0;
    if (i == 0 || v[i].type != JT_OBJECT || v[i].next == i + 1) return NT_NONE;
    *fields = i + 1;
    return pg_node_of(x->t->json + v[i + 1].key, v[i + 1].keylen);
}

/* Only the members named in keys are there. */
static bool only(struct ex *x, uint32_t fields, const char *what, const char *const *keys) {
    for (uint32_t c = jt_first(x->t, fields); c < jt_end(x->t, fields); c = jt_skip(x->t, c)) {
        bool known = false;
        for (size_t k = 0; keys[k] != NULL; k++) known |= jt_key_is(x->t, c, keys[k]);
        if (!known) return ex_fail(x, "%s: \"%.*s\" is not possible here", what, (int)x->t->v[c].keylen, x->t->json + x->t->v[c].key);
    }
    return true;
}

size_t ex_names(struct ex *x, uint32_t list, const char **parts, size_t max) {
    size_t n = 0;
    uint32_t fields;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) {
        const char *s = ex_node(x, c, &fields) == NT_String ? jt_string(x->t, jt_get(x->t, fields, "sval"), x->arena) : NULL;
        if (s == NULL || n == max) return 0;
        parts[n++] = s;
    }
    return n;
}

size_t ex_length(const struct ex *x, uint32_t list) {
    size_t n = 0;
    for (uint32_t c = list + 1; list != 0 && c < jt_end(x->t, list); c = jt_skip(x->t, c)) n++;
    return n;
}

static bool column(struct ex *x, uint32_t fields) {
    const char *name;
    if (ex_names(x, jt_get(x->t, fields, "fields"), &name, 1) != 1)
        return ex_fail(x, "a column is named without its table: region, not t.region");
    if (!x->filter && (strcmp(name, "value") == 0 || strcmp(name, x->value) == 0)) {
        buf_u8(&x->out, POL_T_VALUE);
        return true;
    }
    if (!x->filter) return ex_fail(x, "a mask sees its own column only; \"%.60s\" is another", name);
    size_t i = 0;
    while (i < x->ncolumns && strcmp(x->columns[i], name) != 0) i++;
    if (i == EX_MAX_COLUMNS) return ex_fail(x, "more than %u columns", EX_MAX_COLUMNS);
    x->columns[i] = name;
    if (i == x->ncolumns) x->ncolumns++;
    buf_u8(&x->out, POL_T_ROW);
    buf_u8(&x->out, '.');
    pol_put_ident(&x->out, name);
    return true;
}

/* Numbers are copied from the text: libpg_query leaves out the value of those that are not positive. */
static bool number(struct ex *x, uint32_t fields) {
    const char *p = x->sql + jt_int(x->t, jt_get(x->t, fields, "location"), 0);
    buf_u8(&x->out, '(');
    if (*p == '-') buf_u8(&x->out, (uint8_t)*p++);
    while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r') p++;
    if ((*p < '0' || *p > '9') && *p != '.') return ex_fail(x, "a number could not be read");
    for (; *p != '\0' && strchr("0123456789.eE", *p) != NULL; p++) {
        buf_u8(&x->out, (uint8_t)*p);
        if ((*p == 'e' || *p == 'E') && (p[1] == '-' || p[1] == '+')) buf_u8(&x->out, (uint8_t) * ++p);
    }
    buf_u8(&x->out, ')');
    return true;
}

static bool constant(struct ex *x, uint32_t fields) {
    uint32_t v;
    if (jt_get(x->t, fields, "ival") != 0 || jt_get(x->t, fields, "fval") != 0) return number(x, fields);
    if ((v = jt_get(x->t, fields, "boolval")) != 0) {
        buf_str(&x->out, jt_bool(x->t, jt_get(x->t, v, "boolval")) ? "true" : "false");
        return true;
    }
    if (jt_get(x->t, fields, "isnull") != 0) {
        buf_str(&x->out, "NULL");
        return true;
    }
    if ((v = jt_get(x->t, fields, "sval")) == 0) return ex_fail(x, "bit strings are not possible");
    uint32_t text = jt_get(x->t, v, "sval");
    const char *s = text == 0 ? "" : jt_string(x->t, text, x->arena);
    if (s == NULL || !pol_put_literal(&x->out, s)) return ex_fail(x, "a string holds control characters");
    note_string(x, s);
    return true;
}

static bool list(struct ex *x, uint32_t items, const char *between) {
    bool first = true;
    for (uint32_t c = items + 1; items != 0 && c < jt_end(x->t, items); c = jt_skip(x->t, c)) {
        if (!first) buf_str(&x->out, between);
        first = false;
        if (!expr(x, c)) return false;
    }
    return true;
}

/* left OPERATOR(pg_catalog.op) right, in parentheses; left may be absent. */
static bool infix(struct ex *x, uint32_t left, const char *op, uint32_t right) {
    buf_u8(&x->out, '(');
    if (left != 0 && !expr(x, left)) return false;
    buf_str(&x->out, " OPERATOR(pg_catalog.");
    buf_str(&x->out, op);
    buf_str(&x->out, ") ");
    if (!expr(x, right)) return false;
    buf_u8(&x->out, ')');
    return true;
}

static const char *operator_name(struct ex *x, uint32_t fields) {
    /* Those of numbers, text, dates and booleans; none that searches jsonb, ranges or geometry for something. */
    static const char *const known[] = {"!~", "!~*", "!~~", "!~~*", "%",  "*",  "+", "-",  "/",  "<",
                                        "<=", "<>",  "=",   ">",    ">=", "||", "~", "~*", "~~", "~~*"};
    const char *parts[2];
    size_t n = ex_names(x, jt_get(x->t, fields, "name"), parts, 2);
    if (n == 0 || (n == 2 && strcmp(parts[0], "pg_catalog") != 0) || !POL_IN(known, parts[n - 1])) {
        ex_fail(x, "the operator %.20s is not possible here", n > 0 ? parts[n - 1] : "");
        return NULL;
    }
    if (strcmp(parts[n - 1], "||") == 0) x->traits |= POL_E_TEXT;
    return parts[n - 1];
}

/* x IN (a, b) as x = a OR x = b: the operator's schema can be said there. */
static bool in_list(struct ex *x, uint32_t fields, const char *op) {
    uint32_t items, left = jt_get(x->t, fields, "lexpr");
    bool no = strcmp(op, "<>") == 0, first = true;
    if (ex_node(x, jt_get(x->t, fields, "rexpr"), &items) != NT_List) return ex_fail(x, "IN needs a list");
    items = jt_get(x->t, items, "items");
    buf_u8(&x->out, '(');
    for (uint32_t c = items + 1; items != 0 && c < jt_end(x->t, items); c = jt_skip(x->t, c)) {
        if (!first) buf_str(&x->out, no ? " AND " : " OR ");
        first = false;
        if (!infix(x, left, op, c)) return false;
    }
    buf_u8(&x->out, ')');
    return !first;
}

static bool between(struct ex *x, uint32_t fields, bool no) {
    uint32_t left = jt_get(x->t, fields, "lexpr"), pair;
    if (ex_node(x, jt_get(x->t, fields, "rexpr"), &pair) != NT_List) return ex_fail(x, "BETWEEN needs two values");
    pair = jt_get(x->t, pair, "items");
    if (ex_length(x, pair) != 2) return ex_fail(x, "BETWEEN needs two values");
    buf_u8(&x->out, '(');
    if (!infix(x, left, no ? "<" : ">=", pair + 1)) return false;
    buf_str(&x->out, no ? " OR " : " AND ");
    if (!infix(x, left, no ? ">" : "<=", jt_skip(x->t, pair + 1))) return false;
    buf_u8(&x->out, ')');
    return true;
}

static bool operation(struct ex *x, uint32_t fields) {
    uint32_t kind = jt_get(x->t, fields, "kind");
    if (jt_str_is(x->t, kind, "AEXPR_BETWEEN")) return between(x, fields, false);
    if (jt_str_is(x->t, kind, "AEXPR_NOT_BETWEEN")) return between(x, fields, true);
    bool plain = jt_str_is(x->t, kind, "AEXPR_OP") || jt_str_is(x->t, kind, "AEXPR_LIKE") || jt_str_is(x->t, kind, "AEXPR_ILIKE");
    if (!plain && !jt_str_is(x->t, kind, "AEXPR_IN"))
        return ex_fail(x, "IS DISTINCT FROM, NULLIF, ANY, ALL and SIMILAR TO are not possible: write them with =, IS NULL, OR and CASE");
    const char *op = operator_name(x, fields);
    if (op == NULL) return false;
    return plain ? infix(x, jt_get(x->t, fields, "lexpr"), op, jt_get(x->t, fields, "rexpr")) : in_list(x, fields, op);
}

static bool boolean(struct ex *x, uint32_t fields) {
    uint32_t op = jt_get(x->t, fields, "boolop");
    bool no = jt_str_is(x->t, op, "NOT_EXPR");
    buf_str(&x->out, no ? "(NOT " : "(");
    if (!list(x, jt_get(x->t, fields, "args"), jt_str_is(x->t, op, "OR_EXPR") ? " OR " : " AND ")) return false;
    buf_u8(&x->out, ')');
    return true;
}

static bool call(struct ex *x, uint32_t fields) {
    /* Immutable for every overload that can be meant, but for those with a trait; none raises an error that quotes its argument. */
    static const char *const known[] = {"abs",        "btrim",        "ceil",     "ceiling",        "char_length", "character_length",
                                        "date_part",  "date_trunc",   "extract",  "floor",          "initcap",     "left",
                                        "length",     "lower",        "lpad",     "ltrim",          "make_date",   "md5",
                                        "mod",        "octet_length", "position", "regexp_replace", "repeat",      "replace",
                                        "reverse",    "right",        "round",    "rpad",           "rtrim",       "sign",
                                        "split_part", "starts_with",  "strpos",   "substr",         "substring",   "translate",
                                        "trunc",      "upper"};
    static const char *const of_time[] = {"date_part", "date_trunc", "extract"};
    static const char *const of_numbers[] = {"abs", "ceil", "ceiling", "floor", "make_date", "mod", "round", "sign", "trunc"};
    static const char *const keys[] = {"funcname", "args", "funcformat", "location", NULL};
    const char *parts[2];
    uint32_t args = jt_get(x->t, fields, "args");
    size_t n = ex_names(x, jt_get(x->t, fields, "funcname"), parts, 2);
    if (n == 0 || (n == 2 && strcmp(parts[0], "pg_catalog") != 0) || !POL_IN(known, parts[n - 1]))
        return ex_fail(x, "the function %.60s is not possible here; see policy(5)", n > 0 ? parts[n - 1] : "");
    const char *name = parts[n - 1];
    if (!only(x, fields, name, keys)) return false;
    if (POL_IN(of_time, name)) {
        bool zone_given = ex_length(x, args) == 3; /* date_trunc's third argument */
        if (!zone_given) x->traits |= POL_E_ZONED;
        if (strcmp(name, "date_trunc") == 0) x->traits |= zone_given ? POL_E_TRUNC_ZONE : POL_E_TRUNC;
    } else if (!POL_IN(of_numbers, name)) {
        x->traits |= POL_E_TEXT;
    }
    buf_str(&x->out, "pg_catalog.");
    pol_put_ident(&x->out, name); /* quoted: some of these are words of the grammar */
    buf_u8(&x->out, '(');
    if (!list(x, args, ", ")) return false;
    buf_u8(&x->out, ')');
    return true;
}

static bool cast(struct ex *x, uint32_t fields) {
    static const char *const known[] = {"bool",    "bpchar", "date", "float4",    "float8",      "int2", "int4",   "int8",
                                        "numeric", "text",   "time", "timestamp", "timestamptz", "uuid", "varchar"};
    static const char *const texts[] = {"bpchar", "text", "varchar"}, *const times[] = {"date", "time", "timestamp", "timestamptz"};
    const char *parts[2];
    uint32_t type = jt_get(x->t, fields, "typeName"), mods;
    size_t n = type != 0 ? ex_names(x, jt_get(x->t, type, "names"), parts, 2) : 0;
    if (n == 0 || (n == 2 && strcmp(parts[0], "pg_catalog") != 0) || !POL_IN(known, parts[n - 1]) ||
        jt_get(x->t, type, "arrayBounds") != 0 || jt_get(x->t, type, "setof") != 0 || jt_get(x->t, type, "pct_type") != 0)
        return ex_fail(x, "a cast to %.60s is not possible here; see policy(5)", n > 0 ? parts[n - 1] : "this type");
    uint32_t arg = jt_get(x->t, fields, "arg"), literal;
    bool of_constant = ex_node(x, arg, &literal) == NT_A_Const;
    if (POL_IN(texts, parts[n - 1]) && !of_constant) x->traits |= POL_E_TEXT;
    if (POL_IN(times, parts[n - 1]) && !of_constant) x->traits |= POL_E_ZONED;
    buf_str(&x->out, "CAST(");
    if (!expr(x, arg)) return false;
    buf_str(&x->out, " AS pg_catalog.");
    pol_put_ident(&x->out, parts[n - 1]);
    if ((mods = jt_get(x->t, type, "typmods")) != 0) {
        for (uint32_t c = mods + 1; c < jt_end(x->t, mods); c = jt_skip(x->t, c))
            if (ex_node(x, c, &literal) != NT_A_Const) return ex_fail(x, "a type's length is a number");
        buf_u8(&x->out, '(');
        size_t at = x->out.len;
        if (!list(x, mods, ", ")) return false;
        for (; at < x->out.len; at++) /* number() puts parentheses, which have no place here */
            if (x->out.data[at] == '(' || x->out.data[at] == ')') x->out.data[at] = ' ';
        buf_u8(&x->out, ')');
    }
    buf_u8(&x->out, ')');
    return true;
}

static bool case_of(struct ex *x, uint32_t fields) {
    uint32_t whens = jt_get(x->t, fields, "args"), arg = jt_get(x->t, fields, "arg"), els = jt_get(x->t, fields, "defresult"), w;
    buf_str(&x->out, "(CASE");
    for (uint32_t c = whens + 1; whens != 0 && c < jt_end(x->t, whens); c = jt_skip(x->t, c)) {
        if (ex_node(x, c, &w) != NT_CaseWhen) return ex_fail(x, "a CASE could not be read");
        buf_str(&x->out, " WHEN ");
        uint32_t when = jt_get(x->t, w, "expr");
        /* CASE x WHEN y compares with whatever = is found: said as CASE WHEN x = y */
        if (!(arg != 0 ? infix(x, arg, "=", when) : expr(x, when))) return false;
        buf_str(&x->out, " THEN ");
        if (!expr(x, jt_get(x->t, w, "result"))) return false;
    }
    if (els != 0) {
        buf_str(&x->out, " ELSE ");
        if (!expr(x, els)) return false;
    }
    buf_str(&x->out, " END)");
    return true;
}

static bool null_test(struct ex *x, uint32_t fields) {
    bool no = jt_str_is(x->t, jt_get(x->t, fields, "nulltesttype"), "IS_NOT_NULL");
    buf_u8(&x->out, '(');
    if (!expr(x, jt_get(x->t, fields, "arg"))) return false;
    buf_str(&x->out, no ? " IS NOT NULL)" : " IS NULL)");
    return true;
}

static bool boolean_test(struct ex *x, uint32_t fields) {
    static const char *const tests[][2] = {{"IS_TRUE", " IS TRUE)"},       {"IS_NOT_TRUE", " IS NOT TRUE)"},
                                           {"IS_FALSE", " IS FALSE)"},     {"IS_NOT_FALSE", " IS NOT FALSE)"},
                                           {"IS_UNKNOWN", " IS UNKNOWN)"}, {"IS_NOT_UNKNOWN", " IS NOT UNKNOWN)"}};
    buf_u8(&x->out, '(');
    if (!expr(x, jt_get(x->t, fields, "arg"))) return false;
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (jt_str_is(x->t, jt_get(x->t, fields, "booltesttype"), tests[i][0])) {
            buf_str(&x->out, tests[i][1]);
            return true;
        }
    return ex_fail(x, "a test could not be read");
}

static bool coalesce(struct ex *x, uint32_t fields, const char *name) {
    buf_str(&x->out, name);
    buf_u8(&x->out, '(');
    if (!list(x, jt_get(x->t, fields, "args"), ", ")) return false;
    buf_u8(&x->out, ')');
    return true;
}

static bool parameter(struct ex *x, uint32_t fields) {
    int64_t n = jt_int(x->t, jt_get(x->t, fields, "number"), 0);
    if (n < 1 || (uint64_t)n > x->nclaims) return ex_fail(x, "$%lld is not possible; write ${claim:name} or ${principal}", (long long)n);
    x->seen |= 1u << (n - 1);
    x->traits |= POL_E_STRINGS | POL_E_NO_ZONE; /* it may be any text */
    if (x->claims[n - 1] == NULL) {
        buf_u8(&x->out, POL_T_PRINCIPAL);
        return true;
    }
    buf_u8(&x->out, POL_T_CLAIM);
    buf_str(&x->out, x->claims[n - 1]);
    buf_u8(&x->out, POL_T_CLAIM);
    return true;
}

static bool expr(struct ex *x, uint32_t node) {
    uint32_t f;
    if (x->out.failed) return too_long(x, &x->out);
    switch (ex_node(x, node, &f)) {
    case NT_ColumnRef: return column(x, f);
    case NT_A_Const: return constant(x, f);
    case NT_A_Expr: return operation(x, f);
    case NT_BoolExpr: return boolean(x, f);
    case NT_FuncCall: return call(x, f);
    case NT_TypeCast: return cast(x, f);
    case NT_CaseExpr: return case_of(x, f);
    case NT_NullTest: return null_test(x, f);
    case NT_BooleanTest: return boolean_test(x, f);
    case NT_CoalesceExpr: return coalesce(x, f, "COALESCE");
    case NT_MinMaxExpr: return coalesce(x, f, jt_str_is(x->t, jt_get(x->t, f, "op"), "IS_LEAST") ? "LEAST" : "GREATEST");
    case NT_ParamRef: return parameter(x, f);
    case NT_SubLink:
        return ex_fail(x, "a subquery is not possible here%s",
                       x->filter ? ": a filter reads the relation's own columns; make a view that has the column, grant that in the "
                                   "table's place, and filter it"
                                 : "");
    default: return ex_fail(x, "%.40s is not possible here; see policy(5)", f != 0 ? pg_node_name(ex_node(x, node, &f)) : "this");
    }
}

/* The one expression of SELECT (expr); 0 when the text is something else: it closes the parenthesis, adds a FROM, a second statement. */
static uint32_t the_expression(const struct ex *x) {
    uint32_t stmts = jt_get(x->t, 0, "stmts"), select, target;
    if (ex_length(x, stmts) != 1 || ex_node(x, jt_get(x->t, stmts + 1, "stmt"), &select) != NT_SelectStmt) return 0;
    for (uint32_t c = jt_first(x->t, select); c < jt_end(x->t, select); c = jt_skip(x->t, c))
        if (!jt_key_is(x->t, c, "targetList") && !jt_key_is(x->t, c, "limitOption") && !jt_key_is(x->t, c, "op")) return 0;
    if (!jt_str_is(x->t, jt_get(x->t, select, "limitOption"), "LIMIT_OPTION_DEFAULT") ||
        !jt_str_is(x->t, jt_get(x->t, select, "op"), "SETOP_NONE"))
        return 0;
    uint32_t targets = jt_get(x->t, select, "targetList");
    if (ex_length(x, targets) != 1 || ex_node(x, targets + 1, &target) != NT_ResTarget) return 0;
    if (jt_get(x->t, target, "name") != 0 || jt_get(x->t, target, "indirection") != 0) return 0;
    return jt_get(x->t, target, "val");
}

static const struct pol_expr *finish(struct ex *x, const char *text) {
    struct pol_expr *e = pol_alloc(x->arena, sizeof *e);
    const char **columns = pol_alloc_array(x->arena, x->ncolumns + 1, sizeof *columns);
    char *sql = x->out.failed ? NULL : pol_strndup(x->arena, (const char *)buf_at(&x->out), buf_used(&x->out));
    if (e == NULL || columns == NULL || sql == NULL) {
        ex_fail(x, x->out.failed && !x->out.no_memory ? "the expression is too long" : "out of memory");
        return NULL;
    }
    memcpy(columns, x->columns, x->ncolumns * sizeof *columns);
    *e = (struct pol_expr){.sql = sql, .columns = columns, .ncolumns = x->ncolumns, .traits = x->traits, .claims = x->nclaims > 0};
    if ((e->text = pol_strdup(x->arena, text)) == NULL || (x->value != NULL && (e->value = pol_strdup(x->arena, x->value)) == NULL)) {
        ex_fail(x, "out of memory");
        return NULL;
    }
    return e;
}

uint32_t ex_open(struct ex *x, const char *text, struct buf *sql, struct jt *tape) {
    struct pg_scan scan;
    x->t = tape;
    x->why[0] = '\0';
    if (strlen(text) > EX_MAX_TEXT) return ex_fail(x, "the expression has more than %u bytes", EX_MAX_TEXT);
    if (!take_claims(x, text, sql)) return 0;
    x->sql = (const char *)buf_at(sql);
    if (pg_scan(x->sql, strlen(x->sql), MAX_DEPTH, 4096, &scan) != PG_SCAN_OK)
        return ex_fail(x, "the expression is too long, nested too deep, or not UTF-8");
    PgQueryParseResult r = pg_query_parse(x->sql);
    uint32_t node = 0;
    char *json;
    if (r.error != NULL)
        ex_fail(x, "%.200s", r.error->message != NULL ? r.error->message : "out of memory");
    else if ((json = pol_strdup(x->arena, r.parse_tree)) == NULL ||
             jt_parse(tape, json, strlen(json), 1u << 16) != JT_OK) /* the tape points into it */
        ex_fail(x, "out of memory");
    else if ((node = the_expression(x)) == 0)
        ex_fail(x, "it must be one expression and nothing else");
    pg_query_free_parse_result(r);
    return node;
}

const struct pol_expr *pol_expr_pg(struct pol_arena *arena, const char *text, const char *value, char *why, size_t size) {
    const char *claims[EX_MAX_CLAIMS];
    struct jt tape = {0};
    struct ex x = {.arena = arena, .value = value, .filter = value == NULL, .claims = claims, .why = why, .whylen = size};
    struct buf sql = BUF_INIT(EX_MAX_TEXT * 2);
    const struct pol_expr *e = NULL;
    x.out = BUF_INIT(MAX_OUT);
    uint32_t node = ex_open(&x, text, &sql, &tape);
    if (node != 0 && expr(&x, node) && x.seen != (x.nclaims == EX_MAX_CLAIMS ? UINT32_MAX : (1u << x.nclaims) - 1))
        ex_fail(&x, "a ${...} stands inside of quotes or a comment; it is a value by itself");
    else if (why[0] == '\0')
        e = finish(&x, text);
    jt_free(&tape);
    buf_free(&sql);
    buf_free(&x.out);
    return e;
}
