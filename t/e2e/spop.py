"""A SPOE agent and a payload door to test HAProxy's configuration against, without the daemon.

The agent speaks SPOP 2.0 (HAProxy's doc/SPOE.txt, section 3) just far enough: HELLO, NOTIFY, ACK, DISCONNECT. How it answers is a
function that the test gives, so it can also be wrong in every way that a test needs.
"""
import ipaddress
import os
import socket
import struct
import subprocess
import threading

HAPROXY_HELLO, HAPROXY_DISCONNECT, NOTIFY, AGENT_HELLO, AGENT_DISCONNECT, ACK = 1, 2, 3, 101, 102, 103
FIN = 1
SILENT = object()  # a behaviour may return it: no answer at all


def put_varint(n):
    if n < 240:
        return bytes([n])
    out = bytearray([(n & 0xFF) | 240])
    n = (n - 240) >> 4
    while n >= 128:
        out.append((n & 0xFF) | 128)
        n = (n - 128) >> 7
    out.append(n)
    return bytes(out)


def get_varint(b, i):
    n = b[i]
    i += 1
    if n < 240:
        return n, i
    shift = 4
    while True:
        n += b[i] << shift
        i += 1
        if b[i - 1] < 128:
            return n, i
        shift += 7


def put_string(s):
    s = s if isinstance(s, bytes) else s.encode()
    return put_varint(len(s)) + s


def get_string(b, i):
    n, i = get_varint(b, i)
    return b[i:i + n], i + n


def put_value(v):
    if v is None:
        return b"\x00"
    if isinstance(v, int):
        return b"\x03" + put_varint(v)
    return (b"\x09" if isinstance(v, bytes) else b"\x08") + put_string(v)


def get_value(b, i):
    kind, flags = b[i] & 15, b[i] >> 4
    i += 1
    if kind == 0:
        return None, i
    if kind == 1:
        return bool(flags & 1), i
    if kind in (2, 3, 4, 5):
        return get_varint(b, i)
    if kind == 6:
        return str(ipaddress.IPv4Address(b[i:i + 4])), i + 4
    if kind == 7:
        return str(ipaddress.IPv6Address(b[i:i + 16])), i + 16
    s, i = get_string(b, i)
    return (s.decode() if kind == 8 else s), i


def frame(kind, stream, ident, payload):
    body = bytes([kind]) + struct.pack(">I", FIN) + put_varint(stream) + put_varint(ident) + payload
    return struct.pack(">I", len(body)) + body


def set_vars(**values):
    """The payload of an ACK that sets these variables in the transaction's scope."""
    out = b""
    for name, value in values.items():
        out += b"\x01\x03\x02" + put_string(name) + put_value(value)
    return out


def read_exactly(conn, n):
    out = b""
    while len(out) < n:
        piece = conn.recv(n - len(out))
        if not piece:
            raise EOFError
        out += piece
    return out


class Server:
    """Accepts on a Unix socket that HAProxy's user may connect to; a thread for each connection."""

    def __init__(self, path, owner=None):
        self.path = path
        self.open = set()
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o600)
        if owner is not None:
            as_root = [] if os.getuid() == 0 else ["sudo", "--"]
            subprocess.run([*as_root, "chown", "%d:%d" % owner, path], check=True)
        self.listener.listen(64)
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.open.add(conn)
            threading.Thread(target=self._run, args=(conn,), daemon=True).start()

    def _run(self, conn):
        try:
            self.serve(conn)
        except (EOFError, OSError):
            pass
        finally:
            conn.close()
            with self.lock:
                self.open.discard(conn)

    def serve(self, conn):
        raise NotImplementedError

    def close(self):
        # The thread has to be out of accept() before the descriptor is closed: it would go on with whoever gets the same number next.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join()
        self.listener.close()
        if os.path.exists(self.path):
            os.unlink(self.path)
        with self.lock:
            for conn in self.open:
                try:
                    conn.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Agent(Server):
    """behaviour(message, args) gives the payload of the ACK, or SILENT; raising EOFError hangs up."""

    def __init__(self, path, behaviour, owner=None, hello=True):
        self.behaviour = behaviour
        self.hello = hello
        self.messages = []
        super().__init__(path, owner)

    def serve(self, conn):
        while True:
            body = read_exactly(conn, struct.unpack(">I", read_exactly(conn, 4))[0])
            kind = body[0]
            stream, i = get_varint(body, 5)
            ident, i = get_varint(body, i)
            if kind == HAPROXY_HELLO:
                keys = {}
                while i < len(body):
                    name, i = get_string(body, i)
                    keys[name], i = get_value(body, i)
                if not self.hello:
                    continue
                answer = put_string("version") + put_value("2.0")
                answer += put_string("max-frame-size") + put_value(min(keys[b"max-frame-size"], 16380))
                answer += put_string("capabilities") + put_value("pipelining")
                conn.sendall(frame(AGENT_HELLO, 0, 0, answer))
                if keys.get(b"healthcheck"):
                    return
            elif kind == NOTIFY:
                name, i = get_string(body, i)
                args, left = {}, body[i]
                i += 1
                for _ in range(left):
                    key, i = get_string(body, i)
                    args[key.decode()], i = get_value(body, i)
                self.messages.append((name.decode(), args))
                answer = self.behaviour(name.decode(), args)
                if answer is not SILENT:
                    conn.sendall(frame(ACK, stream, ident, answer))
            elif kind == HAPROXY_DISCONNECT:
                conn.sendall(frame(AGENT_DISCONNECT, 0, 0, put_string("status-code") + put_value(0) + put_string("message") + put_value("bye")))
                return


class PayloadDoor(Server):
    """Keeps what arrives: for each connection the PROXY v2 header and the bytes behind it; answers with `answer`."""

    def __init__(self, path, owner=None, answer=b""):
        self.answer = answer
        self.sessions = []
        self.arrived = threading.Condition()
        super().__init__(path, owner)

    def serve(self, conn):
        head = read_exactly(conn, 16)
        rest = read_exactly(conn, struct.unpack(">H", head[14:16])[0])
        session = dict(parse_proxy_v2(head, rest), data=b"")
        with self.arrived:
            self.sessions.append(session)
        while True:
            piece = conn.recv(65536)
            if not piece:
                return
            with self.arrived:
                session["data"] += piece
                self.arrived.notify_all()
            if self.answer:
                conn.sendall(self.answer)

    def wait_bytes(self, n, timeout=10):
        with self.arrived:
            self.arrived.wait_for(lambda: self.bytes_seen() >= n, timeout)
            return self.bytes_seen()

    def bytes_seen(self):
        return sum(len(s["data"]) for s in self.sessions)


def parse_proxy_v2(head, rest):
    """doc/proxy-protocol.txt, section 2.2."""
    assert head[:12] == b"\r\n\r\n\0\r\nQUIT\n", head
    out = {"command": head[12] & 15, "tlv": {}}
    size = {0x11: 12, 0x21: 36}.get(head[13], 0)
    if size == 12:
        out["src"], out["src_port"] = str(ipaddress.IPv4Address(rest[0:4])), struct.unpack(">H", rest[8:10])[0]
    elif size == 36:
        out["src"], out["src_port"] = str(ipaddress.IPv6Address(rest[0:16])), struct.unpack(">H", rest[32:34])[0]
    i = size
    while i + 3 <= len(rest):
        kind, n = rest[i], struct.unpack(">H", rest[i + 1:i + 3])[0]
        out["tlv"][kind] = rest[i + 3:i + 3 + n]
        i += 3 + n
    return out
