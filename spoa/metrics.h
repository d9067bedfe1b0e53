/* Numbers for a monitoring system. Each thread counts in a block of its own, so nothing is contended on a statement's way; who reads adds the
 * blocks up. Counters only grow as long as the daemon lives, whatever a reload takes out of the policy.
 *
 * A label's values are bounded: a family holds so many combinations in each block, and what comes after them is counted under "(other)". No
 * principal, no address and no text of a statement is ever a label: they have no bound, and they are nobody's business who may read metrics. */
#ifndef GH_SPOA_METRICS_H
#define GH_SPOA_METRICS_H

#include "filters/bytes.h"
#include "spoa/catalog.h"

#include <stdatomic.h>
#include <stdint.h>

enum m_counter {
    M_SESSIONS_OPENED,
    M_SESSIONS_LOGIN_REFUSED,
    M_SESSIONS_NOT_ADMITTED, /* a ticket that says refuse, or a drain, or too many */
    M_SESSIONS_ABANDONED,    /* the client went away, or was too slow, or spoke nonsense, before the end of its login */
    M_LOGINS_OVER_SOURCE,    /* bad logins beyond a budget */
    M_LOGINS_OVER_NAME,
    M_LOGINS_DISCOVERY, /* by OAUTHBEARER: where is a token to be had */
    M_BYTES_FROM_CLIENT,
    M_BYTES_FROM_SERVER,
    M_BYTES_TO_CLIENT,
    M_BYTES_TO_SERVER,
    M_ROWS,
    M_FACTS_HITS, /* these three: set by m_set() from the cache's own, a few times a second */
    M_FACTS_MISSES,
    M_FACTS_EVICTIONS,
    M_FACTS_ENTRIES, /* gauge */
    M_FACTS_BYTES,   /* gauge */
    M_PARSE_ERRORS,
    M_PARSE_POOL_JOBS,
    M_PARSE_POOL_REFUSED,
    M_CANCELS_MATCHED,
    M_CANCELS_UNMATCHED,
    M_SPOP_ACCEPTED,
    M_SPOP_CLOSED,
    M_SPOP_ERRORS,
    M_BREAKGLASS,
    M_BREAKGLASS_USED,
    M_RELOADS_OK,
    M_RELOADS_FAILED,
    M_COUNTERS
};

enum m_family {
    M_STATEMENTS,      /* database, verdict, rule */
    M_LOGINS_REFUSED,  /* reason */
    M_REFUSALS,        /* sqlstate */
    M_SERVER_ERRORS,   /* class */
    M_PAYLOAD_REFUSED, /* reason */
    M_PEERS_REFUSED,   /* door */
    M_SPOP_MESSAGES,   /* message */
    M_UPSTREAM_FAILED, /* database, reason */
    M_CATALOG_LOOKS,   /* database, result */
    M_REWRITES,        /* database, result */
    M_KEY_FETCHES,     /* issuer, result */
    M_PAGE_REQUESTS,   /* page, status */
    M_PAGE_SIGN_INS,   /* outcome */
    M_FAMILIES
};
#define M_LABELS       3
#define M_LABEL_BYTES  128 /* with the NUL; what is longer is cut */
#define M_FAMILY_SLOTS 512 /* a power of two; half of them are used at most */

enum m_histogram {
    M_GATE_SECONDS,      /* from a statement's last byte to its first byte to the server: what the gate adds */
    M_STATEMENT_SECONDS, /* from there to the end of its result */
    M_HISTOGRAMS
};
#define M_BUCKETS 16 /* the last one is +Inf */
extern const uint32_t m_bucket_us[M_BUCKETS - 1];

struct m_entry {
    _Atomic uint64_t value;
    char label[M_LABELS][M_LABEL_BYTES]; /* not changed any more once the entry can be seen */
};

/* One thread writes, any thread reads. */
struct mblock {
    _Atomic uint64_t counter[M_COUNTERS];
    _Atomic uint64_t bucket[M_HISTOGRAMS][M_BUCKETS]; /* not cumulative */
    _Atomic uint64_t sum_us[M_HISTOGRAMS];
    _Atomic(struct m_entry *) slot[M_FAMILIES][M_FAMILY_SLOTS];
    unsigned used[M_FAMILIES];        /* the writer's */
    struct m_entry *last[M_FAMILIES]; /* the writer's: what it has found last */
    _Atomic uint64_t other[M_FAMILIES];
};
/* NULL when out of memory. */
struct mblock *mblock_new(void);
void mblock_free(struct mblock *b); /* NULL is fine */

/* The writer's: a plain load and store, no locked instruction. */
static inline void m_bump(_Atomic uint64_t *at, uint64_t n) {
    atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void m_add(struct mblock *b, enum m_counter c, uint64_t n) { m_bump(&b->counter[c], n); }
static inline void m_set(struct mblock *b, enum m_counter c, uint64_t v) { atomic_store_explicit(&b->counter[c], v, memory_order_relaxed); }
/* Counts one under these labels; as many as the family has, the others NULL. Any bytes up to the NUL. */
void m_count(struct mblock *b, enum m_family f, const char *l0, const char *l1, const char *l2);
void m_observe(struct mblock *b, enum m_histogram h, uint64_t us);
/* Any thread: the sum over the blocks. */
uint64_t m_sum(struct mblock *const *blocks, size_t n, enum m_counter c);

/* What is not counted but looked at when somebody asks. */
struct metrics_keys { /* of an issuer whose keys are fetched */
    const char *issuer;
    uint64_t keys, waiting;
    double age_seconds;
};
struct metrics_state {
    const char *version, *node, *policy_hash;
    uint64_t generation, policy_generation; /* of the snapshot, of its policy */
    double reloaded_at;                     /* when it was read, seconds since 1970 */
    bool reload_ok;                         /* the last reload took, or there was none */
    bool ready, draining;
    uint64_t sessions, sessions_max;
    uint64_t pool_waiting, pool_bytes;
    uint64_t approvals_pending, approvals_approved;
    uint64_t blocks, grants, orders_missing;
    uint64_t hooks_delivered, hooks_failed, hooks_dropped;
    uint64_t retention_events, retention_streams;
    uint64_t audit_unshipped, audit_unshipped_bytes, journal_bytes;
    double audit_lag_seconds; /* age of the oldest event that Redis does not have */
    uint64_t audit_events, audit_refused, audit_failed, audit_dropped;
    bool audit_healthy, redis_up;
    const struct catalog_state *catalogs; /* borrowed */
    size_t ncatalogs;
    double cpu_seconds, started_at;
    uint64_t resident_bytes, virtual_bytes, open_fds, max_fds;
    const struct metrics_keys *keys;
    size_t nkeys;
};
/* Appends the exposition (Prometheus' text format 0.0.4). When out of memory, out->failed is set. */
void metrics_text(struct buf *out, struct mblock *const *blocks, size_t nblocks, const struct metrics_state *s);
/* Appends a label's value as the format asks for it: backslash, quote and newline escaped, what is not UTF-8 replaced by "?". */
void metrics_escape(struct buf *out, const char *value);

#endif
