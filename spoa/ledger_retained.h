/* What is said, signed, of events that retention removes, so that a record without them can still be told from one that was touched.
 *
 * An event "retention" in gatehouse:sessions is recorded before anything goes. Its signed text names the writer whose events these are, how many, and
 * the runs that they make in its main chain (ledger_chain.h): each with the hash of the event before it and of its last event. So the chain of what
 * is left can be followed across the holes, and a hole that no run fills is one that somebody else made. */
#ifndef GH_SPOA_LEDGER_RETAINED_H
#define GH_SPOA_LEDGER_RETAINED_H

#include "spoa/ledger_chain.h"

#define RETAINED_TYPE "retention"

struct retained_run {
    uint64_t first, last;     /* numbers of its events; refused logins between them, which have a chain of their own, count for nothing */
    char prev[LEV_HASH_TEXT]; /* of the first one */
    char hash[LEV_HASH_TEXT]; /* of the last one */
};
struct retained {
    char of[96];       /* the writer: NODE, or NODE/1 ... */
    char where[16];    /* "redis", "journal" */
    char why[16];      /* "age", "size" */
    char time[32];     /* RFC 3339 */
    uint64_t events;   /* 0: not counted, as for files of a journal */
    uint64_t nstreams; /* that went, whole or their beginning */
    struct retained_run *runs;
    size_t nruns;
};
void retained_clear(struct retained *r);

/* False when the text is none of these. The caller clears *r either way. */
GH_CHECKED bool retained_read(const char *text, struct retained *r);

/* An event that is to go. */
struct retained_event {
    uint64_t seq;
    char prev[LEV_HASH_TEXT], hash[LEV_HASH_TEXT];
};
/* The runs that events make, which are sorted by number. False: no memory. *broken counts neighbours that are not linked to each other, so that one
 * of the two was changed: they are in two runs, and whoever follows the chain finds that. */
GH_CHECKED bool retained_runs(const struct retained_event *e, size_t n, struct retained *r, size_t *broken);

/* The event for the index, with its text signed. streams: what went, an array, taken over (a reference); NULL: none. What the event
 * points to is inside of *out or r. False: no memory, or it cannot be signed. Cleared either way by
 * retained_entry_clear(). */
struct retained_entry {
    struct led_event ev;
    struct led_field f[8];
    char *text, signature[NODEKEY_SIGNATURE_SIZE], events[GH_U64_TEXT], streams[GH_U64_TEXT];
};
GH_CHECKED bool retained_entry(const struct nodekey *key, const struct retained *r, json_t *streams, struct retained_entry *out);
void retained_entry_clear(struct retained_entry *e);

/* The event for files of a journal that go and end with event last. It is about all that came before, so that the newest one says all. The caller frees it;
 * NULL: what comes next cannot be read, or it cannot be signed. */
struct lev *retained_files(struct jnl *j, const struct nodekey *key, uint64_t last, const char *why, const char *time, const char *node);

#endif
