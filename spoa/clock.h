/* What time it is, for whatever ends at a time: tokens, approvals, grants, the windows of rules. time() would be up to a tick of the kernel (4 ms and more) behind. */
#ifndef GH_SPOA_CLOCK_H
#define GH_SPOA_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Seconds since the epoch, cut; never fails. */
static inline int64_t clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec;
}

/* The same in milliseconds. */
static inline uint64_t clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

#endif
