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

#define WORD_MAX 32u

/* How many letters must be changed, added, left out or swapped with the next one: optimal string alignment. */
static size_t distance(const char *a, const char *b) {
    size_t na = strlen(a), nb = strlen(b), d[WORD_MAX + 1][WORD_MAX + 1];
    if (na > WORD_MAX || nb > WORD_MAX) return SIZE_MAX;
    for (size_t i = 0; i <= na; i++) d[i][0] = i;
    for (size_t k = 0; k <= nb; k++) d[0][k] = k;
    for (size_t i = 1; i <= na; i++)
        for (size_t k = 1; k <= nb; k++) {
            size_t best = d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
            if (d[i - 1][k] + 1 < best) best = d[i - 1][k] + 1;
            if (d[i][k - 1] + 1 < best) best = d[i][k - 1] + 1;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] && d[i - 2][k - 2] + 1 < best) best = d[i - 2][k - 2] + 1;
            d[i][k] = best;
        }
    return d[na][nb];
}

const char *pol_nearest(const char *word, const char *const *words) {
    const char *best = NULL;
    size_t n = strlen(word), best_distance = n < 3 ? n : n < 5 ? 2 : 3; /* of a short word one change is much */
    for (; *words != NULL; words++) {
        size_t d = distance(word, *words);
        if (d < best_distance) best = *words, best_distance = d;
    }
    return best;
}
