"""Somebody changes the schema straight at the database, while sessions read and write under rules with patterns: what a rule hides stays hidden in every moment, also before Gatehouse has read the
catalog again, and in statements that were prepared before. Hidden values, and nothing else, hold "c4n4ry".

GH_RACE_ROUNDS changes (default 60), each of them one transaction."""
import collections
import os
import random
import threading
import time
import unittest

import psycopg

import pgraw
import stack

ROUNDS = int(os.environ.get("GH_RACE_ROUNDS", "60"))
POLICY = """version: 1
databases: { shop: { mode: enforce } }
tags: { shop: { secret: ["public.*.secret*"] } }
rules:
  - name: what-begins-with-r
    groups: agent
    database: shop
    allow: [select, insert, update, delete]
    on: "public.r_*"
    columns: { "tag:secret": hidden, "*": visible }
  - name: masked-too
    groups: agent
    database: shop
    allow: select
    on: "public.m_*"
    columns: { "tag:secret": { mask: { first: 1 } }, "*": visible }
  - name: open-rows-of-the-whole
    groups: agent
    database: shop
    allow: [select, update]
    on: public.whole
    rows: kind = 'open'
  - name: archives
    groups: agent
    database: shop
    allow: select
    on: public.archive
  - { name: dbas, groups: dbas, database: shop, allow: all, on: "*.*" }
  - name: parts
    groups: agent
    database: shop
    allow: [select, update]
    on: "public.part_*"
"""
SCHEMA = """SET ROLE shop_owner;
CREATE TABLE r_a (id int PRIMARY KEY, plain text);
CREATE TABLE r_b (id int PRIMARY KEY, secret text, plain text);
CREATE TABLE m_a (id int PRIMARY KEY, secret text, plain text);
CREATE TABLE whole (id int, kind text, word text) PARTITION BY LIST (kind);
CREATE TABLE part_open PARTITION OF whole FOR VALUES IN ('open');
INSERT INTO r_a SELECT n, 'p' || n FROM generate_series(1, 4) n;
INSERT INTO r_b SELECT n, 'c4n4ry ' || n, 'p' || n FROM generate_series(1, 4) n;
INSERT INTO m_a SELECT n, 'c4n4ry ' || n, 'p' || n FROM generate_series(1, 4) n;
INSERT INTO whole SELECT n, 'open', 'w' || n FROM generate_series(1, 4) n;
"""
# In turns; {n} is the round. What the odd ones do the even ones undo, so that names come and go.
CHANGES = """
ALTER TABLE r_a ADD COLUMN secret_x text DEFAULT 'c4n4ry x'
ALTER TABLE r_a DROP COLUMN secret_x
ALTER TABLE r_a RENAME TO r_c; ALTER TABLE r_b RENAME TO r_a; ALTER TABLE r_c RENAME TO r_b
ALTER TABLE r_a RENAME TO r_c; ALTER TABLE r_b RENAME TO r_a; ALTER TABLE r_c RENAME TO r_b
CREATE TABLE r_new (id int, plain text, secret text DEFAULT 'c4n4ry new'); INSERT INTO r_new (id, plain) VALUES (1, 'p1'), (2, 'p2')
DROP TABLE r_new
CREATE TABLE part_new PARTITION OF whole FOR VALUES IN ('closed'); INSERT INTO whole VALUES ({n}, 'closed', 'c4n4ry closed')
DROP TABLE part_new
ALTER TABLE r_b DROP COLUMN plain; ALTER TABLE r_b ADD COLUMN secret_y text DEFAULT 'c4n4ry y'; ALTER TABLE r_b ADD COLUMN plain text DEFAULT 'p'
ALTER TABLE r_b DROP COLUMN secret_y
ALTER TABLE m_a ALTER COLUMN secret TYPE varchar(40); ALTER TABLE m_a ADD COLUMN secret_z text DEFAULT 'c4n4ry z'
ALTER TABLE m_a ALTER COLUMN secret TYPE text; ALTER TABLE m_a DROP COLUMN secret_z
ALTER TABLE whole ADD COLUMN more text DEFAULT 'more'; CREATE TABLE part_new PARTITION OF whole FOR VALUES IN ('closed'); INSERT INTO part_new VALUES ({n}, 'closed', 'c4n4ry part')
DROP TABLE part_new; ALTER TABLE whole DROP COLUMN more
DROP TABLE m_a; CREATE TABLE m_a (secret text, id int, plain text); INSERT INTO m_a SELECT 'c4n4ry ' || n, n, 'p' || n FROM generate_series(1, 4) n
DROP TABLE m_a; CREATE TABLE m_a (id int PRIMARY KEY, secret text, plain text); INSERT INTO m_a SELECT n, 'c4n4ry ' || n, 'p' || n FROM generate_series(1, 4) n
""".strip().split("\n")
STATEMENTS = """
SELECT * FROM {t}
TABLE {t}
SELECT row_to_json(x) FROM {t} x
SELECT x::text, x.* FROM {t} x
SELECT secret FROM {t}
SELECT secret_x, plain FROM {t}
SELECT x.secret_y, x.secret_z FROM {t} x
SELECT upper(x.secret) FROM {t} x
SELECT (x).secret FROM {t} x
SELECT a.*, b.* FROM {t} a JOIN {t} b ON a.id = b.id
SELECT * FROM {t} NATURAL JOIN (SELECT 1 AS id) y
SELECT q.c FROM {t} AS q (a, b, c)
SELECT q.b FROM {t} AS q (a, b)
WITH w AS (SELECT * FROM {t}) SELECT * FROM w
SELECT (SELECT max(plain) FROM {t} x WHERE x.id = y.id) FROM {t} y
SELECT y.* FROM {t} x, LATERAL (SELECT x.*) y
COPY {t} TO STDOUT
COPY (SELECT * FROM {t}) TO STDOUT WITH (FORMAT binary)
UPDATE {t} SET plain = plain RETURNING *
UPDATE {t} SET plain = secret RETURNING plain
UPDATE {t} SET plain = 'x' WHERE secret LIKE 'c%' RETURNING {t}::text
DELETE FROM {t} RETURNING *
INSERT INTO {t} (id, plain) VALUES (77, 'x') RETURNING *
INSERT INTO {t} VALUES (78, 'x') RETURNING row_to_json({t})
DECLARE c CURSOR FOR SELECT * FROM {t}
SELECT * FROM only {t}
SELECT word, kind FROM {t}
UPDATE {t} SET word = word RETURNING *
""".strip().split("\n")
TABLES = ("r_a", "r_b", "r_new", "m_a", "whole", "part_new", "part_open")


class Reader(threading.Thread):
    """Sends what it finds in STATEMENTS until it is told to stop, each undone."""

    def __init__(self, stack_, token, number):
        super().__init__(daemon=True)
        self.stack, self.token, self.number = stack_, token, number
        self.stop, self.counts, self.found, self.failure = threading.Event(), collections.Counter(), [], None

    def look(self, sql, values):
        if "c4n4ry" in repr(values):
            self.found.append((sql, values))

    def one(self, c, sql):
        c.execute("BEGIN")
        try:
            if sql.startswith("COPY"):
                with c.cursor().copy(sql) as copy:
                    self.look(sql, [bytes(x) for x in copy])
            else:
                with c.cursor(binary=self.number % 2 == 1) as cur:
                    cur.execute(sql, prepare=self.number % 3 != 0)
                    self.look(sql, cur.fetchall() if cur.description else None)
                    if sql.startswith("DECLARE"):
                        self.look(sql, c.execute("FETCH ALL FROM c").fetchall())
            self.counts["executed"] += 1
        except psycopg.Error as e:
            self.counts[e.sqlstate] += 1
            if "c4n4ry" not in sql:
                self.look(sql, [getattr(e.diag, f) for f in ("message_primary", "message_detail", "message_hint", "context", "internal_query")])
        c.execute("ROLLBACK")

    def run(self):
        rng = random.Random(self.number)
        try:
            with self.stack.psycopg("agent", password=self.token, autocommit=True) as c:
                while not self.stop.is_set():
                    self.one(c, rng.choice(STATEMENTS).format(t=rng.choice(TABLES)))
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e


class Race(unittest.TestCase):
    @staticmethod
    def inherit(s):
        with s.psycopg("dba", autocommit=True) as gate:
            gate.execute("ALTER TABLE archive INHERIT m_a")  # whose mask is for its parts, too
            time.sleep(3)

    def test_fresh_tokens_keep_no_old_catalog(self):
        """A session that does nothing but renew its token learns of another catalog as any other: what it prepared before runs no more as it was."""
        s = stack.Stack(policy=POLICY, config=lambda t: t + "\ncatalog: { refresh: 1s }\n")
        self.addCleanup(s.close)
        token = s.mint("agent@shop.example", ["agent"])
        run = pgraw.bind("", "p") + pgraw.execute("") + pgraw.SYNC
        with psycopg.connect(s.env["GH_PG_DIRECT_URL"], autocommit=True) as dba:
            dba.execute("GRANT CREATE ON SCHEMA public TO shop_owner")
            dba.execute(SCHEMA + "CREATE TABLE archive (id int NOT NULL, secret text, plain text); INSERT INTO archive VALUES (1, 'c4n4ry 1', 'p')")
            for _ in range(3):
                c = pgraw.RawClient.gate(s, "agent", token=token)
                stack.wait_until("it is open", lambda: any(k == "D" and b"c4n4ry" in body for k, body in c.run(pgraw.query("SELECT secret FROM archive"))), 20)
                c.run(pgraw.parse("p", "SELECT secret FROM archive") + pgraw.SYNC)
                self.assertEqual([k for k, _ in c.run(run) if k in "DE"], ["D"])
                changer = threading.Thread(target=self.inherit, args=(s,))
                changer.start()
                while changer.is_alive():
                    c.send(pgraw.query(f"SET gatehouse.token = '{token}'") * 8)
                    for _ in range(8):
                        c.until("Z")
                answer = [(k, body) for k, body in c.run(run) if k in "DE"]
                self.assertEqual([pgraw.error_fields(body)["C"] for k, body in answer if k == "E"], ["26000"], answer)
                c.close()
                dba.execute("ALTER TABLE archive NO INHERIT m_a")

    def test_hidden_in_every_moment(self):
        s = stack.Stack(policy=POLICY, config=lambda t: t + "\ncatalog: { refresh: 1s }\n")
        self.addCleanup(s.close)
        token = s.mint("agent@shop.example", ["agent"])
        with psycopg.connect(s.env["GH_PG_DIRECT_URL"], autocommit=True) as dba:
            dba.execute("GRANT CREATE ON SCHEMA public TO shop_owner")
            dba.execute(SCHEMA)
            readers = [Reader(s, token, n) for n in range(4)]
            for r in readers:
                r.start()
            done = 0
            for n in range(ROUNDS):
                before = sum(sum(r.counts.values()) for r in readers)
                dba.execute("BEGIN; SET LOCAL lock_timeout = '5s'; " + CHANGES[n % len(CHANGES)].replace("{n}", str(n)) + "; COMMIT")
                done += 1
                # some statements before the next one, whatever the machine does
                stack.wait_until("readers", lambda b=before: sum(sum(r.counts.values()) for r in readers) >= b + 12 or any(r.failure for r in readers), 60)
        for r in readers:
            r.stop.set()
        for r in readers:
            r.join(60)
        counts = sum((r.counts for r in readers), collections.Counter())
        print(f"{done} changes: {dict(counts)}", flush=True)
        self.assertEqual([None] * len(readers), [r.failure for r in readers])
        found = [x for r in readers for x in r.found]
        self.assertEqual(0, len(found), "\n".join(map(str, found[:5])))
        self.assertGreater(counts["executed"], ROUNDS)


if __name__ == "__main__":
    unittest.main()
