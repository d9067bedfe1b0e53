"""What the shop's policy hides in MariaDB: masks, errors, metadata, limits, the catalog behind it; as text, prepared, over the binary protocol.

The policy is examples/shop/policy.yaml itself, with a group besides that writes what it does not see. Every sensitive text of customers holds c4n4ry, which must never arrive."""
import json
import os
import re
import signal
import struct
import tempfile
import unittest

import pymysql

import stack
import test_mysql as my
from stack import wait_until

WRITERS = """
  - name: testers-write-customers
    groups: testers
    database: shop_my
    allow: [select, insert, update, delete]
    on: shop.customers
    columns: { phone: { mask: null }, card_number: { mask: { last: 4 } }, "*": visible }
    write: [id, name, email, phone, card_number, birth_date, region]
  - name: testers-have-a-place
    groups: testers
    database: shop_my
    allow: [select, create, drop, temp]
    on: "shop.scratch_*"
  - name: testers-read-the-directory
    groups: testers
    database: shop_my
    allow: select
    on: shop.customer_directory
  - name: collectors-see-lots-of-eu
    groups: collectors
    database: shop_my
    allow: select
    on: shop.lots
    rows: "region = 'eu'"
  - name: collectors-have-a-place
    groups: collectors
    database: shop_my
    allow: [select, insert, create, drop]
    on: "shop.scratch_*"
"""
VIEW = """
  - name: viewers-change-through-a-view
    groups: viewers
    database: shop_my
    allow: [select, insert, update, delete]
    on: [shop.customers_seen, shop.customers]
    columns: { email: { mask: email }, phone: hidden, card_number: hidden, birth_date: { mask: { truncate: year } }, "*": visible }
    write: [id, name, region]
  - name: viewers-change-orders
    groups: viewers
    database: shop_my
    allow: [select, update]
    on: shop.orders
"""
COUNTERS = """
  - name: counters-see-parts
    groups: counters
    database: shop_my
    allow: [select, update, delete]
    on: [shop.parted, shop.words]
    columns: { grade: { mask: null }, "*": visible }
    write: [n]
  - name: counters-see-words-of-eu
    groups: counters
    database: shop_my
    allow: [select, update]
    on: shop.words
    rows: "region = 'eu'"
  - name: counters-read-the-servers-own
    groups: counters
    database: shop_my
    allow: select
    on: ["information_schema.*", "performance_schema.*", "mysql.*", "sys.*"]
  - name: counters-do-not-read-accounts
    groups: counters
    database: shop_my
    deny: select
    on: mysql.user
    reason: It has hashes of passwords.
  - name: placers-have-a-place
    groups: placers
    database: shop_my
    allow: [read, write, ddl]
    on: "shop.scratch_*"
"""
HASHES = """
  - name: hashed-customers
    groups: hashers
    database: shop_my
    allow: [select, update, delete]
    on: shop.customers
    columns: { email: { mask: { hash: customer } }, name: { mask: { hash: customer } }, id: { mask: { hash: ids } }, card_number: { mask: { hash: cards } }, region: visible }
    write: [region]
  - name: hashed-orders
    groups: hashers
    database: shop_my
    allow: [select, lock]
    on: shop.orders
    columns: { customer_id: { mask: { hash: ids } }, total: visible, status: visible }
  - name: hashed-types
    groups: hashers
    database: shop_my
    allow: [select, update]
    on: shop.kinds
    columns:
      id: visible
      i: { mask: { hash: k } }
      z: { mask: { hash: k } }
      big: { mask: { hash: k } }
      ubig: { mask: { hash: k } }
      latin: { mask: { hash: k } }
      bin: { mask: { hash: k } }
      ci: { mask: { hash: k } }
      c: { mask: { hash: k } }
      t: { mask: { hash: k } }
      b: { mask: { hash: k } }
      vb: { mask: { hash: k } }
      u: { mask: { hash: k } }
    write: [id]
  - name: hashers-have-a-place
    groups: hashers
    database: shop_my
    allow: [select, insert, create, drop]
    on: "shop.scratch_*"
    functions: ["*", "gatehouse.mask_hash"]
  - name: careless
    groups: careless
    database: shop_my
    allow: [select, update]
    on: shop.customers
    columns: { email: { mask: { hash: customer } }, "*": visible }
    write: [email]
  - name: keepers-do-everything
    groups: keepers
    database: shop_my
    allow: all
    on: "*.*"
  - name: open
    groups: open
    database: shop_my
    allow: [read, write, temp]
    on: "*.*"
    functions: "*"
"""
KINDS = """CREATE TABLE kinds (id int PRIMARY KEY, i int, z int unsigned ZEROFILL, big bigint, ubig bigint unsigned, latin varchar(100) CHARACTER SET latin1 COLLATE latin1_general_cs,
    bin varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, ci varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, c char(70), t text, b blob, vb varbinary(16), u uuid)"""
CANARY = b"c4n4ry"
PREPARE, EXECUTE, FETCH, FIELD_LIST = 0x16, 0x17, 0x1c, 4
DEPRECATE_EOF = 1 << 24


def setUpModule():
    global S
    S = my.S = stack.Stack(policy=stack.shop_policy() + WRITERS + VIEW + COUNTERS + HASHES, mysql=True, config=stack.with_metrics)


def tearDownModule():
    S.close()


def lenenc(b, at):
    first = b[at]
    if first < 0xfb:
        return first, at + 1
    n = {0xfc: 2, 0xfd: 3, 0xfe: 8}[first]
    return int.from_bytes(b[at + 1:at + 1 + n], "little"), at + 1 + n


def text(b, at):
    n, at = lenenc(b, at)
    return b[at:at + n], at + n


class Answer:
    """All packets of an answer: columns (schema, table, org_table, name, org_name), rows as they came, the last packet."""

    def __init__(self, raw, command):
        raw.send(0, command)
        self.columns, self.rows, self.packets = [], [], [raw.packet()[1]]
        first = self.packets[0]
        if first[0] in (0, 0xff):
            return
        eof = not raw.caps & DEPRECATE_EOF
        for _ in range(first[0]):
            self.packets.append(raw.packet()[1])
            self.columns.append(self.column(self.packets[-1]))
        if eof:
            self.packets.append(raw.packet()[1])
        while True:
            self.packets.append(raw.packet()[1])
            last = self.packets[-1]
            if last[0] == 0xff or (last[0] == 0xfe and len(last) < (9 if eof else 1 << 24)):
                return
            self.rows.append(last)

    @staticmethod
    def column(packet):
        at, out = 0, []
        for _ in range(6):
            part, at = text(packet, at)
            out.append(part.decode())
        return tuple(out[1:])

    def texts(self):
        """Rows of the binary protocol, all of whose columns are texts."""
        out = []
        for row in self.rows:
            n, at, values = len(self.columns), 1 + (len(self.columns) + 9) // 8, []
            for i in range(n):
                null = row[1 + (i + 2) // 8] >> (i + 2) % 8 & 1
                value, at = (None, at) if null else text(row, at)
                values.append(None if null else value.decode())
            out.append(tuple(values))
        return out

    @property
    def last(self):
        return self.packets[-1]

    def code(self):
        return my.code(self.last)

    def values(self):
        out = []
        for row in self.rows:
            at, values = 0, []
            while at < len(row):
                if row[at] == 0xfb:
                    values.append(None)
                    at += 1
                else:
                    value, at = text(row, at)
                    values.append(value.decode())
            out.append(tuple(values))
        return out


class Raw(my.Raw):
    def __init__(self, who="agent", caps=0):
        super().__init__("shop", who, caps)
        self.heard = b""

    def packet(self):
        out = super().packet()
        self.heard = getattr(self, "heard", b"") + out[1]
        return out

    def ask_all(self, sql):
        return Answer(self, bytes([my.QUERY]) + sql.encode())

    def prepare(self, sql):
        """The statement's id, or the error; the definitions are read."""
        self.send(0, bytes([PREPARE]) + sql.encode())
        first = self.packet()[1]
        if first[0] == 0xff:
            return my.code(first)
        ident, columns, params = struct.unpack("<IHH", first[1:9])
        for n in (params, columns):
            for _ in range(n + (1 if n and not self.caps & DEPRECATE_EOF else 0)):
                self.packet()
        return (ident, first)

    def execute(self, ident, flags=0, values=()):
        """values: strings."""
        body = struct.pack("<IBI", ident, flags, 1)
        if values:
            body += bytes((len(values) + 7) // 8) + b"\1" + b"\xfd\0" * len(values) + b"".join(bytes([len(v)]) + v.encode() for v in values)
        return Answer(self, bytes([EXECUTE]) + body)


READS = (
    "SELECT * FROM customers ORDER BY id LIMIT 5",
    "SELECT c.* FROM shop.customers c WHERE c.id < 5",
    "SELECT email, card_number, phone, birth_date FROM customers LIMIT 3",
    "SELECT lower(email), concat(phone, ''), hex(card_number) FROM customers LIMIT 3",
    "SELECT group_concat(email), max(card_number), json_arrayagg(phone) FROM customers",
    "SELECT o.id, c.email FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id < 4",
    "SELECT id FROM customers WHERE email LIKE '%c4n4ry%' OR phone LIKE '%c4n4ry%' OR card_number LIKE '%c4n4ry%'",
    "SELECT (SELECT max(email) FROM customers) AS m FROM orders LIMIT 2",
    "WITH x AS (SELECT * FROM customers) SELECT * FROM x LIMIT 2",
    "SELECT email FROM customers UNION SELECT card_number FROM customers",
    "SELECT email, row_number() OVER (ORDER BY email) FROM customers LIMIT 2",
    "SELECT JSON_OBJECT('e', email, 'p', phone) FROM customers LIMIT 2",
    "SELECT IF(email LIKE '%c4n4ry%', 1, 0) AS has FROM customers LIMIT 2",
    "(SELECT email FROM customers LIMIT 1) ORDER BY email",
    "VALUES (1, 'x'), (2, (SELECT email FROM customers WHERE id = 3))",
    "SELECT * FROM (VALUES (1), ((SELECT email FROM customers WHERE id = 3))) AS d",
    "SELECT email AS `_e` FROM customers GROUP BY id LIMIT 1",
)
# By which values or the text of the policy could come in an error.
ERRORS = (
    "SELECT exp(10000 + id) FROM customers",
    "SELECT extractvalue(1, concat(0x5c, email)) FROM customers",
    "SELECT email + 0 FROM nowhere",
    "SELECT (SELECT email FROM customers)",
    "SELECT json_extract(email, '$.x') FROM customers",
    "SELECT st_geomfromtext(email) FROM customers",
    "SELECT card_number REGEXP '(' FROM customers",
    "SELECT nosuch FROM customers",
)
# MariaDB calls columns by the text of the first row, which would be that of the policy.
NAMED_BY_A_ROW = (
    "VALUES ((SELECT email FROM customers WHERE id = 3))",
    "values((select email from customers where id=3)), (2)",
    "SELECT * FROM (VALUES ((SELECT email FROM customers WHERE id = 3))) AS d",
    "WITH d AS (VALUES (1, (SELECT count(*) FROM customers WHERE email LIKE 'x%'))) SELECT * FROM d",
    "(VALUES ((SELECT email FROM customers WHERE id = 3))) UNION SELECT 1",
    "SELECT (VALUES ((SELECT email FROM customers WHERE id = 3)))",
)
REFUSED = (
    "EXPLAIN SELECT * FROM customers",
    "ANALYZE SELECT * FROM customers",
    "EXPLAIN FORMAT=JSON SELECT email FROM customers",
    "SHOW WARNINGS",
    "EXECUTE IMMEDIATE 'SHOW WARNINGS'",
    "EXECUTE IMMEDIATE 'show' ' count(*) errors'",
    "EXECUTE IMMEDIATE 'SELECT ROW_COUNT()'",
    "EXECUTE IMMEDIATE 'SELECT @@warning_count'",
    "PREPARE s FROM 'SHOW ERRORS LIMIT 1'",
    "PREPARE s FROM 'SHOW /*M! WARNINGS */'",
    "SHOW ERRORS",
    "SHOW COUNT(*) WARNINGS",
    "SELECT @@warning_count",
    "SELECT @@error_count",
    "SELECT row_count()",
    "GET DIAGNOSTICS CONDITION 1 @x = MESSAGE_TEXT",
    "SHOW CREATE TABLE customers",
    "SHOW INDEX FROM customers",
    "SHOW TABLE STATUS",
    "SHOW TABLES",
    "SELECT * FROM information_schema.columns",
    "SELECT * FROM information_schema.column_statistics",
    "SELECT * FROM mysql.column_stats",
    "SELECT * FROM customer_directory",
    "SELECT * FROM staff",
    "HANDLER customers OPEN",
    "EXECUTE IMMEDIATE CONCAT('SELECT email FROM ', 'customers')",
    "PREPARE s FROM @x",
    "EXECUTE IMMEDIATE 'EXPLAIN SELECT email FROM customers'",
    "EXECUTE IMMEDIATE 'SHOW INDEX FROM customers'",
    "PREPARE s FROM 'HANDLER customers OPEN'",
    "PREPARE s FROM 'DEALLOCATE PREPARE t'",
    "EXECUTE IMMEDIATE 'DEALLOCATE PREPARE t'",
    "SELECT * FROM customers PROCEDURE ANALYSE()",
    "SELECT email FROM customers INTO OUTFILE '/tmp/x'",
    "CREATE TABLE mine AS SELECT * FROM customers",
    "CALL nothing()",
)


def ctl(*args, status=0):
    return S.ctl(*args, status=status)


def statements(sql):
    """Those of a script that grants --sql has printed."""
    return [s for s in "\n".join(line for line in sql.splitlines() if not line.startswith("--")).split(";\n") if s.strip(" \n;")]


class Case(unittest.TestCase):
    def raw(self, who="agent", caps=0):
        r = Raw(who, caps)
        self.addCleanup(r.close)
        return r

    def unseen(self, raw):
        for word in (CANARY, b"_gh"):
            at = raw.heard.find(word)
            self.assertEqual(at, -1, raw.heard[max(at - 60, 0):at + 60])


class Masks(Case):
    def test_what_an_agent_sees(self):
        with my.direct() as d:
            plain = my.rows(d, "SELECT id, name, email, phone, card_number, birth_date, region FROM customers ORDER BY id")
        masked = tuple((i, name, email[0] + "***@" + email.split("@")[1], None, "***" + card[-4:], birth.replace(month=1, day=1), region)
                       for i, name, email, _, card, birth, region in plain)
        with my.connect("agent") as c:
            self.assertEqual(my.rows(c, "SELECT * FROM customers ORDER BY id"), masked)
            self.assertEqual(my.rows(c, "SELECT count(*) FROM customers WHERE card_number LIKE '%%c4n4ry%%'"), ((0,),))
            self.assertEqual(my.rows(c, "SELECT count(*) FROM orders"), ((10000,),))

    def test_reads(self):
        for caps in (0, DEPRECATE_EOF):
            raw = self.raw(caps=caps)
            for sql in READS:
                with self.subTest(sql):
                    answer = raw.ask_all(sql)
                    self.assertNotEqual(answer.last[0], 0xff, answer.last)
                    prepared = raw.prepare(sql)
                    self.assertIsInstance(prepared, tuple, prepared)
                    for flags in (0, 1):  # as a client with a cursor asks
                        again = raw.execute(prepared[0], flags)
                        self.assertEqual((len(again.rows), again.columns), (len(answer.rows), answer.columns))
            self.unseen(raw)

    def test_a_cursor_cannot_be_fetched_from(self):
        raw = self.raw()
        ident = raw.prepare("SELECT email FROM customers")[0]
        self.assertEqual(len(raw.execute(ident, 1).rows), 1000)
        self.assertEqual(my.code(raw.ask(bytes([FETCH]) + struct.pack("<II", ident, 100))), 1235)
        self.unseen(raw)

    def test_long_texts_go_through_the_pool(self):
        raw = self.raw()
        answer = raw.ask_all("SELECT email FROM customers WHERE id IN (%s)" % ",".join(["1"] * 30000))
        self.assertEqual(answer.values(), [("b***@mail.example",)])
        self.unseen(raw)

    def test_much_work_is_done_by_the_pool(self):
        """Its facts with what runs in its place; when it comes again both are known. And its record, each time, for what runs is long."""
        raw = self.raw()
        sql = "SELECT email" + ",(SELECT count(*) FROM customers)" * 100 + " FROM customers WHERE id = 1"
        before = S.metric("gatehouse_parse_pool_jobs_total")
        for _ in range(2):
            self.assertEqual(raw.ask_all(sql).values()[0][:2], ("b***@mail.example", "1000"))
        self.assertEqual(S.metric("gatehouse_parse_pool_jobs_total") - before, 3)
        self.unseen(raw)

    def test_errors(self):
        raw = self.raw()
        for sql in ERRORS:
            with self.subTest(sql):
                answer = raw.ask_all(sql)
                if answer.last[0] == 0xff:
                    self.assertNotIn(b"***@", answer.last)
        for sql in ("SELECT exp(10000 + id) FROM customers", "SELECT extractvalue(1, concat(0x5c, email)) FROM customers"):
            self.assertIn(b"Gatehouse withholds", raw.ask_all(sql).last)
        self.assertIn(b"nosuch", raw.ask_all("SELECT nosuch FROM customers").last)
        self.assertIn(b"more than 1 row", raw.ask_all("SELECT (SELECT email FROM customers)").last)
        self.unseen(raw)

    def test_refused(self):
        raw = self.raw()
        for sql in REFUSED:
            with self.subTest(sql):
                self.assertIn(raw.ask_all(sql).code(), (1142, 1235))
                self.assertIn(raw.prepare(sql), (1142, 1235))
        self.assertEqual(raw.ask_all("SELECT 1").values(), [("1",)])
        self.unseen(raw)

    def test_prepared_in_sql(self):
        """A text that PREPARE holds is that text: the answer is what it is by itself, byte for byte, and is never what is hidden."""
        raw = self.raw()
        for sql in (*READS, "SELECT email AS 'it''s \\\\', \"a\\\"'\" FROM customers WHERE name <> '\\\\' AND name <> '' ORDER BY id"):
            quoted = "'" + sql.replace("\\", "\\\\").replace("'", "''") + "'"
            with self.subTest(sql):
                plain, prepared = raw.ask_all(sql), raw.ask_all("PREPARE s FROM " + quoted)
                if prepared.last[0] == 0xff:  # what the server prepares in no way
                    self.assertEqual(prepared.code(), 1295)
                    continue
                for answer in (raw.ask_all("EXECUTE s"), raw.ask_all("EXECUTE IMMEDIATE " + quoted), raw.ask_all("EXECUTE `S`")):
                    self.assertEqual((answer.columns, answer.rows), (plain.columns, plain.rows))
                self.assertEqual(raw.ask_all("DROP PREPARE s").last[0], 0)
        raw.ask_all("SET @n = 3, @t = 'SELECT email, card_number FROM customers'")
        self.assertEqual(raw.ask_all("PREPARE s FROM 'SELECT id, phone FROM customers WHERE id = ?'").last[0], 0)
        self.assertEqual(raw.ask_all("EXECUTE s USING @n").values(), [("3", None)])
        for sql in ("EXECUTE IMMEDIATE @t", "PREPARE s2 FROM @t", "PREPARE `\u00e9` FROM 'SELECT 1'", "EXECUTE `s `"):
            self.assertEqual(raw.ask_all(sql).code(), 1142, sql)
        for sql in ("PREPARE s FROM 'SELECT FROM customers'", "EXECUTE IMMEDIATE 'SELECT nosuch, 1 + FROM customers'"):
            self.assertEqual(raw.ask_all(sql).last[0], 0xff)
        self.assertIn(b"Gatehouse withholds", raw.ask_all("EXECUTE IMMEDIATE 'SELECT exp(10000 + id) FROM customers'").last)
        self.unseen(raw)

    def test_warnings_are_not_counted(self):
        for caps in (0, DEPRECATE_EOF):
            raw = self.raw(caps=caps)
            answer = raw.ask_all("SELECT email + 1, name + 1 FROM customers")
            self.assertEqual(len(answer.rows), 1000)
            at = 1 if not caps else 5  # EOF: warnings, status; OK: rows, last id, status, warnings
            self.assertEqual(answer.last[at:at + 2], b"\0\0", answer.last)
            plain = self.raw("dba", caps).ask_all("SELECT email + 1 FROM customers LIMIT 1")
            self.assertEqual(plain.last[at:at + 2], b"\1\0", plain.last)

    def test_labels(self):
        """Names and labels are the client's; where a column comes from is said as without the gate, or not at all."""
        raw, plain = self.raw(), self.raw("dba")
        for sql in READS + ("SELECT upper( email ), 1+1, 'x', c.id FROM customers AS c LIMIT 1",):
            with self.subTest(sql):
                ours, theirs = raw.ask_all(sql).columns, plain.ask_all(sql).columns
                self.assertEqual([c[3] for c in ours], [c[3] for c in theirs])
                for a, b in zip(ours, theirs):
                    for x, y in zip(a, b):
                        self.assertIn(x, ("", y), (a, b))

    def test_labels_of_values(self):
        raw = self.raw()
        for sql in NAMED_BY_A_ROW:
            quoted = "'" + sql.replace("'", "''") + "'"
            with self.subTest(sql):
                for text in (sql, "PREPARE s FROM " + quoted, "EXECUTE IMMEDIATE " + quoted):
                    answer = raw.ask_all(text)
                    self.assertEqual(answer.code(), 1142, text)
                    self.assertIn(b"first row of VALUES", answer.last)
                self.assertEqual(raw.prepare(sql), 1142)
        self.unseen(raw)

    def test_definitions(self):
        raw = self.raw()
        answer = raw.ask_all("SHOW COLUMNS FROM customers")
        self.assertEqual([v[0] for v in answer.values()], ["id", "name", "email", "phone", "card_number", "birth_date", "region"])
        self.assertEqual(raw.ask_all("SHOW COLUMNS FROM orders WHERE EXISTS (SELECT 1 FROM customers WHERE phone LIKE '+49%')").rows, [])
        self.assertEqual(len(raw.ask_all("DESCRIBE customers").rows), 7)
        raw.send(0, bytes([FIELD_LIST]) + b"customers\0")
        names = []
        while (packet := raw.packet()[1])[0] not in (0xfe, 0xff):
            names.append(Answer.column(packet)[3])
        self.assertEqual((packet[0], len(names)), (0xfe, 7))
        self.assertEqual(my.code(raw.ask(bytes([FIELD_LIST]) + b"staff\0")), 1142)
        self.unseen(raw)

    def test_grants(self):
        want = {("customers", "email"): "masked: email", ("customers", "phone"): "masked: null", ("customers", "id"): "visible", ("orders", "*"): "visible"}
        raw = self.raw()
        ident = raw.prepare("SHOW gatehouse.grants")[0]
        self.assertEqual(len(raw.execute(ident).rows), 8)
        answer = raw.ask_all("show gatehouse.grants")
        self.assertEqual([c[3] for c in answer.columns], ["schema", "relation", "column", "actions", "shown", "rows", "write", "rule", "approval"])
        self.assertEqual(({v[8] for v in answer.values()}, "" in [v[7] for v in answer.values()]), ({"no", "update: 1 of dbas"}, False))
        shown = {(v[1], v[2]): v[4] for v in answer.values()}
        self.assertEqual({k: shown[k] for k in want}, want)
        self.assertNotIn("staff", [v[1] for v in answer.values()])

    def test_record(self):
        """The auditor sees what was asked, and what ran."""
        with my.connect("agent", program_name="looking for a record") as c:
            my.rows(c, "SELECT email FROM customers WHERE id = 17")
        found = wait_until("the session", lambda: [e for e in S.audit() if e.get("application_name") == "looking for a record"])
        event = [e for e in S.stream("gatehouse:audit:" + found[0]["session"]) if "id = 17" in e.get("sql", "")][0]
        self.assertEqual(event["sql"], "SELECT email FROM customers WHERE id = 17")
        self.assertIn("(SELECT ", event["rewritten"])


class Rows(Case):
    """An analyst sees customers of one region, no card numbers, and 1,000 rows at most."""

    def test_rows(self):
        with my.direct() as d:
            eu = my.rows(d, "SELECT id, name, email, birth_date, region FROM customers WHERE region = 'eu' ORDER BY id")
        with my.connect("analyst") as c:
            self.assertEqual(my.rows(c, "SELECT id, name, email, birth_date, region FROM customers ORDER BY id"), eu)
            self.assertEqual(my.rows(c, "SELECT region, count(*) FROM customers GROUP BY region"), (("eu", len(eu)),))
            self.assertEqual(my.rows(c, "SELECT count(*) FROM customers WHERE region <> 'eu' OR id = 1"), ((0,),))
            self.assertEqual(my.rows(c, "SELECT email FROM customers WHERE id = 3"), ((eu[0][2],),))
            self.assertEqual(my.rows(c, "SELECT count(*) FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.id <= 100 AND c.region <> 'eu'"), ((0,),))

    def test_parameters(self):
        """They go behind the filter, in their order, so that an index is used; and mean what they mean without it."""
        point = "SELECT name FROM customers WHERE id = ?"
        statements = ((point, ("3",)), (point, ("4",)), (point, ("a",)),
                      ("SELECT ?, concat(c.id) FROM customers c WHERE c.id BETWEEN ? AND ? AND name LIKE ? AND id <> ?", ("x", "3", "60", "%a%", "6")),
                      ("SELECT concat(b.id, ':', a.id) FROM customers a, customers b WHERE b.id = ? AND a.id IN (?, ?)", ("3", "6", "9")),
                      ("SELECT concat(a.id, ':', b.id) FROM customers a JOIN customers b ON a.region = b.region WHERE a.id = ? AND b.id < ? AND ? > 0", ("3", "20", "1")),
                      ("SELECT concat(o.id, ':', c.id) FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND o.id <> ? WHERE o.id < ? AND c.id = ?",
                       ("1", "3000", "75")),
                      ("SELECT concat(o.id), name FROM orders o LEFT JOIN customers c ON c.id = o.customer_id AND o.id <> ? WHERE c.id > ?", ("1", "990")),
                      ("SELECT (SELECT max(name) FROM customers c WHERE c.id = ?), ? FROM customers WHERE id = ? UNION ALL SELECT name, ? FROM customers WHERE id > ?",
                       ("3", "p", "6", "q", "990")),
                      ("WITH w AS (SELECT * FROM customers WHERE id < ?) SELECT concat(w.id, ':', o.id) FROM w JOIN orders o ON o.customer_id = w.id WHERE o.id < ? AND ? = w.id",
                       ("50", "3000", "36")))
        raw, found = self.raw("analyst"), 0
        with my.direct() as d:
            my.rows(d, "CREATE TEMPORARY TABLE customers AS SELECT * FROM shop.customers WHERE region = 'eu'")
            for sql, values in statements:
                with d.cursor() as c:
                    c.execute("PREPARE p FROM %s", (sql,))
                    for n, v in enumerate(values):
                        c.execute(f"SET @p{n} = %s", (v,))
                    c.execute("EXECUTE p USING " + ", ".join(f"@p{n}" for n in range(len(values))))
                    want = sorted(c.fetchall())
                answer = raw.execute(raw.prepare(sql)[0], values=values)
                self.assertNotEqual(answer.last[0], 0xff, (sql, answer.last))
                self.assertEqual(sorted(answer.texts()), want, sql)
                found += len(want) > 0
            self.assertGreaterEqual(found, len(statements) - 2)
            catalog = ctl("catalog", "--config", S.env["GH_CONFIG"], "--database", "shop_my")
            with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(S.env["GH_CONFIG"]), suffix=".catalog") as f:
                f.write(catalog)
                f.flush()
                text = ctl("policy", "rewrite", "--policy", S.env["GH_POLICY"], "--database", "shop_my", "--catalog", f.name, "--as", "analysts", point)
            my.rows(d, "DROP TEMPORARY TABLE customers")
            my.rows(d, "SET @id = 3")
            with d.cursor(pymysql.cursors.DictCursor) as c:
                c.execute("PREPARE p FROM %s", ("EXPLAIN " + text,))
                c.execute("EXECUTE p USING @id")
                self.assertIn(("customers", "const"), {(r["table"], r["type"]) for r in c.fetchall()})

    def test_what_others_hold_raises_nothing(self):
        """A condition of the analyst's own is not tried on rows that the filter leaves out."""
        raw = self.raw("analyst")
        for sql in ("SELECT id FROM customers WHERE exp(10000 * (region = 'us')) > 2",
                    "SELECT id FROM customers WHERE exp(IF(email LIKE 'b%' AND region <> 'eu', 10000, 0)) > 2"):
            answer = raw.ask_all(sql)
            self.assertNotEqual(answer.last[0], 0xff, answer.last)
            self.assertEqual(answer.rows, [])
        for sql in ("SELECT id FROM customers WHERE id = %s AND exp(10000 * id) > 0", "SELECT name FROM customers WHERE id = %s AND exp(length(email) * 1000) > 0",
                    "SELECT count(*) FROM customers WHERE id = %s"):  # a row of another region is as one that is not there
            self.assertEqual(raw.ask_all(sql % 1).packets, raw.ask_all(sql % 999999).packets)

    def test_what_is_written_from_a_query(self):
        """There a warning is an error, in strict mode: it must not come of a row that is hidden."""
        with my.direct() as d:
            self.addCleanup(lambda: my.rows(my.direct(), "DROP TABLE IF EXISTS lots, scratch_q"))
            my.rows(d, "CREATE TABLE lots (id int PRIMARY KEY, region varchar(10), k int, total decimal(10, 2), made date, KEY (k, total, made))")
            my.rows(d, "INSERT INTO lots SELECT id, region, 5, 5, birth_date FROM customers WHERE id = 1")
            my.rows(d, "INSERT INTO lots SELECT id, region, 10 + id, 7, birth_date FROM customers WHERE id > 1")
            my.rows(d, "CREATE TABLE scratch_q (id int)")
        S.token("collectors", "collectors")
        raw = self.raw("collectors")
        wait_until("the tables are known", lambda: raw.ask_all("INSERT INTO scratch_q SELECT id FROM lots WHERE id = 0").last[0] == 0, 90)
        insert, ident = "INSERT INTO scratch_q SELECT id FROM lots WHERE ", raw.prepare("INSERT INTO scratch_q SELECT id FROM lots WHERE k = ? AND total IN (?, 1)")[0]
        self.assertEqual(raw.execute(ident, values=("13", "7")).last[:2], b"\0\1")
        self.assertEqual(raw.execute(ident, values=("5", "a")).packets, raw.execute(ident, values=("6", "a")).packets)
        # of another region, with 5 in k; and none
        for condition, hidden, none in (("id = '%sx'", 1, 999999), ("k = %s AND total IN ('a', 1)", 5, 6), ("k = %s AND total = DATE'2026-01-31'", 5, 6),
                                        ("k = %s AND made IN (DATE'2026-01-31', 5)", 5, 6), ("k = %s AND id = '1x'", 5, 6)):
            for way in ("%s", "EXECUTE IMMEDIATE \"%s\""):
                with self.subTest(condition, way=way):
                    answers = [raw.ask_all(way % (insert + condition % n)) for n in (hidden, none)]
                    self.assertEqual(answers[0].packets, answers[1].packets)
                    self.assertTrue(answers[0].last[0] == 0 or answers[0].code() == 1292, answers[0].last)

    def test_nothing_counts_hidden_rows(self):
        """What a user's condition reads by its index, hidden rows too, is counted by these."""
        probe = "SELECT count(*) + 0 FROM customers WHERE email >= 'bruno.berg.c4n4ry1@' AND email < 'bruno.berg.c4n4ry1@z'"
        raw = self.raw("analyst")
        for sql, why in ((probe + " LIMIT ROWS EXAMINED 4", b"Write LIMIT n"),
                         (f"PREPARE s FROM '{probe.replace(chr(39), chr(39) * 2)} LIMIT 1 ROWS EXAMINED 4'", b"Write LIMIT n"),
                         (f"SET STATEMENT max_join_size = 3 FOR {probe}", b"max_join_size"), ("SET max_join_size = 3", b"sql_select_limit"), ("SET SESSION sql_big_selects = 0", b"SET sql_big_selects = 1"),
                         ("SET @@tx_isolation = 'SERIALIZABLE'", b"REPEATABLE READ"), ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", b"REPEATABLE READ")):
            answer = raw.ask_all(sql)
            self.assertEqual(answer.code(), 1142, sql)
            self.assertIn(why, answer.last, sql)
        self.assertEqual(raw.prepare(probe + " LIMIT ROWS EXAMINED 4"), 1142)
        for sql in ("SET sql_big_selects = 1", "SET sql_safe_updates = 1, sql_select_limit = 1000", "SET tx_isolation = 'READ-COMMITTED'", "SET tx_isolation = 'REPEATABLE-READ'"):
            answer = raw.ask_all(sql)
            self.assertEqual(answer.last[0], 0, (sql, answer.last))
        self.assertEqual(raw.ask_all(probe).values(), [("0",)])
        self.unseen(raw)

    def test_the_servers_own_bounds_count_nothing(self):
        with my.direct() as d:
            for name, value in (("max_join_size", 3), ("sql_big_selects", 0)):
                my.rows(d, f"SET GLOBAL {name} = {value}")
            try:
                with my.connect("analyst") as c:
                    self.assertEqual(my.rows(c, "SELECT @@max_join_size, @@sql_big_selects"), ((3, 1),))
                    my.rows(c, "SELECT count(*) FROM customers WHERE email >= 'a'")
                    c.ping()
                raw = self.raw("analyst")
                raw.send(0, bytes([0x1f]))  # COM_RESET_CONNECTION
                raw.packet()
                self.assertEqual(raw.ask_all("SELECT @@sql_big_selects").values(), [("1",)])
            finally:
                my.rows(d, "SET GLOBAL max_join_size = 18446744073709551615")
                my.rows(d, "SET GLOBAL sql_big_selects = 1")

    def test_hidden_columns(self):
        raw = self.raw("analyst")
        for sql in ("SELECT card_number FROM customers", "SELECT id FROM customers WHERE card_number LIKE '4%'", "SELECT max(phone) FROM customers",
                    "SELECT id FROM customers ORDER BY phone", "SELECT id FROM customers GROUP BY id, phone"):
            with self.subTest(sql):
                answer = raw.ask_all(sql)
                if answer.last[0] == 0xff:
                    self.assertEqual(answer.code(), 1143)
                    self.assertTrue(b"card_number" in answer.last or b"phone" in answer.last, answer.last)
                else:
                    self.assertNotIn(b"-c4n4ry-", raw.heard)
        self.assertNotIn(b"-c4n4ry-", raw.heard)
        self.assertEqual(raw.ask_all("SELECT salary FROM staff").code(), 1142)

    def test_limit(self):
        for caps in (0, DEPRECATE_EOF):
            raw = self.raw("analyst", caps)
            ident = raw.prepare("SELECT id FROM orders ORDER BY id")[0]
            for answer in (raw.ask_all("SELECT id FROM orders ORDER BY id"), raw.execute(ident), raw.execute(ident, 1)):
                self.assertEqual((len(answer.rows), answer.code()), (1000, 1226))
            self.assertEqual(raw.ask_all("SELECT count(*) FROM orders").values(), [("10000",)])


class Writes(Case):
    """Who may write a column and not read it learns nothing of it by writing."""

    def undone(self, raw, *statements):
        """The answers within a transaction that is rolled back."""
        out = []
        for sql in ("BEGIN",) + statements + ("ROLLBACK",):
            out.append(raw.ask_all(sql).last)
            self.assertEqual(out[-1][0], 0, out[-1])
        return out[1:-1]

    def test_guesses(self):
        with my.direct() as d:
            right, name = my.rows(d, "SELECT phone, name FROM customers WHERE id = 1")[0]
        raw = self.raw("tester")
        row = "(1, '%s', 'bruno.berg.x@mail.example', '%s', '4', '1950-01-18', 'us')"
        for sql in ("UPDATE customers SET phone = '%s' WHERE id = 1", "UPDATE customers SET phone = '%s', name = name WHERE id < 2",
                    "INSERT INTO customers VALUES " + row % (name, "%s") + " ON DUPLICATE KEY UPDATE phone = '%s'",
                    "INSERT INTO customers VALUES " + row % (name, "%s") + ", " + row % (name, "%s") + " ON DUPLICATE KEY UPDATE phone = '%s'"):
            with self.subTest(sql):
                both = [sql.replace("%s", guess) for guess in (right, right[:-1] + "x")]
                guesses = [self.undone(raw, one) for one in both]
                self.assertEqual(guesses[0], guesses[1])
                for ways in (("EXECUTE IMMEDIATE %s",), ("PREPARE g FROM %s", "EXECUTE g")):
                    prepared = [self.undone(raw, *(way.replace("%s", "'" + one.replace("'", "''") + "'") for way in ways)) for one in both]
                    self.assertEqual(prepared[0], prepared[1])
                    self.assertEqual(prepared[0][-1], guesses[0][-1])
        before = "SELECT * FROM customers WHERE id = 1"
        with my.direct() as d:
            full = my.rows(d, before)[0]
        values = "INTO customers VALUES (5001, 'x', 'x@mail.example', '%s', '4', '1950-01-18', 'us')"
        guesses = [self.undone(raw, "INSERT " + values % right, "REPLACE " + values % guess)[1] for guess in (right, right[:-1] + "x")]
        self.assertEqual(guesses[0], guesses[1])
        with my.direct() as d:
            self.assertEqual(my.rows(d, before)[0], full)
        self.unseen(raw)

    def test_guesses_in_another_language(self):
        """The server says in its own words how many rows an UPDATE has found and changed."""
        with my.direct() as d:
            right = my.rows(d, "SELECT phone FROM customers WHERE id = 1")[0][0]
            my.rows(d, "SET GLOBAL lc_messages = 'de_DE'")
            self.addCleanup(lambda: my.rows(my.direct(), "SET GLOBAL lc_messages = 'en_US'"))
        raw = self.raw("tester")
        answers = [self.undone(raw, f"UPDATE customers SET phone = '{guess}' WHERE id = 1")[0] for guess in (right, right[:-1] + "x")]
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(answers[0][1], 1)

    def test_temporary_tables(self):
        """None, also where a rule grants them, whatever they are called; the refusal says what to use instead."""
        raw = self.raw("tester")
        for sql in ("CREATE TEMPORARY TABLE scratch_t (a int)", "CREATE OR REPLACE TEMPORARY TABLE scratch_t SELECT 1 AS a", "CREATE TEMPORARY TABLE scratch_t LIKE customers",
                    "CREATE TEMPORARY TABLE scratch_t AS SELECT email FROM customers", "EXECUTE IMMEDIATE 'CREATE TEMPORARY TABLE scratch_t (a int)'",
                    "CREATE /*!40000 TEMPORARY */ TABLE scratch_t (a int)", "CREATE OR REPLACE TEMPORARY SEQUENCE scratch_t"):
            with self.subTest(sql):
                answer = raw.ask_all(sql)
                self.assertIn(answer.code(), (1142, 1235))
                self.assertIn(b"WITH name AS", answer.last)
        for sql in ("CREATE TEMPORARY TABLE customers (a int)", "CREATE TEMPORARY TABLE orders (a int)", "CREATE TABLE scratch_x (a int); ALTER TABLE scratch_x RENAME customers"):
            self.assertIn(raw.ask_all(sql).code(), (1142, 1235), sql)
        self.assertEqual(raw.ask_all("CREATE TABLE scratch_t AS SELECT id, phone FROM customers WHERE id < 4").last[0], 0)
        self.assertEqual(raw.ask_all("SELECT count(phone) FROM scratch_t").values(), [("0",)])
        self.assertEqual(raw.ask_all("DROP TABLE scratch_t").last[0], 0)
        self.unseen(raw)

    def test_locks_are_not_hidden(self):
        """What doc/mysql-language.md says of them: this is no guarantee, but what is known."""
        with my.direct() as a, my.direct() as b:
            my.rows(a, "CREATE TABLE shop.locks (id int PRIMARY KEY, region varchar(10), n int)")
            self.addCleanup(lambda: my.rows(my.direct(), "DROP TABLE shop.locks"))
            my.rows(a, "INSERT INTO shop.locks VALUES (1, 'eu', 0), (2, 'us', 0), (3, 'eu', 0)")
            a.autocommit(False)
            for condition, locked in (("(region = 'eu') AND (id = 2)", [2]), ("CASE WHEN region = 'eu' THEN (id = 2) IS TRUE ELSE FALSE END", [1, 2, 3])):
                self.assertEqual(my.rows(a, f"UPDATE shop.locks SET n = n WHERE {condition}"), ())
                found = []
                for n in (1, 2, 3):
                    try:
                        my.rows(b, f"SELECT id FROM shop.locks WHERE id = {n} FOR UPDATE NOWAIT")
                    except pymysql.MySQLError as e:
                        self.assertIn(e.args[0], (1205, 3572))
                        found.append(n)
                a.rollback()
                self.assertEqual(found, locked, condition)

    def test_conditions_see_masks(self):
        raw = self.raw("tester")
        for sql in ("UPDATE customers SET region = region WHERE phone LIKE '+49%'", "DELETE FROM customers WHERE card_number LIKE '%c4n4ry%'"):
            self.assertEqual(self.undone(raw, sql)[0][1], 0)
        self.assertEqual(self.undone(raw, "UPDATE customers SET name = concat('x', ifnull(phone, '')) WHERE id = 1")[0][1], 1)
        self.unseen(raw)

    def test_errors(self):
        raw = self.raw("tester")
        for sql, code, words in (("INSERT INTO customers SELECT id + 5000, name, email, '', '', birth_date, region FROM customers", 1062, b"Duplicate entry for a key"),
                                 ("UPDATE customers SET phone = repeat('x', 50) WHERE id = 1", 1406, b"Data too long for a column"),
                                 ("UPDATE customers SET birth_date = card_number WHERE id = 1", 1292, b"Truncated incorrect value"),
                                 ("UPDATE customers SET phone = NULL WHERE id = 1", 1048, b"cannot be null"),
                                 ("DELETE FROM customers WHERE id = 1", 1451, b"foreign key constraint fails")):
            with self.subTest(sql):
                answer = raw.ask_all(sql)
                self.assertEqual(answer.code(), code)
                self.assertIn(words, answer.last)
                self.assertNotIn(b"***", answer.last)
        self.unseen(raw)


class Tells(Case):
    """What hidden values and rows show in without being named."""
    TABLES = ("CREATE TABLE parted (id int, grade int, n int, PRIMARY KEY (id, grade)) PARTITION BY LIST (grade) (PARTITION p1 VALUES IN (1), PARTITION p2 VALUES IN (2))",
              "CREATE TABLE words (id int PRIMARY KEY, region varchar(10), grade int, n int, body text, FULLTEXT (body)) ENGINE=InnoDB",
              "INSERT INTO parted VALUES (1, 1, 0), (2, 2, 0)", "INSERT INTO words VALUES (1, 'eu', 1, 0, 'apple'), (2, 'eu', 1, 0, 'plum'), (3, 'us', 1, 0, 'apple')")
    PARTITIONS = ("SELECT id FROM parted PARTITION (p2)", "SELECT q.n FROM shop.parted PARTITION (p1) AS q WHERE q.id = 1", "UPDATE parted PARTITION (p2) SET n = 1 WHERE id = 1",
                  "DELETE FROM parted PARTITION (p2) WHERE id = 1", "EXECUTE IMMEDIATE 'SELECT id FROM parted PARTITION (p1)'",
                  "SELECT id FROM parted FOR SYSTEM_TIME ALL PARTITION (p1)", "WITH x AS (SELECT * FROM parted PARTITION (p1)) SELECT id FROM x")
    WORDS = ("UPDATE words SET n = 1 WHERE MATCH (body) AGAINST ('apple') > 0.1", "UPDATE words SET n = 10 * MATCH (body) AGAINST ('apple') WHERE id = 1",
             "UPDATE words SET n = 1 WHERE id IN (1, 2) ORDER BY MATCH (body) AGAINST ('plum') LIMIT 1")
    TOLD = ("SHOW STATUS", "SHOW SESSION STATUS LIKE 'Handler_read%'", "SHOW GLOBAL STATUS", "SELECT * FROM information_schema.session_status", "SHOW PROCESSLIST",
            "SELECT * FROM INFORMATION_SCHEMA.Innodb_Trx", "SELECT * FROM information_schema.profiling", "SELECT * FROM performance_schema.events_statements_history",
            "SELECT * FROM mysql.column_stats", "SELECT * FROM mysql.general_log", "SELECT * FROM sys.statement_analysis", "SHOW VARIABLES", "EXECUTE IMMEDIATE 'SHOW STATUS'",
            "SELECT variable_value FROM information_schema.session_variables WHERE variable_name = 'WARNING_COUNT'", "SELECT (SELECT count(*) FROM information_schema.optimizer_trace)")
    DEFINERS = ("CREATE DEFINER = root@localhost VIEW scratch_v AS SELECT 1 AS a", "CREATE OR REPLACE DEFINER = 'root'@'localhost' SQL SECURITY INVOKER VIEW scratch_v AS SELECT 1 AS a",
                "CREATE DEFINER = root VIEW scratch_v AS SELECT 1 AS a", "EXECUTE IMMEDIATE 'CREATE DEFINER = root@localhost VIEW scratch_v AS SELECT 1 AS a'",
                "CREATE DEFINER = root@localhost TRIGGER scratch_t BEFORE INSERT ON scratch_x FOR EACH ROW SET @a = 1", "CREATE DEFINER = CURRENT_USER PROCEDURE scratch_p() SELECT 1")

    @classmethod
    def setUpClass(cls):
        with my.direct() as d:
            for statement in cls.TABLES:
                my.rows(d, statement)
            cls.addClassCleanup(lambda: [my.rows(my.direct(), f"DROP TABLE {t}") for t in ("parted", "words")])
        S.token("counter", "counters")
        with my.connect("counter", autocommit=True) as c:
            wait_until("the tables are known", lambda: cls.reads(c, "SELECT id FROM parted") and cls.reads(c, "SELECT id FROM words"), 90)

    @staticmethod
    def reads(c, sql):
        try:
            return my.rows(c, sql)
        except pymysql.MySQLError:
            return None

    def refused(self, c, statements, words):
        for sql in statements:
            with self.subTest(sql):
                with self.assertRaisesRegex(pymysql.MySQLError, words) as e:
                    my.rows(c, sql)
                self.assertIn(e.exception.args[0], (1142, 1143, 1235))

    def test_partitions(self):
        with my.connect("counter", autocommit=True) as c, my.direct() as d:
            self.refused(c, self.PARTITIONS, "PARTITION of shop.parted is not possible|not understood")
            self.assertEqual(my.rows(c, "SELECT id, grade FROM parted ORDER BY id"), ((1, None), (2, None)))
            self.assertEqual(my.rows(d, "SELECT * FROM parted ORDER BY id"), ((1, 1, 0), (2, 2, 0)))

    def test_relevance(self):
        with my.connect("counter", autocommit=True) as c, my.direct() as d:
            self.assertEqual(my.rows(c, "SELECT id, grade FROM words ORDER BY id"), ((1, None), (2, None)))
            self.refused(c, self.WORDS, "MATCH .. AGAINST is not possible")
            self.assertEqual(my.rows(d, "SELECT sum(n) FROM words"), ((0,),))

    def test_outer_joins(self):
        """A condition that is true of NULL does not go behind the filter."""
        with my.connect("counter") as c:
            for sql, want in (("w.id = 1 IS NOT TRUE", ((2, 2), (3, None))), ("w.id = 1 IS TRUE", ((1, 1),)), ("w.id = 1", ((1, 1),))):
                self.assertEqual(my.rows(c, f"SELECT q.id, w.id FROM (SELECT 1 AS id UNION SELECT 2 UNION SELECT 3) q LEFT JOIN words w ON w.id = q.id WHERE {sql} ORDER BY 1"), want, sql)

    def test_the_servers_own(self):
        with my.connect("counter") as c:
            self.refused(c, self.TOLD, "is not for those from whom something is hidden")
            self.refused(c, ("SHOW GRANTS", "SHOW GRANTS FOR CURRENT_USER", "SHOW CREATE USER CURRENT_USER", "EXECUTE IMMEDIATE 'SHOW GRANTS'"), "hashes of passwords")
            self.assertEqual(my.rows(c, "SHOW VARIABLES LIKE 'autocommit'"), (("autocommit", "OFF"),))
            self.assertIn(("words",), my.rows(c, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'"))
            with self.assertRaisesRegex(pymysql.MySQLError, "command denied"):  # the server's own word
                my.rows(c, "SELECT * FROM performance_schema.global_variables LIMIT 1")
        raw = Raw("counter")
        raw.send(0, bytes([9]))  # COM_STATISTICS
        self.assertEqual(my.code(raw.packet()[1]), 1142)

    def test_definers(self):
        with my.connect("placer", token=S.token("placer", "placers"), autocommit=True) as c:
            self.refused(c, self.DEFINERS, "another account's rights|is not allowed by the policy")
            for how in ("DEFINER = CURRENT_USER", "DEFINER=CURRENT_USER() SQL SECURITY DEFINER", "SQL SECURITY DEFINER", "DEFINER = CURRENT_USER SQL SECURITY INVOKER"):
                my.rows(c, f"CREATE OR REPLACE {how} VIEW scratch_v AS SELECT 1 AS a")
                self.assertEqual(my.rows(my.direct(), "SELECT definer FROM information_schema.views WHERE table_name = 'scratch_v'"), (("shop_owner@127.0.0.1",),))
            my.rows(c, "DROP VIEW scratch_v")


class Changes(Case):
    """A schema or a policy that changes while sessions are open."""

    def test_a_new_column(self):
        with my.connect("agent", autocommit=True) as agent, my.connect("dba", autocommit=True) as dba:
            raw = self.raw()
            sql = "SELECT * FROM customers WHERE id = 1"
            ident = raw.prepare(sql)[0]
            self.assertEqual(len(raw.execute(ident).columns), 7)
            my.rows(dba, "ALTER TABLE customers ADD COLUMN note varchar(20) DEFAULT 'new'")
            try:
                wait_until("the new column", lambda: my.rows(agent, sql)[0][7:] == ("new",), 30)
                wait_until("a refusal", lambda: raw.execute(ident).last[0] == 0xff, 30)
                self.assertEqual(raw.execute(ident).code(), 1615)
                self.assertEqual(len(raw.execute(raw.prepare(sql)[0]).columns), 8)
            finally:
                my.rows(dba, "ALTER TABLE customers DROP COLUMN note")

            def seen():  # until the catalog is read again the rewritten text names a column that is gone
                answer = raw.ask_all(sql)
                return answer.last[0] != 0xff and len(answer.columns) == 7
            wait_until("the old columns", seen, 30)
            self.unseen(raw)

    def test_own_changes_count_at_once(self):
        with my.connect("tester", autocommit=True) as c:
            for n in range(3):
                my.rows(c, f"CREATE TABLE scratch_{n} (x int)")
                self.assertEqual(my.rows(c, f"SELECT count(*) FROM scratch_{n}"), ((0,),))
                my.rows(c, f"DROP TABLE scratch_{n}")

    def test_a_new_policy(self):
        before = S.policy()
        hidden = 'phone: { mask: null }\n      card_number: { mask: { last: 4 } }\n      birth_date: { mask: { truncate: year } }\n      "*": visible\n\n  - name: analysts-read-orders-in-mysql'
        self.assertIn(hidden, before)
        raw = self.raw()
        ident = raw.prepare("SELECT email FROM customers WHERE id = 1")[0]
        self.assertEqual(len(raw.execute(ident).rows), 1)
        self.assertEqual(raw.ask_all("PREPARE Old FROM 'SELECT phone FROM customers WHERE id = 1'").last[0], 0)
        self.assertEqual(raw.ask_all("EXECUTE old").values(), [(None,)])
        self.assertEqual(raw.ask_all("SELECT phone FROM customers WHERE id = 1").values(), [(None,)])
        try:
            self.use(before.replace(hidden, hidden.replace("phone: { mask: null }", "phone: { mask: { constant: none } }")))
            wait_until("the new mask", lambda: raw.ask_all("SELECT phone FROM customers WHERE id = 1").values() == [("none",)], 30)
            self.assertEqual(raw.execute(ident).code(), 1615)
            for name in ("old", "OLD", "`Old`", "`old `"):
                self.assertEqual(raw.ask_all("EXECUTE " + name).code(), 1142, name)
            self.assertEqual(raw.ask_all("PREPARE oLD FROM 'SELECT phone FROM customers WHERE id = 1'").last[0], 0)
            self.assertEqual(raw.ask_all("EXECUTE old").values(), [("none",)])
        finally:
            self.use(before)
        self.unseen(raw)

    def test_settings_of_before(self):
        """Nothing is hidden from a dba, so that a session may count rows; it ends when something is."""
        before = S.policy()
        rule = '  - name: dbas-see-customers-of-eu\n    groups: dbas\n    database: shop_my\n    allow: select\n    on: shop.customers\n    rows: "region = \'eu\'"\n'
        counting, plain = self.raw("dba"), self.raw("dba")
        self.assertEqual(counting.ask_all("SET max_join_size = 3000").last[0], 0)
        self.assertNotEqual(counting.ask_all("SELECT id FROM customers LIMIT ROWS EXAMINED 4").last[0], 0xff)
        try:
            self.use(before + rule)
            wait_until("the new rule", lambda: plain.ask_all("SELECT id FROM customers LIMIT 1 ROWS EXAMINED 1000").last[0] == 0xff, 30)
            answer = counting.ask_all("SELECT 1")
            self.assertIn(b"Connect again", answer.last)
            self.assertRaises((OSError, EOFError, AssertionError, IndexError, struct.error), counting.ask_all, "SELECT 1")
            self.assertEqual(plain.ask_all("SELECT 1").values(), [("1",)])
        finally:
            self.use(before)

    def test_what_was_opened_before(self):
        """HANDLER .. READ goes on with what was open, whatever the policy says by now."""
        before = S.policy()
        rule = '  - name: keepers-no-more-staff\n    groups: keepers\n    database: shop_my\n    deny: all\n    on: shop.staff\n    reason: Not for keepers.\n'
        S.token("keepers", "keepers")
        raw, other = self.raw("keepers"), self.raw("keepers")
        agent = self.raw("agent").ask_all("HANDLER orders OPEN")
        self.assertEqual(agent.code(), 1142)
        self.assertIn(b"Use SELECT", agent.last)
        self.assertEqual(raw.ask_all("HANDLER staff OPEN AS orders").last[0], 0xff)
        answer = raw.ask_all("HANDLER staff OPEN")
        self.assertEqual(answer.last[0], 0, answer.last)
        self.assertEqual(len(raw.ask_all("HANDLER staff READ FIRST").rows), 1)
        try:
            self.use(before + rule)
            wait_until("the new rule", lambda: other.ask_all("SELECT 1 FROM staff LIMIT 1").last[0] == 0xff, 30)
            answer = raw.ask_all("HANDLER staff READ NEXT")
            self.assertEqual((answer.last[0], answer.rows), (0xff, []))
            self.assertEqual(other.ask_all("SELECT 1 FROM staff LIMIT 1").code(), 1142)
            answer = other.ask_all("HANDLER orders OPEN")
            self.assertEqual(answer.code(), 1142)
        finally:
            self.use(before)

    @staticmethod
    def use(policy):
        folder = os.path.dirname(S.env["GH_POLICY"])
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as f:
            f.write(policy)
        os.chmod(f.name, 0o644)
        os.rename(f.name, S.env["GH_POLICY"])
        S.signal("gatehouse", signal.SIGHUP)


class Letters(Case):
    """Names with letters beyond ASCII, which the server takes for others: columns of views, columns that USING joins, aliases."""

    FOLDED = ("DELETE FROM customers_seen WHERE id = 7 RETURNING (SELECT ema\u0130l AS ema\u0130l), (SELECT b\u0130rth_date AS b\u0130rth_date)",
              "UPDATE customers_seen SET name = (SELECT ema\u0130l AS ema\u0130l) WHERE id = 1",
              "UPDATE customers_seen SET name = (SELECT \u00e9mail AS \u00e9mail) WHERE id = 1",
              "UPDATE customers_seen SET name = name WHERE id = 1 AND (SELECT ema\u0130l AS ema\u0130l) LIKE 'b%'",
              "UPDATE customers_seen SET ema\u0130l = 'x' WHERE id = 1",
              "UPDATE customers c JOIN orders o USING (id) SET c.name = (SELECT ema\u0130l AS ema\u0130l) WHERE c.id = 5",
              "INSERT INTO customers_seen (id, name) VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = (SELECT ema\u0130l AS ema\u0130l)",
              "UPDATE customers k SET k.name = \u212a.card_number WHERE k.id = 1",
              "UPDATE customers k SET \u212a.card_number = 'x' WHERE k.id = 1")

    def test_folded_names(self):
        with my.direct() as d:
            my.rows(d, "CREATE OR REPLACE VIEW customers_seen AS SELECT * FROM customers")
            self.addCleanup(lambda: my.rows(my.direct(), "DROP VIEW customers_seen"))
            before = my.rows(d, "SELECT * FROM customers ORDER BY id")
            # the server does take them for others, so that there is something to be found out
            self.assertIn("c4n4ry", my.rows(d, "SELECT ema\u0130l FROM customers_seen WHERE id = 1")[0][0])
        S.token("viewer", "viewers")
        raw = self.raw("viewer")
        wait_until("the view is known", lambda: raw.ask_all("SELECT email FROM customers_seen WHERE id = 1").last[0] != 0xff, 90)
        for sql in self.FOLDED:
            with self.subTest(sql):
                answer = raw.ask_all(sql)
                self.assertEqual(answer.last[0], 0xff, answer.last)
                self.assertIn(answer.code(), (1142, 1143, 1235), answer.last)
        self.unseen(raw)
        with my.direct() as d:
            self.assertEqual(my.rows(d, "SELECT * FROM customers ORDER BY id"), before)


class Hashes(Case):
    """What grants --sql makes, for the login that the gate has here."""

    @classmethod
    def setUpClass(cls):
        with my.direct() as d:
            my.rows(d, KINDS)
            my.rows(d, "INSERT INTO kinds VALUES (1, 42, 42, 42, 42, 'häl\\'lo', 'häl\\'lo', 'häl\\'lo', 'häl\\'lo', 'häl\\'lo', 'häl\\'lo', x'0001ff', '123e4567-e89b-12d3-a456-426655440000'),"
                    " (2, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615, '', '', 'X', 'x', '', '', '', uuid()),"
                    " (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)")
            my.rows(d, "INSERT INTO kinds SELECT id + 10, id, id, -id, id, name, left(name, 20), email, name, name, name, left(email, 16), uuid() FROM customers")
            cls.addClassCleanup(lambda: my.rows(my.direct(), "DROP TABLE kinds"))
        catalog = ctl("catalog", "--config", S.env["GH_CONFIG"], "--database", "shop_my")
        with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(S.env["GH_CONFIG"]), suffix=".catalog") as f:
            f.write(catalog)
            f.flush()
            cls.sql = S.grants_sql("shop_my", "shop_owner@127.0.0.1", "hashers,careless", catalog=f.name)
            missing = ctl("policy", "explain", "--policy", S.env["GH_POLICY"], "--catalog", f.name, "--database", "shop_my", "--as", "hashers", "SELECT email FROM customers",
                          status=3)
            checked = ctl("policy", "check", "--catalog", f.name, "--database", "shop_my", S.env["GH_POLICY"], status=2)  # "careless" fits nowhere
        assert 'the rule "hashed-orders" masks by hash, and the database has no function gatehouse.mask_hash' in checked, checked
        assert "policy grants --sql" in missing and "gatehouse.mask_hash" in missing, missing
        with my.direct() as d:
            seen = []
            for _ in range(2):  # what is there already is no error, and keys stay
                for statement in statements(cls.sql):
                    my.rows(d, statement)
                seen.append(my.rows(d, "SELECT name, inner_key, outer_key FROM gatehouse.mask_key ORDER BY name"))
        cls.keys = seen[0]
        assert seen[1] == cls.keys
        wait_until("the catalog has the hash's function", cls.usable, 90)

    @classmethod
    def hasher(cls, group="hashers"):
        return my.connect(group, token=S.token(group, group), autocommit=True)

    @classmethod
    def usable(cls):
        with cls.hasher() as c:
            try:
                return my.rows(c, "SELECT latin FROM kinds LIMIT 1") != ()
            except pymysql.MySQLError:
                return False

    def test_they_can_be_joined(self):
        join = "SELECT region, count(*), sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY 1 ORDER BY 1"
        with self.hasher() as c, my.direct() as d:
            columns = "id, name, email, card_number"
            got, raw = my.rows(c, f"SELECT {columns} FROM customers"), my.rows(d, f"SELECT {columns} FROM customers")
            for k in range(1, 4):
                self.assertEqual(len({r[k] for r in got}), len({r[k] for r in raw}))
            alike = len(raw) - len({r[0] for r in got})  # two of a thousand integers have one hash with one key in five hundred
            self.assertLess(alike, 4)
            if alike == 0:
                self.assertEqual(my.rows(c, join), my.rows(d, join))
            else:
                self.assertEqual(len(my.rows(c, join)), len(my.rows(d, join)))
            self.assertFalse({v for r in got for v in r} & {v for r in raw for v in r[1:]})
            email, card = got[0][2:]
            self.assertRegex(email, r"\A[0-9a-f]{64}\Z")
            self.assertRegex(card, r"\A[0-9a-f]{40}\Z")
            for i in {r[0] for r in got}:
                self.assertLess(i, 1 << 28)
            self.assertNotIn(CANARY.decode(), repr(got))
            self.assertEqual(my.rows(c, "SELECT email FROM customers WHERE email = %s", (email,)), ((email,),))
            # targets see the hash as well, in WHERE and in RETURNING
            self.assertEqual(my.rows(c, "DELETE FROM customers WHERE email = 'anna.adler.c4n4ry110@mail.example' RETURNING email"), ())
            with c.cursor() as cur:
                self.assertEqual(cur.execute("UPDATE customers SET region = region WHERE email = %s", (email,)), 1)
                self.assertEqual(cur.execute("UPDATE customers SET region = region WHERE card_number LIKE '4000-%%'"), 0)

    def test_types(self):
        """In range, of the column's type and collation; a text has one hash in every character set; NULL stays NULL."""
        names = "i, z, big, ubig, latin, bin, ci, c, t, b, vb, u"
        with self.hasher() as c:
            first, second, null = my.rows(c, f"SELECT {names} FROM kinds WHERE id < 10 ORDER BY id")
            self.assertEqual(set(null), {None})
            i, z, big, ubig, latin, bin_, ci, char, text_, blob, vb, u = first
            self.assertEqual((i, big), (z, ubig))
            self.assertTrue(0 <= i < 1 << 28 and 0 <= big < 1 << 60)
            self.assertEqual({latin, ci, char, text_, blob.hex()}, {latin})
            self.assertRegex(latin, r"\A[0-9a-f]{64}\Z")
            self.assertEqual((bin_, len(vb), len(str(u))), (latin[:20], 16, 36))
            self.assertTrue(all(0 <= v < 1 << 28 for v in second[:2]) and all(0 <= v < 1 << 60 for v in second[2:4]))
            self.assertEqual(len({second[4], second[8]}), 1)
            with my.direct() as d:  # whatever the hash is, it is a value of the type; few integers meet in 28 bits
                counts = "SELECT count(*), count(i), count(u), count(vb), count(DISTINCT i) > count(i) - 5, count(DISTINCT big), count(DISTINCT u), count(DISTINCT t) FROM kinds WHERE id > 10"
                self.assertEqual(my.rows(c, counts), my.rows(d, counts))
                self.assertEqual(my.rows(c, "SELECT count(*) FROM kinds WHERE i NOT BETWEEN 0 AND 268435455 OR big NOT BETWEEN 0 AND 1152921504606846975"), ((0,),))
            # collations are the columns': what may be compared still may, and no session's own shows
            compared = ("SELECT count(*) FROM kinds a JOIN kinds b ON a.latin = b.ci", "SELECT count(*) FROM kinds WHERE id < 10 AND latin = ci AND t = ci AND c = latin",
                        "SELECT ci COLLATE utf8mb4_unicode_ci FROM kinds GROUP BY 1 HAVING count(*) > 0", "SELECT latin FROM kinds UNION SELECT bin FROM kinds")
            for sql in compared:
                self.assertTrue(my.rows(c, sql))
            self.assertEqual(my.rows(c, compared[1]), ((1,),))
            self.assertEqual(my.rows(c, "SELECT collation(latin), collation(bin), collation(t), coercibility(latin) FROM kinds LIMIT 1"),
                             (("latin1_general_cs", "utf8mb4_bin", "utf8mb4_general_ci", 2),))
            for setting in ("collation_connection = utf8mb4_unicode_ci", "sql_mode = 'STRICT_ALL_TABLES,PAD_CHAR_TO_FULL_LENGTH'", "collation_connection = utf8mb4_bin"):
                my.rows(c, f"SET {setting}")
                self.assertEqual(my.rows(c, f"SELECT {names} FROM kinds WHERE id = 1")[0], first, setting)
        raw = self.raw("hashers")
        self.assertEqual([r[0] for r in raw.ask_all("SELECT latin FROM kinds WHERE id = 1").values()], [latin])
        self.assertEqual(len(raw.execute(raw.prepare(f"SELECT {names} FROM kinds WHERE id < 10")[0]).rows), 3)

    def test_nobody_asks_for_one(self):
        asks = ("SELECT gatehouse.mask_hash('a', 'customer')", "SELECT `gatehouse`.`MASK_HASH`('a', 'customer')", "SELECT mask_hash('a', 'customer')",
                "DO gatehouse.mask_hash('a', 'customer')", "SET @x = gatehouse.mask_hash('a', 'customer')", "UPDATE customers SET region = gatehouse.mask_hash('a', 'customer')",
                "UPDATE customers SET email = 'a'", "SELECT * FROM gatehouse.mask_key", "CREATE TABLE scratch_h AS SELECT gatehouse.mask_hash('a', 'customer') AS h",
                "EXECUTE IMMEDIATE 'SELECT gatehouse.mask_hash(1, 2)'", "PREPARE s FROM 'SELECT gatehouse.mask_hash(?, 2)'", "SHOW CREATE FUNCTION gatehouse.mask_hash",
                "SHOW FUNCTION CODE gatehouse.mask_hash", "SHOW CREATE TABLE gatehouse.mask_key", "SELECT * FROM information_schema.routines", "USE gatehouse",
                "EXPLAIN SELECT email FROM customers", "SHOW WARNINGS")
        with self.hasher() as c:
            for sql in asks:
                with self.assertRaises(pymysql.MySQLError, msg=sql) as e:
                    my.rows(c, sql)
                self.assertIn(e.exception.args[0], (1142, 1143, 1235, 1370) if "SELECT mask" not in sql else (1305,), (sql, e.exception.args))
        with self.hasher("open") as c:  # sees everything; "*" of a rule does not mean the schema
            for sql in ("SELECT gatehouse.mask_hash('a', 'customer')", "SELECT * FROM gatehouse.mask_key", "DELETE FROM gatehouse.mask_key"):
                with self.assertRaises(pymysql.MySQLError, msg=sql) as e:
                    my.rows(c, sql)
                self.assertIn(e.exception.args[0], (1142, 1370, 1235), (sql, e.exception.args))
        with self.hasher("careless") as c, self.assertRaises(pymysql.MySQLError) as e:
            my.rows(c, "SELECT email FROM customers LIMIT 1")
        self.assertIn("can try values", e.exception.args[1])

    def test_the_key_is_nowhere(self):
        """Neither in what the least user can read, nor in what the server writes down."""
        keys = [k for row in self.keys for k in row[1:]]
        self.assertEqual(([r[0] for r in self.keys], len(set(keys)), {len(k) for k in keys}), (["cards", "customer", "ids", "k"], 8, {64}))
        with open(os.path.join(S.dir, "etc", "shop.password")) as f:
            password = f.read().strip()
        owner = dict(host="127.0.0.1", port=int(S.env["GH_MY_PORT_DIRECT"]), user="shop_owner", password=password, database="shop",
                     ssl={"ca": f"{S.dir}/etc/shop-my-ca.pem"})
        with my.direct() as d, pymysql.connect(**owner) as c, self.hasher() as h:
            log = my.rows(d, "SELECT @@datadir, @@general_log_file")[0]
            my.rows(h, "SELECT email FROM customers WHERE email = 'x'")
            seen = repr(my.rows(c, "SELECT * FROM information_schema.routines")) + repr(my.rows(c, "SHOW CREATE FUNCTION gatehouse.mask_hash"))
            for sql in ("SELECT * FROM gatehouse.mask_key", "SHOW CREATE TABLE gatehouse.mask_key", "SELECT body FROM mysql.proc"):
                with self.assertRaises(pymysql.MySQLError, msg=sql):
                    my.rows(c, sql)
            with self.assertRaises(pymysql.MySQLError) as e:  # an error within: the names of the key, and nothing of it
                my.rows(c, "SELECT gatehouse.mask_hash()")
        with open(os.path.join(*log), "rb") as f:
            written = f.read()
        self.assertIn(b"mask_hash", written)
        self.assertIn("mask_hash", seen)
        texts = written + (seen + str(e.exception) + self.sql + S.log("gatehouse") + repr(S.audit())).encode()
        for key in keys:
            for form in (key, key.hex().encode(), key.hex().upper().encode()):
                self.assertNotIn(form[:16], texts)

    def test_locked_tables(self):
        """LOCK TABLES does not name the keys: until it is over, nobody reads what has a hash."""
        with self.hasher() as c:
            my.rows(c, "LOCK TABLES orders READ")
            with self.assertRaises(pymysql.MySQLError) as e:
                my.rows(c, "SELECT customer_id FROM orders LIMIT 1")
            self.assertEqual(e.exception.args[0], 1100)
            my.rows(c, "UNLOCK TABLES")
            self.assertTrue(my.rows(c, "SELECT customer_id FROM orders LIMIT 1"))


ODD = (
    "CREATE DATABASE Odd CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "GRANT ALL ON Odd.* TO shop_owner@127.0.0.1",
    "CREATE TABLE Odd.T (a int PRIMARY KEY)",
    "CREATE TABLE Odd.t (b int, c varchar(3), PRIMARY KEY (c, b))",
    """CREATE TABLE Odd.`Übel "x" \\ ``y``` (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, v varchar(20) CHARACTER SET latin1 DEFAULT 'c4n4ry',
       u text, twice bigint AS (y * 2) STORED, e enum('a"', 'b\\\\') NOT NULL, j json, y year, hid int INVISIBLE, b blob, d datetime(3))""",
    "CREATE VIEW Odd.v AS SELECT a, email FROM Odd.T JOIN shop.customers ON id = a",
    "CREATE VIEW Odd.broken AS SELECT b FROM Odd.t",
    "ALTER TABLE Odd.t DROP PRIMARY KEY, CHANGE b renamed int",
    "CREATE SEQUENCE Odd.s",
    "CREATE TABLE Odd.versioned (a int) WITH SYSTEM VERSIONING",
    "CREATE TEMPORARY TABLE shop.mine (a int)",
)


class Catalog(Case):
    """gatehousectl and MariaDB's catalog."""

    def ctl(self, *args, status=0):
        return ctl(*args, status=status)

    def catalog(self, config=None):
        lines = [json.loads(line) for line in self.ctl("catalog", "--config", config or S.env["GH_CONFIG"], "--database", "shop_my").splitlines()]
        self.assertEqual(lines[-1], {"end": len(lines) - 2})
        return lines

    def file(self, text, suffix, mode=0o644):
        f = tempfile.NamedTemporaryFile("w", dir=os.path.dirname(S.env["GH_CONFIG"]), suffix=suffix)
        self.addCleanup(f.close)
        f.write(text)
        f.flush()
        os.chmod(f.name, mode)
        return f.name

    def test_what_it_holds(self):
        with my.direct() as d:
            self.addCleanup(lambda: my.rows(my.direct(), "DROP DATABASE Odd"))
            for sql in ODD:
                my.rows(d, sql.replace("%", "%%"))
            lines = self.catalog()
        self.assertEqual({k: lines[0][k] for k in ("gatehouse_catalog", "engine", "database", "fold")},
                         {"gatehouse_catalog": 1, "engine": "mariadb", "database": "shop", "fold": 0})
        self.assertGreaterEqual(lines[0]["server"], 101100)
        relations = {(r["schema"], r["name"]): r for r in lines if "relation" in r}
        types = {t["type"]: t for t in lines if "type" in t}
        self.assertEqual({s for s, _ in relations}, {"shop", "Odd"})
        self.assertEqual({n for s, n in relations if s == "Odd"}, {"T", "t", 'Übel "x" \\ `y`', "v", "s", "versioned"})
        self.assertNotIn(("shop", "mine"), relations)
        odd = relations["Odd", 'Übel "x" \\ `y`']
        self.assertEqual([c[0] for c in odd["columns"]], ["id", "v", "u", "twice", "e", "j", "y", "hid", "b", "d"])
        self.assertEqual([c[4] for c in odd["columns"]], ["n", "c", "", "g", "n", "", "", "i", "", ""])
        self.assertEqual("".join(types[c[2]]["category"] for c in odd["columns"]), "NSSNUSNNUD")
        self.assertEqual(odd["columns"][1][3], "varchar(20) character set latin1 collate latin1_swedish_ci")
        self.assertEqual((odd["columns"][0][3], odd["columns"][9][3], odd["key"]), ("bigint(20) unsigned", "datetime(3)", [1]))
        self.assertEqual([c[0] for c in relations["Odd", "t"]["columns"]], ["renamed", "c"])
        self.assertEqual([(relations["Odd", n]["kind"]) for n in ("T", "v", "s", "versioned")], ["r", "v", "S", "r"])
        self.assertIn("shop", relations["Odd", "v"]["definition"])
        self.assertNotIn("c4n4ry", json.dumps(lines))

    def test_policy_tools(self):
        catalog = self.file(self.ctl("catalog", "--config", S.env["GH_CONFIG"], "--database", "shop_my"), ".catalog")
        some = ("--policy", S.env["GH_POLICY"], "--database", "shop_my", "--catalog", catalog, "--as", "ai-agents")
        text = self.ctl("policy", "rewrite", *some, "SELECT `email` FROM customers WHERE id = 1 # a comment of MySQL's")
        self.assertIn("'***@'", text)
        self.assertEqual(my.rows(my.direct(), text.replace("%", "%%")), (("b***@mail.example",),))
        self.assertIn("verdict: allow", self.ctl("policy", "explain", *some, "SELECT `email` FROM customers"))
        self.assertIn("sqlstate: 42601", self.ctl("policy", "explain", *some, "SELECT 1::text", status=3))
        self.ctl("policy", "check", "--catalog", catalog, "--database", "shop_my", S.env["GH_POLICY"], status=2)  # "careless" fits nowhere
        # a view is followed by its definition
        around = ("--policy", S.env["GH_POLICY"], "--database", "shop_my", "--catalog", catalog, "--as", "testers")
        text = self.ctl("policy", "explain", *around, "SELECT * FROM customer_directory")
        self.assertIn("warning: the view shop.customer_directory reads shop.customers; what the policy hides of that does not reach through a view", text)
        text = self.ctl("policy", "explain", "--json", *around, "SELECT name FROM customer_directory")
        self.assertIn({"schema": "shop", "name": "customer_directory", "reads_schema": "shop", "reads_name": "customers"}, json.loads(text)["views_around"])
        self.assertIn('grants the view shop.customer_directory, which reads shop.customers', self.ctl("policy", "check", "--catalog", catalog, "--database", "shop_my", S.env["GH_POLICY"], status=2))
        with open(catalog) as f:
            blind = self.file(re.sub('"definition":"[^\n]*","reads"', '"definition":"","reads"', f.read()), ".catalog")
        text = self.ctl("policy", "explain", *around[:-3], blind, *around[-2:], "SELECT * FROM customer_directory")
        self.assertIn("warning: not all is known of what the view shop.customer_directory reads", text)
        self.assertRegex(self.ctl("doctor", "-c", S.env["GH_CONFIG"], status=1), r"shop_my.*shows a catalog of 4 relations")

    def test_the_least_user(self):
        """What grants --sql prints is enough for agents, and the catalog is whole."""
        catalog = self.file(self.ctl("catalog", "--config", S.env["GH_CONFIG"], "--database", "shop_my"), ".catalog")
        sql = S.grants_sql("shop_my", "least@127.0.0.1", "ai-agents", catalog=catalog)
        with my.direct() as d:
            self.addCleanup(lambda: my.rows(my.direct(), "DROP USER least@127.0.0.1"))
            for statement in statements(sql):
                my.rows(d, statement.replace("%", "%%"))
            my.rows(d, "ALTER USER least@127.0.0.1 IDENTIFIED BY 'least' REQUIRE SSL")
        self.assertNotIn("`phone`", sql)
        with open(S.env["GH_CONFIG"]) as f:
            config = f.read()
        at = config.index("engine: mysql")
        password = self.file("least\n", ".password", 0o600)
        config = config[:at] + config[at:].replace("user: shop_owner", "user: least").replace("password_file: shop.password", f"password_file: {password}")
        relations = {r["name"]: r for r in self.catalog(self.file(config, ".yaml")) if "relation" in r}
        self.assertEqual(set(relations), {"customers", "orders"})
        self.assertEqual(len(relations["customers"]["columns"]), 7)
        masked = self.ctl("policy", "rewrite", "--policy", S.env["GH_POLICY"], "--database", "shop_my", "--catalog", catalog, "--as", "ai-agents",
                          "SELECT * FROM customers ORDER BY id LIMIT 1")
        least = dict(host="127.0.0.1", port=int(S.env["GH_MY_PORT_DIRECT"]), user="least", password="least", database="shop",
                     ssl={"ca": f"{S.dir}/etc/shop-my-ca.pem"})
        with pymysql.connect(**least) as c:
            self.assertEqual(my.rows(c, masked.replace("%", "%%"))[0][2:4], ("b***@mail.example", None))
            with self.assertRaises(pymysql.MySQLError):
                my.rows(c, "SELECT phone FROM customers")


if __name__ == "__main__":
    unittest.main()
