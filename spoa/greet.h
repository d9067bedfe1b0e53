/* MySQL's greeting, which a server says first: made here, sent by HAProxy's Lua before TLS begins. */
#ifndef GH_SPOA_GREET_H
#define GH_SPOA_GREET_H

#include "spoa/daemon.h"
#include "spoa/spop_arg.h"

#define GREET_MAX 256u /* bytes of a packet */

struct greeting {
    uint8_t packet[GREET_MAX];
    size_t len;
    char connection[12]; /* its connection's id, in decimal: HAProxy brings it back with the message "session" */
};

/* Answers the message "greet". Its argument database, which may be absent, names the database whose server's version clients are told. False without memory or
 * random bytes. */
bool greet(struct wstate *ws, const struct spop_message *m, struct greeting *g);
/* The upper byte of the connection ids that a node gives out: KILL of another node's is told apart from one that is over. */
uint8_t greet_node_bits(const char *node);

#endif
