#include "policy/rewrite.h"
#include "policy/rewrite_int.h"

#include "t/policy/shop_catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char policy_text[] =
    "version: 1\n"
    "databases: { shop: {} }\n"
    "rules:\n"
    "  - name: m\n    groups: m\n    database: shop\n    allow: [select, insert, update, delete]\n    on: public.customers\n"
    "    columns: { email: { mask: 'null' }, phone: hidden, card_number: hidden, birth_date: hidden, '*': visible }\n"
    "  - name: f\n    groups: f\n    database: shop\n    allow: [select, insert, update, delete]\n    on: public.customers\n"
    "    rows: region = 'eu'\n"
    "  - name: s2\n    groups: s2\n    database: shop\n    allow: [select, update]\n    on: s2.customers\n    rows: id > 5\n"
    "  - name: all\n    groups: [m, f]\n    database: shop\n    allow: [read, write, ddl, lock, temp]\n    on: [\"public.*\", \"s2.*\"]\n";

/* In expected texts {M} is the masked row of group m, {F} the row of group f, {W} its filter; # the alias. */
#define M_ROW                                                                                                                              \
    "#.\"id\", #.\"name\", CAST(NULL AS pg_catalog.text) AS \"email\", CAST(NULL AS pg_catalog.text) AS \"phone\", CAST(NULL AS "          \
    "pg_catalog.text) AS \"card_number\", CAST(NULL AS pg_catalog.date) AS \"birth_date\", #.\"region\""
#define F_ROW    "#.\"id\", #.\"name\", #.\"email\", #.\"phone\", #.\"card_number\", #.\"birth_date\", #.\"region\""
#define F_COL(c) "CASE WHEN pg_catalog.num_nulls(#.\"" c "\") OPERATOR(pg_catalog.=) 0 THEN #.\"" c "\" ELSE #.\"" c "\" END AS \"" c "\""
#define F_OPAQUE                                                                                                                           \
    F_COL("id")                                                                                                                            \
    ", " F_COL("name") ", " F_COL("email") ", " F_COL("phone") ", " F_COL("card_number") ", " F_COL("birth_date") ", " F_COL("region")
#define FILTER "((#.\"region\" OPERATOR(pg_catalog.=) 'eu'))"
#define T_NAME "\"public\".\"customers\""

static size_t put(char *out, size_t size, const char *fmt, const char *alias) {
    size_t n = 0;
    for (; *fmt != '\0' && n + 8 < size; fmt++)
        if (*fmt == '#')
            n += (size_t)snprintf(out + n, size - n, "%s", alias);
        else
            out[n++] = *fmt;
    out[n] = '\0';
    return n;
}

/* {M}: the subselect of m; {m0}: m's row of _gh0; and so on for f; {T}: the table; {W0}: the filter of _gh0. */
static void expand(const char *want, char *out, size_t size) {
    size_t n = 0;
    for (; *want != '\0' && n + 1 < size; want++) {
        if (*want != '{') {
            out[n++] = *want;
            continue;
        }
        char what = want[1], number[8];
        snprintf(number, sizeof number, "_gh%c", want[2] == '}' ? '\0' : want[2]);
        if (what == 'M') n += put(out + n, size - n, "(SELECT " M_ROW " FROM " T_NAME " AS #)", "_gh");
        if (what == 'O') n += put(out + n, size - n, "(SELECT " M_ROW " FROM ONLY " T_NAME " AS #)", "_gh");
        if (what == 'F') n += put(out + n, size - n, "(SELECT " F_OPAQUE " FROM " T_NAME " AS # WHERE (" FILTER ") OFFSET 0)", "_gh");
        if (what == 'f') n += put(out + n, size - n, F_ROW, number);
        if (what == 'm') n += put(out + n, size - n, M_ROW, number);
        if (what == 'W') n += put(out + n, size - n, "(" FILTER ")", number);
        if (what == 'T') n += put(out + n, size - n, T_NAME, "");
        want = strchr(want, '}');
    }
    out[n] = '\0';
}

static struct pol_role *role(const char *group, struct pol_catalog *c) {
    static const char *const path[] = {"public"};
    struct pol_error e;
    struct pol_policy *p = pol_policy_load_text("p.yaml", policy_text, strlen(policy_text), &e);
    ck_assert_msg(p != NULL, "%u:%u %s", e.line, e.column, e.text);
    struct pol_subject who = {.principal = "x", .groups = &group, .ngroups = 1};
    struct pol_role *r = pol_role_new(p, &who, "shop", &(struct pol_pins){.search_path = path, .nsearch_path = 1});
    pol_policy_unref(p);
    pol_role_use_catalog(r, c, true);
    return r;
}

#define WRAP0(e) "(SELECT (" e ") FROM (SELECT {m0}) AS \"customers\")"
#define WRAPC(e) "(SELECT (" e ") FROM (SELECT {m0}) AS \"c\")"
#define WRAPF(e) "(SELECT (" e ") FROM (SELECT {f0}) AS \"customers\")"
#define VAL0(e)  "(SELECT _ghv.v FROM (SELECT {m0}) AS \"customers\", LATERAL (VALUES ((" e "))) AS _ghv(v))"
#define VALC(e)  "(SELECT _ghv.v FROM (SELECT {m0}) AS \"c\", LATERAL (VALUES ((" e "))) AS _ghv(v))"
#define IS0(e)   "EXISTS (SELECT 1 FROM (SELECT {m0}) AS \"customers\" WHERE (" e "))"
#define ISC(e)   "EXISTS (SELECT 1 FROM (SELECT {m0}) AS \"c\" WHERE (" e "))"
#define ISF(e)   "EXISTS (SELECT 1 FROM (SELECT {f0}) AS \"customers\" WHERE (" e "))"

static const struct {
    const char *group, *sql, *want; /* want: the text; NULL: the same; "!": refused, a part of message and hint */
} cases[] = {
    /* untouched */
    {"m", "SELECT 1", NULL},
    {"m", "SELECT * FROM orders", NULL},
    {"m", "SELECT 'customers' /* customers */ -- customers", NULL},
    {"m", "WITH customers AS (SELECT 1 AS email) SELECT email FROM customers", NULL},
    {"m", "INSERT INTO customers (id, name) VALUES (1, 'x')", NULL},
    {"m", "INSERT INTO customers DEFAULT VALUES", NULL},
    {"m", "CREATE TABLE x (LIKE customers)", NULL},
    {"m", "LOCK TABLE customers", NULL},
    {"m", "DROP TABLE customers", NULL},
    {"m", "CREATE TABLE customers2 (a int)", NULL},
    {"m", "SELECT * FROM s2.customers", NULL},
    /* FROM */
    {"m", "SELECT * FROM customers", "SELECT * FROM {M} AS \"customers\""},
    {"m", "select email from public.customers c where c.email='x'", "select email from {M} c where c.email='x'"},
    {"m", "SELECT * FROM \"customers\" AS \"C\"(a, b)", "SELECT * FROM {M} AS \"C\"(a, b)"},
    {"m", "SELECT*FROM customers,orders", "SELECT*FROM {M} AS \"customers\",orders"},
    {"m", "SELECT * FROM ONLY customers", "SELECT * FROM {O} AS \"customers\""},
    {"m", "SELECT * FROM ONLY (public.customers) c", "SELECT * FROM {O} c"},
    {"m", "SELECT * FROM customers * c", "SELECT * FROM {M} c"},
    {"m", "TABLE customers", "SELECT * FROM {M} AS \"customers\""},
    {"m", "TABLE ONLY customers UNION TABLE customers", "SELECT * FROM {O} AS \"customers\" UNION SELECT * FROM {M} AS \"customers\""},
    {"m", "SELECT 1 FROM orders o JOIN customers c ON c.id = o.customer_id", "SELECT 1 FROM orders o JOIN {M} c ON c.id = o.customer_id"},
    {"m", "SELECT (SELECT max(name) FROM customers WHERE id = o.customer_id) FROM orders o",
     "SELECT (SELECT max(name) FROM {M} AS \"customers\" WHERE id = o.customer_id) FROM orders o"},
    {"m", "SELECT 1 WHERE EXISTS (TABLE customers)", "SELECT 1 WHERE EXISTS (SELECT * FROM {M} AS \"customers\")"},
    {"m", "SELECT ARRAY(SELECT email FROM customers), 1 IN (SELECT id FROM customers c)",
     "SELECT ARRAY(SELECT email FROM {M} AS \"customers\"), 1 IN (SELECT id FROM {M} c)"},
    {"m", "WITH customers AS (SELECT * FROM customers) SELECT * FROM customers",
     "WITH customers AS (SELECT * FROM {M} AS \"customers\") SELECT * FROM customers"},
    {"m", "WITH RECURSIVE customers AS (SELECT 1 AS id UNION SELECT id + 1 FROM customers) SELECT * FROM customers", NULL},
    {"m", "WITH RECURSIVE customers AS (SELECT 1 AS id UNION SELECT id + 1 FROM customers) SELECT * FROM public.customers",
     "WITH RECURSIVE customers AS (SELECT 1 AS id UNION SELECT id + 1 FROM customers) SELECT * FROM {M} AS \"customers\""},
    {"m", "SELECT * FROM (WITH customers AS (SELECT 1) SELECT * FROM customers) x, customers",
     "SELECT * FROM (WITH customers AS (SELECT 1) SELECT * FROM customers) x, {M} AS \"customers\""},
    {"m", "SELECT x FROM customers c, LATERAL (SELECT c.email AS x) s LIMIT (SELECT count(*) FROM customers)",
     "SELECT x FROM {M} c, LATERAL (SELECT c.email AS x) s LIMIT (SELECT count(*) FROM {M} AS \"customers\")"},
    {"m", "SELECT * FROM customers TABLESAMPLE system (10) REPEATABLE (1)",
     "SELECT * FROM (SELECT {m} FROM {T} AS _gh TABLESAMPLE system (10) REPEATABLE (1)) AS \"customers\" "},
    {"m", "SELECT * FROM customers c TABLESAMPLE bernoulli ($1)",
     "SELECT * FROM (SELECT {m} FROM {T} AS _gh TABLESAMPLE bernoulli ($1)) c "},
    {"m", "SELECT public.customers.email, shop.public.customers.name FROM customers",
     "SELECT customers.email, customers.name FROM {M} AS \"customers\""},
    {"m", "SELECT public.customers.* FROM public.customers WHERE EXISTS (SELECT 1 FROM orders WHERE customer_id = public.customers.id)",
     "SELECT customers.* FROM {M} AS \"customers\" WHERE EXISTS (SELECT 1 FROM orders WHERE customer_id = customers.id)"},
    {"m", "SELECT 'c\xc3\xa4\xe2\x82\xac', U&\"\\0065mail\" FROM U&\"cust\\006fmers\" -- \xe2\x82\xac\n WHERE name = $x$'$x$",
     "SELECT 'c\xc3\xa4\xe2\x82\xac', U&\"\\0065mail\" FROM {M} AS \"customers\" -- \xe2\x82\xac\n WHERE name = $x$'$x$"},
    {"m", "SELECT 1 FROM U&\"!0063ustomers\" UESCAPE '!' AS c", "SELECT 1 FROM {M} AS c"},
    {"m", "SELECT 1 FROM public . /* x */ customers", "SELECT 1 FROM {M} AS \"customers\""},
    {"m", "SELECT * FROM customers; SELECT 1; SELECT name FROM customers c;",
     "SELECT * FROM {M} AS \"customers\"; SELECT 1; SELECT name FROM {M} c;"},
    {"m", "SELECT c FROM customers c FOR UPDATE OF c SKIP LOCKED", "SELECT c FROM {M} c FOR UPDATE OF c SKIP LOCKED"},
    {"m", "SELECT * FROM customers WHERE birth_date IS NULL", "!birth_date of public.customers is hidden"},
    {"m", "SELECT c.phone FROM customers c", "!phone of public.customers is hidden"},
    {"m", "SELECT email FROM customers ORDER BY email", "SELECT email FROM {M} AS \"customers\" ORDER BY email"},
    /* statements around it */
    {"m", "EXPLAIN (ANALYZE) SELECT 1 FROM customers", "EXPLAIN (ANALYZE) SELECT 1 FROM {M} AS \"customers\""},
    {"m", "PREPARE p (int) AS SELECT 1 FROM customers WHERE id = $1",
     "PREPARE p (int) AS SELECT 1 FROM {M} AS \"customers\" WHERE id = $1"},
    {"m", "DECLARE c CURSOR FOR SELECT 1 FROM customers", "DECLARE c CURSOR FOR SELECT 1 FROM {M} AS \"customers\""},
    {"m", "CREATE TABLE x AS SELECT * FROM customers", "CREATE TABLE x AS SELECT * FROM {M} AS \"customers\""},
    {"m", "CREATE TABLE x AS TABLE customers WITH DATA", "CREATE TABLE x AS SELECT * FROM {M} AS \"customers\" WITH DATA"},
    {"m", "SELECT * INTO x FROM customers", "SELECT * INTO x FROM {M} AS \"customers\""},
    {"m", "INSERT INTO orders (id) SELECT id FROM customers", "INSERT INTO orders (id) SELECT id FROM {M} AS \"customers\""},
    {"m", "UPDATE orders SET status = c.name FROM customers c WHERE c.id = customer_id",
     "UPDATE orders SET status = c.name FROM {M} c WHERE c.id = customer_id"},
    {"m", "DELETE FROM orders USING customers WHERE customers.id = customer_id",
     "DELETE FROM orders USING {M} AS \"customers\" WHERE customers.id = customer_id"},
    {"m", "MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE",
     "MERGE INTO orders o USING {M} c ON o.id = c.id WHEN MATCHED THEN DELETE"},
    {"m", "COPY (SELECT * FROM customers) TO STDOUT", "COPY (SELECT * FROM {M} AS \"customers\") TO STDOUT"},
    {"m", "COPY customers (email, id) TO STDOUT WITH (FORMAT csv, HEADER)",
     "COPY (SELECT _ghc.\"email\", _ghc.\"id\" FROM {O} AS _ghc) TO STDOUT WITH (FORMAT csv, HEADER)"},
    {"m", "COPY customers FROM STDIN", "!may not be written"},
    {"m", "COPY customers (id, name) FROM STDIN", NULL},
    {"m", "COPY customers (id, email) FROM STDIN", "!email of public.customers may not be written by you: it is masked"},
    {"m", "COPY BINARY customers TO STDOUT", "!COPY BINARY"},
    {"m", "CREATE VIEW v AS SELECT * FROM customers", "!cannot be used in this kind of statement"},
    {"m", "CREATE TABLE x (e text REFERENCES customers (email))", "!cannot be used in this kind of statement"},
    {"m", "CREATE TABLE x (e text, FOREIGN KEY (e) REFERENCES public.customers (email))", "!cannot be used in this kind of statement"},
    {"m", "CREATE MATERIALIZED VIEW v AS SELECT * FROM customers", "!cannot be used in this kind of statement"},
    {"m", "CREATE RULE r AS ON INSERT TO orders DO ALSO SELECT * FROM customers", "!cannot be used in this kind of statement"},
    /* rows */
    {"f", "SELECT email FROM customers", "SELECT email FROM {F} AS \"customers\""},
    {"f", "SELECT 1 FROM customers c FOR UPDATE", "!cannot be locked"},
    {"f", "SELECT 1 FROM orders o, customers c FOR SHARE OF c", "!cannot be locked"},
    {"f", "SELECT 1 FROM orders o, customers c FOR SHARE OF o", "SELECT 1 FROM orders o, {F} c FOR SHARE OF o"},
    {"f", "SELECT 1 FROM (SELECT * FROM customers) x FOR UPDATE", "!cannot be locked"},
    {"f", "SELECT * FROM customers TABLESAMPLE system (10)", "!TABLESAMPLE"},
    {"f", "COPY customers (id) TO STDOUT",
     "COPY (SELECT _ghc.\"id\" FROM (SELECT {f} FROM ONLY {T} AS _gh WHERE ((_gh.\"region\" OPERATOR(pg_catalog.=) 'eu'))) AS _ghc) TO "
     "STDOUT"},
    /* targets */
    {"m", "UPDATE customers SET name = 'x'", "UPDATE {T} AS _gh0 SET name = 'x'"},
    {"m", "UPDATE customers SET name = upper(email), region = $1 WHERE email LIKE 'a%'",
     "UPDATE {T} AS _gh0 SET name = " VAL0("upper(email)") ", region = $1 WHERE " IS0("email LIKE 'a%'")},
    {"m",
     "UPDATE ONLY public.customers AS c SET name = DEFAULT, (region) = ROW('x') WHERE c.email IS DISTINCT FROM c.name RETURNING c.email AS "
     "e, 1 one, c.*, lower(c.name)",
     "UPDATE ONLY {T} AS _gh0 SET name = DEFAULT, (region) = ROW('x') WHERE " ISC("c.email IS DISTINCT FROM c.name") " RETURNING " WRAPC(
         "c.email") " AS e, 1 one, {m0}, " WRAPC("lower(c.name)")},
    {"m", "UPDATE customers c SET name = o.status FROM orders o WHERE o.customer_id = c.email::int RETURNING *",
     "UPDATE {T} AS _gh0 SET name = " VALC("o.status") " FROM orders o WHERE " ISC(
         "o.customer_id = c.email::int") " RETURNING {m0}, \"o\".*"},
    {"m", "WITH d AS (DELETE FROM customers c WHERE id + 1 = 6 RETURNING email) SELECT * FROM d",
     "WITH d AS (DELETE FROM {T} AS _gh0 WHERE " ISC("id + 1 = 6") " RETURNING " WRAPC("email") ") SELECT * FROM d"},
    {"m", "DELETE FROM customers", "DELETE FROM {T} AS _gh0"},
    {"m", "DELETE FROM customers WHERE EXISTS (SELECT 1 FROM customers c2 WHERE c2.name = customers.email);",
     "DELETE FROM {T} AS _gh0 WHERE " IS0("EXISTS (SELECT 1 FROM {M} c2 WHERE c2.name = customers.email)") ";"},
    {"f", "DELETE FROM customers", "DELETE FROM {T} AS _gh0 WHERE {W0}"},
    {"f", "UPDATE customers SET name = 'x' -- all\n RETURNING name",
     "UPDATE {T} AS _gh0 SET name = 'x' WHERE {W0} -- all\n RETURNING " WRAPF("name")},
    {"f", "DELETE FROM customers WHERE 1/(id-5) = 1",
     "DELETE FROM {T} AS _gh0 WHERE CASE WHEN {W0} THEN " ISF("1/(id-5) = 1") " ELSE false END"},
    {"m", "INSERT INTO customers (id, name) VALUES (1, 'x') RETURNING email, id",
     "INSERT INTO {T} AS _gh0 (id, name) VALUES (1, 'x') RETURNING " WRAP0("email") ", " WRAP0("id")},
    {"m",
     "INSERT INTO customers AS c (id, name) SELECT 1, 'x' ON CONFLICT (id) DO UPDATE SET name = excluded.name || c.email WHERE c.region = "
     "'eu' RETURNING *",
     "INSERT INTO {T} AS _gh0 (id, name) SELECT 1, 'x' ON CONFLICT (id) DO UPDATE SET name = " VALC(
         "excluded.name || c.email") " WHERE " ISC("c.region = 'eu'") " RETURNING {m0}"},
    {"f", "INSERT INTO customers (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y'",
     "INSERT INTO {T} AS _gh0 (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y' WHERE {W0}"},
    {"m",
     "MERGE INTO customers c USING orders o ON c.name = o.status WHEN MATCHED AND c.email = 'x' THEN UPDATE SET name = c.email, region = "
     "'eu' WHEN NOT MATCHED AND o.id = CASE WHEN true THEN 1 END THEN INSERT (id) VALUES (o.id)",
     "MERGE INTO {T} AS _gh0 USING orders o ON " ISC("c.name = o.status") " WHEN MATCHED AND " ISC(
         "c.email = 'x'") " THEN UPDATE SET name = " VALC("c.email") ", region = 'eu' WHEN NOT MATCHED AND o.id = CASE WHEN true THEN 1 "
                                                                     "END THEN INSERT (id) VALUES (o.id)"},
    {"f", "MERGE INTO customers USING orders a JOIN orders b ON a.id = b.id ON customers.name = a.status WHEN MATCHED THEN DELETE",
     "MERGE INTO {T} AS _gh0 USING orders a JOIN orders b ON a.id = b.id ON CASE WHEN {W0} THEN " ISF(
         "customers.name = a.status") " ELSE false END WHEN MATCHED THEN DELETE"},
    {"m", "UPDATE customers SET email = 'x'", "!email of public.customers may not be written by you: it is masked"},
    {"m", "UPDATE customers SET phone = 'x'", "!phone of public.customers may not be written by you: it is hidden"},
    {"f", "UPDATE customers SET region = 'us'", "!it decides which rows you see"},
    {"f", "INSERT INTO customers (id, region) VALUES (1, 'eu')", "!it decides which rows you see"},
    {"m", "INSERT INTO customers VALUES (1, 'x')", NULL},
    {"m", "INSERT INTO customers VALUES (1, 'x', 'y')", "!email of public.customers may not be written"},
    {"m", "INSERT INTO customers SELECT 1, 'x'", "!may not be written"},
    {"m", "MERGE INTO customers USING orders o ON true WHEN NOT MATCHED THEN INSERT VALUES (1)", "!may not be written"},
    {"m", "UPDATE customers SET (name, region) = (SELECT email, 'x')", "!SET (a, b)"},
    {"m", "UPDATE customers SET name = 'x' WHERE CURRENT OF cur", "!CURRENT OF"},
    {"m", "UPDATE customers SET name = 'x' RETURNING card_number", "!hidden"},
    {"m", "UPDATE customers SET name = card_number", "!hidden"},
    {"m", "UPDATE customers SET name = 'x' RETURNING old.name", "!"},
    {"m", "DELETE FROM customers WHERE ctid = '(0,1)'", "!system column"},
    {"m", "UPDATE customers SET name = made_just_now::text", "!not every column"},
    {"m", "UPDATE customers SET name = 'x' FROM orders o JOIN staff s ON true RETURNING *", "!RETURNING *"},
    {"m", "UPDATE customers SET name = email || E'\\'' WHERE name = U&'x''\\0061'",
     "UPDATE {T} AS _gh0 SET name = " VAL0("email || E'\\''") " WHERE " IS0(
         "name = U&'x''\\0061'") " AND (_gh0.\"name\" OPERATOR(pg_catalog.=) 'x''a')"},
    {"m", "UPDATE customers SET name = email || $q$,$q$, region = 'x' || region||X'1F'::text WHERE id = 1e3",
     "UPDATE {T} AS _gh0 SET name = " VAL0("email || $q$,$q$") ", region = " VAL0("'x' || region||X'1F'::text") " WHERE " IS0("id = 1e3")},
    {"m",
     "UPDATE customers SET name = CASE WHEN id IN (1, 2) THEN (ARRAY[name, 'b'])[1] ELSE (SELECT max(status) FROM orders WHERE customer_id "
     "= customers.id) END",
     "UPDATE {T} AS _gh0 SET name = " VAL0(
         "CASE WHEN id IN (1, 2) THEN (ARRAY[name, 'b'])[1] ELSE (SELECT max(status) FROM orders WHERE customer_id = customers.id) END")},
    /* words that touch */
    {"m", "UPDATE\"customers\"SET name='x'WHERE(id+1=2)RETURNING(name)",
     "UPDATE{T} AS _gh0 SET name='x'WHERE " IS0("(id+1=2)") "RETURNING" WRAP0("(name)")},
    {"f", "DELETE FROM\"customers\"WHERE(id+1=2)", "DELETE FROM{T} AS _gh0 WHERE CASE WHEN {W0} THEN " ISF("(id+1=2)") " ELSE false END"},
    {"f", "DELETE FROM\"customers\"RETURNING id", "DELETE FROM{T} AS _gh0  WHERE {W0}RETURNING " WRAPF("id")},
    {"m", "SELECT 1 FROM\"customers\"WHERE id=1", "SELECT 1 FROM {M} AS \"customers\"WHERE id=1"},
    /* everywhere that an expression can stand */
    {"m", "INSERT INTO orders (id, status[(SELECT length(email) FROM customers)]) VALUES (1, 'x')",
     "INSERT INTO orders (id, status[(SELECT length(email) FROM {M} AS \"customers\")]) VALUES (1, 'x')"},
    {"m", "UPDATE orders SET status[(SELECT length(email) FROM customers)] = 'x'",
     "UPDATE orders SET status[(SELECT length(email) FROM {M} AS \"customers\")] = 'x'"},
    {"m",
     "INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET status[(SELECT id FROM customers)] = (TABLE customers) WHERE "
     "EXISTS (TABLE customers)",
     "INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET status[(SELECT id FROM {M} AS \"customers\")] = (SELECT * FROM {M} "
     "AS \"customers\") WHERE EXISTS (SELECT * FROM {M} AS \"customers\")"},
    {"m",
     "SELECT sum(1) FILTER (WHERE EXISTS (SELECT 1 FROM customers)) OVER (PARTITION BY (SELECT 1 FROM customers) ORDER BY (SELECT 2 FROM "
     "customers) ROWS (SELECT id FROM customers) PRECEDING) FROM orders",
     "SELECT sum(1) FILTER (WHERE EXISTS (SELECT 1 FROM {M} AS \"customers\")) OVER (PARTITION BY (SELECT 1 FROM {M} AS \"customers\") "
     "ORDER BY (SELECT 2 FROM {M} AS \"customers\") ROWS (SELECT id FROM {M} AS \"customers\") PRECEDING) FROM orders"},
    {"m",
     "SELECT * FROM xmltable('/a' PASSING (SELECT email FROM customers) COLUMNS b text DEFAULT (SELECT email FROM customers)) x, ROWS FROM "
     "(unnest(ARRAY(SELECT id FROM customers)))",
     "SELECT * FROM xmltable('/a' PASSING (SELECT email FROM {M} AS \"customers\") COLUMNS b text DEFAULT (SELECT email FROM {M} AS "
     "\"customers\")) x, ROWS FROM (unnest(ARRAY(SELECT id FROM {M} AS \"customers\")))"},
    {"m", "VALUES ((SELECT id FROM customers)) ORDER BY (SELECT 1 FROM customers) OFFSET (SELECT 1 FROM customers)",
     "VALUES ((SELECT id FROM {M} AS \"customers\")) ORDER BY (SELECT 1 FROM {M} AS \"customers\") OFFSET (SELECT 1 FROM {M} AS "
     "\"customers\")"},
    {"m", "UPDATE customers SET name = (WITH y AS (SELECT ctid::text AS t) SELECT t FROM y)", "!system column"},
    {"m", "CREATE POLICY p ON orders USING (EXISTS (SELECT 1 FROM customers))", "!cannot be used in this kind of statement"},
    {"m", "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW WHEN ((SELECT true FROM customers)) EXECUTE FUNCTION f()",
     "!cannot be used in this kind of statement"},
    /* names */
    {"m", "SELECT ctid FROM customers", "!system columns"},
    {"m", "SELECT xmin FROM customers c, orders", "!system columns"},
    {"m", "SELECT 1 AS _ghx FROM customers", "!_gh"},
    {"m", "SELECT 1 FROM customers AS \"_gh\"", "!_gh"},
    {"m", "SELECT 1 FROM customers WHERE name = '_ghost'", "SELECT 1 FROM {M} AS \"customers\" WHERE name = '_ghost'"},
    {"m", "SELECT 1 FROM public.customers, s2.customers", "!two tables are called customers"},
    {"m", "SELECT 1 FROM public.customers c, s2.customers", "SELECT 1 FROM {M} c, s2.customers"},
    {"m", "SELECT public.customers.id FROM customers, (SELECT 1) AS x(y), (SELECT 1 AS id) AS customers", "!in front of a column"},
    {"m", "SELECT * FROM shop.public.customers", "!database"},
    {"m", "SELECT 1 FROM customers JOIN orders o USING (id)", "SELECT 1 FROM {M} AS \"customers\" JOIN orders o USING (id)"},
    {"m", "SELECT 1 FROM customers a JOIN customers b USING (email)", "!USING or NATURAL on the column email"},
    {"m", "SELECT 1 FROM customers a NATURAL JOIN customers b", "!USING or NATURAL"},
    {"m", "SELECT 1 FROM customers a JOIN customers b USING (phone)", "!USING or NATURAL on the column phone"},
    /* grouping by the key */
    {"m", "SELECT c.id, c.name, count(*) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id HAVING max(c.region) <> ''",
     "SELECT c.id, c.name, count(*) FROM {M} c JOIN orders o ON o.customer_id = c.id GROUP BY \"c\".\"name\", \"c\".\"region\", c.id "
     "HAVING max(c.region) <> ''"},
    {"m", "SELECT email FROM customers GROUP BY region, id ORDER BY name",
     "SELECT email FROM {M} AS \"customers\" GROUP BY region, \"customers\".\"name\", \"customers\".\"email\", \"customers\".\"region\", "
     "id ORDER BY name"},
    {"m", "SELECT region, count(*) FROM customers GROUP BY region", "SELECT region, count(*) FROM {M} AS \"customers\" GROUP BY region"},
};

/* A statement of many references is refused before it has grown without a bound, and soon. */
START_TEST(bounds_its_work) {
    struct pol_catalog *c = shop_catalog();
    struct pol_role *r = role("m", c);
    struct pol_rewritten out;
    struct pol_verdict why = {0};
    static const struct {
        const char *first, *again;
        unsigned times;
        enum pol_rewrite_rc rc, brief;
    } texts[] = {{"SELECT 1 FROM customers", ", customers", 90000, POL_REWRITE_REFUSED, POL_REWRITE_LONG},
                 {"SELECT public.customers.id FROM customers WHERE public.customers.id = 1", " OR public.customers.id = 1", 3000,
                  POL_REWRITE_DONE, POL_REWRITE_DONE},
                 {"DELETE FROM customers RETURNING id", ", email", 300, POL_REWRITE_DONE, POL_REWRITE_LONG},
                 {"DELETE FROM customers RETURNING id", ", email", 5000, POL_REWRITE_REFUSED, POL_REWRITE_LONG},
                 {"UPDATE customers SET name = name", ", name = name", 5000, POL_REWRITE_REFUSED, POL_REWRITE_LONG}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = texts[i].times * strlen(texts[i].again) + 200, at;
        char *sql = malloc(n);
        ck_assert_ptr_nonnull(sql);
        at = (size_t)sprintf(sql, "%s", texts[i].first);
        for (size_t k = 0; k < texts[i].times; k++) at += (size_t)sprintf(sql + at, "%s", texts[i].again);
        enum pol_rewrite_rc rc = pol_rewrite_pg(sql, at, r, &out, &why);
        ck_assert_msg(rc == texts[i].rc, "%zu: %s", i, why.message);
        if (rc == POL_REWRITE_REFUSED) ck_assert_str_eq(why.sqlstate, "54000");
        pol_rewritten_free(&out);
        struct pol_parsed p; /* who has no time for all of that learns nothing else */
        struct pol_parse_error err;
        why = (struct pol_verdict){.sqlstate = "none"};
        ck_assert(pol_parse_pg(&p, sql, at, &(struct pol_parse_limits){.brief = true}, &err));
        ck_assert_msg(pol_rewrite_parsed(&p, r, &out, &why) == texts[i].brief, "%zu", i);
        ck_assert((texts[i].brief == POL_REWRITE_DONE) == (out.sql != NULL));
        ck_assert_str_eq(why.sqlstate, "none");
        pol_rewritten_free(&out);
        pol_parse_clear(&p);
        free(sql);
    }
    pol_role_free(r);
    pol_catalog_unref(c);
}
END_TEST

/* Where two numbers that the client chooses are multiplied, the product is counted: many tables by many names in GROUP BY, conditions, columns. */
static const struct {
    const char *head, *unit, *mid, *again, *tail; /* '#' in unit is its number */
    unsigned units, times;
    enum pol_rewrite_rc rc;
} products[] = {
    {"SELECT 1 FROM orders", ",customers a#", " GROUP BY x", ",x", "", 20, 100, POL_REWRITE_DONE},
    {"SELECT 1 FROM orders", ",customers a#", " GROUP BY x", ",x", "", 300, 20000, POL_REWRITE_REFUSED},
    {"SELECT 1 FROM orders", ",customers a#", " GROUP BY x", ",a1.id", "", 300, 20000, POL_REWRITE_REFUSED},
    {"SELECT a1.id", ",1", " FROM customers a1,customers a2 WHERE a1.id=1", " AND a2.id=1", " GROUP BY a1.id", 10, 1000, POL_REWRITE_DONE},
    {"COPY customers (id", "", "", ",id", ") TO STDOUT", 0, 1000, POL_REWRITE_DONE},
    {"INSERT INTO customers (id", "", "", ",id", ") SELECT 1", 0, 1000000, POL_REWRITE_SAME},
};

START_TEST(counts_products) {
    struct pol_catalog *c = shop_catalog();
    struct pol_role *r = role("m", c);
    struct pol_rewritten out;
    struct pol_verdict why = {0};
    size_t n = products[_i].units * (size_t)24 + products[_i].times * strlen(products[_i].again) + 200, at;
    char *sql = malloc(n);
    ck_assert_ptr_nonnull(sql);
    at = (size_t)sprintf(sql, "%s", products[_i].head);
    for (unsigned i = 1; i <= products[_i].units; i++)
        for (const char *p = products[_i].unit; *p != '\0'; p++)
            at += (size_t)(*p == '#' ? sprintf(sql + at, "%u", i) : sprintf(sql + at, "%c", *p));
    at += (size_t)sprintf(sql + at, "%s", products[_i].mid);
    for (unsigned i = 0; i < products[_i].times; i++) at += (size_t)sprintf(sql + at, "%s", products[_i].again);
    at += (size_t)sprintf(sql + at, "%s", products[_i].tail);
    enum pol_rewrite_rc rc = pol_rewrite_pg(sql, at, r, &out, &why);
    ck_assert_msg(rc == products[_i].rc, "%d: %d %s", _i, rc, why.message);
    if (rc == POL_REWRITE_REFUSED) ck_assert_str_eq(why.sqlstate, "54000");
    pol_rewritten_free(&out);
    free(sql);
    pol_role_free(r);
    pol_catalog_unref(c);
}
END_TEST

START_TEST(arenas_have_a_bound) {
    struct pol_arena *a = pol_arena_new();
    ck_assert_ptr_nonnull(a);
    pol_arena_bound(a, 100000);
    size_t n = 0;
    while (n < 1000000 && pol_alloc(a, 1000) != NULL) n += 1000;
    ck_assert_msg(n >= 50000 && n < 100000 && pol_arena_full(a), "%zu", n);
    ck_assert_uint_le(pol_arena_bytes(a), 100000);
    ck_assert_ptr_null(pol_alloc(a, SIZE_MAX - 100));
    pol_arena_free(a);
    a = pol_arena_new();
    ck_assert_ptr_nonnull(a);
    ck_assert(pol_alloc(a, 5u << 20) != NULL && !pol_arena_full(a));
    pol_arena_free(a);
}
END_TEST

static bool is_ascii(const char *s) {
    for (; *s != '\0'; s++)
        if ((unsigned char)*s >= 0x80) return false;
    return true;
}

START_TEST(rewrites) {
    struct pol_catalog *c = shop_catalog();
    struct pol_role *r = role(cases[_i].group, c);
    struct pol_rewritten out;
    struct pol_verdict why = {0};
    const char *sql = cases[_i].sql, *want = cases[_i].want;
    char text[8000];
    struct pol_parsed parsed;
    struct pol_parse_error err;
    ck_assert_msg(pol_parse_pg(&parsed, sql, strlen(sql), NULL, &err), "%s: %s", sql, err.text);
    enum pol_rewrite_rc rc = rw_rewrite_whole(&parsed, r, &out, &why);
    pol_parse_clear(&parsed);
    if (want == NULL) {
        ck_assert_msg(rc == POL_REWRITE_SAME, "%s: %s", sql, rc == POL_REWRITE_DONE ? out.sql : why.message);
    } else if (want[0] == '!') {
        ck_assert_msg(rc == POL_REWRITE_REFUSED, "%s became %s", sql, rc == POL_REWRITE_DONE ? out.sql : "the same");
        ck_assert_msg(strstr(why.message, want + 1) != NULL, "%s: %s", sql, why.message);
        ck_assert(why.effect == POL_DENY && strcmp(why.sqlstate, "42501") == 0 && why.hint[0] != '\0');
    } else {
        expand(want, text, sizeof text);
        ck_assert_msg(rc == POL_REWRITE_DONE, "%s: %s", sql, rc == POL_REWRITE_SAME ? "the same" : why.message);
        ck_assert_str_eq(out.sql, text);
        ck_assert_uint_eq(out.len, strlen(text));
        size_t end = 0;
        for (size_t i = 0; i < out.npieces && is_ascii(sql); i++) { /* what is said to be the client's is, and in order */
            const struct gh_piece *k = &out.pieces[i];
            ck_assert(k->len > 0 && k->at >= end && k->at + k->len <= out.len && k->from + k->len <= strlen(sql));
            ck_assert_msg(memcmp(out.sql + k->at, sql + k->from, k->len) == 0, "%s", sql);
            end = k->at + k->len;
        }
    }
    struct pol_rewritten soon; /* what is little work comes out the same in a hurry */
    ck_assert(pol_parse_pg(&parsed, sql, strlen(sql), &(struct pol_parse_limits){.brief = true}, &err));
    ck_assert(pol_rewrite_parsed(&parsed, r, &soon, &why) == rc);
    pol_parse_clear(&parsed);
    ck_assert(rc != POL_REWRITE_DONE || strcmp(soon.sql, out.sql) == 0);
    pol_rewritten_free(&soon);
    pol_rewritten_free(&out);
    pol_role_free(r);
    pol_catalog_unref(c);
}
END_TEST

int main(void) {
    Suite *s = suite_create("rewrite_pg");
    TCase *t = tcase_create("rewrite_pg");
    tcase_add_test(t, bounds_its_work);
    tcase_add_loop_test(t, counts_products, 0, sizeof products / sizeof *products);
    tcase_add_test(t, arenas_have_a_bound);
    tcase_add_loop_test(t, rewrites, 0, sizeof cases / sizeof *cases);
    suite_add_tcase(s, t);
    return run_suite(s);
}
