/* A worker thread: one event loop, and a queue through which other threads hand it work.
 *
 * Everything that hangs on the loop is touched by this thread only; whatever comes from elsewhere (the ledger's acknowledgement, a parsed
 * statement, a cancel request) is a message. Posting never fails and never allocates: the message is part of the poster's own struct. */
#ifndef GH_SPOA_WORKER_H
#define GH_SPOA_WORKER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker; /* opaque */

struct wmsg {
    struct wmsg *next;
    void (*run)(struct worker *w, struct wmsg *m); /* on the worker's thread, once; m may be freed or posted again by it */
};

struct worker_conf {
    unsigned index;
    size_t stack;                    /* bytes of stack for the thread */
    void (*start)(struct worker *w); /* on the new thread, before the loop; may be NULL */
    void (*end)(struct worker *w);   /* on the thread, after the loop; may be NULL */
    void *data;
    bool hears; /* its loop never waits for anything else, so that worker_hear() may be relied on */
};
/* Makes the loop and starts the thread with all signals blocked. *w is set before the thread runs, which may use it; it is NULL, and the answer false, when the
 * system has no room. */
bool worker_start(struct worker **w, const struct worker_conf *conf);
/* Any thread. m must stay until it has run; messages of one thread keep their order. */
void worker_post(struct worker *w, struct wmsg *m);
/* Any thread: what was posted before is still run, then the loop ends. */
void worker_stop(struct worker *w);
/* Waits for the thread; w stays valid for worker_post() (whose messages are then dropped) until worker_free(). */
void worker_join(struct worker *w);
void worker_free(struct worker *w);

/* fn(arg) is called on this thread as soon as what its loop has found this time is dealt with; once, however often it was asked for by then. False, and it
 * is not: on a thread that is no worker's, whose loop has ended, or when another fn or arg waits already. */
bool worker_defer(void (*fn)(void *arg), void *arg);

/* fn(arg) is called on this thread, once, when fd can be read or its peer has gone. Any thread may close fd before: then it is not called, or for nothing (a
 * child that has not executed its program yet keeps the connection). False, and it is not: on a thread that is no worker's that hears, or with another fn or
 * arg than before. */
bool worker_hear(int fd, void (*fn)(void *arg), void *arg);

struct event_base *worker_base(const struct worker *w);
void *worker_data(const struct worker *w);
unsigned worker_index(const struct worker *w);
/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t worker_now_ms(void);
uint64_t worker_now_us(void);

#endif
