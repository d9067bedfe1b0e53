/* What the workers share: the snapshot of configuration and policy in force, the ledger, the registry, the doors. */
#ifndef GH_SPOA_DAEMON_H
#define GH_SPOA_DAEMON_H

#include "policy/policy.h"
#include "spoa/admit.h"
#include "spoa/catalog.h"
#include "spoa/config.h"
#include "spoa/factscache.h"
#include "spoa/keystore.h"
#include "spoa/ledger.h"
#include "spoa/metrics.h"
#include "spoa/order.h"
#include "spoa/paramcache.h"
#include "spoa/parsepool.h"
#include "spoa/quota.h"
#include "spoa/registry.h"
#include "spoa/spop.h"
#include "spoa/throttle.h"
#include "spoa/ticket.h"
#include "spoa/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* One reading of the files. Immutable; sessions hold references, so an old one lives as long as somebody judges by it. */
struct snap {
    atomic_uint refs;
    uint64_t generation;        /* counts up from 1 with every reload that took */
    uint64_t policy_generation; /* the first generation with the same policy: verdicts of older ones no longer count */
    time_t read_at;
    struct conf *conf;
    struct pol_policy *policy;
};
/* Loads configuration and policy, to follow before (NULL: the first). NULL and *err on a mistake. */
struct snap *snap_load(const char *path, const struct snap *before, struct pol_error *err);
/* The same with conf_look(), not to be served by. */
struct snap *snap_look(const char *path, struct pol_error *err);
struct snap *snap_ref(struct snap *s);
void snap_unref(struct snap *s); /* NULL is fine */

struct daemon {
    struct snap *boot; /* the one that the daemon started with: sockets, ledger and threads follow it */
    pthread_mutex_t lock;
    struct snap *current;        /* guarded by lock */
    _Atomic uint64_t generation; /* of current: read without the lock to see whether it changed */
    atomic_bool draining;
    atomic_bool spop_silent; /* HAProxy does not connect */
    char reload_error[1024]; /* of the last reload; "" when it took. Guarded by lock */
    atomic_bool replaced;    /* a newer daemon has the doors */
    struct led *led;
    struct led_keeper *keeper;
    struct trim *trim; /* NULL: nothing is removed from Redis */
    struct appr *approvals;
    struct ord *orders;
    struct estimates *estimates;
    struct hooks *hooks;
    struct courier *courier; /* takes them to other nodes, and brings theirs */
    struct desk *desk;       /* before it */
    struct roster *roster;
    int admin_fd; /* as metrics_fd */
    struct httpd *admin;
    struct page *page; /* the approvers'; NULL: none */
    struct handover *handover;
    struct keystore *keys;
    struct registry *registry;
    struct admits *admits;     /* what is known of connections whose payload is still to come */
    struct throttle *throttle; /* of bad logins */
    struct quotas *quotas;     /* of the record */
    struct parsepool *pool;
    struct credpool *creds;
    struct catalogs *catalogs;
    struct paramcache *params;
    struct ticket_key *key;
    struct ticket_used *used;
    int spop_fd, payload_fd; /* listening */
    atomic_size_t spops;     /* connections at the SPOP door */
    unsigned nworkers;
    struct worker **workers;
    struct mblock **metrics; /* one for each worker, then the main thread's, the key store's, the catalogs', the page's */
    size_t nmetrics;
    int metrics_fd; /* listening, until the HTTP server has it; -1: none */
    struct httpd *httpd;
    struct watch *watch; /* over the SPOP door, see status.c */
};
/* A new reference to the snapshot in force. */
struct snap *daemon_snap(struct daemon *d);
/* Puts next in force; takes the reference over. */
void daemon_swap(struct daemon *d, struct snap *next);
/* Has the keys of s fetched, which nobody uses yet. False when out of memory. */
bool daemon_use_keys(struct daemon *d, const struct snap *s);

#define SCRATCH_BYTES 65536u

struct session;
struct spop_conn;
struct api_session;

/* A worker's own. */
struct wstate {
    struct daemon *d;
    struct worker *w;
    struct mblock *m; /* its numbers */
    struct event_base *base;
    struct snap *snap; /* as of the last look: see wstate_snap() */
    struct factscache *facts;
    struct session *sessions;
    struct spop_conn *spops;
    struct api_session *apis;
    struct api_ask *asks; /* whatever they wait for */
    struct event *accept_spop, *accept_payload, *resume, *sweep;
    bool accepting;
    bool giving; /* connections at the SPOP door go to the daemon that replaces this one */
    uint64_t next_serial;
    size_t cancels;                 /* under way */
    uint8_t scratch[SCRATCH_BYTES]; /* for one read at a time */
};
/* The snapshot in force, borrowed until the next call. */
struct snap *wstate_snap(struct wstate *ws);
/* Starts the daemon's workers, which do not accept yet; false when the system has no room for them. */
bool wstate_start_all(struct daemon *d);
/* When nobody can post to a worker any more: whoever answers a session that is gone, as the ledger does, goes by its worker's state. */
void wstate_free_all(struct daemon *d);
/* All workers begin to accept. */
void wstate_accept(struct daemon *d);
/* All workers stop accepting. What connected before and has not shown its ticket is counted into p->waiting; hurry: closed instead. Each
 * worker adds one to p->paused when it is done, after which it checks no ticket but of those that it counted. p must stay until then. */
struct pause {
    struct pause *next;
    atomic_uint paused;
    atomic_size_t waiting;
};
void wstate_pause(struct daemon *d, bool hurry, struct pause *p);
/* All workers hand their connections at the SPOP door to the daemon that replaces this one. */
void wstate_give_spops(struct daemon *d);
/* Hands a connection at the SPOP door, and what is known of it, to one of the workers; fd becomes its. */
void wstate_adopt_spop(struct daemon *d, int fd, const struct spop_agent_state *st);
/* Hands a cancel request to a worker: session_cancel(), from the main thread. */
void wstate_cancel(struct daemon *d, uint32_t pid, uint32_t secret, const char *src);
/* Every worker looks at each of its sessions at once: somebody may be blocked. Any thread, also before there are workers. */
void wstate_look_again(struct daemon *d);
/* Tells every worker to end sessions: idle ones, or all. */
void wstate_end_sessions(struct daemon *d, bool all);

#endif
