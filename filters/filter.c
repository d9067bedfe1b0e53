#include "filters/filter_impl.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT(field, value)                                                                                                              \
    if (f->conf.limits.field == 0) f->conf.limits.field = (value)

void flt_init(struct flt *f, const struct flt_ops *ops, const struct flt_conf *conf) {
    memset(f, 0, sizeof *f);
    f->ops = ops;
    f->conf = *conf;
    DEFAULT(startup, 10000);
    DEFAULT(token, 8192 + 64);
    DEFAULT(statement, 16u << 20);
    DEFAULT(params, 8192);
    DEFAULT(reply, 1u << 20);
    DEFAULT(statements, 4096);
    DEFAULT(portals, 1024);
    DEFAULT(inflight, 4096);
    /* One message may come on top of what a full output holds; a rewritten statement may be longer than the one sent. */
    size_t ceiling = FLT_OUT_MARK + (4u << 20) + 4 * f->conf.limits.statement;
    f->out[FLT_CLIENT] = BUF_INIT(ceiling);
    f->out[FLT_SERVER] = BUF_INIT(ceiling);
}

void flt_release(struct flt *f) {
    buf_free(&f->out[FLT_CLIENT]);
    buf_free(&f->out[FLT_SERVER]);
    free(f->events);
    f->events = NULL;
}

void flt_post(struct flt *f, const struct flt_event *ev) {
    if (f->lost) return; /* what comes behind one that is missing would be taken for it */
    if (f->ev_tail == f->ev_cap) {
        if (f->ev_head > 0) {
            memmove(f->events, f->events + f->ev_head, (f->ev_tail - f->ev_head) * sizeof *ev);
            f->ev_tail -= f->ev_head;
            f->ev_head = 0;
        } else {
            size_t cap = f->ev_cap == 0 ? 8 : f->ev_cap * 2;
            struct flt_event *events = realloc(f->events, cap * sizeof *ev);
            if (events == NULL) {
                f->lost = f->closed = true;
                return;
            }
            f->events = events;
            f->ev_cap = cap;
        }
    }
    f->events[f->ev_tail++] = *ev;
}

void flt_post_close(struct flt *f, enum gh_rc rc, const char *reason) {
    if (f->closed) return;
    f->closed = true;
    flt_post(f, &(struct flt_event){.kind = FLT_EV_CLOSE, .close = {rc, reason}});
}

bool flt_next(struct flt *f, struct flt_event *ev) {
    if (!flt_events_waiting(f)) return false;
    if (f->ev_head == f->ev_tail) {
        f->lost = false;
        *ev = (struct flt_event){.kind = FLT_EV_CLOSE, .close = {GH_LIMIT, "out of memory"}};
        return true;
    }
    *ev = f->events[f->ev_head++];
    if (f->ev_head == f->ev_tail) f->ev_head = f->ev_tail = 0;
    return true;
}

struct buf *flt_out(struct flt *f, enum flt_side side) {
    return &f->out[side];
}
void flt_free(struct flt *f) {
    if (f != NULL) f->ops->free(f);
}

/* Behind every call into a protocol: what could not be appended whole is the last that a peer gets. */
static void check_outputs(struct flt *f) {
    if (f->closed || (!f->out[FLT_CLIENT].failed && !f->out[FLT_SERVER].failed)) return;
    f->ops->terminate(f, "53200", "out of memory", NULL);
    struct flt_event *last = f->ev_tail > f->ev_head ? &f->events[f->ev_tail - 1] : NULL;
    if (last != NULL && last->kind == FLT_EV_CLOSE) last->close.rc = GH_LIMIT, last->close.reason = "out of memory";
}
/* A closed session takes no call any more. */
#define CALL(f, call)                                                                                                                      \
    do {                                                                                                                                   \
        if ((f)->closed) break;                                                                                                            \
        (f)->ops->call;                                                                                                                    \
        check_outputs(f);                                                                                                                  \
    } while (0)

size_t flt_feed(struct flt *f, enum flt_side side, const void *data, size_t len) {
    size_t took = f->closed ? len : f->ops->feed(f, side, data, len);
    check_outputs(f);
    return f->closed ? len : took; /* a closed session swallows what still comes: the owner need not care */
}
void flt_eof(struct flt *f, enum flt_side side) { CALL(f, eof(f, side)); }
void flt_login_ask(struct flt *f, enum flt_ask ask, const char *where) { CALL(f, login_ask(f, ask, where)); }
void flt_login_accept(struct flt *f, const struct flt_login_ok *ok) { CALL(f, login_accept(f, ok)); }
void flt_login_refuse(struct flt *f, const char *sqlstate, const char *message, const char *detail, const char *hint) {
    CALL(f, login_refuse(f, sqlstate, message, detail, hint));
}
void flt_answer(struct flt *f, uint64_t id, const struct flt_answer *answer) { /* closed or not: what it brings has to be given back */
    f->ops->answer(f, id, answer);
    check_outputs(f);
}
void flt_upstream_open(struct flt *f, const struct flt_upstream *up) { CALL(f, upstream_open(f, up)); }
void flt_upstream_secured(struct flt *f, const struct flt_secured *s) { CALL(f, upstream_secured(f, s)); }
void flt_upstream_failed(struct flt *f, const char *sqlstate, const char *message, const char *hint, bool fatal) {
    CALL(f, upstream_failed(f, sqlstate, message, hint, fatal));
}
void flt_terminate(struct flt *f, const char *sqlstate, const char *message, const char *hint) {
    CALL(f, terminate(f, sqlstate, message, hint));
}
bool flt_server_key(const struct flt *f, uint32_t *pid, uint32_t *secret) { return !f->closed && f->ops->server_key(f, pid, secret); }
void flt_over(struct flt *f) { CALL(f, over(f)); }
bool flt_overrun(struct flt *f) { return !f->closed && f->ops->overrun(f); }
bool flt_in_transaction(const struct flt *f) { return !f->closed && f->ops->in_transaction(f); }
bool flt_may_hold(const struct flt *f) { return !f->closed && f->ops->may_hold != NULL && f->ops->may_hold(f); }
enum flt_name flt_name(const struct flt *f, bool portal, const char *name) {
    return f->closed || f->ops->name == NULL ? FLT_NAME_NONE : f->ops->name(f, portal, name);
}
void flt_spare(struct flt *f) {
    if (f->closed || f->ev_head != f->ev_tail) return;
    for (int i = 0; i < 2; i++) buf_spare(&f->out[i]);
    free(f->events);
    f->events = NULL;
    f->ev_head = f->ev_tail = f->ev_cap = 0;
    f->ops->spare(f);
}

bool flt_idle(const struct flt *f) { return f->closed || f->ops->idle(f); }
