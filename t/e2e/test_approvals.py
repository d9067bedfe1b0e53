"""Rules that ask: a statement runs once after people have agreed, and never otherwise, whoever races, dies, forges or changes his mind."""
import base64
import datetime
import json
import os
import random
import re
import subprocess
import threading
import time
import unittest

import psycopg
from psycopg import pq

import stack
import test_daemon
from pgraw import FLUSH, SYNC, RawClient, bind, execute, parse

RULES = """
  - name: askers-read
    groups: [askers, waiters, quick, plain]
    database: shop
    allow: select
    on: scratch.*
  - name: askers-insert
    groups: askers
    database: shop
    ask: insert
    on: scratch.t
    approvers: dbas
  - name: askers-may
    groups: askers
    database: shop
    allow: select
    on: public.picks
    functions: scratch.make
  - name: plain-write
    groups: plain
    database: shop
    ask: [insert, update]
    on: scratch.t
    approvers: dbas
  - name: askers-own
    groups: askers
    database: shop
    allow: insert
    on: scratch.mine
  - name: askers-delete
    groups: askers
    database: shop
    ask: delete
    on: scratch.t
    approvers: dbas
    quorum: 2
    require: where
    justification: required
  - name: veiled-read
    groups: veiled
    database: shop
    allow: select
    on: scratch.t
    columns: { n: visible, s: hidden }
  - name: veiled-delete
    groups: veiled
    database: shop
    ask: [delete, select]
    on: scratch.t
    columns: { n: visible, s: hidden }
    approvers: dbas
  - name: waiters-insert
    groups: waiters
    database: shop
    ask: insert
    on: scratch.t
    approvers: dbas
    mode: wait 20s
  - name: waiters-write
    groups: waiters
    database: shop
    allow: insert
    on: scratch.mine
  - name: quick-insert
    groups: quick
    database: shop
    ask: insert
    on: scratch.t
    approvers: dbas
    expires: 2s
    window: 2s
  - name: bosses-all
    groups: bosses
    database: shop
    allow: all
    on: "*.*"
  - name: bosses-drop
    groups: bosses
    database: shop
    ask: [drop, truncate]
    on: "*.*"
    approvers: dbas
  - name: ask-only-update
    groups: ask-only
    database: shop
    ask: update
    on: scratch.mine
    approvers: [dbas, leads]
  - name: ask-only-twice
    groups: ask-only
    database: shop
    ask: update
    on: scratch.mine
    approvers: leads
    quorum: 2
"""
OK, FAILED, USAGE, REFUSED, UNKNOWN, OVER = range(6)  # of gatehousectl
ROUNDS = int(os.environ.get("GH_ROUNDS", 100))  # of each race


class Approvals(test_daemon.Daemon):
    @classmethod
    def setUpClass(cls):
        cls.shared = stack.Stack(policy=stack.own_policy() + RULES)
        cls.addClassCleanup(cls.shared.close)
        for who, group in (("asker2", "askers"), ("waiter", "waiters"), ("quick", "quick"), ("boss", "bosses"), ("plain", "plain")):
            cls.shared._minted[who] = cls.shared.mint(f"{who}@shop.example", [group])

    def setUp(self):
        self.stack = self.shared
        if not hasattr(type(self), "ready"):
            self.reload("reload")
            type(self).ready = True
        self.stack.scratch("CREATE TABLE scratch.t (n int, s text); CREATE TABLE scratch.mine (n int)")
        name = self._testMethodName.replace("_", "-")  # requests are bounded for each principal
        self.principal = f"{name}@shop.example"
        for who, group in (("asker", "askers"), ("asker-as-dba", "dbas")):
            self.stack._minted[who] = self.stack.mint(self.principal, [group])

    # --- what a test does ---

    def ctl(self, *args, token=None):
        done = subprocess.run([self.stack.env["GH_CTL"], *args], input=None if token is None else self.stack.token(token), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=None if token is not None else subprocess.DEVNULL)
        return done

    def pending(self):
        done = self.ctl("approvals", "--json")
        self.assertEqual(done.returncode, OK, done.stderr)
        return json.loads(done.stdout)

    def decide(self, verb, ident, who="dba", reason="because", want=OK):
        args = [verb, ident, "--token-file", "-"] + (["--reason", reason] if reason else [])
        done = self.ctl(*args, token=who)
        self.assertEqual(done.returncode, want, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def approve(self, ident, who="dba", want=OK):
        return self.decide("approve", ident, who, None, want)

    def connect(self, who="asker", **more):
        conn = self.stack.psycopg(who, autocommit=True, prepare_threshold=None, **more)
        self.addCleanup(conn.close)
        return conn

    def asked(self, conn, sql, params=None, **more):
        """Runs what must be asked about; gives the request's id."""
        with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            conn.execute(sql, params, **more)
        self.assertRegex(str(caught.exception), "needs approval: it waits for a decision on request")
        return str(caught.exception).split("decision on request ")[1].split()[0]

    def test_the_hint_can_be_run(self):
        with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            self.connect().execute("INSERT INTO scratch.t VALUES (9, 'hint')")
        command = caught.exception.diag.message_hint.split("decides with: ")[1].split()
        self.assertEqual((command[:2], command[3:]), (["gatehousectl", "approve"], ["--token-file", "FILE"]))
        done = self.ctl(*command[1:4], "-", token="dba")
        self.assertEqual(done.returncode, OK, done.stderr)

    def rows(self, table="t"):
        return self.stack.direct(f"SELECT count(*) FROM scratch.{table}")[0][0]

    def events(self, ident):
        return [e["type"] for e in stack.wait_until("the request's stream", lambda: self.stack.stream("gatehouse:approval:" + ident))]

    # --- the life of a request ---

    def test_once(self):
        conn = self.connect()
        sql = "/* reason: a test */ INSERT INTO scratch.t VALUES (1, 'once')"
        ident = self.asked(conn, sql)
        self.assertEqual(self.asked(conn, sql), ident)
        self.assertEqual(self.asked(self.connect(), sql), ident)
        mine = [r for r in self.pending() if r["id"] == ident]
        self.assertEqual(len(mine), 1)
        self.assertEqual({k: mine[0][k] for k in ("principal", "database", "sql", "status", "rule", "reason", "relations", "statements")},
                         {"principal": self.principal, "database": "shop", "sql": sql, "status": "pending", "rule": "askers-insert",
                          "reason": "a test", "relations": "scratch.t:insert", "statements": "insert"})
        self.assertRegex(mine[0]["expires"], r"^20\d\d-\d\d-\d\dT")
        self.assertIn("approved", self.approve(ident))
        self.assertEqual(self.rows(), 0)
        self.assertEqual(conn.execute(sql).rowcount, 1)
        self.assertEqual(self.rows(), 1)
        again = self.asked(conn, sql)
        self.assertNotEqual(again, ident)
        self.assertEqual(self.rows(), 1)
        self.approve(ident, "dba2", want=OVER)
        stack.wait_until("the use is recorded", lambda: "approval.used" in self.events(ident))
        self.assertEqual(self.events(ident), ["approval.request", "approval.decision", "approval.used"])
        records = [e for e in self.stack.audit() if e.get("sql") == sql and e["type"] == "statement"]
        self.assertEqual(sorted(e["verdict"] for e in records if e.get("approval") == ident), ["allow"] + ["ask"] * 3)
        used = next(e for e in records if e["verdict"] == "allow")
        self.assertEqual((used["approved_by"], used["rule"]), ("dba@shop.example", "askers-insert"))
        shown = json.loads(self.ctl("approvals", "show", again, "--json").stdout)
        self.assertEqual(shown["earlier"][0]["decisions"][0]["approver"], "dba@shop.example")
        self.assertEqual(shown["sql_exact"], sql)

    def test_estimated_rows(self):
        """By the planner, of what would run; it is not run for that, and what may run code is not shown to it."""
        self.stack.direct("INSERT INTO scratch.t SELECT g, 'x' FROM generate_series(1, 5000) g; ANALYZE scratch.t; CREATE FUNCTION scratch.f() RETURNS int "
                          "IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RAISE LOG ''planned c4n4ry''; RETURN 1; END'")
        conn = self.connect()
        for sql, least, most in (("INSERT INTO scratch.t SELECT n, s FROM scratch.t", 4000, 6000), ("/* reason: x */ DELETE FROM scratch.t WHERE n <= 50", 30, 80)):
            ident = self.asked(conn, sql)
            shown = stack.wait_until("an estimate", lambda: (lambda r: r if "estimated_rows" in r else None)(self.get(f"/approvals/{ident}")))
            self.assertTrue(least <= shown["estimated_rows"] <= most, shown["estimated_rows"])
            self.assertIn(f"about {shown['estimated_rows']}, by the database's planner", self.ctl("approvals", "show", ident).stdout)
        ident = self.asked(conn, "INSERT INTO scratch.t VALUES (1, 'one')")
        stack.wait_until("an estimate", lambda: self.get(f"/approvals/{ident}").get("estimated_rows") == 1)
        boss = self.connect("boss")
        self.asked(boss, "SELECT scratch.f()")
        time.sleep(0.5)
        self.assertNotIn("LOG:  planned c4n4ry", self.stack.log("postgresql"))
        self.assertEqual(self.rows(), 5000)
        self.approve(ident)
        self.assertEqual(conn.execute("INSERT INTO scratch.t VALUES (1, 'one')").rowcount, 1)

    def test_every_byte_counts(self):
        conn = self.connect()
        base = "INSERT INTO scratch.t VALUES (1, 'x')"
        ids = [self.asked(conn, sql) for sql in (base, base + " ", base + ";", base.lower(), base.replace("(1", "( 1"), base + " -- harmless",
                                                 "/* a */" + base)]
        ids.append(self.asked(self.connect("asker2"), base))
        ids.append(self.asked(self.connect(options="-c DateStyle=German"), base))
        insert = b"INSERT INTO scratch.t VALUES ($1, $2)"
        one = (b"1", b"x")
        ids += [self.raw(conn, insert, *v) for v in ((one,), ((b"2", b"x"),), ((b"1", None),), ((b"1", b""),), (one, [23, 25]), (one, [23, 1043]),
                                                     ((b"\0\0\0\x01", b"x"), [23, 25], [1, 0]), (one, [23, 25], [0, 1]))]
        self.assertEqual(len(set(ids)), len(ids))
        self.assertEqual(self.raw(conn, insert, one), ids[9])
        self.approve(ids[9])
        self.raw(conn, insert, (b"2", b"x"))
        self.assertEqual(self.rows(), 0)
        self.assertIsNone(self.raw(self.connect(), insert, one))
        self.assertEqual(self.rows(), 1)
        self.assertIsNotNone(self.raw(conn, insert, one))

    def test_groups_count(self):
        """By groups and claims the database, its role and the rules' filters make something else of the same text."""
        groups = (["askers"], ["askers", "veiled"], ["veiled", "askers"], ["askers", "nobodies"])
        ids = []
        for n, some in enumerate(groups):
            self.stack._minted[f"grouped{n}"] = self.stack.mint(self.principal, some)
            ids.append(self.asked(self.connect(f"grouped{n}"), "INSERT INTO scratch.t (n) VALUES (7)"))
        self.assertEqual(ids[1], ids[2])  # in any order
        self.assertEqual(len(set(ids)), 3)
        self.approve(ids[1])
        self.asked(self.connect("grouped0"), "INSERT INTO scratch.t (n) VALUES (7)")
        self.assertEqual(self.rows(), 0)
        self.assertEqual(self.connect("grouped2").execute("INSERT INTO scratch.t (n) VALUES (7)").rowcount, 1)

    def raw(self, conn, sql, params, types=None, formats=None):
        """Parse, Bind, Execute; the request's id, or None when it ran."""
        result = conn.pgconn.exec_params(sql, params, types, formats)
        if result.status == pq.ExecStatus.COMMAND_OK:
            return None
        self.assertEqual(result.error_field(pq.DiagnosticField.SQLSTATE), b"42501")
        return result.error_message.decode().split("decision on request ")[1].split()[0]

    def test_prepared_by_the_driver(self):
        """A text that is asked about can be prepared; each execution is asked about, with its parameters."""
        conn = self.connect()
        conn.pgconn.prepare(b"p", b"INSERT INTO scratch.t VALUES ($1, 'p')")

        def run(n):
            return conn.pgconn.exec_prepared(b"p", [n])
        first = run(b"1").error_message.decode()
        self.assertIn("needs approval", first)
        ident = first.split("decision on request ")[1].split()[0]
        self.approve(ident)
        self.assertIn("needs approval", run(b"2").error_message.decode())
        self.assertEqual(run(b"1").status, pq.ExecStatus.COMMAND_OK)
        self.assertIn("needs approval", run(b"1").error_message.decode())
        self.assertEqual(self.rows(), 1)
        for sql in ("PREPARE q AS INSERT INTO scratch.t VALUES (1, 'q')", "COPY scratch.t FROM STDIN"):
            with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "needs approval and cannot get it"):
                conn.execute(sql)

    def test_time_of_preparing(self):
        """'now' in a constant is when the server read the text, which may be long ago when somebody agrees to it."""
        conn = self.connect("quick")
        old, plain = b"INSERT INTO scratch.t SELECT n, s FROM scratch.t WHERE 'now'::timestamptz > '2026-01-01'", b"INSERT INTO scratch.t VALUES (1, 'plain')"
        conn.pgconn.prepare(b"old", old)
        conn.pgconn.prepare(b"plain", plain)
        time.sleep(3)  # its window is 2s
        self.assertIn("the time at which it was prepared", conn.pgconn.exec_prepared(b"old", []).error_message.decode())
        conn.execute("DEALLOCATE old")
        conn.pgconn.prepare(b"old", old)
        for name in (b"old", b"plain"):
            self.assertIn("needs approval: it waits", conn.pgconn.exec_prepared(name, []).error_message.decode())

    def test_old_transaction(self):
        """now() is when the transaction began, and so is what a snapshot shows."""
        conn = self.connect("quick")
        sql = "INSERT INTO scratch.t SELECT 1, 'x' WHERE now() < '2999-01-01'"
        for begin in (b"BEGIN", b"BEGIN ISOLATION LEVEL REPEATABLE READ"):
            conn.pgconn.exec_(begin)
            time.sleep(3)
            with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "the transaction began longer ago"):
                conn.execute(sql)
            conn.pgconn.exec_(b"ROLLBACK")
            conn.pgconn.exec_(begin)
            self.asked(conn, sql)
            conn.pgconn.exec_(b"ROLLBACK")
        time.sleep(3)
        self.asked(conn, sql)
        raw = RawClient.gate(self.stack, "quick@shop.example", token=self.stack.token("quick"))
        self.addCleanup(raw.close)
        raw.send(parse("", sql) + bind("", "") + FLUSH)  # outside of a block
        raw.until("2")
        time.sleep(3)
        answers = raw.run(execute("") + SYNC)
        self.assertIn(b"the transaction began longer ago", b"".join(body for kind, body in answers if kind == "E"))
        answers = raw.run(parse("", sql) + bind("", "") + execute("") + SYNC)
        self.assertIn(b"needs approval: it waits", b"".join(body for kind, body in answers if kind == "E"))

    def test_prepared_by_the_driver_and_executed_by_name(self):
        """SQL's EXECUTE of what may be prepared and not run: its text has other values than anybody agrees to."""
        conn, boss = self.connect(), self.connect("boss")
        conn.pgconn.prepare(b"p", b"INSERT INTO scratch.t VALUES ($1, 'p')")
        conn.pgconn.prepare(b"q", b"INSERT INTO scratch.t VALUES (1, 'q')")
        conn.pgconn.prepare(b"again", b"EXECUTE q")
        conn.pgconn.prepare(b"r", b"SELECT count(*) FROM scratch.t WHERE n = $1")
        ident = conn.pgconn.exec_prepared(b"q", []).error_message.decode().split("decision on request ")[1].split()[0]
        self.approve(ident)  # for that, and not for EXECUTE
        for sql in ("EXECUTE p(1)", "EXECUTE q", 'EXECUTE "q"', "SELECT 1; EXECUTE q", "BEGIN; EXECUTE q; COMMIT", "EXPLAIN ANALYZE EXECUTE q"):
            with self.subTest(sql), self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "the statement behind this EXECUTE needs approval"):
                conn.execute(sql)
            conn.execute("ROLLBACK")
        for name in (b"again", b""):
            if name == b"":
                conn.pgconn.prepare(b"", b"EXECUTE p(2)")
            self.assertIn("needs approval", conn.pgconn.exec_prepared(name, []).error_message.decode())
        with self.assertRaises(psycopg.errors.FeatureNotSupported):
            conn.execute("EXECUTE again")
        self.assertEqual(self.rows(), 0)
        self.assertEqual(conn.pgconn.exec_prepared(b"q", []).status, pq.ExecStatus.COMMAND_OK)
        self.assertEqual(conn.execute("EXECUTE r(1)").fetchall(), [(1,)])  # which nobody asks about
        self.assertIn("SELECT count(*) FROM scratch.t WHERE n = $1", [e.get("sql") for e in self.stack.audit() if e.get("kind") == "execute"])
        for text in (b"DROP TABLE scratch.t", b"TRUNCATE scratch.t", b"COPY scratch.t FROM STDIN", b"SET DateStyle = 'German'", b"DEALLOCATE ALL", b"COMMIT"):
            boss.pgconn.prepare(b"u", text)
            with self.subTest(text), self.assertRaises((psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)):
                boss.execute("EXECUTE u")
            boss.pgconn.exec_(b"DEALLOCATE u")
        self.assertEqual(self.rows(), 1)

    def test_denied(self):
        conn = self.connect()
        sql = "INSERT INTO scratch.t VALUES (2, 'denied')"
        ident = self.asked(conn, sql)
        self.decide("deny", ident, reason="not on a Friday")
        with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "denied by dba@shop.example: not on a Friday"):
            conn.execute(sql)
        self.approve(ident, "dba2", want=OVER)
        self.assertEqual(self.rows(), 0)

    def test_who_may_decide(self):
        conn = self.connect()
        ident = self.asked(conn, "INSERT INTO scratch.t VALUES (3, 'who')")
        self.assertIn("of your own", self.approve(ident, "asker-as-dba", want=REFUSED))
        self.assertIn("none of your groups", self.approve(ident, "analyst", want=REFUSED))
        self.assertIn("no such request", self.approve("0123456789abcdef", want=UNKNOWN))
        self.assertEqual(self.ctl("deny", ident, "--token-file", "-", token="dba").returncode, USAGE)
        self.assertEqual(self.ctl("approve", "../status", "--token-file", "-", token="dba").returncode, USAGE)
        self.stack._minted["forged"] = self.stack.token("dba")[:-4] + "AAAA"
        self.stack._minted["old"] = self.stack.mint("dba@shop.example", ["dbas"], "--ttl", "1s")
        self.assertIn("not accepted", self.approve(ident, "forged", want=REFUSED))
        stack.wait_until("the token is too old", lambda: self.ctl("approve", ident, "--token-file", "-", token="old").returncode == REFUSED
                         if time.sleep(2) is None else False)
        refused = stack.wait_until("refused decisions are recorded",
                                   lambda: [e for e in self.stack.stream("gatehouse:auth") if e["type"] == "decision.refused"])
        self.assertEqual({e["principal"] for e in refused} - {"dba@shop.example", "dba2@shop.example"}, {self.principal, "analyst@shop.example"})
        self.assertEqual(self.rows(), 0)

    def test_quorum_reason_where(self):
        self.stack.direct("INSERT INTO scratch.t VALUES (1, 'a'), (2, 'b')")
        conn = self.connect()
        with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "a reason must be given"):
            conn.execute("DELETE FROM scratch.t WHERE n = 1")
        with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "only with a WHERE"):
            conn.execute("/* reason: all */ DELETE FROM scratch.t")
        sql = "/* reason: it is a duplicate */ DELETE FROM scratch.t WHERE n = 1"
        ident = self.asked(conn, sql)
        self.assertIn("more are needed", self.approve(ident))
        self.approve(ident, want=OVER)
        with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "approved so far by dba@shop.example"):
            conn.execute(sql)
        self.approve(ident, "dba2")
        self.assertEqual(conn.execute(sql).rowcount, 1)
        self.assertEqual(self.rows(), 1)

    def test_reason_of_the_session(self):
        """SET gatehouse.reason, in every protocol, is the session's; the server never sees it."""
        sql = "DELETE FROM scratch.t WHERE n = 1"
        for n, more in enumerate(({}, {"prepare": True}, {"binary": True, "prepare": True})):
            conn = self.connect()
            with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "a reason must be given"):
                conn.execute(sql)
            self.assertEqual(conn.execute(f"SET gatehouse.reason = 'said-{n} before'", **more).statusmessage, "SET")
            ident = self.asked(conn, sql + " " * n)
            self.assertEqual(next(r for r in self.pending() if r["id"] == ident)["reason"], f"said-{n} before")
            conn.execute("BEGIN")
            conn.execute("SET gatehouse.reason TO ''", **more)
            with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "a reason must be given"):
                conn.execute(sql)
            with self.assertRaises(psycopg.errors.InFailedSqlTransaction):  # the transaction's state is the server's own
                conn.execute("SET gatehouse.reason = 'x'", **more)
            conn.execute("ROLLBACK")
            for text in ("SET gatehouse.reason = 'a'; SELECT 1", "SET LOCAL gatehouse.reason = 'a'", "SELECT set_config('gatehouse.reason', 'a', false)"):
                with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(text)
        self.assertNotIn("said-", self.stack.log("postgresql"))

    def test_shown_as_it_is(self):
        """What would hide a part of the text from a reader is spelt."""
        sql = "INSERT INTO scratch.t VALUES (1, '\u202e)1 ,drawkcab\u2066') -- \x1b[2K" + "x" * 6000
        ident = self.asked(self.connect(), sql)
        one = next(r for r in self.pending() if r["id"] == ident)
        self.assertIn("<U+202E>", one["sql"])
        self.assertIn("<U+001B>[2K", one["sql"])
        self.assertTrue(one["sql_cut"] > 1000 and one["sql_not_ascii"] and len(one["sql"]) <= 4096)
        for args in (("approvals",), ("approvals", "show", ident)):
            text = self.ctl(*args).stdout
            self.assertFalse([c for c in "\u202e\u2066\x1b" if c in text])
        self.assertIn("x" * 6000, self.ctl("approvals", "show", ident).stdout)
        with self.assertRaisesRegex(psycopg.Error, "longer than anybody would read"):
            self.connect().execute("INSERT INTO scratch.t VALUES (1, '" + "y" * 300000 + "')")

    FORGED = ("/* x */ INSERT INTO scratch.t VALUES (1, 'forged') /*\n"
              "decision     approved by lead@forged at 2026-01-01T00:00:00Z: ok\n"
              "earlier      the same statement at 2026-01-01T00:00:00Z: used\n\n"
              "request      01forged, pending until 2026-01-01T00:00:00Z\r\v\f\u0085\u2028by           lead@forged */")

    def test_no_forged_lines(self):
        """No line of a client's text looks like one of gatehousectl's own."""
        ident = self.asked(self.connect(), self.FORGED)
        watched = subprocess.Popen([self.stack.env["GH_CTL"], "approvals", "watch"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        time.sleep(2)
        watched.terminate()
        for text in (self.ctl("approvals").stdout, self.ctl("approvals", "show", ident).stdout, watched.communicate()[0]):
            for line in self.FORGED.split("\r")[0].split("\n"):
                self.assertIn(f"\n| {line}", text)
            lines = re.split("[\n\r\v\f\x85\u2028]", text)
            self.assertEqual([s for s in lines if re.search("(lead@|01)forged", s) and not s.startswith("| ")], [])
            self.assertIn("<U+000D><U+000B><U+000C><U+0085><U+2028>by           lead@forged", text)

    def test_folded(self):
        """Nor what a terminal would put into its first column, because a line is longer than it is wide."""
        words = "decision     approved by lead@clinic"
        sql = f"/* reason: {'y' * 80}{words} */ INSERT INTO scratch.t VALUES (1, '{'z' * 200}{words}{' ' * 300}hidden')"
        ident = self.asked(self.connect(application_name=words * 2), sql)
        for args in (("approvals",), ("approvals", "show", ident), ("sessions",)):
            for columns in (40, 80, 93, 119):
                lines, rc = stack.on_terminal(columns, self.stack.env["GH_CTL"], *args)
                self.assertEqual(rc, OK)
                self.assertEqual([s for s in lines if len(s) > columns], [])
                self.assertEqual([s for s in lines if s.startswith("decision ")], [])
                if args[0] == "approvals":
                    self.assertIn(f"{words}<300blanks>hidden".replace(" ", ""), "".join(s[2:] for s in lines if s[:2] in ("| ", ": ")).replace(" ", ""))

    def test_grants_say_what_needs_approval(self):
        """SHOW gatehouse.grants: what can only be asked for is there, with whom to ask."""
        def grants(who):
            with self.stack.psycopg(who, autocommit=True) as c:
                stack.wait_until("the catalog has it", lambda: "scratch" in str(c.execute("SHOW gatehouse.grants").fetchall()))
                cur = c.execute("SHOW gatehouse.grants")
                return {(r["relation"], r["column"]): r for r in (dict(zip([d.name for d in cur.description], row)) for row in cur)}
        t = grants("asker")["t", "*"]
        self.assertEqual((t["actions"], t["rule"]), ("select, insert, delete", "askers-read, askers-insert, askers-delete"))
        self.assertEqual(t["approval"], "insert: 1 of dbas; delete: 2 of dbas")
        mine = grants("asker")["mine", "*"]
        self.assertEqual((mine["actions"], mine["rule"], mine["approval"]), ("select, insert", "askers-read, askers-own", "no"))
        self.stack._minted["veiled-asker"] = self.stack.mint("v@shop.example", ["veiled"])
        veiled = grants("veiled-asker")
        self.assertEqual((veiled["t", "n"]["approval"], veiled["t", "n"]["actions"]), ("select: 1 of dbas; delete: 1 of dbas", "select, delete"))
        self.assertEqual((veiled["t", "s"]["shown"], veiled["t", "s"]["rule"]), ("hidden", "veiled-read"))
        self.assertEqual({r["approval"] for r in grants("boss").values()}, {"no"})  # dropping is no such action
        self.stack._minted["ask-only"] = self.stack.mint("o@shop.example", ["ask-only"])
        self.assertEqual([(k, r["actions"], r["approval"], r["rule"]) for k, r in grants("ask-only").items()],
                         [(("mine", "*"), "update", "update: 2 of leads and 1 of dbas, leads", "ask-only-twice, ask-only-update")])

    # --- atomic, like any refusal ---

    def test_transactions_and_pipelines(self):
        conn = self.connect()
        for sql in ("INSERT INTO scratch.t VALUES (5, 'atomic')", "INSERT INTO scratch.t VALUES (5, 'atomic') RETURNING n"):
            conn.execute("BEGIN")
            conn.execute("INSERT INTO scratch.mine VALUES (1)")
            self.asked(conn, sql)
            self.assertEqual(conn.execute("COMMIT").statusmessage, "ROLLBACK")
            with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f"INSERT INTO scratch.mine VALUES (2); {sql}; INSERT INTO scratch.mine VALUES (3)")
            with self.assertRaises(psycopg.errors.InsufficientPrivilege), conn.pipeline():
                conn.execute("INSERT INTO scratch.mine VALUES (4)")
                conn.execute(sql)
                conn.execute("INSERT INTO scratch.mine VALUES (5)")
            self.assertEqual((self.rows(), self.rows("mine")), (0, 0))
        sql = "INSERT INTO scratch.t VALUES (5, 'atomic')"
        self.approve(self.asked(conn, sql))
        with conn.transaction():
            conn.execute("INSERT INTO scratch.mine VALUES (6)")
            conn.execute(sql)
        self.assertEqual((self.rows(), self.rows("mine")), (1, 1))

    # --- the session may not make the text mean something else ---

    def test_settings(self):
        sql = "INSERT INTO scratch.t VALUES (6, 'x')"
        conn = self.connect()
        conn.execute("SET statement_timeout = '1min'")
        conn.execute("SET extra_float_digits = 3")  # as pgjdbc does; 1, 2 and 3 are the same
        self.approve(self.asked(conn, sql))
        conn.execute("SET DateStyle = 'German'")
        conn.execute("RESET DateStyle")
        with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "has changed the setting datestyle"):
            conn.execute(sql)
        conn = self.connect()
        conn.execute("SELECT set_config('TimeZone', 'Asia/Tokyo', false)")
        with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "has changed the setting timezone"):
            conn.execute(sql)
        self.assertEqual(self.rows(), 0)
        self.assertEqual(self.connect().execute(sql).rowcount, 1)

    def test_settings_that_choose_values_and_rows(self):
        """extra_float_digits changes a float's text, enable_* and work_mem choose rows under LIMIT, a seed chooses random()'s."""
        sql = "INSERT INTO scratch.t SELECT n, 'x' FROM scratch.t WHERE n = length((1::float8 / 3)::text) LIMIT 1"
        self.approve(self.asked(self.connect(), sql))
        for change, name in (("SET extra_float_digits = -10", "extra_float_digits"), ("SET enable_seqscan = off", "enable_seqscan"),
                             ("SET work_mem = '1MB'", "work_mem"), ("SELECT setseed(0.25)", "seed"), ("SET seed = 0.25", "seed"),
                             ("SELECT set_config('extra_float_digits', '0', false)", "extra_float_digits"),
                             ("BEGIN; SET LOCAL bytea_output = 'escape'; COMMIT", "bytea_output")):
            conn = self.connect()
            conn.execute(change)
            with self.subTest(change), self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "has changed the setting " + name):
                conn.execute(sql)
        low = self.connect(options="-c extra_float_digits=-10")
        self.asked(low, sql)  # another request
        low.execute("SET extra_float_digits = 3")
        with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "has changed the setting extra_float_digits"):
            low.execute(sql)
        self.assertEqual(self.connect().execute(sql).rowcount, 0)

    def unaskable(self, conn, sql, why, *params, **how):
        with self.subTest(sql), self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            conn.execute(sql, *params, **how)
        self.assertRegex(str(caught.exception), "needs approval and cannot get it: .*" + why)
        self.assertTrue(caught.exception.diag.message_hint)

    def test_what_only_the_session_knows(self):
        """What is approved means the same in whatever session it runs: a text that reads the session's state is not asked about."""
        conn = self.connect("plain")
        insert = "INSERT INTO scratch.t VALUES (%s, 'state')"
        for value, why in (("current_setting('application_name')::int", "the setting application_name"), ("pg_backend_pid()", "pg_backend_pid"),
                           ("lastval()", "lastval"), ("txid_current()", "txid_current"), ("inet_client_port()", "inet_client_port"),
                           ("length(current_setting('gatehouse.session'))", "gatehouse.session"), ("array_length(current_schemas(true), 1)", "current_schemas")):
            for more in ({}, {"prepare": True}):
                self.unaskable(conn, insert % value, why, **more)
        self.stack.direct("INSERT INTO scratch.t VALUES (1, 'a'), (4, 'd')")
        conn.execute("BEGIN")
        conn.execute("DECLARE c CURSOR FOR SELECT n FROM scratch.t ORDER BY n")
        conn.execute("FETCH 2 FROM c")
        self.unaskable(conn, "UPDATE scratch.t SET s = 'cur' WHERE CURRENT OF c", "the cursor c")
        conn.execute("ROLLBACK")
        with self.assertRaises(psycopg.errors.InvalidCursorName):  # nobody has made it
            self.connect("boss").execute("TRUNCATE scratch.t; FETCH 1 FROM c")
        self.asked(conn, insert % "length(current_setting('gatehouse.principal')) + (random() * 4)::int")
        self.assertEqual(self.stack.direct("SELECT s FROM scratch.t ORDER BY n"), [("a",), ("d",)])
        self.assertEqual([r["sql"] for r in self.pending() if r["principal"] == "plain@shop.example" and "gatehouse.principal" not in r["sql"]], [])

    def test_temporary_tables_take_names(self):
        """picks is public.picks to who agrees, and the session's own table where it runs."""
        self.stack._minted["boss-own"] = self.stack.mint(self.principal, ["bosses", "askers"])
        self.stack.direct("CREATE TABLE IF NOT EXISTS public.picks (id int); INSERT INTO scratch.t VALUES (1, 'a'), (3, 'c'); GRANT SELECT ON public.picks TO PUBLIC")
        self.addCleanup(self.stack.direct, "DROP TABLE public.picks")
        sql = "INSERT INTO scratch.t SELECT id, 'picked' FROM picks"
        clean = self.connect("boss-own")
        self.approve(self.asked(clean, sql))
        for make in ("CREATE TEMP TABLE picks AS SELECT 3 AS id", "SELECT 3 AS id INTO TEMP picks", "CREATE TEMP VIEW picks AS SELECT 3 AS id",
                     "BEGIN; CREATE TABLE pg_temp.picks (id int); COMMIT"):
            conn = self.connect("boss-own")
            conn.execute(make)
            self.unaskable(conn, sql, "temporary objects")
        self.stack.direct("CREATE FUNCTION scratch.make() RETURNS void LANGUAGE plpgsql AS 'BEGIN CREATE TEMP TABLE picks AS SELECT 3 AS id; END'")
        conn = self.connect()
        conn.execute("SELECT scratch.make()")
        self.unaskable(conn, sql, "the relation picks without a schema")
        self.unaskable(conn, "INSERT INTO scratch.t SELECT n, 'x'::text FROM scratch.t", "the type text without a schema")
        self.asked(conn, "INSERT INTO scratch.t SELECT n, 'x'::pg_catalog.text FROM scratch.t")
        self.assertEqual(clean.execute(sql).rowcount, 0)  # of public.picks, which is empty
        self.assertEqual(self.rows(), 2)

    def test_what_code_may_read_counts(self):
        """A DO block may read any setting: what the session has set, and began with, belongs to what is approved."""
        sql = "DO $$ BEGIN PERFORM current_setting('application_name'); END $$"
        ids = []
        for name, sets in (("one", ()), ("one", ()), ("two", ()), ("one", ("SET application_name = 'two'",)), ("one", ("SET lock_timeout = 0",))):
            conn = self.connect("boss", application_name=name)
            for s in sets:
                conn.execute(s)
            ids.append(self.asked(conn, sql))
        self.assertEqual(ids[0], ids[1])
        self.assertEqual(len(set(ids)), 4)

    def test_what_is_masked_is_not_asked_about(self):
        """A literal of a token's shape is shown to nobody, and may be a part of what the statement does."""
        def part(data):
            return base64.urlsafe_b64encode(data).decode().rstrip("=")
        header, hidden = part(b'{"typ":"JWT","alg":"RS256","kid":"1"}'), b"{5,6,7,8,9}".hex()
        encrypted = part(b'{"alg":"dir","enc":"A256GCM"}')
        conn = self.connect()
        before = len(self.pending())
        for token in (f"{header}.{part(b'{}')}.{hidden}{'A' * 43}", f"{encrypted}..{hidden}.{hidden}.{hidden}"):
            sql = f"INSERT INTO scratch.t VALUES (1, split_part('{token}', '.', 3))"
            for text in (sql, sql, sql.replace("(1, ", "(2, ")):
                self.unaskable(conn, text, "looks like a token")
            for more in ({}, {"binary": True}):
                self.unaskable(conn, "INSERT INTO scratch.t VALUES (1, split_part(%s, '.', 3))", "looks like a token", [token], **more)

            def recorded(field):
                return [e for e in self.stack.audit() if e.get("principal") == self.principal and e.get(field) == str(len(token))]
            mine = stack.wait_until("all are recorded", lambda: (lambda m: m if len(m) == 3 else None)(recorded("hidden")))
            self.assertTrue(all("'***'" in e["sql"] for e in mine))
            macs = [e["hidden_mac"] for e in mine]
            self.assertEqual(sorted(macs.count(m) for m in set(macs)), [1, 2])
            self.assertTrue(all("hidden_mac" in e for e in recorded("params_hidden")))
            self.assertTrue(recorded("params_hidden"))
        self.assertEqual(len(self.pending()), before)
        # what is none is shown as it is
        sql = f"INSERT INTO scratch.t VALUES (1, split_part('{header}.{hidden}.{'A' * 43}', '.', 2))"
        ident = self.asked(conn, sql)
        self.assertEqual(next(r for r in self.pending() if r["id"] == ident)["sql"], sql)

    def test_code_that_cannot_be_seen(self):
        """Who may do everything is asked about what could do the asked-for unseen; afterwards names may mean anything."""
        boss = self.connect("boss")
        boss.execute("INSERT INTO scratch.t VALUES (1, 'free')")
        sql = "DO $$ BEGIN SET search_path = pg_catalog; END $$"
        for text in ("DROP TABLE scratch.t", "TRUNCATE scratch.t", "SELECT query_to_xml('TRUNCATE scratch.t', true, true, '')", "DROP SCHEMA scratch",
                     "DROP TABLE scratch.t CASCADE"):
            self.asked(boss, text)
        self.approve(self.asked(boss, sql))
        boss.execute(sql)
        with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "this session has run code"):
            boss.execute("DROP TABLE scratch.t")
        self.assertEqual(self.rows(), 1)

    def test_approval_shows_nothing_hidden(self):
        """What is approved still runs in the form that hides what is hidden from its identity, also when prepared."""
        self.stack.direct("INSERT INTO scratch.t VALUES (1, 'c4n4ry'), (2, 'c4n4ry')")
        self.stack._minted["veiled"] = self.stack.mint(self.principal, ["veiled"])
        conn = self.connect("veiled")
        with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            conn.execute("DELETE FROM scratch.t WHERE s = 'c4n4ry'")
        self.assertNotIn("needs approval", str(caught.exception))
        for more in ({}, {"prepare": True}):
            sql = "SELECT * FROM scratch.t ORDER BY n" + " " * len(more)
            self.approve(self.asked(conn, sql, **more))
            self.assertEqual(conn.execute(sql, **more).fetchall(), [(1, None), (2, None)])
        sql = "DELETE FROM scratch.t WHERE n = 1 RETURNING *"
        self.approve(self.asked(conn, sql))
        self.assertEqual(conn.execute(sql).fetchall(), [(1, None)])
        self.assertEqual(self.rows(), 1)

    # --- races ---

    def test_two_sessions_and_one_approval(self):
        conns = [self.connect(), self.connect()]
        for n in range(ROUNDS):
            sql = f"INSERT INTO scratch.t VALUES ({n}, 'race')"
            ident = self.asked(conns[0], sql)
            if n % 10:  # through the door as gatehousectl does it, without a process for each
                self.post(f"/approvals/{ident}", {"verdict": "approve"}, self.stack.token("dba"))
            else:
                self.approve(ident)
            ran, start = [], threading.Barrier(2)

            def run(conn):
                start.wait()
                try:
                    conn.execute(sql)
                    ran.append(True)
                except psycopg.errors.InsufficientPrivilege as e:
                    self.assertIn("needs approval", str(e))
            threads = [threading.Thread(target=run, args=(c,)) for c in conns]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(len(ran), 1)
            again = [r["id"] for r in self.get("/approvals?limit=1000")["approvals"] if r["sql"] == sql]
            for other in again:  # what the loser asked for
                self.post(f"/approvals/{other}", {"verdict": "deny", "reason": "next"}, self.stack.token("dba"))
        self.assertEqual(self.rows(), ROUNDS)
        self.assertEqual(self.stack.direct("SELECT count(DISTINCT n) FROM scratch.t")[0][0], ROUNDS)

    def test_kill_against_forward(self):
        """A session is ended while it uses its approval: it ran once or not at all, and nobody can use it again."""
        for n in range(max(20, ROUNDS // 5) if ROUNDS < 1000 else ROUNDS):
            sql = f"INSERT INTO scratch.t VALUES ({n}, 'kill')"
            conn = self.stack.psycopg("asker", autocommit=True)
            ident = self.asked(conn, sql)
            session = self.get(f"/approvals/{ident}")["session"]
            self.post(f"/approvals/{ident}", {"verdict": "approve"}, self.stack.token("dba"))
            killer = threading.Thread(target=self.http, args=("POST", f"/sessions/{session}/kill", "{}"))
            killer.start()
            ran = False
            try:
                ran = conn.execute(sql).rowcount == 1
            except psycopg.OperationalError:
                pass
            killer.join()
            conn.close()
            rows = self.stack.direct("SELECT count(*) FROM scratch.t WHERE n = %s", [n])[0][0]
            self.assertLessEqual(int(ran), rows)
            status = self.get(f"/approvals/{ident}")["status"]
            self.assertIn((rows, status), ((1, "used"), (0, "used"), (0, "approved")))
            with self.stack.psycopg("asker", autocommit=True) as again:
                if status == "approved":
                    try:
                        again.execute(sql)
                    except psycopg.errors.InsufficientPrivilege:  # used up in this moment, for nobody
                        self.assertEqual(self.get(f"/approvals/{ident}")["status"], "used")
                other = self.asked(again, sql)
            self.post(f"/approvals/{other}", {"verdict": "deny", "reason": "next"}, self.stack.token("dba"))
            self.assertLessEqual(self.stack.direct("SELECT count(*) FROM scratch.t WHERE n = %s", [n])[0][0], 1)

    def test_client_gone_against_decision(self):
        """A held statement whose client leaves in the moment of the decision: it runs once or not at all, and what is left of the approval is used once."""
        rounds = max(10, ROUNDS // 10) if ROUNDS < 1000 else ROUNDS
        keeper = self.connect("waiter")
        keeper.execute("SELECT 1")  # from here on it has a connection to the server

        def at_the_server():
            return self.stack.direct("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                                     "AND application_name <> 'gatehouse' AND pid <> pg_backend_pid()")[0][0]
        before = at_the_server()
        self.assertGreaterEqual(before, 1)
        for n in range(rounds):
            sql = f"INSERT INTO scratch.t VALUES ({n}, 'gone')"
            conn = self.stack.psycopg("waiter", autocommit=True)
            conn.pgconn.send_query(sql.encode())
            ident = stack.wait_until("it is asked about", lambda: [r["id"] for r in self.get("/approvals?limit=1000")["approvals"] if r["sql"] == sql])[0]
            decide = threading.Thread(target=self.post, args=(f"/approvals/{ident}", {"verdict": "approve"}, self.stack.token("dba")))
            decide.start()
            time.sleep((n % 10) * 0.03)
            conn.close()
            decide.join()

            stack.wait_until("its session is over", lambda: len([s for s in self.get("/sessions")["sessions"] if s["principal"] == "waiter@shop.example"]) == 1)
            stack.wait_until("what it sent is done at the server", lambda: at_the_server() <= before)
            rows, again = self.stack.direct("SELECT count(*) FROM scratch.t WHERE n = %s", [n])[0][0], 0
            if self.get(f"/approvals/{ident}")["status"] == "approved":
                try:
                    again = keeper.execute(sql).rowcount
                except psycopg.errors.InsufficientPrivilege:  # it was used up in this moment, for nobody
                    pass
            self.assertLessEqual(rows + again, 1)
            self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.t WHERE n = %s", [n])[0][0], rows + again)
            self.assertEqual(self.get(f"/approvals/{ident}")["status"], "used")
            for r in self.get("/approvals?limit=1000")["approvals"]:
                if r["sql"] == sql:
                    self.post(f"/approvals/{r['id']}", {"verdict": "deny", "reason": "next"}, self.stack.token("dba"))

    def test_expiry_against_use(self):
        """Approvals used at the very end of their window: run and used, or lapsed and not run; nothing in between, and never twice."""
        conn = self.connect("quick")
        for first in range(0, max(20, ROUNDS // 5) if ROUNDS < 1000 else ROUNDS, 20):
            ends = []
            for n in range(first, first + 20):
                sql = f"INSERT INTO scratch.t VALUES ({n}, 'at the end')"
                ident = self.asked(conn, sql)
                shown = self.post(f"/approvals/{ident}", {"verdict": "approve"}, self.stack.token("dba"))["request"]
                end = datetime.datetime.fromisoformat(shown["use_by"].replace("Z", "+00:00")).timestamp()
                ends.append((end + random.uniform(-0.01, 0.005), sql, ident, n))
            for at, sql, ident, n in sorted(ends):
                time.sleep(max(0, at - time.time()))
                try:
                    ran = conn.execute(sql).rowcount == 1
                except psycopg.errors.InsufficientPrivilege as e:
                    self.assertIn("needs approval", str(e))
                    again = str(e).split("decision on request ")[1].split()[0]
                    self.assertNotEqual(again, ident)
                    self.post(f"/approvals/{again}", {"verdict": "deny", "reason": "next"}, self.stack.token("dba"))
                    ran = False
                self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.t WHERE n = %s", [n])[0][0], int(ran))
                self.assertIn(self.get(f"/approvals/{ident}")["status"], ("used",) if ran else ("lapsed", "replaced"))

    def http(self, method, path, body=None, token=None):
        import http.client
        import socket
        conn = http.client.HTTPConnection("gatehouse")
        conn.sock = socket.socket(socket.AF_UNIX)
        conn.sock.connect(os.path.join(self.stack.dir, "admin", "admin.sock"))
        conn.request(method, path, body, {} if token is None else {"Authorization": "Bearer " + token})
        answer = conn.getresponse()
        return answer.status, json.loads(answer.read())

    def get(self, path):
        return self.http("GET", path)[1]

    def post(self, path, body, token=None):
        status, answer = self.http("POST", path, json.dumps(body), token)
        self.assertEqual(status, 200, answer)
        return answer

    def test_the_door_itself(self):
        self.assertEqual(self.http("GET", "/nothing")[0], 404)
        self.assertEqual(self.http("POST", "/approvals/x", "{", self.stack.token("dba"))[0], 400)
        self.assertEqual(self.http("POST", "/approvals/x", '{"verdict": "approve", "verdict": "deny"}', self.stack.token("dba"))[0], 400)
        self.assertEqual(self.http("POST", "/approvals/x", '{"verdict": "approve", "as": "dba"}', self.stack.token("dba"))[0], 400)
        self.assertEqual(self.http("POST", "/approvals/x", '{"verdict": "approve"}')[0], 401)
        self.assertEqual(self.http("POST", "/approvals/x", '{"verdict": "approve"}', self.stack.token("dba"))[0], 404)
        self.assertEqual(self.http("POST", "/approvals", "{}")[0], 404)
        status = self.get("/status")
        self.assertTrue(status["ledger_healthy"] and len(status["key"]) == 43)
        done = subprocess.run(["runuser", "-u", "nobody", "--", self.stack.env["GH_BUILD"] + "/gatehousectl", "approvals", "--socket",
                               os.path.join(self.stack.dir, "admin", "admin.sock")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) \
            if os.getuid() == 0 else None
        if done:
            self.assertEqual(done.returncode, FAILED, done.stdout)

    # --- time ---

    def test_expiry(self):
        conn = self.connect("quick")
        sql = "INSERT INTO scratch.t VALUES (8, 'quick')"
        ident = self.asked(conn, sql)
        stack.wait_until("it expires", lambda: ident not in [r["id"] for r in self.pending()])
        self.approve(ident, want=OVER)
        ident = self.asked(conn, sql)
        self.approve(ident)
        stack.wait_until("the window closes", lambda: json.loads(self.ctl("approvals", "show", ident, "--json").stdout)["status"] == "lapsed")
        again = self.asked(conn, sql)
        self.assertNotEqual(again, ident)
        self.assertEqual(self.rows(), 0)
        stack.wait_until("the end is recorded", lambda: self.events(ident)[-1] == "approval.lapsed")

    def test_held(self):
        conn = self.connect("waiter")
        sql = "INSERT INTO scratch.t VALUES (9, 'held')"
        done = []
        thread = threading.Thread(target=lambda: done.append(conn.execute(sql).rowcount))
        thread.start()
        ident = stack.wait_until("it is asked about", lambda: [r["id"] for r in self.pending() if r["sql"] == sql])[0]
        session = next(r for r in self.pending() if r["id"] == ident)["session"]
        stack.wait_until("it waits", lambda: json.loads(self.ctl("sessions", "show", session, "--json").stdout)["state"] == "waits for approval")
        self.stack.direct("BEGIN; LOCK TABLE scratch.t IN ACCESS EXCLUSIVE MODE NOWAIT; COMMIT")
        self.assertEqual(done, [])
        self.approve(ident)
        thread.join(15)
        self.assertEqual(done, [1])
        # denied while it is held
        done = []

        def denied():
            with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "denied by dba2@shop.example: no"):
                conn.execute(sql)
            done.append(True)
        thread = threading.Thread(target=denied)
        thread.start()
        ident = stack.wait_until("it is asked about", lambda: [r["id"] for r in self.pending() if r["sql"] == sql])[0]
        self.decide("deny", ident, "dba2", "no")
        thread.join(15)
        self.assertEqual(done, [True])
        # where others would wait for it, it is not held
        sql = "INSERT INTO scratch.t VALUES (10, 'not held')"
        conn.execute("BEGIN")
        conn.execute("INSERT INTO scratch.mine VALUES (1)")
        self.asked(conn, sql)
        conn.execute("ROLLBACK")
        self.asked(conn, "INSERT INTO scratch.t VALUES (%s, 'not held')", [11])
        # the client leaves
        gone = self.stack.psycopg("waiter", autocommit=True)
        gone.pgconn.send_query(sql.encode())
        ident = stack.wait_until("it is asked about", lambda: [r["id"] for r in self.pending() if r["sql"] == sql])[0]
        gone.close()
        stack.wait_until("the session is over", lambda: not [s for s in json.loads(self.ctl("sessions", "--json").stdout)
                                                             if s["state"] == "waits for approval"])
        self.approve(ident)
        self.assertEqual(self.rows(), 1)
        self.assertEqual(conn.execute(sql).rowcount, 1)

    # --- sessions ---

    def test_sessions(self):
        conn = self.connect(application_name="the \x1b one")
        mine = next(s for s in json.loads(self.ctl("sessions", "--json").stdout) if s["principal"] == self.principal and
                    s.get("application_name", "").startswith("the "))
        self.assertEqual((mine["database"], mine["groups"], mine["state"]), ("shop", "askers", "idle"))
        self.assertNotIn("\x1b", self.ctl("sessions").stdout + self.ctl("sessions", "show", mine["id"]).stdout)
        self.assertEqual(self.ctl("sessions", "kill", mine["id"]).returncode, OK)
        with self.assertRaises(psycopg.OperationalError):
            conn.execute("SELECT 1")
        self.assertEqual(self.ctl("sessions", "kill", mine["id"]).returncode, UNKNOWN)
        self.assertEqual(self.ctl("sessions", "show", "x").returncode, UNKNOWN)
        self.assertIn("session.killed", [e["type"] for e in self.stack.stream("gatehouse:sessions")])

    # --- deaths, and other hands ---

    def test_daemon_dies(self):
        sql, other = "INSERT INTO scratch.t VALUES (12, 'killed')", "INSERT INTO scratch.t VALUES (13, 'pending')"
        conn = self.connect()
        ident, waiting = self.asked(conn, sql), self.asked(conn, other)
        self.approve(ident)
        self.stack.kill("gatehouse")
        self.stack.start("gatehouse")
        conn = self.eventually_connected()
        self.assertEqual(self.asked(conn, other), waiting)
        self.assertEqual(conn.execute(sql).rowcount, 1)
        self.stack.kill("gatehouse")
        self.stack.start("gatehouse")
        conn = self.eventually_connected()
        self.assertNotEqual(self.asked(conn, sql), ident)
        self.approve(ident, "dba2", want=OVER)
        self.assertEqual(self.rows(), 1)

    def eventually_connected(self):
        def attempt():
            try:
                return self.connect()
            except psycopg.OperationalError:
                return None
        return stack.wait_until("HAProxy lets in again", attempt)

    def test_another_daemon_takes_over(self):
        sql = "INSERT INTO scratch.t VALUES (14, 'upgrade')"
        old = self.connect()
        ident, waiting = self.asked(old, sql), self.asked(old, sql + " ")
        self.approve(ident)
        self.stack.upgrade()
        new = self.eventually_connected()
        self.assertEqual(self.asked(new, sql + " "), waiting)
        self.assertEqual(old.execute(sql).rowcount, 1)  # in the old one
        self.assertNotEqual(self.asked(new, sql), ident)
        self.approve(waiting)
        self.assertEqual(new.execute(sql + " ").rowcount, 1)
        self.assertNotEqual(self.asked(old, sql + " "), waiting)
        self.assertEqual(self.rows(), 2)
        old.close()

    def test_redis_decides_nothing(self):
        sql = "INSERT INTO scratch.t VALUES (15, 'forged')"
        conn = self.connect()
        one = self.asked(conn, sql + " ")
        self.approve(one)
        ident = self.asked(conn, sql)
        key = "gatehouse:approval:"
        good = stack.wait_until("a decision", lambda: [e for e in self.stack.stream(key + one) if e["type"] == "approval.decision"])[0]
        forged = {**good, "request": ident, "signed": good["signed"].replace(one, ident)}
        self.stack.redis("XADD", key + ident, "*", *[x for k, v in forged.items() if k != "id" for x in (k, v)])
        self.stack.redis("SET", "gatehouse:approved:" + ident, "1")
        self.assertEqual(self.asked(conn, sql), ident)
        # all of Redis, as it was before the use
        dump = subprocess.run(["redis-cli", "-u", self.stack.env["GH_REDIS_URL"], "--no-raw", "DUMP", key + one], stdout=subprocess.PIPE, check=True).stdout
        self.assertTrue(dump)
        self.stack.redis("COPY", key + one, "saved")
        self.assertEqual(conn.execute(sql + " ").rowcount, 1)
        stack.wait_until("the use is there", lambda: "approval.used" in self.events(one))
        self.stack.redis("COPY", "saved", key + one, "REPLACE")
        self.assertNotEqual(self.asked(conn, sql + " "), one)
        self.assertEqual(self.rows(), 1)

    def test_redis_away(self):
        """An approval is not used up while the statement could not be recorded."""
        sql = "INSERT INTO scratch.t VALUES (16, 'away')"
        conn = self.connect()
        self.approve(self.asked(conn, sql))
        self.stack.stop("redis")
        stack.wait_until("the ledger knows", lambda: not self.get("/status")["ledger_healthy"])
        with self.assertRaisesRegex(psycopg.Error, "ledger is unavailable"):
            conn.execute(sql)
        self.stack.start("redis")
        stack.wait_until("the ledger is back", lambda: self.get("/status")["ledger_healthy"])
        self.assertEqual(conn.execute(sql).rowcount, 1)

    def test_no_token_anywhere(self):
        ident = self.asked(self.connect(), "INSERT INTO scratch.t VALUES (17, 'secret')")
        self.approve(ident)
        self.events(ident)
        said = "".join(self.stack.log(n) for n in ("gatehouse", "haproxy", "redis", "postgresql"))
        said += str(self.stack.stream("gatehouse:sessions")) + str(self.stack.stream("gatehouse:auth")) + str(self.stack.stream("gatehouse:approval:" + ident))
        folder = os.path.join(self.stack.dir, "etc", "journal")
        said += subprocess.run(stack.as_root("cat", folder + "/approvals.log"), stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertIn(ident, said)
        for who in ("dba", "asker"):
            self.assertNotIn(self.stack.token(who).split(".")[2], said)
        modes = subprocess.run(stack.as_root("stat", "-c", "%a", folder + "/node.key", folder + "/approvals.log"), stdout=subprocess.PIPE, text=True)
        self.assertEqual(modes.stdout.split(), ["600", "600"])


if __name__ == "__main__":
    unittest.main()
