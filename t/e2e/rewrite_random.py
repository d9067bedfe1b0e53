"""Random statements over the columns of rewrite_oracle.py's schema: deep, valid more often than not, and reproducible from a seed."""
import random

CUSTOMER = {"id": "int", "name": "text", "email": "text", "phone": "text", "card_number": "text", "birth_date": "date", "region": "text"}
TABLES = {"customers": CUSTOMER, "public.customers": CUSTOMER, "parts": CUSTOMER, "parts_eu": CUSTOMER,
          "orders": {"id": "int", "customer_id": "int", "total": "num", "status": "text", "placed_at": "ts"}, "items": {"order_id": "int", "n": "int", "what": "text"}}
CONSTANTS = {"int": ["0", "3", "6", "42", "-1"], "num": ["1.5", "100"], "text": ["'eu'", "'a'", "'a***@mail1.example'", "'%c4n4ry%'", "'4000-c4n4ry-3'", "''"],
             "date": ["date '1970-01-01'", "date '1961-06-01'"], "ts": ["timestamptz '2026-01-03 00:00:00+00'"], "bool": ["true", "false", "NULL"]}


class Random:
    tables = TABLES
    joins = (0, 0, 1, 1, 2)  # so many, each as likely
    kinds_of_join = ("CROSS JOIN", "JOIN", "LEFT JOIN", ",", "RIGHT JOIN")

    def __init__(self, seed, hidden=()):
        self.r = random.Random(seed)
        self.hidden = set(hidden)  # columns that are refused when named: used rarely
        self.n = 0

    def pick(self, *choices):
        return self.r.choice(choices)

    def alias(self):
        self.n += 1
        return f"t{self.n}"

    # --- expressions; scope: a list of (alias, {column: type}) ---

    def column(self, scope, kind):
        found = [(a, c) for a, columns in scope for c, t in columns.items() if t == kind and (c not in self.hidden or self.r.random() < 0.01)]
        if not found:
            return None
        a, c = self.r.choice(found)
        return f"{a}.{c}" if self.r.random() < 0.9 else c

    def expr(self, scope, kind, depth=3):
        if depth <= 0 or self.r.random() < 0.3:
            return (self.r.random() < 0.8 and self.column(scope, kind)) or self.pick(*CONSTANTS[kind])
        e = lambda k: self.expr(scope, k, depth - 1)  # noqa: E731
        if self.r.random() < 0.08 and depth > 1:
            return f"({self.select(scope, depth - 1, [kind], limit=1)})"
        if self.r.random() < 0.1:
            return f"CASE WHEN {e('bool')} THEN {e(kind)} ELSE {e(kind)} END"
        if self.r.random() < 0.1:
            return f"coalesce({e(kind)}, {e(kind)})"
        if kind == "int":
            return self.pick(*(f"length({e('text')})", f"({e('int')} + {e('int')})", f"({e('int')} / ({e('int')} - 5))", f"strpos({e('text')}, {e('text')})",
                               f"extract(day FROM {e('date')})::int", f"abs({e('int')})", f"ascii({e('text')})"))
        if kind == "num":
            return self.pick(f"({e('num')} * 2)", f"round({e('num')})", f"{e('int')}::numeric")
        if kind == "text":
            return self.pick(f"lower({e('text')})", f"upper({e('text')})", f"({e('text')} || {e('text')})", f"left({e('text')}, {self.pick(1, 5, 9)})",
                             f"reverse({e('text')})", f"md5({e('text')})", f"{e('date')}::text", f"{e('int')}::text", f"replace({e('text')}, 'c4n4ry', 'x')",
                             f"split_part({e('text')}, '@', 1)", f"substr({e('text')}, {self.pick(2, 4, 8)}, 2)", f"row_to_json(ROW({e('text')}, {e('date')}))::text")
        if kind == "date":
            return self.pick(f"({e('date')} + 1)", f"greatest({e('date')}, {e('date')})")
        if kind == "ts":
            return self.pick(f"({e('ts')} - interval '1 hour')", f"{e('date')}::timestamp AT TIME ZONE 'UTC'")
        k = self.pick("int", "text", "date", "int")
        return self.pick(f"({e(k)} {self.pick('=', '<', '>', '<=', '<>')} {e(k)})", f"({e(k)} IS {self.pick('', 'NOT ')}NULL)", f"({e('bool')} AND {e('bool')})",
                         f"({e('bool')} OR {e('bool')})", f"(NOT {e('bool')})", f"({e('text')} LIKE {e('text')})", f"({e(k)} IN ({e(k)}, {e(k)}))",
                         f"({e(k)} BETWEEN {e(k)} AND {e(k)})", f"(({e(k)}) IN ({self.select(scope, depth - 1, [k])}))",
                         f"(EXISTS ({self.select(scope, depth - 1, ['int'])}))", f"({e(k)} IS DISTINCT FROM {e(k)})", "touch(%s)" % e(k), f"{e('text')}::boolean")

    # --- queries ---

    def source(self, outer, depth):
        a = self.alias()
        if depth > 0 and self.r.random() < 0.25:
            kinds = [self.pick("int", "text", "date") for _ in range(3)]
            lateral = self.r.random() < 0.3
            return (a, {f"c{i}": k for i, k in enumerate(kinds)}), f"{'LATERAL ' if lateral else ''}({self.select(outer if lateral else outer[:0], depth - 1, kinds)}) AS {a}"
        table = self.r.choice(["customers"] * 4 + list(self.tables))
        columns = dict(self.tables[table])
        if self.r.random() < 0.1:
            names = [f"{a}x{i}" for i in range(min(2, len(columns)))]
            columns = dict(list(zip(names, columns.values())) + list(columns.items())[len(names):])
            return (a, columns), f"{table} AS {a} ({', '.join(names)})"
        return (a, columns), f"{self.pick('', '', '', 'ONLY ')}{table} {a}"

    def sources(self, outer, depth):
        first, text = self.source(outer, depth)
        scope = [first]
        for _ in range(self.pick(*self.joins)):
            item, more = self.source(outer + scope, depth)
            kind = self.pick(*self.kinds_of_join)
            if kind in ("CROSS JOIN", ",") or "LATERAL" in more:
                text += (", " if kind == "," else " CROSS JOIN ") + more
            else:
                text += f" {kind} {more} ON {self.join(scope, item)}"
            scope.append(item)
        return scope, text

    def join(self, scope, item):
        left, right = self.column(scope, "int"), self.column([item], "int")
        if left and right and self.r.random() < 0.8:
            return f"{left} = {right}"
        return self.expr(scope + [item], "bool", 1)

    def select(self, outer, depth, kinds, limit=None):
        scope, text = self.sources(outer, depth)
        all_of = outer + scope
        out = [self.expr(all_of if self.r.random() < 0.3 else scope, k, depth) for k in kinds]
        where = f" WHERE {self.expr(all_of, 'bool', depth)}" if self.r.random() < 0.7 else ""
        if self.r.random() < 0.12:
            out = [f"max({e})" for e in out]
        elif self.r.random() < 0.1 and not limit:
            return f"SELECT {', '.join(out)}, count(*) FROM {text}{where} GROUP BY {', '.join(str(i + 1) for i in range(len(out)))}" if outer == [] else \
                f"SELECT DISTINCT {', '.join(out)} FROM {text}{where}"
        tail = f" ORDER BY {', '.join(str(i + 1) for i in range(len(out)))}" if limit or self.r.random() < 0.3 else ""
        return f"SELECT {', '.join(out)} FROM {text}{where}{tail}{' LIMIT %d' % limit if limit else ''}"

    def query(self):
        kinds = [self.pick("int", "text", "date", "text") for _ in range(self.pick(1, 2, 3))]
        r = self.r.random()
        if r < 0.1:
            scope, text = self.sources([], 1)
            whole = [] if f"{scope[0][0]}x0" in scope[0][1] else ["row_to_json(" + scope[0][0] + ")::text"]  # a record has the alias's names
            return f"SELECT {self.pick('*', scope[0][0] + '.*', *whole)} FROM {text} WHERE {self.expr(scope, 'bool')}"
        if r < 0.2:
            return f"({self.select([], 2, kinds)}) {self.pick('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT')} ({self.select([], 2, kinds)})"
        if r < 0.3:
            name = self.pick("customers", "w")
            names = ", ".join(f"c{i}" for i in range(len(kinds)))
            return f"WITH {name} ({names}) AS ({self.select([], 2, kinds)}) SELECT * FROM {name}, {self.pick('public.customers', 'orders')} x WHERE x.id < 9"
        return self.select([], 3, kinds)

    # --- writes ---

    def write(self):
        a = self.alias()
        target = [(a, dict(CUSTOMER))]
        returning = self.pick("", "", f" RETURNING {a}.*", f" RETURNING {self.expr(target, 'text')}, {self.expr(target, 'int', 1)}", f" RETURNING {a}::text")
        table = self.pick("customers", "customers", "parts")
        other, using = self.source([], 1)
        if self.r.random() < 0.5:
            other = None
        scope = target + ([other] if other else [])
        where = f" WHERE {self.expr(scope, 'bool')}"
        kind = self.r.random()
        if kind < 0.45:
            return f"UPDATE {table} AS {a} SET name = coalesce({self.expr(scope, 'text')}, 'x'){' FROM ' + using if other else ''}{where}{returning}"
        if kind < 0.75:
            return f"DELETE FROM {table} {a}{' USING ' + using if other else ''}{where}{returning}"
        if kind < 0.85:
            return f"INSERT INTO copies SELECT {self.expr([('x', CUSTOMER)], 'int')}, {self.expr([('x', CUSTOMER)], 'text')} FROM {table} x RETURNING *"
        return (f"UPDATE orders o SET status = {self.expr([('o', TABLES['orders']), (a, CUSTOMER)], 'text')} FROM {table} {a} WHERE o.customer_id = {a}.id AND "
                f"{self.expr([('o', TABLES['orders']), (a, CUSTOMER)], 'bool')} RETURNING o.*")

    def statement(self):
        return self.write() if self.r.random() < 0.25 else self.query()


def statements(seed, count, hidden=()):
    return [Random(seed * 1000003 + i, hidden).statement() for i in range(count)]
