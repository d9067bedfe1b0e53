#include "policy/words.h"

#include <string.h>

bool pol_words_contain(const char *const *sorted, size_t n, const char *name) {
    size_t low = 0;
    while (low < n) {
        size_t mid = low + (n - low) / 2;
        int c = strcmp(name, sorted[mid]);
        if (c == 0) return true;
        if (c < 0)
            n = mid;
        else
            low = mid + 1;
    }
    return false;
}

const char *pol_words_out_of_order(const char *const *sorted, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1], sorted[i]) >= 0) return sorted[i];
    return NULL;
}
