/* The catalogs of the databases, read in the background over Gatehouse's own connections: a thread of its own, so that no worker waits for a
 * database or for the reading of a long text.
 *
 * A database's catalog is read from when somebody first wants it, and from then on looked at again every refresh_ms, after a reload, and when somebody
 * asks. Whether anything changed is asked first: an unchanged catalog of many relations costs one small statement. A reading that fails keeps what there
 * is; sound all the same, because rewritten statements name their columns. */
#ifndef GH_SPOA_CATALOG_H
#define GH_SPOA_CATALOG_H

#include "policy/catalog.h"
#include "spoa/worker.h"

#include <time.h>

struct daemon;
struct catalogs; /* opaque */
struct catalog;  /* of one database; lives as long as the daemon */

struct catalogs *catalogs_start(struct daemon *d);
/* Ends the thread. After the workers' threads have ended, before they are freed: it may still post to them. */
void catalogs_stop(struct catalogs *c);
void catalogs_free(struct catalogs *c); /* NULL is fine */
/* Any thread: the configuration or the policy is a new one. */
void catalogs_reloaded(struct catalogs *c);

/* Any thread. The database of this name; NULL when out of memory. */
struct catalog *catalogs_find(struct catalogs *c, const char *database);
/* Any thread, cheap: counts up with every catalog that differs from the one before; 0: none was read yet. */
uint64_t catalog_generation(const struct catalog *c);
/* Any thread. A new reference to the newest, and its generation; NULL: none was read yet. */
struct pol_catalog *catalog_get(struct catalog *c, uint64_t *generation);

/* Who waits for a reading. */
struct catalog_wait {
    struct wmsg msg; /* posted to the worker when it is over, however it went; msg.run is set by who waits */
    struct worker *worker;
    struct catalog_wait *next; /* ours */
    uint64_t deadline_ms;      /* ours */
};
/* Any thread. Asks for a look at the database that begins after this call. w, which must stay until it was posted, may be NULL; it is posted after
 * CATALOG_WAIT_MS at the latest. */
void catalog_refresh(struct catalog *c, struct catalog_wait *w);
#define CATALOG_WAIT_MS 3000u

/* Any thread. The schema of this database was changed: a look, when anybody ever wanted its catalog. */
void catalogs_changed(struct catalogs *c, const char *database);

/* What monitoring shows. */
struct catalog_state {
    char database[64];
    uint64_t relations;
    double age_seconds; /* since the last look that went well */
    bool has, failing;
    char why[300], todo[200]; /* of the last failure; "" when the last look went well */
};
/* Any thread: up to max of those that were ever wanted; the count. */
size_t catalogs_state(struct catalogs *c, struct catalog_state *out, size_t max);
/* Any thread: the databases that the policy in force does not fit (policy/fit.h), n times. Their catalogs are read for that at the start and after a
 * reload, wanted or not. first is a sentence, valid during the call, which must not call back. */
void catalogs_misfits(struct catalogs *c, void (*each)(void *arg, const char *database, size_t n, const char *first), void *arg);

#endif
