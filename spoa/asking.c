#include <config.h>

#include "spoa/asking.h"

#include "policy/text.h"
#include "spoa/log.h"
#include "spoa/mask.h"
#include "spoa/reason.h"
#include "spoa/record.h"
#include "spoa/statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- the fingerprint --- */

void asking_put(struct buf *b, const void *data, size_t len) {
    buf_be32(b, (uint32_t)len);
    buf_put(b, data, len);
}

void asking_put_text(struct buf *b, const char *s) { asking_put(b, s, strlen(s)); }

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* By them the database's role, its row security policies and the masks and row filters of this one differ. In the order of their names, because a token has
 * them in any. */
static void put_groups(struct buf *b, const struct jwt_identity *who) {
    char **sorted = calloc(who->ngroups + 1, sizeof *sorted);
    if (sorted == NULL) {
        b->failed = true;
        return;
    }
    for (size_t i = 0; i < who->ngroups; i++) sorted[i] = who->groups[i];
    qsort(sorted, who->ngroups, sizeof *sorted, by_name);
    buf_be32(b, (uint32_t)who->ngroups);
    for (size_t i = 0; i < who->ngroups; i++) asking_put_text(b, sorted[i]);
    free(sorted);
}

void asking_begin(struct buf *b, const char *what, const struct jwt_identity *who, const char *database) {
    asking_put_text(b, what);
    asking_put_text(b, who->issuer);
    asking_put_text(b, who->principal);
    asking_put_text(b, database);
    put_groups(b, who);
}

/* --- what people are told --- */

bool asking_hides(const char *text, size_t len) { return mask_needed(text, len, false); }

const char *asking_reason(const char *text, size_t len, const char *other, size_t *reason_len) {
    const char *reason;
    if (reason_of(text, len, APPR_REASON, &reason, reason_len)) return reason;
    *reason_len = strlen(other);
    return *reason_len > 0 ? other : NULL;
}

static json_t *groups_json(const struct jwt_identity *who) {
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < who->ngroups; i++) json_array_append_new(list, json_string(who->groups[i]));
    return list;
}

static json_t *functions_json(const struct pol_facts *f) {
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < f->nstmts; i++)
        for (size_t k = 0; k < f->stmts[i].nfunctions && json_array_size(list) < 100; k++) {
            const struct pol_function *fn = &f->stmts[i].functions[k];
            json_array_append_new(
                list, json_string(log_fmt("%s%s%s", fn->schema != NULL ? fn->schema : "", fn->schema != NULL ? "." : "", fn->name)));
        }
    return list;
}

json_t *asking_rules(const struct pol_ask *a, const char *api) {
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < a->n; i++) {
        json_t *groups = json_array();
        for (const char *const *g = a->by[i].approvers; groups != NULL && *g != NULL; g++) json_array_append_new(groups, json_string(*g));
        json_t *one = json_pack("{s:s, s:o, s:i}", "rule", a->by[i].rule, "approvers", groups, "quorum", (int)a->by[i].quorum);
        if (one != NULL && a->by[i].grant_ms > 0)
            json_object_set_new(
                one, "grant", json_pack("{s:I, s:s}", "max", (json_int_t)a->by[i].grant_ms, "scope", pol_scope_name(a->by[i].grant_scope)));
        if (one != NULL && api != NULL) json_object_set_new(one, "api", json_string(api));
        json_array_append_new(list, one);
    }
    return list;
}

json_t *asking_detail(const struct asking *k) {
    const struct pol_facts *f = k->facts;
    char sha[65], relations[2048], kinds[256];
    size_t shown_len = k->len, reason_len;
    char *hidden = stmt_text_hidden(f, k->text, k->len, &shown_len);
    const char *shown = hidden != NULL ? hidden : k->text;
    rec_sha256(shown, shown_len, sha);
    rec_relations(f, relations, sizeof relations);
    rec_kinds(f, kinds, sizeof kinds);
    bool opaque = false;
    for (size_t i = 0; i < f->nstmts; i++) opaque = opaque || f->stmts[i].opaque;
    const char *reason = asking_reason(shown, shown_len, k->reason, &reason_len);
    json_t *o = json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:s#, s:I, s:s, s:o, s:o, s:s, s:s, s:o, s:b, s:s, s:s#, s:s*}", "principal",
                          k->who->principal, "issuer", k->who->issuer, "groups", groups_json(k->who), "database", k->database, "session",
                          k->session, "src", k->src, "sql", shown, (int)shown_len, "sql_bytes", (json_int_t)k->len, "sha256", sha, "params",
                          k->params, "types", k->types, "statements", kinds, "relations", relations, "functions", functions_json(f),
                          "opaque", opaque, "policy", k->policy, "reason", reason != NULL ? reason : "", (int)reason_len, "api", k->api);
    free(hidden);
    return o;
}

/* --- what the client is told --- */

static const char *utc(uint64_t ms) {
    char text[32];
    time_t at = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm);
    return log_fmt("%s", text);
}

static void tell_pending(struct pol_verdict *v, const char *tag, const struct appr_reply *r) {
    snprintf(v->message, sizeof v->message, "%s needs approval: it waits for a decision on request %s", tag, r->id);
    pol_add(v->detail, sizeof v->detail, " Request %s expires at %s", r->id, utc(r->expires_ms));
    if (r->have > 0) pol_add(v->detail, sizeof v->detail, "; approved so far by %s", r->by);
    pol_add(v->detail, sizeof v->detail, ".");
    snprintf(v->hint, sizeof v->hint,
             "Nothing was executed. Send exactly the same statement again once it is approved: it then runs once, within %llu s of the "
             "decision. An approver decides with: gatehousectl approve %s --token-file FILE",
             (unsigned long long)v->ask.window_ms / 1000, r->id);
}

static void tell_denied(struct pol_verdict *v, const char *tag, const struct appr_reply *r) {
    snprintf(v->message, sizeof v->message, "%s was denied by %.200s%s%.200s", tag, r->by, r->text[0] != '\0' ? ": " : "", r->text);
    pol_utf8_tidy(v->message);
    pol_add(v->detail, sizeof v->detail, " It was request %s.", r->id);
    snprintf(v->hint, sizeof v->hint, "The same statement can be asked for again after %s.", utc(r->expires_ms));
}

void asking_tell(struct pol_verdict *v, const struct pol_facts *f, const struct appr_reply *r) {
    const char *tag = f->stmts[v->stmt].tag;
    if (r->rc == APPR_NEW || r->rc == APPR_PENDING)
        tell_pending(v, tag, r);
    else if (r->rc == APPR_DENIED)
        tell_denied(v, tag, r);
    else {
        bool full = r->rc == APPR_FULL;
        snprintf(v->sqlstate, sizeof v->sqlstate, "%s", full ? "53400" : "57P03");
        snprintf(v->message, sizeof v->message, "%s needs approval, and %s", tag,
                 !full     ? "it cannot be asked for now"
                 : r->mine ? "too many requests of yours wait for a decision"
                           : "too many requests wait for a decision");
        snprintf(v->hint, sizeof v->hint, "%s", full ? "Wait until some are decided or expire." : "Try again later. Nothing was executed.");
    }
}

void asking_refuse(struct pol_verdict *v, const struct pol_facts *f, const char *sqlstate, const char *why, const char *hint) {
    const char *tag = f->stmts[v->stmt].tag;
    v->effect = POL_DENY;
    snprintf(v->sqlstate, sizeof v->sqlstate, "%s", sqlstate);
    snprintf(v->message, sizeof v->message, "%s needs approval and cannot get it: %s", tag, why);
    snprintf(v->hint, sizeof v->hint, "%s", hint);
}
