/* Shared by the order*.c files of the store. */
#ifndef GH_SPOA_ORDER_INT_H
#define GH_SPOA_ORDER_INT_H

#include "spoa/approval_log.h"
#include "spoa/order.h"

#include <pthread.h>
#include <stdatomic.h>

#define ORD_BUCKETS  4096u
#define ORD_NODES    64u  /* whose orders are kept */
#define ORD_GAPS     256u /* of a node */
#define ORD_LINE_MAX 65536u

enum ord_op { ORD_BLOCK, ORD_UNBLOCK, ORD_GRANT, ORD_REVOKE };

struct ord_net {
    int family; /* AF_INET, AF_INET6 */
    unsigned bits;
    uint8_t addr[16];
};

struct ord_entry {
    struct ord_entry *next; /* in its bucket */
    struct ord_node *node;
    uint64_t seq, prev, time_ms, until_ms; /* until 0: no end */
    enum ord_op op;
    enum ord_what what;
    struct ord_net net; /* ORD_ADDRESS */
    json_t *said;       /* what was signed */
    char *text, *signature;
    char key[NODEKEY_PUBLIC_SIZE]; /* of another node, when it was taken; "" */
    bool lifted;                   /* a block; a grant that was revoked */
    bool ended;                    /* a grant whose end was recorded */
    bool in_file;                  /* as of the last reading */
};

struct ord_node {
    char name[65];
    bool own;
    uint64_t last, floor; /* numbers: of the newest; up to this one all that is not here was let go of */
    uint64_t gaps[ORD_GAPS];
    size_t ngaps;
};

struct ord {
    pthread_mutex_t io; /* the file; taken before mu */
    pthread_mutex_t mu; /* all below: held for moments only */
    char *dir, *name;
    const struct nodekey *key;
    struct led *led;
    struct news news;
    uint64_t (*now)(void);
    void (*changed)(void *arg);
    void *arg;
    struct alog *log;
    struct ord_entry **list; /* in the order in which they came */
    size_t n, cap;
    struct ord_entry *bucket[ORD_BUCKETS];
    struct ord_node *nodes[ORD_NODES];
    size_t nnodes;
    uint64_t void_below; /* own grants with a smaller number are void: an order that may have revoked them was lost */
    bool loading;        /* the first reading */
    _Atomic uint64_t epoch, own;
    _Atomic size_t blocks;
};

/* order_record.c */
char *ord_line(const struct ord_entry *e);
/* The entry that a text says; node is not filled in. NULL when it is none, and without memory (starved()). */
struct ord_entry *ord_parse(const char *text, size_t len, const char *signature, const char **node);
void ord_entry_free(struct ord_entry *e);
bool ord_net_parse(const char *text, struct ord_net *out);
bool ord_net_has(const struct ord_net *n, const struct ord_net *address);
const char *ord_said(const struct ord_entry *e, const char *key);
void ord_id(const struct ord_entry *e, char out[ORD_ID_SIZE]);
json_t *ord_json(const struct ord *o, const struct ord_entry *e, uint64_t now);
void ord_event(const struct ord *o, const struct ord_entry *e, const char *type);
/* mu held: it counts at that time. */
bool ord_counts(const struct ord *o, const struct ord_entry *e, uint64_t now);

/* order_apply.c, mu held */
struct ord_node *ord_node(struct ord *o, const char *name);
struct ord_entry *ord_find(const struct ord *o, const char *node, uint64_t seq);
/* By NODE:NUMBER. */
struct ord_entry *ord_find_id(const struct ord *o, const char *id);
/* Takes e over: true when it is new and counts from now on; else it is freed. */
bool ord_add(struct ord *o, struct ord_node *n, struct ord_entry *e);
/* Without memory (starved()) it is to be applied again, which does no harm. */
void ord_apply_line(struct ord *o, const char *json, size_t len);
/* A line is damaged, or not by whom it says: what it may have revoked is void. */
void ord_doubt(struct ord *o);
/* Lets go of what was over for long. True when something was. */
bool ord_let_go(struct ord *o, uint64_t now);

#endif
