"""Ways around a mask or a row filter in MySQL's and MariaDB's dialect, by class. Each must be refused, or tell nothing.

Not here: that a key is taken by a row which nobody may see (doc/design.md, section 5)."""

PLAIN = """
SELECT * FROM customers
SELECT c.* FROM customers c
SELECT email, phone, card_number, birth_date FROM customers
SELECT `email` FROM `customers`
SELECT customers.email FROM customers
SELECT email AS phone FROM customers
SELECT ALL email FROM customers
SELECT SQL_CALC_FOUND_ROWS email FROM customers LIMIT 1
SELECT HIGH_PRIORITY email FROM customers
SELECT STRAIGHT_JOIN email FROM customers
SELECT email FROM customers USE INDEX ()
SELECT email FROM customers IGNORE INDEX (email)
SELECT email FROM customers FORCE INDEX (email) WHERE email > ''
SELECT /*! email */ FROM customers
SELECT /*!50000 card_number */ FROM customers
SELECT /*M!100000 phone */ FROM customers
SELECT card_number/*!99999 , 1 */ FROM customers
SELECT email FROM/**/customers
SELECT email FROM customers-- x
SELECT card_number FROM customers PARTITION (p0)
SELECT card_number FROM customers FOR SYSTEM_TIME ALL
SELECT (SELECT card_number FROM customers LIMIT 1)
SELECT max(card_number), min(email), group_concat(phone) FROM customers
SELECT DISTINCT email FROM customers
TABLE customers
VALUES ((SELECT max(email) FROM customers))
HANDLER customers OPEN
SELECT count(*) + 0 FROM customers WHERE email >= 'b' AND email < 'c' LIMIT ROWS EXAMINED 4
SELECT count(*) + 0 FROM customers WHERE card_number >= 'b' LIMIT 1 ROWS EXAMINED 4
SET STATEMENT max_join_size = 3 FOR SELECT count(*) FROM customers WHERE email >= 'b' AND email < 'c'
SET STATEMENT tx_isolation = 'SERIALIZABLE' FOR SELECT count(*) FROM customers
SELECT * FROM customers PROCEDURE ANALYSE()
SELECT * FROM customers LIMIT 3 INTO @a, @b, @c, @d, @e, @f, @g
SELECT email FROM customers LIMIT 1 INTO @x
SELECT @x := email AS x FROM customers
SELECT @y := max(card_number) FROM customers
SELECT * FROM customer_directory
SELECT * FROM staff
"""

EXPRESSIONS = """
SELECT lower(email), upper(card_number), concat(phone, 'x'), hex(card_number) FROM customers
SELECT substr(email, 3, 8), left(card_number, 12), reverse(email), insert(email, 1, 1, '') FROM customers
SELECT length(email), char_length(email), ascii(substr(email, 4, 1)), ord(email), bit_length(card_number) FROM customers
SELECT md5(email), sha1(card_number), crc32(email), sha2(email, 256), password(email), old_password(email) FROM customers
SELECT to_base64(email), aes_encrypt(email, 'k'), compress(email), encode(email, 'x'), uncompressed_length(compress(email)) FROM customers
SELECT cast(email AS binary), convert(card_number, char), binary email, convert(email USING latin1), email COLLATE utf8mb4_general_ci FROM customers
SELECT soundex(email), weight_string(email), quote(email), space(length(email)) FROM customers
SELECT dayofyear(birth_date), birth_date + 0, birth_date + INTERVAL 1 DAY, to_days(birth_date), date_format(birth_date, '%j'), datediff(birth_date, '1950-01-01') FROM customers
SELECT json_object('e', email, 'c', card_number), json_array(phone, email) FROM customers
SELECT json_arrayagg(email) FROM customers
SELECT json_objectagg(id, card_number) FROM customers
SELECT export_set(5, email, card_number, ',', 3), make_set(7, email, phone, card_number), elt(1, email), field(email, 'x') FROM customers
SELECT default(email), default(card_number) FROM customers
SELECT nullif(email, 'x'), ifnull(phone, card_number), coalesce(phone, card_number), if(phone IS NULL, email, phone) FROM customers
SELECT (email, card_number) = ('a', 'b') FROM customers
SELECT email + 0, phone * 1, -card_number, email | 1, ~email FROM customers
SELECT email REGEXP '^a', email RLIKE 'c4n4ry' AS r, regexp_substr(email, '[0-9]+'), regexp_replace(card_number, '4000', '') FROM customers
SELECT extractvalue(concat('<a>', email, '</a>'), '/a'), updatexml('<a/>', '/a', email) FROM customers
SELECT column_create('a', email), column_json(column_create('a', card_number)) FROM customers
SELECT match (email) against ('c4n4ry' IN BOOLEAN MODE) FROM customers
SELECT values(email) FROM customers
SELECT row_number() OVER (ORDER BY card_number, id), lag(email) OVER (ORDER BY id), first_value(card_number) OVER (ORDER BY id) FROM customers
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY id) OVER (PARTITION BY email) FROM customers
SELECT std(email), variance(card_number), bit_xor(crc32(email)), sum(phone), avg(card_number) FROM customers
SELECT group_concat(DISTINCT email ORDER BY card_number DESC SEPARATOR '|' LIMIT 3) FROM customers
"""

PREDICATES = """
SELECT id FROM customers WHERE email LIKE 'a.c4n4ry%'
SELECT id FROM customers WHERE card_number > '4000-c4n4ry-2'
SELECT id FROM customers WHERE birth_date > '1970-03-04'
SELECT id FROM customers WHERE phone IS NOT NULL
SELECT id FROM customers WHERE email <=> (SELECT max(email) FROM customers)
SELECT id FROM customers WHERE (email, id) IN (SELECT email, id FROM customers)
SELECT id FROM customers ORDER BY card_number
SELECT id FROM customers ORDER BY 1, email
SELECT id AS email FROM customers ORDER BY email
SELECT count(*) FROM customers GROUP BY email
SELECT count(*) FROM customers GROUP BY card_number WITH ROLLUP
SELECT 1 FROM customers HAVING max(card_number) > '4'
SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM customers d WHERE d.card_number = c.card_number AND d.id <> c.id)
SELECT a.id FROM customers a JOIN customers b USING (email)
SELECT a.id FROM customers a NATURAL JOIN customers b
SELECT o.id FROM orders o JOIN customers c ON c.email LIKE concat('%', o.id, '%')
SELECT o.id, c.id FROM orders o LEFT JOIN customers c ON c.card_number LIKE concat('%', o.id)
SELECT id FROM customers WHERE sleep(0) = 0 AND email = 'x'
SELECT id FROM customers WHERE benchmark(1, md5(card_number)) = 0
SELECT id FROM customers WHERE @a := email
SELECT id FROM customers WHERE email BETWEEN 'a' AND 'b'
SELECT id FROM customers WHERE id = 3 OR card_number LIKE '%3'
SELECT id FROM customers WHERE NOT EXISTS (SELECT 1 FROM dual WHERE customers.email = 'x')
SELECT id FROM customers WHERE email IN ('a', 'b') IS TRUE
SELECT id FROM customers LIMIT 3 OFFSET 1
SELECT FOUND_ROWS()
"""

SCOPES = """
WITH x AS (SELECT * FROM customers) SELECT * FROM x
WITH customers AS (SELECT 1 AS id) SELECT * FROM customers
WITH customers AS (SELECT * FROM customers) SELECT email FROM customers
WITH customers AS (SELECT 1 AS id) SELECT * FROM (WITH c AS (SELECT * FROM customers) SELECT * FROM c) q
WITH RECURSIVE customers AS (SELECT 1 AS id UNION SELECT id + 1 FROM customers WHERE id < 3) SELECT * FROM customers
WITH Customers AS (SELECT 1 AS id) SELECT * FROM customers
SELECT email FROM (SELECT * FROM customers) q
SELECT q.email FROM (SELECT * FROM customers WHERE card_number LIKE '4%') q
SELECT customers.email FROM (SELECT 'x' AS email) customers
SELECT email FROM orders customers
SELECT c.email FROM customers c, customers d WHERE c.id = d.id
SELECT (SELECT c.email) FROM customers c
SELECT (SELECT max(d.card_number) FROM customers d WHERE d.id = c.id) FROM customers c
SELECT * FROM customers JOIN orders USING (id)
SELECT * FROM orders NATURAL JOIN customers
SELECT * FROM (customers, orders)
SELECT * FROM (customers c JOIN orders o ON o.customer_id = c.id)
SELECT * FROM { oj orders o LEFT JOIN customers c ON c.id = o.customer_id }
SELECT email FROM customers UNION SELECT card_number FROM customers
SELECT email FROM customers UNION ALL SELECT phone FROM customers ORDER BY email
(SELECT card_number FROM customers) EXCEPT (SELECT email FROM customers)
(SELECT card_number FROM customers ORDER BY birth_date LIMIT 2)
SELECT * FROM customers WHERE id IN (SELECT customer_id FROM orders) ORDER BY phone, id LIMIT 1
SELECT jt.* FROM customers c, json_table(concat('["', c.email, '"]'), '$[*]' COLUMNS (v varchar(80) PATH '$')) jt
SELECT * FROM seq_1_to_3, customers
SELECT `customers`.`email`, `c`.`card_number` FROM customers, customers AS c
SELECT "email" FROM customers
SELECT 'email' FROM customers
SELECT email email, card_number 'phone', phone "card" FROM customers
SELECT .customers.email FROM customers
SELECT information_schema.tables.table_name FROM information_schema.tables
"""

ROWS = """
SELECT id, name FROM customers WHERE 1 / (id - 5) > 0
SELECT id FROM customers WHERE exp(id * 100) > 0
SELECT id FROM customers WHERE id * 9223372036854775807 > 0
SELECT id FROM customers WHERE name REGEXP concat('(', IF(region = 'us', '(', ''), ')')
SELECT id FROM customers WHERE (SELECT 1 UNION SELECT IF(region <> 'eu', 2, 1)) = 1
SELECT id FROM customers WHERE extractvalue(1, concat(IF(region <> 'eu', 0x5c, '/a'), name))
SELECT id FROM customers WHERE cast(name AS signed) = 0
SELECT count(*), sum(id), max(id), min(name), avg(id) FROM customers
SELECT count(*) FROM customers WHERE region <> 'eu'
SELECT region, count(*) FROM customers GROUP BY region WITH ROLLUP
SELECT DISTINCT region FROM customers
SELECT max(id) FROM customers LIMIT 1
SELECT * FROM customers ORDER BY id DESC LIMIT 1
SELECT * FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id AND c.region = 'us')
SELECT o.id, c.id FROM orders o LEFT JOIN customers c ON c.id = o.customer_id
SELECT o.id, c.id FROM customers c RIGHT JOIN orders o ON c.id = o.customer_id AND 1 / (c.id - 5) > 0
SELECT * FROM customers FOR UPDATE
SELECT * FROM customers LOCK IN SHARE MODE
SELECT * FROM customers WHERE id = 4 FOR UPDATE NOWAIT
SELECT name FROM customers WHERE name LIKE '%\\\\'
SELECT (SELECT name FROM customers WHERE id = 4)
SELECT (SELECT name FROM customers WHERE id <= 6)
SELECT IF((SELECT count(*) FROM customers) > 10, (SELECT 1 UNION SELECT 2), 0)
SELECT table_rows FROM information_schema.tables WHERE table_name = 'customers'
SHOW TABLE STATUS LIKE 'customers'
SHOW INDEX FROM customers
EXPLAIN SELECT * FROM customers
EXPLAIN SELECT * FROM customers WHERE id = 4
ANALYZE SELECT * FROM customers
ANALYZE TABLE customers
CHECKSUM TABLE customers
CHECK TABLE customers
SHOW CREATE TABLE customers
SHOW CREATE VIEW customer_directory
SHOW WARNINGS
SHOW STATUS LIKE 'Handler%'
SHOW PROFILE
SELECT * FROM mysql.innodb_table_stats
SELECT * FROM information_schema.innodb_sys_tablestats
SELECT * FROM information_schema.column_statistics
SELECT * FROM mysql.column_stats
SELECT * FROM performance_schema.events_statements_history
SELECT LAST_INSERT_ID(), ROW_COUNT()
"""

WRITES = """
UPDATE customers SET name = email
UPDATE customers SET name = card_number WHERE id = 3
UPDATE customers SET name = left(phone, 5)
UPDATE customers SET email = email
UPDATE customers SET name = 'x' WHERE card_number LIKE '4000%'
UPDATE customers SET name = 'x' WHERE email REGEXP 'c4n4ry'
UPDATE customers SET name = 'x' ORDER BY card_number LIMIT 1
UPDATE customers SET name = 'boom' WHERE id = 3
UPDATE customers SET name = 'cast' WHERE id = 3
UPDATE customers SET name = '' WHERE id = 3
UPDATE customers SET name = 'bad'
UPDATE customers SET region = 'us' WHERE id = 3
UPDATE customers SET name = 'n' WHERE region <> 'eu'
UPDATE customers c JOIN orders o ON o.customer_id = c.id SET o.status = c.email
UPDATE orders o SET status = (SELECT max(card_number) FROM customers)
UPDATE orders, customers SET orders.status = left(customers.phone, 9) WHERE orders.customer_id = customers.id
DELETE FROM customers WHERE card_number LIKE '%3'
DELETE FROM customers WHERE 1 / (id - 5) > 0
DELETE FROM customers RETURNING email, card_number
DELETE FROM customers WHERE id = 3 RETURNING *
DELETE FROM customers ORDER BY birth_date LIMIT 1
DELETE o FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.phone LIKE '%1%'
DELETE FROM customers USING customers JOIN orders ON orders.id = customers.id
INSERT INTO copies SELECT id, email FROM customers
INSERT INTO copies SELECT id, card_number FROM customers WHERE region <> 'eu'
INSERT INTO copies (t) VALUES ((SELECT max(phone) FROM customers))
INSERT INTO copies SET t = (SELECT group_concat(email) FROM customers)
INSERT INTO customers (id, name, email, phone, card_number, birth_date, region) VALUES (3, 'n', 'e', 'p', 'c', '2000-01-01', 'eu')
INSERT INTO customers (id, name, email, phone, card_number, birth_date, region) VALUES (3, 'n', 'e', 'p', 'c', '2000-01-01', 'eu') ON DUPLICATE KEY UPDATE name = email
INSERT INTO customers (id, name, email, phone, card_number, birth_date, region) VALUES (3, 'n', 'e', 'p', 'c', '2000-01-01', 'eu') ON DUPLICATE KEY UPDATE name = concat(phone, card_number)
INSERT INTO customers SELECT id + 9000, name, email, phone, card_number, birth_date, region FROM customers
INSERT INTO customers (id) VALUES (9000) RETURNING *
REPLACE INTO customers (id, name) VALUES (3, 'x')
REPLACE INTO copies SELECT id, email FROM customers
CREATE TEMPORARY TABLE made AS SELECT * FROM customers
CREATE TEMPORARY TABLE made LIKE customers
CREATE TABLE made AS SELECT email FROM customers
CREATE VIEW made AS SELECT * FROM customers
ALTER TABLE customers ADD COLUMN copied varchar(99) AS (email)
LOAD DATA LOCAL INFILE '/nowhere' INTO TABLE customers
SELECT * FROM customers INTO OUTFILE '/tmp/gh-never'
SELECT email FROM customers LIMIT 1 INTO DUMPFILE '/tmp/gh-never'
LOCK TABLES customers READ
PREPARE p FROM 'SELECT email FROM customers'
EXECUTE IMMEDIATE 'SELECT card_number FROM customers'
EXECUTE IMMEDIATE concat('SELECT card_number', ' FROM customers')
SET @x = (SELECT max(card_number) FROM customers)
DO (SELECT max(email) FROM customers)
SET STATEMENT max_statement_time = 1 FOR SELECT email FROM customers
SET sql_mode = 'ANSI_QUOTES'
BEGIN NOT ATOMIC SELECT email FROM customers; END
"""

CLASSES = {name: [line for line in text.strip().split("\n") if line] for name, text in
           (("plain", PLAIN), ("expressions", EXPRESSIONS), ("predicates", PREDICATES), ("scopes", SCOPES), ("rows", ROWS), ("writes", WRITES))}
