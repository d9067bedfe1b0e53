/* Takes this node's orders (order.h) to the other nodes and brings theirs, through one stream of Redis, gatehouse:orders (or with another prefix). A thread of its own: Redis may
 * hang, and the file may have to wait.
 *
 * Redis is not believed: what comes from there counts only with the signature of a node that the configuration lists. What disappears there is written
 * again by the node whose order it is. */
#ifndef GH_SPOA_COURIER_H
#define GH_SPOA_COURIER_H

#include "spoa/config.h"
#include "spoa/order.h"

struct courier;
struct courier_conf {
    struct ord *orders;
    const struct led_conf *redis; /* where it is; outlives the courier */
    const char *node;             /* our own */
    /* The key of that node by the configuration of now, copied to out; false when it is not listed. */
    bool (*key_of)(void *arg, const char *node, char out[NODEKEY_PUBLIC_SIZE]);
    void *arg;
};
/* NULL when the system has no room. */
struct courier *courier_start(const struct courier_conf *conf);
/* There is a new order: it need not wait for the next look. Any thread; c may be NULL. */
void courier_hurry(struct courier *c);
/* Waits for at most about as long as Redis may take to answer. NULL is fine. */
void courier_stop(struct courier *c);

/* When Redis was last read to its end, milliseconds of CLOCK_MONOTONIC; 0: never. Any thread; c may be NULL. */
uint64_t courier_read_at(const struct courier *c);

#endif
