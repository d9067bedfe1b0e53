#include "filters/bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum gh_rc gh_fail(struct gh_err *err, enum gh_rc rc, size_t offset, const char *reason) {
    if (err != NULL) *err = (struct gh_err){rc, offset, reason};
    return rc;
}

const char *gh_rc_name(enum gh_rc rc) {
    switch (rc) {
    case GH_OK: return "ok";
    case GH_NEED_MORE: return "need more";
    case GH_MALFORMED: return "malformed";
    case GH_LIMIT: return "limit";
    case GH_UNSUPPORTED: return "unsupported";
    }
    return "unknown";
}

bool cur_take(struct cur *c, size_t n, const uint8_t **at) {
    if (n > (size_t)(c->end - c->p)) return false;
    *at = c->p;
    c->p += n;
    return true;
}

bool cur_skip(struct cur *c, size_t n) {
    const uint8_t *at;
    return cur_take(c, n, &at);
}

bool cur_sub(struct cur *c, size_t n, struct cur *sub) {
    const uint8_t *at;
    if (!cur_take(c, n, &at)) return false;
    *sub = (struct cur){at, at, at + n};
    return true;
}

bool cur_u8(struct cur *c, uint8_t *v) {
    const uint8_t *at;
    if (!cur_take(c, 1, &at)) return false;
    *v = at[0];
    return true;
}

static bool take_be(struct cur *c, size_t n, uint64_t *v) {
    const uint8_t *at;
    if (!cur_take(c, n, &at)) return false;
    *v = 0;
    for (size_t i = 0; i < n; i++) *v = *v << 8 | at[i];
    return true;
}

static bool take_le(struct cur *c, size_t n, uint64_t *v) {
    const uint8_t *at;
    if (!cur_take(c, n, &at)) return false;
    *v = 0;
    for (size_t i = n; i > 0; i--) *v = *v << 8 | at[i - 1];
    return true;
}

bool cur_be16(struct cur *c, uint16_t *v) {
    const uint8_t *at;
    if (!cur_take(c, 2, &at)) return false;
    *v = (uint16_t)(at[0] << 8 | at[1]);
    return true;
}

bool cur_be32(struct cur *c, uint32_t *v) {
    const uint8_t *at;
    if (!cur_take(c, 4, &at)) return false;
    *v = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    return true;
}

bool cur_be64(struct cur *c, uint64_t *v) { return take_be(c, 8, v); }

bool cur_le16(struct cur *c, uint16_t *v) {
    uint64_t w;
    if (!take_le(c, 2, &w)) return false;
    *v = (uint16_t)w;
    return true;
}

bool cur_le24(struct cur *c, uint32_t *v) {
    uint64_t w;
    if (!take_le(c, 3, &w)) return false;
    *v = (uint32_t)w;
    return true;
}

bool cur_le32(struct cur *c, uint32_t *v) {
    uint64_t w;
    if (!take_le(c, 4, &w)) return false;
    *v = (uint32_t)w;
    return true;
}

bool cur_le64(struct cur *c, uint64_t *v) { return take_le(c, 8, v); }

bool cur_cstr(struct cur *c, const char **s, size_t *len) {
    const uint8_t *nul = memchr(c->p, 0, cur_left(c));
    if (nul == NULL) return false;
    *s = (const char *)c->p;
    *len = (size_t)(nul - c->p);
    c->p = nul + 1;
    return true;
}

void buf_free(struct buf *b) {
    free(b->data);
    *b = BUF_INIT(b->max);
}

void buf_spare(struct buf *b) {
    if (buf_used(b) == 0 && !b->failed) buf_free(b);
}

void buf_reset(struct buf *b) {
    b->off = b->len = 0;
    b->failed = b->no_memory = false;
}

void buf_drain(struct buf *b, size_t n) {
    assert(n <= buf_used(b));
    b->off += n;
    if (b->off == b->len) b->off = b->len = 0;
}

uint8_t *buf_reserve_more(struct buf *b, size_t n) {
    if (b->failed) return NULL;
    size_t used = b->len - b->off;
    if (n > b->max || used > b->max - n) {
        b->failed = true;
        return NULL;
    }
    if (b->data != NULL && n <= b->cap - b->len) return b->data + b->len;
    if (b->off > 0) {
        memmove(b->data, b->data + b->off, used);
        b->off = 0;
        b->len = used;
        if (n <= b->cap - b->len) return b->data + b->len;
    }
    size_t cap = b->cap < 256 ? 256 : b->cap;
    while (cap - used < n) {
        if (cap > SIZE_MAX / 2) {
            b->failed = true;
            return NULL;
        }
        cap *= 2;
    }
    uint8_t *data = realloc(b->data, cap);
    if (data == NULL) {
        b->failed = b->no_memory = true;
        return NULL;
    }
    b->data = data;
    b->cap = cap;
    return b->data + b->len;
}

void buf_commit(struct buf *b, size_t n) {
    assert(n <= b->cap - b->len);
    b->len += n;
}

void buf_be16(struct buf *b, uint16_t v) { buf_put(b, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2); }
void buf_be32(struct buf *b, uint32_t v) {
    buf_put(b, (uint8_t[]){(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}, 4);
}
void buf_le16(struct buf *b, uint16_t v) { buf_put(b, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8)}, 2); }
void buf_le32(struct buf *b, uint32_t v) {
    buf_put(b, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)}, 4);
}
void buf_cstr(struct buf *b, const char *s) {
    buf_str(b, s);
    buf_u8(b, 0);
}

void buf_patch_be32(struct buf *b, size_t pos, uint32_t v) {
    if (b->failed) return;
    assert(buf_used(b) >= 4 && pos <= buf_used(b) - 4);
    uint8_t *at = b->data + b->off + pos;
    at[0] = (uint8_t)(v >> 24);
    at[1] = (uint8_t)(v >> 16);
    at[2] = (uint8_t)(v >> 8);
    at[3] = (uint8_t)v;
}

/* Two characters for each value of a pair of digits. */
#define TENS(d)     d "0" d "1" d "2" d "3" d "4" d "5" d "6" d "7" d "8" d "9"
#define SIXTEENS(d) TENS(d) d "a" d "b" d "c" d "d" d "e" d "f"
const char gh_decimal[] = TENS("0") TENS("1") TENS("2") TENS("3") TENS("4") TENS("5") TENS("6") TENS("7") TENS("8") TENS("9");
static const char hex[] = SIXTEENS("0") SIXTEENS("1") SIXTEENS("2") SIXTEENS("3") SIXTEENS("4") SIXTEENS("5") SIXTEENS("6") SIXTEENS("7")
    SIXTEENS("8") SIXTEENS("9") SIXTEENS("a") SIXTEENS("b") SIXTEENS("c") SIXTEENS("d") SIXTEENS("e") SIXTEENS("f");

static size_t count_digits(uint64_t v) {
    static const uint64_t ten_to[] = {0,
                                      10,
                                      100,
                                      1000,
                                      10000,
                                      100000,
                                      1000000,
                                      10000000,
                                      100000000,
                                      1000000000,
                                      10000000000,
                                      100000000000,
                                      1000000000000,
                                      10000000000000,
                                      100000000000000,
                                      1000000000000000,
                                      10000000000000000,
                                      100000000000000000,
                                      1000000000000000000,
                                      10000000000000000000u};
    size_t n = (size_t)(64 - __builtin_clzll(v | 1)) * 1233 >> 12; /* bits times log10(2): the digits, or one less */
    return n + (v >= ten_to[n]);
}

size_t gh_u64_text(char out[GH_U64_TEXT], uint64_t v) {
    size_t n = count_digits(v), at = n;
    for (; v >= 100; v /= 100) memcpy(out + (at -= 2), gh_decimal + 2 * (v % 100), 2);
    if (v >= 10)
        memcpy(out, gh_decimal + 2 * v, 2);
    else
        out[0] = (char)('0' + v);
    out[n] = '\0';
    return n;
}

void *gh_zalloc(size_t size) {
    void *p = malloc(size);
    return p == NULL ? NULL : memset(p, 0, size);
}

void gh_hex(char *out, const void *data, size_t len) {
    const uint8_t *p = data;
#ifdef __SSE2__
    for (; len >= 16; len -= 16, p += 16, out += 32) { /* sixteen bytes at once: each half in a byte of its own, then its digit */
        const __m128i half = _mm_set1_epi8(15), nine = _mm_set1_epi8(9), zero = _mm_set1_epi8('0'), letter = _mm_set1_epi8('a' - '9' - 1);
        __m128i in = _mm_loadu_si128((const __m128i *)(const void *)p), high = _mm_and_si128(_mm_srli_epi16(in, 4), half),
                low = _mm_and_si128(in, half);
        __m128i v[2] = {_mm_unpacklo_epi8(high, low), _mm_unpackhi_epi8(high, low)};
        for (int i = 0; i < 2; i++) {
            __m128i digits = _mm_add_epi8(_mm_add_epi8(v[i], zero), _mm_and_si128(_mm_cmpgt_epi8(v[i], nine), letter));
            _mm_storeu_si128((__m128i *)(void *)(out + 16 * i), digits);
        }
    }
#endif
    for (; len > 0; len--, out += 2) memcpy(out, hex + 2 * *p++, 2);
}

bool gh_is_hex(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f'))) return false;
    return true;
}

void buf_hex(struct buf *b, const void *data, size_t len) {
    if (len > SIZE_MAX / 2) b->failed = true;
    uint8_t *at = len == 0 || b->failed ? NULL : buf_reserve(b, 2 * len);
    if (at == NULL) return;
    gh_hex((char *)at, data, len);
    buf_commit(b, 2 * len);
}

/* Length of the well-formed sequence at p, 0 when there is none. */
static size_t utf8_sequence(const uint8_t *p, size_t left) {
    uint8_t a = p[0];
    if (a == 0) return 0;
    if (a < 0x80) return 1;
    uint8_t lo = 0x80, hi = 0xBF;
    size_t n;
    if (a >= 0xC2 && a <= 0xDF) {
        n = 2;
    } else if (a >= 0xE0 && a <= 0xEF) {
        n = 3;
        if (a == 0xE0) lo = 0xA0;
        if (a == 0xED) hi = 0x9F;
    } else if (a >= 0xF0 && a <= 0xF4) {
        n = 4;
        if (a == 0xF0) lo = 0x90;
        if (a == 0xF4) hi = 0x8F;
    } else {
        return 0;
    }
    if (left < n || p[1] < lo || p[1] > hi) return 0;
    for (size_t i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xBF) return 0;
    return n;
}

bool gh_utf8_valid(const void *data, size_t len) {
    const uint8_t *p = data;
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    for (size_t i = 0; i < len;) {
        uint64_t word;
        if (len - i >= sizeof word) { /* eight ASCII bytes, none of them NUL */
            memcpy(&word, p + i, sizeof word);
            if (((word | (word - ones)) & tops) == 0) {
                i += sizeof word;
                continue;
            }
        }
        size_t n = utf8_sequence(p + i, len - i);
        if (n == 0) return false;
        i += n;
    }
    return true;
}

void gh_wipe(void *data, size_t len) {
    volatile uint8_t *p = data;
    while (len-- > 0) *p++ = 0;
}
