/* Inside of the ledger: its state, and what its three files ask of each other. ledger.c takes appends and has the thread, ledger_write.c the journal and what of it waits in
 * memory for Redis, ledger_ship.c the way there. But for appends and led_now_*(), whoever calls holds l->own. */
#ifndef GH_SPOA_LEDGER_INT_H
#define GH_SPOA_LEDGER_INT_H

#include "spoa/ledger.h"
#include "spoa/ledger_chain.h"
#include "spoa/ledger_event.h"
#include "spoa/ledger_redis.h"
#include "spoa/ledger_reqs.h"

#include <pthread.h>
#include <stdatomic.h>

#define LED_HEAR_MS 20 /* the thread looks after what a worker is to hear, and after an idle connection */

struct anchors;
struct jnl;
struct live;
struct nodekey;

/* The end of the journal: what the next event follows. */
struct tail {
    uint64_t seq;
    struct lev_id id;
    struct chain chain;
};

struct led {
    struct led_conf conf; /* its strings are owned */
    struct live *live;
    pthread_t thread;
    int wake; /* eventfd */

    pthread_mutex_t mu;       /* guards this block */
    struct reqs queue, large; /* large: what led_append_made() brought, for the thread, a few at a time */
    size_t queue_bytes, large_bytes;
    bool sleeping;     /* the thread waits in poll(): write to wake */
    bool dozing;       /* and not for long: what can wait need not wake it */
    uint64_t wakes_at; /* by itself; ms, CLOCK_MONOTONIC */
    bool closing;
    uint64_t close_by;
    char why[600];

    _Atomic bool healthy, journal_healthy;
    _Atomic(const char *) todo; /* static */
    struct {                    /* for led_stats(): written by the thread */
        _Atomic uint64_t events, shipped, unshipped, unshipped_bytes, oldest_ms, journal_bytes, refused, failed, dropped;
        _Atomic bool redis_up;
    } seen;
    _Atomic bool settled; /* Redis has all that the journal has */
    _Atomic uint64_t connects;
    _Atomic unsigned calls; /* what workers are called for, and found somebody else at the ledger */
    _Atomic bool turn_away; /* strict, Redis known to be away: appends that somebody waits for need not even be copied */

    /* The rest belongs to who holds this: the thread, but for its sleep, or a worker in call(). */
    pthread_mutex_t own;
    struct jnl *j;
    struct lrd *r;
    struct tail tail;
    struct nodekey *key; /* NULL: no anchors */
    struct anchors *anchors;
    uint64_t anchored;            /* the number of the last anchor; what is behind it has none yet */
    uint64_t anchor_at;           /* when that is to get one; UINT64_MAX: there is nothing */
    bool last_anchor;             /* closing: the one at the end is made */
    uint64_t first_seq;           /* the last number before this start */
    struct reqs pending, waiting; /* taken from the queue; journalled and waiting for Redis, by number and by deadline */
    struct buf lines;
    struct lev *mem, **mem_tail; /* consecutive numbers from next_ship on, may end before the journal does */
    size_t mem_bytes;
    uint64_t mem_next;  /* the number after the last one in mem, or next_ship */
    uint64_t next_ship; /* the first number that Redis is not known to have */
    size_t in_flight;   /* so many of mem, from its head, are with Redis */
    uint64_t unshipped; /* bytes of journal that Redis is not known to have */
    bool away;          /* Redis is known not to take events now */
    uint64_t connect_at, backoff;
    uint64_t doze_until, ship_at, claim_at, retain_at;
    bool journal_failed;
    bool heard;                    /* the worker that sent to Redis hears the answer, not the thread ... */
    uint64_t heard_at;             /* ... which looks after it when it does not; ms. 0: no worker has of late */
    bool listens;                  /* the thread, while it sleeps, has an ear on Redis */
    uint64_t flush_at, flush_rest; /* not before that does a worker write; for how long the last time, ms */
    uint64_t journal_retry;
    char journal_why[400], redis_why[400];
    bool said_down;            /* the log says that it is unavailable */
    uint64_t say_at;           /* when it is to; UINT64_MAX: it does, or need not */
    uint64_t refused, dropped; /* since the last "unavailable" event: appends that were told so; events that nobody waited for */
    char since[32];
};

/* CLOCK_MONOTONIC or CLOCK_REALTIME. */
uint64_t led_now_us(clockid_t clock);
uint64_t led_now_ms(clockid_t clock);

/* --- ledger_write.c --- */

/* Counts an append that is answered with that; waited: somebody waits for the answer. */
void led_not_recorded(struct led *l, enum led_status status, bool waited);
/* More waits for Redis than max_unshipped allows. */
bool led_too_much(const struct led *l);
/* After whatever may have changed it: what led_healthy() and led_why() say, and the log. */
void led_update_health(struct led *l);
/* Redis takes events, or does not for the reason why. */
void led_set_away(struct led *l, bool away, const char *why);
/* Events in memory: none, from next_ship on. */
void led_mem_clear(struct led *l);
/* Takes e when it continues what is there and there is room, else frees it: it will be read back from the journal. */
void led_mem_add(struct led *l, struct lev *e);
void led_mem_drop(struct led *l); /* the first one */
/* Says, signed, where the journal ends. */
void led_anchor(struct led *l);
bool led_unanchored(const struct led *l);
/* Journals what is pending, one write's worth, and answers who need not wait for Redis. */
void led_write(struct led *l);
/* Once the ledger works again, the stream says for how many it did not. */
void led_record_gap(struct led *l);
/* Removes files of the journal that are needed no more; look: some may have become too old. */
void led_retain(struct led *l, bool look);

/* --- ledger_ship.c --- */

/* Sends what may go now, if Redis is ready for it. */
void led_ship(struct led *l, uint64_t now, bool closing);
/* After poll() for Redis's connection, or when only time passed (revents 0): connects, takes answers. */
void led_redis_io(struct led *l, short revents, uint64_t now);

#endif
