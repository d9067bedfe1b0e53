#include "policy/shape.h"

#include <string.h>
#include <strings.h>

/* Why texts with the same blanked text are read alike. Tokens are found as PostgreSQL's lexer finds them (SQL reference, "Lexical Structure"), and what is blanked ends
 * where it ended before, so the blanked text has the same tokens at the same places; two texts that share it therefore have the same tokens, but for the values
 * of integers that fit into 32 bits and of strings without escapes. The grammar looks at the value of one of these only: FLOAT(24) is another type than FLOAT(25).
 * Everything whose ends take more to find (escapes, dollar quotes, comments, letters beyond ASCII outside of strings) is not blanked at all. */
#define DIGITS 9 /* of an integer that is one, and no numeric, whatever they are */

/* What a character is outside of strings and quoted names: IN_WORD with one of the others, or alone. */
enum { UNREAD, OTHER, STRING, NAME, SIGN, DIGIT, LETTER, IN_WORD = 16 };
static unsigned char classes[256];

__attribute__((constructor)) static void fill_classes(void) {
    for (int c = ' '; c < 0x7f; c++) classes[c] = OTHER;
    for (const char *c = "\t\n\r\f"; *c != '\0'; c++) classes[(unsigned char)*c] = OTHER;
    for (int c = 'a'; c <= 'z'; c++) classes[c] = classes[c - 'a' + 'A'] = LETTER | IN_WORD;
    for (int c = '0'; c <= '9'; c++) classes[c] = DIGIT | IN_WORD;
    classes['_'] = LETTER | IN_WORD;
    classes['\''] = STRING;
    classes['"'] = NAME;
    classes['-'] = classes['/'] = SIGN; /* a comment begins with two of them */
    classes['$'] = classes['\\'] = UNREAD;
}

/* A text from its beginning, which a token may look back to, to its end. */
struct text {
    const unsigned char *begin, *end;
};

static inline unsigned char at(const struct text *t, const unsigned char *p) { return p < t->end ? *p : '\0'; }

/* Each gives the end of the token at p, and NULL where the text is not read. */
static inline const unsigned char *word(const struct text *t, const unsigned char *p) {
    const unsigned char *begin = p;
    while (p < t->end && (classes[*p] & IN_WORD) != 0) p++;
    if (p - begin == 5 && (*begin | 0x20) == 'f' && strncasecmp((const char *)begin, "float", 5) == 0) return NULL;
    return p - begin == 1 && at(t, p) == '\'' && strchr("eEnNbBxX", *begin) != NULL ? NULL
                                                                                    : p; /* E'..'; behind a longer word begins a string */
}

static const unsigned char *number(const struct text *t, const unsigned char *p, bool *plain) {
    const unsigned char *begin = p;
    while (p < t->end && classes[*p] == (DIGIT | IN_WORD)) p++;
    *plain = p - begin <= DIGITS && (begin == t->begin || begin[-1] != '.') && at(t, p) != '.' && (classes[at(t, p)] & IN_WORD) == 0;
    if (*plain) return p;
    while (p < t->end && ((classes[*p] & IN_WORD) != 0 || *p == '.')) p++;
    if (at(t, p) == '\'') return NULL;                                               /* 1..e'..' */
    return (p[-1] | 0x20) == 'e' && (at(t, p) == '+' || at(t, p) == '-') ? NULL : p; /* 1e+5 */
}

static const unsigned char *string(const struct text *t, const unsigned char *p, bool *plain) {
    const unsigned char *begin = ++p;
    *plain = true;
    if (p - 1 > t->begin && p[-2] == '&') return NULL; /* U&'..' */
    for (; p < t->end && (*p != '\'' || at(t, p + 1) == '\''); p++) {
        if (*p == '\'') p++;
        *plain = *plain && *p >= ' ' && *p < 0x7f && *p != '\\';
    }
    *plain = *plain && p > begin;
    return p < t->end ? p + 1 : NULL;
}

/* A doubled quote ends one, and begins another. */
static const unsigned char *quoted_name(const struct text *t, const unsigned char *p) {
    if (p > t->begin && p[-1] == '&') return NULL; /* U&".." */
    for (p++; p < t->end && *p != '"'; p++)
        if (*p < ' ' || *p >= 0x7f) return NULL;
    return p < t->end ? p + 1 : NULL;
}

size_t pol_blank_pg(const char *sql, size_t len, char *out) {
    const unsigned char *begin = (const unsigned char *)sql, *next;
    const struct text t = {begin, begin + len};
    size_t values = 0;
    if (len > 0) memcpy(out, sql, len);
    for (const unsigned char *p = begin; p < t.end; p = next) {
        bool plain = false;
        switch (classes[*p]) {
        case LETTER | IN_WORD: next = word(&t, p); break;
        case OTHER: next = p + 1; break;
        case SIGN: next = at(&t, p + 1) == (*p == '-' ? '-' : '*') ? NULL : p + 1; break;
        case DIGIT | IN_WORD:
            next = number(&t, p, &plain);
            if (plain) memset(out + (p - begin), '0', (size_t)(next - p));
            break;
        case STRING:
            next = string(&t, p, &plain);
            if (plain && next != NULL) memset(out + (p - begin) + 1, 'x', (size_t)(next - p) - 2);
            break;
        case NAME: next = quoted_name(&t, p); break;
        default: next = NULL;
        }
        if (next == NULL) return 0;
        values += plain;
    }
    return values;
}

/* Of queries and changes alone, which is where texts come with other values each time: the rest of the grammar has more places where a number is not an expression. */
bool pol_facts_alike(const struct pol_facts *f) {
    static const unsigned kinds = 1u << POL_K_SELECT | 1u << POL_K_INSERT | 1u << POL_K_UPDATE | 1u << POL_K_DELETE | 1u << POL_K_MERGE;
    bool yes = f->dialect == POL_POSTGRESQL && !f->values;
    for (size_t i = 0; i < f->nstmts; i++) yes = yes && (kinds >> f->stmts[i].kind & 1u) != 0 && f->stmts[i].nsettings == 0;
    return yes;
}
