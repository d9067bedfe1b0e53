/* How much each principal may write to the record: a bucket of bytes that fills up again within a minute. Any thread. */
#ifndef GH_SPOA_QUOTA_H
#define GH_SPOA_QUOTA_H

#include <stddef.h>
#include <stdint.h>

#define QUOTA_EVENT     512u   /* what an event costs besides its texts */
#define QUOTA_REPORT_MS 10000u /* what is over is told of as a number, once in so long */

struct quotas;
struct quotas *quotas_new(void); /* NULL: out of memory */
void quotas_free(struct quotas *q);

enum quota { QUOTA_OK, QUOTA_OVER, QUOTA_TELL };
/* Takes bytes from the principal's bucket. per_minute is its size, 0: there are no quotas. QUOTA_OVER: there is not enough, and nothing was taken; what is
 * larger than the bucket is taken when that is full. QUOTA_TELL: likewise, and *refused, those since the last report with this one, is to be recorded
 * now. now_ms: a monotonic clock. */
enum quota quota_take(struct quotas *q, const char *principal, uint64_t bytes, uint64_t per_minute, uint64_t now_ms, uint64_t *refused);

#endif
