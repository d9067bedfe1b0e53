"""Random conversations for test_noninterference.py: statements over what a group of oracle_world.py may name, sent in every way that the protocol has. Reproducible from a
seed; most of them execute."""
import re
import struct

import pgraw
from rewrite_random import CONSTANTS, Random

CUSTOMER = {"id": "int", "name": "text", "email": "text", "phone": "text", "card_number": "text", "birth_date": "date", "region": "text"}
ORDERS = {"id": "int", "customer_id": "int", "total": "num", "status": "text", "placed_at": "ts"}
ITEMS = {"order_id": "int", "n": "int", "what": "text"}
NOTES = {"id": "int", "customer_id": "int", "code": "text", "amount": "num"}
SHOP = {"customers": CUSTOMER, "public.customers": CUSTOMER, "orders": ORDERS}
OWN = {"customers": CUSTOMER, "public.customers": CUSTOMER, "parts": CUSTOMER, "parts_eu": CUSTOMER, "parts_us": CUSTOMER, "orders": ORDERS, "items": ITEMS, "notes": NOTES}
# group: tables, columns whose names are refused, whether it writes
GROUPS = {"ai-agents": (SHOP, (), False), "analysts": (SHOP, ("phone", "card_number"), False),
          "writers": (OWN, (), True), "editors": (OWN, ("phone", "card_number"), True)}
TYPES = {"int": (23, "integer"), "num": (1700, "numeric"), "text": (25, "text"), "date": (1082, "date"), "ts": (1184, "timestamptz")}
PARAMETERS = {"int": ("0", "3", "6", "24", "-1"), "num": ("1.5", "100"), "text": ("eu", "a", "j", "a%", "%4%", "v1", ""), "date": ("1970-01-01", "1961-06-01"),
              "ts": ("2026-01-03 00:00:00+00",)}


class Statement:
    def __init__(self, sql, kind, ordered=False, parameters=()):
        self.sql, self.kind, self.ordered, self.parameters = sql, kind, ordered, parameters


class Oracle(Random):
    joins = (0, 0, 0, 1, 1, 2)
    kinds_of_join = ("JOIN", "LEFT JOIN", "RIGHT JOIN", "JOIN", "LEFT JOIN", "FULL JOIN", "CROSS JOIN", ",")

    def __init__(self, group, seed):
        self.tables, hidden, self.writes = GROUPS[group]
        super().__init__(f"{group} {seed}", hidden)
        self.parameters = None  # a list of (type, value) while a statement may have them
        self.risky = 0.0

    def chance(self, p):
        return self.r.random() < p

    def source(self, outer, depth):
        item, text = super().source(outer, depth)
        return item, f"{text} (c0, c1, c2)" if text.endswith(f") AS {item[0]}") else text

    def column(self, scope, kind):
        found = super().column(scope, kind)
        return found if found is None or "." in found or len(scope) == 1 else super().column(scope[-1:], kind) if self.chance(0.1) else self.column(scope, kind)

    def join(self, scope, item):
        while True:
            text = super().join(scope, item)
            if not (text.startswith("id =") or text.endswith("= id") or "customer_id" in (text.split(" = ")[0], text.split(" = ")[-1])):
                return text

    # --- expressions: those of Random that raise errors are rare here, and there are more ---

    def constant(self, kind):
        if self.parameters is not None and kind in TYPES and self.chance(0.6):
            self.parameters.append((kind, self.pick(*PARAMETERS[kind])))
            n = len(self.parameters)
            return f"${n}::{TYPES[kind][1]}" if self.chance(0.7) else f"${n}"
        return self.pick(*CONSTANTS[kind]).replace("c4n4ry", "c_n4ry")

    def expr(self, scope, kind, depth=3):
        if depth <= 0 and kind == "bool" and scope:
            k = self.pick("int", "text", "text", "date")
            return f"({self.column(scope, k) or self.constant(k)} {self.pick('=', '<', '>', '<>')} {self.constant(k)})"
        if depth <= 0 or (self.chance(0.3) and kind != "bool") or self.chance(0.03):
            return (self.chance(0.8) and self.column(scope, kind)) or self.constant(kind)
        e = lambda k: self.expr(scope, k, depth - 1)  # noqa: E731
        if kind == "bool" and depth == 2 and self.writes and self.chance(0.15):  # cheaper than all else, so it is tried first
            return f"(touch({self.column(scope, 'int') or 'NULL::text'}) AND {e('bool')})"
        if self.chance(self.risky):
            return self.raising(kind, e)
        if self.chance(0.05) and depth > 1:
            return f"({self.select(scope, depth - 1, [kind], limit=1)})"
        if self.chance(0.1):
            return f"CASE WHEN {e('bool')} THEN {e(kind)} ELSE {e(kind)} END"
        if self.chance(0.1):
            return f"{self.pick('coalesce', 'greatest', 'least')}({e(kind)}, {e(kind)})"
        if kind == "int":
            return self.pick(f"length({e('text')})", f"({e('int')} + {e('int')})", f"strpos({e('text')}, {e('text')})", f"extract(day FROM {e('date')})::int",
                             f"abs({e('int')})", f"octet_length({e('text')})", f"({e('int')} % 7)", f"sign({e('num')})::int", f"({e('date')} - {e('date')})")
        if kind == "num":
            return self.pick(f"({e('num')} * 2)", f"round({e('num')})", f"{e('int')}::numeric", f"({e('num')} - {e('num')})", f"trunc({e('num')}, 1)")
        if kind == "text":
            n = self.pick("1", "3", "5", "9")
            return self.pick(f"lower({e('text')})", f"upper({e('text')})", f"({e('text')} || {e('text')})", f"left({e('text')}, {n})", f"right({e('text')}, {n})",
                             f"reverse({e('text')})", f"md5({e('text')})", f"{e('date')}::text", f"{e('int')}::text", f"replace({e('text')}, 'a', 'x')", f"initcap({e('text')})",
                             f"split_part({e('text')}, '@', 1)", f"substr({e('text')}, {n}, 2)", f"row_to_json(ROW({e('text')}, {e('date')}))::text",
                             f"to_char({e('date')}, 'YYYY-MM-DD')", f"translate({e('text')}, '0123456789', 'abcdefghij')", f"concat({e('text')}, {e('int')}, {e('date')})",
                             f"encode(convert_to({e('text')}, 'UTF8'), 'base64')", f"regexp_replace({e('text')}, '[0-9]+', '#')", f"format('%s-%s', {e('text')}, {e('int')})",
                             f"jsonb_build_object('k', {e('text')}, 'd', {e('date')}) ->> 'k'", f"quote_literal({e('text')})", f"lpad({e('text')}, 12, '.')")
        if kind == "date":
            return self.pick(f"({e('date')} + 1)", f"({e('date')} - {e('int')} % 9)", f"date_trunc('month', {e('date')}::timestamp)::date", f"{e('ts')}::date")
        if kind == "ts":
            return self.pick(f"({e('ts')} - interval '1 hour')", f"{e('date')}::timestamp AT TIME ZONE 'UTC'", f"date_trunc('day', {e('ts')}, 'UTC')")
        k = self.pick("int", "text", "date", "int", "num")
        return self.pick(f"({e(k)} {self.pick('=', '<', '>', '<=', '>=', '<>')} {e(k)})", f"({e(k)} IS {self.pick('', 'NOT ')}NULL)", f"({e('bool')} AND {e('bool')})",
                         f"({e('bool')} OR {e('bool')})", f"(NOT {e('bool')})", f"({e('text')} {self.pick('', 'NOT ')}LIKE {e('text')})", f"({e('text')} ILIKE {e('text')} ESCAPE '!')",
                         f"({e(k)} IN ({e(k)}, {e(k)}))", f"({e(k)} BETWEEN {e(k)} AND {e(k)})", f"(({e(k)}) {self.pick('', 'NOT ')}IN ({self.select(scope, depth - 1, [k])}))",
                         f"(EXISTS ({self.select(scope, depth - 1, ['int'])}))", f"({e(k)} IS DISTINCT FROM {e(k)})", f"({e(k)} = ANY (ARRAY[{e(k)}, {e(k)}]))",
                         f"({e(k)} > ALL ({self.select(scope, depth - 1, [k])}))", f"(({e('int')}, {e('text')}) < ({e('int')}, {e('text')}))", f"starts_with({e('text')}, {e('text')})")

    def raising(self, kind, e):
        """What raises errors, or tells in another way what it is called with."""
        if kind == "int":
            return self.pick(f"({e('int')} / ({e('int')} - {self.pick('5', '6', '12', '1000')}))", f"ascii({e('text')})", f"{e('text')}::int", f"({e('int')} * 100000000)", f"chr({e('int')})::int")
        if kind == "num":
            return self.pick(f"({e('num')} / {e('num')})", f"{e('text')}::numeric", f"sqrt({e('num')})")
        if kind == "text":
            return self.pick(f"chr({e('int')})", f"repeat({e('text')}, {e('int')} % 5)", f"({e('text')}::jsonb)::text", f"substring({e('text')} FROM {e('text')})", f"left({e('text')}, {e('int')})")
        if kind == "date":
            return self.pick(f"{e('text')}::date", f"make_date({e('int')}, 2, 29)")
        if kind == "ts":
            return self.pick(f"{e('text')}::timestamptz", f"make_timestamptz(2026, {e('int')}, 1, 0, 0, 0, 'UTC')")
        touches = [f"touch({e('text')})", f"touch({e('int')})"] if self.writes else []
        return self.pick(f"{e('text')}::boolean", f"({e('text')} {self.pick('LIKE', 'ILIKE', 'NOT LIKE')} '%{self.pick('nna', 'mail', '1', '5', 'p', 'c_n')}%\\')", f"(1 / ({e('int')} - 5) > 0)", f"({e('text')} ~ {e('text')})", f"({e('text')} LIKE {e('text')} ESCAPE {e('text')})", *touches)

    # --- queries ---

    def table(self):
        """One that has an id."""
        return self.pick("customers", "customers", *(t for t, columns in self.tables.items() if "id" in columns))

    def distinct_outputs(self, kinds, depth):
        """Items of a SELECT with FROM and WHERE, and its scope."""
        scope, text = self.sources([], depth)
        where = f" WHERE {self.expr(scope, 'bool', depth)}" if self.chance(0.6) else ""
        return scope, [self.expr(scope, k, depth) for k in kinds], f" FROM {text}{where}"

    def aggregate(self, scope):
        k = self.pick("int", "text", "date", "num")
        e = self.expr(scope, k, 2)
        filtered = f" FILTER (WHERE {self.expr(scope, 'bool', 1)})" if self.chance(0.25) else ""
        distinct = self.pick("", "", "DISTINCT ")
        if self.chance(0.15):
            return f"{self.pick('percentile_disc(0.5)', 'percentile_disc(ARRAY[0.1, 0.9])')} WITHIN GROUP (ORDER BY {e}){filtered}"
        if self.chance(0.15):
            t = self.expr(scope, "text", 2)
            return f"{self.pick('string_agg(%s, chr(44) ORDER BY %s)', 'array_agg(%s ORDER BY %s)', 'jsonb_agg(%s ORDER BY %s)') % (t, t)}{filtered}"
        if k in ("int", "num") and self.chance(0.4):
            return f"{self.pick('sum', 'avg')}({distinct}{e}){filtered}"
        return f"{self.pick('max', 'min', 'count')}({distinct}{e}){filtered}"

    def grouped(self):
        scope, text = self.sources([], 1)
        keys = [self.expr(scope, self.pick("int", "text", "date"), 1) for _ in range(self.pick(1, 1, 2))]
        keys = [k for k in keys if not k.lstrip("-'").isdigit() and "$" not in k and "'" not in k[:1]] or [self.column(scope, "int") or "1 + 1"]
        where = f" WHERE {self.expr(scope, 'bool', 2)}" if self.chance(0.5) else ""
        parameters, self.parameters = self.parameters, None  # a key must be the same text twice
        aggregates = [self.aggregate(scope) for _ in range(self.pick(1, 1, 2))]
        having = f" HAVING {self.aggregate(scope)} IS NOT NULL" if self.chance(0.2) else ""
        self.parameters = parameters
        out = ", ".join([*keys, *aggregates])
        numbers = [str(i + 1) for i in range(len(keys))]
        group = self.pick(", ".join(numbers), ", ".join(numbers), ", ".join(keys), f"ROLLUP ({', '.join(keys)})", f"CUBE ({', '.join(keys)})", f"GROUPING SETS (({', '.join(keys)}), ())")
        return f"SELECT {out} FROM {text}{where} GROUP BY {group}{having}", len(keys) + len(aggregates)

    def windowed(self):
        scope, text = self.sources([], 1)
        first = scope[0][0]
        key = next(iter(scope[0][1]))
        k = self.pick("int", "text", "date")
        e = self.expr(scope, k, 2)
        part = f"PARTITION BY {self.expr(scope, self.pick('text', 'int'), 1)} " if self.chance(0.6) else ""
        over = f"({part}ORDER BY {self.expr(scope, 'text', 1)}, {e})"
        call = self.pick("rank()", "dense_rank()", f"max({e})", f"min({e})", f"count({e})", "cume_dist()", f"first_value({e})")
        where = f" WHERE {self.expr(scope, 'bool', 2)}" if self.chance(0.5) else ""
        return f"SELECT {first}.{key}, {call} OVER {over} FROM {text}{where}", 2

    def whole(self):
        scope, text = self.sources([], 1)
        a = scope[0][0]
        what = self.pick("*", f"{a}.*", f"{a}", f"row_to_json({a})::text", f"to_jsonb({a})", f"{a}::text", f"({a}).*", f"count({a})", f"md5({a}::text)", f"ROW({a}.*)::text", f"jsonb_agg({a} ORDER BY {a})")
        return f"SELECT {what} FROM {text} WHERE {self.expr(scope, 'bool', 2)}", 1

    def common(self, kinds):
        name = self.pick("customers", "w", "orders")
        names = ", ".join(f"c{i}" for i in range(len(kinds)))
        inner = self.select([], 2, kinds)
        way = self.pick(0, 0, 1, 2)
        if way == 0:
            return f"WITH {name} ({names}) AS {self.pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ')}({inner}) SELECT {name}.* FROM {name}, {self.table()} x WHERE x.id < 9", len(kinds)
        if way == 1:
            return (f"WITH RECURSIVE r (n, c0) AS (SELECT 1, {self.expr([], 'text', 0)}::text UNION ALL SELECT n + 1, (SELECT max(x.name) FROM customers x WHERE x.id > r.n) FROM r WHERE n < 5) "
                    "SELECT n, c0 FROM r"), 2
        return f"SELECT q.* FROM ({inner}) AS q ({names}), LATERAL (SELECT count(*) AS n FROM {self.table()} y WHERE y.id > 3) z", len(kinds)

    def query(self):
        """(text, number of output columns)"""
        kinds = [self.pick("int", "text", "date", "text", "num") for _ in range(self.pick(1, 2, 3))]
        r = self.r.random()
        if r < 0.08:
            return self.whole()
        if r < 0.16:
            return f"({self.select([], 2, kinds)}) {self.pick('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT')} ({self.select([], 2, kinds)})", len(kinds)
        if r < 0.26:
            return self.common(kinds)
        if r < 0.48:
            return self.grouped()
        if r < 0.56:
            return self.windowed()
        if r < 0.6:
            a = self.alias()
            return f"SELECT {a}.{self.pick('id', 'name', 'region')} FROM customers {a} JOIN orders o{a} ON o{a}.customer_id = {a}.id WHERE {self.expr([(a, CUSTOMER)], 'bool', 2)}", 1
        scope, out, rest = self.distinct_outputs(kinds, 2)
        return f"SELECT {self.pick('', '', 'DISTINCT ')}{', '.join(out)}{rest}", len(out)

    def read(self, parameters=False):
        self.parameters = [] if parameters else None
        self.risky = self.pick(0.0, 0.0, 0.0, 0.15)
        sql, n = self.query()
        ordered = False
        if self.chance(0.35) and not sql.startswith("("):
            sql, ordered = f"SELECT * FROM ({sql}) AS q ({', '.join('o%d' % i for i in range(n))}) ORDER BY {', '.join(str(i + 1) for i in range(n))}", not self.whole_in(sql)
            if ordered and self.chance(0.6):
                sql += self.pick(" LIMIT 3", " OFFSET 2", " LIMIT 5 OFFSET 1", " FETCH FIRST 4 ROWS ONLY", " LIMIT ALL")
        done, self.parameters = self.parameters or [], None
        used = list(dict.fromkeys(int(n) for n in re.findall(r"\$(\d+)", sql)))  # some are in parts that were thrown away
        sql = re.sub(r"\$(\d+)", lambda m: f"${used.index(int(m.group(1))) + 1}", sql)
        return Statement(sql, "read", ordered, [done[n - 1] for n in used])

    @staticmethod
    def whole_in(sql):
        return "*" in sql.split(" FROM ", 1)[0]

    # --- writes ---

    def change(self):
        """One of a group's own; what it did is looked at afterwards."""
        if not self.writes:
            return self.pick("UPDATE customers SET name = 'x' WHERE email LIKE 'a%'", "DELETE FROM customers WHERE card_number > '4'", "INSERT INTO customers SELECT * FROM customers",
                             "DELETE FROM orders USING customers c WHERE c.id = customer_id AND c.phone > 'a' RETURNING c.email", "CREATE TABLE x AS SELECT * FROM customers")
        r, self.risky = self.r.random(), self.pick(0.0, 0.1)
        a, notes = self.alias(), self.chance(0.2)
        if r < 0.12:
            scope = [(a, CUSTOMER)]
            return f"CREATE {self.pick('TEMP ', 'TEMPORARY ')}TABLE made AS SELECT {self.expr(scope, 'text')} AS t, {self.expr(scope, 'int')} AS i FROM customers {a}"
        if r < 0.24:
            scope = [(a, CUSTOMER)]
            return (f"INSERT INTO customers (id, name, region) SELECT 3 * ({self.expr(scope, 'int', 2)} % 12), {self.expr(scope, 'text', 2)}, 'eu' FROM customers {a} WHERE {self.expr(scope, 'bool', 2)} "
                    f"ON CONFLICT (id) DO {self.pick('NOTHING', 'UPDATE SET name = excluded.name || customers.email')} RETURNING *")
        if r < 0.36:
            scope = [("c", CUSTOMER), ("o", ORDERS)]
            return (f"MERGE INTO customers c USING orders o ON o.id = c.id AND {self.expr(scope, 'bool', 2)} WHEN MATCHED AND {self.expr(scope, 'bool', 1)} THEN "
                    f"UPDATE SET name = left({self.expr(scope, 'text', 2)}, 20) WHEN MATCHED THEN {self.pick('DELETE', 'DO NOTHING')}")
        if r < 0.46:
            name = self.pick("'boom'", "''", "'bad'", "'cast'", "NULL", "repeat('x', 90)")
            return f"UPDATE customers SET name = {name} WHERE {self.expr([('customers', CUSTOMER)], 'bool', 1)}"
        if notes:
            scope = [(a, NOTES)]
            return self.pick(f"UPDATE notes {a} SET code = left({self.expr(scope, 'text', 2)}, {self.pick('12', '20')}) WHERE {self.expr(scope, 'bool', 2)} RETURNING {a}.*",
                             f"DELETE FROM notes {a} WHERE {self.expr(scope, 'bool', 2)} RETURNING {a}.id, {a}.amount",
                             f"INSERT INTO notes (id, customer_id, tags) VALUES ({self.pick('4', '5000')}, 1, '{{a}}') RETURNING *",
                             f"UPDATE notes SET customer_id = customer_id / (id - {self.pick('4', '5')})")
        return self.write()


# --- ways to send a statement ---

BEGIN, ROLLBACK = pgraw.query("BEGIN"), pgraw.query("ROLLBACK")
PROBE = pgraw.query("SELECT c.* FROM customers c") + pgraw.query("SELECT * FROM orders")


def binary(kind, value):
    if kind == "int":
        return struct.pack(">i", int(value))
    return value.encode() if kind == "text" else None


def bind(portal, name, parameters, mixed, results):
    formats, values = [], []
    for i, (kind, value) in enumerate(parameters):
        raw = binary(kind, value) if mixed and i % 2 == 0 else None
        formats.append(1 if raw is not None else 0)
        values.append(value.encode() if raw is None else raw)
    body = pgraw.cstr(portal) + pgraw.cstr(name) + struct.pack(f">H{len(formats)}hH", len(formats), *formats, len(values))
    body += b"".join(struct.pack(">I", len(v)) + v for v in values)
    return pgraw.message("B", body + struct.pack(">Hh", 1, results))


def extended(r, s, name="", twice=False):
    """Parse to Sync; with twice a second Bind with other values, and portals that are fetched in pieces."""
    types = [TYPES[k][0] if r.random() < 0.7 else 0 for k, _ in s.parameters]
    mixed = r.random() < 0.5 and all(types)
    out = pgraw.parse(name, s.sql, types) + pgraw.describe("S", name)
    for again in range(2 if twice else 1):
        parameters = [(k, r.choice(PARAMETERS[k])) for k, _ in s.parameters] if again else s.parameters
        portal = f"p{again}" if twice else ""
        out += bind(portal, name, parameters, mixed, r.randrange(2)) + pgraw.describe("P", portal)
        out += pgraw.execute(portal, 2) + pgraw.execute(portal) if twice and s.ordered else pgraw.execute(portal)
    return out + pgraw.SYNC


class Conversation:
    """units: bytes that end with one ReadyForQuery each; way: how it is sent; texts: for people."""

    def __init__(self, way, units, texts, ordered=False):
        self.way, self.units, self.texts, self.ordered = way, units, texts, ordered


def quoted(kind, value):
    return f"'{value}'::{TYPES[kind][1]}"


def sent(r, s, way):
    q = pgraw.query
    sql = s.sql
    name = f"s{r.randrange(10 ** 9)}"  # one that a statement that took too long did not leave behind
    if way == "simple":
        units = [q(sql)]
    elif way == "extended":
        units = [extended(r, s)]
    elif way == "prepared":
        units = [extended(r, s, name, True), pgraw.close("S", name) + pgraw.SYNC]
    elif way == "prepare":
        values = ", ".join(quoted(k, v) for k, v in s.parameters)
        types = ", ".join(TYPES[k][1] for k, _ in s.parameters)
        units = [q(f"PREPARE {name}{f' ({types})' if types else ''} AS {sql}"), q(f"EXECUTE {name}{f'({values})' if values else ''}"), q(f"DEALLOCATE {name}")]
    elif way == "cursor":
        kind = r.choice(("", "BINARY ", "SCROLL ", "NO SCROLL ", "INSENSITIVE "))
        steps = ("FETCH 3 FROM c1", "FETCH FORWARD 2 FROM c1", "MOVE 1 FROM c1") if s.ordered else ()
        units = [BEGIN, q(f"DECLARE c1 {kind}CURSOR {r.choice(('', 'WITHOUT HOLD '))}FOR {sql}"), *map(q, steps), q("FETCH ALL FROM c1"), q("CLOSE c1"), ROLLBACK]
    elif way == "copy":
        form = r.choice(("", " WITH (FORMAT csv, HEADER)", " WITH (FORMAT binary)", " WITH (FORMAT text, DELIMITER '|')"))
        units = [q(f"COPY ({sql}) TO STDOUT{form}")]
    elif way == "explain":
        units = [q(f"EXPLAIN {r.choice(('', '(COSTS OFF) ', '(ANALYZE, TIMING false, SUMMARY false) ', 'ANALYZE VERBOSE ' if 'customers' in sql else '', '(FORMAT json) ', '(VERBOSE, COSTS false) '))}{sql}")]
    elif way == "transaction":
        units = [BEGIN, q("SAVEPOINT a"), q(sql), q("ROLLBACK TO a"), q("SELECT count(*), max(name) FROM customers"), ROLLBACK]
    elif way == "several":
        units = [q(f"BEGIN; {sql}; ROLLBACK"), ROLLBACK]
    else:
        assert way == "change", way
        look = PROBE + q("SELECT * FROM made") if "made AS" in sql else PROBE
        units = [BEGIN, q(sql), *split(look), ROLLBACK]
    return Conversation(way, units, [sql, *map(str, s.parameters)], s.ordered)


def split(data):
    out, at = [], 0
    while at < len(data):
        size = struct.unpack_from(">I", data, at + 1)[0] + 1
        out.append(data[at:at + size])
        at += size
    return out


WAYS = {"simple": 26, "extended": 24, "prepared": 10, "prepare": 6, "cursor": 7, "copy": 6, "explain": 2, "transaction": 3, "several": 2, "change": 14}


def conversation(group, seed):
    """The seed's one for that group."""
    g = Oracle(group, seed)
    ways = dict(WAYS, change=2) if not g.writes else WAYS
    way = g.r.choices(list(ways), list(ways.values()))[0]
    if way == "change":
        return sent(g.r, Statement(g.change(), "change"), way)
    return sent(g.r, g.read(parameters=way in ("extended", "prepared", "prepare")), way)


def reads(sql):
    return sql.lstrip(" (\n").lower().startswith(("select", "with", "values", "table"))


def of_text(sql, seed):
    """A statement of somebody else's, as sqlsmith's, in one of the ways that fit."""
    r = Random(seed).r
    way = r.choice(("simple", "extended", "prepared", "copy", "cursor")) if reads(sql) else "change"
    return sent(r, Statement(sql, "read"), way)
