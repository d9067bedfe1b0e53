"""SIGKILL at random points under load: what PostgreSQL's own log shows as executed is a subset of what was recorded.

GH_CRASH_ROUNDS=200 GH_CRASH_MODE=journal for more of them, and in the other mode.

The same rounds against a build that forwards first and records later (configure --enable-record-late) must find the difference:
a test that cannot fail proves nothing.
"""
import os
import random
import re
import subprocess
import tempfile
import threading
import time
import unittest

import psycopg

import stack

ROUNDS = int(os.environ.get("GH_CRASH_ROUNDS", "52"))
MODE = os.environ.get("GH_CRASH_MODE", "strict")
CLIENTS = 4
MARK = re.compile(r"m[0-9a-f]{16}")
VICTIMS = ("gatehouse", "redis", "haproxy", "postgresql")


class Load:
    """Clients that send statements with unique marks, by every way that runs one, and connect again after every failure."""

    def __init__(self, s):
        self.stack = s
        self.stop = threading.Event()
        self.done = 0
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(CLIENTS)]
        for t in self.threads:
            t.start()

    def run(self, number):
        rng = random.Random(number)
        while not self.stop.is_set():
            try:
                with self.stack.psycopg(autocommit=True, connect_timeout=5) as conn:
                    while not self.stop.is_set():
                        self.one(conn, rng)
                        self.done += 1
            except psycopg.Error:
                time.sleep(0.05)

    @staticmethod
    def one(conn, rng):
        mark = lambda: "m%016x" % rng.getrandbits(64)  # noqa: E731
        way = rng.randrange(4)
        if way == 0:
            conn.execute(f"INSERT INTO scratch.crash VALUES ('{mark()}')")
        elif way == 1:
            conn.execute(f"INSERT INTO scratch.crash SELECT %s::text || '{mark()}'", ["x"])
        elif way == 2:
            conn.execute(f"INSERT INTO scratch.crash VALUES ('{mark()}'); INSERT INTO scratch.crash VALUES ('{mark()}')")
        else:
            with conn.pipeline():
                for _ in range(3):
                    conn.execute(f"INSERT INTO scratch.crash SELECT %s::text || '{mark()}'", ["y"])

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(60)
            assert not t.is_alive(), "a client hangs"


def restart(s, name):
    """PostgreSQL's orphans need a moment to leave before their data directory can be used again."""
    for attempt in range(40):
        try:
            s.start(name)
            return
        except AssertionError:
            if attempt == 39:
                raise
            time.sleep(0.25)


def marks(text):
    return set(MARK.findall(text))


def executed(s):
    found = set()
    for line in s.log("postgresql").splitlines():
        if "LOG:  statement:" in line or "LOG:  execute " in line:
            found |= marks(line)
    return found


def recorded(s):
    found = set()
    for entry in s.audit():
        if entry["type"] == "statement" and entry["verdict"] == "allow" and entry.get("kind") != "parse":
            found |= marks(entry["sql"])
    return found


def rounds(s, count, victims):
    """Kills and restarts under load. Gives the number of kills of each."""
    rng = random.Random(20)
    kills = dict.fromkeys(victims, 0)
    load = Load(s)
    try:
        for n in range(count):
            before, deadline = load.done, time.monotonic() + 20
            while load.done < before + 10:  # the load is under way again
                if time.monotonic() > deadline:
                    raise AssertionError("no statement went through within 20 s of a restart")
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.15))
            victim = victims[n % len(victims)]
            s.kill(victim)
            kills[victim] += 1
            time.sleep(rng.uniform(0, 0.1))
            restart(s, victim)
    finally:
        load.end()
    return kills


def settled(s):
    """Everything that the journal holds is in Redis: nothing new comes while nobody works."""
    before, now = -1, len(s.audit())
    while before != now:
        time.sleep(1.5)
        before, now = now, len(s.audit())


class Crash(unittest.TestCase):
    def test_executed_is_a_subset_of_recorded(self):
        s = stack.Stack(config=lambda t: t.replace("  mode: strict\n", f"  mode: {MODE}\n  anchors: {{ interval: 1s }}\n"))
        self.addCleanup(s.close)
        s.scratch("CREATE TABLE scratch.crash (mark text)")
        kills = rounds(s, ROUNDS, VICTIMS)
        self.assertGreaterEqual(min(kills.values()), ROUNDS // len(VICTIMS))
        settled(s)
        ran, known = executed(s), recorded(s)
        self.assertGreater(len(ran), 10 * ROUNDS)
        self.assertEqual(ran - known, set(), f"executed but not recorded; {len(ran)} executed, {len(known)} recorded")
        kept = {m for (text,) in s.direct("SELECT mark FROM scratch.crash") for m in marks(text)}
        self.assertEqual(kept - known, set(), "committed but not recorded")
        twice = s.audit()
        self.assertEqual(len({(e["node"], e["seq"]) for e in twice}), len(twice), "an event is in Redis twice")
        # and what so many daemons wrote is one chain, in Redis as in the journal
        verify = [s.env["GH_CTL"], "audit", "verify", "--config", s.env["GH_CONFIG"], "--journal", os.path.join(s.dir, "etc", "journal")]
        done = subprocess.run(verify, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_late_record_is_found_out(self):
        build = os.environ.get("GH_BUILD_LATE")
        if not build:
            folder = tempfile.mkdtemp(prefix="gh-late.", dir="/tmp")
            os.chmod(folder, 0o755)
            self.addCleanup(subprocess.run, ["rm", "-rf", folder])
            script = f"set -euo pipefail; . {stack.TOP}/examples/lib/stack.sh; gh_build {folder} --enable-record-late"
            subprocess.run(["bash", "-c", script], check=True)
            build = folder + "/obj"
        s = stack.Stack(build=build)
        self.addCleanup(s.close)
        s.scratch("CREATE TABLE scratch.crash (mark text)")
        rounds(s, 8, ("gatehouse",))
        settled(s)
        self.assertNotEqual(executed(s) - recorded(s), set(), "the unsound build was not found out: this test sees nothing")


if __name__ == "__main__":
    unittest.main()
