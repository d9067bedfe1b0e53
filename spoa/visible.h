/* Text that somebody else wrote, for a person who must see what is really in it. */
#ifndef GH_SPOA_VISIBLE_H
#define GH_SPOA_VISIBLE_H

#include "filters/bytes.h"

/* Appends len bytes of s with what cannot be seen, or moves and hides what is around it, spelt as <U+202E>: control characters but for newline and
 * tab, characters that change direction, have no width, or look like a blank and are none. A byte that is no UTF-8 is spelt as <0xFF>. Stops
 * before out would hold more than max bytes; returns how many of len it took. */
size_t visible_put(struct buf *out, const char *s, size_t len, size_t max);
/* The same for one line: newlines and tabs are spelt too. */
size_t visible_line(struct buf *out, const char *s, size_t len, size_t max);

/* One character: its length in bytes and its number; hidden when visible_put() would spell it. A byte that is no UTF-8 is a hidden one without a
 * number: *c is UINT32_MAX. len is not 0. */
size_t visible_next(const char *s, size_t len, uint32_t *c, bool *hidden);

#endif
