"""Texts that once reached what the policy does not grant, and their neighbours: each must be refused, and show nothing. And statements that were allowed, until
something changed between their Parse, their Bind, their Execute and their record."""
import json
import signal
import subprocess
import time
import unittest

import psycopg

import stack
from pgraw import FLUSH, SYNC, TERMINATE, Closed, RawClient, bind, close, error_fields, execute, parse, query

QUERY = "SELECT to_tsvector('simple', name) FROM staff"

# x.f as a call of f: a function in FROM whose alias is the function's name
FIELD_NOTATION = [
    f"SELECT ts_stat.ts_stat FROM concat($q${QUERY}$q$) AS ts_stat(x)",
    f"SELECT (ts_stat.ts_stat).word FROM concat($q${QUERY}$q$) AS ts_stat(x)",
    f"SELECT ts_stat.ts_stat FROM json_array_elements_text($q$[\"{QUERY}\"]$q$) AS ts_stat",
    f"SELECT ts_stat.ts_stat FROM CAST(jsonb_array_elements_text($q$[\"{QUERY}\"]$q$) AS text) AS ts_stat",
    f"SELECT ts_stat.ts_stat FROM CAST($q${QUERY}$q$ AS text) AS ts_stat(x)",
    f"SELECT ts_stat.ts_stat FROM unnest(ARRAY[$q${QUERY}$q$]) AS ts_stat(x)",
    "SELECT pg_sleep.pg_sleep FROM CAST(0 AS float8) AS pg_sleep(x)",
    "SELECT pg_read_file.pg_read_file FROM concat('PG_VERSION') AS pg_read_file(x)",
]


# functions that the database's owner made, behind an operator of his own
OPERATORS = ["SELECT 1 ### 2", "SELECT 1 OPERATOR(public.###) 2", "SELECT 1 ### ANY (ARRAY[2])", "SELECT 1 ### (SELECT 2)"]


# Testers may do everything in scratch, and SELECT orders. An object of theirs gives nobody more than they have; and a copy, or a view of their own tables, is theirs.
CARRIED = ["CREATE TEMP VIEW v AS SELECT * FROM public.orders", "CREATE VIEW scratch.v AS SELECT * FROM public.orders WHERE id > 0",
           "CREATE VIEW scratch.v AS SELECT * FROM scratch.mine, orders", "ALTER TABLE public.orders SET SCHEMA scratch",
           "ALTER TABLE public.orders INHERIT scratch.mine", "CREATE TABLE scratch.c () INHERITS (public.orders)",
           "CREATE RULE r AS ON INSERT TO scratch.mine DO ALSO DELETE FROM public.orders"]
OWN = ["CREATE VIEW scratch.v AS SELECT * FROM scratch.mine", "UPDATE scratch.v SET a = 2", "CREATE TEMP TABLE t AS SELECT * FROM public.orders WHERE id < 3",
       "CREATE TEMP VIEW tv AS SELECT * FROM pg_temp.t", "UPDATE pg_temp.tv SET status = 'mine'", "CREATE MATERIALIZED VIEW scratch.m AS SELECT id FROM public.orders",
       "REFRESH MATERIALIZED VIEW scratch.m", "ALTER TABLE scratch.mine RENAME TO yours", "DROP VIEW scratch.v", "DROP TABLE scratch.yours", "DROP MATERIALIZED VIEW scratch.m"]


class Bypass(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def setUp(self):
        self.conn = self.stack.psycopg("agent", autocommit=True)
        self.addCleanup(self.conn.close)

    def refused(self, sql):
        with self.subTest(sql):
            with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
                self.conn.execute(sql)
            self.assertIn("policy", str(caught.exception), "the gate refuses it, not the database")
            self.assertNotIn("c4n4ry", str(caught.exception))

    def test_operators(self):
        self.stack.direct("""
            CREATE OR REPLACE FUNCTION public.names_of_staff(integer, integer) RETURNS boolean LANGUAGE plpgsql AS
                $$BEGIN RAISE EXCEPTION '%', (SELECT string_agg(name, ' ') FROM public.staff); END$$;
            DROP OPERATOR IF EXISTS public.### (integer, integer);
            CREATE OPERATOR public.### (LEFTARG = integer, RIGHTARG = integer, FUNCTION = public.names_of_staff)""")
        self.addCleanup(self.stack.direct, "DROP FUNCTION public.names_of_staff CASCADE")
        for sql in OPERATORS:
            self.refused(sql)

    def test_objects_that_would_carry_rights(self):
        self.stack.scratch("CREATE TABLE scratch.mine AS SELECT 1 AS a")
        before = self.stack.direct("SELECT count(*), sum(length(status)) FROM public.orders")
        with self.stack.psycopg("tester", autocommit=True) as c:
            for sql in CARRIED:
                with self.subTest(sql), self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
                    c.execute(sql)
                self.assertIn("policy", str(caught.exception), "the gate refuses it, not the database")
            with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                c.execute("UPDATE public.orders SET status = 'x' WHERE id = 15")
            for sql in OWN:
                c.execute(sql)
        with self.stack.psycopg("dba", autocommit=True) as c:
            for sql in ("CREATE VIEW scratch.v AS SELECT * FROM public.orders", "CREATE OR REPLACE VIEW scratch.v AS SELECT * FROM public.orders WHERE id > 1",
                        "DROP VIEW scratch.v"):
                c.execute(sql)
        self.assertEqual(self.stack.direct("SELECT count(*), sum(length(status)) FROM public.orders"), before)

    def test_rows_in_errors_of_ddl(self):
        """A type, a constraint or an index that does not fit the rows is refused by the database with a value in its words; so it takes select."""
        self.stack.scratch("CREATE TABLE scratch.pay (id int PRIMARY KEY, name text); INSERT INTO scratch.pay VALUES (1, 'c4n4ry'), (2, 'c4n4ry')")
        self.stack.token("migrator", "migrators")
        conn = self.stack.psycopg("migrator", autocommit=True)
        self.addCleanup(conn.close)
        for sql in ("ALTER TABLE scratch.pay ALTER name TYPE int USING name::int", "ALTER TABLE scratch.pay ALTER name TYPE date USING name::date", "CREATE UNIQUE INDEX ON scratch.pay (name)",
                    "ALTER TABLE scratch.pay ADD UNIQUE (name)", "CREATE INDEX ON scratch.pay ((name::int))", "ALTER TABLE scratch.pay ADD CHECK (name < 'b')", "CREATE INDEX ON scratch.pay (id) WHERE name::bool"):
            with self.subTest(sql), self.assertRaises(psycopg.Error) as caught:
                conn.execute(sql)
            self.assertNotIn("c4n4ry", str(caught.exception))
            self.assertIn("select on scratch.pay is not allowed", str(caught.exception))
        for sql in ("ALTER TABLE scratch.pay ADD note text DEFAULT 'x'", "CREATE INDEX ON scratch.pay (name)", "ALTER TABLE scratch.pay DROP note"):
            conn.execute(sql)

    def test_rows_in_errors_of_changes(self):
        """Who may change rows and not read them is not shown them by a change that fails, at its end or at that of the transaction."""
        self.stack.scratch("CREATE TABLE scratch.pay (id text PRIMARY KEY, name text NOT NULL, note text); INSERT INTO scratch.pay VALUES ('c4n4ry', 'x', 'c4n4ry'); "
                           "CREATE TABLE scratch.of (pay text REFERENCES scratch.pay DEFERRABLE); INSERT INTO scratch.of VALUES ('c4n4ry')")
        self.stack.token("blind", "writers")
        conn = self.stack.psycopg("blind", autocommit=True)
        self.addCleanup(conn.close)
        for sql in ("UPDATE scratch.pay SET name = NULL", "DELETE FROM scratch.pay", "WITH w AS (DELETE FROM scratch.pay) SELECT 1",
                    "INSERT INTO scratch.pay VALUES ('c4n4ry' || '', 'y') ON CONFLICT DO NOTHING; UPDATE scratch.pay SET name = NULL"):
            with self.subTest(sql), self.assertRaises(psycopg.errors.IntegrityError) as caught:
                conn.execute(sql)
            self.assertNotIn("c4n4ry", str(caught.exception))
            self.assertIsNone(caught.exception.diag.message_detail)
        conn.execute("BEGIN")
        conn.execute("SET CONSTRAINTS ALL DEFERRED")
        conn.execute("DELETE FROM scratch.pay")
        with self.assertRaises(psycopg.errors.ForeignKeyViolation) as caught:
            conn.execute("COMMIT")
        self.assertNotIn("c4n4ry", str(caught.exception))
        reader = self.stack.psycopg("tester", autocommit=True)
        self.addCleanup(reader.close)
        with self.assertRaises(psycopg.errors.NotNullViolation) as caught:
            reader.execute("UPDATE scratch.pay SET name = NULL")
        self.assertIn("Failing row contains", str(caught.exception))

    def test_field_notation(self):
        for sql in FIELD_NOTATION:
            self.refused(sql)
        self.assertEqual(self.conn.execute("SELECT g.g FROM generate_series(1, 2) AS g").fetchall(), [(1,), (2,)])


RULES = """
  - name: keepers-read
    groups: keepers
    database: shop
    allow: select
    on: scratch.*
  - name: keepers-insert
    groups: keepers
    database: shop
    allow: insert
    on: scratch.t
  - name: keepers-update
    groups: keepers
    database: shop
    ask: update
    on: scratch.t
    approvers: dbas
    grant: { max: 30m, scope: statement }
"""
INSERT = "INSERT INTO scratch.t VALUES (1, 'between')"
UPDATE = "UPDATE scratch.t SET s = 'granted'"


class Between(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = stack.Stack(config=lambda t: t.replace("  journal: journal\n", "  journal: journal\n  timeout: 20s\n"), policy=stack.own_policy() + RULES)
        cls.addClassCleanup(cls.s.close)

    def setUp(self):
        self.s.scratch("CREATE TABLE scratch.t (n int, s text)")
        self.principal = self._testMethodName.replace("_", "-") + "@shop.example"
        self.s._minted["keeper"] = self.s.mint(self.principal, ["keepers"])

    # --- what a test does ---

    def session(self, token=None):
        c = RawClient.gate(self.s, "keeper", token=token)
        self.addCleanup(c.close)
        return c

    def error(self, messages):
        """The SQLSTATE and the words of the only error."""
        errors = [error_fields(body) for kind, body in messages if kind == "E"]
        self.assertEqual(len(errors), 1, messages)
        return errors[0]["C"], errors[0]["M"]

    def fine(self, messages):
        self.assertEqual([error_fields(body) for kind, body in messages if kind == "E"], [])

    def rows(self, where="true"):
        return self.s.direct(f"SELECT count(*) FROM scratch.t WHERE {where}")[0][0]

    def ctl(self, *args, token=None):
        done = subprocess.run([self.s.env["GH_CTL"], *args], input=None if token is None else self.s.token(token), text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, stdin=None if token is not None else subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def forbid_inserts(self):
        def put(old, new):
            self.s.configure_policy(old, new)
            self.s.reload()
        allowed, denied = "allow: insert\n    on: scratch.t\n", "deny: insert\n    on: scratch.t\n    reason: Not any more.\n"
        put(allowed, denied)
        self.addCleanup(put, denied, allowed)

    def granted(self, c, seconds):
        """The UPDATE as an Execute: asked for, and agreed to for so long. The grant's id."""
        state, words = self.error(c.run(close("S", "u") + parse("u", UPDATE) + bind("", "u") + execute("") + SYNC))
        self.assertEqual(state, "42501")
        ident = words.split("decision on request ")[1].split()[0]
        self.ctl("approve", ident, "--token-file", "-", "--for", f"{seconds}s", token="dba")
        return next(g["id"] for g in json.loads(self.ctl("grants", "--json")) if g["request"] == ident)

    def journal(self):
        return subprocess.run(stack.as_root("sh", "-c", f"cat {self.s.dir}/etc/journal/journal-*"), stdout=subprocess.PIPE, check=True).stdout.decode(errors="replace")

    def held(self, c, name, sql):
        """Bind and Execute of a prepared statement whose record Redis does not acknowledge: the database has not seen them, the journal has the record."""
        self.fine(c.run(query("SELECT 'seen last'")))
        records = self.journal().count('["kind","execute"]')
        self.s.signal("redis", signal.SIGSTOP)
        self.addCleanup(self.s.signal, "redis", signal.SIGCONT)
        c.send(bind("", name) + execute("") + SYNC)
        stack.wait_until("it is recorded", lambda: self.journal().count('["kind","execute"]') > records)
        last = self.s.direct("SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
        self.assertNotIn(sql, [q for q, in last])

    def prepared(self, c, sql, name="s"):
        """Allowed, and known to be: what is remembered of it is remembered."""
        for _ in range(2):
            self.fine(c.run(query(sql)))
        self.fine(c.run(parse(name, sql) + SYNC))
        self.fine(c.run(bind("", name) + execute("") + SYNC))

    def withheld(self):
        return [e for e in self.s.audit() if e["type"] == "result" and e.get("reason") and e["skipped"] == "1"]

    # --- without a record under way ---

    def test_policy_between_bind_and_execute(self):
        c = self.session()
        self.prepared(c, INSERT)
        before = self.rows()
        c.send(parse("p", INSERT) + bind("portal", "p") + FLUSH)
        c.until("2")
        self.forbid_inserts()
        for data in (execute("portal") + SYNC, bind("", "s") + execute("") + SYNC, query(INSERT), parse("", INSERT) + SYNC, bind("", "p") + execute("") + SYNC):
            state, words = self.error(c.run(data))
            self.assertEqual((state, "Not any more" in words), ("42501", True), words)
        self.assertEqual(self.rows(), before)

    def test_token_expires_between_bind_and_execute(self):
        end = int(time.time()) + 3
        c = self.session(self.s.mint(self.principal, ["keepers"], "--claim", f"exp={end}"))
        self.prepared(c, INSERT)
        before = self.rows()
        c.send(parse("p", INSERT) + bind("portal", "p") + FLUSH)
        c.until("2")
        stack.wait_until("it expires", lambda: time.time() > end + 0.1)
        for data in (execute("portal") + SYNC, bind("", "s") + execute("") + SYNC, query(INSERT)):
            self.assertEqual(self.error(c.run(data))[0], "28000")
        self.assertEqual(self.rows(), before)

    def test_grant_ends_between_bind_and_execute(self):
        c = self.session()
        self.fine(c.run(query(INSERT)))
        grant = self.granted(c, 600)
        for _ in range(2):
            self.fine(c.run(bind("", "u") + execute("") + SYNC))
        c.send(bind("portal", "u") + FLUSH)
        c.until("2")
        self.ctl("grants", "revoke", grant, "--reason", "enough")
        state, words = self.error(c.run(execute("portal") + SYNC))
        self.assertIn("needs approval", words)
        grant = self.granted(c, 1)
        c.send(bind("portal", "u") + FLUSH)
        c.until("2")
        stack.wait_until("its time is over", lambda: not [g for g in json.loads(self.ctl("grants", "--json")) if g["id"] == grant])
        self.assertIn("needs approval", self.error(c.run(execute("portal") + SYNC))[1])

    def test_blocked_between_bind_and_execute(self):
        c = self.session()
        self.prepared(c, INSERT)
        before = self.rows()
        c.send(parse("p", INSERT) + bind("portal", "p") + FLUSH)
        c.until("2")
        self.ctl("block", "principal", self.principal, "--reason", "now")
        self.ctl("unblock", "principal", self.principal)
        with self.assertRaises((Closed, OSError)):
            c.send(execute("portal") + SYNC)
            while True:
                kind, body = c.read()
                self.assertNotEqual(kind, "C")
                if kind == "E":
                    self.assertEqual(error_fields(body)["C"], "57P01")
        self.assertEqual(self.rows(), before)

    def test_column_added_between_parse_and_execute(self):
        """Hidden by a rule that names what is visible: neither the prepared statement nor a text that is remembered shows the new column."""
        self.s._minted["masked"] = self.s.mint("masked@shop.example", ["masked"])
        c = RawClient.gate(self.s, "masked")
        self.addCleanup(c.close)
        sql = "SELECT * FROM customers ORDER BY id LIMIT 1"
        self.prepared(c, sql)
        self.s.direct("ALTER TABLE public.customers ADD COLUMN card_number_2 text DEFAULT 'c4n4ry-2'; ALTER TABLE public.customers RENAME COLUMN card_number TO card")
        self.addCleanup(self.s.direct, "ALTER TABLE public.customers DROP COLUMN card_number_2; ALTER TABLE public.customers RENAME COLUMN card TO card_number")
        hidden = self.s.direct("SELECT card FROM public.customers ORDER BY id LIMIT 1")[0][0]
        for data in (bind("", "s") + execute("") + SYNC, parse("", sql) + bind("", "") + execute("") + SYNC, query(sql)):
            seen = b"".join(body for kind, body in c.run(data) if kind == "D")
            self.assertNotIn(hidden.encode(), seen)

    def test_leaves_between_bind_and_execute(self):
        """What was bound and never executed has run nothing, and is no statement in the record."""
        for end in (SYNC, TERMINATE, None):
            c = self.session()
            self.prepared(c, INSERT)
            before = self.rows()
            count = len([e for e in self.s.audit() if e["type"] == "statement" and e.get("kind") == "execute" and e["verdict"] == "allow"])
            c.send(bind("portal", "s") + (end or b""))
            if end == SYNC:
                self.fine(c.until("Z"))
                self.assertEqual(self.error(c.run(execute("portal") + SYNC))[0], "34000")
            c.close()
            stack.wait_until("it is over", lambda: not [x for x in json.loads(self.ctl("sessions", "--json")) if x["principal"] == self.principal])
            self.assertEqual(self.rows(), before)
            self.assertEqual(len([e for e in self.s.audit() if e["type"] == "statement" and e.get("kind") == "execute" and e["verdict"] == "allow"]), count)

    # --- while the record waits for Redis ---

    def test_recorded_first(self):
        c = self.session()
        self.prepared(c, INSERT)
        before = self.rows()
        self.held(c, "s", INSERT)
        self.assertEqual(self.rows(), before)
        self.s.signal("redis", signal.SIGCONT)
        self.fine(c.until("Z"))
        self.assertEqual(self.rows(), before + 1)

    def test_policy_while_its_record_waits(self):
        c, simple, reader = self.session(), self.session(), self.session()
        self.prepared(c, INSERT)
        before = self.rows()
        self.held(c, "s", INSERT)
        for x, sql in ((simple, INSERT), (reader, "SELECT count(*) FROM scratch.t")):
            x.send(query(sql))
            stack.wait_until("it is recorded", lambda: sql in self.journal().rpartition('["kind","query"]')[2])  # noqa: B023
        self.forbid_inserts()
        self.s.signal("redis", signal.SIGCONT)
        for x in (c, simple):
            state, words = self.error(x.until("Z"))
            self.assertEqual(state, "42501", words)
        self.fine(reader.until("Z"))  # what is allowed as before goes on
        self.assertEqual(self.rows(), before)
        self.assertEqual(len([e for e in self.withheld() if "policy" in e["reason"]]), 2)

    def test_token_expires_while_its_record_waits(self):
        end = int(time.time()) + 4
        c = self.session(self.s.mint(self.principal, ["keepers"], "--claim", f"exp={end}"))
        self.prepared(c, INSERT)
        before = self.rows()
        self.held(c, "s", INSERT)
        stack.wait_until("it expires", lambda: time.time() > end + 0.1)
        self.s.signal("redis", signal.SIGCONT)
        self.assertEqual(self.error(c.until("Z"))[0], "28000")
        self.assertEqual(self.rows(), before)

    def test_grant_revoked_while_its_record_waits(self):
        c = self.session()
        self.fine(c.run(query(INSERT)))
        grant = self.granted(c, 600)
        self.held(c, "u", UPDATE)
        self.ctl("grants", "revoke", grant, "--reason", "enough")
        self.s.signal("redis", signal.SIGCONT)
        self.assertEqual(self.error(c.until("Z"))[0], "42501")
        self.assertEqual(self.rows("s = 'granted'"), 0)

    def test_blocked_while_its_record_waits(self):
        c = self.session()
        self.prepared(c, INSERT)
        before = self.rows()
        self.held(c, "s", INSERT)
        self.ctl("block", "principal", self.principal, "--reason", "now")
        self.ctl("unblock", "principal", self.principal)
        self.s.signal("redis", signal.SIGCONT)
        with self.assertRaises((Closed, OSError)):
            c.until("Z")
        self.assertEqual(self.rows(), before)

    def test_client_leaves_while_its_record_waits(self):
        for end in (TERMINATE, None):
            c = self.session()
            self.prepared(c, INSERT)
            before, withheld = self.rows(), len(self.withheld())
            self.held(c, "s", INSERT)
            if end:
                c.send(end)
            c.close()
            self.s.signal("redis", signal.SIGCONT)
            stack.wait_until("it is over", lambda: not [x for x in json.loads(self.ctl("sessions", "--json")) if x["principal"] == self.principal])
            stack.wait_until("it ran, or the record says that it did not", lambda: self.rows() - before + len(self.withheld()) - withheld == 1)  # noqa: B023


if __name__ == "__main__":
    unittest.main()
