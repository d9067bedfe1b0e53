"""The daemon's own life: checking, reloading, draining, limits; and what clients see while Redis or PostgreSQL are away."""
import os
import re
import signal
import subprocess
import threading
import time
import unittest

import psycopg

import stack


class Daemon(unittest.TestCase):
    """A stack of its own for each test: they break it."""

    config = None

    def setUp(self):
        self.stack = stack.Stack(config=self.config)
        self.addCleanup(self.stack.close)
        self.program = os.path.join(self.stack.env["GH_BUILD"], "gatehouse")

    def check(self, text):
        """gatehouse -t on the configuration in force, changed."""
        path = os.path.join(self.stack.dir, "etc", "check.yaml")
        with open(path, "w") as f:
            f.write(text)
        return subprocess.run(stack.as_root(self.program, "-t", "-c", path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def edit(self, key, change):
        stack.edit(self.stack.env[key], change)

    def reload(self, event):
        before = self.stack.log("gatehouse").count(f"event={event} ")
        self.stack.signal("gatehouse", signal.SIGHUP)
        stack.wait_until(event, lambda: self.stack.log("gatehouse").count(f"event={event} ") > before)

    def refused(self, conn, sql, sqlstate, **more):
        with self.assertRaises(psycopg.Error) as caught:
            conn.execute(sql, **more)
        self.assertEqual(caught.exception.sqlstate, sqlstate, str(caught.exception))
        return str(caught.exception)


class Life(Daemon):
    @staticmethod
    def config(text):
        assert "drain_timeout: 5s" in text
        return text.replace("drain_timeout: 5s", "drain_timeout: 60s")  # what runs has to end by itself, on a busy machine too

    def test_check_names_the_place(self):
        with open(self.stack.env["GH_CONFIG"]) as f:
            good = f.read()
        self.assertEqual(self.check(good).returncode, 0)
        bad = self.check(good.replace("node:", "nodez:"))
        self.assertNotEqual(bad.returncode, 0)
        self.assertRegex(bad.stdout, r"check\.yaml:\d+:\d+: .*nodez")
        unknown = self.check(good.replace("  shop:\n", "  shap:\n"))
        self.assertNotEqual(unknown.returncode, 0)
        self.assertIn("shap", unknown.stdout)
        version = subprocess.run([self.program, "-V"], stdout=subprocess.PIPE, text=True)
        self.assertRegex(version.stdout, r"^gatehouse \d")

    def test_reload_counts_for_open_sessions_and_errors_keep_the_old(self):
        grant = "  - name: later\n    groups: testers\n    database: shop\n    allow: select\n    on: public.customers\n"
        with self.stack.psycopg(autocommit=True) as conn:
            self.refused(conn, "SELECT count(*) FROM customers", "42501")
            self.edit("GH_POLICY", lambda t: t + grant)
            self.reload("reload")
            self.assertEqual(conn.execute("SELECT count(*) FROM customers", prepare=True).fetchone(), (1000,))
            self.edit("GH_POLICY", lambda t: t + "  - nonsense: 1\n")
            self.reload("reload.failed")
            self.assertRegex(self.stack.log("gatehouse"), r"event=reload.failed error=\"[^\"]*policy\.yaml:\d+:\d+: ")
            self.assertEqual(conn.execute("SELECT count(*) FROM customers", prepare=True).fetchone(), (1000,))
            # What was prepared under the old policy is judged by the new one.
            conn.execute("BEGIN")
            conn.execute("DECLARE c CURSOR FOR SELECT id FROM customers")
            conn.execute("FETCH 1 FROM c")
            self.edit("GH_POLICY", lambda t: t.replace(grant, "").replace("  - nonsense: 1\n", ""))
            self.reload("reload")
            self.refused(conn, "FETCH 1 FROM c", "42501")
            conn.execute("ROLLBACK")
            self.refused(conn, "SELECT count(*) FROM customers", "42501", prepare=True)

    def test_observe_forwards_and_says_so(self):
        self.edit("GH_POLICY", lambda t: t.replace("mode: enforce", "mode: observe"))
        self.reload("reload")
        with self.stack.psycopg("agent", autocommit=True) as conn:
            self.assertEqual(conn.execute("SELECT count(*) FROM staff").fetchone(), (20,))
        seen = [e for e in self.stack.audit() if e["type"] == "statement" and "staff" in e.get("sql", "")]
        self.assertEqual([e["verdict"] for e in seen], ["observe-deny"])
        self.assertEqual(seen[0]["rule"], "agents-never-see-staff")

    def test_observe_keeps_tokens_from_the_database(self):
        """Of texts that the gate cannot read: those that may be a SET gatehouse.token in disguise stay here, whoever looked, worker or pool."""
        self.edit("GH_POLICY", lambda t: t.replace("mode: enforce", "mode: observe"))
        self.reload("reload")
        token = self.stack.mint("other@shop.example", ["testers"])
        with self.stack.psycopg("agent", autocommit=True) as conn:
            for name, size in (("short", 0), ("long", 8000), ("longer", 200000)):
                padding = "'" + "x" * size + "'"
                for text in (f"SELECTED {name} {padding}", f"SELECTED {name} {padding}, '{token}'"):
                    with self.assertRaises(psycopg.errors.SyntaxError):
                        conn.execute(text)
        log = self.stack.log("postgresql")
        self.assertEqual([log.count(f"SELECTED {name} ") for name in ("short", "long", "longer")], [1, 1, 1])
        self.assertNotIn(token, log)
        seen = [e["verdict"] for e in self.stack.audit() if e["type"] == "statement" and e.get("sql", "").startswith("SELECTED")]
        self.assertEqual(seen, ["observe-deny", "deny"] * 3)

    def test_drain(self):
        idle = self.stack.psycopg(autocommit=True)
        busy = self.stack.psycopg(autocommit=True)
        result = []
        self.addCleanup(idle.close)
        self.addCleanup(busy.close)
        thread = threading.Thread(target=lambda: result.append(busy.execute("SELECT count(*) FROM generate_series(1, 30000000)").fetchone()))
        thread.start()
        time.sleep(0.3)
        self.stack.signal("gatehouse", signal.SIGTERM)
        stack.wait_until("new sessions are refused", self.is_refused)
        thread.join(60)
        self.assertEqual(result, [(30000000,)])  # what ran could end
        stack.wait_until("the daemon is gone", lambda: not self.stack.runs("gatehouse"), 30)
        with self.assertRaises(psycopg.Error):
            idle.execute("SELECT 1")

    def is_refused(self):
        try:
            self.stack.psycopg().close()
            return False
        except psycopg.OperationalError:
            return True


class Limits(Daemon):
    @staticmethod
    def config(text):
        assert "\nlimits:" not in text
        return text + "\nlimits: { sessions: 8, sessions_per_principal: 3 }\n"

    def test_sessions(self):
        mine = []
        with self.assertRaises(psycopg.OperationalError) as caught:
            for _ in range(9):
                mine.append(self.stack.psycopg())
        self.assertEqual(len(mine), 3)
        self.assertIn("too many", str(caught.exception))
        others = []
        with self.assertRaises(psycopg.OperationalError) as caught:
            for who in ("agent", "analyst", "dba", "agent", "analyst", "dba"):
                others.append(self.stack.psycopg(who))
        self.assertEqual(len(others), 5)
        self.assertIn("too many", str(caught.exception))
        for conn in mine + others:
            conn.close()
        stack.wait_until("places are free again", lambda: not self.full())

    def full(self):
        try:
            self.stack.psycopg().close()
            return False
        except psycopg.OperationalError:
            return True


class Away(Daemon):
    def test_redis(self):
        self.stack.scratch("CREATE TABLE scratch.t (id integer)")
        with self.stack.psycopg(autocommit=True) as conn:
            conn.execute("INSERT INTO scratch.t VALUES (1)")
            self.stack.kill("redis")
            self.refused(conn, "INSERT INTO scratch.t VALUES (2)", "57P03")
            self.refused(conn, "INSERT INTO scratch.t VALUES (%s)", "57P03", params=[3])
            self.stack.start("redis")
            stack.wait_until("statements run again", lambda: self.runs(conn, "INSERT INTO scratch.t VALUES (4)"))
        self.assertEqual(self.stack.direct("SELECT id FROM scratch.t ORDER BY id"), [(1,), (4,)])

    def test_hanging_redis(self):
        with self.stack.psycopg(autocommit=True) as conn:
            conn.execute("SELECT 1")
            self.stack.signal("redis", signal.SIGSTOP)
            try:
                self.refused(conn, "SELECT 2", "57P03")
            finally:
                self.stack.signal("redis", signal.SIGCONT)
            stack.wait_until("statements run again", lambda: self.runs(conn, "SELECT 3"))

    @staticmethod
    def runs(conn, sql):
        try:
            conn.execute(sql)
            return True
        except psycopg.errors.CannotConnectNow:
            return False

    def test_postgresql(self):
        lost = self.stack.psycopg(autocommit=True)
        self.addCleanup(lost.close)
        lost.execute("SELECT 1")
        unopened = self.stack.psycopg(autocommit=True)
        self.addCleanup(unopened.close)
        self.stack.stop("postgresql", "INT")
        with self.assertRaises(psycopg.OperationalError):
            lost.execute("SELECT 2")
        # A session without a connection of its own yet stays, and goes on when the database is back.
        with self.assertRaises(psycopg.OperationalError) as caught:
            unopened.execute("SELECT 3")
        self.assertEqual(caught.exception.sqlstate[:2], "08")
        self.stack.start("postgresql")
        self.assertEqual(unopened.execute("SELECT 4").fetchone(), (4,))

    def test_upstream_password_is_wrong_and_shown_to_nobody(self):
        with self.stack.psycopg(autocommit=True) as conn:
            conn.execute("SELECT 1")  # from now on a login needs no connection to the database
        self.stack.direct("ALTER ROLE shop_owner PASSWORD 'changed behind the gate'")
        with open(os.path.join(self.stack.dir, "etc", "shop.password")) as f:
            password = f.read().strip()
        with self.stack.psycopg(autocommit=True) as conn:
            with self.assertRaises(psycopg.OperationalError) as caught:
                conn.execute("SELECT 1")
        self.assertEqual(caught.exception.sqlstate[:2], "08")
        said = str(caught.exception) + self.stack.log("gatehouse") + self.stack.log("haproxy") + self.stack.log("redis")
        said += str(self.stack.audit()) + str(self.stack.stream("gatehouse:sessions")) + str(self.stack.stream("gatehouse:auth"))
        self.assertNotIn(password, said)
        self.assertNotIn("shop_owner", str(caught.exception))
        self.assertEqual(re.findall(r"eyJ[A-Za-z0-9_-]{20,}", said), [])  # nor any token


if __name__ == "__main__":
    unittest.main()
