/* audit.retention: removes from Redis what is old of this node's record, and says so in it, signed (ledger_retained.h), before anything goes.
 *
 * What goes: the streams of sessions that ended and whose last event is old, those of the requests for approval in them, and the node's entries in
 * the index; never an event of this type. A thread of its own with a connection of its own, because it reads what it removes. */
#ifndef GH_SPOA_LEDGER_TRIM_H
#define GH_SPOA_LEDGER_TRIM_H

#include "spoa/ledger.h"

struct trim;
/* For the node of conf, whose ledger in slot mine is own: both outlive it, conf's strings too. NULL and a sentence in err; NULL and "" when conf wants none. */
struct trim *trim_start(const struct led_conf *conf, unsigned mine, struct led *own, char *err, size_t size);
/* Another process looks after the record from now on. Any thread. */
void trim_retire(struct trim *t); /* NULL is fine, as below */
void trim_stop(struct trim *t);

struct trim_stats {
    uint64_t events, streams; /* removed since the start */
};
/* Any thread. */
void trim_stats(const struct trim *t, struct trim_stats *out);

#endif
