#include <config.h>

#include "spoa/html.h"

#include "spoa/visible.h"

#include <stdio.h>
#include <string.h>

#define BLANKS_MAX 32u /* beyond, a run of blanks is a mark */
#define EMPTY_MAX  4u  /* likewise of empty lines */

static void put(struct buf *out, const char *s, size_t len) {
    for (size_t i = 0; i < len; i++) {
        switch (s[i]) {
        case '&': buf_str(out, "&amp;"); break;
        case '<': buf_str(out, "&lt;"); break;
        case '>': buf_str(out, "&gt;"); break;
        case '"': buf_str(out, "&quot;"); break;
        case '\'': buf_str(out, "&#39;"); break;
        default: buf_put(out, s + i, 1);
        }
    }
}

void html_text(struct buf *out, const char *s, size_t len) { put(out, s, len); }

void html_str(struct buf *out, const char *s) {
    if (s != NULL) put(out, s, strlen(s));
}

static void mark(struct buf *out, const char *text) {
    buf_str(out, "<mark>");
    buf_str(out, text);
    buf_str(out, "</mark>");
}

static void mark_count(struct buf *out, size_t n, const char *of) {
    char text[64];
    snprintf(text, sizeof text, "%zu %s", n, of);
    mark(out, text);
}

static void mark_hidden(struct buf *out, uint32_t c, uint8_t byte) {
    char text[32];
    if (c == UINT32_MAX)
        snprintf(text, sizeof text, "byte %02X", byte);
    else
        snprintf(text, sizeof text, "U+%04X", (unsigned)c);
    mark(out, text);
}

/* How many times c stands at the beginning. */
static size_t run_of(const char *s, size_t len, char c) {
    size_t n = 0;
    while (n < len && s[n] == c) n++;
    return n;
}

/* A run of blanks or tabs; how long it is. */
static size_t put_blanks(struct buf *out, const char *s, size_t len) {
    size_t n = run_of(s, len, s[0]);
    if (n > BLANKS_MAX)
        mark_count(out, n, s[0] == '\t' ? "tabs" : "blanks");
    else
        buf_put(out, s, n);
    return n;
}

static size_t put_newlines(struct buf *out, const char *s, size_t len) {
    size_t n = run_of(s, len, '\n');
    if (n > EMPTY_MAX + 1) {
        buf_str(out, "\n</i><i>");
        mark_count(out, n - 1, "empty lines");
        buf_str(out, "\n</i><i>");
    } else
        for (size_t i = 0; i < n; i++) buf_str(out, "\n</i><i>");
    return n;
}

void html_statement(struct buf *out, const char *s, size_t len) {
    bool foreign = false; /* inside of a <u> */
    buf_str(out, "<i>");
    for (size_t at = 0; at < len;) {
        uint32_t c;
        bool hidden;
        size_t n = visible_next(s + at, len - at, &c, &hidden);
        bool ascii = hidden || c < 0x80;
        if (foreign == ascii) buf_str(out, ascii ? "</u>" : "<u>");
        foreign = !ascii;
        if (hidden)
            mark_hidden(out, c, (uint8_t)s[at]);
        else if (c == ' ' || c == '\t')
            n = put_blanks(out, s + at, len - at);
        else if (c == '\n')
            n = put_newlines(out, s + at, len - at);
        else
            put(out, s + at, n);
        at += n;
    }
    buf_str(out, foreign ? "</u></i>" : "</i>");
}
