#include "spoa/ledger_forms.h"

/* Control characters, '"', '\\' and DEL. */
static bool escaped(unsigned char c) { return c < 0x20 || c == '"' || c == '\\' || c == 0x7f; }

/* Eight bytes none of which needs an escape or is beyond ASCII. */
static bool plain_word(uint64_t w) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t quote = w ^ '"' * ones, slash = w ^ '\\' * ones, del = w ^ 0x7f * ones;
    return ((w | (w - 0x20 * ones) | (quote - ones) | (slash - ones) | (del - ones)) & tops) == 0;
}

static uint64_t word_at(const char *s) {
    uint64_t w;
    memcpy(&w, s, sizeof w);
    return w;
}

/* All of a text of less than eight bytes, some of them twice. */
static uint64_t short_word(const char *s, size_t len) {
    uint32_t low = 0x61616161, high;
    if (len >= 4) {
        memcpy(&low, s, 4);
        memcpy(&high, s + len - 4, 4);
    } else
        high = len == 0 ? low
                        : (uint32_t)(uint8_t)s[0] << 24 | (uint32_t)(uint8_t)s[len / 2] << 16 | (uint32_t)(uint8_t)s[len - 1] << 8 | 0x61;
    return (uint64_t)high << 32 | low;
}

bool form_plain(const void *text, size_t len) {
    const char *s = text;
    if (len < 8) return plain_word(short_word(s, len));
    for (size_t i = 0; len - i > 8; i += 8)
        if (!plain_word(word_at(s + i))) return false;
    return plain_word(word_at(s + len - 8));
}

size_t form_json_len(const char *s, size_t len) {
    size_t n = len;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (escaped(c)) n += c == '"' || c == '\\' || c == '\n' ? 1 : FORM_JSON_WORST - 1;
    }
    return n;
}

static char *put_escaped(char *at, unsigned char c) {
    *at++ = '\\';
    if (c == '"' || c == '\\')
        *at++ = (char)c;
    else if (c == '\n')
        *at++ = 'n';
    else {
        PUT(at, "u00");
        gh_hex(at, &c, 1);
        at += 2;
    }
    return at;
}

char *form_json(char *at, const char *s, size_t len, bool plain) {
    if (plain) return gh_put(at, s, len);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (escaped(c))
            at = put_escaped(at, c);
        else
            *at++ = (char)c;
    }
    return at;
}
