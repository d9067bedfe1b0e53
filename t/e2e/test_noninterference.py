"""What rules hide stays hidden, whatever is asked: random conversations go through HAProxy and the daemon to two databases that differ in hidden data only, and every byte of the answers must be the same
(rows as multisets where the statement gives no order). Rows, labels, types, tags, SQLSTATEs, texts of errors, notices, refusals of EXPLAIN; in the simple and the extended
protocol, with text and binary results and parameters, cursors, COPY, PREPARE, transactions and writes.

    GH_ORACLE_COUNT=100000 GH_ORACLE_SEED=7 t/e2e/run.py test_noninterference.Alike     many more (default: as many as take some seconds)
    GH_ORACLE_STATISTICS=1 ...                                                          with statistics of hidden values (oracle_world.py says why that is not always so)
    GH_ORACLE_ONE=writers:4711 t/e2e/run.py test_noninterference.Alike                 one again, by what a finding says

The oracle is tested, too: it must find masks that are off, row filters without their fence, errors that are not veiled.
"""
import collections
import concurrent.futures
import os
import subprocess
import tempfile
import unittest

import oracle_random
import oracle_smith
import oracle_wire
import oracle_world
import rewrite_evasions

COUNT, SEED = int(os.environ.get("GH_ORACLE_COUNT", "1000")), int(os.environ.get("GH_ORACLE_SEED", "1"))
ONE = os.environ.get("GH_ORACLE_ONE", "")
BATCH = 30
PLAN = b"QUERY PLAN\0"
CANARIES = (b"c4n4ry", b"63346e347279", b"yr4n4c", b"C4N4RY")


class Findings:
    def __init__(self):
        self.counts = collections.Counter()
        self.found = []
        self.plans = []  # conversations that ended in two different errors, or are EXPLAIN of what is open

    def add(self, group, label, c, answers, names, again=False):
        errors = [oracle_wire.error_of(a) for a in answers]
        if any(e is not None and e.get("C") == "57014" for e in errors):
            self.counts[c.way, "too long"] += 1
            return
        # of a result over the policy's limit as many rows come, and which ones these are is the plan's choice
        limited = all(e is not None and e.get("C") == "53400" for e in errors)
        e = errors[0]
        self.counts[c.way, "executed" if e is None else "refused" if e["C"] == "42501" else "failed"] += 1
        if e is not None:
            self.counts["error", e["C"]] += 1
        a, b = ([oracle_wire.same(n, unit, c.ordered, limited) for unit in answer] for n, answer in zip(names, answers))
        what = "interference" if a != b else "the canary" if any(k in m for k in CANARIES for answer in answers for unit in answer for m in unit) else None
        if what == "interference" and str(label).startswith("sqlsmith") and c.way == "change" and any(e is not None and e["C"] == "23505" for e in errors):
            self.counts["error", "of keys"] += 1  # a duplicate key tells that a row outside of the filter has it: doc/threat-model.md. Only sqlsmith writes keys
        elif what == "interference" and (all(errors) or all(PLAN in m for a in answers for unit in a[:1] for m in unit[:1])) and not again:
            self.plans.append((label, c))
        elif what is not None:
            self.found.append(f"{what}: {group}:{label} ({c.way})\n  " + "\n  ".join(c.texts) + "".join(f"\n  {n.decode()}\n    {oracle_wire.show(x)}" for n, x in zip(names, answers)))


def compare(world, group, numbered, view=None):
    """numbered: (label, conversation). Gives Findings."""
    view = view or oracle_world.GROUPS[group]
    names = [f"{view}_{kind}" for kind in "ab"]
    out, batch = Findings(), []

    def flush(lines, again=False):
        for (label, c), *answers in zip(batch, *oracle_wire.exchange(lines, [c.units for _, c in batch])):
            out.add(group, label, c, answers, [n.encode() for n in names], again)
        batch.clear()
    lines = [oracle_wire.Line(world.stack, n, group, world.tokens[group]) for n in names]
    for item in numbered:
        batch.append(item)
        if len(batch) == BATCH:
            flush(lines)
    flush(lines)
    for line in lines:
        line.close()
    if out.plans:
        # Which of two errors of visible rows comes first is the plan's choice, and rolled-back writes leave tables of other sizes (doc/design.md, section 5): where plans and sizes
        # are equal, the answers must be.
        with world.equal_plans(names):
            lines = [oracle_wire.Line(world.stack, n, group, world.tokens[group]) for n in names]
        found = len(out.found)
        batch += out.plans
        flush(lines, again=True)
        out.counts["error", "of plans"] += len(out.plans) - (len(out.found) - found)
        for line in lines:
            line.close()
    return out


def work(job):
    """In a process of its own: a part of a group's conversations."""
    world, group, first, count, texts = job
    made = ((i, oracle_random.conversation(group, i)) for i in range(first, first + count))
    out = compare(world, group, made)
    smith = ((f"sqlsmith {i}", oracle_random.of_text(sql, f"{group} {i}")) for i, sql in texts if oracle_random.GROUPS[group][2] or oracle_random.reads(sql))
    other = compare(world, group, smith)
    for (way, kind), n in other.counts.items():
        out.counts["error" if way == "error" else "sqlsmith", kind] += n
    return group, out.counts, out.found + other.found


def table(counts):
    kinds = ("executed", "refused", "failed", "too long")
    lines = [f"  {'':12}" + "".join(f"{k:>10}" for k in kinds)]
    ways = sorted({way for way, kind in counts if way != "error"})
    for way in [*ways, "all"]:
        n = [sum(v for (w, kind), v in counts.items() if kind == k and w != "error" and way in (w, "all")) for k in kinds]
        lines.append(f"  {way:12}" + "".join(f"{x:10}" for x in n))
    common = sorted(((v, s) for (w, s), v in counts.items() if w == "error"), reverse=True)[:12]
    return "\n".join(lines + ["  errors: " + ", ".join(f"{s} {v}" for v, s in common)])


class Alike(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = oracle_world.World()
        cls.addClassCleanup(cls.world.close)

    def compare(self, group, statements, view=None, ways=("simple", "extended")):
        conversations = [(sql, oracle_random.sent(oracle_random.Random(sql).r, oracle_random.Statement(sql, "read"), way)) for sql in statements for way in ways]
        return compare(self.world, group, conversations, view)

    def test_random(self):
        groups, jobs = list(oracle_world.GROUPS), []
        if ONE:
            group, number = ONE.split(":")
            out = compare(self.world, group, [(number, oracle_random.conversation(group, int(number)))])
            print(out.counts, flush=True)
            self.assertEqual([], out.found, "\n".join(out.found))
            return
        oracle_smith.prepare(self.world)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            made = pool.map(lambda view: oracle_smith.statements(self.world, view, COUNT // 24 + 1, SEED), oracle_world.VIEWS)
        texts = {view: list(enumerate(t)) for view, t in zip(oracle_world.VIEWS, made)}
        each = COUNT // len(groups) - COUNT // 24
        parts = max(1, each // 1000)
        for part in range(parts):
            for group, view in oracle_world.GROUPS.items():
                first, end = each * part // parts, each * (part + 1) // parts
                jobs.append((self.world, group, SEED * 10000000 + first, end - first, texts[view][part::parts]))
        totals, found = {g: collections.Counter() for g in groups}, []
        with concurrent.futures.ProcessPoolExecutor(min(8, 2 * os.cpu_count())) as pool:
            for group, counts, what in pool.map(work, jobs):
                totals[group] += counts
                found += what
                if what:
                    print("\n".join(what[:3])[:6000], flush=True)
        for group in groups:
            print(f"{group}\n{table(totals[group])}", flush=True)
        everything = sum(totals.values(), collections.Counter())
        print(f"all\n{table(everything)}", flush=True)
        self.assertEqual(0, len(found), f"{len(found)} findings\n" + "\n".join(found[:5])[:20000])
        of_kind = collections.Counter()
        for (way, kind), n in everything.items():
            of_kind[kind] += n if way != "error" else 0
        self.assertGreaterEqual(of_kind["executed"], 0.3 * sum(of_kind[k] for k in ("executed", "refused", "failed", "too long")))

    # --- the oracle itself: to whom nothing is hidden, the databases differ ---

    def test_masks_and_filters_off_are_found(self):
        for group, view in oracle_world.GROUPS.items():
            conversations = [(i, oracle_random.conversation(group, i)) for i in range(60)]
            out = compare(self.world, "all", conversations, view)
            found = collections.Counter(line.split(":")[0] for line in out.found)
            print(f"{group}, open: {dict(found)}", flush=True)
            self.assertGreater(found["interference"], 10, group)
            # values are seen where no two databases are compared, too
            out = self.compare("all", rewrite_evasions.CLASSES["plain"], view)
            self.assertTrue(any(b"c4n4ry".decode() in text for text in out.found), group)


class Unsound(unittest.TestCase):
    """Daemons in which one thing is missing (t/e2e/local.mk builds them): each must be found out."""

    def world(self, name, *databases):
        build = self.build(name)
        world = oracle_world.World(build, databases)
        self.addCleanup(world.close)
        return world

    def build(self, name):
        """A folder with that daemon under the name that the quickstart looks for."""
        built = os.environ["GH_BUILD"]  # t/run sets it
        subprocess.run(["make", "-C", built, f"t/e2e/{name}"], check=True, stdout=subprocess.DEVNULL)
        folder = tempfile.TemporaryDirectory(prefix="gh-unsound.")
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        os.symlink(f"{os.path.abspath(built)}/t/e2e/{name}", folder.name + "/gatehouse")
        os.symlink(f"{os.path.abspath(built)}/gatehousectl", folder.name + "/gatehousectl")
        return folder.name

    def found(self, world, group, made):
        out = compare(world, group, made)
        print(f"{group}: {len(out.found)} findings", flush=True)
        return out.found

    def test_filters_inline_are_found(self):
        """A predicate that raises an error or a NOTICE runs before the filter, on rows that nobody may see."""
        world = self.world("gatehouse-inline", "analyst_a", "analyst_b")
        # By a function that costs less than the filter: editors have one, what needs no grant costs as much and comes second.
        sent = [(sql, oracle_random.of_text(sql, sql)) for sql in rewrite_evasions.CLASSES["rows"]]
        found = self.found(world, "editors", sent + [(i, oracle_random.conversation("editors", i)) for i in range(150)])
        self.assertGreater(len(found), 1)
        self.assertTrue(all(f.startswith("interference") for f in found))

    def test_errors_that_are_not_veiled_are_found(self):
        world = self.world("gatehouse-unveiled", "agent_a", "agent_b")
        found = self.found(world, "writers", ((i, oracle_random.conversation("writers", i)) for i in range(120)))
        self.assertGreater(len(found), 2)
        self.assertTrue(any("c4n4ry" in f for f in found))


if __name__ == "__main__":
    unittest.main()
