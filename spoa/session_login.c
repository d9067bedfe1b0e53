/* Who is it, and may they come in at all. */
#include <config.h>

#include "spoa/session_int.h"

#include "spoa/clock.h"
#include "spoa/roster.h"
#include "spoa/statement.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One text for every cause: what was wrong is for the log, not for who guesses. It depends on what was asked for alone. */
struct bad_text {
    const char *sqlstate, *message, *hint;
};
static const struct bad_text bad_texts[] = {
    [CONF_TOKEN] = {"28P01", "password authentication failed: the password must be a valid OIDC access token (JWT) for this gateway",
                    "Get a fresh token from your identity provider and give it as the password."},
    [CONF_CERTIFICATE] = {"28000", "this database needs a valid client certificate",
                          "Connect with the certificate that was issued to you (sslcert and sslkey)."},
    [CONF_BOTH] =
        {"28P01",
         "authentication failed: this database needs a valid OIDC access token (JWT) and a client certificate of the same principal",
         "Get a fresh token from your identity provider, and connect with the certificate that was issued to you."},
};
static const struct bad_text bad_bearer = {
    "28P01", "authentication failed: the bearer token must be a valid OIDC access token (JWT) for this gateway",
    "Get a fresh token from your identity provider."};
#define BYE_MS 5000u /* for a client of OAUTHBEARER to say that it has read why */

/* For a cause that who runs the gate can end; NULL for others. */
static const char *token_todo(enum jwt_rc rc, const struct flt_event *ev) {
    switch (rc) {
    case JWT_NOT_YET:
        return log_fmt("the token begins %lld s in this machine's future: check NTP here (timedatectl) and at the issuer, or raise "
                       "identity.issuers.leeway",
                       (long long)jwt_seconds_ahead(ev->login.token, ev->login.token_len, clock_seconds()));
    case JWT_NO_KEYS: return "see the log line keys.failed of the issuer";
    case JWT_UNKNOWN_KEY: return "if the issuer has new keys and jwks_file names a file, fetch its JWK set again and reload";
    case JWT_BAD_ISSUER: return "if this token should be good, add its iss, byte for byte, to identity.issuers";
    case JWT_BAD_AUDIENCE: return "if this token should be good, add its aud to identity.issuers.audience";
    case JWT_ALG_REFUSED: return "if this token should be good, add its alg to identity.issuers.algorithms";
    case JWT_CLAIM_REFUSED: return "if this token should be good, compare its claims with identity.issuers.required_claims";
    case JWT_BAD_ATTRIBUTE: return "set identity.issuers.attributes to claims that are texts, whole numbers or booleans";
    case JWT_BAD_PRINCIPAL: return "set identity.issuers.principal_claim to the claim that names the user";
    case JWT_BAD_GROUPS:
        return "set identity.issuers.groups_claim to a claim that is a list of texts, or one text with blanks between; a token that "
               "only points to its groups (_claim_names, hasgroups) needs fewer of them, or roles";
    case JWT_TOO_LONG: return "raise limits.token";
    case JWT_BAD_BINDING: return "a token may be bound to a client certificate (cnf with x5t#S256), and to nothing else";
    default: return NULL;
    }
}

static const struct cert *cert_of(const struct session *s) { return s->admit != NULL ? s->admit->cert : NULL; }

static struct identity_refusal refusal_of(const struct session *s, const struct flt_event *ev, const char *sqlstate, const char *reason,
                                          const char *todo) {
    return (struct identity_refusal){.session = s->id,
                                     .src = s->src,
                                     .src_port = s->src_port,
                                     .user = ev->login.user,
                                     .database = ev->login.database,
                                     .principal = s->who != NULL ? s->who->principal : NULL,
                                     .cert_subject = cert_of(s) != NULL ? cert_of(s)->subject : NULL,
                                     .sqlstate = sqlstate,
                                     .reason = reason,
                                     .todo = todo};
}

/* Whoever is refused is no session that counts against limits.sessions, however long its connection lasts. */
static void uncount(struct session *s) {
    if (s->counted) registry_leave(s->ws->d->registry);
    s->counted = false;
}

static void refused(struct session *s) {
    m_add(s->ws->m, M_SESSIONS_LOGIN_REFUSED, 1);
    s->ended_counted = true;
    s->why = "login refused";
    uncount(s);
}

/* A good credential that does not help here. */
static void refuse_for(struct session *s, const struct flt_event *ev, const char *sqlstate, const char *reason, const char *message,
                       const char *detail, const char *hint, const char *todo) {
    const struct identity_refusal r = refusal_of(s, ev, sqlstate, reason, todo);
    identity_record_refusal(s->ws->d->led, &r);
    refused(s);
    /* A reason that a message makes is no label: it may name what the client sent. */
    m_count(s->ws->m, M_LOGINS_REFUSED, reason == message && strcmp(reason, "out of memory") != 0 ? "startup setting" : reason, NULL, NULL);
    flt_login_refuse(s->filter, sqlstate, message, detail, hint);
}

static void refuse(struct session *s, const struct flt_event *ev, const char *sqlstate, const char *reason, const char *message,
                   const char *detail, const char *hint) {
    refuse_for(s, ev, sqlstate, reason, message, detail, hint, NULL);
}

static bool find_database(struct session *s, const struct flt_event *ev) {
    s->db = conf_asked(s->snap->conf, s->mysql ? CONF_MYSQL : CONF_POSTGRESQL, ev->login.database, ev->login.user);
    if (s->db == NULL) {
        refuse(s, ev, "3D000", "unknown database", "there is no such database here", NULL,
               "Check the database's name in the connection settings.");
        return false;
    }
    s->login = snap_ref(s->snap);
    s->role = identity_role(s->ws->d->catalogs, s->snap, s->who, s->db, &s->catalog);
    if (s->role == NULL) {
        refuse(s, ev, "53200", "out of memory", "out of memory", NULL, NULL);
        return false;
    }
    if (!pol_role_any(s->role)) {
        char detail[640];
        identity_no_rule(s->who, s->db->name, detail, sizeof detail);
        refuse_for(s, ev, "28000", "no rule for this principal", "the policy gives you no access to this database", detail,
                   "Ask who keeps the policy for access.", identity_no_rule_todo(s->who));
        return false;
    }
    return true;
}

static void record_open(struct session *s) {
    const struct cert *cert = cert_of(s);
    const struct identity_session open = {.session = s->id,
                                          .sni = s->admit != NULL && s->admit->sni[0] != '\0' ? s->admit->sni : NULL,
                                          .alpn = s->admit != NULL && s->admit->alpn[0] != '\0' ? s->admit->alpn : NULL,
                                          .cert_subject = cert != NULL ? cert->subject : NULL,
                                          .cert_fingerprint = cert != NULL ? cert->fingerprint : NULL,
                                          .user = s->user,
                                          .src = s->src,
                                          .src_port = s->src_port,
                                          .application_name = startup_get(s->startup, "application_name"),
                                          .groups = s->groups,
                                          .database = s->db->name,
                                          .who = s->who};
    identity_record_open(s->ws->d->led, &open, s->snap, s->role);
}

static void enter_roster(struct session *s) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const struct roster_info info = {.id = s->id,
                                     .principal = s->who->principal,
                                     .issuer = s->who->issuer,
                                     .groups = s->groups,
                                     .database = s->db->name,
                                     .user = s->user,
                                     .src = s->src,
                                     .src_port = s->src_port,
                                     .application_name = startup_get(s->startup, "application_name"),
                                     .started_ms = (uint64_t)now.tv_sec * 1000u,
                                     .target = {s->ws->w, s->serial}};
    s->entry = roster_enter(s->ws->d->roster, &info);
}

static void accept_login(struct session *s) {
    struct flt_login_ok ok = {0};
    struct registry_target target = {s->ws->w, s->serial};
    if (s->mysql)
        session_my_register(s);
    else if (registry_key_new(s->ws->d->registry, &target, &ok.pid, &ok.secret))
        s->key_pid = ok.pid;
    const char *user = conf_login(s->db, s->who->groups, s->who->ngroups)->user;
    struct paramset *reported = s->mysql ? NULL : paramcache_get(s->ws->d->params, s->db->name, user);
    if (reported != NULL && startup_overlay(s->startup, reported)) {
        ok.params = reported->kv;
        ok.nparams = reported->n;
    }
    s->state = SESSION_OPEN;
    m_add(s->ws->m, M_SESSIONS_OPENED, 1);
    record_open(s);
    enter_roster(s);
    flt_login_accept(s->filter, &ok);
    free(reported);
}

static void admit(struct session *s, const struct flt_event *ev) {
    struct pol_verdict why;
    s->groups = identity_groups(s->who);
    s->user = strdup(ev->login.user);
    if (s->groups == NULL || s->user == NULL) {
        refuse(s, ev, "53200", "out of memory", "out of memory", NULL, NULL);
        return;
    }
    if (!find_database(s, ev)) return;
    struct ord_block block;
    s->orders = ord_epoch(s->ws->d->orders); /* before */
    if (ord_blocked(s->ws->d->orders, &(struct ord_subject){s->who->principal, s->id, s->src, s->db->name}, &block)) {
        refuse(s, ev, "28000", "blocked", log_fmt("this %s is blocked: %.400s", ord_what_name(block.what), block.reason), NULL,
               "Ask who runs this gate.");
        return;
    }
    s->startup = startup_read(s->role, s->db, ev->login.params, ev->login.nparams, &why);
    if (s->startup == NULL) {
        refuse(s, ev, why.sqlstate, why.message, why.message, why.detail[0] != '\0' ? why.detail : NULL,
               why.hint[0] != '\0' ? why.hint : NULL);
        return;
    }
    s->who_counted = registry_principal_enter(s->ws->d->registry, s->who->principal, s->snap->conf->limits.sessions_per_principal);
    if (!s->who_counted) {
        refuse(s, ev, "53300", "sessions_per_principal", "too many sessions of yours", NULL, "Close sessions that you do not need.");
        return;
    }
    if (!s->counted) s->counted = registry_enter(s->ws->d->registry, s->snap->conf->limits.sessions);
    if (!s->counted) {
        refuse(s, ev, "53300", "sessions", "too many sessions", NULL, "Close sessions that you do not need, or try again later.");
        return;
    }
    uint64_t refused; /* refused logins are in a stream that is bounded: they need no report */
    if (quota_take(s->ws->d->quotas, s->who->principal, 4 * QUOTA_EVENT, s->snap->conf->limits.audit_rate, worker_now_ms(), &refused) !=
        QUOTA_OK) {
        refuse(s, ev, "53400", "audit_rate", STMT_OVER_QUOTA, NULL, STMT_OVER_QUOTA_HINT);
        return;
    }
    accept_login(s);
}

/* --- bad credentials: one answer, and not at once --- */

static const struct bad_text *bad_text(const struct session *s) {
    return s->oauthbearer && s->require == CONF_TOKEN ? &bad_bearer : &bad_texts[s->require];
}

static void answer_bad(struct session *s) {
    const struct bad_text *t = bad_text(s);
    if (s->oauthbearer) s->bye_ms = worker_now_ms() + BYE_MS;
    flt_login_refuse(s->filter, t->sqlstate, t->message, NULL, t->hint);
}

static void bad_credential(struct session *s, const struct flt_event *ev, const char *reason, const char *todo) {
    const struct identity_refusal r = refusal_of(s, ev, bad_text(s)->sqlstate, reason, todo);
    uint64_t wait_ms = session_bad_credential(s, &r);
    refused(s);
    if (s->held.late || !session_hold(s, wait_ms, answer_bad)) answer_bad(s);
}

#define CERT_TODO "if this certificate should be good, hold its issuer and its names against identity.certificates"

static void live_no_longer(struct jwt_identity *who, const struct cert *c) {
    if (c->not_after < who->exp) who->exp = c->not_after;
    if (c->not_after < who->valid_until) who->valid_until = c->not_after;
}

bool session_bind(struct session *s, struct jwt_identity *who, const char **why) {
    const struct cert *c = cert_of(s);
    bool bound = who->bound_to != NULL;
    *why = "token bound to another client certificate";
    if (bound && (c == NULL || strcmp(c->thumbprint, who->bound_to) != 0)) return false;
    if (bound) live_no_longer(who, c);
    if (s->require != CONF_BOTH) return true;
    *why = "no client certificate";
    struct jwt_identity *shown = c != NULL ? cert_identify(&s->snap->conf->certs, c, clock_seconds(), why) : NULL;
    if (shown == NULL) return false;
    bool same = bound || strcmp(shown->principal, who->principal) == 0;
    jwt_identity_free(shown);
    *why = "client certificate of another principal";
    if (same) live_no_longer(who, c);
    return same;
}

static enum conf_require required(const struct session *s, const struct flt_event *ev) {
    const struct conf_database *db = conf_asked(s->snap->conf, s->mysql ? CONF_MYSQL : CONF_POSTGRESQL, ev->login.database, ev->login.user);
    return db != NULL ? db->require : s->snap->conf->require;
}

void session_on_hello(struct session *s, const struct flt_event *ev) {
    session_renew(s);
    const char *where = s->snap->conf->oauth_where;
    s->require = required(s, ev);
    if (s->require == CONF_CERTIFICATE) {
        flt_login_ask(s->filter, FLT_ASK_NOTHING, NULL);
        return;
    }
    int wish = startup_auth(ev->login.params, ev->login.nparams);
    s->oauthbearer = where != NULL && !s->mysql && (wish == 1 || (wish < 0 && s->admit != NULL && s->admit->oauthbearer));
    flt_login_ask(s->filter, s->oauthbearer ? FLT_ASK_OAUTHBEARER : FLT_ASK_PASSWORD, where);
}

static void verify_certificate(struct session *s, const struct flt_event *ev) {
    const char *why = "no client certificate";
    const struct cert *c = cert_of(s);
    s->who = c != NULL ? cert_identify(&s->snap->conf->certs, c, clock_seconds(), &why) : NULL;
    if (s->who != NULL)
        admit(s, ev);
    else
        bad_credential(s, ev, why,
                       c != NULL ? CERT_TODO : "HAProxy asks for one only with \"ca-file\" and \"verify optional\" on its bind line");
}

static void verify(struct session *s, const struct flt_event *ev);

static void run_keys(struct worker *w, struct wmsg *m) {
    struct session *s = (struct session *)(void *)((char *)m - offsetof(struct session, keys.wait.msg));
    (void)w;
    if (s->state == SESSION_LOGIN) {
        verify(s, &s->keys.ev);
        pump_run(&s->pump);
    }
    session_unref(s);
}

/* The key was not there: true when it is being looked for at the issuer, after which verify() comes again. */
static bool wait_for_keys(struct session *s, const struct flt_event *ev, struct keysource *source) {
    if (source == NULL || s->keys.done) return false;
    s->keys.done = true;
    s->keys.ev = *ev;
    s->keys.wait.msg.run = run_keys;
    session_ref(s);
    if (keysource_wait(source, &s->keys.wait, s->ws->w)) return true;
    session_unref(s);
    return false;
}

static void verify(struct session *s, const struct flt_event *ev) {
    struct jwt_why because = {NULL, NULL};
    const char *why;
    char reason[JWT_REASON];
    session_renew(s);
    if (required(s, ev) != s->require) {
        bad_credential(s, ev, "the configuration changed during the login", NULL);
        return;
    }
    if (s->require == CONF_CERTIFICATE) {
        verify_certificate(s, ev);
        return;
    }
    enum jwt_rc rc = ev->login.too_long
                         ? JWT_TOO_LONG
                         : jwt_verify_from(&s->snap->conf->jwt, ev->login.token, ev->login.token_len, clock_seconds(), &s->who, &because);
    if (rc == JWT_OK && !session_bind(s, s->who, &why))
        bad_credential(s, ev, why, cert_of(s) != NULL ? CERT_TODO : NULL);
    else if (rc == JWT_OK)
        admit(s, ev);
    else if (!wait_for_keys(s, ev, because.source))
        bad_credential(s, ev, jwt_reason(rc, &because, reason, sizeof reason), token_todo(rc, ev));
}

static void verify_late(struct session *s) {
    const struct flt_event ev = s->held.ev;
    if (throttle_spare(s->ws->d->throttle, worker_now_ms()))
        verify(s, &ev);
    else
        bad_credential(s, &ev, "not looked at: too many bad logins from this source", NULL);
}

void session_on_login(struct session *s, const struct flt_event *ev) {
    session_renew(s);
    if (ev->login.discovery) { /* not a bad credential, but a question */
        log_event(LOG_DEBUG, "login.discovery", "session", s->id, "src", s->src, NULL);
        m_add(s->ws->m, M_LOGINS_DISCOVERY, 1);
        s->ended_counted = true;
        s->why = "OAUTHBEARER discovery";
        uncount(s);
        answer_bad(s);
        return;
    }
    const struct conf_limits *l = &s->snap->conf->limits;
    const struct throttle_limits budgets = {l->login_failures, l->login_failures_per_name};
    if (!throttle_over(s->ws->d->throttle, &budgets, s->src, worker_now_ms())) {
        verify(s, ev);
        return;
    }
    s->held.ev = *ev;
    s->held.late = true;
    uncount(s);
    if (!session_hold(s, session_late_ms(s), verify_late)) verify_late(s);
}
