"""What may be seen can be used in MySQL's dialect: as test_utility.py for PostgreSQL, on MariaDB, through PyMySQL, SQLAlchemy with it, and Django with mysqlclient."""
import struct
import unittest

import pymysql
from pymysql.protocol import FieldDescriptorPacket

import test_utility
import utility_sql
import utility_world
from test_utility import GROUPS


PREPARE, EXECUTE, CLOSE = 0x16, 0x17, 0x19
# Nothing makes a TEXT of an expression, or an INT: a masked TEXT column is a VARCHAR of its length, a masked INT a BIGINT. To clients these are texts and whole numbers.
KINDS = {253: 252, 254: 252, 249: 252, 250: 252, 251: 252, 1: 3, 2: 3, 8: 3, 9: 3}
WHOLE = {1: "<b", 2: "<h", 3: "<i", 8: "<q", 9: "<i"}
FIXED = {13: 2, 4: 4, 5: 8}


def plain(value, database):
    """Without the database's name."""
    return value.replace(database, "raw") if isinstance(value, str) and (value == database or value.startswith("Tables_in_")) else value


def label(name, type_code, database):
    return plain(name, database), KINDS.get(type_code, type_code)


def rows(connection, database, sql):
    """Labels and types of columns, and rows."""
    with connection.cursor() as c:
        c.execute(sql.replace("raw", database))
        return [label(*d[:2], database) for d in c.description], [tuple(plain(v, database) for v in r) for r in c.fetchall()]


def values(packet, types):
    """Of a row of the binary protocol: None, whole numbers, bytes."""
    nulls, at, out = packet[1:], 1 + (len(types) + 9) // 8, []
    for i, t in enumerate(types):
        if nulls[(i + 2) // 8] >> (i + 2) % 8 & 1:
            out.append(None)
        elif t in WHOLE:
            out.append(struct.unpack_from(WHOLE[t], packet, at)[0])
            at += struct.calcsize(WHOLE[t])
        else:
            n = FIXED.get(t, packet[at])
            start = at + (t not in FIXED)
            if t not in FIXED and n >= 0xfc:
                size = {0xfc: 2, 0xfd: 3, 0xfe: 8}[n]
                n, start = int.from_bytes(packet[start:start + size], "little"), start + size
            out.append(packet[start:start + n])
            at = start + n
    return out


def prepared(c, database, sql):
    """The same by COM_STMT_PREPARE and COM_STMT_EXECUTE."""
    c._execute_command(PREPARE, sql.replace("raw", database))
    ident, columns, _ = struct.unpack_from("<IHH", c._read_packet().get_all_data(), 1)
    for _ in range(columns + 1 if columns else 0):
        c._read_packet()
    c._execute_command(EXECUTE, struct.pack("<IBI", ident, 0, 1))
    fields = [c._read_packet(FieldDescriptorPacket) for _ in range(c._read_packet().get_all_data()[0])]
    c._read_packet()
    out = []
    while True:
        packet = c._read_packet()
        if packet.is_eof_packet():
            break
        row = values(packet.get_all_data(), [f.type_code for f in fields])
        out.append([b"raw" if v == database.encode() else v for v in row])
    c._execute_command(CLOSE, struct.pack("<I", ident))
    return [label(f.name, f.type_code, database) for f in fields], out


class Utility(test_utility.Same, unittest.TestCase):
    make, dialect, alchemy, statements, enough = utility_world.MyWorld, "mysql", "mysql+pymysql://", utility_sql.ALL_MYSQL, 250

    @staticmethod
    def django(to):
        # The client's library takes "localhost" for a socket.
        return {"HOST": to["host"].replace("localhost", "127.0.0.1"), "PORT": str(to["port"]), "USER": to["user"], "PASSWORD": to["password"], "NAME": to["database"], "OPTIONS": {k: to[k] for k in ("ssl",) if k in to}}

    def test_statements(self):
        """As a text, and prepared."""
        for group in GROUPS:
            n = 0
            with pymysql.connect(**self.world.gate(group)) as gate, pymysql.connect(**self.world.direct(group)) as direct:
                for sql in self.statements:
                    n += self.same(f"{group}: {sql}", lambda: rows(gate, "raw", sql), lambda: rows(direct, group, sql))
                    self.same(f"{group}, prepared: {sql}", lambda: prepared(gate, "raw", sql), lambda: prepared(direct, group, sql))
            print(f"{group}: {n} statements", flush=True)


if __name__ == "__main__":
    unittest.main()
