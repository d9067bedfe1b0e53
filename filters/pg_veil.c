#include "filters/pg_veil.h"

#include "filters/pg_wire.h"

#include <stdio.h>
#include <string.h>

#define WITHHELD "Gatehouse withholds the database's own words: they may quote data that is hidden from you."

/* Conditions whose messages quote values, or may. Source: PostgreSQL documentation, appendix "PostgreSQL Error Codes". */
static const struct {
    const char *sqlstate, *text;
} conditions[] = {
    {"21000", "cardinality violation"},
    {"22001", "value too long for its type"},
    {"22003", "numeric value out of range"},
    {"22007", "invalid datetime format"},
    {"22008", "datetime field overflow"},
    {"22009", "invalid time zone displacement value"},
    {"2200F", "zero-length character string"},
    {"22011", "substring error"},
    {"22012", "division by zero"},
    {"22015", "interval field overflow"},
    {"22018", "invalid character value for cast"},
    {"22019", "invalid escape character"},
    {"22021", "character not in repertoire"},
    {"22023", "invalid parameter value"},
    {"22025", "invalid escape sequence"},
    {"22P02", "invalid text representation: a value does not have the form that its type asks for"},
    {"22P03", "invalid binary representation"},
    {"22P04", "bad COPY file format"},
    {"22P05", "untranslatable character"},
    {"2202E", "array subscript error"},
    {"2201B", "invalid regular expression"},
    {"2201E", "invalid argument for logarithm"},
    {"2201F", "invalid argument for power function"},
    {"2201W", "invalid row count in LIMIT clause"},
    {"2201X", "invalid row count in OFFSET clause"},
    {"23000", "integrity constraint violation"},
    {"23001", "restrict violation"},
    {"23502", "not-null violation"},
    {"23503", "foreign key violation"},
    {"23505", "unique violation"},
    {"23514", "check violation"},
    {"23P01", "exclusion violation"},
    {"P0001", "an error was raised by code in the database"},
    {"P0002", "code in the database found no rows"},
    {"P0003", "code in the database found too many rows"},
    {"P0004", "an assertion failed in the database"},
};

/* Classes of conditions, for those that have no line of their own. */
static const struct {
    const char *class, *text;
    bool harmless; /* their messages hold names, settings and numbers of the server's, no values of rows */
} classes[] = {
    {"00", "a message of the database", false},
    {"01", "a warning of the database", false},
    {"02", "no data", false},
    {"08", "a connection's error", true},
    {"09", "an action that was triggered failed", false},
    {"0A", "feature not supported", true},
    {"20", "case not found", false},
    {"22", "data exception: a value does not fit what the statement does with it", false},
    {"23", "integrity constraint violation", false},
    {"24", "invalid cursor state", true},
    {"25", "invalid transaction state", true},
    {"26", "invalid SQL statement name", true},
    {"2F", "an error in a function of the database", false},
    {"34", "invalid cursor name", true},
    {"38", "an error in a function of the database", false},
    {"39", "an error in a function of the database", false},
    {"3B", "savepoint exception", true},
    {"3D", "invalid catalog name", true},
    {"3F", "invalid schema name", true},
    {"40", "the transaction was rolled back", true},
    {"42", "syntax error or access rule violation", true},
    {"44", "the new row violates the check option of a view", false},
    {"53", "insufficient resources", true},
    {"54", "program limit exceeded", false},
    {"55", "object not in prerequisite state", true},
    {"57", "operator intervention", true},
    {"58", "system error", false},
    {"HV", "an error in a foreign data wrapper", false},
    {"P0", "an error in code of the database", false},
    {"XX", "internal error of the database", false},
};

/* Messages of the server's that hold no values although others with their SQLSTATE do. */
static const char *const harmless[] = {
    "division by zero",
    "integer out of range",
    "bigint out of range",
    "smallint out of range",
    "numeric field overflow",
    "value overflows numeric format",
    "more than one row returned by a subquery used as an expression",
    "LIMIT must not be negative",
    "OFFSET must not be negative",
    "cannot take square root of a negative number",
    "cannot take logarithm of zero",
    "cannot take logarithm of a negative number",
    "negative substring length not allowed",
};

struct notes {
    const char *field[128]; /* by code; NULL: not there */
};

static bool read_notes(struct cur body, struct notes *n) {
    memset(n, 0, sizeof *n);
    for (;;) {
        uint8_t code;
        const char *s;
        size_t len;
        if (!cur_u8(&body, &code)) return false;
        if (code == 0) return cur_left(&body) == 0;
        if (!cur_cstr(&body, &s, &len)) return false;
        if (code < sizeof n->field / sizeof *n->field && n->field[code] == NULL) n->field[code] = s;
    }
}

static const char *condition(const char *sqlstate, bool *is_harmless) {
    const char *text = "an error of the database";
    *is_harmless = false;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (strncmp(classes[i].class, sqlstate, 2) != 0) continue;
        text = classes[i].text;
        *is_harmless = classes[i].harmless;
    }
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
        if (strcmp(conditions[i].sqlstate, sqlstate) == 0) text = conditions[i].text;
    return text;
}

static bool starts(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }

/* The length of the part in front of a value: "invalid input syntax for type integer", "value too long for type character varying(3)". 0: none. */
static size_t names_only(const char *message) {
    static const char *const heads[] = {"invalid input syntax for type ", "value too long for type ", "invalid input syntax for type"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        if (!starts(message, heads[i])) continue;
        size_t n = strlen(heads[i]);
        while (message[n] == ' ' || message[n] == '_' || message[n] == '(' || message[n] == ')' || message[n] == ',' ||
               (message[n] >= 'a' && message[n] <= 'z') || (message[n] >= '0' && message[n] <= '9'))
            n++;
        return message[n] == '\0' || message[n] == ':' ? n : 0;
    }
    return 0;
}

/* Constraint violations name the constraint in the message, and the values in the detail. */
static bool names_constraint(const char *sqlstate, const char *message) {
    static const char *const heads[] = {"duplicate key value violates unique constraint ",
                                        "insert or update on table ",
                                        "update or delete on table ",
                                        "null value in column ",
                                        "new row for relation ",
                                        "conflicting key value violates exclusion constraint "};
    if (strncmp(sqlstate, "23", 2) != 0) return false;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (starts(message, heads[i])) return true;
    return false;
}

static void put(struct buf *out, char code, const char *s) {
    if (s == NULL) return;
    buf_u8(out, (uint8_t)code);
    buf_cstr(out, s);
}

static void put_message(struct buf *out, const struct notes *n, const char *sqlstate, bool from_code) {
    const char *message = n->field['M'] != NULL ? n->field['M'] : "";
    bool keep;
    const char *text = condition(sqlstate, &keep);
    keep = keep && !from_code;
    for (size_t i = 0; !keep && !from_code && i < sizeof harmless / sizeof *harmless; i++) keep = strcmp(message, harmless[i]) == 0;
    keep = keep || (!from_code && names_constraint(sqlstate, message));
    size_t part = keep || starts(sqlstate, "P0") ? 0 : names_only(message);
    buf_u8(out, 'M');
    if (part > 0) {
        buf_put(out, message, part);
        buf_u8(out, 0);
    } else {
        buf_cstr(out, keep ? message : text);
    }
    if (keep)
        for (const char *c = "stcdn"; *c != '\0'; c++) put(out, *c, n->field[(unsigned char)*c]);
    else
        put(out, 'D', WITHHELD);
}

/* The position, from 1, in the text that the client sent; 0: it is in none of its pieces, or no number. */
static uint32_t client_position(const char *p, const struct pg_where *w) {
    uint32_t at = 0;
    for (size_t n = 0; p[n] != '\0'; n++) {
        if (p[n] < '0' || p[n] > '9' || n >= 9) return 0;
        at = at * 10 + (uint32_t)(p[n] - '0');
    }
    for (size_t i = 0; at > 0 && i < w->npieces; i++) {
        const struct gh_piece *k = &w->pieces[i];
        if (at > k->at && at - k->at <= k->len) return k->from + (at - k->at);
    }
    return 0;
}

static void put_position(struct buf *out, const char *p, const struct pg_where *w) {
    char text[16];
    if (p == NULL) return;
    if (w->as_sent) {
        put(out, 'P', p);
        return;
    }
    uint32_t at = client_position(p, w);
    if (at == 0) return;
    snprintf(text, sizeof text, "%u", at);
    put(out, 'P', text);
}

bool pg_veil(char type, struct cur body, const struct pg_where *where, struct buf *out, bool *bad) {
    struct notes n;
    *bad = !read_notes(body, &n);
    if (*bad) return false;
    const char *sqlstate = n.field['C'] != NULL ? n.field['C'] : "";
    const char *severity = n.field['V'] != NULL ? n.field['V'] : n.field['S'] != NULL ? n.field['S'] : "";
    bool from_code = n.field['W'] != NULL || n.field['q'] != NULL || n.field['p'] != NULL;
    bool of_text = n.field['P'] != NULL && !from_code;
    if (type == 'N') {
        /* LOG, DEBUG and INFO show plans and whatever an operator has the server print. What code in the database says may hold anything. */
        bool known;
        condition(sqlstate, &known);
        if (starts(n.field['M'] != NULL ? n.field['M'] : "", "duration: ")) return false; /* auto_explain.log_level = notice */
        if (from_code || (strcmp(severity, "NOTICE") != 0 && strcmp(severity, "WARNING") != 0)) return false;
        if (!of_text && !known && strcmp(sqlstate, "00000") != 0) return false;
        of_text = true; /* "table "t" does not exist, skipping": names */
    }
    size_t at = pg_begin(out, type);
    put(out, 'S', n.field['S']);
    put(out, 'V', n.field['V']);
    put(out, 'C', n.field['C']);
    if (of_text) {
        for (const char *c = "MDHstcdn"; *c != '\0'; c++) put(out, *c, n.field[(unsigned char)*c]);
        put_position(out, n.field['P'], where);
    } else {
        put_message(out, &n, sqlstate, from_code);
    }
    for (const char *c = "FLR"; *c != '\0'; c++) put(out, *c, n.field[(unsigned char)*c]);
    buf_u8(out, 0);
    pg_end(out, at);
    return true;
}
