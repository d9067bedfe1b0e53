#include "spoa/statement.h"

#include "spoa/mask.h"
#include "spoa/secret_sql.h"
#include "spoa/starved.h"

#include <stdio.h>
#include <stdlib.h>

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

struct facts_ref *stmt_facts(struct factscache *cache, const char *text, size_t len, uint64_t max_bytes, struct pol_parse_error *err) {
    const struct pol_parse_limits limits = {.bytes = (uint32_t)max_bytes};
    struct facts_ref *r = factscache_find(cache, text, len);
    if (r != NULL) return r;
    struct pol_parsed p;
    if (!pol_parse_pg(&p, text, len, &limits, err)) return NULL;
    r = stmt_facts_of(pol_facts_parsed(&p, err), err);
    if (r != NULL) {
        factscache_put(cache, text, len, r);
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

void stmt_record(struct led *l, const char *session, const struct stmt_record *st, const struct rec *more, led_done_fn done, void *arg) {
    const struct pol_verdict *v = st->verdict;
    /* What was prepared and runs by its Execute, whose record comes behind this one and is waited for. */
    struct rec r = {.can_wait = done == NULL && v->effect == POL_ALLOW, .journal_does = more != NULL && more->journal_does};
    char sha[65], relations[2048], kinds[256], reason[sizeof v->message];
    char *params = rec_params(st->params, st->nparams, st->facts != NULL && secret_sql_may(st->facts));
    size_t hidden_len = 0;
    char *hidden = stmt_text_hidden(st->facts, st->text, st->len, &hidden_len);
    rec_u64(&r, "id", st->id);
    rec_str(&r, "kind", st->kind);
    rec_str(&r, "verdict", verdict_name(v, st->observed));
    rec_str(&r, "rule", v->rule);
    if (v->effect != POL_ALLOW) {
        rec_str(&r, "sqlstate", v->sqlstate);
        snprintf(reason, sizeof reason, "%s", v->message);
        if (st->facts == NULL) secret_message(reason);
        rec_str(&r, "reason", reason);
        if (v->detail[0] != '\0') rec_str(&r, "detail", v->detail);
    }
    if (st->parse_id != 0)
        rec_u64(&r, "parse_id", st->parse_id);
    else if (hidden != NULL)
        rec_bytes(&r, "sql", hidden, hidden_len);
    else
        rec_bytes(&r, "sql", st->text, st->len);
    size_t instead_len = 0;
    char *instead = st->rewritten != NULL ? stmt_text_hidden(st->facts, st->rewritten, st->rewritten_len, &instead_len) : NULL;
    if (instead != NULL)
        rec_bytes(&r, "rewritten", instead, instead_len);
    else if (st->rewritten != NULL)
        rec_bytes(&r, "rewritten", st->rewritten, st->rewritten_len);
    /* Of the text as recorded: a hash of a hidden password could be tried out offline. Without memory for the copy the ledger hides it. */
    if (hidden != NULL)
        rec_sha256(hidden, hidden_len, sha);
    else
        rec_sha256(st->text, st->len, sha);
    rec_str(&r, "sha256", sha);
    rec_str(&r, "name", st->name);
    rec_str(&r, "params", params);
    if (st->params_cut || (params == NULL && st->nparams > 0)) rec_str(&r, "params_cut", "1");
    rec_str(&r, "principal", st->principal);
    rec_str(&r, "database", st->database);
    if (st->facts != NULL) {
        rec_kinds(st->facts, kinds, sizeof kinds);
        rec_relations(st->facts, relations, sizeof relations);
        rec_str(&r, "statements", kinds);
        rec_str(&r, "relations", relations);
    }
    rec_str(&r, "policy", st->policy);
    for (size_t i = 0; more != NULL && i < more->n; i++) rec_bytes(&r, more->f[i].name, more->f[i].value, more->f[i].len);
    rec_append(l, &r, LED_SESSION, session, "statement", done, arg);
    free(params);
    free(hidden);
    free(instead);
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
