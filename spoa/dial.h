/* A non-blocking connect to the first of several addresses that answers. */
#ifndef GH_SPOA_DIAL_H
#define GH_SPOA_DIAL_H

#include "spoa/config.h"

#include <event2/event.h>

struct dial;
/* fd: connected, non-blocking, the receiver's; addr: where. Or fd is -1 and err an errno value (ETIMEDOUT when time ran out). The dial is
 * freed before the call; it is never called from within dial_start(). */
typedef void (*dial_fn)(void *arg, int fd, const struct conf_addr *addr, int err);
/* Addresses are copied. NULL when out of memory. */
struct dial *dial_start(struct event_base *base, const struct conf_addr *addrs, size_t n, uint64_t timeout_ms, dial_fn done, void *arg);
void dial_cancel(struct dial *d); /* done is not called; NULL is fine */

#endif
