/* Drives a SPOP agent with chopped bytes and writes down what it said, so that two choppings can be compared. */
#ifndef GH_T_SPOP_DUMP_H
#define GH_T_SPOP_DUMP_H

#include "spoa/spop.h"

/* Feeds len bytes; cut(arg) says how long the next piece is at most (1 or more). Each piece is a copy at a guard page.
 * Each NOTIFY is answered at once with one set-var. Events go to text as lines, and the output's bytes as hex in the last line. */
void spop_dump(const struct spop_agent_conf *conf, const uint8_t *data, size_t len, size_t (*cut)(void *arg), void *arg, struct buf *text);

#endif
