/* A statement that a rule asks about: what its approvers are told, what makes it this statement and no other, and what the client is told. */
#include <config.h>

#include "spoa/json_read.h"
#include "spoa/session_int.h"

#include "policy/my_pin.h"
#include "policy/pg_functions.h"
#include "policy/pg_settings.h"
#include "policy/session_state.h"
#include "policy/shape.h"
#include "spoa/approval_desk.h"
#include "spoa/asking.h"
#include "spoa/clock.h"
#include "spoa/estimate.h"
#include "spoa/mask.h"
#include "spoa/reason.h"
#include "spoa/record.h"
#include "spoa/renewal.h"
#include "spoa/secret_sql.h"
#include "spoa/starved.h"
#include "spoa/statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define KIND_BYTES 32768u /* of a text whose kind can be agreed to */

struct ask {
    struct desk_ask d; /* first */
    struct session *s;
    uint64_t id, epoch;
};

/* --- reasons --- */

bool session_on_reason(struct session *s) {
    struct question *q = s->q;
    const char *reason;
    size_t len;
    if (!reason_set(q->text, q->len, APPR_REASON, &reason, &len)) return false;
    q->reason = true;
    q->facts = stmt_facts(s->ws->facts, RENEWAL_INSTEAD, sizeof RENEWAL_INSTEAD - 1, NULL, &q->err);
    if (q->facts == NULL) {
        stmt_deny(&q->verdict, "53200", "out of memory", "Try again later.");
        session_refuse_statement(s);
    } else {
        q->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = ""};
        session_forward(s);
    }
    return true;
}

void session_take_reason(struct session *s) {
    const char *reason;
    size_t len;
    if (!reason_set(s->q->text, s->q->len, APPR_REASON, &reason, &len)) return;
    free(s->reason);
    s->reason = rec_copy(reason, len); /* without memory: none, and who needs one is told so */
    if (s->reason != NULL) mask_string(s->reason, false);
}

/* --- settings, and what else a session keeps --- */

/* As the session began. NULL: with what the server has. */
static const char *begun_with(const struct session *s, const char *name) {
    for (size_t i = 0; i < s->startup->n; i++)
        if (strcasecmp(s->startup->kv[i].name, name) == 0) return s->startup->kv[i].value;
    return NULL;
}

/* True when the session may now read a text in another way than it did at its beginning. */
static bool changes_meaning(const struct session *s, const struct pol_setting *t) {
    struct pol_pins pins = identity_pins(s->db);
    const char *wanted;
    if (s->mysql) { /* UTF-8 is what it was before */
        bool utf8 = my_setting_pin(&pins, t->name, t->value, &wanted) == PG_PIN_SAME && strcmp(t->name, "sql_mode") != 0;
        return !t->show && !my_setting_inert(t->name) && (!utf8 || strncmp(t->name, "collation_", 10) == 0);
    }
    if (t->show || t->value == NULL || strcmp(t->name, "all") == 0) return false;
    const char *begun = begun_with(s, t->name);
    if (begun != NULL && strcmp(begun, t->value) == 0) return false;
    if (pg_setting_inert(t->name, t->value) && (begun == NULL || pg_setting_inert(t->name, begun))) return false;
    return pg_setting_pin(&pins, t->name, t->value, NULL) != PG_PIN_SAME;
}

/* What was said before, and this: equal when the same was said in the same order. Without a digest it is none that another session has. */
static void say(const struct session *s, char said[65], const char *name, const char *value, size_t len) {
    struct buf b = BUF_INIT(len + 4096);
    asking_put_text(&b, said);
    asking_put_text(&b, name);
    asking_put(&b, value, len);
    if (!b.failed) rec_sha256(buf_at(&b), buf_used(&b), said);
    if (b.failed || said[0] == '\0') snprintf(said, 65, "%s", s->id);
    buf_free(&b);
}

/* The collation that SET NAMES may name beside the character set is in its text alone. */
static bool sets_charset(const struct pol_setting *t) {
    return strcmp(t->name, "names") == 0 || strncmp(t->name, "character", 9) == 0 || strncmp(t->name, "collation", 9) == 0;
}

static void remember_setting(struct session *s, const struct pol_setting *t) {
    const char *value = t->value != NULL ? t->value : "";
    if (t->show) return;
    if (s->changed[0] == '\0' && changes_meaning(s, t)) snprintf(s->changed, sizeof s->changed, "%s", t->name);
    if (s->mysql && sets_charset(t)) say(s, s->charsets, t->name, s->q->text, s->q->len);
    say(s, s->sets, t->name, value, strlen(value));
}

void session_ask_forwarded(struct session *s, const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++)
        for (size_t k = 0; k < f->stmts[i].nsettings; k++) remember_setting(s, &f->stmts[i].settings[k]);
    s->leaves |= pol_leaves(f);
    if (s->changed[0] == '\0' && (s->leaves & (POL_LEAVES_SEED | POL_LEAVES_SETTINGS)) != 0)
        snprintf(s->changed, sizeof s->changed, "%s", (s->leaves & POL_LEAVES_SEED) != 0 ? "seed" : "whose name set_config() was given");
}

/* --- the fingerprint --- */

/* What could give the text another meaning. unseen: it runs code that may read any of them. */
static void put_settings(struct buf *b, const struct session *s, bool unseen) {
    asking_put_text(b, s->db->search_path_text);
    buf_be32(b, (uint32_t)s->db->nsettings);
    for (size_t i = 0; i < s->db->nsettings; i++) {
        asking_put_text(b, s->db->settings[i].name);
        asking_put_text(b, s->db->settings[i].value);
    }
    for (size_t i = 0; i < s->startup->n; i++) {
        if (!unseen && pg_setting_inert(s->startup->kv[i].name, s->startup->kv[i].value)) continue;
        asking_put_text(b, s->startup->kv[i].name);
        asking_put_text(b, s->startup->kv[i].value);
    }
    asking_put_text(b, unseen ? s->sets : "");
    asking_put_text(b, s->charsets);
}

/* In the text's place; NULL, or without a text: the text itself. */
static const struct rewrite *what_runs(const struct question *q) { return q->prep != NULL ? q->prep->sent : q->rewrite; }

static bool fingerprint(const struct session *s, char out[65]) {
    const struct question *q = s->q;
    struct buf b = BUF_INIT(APPR_SQL_MAX + (4u << 20));
    const struct rewrite *w = what_runs(q); /* with claims and groups of now */
    char sha[65] = "";
    asking_begin(&b, "gatehouse approval 3", s->who, s->db->name);
    asking_put(&b, q->text, q->len);
    if (w != NULL && w->sql != NULL) rec_sha256(w->sql, w->len, sha);
    asking_put_text(&b, sha);
    buf_be32(&b, (uint32_t)q->ntypes);
    for (size_t i = 0; i < q->ntypes; i++) buf_be32(&b, q->types[i]);
    buf_be32(&b, (uint32_t)q->nparams);
    for (size_t i = 0; i < q->nparams; i++) {
        buf_u8(&b, q->params[i].data == NULL ? 2 : q->params[i].binary);
        asking_put(&b, q->params[i].data, q->params[i].data == NULL ? 0 : q->params[i].len);
    }
    put_settings(&b, s, pol_runs_unseen(facts_of(q->facts)));
    bool ok = !b.failed && nodekey_mac(appr_key(s->ws->d->approvals), buf_at(&b), buf_used(&b), out);
    buf_free(&b);
    return ok;
}

/* A constant in it is a value and no more: nothing takes it for a name, a file or a text that it runs. */
static bool only_harmless_functions(const struct pol_stmt *t) {
    for (size_t i = 0; i < t->nfunctions; i++) {
        const struct pol_function *f = &t->functions[i];
        if ((f->schema != NULL && strcmp(f->schema, "pg_catalog") != 0) || !pg_function_harmless(f->name)) return false;
    }
    return true;
}

/* nextval('s') is about s, which is a constant of the text. */
static void put_relations(struct buf *b, const struct pol_stmt *t) {
    buf_be32(b, (uint32_t)t->nrelations);
    for (size_t i = 0; i < t->nrelations; i++) {
        asking_put_text(b, t->relations[i].schema != NULL ? t->relations[i].schema : "");
        asking_put_text(b, t->relations[i].name);
        buf_be32(b, t->relations[i].access);
    }
}

/* What it is but for its values: for agreements to a kind of statement. "" when it has none. */
static void kind_of(const struct session *s, char out[65]) {
    const struct question *q = s->q;
    const struct pol_facts *f = facts_of(q->facts);
    bool plain = !s->mysql && q->len <= KIND_BYTES;
    out[0] = '\0';
    for (size_t i = 0; i < f->nstmts; i++) /* a value of SET, or the text of a DO block, is what the statement does */
        plain = plain && !f->stmts[i].opaque && f->stmts[i].nsettings == 0 && f->stmts[i].uses_statement == NULL &&
                f->stmts[i].uses_portal == NULL && f->stmts[i].kind <= POL_K_MERGE && only_harmless_functions(&f->stmts[i]);
    char *shape = plain ? pol_shape_pg(q->text) : NULL;
    if (shape == NULL) return;
    struct buf b = BUF_INIT(APPR_SQL_MAX);
    asking_begin(&b, "gatehouse kind 3", s->who, s->db->name);
    asking_put_text(&b, shape);
    for (size_t i = 0; i < f->nstmts; i++) put_relations(&b, &f->stmts[i]);
    put_settings(&b, s, false);
    buf_be32(&b, (uint32_t)q->ntypes);
    for (size_t i = 0; i < q->ntypes; i++) buf_be32(&b, q->types[i]);
    buf_be32(&b, (uint32_t)q->nparams);
    if (b.failed || !nodekey_mac(appr_key(s->ws->d->approvals), buf_at(&b), buf_used(&b), out)) out[0] = '\0';
    buf_free(&b);
    free(shape);
}

/* --- what people are told --- */

static json_t *params_json(const struct question *q) {
    char *text = rec_params(q->params, q->nparams, secret_sql_may(facts_of(q->facts)));
    json_t *list = text == NULL ? NULL : json_read(text, strlen(text), 0, NULL);
    free(text);
    return q->nparams > 0 ? list : json_array();
}

static json_t *types_json(const struct question *q) {
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < q->ntypes; i++) json_array_append_new(list, json_integer(q->types[i]));
    return list;
}

static json_t *detail_json(const struct session *s) {
    const struct question *q = s->q;
    return asking_detail(&(struct asking){.who = s->who,
                                          .database = s->db->name,
                                          .session = s->id,
                                          .src = s->src,
                                          .policy = pol_policy_hash(s->snap->policy),
                                          .text = q->text,
                                          .len = q->len,
                                          .facts = facts_of(q->facts),
                                          .params = params_json(q),
                                          .types = types_json(q),
                                          .reason = s->reason != NULL ? s->reason : ""});
}

/* --- what the client is told --- */

static void tell(struct session *s, const struct appr_reply *r) {
    snprintf(s->q->approval, sizeof s->q->approval, "%s", r->id);
    asking_tell(&s->q->verdict, facts_of(s->q->facts), r);
}

static void refuse(struct session *s, const char *sqlstate, const char *why, const char *hint) {
    asking_refuse(&s->q->verdict, facts_of(s->q->facts), sqlstate, why, hint);
    session_refuse_statement(s);
}

/* --- asking --- */

/* What looks like a token is shown to nobody, and could be anything. */
static bool holds_token(const struct question *q) {
    bool yes = asking_hides(q->text, q->len);
    for (size_t i = 0; i < q->nparams && !yes; i++)
        yes = q->params[i].data != NULL && asking_hides((const char *)q->params[i].data, q->params[i].kept);
    return yes;
}

/* True: it takes from the session what people do not see, and u says what. */
static bool hangs_on_session(const struct session *s, struct pol_unaskable *u) {
    const struct pol_facts *f = facts_of(s->q->facts);
    const struct pol_pins pins = identity_pins(s->db);
    const char *why;
    if (s->mysql && (why = session_my_unaskable(s)) != NULL) {
        snprintf(u->why, sizeof u->why, "%s", why);
        u->hint = "Write the values into the statement, or send them as parameters.";
        return true;
    }
    if (pol_reads_session(f, &pins, u)) return true;
    if ((s->leaves & POL_LEAVES_TEMP) != 0) { /* their rows, and what triggers and functions find by their names */
        snprintf(u->why, sizeof u->why, "this session has made temporary objects, which names may mean here and nowhere else");
        u->hint = "Connect again, and send it before any are made.";
        return true;
    }
    return (s->leaves & POL_LEAVES_UNSEEN) != 0 && pol_temp_could_shadow(f, u);
}

/* It would run as of a time that is further back than people agree to: 'today' is the day on which the server read the text, and now() that on which the
 * transaction began, whose snapshot may be as old. */
static bool of_another_time(const struct session *s) {
    const struct question *q = s->q;
    return !s->mysql && q->prep != NULL && worker_now_ms() - q->prep->made_ms > q->verdict.ask.window_ms && pol_tells_time(q->text, q->len);
}
static bool in_old_transaction(const struct session *s) {
    return !s->mysql && !s->q->alone && worker_now_ms() - s->pump.began_ms > s->q->verdict.ask.window_ms;
}

/* False, and refused: nobody could agree to this, or what they agreed to would not be what runs. */
static bool may_ask(struct session *s) {
    const struct question *q = s->q;
    size_t len;
    struct pol_unaskable u;
    bool cut = q->params_cut;
    for (size_t i = 0; i < q->nparams; i++) cut = cut || (q->params[i].data != NULL && q->params[i].kept < q->params[i].len);
    if (s->unpinned)
        refuse(s, "42501", "this session has run code that may have changed its search_path or role", "Connect again.");
    else if (hangs_on_session(s, &u))
        refuse(s, "42501", u.why, u.hint);
    else if (s->changed[0] != '\0')
        refuse(s, "42501", log_fmt("this session has changed the setting %s, so that the text may mean something else here", s->changed),
               "Connect again, with the setting as a startup parameter (PGOPTIONS) where it is needed.");
    else if (in_old_transaction(s))
        refuse(s, "42501", "the transaction began longer ago than people agree to the statement, and it would run as of that time",
               "End the transaction, and send it in another one.");
    else if (of_another_time(s))
        refuse(s, "42501",
               "a constant in it may mean the time (now, today, tomorrow, yesterday), and that is the time at which it was prepared",
               "Prepare it again, or write now() or CURRENT_DATE, or the time itself.");
    else if (cut)
        refuse(s, "54000", "its parameters are longer than can be shown", "Send fewer or shorter ones, or have limits.params raised.");
    else if (q->len > APPR_SQL_MAX)
        refuse(s, "54000", "it is longer than anybody would read", "Send it in smaller pieces.");
    else if (holds_token(q))
        refuse(s, "42501", ASKING_HIDDEN, ASKING_HIDDEN_HINT);
    else if (q->verdict.ask.justify && asking_reason(q->text, q->len, s->reason != NULL ? s->reason : "", &len) == NULL)
        refuse(s, "42501", "a reason must be given",
               "Begin the statement with a comment, /* reason: why this is needed */, or send SET gatehouse.reason = 'why' before it.");
    else if (!led_healthy(s->ws->d->led)) /* an approval must not be used up for a statement that then cannot be recorded */
        refuse(s, "57P03", "the audit ledger is unavailable", "Try again later. No statement runs before it is recorded.");
    else
        return true;
    return false;
}

static void on_answered(struct desk_ask *d);

void session_ask(struct session *s) {
    const struct conf_limits *l = &s->snap->conf->limits;
    struct question *q = s->q;
    struct ask *a;
    q->hold_epoch = appr_epoch(s->ws->d->approvals); /* before: a decision meanwhile is looked at again */
    if (!may_ask(s)) return;
    bool begun = starved_begin(); /* what approvers see, and who may decide, is whole or nothing */
    a = calloc(1, sizeof *a);
    if (a != NULL) {
        a->d.principal = strdup(s->who->principal);
        a->d.asks = asking_rules(&q->verdict.ask, NULL);
        a->d.q = (struct appr_question){.detail = detail_json(s),
                                        .expires_ms = q->verdict.ask.expires_ms,
                                        .window_ms = q->verdict.ask.window_ms,
                                        .max = (size_t)l->approvals,
                                        .max_principal = (size_t)l->approvals_per_principal};
    }
    bool whole = a != NULL && fingerprint(s, a->d.fingerprint);
    if (starved_end(begun) || !whole || a->d.principal == NULL || a->d.asks == NULL || a->d.q.detail == NULL) {
        if (a != NULL) desk_ask_clear(&a->d);
        free(a);
        refuse(s, "53200", "out of memory", "Try again later.");
        return;
    }
    kind_of(s, a->d.kind);
    session_own_rule(q, &q->verdict);
    a->s = s;
    a->id = q->id;
    a->epoch = s->epoch;
    a->d.from = s->ws->w;
    a->d.answered = on_answered;
    q->asking = true;
    session_ref(s);
    desk_submit(s->ws->d->desk, &a->d);
}

/* Held, if the rule says so and nobody is in its way. */
static bool hold(struct session *s) {
    struct question *q = s->q;
    uint64_t now = worker_now_ms();
    if (q->verdict.ask.wait_ms == 0 || !q->alone || s->draining) return false;
    if (q->hold_until_ms == 0) q->hold_until_ms = now + q->verdict.ask.wait_ms;
    return now < q->hold_until_ms;
}

static void expired(struct session *s) {
    stmt_deny(&s->q->verdict, "28000", "the token has expired", "Reconnect with a fresh token as the password.");
    session_refuse_statement(s);
}

/* Approved and used up: it runs now, if it still may. */
static void run_approved(struct session *s, const struct ask *a) {
    struct question *q = s->q;
    snprintf(q->approval, sizeof q->approval, "%s", a->d.reply.id);
    snprintf(q->approved_by, sizeof q->approved_by, "%s", a->d.reply.by);
    snprintf(q->grant, sizeof q->grant, "%s", a->d.reply.grant);
    session_renew(s);
    session_clock(s);
    if (s->epoch != a->epoch) { /* judged again: what was asked about then is not what counts now */
        refuse(s, "42501", "the policy has changed in this moment", "Send it again.");
        return;
    }
    q->verdict.effect = POL_ALLOW;
    snprintf(q->verdict.sqlstate, sizeof q->verdict.sqlstate, "00000");
    s->unpinned = s->unpinned || q->verdict.unpins;
    s->counts = s->counts || q->verdict.counts;
    session_forward(s);
}

/* What approvers are told besides, when it comes. */
static void estimate(const struct session *s, const struct appr_reply *r) {
    const struct question *q = s->q;
    const struct rewrite *w = what_runs(q);
    if (r->rc != APPR_NEW || s->mysql || q->nparams > 0 || !estimate_possible(facts_of(q->facts), q->len)) return;
    bool other = w != NULL && w->sql != NULL; /* NULL: it runs as it is */
    estimates_ask(s->ws->d->estimates, r->id, s->db->name, other ? w->sql : q->text, other ? w->len : q->len);
}

static void on_answered(struct desk_ask *d) {
    struct ask *a = (struct ask *)(void *)d;
    struct session *s = a->s;
    const struct appr_reply *r = &d->reply;
    if (s->q->open && s->q->id == a->id && s->q->asking) {
        s->q->asking = false;
        estimate(s, r);
        if (clock_seconds() >= s->who->valid_until)
            expired(s);
        else if (r->rc == APPR_RUN)
            run_approved(s, a);
        else if (!(r->rc == APPR_NEW || r->rc == APPR_PENDING) || !hold(s)) {
            tell(s, r);
            session_refuse_statement(s);
        } else
            s->q->reply = *r;
        pump_run(&s->pump);
    } else if (r->rc == APPR_RUN)
        stmt_record_withheld(s->ws->d->led, s->id, a->id, "session ended");
    desk_ask_clear(d);
    free(a);
    session_unref(s);
}

void session_ask_tick(struct session *s, uint64_t now_ms) {
    struct question *q = s->q;
    if (!q->open || q->asking || q->in_pool || q->hold_until_ms == 0 || q->verdict.effect != POL_ASK) return;
    if (pump_client_left(&s->pump)) { /* what it wanted is not run for nobody */
        s->why = "client left while its statement waited for approval";
        session_close(s, "57P01", "the client is gone", NULL);
    } else if (clock_seconds() >= s->who->valid_until)
        expired(s);
    else if (now_ms >= q->hold_until_ms || s->draining) {
        tell(s, &q->reply);
        session_refuse_statement(s);
    } else if (q->hold_epoch != appr_epoch(s->ws->d->approvals)) {
        session_renew(s); /* something was decided: from the beginning */
        rewrite_unref(q->rewrite);
        q->rewrite = NULL;
        session_judge(s);
    } else
        return;
    pump_run(&s->pump);
}
