/* How many rows a statement that waits for approval may touch, by the planner of its database: EXPLAIN, never ANALYZE, over Gatehouse's own connection,
 * in a transaction that reads only, within seconds. One at a time, and no more than a few wait: it is a help for approvers, not a part of the decision. */
#ifndef GH_SPOA_ESTIMATE_H
#define GH_SPOA_ESTIMATE_H

#include "policy/facts.h"
#include "spoa/daemon.h"

struct estimates;
/* NULL when the system has no room. */
struct estimates *estimates_start(struct daemon *d);
void estimates_stop(struct estimates *e); /* ends what is under way; NULL is fine */
void estimates_free(struct estimates *e); /* later: a worker may still post. NULL is fine */

/* Planning it runs no code but the server's own, as far as the text shows: one statement on rows, with harmless functions only. */
bool estimate_possible(const struct pol_facts *f, size_t len);
/* Any thread. request: its id; the texts are copied. What comes of it goes to the store of approvals, or nowhere. */
void estimates_ask(struct estimates *e, const char *request, const char *database, const char *sql, size_t len);
/* The number of rows in EXPLAIN's JSON: of a statement that writes, what it writes. False when that is not what it is. */
bool estimate_read(const char *json, size_t len, uint64_t *rows);

#endif
