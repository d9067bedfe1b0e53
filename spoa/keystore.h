/* Keys of issuers that publish them at an address (jwks_url) or by discovery.
 *
 * One thread of its own fetches them all, so neither the start, nor a reload, nor a worker waits for a provider. What was fetched is kept until
 * something newer was: a provider that is down or answers nonsense takes no keys away, and a set without a key takes that key away.
 * A token whose key is not there causes one more fetch, at most one in refetch_ms, and the logins that wait for it are told when it has ended. */
#ifndef GH_SPOA_KEYSTORE_H
#define GH_SPOA_KEYSTORE_H

#include "spoa/jwks.h"
#include "spoa/metrics.h"
#include "spoa/worker.h"

#define KEYS_WAITING_MAX 64u   /* logins of one issuer that wait at once */
#define KEYS_WAIT_MS     5000u /* each of them at most so long */

struct keysource_conf {
    const char *issuer;
    const char *jwks_url;                    /* NULL: discovery */
    const char *ca;                          /* PEM of the authorities; NULL: the system's */
    bool allow_http;                         /* to loopback addresses */
    uint64_t refresh_min_ms, refresh_max_ms; /* between a set that was fetched and the next, whatever the provider says */
    uint64_t refetch_ms, timeout_ms;
};

/* Where an issuer's keys come from, and the keys. A configuration has its own; those that are alike in two of them share their keys. */
struct keysource;
/* Copies conf. NULL when out of memory. */
struct keysource *keysource_new(const struct keysource_conf *conf);
void keysource_free(struct keysource *s);
/* As it was made; never changes, and lives as long as s. */
const struct keysource_conf *keysource_conf(const struct keysource *s);
/* Any thread: the keys as of now, a reference of the caller's; NULL when there are none yet. */
struct jwks *keysource_keys(struct keysource *s);

struct keysource_status {
    size_t keys, waiting; /* keys at hand; logins that wait */
    bool tried, failing;  /* a fetch has ended; the last one failed */
    double age_seconds;   /* of the keys: since they were fetched, or found unchanged */
    char why[512];        /* of the failure, or "" */
    const char *todo;     /* what to do about it; static */
};
void keysource_status(struct keysource *s, struct keysource_status *out);

/* A login that waits. Its owner keeps it until msg has run. */
struct keywait {
    struct wmsg msg; /* msg.run: the owner's */
    struct worker *worker;
    struct keywait *next;
    uint64_t deadline_ms;
};
/* Any thread, after a token's key was not found. True: keys are being fetched, and w->msg runs once on worker when that has ended, or after
 * KEYS_WAIT_MS; then it is time to look again. False: there is nothing to wait for, because the keys were fetched just now, or too many wait. */
bool keysource_wait(struct keysource *s, struct keywait *w, struct worker *worker);

struct keystore;
/* Starts the thread, with nothing to fetch. m: a block of its own for its numbers; NULL: nobody counts. NULL when the system has no room. */
struct keystore *keystore_start(struct mblock *m);
/* Fetches for these from now on, and for no others; those that are like one that was fetched for until now have its keys at once. The sources
 * (NULL entries are passed over) must not be used by others yet. False when out of memory: all is as before. */
bool keystore_use(struct keystore *k, struct keysource *const *sources, size_t n);
/* Ends the thread and lets go of who waits. NULL is fine. */
void keystore_stop(struct keystore *k);

#endif
