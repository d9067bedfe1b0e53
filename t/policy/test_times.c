/* Time zones against the C library's own reading of the same files, and windows of the week. */
#define _GNU_SOURCE /* strptime, timegm */
#include "policy/times.h"

#include "policy/catalog.h"
#include "policy/file.h"
#include "policy/policy.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const zones[] = {"Europe/Berlin",     "America/New_York", "Asia/Kolkata",    "Australia/Lord_Howe", "Africa/Casablanca",
                                    "America/Sao_Paulo", "Pacific/Apia",     "Asia/Tehran",     "Europe/Dublin",       "America/St_Johns",
                                    "Antarctica/Troll",  "Pacific/Auckland", "America/Godthab", "Asia/Gaza",           "UTC"};

static struct pol_zone *zone(struct pol_arena *a, const char *name) {
    char path[128];
    struct pol_error err;
    size_t len;
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    char *bytes = pol_read_file(path, 1u << 20, &len, &err);
    ck_assert_msg(bytes != NULL, "%s: %s (the package tzdata is needed)", path, err.text);
    struct pol_zone *z = pol_zone_parse(a, name, bytes, len);
    ck_assert_msg(z != NULL, "%s is not understood", path);
    /* cut anywhere, it is none, or one that reads nothing behind its end */
    for (size_t n = 0; n < len; n += n < 200 ? 1 : 97) {
        char *cut = malloc(n + 1);
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, bytes, n);
        ck_assert_ptr_null(pol_zone_parse(a, name, cut, n));
        free(cut);
    }
    free(bytes);
    return z;
}

static void same(const struct pol_zone *z, int64_t at) {
    struct tm tm;
    time_t t = (time_t)at;
    ck_assert_ptr_nonnull(localtime_r(&t, &tm));
    ck_assert_msg(pol_zone_offset(z, at) == tm.tm_gmtoff, "%s at %lld: %d, the C library says %ld", pol_zone_name(z), (long long)at,
                  pol_zone_offset(z, at), tm.tm_gmtoff);
}

START_TEST(offsets) {
    struct pol_arena *a = pol_arena_new();
    const struct pol_zone *z = zone(a, zones[_i]);
    int64_t last = 0;
    setenv("TZ", zones[_i], 1);
    tzset();
    uint64_t seed = 88172645463325252u + (uint64_t)_i;
    for (int64_t at = 0; at < 4102444800; at += 100 * 3600) { /* until 2100, by the footer since 2038 */
        same(z, at);
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        same(z, at + (int64_t)(seed % 360000));
        if (at > 0 && pol_zone_offset(z, at) != pol_zone_offset(z, last)) { /* to the second */
            int64_t low = last, high = at;
            while (high - low > 1) {
                int64_t mid = low + (high - low) / 2;
                *(pol_zone_offset(z, mid) == pol_zone_offset(z, last) ? &low : &high) = mid;
            }
            for (int64_t k = low - 2; k < low + 4; k++) same(z, k);
        }
        last = at;
    }
    pol_arena_free(a);
}
END_TEST

static int64_t utc(const char *text) { /* 2026-03-29 01:00:00 */
    struct tm tm = {0};
    ck_assert_ptr_nonnull(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    return (int64_t)timegm(&tm);
}

START_TEST(windows) {
    struct pol_arena *a = pol_arena_new();
    const struct pol_zone *berlin = zone(a, "Europe/Berlin");
    struct pol_window work = {0x1F, 8 * 3600, 18 * 3600, berlin}, night = {1u << 4, 22 * 3600, 6 * 3600, berlin},
                      all = {0x7F, 0, 24 * 3600, NULL};
    struct pol_window two[] = {work, night}, spring = {0x7F, 9000, 12000, berlin};
    static const struct {
        const char *at; /* UTC */
        bool work, night;
    } cases[] = {{"2026-11-30 06:59:59", false, false}, {"2026-11-30 07:00:00", true, false},  {"2026-11-30 16:59:59", true, false},
                 {"2026-11-30 17:00:00", false, false}, {"2026-07-06 05:59:59", false, false}, {"2026-07-06 06:00:00", true, false},
                 {"2026-11-28 10:00:00", false, false}, {"2026-11-27 20:59:59", false, false}, {"2026-11-27 21:00:00", false, true},
                 {"2026-11-28 04:59:59", false, true},  {"2026-11-28 05:00:00", false, false}, {"2026-11-28 21:30:00", false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t at = utc(cases[i].at);
        ck_assert_msg(pol_times_hold(&work, 1, at) == cases[i].work, "work at %s", cases[i].at);
        ck_assert_msg(pol_times_hold(&night, 1, at) == cases[i].night, "night at %s", cases[i].at);
        ck_assert(pol_times_hold(two, 2, at) == (cases[i].work || cases[i].night));
        ck_assert(pol_times_hold(&all, 1, at));
        ck_assert(!pol_times_hold(two, 0, at));
    }
    /* 02:30 to 03:20 on the day on which 02:00 becomes 03:00: from 03:00 on; and on the day on which 03:00 becomes 02:00: twice its first half hour */
    ck_assert(!pol_times_hold(&spring, 1, utc("2026-03-29 00:59:59")) && pol_times_hold(&spring, 1, utc("2026-03-29 01:00:00")));
    ck_assert(pol_times_hold(&spring, 1, utc("2026-03-29 01:19:59")) && !pol_times_hold(&spring, 1, utc("2026-03-29 01:20:00")));
    ck_assert(pol_times_hold(&spring, 1, utc("2026-10-25 00:30:00")) && !pol_times_hold(&spring, 1, utc("2026-10-25 01:00:00")));
    ck_assert(pol_times_hold(&spring, 1, utc("2026-10-25 01:30:00")) && !pol_times_hold(&spring, 1, utc("2026-10-25 02:20:00")));
    char words[200];
    pol_times_words(two, 2, words, sizeof words);
    ck_assert_str_eq(words, "mon, tue, wed, thu, fri 08:00 to 18:00 (Europe/Berlin); fri 22:00 to 06:00 (Europe/Berlin)");
    pol_times_words(&all, 1, words, 12);
    ck_assert_str_eq(words, "00:00 to 24");
    pol_arena_free(a);
}
END_TEST

/* --- rules --- */

static const char rules[] =
    "version: 1\ndatabases: { shop: {} }\nrules:\n"
    "  - name: office\n    groups: [office, boss]\n    database: shop\n    allow: [select, update, notify]\n    on: public.orders\n    "
    "functions: public.f\n"
    "    times: { days: [mon, tue, wed, thu, fri], from: \"08:00\", to: \"18:00\", zone: Europe/Berlin }\n    columns: { secret: hidden, "
    "\"*\": visible }\n"
    "  - name: always\n    groups: [boss, gone]\n    database: shop\n    allow: [select, update]\n    on: public.*\n"
    "  - name: no-updates-at-night\n    groups: gone\n    database: shop\n    deny: update\n    on: public.orders\n    reason: Nobody is "
    "there.\n"
    "    times: [{ from: \"18:00\", to: \"08:00\", zone: UTC }, { days: [sat, sun], zone: UTC }]\n"
    "  - name: ask-at-noon\n    groups: asked\n    database: shop\n    ask: update\n    approvers: boss\n    on: public.orders\n"
    "    times: { from: \"12:00\", to: \"13:00:30\", zone: UTC }\n"
    "  - name: asked-else\n    groups: asked\n    database: shop\n    allow: [select, update]\n    on: public.orders\n"
    "  - name: admin\n    groups: admin\n    database: shop\n    allow: all\n    on: \"*.*\"\n    times: { from: \"00:00\", to: \"01:00\", "
    "zone: UTC }\n";

static const struct {
    const char *group, *at, *sql;
    enum pol_effect want;
    const char *rule, *says;
} judged[] = {
    {"office", "2026-11-30 07:00:00", "SELECT id FROM orders WHERE public.f(id)", POL_ALLOW, "office", NULL},
    {"office", "2026-11-30 06:59:59", "SELECT id FROM orders", POL_DENY, "",
     "the rule \"office\" does at other times: mon, tue, wed, thu, fri 08:00 to 18:00 (Europe/Berlin)"},
    {"office", "2026-11-30 17:00:00", "SELECT id FROM orders", POL_DENY, "", "at other times"},
    {"office", "2026-11-30 16:59:59", "NOTIFY x", POL_ALLOW, "office", NULL},
    {"office", "2026-11-30 17:00:00", "NOTIFY x", POL_DENY, "", "notify"},
    {"office", "2026-11-30 17:00:00", "SELECT public.f(1)", POL_DENY, "", "the function"},
    {"office", "2026-11-30 17:00:00", "SELECT relname FROM pg_catalog.pg_class", POL_DENY, "", "pg_class"},
    {"office", "2026-11-30 16:00:00", "SELECT relname FROM pg_catalog.pg_class", POL_ALLOW, "", NULL},
    {"office", "2026-11-30 17:00:00", "SELECT 1", POL_ALLOW, "", NULL},
    {"boss", "2026-11-30 17:00:00", "SELECT id FROM orders", POL_ALLOW, "always", NULL},
    {"boss", "2026-11-30 17:00:00", "SELECT id FROM orders; NOTIFY x", POL_DENY, "", "notify"},
    {"gone", "2026-11-30 17:59:59", "UPDATE orders SET id = 1", POL_ALLOW, "always", NULL},
    {"gone", "2026-11-30 18:00:00", "UPDATE orders SET id = 1", POL_DENY, "no-updates-at-night", "Nobody is there"},
    {"gone", "2026-11-30 18:00:00", "SELECT id FROM orders", POL_ALLOW, "always", NULL},
    {"gone", "2026-11-28 12:00:00", "UPDATE orders SET id = 1", POL_DENY, "no-updates-at-night", NULL},
    {"gone", "2026-11-30 12:00:00", "DO $$ $$", POL_DENY, "", NULL},
    {"asked", "2026-11-30 11:59:59", "UPDATE orders SET id = 1", POL_ALLOW, "asked-else", NULL},
    {"asked", "2026-11-30 12:00:00", "UPDATE orders SET id = 1", POL_ASK, "ask-at-noon", NULL},
    {"asked", "2026-11-30 13:00:29", "UPDATE orders SET id = 1", POL_ASK, "ask-at-noon", NULL},
    {"asked", "2026-11-30 13:00:30", "UPDATE orders SET id = 1", POL_ALLOW, "asked-else", NULL},
    {"admin", "2026-11-30 00:59:59", "DO $$ $$", POL_ALLOW, "admin", NULL},
    {"admin", "2026-11-30 01:00:00", "DO $$ $$", POL_DENY, "", NULL},
    {"admin", "2026-11-30 01:00:00", "SELECT 1 FROM public.x", POL_DENY, "", "\"admin\" does at other times: 00:00 to 01:00 (UTC)"},
};

static struct pol_role *role_of(const char *group) {
    struct pol_error err;
    static const char *const path[] = {"public"};
    struct pol_policy *p = pol_policy_load_text("rules", rules, strlen(rules), &err);
    ck_assert_msg(p != NULL, "%u: %s: %s", err.line, err.key, err.text);
    struct pol_role *r = pol_role_new(p, &(struct pol_subject){.groups = &group, .ngroups = 1}, "shop",
                                      &(struct pol_pins){.search_path = path, .nsearch_path = 1});
    pol_policy_unref(p);
    return r;
}

static void judge(const struct pol_role *r, const char *sql, struct pol_verdict *v) {
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), NULL, &err);
    ck_assert_ptr_nonnull(f);
    pol_judge(r, f, v);
    pol_facts_free(f);
}

/* The rule "office" hides a column always, so its role needs a catalog for everything else. */
static const char catalog[] =
    "{\"gatehouse_catalog\":1,\"server\":150018,\"database\":\"shop\"}\n"
    "{\"type\":23,\"schema\":\"pg_catalog\",\"name\":\"int4\",\"kind\":\"b\",\"category\":\"N\",\"base\":0,\"array\":false}\n"
    "{\"relation\":16385,\"schema\":\"public\",\"name\":\"orders\",\"kind\":\"r\",\"columns\":[[\"id\",1,23,\"integer\",\"\"],"
    "[\"secret\",2,23,\"integer\",\"\"]],\"key\":[],\"parents\":[],\"definition\":null,\"reads\":[],\"row_security\":false,"
    "\"security_barrier\":false}\n{\"end\":2}\n";

START_TEST(verdicts) {
    char why[200];
    struct pol_verdict v;
    struct pol_role *r = role_of(judged[_i].group);
    struct pol_catalog *c = pol_catalog_parse(catalog, strlen(catalog), why, sizeof why);
    ck_assert_msg(c != NULL, "%s", why);
    pol_role_use_catalog(r, c, true);
    pol_role_at(r, utc(judged[_i].at));
    judge(r, judged[_i].sql, &v);
    ck_assert_msg(v.effect == judged[_i].want, "%s at %s: %s %s", judged[_i].sql, judged[_i].at, v.message, v.detail);
    ck_assert_str_eq(v.rule, judged[_i].rule);
    if (judged[_i].says != NULL)
        ck_assert_msg(strstr(v.message, judged[_i].says) || strstr(v.detail, judged[_i].says), "%s / %s", v.message, v.detail);
    pol_role_free(r);
    pol_catalog_unref(c);
}
END_TEST

/* Before anybody said what time it is nothing is granted that depends on it, and what is denied is denied; a change is told once. */
START_TEST(changes) {
    struct pol_verdict v;
    struct pol_role *office = role_of("admin"), *gone = role_of("gone"), *none = role_of("nobody");
    judge(office, "SELECT 1 FROM public.x", &v);
    ck_assert_int_eq(v.effect, POL_DENY);
    judge(gone, "UPDATE orders SET id = 1", &v);
    ck_assert_int_eq(v.effect, POL_DENY);
    ck_assert(pol_role_any(office) && !pol_role_everything(office));
    ck_assert(pol_role_at(office, utc("2026-11-30 00:00:00")) && pol_role_everything(office));
    ck_assert(!pol_role_at(office, utc("2026-11-30 00:59:59")));
    ck_assert(pol_role_at(office, utc("2026-11-30 01:00:00")) && !pol_role_everything(office));
    ck_assert(!pol_role_at(office, utc("2026-11-30 23:59:59")) && !pol_role_at(none, 0));
    ck_assert(pol_role_at(gone, utc("2026-11-30 12:00:00")));
    judge(gone, "UPDATE orders SET id = 1", &v);
    ck_assert_int_eq(v.effect, POL_ALLOW);
    pol_role_free(office);
    pol_role_free(gone);
    pol_role_free(none);
}
END_TEST

/* What a rule hides stays hidden when its time is over and another rule allows more. */
START_TEST(hides_always) {
    char why[200];
    struct pol_verdict v;
    struct pol_role *r = role_of("boss");
    struct pol_catalog *c = pol_catalog_parse(catalog, strlen(catalog), why, sizeof why);
    pol_role_use_catalog(r, c, true);
    pol_role_at(r, utc("2026-11-30 17:00:00"));
    judge(r, "SELECT secret FROM orders", &v);
    ck_assert(v.effect == POL_ALLOW && v.rewrite);
    pol_role_free(r);
    pol_catalog_unref(c);
}
END_TEST

static const struct {
    const char *times, *says;
} mistakes[] = {
    {"{ from: \"08:00\", to: \"18:00\" }", "\"zone\" is missing"},
    {"{ from: \"08:00\", zone: UTC }", "from and to belong together"},
    {"{ from: \"8:00\", to: \"18:00\", zone: UTC }", "no time of day"},
    {"{ from: \"08:00\", to: \"24:01\", zone: UTC }", "no time of day"},
    {"{ from: \"08:60\", to: \"09:00\", zone: UTC }", "no time of day"},
    {"{ from: \"08:00:61\", to: \"09:00\", zone: UTC }", "no time of day"},
    {"{ from: \"24:00\", to: \"09:00\", zone: UTC }", "a day begins"},
    {"{ from: \"08:00\", to: \"08:00\", zone: UTC }", "are the same"},
    {"{ days: [], zone: UTC }", "the list is empty"},
    {"{ days: monday, zone: UTC }", "is no day"},
    {"{ zone: Europe/Nowhere }", "is not known"},
    {"{ zone: ../../etc/passwd }", "no time zone's name"},
    {"{ zone: /etc/passwd }", "no time zone's name"},
    {"{ zone: Europe }", "cannot be read"},
    {"{ zone: zone.tab }", "no time zone's name"},
    {"{ zone: leapseconds }", "is not understood"},
    {"{ zone: UTC, until: x }", "unknown key"},
    {"[]", "the list is empty"},
    {"5", "expected"},
};

START_TEST(mistake) {
    char text[500];
    struct pol_error err;
    snprintf(
        text, sizeof text,
        "version: 1\ndatabases: { shop: {} }\nrules:\n  - { name: r, groups: g, database: shop, allow: select, on: \"*.*\", times: %s }\n",
        mistakes[_i].times);
    ck_assert_ptr_null(pol_policy_load_text("p", text, strlen(text), &err));
    ck_assert_msg(strstr(err.text, mistakes[_i].says) != NULL, "%s: %s", mistakes[_i].times, err.text);
    ck_assert_uint_eq(err.line, 4);
}
END_TEST

int main(void) {
    Suite *s = suite_create("times");
    TCase *t = tcase_create("times");
    tcase_add_loop_test(t, offsets, 0, (int)(sizeof zones / sizeof *zones));
    tcase_add_test(t, windows);
    tcase_add_loop_test(t, verdicts, 0, (int)(sizeof judged / sizeof *judged));
    tcase_add_test(t, changes);
    tcase_add_test(t, hides_always);
    tcase_add_loop_test(t, mistake, 0, (int)(sizeof mistakes / sizeof *mistakes));
    suite_add_tcase(s, t);
    return run_suite(s);
}
