#include "policy/obligations.h"

#include "filters/bytes.h"
#include "policy/grants.h"
#include "policy/policy.h"
#include "t/policy/shop_catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD              "version: 1\ndatabases: { shop: { mode: enforce }, lab: {} }\n"
#define RULE(name, group) "  - name: " name "\n    groups: " group "\n    database: shop\n    allow: select\n"

static struct pol_policy *load(const char *text, struct pol_error *e) {
    struct pol_policy *p = pol_policy_load_text("p.yaml", text, strlen(text), e);
    return p;
}

struct made {
    struct pol_role *r;
    struct pol_catalog *c;
};

static struct made role(const char *rules, const char *groups, const struct pol_claim *claims, size_t nclaims) {
    static const char *const path[] = {"public"};
    char text[4000], list[100], words[1000] = "";
    struct pol_error e;
    const char *all[8];
    struct pol_subject who = {.principal = "ann@x", .groups = all, .claims = claims, .nclaims = nclaims};
    snprintf(list, sizeof list, "%s", groups);
    char *save = NULL;
    for (char *w = strtok_r(list, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) all[who.ngroups++] = w;
    snprintf(text, sizeof text, "%s", rules);
    struct pol_policy *p = load(text, &e);
    if (p == NULL) pol_error_format(&e, words, sizeof words);
    ck_assert_msg(p != NULL, "%s", words);
    struct made m = {pol_role_new(p, &who, "shop", &(struct pol_pins){.search_path = path, .nsearch_path = 1}), shop_catalog()};
    ck_assert_ptr_nonnull(m.r);
    pol_role_use_catalog(m.r, m.c, true);
    pol_policy_unref(p);
    return m;
}

static void unmake(struct made *m) {
    pol_role_free(m->r);
    pol_catalog_unref(m->c);
}

static const struct pol_view *view(const struct made *m, const char *schema, const char *name) {
    bool failed;
    const struct pol_cat_relation *rel = pol_catalog_relation(m->c, schema, name);
    ck_assert_ptr_nonnull(rel);
    const struct pol_view *v = pol_role_view(m->r, rel, &failed);
    ck_assert(!failed);
    ck_assert_ptr_eq(v, pol_role_view(m->r, rel, &failed)); /* kept */
    return v;
}

/* "id=visible name=hidden ..." of what a view says. */
static const char *words(const struct pol_view *v) {
    static char out[2000];
    size_t n = 0;
    for (size_t i = 0; i < v->relation->ncolumns; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%s=%s%s%s", i > 0 ? "; " : "", v->relation->columns[i].name, v->columns[i].how,
                              v->columns[i].writable ? "+w" : "", v->columns[i].filter ? "+f" : "");
    return out;
}

static const char shop[] = HEAD
    "tags: { shop: { pii: [public.customers.email, \"public.*.phone\"], secret: [public.customers.card_number] } }\n"
    "rules:\n" RULE(
        "agents",
        "agents") "    on: public.customers\n    columns:\n"
                  "      email: { mask: email }\n      \"tag:pii\": { mask: null }\n      \"tag:secret\": hidden\n      birth_date: { "
                  "mask: { truncate: year } }\n"
                  "      \"*\": visible\n" RULE(
                      "analysts",
                      "analysts") "    on: public.customers\n    columns: [id, name, email, region]\n"
                                  "    rows: region = ${claim:region}\n" RULE(
                                      "readers",
                                      "readers") "    on: [\"public.*\", \"archive.*\"]\n"
                                                 "  - name: writers\n    groups: writers\n    database: shop\n    allow: [select, "
                                                 "update]\n    on: public.customers\n    write: [email, region, name]\n"
                                                 "    rows: region = 'eu'\n" RULE(
                                                     "halves",
                                                     "halves") "    on: public.customers\n    columns: { email: { mask: { last: 4 } }, "
                                                               "\"*\": visible }\n" RULE(
                                                                   "parts",
                                                                   "parts") "    on: [public.parts]\n    columns: { "
                                                                            "phone: hidden, \"*\": visible }\n    "
                                                                            "rows: region = 'eu'\n"
                                                                            "  - name: extras\n    groups: extras\n    "
                                                                            "database: shop\n    allow: select\n    on: archive.parts_eu\n "
                                                                            "   "
                                                                            "columns: { phone: hidden, extra: visible, \"*\": visible }\n"
                                                                            "  - name: rows\n    groups: rows\n    "
                                                                            "database: shop\n    allow: select\n    on: archive.parts_eu\n "
                                                                            "   "
                                                                            "rows: region = 'eu'\n"
                                                                            "  - name: dbas\n    groups: dbas\n    "
                                                                            "database: \"*\"\n    allow: all\n    "
                                                                            "on: \"*.*\"\n";

static const struct {
    const char *groups, *schema, *relation, *want; /* NULL: not restricted */
} views[] = {
    {"agents", "public", "customers",
     "id=visible+w; name=visible+w; email=masked: null; phone=masked: null; card_number=hidden; birth_date=masked: cut to the year; "
     "region=visible+w"},
    {"agents", "public", "orders", NULL},
    {"readers", "public", "customers", NULL},
    {"analysts", "public", "customers",
     "id=visible+w; name=visible+w; email=visible+w; phone=hidden; card_number=hidden; birth_date=hidden; region=visible+f"},
    {"agents,dbas,readers", "public", "customers",
     "id=visible+w; name=visible+w; email=masked: null; phone=masked: null; card_number=hidden; birth_date=masked: cut to the year; "
     "region=visible+w"},
    {"analysts,agents", "public", "customers",
     "id=visible+w; name=visible+w; email=masked: null; phone=hidden; card_number=hidden; birth_date=hidden; region=visible+f"},
    {"halves", "public", "customers",
     "id=visible+w; name=visible+w; email=masked: last 4; phone=visible+w; card_number=visible+w; birth_date=visible+w; region=visible+w"},
    {"writers", "public", "customers",
     "id=visible; name=visible+w; email=visible+w; phone=visible; card_number=visible; birth_date=visible; region=visible+f"},
    {"parts", "public", "parts",
     "id=visible+w; name=visible+w; email=visible+w; phone=hidden; card_number=visible+w; birth_date=visible+w; region=visible+f"},
    /* a partition takes over what is said of its parent, also when a rule of its own says nothing */
    {"parts,readers", "archive", "parts_eu",
     "id=visible+w; name=visible+w; email=visible+w; phone=hidden; card_number=visible+w; birth_date=visible+w; region=visible+f; "
     "extra=hidden"}, /* generated, perhaps from phone */
    {"extras", "archive", "parts_eu",
     "id=visible+w; name=visible+w; email=visible+w; phone=hidden; card_number=visible+w; birth_date=visible+w; region=visible+w; "
     "extra=visible+w"},
    {"rows", "archive", "parts_eu",
     "id=visible+w; name=visible+w; email=visible+w; phone=visible+w; card_number=visible+w; birth_date=visible+w; region=visible+f; "
     "extra=visible+w"},
    {"parts", "public", "customers", NULL},
    {"agents", "s2", "customers", NULL},
};

START_TEST(adds_up) {
    static const struct pol_claim claims[] = {{"region", "eu"}};
    struct made m = role(shop, views[_i].groups, claims, 1);
    const struct pol_view *v = view(&m, views[_i].schema, views[_i].relation);
    ck_assert((v == NULL) == (views[_i].want == NULL));
    if (v != NULL) {
        ck_assert_msg(v->problem == NULL, "%s", v->problem);
        ck_assert_str_eq(words(v), views[_i].want);
        ck_assert_ptr_nonnull(v->rule);
    }
    unmake(&m);
}
END_TEST

static const char *text_of(const char *sql) {
    static char out[4000];
    struct buf b = BUF_INIT(sizeof out);
    pol_template(&b, sql, "_gh");
    snprintf(out, sizeof out, "%.*s", (int)buf_used(&b), (const char *)buf_at(&b));
    buf_free(&b);
    return out;
}

START_TEST(fills_claims_in) {
    static const struct {
        const char *name, *value, *want;
    } claims[] = {
        {"region", "eu", "(_gh.\"region\" OPERATOR(pg_catalog.=) 'eu')"},
        {"region", "o'x' OR 'a'='a", "(_gh.\"region\" OPERATOR(pg_catalog.=) 'o''x'' OR ''a''=''a')"},
        {"region", "a\\", "(_gh.\"region\" OPERATOR(pg_catalog.=) 'a\\')"},
        {"region", "a\nb", "(false)"},
        {"region", "\x01", "(false)"},
        {"regio", "eu", "(false)"},
        {"region2", "eu", "(false)"},
    };
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        struct pol_claim c = {claims[i].name, claims[i].value};
        struct made m = role(shop, "analysts", &c, 1);
        const struct pol_view *v = view(&m, "public", "customers");
        ck_assert_ptr_nonnull(v->filter);
        const char *got = text_of(v->filter);
        size_t n = strlen(claims[i].want);
        ck_assert_msg(strstr(got, claims[i].want) != NULL && strlen(got) <= n + 2, "%s: %s", claims[i].value, got);
        unmake(&m);
    }
    struct made m = role(shop, "analysts,writers", NULL, 0);
    ck_assert_str_eq(text_of(view(&m, "public", "customers")->filter), "(false) AND ((_gh.\"region\" OPERATOR(pg_catalog.=) 'eu'))");
    unmake(&m);
}
END_TEST

START_TEST(two_masks_leave_nothing) {
    struct made m =
        role(HEAD "rules:\n" RULE("a", "a") "    on: public.customers\n    columns: { email: { mask: email }, \"*\": visible }\n" RULE(
                 "b", "a") "    on: public.*\n    columns: { email: { mask: { last: 4 } }, \"*\": visible }\n",
             "a", NULL, 0);
    const struct pol_view *v = view(&m, "public", "customers");
    ck_assert(v->columns[2].null && v->columns[2].visibility == POL_MASKED);
    ck_assert_str_eq(text_of(v->columns[2].sql), "CAST(NULL AS pg_catalog.text)");
    unmake(&m);
}
END_TEST

static const struct {
    const char *columns, *column, *want; /* "!": a part of the problem */
} masks[] = {
    {"{ v: { mask: null }, '*': visible }", "v", "CAST(NULL AS character varying(20))"},
    {"{ c: { mask: null }, '*': visible }", "c", "CAST(NULL AS character(8))"},
    {"{ a: { mask: null }, '*': visible }", "a", "CAST(NULL AS pg_catalog.text[])"},
    {"{ ia: { mask: null }, '*': visible }", "ia", "CAST(NULL AS integer[])"},
    {"{ j: { mask: null }, '*': visible }", "j", "CAST(NULL AS pg_catalog.jsonb)"},
    {"{ m: hidden, '*': visible }", "m", "CAST(NULL AS public.mood)"},
    {"{ d: hidden, '*': visible }", "d", "CAST(NULL AS \"pg_catalog\".\"varchar\")"}, /* a domain's CHECK or NOT NULL would be met */
    {"{ f: hidden, '*': visible }", "f", "CAST(NULL AS double precision)"},
    {"{ 't': { mask: { truncate: hour } }, '*': visible }", "t", "date_trunc('hour', _gh.\"t\")"},
    {"{ id: { mask: { round: 10 } }, '*': visible }", "id", "OPERATOR(pg_catalog.%) 10::pg_catalog.int8"},
    {"{ v: { mask: { partial: { first: 1, last: 1, fill: \"'\" } } }, '*': visible }", "v", "repeat('''', "},
    {"{ u: { mask: { constant: 00000000-0000-0000-0000-000000000000 } }, '*': visible }", "u",
     "CAST('00000000-0000-0000-0000-000000000000' AS pg_catalog.uuid)"},
    {"{ b: { mask: { constant: 'false' } }, '*': visible }", "b", "CAST('false' AS boolean)"},
    {"{ v: { mask: { expression: 'upper(value)' } }, '*': visible }", "v",
     "CAST((pg_catalog.\"upper\"(_gh.\"v\")) AS character varying(20))"},
    {"{ '\"Odd \"\"Name\"': { mask: email }, '*': visible }", "Odd \"Name", "_gh.\"Odd \"\"Name\""},
    {"{ v: { mask: { hash: k_1 } }, '*': visible }", "v",
     "CAST(gatehouse.mask_hash(CAST(_gh.\"v\" AS pg_catalog.text), 'k_1') AS character varying(20))"},
    {"{ u: { mask: { hash: k } }, '*': visible }", "u",
     "CAST(pg_catalog.\"left\"(gatehouse.mask_hash(CAST(_gh.\"u\" AS pg_catalog.text), 'k'), 32) AS pg_catalog.uuid)"},
    {"{ id: { mask: { hash: k } }, '*': visible }", "id", "AS pg_catalog.\"bit\"(60)) AS bigint)"},
    {"{ '\"Odd \"\"Name\"': { mask: { hash: k } }, '*': visible }", "Odd \"Name", "(gatehouse.mask_hash(_gh.\"Odd \"\"Name\", 'k'))"},
    {"{ j: { mask: { hash: k } }, '*': visible }", "j", "!hash is for text, uuid, integer and bigint"},
    {"{ 't': { mask: { hash: k } }, '*': visible }", "t", "!hash is for"},
    {"{ f: { mask: { hash: k } }, '*': visible }", "f", "!hash is for"},
    {"{ id: { mask: email }, '*': visible }", "id", "!is for text"},
    {"{ v: { mask: { truncate: year } }, '*': visible }", "v", "!truncate is for date"},
    {"{ v: { mask: { round: 10 } }, '*': visible }", "v", "!round is for numbers"},
    {"{ m: { mask: { last: 4 } }, '*': visible }", "m", "!is for text"},
    {"{ id: { mask: { constant: x } }, '*': visible }", "id", "!none of type bigint"},
    {"{ j: { mask: { constant: '{}' } }, '*': visible }", "j", "!use the mask null"},
    {"{ u: { mask: { constant: x } }, '*': visible }", "u", "!none of type uuid"},
    {"{ 't': { mask: { constant: '01/02/2026' } }, '*': visible }", "t", "!none of type timestamp"},
    {"{ 't': { mask: { expression: 'left(value::text, 4)' } }, '*': visible }", "t", "!settings"},
    {"{ f: { mask: { expression: 'value::text' } }, '*': visible }", "f", "!settings"},
    {"{ id: { mask: { expression: 'left(value::text, 1)' } }, '*': visible }", "id", "!makes text"},
    {"{ idd: hidden, '*': visible }", "id", "!names the column \"idd\", which does not exist"},
    {"{ '*': { mask: email } }", "id", "!is for text"},
};

START_TEST(fits_the_type) {
    char text[1000];
    snprintf(text, sizeof text, HEAD "rules:\n" RULE("r", "a") "    on: public.mixed\n    columns: %s\n", masks[_i].columns);
    struct made m = role(text, "a", NULL, 0);
    const struct pol_view *v = view(&m, "public", "mixed");
    if (masks[_i].want[0] == '!') {
        ck_assert_msg(v->problem != NULL && strstr(v->problem, masks[_i].want + 1) != NULL, "%s: %s", masks[_i].columns, v->problem);
    } else {
        ck_assert_msg(v->problem == NULL, "%s", v->problem);
        const struct pol_cat_column *col = pol_cat_column(v->relation, masks[_i].column);
        const char *sql = text_of(v->columns[col - v->relation->columns].sql);
        ck_assert_msg(strstr(sql, masks[_i].want) != NULL, "%s", sql);
    }
    unmake(&m);
}
END_TEST

static const struct {
    const char *rows, *relation, *want;
} filters[] = {
    {"placed_at > '2026-01-01'", "orders", "time zone"},
    {"placed_at > '2026-01-01 00:00:00+00'", "orders", NULL},
    {"placed_at > '1 Jan 2026 00:00:00+00'", "orders", "ISO"},
    {"placed_at::date = '2026-01-01'", "orders", "takes apart"},
    {"placed_at::text LIKE '2026%'", "orders", "makes text"},
    {"birth_date > '2000-01-01'", "customers", NULL},
    {"birth_date > ${claim:x}", "customers", "not known yet"},
    {"date_trunc('year', birth_date) = birth_date", "customers", "timestamptz"},
    {"nope = 1", "customers", "does not have"},
};

START_TEST(filters_do_not_depend_on_settings) {
    char text[1000];
    snprintf(text, sizeof text, HEAD "rules:\n" RULE("r", "a") "    on: public.%s\n    rows: \"%s\"\n", filters[_i].relation,
             filters[_i].rows);
    struct made m = role(text, "a", NULL, 0);
    const struct pol_view *v = view(&m, "public", filters[_i].relation);
    ck_assert((v->problem == NULL) == (filters[_i].want == NULL));
    if (filters[_i].want != NULL) ck_assert_msg(strstr(v->problem, filters[_i].want) != NULL, "%s", v->problem);
    unmake(&m);
}
END_TEST

/* --- verdicts --- */

static const struct {
    const char *groups, *sql, *want; /* "rewrite", "allow", or SQLSTATE and a part of the message */
} verdicts[] = {
    {"agents", "SELECT * FROM customers", "rewrite"},
    {"agents", "SELECT * FROM public.customers c, customers", "rewrite"},
    {"readers", "SELECT * FROM customers", "allow"},
    {"agents,readers", "SELECT * FROM orders", "allow"},
    {"agents,dbas", "SELECT 1", "allow"},
    {"parts,readers", "SELECT * FROM archive.parts_eu", "rewrite"},
    {"agents,readers", "SELECT * FROM made_just_now", "42P01 made_just_now"},
    {"agents,dbas", "SELECT * FROM pg_temp.mine", "allow"},
    {"agents,dbas", "SELECT relname FROM pg_class", "allow"},
    /* around it: each needs more than the rewriter bounds */
    {"agents,dbas", "ALTER TABLE customers ALTER name TYPE text USING card_number", "42501 alter on public.customers"},
    {"agents,dbas", "CREATE INDEX ON customers ((1/(id - 5)))", "42501 create"},
    {"agents,dbas", "ALTER TABLE customers RENAME TO c2", "42501 alter"},
    {"agents,dbas", "ALTER TABLE orders RENAME TO customers", "42501 customers"},
    {"agents,dbas", "GRANT SELECT ON customers TO bob", "42501 grant on"},
    {"agents,dbas", "CREATE TEMP TABLE customers (a int)", "42501 may not be called customers"},
    {"agents,dbas", "CREATE TABLE x (a int REFERENCES customers)", "42501 alter on public.customers"},
    {"agents,dbas", "CREATE TABLE x () INHERITS (customers)", "42501 alter on public.customers"},
    {"agents,dbas", "DO $$ BEGIN END $$", "42501 cannot be seen"},
    {"agents,dbas", "SELECT query_to_xml('SELECT 1', true, true, '')", "42501 query_to_xml"},
    {"agents,dbas", "COPY orders FROM PROGRAM 'cat /var/lib/postgresql/15/main/base/1/2'", "42501 file or program"},
    {"agents,dbas", "COPY orders TO '/tmp/x'", "42501 file or program"},
    {"agents,dbas", "SELECT * FROM pg_stats", "42501 pg_stats"},
    {"agents,dbas", "SET search_path = other", "42501 search_path"},
    {"agents,dbas", "TRUNCATE customers", "allow"},
    {"writers,dbas", "TRUNCATE customers", "42501 truncate"},
    {"agents,dbas", "DROP TABLE customers", "allow"},
    {"writers,dbas", "DROP TABLE customers", "42501 drop"},
    {"agents,dbas", "VACUUM VERBOSE customers", "allow"},
    {"writers,dbas", "VACUUM VERBOSE customers", "42501 maintain"},
    {"agents,dbas", "INSERT INTO customers (id) VALUES (1)", "rewrite"},
};

static void judge(const struct made *m, const char *sql, struct pol_verdict *v) {
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), NULL, &err);
    ck_assert_msg(f != NULL, "%s: %s", sql, err.text);
    pol_judge(m->r, f, v);
    pol_facts_free(f);
}

static void expect(const struct pol_verdict *v, const char *sql, const char *want) {
    char got[700];
    snprintf(got, sizeof got, "%s", v->effect != POL_ALLOW ? v->sqlstate : v->rewrite ? "rewrite" : "allow");
    ck_assert_msg(strncmp(got, want, strlen(got)) == 0, "%s: %s %s", sql, got, v->message);
    if (v->effect != POL_ALLOW) ck_assert_msg(strstr(v->message, want + 6) != NULL, "%s: %s", sql, v->message);
}

START_TEST(judges) {
    struct made m = role(shop, verdicts[_i].groups, NULL, 0);
    struct pol_verdict v;
    judge(&m, verdicts[_i].sql, &v);
    expect(&v, verdicts[_i].sql, verdicts[_i].want);
    unmake(&m);
}
END_TEST

/* Who does not promise to rewrite, or has no catalog, gets nothing of what is restricted. */
START_TEST(fails_closed) {
    struct made m = role(shop, "agents,readers", NULL, 0);
    struct pol_verdict v;
    pol_role_use_catalog(m.r, m.c, false);
    judge(&m, "SELECT id FROM customers", &v);
    expect(&v, "", "42501 taken out");
    judge(&m, "SELECT id FROM orders", &v);
    expect(&v, "", "allow");
    pol_catalog_unref(m.c);
    pol_role_free(m.r);

    struct pol_error e;
    struct pol_policy *p = load(shop, &e);
    const char *groups[] = {"agents", "readers"};
    static const char *const path[] = {"public"};
    struct pol_role *r = pol_role_new(p, &(struct pol_subject){.groups = groups, .ngroups = 2}, "shop",
                                      &(struct pol_pins){.search_path = path, .nsearch_path = 1});
    pol_policy_unref(p);
    m.r = r;
    judge(&m, "SELECT id FROM orders", &v); /* may be a partition of something */
    expect(&v, "", "57P03 catalog");
    ck_assert_ptr_nonnull(strstr(v.hint, "Try again in a moment"));
    pol_role_offline(r); /* a tool: there is nobody to wait for */
    judge(&m, "SELECT id FROM orders", &v);
    expect(&v, "", "57P03 without a catalog it cannot be said");
    ck_assert_ptr_nonnull(strstr(v.hint, "gatehousectl catalog --config FILE --database NAME >FILE"));
    judge(&m, "SELECT 1 FROM pg_class", &v);
    expect(&v, "", "allow");
    ck_assert(!pol_role_everything(r) && pol_role_restricts(r));
    pol_role_free(r);
}
END_TEST

static const char asks[] =
    HEAD "rules:\n"
         "  - name: careful\n    groups: a\n    database: shop\n    allow: [select, update, delete]\n    on: public.orders\n"
         "    require: [where, limit]\n    limits: { rows: 100, time: 5s }\n"
         "  - name: more\n    groups: a\n    database: shop\n    allow: select\n    on: public.*\n"
         "    limits: { rows: 1000, bytes: 1MiB }\n"
         "  - name: quiet\n    groups: b\n    database: shop\n    allow: [all]\n    on: \"*.*\"\n    read_only: true\n";

static const struct {
    const char *group, *sql, *want;
} asked[] = {
    {"a", "UPDATE orders SET status = 'x' WHERE id = 1", "allow"},
    {"a", "UPDATE orders SET status = 'x'", "42501 only with a WHERE"},
    {"a", "UPDATE orders SET status = 'x' WHERE true", "42501 only with a WHERE that names a column"},
    {"a", "UPDATE orders SET status = 'x' WHERE 1 = (SELECT 1)", "42501 only with a WHERE that names a column"},
    {"a", "DELETE FROM orders", "42501 only with a WHERE"},
    {"a", "WITH x AS (DELETE FROM orders RETURNING id) SELECT 1 FROM x LIMIT 1", "42501 only with a WHERE"},
    {"a", "EXPLAIN ANALYZE DELETE FROM orders", "42501 only with a WHERE"},
    {"a", "SELECT * FROM orders", "42501 LIMIT"},
    {"a", "SELECT * FROM orders LIMIT ALL", "42501 LIMIT"},
    {"a", "SELECT * FROM orders LIMIT NULL", "42501 LIMIT"},
    {"a", "SELECT * FROM orders LIMIT nullif(1, 1)", "42501 LIMIT"},
    {"a", "SELECT * FROM (SELECT * FROM orders LIMIT 1) x, orders", "42501 LIMIT"},
    {"a", "SELECT * FROM orders LIMIT 10", "allow"},
    {"a", "SELECT * FROM orders FETCH FIRST 3 ROWS ONLY", "allow"},
    {"a", "SELECT * FROM orders LIMIT $1", "allow"},
    {"a", "PREPARE p AS SELECT * FROM orders", "42501 LIMIT"},
    {"a", "PREPARE p AS SELECT * FROM orders LIMIT 10", "allow"},
    {"a", "EXECUTE p", "allow"},
    {"a", "DECLARE c CURSOR FOR SELECT * FROM orders", "42501 LIMIT"},
    {"a", "DECLARE c CURSOR FOR SELECT * FROM orders LIMIT $1", "allow"},
    {"a", "COPY orders TO STDOUT", "42501 LIMIT"},
    {"a", "COPY (SELECT * FROM orders) TO STDOUT", "42501 LIMIT"},
    {"a", "COPY (TABLE orders) TO STDOUT", "42501 LIMIT"},
    {"a", "COPY (SELECT * FROM orders LIMIT 3) TO STDOUT", "allow"},
    {"a", "SELECT * FROM customers", "allow"},
    {"b", "SELECT * FROM customers", "allow"},
    {"b", "UPDATE orders SET status = 'x' WHERE id = 1", "25006 only read"},
    {"b", "SELECT * FROM orders FOR UPDATE", "25006 only read"},
    {"b", "CREATE TABLE x (a int)", "25006 only read"},
    {"b", "SELECT nextval('s')", "25006 only read"},
    {"b", "BEGIN READ WRITE", "25006 only read"},
    {"b", "SET transaction_read_only = off", "25006 only read"},
    {"b", "SET default_transaction_read_only = on", "allow"},
    {"b", "BEGIN READ ONLY", "allow"},
    {"b", "RESET ALL", "allow"},
};

START_TEST(asks_for_more) {
    struct made m = role(asks, asked[_i].group, NULL, 0);
    struct pol_verdict v;
    judge(&m, asked[_i].sql, &v);
    expect(&v, asked[_i].sql, asked[_i].want);
    if (v.effect == POL_ALLOW && strstr(asked[_i].sql, "SELECT * FROM orders") != NULL) {
        ck_assert_uint_eq(v.limits.rows, 100);
        ck_assert_uint_eq(v.limits.bytes, 1u << 20);
        ck_assert_uint_eq(v.limits.ms, 5000);
    }
    ck_assert(pol_role_read_only(m.r) == (asked[_i].group[0] == 'b'));
    unmake(&m);
}
END_TEST

/* --- what the record gets --- */

static const char recorded[] =
    HEAD "rules:\n"
         "  - name: plain\n    groups: a\n    database: shop\n    allow: select\n    on: public.*\n"
         "  - name: quiet\n    groups: a\n    database: shop\n    allow: select\n    on: public.staff\n    record: statements\n"
         "  - name: kept\n    groups: a\n    database: shop\n    allow: select\n    on: public.orders\n    record: results\n"
         "  - name: less\n    groups: a\n    database: shop\n    allow: update\n    on: public.orders\n    record: statements\n"
         "  - name: others\n    groups: b\n    database: shop\n    allow: select\n    on: public.*\n    record: results\n";

static const struct {
    const char *group, *sql;
    enum pol_record want;
} record_wants[] = {
    {"a", "SELECT * FROM customers", POL_RECORD_DEFAULT},
    {"a", "SELECT 1", POL_RECORD_DEFAULT},
    {"a", "SELECT * FROM staff", POL_RECORD_STATEMENTS},
    {"a", "SELECT * FROM orders", POL_RECORD_RESULTS},
    {"a", "SELECT * FROM public.orders", POL_RECORD_RESULTS},
    {"a", "SELECT (SELECT count(*) FROM orders) FROM customers", POL_RECORD_RESULTS},
    {"a", "SELECT 1; SELECT * FROM staff", POL_RECORD_STATEMENTS},
    {"a", "SELECT * FROM staff, orders", POL_RECORD_RESULTS}, /* the strictest */
    {"a", "UPDATE orders SET status = 'x' WHERE id = 1 RETURNING *", POL_RECORD_RESULTS},
    {"b", "SELECT * FROM staff", POL_RECORD_RESULTS}, /* another one's rules are nothing to it */
};

START_TEST(says_what_is_recorded) {
    struct made m = role(recorded, record_wants[_i].group, NULL, 0);
    struct pol_verdict v;
    judge(&m, record_wants[_i].sql, &v);
    expect(&v, record_wants[_i].sql, "allow");
    ck_assert_msg(v.limits.record == record_wants[_i].want, "%s: %d", record_wants[_i].sql, (int)v.limits.record);
    unmake(&m);
}
END_TEST

/* --- what a session may ask --- */

static bool put_grant(void *arg, const struct pol_grant *g) {
    char *out = arg;
    snprintf(out + strlen(out), 4000 - strlen(out), "%s.%s.%s %s %s %s%s%s %s\n", g->schema, g->relation, g->column, g->actions, g->shown,
             g->rows, g->write[0] != '\0' ? " write " : "", g->write, g->rule);
    return true;
}

START_TEST(lists_grants) {
    char out[4000] = "";
    struct pol_claim region = {"region", "eu"};
    struct made m = role(shop, "analysts", &region, 1);
    ck_assert(pol_role_grants(m.r, put_grant, out));
    ck_assert_str_eq(
        out, "public.customers.id select visible filtered analysts\npublic.customers.name select visible filtered analysts\n"
             "public.customers.email select visible filtered analysts\npublic.customers.phone select hidden filtered analysts\n"
             "public.customers.card_number select hidden filtered analysts\npublic.customers.birth_date select hidden filtered analysts\n"
             "public.customers.region select visible filtered analysts\n");
    unmake(&m);
    out[0] = '\0';
    m = role(HEAD
             "rules:\n  - { name: a, groups: a, database: shop, allow: [select, update], on: [public.orders, public.staff, "
             "pg_catalog.pg_class] }\n"
             "  - { name: b, groups: a, database: shop, deny: all, on: public.staff, reason: no }\n"
             "  - { name: c, groups: a, database: shop, allow: select, on: public.customers, columns: { nope: hidden, '*': visible } }\n",
             "a", NULL, 0);
    ck_assert(pol_role_grants(m.r, put_grant, out));
    ck_assert_str_eq(out, "public.customers.* select unusable all c\npublic.orders.* select, update visible all write yes \n");
    unmake(&m);
}
END_TEST

struct counted {
    size_t rows;
    char last[100];
};

static bool count_grant(void *arg, const struct pol_grant *g) {
    struct counted *c = arg;
    c->rows++;
    snprintf(c->last, sizeof c->last, "%s %s", g->relation, g->shown);
    return true;
}

/* What is left out is not passed over. */
START_TEST(lists_some_grants) {
    for (size_t n = POL_GRANTS_MAX; n <= POL_GRANTS_MAX + 1; n++) {
        size_t size = (n + 2) * 200, len = 0;
        char *text = malloc(size), why[400];
        ck_assert_ptr_nonnull(text);
        len += (size_t)snprintf(text, size, "{\"gatehouse_catalog\":1,\"server\":150018,\"database\":\"shop\"}\n");
        for (size_t i = 1; i <= n; i++)
            len += (size_t)snprintf(
                text + len, size - len,
                "{\"relation\":%zu,\"schema\":\"public\",\"name\":\"t%05zu\",\"kind\":\"r\",\"columns\":[],\"key\":[],\"parents\":[],"
                "\"definition\":null,\"reads\":[],\"row_security\":false,\"security_barrier\":false}\n",
                i, i);
        len += (size_t)snprintf(text + len, size - len, "{\"end\":%zu}\n", n);
        struct pol_catalog *cat = pol_catalog_parse(text, len, why, sizeof why);
        ck_assert_msg(cat != NULL, "%s", why);
        struct pol_error e;
        struct pol_policy *p = load(HEAD "rules:\n  - { name: a, groups: a, database: shop, allow: select, on: public.* }\n", &e);
        const char *const groups[] = {"a"};
        struct pol_role *r =
            pol_role_new(p, &(struct pol_subject){.principal = "x", .groups = groups, .ngroups = 1}, "shop", &(struct pol_pins){0});
        pol_role_use_catalog(r, cat, true);
        struct counted c = {0};
        ck_assert(pol_role_grants(r, count_grant, &c));
        ck_assert_uint_eq(c.rows, n);
        ck_assert_str_eq(c.last, n > POL_GRANTS_MAX ? " there is more, which is left out" : "t10000 visible");
        pol_role_free(r);
        pol_policy_unref(p);
        pol_catalog_unref(cat);
        free(text);
    }
}
END_TEST

/* --- mistakes --- */

static const struct {
    const char *rule, *where, *want; /* the rule's last lines; LINE:COLUMN: KEY; a part of the sentence */
} mistakes[] = {
    {"    columns: { a: visable }\n", "10:19: rules[0].columns.a", "did you mean \"visible\"?"},
    {"    columns: {}\n", "10:14: rules[0].columns", "is empty"},
    {"    columns: a\n", "10:14: rules[0].columns", "a list of visible columns"},
    {"    columns: { a: { msk: null } }\n", "10:21: rules[0].columns.a.msk", "did you mean \"mask\"?"},
    {"    columns: { a: { mask: emial } }\n", "10:27: rules[0].columns.a.mask", "did you mean \"email\"?"},
    {"    columns: { a: { mask: { last: 0 } } }\n", "10:35: rules[0].columns.a.mask.last", "out of range"},
    {"    columns: { a: { mask: { last: 4, first: 1 } } }\n", "10:27: rules[0].columns.a.mask", "one kind of mask"},
    {"    columns: { a: { mask: { hash: Key } } }\n", "rules[0].columns.a.mask.hash", "no key's name"},
    {"    columns: { a: { mask: { truncate: years } } }\n", "10:39: rules[0].columns.a.mask.truncate", "did you mean \"year\"?"},
    {"    columns: { a: { mask: { partial: {} } } }\n", "rules[0].columns.a.mask.partial", "leaves nothing"},
    {"    columns: { a: { mask: { partial: { first: 1, fill: '**' } } } }\n", "fill", "one character"},
    {"    columns: { a: { mask: { expression: 'b || 1' } } }\n", "10:41: rules[0].columns.a.mask.expression", "own column"},
    {"    columns: { a: { mask: { expression: 'value +' } } }\n", "10:41", "syntax error"},
    {"    columns: { A: visible }\n", "10:16", "capital letters"},
    {"    columns: { a.b: visible }\n", "10:16", "no column's name"},
    {"    columns: { 'tag:pii': hidden }\n", "10:16", "not listed under tags"},
    {"    columns: [a, a]\n", "10:18: rules[0].columns[1]", "named twice"},
    {"    columns: { a: hidden, '\"a\"': visible }\n", "10:27", "named twice"},
    {"    rows: \"true; SELECT 1\"\n", "10:11: rules[0].rows", "syntax error"},
    {"    rows: \"id IN (SELECT id FROM x)\"\n", "10:11: rules[0].rows", "make a view that has the column"},
    {"    columns: { a: { mask: last } }\n", "10:27: rules[0].columns.a.mask", "possible: null, email, { first: n }, { last: n }"},
    {"    columns: { a: masked }\n", "10:19: rules[0].columns.a", "possible: visible, hidden, { mask: ... }"},
    {"    rows: \"owner = ${calim:x}\"\n", "10:11: rules[0].rows", "${claim:name}"},
    {"    write: [a]\n", "10:12: rules[0].write", "allows neither"},
    {"    limits: { rows: 0 }\n", "10:21: rules[0].limits.rows", "out of range"},
    {"    limits: { rwos: 1 }\n", "10:15: rules[0].limits.rwos", "did you mean \"rows\"?"},
    {"    limits: {}\n", "10:13", "is empty"},
    {"    require: [where]\n", "10:15", "can require a WHERE"},
    {"    require: [limits]\n", "10:15", "not known"},
    {"    record: result\n", "10:13: rules[0].record", "results"},
    {"    record: [results]\n", "10:13: rules[0].record", ""},
    {"    read_only: 'true'\n", "10:16: rules[0].read_only", "without quotes"},
};

START_TEST(finds_mistakes) {
    char text[1000], got[1000];
    struct pol_error e;
    snprintf(text, sizeof text, HEAD "tags: { lab: { pii: [public.a.b] } }\nrules:\n%s    on: public.t\n%s", RULE("r", "g"),
             mistakes[_i].rule);
    struct pol_policy *p = load(text, &e);
    ck_assert_msg(p == NULL, "%s", mistakes[_i].rule);
    pol_error_format(&e, got, sizeof got);
    ck_assert_msg(strstr(got, mistakes[_i].where) != NULL && strstr(got, mistakes[_i].want) != NULL, "%s: %s", mistakes[_i].rule, got);
}
END_TEST

START_TEST(finds_other_mistakes) {
    static const struct {
        const char *text, *want;
    } all[] = {
        {HEAD "tags: [a]\nrules: []\n", "3:7: tags: expected a map"},
        {HEAD "tags: { nope: {} }\nrules: []\n", "3:9: tags.nope: database \"nope\""},
        {HEAD "tags: { shop: { a: [] } }\nrules: []\n", "on no column"},
        {HEAD "tags: { shop: { a: [public.t] } }\nrules: []\n", "expected schema.relation.column"},
        {HEAD "tags: { shop: { a: t.c } }\nrules: []\n", "expected schema.relation.column"},
        {HEAD "tags: { shop: { a: public.t.C } }\nrules: []\n", "capital letters"},
        {HEAD "rules: [{name: r, groups: g, database: shop, deny: select, on: public.t, reason: x, columns: [a]}]\n", "a deny rule"},
        {HEAD "rules: [{name: r, groups: g, database: shop, deny: select, on: public.t, reason: x, record: results}]\n",
         "what a rule denies has no result"},
        {HEAD "rules: [{name: r, groups: g, database: shop, allow: drop, on: public.t, columns: [a]}]\n", "of which the rule allows none"},
        {HEAD "rules: [{name: r, groups: g, database: shop, allow: all, on: '*.*', unpin: true, rows: 'true'}]\n", "cannot unpin"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct pol_error e;
        char got[1000];
        ck_assert_msg(load(all[i].text, &e) == NULL, "%s", all[i].text);
        pol_error_format(&e, got, sizeof got);
        ck_assert_msg(strstr(got, all[i].want) != NULL, "%s", got);
    }
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

int main(void) {
    Suite *s = suite_create("obligations");
    TCase *t = tcase_create("obligations");
    LOOP(adds_up, views);
    tcase_add_test(t, fills_claims_in);
    tcase_add_test(t, two_masks_leave_nothing);
    LOOP(fits_the_type, masks);
    LOOP(filters_do_not_depend_on_settings, filters);
    LOOP(judges, verdicts);
    tcase_add_test(t, fails_closed);
    LOOP(asks_for_more, asked);
    LOOP(says_what_is_recorded, record_wants);
    LOOP(finds_mistakes, mistakes);
    tcase_add_test(t, finds_other_mistakes);
    tcase_add_test(t, lists_grants);
    tcase_add_test(t, lists_some_grants);
    suite_add_tcase(s, t);
    return run_suite(s);
}
