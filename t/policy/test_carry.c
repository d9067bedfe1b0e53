/* What a statement makes and what lasts: views, defaults, other names. */
#include "policy/facts_my.h"
#include "policy/policy.h"
#include "t/lib/guard.h"

#include <string.h>

static const char text[] =
    "version: 1\n"
    "databases: { shop: { mode: enforce } }\n"
    "rules:\n"
    "  - { name: own, groups: [reader, writer, asked, timed, limited, wheres, recorded, denied, ddl], database: shop,\n"
    "      allow: [read, write, ddl, temp], on: scratch.* }\n"
    "  - { name: reads, groups: reader, database: shop, allow: select, on: public.*, functions: [public.f] }\n"
    "  - { name: writes, groups: [writer, asked, limited, wheres, recorded, denied], database: shop, allow: [read, write], on: public.* }\n"
    "  - { name: asks, groups: asked, database: shop, ask: delete, on: public.orders, approvers: dba, functions: [public.g] }\n"
    "  - { name: now, groups: timed, database: shop, allow: [read, write, ddl], on: public.*, functions: [public.f],\n"
    "      times: { zone: UTC } }\n"
    "  - { name: limits, groups: limited, database: shop, allow: select, on: public.orders, limits: { rows: 10 } }\n"
    "  - { name: wheres, groups: wheres, database: shop, allow: update, on: public.orders, require: where }\n"
    "  - { name: records, groups: recorded, database: shop, allow: select, on: public.orders, record: results }\n"
    "  - { name: never, groups: denied, database: shop, deny: delete, on: public.orders, reason: No. }\n"
    "  - { name: alters, groups: [ddl, moves], database: shop, allow: [ddl], on: public.* }\n"
    "  - { name: moves, groups: moves, database: shop, allow: [read, write, truncate, ddl], on: [public.*, scratch.*] }\n"
    "  - { name: dba, groups: [dba, careful, dba-asked], database: shop, allow: all, on: '*.*' }\n"
    "  - { name: but, groups: careful, database: shop, deny: all, on: public.staff, reason: No. }\n"
    "  - { name: four-eyes, groups: dba-asked, database: shop, ask: [delete, drop], on: public.orders, approvers: dba }\n"
    "  - { name: mine, groups: [mine], database: shop, allow: [ddl, select], on: mine.* }\n";

static void judge(const char *who, const char *sql, bool my, struct pol_verdict *v) {
    static const char *const path[] = {"public"};
    struct pol_error e;
    struct pol_policy *p = pol_policy_load_text("x.yaml", text, strlen(text), &e);
    char why[1024] = "";
    if (p == NULL) pol_error_format(&e, why, sizeof why);
    ck_assert_msg(p != NULL, "%s", why);
    struct pol_subject s = {.principal = "x", .groups = &who, .ngroups = 1};
    struct pol_pins pins = {.search_path = path, .nsearch_path = 1, .mysql = my};
    struct pol_role *r = pol_role_new(p, &s, "shop", &pins);
    ck_assert_ptr_nonnull(r);
    pol_role_at(r, 1000000);
    struct pol_parse_error err;
    struct my_options o = {.server = MY_MARIADB, .default_db = "public"};
    struct pol_facts *f = my ? pol_facts_my(sql, strlen(sql), &o, &err) : pol_facts_pg(sql, strlen(sql), NULL, &err);
    if (f != NULL)
        pol_judge(r, f, v);
    else
        pol_refuse_parse(&err, v);
    v->rule = "";
    pol_facts_free(f);
    pol_role_free(r);
    pol_policy_unref(p);
}

static const struct {
    const char *who, *sql, *want; /* "" allowed, "?" asks, else a part of message or detail */
} cases[] = {
    /* a view that the server lets be written through gives what was not granted */
    {"reader", "CREATE TEMP VIEW v AS SELECT * FROM public.orders", "no rule allows you insert, update, delete so"},
    {"reader", "CREATE VIEW scratch.v AS SELECT * FROM public.orders", "no rule allows you insert, update, delete so"},
    {"reader", "CREATE OR REPLACE VIEW scratch.v AS SELECT 1 FROM scratch.t, orders", "on public.orders"},
    {"reader", "CREATE RECURSIVE VIEW scratch.v (a) AS SELECT id FROM orders", "on public.orders"},
    {"reader", "CREATE VIEW scratch.v AS WITH a AS (SELECT (SELECT max(id) FROM orders)) SELECT * FROM a", "on public.orders"},
    {"reader", "CREATE VIEW scratch.v AS SELECT relname FROM pg_class", "on pg_catalog.pg_class"},
    {"reader", "CREATE VIEW scratch.v AS SELECT * FROM scratch.t", ""},
    {"reader", "CREATE TEMP VIEW v AS SELECT * FROM pg_temp.t, scratch.t", ""},
    {"reader", "CREATE VIEW scratch.v AS SELECT public.f(a) FROM scratch.t", ""},
    {"reader", "CREATE MATERIALIZED VIEW scratch.m AS SELECT * FROM public.orders", ""},
    {"reader", "CREATE MATERIALIZED VIEW scratch.m AS SELECT relname FROM pg_class", ""},
    {"reader", "CREATE TABLE scratch.c AS SELECT * FROM public.orders", ""},
    {"reader", "SELECT * INTO TEMP c FROM public.orders", ""},
    {"mine", "CREATE VIEW mine.v AS SELECT * FROM mine.t", "no rule allows you insert, update, delete so"},
    {"writer", "CREATE VIEW scratch.v AS SELECT * FROM public.orders", ""},
    {"writer", "CREATE TEMP VIEW v AS SELECT * FROM public.orders", ""},
    /* terms that would be lost */
    {"asked", "CREATE VIEW scratch.v AS SELECT * FROM public.orders", "\"asks\" (ask)"},
    {"asked", "CREATE VIEW scratch.v AS SELECT * FROM public.other", ""},
    {"asked", "CREATE VIEW scratch.v AS SELECT public.g()", "would call it at any time"},
    {"asked", "CREATE TABLE scratch.t (a int DEFAULT public.g())", "would call it at any time"},
    {"asked", "CREATE INDEX ON scratch.t (public.g(a))", "would call it at any time"},
    {"asked", "CREATE TABLE scratch.t AS SELECT public.g()", "?"},
    {"asked", "CREATE MATERIALIZED VIEW scratch.m AS SELECT * FROM public.orders", ""},
    {"timed", "SELECT * FROM public.orders", ""},
    {"timed", "CREATE VIEW scratch.v AS SELECT * FROM public.orders", "no rule allows you select, insert, update, delete so"},
    {"timed", "CREATE MATERIALIZED VIEW scratch.m AS SELECT * FROM public.orders", "no rule allows you select so"},
    {"timed", "ALTER TABLE scratch.t ADD b int DEFAULT public.f()", "would call it at any time"},
    {"timed", "ALTER TABLE scratch.t ADD b int DEFAULT nextval('public.s')", "no rule allows you update so"},
    {"timed", "CREATE TABLE scratch.t (a int DEFAULT nextval('scratch.s'))", ""},
    {"limited", "CREATE VIEW scratch.v AS SELECT * FROM public.orders", "\"limits\" (limits, require"},
    {"limited", "CREATE MATERIALIZED VIEW scratch.v AS SELECT * FROM public.orders", "\"limits\" (limits, require"},
    {"wheres", "CREATE VIEW scratch.v AS SELECT * FROM public.orders", "\"wheres\" (limits, require"},
    {"recorded", "CREATE TEMP VIEW v AS SELECT * FROM public.orders", "\"records\" (limits, require"},
    {"denied", "CREATE TEMP VIEW v AS SELECT * FROM public.orders", "\"never\" (deny)"},
    {"denied", "CREATE MATERIALIZED VIEW scratch.v AS SELECT * FROM public.orders", ""},
    /* who may do everything */
    {"dba", "CREATE VIEW v AS SELECT * FROM orders, pg_settings, pg_class", ""},
    {"careful", "CREATE VIEW v AS SELECT * FROM orders", ""},
    {"careful", "CREATE VIEW v AS SELECT * FROM staff", "denied by the policy"},
    {"dba-asked", "CREATE VIEW v AS SELECT * FROM orders", "?"},
    {"dba-asked", "CREATE VIEW v AS SELECT * FROM customers", ""},
    {"dba-asked", "ALTER TABLE orders RENAME TO others", "?"},
    {"dba-asked", "ALTER TABLE orders RENAME COLUMN a TO b", ""},
    /* other names */
    {"ddl", "ALTER TABLE public.orders RENAME TO orders_old", "delete"},
    {"ddl", "ALTER TABLE public.x RENAME TO y", ""},
    {"ddl", "ALTER TABLE public.x SET SCHEMA scratch", "other rules would be about its rows"},
    {"ddl", "ALTER VIEW x SET SCHEMA scratch", "other rules would be about its rows"},
    {"ddl", "ALTER TABLE scratch.p ATTACH PARTITION public.x DEFAULT", "select on public.x"},
    {"ddl", "ALTER TABLE public.x INHERIT scratch.p", "other rules would be about its rows"},
    {"ddl", "CREATE TABLE scratch.c () INHERITS (public.x)", "other rules would be about its rows"},
    {"ddl", "CREATE TEMP TABLE c () INHERITS (public.x)", "other rules would be about its rows"},
    {"ddl", "CREATE TABLE scratch.c PARTITION OF public.x DEFAULT", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD b int DEFAULT 3 NOT NULL, DROP c, ALTER d SET DEFAULT 1, DISABLE TRIGGER ALL", ""},
    /* what its errors tell of rows: a value that is none of the type, that comes twice, that the check does not let through */
    {"ddl", "CREATE TABLE public.c PARTITION OF public.x DEFAULT", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD b int, ADD FOREIGN KEY (b) REFERENCES public.y", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ALTER b TYPE int", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ALTER b TYPE text USING (1 / (b - 5))::text", "select on public.x"},
    {"ddl", "ALTER TABLE public.x DROP c, ADD CHECK (b < 7)", "select on public.x"},
    {"ddl", "ALTER TABLE x ADD UNIQUE (b)", "select on public.x"},
    {"ddl", "ALTER TABLE public.x VALIDATE CONSTRAINT c", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ALTER b SET NOT NULL", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD c int GENERATED ALWAYS AS (1 / (b - 5)) STORED", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD c int CHECK (b < 7)", "select on public.x"},
    {"ddl", "CREATE INDEX ON public.x (b, c DESC) INCLUDE (d)", ""},
    {"ddl", "CREATE UNIQUE INDEX ON public.x (b)", "select on public.x"},
    {"ddl", "CREATE INDEX ON public.x ((1 / (b - 5)))", "select on public.x"},
    {"ddl", "CREATE INDEX ON public.x (b) WHERE 1 / (b - 5) > 0", "select on public.x"},
    {"ddl", "CREATE INDEX ON public.x USING gin (b)", "select on public.x"},
    {"ddl", "ALTER TABLE scratch.t ALTER b TYPE int, ADD UNIQUE (b)", ""},
    {"careful", "ALTER TABLE public.staff ALTER b TYPE int", "denied by the policy"},
    {"limited", "CREATE UNIQUE INDEX ON scratch.t (b)", ""},
    {"ddl", "ALTER SEQUENCE public.s OWNED BY scratch.t.a", "other rules would be about its rows"},
    {"ddl", "ALTER SEQUENCE public.s OWNED BY public.t.a", ""},
    {"ddl", "ALTER SEQUENCE public.s OWNED BY NONE", ""},
    {"reader", "CREATE SEQUENCE scratch.s OWNED BY public.t.a", "alter on public.t"},
    {"moves", "ALTER TABLE public.x SET SCHEMA scratch", ""},
};

static void check(const char *who, const char *sql, bool my, const char *want) {
    struct pol_verdict v;
    judge(who, sql, my, &v);
    enum pol_effect effect = *want == '\0' ? POL_ALLOW : *want == '?' ? POL_ASK : POL_DENY;
    ck_assert_msg(v.effect == effect, "%s: %s: %s", who, sql, v.message);
    if (effect != POL_DENY) return;
    ck_assert_msg(strstr(v.message, want) != NULL || strstr(v.detail, want) != NULL, "%s: %s: %s %s", who, sql, v.message, v.detail);
    ck_assert_str_eq(v.sqlstate, "42501");
    ck_assert(v.hint[0] != '\0');
}

START_TEST(pg) { check(cases[_i].who, cases[_i].sql, false, cases[_i].want); }
END_TEST

static const struct {
    const char *who, *sql, *want;
} my_cases[] = {
    {"reader", "CREATE VIEW scratch.v AS SELECT * FROM orders", "no rule allows you insert, update, delete so"},
    {"reader", "CREATE OR REPLACE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW scratch.v AS SELECT * FROM orders", "on public.orders"},
    {"reader", "ALTER VIEW scratch.v AS SELECT * FROM public.orders", "on public.orders"},
    {"reader", "ALTER ALGORITHM=TEMPTABLE VIEW scratch.v AS SELECT * FROM public.orders", "on public.orders"},
    {"reader", "CREATE VIEW scratch.v AS SELECT * FROM scratch.t", ""},
    {"reader", "CREATE TABLE scratch.t SELECT * FROM orders", ""},
    {"reader", "CREATE TABLE scratch.t LIKE orders", ""},
    {"reader", "CREATE TABLE scratch.t (a int) ENGINE=MERGE UNION=(public.orders)", "cannot be seen"},
    {"reader", "CREATE TABLE scratch.t (a int) ENGINE=FEDERATED CONNECTION='mysql://x/y'", "cannot be seen"},
    {"asked", "CREATE TABLE scratch.t (a int DEFAULT (public.g())) SELECT 1 AS b", "would call it at any time"},
    {"asked", "CREATE TABLE scratch.t (a int) SELECT 1 AS b", ""},
    {"writer", "CREATE VIEW scratch.v AS SELECT * FROM orders", ""},
    {"reader", "CREATE DEFINER=root@localhost VIEW scratch.v AS SELECT * FROM scratch.t", "another account's rights"},
    {"reader", "CREATE OR REPLACE DEFINER='root'@'%' SQL SECURITY INVOKER VIEW scratch.v AS SELECT * FROM scratch.t",
     "another account's rights"},
    {"reader", "ALTER DEFINER = admin VIEW scratch.v AS SELECT * FROM scratch.t", "another account's rights"},
    {"reader", "CREATE DEFINER=CURRENT_USER SQL SECURITY DEFINER VIEW scratch.v AS SELECT * FROM scratch.t", ""},
    {"reader", "CREATE DEFINER=root@localhost PROCEDURE scratch.p() SELECT 1", "no rule allows to you"},
    {"dba", "CREATE DEFINER=root@localhost VIEW v AS SELECT * FROM orders", ""},
    {"asked", "CREATE VIEW scratch.v AS SELECT * FROM orders", "\"asks\" (ask)"},
    {"dba", "CREATE VIEW v AS SELECT * FROM orders", ""},
    {"ddl", "RENAME TABLE public.x TO public.y", ""},
    {"ddl", "RENAME TABLE public.x TO scratch.y", "other rules would be about its rows"},
    {"ddl", "ALTER TABLE public.x ADD b int, RENAME TO scratch.y", "other rules would be about its rows"},
    {"ddl", "ALTER TABLE scratch.x EXCHANGE PARTITION p WITH TABLE public.y", "other rules would be about its rows"},
    {"ddl", "ALTER TABLE public.x RENAME COLUMN a TO b", ""},
    {"moves", "RENAME TABLE public.x TO scratch.y", ""},
    /* errors that tell values */
    {"ddl",
     "ALTER TABLE public.x ADD b int, ADD COLUMN IF NOT EXISTS c decimal(5, 2) DEFAULT 3 AFTER a, ADD KEY k (b, c), DROP KEY l, ALTER b "
     "DROP DEFAULT",
     ""},
    {"ddl", "ALTER TABLE public.x DROP FOREIGN KEY f, DROP CHECK c, DROP PRIMARY KEY", ""},
    {"ddl", "ALTER TABLE public.x MODIFY b int", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD b int, CHANGE a a date", "select on public.x"},
    {"ddl", "ALTER IGNORE TABLE public.x ADD UNIQUE (a)", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD b int UNIQUE", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD COLUMN (b int, c int)", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD b int AS (a + 1) STORED", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD CONSTRAINT PRIMARY KEY (a)", "select on public.x"},
    {"ddl", "ALTER TABLE public.x DROP COLUMN a", "select on public.x"},
    {"ddl", "ALTER TABLE public.x DROP a", "select on public.x"},
    {"ddl", "ALTER TABLE public.x CONVERT TO CHARACTER SET ascii", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ENGINE = InnoDB", "select on public.x"},
    {"ddl", "ALTER TABLE public.x PARTITION BY HASH (a) PARTITIONS 4", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD KEY k (a) PARTITION BY LIST (a) (PARTITION p VALUES IN (1))", "select on public.x"},
    {"ddl", "ALTER TABLE public.x DROP KEY k, ADD KEY k (b) PARTITION BY LIST (a) (PARTITION p VALUES IN (1))", "select on public.x"},
    {"ddl", "ALTER TABLE public.x ADD b int PARTITION BY LIST (a) (PARTITION p VALUES IN (1))", "select on public.x"},
    {"ddl", "ALTER TABLE public.x RENAME COLUMN a TO b PARTITION BY LIST (a) (PARTITION p VALUES IN (1))", "select on public.x"},
    {"ddl", "ALTER TABLE public.x DROP KEY k PARTITION BY LIST (a) (PARTITION p VALUES IN (1))", "select on public.x"},
    {"ddl", "CREATE INDEX i ON public.x (a, b)", ""},
    {"ddl", "CREATE UNIQUE INDEX i ON public.x (a, b)", "select on public.x"},
    {"ddl", "CREATE INDEX i ON public.x ((a + 1))", "select on public.x"},
    {"ddl", "DROP INDEX i ON public.x", ""},
    {"ddl", "ALTER TABLE scratch.t MODIFY b int", ""},
};

START_TEST(my) { check(my_cases[_i].who, my_cases[_i].sql, true, my_cases[_i].want); }
END_TEST

int main(void) {
    Suite *s = suite_create("carry");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, pg, 0, sizeof cases / sizeof *cases);
    tcase_add_loop_test(t, my, 0, sizeof my_cases / sizeof *my_cases);
    suite_add_tcase(s, t);
    return run_suite(s);
}
