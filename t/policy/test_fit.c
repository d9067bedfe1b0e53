#include "policy/fit.h"

#include "t/policy/shop_catalog.h"
#include "t/policy/shop_my_catalog.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define HEAD             "version: 1\ndatabases: { shop: {}, other: {} }\ntags: { shop: { t: [public.orders.total] } }\nrules:\n"
#define RULE(name, more) "  - { name: " name ", groups: g, database: shop, " more " }\n"

static char out[16384];

static void note(void *arg, const struct pol_misfit *m) {
    char words[700];
    size_t used = strlen(out);
    (void)arg;
    pol_misfit_words(m, words, sizeof words);
    snprintf(out + used, sizeof out - used, "%u: %s\n", m->line, words);
}

static enum pol_fit fit(const char *rules, struct pol_catalog *cat, bool assume_hash, uint64_t steps) {
    char text[8192];
    struct pol_error err;
    snprintf(text, sizeof text, "%s%s", HEAD, rules);
    struct pol_policy *p = pol_policy_load_text("rules", text, strlen(text), &err);
    ck_assert_msg(p != NULL, "%u: %s", err.line, err.text);
    out[0] = '\0';
    enum pol_fit rc = pol_policy_fit(p, "shop", cat, assume_hash, steps, note, NULL);
    pol_policy_unref(p);
    return rc;
}

#define MAKES "the rule \"a\" makes public."
static const struct {
    const char *rules, *told;
} pg[] = {
    {RULE("a", "allow: select, on: public.customers, columns: [id, name], rows: \"region = 'eu'\""), ""},
    {RULE("a", "allow: select, on: public.nothing, columns: [nope]"), ""},
    {"  - { name: a, groups: g, database: other, allow: select, on: public.customers, columns: [nope] }\n", ""},
    {RULE("a", "allow: select, on: public.customers, columns: { nmae: hidden, \"*\": visible }"),
     "5: " MAKES "customers unusable for whom it is about: the rule \"a\" names the column \"nmae\", which does not exist; did you mean "
     "\"name\"?\n"},
    {RULE("a", "allow: [select, update], on: public.customers, write: [quite_another]"),
     "5: " MAKES "customers unusable for whom it is about: the rule \"a\" names the column \"quite_another\", which does not exist\n"},
    {RULE("a", "allow: select, on: public.orders, rows: \"statsu = 'new'\""),
     "5: " MAKES "orders unusable for whom it is about: the row filter of the rule \"a\" names the column \"statsu\", which it does not "
     "have; did you mean \"status\"?\n"},
    {RULE("a", "allow: select, on: public.customers, columns: { name: { mask: { round: 10 } }, \"*\": visible }"),
     "5: " MAKES "customers unusable for whom it is about: the rule \"a\" masks the column \"name\": round is for numbers, and the "
     "column is of type text\n"},
    {RULE("a", "allow: select, on: public.orders, columns: { \"tag:t\": { mask: email }, \"*\": visible }"),
     "5: " MAKES
     "orders unusable for whom it is about: the rule \"a\" masks the column \"total\": this mask is for text, and the column is of "
     "type numeric(10,2)\n"},
    /* Once for all relations of which it is true; a child is bound by what is said of its parent. */
    {RULE("a", "allow: select, on: [public.staff, \"public.*s\"], rows: \"region = 'eu'\""),
     "5: " MAKES "orders and 1 more relation unusable for whom it is about: the row filter of the rule \"a\" names the column \"region\", "
     "which it does not have\n"},
    {RULE("a", "allow: select, on: \"pub*.parts\", columns: { \"*\": { mask: { truncate: year } }, id: visible }"),
     "5: the rule \"a\" makes archive.parts_eu and 1 more relation unusable for whom it is about: the rule \"a\" masks the column "
     "\"name\": "
     "truncate is for date, timestamp and timestamptz, and the column is of type text\n"},
    {RULE("a", "allow: select, on: public.customers, columns: [nope]") RULE("b", "allow: select, on: public.staff, columns: [nope]"),
     "5: " MAKES "customers unusable for whom it is about: the rule \"a\" names the column \"nope\", which does not exist\n"
     "6: the rule \"b\" makes public.staff unusable for whom it is about: the rule \"b\" names the column \"nope\", which does not "
     "exist\n"},
    {RULE("a", "allow: [select, update], on: public.customers, columns: { email: { mask: { hash: k } }, \"*\": visible }, write: [email]"),
     "5: " MAKES
     "customers unusable for whom it is about: the column \"email\" is shown as a keyed hash and may be written: whoever may do "
     "both can try values until one hashes alike\n"},
    {RULE("a", "allow: select, on: public.customers, columns: { email: { mask: { hash: k } }, \"*\": visible }")
         RULE("b", "allow: [select, update], on: public.customers, write: [email]"),
     "5: " MAKES
     "customers unusable for whom it is about: the column \"email\" is shown as a keyed hash and may be written: whoever may do "
     "both can try values until one hashes alike\n"},
    {RULE("a", "allow: select, on: public.customers, columns: { email: { mask: { hash: k } }, \"*\": visible }")
         RULE("b", "allow: [select, update], on: public.customers, write: [email]")
             RULE("c", "allow: [select, update], on: public.customers, write: [name]"),
     ""},
    {RULE("a", "allow: select, on: public.customers, columns: { email: { mask: { hash: k } }, \"*\": visible }") "  - { name: b, groups: "
                                                                                                                 "h, database: shop, "
                                                                                                                 "allow: [select, update], "
                                                                                                                 "on: public.customers, "
                                                                                                                 "write: [email] }\n",
     ""},
};

START_TEST(in_postgresql) {
    struct pol_catalog *cat = shop_catalog();
    ck_assert_int_eq(fit(pg[_i].rules, cat, false, 0), POL_FIT_WHOLE);
    ck_assert_msg(strcmp(out, pg[_i].told) == 0, "%s  have: %s  want: %s", pg[_i].rules, out, pg[_i].told);
    pol_catalog_unref(cat);
}
END_TEST

/* The function that hashes need may be made later; in the daemon it must be there. */
START_TEST(hash_function) {
    static const char text[] = RULE("a", "allow: select, on: shop.customers, columns: { email: { mask: { hash: k } }, id: visible }");
    char why[400];
    char catalog[sizeof shop_my_catalog_text];
    memcpy(catalog, shop_my_catalog_text, sizeof catalog);
    memcpy(strstr(catalog, "mask_hash"), "other_one", 9);
    struct pol_catalog *cat = pol_catalog_parse(catalog, strlen(catalog), why, sizeof why);
    ck_assert_msg(cat != NULL, "%s", why);
    fit(text, cat, true, 0);
    ck_assert_str_eq(out, "");
    fit(text, cat, false, 0);
    ck_assert_ptr_nonnull(strstr(out, "the rule \"a\" makes shop.customers unusable"));
    fit(RULE("a", "allow: select, on: shop.customers, columns: [id, nmae]"), cat, false, 0);
    ck_assert_ptr_nonnull(strstr(out, "\"nmae\", which does not exist; did you mean \"name\"?"));
    pol_catalog_unref(cat);
}
END_TEST

/* The daemon bounds the work, and says when not all was looked at. */
START_TEST(steps) {
    struct pol_catalog *cat = shop_catalog();
    static const char rules[] =
        RULE("a", "allow: select, on: public.customers, columns: [nope]") RULE("b", "allow: select, on: \"public.*\", columns: [nope]");
    ck_assert_int_eq(fit(rules, cat, false, 1), POL_FIT_CUT);
    ck_assert_str_eq(out, "");
    ck_assert_int_eq(fit(rules, cat, false, 1000000), POL_FIT_WHOLE);
    ck_assert_str_ne(out, "");
    pol_catalog_unref(cat);
}
END_TEST

START_TEST(restricts) {
    static const char text[] = HEAD RULE("a", "allow: select, on: public.customers")
        RULE("b", "deny: select, on: public.customers, reason: No") "  - { name: c, groups: g, database: other, allow: select, on: "
                                                                    "public.customers, rows: \"id = 1\" }\n";
    struct pol_error err;
    struct pol_policy *p = pol_policy_load_text("rules", text, strlen(text), &err);
    ck_assert_msg(p != NULL, "%s", err.text);
    ck_assert(!pol_policy_restricts(p, "shop"));
    ck_assert(pol_policy_restricts(p, "other"));
    pol_policy_unref(p);
}
END_TEST

/* 10,000 rules, each about a relation of a schema of its own: no rule is compared with what it is not about. */
START_TEST(many) {
    struct pol_catalog *cat = shop_catalog();
    struct pol_error err;
    size_t size = 4u << 20, n = 0;
    char *text = malloc(size);
    ck_assert_ptr_nonnull(text);
    n += (size_t)snprintf(text, size, "version: 1\ndatabases: { shop: {} }\nrules:\n");
    for (int i = 0; i < 10000; i++)
        n += (size_t)snprintf(text + n, size - n,
                              "  - { name: r%d, groups: g%d, database: shop, allow: select, on: [\"team_%d.*\", public.customers], "
                              "columns: [id, name, email] }\n",
                              i, i, i);
    struct pol_policy *p = pol_policy_load_text("rules", text, n, &err);
    ck_assert_msg(p != NULL, "%s", err.text);
    out[0] = '\0';
    ck_assert_int_eq(pol_policy_fit(p, "shop", cat, false, 20000000, note, NULL), POL_FIT_WHOLE);
    ck_assert_str_eq(out, "");
    pol_policy_unref(p);
    pol_catalog_unref(cat);
    free(text);
}
END_TEST

int main(void) {
    Suite *s = suite_create("fit");
    TCase *t = tcase_create("fit");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, in_postgresql, 0, (int)(sizeof pg / sizeof *pg));
    tcase_add_test(t, hash_function);
    tcase_add_test(t, steps);
    tcase_add_test(t, restricts);
    tcase_add_test(t, many);
    suite_add_tcase(s, t);
    return run_suite(s);
}
