"""The doors of the real daemon, opened by somebody else: as another user, with a ticket that is forged, used, expired or from another source,
with a PROXY header of one's own. What PostgreSQL's log and the record hold is the witness: nothing came through.

Where a case has to get past SO_PEERCRED it connects as HAProxy's user does, so that the ticket alone is on trial.
"""
import ipaddress
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import unittest

import haproxy
import pgraw
import spop
import stack

CONNECT = """import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
socket.send_fds(socket.socket(fileno=0), [b"x"], [s.fileno()])"""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
UNIQUE_ID = 0x05


def as_user(user, *command):
    return (["runuser", "-u", user, "--"] if os.getuid() == 0 else ["sudo", "-u", user, "--"]) + list(command)


def connect_as(user, path):
    """A connection whose SO_PEERCRED is that user's: a process of that user makes it and hands it over. PermissionError when it may not."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(as_user(user, "/usr/bin/python3", "-c", CONNECT, path), stdin=theirs, stderr=subprocess.PIPE, text=True, cwd="/")
        if done.returncode != 0:
            raise PermissionError(done.stderr) if "PermissionError" in done.stderr else OSError(done.stderr)
        s = socket.socket(fileno=socket.recv_fds(ours, 1, 1)[1][0])
    s.settimeout(30)
    return s


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def proxy_v2(src="192.0.2.7", port=4711, tlvs=b"", command=1):
    """doc/proxy-protocol.txt, section 2.2."""
    address = ipaddress.ip_address(src)
    size = 4 if address.version == 4 else 16
    body = address.packed + bytes(size) + struct.pack(">HH", port, 5432) + tlvs
    return SIGNATURE + bytes([0x20 | command, 0x11 if size == 4 else 0x21]) + struct.pack(">H", len(body)) + body


class Doors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack()
        cls.addClassCleanup(cls.stack.close)
        cls.folder = os.path.join(cls.stack.dir, "jail", "gatehouse")
        cls.token = cls.stack.token("tester")

    def setUp(self):
        self.before = self.witnesses()

    def witnesses(self):
        """What has come through until now: statements at the server, sessions on record, failed logins on record."""
        return (self.stack.log("postgresql").count("at-the-door"), len(self.stack.stream("gatehouse:sessions")),
                len(self.stack.stream("gatehouse:auth")))

    def door(self, name, user="haproxy"):
        s = connect_as(user, os.path.join(self.folder, name))
        self.addCleanup(s.close)
        return s

    def notify(self, **change):
        """Asks the SPOP door as HAProxy does; gives the variables that the ACK sets."""
        args = dict(src=ipaddress.ip_address("192.0.2.7"), src_port=4711, sni="localhost", alpn=None, cert=None, verify=0, engine="postgresql",
                    listener="gh_pg_tls", **change.pop("more", {}))
        args.update(change)
        with self.door("spop.sock") as s:
            hello = spop.put_string("supported-versions") + spop.put_value("2.0")
            hello += spop.put_string("max-frame-size") + spop.put_value(16380)
            hello += spop.put_string("capabilities") + spop.put_value("pipelining")
            s.sendall(spop.frame(spop.HAPROXY_HELLO, 0, 0, hello))
            self.assertEqual(self.frame(s)[0], spop.AGENT_HELLO)
            body = spop.put_string("session") + bytes([len(args)])
            for name, value in args.items():
                if isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
                    value = bytes([6 if value.version == 4 else 7]) + value.packed
                else:
                    value = spop.put_value(value)
                body += spop.put_string(name) + value
            s.sendall(spop.frame(spop.NOTIFY, 0, 1, body))
            ack = self.frame(s)
        self.assertEqual(ack[0], spop.ACK)
        _, i = spop.get_varint(ack, 5)
        _, i = spop.get_varint(ack, i)
        out = {}
        while i < len(ack):
            name, i = spop.get_string(ack, i + 3)
            out[name.decode()], i = spop.get_value(ack, i)
        return out

    @staticmethod
    def frame(s):
        return spop.read_exactly(s, struct.unpack(">I", spop.read_exactly(s, 4))[0])

    def ticket(self, **change):
        answer = self.notify(**change)
        self.assertEqual(answer["verdict"], "allow")
        return answer["ticket"].encode()

    def talk(self, header, user="haproxy"):
        """Sends header, startup, token and a statement in one piece; gives everything that comes back."""
        startup = pgraw.startup([("user", "who"), ("database", "shop")])
        password = pgraw.message("p", pgraw.cstr(self.token))
        with self.door("payload.sock", user) as s:
            try:
                s.sendall(header + startup + password + pgraw.query("SELECT 'at-the-door'") + pgraw.TERMINATE)
            except BrokenPipeError:
                pass
            return haproxy.read_to_end(s)

    def closed(self, header, user="haproxy"):
        self.assertEqual(self.talk(header, user), b"")

    def passes(self, header):
        self.assertIn(b"at-the-door", self.talk(header))
        now = self.witnesses()
        self.assertEqual(now[0], self.before[0] + 1)
        self.before = now

    def nothing_came_through(self):
        now = self.witnesses()
        self.assertEqual((now[0], now[2]), (self.before[0], self.before[2]))
        sessions = self.stack.stream("gatehouse:sessions")[self.before[1]:]
        self.assertEqual([e for e in sessions if e["type"] == "session.open"], [])

    def test_the_test_itself(self):
        """A good ticket opens the door to just these bytes."""
        self.passes(proxy_v2(tlvs=tlv(UNIQUE_ID, self.ticket())))
        self.passes(proxy_v2("2001:db8::7", 99, tlv(UNIQUE_ID, self.ticket(src=ipaddress.ip_address("2001:db8::7"), src_port=99))))

    def test_forged(self):
        good = self.ticket()
        fields = good.split(b".")
        self.assertEqual(len(fields), 6, good)
        sid, expiry, mac = fields[1], fields[2], fields[5]
        later = b"%016x" % (int(expiry, 16) + 3_600_000)
        refused = self.notify(engine="oracle")
        self.assertEqual(refused["verdict"], "refuse")
        turned = refused["ticket"].encode().split(b".")
        self.assertEqual(turned[3], b"r")
        cases = {
            "made up": b"t" * 100,
            "empty": b"",
            "the greatest length": b"A" * 128,
            "longer than it may be": b"A" * 200,
            "not text": bytes(range(128)),
            "ends with a NUL": good + b"\0",
            "its end cut off": good[:-1],
            "another MAC": b".".join([*fields[:5], bytes([mac[0] ^ 1]) + mac[1:]]),
            "no MAC": b".".join([*fields[:5], b""]),
            "a MAC of zeroes": b".".join([*fields[:5], b"A" * len(mac)]),
            "good for longer": b".".join([fields[0], sid, later, *fields[3:]]),
            "another session": b".".join([fields[0], sid[:-1] + (b"0" if sid[-1:] != b"0" else b"1"), *fields[2:]]),
            "another version": b"2" + good[1:],
            "refused, made allowed": b".".join([*turned[:3], b"a", b"", turned[5]]),
            "the verdict turned alone": b".".join([*turned[:3], b"a", *turned[4:]]),
            "for the other protocol": b".".join([*fields[:3], b"A", *fields[4:]]),
        }
        for name, text in cases.items():
            with self.subTest(name):
                self.closed(proxy_v2(tlvs=tlv(UNIQUE_ID, text)))
        self.nothing_came_through()
        self.passes(proxy_v2(tlvs=tlv(UNIQUE_ID, good)))  # a forgery does not use up what it was made from

    def test_certificates(self):
        """A message that says that a certificate was bad, or holds none that can be read, is no message without one."""
        good = subprocess.run(["openssl", "x509", "-in", f"{self.stack.dir}/tls/edge.crt", "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout
        for cert, verify, verdict in ((b"", 0, "allow"), (good, 0, "allow"), (good, 1, "refuse"), (good, None, "refuse"), (good[:-1], 0, "refuse"),
                                      (good + b"x", 0, "refuse"), (bytes(2000), 0, "refuse"), (7, 0, "refuse")):
            with self.subTest(cert=repr(cert)[:9], verify=verify):
                answer = self.notify(cert=cert, verify=verify)
                self.assertEqual(answer["verdict"], verdict)
                self.assertEqual(answer["reason"], "" if verdict == "allow" else "certificate")
        # The ticket says that there was one: it is good for nothing where nobody knows which.
        ticket = self.ticket(cert=good)
        self.assertEqual(ticket.split(b".")[3], b"c")
        forged = ticket.replace(b".c.", b".a.")
        self.closed(proxy_v2(tlvs=tlv(UNIQUE_ID, forged)))
        self.passes(proxy_v2(tlvs=tlv(UNIQUE_ID, ticket)))

    def test_refused_is_answered_and_goes_no_further(self):
        answer = self.talk(proxy_v2(tlvs=tlv(UNIQUE_ID, self.notify(engine="oracle")["ticket"].encode())))
        self.assertEqual(haproxy.error_fields(answer)["C"], "28000")
        self.nothing_came_through()

    def test_replayed(self):
        header = proxy_v2(tlvs=tlv(UNIQUE_ID, self.ticket()))
        self.passes(header)
        for _ in range(3):
            self.closed(header)
        self.nothing_came_through()

    def test_replayed_at_once(self):
        """Of many that come with one ticket at the same time, one is let in."""
        header = proxy_v2(tlvs=tlv(UNIQUE_ID, self.ticket()))
        sockets = [self.door("payload.sock") for _ in range(8)]
        start, answers = threading.Barrier(len(sockets)), []

        def go(s):
            start.wait()
            s.sendall(header + pgraw.startup([("user", "who"), ("database", "shop")]))
            s.settimeout(3)
            try:
                answers.append(s.recv(100))
            except ConnectionResetError:
                answers.append(b"")

        threads = [threading.Thread(target=go, args=(s,)) for s in sockets]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(a[:1] for a in answers), [b""] * 7 + [b"R"])

    def test_from_another_source(self):
        for header_of in (lambda t: proxy_v2("192.0.2.8", 4711, t), lambda t: proxy_v2("192.0.2.7", 4712, t),
                          lambda t: proxy_v2("::ffff:192.0.2.8", 4711, t), lambda t: proxy_v2("2001:db8::7", 4711, t)):
            self.closed(header_of(tlv(UNIQUE_ID, self.ticket())))
        self.nothing_came_through()
        self.passes(proxy_v2("::ffff:192.0.2.7", 4711, tlv(UNIQUE_ID, self.ticket())))  # the same source in IPv6's clothes

    def test_expired(self):
        path = self.stack.env["GH_CONFIG"]
        with open(path) as f:
            before = f.read()

        def reload(text):
            with open(path, "w") as f:
                f.write(text)
            done = self.stack.log("gatehouse").count("event=reload ")
            self.stack.signal("gatehouse", signal.SIGHUP)
            stack.wait_until("the reload", lambda: self.stack.log("gatehouse").count("event=reload ") > done)

        reload(before + "\nticket_ttl: 500ms\n")
        try:
            header = proxy_v2(tlvs=tlv(UNIQUE_ID, self.ticket()))
            threading.Event().wait(1)
            self.closed(header)
            self.assertRegex(self.stack.log("gatehouse"), 'event=payload.refused .*detail="?expired')
        finally:
            reload(before)
        self.nothing_came_through()

    def test_of_an_earlier_daemon(self):
        header = proxy_v2(tlvs=tlv(UNIQUE_ID, self.ticket()))
        self.stack.kill("gatehouse")
        self.stack.start("gatehouse")
        self.before = self.witnesses()
        self.closed(header)
        self.nothing_came_through()

    def test_headers_of_ones_own(self):
        t = tlv(UNIQUE_ID, self.ticket())
        good = proxy_v2(tlvs=t)
        cases = {
            "none": b"",
            "without a ticket": proxy_v2(),
            "LOCAL": proxy_v2(tlvs=t, command=0),
            "an unknown command": proxy_v2(tlvs=t, command=2),
            "version 1": b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 5432\r\n",
            "version 1 before a good one": b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 5432\r\n" + good,
            "version 3": good[:12] + b"\x31" + good[13:],
            "no address": SIGNATURE + b"\x21\x00" + struct.pack(">H", len(t)) + t,
            "a Unix address": SIGNATURE + b"\x21\x31" + struct.pack(">H", 216 + len(t)) + bytes(216) + t,
            "UDP": good[:13] + b"\x12" + good[14:],
            "two tickets, the good one first": proxy_v2(tlvs=t + tlv(UNIQUE_ID, b"t" * 100)),
            "two tickets, the good one last": proxy_v2(tlvs=tlv(UNIQUE_ID, b"t" * 100) + t),
            "the same ticket twice": proxy_v2(tlvs=t + t),
            "a field past the end": proxy_v2(tlvs=t + b"\x05\xff\xff"),
            "a length that ends in the ticket": good[:14] + struct.pack(">H", len(good) - 16 - 5) + good[16:],
            "a wrong checksum": proxy_v2(tlvs=tlv(0x03, b"\1\2\3\4") + t),
            "the ticket in another field": proxy_v2(tlvs=tlv(0x02, t[3:]) + tlv(0xE0, t[3:])),
            "the ticket inside another field": proxy_v2(tlvs=tlv(0x04, t)),
        }
        for name, header in cases.items():
            with self.subTest(name):
                self.closed(header)
        self.nothing_came_through()
        self.passes(good)

    def test_two_headers(self):
        """Behind the header that admits, everything is the client's: a second header is no header."""
        first, second = self.ticket(), self.ticket(src=ipaddress.ip_address("198.51.100.1"))
        answer = self.talk(proxy_v2(tlvs=tlv(UNIQUE_ID, first)) + proxy_v2("198.51.100.1", 4711, tlv(UNIQUE_ID, second)))
        self.assertIn(answer[:1], (b"", b"E"))
        self.assertNotIn(b"at-the-door", answer)
        self.nothing_came_through()
        self.passes(proxy_v2("198.51.100.1", 4711, tlv(UNIQUE_ID, second)))  # it was not even looked at

    def test_client_sends_a_header(self):
        """At the edge before its own bytes, and inside TLS, where HAProxy's own header is in front already."""
        for header in (b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 5432\r\n", proxy_v2(tlvs=tlv(UNIQUE_ID, self.ticket())), proxy_v2(command=0)):
            with socket.create_connection((self.stack.host, self.stack.port), 20) as s:
                s.sendall(header + pgraw.SSL_REQUEST)
                self.assertEqual(haproxy.error_fields(haproxy.read_to_end(s))["C"], "28000")
            client = pgraw.RawClient.gate(self.stack)  # the same client gets in without
            client.close()
            self.before = self.witnesses()
            raw = socket.create_connection((self.stack.host, self.stack.port), 20)
            raw.sendall(pgraw.SSL_REQUEST)
            self.assertEqual(raw.recv(1), b"S")
            with ssl.create_default_context(cafile=self.stack.env["GH_CA"]).wrap_socket(raw, server_hostname=self.stack.host) as tls:
                tls.sendall(header + pgraw.startup([("user", "who"), ("database", "shop")]) + pgraw.message("p", pgraw.cstr(self.token)) +
                            pgraw.query("SELECT 'at-the-door'"))
                self.assertNotIn(b"at-the-door", haproxy.read_to_end(tls))
            self.assertEqual((self.witnesses()[0], self.witnesses()[2]), (self.before[0], self.before[2]))

    def test_tls_socket(self):
        """Behind the edge: HAProxy wants a PROXY header there, and a ticket that comes in such a header goes no further: each session gets its own."""
        context = ssl.create_default_context(cafile=self.stack.env["GH_CA"])
        asked = self.stack.log("haproxy").count(" gh=allow ")
        with self.door("pg-tls.sock") as s, self.assertRaises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(s, server_hostname="localhost")
        self.assertEqual(self.stack.log("haproxy").count(" gh=allow "), asked)
        header = proxy_v2(tlvs=tlv(UNIQUE_ID, self.ticket()))

        def ask():
            with self.door("pg-tls.sock") as s:
                s.sendall(header)
                with context.wrap_socket(s, server_hostname="localhost") as tls:
                    tls.sendall(pgraw.startup([("user", "who"), ("database", "shop")]) + pgraw.message("p", pgraw.cstr("no token")) +
                                pgraw.query("SELECT 'at-the-door'"))
                    return haproxy.read_to_end(tls)
        answer = stack.wait_until("an answer (a reset may overtake it, because more was sent)", ask)
        self.assertIn(b"28P01", answer)
        self.assertNotIn(b"at-the-door", answer)
        self.passes(header)

    def test_opened_by_another_user(self):
        """Mode 600 keeps others out; whom it lets in all the same (root), SO_PEERCRED turns away before a byte is read."""
        for name in ("spop.sock", "payload.sock", "pg-tls.sock"):
            path = os.path.join(self.folder, name)
            mode = os.stat(path)
            self.assertEqual((oct(mode.st_mode & 0o777), mode.st_uid), ("0o600", haproxy.haproxy_owner()[0]), name)
            with self.assertRaises(PermissionError):
                connect_as("nobody", path)
        refused = self.stack.log("gatehouse").count("event=door.peer_refused ")
        self.closed(proxy_v2(tlvs=tlv(UNIQUE_ID, self.ticket())), user="root")
        with self.door("spop.sock", "root") as s:
            try:
                s.sendall(spop.frame(spop.HAPROXY_HELLO, 0, 0, b""))
            except BrokenPipeError:
                pass
            self.assertEqual(haproxy.read_to_end(s), b"")
        self.assertEqual(self.stack.log("gatehouse").count("event=door.peer_refused "), refused + 2)
        self.nothing_came_through()

    def test_asked_without_a_source(self):
        """The SPOP door gives no ticket to who names no source: it would be good from everywhere."""
        for change in ({"src": None}, {"src": "192.0.2.7"}, {"src_port": None}, {"src_port": 65536}, {"src_port": "4711"}):
            self.assertEqual(self.notify(**change), {}, change)

    def test_zz_certificate_that_another_daemon_was_shown(self):
        """It stays behind in an upgrade, and without it nobody is let in, as if there had been none. (The last one: the stack has another daemon then.)"""
        good = subprocess.run(["openssl", "x509", "-in", f"{self.stack.dir}/tls/edge.crt", "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout
        with_one, without = self.ticket(cert=good), self.ticket()
        self.stack.upgrade()
        answer = self.talk(proxy_v2(tlvs=tlv(UNIQUE_ID, with_one)))
        self.assertEqual(haproxy.error_fields(answer)["C"], "57P03")
        self.passes(proxy_v2(tlvs=tlv(UNIQUE_ID, without)))


if __name__ == "__main__":
    unittest.main()
