/* --at TIME: when a statement is judged, for rules with times. */
#ifndef GH_CTL_AT_H
#define GH_CTL_AT_H

#include <stdbool.h>
#include <stdint.h>

/* 2026-11-30T17:00:00Z, or with +01:00, as seconds since 1970. False when it is none, also without its zone. text NULL: now. */
bool ctl_at(const char *text, int64_t *out);
#define CTL_AT_WANTED "expected a time with its zone, as in 2026-11-30T17:00:00Z or 2026-11-30T18:00:00+01:00"

#endif
