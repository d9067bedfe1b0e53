#include "policy/columns.h"

#include "t/policy/shop_my_catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a text touches of customers: "column:named/unnamed", in the catalog's order; "?" behind it when the answer is incomplete. */
static const struct {
    const char *sql, *want;
} cases[] = {
    {"SELECT id, lower(email) FROM customers WHERE phone = 'x' ORDER BY name",
     "id:read,output/ name:read,order/ email:read,output/ phone:read,predicate/"},
    {"SELECT * FROM customers c", "id:/read,output name:/read,output email:/read,output phone:/read,output card_number:/read,output "
                                  "birth_date:/read,output region:/read,output"},
    {"SELECT 1 FROM (SELECT lower(email) AS e FROM customers) s WHERE s.e = 'x'", "email:read,predicate/"},
    {"SELECT e FROM (SELECT email e, phone FROM customers) s", "email:read,output/ phone:read/"},
    {"SELECT x FROM (SELECT * FROM customers) s (x, y, z, a, b, c, d)",
     "id:read,output/read name:/read email:/read phone:/read card_number:/read "
     "birth_date:/read region:/read"},
    {"WITH c (a, b) AS (SELECT id, email FROM customers) SELECT b FROM c", "id:read/ email:read,output/"},
    {"WITH RECURSIVE c AS (SELECT id FROM customers UNION SELECT id + 1 FROM c) SELECT id FROM c", "id:read,output,group/ ?"},
    {"SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM customers WHERE id = customer_id AND region = 'eu')",
     "id:read,predicate/ region:read,predicate/"},
    {"SELECT email AS e, count(*) FROM customers GROUP BY e HAVING e > 'a' ORDER BY 1", "email:read,output,predicate,group/read,order"},
    {"SELECT name AS phone FROM customers ORDER BY phone", "name:read,output,order/"},
    {"SELECT 1 FROM customers a JOIN customers b USING (region)", "region:read,join,merged/"},
    {"SELECT 1 FROM customers NATURAL JOIN orders", "id:/read,join,merged"},
    {"SELECT (SELECT max(email) FROM customers) = 'x'", "email:read,output/"},
    {"SELECT 1 FROM orders WHERE id IN (SELECT id FROM customers)", "id:read,predicate/"},
    {"SELECT nosuch FROM customers", "?"},
    {"SELECT x FROM customers, nosuch", "?"},
    {"SELECT Email FROM customers CUSTOMERS", "email:read,output/"},
    {"UPDATE customers SET name = email WHERE phone IS NULL", "name:written/ email:read,output/ phone:read,predicate/"},
    {"DELETE FROM customers WHERE id = 3 RETURNING email", "id:read,predicate/ email:read,output/"},
    {"INSERT INTO customers (id, name) VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = concat(name, email)",
     "id:written/ name:read,output,written/ email:read,output/"},
    {"UPDATE orders o JOIN customers c ON c.id = o.customer_id SET o.status = c.email", "id:read,join/ email:read,output/"},
    {"SET @x = (SELECT email FROM customers)", "email:read,output/"},
    {"HANDLER customers OPEN", "?"},
    {"SELECT DISTINCT email FROM customers", "email:read,output/read,group"},
    {"SELECT id FROM customers UNION ALL SELECT id FROM orders", "id:read,output,group/"},
    {"SELECT row_number() OVER (PARTITION BY region ORDER BY email) FROM customers", "email:read,order/ region:read,group/"},
};

static void put_bits(char *out, size_t size, unsigned bits) {
    bool any = false;
    for (unsigned b = 1; b <= POL_USE_EXCLUDED; b <<= 1)
        if (bits & b) {
            size_t n = strlen(out);
            snprintf(out + n, size - n, "%s%s", any ? "," : "", pol_use_name(b));
            any = true;
        }
}

START_TEST(finds_uses) {
    const struct my_options o = {.server = MY_MARIADB, .version = 101119, .default_db = "shop"};
    struct pol_catalog *cat = shop_my_catalog();
    struct pol_parse_error err;
    char got[2000] = "";
    struct pol_columns *c = pol_columns_my(cases[_i].sql, strlen(cases[_i].sql), &o, cat, &err);
    ck_assert_msg(c != NULL, "%s: %s", cases[_i].sql, err.text);
    const struct pol_relation_use *u = pol_columns_of(c, pol_catalog_relation(cat, "shop", "customers"));
    ck_assert_msg(u != NULL, "%s", cases[_i].sql);
    ck_assert(u->complete == c->complete);
    for (size_t i = 0; i < u->relation->ncolumns; i++) {
        if (u->columns[i].named == 0 && u->columns[i].unnamed == 0) continue;
        size_t n = strlen(got);
        snprintf(got + n, sizeof got - n, "%s%s:", n > 0 ? " " : "", u->relation->columns[i].name);
        put_bits(got, sizeof got, u->columns[i].named);
        strcat(got, "/");
        put_bits(got, sizeof got, u->columns[i].unnamed);
    }
    if (!c->complete) strcat(got, got[0] != '\0' ? " ?" : "?");
    ck_assert_msg(strcmp(got, cases[_i].want) == 0, "%s:\n got %s\nwant %s", cases[_i].sql, got, cases[_i].want);
    pol_columns_free(c);
    pol_catalog_unref(cat);
}
END_TEST

/* Nested stars are quadratic, and more: the work has a bound, and the answer says that it is not all. */
START_TEST(bounds_its_work) {
    const struct my_options o = {.server = MY_MARIADB, .version = 101119, .default_db = "shop"};
    struct pol_catalog *cat = shop_my_catalog();
    struct pol_parse_error err;
    static char sql[100000];
    size_t n = (size_t)snprintf(sql, sizeof sql, "WITH c0 AS (SELECT * FROM customers)");
    for (int i = 1; i < 200; i++)
        n += (size_t)snprintf(sql + n, sizeof sql - n, ", c%d AS (SELECT a.*, b.* FROM c%d a, c%d b)", i, i - 1, i - 1);
    n += (size_t)snprintf(sql + n, sizeof sql - n, " SELECT * FROM c199");
    struct pol_columns *c = pol_columns_my(sql, n, &o, cat, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    ck_assert(!c->complete);
    pol_columns_free(c);
    pol_catalog_unref(cat);
}
END_TEST

int main(void) {
    Suite *s = suite_create("columns_my");
    TCase *t = tcase_create("columns");
    tcase_add_loop_test(t, finds_uses, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(t, bounds_its_work);
    suite_add_tcase(s, t);
    return run_suite(s);
}
