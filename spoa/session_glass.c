/* Break-glass: who may goes on without approval, and without Redis, for a while and for a reason that everybody hears of. A denial stays a denial, and what
 * runs is in the journal first. */
#include <config.h>

#include "spoa/session_int.h"

#include "spoa/log.h"
#include "spoa/reason.h"
#include "spoa/renewal.h"
#include "spoa/statement.h"

#include <string.h>

#define REASON_MIN 10u /* bytes: "x" is no reason */

static void tell(struct session *s, const char *event, const char *text) {
    struct rec r = {.journal_does = true};
    rec_str(&r, "session", s->id);
    rec_str(&r, "principal", s->who->principal);
    rec_str(&r, "groups", s->groups);
    rec_str(&r, "database", s->db->name);
    rec_str(&r, "reason", s->glass);
    rec_str(&r, "rule", s->q->open ? s->q->verdict.rule : NULL);
    rec_append(s->ws->d->led, &r, LED_SESSION, s->id, event, NULL, NULL);
    rec_append(s->ws->d->led, &r, LED_SESSIONS, NULL, event, NULL, NULL);
    log_event(LOG_WARN, event, "session", s->id, "principal", s->who->principal, "database", s->db->name, "src", s->src, "reason", s->glass,
              "rule", s->q->open ? s->q->verdict.rule : NULL, "do", text, NULL);
    session_tell(s, event, NULL);
}

bool session_on_glass(struct session *s) {
    struct question *q = s->q;
    const char *reason;
    size_t len;
    if (!reason_glass(q->text, q->len, APPR_REASON, &reason, &len)) return false;
    if (s->role == NULL || pol_role_glass_ms(s->role) == 0)
        stmt_deny(&q->verdict, "42501", "no rule of the policy lets you break the glass here", "Ask an approver, or who keeps the policy.");
    else if (len > 0 && len < REASON_MIN)
        stmt_deny(&q->verdict, "22023", "say why, in a sentence: everybody who watches this gate is told",
                  "SET gatehouse.breakglass = 'incident 4711: the approvers do not answer'");
    else {
        q->breaks = true;
        q->facts = stmt_facts(s->ws->facts, RENEWAL_INSTEAD, sizeof RENEWAL_INSTEAD - 1, NULL, &q->err);
        q->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = ""};
        if (q->facts == NULL) stmt_deny(&q->verdict, "53200", "out of memory", "Try again later.");
    }
    if (q->verdict.effect == POL_ALLOW)
        session_forward(s);
    else
        session_refuse_statement(s);
    return true;
}

void session_take_glass(struct session *s) {
    const char *reason;
    size_t len;
    uint64_t ms = s->role == NULL ? 0 : pol_role_glass_ms(s->role);
    if (!reason_glass(s->q->text, s->q->len, APPR_REASON, &reason, &len)) return;
    if (len == 0 || ms == 0) {
        session_glass_over(s);
        return;
    }
    free(s->glass);
    s->glass = rec_copy(reason, len);
    if (s->glass == NULL) return; /* it stays whole, and what needs approval is asked about */
    s->glass_at_ms = worker_now_ms();
    s->glass_until_ms = s->glass_at_ms + ms;
    m_add(s->ws->m, M_BREAKGLASS, 1);
    tell(s, "breakglass", "find out whether this is an emergency; gatehousectl block ends it");
}

void session_glass_over(struct session *s) {
    if (s->glass == NULL) return;
    tell(s, "breakglass.over", "read what was done: its statements have the field breakglass");
    free(s->glass);
    s->glass = NULL;
}

static bool broken(const struct session *s) { return s->glass != NULL && worker_now_ms() < s->glass_until_ms; }

bool session_glass_without_redis(const struct session *s) {
    bool may = s->q->breaks || (broken(s) && s->role != NULL && pol_role_glass_ms(s->role) > 0);
    return may && !led_healthy(s->ws->d->led) && led_journal_healthy(s->ws->d->led);
}

bool session_glass_passes(struct session *s) {
    struct question *q = s->q;
    uint64_t now = worker_now_ms();
    if (!broken(s) || q->verdict.effect != POL_ASK) return false;
    for (size_t i = 0; i < q->verdict.ask.n; i++)
        if (now - s->glass_at_ms >= q->verdict.ask.by[i].glass_ms) return false; /* 0: never */
    q->glass = true;
    tell(s, "breakglass.used", "see what it was for; it runs without approval");
    m_add(s->ws->m, M_BREAKGLASS_USED, 1);
    q->verdict.effect = POL_ALLOW;
    s->unpinned = s->unpinned || q->verdict.unpins;
    s->counts = s->counts || q->verdict.counts;
    snprintf(q->verdict.sqlstate, sizeof q->verdict.sqlstate, "00000");
    return true;
}

bool session_glass_holds(const struct session *s) { return !s->q->glass || broken(s); }
