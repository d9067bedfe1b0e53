#include "config.h"

#include "ctl/fold.h"

#include "filters/bytes.h"
#include "spoa/visible.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define TEXT_MAX   ((size_t)16 << 20)
#define BLANKS_MAX 32u /* beyond, a run of blanks is spelt: what stands behind it would be out of sight. As on the page (spoa/html.c) */
#define TAB        8u
#define LEAST      10u /* columns for a text, or what stands before it is left out */

/* --- columns --- */

/* The next character of visible text: its bytes, and the columns it takes. */
static size_t next_char(const char *s, size_t left, unsigned *width) {
    uint32_t c;
    bool hidden;
    size_t n = visible_next(s, left, &c, &hidden);
    int w = hidden ? 1 : wcwidth((wchar_t)c);
    *width = w < 0 ? 1 : (unsigned)w;
    return n;
}

unsigned fold_width(const char *text, size_t len) {
    unsigned sum = 0, w;
    for (size_t at = 0; at < len; sum += w) at += next_char(text + at, len - at, &w);
    return sum;
}

size_t fold_fitting(const char *text, size_t len, unsigned columns) {
    size_t at = 0;
    while (at < len) {
        unsigned w;
        size_t n = next_char(text + at, len - at, &w);
        if (w > columns) break;
        columns -= w;
        at += n;
    }
    return at;
}

void fold_locale(void) {
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) setlocale(LC_CTYPE, "");
}

unsigned fold_columns(void) {
    static const int fds[] = {STDOUT_FILENO, STDERR_FILENO};
    struct winsize w;
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (isatty(fds[i]) && ioctl(fds[i], TIOCGWINSZ, &w) == 0 && w.ws_col > 0) return w.ws_col;
    return 0;
}

/* --- the text --- */

static void put_blanks(struct buf *out, size_t n) {
    char word[40];
    if (n > BLANKS_MAX) {
        snprintf(word, sizeof word, "<%zu blanks>", n);
        buf_str(out, word);
    } else
        for (; n > 0; n--) buf_u8(out, ' ');
}

/* Tabs become blanks, so that it is known how far they reach; long runs of both are counted. */
static void even(struct buf *out, const char *s, size_t len) {
    size_t blanks = 0;
    unsigned column = 0, w;
    for (size_t at = 0; at < len;) {
        size_t n = next_char(s + at, len - at, &w);
        if (s[at] == '\t') w = TAB - column % TAB;
        if (s[at] == ' ' || s[at] == '\t')
            blanks += w;
        else {
            put_blanks(out, blanks);
            buf_put(out, s + at, n);
            blanks = 0;
        }
        column = s[at] == '\n' ? 0 : column + w;
        at += n;
    }
    put_blanks(out, blanks);
}

bool fold_text(const struct fold *f, const char *text, void (*put)(void *arg, const char *before, const char *line, size_t len),
               void *arg) {
    struct buf seen = BUF_INIT(TEXT_MAX), b = BUF_INIT(TEXT_MAX);
    size_t len = strlen(text), took = (f->lines ? visible_put : visible_line)(&seen, text, len, TEXT_MAX);
    even(&b, (const char *)buf_at(&seen), buf_used(&seen));
    bool ok = !seen.failed && !b.failed && took == len;
    const char *p = (const char *)buf_at(&b), *end = p + buf_used(&b), *before = f->first;
    do {
        const char *eol = p == end ? NULL : memchr(p, '\n', (size_t)(end - p));
        if (eol == NULL) eol = end;
        do {
            size_t n = (size_t)(eol - p);
            if (f->columns > 0) {
                unsigned used = fold_width(before, strlen(before));
                bool narrow = used + LEAST > f->columns;
                if (narrow && before != f->more) put(arg, "", before, strlen(before));
                if (narrow) before = " ";
                unsigned left = narrow ? f->columns - 1 : f->columns - used, w;
                n = fold_fitting(p, n, left);
                if (n == 0 && p < eol) n = next_char(p, (size_t)(eol - p), &w); /* one character is wider than the screen */
            }
            put(arg, before, p, n);
            before = f->more;
            p += n;
        } while (p < eol);
        before = f->line;
        if (eol < end) p = eol + 1;
    } while (p < end);
    buf_free(&seen);
    buf_free(&b);
    return ok;
}
