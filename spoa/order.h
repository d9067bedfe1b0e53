/* Orders: who is blocked, and what may run for some time without being asked about again (grants). A signed log with sequence numbers.
 *
 * JOURNAL/orders.log is the truth on a node; daemons of one node share it. An order is a text that its node has signed; with its number it also says the
 * one before, so that one that is missing is noticed. Nobody goes back: an order that was taken once is never taken again, and an order that disappears, from
 * Redis or from the file, goes on to count here. Redis carries the orders to other nodes (order_redis.h), which verify them with the keys in their
 * configuration.
 *
 * A block counts on every node. It is lifted by an order that names it, so it does not matter in which sequence nodes hear of both, and an old
 * order to lift a block cannot lift a newer one. A grant counts on the node where it was decided, as an approval does: else who withholds an order from a
 * node could keep a grant alive that was revoked. */
#ifndef GH_SPOA_ORDER_H
#define GH_SPOA_ORDER_H

#include "policy/policy.h"
#include "spoa/ledger.h"
#include "spoa/news.h"
#include "spoa/nodekey.h"

#include <jansson.h>

#define ORD_ID_SIZE   96u   /* NODE:NUMBER and a NUL */
#define ORD_VALUE_MAX 1024u /* bytes of what is blocked */
#define ORD_TEXT      500u  /* bytes of a reason */
#define ORD_MAX       20000u

struct ord; /* opaque; any thread, unless a function says otherwise */
struct ord_conf {
    const char *dir, *node;
    const struct nodekey *key; /* borrowed */
    struct led *led;           /* events go there; NULL: nowhere */
    struct news news;
    uint64_t (*now)(void);      /* milliseconds since 1970; NULL: the system's clock */
    void (*changed)(void *arg); /* somebody may be blocked now who was not; NULL: nobody wants to know */
    void *arg;
};
/* NULL and a sentence in err. */
struct ord *ord_open(const struct ord_conf *conf, char *err, size_t size);
void ord_close(struct ord *o); /* NULL is fine */
/* Reads what other processes wrote, lets go of what is over. About a few times a second, by one thread. */
void ord_sweep(struct ord *o);

/* --- blocks --- */

enum ord_what { ORD_PRINCIPAL, ORD_SESSION, ORD_ADDRESS, ORD_DATABASE };
const char *ord_what_name(enum ord_what w);
bool ord_what_of(const char *word, enum ord_what *out);

struct ord_subject { /* NULL: not known, or not to be looked at */
    const char *principal, *session, *src, *database;
};
struct ord_block { /* what blocks somebody */
    enum ord_what what;
    char reason[ORD_TEXT + 1];
    char id[ORD_ID_SIZE];
};
/* Never blocks on a disk or another process. out may be NULL. */
bool ord_blocked(struct ord *o, const struct ord_subject *s, struct ord_block *out);
/* Grows whenever somebody may be blocked who was not. */
uint64_t ord_epoch(const struct ord *o);

enum ord_rc {
    ORD_DONE,
    ORD_NOTHING, /* there is no such block, or grant */
    ORD_BAD,     /* what is asked for makes no sense */
    ORD_FULL,
    ORD_FAILED, /* it could not be written */
};
struct ord_wish { /* texts as people gave them */
    const char *what, *value, *reason, *by;
    uint64_t for_ms; /* of a block; 0: until it is lifted */
};
/* why: a sentence for who asked, whatever comes of it; id: of the block. These two wait for the disk. */
enum ord_rc ord_block(struct ord *o, const struct ord_wish *w, char id[ORD_ID_SIZE], char *why, size_t size);
/* Lifts all blocks of that. */
enum ord_rc ord_unblock(struct ord *o, const struct ord_wish *w, char *why, size_t size);

/* --- grants --- */

struct ord_grant {
    const char *request; /* the request that was decided on */
    const char *principal, *issuer, *database;
    enum pol_scope scope;
    const char *key;    /* hex: of the statement, or of its kind; "" for ORD_SCOPE_RULE */
    const json_t *asks; /* the rules, as they were when it was decided */
    json_t *approvers;  /* names; borrowed */
    const char *sql;    /* for people: the statement that was shown, cut */
    uint64_t until_ms;  /* since 1970 */
};
/* Waits for the disk. False and a sentence. */
bool ord_grant(struct ord *o, const struct ord_grant *g, char id[ORD_ID_SIZE], char *why, size_t size);
struct ord_case {                                                   /* a statement that needs approval */
    const char *principal, *issuer, *database, *fingerprint, *kind; /* kind NULL: has none */
    const json_t *asks;
};
struct ord_granted {
    char id[ORD_ID_SIZE], request[24], by[512];
    uint64_t until_ms;
};
bool ord_grant_find(struct ord *o, const struct ord_case *c, struct ord_granted *out);
/* It still counts, now. Never blocks on a disk. */
bool ord_grant_counts(struct ord *o, const char *id);
/* Waits for the disk. */
enum ord_rc ord_revoke(struct ord *o, const char *id, const char *reason, const char *by, char *why, size_t size);

/* --- for people --- */

/* Blocks, or grants; all: also those that are over. A new reference; NULL without memory. */
json_t *ord_list(struct ord *o, bool grants, bool all);
struct ord_counts {
    size_t blocks, grants, missing; /* that count; orders that are known to exist and never came */
};
void ord_count(struct ord *o, struct ord_counts *c);

/* --- to and from other nodes --- */

struct ord_text { /* an order as it travels */
    const char *node, *text, *signature;
    size_t text_len;
};
enum ord_taken { ORD_TAKEN, ORD_KNOWN, ORD_FORGED, ORD_STRANGER, ORD_NOT_NOW };
/* key: of that node by the configuration, NULL: it is not listed (our own needs none). Waits for the disk. */
enum ord_taken ord_take(struct ord *o, const struct ord_text *t, const char *key);
/* This node's orders that are kept, from the oldest; fn gives false to stop. Nothing of o may be called in fn. */
void ord_own(struct ord *o, bool (*fn)(void *arg, uint64_t seq, const struct ord_text *t), void *arg);
/* How many orders of its own this node has made or taken; for who waits for more. */
uint64_t ord_own_count(const struct ord *o);

#endif
