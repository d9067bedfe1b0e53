"""Random message sequences, straight to the server and through the gate: the answers are the same, and so are the tables; what the server's
log shows as executed was recorded as allowed, with the same text; what was refused is not in that log.

A refused text is replaced by one with a syntax error on the direct way, so that a refusal has to behave as an error of the server's own.
GH_FUZZ_SECONDS (20) and GH_FUZZ_SEED (1) set the length and the beginning; a failure prints the seed of its sequence, and
GH_FUZZ_ONLY=<seed> runs that alone.
"""
import os
import random
import re
import struct
import time
import unittest
from collections import Counter

import pgraw
import stack
from pgraw import bind, close, copy_data, copy_fail, describe, execute, parse, query

SECONDS = float(os.environ.get("GH_FUZZ_SECONDS", "20"))
SEED = int(os.environ.get("GH_FUZZ_SEED", "1"))
ONLY = os.environ.get("GH_FUZZ_ONLY")
MARK = re.compile(r"mk[dg]\d{9}")
STATEMENTS, PORTALS = ("", "", "s1", "s2", "s" * 63, "sé"), ("", "", "p1", "p2")


class Sequence:
    """What one client sends: pieces of bytes with {mark} texts filled in for one of the two ways, and what to do between them."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.seed = seed
        self.marks = 0
        self.steps = []  # (what, ...) with mk@ for the mark of either way
        self.copies = self.bound = self.queried = False
        self.forgets = False  # holds SQL that drops names
        for _ in range(self.rng.randint(3, 40)):
            self.one()
        self.add("wait")

    def add(self, *step):
        self.steps.append(step)
        if step[0] == "raw" and step[1].startswith(b"B") and step[1][5] == 0:
            self.bound = True
        elif step[0] in ("query", "wait") or step == ("raw", pgraw.SYNC):
            self.bound = False
        self.queried = self.queried or step[0] == "query"

    def mark(self):
        self.marks += 1
        return f"mk@{self.seed % 1000000:06d}{self.marks:03d}"

    def text(self):
        """SQL with a mark; (text, refused)."""
        sql, refused = self.any_text()
        self.forgets = self.forgets or re.search(r"/ (DEALLOCATE|CLOSE|DISCARD)", sql) is not None
        return sql, refused

    def any_text(self):
        r, m = self.rng, self.mark()
        tag = f"/*{m}*/"
        return r.choice([
            lambda: (f"INSERT INTO scratch.t VALUES ({r.randint(1, 6)}, '{m}')", False),
            lambda: (f"INSERT INTO scratch.free VALUES ('{m}')", False),
            lambda: (f"INSERT INTO scratch.free VALUES ('{m}') RETURNING mark", False),
            lambda: (f"SELECT '{m}', id FROM scratch.five ORDER BY id", False),
            lambda: (f"SELECT '{m}', id FROM scratch.five ORDER BY id", False),
            lambda: (f"SELECT '{m}', 1 / (3 - id) FROM scratch.five ORDER BY id", False),
            lambda: (f"UPDATE scratch.t SET mark = '{m}' WHERE id = {r.randint(1, 6)}", False),
            lambda: (f"DELETE FROM scratch.t WHERE id = {r.randint(1, 6)} {tag}", False),
            lambda: (f"SELECT '{m}' FROM scratch.nowhere", False),
            lambda: (f"INSERT INTO scratch.late VALUES ({r.randint(1, 3)}) {tag}", False),
            lambda: (f"SELECT '{m}' FROM public.staff", True),
            lambda: (f"SELECT '{m}' FROM public.staff", True),
            lambda: (f"{tag} BEGIN", False),
            lambda: (f"{tag} BEGIN", False),
            lambda: (f"{tag} COMMIT", False),
            lambda: (f"{tag} ROLLBACK", False),
            lambda: (f"{tag} SAVEPOINT {r.choice('ab')}", False),
            lambda: (f"{tag} ROLLBACK TO SAVEPOINT {r.choice('ab')}", False),
            lambda: (f"{tag} RELEASE SAVEPOINT {r.choice('ab')}", False),
            lambda: (f"{tag} PREPARE q{r.randint(1, 2)} AS SELECT '{m}', id FROM scratch.five ORDER BY id LIMIT 1", False),
            lambda: (f"{tag} EXECUTE q{r.randint(1, 2)}", False),
            lambda: (f"{tag} DEALLOCATE {r.choice(['q1', 'q2', 's1', 's2', 'ALL'])}", False),
            lambda: (f"{tag} DECLARE c{r.randint(1, 2)} CURSOR FOR SELECT '{m}', id FROM scratch.five ORDER BY id", False),
            lambda: (f"{tag} FETCH {r.choice(['1', '2', 'ALL'])} FROM c{r.randint(1, 2)}", False),
            lambda: (f"{tag} CLOSE {r.choice(['c1', 'c2', 'p1', 'p2', 'ALL'])}", False),
            lambda: (f"{tag} DISCARD ALL", False),
            lambda: (f"{tag} SET application_name = 'x{r.randint(1, 3)}'", False),
        ])()

    def copy_text(self):
        m = self.mark()
        return f"COPY scratch.t FROM STDIN /*{m}*/" if self.rng.random() < 0.7 else f"COPY scratch.free FROM STDIN /*{m}*/"

    def copy_rows(self):
        r = self.rng
        for _ in range(r.randint(0, 3)):
            self.add("raw", copy_data(r.choice([b"%d\tcopied\n" % r.randint(1, 30), b"bad\trow\textra\n", b"%d\tx\n" % r.randint(1, 30)])))
        self.add("raw", pgraw.COPY_DONE if r.random() < 0.8 else copy_fail("no more"))

    def usable(self, portal):
        """PostgreSQL 15 itself crashes when the unnamed portal of a Query that failed is described or executed."""
        return portal != "" or self.bound or not self.queried

    def execute(self, portal):
        if not self.usable(portal):
            return
        self.add("raw", execute(portal, self.rng.choice([0, 0, 0, 1, 2])))
        if self.copies:  # it may have been a COPY; the server ignores CopyDone otherwise
            self.add("raw", pgraw.COPY_DONE)

    def batch(self):
        """Parse, Bind, perhaps Describe, Execute: as drivers do."""
        r, (sql, refused) = self.rng, self.text()
        name, portal = r.choice(STATEMENTS), r.choice(PORTALS)
        if name and r.random() < 0.5:
            self.add("raw", close("S", name))
        if portal and r.random() < 0.5:
            self.add("raw", close("P", portal))
        self.add("parse", name, sql, refused)
        if r.random() < 0.3:
            self.add("raw", describe("S", name))
        self.add("raw", bind(portal, name))
        if r.random() < 0.3:
            self.add("raw", describe("P", portal))
        self.execute(portal)

    def one(self):
        r, kind = self.rng, self.rng.random()
        if kind < 0.25:
            self.batch()
        elif kind < 0.33:
            sql, refused = self.text()
            self.add("parse", r.choice(STATEMENTS), sql, refused)
        elif kind < 0.43:
            self.add("raw", bind(r.choice(PORTALS), r.choice(STATEMENTS)))
        elif kind < 0.52:
            self.execute(r.choice(PORTALS))
        elif kind < 0.56:
            self.add("raw", close("S", r.choice(STATEMENTS)) if r.random() < 0.5 else close("P", r.choice(PORTALS)))
        elif kind < 0.60:
            portal = r.choice(PORTALS)
            self.add("raw", describe("P", portal) if r.random() < 0.5 and self.usable(portal) else describe("S", r.choice(STATEMENTS)))
        elif kind < 0.72:
            self.add("raw", pgraw.SYNC)
        elif kind < 0.74:
            self.add("raw", pgraw.FLUSH)
        elif kind < 0.88:
            texts = [self.text() for _ in range(r.choice([1, 1, 1, 1, 2, 3]))]
            if len(texts) > 1:
                texts = [(t, x) for t, x in texts if "DISCARD" not in t]  # cannot run with others
            self.add("query", ";".join(t for t, _ in texts) or f"SELECT '{self.mark()}'", any(x for _, x in texts))
        elif kind < 0.92:
            self.add("query", self.copy_text(), False)
            self.copy_rows()
        elif kind < 0.95:
            self.copies = True
            name, portal = r.choice(["", "copying"]), r.choice(["", "copy"])
            self.add("raw", close("S", name) + close("P", portal))
            self.add("parse", name, self.copy_text(), False)
            self.add("raw", bind(portal, name) + execute(portal))
            if r.random() < 0.3:
                self.add("raw", pgraw.SYNC)
            self.copy_rows()
        elif kind < 0.97:
            self.add("wait")
        else:
            self.add("pause", r.choice([0.001, 0.004, 0.01]))

    def texts(self):
        return [s for s in self.steps if s[0] in ("parse", "query")]


def play(client, sequence, way, answers):
    """Adds everything the server said, in order."""
    held = b""

    def fill(sql, refused):
        return (f"SYNTAX ERROR {MARK.search(sql.replace('@', way)).group()}" if refused and way == "d" else sql.replace("mk@", "mk" + way))

    glue = random.Random(sequence.seed)
    for step in sequence.steps:
        if step[0] == "raw":
            held += step[1]
        elif step[0] == "parse":
            held += parse(step[1], fill(*step[2:]))
        elif step[0] == "query":
            held += query(fill(*step[1:]))
        elif step[0] == "pause" and way == "g":
            client.send(held)
            held = b""
            time.sleep(step[1])
        elif step[0] == "wait":
            # An empty query has an answer of its own, even in a transaction that has failed.
            client.send(held + pgraw.COPY_DONE + pgraw.SYNC + query(""))
            held = b""
            for last in "IZ":
                while not answers or answers[-1][0] != last:
                    answers.append(client.read())
        if way == "g" and held and glue.random() < 0.3:
            client.send(held)
            held = b""


def normal(answer):
    kind, body = answer
    if kind in "SNA":
        return None
    if kind == "E":
        return kind, pgraw.error_fields(body)["C"]
    if kind == "T":
        count, at, names = struct.unpack(">H", body[:2])[0], 2, []
        for _ in range(count):
            end = body.index(b"\0", at)
            names.append(MARK.sub("mark", body[at:end].decode()))
            at = end + 19
        return kind, names
    return kind, re.sub(rb"mk[dg]", b"mk", body)


def differs(direct, gate):
    """Where the first difference is, or None. An error of the gate's may take the place of another of the server's."""
    for n in range(max(len(direct), len(gate))):
        x, y = (a[n] if n < len(a) else None for a in (direct, gate))
        if x != y and not (x and y and x[0] == y[0] == "E" and y[1] in ("42501", "26000", "34000")):
            return n
    return None


def refused_later(direct, error):
    return next((a for a in direct if a[0] in "EZ"), None) == error


class Found(unittest.TestCase):
    """What a look for ways around found, end to end."""

    def test_options_choose_no_other_database_or_role(self):
        for name in ("user", "database"):
            with self.assertRaises(pgraw.Closed) as caught:
                pgraw.RawClient.gate(stack.shared(), params=[("options", f"-c {name}=postgres")])
            self.assertIn("42501", str(caught.exception))

    def test_fetch_of_a_bound_statement_is_recorded_as_its_execution(self):
        s = stack.shared()
        s.scratch("CREATE TABLE scratch.free (mark text)")
        client = pgraw.RawClient.gate(s)
        self.addCleanup(client.close)
        client.run(query("BEGIN"))
        client.run(parse("s", "INSERT INTO scratch.free VALUES ($1) RETURNING 1") + bind("p", "s", [b"fetched"]) + pgraw.SYNC)
        self.assertEqual([k for k, _ in client.run(query("FETCH ALL FROM p"))], ["T", "D", "C", "Z"])
        client.run(query("COMMIT"))
        self.assertEqual(s.direct("SELECT * FROM scratch.free"), [("fetched",)])
        seen = [e for e in s.audit() if e["type"] == "statement" and e.get("kind") == "execute" and "scratch.free" in e.get("sql", "")]
        self.assertEqual([(e["verdict"], "fetched" in e["params"]) for e in seen], [("allow", True)])

    def test_operator_runs_do_not_stop_the_daemon(self):
        client = pgraw.RawClient.gate(stack.shared())
        self.addCleanup(client.close)
        for text in ("/*" * 1000000, "SELECT " + "+" * 31000 + "1", "+/**/" * 60000):
            self.assertEqual([pgraw.error_fields(b)["C"] for k, b in client.run(query(text)) if k == "E"], ["54000"])


class Fuzz(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def tables(self):
        return {t: [tuple(MARK.sub(lambda m: m.group()[3:], str(v)) for v in row) for row in
                    self.admin.execute(f"SELECT * FROM scratch.{t} ORDER BY 1").fetchall()] for t in ("t", "free", "late")}

    def reset(self):
        self.admin.execute("TRUNCATE scratch.t, scratch.free, scratch.late")

    def both(self, seed):
        sequence, out = Sequence(seed), []
        for way in "dg":
            self.reset()
            answers, closed = [], False
            client = pgraw.RawClient.direct(self.stack) if way == "d" else pgraw.RawClient.gate(self.stack)
            try:
                if way == "d":
                    client.run(query("SET SESSION AUTHORIZATION shop_owner"))
                    client.run(query("SET application_name = ''"))
                play(client, sequence, way, answers)
                client.send(pgraw.TERMINATE)
                try:
                    while True:
                        client.read()
                except (pgraw.Closed, OSError):
                    pass
            except (pgraw.Closed, OSError):
                closed = True
            finally:
                client.close()
            stack.wait_until("the session's locks are gone", lambda: self.admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = 'shop'").fetchone()[0] == 1)
            answers = [a for a in map(normal, answers) if a is not None]
            out.append((answers + [("closed", "")] * closed, self.tables()))
        (direct, rows_d), (gate, rows_g) = out
        n = differs(direct, gate)
        if n is not None and sequence.forgets and n < len(gate) and gate[n] in (("E", "26000"), ("E", "34000")):
            self.forgot += 1  # DEALLOCATE, CLOSE or DISCARD did not run (their transaction had failed): the gate forgets rather too much
        elif n is not None and n < len(gate) and gate[n] in (("E", "26000"), ("E", "34000")) and refused_later(direct[n:], gate[n]):
            self.early += 1  # the gate refuses the whole of a text that names what is not there, the server runs its beginning
        elif n is not None or rows_d != rows_g:
            n = len(direct) if n is None else n
            for step in sequence.steps:
                print("   ", step)
            print("equal:", *direct[max(0, n - 6):n], sep="\n   ")
            print("direct:", *direct[n:n + 12], sep="\n   ")
            print("gate:", *gate[n:n + 12], sep="\n   ")
            print(rows_d, rows_g, sep="\n")
            self.fail(f"the gate answers otherwise than the server: GH_FUZZ_ONLY={seed}")
        return sequence

    def test_random_sequences(self):
        import psycopg
        s = self.stack
        s.scratch("CREATE TABLE scratch.t (id int PRIMARY KEY, mark text); CREATE TABLE scratch.free (mark text);"
                  "CREATE TABLE scratch.five (id int); INSERT INTO scratch.five VALUES (1), (2), (3), (4), (5);"
                  "CREATE TABLE scratch.late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        self.admin = psycopg.connect(s.env["GH_PG_DIRECT_URL"], autocommit=True)
        self.addCleanup(self.admin.close)
        log_from, known, failed = len(s.log("postgresql")), {e["id"] + e["session"] for e in s.audit()}, []
        self.forgot = self.early = 0
        sequences, end = [], time.monotonic() + SECONDS
        seed = SEED * 100000
        while time.monotonic() < end and not ONLY:
            try:
                sequences.append(self.both(seed))
            except AssertionError as e:
                if not os.environ.get("GH_FUZZ_GO_ON"):
                    raise
                failed.append(str(e))
            seed += 1
        if ONLY:
            sequences.append(self.both(int(ONLY)))
        print(len(sequences), "sequences,", self.forgot + self.early, "cut short", flush=True)
        self.check_record(s.log("postgresql")[log_from:], [e for e in s.audit() if e["id"] + e["session"] not in known], sequences)
        self.assertEqual(failed, [])
        self.assertLess(self.forgot, 10 + len(sequences) / 20)
        self.assertLess(self.early, 10 + len(sequences) / 10)

    def check_record(self, log, audit, sequences):
        ran = Counter()
        for line in log.splitlines():
            m = re.search(r" LOG:  (?:statement|execute [^:]*): (.*)", line)
            if m and "mkg" in m.group(1):
                ran[m.group(1)] += 1
        asked = Counter(e["sql"] for e in audit if e["type"] == "statement" and e["kind"] != "parse" and e["verdict"] == "allow")
        for text, count in ran.items():
            self.assertLessEqual(count, asked[text], f"executed more often than recorded: {text}")
        refused = {m for q in sequences for step in q.texts() if step[-1] for m in MARK.findall(step[-2].replace("@", "g"))}
        seen = {m for text in ran for m in MARK.findall(text)}
        self.assertEqual(refused & seen, set(), "a refused text reached the server")
        self.assertTrue(sequences)


if __name__ == "__main__":
    unittest.main()
