#include "policy/pg_catalog.h"
#include "policy/pg_functions.h"
#include "policy/pg_settings.h"
#include "policy/policy.h"
#include "policy/policy_int.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char shop[] = "version: 1\n"
                           "databases:\n"
                           "  shop: { mode: enforce }\n"
                           "  lab: { mode: observe }\n"
                           "rules:\n"
                           "  - name: agents-read\n"
                           "    groups: [ai-agents]\n"
                           "    database: shop\n"
                           "    allow: [select]\n"
                           "    on: [public.orders, public.customers, \"public.\\\"Odd Name\\\"\"]\n"
                           "    functions: [public.order_total, public.pg_*, pg_catalog.nextval]\n"
                           "  - name: agents-write\n"
                           "    principals: [agent@shop.example]\n"
                           "    database: [shop]\n"
                           "    allow: [insert, update, temp]\n"
                           "    on: public.orders\n"
                           "  - name: archive\n"
                           "    groups: [ai-agents]\n"
                           "    database: \"*\"\n"
                           "    allow: read\n"
                           "    on: archive.*\n"
                           "  - name: builders\n"
                           "    groups: [builders]\n"
                           "    database: shop\n"
                           "    allow: [ddl, read, write, execute]\n"
                           "    on: [\"build.*\"]\n"
                           "    functions: [build.*]\n"
                           "  - name: dbas\n"
                           "    groups: [dbas]\n"
                           "    database: \"*\"\n"
                           "    allow: all\n"
                           "    on: \"*.*\"\n"
                           "  - name: careful\n"
                           "    groups: [careful]\n"
                           "    database: shop\n"
                           "    allow: all\n"
                           "    on: [\"*.*\", pg_catalog.pg_locks]\n"
                           "    functions: public.f\n"
                           "  - name: no-secrets\n"
                           "    groups: [ai-agents, builders, careful, unpinned-but]\n"
                           "    database: shop\n"
                           "    deny: all\n"
                           "    on: [\"*.staff\", archive.secret_*]\n"
                           "    reason: Salaries are not for agents.\n"
                           "    hint: Ask hr@shop.example.\n"
                           "  - name: watchers\n"
                           "    groups: watchers\n"
                           "    database: shop\n"
                           "    allow: [select, create]\n"
                           "    on: [pg_catalog.pg_stat_activity, pg_catalog.pg_locks]\n"
                           "  - name: listeners\n"
                           "    groups: [listeners, mute]\n"
                           "    database: shop\n"
                           "    allow: notify\n"
                           "  - name: mute\n"
                           "    groups: mute\n"
                           "    database: shop\n"
                           "    deny: notify\n"
                           "    reason: Be quiet.\n"
                           "  - name: owners\n"
                           "    groups: [owners]\n"
                           "    database: shop\n"
                           "    allow: all\n"
                           "    on: own.*\n"
                           "  - name: readers\n"
                           "    groups: [readers]\n"
                           "    database: shop\n"
                           "    allow: select\n"
                           "    on: [\"*.*\", pg_catalog.pg_stats]\n"
                           "  - name: settings\n"
                           "    groups: [tuners]\n"
                           "    database: shop\n"
                           "    allow: [set, notify]\n"
                           "  - name: unpinned\n"
                           "    groups: [unpinned, unpinned-but]\n"
                           "    database: shop\n"
                           "    allow: all\n"
                           "    on: \"*.*\"\n"
                           "    unpin: true\n";

static struct pol_policy *policy(void) {
    struct pol_error e;
    struct pol_policy *p = pol_policy_load_text("shop.yaml", shop, strlen(shop), &e);
    char text[1024] = "";
    if (p == NULL) pol_error_format(&e, text, sizeof text);
    ck_assert_msg(p != NULL, "%s", text);
    return p;
}

static void judge_as(const char *who, const char *database, const char *sql, struct pol_verdict *v) {
    static const char *const path[] = {"public", "archive"};
    static const char *const settings[] = {"Default_transaction_read_only", "on", "statement_timeout", "5s", NULL};
    struct pol_policy *p = policy();
    const char *groups[] = {who};
    struct pol_subject s = {.principal = strcmp(who, "agent") == 0 ? "agent@shop.example" : "x", .groups = groups, .ngroups = 1};
    if (strcmp(who, "agent") == 0) groups[0] = "ai-agents";
    struct pol_pins pins = {
        .search_path = path, .nsearch_path = strcmp(who, "wide") == 0 ? 2 : 1, .time_zone = "UTC", .settings = settings};
    if (strcmp(who, "wide") == 0) groups[0] = "ai-agents";
    struct pol_role *r = pol_role_new(p, &s, database, &pins);
    pol_policy_unref(p); /* the role holds its own reference */
    ck_assert_ptr_nonnull(r);
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), NULL, &err);
    if (f != NULL)
        pol_judge(r, f, v);
    else
        pol_refuse_parse(&err, v);
    char rule[64];
    snprintf(rule, sizeof rule, "%s", v->rule);
    v->rule = strcmp(rule, "no-secrets") == 0 ? "no-secrets" : rule[0] == '\0' ? "" : "other"; /* the role's memory goes now */
    pol_facts_free(f);
    pol_role_free(r);
}

static const struct {
    const char *who, *sql, *want; /* "" allowed, else a part of the message */
} verdicts[] = {
    {"owners", "CREATE TABLE own.t (a int)", ""},
    {"owners", "CREATE TEMP TABLE t (a int)", ""},
    {"owners", "COPY own.t TO STDOUT", ""},
    {"owners", "COPY own.t TO PROGRAM 'x'", "COPY"},
    {"owners", "COPY own.t FROM '/etc/passwd'", "COPY"},
    {"owners", "SET app.who = 'x'", "app.who"},
    {"dbas", "SET gatehouse.principal = 'x'", "gatehouse.principal"},
    {"dbas", "SELECT set_config('gatehouse.principal', 'x', true)", "gatehouse.principal"},
    {"dbas", "RESET ALL", ""},
    {"owners", "NOTIFY c", "NOTIFY"},
    {"agent", "SELECT * FROM orders", ""},
    {"agent", "SELECT * FROM public.orders o JOIN customers c ON o.customer_id = c.id", ""},
    {"agent", "SELECT * FROM \"Odd Name\"", ""},
    {"agent", "SELECT * FROM \"Orders\"", "select on public.Orders"},
    {"agent", "SELECT * FROM staff", "Salaries"},
    {"agent", "SELECT * FROM public.staff", "Salaries"},
    {"agent", "SELECT * FROM hr.staff", "Salaries"},
    {"agent", "SELECT * FROM archive.secret_x", "Salaries"},
    {"agent", "SELECT * FROM archive.y", ""},
    {"agent", "SELECT * FROM unknown", "select on public.unknown"},
    {"agent", "WITH staff AS (SELECT 1) SELECT * FROM staff", ""},
    {"agent", "WITH x AS (SELECT * FROM staff) SELECT 1", "Salaries"},
    {"agent", "SELECT 1; SELECT * FROM staff", "Salaries"},
    {"agent", "INSERT INTO orders VALUES (1)", ""},
    {"agent", "UPDATE orders SET status = 'x' WHERE id = 1", ""},
    {"agent", "DELETE FROM orders", "delete on public.orders"},
    {"agent", "UPDATE customers SET a = 1", "update on public.customers"},
    {"agent", "SELECT * FROM customers FOR UPDATE", "update on public.customers"},
    {"agent", "WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x", "delete on public.orders"},
    {"agent", "DROP TABLE orders", "drop on public.orders"},
    {"agent", "CREATE TABLE n (a int)", "create on public.n"},
    {"agent", "CREATE TEMP TABLE n AS SELECT * FROM orders", ""},
    {"agent", "CREATE TEMP VIEW orders AS SELECT * FROM staff", "Salaries"},
    {"agent", "SELECT * FROM pg_temp.n", ""},
    {"agent", "SELECT * FROM pg_temp_3.n", "pg_temp_3.n"},
    {"ai-agents", "CREATE TEMP TABLE n (a int)", "temp on pg_temp.n"},
    {"ai-agents", "INSERT INTO orders VALUES (1)", "insert on public.orders"},
    {"wide", "SELECT * FROM orders", ""},
    {"wide", "SELECT * FROM secret_x", "select on public.secret_x"},
    {"wide", "SELECT * FROM staff", "Salaries"},
    {"agent", "COPY orders TO STDOUT", ""},
    {"agent", "COPY orders TO '/tmp/x'", "COPY on database"},
    {"agent", "COPY (SELECT * FROM staff) TO STDOUT", "Salaries"},
    {"agent", "EXPLAIN ANALYZE SELECT * FROM staff", "Salaries"},
    {"agent", "PREPARE p AS SELECT * FROM staff", "Salaries"},
    {"agent", "EXECUTE p", ""},
    {"agent", "DECLARE c CURSOR FOR SELECT * FROM staff", "Salaries"},
    {"agent", "BEGIN; SELECT 1; SAVEPOINT a; ROLLBACK TO a; COMMIT", ""},
    {"agent", "", ""},
    {"agent", "PREPARE TRANSACTION 'x'", "cannot be seen"},
    {"agent", "DO 'x'", "DO on database"},
    {"agent", "CALL p()", "CALL on database"},
    {"agent", "TRUNCATE orders", "truncate on public.orders"},
    {"agent", "LOCK TABLE orders", "lock on public.orders"},
    {"agent", "LISTEN a", "LISTEN on database"},
    {"agent", "UNLISTEN *", ""},
    {"agent", "CLOSE ALL; UNLISTEN *; RESET ALL; SELECT pg_advisory_unlock_all()", ""},
    {"agent", "DISCARD ALL", ""},
    {"agent", "GRANT SELECT ON orders TO x", "grant on public.orders"},
    {"agent", "CREATE ROLE x", "CREATE ROLE on database"},
    {"agent", "VACUUM orders", "maintain on public.orders"},
    /* functions */
    {"agent", "SELECT lower('A'), now(), count(*), version() FROM orders", ""},
    {"agent", "SELECT order_total(1), public.order_total(1)", ""},
    {"agent", "SELECT other.order_total(1)", "other.order_total"},
    {"wide", "SELECT order_total(1)", "order_total"},
    {"agent", "SELECT pg_read_file('x')", "pg_read_file"},
    {"agent", "SELECT pg_catalog.pg_read_file('x')", "pg_catalog.pg_read_file"},
    {"agent", "SELECT public.pg_read_file('x')", ""},
    {"agent", "SELECT pg_read_file_of_the_future('x')", "pg_read_file_of_the_future"},
    {"agent", "SELECT nextval(x) FROM orders", ""},
    {"agent", "SELECT nextval('orders_id_seq')", "update on public.orders_id_seq"},
    {"agent", "SELECT nextval('orders')", ""},
    {"agent", "SELECT setval('archive.s', 1)", "update on archive.s"},
    {"agent", "SELECT pg_sleep(1)", "pg_sleep"},
    {"agent", "SELECT query_to_xml('SELECT * FROM staff', true, true, '')", "query_to_xml"},
    {"agent", "SELECT ('x'::text).pg_read_file", "pg_read_file"},
    {"agent", "SELECT t.pg_read_file FROM lower('x') t", "pg_read_file"},
    {"agent", "SELECT (x).lower FROM orders", ""},
    {"agent", "SELECT e.key, e.value FROM orders, json_each(j) e", ""},
    {"agent", "SELECT ts_rewrite(a, 'SELECT 1'), ts_stat('x')", "ts_rewrite"},
    {"agent", "SELECT dblink('a', 'b')", "dblink"},
    {"agent", "SELECT lo_import('/etc/passwd')", "lo_import"},
    {"agent", "SELECT pg_notify('a', 'b')", "pg_notify"},
    {"agent", "SELECT pg_advisory_lock(1)", "pg_advisory_lock"},
    {"agent", "SELECT pg_terminate_backend(1)", "pg_terminate_backend"},
    {"agent", "SELECT pg_stat_get_activity(NULL)", "pg_stat_get_activity"},
    {"agent", "SELECT 1 OPERATOR(public.+) 2", "public.+"},
    /* catalogs */
    {"agent", "SELECT relname FROM pg_class, pg_catalog.pg_attribute, information_schema.columns", ""},
    {"agent", "SELECT * FROM pg_stats", "select on pg_catalog.pg_stats"},
    {"agent", "SELECT * FROM pg_catalog.pg_statistic", "select on pg_catalog.pg_statistic"},
    {"agent", "SELECT * FROM pg_stat_activity", "pg_stat_activity"},
    {"agent", "SELECT * FROM pg_authid", "pg_authid"},
    {"agent", "SELECT * FROM pg_shadow", "pg_shadow"},
    {"agent", "SELECT * FROM pg_user_mappings", "pg_user_mappings"},
    {"agent", "SELECT * FROM information_schema.user_mapping_options", "user_mapping_options"},
    {"agent", "SELECT * FROM pg_largeobject", "pg_largeobject"},
    {"agent", "SELECT * FROM pg_hba_file_rules", "pg_hba_file_rules"},
    {"agent", "DELETE FROM pg_class", "delete on pg_catalog.pg_class"},
    {"nobody", "SELECT * FROM pg_class", "select on pg_catalog.pg_class"},
    {"nobody", "SELECT 1", ""},
    {"nobody", "SELECT * FROM orders", "select on public.orders"},
    /* settings */
    {"agent", "SET application_name = 'x'", ""},
    {"agent", "SET gatehouse.principal = 'x'", "gatehouse.principal"},
    {"agent", "SET LOCAL GateHouse.\"Principal\" TO x", "gatehouse.principal"},
    {"agent", "RESET gatehouse.principal", ""},
    {"agent", "SET gatehouse.groups TO DEFAULT", ""},
    {"agent", "SHOW gatehouse.principal", ""},
    {"agent", "SELECT current_setting('gatehouse.principal', true)", ""},
    {"agent", "SELECT set_config('gatehouse.principal', 'x', false)", "gatehouse.principal"},
    {"agent", "SET search_path = public", ""},
    {"agent", "SET search_path = PUBLIC", ""},
    {"agent", "SET search_path = 'public'", ""},
    {"agent", "SET search_path = \"Public\"", "search_path"},
    {"agent", "SET search_path = evil, public", "search_path"},
    {"agent", "SET search_path = ''", "search_path"},
    {"agent", "SET search_path TO DEFAULT", ""},
    {"agent", "SELECT set_config('search_path', 'public', false)", ""},
    {"agent", "SELECT set_config('search_path', '', false)", "search_path"},
    {"agent", "SELECT set_config('search_path', x, false)", "set_config"},
    {"agent", "SET client_encoding = 'UTF8'", ""},
    {"agent", "SET NAMES 'utf-8'", ""},
    {"agent", "SET NAMES 'SJIS'", "client_encoding"},
    {"agent", "SET standard_conforming_strings = on", ""},
    {"agent", "SET standard_conforming_strings = off", "standard_conforming_strings"},
    {"agent", "SET LOCAL standard_conforming_strings TO 0", "standard_conforming_strings"},
    {"agent", "SET backslash_quote = on", "backslash_quote"},
    {"agent", "SET ROLE dba", "role"},
    {"agent", "SET ROLE NONE", ""},
    {"agent", "SET SESSION AUTHORIZATION dba", "session_authorization"},
    {"agent", "RESET SESSION AUTHORIZATION", ""},
    {"agent", "SET row_security = off", "row_security"},
    {"agent", "SET session_replication_role = replica", "session_replication_role"},
    {"agent", "SET TIME ZONE 'utc'", ""},
    {"agent", "SET TIME ZONE 'Europe/Berlin'", "timezone"},
    {"agent", "SET statement_timeout = 0", "statement_timeout"},
    {"agent", "SELECT set_config('Statement_Timeout', '0', true)", "statement_timeout"},
    {"agent", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "default_transaction_read_only"},
    {"agent", "SET TRANSACTION READ WRITE", "transaction_read_only"},
    {"agent", "BEGIN READ WRITE", "transaction_read_only"},
    {"agent", "SET transaction_read_only = off", "transaction_read_only"},
    {"agent", "SET DateStyle = ISO, DMY", ""},
    {"agent", "SET app.uid = 'x'", "app.uid"},
    {"tuners", "SET app.uid = 'x'", ""},
    {"tuners", "NOTIFY a", ""},
    {"tuners", "SET ROLE dba", "role"},
    {"agent", "SET TRANSACTION SNAPSHOT 'x'", "transaction_snapshot"},
    {"agent", "SHOW search_path", ""},
    {"agent", "SHOW primary_conninfo", "primary_conninfo"},
    {"agent", "SELECT current_setting('server_version_num')", ""},
    {"agent", "SELECT current_setting('primary_conninfo')", "primary_conninfo"},
    {"agent", "SELECT current_setting(x)", "current_setting"},
    {"agent", "SELECT setting FROM pg_settings WHERE name = 'max_index_keys'", ""},
    {"agent", "SELECT setting FROM pg_settings WHERE name = 'primary_conninfo'", "pg_settings"},
    {"agent", "SELECT setting FROM pg_settings WHERE name = 'work_mem' AND setting::int > 0", "pg_settings"},
    {"builders", "CREATE VIEW build.v AS SELECT * FROM pg_settings WHERE name = 'work_mem'", "pg_settings"},
    {"agent", "UPDATE pg_settings SET setting = 'evil' WHERE name = 'work_mem'", "pg_settings"},
    {"agent", "SELECT currval($1)", ""},
    {"agent", "SELECT setval($1, 1)", "setval"},
    {"agent", "SELECT set_config('jit', $1, false)", ""},
    {"agent", "SELECT set_config('search_path', $1, false)", "set_config"},
    {"dbas", "SELECT set_config('TimeZone', $1, false)", "timezone may not be changed"},
    {"listeners", "SELECT pg_notify('a', $1)", ""},
    {"mute", "SELECT pg_notify('a', 'b')", "pg_notify"},
    /* watchers: a name that pg_catalog has means that one, unless it is created */
    {"watchers", "SELECT * FROM pg_stat_activity JOIN pg_locks USING (pid)", ""},
    {"watchers", "SELECT * FROM public.pg_locks", "public.pg_locks"},
    {"watchers", "SELECT * FROM pg_stat_database", "pg_catalog.pg_stat_database"},
    {"watchers", "CREATE TABLE pg_locks (i int)", "public.pg_locks"},
    {"watchers", "SELECT * FROM pg_locks_of_mine", "pg_locks_of_mine"},
    /* builders: rights in one schema */
    {"builders", "CREATE TABLE build.x AS SELECT 1", ""},
    {"builders", "ALTER TABLE build.x RENAME TO y", ""},
    {"builders", "ALTER TABLE build.x SET SCHEMA public", "create on public.x"},
    {"builders", "CREATE TABLE build.y (a int REFERENCES public.orders)", "alter on public.orders"},
    {"builders", "CREATE SCHEMA z", "CREATE SCHEMA on database"},
    {"builders", "CREATE FUNCTION build.f() RETURNS int LANGUAGE sql AS ''", "CREATE FUNCTION on database"},
    {"builders", "CREATE VIEW build.v AS SELECT * FROM public.orders", "select on public.orders"},
    {"builders", "DROP TABLE build.x", ""},
    {"builders", "DROP TABLE build.x CASCADE", "cannot be seen"},
    {"builders", "CREATE TRIGGER t AFTER INSERT ON build.x EXECUTE FUNCTION build.f()", "cannot be seen"},
    {"builders", "CALL build.p()", ""},
    {"builders", "CALL other.p()", "other.p"},
    {"builders", "SELECT * FROM build.staff", "Salaries"},
    /* careful: everything, but a denial */
    {"careful", "SELECT * FROM customers", ""},
    {"careful", "SELECT lower('a'), public.f(), f()", ""},
    {"careful", "SELECT query_to_xml('SELECT * FROM staff', true, false, '')", "query_to_xml"},
    {"careful", "SELECT public.g()", "public.g"},
    {"careful", "SELECT * FROM pg_stats", "pg_stats"},
    {"careful", "SELECT * FROM pg_catalog.pg_statistic", "pg_statistic"},
    {"careful", "SELECT * FROM pg_toast.pg_toast_2619", "pg_toast"},
    {"careful", "SELECT * FROM pg_class, pg_locks", ""},
    {"careful", "SELECT * FROM information_schema.user_mapping_options", "user_mapping_options"},
    {"careful", "DO 'x'", "cannot be seen"},
    /* dbas: everything but the pins */
    {"dbas", "UPDATE pg_settings SET setting = 'evil' WHERE name = 'search_path'", "pg_settings"},
    {"dbas", "MERGE INTO pg_catalog.pg_settings USING orders ON true WHEN MATCHED THEN UPDATE SET setting = 'x'", "pg_settings"},
    {"dbas", "SELECT * FROM pg_settings, pg_stats", ""},
    {"dbas", "DROP TABLE public.staff CASCADE", ""},
    {"dbas", "DO 'x'", ""},
    {"dbas", "SELECT pg_read_file('x')", ""},
    {"dbas", "CREATE SCHEMA z", ""},
    {"dbas", "COPY staff TO '/tmp/x'", ""},
    {"dbas", "SET log_statement = 'none'", ""},
    {"dbas", "SET search_path = evil", "search_path"},
    {"dbas", "SET ROLE postgres", "role"},
    {"dbas", "SELECT * FROM pg_authid", ""},
    {"dbas", "SELECT evil.f(1)", ""},
    /* a rule that unpins, and what stays pinned all the same */
    {"unpinned", "SET search_path = evil, \"$user\"", ""},
    {"unpinned", "SET LOCAL search_path TO ''", ""},
    {"unpinned", "SELECT set_config('search_path', 'evil', false), pg_catalog.set_config('role', 'x', true)", ""},
    {"unpinned", "SET ROLE postgres", ""},
    {"unpinned", "SET SESSION AUTHORIZATION postgres", ""},
    {"unpinned", "SET row_security = off; SET session_replication_role = replica", ""},
    {"unpinned", "SET NAMES 'SJIS'", "client_encoding"},
    {"unpinned", "SELECT set_config('client_encoding', 'SJIS', false)", "client_encoding"},
    {"unpinned", "SET standard_conforming_strings = off", "standard_conforming_strings"},
    {"unpinned", "SET search_path = x; SET standard_conforming_strings = off", "standard_conforming_strings"},
    {"unpinned", "SET backslash_quote = on", "backslash_quote"},
    {"unpinned", "SET statement_timeout = 0", "statement_timeout"},
    {"unpinned", "BEGIN READ WRITE", "transaction_read_only"},
    {"unpinned", "SET TIME ZONE 'Europe/Berlin'", "timezone"},
    {"unpinned", "UPDATE pg_settings SET setting = 'evil' WHERE name = 'search_path'", "pg_settings"},
    {"unpinned-but", "SET search_path = evil", "search_path"},
    {"unpinned-but", "SELECT set_config('search_path', 'evil', false)", "search_path"},
    {"unpinned-but", "SET ROLE postgres", "role"},
    {"unpinned-but", "SET SESSION AUTHORIZATION postgres", "session_authorization"},
    {"unpinned-but", "SET row_security = off", "row_security"},
    {"unpinned-but", "SET session_replication_role = replica", "session_replication_role"},
    {"readers", "SELECT * FROM orders, hr.x, pg_class, pg_stats", ""},
    {"readers", "SELECT * FROM pg_authid", "pg_authid"},
    {"readers", "SELECT * FROM pg_toast.pg_toast_1", "pg_toast_1"},
    {"readers", "SELECT * FROM information_schema.user_mapping_options", "user_mapping_options"},
    {"readers", "SELECT pg_read_file('x')", "pg_read_file"},
    {"readers", "CREATE TABLE x AS SELECT 1", "create on public.x"},
    {"agent", "SELEC", "syntax error"},
};

START_TEST(verdict) {
    struct pol_verdict v;
    judge_as(verdicts[_i].who, "shop", verdicts[_i].sql, &v);
    const char *want = verdicts[_i].want;
    ck_assert_msg((v.effect == POL_ALLOW) == (*want == '\0'), "%s: %s: %s", verdicts[_i].who, verdicts[_i].sql, v.message);
    ck_assert_msg(strstr(v.message, want) != NULL, "%s: %s: %s", verdicts[_i].who, verdicts[_i].sql, v.message);
    if (*want != '\0') ck_assert(v.sqlstate[0] != '\0' && v.detail[0] != '\0');
    if (strcmp(want, "Salaries") == 0) {
        ck_assert_str_eq(v.rule, "no-secrets");
        ck_assert_str_eq(v.hint, "Ask hr@shop.example.");
        ck_assert_str_eq(v.sqlstate, "42501");
    }
}
END_TEST

START_TEST(roles) {
    struct pol_policy *p = policy();
    ck_assert_uint_eq(strlen(pol_policy_hash(p)), 64);
    ck_assert(pol_policy_has_database(p, "lab") && !pol_policy_has_database(p, "other"));
    const char *const groups[] = {"ai-agents"};
    struct pol_subject who = {.principal = "x", .groups = groups, .ngroups = 1};
    struct pol_role *r = pol_role_new(p, &who, "lab", NULL);
    ck_assert(pol_role_observes(r) && pol_role_any(r));
    pol_role_free(r);
    r = pol_role_new(p, &who, "other", NULL);
    ck_assert(!pol_role_observes(r) && !pol_role_any(r));
    pol_role_free(r);
    who.ngroups = 0;
    r = pol_role_new(p, &who, "shop", NULL);
    ck_assert(!pol_role_observes(r) && !pol_role_any(r));
    struct pol_verdict v;
    ck_assert(pol_judge_setting(r, "Application_Name", "x", &v));
    ck_assert(!pol_judge_setting(r, "search_path", "x", &v));
    ck_assert_str_eq(v.sqlstate, "42501");
    ck_assert(!pol_judge_setting(r, "session_preload_libraries", "x", &v));
    pol_role_free(r);
    pol_policy_unref(p);
}
END_TEST

START_TEST(refused_statement_is_named) {
    struct pol_verdict v;
    judge_as("agent", "shop", "SELECT 1; SELECT 2; DROP TABLE orders", &v);
    ck_assert_uint_eq(v.stmt, 2);
    ck_assert_ptr_nonnull(strstr(v.hint, "public.orders (select)"));
}
END_TEST

/* After which statements names may mean something else: a role that is not everything may not judge what follows in such a session. */
START_TEST(unpins) {
    static const struct {
        const char *who, *sql;
        bool unpins;
    } all[] = {
        {"unpinned", "SET search_path = evil", true},
        {"unpinned", "SELECT 1; SET ROLE x", true},
        {"unpinned", "SET search_path = public", false},
        {"unpinned", "SELECT lower(status), pg_get_viewdef(1) FROM orders", false},
        {"dbas", "DO 'x'", true},
        {"dbas", "CALL public.p()", true},
        {"dbas", "SELECT f(1)", true},
        {"dbas", "SELECT public.lower('x')", true},
        {"dbas", "SELECT a OPERATOR(public.+) b FROM orders", true},
        {"dbas", "SELECT set_config(a, b, false) FROM orders", true},
        {"dbas", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ''", true},
        {"dbas", "PREPARE p AS SELECT f(1)", true},
        {"dbas", "UPDATE orders SET status = 'x'", false},
        {"agent", "SELECT order_total(1)", false}, /* its owner granted it by name */
        {"builders", "CALL build.p()", false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct pol_verdict v;
        judge_as(all[i].who, "shop", all[i].sql, &v);
        ck_assert_msg(v.effect == POL_ALLOW && v.unpins == all[i].unpins, "%s: %s", all[i].sql, v.message);
    }
}
END_TEST

START_TEST(who_is_everything) {
    struct pol_policy *p = policy();
    static const struct {
        const char *group;
        bool everything;
    } all[] = {{"dbas", true}, {"unpinned", true}, {"unpinned-but", false}, {"careful", false}, {"owners", false}, {"readers", false}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct pol_subject who = {.principal = "x", .groups = &all[i].group, .ngroups = 1};
        struct pol_role *r = pol_role_new(p, &who, "shop", NULL);
        struct pol_verdict v;
        ck_assert_ptr_nonnull(r);
        ck_assert_msg(pol_role_everything(r) == all[i].everything, "%s", all[i].group);
        /* a startup packet goes out with the pins whatever the rule says, so it may not ask for another value */
        ck_assert(!pol_judge_setting(r, "search_path", "evil", &v) && !pol_judge_setting(r, "role", "evil", &v));
        struct pol_parse_error err;
        struct pol_facts *f = pol_facts_pg("SET search_path = evil", 22, NULL, &err);
        ck_assert_ptr_nonnull(f);
        pol_role_keep_pins(r);
        pol_judge(r, f, &v);
        ck_assert_int_eq(v.effect, POL_DENY);
        pol_facts_free(f);
        pol_role_free(r);
    }
    const char *const both[] = {"unpinned", "builders"}; /* a denial for one of its groups is one for the identity */
    struct pol_subject who = {.principal = "x", .groups = both, .ngroups = 2};
    struct pol_role *r = pol_role_new(p, &who, "shop", NULL);
    ck_assert(r != NULL && !pol_role_everything(r));
    pol_role_free(r);
    size_t warned = 0;
    for (size_t i = 0; i < pol_policy_rules(p); i++)
        if (pol_policy_rule_unpins(p, i)) warned += strcmp(pol_policy_rule_name(p, i), "unpinned") == 0 ? 1 : 100;
    ck_assert_uint_eq(warned, 1);
    pol_policy_unref(p);
}
END_TEST

START_TEST(syntax_error_has_a_position) {
    struct pol_verdict v;
    judge_as("agent", "shop", "SELECT '\u00e4', 1 FROM orders WHER x", &v);
    ck_assert_str_eq(v.sqlstate, "42601");
    ck_assert_uint_eq(v.position, 32); /* in characters, as ErrorResponse's P */
    judge_as("agent", "shop", "SELECT * FROM staff", &v);
    ck_assert_uint_eq(v.position, 0);
}
END_TEST

#define HEAD "version: 1\ndatabases:\n  shop: {}\nrules:\n"
#define RULE HEAD "  - name: r\n    groups: [g]\n    database: shop\n"
static const struct {
    const char *text;
    unsigned line, column;
    const char *says;
} mistakes[] = {
    {"databases: {shop: {}}\nrules: []\n", 1, 1, "version: 1"},
    {"version: 2\ndatabases: {shop: {}}\nrules: []\n", 1, 10, "range"},
    {"version: 1\nrules: []\n", 1, 1, "databases"},
    {"version: 1\ndatabases: {shop: {}}\n", 1, 1, "rules"},
    {"version: 1\ndatabases: {shop: {mode: off}}\nrules: []\n", 2, 26, "enforce, observe"},
    {"version: 1\ndatabases: {shop: {moed: observe}}\nrules: []\n", 2, 20, "did you mean \"mode\""},
    {"version: 1\ndatabases: {\"*\": {}}\nrules: []\n", 2, 13, "by name"},
    {"version: 1\ndatabases:\n  shop:\nrules: []\n", 3, 3, "map"},
    {HEAD "  - groups: [g]\n", 5, 5, "name"},
    {HEAD "  - name: r\n    group: [g]\n", 6, 5, "did you mean \"groups\""},
    {HEAD "  - name: r\n    groups: [g]\n", 5, 5, "\"database\" is missing"},
    {RULE, 5, 5, "allow, deny or ask"},
    {RULE "    allow: select\n    deny: select\n    on: a.b\n", 9, 11, "make two rules"},
    {RULE "    allow: selct\n    on: a.b\n", 8, 12, "no action"},
    {RULE "    allow: [select, 5]\n    on: a.b\n", 8, 21, "text"},
    {RULE "    allow: []\n", 8, 12, "empty"},
    {RULE "    allow: select\n", 5, 5, "\"on\" is missing"},
    {RULE "    allow: notify\n    on: a.b\n", 9, 9, "no effect"},
    {RULE "    allow: select\n    on: []\n", 9, 9, "empty"},
    {RULE "    allow: select\n    on: [a.b, orders]\n", 9, 15, "schema.name"},
    {RULE "    allow: select\n    on: a.b.c\n", 9, 9, "more than"},
    {RULE "    allow: select\n    on: public.Orders\n", 9, 9, "lower case"},
    {RULE "    allow: select\n    on: public.\n", 9, 9, "empty name"},
    {RULE "    allow: select\n    on: pg_temp.*\n", 9, 9, "temp"},
    {RULE "    allow: select\n    on: a.b\n    reason: x\n", 10, 13, "only a deny rule"},
    {RULE "    deny: select\n    on: a.b\n", 5, 5, "reason"},
    {RULE "    allow: select\n    on: \"*.*\"\n    unpin: true\n", 10, 12, "no name matters"},
    {RULE "    allow: all\n    on: public.*\n    unpin: true\n", 10, 12, "no name matters"},
    {RULE "    allow: [read, write, ddl]\n    on: \"*.*\"\n    unpin: true\n", 10, 12, "no name matters"},
    {RULE "    deny: all\n    on: \"*.*\"\n    reason: x\n    unpin: true\n", 11, 12, "no name matters"},
    {RULE "    allow: all\n    on: \"*.*\"\n    unpin: yes\n", 10, 12, "true"},
    {RULE "    deny: select\n    on: a.b\n    reason: x\n    functions: a.b\n", 11, 16, "cannot list"},
    {HEAD "  - name: r\n    database: shop\n    allow: select\n    on: a.b\n", 5, 5, "groups or principals"},
    {HEAD "  - name: r\n    groups: []\n    database: shop\n    allow: select\n    on: a.b\n", 6, 13, "empty"},
    {HEAD "  - name: r\n    groups: g\n    database: [shop, shp]\n    allow: select\n    on: a.b\n", 7, 22, "shp"},
    {RULE "    allow: select\n    on: a.b\n  - name: r\n    groups: g\n    database: shop\n    allow: select\n    on: a.b\n", 10, 11,
     "line 5"},
    {"version: 1\ndatabases: {shop: {}}\nrules: {}\n", 3, 8, "list"},
};

START_TEST(mistake) {
    struct pol_error e;
    struct pol_policy *p = pol_policy_load_text("p.yaml", mistakes[_i].text, strlen(mistakes[_i].text), &e);
    ck_assert_msg(p == NULL, "accepted:\n%s", mistakes[_i].text);
    char text[1024];
    pol_error_format(&e, text, sizeof text);
    ck_assert_msg(e.line == mistakes[_i].line && e.column == mistakes[_i].column && strstr(e.text, mistakes[_i].says) != NULL, "%s\n%s",
                  mistakes[_i].text, text);
}
END_TEST

START_TEST(ten_thousand_rules) {
    size_t room = 2000000, n = 0;
    char *text = malloc(room);
    n += (size_t)snprintf(text, room, HEAD);
    for (int i = 0; i < 10000; i++)
        n += (size_t)snprintf(text + n, room - n, "  - {name: r%d, groups: g, database: shop, allow: select, on: s.t%d}\n", i, i);
    struct pol_error e;
    struct pol_policy *p = pol_policy_load_text("p", text, n, &e);
    free(text);
    ck_assert_ptr_nonnull(p);
    const char *const groups[] = {"g"};
    struct pol_subject who = {.groups = groups, .ngroups = 1};
    struct pol_role *r = pol_role_new(p, &who, "shop", NULL);
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_pg("SELECT * FROM s.t9999, s.t1", 27, NULL, &err);
    struct pol_verdict v;
    pol_judge(r, f, &v);
    ck_assert_int_eq(v.effect, POL_ALLOW);
    pol_facts_free(f);
    pol_role_free(r);
    pol_policy_unref(p);
}
END_TEST

/* Rules with a '*': of one schema each (two in three, some with the same hash), and of any schema. */
static struct pol_role *glob_role(struct pol_policy **p, size_t rules) {
    char *text = malloc(rules * 120 + 200), *at = text;
    struct pol_error err;
    ck_assert_ptr_nonnull(text);
    at += sprintf(at, "version: 1\ndatabases: { shop: { mode: enforce } }\nrules:\n");
    for (size_t i = 0; i < rules; i++)
        at += sprintf(at,
                      i % 3 == 0 ? "  - { name: r%zu, groups: g, database: shop, allow: select, on: \"*.t%zu_*\" }\n"
                                 : "  - { name: r%zu, groups: g, database: shop, allow: select, on: \"s%zu.*\" }\n",
                      i, i % 1000);
    *p = pol_policy_load_text("p", text, (size_t)(at - text), &err);
    ck_assert_msg(*p != NULL, "%s", err.text);
    free(text);
    const char *const groups[] = {"g"};
    struct pol_role *r = pol_role_new(*p, &(struct pol_subject){.groups = groups, .ngroups = 1}, "shop", NULL);
    ck_assert_ptr_nonnull(r);
    return r;
}

START_TEST(globs_are_found_by_schema) {
    struct pol_policy *p;
    struct pol_role *r = glob_role(&p, 4000);
    ck_assert_uint_eq(r->nglobs, 4000);
    for (unsigned k = 0; k < 2000; k++) {
        char schema[16], name[16];
        snprintf(schema, sizeof schema, "s%u", k % 1100);
        snprintf(name, sizeof name, "t%u_x", (k * 7) % 1100);
        struct pol_glob_at at = pol_glob_begin(r, schema);
        const struct pol_entry *e = pol_glob_next(r, &at), *last = NULL;
        for (size_t i = 0; i < r->nglobs; i++) {
            if (!pol_matches(r->globs[i].pattern, schema, name)) continue;
            while (e != NULL && e < &r->globs[i]) { /* others of the same hash */
                ck_assert(last == NULL || e > last);
                last = e;
                e = pol_glob_next(r, &at);
            }
            ck_assert_ptr_eq(e, &r->globs[i]);
            e = pol_glob_next(r, &at);
        }
    }
    ck_assert_uint_lt(r->most, 1334 + 100); /* a third of them is wild */
    pol_role_free(r);
    pol_policy_unref(p);
}
END_TEST

/* The first rule in the file that grants something is named, whatever way it was found; and much work is known before it is done. */
START_TEST(many_relations_and_globs) {
    struct pol_policy *p;
    struct pol_role *r = glob_role(&p, 4000);
    struct pol_parse_error err;
    struct pol_verdict v;
    char sql[40000], *at = sql;
    at += sprintf(at, "SELECT now() FROM s7.a");
    struct pol_facts *few = pol_facts_pg(sql, (size_t)(at - sql), NULL, &err);
    ck_assert_ptr_nonnull(few);
    ck_assert(!pol_judge_long(r, few));
    pol_judge(r, few, &v);
    ck_assert_int_eq(v.effect, POL_ALLOW);
    ck_assert_str_eq(v.rule, "r7");
    pol_facts_free(few);
    at = sql;
    at += sprintf(at, "SELECT now() FROM s5.a");
    for (unsigned i = 0; i < 1000; i++) at += sprintf(at, ", public.t%u_y AS a%u", 999 - i - (999 - i) % 3, i);
    struct pol_facts *many = pol_facts_pg(sql, (size_t)(at - sql), NULL, &err);
    ck_assert_ptr_nonnull(many);
    ck_assert(pol_judge_long(r, many));
    pol_judge(r, many, &v);
    ck_assert_msg(v.effect == POL_ALLOW, "%s", v.message);
    ck_assert_str_eq(v.rule, "r0");
    pol_facts_free(many);
    at += sprintf(at, ", public.t7");
    many = pol_facts_pg(sql, (size_t)(at - sql), NULL, &err);
    pol_judge(r, many, &v);
    ck_assert_int_eq(v.effect, POL_DENY);
    ck_assert_ptr_nonnull(strstr(v.message, "public.t7"));
    pol_facts_free(many);
    pol_role_free(r);
    pol_policy_unref(p);
}
END_TEST

/* A rule with limits is held against each relation, pattern by pattern: one rule may have thousands. */
START_TEST(many_relations_and_one_rule) {
    char *text = malloc(200000), *at = text;
    struct pol_error err;
    struct pol_parse_error perr;
    at += sprintf(at, "version: 1\ndatabases: { shop: { mode: enforce } }\nrules:\n"
                      "  - { name: r, groups: g, database: shop, allow: select, limits: { rows: 9 }, on: [public.x0");
    for (unsigned i = 1; i < 5000; i++) at += sprintf(at, ", public.x%u", i);
    at += sprintf(at, "] }\n");
    struct pol_policy *p = pol_policy_load_text("p", text, (size_t)(at - text), &err);
    ck_assert_msg(p != NULL, "%s", err.text);
    const char *const groups[] = {"g"};
    struct pol_role *r = pol_role_new(p, &(struct pol_subject){.groups = groups, .ngroups = 1}, "shop", NULL);
    ck_assert_ptr_nonnull(r);
    for (unsigned n = 1; n <= 1000; n += 999) {
        at = text + sprintf(text, "SELECT FROM public.x0");
        for (unsigned i = 1; i < n; i++) at += sprintf(at, ", public.x%u", i);
        struct pol_facts *f = pol_facts_pg(text, (size_t)(at - text), NULL, &perr);
        ck_assert_ptr_nonnull(f);
        ck_assert_int_eq(pol_judge_long(r, f), n > 1);
        pol_facts_free(f);
    }
    free(text);
    pol_role_free(r);
    pol_policy_unref(p);
}
END_TEST

START_TEST(tables_are_sorted) {
    ck_assert_msg(pg_catalog_out_of_order() == NULL, "%s", pg_catalog_out_of_order());
    ck_assert_msg(pg_functions_out_of_order() == NULL, "%s", pg_functions_out_of_order());
    ck_assert_msg(pg_settings_out_of_order() == NULL, "%s", pg_settings_out_of_order());
}
END_TEST

/* What looks like a column is said only of what may be one. */
START_TEST(hint_of_columns) {
    static const char *const columns[] = {"SELECT ('x'::text).pg_read_file", "SELECT t.pg_read_file FROM lower('x') t",
                                          "SELECT pg_read_file('a'), t.pg_read_file FROM lower('x') t"};
    struct pol_verdict v;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        judge_as("agent", "shop", columns[i], &v);
        ck_assert_ptr_nonnull(strstr(v.hint, "If pg_read_file is a column"));
    }
    judge_as("agent", "shop", "SELECT pg_sleep(1)", &v);
    ck_assert_str_eq(v.hint, "A rule can list it under \"functions\".");
}
END_TEST

int main(void) {
    Suite *s = suite_create("policy");
    TCase *t = tcase_create("all");
    tcase_add_test(t, tables_are_sorted);
    tcase_add_loop_test(t, verdict, 0, sizeof verdicts / sizeof *verdicts);
    tcase_add_test(t, roles);
    tcase_add_test(t, refused_statement_is_named);
    tcase_add_test(t, hint_of_columns);
    tcase_add_test(t, unpins);
    tcase_add_test(t, who_is_everything);
    tcase_add_test(t, syntax_error_has_a_position);
    tcase_add_loop_test(t, mistake, 0, sizeof mistakes / sizeof *mistakes);
    tcase_add_test(t, ten_thousand_rules);
    tcase_add_test(t, globs_are_found_by_schema);
    tcase_add_test(t, many_relations_and_globs);
    tcase_add_test(t, many_relations_and_one_rule);
    suite_add_tcase(s, t);
    return run_suite(s);
}
