/* Inside of the ledger: appends on their way, in the order in which they came. */
#ifndef GH_SPOA_LEDGER_REQS_H
#define GH_SPOA_LEDGER_REQS_H

#include "spoa/ledger.h"
#include "spoa/ledger_event.h"

#include <stdlib.h>

/* An append: what to record, and who waits for it. */
struct req {
    struct req *next;
    struct lev *ev;         /* owned; NULL: not taken, only the answer goes on */
    enum led_status status; /* with ev NULL */
    led_done_fn done;       /* NULL: nobody waits */
    void *arg;
    bool journal_does;
    uint64_t deadline; /* strict; ms, CLOCK_MONOTONIC */
    uint64_t seq;      /* once journalled */
    bool large;        /* of the queue of these */
    uint64_t goes_at;  /* large: not later than that it is no longer held back; ms, CLOCK_MONOTONIC */
};

struct reqs {
    struct req *head, **tail;
};

static inline void reqs_init(struct reqs *q) {
    q->head = NULL;
    q->tail = &q->head;
}

static inline void reqs_add(struct reqs *q, struct req *r) {
    r->next = NULL;
    *q->tail = r;
    q->tail = &r->next;
}

static inline struct req *reqs_pop(struct reqs *q) {
    struct req *r = q->head;
    if (r != NULL && (q->head = r->next) == NULL) q->tail = &q->head;
    return r;
}

/* All of from go behind what is in to. */
static inline void reqs_move(struct reqs *to, struct reqs *from) {
    if (from->head == NULL) return;
    *to->tail = from->head;
    to->tail = from->tail;
    reqs_init(from);
}

static inline void answer(struct req *r, enum led_status status) {
    if (r->done != NULL) r->done(r->arg, status);
    lev_free_all(r->ev);
    free(r);
}

static inline size_t req_bytes(const struct req *r) { return sizeof *r + (r->ev != NULL ? r->ev->bytes : 0); }

#endif
