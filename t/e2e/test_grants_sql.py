"""The role that "policy grants --sql" prints, on the shop: everything that test_columns does as agent and analyst, by a role that has just these rights. And keyed
hashes: values that can be joined, whose key is in no statement, log or view, and that nobody can ask for."""
import os
import subprocess

import psycopg

import stack
import test_columns

ROLE = "gate_role"
HASHES = """
  - name: hashed-customers
    groups: hashers
    database: shop
    allow: [select, update]
    on: public.customers
    columns: { email: { mask: { hash: customer } }, name: { mask: { hash: customer } }, id: { mask: { hash: ids } }, card_number: { mask: { hash: cards } }, region: visible }
    write: [region]
  - name: hashed-orders
    groups: hashers
    database: shop
    allow: select
    on: public.orders
    columns: { customer_id: { mask: { hash: ids } }, total: visible, status: visible }
  - name: careless
    groups: careless
    database: shop
    allow: [select, update]
    on: public.customers
    columns: { email: { mask: { hash: customer } }, "*": visible }
    write: [email]
  - name: open
    groups: open
    database: shop
    allow: [read, write, temp]
    on: "*.*"
    functions: "*"
"""


def config(text):
    login = "      user: shop_owner\n      password_file: shop.password\n"
    assert login in text
    return test_columns.config(text.replace(login, login + "      credentials:\n        - groups: [ai-agents, analysts, hashers, careless]\n"
                                           f"          user: {ROLE}\n          password_file: shop.password\n"))


class LeastRole(test_columns.Columns):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(policy=test_columns.POLICY + HASHES, config=config)
        cls.addClassCleanup(cls.stack.close)
        cls.sql = cls.stack.grants_sql("shop", ROLE, "ai-agents,analysts,hashers")
        with open(os.path.join(cls.stack.dir, "etc", "shop.password")) as f:
            password = f.read().strip()
        # twice: what is there already is no error, and keys stay
        for _ in range(2):
            done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", cls.stack.env["GH_PG_DIRECT_URL"]], input=cls.sql,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert done.returncode == 0, done.stdout
        cls.stack.direct(f"ALTER ROLE {ROLE} PASSWORD '{password}'")
        with cls.stack.psycopg("dba", autocommit=True) as c:  # the catalog is read again behind a schema change
            c.execute("CREATE TABLE made_for_the_catalog (x int)")
            c.execute("DROP TABLE made_for_the_catalog")
        stack.wait_until("the catalog has the hash's function", cls.usable)

    @classmethod
    def usable(cls):
        with cls.hasher() as c:
            try:
                c.execute("SELECT email FROM customers LIMIT 1")
                return True
            except psycopg.Error:
                return False

    @classmethod
    def hasher(cls, group="hashers"):
        return cls.stack.psycopg(group, password=cls.stack.mint(f"{group}@shop.example", [group]), autocommit=True)

    def test_nothing_more(self):
        """Not the columns that everybody is shown as NULL, nor what no rule names."""
        s = self.stack
        with psycopg.connect(s.env["GH_PG_DIRECT_URL"], autocommit=True) as c:
            c.execute(f"SET ROLE {ROLE}")
            for sql in ("SELECT id, email FROM customers", "SELECT region FROM customers"):
                c.execute(sql)
            for sql in ("SELECT * FROM staff", "TRUNCATE orders", "DROP TABLE customers", "CREATE TABLE x (y int)", "SELECT * FROM gatehouse.mask_key",
                        "TABLE customer_directory", "SELECT phone FROM customers", "ALTER TABLE orders ADD x int"):
                with self.assertRaises(psycopg.errors.InsufficientPrivilege, msg=sql):
                    c.execute(sql)
        self.assertNotIn("staff", self.sql)

    def test_hashes_can_be_joined(self):
        with self.hasher() as c, psycopg.connect(self.stack.env["GH_PG_DIRECT_URL"]) as direct:
            got = c.execute("SELECT region, count(*), sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY 1 ORDER BY 1").fetchall()
            want = direct.execute("SELECT region, count(*), sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY 1 ORDER BY 1").fetchall()
            self.assertEqual(got, want)
            rows = c.execute(
                "SELECT id, name, email, card_number FROM customers").fetchall()
            raw = direct.execute("SELECT id, name, email, card_number FROM customers").fetchall()
            for k in range(4):
                self.assertEqual(len({r[k] for r in rows}), len({r[k] for r in raw}))
            self.assertFalse({v for r in rows for v in r} & {v for r in raw for v in r[1:]})
            self.assertRegex(rows[0][2], r"^[0-9a-f]{64}$")
            self.assertNotIn(test_columns.CANARY, repr(rows))
            again = c.execute("SELECT email FROM customers WHERE email = %s", (rows[0][2],)).fetchall()
            self.assertEqual(again, [(rows[0][2],)])
            c.execute("UPDATE customers SET region = region WHERE email = %s", (rows[0][2],))
            # RETURNING and WHERE of a target are the hash as well
            self.assertEqual(c.execute("UPDATE customers SET region = region WHERE email = %s RETURNING email", (rows[0][2],)).fetchall(), again)

    def test_nobody_asks_for_a_hash(self):
        with self.hasher() as c:
            for sql in ("SELECT gatehouse.mask_hash('a', 'customer')", "SELECT mask_hash('a', 'customer')", "SELECT * FROM gatehouse.mask_key",
                        "SELECT 'a'::text FROM gatehouse.mask_hash('a', 'customer')", "UPDATE customers SET email = 'a'", "SELECT (email).mask_hash FROM customers",
                        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT gatehouse.mask_hash('a', 'customer') $$",
                        "PREPARE p AS SELECT gatehouse.mask_hash($1, 'customer')", "EXPLAIN SELECT email FROM customers"):
                with self.assertRaises(psycopg.Error, msg=sql) as e:
                    c.execute(sql)
                self.assertIn(e.exception.sqlstate, ("42501", "42703"), sql)
        with self.hasher("open") as c:  # sees everything; "*" of a rule does not mean the schema
            for sql in ("SELECT gatehouse.mask_hash('a', 'customer')", "TABLE gatehouse.mask_key", "DELETE FROM gatehouse.mask_key"):
                with self.assertRaises(psycopg.errors.InsufficientPrivilege, msg=sql):
                    c.execute(sql)
        with self.hasher("careless") as c:
            with self.assertRaises(psycopg.errors.InsufficientPrivilege) as e:
                c.execute("SELECT email FROM customers LIMIT 1")
            self.assertIn("can try values", str(e.exception))

    def test_the_key_is_nowhere(self):
        s = self.stack
        s.direct("ALTER DATABASE shop SET log_statement = 'all'")
        s.direct("ALTER DATABASE shop SET log_min_duration_statement = 0")
        try:
            with self.hasher() as c:
                c.execute("SELECT email FROM customers WHERE email = 'x'")
                seen = s.direct("SELECT query FROM pg_stat_activity WHERE query LIKE '%mask_hash%' AND pid <> pg_backend_pid()")
                self.assertEqual(len(seen), 1)
        finally:
            s.direct("ALTER DATABASE shop RESET ALL")
        keys = [bytes(k) for row in s.direct("SELECT inner_key, outer_key FROM gatehouse.mask_key") for k in row]
        self.assertEqual((len(keys), len(set(keys)), {len(k) for k in keys}), (6, 6, {64}))
        texts = s.log("postgresql") + repr(seen) + repr(s.audit()) + s.log("gatehouse") + self.sql
        self.assertIn("mask_hash", s.log("postgresql"))
        for key in keys:
            self.assertNotIn(key.hex(), texts)
            self.assertNotIn(key[:16].hex(), texts)
