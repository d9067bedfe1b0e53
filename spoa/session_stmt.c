/* A statement: its facts, the verdict, the record, and only then the answer to the filter. */
#include <config.h>

#include "spoa/session_int.h"

#include "spoa/clock.h"
#include "spoa/mask.h"
#include "spoa/renewal.h"
#include "spoa/secret_sql.h"
#include "spoa/spare.h"
#include "spoa/statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TURN_US     1000u
#define EXECUTE_SQL 32768u /* an Execute's record repeats the text up to here; beyond, it names the record of the Parse */

static const char *kind_name(enum flt_stmt_kind k) { return k == FLT_STMT_QUERY ? "query" : k == FLT_STMT_PREPARE ? "parse" : "execute"; }

void session_prep_free(void *ctx) {
    struct prep *p = ctx;
    facts_ref_put(p->facts);
    rewrite_unref(p->sent);
    jwt_identity_free(p->fresh);
    free(p);
}

/* Most sessions are idle, and a question has room for all that may be said about it: so it lives no longer than it is open. */
void session_no_question(struct session *s) {
    static const struct question none;
    s->q = (struct question *)(uintptr_t)&none;
}

/* The session's question is none of it any more: the caller's, to be freed. */
static struct question *take_question(struct session *s) {
    struct question *q = s->q;
    session_no_question(s);
    return q;
}

static void free_question(struct question *q) {
    facts_ref_put(q->facts);
    rewrite_unref(q->rewrite);
    parse_job_free(q->ahead);
    jwt_identity_free(q->fresh);
    spare_put(q, sizeof *q);
}

void session_drop_question(struct session *s) {
    if (s->q->open) free_question(take_question(s));
}

/* --- what is under way at the server --- */

static void running_push(struct session *s, const struct running *r) {
    if (s->run_count == s->run_cap) {
        size_t cap = s->run_cap == 0 ? 4 : s->run_cap * 2; /* bounded by the filter's limit of forwarded messages */
        struct running *ring = malloc(cap * sizeof *ring);
        if (ring == NULL) {
            facts_ref_put(r->facts); /* its names stay at their oldest generation, its duration is unknown */
            return;
        }
        for (size_t i = 0; i < s->run_count; i++) ring[i] = s->running[(s->run_head + i) % s->run_cap];
        free(s->running);
        s->running = ring;
        s->run_head = 0;
        s->run_cap = cap;
    }
    s->running[(s->run_head + s->run_count++) % s->run_cap] = *r;
}

/* Statements end in the order in which they were sent; one that is not at the head was never pushed. */
static bool running_pop(struct session *s, uint64_t id, struct running *r) {
    if (s->run_count == 0 || s->running[s->run_head].id != id) return false;
    *r = s->running[s->run_head];
    s->run_head = (s->run_head + 1) % s->run_cap;
    s->run_count--;
    return true;
}

void session_drop_running(struct session *s) {
    for (size_t i = 0; i < s->run_count; i++) facts_ref_put(s->running[(s->run_head + i) % s->run_cap].facts);
    free(s->running);
    s->running = NULL;
    s->run_count = s->run_cap = s->run_head = 0;
}

/* --- the record --- */

static void run_made(struct worker *w, struct wmsg *m);
static led_done_fn waits(struct session *s, enum then then, uint64_t id);
static void answer_allow(struct session *s);
static void answer_refusal(struct session *s);

static void count_statement(struct session *s) {
    const struct question *q = s->q;
    if (q->kind != FLT_STMT_PREPARE || (q->verdict.effect == POL_DENY && !q->observed)) /* else its Execute counts */
        stmt_count(s->ws->m, s->db->name, &q->verdict, q->observed);
}

static struct stmt_pool pool_of(const struct session *s) { return (struct stmt_pool){s->ws->d->pool, s->ws->w, s->ws->m}; }

static bool record_in_pool(struct session *s, const struct stmt_record *st, struct rewrite *rewritten, const struct rec *more,
                           enum then then) {
    const struct stmt_pool pool = pool_of(s);
    const struct stmt_pooled what = {.principal = s->who->principal, .owner = s, .id = s->q->id, .step = then, .run = run_made};
    if (!stmt_record_in_pool(&pool, s->ws->d->led, s->id, st, rewritten, more, &what)) return false;
    session_ref(s);
    return s->q->in_pool = true;
}

/* Records the open question, and then does that. With a text that is long, when the parse pool has made the record. */
static void record_and(struct session *s, enum then then) {
    struct question *q = s->q;
    struct rewrite *rewritten = q->verdict.effect != POL_ALLOW || q->grants ? NULL : q->prep != NULL ? q->prep->sent : q->rewrite;
    bool by_id = q->kind == FLT_STMT_EXECUTE && q->prep != NULL && q->len > EXECUTE_SQL;
    if (by_id) rewritten = NULL;
    bool observes = s->role != NULL && pol_role_observes(s->role);
    struct stmt_record st = {.id = q->id,
                             .kind = kind_name(q->kind),
                             .verdict = &q->verdict,
                             .observed = q->observed,
                             .text = q->text,
                             .len = q->len,
                             .parse_id = by_id ? q->prep->id : 0,
                             .name = q->name,
                             .params = q->params,
                             .nparams = q->nparams,
                             .params_cut = q->params_cut,
                             .facts = q->facts,
                             .principal = s->who->principal,
                             .database = s->db->name,
                             .policy = pol_policy_hash(s->snap->policy),
                             .rewritten = rewritten == NULL ? NULL : rewritten->sql,
                             .rewritten_len = rewritten == NULL ? 0 : rewritten->len,
                             .observes = observes,
                             .would = observes && q->prep == NULL,
                             .key = appr_key(s->ws->d->approvals),
                             .whose = &s->whose};
    struct rec more;
    rec_begin(&more);
    if (q->approval[0] != '\0') rec_str(&more, "approval", q->approval);
    if (q->approved_by[0] != '\0') rec_str(&more, "approved_by", q->approved_by);
    if (q->grant[0] != '\0') rec_str(&more, "grant", q->grant);
    more.journal_does = q->verdict.effect == POL_ALLOW && session_glass_without_redis(s);
    if (q->glass || more.journal_does) rec_str(&more, "breakglass", s->glass != NULL ? s->glass : "begins");
    if (s->wait.out) { /* nothing leads here */
        s->why = "two records of one session are waited for";
        session_close(s, "XX000", "internal error", "Connect again, and tell who runs this gate.");
        return;
    }
    if (then == THEN_REFUSE) q->hold_until_ms = 0; /* it is held no more */
    if (!q->renews && stmt_record_is_long(&st)) {  /* a text with a token in it is nowhere copied to */
        if (!q->no_room && record_in_pool(s, &st, rewritten, &more, then)) {
            count_statement(s);
            return;
        }
        /* An approval is used up by now. */
        if (then == THEN_REFUSE)
            st.cut = true;
        else if (q->approval[0] == '\0' && !q->glass) {
            stmt_no_room(&q->verdict);
            q->observed = st.observed = more.journal_does = false;
            st.rewritten = NULL;
            st.cut = true;
            then = THEN_REFUSE;
        }
    }
    count_statement(s);
    stmt_record(s->ws->d->led, s->id, &st, &more, then == THEN_WAIT ? waits(s, then, q->id) : NULL, s);
    if (then == THEN_ALLOW) answer_allow(s);
    if (then == THEN_REFUSE) answer_refusal(s);
}

/* The rows that are kept of a result; NULL: none, or its principal may add no more to the record. */
static char *kept_rows(struct session *s, const struct flt_event *ev, bool *cut) {
    uint64_t refused;
    *cut = ev->result.kept_cut;
    if (ev->result.kept == NULL) return NULL;
    if (quota_take(s->ws->d->quotas, s->who->principal, ev->result.kept_len, s->snap->conf->limits.audit_rate, worker_now_ms(), &refused) ==
        QUOTA_OK)
        return rec_rows(ev->result.kept, ev->result.kept_len);
    *cut = true;
    return NULL;
}

/* took_us: NULL where nobody knows. */
static void record_result(struct session *s, const struct flt_event *ev, const uint64_t *took_us) {
    static const struct led_name id = LED_NAME(2, "id"), nrows = LED_NAME(4, "rows"), bytes = LED_NAME(5, "bytes"),
                                 duration = LED_NAME(11, "duration_us"), skipped = LED_NAME(7, "skipped");
    struct rec r;
    bool cut;
    char *rows = kept_rows(s, ev, &cut);
    rec_begin(&r);
    r.can_wait = true; /* with the next statement's */
    rec_number(&r, &id, ev->result.id);
    rec_number(&r, &nrows, ev->result.rows);
    rec_number(&r, &bytes, ev->result.bytes);
    rec_str(&r, "sqlstate", ev->result.sqlstate);
    if (took_us != NULL) rec_number(&r, &duration, *took_us);
    rec_number(&r, &skipped, ev->result.skipped);
    rec_str(&r, "data", rows);
    if (cut) rec_str(&r, "data_cut", "1");
    rec_append(s->ws->d->led, &r, LED_SESSION, s->id, "result", NULL, NULL);
    free(rows);
}

/* --- the answer --- */

static void answer_refusal(struct session *s) {
    struct question *q = take_question(s); /* before the filter may ask the next one */
    struct pol_verdict *v = &q->verdict;
    mask_string(v->message, true); /* a syntax error quotes */
    mask_string(v->detail, true);
    const struct flt_answer a = {.allow = false,
                                 .secret = q->renews,
                                 .sqlstate = v->sqlstate,
                                 .message = v->message,
                                 .detail = v->detail[0] != '\0' ? v->detail : NULL,
                                 .hint = v->hint[0] != '\0' ? v->hint : NULL,
                                 .column = v->column,
                                 .position = v->position,
                                 .fatal = q->fatal};
    char reason[sizeof v->message];
    memcpy(reason, v->message, sizeof reason);
    if (q->facts == NULL) secret_message(reason, q->text, q->len);
    s->refused++;
    m_count(s->ws->m, M_REFUSALS, v->sqlstate, NULL, NULL);
    if (!q->quiet)
        log_event(LOG_INFO, "statement.refused", "session", s->id, "principal", s->who->principal, "database", s->db->name, "sqlstate",
                  v->sqlstate, "rule", v->rule, "reason", reason, "detail", q->facts != NULL ? v->detail : NULL, NULL);
    if (!q->quiet && hooks_want(s->ws->d->hooks, HOOK_REFUSAL)) {
        struct pol_verdict told = *v;
        memcpy(told.message, reason, sizeof told.message);
        session_tell(s, "refusal", &told);
    }
    flt_answer(s->filter, q->id, &a);
    free_question(q);
}

void session_refuse_recorded(struct session *s) { answer_refusal(s); }

void session_refuse_statement(struct session *s) { record_and(s, THEN_REFUSE); }

/* The open question's verdict, for the next execution. */
static void keep_allowed(struct prep *p, const struct question *q) {
    if (q->verdict.rule != p->rule) snprintf(p->rule, sizeof p->rule, "%s", q->verdict.rule);
    p->allowed = session_allowed(&q->verdict);
    p->allowed.rule = p->rule;
    p->allowed.limits = q->limits;
    p->allowed.rewrite = false;
}

static struct prep *make_prep(struct session *s) {
    struct question *q = s->q;
    struct prep *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    if (q->facts != NULL) p->facts = facts_ref_get(q->facts);
    p->err = q->err;
    p->id = q->id;
    p->made_ms = worker_now_ms();
    p->epoch = q->epoch;
    p->observed = q->observed;
    p->asks = q->verdict.effect == POL_ASK;
    p->reason = q->reason;
    p->breaks = q->breaks;
    p->renews = q->renews;
    p->fresh = q->fresh;
    q->fresh = NULL;
    if (q->rewrite != NULL && (q->grants || !pol_role_observes(s->role))) p->sent = rewrite_ref(q->rewrite);
    keep_allowed(p, q);
    return p;
}

static void answer_allow(struct session *s) {
    struct question *q = s->q;
    struct flt_answer a = {.allow = true};
    const char *nothing = s->mysql ? SESSION_MY_NOTHING : RENEWAL_INSTEAD;
    if (q->renews) {
        a.secret = q->kind != FLT_STMT_EXECUTE;
        a.rewritten = a.secret ? nothing : NULL;
        a.rewritten_len = a.secret ? strlen(nothing) : 0;
        if (q->kind != FLT_STMT_PREPARE) session_token_renewed(s);
    }
    bool set = q->reason || q->breaks, instead = q->renews || set || q->instead != NULL;
    if (q->prep != NULL) instead = instead || q->prep->renews || q->prep->reason || q->prep->breaks;
    if (set || (q->prep != NULL && (q->prep->reason || q->prep->breaks))) {
        a.rewritten = set ? nothing : NULL;
        a.rewritten_len = set ? strlen(nothing) : 0;
        if (q->kind != FLT_STMT_PREPARE) session_take_reason(s);
        if (q->kind != FLT_STMT_PREPARE) session_take_glass(s);
    }
    if (q->instead != NULL) {
        a.rewritten = q->instead;
        a.rewritten_len = strlen(q->instead);
        if (q->kind != FLT_STMT_PREPARE && q->kill != 0) session_my_kill(s);
    }
    const struct pol_facts *f = q->facts != NULL ? facts_of(q->facts) : NULL;
    struct session_names lists = {0};
    char label[SESSION_LABEL];
    bool ok = true;
    session_oblige(s, &a);
    enum pol_record record = q->verdict.limits.record; /* whatever the mode */
    if (s->db != NULL && record != POL_RECORD_STATEMENTS) {
        bool said = record == POL_RECORD_RESULTS && s->db->record_bytes == 0;
        a.keep_rows = said ? CONF_RECORD_ROWS : s->db->record_rows;
        a.keep_bytes = said ? CONF_RECORD_BYTES : s->db->record_bytes;
    }
    if (a.rewritten == NULL && f != NULL && q->kind != FLT_STMT_EXECUTE && session_relabel(s, f, label)) {
        a.rewritten = label;
        a.rewritten_len = strlen(label);
    }
    for (size_t i = 0; f != NULL && i < f->nstmts; i++) a.copy_in = a.copy_in || f->stmts[i].copy_in;
    if (q->kind == FLT_STMT_PREPARE) {
        a.ctx = make_prep(s);
        ok = a.ctx != NULL;
    } else if (f != NULL) {
        session_names_promised(s, f);
        ok = session_fill_names(s, f, !instead, &a, &lists);
        if (!s->mysql) session_fill_portals(f, &a);
        session_ask_forwarded(s, f);
    } else { /* unread, in observe mode: it may have touched any name */
        a.forget_all_statements = a.forget_all_portals = a.forgets_unread = true;
        session_names_code(s, true);
    }
    if (!ok) {
        stmt_deny(&q->verdict, "53200", "out of memory", "Try again later.");
        stmt_record_withheld(s->ws->d->led, s->id, q->id, "out of memory");
        answer_refusal(s);
        session_names_free(&lists);
        return;
    }
    if (q->kind != FLT_STMT_PREPARE) {
        struct running r = {.id = q->id,
                            .started_us = worker_now_us(),
                            .epoch = s->epoch,
                            .limit_ms = a.limited ? q->limits.ms : 0,
                            .changes_schema = session_changes_schema(f)};
        if (f != NULL && session_names_matter(f)) r.facts = facts_ref_get(q->facts);
        running_push(s, &r);
        m_observe(s->ws->m, M_GATE_SECONDS, r.started_us - q->asked_us);
    }
    take_question(s); /* the names in a belong to its facts */
    flt_answer(s->filter, q->id, &a);
    session_names_free(&lists);
    free_question(q);
}

/* --- durable before it is on its way --- */

static void on_recorded(void *arg, enum led_status status) { /* the ledger's thread */
    struct session *s = arg;
    s->wait.status = status;
    worker_post(s->ws->w, &s->wait.msg);
}

/* The record of the open question is as durable as it must be, or is not. */
static void recorded(struct session *s) {
    s->q->in_pool = false;
    if (s->wait.then == THEN_REFUSE)
        answer_refusal(s);
    else if (s->wait.status == LED_OK) {
        if (session_still_may(s)) answer_allow(s);
    } else {
        if (s->wait.then == THEN_WAIT) stmt_record_withheld(s->ws->d->led, s->id, s->q->id, "ledger");
        stmt_deny(&s->q->verdict, "57P03", "the audit ledger is unavailable; retry later",
                  "Nothing of this statement was executed. No statement runs before it is recorded.");
        answer_refusal(s);
    }
}

static void run_recorded(struct worker *w, struct wmsg *m) {
    struct session *s = (struct session *)(void *)((char *)m - offsetof(struct session, wait));
    (void)w;
    s->wait.out = false;
    if (s->q->open && s->q->id == s->wait.id) {
        recorded(s);
        pump_run(&s->pump);
    } else if (s->wait.then == THEN_WAIT)
        stmt_record_withheld(s->ws->d->led, s->id, s->wait.id, "session ended");
    session_unref(s);
}

static led_done_fn waits(struct session *s, enum then then, uint64_t id) {
    s->wait.out = true;
    s->wait.msg.run = run_recorded;
    s->wait.s = s;
    s->wait.id = id;
    s->wait.then = then;
    session_ref(s);
    return on_recorded;
}

static void run_made(struct worker *w, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    struct session *s = job->owner;
    enum then then = (enum then)job->step;
    uint64_t id = job->id;
    (void)w;
    /* Others' events may be written before it; what comes next of this session may not, so that even a refusal waits for the journal. */
    if (s->q->open && s->q->id == id) /* and still in_pool: nobody touches it before its record is there */
        stmt_record_made(job, then != THEN_WAIT, waits(s, then, id), s);
    else if (!s->wait.out)
        stmt_record_made(job, true, waits(s, then, id), s);
    else
        stmt_record_made(job, true, NULL, NULL);
    session_unref(s);
}

#ifdef GH_RECORD_LATE
/* UNSOUND on purpose: the crash test must fail on a build that records a statement after it was forwarded. */
struct late {
    struct session *s;
    char *text;
    size_t len;
    uint64_t id;
};
static void record_late(evutil_socket_t fd, short what, void *arg) {
    struct late *l = arg;
    struct rec r = {0};
    (void)fd;
    (void)what;
    rec_u64(&r, "id", l->id);
    rec_str(&r, "verdict", "allow");
    rec_bytes(&r, "sql", l->text, l->len);
    rec_append(l->s->ws->d->led, &r, LED_SESSION, l->s->id, "statement", NULL, NULL);
    session_unref(l->s);
    free(l->text);
    free(l);
}
static void forward_unrecorded(struct session *s) {
    struct timeval later = {0, 20000};
    struct late *l = calloc(1, sizeof *l);
    if (l == NULL || (l->text = strndup(s->q->text, s->q->len)) == NULL) abort();
    l->s = s;
    l->len = s->q->len;
    l->id = s->q->id;
    session_ref(s);
    answer_allow(s);
    event_base_once(s->ws->base, -1, EV_TIMEOUT, record_late, l, &later);
}
#endif

void session_forward(struct session *s) {
    const struct question *q = s->q;
    if (q->verdict.rewrite && q->rewrite == NULL && !q->observed &&
        !pol_role_observes(s->role)) { /* whatever way led here: never as it was sent */
        stmt_deny(&s->q->verdict, "42501", "this statement touches what is hidden from you, and was not rewritten", "Send it again.");
        session_refuse_statement(s);
        return;
    }
    if (s->q->kind == FLT_STMT_PREPARE) {
        /* It runs nothing yet. The record of its Execute comes after this one in the same stream and is waited for. */
        if (!led_healthy(s->ws->d->led) && !session_glass_without_redis(s)) {
            stmt_deny(&s->q->verdict, "57P03", "the audit ledger is unavailable; retry later", "No statement runs before it is recorded.");
            s->q->observed = false;
            session_refuse_statement(s);
            return;
        }
        record_and(s, THEN_ALLOW);
        return;
    }
#ifdef GH_RECORD_LATE
    forward_unrecorded(s);
#else
    record_and(s, THEN_WAIT);
#endif
}

/* --- the verdict --- */

/* What SQL's PREPARE could have made, and no COPY, SET or COMMIT that somebody keeps account of. */
static bool is_plain_query(const struct pol_facts *f) { return f != NULL && f->nstmts == 1 && f->stmts[0].kind <= POL_K_MERGE; }

/* What holds back a statement that the policy lets pass. */
static void judge_session(struct session *s, const struct pol_facts *f) {
    struct question *q = s->q;
    if (pol_role_observes(s->role) || q->verdict.effect == POL_DENY) return;
    if (f != NULL && q->kind != FLT_STMT_PREPARE && session_names_refuse(s, f, &q->verdict)) return;
    if (q->by_name && !is_plain_query(f)) {
        stmt_deny(&q->verdict, "0A000",
                  "EXECUTE can run SELECT, INSERT, UPDATE, DELETE and MERGE that a driver has prepared, and nothing else",
                  "Send the statement itself, or execute it with your driver's own means.");
        return;
    }
    if (s->counts && !pol_role_counts(s->role)) { /* what is kept for the session would tell of rows that are hidden by now */
        stmt_deny(&q->verdict, "57P01", "the policy, or your groups, have changed, and this session has settings that you may not have now",
                  "Connect again.");
        q->fatal = true;
        return;
    }
    if (!s->unpinned || pol_role_everything(s->role)) return;
    stmt_deny(&q->verdict, "57P01",
              "the policy, or your groups, have changed, and this session may have changed its search_path or role before",
              "Connect again.");
    q->fatal = true;
}

bool session_in_pool(struct session *s, struct stmt_pooled *what) {
    struct question *q = s->q;
    what->principal = s->who->principal;
    what->owner = s;
    what->id = q->id;
    const struct stmt_pool pool = pool_of(s);
    q->no_room = !stmt_in_pool(&pool, what, &q->verdict);
    if (q->no_room) return false;
    session_ref(s);
    return q->in_pool = true;
}

bool session_from_pool(struct session *s, const struct parse_job *job) {
    if (!s->q->open || s->q->id != job->id) return false;
    s->q->in_pool = false;
    return true;
}

static void judged(struct session *s);

static void run_judged(struct worker *w, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    struct session *s = job->owner;
    (void)w;
    if (session_from_pool(s, job)) {
        s->q->verdict = *job->why;
        s->q->observed = pol_role_observes(s->role) && job->why->effect != POL_ALLOW;
        session_keep_judged(s);
        judged(s);
        pump_run(&s->pump);
    }
    facts_ref_put(job->held);
    parse_job_free(job);
    session_unref(s);
}

/* Nobody touches the role meanwhile, because the question is open; its facts may go with it. */
static void judge_in_pool(struct session *s) {
    struct facts_ref *facts = facts_ref_get(s->q->facts);
    struct stmt_pooled what = {.role = s->role, .judges = facts_of(facts), .held = facts, .run = run_judged};
    if (session_in_pool(s, &what)) return;
    facts_ref_put(facts);
    session_refuse_statement(s);
}

/* A role may go, and with it the policy that its verdicts borrow a rule's name from, while the epoch stays: by a reload that leaves the policy as it was. */
void session_own_rule(struct question *q, struct pol_verdict *v) {
    if (v->rule == q->rule) return;
    snprintf(q->rule, sizeof q->rule, "%s", v->rule);
    v->rule = q->rule;
}

/* By what it is judged from here on; what was made for another role than that one's is none of its. */
static void take_epoch(struct question *q, uint64_t epoch) {
    if (q->epoch != epoch) {
        parse_job_free(q->ahead);
        q->ahead = NULL;
    }
    q->epoch = epoch;
}

void session_judge(struct session *s) {
    struct question *q = s->q;
    session_clock(s);
    take_epoch(q, s->epoch);
    const struct pol_facts *f = q->facts != NULL ? facts_of(q->facts) : NULL;
    struct prep *p = q->prep;
    if (s->role == NULL) {
        stmt_deny(&q->verdict, "42501", "this database is no longer offered here", "Ask who keeps the configuration of this gate.");
        session_refuse_statement(s);
        return;
    }
    if (f != NULL && session_names_token(f)) {
        session_deny_token_name(s);
        return;
    }
    if (f != NULL && session_shows_grants(f)) {
        session_show_grants(s);
        return;
    }
    if (f != NULL && p != NULL && p->epoch == s->epoch && !p->observed && !p->asks)
        session_allow_again(&p->allowed, &q->verdict);
    else if (f == NULL || p != NULL || !session_judged(s, &q->verdict)) {
        if (f != NULL && pol_judge_long(s->role, f)) {
            judge_in_pool(s);
            return;
        }
        q->observed = stmt_judge(s->role, f, &q->err, &q->verdict);
        session_keep_judged(s);
    }
    judged(s);
}

static void judged(struct session *s) {
    struct question *q = s->q;
    const struct pol_facts *f = q->facts != NULL ? facts_of(q->facts) : NULL;
    if (q->observed && f == NULL && (q->pooled ? q->holds_token : mask_needed(q->text, q->len, false)))
        q->observed = false; /* perhaps SET gatehouse.token in disguise */
    judge_session(s, f);
    if (q->verdict.effect != POL_DENY && f != NULL && !session_label_ok(s, f))
        stmt_deny(&q->verdict, "42501", "application_name can only be set by a statement of its own here",
                  "Send SET application_name = '...', and nothing else in the same text.");
    bool ok = q->verdict.effect == POL_DENY || f == NULL || session_rewrite(s, f);
    if (!q->in_pool) session_rewritten(s, ok);
}

void session_rewritten(struct session *s, bool ok) {
    struct question *q = s->q;
    struct prep *p = q->prep;
    if (!ok && pol_role_observes(s->role)) q->observed = true;
    if (p != NULL && q->verdict.effect == POL_ALLOW) {
        p->epoch = s->epoch;
        p->observed = p->asks = false;
        keep_allowed(p, q);
    }
    s->unpinned = s->unpinned || q->observed || (q->verdict.effect == POL_ALLOW && q->verdict.unpins);
    s->counts = s->counts || (q->verdict.effect == POL_ALLOW && q->verdict.counts);
    s->blind = s->blind || (q->verdict.effect != POL_DENY && q->verdict.blind);
    /* A text may be prepared: approval is for an execution, with its parameters. */
    bool asks = q->verdict.effect == POL_ASK && !q->observed && (q->kind == FLT_STMT_PREPARE || !session_glass_passes(s));
    if (asks && q->by_name) { /* nobody would see its values, and the text of EXECUTE is not what was asked about */
        stmt_deny(&q->verdict, "42501", "the statement behind this EXECUTE needs approval, which is for its own text and values",
                  "Send the statement itself, or execute it with your driver's own means.");
        asks = false;
    }
    if (q->verdict.effect == POL_ALLOW || q->observed || (asks && q->kind == FLT_STMT_PREPARE))
        session_forward(s);
    else if (asks)
        session_ask(s);
    else
        session_refuse_statement(s);
}

static void run_parsed(struct worker *w, struct wmsg *m);

static void parse_in_pool(struct session *s) {
    const struct my_options my = session_my_options(s);
    session_clock(s);
    bool ahead = s->role != NULL && pol_role_restricts(s->role) && !pol_role_observes(s->role);
    struct stmt_pooled what = {.text = s->q->text,
                               .len = s->q->len,
                               .my = s->mysql ? &my : NULL,
                               .role = ahead ? s->role : NULL,
                               .ahead = ahead,
                               .run = run_parsed};
    take_epoch(s->q, s->epoch);
    if (!session_in_pool(s, &what)) session_refuse_statement(s);
}

/* For when the text comes again. */
static void keep_facts(struct session *s, const struct parse_job *job) {
    const struct question *q = s->q;
    const struct my_options now = session_my_options(s);
    if (!s->mysql)
        stmt_keep(s->ws->facts, q->text, q->len, q->facts);
    else if (s->my.key != NULL && parse_job_read_as(job, &now))
        stmt_keep_my(s->ws->facts, s->my.key, q->text, q->len, &now, q->facts);
}

static void run_parsed(struct worker *w, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    struct session *s = job->owner;
    (void)w;
    if (session_from_pool(s, job)) {
        s->q->err = job->err;
        s->q->pooled = true;
        s->q->holds_token = job->holds_token;
        if (job->ahead) session_own_rule(s->q, job->why);
        session_renew(s);
        s->q->facts = stmt_facts_of(job->facts, &s->q->err);
        if (s->q->facts == NULL)
            m_add(s->ws->m, M_PARSE_ERRORS, 1);
        else
            keep_facts(s, job);
        if (job->ahead && job->rc != POL_REWRITE_LONG)
            s->q->ahead = job;
        else
            parse_job_free(job);
        session_judge(s);
        pump_run(&s->pump);
    } else {
        pol_facts_free(job->facts);
        parse_job_free(job);
    }
    session_unref(s);
}

/* Statements that its principal has no room for in the record are refused, and recorded as a number. A text that an Execute repeats is in it again. */
static bool over_quota(struct session *s) {
    struct question *q = s->q;
    uint64_t rate = s->snap->conf->limits.audit_rate, bytes = 2 * QUOTA_EVENT, refused = 0;
    if (rate == 0) return false;
    if (q->kind != FLT_STMT_EXECUTE || q->len <= EXECUTE_SQL) bytes += q->len;
    for (size_t i = 0; i < q->nparams; i++) bytes += q->params[i].kept;
    enum quota is = quota_take(s->ws->d->quotas, s->who->principal, bytes, rate, worker_now_ms(), &refused);
    if (is == QUOTA_OK) return false;
    if (is == QUOTA_TELL) stmt_record_quota(s->ws->d->led, s->id, s->who->principal, refused);
    q->quiet = is == QUOTA_OVER;
    stmt_deny(&q->verdict, "53400", STMT_OVER_QUOTA, STMT_OVER_QUOTA_HINT);
    answer_refusal(s);
    return true;
}

/* The question's facts, by now in a catalog that is as new as it can be. */
static void look(struct session *s) {
    struct question *q = s->q;
    if (session_blocked(s)) return;
    session_renew(s);
    q->epoch = s->epoch;
    if (s->lacking) {
        stmt_deny(&q->verdict, "28000", "this database demands another credential now than this session has shown", "Connect again.");
        session_refuse_statement(s);
        return;
    }
    if (session_on_token(s) || over_quota(s)) return;
    if (clock_seconds() >= s->who->valid_until) {
        stmt_deny(&q->verdict, "28000", "the token has expired",
                  "Give a fresh one in this session, SET gatehouse.token = 'TOKEN', or as the password of a new one.");
        session_refuse_statement(s);
        return;
    }
    if (q->prep == NULL && (session_on_reason(s) || session_on_glass(s))) return;
    if (s->mysql && session_my_own(s)) return;
    if (q->prep != NULL) {
        q->facts = q->prep->facts != NULL ? facts_ref_get(q->prep->facts) : NULL;
        q->err = q->prep->err;
        session_judge(s);
        return;
    }
    const struct pol_parse_limits limits = {.bytes = (uint32_t)s->snap->conf->limits.statement, .brief = true};
    q->facts = s->mysql ? session_my_facts(s) : stmt_facts(s->ws->facts, q->text, q->len, &limits, &q->err);
    if (q->facts == NULL && q->err.rc == POL_LONG) {
        parse_in_pool(s);
        return;
    }
    if (q->facts == NULL) m_add(s->ws->m, M_PARSE_ERRORS, 1);
    session_judge(s);
}

/* NULL without memory. */
static struct question *open_question(const struct flt_event *ev) {
    struct question *q = spare_get(sizeof *q);
    if (q == NULL) return NULL;
    memset(q, 0, offsetof(struct question, approved_by));
    q->approved_by[0] = q->rule[0] = q->err.text[0] = '\0';
    q->err.rc = POL_PARSED;
    q->err.position = 0;
    pol_verdict_clear(&q->verdict);
    memset(&q->reply, 0, offsetof(struct appr_reply, by));
    q->reply.by[0] = q->reply.text[0] = '\0';
    q->open = true;
    q->id = ev->stmt.id;
    q->kind = ev->stmt.kind;
    q->text = ev->stmt.text;
    q->name = ev->stmt.name;
    q->len = ev->stmt.len;
    q->params = ev->stmt.params;
    q->nparams = ev->stmt.nparams;
    q->params_cut = ev->stmt.params_cut;
    q->by_name = ev->stmt.by_name;
    q->types = ev->stmt.types;
    q->ntypes = ev->stmt.ntypes;
    q->alone = ev->stmt.alone;
    q->multi = ev->stmt.multi;
    q->asked_us = worker_now_us();
    q->prep = ev->stmt.kind == FLT_STMT_EXECUTE ? ev->stmt.ctx : NULL;
    return q;
}

static void begin(struct session *s) {
    if (!session_wait_catalog(s, look)) look(s);
}

static void run_turn(struct worker *w, struct wmsg *m) {
    struct session *s = (struct session *)(void *)((char *)m - offsetof(struct session, turn));
    (void)w;
    s->turn.posted = false;
    if (s->q->open && s->q->id == s->turn.id) {
        begin(s);
        pump_run(&s->pump);
    }
    session_unref(s);
}

/* One read may hold a thousand small messages: the open question waits for the next round when those before it have taken a ms, so that other sessions come between. */
static bool put_off(struct session *s) {
    if (s->turn.of != s->pump.turns) {
        s->turn.of = s->pump.turns;
        s->turn.began_us = s->q->asked_us;
    }
    if (s->q->asked_us - s->turn.began_us < TURN_US || s->turn.posted) return false;
    s->turn.msg.run = run_turn;
    s->turn.id = s->q->id;
    s->turn.posted = true;
    session_ref(s);
    worker_post(s->ws->w, &s->turn.msg);
    return true;
}

void session_on_statement(struct session *s, const struct flt_event *ev) {
    struct question *q = open_question(ev);
    session_drop_question(s);
    if (q == NULL) {
        s->why = "out of memory";
        session_close(s, "53200", "out of memory", "Try again later.");
        return;
    }
    s->q = q;
    s->statements++;
    if (!put_off(s)) begin(s);
}

void session_on_result(struct session *s, const struct flt_event *ev) {
    struct running r = {0};
    bool known = running_pop(s, ev->result.id, &r);
    s->rows += ev->result.rows;
    s->bytes += ev->result.bytes;
    uint64_t took_us = known ? worker_now_us() - r.started_us : 0;
    record_result(s, ev, known ? &took_us : NULL);
    m_add(s->ws->m, M_ROWS, ev->result.rows);
    if (known && !ev->result.skipped) {
        const char class[3] = {ev->result.sqlstate[0], ev->result.sqlstate[0] != '\0' ? ev->result.sqlstate[1] : '\0', '\0'};
        m_observe(s->ws->m, M_STATEMENT_SECONDS, took_us);
        if (strcmp(class, "00") != 0) m_count(s->ws->m, M_SERVER_ERRORS, class[0] != '\0' ? class : "(lost)", NULL, NULL);
    }
    if (r.changes_schema && !ev->result.skipped) session_schema_changed(s);
    if (r.facts == NULL) return;
    session_names_ended(s, &r, !ev->result.skipped && strcmp(ev->result.sqlstate, "00000") == 0);
    facts_ref_put(r.facts);
}
