#include <config.h>

#include "spoa/approval_desk.h"

#include "spoa/log.h"

#include <stdlib.h>

#define STACK_BYTES (512u << 10)
#define SWEEP_S     1

struct desk {
    struct appr *store;
    struct worker *thread;
    struct event *sweep;
};

static void on_sweep(evutil_socket_t fd, short what, void *arg) {
    struct desk *d = arg;
    (void)fd;
    (void)what;
    appr_sweep(d->store);
}

static void start(struct worker *w) {
    struct desk *d = worker_data(w);
    struct timeval tick = {SWEEP_S, 0};
    d->sweep = event_new(worker_base(w), -1, EV_PERSIST, on_sweep, d);
    if (d->sweep == NULL || event_add(d->sweep, &tick) != 0)
        log_event(LOG_ERROR, "approval.start", "reason", "out of memory: what has expired is not recorded as such", NULL);
}

static void end(struct worker *w) {
    struct desk *d = worker_data(w);
    if (d->sweep != NULL) event_free(d->sweep);
}

struct desk *desk_start(struct appr *store) {
    struct desk *d = calloc(1, sizeof *d);
    if (d == NULL) return NULL;
    d->store = store;
    if (worker_start(&d->thread, &(struct worker_conf){.stack = STACK_BYTES, .start = start, .end = end, .data = d})) return d;
    free(d);
    return NULL;
}

void desk_stop(struct desk *d) {
    if (d == NULL) return;
    worker_stop(d->thread);
    worker_join(d->thread);
    worker_free(d->thread);
    free(d);
}

static void run_answered(struct worker *w, struct wmsg *m) {
    struct desk_ask *a = (struct desk_ask *)(void *)m;
    (void)w;
    a->answered(a);
}

static void run_ask(struct worker *w, struct wmsg *m) {
    struct desk_ask *a = (struct desk_ask *)(void *)m;
    (void)w;
    appr_ask(a->store, &a->q, &a->reply);
    a->msg.run = run_answered;
    worker_post(a->from, &a->msg);
}

void desk_submit(struct desk *d, struct desk_ask *a) {
    a->store = d->store;
    a->msg.run = run_ask;
    a->q.fingerprint = a->fingerprint;
    a->q.kind = a->kind;
    a->q.principal = a->principal;
    a->q.asks = a->asks;
    worker_post(d->thread, &a->msg);
}

void desk_ask_clear(struct desk_ask *a) {
    json_decref(a->q.detail);
    json_decref(a->asks);
    free(a->principal);
    a->q.detail = a->asks = NULL;
    a->principal = NULL;
}
