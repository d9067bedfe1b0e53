#include <config.h>

#include "ctl/audit_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* "90m": so long ago. */
static bool ago(const char *text, time_t *out) {
    static const struct {
        char unit;
        unsigned seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || n > 100000 || end[0] == '\0' || end[1] != '\0') return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (*end == units[i].unit) {
            *out = time(NULL) - (time_t)(n * units[i].seconds);
            return true;
        }
    return false;
}

/* As RFC 3339 in UTC; a day alone is its beginning. */
static bool moment(const char *option, const char *text, char out[32], time_t *seconds) {
    struct tm tm = {0};
    out[0] = '\0';
    if (text == NULL) return true;
    const char *rest = NULL;
    if (!ago(text, seconds)) {
        rest = strptime(text, "%Y-%m-%d", &tm);
        if (rest != NULL && (*rest == 'T' || *rest == ' ')) rest = strptime(rest + 1, "%H:%M:%S", &tm);
        if (rest != NULL && *rest == '.') rest += strspn(rest + 1, "0123456789") + 1;
        if (rest == NULL || (*rest != '\0' && strcmp(rest, "Z") != 0)) {
            fprintf(
                stderr,
                "gatehousectl: %s: \"%.60s\" is no time: write 2026-01-31, 2026-01-31T12:00:00Z (UTC), or 90m, 2h, 7d for so long ago\n",
                option, text);
            return false;
        }
        *seconds = timegm(&tm);
    }
    gmtime_r(seconds, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
    return true;
}

bool audit_filter_init(struct audit_filter *f, const struct audit_options *o) {
    time_t since = 0, until = 0;
    *f = (struct audit_filter){.o = o, .from = "-"};
    if (!moment("--since", o->since, f->since, &since) || !moment("--until", o->until, f->until, &until)) return false;
    if (f->since[0] != '\0' && since > 0) snprintf(f->from, sizeof f->from, "%lld000", (long long)since);
    return true;
}

static bool is(const struct audit_event *e, const char *name, const char *want) {
    if (want == NULL) return true;
    const char *have = audit_get(e, name);
    return have != NULL && strcasecmp(have, want) == 0;
}

/* "public.orders:select,update staff:select": a relation by its name, with its schema or without. What a text names without a schema is recorded so, and found
 * by any: better one too many than one that nobody sees. */
static bool touches(const char *relations, const char *table) {
    size_t want = strlen(table);
    const char *wanted_dot = strchr(table, '.'), *wanted = wanted_dot == NULL ? table : wanted_dot + 1;
    size_t wanted_bare = strlen(wanted);
    for (const char *p = relations; p != NULL && *p != '\0';) {
        size_t n = strcspn(p, " "), name = strcspn(p, ": ");
        const char *dot = memchr(p, '.', name);
        size_t bare = dot == NULL ? name : name - (size_t)(dot + 1 - p);
        bool whole = name == want && strncasecmp(p, table, want) == 0;
        bool part = (dot == NULL || wanted_dot == NULL) && bare == wanted_bare && strncasecmp(p + name - bare, wanted, bare) == 0;
        if (whole || part) return true;
        p += n + strspn(p + n, " ");
    }
    return false;
}

bool audit_filter_takes(const struct audit_filter *f, const struct audit_event *e) {
    const struct audit_options *o = f->o;
    const char *time = audit_get(e, "time"), *session = audit_session(e), *sql;
    if (f->since[0] != '\0' && (time == NULL || strcmp(time, f->since) < 0)) return false;
    if (f->until[0] != '\0' && (time == NULL || strcmp(time, f->until) >= 0)) return false;
    if (o->session != NULL && (session == NULL || strcmp(session, o->session) != 0)) return false;
    if (!is(e, "principal", o->principal) || !is(e, "verdict", o->verdict) || !is(e, "rule", o->rule) || !is(e, "database", o->database) ||
        !is(e, "type", o->type) || !is(e, "node", o->node))
        return false;
    if (o->table != NULL && !touches(audit_get(e, "relations"), o->table)) return false;
    sql = audit_get(e, "sql");
    return o->text == NULL || (sql != NULL && strcasestr(sql, o->text) != NULL);
}
