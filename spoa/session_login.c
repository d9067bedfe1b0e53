/* Who is it, and may they come in at all. */
#include <config.h>

#include "spoa/session_int.h"

#include "spoa/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* One text for every cause: what was wrong with a token is for the log, not for who guesses. */
#define BAD_CREDENTIAL      "password authentication failed: the password must be a valid OIDC access token (JWT) for this gateway"
#define BAD_CREDENTIAL_HINT "Get a fresh token from your identity provider and give it as the password."

static void record_failure(struct session *s, const struct flt_event *ev, const char *sqlstate, const char *reason) {
    struct rec r = {0};
    rec_str(&r, "session", s->id);
    rec_str(&r, "src", s->src);
    rec_u64(&r, "src_port", s->src_port);
    rec_str(&r, "user", ev->login.user);
    rec_str(&r, "database", ev->login.database);
    if (s->who != NULL) rec_str(&r, "principal", s->who->principal);
    rec_str(&r, "sqlstate", sqlstate);
    rec_str(&r, "reason", reason);
    rec_append(s->ws->d->led, &r, LED_AUTH, NULL, "login.refused", NULL, NULL);
    log_event(LOG_WARN, "login.refused", "session", s->id, "src", s->src, "user", ev->login.user, "database", ev->login.database,
              "principal", s->who != NULL ? s->who->principal : NULL, "sqlstate", sqlstate, "reason", reason, NULL);
}

static void refuse(struct session *s, const struct flt_event *ev, const char *sqlstate, const char *reason, const char *message,
                   const char *detail, const char *hint) {
    record_failure(s, ev, sqlstate, reason);
    s->why = "login refused";
    flt_login_refuse(s->filter, sqlstate, message, detail, hint);
}

static char *join_groups(const struct jwt_identity *who) {
    size_t size = 1;
    for (size_t i = 0; i < who->ngroups; i++) size += strlen(who->groups[i]) + 1;
    char *out = calloc(1, size), *at = out;
    for (size_t i = 0; out != NULL && i < who->ngroups; i++) {
        if (i > 0) *at++ = ',';
        at = stpcpy(at, who->groups[i]);
    }
    return out;
}

/* The settings that a session's verdicts lean on. */
static struct pol_role *make_role(struct session *s) {
    struct pol_subject who = {s->who->principal, (const char *const *)s->who->groups, s->who->ngroups};
    struct pol_pins pins = session_pins(s->db);
    return pol_role_new(s->snap->policy, &who, s->db->name, &pins);
}

static bool find_database(struct session *s, const struct flt_event *ev, const char *name) {
    s->db = conf_database(s->snap->conf, name);
    if (s->db == NULL) {
        refuse(s, ev, "3D000", "unknown database", "there is no such database here", NULL,
               "Check the database's name in the connection settings.");
        return false;
    }
    s->login = snap_ref(s->snap);
    s->role = make_role(s);
    if (s->role == NULL) {
        refuse(s, ev, "53200", "out of memory", "out of memory", NULL, NULL);
        return false;
    }
    if (!pol_role_any(s->role)) {
        char detail[640];
        snprintf(detail, sizeof detail, "You are %s; no rule of the policy names you, or a group of yours, for database \"%s\".",
                 s->who->principal, s->db->name);
        refuse(s, ev, "28000", "no rule for this principal", "the policy gives you no access to this database", detail,
               "Ask who keeps the policy for access.");
        return false;
    }
    return true;
}

static void record_open(struct session *s) {
    struct rec r = {0};
    rec_str(&r, "session", s->id);
    rec_str(&r, "principal", s->who->principal);
    rec_str(&r, "groups", s->groups);
    rec_str(&r, "issuer", s->who->issuer);
    rec_str(&r, "database", s->db->name);
    rec_str(&r, "user", s->user);
    rec_str(&r, "src", s->src);
    rec_u64(&r, "src_port", s->src_port);
    rec_str(&r, "application_name", startup_get(s->startup, "application_name"));
    rec_str(&r, "policy", pol_policy_hash(s->snap->policy));
    rec_str(&r, "mode", pol_role_observes(s->role) ? "observe" : "enforce");
    rec_u64(&r, "expires", (uint64_t)(s->who->exp > 0 ? s->who->exp : 0));
    rec_str(&r, "version", PACKAGE_VERSION);
    rec_append(s->ws->d->led, &r, LED_SESSION, s->id, "session.open", NULL, NULL);
    rec_append(s->ws->d->led, &r, LED_SESSIONS, NULL, "session.open", NULL, NULL);
    log_event(LOG_INFO, "session.open", "session", s->id, "principal", s->who->principal, "groups", s->groups, "database", s->db->name,
              "user", s->user, "src", s->src, "mode", pol_role_observes(s->role) ? "observe" : "enforce", NULL);
}

static void accept_login(struct session *s) {
    struct flt_login_ok ok = {0};
    struct registry_target target = {s->ws->w, s->serial};
    if (registry_key_new(s->ws->d->registry, &target, &ok.pid, &ok.secret)) s->key_pid = ok.pid;
    struct paramset *reported = paramcache_get(s->ws->d->params, s->db->name);
    if (reported != NULL && startup_overlay(s->startup, reported)) {
        ok.params = reported->kv;
        ok.nparams = reported->n;
    }
    s->state = SESSION_OPEN;
    record_open(s);
    flt_login_accept(s->filter, &ok);
    free(reported);
}

void session_on_login(struct session *s, const struct flt_event *ev) {
    struct pol_verdict why;
    session_renew(s);
    enum jwt_rc rc = jwt_verify(&s->snap->conf->jwt, ev->login.token, ev->login.token_len, (int64_t)time(NULL), &s->who);
    if (rc != JWT_OK) {
        refuse(s, ev, "28P01", jwt_rc_name(rc), BAD_CREDENTIAL, NULL, BAD_CREDENTIAL_HINT);
        return;
    }
    s->groups = join_groups(s->who);
    s->user = strdup(ev->login.user);
    if (s->groups == NULL || s->user == NULL) {
        refuse(s, ev, "53200", "out of memory", "out of memory", NULL, NULL);
        return;
    }
    if (!find_database(s, ev, ev->login.database[0] != '\0' ? ev->login.database : ev->login.user)) return;
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
    accept_login(s);
}
