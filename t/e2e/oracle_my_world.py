"""The databases of oracle_world.py in MariaDB: what is in them, who asks and what the rules hide is the same, only the dialect is another."""
import json
import os
import re

import pymysql

import stack
from oracle_world import DATABASES, GROUPS, ROWS, RULES, SHOP, rows

# Binary collation: which of two equal texts stands for both would be the plan's choice.
CREATE = "CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
MORE = """
CREATE TABLE parts LIKE customers;
CREATE TABLE items (order_id int, n int, what varchar(40), PRIMARY KEY (order_id, n));
CREATE TABLE copies (id int, t text);
CREATE TABLE notes (id int PRIMARY KEY, customer_id int, code varchar(12), note text, amount decimal(10, 2) CHECK (amount >= 0), tags varchar(20));
ALTER TABLE customers ADD CHECK (name <> 'bad'), ADD CHECK (char_length(email) + char_length(name) < 80);
CREATE TRIGGER told BEFORE UPDATE ON customers FOR EACH ROW BEGIN
    IF NEW.name = 'boom' THEN
        SET @said = concat('no boom for ', OLD.email, OLD.card_number);
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = @said;
    END IF;
    IF NEW.name = 'cast' THEN SET NEW.region = OLD.phone + 0; END IF;
    IF NEW.name = '' THEN SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = OLD.phone, TABLE_NAME = OLD.card_number; END IF;
END;
"""


def policy():
    """The rules of the shop for MySQL, and the oracle's own, once for each database."""
    with open(os.path.join(SHOP, "policy.yaml"), encoding="utf-8") as f:
        text = f.read()
    shop = [r for r in re.split(r"\n(?=  - name: )", text.split("\nrules:\n", 1)[1]) if re.search(r"database: shop_my$", r, re.M)]
    own = [r for r in re.split(r"\n(?=  - name: )", RULES) if r.strip() and "partitions" not in r]
    out = "version: 1\ndatabases: { shop: {}, shop_my: {}, " + ", ".join(f"{n}: {{}}" for n in DATABASES) + " }\nrules:"
    for name in DATABASES:
        for rule in shop + own:
            rule = re.sub(r"\n *#.*", "", rule.rstrip()).replace("    functions: [public.touch]", "").replace("code ~~ 'v%'", "code LIKE 'v%'")
            rule = re.sub(r"\b(?:public|shop)\.(?=\w)", name + ".", rule).replace("database: shop_my", "database: shop")
            rule = re.sub(r"database: shop$", "database: " + name, rule, flags=re.M)
            out += "\n" + re.sub(r"- name: (\S+)", rf"- name: \1-{name}", rule, count=1)
    return out + "\n"


def config(text):
    shop = re.search(r"^  shop_my:\n(?:    .*\n|\n)+", text, re.M).group(0)
    more = "".join(shop.replace("  shop_my:", f"  {name}:", 1).replace("database: shop", f"database: {name}") for name in DATABASES)
    return text.replace(shop, shop.rstrip("\n") + "\n" + more + "\n").replace("      groups_claim: groups\n", "      groups_claim: groups\n      attributes: { region: region }\n")


def ddl():
    with open(os.path.join(SHOP, "shop.my.sql"), encoding="utf-8") as f:
        text = f.read()
    made = "\n".join(m.group(0) for m in re.finditer(r"^CREATE (?:TABLE|VIEW|INDEX)[^;]*;", text, re.M))
    # the orders' foreign key would need the ids of one database in the other
    return re.sub(r",\n *FOREIGN KEY[^\n]*", "", made).replace(" DEFAULT CHARACTER SET utf8mb4", "")


def statements(text):
    """Those of a script; the trigger's own semicolons stand in front of a blank or a line's end inside of BEGIN .. END."""
    for part in re.split(r";\n(?=CREATE|ALTER|$)", text):
        if part.strip():
            yield part.strip().rstrip(";") if "BEGIN" not in part else part.strip()


def fill(c, view, kind):
    customers, notes = rows(view, kind)
    for table in ("customers", "parts"):
        c.executemany(f"INSERT INTO {table} VALUES (%s, %s, %s, %s, %s, %s, %s)", [tuple(r.values()) for r in customers])
    c.executemany("INSERT INTO notes VALUES (%s, %s, %s, %s, %s, %s)", [(*n[:5], json.dumps(n[5])[:20]) for n in notes])
    c.executemany("INSERT INTO orders VALUES (%s, %s, %s, %s, '2026-01-01 08:00:00' + INTERVAL %s MINUTE)",
                  [(n, 1 + n * 37 % ROWS, n * 7 % 200, ("open", "paid", "shipped", "returned")[n % 4], n * 47) for n in range(1, 31)])
    c.executemany("INSERT INTO items VALUES (%s, %s, %s)", [(n // 2, n % 2, f"thing {n % 7}") for n in range(2, 31)])
    c.executemany("INSERT INTO copies VALUES (%s, %s)", [(n, f"copy {n % 5}") for n in range(1, 7)])
    c.execute("INSERT INTO staff VALUES (1, %s, %s)", ("c4n4ry " + kind, 100 if kind == "a" else 200))


class World:
    """A stack with the databases in its MariaDB."""

    def __init__(self):
        self.stack = stack.Stack(policy=policy(), config=config, mysql=True)
        self.tokens = {g: self.stack.mint(f"{g}@shop.example", [g], "--claim", "region=eu", "--ttl", "24h") for g in [*GROUPS, "all"]}  # long runs take hours
        env = self.stack.env
        with pymysql.connect(host="127.0.0.1", port=int(env["GH_MY_PORT_DIRECT"]), user="root", password=env["GH_PASSWORD_SUPER"], autocommit=True) as root, root.cursor() as c:
            for name in DATABASES:
                c.execute(CREATE.format(name))
                c.execute(f"GRANT ALL ON {name}.* TO shop_owner@'127.0.0.1'")
                c.execute(f"USE {name}")
                for sql in statements(ddl() + MORE):
                    c.execute(sql)
                fill(c, *name.split("_"))
                # Plans follow from how many rows there are, hidden ones included, and whether an expression is evaluated that raises an error on visible rows follows from plans
                # (doc/design.md, section 5). These figures the optimizer takes before InnoDB's, so that plans are equal.
                c.execute("REPLACE INTO mysql.table_stats SELECT table_schema, table_name, 20 FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'", (name,))
            c.execute("FLUSH TABLES")

    def close(self):
        self.stack.close()
