"""Conversations of oracle_my_random.py in MySQL's protocol, packet by packet, and what of their answers must be equal."""
import re
import struct

import test_mysql as my

PREPARE, EXECUTE, CLOSE = 0x16, 0x17, 0x19
MULTI_STATEMENTS, MORE_RESULTS = 0x10000 | 0x20000, 8
TIMES = re.compile(rb'"r_[a-z_]*time_ms": [0-9.e-]+')  # of ANALYZE FORMAT=JSON, whose length they change, too
TOO_LONG = (1317, 1969, 1226)
FLOATS = {4: "<f", 5: "<d"}
FIXED = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 6: 0, 8: 8, 9: 4, 13: 2}  # bytes of a value of that type in a binary row
TIMED = (7, 10, 11, 12)  # one byte of length before these


def size_at(p, at):
    """An integer of variable length, and where it ends."""
    n = {0xfc: 2, 0xfd: 3, 0xfe: 8}.get(p[at], 0)
    return (int.from_bytes(p[at + 1:at + 1 + n], "little") if n else p[at]), at + 1 + n


def type_of(column):
    at = 0
    for _ in range(6):  # catalog, schema, tables, names
        n, at = size_at(column, at)
        at += n
    return column[size_at(column, at)[1] + 6]


def rough(x):
    return b"%.12g" % (x if abs(x) > 1e-9 else 0.0)


def text_row(p, types):
    out, at = [], 0
    for t in types:
        if p[at] == 0xfb:
            n, end = 0, at + 1
        else:
            n, end = size_at(p, at)
        value = p[end:end + n]
        out.append(rough(float(value)) if t in FLOATS and n > 0 else p[at:end] + value)
        at = end + n
    return b"".join(out) + p[at:]


def binary_row(p, types):
    nulls, at = p[1:1 + (len(types) + 9) // 8], 1 + (len(types) + 9) // 8
    out = [p[:at]]
    for i, t in enumerate(types):
        if nulls[(i + 2) // 8] >> (i + 2) % 8 & 1:
            continue
        if t in FIXED:
            end = at + FIXED[t]
        elif t in TIMED:
            end = at + 1 + p[at]
        else:
            n, end = size_at(p, at)
            end += n
        out.append(rough(struct.unpack(FLOATS[t], p[at:end])[0]) if t in FLOATS else p[at:end])
        at = end
    return b"".join(out) + p[at:]


def without_last_bits(packets, row):
    """A sum of doubles tells by its last bits in which order the rows came, which is known and left (doc/design.md, section 5): the rows with their doubles rounded."""
    if len(packets) < 3 or packets[0][0] > 250:
        return packets
    types = [type_of(p) for p in packets[1:1 + packets[0][0]]]
    if not any(t in FLOATS for t in types):
        return packets
    head = len(types) + 2
    return packets[:head] + [row(p, types) for p in packets[head:-1]] + packets[-1:]


class Line(my.Raw):
    """One connection through the gate to a database of the world's."""

    def __init__(self, stack, database, group, token):
        my.S = stack
        stack._minted[group] = token
        self.name = database.encode()
        super().__init__(database, group, MULTI_STATEMENTS)
        for sql in ("SET max_statement_time = 0.5", "SET time_zone = '+00:00'"):
            assert self.query(sql)[:1] == b"\0", sql

    def result(self):
        """The packets of one result, and whether another one follows."""
        packets = [self.packet()[1]]
        first = packets[0]
        if first[:1] == b"\xff":
            return packets, False
        if first[:1] == b"\0":
            at = 1
            for _ in range(2):  # affected rows, last id: integers of variable length
                at += {0xfc: 3, 0xfd: 4, 0xfe: 9}.get(first[at], 1)
            return packets, bool(struct.unpack_from("<H", first, at)[0] & MORE_RESULTS)
        for _ in range(first[0] + 1):  # columns, EOF
            packets.append(self.packet()[1])
        while True:
            packets.append(self.packet()[1])
            last = packets[-1]
            if last[:1] == b"\xff":
                return packets, False
            if last[:1] == b"\xfe" and len(last) < 9:
                return packets, bool(struct.unpack_from("<H", last, 3)[0] & MORE_RESULTS)

    def results(self):
        out, more = [], True
        while more:
            packets, more = self.result()
            out.append(packets)
        return out

    def run(self, step):
        """What is answered to a step: lists of packets."""
        what, text, parameters = step
        if what == "query":
            self.send(0, bytes([my.QUERY]) + text.encode())
            return [without_last_bits(r, text_row) for r in self.results()]
        self.send(0, bytes([PREPARE]) + text.encode())
        first = self.packet()[1]
        if first[:1] == b"\xff":
            return [[first]]
        ident, columns, params = struct.unpack_from("<IHH", first, 1)
        out = [[first[5:]]]  # the id differs
        for n in (params, columns):
            out[0] += [self.packet()[1] for _ in range(n + 1 if n else 0)]
        for values in parameters:
            body = struct.pack("<IBI", ident, 1 if what == "cursor" else 0, 1)
            if values:
                body += bytes((len(values) + 7) // 8) + b"\1" + b"\xfd\0" * len(values) + b"".join(bytes([len(v)]) + v.encode() for v in values)
            self.send(0, bytes([EXECUTE]) + body)
            out += [without_last_bits(r, binary_row) for r in self.results()]
        self.send(0, bytes([CLOSE]) + struct.pack("<I", ident))
        return out

    def talk(self, conversation):
        return [result for step in conversation.steps for result in self.run(step)]


def same(name, results, ordered, limited):
    """As they are compared: rows are sorted unless their order is the statement's; the database's name is left out. limited: only how many rows there are counts."""
    out = []
    for packets in results:
        packets = [TIMES.sub(b"TIME", p.replace(name, b"DATABASE"))[4 if b'"r_total_time_ms"' in p else 0:] for p in packets]
        if ordered or len(packets) < 3:
            out.append(packets)
            continue
        head = 1 + packets[0][0] + 1 if packets[0][0] < 0xfb else len(packets)
        rows = sorted(packets[head:-1])
        out.append((packets[:head], len(rows) if limited else rows, packets[-1]))
    return out


def error_of(results):
    """(number, text) of the first error, or None."""
    for packets in results:
        for p in (packets[0], packets[-1]):
            if p[:1] == b"\xff":
                return struct.unpack_from("<H", p, 1)[0], p[9:].decode(errors="replace")
    return None


def show(results):
    return "\n    ".join(" ".join(repr(p)[2:-1][:300] for p in packets[:12]) + (f" and {len(packets) - 12} more" if len(packets) > 12 else "") for packets in results)
