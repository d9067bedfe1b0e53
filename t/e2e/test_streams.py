"""Sizes: a long statement is judged whole, and large results and COPYs stream while the daemon's memory stays flat."""
import hashlib
import socket
import ssl
import struct
import threading
import time
import unittest

import psycopg

import pgraw
import stack

MIB = 1 << 20
TOTAL = 200 * MIB
# A sanitizer build keeps freed memory for a while; a daemon that held a stream would grow by all of it.
FLAT_KIB = 48 * 1024


class Peak:
    """The daemon's largest resident size while the block runs, against the size before."""

    def __init__(self, s):
        self.stack = s

    def __enter__(self):
        self.before = self.peak = self.stack.rss_kib("gatehouse")
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.end.wait(0.02):
            self.peak = max(self.peak, self.stack.rss_kib("gatehouse"))

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()
        self.grown_kib = self.peak - self.before


def records_of(s, sql):
    """The lengths of the TLS records in which the answer to a query comes."""
    with socket.create_connection((s.host, s.port), 20) as raw:
        raw.sendall(pgraw.SSL_REQUEST)
        assert raw.recv(1) == b"S"
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ssl.create_default_context(cafile=s.env["GH_CA"]).wrap_bio(inside, outside, server_hostname=s.host)
        records, wire, plain = [], b"", b""

        def until(step):
            """Feeds what arrives until the step has what it needs."""
            nonlocal wire
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    raw.sendall(outside.read())
                    piece = raw.recv(65536)
                    assert piece
                    inside.write(piece)
                    wire += piece
                    while len(wire) >= 5 and len(wire) >= 5 + int.from_bytes(wire[3:5], "big"):
                        records.append(int.from_bytes(wire[3:5], "big"))
                        wire = wire[5 + records[-1]:]

        def answer(end):
            nonlocal plain
            plain = b""
            while not plain.endswith(end):
                plain += until(lambda: tls.read(65536))

        until(tls.do_handshake)
        tls.write(pgraw.startup([("user", "tester"), ("database", "shop")]))
        answer(struct.pack(">cII", b"R", 8, 3))
        tls.write(pgraw.message("p", pgraw.cstr(s.token("tester"))))
        ready = struct.pack(">cIc", b"Z", 5, b"I")
        answer(ready)
        records.clear()
        tls.write(pgraw.query(sql))
        raw.sendall(outside.read())
        answer(ready)
        return records


class Streams(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def setUp(self):
        self.stack.scratch("CREATE TABLE scratch.big (line text)")
        self.conn = self.stack.psycopg(autocommit=True)
        self.addCleanup(self.conn.close)

    def test_three_megabyte_statement_is_judged_whole(self):
        literal = "x" * (3 * MIB)
        sql = f"INSERT INTO scratch.big VALUES ('{literal}')"
        self.conn.execute(sql)
        self.assertEqual(self.stack.direct("SELECT length(line) FROM scratch.big"), [(3 * MIB,)])
        mine = [e for e in self.stack.audit() if e.get("sha256") == hashlib.sha256(sql.encode()).hexdigest()]
        self.assertEqual([e["verdict"] for e in mine], ["allow"])
        self.assertEqual(mine[0]["sql"], sql)

    def test_what_stands_at_the_end_of_three_megabytes_counts(self):
        padding = "x" * (3 * MIB)
        for sql in (f"INSERT INTO scratch.big VALUES ('{padding}'), ((SELECT name FROM public.staff LIMIT 1))",
                    f"INSERT INTO scratch.big VALUES ('{padding}'); DROP TABLE public.orders",
                    f"/* {padding} */ SELECT * FROM public.staff",
                    "INSERT INTO scratch.big VALUES " + ",".join(["('y')"] * 400_000) + ", ((SELECT name FROM public.staff LIMIT 1))"):
            with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                self.conn.execute(sql)
            with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                self.conn.execute(sql + " ", prepare=True)
        self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.big"), [(0,)])

    def test_many_rows_in_one_statement(self):
        rows = 400_000
        self.conn.execute("INSERT INTO scratch.big VALUES " + ",".join(["('y')"] * rows))
        self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.big"), [(rows,)])

    def test_depth_and_size_are_refused_and_the_session_goes_on(self):
        deep = {"parentheses": "SELECT " + "(" * 100_000 + "1" + ")" * 100_000, "NOT": "SELECT " + "NOT " * 100_000 + "true",
                "sum": "SELECT 1" + "+1" * 200_000, "casts": "SELECT 1" + "::int" * 100_000, "UNION": "SELECT 1" + " UNION SELECT 1" * 50_000,
                "nested": "SELECT " + "(SELECT " * 20_000 + "1" + ")" * 20_000, "tokens": "SELECT " + "1," * 7_000_000 + "1"}
        for name, sql in deep.items():
            with self.subTest(name):
                with self.assertRaises(psycopg.Error) as caught:
                    self.conn.execute(sql)
                self.assertEqual(caught.exception.sqlstate[:2], "54")  # program limit exceeded
                self.assertEqual(self.conn.execute("SELECT 1").fetchone(), (1,))

    def test_long_parse_holds_nobody_up(self):
        slow = "INSERT INTO scratch.big VALUES " + ",".join(["('z')"] * 700_000)
        worst, end = 0.0, threading.Event()

        def busy():
            with self.stack.psycopg(autocommit=True) as other:
                while not end.is_set():
                    try:
                        other.execute(slow + f" -- {time.monotonic()}")  # never the same text: no cache helps
                    except psycopg.Error:
                        pass

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            begin = time.monotonic()
            while time.monotonic() < begin + 4:
                at = time.monotonic()
                self.conn.execute("SELECT 1")
                worst = max(worst, time.monotonic() - at)
        finally:
            end.set()
            thread.join()
        self.assertLess(worst, 1.0)  # a statement of seconds of parsing runs beside it

    def test_large_result_streams(self):
        with Peak(self.stack) as peak, self.conn.cursor(binary=True) as cur:
            got = sum(len(row[0]) for row in cur.stream(f"SELECT repeat('r', 10000) FROM generate_series(1, {TOTAL // 10000})"))
        self.assertEqual(got, TOTAL // 10000 * 10000)
        self.assertLess(peak.grown_kib, FLAT_KIB)

    def test_tls_records_fit_libpq(self):
        """libpq takes 8 KiB at a time; what is left of a longer record waits inside OpenSSL, where a client that polls the socket does not see it, and hangs."""
        records = records_of(self.stack, "SELECT repeat('r', 1000) FROM generate_series(1, 4000)")
        self.assertGreater(sum(records), 4000000)
        self.assertGreater(max(records), 4096)
        self.assertLessEqual(max(records), 8192 + 64)  # with tag, type and nonce

    def test_large_copy_streams_both_ways(self):
        block = (b"c" * 9999 + b"\n") * 100
        with Peak(self.stack) as peak, self.conn.cursor() as cur:
            with cur.copy("COPY scratch.big FROM STDIN") as copy:
                for _ in range(TOTAL // len(block)):
                    copy.write(block)
            got = 0
            with cur.copy("COPY scratch.big TO STDOUT") as copy:
                for piece in copy:
                    got += len(piece)
        self.assertEqual(got, TOTAL // len(block) * len(block))
        self.assertLess(peak.grown_kib, FLAT_KIB)

    def test_large_parameter_streams(self):
        size = 50 * MIB
        with Peak(self.stack) as peak:
            self.assertEqual(self.conn.execute("SELECT length(%b::bytea)", [b"p" * size]).fetchone(), (size,))
        self.assertLess(peak.grown_kib, FLAT_KIB)

    def test_reader_that_stops_costs_no_memory(self):
        """A client that asks for 200 MB and reads nothing: the server waits, nothing piles up, others go on."""
        raw = socket.create_connection((self.stack.host, self.stack.port), timeout=20)
        raw.sendall(struct.pack(">II", 8, 80877103))
        self.assertEqual(raw.recv(1), b"S")
        tls = ssl.create_default_context(cafile=self.stack.env["GH_CA"]).wrap_socket(raw, server_hostname=self.stack.host)
        self.addCleanup(tls.close)
        start = b"\0\3\0\0user\0t\0database\0shop\0\0"
        tls.sendall(struct.pack(">I", len(start) + 4) + start)
        token = self.stack.token("tester").encode() + b"\0"
        tls.sendall(b"p" + struct.pack(">I", len(token) + 4) + token)
        sql = f"SELECT repeat('r', 10000) FROM generate_series(1, {TOTAL // 10000})\0".encode()
        with Peak(self.stack) as peak:
            tls.sendall(b"Q" + struct.pack(">I", len(sql) + 4) + sql)
            time.sleep(2)
            self.assertEqual(self.conn.execute("SELECT 1").fetchone(), (1,))
        self.assertLess(peak.grown_kib, FLAT_KIB)
        got = 0
        while got < 20 * MIB:  # it really was on its way
            piece = tls.recv(65536)
            self.assertTrue(piece)
            got += len(piece)


if __name__ == "__main__":
    unittest.main()
