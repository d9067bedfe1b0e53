/* The SPOP door: HAProxy asks whether a connection may come in or an SQL text may run, and hands over plaintext CancelRequests. */
#include "spoa/door.h"

#include "spoa/api.h"
#include "spoa/greet.h"
#include "spoa/handover.h"
#include "spoa/session.h"
#include "spoa/spop_arg.h"

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
    struct api_asks asks;
    int fd;
    bool closing, handling;
};

static void conn_free(struct spop_conn *c) {
    m_add(c->ws->m, M_SPOP_CLOSED, 1);
    api_forget(&c->asks);
    *c->link = c->next;
    if (c->next != NULL) c->next->link = c->link;
    atomic_fetch_sub(&c->ws->d->spops, 1);
    if (c->rd != NULL) event_free(c->rd);
    if (c->wr != NULL) event_free(c->wr);
    spop_agent_free(c->agent);
    close(c->fd);
    free(c);
}

/* --- messages --- */

/* HAProxy's side is not the one that this daemon goes with. */
static void incomplete(struct wstate *ws, const char *message, const char *args) {
    unsigned more;
    m_add(ws->m, M_SPOP_ERRORS, 1);
    if (log_due(log_fmt("spop.message %s", message), &more))
        log_event(LOG_ERROR, "spop.message", "message", message, "reason", log_fmt("it has no usable %s", args), "do",
                  "copy haproxy-conf/gatehouse.spoe.cfg of this version to /etc/haproxy and reload HAProxy", "repeated",
                  log_fmt("%u", more), NULL);
}

/* What HAProxy knows of the connection; *refused: why it is not to be let in. NULL when out of memory. */
static struct admit *learn(const struct spop_message *m, const char **refused) {
    const struct spop_value *der = spop_arg(m, "cert");
    uint64_t verify = 1;
    char connection[16];
    struct admit *a = calloc(1, sizeof *a);
    if (a == NULL) return NULL;
    spop_arg_text(spop_arg(m, "sni"), a->sni, sizeof a->sni);
    spop_arg_text(spop_arg(m, "alpn"), a->alpn, sizeof a->alpn);
    a->oauthbearer = spop_arg_is(spop_arg(m, "auth"), "oauthbearer");
    if (spop_arg_text(spop_arg(m, "connection"), connection, sizeof connection) != NULL)
        a->connection = (uint32_t)strtoul(connection, NULL, 10);
    if (der == NULL || der->type == SPOP_NULL) return a;
    bool bytes = der->type == SPOP_BINARY || der->type == SPOP_STRING;
    if (bytes && der->len == 0) return a;
    /* With crt-ignore-err or ca-ignore-err HAProxy lets a bad one through, and says so: it is no reason to go on as if there were none. */
    if (bytes && spop_arg_uint(spop_arg(m, "verify"), UINT64_MAX, &verify) && verify == 0) a->cert = cert_parse(der->data, der->len);
    if (a->cert == NULL) *refused = "certificate";
    return a;
}

static void decide(struct wstate *ws, const struct spop_message *m, struct ticket *t) {
    struct daemon *d = ws->d;
    const char *reason = "";
    t->mysql = spop_arg_is(spop_arg(m, "engine"), "mysql");
    if (atomic_load(&d->draining))
        reason = "draining";
    else if (!t->mysql && !spop_arg_is(spop_arg(m, "engine"), "postgresql"))
        reason = "engine";
    else if (registry_count(d->registry) >= wstate_snap(ws)->conf->limits.sessions)
        reason = "sessions";
    if (strcmp(reason, "engine") == 0) incomplete(ws, "session", "engine");
    t->verdict = *reason == '\0' ? TICKET_ALLOW : TICKET_REFUSE;
    strcpy(t->reason, reason);
}

static bool make_ticket(struct wstate *ws, struct ticket *t, const char *src, uint16_t port, char *text) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return sid_make((uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u, t->sid) &&
           ticket_make(ws->d->key, worker_now_ms(), wstate_snap(ws)->conf->ticket_ttl_ms, src, port, t, text);
}

/* Until the payload comes. Without room the ticket decides: one that speaks of a certificate is good for nothing then. */
static bool keep(struct wstate *ws, struct admit *a, const struct ticket *t) {
    memcpy(a->sid, t->sid, sizeof a->sid);
    return admits_put(ws->d->admits, a, worker_now_ms(), wstate_snap(ws)->conf->ticket_ttl_ms);
}

/* Answers nothing, and so closes the connection in HAProxy, when there is no source address or no randomness. */
static size_t on_session(struct wstate *ws, const struct spop_message *m, struct spop_action *actions, struct ticket *t, char *text) {
    char src[PP2_ADDR_SIZE], sni[256], listener[128];
    uint64_t port;
    if (!spop_arg_addr(spop_arg(m, "src"), src) || !spop_arg_uint(spop_arg(m, "src_port"), 65535, &port)) {
        incomplete(ws, "session", "src and src_port");
        return 0;
    }
    decide(ws, m, t);
    const char *refused = NULL;
    struct admit *a = learn(m, &refused);
    if (t->verdict == TICKET_ALLOW && (a == NULL || refused != NULL)) {
        t->verdict = TICKET_REFUSE;
        strcpy(t->reason, refused != NULL ? refused : "memory");
    }
    t->certificate = t->verdict == TICKET_ALLOW && a->cert != NULL;
    bool made = make_ticket(ws, t, src, (uint16_t)port, text);
    if (!made || t->verdict != TICKET_ALLOW || !keep(ws, a, t)) admit_free(a);
    if (!made) return 0;
    const char *verdict = t->verdict == TICKET_ALLOW ? "allow" : "refuse";
    log_event(t->verdict == TICKET_ALLOW ? LOG_DEBUG : LOG_WARN, "session.verdict", "session", t->sid, "src", src, "src_port",
              log_fmt("%u", (unsigned)port), "sni", spop_arg_text(spop_arg(m, "sni"), sni, sizeof sni), "listener",
              spop_arg_text(spop_arg(m, "listener"), listener, sizeof listener), "verdict", verdict, "reason", t->reason, NULL);
    actions[0] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "verdict", spop_str(verdict)};
    actions[1] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "reason", spop_str(t->reason)};
    actions[2] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "ticket", spop_str(text)};
    actions[3] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "session", spop_str(t->sid)};
    return 4;
}

/* Answers nothing, and so closes the connection in HAProxy, without memory or randomness. */
static size_t on_greet(struct wstate *ws, const struct spop_message *m, struct spop_action *actions, struct greeting *g) {
    if (atomic_load(&ws->d->draining) || !greet(ws, m, g)) return 0;
    actions[0] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "greeting", {.type = SPOP_BINARY, .data = g->packet, .len = g->len}};
    actions[1] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "connection", spop_str(g->connection)};
    return 2;
}

static size_t on_cancel(struct wstate *ws, const struct spop_message *m, struct spop_action *actions) {
    const struct spop_value *key = spop_arg(m, "key");
    char src[PP2_ADDR_SIZE] = "";
    uint32_t length, code, pid, secret;
    if (key == NULL || (key->type != SPOP_BINARY && key->type != SPOP_STRING)) return 0;
    struct cur c = cur_of(key->data, key->len);
    if (!cur_be32(&c, &length) || !cur_be32(&c, &code) || !cur_be32(&c, &pid) || !cur_be32(&c, &secret)) return 0;
    if (length != 16 || code != 80877102 || cur_left(&c) != 0) return 0;
    if (!spop_arg_addr(spop_arg(m, "src"), src)) return 0;
    session_cancel(ws, pid, secret, src);
    actions[0] = (struct spop_action){SPOP_SET_VAR, SPOP_TXN, "verdict", spop_str("done")};
    return 1;
}

/* A message that is not known gets no actions: HAProxy's rules then close the connection. */
static void on_notify(struct spop_conn *c, const struct spop_event *ev) {
    struct spop_action actions[4];
    struct ticket ticket = {0};
    struct greeting greeting;
    char text[TICKET_SIZE];
    size_t n = 0;
    if (ev->notify.nmessages == 1) {
        const struct spop_message *m = &ev->notify.messages[0];
        bool session = spop_message_is(m, "session"), greets = spop_message_is(m, "greet"),
             known = session || greets || spop_message_is(m, "cancel"), statement = spop_message_is(m, "statement");
        m_count(c->ws->m, M_SPOP_MESSAGES,
                session     ? "session"
                : greets    ? "greet"
                : statement ? "statement"
                : known     ? "cancel"
                            : "(other)",
                NULL, NULL);
        if (statement) {
            api_statement(c->ws, c, &c->asks, m, ev->notify.stream_id, ev->notify.frame_id);
            return;
        }
        if (greets)
            n = on_greet(c->ws, m, actions, &greeting);
        else if (session)
            n = on_session(c->ws, m, actions, &ticket, text);
        else if (spop_message_is(m, "cancel"))
            n = on_cancel(c->ws, m, actions);
        if (!known) incomplete(c->ws, "(unknown)", "name");
    }
    enum spop_ack_rc rc = spop_ack(c->agent, ev->notify.stream_id, ev->notify.frame_id, actions, n);
    if (rc != SPOP_ACK_OK) m_add(c->ws->m, M_SPOP_ERRORS, 1);
    if (rc != SPOP_ACK_OK) log_event(LOG_ERROR, "spop.ack", "reason", rc == SPOP_ACK_TOO_BIG ? "frame too small" : "closed", NULL);
}

/* --- the connection --- */

static void take_events(struct spop_conn *c) {
    struct spop_event ev;
    char message[128];
    while (spop_agent_next(c->agent, &ev)) {
        switch (ev.kind) {
        case SPOP_EV_HELLO: log_event(LOG_DEBUG, "spop.hello", "check", ev.hello.healthcheck ? "yes" : "no", NULL); break;
        case SPOP_EV_NOTIFY:
            c->handling = true;
            on_notify(c, &ev);
            c->handling = false;
            break;
        case SPOP_EV_DISCONNECT: {
            struct spop_value v = {.type = SPOP_STRING, .data = (const uint8_t *)ev.disconnect.message, .len = ev.disconnect.message_len};
            bool usual = ev.disconnect.status == SPOP_ST_NORMAL || ev.disconnect.status == SPOP_ST_TIMEOUT;
            log_event(usual ? LOG_DEBUG : LOG_WARN, "spop.disconnect", "status", spop_status_text(ev.disconnect.status), "message",
                      ev.disconnect.message_len > 0 ? spop_arg_text(&v, message, sizeof message) : NULL, NULL);
            break;
        }
        case SPOP_EV_CLOSE:
            if (ev.close.status != SPOP_ST_NORMAL) m_add(c->ws->m, M_SPOP_ERRORS, 1);
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

enum spop_ack_rc door_spop_answer(struct spop_conn *c, uint64_t stream, uint64_t frame, const struct spop_action *actions, size_t n) {
    enum spop_ack_rc rc = spop_ack(c->agent, stream, frame, actions, n);
    if (c->handling || rc == SPOP_ACK_TOO_BIG) return rc; /* the handler's caller sends */
    take_events(c);
    if (!flush(c)) conn_free(c);
    return rc;
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

/* SQL texts: as large as HAProxy's buffer. */
static const struct spop_agent_conf agent_conf = {.max_frame_size = SPOP_FRAME_SIZE_CAP};

/* agent becomes the connection's; NULL when out of memory, and fd is closed. */
static struct spop_conn *conn_new(struct wstate *ws, int fd, struct spop_agent *agent) {
    struct spop_conn *c = calloc(1, sizeof *c);
    if (c == NULL || agent == NULL) {
        free(c);
        spop_agent_free(agent);
        close(fd);
        return NULL;
    }
    c->ws = ws;
    c->fd = fd;
    c->agent = agent;
    m_add(ws->m, M_SPOP_ACCEPTED, 1);
    c->next = ws->spops;
    if (c->next != NULL) c->next->link = &c->next;
    c->link = &ws->spops;
    ws->spops = c;
    atomic_fetch_add(&ws->d->spops, 1);
    c->rd = event_new(ws->base, fd, EV_READ | EV_PERSIST, on_read, c);
    c->wr = event_new(ws->base, fd, EV_WRITE, on_write, c);
    if (c->rd != NULL && c->wr != NULL && event_add(c->rd, NULL) == 0) return c;
    conn_free(c);
    return NULL;
}

void door_spop_accept(struct wstate *ws, int fd) { conn_new(ws, fd, spop_agent_new(&agent_conf)); }

/* --- from one daemon to the next --- */

void door_spop_adopt(struct wstate *ws, int fd, const struct spop_agent_state *st) {
    struct spop_conn *c = conn_new(ws, fd, spop_agent_resume(&agent_conf, st));
    if (c != NULL && !feed(c, st->bytes, st->len)) conn_free(c);
}

/* HAProxy notices nothing: the other daemon reads on where we stopped, and its tickets and ours are of one key. */
static void give(struct spop_conn *c) {
    struct spop_agent_state st;
    event_del(c->rd);                                           /* else one that is never without a question would stay */
    if (c->closing || !spop_agent_state(c->agent, &st)) return; /* its answers go out first */
    enum handover_give rc = handover_give_spop(c->ws->d->handover, c->fd, &st);
    if (rc == HANDOVER_GIVEN)
        conn_free(c);
    else if (rc == HANDOVER_NOBODY) {
        spop_agent_disconnect(c->agent, SPOP_ST_NORMAL, "this gatehouse was replaced");
        take_events(c);
        if (!flush(c)) conn_free(c);
    }
}

void door_spop_give(struct wstate *ws) {
    for (struct spop_conn *c = ws->spops, *next; c != NULL; c = next) {
        next = c->next;
        give(c);
    }
}

void door_spop_drop_all(struct wstate *ws) {
    while (ws->spops != NULL) conn_free(ws->spops);
}
