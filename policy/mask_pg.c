/* Masks as PostgreSQL expressions: total (they raise no error, whatever the value), of the column's own type, deterministic, independent of the session's
 * settings and search_path. */
#include "filters/bytes.h"
#include "policy/policy_int.h"
#include "policy/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a column's type is to masks; a domain is what it is made of. */
enum class { C_OTHER, C_TEXT, C_INT, C_NUMERIC, C_FLOAT, C_DATE, C_TIMESTAMP, C_TIMESTAMPTZ, C_TIMETZ, C_BOOL, C_UUID, C_ENUM };

struct mk {
    const struct pol_mask *m;
    const struct pol_catalog *catalog;
    const struct pol_cat_column *column;
    const struct pol_cat_type *type; /* of what a domain is made of */
    bool domain, assume_hash;
    enum class class;
    struct buf *out;
    char *why;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct mk *k, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(k->why, k->size, fmt, ap);
    va_end(ap);
    return false;
}

static const struct pol_cat_type *base_type(const struct pol_catalog *c, uint32_t oid, bool *domain) {
    const struct pol_cat_type *t = pol_catalog_type(c, oid);
    *domain = false;
    for (int i = 0; t != NULL && t->kind == 'd' && i < 32; i++) {
        *domain = true;
        t = pol_catalog_type(c, t->base);
    }
    return t != NULL && t->kind != 'd' ? t : NULL;
}

static enum class class_of(const struct pol_cat_type *t) { static const struct {const char * name; enum class class;}
known[] = {{"bool", C_BOOL},
           {"bpchar", C_TEXT},
           {"date", C_DATE},
           {"float4", C_FLOAT},
           {"float8", C_FLOAT},
           {"int2", C_INT},
           {"int4", C_INT},
           {"int8", C_INT},
           {"numeric", C_NUMERIC},
           {"text", C_TEXT},
           {"timestamp", C_TIMESTAMP},
           {"timestamptz", C_TIMESTAMPTZ},
           {"timetz", C_TIMETZ},
           {"uuid", C_UUID},
           {"varchar", C_TEXT}};
if (t->kind == 'e') return C_ENUM;
if (strcmp(t->schema, "pg_catalog") != 0) return C_OTHER;
for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i].name, t->name) == 0) return known[i].class;
return C_OTHER;
}

/* The type's name, so that no type of a temporary table's or of search_path is meant. format_type() writes built-in types without a schema; those that the
 * grammar knows as words are PostgreSQL's own whatever there is. */
static void put_type(struct mk *k) {
    static const char *const words[] = {"bigint",           "bit",     "boolean",  "character", "character varying",
                                        "double precision", "integer", "interval", "numeric",   "real",
                                        "smallint",         "time",    "timestamp"};
    if (k->domain) { /* CAST(NULL AS a domain) would meet its constraints */
        pol_put_ident(k->out, k->type->schema);
        buf_u8(k->out, '.');
        pol_put_ident(k->out, k->type->name);
        return;
    }
    const char *typ = k->column->typ;
    bool word = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if (strncmp(typ, words[i], n) == 0 && (typ[n] == '\0' || strchr("( [", typ[n]) != NULL)) word = true;
    }
    if (strcmp(k->type->schema, "pg_catalog") == 0 && !word && strncmp(typ, "pg_catalog.", 11) != 0 && !k->type->array)
        buf_str(k->out, "pg_catalog.");
    if (k->type->array && !word && strchr(typ, '.') == NULL) buf_str(k->out, "pg_catalog.");
    buf_str(k->out, typ);
}

static void put_value(struct mk *k) {
    buf_u8(k->out, POL_T_ROW);
    buf_u8(k->out, '.');
    pol_put_ident(k->out, k->column->name);
}

static bool is_text(const struct mk *k) {
    return !k->domain && strcmp(k->type->schema, "pg_catalog") == 0 && strcmp(k->type->name, "text") == 0;
}

/* A small language for the bodies below: %v the column, %t the column as text, %a and %b numbers, %s a string literal; . before a function or operator is
 * left to the body to say. */
static void put(struct mk *k, const char *body, int64_t a, int64_t b, const char *s) {
    char number[24];
    for (const char *p = body; *p != '\0'; p++) {
        if (*p != '%') {
            buf_u8(k->out, (uint8_t)*p);
            continue;
        }
        switch (*++p) {
        case 'v': put_value(k); break;
        case 't':
            if (!is_text(k)) buf_str(k->out, "CAST(");
            put_value(k);
            if (!is_text(k)) buf_str(k->out, " AS pg_catalog.text)");
            break;
        case 'a':
        case 'b':
            snprintf(number, sizeof number, "%lld", (long long)(*p == 'a' ? a : b));
            buf_str(k->out, number);
            break;
        case 's': pol_put_literal(k->out, s); break;
        default: buf_u8(k->out, (uint8_t)*p);
        }
    }
}

#define OP(op) " OPERATOR(pg_catalog." op ") "

/* At most half of a value is left standing, so that short ones do not show whole. */
static bool text_mask(struct mk *k) {
    const struct pol_mask *m = k->m;
    if (k->class != C_TEXT) return fail(k, "this mask is for text, and the column is of type %.80s", k->column->typ);
    switch (m->kind) {
    case POL_M_EMAIL: /* behind the last @: "a@secret"@example.org is an address */
        put(k,
            "CASE WHEN pg_catalog.strpos(%t, '@')" OP(">") "0 THEN pg_catalog.\"left\"(%t, 1)" OP("||") "'***@'" OP(
                "||") "pg_catalog.reverse("
                      "pg_catalog.split_part(pg_catalog.reverse(%t), '@', 1)) WHEN %v IS NOT NULL THEN '***' END",
            0, 0, "");
        return true;
    case POL_M_FIRST:
        put(k,
            "CASE WHEN pg_catalog.length(%t)" OP(">=") "%b THEN pg_catalog.\"left\"(%t, %a)" OP(
                "||") "'***' WHEN %v IS NOT NULL THEN '***' END",
            m->first, m->first * 2, "");
        return true;
    case POL_M_LAST:
        put(k,
            "CASE WHEN pg_catalog.length(%t)" OP(">=") "%b THEN '***'" OP(
                "||") "pg_catalog.\"right\"(%t, %a) WHEN %v IS NOT NULL THEN '***' END",
            m->last, m->last * 2, "");
        return true;
    default:
        put(k, "CASE WHEN pg_catalog.length(%t)" OP(">=") "%a THEN ", (m->first + m->last) * 2, 0, "");
        put(k, "pg_catalog.\"left\"(%t, %a)" OP("||") "pg_catalog.repeat(%s, pg_catalog.length(%t)" OP("-") "%b)" OP("||"), m->first,
            m->first + m->last, m->text);
        if (m->last > 0)
            put(k, "pg_catalog.\"right\"(%t, %a)", m->last, 0, "");
        else
            buf_str(k->out, "''");
        put(k, " ELSE pg_catalog.repeat(%s, pg_catalog.length(%t)) END", 0, 0, m->text);
        return true;
    }
}

/* Within the years that every step can do; infinity and the far past become NULL. */
static bool time_mask(struct mk *k) {
    bool whole_days = strcmp(k->m->text, "year") == 0 || strcmp(k->m->text, "month") == 0 || strcmp(k->m->text, "day") == 0;
    const char *unit = k->m->text;
    if (k->class == C_DATE && !whole_days) return fail(k, "a date can be truncated to year, month or day");
    if (k->class == C_DATE)
        put(k,
            "CASE WHEN %v" OP(">=") "'0001-01-01'::pg_catalog.date AND %v" OP(
                "<=") "'9999-12-31'::pg_catalog.date THEN "
                      "pg_catalog.date_trunc(%s, CAST(%v AS pg_catalog.\"timestamp\")) END",
            0, 0, unit);
    else if (k->class == C_TIMESTAMP)
        put(k,
            "CASE WHEN %v" OP(">=") "'0001-01-02'::pg_catalog.\"timestamp\" AND %v" OP("<") "'10000-01-01'::pg_catalog.\"timestamp\" THEN "
                                                                                            "pg_catalog.date_trunc(%s, %v) END",
            0, 0, unit);
    else if (k->class == C_TIMESTAMPTZ)
        put(k,
            "CASE WHEN %v" OP(">=") "'0001-01-02 00:00:00+00'::pg_catalog.timestamptz AND %v" OP(
                "<") "'9999-12-31 00:00:00+00'::pg_catalog.timestamptz "
                     "THEN pg_catalog.date_trunc(%s, %v, 'UTC') END",
            0, 0, unit);
    else
        return fail(k, "truncate is for date, timestamp and timestamptz, and the column is of type %.80s", k->column->typ);
    return true;
}

static bool round_mask(struct mk *k) {
    int64_t step = k->m->first;
    if (k->class == C_INT) { /* towards zero: cannot leave the type's range */
        put(k, "CAST(%v AS pg_catalog.int8)" OP("-") "(CAST(%v AS pg_catalog.int8)" OP("%%") "%a::pg_catalog.int8)", step, 0, "");
        return true;
    }
    if (k->class == C_NUMERIC) {
        put(k, "pg_catalog.trunc(%v" OP("/") "%a::pg_catalog.\"numeric\")" OP("*") "%a::pg_catalog.\"numeric\"", step, 0, "");
        return true;
    }
    if (k->class != C_FLOAT) return fail(k, "round is for numbers, and the column is of type %.80s", k->column->typ);
    put(k,
        "CASE WHEN %v" OP(">") "-%a::pg_catalog.float8 AND %v" OP(
            "<") "%a::pg_catalog.float8 THEN 0::pg_catalog.float8 ELSE pg_catalog.trunc(CAST(%v AS "
                 "pg_catalog.float8)" OP("/") "%a::pg_catalog.float8)" OP("*") "%a::pg_catalog.float8 END",
        step, 0, "");
    return true;
}

bool pol_mask_number(const char *s, bool fraction, size_t digits) {
    size_t n = 0, dots = 0;
    if (*s == '-') s++;
    for (; *s != '\0'; s++) {
        if (*s == '.' && fraction && n > 0 && s[1] != '\0')
            dots++;
        else if (*s >= '0' && *s <= '9')
            n++;
        else
            return false;
    }
    return n > 0 && n <= digits && dots <= 1;
}

static bool is_uuid(const char *s) {
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    for (size_t i = 0; i < sizeof shape; i++)
        if (shape[i] == 'x' ? s[i] == '\0' || strchr("0123456789abcdefABCDEF", s[i]) == NULL : s[i] != shape[i]) return false;
    return true;
}

/* The constant must be one of the type's: the server would say so only when somebody reads the column. */
static bool constant_mask(struct mk *k) {
    const char *s = k->m->text;
    bool ok = false, zoned = false;
    switch (k->class) {
    case C_TEXT: ok = true; break;
    case C_INT: ok = pol_mask_number(s, false, strcmp(k->type->name, "int2") == 0 ? 4 : strcmp(k->type->name, "int4") == 0 ? 9 : 18); break;
    case C_NUMERIC:
    case C_FLOAT: ok = pol_mask_number(s, true, 15); break;
    case C_BOOL: ok = strcmp(s, "true") == 0 || strcmp(s, "false") == 0; break;
    case C_DATE: ok = pol_is_iso_date(s, &zoned) && strlen(s) == 10; break;
    case C_TIMESTAMP: ok = pol_is_iso_date(s, &zoned) && !zoned; break;
    case C_TIMESTAMPTZ: ok = pol_is_iso_date(s, &zoned) && zoned; break;
    case C_UUID: ok = is_uuid(s); break;
    default: return fail(k, "a constant is not possible for a column of type %.80s; use the mask null", k->column->typ);
    }
    if (!ok)
        return fail(k, "the constant \"%.60s\" is none of type %.80s (dates as 2026-01-31, timestamptz with its zone)", s, k->column->typ);
    pol_put_literal(k->out, s);
    return true;
}

bool pol_expr_fits(const struct pol_expr *e, const struct pol_catalog *c, const struct pol_cat_column *col, char *why, size_t size) {
    bool domain;
    const struct pol_cat_type *t = base_type(c, col->type, &domain);
    enum class class = t != NULL ? class_of(t) : C_OTHER;
    const char *what = NULL;
    if ((e->traits & POL_E_TEXT) && class != C_TEXT && class != C_INT && class != C_NUMERIC && class != C_BOOL && class != C_UUID &&
        class != C_ENUM)
        what = "it makes text of";
    else if ((e->traits & POL_E_ZONED) && (class == C_TIMESTAMPTZ || class == C_TIMETZ))
        what = "without a time zone it takes apart";
    else if ((e->traits & POL_E_TRUNC_ZONE) && class != C_TIMESTAMPTZ && (class == C_TIMESTAMP || class == C_DATE))
        what = "it takes for a timestamptz";
    else if ((e->traits & POL_E_TRUNC) && class == C_DATE)
        what = "it takes for a timestamptz";
    else if ((e->traits & POL_E_STRINGS) && (class == C_DATE || class == C_TIMESTAMP || class == C_TIMESTAMPTZ))
        what = "it holds strings that are no ISO dates (2026-01-31) or not known yet, beside";
    else if ((e->traits & POL_E_NO_ZONE) && (class == C_TIMESTAMPTZ || class == C_TIMETZ))
        what = "it holds strings without a time zone (2026-01-31 00:00:00+00), beside";
    else if (class == C_OTHER && e->traits != 0 && (t == NULL || t->category != 'V') &&
             (e->traits & (POL_E_TEXT | POL_E_ZONED | POL_E_TRUNC | POL_E_TRUNC_ZONE)))
        what = "it calls functions on";
    if (what == NULL) return true;
    snprintf(why, size, "the expression's result would depend on the session's settings: %s the column \"%.64s\" of type %.80s", what,
             col->name, col->typ);
    return false;
}

static bool expression_mask(struct mk *k) {
    if (!pol_expr_fits(k->m->expr, k->catalog, k->column, k->why, k->size)) return false;
    if ((k->m->expr->traits & POL_E_TEXT) && k->class != C_TEXT)
        return fail(k, "the expression makes text, and the column is of type %.80s", k->column->typ);
    buf_u8(k->out, '(');
    for (const char *p = k->m->expr->sql; *p != '\0'; p++)
        if (*p == POL_T_VALUE)
            put_value(k);
        else
            buf_u8(k->out, (uint8_t)*p);
    buf_u8(k->out, ')');
    return true;
}

/* The key is the database's own: in a table that only the function's owner reads. So it is in no statement, log or view. */
static bool hash_mask(struct mk *k) {
    size_t n;
    const struct pol_cat_function *f = pol_catalog_functions(k->catalog, POL_OWN_SCHEMA, POL_HASH_FUNCTION, &n);
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        const struct pol_cat_type *r = pol_catalog_type(k->catalog, f[i].returns);
        found = found || (f[i].kind == 'f' && f[i].definer && f[i].strict && !f[i].set && f[i].volatility != 'v' && f[i].nargs == 2 &&
                          f[i].args[0] == f[i].args[1] && f[i].args[0] == f[i].returns && r != NULL && strcmp(r->name, "text") == 0 &&
                          strcmp(r->schema, "pg_catalog") == 0);
    }
    if (!found && !k->assume_hash)
        return fail(k, "the database has no function " POL_OWN_SCHEMA "." POL_HASH_FUNCTION
                       "(text, text) that holds the key; \"gatehousectl policy grants --sql\" prints what makes it");
#define HASH POL_OWN_SCHEMA "." POL_HASH_FUNCTION "(%t, %s)"
    const char *body = NULL;
    if (k->class == C_TEXT)
        body = HASH;
    else if (k->class == C_UUID)
        body = "pg_catalog.\"left\"(" HASH ", 32)";
    else if (k->class == C_INT && strcmp(k->type->name, "int8") == 0)
        body = "CAST('x'" OP("||") "pg_catalog.\"left\"(" HASH ", 15) AS pg_catalog.\"bit\"(60))";
    else if (k->class == C_INT && strcmp(k->type->name, "int4") == 0)
        body = "CAST('x'" OP("||") "pg_catalog.\"left\"(" HASH ", 7) AS pg_catalog.\"bit\"(28))";
#undef HASH
    if (body == NULL) return fail(k, "hash is for text, uuid, integer and bigint, and the column is of type %.80s", k->column->typ);
    put(k, body, 0, 0, k->m->text);
    return true;
}

bool pol_mask_sql(const struct pol_mask *m, const struct pol_catalog *c, bool assume_hash, const struct pol_cat_column *col,
                  struct buf *out, char *why, size_t size) {
    struct mk k = {.m = m, .catalog = c, .assume_hash = assume_hash, .column = col, .out = out, .why = why, .size = size};
    k.type = base_type(c, col->type, &k.domain);
    if (k.type == NULL) return fail(&k, "its type %.80s is not in the catalog", col->typ);
    k.class = class_of(k.type);
    /* masks of texts give text */
    bool cast = !is_text(&k) || m->kind == POL_M_NULL || m->kind == POL_M_CONSTANT || m->kind == POL_M_EXPRESSION, ok = true;
    buf_str(out, cast ? "CAST(" : "(");
    switch (m->kind) {
    case POL_M_NULL: buf_str(out, "NULL"); break;
    case POL_M_CONSTANT: ok = constant_mask(&k); break;
    case POL_M_TRUNCATE: ok = time_mask(&k); break;
    case POL_M_ROUND: ok = round_mask(&k); break;
    case POL_M_HASH: ok = hash_mask(&k); break;
    case POL_M_EXPRESSION: ok = expression_mask(&k); break;
    default: ok = text_mask(&k);
    }
    if (!ok) return false;
    if (cast) {
        buf_str(out, " AS ");
        put_type(&k);
    }
    buf_u8(out, ')');
    return !out->failed || fail(&k, "the mask is too long");
}

void pol_mask_words(const struct pol_mask *m, char *out, size_t size) {
    switch (m->kind) {
    case POL_M_NULL: snprintf(out, size, "masked: null"); break;
    case POL_M_CONSTANT: snprintf(out, size, "masked: constant"); break;
    case POL_M_EMAIL: snprintf(out, size, "masked: email"); break;
    case POL_M_FIRST: snprintf(out, size, "masked: first %lld", (long long)m->first); break;
    case POL_M_LAST: snprintf(out, size, "masked: last %lld", (long long)m->last); break;
    case POL_M_PARTIAL: snprintf(out, size, "masked: first %lld, last %lld", (long long)m->first, (long long)m->last); break;
    case POL_M_TRUNCATE: snprintf(out, size, "masked: cut to the %s", m->text); break;
    case POL_M_ROUND: snprintf(out, size, "masked: multiples of %lld", (long long)m->first); break;
    case POL_M_HASH: snprintf(out, size, "masked: hash %.40s", m->text); break;
    case POL_M_EXPRESSION: snprintf(out, size, "masked: expression"); break;
    }
}
