/* What orders mean to a session: one that is blocked ends, and what a grant allowed leaves only while the grant counts. And what else may have changed while a
 * statement's record was under way. */
#include <config.h>

#include "spoa/session_int.h"

#include "spoa/clock.h"
#include "spoa/log.h"
#include "spoa/statement.h"

static void record(struct session *s, const struct ord_block *b) {
    struct rec r = {0};
    rec_str(&r, "session", s->id);
    rec_str(&r, "principal", s->who->principal);
    rec_str(&r, "order", b->id);
    rec_str(&r, "what", ord_what_name(b->what));
    rec_str(&r, "reason", b->reason);
    rec_append(s->ws->d->led, &r, LED_SESSION, s->id, "session.blocked", NULL, NULL);
    rec_append(s->ws->d->led, &r, LED_SESSIONS, NULL, "session.blocked", NULL, NULL);
    log_event(LOG_WARN, "session.blocked", "session", s->id, "principal", s->who->principal, "src", s->src, "what", ord_what_name(b->what),
              "order", b->id, "reason", b->reason, NULL);
}

void session_tell(const struct session *s, const char *event, const struct pol_verdict *v) {
    json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "session", s->id, "principal", s->who->principal, "database", s->db->name, "src", s->src);
    if (o != NULL && s->groups != NULL) json_object_set_new(o, "groups", json_string(s->groups));
    if (o != NULL && v != NULL) {
        json_object_set_new(o, "rule", json_string(v->rule));
        json_object_set_new(o, "sqlstate", json_string(v->sqlstate));
        json_object_set_new(o, "message", json_string(v->message));
    }
    if (o != NULL && s->glass != NULL) json_object_set_new(o, "reason", json_string(s->glass));
    hooks_tell(s->ws->d->hooks, event, o);
    json_decref(o);
}

bool session_blocked(struct session *s) {
    struct ord *o = s->ws->d->orders;
    struct ord_block block;
    uint64_t epoch = ord_epoch(o); /* before: a block meanwhile is looked at again */
    if (s->state != SESSION_OPEN || epoch == s->orders || s->pump.closing) return false;
    if (!ord_blocked(o, &(struct ord_subject){s->who->principal, s->id, s->src, s->db->name}, &block)) {
        s->orders = epoch;
        return false;
    }
    record(s, &block);
    s->why = "blocked";
    session_cancel_last(s);
    session_close(s, "57P01", log_fmt("terminating connection: this %s is blocked: %.400s", ord_what_name(block.what), block.reason),
                  "Ask who runs this gate before you connect again.");
    return true;
}

static bool limited(const struct pol_limits *l) { return l->rows != 0 || l->bytes != 0 || l->ms != 0; }

/* It runs what another statement said, which may be as old as the policy was. */
static bool names_others(const struct pol_facts *f) {
    bool yes = false;
    for (size_t i = 0; i < f->nstmts; i++) yes = yes || f->stmts[i].uses_statement != NULL || f->stmts[i].uses_portal != NULL;
    return yes;
}

/* Another policy, or the end of a rule's hours: what leaves now is what that allows, as it is. */
static bool policy_still_may(struct session *s) {
    struct question *q = s->q;
    struct pol_verdict now;
    uint64_t epoch = s->epoch;
    bool ours = q->renews || q->reason || q->breaks || q->instead != NULL || q->grants; /* the server gets nothing of the client's */
    if (wstate_snap(s->ws)->policy_generation != s->snap->policy_generation) {
        snprintf(q->rule, sizeof q->rule, "%s", q->verdict.rule);
        q->verdict.rule = q->rule;
        session_renew(s);
    }
    session_clock(s);
    if (s->epoch == epoch || ours) return true;
    if (s->role == NULL || q->approval[0] != '\0' || q->glass) return false;
    if (pol_role_observes(s->role)) return true;
    const struct pol_facts *f = q->facts != NULL ? facts_of(q->facts) : NULL;
    if (f == NULL || q->observed || names_others(f) || (s->unpinned && !pol_role_everything(s->role))) return false;
    stmt_judge(s->role, f, &q->err, &now);
    return now.effect == POL_ALLOW && !now.rewrite && !q->verdict.rewrite && !limited(&now.limits) && !limited(&q->limits);
}

bool session_still_may(struct session *s) {
    struct question *q = s->q;
    if (session_blocked(s)) {
        stmt_record_withheld(s->ws->d->led, s->id, q->id, "blocked");
        return false;
    }
    const char *over = !q->renews && clock_seconds() >= s->who->valid_until ? "the token has expired"
                       : !policy_still_may(s)                               ? "the policy has changed"
                                                                            : NULL;
    if (over != NULL) {
        stmt_record_withheld(s->ws->d->led, s->id, q->id, over);
        stmt_deny(&q->verdict, over[4] == 't' ? "28000" : "42501", log_fmt("%s in this moment", over),
                  "Nothing of this statement was executed. Send it again.");
        session_refuse_recorded(s);
        return false;
    }
    bool granted = q->grant[0] == '\0' || ord_grant_counts(s->ws->d->orders, q->grant);
    if (granted && session_glass_holds(s)) return true;
    stmt_record_withheld(s->ws->d->led, s->id, q->id, granted ? "the time of the broken glass is over" : "the grant has ended");
    stmt_deny(&q->verdict, "42501", "the time in which it could run without being asked about has ended in this moment",
              "Nothing of this statement was executed. Send it again: it is asked about then.");
    session_refuse_recorded(s);
    return false;
}
