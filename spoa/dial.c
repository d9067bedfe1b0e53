#include "spoa/dial.h"

#include "spoa/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG_RETRY_MS 20 /* a Unix socket with a full backlog answers EAGAIN and never becomes writable */

struct dial {
    struct event_base *base;
    struct event *ev;
    struct conf_addr addrs[CONF_ADDRS];
    size_t n, at;
    uint64_t deadline_ms;
    int fd, last;
    dial_fn done;
    void *arg;
};

static void attempt(struct dial *d);

static void finish(struct dial *d, int fd, int err) {
    dial_fn done = d->done;
    void *arg = d->arg;
    struct conf_addr addr = d->addrs[d->at < d->n ? d->at : 0];
    d->fd = -1; /* the receiver's now */
    dial_cancel(d);
    done(arg, fd, &addr, err);
}

static void next_address(struct dial *d, int err) {
    if (d->fd >= 0) close(d->fd);
    d->fd = -1;
    d->last = err;
    d->at++;
    attempt(d);
}

static void on_ready(evutil_socket_t fd, short what, void *arg) {
    struct dial *d = arg;
    int err = 0;
    socklen_t size = sizeof err;
    if ((what & EV_WRITE) == 0 || d->fd < 0) { /* time is up, or it is time to try again */
        if (worker_now_ms() >= d->deadline_ms)
            finish(d, -1, ETIMEDOUT);
        else
            attempt(d);
        return;
    }
    if (getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &err, &size) != 0) err = errno;
    if (err != 0)
        next_address(d, err);
    else
        finish(d, d->fd, 0);
}

static bool wait_for(struct dial *d, int fd, short what, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    event_free(d->ev);
    d->ev = event_new(d->base, fd, what, on_ready, d);
    return d->ev != NULL && event_add(d->ev, &tv) == 0;
}

static void attempt(struct dial *d) {
    uint64_t now = worker_now_ms(), left = d->deadline_ms > now ? d->deadline_ms - now : 0;
    while (d->at < d->n) {
        const struct conf_addr *a = &d->addrs[d->at];
        if (d->fd >= 0) close(d->fd);
        d->fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int one = 1, rc = d->fd < 0 ? -1 : connect(d->fd, (const struct sockaddr *)&a->ss, a->len), err = rc == 0 ? 0 : errno;
        if (d->fd >= 0 && a->ss.ss_family != AF_UNIX) setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (rc == 0) {
            finish(d, d->fd, 0);
            return;
        }
        /* An address that stays silent must leave time for the others. */
        uint64_t share = left / (d->n - d->at);
        if (err == EINPROGRESS && wait_for(d, d->fd, EV_WRITE, share > 0 ? share : 1)) {
            d->last = ETIMEDOUT;
            return;
        }
        if (err == EAGAIN && a->ss.ss_family == AF_UNIX && left > 0) {
            close(d->fd);
            d->fd = -1;
            if (wait_for(d, -1, 0, BACKLOG_RETRY_MS)) return;
            err = ENOMEM;
        }
        d->last = err;
        d->at++;
    }
    finish(d, -1, d->last != 0 ? d->last : ECONNREFUSED);
}

struct dial *dial_start(struct event_base *base, const struct conf_addr *addrs, size_t n, uint64_t timeout_ms, dial_fn done, void *arg) {
    struct dial *d = calloc(1, sizeof *d);
    if (d == NULL) return NULL;
    struct timeval now = {0, 0};
    d->base = base;
    d->n = n < CONF_ADDRS ? n : CONF_ADDRS;
    memcpy(d->addrs, addrs, d->n * sizeof *addrs);
    d->deadline_ms = worker_now_ms() + timeout_ms;
    d->fd = -1;
    d->done = done;
    d->arg = arg;
    d->ev = event_new(base, -1, 0, on_ready, d);
    if (d->ev == NULL || event_add(d->ev, &now) != 0) {
        dial_cancel(d);
        return NULL;
    }
    return d;
}

void dial_cancel(struct dial *d) {
    if (d == NULL) return;
    if (d->ev != NULL) event_free(d->ev);
    if (d->fd >= 0) close(d->fd);
    free(d);
}
