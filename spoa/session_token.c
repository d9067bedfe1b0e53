/* A fresh token in the session: SET gatehouse.token = 'TOKEN'. The token is verified as at login, must be of the same issuer and principal, and is
 * neither recorded nor forwarded; the server gets a statement that changes nothing in its place. */
#include <config.h>

#include "spoa/session_int.h"

#include "spoa/clock.h"
#include "spoa/renewal.h"
#include "spoa/statement.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One text for every cause, as at login. */
static void deny_token(struct session *s) {
    stmt_deny(&s->q->verdict, "28P01", "the token is not accepted: the session goes on with the one that it has",
              "Get a fresh token of the same user from your identity provider, and send SET gatehouse.token = 'TOKEN' again.");
}

static void bad_token(struct session *s, const char *reason) {
    const struct identity_refusal r = {.session = s->id,
                                       .src = s->src,
                                       .src_port = s->src_port,
                                       .user = s->user,
                                       .database = s->db->name,
                                       .principal = s->who->principal,
                                       .sqlstate = "28P01",
                                       .reason = reason};
    uint64_t wait_ms = session_bad_credential(s, &r);
    deny_token(s);
    if (!session_hold(s, wait_ms, session_refuse_statement)) session_refuse_statement(s);
}

/* False, and refused: with this identity the session could not have been opened. */
static bool may_stay(struct session *s, const struct jwt_identity *who) {
    if (s->role == NULL) { /* the database is no longer configured */
        stmt_deny(&s->q->verdict, "42501", "this database is no longer offered here", "Ask who keeps the configuration of this gate.");
        session_refuse_statement(s);
        return false;
    }
    struct pol_role *role = identity_role(NULL, s->snap, who, s->db, NULL);
    bool any = role != NULL && pol_role_any(role);
    if (role == NULL)
        stmt_deny(&s->q->verdict, "53200", "out of memory", "Try again later.");
    else if (!any) {
        stmt_deny(&s->q->verdict, "28000", "with this token's groups the policy gives you no access to this database",
                  "The session goes on with the token that it has. Ask who keeps the policy for access.");
        identity_no_rule(who, s->db->name, s->q->verdict.detail, sizeof s->q->verdict.detail);
    }
    pol_role_free(role);
    if (!any) session_refuse_statement(s);
    return any;
}

static void verify_token(struct session *s);

static void run_keys(struct worker *w, struct wmsg *m) {
    struct session *s = (struct session *)(void *)((char *)m - offsetof(struct session, keys.wait.msg));
    (void)w;
    if (s->q->open && s->q->id == s->keys.question) {
        verify_token(s);
        pump_run(&s->pump);
    }
    session_unref(s);
}

/* The key was not there: true when it is being looked for at the issuer, as at login. */
static bool wait_for_keys(struct session *s, struct keysource *source) {
    if (source == NULL || s->keys.done) return false;
    s->keys.done = true;
    s->keys.wait.msg.run = run_keys;
    session_ref(s);
    if (keysource_wait(source, &s->keys.wait, s->ws->w)) return true;
    session_unref(s);
    return false;
}

static void verify_token(struct session *s) {
    struct question *q = s->q;
    struct jwt_identity *who = NULL;
    struct jwt_why because = {NULL, NULL};
    char reason[JWT_REASON];
    session_renew(s);
    enum jwt_rc rc = jwt_verify_from(&s->snap->conf->jwt, s->keys.token, s->keys.token_len, clock_seconds(), &who, &because);
    if (rc != JWT_OK && wait_for_keys(s, because.source)) return;
    bool same = rc == JWT_OK && strcmp(who->principal, s->who->principal) == 0 && strcmp(who->issuer, s->who->issuer) == 0;
    const char *why =
        rc == JWT_OK ? "renewal with the token of another principal or issuer" : jwt_reason(rc, &because, reason, sizeof reason);
    if (!same || !session_bind(s, who, &why)) {
        bad_token(s, why);
    } else if (q->facts == NULL) {
        stmt_deny(&q->verdict, "53200", "out of memory", "Try again later.");
        session_refuse_statement(s);
    } else if (may_stay(s, who)) {
        q->fresh = who;
        who = NULL;
        q->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = ""};
        session_forward(s);
    }
    jwt_identity_free(who);
}

static void take_token(struct session *s, const char *token, size_t len) {
    struct question *q = s->q;
    q->renews = true;
    q->text = RENEWAL_SHOWN;
    q->len = sizeof RENEWAL_SHOWN - 1;
    q->facts = stmt_facts(s->ws->facts, RENEWAL_INSTEAD, sizeof RENEWAL_INSTEAD - 1, NULL, &q->err);
    s->keys.done = false;
    s->keys.question = q->id;
    s->keys.token = token;
    s->keys.token_len = len;
    verify_token(s);
}

/* The Parse of it was allowed; by now its token may be of no use. */
static void execute_token(struct session *s) {
    struct question *q = s->q;
    const struct jwt_identity *fresh = q->prep->fresh;
    q->renews = true;
    q->text = RENEWAL_SHOWN;
    q->len = sizeof RENEWAL_SHOWN - 1;
    q->facts = facts_ref_get(q->prep->facts);
    const struct jwt_identity *now = fresh != NULL ? fresh : s->who; /* executed before: it is in force, or an even newer one */
    if (clock_seconds() >= now->valid_until) {
        deny_token(s);
        session_refuse_statement(s);
    } else if (fresh == NULL || may_stay(s, fresh)) {
        q->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = ""};
        session_forward(s);
    }
}

bool session_on_token(struct session *s) {
    struct question *q = s->q;
    const char *token;
    size_t len;
    if (q->prep != NULL) {
        if (!q->prep->renews) return false;
        execute_token(s);
        return true;
    }
    switch (renewal_scan(q->text, q->len, &token, &len)) {
    case RENEWAL_NONE: return false;
    case RENEWAL_SET: take_token(s, token, len); return true;
    case RENEWAL_OTHER: break;
    }
    session_deny_token_name(s);
    return true;
}

void session_deny_token_name(struct session *s) {
    stmt_deny(&s->q->verdict, "42501", "gatehouse.token can only be set, by a statement of its own",
              "Send SET gatehouse.token = 'TOKEN', and nothing else in the same text.");
    session_refuse_statement(s);
}

bool session_names_token(const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++)
        for (size_t k = 0; k < f->stmts[i].nsettings; k++)
            if (renewal_is_name(f->stmts[i].settings[k].name)) return true;
    return false;
}

void session_token_renewed(struct session *s) {
    struct jwt_identity **from = s->q->kind == FLT_STMT_EXECUTE ? &s->q->prep->fresh : &s->q->fresh, *who = *from;
    if (who == NULL) return; /* executed once more */
    struct catalog_use use = {.rewrites = true};
    char *groups = identity_groups(who);
    struct pol_role *role = groups != NULL ? identity_role(s->ws->d->catalogs, s->snap, who, s->db, &use) : NULL;
    if (role == NULL) {
        free(groups); /* out of memory: the session keeps the token that it has */
        return;
    }
    *from = NULL;
    if (!jwt_identity_same(who, s->who)) {
        s->epoch++;
        s->rights++;
    }
    jwt_identity_free(s->who);
    session_take_role(s, role, &use);
    free(s->groups);
    s->who = who;
    s->groups = groups;
    identity_record_renewed(s->ws->d->led, s->id, s->db->name, s->who, s->groups);
}
