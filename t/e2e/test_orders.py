"""Blocks, which count on every node at once and cannot be taken back by who writes to Redis or to a file; grants, which end on time."""
import json
import os
import signal
import subprocess
import threading
import time
import unittest

import psycopg

import stack
import two

RULES = """
  - name: askers-read
    groups: askers
    database: shop
    allow: select
    on: scratch.*
  - name: askers-insert
    groups: askers
    database: shop
    ask: insert
    on: scratch.t
    approvers: dbas
    grant: { max: 30m, scope: rule }
  - name: askers-update
    groups: askers
    database: shop
    ask: update
    on: scratch.t
    approvers: dbas
    quorum: 2
    grant: { max: 1h, scope: kind }
  - name: askers-delete
    groups: askers
    database: shop
    ask: delete
    on: scratch.t
    approvers: dbas
  - name: askers-never
    groups: askers
    database: shop
    deny: all
    on: scratch.never
    reason: Never.
"""
OK, FAILED, USAGE, REFUSED, UNKNOWN, OVER = range(6)  # of gatehousectl


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class Orders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.one = stack.Stack(policy=stack.own_policy() + RULES)
        cls.addClassCleanup(cls.one.close)
        cls.two = two.Second(cls.one)
        cls.addClassCleanup(cls.two.close)
        two.acquaint(cls.one, cls.two)

    def setUp(self):
        self.one.scratch("CREATE TABLE scratch.t (n int, s text); CREATE TABLE scratch.never (n int)")
        name = self._testMethodName.replace("_", "-")
        self.principal = f"{name}@shop.example"
        self.one._minted["asker"] = self.one.mint(self.principal, ["askers"])
        self.one._minted["asker-as-dba"] = self.one.mint(self.principal.upper(), ["dbas"])

    # --- what a test does ---

    def ctl(self, *args, s=None, token=None, want=OK):
        done = subprocess.run([(s or self.one).env["GH_CTL"], *args], input=None if token is None else self.one.token(token), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=None if token is not None else subprocess.DEVNULL)
        self.assertEqual(done.returncode, want, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def listed(self, what, *args, s=None):
        return json.loads(self.ctl(what, "--json", *args, s=s))

    def connect(self, who="asker", s=None, **more):
        conn = (s or self.one).psycopg(who, autocommit=True, prepare_threshold=None, **more)
        self.addCleanup(conn.close)
        return conn

    def block(self, what, value, *more, s=None, reason="it ran amok"):
        self.addCleanup(lambda: subprocess.run([self.one.env["GH_CTL"], "unblock", what, value], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return self.ctl("block", what, value, "--reason", reason, *more, s=s)

    def turned_away(self, s=None, who="asker"):
        try:
            (s or self.one).psycopg(who).close()
        except psycopg.OperationalError as e:
            return "is blocked" in str(e)
        return False

    def asked(self, conn, sql, params=None, **more):
        with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            conn.execute(sql, params, **more)
        self.assertRegex(str(caught.exception), "needs approval: it waits for a decision on request")
        return str(caught.exception).split("decision on request ")[1].split()[0]

    def approve(self, ident, *more, who="dba", want=OK):
        return self.ctl("approve", ident, "--token-file", "-", *more, token=who, want=want)

    def rows(self):
        return self.one.direct("SELECT count(*) FROM scratch.t")[0][0]

    # --- blocks ---

    def test_principal(self):
        """Everywhere at once: idle, in a transaction, running; and new sessions."""
        idle, other = self.connect(), self.connect(s=self.two)
        running = self.connect(s=self.two)
        inside = self.connect()
        inside.execute("BEGIN")
        bystander = self.connect("agent", s=self.two)
        caught = []

        def long():
            try:
                running.execute("SELECT count(*) FROM generate_series(1, 1000000000)")
            except psycopg.OperationalError as e:
                caught.append(str(e))
        thread = threading.Thread(target=long)
        thread.start()
        stack.wait_until("it runs", lambda: self.one.direct("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%generate_series(1, 1000000000)%' "
                                                            "AND pid <> pg_backend_pid() AND state = 'active'"))
        self.block("principal", self.principal.upper(), s=self.one)
        thread.join(20)
        self.assertTrue(caught)
        stack.wait_until("the database was told", lambda: not self.one.direct(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%generate_series(1, 1000000000)%' AND pid <> pg_backend_pid() AND state = 'active'"))
        for conn in (idle, inside, other):
            with self.assertRaises(psycopg.OperationalError):
                conn.execute("SELECT 1")
        for s in (self.one, self.two):
            with self.assertRaisesRegex(psycopg.OperationalError, "this principal is blocked: it ran amok"):
                s.psycopg("asker")
            self.assertEqual([(b["what"], b["value"], b["status"]) for b in self.listed("blocks", s=s)],
                             [("principal", self.principal.upper(), "counts")])
        bystander.execute("SELECT 1")
        self.ctl("unblock", "principal", self.principal, s=self.two)
        self.connect(s=self.two)
        stack.wait_until("the first lets in again", lambda: not self.turned_away())
        self.ctl("unblock", "principal", self.principal, s=self.two, want=UNKNOWN)
        events = [e["type"] for e in self.one.stream("gatehouse:sessions")]
        self.assertTrue({"block", "unblock", "session.blocked"} <= set(events))

    def test_session_address_database(self):
        conn, other = self.connect(), self.connect()
        sessions = [s for s in self.listed("sessions") if s["principal"] == self.principal]
        self.block("session", sessions[0]["id"])
        ended = stack.wait_until("one of them ends", lambda: [s for s in sessions if s["id"] not in [n["id"] for n in self.listed("sessions")]])
        self.assertEqual([s["id"] for s in ended], [sessions[0]["id"]])
        del conn, other
        address = sessions[0]["src"]
        network = "::/0" if ":" in address else address.rsplit(".", 2)[0] + ".0.0/16"
        self.block("address", network)
        stack.wait_until("the second hears of it", lambda: self.turned_away(self.two, "agent"))
        with self.assertRaisesRegex(psycopg.OperationalError, "this address is blocked"):
            self.one.psycopg("agent")
        self.ctl("unblock", "address", network)
        stack.wait_until("the second hears of it", lambda: not self.turned_away(self.two, "agent"))
        conn = self.connect("agent")
        self.block("database", "shop", "--for", "1h")
        with self.assertRaises(psycopg.OperationalError):
            conn.execute("SELECT 1")
        with self.assertRaisesRegex(psycopg.OperationalError, "this database is blocked"):
            self.one.psycopg("dba")
        self.ctl("unblock", "database", "shop")
        stack.wait_until("it is open again", lambda: not self.turned_away(self.two, "dba"))
        self.connect("dba").execute("SELECT 1")
        for args in (("principal",), ("principal", "x"), ("group", "x", "--reason", "y"), ("address", "10.0.0", "--reason", "y"),
                     ("principal", "x", "--reason", "y", "--for", "0s")):
            self.ctl("block", *args, want=USAGE)

    def test_until(self):
        self.block("principal", self.principal, "--for", "1s")
        self.assertTrue(self.turned_away())
        stack.wait_until("it ends by itself", lambda: not self.turned_away())

    def test_redis_written_by_hand(self):
        """Orders deleted, replayed, forged, turned back to an earlier state: nobody is let in, and nobody is shut out."""
        redis = self.one.redis
        self.block("principal", self.principal)
        stack.wait_until("the second knows", lambda: self.turned_away(self.two))
        redis("DEL", "gatehouse:orders")
        for s in (self.one, self.two):
            self.assertTrue(self.turned_away(s))
        two.restart(self.two)  # from its file alone
        stack.wait_until("it is back", lambda: self.two.log("gatehouse").count("event=start ") >= 2)
        stack.wait_until("HAProxy lets in", lambda: self.turned_away(self.two))
        stack.wait_until("it is written again", lambda: redis("XLEN", "gatehouse:orders").strip() != "0")
        # a snapshot from before the block was lifted
        redis("COPY", "gatehouse:orders", "saved", "REPLACE")
        self.ctl("unblock", "principal", self.principal)
        stack.wait_until("the second knows", lambda: not self.turned_away(self.two))
        entries = self.one.stream("gatehouse:orders")
        redis("COPY", "saved", "gatehouse:orders", "REPLACE")
        for e in entries:  # and once more, behind all others
            redis("XADD", "gatehouse:orders", "*", "node", e["node"], "signed", e["signed"], "signature", e["signature"])
        # a new block, and then the order that lifted the old one
        self.block("principal", self.principal)
        stack.wait_until("the second knows", lambda: self.turned_away(self.two))
        for e in entries:
            redis("XADD", "gatehouse:orders", "*", "node", e["node"], "signed", e["signed"], "signature", e["signature"])
        lifting = next(e for e in entries if json.loads(e["signed"])["op"] == "unblock")
        newest = next(b for b in self.listed("blocks") if b["value"] == self.principal)["id"]
        forged = dict(json.loads(lifting["signed"]), lifts=[newest], seq=json.loads(lifting["signed"])["seq"] + 1000)
        for node in ("shop-1", "shop-2", "shop-3"):
            text = json.dumps(dict(forged, node=node), separators=(",", ":"), sort_keys=True)
            redis("XADD", "gatehouse:orders", "*", "node", node, "signed", text, "signature", lifting["signature"])
        redis("XADD", "gatehouse:orders", "*", "node", "shop-1", "signed", "{}", "signature", "A" * 86)
        redis("XADD", "gatehouse:orders", "*", "nonsense", "")
        # a forgery in the place of the real one, whose number it has
        block = next(e for e in self.one.stream("gatehouse:orders") if newest.rpartition(":")[2] in e.get("signed", "") and
                     f":{json.loads(e['signed'])['seq']}" == newest[-14:])
        redis("XDEL", "gatehouse:orders", block["id"])
        redis("XADD", "gatehouse:orders", "*", "node", block["node"], "signed", block["signed"], "signature", "A" * 85 + "Q")
        stack.wait_until("the real one is there again", lambda: [e for e in self.one.stream("gatehouse:orders") if e.get("signed") == block["signed"] and
                                                                 e["signature"] == block["signature"]], 60)  # every 4 s, or every 30 where the stream was long a moment ago
        for s in (self.one, self.two):
            stack.wait_until("it was seen", lambda: "event=order.refused" in s.log("gatehouse") and "event=order.stranger" in s.log("gatehouse"))
            self.assertTrue(self.turned_away(s))
        redis("DEL", "saved")

    def test_redis_flooded_with_duplicates(self):
        """Signed orders, repeated tens of thousands of times by somebody who writes to Redis: sessions go on, new orders arrive, and nothing is done twice."""
        self.block("principal", self.principal)
        self.ctl("unblock", "principal", self.principal)
        self.block("principal", self.principal)
        both = (self.one, self.two)
        self.addCleanup(self.one.redis, "DEL", "gatehouse:orders")
        newest = {b["id"] for b in self.listed("blocks") if b["value"] == self.principal}
        for s in both:  # not the first block alone
            stack.wait_until("it knows", lambda: {b["id"] for b in self.listed("blocks", s=s) if b["value"] == self.principal} == newest and self.turned_away(s))  # noqa: B023
        entries = [e for e in self.one.stream("gatehouse:orders") if "signed" in e and self.principal in e["signed"]]
        self.assertGreaterEqual(len(entries), 3)

        def lines(s):
            return subprocess.run(stack.as_root("cat", os.path.join(s.dir, "etc", "journal", "orders.log")), stdout=subprocess.PIPE, check=True).stdout.splitlines()

        def events():
            return sorted(e["order"] for e in self.one.stream("gatehouse:sessions") if e["type"] in ("block", "unblock"))
        stack.wait_until("the record", lambda: len([e for e in events()]) >= 3)
        before, recorded, taken = [lines(s) for s in both], events(), [s.log("gatehouse").count("event=order.taken") for s in both]
        memory = [s.rss_kib("gatehouse") for s in both]
        conns = [self.connect("agent", s=s) for s in both]
        pour = """for i = 1, ARGV[1] do
                      local k = (i % ((#ARGV - 1) / 3)) * 3 + 2
                      redis.call('XADD', KEYS[1], '*', 'node', ARGV[k], 'signed', ARGV[k + 1], 'signature', ARGV[k + 2])
                  end"""
        words = [w for e in entries for w in (e["node"], e["signed"], e["signature"])]
        slowest = 0
        for _ in range(15):
            self.one.redis("EVAL", pour, "1", "gatehouse:orders", "2000", *words)
            for c in conns:
                start = time.monotonic()
                c.execute("SELECT 1")
                slowest = max(slowest, time.monotonic() - start)
        self.assertGreater(int(self.one.redis("XLEN", "gatehouse:orders")), 30000)
        self.assertLess(slowest, 5)
        self.one._minted["next"] = self.one.mint("next-" + self.principal, ["askers"])
        self.block("principal", "next-" + self.principal)
        stack.wait_until("a new order reaches the other node", lambda: self.turned_away(self.two, "next"), 60)
        for s, old, count, rss in zip(both, before, taken, memory, strict=True):
            now = lines(s)
            self.assertEqual(now[:len(old)], old)
            self.assertEqual(len(now), len(old) + 1)
            self.assertEqual(s.log("gatehouse").count("event=order.taken") - count, int(s is self.two))
            self.assertLess(s.rss_kib("gatehouse") - rss, 64 << 10)
            self.assertEqual(sorted(b["value"] for b in self.listed("blocks", s=s)), ["next-" + self.principal, self.principal])
        self.assertEqual(len(events()), len(recorded) + 1)
        self.ctl("unblock", "principal", self.principal)  # the block that was repeated is lifted for good
        self.ctl("unblock", "principal", "next-" + self.principal)
        for s in both:
            stack.wait_until("it lets in", lambda: not self.turned_away(s) and not self.turned_away(s, "next"), 60)  # noqa: B023
        self.one.redis("EVAL", pour, "1", "gatehouse:orders", "2000", *words)
        for c in conns:
            c.execute("SELECT 1")
        self.one.redis("DEL", "gatehouse:orders")
        stack.wait_until("what is ours is written again, once", lambda: 0 < int(self.one.redis("XLEN", "gatehouse:orders")) < 2000, 60)
        for s in both:
            self.assertFalse(self.turned_away(s))

    def test_redis_has_what_is_too_large(self):
        """Entries that no answer may hold, before, between and behind orders: these travel all the same, both ways, and the log names what is in the way."""
        def pour(size):
            return self.one.redis("EVAL", "return redis.call('XADD', KEYS[1], '*', 'node', string.rep('x', ARGV[1]))", "1", "gatehouse:orders", str(size)).strip()
        self.addCleanup(self.one.redis, "DEL", "gatehouse:orders")
        large = [pour(70_000_000)]
        for s in (self.one, self.two):
            stack.wait_until("it is noticed", lambda: f'event=orders.large stream="gatehouse:orders" entry="{large[0]}"' in s.log("gatehouse"), 60)  # noqa: B023
        self.block("principal", self.principal)
        stack.wait_until("the second knows", lambda: self.turned_away(self.two), 60)
        large += [pour(2_000_000), pour(80_000_000)]
        self.ctl("unblock", "principal", self.principal, s=self.two)
        stack.wait_until("the first knows", lambda: not self.turned_away(), 60)
        two.restart(self.two)  # begins with all of it
        stack.wait_until("HAProxy lets in", lambda: not self.turned_away(self.two), 60)
        self.block("principal", self.principal)
        stack.wait_until("the second knows", lambda: self.turned_away(self.two), 60)
        # one of them hides nothing: an order that is taken away is written again
        order = self.one.redis("EVAL", "for _, e in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-')) do if #e[2] == 6 then return e[1] end end", "1",
                               "gatehouse:orders").strip()
        self.one.redis("XDEL", "gatehouse:orders", order)
        stack.wait_until("it is there again", lambda: "1" == self.one.redis(
            "EVAL", "local e = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]; return #e[2] == 6 and e[1] ~= ARGV[1] and 1 or 0", "1",
            "gatehouse:orders", order).strip(), 60)
        self.one.redis("XDEL", "gatehouse:orders", *large)
        self.ctl("unblock", "principal", self.principal)
        for s in (self.one, self.two):
            stack.wait_until("it lets in", lambda: not self.turned_away(s), 60)  # noqa: B023

    def test_file_edited_by_hand(self):
        path = os.path.join(self.one.dir, "etc", "journal", "orders.log")
        self.block("principal", self.principal)
        subprocess.run(stack.as_root("cp", path, path + ".kept"), check=True)
        subprocess.run(stack.as_root("truncate", "-s", "0", path), check=True)
        self.assertTrue(self.turned_away())
        stack.wait_until("it is noticed", lambda: "event=order.restored" in self.one.log("gatehouse"))
        self.one.kill("gatehouse")
        subprocess.run(stack.as_root("rm", path), check=True)
        self.one.start("gatehouse")  # Redis has this node's own order, with its own signature
        stack.wait_until("it is blocked again", self.turned_away)
        self.assertIn("event=order.taken", self.one.log("gatehouse"))

    def test_redis_away(self):
        """A block counts here at once without Redis, and elsewhere when Redis is back."""
        conn = self.connect()
        self.one.stop("redis")
        try:
            self.block("principal", self.principal)
            with self.assertRaises(psycopg.OperationalError):
                conn.execute("SELECT 1")
            self.assertTrue(self.turned_away())
        finally:
            self.one.start("redis")
        stack.wait_until("the second hears of it", lambda: self.turned_away(self.two), 30)

    def test_operators(self):
        """Where the configuration names operators, the door alone does not do."""
        two.configure(self.one, lambda t: t.replace("  peers: [root, daemon]", "  peers: [root, daemon]\n  operators: [dbas]"))
        self.addCleanup(self.reload)
        self.addCleanup(two.configure, self.one, lambda t: t.replace("\n  operators: [dbas]", ""))
        self.reload()
        args = ("principal", self.principal, "--reason", "x")
        self.assertIn("token", self.ctl("block", *args, want=REFUSED))
        self.assertIn("none of your groups", self.ctl("block", *args, "--token-file", "-", token="agent", want=REFUSED))
        self.assertEqual(self.listed("blocks"), [])
        self.ctl("block", *args, "--token-file", "-", token="dba")
        self.assertEqual(self.listed("blocks")[0]["by"], "dba@shop.example")
        # who is blocked lifts nothing, and decides nothing
        self.ctl("block", "principal", "DBA2@shop.example", "--reason", "gone", "--token-file", "-", token="dba")
        self.assertIn("you are blocked: gone", self.ctl("unblock", "principal", "dba2@shop.example", "--token-file", "-", token="dba2", want=REFUSED))
        self.ctl("unblock", "principal", self.principal, "--token-file", "-", token="dba")
        ident = self.asked(self.connect(), "INSERT INTO scratch.t VALUES (1, 'x')")
        self.assertIn("you are blocked: gone", self.approve(ident, who="dba2", want=REFUSED))
        self.ctl("unblock", "principal", "dba2@shop.example", want=REFUSED)
        self.ctl("unblock", "principal", "dba2@shop.example", "--token-file", "-", token="dba")
        self.approve(ident, who="dba2")
        session = next(s["id"] for s in self.listed("sessions") if s["principal"] == self.principal)
        self.ctl("sessions", "kill", session, want=REFUSED)
        self.ctl("sessions", "kill", session, "--token-file", "-", token="dba")

    def reload(self):
        before = self.one.log("gatehouse").count("event=reload ")
        self.one.signal("gatehouse")
        stack.wait_until("reload", lambda: self.one.log("gatehouse").count("event=reload ") > before)

    def test_approver_blocked_later(self):
        """What somebody approved who is blocked by now does not run."""
        conn = self.connect()
        sql = "INSERT INTO scratch.t VALUES (1, 'x')"
        ident = self.asked(conn, sql)
        self.approve(ident)
        self.block("principal", "dba@shop.example")
        again = self.asked(conn, sql)
        self.assertNotEqual(again, ident)
        self.ctl("unblock", "principal", "dba@shop.example")
        self.approve(again, "--for", "10m")
        self.assertEqual(conn.execute(sql).rowcount, 1)
        self.block("principal", "dba@shop.example")
        self.asked(conn, sql)
        self.ctl("unblock", "principal", "dba@shop.example")
        self.assertEqual(conn.execute(sql).rowcount, 1)

    # --- approvals, on two nodes and by other hands ---

    def test_two_nodes_and_one_approval(self):
        """The same text of the same identity at both at once: it runs on the node that was asked, once."""
        conns = [self.connect(), self.connect(s=self.two)]
        rounds = int(os.environ.get("GH_ROUNDS", 15))
        door = {}
        for s in (self.one, self.two):
            door[s] = os.path.join(s.dir, "admin", "admin.sock")
        for n in range(rounds):
            sql = f"INSERT INTO scratch.t VALUES ({n}, 'two nodes')"
            home = n % 2
            ids = [None, None]
            ids[home] = self.asked(conns[home], sql)
            self.post(door[(self.one, self.two)[home]], ids[home], {"verdict": "approve"})
            ran, start = [], threading.Barrier(2)

            def run(k):
                start.wait()
                try:
                    conns[k].execute(sql)
                    ran.append(k)
                except psycopg.errors.InsufficientPrivilege as e:
                    ids[k] = str(e).split("decision on request ")[1].split()[0]
            threads = [threading.Thread(target=run, args=(k,)) for k in (0, 1)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(ran, [home])
            self.assertEqual(self.one.direct("SELECT count(*) FROM scratch.t WHERE n = %s", [n])[0][0], 1)
            self.post(door[(self.one, self.two)[1 - home]], ids[1 - home], {"verdict": "deny", "reason": "next"})

    def post(self, path, ident, body, want=200):
        import http.client
        import socket
        conn = http.client.HTTPConnection("gatehouse")
        conn.sock = socket.socket(socket.AF_UNIX)
        conn.sock.connect(path)
        conn.request("POST", f"/approvals/{ident}", json.dumps(body), {"Authorization": "Bearer " + self.one.token("dba")})
        answer = conn.getresponse()
        self.assertEqual(answer.status, want, answer.read())

    def test_decisions_of_other_hands(self):
        """Tokens of no worth, names that are hardly others, decisions taken from another node or written into the file."""
        accented = "jos\u00e9-decides@shop.example"
        self.one._minted["asker"] = self.one.mint(accented, ["askers"])
        conn, there = self.connect(), self.connect(s=self.two)
        sql = "INSERT INTO scratch.t VALUES (1, 'mine')"
        ident, other = self.asked(conn, sql), self.asked(there, sql)
        self.assertNotEqual(ident, other)
        for name in (accented, accented.upper(), "jose-decides@shop.example", "jose\u0301-decides@shop.example", "\uff2aOS\u00c9-decides@shop.example"):
            self.one._minted["self"] = self.one.mint(name, ["dbas"])
            self.assertIn("of your own", self.approve(ident, who="self", want=REFUSED))
        for name, more in (("old", ["--claim", f"exp={int(time.time()) - 60}"]), ("early", ["--claim", f"nbf={int(time.time()) + 3600}"]),
                           ("elsewhere", ["--claim", "aud=another"])):
            self.one._minted[name] = self.one.mint("dba@shop.example", ["dbas"], *more)
            self.assertIn("not accepted", self.approve(ident, who=name, want=REFUSED))
        self.one._minted["foreign"] = self.one.mint("dba@shop.example", ["dbas"], issuer="https://issuer2.shop.example")
        self.assertIn("not accepted", self.approve(ident, who="foreign", want=REFUSED))
        # a decision of the other node, in this node's file, with a good checksum
        self.ctl("approve", other, "--token-file", "-", s=self.two, token="dba")
        folder = [os.path.join(s.dir, "etc", "journal") for s in (self.one, self.two)]
        lines = subprocess.run(stack.as_root("cat", folder[1] + "/approvals.log"), stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        decision = next(json.loads(line[9:]) for line in lines if json.loads(line[9:])["t"] == "decision" and json.loads(line[9:])["id"] == other)
        forgeries = [decision, {**decision, "id": ident}, {**decision, "id": ident, "signed": decision["signed"].replace(other, ident).replace("shop-2", "shop-1")}]
        text = "".join(f"{crc32c(line.encode()):08x} {line}\n" for line in (json.dumps(f, separators=(",", ":")) for f in forgeries))
        subprocess.run(stack.as_root("tee", "-a", folder[0] + "/approvals.log"), input=text, text=True, stdout=subprocess.DEVNULL, check=True)
        self.assertEqual(self.asked(conn, sql), ident)
        self.assertEqual(self.one.log("gatehouse").count("event=approval.forged") >= 3, True)
        self.assertEqual(json.loads(self.ctl("approvals", "show", ident, "--json"))["decisions"], [])
        # and edited in place: all of the file is void
        subprocess.run(stack.as_root("sed", "-i", "s/mine/hers/", folder[0] + "/approvals.log"), check=True)
        again = self.asked(conn, sql)
        self.assertNotEqual(again, ident)
        self.approve(ident, want=UNKNOWN)
        self.assertEqual(self.rows(), 0)

    def test_another_unix_user(self):
        """The admin door: its file's mode, and behind it the list of peers."""
        door = os.path.join(self.one.dir, "admin", "admin.sock")
        ctl = os.path.join(self.one.env["GH_BUILD"], "gatehousectl")
        ident = self.asked(self.connect(), "INSERT INTO scratch.t VALUES (1, 'x')")
        for mode in ("600", "666"):
            subprocess.run(stack.as_root("chmod", mode, door), check=True)
            for args in (("approvals",), ("block", "database", "shop", "--reason", "x"), ("approve", ident, "--token-file", "-")):
                done = subprocess.run(stack.as_root("runuser", "-u", "nobody", "--", ctl, *args, "--socket", door), input=self.one.token("dba"),
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                self.assertEqual(done.returncode, FAILED, done.stdout)
        subprocess.run(stack.as_root("chmod", "600", door), check=True)
        self.assertEqual(self.listed("blocks"), [])
        self.assertEqual(json.loads(self.ctl("approvals", "show", ident, "--json"))["status"], "pending")

    def test_redis_hangs(self):
        """SIGSTOP: statements are refused in time, the daemon answers, nothing is stuck, and all goes on afterwards."""
        conn, other = self.connect(), self.connect(s=self.two)
        for c in (conn, other):
            stack.wait_until("statements run", lambda: self.runs(c), 30)  # noqa: B023
        seconds = float(os.environ.get("GH_HANG", 4))
        self.one.signal("redis", signal.SIGSTOP)
        try:
            end, refused = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                before = time.monotonic()
                for c in (conn, other):
                    with self.assertRaisesRegex(psycopg.Error, "ledger is unavailable"):
                        c.execute("SELECT 1")
                    refused += 1
                self.assertLess(time.monotonic() - before, 20)
                self.listed("approvals")
                self.listed("sessions", s=self.two)
                self.block("session", "nobody", "--for", "1s")
                self.connect()
                time.sleep(0.2)
            self.assertGreater(refused, 1)
        finally:
            self.one.signal("redis", signal.SIGCONT)
        for c in (conn, other):
            stack.wait_until("statements run again", lambda: self.runs(c), 30)

    def runs(self, conn):
        try:
            return conn.execute("SELECT 1").fetchone() == (1,)
        except psycopg.Error:
            return False

    # --- grants ---

    def test_statement_for_some_time(self):
        conn, other = self.connect(), self.connect()
        sql = "INSERT INTO scratch.t VALUES (1, 'again')"
        ident = self.asked(conn, sql)
        self.assertIn("as grant", self.approve(ident, "--for", "30m"))
        for c in (conn, other, conn):
            self.assertEqual(c.execute(sql).rowcount, 1)
        self.asked(conn, sql + " ")
        self.asked(self.connect(s=self.two), sql)  # counts where it was decided
        self.assertEqual(self.rows(), 3)
        grant = next(g for g in self.listed("grants") if g["request"] == ident)
        self.assertEqual((grant["principal"], grant["scope"], grant["approvers"], grant["status"]),
                         (self.principal, "statement", ["dba@shop.example"], "counts"))
        records = [e for e in self.one.audit() if e.get("sql") == sql and e.get("verdict") == "allow"]
        self.assertEqual({(e["approval"], e["grant"], e["approved_by"]) for e in records}, {(ident, grant["id"], "dba@shop.example")})
        self.assertEqual(json.loads(self.ctl("approvals", "show", ident, "--json"))["status"], "granted")
        self.approve(ident, who="dba2", want=OVER)
        self.ctl("grants", "revoke", grant["id"], "--reason", "enough")
        self.asked(conn, sql)
        self.ctl("grants", "revoke", grant["id"], want=UNKNOWN)
        self.ctl("grants", "revoke", "shop-1:1", want=UNKNOWN)
        self.assertIn("revoked", self.ctl("grants", "--all"))
        stack.wait_until("all of it is recorded", lambda: {"grant", "grant.revoked"} <= {e["type"] for e in self.one.stream("gatehouse:sessions")})

    def test_ends_on_time(self):
        """In a session that goes on, to the moment; a clock of the client's says when it has to be over."""
        conn = self.connect()
        sql = "INSERT INTO scratch.t VALUES (1, 'while it lasts')"
        self.approve(self.asked(conn, sql), "--for", "2s")
        until = time.time() + 60
        for g in self.listed("grants"):
            if g["principal"] == self.principal:
                until = __import__("datetime").datetime.fromisoformat(g["until"].replace("Z", "+00:00")).timestamp()
        ran = 0
        for _ in range(100000):
            before = time.time()
            try:
                conn.execute(sql)
                self.assertLess(before, until)
                ran += 1
            except psycopg.errors.InsufficientPrivilege:
                self.assertGreaterEqual(time.time(), until)
                break
        self.assertGreater(ran, 0)
        self.assertEqual(self.rows(), ran)
        self.asked(conn, sql)
        stack.wait_until("its end is recorded", lambda: [e for e in self.one.stream("gatehouse:sessions") if e["type"] == "grant.ended" and
                                                         e.get("principal") == self.principal])

    def test_kind_and_quorum(self):
        self.one.direct("INSERT INTO scratch.t VALUES (1, 'a'), (2, 'b')")
        conn = self.connect()
        ident = self.asked(conn, "UPDATE scratch.t SET s = 'x' WHERE n = 1")
        self.assertIn("at most", self.approve(ident, "--for", "2h", want=USAGE))
        self.assertIn("scope", self.approve(ident, "--for", "1h", "--scope", "rule", want=USAGE))
        self.assertIn("more are needed", self.approve(ident, "--for", "1h", "--scope", "kind"))
        self.approve(ident, "--for", "20m", "--scope", "kind", who="dba2")
        grant = next(g for g in self.listed("grants") if g["request"] == ident)
        self.assertEqual((grant["scope"], sorted(grant["approvers"])), ("kind", ["dba2@shop.example", "dba@shop.example"]))
        self.assertEqual(conn.execute("UPDATE scratch.t SET s = 'y' WHERE n = 2").rowcount, 1)
        self.assertEqual(conn.execute("UPDATE scratch.t SET s = 'it''s' WHERE n = 1").rowcount, 1)
        self.asked(conn, "UPDATE scratch.t SET s = %s WHERE n = %s", ["z", 2])
        for sql in ("UPDATE scratch.t SET s = 'y'", "UPDATE scratch.t SET s = upper(s) WHERE n = 2", "INSERT INTO scratch.t VALUES (3, 'c')",
                    "UPDATE scratch.t SET s = 'y' WHERE n IN (SELECT n FROM scratch.t)", "UPDATE scratch.t SET s = 'y' WHERE n = 2; SELECT 1",
                    "UPDATE scratch.t SET s = 'y' WHERE n = 2 RETURNING n",
                    "UPDATE scratch.t SET s = 'y' WHERE n = 2 OR n = 1", "UPDATE scratch.t SET s = n WHERE n = 2"):
            with self.subTest(sql):
                self.asked(conn, sql)
        for sql in ("UPDATE scratch.t SET s = 'y' FROM scratch.never WHERE true",):  # a denial is a denial
            with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "Never"):
                conn.execute(sql)
        conn.execute("SET DateStyle = 'German'")
        with self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "has changed the setting datestyle"):
            conn.execute("UPDATE scratch.t SET s = 'y' WHERE n = 2")
        # one who agrees for once, and one who agrees for an hour: for once, and not at all as a grant
        conn = self.connect()
        ident = self.asked(conn, "UPDATE scratch.t SET s = 'q' WHERE n = 1 AND true OR false")
        self.approve(ident, "--for", "1h")
        self.approve(ident, who="dba2")
        sql = "UPDATE scratch.t SET s = 'q' WHERE n = 1 AND true OR false"
        self.assertEqual(conn.execute(sql).rowcount, 1)
        self.assertEqual(len([g for g in self.listed("grants", "--all") if g["request"] == ident]), 0)

    def test_rule_scope_and_who(self):
        conn = self.connect()
        ident = self.asked(conn, "INSERT INTO scratch.t VALUES (1, 'x')")
        self.assertIn("of your own", self.approve(ident, "--for", "10m", "--scope", "rule", who="asker-as-dba", want=REFUSED))
        self.approve(ident, "--for", "10m", "--scope", "rule")
        for sql in ("INSERT INTO scratch.t VALUES (2, 'y')", "INSERT INTO scratch.t SELECT g, 'z' FROM generate_series(1, 3) g"):
            conn.execute(sql)
        self.one._minted["stranger"] = self.one.mint("another@shop.example", ["askers"])
        self.asked(self.connect("stranger"), "INSERT INTO scratch.t VALUES (2, 'y')")
        ident = self.asked(conn, "DELETE FROM scratch.t")
        self.assertIn('has no "grant"', self.approve(ident, "--for", "10m", want=USAGE))
        for bad in (("--scope", "rule"), ("--for", "0s"), ("--for", "10"), ("--for", "2y"), ("--for", "10m", "--scope", "all")):
            self.approve(ident, *bad, want=USAGE)
        two.restart(self.one)
        stack.wait_until("HAProxy lets in", lambda: self.eventually())
        self.connect().execute("INSERT INTO scratch.t VALUES (9, 'after a restart')")

    def eventually(self):
        try:
            self.one.psycopg("asker").close()
        except psycopg.OperationalError:
            return False
        return True


if __name__ == "__main__":
    unittest.main()
