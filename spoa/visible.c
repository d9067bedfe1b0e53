#include "spoa/visible.h"

#include <stdio.h>
#include <string.h>

/* Unicode's default ignorables, format characters, and blanks that are not U+0020; sorted. */
static const struct {
    uint32_t from, to;
} hidden[] = {
    {0x0000, 0x0008},   {0x000b, 0x001f},   {0x007f, 0x00a0},    {0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x0600, 0x0605},
    {0x061c, 0x061c},   {0x06dd, 0x06dd},   {0x070f, 0x070f},    {0x0890, 0x0891},   {0x08e2, 0x08e2},   {0x115f, 0x1160},
    {0x1680, 0x1680},   {0x17b4, 0x17b5},   {0x180b, 0x180f},    {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},
    {0x2800, 0x2800},   {0x3000, 0x3000},   {0x3164, 0x3164},    {0xd800, 0xf8ff},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},
    {0xffa0, 0xffa0},   {0xfff0, 0xfffb},   {0xfffe, 0xffff},    {0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x1343f},
    {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff},
};

static bool is_hidden(uint32_t c) {
    size_t low = 0, high = sizeof hidden / sizeof *hidden;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c > hidden[mid].to)
            low = mid + 1;
        else
            high = mid;
    }
    return low < sizeof hidden / sizeof *hidden && c >= hidden[low].from;
}

/* The length of the character at s, 0 when it is none. */
static size_t decode(const uint8_t *s, size_t left, uint32_t *c) {
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
    if (n == 0 || n > left) return 0;
    if (s[0] == 0) {
        *c = 0;
        return 1;
    }
    if (!gh_utf8_valid(s, n)) return 0;
    *c = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) *c = *c << 6 | (s[i] & 0x3fu);
    return n;
}

/* How many bytes from s on are ASCII that is seen as it is: most of most texts. */
static size_t plain(const char *s, size_t len, bool line) {
    size_t n = 0;
    while (n < len && ((s[n] >= ' ' && s[n] <= '~') || (!line && (s[n] == '\n' || s[n] == '\t')))) n++;
    return n;
}

static size_t put(struct buf *out, const char *s, size_t len, size_t max, bool line) {
    const uint8_t *p = (const uint8_t *)s;
    size_t at = 0;
    while (at < len && buf_used(out) < max) {
        uint32_t c = 0;
        char word[16];
        size_t n = plain(s + at, len - at, line), room = max - buf_used(out);
        if (n > 0) {
            n = n < room ? n : room;
            buf_put(out, p + at, n);
            at += n;
            continue;
        }
        n = decode(p + at, len - at, &c);
        bool spell = n == 0 || is_hidden(c) || (line && (c == '\n' || c == '\t'));
        if (spell) snprintf(word, sizeof word, n == 0 ? "<0x%02X>" : "<U+%04X>", n == 0 ? p[at] : (unsigned)c);
        if ((spell ? strlen(word) : n) > room) break;
        if (spell)
            buf_put(out, word, strlen(word));
        else
            buf_put(out, p + at, n);
        at += n == 0 ? 1 : n;
    }
    return at;
}

size_t visible_next(const char *s, size_t len, uint32_t *c, bool *hides) {
    size_t n = decode((const uint8_t *)s, len, c);
    if (n == 0) *c = UINT32_MAX;
    *hides = n == 0 || is_hidden(*c);
    return n == 0 ? 1 : n;
}

size_t visible_put(struct buf *out, const char *s, size_t len, size_t max) { return put(out, s, len, max, false); }
size_t visible_line(struct buf *out, const char *s, size_t len, size_t max) { return put(out, s, len, max, true); }
