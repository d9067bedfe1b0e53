#include "spoa/statement.h"

#include "policy/shape.h"
#include "spoa/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void stmt_deny(struct pol_verdict *v, const char *sqlstate, const char *message, const char *hint) {
    *v = (struct pol_verdict){.effect = POL_DENY, .rule = ""};
    snprintf(v->sqlstate, sizeof v->sqlstate, "%s", sqlstate);
    snprintf(v->message, sizeof v->message, "%s", message);
    snprintf(v->hint, sizeof v->hint, "%s", hint);
}

struct facts_ref *stmt_facts_of(struct pol_facts *facts, struct pol_parse_error *err) {
    if (facts == NULL) return NULL;
    struct facts_ref *r = facts_ref_new(facts);
    if (r == NULL) *err = (struct pol_parse_error){.rc = POL_NO_MEMORY, .text = "out of memory"};
    return r;
}

/* Its facts may be known from a time when texts might be longer. */
bool stmt_is_over(size_t len, const struct pol_parse_limits *limits) { return limits != NULL && limits->bytes != 0 && len > limits->bytes; }

bool stmt_is_long(size_t len, const struct pol_parse_limits *limits, struct pol_parse_error *err) {
    if (limits == NULL || !limits->brief || len <= STMT_INLINE_BYTES) return false;
    *err = (struct pol_parse_error){.rc = POL_LONG, .text = "the statement is long"};
    return true;
}

/* --- the cache of facts --- */

#define BLANK_BYTES 8192u /* longer texts are known by the letter only */

/* A text, and as all that are like it have it. */
struct known {
    const char *text;
    size_t len;
    bool blanked; /* false: none are */
    char alike[BLANK_BYTES];
};

static void blank(struct known *k) { k->blanked = k->len <= BLANK_BYTES && pol_blank_pg(k->text, k->len, k->alike) > 0; }

/* A text that comes again and again is kept as it is, too: it is found without being blanked. NULL: there is none, and k is blanked. */
static struct facts_ref *find(struct factscache *cache, struct known *k) {
    struct facts_ref *r = k->len <= STMT_CACHE_BYTES ? factscache_find(cache, FACTS_EXACT, k->text, k->len) : NULL;
    if (r != NULL) return r;
    blank(k);
    r = k->blanked ? factscache_find(cache, FACTS_BLANKED, k->alike, k->len) : NULL;
    if (r == NULL)
        factscache_missed(cache);
    else if (factscache_again(cache, k->text, k->len))
        factscache_put(cache, FACTS_EXACT, k->text, k->len, r);
    return r;
}

static void keep(struct factscache *cache, const struct known *k, struct facts_ref *r) {
    if (k->blanked && pol_facts_alike(facts_of(r)))
        factscache_put(cache, FACTS_BLANKED, k->alike, k->len, r);
    else if (k->len <= STMT_CACHE_BYTES)
        factscache_put(cache, FACTS_EXACT, k->text, k->len, r);
}

void stmt_keep(struct factscache *cache, const char *text, size_t len, struct facts_ref *r) {
    struct known k;
    k.text = text;
    k.len = len;
    blank(&k);
    keep(cache, &k, r);
}

struct facts_ref *stmt_facts(struct factscache *cache, const char *text, size_t len, const struct pol_parse_limits *limits,
                             struct pol_parse_error *err) {
    struct pol_parsed p;
    struct known k; /* most of it stays unset */
    k.text = text;
    k.len = len;
    k.blanked = false;
    struct facts_ref *r = stmt_is_over(len, limits) ? NULL : find(cache, &k);
    if (r != NULL) return r;
    if (stmt_is_long(len, limits, err) || !pol_parse_pg(&p, text, len, limits, err)) return NULL;
    r = stmt_facts_of(pol_facts_parsed(&p, err), err);
    if (r != NULL) {
        keep(cache, &k, r);
        factscache_keep_tree(cache, text, len, &p);
    } else
        pol_parse_clear(&p);
    return r;
}

void stmt_no_room(struct pol_verdict *v) {
    stmt_deny(v, "53400", "too many long statements are waiting to be parsed", "Try again later, or send shorter statements.");
}

static struct parse_job *pool_job(struct worker *w, const struct stmt_pooled *what) {
    bool judges = what->judges != NULL;
    struct parse_job *job = parse_job_new(w, judges ? "" : what->text, judges ? 0 : what->len, what->run);
    if (job == NULL) return NULL;
    job->owner = what->owner;
    job->id = what->id;
    job->step = what->step;
    job->held = what->held;
    job->work = what->work;
    job->weight += what->weight;
    bool ok =
        judges ? parse_job_judges(job, what->role, what->judges) : what->role == NULL || parse_job_rewrites(job, what->role, what->ahead);
    if (ok && !judges && what->my != NULL) ok = parse_job_mysql(job, what->my);
    if (ok) return job;
    parse_job_free(job);
    return NULL;
}

bool stmt_in_pool(const struct stmt_pool *pool, const struct stmt_pooled *what, struct pol_verdict *v) {
    struct parse_job *job = pool_job(pool->worker, what);
    if (job != NULL && parsepool_submit(pool->pool, job, what->principal)) {
        m_add(pool->metrics, M_PARSE_POOL_JOBS, 1);
        return true;
    }
    parse_job_free(job);
    m_add(pool->metrics, M_PARSE_POOL_REFUSED, 1);
    if (v != NULL) stmt_no_room(v);
    return false;
}

bool stmt_judge(const struct pol_role *role, const struct pol_facts *f, const struct pol_parse_error *err, struct pol_verdict *v) {
    if (f == NULL)
        pol_refuse_parse(err, v);
    else
        pol_judge(role, f, v);
    /* Bytes that are no text would not reach the server as what was recorded: refused in every mode. */
    bool forwardable = f != NULL || (err->rc != POL_ENCODING && err->rc != POL_NO_MEMORY);
    return pol_role_observes(role) && v->effect != POL_ALLOW && forwardable;
}

/* It runs what another statement said, which may be as old as the policy was. */
static bool names_others(const struct pol_facts *f) {
    bool yes = false;
    for (size_t i = 0; i < f->nstmts; i++) yes = yes || f->stmts[i].uses_statement != NULL || f->stmts[i].uses_portal != NULL;
    return yes;
}

/* Another policy, or the end of a rule's hours: what leaves now is what that allows, as it is. */
static bool policy_still_may(const struct stmt_leaving *l) {
    struct pol_verdict now;
    if (l->same || l->ours) return true;
    if (l->role == NULL || l->approved) return false;
    if (l->shaped) return false; /* its record says so, and under mode: observe it would leave as it came */
    if (pol_role_observes(l->role)) return true;
    if (l->facts == NULL || l->observed || names_others(l->facts) || (l->unpinned && !pol_role_everything(l->role))) return false;
    if (pol_judge_long(l->role, l->facts))
        return false; /* other sessions of this worker would wait: it is sent again, and judged by the pool */
    stmt_judge(l->role, l->facts, l->err, &now);
    return pol_verdict_within(&now, l->verdict);
}

const char *stmt_over(const struct stmt_leaving *l, struct pol_verdict *v) {
    if (clock_seconds() >= l->valid_until) {
        stmt_deny(v, "28000", "the token has expired in this moment", "Nothing of this statement was executed. Send it again.");
        return "the token has expired";
    }
    if (!policy_still_may(l)) {
        stmt_deny(v, "42501", "the policy has changed in this moment", "Nothing of this statement was executed. Send it again.");
        return "the policy has changed";
    }
    bool granted = l->grant[0] == '\0' || ord_grant_counts(l->orders, l->grant);
    if (granted && !l->glass_over) return NULL;
    stmt_deny(v, "42501", "the time in which it could run without being asked about has ended in this moment",
              "Nothing of this statement was executed. Send it again: it is asked about then.");
    return granted ? "the time of the broken glass is over" : "the grant has ended";
}
