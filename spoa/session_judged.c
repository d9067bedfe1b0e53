/* Verdicts that allowed a text, for when it comes again: the policy may have thousands of rules. Each is good for one epoch and one role of its session, and for
 * the very facts that it was about. */
#include "spoa/session_int.h"

#include "spoa/clock.h"
#include "spoa/statement.h"

#include <string.h>

void session_forget_judged(struct session *s) {
    for (size_t i = 0; i < SESSION_JUDGED; i++) facts_ref_put(s->judged.of[i].facts);
    memset(&s->judged, 0, sizeof s->judged);
}

void session_clock(struct session *s) {
    if (s->role == NULL || !pol_role_at(s->role, clock_seconds())) return;
    s->epoch++;
    s->rights++;
}

/* The new role knows nothing of the moment in which the last verdict was given, so the old one is told what the clock says first. */
void session_take_role(struct session *s, struct pol_role *role, const struct catalog_use *use) {
    int64_t now = clock_seconds();
    if (use->of != s->catalog.of || use->generation != s->catalog.generation) s->epoch++;
    s->catalog = *use;
    if (s->role == NULL || pol_role_at(s->role, now)) {
        s->epoch++;
        s->rights++;
    }
    session_forget_judged(s);
    pol_role_free(s->role);
    s->role = role;
    if (role == NULL) return;
    pol_role_at(role, now);
    if (s->my.key != NULL) pol_role_my_mode(role, s->my.mode);
}

struct allowed session_allowed(const struct pol_verdict *v) {
    return (struct allowed){
        .rule = v->rule, .limits = v->limits, .rewrite = v->rewrite, .unpins = v->unpins, .retracks = v->retracks, .counts = v->counts};
}

void session_allow_again(const struct allowed *a, struct pol_verdict *v) {
    pol_verdict_clear(v);
    v->effect = POL_ALLOW;
    v->rule = a->rule;
    v->limits = a->limits;
    v->rewrite = a->rewrite;
    v->unpins = a->unpins;
    v->retracks = a->retracks;
    v->counts = a->counts;
}

bool session_judged(struct session *s, struct pol_verdict *v) {
    if (s->judged.epoch != s->epoch) session_forget_judged(s);
    for (size_t i = 0; i < SESSION_JUDGED && s->judged.of[i].facts != NULL; i++) {
        const struct judged *j = &s->judged.of[i];
        if (j->facts != s->q->facts) continue;
        session_allow_again(&j->allowed, v);
        return true;
    }
    return false;
}

void session_keep_judged(struct session *s) {
    const struct pol_verdict *v = &s->q->verdict;
    if (v->effect != POL_ALLOW || s->q->facts == NULL || s->mysql || pol_role_observes(s->role)) return;
    if (s->q->prep == NULL && s->q->len > STMT_CACHE_BYTES) return; /* its facts are made anew each time */
    if (s->judged.epoch != s->epoch) session_forget_judged(s);
    s->judged.epoch = s->epoch;
    struct judged *j = &s->judged.of[s->judged.next++ % SESSION_JUDGED];
    facts_ref_put(j->facts);
    *j = (struct judged){.facts = facts_ref_get(s->q->facts), .allowed = session_allowed(v)};
}
