"""What floods cost the others: p50 and p99 of ordinary sessions, quiet and while each flood of t/e2e/test_floods.py goes on. Prints ratios; judges nothing.

    GH_BUILD=DIR /usr/bin/python3 t/bench/flood.py [--quick] [--open N] [--statements N] [--json FILE] [NAME...]

NAME: only the floods whose names have that word.

DIR is a build without sanitizers. --open: connections that say nothing (10,000, as far as descriptors allow: six each); --statements: prepared ones in one session (100,000). Each flood
is repeated for some seconds. As in storm.py, who floods has cores of his own and these have not, so he runs when nothing else wants to (SCHED_IDLE; kernel.sched_autogroup_enabled must be 0).
HAProxy, gate and servers share the machine all the same, so a part of each ratio is what the flood has HAProxy and the servers do: how much of the machine's time the gate and
the others took is printed, too.
"""
import argparse
import json
import multiprocessing
import os
import resource
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import storm  # noqa: E402
import test_floods  # noqa: E402
import world  # noqa: E402


SECONDS = 5


class Quiet:
    """In test_floods.Others' place: the sessions here are those of sessions(), which are measured."""

    def __init__(self, s):
        self.stack = s

    def __enter__(self):
        return self

    def on(self, n=0):
        """Nobody waits here."""

    def __exit__(self, *_):
        """Nor here."""


class Baseline(unittest.TestCase):
    def test_baseline(self):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            sum(range(10000))


def sessions(s, stop, results):
    """Four sessions in a process of their own, 25 statements a second each: (time, us) of each."""
    done = []
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    def one():
        with s.psycopg("tester", autocommit=True, connect_timeout=60, prepare_threshold=0) as c:
            c.execute("SELECT total FROM public.orders WHERE id = %s", [1])
            while not stop.wait(0.04):
                begin = time.perf_counter()
                c.execute("SELECT total FROM public.orders WHERE id = %s", [7])
                done.append((time.time(), int((time.perf_counter() - begin) * 1e6)))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    results.put(done)


def shares(s):
    """Seconds of all cores so far: the gate's, and those of whoever else was at work, but for who runs when nothing else wants to."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, soft = (int(word) / os.sysconf("SC_CLK_TCK") for word in f.readline().split()[1:8])
    gate, mine = world.cpu_ns(s.pid("gatehouse")) / 1e9, world.cpu_ns(os.getpid()) / 1e9
    return gate, user + nice + system + irq + soft - gate - mine


def during(s, test):
    """p50 and p99 while the test runs, its seconds, and whether it passed; the parts of the machine that the gate and others took."""
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    process = multiprocessing.Process(target=sessions, args=(s, stop, results))
    process.start()
    time.sleep(2)
    begin, used, result = time.time(), shares(s), unittest.TestResult()
    while result.testsRun == 0 or (time.time() < begin + SECONDS and result.wasSuccessful()):
        test.run(result)
    over, cores = time.time(), os.cpu_count()
    took = [(b - a) / (over - begin) / cores for a, b in zip(used, shares(s))]
    stop.set()
    done = results.get(timeout=120)
    process.join()
    return storm.figures_of(done, begin, over), over - begin, not result.errors + result.failures, took


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--open", type=int, default=10000)
    parser.add_argument("--statements", type=int, default=100000)
    parser.add_argument("--json")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    test_floods.HALF_OPEN = 500 if options.quick else min(options.open, hard - 200)
    test_floods.STATEMENTS = 5000 if options.quick else options.statements
    test_floods.Others = Quiet
    test_floods.Floods.recorded_cut = lambda *_: None  # Redis does nothing else while all of the record is read
    test_floods.Floods.setUpClass()
    rows = {}
    try:
        s = test_floods.Floods.stack
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        tests = [Baseline("test_baseline")] + [test_floods.Floods(n) for n in unittest.defaultTestLoader.getTestCaseNames(test_floods.Floods)]
        tests = [t for t in tests if not options.names or any(n in t.id() for n in options.names)]
        print(f"{'':62} {'p50':>8} {'p99':>8} {'p99 ratio':>9} {'seconds':>8} {'gate':>5} {'others':>6}")
        for test in tests:
            before = during(s, Nothing("test_nothing"))[0]
            now, seconds, ok, took = during(s, test)
            name = test.id().split(".")[-1][5:].replace("_", " ")
            rows[name] = {"quiet": before, "flood": now, "ratio": now["p99"] / before["p99"], "seconds": seconds, "passed": ok, "gate": took[0], "others": took[1]}
            print(f"{name:62} {now['p50']:8.0f} {now['p99']:8.0f} {rows[name]['ratio']:9.2f} {seconds:8.1f} {took[0]:5.0%} {took[1]:6.0%}{'' if ok else '  FAILED'}", flush=True)
    finally:
        test_floods.Floods.doClassCleanups()
    if options.json:
        with open(options.json, "w") as f:
            json.dump(rows, f, indent=1)
    sys.exit(0 if all(r["passed"] for r in rows.values()) else 1)


class Nothing(unittest.TestCase):
    def test_nothing(self):
        time.sleep(SECONDS)


if __name__ == "__main__":
    main()
