"""pgbench runs clean in each of its protocol modes."""
import os
import re
import subprocess
import unittest

import stack

CLIENTS, TRANSACTIONS = 4, 50


class Pgbench(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()
        env = dict(os.environ, PGOPTIONS="-c role=shop_owner")
        subprocess.run(["pgbench", "-i", "-q", "-s", "1", cls.stack.env["GH_PG_DIRECT_URL"]], env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def bench(self, mode, *more):
        before = self.stack.direct("SELECT count(*) FROM pgbench_history")[0][0]
        done = subprocess.run(["pgbench", "-M", mode, "-c", str(CLIENTS), "-j", "2", "-t", str(TRANSACTIONS), *more], env=self.stack.client_env("dba"),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        total = CLIENTS * TRANSACTIONS
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(f"number of transactions actually processed: {total}/{total}", done.stdout)
        self.assertIsNone(re.search("error|aborted|FATAL", done.stdout.replace("number of failed transactions", "")), done.stdout)
        return self.stack.direct("SELECT count(*) FROM pgbench_history")[0][0] - before

    def test_modes(self):
        for mode in ("simple", "extended", "prepared"):
            with self.subTest(mode):
                self.assertEqual(self.bench(mode, "-n"), CLIENTS * TRANSACTIONS)
                self.assertEqual(self.bench(mode, "-n", "-S"), 0)

    def test_reconnecting(self):
        self.assertEqual(self.bench("simple", "-n", "-S", "-C"), 0)

    def test_with_its_vacuum(self):
        """Without -n it vacuums first, and empties its history."""
        self.bench("simple")
        self.assertEqual(self.stack.direct("SELECT count(*) FROM pgbench_history"), [(CLIENTS * TRANSACTIONS,)])

    def test_books_balance(self):
        self.bench("prepared", "-n")  # three sums that only whole transactions keep equal
        sums = [self.stack.direct(f"SELECT sum({c}) FROM {t}")[0][0] for t, c in (("pgbench_accounts", "abalance"), ("pgbench_tellers", "tbalance"),
                                                                                 ("pgbench_branches", "bbalance"))]
        self.assertEqual(len(set(sums)), 1, sums)


if __name__ == "__main__":
    unittest.main()
