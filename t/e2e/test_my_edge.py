"""HAProxy's files for MySQL, with agents and payload doors of the tests' own: what clients may say before TLS, and that nothing passes when the agent is dead, silent,
slow, empty or wrong."""
import socket
import ssl
import struct
import time
import unittest

import haproxy
import spop

GREETING = b"\x0a8.0.36\0" + struct.pack("<I", 77) + b"abcdefgh\0" + struct.pack("<HBHH", 0xAA8D, 45, 2, 0x01BF) + b"\x15" + b"\0" * 10 + b"ijklmnopqrst\0caching_sha2_password\0"
PACKET = struct.pack("<I", len(GREETING))[:3] + b"\0" + GREETING
SSL_REQUEST = b"\x20\0\0\1" + struct.pack("<IIB23x", 0x8AA00, 1 << 24, 45)
LOGIN = b"\x2a\0\0\2" + struct.pack("<IIB23x", 0x8AA00, 1 << 24, 45) + b"ann\0\0native\0"[:10]
TICKET = "t" * 100


def good(message, args):
    if message == "greet":
        return spop.set_vars(greeting=PACKET, connection="77")
    return spop.set_vars(verdict="allow", ticket=TICKET, session="s1", reason="")


def only(wrong, answer):
    """Good in all but one message."""
    return lambda message, args: answer(message, args) if message == wrong else good(message, args)


def hang_up(message, args):
    raise EOFError


GREETS = {
    "silent": lambda m, a: spop.SILENT,
    "hangs up": hang_up,
    "empty ACK": lambda m, a: b"",
    "no greeting": lambda m, a: spop.set_vars(connection="77"),
    "a short one": lambda m, a: spop.set_vars(greeting=b"\1\0\0"),
    "truncated": lambda m, a: spop.set_vars(greeting=PACKET)[:-1],
}
SESSIONS = {
    "silent": lambda m, a: spop.SILENT,
    "hangs up": hang_up,
    "empty ACK": lambda m, a: b"",
    "allow without a ticket": lambda m, a: spop.set_vars(verdict="allow"),
    "denies": lambda m, a: spop.set_vars(verdict="deny", ticket=TICKET),
    "verdict in capitals": lambda m, a: spop.set_vars(verdict="ALLOW", ticket=TICKET),
    "truncated": lambda m, a: spop.set_vars(verdict="allow", ticket=TICKET)[:-1],
}


class Edge(unittest.TestCase):
    def start(self, behaviour=good, edit=None, agent=True):
        proxy = haproxy.HAProxy(edit, mysql=True)
        self.addCleanup(proxy.stop)
        if agent:
            a = spop.Agent(proxy.path("spop.sock"), behaviour, haproxy.haproxy_owner(), True)
            self.addCleanup(a.close)
        door = spop.PayloadDoor(proxy.path("payload.sock"), haproxy.haproxy_owner())
        self.addCleanup(door.close)
        proxy.start()
        return proxy, door

    def greeted(self, proxy):
        s = socket.create_connection(("127.0.0.1", proxy.my_port), 10)
        self.addCleanup(s.close)
        return s, s.recv(4096)

    def push(self, proxy, seconds=20):
        """A client that goes on sending, more than any buffer holds, until it is cut off: what it read, and whether it was."""
        s = socket.create_connection(("127.0.0.1", proxy.my_port), 10)
        got, end = b"", time.monotonic() + seconds
        try:
            got = s.recv(4096)
            s.sendall(SSL_REQUEST)
            tls = proxy.tls_context().wrap_socket(s, server_hostname="localhost")
            tls.sendall(LOGIN)
            while time.monotonic() < end:
                tls.sendall(b"x" * 65536)
                time.sleep(0.02)
            return got, "open"
        except (OSError, ssl.SSLError):
            return got, "closed"
        finally:
            s.close()

    def nothing_passes(self, name, behaviours, message, greeted):
        for word, behaviour in behaviours.items():
            with self.subTest(agent=f"{name}: {word}"):
                proxy, door = self.start(only(message, behaviour))
                got, state = self.push(proxy)
                self.assertEqual(state, "closed")
                self.assertEqual(got, PACKET if greeted else b"")
                self.assertEqual(door.bytes_seen(), 0)

    def test_good(self):
        seen = []

        def behaviour(message, args):
            seen.append((message, dict(args)))
            return good(message, args)
        proxy, door = self.start(behaviour)
        s, greeting = self.greeted(proxy)
        self.assertEqual(greeting, PACKET)
        s.sendall(SSL_REQUEST)
        tls = proxy.tls_context().wrap_socket(s, server_hostname="localhost")
        tls.sendall(LOGIN)
        self.assertEqual(door.wait_bytes(len(LOGIN)), len(LOGIN))
        self.assertEqual(door.sessions[0]["data"], LOGIN)
        self.assertEqual([m for m, _ in seen], ["greet", "session"])
        args = seen[1][1]
        self.assertEqual((args["engine"], args["connection"]), ("mysql", "77"))

    def test_greet_fails_closed(self):
        self.nothing_passes("greet", GREETS, "greet", False)

    def test_session_fails_closed(self):
        self.nothing_passes("session", SESSIONS, "session", True)

    def test_dead_agent(self):
        proxy, door = self.start(agent=False)
        self.assertEqual(self.push(proxy), (b"", "closed"))
        self.assertEqual(door.bytes_seen(), 0)

    def test_lua_that_fails(self):
        proxy, door = self.start(edit=[("gatehouse_mysql.lua", 'txn:set_var("txn.gh_edge", "tls")', 'error("broken")')])
        self.assertEqual(self.push(proxy)[1], "closed")
        self.assertEqual(door.bytes_seen(), 0)

    def test_what_is_said_before_tls(self):
        proxy, door = self.start()
        login = struct.pack("<IIB23x", 0x8A200, 1 << 24, 45) + b"ann\0\0"
        cases = {
            "a login": (struct.pack("<I", len(login))[:3] + b"\1" + login, 3159),
            "SSLRequest that is longer": (b"\x24\0\0\1" + SSL_REQUEST[4:] + b"xxxx", 3159),
            "another number": (b"\x20\0\0\2" + SSL_REQUEST[4:], 1043),
            "of an old protocol": (b"\x20\0\0\1" + struct.pack("<IIB23x", 0x800, 1 << 24, 45), 1043),
            "too short": (b"\x05\0\0\1" + b"\0" * 5, 1043),
            "plaintext behind SSLRequest": (SSL_REQUEST + b"\x03\0\0\2abc", None),
            "HTTP": (b"GET / HTTP/1.0\r\n\r\n", 1043),
        }
        for name, (said, code) in cases.items():
            with self.subTest(name):
                s, _ = self.greeted(proxy)
                s.sendall(said)
                s.shutdown(socket.SHUT_WR)
                answer = haproxy.read_to_end(s)
                if code is None:
                    self.assertEqual(answer, b"")
                else:
                    self.assertEqual((answer[3], answer[4]), (2, 0xFF))
                    self.assertEqual(struct.unpack("<H", answer[5:7])[0], code)
                    self.assertEqual(int.from_bytes(answer[:3], "little"), len(answer) - 4)
        self.assertEqual(door.bytes_seen(), 0)

    def test_byte_by_byte(self):
        proxy, door = self.start()
        s, _ = self.greeted(proxy)
        for b in SSL_REQUEST:
            s.sendall(bytes([b]))
            time.sleep(0.005)
        proxy.tls_context().wrap_socket(s, server_hostname="localhost").sendall(LOGIN)
        self.assertEqual(door.wait_bytes(len(LOGIN)), len(LOGIN))
        self.assertEqual(door.sessions[0]["data"], LOGIN)


if __name__ == "__main__":
    unittest.main()
