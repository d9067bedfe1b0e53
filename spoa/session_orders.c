/* What orders mean to a session: one that is blocked ends, and what a grant allowed leaves only while the grant counts. */
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
    if (session_blocked(s)) {
        stmt_record_withheld(s->ws->d->led, s->id, q->id, "blocked");
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
