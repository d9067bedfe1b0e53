"""The catalog of a database, as Gatehouse reads it over its own connection: gatehousectl catalog, and what a policy needs of it in the daemon."""
import http.client
import json
import os
import signal
import subprocess
import tempfile
import unittest

import psycopg

import haproxy
import stack

SQL = """
SET ROLE shop_owner;
CREATE TYPE scratch.mood AS ENUM ('sad', 'happy');
CREATE DOMAIN scratch.short AS varchar(3);
CREATE TABLE scratch."Übel ""x"" " (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gone int, m scratch.mood[], s scratch.short NOT NULL,
    v varchar(120), twice bigint GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE scratch."Übel ""x"" " DROP COLUMN gone;
CREATE TABLE scratch.part (a int, b text, c int, PRIMARY KEY (b, a) INCLUDE (c)) PARTITION BY LIST (b);
CREATE TABLE scratch.part_1 PARTITION OF scratch.part FOR VALUES IN ('x') PARTITION BY LIST (a);
CREATE TABLE scratch.part_1_1 PARTITION OF scratch.part_1 FOR VALUES IN (1);
CREATE VIEW scratch.v WITH (security_barrier = on) AS SELECT p.a, c.email FROM scratch.part p, public.customers c;
CREATE VIEW scratch.w AS SELECT a FROM scratch.v UNION SELECT 1;
CREATE MATERIALIZED VIEW scratch.mat AS SELECT b FROM scratch.part;
ALTER TABLE scratch.part_1 ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION scratch.f(a int, VARIADIC b text[]) RETURNS SETOF scratch.mood LANGUAGE sql STRICT SECURITY DEFINER AS 'SELECT NULL::scratch.mood';
CREATE FUNCTION scratch.f(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE TEMP TABLE customers (id int);
"""


class Catalog(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def ctl(self, *args, config=None):
        done = subprocess.run(stack.as_root(self.stack.env["GH_CTL"], "catalog", "--config", config or self.stack.env["GH_CONFIG"], *args),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        self.assertFalse(any(m in done.stderr for m in stack.SANITIZER_MARKS), done.stderr)
        return done

    def test_what_it_holds(self):
        self.stack.scratch("")
        with psycopg.connect(self.stack.env["GH_PG_DIRECT_URL"], autocommit=True) as other:  # stays open: its temporary table must not be shown
            other.execute(SQL)
            done = self.ctl("--database", "shop")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((lines[0]["gatehouse_catalog"], lines[0]["database"], lines[-1]), (1, "shop", {"end": len(lines) - 2}))
        relations = {(r["schema"], r["name"]): r for r in lines if "relation" in r}
        oid = {k: r["relation"] for k, r in relations.items()}
        types = {t["type"]: t for t in lines if "type" in t}
        functions = [f for f in lines if "function" in f]
        self.assertFalse([s for s, _ in relations if s.startswith("pg_t")], "TOAST tables or temporary ones")
        self.assertEqual([n for s, n in relations if n == "customers"], ["customers"])

        odd = relations["scratch", 'Übel "x" ']
        self.assertEqual([(c[0], c[1], c[3], c[4]) for c in odd["columns"]],
                         [("id", 1, "bigint", "na"), ("m", 3, "scratch.mood[]", ""), ("s", 4, "scratch.short", "n"), ("v", 5, "character varying(120)", ""),
                          ("twice", 6, "bigint", "g")])
        self.assertEqual((odd["kind"], odd["key"]), ("r", [1]))
        array = types[odd["columns"][1][2]]
        self.assertEqual((array["array"], types[array["base"]]["name"], types[array["base"]]["kind"]), (True, "mood", "e"))
        domain = types[odd["columns"][2][2]]
        self.assertEqual((domain["kind"], types[domain["base"]]["name"], domain["array"]), ("d", "varchar", False))

        self.assertEqual((relations["scratch", "part"]["kind"], relations["scratch", "part"]["key"]), ("p", [2, 1]))
        self.assertEqual(relations["scratch", "part_1"]["parents"], [oid["scratch", "part"]])
        self.assertEqual(relations["scratch", "part_1_1"]["parents"], [oid["scratch", "part_1"]])
        self.assertTrue(relations["scratch", "part_1"]["row_security"])
        v, w = relations["scratch", "v"], relations["scratch", "w"]
        self.assertTrue(v["security_barrier"] and not w["security_barrier"])
        self.assertEqual(set(v["reads"]), {oid["scratch", "part"], oid["public", "customers"]})
        self.assertEqual(w["reads"], [oid["scratch", "v"]])
        self.assertIn("scratch.part", v["definition"])
        self.assertIn("public.customers", v["definition"])
        self.assertEqual((relations["scratch", "mat"]["kind"], relations["scratch", "mat"]["reads"]), ("m", [oid["scratch", "part"]]))
        self.assertIn("most_common_vals", [c[0] for c in relations["pg_catalog", "pg_stats"]["columns"]])

        ours = {tuple(f["args"]): f for f in functions if (f["schema"], f["name"]) == ("scratch", "f")}
        self.assertEqual((ours[23, 1009]["flags"], ours[23, 1009]["volatility"]), ("srdvq", "v"))
        self.assertEqual((ours[23,]["flags"], ours[23,]["volatility"], ours[23,]["returns"]), ("q", "i", 23))
        self.assertTrue([f for f in functions if f["name"] == "texteq" and "l" in f["flags"]])

        self.assertNotIn("c4n4ry", done.stdout)

    def test_mistakes(self):
        done = self.ctl("--database", "shop2")
        self.assertEqual(done.returncode, 2)
        self.assertIn('offers no database "shop2"', done.stderr)
        self.assertEqual(self.ctl("--config", "/nowhere", "--database", "shop").returncode, 2)
        with open(self.stack.env["GH_CONFIG"]) as f:
            text = f.read()
        for before, after, *texts in (("user: shop_owner", "user: nobody_here", "28P01", "do: upstream.password_file"),
                                      (f"port: {self.stack.env['GH_PG_PORT_DIRECT']}", "port: 2", "Connection refused", "do: start the database")):
            with self.subTest(after), tempfile.NamedTemporaryFile("w", dir=os.path.dirname(self.stack.env["GH_CONFIG"]), suffix=".yaml") as f:
                self.assertIn(before, text)
                f.write(text.replace(before, after))
                f.flush()
                done = self.ctl("--database", "shop", config=f.name)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                for wanted in texts:
                    self.assertIn(wanted, done.stderr)


POLICY = """
version: 1
databases: { shop: { mode: enforce } }
rules:
  - name: agents-see-part
    groups: ai-agents
    database: shop
    allow: [select, update]
    on: public.customers
    columns: { id: visible, name: visible }
  - name: agents-read
    groups: ai-agents
    database: shop
    allow: [select, create, drop, alter]
    on: [public.orders, "scratch.*"]
  - name: testers-do-everything
    groups: testers
    database: shop
    allow: all
    on: "*.*"
"""


class InTheDaemon(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = haproxy.free_port()
        cls.stack = stack.Stack(policy=POLICY, config=lambda t: t + f"\nmetrics: {{ listen: 127.0.0.1:{cls.port} }}\ncatalog: {{ refresh: 1h }}\n")
        cls.addClassCleanup(cls.stack.close)
        cls.stack.scratch("CREATE TABLE scratch.t (a int);")

    def get(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        c.request("GET", path)
        body = c.getresponse().read().decode()
        c.close()
        return body

    def looks(self, result):
        return sum(float(line.split()[-1]) for line in self.get("/metrics").splitlines()
                   if line.startswith('gatehouse_catalog_looks_total{database="shop",result="%s"}' % result))

    def test_1_is_read_when_it_is_wanted(self):
        with self.stack.psycopg("tester", autocommit=True) as c:
            c.execute("SELECT 1")
        self.assertNotIn("gatehouse_catalog_relations{", self.get("/metrics"))  # nobody is restricted: nothing is read
        with self.stack.psycopg("agent", autocommit=True) as c:
            self.assertEqual(c.execute("SELECT count(*) FROM orders").fetchone(), (10000,))  # waited for it
            self.assertIn('gatehouse_catalog_relations{database="shop"}', self.get("/metrics"))
        self.assertEqual(self.looks("changed"), 1)
        self.assertEqual(self.stack.log("gatehouse").count("event=catalog.read"), 1)
        self.assertNotIn('"catalog"', self.get("/healthz"))

    def test_2_own_changes_count_at_once(self):
        with self.stack.psycopg("agent", autocommit=True) as c:
            for n in range(3):
                c.execute(f"CREATE TABLE scratch.n{n} (x int)")
                self.assertEqual(c.execute(f"SELECT count(*) FROM scratch.n{n}").fetchone(), (0,))
        with self.stack.psycopg("agent") as c:  # a transaction of its own: nobody else sees the table yet
            c.execute("CREATE TABLE scratch.mine (x int)")
            with self.assertRaises(psycopg.errors.UndefinedTable) as e:
                c.execute("SELECT * FROM scratch.mine")
            self.assertIn("as far as the gate has read the catalog", str(e.exception))
            c.rollback()
            c.execute("CREATE TABLE scratch.mine (x int)")
            c.commit()
            c.execute("SELECT * FROM scratch.mine")

    def test_3_what_others_change(self):
        with self.stack.psycopg("agent", autocommit=True) as agent, self.stack.psycopg("tester", autocommit=True) as tester:
            def seen(name):
                try:
                    return agent.execute(f"SELECT count(*) FROM scratch.{name}").fetchone() == (0,)
                except psycopg.errors.UndefinedTable:
                    return False
            agent.execute("SELECT 1")
            tester.execute("CREATE TABLE scratch.others (x int)")
            stack.wait_until("a table that another session made", lambda: seen("others"))
            for n in range(3):  # and is gone before anybody has looked
                with self.stack.psycopg("tester", autocommit=n % 2 == 0) as gone:
                    gone.execute(f"CREATE TABLE scratch.gone{n} (x int)")
                stack.wait_until("a table of a session that has left", lambda n=n: seen(f"gone{n}"))

    def test_4_unchanged_costs_little(self):
        with self.stack.psycopg("agent", autocommit=True) as agent:
            agent.execute("SELECT 1")
            before = self.looks("changed"), self.looks("unchanged")
            self.stack.signal("gatehouse", signal.SIGHUP)
            stack.wait_until("a look after a reload", lambda: self.looks("unchanged") > before[1])
            self.assertEqual(self.looks("changed"), before[0])

    def test_5_the_database_is_away(self):
        self.stack.stop("gatehouse")
        self.stack.stop("postgresql")
        try:
            self.stack.start("gatehouse")

            def refused():  # there is no ParameterStatus to show either; HAProxy needs a moment to see the daemon
                try:
                    self.stack.psycopg("agent", autocommit=True).close()
                except psycopg.Error as e:
                    return "the database cannot be reached" in str(e)
            stack.wait_until("a login that wants the catalog", refused)
            stack.wait_until("a warning", lambda: '"catalog"' in self.get("/healthz"))
            warning = [w for w in json.loads(self.get("/healthz"))["warnings"] if w["check"] == "catalog"][0]
            self.assertIn("Connection refused", warning["why"])
            self.assertIn("start the database", warning["do"])
            line = [x for x in self.stack.log("gatehouse").splitlines() if "event=catalog.failed" in x]
            self.assertEqual(len(line), 1)
            self.assertIn(" do=", line[0])
        finally:
            self.stack.start("postgresql")
        stack.wait_until("the catalog", lambda: self.looks("changed") == 1, 20)
        self.assertNotIn('"catalog"', self.get("/healthz"))
        with self.stack.psycopg("agent", autocommit=True) as c:
            c.execute("SELECT count(*) FROM orders")

    def test_6_a_catalog_that_cannot_be_read_keeps_the_old(self):
        with self.stack.psycopg("agent", autocommit=True) as c:
            c.execute("SELECT count(*) FROM orders")
            with psycopg.connect(self.stack.env["GH_PG_DIRECT_URL"]) as holder:
                holder.execute("ALTER TABLE public.customers ADD COLUMN later int")  # a view reads it, so its definition cannot be had
                before = self.looks("failed")
                c.execute("CREATE TABLE scratch.more (x int)")
                c.execute("SELECT count(*) FROM orders")  # waits a moment, then goes by what there is
                stack.wait_until("a look that failed", lambda: self.looks("failed") > before)
                c.execute("SELECT count(*) FROM orders")
                holder.rollback()
            stack.wait_until("the new one", lambda: '"catalog"' not in self.get("/healthz"), 20)
            c.execute("SELECT count(*) FROM scratch.more")

    def warnings(self):
        return [w for w in json.loads(self.get("/healthz"))["warnings"] if w["check"] == "policy"]

    def misfits(self):
        return [x for x in self.stack.log("gatehouse").splitlines() if "event=policy.misfit" in x]

    def test_7_a_policy_that_does_not_fit(self):
        """Known before anybody uses it: after a start, a reload, and a change of the schema."""
        path = os.path.join(self.stack.dir, "etc", "policy.yaml")
        with open(path) as f:
            good = f.read()
        wrong = good.replace("columns: { id: visible, name: visible }", "columns: { id: visible, nmae: visible }")
        self.assertNotEqual(good, wrong)
        self.assertEqual((self.warnings(), self.misfits()), ([], []))

        def use(text):
            with open(path, "w") as f:
                f.write(text)
        self.addCleanup(use, good)
        use(wrong)
        self.stack.signal("gatehouse", signal.SIGHUP)
        stack.wait_until("a warning after the reload", self.warnings)
        warning, = self.warnings()
        for text in ("shop: ", 'the rule "agents-see-part" makes public.customers unusable', '"nmae", which does not exist; did you mean "name"?'):
            self.assertIn(text, warning["why"])
        self.assertIn("correct the rule", warning["do"])
        line, = self.misfits()
        for text in ("level=warn", 'database="shop"', 'rule="agents-see-part"', 'relation="public.customers"', "nmae", " do="):
            self.assertIn(text, line)
        with self.stack.psycopg("agent", autocommit=True) as c:
            with self.assertRaises(psycopg.errors.InsufficientPrivilege) as e:
                c.execute("SELECT id FROM customers")
            self.assertIn("the policy does not fit it", str(e.exception))
        refused = [x for x in self.stack.log("gatehouse").splitlines() if "event=statement.refused" in x and "does not fit it" in x]
        self.assertRegex(refused[-1], r'detail="the rule .*agents-see-part.* names the column .*nmae.*, which does not exist')

        self.stack.signal("gatehouse", signal.SIGHUP)  # the same policy and catalog: nothing is said twice
        stack.wait_until("the second reload", lambda: self.stack.log("gatehouse").count("event=reload ") >= 2)
        self.stack.stop("gatehouse")
        self.stack.start("gatehouse")  # nobody has wanted the catalog of this one
        stack.wait_until("a warning after a start", self.warnings)
        self.assertNotIn("gatehouse_catalog_relations{", self.get("/metrics"))
        self.assertEqual(len(self.misfits()), 2)
        use(good)
        self.stack.signal("gatehouse", signal.SIGHUP)
        stack.wait_until("no warning", lambda: not self.warnings())
        self.assertIn('event=policy.fits database="shop"', self.stack.log("gatehouse"))

        with self.stack.psycopg("agent", autocommit=True) as c, self.stack.psycopg("tester", autocommit=True) as t:
            c.execute("SELECT id FROM customers")
            t.execute("ALTER TABLE public.customers RENAME COLUMN name TO full_name")
            try:
                stack.wait_until("a warning after the schema was changed", self.warnings)
            finally:
                t.execute("ALTER TABLE public.customers RENAME COLUMN full_name TO name")
            stack.wait_until("no warning after it was changed back", lambda: not self.warnings())


if __name__ == "__main__":
    unittest.main()
