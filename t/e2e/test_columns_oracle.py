"""What rules hide stays hidden, on the whole stack: the evasions of rewrite_evasions.py go through HAProxy and the daemon to two databases that differ in hidden data
only, and must be answered alike: rows in text and binary, tags, errors with all their fields, notices. test_rewrite.py has the same without a daemon."""
import re
import types
import unittest

import psycopg

import rewrite_evasions
import rewrite_oracle
import stack

ROLES = ("agent", "analyst")
DATABASES = [f"{role}_{kind}" for role in ROLES for kind in "ab"]
FIELDS = ("severity", "sqlstate", "message_primary", "message_detail", "message_hint", "context", "internal_query", "schema_name", "table_name", "column_name",
          "datatype_name", "constraint_name", "statement_position")


def config(text):
    """The shop's database once more for each of ours, and the claim that the row filter asks for."""
    shop = re.search(r"^  shop:\n(?:    .*\n|\n)+", text, re.M).group(0)
    more = "".join(shop.replace("  shop:", f"  {name}:", 1).replace("database: shop", f"database: gh_rw_{name}") for name in DATABASES)
    return text.replace(shop, shop.rstrip("\n") + "\n" + more).replace("      groups_claim: groups\n", "      groups_claim: groups\n      attributes: { region: region }\n")


def policy():
    text = rewrite_oracle.POLICY.replace("databases: { shop: {} }", "databases: { shop: {}, " + ", ".join(n + ": {}" for n in DATABASES) + " }")
    text = text.replace('{ shop: { secret: ["public.*.card_number"] } }', "{ " + ", ".join(n + ': { secret: ["public.*.card_number"] }' for n in DATABASES) + " }")
    text = text.replace("database: shop", "database: [" + ", ".join(DATABASES) + "]")
    return text + "  - name: all-see-all\n    groups: all\n    database: [" + ", ".join(DATABASES) + ']\n    allow: all\n    on: "*.*"\n'


class Oracle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(policy=policy(), config=config)
        cls.addClassCleanup(cls.stack.close)
        url = cls.stack.env["GH_PG_DIRECT_URL"]
        base = types.SimpleNamespace(url=url, admin=psycopg.connect(url, autocommit=True))
        cls.addClassCleanup(base.admin.close)
        for role in ROLES:
            world = rewrite_oracle.World(base, role)
            cls.addClassCleanup(world.close)
            for kind in "ab":
                c = world.connect(kind)
                c.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO shop_owner; GRANT CREATE ON SCHEMA public TO shop_owner")
                c.execute(f"GRANT ALL ON DATABASE gh_rw_{role}_{kind} TO shop_owner")

    def connect(self, group, database):
        token = self.stack.mint(f"{group}@shop.example", [group], "--claim", "region=eu")
        return self.stack.psycopg(group, password=token, dbname=database, autocommit=True, prepare_threshold=None)

    @staticmethod
    def answer(c, sql, binary):
        """All that a client sees, as one comparable value; the statement is undone."""
        seen = []

        def notice(d):
            seen.append(tuple(getattr(d, f) for f in FIELDS))
        c.add_notice_handler(notice)
        c.execute("BEGIN")
        try:
            c.execute("SET LOCAL statement_timeout = '5s'")
            if sql.lstrip().upper().startswith("COPY"):
                with c.cursor().copy(sql) as copy:
                    out = "copy", sorted(bytes(x) for x in copy)
            else:
                with c.cursor(binary=binary) as cur:
                    cur.execute(sql)
                    while cur.nextset():
                        pass
                    columns = [(d.name, cur.pgresult.ftable(i) > 0, cur.pgresult.fmod(i)) for i, d in enumerate(cur.description or ())]
                    out = cur.statusmessage, columns, sorted(map(repr, cur.fetchall())) if cur.description else None
        except psycopg.Error as e:
            out = ("error",) + tuple(getattr(e.diag, f) for f in FIELDS)
        finally:
            c.remove_notice_handler(notice)
        c.execute("ROLLBACK")
        return out + (sorted(map(repr, seen)),)

    def differences(self, group, role, statements):
        found, counts = [], {"executed": 0, "refused": 0, "failed": 0}
        with self.connect(group, role + "_a") as a, self.connect(group, role + "_b") as b:
            for sql in statements:
                for binary in (False, True):
                    x, y = self.answer(a, sql, binary), self.answer(b, sql, binary)
                    if "57014" in (repr(x) + repr(y)):
                        continue
                    kind = "executed" if x[0] != "error" else "refused" if x[2] == "42501" else "failed"
                    counts[kind] += 1
                    if repr(x).replace(role + "_a", "db") != repr(y).replace(role + "_b", "db"):
                        found.append((sql, x, y))
                    elif role == "agent" and group != "all" and "c4n4ry" in repr(x) and "c4n4ry" not in sql:
                        found.append((sql, x, "the canary"))
        return found, counts

    def test_alike(self):
        for role in ROLES:
            for name, statements in rewrite_evasions.CLASSES.items():
                found, counts = self.differences(role, role, statements)
                print(f"{role} {name}: {counts}", flush=True)
                with self.subTest(role=role, name=name):
                    self.assertEqual(0, len(found), "\n".join(map(str, found[:3])))
                self.assertGreater(counts["executed"], 0)

    def test_plans_are_refused(self):
        for role in ROLES:
            found, counts = self.differences(role, role, rewrite_evasions.EXPLAINED_STATEMENTS)
            self.assertEqual(0, len(found), "\n".join(map(str, found[:3])))
            self.assertEqual(counts["executed"], 0)

    def test_the_oracle_itself(self):
        """To whom nothing is hidden the databases differ: else this would see nothing."""
        for role in ROLES:
            found, _ = self.differences("all", role, rewrite_evasions.CLASSES["plain"])
            self.assertGreater(len(found), 10, role)


if __name__ == "__main__":
    unittest.main()
