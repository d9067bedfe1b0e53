"""The machine's clock jumps, hours forward and back, while sessions run: tokens end by it and never come to life again by it, the record keeps its order and is whole, nobody waits.
The daemon alone sees the jumps: a library in front of the C library adds to the time of day; CLOCK_MONOTONIC does not jump, as on a real machine."""
import json
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import psycopg

import stack

SHIM = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static int64_t none;
static volatile int64_t *ahead = &none; /* seconds */
__attribute__((constructor)) static void begin(void) {
    int fd = open(getenv("GH_CLOCK_FILE"), O_RDONLY | O_CLOEXEC);
    void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (fd < 0 || p == MAP_FAILED) abort();
    close(fd);
    ahead = p;
}
int clock_gettime(clockid_t clock, struct timespec *t) {
    int rc = (int)syscall(SYS_clock_gettime, clock, t);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += *ahead;
    return rc;
}
time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out != NULL) *out = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    out->tv_sec = t.tv_sec;
    out->tv_usec = t.tv_nsec / 1000;
    return 0;
}
"""
WRAPPER = """#!/bin/sh
GH_CLOCK_FILE={dir}/ahead LD_PRELOAD={dir}/clock.so ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0" exec {real} "$@"
"""
HOUR = 3600


class Clock(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="gh-clock.", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        os.chmod(cls.dir, 0o755)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", f"{cls.dir}/clock.so", "-x", "c", "-"], input=SHIM, text=True, check=True)
        with open(f"{cls.dir}/ahead", "wb+") as f:
            f.write(bytes(4096))
            f.flush()
            cls.ahead = mmap.mmap(f.fileno(), 4096)
        os.chmod(f"{cls.dir}/ahead", 0o644)
        build = os.environ["GH_BUILD"]
        with open(f"{cls.dir}/gatehouse", "w") as f:
            f.write(WRAPPER.format(dir=cls.dir, real=os.path.join(build, "gatehouse")))
        os.chmod(f.name, 0o755)
        os.symlink(os.path.join(build, "gatehousectl"), f"{cls.dir}/gatehousectl")
        cls.s = stack.Stack(build=cls.dir)
        cls.addClassCleanup(cls.s.close)
        cls.s.scratch("CREATE TABLE scratch.t (n int)")

    def setUp(self):
        self.addCleanup(self.jump, 0)

    def jump(self, seconds):
        """So far from now is the daemon's time of day."""
        self.ahead[:8] = struct.pack("<q", seconds)

    def connect(self, ttl="1h", more=()):
        conn = self.s.psycopg(password=self.s.mint("tester@shop.example", ["testers"], "--ttl", ttl, *more), autocommit=True)
        self.addCleanup(conn.close)
        return conn

    def refused(self, conn, sql="SELECT 1"):
        with self.assertRaises(psycopg.errors.InvalidAuthorizationSpecification) as e:
            conn.execute(sql)
        self.assertIn("expired", str(e.exception))

    def test_forward(self):
        conn, before = self.connect(), self.s.mint("tester@shop.example", ["testers"])
        conn.execute("INSERT INTO scratch.t VALUES (1)")
        self.jump(2 * HOUR)
        self.refused(conn, "INSERT INTO scratch.t VALUES (2)")
        with self.assertRaises(psycopg.OperationalError):
            self.s.psycopg(password=before)
        conn.execute(f"SET gatehouse.token = '{self.s.mint('tester@shop.example', ['testers'], '--ttl', '24h')}'")
        conn.execute("INSERT INTO scratch.t VALUES (3)")
        self.assertEqual([(1,), (3,)], self.s.direct("SELECT n FROM scratch.t WHERE n < 10 ORDER BY n"))

    def test_back(self):
        """Put back, it lets nobody in whose token is not valid yet, and who is in goes on."""
        conn, other = self.connect(), self.connect("24h")
        self.jump(2 * HOUR)
        self.refused(conn)
        other.execute("INSERT INTO scratch.t VALUES (11)")
        self.jump(-2 * HOUR)
        with self.assertRaises(psycopg.OperationalError):
            self.connect()
        other.execute("INSERT INTO scratch.t VALUES (12)")
        self.jump(0)
        self.connect().execute("INSERT INTO scratch.t VALUES (13)")
        self.assertEqual([(11,), (12,), (13,)], self.s.direct("SELECT n FROM scratch.t WHERE n BETWEEN 11 AND 13 ORDER BY n"))

    def test_to_and_fro(self):
        """A hundred jumps under load: every statement runs, none waits for long, each is recorded before and in order, and the record is whole."""
        conns, stop, slowest, failed = [self.connect("300h", ("--claim", "nbf=0", "--claim", "iat=1")) for _ in range(4)], threading.Event(), [0.0], []
        for conn in conns:
            conn.execute("SELECT 1")  # it has its connection to the server, whose certificate is not valid yet on some of these days

        def work(k, conn):
            n = 1000 * (k + 1)
            while not stop.is_set():
                begin = time.monotonic()
                try:
                    conn.execute("INSERT INTO scratch.t VALUES (%s)", [n], prepare=n % 3 == 0)
                except psycopg.Error as e:
                    failed.append(str(e))
                    return
                slowest[0] = max(slowest[0], time.monotonic() - begin)
                n += 1
        threads = [threading.Thread(target=work, args=a) for a in enumerate(conns)]
        for t in threads:
            t.start()
        for i in range(100):
            self.jump((-1) ** i * (1 + 7919 * i % 36) * HOUR // 2)
            time.sleep(0.05)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual([], failed)
        self.assertLess(slowest[0], 20)
        ran = self.s.direct("SELECT count(*) FROM scratch.t WHERE n >= 1000")[0][0]
        self.assertGreater(ran, 200)

        def recorded():
            return sum(1 for e in self.s.audit() if e["type"] == "statement" and e["verdict"] == "allow" and e.get("kind") != "parse" and "INSERT INTO scratch.t VALUES ($1)" in e.get("sql", ""))
        stack.wait_until("all of it is in Redis", lambda: recorded() == ran, 30)
        report = subprocess.run([self.s.env["GH_CTL"], "audit", "verify", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(0, report.returncode, report.stdout + report.stderr)
        self.assertTrue(json.loads(report.stdout)["whole"])
        streams = {}
        for e in self.s.audit():
            streams.setdefault(e["session"], []).append((tuple(map(int, e["id"].split("-"))), int(e["seq"])))
        for entries in streams.values():
            self.assertEqual(entries, sorted(entries))
            self.assertEqual([seq for _, seq in entries], sorted(seq for _, seq in entries))


if __name__ == "__main__":
    unittest.main()
