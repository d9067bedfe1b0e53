"""HAProxy as Debian runs it (-Ws, chrooted, user haproxy), reloaded and drained with sessions open; and a daemon that goes away and comes back."""
import json
import os
import pwd
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import psycopg

import stack

CLI = """import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\\n")
s.shutdown(socket.SHUT_WR)
while piece := s.recv(65536):
    sys.stdout.buffer.write(piece)"""


class Master:
    """A master and its worker on a stack's configuration, in the place of the quickstart's HAProxy. It speaks systemd's notification
    protocol (sd_notify(3)), by which it says when a reload is over."""

    def __init__(self, s, edit=lambda text: text):
        self.stack = s
        self.config = os.path.join(s.dir, "etc", "haproxy.cfg")
        with open(self.config) as f:
            self.before = f.read()
        self.write(edit(self.before))
        s.stop("haproxy")
        self.folder = tempfile.TemporaryDirectory(prefix="gh-hap.", dir="/tmp")
        self.cli_path = os.path.join(self.folder.name, "master.sock")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.folder.name, "notify"))
        self.notify.settimeout(20)
        with open(os.path.join(s.dir, "log", "haproxy.log"), "ab") as log:
            self.process = subprocess.Popen(stack.as_root("env", f"NOTIFY_SOCKET={self.folder.name}/notify", os.environ.get("GH_HAPROXY", "haproxy"),
                                                          "-Ws", "-f", self.config, "-S", self.cli_path), stdout=log, stderr=log)
        self.ready()

    def write(self, text):
        with open(self.config, "w") as f:
            f.write(text)

    def ready(self):
        while b"READY=1" not in self.notify.recv(4096):
            pass

    def signal(self, name):
        # -Ws was started by env, and that by sudo for an ordinary user: the master knows its pid best
        subprocess.run(stack.as_root("kill", "-s", name, str(self.pids()[0][0])), check=True)

    def reload(self):
        """As systemctl reload does it. Gives the old worker's pid."""
        old = self.pids()[1]
        self.notify.setblocking(False)
        try:
            while self.notify.recv(4096):
                pass  # what was said of an earlier reload
        except BlockingIOError:
            self.notify.settimeout(20)
        self.signal("USR2")
        self.ready()
        stack.wait_until("the reload is over", lambda: self.pids()[1] not in ([], old))
        return old[-1]

    def cli(self, command):
        """The answer of the master's command line (management.txt, 9.4); while the master executes itself again it has none."""
        def ask():
            done = subprocess.run(stack.as_root("/usr/bin/python3", "-c", CLI, self.cli_path, command), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=20)
            return done.returncode == 0 and done.stdout
        return stack.wait_until("the master's command line answers", ask)

    def pids(self):
        """The master's, the workers' and the old workers', from "show proc"."""
        out, at = ([], [], []), None
        for line in self.cli("show proc").splitlines():
            if line.startswith("#"):
                at = {"# workers": 1, "# old workers": 2}.get(line.strip(), 0)
            elif line.split()[1:2] == ["master"]:
                out[0].append(int(line.split()[0]))
            elif line.split()[1:2] == ["worker"]:
                out[at].append(int(line.split()[0]))
        return out

    def connections(self, pid):
        """How many client connections the edge of this worker holds."""
        rows = self.cli(f"@!{pid} show stat").splitlines()
        names = next(r for r in rows if r.startswith("# pxname")).lstrip("# ").split(",")
        return next(int(r.split(",")[names.index("scur")]) for r in rows if r.startswith("gh_pg_edge,FRONTEND,"))

    def spop_connections(self, pid):
        """The worker's connections to the daemon's SPOP door: ss(8) shows the daemon's ends with the inode of the other end."""
        mine = set()
        listing = subprocess.run(stack.as_root("ls", "-l", f"/proc/{pid}/fd"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        for word in listing.split():
            if word.startswith("socket:["):
                mine.add(word[8:-1])
        rows = subprocess.run(["ss", "-xnH", "state", "connected"], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
        door = os.path.join(self.stack.dir, "jail", "gatehouse", "spop.sock")
        return sum(1 for r in map(str.split, rows) if door in r and r[-1] in mine)

    def stop(self):
        if self.process.poll() is None:
            self.signal("TERM")
        self.process.wait(20)
        self.write(self.before)
        self.notify.close()
        self.folder.cleanup()


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


class Busy:
    """Sessions that run statements without a pause, and clients that come and go. Any error is kept."""

    def __init__(self, s, sessions=3, comers=2):
        self.stack = s
        self.end = threading.Event()
        self.errors = []
        self.statements = self.logins = 0
        self.threads = [threading.Thread(target=self.guard, args=(self.stay,)) for _ in range(sessions)]
        self.threads += [threading.Thread(target=self.guard, args=(self.come_and_go,)) for _ in range(comers)]
        for t in self.threads:
            t.start()

    def guard(self, work):
        try:
            work()
        except Exception as e:  # the test shows it
            self.errors.append(e)

    def stay(self):
        with self.stack.psycopg(autocommit=True) as conn:
            n = 0
            while not self.end.is_set():
                n += 1
                assert conn.execute("SELECT %s::int", [n]).fetchone() == (n,)
                self.statements += 1

    def come_and_go(self):
        while not self.end.is_set():
            with self.stack.psycopg(autocommit=True) as conn:
                assert conn.execute("SELECT 1").fetchone() == (1,)
            self.logins += 1

    def progress(self, what):
        """Both kinds have done something since now."""
        statements, logins = self.statements, self.logins
        stack.wait_until(what, lambda: self.errors or (self.statements > statements + 20 and self.logins > logins + 4), 30)

    def stop(self):
        self.end.set()
        for t in self.threads:
            t.join(60)


class Debian(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack()
        cls.addClassCleanup(cls.stack.close)

    def master(self, edit=lambda text: text):
        m = Master(self.stack, edit)
        self.addCleanup(m.stop)
        return m

    def test_as_debian_runs_it(self):
        """The worker is in the jail and is nobody's root, and the two doors are reached from there."""
        m = self.master()
        worker = m.pids()[1][0]
        where = subprocess.run(stack.as_root("readlink", f"/proc/{worker}/root"), stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
        self.assertEqual(where, os.path.join(self.stack.dir, "jail"))
        self.assertEqual(os.stat(f"/proc/{worker}").st_uid, pwd.getpwnam("haproxy").pw_uid)
        self.assertEqual(self.stack.psql("-Atc", "SELECT 1").stdout, "1\n")

    def test_reload_with_sessions_open(self):
        m = self.master()
        held = self.stack.psycopg()  # in a transaction all the while
        self.addCleanup(held.close)
        self.stack.scratch("CREATE TABLE scratch.held (n integer)")
        held.execute("INSERT INTO scratch.held VALUES (1)")
        busy = Busy(self.stack)
        self.addCleanup(busy.stop)
        busy.progress("sessions are busy")
        old = []
        for n in range(2, 5):
            old.append(m.reload())
            busy.progress("they go on after the reload")
            held.execute(f"INSERT INTO scratch.held VALUES ({n})")
        self.assertEqual(busy.errors, [])
        new = m.pids()[1][-1]
        self.assertNotIn(new, old)
        self.assertTrue(alive(old[0]))  # it has the sessions that were there first
        self.assertGreater(m.connections(old[0]), 0)
        with self.stack.psycopg() as late:
            late.execute("SELECT 1")
            self.assertGreater(m.connections(new), 0)
            stack.wait_until("the old worker asks the daemon nothing more", lambda: m.spop_connections(old[0]) == 0, 45)
            self.assertGreater(m.spop_connections(new), 0)  # so this looks at the right thing
        held.commit()
        self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.held"), [(4,)])
        busy.stop()
        self.assertEqual(busy.errors, [])
        held.close()
        for pid in old:
            stack.wait_until("an old worker ends with its last session", lambda: not alive(pid), 30)
        self.assertEqual(self.stack.psql("-Atc", "SELECT 1").stdout, "1\n")

    def test_cancel_of_a_session_of_the_old_worker(self):
        m = self.master()
        conn = self.stack.psycopg(autocommit=True)
        self.addCleanup(conn.close)
        conn.execute("SELECT 1")
        m.reload()
        timer = threading.Timer(0.3, conn.cancel)  # a new connection, so it comes through the new worker
        timer.start()
        with self.assertRaises(psycopg.errors.QueryCanceled):
            conn.execute("SELECT count(*) FROM generate_series(1, 2000000000)")
        timer.join()

    def test_hard_stop_after(self):
        m = self.master(lambda text: text.replace("global\n", "global\n    hard-stop-after 1s\n", 1))
        conn = self.stack.psycopg(autocommit=True)
        self.addCleanup(conn.close)
        conn.execute("SELECT 1")
        ended = len(self.ended())
        old = m.reload()
        stack.wait_until("the old worker is ended", lambda: not alive(old), 30)
        with self.assertRaises(psycopg.OperationalError):
            conn.execute("SELECT 'after the hard stop'")
        self.assertNotIn("after the hard stop", self.stack.log("postgresql"))
        stack.wait_until("its end is on record", lambda: len(self.ended()) > ended)
        self.assertEqual(self.stack.psql("-Atc", "SELECT 1").stdout, "1\n")

    def ended(self):
        return [e for e in self.stack.stream("gatehouse:sessions") if e.get("type") == "session.close"]

    def test_drained(self):
        """SIGUSR1: nobody new, the sessions that are open go on, and the processes end with the last of them."""
        m = self.master()
        conn = self.stack.psycopg(autocommit=True)
        self.addCleanup(conn.close)
        conn.execute("SELECT 1")
        worker = m.pids()[1][0]
        m.signal("USR1")
        stack.wait_until("nobody new is let in", lambda: self.stack.psql("-Atc", "SELECT 'too late'").returncode != 0)
        self.assertEqual(conn.execute("SELECT 2").fetchone(), (2,))
        self.assertTrue(alive(worker))
        conn.close()
        self.assertEqual(m.process.wait(20), 0)
        self.assertNotIn("too late", self.stack.log("postgresql"))

    def test_daemon_goes_and_comes_back(self):
        """option spop-check: HAProxy notices that the daemon is dead, or hangs, refuses by itself, and notices that it is back."""
        s, m = self.stack, self.master()
        self.wait_status(m, "UP")
        for away, back in ((lambda: s.kill("gatehouse"), lambda: s.start("gatehouse")),
                           (lambda: s.signal("gatehouse", signal.SIGSTOP), lambda: s.signal("gatehouse", signal.SIGCONT))):
            away()
            self.wait_status(m, "DOWN")
            begin = time.monotonic()
            self.assertNotEqual(s.psql("-Atc", "SELECT 'while-down'").returncode, 0)
            took = time.monotonic() - begin
            back()
            self.wait_status(m, "UP")
            self.assertEqual(s.psql("-Atc", "SELECT 1").stdout, "1\n")
            self.assertLess(took, 20)  # PGCONNECT_TIMEOUT: it was HAProxy that said no
        self.assertNotIn("while-down", s.log("postgresql"))

    def wait_status(self, m, word):
        def status():
            rows = m.cli("@1 show stat json").strip()
            found = {}
            for fields in json.loads(rows):
                row = {f["field"]["name"]: f["value"]["value"] for f in fields}
                if row["svname"] == "gatehouse":
                    found[row["pxname"]] = row["status"].split()[0]
            self.assertEqual(set(found), {"gh_agent", "gh_pg_gatehouse"})
            return set(found.values()) == {word}
        stack.wait_until(f"both servers are {word}", status, 30)


if __name__ == "__main__":
    unittest.main()
