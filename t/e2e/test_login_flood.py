"""A flood of bad logins: slowed, answered alike, recorded as a number; good tokens come in meanwhile, and sessions run on."""
import threading
import time
import unittest

import psycopg

import pgraw
import stack

BUDGET = 5


def config(text):
    return text + f"limits: {{ login_failures: {BUDGET}, login_failures_per_name: {BUDGET * 4}, login_delay: 200ms }}\n"


class Flood(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(config)
        cls.addClassCleanup(cls.stack.close)

    def bad(self, user="tester", token="no.such.token"):
        """The error's fields, and how long the answer to the password took."""
        client = pgraw.RawClient.tls(self.stack)
        try:
            client.send(pgraw.startup([("user", user), ("database", "shop")]))
            client.until("R")
            start = time.monotonic()
            client.send(pgraw.message("p", pgraw.cstr(token)))
            kind, body = client.read()
            self.assertEqual(kind, "E")
            return pgraw.error_fields(body), time.monotonic() - start
        finally:
            client.close()

    def refused(self, kind="login.refused"):
        return [e for e in self.stack.stream("gatehouse:auth") if e["type"] == kind]

    def test_flood(self):
        s = self.stack
        fields, took = self.bad()
        self.assertEqual(fields["C"], "28P01")
        self.assertGreaterEqual(took, 0.2)  # whatever the cause: it is no oracle of how far the token got
        huge, took = self.bad(token="x" * 80000)
        self.assertEqual(huge, fields)
        self.assertGreaterEqual(took, 0.2)
        stack.wait_until("two records", lambda: len(self.refused()) == 2)
        self.assertEqual(self.refused()[1]["reason"], "token too long")
        expired = s.mint("tester@shop.example", ["testers"], "--claim", f"exp={int(time.time()) - 3600}")
        answers = []
        threads = [threading.Thread(target=lambda i=i: answers.append(self.bad(f"u{i}", expired if i % 2 else "a.b.c"))) for i in range(40)]
        with s.psycopg() as open_before:
            for t in threads:
                t.start()
            # From the same address: looked at after a while, not refused for what others did.
            start = time.monotonic()
            with s.psycopg() as conn:
                self.assertEqual(conn.execute("SELECT 1").fetchone(), (1,))
            self.assertEqual(open_before.execute("SELECT 2").fetchone(), (2,))
            for t in threads:
                t.join()
        self.assertEqual(len(answers), 40)
        for f, took in answers:
            self.assertEqual(f, fields)
            self.assertGreaterEqual(took, 0.2)
        self.assertGreaterEqual(sorted(took for _, took in answers)[20], 0.8)
        # One by one within the budget, then one number.
        throttled = stack.wait_until("login.throttled", lambda: self.refused("login.throttled"))
        self.assertEqual([t["over"] for t in throttled], ["source"])
        self.assertLessEqual(len(self.refused()), BUDGET + 1)  # one may have been paid off meanwhile
        lines = [line for line in s.log("gatehouse").splitlines() if "event=login.throttled" in line]
        self.assertEqual(len(lines), 1)
        self.assertIn(" do=", lines[0])
        text = str(s.stream("gatehouse:auth")) + s.log("gatehouse")
        self.assertNotIn(expired.split(".")[2], text)
        # The good one again, now that nothing is under way: over budget still, so it waits.
        with s.psycopg() as conn:
            self.assertEqual(conn.execute("SELECT 3").fetchone(), (3,))
        with self.assertRaises(psycopg.OperationalError):
            s.psycopg(password=expired).close()
        self.assertLess(time.monotonic() - start, 60)


if __name__ == "__main__":
    unittest.main()
