#define _GNU_SOURCE /* memmem */
#include "policy/pg_scan.h"

#include "filters/bytes.h"

#include <stdlib.h>
#include <string.h>

/* The bound. Parentheses and brackets open a level. Inside a level the tree can only grow deeper by words (NOT, CASE, JOIN, IS ...) and operators,
 * left- or right-recursively, so each of them counts one; plain operands (numbers, strings, quoted names, the word after a dot) cannot nest by
 * themselves. A comma ends an expression, and what stands beside it is a sibling, with one exception: a set operation takes
 * the whole SELECT list on its left for a child, so UNION, INTERSECT and EXCEPT count to the level's end. What a level holds at its deepest
 * adds to what follows it in the level around it: (deep) + 1 + 1 puts (deep) at the bottom. */
struct level {
    uint32_t chain; /* nesting tokens since the last comma */
    uint32_t child; /* the deepest level that closed since the last comma */
    uint32_t best;  /* the deepest of the parts before that comma */
    uint32_t sets;  /* set operations in this level */
};

struct scan {
    const unsigned char *p, *end;
    size_t len;
    struct level *levels;
    size_t n, cap;
    uint32_t tokens, max_depth, max_tokens, deepest;
    enum pg_scan_rc rc;
    bool after_dot;
    const unsigned char *run_end; /* of the run of operator characters looked at last */
    uint64_t steps;
};

/* PostgreSQL's lexer matches a run of operator characters to its end, and then gives back what the token does not hold: "+" and the
 * start of a comment each pay for the rest of the run, so a run costs the square of its length (32 KB of them a second). */
#define MAX_STEPS (4u << 20)

/* What a level without any counted word can still hold: SELECT, WITH, INSERT ... around a list. */
#define LEVEL_BASE 4

static bool is_word_start(unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80; }
static bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
static bool is_word(unsigned char c) { return is_word_start(c) || is_digit(c) || c == '$'; }
static bool is_blank(unsigned char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }
static bool is_newline(unsigned char c) { return c == '\n' || c == '\r'; }
static bool is_op(unsigned char c) { return c != '\0' && strchr("~!@#^&|`?+-*/%<>=", c) != NULL; }

static uint32_t add_sat(uint32_t a, uint32_t b) { return a > UINT32_MAX - b ? UINT32_MAX : a + b; }

static uint32_t level_depth(const struct level *l) {
    uint32_t now = add_sat(l->chain, l->child);
    return add_sat(add_sat(now > l->best ? now : l->best, l->sets), LEVEL_BASE);
}

static void too_deep(struct scan *s, uint32_t depth) {
    if (depth > s->deepest) s->deepest = depth;
    if (depth > s->max_depth && s->rc == PG_SCAN_OK) s->rc = PG_SCAN_DEEP;
}

static void open_level(struct scan *s) {
    if (s->n > s->max_depth) {
        too_deep(s, (uint32_t)s->n);
        return;
    }
    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? 64 : s->cap * 2;
        struct level *moved = reallocarray(s->levels, cap, sizeof *moved);
        if (moved == NULL) {
            s->rc = PG_SCAN_NO_MEMORY;
            return;
        }
        s->levels = moved;
        s->cap = cap;
    }
    s->levels[s->n++] = (struct level){0};
}

static void close_level(struct scan *s) {
    if (s->n < 2) return; /* a syntax error; the parser says so */
    uint32_t depth = level_depth(&s->levels[--s->n]);
    too_deep(s, depth);
    struct level *l = &s->levels[s->n - 1];
    if (depth > l->child) l->child = depth;
}

static void end_part(struct scan *s, bool statement) {
    struct level *l = &s->levels[s->n - 1];
    uint32_t now = add_sat(l->chain, l->child);
    if (now > l->best) l->best = now;
    l->chain = l->child = 0;
    if (!statement) return;
    uint32_t depth = level_depth(l);
    too_deep(s, depth);
    if (s->n == 1)
        *l = (struct level){0}; /* statements stand beside each other */
    else
        l->best = add_sat(l->best, l->sets), l->sets = 0;
}

/* p behind a closing quote: where the string goes on when a newline and another quote follow ('a' NEWLINE 'b' is one string), else NULL. */
static const unsigned char *continued(const unsigned char *p, const unsigned char *end) {
    bool newline = false;
    while (p < end) {
        if (is_newline(*p)) {
            newline = true;
            p++;
        } else if (is_blank(*p)) {
            p++;
        } else if (*p == '-' && end - p >= 2 && p[1] == '-') {
            while (p < end && !is_newline(*p)) p++;
        } else {
            return newline && *p == '\'' ? p + 1 : NULL;
        }
    }
    return NULL;
}

static void lexer_steps(struct scan *s, const unsigned char *p, uint32_t times) {
    if (s->run_end == NULL || p >= s->run_end) {
        s->run_end = p;
        while (s->run_end < s->end && is_op(*s->run_end)) s->run_end++;
    }
    s->steps += (uint64_t)(s->run_end - p) * times;
    if (s->steps > s->len + MAX_STEPS && s->rc == PG_SCAN_OK) s->rc = PG_SCAN_OPERATORS;
}

/* p at the opening quote. */
static void skip_string(struct scan *s, bool escapes) {
    const unsigned char *p = s->p + 1;
    while (p < s->end) {
        if (*p == '\\' && escapes) {
            if (s->end - p < 2) break;
            p += 2;
        } else if (*p != '\'') {
            p++;
        } else if (s->end - p >= 2 && p[1] == '\'') {
            p += 2;
        } else {
            const unsigned char *on = continued(p + 1, s->end);
            if (on == NULL) {
                s->p = p + 1;
                return;
            }
            p = on;
        }
    }
    s->p = s->end;
}

static void skip_quoted_name(struct scan *s) {
    const unsigned char *p = s->p + 1;
    while (p < s->end) {
        if (*p++ != '"') continue;
        if (p == s->end || *p != '"') {
            s->p = p;
            return;
        }
        p++;
    }
    s->p = s->end;
}

static void skip_block_comment(struct scan *s) {
    const unsigned char *p = s->p + 2;
    size_t nested = 1;
    lexer_steps(s, s->p, 1);
    while (nested > 0 && s->end - p >= 2 && s->rc == PG_SCAN_OK) {
        if (p[0] == '/' && p[1] == '*') {
            lexer_steps(s, p, 1);
            nested++, p += 2;
        } else if (p[0] == '*' && p[1] == '/')
            nested--, p += 2;
        else
            p++;
    }
    s->p = nested > 0 ? s->end : p;
}

/* $tag$ ... $tag$, or $1, or a lone $. */
static void skip_dollar(struct scan *s) {
    const unsigned char *tag = s->p, *p = tag + 1;
    if (p < s->end && is_digit(*p)) {
        while (p < s->end && is_digit(*p)) p++;
        s->p = p;
        return;
    }
    if (p < s->end && is_word_start(*p))
        while (p < s->end && is_word(*p) && *p != '$') p++;
    if (p == s->end || *p != '$') {
        s->p = tag + 1;
        return;
    }
    size_t n = (size_t)(++p - tag);
    const unsigned char *close = memmem(p, (size_t)(s->end - p), tag, n);
    s->p = close == NULL ? s->end : close + n;
}

static void count(struct scan *s, uint32_t n) {
    struct level *l = &s->levels[s->n - 1];
    l->chain = add_sat(l->chain, n);
}

static bool word_is(const unsigned char *p, size_t len, const char *word) {
    if (strlen(word) != len) return false;
    for (size_t i = 0; i < len; i++)
        if ((p[i] | 0x20) != (unsigned char)word[i]) return false;
    return true;
}

static void scan_word(struct scan *s) {
    const unsigned char *p = s->p;
    while (p < s->end && is_word(*p)) p++;
    const unsigned char *word = s->p;
    size_t len = (size_t)(p - word);
    s->p = p;
    if (len == 1 && (*word == 'e' || *word == 'E') && p < s->end && *p == '\'') {
        skip_string(s, true);
        return;
    }
    if (s->after_dot) return; /* a part of a qualified name */
    count(s, 1);
    if (word_is(word, len, "union") || word_is(word, len, "intersect") || word_is(word, len, "except"))
        s->levels[s->n - 1].sets = add_sat(s->levels[s->n - 1].sets, 1);
}

static void scan_number(struct scan *s) {
    const unsigned char *p = s->p;
    while (p < s->end && (is_digit(*p) || *p == '.')) p++;
    if (s->end - p >= 2 && (*p == 'e' || *p == 'E')) {
        const unsigned char *q = p + 1;
        if (*q == '+' || *q == '-') q++;
        if (q < s->end && is_digit(*q)) {
            while (q < s->end && is_digit(*q)) q++;
            p = q;
        }
    }
    s->p = p;
}

/* A run of operator characters is one operator unless it holds a sign: "+-+-" may be read as four. */
static void scan_operator(struct scan *s) {
    const unsigned char *p = s->p;
    uint32_t n = 0;
    bool sign = false;
    while (p < s->end && is_op(*p)) {
        if (s->end - p >= 2 && ((p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*'))) break;
        sign |= *p == '+' || *p == '-';
        n++, p++;
    }
    lexer_steps(s, s->p, sign ? n : 1);
    count(s, sign ? n : 1);
    s->tokens += sign ? n - 1 : 0; /* the caller counts one */
    s->p = p;
}

static void scan_punctuation(struct scan *s, unsigned char c) {
    s->p++;
    switch (c) {
    case '(':
    case '[': open_level(s); break;
    case ')':
    case ']': close_level(s); break;
    case ',': end_part(s, false); break;
    case ';': end_part(s, true); break;
    case ':':
        if (s->p < s->end && *s->p == ':') s->p++; /* a cast */
        count(s, 1);
        break;
    case '.': break;
    default: count(s, 1); /* nothing that PostgreSQL knows */
    }
}

static bool skip_blanks(struct scan *s) {
    unsigned char c = *s->p, next = s->end - s->p >= 2 ? s->p[1] : 0;
    if (is_blank(c)) {
        s->p++;
    } else if (c == '-' && next == '-') {
        while (s->p < s->end && !is_newline(*s->p)) s->p++;
    } else if (c == '/' && next == '*') {
        skip_block_comment(s);
    } else {
        return false;
    }
    return true;
}

static void scan_token(struct scan *s) {
    unsigned char c = *s->p, next = s->end - s->p >= 2 ? s->p[1] : 0;
    if (c == '\'')
        skip_string(s, false);
    else if (c == '"')
        skip_quoted_name(s);
    else if (c == '$')
        skip_dollar(s);
    else if (is_word_start(c))
        scan_word(s);
    else if (is_digit(c) || (c == '.' && is_digit(next)))
        scan_number(s);
    else if (is_op(c))
        scan_operator(s);
    else
        scan_punctuation(s, c);
    s->after_dot = c == '.' && !is_digit(next);
    s->tokens++;
    if (s->tokens > s->max_tokens && s->rc == PG_SCAN_OK) s->rc = PG_SCAN_TOKENS;
}

enum pg_scan_rc pg_scan_tokens(const char *sql, size_t len, uint32_t max_depth, uint32_t max_tokens, struct pg_scan *out, pg_scan_each each,
                               void *arg) {
    *out = (struct pg_scan){0};
    if (!gh_utf8_valid(sql, len)) return PG_SCAN_ENCODING;
    struct scan s = {.p = (const unsigned char *)sql, .max_depth = max_depth, .max_tokens = max_tokens};
    s.end = s.p + len;
    s.len = len;
    open_level(&s);
    while (s.rc == PG_SCAN_OK && s.p < s.end) {
        const unsigned char *start = s.p;
        if (skip_blanks(&s)) continue;
        scan_token(&s);
        if (each == NULL || s.rc != PG_SCAN_OK) continue;
        if (!each(arg, (uint32_t)(start - (const unsigned char *)sql), (uint32_t)(s.p - (const unsigned char *)sql)))
            s.rc = PG_SCAN_NO_MEMORY;
    }
    while (s.rc == PG_SCAN_OK && s.n > 1) close_level(&s);
    if (s.rc == PG_SCAN_OK) too_deep(&s, level_depth(&s.levels[0]));
    free(s.levels);
    out->depth = s.deepest;
    out->tokens = s.tokens;
    out->steps = s.steps;
    return s.rc;
}

enum pg_scan_rc pg_scan(const char *sql, size_t len, uint32_t max_depth, uint32_t max_tokens, struct pg_scan *out) {
    return pg_scan_tokens(sql, len, max_depth, max_tokens, out, NULL, NULL);
}
