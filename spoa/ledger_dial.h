/* A connection of one's own to the ledger's Redis, for threads that may wait. */
#ifndef GH_SPOA_LEDGER_DIAL_H
#define GH_SPOA_LEDGER_DIAL_H

#include "spoa/ledger_find.h"

#include <hiredis/hiredis.h>

/* Connected and logged in, each step and each later command within wait_ms; the caller frees it. NULL and a sentence in why. *moved: where a Cluster said
 * that our keys are (port 0: nowhere), which counts for this connection alone. */
redisContext *led_dial(const struct led_conf *conf, struct led_place *moved, unsigned wait_ms, char *why, size_t size);

#endif
