#include "spoa/base64url.h"

void base64url_encode(const void *data, size_t len, char *out) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *p = data;
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | p[i];
        for (have += 8; have >= 6; have -= 6) *out++ = alphabet[bits >> (have - 6) & 63];
    }
    if (have > 0) *out++ = alphabet[bits << (6 - have) & 63];
    *out = '\0';
}

static int value_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '-') return 62;
    return c == '_' ? 63 : -1;
}

bool base64url_decode(const char *text, size_t len, uint8_t *out, size_t *out_len) {
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;
    if (len % 4 == 1) return false;
    for (size_t i = 0; i < len; i++) {
        int v = value_of(text[i]);
        if (v < 0) return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (uint8_t)(bits >> have);
        }
    }
    *out_len = n;
    return (bits & ((1u << have) - 1)) == 0;
}
