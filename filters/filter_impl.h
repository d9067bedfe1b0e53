/* What the filters of all protocols share behind filter.h: the events that wait for the owner, the two outputs, the dispatch. */
#ifndef GH_FILTERS_FILTER_IMPL_H
#define GH_FILTERS_FILTER_IMPL_H

#include "filters/filter.h"

struct flt_ops {
    void (*free)(struct flt *f);
    size_t (*feed)(struct flt *f, enum flt_side side, const uint8_t *data, size_t len);
    void (*eof)(struct flt *f, enum flt_side side);
    void (*login_ask)(struct flt *f, enum flt_ask ask, const char *where);
    void (*login_accept)(struct flt *f, const struct flt_login_ok *ok);
    void (*login_refuse)(struct flt *f, const char *sqlstate, const char *message, const char *detail, const char *hint);
    void (*answer)(struct flt *f, uint64_t id, const struct flt_answer *answer);
    void (*upstream_open)(struct flt *f, const struct flt_upstream *up);
    void (*upstream_secured)(struct flt *f, const struct flt_secured *s);
    void (*upstream_failed)(struct flt *f, const char *sqlstate, const char *message, const char *hint, bool fatal);
    void (*terminate)(struct flt *f, const char *sqlstate, const char *message, const char *hint);
    bool (*server_key)(const struct flt *f, uint32_t *pid, uint32_t *secret);
    bool (*idle)(const struct flt *f);
    void (*spare)(struct flt *f);
    void (*over)(struct flt *f);
    bool (*overrun)(struct flt *f);
    bool (*in_transaction)(const struct flt *f);
    bool (*may_hold)(const struct flt *f);                                     /* NULL: never */
    enum flt_name (*name)(const struct flt *f, bool portal, const char *name); /* NULL: none */
};

struct flt {
    const struct flt_ops *ops;
    struct flt_conf conf;     /* limits filled with their defaults */
    struct buf out[2];        /* by enum flt_side */
    struct flt_event *events; /* [ev_head, ev_tail): a FIFO */
    size_t ev_head, ev_tail, ev_cap;
    bool closed; /* FLT_EV_CLOSE was posted: nothing is read or written any more */
    bool lost;   /* there was no memory for an event: FLT_EV_CLOSE stands behind those in the queue */
};

void flt_init(struct flt *f, const struct flt_ops *ops, const struct flt_conf *conf);
void flt_release(struct flt *f); /* what flt_init() and flt_post() allocated */
/* Queues an event. Without memory the session is closed: an event that tells of a statement's end must not be lost silently. An output that could not
 * be appended to closes it as well, when the owner's call returns (filter.c): nothing follows what is missing. */
void flt_post(struct flt *f, const struct flt_event *ev);
/* Posts FLT_EV_CLOSE once. reason is static. */
void flt_post_close(struct flt *f, enum gh_rc rc, const char *reason);
static inline bool flt_events_waiting(const struct flt *f) { return f->ev_head < f->ev_tail || f->lost; }

#endif
