"""Statements that wait inside the gate, in the parse pool or behind a long pipeline of their session, when what let them pass ends: their session is killed, their principal blocked, the
policy changed, their token over, the daemon drained. Whoever sends goes on and on; from then on nothing of it may reach the database, and all that did is in the record.
"""
import datetime
import json
import select
import signal
import ssl
import subprocess
import threading
import time
import unittest

import psycopg
import pymysql

import pgraw
import stack

POLICY = """version: 1
databases: { shop: { mode: enforce }, shop_my: { mode: enforce } }
rules:
  - { name: writers, groups: writers, database: [shop, shop_my], allow: [select, insert], on: "*.marks" }
  - { name: dbas, groups: dbas, database: [shop, shop_my], allow: all, on: "*.*" }
"""
SENDERS = 4  # more than the pool has threads for one principal
SLACK = 0.3  # s, for the clocks and the way of the news
LONG = ",".join(["7"] * 60000)


class Sender(threading.Thread):
    """Sends statements that leave a mark until one fails; says how."""

    def __init__(self, test, n, token):
        super().__init__()
        self.test, self.n, self.token, self.sent, self.end, self.wrong = test, n, token, 0, None, None

    def run(self):
        try:
            self.send_on()
        except Exception as e:  # noqa: BLE001
            self.wrong = e

    def mark(self):
        """A number of its own for each statement."""
        self.sent += 1
        return self.n * 1000000 + self.sent


class LongPg(Sender):
    def send_on(self):
        with self.test.stack.psycopg(password=self.token, autocommit=True, prepare_threshold=None) as c:
            while True:
                try:
                    c.execute(f"INSERT INTO scratch.marks SELECT {self.mark()} WHERE 7 IN ({LONG})")
                except psycopg.Error as e:
                    self.end = e.sqlstate or "closed"
                    return


class LongMy(Sender):
    def send_on(self):
        env = self.test.stack.env
        c = pymysql.connect(host=env["GH_MY_HOST"], port=int(env["GH_MY_PORT"]), user="sender", password=self.token, database="shop", autocommit=True,
                            ssl={"ca": env["GH_CA"]}, connect_timeout=20, read_timeout=60)
        while True:
            try:
                with c.cursor() as cur:
                    cur.execute(f"INSERT INTO marks SELECT {self.mark()} FROM dual WHERE 7 IN ({LONG})")
            except pymysql.Error as e:
                self.end = {1142: "42501", 1045: "28000"}.get(e.args[0], "closed")
                return


class Pipeline(Sender):
    """Small ones, as many at once as fit, each with a Sync. One thread writes and reads: two may not use one TLS connection at once."""

    def send_on(self):
        c = pgraw.RawClient.gate(self.test.stack, token=self.token, timeout=60)
        c.sock.setblocking(False)
        batch = b""
        try:
            while self.end is None:
                if not batch:
                    batch = b"".join(pgraw.parse("", f"INSERT INTO scratch.marks VALUES ({self.mark()})") + pgraw.bind("", "") + pgraw.execute("") + pgraw.SYNC for _ in range(500))
                select.select([c.sock], [c.sock], [], 60)
                try:
                    batch = batch[c.sock.send(batch):]
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
                try:
                    while self.end is None:
                        kind, body = c.read()
                        if kind == "E":
                            self.end = pgraw.error_fields(body)["C"]
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
        except (OSError, pgraw.Closed):
            self.end = self.end or "closed"
        c.close()


KINDS = (LongPg, LongMy, Pipeline)


class Interrupted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # stall: a client that leaves in the middle of a pipeline leaves HAProxy and the gate with full buffers both ways.
        cls.stack = stack.Stack(config=lambda text: text + "limits: { stall: 5s }\n", policy=POLICY, mysql=True)
        cls.addClassCleanup(cls.stack.close)

    def my(self, sql):
        c = pymysql.connect(host="127.0.0.1", port=int(self.stack.env["GH_MY_PORT_DIRECT"]), user="root", password=self.stack.env["GH_PASSWORD_SUPER"],
                            database="shop", autocommit=True)
        with c.cursor() as cur:
            cur.execute(sql)
            out = cur.fetchall()
        c.close()
        return out

    def marks(self):
        rows = [*self.my("SELECT n FROM marks"), *self.stack.direct("SELECT n FROM scratch.marks")]
        return {int(n) for n, in rows}

    def interrupt(self, how, ends, ttl=None):
        """how(principals): ends what let them pass, and says when it was over. ends: what senders may see."""
        self.stack.scratch("CREATE TABLE scratch.marks (n int)")
        self.my("DROP TABLE IF EXISTS marks")
        self.my("CREATE TABLE marks (n int)")
        principals = [f"{how.__name__}-{kind.__name__}@shop.example".lower() for kind in KINDS]
        tokens = [self.stack.mint(p, ["writers"], *(["--ttl", f"{ttl}s"] if ttl else [])) for p in principals]
        minted = time.time()
        senders = [kind(self, SENDERS * i + n, tokens[i]) for i, kind in enumerate(KINDS) for n in range(1, SENDERS + 1)]
        for t in senders:
            t.start()
        try:
            stack.wait_until("each has left marks", lambda: not all(t.is_alive() for t in senders) or {n // 1000000 for n in self.marks()} == {t.n for t in senders}, 60)
            self.assertEqual([(type(t).__name__, t.end, t.wrong) for t in senders if not t.is_alive()], [])
            over = minted + ttl if ttl else how(principals)
            for t in senders:
                t.join(60)
            self.assertEqual([(t.is_alive(), t.wrong) for t in senders], [(False, None)] * len(senders))
        finally:
            if any(t.is_alive() for t in senders):
                self.killed(principals)
        self.assertLessEqual({t.end for t in senders}, ends)
        # What had left the gate may still wait in the server's socket. So the record says what left, and when.
        stack.wait_until("their sessions are over", lambda: not self.stack.runs("gatehouse") or not self.sessions(principals), 60)
        left = stack.wait_until("the record is complete", self.left, 60)
        self.assertEqual({n: at - over for n, at in left.items() if at > over + SLACK}, {})
        stack.wait_until("the server has done what it got", lambda: not self.stack.direct(
            "SELECT 1 FROM pg_stat_activity WHERE application_name <> 'gatehouse' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"), 60)
        self.assertLessEqual(set(self.marks()), set(left))

    def left(self):
        """{mark: when it was recorded} of all statements that were allowed and not withheld; None while the record of a session is not complete."""
        script = """local out = {}
                    for i, key in ipairs(redis.call('KEYS', 'gatehouse:audit:*')) do out[i] = redis.call('XRANGE', key, '-', '+') end
                    return cjson.encode(out)"""
        out = {}
        for entries in json.loads(self.stack.redis("EVAL", script, "0")):
            events = [dict(zip(fields[::2], fields[1::2])) for _, fields in entries]
            if "session.close" not in {e["type"] for e in events}:
                return None
            withheld = {e["id"] for e in events if e["type"] == "result" and e["skipped"] == "1" and "reason" in e}
            for e in events:
                if e["type"] == "statement" and e["verdict"] == "allow" and e["kind"] != "parse" and e["id"] not in withheld and "INSERT INTO" in e["sql"]:
                    mark = next(int(word) for word in e["sql"][:90].replace("(", " ").replace(")", " ").split() if word.isdigit())
                    out[mark] = datetime.datetime.fromisoformat(e["time"].replace("Z", "+00:00")).timestamp()
        return out

    def sessions(self, principals):
        return [s["id"] for s in json.loads(self.stack.ctl("sessions", "list", "--json")) if s["principal"] in principals]

    # --- how they are interrupted ---

    def killed(self, principals):
        for session in self.sessions(principals):
            self.stack.ctl("sessions", "kill", session)
        return time.time()

    def blocked(self, principals):
        for p in principals:
            self.stack.ctl("block", "principal", p, "--reason", "it is enough")
        return time.time()

    def policy(self, _):
        self.addCleanup(self.stack.reload)
        self.addCleanup(self.stack.configure_policy, "allow: select, on", "allow: [select, insert], on")
        self.stack.configure_policy("allow: [select, insert], on", "allow: select, on")
        self.stack.reload()
        return time.time()

    def expired(self, _):
        """By itself."""

    def drained(self, _):
        self.addCleanup(self.stack.start, "gatehouse")
        self.stack.stop("gatehouse")
        return time.time()

    def test_killed(self):
        self.interrupt(self.killed, {"57P01", "closed"})

    def test_blocked(self):
        self.interrupt(self.blocked, {"57P01", "42501", "closed"})

    def test_another_policy(self):
        self.interrupt(self.policy, {"42501"})

    def test_the_tokens_end(self):
        self.interrupt(self.expired, {"28000"}, ttl=8)

    def test_drained(self):
        self.interrupt(self.drained, {"57P01", "57P03", "closed"})


HELD = """
  - name: asked
    groups: askers
    database: shop
    ask: insert
    on: scratch.marks
    approvers: dbas
    mode: wait 6s
    grant: { max: 1h, scope: rule }
"""


class Held(unittest.TestCase):
    """A statement whose refusal is recorded while Redis stands still: nothing that is decided meanwhile makes it another's answer, and it is refused once."""

    def setUp(self):
        self.stack = stack.Stack(config=lambda text: text.replace("audit:\n", "audit:\n  timeout: 10s\n", 1), policy=POLICY + HELD)
        self.addCleanup(self.stack.close)
        self.stack.scratch("CREATE TABLE scratch.marks (n int, s text)")
        self.askers = self.stack.mint("asker@shop.example", ["askers"])
        self.ends = {}

    def send(self, name, sql, token=None):
        def run():
            with self.stack.psycopg(password=token or self.askers, autocommit=True, prepare_threshold=None) as c:
                try:
                    c.execute(sql)
                    self.ends[name] = "ran"
                except psycopg.Error as e:
                    self.ends[name] = e.sqlstate
        t = threading.Thread(target=run)
        t.start()
        self.addCleanup(t.join, 60)
        return t

    def decide(self, *args):
        done = subprocess.run([self.stack.env["GH_CTL"], *args, "--token-file", "-"], input=self.stack.token("dba"), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_refused_once(self):
        """The time of one is over, another is denied and a grant for its rule given: each while more waits for Redis than goes at once."""
        busy = self.stack.mint("busy@shop.example", ["writers"])
        long = "INSERT INTO scratch.marks VALUES (%d, '" + "x" * 200000 + "')"
        late = self.send("late", long % 1)
        stack.wait_until("it is asked about", lambda: len(self.pending()) == 1)
        time.sleep(4.5)
        denied = self.send("denied", long % 2)
        self.send("other", "INSERT INTO scratch.marks VALUES (3, 'short')")
        stack.wait_until("all are asked about", lambda: len(self.pending()) == 3)
        ids = {r["sql"][34:36]: r["id"] for r in self.pending()}
        self.stack.signal("redis", signal.SIGSTOP)
        try:
            for n in range(3):
                self.send(f"busy {n}", f"SELECT 1 FROM scratch.marks WHERE 7 IN ({','.join(['7'] * 200000)})", busy)
            time.sleep(2.5)
            self.decide("deny", ids["2,"], "--reason", "no")
            time.sleep(0.3)
            self.decide("approve", ids["3,"], "--for", "30m", "--scope", "rule")
            time.sleep(4)
        finally:
            self.stack.signal("redis", signal.SIGCONT)
        for t in (late, denied):
            t.join(30)
        self.assertEqual((self.ends["late"], self.ends["denied"]), ("42501", "42501"))
        self.assertEqual([n for n, in self.stack.direct("SELECT n FROM scratch.marks") if n in (1, 2)], [])
        events = stack.wait_until("they are recorded", lambda: [e for e in self.stack.audit() if e["type"] == "statement" and "xxxxxxxx" in e["sql"]])
        self.assertEqual(sorted((e["sql"][34:36], e["verdict"]) for e in events), [("1,", "ask"), ("2,", "ask")])
        stack.wait_until("their sessions are over", lambda: not [s for s in json.loads(self.stack.ctl("sessions", "list", "--json")) if s["principal"] == "asker@shop.example"], 30)

    def pending(self):
        return [r for r in json.loads(self.stack.ctl("approvals", "--json") or "[]") if r["status"] == "pending"]


if __name__ == "__main__":
    unittest.main()
