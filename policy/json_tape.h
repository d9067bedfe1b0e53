/* libpg_query's JSON as a flat tape: 16 bytes a value, made in one pass without recursion, read with a skip index.
 *
 * Reads exactly the JSON that libpg_query 15 writes (RFC 8259 without blanks between tokens being required). A tree library would cost over a
 * kilobyte for each constant of a long IN list. */
#ifndef GH_POLICY_JSON_TAPE_H
#define GH_POLICY_JSON_TAPE_H

#include "policy/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum jt_type { JT_OBJECT = 1, JT_ARRAY, JT_STRING, JT_NUMBER, JT_TRUE, JT_FALSE, JT_NULL };
struct jt_value {
    uint32_t key;  /* offset of its key's first byte, when its parent is an object */
    uint32_t text; /* offset of a string's or number's first byte */
    uint32_t next; /* object, array: index behind its last descendant; string, number: its length in bytes, escapes not yet undone */
    uint8_t type;
    uint8_t keylen;
};
struct jt {
    const char *json;   /* borrowed: outlives the tape */
    struct jt_value *v; /* v[0] is the root */
    uint32_t n;
};

enum jt_rc { JT_OK, JT_BAD, JT_DEEP, JT_NO_MEMORY };
/* max_depth bounds the open containers. */
enum jt_rc jt_parse(struct jt *t, const char *json, size_t len, uint32_t max_depth);
void jt_free(struct jt *t);

/* The index behind value i and all that it holds. */
static inline uint32_t jt_skip(const struct jt *t, uint32_t i) { return t->v[i].type <= JT_ARRAY ? t->v[i].next : i + 1; }
/* for (uint32_t c = jt_first(t, i); c < jt_end(t, i); c = jt_skip(t, c)): the members of an object or array; none for a scalar. */
static inline uint32_t jt_first(const struct jt *t, uint32_t i) {
    (void)t;
    return i + 1;
}
static inline uint32_t jt_end(const struct jt *t, uint32_t i) { return t->v[i].type <= JT_ARRAY ? t->v[i].next : i + 1; }
/* Inline, so that the length of a key that is written out is a constant. */
static inline bool jt_key_is(const struct jt *t, uint32_t i, const char *key) {
    size_t n = strlen(key);
    return t->v[i].keylen == n && memcmp(t->json + t->v[i].key, key, n) == 0;
}
/* The member named key of object i; 0 when there is none (the root is nobody's member). */
static inline uint32_t jt_get(const struct jt *t, uint32_t i, const char *key) {
    const struct jt_value *v = t->v;
    size_t n = strlen(key);
    if (v[i].type != JT_OBJECT) return 0;
    for (uint32_t c = i + 1; c < v[i].next; c = jt_skip(t, c))
        if (v[c].keylen == n && memcmp(t->json + v[c].key, key, n) == 0) return c;
    return 0;
}
bool jt_str_is(const struct jt *t, uint32_t i, const char *s); /* of text without escapes */
/* A string's text with its escapes undone, in the arena; NULL when i is 0, no string, ill-formed, or memory is out. */
char *jt_string(const struct jt *t, uint32_t i, struct pol_arena *a);
/* A number as an integer; def when i is 0 or it is none. */
int64_t jt_int(const struct jt *t, uint32_t i, int64_t def);
bool jt_bool(const struct jt *t, uint32_t i); /* true only for true */

#endif
