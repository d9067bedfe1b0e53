/* Slows a flood of bad logins down: how many came lately from each source and under each user name, in tables of a fixed size.
 *
 * A bad login is a debt that is paid off with time. Only debts are remembered, so an honest client has nothing here that could be pushed
 * out, and a debt makes no credential worse: what a source over its budget sends is looked at later, and by a bounded number a second. Nothing
 * that somebody else sends under the same name decides on a good credential. Any thread. */
#ifndef GH_SPOA_THROTTLE_H
#define GH_SPOA_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THROTTLE_REPORT_MS 60000u /* bad logins over a budget are told of as a number, once in so long */

struct throttle;
/* NULL when out of memory or randomness. */
struct throttle *throttle_new(void);
void throttle_free(struct throttle *t);

struct throttle_limits {
    uint64_t per_source, per_name; /* bad logins at once, and in a minute; at least 1 */
};

/* The source has spent its budget. src: an address as text; of IPv6 the first 64 bits count. now_ms: a monotonic clock. */
bool throttle_over(struct throttle *t, const struct throttle_limits *l, const char *src, uint64_t now_ms);

struct throttle_news {
    bool over_source, over_name; /* one of them: not to be recorded by itself... */
    bool report;                 /* ...but the number below is, now */
    uint64_t unreported;         /* bad logins over budget since the last report, with this one */
};
/* Counts a bad login. name: as the client sent it. */
struct throttle_news throttle_bad(struct throttle *t, const struct throttle_limits *l, const char *src, const char *name, uint64_t now_ms);

/* One of the bounded number of credentials a second from sources over their budget that are still looked at. */
bool throttle_spare(struct throttle *t, uint64_t now_ms);

/* Counts an answer that is held back; false when max are. Each that was let in has to leave. */
bool throttle_hold(struct throttle *t, size_t max);
void throttle_unhold(struct throttle *t);
size_t throttle_held(const struct throttle *t);
/* delay_ms, and up to half of it more at random: how long a cause took to be found does not show. */
uint64_t throttle_jitter(uint64_t delay_ms);

#endif
