"""psycopg 3 through HAProxy and Gatehouse."""
import datetime
import decimal
import threading
import unittest
import uuid

import psycopg
from psycopg.types.json import Jsonb

import stack

SLOW = "SELECT count(*) FROM generate_series(1, 2000000000)"
TABLE = "CREATE TABLE scratch.t (id integer PRIMARY KEY, v text); INSERT INTO scratch.t SELECT n, 'v' || n FROM generate_series(1, 1000) AS n;"


class Psycopg(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def setUp(self):
        self.stack.scratch(TABLE)
        self.conn = self.stack.psycopg()
        self.addCleanup(self.conn.close)

    def committed(self):
        return self.stack.direct("SELECT count(*) FROM scratch.t")[0][0]

    def test_types_text_and_binary(self):
        values = [1, 2**40, "tëxt", b"\0\xff", decimal.Decimal("12.50"), 1.5, True, None, datetime.date(2026, 2, 28),
                  datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), uuid.UUID(int=7), [1, 2, 3], ["a", 'b"c']]
        casts = ["int", "bigint", "text", "bytea", "numeric", "float8", "bool", "text", "date", "timestamptz", "uuid", "int[]", "text[]"]
        sql = "SELECT " + ", ".join(f"%s::{c}" for c in casts)
        for binary in (False, True):
            with self.conn.cursor(binary=binary) as cur:
                self.assertEqual(list(cur.execute(sql, values).fetchone()), values)
        self.assertEqual(self.conn.execute("SELECT %s::jsonb -> 'a'", [Jsonb({"a": [1]})]).fetchone(), ([1],))

    def test_transactions(self):
        with self.conn.transaction():
            self.conn.execute("INSERT INTO scratch.t VALUES (2001, 'a')")
            try:
                with self.conn.transaction():
                    self.conn.execute("INSERT INTO scratch.t VALUES (2002, 'b')")
                    raise RuntimeError
            except RuntimeError:
                pass
            self.assertEqual(self.conn.info.transaction_status, psycopg.pq.TransactionStatus.INTRANS)
        self.assertEqual(self.committed(), 1001)
        self.conn.execute("DELETE FROM scratch.t WHERE id <= 10")
        self.conn.rollback()
        self.assertEqual(self.committed(), 1001)
        with self.assertRaises(psycopg.errors.UniqueViolation):
            self.conn.execute("INSERT INTO scratch.t VALUES (1, 'again')")
        self.assertEqual(self.conn.info.transaction_status, psycopg.pq.TransactionStatus.INERROR)
        with self.assertRaises(psycopg.errors.InFailedSqlTransaction):
            self.conn.execute("SELECT 1")
        self.conn.rollback()
        self.assertEqual(self.conn.execute("SELECT 1").fetchone(), (1,))

    def test_prepared(self):
        for n in range(1, 50):
            self.assertEqual(self.conn.execute("SELECT v FROM scratch.t WHERE id = %s", [n], prepare=True).fetchone(), (f"v{n}",))
        with self.conn.cursor() as cur:
            cur.executemany("INSERT INTO scratch.t VALUES (%s, %s)", [(n, "m") for n in range(3000, 3100)])
        self.conn.commit()
        self.assertEqual(self.committed(), 1100)

    def test_pipeline(self):
        with self.conn.pipeline() as p:
            cursors = [self.conn.execute("SELECT v FROM scratch.t WHERE id = %s", [n]) for n in range(1, 200)]
            p.sync()
            self.conn.execute("INSERT INTO scratch.t VALUES (5000, 'p')")
        self.assertEqual([c.fetchone()[0] for c in cursors], [f"v{n}" for n in range(1, 200)])
        self.conn.commit()
        self.assertEqual(self.committed(), 1001)

    def test_pipeline_with_an_error(self):
        self.conn.autocommit = True
        with self.assertRaises(psycopg.errors.DivisionByZero):
            with self.conn.pipeline():
                self.conn.execute("INSERT INTO scratch.t VALUES (5001, 'p')")
                self.conn.execute("SELECT 1 / %s", [0])
                self.conn.execute("INSERT INTO scratch.t VALUES (5002, 'p')")
        self.assertEqual(self.committed(), 1000)
        self.assertEqual(self.conn.execute("SELECT 1").fetchone(), (1,))

    def test_server_cursor(self):
        with self.conn.cursor(name="c") as cur:
            cur.itersize = 100
            cur.execute("SELECT id FROM scratch.t ORDER BY id")
            self.assertEqual([r[0] for r in cur], list(range(1, 1001)))
        with self.conn.cursor(name="s", scrollable=True) as cur:
            cur.execute("SELECT id FROM scratch.t ORDER BY id")
            cur.scroll(500)
            self.assertEqual(cur.fetchone(), (501,))
            cur.scroll(-2)
            self.assertEqual(cur.fetchmany(2), [(500,), (501,)])

    def test_copy(self):
        with self.conn.cursor() as cur:
            with cur.copy("COPY scratch.t (id, v) FROM STDIN") as copy:
                for n in range(10000, 60000):
                    copy.write_row((n, "copied"))
            self.assertEqual(cur.rowcount, 50000)
            with cur.copy("COPY (SELECT id FROM scratch.t WHERE v = 'copied' ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
                copy.set_types(["int4"])
                self.assertEqual([r[0] for r in copy.rows()], list(range(10000, 60000)))
        self.conn.rollback()
        self.assertEqual(self.committed(), 1000)

    def test_copy_given_up_by_the_client(self):
        with self.assertRaises(psycopg.errors.QueryCanceled), self.conn.cursor() as cur:
            with cur.copy("COPY scratch.t (id, v) FROM STDIN") as copy:
                copy.write_row((10000, "copied"))
                raise ZeroDivisionError
        self.conn.rollback()
        self.assertEqual(self.committed(), 1000)

    def test_cancel(self):
        for _ in range(3):
            timer = threading.Timer(0.5, self.conn.cancel)
            timer.start()
            with self.assertRaises(psycopg.errors.QueryCanceled):
                self.conn.execute(SLOW)
            timer.join()
            self.conn.rollback()
            self.assertEqual(self.conn.execute("SELECT 1").fetchone(), (1,))

    def test_cancel_with_another_key_does_nothing(self):
        other = self.stack.psycopg()
        self.addCleanup(other.close)
        other.cancel()  # idle: nothing to cancel, and nobody else's statement either
        self.assertEqual(self.conn.execute("SELECT count(*) FROM scratch.t").fetchone(), (1000,))
        self.assertNotEqual(other.info.backend_pid, self.conn.info.backend_pid)

    def test_notices(self):
        got = []
        self.conn.add_notice_handler(lambda d: got.append((d.severity, d.sqlstate)))
        self.conn.execute("DROP TABLE IF EXISTS scratch.nothing")
        self.assertEqual(got, [("NOTICE", "00000")])

    def test_plaintext_is_refused(self):
        with self.assertRaisesRegex(psycopg.OperationalError, "TLS is required"):
            self.stack.psycopg(sslmode="disable")

    def test_many_sessions(self):
        conns = [self.stack.psycopg("tester") for _ in range(40)]
        try:
            for n, c in enumerate(conns):
                self.assertEqual(c.execute("SELECT %s::int", [n]).fetchone(), (n,))
        finally:
            for c in conns:
                c.close()


if __name__ == "__main__":
    unittest.main()
