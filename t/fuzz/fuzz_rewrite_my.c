/* The rewriter of MySQL's dialect. Input: a byte of options (who asks, server, sql_mode, folding), then the text as it is.
 *
 * Checked besides memory errors: a text that is allowed and rewritten is refused with a reason, or becomes one that has facts again: as many statements of the same kinds, on the
 * same relations; and that reads no value of a column which is a constant to who asks, by the column facts' own opinion on what comes out. In a hurry (pol_parse_limits.brief) the
 * same comes out, or that it is much work. */
#include "filters/bytes.h"
#include "policy/columns.h"
#include "policy/rewrite.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"
#include "t/policy/shop_my_catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096

static const char rules[] =
    "version: 1\ndatabases: { shop: {} }\nrules:\n"
    "  - name: masks\n    groups: masks\n    database: shop\n    allow: [select, insert, update, delete]\n    on: shop.customers\n"
    "    columns: { email: { mask: 'null' }, phone: { mask: 'null' }, card_number: hidden, birth_date: hidden, '*': visible }\n"
    "  - name: rows\n    groups: rows\n    database: shop\n    allow: [select, insert, update, delete]\n    on: shop.customers\n"
    "    columns: { card_number: { mask: { last: 4 } }, '*': visible }\n    rows: region = 'eu'\n"
    "  - name: all\n    groups: [masks, rows]\n    database: shop\n    allow: [read, write, ddl, lock, temp]\n    on: [\"shop.*\", "
    "\"other.*\"]\n";

static struct pol_policy *policy;
static struct pol_catalog *catalog;
static struct pol_role *roles[2];

static struct pol_role *new_role(size_t i) {
    static const char *const groups[] = {"masks", "rows"}, *const path[] = {"shop"};
    struct pol_role *r = pol_role_new(policy, &(struct pol_subject){.groups = &groups[i], .ngroups = 1}, "shop",
                                      &(struct pol_pins){.search_path = path, .nsearch_path = 1, .mysql = true});
    if (r != NULL) pol_role_use_catalog(r, catalog, true);
    return r;
}

static void make_roles(void) {
    struct pol_error err;
    char why[300];
    if (policy != NULL) return;
    policy = pol_policy_load_text("rules", rules, strlen(rules), &err);
    catalog = pol_catalog_parse(shop_my_catalog_text, strlen(shop_my_catalog_text), why, sizeof why);
    if (policy == NULL) fprintf(stderr, "%u: %s\n", err.line, err.text);
    CHECK(policy != NULL && catalog != NULL);
    for (size_t i = 0; i < 2; i++) CHECK((roles[i] = new_role(i)) != NULL);
}

struct input {
    char *sql;
    size_t len, who;
    struct my_options o;
    struct pol_facts *facts; /* NULL: it is refused before, or there is nothing to rewrite */
};

static void take(struct input *in, const uint8_t *data, size_t size) {
    struct pol_parse_error err;
    struct pol_verdict v;
    make_roles();
    *in = (struct input){.len = size - 1, .who = data[0] >> 6 & 1};
    in->o = (struct my_options){.server = data[0] & 1 ? MY_MYSQL : MY_MARIADB, .default_db = "shop", .multi = (data[0] & 2) == 0};
    in->o.version = in->o.server == MY_MYSQL ? 90704 : 101119;
    in->o.mode = (unsigned)(data[0] >> 2) & (MY_ANSI_QUOTES | MY_NO_BACKSLASH_ESCAPES | MY_PIPES_AS_CONCAT | MY_HIGH_NOT_PRECEDENCE);
    in->o.fold_names = (data[0] & 128) != 0;
    in->sql = malloc(in->len + 1);
    CHECK(in->sql != NULL);
    memcpy(in->sql, data + 1, in->len);
    in->sql[in->len] = '\0';
    in->facts = pol_facts_my(in->sql, in->len, &in->o, &err);
    if (in->facts == NULL) return;
    pol_role_my_mode(roles[in->who], in->o.mode);
    pol_judge(roles[in->who], in->facts, &v);
    if (v.effect == POL_ALLOW && v.rewrite) return;
    pol_facts_free(in->facts);
    in->facts = NULL;
}

static void drop(struct input *in) {
    pol_facts_free(in->facts);
    free(in->sql);
}

static bool has(const struct pol_stmt *s, const struct pol_relation *r) {
    for (size_t i = 0; i < s->nrelations; i++)
        if (strcmp(s->relations[i].schema, r->schema) == 0 && strcmp(s->relations[i].name, r->name) == 0) return true;
    return false;
}

static void check_facts(const struct pol_facts *a, const struct pol_facts *b) {
    CHECK(a->nstmts == b->nstmts);
    for (size_t i = 0; i < a->nstmts; i++) {
        CHECK(a->stmts[i].kind == b->stmts[i].kind);
        for (size_t j = 0; j < b->stmts[i].nrelations; j++) CHECK(has(&a->stmts[i], &b->stmts[i].relations[j]));
        for (size_t j = 0; j < a->stmts[i].nrelations; j++) CHECK(has(&b->stmts[i], &a->stmts[i].relations[j]));
    }
}

/* What is a constant to the first role is read from nowhere. */
static void check_columns(const struct pol_rewritten *w, const struct my_options *o) {
    static const char *const constant[] = {"email", "phone", "card_number", "birth_date"};
    struct pol_parse_error err;
    struct pol_columns *c = pol_columns_my(w->sql, w->len, o, catalog, &err);
    CHECK(c != NULL);
    const struct pol_cat_relation *customers = pol_catalog_relation(catalog, "shop", "customers");
    CHECK(customers != NULL);
    const struct pol_relation_use *u = pol_columns_of(c, customers);
    for (size_t i = 0; u != NULL && c->complete && i < customers->ncolumns; i++)
        for (size_t k = 0; k < 4; k++)
            if (strcmp(customers->columns[i].name, constant[k]) == 0)
                CHECK(((u->columns[i].named | u->columns[i].unnamed) & ~(unsigned)POL_USE_WRITTEN) == 0);
    pol_columns_free(c);
}

static void check_refusal(const struct pol_verdict *why) {
    CHECK(why->effect == POL_DENY && strlen(why->sqlstate) == 5 && why->message[0] != '\0');
    CHECK(gh_utf8_valid(why->message, strlen(why->message)) && gh_utf8_valid(why->hint, strlen(why->hint)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct pol_parse_limits brief = {.brief = true};
    struct input in;
    struct pol_rewritten w, soon;
    struct pol_verdict why;
    struct pol_parse_error err;
    if (size < 1 || size > TEXT_MAX) return 0;
    take(&in, data, size);
    if (in.facts != NULL) {
        struct my_options hurry = in.o;
        hurry.limits = &brief;
        enum pol_rewrite_rc rc = pol_rewrite_my(in.sql, in.len, &in.o, roles[in.who], &w, &why);
        if (rc == POL_REWRITE_REFUSED) check_refusal(&why);
        if (rc == POL_REWRITE_DONE) {
            CHECK(w.sql[w.len] == '\0'); /* a string may hold NULs */
            struct pol_facts *after = pol_facts_my(w.sql, w.len, &in.o, &err);
            CHECK(after != NULL);
            check_facts(in.facts, after);
            if (in.who == 0) check_columns(&w, &in.o);
            pol_facts_free(after);
        }
        enum pol_rewrite_rc fast = pol_rewrite_my(in.sql, in.len, &hurry, roles[in.who], &soon, &why);
        CHECK(fast == rc || fast == POL_REWRITE_LONG);
        CHECK(fast != POL_REWRITE_DONE || (soon.len == w.len && memcmp(soon.sql, w.sql, w.len) == 0));
        if (fast == POL_REWRITE_DONE) pol_rewritten_free(&soon);
        if (rc == POL_REWRITE_DONE) pol_rewritten_free(&w);
    }
    drop(&in);
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const struct input *in;
    enum pol_rewrite_rc rc;
    struct pol_rewritten out;
};

/* Without memory a text is refused, or becomes what it would have become. */
static void faulty(void *arg) {
    struct sweeping *s = arg;
    struct pol_rewritten out = {0};
    struct pol_verdict why;
    struct pol_role *r = new_role(s->in->who);
    if (r == NULL) return;
    pol_role_my_mode(r, s->in->o.mode);
    pol_judge(r, s->in->facts, &why);
    bool goes = why.effect == POL_ALLOW;
    CHECK(goes ? why.rewrite : nomem_hit());
    enum pol_rewrite_rc rc = goes ? pol_rewrite_my(s->in->sql, s->in->len, &s->in->o, r, &out, &why) : POL_REWRITE_REFUSED;
    pol_role_free(r);
    CHECK(rc == POL_REWRITE_REFUSED || rc == s->rc);
    if (goes && rc == POL_REWRITE_REFUSED && s->rc != rc && strcmp(why.sqlstate, "53200") != 0)
        fprintf(stderr, "%s: %s: %s\n", s->in->sql, why.sqlstate, why.message);
    if (goes && rc == POL_REWRITE_REFUSED && s->rc != rc) CHECK(nomem_hit() && strcmp(why.sqlstate, "53200") == 0);
    if (rc != POL_REWRITE_DONE) return;
    CHECK(out.len == s->out.len && memcmp(out.sql, s->out.sql, out.len) == 0);
    pol_rewritten_free(&out);
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    struct input in;
    struct pol_verdict v;
    if (size < 1 || size > TEXT_MAX) return;
    take(&in, data, size);
    if (in.facts != NULL) {
        struct sweeping s = {.in = &in};
        s.rc = pol_rewrite_my(in.sql, in.len, &in.o, roles[in.who], &s.out, &v);
        sweep(faulty, &s);
        if (s.rc == POL_REWRITE_DONE) pol_rewritten_free(&s.out);
    }
    drop(&in);
}
#endif
