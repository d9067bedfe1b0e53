"""Texts that once reached what the policy does not grant, and their neighbours: each must be refused, and show nothing."""
import unittest

import psycopg

import stack

QUERY = "SELECT to_tsvector('simple', name) FROM staff"

# x.f as a call of f: a function in FROM whose alias is the function's name
FIELD_NOTATION = [
    f"SELECT ts_stat.ts_stat FROM concat($q${QUERY}$q$) AS ts_stat(x)",
    f"SELECT (ts_stat.ts_stat).word FROM concat($q${QUERY}$q$) AS ts_stat(x)",
    f"SELECT ts_stat.ts_stat FROM json_array_elements_text($q$[\"{QUERY}\"]$q$) AS ts_stat",
    f"SELECT ts_stat.ts_stat FROM CAST(jsonb_array_elements_text($q$[\"{QUERY}\"]$q$) AS text) AS ts_stat",
    f"SELECT ts_stat.ts_stat FROM CAST($q${QUERY}$q$ AS text) AS ts_stat(x)",
    f"SELECT ts_stat.ts_stat FROM unnest(ARRAY[$q${QUERY}$q$]) AS ts_stat(x)",
    "SELECT pg_sleep.pg_sleep FROM CAST(0 AS float8) AS pg_sleep(x)",
    "SELECT pg_read_file.pg_read_file FROM concat('PG_VERSION') AS pg_read_file(x)",
]


# functions that the database's owner made, behind an operator of his own
OPERATORS = ["SELECT 1 ### 2", "SELECT 1 OPERATOR(public.###) 2", "SELECT 1 ### ANY (ARRAY[2])", "SELECT 1 ### (SELECT 2)"]


class Bypass(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def setUp(self):
        self.conn = self.stack.psycopg("agent", autocommit=True)
        self.addCleanup(self.conn.close)

    def refused(self, sql):
        with self.subTest(sql):
            with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
                self.conn.execute(sql)
            self.assertIn("policy", str(caught.exception), "the gate refuses it, not the database")
            self.assertNotIn("c4n4ry", str(caught.exception))

    def test_operators(self):
        self.stack.direct("""
            CREATE OR REPLACE FUNCTION public.names_of_staff(integer, integer) RETURNS boolean LANGUAGE plpgsql AS
                $$BEGIN RAISE EXCEPTION '%', (SELECT string_agg(name, ' ') FROM public.staff); END$$;
            DROP OPERATOR IF EXISTS public.### (integer, integer);
            CREATE OPERATOR public.### (LEFTARG = integer, RIGHTARG = integer, FUNCTION = public.names_of_staff)""")
        self.addCleanup(self.stack.direct, "DROP FUNCTION public.names_of_staff CASCADE")
        for sql in OPERATORS:
            self.refused(sql)

    def test_field_notation(self):
        for sql in FIELD_NOTATION:
            self.refused(sql)
        self.assertEqual(self.conn.execute("SELECT g.g FROM generate_series(1, 2) AS g").fetchall(), [(1,), (2,)])


if __name__ == "__main__":
    unittest.main()
