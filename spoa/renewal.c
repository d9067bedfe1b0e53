#include "spoa/renewal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define SCHEMA "gatehouse"
#define NAME   "token"

struct text {
    const char *p, *end;
};

/* PostgreSQL's white space (scan.l). */
static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

static bool blanks(struct text *t) {
    const char *from = t->p;
    while (t->p < t->end && is_blank(*t->p)) t->p++;
    return t->p > from;
}

/* These bytes in any case. */
static bool letters(struct text *t, const char *word) {
    size_t n = strlen(word);
    if (n > (size_t)(t->end - t->p) || strncasecmp(t->p, word, n) != 0) return false;
    t->p += n;
    return true;
}

static bool word(struct text *t, const char *w) {
    struct text at = *t;
    if (!letters(&at, w) || !blanks(&at)) return false;
    *t = at;
    return true;
}

static bool is_token(char c) { return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.'; }

bool renewal_form(const char *text, size_t len, const char *name, bool (*takes)(char c), const char **value, size_t *value_len) {
    struct text t = {text, text + len};
    if (len > 0 && (unsigned char)*text <= ' ') blanks(&t);
    if (t.end - t.p < 3 || (t.p[0] | 0x20) != 's' || (t.p[1] | 0x20) != 'e' || (t.p[2] | 0x20) != 't') return false; /* SELECT, mostly */
    if (!word(&t, "SET")) return false;
    word(&t, "SESSION");
    if (!letters(&t, SCHEMA ".") || !letters(&t, name)) return false;
    bool apart = blanks(&t);
    if (t.p < t.end && *t.p == '=') {
        t.p++;
        blanks(&t);
    } else if (!apart || !letters(&t, "TO") || (!blanks(&t) && !(t.p < t.end && *t.p == '\''))) {
        return false;
    }
    if (t.p == t.end || *t.p++ != '\'') return false;
    *value = t.p;
    while (t.p < t.end && takes(*t.p)) t.p++;
    *value_len = (size_t)(t.p - *value);
    if (t.p == t.end || *t.p++ != '\'') return false;
    blanks(&t);
    if (t.p < t.end && *t.p == ';') t.p++;
    blanks(&t);
    return t.p == t.end;
}

/* What may stand between the name's parts and mean nothing. */
static bool is_skipped(char c) { return is_blank(c) || c == '"' || c == '\''; }

static void skip(struct text *t) {
    while (t->p < t->end && is_skipped(*t->p)) t->p++;
}

/* From each dot on, whatever it stands in: what is before it, and what is behind. */
static bool names_it(const char *text, size_t len) {
    const char *end = text + len;
    for (const char *dot = text; (dot = memchr(dot, '.', (size_t)(end - dot))) != NULL; dot++) {
        const char *p = dot;
        while (p > text && is_skipped(p[-1])) p--;
        if ((size_t)(p - text) < sizeof SCHEMA - 1 || strncasecmp(p - (sizeof SCHEMA - 1), SCHEMA, sizeof SCHEMA - 1) != 0) continue;
        struct text at = {dot + 1, end};
        skip(&at);
        if (!letters(&at, NAME)) continue;
        if (at.p == at.end || !(isalnum((unsigned char)*at.p) || *at.p == '_' || *at.p == '$' || (unsigned char)*at.p >= 0x80)) return true;
    }
    return false;
}

enum renewal renewal_scan(const char *text, size_t len, const char **token, size_t *token_len) {
    if (renewal_form(text, len, NAME, is_token, token, token_len)) return RENEWAL_SET;
    return names_it(text, len) ? RENEWAL_OTHER : RENEWAL_NONE;
}

bool renewal_is_name(const char *setting) { return strcasecmp(setting, SCHEMA "." NAME) == 0; }
