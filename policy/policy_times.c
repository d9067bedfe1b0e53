/* When a rule holds: the key times. */
#include "policy/file.h"
#include "policy/policy_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WINDOWS 32u
#define MAX_ZONE    (1u << 20)
#define ZONES       "/usr/share/zoneinfo/"

static bool no_memory(const struct pol_loading *l, const struct yaml_node *n) { return yaml_fail(n, l->err, "out of memory"); }

/* Area/Location, of the system's time zone database: no way out of its folder. */
static bool is_zone_name(const char *s) {
    if (strlen(s) > 64 || *s == '/') return false;
    for (const char *p = s; *p != '\0'; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("_+-/", *p) != NULL;
        if (!plain || (*p == '/' && p[1] == '/')) return false;
    }
    return *s != '\0';
}

static bool find_zone(struct pol_loading *l, const struct yaml_node *n, const char *name, const struct pol_zone **out) {
    struct pol_policy *p = l->p;
    char path[sizeof ZONES + 64];
    struct pol_error err;
    size_t len;
    if (strcmp(name, "UTC") == 0) return true;
    for (size_t i = 0; i < p->nzones; i++)
        if (strcmp(pol_zone_name(p->zones[i]), name) == 0) return *out = p->zones[i], true;
    if (!is_zone_name(name)) return yaml_fail(n, l->err, "\"%.70s\" is no time zone's name; write it as Europe/Berlin, or UTC", name);
    snprintf(path, sizeof path, ZONES "%s", name);
    char *bytes = pol_read_file(path, MAX_ZONE, &len, &err);
    if (bytes == NULL)
        return yaml_fail(n, l->err, "the time zone \"%.70s\" is not known: %s cannot be read (%.100s); zones come with the package tzdata",
                         name, path, err.text);
    const struct pol_zone *z = pol_zone_parse(p->arena, name, bytes, len);
    free(bytes);
    if (z == NULL) return yaml_fail(n, l->err, "the time zone \"%.70s\" is not understood: %s", name, path);
    const struct pol_zone **all = pol_grow(p->arena, p->zones, p->nzones, &p->zones_cap, sizeof *all);
    if (all == NULL) return no_memory(l, n);
    p->zones = all;
    all[p->nzones++] = *out = z;
    return true;
}

/* 08:00, 08:00:30; 24:00 is the day's end. */
static bool time_of_day(struct pol_loading *l, const struct yaml_node *n, uint32_t *out) {
    const char *s;
    if (n == NULL) return true;
    if (!yaml_str(n, &s, l->err)) return false;
    size_t len = strlen(s);
    uint32_t part[3] = {0};
    bool ok = len == 5 || len == 8;
    for (size_t i = 0; ok && i < len; i++) {
        ok = i % 3 == 2 ? s[i] == ':' : s[i] >= '0' && s[i] <= '9';
        if (i % 3 != 2) part[i / 3] = part[i / 3] * 10 + (uint32_t)(s[i] - '0');
    }
    *out = part[0] * 3600 + part[1] * 60 + part[2];
    if (ok && part[1] <= 59 && part[2] <= 59 && *out <= 24 * 3600) return true;
    return yaml_fail(n, l->err, "\"%.20s\" is no time of day; write it in quotes as \"08:00\" or \"08:00:30\", up to \"24:00\"", s);
}

static bool days(struct pol_loading *l, const struct yaml_node *n, uint8_t *out) {
    static const char *const words[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    const char *const *texts;
    size_t count, d;
    *out = 0x7F;
    if (n == NULL) return true;
    if (!yaml_strings(l->doc, n, &texts, &count, l->err)) return false;
    if (count == 0) return yaml_fail(n, l->err, "the list is empty: the rule would never hold");
    *out = 0;
    for (size_t i = 0; i < count; i++) {
        for (d = 0; d < 7 && strcmp(words[d], texts[i]) != 0; d++) {
        }
        if (d == 7) return yaml_fail(pol_item_of(n, i), l->err, "\"%.20s\" is no day; known: mon, tue, wed, thu, fri, sat, sun", texts[i]);
        *out |= (uint8_t)(1u << d);
    }
    return true;
}

static bool window(struct pol_loading *l, const struct yaml_node *n, struct pol_window *w) {
    static const char *const keys[] = {"days", "from", "to", "zone", NULL};
    const char *zone = NULL;
    if (!yaml_keys(n, keys, l->err)) return false;
    const struct yaml_node *from = yaml_get(n, "from"), *to = yaml_get(n, "to"), *z = yaml_get(n, "zone");
    *w = (struct pol_window){.from = 0, .to = 24 * 3600};
    if (z == NULL) return yaml_fail(n, l->err, "\"zone\" is missing: whose clock counts, as in zone: Europe/Berlin");
    if ((from == NULL) != (to == NULL)) return yaml_fail(n, l->err, "from and to belong together");
    if (!days(l, yaml_get(n, "days"), &w->days) || !time_of_day(l, from, &w->from) || !time_of_day(l, to, &w->to) ||
        !yaml_str(z, &zone, l->err) || !find_zone(l, z, zone, &w->zone))
        return false;
    if (w->from == 24 * 3600) return yaml_fail(from, l->err, "a day begins at \"00:00\"");
    if (w->from == w->to) return yaml_fail(to, l->err, "from and to are the same; leave both out for whole days");
    return true;
}

bool pol_load_times(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    if (n == NULL) return true;
    size_t count = yaml_kind(n) == YAML_LIST ? yaml_len(n) : 1;
    if (count == 0) return yaml_fail(n, l->err, "the list is empty: the rule would never hold");
    if (count > MAX_WINDOWS) return yaml_fail(n, l->err, "more than %u windows", MAX_WINDOWS);
    struct pol_window *all = pol_alloc_array(l->p->arena, count, sizeof *all);
    if (all == NULL) return no_memory(l, n);
    for (size_t i = 0; i < count; i++)
        if (!window(l, pol_item_of(n, i), &all[i])) return false;
    r->times = all;
    r->ntimes = count;
    return true;
}
