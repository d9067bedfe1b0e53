/* Bytes in and bytes out: the one read cursor and the one growable buffer that every decoder and encoder uses.
 *
 * A cursor never leaves the memory it was given: every getter compares n > (size_t)(end - p), advances only on success,
 * and must have its result looked at. A buffer has a ceiling and a sticky failure flag: after one failed append
 * all later ones do nothing, so that a packet builder is checked once, at its end.
 *
 * No socket, clock, log or event loop belongs here. */
#ifndef GH_FILTERS_BYTES_H
#define GH_FILTERS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GH_CHECKED __attribute__((warn_unused_result))

/* The one result of everything that parses. NEED_MORE is not an error: the bytes so far are the start of something valid. */
enum gh_rc {
    GH_OK = 0,
    GH_NEED_MORE,   /* incomplete: call again with more bytes */
    GH_MALFORMED,   /* breaks the specification */
    GH_LIMIT,       /* valid, but over a limit that we set */
    GH_UNSUPPORTED, /* valid, but nothing that we understand: denied */
};

/* Code, offset and reason, set together by gh_fail(). reason is a static string. */
struct gh_err {
    enum gh_rc rc;
    size_t offset; /* bytes from the start of the input that was being read */
    const char *reason;
};

/* Fills *err (which may be NULL) and returns rc. */
enum gh_rc gh_fail(struct gh_err *err, enum gh_rc rc, size_t offset, const char *reason);
/* "ok", "need more", "malformed", "limit", "unsupported". */
const char *gh_rc_name(enum gh_rc rc);

struct cur {
    const uint8_t *start, *p, *end; /* not owned; start <= p <= end */
};

static inline struct cur cur_of(const void *data, size_t len) {
    const uint8_t *d = data;
    /* NULL + 0 is undefined in C17 for a null pointer: an empty cursor points at itself. */
    static const uint8_t none[1];
    if (d == NULL) d = none;
    return (struct cur){d, d, d + len};
}
static inline size_t cur_left(const struct cur *c) { return (size_t)(c->end - c->p); }
static inline size_t cur_offset(const struct cur *c) { return (size_t)(c->p - c->start); }

GH_CHECKED bool cur_u8(struct cur *c, uint8_t *v);
GH_CHECKED bool cur_be16(struct cur *c, uint16_t *v);
GH_CHECKED bool cur_be32(struct cur *c, uint32_t *v);
GH_CHECKED bool cur_be64(struct cur *c, uint64_t *v);
GH_CHECKED bool cur_le16(struct cur *c, uint16_t *v);
GH_CHECKED bool cur_le24(struct cur *c, uint32_t *v);
GH_CHECKED bool cur_le32(struct cur *c, uint32_t *v);
GH_CHECKED bool cur_le64(struct cur *c, uint64_t *v);
/* *at points at n bytes inside the cursor's memory. */
GH_CHECKED bool cur_take(struct cur *c, size_t n, const uint8_t **at);
GH_CHECKED bool cur_skip(struct cur *c, size_t n);
/* A cursor over the next n bytes, which cannot leave them; c moves past them. */
GH_CHECKED bool cur_sub(struct cur *c, size_t n, struct cur *sub);
/* A NUL-terminated string inside the cursor's memory; *len is without the NUL. False when no NUL is left. */
GH_CHECKED bool cur_cstr(struct cur *c, const char **s, size_t *len);

/* A growable byte buffer: bytes [off, len) are live. Zero-initialise with BUF_INIT(max). */
struct buf {
    uint8_t *data; /* owned */
    size_t off, len, cap;
    size_t max;     /* ceiling for live bytes; an append that would pass it fails */
    bool failed;    /* sticky: an append failed (ceiling or memory) */
    bool no_memory; /* and it was for want of memory */
};
#define BUF_INIT(ceiling) ((struct buf){.max = (ceiling)})

static inline size_t buf_used(const struct buf *b) { return b->len - b->off; }
/* Never NULL, so that an empty buffer may be copied from. */
static inline const uint8_t *buf_at(const struct buf *b) {
    static const uint8_t none[1];
    return b->data == NULL ? none : b->data + b->off;
}
/* One that is empty, and has not failed, gives its memory back. */
void buf_spare(struct buf *b);
void buf_free(struct buf *b);  /* releases the memory; b is empty and usable again */
void buf_reset(struct buf *b); /* forgets the bytes and the failure, keeps the memory */
/* Drops n live bytes from the front; n <= buf_used(b). */
void buf_drain(struct buf *b, size_t n);
/* buf_reserve() where there is no room yet. */
uint8_t *buf_reserve_more(struct buf *b, size_t n);
/* Room for n more bytes at the end; NULL (and failed) when over the ceiling. Follow with buf_commit(<= n). */
static inline uint8_t *buf_reserve(struct buf *b, size_t n) {
    bool room = !b->failed && b->data != NULL && n <= b->cap - b->len && n <= b->max && b->len - b->off <= b->max - n;
    return room ? b->data + b->len : buf_reserve_more(b, n);
}
void buf_commit(struct buf *b, size_t n);
static inline void buf_put(struct buf *b, const void *data, size_t n) {
    uint8_t *at = n == 0 ? NULL : buf_reserve(b, n);
    if (at == NULL) return;
    memcpy(at, data, n);
    b->len += n;
}
static inline void buf_u8(struct buf *b, uint8_t v) { buf_put(b, &v, 1); }
void buf_be16(struct buf *b, uint16_t v);
void buf_be32(struct buf *b, uint32_t v);
void buf_le16(struct buf *b, uint16_t v);
void buf_le32(struct buf *b, uint32_t v);
/* The string's bytes without, or with, a closing NUL. s may be NULL (as ""). */
static inline void buf_str(struct buf *b, const char *s) {
    if (s != NULL) buf_put(b, s, strlen(s));
}
void buf_cstr(struct buf *b, const char *s);
/* Overwrites four bytes at position pos counted from the first live byte (a length known only afterwards). */
void buf_patch_be32(struct buf *b, size_t pos, uint32_t v);

/* v in decimal and a NUL; gives the number of digits, 1 to 20. What snprintf() takes for it shows on every statement. */
#define GH_U64_TEXT 21
size_t gh_u64_text(char out[GH_U64_TEXT], uint64_t v);
/* The same without the NUL, for lengths: most have one digit or two, and each statement has a hundred of them. Gives what is behind it. */
extern const char gh_decimal[]; /* two digits for each of 0 to 99 */
static inline char *gh_put_len(char *at, size_t v) {
    if (v >= 100) return at + gh_u64_text(at, v);
    if (v >= 10) return (char *)memcpy(at, gh_decimal + 2 * v, 2) + 2;
    *at = (char)('0' + v);
    return at + 1;
}
/* Two lower-case digits for each byte, without a NUL. */
void gh_hex(char *out, const void *data, size_t len);
/* Whether s begins with n such digits. Nothing behind the first that is none is read. */
bool gh_is_hex(const char *s, size_t n);
/* Whether s is 64 of them and no more, as SHA-256 is written. */
static inline bool gh_is_sha256(const char *s) { return gh_is_hex(s, 64) && s[64] == '\0'; }
void buf_hex(struct buf *b, const void *data, size_t len);
/* memcpy() for texts that most often have a few bytes, where a call costs more than the copy. Gives what is behind it. */
static inline char *gh_put(char *at, const void *text, size_t len) {
    const char *s = text;
    if (len > 32)
        memcpy(at, s, len);
    else if (len >= 16) { /* these overlap in the middle */
        memcpy(at, s, 16);
        memcpy(at + len - 16, s + len - 16, 16);
    } else if (len >= 8) {
        memcpy(at, s, 8);
        memcpy(at + len - 8, s + len - 8, 8);
    } else if (len >= 4) {
        memcpy(at, s, 4);
        memcpy(at + len - 4, s + len - 4, 4);
    } else if (len > 0) {
        at[0] = s[0];
        at[len / 2] = s[len / 2];
        at[len - 1] = s[len - 1];
    }
    return at + len;
}
/* As calloc(1, size), for what comes and goes with each message: glibc's calloc() passes by the blocks that malloc() keeps at hand. */
void *gh_zalloc(size_t size);
/* True when data is well-formed UTF-8 (Unicode 15, table 3-7) without NUL bytes. */
bool gh_utf8_valid(const void *data, size_t len);
/* Overwrites memory that held a secret; the compiler does not drop it. */
void gh_wipe(void *data, size_t len);

/* A piece of a text that was put into another one as it is: both positions and the length in characters, from 0. */
struct gh_piece {
    uint32_t at, len, from; /* in the new text; in the old one */
};
#define GH_PIECES 128u /* more are not kept */

#endif
