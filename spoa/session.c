#include "spoa/session_int.h"

#include "spoa/identity.h"
#include "spoa/roster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- life --- */

#define SPARE_MS 1000u /* idle for so long, a session keeps no buffers */

void session_ref(struct session *s) { s->refs++; }

static void drop_head(struct session *s) {
    if (s->head_ev != NULL) event_free(s->head_ev);
    s->head_ev = NULL;
    buf_free(&s->head);
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

static void session_free(struct session *s) {
    *s->link = s->next;
    if (s->next != NULL) s->next->link = s->link;
    drop_head(s);
    dial_cancel(s->dial);
    session_drop_held(s);
    session_drop_question(s);
    session_drop_running(s);
    session_forget_judged(s);
    roster_leave(s->ws->d->roster, s->entry);
    if (s->rewrites != NULL) rewrites_clear(s->rewrites);
    free(s->rewrites);
    free(s->reason);
    free(s->glass);
    names_free(&s->prepared);
    names_free(&s->cursors);
    flt_free(s->filter);
    if (s->key_pid != 0) registry_key_drop(s->ws->d->registry, s->key_pid);
    if (s->who_counted) registry_principal_leave(s->ws->d->registry, s->who->principal);
    if (s->counted) registry_leave(s->ws->d->registry);
    jwt_identity_free(s->who);
    admit_free(s->admit);
    startup_free(s->startup);
    pol_role_free(s->role);
    tls_ctx_unref(s->up_tls);
    upstream_cred_drop(&s->up_cred);
    session_my_free(s);
    led_run_free(s->whose);
    free(s->groups);
    free(s->user);
    snap_unref(s->login);
    snap_unref(s->snap);
    free(s);
}

void session_unref(struct session *s) {
    if (--s->refs == 0) session_free(s);
}

static void run_bye(struct worker *w, struct wmsg *m) {
    (void)w;
    session_unref((struct session *)(void *)((char *)m - offsetof(struct session, bye)));
}

/* The connection is gone. The memory goes in a turn of its own: callers up the stack still hold it. */
static void session_gone(struct session *s) {
    s->bye.run = run_bye;
    worker_post(s->ws->w, &s->bye);
}

static void record_close(struct session *s) {
    const struct identity_close close = {.session = s->id,
                                         .principal = s->who->principal,
                                         .database = s->db->name,
                                         .reason = s->why,
                                         .statements = s->statements,
                                         .refused = s->refused,
                                         .rows = s->rows,
                                         .bytes = s->bytes,
                                         .sent = s->pump.bytes_client,
                                         .duration_ms = worker_now_ms() - s->started_ms};
    identity_record_close(s->ws->d->led, &close);
}

static void on_closed(void *owner) { session_gone(owner); }

static void on_filter_close(struct session *s, const struct flt_event *ev) {
    bool was_open = s->state == SESSION_OPEN;
    if (!was_open && !s->ended_counted) m_add(s->ws->m, M_SESSIONS_ABANDONED, 1);
    s->state = SESSION_OVER;
    if (s->why == NULL) s->why = ev->close.reason;
    dial_cancel(s->dial);
    s->dial = NULL;
    session_drop_held(s);
    session_drop_question(s);
    if (s->key_pid != 0) registry_key_drop(s->ws->d->registry, s->key_pid);
    s->key_pid = 0;
    roster_leave(s->ws->d->roster, s->entry);
    s->entry = NULL;
    if (was_open) {
        session_schema_leave(s);
        record_close(s);
    } else
        log_event(ev->close.rc == GH_OK ? LOG_INFO : LOG_WARN, "session.end", "session", s->id, "src", s->src, "reason", s->why, "result",
                  gh_rc_name(ev->close.rc), NULL);
}

static void on_event(void *owner, const struct flt_event *ev) {
    struct session *s = owner;
    switch (ev->kind) {
    case FLT_EV_HELLO: session_on_hello(s, ev); break;
    case FLT_EV_LOGIN: session_on_login(s, ev); break;
    case FLT_EV_STATEMENT: session_on_statement(s, ev); break;
    case FLT_EV_UPSTREAM: session_on_upstream(s); break;
    case FLT_EV_UPSTREAM_TLS: session_on_upstream_tls(s); break;
    case FLT_EV_UPSTREAM_READY: session_on_upstream_ready(s, ev); break;
    case FLT_EV_UPSTREAM_LOST: session_on_upstream_lost(s, ev); break;
    case FLT_EV_RESULT: session_on_result(s, ev); break;
    case FLT_EV_OVER: session_cancel_own(s); break;
    case FLT_EV_CANCEL: session_cancel(s->ws, ev->cancel.pid, ev->cancel.secret, s->src); break;
    case FLT_EV_CLOSE: on_filter_close(s, ev); break;
    }
}

void session_close(struct session *s, const char *sqlstate, const char *message, const char *hint) {
    if (s->state == SESSION_OVER) return;
    if (s->filter == NULL || s->pump.closing) return;
    flt_terminate(s->filter, sqlstate, message, hint);
}

void session_renew(struct session *s) {
    struct snap *now = wstate_snap(s->ws);
    struct catalog_use use = s->catalog;
    if (now->generation == s->snap->generation && !identity_outdated(&use)) return;
    if (now->policy_generation != s->snap->policy_generation) {
        s->epoch++;
        s->rights++;
    }
    snap_unref(s->snap);
    s->snap = snap_ref(now);
    if (s->who == NULL) return;
    const struct conf_database *db = conf_database(now->conf, s->db->name);
    if (db != NULL) s->lacking = db->require != s->require && s->require != CONF_BOTH;
    /* No role: the database is no longer offered. */
    struct pol_role *role = db == NULL ? NULL : identity_role(s->ws->d->catalogs, now, s->who, s->db, &use);
    session_take_role(s, role, &use);
}

static const char *end_text(const struct session *s) {
    return atomic_load(&s->ws->d->replaced) ? "terminating connection: this gatehouse was replaced by a newer one, and its time is over"
                                            : "terminating connection: gatehouse is shutting down";
}

void session_idle_check(struct session *s) {
    if (!s->draining || s->filter == NULL || s->pump.closing || s->q->open) return;
    if (s->state == SESSION_OPEN && !flt_idle(s->filter)) return;
    s->why = "drained";
    session_close(s, "57P01", end_text(s), "Connect again.");
    pump_run(&s->pump);
}

/* --- the PROXY header --- */

static bool start_filter(struct session *s) {
    static const struct flt_kv pins[] = {{"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}, {"server_encoding", "UTF8"}};
    const struct conf_limits *l = &s->snap->conf->limits;
    struct flt_conf conf = {.limits = {.token = l->token + 64,
                                       .statement = l->statement,
                                       .params = l->params,
                                       .reply = l->reply,
                                       .statements = l->prepared,
                                       .portals = l->portals,
                                       .inflight = l->inflight},
                            .ctx_free = session_prep_free,
                            .pins = pins,
                            .npins = sizeof pins / sizeof *pins};
    s->filter = s->mysql ? my_filter_new(&conf) : pg_filter_new(&conf);
    if (s->filter == NULL) return false;
    s->pump = (struct pump){.base = s->ws->base,
                            .filter = s->filter,
                            .scratch = s->ws->scratch,
                            .scratch_size = sizeof s->ws->scratch,
                            .mark = l->buffer,
                            .m = s->ws->m,
                            .owner = s,
                            .on_event = on_event,
                            .on_tls = session_on_tls,
                            .on_closed = on_closed};
    pump_init(&s->pump);
    s->state = SESSION_LOGIN;
    int fd = s->fd;
    s->fd = -1;
    return pump_attach(&s->pump, FLT_CLIENT, fd);
}

static void refuse_ticket(struct session *s, const struct ticket *t) {
    m_add(s->ws->m, M_SESSIONS_NOT_ADMITTED, 1);
    s->ended_counted = true;
    log_event(LOG_WARN, "session.refused", "session", s->id, "src", s->src, "reason", t->reason, NULL);
    s->why = "refused";
    if (strcmp(t->reason, "draining") == 0)
        session_close(s, "57P03", "gatehouse is shutting down", "Connect again in a moment.");
    else if (strcmp(t->reason, "sessions") == 0)
        session_close(s, "53300", "too many sessions", "Close sessions that you do not need, or try again later.");
    else if (strcmp(t->reason, "blocked") == 0)
        session_close(s, "28000", "this address is blocked", "Ask who runs this gate.");
    else if (strcmp(t->reason, "certificate-lost") == 0)
        session_close(s, "57P03", "gatehouse was replaced by a newer one at this moment", "Connect again.");
    else
        session_close(s, "28000", "this connection is not admitted", "Ask who runs this gate; the reason is in its log.");
}

/* What HAProxy's configuration lacks, when it is that; NULL for what an attacker or a passing trouble may cause. */
static const char *header_todo(const char *why) {
    if (strcmp(why, "no ticket") == 0)
        return "the frontend needs \"unique-id-format %[var(txn.gh.ticket)]\", and the server line \"send-proxy-v2 proxy-v2-options "
               "unique-id,ssl\": compare with haproxy-conf/gatehouse-pg.cfg";
    if (strcmp(why, "PROXY header") == 0)
        return "the server line needs \"send-proxy-v2 proxy-v2-options unique-id,ssl\", and nothing but HAProxy may connect here: compare "
               "with "
               "haproxy-conf/gatehouse-pg.cfg";
    if (strcmp(why, "local connection") == 0 || strcmp(why, "closed before its header") == 0)
        return "HAProxy checks this socket: write \"track gh_agent/gatehouse\" on the server line in place of \"check\"";
    return NULL;
}

static void header_failed(struct session *s, const char *why, const char *detail) {
    const char *todo = header_todo(why);
    unsigned more = 0;
    m_count(s->ws->m, M_PAYLOAD_REFUSED, detail != NULL && strcmp(why, "ticket") == 0 ? log_fmt("ticket: %s", detail) : why, NULL, NULL);
    if (todo == NULL)
        log_event(LOG_WARN, "payload.refused", "src", s->src, "reason", why, "detail", detail, NULL);
    else if (log_due(log_fmt("payload.refused %s", why), &more))
        log_event(LOG_WARN, "payload.refused", "src", s->src, "reason", why, "detail", detail, "do", todo, "repeated", log_fmt("%u", more),
                  NULL);
    drop_head(s);
    session_gone(s);
}

static void header_done(struct session *s, const struct pp2_header *h, size_t consumed) {
    struct daemon *d = s->ws->d;
    struct ticket t;
    if (h->command != PP2_PROXY || !h->has_unique_id ||
        h->unique_id_len == 0) { /* HAProxy sends an empty one when it has no format for it */
        header_failed(s, h->command != PP2_PROXY ? "local connection" : "no ticket", NULL);
        return;
    }
    memcpy(s->src, h->src, sizeof s->src);
    s->src_port = h->src_port;
    enum ticket_rc rc = ticket_check(d->key, d->used, h->unique_id, h->unique_id_len, h->src, h->src_port, worker_now_ms(), &t);
    if (rc != TICKET_OK) {
        header_failed(s, "ticket", ticket_rc_name(rc));
        return;
    }
    memcpy(s->id, t.sid, sizeof s->id);
    s->mysql = t.mysql;
    s->admit = admits_take(d->admits, s->id, worker_now_ms());
    event_free(s->head_ev);
    s->head_ev = NULL;
    if (!start_filter(s)) {
        s->state = SESSION_OVER;
        s->pump.closed = s->pump.closing = true;
        header_failed(s, "out of memory", NULL);
        return;
    }
    pump_prefill(&s->pump, buf_at(&s->head) + consumed, buf_used(&s->head) - consumed);
    buf_free(&s->head);
    if (s->draining || atomic_load(&d->draining))
        refuse_ticket(s, &(struct ticket){.reason = "draining"});
    else if (!s->counted)
        refuse_ticket(s, &(struct ticket){.reason = "sessions"});
    else if (ord_blocked(d->orders, &(struct ord_subject){.src = s->src}, NULL))
        refuse_ticket(s, &(struct ticket){.reason = "blocked"});
    else if (t.verdict != TICKET_ALLOW)
        refuse_ticket(s, &t);
    else if (t.certificate && (s->admit == NULL || s->admit->cert == NULL)) /* a daemon that was replaced has learnt it */
        refuse_ticket(s, &(struct ticket){.reason = "certificate-lost"});
    pump_run(&s->pump);
}

static void on_head(evutil_socket_t fd, short what, void *arg) {
    struct session *s = arg;
    struct pp2_header h;
    size_t consumed = 0;
    struct gh_err err = {0};
    (void)what;
    /* Never more than a header's worth: what follows it waits in the socket. */
    uint8_t *room = buf_reserve(&s->head, PP2_HEADER_MAX - buf_used(&s->head));
    ssize_t n = room == NULL ? -1 : recv((int)fd, room, PP2_HEADER_MAX - buf_used(&s->head), 0);
    if (n < 0 && room != NULL && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        header_failed(s, "closed before its header", NULL);
        return;
    }
    buf_commit(&s->head, (size_t)n);
    enum gh_rc rc = pp2_decode(buf_at(&s->head), buf_used(&s->head), &h, &consumed, &err);
    if (rc == GH_OK)
        header_done(s, &h, consumed);
    else if (rc != GH_NEED_MORE || buf_used(&s->head) >= PP2_HEADER_MAX)
        header_failed(s, "PROXY header", err.reason);
}

void session_accept(struct wstate *ws, int fd) {
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL) {
        close(fd);
        return;
    }
    s->ws = ws;
    s->snap = snap_ref(wstate_snap(ws));
    s->serial = ++ws->next_serial;
    s->refs = 1;
    session_no_question(s);
    s->epoch = 1;
    s->rights = 2; /* 1 is older than any */
    s->catalog.rewrites = true;
    s->fd = fd;
    s->head = BUF_INIT(PP2_HEADER_MAX);
    s->started_ms = worker_now_ms();
    s->next = ws->sessions;
    if (s->next != NULL) s->next->link = &s->next;
    s->link = &ws->sessions;
    ws->sessions = s;
    s->counted = registry_enter(ws->d->registry, s->snap->conf->limits.sessions);
    s->head_ev = event_new(ws->base, fd, EV_READ | EV_PERSIST, on_head, s);
    if (s->head_ev == NULL || event_add(s->head_ev, NULL) != 0) header_failed(s, "out of memory", NULL);
}

/* --- time and the end --- */

static void tell_roster(struct session *s) {
    enum roster_state state = s->q->open && s->q->hold_until_ms != 0 ? ROSTER_WAITS
                              : s->q->open                           ? ROSTER_JUDGED
                              : s->run_count > 0                     ? ROSTER_RUNNING
                                                                     : ROSTER_IDLE;
    roster_tell(s->entry, state, s->statements, s->refused, s->rows);
}

static void tick(struct session *s, uint64_t now) {
    const struct conf_limits *l = &s->snap->conf->limits;
    if (s->state == SESSION_HEADER) {
        if (s->fd >= 0 && now - s->started_ms > l->startup_ms) header_failed(s, "no header in time", NULL);
        return;
    }
    if (s->bye_ms != 0 && now > s->bye_ms && s->state == SESSION_LOGIN) {
        s->why = "login refused";
        session_close(s, "57P05", "login took too long", NULL);
        pump_run(&s->pump);
    } else if (s->state == SESSION_LOGIN && s->held.timer == NULL && now - s->started_ms > l->startup_ms) {
        s->why = "login took too long";
        session_close(s, "57P05", "login took too long", NULL);
        pump_run(&s->pump);
    } else if (s->up_deadline_ms != 0 && now > s->up_deadline_ms) {
        s->up_deadline_ms = 0;
        s->why = "the database did not finish the login";
        session_upstream_failed(s, "timeout", NULL, "login timed out", "see whether the database hangs, or raise limits.upstream_connect");
        session_close(s, "08006", "the database does not answer", "Try again later.");
        pump_run(&s->pump);
    } else if (l->stall_ms != 0 && pump_stalled(&s->pump, now) > l->stall_ms) {
        s->why = "a peer takes no bytes";
        session_close(s, "57P05", "terminating connection because a peer takes no bytes", "Read what the server answers.");
        pump_run(&s->pump); /* its end is recorded */
        pump_abort(&s->pump);
    } else if (l->idle_ms != 0 && s->state == SESSION_OPEN && !s->q->open && s->run_count == 0 && now - s->pump.active_ms > l->idle_ms) {
        s->why = "idle for too long";
        session_close(s, "57P05", "terminating connection because it was idle for too long", "Connect again.");
        pump_run(&s->pump);
    }
    if (s->state == SESSION_OPEN && !s->q->open && s->run_count == 0 && now - s->pump.active_ms > SPARE_MS) {
        flt_spare(s->filter);
        pump_spare(&s->pump);
    }
    if (session_blocked(s)) pump_run(&s->pump);
    if (s->glass != NULL && s->state == SESSION_OPEN && now >= s->glass_until_ms) session_glass_over(s);
    tell_roster(s);
    session_ask_tick(s, now);
    session_schema_tick(s);
    session_limit_tick(s, worker_now_us());
    session_idle_check(s);
    pump_tick(&s->pump, now);
}

void session_sweep(struct wstate *ws, uint64_t now_ms) {
    for (struct session *s = ws->sessions; s != NULL; s = s->next) tick(s, now_ms);
}

void session_end_all(struct wstate *ws, bool all) {
    for (struct session *s = ws->sessions; s != NULL; s = s->next) {
        s->draining = true;
        if (s->state == SESSION_HEADER) {
            if (all && s->fd >= 0) header_failed(s, "shutting down", NULL);
            continue;
        }
        session_idle_check(s);
        if (!all) continue;
        if (s->why == NULL) s->why = "shut down";
        session_close(s, "57P01", end_text(s), "Connect again.");
        pump_run(&s->pump);
    }
}

size_t session_without_ticket(struct wstate *ws, bool close) {
    size_t n = 0;
    for (struct session *s = ws->sessions; s != NULL; s = s->next) {
        if (s->state != SESSION_HEADER || s->fd < 0) continue;
        if (close)
            header_failed(s, "no header in time for an upgrade", NULL);
        else
            n++;
    }
    return n;
}

/* --- an administrator --- */

struct kill {
    struct wmsg msg;
    uint64_t serial;
    uint32_t uid;
    char id[SID_SIZE];
};

static void run_kill(struct worker *w, struct wmsg *m) {
    const struct kill *k = (struct kill *)(void *)m;
    struct wstate *ws = worker_data(w);
    struct session *s = ws->sessions;
    while (s != NULL && s->serial != k->serial) s = s->next;
    if (s != NULL && s->state == SESSION_OPEN && strcmp(s->id, k->id) == 0) {
        struct rec r = {0};
        rec_str(&r, "session", s->id);
        rec_u64(&r, "uid", k->uid);
        rec_append(ws->d->led, &r, LED_SESSION, s->id, "session.killed", NULL, NULL);
        rec_append(ws->d->led, &r, LED_SESSIONS, NULL, "session.killed", NULL, NULL);
        log_event(LOG_WARN, "session.killed", "session", s->id, "principal", s->who->principal, "uid", log_fmt("%u", (unsigned)k->uid),
                  NULL);
        s->why = "killed by an administrator";
        session_cancel_last(s);
        session_close(s, "57P01", "terminating connection due to administrator command",
                      "Ask who runs this gate before you connect again.");
        pump_run(&s->pump);
    }
    free(m);
}

bool session_kill(const struct registry_target *target, const char *id, uint32_t uid) {
    struct kill *k = calloc(1, sizeof *k);
    if (k == NULL) return false;
    *k = (struct kill){.msg.run = run_kill, .serial = target->serial, .uid = uid};
    snprintf(k->id, sizeof k->id, "%s", id);
    worker_post(target->worker, &k->msg);
    return true;
}

static void closed_late(void *owner) { (void)owner; }

void session_drop_all(struct wstate *ws) {
    for (struct session *s = ws->sessions, *next; s != NULL; s = next) {
        next = s->next;
        if (s->filter != NULL) {
            s->pump.on_closed = closed_late;
            pump_abort(&s->pump);
        }
        if (s->refs == 1) session_free(s); /* of one that waits for it the ledger holds the address: see session_free_all() */
    }
}

void session_free_all(struct wstate *ws) {
    while (ws->sessions != NULL) session_free(ws->sessions);
}
