/* The rewriter. Input: a letter that says who asks, then the text as it is.
 *
 * Checked besides memory errors: a text that is allowed and rewritten is refused with a reason, or becomes one that parses whole, differs from the client's only where
 * it was meant to (rw_rewrite_whole() compares all of it), and in which, by a second opinion on its tree that knows nothing of marks, a restricted relation stands only as
 * "s.t AS _gh.." and a column of such a row is named only inside of ours: no name but that of a subselect of ours or a target of ours qualifies it. In a hurry
 * (pol_parse_limits.brief) the same comes out, or that it is much work. */
#include "policy/pg_scan.h"
#include "policy/rewrite.h"
#include "policy/rewrite_int.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"
#include "t/policy/shop_catalog.h"

#include <stdio.h>

#define TEXT_MAX  4096
#define DEPTH_MAX 2000

static const char rules[] =
    "version: 1\ndatabases: { shop: {} }\nrules:\n"
    "  - name: masks\n    groups: masks\n    database: shop\n    allow: [select, insert, update, delete]\n    on: public.customers\n"
    "    columns: { email: { mask: email }, phone: { mask: { hash: k } }, card_number: hidden, birth_date: { mask: { truncate: year } }, "
    "'*': visible }\n"
    "  - name: rows\n    groups: rows\n    database: shop\n    allow: [select, insert, update, delete]\n    on: public.customers\n    "
    "rows: region = 'eu'\n"
    "  - name: both\n    groups: both\n    database: shop\n    allow: [select, insert, update, delete]\n    on: [public.customers, "
    "public.mixed]\n"
    "    columns: { id: visible, name: visible, region: visible, v: visible }\n    rows: id > 5\n"
    "  - name: all\n    groups: [masks, rows, both]\n    database: shop\n    allow: [read, write, ddl, lock, temp, notify, set]\n    on: "
    "\"public.*\"\n";

static struct pol_policy *policy;
static struct pol_catalog *catalog;
static struct pol_role *roles[3];

static struct pol_role *new_role(size_t i) {
    static const char *const groups[] = {"masks", "rows", "both"}, *const path[] = {"public"};
    struct pol_role *r = pol_role_new(policy, &(struct pol_subject){.groups = &groups[i], .ngroups = 1}, "shop",
                                      &(struct pol_pins){.search_path = path, .nsearch_path = 1});
    if (r != NULL) pol_role_use_catalog(r, catalog, true);
    return r;
}

static void make_roles(void) {
    struct pol_error err;
    char why[300];
    if (policy != NULL) return;
    policy = pol_policy_load_text("rules", rules, strlen(rules), &err);
    catalog = pol_catalog_parse(shop_catalog_text, strlen(shop_catalog_text), why, sizeof why);
    if (policy == NULL) fprintf(stderr, "%u: %s\n", err.line, err.text);
    CHECK(policy != NULL && catalog != NULL);
    for (size_t i = 0; i < 3; i++) CHECK((roles[i] = new_role(i)) != NULL);
}

static bool starts(const struct jt *t, uint32_t i, const char *with) {
    size_t n = strlen(with);
    return i != 0 && t->v[i].type == JT_STRING && t->v[i].next >= n && memcmp(t->json + t->v[i].text, with, n) == 0;
}

/* WITH customers AS (..): then the name in FROM may be that one, and only its scope tells. */
static bool names_cte(const struct jt *t, const char *name) {
    for (uint32_t i = 1; i < t->n; i++)
        if (jt_key_is(t, i, "ctename") && jt_str_is(t, i, name)) return true;
    return false;
}

/* A statement that only names a table, to lock, drop or copy its shape, and any that reads no rows. */
static bool reads_rows(const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++) {
        enum pol_kind k = f->stmts[i].kind;
        if (k != POL_K_SELECT && k != POL_K_INSERT && k != POL_K_UPDATE && k != POL_K_DELETE && k != POL_K_MERGE) return false;
    }
    return true;
}

static void check_tree(const struct jt *t, const struct pol_role *r) {
    static const char *const names[] = {"customers", "mixed"};
    bool failed;
    for (size_t k = 0; k < 2; k++) {
        const struct pol_cat_relation *rel = pol_catalog_relation(r->catalog, "public", names[k]);
        const struct pol_view *v = rel != NULL ? pol_role_view(r, rel, &failed) : NULL;
        if (v == NULL || names_cte(t, names[k])) continue;
        for (uint32_t i = 1; i < t->n; i++) {
            uint32_t name = t->v[i].type == JT_OBJECT ? jt_get(t, i, "relname") : 0, schema = name != 0 ? jt_get(t, i, "schemaname") : 0;
            if (name == 0 || !jt_str_is(t, name, names[k]) || (schema != 0 && !jt_str_is(t, schema, "public"))) continue;
            uint32_t alias = jt_get(t, i, "alias");
            bool ours = schema != 0 && alias != 0 && starts(t, jt_get(t, alias, "aliasname"), "_gh");
            bool insert = jt_key_is(t, i, "relation") && alias == 0; /* INSERT's target without RETURNING or ON CONFLICT reads nothing */
            CHECK(ours || insert);
        }
    }
}

static const char *at_char(const char *s, uint32_t n) {
    for (; n > 0; n--)
        for (s++; ((unsigned char)*s & 0xC0) == 0x80; s++) {
        }
    return s;
}

static uint32_t chars(const char *s) {
    uint32_t n = 0;
    for (; *s != '\0'; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

/* What is said to be a piece of the client's text is one. */
static void check_pieces(const char *sql, const struct pol_rewritten *out) {
    uint32_t end = 0, now = chars(out->sql), before = chars(sql);
    for (size_t i = 0; i < out->npieces; i++) {
        const struct gh_piece *k = &out->pieces[i];
        CHECK(k->len > 0 && k->at >= end && k->len <= now && k->at <= now - k->len && k->len <= before && k->from <= before - k->len);
        const char *a = at_char(out->sql, k->at), *b = at_char(sql, k->from);
        size_t bytes = (size_t)(at_char(b, k->len) - b);
        CHECK((size_t)(at_char(a, k->len) - a) == bytes && memcmp(a, b, bytes) == 0);
        end = k->at + k->len;
    }
}

static void rewritten(const char *sql, const struct pol_role *r, const struct pol_parsed *p, const struct pol_facts *f) {
    struct pol_rewritten out, again;
    struct pol_verdict why;
    struct pol_parsed after;
    struct pol_parse_error err;
    enum pol_rewrite_rc rc = pol_rewrite_parsed(p, r, &out, &why), whole = rw_rewrite_whole(p, r, &again, &why);
    CHECK(rc == whole); /* what the short proof lets pass the long one does, too */
    if (rc == POL_REWRITE_REFUSED) {
        CHECK(why.effect == POL_DENY && strlen(why.sqlstate) == 5 && why.message[0] != '\0');
        CHECK(gh_utf8_valid(why.message, strlen(why.message)) && gh_utf8_valid(why.detail, strlen(why.detail)) &&
              gh_utf8_valid(why.hint, strlen(why.hint)));
    } else if (rc == POL_REWRITE_DONE) {
        CHECK(out.len == again.len && memcmp(out.sql, again.sql, out.len) == 0 && strlen(out.sql) == out.len);
        CHECK(pol_parse_pg(&after, out.sql, out.len, NULL, &err));
        check_pieces(sql, &out);
        if (reads_rows(f)) check_tree(&after.tree, r);
        pol_parse_clear(&after);
    } else if (reads_rows(f)) {
        check_tree(&p->tree, r);
    }
    struct pol_parsed hurry = *p;
    struct pol_rewritten soon;
    hurry.brief = true;
    enum pol_rewrite_rc fast = pol_rewrite_parsed(&hurry, r, &soon, &why);
    CHECK(fast == rc || fast == POL_REWRITE_LONG);
    CHECK(fast != POL_REWRITE_DONE || (soon.len == out.len && memcmp(soon.sql, out.sql, out.len) == 0));
    if (fast == POL_REWRITE_DONE) pol_rewritten_free(&soon);
    if (rc == POL_REWRITE_DONE) pol_rewritten_free(&out);
    if (whole == POL_REWRITE_DONE) pol_rewritten_free(&again);
}

/* A text that ends where its memory ends. */
static char *text_of(const uint8_t *data, size_t len) {
    char *sql = malloc(len + 1);
    CHECK(sql != NULL);
    memcpy(sql, data, len);
    sql[len] = '\0';
    return sql;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct pol_parsed p;
    struct pol_parse_error err;
    struct pol_verdict v;
    make_roles();
    if (size < 1 || size > TEXT_MAX) return 0;
    const struct pol_role *r = roles[data[0] % 3];
    size_t len = size - 1;
    char *sql = text_of(data + 1, len);
    struct pol_facts *f =
        pol_parse_pg(&p, sql, len, &(struct pol_parse_limits){.depth = DEPTH_MAX}, &err) ? pol_facts_parsed(&p, &err) : NULL;
    if (f != NULL) {
        pol_judge(r, f, &v);
        if (v.effect == POL_ALLOW && v.rewrite) rewritten(sql, r, &p, f);
    }
    pol_facts_free(f);
    pol_parse_clear(&p);
    free(sql);
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const char *sql;
    size_t len;
    size_t who;
    struct pol_facts *facts;
    enum pol_rewrite_rc rc;
    struct pol_rewritten out;
};

/* A role made without memory lets through what one made with it does, or refuses: as it is, or rewritten. */
static void faulty(void *arg) {
    struct sweeping *s = arg;
    struct pol_rewritten out = {0};
    struct pol_verdict why;
    struct pol_role *r = new_role(s->who);
    if (r == NULL) return;
    pol_judge(r, s->facts, &why);
    if (why.effect != POL_ALLOW) {
        CHECK(nomem_hit());
        pol_role_free(r);
        return;
    }
    CHECK(why.rewrite);
    enum pol_rewrite_rc rc = pol_rewrite_pg(s->sql, s->len, r, &out, &why);
    pol_role_free(r);
    CHECK(rc == POL_REWRITE_REFUSED || rc == s->rc);
    if (rc == POL_REWRITE_REFUSED && s->rc != rc && strcmp(why.sqlstate, "53200") != 0)
        fprintf(stderr, "%s: %s\n", why.sqlstate, why.message);
    if (rc == POL_REWRITE_REFUSED && s->rc != rc) CHECK(nomem_hit() && strcmp(why.sqlstate, "53200") == 0);
    if (rc != POL_REWRITE_DONE) return;
    CHECK(out.len == s->out.len && memcmp(out.sql, s->out.sql, out.len) == 0 && out.sanitise == s->out.sanitise &&
          out.explain == s->out.explain);
    pol_rewritten_free(&out);
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    struct pol_parse_error err;
    struct pol_verdict v;
    make_roles();
    if (size < 1 || size > TEXT_MAX) return;
    char *sql = text_of(data + 1, size - 1);
    struct sweeping s = {.sql = sql, .len = size - 1, .who = data[0] % 3};
    struct pol_facts *f = pol_facts_pg(sql, s.len, &(struct pol_parse_limits){.depth = DEPTH_MAX}, &err);
    s.facts = f;
    if (f != NULL) pol_judge(roles[s.who], f, &v);
    if (f != NULL && v.effect == POL_ALLOW && v.rewrite) {
        s.rc = pol_rewrite_pg(sql, s.len, roles[s.who], &s.out, &v);
        sweep(faulty, &s);
        if (s.rc == POL_REWRITE_DONE) pol_rewritten_free(&s.out);
    }
    pol_facts_free(f);
    free(sql);
}
#endif
