"""Upgrades when things go wrong beside them: daemons killed at any moment, signals at the wrong time, the statement API and scrapes under load, many
upgrades in a row. GH_CHAOS=N does the random parts N times as long."""
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import unittest
import urllib.request

import psycopg

import haproxy
import httpgate
import stack
import test_upgrade

CHAOS = int(os.environ.get("GH_CHAOS", "1"))


class Beside(test_upgrade.Upgrade):
    """Starts daemons of its own beside the stack's."""

    def setUp(self):
        super().setUp()
        self.own = []
        self.addCleanup(self.end_own)

    def end_own(self):
        for p in self.own:
            if p.poll() is None:
                p.terminate()
        for p in self.own:
            p.wait(60)

    def start(self, *options):
        with open(os.path.join(self.stack.dir, "log", "gatehouse.log"), "a") as log:
            p = subprocess.Popen([self.program, *options, "-c", self.stack.env["GH_CONFIG"]], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.own.append(p)
        return p

    def count(self, pattern):
        return len(re.findall(pattern, self.log()))

    def another(self, pattern, do):
        """Does it, and waits for one more line of the log."""
        before = self.count(pattern)
        value = do()
        stack.wait_until(pattern, lambda: self.count(pattern) > before, 30)
        return value

    def half_way(self):
        """A new one that has found the running one and waits for Redis, which hangs until go_on()."""
        self.stack.signal("redis", signal.SIGSTOP)
        return self.another("event=upgrade.asked ", lambda: self.start("-u"))

    def go_on(self):
        self.stack.signal("redis", signal.SIGCONT)

    def allow_also(self, table):
        """Adds a rule to the policy's file."""
        stack.edit(self.stack.env["GH_POLICY"], lambda t: t + f"  - name: {table}\n    groups: testers\n    database: shop\n    deny: all\n"
                  f"    on: scratch.{table}\n    reason: It is being moved.\n")


class Signals(Beside):
    def test_told_to_end_before_it_has_the_doors(self):
        """It does not take over only to leave: the running one serves on."""
        for sig in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(sig):
                new = self.half_way()
                new.send_signal(sig)
                self.go_on()
                self.assertNotEqual(new.wait(30), 0)
                self.assertEqual(self.count("event=upgrade.replaced "), 0)
                self.works()
        self.logged("event=start.failed error=.*told to end")
        with self.subTest("a plain start beside it"):
            conn = self.connect()
            before = self.log()
            for _ in range(3):
                self.assertEqual(self.start().wait(30), 1)
            more = self.log()[len(before):]
            self.assertEqual(more.count("is replaced by -u"), 3, more)
            self.assertNotIn("event=door.peer_refused", more)
            conn.execute("SELECT 1")
        self.stack.upgrade()
        self.works()

    def test_reload_of_the_old_one_while_the_new_one_gets_ready(self):
        """The new one has read the files before they were changed: it reads them again."""
        self.stack.scratch("CREATE TABLE scratch.t (id integer)")
        conn = self.connect()
        conn.execute("SELECT * FROM scratch.t")
        new = self.half_way()
        self.allow_also("t")
        self.another("event=reload ", lambda: self.stack.signal("gatehouse", signal.SIGHUP))
        self.another("event=upgrade.took_over ", self.go_on)
        with self.assertRaises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT * FROM scratch.t")

        def refused():
            with self.stack.psycopg(autocommit=True) as c:
                try:
                    c.execute("SELECT * FROM scratch.t")
                except psycopg.errors.InsufficientPrivilege:
                    return True
        stack.wait_until("the new one has it too", refused)
        self.assertIsNone(new.poll())
        conn.close()
        self.gone("gatehouse")

    def test_that_reload_fails(self):
        """And the new one keeps what it had, as any reload that fails."""
        new = self.half_way()
        good = stack.edit(self.stack.env["GH_POLICY"], lambda t: t + "nonsense: 1\n")
        self.another("event=reload.failed ", lambda: self.stack.signal("gatehouse", signal.SIGHUP))
        self.another("event=reload.failed ", self.go_on)
        self.gone("gatehouse")
        self.works()
        self.assertIsNone(new.poll())
        stack.edit(self.stack.env["GH_POLICY"], lambda t: good)
        self.another("event=reload ", lambda: new.send_signal(signal.SIGHUP))
        self.works()

    def test_reload_of_one_that_was_replaced(self):
        """SIGHUP to any of them is SIGHUP to all."""
        self.stack.scratch("CREATE TABLE scratch.t (id integer)")
        conns = [self.connect()]
        olds = []
        for _ in range(2):
            conns[-1].execute("SELECT * FROM scratch.t")
            olds.append(self.stack.upgrade())
            conns.append(self.connect())
        conns[-1].execute("SELECT * FROM scratch.t")
        self.allow_also("t")
        self.stack.signal(olds[0], signal.SIGHUP)
        stack.wait_until("all have reloaded", lambda: self.count("event=reload ") >= 3)
        for conn in conns:
            with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                conn.execute("SELECT * FROM scratch.t")
        self.stack.kill("gatehouse")
        stack.wait_until("both know", lambda: self.count("newer daemon is gone") == 2)
        self.another("event=reload ", lambda: self.stack.signal(olds[0], signal.SIGHUP))  # nobody to pass it on to
        self.assertEqual(self.count("event=reload "), 4)

    def test_the_old_one_is_told_to_end_meanwhile(self):
        """Without a session it ends at once, and the new one says so; with one it is replaced all the same."""
        conn = self.connect()
        conn.execute("BEGIN")
        new = self.half_way()
        self.another("event=drain ", lambda: self.stack.signal("gatehouse", signal.SIGTERM))
        self.another("event=upgrade.took_over ", self.go_on)
        self.works()
        conn.execute("SELECT 1")
        conn.execute("COMMIT")
        self.gone("gatehouse")
        self.assertIsNone(new.poll())


class Killed(Beside):
    def test_the_new_one_at_any_moment(self):
        """Before it has the doors, nobody notices; afterwards it is a crash as any, and the next start goes on."""
        first = self.connect()
        took = time.monotonic()
        self.another("event=start ", lambda: self.start("-u"))
        took = time.monotonic() - took
        serving = self.own[-1]
        knocking = test_upgrade.Knocking(self.stack)
        rng = random.Random(CHAOS)
        died_early = 0
        for _ in range(6 if CHAOS == 1 else 10 * CHAOS):
            knocking.more(3)
            replaced = self.count("event=upgrade.replaced ")
            new = self.start("-u")
            time.sleep(rng.uniform(0, took * 1.1))
            new.kill()
            new.wait()
            time.sleep(0.05)
            if self.count("event=upgrade.replaced ") == replaced:
                died_early += 1
                knocking.more(3)
                self.assertEqual(knocking.errors, [])
                self.assertIsNone(serving.poll())
            else:
                self.another("event=start ", lambda: self.start("-u"))
                serving = self.own[-1]
                stack.wait_until("HAProxy has found it", lambda: test_upgrade.Ledger.runs_again(self), 30)
                knocking.errors.clear()
            first.execute("SELECT 1")
        self.assertGreater(died_early, 0)
        knocking.more(3)
        knocking.end()
        first.close()
        self.gone("gatehouse")
        stack.wait_until("all is shipped", lambda: self.complete(), 30)
        test_upgrade.Sessions.exactly_once(self)

    def complete(self):
        try:
            test_upgrade.Sessions.exactly_once(self)
            return True
        except AssertionError:
            return False

    def test_the_old_one_while_it_drains_and_redis_starts_anew(self):
        """Redis comes back empty: both journals fill it again, each event once."""
        conn = self.connect()
        conn.execute("SELECT 1")
        knocking = test_upgrade.Knocking(self.stack)
        knocking.more()
        old = self.stack.upgrade()
        knocking.more()
        conn.execute("SELECT 2")
        self.stack.kill("redis")
        self.stack.kill(old)
        self.stack.start("redis")
        stack.wait_until("it is used again", lambda: test_upgrade.Ledger.runs_again(self), 30)
        knocking.errors.clear()
        knocking.more()
        self.assertEqual(knocking.end(), [])
        stack.wait_until("all is there", lambda: self.complete() and any(e.get("sql") == "SELECT 2" for e in self.stack.audit()), 30)


class FullDisk(Beside):
    def test_the_new_ones_journal(self):
        """What it could not record it does not take over."""
        journal = os.path.join(self.stack.dir, "etc", "journal")
        owner = os.stat(journal).st_uid
        slot = os.path.join(journal, "slot-1")
        subprocess.run(stack.as_root("install", "-d", "-o", str(owner), "-m", "0700", slot), check=True)
        subprocess.run(stack.as_root("mount", "-t", "tmpfs", "-o", f"size=96k,mode=700,uid={owner}", "none", slot), check=True)
        self.addCleanup(subprocess.run, stack.as_root("umount", "-l", slot))
        subprocess.run(stack.as_root("dd", "if=/dev/zero", f"of={slot}/ballast", "bs=4k"), stderr=subprocess.DEVNULL)
        conn = self.connect()
        self.fails("event=start.failed error=.*No space left")
        conn.execute("SELECT 1")
        subprocess.run(stack.as_root("rm", slot + "/ballast"), check=True)
        self.stack.upgrade()
        self.works()
        conn.execute("SELECT 1")


class Many(Beside):
    def test_nothing_grows(self):
        """Upgrade after upgrade, with a session open from the first daemon on."""
        conn = self.connect()
        conn.execute("SELECT 1")
        seen = []
        for i in range(5 if CHAOS == 1 else 30):
            old = self.stack.upgrade()
            if i > 0:
                self.gone(old)
            self.works()
            seen.append(self.stack.rss_kib("gatehouse"))
            if i == 1:
                first = stack.wait_until("it has settled", self.settled)
            elif i > 1:  # the journals of those that left are looked after now and then, which takes a thread and some descriptors
                stack.wait_until(f"as few threads and descriptors as {first}", lambda: self.settled(first))
        self.assertLess(max(seen[-3:]), min(seen[:3]) * 1.2, seen)
        # The first daemon drains and the newest serves: they do not take turns at shipping what was shipped long ago.
        made = lambda: int(re.search(r"total_connections_received:(\d+)", self.stack.redis("INFO", "stats"))[1])  # noqa: E731

        def quiet():
            before = made()
            time.sleep(3)
            return made() - before <= 1  # our own question

        stack.wait_until("nobody connects to Redis any more", quiet, 30)
        conn.execute("SELECT 1")
        conn.close()
        stack.wait_until("one is left", lambda: not any(self.stack.runs(n) for n in self.names() if n != "gatehouse"), 30)

    def settled(self, want=None):
        """Numbers of threads and descriptors that are the same for a while, and those wanted."""
        proc = "/proc/" + self.stack.pid("gatehouse")
        seen = set()
        for _ in range(5 if want is None else 1):
            seen.add((len(os.listdir(proc + "/task")), len(os.listdir(proc + "/fd"))))
            time.sleep(0.1)
        tasks, fds = seen.pop()
        return (tasks, fds) if not seen and (want is None or (tasks == want[0] and fds <= want[1] + 1)) else None

    def names(self):
        with open(self.stack.env["GH_PIDS"]) as f:
            return [line.split()[0] for line in f if line.startswith("gatehouse")]


class Scrapes(Beside):
    """The metrics' socket goes over too."""

    @staticmethod
    def config(text):
        return text + f"\nmetrics: {{ listen: 127.0.0.1:{Scrapes.port} }}\n"

    def setUp(self):
        Scrapes.port = haproxy.free_port()
        super().setUp()

    def started(self):
        """Of who answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=20) as r:
            return float(re.search(r"^process_start_time_seconds ([0-9.e+]+)$", r.read().decode(), re.M).group(1))

    def test_no_gap(self):
        conn = self.connect()
        conn.execute("SELECT 1")
        seen, failed, stop = [], [], threading.Event()

        def scrape():
            while not stop.is_set():
                try:
                    seen.append(self.started())
                except OSError as e:
                    failed.append(str(e))

        threads = [threading.Thread(target=scrape) for _ in range(3)]
        for t in threads:
            t.start()
        for generation in range(2, 5):
            stack.wait_until("it is scraped", lambda: seen)
            self.stack.upgrade()
            stack.wait_until("the new one answers", lambda: len(set(seen)) == generation)  # noqa: B023
        stop.set()
        for t in threads:
            t.join(30)
        self.assertEqual(failed, [])
        self.assertNotIn("event=metrics.port_taken", self.log())
        last = max(seen)
        self.assertEqual({self.started() for _ in range(5)}, {last}, "no older one answers any more")
        with self.subTest("another address: the new one listens there, and the old address is free"):
            before, Scrapes.port = self.port, haproxy.free_port()
            stack.edit(self.stack.env["GH_CONFIG"], lambda t: t.replace(str(before), str(self.port)))
            self.stack.upgrade()
            self.started()
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", before), 5)
        conn.execute("SELECT 1")


class UnixScrapes(Beside):
    @staticmethod
    def config(text):
        return text + "\nmetrics: { socket: /var/lib/haproxy/gatehouse/metrics.sock }\n"

    def health(self):
        path = os.path.join(self.stack.dir, "jail", "gatehouse", "metrics.sock")
        done = subprocess.run(stack.as_root("curl", "-sS", "--unix-socket", path, "http://gatehouse/healthz"), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertIn('"status":"ready"', done.stdout)

    def test_an_upgrade_that_fails_leaves_it(self):
        self.health()
        good = stack.edit(self.stack.env["GH_CONFIG"], lambda t: t.replace("payload.sock", "other.sock"))
        self.fails("event=start.failed ")
        self.health()
        stack.edit(self.stack.env["GH_CONFIG"], lambda t: good)
        new = self.half_way()
        new.kill()
        new.wait()
        self.go_on()
        stack.wait_until("Redis is used again", lambda: test_upgrade.Ledger.runs_again(self))
        self.health()
        for _ in range(2):
            self.stack.upgrade()
            self.health()


class Api(unittest.TestCase):
    """The statement API under load: HAProxy's questions are always open when its connections are to go over."""

    def test_no_wrong_answer_and_none_refused(self):
        s = httpgate.up()
        self.addCleanup(s.close)
        app = httpgate.Application(s)
        self.addCleanup(app.close)
        gate = httpgate.Gate(app.server_port, app.server_port, s.dir + "/jail").start()
        self.addCleanup(gate.stop)
        token, stop, wrong, times = s.token("agent"), threading.Event(), [], []

        def client(k):
            c = gate.connect()
            n = k * 1000000
            while not stop.is_set():
                n += 1
                denied = n % 3 == 0 or k % 2 == 0  # the application looks into the record for each of the others, which takes long
                text = f"SELECT {n} FROM staff" if denied else f"SELECT {n}"
                if n % 5 == 0:
                    text += " " * 6000  # parsed by the pool
                start = time.monotonic()
                status, body, _ = gate.post("/query", {"sql": text}, token, connection=c)
                times.append(time.monotonic() - start)
                if (status, body.get("rows"), body.get("sqlstate")) != ((403, None, "42501") if denied else (200, [[str(n)]], None)):
                    wrong.append((text.strip(), status, body))
            c.close()

        clients = [threading.Thread(target=client, args=(k,)) for k in range(1, 7)]
        for t in clients:
            t.start()
        stack.wait_until("requests", lambda: len(times) > 30)
        olds = []
        for _ in range(3):
            n = len(times)
            olds.append(s.upgrade())
            stack.wait_until("more requests", lambda: len(times) > n + 60, 60)  # noqa: B023
        stop.set()
        for t in clients:
            t.join(30)
        print(f"{len(times)} requests, {len(wrong)} wrong, longest {max(times):.3f} s", flush=True)
        self.assertEqual(wrong, [])
        for sql, _, recorded in app.ran:
            self.assertEqual([(t, v, text.strip()) for t, v, text in recorded], [("statement", "allow", sql.strip())])
        for old in olds:
            stack.wait_until(f"{old} has ended", lambda: not s.runs(old), 30)  # noqa: B023
        self.stack = s
        test_upgrade.Sessions.exactly_once(self)
        s.stop("gatehouse")
        entries = s.stream("gatehouse:sessions")
        opened = [e["session"] for e in entries if e["type"] == "session.open"]
        closed = [e["session"] for e in entries if e["type"] == "session.close"]
        self.assertEqual(len(set(opened)), len(opened))
        self.assertEqual(sorted(closed), sorted(opened))


if __name__ == "__main__":
    unittest.main()
