/* The session's own connection to the database's server, opened when the first statement needs it. */
#include "spoa/session_int.h"

#include "spoa/advice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define UPSTREAM_PARAMS (STARTUP_SETTINGS + 64)

void session_upstream_failed(struct session *s, const char *kind, const char *sqlstate, const char *why, const char *todo) {
    unsigned more;
    m_count(s->ws->m, M_UPSTREAM_FAILED, s->db->name, kind, NULL);
    if (!log_due(log_fmt("upstream.failed %s %s %s", s->db->name, kind, sqlstate != NULL ? sqlstate : why), &more)) return;
    log_event(LOG_ERROR, "upstream.failed", "session", s->id, "database", s->db->name, "upstream", s->db->where, "sqlstate", sqlstate,
              "reason", why, "do", todo, "repeated", log_fmt("%u", more), NULL);
}

static void unreachable(struct session *s, int err) {
    session_upstream_failed(s, "connect", NULL, err == 0 ? "not configured" : strerror(err), advice_connect(err));
    flt_upstream_failed(s->filter, "08001", "the database cannot be reached", "Nothing of this statement was executed. Try again later.",
                        false);
}

/* Neutral: the server's own words may hold the name of Gatehouse's role, and whoever is on the way could have written them. */
static void no_login(struct session *s) {
    flt_upstream_failed(s->filter, "08006", "the database behind Gatehouse refused or broke off Gatehouse's own login",
                        "Try again later; the operators of Gatehouse find the reason in its log.", false);
}

/* A second wall behind the verdict, for what code in the database does. */
static void only_read(struct flt_kv *kv, size_t *n) {
    static const char name[] = "default_transaction_read_only";
    size_t i = 0;
    while (i < *n && strcasecmp(kv[i].name, name) != 0) i++;
    if (i == UPSTREAM_PARAMS) return;
    kv[i] = (struct flt_kv){name, "on"};
    if (i == *n) ++*n;
}

static void on_dialed(void *arg, int fd, const struct conf_addr *addr, int err) {
    struct session *s = arg;
    struct flt_kv kv[UPSTREAM_PARAMS];
    struct startup_who who = {.session = s->id, .principal = s->who->principal, .groups = s->who->groups, .ngroups = s->who->ngroups};
    const struct conf_database *db = conf_database(s->snap->conf, s->db->name);
    s->dial = NULL;
    if (fd < 0 || db == NULL) {
        if (fd >= 0) close(fd);
        unreachable(s, fd < 0 ? err : 0);
        pump_run(&s->pump);
        return;
    }
    /* What the server is called and the credential are today's; the pins are those that the session's verdicts lean on. */
    struct flt_upstream up;
    bool ok = upstream_login(db, conf_login(db, s->who->groups, s->who->ngroups), &s->up_cred, &up);
    up.params = kv;
    up.nparams =
        s->mysql ? session_my_upstream(s, &who, kv, UPSTREAM_PARAMS) : startup_upstream(s->startup, s->db, &who, kv, UPSTREAM_PARAMS);
    if (s->role != NULL && pol_role_read_only(s->role)) only_read(kv, &up.nparams);
    if (!ok || !pump_attach(&s->pump, FLT_SERVER, fd)) {
        unreachable(s, ENOMEM);
    } else {
        s->up_addr = *addr;
        s->up_direct = db->tls_direct;
        tls_ctx_unref(s->up_tls);
        s->up_tls = tls_ctx_ref(db->tls);
        s->up_deadline_ms = worker_now_ms() + s->snap->conf->limits.upstream_connect_ms;
        flt_upstream_open(s->filter, &up);
    }
    pump_run(&s->pump);
}

static void open_upstream(struct session *s) {
    const struct conf_database *db = conf_database(s->snap->conf, s->db->name);
    if (db != NULL) s->dial = dial_start(s->ws->base, db->addrs, db->naddrs, s->snap->conf->limits.upstream_connect_ms, on_dialed, s);
    if (s->dial == NULL) unreachable(s, db == NULL ? 0 : ENOMEM);
}

void session_on_upstream(struct session *s) {
    s->up_retried = false;
    open_upstream(s);
}

static void no_tls(struct session *s, const char *why) {
    s->up_deadline_ms = 0;
    session_upstream_failed(s, "tls", NULL, why, advice_tls(why));
    pump_detach_server(&s->pump);
    flt_upstream_failed(s->filter, "08001", "Gatehouse has no connection to the database that it can trust",
                        "Nothing of this statement was executed. The operators of Gatehouse find the reason in its log.", false);
}

void session_on_upstream_tls(struct session *s) {
    const char *why = upstream_tls(&s->pump, s->up_tls);
    if (why != NULL) no_tls(s, why);
}

void session_on_tls(void *owner, const char *why) {
    struct session *s = owner;
    if (why != NULL)
        no_tls(s, why);
    else
        upstream_secured(&s->pump);
}

static void run_renewed(struct worker *w, struct wmsg *m) {
    struct session *s = (struct session *)(void *)((char *)m - offsetof(struct session, renewal));
    (void)w;
    if (s->state != SESSION_OVER && !s->pump.closing) {
        if (s->renewal.news == CRED_NEWER) {
            open_upstream(s);
        } else {
            session_upstream_failed(s, "lost", s->up_sqlstate, s->up_why, advice_database(s->up_sqlstate, s->up_why));
            no_login(s);
        }
        pump_run(&s->pump);
    }
    session_unref(s);
}

/* The credential may have been changed in the database and at its source: it is read again, and when it is another one the login is tried once more.
 * Nothing of the statement that waits has been sent. */
static void renew(struct session *s, const struct flt_event *ev) {
    s->up_retried = true;
    snprintf(s->up_sqlstate, sizeof s->up_sqlstate, "%s", ev->lost.sqlstate);
    snprintf(s->up_why, sizeof s->up_why, "%s", ev->lost.text);
    s->renewal = (struct cred_wait){.msg.run = run_renewed, .worker = s->ws->w};
    session_ref(s);
    cred_renew(s->ws->d->creds, s->up_cred.cred, s->up_cred.value, &s->renewal);
}

void session_on_upstream_lost(struct session *s, const struct flt_event *ev) {
    const char *tls = pump_tls_error(&s->pump);
    s->up_deadline_ms = 0;
    if (tls[0] != '\0') /* in TLS 1.3 the server looks at our certificate when the handshake is over for us */
        session_upstream_failed(s, "tls", NULL, tls, advice_tls(tls));
    else if (strncmp(ev->lost.sqlstate, "28", 2) == 0 && s->up_cred.cred != NULL && !s->up_retried) {
        pump_detach_server(&s->pump);
        renew(s, ev);
        return;
    } else
        session_upstream_failed(s, "lost", ev->lost.sqlstate, ev->lost.text, advice_database(ev->lost.sqlstate, ev->lost.text));
    pump_detach_server(&s->pump);
    no_login(s);
}

void session_on_upstream_ready(struct session *s, const struct flt_event *ev) {
    const char *why;
    s->up_deadline_ms = 0;
    if (s->mysql) {
        if (!session_my_ready(s, ev, &why)) {
            session_upstream_failed(s, "unknown", NULL, why, "Gatehouse reads statements as the server does, and must know it");
            session_close(s, "08006", "the database's server is none that Gatehouse knows", "Ask who runs this gate.");
        }
        upstream_cred_drop(&s->up_cred);
        return;
    }
    /* What this client asked for is not what the next one gets: only plain sessions teach the cache. */
    bool plain = true;
    for (size_t i = 0; i < s->startup->n; i++) plain = plain && strcasecmp(s->startup->kv[i].name, "application_name") == 0;
    if (plain) paramcache_put(s->ws->d->params, s->db->name, s->up_cred.user, ev->upstream.params, ev->upstream.nparams);
    upstream_cred_drop(&s->up_cred);
}
