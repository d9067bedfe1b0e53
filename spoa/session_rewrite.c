/* What runs in the place of a statement that was allowed, and what its answer is bound to: masks and row filters under it, errors that tell nothing,
 * limits on its result. */
#include "spoa/session_int.h"

#include "spoa/statement.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static bool deny(struct session *s, const char *sqlstate, const char *message, const char *hint) {
    stmt_deny(&s->q->verdict, sqlstate, message, hint);
    return false;
}

/* --- limits --- */

static uint64_t less(uint64_t a, uint64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

static void least(struct pol_limits *l, const struct pol_limits *other) {
    enum pol_record record = l->record > other->record ? l->record : other->record;
    *l = (struct pol_limits){less(l->rows, other->rows), less(l->bytes, other->bytes), less(l->ms, other->ms), record};
}

static bool any(const struct pol_limits *l) { return (l->rows | l->bytes | l->ms) != 0; }

/* EXECUTE and FETCH name no relation: of what they run, the least limit that any PREPARE or DECLARE of this session had counts. */
static bool limits(struct session *s, const struct pol_facts *f) {
    struct question *q = s->q;
    q->limits = q->prep != NULL && q->prep->epoch == s->epoch ? q->prep->allowed.limits : q->verdict.limits;
    q->undoes = false;
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *t = &f->stmts[i];
        bool undoes = t->changes && (t->returns || t->kind == POL_K_EXPLAIN);
        if (t->kind == POL_K_PREPARE)
            s->named_undoes = s->named_undoes || (undoes && (q->verdict.limits.rows | q->verdict.limits.bytes) != 0);
        else
            q->undoes = q->undoes || undoes || (t->uses_statement != NULL && s->named_undoes);
        if (t->uses_statement != NULL || t->uses_portal != NULL) least(&q->limits, &s->named);
        if (t->kind == POL_K_PREPARE || t->kind == POL_K_DECLARE) least(&s->named, &q->verdict.limits);
        if (s->mysql && t->kind == POL_K_PREPARE && stmt_my_overwrites(f)) s->named_overwrites = true;
    }
    q->verdict.limits.record = q->limits.record;
    if (s->mysql && (q->limits.rows | q->limits.bytes) != 0 && session_my_returns(s, f))
        return deny(
            s, "0A000",
            "a change with RETURNING cannot run: the policy limits its result, and what is over the limit would be changed all the same",
            "Leave RETURNING out, and do not prepare a change in SQL.");
    if (f->nstmts <= 1 || !any(&q->limits)) return true;
    return deny(s, "0A000", "several statements in one text cannot run: the policy limits the result of one of them",
                "Send them one by one.");
}

void session_limit_tick(struct session *s, uint64_t now_us) {
    if (s->run_count == 0) return;
    const struct running *r = &s->running[(s->run_head + s->run_count - 1) % s->run_cap];
    if (r->limit_ms != 0 && now_us - r->started_us > r->limit_ms * 1000u && flt_overrun(s->filter)) pump_run(&s->pump);
}

/* --- the text --- */

static bool explains_execute(const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++)
        if (f->stmts[i].kind == POL_K_EXPLAIN && f->stmts[i].uses_statement != NULL) return true;
    return false;
}

#define NO_PLAN                                                                                                                            \
    "EXPLAIN is refused: a plan shows what the policy puts in the place of hidden data, and its figures are of rows that you may not see"

/* Drivers that know the SQLSTATE prepare it again by themselves. */
static bool changed(struct session *s) {
    return deny(s, "26000", "what runs in the place of this prepared statement has changed with the policy or the database's schema",
                "Prepare it again.");
}

/* The rewritten text is known: r, which is taken over, or NULL when the verdict says why there is none. */
static bool take(struct session *s, struct rewrite *r) {
    struct question *q = s->q;
    if (r == NULL) {
        m_count(s->ws->m, M_REWRITES, s->db->name, "refused", NULL);
        return false;
    }
    q->rewrite = r;
    if (r->explain) return deny(s, "42501", NO_PLAN, "Ask who keeps the policy, or a colleague who sees all of it.");
    if (q->prep == NULL || rewrite_same(r, q->prep->sent)) return true;
    return changed(s);
}

/* The text by what the pool has made. */
static bool take_made(struct session *s, struct parse_job *job) {
    struct rewrite *r = rewrite_of(job->rc, &job->rewritten, job->why);
    if (r == NULL)
        s->q->verdict = *job->why;
    else {
        rewrites_keep(s->rewrites, s->q->text, s->q->len, r);
        m_count(s->ws->m, M_REWRITES, s->db->name, "made", NULL);
    }
    return take(s, r);
}

static void run_rewritten(struct worker *w, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    struct session *s = job->owner;
    (void)w;
    if (session_from_pool(s, job)) {
        session_rewritten(s, take_made(s, job));
        pump_run(&s->pump);
    }
    parse_job_free(job);
    session_unref(s);
}

/* Long work is done on the pool's threads: the role goes there with the text, and nobody touches it meanwhile, because the question is open. */
static bool in_pool(struct session *s) {
    const struct my_options my = session_my_options(s);
    struct stmt_pooled what = {.text = s->q->text, .len = s->q->len, .my = s->mysql ? &my : NULL, .role = s->role, .run = run_rewritten};
    return session_in_pool(s, &what);
}

/* What a prepared statement of another epoch runs at the server was settled by its Parse. */
static bool stale(const struct session *s) {
    const struct prep *p = s->q->prep;
    return p != NULL && p->epoch != s->epoch && p->sent != NULL && p->sent->sql != NULL;
}

bool session_rewrite(struct session *s, const struct pol_facts *f) {
    struct question *q = s->q;
    if (!limits(s, f)) return false;
    bool restricts = pol_role_restricts(s->role);
    if (stale(s) && (!restricts || !q->verdict.rewrite)) return changed(s);
    if (!restricts) return true;
    if (explains_execute(f)) return deny(s, "42501", NO_PLAN, "Ask who keeps the policy, or a colleague who sees all of it.");
    const char *tells = s->mysql ? stmt_my_tells(f) : NULL;
    if (tells != NULL) return deny(s, "42501", tells, "It could tell what is hidden from you.");
    if (!q->verdict.rewrite) return true;
    enum rewrites_how how;
    struct pol_verdict why;
    if (s->rewrites == NULL && (s->rewrites = calloc(1, sizeof *s->rewrites)) == NULL)
        return deny(s, "53200", "out of memory", "Try again later.");
    if (s->rewrites_epoch != s->epoch) rewrites_clear(s->rewrites);
    s->rewrites_epoch = s->epoch;
    if (q->ahead != NULL && q->epoch == s->epoch) {
        bool ok = take_made(s, q->ahead);
        parse_job_free(q->ahead);
        q->ahead = NULL;
        return ok;
    }
    const struct pol_parse_limits limits = {.bytes = (uint32_t)s->snap->conf->limits.statement, .brief = true};
    const struct my_options my = session_my_options(s);
    struct rewrite *r = rewrites_get(s->rewrites, s->ws->facts, q->text, q->len, s->mysql ? &my : NULL, &limits, s->role, &how, &why);
    if (how == REWRITES_LONG) return in_pool(s);
    if (r == NULL)
        q->verdict = why;
    else
        m_count(s->ws->m, M_REWRITES, s->db->name, how == REWRITES_CACHED ? "cached" : "made", NULL);
    return take(s, r);
}

/* What SQL's PREPARE made, whose text is not at hand. */
static bool executes_name(const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++)
        if (f->stmts[i].uses_statement != NULL) return true;
    return false;
}

void session_oblige(const struct session *s, struct flt_answer *a) {
    const struct question *q = s->q;
    a->retrack = s->mysql && q->verdict.retracks && q->kind != FLT_STMT_PREPARE;
    if (s->role == NULL || (pol_role_observes(s->role) && !q->grants)) return;
    if (q->prep == NULL && q->rewrite != NULL && q->rewrite->sql != NULL) {
        a->rewritten = q->rewrite->sql;
        a->rewritten_len = q->rewrite->len;
        a->pieces = q->rewrite->pieces;
        a->npieces = q->rewrite->npieces;
    }
#ifdef GH_UNSOUND_UNVEILED /* a program of t/e2e/test_noninterference.py, which must be found out */
    a->veil = false;
#else
    a->veil = pol_role_restricts(s->role) || s->blind;
#endif
    if (s->mysql && a->veil && q->facts != NULL) {
        a->veil_columns = executes_name(facts_of(q->facts));
        a->veil_rows = stmt_my_overwrites(facts_of(q->facts)) || (a->veil_columns && s->named_overwrites);
    }
    if (q->kind == FLT_STMT_PREPARE) return;
    a->limited = any(&q->limits);
    a->undoes = q->undoes;
    a->max_rows = q->limits.rows;
    a->max_bytes = q->limits.bytes;
}
