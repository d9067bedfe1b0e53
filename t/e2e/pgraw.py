"""PostgreSQL's protocol in single messages: for tests that send what no driver sends.

    RawClient.gate(stack, who)   through HAProxy: SSLRequest, TLS, a token as the password
    RawClient.direct(stack)      straight to the server as the superuser (SCRAM-SHA-256)
"""
import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
import urllib.parse

SSL_REQUEST = struct.pack(">II", 8, 80877103)


# What each port has sent, the first so many bytes: leaks.py looks through it.
_KEPT_MAX = 32 << 20
_kept = {}


def _keep(port, piece):
    kept = _kept.setdefault(port, bytearray())
    kept += piece[:max(0, _KEPT_MAX - len(kept))]


def received(port):
    return bytes(_kept.get(port, b""))


def message(kind, body=b""):
    return kind.encode() + struct.pack(">I", len(body) + 4) + body


def cstr(text):
    return (text.encode() if isinstance(text, str) else text) + b"\0"


def query(sql):
    return message("Q", cstr(sql))


def parse(name, sql, types=()):
    return message("P", cstr(name) + cstr(sql) + struct.pack(">H", len(types)) + b"".join(struct.pack(">I", t) for t in types))


def bind(portal, name, params=()):
    body = cstr(portal) + cstr(name) + struct.pack(">HH", 0, len(params))
    for p in params:
        body += struct.pack(">i", -1) if p is None else struct.pack(">I", len(p)) + p
    return message("B", body + struct.pack(">H", 0))


def execute(portal, rows=0):
    return message("E", cstr(portal) + struct.pack(">I", rows))


def describe(what, name):
    return message("D", what.encode() + cstr(name))


def close(what, name):
    return message("C", what.encode() + cstr(name))


SYNC, FLUSH, TERMINATE, COPY_DONE = message("S"), message("H"), message("X"), message("c")


def copy_data(data):
    return message("d", data)


def copy_fail(text):
    return message("f", cstr(text))


def startup(params, minor=0):
    body = struct.pack(">HH", 3, minor) + b"".join(cstr(k) + cstr(v) for k, v in params) + b"\0"
    return struct.pack(">I", len(body) + 4) + body


def cancel(pid, secret):
    return struct.pack(">IIII", 16, 80877102, pid, secret)


def error_fields(body):
    return {chr(f[0]): f[1:].decode(errors="replace") for f in body.rstrip(b"\0").split(b"\0")}


class Closed(Exception):
    """The peer closed the connection."""


class RawClient:
    def __init__(self, sock):
        self.sock = sock
        try:
            self.port = sock.getpeername()[1]
        except (OSError, IndexError):  # gone already, or a Unix socket
            self.port = 0
        self.pending = b""
        self.parameters = {}
        self.key = None

    @classmethod
    def tls(cls, s, timeout=20, context=None):
        """Through HAProxy as far as TLS: nothing of the protocol inside it is said yet. A context can be kept for many."""
        raw = socket.create_connection((s.host, s.port), timeout)
        raw.sendall(SSL_REQUEST)
        answer = raw.recv(1)
        if answer != b"S":
            raise Closed(answer)
        context = context or ssl.create_default_context(cafile=s.env["GH_CA"])
        return cls(context.wrap_socket(raw, server_hostname=s.host))

    @classmethod
    def gate(cls, s, who="tester", timeout=20, params=(), token=None, minor=0):
        client = cls.tls(s, timeout)
        client.send(startup([("user", who), ("database", "shop"), *params], minor))
        client.login(lambda: s.token(who) if token is None else token)
        return client

    @classmethod
    def direct(cls, s, timeout=20):
        url = urllib.parse.urlparse(s.env["GH_PG_DIRECT_URL"])
        client = cls(socket.create_connection((url.hostname, url.port), timeout))
        client.send(startup([("user", url.username), ("database", url.path[1:]), ("client_encoding", "UTF8")]))
        client.login(lambda: url.password)
        return client

    def send(self, data):
        self.sock.sendall(data)

    def need(self, n):
        while len(self.pending) < n:
            piece = self.sock.recv(65536)
            if not piece:
                raise Closed()
            _keep(self.port, piece)
            self.pending += piece

    def read(self):
        """The next message: its type and body."""
        self.need(5)
        size = struct.unpack(">I", self.pending[1:5])[0] + 1
        self.need(size)
        kind, body = chr(self.pending[0]), self.pending[5:size]
        self.pending = self.pending[size:]
        if kind == "S":
            name, value = body.rstrip(b"\0").split(b"\0") if body.count(b"\0") == 2 and not body.endswith(b"\0\0") else body.split(b"\0")[:2]
            self.parameters[name.decode()] = value.decode()
        return kind, body

    def login(self, password):
        while True:
            kind, body = self.read()
            if kind == "E":
                raise Closed(error_fields(body))
            if kind == "K":
                self.key = struct.unpack(">II", body)
            if kind == "Z":
                return
            if kind != "R":
                continue
            code = struct.unpack(">I", body[:4])[0]
            if code == 3:
                self.send(message("p", cstr(password())))
            elif code == 10:
                self.scram(password())

    def scram(self, password):
        nonce = base64.b64encode(os.urandom(18)).decode()
        bare = f"n=,r={nonce}"
        first = ("n,," + bare).encode()
        self.send(message("p", cstr("SCRAM-SHA-256") + struct.pack(">I", len(first)) + first))
        kind, body = self.read()
        assert kind == "R", (kind, body)
        server = body[4:].decode()
        fields = dict(item.split("=", 1) for item in server.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        final = "c=biws,r=" + fields["r"]
        auth = f"{bare},{server},{final}".encode()
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), auth, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.send(message("p", f"{final},p={base64.b64encode(proof).decode()}".encode()))

    def until(self, kind="Z"):
        """All messages up to and with the next one of that type."""
        out = []
        while not out or out[-1][0] != kind:
            out.append(self.read())
        return out

    def run(self, data, kind="Z"):
        self.send(data)
        return self.until(kind)

    def close(self):
        self.sock.close()
