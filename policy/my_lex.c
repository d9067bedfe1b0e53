#include "policy/my_lex.h"

#include "filters/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BYTES  (16u << 20)
#define DEFAULT_TOKENS 4000000u

/* What the last token makes of the next character (the server's next_state). */
enum next { NX_START, NX_DOT, NX_NAME };

struct lx {
    const char *sql;
    size_t len, pos;
    const struct my_options *o;
    struct my_tokens *out;
    uint32_t cap, max;
    enum next next;
    bool in_comment; /* a versioned one that is executed */
    struct pol_parse_error *err;
};

static bool fail(struct lx *l, enum pol_parse_rc rc, const char *text) {
    *l->err = (struct pol_parse_error){.rc = rc};
    uint32_t chars = 1;
    for (size_t i = 0; i < l->pos && i < l->len; i++)
        if (((unsigned char)l->sql[i] & 0xC0) != 0x80) chars++;
    l->err->position = rc == POL_SYNTAX || rc == POL_NOT_UNDERSTOOD ? chars : 0;
    snprintf(l->err->text, sizeof l->err->text, "%s", text);
    return false;
}

static unsigned char peek(const struct lx *l, size_t ahead) { return ahead < l->len - l->pos ? (unsigned char)l->sql[l->pos + ahead] : 0; }

static bool is_blank(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
static bool is_hex(unsigned char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }
static bool is_word(unsigned char c) {
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '$' || c >= 0x80;
}

static bool emit(struct lx *l, enum my_token_kind kind, size_t at, unsigned word, unsigned flags) {
    struct my_tokens *out = l->out;
    if (out->n >= l->max) return fail(l, POL_TOO_LARGE, "the statement has too many tokens");
    if (out->n == l->cap) {
        uint32_t cap = l->cap < 32 ? 64 : l->cap * 2;
        struct my_token *t = realloc(out->t, (size_t)cap * sizeof *t);
        if (t == NULL) return fail(l, POL_NO_MEMORY, "out of memory");
        out->t = t;
        l->cap = cap;
    }
    if (l->in_comment) flags |= MY_TF_COMMENT;
    out->t[out->n++] = (struct my_token){(uint32_t)at, (uint32_t)l->pos, (uint8_t)kind, (uint8_t)flags, (uint16_t)word};
    return true;
}

static bool op(struct lx *l, size_t at, unsigned word) {
    l->next = NX_START;
    return emit(l, MY_T_OP, at, word, 0);
}

/* --- words and names --- */

/* Characters of an identifier, from pos on. The servers store names in utf8mb3 and put '?' for what does not fit: another name. */
static bool skip_word(struct lx *l) {
    while (is_word(peek(l, 0))) {
        if (peek(l, 0) >= 0xF0) return fail(l, POL_NOT_UNDERSTOOD, "a name with a character beyond U+FFFF is not understood");
        l->pos++;
    }
    return true;
}

static bool is_charset(const char *s, size_t n) {
    static const char *const names[] = {"armscii8", "ascii",   "big5",   "binary",   "cp1250",  "cp1251", "cp1256", "cp1257",  "cp850",
                                        "cp852",    "cp866",   "cp932",  "dec8",     "eucjpms", "euckr",  "gb2312", "gb18030", "gbk",
                                        "geostd8",  "greek",   "hebrew", "hp8",      "keybcs2", "koi8r",  "koi8u",  "latin1",  "latin2",
                                        "latin5",   "latin7",  "macce",  "macroman", "sjis",    "swe7",   "tis620", "ucs2",    "ujis",
                                        "utf16",    "utf16le", "utf32",  "utf8",     "utf8mb3", "utf8mb4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t k = 0;
        while (k < n && names[i][k] != '\0' && (s[k] | 0x20) == (names[i][k] | 0x20)) k++;
        if (k == n && names[i][k] == '\0') return true;
    }
    return false;
}

/* A name where no word is looked up. */
static bool name(struct lx *l) {
    size_t at = l->pos;
    if (!skip_word(l)) return false;
    if (l->pos == at) return fail(l, POL_SYNTAX, "a name is expected here");
    l->next = peek(l, 0) == '.' ? NX_DOT : NX_START;
    return emit(l, MY_T_NAME, at, 0, 0);
}

/* The rest of an identifier that began with digits, or the whole of one; no word is looked up. */
static bool rest_of_name(struct lx *l, size_t at) {
    if (!skip_word(l)) return false;
    l->next = peek(l, 0) == '.' && is_word(peek(l, 1)) ? NX_DOT : NX_START;
    return emit(l, MY_T_NAME, at, 0, 0);
}

/* Behind SELECT and its kin: an optimizer hint. It may set variables for the statement, and a quoted name in it may hold what looks like its end. */
static bool hint(struct lx *l, enum my_word w) {
    if (w != W_SELECT && w != W_INSERT && w != W_REPLACE && w != W_UPDATE && w != W_DELETE) return true;
    if (l->o->server == MY_MARIADB && l->o->version < 120000) return true;
    size_t at = l->pos;
    while (at < l->len && is_blank((unsigned char)l->sql[at])) at++;
    if (l->len - at < 3 || memcmp(l->sql + at, "/*+", 3) != 0) return true;
    char quote = 0;
    size_t word = 0;
    for (size_t i = at + 3; i < l->len; i++) {
        char c = l->sql[i];
        if (c == '*' && i + 1 < l->len && l->sql[i + 1] == '/') {
            if (quote == 0) return true; /* the comment that follows; lexed as one */
            break;
        }
        if (quote != 0) {
            if (c == quote) quote = 0;
            continue;
        }
        if (c == '\'' || c == '"' || c == '`') quote = c;
        bool starts = is_word((unsigned char)c) && !is_word((unsigned char)l->sql[i - 1]);
        if (starts) word = i;
        if (is_word((unsigned char)c) && i + 1 < l->len && !is_word((unsigned char)l->sql[i + 1])) {
            enum my_word hw = my_word_of(l->sql + word, i + 1 - word);
            if (hw == W_SET_VAR || hw == W_RESOURCE_GROUP)
                return fail(l, POL_NOT_UNDERSTOOD, "the optimizer hints SET_VAR and RESOURCE_GROUP are not understood");
        }
    }
    return fail(l, POL_NOT_UNDERSTOOD, "this optimizer hint is not understood");
}

static bool word(struct lx *l, size_t at) {
    if (l->sql[at] == '$' && l->o->server == MY_MYSQL) /* in newer versions it opens a text between $$ and $$ */
        return fail(l, POL_NOT_UNDERSTOOD, "a name that begins with \"$\" must be quoted");
    if (!skip_word(l)) return false;
    const char *s = l->sql + at;
    size_t n = l->pos - at;
    if (peek(l, 0) == '.' && is_word(peek(l, 1))) {
        l->next = NX_DOT;
        return emit(l, MY_T_NAME, at, 0, 0);
    }
    l->next = NX_START;
    unsigned flags = 0;
    size_t ahead = 0;
    while ((l->o->mode & MY_IGNORE_SPACE) && is_blank(peek(l, ahead))) ahead++;
    if (peek(l, ahead) == '(') flags |= MY_TF_PAREN;
    if (*s == '_' && is_charset(s + 1, n - 1)) return emit(l, MY_T_CHARSET, at, 0, 0);
    enum my_word w = my_word_of(s, n);
    return emit(l, MY_T_WORD, at, w, flags) && hint(l, w);
}

/* --- literals --- */

static bool number(struct lx *l, size_t at, bool point) {
    if (!point && l->sql[at] == '0' && (peek(l, 0) == 'x' || peek(l, 0) == 'b')) {
        bool hex = peek(l, 0) == 'x';
        l->pos++;
        size_t from = l->pos;
        while (hex ? is_hex(peek(l, 0)) : peek(l, 0) == '0' || peek(l, 0) == '1') l->pos++;
        if (l->pos > from && !is_word(peek(l, 0))) {
            l->next = NX_START;
            return emit(l, MY_T_BINARY, at, 0, 0);
        }
        return rest_of_name(l, at);
    }
    while (is_digit(peek(l, 0))) l->pos++;
    if (!point && is_word(peek(l, 0))) {
        if ((peek(l, 0) | 0x20) != 'e') return rest_of_name(l, at);
        size_t sign = peek(l, 1) == '+' || peek(l, 1) == '-' ? 1 : 0;
        if (!is_digit(peek(l, 1 + sign))) {
            l->pos++;
            return rest_of_name(l, at);
        }
        l->pos += 1 + sign;
        while (is_digit(peek(l, 0))) l->pos++;
        l->next = NX_START;
        return emit(l, MY_T_NUMBER, at, 0, 0);
    }
    l->next = NX_START;
    if (!point) {
        if (peek(l, 0) != '.') return emit(l, MY_T_NUMBER, at, 0, 0);
        if (peek(l, 1) == '.' && l->o->server == MY_MARIADB) return emit(l, MY_T_NUMBER, at, 0, 0); /* 1..5 */
        l->pos++;
        while (is_digit(peek(l, 0))) l->pos++;
    }
    if ((peek(l, 0) | 0x20) == 'e') {
        l->pos++;
        if (peek(l, 0) == '+' || peek(l, 0) == '-') l->pos++;
        if (!is_digit(peek(l, 0))) return fail(l, POL_SYNTAX, "a digit is expected in this number's exponent");
        while (is_digit(peek(l, 0))) l->pos++;
    }
    return emit(l, MY_T_NUMBER, at, 0, 0);
}

/* 'x', N'x': from behind the opening quote. */
static bool string(struct lx *l, size_t at, char quote, enum my_token_kind kind) {
    unsigned flags = 0;
    while (l->pos < l->len) {
        char c = l->sql[l->pos++];
        if (c == '\\' && (l->o->mode & MY_NO_BACKSLASH_ESCAPES) == 0) {
            flags |= MY_TF_ESCAPED;
            if (l->pos == l->len) break;
            l->pos++;
        } else if (c == quote) {
            if (peek(l, 0) != (unsigned char)quote) {
                l->next = NX_START;
                return emit(l, kind, at, 0, flags);
            }
            flags |= MY_TF_ESCAPED;
            l->pos++;
        }
    }
    l->pos = at;
    return fail(l, POL_SYNTAX, "this string does not end");
}

static bool quoted(struct lx *l, size_t at, char quote, enum my_token_kind kind) {
    unsigned flags = 0;
    while (l->pos < l->len) {
        char c = l->sql[l->pos++];
        if ((unsigned char)c >= 0xF0) return fail(l, POL_NOT_UNDERSTOOD, "a name with a character beyond U+FFFF is not understood");
        if (c != quote) continue;
        if (peek(l, 0) == (unsigned char)quote) {
            l->pos++;
            flags |= MY_TF_ESCAPED;
            continue;
        }
        l->next = NX_START;
        return emit(l, kind, at, 0, flags);
    }
    l->pos = at;
    return fail(l, POL_SYNTAX, "this quoted name does not end");
}

/* x'41', b'1': from the quote on. */
static bool quoted_bits(struct lx *l, size_t at, bool hex) {
    size_t from = ++l->pos;
    while (hex ? is_hex(peek(l, 0)) : peek(l, 0) == '0' || peek(l, 0) == '1') l->pos++;
    if (peek(l, 0) != '\'' || (hex && (l->pos - from) % 2 != 0)) return fail(l, POL_SYNTAX, "this hexadecimal or bit literal is not valid");
    l->pos++;
    l->next = NX_START;
    return emit(l, MY_T_BINARY, at, 0, 0);
}

static bool variable(struct lx *l, size_t at) {
    unsigned char c = peek(l, 0);
    if (c == '@') {
        l->pos++;
        l->next = peek(l, 0) == '`' ? NX_START : NX_NAME;
        return emit(l, MY_T_SYSVAR, at, 0, 0);
    }
    if (c == '`' || (c == '"' && (l->o->mode & MY_ANSI_QUOTES))) {
        l->pos++;
        return quoted(l, at, (char)c, MY_T_USERVAR);
    }
    if (c == '\'' || c == '"') {
        l->pos++;
        return string(l, at, (char)c, MY_T_USERVAR);
    }
    while (is_word(peek(l, 0)) || peek(l, 0) == '.') l->pos++;
    l->next = NX_START;
    return emit(l, MY_T_USERVAR, at, 0, 0);
}

/* --- comments --- */

/* Behind the comment's opening. In a versioned one that is not executed, ordinary comments count, one level deep. */
static bool skip_comment(struct lx *l, bool nested) {
    size_t from = l->pos;
    bool inner = false;
    while (l->pos < l->len) {
        char c = l->sql[l->pos++];
        if (nested && !inner && c == '/' && peek(l, 0) == '*') {
            l->pos++;
            inner = true;
        } else if (c == '*' && peek(l, 0) == '/') {
            l->pos++;
            if (!inner) return true;
            inner = false;
        }
    }
    l->pos = from;
    return fail(l, POL_SYNTAX, "this comment does not end");
}

/* A second reference to a CTE is parsed from a copy of the text from which versioned comments, or their marks, were cut out, with nothing in their place:
 * "FROM a/+!99999 +/b" (with stars) reads a table ab there. So nothing may become one token by it. left and right are what the cut brings together. */
static bool cut(struct lx *l, size_t left, size_t right) {
    unsigned char a = left > 0 ? (unsigned char)l->sql[left - 1] : ' ', b = right < l->len ? (unsigned char)l->sql[right] : ' ';
    if (is_blank(a) || a == '(' || a == ')' || a == ',' || a == ';' || is_blank(b) || b == ')' || b == ',' || b == ';') return true;
    return fail(l, POL_NOT_UNDERSTOOD, "put blanks around versioned comments, and inside of them");
}

/* A comment begins at pos with a slash and a star. */
static bool comment(struct lx *l) {
    size_t at = l->pos;
    bool maria = l->o->server == MY_MARIADB && peek(l, 2) == 'M' && peek(l, 3) == '!';
    if (peek(l, 2) != '!' && !maria) {
        l->pos += 2;
        return skip_comment(l, false);
    }
    l->pos += maria ? 4 : 3;
    l->out->versioned = true;
    uint32_t version = 0, digits = 0;
    while (digits < 6 && is_digit(peek(l, digits))) version = version * 10 + (peek(l, digits++) - '0');
    if (digits < 5) { /* executed whatever the version is, digits and all */
        l->in_comment = true;
        return cut(l, at, l->pos);
    }
    bool run = version <= l->o->version;
    if (l->o->server == MY_MARIADB) {
        /* with Galera 99997 is executed all the same */
        if (version == 99997) return fail(l, POL_NOT_UNDERSTOOD, "a comment for version 99997 is not understood");
        run = run && (version < 50700 || version > 99999 || maria);
    } else if (digits == 6 && l->o->version < 90000) {
        return fail(l, POL_NOT_UNDERSTOOD, "a comment for a version of six digits is not understood"); /* some read five of them */
    }
    if (!run) return skip_comment(l, true) && cut(l, at, l->pos);
    l->pos += digits;
    l->in_comment = true;
    return cut(l, at, l->pos);
}

/* Blanks and comments in front of a token. */
static bool skip_blanks(struct lx *l) {
    for (;;) {
        while (is_blank(peek(l, 0))) l->pos++;
        unsigned char c = peek(l, 0);
        if (c == '#' || (c == '-' && peek(l, 1) == '-' && (l->len - l->pos == 2 || peek(l, 2) <= ' ' || peek(l, 2) == 127))) {
            while (l->pos < l->len && l->sql[l->pos] != '\n') l->pos++;
        } else if (c == '/' && peek(l, 1) == '*') {
            if (!comment(l)) return false;
        } else if (c == '*' && l->in_comment && peek(l, 1) == '/') {
            if (!cut(l, l->pos, l->pos + 2)) return false;
            l->pos += 2;
            l->in_comment = false;
        } else {
            return true;
        }
    }
}

/* --- a token --- */

static unsigned long_op(const struct lx *l, unsigned char c, size_t *n) {
    unsigned char d = peek(l, 1);
    *n = 2;
    if (c == '<' && d == '=' && peek(l, 2) == '>') {
        *n = 3;
        return MY_OP_NULLSAFE;
    }
    if (c == '<' && d == '=') return MY_OP_LE;
    if (c == '>' && d == '=') return MY_OP_GE;
    if ((c == '<' && d == '>') || (c == '!' && d == '=')) return MY_OP_NE;
    if (c == '<' && d == '<') return MY_OP_SHL;
    if (c == '>' && d == '>') return MY_OP_SHR;
    if (c == ':' && d == '=') return MY_OP_ASSIGN;
    if (c == '|' && d == '|') return MY_OP_OR;
    if (c == '&' && d == '&') return MY_OP_AND;
    if (c == '-' && d == '>' && l->o->server == MY_MYSQL) {
        *n = peek(l, 2) == '>' ? 3 : 2;
        return *n == 3 ? MY_OP_ARROW2 : MY_OP_ARROW;
    }
    *n = 1;
    return c;
}

/* Right behind a point, words are names. */
static bool dot(struct lx *l, size_t at) {
    bool more = is_word(peek(l, 0)), ok = op(l, at, '.');
    l->next = more ? NX_NAME : NX_START;
    return ok;
}

static bool token(struct lx *l) {
    if (l->next == NX_DOT) {
        l->pos++;
        return dot(l, l->pos - 1);
    }
    if (l->next == NX_NAME) return name(l);
    if (!skip_blanks(l)) return false;
    size_t at = l->pos;
    if (at == l->len) {
        if (l->in_comment) return fail(l, POL_SYNTAX, "a comment does not end");
        return emit(l, MY_T_END, at, 0, 0);
    }
    unsigned char c = peek(l, 0), d = peek(l, 1);
    if (d == '\'' && ((c | 0x20) == 'x' || (c | 0x20) == 'b' || (c | 0x20) == 'n')) {
        l->pos++;
        if ((c | 0x20) != 'n') return quoted_bits(l, at, (c | 0x20) == 'x');
        l->pos++;
        return string(l, at, '\'', MY_T_NSTRING);
    }
    if (is_digit(c) || (c == '.' && is_digit(d))) {
        l->pos++;
        return number(l, at, c == '.');
    }
    if (is_word(c)) return word(l, at);
    if (c == '\'' || (c == '"' && (l->o->mode & MY_ANSI_QUOTES) == 0)) {
        l->pos++;
        return string(l, at, (char)c, MY_T_STRING);
    }
    if (c == '`' || c == '"') {
        l->pos++;
        return quoted(l, at, (char)c, MY_T_QUOTED);
    }
    if (c == '@') {
        l->pos++;
        return variable(l, at);
    }
    if (c == '?') {
        l->pos++;
        l->next = NX_START;
        if (is_word(peek(l, 0))) return fail(l, POL_SYNTAX, "a parameter that runs into a word is not understood");
        return emit(l, MY_T_PARAM, at, 0, 0);
    }
    if (c == '\\' && d == 'N' && l->o->server == MY_MARIADB) {
        l->pos += 2;
        l->next = NX_START;
        return emit(l, MY_T_NULL, at, 0, 0);
    }
    if (c < ' ' || c == 127 || c == '\\') return fail(l, POL_SYNTAX, "this character is not understood here");
    size_t n;
    unsigned code = long_op(l, c, &n);
    l->pos += n;
    if (c == '.') return dot(l, at);
    if (c == ';') {
        bool ok = op(l, at, ';');
        l->in_comment = false; /* where that matters, whoever splits refuses it by its flag */
        return ok;
    }
    return op(l, at, code);
}

static bool is_text(const char *s, size_t n) { return memchr(s, '\0', n) == NULL && gh_utf8_valid(s, n); }

/* Drivers put bytes into a text as 'x' or _binary'x'. No byte of UTF-8 beyond ASCII is a quote or a backslash, and the servers go by the text's length and not by a
 * NUL, so they find the same end of a string, whatever stands in it; everywhere else the text must be what it says it is. */
static bool bytes_in_their_place(const struct lx *l) {
    size_t from = 0;
    for (uint32_t i = 0; i < l->out->n; i++) {
        const struct my_token *t = &l->out->t[i];
        if (t->kind != MY_T_STRING) continue;
        if (!is_text(l->sql + from, t->at - from)) return false;
        from = t->end;
    }
    return is_text(l->sql + from, l->len - from);
}

bool my_lex(const char *sql, size_t len, const struct my_options *o, struct my_tokens *out, struct pol_parse_error *err) {
    const struct pol_parse_limits *lim = o->limits;
    uint32_t bytes = lim != NULL && lim->bytes != 0 ? lim->bytes : DEFAULT_BYTES;
    *out = (struct my_tokens){0};
    *err = (struct pol_parse_error){.rc = POL_PARSED};
    struct lx l = {.sql = sql, .len = len, .o = o, .out = out, .err = err};
    l.max = lim != NULL && lim->tokens != 0 ? lim->tokens : DEFAULT_TOKENS;
    if (len > bytes || len > UINT32_MAX / 2) return fail(&l, POL_TOO_LARGE, "the statement has too many bytes");
    if (o->mode & MY_ORACLE) return fail(&l, POL_NOT_UNDERSTOOD, "statements of sql_mode ORACLE are not understood");
    bool valid = is_text(sql, len), ok = true;
    while (ok && (out->n == 0 || out->t[out->n - 1].kind != MY_T_END)) ok = token(&l);
    if (!valid && err->rc != POL_NO_MEMORY && (!ok || !bytes_in_their_place(&l)))
        ok = fail(&l, POL_ENCODING, "the statement is not valid UTF-8, or holds a NUL character");
    if (ok) return true;
    free(out->t);
    *out = (struct my_tokens){0};
    return false;
}

/* --- values --- */

static size_t unescape(const char *s, size_t n, char quote, bool backslash, char *to) {
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (backslash && c == '\\' && i + 1 < n) {
            c = s[++i];
            switch (c) {
            case 'n': c = '\n'; break;
            case 't': c = '\t'; break;
            case 'r': c = '\r'; break;
            case 'b': c = '\b'; break;
            case '0': c = '\0'; break;
            case 'Z': c = '\032'; break;
            case '_':
            case '%': to[used++] = '\\'; break; /* kept for LIKE */
            default: break;
            }
        } else if (c == quote) {
            i++; /* the second of two */
        }
        to[used++] = c;
    }
    return used;
}

size_t my_token_value(const char *sql, const struct my_token *t, unsigned mode, char *to) {
    const char *s = sql + t->at;
    size_t n = t->end - t->at, used;
    if (t->kind == MY_T_USERVAR || t->kind == MY_T_NSTRING) s++, n--;
    bool in_quotes = t->kind == MY_T_QUOTED || t->kind == MY_T_STRING || t->kind == MY_T_NSTRING ||
                     (t->kind == MY_T_USERVAR && n > 1 && (*s == '`' || *s == '\'' || *s == '"'));
    if (in_quotes) {
        bool is_name = *s == '`' || (*s == '"' && (mode & MY_ANSI_QUOTES) != 0);
        used = unescape(s + 1, n - 2, *s, !is_name && (mode & MY_NO_BACKSLASH_ESCAPES) == 0, to);
    } else {
        memcpy(to, s, n);
        used = n;
    }
    to[used] = '\0';
    return used;
}
