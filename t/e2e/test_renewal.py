"""SET gatehouse.token: a session gets a fresh token. It must be of the same person, it is nowhere afterwards, and nothing else may name it."""
import subprocess
import time
import unittest

import psycopg

import pgraw
import stack

EXECUTE = pgraw.bind("", "") + pgraw.describe("P", "") + pgraw.execute("")


class Renewal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()
        cls.stack.scratch("CREATE TABLE scratch.t (n int)")
        cls.given = []

    def token(self, *more, groups=("testers",), who="tester@shop.example", **kw):
        out = self.stack.mint(who, list(groups), *more, **kw)
        self.given.append(out)
        return out

    def renew(self, token):
        return f"SET gatehouse.token = '{token}'"

    def connect(self, *more, **kw):
        conn = self.stack.psycopg(password=self.token(*more), autocommit=True, **kw)
        self.addCleanup(conn.close)
        return conn

    def raw(self, *more):
        client = pgraw.RawClient.gate(self.stack, token=self.token(*more))
        self.addCleanup(client.close)
        return client

    def wait_for_expiry(self, conn):
        def expired():
            try:
                conn.execute("SELECT 1")
            except psycopg.errors.InvalidAuthorizationSpecification as e:
                return e
        e = stack.wait_until("the token expires", expired)
        self.assertIn("SET gatehouse.token", e.diag.message_hint)

    def test_an_expired_session_goes_on(self):
        conn = self.connect("--ttl", "2s")
        conn.execute("SET application_name = 'kept'")
        self.wait_for_expiry(conn)
        self.assertEqual(conn.execute(self.renew(self.token())).statusmessage, "SET")
        self.assertEqual(conn.execute("SELECT current_setting('application_name')").fetchone(), ("kept",))
        # What the record says of it.
        def records():
            mine = [e for e in self.stack.audit() if e["type"] == "session.renewed" and e["principal"] == "tester@shop.example"]
            return mine and [e for e in self.stack.audit() if e["session"] == mine[-1]["session"]]
        entries = stack.wait_until("session.renewed", records)
        renewed = next(e for e in entries if e["type"] == "session.renewed")
        self.assertGreater(int(renewed["expires"]), time.time() + 600)
        texts = [e["sql"] for e in entries if e["type"] == "statement"]
        self.assertIn("SET gatehouse.token = '***'", texts)

    def test_prepared_and_expired(self):
        """Drivers that prepare everything; and a pipeline whose later statements need the fresh token."""
        client = self.raw("--ttl", "2s")
        time.sleep(2.2)
        answers = client.run(pgraw.parse("", "INSERT INTO scratch.t VALUES (1)") + EXECUTE + pgraw.SYNC)
        self.assertEqual(pgraw.error_fields(answers[0][1])["C"], "28000")
        answers = client.run(pgraw.parse("", self.renew(self.token())) + EXECUTE + pgraw.parse("", "INSERT INTO scratch.t VALUES (1)") + EXECUTE +
                             pgraw.SYNC)
        self.assertEqual([k for k, _ in answers], ["1", "2", "n", "C", "1", "2", "n", "C", "Z"])
        self.assertEqual([b for k, b in answers if k == "C"], [b"SET\0", b"INSERT 0 1\0"])

    def test_prepared_once_executed_twice(self):
        client = self.raw()
        client.run(pgraw.parse("again", self.renew(self.token())) + pgraw.SYNC)
        for _ in range(2):
            answers = client.run(pgraw.bind("", "again") + pgraw.execute("") + pgraw.SYNC)
            self.assertEqual([k for k, _ in answers], ["2", "C", "Z"])

    def test_in_transactions(self):
        conn = self.connect()
        with conn.transaction():
            conn.execute("INSERT INTO scratch.t VALUES (41)")
            conn.execute(self.renew(self.token()))
            conn.execute("INSERT INTO scratch.t VALUES (42)")
        self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.t WHERE n IN (41, 42)"), [(2,)])
        # A transaction that has failed stays so, and says so.
        client = self.raw("--ttl", "2s")
        client.run(pgraw.query("BEGIN"))
        client.run(pgraw.query("SELECT 1/0"))
        time.sleep(2.2)
        answers = client.run(pgraw.query(self.renew(self.token())))
        self.assertEqual(pgraw.error_fields(answers[0][1])["C"], "25P02")
        self.assertEqual(answers[-1], ("Z", b"E"))
        self.assertEqual(client.run(pgraw.query("ROLLBACK"))[-1], ("Z", b"I"))
        self.assertEqual([k for k, _ in client.run(pgraw.query("SELECT 1"))], ["T", "D", "C", "Z"])
        # A refused one is an error like any other: nothing of the transaction stays.
        client.run(pgraw.query("BEGIN; INSERT INTO scratch.t VALUES (43)"))
        answers = client.run(pgraw.query(self.renew("no.such.token")))
        self.assertEqual((pgraw.error_fields(answers[0][1])["C"], answers[-1]), ("28P01", ("Z", b"E")))
        self.assertEqual(client.run(pgraw.query("COMMIT"))[0], ("C", b"ROLLBACK\0"))
        self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.t WHERE n = 43"), [(0,)])

    def bad_tokens(self):
        good = self.token()
        yield "another principal", self.token(who="dba@shop.example", groups=["dbas"])
        yield "expired", self.token("--claim", f"exp={int(time.time()) - 100}")
        yield "another issuer", self.token(issuer="https://issuer.evil.example")
        yield "changed", good[:-6] + ("AAAAAA" if not good.endswith("AAAAAA") else "BBBBBB")
        yield "nothing", ""
        yield "long", "x" * 100000

    def test_bad_ones_change_nothing_and_look_alike(self):
        conn = self.connect()
        seen = set()
        for name, token in self.bad_tokens():
            with self.subTest(name):
                with self.assertRaises(psycopg.Error) as caught:
                    conn.execute(self.renew(token))
                d = caught.exception.diag
                seen.add((d.sqlstate, d.message_primary, d.message_detail, d.message_hint))
                self.assertEqual(conn.execute("SELECT count(*) >= 0 FROM scratch.t").fetchone(), (True,))
        self.assertEqual(len(seen), 1, seen)
        self.assertEqual(seen.pop()[0], "28P01")
        reasons = stack.wait_until("the reasons", lambda: [e["reason"] for e in self.stack.stream("gatehouse:auth") if "renewal with" in e.get("reason", "")])
        self.assertTrue(reasons)

    def test_groups_are_judged_anew(self):
        conn = self.connect()
        read = "SELECT count(*) >= 0 FROM scratch.t"
        conn.execute(f"PREPARE sqlmade AS {read}")
        client = self.raw()
        client.run(pgraw.parse("made", read) + pgraw.SYNC)
        run = pgraw.bind("", "made") + pgraw.execute("") + pgraw.SYNC
        self.assertEqual([k for k, _ in client.run(run)], ["2", "D", "C", "Z"])
        less = self.renew(self.token(groups=["ai-agents"]))
        conn.execute(less)
        client.run(pgraw.query(less))
        for sql in (read, "EXECUTE sqlmade"):
            with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                conn.execute(sql)
        self.assertEqual(pgraw.error_fields(client.run(run)[1][1])["C"], "42501")
        self.assertEqual(conn.execute("SELECT count(*) FROM orders").fetchone(), (10000,))
        # No group that has a rule: the session keeps what it has.
        with self.assertRaises(psycopg.errors.InvalidAuthorizationSpecification):
            conn.execute(self.renew(self.token(groups=["nobody"])))
        self.assertEqual(conn.execute("SELECT count(*) FROM orders").fetchone(), (10000,))
        conn.execute(self.renew(self.token()))
        self.assertEqual(conn.execute(read).fetchone(), (True,))

    def test_every_other_form_is_refused(self):
        token = self.token()
        for who in ("tester", "dba"):
            conn = self.stack.psycopg(who, autocommit=True)
            self.addCleanup(conn.close)
            for sql in (f"SET gatehouse.token = '{token}'; SELECT 1", f"SELECT 1; SET gatehouse.token = '{token}'",
                        f"SET LOCAL gatehouse.token = '{token}'", f"SET \"gatehouse.token\" = '{token}'", f"SET gatehouse/**/.token = '{token}'",
                        f"SET U&\"gatehous\\0065.token\" = '{token}'", "SHOW gatehouse.token", "RESET gatehouse.token", "SET gatehouse.token TO DEFAULT",
                        f"SELECT set_config('gatehouse.token', '{token}', false)", "SELECT current_setting('gatehouse.token', true)",
                        f"DO $$ BEGIN PERFORM set_config('gatehouse.token', '{token}', false); END $$",
                        f"ALTER ROLE shop_owner SET gatehouse.token = '{token}'"):
                with self.subTest(sql[:40], who=who):
                    with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                        conn.execute(sql)
        with self.assertRaises(psycopg.Error):
            self.stack.psycopg(options=f"-c gatehouse.token={token}").close()

    def test_psql(self):
        script = f"{self.renew(self.token())};\nset session gatehouse.token to '{self.token()}';\nSELECT 'still ' || 'here';\n"
        done = self.stack.psql("-v", "ON_ERROR_STOP=1", "-At", script=script)
        self.assertEqual((done.returncode, done.stdout), (0, "SET\nSET\nstill here\n"), done.stderr)

    @classmethod
    def tearDownClass(cls):
        """No token is anywhere: in the record, in a log, at the server."""
        s = cls.stack
        given = [t.split(".")[2] for t in cls.given if t.count(".") == 2]
        journal = subprocess.run(stack.as_root("sh", "-c", f"cat {s.dir}/etc/journal/*.log"), check=True, stdout=subprocess.PIPE).stdout.decode()
        places = {"journal": journal, "redis": str(s.audit()) + str(s.stream("gatehouse:auth")) + str(s.stream("gatehouse:sessions"))}
        places.update({name: s.log(name) for name in ("gatehouse", "haproxy", "postgresql")})
        if len(given) < 20 or "SET gatehouse.token" not in journal or "standard_conforming_strings" not in places["postgresql"]:
            raise AssertionError("the places are not those where a token would be")
        for where, text in places.items():
            if "gatehouse.token" in text and where == "postgresql":
                raise AssertionError("the server has seen gatehouse.token")
            if any(signature in text for signature in given):
                raise AssertionError(f"a token is in {where}")


if __name__ == "__main__":
    unittest.main()
