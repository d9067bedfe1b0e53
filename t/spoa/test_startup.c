/* Startup parameters: what a client may ask for, and what the server is told. */
#include "spoa/startup.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char POLICY[] = "version: 1\n"
                             "databases: { shop: {} }\n"
                             "rules:\n"
                             "  - name: all\n"
                             "    groups: [g]\n"
                             "    database: shop\n"
                             "    on: [\"*\"]\n"
                             "    allow: [read]\n";

static const struct flt_kv settings[] = {{"IntervalStyle", "iso_8601"}};
static const char *const path[] = {"public", NULL};
static const struct conf_database db = {
    .name = "shop", .search_path = path, .nsearch_path = 1, .search_path_text = "\"public\"", .settings = settings, .nsettings = 1};
static struct pol_role *role;

static void setup(void) {
    struct pol_error err = {0};
    char text[1024];
    struct pol_policy *p = pol_policy_load_text("policy.yaml", POLICY, strlen(POLICY), &err);
    pol_error_format(&err, text, sizeof text);
    ck_assert_msg(p != NULL, "%s", text);
    const char *const groups[] = {"g"};
    const struct pol_subject who = {.principal = "a@x", .groups = groups, .ngroups = 1};
    const struct pol_pins pins = {.search_path = path, .nsearch_path = 1};
    role = pol_role_new(p, &who, "shop", &pins);
    pol_policy_unref(p);
    ck_assert_ptr_nonnull(role);
}
static void teardown(void) { pol_role_free(role); }

static struct startup *read_one(const char *name, const char *value, struct pol_verdict *why) {
    const struct flt_kv kv = {name, value};
    return startup_read(role, &db, &kv, 1, why);
}

static void accepted(const char *name, const char *value, const char *as, const char *with) {
    struct pol_verdict why = {0};
    struct startup *s = read_one(name, value, &why);
    ck_assert_msg(s != NULL, "%s=%s: %s", name, value, why.message);
    if (as == NULL)
        ck_assert_uint_eq(s->n, 0);
    else
        ck_assert_str_eq(startup_get(s, as), with);
    startup_free(s);
}

static void refused(const char *name, const char *value, const char *sqlstate) {
    struct pol_verdict why = {0};
    ck_assert_msg(read_one(name, value, &why) == NULL, "%s=%s was accepted", name, value);
    ck_assert_str_eq(why.sqlstate, sqlstate);
    ck_assert_uint_ne(strlen(why.message), 0);
}

START_TEST(encodings) {
    accepted("client_encoding", "UTF8", NULL, NULL);
    accepted("client_encoding", "utf-8", NULL, NULL);
    accepted("client_encoding", "'UTF_8'", NULL, NULL);
    accepted("CLIENT_ENCODING", "Unicode", NULL, NULL);
    accepted("client_encoding", "SQL_ASCII", NULL, NULL);
    refused("client_encoding", "LATIN1", "22023");
    refused("client_encoding", "utf", "22023");
    refused("client_encoding", "utf88", "22023");
    refused("client_encoding", "", "22023");
}
END_TEST

START_TEST(replication) {
    refused("replication", "true", "0A000");
    refused("replication", "database", "0A000");
    accepted("replication", "off", NULL, NULL);
}
END_TEST

START_TEST(options) {
    accepted("options", "", NULL, NULL);
    accepted("options", "-c application_name=a", "application_name", "a");
    accepted("options", " -capplication_name=a\\ b ", "application_name", "a b");
    accepted("options", "--application-name=a -c application_name=b", "application_name", "b");
    refused("options", "-c", "42501");
    refused("options", "-c application_name", "42501");
    refused("options", "-c =x", "42501");
    refused("options", "-d 5", "42501");
    refused("options", "-c client_encoding=latin1", "22023");
    refused("options", "-c replication=true", "0A000");
    /* in a startup packet these would choose Gatehouse's own role and database */
    refused("options", "-c user=postgres", "42501");
    refused("options", "-cdatabase=postgres", "42501");
    refused("options", "--user=postgres", "42501");
    refused("options", "-c options=-crole=x", "42501");
    refused("options", "-c _pq_.x=1", "42501");
    refused("options", "-c \\ role=x", "42501");
    refused("USER", "postgres", "42501");
    refused("Database", "postgres", "42501");
    accepted("_pq_.x", "1", NULL, NULL);
}
END_TEST

/* What would change how the server reads a text, or where it finds a name. */
START_TEST(pins) {
    static const char *const names[] = {"search_path", "standard_conforming_strings", "role", "session_authorization", "backslash_quote"};
    static const char *const values[] = {"other", "off", "postgres", "postgres", "on"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct pol_verdict why = {0};
        ck_assert_msg(read_one(names[i], values[i], &why) == NULL, "%s", names[i]);
    }
    accepted("intervalstyle", "iso_8601", NULL, NULL);
    refused("intervalstyle", "postgres", "42501");
}
END_TEST

START_TEST(upstream) {
    struct pol_verdict why;
    const struct flt_kv kv[] = {{"application_name", "app"}, {"client_encoding", "UTF8"}};
    struct flt_kv out[16];
    struct startup *s = startup_read(role, &db, kv, 2, &why);
    ck_assert_ptr_nonnull(s);
    char a[] = "dbas", b[] = "a \"b\\c\"", *groups[] = {a, b};
    struct startup_who who = {.session = "S1", .principal = "ann@x", .groups = groups, .ngroups = 2};
    ck_assert_uint_eq(startup_upstream(s, &db, &who, out, 16), 8);
    ck_assert_str_eq(out[0].name, "client_encoding");
    ck_assert_str_eq(out[0].value, "UTF8");
    ck_assert_str_eq(out[2].value, "\"public\"");
    ck_assert_str_eq(out[3].value, "S1");
    ck_assert_str_eq(out[4].name, "gatehouse.principal");
    ck_assert_str_eq(out[4].value, "ann@x");
    ck_assert_str_eq(out[5].value, "[\"dbas\",\"a \\\"b\\\\c\\\"\"]");
    ck_assert_str_eq(out[7].value, "app");
    ck_assert_uint_eq(startup_upstream(s, &db, &who, out, 2), 2);
    startup_free(s);
}
END_TEST

/* As many as there is room for, or none. */
START_TEST(many_groups) {
    struct startup s = {0};
    struct flt_kv out[16];
    char name[2049], *groups[] = {name};
    struct startup_who who = {.session = "S1", .principal = "ann@x", .groups = groups};
    startup_upstream(&s, &db, &who, out, 16);
    ck_assert_str_eq(out[5].value, "[]");
    who.ngroups = 1;
    for (size_t len = 1; len < sizeof name; len++) {
        memset(name, len % 2 == 0 ? 'x' : '"', len);
        name[len] = '\0';
        startup_upstream(&s, &db, &who, out, 16);
        size_t n = strlen(out[5].value);
        ck_assert(n == 0 || (n == 4 + len * (len % 2 == 0 ? 1 : 2) && n < sizeof who.groups_text));
        ck_assert(n == 0 || out[5].value[n - 1] == ']');
    }
    ck_assert_str_eq(out[5].value, "");
}
END_TEST

START_TEST(label) {
    char name[100], out[STARTUP_LABEL];
    struct startup_who who = {.session = "S1", .principal = "ann lee@x"};
    static const struct {
        const char *template, *client, *want;
    } cases[] = {{"%{principal} %{client}", "psql", "ann_lee@x psql"},
                 {"gh:%{principal}/%{session} (%{client})", "", "gh:ann_lee@x/S1 ()"},
                 {"%{principal} %{client}", "\xc3\xa9 %{session}\n'", "ann_lee@x ?? %{session}?'"},
                 {"%{principal}", "psql", "ann_lee@x"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        startup_label(cases[i].template, &who, cases[i].client, out);
        ck_assert_str_eq(out, cases[i].want);
    }
    memset(name, 'p', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    who.principal = name;
    startup_label("%{principal} %{client}", &who, "ann@x", out);
    ck_assert_uint_eq(strlen(out), 63);
    ck_assert_ptr_null(strchr(out, ' '));
    /* it takes the place of the client's */
    const struct conf_database labelled = {.name = "shop", .search_path_text = "p", .application_name = "%{principal} %{client}"};
    struct startup s = {.n = 1, .kv = {{"Application_Name", "root"}}};
    struct flt_kv kv[16];
    who.principal = "ann@x";
    ck_assert_uint_eq(startup_upstream(&s, &labelled, &who, kv, 16), 7);
    ck_assert_str_eq(kv[6].value, "ann@x root");
}
END_TEST

/* Nobody says who it is but Gatehouse. */
START_TEST(forged) {
    static const char *const names[] = {"gatehouse.principal", "GateHouse.Principal", "gatehouse.groups", "gatehouse.session",
                                        "gatehouse.anything"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char option[100];
        refused(names[i], "root", "42501");
        snprintf(option, sizeof option, "-c %s=root", names[i]);
        refused("options", option, "42501");
        snprintf(option, sizeof option, "--%s=root", names[i]);
        refused("options", option, "42501");
    }
}
END_TEST

START_TEST(overlay) {
    static const struct flt_kv reported[] = {{"application_name", "another's"}, {"DateStyle", "ISO, MDY"}, {"TimeZone", "UTC"}};
    static const struct {
        const char *name, *value;
        bool known;
        size_t at;
        const char *shown;
    } cases[] = {
        {"application_name", "mine", true, 0, "mine"},
        {"application_name", "m\303\266in", false, 0, NULL}, /* the server replaces it */
        {"DateStyle", "ISO", true, 1, "ISO, MDY"},
        {"DateStyle", "German", false, 0, NULL},
        {"TimeZone", "Europe/Berlin", true, 2, "Europe/Berlin"},
        {"extra_float_digits", "2", true, 0, ""}, /* not reported at all; nobody else's application_name either */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct paramcache *c = paramcache_new();
        struct pol_verdict why = {0};
        struct startup *s = read_one(cases[i].name, cases[i].value, &why);
        ck_assert_msg(s != NULL, "%s: %s", cases[i].name, why.message);
        ck_assert_ptr_null(paramcache_get(c, "shop", "gate"));
        paramcache_put(c, "shop", "gate", reported, 3);
        ck_assert_ptr_null(paramcache_get(c, "shop", "other"));
        struct paramset *set = paramcache_get(c, "shop", "gate");
        ck_assert_ptr_nonnull(set);
        ck_assert_msg(startup_overlay(s, set) == cases[i].known, "case %zu", i);
        if (cases[i].known) ck_assert_str_eq(set->kv[cases[i].at].value, cases[i].shown);
        free(set);
        paramcache_forget(c, "shop");
        ck_assert_ptr_null(paramcache_get(c, "shop", "gate"));
        startup_free(s);
        paramcache_free(c);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("startup");
    TCase *t = tcase_create("startup");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, encodings);
    tcase_add_test(t, replication);
    tcase_add_test(t, options);
    tcase_add_test(t, pins);
    tcase_add_test(t, upstream);
    tcase_add_test(t, many_groups);
    tcase_add_test(t, forged);
    tcase_add_test(t, label);
    tcase_add_test(t, overlay);
    suite_add_tcase(s, t);
    return run_suite(s);
}
