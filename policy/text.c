#include "policy/text.h"

#include "filters/bytes.h"

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
