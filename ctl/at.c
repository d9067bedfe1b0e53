#define _GNU_SOURCE /* strptime, timegm */
#include "ctl/at.h"

#include <string.h>
#include <time.h>

bool ctl_at(const char *text, int64_t *out) {
    struct tm tm = {0};
    *out = (int64_t)time(NULL);
    if (text == NULL) return true;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S%z", &tm);
    if (end == NULL || *end != '\0') return false;
    long east = tm.tm_gmtoff;
    *out = (int64_t)timegm(&tm) - east;
    return true;
}
