/* A connection of one's own to the ledger's Redis, for threads that may wait. */
#ifndef GH_SPOA_LEDGER_DIAL_H
#define GH_SPOA_LEDGER_DIAL_H

#include "spoa/ledger_find.h"

#include <hiredis/hiredis.h>

/* Connected and logged in, each step and each later command within wait_ms; the caller frees it. NULL and a sentence in why. *moved: where a Cluster said
 * that our keys are (port 0: nowhere), which counts for this connection alone. */
redisContext *led_dial(const struct led_conf *conf, struct led_place *moved, unsigned wait_ms, char *why, size_t size);

/* What one answer of Redis may take: more than any of our events, or a page of small ones. Others may write there what they like. */
#define LED_ANSWER_MAX ((size_t)64 << 20)
/* Asks, and waits for the answer. NULL, with c->err and c->errstr, when none came; REDIS_ERR_OOM: it is larger than that. No connection goes on behind an error. */
redisReply *led_ask(redisContext *c, int argc, const char **argv, const size_t *len);

#endif
