"""Columns, rows and limits on the whole stack: an agent and an analyst on the shop, with every client and every way to ask. The canary that every sensitive
value of the shop holds must never come."""
import io
import threading
import time
import unittest

import psycopg

import stack

POLICY = """
version: 1
databases: { shop: { mode: enforce } }
tags:
  shop: { secret: [public.customers.card_number, public.customers.phone] }
rules:
  - name: agents-read-customers
    groups: ai-agents
    database: shop
    allow: select
    on: public.customers
    columns:
      "tag:secret": hidden
      email: { mask: email }
      birth_date: { mask: { truncate: year } }
      "*": visible
    rows: "region = 'eu'"
  - name: agents-read-orders
    groups: ai-agents
    database: shop
    allow: [select, temp]
    on: public.orders
    limits: { rows: 500, bytes: 100KiB, time: 2s }
  - name: analysts
    groups: analysts
    database: shop
    allow: [select, insert, update, delete, temp]
    on: [public.customers, public.orders]
    columns:
      card_number: { mask: { last: 4 } }
      email: { mask: email }
      phone: { mask: null }
      name: { mask: { first: 1 } }
      "*": visible
    write: [id, name, email, phone, card_number, birth_date, region, customer_id, total, status, placed_at]
  - name: europeans
    groups: europeans
    database: shop
    allow: [select, update]
    on: public.customers
    rows: "region = 'eu'"
    write: [name]
  - name: readers
    groups: readers
    database: shop
    allow: all
    on: "*.*"
    read_only: true
  - name: dbas
    groups: dbas
    database: shop
    allow: all
    on: "*.*"
"""
POLICY += "".join(f"""  - {{ name: lots-{i:03}, groups: lots, database: shop, allow: select, on: "public.lots_{i:03}*" }}
""" for i in range(400))
CANARY = "c4n4ry"


def config(text):
    claim = "      groups_claim: groups\n"
    return stack.with_metrics(text).replace(claim, claim + "      attributes: { place: region }\n")


class Columns(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(policy=POLICY, config=config)
        cls.addClassCleanup(cls.stack.close)

    def agent(self, **more):
        return self.stack.psycopg("agent", autocommit=True, **more)

    def rows(self, conn, sql, *params, binary=False):
        with conn.cursor(binary=binary) as cur:
            cur.execute(sql, params or None)
            out = cur.fetchall()
        self.assertNotIn(CANARY, repr(out))
        return out

    def refused(self, conn, sql, state="42501"):
        with self.assertRaises(psycopg.Error, msg=sql) as e:
            conn.execute(sql)
        self.assertNotIn(CANARY, str(e.exception))
        self.assertEqual(e.exception.sqlstate, state, f"{sql}: {e.exception}")
        return str(e.exception)

    def test_what_an_agent_sees(self):
        with self.agent() as c:
            for binary in (False, True):
                got = self.rows(c, "SELECT * FROM customers ORDER BY id LIMIT 2", binary=binary)
                self.assertEqual([r[0] for r in got], [3, 6])
                self.assertEqual((got[0][3], got[0][4], got[0][6]), (None, None, "eu"))
                self.assertRegex(got[0][2], r"^[a-z]\*\*\*@mail\.example$")
                self.assertEqual((got[0][5].month, got[0][5].day), (1, 1))
            self.assertEqual(self.rows(c, "SELECT count(*), count(DISTINCT region) FROM customers"), [(333, 1)])
            self.assertEqual(self.rows(c, "SELECT lower(email) FROM customers WHERE email LIKE %s AND id < 9", "%c4n4ry%"), [])
            self.assertEqual(len(self.rows(c, "SELECT c, row_to_json(c) FROM customers c WHERE id < 50")), 16)
            self.assertEqual(self.rows(c, "SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = 1"), [])
            text = self.refused(c, "SELECT card_number FROM customers")
            self.assertIn("card_number", text)
            self.refused(c, "SELECT id FROM customers WHERE phone LIKE '+49%'")
            self.refused(c, "SELECT ctid FROM customers")
            self.assertIn("EXPLAIN", self.refused(c, "EXPLAIN SELECT * FROM customers"))
            self.refused(c, "EXPLAIN ANALYZE SELECT count(*) FROM customers")
            c.execute("EXPLAIN SELECT 1")

    def test_labels_and_types(self):
        with self.agent() as c:
            cur = c.execute("SELECT *, email AS e, upper(name) FROM customers LIMIT 1")
            direct = psycopg.connect(self.stack.env["GH_PG_DIRECT_URL"])
            want = direct.execute("SELECT *, email AS e, upper(name) FROM customers LIMIT 1").description
            self.assertEqual([(d.name, d.type_code, d._data.fmod) for d in cur.description], [(d.name, d.type_code, d._data.fmod) for d in want])
            direct.close()

    def test_errors_say_where(self):
        """Positions are those of the text that the client sent, in characters, whatever runs in its place; for what was put there none is said."""
        with self.agent(prepare_threshold=None) as c:
            for sql in ("SELECT id, ^nope FROM customers", "SELECT 'ä€' /* ü */, c.email FROM public.customers AS c WHERE ^c.nope = 1",
                        "SELECT x.email FROM customers x JOIN customers y ON x.id = y.id WHERE x.id = 3 AND ^lower(x.id) = 1",
                        "SELECT name FROM customers UNION SELECT region FROM customers ORDER BY 1, ^lower(name)", "WITH w AS (TABLE customers) SELECT w.id FROM w, customers WHERE ^w.nope > 1"):
                text = sql.replace("^", "")
                for prepared in (False, True):
                    with self.assertRaises(psycopg.Error, msg=sql) as e:
                        c.execute(text, prepare=prepared)
                    self.assertEqual(e.exception.diag.statement_position, str(sql.index("^") + 1), f"{sql}: {e.exception}")

    def test_every_way_to_ask(self):
        with self.agent() as c:
            for n in range(12):  # psycopg prepares it after five
                self.assertEqual(self.rows(c, "SELECT id, email FROM customers WHERE id = %s", 3)[0][0], 3)
            c.execute("PREPARE p AS SELECT * FROM customers WHERE id < $1")
            self.assertEqual(len(self.rows(c, "EXECUTE p(20)")), 6)
            self.refused(c, "EXPLAIN EXECUTE p(20)")
            with c.transaction():
                c.execute("DECLARE k CURSOR FOR SELECT * FROM customers ORDER BY id")
                self.assertEqual(len(self.rows(c, "FETCH 10 FROM k")), 10)
                with c.cursor("server_side") as cur:
                    cur.execute("SELECT email, card FROM (SELECT email, id AS card FROM customers) x")
                    self.assertNotIn(CANARY, repr(cur.fetchall()))
            for sql in ("COPY customers TO STDOUT", "COPY (SELECT * FROM customers) TO STDOUT (FORMAT csv)", "COPY customers (id, email) TO STDOUT"):
                out = io.BytesIO()
                with c.cursor() as cur, cur.copy(sql) as copy:
                    for data in copy:
                        out.write(data)
                self.assertEqual((out.getvalue().count(b"\n"), CANARY.encode() in out.getvalue()), (333, False), sql)
            c.execute("CREATE TEMP TABLE pg_temp.mine AS SELECT * FROM customers")
            self.assertEqual(len(self.rows(c, "SELECT * FROM pg_temp.mine")), 333)
            self.assertEqual(self.rows(c, "SELECT count(*) FROM customers; SELECT 2"), [(333,)])
        done = self.stack.psql("-c", "TABLE customers", who="agent")
        self.assertNotIn(CANARY, done.stdout + done.stderr)
        self.assertIn("(333 rows)", done.stdout)
        done = self.stack.psql("-c", r"\copy customers to stdout", "-c", r"\d customers", who="agent")
        self.assertNotIn(CANARY, done.stdout + done.stderr)
        self.assertIn("card_number", done.stdout)

    def test_much_work_is_done_by_the_pool(self):
        """Whatever it is that is much: the text, what runs in its place, what the lexer does, the record. When it comes again it is known, but is recorded again."""
        with self.agent(prepare_threshold=None) as c:
            for sql, want, jobs, records in (("SELECT min(email) FROM customers WHERE id IN (%s)" % ",".join(["3"] * 5000), "d***@mail.example", 1, 0),
                                             ("SELECT min(email)" + ",(SELECT count(*) FROM customers)" * 60 + " FROM customers WHERE id = 3", "d***@mail.example", 1, 1),
                                             ("SELECT min(email) " + "/*" * 700 + "*/" * 700 + " FROM customers WHERE id = 3", "d***@mail.example", 1, 0)):
                for prepared in (False, True):
                    before = self.stack.metric("gatehouse_parse_pool_jobs_total")
                    got = [c.execute(sql, prepare=prepared).fetchone() for _ in range(2)]
                    self.assertEqual([row[0] for row in got], [want, want])
                    self.assertNotIn(CANARY, repr(got))
                    self.assertEqual(self.stack.metric("gatehouse_parse_pool_jobs_total") - before, 2 * records + (0 if prepared else jobs), sql[:60])

    def test_much_judging_is_done_by_the_pool(self):
        """Names times rules. The verdict counts as ever: what is allowed runs, masked; what is not is refused and named."""
        with self.stack.psycopg("dba", autocommit=True) as c:
            c.execute(";".join(f"CREATE TABLE public.lots_{i:03} (a int); GRANT SELECT ON public.lots_{i:03} TO PUBLIC" for i in range(300)))
        sql = "SELECT email, (SELECT count(*) FROM (" + " UNION ALL ".join(f"TABLE public.lots_{i:03}" for i in range(300)) + ") x) FROM customers WHERE id = 3"
        with self.stack.psycopg(password=self.stack.mint("lots@shop.example", ["ai-agents", "lots"]), autocommit=True, prepare_threshold=None) as c:
            stack.wait_until("the catalog has the tables", lambda: self.runs(c, "TABLE public.lots_299"), 30)
            for prepared in (False, True):
                before = self.stack.metric("gatehouse_parse_pool_jobs_total")
                self.assertEqual([c.execute(sql, prepare=prepared).fetchone() for _ in range(2)], [("d***@mail.example", 0)] * 2)
                self.assertEqual(self.stack.metric("gatehouse_parse_pool_jobs_total") - before, 0 if prepared else 2)  # its facts and what runs, the verdict
            with self.assertRaises(psycopg.Error) as e:
                c.execute(sql.replace("public.lots_299", "public.staff"))
            self.assertEqual((e.exception.sqlstate, "public.staff is not allowed" in str(e.exception)), ("42501", True), e.exception)

    def runs(self, conn, sql):
        try:
            conn.execute(sql)
            return True
        except psycopg.errors.UndefinedTable:
            return False

    def test_asyncpg(self):
        async def ask():
            c = await self.stack.asyncpg("agent")
            got = await c.fetch("SELECT * FROM customers WHERE id < $1", 20)
            stmt = await c.prepare("SELECT email, birth_date FROM customers")
            got += await stmt.fetch()
            async with c.transaction():
                async for row in c.cursor("SELECT * FROM customers"):
                    got.append(row)
            await c.close()
            return got
        got = stack.run(ask())
        self.assertEqual(len(got), 6 + 333 + 333)
        self.assertNotIn(CANARY, repr([dict(r) for r in got]))

    def test_errors_tell_nothing(self):
        with self.agent() as c:
            for sql in ("SELECT email::int FROM customers", "SELECT 1/(id-3) FROM customers", "SELECT name::date FROM customers",
                        "SELECT (row(c.*)::text)::int FROM customers c", "SELECT * FROM customers WHERE email::boolean"):
                with self.assertRaises(psycopg.Error) as e:
                    c.execute(sql)
                d = e.exception.diag
                self.assertNotIn(CANARY, repr((d.message_primary, d.message_detail, d.message_hint, d.context)))
            text = self.refused(c, "SELECT id FROM customers WHERE id = 'abc'", "22P02")
            self.assertIn('"abc"', text)  # of the statement's own text
        with self.stack.psycopg("analyst", autocommit=True) as c:
            for sql, state in (("INSERT INTO customers VALUES (3, 'a', 'b', 'c', 'd', '2000-01-01', 'eu')", "23505"),
                               ("UPDATE customers SET name = NULL WHERE id = 4", "23502"), ("UPDATE customers SET id = 4 WHERE id = 5", "23505"),
                               ("DELETE FROM customers WHERE id = 1", "23503"), ("UPDATE orders SET customer_id = 5000 WHERE id = 1", "23503")):
                with self.assertRaises(psycopg.Error) as e:
                    c.execute(sql)
                d = e.exception.diag
                self.assertEqual(d.sqlstate, state, sql)
                self.assertIsNone(d.message_detail, sql)
                self.assertNotIn(CANARY, repr((d.message_primary, d.message_hint, d.context)))

    def test_hidden_rows_are_not_locked(self):
        """Nor waited for: an UPDATE locks what has passed the filter. (MySQL and MariaDB lock what they read: doc/mysql-language.md.)"""
        self.stack.token("european", "europeans")
        update = "UPDATE customers SET name = name WHERE id BETWEEN 1 AND 6"
        with self.stack.psycopg("european", autocommit=True) as c, self.stack.psycopg("dba") as d:
            self.assertEqual(d.execute("SELECT count(*) FROM (SELECT id FROM customers WHERE region <> 'eu' AND id <= 6 FOR UPDATE NOWAIT) q").fetchone(), (4,))
            c.execute("SET lock_timeout = 500")
            self.assertEqual(c.execute(update).rowcount, 2)
            d.rollback()
            c.execute("BEGIN")
            self.assertEqual(c.execute(update).rowcount, 2)
            self.assertEqual(d.execute("SELECT count(*) FROM (SELECT id FROM customers WHERE id <= 6 FOR UPDATE SKIP LOCKED) q").fetchone(), (4,))
            d.rollback()
            c.execute("ROLLBACK")

    def test_an_analyst_writes(self):
        with self.stack.psycopg("analyst") as c:
            got = c.execute("UPDATE customers SET region = 'apac' WHERE id = 10 RETURNING *").fetchall()
            self.assertNotIn(CANARY, repr(got))
            self.assertEqual((got[0][0], got[0][3], got[0][6]), (10, None, "apac"))
            self.assertRegex(got[0][4], r"^\*\*\*")
            c.rollback()
            got = c.execute("DELETE FROM orders USING customers x WHERE x.id = customer_id AND x.email LIKE '%%c4n4ry%%' RETURNING x.email").fetchall()
            self.assertEqual(got, [])
            c.rollback()

    def test_limits(self):
        with self.agent() as c:
            self.assertEqual(len(self.rows(c, "SELECT id FROM orders LIMIT 500")), 500)
            self.assertIn("rows", self.refused(c, "SELECT id FROM orders", "53400"))
            self.assertIn("bytes", self.refused(c, "SELECT repeat('x', 5000) FROM orders LIMIT 100", "53400"))
            self.assertIn("longer", self.refused(c, "SELECT count(*) FROM orders a, orders b, orders c", "53400"))
            self.assertEqual(self.rows(c, "SELECT count(*) FROM orders"), [(10000,)])  # the session lives
            c.execute("BEGIN")
            self.refused(c, "SELECT * FROM orders", "53400")
            self.assertEqual(c.info.transaction_status, psycopg.pq.TransactionStatus.INERROR)
            c.execute("ROLLBACK")
            with c.transaction():
                c.execute("DECLARE k CURSOR FOR SELECT id FROM orders")
                self.assertEqual(len(self.rows(c, "FETCH 500 FROM k")), 500)
                with self.assertRaises(psycopg.Error) as e, c.transaction():
                    c.execute("FETCH ALL FROM k")
                self.assertEqual(e.exception.sqlstate, "53400")
            self.refused(c, "SELECT id FROM orders LIMIT 1; SELECT id FROM orders LIMIT 1", "0A000")
            c.pgconn.prepare(b"all", b"SELECT id FROM orders LIMIT $1")
            self.assertEqual(len(self.rows(c, "EXECUTE \"all\"(500)")), 500)
            self.refused(c, "EXECUTE \"all\"(501)", "53400")
            self.refused(c, "SELECT 1; EXECUTE \"all\"(501)", "0A000")
            with self.assertRaises(psycopg.Error) as e:
                with c.cursor() as cur, cur.copy("COPY orders TO STDOUT") as copy:
                    for _ in copy:
                        pass
            self.assertEqual(e.exception.sqlstate, "53400")
            self.assertEqual(self.rows(c, "SELECT 1"), [(1,)])

    def test_a_change_over_its_limit_is_undone_or_not_begun(self):
        """A simple Query outside of a transaction block commits before its rows can be counted, so it must not run; everything else is undone."""
        self.stack.direct("DROP TABLE IF EXISTS picks; CREATE TABLE picks (id int PRIMARY KEY, v int); INSERT INTO picks SELECT g, 0 FROM generate_series(1, 30) g; "
                          "ALTER TABLE picks OWNER TO shop_owner; GRANT ALL ON picks TO PUBLIC")
        self.addCleanup(self.stack.direct, "DROP TABLE IF EXISTS picks")
        before = self.stack.policy()
        self.addCleanup(self.stack.reload)
        self.addCleanup(self.stack.put_policy, before)
        self.stack.put_policy(before + "  - { name: agents-pick, groups: ai-agents, database: shop, allow: [select, update, delete], on: public.picks, limits: { rows: 10 } }\n")
        self.stack.reload()

        def done():
            return self.stack.direct("SELECT sum(v), count(*) FROM picks")[0]

        def known():
            with self.agent() as c:
                try:
                    return c.execute("SELECT count(*) FROM picks").fetchall() == [(30,)]
                except psycopg.Error:
                    return False
        stack.wait_until("the catalog with picks", known, 90)
        state, detail = psycopg.pq.DiagnosticField.SQLSTATE, psycopg.pq.DiagnosticField.MESSAGE_DETAIL
        changes = ["UPDATE picks SET v = v + 1 WHERE id <= 20 RETURNING id", "UPDATE picks SET v = v + 1 WHERE id <= 5 RETURNING id",
                   "WITH x AS (DELETE FROM picks RETURNING id) SELECT id FROM x", "WITH x AS (UPDATE picks SET v = 1) SELECT id FROM picks",
                   "COPY (UPDATE picks SET v = v + 1 RETURNING id) TO STDOUT", "EXPLAIN ANALYZE UPDATE picks SET v = 1"]
        with self.agent() as c:
            p = c.pgconn
            for sql in changes[:5]:
                self.assertEqual((p.exec_(sql.encode()).error_field(state), done()), (b"0A000", (0, 30)), sql)
            self.assertIsNotNone(p.exec_(changes[5].encode()).error_field(state))
            self.assertEqual(done(), (0, 30))
            for sql in changes[:1] + changes[2:4]:
                got = p.exec_params(sql.encode(), None)
                self.assertEqual((got.error_field(state), done()), (b"53400", (0, 30)), sql)
                self.assertIn(b"undone", got.error_field(detail))
                p.exec_(b"BEGIN")
                got = p.exec_(sql.encode())
                self.assertEqual((got.error_field(state), p.exec_(b"COMMIT").command_status, done()), (b"53400", b"ROLLBACK", (0, 30)), sql)
            self.assertEqual(p.exec_(b"PREPARE u AS " + changes[0].encode()).command_status, b"PREPARE")
            self.assertEqual((p.exec_(b"EXECUTE u").error_field(state), done()), (b"0A000", (0, 30)))
            p.prepare(b"by_parse", changes[0].encode())
            self.assertEqual((p.exec_(b"EXECUTE by_parse").error_field(state), done()), (b"0A000", (0, 30)))
            self.assertEqual(p.exec_(b"UPDATE picks SET v = 1 WHERE id <= 20").command_status, b"UPDATE 20")  # no rows come back
            self.assertEqual(len(c.execute("SELECT id FROM picks WHERE id < 5 FOR UPDATE").fetchall()), 4)
            self.assertEqual(done(), (20, 30))
            self.assertNotIn(b"undone", p.exec_(b"SELECT id FROM picks").error_field(detail))

    def test_a_policy_that_changes_under_prepared_statements(self):
        before = self.stack.policy()
        with self.agent(prepare_threshold=0) as c:
            self.assertIsNotNone(self.rows(c, "SELECT birth_date FROM customers WHERE id = 3")[0][0])
            try:
                self.change(before.replace("birth_date: { mask: { truncate: year } }", "birth_date: { mask: null }"))
                self.refused_again = self.refused_prepared(c, "SELECT birth_date FROM customers WHERE id = 3")
                c.execute("DEALLOCATE ALL")
                c.prepare_threshold = None
                self.assertIsNone(self.rows(c, "SELECT birth_date FROM customers WHERE id = 3")[0][0])
            finally:
                self.change(before)

    def refused_prepared(self, c, sql):
        with self.assertRaises(psycopg.Error) as e:
            c.execute(sql)
        self.assertEqual(e.exception.sqlstate, "26000")
        self.assertIn("Prepare it again", str(e.exception))

    def change(self, text):
        self.stack.put_policy(text)
        self.stack.reload()

    def test_mode_observe_says_what_really_ran(self):
        """Nothing is masked or filtered then, and the record does not say that it was; but for what was prepared before, which the server has with its masks."""
        before = self.stack.policy()
        plain, early = "SELECT birth_date, region /* seen */ FROM customers WHERE id < 3 ORDER BY id", "SELECT birth_date /* early */ FROM customers WHERE id = 3"
        clear = self.stack.direct(plain)
        with self.agent(prepare_threshold=0) as c:
            masked = c.execute(early).fetchall()
            self.assertNotEqual(masked, self.stack.direct(early))
            try:
                self.change(before.replace("mode: enforce", "mode: observe"))
                self.assertEqual(c.execute(plain, prepare=False).fetchall(), clear)
                self.assertEqual(c.execute(early).fetchall(), masked)
            finally:
                self.change(before)
            self.assertNotEqual(c.execute(plain, prepare=False).fetchall(), clear)
        events = [e for e in self.stack.audit() if e["type"] == "statement"]
        seen = [e for e in events if e.get("sql") == plain and e["kind"] in ("query", "execute")]
        self.assertEqual([(e.get("mode"), e["verdict"], "would_run" in e, "rewritten" in e) for e in seen], [("observe", "allow", True, False), (None, "allow", False, True)])
        self.assertIn("date_trunc", seen[0]["would_run"])
        ran = [e for e in events if e.get("sql") == early and e["kind"] == "execute"]
        self.assertEqual([(e.get("mode"), "would_run" in e, "rewritten" in e) for e in ran], [(None, False, True), ("observe", False, True)])

    def test_a_reload_while_the_pool_rewrites(self):
        """One that leaves the policy as it was: its roles are made anew, and what the pool has made for the old one still names a rule."""
        answers = []

        def ask(text):
            try:
                with self.agent() as c:
                    answers.append(c.execute(text).fetchall())
            except psycopg.Error as e:
                answers.append((e.sqlstate, str(e)))
        for n, delay in enumerate((0.05, 0.1, 0.2, 0.3)):
            text = f"SELECT {n}, card_number FROM customers WHERE id IN ({','.join(map(str, range(120_000)))})"
            thread = threading.Thread(target=ask, args=(text,))
            thread.start()
            time.sleep(delay)
            self.stack.reload()
            thread.join()
            self.assertEqual(answers[n][0], "42501", answers[n])
            self.assertIn("card_number", answers[n][1])
            seen = stack.wait_until("the record", lambda: [e for e in self.stack.audit() if e.get("sql", "").startswith(f"SELECT {n}, card_number")])
            self.assertEqual([(e["verdict"], e["rule"]) for e in seen], [("deny", "agents-read-customers")])

    @staticmethod
    def has_ssn(c):
        """What runs names it, which in test_grants_sql.py the database refuses: its role has no right to what is new."""
        try:
            return "ssn" in str(c.execute("SELECT row_to_json(c) FROM customers c LIMIT 1", prepare=False).fetchall())
        except psycopg.errors.InsufficientPrivilege:
            return True

    def test_a_column_that_is_added(self):
        with self.agent() as c:
            self.rows(c, "SELECT * FROM customers LIMIT 1")
            with self.stack.psycopg("dba", autocommit=True) as dba:
                dba.execute("ALTER TABLE customers ADD COLUMN ssn text DEFAULT 'c4n4ry'")
                try:
                    for _ in range(20):
                        self.rows(c, "SELECT * FROM customers LIMIT 1")
                    # else one that was read meanwhile could come into force after the wait below
                    stack.wait_until("the catalog has it", lambda: self.has_ssn(c))
                finally:
                    dba.execute("ALTER TABLE customers DROP COLUMN ssn")

            def gone():  # others go by the catalog before until the new one is read
                try:
                    return c.execute("SELECT * FROM customers LIMIT 1", prepare=False).fetchall()
                except psycopg.errors.UndefinedColumn:
                    return None
            stack.wait_until("the catalog without it", gone)

    def test_a_column_that_is_made_of_hidden_ones(self):
        with self.agent() as c, self.stack.psycopg("dba", autocommit=True) as dba:
            dba.execute("ALTER TABLE customers ADD COLUMN search text GENERATED ALWAYS AS (lower(name || email || card_number)) STORED")
            try:
                for sql in ("SELECT * FROM customers WHERE id = 3", "SELECT row_to_json(c) FROM customers c WHERE id = 3", "TABLE customers"):
                    self.assertNotIn(CANARY, str(self.rows(c, sql)))
                # of the new catalog; before it, the rewriter's columns are all that there is
                stack.wait_until("the catalog has it", lambda: "search" in str(c.execute("SELECT row_to_json(c) FROM customers c WHERE id = 3", prepare=False).fetchall()))
                for sql in ("SELECT search FROM customers", "SELECT id FROM customers WHERE search LIKE 'a%'", "SELECT id FROM customers ORDER BY search"):
                    self.refused(c, sql, "42501")
            finally:
                dba.execute("ALTER TABLE customers DROP COLUMN search")

    def test_what_runs_is_not_shown(self):
        with self.agent() as c:
            for sql in ("SELECT current_query()", "SELECT pg_catalog.current_query() FROM customers", "SELECT query FROM pg_stat_activity",
                        "SELECT statement FROM pg_prepared_statements", "SELECT statement FROM pg_cursors"):
                self.refused(c, sql, "42501")

    def test_show_grants(self):
        with self.agent() as c:
            c.execute("SELECT 1")
            before = self.stack.metric("gatehouse_parse_pool_jobs_total")
            cur = c.execute("SHOW gatehouse.grants")
            self.assertEqual(self.stack.metric("gatehouse_parse_pool_jobs_total") - before, 1)  # all relations are judged
            self.assertEqual([d.name for d in cur.description], ["schema", "relation", "column", "actions", "shown", "rows", "write", "rule", "approval"])
            got = {(r[1], r[2]): r for r in cur.fetchall()}
            self.assertEqual(got["customers", "email"][3:6], ("select", "masked: email", "filtered"))
            self.assertEqual(got["customers", "card_number"][4], "hidden")
            self.assertEqual({r[8] for r in got.values()}, {"no"})
            self.assertNotIn("", {r[7] for r in got.values()})  # the rule that hides it, or else grants it
            self.assertNotIn("staff", {k[0] for k in got})
            for _ in range(7):
                self.assertEqual(len(c.execute("SHOW gatehouse.grants", prepare=True).fetchall()), len(got))
            with c.transaction():
                c.execute("show GATEHOUSE.grants")
        with self.stack.psycopg("dba", autocommit=True) as c:
            self.assertIn(("public", "staff", "*"), [r[:3] for r in c.execute("SHOW gatehouse.grants").fetchall()])
        found = [e for e in self.stack.audit() if e.get("sql") == "SHOW gatehouse.grants"]
        self.assertTrue(found and "rewritten" not in found[0] and found[0]["verdict"] == "allow")

    def test_the_record_of_who(self):
        """What a policy's ${claim:...} may read of a token, and nothing else of it."""
        for claims, wanted in ((("--claim", "region=eu\"'", "--claim", "other=no"), '{"place":"eu\\"\'"}'), ((), None)):
            who = f"someone-{len(claims)}@shop.example"
            with self.stack.psycopg("agent", password=self.stack.mint(who, ["ai-agents"], *claims), autocommit=True) as c:
                c.execute("SELECT 1")
            opened = [e for e in self.stack.audit() if e["type"] == "session.open" and e["principal"] == who]
            self.assertEqual([e.get("attributes") for e in opened], [wanted])
        mark = len(self.stack.log("gatehouse"))
        with self.assertRaises(psycopg.OperationalError):
            self.stack.psycopg("agent", password=self.stack.mint("someone@shop.example", ["ai-agents"], "--claim", f"region={CANARY}\nx"))
        self.assertEqual(self.stack.stream("gatehouse:auth")[-1]["reason"], "bad attribute claim: region")
        said = self.stack.log("gatehouse")[mark:]
        self.assertIn('reason="bad attribute claim: region"', said)
        self.assertNotIn(CANARY, said)

    def test_whom_no_rule_names(self):
        """Is told who the gate takes him for; and who runs it, what to look at."""
        many = [f"group-{n:03}" for n in range(60)]
        for groups, told, todo in (([], "your token names no groups", "identity.issuers.groups_claim"), (["a", "b"], "in the groups a,b; no rule", "a rule for this database"),
                                   (many, "group-029 and others; no rule", "a rule for this database")):
            mark = len(self.stack.log("gatehouse"))
            with self.assertRaises(psycopg.OperationalError) as e:
                self.stack.psycopg("agent", password=self.stack.mint("stranger@shop.example", groups))
            self.assertIn("You are stranger@shop.example", str(e.exception))
            self.assertIn(told, str(e.exception))
            line = stack.wait_until("the log", lambda: [x for x in self.stack.log("gatehouse")[mark:].splitlines() if "event=login.refused" in x])[0]
            self.assertIn(todo, line)

    def test_read_only(self):
        with self.stack.psycopg("reader", password=self.stack.mint("reader@shop.example", ["readers"]), autocommit=True) as c:
            self.assertEqual(c.execute("SHOW default_transaction_read_only").fetchone(), ("on",))
            self.refused(c, "UPDATE orders SET total = 1", "25006")
            self.refused(c, "SET default_transaction_read_only = off", "25006")
            self.refused(c, "BEGIN READ WRITE", "25006")
            self.assertEqual(self.rows(c, "SELECT count(*) FROM orders"), [(10000,)])

    def test_the_record(self):
        with self.agent() as c:
            self.rows(c, "SELECT name /* recorded */ FROM customers LIMIT 1")
        found = [e for e in self.stack.audit() if "/* recorded */" in e.get("sql", "")]
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0]["sql"], "SELECT name /* recorded */ FROM customers LIMIT 1")
        self.assertIn("region", found[0]["rewritten"])
        self.assertIn("/* recorded */", found[0]["rewritten"])


if __name__ == "__main__":
    unittest.main()
