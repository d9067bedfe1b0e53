/* The ledger's connection to Redis: non-blocking, one transaction at a time, all or nothing.
 *
 * A transaction is one script call: it goes on only when gatehouse:shipped:NODE is what we think it is, so that a transaction that
 * an earlier connection left in a hanging Redis cannot be applied a second time; it looks at every stream before it writes; and the
 * new gatehouse:shipped:NODE is its last write, so that it never claims what is not there. (MULTI would run on after an error.) */
#ifndef GH_SPOA_LEDGER_REDIS_H
#define GH_SPOA_LEDGER_REDIS_H

#include "spoa/ledger_event.h"

#include <poll.h>

struct lrd;
enum lrd_state { LRD_DOWN, LRD_CONNECTING, LRD_READY, LRD_BUSY };
enum lrd_news {
    LRD_NOTHING,
    LRD_UP,      /* connected, lrd_shipped() is known: ready */
    LRD_SHIPPED, /* what lrd_send() took is in Redis: ready */
    LRD_LOST,    /* the connection is gone, lrd_error() says why; what was sent may or may not be in Redis */
};

/* conf's strings must outlive it. wakefd is an eventfd, written when a name was resolved. NULL: out of memory. */
struct lrd *lrd_new(const struct led_conf *conf, int wakefd);
void lrd_free(struct lrd *r);
/* Starts to connect; never blocks. now: milliseconds, CLOCK_MONOTONIC. */
void lrd_connect(struct lrd *r, uint64_t now);
/* Drops the connection for a reason of the caller's. */
void lrd_drop(struct lrd *r, const char *why);
enum lrd_state lrd_state(const struct lrd *r);
/* What to poll for; fd -1 when nothing. */
struct pollfd lrd_poll(const struct lrd *r);
/* By when lrd_io() must be called; UINT64_MAX: never. */
uint64_t lrd_deadline(const struct lrd *r);
/* Call after poll(), with revents 0 when only time passed. */
enum lrd_news lrd_io(struct lrd *r, short revents, uint64_t now);
/* LRD_READY only: ships n events, of consecutive numbers, from e on. They are not needed after the call. */
void lrd_send(struct lrd *r, const struct lev *e, size_t n, uint64_t now);
/* The number that Redis has; 0 when it has none. */
uint64_t lrd_shipped(const struct lrd *r);
const char *lrd_error(const struct lrd *r);
/* Redis's clock when the connection was made, milliseconds since 1970; false when Redis does not tell (TIME is not among its user's rights). */
bool lrd_time(const struct lrd *r, int64_t *ms);
/* True when Redis itself said no, or hung: a new connection will hardly help at once. */
bool lrd_refused(const struct lrd *r);

#endif
