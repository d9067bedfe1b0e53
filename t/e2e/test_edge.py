"""The edge's plaintext beginning and the way of admission, on real HAProxy with an agent and a payload door played by the test."""
import socket
import ssl
import struct
import time
import unittest

import haproxy
import spop

CANCEL = struct.pack(">IIII", 16, 80877102, 4711, 0xCAFEBABE)
TICKET = "t" * 100


def admit(message, args):
    if message == "session":
        return spop.set_vars(verdict="allow", ticket=TICKET, session="s1", reason="")
    return b""


class Edge(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.proxy = haproxy.HAProxy()
        cls.addClassCleanup(cls.proxy.stop)
        cls.agent = spop.Agent(cls.proxy.path("spop.sock"), admit, haproxy.haproxy_owner())
        cls.door = spop.PayloadDoor(cls.proxy.path("payload.sock"), haproxy.haproxy_owner(), answer=b"R-from-the-door")
        cls.proxy.start()

    def setUp(self):
        self.agent.messages.clear()
        self.door.sessions.clear()

    def refused(self, *pieces, pause=0.0):
        """Sends the pieces and gives what comes back until the edge closes. Nothing may reach agent or door."""
        with self.proxy.tcp() as s:
            for piece in pieces:
                s.sendall(piece)
                time.sleep(pause)
            answer = haproxy.read_to_end(s)
        self.assertEqual([m for m in self.agent.messages if m[0] == "session"], [])
        self.assertEqual(self.door.sessions, [])
        return answer

    def passes(self, tls):
        with tls:
            tls.sendall(haproxy.STARTUP)
            self.assertEqual(tls.recv(100), b"R-from-the-door")
            self.assertEqual(self.door.sessions[-1]["data"], haproxy.STARTUP)
            return tls.getpeername(), self.agent.messages[-1]

    def test_sslrequest(self):
        with self.proxy.tls() as tls:
            port = tls.getsockname()[1]
            tls.sendall(haproxy.STARTUP)
            self.assertEqual(tls.recv(100), b"R-from-the-door")
        name, args = self.agent.messages[-1]
        self.assertEqual(name, "session")
        self.assertEqual(args, {"src": "127.0.0.1", "src_port": port, "sni": "localhost", "alpn": None, "cert": None, "verify": 0,
                                "engine": "postgresql", "listener": "gh_pg_tls"})
        session = self.door.sessions[-1]
        self.assertEqual((session["src"], session["src_port"]), (args["src"], args["src_port"]))
        self.assertEqual(session["tlv"][0x05], TICKET.encode())  # PP2_TYPE_UNIQUE_ID
        self.assertEqual(session["data"], haproxy.STARTUP)

    def test_sslrequest_in_single_bytes(self):
        s = self.proxy.tcp()
        for i in range(8):
            s.sendall(haproxy.SSL_REQUEST[i:i + 1])
            time.sleep(0.02)
        self.assertEqual(s.recv(10), b"S")
        self.passes(self.proxy.tls_context().wrap_socket(s, server_hostname="localhost"))

    def test_gssenc_then_ssl(self):
        s = self.proxy.tcp()
        s.sendall(haproxy.GSSENC_REQUEST)
        self.assertEqual(s.recv(10), b"N")
        s.sendall(haproxy.SSL_REQUEST)
        self.assertEqual(s.recv(10), b"S")
        self.passes(self.proxy.tls_context().wrap_socket(s, server_hostname="localhost"))

    def test_gssenc_twice(self):
        with self.proxy.tcp() as s:
            s.sendall(haproxy.GSSENC_REQUEST)
            self.assertEqual(s.recv(10), b"N")
            s.sendall(haproxy.GSSENC_REQUEST)
            self.assertEqual(haproxy.error_fields(haproxy.read_to_end(s))["C"], "08P01")

    def test_ssl_twice(self):
        self.assertEqual(self.refused(haproxy.SSL_REQUEST, haproxy.SSL_REQUEST, pause=0.2), b"S")

    def test_direct_tls(self):
        context = self.proxy.tls_context()
        context.set_alpn_protocols(["postgresql"])
        tls = context.wrap_socket(self.proxy.tcp(), server_hostname="localhost")
        self.assertEqual(tls.selected_alpn_protocol(), "postgresql")
        _, (_, args) = self.passes(tls)
        self.assertEqual(args["alpn"], "postgresql")

    def test_direct_tls_without_alpn(self):
        for protocols in ([], ["http/1.1", "h2"]):
            context = self.proxy.tls_context()
            if protocols:
                context.set_alpn_protocols(protocols)
            with self.proxy.tcp() as s, self.assertRaises((ssl.SSLError, ConnectionResetError)):
                context.wrap_socket(s, server_hostname="localhost")
        self.assertEqual(self.door.sessions, [])

    def test_plaintext_behind_sslrequest(self):
        answer = self.refused(haproxy.SSL_REQUEST + haproxy.STARTUP)
        self.assertEqual(haproxy.error_fields(answer)["C"], "08P01")
        answer = self.refused(haproxy.SSL_REQUEST, haproxy.STARTUP, pause=0.2)
        self.assertEqual(answer, b"S")

    def test_plaintext_behind_gssencrequest(self):
        answer = self.refused(haproxy.GSSENC_REQUEST + haproxy.SSL_REQUEST)
        self.assertEqual(haproxy.error_fields(answer)["C"], "08P01")

    def test_plaintext_startup(self):
        for first in (haproxy.STARTUP, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\xff" * 8, b"\0" * 8, struct.pack(">II", 9, 80877103) + b"x",
                      struct.pack(">II", 17, 80877102) + b"x" * 9):
            fields = haproxy.error_fields(self.refused(first))
            self.assertEqual((fields["S"], fields["V"], fields["C"]), ("FATAL", "FATAL", "28000"))
            self.assertEqual(fields["M"], "TLS is required (sslmode=require)")

    def test_short_and_closed(self):
        for n in range(8):
            with self.proxy.tcp() as s:
                s.sendall(haproxy.SSL_REQUEST[:n])
                s.shutdown(socket.SHUT_WR)
                self.assertEqual(haproxy.read_to_end(s), b"")

    def test_cancel(self):
        with self.proxy.tcp() as s:
            s.sendall(CANCEL)
            self.assertEqual(haproxy.read_to_end(s), b"")
        self.assertEqual(self.agent.messages, [("cancel", {"key": CANCEL, "src": "127.0.0.1"})])
        self.assertEqual(self.door.sessions, [])

    def test_cancel_with_more_behind(self):
        self.assertEqual(self.refused(CANCEL + b"x"), b"")
        self.assertEqual(self.agent.messages, [])

    def test_zz_cancels_are_limited(self):
        for _ in range(40):
            with self.proxy.tcp() as s:
                s.sendall(CANCEL)
                self.assertEqual(haproxy.read_to_end(s), b"")
        self.assertIn(len(self.agent.messages), range(1, 11))

    def test_large_and_both_ways(self):
        blob = haproxy.STARTUP + bytes(range(256)) * 4096
        with self.proxy.tls() as tls:
            tls.sendall(blob)
            self.assertEqual(self.door.wait_bytes(len(blob)), len(blob))
        self.assertEqual(self.door.sessions[-1]["data"], blob)


if __name__ == "__main__":
    unittest.main()
