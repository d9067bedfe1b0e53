/* Requests as lines of the file, in memory, and as people see them. */
#include <config.h>

#include "spoa/approval_int.h"
#include "spoa/json_read.h"
#include "spoa/log.h"
#include "spoa/person.h"
#include "spoa/starved.h"
#include "spoa/visible.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define LIST_SQL 4096u /* of a statement in a list */

void appr_time(uint64_t ms, char out[32]) {
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(ms % 1000));
}

/* --- states --- */

enum appr_state appr_state(const struct appr_req *r, uint64_t now) {
    if (r->used_ms != 0) return APPR_S_USED;
    if (r->replaced) return APPR_S_REPLACED;
    if (r->granted) return APPR_S_GRANTED;
    if (r->denied_ms != 0) return APPR_S_DENIED;
    if (r->approved_ms != 0) return now >= r->approved_ms && now - r->approved_ms < r->window_ms ? APPR_S_APPROVED : APPR_S_LAPSED;
    return now < r->expires_ms ? APPR_S_PENDING : APPR_S_EXPIRED;
}

const char *appr_state_name(enum appr_state s) {
    static const char *const names[] = {
        [APPR_S_PENDING] = "pending", [APPR_S_APPROVED] = "approved", [APPR_S_DENIED] = "denied",     [APPR_S_USED] = "used",
        [APPR_S_EXPIRED] = "expired", [APPR_S_LAPSED] = "lapsed",     [APPR_S_REPLACED] = "replaced", [APPR_S_GRANTED] = "granted"};
    return names[s];
}

static bool share(const json_t *a, const json_t *b) {
    for (size_t i = 0; i < json_array_size(a); i++)
        for (size_t k = 0; k < json_array_size(b); k++)
            if (json_is_string(json_array_get(a, i)) && json_equal(json_array_get(a, i), json_array_get(b, k))) return true;
    return false;
}

bool appr_may_decide(const json_t *asks, const json_t *groups) {
    for (size_t i = 0; i < json_array_size(asks); i++)
        if (share(json_object_get(json_array_get(asks, i), "approvers"), groups)) return true;
    return false;
}

bool appr_satisfied(const json_t *asks, const json_t *decisions) {
    for (size_t i = 0; i < json_array_size(asks); i++) {
        const json_t *ask = json_array_get(asks, i);
        json_int_t have = 0, quorum = json_integer_value(json_object_get(ask, "quorum"));
        for (size_t k = 0; k < json_array_size(decisions); k++)
            have += share(json_object_get(ask, "approvers"), json_object_get(json_array_get(decisions, k), "groups"));
        if (quorum < 1 || have < quorum) return false;
    }
    return json_array_size(asks) > 0;
}

uint64_t appr_granted_ms(const json_t *decisions, enum pol_scope *scope) {
    uint64_t least = UINT64_MAX;
    *scope = POL_SCOPE_RULE;
    for (size_t i = 0; i < json_array_size(decisions); i++) {
        const json_t *d = json_array_get(decisions, i);
        const char *word = json_string_value(json_object_get(d, "scope"));
        json_int_t ms = json_integer_value(json_object_get(d, "grant"));
        enum pol_scope said;
        if (ms <= 0 || word == NULL || !pol_scope_of(word, &said)) return 0;
        if ((uint64_t)ms < least) least = (uint64_t)ms;
        if (said < *scope) *scope = said;
    }
    return least == UINT64_MAX ? 0 : least;
}

uint64_t appr_grant_max(const json_t *asks, enum pol_scope *scope) {
    uint64_t least = UINT64_MAX;
    *scope = POL_SCOPE_RULE;
    for (size_t i = 0; i < json_array_size(asks); i++) {
        const json_t *g = json_object_get(json_array_get(asks, i), "grant");
        const char *word = json_string_value(json_object_get(g, "scope"));
        json_int_t ms = json_integer_value(json_object_get(g, "max"));
        enum pol_scope widest;
        if (ms <= 0 || word == NULL || !pol_scope_of(word, &widest)) return 0;
        if ((uint64_t)ms < least) least = (uint64_t)ms;
        if (widest < *scope) *scope = widest;
    }
    return least == UINT64_MAX ? 0 : least;
}

/* --- lines --- */

/* begun: before o was made. json_pack() leaves out what is optional and got no memory. */
static char *dump(bool begun, json_t *o) {
    char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(o);
    if (!starved_end(begun)) return text;
    free(text);
    return NULL;
}

char *appr_line_request(const struct appr_req *r) {
    bool begun = starved_begin();
    return dump(begun,
                json_pack("{s:s, s:s, s:s, s:s, s:O, s:O, s:I, s:I, s:I, s:s*}", "t", "request", "id", r->id, "fingerprint", r->fingerprint,
                          "principal", r->principal, "detail", r->detail, "asks", r->asks, "created", (json_int_t)r->created_ms, "expires",
                          (json_int_t)r->expires_ms, "window", (json_int_t)r->window_ms, "kind", r->kind));
}

char *appr_line_decision(const char *id, const char *signed_text, const char *signature) {
    bool begun = starved_begin();
    return dump(begun, json_pack("{s:s, s:s, s:s, s:s}", "t", "decision", "id", id, "signed", signed_text, "signature", signature));
}

char *appr_line_mark(const char *type, const char *id, uint64_t at, const char *session) {
    bool begun = starved_begin();
    return dump(begun, json_pack("{s:s, s:s, s:I, s:s*}", "t", type, "id", id, "at", (json_int_t)at, "session", session));
}

char *appr_line_estimate(const char *id, uint64_t rows) {
    bool begun = starved_begin();
    return dump(begun, json_pack("{s:s, s:s, s:I}", "t", "estimate", "id", id, "rows", (json_int_t)rows));
}

static json_t *groups_of(const struct jwt_identity *who) {
    json_t *list = json_array();
    bool all = list != NULL;
    for (size_t i = 0; all && i < who->ngroups; i++) all = json_array_append_new(list, json_string(who->groups[i])) == 0;
    if (all) return list;
    json_decref(list);
    return NULL;
}

char *appr_signed(const struct appr *a, const struct appr_req *r, const struct appr_decision *d, uint64_t now) {
    bool begun = starved_begin();
    json_t *grant = d->approve && d->grant_ms > 0 ? json_integer((json_int_t)d->grant_ms) : NULL;
    return dump(begun, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:I, s:O?, s:O?, s:I, s:o*, s:s*}", "node", a->node, "request",
                                 r->id, "fingerprint", r->fingerprint, "verdict", d->approve ? "approve" : "deny", "approver",
                                 d->who->principal, "issuer", d->who->issuer, "groups", groups_of(d->who), "reason",
                                 d->reason != NULL ? d->reason : "", "time", (json_int_t)now, "sha256",
                                 json_object_get(r->detail, "sha256"), "database", json_object_get(r->detail, "database"), "window",
                                 (json_int_t)r->window_ms, "grant", grant, "scope", grant != NULL ? pol_scope_name(d->scope) : NULL));
}

/* --- the store --- */

/* Where the request with this id is, or belongs. */
static size_t place(const struct appr *a, const char *id) {
    size_t low = 0, high = a->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(a->list[mid]->id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct appr_req *appr_find(const struct appr *a, const char *id) {
    size_t at = place(a, id);
    return at < a->n && strcmp(a->list[at]->id, id) == 0 ? a->list[at] : NULL;
}

static size_t bucket_of(const char *fingerprint) {
    return strtoul((char[]){fingerprint[0], fingerprint[1], fingerprint[2], '\0'}, NULL, 16) % APPR_BUCKETS;
}

struct appr_req **appr_bucket(struct appr *a, const char *fingerprint) {
    return &a->bucket[bucket_of(fingerprint)];
}

static void req_free(struct appr_req *r) {
    json_decref(r->detail);
    json_decref(r->asks);
    json_decref(r->decisions);
    free(r->principal);
    free(r->kind);
    free(r);
}

void appr_drop(struct appr *a, size_t at) {
    struct appr_req *r = a->list[at], **link = appr_bucket(a, r->fingerprint);
    while (*link != r) link = &(*link)->next;
    *link = r->next;
    memmove(a->list + at, a->list + at + 1, (a->n - at - 1) * sizeof *a->list);
    a->n--;
    a->bytes -= r->bytes;
    req_free(r);
}

void appr_forget(struct appr *a) {
    for (size_t i = 0; i < a->n; i++) req_free(a->list[i]);
    a->n = a->bytes = 0;
    memset(a->bucket, 0, sizeof a->bucket);
}

static bool room(struct appr *a) {
    if (a->n < a->cap) return true;
    size_t cap = a->cap == 0 ? 64 : a->cap * 2;
    struct appr_req **list = reallocarray(a->list, cap, sizeof *list);
    if (list == NULL) {
        starved_note();
        return false;
    }
    a->list = list;
    a->cap = cap;
    return true;
}

static bool apply_request(struct appr *a, json_t *o, size_t len) {
    const char *id, *fingerprint, *principal;
    json_t *detail, *asks;
    json_int_t created, expires, window;
    if (json_unpack(o, "{s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:I}", "id", &id, "fingerprint", &fingerprint, "principal", &principal,
                    "detail", &detail, "asks", &asks, "created", &created, "expires", &expires, "window", &window) != 0 ||
        strlen(id) != APPR_ID_SIZE - 1 || !gh_is_sha256(fingerprint) || !json_is_object(detail) || !json_is_array(asks) || created < 0 ||
        expires < 0 || window < 0 || appr_find(a, id) != NULL || !room(a))
        return false;
    struct appr_req *r = calloc(1, sizeof *r);
    if (r == NULL) {
        starved_note();
        return false;
    }
    memcpy(r->id, id, APPR_ID_SIZE);
    memcpy(r->fingerprint, fingerprint, sizeof r->fingerprint);
    const char *kind = json_string_value(json_object_get(o, "kind"));
    r->principal = strdup(principal);
    bool has_kind = kind != NULL && gh_is_sha256(kind);
    r->kind = has_kind ? strdup(kind) : NULL;
    r->decisions = json_array();
    r->detail = json_incref(detail);
    r->asks = json_incref(asks);
    r->created_ms = (uint64_t)created;
    r->expires_ms = (uint64_t)expires;
    r->window_ms = (uint64_t)window;
    r->bytes = len;
    if (r->principal == NULL || r->decisions == NULL || (has_kind && r->kind == NULL)) {
        starved_note();
        req_free(r);
        return false;
    }
    size_t at = place(a, id);
    memmove(a->list + at + 1, a->list + at, (a->n - at) * sizeof *a->list);
    a->list[at] = r;
    a->n++;
    a->bytes += len;
    struct appr_req **bucket = appr_bucket(a, r->fingerprint);
    r->next = *bucket;
    *bucket = r;
    return true;
}

static bool has_approved(const struct appr_req *r, const char *approver) {
    for (size_t i = 0; i < json_array_size(r->decisions); i++) {
        const char *other = json_string_value(json_object_get(json_array_get(r->decisions, i), "approver"));
        if (other == NULL || person_same(other, approver)) return true;
    }
    return false;
}

/* What a decision says is in the text that was signed, and nowhere else. */
static bool apply_decision(struct appr *a, const json_t *o) {
    const char *signed_text = json_string_value(json_object_get(o, "signed")),
               *signature = json_string_value(json_object_get(o, "signature"));
    const char *request, *fingerprint, *verdict, *approver, *node;
    json_int_t at, window;
    json_t *groups;
    if (signed_text == NULL || signature == NULL || !nodekey_verify(a->key, signed_text, strlen(signed_text), signature)) {
        if (starved()) return false;
        log_event(LOG_ERROR, "approval.forged", "request", json_string_value(json_object_get(o, "id")), "reason",
                  "a decision in approvals.log does not have this node's signature", "do",
                  "find out who writes to the journal's folder; the decision does not count", NULL);
        return false;
    }
    json_t *said = json_read(signed_text, strlen(signed_text), 0, NULL);
    struct appr_req *r = NULL;
    bool ok = said != NULL &&
              json_unpack(said, "{s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:I}", "node", &node, "request", &request, "fingerprint", &fingerprint,
                          "verdict", &verdict, "approver", &approver, "groups", &groups, "time", &at, "window", &window) == 0;
    if (ok) r = appr_find(a, request);
    ok = r != NULL && at > 0 && window == (json_int_t)r->window_ms && strcmp(node, a->node) == 0 &&
         strcmp(r->fingerprint, fingerprint) == 0 && r->used_ms == 0 && r->denied_ms == 0 &&
         (strcmp(verdict, "approve") != 0 || !has_approved(r, approver)); /* who agreed may change their mind, as long as it was not used */
    if (ok) {
        ok = json_object_set_new(said, "signed", json_string(signed_text)) == 0 &&
             json_object_set_new(said, "signature", json_string(signature)) == 0 && !starved() &&
             json_array_append(r->decisions, said) == 0;
    }
    json_decref(said);
    if (!ok) return false;
    if (strcmp(verdict, "approve") != 0)
        r->denied_ms = (uint64_t)at;
    else if (r->approved_ms == 0 && appr_satisfied(r->asks, r->decisions))
        r->approved_ms = (uint64_t)at;
    atomic_fetch_add(&a->epoch, 1);
    return true;
}

static bool apply_mark(struct appr *a, const json_t *o, const char *type) {
    const char *id = json_string_value(json_object_get(o, "id"));
    json_int_t at = json_integer_value(json_object_get(o, "at"));
    struct appr_req *r = id == NULL ? NULL : appr_find(a, id);
    if (r == NULL || at <= 0) return false;
    r->over_ms = (uint64_t)at;
    if (strcmp(type, "used") == 0) r->used_ms = (uint64_t)at;
    if (strcmp(type, "replaced") == 0) r->replaced = true;
    if (strcmp(type, "granted") == 0) r->granted = true;
    atomic_fetch_add(&a->epoch, 1);
    return true;
}

static bool apply_estimate(struct appr *a, const json_t *o) {
    const char *id = json_string_value(json_object_get(o, "id"));
    json_int_t rows = json_integer_value(json_object_get(o, "rows"));
    struct appr_req *r = id == NULL ? NULL : appr_find(a, id);
    if (r == NULL || rows < 0) return false;
    r->estimated = true;
    r->rows = (uint64_t)rows;
    return true;
}

bool appr_apply(struct appr *a, const char *json, size_t len) {
    json_t *o = json_read(json, len, 0, NULL);
    const char *type = json_string_value(json_object_get(o, "t"));
    bool ok = false;
    if (type != NULL && strcmp(type, "request") == 0)
        ok = apply_request(a, o, len);
    else if (type != NULL && strcmp(type, "decision") == 0)
        ok = apply_decision(a, o);
    else if (type != NULL && strcmp(type, "estimate") == 0)
        ok = apply_estimate(a, o);
    else if (type != NULL &&
             (strcmp(type, "used") == 0 || strcmp(type, "replaced") == 0 || strcmp(type, "granted") == 0 || strcmp(type, "over") == 0))
        ok = apply_mark(a, o, type);
    json_decref(o);
    return ok;
}

/* --- for people --- */

/* Most texts of most requests: there may be ten thousand of them in a list. */
static bool is_plain(const json_t *s) {
    const char *p = json_string_value(s), *end = p + json_string_length(s);
    while (p < end && *p >= ' ' && *p <= '~') p++;
    return p == end;
}

/* Every text of o made visible, at any depth. */
static json_t *made_visible(const json_t *o) {
    if (json_is_string(o) && is_plain(o)) return json_incref((json_t *)(uintptr_t)o);
    if (json_is_string(o)) {
        struct buf b = BUF_INIT((size_t)4 << 20);
        visible_line(&b, json_string_value(o), json_string_length(o), b.max);
        json_t *s = json_stringn((const char *)buf_at(&b), buf_used(&b));
        if (b.no_memory) starved_note();
        buf_free(&b);
        return s;
    }
    if (json_is_array(o)) {
        json_t *list = json_array();
        for (size_t i = 0; i < json_array_size(o); i++) json_array_append_new(list, made_visible(json_array_get(o, i)));
        return list;
    }
    return json_deep_copy(o);
}

static void put_sql(json_t *out, const struct appr_req *r, bool whole) {
    const json_t *sql = json_object_get(r->detail, "sql");
    size_t len = json_string_length(sql), max = whole ? (size_t)4 << 20 : LIST_SQL;
    if (sql != NULL && len <= LIST_SQL && is_plain(sql)) {
        json_object_set(out, "sql", (json_t *)(uintptr_t)sql);
        json_object_set_new(out, "sql_cut", json_integer(0));
        json_object_set_new(out, "sql_not_ascii", json_false());
        if (whole) json_object_set(out, "sql_exact", (json_t *)(uintptr_t)sql);
        return;
    }
    struct buf b = BUF_INIT(max);
    size_t shown = sql == NULL ? 0 : visible_put(&b, json_string_value(sql), len, max);
    bool ascii = true;
    for (size_t i = 0; i < len; i++) ascii = ascii && (unsigned char)json_string_value(sql)[i] < 0x80;
    json_object_set_new(out, "sql", json_stringn((const char *)buf_at(&b), buf_used(&b)));
    json_object_set_new(out, "sql_cut", json_integer((json_int_t)(len - shown)));
    json_object_set_new(out, "sql_not_ascii", json_boolean(!ascii));
    if (whole) json_object_set(out, "sql_exact", (json_t *)(uintptr_t)sql);
    if (b.no_memory) starved_note();
    buf_free(&b);
}

static void put_time(json_t *out, const char *key, uint64_t ms) {
    char text[32];
    if (ms == 0) return;
    appr_time(ms, text);
    json_object_set_new(out, key, json_string(text));
}

static json_t *decision_json(const json_t *d, bool whole) {
    static const char *const keys[] = {"verdict", "approver", "issuer", "groups", "reason", NULL}, *const more[] = {"signed", "signature",
                                                                                                                    NULL};
    json_t *out = json_object();
    for (const char *const *k = keys; *k != NULL; k++) json_object_set_new(out, *k, made_visible(json_object_get(d, *k)));
    for (const char *const *k = more; whole && *k != NULL; k++) json_object_set(out, *k, json_object_get(d, *k));
    put_time(out, "time", (uint64_t)json_integer_value(json_object_get(d, "time")));
    if (json_object_get(d, "grant") != NULL) {
        json_object_set_new(out, "for", json_integer(json_integer_value(json_object_get(d, "grant")) / 1000));
        json_object_set(out, "scope", json_object_get(d, "scope"));
    }
    return out;
}

/* Other requests for the same statement of the same identity, as far as they are remembered. */
static json_t *earlier(const struct appr *a, const struct appr_req *r, uint64_t now) {
    json_t *list = json_array();
    for (const struct appr_req *o = a->bucket[bucket_of(r->fingerprint)]; o != NULL; o = o->next) {
        if (o == r || strcmp(o->fingerprint, r->fingerprint) != 0) continue;
        json_t *decisions = json_array(), *one = json_object();
        for (size_t i = 0; i < json_array_size(o->decisions); i++)
            json_array_append_new(decisions, decision_json(json_array_get(o->decisions, i), false));
        json_object_set_new(one, "id", json_string(o->id));
        json_object_set_new(one, "status", json_string(appr_state_name(appr_state(o, now))));
        put_time(one, "created", o->created_ms);
        json_object_set_new(one, "decisions", decisions);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *shown(const struct appr *a, const struct appr_req *r, uint64_t now, bool whole) {
    json_t *out = json_object(), *decisions = json_array();
    const char *key;
    json_t *value;
    json_object_set_new(out, "id", json_string(r->id));
    json_object_set_new(out, "status", json_string(appr_state_name(appr_state(r, now))));
    json_object_foreach(r->detail, key, value) {
        if (strcmp(key, "sql") != 0 && (whole || strcmp(key, "params") != 0)) json_object_set_new(out, key, made_visible(value));
    }
    put_sql(out, r, whole);
    if (r->estimated) json_object_set_new(out, "estimated_rows", json_integer((json_int_t)r->rows));
    json_object_set_new(out, "fingerprint", json_string(r->fingerprint));
    json_object_set(out, "asks", r->asks);
    json_object_set_new(out, "rule", json_deep_copy(json_object_get(json_array_get(r->asks, 0), "rule")));
    put_time(out, "created", r->created_ms);
    put_time(out, "expires", r->expires_ms);
    if (r->approved_ms != 0) put_time(out, "use_by", r->approved_ms + r->window_ms);
    put_time(out, "used", r->used_ms);
    json_object_set_new(out, "window", json_integer((json_int_t)(r->window_ms / 1000)));
    for (size_t i = 0; i < json_array_size(r->decisions); i++)
        json_array_append_new(decisions, decision_json(json_array_get(r->decisions, i), whole));
    json_object_set_new(out, "decisions", decisions);
    if (whole) json_object_set_new(out, "earlier", earlier(a, r, now));
    return out;
}

/* Nobody decides on what is shown in parts. */
json_t *appr_json(const struct appr *a, const struct appr_req *r, uint64_t now, bool whole) {
    bool begun = starved_begin();
    json_t *out = shown(a, r, now, whole);
    if (!starved_end(begun)) return out;
    json_decref(out);
    return NULL;
}
