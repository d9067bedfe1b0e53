"""A server for an ordinary client (psql, pg_dump, an ORM) that sends each of its messages three ways: through the gate, straight to a server,
and straight to a third one; compares every byte of the answers; and gives the client the direct answer.

What the gate refuses does not run on the direct side. Whether it was the gate that refused is told by its record: the journal's event
"statement" with the verdict "deny". In its place the direct side gets a message that fails, so that transactions end alike.
"""
import collections
import json
import os
import queue
import re
import socket
import ssl
import struct
import threading
import time

import pgraw

FROM_CLIENT = re.compile(r"(?is)\bcopy\b.*\bfrom\s+(stdin|stdout)\b")
MISSING = "no such portal"
ERROR_NAMES = ("S", "V", "C", "M", "D", "H", "P", "p", "q", "W", "s", "t", "c", "d", "n", "F", "L", "R")


class Journal:
    """Events of the daemon's journal, by session."""

    def __init__(self, folder):
        self.folder, self.file, self.rest, self.lock = folder, None, b"", threading.Lock()
        self.sessions = collections.defaultdict(collections.deque)
        self.logins = {}  # a client's port: its session

    def _read(self):
        names = sorted(n for n in os.listdir(self.folder) if n.startswith("journal-"))
        if self.file is None:
            self.at, self.file = names[0], open(os.path.join(self.folder, names[0]), "rb")
        data = self.file.read()
        while not data and names.index(self.at) + 1 < len(names):
            self.at = names[names.index(self.at) + 1]
            self.file.close()
            self.file = open(os.path.join(self.folder, self.at), "rb")
            data = self.file.read()
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            event = json.loads(line.split(b" ", 2)[2])
            fields = dict(event["fields"])
            if fields["type"] == "statement":
                self.sessions[event["session"]].append(fields)
            elif fields["type"] == "session.open" and event["stream"] == "audit":
                self.logins[int(fields["src_port"])] = event["session"]

    def wait(self, take, seconds=20):
        """What take() gives, as soon as it is not None."""
        end = time.monotonic() + seconds
        while True:
            with self.lock:
                self._read()
                found = take()
            if found is not None or time.monotonic() > end:
                return found
            time.sleep(0.001)

    def login(self, port):
        """The session of the client with this port."""
        return self.wait(lambda: self.logins.pop(port, None))

    def refusal(self, session):
        """The next statement that was refused; forgets those before it."""
        def take():
            events = self.sessions[session]
            while events:
                e = events.popleft()
                if e["verdict"] == "deny":
                    return e
            return None
        return self.wait(take)


class Leg:
    """One connection to a server."""

    def __init__(self, client):
        self.client, self.buffer, self.at = client, bytearray(client.pending), 0
        self.parameters = client.parameters

    def send(self, data):
        self.client.sock.sendall(data)

    def read(self):
        """The next message, whole."""
        while True:
            have = len(self.buffer) - self.at
            if have >= 5:
                size = int.from_bytes(self.buffer[self.at + 1:self.at + 5], "big") + 1
                if have >= size:
                    out = bytes(self.buffer[self.at:self.at + size])
                    self.at += size
                    if self.at == len(self.buffer):
                        self.buffer.clear()
                        self.at = 0
                    return out
            piece = self.client.sock.recv(262144)
            if not piece:
                raise pgraw.Closed()
            if self.at > 1 << 20:
                del self.buffer[:self.at]
                self.at = 0
            self.buffer += piece

    def until(self, kinds):
        out = []
        while True:
            m = self.read()
            out.append(m)
            if m[0] in kinds:
                return out

    def answers(self, messages):
        """The answers to extended messages, as far as they go: to the first error, a COPY, or the last message. (answers, index of the failed one)"""
        out = []
        for i, m in enumerate(messages):
            ends = {80: b"1", 66: b"2", 67: b"3", 68: b"Tn", 69: b"CsIGW", 83: b"Z"}[m[0]]
            while True:
                a = self.read()
                out.append(a)
                if a[0] == 69:  # ErrorResponse: the rest is skipped up to Sync
                    if messages[-1][0] == 83:
                        out += self.until(b"Z")
                    return out, i
                if a[0] in ends:
                    break
            if a[0] in b"GW":
                return out, None
        return out, None


def own_error(messages):
    """True when one is an error that the gate made: a server's names its source file and routine."""
    return any(m[0] == 69 and b"\0R" not in m[5:] for m in messages)


def strip_pids(messages):
    """The process id of a NotificationResponse is the operating system's."""
    return [m[:5] + bytes(4) + m[9:] if m[0] == 65 else m for m in messages]


def show(messages, most=12):
    out = []
    for m in messages[:most]:
        if m[0] in b"EN":
            fields = pgraw.error_fields(m[5:])
            out.append("  " + chr(m[0]) + " " + " ".join(f"{k}={fields[k]!r}" for k in fields))
        else:
            out.append(f"  {chr(m[0])} {m[5:400]!r}")
    if len(messages) > most:
        out.append(f"  ... {len(messages)} messages")
    return "\n".join(out)


def trust(stack):
    return ssl.create_default_context(cafile=stack.env["GH_CA"])


def admin(address):
    client = pgraw.RawClient(socket.create_connection(address, 60))
    client.send(pgraw.startup([("user", "postgres"), ("database", "postgres")]))
    client.login(lambda: "")
    return client


class Tee:
    """report: an object with same(text), refused(text, record, gate, direct), unstable(text, ...), different(text, ...)."""

    def __init__(self, stack, addresses):
        self.addresses = addresses
        self.front(stack)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.protocol, self.report, self.errors = "simple", None, queue.Queue()
        self.open, self.pairs = 0, {}
        threading.Thread(target=self._accept, daemon=True).start()

    def front(self, stack):
        """Which daemon the next connections go through."""
        self.stack, self.journal, self.token = stack, Journal(os.path.join(stack.dir, "etc", "journal")), stack.token("tester")
        self.tls = trust(stack)

    def _accept(self):
        while True:
            sock, _ = self.listener.accept()
            self.open += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def idle(self):
        end = time.monotonic() + 60
        while self.open and time.monotonic() < end:
            time.sleep(0.002)
        return not self.open

    def _serve(self, sock):
        pair = None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = self.pairs[sock] = Pair(self, sock)
            if pair.login():
                pair.serve()
        except (pgraw.Closed, ConnectionError) as e:
            if pair is not None and not pair.over:
                self.errors.put(f"a connection ended early: {e!r} at {pair.text!r}")
        except Exception as e:  # noqa: BLE001 - told to the main thread
            import traceback
            self.errors.put(f"{e!r} at {pair and pair.text!r}\n{traceback.format_exc()}")
        finally:
            if pair is not None:
                pair.close()
            sock.close()
            self.pairs.pop(sock, None)
            self.open -= 1

    def abort(self):
        """Ends what hangs. What it was about."""
        texts = []
        for pair in list(self.pairs.values()):
            texts.append(pair.text)
            for leg in pair.legs:
                socket.socket.shutdown(leg.client.sock, socket.SHUT_RDWR)
        return "; ".join(texts)


class Pair:
    def __init__(self, tee, sock):
        self.tee, self.sock, self.text, self.raw_text, self.over = tee, sock, "", b"", False
        self.client = pgraw.RawClient(sock)
        self.legs = []
        self.status = {}

    # --- login ---

    def startup(self):
        while True:
            self.client.need(8)
            size, code = struct.unpack(">II", self.client.pending[:8])
            self.client.need(size)
            packet, self.client.pending = self.client.pending[8:size], self.client.pending[size:]
            if code in (80877103, 80877104):  # SSLRequest, GSSENCRequest
                self.sock.sendall(b"N")
                continue
            if code == 80877102:  # CancelRequest: no workload needs it
                return None
            words = packet.split(b"\0")
            return {words[i].decode(): words[i + 1].decode() for i in range(0, len(words) - 2, 2) if words[i]}

    def direct(self, name, params):
        client = pgraw.RawClient(socket.create_connection(self.tee.addresses[name], 600))
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # As the gate does: its pins first, then what the client asked for.
        pins = {"client_encoding": "UTF8", "standard_conforming_strings": "on", "search_path": '"public"'}
        more = [(k, v) for k, v in params.items() if k.lower() not in ("user", "database", *pins)]
        client.send(pgraw.startup([("user", "postgres"), ("database", params["database"]), *pins.items(), *more]))
        client.login(lambda: "")
        return Leg(client)

    def gate(self, params):
        stack = self.tee.stack
        raw = socket.create_connection((stack.host, stack.port), 600)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(pgraw.SSL_REQUEST)
        if raw.recv(1) != b"S":
            raise pgraw.Closed("no TLS")
        client = pgraw.RawClient(self.tee.tls.wrap_socket(raw, server_hostname=stack.host))
        client.send(pgraw.startup(list(params.items())))
        client.login(lambda: self.tee.token)
        return Leg(client)

    def login(self):
        params = self.startup()
        if params is None:
            self.over = True
            return False
        params.setdefault("database", params["user"])
        # order: the one that opens last has the lowest risk of another backend id
        self.a = self.direct("direct", params)
        self.legs.append(self.a)
        self.c = self.direct("again", params)
        self.legs.append(self.c)
        self.g = self.gate(params)
        self.legs.append(self.g)
        self.session = self.tee.journal.login(self.g.client.sock.getsockname()[1])
        if self.session is None:
            raise pgraw.Closed("no login event in the journal")
        if self.g.parameters != self.a.parameters:
            self.tee.report.different("(login)", [], [], f"gate {self.g.parameters}\ndirect {self.a.parameters}")
        out = pgraw.message("R", struct.pack(">I", 0))
        for k, v in self.a.parameters.items():
            out += pgraw.message("S", pgraw.cstr(k) + pgraw.cstr(v))
        self.messages = Leg(self.client)
        self.sock.sendall(out + pgraw.message("K", struct.pack(">II", 1, 1)) + pgraw.message("Z", b"I"))
        return True

    def close(self):
        for leg in self.legs:
            try:
                leg.send(pgraw.TERMINATE)
                leg.client.sock.settimeout(20)
                while leg.client.sock.recv(65536):  # until the server has let go of the session
                    pass
            except (OSError, pgraw.Closed):
                pass
            leg.client.sock.close()

    # --- the client's messages ---

    def serve(self):
        gathered = []
        while True:
            raw = self.messages.read()
            kind, body = chr(raw[0]), raw[5:]
            if kind == "X":
                self.over = True
                return
            if kind == "Q":
                self.query(raw, body[:-1].decode(errors="replace"))
            elif kind == "F":
                self.text = "(function call)"
                self.settle(*self.exchange(raw, lambda leg: leg.until(b"Z")))
            elif kind in "PBDEC":
                gathered.append(raw)
            elif kind in "SH":
                if kind == "S":
                    gathered.append(raw)
                self.extended(gathered, raw if kind == "H" else b"")
                gathered = []
            # CopyData and its end outside of COPY: what follows an error; the server drops them too

    def exchange(self, data, read):
        self.g.send(data)
        gate = read(self.g)
        return gate, data, read

    def refused(self, gate):
        """The record when the gate refused, else None."""
        if not own_error(gate):
            return None
        if self.text == "(function call)":  # is no statement: refused by the protocol filter, without a record
            return {"reason": "the FunctionCall message", "rule": "", "sqlstate": "0A000"}
        record = self.tee.journal.refusal(self.session)
        if record is None:
            self.tee.report.different(self.text, gate, [], "the gate's own error without a record of a refusal")
            return {"reason": "no record", "rule": "", "sqlstate": ""}
        return record

    def settle(self, gate, data, read, to_client=None):
        """The direct side of one unit, after the gate's; the comparison; the client's answer."""
        record = self.refused(gate)
        if record is not None:
            direct = self.fail_alike(record)
            states = direct[-1:]
            self.tee.report.refused(self.text, record, gate, direct)
            if gate[-1][0] == 90 and states[0] != gate[-1]:
                self.tee.report.different(self.text, gate, [], f"after the refusal the transaction is {gate[-1][5:]!r}, directly {states[0][5:]!r}")
            answer = gate
        else:
            self.a.send(data)
            self.c.send(data)
            answer = self.compare(gate, read(self.a), read(self.c))
        self.sock.sendall(b"".join(answer if to_client is None else to_client(answer)))
        return answer[-1][0:1] if record is None else b"Z"

    def fail_alike(self, record):
        """In place of what was refused: a message that fails. What is no SQL should fail there in the same words, so the server parses it too, and no more."""
        poison = pgraw.describe("P", MISSING) + pgraw.SYNC
        out = None
        for leg in (self.a, self.c):
            leg.send(pgraw.parse("", self.raw_text) + pgraw.SYNC if record["sqlstate"] == "42601" else poison)
            out = leg.until(b"Z")
            if out[0][0] == 49:  # ParseComplete: its grammar is newer than our parser's
                leg.send(poison)
                out[-1] = leg.until(b"Z")[-1]
        return out

    def compare(self, gate, direct, again):
        if gate == direct or strip_pids(gate) == strip_pids(direct):
            self.tee.report.same(self.text)
        elif strip_pids(direct) != strip_pids(again) or self.tee.report.known(self.text, gate, direct):
            self.tee.report.unstable(self.text, gate, direct)
        else:
            self.tee.report.different(self.text, gate, direct)
        return direct

    def query(self, raw, text):
        self.text, self.raw_text = text, raw[5:-1]
        protocol = self.tee.protocol
        if protocol != "simple" and convertible(text):
            fmt = 1 if protocol == "binary" else 0
            unit = pgraw.parse("", self.raw_text) + pgraw.message("B", b"\0\0" + struct.pack(">HHHH", 0, 0, 1, fmt)) + pgraw.describe("P", "") + \
                pgraw.execute("")
            drop = b"12n" if fmt == 0 else b"12nTD"
            clean = lambda answer: [m for m in answer if m[0] not in drop]  # noqa: E731
            if not FROM_CLIENT.search(text):
                self.settle(*self.exchange(unit + pgraw.SYNC, lambda leg: leg.until(b"Z")), clean)
                return
            # Without a Sync before the data: whether a server drops one depends on whether COPY still takes data when it reads it.
            def ask(leg):
                answer = leg.until(b"GCE")
                if answer[-1][0] != 71:
                    leg.send(pgraw.SYNC)
                    answer += leg.until(b"Z")
                return answer
            if self.settle(*self.exchange(unit + pgraw.FLUSH, ask), clean) == b"G":
                self.copy_in(pgraw.SYNC)
            return
        last = self.settle(*self.exchange(raw, lambda leg: leg.until(b"ZGW")))
        while last == b"G":
            last = self.copy_in()

    def copy_in(self, sync=b""):
        data = []
        while not data or data[-1][0] not in b"cf":
            data.append(self.messages.read())
        data.append(self.messages.read() if sync is None else sync)  # a client in the extended protocol sends it behind CopyDone
        return self.settle(*self.exchange(b"".join(data), lambda leg: leg.until(b"ZG")))

    # --- messages of clients that speak the extended protocol themselves ---

    def extended(self, messages, flush):
        texts = [m[5:].split(b"\0", 2)[1].decode(errors="replace") for m in messages if m[0] == 80]
        self.text = "; ".join(texts) or "(messages " + "".join(chr(m[0]) for m in messages) + ")"
        data = b"".join(messages) + flush
        self.g.send(data)
        gate, failed = self.g.answers(messages)
        record = self.refused(gate)
        if record is not None:
            before, behind = messages[:failed], [] if flush else [pgraw.SYNC]
            tries = [before + [pgraw.describe("P", MISSING)] + behind]
            if record["sqlstate"] == "42601":  # the server parses it too, and no more
                tries.insert(0, before + [messages[failed]] + behind)
            for leg in (self.a, self.c):
                for sent in tries:
                    leg.send(b"".join(sent) + flush)
                    direct, stopped = leg.answers(sent)
                    if stopped is not None:
                        break
            self.tee.report.refused(self.text, record, gate, direct)
            self.sock.sendall(b"".join(gate))
            return
        self.a.send(data)
        self.c.send(data)
        direct, again = self.a.answers(messages)[0], self.c.answers(messages)[0]
        self.compare(gate, direct, again)
        self.sock.sendall(b"".join(direct))
        if direct[-1][0:1] == b"G":
            self.copy_in(None)


def convertible(text):
    """One statement, for sure."""
    body = text.strip()
    while body.endswith(";"):
        body = body[:-1].rstrip()
    return bool(body) and ";" not in body
