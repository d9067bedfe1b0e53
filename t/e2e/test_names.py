"""Prepared statements and cursors that messages make and SQL uses, and the other way round. What needs approval, or is limited, may be prepared, so it must not
run by its name when DEALLOCATE, CLOSE, PREPARE, DECLARE or DISCARD of that name has failed: the server keeps it. And what a function opened is no newer than
the policy under which it ran."""
import collections
import unittest

import psycopg

import stack
from pgraw import SYNC, RawClient, bind, close, error_fields, execute, parse, query

FUNCTIONS = """
  - name: functions
    groups: [analysts, ai-agents]
    database: shop
    allow: execute
    functions: [public.open_cursor, public.prepares, public.holds]
"""
UPDATE = "UPDATE orders SET status = 'past the gate' WHERE id = $1"

# What is sent between the Parse of p and EXECUTE p: none of it drops p.
FAILS = [
    [query("PREPARE p AS SELECT 1")],
    [query("SELECT 1/0; DEALLOCATE p")],
    [query("SELECT 1/0; DEALLOCATE ALL")],
    [query("DEALLOCATE nosuch; DEALLOCATE p")],
    [query("BEGIN"), query("SELECT 1/0"), query("DEALLOCATE p"), query("ROLLBACK")],
    [query("BEGIN"), query("DISCARD ALL"), query("ROLLBACK")],
    [query("BEGIN"), query("SELECT 1/0"), query("DEALLOCATE ALL"), query("ROLLBACK")],
    [query("BEGIN"), query("SAVEPOINT s"), query("DEALLOCATE nosuch; DEALLOCATE p"), query("ROLLBACK TO s"), query("COMMIT")],
    [query("EXPLAIN DECLARE p CURSOR FOR SELECT 1")],
    [parse("", "PREPARE p AS SELECT 1") + bind("", "") + execute("") + SYNC],
    [parse("x", "DEALLOCATE p") + SYNC, parse("", "SELECT 1/0") + bind("", "") + execute("") + bind("y", "x") + execute("y") + SYNC],
    [query("BEGIN"), query("SELECT 1/0"), parse("", "DEALLOCATE p") + bind("", "") + execute("") + SYNC, query("ROLLBACK")],
    [parse("p", "SELECT 1") + SYNC],
    [query("BEGIN; PREPARE q AS SELECT 1; SELECT 1/0; DEALLOCATE p"), query("ROLLBACK")],
]
USES = ["EXECUTE p(1)", "EXPLAIN ANALYZE EXECUTE p(1)", 'EXECUTE "p"(1)', "EXECUTE P(1)", 'EXECUTE U&"\\0070"(1)', "SELECT 1; EXECUTE p(1)"]


class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.s = stack.Stack(policy=stack.shop_policy() + FUNCTIONS)
        cls.addClassCleanup(cls.s.close)
        cls.s.direct("""
            CREATE FUNCTION public.open_cursor() RETURNS refcursor LANGUAGE plpgsql SECURITY DEFINER AS
                $$DECLARE c refcursor := 'opened'; BEGIN OPEN c FOR SELECT id FROM public.orders; RETURN c; END$$;
            CREATE FUNCTION public.prepares() RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'PREPARE prepared AS SELECT id FROM public.orders'; END$$;
            CREATE FUNCTION public.holds() RETURNS void LANGUAGE plpgsql AS
                $$BEGIN EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT id FROM public.orders'; END$$""")
        cls.s.stop("gatehouse")  # the next one's first catalog has the functions: what was prepared under another is not run
        cls.s.start("gatehouse")

    def client(self, who):
        c = RawClient.gate(self.s, f"{who}@shop.example", token=self.s.token(who))
        self.addCleanup(c.close)
        return c

    @staticmethod
    def state(answers):
        return next((error_fields(body)["C"] for kind, body in answers if kind == "E"), "00000")

    def rows(self, answers):
        return collections.Counter(kind for kind, _ in answers)["D"]

    def fine(self, c, *data):
        for one in data:
            answers = c.run(one)
            self.assertEqual(self.state(answers), "00000", (one, [error_fields(b) for k, b in answers if k == "E"]))
        return answers

    def changed(self):
        return self.s.direct("SELECT count(*) FROM public.orders WHERE status = 'past the gate'")[0][0]

    def test_approval(self):
        for number, steps in enumerate(FAILS):
            for use in USES:
                with self.subTest(number=number, use=use):
                    c = self.client("agent")
                    self.fine(c, parse("p", UPDATE, (23,)) + SYNC)
                    for step in steps:
                        c.run(step)
                    self.assertIn(self.state(c.run(query(use))), ("26000", "42501", "0A000"))
                    self.assertIn(self.state(c.run(parse("", use.replace("SELECT 1; ", "")) + bind("", "") + execute("") + SYNC)), ("26000", "42501", "0A000"))
                    self.assertEqual(self.changed(), 0)
                    c.close()

    def test_all_at_once(self):
        """The same in one piece, before anything is answered."""
        for steps in FAILS:
            c = self.client("agent")
            c.send(parse("p", UPDATE, (23,)) + SYNC + b"".join(steps) + query("EXECUTE p(1)") + query("SELECT 'the end' AS e"))
            while not any(k == "D" and b"the end" in b for k, b in c.until("Z")):
                pass
            self.assertEqual(self.changed(), 0, steps)
            c.close()

    def test_limits(self):
        for steps in FAILS:
            c = self.client("analyst")
            self.fine(c, parse("p", "SELECT * FROM orders") + SYNC)
            for step in steps:
                c.run(step)
            self.assertLessEqual(self.rows(c.run(query("EXECUTE p"))), 1000, steps)
            c.close()

    def test_portals(self):
        for fails in (["SELECT 1/0; CLOSE c"], ["SELECT 1/0; CLOSE ALL"], ["CLOSE nosuch; CLOSE c"], ["DECLARE c CURSOR FOR SELECT 1"], ["DISCARD ALL"],
                      ["EXPLAIN DECLARE c CURSOR FOR SELECT 1"]):
            for use in ("FETCH ALL FROM c", "MOVE 1 FROM c", "FETCH ALL IN C", 'FETCH ALL FROM U&"\\0063"'):
                with self.subTest(fails=fails, use=use):
                    c = self.client("analyst")
                    self.fine(c, query("BEGIN"), parse("l", "SELECT * FROM orders") + bind("c", "l") + SYNC, query("SAVEPOINT s"))
                    for sql in fails:
                        c.run(query(sql))
                    self.fine(c, query("ROLLBACK TO s"))
                    self.assertLessEqual(self.rows(c.run(query(use))), 1000)
                    c.close()

    def test_cursors_closed_stay_closed(self):
        """By a savepoint that is rolled back too, as the server has it."""
        c = self.client("analyst")
        self.fine(c, query("BEGIN"), parse("l", "SELECT id FROM orders") + bind("c", "l") + SYNC, query("SAVEPOINT s"), query("CLOSE c"), query("ROLLBACK TO s"))
        self.assertEqual(self.state(c.run(query("FETCH 1 FROM c"))), "34000")
        self.fine(c, query("ROLLBACK TO s"), query("DECLARE c CURSOR FOR SELECT id FROM orders"))
        self.assertEqual(self.rows(self.fine(c, query("FETCH 2 FROM c"))), 2)

    def test_drops(self):
        """The dba's second pair of eyes."""
        self.s.direct("CREATE TABLE IF NOT EXISTS public.victim (i integer)")
        c = self.client("dba")
        self.fine(c, parse("d", "DROP TABLE victim") + SYNC)
        self.assertEqual(self.state(c.run(query("SELECT 1/0; DEALLOCATE d"))), "22012")
        self.assertEqual(self.state(c.run(query("EXECUTE d"))), "26000")
        self.assertEqual(self.s.direct("SELECT count(*) FROM public.victim")[0][0], 0)

    def test_doubt_ends(self):
        for end in (query("DEALLOCATE p"), query("DEALLOCATE ALL"), query("DISCARD ALL"), close("S", "p") + SYNC, query("DEALLOCATE p; SELECT 1")):
            c = self.client("analyst")
            self.fine(c, parse("p", "SELECT id FROM orders LIMIT 3") + SYNC)
            self.assertEqual(self.state(c.run(query("PREPARE p AS SELECT 1"))), "42P05")
            answer = c.run(query("EXECUTE p"))
            self.assertEqual(self.state(answer), "26000")
            self.assertIn("not known", error_fields(next(b for k, b in answer if k == "E"))["M"])
            self.fine(c, end, query("PREPARE p AS SELECT 1 UNION SELECT 2"))
            self.assertEqual(self.rows(self.fine(c, query("EXECUTE p"))), 2)
            self.fine(c, close("S", "p") + SYNC, parse("p", "SELECT id FROM orders LIMIT 3") + SYNC)
            self.assertEqual(self.rows(self.fine(c, query("EXECUTE p"))), 3)
            c.close()

    def test_legitimate(self):
        c = self.client("analyst")
        self.fine(c, query("PREPARE a AS SELECT 1; EXECUTE a"), query("EXECUTE a; EXECUTE a"), query("DEALLOCATE a; PREPARE a AS SELECT 2; EXECUTE a"))
        self.fine(c, query("BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH c; CLOSE c; COMMIT"))
        self.fine(c, query("BEGIN"), query("DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 9)"), query("COMMIT"), query("FETCH 2 FROM c"), query("BEGIN"))
        self.fine(c, query("FETCH 2 FROM c"), query("ROLLBACK"), query("FETCH 2 FROM c"), query("CLOSE c"))
        for sql in ("EXECUTE nosuch", "FETCH 1 FROM c", "MOVE 1 FROM c"):
            self.assertIn(self.state(c.run(query(sql))), ("26000", "34000"))
        self.assertEqual(self.state(c.run(query("PREPARE b AS SELECT 1; SELECT 1/0"))), "22012")
        self.fine(c, query("EXECUTE b"))  # prepared statements are not rolled back
        self.assertEqual(self.state(c.run(query("EXECUTE b; PREPARE b AS SELECT 2"))), "42P05")
        self.fine(c, query("EXECUTE b"))
        # in a pipeline
        self.fine(c, parse("", "PREPARE d AS SELECT 1") + bind("", "") + execute("") + parse("", "EXECUTE d") + bind("", "") + execute("") + SYNC)
        long = "n" * 80  # the server, and the gate, take 63 bytes
        self.fine(c, query(f"PREPARE {long} AS SELECT 1"), query(f"EXECUTE {long}"), query(f"EXECUTE {long[:63]}"))
        self.fine(c, query('PREPARE "Mixed" AS SELECT 1'), query('EXECUTE "Mixed"'), query('EXECUTE U&"\\004dixed"'))
        self.fine(c, query("DISCARD ALL"), query("PREPARE a AS SELECT 1"), query("EXECUTE a"))

    def test_functions(self):
        c = self.client("analyst")
        self.fine(c, query("BEGIN"), query("SELECT public.open_cursor()"))
        self.assertEqual(self.rows(self.fine(c, query("FETCH 2 FROM opened"))), 2)
        self.fine(c, query("COMMIT"), query("SELECT public.prepares()"), query("EXECUTE prepared"))
        self.fine(c, query("SELECT public.holds()"), query("FETCH 1 FROM held"))

    def test_functions_of_another_policy(self):
        policy = self.s.policy()
        held, fresh = self.client("analyst"), self.client("analyst")
        self.fine(held, query("SELECT public.prepares(), public.holds()"), query("BEGIN"), query("SELECT public.open_cursor()"), query("FETCH 1 FROM opened"))
        self.addCleanup(lambda: (self.s.put_policy(policy), self.s.reload()))
        self.s.put_policy(policy.replace(FUNCTIONS, ""))
        self.s.reload()
        for sql in ("FETCH 1 FROM opened", "MOVE 1 FROM opened", "EXECUTE prepared", "FETCH 1 FROM held"):
            self.fine(held, query("SAVEPOINT s"))
            self.assertEqual(self.state(held.run(query(sql))), "42501", sql)
            self.fine(held, query("ROLLBACK TO s"))
        self.fine(held, query("COMMIT"))
        # A name that code has may not be freshened by an attempt at it, alone or in front of its use.
        for sql in ("PREPARE prepared AS SELECT 1", "PREPARE prepared AS SELECT 1; EXECUTE prepared"):
            self.assertEqual(self.state(held.run(query(sql))), "42P05")
            self.assertEqual(self.state(held.run(query("EXECUTE prepared"))), "42501")
        self.fine(held, query("PREPARE mine AS SELECT 1; EXECUTE mine"), query("EXECUTE mine"))
        self.fine(held, query("CLOSE ALL"), query("DEALLOCATE ALL"))
        self.assertIn(self.state(held.run(query("FETCH 1 FROM held"))), ("34000", "42501"))
        self.fine(held, query("PREPARE prepared AS SELECT 1"), query("EXECUTE prepared"))
        self.fine(fresh, query("SELECT 1"))

    def test_what_ends_a_portal_silently(self):
        """The name of a portal that a message made is free then, and a function may have it: what is behind it is that function's, and as old."""
        ends = ([query("ROLLBACK TO s")], [query("COMMIT AND CHAIN")], [query("ROLLBACK AND CHAIN")], [query("COMMIT; BEGIN")], [query("ROLLBACK TO s; SELECT 1")],
                [parse("", "ROLLBACK TO s") + bind("", "") + execute("") + SYNC], [query("SAVEPOINT t"), query("RELEASE t"), query("ROLLBACK TO s")])
        policy, sessions = self.s.policy(), []
        for end in ends:
            c = self.client("analyst")
            self.fine(c, query("BEGIN"), query("SAVEPOINT s"), parse("l", "SELECT 1 WHERE false") + bind("opened", "l") + SYNC, *end)
            self.fine(c, query("SELECT public.open_cursor()"))
            sessions.append((end, c))
        self.addCleanup(lambda: (self.s.put_policy(policy), self.s.reload()))
        self.s.put_policy(policy.replace(FUNCTIONS, ""))
        self.s.reload()
        for end, c in sessions:
            for use in (execute("opened", 2) + SYNC, query("FETCH 2 FROM opened"), query("MOVE 2 FROM opened")):
                with self.subTest(end=end, use=use):
                    self.fine(c, query("SAVEPOINT u"))
                    answers = c.run(use)
                    self.assertIn(self.state(answers), ("34000", "42501"))
                    self.assertEqual(self.rows(answers), 0)
                    self.fine(c, query("ROLLBACK TO u"))

    def test_in_one_pipeline(self):
        """COMMIT, a function that takes the portal's name, and the portal: nothing runs as what it is not."""
        c = self.client("analyst")
        self.fine(c, query("BEGIN"), parse("l", "SELECT 'the first' AS f") + bind("opened", "l") + SYNC)
        answers = c.run(parse("", "COMMIT") + bind("", "") + execute("") + parse("", "SELECT public.open_cursor()") + bind("", "") + execute("") + execute("opened", 2) + SYNC)
        self.assertEqual(self.state(answers), "34000")
        self.assertEqual(self.rows(answers), 1)

    def test_portals_that_live_on(self):
        """Behind ROLLBACK TO a savepoint that is younger: event loops and JDBC's autosave read on."""
        c = self.client("analyst")
        self.fine(c, query("BEGIN"), query("SAVEPOINT auto"), parse("l", "SELECT id FROM orders") + bind("c", "l") + SYNC)
        for _ in range(100):
            self.fine(c, query("SAVEPOINT auto"))
        self.assertEqual(self.state(c.run(query("SELECT 1/0"))), "22012")
        self.fine(c, query("ROLLBACK TO auto"))
        self.assertEqual(self.rows(self.fine(c, query("FETCH 2 FROM c"))), 2)
        self.assertEqual(self.rows(self.fine(c, execute("c", 2) + SYNC)), 2)
        self.fine(c, query("RELEASE auto"), query("COMMIT"), query("BEGIN"), bind("c", "l") + execute("c", 2) + SYNC, query("COMMIT AND CHAIN"), bind("c", "l") + execute("c", 2) + SYNC)

    def test_too_many(self):
        """What SQL prepares and declares takes the server's memory as what messages do."""
        c = self.client("analyst")
        for start in range(0, 4096, 512):
            self.fine(c, query(";".join(f"PREPARE a{i} AS SELECT 1" for i in range(start, start + 512))))
        self.assertEqual(self.state(c.run(query("PREPARE b AS SELECT 1"))), "54000")
        self.fine(c, query("EXECUTE a0"), query("DEALLOCATE a0"), query("PREPARE b AS SELECT 1"))
        self.assertEqual(self.state(c.run(query("PREPARE c AS SELECT 1"))), "54000")
        self.fine(c, query("DEALLOCATE ALL"), query("PREPARE c AS SELECT 1"), query("BEGIN"))
        self.fine(c, query(";".join(f"DECLARE a{i} CURSOR FOR SELECT 1" for i in range(1024))))
        self.assertEqual(self.state(c.run(query("DECLARE b CURSOR FOR SELECT 1"))), "54000")
        self.fine(c, query("ROLLBACK"), query("BEGIN"), query("DECLARE b CURSOR FOR SELECT 1"))
        self.assertEqual(self.state(c.run(query("PREPARE x AS SELECT 1;" * 150000))), "54000")
        self.assertEqual(self.state(c.run(query("ROLLBACK;" + "MOVE nosuch;" * 150000))), "54000")

    def test_psycopg(self):
        with self.s.psycopg("agent", autocommit=False) as conn:
            conn.prepare_threshold = 0
            for _ in range(3):
                with conn.cursor(name="c") as cur:
                    cur.execute("SELECT id FROM orders ORDER BY id")
                    self.assertEqual(len(cur.fetchmany(10)), 10)
                conn.execute("SELECT id FROM orders WHERE id = %s", (7,))
                conn.rollback()
            with self.assertRaises(psycopg.errors.DivisionByZero):
                conn.execute("SELECT 1/0")
            conn.rollback()
            self.assertEqual(conn.execute("SELECT id FROM orders WHERE id = %s", (7,)).fetchone(), (7,))


if __name__ == "__main__":
    unittest.main()
