/* Masks as expressions of MySQL and MariaDB, the same text for both: total (they raise neither errors nor warnings, whatever the value), of the column's own
 * type, character set and collation, deterministic, and independent of sql_mode, time zone, collation_connection and what else a session can set.
 *
 * Why they look as they do:
 * - Text masks are made of the column itself, so that character set and collation are the column's, as implicit as they were. Only CAST(NULL) and constants
 *   need COLLATE.
 * - LOCATE() goes by the collation, SUBSTRING_INDEX() by bytes: a value with a full-width @ would be found by one and given away whole by the other. So only
 *   SUBSTRING_INDEX() is asked.
 * - CHAR(n) is read without the blanks at its end, unless sql_mode has PAD_CHAR_TO_FULL_LENGTH: then a short value would be long enough to show a part of it.
 * - A literal with a backslash, or an empty one, depends on sql_mode: those are written in hexadecimal. */
#include "filters/bytes.h"
#include "policy/expr_my.h"
#include "policy/my_types.h"
#include "policy/policy_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mk {
    const struct pol_mask *m;
    const struct pol_cat_column *column;
    struct my_type t;
    bool assume_hash;
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

/* --- literals and names --- */

bool my_put_literal(struct buf *out, const char *s) {
    size_t n = strlen(s);
    bool plain = n > 0;
    if (!gh_utf8_valid(s, n)) return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c == 0x7F) return false;
        if (c == '\'' || c == '\\' || c >= 0x80) plain = false;
    }
    if (plain) {
        buf_u8(out, '\'');
        buf_put(out, s, n);
    } else {
        buf_str(out, "_utf8mb4 X'");
        buf_hex(out, s, n);
    }
    buf_u8(out, '\'');
    return true;
}

void my_put_ident(struct buf *out, const char *s) {
    buf_u8(out, '`');
    for (; *s != '\0'; s++) {
        if (*s == '`') buf_u8(out, '`');
        buf_u8(out, (uint8_t)*s);
    }
    buf_u8(out, '`');
}

static void put_value(struct mk *k) {
    if (k->t.class == MY_C_CHAR) buf_str(k->out, "RTRIM(");
    buf_u8(k->out, POL_T_ROW);
    buf_u8(k->out, '.');
    my_put_ident(k->out, k->column->name);
    if (k->t.class == MY_C_CHAR) buf_u8(k->out, ')');
}

/* %v the column, %a and %b numbers, %s a string literal. */
static void put(struct mk *k, const char *body, int64_t a, int64_t b, const char *s) {
    char number[24];
    for (const char *p = body; *p != '\0'; p++) {
        if (*p != '%') {
            buf_u8(k->out, (uint8_t)*p);
            continue;
        }
        switch (*++p) {
        case 'v': put_value(k); break;
        case 'a':
        case 'b':
            snprintf(number, sizeof number, "%lld", (long long)(*p == 'a' ? a : b));
            buf_str(k->out, number);
            break;
        case 's': my_put_literal(k->out, s); break;
        default: buf_u8(k->out, (uint8_t)*p);
        }
    }
}

/* --- types --- */

static bool is_text(const struct mk *k) { return my_is_text(&k->t); }

/* CAST(what AS the column's type), of a value that fits it. */
static void put_cast(struct mk *k, const char *what) {
    const char *type = "", *length = "";
    char own[32];
    switch (k->t.class) {
    case MY_C_OTHER:
    case MY_C_ENUM:
    case MY_C_TEXT:
    case MY_C_CHAR:
    case MY_C_VARCHAR:
        type = "CHAR";
        if (k->t.class == MY_C_CHAR || k->t.class == MY_C_VARCHAR) length = k->t.length;
        break;
    case MY_C_INT:
    case MY_C_BIT:
    case MY_C_YEAR: type = k->t.is_unsigned ? "UNSIGNED" : "SIGNED"; break;
    case MY_C_DECIMAL: type = "DECIMAL", length = k->t.length; break;
    case MY_C_FLOAT: type = "DOUBLE"; break;
    case MY_C_DATE: type = "DATE"; break;
    case MY_C_DATETIME:
    case MY_C_TIMESTAMP: type = "DATETIME", length = k->t.length; break;
    case MY_C_TIME: type = "TIME", length = k->t.length; break;
    case MY_C_JSON: type = "JSON"; break;
    case MY_C_BINARY: type = "BINARY"; break;
    case MY_C_OWN: snprintf(own, sizeof own, "%s", k->t.name), type = own; break;
    }
    buf_str(k->out, "CAST(");
    buf_str(k->out, what);
    buf_str(k->out, " AS ");
    buf_str(k->out, type);
    buf_str(k->out, length);
    if (strcmp(type, "CHAR") == 0 && k->t.charset[0] != '\0') {
        buf_str(k->out, " CHARACTER SET ");
        buf_str(k->out, k->t.charset);
    }
    buf_u8(k->out, ')');
    if (strcmp(type, "CHAR") == 0 && k->t.collation[0] != '\0') {
        buf_str(k->out, " COLLATE ");
        buf_str(k->out, k->t.collation);
    }
}

/* --- masks --- */

static bool is_ascii(const char *s) {
    for (; *s != '\0'; s++)
        if ((unsigned char)*s >= 0x80) return false;
    return true;
}

static bool fits_charset(struct mk *k, const char *s) {
    if (is_ascii(s) || strncmp(k->t.charset, "utf", 3) == 0) return true;
    return fail(k, "\"%.40s\" may not be in the column's character set %.40s; use ASCII", s,
                k->t.charset[0] != '\0' ? k->t.charset : "(unknown)");
}

/* Ends LEFT(..: no longer than the column, and of a type that says so. */
static void put_length(struct mk *k) {
    char n[24];
    snprintf(n, sizeof n, ", %lu)", k->t.chars);
    buf_str(k->out, n);
}

/* At most half of a value is left standing, so that short ones do not show whole. */
static bool text_mask(struct mk *k) {
    const struct pol_mask *m = k->m;
    if (!is_text(k)) return fail(k, "this mask is for text, and the column is of type %.80s", k->column->typ);
    if (k->t.class != MY_C_TEXT) buf_str(k->out, "LEFT(");
    switch (m->kind) {
    case POL_M_EMAIL: /* behind the last @: "a@secret"@example.org is an address */
        put(k,
            "CASE WHEN CHAR_LENGTH(SUBSTRING_INDEX(%v, '@', -1)) < CHAR_LENGTH(%v) THEN CONCAT(LEFT(%v, 1), '***@', SUBSTRING_INDEX(%v, "
            "'@', -1)) "
            "WHEN %v IS NOT NULL THEN '***' END",
            0, 0, "");
        break;
    case POL_M_FIRST:
        put(k, "CASE WHEN CHAR_LENGTH(%v) >= %b THEN CONCAT(LEFT(%v, %a), '***') WHEN %v IS NOT NULL THEN '***' END", m->first,
            m->first * 2, "");
        break;
    case POL_M_LAST:
        put(k, "CASE WHEN CHAR_LENGTH(%v) >= %b THEN CONCAT('***', RIGHT(%v, %a)) WHEN %v IS NOT NULL THEN '***' END", m->last, m->last * 2,
            "");
        break;
    default:
        if (!fits_charset(k, m->text)) return false;
        put(k, "CASE WHEN CHAR_LENGTH(%v) >= %b THEN CONCAT(LEFT(%v, %a), ", m->first, (m->first + m->last) * 2, "");
        put(k, "REPEAT(%s, CHAR_LENGTH(%v) - %a), RIGHT(%v, %b)) ELSE REPEAT(%s, CHAR_LENGTH(%v)) END", m->first + m->last, m->last,
            m->text);
    }
    if (k->t.class != MY_C_TEXT) put_length(k);
    return true;
}

/* The parts that stay are counted up from the first of January: no date that is in between can be invalid, and none is read from a string. What is before
 * the year 1000, where the servers promise nothing, becomes NULL. A timestamp is what it is in UTC, whatever the session's zone. */
static bool time_mask(struct mk *k) {
    static const char *const units[] = {"year", "month", "day", "hour", "minute"};
    static const char *const add[] = {"", " + INTERVAL (MONTH(%v) - 1) MONTH", " + INTERVAL (DAYOFMONTH(%v) - 1) DAY",
                                      " + INTERVAL HOUR(%v) HOUR", " + INTERVAL MINUTE(%v) MINUTE"};
    size_t unit = 0;
    while (unit < 4 && strcmp(units[unit], k->m->text) != 0) unit++;
    if (k->t.class == MY_C_DATE && unit > 2) return fail(k, "a date can be truncated to year, month or day");
    if (k->t.class == MY_C_TIMESTAMP) {
        static const char utc[] = "(CAST(DATE'1970-01-01' AS DATETIME) + INTERVAL (UNIX_TIMESTAMP(%v) DIV 60 * 60) SECOND)";
        struct buf u = BUF_INIT(4096), *out = k->out;
        k->out = &u;
        put(k, utc, 0, 0, "");
        buf_u8(&u, '\0');
        k->out = out;
        if (u.failed) return fail(k, "the mask is too long");
        const char *text = (const char *)buf_at(&u);
        put(k, "CASE WHEN UNIX_TIMESTAMP(%v) > 0 THEN CAST(MAKEDATE(YEAR(", 0, 0, "");
        buf_str(k->out, text);
        buf_str(k->out, "), 1) AS DATETIME)");
        for (size_t i = 1; i <= unit; i++)
            for (const char *p = add[i]; *p != '\0'; p++)
                if (p[0] == '%')
                    buf_str(k->out, text), p++;
                else
                    buf_u8(k->out, (uint8_t)*p);
        buf_free(&u);
        buf_str(k->out, " END");
        return true;
    }
    if (k->t.class != MY_C_DATE && k->t.class != MY_C_DATETIME)
        return fail(k, "truncate is for date, datetime and timestamp, and the column is of type %.80s", k->column->typ);
    put(k, "CASE WHEN YEAR(%v) >= 1000 THEN ", 0, 0, "");
    buf_str(k->out, k->t.class == MY_C_DATE ? "" : "CAST(");
    put(k, "MAKEDATE(YEAR(%v), 1)", 0, 0, "");
    buf_str(k->out, k->t.class == MY_C_DATE ? "" : " AS DATETIME)");
    for (size_t i = 1; i <= unit; i++) put(k, add[i], 0, 0, "");
    buf_str(k->out, " END");
    return true;
}

/* Towards zero: cannot leave the type's range. DIV of integers is exact; so is %, of decimals, where / would be by div_precision_increment. */
static bool round_mask(struct mk *k) {
    if (k->t.class == MY_C_INT)
        put(k, "%v DIV %a * %a", k->m->first, 0, "");
    else if (k->t.class == MY_C_DECIMAL || k->t.class == MY_C_FLOAT)
        put(k, "%v - MOD(%v, %a)", k->m->first, 0, "");
    else
        return fail(k, "round is for numbers, and the column is of type %.80s", k->column->typ);
    return true;
}

static size_t int_digits(const struct mk *k) {
    return strcmp(k->t.name, "tinyint") == 0     ? 2
           : strcmp(k->t.name, "smallint") == 0  ? 4
           : strcmp(k->t.name, "mediumint") == 0 ? 6
           : strcmp(k->t.name, "int") == 0       ? 9
                                                 : 18;
}

static size_t characters(const char *s) {
    size_t n = 0;
    for (; *s != '\0'; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

/* The constant must be one of the type's: the server would say so only when somebody reads the column. */
static bool constant_mask(struct mk *k) {
    const char *s = k->m->text;
    bool ok = false;
    switch (k->t.class) {
    case MY_C_CHAR:
    case MY_C_VARCHAR: ok = characters(s) <= k->t.chars; break;
    case MY_C_TEXT: ok = characters(s) <= 63; break;
    case MY_C_INT: ok = pol_mask_number(s, false, int_digits(k)) && (*s != '-' || !k->t.is_unsigned); break;
    case MY_C_DECIMAL:
    case MY_C_FLOAT: ok = pol_mask_number(s, true, 15); break;
    case MY_C_DATE: ok = my_is_time(s, true); break;
    case MY_C_DATETIME:
    case MY_C_TIMESTAMP: ok = my_is_time(s, false); break;
    default: return fail(k, "a constant is not possible for a column of type %.80s; use the mask null", k->column->typ);
    }
    if (!ok) return fail(k, "the constant \"%.60s\" is none of type %.80s (dates as 2026-01-31)", s, k->column->typ);
    if (is_text(k) && !fits_charset(k, s)) return false;
    struct buf b = BUF_INIT(8192);
    if (k->t.class == MY_C_INT || k->t.class == MY_C_DECIMAL || k->t.class == MY_C_FLOAT)
        buf_str(&b, s);
    else if (is_text(k))
        my_put_literal(&b, s);
    else {
        buf_str(&b, strlen(s) == 10 ? "DATE'" : "TIMESTAMP'");
        buf_str(&b, s);
        buf_u8(&b, '\'');
    }
    buf_u8(&b, '\0');
    if (b.failed) return fail(k, "the constant is too long");
    put_cast(k, (const char *)buf_at(&b));
    buf_free(&b);
    return true;
}

/* The function that grants_sql_my.c makes, and no other: its result is taken for 32 bytes, its owner for who alone reads the keys. */
static bool is_hash(const struct pol_catalog *c, const struct pol_cat_function *f) {
    static const char *const want[] = {"longblob", "varchar"};
    const struct pol_cat_type *t = pol_catalog_type(c, f->returns);
    bool ok = f->kind == 'f' && f->definer && f->volatility != 'v' && f->nargs == 2 && t != NULL && strcmp(t->name, "binary") == 0;
    for (size_t i = 0; ok && i < 2; i++) ok = (t = pol_catalog_type(c, f->args[i])) != NULL && strcmp(t->name, want[i]) == 0;
    return ok;
}

/* As in PostgreSQL the key is the database's own. What is hashed is the value as a text in utf8mb4, so that a value has one hash whatever the column's character set.
 * The function gives bytes and HEX() a text that yields to any collation: with the column itself in the other branch, character set, collation and type stay
 * the column's. An integer keeps so many bits that it is one of its type, with or without a sign; a UUID is one of version 4, because not every 16 bytes are
 * one to MariaDB. CONV() errs under collations of utf16 and its kin in MySQL, but sessions have utf8mb4's (my_pin.c). */
static bool hash_mask(struct mk *k, const struct pol_catalog *c) {
    size_t n;
    const struct pol_cat_function *f = pol_catalog_functions(c, POL_OWN_SCHEMA, POL_HASH_FUNCTION, &n);
    bool found = false, uuid = strcmp(k->t.name, "uuid") == 0;
    for (size_t i = 0; i < n; i++) found = found || is_hash(c, &f[i]);
    if (!found && !k->assume_hash)
        return fail(k, "the server has no function " POL_OWN_SCHEMA "." POL_HASH_FUNCTION
                       " that holds the key, or not for gatehouse's user; \"gatehousectl policy grants --sql\" prints what makes it");
#define HASH(value) "`" POL_OWN_SCHEMA "`.`" POL_HASH_FUNCTION "`(" value ", %s)"
#define NUMBER(type)                                                                                                                       \
    "CAST(CONV(LEFT(HEX(" HASH("CONVERT(CAST(%v AS " type ") USING utf8mb4)") "), %a), 16, 10) AS " type ")" /* CAST: without ZEROFILL */
    const char *body = NULL;
    if (is_text(k))
        body = "CASE WHEN %v IS NOT NULL THEN LOWER(HEX(" HASH("CONVERT(%v USING utf8mb4)") ")) ELSE %v END";
    else if (k->t.class == MY_C_BINARY)
        body = "CASE WHEN %v IS NOT NULL THEN " HASH("%v") " ELSE %v END";
    else if (uuid)
        body = "CAST(INSERT(INSERT(LEFT(HEX(" HASH("CONVERT(%v USING utf8mb4)") "), 32), 13, 1, '4'), 17, 1, '8') AS UUID)";
    else if (strcmp(k->t.name, "bigint") == 0 || strcmp(k->t.name, "int") == 0)
        body = k->t.is_unsigned ? NUMBER("UNSIGNED") : NUMBER("SIGNED");
#undef NUMBER
#undef HASH
    if (body == NULL) return fail(k, "hash is for text, binary, uuid, int and bigint, and the column is of type %.80s", k->column->typ);
    bool cut = k->t.length[0] != '\0' && (is_text(k) || k->t.class == MY_C_BINARY);
    if (cut) buf_str(k->out, "LEFT(");
    put(k, body, strcmp(k->t.name, "int") == 0 ? 7 : 15, 0, k->m->text);
    if (cut) put_length(k);
    return true;
}

/* What it makes must be of the column's kind; its length is cut to the column's. */
static bool expression_mask(struct mk *k, const struct pol_catalog *c) {
    bool cut = k->t.class == MY_C_CHAR || k->t.class == MY_C_VARCHAR;
    if (cut) buf_str(k->out, "LEFT(");
    if (!pol_mask_expr_my(k->m->expr, c, k->column, k->out, k->why, k->size)) return false;
    if (cut) put_length(k);
    return true;
}

bool pol_mask_my(const struct pol_mask *m, const struct pol_catalog *c, bool assume_hash, const struct pol_cat_column *col, struct buf *out,
                 char *why, size_t size) {
    struct mk k = {.m = m, .assume_hash = assume_hash, .column = col, .out = out, .why = why, .size = size};
    bool ok = true;
    if (!my_type_of(c, col, &k.t)) return fail(&k, "its type %.80s is not understood", col->typ);
    buf_u8(out, '(');
    switch (m->kind) {
    case POL_M_NULL: put_cast(&k, "NULL"); break;
    case POL_M_CONSTANT: ok = constant_mask(&k); break;
    case POL_M_TRUNCATE: ok = time_mask(&k); break;
    case POL_M_ROUND: ok = round_mask(&k); break;
    case POL_M_HASH: ok = hash_mask(&k, c); break;
    case POL_M_EXPRESSION: ok = expression_mask(&k, c); break;
    default: ok = text_mask(&k);
    }
    buf_u8(out, ')');
    return ok && (!out->failed || fail(&k, "the mask is too long"));
}
