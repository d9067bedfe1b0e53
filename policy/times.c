#include "policy/times.h"

#include "policy/text.h"

#include <string.h>

#define DAY 86400

/* The day on which summer time begins or ends, for years behind the file's table: the footer's "Mm.w.d/time", "Jn" or "n" (RFC 8536, section 3.3.1;
 * POSIX, "Other Environment Variables", TZ). */
struct rule {
    char form; /* 'M', 'J', or '0' */
    int month, week, day;
    int32_t time; /* seconds behind midnight, in the time that ends then */
};
struct pol_zone {
    const char *name;
    size_t ntransitions;
    const int64_t *transitions;
    const int32_t *offsets; /* from that transition on */
    int32_t before;         /* before the first */
    bool has_footer, has_summer;
    int32_t standard, summer; /* offsets by the footer */
    struct rule begins, ends;
};

const char *pol_zone_name(const struct pol_zone *z) { return z->name; }

/* --- days --- */

static int64_t days_of(int64_t year, int month) { /* since 1970-01-01, of the month's first; month from 1 */
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t y = year - 1;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return y * 365 + y / 4 - y / 100 + y / 400 - 719162 + before[month - 1] + (month > 2 && leap);
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static int64_t year_of(int64_t seconds) {
    int64_t day = floor_div(seconds, DAY), year = 1970 + floor_div(day * 400, 146097);
    while (days_of(year + 1, 1) <= day) year++;
    while (days_of(year, 1) > day) year--;
    return year;
}

static int weekday(int64_t day) { return (int)(((day + 3) % 7 + 7) % 7); } /* 0: Monday; 1970-01-01 was a Thursday */

/* When the rule strikes in that year, in seconds of the wall clock that counts until then. */
static int64_t moment(const struct rule *r, int64_t year) {
    int64_t day;
    bool leap = days_of(year + 1, 1) - days_of(year, 1) == 366;
    if (r->form == 'M') {
        day = days_of(year, r->month);
        int64_t next = r->month == 12 ? days_of(year + 1, 1) : days_of(year, r->month + 1);
        day += ((r->day + 6) % 7 - weekday(day) + 7) % 7 + (int64_t)(r->week - 1) * 7; /* r->day: 0 is Sunday */
        while (day >= next) day -= 7;
    } else {
        day = days_of(year, 1) + r->day - (r->form == 'J' && !(leap && r->day > 59));
    }
    return day * DAY + r->time;
}

static int32_t by_footer(const struct pol_zone *z, int64_t at) {
    if (!z->has_summer) return z->standard;
    int64_t year = year_of(at + z->standard);
    int64_t begins = moment(&z->begins, year) - z->standard, ends = moment(&z->ends, year) - z->summer;
    bool summer = begins < ends ? at >= begins && at < ends : at >= begins || at < ends;
    return summer ? z->summer : z->standard;
}

int32_t pol_zone_offset(const struct pol_zone *z, int64_t at) {
    size_t low = 0, high = z->ntransitions; /* how many transitions are not later */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (z->transitions[mid] <= at)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == z->ntransitions && z->has_footer) return by_footer(z, at);
    return low == 0 ? z->before : z->offsets[low - 1];
}

/* --- the footer --- */

static bool digits(const char **s, int max, int *out) {
    int n = 0;
    *out = 0;
    for (; **s >= '0' && **s <= '9'; (*s)++, n++) {
        *out = *out * 10 + (**s - '0');
        if (*out > max) return false;
    }
    return n > 0;
}

/* [+-]hh[:mm[:ss]] */
static bool clock(const char **s, int hours, int32_t *out) {
    int sign = 1, h, m = 0, sec = 0;
    if (**s == '+' || **s == '-') sign = *(*s)++ == '-' ? -1 : 1;
    if (!digits(s, hours, &h)) return false;
    if (**s == ':' && ((*s)++, !digits(s, 59, &m))) return false;
    if (**s == ':' && ((*s)++, !digits(s, 59, &sec))) return false;
    *out = sign * (h * 3600 + m * 60 + sec);
    return true;
}

/* CET, or <+03> */
static bool abbreviation(const char **s) {
    const char *begin = *s;
    if (**s == '<') {
        while (**s != '\0' && **s != '>') (*s)++;
        return *(*s) == '>' && ((*s)++, true);
    }
    while ((**s >= 'A' && **s <= 'Z') || (**s >= 'a' && **s <= 'z')) (*s)++;
    return *s - begin >= 3;
}

static bool change(const char **s, struct rule *r) {
    *r = (struct rule){.form = '0', .time = 7200};
    if (*(*s)++ != ',') return false;
    if (**s == 'M') {
        r->form = *(*s)++;
        if (!digits(s, 12, &r->month) || *(*s)++ != '.' || !digits(s, 5, &r->week) || *(*s)++ != '.' || !digits(s, 6, &r->day))
            return false;
        if (r->month == 0 || r->week == 0) return false;
    } else {
        if (**s == 'J') r->form = *(*s)++;
        if (!digits(s, 365, &r->day) || (r->form == 'J' && r->day == 0)) return false;
    }
    return **s != '/' || ((*s)++, clock(s, 167, &r->time));
}

static bool footer(struct pol_zone *z, const char *s) {
    int32_t west;
    if (*s == '\0') return true;
    if (!abbreviation(&s) || !clock(&s, 24, &west)) return false;
    z->standard = -west;
    z->has_footer = true;
    if (*s == '\0') return true;
    if (!abbreviation(&s)) return false;
    z->summer = z->standard + 3600;
    if (*s != ',' && *s != '\0') {
        if (!clock(&s, 24, &west)) return false;
        z->summer = -west;
    }
    z->has_summer = true;
    return change(&s, &z->begins) && change(&s, &z->ends) && *s == '\0';
}

/* --- the file --- */

struct header {
    uint32_t isut, isstd, leap, time, type, chars;
};

static uint32_t be32(const unsigned char *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static int64_t be64(const unsigned char *p) { return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4)); }

#define HEADER      44u
#define MAX_ENTRIES 10000u

static bool header(const unsigned char *p, size_t left, struct header *h) {
    if (left < HEADER || memcmp(p, "TZif", 4) != 0 || p[4] < '2') return false;
    *h = (struct header){be32(p + 20), be32(p + 24), be32(p + 28), be32(p + 32), be32(p + 36), be32(p + 40)};
    return h->isut <= MAX_ENTRIES && h->isstd <= MAX_ENTRIES && h->leap <= MAX_ENTRIES && h->time <= MAX_ENTRIES && h->type > 0 &&
           h->type <= 256 && h->chars <= MAX_ENTRIES;
}

static size_t body(const struct header *h, size_t width) {
    return h->time * (width + 1) + h->type * (size_t)6 + h->chars + h->leap * (width + 4) + h->isstd + h->isut;
}

/* Leap seconds are of the "right/" zones, which count other seconds than the clock. */
static bool table(struct pol_arena *a, struct pol_zone *z, const unsigned char *p, const struct header *h) {
    const unsigned char *index = p + h->time * 8u, *types = index + h->time;
    int64_t *at = pol_alloc_array(a, h->time + 1u, sizeof *at);
    int32_t *offsets = pol_alloc_array(a, h->time + 1u, sizeof *offsets);
    if (at == NULL || offsets == NULL || h->leap != 0) return false;
    for (uint32_t i = 0; i < h->time; i++) {
        at[i] = be64(p + i * 8u);
        if (index[i] >= h->type || (i > 0 && at[i] <= at[i - 1])) return false;
        offsets[i] = (int32_t)be32(types + index[i] * 6u);
        if (offsets[i] < -26 * 3600 || offsets[i] > 26 * 3600) return false;
    }
    z->before = (int32_t)be32(types);
    z->transitions = at;
    z->offsets = offsets;
    z->ntransitions = h->time;
    return z->before >= -26 * 3600 && z->before <= 26 * 3600;
}

struct pol_zone *pol_zone_parse(struct pol_arena *a, const char *name, const void *bytes, size_t len) {
    const unsigned char *p = bytes;
    struct header h;
    char text[128] = "";
    struct pol_zone *z = pol_alloc(a, sizeof *z);
    if (z == NULL || (z->name = pol_strdup(a, name)) == NULL || !header(p, len, &h)) return NULL;
    size_t first = HEADER + body(&h, 4); /* the block for readers of 32 bits */
    if (first > len || !header(p + first, len - first, &h)) return NULL;
    size_t at = first + HEADER, end = body(&h, 8);
    if (end > len - at || !table(a, z, p + at, &h)) return NULL;
    at += end;
    if (len - at < 2 || p[at++] != '\n') return NULL;
    const unsigned char *stop = memchr(p + at, '\n', len - at);
    if (stop == NULL || (size_t)(stop - p) - at >= sizeof text) return NULL;
    memcpy(text, p + at, (size_t)(stop - p) - at);
    return footer(z, text) ? z : NULL;
}

/* --- windows --- */

bool pol_times_hold(const struct pol_window *w, size_t n, int64_t unix_s) {
    for (size_t i = 0; i < n; i++) {
        int64_t local = unix_s + (w[i].zone != NULL ? pol_zone_offset(w[i].zone, unix_s) : 0), day = floor_div(local, DAY);
        uint32_t second = (uint32_t)(local - day * DAY);
        int today = weekday(day), yesterday = (today + 6) % 7;
        bool night = w[i].to <= w[i].from;
        if ((w[i].days >> today & 1) && second >= w[i].from && (night || second < w[i].to)) return true;
        if (night && (w[i].days >> yesterday & 1) && second < w[i].to) return true;
    }
    return false;
}

static void put_clock(uint32_t t, char *out, size_t size) {
    pol_add(out, size, "%02u:%02u", t / 3600u, t / 60u % 60u);
    if (t % 60u != 0) pol_add(out, size, ":%02u", t % 60u);
}

void pol_times_words(const struct pol_window *w, size_t n, char *out, size_t size) {
    static const char days[7][4] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        bool any = false;
        pol_add(out, size, "%s", i > 0 ? "; " : "");
        for (size_t d = 0; w[i].days != 0x7F && d < 7; d++)
            if (w[i].days >> d & 1) {
                pol_add(out, size, "%s%s", any ? ", " : "", days[d]);
                any = true;
            }
        pol_add(out, size, "%s", any ? " " : "");
        put_clock(w[i].from, out, size);
        pol_add(out, size, " to ");
        put_clock(w[i].to, out, size);
        pol_add(out, size, " (%s)", w[i].zone != NULL ? w[i].zone->name : "UTC");
    }
}
