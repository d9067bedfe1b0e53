#include "policy/expr_my.h"

#include "policy/expr_int.h"
#include "policy/my_types.h"
#include "policy/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum ty {
    T_NULL,    /* of any type */
    T_LITERAL, /* a string, of the type that it meets */
    T_BOOL,
    T_NUMBER,
    T_TEXT,
    T_DATE,
    T_DATETIME,
    T_OTHER, /* may be tested for NULL */
};
/* A value as written so far. sql NULL: it could not be. */
struct val {
    enum ty ty;
    const char *sql;
    const char *literal;                 /* T_LITERAL: its text, "" with never when it is not known */
    bool claim;                          /* the text is the identity's, not the policy's */
    const struct pol_cat_column *column; /* it is just this column */
    bool tiny;                           /* a tinyint, as booleans are */
};
struct em {
    struct ex x;
    const struct pol_role *r; /* of a filter; NULL: a mask */
    const struct pol_catalog *catalog;
    const struct pol_cat_relation *rel;
    const struct pol_cat_column *value;
    bool never; /* a claim is missing, or is no value of its type */
};

static struct val none(void) { return (struct val){.ty = T_NULL}; }

/* A value whose text is made like printf()'s. */
__attribute__((format(printf, 3, 4))) static struct val made(struct em *m, enum ty ty, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = n >= 0 && n < (256 << 10) ? pol_alloc(m->x.arena, (size_t)n + 1) : NULL;
    if (s != NULL)
        vsnprintf(s, (size_t)n + 1, fmt, again);
    else
        ex_fail(&m->x, "the expression is too long");
    va_end(again);
    return (struct val){.ty = ty, .sql = s};
}

static struct val expr(struct em *m, uint32_t node);

/* --- leaves --- */

bool my_is_time(const char *s, bool date_only) {
    static const char shape[] = "dddd-dd-dd dd:dd:dd";
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    size_t n = strlen(s);
    if (n != 10 && (date_only || n != 19)) return false;
    for (size_t i = 0; i < n; i++)
        if (shape[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != shape[i]) return false;
    int year = (s[0] - '0') * 1000 + (s[1] - '0') * 100 + (s[2] - '0') * 10 + s[3] - '0';
    int month = (s[5] - '0') * 10 + s[6] - '0', day = (s[8] - '0') * 10 + s[9] - '0';
    bool leap = month == 2 && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    if (year < 1000 || month < 1 || month > 12 || day < 1 || day > days[month - 1] + leap) return false;
    return n == 10 || ((s[11] < '2' || (s[11] == '2' && s[12] < '4')) && s[14] < '6' && s[17] < '6');
}

static bool is_number(const char *s) {
    size_t n = 0, dots = 0;
    if (*s == '-') s++;
    for (; *s != '\0'; s++) {
        if (*s == '.' && n > 0 && s[1] != '\0')
            dots++;
        else if (*s >= '0' && *s <= '9')
            n++;
        else
            return false;
    }
    return n > 0 && n <= 30 && dots <= 1;
}

static const char *quoted(struct em *m, const char *name) {
    struct buf b = BUF_INIT(4096);
    my_put_ident(&b, name);
    char *s = b.failed ? NULL : pol_strndup(m->x.arena, (const char *)buf_at(&b), buf_used(&b));
    buf_free(&b);
    return s;
}

/* A CHAR loses the blanks at its end, which one sql_mode keeps. A timestamp is another value in every zone. */
static struct val column_of(struct em *m, const struct pol_cat_column *col) {
    struct my_type t;
    const char *name = quoted(m, col->name);
    struct val v = none();
    if (name == NULL || !my_type_of(m->catalog, col, &t)) {
        ex_fail(&m->x, "the column \"%.64s\" has the type %.60s, which is not understood", col->name, col->typ);
        return v;
    }
    switch (t.class) {
    case MY_C_CHAR: v = made(m, T_TEXT, "RTRIM(%c.%s)", POL_T_ROW, name); break;
    case MY_C_ENUM: v = made(m, T_TEXT, "CONVERT(%c.%s USING utf8mb4)", POL_T_ROW, name); break;
    case MY_C_VARCHAR:
    case MY_C_TEXT: v = made(m, T_TEXT, "%c.%s", POL_T_ROW, name); break;
    case MY_C_INT:
    case MY_C_YEAR:
    case MY_C_DECIMAL:
    case MY_C_FLOAT: v = made(m, T_NUMBER, "%c.%s", POL_T_ROW, name); break;
    case MY_C_DATE: v = made(m, T_DATE, "%c.%s", POL_T_ROW, name); break;
    case MY_C_DATETIME: v = made(m, T_DATETIME, "%c.%s", POL_T_ROW, name); break;
    default: v = made(m, T_OTHER, "%c.%s", POL_T_ROW, name); break;
    }
    v.column = col;
    v.tiny = strcmp(t.name, "tinyint") == 0;
    return v;
}

static struct val column(struct em *m, uint32_t fields) {
    const char *name;
    if (ex_names(&m->x, jt_get(m->x.t, fields, "fields"), &name, 1) != 1) return none();
    const struct pol_cat_column *col = m->value != NULL ? m->value : pol_find_column(m->rel, name, true);
    if (col != NULL) return column_of(m, col);
    ex_fail(&m->x, "it names the column \"%.64s\", which is not there", name);
    return none();
}

static struct val number(struct em *m, uint32_t fields) {
    const char *p = m->x.sql + jt_int(m->x.t, jt_get(m->x.t, fields, "location"), 0);
    char text[64];
    size_t n = 0;
    if (*p == '-') text[n++] = *p++;
    while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r') p++;
    for (; ((*p >= '0' && *p <= '9') || *p == '.') && n + 1 < sizeof text; p++) text[n++] = *p;
    text[n] = '\0';
    if (is_number(text) && *p != 'e' && *p != 'E') return made(m, T_NUMBER, text[0] == '-' ? "(%s)" : "%s", text);
    ex_fail(&m->x, "the number %.40s is too long, or has an exponent", text);
    return none();
}

static struct val constant(struct em *m, uint32_t fields) {
    const struct jt *t = m->x.t;
    uint32_t v;
    if (jt_get(t, fields, "ival") != 0 || jt_get(t, fields, "fval") != 0) return number(m, fields);
    if ((v = jt_get(t, fields, "boolval")) != 0) return made(m, T_BOOL, "%s", jt_bool(t, jt_get(t, v, "boolval")) ? "TRUE" : "FALSE");
    if (jt_get(t, fields, "isnull") != 0) return made(m, T_NULL, "NULL");
    if ((v = jt_get(t, fields, "sval")) == 0) return none();
    uint32_t text = jt_get(t, v, "sval");
    const char *s = text == 0 ? "" : jt_string(t, text, m->x.arena);
    return (struct val){.ty = T_LITERAL, .sql = s, .literal = s};
}

static struct val parameter(struct em *m, uint32_t fields) {
    int64_t n = jt_int(m->x.t, jt_get(m->x.t, fields, "number"), 0);
    const char *s = NULL;
    if (n < 1 || (uint64_t)n > m->x.nclaims || m->r == NULL) return none();
    const char *name = m->x.claims[n - 1];
    if (name == NULL) s = m->r->principal;
    for (size_t i = 0; name != NULL && i < m->r->nclaims; i++)
        if (strcmp(m->r->claims[i].name, name) == 0) s = m->r->claims[i].value;
    if (s == NULL) m->never = true;
    return (struct val){.ty = T_LITERAL, .sql = s != NULL ? s : "", .literal = s != NULL ? s : "", .claim = true};
}

/* --- types --- */

static const char *type_name(enum ty ty) {
    switch (ty) {
    case T_BOOL: return "a truth value";
    case T_NUMBER: return "a number";
    case T_TEXT:
    case T_LITERAL: return "a text";
    case T_DATE: return "a date";
    case T_DATETIME: return "a datetime";
    default: return "something else";
    }
}

/* A string of the policy's must fit; one of the identity's that does not makes the filter false. */
static struct val literal_as(struct em *m, const struct val *v, enum ty ty) {
    struct buf b = BUF_INIT(16384);
    struct val out = none();
    bool ok = false;
    if (ty == T_TEXT) {
        ok = my_put_literal(&b, v->literal);
    } else if (ty == T_NUMBER && is_number(v->literal)) {
        buf_str(&b, "(");
        buf_str(&b, v->literal);
        buf_str(&b, ")");
        ok = true;
    } else if ((ty == T_DATE || ty == T_DATETIME) && my_is_time(v->literal, ty == T_DATE)) {
        buf_str(&b, strlen(v->literal) == 10 ? "DATE'" : "TIMESTAMP'");
        buf_str(&b, v->literal);
        buf_str(&b, "'");
        ok = true;
    }
    buf_u8(&b, '\0');
    if (ok && !b.failed) {
        out = made(m, ty, "%s", (const char *)buf_at(&b));
        out.literal = v->literal;
    } else if (v->claim) {
        m->never = true;
        out = made(m, ty, "NULL");
    } else {
        ex_fail(&m->x, "'%.60s' is not %s (dates as 2026-01-31)", v->literal, type_name(ty));
    }
    buf_free(&b);
    return out;
}

static bool as(struct em *m, struct val *v, enum ty ty) {
    if (v->sql == NULL) return ex_fail(&m->x, "the expression is not possible in MySQL and MariaDB");
    if (v->ty == ty || v->ty == T_NULL) return true;
    if (v->ty == T_LITERAL)
        *v = literal_as(m, v, ty);
    else if (ty == T_BOOL && v->tiny)
        *v = made(m, T_BOOL, "(%s <> 0)", v->sql);
    else if (!(ty == T_DATETIME && v->ty == T_DATE))
        return ex_fail(&m->x, "%s is used as %s", type_name(v->ty), type_name(ty));
    return v->sql != NULL;
}

/* Both of one type, which is given back; T_OTHER: failed. */
static enum ty together(struct em *m, struct val *a, struct val *b) {
    enum ty ty = a->ty;
    if (ty == T_NULL || ty == T_LITERAL || (ty == T_DATE && b->ty == T_DATETIME) || b->ty == T_BOOL) ty = b->ty;
    if (ty == T_LITERAL || ty == T_NULL) ty = T_TEXT;
    if (ty == T_OTHER) ex_fail(&m->x, "a column of this type can be tested for NULL, and nothing else");
    return ty != T_OTHER && as(m, a, ty) && as(m, b, ty) ? ty : T_OTHER;
}

/* --- comparisons --- */

static bool is_ascii(const char *s) {
    for (; *s != '\0'; s++)
        if ((unsigned char)*s >= 0x80) return false;
    return true;
}

/* The column and a constant, in a form that an index is found by: it holds whenever the characters are the same. Not of CHAR, whose blanks NOPAD collations count. */
static struct val index_form(struct em *m, const struct val *col, const struct val *lit) {
    struct my_type t;
    if (col->column == NULL || lit->literal == NULL || !my_type_of(m->catalog, col->column, &t) || t.class != MY_C_VARCHAR) return none();
    if (!is_ascii(lit->literal) && strncmp(t.charset, "utf8", 4) != 0) return none();
    return made(m, T_BOOL, "%s = %s", col->sql, lit->sql);
}

#define BYTES "CAST(CONVERT(%s USING utf8mb4) AS BINARY)"

static struct val compare(struct em *m, struct val a, const char *op, struct val b) {
    enum ty ty = together(m, &a, &b);
    if (ty == T_OTHER) return none();
    if (ty != T_TEXT) return made(m, T_BOOL, "(%s %s %s)", a.sql, op, b.sql);
    if (strcmp(op, "=") != 0 && strcmp(op, "<>") != 0) {
        ex_fail(&m->x, "texts can be compared with = and <>, LIKE and IN, because their order is the collation's");
        return none();
    }
    struct val form = strcmp(op, "=") != 0 ? none() : index_form(m, &a, &b);
    if (form.sql == NULL && strcmp(op, "=") == 0) form = index_form(m, &b, &a);
    if (form.sql != NULL) return made(m, T_BOOL, "(%s AND " BYTES " = " BYTES ")", form.sql, a.sql, b.sql);
    return made(m, T_BOOL, "(" BYTES " %s " BYTES ")", a.sql, op, b.sql);
}

/* utf8mb4_bin compares characters. The default escape is a backslash, which is two ways to write one by sql_mode. */
static struct val like(struct em *m, struct val a, bool no, struct val pattern) {
    if (pattern.ty != T_LITERAL || !as(m, &a, T_TEXT)) {
        ex_fail(&m->x, "LIKE needs a text and a constant pattern");
        return none();
    }
    if (strpbrk(pattern.literal, "\\|") != NULL) {
        if (!pattern.claim) ex_fail(&m->x, "a pattern with \\ or | is not possible");
        m->never = true;
        return made(m, T_BOOL, "FALSE");
    }
    if (!as(m, &pattern, T_TEXT)) return none();
    return made(m, T_BOOL, "(CONVERT(%s USING utf8mb4) COLLATE utf8mb4_bin %sLIKE %s ESCAPE '|')", a.sql, no ? "NOT " : "", pattern.sql);
}

static struct val infix(struct em *m, uint32_t left, const char *op, uint32_t right) {
    static const char *const comparisons[] = {"<", "<=", "<>", "=", ">", ">="};
    if (left == 0) {
        ex_fail(&m->x, "the operator %.10s in front of a value is not possible", op);
        return none();
    }
    struct val a = expr(m, left), b = expr(m, right);
    if (a.sql == NULL || b.sql == NULL) return none();
    if (POL_IN(comparisons, op)) return compare(m, a, op, b);
    if (strcmp(op, "~~") == 0 || strcmp(op, "!~~") == 0) return like(m, a, op[0] == '!', b);
    if (strcmp(op, "||") == 0 && as(m, &a, T_TEXT) && as(m, &b, T_TEXT)) return made(m, T_TEXT, "CONCAT(%s, %s)", a.sql, b.sql);
    bool nonzero = b.sql[strspn(b.sql, "0123456789")] == '\0' && b.sql[strspn(b.sql, "0")] != '\0';
    if (strcmp(op, "%") == 0 && nonzero && as(m, &a, T_NUMBER)) return made(m, T_NUMBER, "MOD(%s, %s)", a.sql, b.sql);
    ex_fail(&m->x, "the operator %.10s is not possible in MySQL and MariaDB (%% is, with a constant), because it could raise an error", op);
    return none();
}

static struct val in_list(struct em *m, uint32_t left, const char *op, uint32_t rexpr) {
    uint32_t items = 0, fields;
    bool no = strcmp(op, "<>") == 0;
    struct val all = none();
    if (ex_node(&m->x, rexpr, &fields) == NT_List) items = jt_get(m->x.t, fields, "items");
    for (uint32_t c = items + 1; items != 0 && c < jt_end(m->x.t, items); c = jt_skip(m->x.t, c)) {
        struct val one = infix(m, left, op, c);
        if (one.sql == NULL) return none();
        all = all.sql == NULL ? one : made(m, T_BOOL, "%s %s %s", all.sql, no ? "AND" : "OR", one.sql);
        if (all.sql == NULL) return none();
    }
    return all.sql == NULL ? none() : made(m, T_BOOL, "(%s)", all.sql);
}

static struct val between(struct em *m, uint32_t left, uint32_t rexpr, bool no) {
    uint32_t fields, pair = 0;
    if (ex_node(&m->x, rexpr, &fields) == NT_List) pair = jt_get(m->x.t, fields, "items");
    if (pair == 0 || ex_length(&m->x, pair) != 2) return none();
    struct val a = infix(m, left, no ? "<" : ">=", pair + 1), b = infix(m, left, no ? ">" : "<=", jt_skip(m->x.t, pair + 1));
    return a.sql == NULL || b.sql == NULL ? none() : made(m, T_BOOL, "(%s %s %s)", a.sql, no ? "OR" : "AND", b.sql);
}

static struct val operation(struct em *m, uint32_t f) {
    const struct jt *t = m->x.t;
    uint32_t kind = jt_get(t, f, "kind"), left = jt_get(t, f, "lexpr"), right = jt_get(t, f, "rexpr");
    const char *parts[2];
    if (jt_str_is(t, kind, "AEXPR_BETWEEN")) return between(m, left, right, false);
    if (jt_str_is(t, kind, "AEXPR_NOT_BETWEEN")) return between(m, left, right, true);
    size_t n = ex_names(&m->x, jt_get(t, f, "name"), parts, 2);
    if (n == 0) return none();
    if (jt_str_is(t, kind, "AEXPR_IN")) return in_list(m, left, parts[n - 1], right);
    return infix(m, left, parts[n - 1], right);
}

/* --- the rest --- */

static struct val boolean(struct em *m, uint32_t f) {
    const struct jt *t = m->x.t;
    uint32_t op = jt_get(t, f, "boolop"), args = jt_get(t, f, "args");
    bool no = jt_str_is(t, op, "NOT_EXPR"), either = jt_str_is(t, op, "OR_EXPR");
    struct val all = none();
    for (uint32_t c = args + 1; args != 0 && c < jt_end(t, args); c = jt_skip(t, c)) {
        struct val one = expr(m, c);
        if (!as(m, &one, T_BOOL)) return none();
        all = all.sql == NULL ? made(m, T_BOOL, "%s(%s)", no ? "NOT " : "", one.sql)
                              : made(m, T_BOOL, "%s %s %s", all.sql, either ? "OR" : "AND", one.sql);
        if (all.sql == NULL) return none();
    }
    return all.sql == NULL ? none() : made(m, T_BOOL, "(%s)", all.sql);
}

/* Positive constants, for functions that count characters. */
static bool count(struct em *m, uint32_t node, long *out) {
    uint32_t f;
    *out = ex_node(&m->x, node, &f) == NT_A_Const && jt_get(m->x.t, f, "ival") != 0
               ? (long)jt_int(m->x.t, jt_get(m->x.t, jt_get(m->x.t, f, "ival"), "ival"), 0)
               : 0;
    return *out > 0 && *out <= 10000;
}

static struct val call(struct em *m, uint32_t f) {
    static const struct {
        const char *name, *called; /* of one text */
        enum ty ty;
    } simple[] = {{"btrim", "TRIM", T_TEXT},
                  {"char_length", "CHAR_LENGTH", T_NUMBER},
                  {"character_length", "CHAR_LENGTH", T_NUMBER},
                  {"length", "CHAR_LENGTH", T_NUMBER},
                  {"lower", "LOWER", T_TEXT},
                  {"ltrim", "LTRIM", T_TEXT},
                  {"reverse", "REVERSE", T_TEXT},
                  {"rtrim", "RTRIM", T_TEXT},
                  {"upper", "UPPER", T_TEXT}};
    static const char *const counted[][2] = {{"left", "LEFT"}, {"right", "RIGHT"}, {"substr", "SUBSTRING"}, {"substring", "SUBSTRING"}};
    const char *parts[2];
    uint32_t args = jt_get(m->x.t, f, "args");
    size_t n = ex_names(&m->x, jt_get(m->x.t, f, "funcname"), parts, 2), nargs = ex_length(&m->x, args);
    const char *name = n > 0 ? parts[n - 1] : "";
    struct val a = nargs > 0 ? expr(m, args + 1) : none();
    long from, len;
    for (size_t i = 0; a.sql != NULL && nargs == 1 && i < sizeof simple / sizeof *simple; i++)
        if (strcmp(simple[i].name, name) == 0) return as(m, &a, T_TEXT) ? made(m, simple[i].ty, "%s(%s)", simple[i].called, a.sql) : none();
    uint32_t second = nargs > 1 ? jt_skip(m->x.t, args + 1) : 0, third = nargs > 2 ? jt_skip(m->x.t, second) : 0;
    for (size_t i = 0; a.sql != NULL && second != 0 && i < sizeof counted / sizeof *counted; i++) {
        if (strcmp(counted[i][0], name) != 0 || !count(m, second, &from) || !as(m, &a, T_TEXT)) continue;
        if (nargs == 2) return made(m, T_TEXT, "%s(%s, %ld)", counted[i][1], a.sql, from);
        if (nargs == 3 && i >= 2 && count(m, third, &len)) return made(m, T_TEXT, "SUBSTRING(%s, %ld, %ld)", a.sql, from, len);
    }
    ex_fail(&m->x, "the function %.60s is not possible in MySQL and MariaDB, or not with these arguments; see policy(5)", name);
    return none();
}

static struct val cast(struct em *m, uint32_t f) {
    static const char *const numbers[] = {"float4", "float8", "int2", "int4", "int8", "numeric"}, *const texts[] = {"text", "varchar"};
    const char *parts[2];
    uint32_t type = jt_get(m->x.t, f, "typeName");
    size_t n = type != 0 ? ex_names(&m->x, jt_get(m->x.t, type, "names"), parts, 2) : 0;
    const char *name = n > 0 ? parts[n - 1] : "";
    enum ty ty = POL_IN(numbers, name)            ? T_NUMBER
                 : POL_IN(texts, name)            ? T_TEXT
                 : strcmp(name, "date") == 0      ? T_DATE
                 : strcmp(name, "timestamp") == 0 ? T_DATETIME
                 : strcmp(name, "bool") == 0      ? T_BOOL
                                                  : T_OTHER;
    if (ty == T_OTHER || jt_get(m->x.t, type, "typmods") != 0) {
        ex_fail(&m->x, "a cast to %.60s is not possible in MySQL and MariaDB", name);
        return none();
    }
    struct val v = expr(m, jt_get(m->x.t, f, "arg"));
    return v.sql != NULL && as(m, &v, ty) ? v : none();
}

#define MAX_WHENS 100u

static struct val case_of(struct em *m, uint32_t f) {
    const struct jt *t = m->x.t;
    uint32_t whens = jt_get(t, f, "args"), arg = jt_get(t, f, "arg"), els = jt_get(t, f, "defresult"), w;
    size_t n = ex_length(&m->x, whens), i = 0;
    struct val *results = n <= MAX_WHENS ? pol_alloc_array(m->x.arena, n + 1, sizeof *results) : NULL;
    struct val last = els != 0 ? expr(m, els) : made(m, T_NULL, "NULL"), all = made(m, T_NULL, "(CASE");
    enum ty ty = last.ty;
    if (results == NULL) return none();
    for (uint32_t c = whens + 1; whens != 0 && c < jt_end(t, whens); c = jt_skip(t, c), i++) { /* what they are together, first */
        results[i] = ex_node(&m->x, c, &w) == NT_CaseWhen ? expr(m, jt_get(t, w, "result")) : none();
        if (ty == T_NULL || ty == T_LITERAL) ty = results[i].ty;
    }
    if (ty == T_NULL || ty == T_LITERAL) ty = T_TEXT;
    i = 0;
    for (uint32_t c = whens + 1; all.sql != NULL && whens != 0 && c < jt_end(t, whens); c = jt_skip(t, c), i++) {
        if (ex_node(&m->x, c, &w) != NT_CaseWhen) return none();
        uint32_t when = jt_get(t, w, "expr");
        struct val cond = arg != 0 ? infix(m, arg, "=", when) : expr(m, when);
        if (cond.sql == NULL || !as(m, &cond, T_BOOL) || !as(m, &results[i], ty)) return none();
        all = made(m, ty, "%s WHEN %s THEN %s", all.sql, cond.sql, results[i].sql);
    }
    return all.sql != NULL && as(m, &last, ty) ? made(m, ty, "%s ELSE %s END)", all.sql, last.sql) : none();
}

static struct val null_test(struct em *m, uint32_t f) {
    struct val v = expr(m, jt_get(m->x.t, f, "arg"));
    bool no = jt_str_is(m->x.t, jt_get(m->x.t, f, "nulltesttype"), "IS_NOT_NULL");
    if (v.sql == NULL || (v.ty == T_LITERAL && !as(m, &v, T_TEXT))) return none();
    return made(m, T_BOOL, "(%s IS %sNULL)", v.sql, no ? "NOT " : "");
}

static struct val boolean_test(struct em *m, uint32_t f) {
    static const char *const tests[][2] = {{"IS_TRUE", "TRUE"},           {"IS_NOT_TRUE", "NOT TRUE"}, {"IS_FALSE", "FALSE"},
                                           {"IS_NOT_FALSE", "NOT FALSE"}, {"IS_UNKNOWN", "UNKNOWN"},   {"IS_NOT_UNKNOWN", "NOT UNKNOWN"}};
    struct val v = expr(m, jt_get(m->x.t, f, "arg"));
    for (size_t i = 0; v.sql != NULL && as(m, &v, T_BOOL) && i < sizeof tests / sizeof *tests; i++)
        if (jt_str_is(m->x.t, jt_get(m->x.t, f, "booltesttype"), tests[i][0])) return made(m, T_BOOL, "(%s IS %s)", v.sql, tests[i][1]);
    return none();
}

static struct val coalesce(struct em *m, uint32_t f) {
    uint32_t args = jt_get(m->x.t, f, "args");
    struct val all = none();
    for (uint32_t c = args + 1; args != 0 && c < jt_end(m->x.t, args); c = jt_skip(m->x.t, c)) {
        struct val v = expr(m, c);
        if (v.sql == NULL) return none();
        if (all.sql == NULL) {
            all = v;
            continue;
        }
        enum ty ty = together(m, &all, &v);
        if (ty == T_OTHER) return none();
        all = made(m, ty, "COALESCE(%s, %s)", all.sql, v.sql);
    }
    return all;
}

static struct val expr(struct em *m, uint32_t node) {
    uint32_t f;
    enum pg_node type = ex_node(&m->x, node, &f);
    if (m->x.why[0] != '\0') return none();
    switch (type) {
    case NT_ColumnRef: return column(m, f);
    case NT_A_Const: return constant(m, f);
    case NT_A_Expr: return operation(m, f);
    case NT_BoolExpr: return boolean(m, f);
    case NT_FuncCall: return call(m, f);
    case NT_TypeCast: return cast(m, f);
    case NT_CaseExpr: return case_of(m, f);
    case NT_NullTest: return null_test(m, f);
    case NT_BooleanTest: return boolean_test(m, f);
    case NT_CoalesceExpr: return coalesce(m, f);
    case NT_ParamRef: return parameter(m, f);
    default: ex_fail(&m->x, "%.40s is not possible in MySQL and MariaDB", f != 0 ? pg_node_name(type) : "this"); return none();
    }
}

/* Reads e's text again and gives its value as ty, for use(). */
static bool write_out(struct em *m, const struct pol_expr *e, enum ty ty, struct buf *out, char *why, size_t size) {
    const char *claims[EX_MAX_CLAIMS];
    struct buf sql = BUF_INIT(EX_MAX_TEXT * 2);
    struct jt tape = {0};
    m->x.value = e->value;
    m->x.filter = e->value == NULL;
    m->x.claims = claims;
    m->x.why = why;
    m->x.whylen = size;
    m->x.arena = pol_arena_new();
    uint32_t node = m->x.arena != NULL ? ex_open(&m->x, e->text, &sql, &tape) : 0;
    struct val v = node != 0 ? expr(m, node) : none();
    bool ok = v.sql != NULL && as(m, &v, ty);
    if (ok) {
        buf_u8(out, '(');
        buf_str(out, m->never ? "FALSE" : v.sql);
        buf_u8(out, ')');
    } else if (why[0] == '\0') {
        snprintf(why, size, "the expression is not possible in MySQL and MariaDB");
    }
    jt_free(&tape);
    buf_free(&sql);
    pol_arena_free(m->x.arena);
    return ok && !out->failed;
}

bool pol_filter_my(const struct pol_expr *e, const struct pol_role *r, const struct pol_cat_relation *rel, struct buf *out, char *why,
                   size_t size) {
    struct em m = {.r = r, .catalog = r->catalog, .rel = rel};
    return write_out(&m, e, T_BOOL, out, why, size);
}

bool pol_mask_expr_my(const struct pol_expr *e, const struct pol_catalog *c, const struct pol_cat_column *col, struct buf *out, char *why,
                      size_t size) {
    struct em m = {.catalog = c, .value = col};
    struct my_type t;
    enum ty ty = T_OTHER;
    if (my_type_of(c, col, &t))
        ty = my_is_text(&t)                                                            ? T_TEXT
             : t.class == MY_C_DECIMAL || t.class == MY_C_FLOAT || t.class == MY_C_INT ? T_NUMBER
             : t.class == MY_C_DATE                                                    ? T_DATE
             : t.class == MY_C_DATETIME                                                ? T_DATETIME
                                                                                       : T_OTHER;
    if (ty != T_OTHER) return write_out(&m, e, ty, out, why, size);
    snprintf(why, size, "an expression is not possible for a column of type %.80s", col->typ);
    return false;
}
