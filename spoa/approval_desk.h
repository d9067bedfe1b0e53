/* Where workers ask about statements: a thread of its own before the store of approval.h, which blocks. */
#ifndef GH_SPOA_APPROVAL_DESK_H
#define GH_SPOA_APPROVAL_DESK_H

#include "spoa/approval.h"
#include "spoa/worker.h"

struct desk;
/* NULL when the system has no room. store must outlive it. */
struct desk *desk_start(struct appr *store);
void desk_stop(struct desk *d); /* NULL is fine. What was not answered is never answered */

/* One question: made by a worker's thread, answered there. */
struct desk_ask {
    struct wmsg msg;                     /* the desk's own */
    struct worker *from;                 /* who gets it back... */
    void (*answered)(struct desk_ask *); /* ...and runs this, with reply filled */
    struct appr *store;                  /* the desk's own */
    char fingerprint[65], kind[65];      /* kind "": none */
    char *principal;                     /* owned */
    json_t *asks;                        /* owned */
    struct appr_question q;              /* its strings are those above */
    struct appr_reply reply;
};
void desk_submit(struct desk *d, struct desk_ask *a);
/* Frees what it owns, not itself. */
void desk_ask_clear(struct desk_ask *a);

#endif
