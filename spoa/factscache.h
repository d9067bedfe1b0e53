/* Facts by the text of a statement, exact or blanked (pol_blank_pg()): a worker's own LRU cache, bounded by count and by bytes.
 *
 * Facts are shared with prepared statements, so they are reference-counted; the count is not atomic: one worker's
 * facts never leave its thread. */
#ifndef GH_SPOA_FACTSCACHE_H
#define GH_SPOA_FACTSCACHE_H

#include "policy/facts.h"
#include "policy/parsed.h"
#include "spoa/ledger.h"

#include <stddef.h>
#include <stdint.h>

struct facts_ref; /* opaque */
/* Takes facts over, also when it returns NULL (out of memory). The caller holds one reference. */
struct facts_ref *facts_ref_new(struct pol_facts *facts);
struct facts_ref *facts_ref_get(struct facts_ref *r);
void facts_ref_put(struct facts_ref *r); /* NULL is fine */
const struct pol_facts *facts_of(const struct facts_ref *r);
/* What the records of a statement with these facts have in common (statement.c), which goes with them. */
struct facts_said {
    struct led_run *what, *which; /* NULL: not made */
    unsigned asked;               /* how often they did not fit */
};
struct facts_said *facts_said(struct facts_ref *r);

struct factscache;
/* NULL when out of memory or randomness. bytes counts texts and an estimate of their facts. */
struct factscache *factscache_new(size_t entries, size_t bytes);
void factscache_free(struct factscache *c);
/* What a text is, of PostgreSQL's, or with its server in front of it: two that are equal but of different kinds are different. */
enum factscache_key { FACTS_EXACT, FACTS_BLANKED, FACTS_MYSQL };
/* A new reference for the caller, or NULL. A text is looked for as it is first, and then blanked. */
struct facts_ref *factscache_find(struct factscache *c, enum factscache_key kind, const char *text, size_t len);
/* Counts a statement that was found as nothing. */
void factscache_missed(struct factscache *c);
/* Keeps a reference of its own, and a copy of the text; does nothing when the entry would not fit. */
void factscache_put(struct factscache *c, enum factscache_key kind, const char *text, size_t len, struct facts_ref *r);
/* The tree of the text that was parsed last, for whoever rewrites it at once: one parse for both. Takes p over. */
void factscache_keep_tree(struct factscache *c, const char *text, size_t len, struct pol_parsed *p);
/* Hands it over when it is this text's: *p is the caller's, to pol_parse_clear(), and refers to text. False, with an empty *p, when it is not. */
bool factscache_take_tree(struct factscache *c, const char *text, size_t len, struct pol_parsed *p);
/* Whether an exact text was asked about before, a short while ago; so it seems to come again and again. */
bool factscache_again(struct factscache *c, const char *text, size_t len);
size_t factscache_count(const struct factscache *c);
size_t factscache_bytes(const struct factscache *c);
/* How it was used, ever. */
struct factscache_use {
    uint64_t hits, misses, evictions; /* statements that were found, or not; entries that made room for others */
};
struct factscache_use factscache_use(const struct factscache *c);

#endif
