#include "policy/catalog.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "{\"gatehouse_catalog\":1,\"server\":150018,\"database\":\"shop\"}\n"
#define TYPE "{\"type\":23,\"schema\":\"pg_catalog\",\"name\":\"int4\",\"kind\":\"b\",\"category\":\"N\",\"base\":0,\"array\":false}\n"
#define TAIL "\"row_security\":false,\"security_barrier\":false}\n"
#define TABLE(oid, name, columns, parents)                                                                                                 \
    "{\"relation\":" oid ",\"schema\":\"public\",\"name\":\"" name "\",\"kind\":\"r\",\"columns\":[" columns                               \
    "],\"key\":[1],\"parents\":[" parents "],\"definition\":null,\"reads\":[]," TAIL
#define ID        "[\"id\", 1, 23, \"integer\", \"n\"]"
#define CUSTOMERS TABLE("16385", "customers", ID ",[\"e\\\"mail\", 3, 25, \"text\", \"\"],[\"n\", 4, 20, \"bigint\", \"nga\"]", "")
#define VIEW                                                                                                                               \
    "{\"relation\":16390,\"schema\":\"public\",\"name\":\"v\",\"kind\":\"v\",\"columns\":[[\"id\",1,23,\"integer\",\"\"]],\"key\":[],"     \
    "\"parents\":[],\"definition\":\" SELECT 1\\n\",\"reads\":[16385],\"row_security\":true,\"security_barrier\":true}\n"
#define FUNCTION(oid, name, args, flags)                                                                                                   \
    "{\"function\":" oid ",\"schema\":\"pg_catalog\",\"name\":\"" name "\",\"returns\":25,\"args\":[" args                                 \
    "],\"kind\":\"f\",\"volatility\":\"i\",\"flags\":\"" flags "\"}\n"
#define FUNCTIONS FUNCTION("870", "lower", "25", "s") FUNCTION("3", "lower", "3831", "lrdvq") FUNCTION("2", "upper", "", "")

static char why[400];

/* The text ends at an unreadable page. */
static struct pol_catalog *parse(const char *text) {
    size_t n = strlen(text);
    uint8_t *p = guard_copy(text, n);
    struct pol_catalog *c = pol_catalog_parse((const char *)p, n, why, sizeof why);
    guard_free(p, n);
    return c;
}

START_TEST(reads) {
    /* A child may come before its parent. */
    struct pol_catalog *c = parse(HEAD FUNCTIONS TYPE TABLE("16387", "grandchild", ID, "16386") TABLE("16386", "child", ID, "16385,16388")
                                      VIEW CUSTOMERS TABLE("16388", "other", "", "") "{\"end\":9}");
    ck_assert_msg(c != NULL, "%s", why);
    ck_assert_str_eq(pol_catalog_database(c), "shop");
    ck_assert_uint_eq(pol_catalog_server(c), 150018);
    ck_assert_uint_eq(pol_catalog_relations(c), 5);
    ck_assert_ptr_nonnull(pol_catalog_relation_at(c, 4));
    ck_assert_ptr_null(pol_catalog_relation_at(c, 5));
    const struct pol_cat_relation *r = pol_catalog_relation(c, "public", "customers");
    ck_assert_ptr_nonnull(r);
    ck_assert_ptr_eq(r, pol_catalog_relation_oid(c, 16385));
    ck_assert(r->kind == 'r' && r->ncolumns == 3 && r->nkey == 1 && r->key[0] == 1 && r->nparents == 0 && r->definition == NULL);
    const struct pol_cat_column *col = pol_cat_column(r, "e\"mail");
    ck_assert_ptr_eq(col, &r->columns[1]);
    ck_assert(col->number == 3 && col->type == 25 && !col->not_null && !col->generated && !col->identity_always);
    ck_assert_str_eq(col->typ, "text");
    ck_assert(r->columns[0].not_null && r->columns[2].not_null && r->columns[2].generated && r->columns[2].identity_always);
    ck_assert_ptr_null(pol_cat_column(r, "email"));
    ck_assert_ptr_null(pol_catalog_relation(c, "public", "Customers"));
    ck_assert_ptr_null(pol_catalog_relation(c, "", "public.customers"));
    ck_assert_ptr_null(pol_catalog_relation_oid(c, 1));
    const struct pol_cat_relation *child = pol_catalog_relation(c, "public", "child");
    ck_assert_uint_eq(child->nparents, 2);
    ck_assert(child->parents[0] == r && child->parents[1] == pol_catalog_relation_oid(c, 16388));
    ck_assert_ptr_eq(pol_catalog_relation(c, "public", "grandchild")->parents[0], child);
    const struct pol_cat_relation *v = pol_catalog_relation(c, "public", "v");
    ck_assert(v->nreads == 1 && v->reads[0] == r && v->nkey == 0 && v->key == NULL && v->row_security && v->security_barrier);
    ck_assert_str_eq(v->definition, " SELECT 1\n");
    ck_assert_ptr_eq(pol_catalog_ref(c), c);
    pol_catalog_unref(c);
    pol_catalog_unref(c);
    pol_catalog_unref(NULL);
}
END_TEST

START_TEST(types_and_functions) {
    struct pol_catalog *c = parse(HEAD FUNCTIONS TYPE "\n{\"end\":4}\n");
    ck_assert_msg(c != NULL, "%s", why);
    const struct pol_cat_type *t = pol_catalog_type(c, 23);
    ck_assert(t != NULL && t->kind == 'b' && t->category == 'N' && t->base == 0 && !t->array);
    ck_assert_str_eq(t->name, "int4");
    ck_assert_ptr_null(pol_catalog_type(c, 24));
    size_t n;
    const struct pol_cat_function *f = pol_catalog_functions(c, "pg_catalog", "lower", &n);
    ck_assert_uint_eq(n, 2);
    ck_assert(f[0].oid == 3 && f[0].leakproof && f[0].set && f[0].definer && f[0].variadic && f[0].sql_language && !f[0].strict);
    ck_assert(f[1].oid == 870 && f[1].strict && f[1].nargs == 1 && f[1].args[0] == 25 && f[1].returns == 25 && f[1].volatility == 'i');
    ck_assert(pol_catalog_functions(c, "pg_catalog", "upper", &n) != NULL && n == 1);
    ck_assert(pol_catalog_functions(c, "pg_catalog", "", &n) == NULL && n == 0);
    ck_assert(pol_catalog_functions(c, "zzz", "upper", &n) == NULL && n == 0);
    pol_catalog_unref(c);
    c = parse(HEAD "{\"end\":0}\n");
    ck_assert_msg(c != NULL, "%s", why);
    ck_assert_ptr_null(pol_catalog_type(c, 23));
    ck_assert_ptr_null(pol_catalog_relation(c, "public", "customers"));
    ck_assert(pol_catalog_functions(c, "pg_catalog", "upper", &n) == NULL && n == 0);
    pol_catalog_unref(c);
}
END_TEST

static const struct {
    const char *text, *why;
} wrong[] = {
    {"", "it is empty"},
    {"\n\n", "it is empty"},
    {"{}", "line 1: neither type"},
    {"[]", "line 1: not a JSON object"},
    {"SELECT 1", "line 1: not a JSON object"},
    {"\xff", "not UTF-8"},
    {TYPE, "line 1: this is no catalog"},
    {HEAD HEAD, "line 2: a second head"},
    {"{\"gatehouse_catalog\":2,\"server\":1,\"database\":\"x\"}", "has version 2"},
    {"{\"gatehouse_catalog\":1,\"database\":\"x\"}", "server is missing"},
    {"{\"gatehouse_catalog\":1,\"server\":1,\"database\":2}", "database is missing"},
    {HEAD CUSTOMERS, "cut off"},
    {HEAD CUSTOMERS "{\"end\":2}", "the end says 2"},
    {HEAD "{\"end\":0}"
          "\n" TYPE,
     "line 3: something follows the end"},
    {HEAD CUSTOMERS CUSTOMERS "{\"end\":2}", "relation public.customers is there twice"},
    {HEAD CUSTOMERS TABLE("16385", "x", ID, "") "{\"end\":2}", "relation 16385 is there twice"},
    {HEAD TYPE TYPE "{\"end\":2}", "type 23 is there twice"},
    {HEAD VIEW "{\"end\":1}", "relation 16385, a parent or read by a view, is not there"},
    {HEAD TABLE("1", "a", ID, "2") "{\"end\":1}", "relation 2, a parent"},
    {HEAD TABLE("1", "a", ID, "1") "{\"end\":1}", "its own ancestor"},
    {HEAD TABLE("1", "a", ID, "2") TABLE("2", "b", ID, "3") TABLE("3", "c", ID, "1") "{\"end\":3}", "its own ancestor"},
    {HEAD TABLE("1", "a", "[\"id\",1,23,\"integer\"]", "") "{\"end\":1}", "a column is"},
    {HEAD TABLE("1", "a", "[\"id\",1,23,\"integer\",\"n\",1]", "") "{\"end\":1}", "a column is"},
    {HEAD TABLE("1", "a", "1", "") "{\"end\":1}", "a column is"},
    {HEAD TABLE("1", "a", "[\"id\",0,23,\"integer\",\"n\"]", "") "{\"end\":1}", "a column's number"},
    {HEAD TABLE("1", "a", "[\"id\",40000,23,\"integer\",\"n\"]", "") "{\"end\":1}", "a column's number"},
    {HEAD TABLE("1", "a", "[\"id\",1,-23,\"integer\",\"n\"]", "") "{\"end\":1}", "a column's type"},
    {HEAD TABLE("1", "a", "[\"id\",1,4294967296,\"integer\",\"n\"]", "") "{\"end\":1}", "a column's type"},
    {HEAD TABLE("1", "a", "[\"id\",1,23,\"integer\",\"x\"]", "") "{\"end\":1}", "not known here"},
    {HEAD TABLE("1", "a", ID "," ID, "") "{\"end\":1}", "not in the order of their numbers"},
    {HEAD TABLE("1", "a", "[\"id\",1,[23],\"integer\",\"x\"]", "") "{\"end\":1}", "a column's type"},
    {HEAD TABLE("1", "a", "[[[[1]]]]", "") "{\"end\":1}", "not a JSON object"},
    {HEAD "{\"relation\":1,\"schema\":\"s\",\"name\":\"n\",\"kind\":\"i\"}", "kind is not known"},
    {HEAD "{\"relation\":1,\"schema\":\"s\",\"name\":\"n\",\"kind\":\"r\"}", "columns is missing"},
    {HEAD "{\"relation\":1,\"schema\":\"s\"}", "name is missing"},
    {HEAD "{\"type\":1,\"schema\":\"s\",\"name\":\"n\",\"kind\":\"bb\"}", "kind is not known"},
    {HEAD "{\"type\":1,\"schema\":\"s\",\"name\":\"n\",\"kind\":\"b\",\"category\":\"X\",\"base\":0,\"array\":0}", "array is missing"},
    {HEAD FUNCTION("1", "f", "\"x\"", "") "{\"end\":1}", "args is missing"},
    {HEAD FUNCTION("1", "f", "", "x") "{\"end\":1}", "not known here"},
};

START_TEST(refuses) {
    struct pol_catalog *c = parse(wrong[_i].text);
    ck_assert_msg(c == NULL, "%s", wrong[_i].text);
    ck_assert_msg(strstr(why, wrong[_i].why) != NULL, "%s: %s", wrong[_i].text, why);
}
END_TEST

/* A text that is cut anywhere is refused: a catalog must not lack relations. */
START_TEST(cut) {
    static const char text[] = HEAD FUNCTIONS TYPE CUSTOMERS VIEW "{\"end\":6}";
    for (size_t n = 0; n < strlen(text); n++) {
        uint8_t *p = guard_copy(text, n);
        ck_assert_ptr_null(pol_catalog_parse((const char *)p, n, why, sizeof why));
        ck_assert_str_ne(why, "");
        guard_free(p, n);
    }
    struct pol_catalog *c = parse(text);
    ck_assert_msg(c != NULL, "%s", why);
    pol_catalog_unref(c);
}
END_TEST

START_TEST(bounds) {
    const unsigned n = POL_CAT_RELATIONS + 1;
    char *text = malloc((size_t)n * 250 + 200);
    for (unsigned over = 0; over < 2; over++) {
        size_t len = (size_t)sprintf(text, HEAD);
        for (unsigned i = 1; i <= POL_CAT_RELATIONS + over; i++)
            len += (size_t)sprintf(text + len,
                                   "{\"relation\":%u,\"schema\":\"public\",\"name\":\"t%u\",\"kind\":\"r\",\"columns\":[" ID
                                   "],\"key\":[],\"parents\":[],\"definition\":null,\"reads\":[]," TAIL,
                                   i, i);
        len += (size_t)sprintf(text + len, "{\"end\":%u}", POL_CAT_RELATIONS + over);
        struct pol_catalog *c = pol_catalog_parse(text, len, why, sizeof why);
        ck_assert_msg((c != NULL) == (over == 0), "%s", why);
        if (c == NULL) {
            ck_assert_ptr_nonnull(strstr(why, "more than 100000 relations"));
            continue;
        }
        for (unsigned i = 1; i <= POL_CAT_RELATIONS; i += 997) {
            char name[16];
            snprintf(name, sizeof name, "t%u", i);
            ck_assert_uint_eq(pol_catalog_relation(c, "public", name)->oid, i);
        }
        pol_catalog_unref(c);
    }
    free(text);
}
END_TEST

START_TEST(sql) {
    size_t n = 0;
    while (pol_catalog_pg.statements[n] != NULL) n++;
    ck_assert_uint_gt(n, 6);
    ck_assert_ptr_nonnull(strstr(pol_catalog_pg.statements[0], "REPEATABLE READ READ ONLY"));
    ck_assert_str_eq(pol_catalog_pg.statements[n - 1], "COMMIT");
}
END_TEST

#define MY(engine, fold) "{\"gatehouse_catalog\":1,\"engine\":\"" engine "\",\"server\":101119,\"database\":\"shop\"" fold "}\n"

START_TEST(mysql) {
    struct pol_catalog *c =
        parse(MY("mariadb", ",\"fold\":1") TABLE("1", "t", "[\"Id\",1,340908721,\"int(11)\",\"ni\"]", "") "{\"end\":1}");
    ck_assert_msg(c != NULL, "%s", why);
    ck_assert(pol_catalog_engine(c) == POL_CAT_MARIADB && pol_catalog_fold(c) && pol_catalog_server(c) == 101119);
    const struct pol_cat_relation *r = pol_catalog_relation(c, "public", "t");
    ck_assert(r->columns[0].not_null && r->columns[0].invisible && !r->columns[0].collated);
    pol_catalog_unref(c);
    c = parse(MY("mysql", ",\"fold\":0") "{\"end\":0}");
    ck_assert(c != NULL && pol_catalog_engine(c) == POL_CAT_MYSQL && !pol_catalog_fold(c));
    struct pol_cat_defaults d = pol_catalog_defaults(c);
    ck_assert(d.mode == NULL && d.own_mode == NULL && d.charset == NULL);
    pol_catalog_unref(c);
    c = parse(MY("mysql", ",\"fold\":0,\"mode\":\"\",\"own_mode\":\"ANSI\",\"charset\":\"utf8mb4\"") "{\"end\":0}");
    ck_assert_msg(c != NULL, "%s", why);
    d = pol_catalog_defaults(c);
    ck_assert_str_eq(d.mode, "");
    ck_assert_str_eq(d.own_mode, "ANSI");
    ck_assert_str_eq(d.charset, "utf8mb4");
    pol_catalog_unref(c);
    c = parse(HEAD "{\"end\":0}");
    ck_assert(c != NULL && pol_catalog_engine(c) == POL_CAT_POSTGRESQL && !pol_catalog_fold(c));
    pol_catalog_unref(c);
    const char *const bad[] = {MY("oracle", ",\"fold\":0"),
                               MY("mysql", ""),
                               MY("mysql", ",\"fold\":2"),
                               MY("mysql", ",\"fold\":\"0\""),
                               MY("mysql", ",\"fold\":0,\"mode\":1"),
                               MY("mysql", ",\"fold\":0,\"charset\":null")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_ptr_null(parse(bad[i]));
        ck_assert_ptr_nonnull(strstr(why, "line 1: "));
    }
}
END_TEST

#define MY_VIEW(oid, name, definition)                                                                                                     \
    "{\"relation\":" oid ",\"schema\":\"public\",\"name\":\"" name                                                                         \
    "\",\"kind\":\"v\",\"columns\":[],\"key\":[],\"parents\":[],\"definition\":" definition ",\"reads\":[]," TAIL

/* What a view of this definition reads, of a, B, v, whose definition nobody may see, and w, which reads that; "?": more than that. */
static void expect_reads(const char *head, const char *definition, const char *want) {
    static const char others[] = TABLE("1", "a", "", "") TABLE("2", "B", "", "") MY_VIEW("3", "v", "null")
        MY_VIEW("4", "w", "\"select `public`.`v`.`x` AS `x` from `public`.`v`\"");
    static char text[8000];
    char got[200] = "";
    snprintf(text, sizeof text, "%s%s" MY_VIEW("5", "it", "%s") "{\"end\":5}", head, others, definition);
    struct pol_catalog *c = parse(text);
    ck_assert_msg(c != NULL, "%s", why);
    ck_assert(pol_catalog_read_views(c));
    const struct pol_cat_relation *r = pol_catalog_relation(c, "public", "it");
    for (size_t i = 0; i < r->nreads; i++) {
        strcat(got, r->reads[i]->name);
        strcat(got, " ");
    }
    if (r->reads_more) strcat(got, "?");
    ck_assert_msg(strcmp(got, want) == 0, "%s: %s", definition, got);
    if (strncmp(head, HEAD, strlen(HEAD)) != 0) {
        ck_assert(pol_catalog_relation(c, "public", "v")->reads_more);
        r = pol_catalog_relation(c, "public", "w");
        ck_assert(r->nreads == 1 && !r->reads_more && r->reads[0] == pol_catalog_relation(c, "public", "v"));
    }
    pol_catalog_unref(c);
}

START_TEST(what_views_read) {
    static const char maria[] = MY("mariadb", ",\"fold\":0"), fold[] = MY("mysql", ",\"fold\":1");
    static const struct {
        const char *head, *definition, *want;
    } v[] = {
        {maria,
         "\"select `public`.`a`.`id` AS `id`,(select max(`public`.`B`.`x`) from `public`.`B`) AS `m` from (`public`.`a` join `public`.`w` "
         "on(`public`.`a`.`id` = 'x\\\"y'))\"",
         "B a w "},
        {maria, "\"with q as (select `a`.`id` AS `id` from `public`.`a`)select `q`.`id` AS `id` from `q` union select 1\"", "a "},
        {maria, "\"select 1 AS `1` from `information_schema`.`TABLES`\"", ""},
        {maria, "\"select 1 AS `1` from `public`.`b`\"", "?"},
        {fold, "\"select 1 AS `1` from `public`.`A`\"", "a "},
        {maria, "\"select 1 AS `1` from `public`.`a` join `other`.`a`\"", "a ?"},
        {maria, "\"select 1 AS `1` from `public`.`it`\"", "?"},
        {maria, "\"\"", "?"},
        {maria, "null", "?"},
        {maria, "\"select \"", "?"},
        {maria, "\"delete from `public`.`a`\"", "?"},
        {maria, "\"select 1; select 2\"", "?"},
        {HEAD, "\"select 1 from a\"", ""},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) expect_reads(v[i].head, v[i].definition, v[i].want);
    static char deep[3000];
    size_t n = (size_t)sprintf(deep, "\"select ");
    memset(deep + n, '(', 1000);
    sprintf(deep + n + 1000, "1\"");
    expect_reads(maria, deep, "?");
}
END_TEST

int main(void) {
    Suite *s = suite_create("catalog");
    TCase *tc = tcase_create("catalog");
    tcase_add_test(tc, reads);
    tcase_add_test(tc, types_and_functions);
    tcase_add_loop_test(tc, refuses, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(tc, cut);
    tcase_add_test(tc, bounds);
    tcase_add_test(tc, sql);
    tcase_add_test(tc, mysql);
    tcase_add_test(tc, what_views_read);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
