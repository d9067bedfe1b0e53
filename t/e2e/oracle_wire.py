"""Conversations in PostgreSQL's protocol as bytes, and what of their answers must be equal.

A conversation is a list of units, each of which ends with one ReadyForQuery; two connections get the same one, many at a time."""
import select
import ssl
import struct

import pgraw

FIELDS = {"S": "severity", "C": "sqlstate", "M": "message", "D": "detail", "H": "hint"}


class Line:
    """One connection through the gate that is written and read without waiting."""

    def __init__(self, stack, database, group, token):
        self.name = database.encode()
        self.client = pgraw.RawClient.tls(stack)
        self.client.send(pgraw.startup([("user", group), ("database", database), ("client_encoding", "UTF8")]))
        self.client.login(lambda: token)
        self.client.sock.settimeout(60)
        for sql in ("SET statement_timeout = '500ms'", "SET client_min_messages = notice"):
            self.client.run(pgraw.query(sql))
        self.client.sock.setblocking(False)
        self.out, self.data, self.at, self.ready = b"", bytearray(), 0, []

    def close(self):
        self.client.close()

    def put(self, data):
        self.out += data

    def work(self):
        """Writes and reads what is possible. True when it has done something."""
        did = False
        try:
            if self.out:
                n = self.client.sock.send(self.out[:65536])
                self.out, did = self.out[n:], n > 0
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        try:
            while True:
                piece = self.client.sock.recv(262144)
                if not piece:
                    raise pgraw.Closed(bytes(self.data[-300:]))
                self.data += piece
                did = True
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        return did

    def units(self):
        """Takes the units that have ended: lists of messages."""
        out, data, at, current = [], self.data, 0, self.ready
        while len(data) - at >= 5:
            size = struct.unpack_from(">I", data, at + 1)[0] + 1
            if len(data) - at < size:
                break
            message = bytes(data[at:at + size])
            at += size
            current.append(message)
            if message[0] == 0x5A:
                out.append(current)
                current = []
        self.ready = current
        del data[:at]
        return out


def exchange(lines, conversations):
    """Sends the conversations (lists of units as bytes) to all lines at once; gives for each line and each conversation the list of answered units."""
    want = sum(len(c) for c in conversations)
    for line in lines:
        line.put(b"".join(b"".join(c) for c in conversations))
    got = [[] for _ in lines]
    while any(len(g) < want for g in got):
        if not any([line.work() for line in lines]):
            select.select([line.client.sock for line in lines], [line.client.sock for line in lines if line.out], [], 1)
        for line, g in zip(lines, got):
            g += line.units()
    out = []
    for g in got:
        at, answers = 0, []
        for c in conversations:
            answers.append(g[at:at + len(c)])
            at += len(c)
        out.append(answers)
    return out


def same(name, unit, ordered, limited=False):
    """A unit as it is compared: rows are sorted unless their order is the statement's, notices too; the database's name is left out. limited: only how many rows there are counts."""
    unit = [m.replace(name, b"DATABASE") if name in m else m for m in unit]
    # an error's length changes with that name
    unit = [m[:1] + m[5:] for m in unit]
    unit = [b"d" + m[20:] if m.startswith(b"dPGCOPY\n\xff\r\n\0") else m for m in unit]  # COPY's binary header is in one message with the first row
    notices = sorted(m for m in unit if m[:1] == b"N")
    rest = [m for m in unit if m[:1] != b"N"]
    if ordered:
        return rest, notices
    rows = sorted(m for m in rest if m[:1] in b"Dd")
    return len(rows) if limited else rows, [m for m in rest if m[:1] not in b"Dd"], notices


def error_of(answer):
    """The first error of a conversation, as a dictionary of fields, or None."""
    for unit in answer:
        for m in unit:
            if m[:1] == b"E":
                return pgraw.error_fields(m[5:])
    return None


def count_rows(answer):
    return sum(m[:1] in b"Dd" for unit in answer for m in unit)


def show(answer):
    return "\n    ".join(" ".join(repr(m[:1] + m[5:])[2:-1][:400] for m in unit[:12]) + (f" and {len(unit) - 12} more" if len(unit) > 12 else "") for unit in answer)
