/* What a server's errors and notices may say to a client from whom data is hidden. They quote values: "invalid input syntax for type integer:
 * "x"", "Failing row contains (...)", whatever a trigger raises.
 *
 * An error with a position and without a context was found when the server read the statement's own text, before it looked at any data: it stays as it
 * is. Of every other one stay the SQLSTATE, the names of objects, and the message when it is known to hold no values; otherwise the SQLSTATE's
 * meaning stands in its place. */
#ifndef GH_FILTERS_PG_VEIL_H
#define GH_FILTERS_PG_VEIL_H

#include "filters/bytes.h"

/* What a position in a message is a position in. */
struct pg_where {
    bool as_sent;                  /* in the text that the client sent */
    const struct gh_piece *pieces; /* else: in a text with these pieces of it; elsewhere it is left out */
    size_t npieces;
};
/* Writes the ErrorResponse or NoticeResponse (type 'E' or 'N') that stands for one with this body into out. False when nothing is to be sent (a notice that may quote anything); *bad when
 * the body is malformed. */
GH_CHECKED bool pg_veil(char type, struct cur body, const struct pg_where *where, struct buf *out, bool *bad);

#endif
