"""Who it was, as the database knows it: gatehouse.principal, .groups and .session, for row security and logs. No client can set them."""
import json
import unittest

import psycopg

import stack

WHO = "SELECT current_setting('gatehouse.principal', true), current_setting('gatehouse.groups', true), current_setting('gatehouse.session', true)"


class Downstream(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def who(self, conn):
        principal, groups, session = conn.execute(WHO).fetchone()
        return principal, json.loads(groups), session

    def test_who_it_is(self):
        for who, principal, groups in (("agent", "agent@shop.example", ["ai-agents"]), ("tester", "tester@shop.example", ["testers"])):
            with self.stack.psycopg(who, autocommit=True) as conn:
                got = self.who(conn)
                self.assertEqual(got[:2], (principal, groups))
                self.assertIn(got[2], self.stack.redis("--scan", "--pattern", "gatehouse:audit:*"))
        odd = 'ann "x" \\ müller, \'; --@shop.example'
        with self.stack.psycopg(password=self.stack.mint(odd, ["testers", 'a"b\\c', "a,b", "ü"]), autocommit=True) as conn:
            self.assertEqual(self.who(conn)[:2], (odd, ["testers", 'a"b\\c', "a,b", "ü"]))
        with self.stack.psycopg(password=self.stack.mint("many@shop.example", ["testers", *(f"group-{i:040}" for i in range(60))]), autocommit=True) as conn:
            self.assertEqual(conn.execute("SELECT current_setting('gatehouse.groups')").fetchone(), ("",))  # too many to tell: none

    def test_nobody_sets_them(self):
        """Whoever may do everything too; resets go back to the truth."""
        for who in ("agent", "tester", "dba"):
            with self.stack.psycopg(who, autocommit=True) as conn:
                truth = self.who(conn)
                for sql in ("SET gatehouse.principal = 'root@shop.example'", "SET SESSION GateHouse.\"PRINCIPAL\" TO x", "SET gatehouse.groups = '[\"dbas\"]'",
                            "SET gatehouse.session TO 'x'", "SET gatehouse.other = 'x'", "SELECT set_config('gatehouse.principal', 'root', false)",
                            "SELECT pg_catalog.set_config('gatehouse.principal', 'root', true)", "BEGIN; SET LOCAL gatehouse.principal = 'x'; COMMIT",
                            "UPDATE pg_settings SET setting = 'x' WHERE name = 'gatehouse.principal'"):
                    with self.subTest(f"{who}: {sql}"), self.assertRaises(psycopg.errors.InsufficientPrivilege):
                        conn.execute(sql)
                for sql in ("RESET gatehouse.principal", "SET gatehouse.groups TO DEFAULT", "RESET ALL", "DISCARD ALL"):
                    with self.subTest(f"{who}: {sql}"):
                        conn.execute(sql)
                        self.assertEqual(self.who(conn), truth)
                self.assertEqual(conn.execute("SHOW gatehouse.principal").fetchone(), (truth[0],))
            for option in ("-c gatehouse.principal=root", "--gatehouse.principal=root", "-cgatehouse.groups=x", "-c GATEHOUSE.session=x"):
                with self.subTest(f"{who}: {option}"), self.assertRaisesRegex(psycopg.Error, "may not be changed"):
                    self.stack.psycopg(who, options=option)

    def test_settings_of_role_and_database_yield(self):
        self.stack.direct("ALTER ROLE shop_owner SET gatehouse.principal = 'root'; ALTER DATABASE shop SET gatehouse.groups = '[\"root\"]'")
        try:
            with self.stack.psycopg(autocommit=True) as conn:
                self.assertEqual(self.who(conn)[:2], ("tester@shop.example", ["testers"]))
                conn.execute("DISCARD ALL")
                self.assertEqual(self.who(conn)[:2], ("tester@shop.example", ["testers"]))
        finally:
            self.stack.direct("ALTER ROLE shop_owner RESET ALL; ALTER DATABASE shop RESET ALL")

    def test_row_security(self):
        self.stack.scratch("""CREATE TABLE scratch.notes (id integer, owner text);
            INSERT INTO scratch.notes VALUES (1, 'tester@shop.example'), (2, 'other@shop.example'), (3, 'other@shop.example');
            ALTER TABLE scratch.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
            CREATE POLICY own ON scratch.notes USING (owner = current_setting('gatehouse.principal', true));
            CREATE POLICY all_of_them ON scratch.notes FOR SELECT USING (current_setting('gatehouse.groups', true)::jsonb ? 'auditors')""")
        for password, rows in ((self.stack.token("tester"), 1), (self.stack.mint("other@shop.example", ["testers"]), 2),
                               (self.stack.mint("third@shop.example", ["testers"]), 0), (self.stack.mint("third@shop.example", ["testers", "auditors"]), 3)):
            with self.stack.psycopg(password=password, autocommit=True) as conn:
                self.assertEqual(conn.execute("SELECT count(*) FROM scratch.notes").fetchone(), (rows,))

    def test_renewal_keeps_them(self):
        """A token with other groups judges from now on; the database knows those of the time when the session connected to it."""
        with self.stack.psycopg(autocommit=True) as conn:
            truth = self.who(conn)
            conn.execute(f"SET gatehouse.token = '{self.stack.mint('tester@shop.example', ['testers', 'more'])}'")
            self.assertEqual(self.who(conn), truth)


class Label(unittest.TestCase):
    """application_name by a template: the principal is in pg_stat_activity and the server's log, whatever the client calls itself, at the start or later."""

    @classmethod
    def setUpClass(cls):
        key = "    engine: postgresql\n"
        cls.stack = stack.Stack(config=lambda text: text.replace(key, key + '    application_name: "%{principal} %{client}"\n'))
        cls.addClassCleanup(cls.stack.close)

    def seen(self, conn):
        backend = conn.execute("SELECT pg_backend_pid()", prepare=False).fetchone()[0]
        return self.stack.direct("SELECT application_name FROM pg_stat_activity WHERE pid = %s", [backend])[0][0]

    def test_start(self):
        for name in ("psql", "dba@shop.example psql", "x" * 100):
            with self.stack.psycopg(application_name=name, autocommit=True) as conn:
                self.assertEqual(self.seen(conn), ("tester@shop.example " + name)[:63])
        with self.stack.psycopg(options="-c application_name=other", autocommit=True) as conn:
            self.assertEqual(self.seen(conn), "tester@shop.example other")

    def test_set(self):
        for who, principal in (("tester", "tester@shop.example"), ("dba", "dba@shop.example")):
            with self.stack.psycopg(who, application_name="first", autocommit=True) as conn:
                for sql, name in (("SET application_name = 'it''s'", "it's"), ("SET SESSION \"Application_Name\" TO plain", "plain"),
                                  ("SET application_name = E'dba@shop.example\\x01'", "dba@shop.example?"), ("SET application_name TO DEFAULT", "first"),
                                  ("SET application_name = ''", ""), ("RESET application_name", "first"), ("SET application_name = a", "a"), ("RESET ALL", "first"),
                                  ("SET application_name = b", "b"), ("DISCARD ALL", "first")):
                    with self.subTest(f"{who}: {sql}"):
                        conn.execute(sql)
                        self.assertEqual(self.seen(conn), f"{principal} {name}")
                        conn.execute(sql, prepare=sql.startswith("SET"))  # Parse, Bind, Execute
                        self.assertEqual(self.seen(conn), f"{principal} {name}")
                with conn.transaction():
                    conn.execute("SET LOCAL application_name = 'within'")
                    self.assertEqual(conn.execute("SHOW application_name").fetchone(), (principal + " within",))
                self.assertEqual(self.seen(conn), principal + " first")
                for sql in ("SET application_name = 'x'; SELECT 1", "SELECT set_config('application_name', 'x', false)", "SELECT 1; SET LOCAL application_name = 'x'",
                            "SELECT set_config('application_name', 'x' || 'y', false)"):
                    with self.subTest(f"{who}: {sql}"), self.assertRaises(psycopg.errors.InsufficientPrivilege):
                        conn.execute(sql)
                self.assertEqual(self.seen(conn), principal + " first")
        recorded = [e["sql"] for e in self.stack.audit() if "sql" in e and "it''s" in e["sql"]]
        self.assertEqual(set(recorded), {"SET application_name = 'it''s'"})  # as it was sent


if __name__ == "__main__":
    unittest.main()
