/* A connection of one's own to the ledger's Redis, for threads that may wait. */
#ifndef GH_SPOA_LEDGER_DIAL_H
#define GH_SPOA_LEDGER_DIAL_H

#include "spoa/ledger_find.h"

#include <hiredis/hiredis.h>

/* Connected and logged in, each step and each later command within wait_ms; the caller frees it. NULL and a sentence in why. *moved: where a Cluster said
 * that our keys are (port 0: nowhere), which counts for this connection alone. */
redisContext *led_dial(const struct led_conf *conf, struct led_place *moved, unsigned wait_ms, char *why, size_t size);
/* Another one in the place of *c, behind an error, to where that was; NULL there when it fails. */
bool led_redial(redisContext **c, const struct led_conf *conf, unsigned wait_ms, char *why, size_t size);

/* What one answer of Redis may take: more than any of our events, or a page of small ones. Others may write there what they like. */
#define LED_ANSWER_MAX ((size_t)64 << 20)
/* Asks, and waits for the answer. NULL, with c->err and c->errstr, when none came; REDIS_ERR_OOM: it is larger than that. No connection goes on behind an error. */
redisReply *led_ask(redisContext *c, int argc, const char **argv, const size_t *len);

/* Two such entries, and what stands around them, are no larger than that. */
#define LED_PAGE_MOST (LED_ANSWER_MAX / 2 - ((size_t)64 << 10))
/* How a stream is read that others may write to. */
struct led_pages {
    const struct led_conf *conf;
    unsigned wait_ms; /* as in led_dial(), of careful pages */
    size_t most;      /* bytes that one of its entries may have, up to LED_PAGE_MOST */
    bool careful;     /* false at first; true since an answer was too large, which costs Redis more */
};
/* Up to LED_PAGE of its entries, as XRANGE gives them from that id on. An entry with more than most bytes comes without fields, in careful pages: Redis does
 * not send it, and what is behind it can be reached. Needs the rights to XRANGE, SCRIPT LOAD and EVALSHA. *c is another connection, or NULL, behind an answer
 * that was too large. NULL and a sentence in why: no answer came, and *c is of no use any more. An error may be the reply. */
redisReply *led_page(redisContext **c, struct led_pages *p, const char *key, const char *from, char *why, size_t size);
#define LED_PAGE "500"
/* The id of one of such a page's entries; NULL: it is none. *large: it came without fields. */
const char *led_page_id(const redisReply *entry, bool *large);

#endif
