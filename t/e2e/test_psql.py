"""psql, unmodified, through HAProxy and Gatehouse."""
import os
import tempfile
import unittest

import stack

ITEMS = """CREATE TABLE scratch.items (id integer PRIMARY KEY, label text, price numeric(8,2));
INSERT INTO scratch.items SELECT n, 'item ' || n, n / 4.0 FROM generate_series(1, 100) AS n;"""


class Psql(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def setUp(self):
        self.stack.scratch(ITEMS)

    def ok(self, *args, who="tester", script=None):
        done = self.stack.psql("-v", "ON_ERROR_STOP=1", *args, who=who, script=script)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done.stdout

    def test_select(self):
        self.assertEqual(self.ok("-Atc", "SELECT id, label FROM scratch.items WHERE id < 3 ORDER BY id"), "1|item 1\n2|item 2\n")

    def test_describe(self):
        out = self.ok("-c", r"\d scratch.items")
        self.assertIn("price  | numeric(8,2)", out)
        self.assertIn('"items_pkey" PRIMARY KEY', out)
        for command in (r"\d", r"\d+ scratch.items", r"\dt scratch.*", r"\dn", r"\df scratch.*", r"\di scratch.*", r"\dv", r"\l", r"\du", r"\dT", r"\conninfo", r"\encoding"):
            with self.subTest(command):
                self.ok("-c", command)
        self.assertIn("items", self.ok("-c", r"\dt scratch.*"))

    def test_copy_both_ways(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "items.csv")
            self.assertEqual(self.ok("-c", rf"\copy (SELECT * FROM scratch.items ORDER BY id) TO '{path}' CSV HEADER"), "COPY 100\n")
            with open(path) as f:
                lines = f.read().splitlines()
            self.assertEqual((len(lines), lines[0], lines[1]), (101, "id,label,price", "1,item 1,0.25"))
            self.stack.direct("TRUNCATE scratch.items")
            self.assertEqual(self.ok("-c", rf"\copy scratch.items FROM '{path}' CSV HEADER"), "COPY 100\n")
        self.assertEqual(self.stack.direct("SELECT count(*), sum(price) FROM scratch.items")[0][0], 100)

    def test_copy_of_a_broken_row(self):
        done = self.stack.psql("-v", "VERBOSITY=verbose", "-c", r"\copy scratch.items FROM STDIN", "-c", "SELECT 7 AS seven", script="200\tx\tnot a number\n")
        self.assertIn("22P02", done.stderr)
        self.assertIn("seven", done.stdout)

    def test_refused_copy(self):
        for command in (r"\copy staff TO STDOUT", r"\copy staff FROM STDIN", r"\copy (SELECT * FROM staff) TO STDOUT"):
            with self.subTest(command):
                done = self.stack.psql("-v", "VERBOSITY=verbose", "-c", command, "-c", "SELECT 7 AS seven", script="100\tMallory\t1\n")
                self.assertIn("42501", done.stderr)
                self.assertNotIn("c4n4ry", done.stdout + done.stderr)
                self.assertIn("seven", done.stdout)
        self.assertEqual(self.stack.direct("SELECT count(*) FROM staff"), [(20,)])

    def test_cursor(self):
        out = self.ok("-At", script="""BEGIN;
DECLARE c CURSOR FOR SELECT id FROM scratch.items ORDER BY id;
FETCH 2 FROM c;
MOVE 10 FROM c;
FETCH NEXT FROM c;
CLOSE c;
COMMIT;
""")
        self.assertEqual(out.split(), "BEGIN DECLARE CURSOR 1 2 MOVE 10 13 CLOSE CURSOR COMMIT".split())

    def test_fetch_count(self):
        out = self.ok("-At", "-v", "FETCH_COUNT=7", script="SELECT id FROM scratch.items ORDER BY id;\n")
        self.assertEqual(out.split(), [str(n) for n in range(1, 101)])

    def test_several_statements_in_one_message(self):
        self.assertEqual(self.ok("-At", script="SELECT 1\\; SELECT 2\\; SELECT 3;\n").split(), ["1", "2", "3"])
        self.assertEqual(self.ok("-Atc", "SELECT 4; SELECT 5").split()[-1], "5")

    def test_gdesc_gexec_gset(self):
        self.assertIn("numeric(8,2)", self.ok(script="SELECT price FROM scratch.items \\gdesc\n"))
        self.assertEqual(self.ok("-At", script="SELECT 'SELECT ' || n FROM generate_series(1, 3) AS n \\gexec\n").split(), ["1", "2", "3"])
        self.assertEqual(self.ok("-At", script="SELECT 42 AS answer \\gset\n\\echo :answer\n").split(), ["42"])

    def test_error_of_the_server(self):
        done = self.stack.psql("-v", "VERBOSITY=verbose", "-c", "SELECT lable FROM scratch.items", "-c", "SELECT 7 AS seven")
        self.assertIn("ERROR:  42703", done.stderr)
        self.assertIn("HINT:", done.stderr)
        self.assertIn("LINE 1: SELECT lable", done.stderr)
        self.assertIn("seven", done.stdout)

    def test_refusal_says_why(self):
        done = self.stack.psql("-v", "VERBOSITY=verbose", "-c", "DROP TABLE orders", "-c", "SELECT 7 AS seven", who="agent")
        self.assertRegex(done.stderr, r"ERROR:  42501: .*\n(DETAIL:  .*\n)?HINT:  .*")
        self.assertIn("seven", done.stdout)

    def test_syntax_error_is_refused(self):
        done = self.stack.psql("-v", "VERBOSITY=verbose", "-c", "SELEKT 1", "-c", "SELECT 7 AS seven")
        self.assertIn("42601", done.stderr)
        self.assertIn("seven", done.stdout)

    def test_long_text_and_unicode(self):
        text = "zażółć gęślą jaźń 日本 " * 3000
        self.assertEqual(self.ok("-Atq", script=f"SELECT length('{text}');\n").strip(), str(len(text)))


if __name__ == "__main__":
    unittest.main()
