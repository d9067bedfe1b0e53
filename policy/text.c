#include "policy/text.h"

#include "filters/bytes.h"

#include <stdio.h>
#include <string.h>

size_t pol_utf8_step(const char *p, size_t left) {
    for (size_t n = 1; n <= 4 && n <= left; n++)
        if (gh_utf8_valid(p, n)) return n;
    return 0;
}

void pol_utf8_tidy(char *s) {
    size_t len = strlen(s), to = 0;
    if (gh_utf8_valid(s, len)) return;
    for (size_t i = 0; i < len;) {
        size_t step = pol_utf8_step(s + i, len - i);
        memmove(s + to, s + i, step);
        to += step;
        i += step > 0 ? step : 1;
    }
    s[to] = '\0';
}

void pol_vadd(char *out, size_t size, const char *fmt, va_list ap) {
    size_t used = strlen(out);
    if (used + 1 >= size) return;
    vsnprintf(out + used, size - used, fmt, ap);
    pol_utf8_tidy(out + used);
}

void pol_add(char *out, size_t size, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    pol_vadd(out, size, fmt, ap);
    va_end(ap);
}

void pol_say(char *out, size_t size, const char *fmt, ...) {
    va_list ap;
    out[0] = '\0';
    va_start(ap, fmt);
    pol_vadd(out, size, fmt, ap);
    va_end(ap);
}

/* Levenshtein distance; words over 31 bytes count as far away. */
static size_t distance(const char *a, const char *b) {
    size_t la = strlen(a), lb = strlen(b), row[32];
    if (la > 31 || lb > 31) return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++) row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[lb];
}

const char *pol_nearest(const char *word, const char *const *words) {
    const char *best = NULL;
    size_t best_distance = strlen(word) < 3 ? strlen(word) : 3; /* two edits at most: further away is no misspelling */
    for (; *words != NULL; words++) {
        size_t d = distance(word, *words);
        if (d < best_distance) best = *words, best_distance = d;
    }
    return best;
}
