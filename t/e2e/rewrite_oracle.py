"""The main oracle of what rules hide: statements run on two databases that differ only in hidden data must answer alike, and as on a database that holds the masked data.

Three kinds of databases with one schema: "a", "b" (other hidden data; one for each role, because each hides something else) and "m" (what the role may see, as plain data).
A statement of a role is rewritten by `gatehousectl policy rewrite`; what comes out runs on a and b, and the statement itself on m."""
import collections
import datetime
import json
import subprocess

import psycopg

POLICY = """version: 1
databases: { shop: {} }
tags: { shop: { secret: ["public.*.card_number"] } }
rules:
  - name: agents-customers
    groups: agent
    database: shop
    allow: [select, insert, update, delete]
    on: [public.customers, public.parts]
    columns:
      email: { mask: email }
      phone: { mask: 'null' }
      card_number: { mask: { last: 4 } }
      birth_date: { mask: { truncate: year } }
      note: hidden
      "*": visible
  - name: analysts-customers
    groups: analyst
    database: shop
    allow: [select, insert, update, delete]
    on: [public.customers, public.parts]
    columns: { "tag:secret": hidden, phone: hidden, note: hidden, "*": visible }
    rows: region = ${claim:region}
  - name: agents-codes
    groups: agent
    database: shop
    allow: select
    on: public.codes
  - name: partitions
    groups: [agent, analyst]
    database: shop
    allow: [select, update, delete]
    on: public.parts_*
  - name: analysts-codes
    groups: analyst
    database: shop
    allow: select
    on: public.codes
    rows: lower(region) = ${claim:region}
  - name: all-orders
    groups: [agent, analyst]
    database: shop
    allow: [read, write, create, temp, lock]
    on: [public.orders, public.items, public.copies, public.words]
    functions: [public.touch]
"""

SCHEMA = """
CREATE TABLE {c} (id int PRIMARY KEY, name text NOT NULL, email text, phone text, card_number text, birth_date date, region text NOT NULL, note jsonb);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, total numeric(10,2), status text, placed_at timestamptz);
CREATE TABLE items (order_id int, n int, what text, PRIMARY KEY (order_id, n));
CREATE TABLE copies (id int, t text);
CREATE TABLE codes (id int, region text, word text COLLATE "POSIX");
CREATE TABLE words (id int, w text COLLATE "C");
INSERT INTO words VALUES (1, 'x'), (4, 'anna 3'), (6, 'gnna 6');
INSERT INTO orders SELECT n, 1 + n * 37 % 30, n * 7 % 200, (ARRAY['open','paid','shipped'])[1 + n % 3], timestamptz '2026-01-01 08:00:00+00' + n * interval '47 minutes'
  FROM generate_series(1, 100) n;
INSERT INTO items SELECT n / 2, n % 2, 'thing ' || n % 7 FROM generate_series(2, 100) n;
"""

ROWS = 30


def customer(n, hidden=0):
    """One row; hidden: another world's value in every place that a mask of role "agent" takes away."""
    region = ("eu", "us", "apac")[n % 3]
    first = "abcdefghij"[n % 10]
    return {"id": n, "name": f"{first}nna {n % 11}", "email": f"{first}.c4n4ry{n * 31 % 97 + hidden * 1000}@mail{n % 3}.example",
            "phone": None if n % 9 == 0 and not hidden else f"+49 c4n4ry {n * 7 + hidden}",
            "card_number": f"4000-c4n4ry-{n * 13 + hidden * 5}-{n * 7919 % 10000:04}",
            "birth_date": datetime.date(1950 + n % 50, 1 + (n + hidden) % 12, 1 + (n * 5 + hidden) % 28), "region": region,
            "note": json.dumps({"secret": f"c4n4ry {n + hidden}", "list": [n, hidden]})}


def masked_email(s):
    return s[0] + "***@" + s.rsplit("@", 1)[1]


class World:
    """A role and its databases."""

    def __init__(self, oracle, role):
        self.oracle, self.role = oracle, role
        self.a = [customer(n) for n in range(1, ROWS + 1)]
        if role == "agent":
            self.b = [customer(n, hidden=1) for n in range(1, ROWS + 1)]
            self.m = [dict(r, email=masked_email(r["email"]), phone=None, card_number="***" + r["card_number"][-4:], note=None,
                           birth_date=r["birth_date"].replace(month=1, day=1)) for r in self.a]
        else:
            eu = [r for r in self.a if r["region"] == "eu"]
            other = [customer(n, hidden=1) for n in range(1000, 1000 + ROWS * 3) if n % 3 != 0]
            self.b = [dict(r, card_number="c4n4ry other", phone="c4n4ry other", note='{"c4n4ry": "other"}') for r in eu] + other
            self.m = [dict(r, card_number=None, phone=None, note=None) for r in eu]
        self.connections = {}

    def connect(self, kind):
        if kind not in self.connections:
            name = f"gh_rw_{self.role}_{kind}"
            self.oracle.admin.execute(f"DROP DATABASE IF EXISTS {name}")
            self.oracle.admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
            c = psycopg.connect(self.oracle.url, dbname=name, autocommit=True, prepare_threshold=None, options="-c client_min_messages=notice")
            self.connections[kind] = c
            self.fill(c, getattr(self, kind))
        return self.connections[kind]

    @staticmethod
    def fill(c, rows):
        c.execute(SCHEMA.replace("{c}", "customers"))
        c.execute("CREATE TABLE parts (LIKE customers) PARTITION BY LIST (region)")
        for region in ("eu", "us", "apac"):
            c.execute(f"CREATE TABLE parts_{region} PARTITION OF parts FOR VALUES IN ('{region}')")
        # "touch" stands for a function of the database's own that tells what it is called with
        c.execute("CREATE FUNCTION touch(x anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS "
                  "$$BEGIN RAISE NOTICE 'touch %', x; RETURN true; END$$")
        for table in ("customers", "parts"):
            with c.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for r in rows:
                    copy.write_row(list(r.values()))
        c.execute("INSERT INTO codes SELECT id, region, name FROM customers")
        c.execute("ANALYZE")

    def close(self):
        for kind, c in self.connections.items():
            c.close()
            self.oracle.admin.execute(f"DROP DATABASE IF EXISTS gh_rw_{self.role}_{kind}")


class Answer(collections.namedtuple("Answer", "status columns rows error notices probe")):
    """What a client sees of a statement; rows as a sorted list."""


class Oracle:
    def __init__(self, ctl, url, directory, catalog_of):
        self.ctl, self.url, self.directory = ctl, url, directory
        self.admin = psycopg.connect(url, autocommit=True)
        self.worlds = {role: World(self, role) for role in ("agent", "analyst")}
        self.policy = f"{directory}/rewrite.yaml"
        with open(self.policy, "w", encoding="utf-8") as f:
            f.write(POLICY)
        self.worlds["agent"].connect("a")
        self.catalog = f"{directory}/rewrite.catalog"
        with open(self.catalog, "w", encoding="utf-8") as f:
            f.write(catalog_of("gh_rw_agent_a"))

    def close(self):
        for w in self.worlds.values():
            w.close()
        self.admin.close()

    def rewrite(self, role, statements, policy=None):
        """One dictionary for each: verdict, rewritten, sql, message, ..."""
        done = subprocess.run([*self.ctl, "policy", "rewrite", "--policy", policy or self.policy, "--catalog", self.catalog, "--database", "shop", "--as", role,
                               "--claim", "region=eu", "--lines", "-"], input=b"".join(s.encode() + b"\0" for s in statements), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=600)
        if done.returncode != 0 or done.stderr:
            raise AssertionError(f"gatehousectl: {done.returncode} {done.stderr.decode()}")
        out = [json.loads(line) for line in done.stdout.splitlines()]
        if len(out) != len(statements):
            raise AssertionError(f"{len(statements)} statements, {len(out)} answers")
        return out

    @staticmethod
    def run(c, sql, probe=None):
        """Runs it in a transaction that is undone; probe: a SELECT that shows, within it, what became of the data."""
        notices, status, columns, rows, error, after = [], "", None, None, None, None
        c.add_notice_handler(handler := lambda d: notices.append(d.message_primary))
        try:
            with c.transaction(force_rollback=True):
                c.execute("SET LOCAL statement_timeout = '3s'")
                try:
                    if sql.lstrip().upper().startswith("COPY"):
                        with c.cursor().copy(sql) as copy:
                            rows = sorted(bytes(x) for x in copy)
                    else:
                        cur = c.execute(sql)
                        while cur.nextset():
                            pass
                        status = cur.statusmessage
                        if cur.description:
                            columns = [(d.name, min(d.type_code, 16384)) for d in cur.description]  # the database's own types differ in their oids
                            rows = sorted(map(repr, cur.fetchall()))
                    if probe and not sql.lstrip()[:6].upper() in ("SELECT", "EXPLAI", "COPY ("):
                        after = sorted(map(repr, c.execute(probe).fetchall()))
                except psycopg.Error as e:
                    error = (e.sqlstate, e.diag.message_primary)
                    raise psycopg.Rollback() from None
        finally:
            c.remove_notice_handler(handler)
            if "PREPARE" in sql.upper():  # that does not go with the transaction
                c.execute("DEALLOCATE ALL")
        return Answer(status, columns, rows, error, sorted(notices), after)

    def check(self, role, statements, transform=None, policy=None, utility=True):
        """Compares. Returns (findings, counts): a finding is (kind, statement, rewritten text, what differs). transform changes the rewritten text, to see the
        oracle find it."""
        w = self.worlds[role]
        a, b, m = (w.connect(k) for k in "abm")
        probes = [r["sql"] for r in self.rewrite(role, ["SELECT c.* FROM customers c", "SELECT * FROM orders"], policy)]
        findings, counts = [], collections.Counter()
        for sql, r in zip(statements, self.rewrite(role, statements, policy)):
            if r["verdict"] != "allow":
                counts["refused"] += 1
                if "c4n4ry" in json.dumps(r).replace(json.dumps(sql)[1:-1], ""):
                    findings.append(("canary", sql, "", r["message"]))
                continue
            text = transform(r["sql"]) if transform else r["sql"]
            in_a, in_b = self.run(a, text, probes[0]), self.run(b, text, probes[0])
            if "57014" in (in_a.error or in_b.error or ("",)):
                counts["took too long"] += 1
                continue
            counts["executed" if in_a.error is None else "failed"] += 1
            if in_a != in_b:
                findings.append(("interference", sql, text, f"{in_a}\n  {in_b}"))
            if "c4n4ry" in repr(in_a) and "c4n4ry" not in sql and role == "agent":
                findings.append(("canary", sql, text, in_a))
            if not utility:
                continue
            in_m = self.run(m, sql, "SELECT c.* FROM customers c")
            if in_m.error is not None and in_m.error[0] in ("42803", "42P20") and in_a.error is None:
                findings.append(("utility", sql, text, f"an aggregate or window function in a wrong place: {in_m.error}"))
            # Names that are ambiguous there may be unambiguous in the rewritten text; and the order in which conditions are tried is the server's to choose
            if in_m.error is not None or (in_a.error is not None and in_a.error[0].startswith("22")):
                continue
            if in_a.error is not None or in_m[:3] != in_a[:3]:
                findings.append(("utility", sql, text, f"{in_a}\n  {in_m}"))
        return findings, counts
