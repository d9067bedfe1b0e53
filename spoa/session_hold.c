/* Bad credentials, in a login or in a session: one by one in the record while there are few, and never answered at once. */
#include <config.h>

#include "spoa/session_int.h"

#define OVER_BUDGET 4u /* times login_delay */

void session_drop_held(struct session *s) {
    if (s->held.timer == NULL) return;
    event_free(s->held.timer);
    s->held.timer = NULL;
    throttle_unhold(s->ws->d->throttle);
}

static void on_held(evutil_socket_t fd, short what, void *arg) {
    struct session *s = arg;
    (void)fd;
    (void)what;
    session_drop_held(s);
    s->held.then(s);
    pump_run(&s->pump);
}

bool session_hold(struct session *s, uint64_t delay_ms, void (*then)(struct session *s)) {
    uint64_t ms = throttle_jitter(delay_ms);
    struct timeval later = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    if (delay_ms == 0 || !throttle_hold(s->ws->d->throttle, s->snap->conf->limits.login_held)) return false;
    s->held.timer = evtimer_new(s->ws->base, on_held, s);
    if (s->held.timer == NULL || event_add(s->held.timer, &later) != 0) {
        if (s->held.timer != NULL) event_free(s->held.timer);
        s->held.timer = NULL;
        throttle_unhold(s->ws->d->throttle);
        return false;
    }
    s->held.then = then;
    return true;
}

uint64_t session_late_ms(const struct session *s) { return s->snap->conf->limits.login_delay_ms * OVER_BUDGET; }

uint64_t session_bad_credential(struct session *s, const struct identity_refusal *r) {
    const struct conf_limits *l = &s->snap->conf->limits;
    const struct throttle_limits budgets = {l->login_failures, l->login_failures_per_name};
    struct throttle_news news = throttle_bad(s->ws->d->throttle, &budgets, s->src, r->user, worker_now_ms());
    bool over = news.over_source || news.over_name;
    m_count(s->ws->m, M_LOGINS_REFUSED, r->reason, NULL, NULL);
    if (over) m_add(s->ws->m, news.over_source ? M_LOGINS_OVER_SOURCE : M_LOGINS_OVER_NAME, 1);
    if (!over)
        identity_record_refusal(s->ws->d->led, r);
    else if (news.report)
        identity_record_flood(s->ws->d->led, s->id, s->src, r->user, news.over_source, news.unreported);
    return over ? session_late_ms(s) : l->login_delay_ms;
}
