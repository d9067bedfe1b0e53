"""Ways around a mask or a row filter, by class. Each must be refused, or tell nothing: test_rewrite.py runs them on databases that differ in what is hidden."""

PLAIN = """
SELECT * FROM customers
SELECT * FROM public.customers c
SELECT email, phone, card_number, birth_date FROM customers
SELECT lower(email), upper(card_number), birth_date::text, phone || 'x' FROM customers
SELECT substr(email, 3, 8), left(card_number, 12), reverse(email) FROM customers
SELECT length(email), ascii(substr(email, 4, 1)), md5(email), octet_length(card_number) FROM customers
SELECT email::bytea, convert_to(email, 'UTF8'), encode(card_number::bytea, 'hex') FROM customers
SELECT extract(doy FROM birth_date), birth_date - date '1950-01-01', age(date '2026-01-01', birth_date) FROM customers
SELECT note FROM customers
SELECT note->>'secret' FROM customers
SELECT c.note FROM customers c
SELECT (c).note FROM customers c
SELECT (c.*).card_number FROM customers c
SELECT email(c), card_number(c) FROM customers c
SELECT "email" FROM "customers"
SELECT U&"\\0065mail" FROM U&"\\0063ustomers"
SELECT public.customers.email FROM customers
SELECT public.customers.* FROM public.customers
SELECT x.c FROM customers AS x(a, b, c, d, e)
SELECT x.h FROM customers AS x(a, b, c, d, e, f, g, h)
SELECT x.e FROM (SELECT * FROM customers) AS x(a, b, c, d, e)
TABLE customers
TABLE ONLY customers
VALUES ((SELECT max(email) FROM customers)), ((SELECT max(card_number) FROM customers))
SELECT * FROM ONLY customers
SELECT * FROM ONLY (customers)
SELECT * FROM customers *
SELECT ALL email FROM customers ORDER BY id LIMIT 3
SELECT DISTINCT ON (email) email, id FROM customers ORDER BY email, id
SELECT email FROM customers FETCH FIRST 1 ROW WITH TIES
"""

WHOLE_ROWS = """
SELECT c FROM customers c
SELECT c::text FROM customers c
SELECT row_to_json(c) FROM customers c
SELECT to_jsonb(c) -> 'card_number' FROM customers c
SELECT json_agg(c) FROM customers c
SELECT array_agg(c) FROM customers c
SELECT ROW(c.*) FROM customers c
SELECT (c.*)::text FROM customers c
SELECT c::customers FROM customers c
SELECT (c::customers).card_number FROM customers c
SELECT count(c), count(c.*), count(DISTINCT c) FROM customers c
SELECT c IS NULL, c.* IS NOT NULL FROM customers c
SELECT * FROM json_populate_recordset(NULL::customers, (SELECT json_agg(c) FROM customers c))
SELECT jsonb_object_keys(to_jsonb(c)) FROM customers c
SELECT xmlforest(c.email, c.card_number) FROM customers c
SELECT xmlelement(name x, c) FROM customers c
SELECT format('%s', c) FROM customers c
SELECT concat(c), concat_ws(',', c.*) FROM customers c
SELECT string_agg(c::text, ',' ORDER BY c.id) FROM customers c
SELECT hash_record(c) FROM customers c
SELECT customers FROM customers
SELECT c1 = c2 FROM customers c1, customers c2 WHERE c1.id = 1 AND c2.id = 2
SELECT max(c.id) FROM customers c GROUP BY c
SELECT c FROM customers c ORDER BY c
SELECT touch(c) FROM customers c
SELECT c.touch FROM customers c
SELECT pg_column_size(c), pg_typeof(c.email), pg_typeof(c) FROM customers c
"""

PREDICATES = """
SELECT id FROM customers WHERE email LIKE 'a.c4n4ry%'
SELECT id FROM customers WHERE card_number > '4000-c4n4ry-2'
SELECT id FROM customers WHERE birth_date > '1970-03-04'
SELECT id FROM customers WHERE substr(email, 10, 1) = '3'
SELECT id FROM customers WHERE phone IS NOT NULL
SELECT id FROM customers ORDER BY card_number
SELECT id FROM customers ORDER BY email DESC, id LIMIT 5
SELECT id, row_number() OVER (ORDER BY birth_date, id) FROM customers
SELECT count(*) FROM customers GROUP BY email
SELECT email, count(*) FROM customers GROUP BY 1 HAVING max(card_number) > '4'
SELECT rank() OVER (PARTITION BY email ORDER BY card_number) FROM customers
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY card_number) FROM customers
SELECT mode() WITHIN GROUP (ORDER BY birth_date) FROM customers
SELECT max(email) FILTER (WHERE phone > 'a') FROM customers
SELECT first_value(card_number) OVER (ORDER BY id), lag(email) OVER w FROM customers WINDOW w AS (ORDER BY birth_date)
SELECT CASE WHEN email > 'm' THEN 1 ELSE 0 END FROM customers
SELECT id FROM customers WHERE (email, card_number) > ('a', '4')
SELECT id FROM customers WHERE email = ANY (ARRAY['a.c4n4ry31@mail1.example'])
SELECT id FROM customers WHERE email SIMILAR TO '%c4n4ry3%'
SELECT id FROM customers WHERE email ~ 'c4n4ry[0-5]'
SELECT id FROM customers WHERE email IN (SELECT email FROM customers WHERE id < 10)
SELECT id FROM customers WHERE email BETWEEN 'a.c4n4ry0' AND 'a.c4n4ry5'
SELECT id FROM customers c WHERE c.email COLLATE "C" < 'b.c4n4ry5'
SELECT id FROM customers WHERE EXISTS (SELECT 1 FROM customers c2 WHERE c2.card_number < customers.card_number)
SELECT a.id, b.id FROM customers a JOIN customers b ON a.card_number < b.card_number WHERE a.id = 3
SELECT a.id FROM customers a JOIN customers b USING (email)
SELECT a.id FROM customers a JOIN customers b USING (note)
SELECT count(*) FROM customers NATURAL JOIN (SELECT email FROM customers) x
SELECT count(*) FROM customers a NATURAL JOIN customers b
SELECT to_tsvector(email) @@ to_tsquery('c4n4ry') FROM customers
SELECT id FROM customers LIMIT (SELECT length(max(email)) FROM customers)
SELECT id FROM customers OFFSET (SELECT count(*) / 10 FROM customers WHERE phone IS NOT NULL)
SELECT generate_series(1, length(email)) FROM customers WHERE id < 3
SELECT width_bucket(extract(epoch FROM birth_date)::numeric, 0, 1000000000, 20) FROM customers
"""

SCOPES = """
WITH customers AS (SELECT * FROM customers) SELECT * FROM customers
WITH x AS (SELECT * FROM customers) SELECT email FROM x
WITH x AS MATERIALIZED (SELECT email FROM customers) TABLE x
WITH RECURSIVE customers AS (SELECT 1 AS id, 'x' AS email UNION SELECT c.id, c.email FROM public.customers c, customers WHERE c.id = customers.id + 1) SELECT * FROM customers
WITH RECURSIVE t(n, e) AS (SELECT 0, '' UNION ALL SELECT n + 1, (SELECT max(email) FROM customers WHERE id = n) FROM t WHERE n < 5) SELECT * FROM t
WITH a AS (SELECT 1 AS email), customers AS (SELECT email FROM a) SELECT email FROM customers, (SELECT email AS e2 FROM public.customers) y
SELECT * FROM (WITH customers AS (SELECT 1 AS one) SELECT * FROM customers) x, customers
SELECT (WITH customers AS (SELECT id FROM orders) SELECT max(id) FROM customers), email FROM customers
SELECT email FROM orders o, LATERAL (SELECT email FROM customers WHERE id = o.customer_id) x WHERE o.id < 9
SELECT o.id, c.* FROM orders o LEFT JOIN LATERAL (SELECT * FROM customers WHERE customers.id = o.customer_id) c ON true WHERE o.id < 9
SELECT (SELECT email FROM customers c WHERE c.id = o.customer_id) FROM orders o
SELECT ARRAY(SELECT card_number FROM customers ORDER BY id)
SELECT 1 FROM orders WHERE customer_id = (SELECT id FROM customers WHERE email LIKE '%c4n4ry31@%')
SELECT * FROM orders WHERE (customer_id, status) IN (SELECT id, email FROM customers)
SELECT email FROM customers UNION SELECT card_number FROM customers
SELECT email FROM customers EXCEPT SELECT 'x' INTERSECT SELECT card_number FROM customers
(SELECT email FROM customers ORDER BY id LIMIT 2) UNION ALL (TABLE copies)
SELECT * FROM customers c RIGHT JOIN orders o ON o.customer_id = c.id AND c.email > 'e' WHERE o.id < 20
SELECT * FROM (customers c CROSS JOIN copies) AS j
SELECT j.* FROM (customers c JOIN orders o ON o.customer_id = c.id) AS j (a, b, c, d, e, f) WHERE j.a < 5
SELECT x FROM customers c, unnest(ARRAY[c.email, c.phone, c.card_number]) x
SELECT x.* FROM customers c, json_each_text(row_to_json(c)) x
SELECT f FROM customers c, ROWS FROM (unnest(ARRAY[c.email]), unnest(ARRAY[c.card_number])) AS f(a, b)
SELECT * FROM customers TABLESAMPLE bernoulli (100)
SELECT * FROM customers c TABLESAMPLE system (100) REPEATABLE (1)
SELECT * FROM customers TABLESAMPLE bernoulli ((SELECT length(max(email)) FROM customers))
SELECT c.id, c.name, c.email FROM customers c GROUP BY c.id
SELECT c.*, count(*) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id
SELECT email, count(*) FROM customers GROUP BY GROUPING SETS ((email), ())
SELECT id, email FROM customers GROUP BY CUBE (id, email) ORDER BY 1, 2
SELECT _gh.email FROM customers
SELECT _gh0.email FROM customers
SELECT c.email AS _ghx FROM customers c
SELECT 1 FROM customers _gh, LATERAL (SELECT _gh.email) x
SELECT ctid, xmin, tableoid::regclass FROM customers
SELECT c.ctid FROM customers c
SELECT email FROM customers /* FROM orders */ -- customers
SELECT /* SELECT email FROM customers */ email FROM /**/ customers
SELECT $$x$$, email FROM customers WHERE 'customers' = $q$customers$q$
SELECT 'FROM customers', "email" FROM"customers"WHERE'a'='a'
SELECT email FROM customers; SELECT card_number FROM customers
"""

PARTITIONS = """
SELECT * FROM parts
SELECT * FROM parts_eu
SELECT email FROM parts_us
SELECT * FROM ONLY parts
SELECT count(*) FROM parts_apac
SELECT tableoid FROM parts
SELECT p.*, c.email FROM parts p JOIN parts_eu c USING (id)
COPY parts TO STDOUT
COPY parts_us (email) TO STDOUT
UPDATE parts SET name = email
DELETE FROM parts_us
"""

ROWS = """
SELECT count(*) FROM customers
SELECT id FROM customers WHERE 1 / (id - 5) > 0
SELECT id FROM customers WHERE 1 / (id - 4) > 0
SELECT id FROM customers WHERE name::boolean
SELECT id FROM customers WHERE email::int > 0
SELECT id FROM customers WHERE touch(id)
SELECT id FROM customers WHERE touch(email) AND touch(region)
SELECT touch(id) FROM customers
SELECT id FROM customers WHERE region = 'us' AND touch(id)
SELECT id FROM customers WHERE CASE WHEN region <> 'eu' THEN 1 / (id - id) > 0 ELSE true END
SELECT 1 FROM customers HAVING bool_or(1 / (max(id) - 59) > 0)
SELECT region, count(*) FROM customers GROUP BY region
SELECT max(id) FROM customers
SELECT * FROM customers WHERE region <> 'eu'
SELECT * FROM customers WHERE NOT (region = 'eu')
SELECT * FROM customers WHERE region IS DISTINCT FROM 'eu' OR true
SELECT o.id, c.id FROM orders o LEFT JOIN customers c ON c.id = o.customer_id
SELECT o.id FROM orders o WHERE o.customer_id NOT IN (SELECT id FROM customers)
SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id AND touch(c.region))
SELECT c.id FROM customers c JOIN orders o ON o.customer_id = c.id AND touch(c.name) WHERE o.id < 30
SELECT id FROM customers WHERE id IN (1, 2, 3, 4, 5) AND touch(id)
SELECT id FROM customers WHERE id = 4 AND touch(name)
SELECT id FROM customers ORDER BY touch(id), id
SELECT sum(1 / (id - 10)) FROM customers
SELECT * FROM customers c FOR UPDATE
SELECT * FROM customers c FOR KEY SHARE SKIP LOCKED
SELECT * FROM customers c, orders o WHERE o.customer_id = c.id FOR SHARE OF c
WITH x AS (SELECT * FROM customers FOR UPDATE) SELECT count(*) FROM x
EXPLAIN SELECT * FROM pg_stats
SELECT * FROM pg_stats WHERE tablename = 'customers'
SELECT most_common_vals FROM pg_stats
SELECT * FROM pg_statistic
SELECT query FROM pg_stat_activity
SELECT query_to_xml('SELECT * FROM customers', true, true, '')
SELECT table_to_xml('customers', true, true, '')
SELECT cursor_to_xml('c', 1, true, true, '')
SELECT database_to_xml(true, true, '')
SELECT * FROM ts_stat('SELECT to_tsvector(email) FROM customers')
SELECT ts_rewrite('a'::tsquery, 'SELECT email::tsquery, email::tsquery FROM customers')
DO $$ BEGIN RAISE NOTICE '%', (SELECT max(email) FROM customers); END $$
SELECT pg_read_file('/etc/passwd')
SELECT lo_import('/etc/passwd')
"""

# The server tries operators on values of its statistics while it plans: an error tells that one of them fits, also one of a row that is filtered out.
PLANS = """
SELECT id FROM customers WHERE email LIKE '%c_n4ry10__@mail%\\'
SELECT id FROM customers WHERE email LIKE '%y10__@%\\' AND id = 3
SELECT id FROM customers WHERE email NOT LIKE '%10__@%\\'
SELECT id FROM customers WHERE email ILIKE '%Y10__@%\\'
SELECT id FROM customers WHERE email LIKE '%10__@%x' ESCAPE 'x'
SELECT id FROM customers WHERE email ~~ ANY (ARRAY['x', '%10__@%\\'])
SELECT id FROM customers WHERE email LIKE '%10__@%\\' OR id = 3
SELECT c.id FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND c.email LIKE '%10__@%\\'
SELECT count(*) FROM customers GROUP BY email HAVING email LIKE '%10__@%\\'
SELECT id FROM (SELECT id, email AS e FROM customers) s WHERE e LIKE '%10__@%\\'
WITH s AS (SELECT * FROM customers) SELECT id FROM s WHERE email LIKE '%10__@%\\'
WITH s AS MATERIALIZED (SELECT * FROM customers) SELECT id FROM s WHERE email LIKE '%10__@%\\'
SELECT id FROM parts WHERE email LIKE '%10__@%\\'
SELECT id FROM customers WHERE EXISTS (SELECT 1 FROM customers d WHERE d.id = customers.id AND d.email LIKE '%10__@%\\')
SELECT id FROM customers WHERE email::bytea LIKE '%10__@%\\'::bytea
SELECT id FROM customers WHERE (email COLLATE "C") LIKE '%10__@%\\'
SELECT o.id FROM orders o WHERE o.customer_id IN (SELECT id FROM customers WHERE email LIKE '%10__@%\\')
UPDATE customers SET name = 'x' WHERE email LIKE '%10__@%\\'
DELETE FROM customers USING customers d WHERE d.id = customers.id AND d.email LIKE '%10__@%\\' AND customers.email LIKE '%10__@%\\'
MERGE INTO copies USING customers c ON copies.id = c.id AND c.email LIKE '%10__@%\\' WHEN MATCHED THEN DELETE
INSERT INTO copies SELECT id, email FROM customers WHERE email LIKE '%10__@%\\'
COPY (SELECT id FROM customers WHERE email LIKE '%10__@%\\') TO STDOUT
PREPARE plans AS SELECT id FROM customers WHERE email LIKE $1; EXECUTE plans ('%10__@%\\')
DECLARE c CURSOR FOR SELECT id FROM customers WHERE email LIKE '%10__@%\\'; FETCH ALL FROM c
"""

STATEMENTS = """
COPY customers TO STDOUT
COPY customers (card_number) TO STDOUT
COPY customers (note) TO STDOUT
COPY (SELECT * FROM customers) TO STDOUT
COPY (TABLE customers) TO STDOUT WITH (FORMAT binary)
COPY BINARY customers TO STDOUT
COPY (DELETE FROM customers WHERE id = 3 RETURNING *) TO STDOUT
CREATE TABLE copies2 AS SELECT * FROM customers
CREATE TEMP TABLE copies AS SELECT email AS t FROM customers
CREATE TEMP TABLE customers (a int)
SELECT * INTO TEMP x FROM customers
CREATE TEMP VIEW v AS SELECT * FROM customers
CREATE VIEW public.copies AS SELECT * FROM customers
CREATE INDEX ON customers ((1 / (id - 5)))
CREATE TABLE copies (LIKE customers INCLUDING ALL)
ALTER TABLE customers ADD CHECK (email NOT LIKE '%c4n4ry%')
PREPARE p AS SELECT * FROM customers
PREPARE p AS SELECT email FROM customers; EXECUTE p
DECLARE c CURSOR FOR SELECT * FROM customers; FETCH ALL FROM c
DECLARE c CURSOR FOR SELECT * FROM customers FOR UPDATE; FETCH ALL FROM c
INSERT INTO copies SELECT id, email FROM customers; SELECT * FROM copies
INSERT INTO copies SELECT id, card_number FROM customers RETURNING *
INSERT INTO copies VALUES (1, (SELECT max(email) FROM customers)) RETURNING t
UPDATE orders SET status = c.email FROM customers c WHERE c.id = customer_id RETURNING status
UPDATE orders SET status = (SELECT card_number FROM customers WHERE id = customer_id) RETURNING *
DELETE FROM orders USING customers c WHERE c.id = customer_id AND c.phone IS NOT NULL RETURNING orders.id, c.email
MERGE INTO copies USING customers c ON copies.id = c.id WHEN NOT MATCHED THEN INSERT VALUES (c.id, c.email)
WITH x AS (INSERT INTO copies SELECT id, email FROM customers RETURNING *) SELECT * FROM x
CALL touch((SELECT email FROM customers LIMIT 1))
SELECT * FROM customers WHERE CURRENT_USER = 'x' OR email > 'c'
"""

TARGETS = """
UPDATE customers SET name = email
UPDATE customers SET name = card_number || phone RETURNING name
UPDATE customers SET name = note->>'secret'
UPDATE customers SET name = (SELECT max(card_number) FROM customers)
UPDATE customers SET name = 'x' WHERE email LIKE '%c4n4ry31@%'
UPDATE customers SET name = 'x' WHERE card_number > '4000-c4n4ry-3'
UPDATE customers SET name = 'x' WHERE birth_date > '1970-03-04' RETURNING id
UPDATE customers SET name = 'x' RETURNING *
UPDATE customers SET name = 'x' RETURNING customers
UPDATE customers SET name = 'x' RETURNING customers.*
UPDATE customers SET name = 'x' RETURNING row_to_json(customers), email, card_number
UPDATE customers c SET name = 'x' RETURNING c, c.email, (c).card_number, c::text
UPDATE customers c SET name = 'x' RETURNING (SELECT c.card_number), ARRAY(SELECT email FROM customers x WHERE x.id = c.id)
UPDATE customers SET name = o.status FROM orders o WHERE o.customer_id = customers.id AND customers.phone IS NOT NULL RETURNING customers.id, o.id, email
UPDATE customers c SET name = d.email FROM customers d WHERE d.id = c.id + 1 RETURNING c.name, d.card_number
UPDATE customers SET (name) = ROW(email)
UPDATE customers SET (name, region) = (SELECT email, 'x')
UPDATE customers SET name = 'x' WHERE ctid = '(0,1)'
UPDATE customers SET name = xmin::text
UPDATE customers SET name = (SELECT tableoid::text FROM (SELECT 1) z)
UPDATE customers SET email = 'x'
UPDATE customers SET note = NULL
UPDATE customers SET region = 'eu'
UPDATE customers SET name = name || length(email)
UPDATE customers SET name = CASE WHEN phone IS NULL THEN 'a' ELSE 'b' END RETURNING name
UPDATE customers SET name = 'x' WHERE 1 / (id - 5) > 0
UPDATE customers SET name = 'x' WHERE touch(id)
UPDATE customers SET name = 'x' WHERE touch(email) RETURNING touch(card_number)
UPDATE customers SET name = 'x'
UPDATE customers SET name = _gh0.email
UPDATE customers AS _gh0 SET name = 'x' RETURNING _gh0.email
UPDATE customers AS excluded SET name = excluded.email
UPDATE ONLY customers * SET name = 'x'
DELETE FROM customers
DELETE FROM customers WHERE email LIKE '%c4n4ry31@%'
DELETE FROM customers WHERE card_number IN (SELECT card_number FROM customers WHERE id < 20)
DELETE FROM customers WHERE id = 3 RETURNING *
DELETE FROM customers c RETURNING c.email, old.card_number
DELETE FROM customers c WHERE touch(c.id) AND region <> 'eu'
DELETE FROM customers c USING orders o WHERE o.customer_id = c.id AND c.card_number > '4' RETURNING c.*, o.*
DELETE FROM customers USING customers AS d WHERE d.id = customers.id AND d.email > customers.email
DELETE FROM customers WHERE id IN (SELECT id FROM customers WHERE phone LIKE '%c4n4ry%')
DELETE FROM customers WHERE EXISTS (SELECT 1 FROM orders WHERE customer_id = customers.id AND status < customers.email)
INSERT INTO customers (id, name, region) VALUES (5000, 'x', 'eu') RETURNING *
INSERT INTO customers (id, name) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET name = customers.email RETURNING name
INSERT INTO customers (id, name) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name || customers.card_number WHERE customers.phone IS NOT NULL
INSERT INTO customers AS c (id, name) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y' WHERE c.email LIKE '%c4n4ry%' RETURNING c.*
INSERT INTO customers (id, email) VALUES (5000, 'x')
INSERT INTO customers VALUES (5000, 'x', 'y', 'z')
INSERT INTO customers SELECT * FROM customers
INSERT INTO customers (id, name) VALUES (3, 'x') ON CONFLICT (note) DO NOTHING
MERGE INTO customers c USING orders o ON o.customer_id = c.id AND c.email > 'c' WHEN MATCHED THEN DELETE
MERGE INTO customers c USING (VALUES (3), (6)) v(i) ON c.id = v.i WHEN MATCHED AND c.card_number > '4000-c4n4ry-5' THEN UPDATE SET name = c.email WHEN MATCHED THEN DELETE
MERGE INTO customers c USING (VALUES (3), (6)) v(i) ON c.id = v.i WHEN MATCHED AND touch(c.phone) THEN DO NOTHING
MERGE INTO customers USING customers d ON customers.id = d.id WHEN MATCHED AND d.note IS NULL THEN UPDATE SET name = d.card_number
WITH d AS (DELETE FROM customers WHERE id < 10 RETURNING *) SELECT * FROM d
WITH d AS (UPDATE customers SET name = email WHERE id = 3 RETURNING name, phone) SELECT d.*, c.email FROM d, customers c
WITH customers AS (SELECT 1 AS id) UPDATE public.customers c SET name = 'x' FROM customers WHERE c.id = customers.id RETURNING c.email
"""

# A comparison of columns with two collations raises an error as soon as a row comes by, not before: no such condition may run on rows that are filtered out.
COLLATIONS = """
SELECT id FROM codes
SELECT c.id FROM words w JOIN codes c ON c.id = 4 AND c.word = w.w
SELECT c.id FROM words w JOIN codes c ON c.id = 4 AND c.word < w.w
SELECT c.id FROM words w JOIN codes c ON c.id = w.id AND c.word = w.w WHERE w.id = 4
SELECT c.id FROM words w, codes c WHERE c.id = 4 AND w.w = c.word
SELECT c.id FROM words w, codes c WHERE c.id = 1000 AND w.w <> c.word
SELECT c.id FROM words w LEFT JOIN codes c ON c.id = 4 AND c.region = 'us' AND c.word >= w.w
SELECT c.id FROM codes c WHERE c.id = 4 AND EXISTS (SELECT 1 FROM words w WHERE w.w = c.word)
SELECT c.id FROM codes c WHERE c.word IN (SELECT w FROM words) AND c.id = 4
DELETE FROM copies USING words w JOIN codes c ON c.id = 4 AND c.word = w.w
MERGE INTO copies USING (SELECT c.id FROM words w JOIN codes c ON c.id = 4 AND c.word = w.w) s ON s.id = copies.id WHEN MATCHED THEN DELETE
SELECT c.id FROM words w JOIN codes c ON c.region = w.w AND c.id > 3
SELECT c.id FROM codes c JOIN codes d ON d.word = c.word AND d.id = 4
"""

# More of each class, where the grammar has a place that is easily forgotten.
CORNERS = """
SELECT FROM customers
SELECT count(*) FROM customers GROUP BY ()
SELECT count(*) FROM customers GROUP BY DISTINCT ROLLUP (email), ROLLUP (email)
SELECT id, sum(id) OVER (ORDER BY id ROWS BETWEEN (SELECT length(max(email)) FROM customers) PRECEDING AND CURRENT ROW) FROM customers
SELECT id, array_agg(email) OVER (PARTITION BY card_number ORDER BY id GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES) FROM customers
SELECT id FROM customers FETCH FIRST (SELECT count(*) FROM customers WHERE card_number > '4000-c4n4ry-2') ROWS ONLY
SELECT id FROM customers ORDER BY email USING <
SELECT id FROM customers ORDER BY card_number COLLATE "C", id
SELECT id FROM customers WHERE email OPERATOR(pg_catalog.~) 'c4n4ry3'
SELECT id FROM customers WHERE CASE email WHEN 'a.c4n4ry31@mail1.example' THEN true END
SELECT id FROM customers WHERE (birth_date, birth_date) OVERLAPS (date '1960-01-01', date '1961-01-01')
SELECT id FROM customers WHERE nullif(email, 'x') IS NOT NULL AND coalesce(card_number, 'x') <> 'x'
SELECT id FROM customers WHERE num_nulls(email, phone, card_number) > 1
SELECT id FROM customers WHERE ROW(customers.*) IS DISTINCT FROM ROW(NULL, NULL)
SELECT (SELECT c FROM customers c ORDER BY id LIMIT 1).card_number
SELECT ((SELECT c FROM customers c ORDER BY id LIMIT 1)).card_number
SELECT (ARRAY(SELECT c FROM customers c ORDER BY id))[1]
SELECT x.* FROM customers c, LATERAL (SELECT c.*) x
SELECT x.card_number, x.email FROM customers c CROSS JOIN LATERAL (VALUES (c.card_number, c.email)) x (card_number, email)
SELECT j.id, j FROM customers c JOIN orders o USING (id) AS j
SELECT c.email FROM (customers c JOIN orders o USING (id)) AS c
SELECT email FROM customers c NATURAL LEFT JOIN (SELECT 3 AS id) y
WITH RECURSIVE t (id, e) AS (SELECT id, email FROM customers WHERE id = 3 UNION ALL SELECT c.id, c.email FROM customers c, t WHERE c.id = t.id + 3) SEARCH DEPTH FIRST BY e SET o SELECT * FROM t
WITH RECURSIVE t (id, e) AS (SELECT id, email FROM customers WHERE id = 3 UNION ALL SELECT c.id, c.email FROM customers c, t WHERE c.id = t.id + 3) CYCLE e SET y USING p SELECT * FROM t
WITH x AS (SELECT 1), y AS (WITH x AS (SELECT * FROM customers) SELECT * FROM x) SELECT card_number, email FROM y
SELECT * FROM customers c WHERE EXISTS (SELECT FROM orders WHERE orders.customer_id = c.id HAVING max(c.card_number) > '4000-c4n4ry-3')
SELECT xmlagg(xmlelement(name e, xmlattributes(c.card_number AS n), c.email)) FROM customers c
SELECT * FROM xmltable('/r' PASSING (SELECT xmlelement(name r, xmlattributes(max(email) AS e)) FROM customers) COLUMNS e text PATH '@e')
SELECT jsonb_path_query(to_jsonb(c), '$.card_number') FROM customers c
SELECT jsonb_populate_record(NULL::customers, to_jsonb(c)) FROM customers c
SELECT k, v FROM customers c, jsonb_each(to_jsonb(c) - 'id') AS e (k, v)
SELECT to_json(array_agg(ROW(c.email, c.card_number))) FROM customers c
SELECT ts_headline(email, 'c4n4ry'::tsquery) FROM customers
SELECT format('%s %s', VARIADIC ARRAY[email, card_number]) FROM customers
SELECT string_to_array(email, NULL), regexp_split_to_table(email, '') FROM customers
SELECT set_byte(email::bytea, 0, 65), get_byte(card_number::bytea, 13) FROM customers
SELECT hashtext(email), hashtextextended(card_number, 7) FROM customers
SELECT sha256(email::bytea), md5(card_number) FROM customers
SELECT email < ANY (SELECT card_number FROM customers) FROM customers
SELECT email IS NORMALIZED, email IS NFC NORMALIZED FROM customers
SELECT greatest(email, card_number), least(email, phone) FROM customers
SELECT pg_column_size(email), pg_column_compression(note) FROM customers
SELECT timestamptz '2026-01-01 00:00:00+00' AT TIME ZONE left(email, 1) FROM customers
SELECT make_interval(days => length(email)), birth_date + make_interval(years => 1) FROM customers
SELECT daterange(birth_date, '2026-01-01') @> date '1961-03-05', isempty(daterange(birth_date, birth_date)) FROM customers
SELECT setseed(length(email) / 100.0) FROM customers
SELECT set_config('x.y', email, true), current_setting('x.y') FROM customers WHERE id = 3
SELECT pg_notify('x', email) FROM customers
SELECT pg_advisory_xact_lock(length(email)) FROM customers
SELECT pg_sleep(length(email) / 1000.0) FROM customers
SELECT lo_from_bytea(0, email::bytea) FROM customers
SELECT pg_logical_emit_message(true, 'x', email) FROM customers
SELECT pg_relation_size('customers'), pg_table_size('customers'), pg_total_relation_size('customers') IS NULL FROM customers WHERE false
SELECT * FROM pg_stats_ext
SELECT * FROM pg_stats_ext_exprs
SELECT stxdmcv FROM pg_statistic_ext_data
SELECT n_live_tup FROM pg_stat_user_tables WHERE relname = 'customers' AND false
SELECT pg_stat_get_live_tuples('customers'::regclass) WHERE false
SELECT amname FROM pg_am WHERE amname = (SELECT email FROM customers WHERE id = 3)
SELECT has_column_privilege('customers', email, 'select') FROM customers
SELECT to_regclass(email), to_regtype(card_number) FROM customers
SELECT email::regclass FROM customers
SELECT pg_get_expr(email::pg_node_tree, 0) FROM customers
SELECT xpath('/x', ('<x>' || email || '</x>')::xml) FROM customers
SELECT email::xml, ('"' || email || '"')::jsonb FROM customers
SELECT card_number::numeric FROM customers
SELECT email::date FROM customers
SELECT (email || '')::int FROM customers
SELECT 1 / (length(phone) - 16) FROM customers
SELECT ARRAY[ARRAY[email], ARRAY[card_number, phone]] FROM customers
SELECT repeat('x', 200000000 * length(email)) FROM customers WHERE id = 3
SELECT substr(email, 1, -length(card_number)) FROM customers
SELECT email ~ card_number, email LIKE card_number || '\\\\' FROM customers
INSERT INTO copies SELECT id, card_number FROM customers ON CONFLICT DO NOTHING RETURNING t
INSERT INTO copies (t) VALUES ((SELECT string_agg(card_number, ',' ORDER BY id) FROM customers)) RETURNING *
INSERT INTO customers (id, name, region) VALUES (3, 'x', 'eu') ON CONFLICT ON CONSTRAINT customers_pkey DO UPDATE SET name = customers.card_number RETURNING name
INSERT INTO customers (id, name, region) VALUES (3, NULL, 'eu')
INSERT INTO customers (id, name, region) VALUES (3, 'x', 'eu') RETURNING (SELECT card_number), (SELECT c.email FROM customers c WHERE c.id = customers.id)
UPDATE customers SET name = NULL WHERE id = 3
UPDATE customers SET name = d.x FROM (SELECT id, card_number AS x FROM customers) d WHERE d.id = customers.id RETURNING name
UPDATE customers SET name = DEFAULT WHERE email > 'b' RETURNING id
UPDATE customers c SET name = (WITH z AS (SELECT c.card_number AS n) SELECT n FROM z) RETURNING name
UPDATE customers c SET name = (SELECT x.n FROM LATERAL (SELECT c.email || c.card_number AS n) x) RETURNING name
UPDATE orders SET status = 'x' WHERE customer_id IN (SELECT id FROM customers WHERE card_number LIKE '%c4n4ry-39-%') RETURNING id
DELETE FROM customers c WHERE c = (SELECT d FROM customers d WHERE d.id = 3)
DELETE FROM customers c WHERE (c.*) IS NOT NULL RETURNING c.id
DELETE FROM orders o USING customers c WHERE o.customer_id = c.id AND (SELECT c.card_number) LIKE '%39-%' RETURNING o.id
MERGE INTO orders o USING (SELECT id, card_number FROM customers) c ON o.customer_id = c.id WHEN MATCHED AND c.card_number > '4000-c4n4ry-2' THEN UPDATE SET status = c.card_number
CREATE TABLE copies2 (id int REFERENCES customers)
CREATE TABLE copies2 () INHERITS (customers)
CREATE TABLE copies2 PARTITION OF parts FOR VALUES IN ('zz')
CREATE TABLE copies2 (a text DEFAULT 'x', CHECK (a <> (SELECT email FROM customers)))
CREATE TABLE copies2 (LIKE customers INCLUDING STATISTICS INCLUDING DEFAULTS)
CREATE STATISTICS s ON email, card_number FROM customers
CREATE MATERIALIZED VIEW copies2 AS SELECT * FROM customers
CREATE RULE r AS ON SELECT TO copies DO INSTEAD SELECT id, email AS t FROM customers
CREATE TRIGGER t BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()
CREATE POLICY p ON customers USING (email LIKE 'a%')
ALTER TABLE copies INHERIT customers
ALTER TABLE customers ALTER COLUMN name TYPE text USING card_number
ALTER TABLE customers RENAME COLUMN card_number TO name2
ALTER TABLE customers ENABLE ROW LEVEL SECURITY
COMMENT ON COLUMN customers.email IS 'x'
PREPARE corner AS SELECT email, card_number FROM customers; CREATE TEMP TABLE t AS EXECUTE corner; SELECT * FROM t
DECLARE c BINARY CURSOR WITH HOLD FOR SELECT card_number FROM customers; FETCH BACKWARD ALL FROM c
DECLARE c SCROLL CURSOR FOR SELECT id FROM customers ORDER BY card_number; FETCH LAST FROM c
COPY (SELECT card_number FROM customers ORDER BY birth_date, id) TO STDOUT WITH (FORMAT csv, FORCE_QUOTE *)
COPY (WITH x AS (SELECT * FROM customers) TABLE x) TO STDOUT
COPY customers FROM STDIN WITH (FORMAT csv)
COPY customers TO STDOUT WHERE email > 'a'
VACUUM VERBOSE customers
ANALYZE VERBOSE customers
CLUSTER VERBOSE customers USING customers_pkey
REINDEX TABLE customers
LOCK TABLE customers IN SHARE MODE
TRUNCATE customers
"""

# Refused by the daemon itself.
EXPLAINED = """
PREPARE p AS SELECT * FROM customers; EXPLAIN ANALYZE EXECUTE p
EXPLAIN (ANALYZE, BUFFERS) SELECT 1 FROM customers WHERE email LIKE 'a.c4n4ry%'
EXPLAIN CREATE TABLE copies2 AS SELECT * FROM customers
EXPLAIN DECLARE c CURSOR FOR SELECT * FROM customers
EXPLAIN SELECT * FROM customers
EXPLAIN (COSTS OFF, FORMAT json) UPDATE customers SET name = email
"""

# Aggregates where none may stand are as wrong as ever: over the one row of a subselect they would be true for all.
WRONG = """
DELETE FROM customers WHERE count(*) = 1
DELETE FROM customers WHERE max(id) > 0
DELETE FROM customers WHERE row_number() OVER () = 1
UPDATE customers SET name = max(name)
UPDATE customers SET name = 'x' WHERE min(email) < 'z'
UPDATE customers SET name = string_agg(name, ',') OVER ()
INSERT INTO customers AS c (id, name) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y' WHERE count(c.id) = 1
MERGE INTO customers c USING orders o ON max(c.id) > 0 WHEN MATCHED THEN DELETE
MERGE INTO customers c USING orders o ON o.id = c.id WHEN MATCHED AND count(c.*) = 1 THEN DELETE
"""

# What a role may see is what it gets: the same as from a database that holds the masked data.
USEFUL = """
SELECT id, name, email FROM customers WHERE id = 3
SELECT count(*), min(email), max(birth_date) FROM customers
SELECT region, count(*), count(DISTINCT email) FROM customers GROUP BY region ORDER BY region
SELECT c.name, sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id, c.name ORDER BY 2 DESC, 1 LIMIT 10
SELECT c.id, c.name, c.region, count(*) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id
SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer_id WHERE o.status = 'open' ORDER BY o.id
SELECT extract(year FROM birth_date) AS y, count(*) FROM customers GROUP BY 1 HAVING count(*) > 1 ORDER BY y
SELECT * FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total > 150)
SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE status = 'paid') ORDER BY name, id
WITH big AS (SELECT customer_id, sum(total) AS s FROM orders GROUP BY customer_id) SELECT c.email, big.s FROM customers c JOIN big ON big.customer_id = c.id WHERE s > 300
SELECT c.*, o.n FROM customers c, LATERAL (SELECT count(*) AS n FROM orders WHERE customer_id = c.id) o ORDER BY c.id
SELECT id, rank() OVER (PARTITION BY region ORDER BY name, id) FROM customers
SELECT split_part(email, '@', 2) AS domain, count(*) FROM customers GROUP BY domain ORDER BY domain
SELECT string_agg(name, ', ' ORDER BY id) FROM customers WHERE region = 'eu'
SELECT coalesce(phone, 'none'), card_number FROM customers WHERE id BETWEEN 3 AND 12
SELECT id FROM customers WHERE birth_date >= '1980-01-01' AND birth_date < '1990-01-01'
SELECT row_to_json(c) FROM customers c WHERE id = 6
SELECT a.name, b.name FROM customers a JOIN customers b ON a.id < b.id AND a.region = b.region WHERE a.id < 6
SELECT c.name, i.what FROM customers c JOIN orders o ON o.customer_id = c.id JOIN items i ON i.order_id = o.id WHERE c.id = 12
SELECT name FROM customers UNION SELECT what FROM items ORDER BY 1
SELECT p.id, p.email FROM parts p WHERE p.id < 20
SELECT count(*) FROM parts_eu
UPDATE customers SET name = upper(name) WHERE id = 3 RETURNING id, name, email
DELETE FROM customers WHERE id < 10 AND name LIKE 'a%' RETURNING *
INSERT INTO customers (id, name, region) SELECT 7000 + id, name, 'eu' FROM customers WHERE id < 5
"""

CLASSES = {name.lower(): [line for line in text.strip().split("\n")]
           for name, text in dict(PLAIN=PLAIN, WHOLE_ROWS=WHOLE_ROWS, PREDICATES=PREDICATES, SCOPES=SCOPES, PARTITIONS=PARTITIONS, ROWS=ROWS, PLANS=PLANS, COLLATIONS=COLLATIONS, CORNERS=CORNERS,
                                  STATEMENTS=STATEMENTS, TARGETS=TARGETS).items()}
EXPLAINED_STATEMENTS = EXPLAINED.strip().split("\n")
WRONG_STATEMENTS = WRONG.strip().split("\n")
USEFUL_STATEMENTS = USEFUL.strip().split("\n")
