"""An agent that is dead, silent, slow, wrong or empty, and a Lua script that fails: no byte may reach the payload door."""
import os
import signal
import ssl
import subprocess
import threading
import time
import unittest

import psycopg

import haproxy
import spop
import stack

TICKET = "t" * 100
ALLOW = spop.set_vars(verdict="allow", ticket=TICKET, session="s1", reason="")


def hang_up(message, args):
    raise EOFError


def slow(message, args):
    time.sleep(7)  # "timeout processing" is 5 s
    return ALLOW


BEHAVIOURS = {
    "silent": lambda m, a: spop.SILENT,
    "slow": slow,
    "hangs up": hang_up,
    "empty ACK": lambda m, a: b"",
    "only a ticket": lambda m, a: spop.set_vars(ticket=TICKET),
    "allow without a ticket": lambda m, a: spop.set_vars(verdict="allow"),
    "denies": lambda m, a: spop.set_vars(verdict="deny", ticket=TICKET),
    "empty verdict": lambda m, a: spop.set_vars(verdict="", ticket=TICKET),
    "verdict is a number": lambda m, a: spop.set_vars(verdict=1, ticket=TICKET),
    "verdict in capitals": lambda m, a: spop.set_vars(verdict="ALLOW", ticket=TICKET),
    "verdict with a tail": lambda m, a: spop.set_vars(verdict="allowed", ticket=TICKET),
    "verdict with a blank": lambda m, a: spop.set_vars(verdict="allow ", ticket=TICKET),
    "wrong scope": lambda m, a: ALLOW.replace(b"\x01\x03\x02", b"\x01\x03\x00"),
    "garbage": lambda m, a: b"\x07garbage" + ALLOW,
    "truncated": lambda m, a: spop.set_vars(verdict="allow", ticket=TICKET)[:-1],
}


def push(proxy, seconds):
    """A client that goes on sending after TLS, more than any buffer holds, until it is cut off."""
    end = time.monotonic() + seconds
    try:
        with proxy.tls(timeout=5) as tls:
            tls.sendall(haproxy.STARTUP)
            while time.monotonic() < end:
                tls.sendall(b"x" * 65536)
                time.sleep(0.02)
    except (OSError, ssl.SSLError, AssertionError):
        return "closed"
    return "open"


class FailClosed(unittest.TestCase):
    def attempt(self, behaviour=None, edit=None, agent=True, hello=True, seconds=20):
        """Three clients against a behaviour: HAProxy, the payload door and what became of the clients."""
        proxy = haproxy.HAProxy(edit)
        self.addCleanup(proxy.stop)
        if agent:
            a = spop.Agent(proxy.path("spop.sock"), behaviour, haproxy.haproxy_owner(), hello)
            self.addCleanup(a.close)
        door = spop.PayloadDoor(proxy.path("payload.sock"), haproxy.haproxy_owner())
        self.addCleanup(door.close)
        proxy.start()
        outcomes = []
        clients = [threading.Thread(target=lambda: outcomes.append(push(proxy, seconds))) for _ in range(3)]
        for c in clients:
            c.start()
        for c in clients:
            c.join()
        return proxy, door, outcomes

    def run_case(self, *args, **kw):
        proxy, door, outcomes = self.attempt(*args, **kw)
        self.assertEqual(door.bytes_seen(), 0, proxy.log())
        self.assertEqual(door.sessions, [])
        self.assertEqual(outcomes, ["closed"] * 3)

    def test_the_test_itself(self):
        """The same client gets through when the agent allows: otherwise the tests below prove nothing."""
        for verdict in ("allow", "refuse"):
            proxy, door, outcomes = self.attempt(lambda m, a: spop.set_vars(verdict=verdict, ticket=TICKET), seconds=1)
            self.assertEqual(outcomes, ["open"] * 3, proxy.log())
            self.assertEqual([s["tlv"][0x05] for s in door.sessions], [TICKET.encode()] * 3)
            self.assertGreater(min(len(s["data"]) for s in door.sessions), 65536)

    def test_wrong_answers(self):
        for name, behaviour in BEHAVIOURS.items():
            with self.subTest(name):
                self.run_case(behaviour)

    def test_dead(self):
        self.run_case(agent=False)

    def test_no_hello(self):
        self.run_case(lambda m, a: ALLOW, hello=False)

    def test_dies_while_running(self):
        proxy = haproxy.HAProxy()
        self.addCleanup(proxy.stop)
        agent = spop.Agent(proxy.path("spop.sock"), lambda m, a: ALLOW, haproxy.haproxy_owner())
        door = spop.PayloadDoor(proxy.path("payload.sock"), haproxy.haproxy_owner())
        self.addCleanup(door.close)
        proxy.start()
        with proxy.tls() as tls:
            tls.sendall(haproxy.STARTUP)
            self.assertEqual(door.wait_bytes(len(haproxy.STARTUP)), len(haproxy.STARTUP), proxy.log())
        agent.close()
        door.sessions.clear()
        self.assertEqual(push(proxy, 20), "closed")
        self.assertEqual(door.sessions, [])

    def test_lua_error(self):
        for where in ("    local req = txn.req\n", "            txn.res:send(\"S\")\n"):
            self.run_case(lambda m, a: ALLOW, edit=[("gatehouse_starttls.lua", where, where + "            error(\"broken\")\n")])

    def test_lua_outlives_inspect_delay(self):
        for stuck in ("while true do core.yield() end", "core.msleep(60000)"):
            self.run_case(lambda m, a: ALLOW, edit=[
                ("gatehouse_starttls.lua", "    local req = txn.req\n", f"    local req = txn.req\n    {stuck}\n"),
                ("haproxy.cfg", "inspect-delay 10s", "inspect-delay 3s")])


class WholeStack(unittest.TestCase):
    """The same on the whole stack: what PostgreSQL logs is the witness."""

    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack()
        cls.addClassCleanup(cls.stack.close)

    def test_agent_that_lies(self):
        """Somebody else answers HAProxy in the daemon's place and lets everybody in. The payload door believes the daemon's own tickets alone."""
        s, answer = self.stack, {}
        opened = lambda: [e for e in s.stream("gatehouse:sessions") if e["type"] == "session.open"]  # noqa: E731
        before = opened()
        path = os.path.join(s.dir, "jail", "gatehouse", "spop.sock")
        s.stop("haproxy")  # it would keep its connections to the daemon
        subprocess.run(stack.as_root("mv", path, path + ".real"), check=True)
        agent = spop.Agent(path, lambda m, a: spop.set_vars(session="s1", reason="", **answer), haproxy.haproxy_owner())
        s.start("haproxy")
        for ticket in (TICKET, "", "1." + "0" * 12 + "-" + "0" * 16 + ".ffffffffffffffff.a.." + "A" * 43):
            for verdict in ("allow", "refuse"):
                answer.update(verdict=verdict, ticket=ticket)
                done = s.psql("-Atc", "SELECT 'lied'")
                self.assertNotEqual(done.returncode, 0)
                self.assertNotIn("lied", done.stdout)
        s.stop("haproxy")
        agent.close()
        subprocess.run(stack.as_root("mv", path + ".real", path), check=True)
        s.start("haproxy")
        self.assertGreaterEqual(len(agent.messages), 6)  # so HAProxy did ask, and was lied to
        self.assertGreaterEqual(s.log("gatehouse").count("event=payload.refused "), 5)  # "no ticket" is said once a minute
        self.assertNotIn("'lied'", s.log("postgresql"))
        self.assertEqual(opened(), before)
        stack.wait_until("service by the daemon itself", lambda: s.psql("-Atc", "SELECT 2").stdout == "2\n")

    def test_killed_stopped_and_back(self):
        s = self.stack
        self.assertEqual(s.psql("-Atc", "SELECT 1").stdout, "1\n")
        open_session = s.psycopg(autocommit=True)
        self.addCleanup(open_session.close)
        open_session.execute("SELECT 1")

        s.signal("gatehouse", signal.SIGSTOP)
        done = s.psql("-Atc", "SELECT 'while-stopped'")
        self.assertNotEqual(done.returncode, 0)
        s.signal("gatehouse", signal.SIGCONT)
        stack.wait_until("service after SIGCONT", lambda: s.psql("-Atc", "SELECT 2").stdout == "2\n")

        s.kill("gatehouse")
        with self.assertRaises(psycopg.OperationalError):
            open_session.execute("SELECT 'while-dead'")
        for _ in range(3):
            self.assertNotEqual(s.psql("-Atc", "SELECT 'while-dead'").returncode, 0)
        s.start("gatehouse")
        stack.wait_until("service after a restart", lambda: s.psql("-Atc", "SELECT 3").stdout == "3\n")
        self.assertNotIn("while-", s.log("postgresql"))


if __name__ == "__main__":
    unittest.main()
