"""unpin: who may do everything may also SET search_path and ROLE; nobody else may, and when the policy takes that right away, a session that may have
used it ends instead of being judged by names that no longer mean what they did."""
import os
import subprocess
import tempfile
import unittest

import psycopg

import stack
import test_daemon

RULE = """
  - name: unpinned
    groups: unpinned
    database: shop
    allow: all
    on: "*.*"
    unpin: true
"""
LESS = """
  - name: unpinned
    groups: unpinned
    database: shop
    allow: select
    on: public.orders
"""


class Unpin(test_daemon.Daemon):
    @classmethod
    def setUpClass(cls):
        cls.shared = stack.Stack()
        cls.addClassCleanup(cls.shared.close)
        cls.policy = cls.shared.policy()
        cls.shared._minted["free"] = cls.shared.mint("free@shop.example", ["unpinned"])
        cls.shared._minted["both"] = cls.shared.mint("both@shop.example", ["unpinned", "ai-agents"])

    def setUp(self):
        self.stack = self.shared
        self.stack.put_policy(self.policy + RULE)
        self.reload("reload")

    def connect(self, who):
        conn = self.stack.psycopg(who, autocommit=True)
        self.addCleanup(conn.close)
        return conn

    def ends(self, conn, sql):
        with self.assertRaisesRegex(psycopg.OperationalError, "the policy, or your groups, have changed, and this session may have changed its search_path"):
            conn.execute(sql)
        with self.assertRaises(psycopg.OperationalError):
            conn.execute("SELECT 1")

    def test_only_who_may_do_everything(self):
        free = self.connect("free")
        free.execute("SET search_path = scratch, pg_catalog")
        self.assertEqual(free.execute("SHOW search_path").fetchone(), ("scratch, pg_catalog",))
        free.execute("SELECT set_config('search_path', 'public', false)", prepare=True)
        free.execute("SET ROLE shop_owner")
        self.assertEqual(free.execute("SHOW role").fetchone(), ("shop_owner",))
        free.execute("RESET ROLE")
        # how text is read stays pinned
        for sql in ("SET client_encoding = 'SQL_ASCII'", "SET standard_conforming_strings = off", "SET backslash_quote = on",
                    "SELECT set_config('standard_conforming_strings', 'off', false)"):
            self.refused(free, sql, "42501")
        for who in ("both", "dba", "tester", "agent"):  # "both": a denial for one of its groups
            conn = self.connect(who)
            for sql in ("SET search_path = scratch", "SET ROLE shop_owner", "SET SESSION AUTHORIZATION shop_owner", "SET row_security = off",
                        "SELECT set_config('search_path', 'scratch', false)"):
                self.refused(conn, sql, "42501")
            self.assertEqual(conn.execute("SHOW search_path").fetchone(), ('"public"',))

    def test_not_at_startup(self):
        with self.assertRaises(psycopg.OperationalError):
            self.stack.psycopg("free", options="-c search_path=scratch")

    def test_a_right_taken_away_ends_the_session(self):
        public, moved, did, called, prepared = (self.connect("free") for _ in range(5))
        moved.execute("CREATE SCHEMA IF NOT EXISTS scratch")
        moved.execute("CREATE TABLE IF NOT EXISTS scratch.orders AS SELECT name FROM staff")
        public.execute("SELECT count(*) FROM orders")
        moved.execute("SET search_path = scratch")
        did.execute("DO $$ BEGIN PERFORM set_config('search_path', 'scratch', false); END $$")
        called.execute("CREATE OR REPLACE FUNCTION scratch.move() RETURNS text LANGUAGE sql AS $$ SELECT set_config('search_path', 'scratch', false) $$")
        called.execute("SELECT scratch.move()")
        prepared.execute("SELECT set_config('search_path', 'scratch', false)", prepare=True)
        self.edit("GH_POLICY", lambda t: t.replace(RULE, LESS))
        self.reload("reload")
        # "orders" is granted, and would be scratch.orders in these sessions
        for conn in (moved, did, called, prepared):
            self.ends(conn, "SELECT * FROM orders")
        self.assertEqual(public.execute("SELECT count(*) FROM orders").fetchone(), (10000,))
        self.refused(public, "SET search_path = scratch", "42501")

    def test_observing_is_no_way_in(self):
        self.edit("GH_POLICY", lambda t: t.replace("mode: enforce", "mode: observe"))
        self.reload("reload")
        agent = self.connect("agent")
        agent.execute("SET search_path = scratch")
        agent.execute("SELECT 1")
        self.edit("GH_POLICY", lambda t: t.replace("mode: observe", "mode: enforce"))
        self.reload("reload")
        self.ends(agent, "SELECT * FROM orders")

    def test_check_is_loud(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write("version: 1\ndatabases: { shop: {} }\nrules:\n" + RULE)
            f.flush()
            done = subprocess.run([os.path.join(self.stack.env["GH_BUILD"], "gatehousectl"), "policy", "check", f.name], stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn('WARNING: the rule "unpinned" unpins', done.stdout)


if __name__ == "__main__":
    unittest.main()
