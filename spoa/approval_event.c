/* What the ledger gets of approvals: gatehouse:approval:ID, one stream for each request. */
#include <config.h>

#include "spoa/approval_int.h"
#include "spoa/log.h"
#include "spoa/record.h"

#include <stdlib.h>
#include <string.h>

static void append(const struct appr *a, const struct rec *r, const char *id, const char *type) {
    if (a->led != NULL) rec_append(a->led, r, LED_APPROVAL, id, type, NULL, NULL);
}

static void put(struct rec *r, const json_t *from, const char *key, char **text) {
    const json_t *v = json_object_get(from, key);
    if (json_is_string(v))
        rec_bytes(r, key, json_string_value(v), json_string_length(v));
    else if (v != NULL && (*text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY)) != NULL)
        rec_str(r, key, *text);
}

#define KEYS 24
static void append_keys(const struct appr *a, struct rec *r, const json_t *from, const char *const *keys, const char *id,
                        const char *type) {
    char *text[KEYS] = {0};
    for (size_t i = 0; i < KEYS && keys[i] != NULL; i++) put(r, from, keys[i], &text[i]);
    append(a, r, id, type);
    for (size_t i = 0; i < KEYS; i++) free(text[i]);
}

void appr_event_request(const struct appr *a, const struct appr_req *q) {
    static const char *const keys[] = {"principal", "issuer",     "groups",    "database", "session", "src", "sql",  "sha256",    "params",
                                       "types",     "statements", "relations", "reason",   "policy",  "api", "tool", "arguments", NULL};
    char expires[32], *asks = json_dumps(q->asks, JSON_COMPACT);
    struct rec r = {0};
    appr_time(q->expires_ms, expires);
    rec_str(&r, "request", q->id);
    rec_str(&r, "fingerprint", q->fingerprint);
    rec_str(&r, "asks", asks);
    rec_str(&r, "expires", expires);
    append_keys(a, &r, q->detail, keys, q->id, "approval.request");
    free(asks);
    json_t *news = appr_json(a, q, a->now(), false);
    news_tell(&a->news, "request", news);
    json_decref(news);
    log_event(LOG_INFO, "approval.request", "request", q->id, "principal", q->principal, "database",
              json_string_value(json_object_get(q->detail, "database")), "rule",
              json_string_value(json_object_get(json_array_get(q->asks, 0), "rule")), "expires", expires, NULL);
}

void appr_event_decision(const struct appr *a, const struct appr_req *q, const json_t *decision) {
    static const char *const keys[] = {"verdict", "approver", "issuer", "groups", "reason", "grant", "scope", "signed", "signature", NULL};
    struct rec r = {0};
    rec_str(&r, "request", q->id);
    rec_str(&r, "key", nodekey_public(a->key));
    append_keys(a, &r, decision, keys, q->id, "approval.decision");
    json_t *news = appr_json(a, q, a->now(), false);
    news_tell(&a->news, "decision", news);
    json_decref(news);
    log_event(LOG_INFO, "approval.decision", "request", q->id, "verdict", json_string_value(json_object_get(decision, "verdict")),
              "approver", json_string_value(json_object_get(decision, "approver")), "principal", q->principal, NULL);
}

void appr_event_over(const struct appr *a, const struct appr_req *q, const char *type, const char *session) {
    struct rec r = {0};
    rec_str(&r, "request", q->id);
    rec_str(&r, "principal", q->principal);
    rec_str(&r, "session", session);
    append(a, &r, q->id, type);
    log_event(LOG_INFO, type, "request", q->id, "principal", q->principal, "session", session, NULL);
}

/* Anybody with a token can try: these go where failed logins go, which is bounded. */
void appr_event_refused(const struct appr *a, const struct appr_decision *d, const char *why) {
    struct rec r = {0};
    char id[65] = "";
    memccpy(id, d->id, '\0', sizeof id - 1);
    rec_str(&r, "request", id);
    rec_str(&r, "verdict", d->approve ? "approve" : "deny");
    rec_str(&r, "principal", d->who->principal);
    rec_str(&r, "issuer", d->who->issuer);
    rec_str(&r, "reason", why);
    if (a->led != NULL) rec_append(a->led, &r, LED_AUTH, NULL, "decision.refused", NULL, NULL);
    log_event(LOG_WARN, "decision.refused", "request", id, "principal", d->who->principal, "reason", why, NULL);
}
