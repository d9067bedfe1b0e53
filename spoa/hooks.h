/* Hooks out: what happens is told to a web server (POST, JSON, signed) or a program, for chat tools and pagers. Never in a session's way: a hook has a
 * thread and a bounded queue of its own, and what finds the queue full is counted and left out. */
#ifndef GH_SPOA_HOOKS_H
#define GH_SPOA_HOOKS_H

#include "spoa/news.h"
#include "spoa/nodekey.h"
#include "spoa/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hook_events {
    HOOK_REQUEST = 1,    /* a statement waits for approval */
    HOOK_DECISION = 2,   /* somebody decided */
    HOOK_REFUSAL = 4,    /* a statement was refused; no more than so many a minute */
    HOOK_BLOCK = 8,      /* block, unblock */
    HOOK_GRANT = 16,     /* grant, grant.revoked, grant.ended */
    HOOK_BREAKGLASS = 32 /* breakglass, breakglass.used */
};
#define HOOK_EVENTS 6u
const char *hook_event_name(unsigned bit);

struct hook_conf { /* strings belong to the configuration */
    const char *name;
    unsigned events;
    bool sql;                                       /* statements are sent, as approvers see them */
    const char *url;                                /* or a command */
    const char *ca;                                 /* PEM; NULL: the system's */
    const char *secret;                             /* HMAC-SHA-256; NULL: not so */
    bool node_signs;                                /* Ed25519, the node's key */
    bool allow_http;                                /* no TLS */
    struct secret_command command;                  /* argv NULL: a url */
    uint64_t timeout_ms, queue, attempts, refusals; /* of one attempt; events that wait; attempts at one; a minute */
};

struct hooks;
/* key: borrowed. NULL when out of memory. */
struct hooks *hooks_new(const char *node, const struct nodekey *key);
/* From now on these and no others; what waits for one that stays as it was is kept. False: out of memory, and some are missing. */
bool hooks_use(struct hooks *h, const struct hook_conf *conf, size_t n);
void hooks_free(struct hooks *h); /* ends what is under way. NULL is fine */

/* Somebody listens to one of these events: for who would have to make what is told. Any thread. */
bool hooks_want(const struct hooks *h, unsigned events);
/* news.tell of this: arg is the hooks. Any thread; never waits. */
void hooks_tell(void *arg, const char *event, const json_t *what);
struct hooks_stats {
    uint64_t delivered, failed, dropped;
};
void hooks_stats(const struct hooks *h, struct hooks_stats *out); /* h NULL is fine */

/* hook_post.c: one attempt. True when it arrived; else a sentence, and *again: another attempt may help. stop is looked at about once a second. */
struct hook_try {
    const struct hook_conf *conf;
    const struct nodekey *key;
    const char *event, *id, *body;
    const _Atomic bool *stop;
};
bool hook_post(const struct hook_try *t, bool *again, char *why, size_t size);

#endif
