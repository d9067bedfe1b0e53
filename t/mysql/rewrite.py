"""Masks and row filters in MySQL's dialect against a real server: what comes out of the rewriter tells nothing of what is hidden, and is what the statement itself says of masked data.

    t/mysql/rewrite.py                          the statements of rewrite_cases.py, and a few random ones; GH_SUITE_MYSQL as in server.py
    GH_MY_REWRITE=100000 t/mysql/rewrite.py     so many random ones; GH_MY_SEED another sequence

Three databases for each role: shoa and shob differ in hidden data only, shom holds as plain data what the role may see. A rewritten statement runs on the first two, which must
answer alike (rows, labels, errors, what the role sees of the table behind it), and the statement itself on the third, which must answer as the first does.
Ends with the line "N passed, N failed".
"""
import collections
import datetime
import json
import os
import random
import re
import subprocess
import sys
import tempfile

import pymysql
from pymysql.constants import CLIENT

import rewrite_cases
import server as servers

BUILD = os.environ.get("GH_BUILD", ".")
ROWS = 30
POLICY = """version: 1
databases: { shop: {} }
rules:
  - name: agents-customers
    groups: agent
    database: shop
    allow: [select, insert, update, delete]
    on: [shop.customers]
    columns:
      email: { mask: email }
      phone: { mask: 'null' }
      card_number: { mask: { last: 4 } }
      birth_date: { mask: { truncate: year } }
      score: { mask: { round: 10 } }
      seen: { mask: { truncate: day } }
      nick: { mask: { expression: "left(lower(nick), 1) || '*'" } }
      note: hidden
      "*": visible
  - name: analysts-customers
    groups: analyst
    database: shop
    allow: [select, insert, update, delete]
    on: [shop.customers]
    columns: { card_number: hidden, phone: hidden, note: hidden, "*": visible }
    rows: region = ${claim:region}
  - name: all-orders
    groups: [agent, analyst]
    database: shop
    allow: [read, write, create, temp, lock, drop, alter]
    on: [shop.orders, shop.items, shop.copies, shop.tmp]
"""
SCHEMA = """
CREATE TABLE customers (id int PRIMARY KEY, name varchar(40) NOT NULL, email varchar(60), phone varchar(40), card_number varchar(40), birth_date date, region varchar(10) NOT NULL,
  note text, score decimal(10,2), seen datetime(3), nick char(20) CHARACTER SET latin1, KEY (region), KEY (email)) CHARACTER SET utf8mb4;
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, total decimal(10,2), status varchar(20), placed_at datetime, KEY (customer_id)) CHARACTER SET utf8mb4;
CREATE TABLE items (order_id int, n int, what varchar(20), PRIMARY KEY (order_id, n)) CHARACTER SET utf8mb4;
CREATE TABLE copies (id int, t text) CHARACTER SET utf8mb4;
"""
NAMES = [c.split()[0] for c in re.search(r"customers \((.*)\) CHARACTER SET utf8mb4;\nCREATE TABLE orders", SCHEMA, re.S)[1].replace("\n", " ").replace("(10,2)", "").split(",")]
NAMES = [n for n in NAMES if n != "KEY"]


def customer(n, hidden=0):
    region = ("eu", "us", "apac")[n % 3]
    first = "abcdefghij"[n % 10]
    day = 1 + (n * 5 + hidden) % 28
    return {"id": n, "name": f"{first}nna {n % 11}", "email": f"{first}.c4n4ry{n * 31 % 97 + hidden * 1000}@mail{n % 3}.example",
            "phone": None if n % 9 == 0 and not hidden else f"+49 c4n4ry {n * 7 + hidden}",
            "card_number": f"4000-c4n4ry-{n * 13 + hidden * 5}-{n * 7919 % 10000:04}",
            "birth_date": datetime.date(1950 + n % 50, 1 + (n + hidden) % 12, day), "region": region,
            "note": json.dumps({"secret": f"c4n4ry {n + hidden}", "list": [n, hidden]}), "score": n * 10 + (n * 7 + hidden * 3) % 10,
            "seen": datetime.datetime(2026, 1 + n % 12, 1 + n % 28, (n + hidden) % 24, (n * 3 + hidden) % 60, n % 60, 1000 * ((n + hidden) % 1000)),
            "nick": f"{first.upper()}c4n4ry{n + hidden}"}


def worlds(role):
    a = [customer(n) for n in range(1, ROWS + 1)]
    if role == "agent":
        b = [customer(n, hidden=1) for n in range(1, ROWS + 1)]
        m = [dict(r, email=r["email"][0] + "***@" + r["email"].rsplit("@", 1)[1], phone=None, card_number="***" + r["card_number"][-4:], note=None,
                  birth_date=r["birth_date"].replace(month=1, day=1), score=r["score"] // 10 * 10,
                  seen=r["seen"].replace(hour=0, minute=0, second=0, microsecond=0), nick=r["nick"][0].lower() + "*") for r in a]
        return {"shoa": a, "shob": b, "shom": m}
    eu = [r for r in a if r["region"] == "eu"]
    other = [customer(n, hidden=1) for n in range(1000, 1000 + ROWS * 3) if n % 3 != 0]
    b = [dict(r, card_number="c4n4ry other", phone="c4n4ry other", note='{"c4n4ry": "other"}') for r in eu] + other
    return {"shoa": a, "shob": b, "shom": [dict(r, card_number=None, phone=None, note=None) for r in eu]}


def catalog(connection, server, version, database="shoa"):
    """What policy/catalog.h says, of one database, as if it were called shop."""
    c = connection.cursor()
    lines = [{"gatehouse_catalog": 1, "engine": server, "server": version, "database": "shop", "fold": 0}]
    c.execute("SELECT table_name, column_name, ordinal_position, data_type, column_type, is_nullable, character_set_name, collation_name, column_key"
              " FROM information_schema.columns WHERE table_schema = %s ORDER BY table_name, ordinal_position", (database,))
    types, relations = {}, collections.OrderedDict()
    for table, column, n, data_type, column_type, nullable, charset, collation, key in c.fetchall():
        types.setdefault(data_type, len(types) + 1)
        typ = column_type + (f" character set {charset} collate {collation}" if charset else "")
        columns, keys = relations.setdefault(table, ([], []))
        columns.append([column, n, types[data_type], typ, "n" if nullable == "NO" else ""])
        if key == "PRI":
            keys.append(n)
    for name, oid in types.items():
        lines.append({"type": oid, "schema": "", "name": name, "kind": "b", "category": "S", "base": 0, "array": False})
    for i, (table, (columns, keys)) in enumerate(relations.items()):
        lines.append({"relation": 100 + i, "schema": "shop", "name": table, "kind": "r", "columns": columns, "key": keys, "parents": [], "definition": None, "reads": [],
                      "row_security": False, "security_barrier": False})
    lines.append({"end": len(lines) - 1})
    return "".join(json.dumps(line) + "\n" for line in lines)


class Rewriter:
    def __init__(self, policy, cat, role, server, version):
        program = os.path.join(BUILD, "t", "policy", "my_rewrite")
        subprocess.run(["make", "-s", "-C", BUILD, "t/policy/my_rewrite"], check=True, stdout=subprocess.DEVNULL)
        self.server, self.version = server, version
        self.process = subprocess.Popen([program, policy, cat, "shop", role, "region=eu"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, sql, mode=""):
        sql = sql.encode()
        self.process.stdin.write(f"{self.server} {self.version} {mode or '-'} - 4 {len(sql)}\n".encode() + b"shop" + sql)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"my_rewrite died of {sql!r}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


Answer = collections.namedtuple("Answer", "labels rows error probe raw")
QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'")
VALUE_ERRORS = {1062, 1048, 1364, 1406, 1292, 1366, 1264, 1690, 1365, 1411, 1441}  # the gate leaves the values in these out


class Role:
    def __init__(self, server, role, directory):
        self.role, self.server = role, server
        self.databases = worlds(role)
        self.admin = server.connect(client_flag=CLIENT.MULTI_STATEMENTS)
        for name, rows in self.databases.items():
            self.fill(name, rows)
        paths = []
        for what, text in (("policy.yaml", POLICY), ("catalog", catalog(self.admin, server.kind, server.version()))):
            paths.append(os.path.join(directory, f"{role}.{what}"))
            with open(paths[-1], "w", encoding="utf-8") as f:
                f.write(text)
        self.rewrite = Rewriter(*paths, role, server.kind, server.version())
        self.connections = {name: self.connect(name) for name in self.databases}
        self.probe = self.rewrite("SELECT * FROM customers")["sql"]

    def fill(self, name, rows):
        c = self.admin.cursor()
        c.execute(f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4; USE {name}; {SCHEMA}")
        while c.nextset():
            pass
        c.executemany(f"INSERT INTO customers ({','.join(NAMES)}) VALUES ({','.join(['%s'] * len(NAMES))})", [tuple(r[n] for n in NAMES) for r in rows])
        c.executemany("INSERT INTO orders VALUES (%s, %s, %s, %s, %s)", [(n, 1 + n * 37 % 30, n * 7 % 200, ("open", "paid", "shipped")[n % 3],
                                                                        datetime.datetime(2026, 1, 1 + n % 28, n % 24)) for n in range(1, 101)])
        c.executemany("INSERT INTO items VALUES (%s, %s, %s)", [(n // 2, n % 2, f"thing {n % 7}") for n in range(2, 101)])
        c.execute("ANALYZE TABLE customers, orders, items")
        self.admin.commit()

    def connect(self, name):
        c = self.server.connect(database=name)
        c.cursor().execute("SET autocommit = 0")
        return c

    def run(self, name, sql, mode="", probe=None):
        """In a transaction that is undone."""
        connection = self.connections[name]
        c = connection.cursor()
        labels = rows = error = after = raw = None
        sql = re.sub(r"\bshop\b", name, sql)
        try:
            c.execute("SET sql_mode = %s", (mode,))
            c.execute("DROP TEMPORARY TABLE IF EXISTS tmp")
            c.execute(sql)
            if c.description:
                labels = [re.sub(rf"\b{name}\b", "shop", d[0]) for d in c.description]
                rows = sorted(map(repr, c.fetchall()))
            if not re.match(r"[\s(]*(SELECT|WITH|SHOW|DESC|TABLE|VALUES)", sql, re.I):
                c.execute(re.sub(r"\bshop\b", name, probe or self.probe))
                after = sorted(map(repr, c.fetchall()))
                c.execute("SELECT * FROM customers ORDER BY id")
                raw = c.fetchall()
        except pymysql.err.MySQLError as e:
            message = re.sub(rf"\b{name}\b", "shop", str(e.args[1]) if len(e.args) > 1 else "")
            error = (e.args[0], QUOTED.sub("''", message) if e.args[0] in VALUE_ERRORS else message)
        finally:
            try:
                connection.rollback()
            except pymysql.err.MySQLError:
                self.connections[name] = self.connect(name)
        return Answer(labels, rows, error, after, raw)

    def untouched(self, before, after):
        """What the role may not see has not changed in rows that are still there."""
        if after is None:
            return True
        hidden = [NAMES.index(n) for n in ("card_number", "phone", "note")]
        old = {r[0]: r for r in before}
        if self.role == "analyst":
            region = NAMES.index("region")
            new = {r[0]: r for r in after}
            if any(new.get(k) != r for k, r in old.items() if r[region] != "eu"):
                return False
        return all(old[r[0]][i] == r[i] for r in after if r[0] in old for i in hidden)

    def before(self, name):
        c = self.connections[name].cursor()
        c.execute("SELECT * FROM customers ORDER BY id")
        rows = c.fetchall()
        self.connections[name].rollback()
        return rows

    def check(self, sql, mode="", utility=True):
        """What is found wrong, and what became of it."""
        r = self.rewrite(sql, mode)
        if r["rc"] == "refused":
            said = json.dumps(r)
            return (["a refusal quotes hidden data"] if "c4n4ry" in said and "c4n4ry" not in sql else []), "refused", r
        in_a, in_b = self.run("shoa", r["sql"], mode), self.run("shob", r["sql"], mode)
        found = []
        if in_a.error is not None and in_a.error[0] in (1969, 3024, 2013, 2006) or in_b.error is not None and in_b.error[0] in (1969, 3024, 2013, 2006):
            return found, "took too long", r
        if in_a[:4] != in_b[:4]:
            found.append(f"interference: {in_a[:4]}\n   {in_b[:4]}")
        seen = repr(in_a[:4])
        if "c4n4ry" in seen and "c4n4ry" not in sql and self.role == "agent":
            found.append(f"canary: {seen[:300]}")
        if in_a.raw is not None and not self.untouched(self.before("shoa"), in_a.raw):
            found.append("hidden data was changed")
        if utility:
            in_m = self.run("shom", sql, mode, "SELECT * FROM customers")
            if in_m.error is None and in_a.error is not None:
                found.append(f"utility: {in_a.error}")
            elif in_m.error is None and in_a[:2] + in_a[3:4] != in_m[:2] + in_m[3:4]:
                found.append(f"utility: {in_a[:4]}\n   {in_m[:4]}")
        return found, "executed" if in_a.error is None else "failed", r

    def close(self):
        self.rewrite.close()


# A hidden column that is named is refused; t/mysql/rewrite_cases.py names them nowhere but as columns.
NAMES_HIDDEN = {"agent": re.compile(r"\bnote\b"), "analyst": re.compile(r"\b(card_number|phone|note)\b")}


def run(server):
    results, counts = [], collections.Counter()
    few = int(os.environ.get("GH_MY_REWRITE", "300"))
    seed = int(os.environ.get("GH_MY_SEED", "1"))
    with tempfile.TemporaryDirectory() as directory:
        for name in ("agent", "analyst"):
            role = Role(server, name, directory)
            generator = rewrite_cases.Generator(random.Random(seed))
            cases = [(s, m, True) for s, m in rewrite_cases.cases(server.kind)] + [(*generator.statement(), False) for _ in range(few)]
            for sql, mode, by_hand in cases:
                found, what, r = role.check(sql, mode, utility=by_hand)
                counts[name, "by hand" if by_hand else "random", what] += 1
                if os.environ.get("GH_MY_VERBOSE") and what != "executed" and by_hand:
                    print(f"{name}: {what}: {sql}: {r.get('why')}")
                named = NAMES_HIDDEN[name].search(sql)
                if by_hand and named is None and what == "refused" and not rewrite_cases.may_be_refused(sql):
                    found = found + [f"utility: refused: {r['why']} {r['hint']}"]
                if named is not None and what == "executed":
                    found = found + [f"the hidden column {named[0]} was named, and it ran"]
                if by_hand or found:
                    results.append(not found)
                for text in found:
                    print(f"{name}: {sql}\n  {r.get('sql', r.get('why'))}\n  {text}")
            role.close()
    for (name, kind, what), n in sorted(counts.items()):
        print(f"{name}: {kind}: {n} {what}")
    for name in ("agent", "analyst"):
        executed, total = counts[name, "random", "executed"], sum(n for (a, b, _), n in counts.items() if a == name and b == "random")
        results.append(executed * 10 >= total)
    return results


if __name__ == "__main__":
    sys.exit(servers.main(run))
