#include "spoa/statement.h"

#include "spoa/clock.h"
#include "spoa/mask.h"
#include "spoa/secret_sql.h"
#include "spoa/starved.h"

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

bool stmt_is_long(size_t len, const struct pol_parse_limits *limits, struct pol_parse_error *err) {
    if (limits == NULL || !limits->brief || len <= STMT_INLINE_BYTES) return false;
    *err = (struct pol_parse_error){.rc = POL_LONG, .text = "the statement is long"};
    return true;
}

struct facts_ref *stmt_facts(struct factscache *cache, const char *text, size_t len, const struct pol_parse_limits *limits,
                             struct pol_parse_error *err) {
    struct facts_ref *r = len <= STMT_CACHE_BYTES ? factscache_find(cache, text, len) : NULL;
    if (r != NULL) return r;
    struct pol_parsed p;
    if (stmt_is_long(len, limits, err) || !pol_parse_pg(&p, text, len, limits, err)) return NULL;
    r = stmt_facts_of(pol_facts_parsed(&p, err), err);
    if (r != NULL) {
        if (len <= STMT_CACHE_BYTES) factscache_put(cache, text, len, r);
        factscache_keep_tree(cache, text, len, &p);
    } else
        pol_parse_clear(&p);
    return r;
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
    if (pol_role_observes(l->role)) return true;
    if (l->facts == NULL || l->observed || l->shaped || names_others(l->facts) || (l->unpinned && !pol_role_everything(l->role)))
        return false;
    if (pol_judge_long(l->role, l->facts))
        return false; /* other sessions of this worker would wait: it is sent again, and judged by the pool */
    stmt_judge(l->role, l->facts, l->err, &now);
    return now.effect == POL_ALLOW && !now.rewrite && (now.limits.rows | now.limits.bytes | now.limits.ms) == 0;
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

static const char *verdict_name(const struct pol_verdict *v, bool observed) {
    if (v->effect == POL_ASK) return observed ? "observe-ask" : "ask";
    return v->effect == POL_ALLOW ? "allow" : observed ? "observe-deny" : "deny";
}

void stmt_count(struct mblock *m, const char *database, const struct pol_verdict *v, bool observed) {
    m_count(m, M_STATEMENTS, database, verdict_name(v, observed), v->rule[0] != '\0' ? v->rule : "(none)");
}

char *stmt_text_hidden(const struct pol_facts *facts, const char *text, size_t len, size_t *outlen) {
    bool failed = false;
    char *hidden = secret_sql_may(facts) ? secret_sql_hide(text, len, facts, outlen, &failed) : NULL;
    if (failed) starved_note();
    if (failed && (hidden = rec_copy("***", 3)) != NULL) *outlen = 3;
    if (hidden == NULL && mask_needed(text, len, false)) {
        hidden = rec_copy(text, len);
        *outlen = len;
    }
    if (hidden != NULL) *outlen = mask_tokens(hidden, *outlen, false);
    return hidden;
}

/* --- what the records of a text have in common --- */

#define COMMON_TEXT   2048u
#define COMMON_MISSES 8u /* before another one is made: two roles may take turns with a text */

static bool is(const struct led_run *run, size_t i, const char *value, size_t len) {
    const struct led_field *f = led_run_field(run, i);
    return f->len == len && memcmp(f->value, value, len) == 0;
}

static struct led_run *run_of(const struct rec *r) { return led_run_new(r->f, r->n); }

static void put_whose(struct rec *r, const struct stmt_record *st) {
    rec_str(r, "principal", st->principal);
    rec_str(r, "database", st->database);
}

/* These two, as the session has them; compared, because a fresh token may bring another principal. NULL: it has none. */
static const struct led_run *run_of_whose(const struct stmt_record *st) {
    if (st->whose == NULL || st->principal == NULL || st->database == NULL) return NULL;
    const struct led_run *has = *st->whose;
    if (has != NULL && is(has, 0, st->principal, strlen(st->principal)) && is(has, 1, st->database, strlen(st->database))) return has;
    struct rec r = {0};
    put_whose(&r, st);
    led_run_free(*st->whose);
    return *st->whose = run_of(&r);
}

static void put_verdict(struct rec *r, const struct stmt_record *st) {
    rec_str(r, "verdict", verdict_name(st->verdict, st->observed));
    rec_str(r, "rule", st->verdict->rule);
}

/* Texts that a record borrows. */
struct which {
    char kinds[256], relations[2048];
};

static void put_which(struct rec *r, struct which *w, const struct pol_facts *f, const char *policy) {
    if (f != NULL) {
        rec_kinds(f, w->kinds, sizeof w->kinds);
        rec_relations(f, w->relations, sizeof w->relations);
        rec_str(r, "statements", w->kinds);
        rec_str(r, "relations", w->relations);
    }
    rec_str(r, "policy", policy);
}

/* The fields from "verdict" to "sha256", and from "statements" to "policy", of an ordinary statement that is allowed; made when a text comes again, and compared with
 * all that they were made of. NULL: it has none. */
static const struct facts_said *common(const struct stmt_record *st) {
    const struct pol_verdict *v = st->verdict;
    if (st->facts == NULL || v->effect != POL_ALLOW || st->observed || st->parse_id != 0 || st->rewritten != NULL ||
        st->len > COMMON_TEXT || st->policy == NULL)
        return NULL;
    struct facts_said *said = facts_said(st->facts);
    size_t rule = strlen(v->rule);
    if (said->what != NULL && said->which != NULL && is(said->what, 1, v->rule, rule) && is(said->what, 2, st->text, st->len) &&
        is(said->which, 2, st->policy, strlen(st->policy)))
        return said;
    const struct pol_facts *f = facts_of(st->facts);
    if (said->asked++ % COMMON_MISSES != 1 || secret_sql_may(f)) return NULL;
    struct rec what = {0}, which = {0};
    struct which w;
    char sha[65];
    rec_sha256(st->text, st->len, sha);
    if (sha[0] == '\0') return NULL;
    put_verdict(&what, st);
    rec_bytes(&what, "sql", st->text, st->len);
    rec_str(&what, "sha256", sha);
    put_which(&which, &w, f, st->policy);
    led_run_free(said->what);
    led_run_free(said->which);
    said->what = run_of(&what);
    said->which = run_of(&which);
    return said->what != NULL && said->which != NULL ? said : NULL;
}

/* --- the record --- */

/* A text as it may be recorded, which is hidden where that is not NULL. */
struct shown {
    char *hidden;
    size_t len;
};

static void put_text(struct rec *r, const char *name, const struct shown *as, const char *text, size_t len) {
    if (as->hidden != NULL)
        rec_bytes(r, name, as->hidden, as->len);
    else
        rec_bytes(r, name, text, len);
}

static void put_refusal(struct rec *r, const struct stmt_record *st, char *reason, size_t size) {
    const struct pol_verdict *v = st->verdict;
    rec_str(r, "sqlstate", v->sqlstate);
    snprintf(reason, size, "%s", v->message);
    if (st->facts == NULL) secret_message(reason);
    rec_str(r, "reason", reason);
    if (v->detail[0] != '\0') rec_str(r, "detail", v->detail);
}

void stmt_record(struct led *l, const char *session, const struct stmt_record *st, const struct rec *more, led_done_fn done, void *arg) {
    const struct pol_verdict *v = st->verdict;
    const struct pol_facts *f = st->facts != NULL ? facts_of(st->facts) : NULL;
    const struct facts_said *said = common(st); /* of a text in which nothing is hidden */
    const struct led_run *whose = run_of_whose(st);
    struct rec r;
    rec_begin(&r);
    /* What was prepared and runs by its Execute, whose record comes behind this one and is waited for. */
    r.can_wait = done == NULL && v->effect == POL_ALLOW;
    r.journal_does = more != NULL && more->journal_does;
    char sha[65], reason[sizeof v->message];
    struct which which;
    struct shown text = {0}, instead = {0};
    char *params = rec_params(st->params, st->nparams, said == NULL && f != NULL && secret_sql_may(f));
    static const struct led_name id = LED_NAME(2, "id");
    rec_number(&r, &id, st->id);
    rec_str(&r, "kind", st->kind);
    if (said != NULL)
        rec_run(&r, said->what);
    else {
        text.hidden = stmt_text_hidden(f, st->text, st->len, &text.len);
        put_verdict(&r, st);
        if (v->effect != POL_ALLOW) put_refusal(&r, st, reason, sizeof reason);
        if (st->parse_id != 0)
            rec_u64(&r, "parse_id", st->parse_id);
        else
            put_text(&r, "sql", &text, st->text, st->len);
        if (st->rewritten != NULL) {
            instead.hidden = stmt_text_hidden(f, st->rewritten, st->rewritten_len, &instead.len);
            put_text(&r, "rewritten", &instead, st->rewritten, st->rewritten_len);
        }
        /* Of the text as recorded: a hash of a hidden password could be tried out offline. Without memory for the copy the ledger hides it. */
        if (text.hidden != NULL)
            rec_sha256(text.hidden, text.len, sha);
        else
            rec_sha256(st->text, st->len, sha);
        rec_str(&r, "sha256", sha);
    }
    rec_str(&r, "name", st->name);
    rec_str(&r, "params", params);
    if (st->params_cut || (params == NULL && st->nparams > 0)) rec_str(&r, "params_cut", "1");
    if (whose != NULL)
        rec_run(&r, whose);
    else
        put_whose(&r, st);
    if (said != NULL)
        rec_run(&r, said->which);
    else
        put_which(&r, &which, f, st->policy);
    for (size_t i = 0; more != NULL && i < more->n; i++) rec_bytes(&r, more->f[i].name, more->f[i].value, more->f[i].len);
    rec_append(l, &r, LED_SESSION, session, "statement", done, arg);
    free(params);
    free(text.hidden);
    free(instead.hidden);
}

void stmt_record_withheld(struct led *l, const char *session, uint64_t id, const char *reason) {
    struct rec r = {0};
    rec_u64(&r, "id", id);
    rec_str(&r, "skipped", "1");
    rec_str(&r, "reason", reason);
    rec_append(l, &r, LED_SESSION, session, "result", NULL, NULL);
}

void stmt_record_quota(struct led *l, const char *session, const char *principal, uint64_t refused) {
    struct rec r = {0};
    rec_str(&r, "principal", principal);
    rec_u64(&r, "refused", refused);
    rec_append(l, &r, LED_SESSION, session, "quota", NULL, NULL);
}
