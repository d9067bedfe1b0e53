/* The hash chain of a journal, and anchors: what makes it visible that somebody changed the record.
 *
 * An event's hash is SHA-256 over netstrings ("LENGTH:BYTES,") of its key in Redis (LEV_KEY_AUDIT "s1", ...) and then of each of its names and
 * values, in order. The fifth field, prev, is the hash (64 hex digits) of the event before it in the same chain, or 64 zeros: so a hash covers
 * everything before it too. A journal has two chains: gatehouse:auth is bounded, and loses its oldest entries in good order, so its events
 * have a chain of their own, and those of all other streams the main one. Event numbers count through both.
 *
 * An anchor is a text signed with the node's key that says where both chains end. It is an event of its own ("anchor", in
 * gatehouse:sessions), and a line outside of Redis: who cuts, rewrites or rolls back what is in Redis cannot make the anchor fit. */
#ifndef GH_SPOA_LEDGER_CHAIN_H
#define GH_SPOA_LEDGER_CHAIN_H

#include "spoa/journal.h"
#include "spoa/ledger_event.h"
#include "spoa/nodekey.h"

#include <jansson.h>

#define CHAIN_ZERO "0000000000000000000000000000000000000000000000000000000000000000"

struct chain_head {
    uint64_t seq;             /* of the last event in this chain; 0: there is none */
    char hash[LEV_HASH_TEXT]; /* of it; zeros when there is none */
};
struct chain {
    struct chain_head main, auth;
};
void chain_init(struct chain *c);
/* The chain that events of this stream are in. */
struct chain_head *chain_of(struct chain *c, enum led_stream stream);

/* The hash of an event with this key and these names and values, in hex. False when there is no memory or no digest. */
GH_CHECKED bool chain_hash(const char *key, const struct lev_part *parts, size_t nparts, char out[LEV_HASH_TEXT]);
/* Links a numbered event to its chain, which ends with it from now on. False likewise; nothing was changed then. */
GH_CHECKED bool chain_add(struct chain *c, struct lev *e);

/* Where a journal's chains end, the number of its last anchor (0: none is near its end), and the id of its last event (unchanged when it is
 * empty). False and a sentence in err when it cannot be read. */
GH_CHECKED bool chain_resume(struct jnl *j, struct chain *c, uint64_t *anchored, struct lev_id *last, char *err, size_t errsize);

/* What an anchor's signed text says. */
struct chain_anchor {
    uint64_t seq; /* the anchor's own number */
    char node[96], time[32];
    struct chain ends; /* before the anchor */
};
/* The text that is signed; the caller frees. NULL: no memory. */
char *chain_anchor_text(const struct chain_anchor *a);
/* False when the text is no anchor's. */
bool chain_anchor_read(const char *text, struct chain_anchor *a);
/* The line outside of Redis: {"anchor": text, "signature": ..., "key": ...} with a newline; the caller frees. NULL: no memory. */
char *chain_anchor_line(const char *text, const char *signature, const char *key);

#endif
