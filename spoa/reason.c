#include "spoa/reason.h"

#include "filters/bytes.h"
#include "spoa/renewal.h"

#include <string.h>
#include <strings.h>

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool reason_of(const char *text, size_t len, size_t max, const char **reason, size_t *reason_len) {
    static const char word[] = "reason:";
    const char *p = text, *end = text + len;
    while (p < end && blank(*p)) p++;
    if (end - p < 4 || p[0] != '/' || p[1] != '*') return false;
    for (p += 2; p < end && blank(*p); p++) {
    }
    if ((size_t)(end - p) < sizeof word - 1 || strncasecmp(p, word, sizeof word - 1) != 0) return false;
    p += sizeof word - 1;
    const char *from = p;
    while (end - p >= 2 && !(p[0] == '*' && p[1] == '/')) {
        if (p[0] == '/' && p[1] == '*') return false;
        p++;
    }
    if (end - p < 2) return false;
    while (from < p && blank(*from)) from++;
    while (p > from && blank(p[-1])) p--;
    *reason = from;
    *reason_len = (size_t)(p - from);
    return *reason_len > 0 && *reason_len <= max;
}

static bool plain(char c) { return (unsigned char)c >= 0x20 && c != 0x7f && c != '\'' && c != '\\'; }

static bool set_to(const char *name, const char *text, size_t len, size_t max, const char **reason, size_t *reason_len) {
    return renewal_form(text, len, name, plain, reason, reason_len) && *reason_len <= max && gh_utf8_valid(*reason, *reason_len);
}

bool reason_set(const char *text, size_t len, size_t max, const char **reason, size_t *reason_len) {
    return set_to("reason", text, len, max, reason, reason_len);
}

bool reason_glass(const char *text, size_t len, size_t max, const char **reason, size_t *reason_len) {
    return set_to("breakglass", text, len, max, reason, reason_len);
}
