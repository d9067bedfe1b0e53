/* The ledger's connection to Redis: non-blocking, one transaction at a time.
 *
 * A transaction goes on only when gatehouse:shipped:NODE is what we think it is, so that one that an earlier connection left in a hanging Redis
 * cannot be applied a second time. It is either a script call, which looks at every stream before it writes, recognises what is there already, and sets the new
 * gatehouse:shipped:NODE last; or, where all events are of sessions and can be there only by mistake, MULTI, which costs Redis half. MULTI runs on after an
 * error, so gatehouse:shipped:NODE says that its events are there with the transaction behind it, once EXEC has answered (lrd_unclaimed()). What the journal has when
 * a connection begins goes through the script. */
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
/* LRD_READY only: ships n events (0: has the shipped key say what is there), of consecutive numbers, from e on. They are not needed after the call. */
void lrd_send(struct lrd *r, const struct lev *e, size_t n, uint64_t now);
/* The number in the shipped key; 0 when there is none. */
uint64_t lrd_shipped(const struct lrd *r);
/* After LRD_UP: events up to this one may be in Redis already, whatever the shipped key says. Without it, any may be. */
void lrd_careful(struct lrd *r, uint64_t seq);
/* Redis has events that the shipped key says nothing of yet; as far as is known while the connection is down. */
bool lrd_unclaimed(const struct lrd *r);
const char *lrd_error(const struct lrd *r);
/* Redis's clock when the connection was made, milliseconds since 1970; false when Redis does not tell (TIME is not among its user's rights). */
bool lrd_time(const struct lrd *r, int64_t *ms);
/* True when Redis itself said no, or hung: a new connection will hardly help at once. */
bool lrd_refused(const struct lrd *r);

#endif
