#include <config.h>

#include "spoa/pump.h"

#include "spoa/worker.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_BYTES   (256u << 10) /* read for one session before others get their turn */
#define CLOSE_MS     5000u        /* for the last bytes to be written */
#define LINGER_MS    2000u        /* for the peer to close after them */
#define LINGER_BYTES (1u << 20)
#define IN_KEPT      1024u /* what waits for the filter is mostly the rest of a pipeline */

void pump_init(struct pump *p) {
    for (int i = 0; i < 2; i++) {
        p->side[i] = (struct pump_side){.pump = p, .fd = -1, .in = BUF_INIT(p->scratch_size)};
        p->out[i] = flt_out(p->filter, (enum flt_side)i);
    }
    p->active_ms = worker_now_ms();
}

static struct buf *out_of(const struct pump *p, int side) { return p->out[side]; }

static void close_side(struct pump_side *s) {
    tls_conn_free(s->tls);
    tls_conn_free(s->tls_next);
    s->tls = s->tls_next = NULL;
    s->shaking = s->more = s->want_write = false;
    if (s->rd != NULL) event_free(s->rd);
    if (s->wr != NULL) event_free(s->wr);
    s->rd = s->wr = NULL;
    s->rd_on = s->wr_on = false;
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    s->dead = s->eof = true;
    s->blocked_ms = 0;
    buf_free(&s->in);
}

/* As send() and recv(): errno is EAGAIN where the socket must be waited for. A broken TLS is ECONNRESET. */
static ssize_t put(struct pump_side *s, const void *data, size_t len) {
    size_t n = 0;
    if (s->tls == NULL) return send(s->fd, data, len, MSG_NOSIGNAL);
    switch (tls_write(s->tls, data, len, &n)) {
    case TLS_OK: return (ssize_t)n;
    case TLS_WANT_READ: /* not without renegotiation, which is off */
    case TLS_WANT_WRITE: errno = EAGAIN; return -1;
    default: errno = ECONNRESET; return -1;
    }
}

static ssize_t get(struct pump_side *s, void *data, size_t size) {
    size_t n = 0;
    if (s->tls == NULL) return recv(s->fd, data, size, 0);
    enum tls_rc rc = tls_read(s->tls, data, size, &n);
    s->more = rc == TLS_OK;
    s->want_write = rc == TLS_WANT_WRITE;
    switch (rc) {
    case TLS_OK: return (ssize_t)n;
    case TLS_EOF: return 0;
    case TLS_WANT_READ:
    case TLS_WANT_WRITE: errno = EAGAIN; return -1;
    default: errno = ECONNRESET; return -1;
    }
}

static void begin_tls(struct pump_side *s, struct tls_conn *conn) {
    s->tls_next = NULL;
    s->tls = conn;
    s->shaking = s->want_write = true; /* it begins as soon as the socket has room, in a turn of its own */
}

/* True when something was written. */
static bool flush(struct pump *p, int side) {
    struct pump_side *s = &p->side[side];
    struct buf *out = out_of(p, side);
    bool wrote = false;
    /* A Bind goes with its Execute, and wakes the server once. Whoever answers the question lets the pump run. */
    if (side == FLT_SERVER && !s->dead && s->blocked_ms == 0 && !p->closing && flt_may_hold(p->filter)) return false;
    if (s->dead) buf_drain(out, buf_used(out));
    while (s->fd >= 0 && !s->shaking && buf_used(out) > 0) {
        ssize_t n = put(s, buf_at(out), buf_used(out));
        if (n > 0) {
            buf_drain(out, (size_t)n);
            if (side == FLT_CLIENT) p->bytes_client += (uint64_t)n;
            if (p->m != NULL) m_add(p->m, side == FLT_CLIENT ? M_BYTES_TO_CLIENT : M_BYTES_TO_SERVER, (uint64_t)n);
            wrote = true;
            s->blocked_ms = 0;
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (s->blocked_ms == 0) {
                s->blocked_ms = worker_now_ms();
                s->unread = -1;
            }
            break;
        }
        s->dead = s->eof = true; /* the peer is gone: nothing of what it sent is of use any more */
        buf_reset(&s->in);
        buf_drain(out, buf_used(out));
    }
    if (buf_used(out) == 0) s->blocked_ms = 0;
    if (buf_used(out) == 0 && s->tls_next != NULL && !s->dead) begin_tls(s, s->tls_next);
    return wrote;
}

static void take_events(struct pump *p) {
    struct flt_event ev;
    while (!p->closing && flt_next(p->filter, &ev)) {
        if (ev.kind == FLT_EV_CLOSE) {
            p->closing = true;
            p->deadline_ms = worker_now_ms() + CLOSE_MS;
        }
        p->on_event(p->owner, &ev);
    }
}

/* Gives the filter what waits on this side; true when anything moved. */
static bool feed_rest(struct pump *p, int side) {
    struct pump_side *s = &p->side[side];
    bool moved = false;
    if (buf_used(&s->in) > 0) {
        size_t n = flt_feed(p->filter, (enum flt_side)side, buf_at(&s->in), buf_used(&s->in));
        buf_drain(&s->in, n);
        moved = n > 0;
        if (buf_used(&s->in) == 0 && s->in.cap > IN_KEPT) buf_free(&s->in);
    }
    if (s->eof && !s->eof_told && buf_used(&s->in) == 0) {
        s->eof_told = true;
        flt_eof(p->filter, (enum flt_side)side);
        moved = true;
    }
    return moved;
}

static void step(struct pump *p) {
    bool moved = true;
    while (moved) {
        moved = false;
        take_events(p);
        for (int i = 0; i < 2 && !p->closing; i++) {
            if (buf_used(&p->side[i].in) == 0 && !p->side[i].eof) continue;
            moved = feed_rest(p, i) || moved;
            take_events(p);
        }
        for (int i = 0; i < 2; i++)
            if (flush(p, i) && !p->closing && (buf_used(&p->side[0].in) > 0 || buf_used(&p->side[1].in) > 0)) moved = true;
        for (int i = 0; i < 2 && !p->closing; i++) /* a write that failed: nothing else would tell the filter, and nobody would wake us */
            if (p->side[i].fd >= 0 && p->side[i].eof && !p->side[i].eof_told && buf_used(&p->side[i].in) == 0) moved = true;
        /* A client that takes no more must not keep its statement running. */
        if (!p->closing && p->side[FLT_CLIENT].dead && p->side[FLT_CLIENT].eof_told) {
            flt_terminate(p->filter, "08006", "the client has gone", NULL);
            moved = true;
        }
    }
}

static bool may_read(struct pump *p, int side) {
    const struct pump_side *s = &p->side[side];
    if (s->fd < 0 || s->eof || s->shaking || s->tls_next != NULL || p->closing || buf_used(&s->in) > 0) return false;
    if (buf_used(out_of(p, FLT_CLIENT)) > p->mark) return false;
    return side == FLT_SERVER || buf_used(out_of(p, FLT_SERVER)) <= p->mark;
}

static void watch(struct event *ev, bool *on, bool want) {
    if (ev == NULL || *on == want) return;
    *on = want && event_add(ev, NULL) == 0;
    if (!want) event_del(ev);
}

static void close_step(struct pump *p) {
    struct pump_side *c = &p->side[FLT_CLIENT], *s = &p->side[FLT_SERVER];
    if (s->fd >= 0 && (buf_used(out_of(p, FLT_SERVER)) == 0 || s->dead || s->shaking)) close_side(s);
    if (c->fd >= 0 && (buf_used(out_of(p, FLT_CLIENT)) == 0 || c->dead)) {
        if (c->eof || c->dead)
            close_side(c);
        else if (!p->lingering) {
            /* A close with unread input could take our last message from the peer: say that we are done, and read until it is too. */
            p->lingering = true;
            p->deadline_ms = worker_now_ms() + LINGER_MS;
            shutdown(c->fd, SHUT_WR);
        }
    }
    if (c->fd < 0 && s->fd < 0 && !p->closed) {
        p->closed = true;
        p->on_closed(p->owner);
    }
}

static void interest(struct pump *p) {
    if (p->closing) close_step(p);
    for (int i = 0; i < 2; i++) {
        struct pump_side *s = &p->side[i];
        if (s->fd < 0) continue;
        bool read = may_read(p, i);
        bool want = read || (s->shaking && !s->want_write) || (p->lingering && i == FLT_CLIENT);
        /* Held back for a moment, as every statement is: on_read() stops the watching if more comes meanwhile, which is rare. */
        if (want || s->eof || s->shaking || p->closing) watch(s->rd, &s->rd_on, want);
        watch(s->wr, &s->wr_on, s->blocked_ms != 0 || s->want_write);
        if (read && s->more) event_active(s->rd, EV_READ, 1);
    }
}

static void shake(struct pump_side *s) {
    struct pump *p = s->pump;
    enum tls_rc rc = tls_handshake(s->tls);
    s->want_write = rc == TLS_WANT_WRITE;
    if (rc == TLS_WANT_READ || rc == TLS_WANT_WRITE) {
        interest(p);
        return;
    }
    s->shaking = false;
    s->more = rc == TLS_OK; /* what came with the end of the handshake */
    p->on_tls(p->owner, rc == TLS_OK ? NULL : tls_error(s->tls));
    pump_run(p);
}

void pump_run(struct pump *p) {
    if (p->running || p->closed) return;
    p->running = true;
    p->turns++;
    step(p);
    p->running = false;
    interest(p);
}

static void linger_read(struct pump *p, struct pump_side *s) {
    ssize_t n = recv(s->fd, p->scratch, p->scratch_size, 0);
    if (n > 0) p->linger_bytes += (size_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || p->linger_bytes > LINGER_BYTES) s->eof = true;
    interest(p);
}

static void on_read(evutil_socket_t fd, short what, void *arg) {
    struct pump_side *s = arg;
    struct pump *p = s->pump;
    int side = s == &p->side[FLT_CLIENT] ? FLT_CLIENT : FLT_SERVER;
    size_t turn = 0;
    (void)fd;
    (void)what;
    if (p->lingering) {
        linger_read(p, s);
        return;
    }
    if (s->shaking) {
        shake(s);
        return;
    }
    if (!may_read(p, side)) {
        watch(s->rd, &s->rd_on, false);
        return;
    }
    p->active_ms = worker_now_ms();
    p->running = true;
    p->turns++;
    while (turn < TURN_BYTES && may_read(p, side)) {
        ssize_t n = get(s, p->scratch, p->scratch_size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (n <= 0) {
            s->eof = true;
            if (n < 0) s->dead = true;
            step(p);
            break;
        }
        if (p->m != NULL) m_add(p->m, side == FLT_CLIENT ? M_BYTES_FROM_CLIENT : M_BYTES_FROM_SERVER, (uint64_t)n);
        if (side == FLT_CLIENT && (p->began_ms == 0 || (flt_idle(p->filter) && !flt_in_transaction(p->filter)))) p->began_ms = p->active_ms;
        size_t taken = flt_feed(p->filter, (enum flt_side)side, p->scratch, (size_t)n);
        buf_put(&s->in, p->scratch + taken, (size_t)n - taken);
        if (s->in.failed) s->dead = s->eof = true; /* out of memory: this session ends, no byte is skipped */
        step(p);
        turn += (size_t)n;
        if (s->tls == NULL && (size_t)n < p->scratch_size) break; /* the socket is empty, most likely */
    }
    p->running = false;
    interest(p);
}

static void on_write(evutil_socket_t fd, short what, void *arg) {
    struct pump_side *s = arg;
    (void)fd;
    (void)what;
    s->pump->active_ms = worker_now_ms();
    if (s->shaking) {
        shake(s);
        return;
    }
    if (s->want_write) event_active(s->rd, EV_READ, 1);
    s->want_write = false;
    pump_run(s->pump);
}

bool pump_attach(struct pump *p, enum flt_side side, int fd) {
    struct pump_side *s = &p->side[side];
    s->fd = fd;
    s->dead = s->eof = s->eof_told = false;
    s->rd = event_new(p->base, fd, EV_READ | EV_PERSIST, on_read, s);
    s->wr = event_new(p->base, fd, EV_WRITE | EV_PERSIST, on_write, s);
    if (s->rd != NULL && s->wr != NULL) return true;
    close_side(s);
    return false;
}

bool pump_tls(struct pump *p, struct tls_conn *conn) {
    struct pump_side *s = &p->side[FLT_SERVER];
    if (buf_used(&s->in) > 0 || s->fd < 0) {
        tls_conn_free(conn);
        return false;
    }
    if (buf_used(out_of(p, FLT_SERVER)) == 0)
        begin_tls(s, conn);
    else
        s->tls_next = conn;
    return true;
}

const char *pump_tls_error(const struct pump *p) {
    const struct pump_side *s = &p->side[FLT_SERVER];
    return s->tls == NULL ? "" : tls_error(s->tls);
}

void pump_detach_server(struct pump *p) {
    struct pump_side *s = &p->side[FLT_SERVER];
    close_side(s);
    s->dead = s->eof = s->eof_told = false;
    buf_drain(out_of(p, FLT_SERVER), buf_used(out_of(p, FLT_SERVER)));
}

void pump_prefill(struct pump *p, const void *data, size_t len) { buf_put(&p->side[FLT_CLIENT].in, data, len); }

void pump_spare(struct pump *p) {
    for (int i = 0; i < 2; i++) buf_spare(&p->side[i].in);
}

void pump_tick(struct pump *p, uint64_t now_ms) {
    if (p->closing && !p->closed && now_ms >= p->deadline_ms) pump_abort(p);
}

void pump_abort(struct pump *p) {
    if (p->closed) return;
    p->closing = true;
    close_side(&p->side[FLT_CLIENT]);
    close_side(&p->side[FLT_SERVER]);
    if (p->running) return; /* interest() reports it */
    p->closed = true;
    p->on_closed(p->owner);
}

uint64_t pump_stalled(struct pump *p, uint64_t now_ms) {
    uint64_t longest = 0;
    for (int i = 0; i < 2; i++) {
        struct pump_side *s = &p->side[i];
        int unread;
        if (s->blocked_ms == 0) continue;
        if (ioctl(s->fd, SIOCOUTQ, &unread) == 0) {
            if (s->unread >= 0 && unread != s->unread) s->blocked_ms = now_ms;
            s->unread = unread;
        }
        if (now_ms > s->blocked_ms && now_ms - s->blocked_ms > longest) longest = now_ms - s->blocked_ms;
    }
    return longest;
}

bool pump_client_left(const struct pump *p) {
    struct pollfd fd = {.fd = p->side[FLT_CLIENT].fd, .events = POLLRDHUP};
    return fd.fd >= 0 && poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
