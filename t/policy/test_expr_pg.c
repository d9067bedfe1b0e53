#include "policy/expr_pg.h"

#include "filters/bytes.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <string.h>

/* The template's bytes as somebody can read them: \1 row, {name} claim, {} principal, \4 value. */
static void readable(const char *sql, char *out, size_t size) {
    size_t n = 0;
    bool in = false;
    for (; *sql != '\0' && n + 8 < size; sql++) {
        if (*sql == POL_T_ROW)
            n += (size_t)snprintf(out + n, size - n, "r");
        else if (*sql == POL_T_VALUE)
            out[n++] = '@';
        else if (*sql == POL_T_PRINCIPAL)
            n += (size_t)snprintf(out + n, size - n, "{}");
        else if (*sql == POL_T_CLAIM)
            out[n++] = (in = !in) ? '{' : '}';
        else
            out[n++] = *sql;
    }
    out[n] = '\0';
}

static const struct {
    const char *value, *text, *want; /* want beginning with "!": a part of the sentence why not */
} cases[] = {
    {NULL, "region = 'eu'", "(r.\"region\" OPERATOR(pg_catalog.=) 'eu')"},
    {NULL, "Region = 'o''x'", "(r.\"region\" OPERATOR(pg_catalog.=) 'o''x')"},
    {NULL, "\"Odd \"\"N\" IS NOT NULL", "(r.\"Odd \"\"N\" IS NOT NULL)"},
    {NULL, "region = ${claim:region} AND owner = ${principal}",
     "((r.\"region\" OPERATOR(pg_catalog.=) {region}) AND (r.\"owner\" OPERATOR(pg_catalog.=) {}))"},
    {NULL, "region IN (${claim:a}, 'x')", "((r.\"region\" OPERATOR(pg_catalog.=) {a}) OR (r.\"region\" OPERATOR(pg_catalog.=) 'x'))"},
    {NULL, "id NOT IN (1, -2)", "((r.\"id\" OPERATOR(pg_catalog.<>) (1)) AND (r.\"id\" OPERATOR(pg_catalog.<>) (-2)))"},
    {NULL, "id BETWEEN 1 AND 1.5e3", "((r.\"id\" OPERATOR(pg_catalog.>=) (1)) AND (r.\"id\" OPERATOR(pg_catalog.<=) (1.5e3)))"},
    {NULL, "id NOT BETWEEN 0 AND 5", "((r.\"id\" OPERATOR(pg_catalog.<) (0)) OR (r.\"id\" OPERATOR(pg_catalog.>) (5)))"},
    {NULL, "NOT (a OR b)", "(NOT (r.\"a\" OR r.\"b\"))"},
    {NULL, "name LIKE 'a%' OR name NOT ILIKE 'b%'",
     "((r.\"name\" OPERATOR(pg_catalog.~~) 'a%') OR (r.\"name\" OPERATOR(pg_catalog.!~~*) 'b%'))"},
    {NULL, "lower(name) = 'x' -- why", "(pg_catalog.\"lower\"(r.\"name\") OPERATOR(pg_catalog.=) 'x')"},
    {NULL, "CASE kind WHEN 1 THEN true ELSE active IS NOT FALSE END",
     "(CASE WHEN (r.\"kind\" OPERATOR(pg_catalog.=) (1)) THEN true ELSE (r.\"active\" IS NOT FALSE) END)"},
    {NULL, "extract(year FROM d) > 2000", "(pg_catalog.\"extract\"('year', r.\"d\") OPERATOR(pg_catalog.>) (2000))"},
    {NULL, "substring(a from 1 for 2) = 'x'", "(pg_catalog.\"substring\"(r.\"a\", (1), (2)) OPERATOR(pg_catalog.=) 'x')"},
    {NULL, "d >= '2026-01-01'::date", "(r.\"d\" OPERATOR(pg_catalog.>=) CAST('2026-01-01' AS pg_catalog.\"date\"))"},
    {NULL, "a::varchar(3) = 'x'", "(CAST(r.\"a\" AS pg_catalog.\"varchar\"( 3 )) OPERATOR(pg_catalog.=) 'x')"},
    {NULL, "greatest(a, b) = least(1) AND coalesce(a, 0) = 1",
     "((GREATEST(r.\"a\", r.\"b\") OPERATOR(pg_catalog.=) LEAST((1))) AND (COALESCE(r.\"a\", (0)) OPERATOR(pg_catalog.=) (1)))"},
    {NULL, "true", "true"},
    {NULL, "a = $$x$$", "(r.\"a\" OPERATOR(pg_catalog.=) 'x')"},
    {NULL, "a = E'x\\\\y'", "(r.\"a\" OPERATOR(pg_catalog.=) 'x\\y')"},
    {"email", "upper(left(email, 1)) || '***'", "(pg_catalog.\"upper\"(pg_catalog.\"left\"(@, (1))) OPERATOR(pg_catalog.||) '***')"},
    {"email", "length(value)", "pg_catalog.\"length\"(@)"},
    {NULL, "pg_catalog.lower(a) OPERATOR(pg_catalog.=) 'x'", "(pg_catalog.\"lower\"(r.\"a\") OPERATOR(pg_catalog.=) 'x')"},
    /* not one expression */
    {NULL, "", "!syntax error"},
    {NULL, "true) FROM pg_class WHERE (true", "!one expression"},
    {NULL, "true); DROP TABLE x; SELECT (1", "!one expression"},
    {NULL, "true), (false", "!one expression"},
    {NULL, "true /* open", "!"},
    {NULL, "true UNION SELECT true", "!"},
    {NULL, "a, b", "!not possible"},
    {NULL, "true) LIMIT (1", "!one expression"},
    /* names of others */
    {NULL, "t.region = 'x'", "!without its table"},
    {NULL, "t.*", "!"},
    {NULL, "(t).region", "!not possible"},
    {"email", "phone", "!own column"},
    {"email", "left(email, 1) || ${claim:x}", "!rows"},
    /* what reaches further, or changes with the session */
    {NULL, "id IN (SELECT 1)", "!subquery"},
    {NULL, "EXISTS (SELECT 1)", "!subquery"},
    {NULL, "pg_sleep(1) IS NULL", "!function pg_sleep"},
    {NULL, "public.lower(a) = 'x'", "!function"},
    {NULL, "now() > d", "!function now"},
    {NULL, "d < current_date", "!not possible"},
    {NULL, "owner = current_user", "!not possible"},
    {NULL, "random() < 0.5", "!function random"},
    {NULL, "current_setting('x') = a", "!function current_setting"},
    {NULL, "a OPERATOR(public.=) 1", "!operator"},
    {NULL, "a && b", "!operator"},
    {NULL, "a IS DISTINCT FROM b", "!IS DISTINCT"},
    {NULL, "nullif(a, b) = 1", "!NULLIF"},
    {NULL, "a = ANY (ARRAY[1])", "!ANY"},
    {NULL, "a SIMILAR TO 'x'", "!"},
    {NULL, "a::regclass = 1", "!cast"},
    {NULL, "a::public.text = 'x'", "!cast"},
    {NULL, "a::text[] = b", "!cast"},
    {NULL, "a COLLATE \"C\" = 'x'", "!not possible"},
    {NULL, "a = $1", "!$1"},
    {NULL, "a = ${region}", "!${claim:name}"},
    {NULL, "a = ${claim:}", "!${claim:name}"},
    {NULL, "a = '${claim:x}'", "!inside of quotes"},
    {NULL, "a = 'x' /* ${claim:x} */", "!inside of quotes"},
    {NULL, "a = ${claim:x", "!not closed"},
    {NULL, "a = 'x\x01y'", "!control character"},
    {NULL, "a = E'x\\001y'", "!control characters"},
    {NULL, "lower(VARIADIC a) = 'x'", "!not possible"},
    {NULL, "length(DISTINCT a) = 1", "!not possible"},
    {NULL, "length(a) OVER () = 1", "!not possible"},
    {NULL, "B'1' = a", "!bit strings"},
    {NULL, "xmlparse(content a) IS NULL", "!not possible"},
};

START_TEST(writes) {
    struct pol_arena *arena = pol_arena_new();
    char why[256], sql[1024] = "";
    const struct pol_expr *e = pol_expr_pg(arena, cases[_i].text, cases[_i].value, why, sizeof why);
    if (cases[_i].want[0] == '!') {
        ck_assert_msg(e == NULL, "%s became %s", cases[_i].text, e != NULL ? e->sql : "");
        ck_assert_msg(strstr(why, cases[_i].want + 1) != NULL && why[0] != '\0', "%s: %s", cases[_i].text, why);
    } else {
        ck_assert_msg(e != NULL, "%s: %s", cases[_i].text, why);
        readable(e->sql, sql, sizeof sql);
        ck_assert_str_eq(sql, cases[_i].want);
    }
    pol_arena_free(arena);
}
END_TEST

static const struct {
    const char *text;
    unsigned traits;
} traits[] = {
    {"region = 'eu'", POL_E_STRINGS | POL_E_NO_ZONE},
    {"d = '2026-01-31'", POL_E_NO_ZONE},
    {"d = '2026-01-31 10:00:00+00'", 0},
    {"d = '2026-01-31T10:00:00Z'", 0},
    {"d = '01/02/2026'", POL_E_STRINGS | POL_E_NO_ZONE},
    {"id = 1", 0},
    {"extract(year FROM d) = 1", POL_E_ZONED | POL_E_STRINGS | POL_E_NO_ZONE},
    {"d::date = e", POL_E_ZONED},
    {"d::text = e", POL_E_TEXT},
    {"a || b = c", POL_E_TEXT},
    {"abs(id) = 1", 0},
    {"id = ${claim:id}", POL_E_STRINGS | POL_E_NO_ZONE},
};

START_TEST(says_what_depends_on_settings) {
    struct pol_arena *arena = pol_arena_new();
    char why[256];
    const struct pol_expr *e = pol_expr_pg(arena, traits[_i].text, NULL, why, sizeof why);
    ck_assert_msg(e != NULL, "%s: %s", traits[_i].text, why);
    ck_assert_msg(e->traits == traits[_i].traits, "%s: %x", traits[_i].text, e->traits);
    pol_arena_free(arena);
}
END_TEST

START_TEST(bounds_its_work) {
    struct pol_arena *arena = pol_arena_new();
    char why[256], text[9000], *p = text;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    ck_assert_ptr_null(pol_expr_pg(arena, text, NULL, why, sizeof why));
    for (int i = 0; i < 2000; i++) p += sprintf(p, "NOT ");
    strcpy(p, "a");
    ck_assert_ptr_null(pol_expr_pg(arena, text, NULL, why, sizeof why));
    for (p = text, *p++ = 'a'; p < text + 1900;) p += sprintf(p, " IN (b, c, d, e)"); /* each repeats what is on its left */
    ck_assert_ptr_null(pol_expr_pg(arena, text, NULL, why, sizeof why));
    pol_arena_free(arena);
}
END_TEST

START_TEST(quotes) {
    struct buf b = BUF_INIT(1000);
    ck_assert(pol_put_literal(&b, "it's \\ ok \xc3\xa4"));
    ck_assert(!pol_put_literal(&b, "a\nb"));
    ck_assert(!pol_put_literal(&b, "a\x7f"));
    ck_assert(!pol_put_literal(&b, "\xff"));
    ck_assert(!pol_put_literal(&b, "\x01"));
    pol_put_ident(&b, "a\"b");
    buf_u8(&b, 0);
    ck_assert_str_eq((const char *)buf_at(&b), "'it''s \\ ok \xc3\xa4'\"a\"\"b\"");
    buf_free(&b);
}
END_TEST

int main(void) {
    Suite *s = suite_create("expr_pg");
    TCase *t = tcase_create("expr_pg");
    tcase_add_loop_test(t, writes, 0, sizeof cases / sizeof *cases);
    tcase_add_loop_test(t, says_what_depends_on_settings, 0, sizeof traits / sizeof *traits);
    tcase_add_test(t, bounds_its_work);
    tcase_add_test(t, quotes);
    suite_add_tcase(s, t);
    return run_suite(s);
}
