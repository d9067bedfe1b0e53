"""Hooks out, to a receiver in every state; and break-glass, which nobody can miss."""
import base64
import hashlib
import hmac
import json
import os
import subprocess
import tempfile
import time
import unittest

import psycopg

import receiver
import stack
import two

SECRET = "a secret of the tests, long enough"
RULES = """
  - name: askers-read
    groups: [askers, oncall]
    database: shop
    allow: select
    on: scratch.*
  - name: askers-insert
    groups: [askers, oncall]
    database: shop
    ask: insert
    on: scratch.t
    approvers: dbas
    grant: { max: 30m }
    breakglass: { groups: oncall, for: 1h }
  - name: askers-update
    groups: [askers, oncall]
    database: shop
    ask: update
    on: scratch.t
    approvers: dbas
    breakglass: { groups: oncall, for: 3s }
  - name: askers-delete
    groups: [askers, oncall]
    database: shop
    ask: delete
    on: scratch.t
    approvers: dbas
  - name: oncall-never
    groups: [askers, oncall]
    database: shop
    deny: all
    on: scratch.never
    reason: Never.
"""


class Hooks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(policy=stack.own_policy() + RULES)
        cls.addClassCleanup(cls.stack.close)
        cls.receiver = receiver.Receiver()
        cls.addClassCleanup(cls.receiver.close)
        cls.other = receiver.Receiver()
        cls.addClassCleanup(cls.other.close)
        cls.told = tempfile.mkdtemp(prefix="gh-hook.", dir="/tmp")
        cls.addClassCleanup(subprocess.run, stack.as_root("rm", "-rf", cls.told))
        os.chmod(cls.told, 0o777)
        command = os.path.join(cls.told, "tell")
        with open(command, "w") as f:
            f.write("#!/bin/sh\ncat >>%s/events; echo >>%s/events; env >%s/env; ls -l /proc/self/fd >%s/fds\n" % ((cls.told,) * 4))
        os.chmod(command, 0o755)
        etc = os.path.join(cls.stack.dir, "etc")
        with open(f"{etc}/hook.secret", "w") as f:
            f.write(SECRET + "\n")
        os.chmod(f"{etc}/hook.secret", 0o600)
        subprocess.run(stack.as_root("chown", "--reference", f"{etc}/shop.password", f"{etc}/hook.secret"), check=True)
        cls.hooks = f"""
hooks:
  chat:
    url: http://127.0.0.1:{cls.receiver.port}/hook?room=1
    allow_http: true
    secret_file: hook.secret
    sql: true
    events: [request, decision, block, grant, breakglass]
    timeout: 2s
    queue: 20
  refusals:
    url: http://127.0.0.1:{cls.other.port}/
    allow_http: true
    sign: node
    events: refusal
    refusals: 40
  pager:
    command: [{command}]
    events: [block, breakglass]
"""
        two.configure(cls.stack, lambda t: t + cls.hooks)
        cls.reload()

    @classmethod
    def reload(cls):
        before = cls.stack.log("gatehouse").count("event=reload ")
        cls.stack.signal("gatehouse")
        stack.wait_until("reload", lambda: cls.stack.log("gatehouse").count("event=reload ") > before)

    def setUp(self):
        self.stack.scratch("CREATE TABLE scratch.t (n int, s text); CREATE TABLE scratch.never (n int)")
        self.principal = self._testMethodName.replace("_", "-") + "@shop.example"
        for who, group in (("asker", "askers"), ("oncall", "oncall")):
            self.stack._minted[who] = self.stack.mint(self.principal, [group])
        self.receiver.how.clear()

    def connect(self, who="asker"):
        conn = self.stack.psycopg(who, autocommit=True, prepare_threshold=None)
        self.addCleanup(conn.close)
        return conn

    def ctl(self, *args, token=None, want=0):
        done = subprocess.run([self.stack.env["GH_CTL"], *args], input=None if token is None else self.stack.token(token), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=None if token is not None else subprocess.DEVNULL)
        self.assertEqual(done.returncode, want, done.stdout + done.stderr)
        return done.stdout

    def asked(self, conn, sql, **more):
        with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            conn.execute(sql, **more)
        self.assertRegex(str(caught.exception), "needs approval: it waits for a decision on request")
        return str(caught.exception).split("decision on request ")[1].split()[0]

    def heard(self, event, ident=None):
        def look():
            return [e for e in self.receiver.events(event) if ident is None or ident in (e["about"].get("id"), e["about"].get("request"))]
        return stack.wait_until(f"{event} is told", look, 30)[-1]

    def mine(self, event):
        return stack.wait_until(f"{event} is told", lambda: [e for e in self.receiver.events(event) if e["about"].get("principal") == self.principal])

    # --- hooks ---

    def test_told_and_signed(self):
        conn = self.connect()
        sql = "/* reason: a test */ INSERT INTO scratch.t VALUES (1, 'it''s')"
        ident = self.asked(conn, sql)
        request = self.heard("request", ident)
        self.assertEqual({k: request["about"][k] for k in ("principal", "database", "rule", "reason", "relations", "sql", "status")},
                         {"principal": self.principal, "database": "shop", "rule": "askers-insert", "reason": "a test",
                          "relations": "scratch.t:insert", "sql": sql, "status": "pending"})
        self.assertEqual(request["node"], "shop-1")
        for key in ("params", "fingerprint", "sha256", "signed", "policy"):
            self.assertNotIn(key, request["about"])
        self.ctl("approve", ident, "--token-file", "-", "--for", "1m", "--reason", "fine", token="dba")
        decision = self.heard("decision", ident)
        self.assertEqual([(d["approver"], d["verdict"], d["reason"]) for d in decision["about"]["decisions"]], [("dba@shop.example", "approve", "fine")])
        self.heard("grant", ident)
        self.assertEqual(len({e["id"] for e in self.receiver.events()}), len(self.receiver.events()))
        for headers, body, _ in self.receiver.got:
            parts = dict(p.split("=", 1) for p in headers["Gatehouse-Signature"].split(","))
            self.assertLess(abs(int(parts["t"]) - time.time()), 600)
            self.assertEqual(parts["sha256"], hmac.new(SECRET.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest())
            self.assertEqual(headers["Gatehouse-Event"], json.loads(body)["event"])
            self.assertEqual(headers["Gatehouse-Delivery"], json.loads(body)["id"])
            self.assertEqual(headers["Content-Type"], "application/json")
            self.assertNotIn(SECRET, str(headers) + body.decode())

    def test_no_token_leaves(self):
        """Neither in a reason that somebody gives with it, nor in an order."""
        token = self.stack.token("agent")
        conn = self.connect()
        conn.execute(f"SET gatehouse.reason = 'see {token[:400]}'")
        ident = self.asked(conn, "INSERT INTO scratch.t VALUES (1, 'with a token')")
        request = self.heard("request", ident)
        self.assertNotIn(token.split(".")[1][:40], json.dumps(request))
        self.ctl("block", "session", "nobody", "--reason", token[:480], want=2)
        self.ctl("approve", ident, "--token-file", "-", token="dba")

    def test_refusals_are_bounded_and_node_signed(self):
        conn = self.connect()
        for n in range(200):
            with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f"SELECT 'c4n4ry-{n}', * FROM scratch.never")
        got = stack.wait_until("some are told", lambda: [e for e in self.other.events("refusal") if e["about"]["principal"] == self.principal])
        self.assertEqual((got[0]["about"]["sqlstate"], got[0]["about"]["rule"]), ("42501", "oncall-never"))
        time.sleep(0.5)
        self.assertLessEqual(len([e for e in self.other.events("refusal") if e["about"]["principal"] == self.principal]), 120)  # 40 a minute
        self.assertNotIn("c4n4ry", str(self.other.got))
        headers, body, _ = self.other.got[0]
        parts = dict(p.split("=", 1) for p in headers["Gatehouse-Signature"].split(","))
        key = json.loads(self.ctl("status", "--json"))["key"]
        self.assertEqual(parts["key"], key)

        def raw(text):
            return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        with tempfile.TemporaryDirectory() as d:
            for name, data in (("key", bytes.fromhex("302a300506032b6570032100") + raw(key)), ("sig", raw(parts["ed25519"])),
                               ("text", parts["t"].encode() + b"." + body)):
                with open(f"{d}/{name}", "wb") as f:
                    f.write(data)
            subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", f"{d}/key", "-rawin", "-in", f"{d}/text",
                            "-sigfile", f"{d}/sig"], check=True, stdout=subprocess.DEVNULL)

    def test_receiver_in_every_state(self):
        """Slow, answering rubbish, without end, with errors, closing: it is tried again, or given up, and no session notices."""
        conn = self.connect()
        self.receiver.how[:] = [500, "rubbish", "drop", 429]
        ident = self.asked(conn, "INSERT INTO scratch.t VALUES (1, 'tried again')")
        self.heard("request", ident)
        again = [json.loads(body)["id"] for _, body, _ in self.receiver.got if ident.encode() in body]
        self.assertGreaterEqual(len(again), 4)  # with "drop" it was not even counted
        self.assertEqual(len(set(again)), 1)
        self.receiver.how[:] = [302, 400]
        for n in range(2):
            self.asked(conn, f"INSERT INTO scratch.t VALUES ({n}, 'given up')")
        ident = self.asked(conn, "INSERT INTO scratch.t VALUES (3, 'the next')")
        self.heard("request", ident)
        self.assertEqual([json.loads(body)["about"]["sql"] for _, body, how in self.receiver.got if how in (302, 400) and b"given up" in body],
                         [f"INSERT INTO scratch.t VALUES ({n}, 'given up')" for n in range(2)])
        self.receiver.how[:] = ["endless"]
        self.heard("request", self.asked(conn, "INSERT INTO scratch.t VALUES (4, 'without end')"))
        # slow: far more than its queue holds
        self.receiver.how[:] = ["slow"] * 3
        with self.stack.psycopg("dba", autocommit=True) as dba:
            for n in range(60):
                self.ctl("block", "session", f"nobody-{n}", "--reason", "x", "--for", "1s")
                dba.execute("SELECT 1")
        self.receiver.how.clear()
        last = stack.wait_until("it says how many are lost", lambda: [e for e in self.receiver.events() if "lost" in e] or
                                self.ctl("block", "session", "nobody", "--reason", "x", "--for", "1s") and None, 60)[-1]
        self.assertGreater(last["lost"], 0)
        self.assertIn("event=hook.full", self.stack.log("gatehouse"))
        self.assertIn("event=hook.failed", self.stack.log("gatehouse"))

    def test_dead_receiver_and_end(self):
        """Nobody listens: the daemon works, and ends in time."""
        port = receiver.Receiver()
        port.close()
        two.configure(self.stack, lambda t: t.replace(f"{self.receiver.port}/hook", f"{port.port}/hook"))
        try:
            self.reload()
            conn = self.connect()
            ident = self.asked(conn, "INSERT INTO scratch.t VALUES (1, 'to nobody')")
            self.ctl("approve", ident, "--token-file", "-", token="dba")
            self.assertEqual(conn.execute("INSERT INTO scratch.t VALUES (1, 'to nobody')").rowcount, 1)
            conn.close()
            self.stack.stop("gatehouse")  # fails when it does not end
        finally:
            two.configure(self.stack, lambda t: t.replace(f"{port.port}/hook", f"{self.receiver.port}/hook"))
            self.stack.start("gatehouse")
        stack.wait_until("HAProxy lets in", self.lets_in)

    def lets_in(self):
        try:
            self.stack.psycopg("asker").close()
        except psycopg.OperationalError:
            return False
        return True

    def test_command(self):
        def events():
            done = subprocess.run(stack.as_root("cat", os.path.join(self.told, "events")), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            return [json.loads(line) for line in done.stdout.splitlines() if line]
        self.ctl("block", "principal", self.principal, "--reason", "'; rm -rf / #")
        got = stack.wait_until("the command ran", lambda: [e for e in events() if e["event"] == "block" and e["about"]["value"] == self.principal])
        self.assertEqual(got[0]["about"]["reason"], "'; rm -rf / #")
        self.ctl("unblock", "principal", self.principal)
        stack.wait_until("the command ran", lambda: [e for e in events() if e["event"] == "unblock"])
        stack.wait_until("it wrote all", lambda: os.path.exists(os.path.join(self.told, "fds")))

        def names():  # none while it writes them once more, for another event
            with open(os.path.join(self.told, "env")) as f:
                return {line.split("=")[0] for line in f} - {"PWD", "OLDPWD", "SHLVL", "_"}
        self.assertEqual(stack.wait_until("it wrote its environment", names), {"PATH"})

    def test_mistakes(self):
        with open(self.stack.env["GH_CONFIG"]) as f:
            good = f.read()
        path = os.path.join(self.stack.dir, "etc", "check.yaml")
        for was, becomes, words in (("allow_http: true", "allow_http: false", "has no TLS"), ("secret_file: hook.secret", "secret_file: nothing", "nothing"),
                                    ("events: refusal", "events: refuse", "is no event"), ("sign: node", "sql: false", "who sent it"),
                                    ("http://127", "ftp://127", "no https URL"), ("http://127", "http://me:secret@127", "user or a password"),
                                    ("queue: 20", "queue: 0", "queue"), ("command: [", "command: [relative, ", "program's path"),
                                    ("    events: refusal\n", "", "events")):
            with open(path, "w") as f:
                f.write(good.replace(was, becomes))
            done = subprocess.run(stack.as_root(os.path.join(self.stack.env["GH_BUILD"], "gatehouse"), "-t", "-c", path), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
            self.assertNotEqual(done.returncode, 0, becomes)
            self.assertRegex(done.stdout, r"check\.yaml:\d+:\d+: .*" + words)
            self.assertNotIn("secret@", done.stdout.replace(becomes, ""))

    # --- break-glass ---

    REASON = "SET gatehouse.breakglass = 'incident 4711, nobody answers'"

    def test_breakglass(self):
        for more in ({}, {"prepare": True}):
            conn = self.connect("oncall")
            sql = f"INSERT INTO scratch.t VALUES (1, 'emergency {len(more)}')"
            self.asked(conn, sql, **more)
            with self.assertRaisesRegex(psycopg.Error, "say why"):
                conn.execute("SET gatehouse.breakglass = 'x'")
            self.assertEqual(conn.execute(self.REASON, **more).statusmessage, "SET")
            self.assertEqual(conn.execute(sql, **more).rowcount, 1)
            self.assertEqual(conn.execute(sql, **more).rowcount, 1)
            self.asked(conn, "DELETE FROM scratch.t", **more)  # the rule does not say it
            self.asked(conn, "INSERT INTO scratch.t VALUES (1, 'x'); DELETE FROM scratch.t WHERE n = 1")
            for denied in ("SELECT * FROM scratch.never", "INSERT INTO scratch.t SELECT n, 'x' FROM scratch.never", "SELECT * FROM staff"):
                with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "denied by the policy|not allowed by the policy"):
                    conn.execute(denied, **more)
            self.asked(self.connect("oncall"), sql)  # this session alone
            conn.execute("SET gatehouse.breakglass = ''", **more)
            self.asked(conn, sql, **more)
        records = [e for e in self.stack.audit() if e.get("breakglass") and e["type"] == "statement"]
        self.assertEqual({(e["breakglass"], e["verdict"], e["rule"]) for e in records if "INSERT" in e["sql"]},
                         {("incident 4711, nobody answers", "allow", "askers-insert")})
        index = stack.wait_until("it is in the index", lambda: [e for e in self.stack.stream("gatehouse:sessions") if e["type"].startswith("breakglass")])
        self.assertTrue({"breakglass", "breakglass.used", "breakglass.over"} <= {e["type"] for e in index})
        self.assertEqual(self.mine("breakglass")[0]["about"]["reason"], "incident 4711, nobody answers")
        self.mine("breakglass.used")
        self.assertIn("event=breakglass.used", self.stack.log("gatehouse"))
        self.assertNotIn("4711", self.stack.log("postgresql"))

    def test_breakglass_is_not_for_everybody(self):
        conn = self.connect("asker")
        for more in ({}, {"prepare": True}):
            with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "no rule of the policy lets you"):
                conn.execute(self.REASON, **more)
        for text in (self.REASON + "; SELECT 1", "SET LOCAL gatehouse.breakglass = 'incident 4711, nobody'", "SELECT set_config('gatehouse.breakglass', 'incident 4711', false)"):
            for who in ("asker", "oncall"):
                with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                    self.connect(who).execute(text)
        with self.assertRaises(psycopg.OperationalError):
            self.stack.psycopg("oncall", options="-c gatehouse.breakglass=incident-4711-nobody-answers")
        self.asked(conn, "INSERT INTO scratch.t VALUES (1, 'x')")

    def test_breakglass_ends(self):
        conn = self.connect("oncall")
        conn.execute(self.REASON)
        self.stack.direct("INSERT INTO scratch.t VALUES (1, 'a')")
        update = "UPDATE scratch.t SET s = 'b'"
        self.assertEqual(conn.execute(update).rowcount, 1)
        end = time.time() + 3.05

        def over():
            try:
                conn.execute(update)
                return False
            except psycopg.errors.InsufficientPrivilege as e:
                return "needs approval" in str(e)
        stack.wait_until("the three seconds of that rule are over", over)
        self.assertLess(end - 3.05, time.time())
        self.assertEqual(conn.execute("INSERT INTO scratch.t VALUES (2, 'c')").rowcount, 1)  # the hour of this one is not
        self.ctl("block", "principal", self.principal, "--reason", "no emergency", "--for", "2s")
        with self.assertRaises(psycopg.OperationalError):
            conn.execute("SELECT 1")

    def test_breakglass_without_redis(self):
        """Redis away: who breaks the glass goes on, recorded in the journal; nobody else does; and Redis has all of it later."""
        other, late = self.connect("asker"), self.connect("oncall")
        conn = self.connect("oncall")
        conn.execute(self.REASON)
        self.stack.stop("redis")
        try:
            stack.wait_until("the ledger knows", lambda: not json.loads(self.ctl("status", "--json"))["ledger_healthy"])
            self.assertEqual(conn.execute("INSERT INTO scratch.t VALUES (1, 'without redis')").rowcount, 1)
            self.assertEqual(conn.execute("SELECT count(*) FROM scratch.t").fetchone(), (1,))
            self.assertEqual(conn.execute("SELECT count(*) FROM scratch.t", prepare=True).fetchone(), (1,))
            late.execute(self.REASON)
            self.assertEqual(late.execute("SELECT count(*) FROM scratch.t").fetchone(), (1,))
            with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "Never"):
                conn.execute("SELECT * FROM scratch.never")
            for who in (other, self.connect("oncall")):
                with self.assertRaisesRegex(psycopg.Error, "ledger is unavailable"):
                    who.execute("SELECT 1")
        finally:
            self.stack.start("redis")
        records = stack.wait_until("it is in Redis", lambda: [e for e in self.stack.audit() if "without redis" in e.get("sql", "") and e["type"] == "statement"], 30)
        self.assertEqual([(e["verdict"], e["breakglass"]) for e in records], [("allow", "incident 4711, nobody answers")])
        stack.wait_until("the ledger is back", lambda: json.loads(self.ctl("status", "--json"))["ledger_healthy"])
        other.execute("SELECT 1")


if __name__ == "__main__":
    unittest.main()
