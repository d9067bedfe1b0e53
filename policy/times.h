/* When a rule holds: windows of the week in a time zone, read from the system's time zone database (RFC 8536). Pure once loaded: the caller says what time it is. */
#ifndef GH_POLICY_TIMES_H
#define GH_POLICY_TIMES_H

#include "policy/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pol_zone; /* immutable; lives as long as its arena */
/* From a file's bytes; NULL when they are no such file, or hold what is not understood, and when memory is out. */
struct pol_zone *pol_zone_parse(struct pol_arena *a, const char *name, const void *bytes, size_t len);
const char *pol_zone_name(const struct pol_zone *z);
/* Seconds east of UTC at a moment, in seconds since 1970. */
int32_t pol_zone_offset(const struct pol_zone *z, int64_t unix_s);

struct pol_window {
    uint8_t days;      /* bit 0: Monday */
    uint32_t from, to; /* seconds since midnight; to is not part of it; to <= from: it ends on the next day */
    const struct pol_zone *zone;
};
/* Whether one of them holds at that moment. A window belongs to the day on which it begins. Wall clocks that go back run through a window twice. */
bool pol_times_hold(const struct pol_window *w, size_t n, int64_t unix_s);
/* "mon, tue 08:00 to 18:00 (Europe/Berlin); ..." */
void pol_times_words(const struct pol_window *w, size_t n, char *out, size_t size);

#endif
