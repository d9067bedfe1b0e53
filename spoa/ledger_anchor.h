/* Takes anchors (ledger_chain.h) out of Gatehouse: to a file, a command, syslog. A thread of its own, because all of these may block. */
#ifndef GH_SPOA_LEDGER_ANCHOR_H
#define GH_SPOA_LEDGER_ANCHOR_H

#include "spoa/ledger.h"

struct anchors;
/* conf's strings must outlive it. NULL: the system has no room. */
struct anchors *anchors_start(const struct led_conf *conf);
/* line, with its newline, becomes theirs. Never blocks; while nothing can be delivered the newest few are kept, which cover the older ones. */
void anchors_put(struct anchors *a, char *line);
/* Delivers what is left, within timeout_ms, and ends. NULL is fine. */
void anchors_stop(struct anchors *a, uint64_t timeout_ms);
/* Deliveries that failed. Any thread. */
uint64_t anchors_failed(const struct anchors *a);

#endif
