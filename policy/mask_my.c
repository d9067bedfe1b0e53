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
#include "policy/expr_pg.h"
#include "policy/policy_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum class {
    C_OTHER,
    C_CHAR,
    C_VARCHAR,
    C_TEXT,
    C_INT,
    C_YEAR,
    C_DECIMAL,
    C_FLOAT,
    C_DATE,
    C_DATETIME,
    C_TIMESTAMP,
    C_TIME,
    C_JSON,
    C_BINARY,
    C_OWN, /* CAST knows it by its own name */
};

struct mk {
    const struct pol_mask *m;
    const struct pol_cat_column *column;
    const char *type; /* DATA_TYPE */
    enum class class;
    char length[32]; /* "(10,2)" of the type, or "" */
    unsigned long chars;
    char charset[64], collation[96]; /* "": none */
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
    static const char hex[] = "0123456789ABCDEF";
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
        for (size_t i = 0; i < n; i++) {
            buf_u8(out, (uint8_t)hex[(unsigned char)s[i] >> 4]);
            buf_u8(out, (uint8_t)hex[(unsigned char)s[i] & 15]);
        }
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
    if (k->class == C_CHAR) buf_str(k->out, "RTRIM(");
    buf_u8(k->out, POL_T_ROW);
    buf_u8(k->out, '.');
    my_put_ident(k->out, k->column->name);
    if (k->class == C_CHAR) buf_u8(k->out, ')');
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

static enum class class_of(const char *name) { static const struct {const char * name; enum class class;}
known[] = {{"bigint", C_INT},      {"binary", C_BINARY},     {"bit", C_INT},           {"blob", C_BINARY},   {"char", C_CHAR},
           {"date", C_DATE},       {"datetime", C_DATETIME}, {"decimal", C_DECIMAL},   {"double", C_FLOAT},  {"enum", C_OTHER},
           {"float", C_FLOAT},     {"inet4", C_OWN},         {"inet6", C_OWN},         {"int", C_INT},       {"json", C_JSON},
           {"longblob", C_BINARY}, {"longtext", C_TEXT},     {"mediumblob", C_BINARY}, {"mediumint", C_INT}, {"mediumtext", C_TEXT},
           {"set", C_OTHER},       {"smallint", C_INT},      {"text", C_TEXT},         {"time", C_TIME},     {"timestamp", C_TIMESTAMP},
           {"tinyblob", C_BINARY}, {"tinyint", C_INT},       {"tinytext", C_TEXT},     {"uuid", C_OWN},      {"varbinary", C_BINARY},
           {"varchar", C_VARCHAR}, {"year", C_YEAR}};
for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i].name, name) == 0) return known[i].class;
return C_OTHER;
}

static bool is_text(const struct mk *k) { return k->class == C_CHAR || k->class == C_VARCHAR || k->class == C_TEXT; }

/* The word behind what, into to. False when it is none. */
static bool word_behind(const char *typ, const char *what, char *to, size_t size) {
    const char *p = strstr(typ, what);
    size_t n = p == NULL ? 0 : strspn(p + strlen(what), "abcdefghijklmnopqrstuvwxyz0123456789_");
    to[0] = '\0';
    if (p == NULL) return true;
    if (n == 0 || n >= size) return false;
    memcpy(to, p + strlen(what), n);
    to[n] = '\0';
    return true;
}

/* varchar(120) character set utf8mb4 collate utf8mb4_general_ci */
static bool read_type(struct mk *k) {
    const char *typ = k->column->typ, *open = strchr(typ, '(');
    bool numbers = k->class != C_OTHER && open != NULL && (strchr(typ, ' ') == NULL || open < strchr(typ, ' '));
    if (numbers) {
        size_t n = strspn(open + 1, "0123456789,") + 2;
        if (open[n - 1] != ')' || n >= sizeof k->length) return false;
        memcpy(k->length, open, n);
        k->length[n] = '\0';
        k->chars = strtoul(open + 1, NULL, 10);
    }
    const char *last = strrchr(typ, '\''); /* of an enum */
    return word_behind(last != NULL ? last : typ, " character set ", k->charset, sizeof k->charset) &&
           word_behind(last != NULL ? last : typ, " collate ", k->collation, sizeof k->collation);
}

static bool is_unsigned(const struct mk *k) {
    return k->class == C_YEAR || strcmp(k->type, "bit") == 0 || strstr(k->column->typ, "unsigned") != NULL;
}

/* CAST(what AS the column's type), of a value that fits it. */
static void put_cast(struct mk *k, const char *what) {
    const char *type = "", *length = "";
    char own[32];
    switch (k->class) {
    case C_OTHER:
    case C_TEXT:
    case C_CHAR:
    case C_VARCHAR:
        type = "CHAR";
        if (k->class != C_TEXT && k->class != C_OTHER) length = k->length;
        break;
    case C_INT:
    case C_YEAR: type = is_unsigned(k) ? "UNSIGNED" : "SIGNED"; break;
    case C_DECIMAL: type = "DECIMAL", length = k->length; break;
    case C_FLOAT: type = "DOUBLE"; break;
    case C_DATE: type = "DATE"; break;
    case C_DATETIME:
    case C_TIMESTAMP: type = "DATETIME", length = k->length; break;
    case C_TIME: type = "TIME", length = k->length; break;
    case C_JSON: type = "JSON"; break;
    case C_BINARY: type = "BINARY"; break;
    case C_OWN: snprintf(own, sizeof own, "%s", k->type), type = own; break;
    }
    buf_str(k->out, "CAST(");
    buf_str(k->out, what);
    buf_str(k->out, " AS ");
    buf_str(k->out, type);
    buf_str(k->out, length);
    if (strcmp(type, "CHAR") == 0 && k->charset[0] != '\0') {
        buf_str(k->out, " CHARACTER SET ");
        buf_str(k->out, k->charset);
    }
    buf_u8(k->out, ')');
    if (strcmp(type, "CHAR") == 0 && k->collation[0] != '\0') {
        buf_str(k->out, " COLLATE ");
        buf_str(k->out, k->collation);
    }
}

/* --- masks --- */

static bool is_ascii(const char *s) {
    for (; *s != '\0'; s++)
        if ((unsigned char)*s >= 0x80) return false;
    return true;
}

static bool fits_charset(struct mk *k, const char *s) {
    if (is_ascii(s) || strncmp(k->charset, "utf", 3) == 0) return true;
    return fail(k, "\"%.40s\" may not be in the column's character set %.40s; use ASCII", s,
                k->charset[0] != '\0' ? k->charset : "(unknown)");
}

/* At most half of a value is left standing, so that short ones do not show whole. */
static bool text_mask(struct mk *k) {
    const struct pol_mask *m = k->m;
    if (!is_text(k)) return fail(k, "this mask is for text, and the column is of type %.80s", k->column->typ);
    if (k->class != C_TEXT) buf_str(k->out, "LEFT(");
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
    if (k->class != C_TEXT) { /* no longer than the column, and of a type that says so */
        char n[24];
        snprintf(n, sizeof n, ", %lu)", k->chars);
        buf_str(k->out, n);
    }
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
    if (k->class == C_DATE && unit > 2) return fail(k, "a date can be truncated to year, month or day");
    if (k->class == C_TIMESTAMP) {
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
    if (k->class != C_DATE && k->class != C_DATETIME)
        return fail(k, "truncate is for date, datetime and timestamp, and the column is of type %.80s", k->column->typ);
    put(k, "CASE WHEN YEAR(%v) >= 1000 THEN ", 0, 0, "");
    buf_str(k->out, k->class == C_DATE ? "" : "CAST(");
    put(k, "MAKEDATE(YEAR(%v), 1)", 0, 0, "");
    buf_str(k->out, k->class == C_DATE ? "" : " AS DATETIME)");
    for (size_t i = 1; i <= unit; i++) put(k, add[i], 0, 0, "");
    buf_str(k->out, " END");
    return true;
}

/* Towards zero: cannot leave the type's range. DIV of integers is exact; so is %, of decimals, where / would be by div_precision_increment. */
static bool round_mask(struct mk *k) {
    if (k->class == C_INT && strcmp(k->type, "bit") != 0)
        put(k, "%v DIV %a * %a", k->m->first, 0, "");
    else if (k->class == C_DECIMAL || k->class == C_FLOAT)
        put(k, "%v - MOD(%v, %a)", k->m->first, 0, "");
    else
        return fail(k, "round is for numbers, and the column is of type %.80s", k->column->typ);
    return true;
}

static bool is_number(const char *s, bool fraction, size_t digits) {
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

static size_t int_digits(const struct mk *k) {
    return strcmp(k->type, "tinyint") == 0     ? 2
           : strcmp(k->type, "smallint") == 0  ? 4
           : strcmp(k->type, "mediumint") == 0 ? 6
           : strcmp(k->type, "int") == 0       ? 9
                                               : 18;
}

/* 2026-01-31, 2026-01-31 10:00:00 */
static bool is_time(const char *s, bool date_only) {
    static const char shape[] = "dddd-dd-dd dd:dd:dd";
    size_t n = strlen(s);
    if (n != 10 && (date_only || n != 19)) return false;
    for (size_t i = 0; i < n; i++)
        if (shape[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != shape[i]) return false;
    int month = (s[5] - '0') * 10 + s[6] - '0', day = (s[8] - '0') * 10 + s[9] - '0';
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (s[0] == '0' || month < 1 || month > 12 || day < 1 || day > days[month - 1]) return false;
    return n == 10 || (s[11] < '2' || (s[11] == '2' && s[12] < '4'));
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
    switch (k->class) {
    case C_CHAR:
    case C_VARCHAR: ok = characters(s) <= k->chars; break;
    case C_TEXT: ok = characters(s) <= 63; break;
    case C_INT: ok = strcmp(k->type, "bit") != 0 && is_number(s, false, int_digits(k)) && (*s != '-' || !is_unsigned(k)); break;
    case C_DECIMAL:
    case C_FLOAT: ok = is_number(s, true, 15); break;
    case C_DATE: ok = is_time(s, true); break;
    case C_DATETIME:
    case C_TIMESTAMP: ok = is_time(s, false); break;
    default: return fail(k, "a constant is not possible for a column of type %.80s; use the mask null", k->column->typ);
    }
    if (!ok) return fail(k, "the constant \"%.60s\" is none of type %.80s (dates as 2026-01-31)", s, k->column->typ);
    if (is_text(k) && !fits_charset(k, s)) return false;
    struct buf b = BUF_INIT(8192);
    if (k->class == C_INT || k->class == C_DECIMAL || k->class == C_FLOAT)
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

bool pol_mask_my(const struct pol_mask *m, const struct pol_catalog *c, const struct pol_cat_column *col, struct buf *out, char *why,
                 size_t size) {
    struct mk k = {.m = m, .column = col, .out = out, .why = why, .size = size};
    const struct pol_cat_type *t = pol_catalog_type(c, col->type);
    bool ok = true;
    if (t == NULL) return fail(&k, "its type %.80s is not in the catalog", col->typ);
    k.type = t->name;
    k.class = class_of(t->name);
    if (!read_type(&k)) return fail(&k, "its type %.80s is not understood", col->typ);
    buf_u8(out, '(');
    switch (m->kind) {
    case POL_M_NULL: put_cast(&k, "NULL"); break;
    case POL_M_CONSTANT: ok = constant_mask(&k); break;
    case POL_M_TRUNCATE: ok = time_mask(&k); break;
    case POL_M_ROUND: ok = round_mask(&k); break;
    case POL_M_HASH: ok = fail(&k, "the mask hash is not there for MySQL and MariaDB; use another mask"); break;
    case POL_M_EXPRESSION: ok = fail(&k, "a mask of your own is not there for MySQL and MariaDB; use another mask"); break;
    default: ok = text_mask(&k);
    }
    buf_u8(out, ')');
    return ok && (!out->failed || fail(&k, "the mask is too long"));
}
