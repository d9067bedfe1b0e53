/* A statement: its facts, the verdict, the record, and only then the answer to the filter. */
#include <config.h>

#include "spoa/session_int.h"

#include "spoa/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INLINE_BYTES 32768u /* longer texts are parsed by the pool */
#define EXECUTE_SQL  32768u /* an Execute's record repeats the text up to here; beyond, it names the record of the Parse */

static const char *kind_name(enum flt_stmt_kind k) { return k == FLT_STMT_QUERY ? "query" : k == FLT_STMT_PREPARE ? "parse" : "execute"; }

static void deny(struct pol_verdict *v, const char *sqlstate, const char *message, const char *hint) {
    *v = (struct pol_verdict){.effect = POL_DENY, .rule = ""};
    snprintf(v->sqlstate, sizeof v->sqlstate, "%s", sqlstate);
    snprintf(v->message, sizeof v->message, "%s", message);
    snprintf(v->hint, sizeof v->hint, "%s", hint);
}

void session_prep_free(void *ctx) {
    struct prep *p = ctx;
    facts_ref_put(p->facts);
    free(p);
}

void session_drop_question(struct session *s) {
    facts_ref_put(s->q.facts);
    s->q = (struct question){0};
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

/* --- names that SQL makes --- */

static bool names_matter(const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        if (t->forget_statement != NULL || t->forget_portal != NULL || t->forget_all_statements || t->forget_all_portals ||
            t->kind == POL_K_FETCH)
            return true;
    }
    return false;
}

static void names_promised(struct session *s, const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        if (t->kind == POL_K_PREPARE && t->forget_statement != NULL)
            names_promise(&s->prepared, t->forget_statement, s->snap->policy_generation);
        if (t->kind == POL_K_DECLARE && t->forget_portal != NULL) names_promise(&s->cursors, t->forget_portal, s->snap->policy_generation);
    }
}

static void names_done(struct session *s, const struct running *r) {
    const struct pol_facts *f = facts_of(r->facts);
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        if (t->forget_all_statements)
            names_clear(&s->prepared);
        else if (t->forget_statement != NULL && t->kind == POL_K_PREPARE)
            names_made(&s->prepared, t->forget_statement, r->generation);
        else if (t->forget_statement != NULL)
            names_dropped(&s->prepared, t->forget_statement);
        if (t->forget_all_portals)
            names_clear(&s->cursors);
        else if (t->forget_portal != NULL && t->kind == POL_K_DECLARE)
            names_made(&s->cursors, t->forget_portal, r->generation);
        else if (t->forget_portal != NULL)
            names_dropped(&s->cursors, t->forget_portal);
    }
}

/* EXECUTE and FETCH run what an earlier statement said: when the policy has changed since, that verdict no longer counts. */
static bool stale_name(struct session *s, const struct pol_facts *f, struct pol_verdict *v) {
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        if (t->uses_statement != NULL && t->kind != POL_K_DEALLOCATE &&
            names_older(&s->prepared, t->uses_statement, s->snap->policy_generation))
            deny(v, "42501", "the policy has changed since this statement was prepared", "DEALLOCATE it and PREPARE it again.");
        else if (t->uses_portal != NULL && t->kind != POL_K_CLOSE && names_older(&s->cursors, t->uses_portal, s->snap->policy_generation))
            deny(v, "42501", "the policy has changed since this cursor was declared", "CLOSE it and DECLARE it again.");
        else
            continue;
        v->stmt = i;
        return true;
    }
    return false;
}

/* --- the record --- */

static void record_statement(struct session *s, led_done_fn done, void *arg) {
    const struct question *q = &s->q;
    const struct pol_verdict *v = &q->verdict;
    const struct pol_facts *f = q->facts != NULL ? facts_of(q->facts) : NULL;
    struct rec r = {0};
    char sha[65], relations[2048], kinds[256];
    char *params = rec_params(q->params, q->nparams);
    size_t hidden_len = 0;
    char *hidden = f != NULL ? rec_hide_passwords(f, q->text, q->len, &hidden_len) : NULL;
    rec_u64(&r, "id", q->id);
    rec_str(&r, "kind", kind_name(q->kind));
    rec_str(&r, "verdict", v->effect == POL_ALLOW ? "allow" : q->observed ? "observe-deny" : "deny");
    rec_str(&r, "rule", v->rule);
    if (v->effect != POL_ALLOW) {
        rec_str(&r, "sqlstate", v->sqlstate);
        rec_str(&r, "reason", v->message);
        if (v->detail[0] != '\0') rec_str(&r, "detail", v->detail);
    }
    if (q->kind == FLT_STMT_EXECUTE && q->prep != NULL && q->len > EXECUTE_SQL)
        rec_u64(&r, "parse_id", q->prep->id);
    else if (hidden != NULL)
        rec_bytes(&r, "sql", hidden, hidden_len);
    else
        rec_bytes(&r, "sql", q->text, q->len);
    /* Of the text as recorded: a hash of a hidden password could be tried out offline. */
    if (hidden != NULL)
        rec_sha256(hidden, hidden_len, sha);
    else
        rec_sha256(q->text, q->len, sha);
    rec_str(&r, "sha256", sha);
    if (q->name != NULL) rec_str(&r, "name", q->name);
    rec_str(&r, "params", params);
    if (q->params_cut) rec_str(&r, "params_cut", "1");
    rec_str(&r, "principal", s->who->principal);
    rec_str(&r, "database", s->db->name);
    if (f != NULL) {
        rec_kinds(f, kinds, sizeof kinds);
        rec_relations(f, relations, sizeof relations);
        rec_str(&r, "statements", kinds);
        rec_str(&r, "relations", relations);
    }
    rec_str(&r, "policy", pol_policy_hash(s->snap->policy));
    rec_append(s->ws->d->led, &r, LED_SESSION, s->id, "statement", done, arg);
    free(params);
    free(hidden);
}

static void record_result(struct session *s, const struct flt_event *ev, uint64_t started_us) {
    struct rec r = {0};
    rec_u64(&r, "id", ev->result.id);
    rec_u64(&r, "rows", ev->result.rows);
    rec_u64(&r, "bytes", ev->result.bytes);
    rec_str(&r, "sqlstate", ev->result.sqlstate);
    if (started_us != 0) rec_u64(&r, "duration_us", worker_now_us() - started_us);
    rec_str(&r, "skipped", ev->result.skipped ? "1" : "0");
    rec_append(s->ws->d->led, &r, LED_SESSION, s->id, "result", NULL, NULL);
}

/* A statement that was recorded as allowed, but never left. */
static void record_withheld(struct session *s, uint64_t id, const char *reason) {
    struct rec r = {0};
    rec_u64(&r, "id", id);
    rec_str(&r, "skipped", "1");
    rec_str(&r, "reason", reason);
    rec_append(s->ws->d->led, &r, LED_SESSION, s->id, "result", NULL, NULL);
}

/* --- the answer --- */

static void answer_refusal(struct session *s) {
    const struct pol_verdict kept = s->q.verdict; /* the question is dropped before the filter may ask the next one */
    const struct flt_answer a = {.allow = false,
                                 .sqlstate = kept.sqlstate,
                                 .message = kept.message,
                                 .detail = kept.detail[0] != '\0' ? kept.detail : NULL,
                                 .hint = kept.hint[0] != '\0' ? kept.hint : NULL};
    uint64_t id = s->q.id;
    s->refused++;
    log_event(LOG_INFO, "statement.refused", "session", s->id, "principal", s->who->principal, "database", s->db->name, "sqlstate",
              kept.sqlstate, "rule", kept.rule, "reason", kept.message, NULL);
    session_drop_question(s);
    flt_answer(s->filter, id, &a);
}

static void refuse(struct session *s) {
    record_statement(s, NULL, NULL);
    answer_refusal(s);
}

static struct prep *make_prep(struct session *s) {
    struct question *q = &s->q;
    struct prep *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    if (q->facts != NULL) p->facts = facts_ref_get(q->facts);
    p->err = q->err;
    p->id = q->id;
    p->generation = s->snap->policy_generation;
    p->observed = q->observed;
    snprintf(p->rule, sizeof p->rule, "%s", q->verdict.rule);
    return p;
}

/* The names that the text makes or drops when it runs. False when out of memory. */
static bool fill_forgets(const struct pol_facts *f, struct flt_answer *a, const char ***lists) {
    *lists = NULL;
    if (!names_matter(f)) return true;
    const char **names = calloc(3 * f->nstmts, sizeof *names);
    if (names == NULL) return false;
    const char **portals = names + f->nstmts, **fetched = portals + f->nstmts;
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        if (t->forget_statement != NULL) names[a->nforget_statements++] = t->forget_statement;
        if (t->forget_portal != NULL) portals[a->nforget_portals++] = t->forget_portal;
        if (t->kind == POL_K_FETCH) fetched[a->nfetched++] = t->uses_portal;
        a->forget_all_statements = a->forget_all_statements || t->forget_all_statements;
        a->forget_all_portals = a->forget_all_portals || t->forget_all_portals;
    }
    a->forget_statements = names;
    a->forget_portals = portals;
    a->fetched = fetched;
    *lists = names;
    return true;
}

static void answer_allow(struct session *s) {
    struct question *q = &s->q;
    struct flt_answer a = {.allow = true};
    const struct pol_facts *f = q->facts != NULL ? facts_of(q->facts) : NULL;
    const char **lists = NULL;
    bool ok = true;
    for (size_t i = 0; f != NULL && i < f->nstmts; i++) a.copy_in = a.copy_in || f->stmts[i].copy_in;
    if (q->kind == FLT_STMT_PREPARE) {
        a.ctx = make_prep(s);
        ok = a.ctx != NULL;
        if (q->name != NULL && q->name[0] != '\0') names_promise(&s->prepared, q->name, s->snap->policy_generation);
    } else if (f != NULL) {
        ok = fill_forgets(f, &a, &lists);
        names_promised(s, f);
    } else
        a.forget_all_statements = a.forget_all_portals = true; /* unread, in observe mode: it may have touched any name */
    if (!ok) {
        deny(&q->verdict, "53200", "out of memory", "Try again later.");
        record_withheld(s, q->id, "out of memory");
        answer_refusal(s);
        return;
    }
    if (q->kind != FLT_STMT_PREPARE) {
        struct running r = {.id = q->id, .started_us = worker_now_us(), .generation = s->snap->policy_generation};
        if (f != NULL && names_matter(f)) r.facts = facts_ref_get(q->facts);
        running_push(s, &r);
    }
    struct question done = *q; /* the names in a belong to these facts */
    *q = (struct question){0};
    flt_answer(s->filter, done.id, &a);
    free(lists);
    facts_ref_put(done.facts);
}

/* --- durable before it is on its way --- */

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
    if (l == NULL || (l->text = strndup(s->q.text, s->q.len)) == NULL) abort();
    l->s = s;
    l->len = s->q.len;
    l->id = s->q.id;
    session_ref(s);
    answer_allow(s);
    event_base_once(s->ws->base, -1, EV_TIMEOUT, record_late, l, &later);
}
#else
static void on_recorded(void *arg, enum led_status status) { /* the ledger's thread */
    struct session *s = arg;
    s->wait.status = status;
    worker_post(s->ws->w, &s->wait.msg);
}

static void run_recorded(struct worker *w, struct wmsg *m) {
    struct session *s = (struct session *)(void *)((char *)m - offsetof(struct session, wait));
    (void)w;
    if (s->q.open && s->q.id == s->wait.id) {
        if (s->wait.status == LED_OK)
            answer_allow(s);
        else {
            record_withheld(s, s->q.id, "ledger");
            deny(&s->q.verdict, "57P03", "the audit ledger is unavailable; retry later",
                 "Nothing of this statement was executed. No statement runs before it is recorded.");
            answer_refusal(s);
        }
        pump_run(&s->pump);
    } else
        record_withheld(s, s->wait.id, "session ended");
    session_unref(s);
}
#endif

static void forward(struct session *s) {
    if (s->q.kind == FLT_STMT_PREPARE) {
        /* It runs nothing yet. The record of its Execute comes after this one in the same stream and is waited for. */
        if (!led_healthy(s->ws->d->led)) {
            deny(&s->q.verdict, "57P03", "the audit ledger is unavailable; retry later", "No statement runs before it is recorded.");
            s->q.observed = false;
            refuse(s);
            return;
        }
        record_statement(s, NULL, NULL);
        answer_allow(s);
        return;
    }
#ifdef GH_RECORD_LATE
    forward_unrecorded(s);
#else
    s->wait.msg.run = run_recorded;
    s->wait.s = s;
    s->wait.id = s->q.id;
    session_ref(s);
    record_statement(s, on_recorded, s);
#endif
}

/* --- the verdict --- */

static void judge(struct session *s) {
    struct question *q = &s->q;
    const struct pol_facts *f = q->facts != NULL ? facts_of(q->facts) : NULL;
    struct prep *p = q->prep;
    if (s->role == NULL) {
        deny(&q->verdict, "42501", "this database is no longer offered here", "Ask who keeps the configuration of this gate.");
        refuse(s);
        return;
    }
    if (f == NULL)
        pol_refuse_parse(&q->err, &q->verdict);
    else if (p != NULL && p->generation == s->snap->policy_generation && !p->observed)
        q->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = p->rule};
    else
        pol_judge(s->role, f, &q->verdict);
    if (pol_role_observes(s->role)) {
        /* Bytes that are no text would not reach the server as what was recorded: refused in every mode. */
        bool forwardable = f != NULL || (q->err.rc != POL_ENCODING && q->err.rc != POL_NO_MEMORY);
        q->observed = q->verdict.effect != POL_ALLOW && forwardable;
    } else if (q->verdict.effect == POL_ALLOW && f != NULL)
        stale_name(s, f, &q->verdict);
    if (p != NULL && q->verdict.effect == POL_ALLOW) {
        p->generation = s->snap->policy_generation;
        p->observed = false;
        if (q->verdict.rule != p->rule) snprintf(p->rule, sizeof p->rule, "%s", q->verdict.rule);
    }
    if (q->verdict.effect == POL_ALLOW || q->observed)
        forward(s);
    else
        refuse(s);
}

static void take_facts(struct session *s, struct pol_facts *facts) {
    struct question *q = &s->q;
    if (facts != NULL) {
        q->facts = facts_ref_new(facts);
        if (q->facts == NULL)
            q->err = (struct pol_parse_error){.rc = POL_NO_MEMORY, .text = "out of memory"};
        else if (q->len <= INLINE_BYTES) /* a long text would push hundreds of short ones out */
            factscache_put(s->ws->facts, q->text, q->len, q->facts);
    }
    judge(s);
}

static void run_parsed(struct worker *w, struct wmsg *m);

static void parse_in_pool(struct session *s) {
    struct question *q = &s->q;
    struct parse_job *job = parse_job_new(s->ws->w, q->text, q->len, run_parsed);
    if (job != NULL) {
        job->owner = s;
        job->id = q->id;
        if (parsepool_submit(s->ws->d->pool, job)) {
            session_ref(s);
            return;
        }
        free(job);
    }
    deny(&q->verdict, "53400", "too many long statements are waiting to be parsed", "Try again later, or send shorter statements.");
    refuse(s);
}

static void run_parsed(struct worker *w, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    struct session *s = job->owner;
    (void)w;
    if (s->q.open && s->q.id == job->id) {
        s->q.err = job->err;
        session_renew(s);
        take_facts(s, job->facts);
        pump_run(&s->pump);
    } else
        pol_facts_free(job->facts);
    free(job);
    session_unref(s);
}

void session_on_statement(struct session *s, const struct flt_event *ev) {
    struct question *q = &s->q;
    const struct pol_parse_limits limits = {.bytes = (uint32_t)s->snap->conf->limits.statement};
    *q = (struct question){.open = true,
                           .id = ev->stmt.id,
                           .kind = ev->stmt.kind,
                           .text = ev->stmt.text,
                           .name = ev->stmt.name,
                           .len = ev->stmt.len,
                           .params = ev->stmt.params,
                           .nparams = ev->stmt.nparams,
                           .params_cut = ev->stmt.params_cut,
                           .prep = ev->stmt.kind == FLT_STMT_EXECUTE ? ev->stmt.ctx : NULL};
    s->statements++;
    session_renew(s);
    if ((int64_t)time(NULL) >= s->who->valid_until) {
        deny(&q->verdict, "28000", "the token has expired", "Reconnect with a fresh token as the password.");
        refuse(s);
        return;
    }
    if (q->prep != NULL) {
        q->facts = q->prep->facts != NULL ? facts_ref_get(q->prep->facts) : NULL;
        q->err = q->prep->err;
        judge(s);
        return;
    }
    q->facts = q->len <= INLINE_BYTES ? factscache_find(s->ws->facts, q->text, q->len) : NULL;
    if (q->facts != NULL)
        judge(s);
    else if (q->len <= INLINE_BYTES)
        take_facts(s, pol_facts_pg(q->text, q->len, &limits, &q->err));
    else
        parse_in_pool(s);
}

void session_on_result(struct session *s, const struct flt_event *ev) {
    struct running r = {0};
    bool known = running_pop(s, ev->result.id, &r);
    s->rows += ev->result.rows;
    s->bytes += ev->result.bytes;
    record_result(s, ev, known ? r.started_us : 0);
    if (r.facts == NULL) return;
    if (!ev->result.skipped && strcmp(ev->result.sqlstate, "00000") == 0) names_done(s, &r);
    facts_ref_put(r.facts);
}
