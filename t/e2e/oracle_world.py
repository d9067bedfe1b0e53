"""Databases that differ in hidden data only, and who asks them: for test_noninterference.py.

The tables are those of the demo shop, and more for principals that also write. The policy is examples/shop/policy.yaml as it is (groups ai-agents and analysts), plus two groups of
the tests' own, writers and editors, that see as much and write. Each of the two views has a pair of databases: what one hides is not what the other hides. Both of a pair are copies of one template, so that object ids are equal too; their
rows stand in one order. "c4n4ry" is in hidden data alone, and hidden data holds it wherever its type can.
"""
import contextlib
import datetime
import os
import re

import psycopg

import stack

SHOP = os.path.join(stack.TOP, "examples", "shop")
VIEWS = ("agent", "analyst")
DATABASES = [f"{view}_{kind}" for view in VIEWS for kind in "ab"]
ROWS = 15
# Plans follow from figures of all rows, and the order of rows and which of two errors comes first follow from plans. So small tables have no statistics, which makes plans equal; or, with this, they have them, and as
# many rows are hidden in both.
STATISTICS = os.environ.get("GH_ORACLE_STATISTICS", "") != ""
# group: the view that it has, whether it is one of the shop's own, what it may touch besides
GROUPS = {"ai-agents": "agent", "analysts": "analyst", "writers": "agent", "editors": "analyst"}

RULES = """
  - name: oracle-writers
    groups: writers
    database: shop
    allow: [select, insert, update, delete]
    on: [public.customers, public.parts]
    columns:
      email: { mask: email }
      phone: { mask: null }
      card_number: { mask: { partial: { last: 4 } } }
      birth_date: { mask: { truncate: year } }
      "*": visible
  - name: oracle-editors
    groups: editors
    database: shop
    allow: [select, insert, update, delete]
    on: [public.customers, public.parts]
    columns: { phone: hidden, card_number: hidden, "*": visible }
    rows: region = ${claim:region}
  - name: oracle-writers-notes
    groups: writers
    database: shop
    allow: [select, insert, update, delete]
    on: public.notes
    columns: { note: hidden, amount: { mask: { round: 100 } }, "*": visible }
  - name: oracle-editors-notes
    groups: editors
    database: shop
    allow: [select, insert, update, delete]
    on: public.notes
    columns: { note: hidden, amount: { mask: { constant: '7' } }, "*": visible }
    rows: "code ~~ 'v%'"
  - name: oracle-partitions
    groups: [writers, editors]
    database: shop
    allow: [select, update, delete]
    on: public.parts_*
  - name: oracle-open
    groups: [writers, editors]
    database: shop
    allow: [read, write, create, temp, lock]
    on: [public.orders, public.items, public.copies]
    functions: [public.touch]
  - name: oracle-all
    groups: all
    database: shop
    allow: all
    on: "*.*"
"""

MORE = """
CREATE TABLE parts (LIKE customers INCLUDING CONSTRAINTS) PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us');
CREATE TABLE parts_apac PARTITION OF parts FOR VALUES IN ('apac');
CREATE TABLE items (order_id int, n int, what text, PRIMARY KEY (order_id, n));
CREATE TABLE copies (id int, t text);
CREATE TABLE notes (id int PRIMARY KEY, customer_id int, code varchar(12), note jsonb, amount numeric(10, 2) CHECK (amount >= 0), tags text[]);
CREATE FUNCTION touch(x anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$BEGIN
    IF x::text ~ '^1[0-9][0-9][0-9]$' THEN RAISE EXCEPTION 'touched one that nobody sees'; END IF;
    RAISE NOTICE 'touch %', x;
    RETURN true;
END$$;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    RAISE NOTICE 'row %', OLD;
    IF TG_OP = 'UPDATE' THEN
        IF NEW.name = 'boom' THEN RAISE EXCEPTION 'no boom for %', OLD.email USING DETAIL = OLD.card_number, HINT = OLD.phone; END IF;
        IF NEW.name = 'cast' THEN PERFORM OLD.phone::integer; END IF;
        IF NEW.name = '' THEN RAISE invalid_name USING MESSAGE = OLD.phone, COLUMN = OLD.phone, TABLE = OLD.card_number; END IF;
        RETURN NEW;
    END IF;
    RETURN OLD;
END$$;
CREATE TRIGGER tell BEFORE UPDATE OR DELETE ON customers FOR EACH ROW EXECUTE FUNCTION tell();
ALTER TABLE customers ADD CHECK (name <> 'bad'), ADD CHECK (length(email) + length(name) < 80);
INSERT INTO items SELECT n / 2, n % 2, 'thing ' || n % 7 FROM generate_series(2, 30) n;
INSERT INTO copies SELECT n, 'copy ' || n % 5 FROM generate_series(1, 6) n;
"""


def customer(n, canary, hidden):
    """One row. canary: in each value that is hidden; hidden: which world's."""
    first = "abcdefghij"[n % 10]
    return {"id": n, "name": f"{first}nna {n % 11}", "email": f"{first}.{canary}{n * 31 % 97 + hidden * 1000}@mail{n % 3}.example", "phone": f"+49 c4n4ry {n * 7 + hidden}",
            "card_number": f"4000-c4n4ry-{n * 13 + hidden * 50:05}-{n * 7919 % 10000:04}",
            "birth_date": datetime.date(1950 + n % 50, 1 + (n + hidden) % 12, 1 + (n * 5 + hidden) % 28), "region": ("eu", "us", "apac")[n % 3]}


def note(n, hidden):
    return (n, 1 + n * 5 % ROWS, f"{'vw'[n % 2]}{n % 7}", f'{{"secret": "c4n4ry {n + hidden}", "list": [{n}, {hidden}]}}', n * 100 + 7 * hidden, [f"t{n % 3}", f"u{n % 2}"])


def rows(view, kind):
    """(customers, notes) of a database."""
    numbers = range(1, ROWS + 1)
    if view == "agent":
        hidden = 0 if kind == "a" else 1
        return [customer(n, "c4n4ry", hidden) for n in numbers], [note(n, hidden) for n in numbers]
    seen, notes = [dict(customer(n, "mail", 0)) for n in numbers if n % 3 == 0], [note(n, 0) for n in numbers if n % 2 == 0]
    if kind == "a":
        other = [dict(customer(n, "c4n4ry", 0), name=f"c4n4ry {n}") for n in numbers if n % 3 != 0]
        return sorted(seen + other, key=lambda r: r["id"]), sorted(notes + [note(n, 0) for n in numbers if n % 2 != 0])
    # other ids, more of them, other names, in front of the rows that are seen and between them
    seen = [dict(r, card_number=f"c4n4ry {r['id']}", phone="c4n4ry other") for r in seen]
    notes_of_b = [(*r[:3], '{"c4n4ry": 1}', r[4] * 3 + 1, r[5]) for r in notes]
    if STATISTICS:
        other = [dict(customer(n, "c4n4ry", 1), name=f"c4n4ry {n}") for n in range(1001, 1001 + ROWS) if n % 3 != 0]
        mixed = [r for pair in zip(other[::2], other[1::2], seen) for r in pair]
        return mixed, notes_of_b + [note(n, 3) for n in range(1001, 1001 + ROWS + ROWS % 2, 2)]
    other = [dict(customer(n, "c4n4ry", 1), name=f"c4n4ry other {n}") for n in range(1000, 1000 + ROWS * 3) if n % 3 != 0]
    mixed = other[:9] + [r for pair in zip(seen, other[9:]) for r in pair] + seen[len(other) - 9:] + other[9 + len(seen):]
    return mixed, notes_of_b + [note(n, 3) for n in range(1001, 1020, 2)]


def ddl():
    with open(os.path.join(SHOP, "shop.sql"), encoding="utf-8") as f:
        text = f.read()
    return "\n".join(m.group(0) for m in re.finditer(r"^CREATE (?:TABLE|VIEW|INDEX)[^;]*;", text, re.M))


def fill(c, view, kind):
    customers, notes = rows(view, kind)
    # the orders' foreign key would need the ids of one database in the other
    c.execute("ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey; ALTER TABLE customers DISABLE TRIGGER ALL")
    for table, values in (("customers", customers), ("parts", customers), ("notes", notes)):
        with c.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for r in values:
                copy.write_row(list(r.values()) if isinstance(r, dict) else r)
    c.execute("ALTER TABLE customers ENABLE TRIGGER ALL")
    c.execute(f"INSERT INTO orders SELECT n, 1 + n * 37 % {ROWS}, n * 7 % 200, (ARRAY['open', 'paid', 'shipped', 'returned'])[1 + n % 4], "
              "timestamptz '2026-01-01 08:00:00+00' + n * interval '47 minutes' FROM generate_series(1, 30) n")
    c.execute("INSERT INTO staff VALUES (1, %s, %s)", ("c4n4ry " + kind, 100 if kind == "a" else 200))
    for table in ("customers", "parts_eu", "parts_us", "parts_apac", "notes", "orders", "items", "copies", "staff"):
        c.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    if STATISTICS:
        c.execute("ANALYZE")


def config(text):
    """The shop's database once more for each of ours, and the claim that row filters ask for."""
    shop = re.search(r"^  shop:\n(?:    .*\n|\n)+", text, re.M).group(0)
    more = "".join(shop.replace("  shop:", f"  {name}:", 1).replace("database: shop", f"database: {name}") for name in DATABASES)
    return text.replace(shop, shop.rstrip("\n") + "\n" + more).replace("      groups_claim: groups\n", "      groups_claim: groups\n      attributes: { region: region }\n")


def policy():
    with open(os.path.join(SHOP, "policy.yaml"), encoding="utf-8") as f:
        text = f.read() + RULES
    text = text.replace("\n  shop:\n    mode: enforce\n", "\n  shop: { mode: enforce }\n" + "".join(f"  {n}: {{ mode: enforce }}\n" for n in DATABASES), 1)
    return re.sub(r"database: shop$", "database: [" + ", ".join(DATABASES) + "]", text, flags=re.M)


class World:
    """A stack with the databases in its server."""

    def __init__(self, build=None, databases=tuple(DATABASES)):
        self.stack = stack.Stack(policy=policy(), config=config, build=build)
        self.url = self.stack.env["GH_PG_DIRECT_URL"]
        self.tokens = {g: self.stack.mint(f"{g}@shop.example", [g], "--claim", "region=eu", "--ttl", "24h") for g in [*GROUPS, "all"]}  # long runs take hours
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute("CREATE DATABASE oracle_template TEMPLATE template0 ENCODING 'UTF8'")
            with psycopg.connect(self.url, dbname="oracle_template", autocommit=True) as c:
                c.execute(ddl() + MORE + "GRANT ALL ON ALL TABLES IN SCHEMA public TO shop_owner; GRANT CREATE ON SCHEMA public TO shop_owner")
            for name in databases:
                admin.execute(f"CREATE DATABASE {name} TEMPLATE oracle_template")
                admin.execute(f"ALTER DATABASE {name} OWNER TO shop_owner")
                admin.execute(f"ALTER DATABASE {name} SET jit = off")  # takes longer than what it compiles
                with psycopg.connect(self.url, dbname=name, autocommit=True) as c:
                    fill(c, *name.split("_"))

    @contextlib.contextmanager
    def equal_plans(self, databases):
        """What rolled-back writes have left is gone, and connections that are made meanwhile scan tables from their beginning, in both of a pair."""
        settings = ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin")
        with psycopg.connect(self.url, autocommit=True) as admin:
            for name in databases:
                for setting in settings:
                    admin.execute(f"ALTER DATABASE {name} SET {setting} = off")
                with psycopg.connect(self.url, dbname=name, autocommit=True) as c:
                    c.execute("VACUUM FULL")
            yield
            for name in databases:
                for setting in settings:
                    admin.execute(f"ALTER DATABASE {name} RESET {setting}")

    def close(self):
        self.stack.close()
