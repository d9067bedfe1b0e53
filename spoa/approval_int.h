/* Shared by the approval*.c files of the store. */
#ifndef GH_SPOA_APPROVAL_INT_H
#define GH_SPOA_APPROVAL_INT_H

#include "spoa/approval.h"
#include "spoa/approval_log.h"

#include <pthread.h>
#include <stdatomic.h>

#define APPR_BUCKETS 4096u

enum appr_state {
    APPR_S_PENDING,
    APPR_S_APPROVED,
    APPR_S_DENIED,
    APPR_S_USED,
    APPR_S_EXPIRED,
    APPR_S_LAPSED,
    APPR_S_REPLACED,
    APPR_S_GRANTED
};

struct appr_req {
    struct appr_req *next; /* in its bucket: newest first */
    char id[APPR_ID_SIZE], fingerprint[65];
    char *principal, *kind; /* kind may be NULL */
    json_t *detail, *asks;
    json_t *decisions; /* [{"signed", "signature", "verdict", "approver", "groups", "reason", "time"}] */
    uint64_t created_ms, expires_ms, window_ms;
    uint64_t approved_ms, denied_ms, used_ms, over_ms; /* 0: not */
    bool replaced, granted;
    bool estimated;
    uint64_t rows; /* then */
    size_t bytes;
};

struct appr {
    pthread_mutex_t mu; /* guards all of it */
    char *dir, *node;
    struct led *led;
    struct news news;
    struct ord *orders; /* NULL: none */
    uint64_t (*now)(void);
    struct nodekey *key;
    struct alog *log;
    struct appr_req **list; /* in the order of ids, which is that of their making */
    size_t n, cap;
    struct appr_req *bucket[APPR_BUCKETS];
    size_t bytes;
    char last_id[APPR_ID_SIZE];
    _Atomic uint64_t epoch;
};

enum appr_state appr_state(const struct appr_req *r, uint64_t now);
const char *appr_state_name(enum appr_state s);
/* True when what the asks want is agreed to by these decisions. */
bool appr_satisfied(const json_t *asks, const json_t *decisions);
/* For how long, and how much, a request with these decisions was agreed to by all; 0: by somebody for once only. */
uint64_t appr_granted_ms(const json_t *decisions, enum pol_scope *scope);
/* The longest time that the asks allow; 0: none. *scope: the widest. */
uint64_t appr_grant_max(const json_t *asks, enum pol_scope *scope);
/* One of the identity's groups is among the approvers of the asks (of one of them). */
bool appr_may_decide(const json_t *asks, const json_t *groups);

/* approval_record.c: lines of the file */
char *appr_line_request(const struct appr_req *r);
char *appr_line_decision(const char *id, const char *signed_text, const char *signature);
char *appr_line_mark(const char *type, const char *id, uint64_t at, const char *session);
char *appr_line_estimate(const char *id, uint64_t rows);
/* The text that is signed; the caller frees. NULL without memory. */
char *appr_signed(const struct appr *a, const struct appr_req *r, const struct appr_decision *d, uint64_t now);
/* Applies a record to the store; false when it makes no sense, and when there is no memory for it (starved()): then it is to be applied again, which does no harm. */
bool appr_apply(struct appr *a, const char *json, size_t len);
void appr_forget(struct appr *a);
struct appr_req *appr_find(const struct appr *a, const char *id);
struct appr_req **appr_bucket(struct appr *a, const char *fingerprint);
/* Takes it out of the store and frees it. */
void appr_drop(struct appr *a, size_t at);
/* As shown to people: everything, or a line of a list. NULL without memory. */
json_t *appr_json(const struct appr *a, const struct appr_req *r, uint64_t now, bool whole);
void appr_time(uint64_t ms, char out[32]);

/* approval_event.c: what the ledger gets */
void appr_event_request(const struct appr *a, const struct appr_req *r);
void appr_event_decision(const struct appr *a, const struct appr_req *r, const json_t *decision);
void appr_event_over(const struct appr *a, const struct appr_req *r, const char *type, const char *session);
void appr_event_refused(const struct appr *a, const struct appr_decision *d, const char *why);

#endif
