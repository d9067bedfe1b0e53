"""A refused statement at every position of a unit: nothing of the unit is committed, and the session goes on."""
import unittest

import psycopg
from psycopg import pq

import stack

WIDTH = 5  # statements in a unit
REFUSED = {
    "a table without a grant": "SELECT * FROM staff",
    "DDL": "DROP TABLE public.orders",
    "a write without a grant": "UPDATE public.orders SET total = 0",
    "no SQL": "SELEKT 1",
}


class Refusal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def setUp(self):
        self.stack.scratch("CREATE TABLE scratch.t (id integer)")
        # psycopg 3.1 loses count of what it prepared by itself when a pipeline fails, on PostgreSQL alone too
        self.conn = self.stack.psycopg(autocommit=True, prepare_threshold=None)
        self.addCleanup(self.conn.close)

    def units(self):
        """Every position of every refused statement among INSERTs."""
        for name, refused in REFUSED.items():
            for position in range(WIDTH):
                unit = [f"INSERT INTO scratch.t VALUES ({n})" for n in range(WIDTH)]
                unit[position] = refused
                yield name, position, unit

    def rows(self):
        return self.stack.direct("SELECT count(*) FROM scratch.t")[0][0]

    def check_nothing_happened(self, after=0):
        self.assertEqual(self.rows(), after)
        self.assertEqual(self.conn.info.transaction_status, pq.TransactionStatus.IDLE)
        self.assertEqual(self.conn.execute("SELECT 1").fetchone(), (1,))
        self.assertEqual(self.conn.execute("SELECT %s::int", [2]).fetchone(), (2,))

    def assert_refused(self, error):
        self.assertIn(error.sqlstate, ("42501", "42601"))
        self.assertNotIn("c4n4ry", str(error))

    def test_one_query_message(self):
        for name, position, unit in self.units():
            with self.subTest(name, position=position):
                with self.assertRaises(psycopg.Error) as caught:
                    self.conn.execute("; ".join(unit))
                self.assert_refused(caught.exception)
                self.check_nothing_happened()

    def test_transaction_of_queries(self):
        for name, position, unit in self.units():
            with self.subTest(name, position=position):
                self.conn.execute("BEGIN")
                refused = 0
                for sql in unit:
                    try:
                        self.conn.execute(sql)
                    except psycopg.Error as e:
                        if not refused:
                            self.assert_refused(e)
                        else:
                            self.assertIn(e.sqlstate, ("25P02", "42501", "42601"))
                        refused += 1
                        self.assertEqual(self.conn.info.transaction_status, pq.TransactionStatus.INERROR)
                self.assertGreaterEqual(refused, 1)
                self.assertEqual(self.conn.execute("COMMIT").statusmessage, "ROLLBACK")
                self.check_nothing_happened()

    def test_transaction_of_prepared_statements(self):
        for name, position, unit in self.units():
            with self.subTest(name, position=position):
                self.conn.execute("BEGIN", prepare=True)
                for sql in unit:
                    try:
                        self.conn.execute(sql, prepare=True)
                    except psycopg.Error:
                        pass
                self.assertEqual(self.conn.info.transaction_status, pq.TransactionStatus.INERROR)
                self.assertEqual(self.conn.execute("COMMIT", prepare=True).statusmessage, "ROLLBACK")
                self.check_nothing_happened()

    def test_pipeline(self):
        """One Sync behind all of them: an implicit transaction."""
        for name, position, unit in self.units():
            with self.subTest(name, position=position):
                with self.assertRaises(psycopg.Error) as caught, self.conn.pipeline():
                    for sql in unit:
                        self.conn.execute(sql)
                self.assert_refused(caught.exception)
                self.check_nothing_happened()

    def test_pipeline_that_opens_a_transaction(self):
        for name, position, unit in self.units():
            with self.subTest(name, position=position):
                with self.assertRaises(psycopg.Error), self.conn.pipeline():
                    self.conn.execute("BEGIN")
                    for sql in unit:
                        self.conn.execute(sql)
                    self.conn.execute("COMMIT")
                self.conn.rollback()
                self.check_nothing_happened()

    def test_pipeline_with_a_sync_after_each(self):
        """Each is a unit: the refused one alone does not happen."""
        for name, position, unit in self.units():
            with self.subTest(name, position=position):
                with self.conn.pipeline() as p:
                    for sql in unit:
                        self.conn.execute(sql) if sql.startswith("INSERT") else self.quietly(sql)
                        try:
                            p.sync()
                        except psycopg.Error as e:
                            self.assert_refused(e)
                self.check_nothing_happened(after=WIDTH - 1)
                self.stack.direct("TRUNCATE scratch.t")

    def quietly(self, sql):
        try:
            self.conn.execute(sql)
        except psycopg.Error as e:
            self.assert_refused(e)

    def test_savepoints(self):
        """ROLLBACK TO brings a refused transaction back, as PostgreSQL's own errors do."""
        self.conn.execute("BEGIN")
        self.conn.execute("INSERT INTO scratch.t VALUES (1)")
        self.conn.execute("SAVEPOINT s")
        with self.assertRaises(psycopg.errors.InsufficientPrivilege):
            self.conn.execute("SELECT * FROM staff")
        self.conn.execute("ROLLBACK TO s")
        self.conn.execute("INSERT INTO scratch.t VALUES (2)")
        self.assertEqual(self.conn.execute("COMMIT").statusmessage, "COMMIT")
        self.check_nothing_happened(after=2)

    def test_a_refused_name_is_not_there(self):
        result = self.conn.pgconn.prepare(b"mine", b"SELECT * FROM staff")
        self.assertEqual(result.error_field(pq.DiagnosticField.SQLSTATE), b"42501")
        result = self.conn.pgconn.exec_prepared(b"mine", [])
        self.assertEqual(result.error_field(pq.DiagnosticField.SQLSTATE), b"26000")
        self.check_nothing_happened()

    def test_an_older_statement_of_the_name_is_not_run(self):
        self.assertEqual(self.conn.pgconn.prepare(b"mine", b"INSERT INTO scratch.t VALUES (9)").status, pq.ExecStatus.COMMAND_OK)
        self.conn.pgconn.prepare(b"mine", b"SELECT * FROM staff")
        self.check_nothing_happened()

    def test_the_refusal_explains_itself(self):
        with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            self.conn.execute("SELECT * FROM staff")
        diag = caught.exception.diag
        self.assertEqual(diag.severity_nonlocalized, "ERROR")
        self.assertTrue(diag.message_primary and diag.message_hint, caught.exception)

    def test_the_database_never_saw_it(self):
        with self.assertRaises(psycopg.errors.InsufficientPrivilege):
            self.conn.execute("SELECT 'marker-of-this-test' FROM staff")
        self.conn.execute("SELECT 1")
        self.assertNotIn("marker-of-this-test", self.stack.log("postgresql"))
        entries = [e for e in self.stack.audit() if "marker-of-this-test" in str(e)]
        self.assertTrue(entries)


if __name__ == "__main__":
    unittest.main()
