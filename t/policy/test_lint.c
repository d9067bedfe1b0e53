#include "policy/lint.h"
#include "t/lib/guard.h"
#include "t/policy/columns_text.h"
#include "t/policy/shop_my_catalog.h"

#include <stdio.h>
#include <string.h>

#define HEAD                                                                                                                               \
    "version: 1\ndatabases:\n  shop: { mode: enforce }\n  other: { mode: enforce }\ntags:\n  shop: { pii: [public.customers.phone, "       \
    "public.customers.nope] }\nrules:\n"
#define RULE(name, more) "  - { name: " name ", groups: g, database: shop, " more " }\n"

static char out[8192];

static void note(void *arg, const char *text) {
    (void)arg;
    size_t used = strlen(out);
    snprintf(out + used, sizeof out - used, "%s\n", text);
}

/* What is told of these rules; with the catalog of columns_text.c, or without one. */
static void lint(const char *rules, bool with) {
    char text[8192];
    struct pol_error err;
    snprintf(text, sizeof text, "%s%s", HEAD, rules);
    struct pol_policy *p = pol_policy_load_text("rules", text, strlen(text), &err);
    ck_assert_msg(p != NULL, "%u: %s", err.line, err.text);
    struct pol_catalog *cat = with ? columns_catalog() : NULL;
    out[0] = '\0';
    pol_policy_lint(p, cat, "shop", note, NULL);
    pol_catalog_unref(cat);
    pol_policy_unref(p);
}

#define TELLS " hides columns or rows from the same people: the server counts, samples or quotes hidden ones there, too\n"
static const struct {
    const char *rules, *told;
} alone[] = {
    {RULE("a", "allow: select, on: public.orders") RULE("b", "allow: insert, on: public.orders"), ""},
    {RULE("a", "allow: select, on: public.orders") RULE("b", "deny: all, on: \"public.*\", reason: No"),
     "the rule \"a\" never grants anything: the rule \"b\" denies all of it\n"},
    {RULE("a", "allow: read, on: public.orders") RULE("b", "deny: insert, on: \"*.*\", reason: No"), ""},
    {RULE("a", "allow: select, on: public.orders") RULE("b", "allow: select, on: \"public.o*\""),
     "the rule \"a\" adds nothing to the rule \"b\"\n"},
    {RULE("a", "allow: select, on: public.orders") RULE("b", "allow: select, on: public.orders"),
     "the rule \"b\" adds nothing to the rule \"a\"\n"},
    {RULE("a", "allow: select, on: [public.orders, public.staff]") RULE("b", "allow: select, on: public.orders"),
     "the rule \"b\" adds nothing to the rule \"a\"\n"},
    {RULE("a", "allow: select, on: public.orders") RULE("b", "allow: select, on: \"*.orders\", columns: [id]"), ""},
    {RULE("a", "allow: select, on: public.orders") RULE("b", "allow: select, on: public.*, times: { days: mon, zone: UTC }"), ""},
    {RULE("a", "allow: select, on: public.orders, times: { days: mon, zone: UTC }") RULE("b", "allow: select, on: public.*"),
     "the rule \"a\" adds nothing to the rule \"b\"\n"},
    {RULE("a", "allow: select, on: public.orders") "  - { name: b, groups: h, database: shop, allow: select, on: public.orders }\n", ""},
    {RULE("a", "allow: select, on: public.orders") "  - { name: b, groups: \"*\", database: \"*\", allow: all, on: \"*.*\" }\n",
     "the rule \"a\" adds nothing to the rule \"b\"\n"},
    {"  - { name: a, groups: g, database: \"*\", allow: select, on: public.orders }\n" RULE("b", "deny: all, on: \"*.*\", reason: No"), ""},
    {"  - { name: a, groups: \"*\", database: shop, ask: delete, on: public.orders, approvers: h }\n",
     "the rule \"a\" asks of \"*\": so every identity with a token may log in to its databases and see what tables there are; name the "
     "groups that "
     "other rules let in\n"},
    {"  - { name: a, groups: \"*\", database: shop, ask: delete, on: public.orders, approvers: h }\n"
     "  - { name: b, groups: \"*\", database: shop, allow: select, on: public.staff }\n",
     ""},
    {RULE("a", "allow: select, on: public.orders, limits: { rows: 10 }") RULE("b", "allow: temp"),
     "the rule \"a\" bounds what is read (limits, require or record), and the rule \"b\" lets the same people make tables: a copy that "
     "they "
     "make (CREATE TABLE AS, SELECT INTO) is under the bounds of its own name alone\n"},
    {RULE("a", "allow: select, on: public.orders, limits: { rows: 10 }") RULE("b", "allow: insert, on: public.orders"), ""},
    {RULE("a", "allow: select, on: public.customers, columns: [id]") RULE("b", "allow: select, on: [pg_catalog.pg_stats, public.orders]"),
     "the rule \"b\" grants pg_catalog.pg_stats, and the rule \"a\"" TELLS},
    {RULE("a", "allow: select, on: public.customers, rows: \"id = 1\"") RULE("b", "allow: select, on: \"pg_catalog.pg_stat*_tables\"")
         RULE("c", "allow: select, on: \"pg_toast.*\"") RULE("d", "allow: select, on: monitor.pg_stat_statements")
             RULE("e", "allow: select, on: public.staff, functions: [\"pg_catalog.pg_stat_get_*\"]"),
     "the rule \"b\" grants pg_catalog.pg_stat*_tables, and the rule \"a\"" TELLS
     "the rule \"c\" grants pg_toast.*, and the rule \"a\"" TELLS
     "the rule \"d\" grants monitor.pg_stat_statements, and the rule \"a\"" TELLS
     "the rule \"e\" grants pg_catalog.pg_stat_get_*(), and the rule \"a\"" TELLS},
    {RULE("a", "allow: select, on: [public.customers, pg_catalog.pg_statistic], columns: [id]"),
     "the rule \"a\" grants pg_catalog.pg_statistic, and the rule \"a\"" TELLS},
    {RULE("a", "allow: select, on: public.customers, columns: [id]") RULE("b", "allow: select, on: [\"*.*\", pg_catalog.pg_stat_ssl]")
         RULE("c", "allow: insert, on: pg_catalog.pg_stats") RULE("d", "deny: select, on: pg_catalog.pg_stats, reason: No"),
     ""},
    {RULE("a", "allow: select, on: public.customers, columns: [id]") "  - { name: b, groups: h, database: shop, allow: select, on: "
                                                                     "pg_catalog.pg_stats }\n"
                                                                     "  - { name: c, groups: g, database: other, allow: select, on: "
                                                                     "pg_catalog.pg_stats }\n",
     ""},
    {RULE("a", "allow: all, on: \"*.*\", unpin: true"), "the rule \"a\" unpins: who it names may SET search_path, ROLE and SESSION "
                                                        "AUTHORIZATION, so the database's own rights, and no name, are all "
                                                        "that limits them\n"},
};

START_TEST(without_catalog) {
    lint(alone[_i].rules, false);
    ck_assert_msg(strcmp(out, alone[_i].told) == 0, "%s  have: %s  want: %s", alone[_i].rules, out, alone[_i].told);
}
END_TEST

#define TAG_USED "the tag \"pii\" lists public.customers.nope, which is no column of the database\n"
#define TAG      TAG_USED "the tag \"pii\" is named by no rule, so it hides nothing\n"
static const struct {
    const char *rules, *told;
} within[] = {
    {RULE("a", "allow: select, on: public.orders"), TAG},
    {RULE("a", "allow: select, on: [public.nothing, \"public.sta*\", \"none.*\"]"), TAG
     "the rule \"a\" is about public.nothing, which is not in the database\nthe rule \"a\" is about none.*, which is not in the database\n"
     "the rule \"a\" shows columns of public.staff that look sensitive and that it does not name: salary\n"},
    {RULE("a", "allow: select, on: public.customers"), TAG "the rule \"a\" shows columns of public.customers that look sensitive and that "
                                                           "it does not name: email, phone, card_number, birth_date\n"},
    {RULE("a", "allow: select, on: public.customers, columns: { email: hidden, \"tag:pii\": hidden, birth_date: visible, \"*\": visible }"),
     TAG_USED "the rule \"a\" shows columns of public.customers that look sensitive and that it does not name: card_number\n"},
    {RULE("a",
          "allow: select, on: public.customers, columns: { email: hidden, \"tag:pii\": hidden, birht_date: hidden, card_number: hidden, "
          "\"*\": visible }"),
     TAG_USED "the rule \"a\" shows columns of public.customers that look sensitive and that it does not name: birth_date; it names "
              "\"birht_date\", which does not exist there: did you mean \"birth_date\"?\n"},
    {RULE("a", "allow: select, on: public.customers, columns: [id, name]"), TAG},
    {RULE("a", "allow: insert, on: public.customers"), TAG},
    {RULE("a", "allow: all, on: \"*.*\""), TAG},
    {RULE("a", "allow: select, on: public.customers, columns: [id]")
         RULE("b", "allow: select, on: public.customer_directory, columns: [email]"),
     TAG "the rule \"b\" grants the view public.customer_directory, which reads public.customers; what the rule \"a\" hides of that does "
         "not reach through "
         "a view\n"},
    {RULE("a", "deny: select, on: public.customers, reason: No")
         RULE("b", "allow: select, on: public.customer_directory, columns: [email]"),
     TAG "the rule \"b\" grants the view public.customer_directory, which reads public.customers; what the rule \"a\" hides of that does "
         "not reach through "
         "a view\n"},
    {"  - { name: a, groups: h, database: shop, allow: select, on: public.customers, columns: [id] }\n" RULE(
         "b", "allow: select, on: public.customer_directory, columns: [email]"),
     TAG},
};

START_TEST(with_catalog) {
    lint(within[_i].rules, true);
    ck_assert_msg(strcmp(out, within[_i].told) == 0, "%s  have: %s  want: %s", within[_i].rules, out, within[_i].told);
}
END_TEST

/* In MySQL a schema whose name begins with pg_ is like any other, and names of columns are the same in any case. */
START_TEST(in_mysql) {
    static const char text[] =
        "version: 1\ndatabases: { shop: {} }\nrules:\n" RULE("a",
                                                             "allow: select, on: \"*.customers\", columns: { '\"EMAIL\"': hidden, phone: "
                                                             "hidden, '\"Card_Number\"': hidden, birth_date: visible, '*': visible }")
            RULE("b", "allow: select, on: \"pg_*.*\"") RULE("c", "allow: select, on: mysql.user")
                RULE("d", "allow: select, on: [\"information_schema.*\", performance_schema.global_variables]")
                    RULE("e", "allow: select, on: [information_schema.statistics, \"performance_schema.*\", "
                              "information_schema.session_status]") "  - { name: other, groups: h, database: shop, allow: select, on: "
                                                                    "[information_schema.tables, \"sys.*\"] }\n";
    struct pol_error err;
    struct pol_policy *p = pol_policy_load_text("rules", text, strlen(text), &err);
    ck_assert_msg(p != NULL, "%u: %s", err.line, err.text);
    struct pol_catalog *cat = shop_my_catalog();
    out[0] = '\0';
    pol_policy_lint(p, cat, "shop", note, NULL);
    ck_assert_str_eq(out,
                     "the rule \"b\" shows columns of pg_data.customers that look sensitive and that it does not name: email, phone, "
                     "card_number, birth_date\n"
                     "the rule \"d\" grants information_schema.partitions, which estimates how many rows a table has, those that the rule "
                     "\"a\" hides, too\n"
                     "the rule \"e\" grants information_schema.statistics, which estimates how many rows a table has, those that the rule "
                     "\"a\" hides, too\n"
                     "the rule \"e\" grants performance_schema.*, which is refused to those from whom the rule \"a\" hides something: it "
                     "tells of that\n");
    pol_catalog_unref(cat);
    pol_policy_unref(p);
}
END_TEST

/* What hashes need is missed before somebody misses a table. */
START_TEST(hashes) {
    static const char rules[] = "version: 1\ndatabases: { shop: {} }\nrules:\n" RULE(
        "h", "allow: select, on: \"shop.customers\", columns: { email: { mask: { hash: k } }, phone: { mask: { hash: k } }, id: visible }");
    struct pol_error err;
    char text[sizeof shop_my_catalog_text], why[400];
    struct pol_policy *p = pol_policy_load_text("rules", rules, strlen(rules), &err);
    ck_assert_msg(p != NULL, "%u: %s", err.line, err.text);
    for (int there = 0; there < 2; there++) {
        memcpy(text, shop_my_catalog_text, sizeof text);
        if (!there) memcpy(strstr(text, "mask_hash"), "other_one", 9);
        struct pol_catalog *cat = pol_catalog_parse(text, strlen(text), why, sizeof why);
        ck_assert_msg(cat != NULL, "%s", why);
        out[0] = '\0';
        pol_policy_lint(p, cat, "shop", note, NULL);
        ck_assert_str_eq(
            out, there
                     ? ""
                     : "the rule \"h\" masks by hash, and the database has no function gatehouse.mask_hash that gatehouse's user may call; "
                       "\"gatehousectl policy grants --sql\" prints what makes it\n");
        pol_catalog_unref(cat);
    }
    pol_policy_unref(p);
}
END_TEST

/* Views are followed by their definitions; what nobody may see of them is said. */
START_TEST(views_in_mysql) {
    static const char rules[] = "version: 1\ndatabases: { shop: {} }\nrules:\n" RULE(
        "v", "allow: select, on: shop.customer_directory, columns: { email: visible, '*': visible }")
        RULE("c", "allow: select, on: shop.customers, columns: { id: visible }");
    struct pol_error err;
    char text[sizeof shop_my_catalog_text], why[400];
    for (int known = 0; known < 2; known++) {
        memcpy(text, shop_my_catalog_text, sizeof text);
        char *definition = strstr(text, "\"select `shop`");
        ck_assert_ptr_nonnull(definition);
        if (!known) definition[1] = 'S', definition[2] = 'x';
        struct pol_policy *p = pol_policy_load_text("rules", rules, strlen(rules), &err);
        ck_assert_msg(p != NULL, "%u: %s", err.line, err.text);
        struct pol_catalog *cat = pol_catalog_parse(text, strlen(text), why, sizeof why);
        ck_assert(cat != NULL && pol_catalog_read_views(cat));
        out[0] = '\0';
        pol_policy_lint(p, cat, "shop", note, NULL);
        ck_assert_str_eq(
            out, known ? "the rule \"v\" grants the view shop.customer_directory, which reads shop.customers; what the rule \"c\" hides of "
                         "that does not reach through a view\n"
                       : "the rule \"v\" grants the view shop.customer_directory, and not all is known of what shop.customer_directory "
                         "reads: gatehouse's user may not see that, or the definition (SHOW VIEW), or it is not understood; what the "
                         "rule \"c\" hides may be in it\n");
        pol_catalog_unref(cat);
        pol_policy_unref(p);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("lint");
    TCase *t = tcase_create("lint");
    tcase_add_loop_test(t, without_catalog, 0, (int)(sizeof alone / sizeof *alone));
    tcase_add_loop_test(t, with_catalog, 0, (int)(sizeof within / sizeof *within));
    tcase_add_test(t, in_mysql);
    tcase_add_test(t, views_in_mysql);
    tcase_add_test(t, hashes);
    suite_add_tcase(s, t);
    return run_suite(s);
}
