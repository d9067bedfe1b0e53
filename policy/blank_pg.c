#include "policy/shape.h"

#include <string.h>
#include <strings.h>

/* Why texts with the same blanked text are read alike. Tokens are found as PostgreSQL's lexer finds them (SQL reference, "Lexical Structure"), and what is blanked ends
 * where it ended before, so the blanked text has the same tokens at the same places; two texts that share it therefore have the same tokens, but for the values
 * of integers that fit into 32 bits and of strings without escapes. The grammar looks at the value of one of these only: FLOAT(24) is another type than FLOAT(25).
 * Everything whose ends take more to find (escapes, dollar quotes, comments, letters beyond ASCII outside of strings) is not blanked at all. */
#define DIGITS 9 /* of an integer that is one, and no numeric, whatever they are */

struct blank {
    const char *sql;
    char *out;
    size_t len, at, values;
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static char peek(const struct blank *b, size_t i) { return i < b->len ? b->sql[i] : '\0'; }

static bool word(struct blank *b) {
    size_t end = b->at;
    while (end < b->len && (is_letter(b->sql[end]) || is_digit(b->sql[end]))) end++;
    bool is_float = end - b->at == 5 && strncasecmp(b->sql + b->at, "float", 5) == 0;
    b->at = end;
    return !is_float && peek(b, end) != '\''; /* E'..', N'..', B'..', X'..' */
}

static bool number(struct blank *b) {
    size_t begin = b->at, end = begin;
    while (end < b->len && is_digit(b->sql[end])) end++;
    bool plain = end - begin <= DIGITS && (begin == 0 || b->sql[begin - 1] != '.') && !is_letter(peek(b, end)) && peek(b, end) != '.';
    if (plain) {
        memset(b->out + begin, '0', end - begin);
        b->values++;
    } else
        while (end < b->len && (is_digit(b->sql[end]) || is_letter(b->sql[end]) || b->sql[end] == '.')) end++;
    b->at = end;
    return plain || (peek(b, end) != '+' && peek(b, end) != '-'); /* 1e+5 */
}

static bool string(struct blank *b) {
    size_t begin = b->at + 1, end = begin;
    bool plain = true;
    if (b->at > 0 && b->sql[b->at - 1] == '&') return false; /* U&'..' */
    for (; end < b->len && (b->sql[end] != '\'' || peek(b, end + 1) == '\''); end++) {
        if (b->sql[end] == '\'') end++;
        plain = plain && b->sql[end] >= ' ' && b->sql[end] < 0x7f && b->sql[end] != '\\';
    }
    if (end >= b->len) return false;
    if (plain && end > begin) {
        memset(b->out + begin, 'x', end - begin);
        b->values++;
    }
    b->at = end + 1;
    return true;
}

static bool quoted_name(struct blank *b) {
    size_t end = b->at + 1;
    if (b->at > 0 && b->sql[b->at - 1] == '&') return false; /* U&".." */
    for (; end < b->len && b->sql[end] != '"'; end++)
        if (b->sql[end] < ' ' || b->sql[end] >= 0x7f) return false;
    b->at = end + 1; /* a doubled one begins another: verbatim, too */
    return end < b->len;
}

static bool other(struct blank *b) {
    char c = b->sql[b->at], next = peek(b, b->at + 1);
    bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
    b->at++;
    return blank || (c > ' ' && c < 0x7f && c != '$' && c != '\\' && !(c == '-' && next == '-') && !(c == '/' && next == '*'));
}

size_t pol_blank_pg(const char *sql, size_t len, char *out) {
    struct blank b = {.sql = sql, .out = out, .len = len};
    if (len > 0) memcpy(out, sql, len);
    while (b.at < len) {
        char c = sql[b.at];
        bool ok = is_letter(c) ? word(&b) : is_digit(c) ? number(&b) : c == '\'' ? string(&b) : c == '"' ? quoted_name(&b) : other(&b);
        if (!ok) return 0;
    }
    return b.values;
}

/* Of queries and changes alone, which is where texts come with other values each time: the rest of the grammar has more places where a number is not an expression. */
bool pol_facts_alike(const struct pol_facts *f) {
    static const unsigned kinds = 1u << POL_K_SELECT | 1u << POL_K_INSERT | 1u << POL_K_UPDATE | 1u << POL_K_DELETE | 1u << POL_K_MERGE;
    bool yes = f->dialect == POL_POSTGRESQL && !f->values;
    for (size_t i = 0; i < f->nstmts; i++) yes = yes && (kinds >> f->stmts[i].kind & 1u) != 0 && f->stmts[i].nsettings == 0;
    return yes;
}
