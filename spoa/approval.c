#include <config.h>

#include "spoa/approval_int.h"

#include "policy/text.h"

#include "spoa/clock.h"
#include "spoa/log.h"
#include "spoa/person.h"
#include "spoa/starved.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define LOCK_MS     2000u
#define KEEP_MS     3600000u /* what is over stays known so long, for who asks about it and for "earlier" */
#define KEEP_OVER   2000u
#define LIST_BYTES  (4u << 20)  /* of requests in one list: whoever asks with long names must not keep others out of sight */
#define LIST_ONE    (64u << 10) /* that one of them counts at most, because its statement is cut */
#define SHRINK_FROM (1u << 20)  /* bytes of the file */

/* --- the file --- */

static bool on_record(void *arg, const char *json, size_t len) {
    starved_reset();
    appr_apply(arg, json, len);
    return !starved();
}
static void on_forget(void *arg) { appr_forget(arg); }

/* Takes both locks and reads what others wrote. False and a sentence: nothing is held. */
static bool enter(struct appr *a, unsigned wait_ms, char *err, size_t size) {
    const struct alog_reader reader = {.record = on_record, .forget = on_forget, .arg = a};
    bool damaged = false;
    pthread_mutex_lock(&a->mu);
    if (!alog_lock(a->log, wait_ms, err, size)) {
        pthread_mutex_unlock(&a->mu);
        return false;
    }
    bool ok = alog_read(a->log, &reader, &damaged, err, size);
    if (damaged)
        log_event(LOG_ERROR, "approval.damaged", "folder", a->dir, "reason",
                  "approvals.log had a damaged line and is now approvals.damaged: all requests must be made again", "do",
                  "look who or what changed it (the disk, a restored backup)", NULL);
    if (ok) return true;
    alog_unlock(a->log);
    pthread_mutex_unlock(&a->mu);
    return false;
}

static void leave(struct appr *a) {
    alog_unlock(a->log);
    pthread_mutex_unlock(&a->mu);
}

/* Appends a line and applies it; takes line over. */
static bool commit(struct appr *a, char *line, char *err, size_t size) {
    struct buf b = BUF_INIT(ALOG_LINE_MAX);
    snprintf(err, size, "out of memory");
    bool ok = line != NULL;
    if (ok) {
        alog_line(&b, line, strlen(line));
        ok = alog_append(a->log, &b, err, size);
    }
    if (ok) {
        starved_reset();
        ok = appr_apply(a, line, strlen(line)) && !starved();
        if (starved()) alog_again(a->log);
        if (!ok)
            snprintf(err, size, "%s",
                     starved() ? "out of memory: it is written, and counts as soon as it can be read" : "it makes no sense");
    }
    buf_free(&b);
    free(line);
    return ok;
}

static void add_line(struct buf *b, char *line) {
    if (line == NULL)
        b->failed = true;
    else
        alog_line(b, line, strlen(line));
    free(line);
}

/* Writes the file anew with what is still known. */
static void shrink(struct appr *a) {
    struct buf b = BUF_INIT(APPR_KEEP_MAX * 4);
    char err[300];
    for (size_t i = 0; i < a->n; i++) {
        const struct appr_req *r = a->list[i];
        add_line(&b, appr_line_request(r));
        if (r->estimated) add_line(&b, appr_line_estimate(r->id, r->rows));
        for (size_t k = 0; k < json_array_size(r->decisions); k++) {
            const json_t *d = json_array_get(r->decisions, k);
            add_line(&b, appr_line_decision(r->id, json_string_value(json_object_get(d, "signed")),
                                            json_string_value(json_object_get(d, "signature"))));
        }
        if (r->over_ms != 0)
            add_line(&b, appr_line_mark(r->used_ms != 0 ? "used"
                                        : r->replaced   ? "replaced"
                                        : r->granted    ? "granted"
                                                        : "over",
                                        r->id, r->over_ms, NULL));
    }
    if (!alog_replace(a->log, &b, err, sizeof err))
        log_event(LOG_ERROR, "approval.log", "reason", err, "do", "see that the journal's disk has room", NULL);
    buf_free(&b);
}

/* --- asking --- */

static bool make_id(struct appr *a, uint64_t now, char id[APPR_ID_SIZE]) {
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint8_t random[6];
    if (RAND_bytes(random, sizeof random) != 1) return false;
    for (int i = 9; i >= 0; i--, now >>= 5) id[i] = digits[now & 31];
    for (size_t i = 0; i < sizeof random; i++) id[10 + i] = digits[random[i] & 31];
    id[APPR_ID_SIZE - 1] = '\0';
    return appr_find(a, id) == NULL;
}

static void who_decided(const struct appr_req *r, struct appr_reply *out) {
    size_t at = 0;
    for (size_t i = 0; i < json_array_size(r->decisions) && at < sizeof out->by - 1; i++) {
        const json_t *d = json_array_get(r->decisions, i);
        bool deny = strcmp(json_string_value(json_object_get(d, "verdict")), "approve") != 0;
        if (deny != (r->denied_ms != 0)) continue;
        int n = snprintf(out->by + at, sizeof out->by - at, "%s%s", at > 0 ? ", " : "", json_string_value(json_object_get(d, "approver")));
        at += n > 0 ? (size_t)n : 0;
        if (deny) snprintf(out->text, sizeof out->text, "%s", json_string_value(json_object_get(d, "reason")));
    }
}

static bool over(struct appr *a, struct appr_req *r, uint64_t now, const char *type, const char *session, char *err, size_t size) {
    if (!commit(a, appr_line_mark(type, r->id, now, session), err, size)) return false;
    char event[40];
    snprintf(event, sizeof event, "approval.%s", strcmp(type, "over") == 0 ? appr_state_name(appr_state(r, now)) : type);
    appr_event_over(a, r, event, session);
    return true;
}

/* Its time is over. */
static bool is_over(const struct appr_req *r, uint64_t now) {
    enum appr_state s = appr_state(r, now);
    return s > APPR_S_DENIED || (s == APPR_S_DENIED && now >= r->expires_ms);
}

/* Somebody who agreed to it is blocked by now: what they agreed to does not count. */
static bool approver_blocked(const struct appr *a, const struct appr_req *r) {
    for (size_t i = 0; a->orders != NULL && i < json_array_size(r->decisions); i++) {
        const struct ord_subject s = {.principal = json_string_value(json_object_get(json_array_get(r->decisions, i), "approver"))};
        if (ord_blocked(a->orders, &s, NULL)) return true;
    }
    return false;
}

static bool ask_granted(struct appr *a, const struct appr_question *q, struct appr_reply *out) {
    struct ord_granted by;
    const char *issuer = json_string_value(json_object_get(q->detail, "issuer")),
               *database = json_string_value(json_object_get(q->detail, "database"));
    const struct ord_case c = {.principal = q->principal,
                               .issuer = issuer,
                               .database = database,
                               .fingerprint = q->fingerprint,
                               .kind = q->kind != NULL && q->kind[0] != '\0' ? q->kind : NULL,
                               .asks = q->asks};
    if (a->orders == NULL || issuer == NULL || database == NULL || !ord_grant_find(a->orders, &c, &by)) return false;
    *out = (struct appr_reply){.rc = APPR_RUN, .expires_ms = by.until_ms};
    snprintf(out->id, sizeof out->id, "%.*s", (int)sizeof out->id - 1, by.request);
    snprintf(out->grant, sizeof out->grant, "%s", by.id);
    snprintf(out->by, sizeof out->by, "%s", by.by);
    return true;
}

/* What is there for this statement. False: nothing that counts. */
static bool ask_known(struct appr *a, const struct appr_question *q, uint64_t now, struct appr_reply *out) {
    struct appr_req *r = *appr_bucket(a, q->fingerprint);
    for (; r != NULL; r = r->next) {
        if (r->over_ms != 0 || strcmp(r->fingerprint, q->fingerprint) != 0) continue;
        if (!is_over(r, now)) break;
        /* Said once and for all: a clock that goes back must not wake it. */
        if (over(a, r, now, "over", NULL, out->text, sizeof out->text)) continue;
        out->rc = APPR_FAILED;
        return true;
    }
    if (r == NULL) return false;
    memcpy(out->id, r->id, sizeof out->id);
    out->expires_ms = r->expires_ms;
    out->have = (unsigned)json_array_size(r->decisions);
    enum pol_scope scope;
    bool lapsed = r->approved_ms != 0 && (now - r->approved_ms >= q->window_ms || appr_granted_ms(r->decisions, &scope) > 0);
    if (lapsed || !json_equal(r->asks, q->asks) || approver_blocked(a, r)) { /* the policy says something else by now */
        if (over(a, r, now, "replaced", NULL, out->text, sizeof out->text)) return false;
        out->rc = APPR_FAILED;
        return true;
    }
    who_decided(r, out);
    if (r->denied_ms != 0)
        out->rc = APPR_DENIED;
    else if (r->approved_ms == 0)
        out->rc = APPR_PENDING;
    else {
        const char *session = json_string_value(json_object_get(q->detail, "session"));
        out->rc = over(a, r, now, "used", session, out->text, sizeof out->text) && r->used_ms != 0 ? APPR_RUN : APPR_FAILED;
    }
    return true;
}

static bool is_full(const struct appr *a, const struct appr_question *q, uint64_t now, bool *mine) {
    size_t all = 0, theirs = 0;
    for (size_t i = 0; i < a->n; i++) {
        const struct appr_req *r = a->list[i];
        if (r->over_ms != 0 || appr_state(r, now) != APPR_S_PENDING) continue;
        all++;
        theirs += strcmp(r->principal, q->principal) == 0;
    }
    *mine = theirs >= q->max_principal;
    return *mine || all >= q->max || a->bytes > APPR_KEEP_MAX;
}

static void ask_anew(struct appr *a, const struct appr_question *q, uint64_t now, struct appr_reply *out) {
    struct appr_req r = {.principal = (char *)(uintptr_t)q->principal,
                         .detail = q->detail,
                         .asks = (json_t *)(uintptr_t)q->asks,
                         .created_ms = now,
                         .expires_ms = now + q->expires_ms,
                         .window_ms = q->window_ms,
                         .kind = q->kind != NULL && q->kind[0] != '\0' ? (char *)(uintptr_t)q->kind : NULL};
    if (is_full(a, q, now, &out->mine)) {
        out->rc = APPR_FULL;
        return;
    }
    snprintf(r.fingerprint, sizeof r.fingerprint, "%s", q->fingerprint);
    snprintf(out->text, sizeof out->text, "no random numbers");
    if (!make_id(a, now, r.id) || !commit(a, appr_line_request(&r), out->text, sizeof out->text)) return;
    out->rc = APPR_NEW;
    out->expires_ms = r.expires_ms;
    memcpy(out->id, r.id, sizeof out->id);
    appr_event_request(a, appr_find(a, r.id));
}

void appr_ask(struct appr *a, struct appr_question *q, struct appr_reply *out) {
    *out = (struct appr_reply){.rc = APPR_FAILED};
    if (enter(a, LOCK_MS, out->text, sizeof out->text)) {
        uint64_t now = a->now();
        if (!ask_granted(a, q, out) && !ask_known(a, q, now, out)) ask_anew(a, q, now, out);
        leave(a);
    }
    json_decref(q->detail);
    q->detail = NULL;
    if (out->rc == APPR_FAILED)
        log_event(LOG_ERROR, "approval.failed", "reason", out->text, "do", "see that the journal's folder can be written", NULL);
}

void appr_estimate(struct appr *a, const char *id, uint64_t rows) {
    char err[300];
    if (!enter(a, LOCK_MS, err, sizeof err)) return;
    const struct appr_req *r = appr_find(a, id);
    if (r != NULL && r->over_ms == 0 && !commit(a, appr_line_estimate(id, rows), err, sizeof err))
        log_event(LOG_WARN, "approval.log", "reason", err, "do", "see that the journal's folder can be written", NULL);
    leave(a);
}

/* --- deciding --- */

static json_t *groups_json(const struct jwt_identity *who) {
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < who->ngroups; i++) json_array_append_new(list, json_string(who->groups[i]));
    return list;
}

static bool has_decided(const struct appr_req *r, const char *who) {
    for (size_t i = 0; i < json_array_size(r->decisions); i++)
        if (person_same(json_string_value(json_object_get(json_array_get(r->decisions, i), "approver")), who)) return true;
    return false;
}

static enum appr_decided may_grant(const struct appr *a, const struct appr_req *r, const struct appr_decision *d, char *why, size_t size) {
    enum pol_scope widest;
    uint64_t most = appr_grant_max(r->asks, &widest);
    const char *rule = json_string_value(json_object_get(json_array_get(r->asks, 0), "rule"));
    if (!d->approve || d->grant_ms == 0) return APPR_TAKEN;
    if (most == 0 || a->orders == NULL)
        snprintf(why, size, "the rule \"%.100s\" has no \"grant\": its statements can be approved once at a time", rule);
    else if (d->grant_ms > most)
        snprintf(why, size, "the policy lets approvers agree for %llu s at most", (unsigned long long)most / 1000);
    else if (d->scope > widest)
        snprintf(why, size, "the policy lets approvers agree to the scope \"%s\" at most", pol_scope_name(widest));
    else if (d->scope == POL_SCOPE_KIND && r->kind == NULL)
        snprintf(why, size, "this statement has no kind: what it does cannot be seen from its text");
    else
        return APPR_TAKEN;
    return APPR_NO_GRANT;
}

static enum appr_decided may(const struct appr *a, const struct appr_req *r, const struct appr_decision *d, uint64_t now, char *why,
                             size_t size) {
    struct ord_block block;
    enum appr_state state = r == NULL ? APPR_S_EXPIRED : appr_state(r, now);
    json_t *groups = groups_json(d->who);
    bool member = r != NULL && appr_may_decide(r->asks, groups);
    json_decref(groups);
    if (r == NULL) return snprintf(why, size, "there is no such request here"), APPR_UNKNOWN;
    if (a->orders != NULL && ord_blocked(a->orders, &(struct ord_subject){.principal = d->who->principal}, &block))
        return snprintf(why, size, "you are blocked: %.300s", block.reason), APPR_BLOCKED;
    if (person_same(r->principal, d->who->principal))
        return snprintf(why, size, "this is a request of your own: somebody else must decide"), APPR_SELF;
    if (!member) return snprintf(why, size, "none of your groups may decide on this request"), APPR_STRANGER;
    if (r->over_ms != 0 || (state != APPR_S_PENDING && (d->approve || state != APPR_S_APPROVED)))
        return snprintf(why, size, "this request is %s: nothing is left to decide", appr_state_name(state)), APPR_OVER;
    if (d->approve && has_decided(r, d->who->principal))
        return snprintf(why, size, "you have approved this request already: another approver must agree"), APPR_TWICE;
    return may_grant(a, r, d, why, size);
}

static void cut_sql(const struct appr_req *r, char out[201]) {
    const char *sql = json_string_value(json_object_get(r->detail, "sql"));
    snprintf(out, 201, "%s", sql != NULL ? sql : "");
    pol_utf8_tidy(out);
}

/* All agreed, and each of them for some time: it becomes a grant, which counts from this decision. */
static enum appr_decided make_grant(struct appr *a, struct appr_req *r, uint64_t now, char *why, size_t size) {
    enum pol_scope scope;
    char id[ORD_ID_SIZE], sql[201], err[300];
    json_t *approvers = json_array();
    uint64_t ms = appr_granted_ms(r->decisions, &scope);
    bool all = true;
    for (size_t i = 0; i < json_array_size(r->decisions); i++)
        all = json_array_append(approvers, json_object_get(json_array_get(r->decisions, i), "approver")) == 0 && all;
    cut_sql(r, sql);
    snprintf(why, size, "out of memory");
    const struct ord_grant g = {.request = r->id,
                                .principal = r->principal,
                                .issuer = json_string_value(json_object_get(r->detail, "issuer")),
                                .database = json_string_value(json_object_get(r->detail, "database")),
                                .scope = scope,
                                .key = scope == POL_SCOPE_STATEMENT ? r->fingerprint
                                       : scope == POL_SCOPE_KIND    ? r->kind
                                                                    : "",
                                .asks = r->asks,
                                .approvers = approvers,
                                .sql = sql,
                                .until_ms = r->approved_ms + ms};
    bool ok = all && g.issuer != NULL && g.database != NULL && g.key != NULL && ord_grant(a->orders, &g, id, why, size);
    json_decref(approvers);
    /* Whatever came of it, it is no approval for once. */
    if (!over(a, r, now, ok ? "granted" : "replaced", NULL, err, sizeof err) && ok)
        log_event(LOG_ERROR, "approval.log", "reason", err, NULL);
    if (!ok) return APPR_NOT_TAKEN;
    snprintf(why, size, "approved for %llu s (%s), as grant %s", (unsigned long long)ms / 1000, pol_scope_name(scope), id);
    return APPR_TAKEN;
}

static enum appr_decided take(struct appr *a, struct appr_req *r, const struct appr_decision *d, uint64_t now, char *why, size_t size) {
    char signature[NODEKEY_SIGNATURE_SIZE], *text = appr_signed(a, r, d, now);
    bool ok = text != NULL && nodekey_sign(a->key, text, strlen(text), signature);
    size_t before = json_array_size(r->decisions);
    snprintf(why, size, "it could not be signed");
    ok = ok && commit(a, appr_line_decision(r->id, text, signature), why, size) && json_array_size(r->decisions) == before + 1;
    free(text);
    if (!ok) return APPR_NOT_TAKEN;
    appr_event_decision(a, r, json_array_get(r->decisions, before));
    enum pol_scope scope;
    if (!d->approve)
        snprintf(why, size, "denied");
    else if (r->approved_ms != 0 && appr_granted_ms(r->decisions, &scope) > 0)
        return make_grant(a, r, now, why, size);
    else if (r->approved_ms != 0)
        snprintf(why, size, "approved: the statement may be sent again once within %llu s", (unsigned long long)r->window_ms / 1000);
    else
        snprintf(why, size, "your approval is recorded; %zu so far, and more are needed", before + 1);
    return APPR_TAKEN;
}

enum appr_decided appr_decide(struct appr *a, const struct appr_decision *d, json_t **shown, char *why, size_t size) {
    enum appr_decided rc = APPR_NOT_TAKEN;
    *shown = NULL;
    if (!enter(a, LOCK_MS, why, size)) return rc;
    uint64_t now = a->now();
    struct appr_req *r = appr_find(a, d->id);
    rc = may(a, r, d, now, why, size);
    if (rc == APPR_TAKEN) rc = take(a, r, d, now, why, size);
    if (rc != APPR_TAKEN) appr_event_refused(a, d, why);
    if (r != NULL && (rc == APPR_TAKEN || rc == APPR_OVER || rc == APPR_TWICE)) *shown = appr_json(a, r, now, false);
    leave(a);
    return rc;
}

/* --- time --- */

static void sweep(struct appr *a, uint64_t now) {
    struct buf lines = BUF_INIT((size_t)16 << 20);
    char err[300];
    size_t known = 0, at = 0;
    for (size_t i = 0; i < a->n; i++) {
        const struct appr_req *r = a->list[i];
        if (r->over_ms == 0 && is_over(r, now)) add_line(&lines, appr_line_mark("over", r->id, now, NULL));
        known += r->over_ms != 0;
    }
    if (buf_used(&lines) > 0 && !alog_append(a->log, &lines, err, sizeof err)) {
        buf_free(&lines);
        return;
    }
    bool any = buf_used(&lines) > 0;
    buf_free(&lines);
    for (size_t i = 0; any && i < a->n; i++) {
        struct appr_req *r = a->list[i];
        enum appr_state s = appr_state(r, now);
        if (r->over_ms != 0 || !is_over(r, now)) continue;
        r->over_ms = now;
        if (s != APPR_S_DENIED) appr_event_over(a, r, s == APPR_S_EXPIRED ? "approval.expired" : "approval.lapsed", NULL);
    }
    while (at < a->n) {
        const struct appr_req *r = a->list[at];
        bool drop = r->over_ms != 0 && (now - r->over_ms > KEEP_MS || known > KEEP_OVER || a->bytes > APPR_KEEP_MAX / 2);
        known -= drop;
        if (drop)
            appr_drop(a, at);
        else
            at++;
    }
    if (alog_bytes(a->log) > SHRINK_FROM && alog_bytes(a->log) > 4 * a->bytes) shrink(a);
}

void appr_sweep(struct appr *a) {
    char err[300];
    if (!enter(a, 0, err, sizeof err)) return; /* another process is at it */
    sweep(a, a->now());
    leave(a);
}

/* --- reading --- */

/* groups: groups_json(who), NULL for nobody. */
static bool may_see(const struct appr_req *r, const struct jwt_identity *who, const json_t *groups) {
    return who == NULL || person_surely_same(r->principal, who->principal) || appr_may_decide(r->asks, groups);
}

json_t *appr_show(struct appr *a, const char *id, const struct jwt_identity *who, struct appr_may *out) {
    char text[700];
    json_t *shown = NULL;
    if (out != NULL) *out = (struct appr_may){0};
    if (!enter(a, LOCK_MS, text, sizeof text)) return NULL;
    uint64_t now = a->now();
    const struct appr_req *r = appr_find(a, id);
    json_t *groups = who == NULL ? NULL : groups_json(who);
    if (r != NULL && may_see(r, who, groups)) shown = appr_json(a, r, now, true);
    json_decref(groups);
    if (shown != NULL && who != NULL && out != NULL) {
        out->approve = may(a, r, &(struct appr_decision){.id = id, .approve = true, .who = who}, now, text, sizeof text) == APPR_TAKEN;
        out->deny = may(a, r, &(struct appr_decision){.id = id, .approve = false, .who = who}, now, text, sizeof text) == APPR_TAKEN;
        out->own = person_same(r->principal, who->principal);
        out->grant_ms = a->orders == NULL ? 0 : appr_grant_max(r->asks, &out->scope);
        if (out->scope == POL_SCOPE_KIND && r->kind == NULL) out->scope = POL_SCOPE_STATEMENT;
        out->kind = r->kind != NULL;
    }
    leave(a);
    return shown;
}

json_t *appr_list(struct appr *a, const struct appr_view *v, bool *more) {
    char err[300];
    json_t *out = json_array();
    *more = false;
    if (!enter(a, LOCK_MS, err, sizeof err)) {
        json_decref(out);
        return NULL;
    }
    uint64_t now = a->now();
    json_t *groups = v->who == NULL ? NULL : groups_json(v->who);
    size_t bytes = 0;
    bool whole = out != NULL;
    for (size_t i = 0; whole && i < a->n && !*more; i++) {
        const struct appr_req *r = a->list[i];
        if (strcmp(r->id, v->after) <= 0 || (!v->over && (r->over_ms != 0 || appr_state(r, now) > APPR_S_APPROVED)) ||
            !may_see(r, v->who, groups))
            continue;
        bytes += r->bytes < LIST_ONE ? r->bytes : LIST_ONE;
        if (json_array_size(out) == v->max || (bytes > LIST_BYTES && json_array_size(out) > 0))
            *more = true;
        else
            whole = json_array_append_new(out, appr_json(a, r, now, false)) == 0;
    }
    json_decref(groups);
    leave(a);
    if (whole) return out;
    json_decref(out);
    return NULL;
}

void appr_count(struct appr *a, struct appr_counts *c) {
    *c = (struct appr_counts){0};
    pthread_mutex_lock(&a->mu);
    uint64_t now = a->now();
    for (size_t i = 0; i < a->n; i++) {
        enum appr_state s = appr_state(a->list[i], now);
        c->pending += s == APPR_S_PENDING;
        c->approved += s == APPR_S_APPROVED;
    }
    pthread_mutex_unlock(&a->mu);
}

/* --- life --- */

struct appr *appr_open(const struct appr_conf *conf, char *err, size_t size) {
    struct appr *a = calloc(1, sizeof *a);
    snprintf(err, size, "out of memory");
    if (a == NULL) return NULL;
    pthread_mutex_init(&a->mu, NULL);
    a->led = conf->led;
    a->news = conf->news;
    a->now = conf->now != NULL ? conf->now : clock_ms;
    a->dir = strdup(conf->dir);
    a->node = strdup(conf->node);
    if (a->dir != NULL && a->node != NULL && (a->key = nodekey_open(a->dir, err, size)) != NULL &&
        (a->log = alog_open(a->dir, "approvals", false, err, size)) != NULL && enter(a, LOCK_MS, err, size)) {
        leave(a);
        return a;
    }
    appr_close(a);
    return NULL;
}

void appr_close(struct appr *a) {
    if (a == NULL) return;
    appr_forget(a);
    free(a->list);
    alog_close(a->log);
    nodekey_free(a->key);
    pthread_mutex_destroy(&a->mu);
    free(a->dir);
    free(a->node);
    free(a);
}

void appr_use_orders(struct appr *a, struct ord *orders) { a->orders = orders; }
const struct nodekey *appr_key(const struct appr *a) { return a->key; }
uint64_t appr_epoch(const struct appr *a) { return atomic_load(&a->epoch); }
