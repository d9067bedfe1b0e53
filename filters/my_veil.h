/* What MySQL's and MariaDB's answers may say to a client from whom data is hidden. Errors quote values ("Duplicate entry 'x' for key", "Truncated incorrect
 * DOUBLE value: 'x'") and pieces of the text that ran, which is not the client's; and an UPDATE that reports how many rows it changed tells whether a value
 * was guessed.
 *
 * A message whose form holds names alone passes, by its number; of every other one stay number and SQLSTATE, and what the number means. */
#ifndef GH_FILTERS_MY_VEIL_H
#define GH_FILTERS_MY_VEIL_H

#include "filters/my_wire.h"

#define MY_VEIL_INFO 96u

/* What stands in the place of the message; NULL: it passes as it is. as_sent: the server has read the very text that the client sent, so it may quote from it what it
 * does not understand. */
const char *my_veil_error(uint16_t code, bool as_sent);
/* No count of warnings, nothing of the plan; rows that an UPDATE has found in the place of those that it has changed, and no other text. given: the same for rows that an INSERT
 * was given. info must outlive ok. */
void my_veil_ok(struct my_ok *ok, bool given, char info[MY_VEIL_INFO]);
/* A column's definition ("Column Definition") of a text that was rewritten, without where the column comes from: there the server names what stands in the place of a table.
 * What the client has named, or called it, stays. Decimals of texts are 0: the server's follow from the plan. False when the packet cannot be read. */
GH_CHECKED bool my_veil_column(struct cur body, struct buf *out);

#endif
