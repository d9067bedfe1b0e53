"""What rules hide in MariaDB stays hidden, whatever is asked: as test_noninterference.py for PostgreSQL. Random conversations, and hand-written ways around (rewrite_evasions_my.py), go through
HAProxy and the daemon to two databases that differ in hidden data only; every byte of the answers must be the same (rows as multisets): rows, labels, types, counts, texts of
errors, warnings; as text, prepared with parameters, with cursors, several in one text, in transactions that are looked at and undone.

    GH_ORACLE_COUNT=20000 GH_ORACLE_SEED=7 t/e2e/run.py test_my_noninterference.Alike.test_random
    GH_ORACLE_ONE=writers:4711 t/e2e/run.py test_my_noninterference.Alike.test_random                one again, by what a finding says
"""
import collections
import concurrent.futures
import os
import time
import unittest

import oracle_my_random
import oracle_my_wire
import oracle_my_world
import rewrite_evasions_my
from oracle_world import GROUPS
from stack import wait_until
from test_noninterference import CANARIES, Findings, table

COUNT, SEED = int(os.environ.get("GH_ORACLE_COUNT", "400")), int(os.environ.get("GH_ORACLE_SEED", "1"))
ONE = os.environ.get("GH_ORACLE_ONE", "")
LIMIT, REFUSALS = 1226, (1142, 1143, 1235)


def compared(c, answers, names, limited=False):
    """Both answers in the form in which they must be the same."""
    return [oracle_my_wire.same(n, answer, c.ordered, limited) for n, answer in zip(names, answers)]


class MyFindings(Findings):
    def add(self, group, label, c, answers, names):
        errors = [oracle_my_wire.error_of(a) for a in answers]
        limited = all(e is not None and e[0] == LIMIT for e in errors)
        if any(e is not None and e[0] in oracle_my_wire.TOO_LONG for e in errors) and not limited:
            self.counts[c.way, "too long"] += 1
            return
        e = errors[0]
        self.counts[c.way, "executed" if e is None else "refused" if e[0] in REFUSALS else "failed"] += 1
        if e is not None:
            self.counts["error", str(e[0])] += 1
        a, b = compared(c, answers, names, limited)
        seen = any(k in p for k in CANARIES for answer in answers for packets in answer for p in packets)
        what = "interference" if a != b else "the canary" if seen else None
        if what is not None:
            self.found.append(f"{what}: {group}:{label} ({c.way})\n  " + "\n  ".join(c.texts) + "".join(f"\n  {n.decode()}\n    {oracle_my_wire.show(x)}" for n, x in zip(names, answers)))


def compare(world, group, numbered, view=None):
    """numbered: (label, conversation). Gives the findings."""
    names = [f"{view or GROUPS[group]}_{kind}" for kind in "ab"]
    def connect():
        return [oracle_my_wire.Line(world.stack, n, group, world.tokens[group]) for n in names]

    def died():
        """Whether MariaDB has died of a statement, which is its own defect: the conversation says nothing then. It takes a moment, because it writes where it was."""
        try:
            return wait_until("MariaDB has died", lambda: not world.stack.runs("mariadb"), 10)
        except AssertionError:
            return False

    def back():
        try:
            return connect()
        except (EOFError, OSError, AssertionError):
            return None

    def talk(pool, lines, c):
        """The answers. InnoDB's estimates of a range count rows that were undone until it has purged them, for the one database sooner than for the other: where EXPLAIN differs it is
        asked again, a few times, and what hidden data make of it would stay."""
        for attempt in range(6):
            answers = list(pool.map(lambda line: line.talk(c), lines))
            a, b = compared(c, answers, [n.encode() for n in names])
            if c.way != "explain" or a == b:
                break
            time.sleep(0.2 * attempt)
        return answers
    lines, out = connect(), MyFindings()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for label, c in numbered:
            try:
                answers = talk(pool, lines, c)
            except (EOFError, OSError):
                if not died():
                    out.found.append(f"the session ended: {group}:{label} ({c.way})\n  " + "\n  ".join(c.texts))
                    lines = connect()
                    continue
                out.counts[c.way, "too long"] += 1
                out.counts["error", "died"] += 1
                print(f"MariaDB died: {group}:{label} ({c.way}) {c.texts}", flush=True)
                world.stack.start("mariadb")
                lines = wait_until("MariaDB is back", back, 60)
                continue
            out.add(group, label, c, answers, [n.encode() for n in names])
    for line in lines:
        line.close()
    return out


class Alike(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = oracle_my_world.World()
        cls.addClassCleanup(cls.world.close)

    def good(self, out):
        self.assertEqual(0, len(out.found), f"{len(out.found)} findings\n" + "\n".join(out.found[:8])[:20000])

    def test_random(self):
        if ONE:
            group, number = ONE.split(":")
            out = compare(self.world, group, [(number, oracle_my_random.conversation(group, int(number)))])
            print(out.counts, flush=True)
            self.good(out)
            return
        everything, found = collections.Counter(), []
        for group in GROUPS:
            out = compare(self.world, group, ((i, oracle_my_random.conversation(group, i)) for i in range(SEED * 10000000, SEED * 10000000 + COUNT // len(GROUPS))))
            print("\n".join([group, table(out.counts), *out.found[:3]])[:6000], flush=True)
            everything += out.counts
            found += out.found
        print(f"all\n{table(everything)}", flush=True)
        self.assertEqual(0, len(found), f"{len(found)} findings\n" + "\n".join(found[:8])[:20000])
        of_kind = collections.Counter()
        for (way, kind), n in everything.items():
            of_kind[kind] += n if way != "error" else 0
        self.assertLessEqual(everything["error", "died"], COUNT / 50)
        self.assertGreaterEqual(of_kind["executed"], 0.3 * sum(of_kind[k] for k in ("executed", "refused", "failed", "too long")))

    def conversations(self, statements, ways=("text", "execute")):
        return [(sql, oracle_my_random.sent(oracle_my_random.Random(sql).r, oracle_my_random.Statement(sql, "read"), way)) for sql in statements for way in ways]

    def test_a_server_that_dies_is_no_finding(self):
        """MariaDB 10.11 dies of an outer query's aggregate in a subquery that is sorted by it. The session ends, the next one is as the first was."""
        if ONE:
            return
        kills = "SELECT (SELECT DISTINCT max(t.name) AS x FROM orders ORDER BY 1 LIMIT 1) FROM customers AS t"
        out = compare(self.world, "writers", self.conversations([kills, "SELECT max(name) FROM customers"], ("text",)))
        self.assertEqual((1, 1, []), (out.counts["error", "died"], out.counts["text", "executed"], out.found))

    def test_evasions(self):
        for group in GROUPS:
            for name, statements in rewrite_evasions_my.CLASSES.items():
                with self.subTest(group=group, of=name):
                    more = ("prepare",) if group == next(iter(GROUPS)) else ()
                    ways = ("text", "execute", *more) if name != "writes" else ("change",)
                    self.good(compare(self.world, group, self.conversations(statements, ways)))

    def test_masks_and_filters_off_are_found(self):
        """The oracle itself: to whom nothing is hidden, the databases differ."""
        for group, view in GROUPS.items():
            out = compare(self.world, "all", [(i, oracle_my_random.conversation(group, i)) for i in range(60)], view)
            found = collections.Counter(line.split(":")[0] for line in out.found)
            print(f"{group}, open: {dict(found)}", flush=True)
            self.assertGreater(found["interference"], 10, group)
            out = compare(self.world, "all", self.conversations(rewrite_evasions_my.CLASSES["plain"]), view)
            self.assertTrue(any("c4n4ry" in text for text in out.found), group)


if __name__ == "__main__":
    unittest.main()
