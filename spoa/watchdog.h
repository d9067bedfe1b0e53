/* Tells systemd that the daemon lives: sd_watchdog_enabled(3) has the protocol.
 *
 * "Lives" means that every worker's loop turns. A worker that hangs holds its sessions for ever, and HAProxy's checks see the others only, so
 * the service manager is to end the process: HAProxy then refuses, and a new daemon serves within a second. */
#ifndef GH_SPOA_WATCHDOG_H
#define GH_SPOA_WATCHDOG_H

#include "spoa/worker.h"

struct watchdog; /* opaque */

/* Begins when the environment has WATCHDOG_USEC (microseconds) for this process; NULL when not, or when out of memory. Runs on base's thread:
 * three times in that period each worker is asked, and "WATCHDOG=1" is sent when all have answered the question before. The workers must live until
 * watchdog_free(). */
struct watchdog *watchdog_start(struct event_base *base, struct worker *const *workers, unsigned n);
/* On base's thread, when the workers have ended: their answers come here. NULL is fine. */
void watchdog_free(struct watchdog *w);

#endif
