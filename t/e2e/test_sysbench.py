"""sysbench's transactions through HAProxy and the daemon to MariaDB: reads and writes in prepared statements, by several threads, and every one of them recorded."""
import tempfile
import unittest

import stack
from stack import wait_until
from sysbench import Sysbench, figures

POLICY = """version: 1
databases: { shop: {}, shop_my: {} }
rules:
  - { name: bench, groups: benchmarks, database: shop_my, allow: all, on: shop.sbtest* }
  - { name: readers, groups: readers, database: shop_my, allow: select, on: shop.sbtest* }
"""


class TestSysbench(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(policy=POLICY, mysql=True)
        cls.addClassCleanup(cls.stack.close)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.bench = cls.sysbench("benchmarks")
        cls.bench.run("oltp_read_write", "prepare")

    @classmethod
    def sysbench(cls, group):
        s = cls.stack
        return Sysbench(cls.folder, "127.0.0.1", s.env["GH_MY_PORT"], group, s.mint(f"{group}@shop.example", [group]), s.env["GH_CA"])

    def test_reads_and_writes(self):
        for how in ("auto", "disable"):  # prepared at the server, and as texts
            with self.subTest(how):
                got = figures(self.bench.run("oltp_read_write", "run", "--threads=4", "--events=40", "--time=0", f"--db-ps-mode={how}"))
                self.assertEqual((got["transactions"], got["reconnects"]), (40, 0))
                self.assertGreaterEqual(got["queries"], 40 * 20)

    def test_point_selects(self):
        got = figures(self.bench.run("oltp_point_select", "run", "--threads=4", "--events=1000", "--time=0"))
        self.assertEqual((got["transactions"], got["errors"], got["reconnects"]), (1000, 0, 0))
        principal = "benchmarks@shop.example"
        wait_until("each of them is recorded", lambda: sum(e.get("sql", "").startswith("SELECT c FROM sbtest") for e in self.stack.audit()) >= 1000, 60)
        self.assertTrue(all(e.get("principal", principal) == principal for e in self.stack.audit() if e["type"] == "session.open" and e["user"] == "benchmarks"))

    def test_who_may_only_read(self):
        reader = self.sysbench("readers")
        self.assertEqual(figures(reader.run("oltp_read_only", "run", "--threads=2", "--events=50", "--time=0"))["transactions"], 50)
        with self.assertRaisesRegex(AssertionError, "1142.*update on shop.sbtest"):
            reader.run("oltp_read_write", "run", "--threads=1", "--events=1", "--time=0")


if __name__ == "__main__":
    unittest.main()
