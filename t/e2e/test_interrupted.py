"""Statements that wait inside the gate, in the parse pool or behind a long pipeline of their session, when what let them pass ends: their session is killed, their principal blocked, the
policy changed, their token over, the daemon drained. Whoever sends goes on and on; from then on nothing of it may reach the database, and all that did is in the record.
"""
import json
import os
import tempfile
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
SLACK = 1.5  # s: what had left the gate before is on its way to the database, or being read there
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
                    cur.execute(f"INSERT INTO marks (n) SELECT {self.mark()} FROM dual WHERE 7 IN ({LONG})")
            except pymysql.Error as e:
                self.end = {1142: "42501", 1045: "28000"}.get(e.args[0], "closed")
                return


class Pipeline(Sender):
    """Small ones, as many at once as fit, each with a Sync."""

    def send_on(self):
        c = pgraw.RawClient.gate(self.test.stack, token=self.token, timeout=60)
        failed = threading.Event()

        def read():
            try:
                while True:
                    kind, body = c.read()
                    if kind == "E":
                        self.end = dict((f[:1], f[1:]) for f in body.split(b"\0") if f)[b"C"].decode()
                        failed.set()
            except OSError:
                self.end = self.end or "closed"
            except Exception:  # noqa: BLE001  # pgraw's own, at the end of the connection
                self.end = self.end or "closed"
            failed.set()
        reader = threading.Thread(target=read)
        reader.start()
        try:
            while not failed.is_set():
                batch = b""
                for _ in range(500):
                    batch += pgraw.parse("", f"INSERT INTO scratch.marks VALUES ({self.mark()})") + pgraw.bind("", "") + pgraw.execute("") + pgraw.SYNC
                c.send(batch)
        except OSError:
            pass
        failed.wait(60)
        c.close()
        reader.join(60)


KINDS = (LongPg, LongMy, Pipeline)


class Interrupted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            os.fchmod(f.fileno(), 0o644)
            f.write(POLICY)
            f.flush()
            cls.stack = stack.Stack(policy=f.name, mysql=True)
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
        """{mark: when it was made}, seconds since 1970."""
        rows = [*self.my("SELECT n, UNIX_TIMESTAMP(at) FROM marks"), *self.stack.direct("SELECT n, extract(epoch FROM at) FROM scratch.marks")]
        return {int(n): float(at) for n, at in rows}

    def interrupt(self, how, ends, ttl=None):
        """how(principals): ends what let them pass, and says when it was over. ends: what senders may see."""
        self.stack.scratch("CREATE TABLE scratch.marks (n int, at timestamptz DEFAULT clock_timestamp())")
        self.my("DROP TABLE IF EXISTS marks")
        self.my("CREATE TABLE marks (n int, at timestamp(6) DEFAULT sysdate(6))")
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
        marks = self.marks()
        self.assertEqual({n: at - over for n, at in marks.items() if at > over + SLACK}, {})
        time.sleep(SLACK)
        self.assertEqual(len(self.marks()), len(marks))
        stack.wait_until("the record is complete", lambda: self.recorded(marks), 30)

    def recorded(self, marks):
        """Whether each mark's statement is in the record, as allowed, and was not withheld."""
        events = self.stack.audit()
        withheld = {(e["session"], e["id"]) for e in events if e["type"] == "withheld"}
        sql = [e["sql"] for e in events if e["type"] == "statement" and e["verdict"] == "allow" and e["kind"] != "parse" and (e["session"], e["id"]) not in withheld and "marks" in e.get("sql", "")]
        said = {int(word) for text in sql for word in text[:90].replace("(", " ").replace(")", " ").split() if word.isdigit() and len(word) >= 7}
        return set(marks) <= said

    # --- how they are interrupted ---

    def killed(self, principals):
        for s in json.loads(self.stack.ctl("sessions", "list", "--json")):
            if s["principal"] in principals:
                self.stack.ctl("sessions", "kill", s["id"])
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


if __name__ == "__main__":
    unittest.main()
