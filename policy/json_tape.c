#include "policy/json_tape.h"

#include <stdlib.h>
#include <string.h>

struct builder {
    struct jt *t;
    const char *p, *end;
    size_t cap;
    uint32_t depth, max_depth;
    uint32_t open; /* index of the innermost open container, whose "text" is the next one's until it is closed; NONE: none */
    uint32_t key;  /* of the value that comes next */
    uint8_t keylen;
};
#define NONE UINT32_MAX
/* All in one function, so that the builder lives in registers. */
#define IN static inline __attribute__((always_inline))

static bool grow(struct jt *t, size_t cap) {
    struct jt_value *moved = reallocarray(t->v, cap, sizeof *moved);
    if (moved == NULL) return false;
    t->v = moved;
    return true;
}

IN enum jt_rc push(struct builder *b, uint8_t type, uint32_t text, uint32_t next) {
    struct jt *t = b->t;
    if (t->n == NONE) return JT_BAD;
    if (t->n == b->cap) {
        if (!grow(t, b->cap * 2)) return JT_NO_MEMORY;
        b->cap *= 2;
    }
    t->v[t->n++] = (struct jt_value){.key = b->key, .keylen = b->keylen, .type = type, .text = text, .next = next};
    b->key = 0;
    b->keylen = 0;
    return JT_OK;
}

IN enum jt_rc open_container(struct builder *b, uint8_t type) {
    if (b->depth >= b->max_depth) return JT_DEEP;
    enum jt_rc rc = push(b, type, b->open, 0);
    if (rc != JT_OK) return rc;
    b->open = b->t->n - 1;
    b->depth++;
    b->p++;
    return JT_OK;
}

IN bool in_object(const struct builder *b) { return b->open != NONE && b->t->v[b->open].type == JT_OBJECT; }

/* How many of the eight bytes at p stand before the first quote or backslash; 8 when there is none. */
IN size_t plain_bytes(const char *p) {
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t w, quote, back, found;
    memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    quote = w ^ ones * '"';
    back = w ^ ones * '\\';
    found = (((quote - ones) & ~quote) | ((back - ones) & ~back)) & high; /* the lowest bit that is set is of a true one */
    return found != 0 ? (size_t)__builtin_ctzll(found) / 8 : 8;
}

/* p behind the opening quote; leaves it behind the closing one. Most are short: a call of memchr() would cost more than the loop. */
IN bool scan_string(struct builder *b, uint32_t *start, size_t *len) {
    const char *p = b->p, *end = b->end, *begin = p;
    for (;;) {
        size_t n = 8;
        while (end - p >= 8 && (n = plain_bytes(p)) == 8) p += 8;
        if (n < 8) p += n;
        while (p < end && *p != '"' && *p != '\\') p++;
        if (p >= end) return false;
        if (*p == '"') break;
        if (end - p < 2) return false;
        p += 2;
    }
    *start = (uint32_t)(begin - b->t->json);
    *len = (size_t)(p - begin);
    b->p = p + 1;
    return true;
}

static bool is_number_char(char c) { return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'; }

IN enum jt_rc scan_number(struct builder *b) {
    const char *begin = b->p;
    while (b->p < b->end && is_number_char(*b->p)) b->p++;
    if (b->p == begin) return JT_BAD;
    return push(b, JT_NUMBER, (uint32_t)(begin - b->t->json), (uint32_t)(b->p - begin));
}

IN enum jt_rc scan_literal(struct builder *b, const char *word, uint8_t type) {
    size_t n = strlen(word);
    if (n > (size_t)(b->end - b->p) || memcmp(b->p, word, n) != 0) return JT_BAD;
    b->p += n;
    return push(b, type, 0, 0);
}

static inline bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/* The next character that is no blank, '\0' at the end. */
IN char peek(struct builder *b) {
    while (b->p < b->end && (unsigned char)*b->p <= ' ' && is_blank(*b->p)) b->p++;
    return b->p < b->end ? *b->p : '\0';
}

/* "key": in front of a member's value. */
IN enum jt_rc scan_key(struct builder *b) {
    size_t n;
    if (peek(b) != '"') return JT_BAD;
    b->p++;
    if (!scan_string(b, &b->key, &n) || n > UINT8_MAX || peek(b) != ':') return JT_BAD;
    b->p++;
    b->keylen = (uint8_t)n;
    return JT_OK;
}

IN enum jt_rc scan_value(struct builder *b, bool *opened) {
    uint32_t start;
    size_t n;
    *opened = false;
    switch (peek(b)) {
    case '{': *opened = true; return open_container(b, JT_OBJECT);
    case '[': *opened = true; return open_container(b, JT_ARRAY);
    case '"':
        b->p++;
        if (!scan_string(b, &start, &n)) return JT_BAD;
        return push(b, JT_STRING, start, (uint32_t)n);
    case 't': return scan_literal(b, "true", JT_TRUE);
    case 'f': return scan_literal(b, "false", JT_FALSE);
    case 'n': return scan_literal(b, "null", JT_NULL);
    case '\0': return JT_BAD;
    default: return scan_number(b);
    }
}

/* Behind a value: closes what ends here, and steps over the comma to the next member. */
IN enum jt_rc after_value(struct builder *b) {
    while (b->open != NONE) {
        char c = peek(b);
        struct jt_value *v = &b->t->v[b->open];
        if (c == ',') {
            b->p++;
            return JT_OK;
        }
        if (c != (v->type == JT_OBJECT ? '}' : ']')) return JT_BAD;
        b->p++;
        b->open = v->text;
        b->depth--;
        v->text = 0;
        v->next = b->t->n;
    }
    return JT_OK;
}

IN enum jt_rc build(struct builder *b) {
    do {
        enum jt_rc rc;
        bool opened;
        if (in_object(b) && (rc = scan_key(b)) != JT_OK) return rc;
        if ((rc = scan_value(b, &opened)) != JT_OK) return rc;
        if (opened && peek(b) != (in_object(b) ? '}' : ']')) continue;
        if ((rc = after_value(b)) != JT_OK) return rc;
    } while (b->open != NONE);
    return peek(b) == '\0' && b->p == b->end ? JT_OK : JT_BAD;
}

enum jt_rc jt_parse(struct jt *t, const char *json, size_t len, uint32_t max_depth) {
    *t = (struct jt){.json = json};
    if (len >= NONE) return JT_DEEP;
    struct builder b = {.t = t, .p = json, .end = json + len, .max_depth = max_depth, .open = NONE};
    b.cap = len / 11 < 4096 ? len / 11 + 16 : 4096; /* libpg_query writes about 11 bytes for a value */
    enum jt_rc rc = grow(t, b.cap) ? build(&b) : JT_NO_MEMORY;
    if (rc != JT_OK) jt_free(t);
    return rc;
}

void jt_free(struct jt *t) {
    free(t->v);
    *t = (struct jt){0};
}

bool jt_str_is(const struct jt *t, uint32_t i, const char *s) {
    if (i == 0 || t->v[i].type != JT_STRING) return false;
    size_t n = strlen(s);
    return t->v[i].next == n && memcmp(t->json + t->v[i].text, s, n) == 0;
}

static int hex4(const char *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* The escape at p (behind the backslash) to *out; its length in the source, 0 when ill-formed. libpg_query writes \u only for control
 * characters and '<', '>': all below U+0080. */
static size_t unescape(const char *p, size_t left, char *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (left == 0) return 0;
    if (*p == 'u') {
        int v = left >= 5 ? hex4(p + 1) : -1;
        if (v <= 0 || v >= 0x80) return 0;
        *out = (char)v;
        return 5;
    }
    const char *at = *p != '\0' ? strchr(from, *p) : NULL;
    if (at == NULL) return 0;
    *out = to[at - from];
    return 1;
}

char *jt_string(const struct jt *t, uint32_t i, struct pol_arena *a) {
    if (i == 0 || t->v[i].type != JT_STRING) return NULL;
    const char *p = t->json + t->v[i].text, *end = p + t->v[i].next;
    char *s = pol_alloc(a, t->v[i].next + 1u), *out = s;
    if (s == NULL) return NULL;
    while (p < end) {
        if (*p != '\\') {
            *out++ = *p++;
            continue;
        }
        size_t n = unescape(p + 1, (size_t)(end - p) - 1, out);
        if (n == 0) return NULL;
        out++;
        p += n + 1;
    }
    *out = '\0';
    return s;
}

int64_t jt_int(const struct jt *t, uint32_t i, int64_t def) {
    if (i == 0 || t->v[i].type != JT_NUMBER || t->v[i].next > 19) return def;
    char digits[20];
    memcpy(digits, t->json + t->v[i].text, t->v[i].next);
    digits[t->v[i].next] = '\0';
    char *end;
    long long v = strtoll(digits, &end, 10);
    return *end == '\0' ? (int64_t)v : def;
}

bool jt_bool(const struct jt *t, uint32_t i) { return i != 0 && t->v[i].type == JT_TRUE; }
