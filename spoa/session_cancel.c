/* Cancel requests: from a client's connection to the worker of the session that it is about, and from there to the database's server, over a connection
 * of its own that is as safe as the session's. */
#include "filters/pg_starttls.h"
#include "filters/pg_wire.h"
#include "spoa/handover.h"
#include "spoa/record.h"
#include "spoa/session_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CANCEL_WAIT_MS 5000u /* for TLS, and for the server to close, which says that the request was seen */

enum cancel_step {
    CANCEL_STARTTLS, /* SSLRequest was sent */
    CANCEL_TLS,      /* the handshake goes on */
    CANCEL_SENT,     /* waits for the server to close */
};

struct cancel { /* first a message to the session's worker, then a connection of its own */
    struct wmsg msg;
    uint64_t serial;
    bool end; /* MySQL's KILL CONNECTION: the session, too */
    bool own; /* not asked for by a client: a result is over its limit */
    char src[PP2_ADDR_SIZE];
    struct wstate *ws;
    struct event *ev;
    int fd;
    enum cancel_step step;
    bool direct;
    struct tls_ctx *ctx; /* NULL: in plain text, as the session's */
    struct tls_conn *tls;
    uint64_t deadline_ms;
    struct buf packet;
};

/* By now the request has reached the server, or never will. */
static void stopped(struct wstate *ws, uint64_t serial) {
    struct session *s = ws->sessions;
    while (s != NULL && s->serial != serial) s = s->next;
    if (s == NULL || s->filter == NULL) return;
    flt_over(s->filter);
    pump_run(&s->pump);
}

static void cancel_free(struct cancel *c) {
    if (c->ws != NULL) c->ws->cancels--;
    if (c->own && c->ws != NULL) stopped(c->ws, c->serial);
    if (c->ev != NULL) event_free(c->ev);
    tls_conn_free(c->tls);
    tls_ctx_unref(c->ctx);
    if (c->fd >= 0) close(c->fd);
    buf_free(&c->packet);
    free(c);
}

static void failed(struct cancel *c, const char *why) {
    log_event(LOG_WARN, "cancel.failed", "reason", why, NULL);
    cancel_free(c);
}

static void on_cancel(evutil_socket_t fd, short what, void *arg);

static void wait_for(struct cancel *c, short what) {
    uint64_t now = worker_now_ms(), left = c->deadline_ms > now ? c->deadline_ms - now : 1;
    struct timeval tv = {(time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000)};
    if (c->ev != NULL) event_free(c->ev);
    c->ev = event_new(c->ws->base, c->fd, what, on_cancel, c);
    if (c->ev == NULL || event_add(c->ev, &tv) != 0) failed(c, "out of memory");
}

/* A few bytes into a fresh socket's buffer: they go whole or not at all. */
static bool put(struct cancel *c, const void *data, size_t len) {
    size_t n = 0;
    if (c->tls != NULL) return tls_write(c->tls, data, len, &n) == TLS_OK && n == len;
    return send(c->fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void say(struct cancel *c) {
    c->step = CANCEL_SENT;
    if (put(c, buf_at(&c->packet), buf_used(&c->packet)))
        wait_for(c, EV_READ);
    else
        failed(c, "the connection broke");
}

static void shake(struct cancel *c) {
    if (c->tls == NULL) c->tls = tls_conn_new(c->ctx, c->fd);
    if (c->tls == NULL) {
        failed(c, "out of memory");
        return;
    }
    c->step = CANCEL_TLS;
    switch (tls_handshake(c->tls)) {
    case TLS_OK: say(c); break;
    case TLS_WANT_READ: wait_for(c, EV_READ); break;
    case TLS_WANT_WRITE: wait_for(c, EV_WRITE); break;
    default: failed(c, tls_error(c->tls));
    }
}

static void starttls(struct cancel *c) {
    struct gh_err err = {0};
    uint8_t answer[2];
    ssize_t n = recv(c->fd, answer, sizeof answer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        wait_for(c, EV_READ);
    else if (n <= 0)
        failed(c, "the server closed the connection when it was asked for TLS");
    else if (pg_ssl_answer(answer, (size_t)n, &err) != GH_OK)
        failed(c, err.reason);
    else
        shake(c);
}

static void on_cancel(evutil_socket_t fd, short what, void *arg) {
    struct cancel *c = arg;
    (void)fd;
    if (c->step == CANCEL_SENT)
        cancel_free(c);
    else if ((what & EV_TIMEOUT) != 0)
        failed(c, "the server did not answer in time");
    else if (c->step == CANCEL_STARTTLS)
        starttls(c);
    else
        shake(c);
}

static void on_dialed(void *arg, int fd, const struct conf_addr *addr, int err) {
    struct cancel *c = arg;
    struct buf ask = BUF_INIT(16);
    (void)addr;
    c->fd = fd;
    c->deadline_ms = worker_now_ms() + CANCEL_WAIT_MS;
    if (fd < 0)
        failed(c, strerror(err));
    else if (c->ctx == NULL)
        say(c);
    else if (c->direct)
        shake(c);
    else {
        pg_put_ssl_request(&ask);
        if (!ask.failed && put(c, buf_at(&ask), buf_used(&ask)))
            wait_for(c, EV_READ);
        else
            failed(c, "the connection broke");
        buf_free(&ask);
    }
}

/* s NULL: it is gone. */
static void begin(struct cancel *c, struct wstate *ws, struct session *s) {
    uint32_t pid, secret;
    c->ws = ws;
    ws->cancels++;
    if (s == NULL || s->state != SESSION_OPEN || !flt_server_key(s->filter, &pid, &secret) || ws->cancels > s->snap->conf->limits.cancels) {
        cancel_free(c);
        return;
    }
    struct rec r = {0};
    rec_str(&r, "src", c->src);
    rec_append(ws->d->led, &r, LED_SESSION, s->id, "cancel", NULL, NULL);
    log_event(LOG_INFO, "cancel", "session", s->id, "src", c->src, NULL);
    if (s->mysql && c->end) {
        s->why = "killed by its owner";
        session_close(s, "57P01", "this connection was killed", "Connect again.");
        pump_run(&s->pump);
        cancel_free(c);
        return;
    }
    if (s->mysql) {
        session_my_stop(s, c->own);
        c->own = false;
        cancel_free(c);
        return;
    }
    c->packet = BUF_INIT(64);
    size_t at = pg_begin(&c->packet, 0);
    buf_be32(&c->packet, PG_CODE_CANCEL);
    buf_be32(&c->packet, pid);
    buf_be32(&c->packet, secret);
    pg_end(&c->packet, at);
    c->ctx = tls_ctx_ref(s->up_tls);
    c->direct = s->up_direct;
    if (c->packet.failed || dial_start(ws->base, &s->up_addr, 1, s->snap->conf->limits.upstream_connect_ms, on_dialed, c) == NULL)
        cancel_free(c);
}

static void run_cancel(struct worker *w, struct wmsg *m) {
    struct cancel *c = (struct cancel *)(void *)m;
    struct wstate *ws = worker_data(w);
    struct session *s = ws->sessions;
    while (s != NULL && s->serial != c->serial) s = s->next;
    begin(c, ws, s);
}

void session_cancel(struct wstate *ws, uint32_t pid, uint32_t secret, const char *src) {
    struct registry_target target;
    if (!registry_key_find(ws->d->registry, pid, secret, &target)) {
        /* One of a daemon's that this one replaced, perhaps. */
        if (handover_cancel(ws->d->handover, pid, secret, src)) return;
        m_add(ws->m, M_CANCELS_UNMATCHED, 1);
        log_event(LOG_INFO, "cancel.unmatched", "src", src, NULL);
        return;
    }
    m_add(ws->m, M_CANCELS_MATCHED, 1);
    struct cancel *c = calloc(1, sizeof *c);
    if (c == NULL) return;
    c->msg.run = run_cancel;
    c->serial = target.serial;
    c->fd = -1;
    memccpy(c->src, src, '\0', sizeof c->src - 1);
    worker_post(target.worker, &c->msg);
}

void session_cancel_last(struct session *s) {
    struct cancel *c = s->run_count > 0 ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) return;
    c->fd = -1;
    snprintf(c->src, sizeof c->src, "gatehouse");
    begin(c, s->ws, s);
}

void session_cancel_target(const struct registry_target *target, const char *src, bool end) {
    struct cancel *c = calloc(1, sizeof *c);
    if (c == NULL) return;
    c->msg.run = run_cancel;
    c->serial = target->serial;
    c->end = end;
    c->fd = -1;
    snprintf(c->src, sizeof c->src, "%s", src);
    worker_post(target->worker, &c->msg);
}

void session_cancel_own(struct session *s) {
    struct cancel *c = calloc(1, sizeof *c);
    if (c == NULL) { /* the server goes on to its end, and what it sends is dropped */
        flt_over(s->filter);
        return;
    }
    c->msg.run = run_cancel;
    c->serial = s->serial;
    c->own = true;
    c->fd = -1;
    snprintf(c->src, sizeof c->src, "gatehouse");
    worker_post(s->ws->w, &c->msg);
}
