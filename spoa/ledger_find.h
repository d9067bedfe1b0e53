/* Where the ledger's Redis is now: a name is looked up, or Sentinels are asked, by a thread of its own, because both may block for seconds. */
#ifndef GH_SPOA_LEDGER_FIND_H
#define GH_SPOA_LEDGER_FIND_H

#include "spoa/ledger.h"

#include <netinet/in.h>

struct led_place {
    char addr[INET6_ADDRSTRLEN];
    uint16_t port;
};

struct led_find;
/* For conf's redis_host, or its Sentinels. wakefd is an eventfd, written when it is done. NULL: the system has no room. */
struct led_find *led_find_start(const struct led_conf *conf, int wakefd);
/* 1 found, -1 not (with a sentence in why), 0 not yet. */
int led_find_done(struct led_find *f, struct led_place *place, char *why, size_t size);
/* It may still run; it then ends by itself. NULL is fine. */
void led_find_release(struct led_find *f);

/* The same for a caller that may wait. */
bool led_find_now(const struct led_conf *conf, struct led_place *place, char *why, size_t size);
/* Whether Redis Cluster says with this error that our keys are on another node, and which: MOVED SLOT HOST:PORT. Only when redis_prefix has a hash
 * tag. A host that it leaves out is that of *place, or of the configuration. */
bool led_find_moved(const struct led_conf *conf, const char *error, struct led_place *place);

#endif
