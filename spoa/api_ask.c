/* A statement over HTTP that a rule asks about. It is refused at once, with the request's id; the same request sent again after the decision runs once.
 *
 * What is approved is this text in a request of this kind: of this API, method and tool, with the same other members of the body; never the text in a
 * session, nor the other way round, because what happens to it there is another program's. */
#include <config.h>

#include "spoa/api_int.h"

#include "policy/session_state.h"
#include "spoa/approval_desk.h"
#include "spoa/asking.h"
#include "spoa/estimate.h"
#include "spoa/starved.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ask {
    struct desk_ask d; /* first */
    struct api_ask *a;
    uint64_t epoch; /* of the session */
};

static const char *name_of(const struct api_ask *a) { return a->session->api[0] != '\0' ? a->session->api : "-"; }

static bool fingerprint(const struct api_ask *a, char out[65]) {
    const struct api_session *s = a->session;
    struct buf b = BUF_INIT(APPR_SQL_MAX + (4u << 20));
    asking_begin(&b, "gatehouse approval over http 2", s->who, s->database);
    asking_put_text(&b, name_of(a));
    asking_put_text(&b, a->call.method);
    asking_put_text(&b, a->call.tool);
    asking_put_text(&b, a->call.more != NULL ? a->call.more : "");
    asking_put(&b, a->call.sql, a->call.len);
    asking_put_text(&b, s->db->search_path_text);
    if (a->reading.is == API_READS) {
        char key[API_MY_KEY];
        api_my_key(&a->reading, key);
        asking_put_text(&b, key);
    }
    bool ok = !b.failed && nodekey_mac(appr_key(a->ws->d->approvals), buf_at(&b), buf_used(&b), out);
    buf_free(&b);
    return ok;
}

static json_t *detail(const struct api_ask *a) {
    const struct api_session *s = a->session;
    json_t *o = asking_detail(&(struct asking){.who = s->who,
                                               .database = s->database,
                                               .session = s->id,
                                               .src = a->src,
                                               .policy = pol_policy_hash(s->snap->policy),
                                               .api = name_of(a),
                                               .text = a->call.sql,
                                               .len = a->call.len,
                                               .facts = facts_of(a->facts),
                                               .params = json_array(),
                                               .types = json_array(),
                                               .reason = ""});
    if (o != NULL && a->call.tool[0] != '\0') json_object_set_new(o, "tool", json_string(a->call.tool));
    if (o != NULL && a->call.more != NULL) json_object_set_new(o, "arguments", json_string(a->call.more));
    return o;
}

static void refuse(struct api_ask *a, const char *sqlstate, const char *why, const char *hint) {
    asking_refuse(&a->verdict, facts_of(a->facts), sqlstate, why, hint);
    api_refuse(a);
}

/* False, and refused: nobody could agree to this. */
static bool may_ask(struct api_ask *a) {
    size_t len, more = a->call.more != NULL ? strlen(a->call.more) : 0;
    const struct my_options my = api_my_options(&a->reading);
    const char *why = a->reading.is == API_READS ? stmt_my_unaskable(facts_of(a->facts), a->call.sql, a->call.len, &my) : NULL;
    struct pol_unaskable u;
    if (a->call.len > APPR_SQL_MAX)
        refuse(a, "54000", "it is longer than anybody would read", "Send it in smaller pieces.");
    else if (more > (size_t)a->session->snap->conf->limits.params)
        refuse(a, "54000", "what is beside it in the request is longer than can be shown", "Send less, or have limits.params raised.");
    else if (a->verdict.ask.justify && asking_reason(a->call.sql, a->call.len, "", &len) == NULL)
        refuse(a, "42501", "a reason must be given", "Begin the statement with a comment, /* reason: why this is needed */.");
    else if (why != NULL)
        refuse(a, "42501", why, "Send it without variables.");
    else if (pol_reads_session(facts_of(a->facts), NULL, &u)) /* the settings are those of the application's connection */
        refuse(a, "42501", u.why, u.hint);
    else if (asking_hides(a->call.sql, a->call.len) || (more > 0 && asking_hides(a->call.more, more)))
        refuse(a, "42501", ASKING_HIDDEN, ASKING_HIDDEN_HINT);
    else if (!led_healthy(a->ws->d->led)) /* an approval must not be used up for a statement that then cannot be recorded */
        refuse(a, "57P03", "the audit ledger is unavailable", "Try again later. No statement runs before it is recorded.");
    else
        return true;
    return false;
}

static void estimate(const struct api_ask *a, const struct appr_reply *r) {
    bool other = a->rewrite != NULL && a->rewrite->sql != NULL;
    if (r->rc != APPR_NEW || a->reading.is == API_READS || !estimate_possible(facts_of(a->facts), a->call.len)) return;
    estimates_ask(a->ws->d->estimates, r->id, a->session->database, other ? a->rewrite->sql : a->call.sql,
                  other ? a->rewrite->len : a->call.len);
}

/* Approved and used up: it runs now, if it still may. */
static void run_approved(struct api_ask *a, const struct ask *k) {
    const struct appr_reply *r = &k->d.reply;
    snprintf(a->approved_by, sizeof a->approved_by, "%s", r->by);
    snprintf(a->grant, sizeof a->grant, "%s", r->grant);
    bool served = api_still_served(a);
    if (served) api_session_clock(a->session);
    if (!served)
        api_refuse(a);
    else if (a->session->epoch != k->epoch) /* what was asked about then is not what counts now */
        refuse(a, "42501", "the policy has changed in this moment", "Send it again.");
    else {
        a->verdict.effect = POL_ALLOW;
        snprintf(a->verdict.sqlstate, sizeof a->verdict.sqlstate, "00000");
        api_allow(a);
    }
}

static void on_answered(struct desk_ask *d) {
    struct ask *k = (struct ask *)(void *)d;
    struct api_ask *a = k->a;
    const struct appr_reply *r = &d->reply;
    snprintf(a->approval, sizeof a->approval, "%s", r->id);
    estimate(a, r);
    if (r->rc == APPR_RUN)
        run_approved(a, k);
    else {
        a->waits = r->rc == APPR_NEW || r->rc == APPR_PENDING;
        a->expires_ms = r->expires_ms;
        asking_tell(&a->verdict, facts_of(a->facts), r);
        api_refuse(a);
    }
    desk_ask_clear(d);
    free(k);
}

void api_ask_approval(struct api_ask *a) {
    const struct conf_limits *l = &a->session->snap->conf->limits;
    if (!may_ask(a)) return;
    bool begun = starved_begin(); /* what approvers see, and who may decide, is whole or nothing */
    struct ask *k = calloc(1, sizeof *k);
    if (k != NULL) {
        k->d.principal = strdup(a->session->who->principal);
        k->d.asks = asking_rules(&a->verdict.ask, name_of(a));
        k->d.q = (struct appr_question){.detail = detail(a),
                                        .expires_ms = a->verdict.ask.expires_ms,
                                        .window_ms = a->verdict.ask.window_ms,
                                        .max = (size_t)l->approvals,
                                        .max_principal = (size_t)l->approvals_per_principal};
    }
    bool whole = k != NULL && fingerprint(a, k->d.fingerprint);
    if (starved_end(begun) || !whole || k->d.principal == NULL || k->d.asks == NULL || k->d.q.detail == NULL) {
        if (k != NULL) desk_ask_clear(&k->d);
        free(k);
        refuse(a, "53200", "out of memory", "Try again later.");
        return;
    }
    k->a = a;
    k->epoch = a->session->epoch;
    k->d.from = a->ws->w;
    k->d.answered = on_answered;
    desk_submit(a->ws->d->desk, &k->d);
}
