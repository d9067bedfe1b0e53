#include "policy/my_words.h"

#include <string.h>

static const struct {
    const char *text;
    unsigned flags;
} words[] = {
    {"", 0},
#define MY_WORD(word, flags) {#word, flags},
#include "policy/my_words.inc"
#undef MY_WORD
};

/* As strcmp() of the word in upper case. */
static int compare(const char *s, size_t n, const char *word) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i], w = (unsigned char)word[i];
        if (c >= 'a' && c <= 'z') c = (unsigned char)(c & ~0x20u);
        if (c != w) return c < w ? -1 : 1;
    }
    return word[n] == '\0' ? 0 : -1;
}

enum my_word my_word_of(const char *s, size_t n) {
    size_t low = 1, high = MY_WORDS;
    if (n == 0 || n > 32 || memchr(s, '\0', n) != NULL) return MY_W_NONE;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = compare(s, n, words[mid].text);
        if (c == 0) return (enum my_word)mid;
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return MY_W_NONE;
}

const char *my_word_text(enum my_word w) { return (unsigned)w < MY_WORDS ? words[w].text : ""; }

bool my_word_reserved(enum my_word w, enum my_server server) {
    return (unsigned)w < MY_WORDS && (words[w].flags & (server == MY_MYSQL ? MY_W_MYSQL : MY_W_MARIADB)) != 0;
}

bool my_word_needs_paren(enum my_word w) { return (unsigned)w < MY_WORDS && (words[w].flags & MY_W_PAREN) != 0; }

const char *my_words_out_of_order(void) {
    for (size_t i = 1; i < MY_WORDS; i++)
        if (strcmp(words[i - 1].text, words[i].text) >= 0) return words[i].text;
    return NULL;
}
