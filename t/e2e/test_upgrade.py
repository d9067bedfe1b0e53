"""A new gatehouse takes over from a running one: no session is dropped, no connection refused, no ticket good twice."""
import os
import pwd
import re
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import unittest

import psycopg

import haproxy
import pgraw
import spop
import stack

HELLO, OFFER, REFUSE, TAKE, KEY, USED, END, READY, GO, SPOP_CONN, CANCEL, RELOAD = range(1, 13)
MAGIC = b"GHHO"


class Upgrade(unittest.TestCase):
    config = None

    def setUp(self):
        self.stack = stack.Stack(config=self.config)
        self.addCleanup(self.stack.close)
        self.program = os.path.join(self.stack.env["GH_BUILD"], "gatehouse")

    def connect(self, **more):
        conn = self.stack.psycopg(autocommit=True, **more)
        self.addCleanup(conn.close)
        return conn

    def gone(self, name):
        stack.wait_until(f"{name} has ended", lambda: not self.stack.runs(name), 30)

    def log(self):
        return self.stack.log("gatehouse")

    def logged(self, pattern):
        return stack.wait_until(pattern, lambda: re.search(pattern, self.log()))

    def fails(self, pattern):
        """A new one does not take over, says why, and the old one serves on."""
        pid = self.stack.pid("gatehouse")
        with self.assertRaisesRegex(AssertionError, "did not take over"):
            self.stack.upgrade()
        self.assertEqual(self.stack.pid("gatehouse"), pid)
        self.logged(pattern)
        self.works()

    def works(self):
        with self.stack.psycopg(autocommit=True) as conn:
            self.assertEqual(conn.execute("SELECT 42").fetchone(), (42,))


class Knocking:
    """Clients that connect, ask and leave, without a pause and without a second attempt."""

    def __init__(self, s, threads=3):
        self.stack, self.stop, self.done, self.errors = s, threading.Event(), 0, []
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]
        for t in self.threads:
            t.start()

    def run(self):
        while not self.stop.is_set():
            try:
                with self.stack.psycopg(autocommit=True) as conn:
                    conn.execute("SELECT 1")
                self.done += 1
            except psycopg.Error as e:
                self.errors.append(str(e))

    def more(self, n=20):
        """Waits for n more of them."""
        want = self.done + n
        stack.wait_until("clients come and go", lambda: self.errors or self.done >= want, 60)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(30)
        return self.errors


class Sessions(Upgrade):
    def test_everything_runs_on(self):
        """Two upgrades in a row under load, with sessions in every state open across both: three daemons at the end."""
        self.stack.scratch("CREATE TABLE scratch.t (id integer, who text); INSERT INTO scratch.t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        env = dict(os.environ, PGOPTIONS="-c role=shop_owner")
        subprocess.run(["pgbench", "-i", "-q", "-s", "1", self.stack.env["GH_PG_DIRECT_URL"]], env=env, check=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
        transaction, prepared, cursor, copying, busy = (self.connect() for _ in range(5))
        transaction.execute("BEGIN")
        transaction.execute("INSERT INTO scratch.t VALUES (10, 'before')")
        prepared.execute("PREPARE p (integer) AS SELECT who FROM scratch.t WHERE id = $1")
        for _ in range(7):
            prepared.execute("SELECT who FROM scratch.t WHERE id = %s", [2])  # psycopg prepares it by itself at the fifth time
        cursor.execute("BEGIN")
        cursor.execute("DECLARE c CURSOR FOR SELECT id FROM scratch.t ORDER BY id")
        self.assertEqual(cursor.execute("FETCH 1 FROM c").fetchone(), (1,))
        slept = []
        sleeping = threading.Thread(target=lambda: slept.append(busy.execute("SELECT count(*) FROM generate_series(1, 20000000)").fetchone()))
        sleeping.start()
        knocking = Knocking(self.stack)
        bench = [subprocess.Popen(["pgbench", "-n", *how, "-T", "8"], env=self.stack.client_env("dba"), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True) for how in (("-C", "-S", "-c", "3"), ("-M", "prepared", "-c", "3"))]
        olds = []
        with copying.cursor() as cur, cur.copy("COPY scratch.t FROM STDIN") as copy:
            copy.write_row((20, "before"))
            for generation in range(2):
                knocking.more()
                olds.append(self.stack.upgrade())
                knocking.more()
                self.assertEqual(cursor.execute("FETCH 1 FROM c").fetchone(), (2 + generation,))
                copy.write_row((21 + generation, "after"))
        transaction.execute("INSERT INTO scratch.t VALUES (11, 'after')")
        transaction.execute("COMMIT")
        self.assertEqual(prepared.execute("EXECUTE p(3)").fetchone(), ("c",))
        self.assertEqual(prepared.execute("SELECT who FROM scratch.t WHERE id = %s", [2]).fetchone(), ("b",))
        self.assertTrue(self.stack.runs(olds[0]))
        for b in bench:
            out, _ = b.communicate(timeout=120)
            self.assertEqual(b.returncode, 0, out)
            self.assertIsNone(re.search("error|aborted|FATAL", out.replace("number of failed transactions", "")), out)
        self.assertEqual(knocking.end(), [])
        sleeping.join(60)
        self.assertEqual(slept, [(20000000,)])
        self.assertEqual(self.stack.direct("SELECT id FROM scratch.t ORDER BY id"), [(i,) for i in (1, 2, 3, 10, 11, 20, 21, 22)])
        self.gone(olds[1])  # all of its sessions were short ones
        self.assertTrue(self.stack.runs(olds[0]))
        for conn in (transaction, prepared, cursor, copying, busy):
            conn.close()
        self.gone(olds[0])
        self.works()
        self.exactly_once()
        nodes = {e["node"] for e in self.stack.audit()}
        self.assertEqual(nodes, {"shop-1", "shop-1/1", "shop-1/2"})
        self.assertEqual(re.findall("gh_error=[0-9]+", self.stack.log("haproxy")), [])

    def exactly_once(self):
        """Every number of every writer, once; a session has one writer, and its own order."""
        seen = {}
        sessions = {}
        for key in ("gatehouse:sessions", "gatehouse:auth"):
            for e in self.stack.stream(key):
                seen.setdefault(e["node"], []).append(int(e["seq"]))
        for e in self.stack.audit():
            seen.setdefault(e["node"], []).append(int(e["seq"]))
            sessions.setdefault(e["session"], []).append((e["node"], int(e["seq"])))
        for node, numbers in seen.items():
            self.assertEqual(sorted(numbers), list(range(1, len(numbers) + 1)), node)
        for events in sessions.values():
            self.assertEqual(len({node for node, _ in events}), 1)
            self.assertEqual([n for _, n in events], sorted(n for _, n in events))

    def test_cancel_reaches_an_old_session(self):
        """As libpq sends it before version 17: in plaintext, by SPOP to the newest daemon; two upgrades later still."""
        conn = self.connect()
        conn.execute("SELECT 1")
        olds = [self.stack.upgrade(), self.stack.upgrade()]
        self.gone(olds[1])
        caught = []

        def sleep():
            try:
                conn.execute("SELECT pg_sleep(60)")
            except psycopg.Error as e:
                caught.append(e.sqlstate)

        stack.edit(self.stack.env["GH_POLICY"], lambda t: t + "  - name: testers-sleep\n    groups: testers\n    database: shop\n"
                  "    allow: select\n    on: public.orders\n    functions: [pg_catalog.pg_sleep]\n")
        self.stack.signal("gatehouse", signal.SIGHUP)
        stack.wait_until("both have reloaded", lambda: self.log().count("event=reload ") == 2)
        thread = threading.Thread(target=sleep)
        thread.start()
        stack.wait_until("it runs", lambda: self.stack.direct("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"))
        conn.cancel()
        thread.join(30)
        self.assertEqual(caught, ["57014"])
        self.assertEqual([e["src"] for e in self.stack.audit() if e["type"] == "cancel"], ["127.0.0.1"])
        session = [e["session"] for e in self.stack.audit() if e["type"] == "cancel"]
        self.assertEqual(session, [e["session"] for e in self.stack.audit() if "pg_sleep" in e.get("sql", "")])

    def test_cancel_inside_tls(self):
        """As libpq sends it from version 17 on: over a connection of its own that is admitted like any other, by the payload door."""
        self.stack.scratch("CREATE TABLE scratch.t (id integer)")
        client = pgraw.RawClient.gate(self.stack, timeout=60)
        self.addCleanup(client.sock.close)
        self.stack.upgrade()
        client.send(pgraw.query("SELECT count(*) FROM generate_series(1, 1000000000)"))
        stack.wait_until("it runs", lambda: self.stack.direct("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%1000000000%' AND state = 'active' "
                                                              "AND pid <> pg_backend_pid()"))
        with socket.create_connection((self.stack.host, self.stack.port), 20) as raw:
            raw.sendall(pgraw.SSL_REQUEST)
            self.assertEqual(raw.recv(1), b"S")
            with ssl.create_default_context(cafile=self.stack.env["GH_CA"]).wrap_socket(raw, server_hostname=self.stack.host) as tls:
                tls.sendall(struct.pack(">IIII", 16, 80877102, *client.key))
                self.assertEqual(haproxy.read_to_end(tls), b"")
        kind, body = client.read()
        while kind != "E":
            kind, body = client.read()
        self.assertEqual(pgraw.error_fields(body)["C"], "57014")

    def test_a_reload_reaches_old_sessions(self):
        self.stack.scratch("CREATE TABLE scratch.t (id integer)")
        conn = self.connect()
        conn.execute("SELECT * FROM scratch.t")
        self.stack.upgrade()
        stack.edit(self.stack.env["GH_POLICY"], lambda t: t + "  - name: shut\n    groups: testers\n    database: shop\n    deny: all\n"
                  "    on: scratch.*\n    reason: The table is being moved.\n")
        self.stack.signal("gatehouse", signal.SIGHUP)
        stack.wait_until("both have reloaded", lambda: self.log().count("event=reload ") == 2)
        with self.assertRaises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT * FROM scratch.t")

    def test_sigterm_ends_the_old_one(self):
        conn = self.connect()
        conn.execute("SELECT 1")
        old = self.stack.upgrade()
        self.stack.signal(old, signal.SIGTERM)
        self.gone(old)
        with self.assertRaises(psycopg.OperationalError):
            conn.execute("SELECT 1")
        self.works()


class Timeout(Upgrade):
    @staticmethod
    def config(text):
        return text + "\nupgrade_timeout: 2s\n"

    def test_the_rest_is_ended_at_a_boundary(self):
        idle, open_transaction = self.connect(), self.connect()
        idle.execute("SELECT 1")
        open_transaction.execute("BEGIN")
        old = self.stack.upgrade()
        self.logged("event=drain sessions=\"2\"")
        with self.assertRaises(psycopg.OperationalError) as caught:
            idle.execute("SELECT 1")
        self.assertIn("replaced by a newer one", str(caught.exception))
        open_transaction.execute("SELECT 1")
        open_transaction.execute("COMMIT")
        self.gone(old)
        self.works()


class Ledger(Upgrade):
    def test_a_killed_old_one_leaves_nothing_behind(self):
        """Redis hangs, so that the old one's last events are in its journal only when it is killed; the running one ships them."""
        self.stack.scratch("CREATE TABLE scratch.t (id integer)")
        conn = self.connect()
        conn.execute("INSERT INTO scratch.t VALUES (1)")
        old = self.stack.upgrade()
        conn.execute("INSERT INTO scratch.t VALUES (2)")
        stack.wait_until("both have ended in Redis", lambda: self.results("INSERT INTO scratch.t VALUES (2)") == 2)
        self.stack.signal("redis", signal.SIGSTOP)
        with self.assertRaises(psycopg.errors.CannotConnectNow):
            conn.execute("INSERT INTO scratch.t VALUES (3)")  # journalled before Redis was known to hang
        journal = os.path.join(self.stack.dir, "etc", "journal")
        self.stack.kill(old)
        self.stack.signal("redis", signal.SIGCONT)
        stack.wait_until("the running daemon has shipped them", lambda: any("VALUES (3)" in e.get("sql", "") for e in self.stack.audit()), 30)
        stack.wait_until("Redis is used again", self.runs_again)
        Sessions.exactly_once(self)
        self.assertEqual(self.stack.direct("SELECT id FROM scratch.t ORDER BY id"), [(1,), (2,)])
        names = subprocess.run(stack.as_root("ls", journal), stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        self.assertIn("slot-1", names)

    def results(self, sql):
        """How many statements have ended, as Redis has it, in the session that sent this one."""
        events = self.stack.audit()
        session = [e["session"] for e in events if e.get("sql") == sql]
        return sum(e["type"] == "result" and e["session"] in session for e in events)

    def runs_again(self):
        try:
            self.works()
            return True
        except psycopg.Error:
            return False

    def test_the_next_start_ships_what_both_left(self):
        """Both are killed with events unshipped; a plain start, which takes the first journal, finds the second one too."""
        self.stack.scratch("CREATE TABLE scratch.t (id integer)")
        first = self.connect()
        first.execute("SELECT 1")
        old = self.stack.upgrade()
        second = self.connect()
        second.execute("SELECT 'second'")
        # Else the new daemon could wait for Redis already, and would refuse what comes then without a record.
        stack.wait_until("it has ended in Redis", lambda: self.results("SELECT 'second'") == 1)
        self.stack.signal("redis", signal.SIGSTOP)
        for n, conn in ((101, first), (102, second)):
            with self.assertRaises(psycopg.errors.CannotConnectNow):
                conn.execute(f"INSERT INTO scratch.t VALUES ({n})")
        self.stack.signal("gatehouse", signal.SIGSTOP)  # it must not adopt the other's journal in the moment between
        self.stack.kill(old)
        self.stack.kill("gatehouse")
        self.stack.signal("redis", signal.SIGCONT)
        self.stack.start("gatehouse")
        for n in (101, 102):
            stack.wait_until(f"{n} was shipped", lambda: any(f"VALUES ({n})" in e.get("sql", "") for e in self.stack.audit()), 30)  # noqa: B023
        stack.wait_until("Redis is used again", self.runs_again)
        Sessions.exactly_once(self)


class Failing(Upgrade):
    """The new one cannot: the old one serves on, sessions and all."""

    def test_configuration(self):
        conn = self.connect()
        good = stack.edit(self.stack.env["GH_CONFIG"], lambda t: t.replace("node:", "knot:"))
        self.fails(r"gatehouse\.yaml:\d+:\d+: .*knot")
        stack.edit(self.stack.env["GH_CONFIG"], lambda t: good)
        os.rename(self.stack.env["GH_POLICY"], self.stack.env["GH_POLICY"] + ".away")
        self.fails(r"policy\.yaml")
        os.rename(self.stack.env["GH_POLICY"] + ".away", self.stack.env["GH_POLICY"])
        stack.edit(self.stack.env["GH_CONFIG"], lambda t: t.replace("payload.sock", "other.sock"))
        self.fails("event=start.failed error=.*other files than this configuration's")
        stack.edit(self.stack.env["GH_CONFIG"], lambda t: good)
        conn.execute("SELECT 1")
        self.stack.upgrade()
        self.works()
        conn.execute("SELECT 1")

    def test_redis_is_down(self):
        self.stack.kill("redis")
        with self.assertRaisesRegex(AssertionError, "did not take over"):
            self.stack.upgrade()
        self.logged("event=start.failed error=.*the audit ledger is not ready")
        self.logged("event=upgrade.failed .*reason=.*the audit ledger is not ready.* doors=\"open\"")
        self.stack.start("redis")
        stack.wait_until("statements run again", lambda: Ledger.runs_again(self))

    def test_without_u_it_does_not_start(self):
        done = subprocess.run(stack.as_root(self.program, "-c", self.stack.env["GH_CONFIG"]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("is replaced by -u", done.stdout)
        self.works()

    def test_a_hanging_one_is_left_alone_unless_forced(self):
        self.stack.signal("gatehouse", signal.SIGSTOP)
        with self.assertRaisesRegex(AssertionError, "did not take over"):
            self.stack.upgrade()
        self.logged("event=start.failed error=.*does not answer")
        self.stack.signal("gatehouse", signal.SIGCONT)
        stack.wait_until("it serves on", lambda: Ledger.runs_again(self))
        hanging = self.stack.pid("gatehouse")
        self.stack.signal("gatehouse", signal.SIGSTOP)
        with tempfile.NamedTemporaryFile() as log:
            forced = subprocess.Popen(stack.as_root(self.program, "-F", "-c", self.stack.env["GH_CONFIG"]), stdout=log, stderr=log)
            try:
                stack.wait_until("the forced one has started", lambda: b"event=start " in open(log.name, "rb").read())
                subprocess.run(stack.as_root("kill", "-s", "KILL", hanging), check=True)
                stack.wait_until("HAProxy has found it", lambda: Ledger.runs_again(self))
            finally:
                subprocess.run(stack.as_root("kill", str(forced.pid)), check=True)  # sudo passes it on
                forced.wait(30)


class Newer:
    """Plays a new daemon, up to the point where the test wants it to go wrong."""

    def __init__(self, s, path="etc/journal/handover.sock"):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        self.sock.connect(os.path.join(s.dir, path))
        self.fds = []

    def send(self, kind, body=b""):
        self.sock.send(bytes([kind]) + body)

    def recv(self):
        """(None, b"") when the old one has closed."""
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, 70000, 16)
        except ConnectionResetError:
            return None, b""
        self.fds += fds
        return (data[0], data[1:]) if data else (None, b"")

    def hello(self, version=1):
        self.send(HELLO, MAGIC + struct.pack(">HI", version, os.getpid()) + b"\x05probe")
        return self.recv()

    def take(self):
        """Key, kinds of descriptors, used tickets."""
        self.send(TAKE)
        kind, body = self.recv()
        assert kind == KEY, kind
        used = []
        while True:
            kind, more = self.recv()
            if kind == END:
                assert struct.unpack(">I", more[:4])[0] == len(used)
                return body[:32], list(body[33:]), used
            assert kind == USED, kind
            used += [more[2 + 40 * i:42 + 40 * i] for i in range(struct.unpack(">H", more[:2])[0])]

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)


def greeted(s, *packet):
    """A Newer that has got its OFFER: one at a time is let in, so the one before has to be seen to have gone. packet: its hello (bytes, descriptors)."""
    def attempt():
        newer = Newer(s)
        try:
            if packet:
                socket.send_fds(newer.sock, *packet)
            if (newer.recv() if packet else newer.hello())[0] == OFFER:
                return newer
        except BrokenPipeError:
            pass
        newer.close()
        return None
    return stack.wait_until("the old one offers itself", attempt)


class Phases(Upgrade):
    """The new one goes away, or talks nonsense, at each step."""

    def test_it_dies_at_each_step(self):
        conn = self.connect()
        knocking = Knocking(self.stack)
        for step in ("connected", "greeted", "taking", "taken"):
            with self.subTest(step):
                knocking.more()
                newer = Newer(self.stack)
                if step != "connected":
                    self.assertEqual(newer.hello()[0], OFFER)
                if step == "taking":
                    newer.send(TAKE)
                if step == "taken":
                    key, kinds, used = newer.take()
                    self.assertEqual((len(key), kinds, len(newer.fds)), (32, [1, 2, 3], 3))
                    self.assertGreater(len(used), 0)
                before = self.log().count("event=upgrade.failed ")
                newer.close()
                stack.wait_until("it goes on", lambda: self.log().count("event=upgrade.failed ") > before)  # noqa: B023
                knocking.more()
                conn.execute("SELECT 1")
        self.stack.upgrade()
        knocking.more()
        self.assertEqual(knocking.end(), [])
        conn.execute("SELECT 1")

    def test_it_is_never_ready(self):
        """It took everything and hangs: the old one opens its doors again, and does not let it go on later."""
        newer = Newer(self.stack)
        self.addCleanup(newer.close)
        self.assertEqual(newer.hello()[0], OFFER)
        newer.take()
        self.logged("event=upgrade.failed .*not ready in time.* doors=\"open again\"")
        self.works()
        self.assertEqual(newer.recv()[0], REFUSE)
        self.assertEqual(newer.recv()[0], None)

    def test_it_dies_once_it_has_the_doors(self):
        """A crash as any: the old one's sessions run on, and a start with -u finds the sockets free. One without leaves the old one's journal
        alone."""
        conn = self.connect()
        conn.execute("SELECT 1")
        old = self.stack.upgrade()
        with self.stack.psycopg(autocommit=True) as other:
            other.execute("SELECT 2")
        self.stack.kill("gatehouse")
        conn.execute("SELECT 1")
        command = [self.program, "-c", self.stack.env["GH_CONFIG"]]
        done = subprocess.run(stack.as_root(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("in use by another daemon", done.stdout)
        with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            os.chmod(folder, 0o755)
            manager.bind(folder + "/notify")
            os.chmod(folder + "/notify", 0o666)
            manager.settimeout(30)
            third = subprocess.Popen(stack.as_root("env", f"NOTIFY_SOCKET={folder}/notify", *command, "-u"), stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            try:
                self.assertEqual(manager.recv(100), b"READY=1")
                stack.wait_until("HAProxy has found it", lambda: Ledger.runs_again(self))
                conn.execute("SELECT 1")
                conn.close()
                self.gone(old)
            finally:
                subprocess.run(stack.as_root("kill", str(third.pid)), check=True)
                self.assertEqual(manager.recv(100), b"STOPPING=1")
                self.assertEqual(third.wait(30), 0)
        Sessions.exactly_once(self)

    def test_nonsense(self):
        conn = self.connect()
        hello = MAGIC + struct.pack(">HI", 1, 7) + b"\x05probe"
        bad = [b"", b"\x00", b"\xff" * 100, b"\x01", b"\x01GHHO", b"\x01" + hello[:-1], b"\x01" + hello + b"x", b"\x01" + b"x" * 60000, b"x" * 65600,
               bytes([READY]), bytes([TAKE]), bytes([KEY]) + bytes(33), bytes([CANCEL]) + bytes(8) + b"::1", bytes([RELOAD]),
               b"\x01" + MAGIC + struct.pack(">HI", 1, 7) + b"\x05a\nb\rc"]
        for packet in bad:
            for greets in (False, True):
                with self.subTest(packet=packet[:20], greeted=greets):
                    newer = greeted(self.stack) if greets else Newer(self.stack)
                    if greets and packet == bytes([TAKE]):
                        newer.close()
                        continue
                    newer.sock.send(packet)
                    self.assertIn(newer.recv()[0], (REFUSE, None))
                    newer.close()
        newer = Newer(self.stack)
        self.assertEqual(newer.hello(version=2)[0], REFUSE)
        self.logged("event=upgrade.failed .*speaks version 2 of the handover")
        newer.close()
        one = greeted(self.stack)
        two = Newer(self.stack)
        self.assertEqual(two.recv()[0], REFUSE)  # one at a time
        two.close()
        one.close()
        # Descriptors that nobody asked for are closed.
        count = lambda: len(os.listdir(f"/proc/{self.stack.pid('gatehouse')}/fd"))  # noqa: E731
        if os.getuid() == 0:
            before = count()
            for _ in range(20):
                greeted(self.stack, [b"\x01" + hello], [0, 1, 2]).close()
            stack.wait_until("nothing leaks", lambda: count() <= before)
        conn.execute("SELECT 1")
        self.works()
        self.stack.upgrade()
        self.works()


class Elsewhere(Upgrade):
    """The socket in a folder that others may enter: SO_PEERCRED is what keeps them out then."""

    @staticmethod
    def config(text):
        return text + "\nhandover: { socket: /var/lib/haproxy/gatehouse/handover.sock }\n"

    def test_wrong_user(self):
        path = os.path.join(self.stack.dir, "jail", "gatehouse", "handover.sock")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        subprocess.run(stack.as_root("chmod", "666", path), check=True)
        script = ("import socket,sys; s=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(20); s.connect(sys.argv[1])\n"
                  "try:\n s.send(bytes.fromhex('0147484f480001000000070570726f6265')); print(repr(s.recv(100)))\n"
                  "except OSError as e: print('closed')")
        done = subprocess.run(stack.as_root("runuser", "-u", "nobody", "--", "/usr/bin/python3", "-c", script, path), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=True)
        self.assertIn(done.stdout.strip(), ("closed", "b''"))
        self.logged("event=upgrade.peer_refused uid=\"%d\"" % pwd.getpwnam("nobody").pw_uid)
        self.stack.upgrade()
        self.works()


def agent_hello(path):
    """A connection at the SPOP door, as HAProxy makes it."""
    conn = socket.socket(socket.AF_UNIX)
    conn.settimeout(20)
    conn.connect(path)
    body = spop.put_string("supported-versions") + spop.put_value("2.0") + spop.put_string("max-frame-size") + spop.put_value(16380)
    body += spop.put_string("capabilities") + spop.put_value("pipelining")
    conn.sendall(spop.frame(spop.HAPROXY_HELLO, 0, 0, body))
    assert read_frame(conn)[0] == spop.AGENT_HELLO
    return conn


def read_frame(conn):
    return spop.read_exactly(conn, struct.unpack(">I", spop.read_exactly(conn, 4))[0])


def notify(ident, port):
    args = spop.put_string("src") + b"\x06" + socket.inet_aton("192.0.2.1") + spop.put_string("src_port") + spop.put_value(port)
    args += spop.put_string("engine") + spop.put_value("postgresql")
    return spop.frame(spop.NOTIFY, ident, 1, spop.put_string("session") + b"\x03" + args)


def ticket_in(ack):
    assert ack[0] == spop.ACK, ack
    return re.search(rb"ticket\x08.([0-9A-Za-z._-]+)", ack).group(1).split(b"\x01")[0]


class Tickets(Upgrade):
    """The doors themselves, played by the test instead of HAProxy."""

    @staticmethod
    def config(text):
        me = pwd.getpwuid(os.getuid()).pw_name
        new = text.replace("owner: haproxy\n  peers: [haproxy]", f"owner: {me}\n  peers: [{me}, haproxy]")
        assert new != text
        return new + "\nticket_ttl: 300s\n"

    def setUp(self):
        super().setUp()
        self.spop = os.path.join(self.stack.dir, "jail", "gatehouse", "spop.sock")
        self.payload = os.path.join(self.stack.dir, "jail", "gatehouse", "payload.sock")

    def knock(self, ticket, port):
        """The first byte that the payload door answers; b"" when it closes."""
        tlv = b"\x05" + struct.pack(">H", len(ticket)) + ticket
        addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack(">HH", port, 5432)
        header = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack(">H", len(addresses) + len(tlv)) + addresses + tlv
        with socket.socket(socket.AF_UNIX) as conn:
            conn.settimeout(20)
            conn.connect(self.payload)
            conn.sendall(header + struct.pack(">II", 32, 196608) + b"user\0probe\0database\0s\0\0"[:24].ljust(24, b"\0"))
            try:
                return conn.recv(1)
            except ConnectionResetError:
                return b""

    def test_once_and_only_once(self):
        conn = agent_hello(self.spop)
        tickets = []
        for i in range(4):
            conn.sendall(notify(i, 1000 + i))
            tickets.append(ticket_in(read_frame(conn)))
        self.assertIn(self.knock(tickets[0], 1000), (b"R", b"E"))
        self.assertEqual(self.knock(tickets[0], 1000), b"")
        # A frame that is cut by the handover: its second half is read by the new one.
        late = notify(9, 1009)
        conn.sendall(late[:11])
        old = self.stack.upgrade()
        self.gone(old)  # it had no session, and gave this connection away
        self.assertEqual(self.knock(tickets[0], 1000), b"", "used at the old one")
        self.assertIn(self.knock(tickets[1], 1001), (b"R", b"E"), "issued by the old one")
        self.assertEqual(self.knock(tickets[1], 1001), b"")
        self.assertEqual(self.knock(tickets[2], 1003), b"", "another source")
        conn.sendall(late[11:])
        ticket = ticket_in(read_frame(conn))
        self.assertIn(self.knock(ticket, 1009), (b"R", b"E"), "issued by the new one")
        second = self.stack.upgrade()
        self.gone(second)
        for used, port in ((tickets[0], 1000), (tickets[1], 1001), (ticket, 1009)):
            self.assertEqual(self.knock(used, port), b"")
        self.assertIn(self.knock(tickets[3], 1003), (b"R", b"E"), "issued two daemons ago")
        conn.close()

    def test_more_than_fits_in_a_packet(self):
        conn = agent_hello(self.spop)
        tickets = []
        for i in range(1100):
            conn.sendall(notify(i, 1000 + i))
            tickets.append(ticket_in(read_frame(conn)))
        for i, ticket in enumerate(tickets):
            self.assertIn(self.knock(ticket, 1000 + i), (b"R", b"E"), i)
        self.stack.upgrade()
        for i, ticket in enumerate(tickets):
            self.assertEqual(self.knock(ticket, 1000 + i), b"", i)
        self.assertEqual(self.log().count('event=payload.refused src="192.0.2.1" reason="ticket" detail="used before"'), 1100)
        conn.close()

    def test_a_header_that_is_under_way(self):
        """A connection that was accepted before and does not show its ticket: it is closed, so that nobody can use the ticket twice."""
        conn = agent_hello(self.spop)
        conn.sendall(notify(1, 1001))
        ticket = ticket_in(read_frame(conn))
        slow = socket.socket(socket.AF_UNIX)
        self.addCleanup(slow.close)
        slow.settimeout(20)
        slow.connect(self.payload)
        slow.sendall(b"\r\n\r\n\x00")
        self.stack.upgrade()
        self.assertEqual(haproxy.read_to_end(slow), b"")
        self.logged("event=payload.refused .*no header in time for an upgrade")
        self.assertIn(self.knock(ticket, 1001), (b"R", b"E"))
        conn.close()


if __name__ == "__main__":
    unittest.main()
