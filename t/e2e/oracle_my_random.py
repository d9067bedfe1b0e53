"""Random conversations in MySQL's dialect and protocol for test_my_noninterference.py: the generator of oracle_random.py with what MariaDB has. Reproducible from a seed; most of them
execute."""
from oracle_random import CUSTOMER, ITEMS, NOTES, ORDERS
from rewrite_random import Random

SHOP = {"customers": CUSTOMER, "orders": ORDERS}
OWN = {"customers": CUSTOMER, "parts": CUSTOMER, "orders": ORDERS, "items": ITEMS, "notes": NOTES}
GROUPS = {"ai-agents": (SHOP, (), False), "analysts": (SHOP, ("phone", "card_number"), False), "writers": (OWN, (), True), "editors": (OWN, ("phone", "card_number"), True)}
CONSTANTS = {"int": ["0", "3", "6", "42", "-1"], "num": ["1.5", "100"], "text": ["'eu'", "'a'", "'a***@mail1.example'", "'%4%'", "'4000-c_n4ry-3'", "''"],
             "date": ["date'1970-01-01'", "date'1961-06-01'"], "ts": ["timestamp'2026-01-03 00:00:00'"], "bool": ["true", "false", "NULL"]}
# A "?" for a number is a double to the server, whose sums depend on the order of rows, which is no finding (doc/design.md, section 5); by powers of two they do not.
PARAMETERS = {"int": ("0", "3", "6", "24", "-1"), "num": ("0.5", "64"), "text": ("eu", "a", "j", "a%", "%4%", "v1", ""), "date": ("1970-01-01", "1961-06-01"),
              "ts": ("2026-01-03 00:00:00",)}


class Statement:
    def __init__(self, sql, kind, ordered=False, parameters=()):
        self.sql, self.kind, self.ordered, self.parameters = sql, kind, ordered, parameters


class Oracle(Random):
    joins = (0, 0, 0, 1, 1, 2)
    kinds_of_join = ("JOIN", "LEFT JOIN", "RIGHT JOIN", "JOIN", "LEFT JOIN", "STRAIGHT_JOIN", "CROSS JOIN", ",")

    def __init__(self, group, seed):
        self.tables, hidden, self.writes = GROUPS[group]
        super().__init__(f"my {group} {seed}", hidden)
        self.parameters, self.risky = None, 0.0

    def chance(self, p):
        return self.r.random() < p

    def constant(self, kind):
        if self.parameters is not None and kind in PARAMETERS and self.chance(0.5):
            self.parameters.append(self.pick(*PARAMETERS[kind]))
            return f"?{len(self.parameters)}?"
        return self.pick(*CONSTANTS[kind])

    def column(self, scope, kind):
        found = super().column(scope, kind)
        return found if found is None or "." in found or len(scope) == 1 else self.column(scope, kind)

    def source(self, outer, depth):
        a = self.alias()
        if depth > 0 and self.chance(0.25):
            kinds = [self.pick("int", "text", "date") for _ in range(3)]
            return (a, {f"c{i}": k for i, k in enumerate(kinds)}), f"({self.select([], depth - 1, kinds)}) AS {a}"
        table = self.r.choice(["customers"] * 3 + list(self.tables))
        name = self.pick(table, table, f"`{table}`")
        return (a, dict(self.tables[table])), f"{name} {self.pick('', 'AS ')}{a}{self.pick('', '', '', ' USE INDEX (PRIMARY)') if table == 'customers' else ''}"

    def select(self, outer, depth, kinds, limit=None):
        scope, text = self.sources([], depth)
        all_of = outer + scope
        out = [self.expr(all_of if self.chance(0.3) else scope, k, depth) for k in kinds]
        where = f" WHERE {self.expr(all_of, 'bool', depth)}" if self.chance(0.7) else ""
        if self.chance(0.12):
            out = [f"max({e})" for e in out]
        items = ", ".join(f"{e} AS c{i}" for i, e in enumerate(out))
        order = f" ORDER BY {', '.join(str(i + 1) for i in range(len(out)))}" if limit or self.chance(0.2) else ""
        return f"SELECT {self.pick('', '', '', 'DISTINCT ')}{items} FROM {text}{where}{order}{' LIMIT %d' % limit if limit else ''}{self.examined(limit)}"

    def expr(self, scope, kind, depth=3):
        if depth <= 0 and kind == "bool" and scope:
            k = self.pick("int", "text", "text", "date")
            return f"({self.column(scope, k) or self.constant(k)} {self.pick('=', '<', '>', '<>')} {self.constant(k)})"
        if depth <= 0 or (self.chance(0.3) and kind != "bool") or self.chance(0.03):
            return (self.chance(0.8) and self.column(scope, kind)) or self.constant(kind)
        e = lambda k: self.expr(scope, k, depth - 1)  # noqa: E731
        if self.chance(self.risky):
            return self.raising(kind, e)
        if self.chance(0.05) and depth > 1:
            return f"({self.select(scope, depth - 1, [kind], limit=1)})"
        if self.chance(0.1):
            return self.pick(f"CASE WHEN {e('bool')} THEN {e(kind)} ELSE {e(kind)} END", f"IF({e('bool')}, {e(kind)}, {e(kind)})", f"ifnull({e(kind)}, {e(kind)})", f"nullif({e(kind)}, {e(kind)})")
        if self.chance(0.1):
            return f"{self.pick('coalesce', 'greatest', 'least')}({e(kind)}, {e(kind)})"
        if kind == "int":
            return self.pick(f"length({e('text')})", f"({e('int')} + {e('int')})", f"locate({e('text')}, {e('text')})", f"day({e('date')})", f"abs({e('int')})", f"char_length({e('text')})",
                             f"({e('int')} % 7)", f"sign({e('num')})", f"datediff({e('date')}, {e('date')})", f"({e('int')} DIV 3)", f"crc32({e('text')})", f"field({e('text')}, 'a', 'eu')",
                             f"strcmp({e('text')}, {e('text')})", f"year({e('date')})", f"ascii({e('text')})")
        if kind == "num":
            return self.pick(f"({e('num')} * 2)", f"round({e('num')})", f"cast({e('int')} AS decimal(12, 2))", f"({e('num')} - {e('num')})", f"truncate({e('num')}, 1)")
        if kind == "text":
            n = self.pick("1", "3", "5", "9")
            return self.pick(f"lower({e('text')})", f"concat({e('text')}, {e('text')})", f"left({e('text')}, {n})", f"right({e('text')}, {n})", f"reverse({e('text')})", f"md5({e('text')})",
                             f"cast({e('date')} AS char)", f"cast({e('int')} AS char)", f"replace({e('text')}, 'a', 'x')", f"substring_index({e('text')}, '@', 1)", f"substr({e('text')}, {n}, 2)",
                             f"json_object('k', {e('text')}, 'd', {e('date')})", f"date_format({e('date')}, '%Y-%m-%d')", f"concat_ws('-', {e('text')}, {e('int')}, {e('date')})", f"quote({e('text')})",
                             f"lpad({e('text')}, 12, '.')", f"to_base64({e('text')})", f"elt(1 + {e('int')} % 2, {e('text')}, 'x')", f"lower(hex({e('text')}))", f"insert({e('text')}, 2, 1, 'z')",
                             f"json_unquote(json_extract(json_array({e('text')}), '$[0]'))", f"regexp_replace({e('text')}, '[0-9]+', '#')")
        if kind == "date":
            return self.pick(f"({e('date')} + INTERVAL 1 DAY)", f"date_sub({e('date')}, INTERVAL {e('int')} % 9 DAY)", f"last_day({e('date')})", f"cast({e('ts')} AS date)")
        if kind == "ts":
            return self.pick(f"({e('ts')} - INTERVAL 1 HOUR)", f"cast({e('date')} AS datetime)", f"timestampadd(MINUTE, {e('int')} % 99, {e('ts')})")
        k = self.pick("int", "text", "date", "int", "num")
        return self.pick(f"({e(k)} {self.pick('=', '<', '>', '<=', '>=', '<>', '<=>')} {e(k)})", f"({e(k)} IS {self.pick('', 'NOT ')}NULL)", f"({e('bool')} AND {e('bool')})",
                         f"({e('bool')} OR {e('bool')})", f"(NOT {e('bool')})", f"({e('bool')} XOR {e('bool')})", f"({e('text')} {self.pick('', 'NOT ')}LIKE {e('text')})", f"({e('text')} LIKE {e('text')} ESCAPE '!')",
                         f"({e(k)} IN ({e(k)}, {e(k)}))", f"({e(k)} BETWEEN {e(k)} AND {e(k)})", f"({e(k)} {self.pick('', 'NOT ')}IN ({self.select(scope, depth - 1, [k])}))",
                         f"(EXISTS ({self.select(scope, depth - 1, ['int'])}))", f"({e(k)} > ALL ({self.select(scope, depth - 1, [k])}))", f"(({e('int')}, {e('text')}) IN (({e('int')}, {e('text')}), (3, 'x')))",
                         f"({e('text')} REGEXP '[{self.pick('a-c', '0-4', 'x')}]')", f"({e('int')} & 1)")

    def raising(self, kind, e):
        """What raises errors or warnings, or tells in another way what it is called with."""
        if kind == "int":
            return self.pick(f"({e('int')} DIV ({e('int')} - {self.pick('5', '6', '12')}))", f"({e('text')} + 0)", f"({e('int')} * 9223372036854775807)", f"cast({e('text')} AS signed)", f"exp({e('int')} * 100)",
                             f"json_length({e('text')})", f"({e('int')} - cast(18446744073709551615 AS unsigned))")
        if kind == "num":
            return self.pick(f"({e('num')} / {e('num')})", f"cast({e('text')} AS decimal(10, 2))", f"sqrt({e('num')})", f"pow({e('num')}, 400)")
        if kind == "text":
            return self.pick(f"char({e('int')})", f"repeat({e('text')}, {e('int')} % 5)", f"json_extract({e('text')}, '$.a')", f"extractvalue('<a/>', {e('text')})", f"updatexml('<a/>', {e('text')}, 'x')",
                             f"convert({e('text')} USING latin1)", f"({self.select([], 1, ['text'])})", f"inet6_ntoa({e('text')})", f"from_base64({e('text')})")
        if kind == "date":
            return self.pick(f"cast({e('text')} AS date)", f"str_to_date({e('text')}, '%Y-%m-%d')", f"makedate({e('int')}, 29)")
        if kind == "ts":
            return self.pick(f"cast({e('text')} AS datetime)", f"convert_tz({e('ts')}, {e('text')}, '+00:00')")
        return self.pick(f"({e('text')} REGEXP {e('text')})", f"(1 / ({e('int')} - 5) > 0)", f"({e('text')} = 0)", f"json_valid({e('text')})", f"({e('date')} > {e('text')})", f"json_contains({e('text')}, '1')")

    # --- queries ---

    def aggregate(self, scope):
        k = self.pick("int", "text", "date", "num")
        e, distinct = self.expr(scope, k, 2), self.pick("", "", "DISTINCT ")
        if self.chance(0.15):
            t = self.expr(scope, "text", 2)
            return self.pick(f"group_concat({distinct}{t} ORDER BY {t} SEPARATOR ',')", f"bit_xor({self.expr(scope, 'int', 1)})", f"json_arrayagg({self.column(scope, 'int') or 1})" if False else f"count(DISTINCT {t}, {e})")
        if k in ("int", "num") and self.chance(0.4):
            return f"{self.pick('sum', 'avg')}({distinct}{e})"
        return f"{self.pick('max', 'min', 'count')}({distinct}{e})"

    def grouped(self):
        scope, text = self.sources([], 1)
        keys = [self.expr(scope, self.pick("int", "text", "date"), 1) for _ in range(self.pick(1, 1, 2))]
        where = f" WHERE {self.expr(scope, 'bool', 2)}" if self.chance(0.5) else ""
        out = ", ".join([*keys, *(self.aggregate(scope) for _ in range(self.pick(1, 1, 2)))])
        having = f" HAVING {self.aggregate(scope)} IS NOT NULL" if self.chance(0.2) else ""
        return f"SELECT {out} FROM {text}{where} GROUP BY {', '.join(str(i + 1) for i in range(len(keys)))}{self.pick('', '', '', ' WITH ROLLUP')}{having}", out.count(",") + 1

    def windowed(self):
        scope, text = self.sources([], 1)
        first, key = scope[0][0], next(iter(scope[0][1]))
        e = self.expr(scope, self.pick("int", "text", "date"), 2)
        part = f"PARTITION BY {self.expr(scope, self.pick('text', 'int'), 1)} " if self.chance(0.6) else ""
        over = f"({part}ORDER BY {self.expr(scope, 'text', 1)}, {e})"
        return f"SELECT {first}.{key}, {self.pick('rank()', 'dense_rank()', f'max({e})', f'min({e})', f'count({e})', 'cume_dist()')} OVER {over} FROM {text}", 2

    def query(self):
        kinds = [self.pick("int", "text", "date", "text", "num") for _ in range(self.pick(1, 2, 3))]
        r = self.r.random()
        if r < 0.1:
            scope, text = self.sources([], 1)
            return f"SELECT {self.pick('*', scope[0][0] + '.*', f'count(*), {scope[0][0]}.*')} FROM {text} WHERE {self.expr(scope, 'bool', 2)}", 1
        if r < 0.18:
            return f"({self.select([], 2, kinds)}) {self.pick('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT')} ({self.select([], 2, kinds)})", len(kinds)
        if r < 0.26:
            name = self.pick("customers", "w", "orders")
            return f"WITH {name} AS ({self.select([], 2, kinds)}) SELECT {name}.* FROM {name}, {self.pick('customers', 'orders')} x WHERE x.id < 9", len(kinds)
        if r < 0.3:
            return ("WITH RECURSIVE r (n, c) AS (SELECT 1, cast('' AS char(200)) UNION ALL SELECT n + 1, (SELECT max(x.name) FROM customers x WHERE x.id > n) FROM r WHERE n < 5) "
                    f"SELECT n, c FROM r, {self.pick('customers', 'orders')} y WHERE y.id = n"), 2
        if r < 0.5:
            return self.grouped()
        if r < 0.56:
            return self.windowed()
        if r < 0.62:
            a = self.alias()
            return f"SELECT {a}.{self.pick('id', 'name', 'region')} FROM customers {a} JOIN orders o{a} ON o{a}.customer_id = {a}.id WHERE {self.expr([(a, CUSTOMER)], 'bool', 2)}", 1
        if r < 0.66:
            return f"SELECT {self.pick('email', 'name', '*')} FROM customers NATURAL JOIN {self.pick('orders', 'customers')} WHERE id < 5" if self.chance(0.3) else f"SELECT * FROM customers JOIN orders USING (id) WHERE {self.expr([('customers', CUSTOMER)], 'bool', 1)}", 1
        scope, text = self.sources([], 2)
        out = ", ".join(self.expr(scope, k, 2) for k in kinds)
        where = f" WHERE {self.expr(scope, 'bool', 2)}" if self.chance(0.6) else ""
        return f"SELECT {self.pick('', '', 'DISTINCT ', 'SQL_NO_CACHE ')}{out} FROM {text}{where}", len(kinds)

    def finish(self, sql):
        """Marks of parameters to "?" in the order in which they stand."""
        if not self.parameters:
            return sql, []
        import re
        order = [int(n) for n in re.findall(r"\?(\d+)\?", sql)]
        return re.sub(r"\?\d+\?", "?", sql), [self.parameters[n - 1] for n in order]

    def read(self, parameters=False):
        self.parameters = [] if parameters else None
        self.risky = self.pick(0.0, 0.0, 0.0, 0.15)
        sql, n = self.query()
        ordered = False
        if self.chance(0.3) and sql.startswith("SELECT") and not any(w in sql[:40] for w in ("*", "SQL_NO_CACHE")):
            sql, ordered = f"SELECT * FROM ({sql}) AS q ORDER BY {', '.join(str(i + 1) for i in range(n))}", False
        sql, values = self.finish(sql)
        self.parameters = None
        return Statement(sql, "read", ordered, values)

    # --- writes ---

    def examined(self, limit):
        """MariaDB's, which counts the rows that are read."""
        return f"{'' if limit else ' LIMIT'} ROWS EXAMINED {self.r.randrange(1, 400)}" if self.r.random() < 0.02 else ""

    def change(self):
        a = self.alias()
        self.risky = self.pick(0.0, 0.0, 0.1)
        scope = [(a, CUSTOMER)]
        table = self.pick("customers", "customers", "parts") if self.writes else "customers"
        e = lambda k, d=2: self.expr(scope, k, d)  # noqa: E731
        r = self.r.random()
        if r < 0.2:
            return f"UPDATE {table} {a} SET name = left({e('text')}, 20) WHERE {e('bool')}"
        if r < 0.3:
            return f"UPDATE {table} SET name = {self.pick(repr('boom'), repr(''), repr('bad'), repr('cast'), 'NULL', 'repeat(' + repr('x') + ', 90)')} WHERE {self.expr([(table, CUSTOMER)], 'bool', 1)}"
        if r < 0.4:
            return f"DELETE FROM {table} WHERE {self.expr([(table, CUSTOMER)], 'bool', 2)}{self.pick('', ' RETURNING id, name', ' RETURNING *')}"
        if r < 0.5:
            return f"UPDATE {table} {a} JOIN orders o ON o.customer_id = {a}.id SET {self.pick(a + '.name = o.status', 'o.status = left(' + a + '.email, 20)')} WHERE {e('bool', 1)}"
        if r < 0.58:
            return f"DELETE {self.pick(a, 'o')} FROM {table} {a} JOIN orders o ON o.id = {a}.id WHERE {e('bool', 1)}"
        if r < 0.68:
            return f"INSERT INTO copies SELECT {e('int')}, {e('text')} FROM {table} {a} WHERE {e('bool', 1)}"
        if r < 0.76:
            return f"INSERT INTO {table} (id, name, email, phone, card_number, birth_date, region) VALUES ({self.pick('3', '5000')}, 'n', 'e', 'p', 'c', '2000-01-01', 'eu') {self.pick('', '', 'ON DUPLICATE KEY UPDATE name = ' + self.pick('email', 'VALUES(email)', 'concat(phone, name)'))}"
        if r < 0.82:
            return f"REPLACE INTO {table} (id, name, email, phone, card_number, birth_date, region) VALUES ({self.pick('3', '6')}, 'n', 'e{self.r.randrange(99)}', 'p', 'c', '2000-01-01', 'eu')"
        if r < 0.9:
            return self.pick(f"UPDATE notes SET code = left({self.expr([('notes', NOTES)], 'text', 2)}, 12) WHERE {self.expr([('notes', NOTES)], 'bool', 2)}", "DELETE FROM notes WHERE amount > 500",
                             "INSERT INTO notes (id, customer_id, tags) VALUES (4, 1, 'a')", "UPDATE notes SET amount = amount - 10000", "UPDATE notes SET customer_id = customer_id DIV (id - 4)")
        return self.pick(f"UPDATE customers SET name = name ORDER BY {self.pick('card_number', 'email', 'phone', 'id')} LIMIT 1", "UPDATE customers SET email = email", "UPDATE IGNORE customers SET name = 'bad'",
                         f"UPDATE customers SET name = (SELECT max(t) FROM copies) WHERE {self.expr([('customers', CUSTOMER)], 'bool', 2)}", "INSERT IGNORE INTO customers (id) VALUES (2), (5001)",
                         "CREATE TEMPORARY TABLE made AS SELECT * FROM customers", "LOCK TABLES customers READ", "SELECT * FROM customers WHERE id < 9 FOR UPDATE")


WAYS = {"text": 30, "execute": 22, "twice": 10, "prepare": 10, "cursor": 6, "explain": 2, "transaction": 4, "several": 3, "told": 5, "counted": 4, "change": 14}


class Conversation:
    """steps: (what, text, parameters); way: how it is sent; texts: for people."""

    def __init__(self, way, steps, texts, ordered=False):
        self.way, self.steps, self.texts, self.ordered = way, steps, texts, ordered


def quoted(sql):
    return "'" + sql.replace("\\", "\\\\").replace("'", "''") + "'"


PROBE = [("query", "SELECT c.* FROM customers c", ()), ("query", "SELECT * FROM orders", ())]


def sent(r, s, way):
    sql, q = s.sql, lambda text: ("query", text, ())
    if way == "text":
        steps = [q(sql)]
    elif way in ("execute", "cursor"):
        steps = [(way, sql, [s.parameters])]
    elif way == "twice":
        steps = [("execute", sql, [s.parameters, [r.choice(["3", "6", "a", "1970-01-01"]) for _ in s.parameters]])]
    elif way == "prepare":
        steps = [q(f"PREPARE s1 FROM {quoted(sql)}"), q("EXECUTE s1"), q("DEALLOCATE PREPARE s1")] if r.random() < 0.6 else [q(f"EXECUTE IMMEDIATE {quoted(sql)}")]
    elif way == "explain":
        steps = [q(f"{r.choice(('EXPLAIN ', 'EXPLAIN EXTENDED ', 'EXPLAIN FORMAT=JSON ', 'ANALYZE ', 'ANALYZE FORMAT=JSON '))}{sql}")]
    elif way == "transaction":
        steps = [q("BEGIN"), q("SAVEPOINT a"), q(sql), q("ROLLBACK TO SAVEPOINT a"), q("SELECT count(*), max(name) FROM customers"), q("ROLLBACK")]
    elif way == "several":
        steps = [q(f"SELECT 1; {sql}; SELECT 2")]
    elif way == "told":
        steps = [q(sql), q(r.choice(("SHOW WARNINGS", "EXECUTE IMMEDIATE 'SHOW WARNINGS'", "EXECUTE IMMEDIATE 'SELECT ROW_COUNT()'", "SHOW COUNT(*) WARNINGS", "SELECT @@warning_count", "SELECT FOUND_ROWS()", "SELECT ROW_COUNT()", "SHOW ERRORS", "SELECT @@error_count",
                                     "SHOW STATUS LIKE 'Handler_read%'", "SHOW SESSION STATUS LIKE 'Last_query_cost'", "SELECT LAST_INSERT_ID()", "SHOW PROFILES")))]
    elif way == "counted":
        n = r.choice((1, 3, 30, 300, 3000))
        name, value, default = r.choice((("max_join_size", n, "DEFAULT"), ("sql_safe_updates", 1, 0), ("tx_isolation", "'SERIALIZABLE'", "'REPEATABLE-READ'"), ("tmp_disk_table_size", 1024 * n, "DEFAULT"),
                                         ("tmp_table_size", 1024 * n, "DEFAULT"), ("sort_buffer_size", 1024 * n, "DEFAULT"), ("sql_select_limit", n, "DEFAULT"), ("max_sort_length", n + 8, "DEFAULT"),
                                         ("group_concat_max_len", n + 4, "DEFAULT"), ("max_recursive_iterations", n, "DEFAULT"), ("max_session_mem_used", 8192 * n, "DEFAULT")))
        if r.random() < 0.3 and sql.startswith("SELECT"):
            steps = [q(f"SET STATEMENT {name} = {value} FOR {sql}")]
        else:
            steps = [q("SET sql_big_selects = 0"), q(f"SET {name} = {value}"), q(sql), q(f"SET {name} = {default}"), q("SET sql_big_selects = 1")]
    else:
        assert way == "change", way
        by = r.random()
        does = [q(sql)] if by < 0.8 else [q(f"EXECUTE IMMEDIATE {quoted(sql)}")] if by < 0.9 else [q(f"PREPARE s1 FROM {quoted(sql)}"), q("EXECUTE s1")]
        steps = [q("BEGIN"), *does, *PROBE, q("ROLLBACK")] + [q(undo) for word, undo in (("LOCK", "UNLOCK TABLES"), ("CREATE", "DROP TEMPORARY TABLE IF EXISTS made")) if sql.startswith(word)]
    return Conversation(way, steps, [sql, *map(str, s.parameters)], s.ordered)


def conversation(group, seed):
    """The seed's one for that group."""
    g = Oracle(group, seed)
    ways = dict(WAYS, change=2) if not g.writes else WAYS
    way = g.r.choices(list(ways), list(ways.values()))[0]
    if way == "change":
        return sent(g.r, Statement(g.change(), "change"), way)
    return sent(g.r, g.read(parameters=way in ("execute", "twice", "cursor")), way)
