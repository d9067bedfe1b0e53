"""Faults under load that kill nobody: a database that hangs, a journal's disk that is full, clients that reset. What cannot be recorded or run is refused or waits; all goes on
when it is over. (test_crash.py kills; test_daemon.py has Redis away and hanging.)"""
import os
import socket
import struct
import subprocess
import threading
import unittest

import psycopg

import stack
from stack import wait_until


class Load:
    """Sessions that insert numbered rows; each knows what was confirmed to it."""

    def __init__(self, s, n=4):
        self.stack, self.stop, self.confirmed, self.wrong, self.refused = s, threading.Event(), [], [], 0
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(n)]
        for t in self.threads:
            t.start()

    def run(self, number):
        n = 0
        try:
            with self.stack.psycopg(autocommit=True, connect_timeout=60) as c:
                while not self.stop.wait(0.01):
                    n += 1
                    try:
                        c.execute(f"INSERT INTO scratch.f VALUES ({number}, {n})")
                        self.confirmed.append((number, n))
                    except psycopg.errors.CannotConnectNow:  # 57P03: it cannot be recorded
                        self.refused += 1
                        self.stop.wait(0.1)
        except psycopg.Error as e:
            self.wrong.append(e)

    def more(self, n=20):
        want = len(self.confirmed) + n
        wait_until("the load goes on", lambda: self.wrong or len(self.confirmed) >= want, 60)
        if self.wrong:
            raise AssertionError(self.wrong)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(90)
        assert not any(t.is_alive() for t in self.threads), "a client hangs"


class Faults(unittest.TestCase):
    def setUp(self):
        self.stack = stack.Stack()
        self.addCleanup(self.stack.close)
        self.stack.scratch("CREATE TABLE scratch.f (who int, n int)")

    def rows(self):
        return sorted(self.stack.direct("SELECT who, n FROM scratch.f"))

    def held(self, load):
        """What was confirmed is there once, and nothing that was refused is."""
        self.assertEqual(load.wrong, [])
        self.assertEqual(self.rows(), sorted(load.confirmed))

    def test_the_database_hangs(self):
        load = Load(self.stack)
        load.more()
        pid = int(self.stack.pid("postgresql"))
        children = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, text=True).stdout.split()
        everybody = [str(pid), *children]
        with self.stack.psycopg(autocommit=True) as idle:  # has no connection to the database yet
            subprocess.run(stack.as_root("kill", "-STOP", *everybody), check=True)
            try:
                before = len(load.confirmed)
                # What needs no database is answered meanwhile: refusals, and logins, whose parameters are known.
                for sql in ("SELECT * FROM public.staff", "SELEC"):
                    with self.assertRaises(psycopg.Error) as caught:
                        idle.execute(sql)
                    self.assertIn(caught.exception.sqlstate, ("42501", "42601"))
                self.stack.psycopg(connect_timeout=60).close()
                self.assertLessEqual(len(load.confirmed), before + 4)
            finally:
                subprocess.run(stack.as_root("kill", "-CONT", *everybody), check=True)
            load.more()
            self.assertEqual(idle.execute("SELECT 1").fetchone(), (1,))
        load.end()
        self.held(load)

    def test_the_journals_disk_is_full(self):
        journal = os.path.join(self.stack.dir, "etc", "journal")
        self.stack.stop("gatehouse")
        owner = os.stat(journal)
        keep = journal + ".kept"
        subprocess.run(stack.as_root("cp", "-a", journal, keep), check=True)
        subprocess.run(stack.as_root("mount", "-t", "tmpfs", "-o", f"size=3m,mode=700,uid={owner.st_uid},gid={owner.st_gid}", "tmpfs", journal), check=True)
        self.addCleanup(subprocess.run, stack.as_root("umount", "-l", journal))
        subprocess.run(stack.as_root("cp", "-a", keep + "/.", journal), check=True)
        self.stack.start("gatehouse")
        load = Load(self.stack)
        load.more()
        filler = os.path.join(journal, "filler")
        subprocess.run(stack.as_root("dd", "if=/dev/zero", f"of={filler}", "bs=64k"), stderr=subprocess.DEVNULL)  # until there is no room
        wait_until("statements are refused", lambda: load.refused > 8, 60)
        refused = load.refused
        wait_until("and stay so", lambda: load.refused > refused + 8, 60)
        subprocess.run(stack.as_root("rm", filler), check=True)
        load.more()
        load.end()
        self.held(load)
        numbers = {e["sql"] for e in self.stack.audit() if e["type"] == "statement" and e["verdict"] == "allow"}
        for who, n in load.confirmed:
            self.assertIn(f"INSERT INTO scratch.f VALUES ({who}, {n})", numbers)
        wait_until("the rest of the journal is in Redis", lambda: self.verified(journal), 60)

    def verified(self, journal):
        command = [self.stack.env["GH_CTL"], "audit", "verify", "--config", self.stack.env["GH_CONFIG"], "--journal", journal]
        done = subprocess.run(stack.as_root(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = done.stdout
        return done.returncode == 0

    def fds(self):
        return len(subprocess.run(stack.as_root("ls", f"/proc/{self.stack.pid('gatehouse')}/fd"), stdout=subprocess.PIPE, text=True, check=True).stdout.split())

    def test_clients_that_reset(self):
        load = Load(self.stack)
        load.more()
        before = self.fds()
        for what in ("SELECT repeat('r', 10000) FROM generate_series(1, 20000)", "SELECT pg_sleep(60)", "BEGIN; INSERT INTO scratch.f VALUES (77, 1)", "COPY scratch.f FROM STDIN"):
            for _ in range(10):
                c = self.stack.psycopg("dba", autocommit=False, connect_timeout=60)
                s = socket.socket(fileno=os.dup(c.fileno()))
                c.pgconn.send_query(what.encode())
                c.pgconn.flush()
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
                c.pgconn.finish()
            load.more()
        wait_until("their sessions are gone", lambda: self.fds() <= before + 3, 60)
        wait_until("and what they ran", lambda: not self.stack.direct("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' "
                                                                       "AND pid <> pg_backend_pid()"), 60)
        load.end()
        self.held(load)  # none of the INSERTs was committed


if __name__ == "__main__":
    unittest.main()
