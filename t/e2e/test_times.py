"""Rules with times, on the whole stack: a session that is open when a window ends. What was prepared in it, cursors and statements that wait for approval end
with it, to the second; what the rule hid stays hidden."""
import datetime
import os
import time
import unittest

import psycopg

import stack

POLICY = """
version: 1
databases: { shop: { mode: enforce } }
rules:
  - name: office
    groups: ai-agents
    database: shop
    allow: [select, update]
    on: [public.customers, public.orders]
    columns: { phone: hidden, "*": visible }
    times: WINDOW
  - name: orders-always
    groups: ai-agents
    database: shop
    allow: select
    on: public.orders
  - name: closed
    groups: analysts
    database: shop
    deny: select
    on: public.orders
    reason: It is closed.
    times: WINDOW
  - name: analysts
    groups: analysts
    database: shop
    allow: select
    on: public.*
"""
LASTS = 4  # seconds
OFFICE = {"select, update"}


def window(seconds):
    """One that began a while ago and ends so many seconds from now."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    begin, end = now - datetime.timedelta(hours=1), now + datetime.timedelta(seconds=seconds)
    return f'{{ from: "{begin:%H:%M:%S}", to: "{end:%H:%M:%S}", zone: UTC }}', end.timestamp()


class Times(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(policy=POLICY.replace("WINDOW", window(3600)[0]))
        cls.addClassCleanup(cls.stack.close)

    def refused(self, run, sql, state="42501"):
        with self.assertRaises(psycopg.Error, msg=sql) as e:
            run(sql)
        self.assertEqual(e.exception.sqlstate, state, f"{sql}: {e.exception}")
        return str(e.exception)

    def reload(self, seconds):
        text, end = window(seconds)
        path = os.path.join(self.stack.dir, "etc", "policy.yaml")
        with open(path, "w") as f:
            f.write(POLICY.replace("WINDOW", text))
        self.read_again()
        return end

    def shown(self, conn, relation):
        """The actions that SHOW gatehouse.grants has for it."""
        return {r[3] for r in conn.execute("SHOW gatehouse.grants").fetchall() if r[1] == relation}

    def read_again(self):
        mark = len(self.stack.log("gatehouse"))
        self.stack.signal("gatehouse")
        stack.wait_until("the policy is read again", lambda: "event=reload " in self.stack.log("gatehouse")[mark:])

    def test_a_window_ends_in_an_open_session(self):
        stack_ = self.stack
        with stack_.psycopg("agent", autocommit=True) as c, stack_.psycopg("agent") as open_one, stack_.psycopg("analyst", autocommit=True) as a:
            c.execute("SELECT 1")
            end = self.reload(LASTS)
            prepared = "SELECT id, phone FROM customers WHERE id = %s"  # refused: hidden
            self.refused(lambda sql: c.execute(sql, (3,)), prepared)
            prepared = "SELECT id FROM customers WHERE id = %s"
            self.assertEqual(c.execute(prepared, (3,), prepare=True).fetchall(), [(3,)])
            c.execute("PREPARE named AS SELECT id FROM customers WHERE id = 3")
            self.assertEqual(c.execute("EXECUTE named").fetchall(), [(3,)])
            open_one.execute("DECLARE cur CURSOR FOR SELECT id FROM customers ORDER BY id")
            self.assertEqual(open_one.execute("FETCH 1 FROM cur").fetchall(), [(1,)])
            self.assertIn("It is closed", self.refused(a.execute, "SELECT count(*) FROM orders"))
            self.assertEqual((self.shown(c, "customers"), self.shown(c, "orders"), self.shown(a, "orders")), (OFFICE, OFFICE, set()))
            self.assertLess(time.time(), end, "this machine is too slow for the test's window")
            last = 0
            while time.time() < end + 10:
                before = time.time()
                try:
                    c.execute("SELECT count(*) FROM customers")
                except psycopg.Error as e:
                    self.assertGreaterEqual(time.time(), end)
                    self.assertEqual(e.sqlstate, "42501")
                    # the second when the clock ends it while its record is under way
                    self.assertRegex(str(e), 'the rule "office" does at other times|the policy has changed in this moment')
                    break
                last = before
                time.sleep(0.01)
            else:
                self.fail("the window did not end")
            self.assertLess(last, end)
            self.refused(lambda sql: c.execute(sql, (3,), prepare=True), prepared)
            self.refused(c.execute, "EXECUTE named")
            self.refused(open_one.execute, "FETCH 1 FROM cur")
            self.assertEqual(c.execute("SELECT count(*) FROM orders").fetchone()[0] > 0, True)
            self.refused(c.execute, "UPDATE orders SET status = 'x' WHERE id = 1")
            self.assertEqual((self.shown(c, "customers"), self.shown(c, "orders"), self.shown(a, "orders")), (set(), {"select"}, {"select"}))
            self.assertGreater(a.execute("SELECT count(*) FROM orders").fetchone()[0], 0)
            self.reload(3600)
            self.assertEqual(c.execute(prepared, (3,), prepare=True).fetchall(), [(3,)])

    def test_a_window_ends_before_the_configuration_is_read_again(self):
        """The same policy, so what was allowed before a reload still is; but not what the clock has ended meanwhile, of which the new role saw nothing."""
        prepared = "SELECT id FROM customers WHERE id = %s"
        with self.stack.psycopg("agent", autocommit=True) as c, self.stack.psycopg("analyst", autocommit=True) as a:
            end = self.reload(LASTS)
            self.assertEqual(c.execute(prepared, (3,), prepare=True).fetchall(), [(3,)])
            c.execute("PREPARE named AS SELECT id FROM customers WHERE id = 3")
            self.refused(a.execute, "SELECT count(*) FROM orders")
            self.assertLess(time.time(), end, "this machine is too slow for the test's window")
            self.read_again()
            stack.wait_until("the window's end", lambda: time.time() > end + 1, 30)
            self.refused(lambda sql: c.execute(sql, (3,), prepare=True), prepared)
            self.refused(c.execute, "EXECUTE named")
            self.assertGreater(a.execute("SELECT count(*) FROM orders").fetchone()[0], 0)

    def test_a_window_begins_before_the_configuration_is_read_again(self):
        """As above, for a rule that denies: what was prepared when it did not."""
        now = datetime.datetime.now(datetime.timezone.utc)
        begin = (now + datetime.timedelta(seconds=LASTS)).replace(microsecond=0)
        text = f'{{ from: "{begin:%H:%M:%S}", to: "{begin + datetime.timedelta(hours=1):%H:%M:%S}", zone: UTC }}'
        with open(os.path.join(self.stack.dir, "etc", "policy.yaml"), "w") as f:
            f.write(POLICY.replace("WINDOW", text))
        self.read_again()
        with self.stack.psycopg("analyst", autocommit=True) as a:
            prepared = "SELECT count(*) FROM orders WHERE id > %s"
            self.assertGreater(a.execute(prepared, (0,), prepare=True).fetchone()[0], 0)
            self.assertLess(time.time(), begin.timestamp(), "this machine is too slow for the test's window")
            self.read_again()
            stack.wait_until("the window's beginning", lambda: time.time() > begin.timestamp() + 1, 30)
            self.assertIn("It is closed", self.refused(lambda sql: a.execute(sql, (0,), prepare=True), prepared))
