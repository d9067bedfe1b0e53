"""The database's password and every token are nowhere: not in a log at its most verbose, the journal, Redis, HAProxy's log, the metrics, or anything
that a client was sent. Every place is shown to be the right one by something else that has to be in it."""
import os
import time
import unittest

import haproxy
import leaks
import pgraw
import stack


class Leaks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.metrics = haproxy.free_port()

        def config(text):
            return text + f"log: {{ level: debug }}\nmetrics: {{ listen: 127.0.0.1:{cls.metrics} }}\n"

        cls.stack = stack.Stack(config)
        cls.addClassCleanup(cls.stack.close)

    def mint(self, *more, **kw):
        return self.stack.mint("tester@shop.example", ["testers"], *more, **kw)

    def use_everything(self):
        """Logins good and bad, fresh tokens, tokens in statements, parameters, errors and names, a password that is set, a database that is down."""
        s = self.stack
        s.scratch("CREATE TABLE scratch.notes (n text)")
        client = pgraw.RawClient.gate(s, token=self.mint(), params=[("application_name", self.mint())])
        run = pgraw.bind("", "") + pgraw.execute("") + pgraw.SYNC
        client.run(pgraw.query("SELECT 'marker-statement'"))
        client.run(pgraw.query(f"SET gatehouse.token = '{self.mint()}'"))
        client.run(pgraw.parse("", f"SET gatehouse.token = '{self.mint()}'") + run)
        client.run(pgraw.query(f"SET gatehouse.token = '{self.mint('--claim', 'exp=1')}'"))
        client.run(pgraw.query(f"SET LOCAL gatehouse.token = '{self.mint()}'"))
        client.run(pgraw.query(f"SET gatehouse/**/.token = '{self.mint()}'"))
        client.run(pgraw.query(f"SELECT {self.mint()} FROM nowhere"))
        client.run(pgraw.query(f"SELECT FROM FROM '{self.mint()}'"))
        client.run(pgraw.query(f"SELECT * FROM staff WHERE name = '{self.mint()}' AND 'marker-refused' = ''"))
        for binary in (0, 1):
            self.mint()
            s.data_tokens.add(f"token {len(s.given_tokens()) - 1}")
            client.run(pgraw.parse("", "SELECT count(*) FROM scratch.notes WHERE n = $1") +
                       pgraw.message("B", pgraw.cstr("") + pgraw.cstr("") + bytes([0, 1, 0, binary, 0, 1]) +
                                     len(s.given_tokens()[-1]).to_bytes(4, "big") + s.given_tokens()[-1].encode() + b"\0\0") + pgraw.execute("") + pgraw.SYNC)
        client.run(pgraw.parse(self.mint()[:60], "SELECT 1") + pgraw.SYNC)
        for token in (self.mint("--claim", "exp=1"), self.mint(issuer="https://evil.example"), self.mint()[:-4] + "AAAA", "x" * 50000):
            with self.assertRaises(pgraw.Closed):
                pgraw.RawClient.gate(s, token=token, who=self.mint()[:200])
        with self.assertRaises(pgraw.Closed):
            pgraw.RawClient.gate(s, token=self.mint(), params=[("options", f"-c gatehouse.token={self.mint()}")])
        s.psql("-c", "SELECT 'marker-psql'")
        s.psql("-c", "ALTER ROLE shop_owner PASSWORD 'marker-password'", who="tester")
        # A database that does not answer: its credential is at hand then.
        s.stop("postgresql", "INT")
        with s.psycopg(password=self.mint(), autocommit=True) as conn:
            with self.assertRaises(Exception):
                conn.execute("SELECT 'marker-down'")
        s.start("postgresql")
        client.close()

    def test_nowhere(self):
        s = self.stack
        self.use_everything()
        secrets, where = leaks.needles(s), None
        session = stack.wait_until("the record", lambda: [e["session"] for e in s.audit() if "marker-down" in e.get("sql", "")])[0]
        end = time.monotonic() + 10
        while where is None or (b"marker-down" not in where["etc/journal/" + self.first(where, "etc/journal/journal-")] and time.monotonic() < end):
            where = leaks.places(s)
        # The search finds what it looks for...
        self.assertGreaterEqual(len(secrets), 25)
        self.assertIn("shop.password", secrets)
        for name, secret in secrets.items():
            self.assertGreaterEqual(len(secret), 20, name)
            self.assertEqual(leaks.find({name: secret}, {"here": b"..." + secret + b"..."}), [f"{name} is in here"])
        # ...and looks where things are.
        marks = {
            "log/gatehouse.log": [b"level=debug", b"event=login.refused", b"event=session.renewed", session.encode()],
            "log/haproxy.log": [b"gh=allow", session.encode()],
            "log/postgresql.log": [b"marker-statement", b"SET standard_conforming_strings = on"],
            "etc/journal/" + self.first(where, "etc/journal/journal-"): [b"marker-statement", b"marker-refused", b"login.refused", b"gatehouse.token = '***'"],
            "all of Redis": [b"marker-statement", b"marker-refused", b"login.refused", b"gatehouse.token = '***'", b"gatehouse:shipped:"],
            "sent to clients": [b"marker-statement", b"marker-psql", b"password authentication failed", b"gatehouse.token can only be set"],
            "/metrics": [b"gatehouse_logins_refused_total{reason=", b"gatehouse_statements_total"],
            "/healthz": [b"{"],
            "command line": [b"gatehouse"],
        }
        for place, texts in marks.items():
            for text in texts:
                self.assertIn(text, where[place], place)
        self.assertTrue(any(place.startswith("redis/") for place in where))
        self.assertEqual(leaks.find(secrets, where, s.data_tokens), [])
        self.assertEqual(len([name for name in s.data_tokens if secrets[name] in where["log/postgresql.log"]]), 2)  # they were sent
        self.assertNotIn(b"marker-password", b"".join(data for place, data in where.items() if place != "log/postgresql.log"))

    @staticmethod
    def first(where, prefix):
        return next(place[len("etc/journal/"):] for place in where if place.startswith(prefix))

    def test_no_core(self):
        """The kernel shows what it may not dump as root's."""
        pid = self.stack.pid("gatehouse")
        with open(f"/proc/{pid}/status") as f:
            user = next(int(line.split()[2]) for line in f if line.startswith("Uid:"))
        self.assertNotEqual(user, 0)
        self.assertEqual(os.stat(f"/proc/{pid}/environ").st_uid, 0)


if __name__ == "__main__":
    unittest.main()
