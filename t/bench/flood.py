"""What floods cost the others: p50 and p99 of ordinary sessions, quiet and while each flood of t/e2e/test_floods.py goes on. Prints ratios; judges nothing.

    GH_BUILD=DIR /usr/bin/python3 t/bench/flood.py [--quick] [--open N] [--statements N] [--json FILE]

DIR is a build without sanitizers. --open: connections that say nothing (10,000, as far as descriptors allow: six each); --statements: prepared ones in one session (100,000). Client,
HAProxy, gate and servers share the machine, so a part of each ratio is the flood's own work: 'baseline' has as much of it as one busy process makes.
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
        end = time.monotonic() + 5
        while time.monotonic() < end:
            sum(range(10000))


def sessions(s, stop, results):
    """Four sessions in a process of their own, 25 statements a second each: (time, us) of each."""
    done = []

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


def during(s, test):
    """p50 and p99 while the test runs, its seconds, and whether it passed."""
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    process = multiprocessing.Process(target=sessions, args=(s, stop, results))
    process.start()
    time.sleep(2)
    begin, result = time.time(), unittest.TestResult()
    test.run(result)
    over = time.time()
    stop.set()
    done = results.get(timeout=120)
    process.join()
    return storm.figures_of(done, begin, over), over - begin, not result.errors + result.failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--open", type=int, default=10000)
    parser.add_argument("--statements", type=int, default=100000)
    parser.add_argument("--json")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    test_floods.HALF_OPEN = 500 if options.quick else min(options.open, hard - 200)
    test_floods.STATEMENTS = 5000 if options.quick else options.statements
    test_floods.Others = Quiet
    test_floods.Floods.setUpClass()
    rows = {}
    try:
        s = test_floods.Floods.stack
        tests = [Baseline("test_baseline")] + [test_floods.Floods(n) for n in unittest.defaultTestLoader.getTestCaseNames(test_floods.Floods)]
        print(f"{'':62} {'p50':>8} {'p99':>8} {'p99 ratio':>9} {'seconds':>8}")
        for test in tests:
            before = during(s, Nothing("test_nothing"))[0]
            now, seconds, ok = during(s, test)
            name = test.id().split(".")[-1][5:].replace("_", " ")
            rows[name] = {"quiet": before, "flood": now, "ratio": now["p99"] / before["p99"], "seconds": seconds, "passed": ok}
            print(f"{name:62} {now['p50']:8.0f} {now['p99']:8.0f} {rows[name]['ratio']:9.2f} {seconds:8.1f}{'' if ok else '  FAILED'}", flush=True)
    finally:
        test_floods.Floods.doClassCleanups()
    if options.json:
        with open(options.json, "w") as f:
            json.dump(rows, f, indent=1)
    sys.exit(0 if all(r["passed"] for r in rows.values()) else 1)


class Nothing(unittest.TestCase):
    def test_nothing(self):
        time.sleep(5)


if __name__ == "__main__":
    main()
