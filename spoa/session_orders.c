/* What orders mean to a session: one that is blocked ends, and what a grant allowed leaves only while the grant counts. And what else may have changed while a
 * statement's record was under way. */
#include <config.h>

#include "spoa/session_int.h"

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

bool session_still_may(struct session *s) {
    struct question *q = s->q;
    uint64_t epoch = s->epoch;
    bool observes = s->role != NULL && pol_role_observes(s->role);
    if (session_blocked(s)) {
        stmt_record_withheld(s->ws->d->led, s->id, q->id, "blocked");
        return false;
    }
    if (wstate_snap(s->ws)->policy_generation != s->snap->policy_generation) {
        session_own_rule(q, &q->verdict);
        session_renew(s);
    }
    session_clock(s);
    const struct stmt_leaving leaving = {.role = s->role,
                                         .facts = q->facts != NULL ? facts_of(q->facts) : NULL,
                                         .err = &q->err,
                                         .verdict = &q->verdict,
                                         .same = s->epoch == epoch,
                                         .ours = q->renews || q->reason || q->breaks || q->instead != NULL || q->grants,
                                         .approved = q->approval[0] != '\0' || q->glass,
                                         .observed = q->observed,
                                         .shaped =
                                             !observes && (q->verdict.rewrite || (q->limits.rows | q->limits.bytes | q->limits.ms) != 0),
                                         .unpinned = s->unpinned,
                                         .glass_over = !session_glass_holds(s),
                                         .valid_until = q->renews ? INT64_MAX : s->who->valid_until,
                                         .grant = q->grant,
                                         .orders = s->ws->d->orders};
    const char *over = stmt_over(&leaving, &q->verdict);
    if (over == NULL) return true;
    stmt_record_withheld(s->ws->d->led, s->id, q->id, over);
    session_refuse_recorded(s);
    return false;
}
