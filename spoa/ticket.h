/* Session ids and tickets.
 *
 * The SPOP door admits a session and answers with a ticket; HAProxy hands it on in the PROXY header's unique-id TLV, and the
 * payload door lets nobody in without one. A ticket is good once, for a short time, from one source address and port, in this process
 * or the one that it hands its doors to: that gets the key and the tickets used so far. */
#ifndef GH_SPOA_TICKET_H
#define GH_SPOA_TICKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "018f3c2a9b10-4f0c1b2a99887766": 12 hex digits of milliseconds since 1970, 16 of randomness. Sorts by time. With its NUL. */
#define SID_SIZE 30
/* Text [A-Za-z0-9._-] of at most 127 bytes and its NUL: fits the unique-id TLV's 128 bytes. */
#define TICKET_SIZE 128
/* A reason token [a-z0-9_-] of at most 24 bytes and its NUL. */
#define TICKET_REASON_SIZE 25

/* now_ms: wall clock. False when the system has no randomness to give. */
bool sid_make(uint64_t now_ms, char out[SID_SIZE]);

struct ticket_key; /* 32 random bytes; immutable, shared by all threads */
/* NULL when out of memory or randomness. */
struct ticket_key *ticket_key_new(void);
void ticket_key_free(struct ticket_key *k); /* wipes it */
/* For the handover to another process. ticket_key_of(): NULL when out of memory. */
#define TICKET_KEY_LEN 32
void ticket_key_copy(const struct ticket_key *k, uint8_t out[TICKET_KEY_LEN]); /* wipe out after use */
struct ticket_key *ticket_key_of(const uint8_t secret[TICKET_KEY_LEN]);

enum ticket_verdict { TICKET_ALLOW = 1, TICKET_REFUSE };

/* What a ticket says. */
struct ticket {
    char sid[SID_SIZE];
    enum ticket_verdict verdict;
    bool mysql;                      /* the client speaks MySQL's protocol */
    bool certificate;                /* allowed, and a client certificate was shown: who lets it in must know which */
    char reason[TICKET_REASON_SIZE]; /* why it is to be refused; "" when allowed without a remark */
};

/* Writes a ticket for t, valid for ttl_ms from now_ms, for the source address (text as pp2_addr_text() gives it) and port.
 * now_ms must be of one clock for making and checking; a monotonic one is best. False when t is not as described above, or on a
 * failure of the library; out is then "". */
bool ticket_make(const struct ticket_key *k, uint64_t now_ms, uint64_t ttl_ms, const char *src, uint16_t port, const struct ticket *t,
                 char out[TICKET_SIZE]);

/* The tickets that were used and have not expired: at most max. Any thread. */
struct ticket_used; /* opaque */
struct ticket_used *ticket_used_new(size_t max);
void ticket_used_free(struct ticket_used *u);

/* For the handover to another process. */
#define TICKET_MAC_LEN 32
struct ticket_use {
    uint8_t mac[TICKET_MAC_LEN];
    uint64_t expiry; /* milliseconds of the clock that tickets are made by */
};
/* Copies up to max entries, in order of use, from the from-th on; returns how many. *now (may be NULL): the latest time seen. The set must
 * not be in use between the calls for one copy. */
size_t ticket_used_copy(struct ticket_used *u, size_t from, struct ticket_use *out, size_t max, uint64_t *now);
/* Adds an entry of another process's set. False when it is full, or holds this one already. */
bool ticket_used_add(struct ticket_used *u, const struct ticket_use *use);
/* Time has come this far: what expired by then stays expired. */
void ticket_used_now(struct ticket_used *u, uint64_t now_ms);

enum ticket_rc {
    TICKET_OK = 0,
    TICKET_MALFORMED, /* not a ticket's text (an empty one too) */
    TICKET_FORGED,    /* its MAC is wrong: made up, altered, from another process, or used from another source */
    TICKET_EXPIRED,
    TICKET_REUSED,
    TICKET_FULL, /* too many tickets in their lifetime to remember one more: refused, because forgetting one would let it in twice */
};
/* "ok", "malformed", "forged or wrong source", ... for the log. */
const char *ticket_rc_name(enum ticket_rc rc);

/* Checks len bytes of text (untrusted) and marks the ticket used. *t is filled only for TICKET_OK. */
enum ticket_rc ticket_check(const struct ticket_key *k, struct ticket_used *u, const void *text, size_t len, const char *src, uint16_t port,
                            uint64_t now_ms, struct ticket *t);

#endif
