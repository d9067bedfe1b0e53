"""Statements for t/mysql/rewrite.py: by hand, what somebody would ask and how somebody would get around the masks; and a generator."""
import re

# (statement, sql_mode). A line that begins with ! may be refused.
BOTH = """
SELECT * FROM customers ORDER BY id
SELECT c.email, c.* FROM customers c
SELECT email, count(*) FROM customers GROUP BY email
SELECT lower(email), upper(nick), length(card_number), year(birth_date), score + 1 FROM customers WHERE email LIKE 'a%'
SELECT shop.customers.email FROM customers WHERE shop.customers.id < 5
SELECT shop.customers.* FROM customers WHERE id = 3
SELECT shop.c.email FROM customers c
SELECT id FROM customers WHERE email = 'a.c4n4ry31@mail1.example'
SELECT id FROM customers WHERE birth_date BETWEEN '1960-01-01' AND '1970-12-31'
SELECT id FROM customers WHERE seen > '2026-06-01 00:00:00' OR score > 100
SELECT c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.status = 'open'
SELECT c.name, o.total FROM orders o LEFT JOIN customers c ON o.customer_id = c.id AND c.email LIKE 'b%'
SELECT c.name FROM customers c JOIN orders o ON c.email = o.status
SELECT * FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE name LIKE 'a%')
SELECT * FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id AND c.region = 'eu')
SELECT (SELECT max(email) FROM customers), (SELECT count(*) FROM customers) AS n FROM orders LIMIT 1
SELECT (SELECT email FROM customers WHERE id = o.customer_id) FROM orders o
SELECT a.id FROM customers a, customers b WHERE a.email = b.email AND a.id < b.id
SELECT a.id, b.id FROM customers a JOIN customers b USING (id)
SELECT name FROM customers UNION SELECT status FROM orders
SELECT email FROM customers UNION ALL SELECT status FROM orders
(SELECT id, email FROM customers ORDER BY id LIMIT 3) UNION (SELECT 1, 'x') ORDER BY 1
WITH c AS (SELECT id, email FROM customers) SELECT * FROM c WHERE email LIKE 'c%'
WITH customers AS (SELECT id, email FROM customers WHERE id < 10) SELECT * FROM customers
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT r.n, c.email FROM r JOIN customers c ON c.id = r.n
SELECT * FROM (SELECT id, email FROM customers) d WHERE d.id = 3
SELECT id, row_number() OVER (PARTITION BY region ORDER BY birth_date, id) FROM customers
SELECT region, group_concat(email ORDER BY email, id) FROM customers GROUP BY region
SELECT region, min(email), max(card_number), sum(score), avg(score) FROM customers GROUP BY region HAVING min(email) > 'a'
SELECT email AS e FROM customers ORDER BY e, id LIMIT 5
SELECT DISTINCT email FROM customers
SELECT count(DISTINCT email), count(phone) FROM customers
SELECT id FROM customers WHERE phone IS NULL
SELECT concat(name, email) FROM customers
!SELECT * FROM customers WHERE id = 3 FOR UPDATE
!SELECT * FROM customers LOCK IN SHARE MODE
SELECT id FROM customers FORCE INDEX (PRIMARY) WHERE id > 3
SELECT id FROM customers USE INDEX FOR ORDER BY (email) ORDER BY id
SELECT id FROM (customers c JOIN orders o USING (id))
SELECT * FROM customers STRAIGHT_JOIN orders ON customers.id = orders.id
SELECT SQL_CALC_FOUND_ROWS id FROM customers LIMIT 1
SELECT email INTO @x FROM customers WHERE id = 3
SELECT @x := email FROM customers WHERE id = 3
SELECT CASE email WHEN 'x' THEN 1 ELSE 2 END, IF(score > 50, nick, 'no') FROM customers
SELECT id, `email`, c . `nick` FROM `customers` `c`
SELECT ID, Email, c.NICK, `REGION` FROM customers c WHERE ID < 9
SELECT * FROM (SELECT ID, EMAIL FROM customers) d WHERE id < 9
SELECT O.ID, C.EMAIL FROM orders O JOIN (customers C) ON O.customer_id = C.id GROUP BY o.id, c.email HAVING ID < 9 ORDER BY id
SELECT id, email FROM (customers) WHERE id < 5
SELECT c.email FROM orders o LEFT JOIN ((customers c)) ON c.id = o.customer_id
SELECT /* customers */ id FROM customers -- email
SELECT 1 FROM customers c1 WHERE c1.id = (SELECT max(c2.id) FROM customers c2 WHERE c2.region = c1.region)
SELECT 1 IN (SELECT id FROM customers), EXISTS (SELECT * FROM customers WHERE id = 4)
SELECT c.id FROM customers c WHERE (c.id, c.region) IN (SELECT id, region FROM customers)
SELECT avg(total) FROM orders WHERE customer_id NOT IN (SELECT id FROM customers WHERE score > 100)
SELECT 1 FROM DUAL WHERE (SELECT count(*) FROM customers) > 5
SELECT id FROM customers c WHERE EXISTS (SELECT c.email FROM orders HAVING c.email IS NOT NULL)
SELECT customers.id FROM shop.customers, shop.orders WHERE customers.id = orders.customer_id
SELECT count(*) FROM .customers
INSERT INTO copies SELECT id, email FROM customers
INSERT INTO copies (t) SELECT concat(email, card_number) FROM customers WHERE id < 5
REPLACE INTO copies SELECT id, nick FROM customers
UPDATE orders SET status = (SELECT email FROM customers WHERE id = customer_id) WHERE id < 5
UPDATE orders o JOIN customers c ON c.id = o.customer_id SET o.status = c.email
UPDATE orders, (SELECT id, email FROM customers) c SET status = c.email WHERE customer_id = c.id
DELETE FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE email LIKE 'a%')
DELETE o FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.email LIKE 'b%'
DELETE FROM o USING orders o, customers c WHERE c.id = o.customer_id AND c.score > 100
!CREATE TEMPORARY TABLE tmp AS SELECT id, name, email, birth_date, score, seen FROM customers
SET @x = (SELECT max(email) FROM customers)
DO (SELECT count(*) FROM customers)
!SELECT * FROM customers NATURAL JOIN orders
!SELECT 1 FROM customers a NATURAL JOIN customers b
!SELECT 1 FROM customers a JOIN customers b USING (email)
!SELECT note FROM customers
!SELECT id FROM customers ORDER BY note
!SELECT id FROM customers WHERE customers.note LIKE '%c4n4ry%'
!SELECT * FROM /*!50000 customers */
!SELECT id /*!50000 , card_number */ FROM customers
!SELECT /*!40001 SQL_NO_CACHE */ * FROM customers
!PREPARE s FROM 'SELECT * FROM customers'
!EXPLAIN SELECT * FROM customers
!SHOW INDEX FROM customers
!CHECKSUM TABLE customers
!ANALYZE TABLE customers
!CREATE VIEW v AS SELECT * FROM customers
!SELECT DEFAULT(email) FROM customers
!SELECT id FROM customers WHERE 1/(id-7) > 0
!SELECT id FROM customers WHERE email + 0 > 0
!SELECT extractvalue('<a/>', concat('/', email)) FROM customers
!SELECT exp(score * 100) FROM customers
!SELECT id FROM customers WHERE cast(note AS signed) > 0
!SELECT json_extract(note, '$.secret') FROM customers
!SELECT cot(0) FROM customers WHERE name LIKE 'a%'
!SELECT id FROM customers WHERE name = 'x' OR (SELECT 1 UNION SELECT 2)
!INSERT INTO customers (id, name, region) VALUES (500, 'x', 'us')
!INSERT INTO customers (id, name, email, region) VALUES (500, 'x', 'y', 'eu')
!INSERT INTO customers SELECT * FROM customers
!INSERT INTO customers (id, name, region) VALUES (3, 'x', 'eu') ON DUPLICATE KEY UPDATE name = email
!INSERT INTO customers (id, name, region) VALUES (4, 'x', 'eu') ON DUPLICATE KEY UPDATE name = 'changed'
!INSERT INTO customers (id, name, region) VALUES (3, 'x', 'eu') ON DUPLICATE KEY UPDATE name = concat(VALUES(name), card_number)
!INSERT INTO customers SET id = 600, name = 'x', region = 'eu'
!REPLACE INTO customers (id, name, region) VALUES (3, 'x', 'eu')
!REPLACE INTO customers (id, name, region) VALUES (4, 'x', 'eu')
!UPDATE customers SET name = email
!UPDATE customers SET name = concat(nick, card_number) WHERE phone IS NOT NULL
!UPDATE customers SET name = 'x' WHERE email LIKE 'a.c4n4ry%'
!UPDATE customers SET name = 'x' WHERE email LIKE 'a***%'
!UPDATE customers SET name = 'x' WHERE id = 3
!UPDATE customers SET name = 'x' WHERE id > 3 ORDER BY card_number LIMIT 2
!UPDATE customers SET name = 'x' ORDER BY id LIMIT 2
!UPDATE customers SET name = (SELECT note FROM orders LIMIT 1)
!UPDATE customers SET name = (SELECT status FROM orders WHERE orders.id = customers.id)
!UPDATE customers SET name = (SELECT email FROM orders WHERE orders.id = customers.id)
!UPDATE customers c SET c.name = upper(c.name) WHERE c.id IN (SELECT customer_id FROM orders WHERE status = 'open')
!UPDATE customers SET score = score + 1
!UPDATE customers SET region = 'us'
!UPDATE customers SET region = 'eu', name = region
!UPDATE customers SET name = 1/(id-7) WHERE 1/(id-7) > 0
!UPDATE customers c JOIN orders o ON o.customer_id = c.id SET c.name = c.email
!UPDATE customers c JOIN orders o ON o.customer_id = c.id SET c.name = o.status WHERE c.card_number LIKE '%1'
!UPDATE customers c JOIN customers d ON c.id = d.id SET c.name = d.email
!UPDATE customers SET email = 'x' WHERE id = 3
!UPDATE customers SET email = DEFAULT(email)
!DELETE FROM customers
!DELETE FROM customers WHERE id = 3
!DELETE FROM customers WHERE email LIKE '%c4n4ry%'
!DELETE FROM customers WHERE id > 5 ORDER BY email LIMIT 3
!DELETE FROM customers WHERE id IN (SELECT customer_id FROM orders)
!DELETE c FROM customers c JOIN orders o ON o.customer_id = c.id
!DELETE c, o FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.email LIKE '%c4n4ry%'
!DELETE FROM customers USING customers, orders WHERE customers.id = orders.id
!CREATE TABLE shop.x LIKE customers
"""
MARIADB = """
SELECT id FROM (customers) WHERE id > 3
SELECT * FROM customers FOR SYSTEM_TIME AS OF TIMESTAMP'2030-01-01 00:00:00'
SELECT id FROM customers OFFSET 1 ROW FETCH FIRST 2 ROWS ONLY
SELECT id, email FROM customers EXCEPT SELECT 3, 'x'
SELECT j.x FROM customers c, JSON_TABLE(concat('["', c.email, '"]'), '$[*]' COLUMNS (x varchar(60) PATH '$')) j
!SELECT * FROM customers PROCEDURE ANALYSE()
!HANDLER customers OPEN
!SELECT id FROM customers WHERE email >= 'a' LIMIT ROWS EXAMINED 4
!SELECT id FROM orders LIMIT 3 ROWS EXAMINED 40
!SELECT (SELECT count(*) FROM customers LIMIT 1 ROWS EXAMINED 4)
!EXECUTE IMMEDIATE 'SELECT id FROM customers LIMIT ROWS EXAMINED ?' USING 4
!SET STATEMENT max_join_size = 3 FOR SELECT id FROM customers WHERE email >= 'a'
!SET STATEMENT sql_big_selects = 0 FOR SELECT id FROM customers
!SET STATEMENT sql_safe_updates = 1 FOR UPDATE customers SET name = name WHERE email >= 'a'
!SET STATEMENT tx_isolation = 'SERIALIZABLE' FOR SELECT id FROM customers
EXECUTE IMMEDIATE 'SELECT * FROM customers'
EXECUTE IMMEDIATE 'SELECT id, email, ''it''''s'' AS q FROM customers AS c WHERE c.region = ''eu'' ORDER BY id'
EXECUTE IMMEDIATE 'SELECT id FROM customers WHERE email = ? OR id = ?' USING 'x', 4
EXECUTE IMMEDIATE 'SELECT concat(email, "'''' -- ") FROM customers -- '
!EXECUTE IMMEDIATE 'SELECT id FROM customers WHERE card_number LIKE ''%c4n4ry%'''
!EXECUTE IMMEDIATE 'UPDATE customers SET name = card_number WHERE id = 3'
!EXECUTE IMMEDIATE 'DELETE FROM customers WHERE card_number LIKE ''%c4n4ry%'' RETURNING *'
!EXECUTE IMMEDIATE 'SHOW INDEX FROM customers'
!DELETE FROM customers WHERE id = 3 RETURNING email, concat(card_number, 'x'), name
!DELETE FROM customers WHERE id = 3 RETURNING *
!DELETE FROM customers WHERE id > 3 RETURNING note
!INSERT INTO customers (id, name, region) VALUES (700, 'x', 'eu') RETURNING *
!INSERT INTO customers (id, name, region) VALUES (700, 'x', 'eu') RETURNING email, id
!REPLACE INTO customers (id, name, region) VALUES (3, 'x', 'eu') RETURNING *
SET STATEMENT max_statement_time = 5 FOR SELECT * FROM customers
"""
MYSQL = """
TABLE customers ORDER BY id
SELECT * FROM customers c, LATERAL (SELECT max(total) FROM orders WHERE customer_id = c.id) l
SELECT /*+ NO_ICP(c) */ id FROM customers c
!SELECT * FROM customers c FOR UPDATE OF c SKIP LOCKED
INSERT INTO copies TABLE items
!INSERT INTO customers (id, name, region) VALUES (3, 'x', 'eu') AS n ON DUPLICATE KEY UPDATE name = n.name
"""


def cases(kind):
    out = []
    for line in (BOTH + (MARIADB if kind == "mariadb" else MYSQL)).strip().split("\n"):
        sql = line.lstrip("!")
        out.append((sql, ""))
        if '"' not in sql and "FOR SYSTEM_TIME" not in sql:
            out.append((sql.replace("email", '"email"') if "VALUES(" not in sql and "'%" not in sql and "'$" not in sql and "(email)" not in sql and "email," not in sql
                        and "/" not in sql else sql, "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,STRICT_TRANS_TABLES"))
        MAY.update({s for s, _ in out[-2:]} if line.startswith("!") else set())
    return out


MAY = set()


def may_be_refused(sql):
    return sql in MAY


RULES = {
    "s": ["{q}"] * 6 + ["insert into copies (t) {q}", "update {f} set {c}={e} where {e}", "update customers set {c}={e} where {e}", "delete from customers where {e}",
                        "delete {a} from {f} where {e}", "insert into customers (id,name,region) values ({e},{e},'eu') on duplicate key update {c}={e}",
                        "update orders set status={e} where id in ({q})", "delete from orders where {e}", "insert into customers ({c},id,region) {q}"],
    "q": ["select {es} from {f}", "select {es} from {f}", "select {es} from {f} where {e}", "select {es} from {f} where {e} and {e}", "select {e}, count(*) from {f} group by {e}",
          "({q})", "{q} union {q}", "{q} union all {q}", "with {cn} as ({q}) select {es} from {f}", "select distinct {es} from {f}", "select {e} from {f} having {e}",
          "select {e} from {f} order by {e}", "select max({e}), min({e}) from {f}", "select {e}, rank() over (order by {e}) from {f}"],
    "f": ["customers", "customers", "customers {al}", "customers as {al}", "orders {al}", "orders", "{f} join {t} {al} on {e}", "{f}, {t} {al}", "({f})", "({q}) {al}",
          "{f} left join {t} {al} on {e}", "{f} right join customers {al} on {e}", "{cn}", "{cn} {al}", "{f} natural join {t}", "{f} join {t} {al} using (id)", "shop.customers {al}"],
    "e": ["{c}", "{c}", "{c}", "{a}.{c}", "{a}.{c}", "1", "3", "'a'", "({q1})", "exists ({q})", "{e} in ({q1})", "{e} + {e}", "{e} and {e}", "{e} or {e}", "not {e}", "{e} = {e}", "{e} < {e}",
          "{c} = {k}", "{c} > {k}", "{c} like '%a%'", "{c} is null", "case when {e} then {e} else {e} end", "coalesce({e},{e})", "if({e},{e},{e})", "concat({e},{e})", "substring({e},2,3)",
          "lower({e})", "year({e})", "length({e})", "cast({e} as char(5))", "{e} <=> {e}", "{c} between {k} and {k}", "({c},{c}) in (select {c},{c} from customers)", "1/(id-7)", "abs({e})",
          "hex({e})", "{e} regexp '^a'", "exp({e})", "@v := {e}", "customers.{c}", "shop.customers.{c}", "{e} collate utf8mb4_bin"],
    "q1": ["select {e} from {f} limit 1", "select max({e}) from {f}", "select {e} from {f} where {e}", "select count(*) from {f} where {e}"],
    "es": ["{e}", "{e}", "*", "{a}.*", "{e}, {e}", "{e} as {al}", "id, email", "email, phone, card_number"],
    "t": ["customers", "orders", "items", "customers"], "al": ["aa", "ab", "customers", "c"], "a": ["aa", "ab", "customers", "c", "orders"], "cn": ["ca", "customers", "cb"],
    "c": ["id", "name", "email", "phone", "card_number", "birth_date", "region", "score", "seen", "nick", "status", "total", "note"],
    "k": ["1", "7", "'eu'", "'us'", "'a'", "'1970-01-01'", "100.5", "null", "'2026-06-01 12:00:00'", "'a***@mail1.example'", "'m'"],
}
MODES = ("", "", "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO", "ANSI_QUOTES", "PAD_CHAR_TO_FULL_LENGTH", "NO_BACKSLASH_ESCAPES", "IGNORE_SPACE", "NO_UNSIGNED_SUBTRACTION")


class Generator:
    def __init__(self, source):
        self.random = source

    def make(self, rule, depth):
        choice = self.random.choice(RULES[rule] if depth < 5 else RULES[rule][:4])
        return re.sub(r"\{(\w+)\}", lambda m: self.make(m[1], depth + 1), choice)

    def statement(self):
        while True:
            text = self.make("s", 0)
            if len(text) < 2000:
                return text, self.random.choice(MODES)
