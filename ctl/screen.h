/* A terminal as a screen: plain ANSI (ECMA-48) as every terminal and tmux has it, without a library. Whatever text is drawn is made visible first, so
 * that nothing in it reaches the terminal as a command. */
#ifndef GH_CTL_SCREEN_H
#define GH_CTL_SCREEN_H

#include "ctl/fold.h"

#include <stdbool.h>
#include <stddef.h>

struct screen; /* opaque; there is one */
/* Takes the terminal over; what is printed to standard error meanwhile is kept for screen_said(). NULL: standard input or output is no terminal
 * that can do it. */
struct screen *screen_open(void);
/* Gives it back as it was. NULL is fine. */
void screen_close(struct screen *s);

unsigned screen_rows(const struct screen *s);
unsigned screen_columns(const struct screen *s);

/* One picture: rows from the top, each cut at the right edge, then screen_show(). */
enum screen_style { SCREEN_PLAIN, SCREEN_BOLD, SCREEN_DIM, SCREEN_INVERSE, SCREEN_WARN };
void screen_row(struct screen *s, unsigned row, enum screen_style style, const char *text);
/* Shows what was drawn; the cursor is shown at row and column, or nowhere for row 0 (rows and columns begin with 1). */
void screen_show(struct screen *s, unsigned row, unsigned column);

/* Lines that fit into the screen's width: text is broken where it must, at newlines and at the edge. */
struct screen_lines {
    struct screen_line {
        char *text; /* owned */
        enum screen_style style;
    } * list;
    size_t n, cap;
    bool failed;
};
/* Appends text; f says what stands before its lines, which the screen's width folds. */
void screen_add(const struct screen *s, struct screen_lines *l, enum screen_style style, struct fold f, const char *text);
void screen_lines_free(struct screen_lines *l);

enum {
    KEY_NONE = 0,
    KEY_ENTER = 13,
    KEY_ESC = 27,
    KEY_BACK = 127,
    KEY_UP = 256,
    KEY_DOWN,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_HOME,
    KEY_END,
    KEY_RESIZE,
    KEY_QUIT,
    KEY_TEXT
};
struct screen_key {
    int key;        /* a character below 128, or one of the above; KEY_TEXT: what was pasted, or a character that is not ASCII */
    char text[512]; /* KEY_TEXT: UTF-8, newlines as blanks, cut */
};
/* Waits for a key, at most so long: KEY_NONE. KEY_QUIT: a signal, the terminal is gone, or ^C. */
void screen_key(struct screen *s, int timeout_ms, struct screen_key *out);
/* The first line that was printed to standard error since the last call, or "". */
const char *screen_said(struct screen *s);

#endif
