"""Thousands of statements from real packages through the gate and straight to the server, compared byte by byte.

    t/corpus/run.py                 a fixed part, for t/run
    t/corpus/run.py --all           everything: the whole regression schedule, all of contrib, in three protocols
    t/corpus/run.py regress/join    only what begins so (after what it needs)

GH_BUILD is the folder with gatehouse and gatehousectl. Ends with the line "N passed, N failed".
"""
import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
POLICY = os.path.join(HERE, "policy.yaml")
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import clusters  # noqa: E402
import report as reports  # noqa: E402
import source  # noqa: E402
import stack  # noqa: E402
import tee as tees  # noqa: E402
import works  # noqa: E402


def config(addresses, password, mode="journal"):
    def change(text):
        more = "".join(f"""  {name}:
    engine: postgresql
    upstream: {{ host: {addresses['gate'][0]}, port: {addresses['gate'][1]}, database: {name}, user: postgres, password_file: {password}, tls: off }}
""" for name in (*clusters.DATABASES, "postgres", "template1"))
        assert "\ndatabases:\n" in text and "  mode: strict\n" in text
        return text.replace("\ndatabases:\n", "\ndatabases:\n" + more).replace("  mode: strict\n", f"  mode: {mode}\n")
    return change


class Bench:
    """All that a workload needs."""

    def __init__(self, options):
        self.source = source.unpacked()
        self.folder = tempfile.mkdtemp(prefix="gh-corpus.", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.clusters = clusters.Clusters(self.folder)
        password = os.path.join(self.folder, "password")
        with open(password, "w") as f:
            f.write("unused\n")
        os.chmod(password, 0o600)
        if clusters.ROOT:
            shutil.chown(password, "daemon")
        self.password = password
        self.stack = stack.Stack(config(self.clusters.addresses, password), policy=stack.read(POLICY))
        self.report = reports.Report(options.verbose)
        self.tee = tees.Tee(self.stack, self.clusters.addresses)
        self.tee.report = self.report
        self.admins = [tees.Leg(tees.admin(address)) for address in self.clusters.addresses.values()]

    @contextlib.contextmanager
    def strict(self):
        """Another daemon in front of the same cluster, whose statements wait for Redis."""
        kept = self.tee.stack, self.tee.journal, self.tee.token
        other = stack.Stack(config(self.clusters.addresses, self.password, "strict"), policy=stack.read(POLICY))
        try:
            self.tee.front(other)
            yield
            self.settle()
        finally:
            self.tee.stack, self.tee.journal, self.tee.token = kept
            self.tee.tls = tees.trust(self.tee.stack)
            other.close()

    def settle(self):
        """Waits until every session of the last client is gone, at all three servers."""
        self.tee.idle()
        for leg in self.admins:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                leg.send(tees.pgraw.query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"))
                if leg.until(b"Z")[1].endswith(b"\0\0\0\0011"):
                    break
                time.sleep(0.005)

    def close(self):
        """Stops everything. What the sanitizers had to say, or None."""
        for leg in self.admins:
            leg.client.sock.close()
        problem = None
        try:
            self.stack.close()
        except AssertionError as e:
            problem = e
        self.clusters.close()
        shutil.rmtree(self.folder)
        return problem


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the folders for a look")
    parser.add_argument("--verbose", action="store_true", help="say every refusal")
    parser.add_argument("only", nargs="*")
    options = parser.parse_args()
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bench = Bench(options)
    ended = None
    try:
        passed, failed = run(bench, options)
    finally:
        if not options.keep:
            ended = bench.close()
    passed, failed = passed + (ended is None), failed + (ended is not None)
    if ended is not None:
        print(ended)
    print(f"{time.monotonic() - started:.0f} s")
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


def run(bench, options):
    passed = failed = 0
    for name, work in works.plan(bench, options.all):
        if options.only and not any(name.startswith(o) for o in options.only) and not name.endswith("/test_setup"):
            continue
        before = bench.report.begin_file(name)
        begin = time.monotonic()
        problem = None
        try:
            work()
        except (RuntimeError, AssertionError, subprocess.TimeoutExpired) as e:
            problem = str(e)
            hangs = bench.tee.abort()
            if hangs:
                problem += f"\nunder way: {hangs[:1000]}"
        bench.settle()
        while not bench.tee.errors.empty():
            problem = bench.tee.errors.get()
        ok = bench.report.end_file(name, before, problem, time.monotonic() - begin)
        passed, failed = passed + ok, failed + (not ok)
    for ok in bench.report.table(whole=not options.only):
        passed, failed = passed + ok, failed + (not ok)
    return passed, failed


if __name__ == "__main__":
    main()
