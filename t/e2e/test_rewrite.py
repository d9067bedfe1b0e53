"""What rules hide stays hidden: statements as the rewriter writes them, on databases that differ in hidden data only, and on one that holds the masked data.

Needs no daemon: `gatehousectl policy rewrite` stands for it. GH_RW_COUNT random statements for each role (default 60), GH_RW_SEED their seed."""
import os
import re
import subprocess
import tempfile
import unittest

import psycopg

import rewrite_evasions
import rewrite_oracle
import rewrite_random
import stack

COUNT, SEED = int(os.environ.get("GH_RW_COUNT", "60")), int(os.environ.get("GH_RW_SEED", "1"))
ROLES = ("agent", "analyst")


class Rewrite(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.oracle = rewrite_oracle.Oracle(stack.as_root(cls.stack.env["GH_CTL"]), cls.stack.env["GH_PG_DIRECT_URL"], cls.directory.name, cls.catalog_of)
        cls.addClassCleanup(cls.oracle.close)

    @classmethod
    def catalog_of(cls, database):
        """As `gatehousectl catalog` reads it, with a configuration that has this database for the shop."""
        path = cls.stack.env["GH_CONFIG"]
        with open(path, encoding="utf-8") as f:
            text = re.sub(r"^(\s+database: )shop$", rf"\g<1>{database}", f.read(), flags=re.M)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=os.path.dirname(path)) as other:
            other.write(text)
            other.flush()
            os.chmod(other.name, 0o644)
            done = subprocess.run(stack.as_root(cls.stack.env["GH_CTL"], "catalog", "--config", other.name, "--database", "shop"), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=120)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return done.stdout

    def none(self, findings):
        self.assertEqual([], findings, "\n".join(f"{kind}: {sql}\n  {text[:2000]}\n  {str(what)[:2000]}" for kind, sql, text, what in findings[:3]))

    def test_evasions(self):
        for role in ROLES:
            total = 0
            for name, statements in rewrite_evasions.CLASSES.items():
                # a whole row of a subselect is of type record, which a client may show otherwise
                findings, counts = self.oracle.check(role, statements, utility=name not in ("whole_rows", "corners", "targets"))
                print(f"{role} {name}: {dict(counts)}", flush=True)
                total += sum(counts.values())
                self.none(findings)
                self.assertGreater(counts["executed"], 0)
            self.assertGreaterEqual(total, 150)

    def test_what_is_visible_is_there(self):
        for role in ROLES:
            findings, counts = self.oracle.check(role, rewrite_evasions.USEFUL_STATEMENTS)
            self.none(findings)
            self.assertLessEqual(counts["refused"], 2)  # the analyst's: a hidden column, and one that the row filter reads
            self.assertEqual(counts["failed"], 0)

    def test_wrong_statements_stay_wrong(self):
        for role in ROLES:
            findings, counts = self.oracle.check(role, rewrite_evasions.WRONG_STATEMENTS)
            self.none(findings)
            self.assertEqual(counts["executed"], 0, counts)

    def test_random(self):
        for role in ROLES:
            statements = rewrite_random.statements(SEED, COUNT, hidden=("phone", "card_number") if role == "analyst" else ())
            findings, counts = self.oracle.check(role, statements)
            print(f"{role}: {dict(counts)}", flush=True)
            self.none(findings)
            self.assertGreaterEqual(counts["executed"], COUNT * 3 // 10)

    def test_sqlsmith(self):
        # What depends on the order of rows, the clock, or object ids is no interference.
        vague = re.compile(r"random|clock|now\(|current_|timestamp|timeofday|\bpg_(?!catalog)|_oid|regclass|tablesample|xid|uuid|version|ctid|xmin|tableoid|first_value|"
                           r"last_value|nth_value|lead\(|lag\(|_agg|over \(|for (update|share|no key|key)", re.I)
        self.oracle.worlds["agent"].connect("a")
        target = psycopg.conninfo.make_conninfo(self.oracle.url, dbname="gh_rw_agent_a")
        done = subprocess.run(["sqlsmith", f"--target={target}", "--dry-run", f"--max-queries={COUNT * 5}", f"--seed={SEED}", "--exclude-catalog"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        statements = [re.sub(r"\blimit \d+", "", s.strip()) for s in re.split(r";\n", done.stdout) if s.strip() and not vague.search(s)]
        findings, counts = self.oracle.check("agent", statements)
        print(f"sqlsmith: {dict(counts)}", flush=True)
        self.none(findings)
        self.assertGreater(counts["executed"], 0)

    # --- the oracle itself: what is wrong must be found ---

    def test_masks_off_are_found(self):
        policy = self.directory.name + "/open.yaml"
        with open(policy, "w", encoding="utf-8") as f:
            f.write(re.sub(r"    columns:\n(      .*\n)+", "    columns: { id: visible, '*': visible }\n", rewrite_oracle.POLICY, count=1))
        for name in ("plain", "whole_rows", "predicates", "scopes", "statements", "targets"):
            findings, _ = self.oracle.check("agent", rewrite_evasions.CLASSES[name], policy=policy, utility=False)
            self.assertTrue([f for f in findings if f[0] == "interference"], name)

    @staticmethod
    def plain_columns(text):
        return re.sub(r'CASE WHEN pg_catalog\.num_nulls\(_gh\.("\w+")\) OPERATOR\(pg_catalog\.=\) 0 THEN _gh\.\1 ELSE _gh\.\1 END', r"_gh.\1", text)

    def test_filters_inline_are_found(self):
        findings, _ = self.oracle.check("analyst", rewrite_evasions.CLASSES["rows"], transform=lambda text: self.plain_columns(text).replace(" OFFSET 0)", ")"), utility=False)
        self.assertTrue([f for f in findings if f[0] == "interference"])

    def test_a_fence_that_the_planner_sees_through_is_found(self):
        findings, _ = self.oracle.check("analyst", rewrite_evasions.CLASSES["plans"], transform=self.plain_columns, utility=False)
        self.assertTrue([f for f in findings if f[0] == "interference"])

    def test_a_row_without_its_filter_is_found(self):
        findings, _ = self.oracle.check("analyst", rewrite_evasions.CLASSES["plain"], utility=False,
                                        transform=lambda text: text.replace("OPERATOR(pg_catalog.=) 'eu'", "IS NOT NULL"))
        self.assertTrue([f for f in findings if f[0] == "interference"])

    # --- plans ---

    def test_indexes_are_used(self):
        for role, sql in (("agent", "SELECT * FROM customers WHERE id = 6"), ("analyst", "SELECT * FROM customers WHERE id = 6"),
                          ("analyst", "SELECT c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = 9"),
                          ("analyst", "UPDATE customers SET name = 'x' WHERE id = 6"), ("agent", "DELETE FROM customers WHERE id = 6 AND email LIKE 'a%'")):
            with self.subTest(role=role, sql=sql):
                answer = self.oracle.rewrite(role, ["EXPLAIN " + sql])[0]
                self.assertEqual(answer["verdict"], "allow", answer)
                c = self.oracle.worlds[role].connect("a")
                with c.transaction(force_rollback=True):
                    c.execute("SET LOCAL enable_seqscan = off")  # 30 rows fit in one page
                    plan = "\n".join(r[0] for r in c.execute(answer["sql"]).fetchall())
                self.assertRegex(plan, r"Index Cond: \(id = ", plan)


if __name__ == "__main__":
    unittest.main()
