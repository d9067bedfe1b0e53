/* The SPOP door: HAProxy asks whether a connection may come in, and hands over plaintext CancelRequests. */
#include "spoa/door.h"

#include "filters/proxyv2.h"
#include "spoa/session.h"
#include "spoa/spop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct spop_conn {
    struct spop_conn *next, **link;
    struct wstate *ws;
    struct spop_agent *agent;
    struct event *rd, *wr;
    int fd;
    bool closing;
};

static void conn_free(struct spop_conn *c) {
    *c->link = c->next;
    if (c->next != NULL) c->next->link = c->link;
    if (c->rd != NULL) event_free(c->rd);
    if (c->wr != NULL) event_free(c->wr);
    spop_agent_free(c->agent);
    close(c->fd);
    free(c);
}

/* --- messages --- */

static bool value_is(const struct spop_value *v, const char *word) {
    return v != NULL && v->type == SPOP_STRING && v->len == strlen(word) && memcmp(v->data, word, v->len) == 0;
}

static bool value_addr(const struct spop_value *v, char out[PP2_ADDR_SIZE]) {
    return v != NULL && (v->type == SPOP_IPV4 || v->type == SPOP_IPV6) && pp2_addr_text(v->data, v->type == SPOP_IPV4 ? 4 : 16, out);
}

/* HAProxy sends numbers as INT32, INT64 or unsigned, by where the sample came from. */
static bool value_port(const struct spop_value *v, uint16_t *port) {
    if (v == NULL) return false;
    if ((v->type == SPOP_INT32 || v->type == SPOP_INT64) && v->i >= 0 && v->i <= 65535) {
        *port = (uint16_t)v->i;
        return true;
    }
    if ((v->type == SPOP_UINT32 || v->type == SPOP_UINT64) && v->u <= 65535) {
        *port = (uint16_t)v->u;
        return true;
    }
    return false;
}

static const char *value_text(const struct spop_value *v, char *out, size_t size) {
    if (v == NULL || v->type != SPOP_STRING) return NULL;
    size_t n = v->len < size - 1 ? v->len : size - 1;
    memcpy(out, v->data, n);
    out[n] = '\0';
    return out;
}

static void decide(struct wstate *ws, const struct spop_message *m, struct ticket *t) {
    struct daemon *d = ws->d;
    const char *reason = "";
    if (atomic_load(&d->draining))
        reason = "draining";
    else if (!value_is(spop_arg(m, "engine"), "postgresql"))
        reason = "engine";
    else if (registry_count(d->registry) >= wstate_snap(ws)->conf->limits.sessions)
        reason = "sessions";
    t->verdict = *reason == '\0' ? TICKET_ALLOW : TICKET_REFUSE;
    strcpy(t->reason, reason);
}

/* Answers nothing, and so closes the connection in HAProxy, when there is no source address or no randomness. */
static size_t on_session(struct wstate *ws, const struct spop_message *m, struct spop_action *actions, struct ticket *t, char *text) {
    char src[PP2_ADDR_SIZE], sni[256], listener[128];
    uint16_t port;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!value_addr(spop_arg(m, "src"), src) || !value_port(spop_arg(m, "src_port"), &port)) {
        log_event(LOG_ERROR, "spop.session", "reason", "the message has no source address and port: see haproxy-conf/gatehouse.spoe.cfg",
                  NULL);
        return 0;
    }
    decide(ws, m, t);
    if (!sid_make((uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u, t->sid) ||
        !ticket_make(ws->d->key, worker_now_ms(), wstate_snap(ws)->conf->ticket_ttl_ms, src, port, t, text))
        return 0;
    const char *verdict = t->verdict == TICKET_ALLOW ? "allow" : "refuse";
    log_event(t->verdict == TICKET_ALLOW ? LOG_DEBUG : LOG_WARN, "session.verdict", "session", t->sid, "src", src, "src_port",
              log_fmt("%u", (unsigned)port), "sni", value_text(spop_arg(m, "sni"), sni, sizeof sni), "listener",
              value_text(spop_arg(m, "listener"), listener, sizeof listener), "verdict", verdict, "reason", t->reason, NULL);
    actions[0] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "verdict", spop_str(verdict)};
    actions[1] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "reason", spop_str(t->reason)};
    actions[2] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "ticket", spop_str(text)};
    actions[3] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "session", spop_str(t->sid)};
    return 4;
}

static size_t on_cancel(struct wstate *ws, const struct spop_message *m, struct spop_action *actions) {
    const struct spop_value *key = spop_arg(m, "key");
    char src[PP2_ADDR_SIZE] = "";
    uint32_t length, code, pid, secret;
    if (key == NULL || (key->type != SPOP_BINARY && key->type != SPOP_STRING)) return 0;
    struct cur c = cur_of(key->data, key->len);
    if (!cur_be32(&c, &length) || !cur_be32(&c, &code) || !cur_be32(&c, &pid) || !cur_be32(&c, &secret)) return 0;
    if (length != 16 || code != 80877102 || cur_left(&c) != 0) return 0;
    if (!value_addr(spop_arg(m, "src"), src)) return 0;
    session_cancel(ws, pid, secret, src);
    actions[0] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "verdict", spop_str("done")};
    return 1;
}

/* A message that is not known gets no actions: HAProxy's rules then close the connection. */
static void on_notify(struct spop_conn *c, const struct spop_event *ev) {
    struct spop_action actions[4];
    struct ticket ticket = {0};
    char text[TICKET_SIZE];
    size_t n = 0;
    if (ev->notify.nmessages == 1) {
        const struct spop_message *m = &ev->notify.messages[0];
        if (spop_message_is(m, "session"))
            n = on_session(c->ws, m, actions, &ticket, text);
        else if (spop_message_is(m, "cancel"))
            n = on_cancel(c->ws, m, actions);
    }
    enum spop_ack_rc rc = spop_ack(c->agent, ev->notify.stream_id, ev->notify.frame_id, actions, n);
    if (rc != SPOP_ACK_OK) log_event(LOG_ERROR, "spop.ack", "reason", rc == SPOP_ACK_TOO_BIG ? "frame too small" : "closed", NULL);
}

/* --- the connection --- */

static void take_events(struct spop_conn *c) {
    struct spop_event ev;
    char message[128];
    while (spop_agent_next(c->agent, &ev)) {
        switch (ev.kind) {
        case SPOP_EV_HELLO: log_event(LOG_DEBUG, "spop.hello", "check", ev.hello.healthcheck ? "yes" : "no", NULL); break;
        case SPOP_EV_NOTIFY: on_notify(c, &ev); break;
        case SPOP_EV_DISCONNECT: {
            struct spop_value v = {.type = SPOP_STRING, .data = (const uint8_t *)ev.disconnect.message, .len = ev.disconnect.message_len};
            bool usual = ev.disconnect.status == SPOP_ST_NORMAL || ev.disconnect.status == SPOP_ST_TIMEOUT;
            log_event(usual ? LOG_DEBUG : LOG_WARN, "spop.disconnect", "status", spop_status_text(ev.disconnect.status), "message",
                      ev.disconnect.message_len > 0 ? value_text(&v, message, sizeof message) : NULL, NULL);
            break;
        }
        case SPOP_EV_CLOSE:
            if (ev.close.status != SPOP_ST_NORMAL) log_event(LOG_WARN, "spop.close", "reason", ev.close.reason, NULL);
            c->closing = true;
            break;
        }
    }
}

/* False when the connection is over. */
static bool flush(struct spop_conn *c) {
    struct buf *out = spop_agent_out(c->agent);
    while (buf_used(out) > 0) {
        ssize_t n = send(c->fd, buf_at(out), buf_used(out), MSG_NOSIGNAL);
        if (n > 0)
            buf_drain(out, (size_t)n);
        else if (n < 0 && errno == EINTR)
            continue;
        else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        else
            return false;
    }
    if (buf_used(out) > 0) return event_add(c->wr, NULL) == 0;
    return !c->closing;
}

static bool feed(struct spop_conn *c, const uint8_t *data, size_t len) {
    while (len > 0 && !c->closing) {
        size_t n = spop_agent_feed(c->agent, data, len);
        take_events(c);
        if (n == 0) break; /* only after CLOSE, because every event was taken */
        data += n;
        len -= n;
    }
    take_events(c);
    return flush(c);
}

static void on_read(evutil_socket_t fd, short what, void *arg) {
    struct spop_conn *c = arg;
    (void)what;
    ssize_t n = recv((int)fd, c->ws->scratch, sizeof c->ws->scratch, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0 || !feed(c, c->ws->scratch, (size_t)n)) conn_free(c);
}

static void on_write(evutil_socket_t fd, short what, void *arg) {
    struct spop_conn *c = arg;
    (void)fd;
    (void)what;
    if (!flush(c)) conn_free(c);
}

void door_spop_accept(struct wstate *ws, int fd) {
    struct spop_conn *c = calloc(1, sizeof *c);
    struct spop_agent *agent = spop_agent_new(NULL);
    if (c == NULL || agent == NULL) {
        free(c);
        spop_agent_free(agent);
        close(fd);
        return;
    }
    c->ws = ws;
    c->fd = fd;
    c->agent = agent;
    c->next = ws->spops;
    if (c->next != NULL) c->next->link = &c->next;
    c->link = &ws->spops;
    ws->spops = c;
    c->rd = event_new(ws->base, fd, EV_READ | EV_PERSIST, on_read, c);
    c->wr = event_new(ws->base, fd, EV_WRITE, on_write, c);
    if (c->rd == NULL || c->wr == NULL || event_add(c->rd, NULL) != 0) conn_free(c);
}

void door_spop_drop_all(struct wstate *ws) {
    while (ws->spops != NULL) conn_free(ws->spops);
}
