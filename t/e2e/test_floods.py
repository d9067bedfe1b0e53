"""Floods: who sends too much, too little, too slowly or nothing but lies costs the others nothing, and the daemon a bounded amount of memory.

What that does to the others' times is in t/bench/flood.py; here they have to go on, all the while.
"""
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time
import unittest

import psycopg
import pymysql

import pgraw
import stack
from stack import wait_until

MIB = 1 << 20
FLAT_KIB = 96 * 1024  # with sanitizers, which keep what was freed
HALF_OPEN = int(os.environ.get("GH_FLOOD_OPEN", "1200"))
STATEMENTS = int(os.environ.get("GH_FLOOD_STATEMENTS", "12000"))
POLICY = """version: 1
databases: { shop: { mode: enforce }, shop_my: { mode: enforce } }
rules:
  - { name: own, groups: testers, database: shop, allow: all, on: scratch.* }
  - { name: orders, groups: testers, database: shop, allow: select, on: public.orders }
  - { name: dbas, groups: dbas, database: [shop, shop_my], allow: all, on: "*.*" }
"""


def config(text):
    return text + "limits: { startup_time: 4s, sessions: 3000, sessions_per_principal: 1000, parse_queue: 100 }\n"


class Others:
    """Ordinary sessions of both engines: each statement is answered, as long as the block runs."""

    def __init__(self, s):
        self.stack, self.end, self.done, self.wrong = s, threading.Event(), {}, []

    def __enter__(self):
        self.before = self.stack.rss_kib("gatehouse")
        self.peak = self.before
        self.threads = [threading.Thread(target=self.run, args=a) for a in (("pg", self.pg), ("my", self.my), ("rss", self.rss))]
        for t in self.threads:
            t.start()
        self.on()
        return self

    def run(self, name, make):
        self.done[name] = 0
        try:
            once = make()
            while not self.end.wait(0.02):
                once()
                self.done[name] += 1
        except Exception as e:  # noqa: BLE001
            self.wrong.append(f"{name}: {type(e).__name__} {e}")

    def pg(self):
        c = self.stack.psycopg(autocommit=True)
        return lambda: c.execute("SELECT id FROM public.orders WHERE id = %s", [7]).fetchone()[0]

    def my(self):
        c = pymysql.connect(host=self.stack.env["GH_MY_HOST"], port=int(self.stack.env["GH_MY_PORT"]), user="dba", password=self.stack.token("dba"),
                            database="shop", ssl={"ca": self.stack.env["GH_CA"]}, connect_timeout=60, read_timeout=60)

        def once():
            with c.cursor() as cur:
                cur.execute("SELECT id FROM orders WHERE id = 7")
                cur.fetchall()
        return once

    def rss(self):
        def once():
            self.peak = max(self.peak, self.stack.rss_kib("gatehouse"))
        return once

    def on(self, n=5):
        """They have done so many more."""
        want = {name: self.done.get(name, 0) + n for name in ("pg", "my")}
        wait_until("the others go on", lambda: self.wrong or all(self.done.get(k, 0) >= v for k, v in want.items()), 60)
        if self.wrong:
            raise AssertionError(self.wrong)

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.on()
        finally:
            self.end.set()
            for t in self.threads:
                t.join(90)
        if kind is None and self.wrong:
            raise AssertionError(self.wrong)
        if kind is None and self.peak - self.before > FLAT_KIB:
            raise AssertionError(f"the daemon grew by {self.peak - self.before} KiB")


class My:
    """MySQL's packets by hand, inside TLS, logged in."""

    def __init__(self, s, who="dba"):
        self.socket = socket.create_connection((s.env["GH_MY_HOST"], int(s.env["GH_MY_PORT"])), timeout=60)
        self.packet()
        head = struct.pack("<IIB23x", 0x200 | 0x800 | 0x8000 | 0x80000 | 8, 1 << 24, 45)
        self.send(1, head)
        self.socket = ssl.create_default_context(cafile=s.env["GH_CA"]).wrap_socket(self.socket, server_hostname="localhost")
        self.send(2, head + who.encode() + b"\0\x20" + b"x" * 32 + b"shop\0caching_sha2_password\0")
        self.packet()
        self.send(4, s.token(who).encode() + b"\0")
        assert self.packet()[:1] == b"\0"

    def send(self, seq, payload, length=None):
        self.socket.sendall(struct.pack("<I", len(payload) if length is None else length)[:3] + bytes([seq]) + payload)

    def read(self, n):
        out = b""
        while len(out) < n:
            piece = self.socket.recv(n - len(out))
            if not piece:
                raise EOFError
            out += piece
        return out

    def packet(self):
        head = self.read(4)
        return self.read(int.from_bytes(head[:3], "little"))

    def ask(self, payload):
        self.send(0, payload)
        return self.packet()


class Floods(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(config, policy=POLICY, mysql=True)
        cls.addClassCleanup(cls.stack.close)
        cls.stack.psycopg().close()

    def fds(self):
        pid = self.stack.pid("gatehouse")
        return len(subprocess.run(stack.as_root("ls", f"/proc/{pid}/fd"), stdout=subprocess.PIPE, text=True, check=True).stdout.split())

    def tls(self):
        return pgraw.RawClient.tls(self.stack, 60)

    def gate(self):
        return pgraw.RawClient.gate(self.stack, timeout=60)

    def usable(self, client):
        self.assertEqual([k for k, _ in client.run(pgraw.query("SELECT 1"))], ["T", "D", "C", "Z"])

    def ended(self, sock):
        """Closed by the other side, whatever it said before."""
        try:
            while sock.recv(65536):
                pass
        except (ConnectionError, ssl.SSLError):
            pass

    # --- too little ---

    def test_connections_that_say_nothing_or_a_byte(self):
        before, opened = self.fds(), []
        try:
            with Others(self.stack) as others:
                for i in range(HALF_OPEN):
                    port = int(self.stack.env["GH_MY_PORT"]) if i % 4 == 3 else self.stack.port
                    c = socket.create_connection((self.stack.host, port), timeout=60)
                    if i % 2:
                        c.sendall(pgraw.SSL_REQUEST[:1 + i % 3] if i % 4 != 3 else b"\x20")
                    opened.append(c)
                others.on()
                self.stack.psycopg(connect_timeout=60).close()
                others.on()
        finally:
            for c in opened:
                c.close()
        wait_until("the daemon has let go of them", lambda: self.fds() <= before + 4, 60)

    def test_startups_that_stop_in_the_middle(self):
        """These have come as far as the daemon: it ends them after startup_time."""
        before, opened = self.fds(), []
        with Others(self.stack) as others:
            for i in range(60):
                c = self.tls()
                c.send(pgraw.startup([("user", "tester"), ("database", "shop")])[:8 + i % 20])
                opened.append(c)
            others.on()
            wait_until("the daemon has ended them", lambda: self.fds() <= before + 10, 60)
            for c in opened:
                self.ended(c.sock)
                c.close()

    # --- lies about lengths ---

    def test_a_gigabyte_is_announced_before_the_login(self):
        with Others(self.stack):
            for n in (0x40000000, 0x7fffffff, 0xffffffff, 10001, 7, 0):
                c = self.tls()
                c.send(struct.pack(">II", n, 196608) + b"user\0x\0" * 2)
                self.ended(c.sock)
                c.close()
            for n in (0x40000000, 0xffffffff, 3):  # of the password
                c = self.tls()
                c.send(pgraw.startup([("user", "tester"), ("database", "shop")]))
                c.until("R")
                c.send(b"p" + struct.pack(">I", n) + b"x" * 9000)
                self.ended(c.sock)
                c.close()

    def test_a_gigabyte_is_announced_in_a_session(self):
        with Others(self.stack) as others:
            for kind in "QPBdCDEHSXfF":
                for n in (0x3fffffff, 0xffffffff, 3):
                    c = self.gate()
                    try:
                        c.send(kind.encode() + struct.pack(">I", n) + b"a\0" * (32 * 1024))
                        if n == 0x3fffffff and kind in "QPBd":  # it comes, but nobody waits for all of it with all of it in memory
                            for _ in range(48):
                                c.send(b"b" * (MIB // 4))
                    except (ConnectionError, ssl.SSLError):
                        pass
                    c.close()
                others.on(1)

    def test_mysql_packets_that_are_continued_for_ever(self):
        with Others(self.stack) as others:
            m = My(self.stack)
            piece = b"\x03SELECT '" + b"x" * (0xffffff - 9)
            try:
                for seq in range(6):  # 96 MiB
                    m.send(seq, piece)
                    piece = b"y" * 0xffffff
                m.send(6, b"'")
                self.assertIn(b"longer than limits.statement", m.packet())
            finally:
                m.socket.close()
            for payload in (b"\x03", b"\x16", b"\x17\1\0\0\0", b"\x18\1\0\0\0\0\0", b"\x02", b""):
                m = My(self.stack)
                m.send(0, payload + b"z" * 4096, length=0xfffffe)
                m.socket.close()
                others.on(1)

    def test_spop_frames(self):
        """What only HAProxy's user can send: a frame of a gigabyte, one that never ends, connections that say nothing."""
        with open(self.stack.env["GH_CONFIG"]) as f:
            path = re.search(r"(?m)^spop:\n +socket: *(\S+)", f.read()).group(1)
        script = """
import socket, struct, sys
def door():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(sys.argv[1])
    return s
silent = [door() for _ in range(200)]
for n in (0x40000000, 0xffffffff, 200000, 6, 0):
    s = door()
    s.sendall(struct.pack('>I', n) + b'x' * 100)
    try:
        while s.recv(4096):
            pass
    except TimeoutError:
        print('not ended:', n)
for s in silent:
    s.sendall(b'\\0')
print('ended')
"""
        with Others(self.stack):
            done = subprocess.run(stack.as_root("setpriv", "--reuid", "haproxy", "--regid", "haproxy", "--clear-groups", "/usr/bin/python3", "-c", script, path),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
            self.assertEqual(done.stdout, "ended\n")
            self.stack.psycopg(connect_timeout=60).close()

    # --- too much ---

    def test_prepared_statements_without_end(self):
        with Others(self.stack) as others:
            c = self.gate()
            kept = refused = 0
            for first in range(0, STATEMENTS, 500):
                c.send(b"".join(pgraw.parse(f"s{i}", "SELECT 1") + pgraw.SYNC for i in range(first, first + 500)))
                for _ in range(500):
                    answer = [k for k, _ in c.until("Z")]
                    kept += answer == ["1", "Z"]
                    refused += answer == ["E", "Z"]
                others.on(1)
            self.assertEqual((kept, refused), (4096, STATEMENTS - 4096))
            self.usable(c)
            self.assertEqual([k for k, _ in c.run(pgraw.close("S", "s1") + pgraw.SYNC)], ["3", "Z"])
            self.assertEqual([k for k, _ in c.run(pgraw.parse("again", "SELECT 1") + pgraw.SYNC)], ["1", "Z"])
            c.close()

    def test_mysql_prepared_statements_without_end(self):
        with Others(self.stack) as others:
            m = My(self.stack)
            first, refused = {}, 0
            for i in range(6000):
                answer = m.ask(b"\x16SELECT 1")
                if answer[:1] == b"\0":
                    first[answer[1:5]] = i
                    for _ in range(2):  # a column, EOF
                        m.packet()
                else:
                    refused += 1
                if i % 1000 == 0:
                    others.on(1)
            self.assertEqual((len(first), refused), (4096, 6000 - 4096))
            self.assertEqual(m.ask(b"\x0e")[:1], b"\0")
            m.socket.close()

    def test_counts_of_parameters(self):
        def bind(count, values=b"", formats=0):
            return pgraw.message("B", pgraw.cstr("") + pgraw.cstr("p") + struct.pack(">H", formats) + b"\0\1" * formats + struct.pack(">H", count) + values)
        with Others(self.stack):
            c = self.gate()
            c.run(pgraw.parse("p", "SELECT $1::text") + pgraw.SYNC)
            # what it says is there: 65,535 of them, NULL or empty; the server finds that they are not its statement's
            for one in (b"\xff\xff\xff\xff", b"\0\0\0\0"):
                for formats in (0, 1, 65535):
                    answer = c.run(bind(65535, one * 65535 + b"\0\0", formats) + pgraw.execute("") + pgraw.SYNC)
                    self.assertEqual([k for k, _ in answer], ["E", "Z"])
                    self.assertEqual(pgraw.error_fields(answer[0][1])["C"], "08P01")
            self.usable(c)
            c.close()
            # what is not there
            for count, values, formats in ((65535, b"", 0), (65535, b"\0\0\0\1a" * 10 + b"\0\0", 0), (1, b"\x7f\xff\xff\xff\0\0", 0), (2, b"\0\0\0\0\0\0\0\0\0\0", 65535),
                                           (1, b"\0\0\0\0\xff\xff", 0), (1, b"\xff\xff\xff\xfe\0\0", 0)):
                c = self.gate()
                c.run(pgraw.parse("p", "SELECT $1::text") + pgraw.SYNC)
                c.send(bind(count, values, formats) + pgraw.SYNC)
                kind, body = c.read()
                self.assertEqual((kind, pgraw.error_fields(body)["C"]), ("E", "08P01"))
                self.ended(c.sock)
                c.close()
            types = pgraw.message("P", pgraw.cstr("q") + pgraw.cstr("SELECT 1") + struct.pack(">H", 65535) + b"\0\0\0\x17" * 65535)
            c = self.gate()
            self.assertEqual([k for k, _ in c.run(types + pgraw.SYNC)][-1], "Z")
            self.usable(c)
            c.send(pgraw.message("P", pgraw.cstr("q") + pgraw.cstr("SELECT 1") + struct.pack(">H", 65535) + b"\0\0\0\x17" * 3))
            self.assertEqual(pgraw.error_fields(c.read()[1])["C"], "08P01")
            c.close()
            m = My(self.stack)
            answer = m.ask(b"\x16SELECT ?, ?")
            ident = answer[1:5]
            for _ in range(6):  # two parameters, EOF, two columns, EOF
                m.packet()
            for body in (b"", b"\0", b"\0\1", b"\0\1\xfd\0", b"\0\1\xfd\0\xfd\0\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", b"\0\0", b"\0\1\xfd\0\xfd\0\1a\1b\1c", b"\0\1\x77\0\x77\0"):
                self.assertEqual(m.ask(b"\x17" + ident + b"\0\1\0\0\0" + body)[:1], b"\xff", body)
            self.assertEqual(m.ask(b"\x17" + ident + b"\0\1\0\0\0\0\1\xfd\0\xfd\0\1a\1b")[:1], b"\2")
            m.socket.close()

    def test_nesting(self):
        deep = 60000
        texts = ["SELECT " + "(" * deep + "1" + ")" * deep, "SELECT " + "NOT " * deep + "true", "SELECT " + "- " * deep + "1", "SELECT 1" + " UNION SELECT 1" * deep,
                 "SELECT " + "ARRAY[" * deep + "]" * deep, "SELECT " + "f(" * deep + ")" * deep, "SELECT " + "CASE WHEN true THEN " * deep, "(" * deep, "SELECT 1 FROM " + "(SELECT 1 FROM " * deep]
        with Others(self.stack) as others:
            c = self.gate()
            m = My(self.stack)
            for text in texts:
                self.assertEqual([k for k, _ in c.run(pgraw.query(text))][0], "E")
                if "UNION" not in text:  # that is not nested there, and runs
                    self.assertEqual(m.ask(b"\x03" + text.encode())[:1], b"\xff", text[:40])
                others.on(1)
            self.usable(c)
            self.assertEqual(m.ask(b"\x0e")[:1], b"\0")
            c.close()
            m.socket.close()

    def test_long_statements_without_end(self):
        """What the parse pool works on: somebody who sends more than it can do is refused; who sends one now and then never is, nor waits behind all of these."""
        long = "SELECT count(*) FROM public.orders WHERE id IN (" + ",".join(["7"] * 20000) + ") AND id <> "
        refused, wrong, stop = [], [], threading.Event()

        def flood(n):
            with self.stack.psycopg("flooder", autocommit=True, connect_timeout=60, prepare_threshold=None) as c:
                i = n * 1000000
                while not stop.is_set():
                    i += 1
                    try:
                        c.execute(long + str(i))
                    except psycopg.Error as e:
                        (refused if e.sqlstate == "53400" else wrong).append(e.sqlstate)
        self.stack.token("flooder")
        with Others(self.stack) as others:
            flooders = [threading.Thread(target=flood, args=(n,)) for n in range(60)]
            try:
                for t in flooders:
                    t.start()
                wait_until("the pool is full", lambda: len(refused) > 50, 60)
                with self.stack.psycopg("dba", autocommit=True, prepare_threshold=None) as c:
                    for i in range(20):
                        sql = "SELECT count(*) FROM public.orders WHERE id IN (" + ",".join(["7"] * 2000) + f") AND id <> {i + 100}"
                        self.assertEqual(c.execute(sql).fetchone(), (1,))
                before = len(refused)
                others.on()
                wait_until("it still is", lambda: len(refused) > before, 60)
            finally:
                stop.set()
                for t in flooders:
                    t.join(90)
        self.assertEqual(wrong, [])
        self.recorded_cut(long)

    def recorded_cut(self, long):
        """Those that nobody had time for are in the record with their beginning."""
        cut = [e for e in self.stack.audit() if "sql_cut" in e]
        self.assertGreater(len(cut), 0)
        self.assertEqual({(e["sql"], e["sqlstate"], int(e["sql_cut"]) > len(long)) for e in cut}, {(long[:2048], "53400", True)})

    def test_pipeline_that_is_never_read(self):
        """Statements for as long as anybody takes them, and no answer is read: that ends by itself when every buffer is full."""
        with Others(self.stack) as others:
            c = self.gate()
            c.run(pgraw.parse("p", "SELECT repeat('x', 5000)") + pgraw.SYNC)
            c.sock.settimeout(1)
            round_ = (pgraw.bind("", "p") + pgraw.execute("")) * 20 + pgraw.SYNC
            sent, stalled = 0, time.monotonic()
            while time.monotonic() - stalled < 6 and sent < 64 * MIB:
                try:
                    sent += c.sock.send(round_)
                    stalled = time.monotonic()
                except (TimeoutError, ssl.SSLWantWriteError):
                    pass
            self.assertLess(sent, 64 * MIB)  # somebody said stop
            others.on()
            c.close()

    # --- too slowly ---

    def test_a_byte_at_a_time(self):
        data = pgraw.startup([("user", "tester"), ("database", "shop")])
        with Others(self.stack):
            c = self.tls()
            c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for b in data:
                c.send(bytes([b]))
            c.until("R")
            for b in pgraw.message("p", pgraw.cstr(self.stack.token("tester"))):
                c.send(bytes([b]))
            c.until("Z")
            for b in pgraw.query("SELECT id FROM public.orders WHERE id = 3") + pgraw.parse("", "SELECT $1::text") + pgraw.bind("", "", [b"slow"]) + pgraw.execute("") + pgraw.SYNC:
                c.send(bytes([b]))
            kinds = [k for k, _ in c.until("Z") + c.until("Z")]
            self.assertEqual(kinds, ["T", "D", "C", "Z", "1", "2", "D", "C", "Z"])
            c.close()
            m = My(self.stack)
            for b in b"\x23\0\0\0\x03SELECT id FROM orders WHERE id = 3":
                m.socket.sendall(bytes([b]))
            self.assertEqual(m.packet(), b"\1")
            m.socket.close()

    def test_slow_writers_hold_nobody(self):
        """Forty statements that come a piece at a time, each half there for as long as the others run."""
        sql = pgraw.query("SELECT '" + "s" * 400000 + "'")
        with Others(self.stack) as others:
            clients = [self.gate() for _ in range(40)]
            for at in range(0, len(sql), 40000):
                for c in clients:
                    c.send(sql[at:at + 40000])
                others.on(1)
            for c in clients:
                self.assertEqual([k for k, _ in c.until("Z")], ["T", "D", "C", "Z"])
                c.close()


if __name__ == "__main__":
    unittest.main()
