/* What the workers share: the snapshot of configuration and policy in force, the ledger, the registry, the doors. */
#ifndef GH_SPOA_DAEMON_H
#define GH_SPOA_DAEMON_H

#include "policy/policy.h"
#include "spoa/config.h"
#include "spoa/factscache.h"
#include "spoa/ledger.h"
#include "spoa/paramcache.h"
#include "spoa/parsepool.h"
#include "spoa/registry.h"
#include "spoa/ticket.h"
#include "spoa/worker.h"

#include <pthread.h>
#include <stdatomic.h>

/* One reading of the files. Immutable; sessions hold references, so an old one lives as long as somebody judges by it. */
struct snap {
    atomic_uint refs;
    uint64_t generation;        /* counts up from 1 with every reload that took */
    uint64_t policy_generation; /* the first generation with the same policy: verdicts of older ones no longer count */
    struct conf *conf;
    struct pol_policy *policy;
};
/* Loads configuration and policy, to follow before (NULL: the first). NULL and *err on a mistake. */
struct snap *snap_load(const char *path, const struct snap *before, struct pol_error *err);
struct snap *snap_ref(struct snap *s);
void snap_unref(struct snap *s); /* NULL is fine */

struct daemon {
    struct snap *boot; /* the one that the daemon started with: sockets, ledger and threads follow it */
    pthread_mutex_t lock;
    struct snap *current;        /* guarded by lock */
    _Atomic uint64_t generation; /* of current: read without the lock to see whether it changed */
    atomic_bool draining;
    struct led *led;
    struct registry *registry;
    struct parsepool *pool;
    struct paramcache *params;
    struct ticket_key *key;
    struct ticket_used *used;
    int spop_fd, payload_fd; /* listening */
    unsigned nworkers;
    struct worker **workers;
};
/* A new reference to the snapshot in force. */
struct snap *daemon_snap(struct daemon *d);
/* Puts next in force; takes the reference over. */
void daemon_swap(struct daemon *d, struct snap *next);

#define SCRATCH_BYTES 65536u

struct session;
struct spop_conn;

/* A worker's own. */
struct wstate {
    struct daemon *d;
    struct worker *w;
    struct event_base *base;
    struct snap *snap; /* as of the last look: see wstate_snap() */
    struct factscache *facts;
    struct session *sessions;
    struct spop_conn *spops;
    struct event *accept_spop, *accept_payload, *resume, *sweep;
    uint64_t next_serial;
    size_t cancels;                 /* under way */
    uint8_t scratch[SCRATCH_BYTES]; /* for one read at a time */
};
/* The snapshot in force, borrowed until the next call. */
struct snap *wstate_snap(struct wstate *ws);
/* Starts the daemon's workers; false when the system has no room for them. */
bool wstate_start_all(struct daemon *d);
/* Tells every worker to end sessions: idle ones, or all. */
void wstate_end_sessions(struct daemon *d, bool all);

#endif
