#include "policy/facts_my.h"
#include "policy/session_state.h"
#include "t/lib/guard.h"

#include <string.h>

static const char *const search_path[] = {"public"};
static const char *const settings[] = {"timezone", "UTC", NULL};
static const struct pol_pins pins = {.search_path = search_path, .nsearch_path = 1, .settings = settings};

static struct pol_facts *facts(const char *sql) {
    struct pol_parse_error err;
    struct pol_facts *f = pol_facts_pg(sql, strlen(sql), NULL, &err);
    ck_assert_msg(f != NULL, "%s: %s", sql, err.text);
    return f;
}

/* What is said of it; NULL: it can be agreed to. */
static const struct {
    const char *sql, *says;
} reads[] = {
    {"UPDATE public.orders SET status = 'x' WHERE id = current_setting('application_name')::int", "the setting application_name"},
    {"UPDATE orders SET status = 'x' WHERE id = pg_catalog.current_setting('my.var', true)::int", "the setting my.var"},
    {"UPDATE orders SET status = current_setting(status)", "the function current_setting"},
    {"SELECT current_setting('extra_float_digits')", "the setting extra_float_digits"},
    {"SELECT current_setting('gatehouse.session')", "the setting gatehouse.session"},
    {"SELECT current_setting('gatehouse.principal')", NULL},
    {"SELECT current_setting('search_path')", NULL},
    {"SELECT current_setting('TimeZone')", NULL},
    {"SELECT current_setting('server_version_num')", NULL},
    {"SHOW application_name", "the setting application_name"},
    {"SELECT setting FROM pg_settings WHERE name = 'application_name'", "pg_settings"},
    {"SELECT * FROM pg_catalog.pg_show_all_settings()", "the function pg_show_all_settings"},
    {"DELETE FROM orders WHERE note = (SELECT application_name FROM pg_stat_activity LIMIT 1)", "pg_stat_activity"},
    {"DELETE FROM orders WHERE id = (SELECT n_tup_ins FROM pg_stat_xact_user_tables)", "pg_stat_xact_user_tables"},
    {"UPDATE orders SET status = 'x' WHERE CURRENT OF c", "the cursor c"},
    {"WITH w AS (SELECT 1) DELETE FROM orders WHERE CURRENT OF c", "the cursor c"},
    {"DELETE FROM staff WHERE id = 1; FETCH 1 FROM c", "the cursor c"},
    {"EXECUTE p(1)", "the prepared statement p"},
    {"DELETE FROM orders WHERE id = currval('s')", "currval()"},
    {"DELETE FROM orders WHERE id = lastval()", "the function lastval"},
    {"DELETE FROM orders WHERE id = pg_backend_pid() % 4", "the function pg_backend_pid"},
    {"DELETE FROM orders WHERE id = pg_catalog.txid_current()", "the function txid_current"},
    {"DELETE FROM orders WHERE id = pg_stat_get_xact_tuples_inserted(1)", "the function pg_stat_get_xact_tuples_inserted"},
    {"DELETE FROM orders WHERE pg_try_advisory_lock(id)", "the function pg_try_advisory_lock"},
    {"DELETE FROM orders WHERE id = lo_open(1, 2)", "the function lo_open, of which it is not known"},
    {"DELETE FROM orders WHERE pg_catalog.of_a_newer_version()", "the function of_a_newer_version, of which it is not known"},
    {"DELETE FROM orders WHERE pg_of_a_newer_version()", "the function pg_of_a_newer_version, of which it is not known"},
    {"DELETE FROM orders WHERE at > pg_stat_get_snapshot_timestamp()",
     "the function pg_stat_get_snapshot_timestamp, of which it is not known"},
    {"DELETE FROM orders WHERE id = (SELECT count(*) FROM pg_stat_of_a_newer_version)",
     "pg_stat_of_a_newer_version, of which it is not known"},
    {"DELETE FROM orders WHERE id = (SELECT count(*) FROM pg_catalog.pg_stat_progress_vacuum)",
     "pg_stat_progress_vacuum, of which it is not known"},
    {"SELECT pg_reload_conf(), pg_read_file('x'), pg_sleep(1), of_ours(), public.pg_of_ours(), lower('X'), pg_relation_size('orders')",
     NULL},
    {"SELECT FROM pg_stat_user_tables, pg_stats, pg_class, information_schema.tables, public.pg_ours", NULL},
    {"DELETE FROM orders WHERE id = ANY (SELECT id FROM pg_temp.picks)", "the temporary relation picks"},
    {"DELETE FROM orders WHERE id = ANY (SELECT id FROM pg_temp_3.picks)", "the temporary relation picks"},
    {"SELECT pg_temp.f()", "the temporary function f"},
    {"CREATE TEMP TABLE picks AS SELECT 3 AS id", NULL},
    {"DELETE FROM orders WHERE id = floor(random() * 4) AND at < now()", NULL},
    {"INSERT INTO orders (id) VALUES (nextval('s'))", NULL},
    {"DELETE FROM orders WHERE owner = current_user", NULL},
    {"SET work_mem = '1MB'; DELETE FROM orders WHERE id = 1", NULL},
};

static const struct {
    const char *sql;
    bool tells;
} times[] = {
    {"DELETE FROM orders WHERE at >= 'today'", true},
    {"DELETE FROM orders WHERE at >= 'TODAY 10:00'::timestamptz", true},
    {"DELETE FROM orders WHERE at >= timestamp ' now '", true},
    {"DELETE FROM orders WHERE at >= E't\\x6fday'", true},
    {"DELETE FROM orders WHERE at >= U&'t\\006fday'", true},
    {"DELETE FROM orders WHERE at >= 'to'\n'day'", true},
    {"DELETE FROM orders WHERE at >= $$yesterday$$", true},
    {"DELETE FROM orders WHERE at = ANY ('{2026-01-01,now}'::date[])", true},
    {"DELETE FROM orders WHERE at = ANY ('{\"n\\ow\"}'::date[])", true},
    {"DELETE FROM orders WHERE at <@ '[to\"da\"y,)'::daterange", true},
    {"DELETE FROM orders WHERE (at, 1) = '(n\"ow\",1)'::r", true},
    {"DELETE FROM orders WHERE at = E'\\nnow'", true},
    {"DELETE FROM orders WHERE at = E'\\x01tomorrow'", true},
    {"DELETE FROM orders WHERE at >= now() AND at < CURRENT_DATE", false},
    {"DELETE FROM today WHERE now = '2026-01-01'", false},
    {"UPDATE orders SET status = 'known', note = 'snowman' WHERE id = 1", false},
    {"DELETE FROM orders WHERE at = 'epoch'", false},
    {"no SQL", true},
};

START_TEST(the_time) { ck_assert_msg(pol_tells_time(times[_i].sql, strlen(times[_i].sql)) == times[_i].tells, "%s", times[_i].sql); }
END_TEST

START_TEST(what_it_reads) {
    struct pol_unaskable u = {.why = ""};
    struct pol_facts *f = facts(reads[_i].sql);
    bool yes = pol_reads_session(f, &pins, &u);
    ck_assert_msg(yes == (reads[_i].says != NULL) && (!yes || strstr(u.why, reads[_i].says) != NULL), "%s: %s", reads[_i].sql, u.why);
    ck_assert(!yes || u.hint != NULL);
    pol_facts_free(f);
}
END_TEST

/* Over HTTP nobody knows what settings the connection has. */
START_TEST(without_a_session) {
    struct pol_unaskable u;
    struct pol_facts *f = facts("SELECT current_setting('gatehouse.principal')");
    ck_assert(pol_reads_session(f, NULL, &u));
    pol_facts_free(f);
    f = facts("SELECT current_setting('server_version')");
    ck_assert(!pol_reads_session(f, NULL, &u));
    pol_facts_free(f);
}
END_TEST

static const struct {
    const char *sql, *says;
} shadows[] = {
    {"UPDATE public.orders SET status = 'x' WHERE id IN (SELECT id FROM picks)", "the relation picks"},
    {"UPDATE public.orders SET status = 'x' WHERE id = 3", NULL},
    {"UPDATE public.orders o SET status = 'x' FROM public.staff s WHERE o.id = s.id", NULL},
    {"WITH picks AS (SELECT 3 AS id) DELETE FROM public.orders WHERE id IN (SELECT id FROM picks)", NULL},
    {"DELETE FROM public.orders WHERE oid IN (SELECT oid FROM pg_class)", "the relation pg_class"},
    {"DELETE FROM public.orders WHERE note = 'a'::text", "the type text"},
    {"DELETE FROM public.orders WHERE note = 'a'::pg_catalog.text", NULL},
    {"DELETE FROM public.orders WHERE id = '7'::int AND at < timestamp '2020-01-01'", NULL},
    {"DELETE FROM public.orders WHERE rel = 'picks'::pg_catalog.regclass", "the type regclass"},
    {"DELETE FROM public.orders WHERE rel = regclass('picks')", "the function regclass"},
    {"DELETE FROM public.orders WHERE id = pg_relation_size('picks')", "the function pg_relation_size"},
    {"INSERT INTO public.orders SELECT * FROM json_to_record('{}') AS t(id int, note text)", "the type text"},
    {"INSERT INTO public.orders (id) VALUES (nextval('s'))", "the relation s"},
    {"INSERT INTO public.orders (id) VALUES (nextval('public.s'))", NULL},
    {"DROP TABLE public.orders", NULL},
    {"DROP TABLE orders", "the relation orders"},
    {"DROP TYPE status", "names of other objects"},
    {"CREATE TABLE public.t (a money_of_ours)", "the type money_of_ours"},
    {"DO 'BEGIN END'", "names that cannot be seen"},
};

START_TEST(what_could_be_shadowed) {
    struct pol_unaskable u = {.why = ""};
    struct pol_facts *f = facts(shadows[_i].sql);
    bool yes = pol_temp_could_shadow(f, &u);
    ck_assert_msg(yes == (shadows[_i].says != NULL) && (!yes || strstr(u.why, shadows[_i].says) != NULL), "%s: %s", shadows[_i].sql, u.why);
    pol_facts_free(f);
}
END_TEST

static const struct {
    const char *sql;
    unsigned leaves;
} left[] = {
    {"SELECT lower(note), count(*) FROM orders", 0},
    {"SELECT pg_sleep(0), nextval('s'), pg_advisory_lock(1), pg_table_is_visible(1)", 0},
    {"CREATE TEMP TABLE t (a int)", POL_LEAVES_TEMP},
    {"SELECT 1 INTO TEMP t", POL_LEAVES_TEMP},
    {"CREATE TABLE pg_temp.t AS SELECT 1", POL_LEAVES_TEMP},
    {"CREATE TEMP VIEW v AS SELECT 1", POL_LEAVES_TEMP},
    {"CREATE TEMP SEQUENCE s", POL_LEAVES_TEMP},
    {"SELECT public.f()", POL_LEAVES_UNSEEN},
    {"SELECT f()", POL_LEAVES_UNSEEN},
    {"SELECT 1 OPERATOR(public.+) 2", POL_LEAVES_UNSEEN},
    {"SELECT query_to_xml('SELECT f()', true, true, '')", POL_LEAVES_UNSEEN},
    {"DO 'BEGIN END'", POL_LEAVES_UNSEEN},
    {"CALL public.p()", POL_LEAVES_UNSEEN},
    {"SELECT setseed(0.5)", POL_LEAVES_SEED},
    {"SELECT set_config(note, '1', false) FROM orders", POL_LEAVES_UNSEEN | POL_LEAVES_SETTINGS},
};

START_TEST(what_it_leaves) {
    struct pol_facts *f = facts(left[_i].sql);
    ck_assert_msg(pol_leaves(f) == left[_i].leaves, "%s: %x", left[_i].sql, pol_leaves(f));
    pol_facts_free(f);
}
END_TEST

START_TEST(mysql) {
    static const struct {
        const char *sql;
        unsigned leaves;
    } my[] = {{"CREATE TEMPORARY TABLE t (a int)", POL_LEAVES_TEMP},
              {"CALL p()", POL_LEAVES_UNSEEN},
              {"SELECT f(1)", POL_LEAVES_UNSEEN},
              {"SELECT lower('A')", 0}};
    const struct my_options o = {.server = MY_MARIADB, .version = 101106, .default_db = "shop"};
    struct pol_parse_error err;
    struct pol_unaskable u;
    for (size_t i = 0; i < sizeof my / sizeof *my; i++) {
        struct pol_facts *f = pol_facts_my(my[i].sql, strlen(my[i].sql), &o, &err);
        ck_assert_msg(f != NULL && pol_leaves(f) == my[i].leaves, "%s", my[i].sql);
        ck_assert(pol_temp_could_shadow(f, &u));
        pol_facts_free(f);
    }
    struct pol_facts *f = pol_facts_my("EXECUTE p", 9, &o, &err);
    ck_assert(pol_reads_session(f, NULL, &u));
    pol_facts_free(f);
}
END_TEST

START_TEST(tables_are_sorted) { ck_assert_msg(pol_session_state_out_of_order() == NULL, "%s", pol_session_state_out_of_order()); }
END_TEST

int main(void) {
    Suite *s = suite_create("session_state");
    TCase *c = tcase_create("session_state");
    tcase_add_loop_test(c, the_time, 0, sizeof times / sizeof *times);
    tcase_add_loop_test(c, what_it_reads, 0, sizeof reads / sizeof *reads);
    tcase_add_test(c, without_a_session);
    tcase_add_loop_test(c, what_could_be_shadowed, 0, sizeof shadows / sizeof *shadows);
    tcase_add_loop_test(c, what_it_leaves, 0, sizeof left / sizeof *left);
    tcase_add_test(c, mysql);
    tcase_add_test(c, tables_are_sorted);
    suite_add_tcase(s, c);
    return run_suite(s);
}
