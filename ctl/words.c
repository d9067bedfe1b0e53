#include "config.h"

#include "ctl/words.h"

#include "policy/text.h"

#include <stdbool.h>
#include <string.h>

static void put_word(const char *word) {
    fputc('"', stderr);
    for (const char *c = word; *c != '\0' && c < word + 60; c++) fputc(*c >= 32 && *c < 127 ? *c : '?', stderr);
    fputc('"', stderr);
}

void words_unknown(const char *of, const char *what, const char *word, const char *const *names) {
    const char *near = pol_nearest(word, names);
    fprintf(stderr, "gatehousectl%s%s: unknown %s ", of[0] != '\0' ? " " : "", of, what);
    put_word(word);
    if (near != NULL)
        fprintf(stderr, ": did you mean %s?", near);
    else
        for (size_t i = 0; names[i] != NULL; i++) fprintf(stderr, "%s%s", i > 0 ? ", " : ": there are ", names[i]);
    fputc('\n', stderr);
}

void words_missing(const char *of, const char *what) { fprintf(stderr, "gatehousectl %s: %s is missing\n", of, what); }

void words_too_many(const char *of, const char *word) {
    fprintf(stderr, "gatehousectl %s: ", of);
    put_word(word);
    fputs(" is one word too many\n", stderr);
}

/* The line begins with this command, at a word's end. */
static bool about(const char *line, const char *command) {
    static const char name[] = "gatehousectl ";
    size_t n = strlen(command), skip = sizeof name - 1;
    return strncmp(line, name, skip) == 0 && strncmp(line + skip, command, n) == 0 && (line[skip + n] == ' ' || line[skip + n] == '\0');
}

void words_usage(FILE *to, const char *const *lines, const char *command) {
    bool some = false, on = false;
    for (size_t i = 0; command != NULL && lines[i] != NULL; i++) some = some || about(lines[i], command);
    const char *before = "usage: ";
    for (size_t i = 0; lines[i] != NULL; i++) {
        on = lines[i][0] == ' ' ? on : !some || about(lines[i], command);
        if (!on) continue;
        fprintf(to, "%s%s\n", before, lines[i]);
        before = "       ";
    }
    fputc('\n', to);
}
