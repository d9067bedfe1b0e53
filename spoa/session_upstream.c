/* The session's own connection to the database's server, opened when the first statement needs it; cancel requests. */
#include "spoa/session_int.h"

#include "spoa/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define UPSTREAM_PARAMS (STARTUP_SETTINGS + 64)
#define CANCEL_WAIT_MS  2000u /* for the server to close, which says that the request was seen */

static void unreachable(struct session *s, int err) {
    const char *why = err == 0 ? "not configured" : strerror(err);
    log_event(LOG_ERROR, "upstream.failed", "session", s->id, "database", s->db->name, "reason", why, NULL);
    flt_upstream_failed(s->filter, "08001", "the database cannot be reached", "Nothing of this statement was executed. Try again later.",
                        false);
}

static void on_dialed(void *arg, int fd, const struct conf_addr *addr, int err) {
    struct session *s = arg;
    struct flt_kv kv[UPSTREAM_PARAMS];
    const struct conf_database *db = conf_database(s->snap->conf, s->db->name);
    s->dial = NULL;
    if (fd < 0 || db == NULL) {
        if (fd >= 0) close(fd);
        unreachable(s, fd < 0 ? err : 0);
        pump_run(&s->pump);
        return;
    }
    /* What the server is called and the credential are today's; the pins are those that the session's verdicts lean on. */
    struct flt_upstream up = {
        .user = db->user, .password = db->password, .database = db->database, .params = kv, .allow_cleartext = db->allow_cleartext};
    up.nparams = startup_upstream(s->startup, s->db, kv, UPSTREAM_PARAMS);
    if (getrandom(up.nonce, sizeof up.nonce, 0) != (ssize_t)sizeof up.nonce || !pump_attach(&s->pump, FLT_SERVER, fd)) {
        unreachable(s, ENOMEM);
    } else {
        s->up_addr = *addr;
        s->up_deadline_ms = worker_now_ms() + s->snap->conf->limits.upstream_connect_ms;
        flt_upstream_open(s->filter, &up);
    }
    pump_run(&s->pump);
}

void session_on_upstream(struct session *s) {
    const struct conf_database *db = conf_database(s->snap->conf, s->db->name);
    if (db != NULL) s->dial = dial_start(s->ws->base, db->addrs, db->naddrs, s->snap->conf->limits.upstream_connect_ms, on_dialed, s);
    if (s->dial == NULL) unreachable(s, db == NULL ? 0 : ENOMEM);
}

void session_on_upstream_lost(struct session *s, const struct flt_event *ev) {
    s->up_deadline_ms = 0;
    log_event(LOG_ERROR, "upstream.failed", "session", s->id, "database", s->db->name, "sqlstate", ev->lost.sqlstate, "reason",
              ev->lost.text, NULL);
    pump_detach_server(&s->pump);
}

void session_on_upstream_ready(struct session *s, const struct flt_event *ev) {
    s->up_deadline_ms = 0;
    /* What this client asked for is not what the next one gets: only plain sessions teach the cache. */
    for (size_t i = 0; i < s->startup->n; i++)
        if (strcasecmp(s->startup->kv[i].name, "application_name") != 0) return;
    paramcache_put(s->ws->d->params, s->db->name, ev->upstream.params, ev->upstream.nparams);
}

/* --- cancel --- */

struct cancel { /* first a message to the session's worker, then a connection of its own */
    struct wmsg msg;
    uint64_t serial;
    char src[PP2_ADDR_SIZE];
    struct wstate *ws;
    struct event *ev;
    int fd;
    uint8_t packet[16];
};

static void cancel_free(struct cancel *c) {
    if (c->ws != NULL) c->ws->cancels--;
    if (c->ev != NULL) event_free(c->ev);
    if (c->fd >= 0) close(c->fd);
    free(c);
}

static void on_cancel_end(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    cancel_free(arg);
}

static void on_cancel_dialed(void *arg, int fd, const struct conf_addr *addr, int err) {
    struct cancel *c = arg;
    struct timeval wait = {CANCEL_WAIT_MS / 1000, 0};
    (void)addr;
    c->fd = fd;
    if (fd < 0) {
        log_event(LOG_WARN, "cancel.failed", "reason", strerror(err), NULL);
        cancel_free(c);
        return;
    }
    /* Sixteen bytes into a fresh socket's buffer: they go whole or not at all. */
    ssize_t n = send(fd, c->packet, sizeof c->packet, MSG_NOSIGNAL);
    c->ev = event_new(c->ws->base, fd, EV_READ, on_cancel_end, c);
    if (n != (ssize_t)sizeof c->packet || c->ev == NULL || event_add(c->ev, &wait) != 0) cancel_free(c);
}

static void put_be32(uint8_t *at, uint32_t v) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void run_cancel(struct worker *w, struct wmsg *m) {
    struct cancel *c = (struct cancel *)(void *)m;
    struct wstate *ws = worker_data(w);
    struct session *s = ws->sessions;
    uint32_t pid, secret;
    while (s != NULL && s->serial != c->serial) s = s->next;
    if (s == NULL || s->state != SESSION_OPEN || !flt_server_key(s->filter, &pid, &secret) ||
        ws->cancels >= s->snap->conf->limits.cancels) {
        cancel_free(c);
        return;
    }
    struct rec r = {0};
    rec_str(&r, "src", c->src);
    rec_append(ws->d->led, &r, LED_SESSION, s->id, "cancel", NULL, NULL);
    log_event(LOG_INFO, "cancel", "session", s->id, "src", c->src, NULL);
    put_be32(c->packet, 16);
    put_be32(c->packet + 4, 80877102); /* CancelRequest */
    put_be32(c->packet + 8, pid);
    put_be32(c->packet + 12, secret);
    c->ws = ws;
    ws->cancels++;
    if (dial_start(ws->base, &s->up_addr, 1, s->snap->conf->limits.upstream_connect_ms, on_cancel_dialed, c) == NULL) cancel_free(c);
}

void session_cancel(struct wstate *ws, uint32_t pid, uint32_t secret, const char *src) {
    struct registry_target target;
    if (!registry_key_find(ws->d->registry, pid, secret, &target)) {
        log_event(LOG_INFO, "cancel.unmatched", "src", src, NULL);
        return;
    }
    struct cancel *c = calloc(1, sizeof *c);
    if (c == NULL) return;
    c->msg.run = run_cancel;
    c->serial = target.serial;
    c->fd = -1;
    memccpy(c->src, src, '\0', sizeof c->src - 1);
    worker_post(target.worker, &c->msg);
}
