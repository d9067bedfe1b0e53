"""Data for test_utility.py: a wholesaler's orders and a shop's sales, in three databases. "raw" has all of it and is behind the gate; "agent" and "regional" hold, as plain data, what these two may see."""
import datetime
import re

import psycopg
import pymysql

import stack

SCHEMA = """
CREATE TABLE areas (area_id int PRIMARY KEY, area text NOT NULL);
CREATE TABLE countries (country_id int PRIMARY KEY, country text NOT NULL, area_id int NOT NULL);
CREATE TABLE clients (client_id int PRIMARY KEY, name text NOT NULL, email text NOT NULL, phone text, card varchar(20), born date, balance numeric(12,2), country_id int NOT NULL, segment char(8), note text);
CREATE TABLE vendors (vendor_id int PRIMARY KEY, vendor text NOT NULL, country_id int NOT NULL, phone text, balance numeric(12,2), remark text);
CREATE TABLE products (product_id int PRIMARY KEY, product varchar(40) NOT NULL, brand char(6), kind text, size int, box text, price numeric(10,2));
CREATE TABLE offers (product_id int, vendor_id int, stock int, cost numeric(10,2), PRIMARY KEY (product_id, vendor_id));
CREATE TABLE purchases (purchase_id int PRIMARY KEY, client_id int NOT NULL, status char(1), total numeric(12,2), day date, urgency text, clerk text);
CREATE TABLE lines (purchase_id int, line int, product_id int, vendor_id int, quantity int, price numeric(12,2), discount numeric(4,2), tax numeric(4,2), returned char(1), state char(1),
                    shipped date, promised date, received date, way text, PRIMARY KEY (purchase_id, line));
CREATE TABLE days (day_id int PRIMARY KEY, day date, year int, month int, quarter int, weekday text, week int);
CREATE TABLE stores (store_id int PRIMARY KEY, store text, city text, manager text, opened date);
CREATE TABLE goods (good_id int PRIMARY KEY, good text, category text, class text, brand text, price numeric(8,2));
CREATE TABLE shoppers (shopper_id int PRIMARY KEY, first text, last text, email text, born date, income int, city text, children smallint, note jsonb);
CREATE TABLE promotions (promotion_id int PRIMARY KEY, promotion text, channel text);
CREATE TABLE sales (sale_id int PRIMARY KEY, day_id int, store_id int, good_id int, shopper_id int, promotion_id int, quantity int, price numeric(8,2), cost numeric(8,2), at timestamptz);
CREATE TABLE web_sales (sale_id int PRIMARY KEY, day_id int, good_id int, shopper_id int, quantity int, price numeric(8,2), shipped_day_id int);
CREATE TABLE returns (sale_id int PRIMARY KEY, day_id int, good_id int, shopper_id int, quantity int, amount numeric(8,2), reason text);
CREATE TABLE stock (day_id int, good_id int, store_id int, on_hand int, PRIMARY KEY (day_id, good_id, store_id));
"""

RULES = """
  - name: utility-clients
    groups: [agent, regional]
    database: shop
    allow: select
    on: public.clients
    columns: { email: { mask: email }, phone: { mask: null }, card: { mask: { last: 4 } }, born: { mask: { truncate: year } }, balance: { mask: { round: 100 } }, note: hidden, "*": visible }
  - name: utility-vendors
    groups: [agent, regional]
    database: shop
    allow: select
    on: public.vendors
    columns: { phone: { mask: { first: 3 } }, remark: hidden, "*": visible }
  - name: utility-shoppers
    groups: [agent, regional]
    database: shop
    allow: select
    on: public.shoppers
    columns: { last: { mask: { first: 1 } }, email: { mask: email }, born: { mask: { truncate: month } }, income: { mask: { round: 1000 } }, note: hidden, "*": visible }
  - name: utility-stores
    groups: [agent, regional]
    database: shop
    allow: select
    on: public.stores
    columns: { manager: { mask: { constant: somebody } }, "*": visible }
  - name: utility-regional-clients
    groups: regional
    database: shop
    allow: select
    on: public.clients
    rows: country_id IN (1, 2, 5)
  - name: utility-regional-sales
    groups: regional
    database: shop
    allow: select
    on: [public.sales, public.stock]
    rows: store_id <= 2
  - name: utility-regional-purchases
    groups: regional
    database: shop
    allow: select
    on: public.purchases
    rows: "status <> 'X'"
  - name: utility-open
    groups: [agent, regional]
    database: shop
    allow: select
    on: [public.areas, public.countries, public.products, public.offers, public.purchases, public.lines, public.days, public.goods, public.promotions, public.sales, public.web_sales,
         public.returns, public.stock]
"""

DATABASES = ("raw", "agent", "regional")
FIRST = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gwen")
LAST = ("Olsen", "Novak", "Ricci", "Weber", "Kaya")


def day(n):
    return datetime.date(2025, 1, 1) + datetime.timedelta(n)


def data():
    """By table, rows as dictionaries in the schema's order."""
    t = {"areas": [dict(area_id=n, area=a) for n, a in enumerate(("NORTH", "SOUTH", "EAST"))],
         "countries": [dict(country_id=n, country=c, area_id=n % 3) for n, c in enumerate(("DENMARK", "SPAIN", "POLAND", "NORWAY", "ITALY", "LATVIA"))]}
    t["clients"] = [dict(client_id=n, name=f"Client {n:03}", email=f"{FIRST[n % 7].lower()}.c4n4ry{n}@mail{n % 3}.example", phone=f"{10 + n % 6}-c4n4ry-{n}", card=f"4000-c4n4ry-{n * 7919 % 10000:04}",
                         born=datetime.date(1950 + n % 40, 1 + n % 12, 1 + n % 28), balance=round(n * 137.31 % 9000 - 500, 2), country_id=n % 6, segment=("RETAIL", "BUILDING", "AUTO")[n % 3], note=f"c4n4ry {n}")
                    for n in range(1, 61)]
    t["vendors"] = [dict(vendor_id=n, vendor=f"Vendor {n:02}", country_id=n % 6, phone=f"+{40 + n} c4n4ry", balance=n * 210.5, remark="c4n4ry") for n in range(1, 11)]
    t["products"] = [dict(product_id=n, product=f"{('green', 'red', 'blue')[n % 3]} {('lamp', 'chair', 'bolt', 'pipe')[n % 4]} {n}", brand=f"B{n % 5}", kind=("LARGE BRASS", "SMALL TIN", "PROMO STEEL", "MEDIUM BRASS")[n % 4],
                          size=n % 15, box=("JAR", "BAG", "BOX")[n % 3], price=n * 3.25) for n in range(1, 41)]
    t["offers"] = [dict(product_id=n, vendor_id=1 + (n * k + k) % 10, stock=n * k * 7 % 100, cost=round(n * 2.1 + k, 2)) for n in range(1, 41) for k in (1, 3)]
    t["offers"] = list({(o["product_id"], o["vendor_id"]): o for o in t["offers"]}.values())
    t["purchases"] = [dict(purchase_id=n, client_id=1 + n * 37 % 55, status="FOX"[n % 3], total=round(n * 91.7 % 5000, 2), day=day(n * 5 % 700), urgency=f"{1 + n % 5}-{('HIGH', 'LOW')[n % 2]}", clerk=f"clerk {n % 4}")
                      for n in range(1, 181)]
    t["lines"] = [dict(purchase_id=n, line=k, product_id=1 + (n * k * 11) % 40, vendor_id=1 + (n + k) % 10, quantity=1 + n * k % 50, price=round(20 + n * k * 17.7 % 900, 2), discount=(n + k) % 11 / 100, tax=n % 9 / 100,
                       returned="ANR"[(n + k) % 3], state="OF"[n % 2], shipped=day(n * 5 % 700 + 10 + k * 7), promised=day(n * 5 % 700 + 25), received=day(n * 5 % 700 + 14 + k * 8), way=("SHIP", "RAIL", "AIR", "TRUCK")[n * k % 4])
                  for n in range(1, 181) for k in range(1, 2 + n % 4)]
    t["days"] = [dict(day_id=n, day=day(n), year=day(n).year, month=day(n).month, quarter=(day(n).month + 2) // 3, weekday=day(n).strftime("%A"), week=n // 7) for n in range(0, 730, 3)]
    t["stores"] = [dict(store_id=n, store=f"Store {n}", city=("Riga", "Oslo", "Bari")[n % 3], manager=f"c4n4ry {n}", opened=day(-n * 100)) for n in range(1, 6)]
    t["goods"] = [dict(good_id=n, good=f"good {n}", category=("Books", "Music", "Home")[n % 3], class_=f"class {n % 4}", brand=f"brand {n % 6}", price=round(n * 1.75 + 1, 2)) for n in range(1, 31)]
    t["shoppers"] = [dict(shopper_id=n, first=FIRST[n % 7], last=LAST[n % 5] + "c4n4ry", email=f"{FIRST[n % 7].lower()}{n}.c4n4ry@web{n % 2}.example", born=datetime.date(1960 + n % 40, 1 + n % 12, 1 + n % 27), income=n * 1237 % 60000,
                          city=("Riga", "Oslo", "Bari", "Turku")[n % 4], children=n % 4, note='{"c4n4ry": %d}' % n) for n in range(1, 51)]
    t["promotions"] = [dict(promotion_id=n, promotion=f"promo {n}", channel=("mail", "tv", "web")[n % 3]) for n in range(1, 7)]
    t["sales"] = [dict(sale_id=n, day_id=n * 9 % 729 // 3 * 3, store_id=1 + n % 5, good_id=1 + n * 7 % 30, shopper_id=1 + n * 11 % 48, promotion_id=n % 7 or None, quantity=1 + n % 8, price=round(5 + n * 3.3 % 90, 2),
                       cost=round(4 + n * 2.1 % 60, 2), at=datetime.datetime.combine(day(n * 9 % 729 // 3 * 3), datetime.time(n % 24, n % 60), datetime.timezone.utc)) for n in range(1, 501)]
    t["web_sales"] = [dict(sale_id=n, day_id=n * 13 % 729 // 3 * 3, good_id=1 + n * 3 % 30, shopper_id=1 + n * 17 % 50, quantity=1 + n % 5, price=round(4 + n * 2.7 % 70, 2), shipped_day_id=(n * 13 % 600 + 9) // 3 * 3)
                      for n in range(1, 301)]
    t["returns"] = [dict(sale_id=n, day_id=n * 9 % 600 // 3 * 3 + 12, good_id=1 + n * 7 % 30, shopper_id=1 + n * 11 % 48, quantity=1, amount=round(n * 1.3 % 50, 2), reason=("broken", "late", "other")[n % 3]) for n in range(5, 500, 5)]
    t["stock"] = [dict(day_id=d, good_id=g, store_id=s, on_hand=(d * g + s * 13) % 90) for d in range(0, 330, 30) for g in range(1, 13) for s in range(1, 5)]
    return t


def first_n(text, n):
    return text[:n] + "***"


def masked(t, regional):
    """What the two groups may see, by another hand than the gate's."""
    t = {name: [dict(r) for r in rows] for name, rows in t.items()}
    for r in t["clients"]:
        r.update(email=r["email"][0] + "***@" + r["email"].rsplit("@", 1)[1], phone=None, card="***" + r["card"][-4:], born=r["born"].replace(month=1, day=1), note=None,
                 balance=int(r["balance"] / 100) * 100)
    for r in t["vendors"]:
        r.update(phone=first_n(r["phone"], 3), remark=None)
    for r in t["shoppers"]:
        r.update(last=first_n(r["last"], 1), email=r["email"][0] + "***@" + r["email"].rsplit("@", 1)[1], born=r["born"].replace(day=1), income=r["income"] // 1000 * 1000, note=None)
    for r in t["stores"]:
        r["manager"] = "somebody"
    if regional:
        t["clients"] = [r for r in t["clients"] if r["country_id"] in (1, 2, 5)]
        t["purchases"] = [r for r in t["purchases"] if r["status"] != "X"]
        t["sales"] = [r for r in t["sales"] if r["store_id"] <= 2]
        t["stock"] = [r for r in t["stock"] if r["store_id"] <= 2]
    return t


def config(text, like):
    """One more database behind the gate, in the server of the one that is named."""
    shop = re.search(rf"^  {like}:\n(?:    .*\n|\n)+", text, re.M).group(0)
    return text.replace(shop, shop.rstrip("\n") + "\n" + shop.replace(f"  {like}:", "  raw:", 1).replace("database: shop", "database: raw"))


class World:
    """In PostgreSQL. A subclass has what another server needs."""
    like, databases, more = "shop", "shop: {}, raw: {}", {}

    def __init__(self):
        policy = f"version: 1\ndatabases: {{ {self.databases} }}\nrules:\n" + self.rules(RULES.replace("database: shop", "database: raw"))
        self.stack = stack.Stack(policy=policy, config=lambda text: config(text, self.like), **self.more)
        self.tokens = {g: self.stack.mint(f"{g}@shop.example", [g]) for g in ("agent", "regional")}
        everything = data()
        for name in DATABASES:
            self.fill(name, everything if name == "raw" else masked(everything, name == "regional"))

    def rules(self, text):
        return text

    def fill(self, name, tables):
        url = self.stack.env["GH_PG_DIRECT_URL"]
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        with psycopg.connect(url, dbname=name, autocommit=True) as c:
            c.execute(SCHEMA + "GRANT SELECT ON ALL TABLES IN SCHEMA public TO shop_owner")
            for table, rows in tables.items():
                with c.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    for r in rows:
                        copy.write_row(list(r.values()))
            c.execute("ANALYZE")

    def gate(self, group, **more):
        """Keywords for libpq."""
        return self.stack.dsn(group, password=self.tokens[group], dbname="raw", **more)

    def direct(self, name):
        return psycopg.conninfo.conninfo_to_dict(self.stack.env["GH_PG_DIRECT_URL"], dbname=name)

    def close(self):
        self.stack.close()


class MyWorld(World):
    """In MariaDB."""
    like, databases, more = "shop_my", "shop: {}, shop_my: {}, raw: {}", {"mysql": True}

    def rules(self, text):
        # The names of tables and columns are open to these two, as ORMs and tools read them.
        return text.replace("public.", "raw.") + """
  - name: utility-names
    groups: [agent, regional]
    database: raw
    allow: select
    on: [information_schema.schemata, information_schema.tables, information_schema.columns, information_schema.key_column_usage, information_schema.referential_constraints, information_schema.table_constraints]
"""

    def fill(self, name, tables):
        with pymysql.connect(**self.root(), autocommit=True) as c, c.cursor() as c:
            c.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
            c.execute(f"GRANT SELECT ON {name}.* TO shop_owner@'127.0.0.1'")
            c.execute(f"USE {name}")
            for sql in SCHEMA.replace("jsonb", "json").replace("timestamptz", "datetime").replace(" lines ", " `lines` ").split(";\n"):
                if sql.strip():
                    c.execute(sql)
            c.execute("ALTER TABLE vendors ADD COLUMN legacy int INVISIBLE DEFAULT 7")
            for table, rows in tables.items():
                values = [[v.replace(tzinfo=None) if isinstance(v, datetime.datetime) else v for v in r.values()] for r in rows]
                c.executemany(f"INSERT INTO `{table}` VALUES ({', '.join(['%s'] * len(values[0]))})", values)
                c.execute(f"ANALYZE TABLE `{table}`")

    def root(self):
        env = self.stack.env
        return {"host": "127.0.0.1", "port": int(env["GH_MY_PORT_DIRECT"]), "user": "root", "password": env["GH_PASSWORD_SUPER"]}

    def gate(self, group, **more):
        """Keywords for PyMySQL and mysqlclient."""
        env = self.stack.env
        return {"host": env["GH_MY_HOST"], "port": int(env["GH_MY_PORT"]), "user": group, "password": self.tokens[group], "database": "raw", "ssl": {"ca": env["GH_CA"]}, "connect_timeout": 20, **more}

    def direct(self, name):
        """As the login that the gate has, which sees the same privileges."""
        with open(self.stack.dir + "/etc/shop.password", encoding="utf-8") as f:
            return {**self.root(), "user": "shop_owner", "password": f.read().rstrip("\n"), "database": name, "ssl": {"ca": self.stack.dir + "/etc/shop-my-ca.pem"}}
