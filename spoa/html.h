/* HTML text. Everything that is not our own goes through here. */
#ifndef GH_SPOA_HTML_H
#define GH_SPOA_HTML_H

#include "filters/bytes.h"

/* Appends text for an element's content or an attribute's value in quotes: & < > " and ' as references. */
void html_text(struct buf *out, const char *s, size_t len);
void html_str(struct buf *out, const char *s); /* NULL: nothing */
/* Appends a statement for a person who decides on it, as content of an element that keeps blanks and breaks where it must. Each line is an <i>, so
 * that a style sheet can count them. Marked by <mark>, so that no text can pretend to be a mark: what cannot be seen or moves what is around it (as
 * visible_put() has it, by its number), and long runs of blanks and of empty lines, which push what follows out of sight (by their length). What
 * is not ASCII is in <u>: it may look like something else. */
void html_statement(struct buf *out, const char *s, size_t len);

#endif
