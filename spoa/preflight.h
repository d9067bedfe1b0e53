/* What the configuration needs of this machine and does not find: folders, users, files, descriptors. Looks, changes nothing. */
#ifndef GH_SPOA_PREFLIGHT_H
#define GH_SPOA_PREFLIGHT_H

#include "spoa/daemon.h"

enum preflight_kind {
    PREFLIGHT_NOTE, /* as it may be wanted, and should not be forgotten */
    PREFLIGHT_WARNING,
    PREFLIGHT_FATAL, /* the daemon would not start */
};
struct preflight_finding {
    enum preflight_kind kind;
    const char *subject; /* a key of the configuration */
    const char *why, *todo;
};
/* Calls report for each finding; the strings are valid during the call. Only root can see all that there is to see, and forks for some of it: no other
 * thread may run yet. */
void preflight(const struct snap *s, void (*report)(void *arg, const struct preflight_finding *f), void *arg);
/* The same into the log, without the fatal ones: the start itself will say those. */
void preflight_log(const struct snap *s);
/* Of that what a reload can change: whether policy and configuration go together. */
void preflight_log_policy(const struct snap *s);

#endif
