/* SQL text: the pre-scan, PostgreSQL's facts, and the verdict of a small policy on them. Input: the text as it is.
 *
 * Checked besides memory errors: every position lies inside the text; a text without facts is refused with a reason; whatever a client is
 * told is UTF-8; and of a text that the agent (who may have no temporary tables) is allowed, the parser's own tree names neither what the
 * policy denies nor a function that reads the server's files. Column facts of the same text name every relation that its facts say is read.
 * Facts that are said not to depend on values are those of the text with other values. */
#include "filters/bytes.h"
#include "policy/facts.h"
#include "policy/pg_scan.h"
#include "policy/policy.h"
#include "policy/shape.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"
#include "t/policy/alike.h"
#include "t/policy/columns_text.h"

#include <pg_query.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096
/* What a main thread's 8 MiB hold with AddressSanitizer (policy/facts_pg.c says how much a level needs). */
#define DEPTH_MAX 4000

static const char rules[] = "version: 1\n"
                            "databases:\n"
                            "  shop: { mode: enforce }\n"
                            "rules:\n"
                            "  - name: agents-work\n"
                            "    groups: agents\n"
                            "    database: shop\n"
                            "    allow: [read, write, ddl, truncate, lock, maintain, notify, set]\n"
                            "    on: [public.*, \"caf\xc3\xa9.*\"]\n"
                            "    functions: public.*\n"
                            "  - name: agents-not-staff\n"
                            "    groups: agents\n"
                            "    database: shop\n"
                            "    deny: all\n"
                            "    on: \"*.staff\"\n"
                            "    reason: No staff.\n"
                            "  - name: dbas\n"
                            "    groups: dbas\n"
                            "    database: shop\n"
                            "    allow: all\n"
                            "    on: \"*.*\"\n";

static struct pol_role *new_role(struct pol_policy *p, const char *group) {
    static const char *const path[] = {"public", "caf\xc3\xa9"};
    static const char *const settings[] = {"statement_timeout", "5s", NULL};
    struct pol_subject who = {.principal = "x@shop.example", .groups = &group, .ngroups = 1};
    struct pol_pins pins = {.search_path = path, .nsearch_path = 2, .time_zone = "UTC", .settings = settings};
    struct pol_role *r = pol_role_new(p, &who, "shop", &pins);
    CHECK(r != NULL);
    return r;
}

static void check_string(const char *s) {
    if (s != NULL) CHECK(strlen(s) <= TEXT_MAX * 4u);
}

static void check_facts(const struct pol_facts *f, size_t len) {
    CHECK(f->nstmts > 0);
    for (size_t i = 0; i < f->nstmts; i++) {
        const struct pol_stmt *s = &f->stmts[i];
        CHECK(s->location <= len && s->len <= len - s->location);
        CHECK(pol_kind_name(s->kind) != NULL && s->tag != NULL && (s->actions & ~POL_ALL_ACTIONS) == 0);
        for (size_t j = 0; j < s->nrelations; j++) {
            const struct pol_relation *r = &s->relations[j];
            CHECK(r->location <= len && r->name != NULL && r->access != 0 && (r->access & ~POL_ALL_ACTIONS) == 0);
            check_string(r->schema);
            check_string(r->name);
        }
        for (size_t j = 0; j < s->nfunctions; j++) {
            CHECK(s->functions[j].location <= len && s->functions[j].name != NULL);
            check_string(s->functions[j].schema);
            check_string(s->functions[j].name);
        }
        for (size_t j = 0; j < s->nsettings; j++) {
            CHECK(s->settings[j].name != NULL);
            check_string(s->settings[j].name);
            check_string(s->settings[j].value);
        }
        check_string(s->forget_statement);
        check_string(s->forget_portal);
        check_string(s->uses_statement);
        check_string(s->uses_portal);
    }
}

static void check_text(const char *s, size_t size) {
    size_t len = strnlen(s, size);
    CHECK(len < size && gh_utf8_valid(s, len));
}

static void check_verdict(const struct pol_verdict *v) {
    CHECK(v->rule != NULL);
    if (v->effect == POL_ALLOW) return;
    CHECK(v->effect == POL_DENY && strnlen(v->sqlstate, sizeof v->sqlstate) == 5 && v->message[0] != '\0');
    check_text(v->message, sizeof v->message);
    check_text(v->detail, sizeof v->detail);
    check_text(v->hint, sizeof v->hint);
}

/* A second opinion, which only looks for names in the tree as JSON: there, a quote inside a string is escaped. A CTE's name and what FOR UPDATE OF
 * names need not be relations. */
static void check_allowed(const char *sql) {
    PgQueryParseResult r = pg_query_parse(sql);
    const char *tree = r.parse_tree;
    CHECK(r.error == NULL && tree != NULL);
    if (strstr(tree, "\"ctename\":\"staff\"") == NULL && strstr(tree, "\"lockedRels\":[") == NULL)
        CHECK(strstr(tree, "\"relname\":\"staff\"") == NULL);
    CHECK(strstr(tree, "\"funcname\":[{\"String\":{\"sval\":\"pg_read_file\"}}]") == NULL);
    CHECK(strstr(tree, "\"is_program\":true") == NULL);
    pg_query_free_parse_result(r);
}

static void check_uses(const struct pol_columns *c, size_t len) {
    for (size_t i = 0; i < c->nrelations; i++) {
        const struct pol_relation_use *r = &c->relations[i];
        CHECK(r->relation != NULL && pol_columns_of(c, r->relation) == r && (c->complete || !r->complete) && r->system_location <= len);
        for (size_t k = 0; k < r->relation->ncolumns; k++) {
            const unsigned all = POL_USE_EXCLUDED * 2 - 1, alone = POL_USE_READ | POL_USE_WRITTEN | POL_USE_EXCLUDED;
            const struct pol_column_use *u = &r->columns[k];
            CHECK((u->named & ~all) == 0 && (u->unnamed & ~all) == 0 && u->location <= len);
            CHECK((u->named & ~alone) == 0 || (u->named & POL_USE_READ) != 0);
            CHECK((u->unnamed & ~alone) == 0 || (u->unnamed & POL_USE_READ) != 0);
        }
    }
    for (size_t i = 0; i < c->nconjuncts; i++) {
        const struct pol_conjunct *s = &c->conjuncts[i];
        CHECK(s->range_var < len && pol_columns_of(c, s->relation) != NULL && s->column != NULL && s->lateral == (s->other != NULL));
        check_string(s->rest);
    }
}

/* nextval('t') names t as well, in a string. */
static bool is_query(const struct pol_stmt *s) {
    return s->kind == POL_K_SELECT || s->kind == POL_K_INSERT || s->kind == POL_K_UPDATE || s->kind == POL_K_DELETE ||
           s->kind == POL_K_MERGE;
}

static void check_columns(const char *sql, size_t len, const struct pol_facts *f, const struct pol_catalog *cat) {
    static const char *const path[] = {"public"};
    struct pol_pins pins = {.search_path = path, .nsearch_path = 1};
    struct pol_parse_error err;
    struct pol_columns *c = pol_columns_pg(sql, len, cat, &pins, &err);
    CHECK(c != NULL);
    check_uses(c, len);
    for (size_t i = 0; i < f->nstmts; i++)
        for (size_t k = 0; k < f->stmts[i].nrelations; k++) {
            const struct pol_relation *r = &f->stmts[i].relations[k];
            const struct pol_cat_relation *known = pol_catalog_relation(cat, r->schema != NULL ? r->schema : "public", r->name);
            if (known != NULL && is_query(&f->stmts[i]) && !f->stmts[i].last_value && (r->access & POL_SELECT) != 0)
                CHECK(pol_columns_of(c, known) != NULL);
        }
    pol_columns_free(c);
}

/* Whoever is told that values do not matter may take these facts for those of any text that differs in values only. */
static void check_alike(const char *sql, size_t len, const struct pol_facts *f) {
    char other[TEXT_MAX + 1], a[TEXT_MAX], b[TEXT_MAX];
    size_t n = pol_facts_alike(f) ? pol_blank_pg(sql, len, a) : 0;
    for (unsigned seed = 0; n > 0 && seed < 4; seed++) {
        struct pol_parse_error err;
        CHECK(alike_text(sql, len, seed + sql[len / 2] * 4u, other));
        CHECK(pol_blank_pg(other, len, b) == n && memcmp(a, b, len) == 0);
        struct pol_facts *g = pol_facts_pg(other, len, &(struct pol_parse_limits){.depth = DEPTH_MAX}, &err);
        CHECK(g != NULL && facts_same(f, g));
        pol_facts_free(g);
    }
}

static void judge(const char *sql, size_t len, const struct pol_role *agent, const struct pol_role *dba, const struct pol_catalog *cat) {
    struct pol_parse_error err;
    struct pol_verdict v;
    struct pol_facts *f = pol_facts_pg(sql, len, &(struct pol_parse_limits){.depth = DEPTH_MAX}, &err);
    if (f == NULL) {
        CHECK(err.rc != POL_PARSED && err.position <= len + 1 && err.text[0] != '\0');
        CHECK(strlen(pol_parse_sqlstate(err.rc)) == 5);
        pol_refuse_parse(&err, &v);
        CHECK(v.effect == POL_DENY);
        check_verdict(&v);
        return;
    }
    check_facts(f, len);
    check_columns(sql, len, f, cat);
    check_alike(sql, len, f);
    pol_judge(dba, f, &v);
    check_verdict(&v);
    pol_judge(agent, f, &v);
    check_verdict(&v);
    if (v.effect == POL_ALLOW) check_allowed(sql);
    pol_facts_free(f);
}

static struct pol_role *agent, *dba;
static struct pol_catalog *cat;

static void make_roles(void) {
    struct pol_error err;
    if (agent != NULL) return;
    struct pol_policy *p = pol_policy_load_text("rules", rules, strlen(rules), &err);
    CHECK(p != NULL);
    agent = new_role(p, "agents");
    dba = new_role(p, "dbas");
    cat = columns_catalog();
    pol_policy_unref(p);
}

/* A text that ends where its memory ends. */
static char *text_of(const uint8_t *data, size_t size) {
    char *sql = malloc(size + 1);
    CHECK(sql != NULL);
    memcpy(sql, data, size);
    sql[size] = '\0';
    return sql;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > TEXT_MAX) return 0;
    make_roles();
    char *sql = text_of(data, size);
    struct pg_scan scan;
    if (pg_scan(sql, size, DEPTH_MAX, TEXT_MAX, &scan) == PG_SCAN_OK) CHECK(scan.depth <= DEPTH_MAX && scan.tokens <= size);
    judge(sql, size, agent, dba, cat);
    free(sql);
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const char *sql;
    size_t len;
    bool facts, agent, dba;      /* there are some; who may */
    struct pol_columns *columns; /* NULL without facts */
};

static bool may(const struct pol_role *r, const struct pol_facts *f) {
    struct pol_verdict v;
    if (f == NULL) return false;
    pol_judge(r, f, &v);
    return v.effect == POL_ALLOW;
}

/* Uses of columns that say they are complete, but are fewer than all. */
static bool fewer(const struct pol_columns *now, const struct pol_columns *all) {
    if (!now->complete) return false;
    for (size_t i = 0; i < all->nrelations; i++) {
        const struct pol_relation_use *there = &all->relations[i], *here = pol_columns_of(now, there->relation);
        if (here == NULL) return true;
        for (size_t k = 0; here->complete && k < there->relation->ncolumns; k++)
            if ((there->columns[k].named & ~here->columns[k].named) != 0 || (there->columns[k].unnamed & ~here->columns[k].unnamed) != 0)
                return true;
    }
    return false;
}

static struct pol_columns *columns(const char *sql, size_t len) {
    static const char *const path[] = {"public"};
    struct pol_pins pins = {.search_path = path, .nsearch_path = 1};
    struct pol_parse_error err;
    return pol_columns_pg(sql, len, cat, &pins, &err);
}

static void faulty(void *arg) {
    struct sweeping *s = arg;
    struct pol_parse_error err = {0};
    struct pol_facts *f = pol_facts_pg(s->sql, s->len, &(struct pol_parse_limits){.depth = DEPTH_MAX}, &err);
    CHECK(f == NULL || s->facts);
    if (f == NULL && s->facts) CHECK(err.rc == POL_NO_MEMORY && nomem_hit());
    CHECK(s->agent || !may(agent, f));
    CHECK(s->dba || !may(dba, f));
    pol_facts_free(f);
    if (s->columns == NULL) return;
    struct pol_columns *c = columns(s->sql, s->len);
    CHECK(c == NULL || !fewer(c, s->columns));
    pol_columns_free(c);
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    struct sweeping s = {.len = size};
    struct pol_parse_error err;
    if (size > TEXT_MAX) return;
    make_roles();
    char *sql = text_of(data, size);
    struct pol_facts *f = pol_facts_pg(sql, size, &(struct pol_parse_limits){.depth = DEPTH_MAX}, &err);
    s.sql = sql;
    s.facts = f != NULL;
    s.agent = may(agent, f);
    s.dba = may(dba, f);
    s.columns = f == NULL ? NULL : columns(sql, size);
    pol_facts_free(f);
    sweep(faulty, &s);
    pol_columns_free(s.columns);
    free(sql);
}
#endif
