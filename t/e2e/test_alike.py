"""Texts that differ in the values of their constants only: the daemon parses one of them. Nobody gets another's verdict, rewriting or record."""
import hashlib
import time
import unittest

import psycopg

import stack

POLICY = """version: 1
databases: { shop: { mode: enforce } }
rules:
  - { name: readers, groups: readers, database: shop, allow: [select, insert, update], on: "scratch.open_*" }
  - { name: addresses, groups: masked, database: shop, allow: select, on: scratch.open_t, columns: { email: { mask: email }, "*": visible } }
  - { name: admins, groups: admins, database: shop, allow: all, on: "*.*" }
"""

# Of the same length, and alike but for the value: the first one is allowed, the second is not.
PAIRS = [
    ("SELECT nextval('scratch.open_s')", "SELECT nextval('scratch.shut_s')"),
    ("SELECT nextval('scratch.open_s'::regclass)", "SELECT nextval('scratch.shut_s'::regclass)"),
    ("SELECT setval('scratch.open_s', 7)", "SELECT setval('scratch.shut_s', 7)"),
    ("INSERT INTO scratch.open_t VALUES (nextval('scratch.open_s'), 5, 'a')", "INSERT INTO scratch.open_t VALUES (nextval('scratch.shut_s'), 5, 'a')"),
    ("SELECT setting FROM pg_settings WHERE name = 'TimeZone'", "SELECT setting FROM pg_settings WHERE name = 'hba_file'"),
    ("SELECT current_setting('TimeZone')", "SELECT current_setting('hba_file')"),
    ('SELECT id FROM scratch."open_1" WHERE id = 5', 'SELECT id FROM scratch."shut_1" WHERE id = 5'),
]


class Alike(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(policy=POLICY, config=stack.with_metrics)
        cls.addClassCleanup(cls.stack.close)
        cls.stack.scratch("""
            CREATE SEQUENCE scratch.open_s; CREATE SEQUENCE scratch.shut_s;
            CREATE TABLE scratch.open_t (id int, n int, email text);
            CREATE TABLE scratch.open_1 (id int); CREATE TABLE scratch.shut_1 (id int);
            INSERT INTO scratch.open_t SELECT i, i * 2, 'person' || i || '@shop.example' FROM generate_series(1000, 1099) i""")
        cls.readers = cls.stack.mint("reader@shop.example", ["readers"])
        cls.masked = cls.stack.mint("masked@shop.example", ["masked"])
        cls.admins = cls.stack.mint("admin@shop.example", ["admins"])

    def connect(self, token=None):
        c = self.stack.psycopg(password=token or self.readers, autocommit=True, prepare_threshold=None)
        self.addCleanup(c.close)
        return c

    def misses(self):
        return self.stack.metric("gatehouse_facts_cache_misses_total")

    def test_values_that_name(self):
        mine, others, admin = self.connect(), self.connect(), self.connect(self.admins)
        for allowed, refused in PAIRS:
            self.assertEqual(len(allowed), len(refused))
            with self.subTest(refused):
                for c, sql in ((mine, allowed), (mine, refused), (admin, refused), (others, refused), (others, allowed), (mine, refused)):
                    if sql == refused and c is not admin:
                        with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "policy"):
                            c.execute(sql)
                    elif "hba_file" not in sql:
                        c.execute(sql)
        self.assertEqual(self.stack.direct("SELECT is_called, last_value FROM scratch.shut_s")[0][0], True, "the administrator did")

    def test_each_has_its_own_answer_and_record(self):
        c = self.connect()
        texts = [f"SELECT n, '{word}' FROM scratch.open_t WHERE n = {2 * i} AND id IN ({i}, 7)" for i, word in zip(range(1000, 1060), ["one", "two", "''a"] * 20)]
        c.execute(texts[0].replace("one", "new"))
        time.sleep(1)  # workers publish these a few times a second
        before = self.misses()
        for i, sql in enumerate(texts):
            self.assertEqual(c.execute(sql).fetchall(), [(2000 + 2 * i, ["one", "two", "'a"][i % 3])])
        time.sleep(1)
        self.assertLessEqual(self.misses() - before, 3, "each worker parses one, if any")
        events = stack.wait_until("they are recorded", lambda: (lambda of: of if len(of) >= len(texts) else None)(
            [e for e in self.stack.audit() if e["type"] == "statement" and e.get("sql") in texts]))
        self.assertEqual([e["sql"] for e in events], texts)
        for e in events:
            self.assertEqual(e["sha256"], hashlib.sha256(e["sql"].encode()).hexdigest())
            self.assertEqual((e["verdict"], e["rule"], e["relations"]), ("allow", "readers", "scratch.open_t:select"))

    def test_what_is_masked(self):
        c, admin = self.connect(self.masked), self.connect(self.admins)
        for i in range(1000, 1020):
            sql = f"SELECT id, email FROM scratch.open_t WHERE id = {i}"
            self.assertEqual(admin.execute(sql).fetchall(), [(i, f"person{i}@shop.example")])
            self.assertEqual(c.execute(sql).fetchall(), [(i, "p***@shop.example")])

    def test_bytes_that_are_no_text(self):
        c = self.connect()
        c.execute("SELECT n FROM scratch.open_t WHERE email = 'abcd' AND id = 5")
        with self.assertRaises(psycopg.Error) as caught:
            c.execute(b"SELECT n FROM scratch.open_t WHERE email = 'ab\xff\xfe' AND id = 5")
        self.assertEqual(caught.exception.sqlstate, "22021")


if __name__ == "__main__":
    unittest.main()
