/* What somebody else wrote, as lines for a person. What cannot be seen is spelt, and each line on the screen begins with something of ours, so that no
 * text of a client's looks like a line that gatehousectl says itself. */
#ifndef GH_CTL_FOLD_H
#define GH_CTL_FOLD_H

#include <stdbool.h>
#include <stddef.h>

struct fold {
    const char *first, *line,
        *more;        /* before the first line; before each other line of the text; before the rest of one that does not fit */
    unsigned columns; /* that there are; 0: lines are as long as they are */
    bool lines;       /* its newlines and tabs are what they are; else they are spelt, too */
};
/* Before lines of SQL: a field of ours never begins so. */
#define FOLD_SQL      "| "
#define FOLD_SQL_MORE ": "

/* Calls put for each line. False when memory was out: some of the text is missing. */
bool fold_text(const struct fold *f, const char *text, void (*put)(void *arg, const char *before, const char *line, size_t len), void *arg);
/* Columns that the first len bytes of visible text take on a screen, and how many bytes fit into so many. */
unsigned fold_width(const char *text, size_t len);
size_t fold_fitting(const char *text, size_t len, unsigned columns);
/* The width of the terminal that standard output is read on, also through a pager; 0: nobody's. */
unsigned fold_columns(void);
/* For the locale in which fold_width() knows how wide letters are. */
void fold_locale(void);

#endif
