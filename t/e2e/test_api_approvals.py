"""Approvals of SQL in HTTP requests: asked for at once, run once, for this request alone; never with an approval of a session, of another API, another body, another
principal, and never a second time, whoever sends it again and how often at once."""
import json
import os
import signal
import subprocess
import threading
import time
import unittest

import psycopg

import httpgate
import stack

RULES = """
  - name: clerks-read
    groups: clerks
    database: shop
    allow: select
    on: scratch.*
  - name: clerks-insert
    groups: clerks
    database: shop
    ask: insert
    on: scratch.t
    approvers: dbas
    grant: { max: 20m, scope: rule }
  - name: clerks-delete
    groups: clerks
    database: shop
    ask: delete
    on: scratch.t
    approvers: dbas
    justification: required
  - name: quick-insert
    groups: quick
    database: shop
    ask: insert
    on: scratch.t
    approvers: dbas
    expires: 2s
    window: 2s
  - name: hidden-read
    groups: hidden
    database: shop
    ask: select
    on: scratch.t
    columns: { n: visible, s: hidden }
    approvers: dbas
"""


class Asked(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = stack.Stack(config=lambda text: text.replace("  journal: journal\n", "  journal: journal\n  timeout: 20s\n") +
                            httpgate.APIS + "limits: { approvals_per_principal: 1000 }\n", policy=stack.own_policy() + RULES)
        cls.addClassCleanup(cls.s.close)
        cls.app = httpgate.Application(cls.s)
        cls.addClassCleanup(cls.app.close)
        notes = ("str(assistants) if { path -m str /mcp }", "str(assistants) if { path -m str /mcp }\n    http-request set-var(txn.gh_api) str(notes) if { path -m str /notes }")
        cls.gate = httpgate.Gate(cls.app.server_port, cls.app.server_port, cls.s.dir + "/jail", edit=[
            notes, ("/query /mcp /verdict", "/query /mcp /verdict /notes"), ("-m str reports }\n", "-m str reports notes }\n")])
        cls.gate.start()
        cls.addClassCleanup(cls.gate.stop)
        for who, group in (("clerk2", "clerks"), ("quick", "quick"), ("hidden", "hidden")):
            cls.s._minted[who] = cls.s.mint(f"{who}@shop.example", [group])

    def setUp(self):
        self.s.scratch("CREATE TABLE scratch.t (n int, s text)")
        self.principal = self._testMethodName.replace("_", "-") + "@shop.example"
        self.s._minted["clerk"] = self.s.mint(self.principal, ["clerks"])

    # --- what a test does ---

    def post(self, sql, path="/query", who="clerk", **more):
        body = sql.encode() if path in ("/verdict", "/notes") else {"sql": sql, **more}
        headers = {"Content-Type": "text/plain; charset=utf-8"} if isinstance(body, bytes) else {}
        return self.gate.post(path, body, self.s.token(who), headers=headers)

    def asked(self, sql, **more):
        before = self.app.bytes
        status, body, _ = self.post(sql, **more)
        self.assertEqual((status, body["verdict"], body["sqlstate"]), (403, "ask", "42501"), body)
        self.assertEqual(self.app.bytes, before)
        self.assertIn(f"it waits for a decision on request {body['approval']}", body["message"])
        self.assertRegex(body["expires"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        return body["approval"]

    def asked_in_a_session(self, sql, who="clerk"):
        with self.s.psycopg(who, autocommit=True, prepare_threshold=None) as c, self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            c.execute(sql)
        return str(caught.exception).split("decision on request ")[1].split()[0]

    def ctl(self, *args, who="dba"):
        return subprocess.run([self.s.env["GH_CTL"], *args, "--token-file", "-"], input=self.s.token(who), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def approve(self, ident, *more):
        done = self.ctl("approve", ident, *more)
        self.assertEqual(done.returncode, 0, done.stderr)

    def show(self, ident):
        return json.loads(subprocess.run([self.s.env["GH_CTL"], "approvals", "show", ident, "--json"], check=True, stdout=subprocess.PIPE).stdout)

    def rows(self):
        return self.s.direct("SELECT count(*) FROM scratch.t")[0][0]

    # --- as it should be ---

    def test_once(self):
        sql = "/* reason: a test */ INSERT INTO scratch.t VALUES (1, 'once')"
        ident = self.asked(sql, format="csv")
        self.assertEqual(self.asked(sql, format="csv"), ident)
        shown = self.show(ident)
        self.assertEqual({k: shown[k] for k in ("principal", "database", "api", "sql", "reason", "relations", "status")},
                         {"principal": self.principal, "database": "shop", "api": "reports", "sql": sql, "reason": "a test", "relations": "scratch.t:insert", "status": "pending"})
        self.assertEqual(json.loads(shown["arguments"]), {"format": "csv"})
        self.approve(ident)
        self.assertEqual(self.rows(), 0)
        status, body, _ = self.post(sql, format="csv")
        self.assertEqual((status, self.rows()), (200, 1), body)
        ran, who, verdict = self.app.ran[-1]
        self.assertEqual((ran, who, verdict), (sql, self.principal, [("statement", "allow", sql)]))
        entry = next(e for e in self.s.audit() if e.get("sql") == sql and e["verdict"] == "allow")
        self.assertEqual((entry["approval"], entry["approved_by"], entry["rule"]), (ident, "dba@shop.example", "clerks-insert"))
        self.assertEqual({e["verdict"] for e in self.s.audit() if e.get("approval") == ident and e["type"] == "statement"}, {"ask", "allow"})
        self.assertNotEqual(self.asked(sql, format="csv"), ident)
        self.assertEqual(self.rows(), 1)
        self.assertEqual(self.show(ident)["status"], "used")

    def test_fresh_token(self):
        """The identity counts, not the token."""
        sql = "INSERT INTO scratch.t VALUES (2, 'fresh')"
        self.approve(self.asked(sql))
        self.s._minted["clerk"] = self.s.mint(self.principal, ["clerks"])
        self.assertEqual((self.post(sql)[0], self.rows()), (200, 1))

    def test_denied(self):
        sql = "INSERT INTO scratch.t VALUES (3, 'denied')"
        ident = self.asked(sql)
        self.assertEqual(self.ctl("deny", ident, "--reason", "not today").returncode, 0)
        status, body, _ = self.post(sql)
        self.assertEqual((status, body["verdict"], body["approval"]), (403, "deny", ident))
        self.assertIn("was denied by dba@shop.example: not today", body["message"])
        self.assertEqual(self.rows(), 0)

    def test_justification(self):
        status, body, _ = self.post("DELETE FROM scratch.t WHERE n = 4")
        self.assertEqual((status, body["verdict"]), (403, "deny"), body)
        self.assertIn("a reason must be given", body["message"])
        self.asked("/* reason: old */ DELETE FROM scratch.t WHERE n = 4")

    def test_verdict_and_tool(self):
        sql = "INSERT INTO scratch.t VALUES (5, 'verdict')"
        ident = self.asked(sql, path="/verdict")
        self.approve(ident)
        status, body, _ = self.post(sql, path="/verdict")
        self.assertEqual((status, body["verdict"], body["sql"], body["approval"]), (200, "allow", sql, ident))
        self.asked(sql, path="/verdict")
        message = lambda n: {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": "execute_sql", "arguments": {"sql": sql, "limit": 5}}}  # noqa: E731
        status, body, _ = self.gate.post("/mcp", message(1), self.s.token("clerk"))
        self.assertEqual((status, body["id"], body["result"]["isError"]), (200, 1, True), body)
        said = body["result"]["content"][0]["text"]
        self.assertIn("HINT: Nothing was executed. Send exactly the same statement again once it is approved", said)
        ident = said.split("decision on request ")[1].split()[0]
        self.assertEqual(self.show(ident)["tool"], "execute_sql")
        self.approve(ident)
        status, body, _ = self.gate.post("/mcp", message("another id"), self.s.token("clerk"))
        self.assertEqual((status, body["result"]["isError"], self.rows()), (200, False, 1), body)

    # --- what it is not for ---

    def test_bound_to_the_request(self):
        sql = "INSERT INTO scratch.t VALUES (6, 'bound')"
        ident = self.asked(sql)
        self.approve(ident)
        self.assertNotEqual(self.asked(sql + " "), ident)
        self.assertNotEqual(self.asked(sql, format="csv"), ident)
        self.assertNotEqual(self.asked(sql, who="clerk2"), ident)
        for path in ("/verdict", "/notes"):
            self.assertNotEqual(self.asked(sql, path=path), ident)
        self.assertEqual(self.rows(), 0)
        self.assertEqual((self.post(sql)[0], self.rows()), (200, 1))

    def test_not_over_the_wire(self):
        sql = "INSERT INTO scratch.t VALUES (7, 'wire')"
        over_http = self.asked(sql)
        self.approve(over_http)
        self.assertNotEqual(self.asked_in_a_session(sql), over_http)
        self.assertEqual(self.rows(), 0)
        wire = self.asked_in_a_session(sql + ";")
        self.approve(wire)
        for path in ("/query", "/verdict", "/notes"):
            self.assertNotEqual(self.asked(sql + ";", path=path), wire)
        self.assertEqual(self.rows(), 0)
        self.assertEqual((self.post(sql)[0], self.rows()), (200, 1))
        with self.s.psycopg("clerk", autocommit=True, prepare_threshold=None) as c:
            self.assertEqual(c.execute(sql + ";").rowcount, 1)
        self.assertEqual(self.rows(), 2)

    def test_grants(self):
        """For some time: here, for this API; not in sessions, and none of theirs here."""
        self.approve(self.asked_in_a_session("INSERT INTO scratch.t VALUES (8, 'a')"), "--for", "10m", "--scope", "rule")
        with self.s.psycopg("clerk", autocommit=True) as c:
            c.execute("INSERT INTO scratch.t VALUES (8, 'b')")
        ident = self.asked("INSERT INTO scratch.t VALUES (8, 'c')")
        self.approve(ident, "--for", "10m", "--scope", "rule")
        self.assertEqual((self.post("INSERT INTO scratch.t VALUES (8, 'd')")[0], self.rows()), (200, 2))
        entry = next(e for e in self.s.audit() if "(8, 'd')" in e.get("sql", "") and e["verdict"] == "allow")
        self.assertTrue(entry["grant"])
        self.asked("INSERT INTO scratch.t VALUES (8, 'e')", path="/notes")
        self.asked("INSERT INTO scratch.t VALUES (8, 'e')", who="clerk2")
        # what only a session or connection knows is covered by no grant
        status, body, _ = self.post("INSERT INTO scratch.t VALUES (8, current_setting('application_name'))")
        self.assertEqual((status, body["verdict"]), (403, "deny"), body)
        self.assertIn("needs approval and cannot get it", body["message"])
        with self.s.psycopg("clerk", autocommit=True) as c:
            for value in ("current_setting('application_name')", "lastval()::text", "pg_backend_pid()::text"):
                with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "needs approval and cannot get it"):
                    c.execute(f"INSERT INTO scratch.t VALUES (8, {value})")
            c.execute("SET extra_float_digits = -10")
            with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "has changed the setting extra_float_digits"):
                c.execute("INSERT INTO scratch.t VALUES (8, 'b2')")
        done = subprocess.run([self.s.env["GH_CTL"], "grants", "revoke", entry["grant"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.asked("INSERT INTO scratch.t VALUES (8, 'f')")

    def test_replayed_by_many(self):
        """Eight at once, whatever they share: exactly one runs."""
        for n in range(int(os.environ.get("GH_ROUNDS", 25))):
            sql = f"INSERT INTO scratch.t VALUES (9, 'round {n}')"
            self.approve(self.asked(sql))
            before, answers = self.rows(), []
            threads = [threading.Thread(target=lambda: answers.append(self.post(sql)[0])) for _ in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(sorted(answers), [200] + [403] * 7)
            self.assertEqual(self.rows(), before + 1)

    def test_expires(self):
        sql = "INSERT INTO scratch.t VALUES (10, 'quick')"
        ident = self.asked(sql, who="quick")
        stack.wait_until("it is over", lambda: self.show(ident)["status"] == "expired", 30)
        self.assertEqual(self.ctl("approve", ident).returncode, 5)
        other = self.asked(sql, who="quick")
        self.assertNotEqual(other, ident)
        self.approve(other)
        stack.wait_until("its window is over", lambda: self.show(other)["status"] == "lapsed", 30)
        self.assertNotEqual(self.asked(sql, who="quick"), other)
        self.assertEqual(self.rows(), 0)

    def test_self_approval(self):
        ident = self.asked("INSERT INTO scratch.t VALUES (11, 'own')")
        self.s._minted["clerk-as-dba"] = self.s.mint(self.principal, ["dbas"])
        self.assertEqual(self.ctl("approve", ident, who="clerk-as-dba").returncode, 3)

    # --- what nobody is asked about ---

    def test_not_asked_about(self):
        for sql, sqlstate in (("INSERT INTO scratch.t VALUES (12, 'x'); SET work_mem = '1MB'", "0A000"), ("PREPARE x AS INSERT INTO scratch.t VALUES (12)", "42501")):
            status, body, _ = self.post(sql)
            self.assertEqual((body["verdict"], body["sqlstate"]), ("deny", sqlstate), body)
            self.assertNotIn("approval", body)
        # what approvers would not see, or only the connection knows
        token = "eyJhbGciOiJub25lIn0.e30." + "A" * 43
        for sql, why in (("INSERT INTO scratch.t VALUES (12, split_part('" + token + "', '.', 3))", "looks like a token"),
                         ("INSERT INTO scratch.t VALUES (12, current_setting('gatehouse.principal'))", "the setting gatehouse.principal"),
                         ("INSERT INTO scratch.t VALUES (pg_backend_pid(), 'x')", "pg_backend_pid")):
            status, body, _ = self.post(sql)
            self.assertEqual((body["verdict"], body["sqlstate"]), ("deny", "42501"), body)
            self.assertIn(why, body["message"])
            self.assertNotIn("approval", body)
        # what must be rewritten, which HAProxy cannot do
        status, body, _ = self.post("SELECT n FROM scratch.t", who="hidden")
        self.assertEqual(body["verdict"], "deny", body)
        self.assertNotIn("approval", body)

    def test_what_changes_while_its_record_waits(self):
        """A grant that is revoked, a token that expires, a policy that is replaced: what Redis acknowledges only then does not run, and the record says so."""
        withheld = lambda: [e["reason"] for e in self.s.audit() if e["type"] == "result" and e.get("reason") and e["skipped"] == "1"]  # noqa: E731
        before = len(withheld())

        def waits(sql, change, sqlstate, who="clerk"):
            journal = lambda: subprocess.run(stack.as_root("sh", "-c", f"cat {self.s.dir}/etc/journal/journal-*"), stdout=subprocess.PIPE, check=True).stdout  # noqa: E731
            known, answers = journal().count(sql.encode()), []
            self.s.signal("redis", signal.SIGSTOP)
            try:
                thread = threading.Thread(target=lambda: answers.append(self.post(sql, who=who)))
                thread.start()
                stack.wait_until("it is in the journal", lambda: journal().count(sql.encode()) > known)
                change()
            finally:
                self.s.signal("redis", signal.SIGCONT)
            thread.join()
            status, body, _ = answers[0]
            self.assertEqual((body["verdict"], body["sqlstate"]), ("deny", sqlstate), body)
            stack.wait_until("Redis is back", lambda: self.post("SELECT 1 FROM scratch.t", who="dba")[0] == 200)
        sql = "INSERT INTO scratch.t VALUES (14, 'granted')"
        self.approve(self.asked(sql), "--for", "10m", "--scope", "rule")
        self.assertEqual((self.post(sql)[0], self.rows()), (200, 1))
        grant = next(g["id"] for g in json.loads(subprocess.run([self.s.env["GH_CTL"], "grants", "--json"], check=True, stdout=subprocess.PIPE).stdout)
                     if g["principal"] == self.principal)
        waits(sql, lambda: subprocess.run([self.s.env["GH_CTL"], "grants", "revoke", grant], check=True, stdout=subprocess.DEVNULL), "42501")
        end = int(time.time()) + 3
        self.s._minted["short"] = self.s.mint("short@shop.example", ["clerks"], "--claim", f"exp={end}")
        waits("SELECT 14 FROM scratch.t", lambda: stack.wait_until("it expires", lambda: time.time() > end + 0.1), "28P01", who="short")
        text = self.s.policy()

        def put(policy):
            self.s.put_policy(policy)
            self.s.reload()
        self.addCleanup(put, text)
        waits("SELECT 15 FROM scratch.t", lambda: put(text.replace("groups: clerks\n    database: shop\n    allow: select", "groups: nobody\n    database: shop\n    allow: select")), "42501")
        put(text)
        self.assertEqual(self.rows(), 1)
        self.assertEqual(sorted(withheld()[before:]), ["no longer served", "the grant has ended", "the policy has changed"])

    def test_redis_away(self):
        """An approval is not used up while the statement could not be recorded."""
        sql = "INSERT INTO scratch.t VALUES (13, 'away')"
        self.approve(self.asked(sql))
        healthy = lambda: json.loads(subprocess.run([self.s.env["GH_CTL"], "status", "--json"], check=True, stdout=subprocess.PIPE).stdout)["ledger_healthy"]  # noqa: E731
        self.s.stop("redis")
        stack.wait_until("the ledger knows", lambda: not healthy(), 30)
        status, body, _ = self.post(sql)
        self.assertEqual((status, body["sqlstate"], self.rows()), (503, "57P03", 0), body)
        self.s.start("redis")
        stack.wait_until("the ledger is back", healthy, 30)
        self.assertEqual((self.post(sql)[0], self.rows()), (200, 1))


if __name__ == "__main__":
    unittest.main()
