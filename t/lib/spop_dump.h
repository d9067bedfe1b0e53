/* Drives a SPOP agent with chopped bytes and writes down what it said, so that two choppings can be compared. */
#ifndef GH_T_SPOP_DUMP_H
#define GH_T_SPOP_DUMP_H

#include "spoa/spop.h"

struct spop_pieces {
    size_t (*cut)(void *arg); /* how long the next piece is at most (1 or more) */
    void *arg;
    bool guard; /* each piece is a copy at a guard page (inside a test of Check's); else a copy of its exact size */
};

/* Feeds len bytes in pieces. Each NOTIFY is answered at once with one set-var. Events go to text as lines, and the output's bytes as hex
 * in the last line. */
void spop_dump(const struct spop_agent_conf *conf, const uint8_t *data, size_t len, const struct spop_pieces *pieces, struct buf *text);

#endif
