#include "policy/json_tape.h"

#include <stdlib.h>
#include <string.h>

struct builder {
    struct jt *t;
    const char *json;
    size_t len, at, cap;
    uint32_t *open; /* indexes of the open containers */
    size_t nopen, openc;
    uint32_t max_depth;
    uint32_t key; /* of the value that comes next */
    uint8_t keylen;
};

static enum jt_rc push(struct builder *b, uint8_t type, uint32_t text, uint32_t next) {
    struct jt *t = b->t;
    if (t->n == UINT32_MAX) return JT_BAD;
    if (t->n == b->cap) {
        size_t cap = b->cap == 0 ? 256 : b->cap * 2;
        struct jt_value *moved = reallocarray(t->v, cap, sizeof *moved);
        if (moved == NULL) return JT_NO_MEMORY;
        t->v = moved;
        b->cap = cap;
    }
    t->v[t->n++] = (struct jt_value){.key = b->key, .keylen = b->keylen, .type = type, .text = text, .next = next};
    b->key = 0;
    b->keylen = 0;
    return JT_OK;
}

static enum jt_rc open_container(struct builder *b, uint8_t type) {
    if (b->nopen >= b->max_depth) return JT_DEEP;
    if (b->nopen == b->openc) {
        size_t cap = b->openc == 0 ? 64 : b->openc * 2;
        uint32_t *moved = reallocarray(b->open, cap, sizeof *moved);
        if (moved == NULL) return JT_NO_MEMORY;
        b->open = moved;
        b->openc = cap;
    }
    b->open[b->nopen++] = b->t->n;
    b->at++;
    return push(b, type, 0, 0);
}

static bool in_object(const struct builder *b) { return b->nopen > 0 && b->t->v[b->open[b->nopen - 1]].type == JT_OBJECT; }

/* at behind the opening quote; leaves it behind the closing one. */
static bool scan_string(struct builder *b, size_t *start, size_t *len) {
    *start = b->at;
    const char *p = b->json + b->at, *end = b->json + b->len;
    for (;;) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (quote == NULL) return false;
        const char *back = quote;
        while (back > b->json + *start && back[-1] == '\\') back--;
        p = quote + 1;
        if ((quote - back) % 2 == 0) {
            *len = (size_t)(quote - b->json) - *start;
            b->at = (size_t)(p - b->json);
            return true;
        }
    }
}

static enum jt_rc scan_number(struct builder *b) {
    size_t start = b->at;
    while (b->at < b->len && strchr("+-.0123456789eE", b->json[b->at]) != NULL && b->json[b->at] != '\0') b->at++;
    if (b->at == start) return JT_BAD;
    return push(b, JT_NUMBER, (uint32_t)start, (uint32_t)(b->at - start));
}

static enum jt_rc scan_literal(struct builder *b, const char *word, uint8_t type) {
    size_t n = strlen(word);
    if (n > b->len - b->at || memcmp(b->json + b->at, word, n) != 0) return JT_BAD;
    b->at += n;
    return push(b, type, 0, 0);
}

static void skip_blanks(struct builder *b) {
    while (b->at < b->len && (b->json[b->at] == ' ' || b->json[b->at] == '\n' || b->json[b->at] == '\r' || b->json[b->at] == '\t')) b->at++;
}

/* "key": in front of a member's value. */
static enum jt_rc scan_key(struct builder *b) {
    size_t start, n;
    if (b->at >= b->len || b->json[b->at] != '"') return JT_BAD;
    b->at++;
    if (!scan_string(b, &start, &n) || n > UINT8_MAX) return JT_BAD;
    skip_blanks(b);
    if (b->at >= b->len || b->json[b->at] != ':') return JT_BAD;
    b->at++;
    b->key = (uint32_t)start;
    b->keylen = (uint8_t)n;
    return JT_OK;
}

static enum jt_rc scan_value(struct builder *b, bool *opened) {
    *opened = false;
    skip_blanks(b);
    if (b->at >= b->len) return JT_BAD;
    size_t start, n;
    switch (b->json[b->at]) {
    case '{': *opened = true; return open_container(b, JT_OBJECT);
    case '[': *opened = true; return open_container(b, JT_ARRAY);
    case '"':
        b->at++;
        if (!scan_string(b, &start, &n)) return JT_BAD;
        return push(b, JT_STRING, (uint32_t)start, (uint32_t)n);
    case 't': return scan_literal(b, "true", JT_TRUE);
    case 'f': return scan_literal(b, "false", JT_FALSE);
    case 'n': return scan_literal(b, "null", JT_NULL);
    default: return scan_number(b);
    }
}

/* Behind a value: closes what ends here, and steps over the comma to the next member. */
static enum jt_rc after_value(struct builder *b) {
    while (b->nopen > 0) {
        skip_blanks(b);
        if (b->at >= b->len) return JT_BAD;
        char c = b->json[b->at++];
        if (c == ',') return JT_OK;
        if (c != (in_object(b) ? '}' : ']')) return JT_BAD;
        b->t->v[b->open[--b->nopen]].next = b->t->n;
    }
    return JT_OK;
}

static enum jt_rc build(struct builder *b) {
    do {
        enum jt_rc rc;
        bool opened;
        if (in_object(b)) {
            skip_blanks(b);
            rc = scan_key(b);
            if (rc != JT_OK) return rc;
        }
        rc = scan_value(b, &opened);
        if (rc != JT_OK) return rc;
        if (opened) {
            skip_blanks(b);
            if (b->at >= b->len) return JT_BAD;
            if (b->json[b->at] != (in_object(b) ? '}' : ']')) continue;
        }
        rc = after_value(b);
        if (rc != JT_OK) return rc;
    } while (b->nopen > 0);
    skip_blanks(b);
    return b->at == b->len ? JT_OK : JT_BAD;
}

enum jt_rc jt_parse(struct jt *t, const char *json, size_t len, uint32_t max_depth) {
    *t = (struct jt){.json = json};
    if (len >= UINT32_MAX) return JT_DEEP;
    struct builder b = {.t = t, .json = json, .len = len, .max_depth = max_depth};
    enum jt_rc rc = build(&b);
    free(b.open);
    if (rc != JT_OK) jt_free(t);
    return rc;
}

void jt_free(struct jt *t) {
    free(t->v);
    *t = (struct jt){0};
}

bool jt_key_is(const struct jt *t, uint32_t i, const char *key) {
    size_t n = strlen(key);
    return t->v[i].keylen == n && memcmp(t->json + t->v[i].key, key, n) == 0;
}

uint32_t jt_get(const struct jt *t, uint32_t i, const char *key) {
    if (t->v[i].type != JT_OBJECT) return 0;
    for (uint32_t c = i + 1; c < t->v[i].next; c = jt_skip(t, c))
        if (jt_key_is(t, c, key)) return c;
    return 0;
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
