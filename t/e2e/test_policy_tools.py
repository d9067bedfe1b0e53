"""gatehousectl's policy tools that need no daemon: policy test, on the example's file and on one that must fail."""
import json
import os
import subprocess
import tempfile
import unittest

import stack

CTL = os.path.join(os.environ.get("GH_BUILD", ""), "gatehousectl")
SHOP = os.path.join(stack.TOP, "examples", "shop")


def ctl(*args):
    done = subprocess.run([CTL, "policy", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout, done.stderr


class CommandLine(unittest.TestCase):
    """What is wrong with a command line is said, with what would be right."""

    @staticmethod
    def run_ctl(*args):
        done = subprocess.run([CTL, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stdout, done.stderr

    def test_help(self):
        commands = ["policy", *(f"policy {w}" for w in ("check", "explain", "rewrite", "test", "diff", "grants")), "catalog", "approvals",
                    *(f"approvals {w}" for w in ("list", "show", "watch")), "approve", "deny", "audit", *(f"audit {w}" for w in ("tail", "search", "show", "export", "verify")),
                    "grants", "grants list", "grants revoke", "block", "unblock", "blocks", "blocks list", "sessions", *(f"sessions {w}" for w in ("list", "show", "kill")), "status",
                    "doctor", "whoami", "token", "jwks", "keygen"]
        for command in commands:
            code, out, err = self.run_ctl(*command.split(), "--help")
            self.assertEqual((code, err), (0, ""), command)
            self.assertRegex(out, rf"\Ausage: gatehousectl {command.split()[0]} ", command)

    def test_unknown(self):
        for args, what in ((["aprove", "x"], 'unknown command "aprove": did you mean approve?'), (["aprovals"], "did you mean approvals?"),
                           (["approvals", "lst"], 'approvals: unknown command "lst": did you mean list?'), (["sessions", "stop", "x"], "there are list, show, kill"),
                           (["grants", "rvoke", "x"], "did you mean revoke?"), (["blocks", "all"], "there are list"), (["block", "user", "x"], "there are principal, session, address, database"),
                           (["policy", "chekc", "x"], 'policy: unknown command "chekc": did you mean check?'), (["audit", "verfy"], "did you mean verify?"),
                           (["zzz\x1b[2J"], '"zzz?[2J"')):
            code, out, err = self.run_ctl(*args)
            self.assertEqual((code, out), (2, ""), args)
            self.assertIn(what, err)

    def test_missing(self):
        for args, what in ((["approve"], "gatehousectl approve: the request's ID is missing"), (["approve", "x"], "--token-file FILE, with your token, is missing"),
                           (["deny", "x", "--token-file", "y"], "--reason TEXT"), (["approve", "x", "--token-file", "y", "--scope", "kind"], "--for TIME"),
                           (["approvals", "show"], "gatehousectl approvals show: the request's ID is missing"), (["sessions", "kill"], "gatehousectl sessions kill: the session's ID"),
                           (["sessions", "show"], "the session's ID"), (["grants", "revoke"], "the grant's ID"), (["block"], "principal, session, address or database is missing"),
                           (["block", "principal"], "its NAME is missing"), (["block", "principal", "x"], "--reason TEXT"), (["unblock", "principal"], "its NAME is missing"),
                           (["token"], "gatehousectl token: --key FILE"), (["token", "--key", "x", "--issuer", "i"], "--audience A is missing"), (["jwks"], "--key FILE is missing"),
                           (["keygen"], "--out FILE is missing"), (["catalog"], "--config FILE is missing"), (["audit"], "what to do"), (["approve", "x", "y", "z", "w"], '"w" is one word too many'),
                           (["status", "x"], '"x" is one word too many')):
            code, out, err = self.run_ctl(*args)
            self.assertEqual((code, out), (2, ""), args)
            self.assertIn(what, err)
            self.assertIn(f"usage: gatehousectl {args[0]} ", err)
            if args[0] in ("sessions", "approve", "block"):
                self.assertNotIn("gatehousectl approvals [list]", err)


class PolicyTest(unittest.TestCase):
    def suite(self, text):
        f = tempfile.NamedTemporaryFile("w", suffix=".yaml")
        self.addCleanup(f.close)
        f.write(f"version: 1\npolicy: {SHOP}/policy.yaml\ncatalog: {SHOP}/shop.catalog\ndatabase: shop\ntests:\n{text}")
        f.flush()
        return f.name

    def test_example(self):
        for name in ("policy.test.yaml", "policy_my.test.yaml"):
            code, out, err = ctl("test", f"{SHOP}/{name}")
            self.assertEqual((code, err), (0, ""), out)
            self.assertRegex(out, r"\A[0-9]+ passed, 0 failed\n\Z")

    def test_failures_are_told(self):
        """Each kind of expectation can fail."""
        select = "  - as: ai-agents\n    sql: SELECT id FROM orders\n    expect: allow\n"
        deny = "  - as: ai-agents\n    sql: SELECT id FROM staff\n    expect: deny\n"
        for text, what in (("  - as: ai-agents\n    sql: SELECT id FROM staff\n    expect: allow\n", "expected allow"),
                           (select.replace("expect: allow", "expect: ask"), "expected ask"),
                           (select + "    rule: another\n", "expected the rule another"),
                           (select + "    text: SELECT 1\n", "expected the text SELECT 1"),
                           (select + "    contains: [SELECT, nope]\n", "the text does not hold nope"),
                           (select + "    without: orders\n", "the text holds orders"),
                           (deny + "    sqlstate: 0A000\n", "expected the SQLSTATE 0A000"),
                           (deny + "    says: [staff, nope]\n", "the answer does not say nope")):
            name = self.suite(text)
            code, out, _ = ctl("test", name)
            self.assertEqual(code, 1, text)
            self.assertTrue(out.startswith(f"{name}:6: "), out)
            self.assertIn(what, out)
            self.assertTrue(out.endswith("0 passed, 1 failed\n"), out)

    def test_check(self):
        code, out, _ = ctl("check", SHOP + "/policy.yaml")
        self.assertEqual(code, 0, out)
        self.assertNotIn("WARNING", out)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write("version: 1\ndatabases: { shop: { mode: enforce } }\nrules:\n  - { name: a, groups: g, database: shop, allow: select, on: public.orders }\n"
                    "  - { name: b, groups: '*', database: shop, deny: all, on: '*.*', reason: No }\n")
            f.flush()
            code, out, _ = ctl("check", f.name)
            self.assertEqual(code, 0)
            self.assertIn(f'{f.name}: WARNING: the rule "a" never grants anything', out)
            self.assertEqual(ctl("check", "--catalog", "/nonexistent", f.name)[0], 2)
            self.assertEqual(ctl("check", "--nope", f.name)[0], 2)

    def test_check_fit(self):
        """What a client would run into is said before there is one, with the rule's line."""
        head = "version: 1\ndatabases: { shop: {} }\nrules:\n  - name: a\n    groups: g\n    database: shop\n    allow: select\n    on: public.customers\n    "
        for more, what in (("columns: { nmae: hidden, '*': visible }", 'names the column "nmae", which does not exist; did you mean "name"?'),
                           ("rows: \"clinic = 'a'\"", 'the row filter of the rule "a" names the column "clinic", which it does not have'),
                           ("columns: { name: { mask: { round: 10 } }, '*': visible }", "round is for numbers, and the column is of type text")):
            name, = self.files(head + more + "\n")
            self.assertEqual(ctl("check", name)[0], 0)
            code, out, err = ctl("check", "--catalog", SHOP + "/shop.catalog", name)
            self.assertEqual(code, 2, out + err)
            self.assertIn(f'{name}:4: the rule "a" makes public.customers unusable for whom it is about: ', err)
            self.assertIn(what, err)
            self.assertIn(f"{name}: 1 mistake: the policy does not fit the catalog", err)
            self.assertNotIn("no mistakes", out)
        for name in ("policy.yaml",):
            for catalog, database in (("shop.catalog", "shop"), ("shop_my.catalog", "shop_my")):
                code, out, err = ctl("check", "--catalog", f"{SHOP}/{catalog}", "--database", database, f"{SHOP}/{name}")
                self.assertEqual((code, err), (0, ""), out)
                self.assertIn("no mistakes", out)

    def test_explain_without_catalog(self):
        """The rule that hides something is named, whatever denies before it; and what to do is what one can do without a daemon."""
        rule = "  - { name: NAME, groups: g, database: shop, MORE }\n".replace
        text = ("version: 1\ndatabases: { shop: {} }\nrules:\n" + rule("NAME", "never-staff").replace("MORE", "deny: all, on: public.staff, reason: No")
                + rule("NAME", "some-customers").replace("MORE", "allow: select, on: public.customers, columns: [id]")
                + rule("NAME", "orders").replace("MORE", "allow: select, on: public.orders"))
        name, = self.files(text)
        code, out, _ = ctl("explain", "--policy", name, "--database", "shop", "--as", "g", "SELECT id FROM orders")
        self.assertEqual(code, 3, out)
        for wanted in ("rule: some-customers\n", "without a catalog it cannot be said what rules with columns or rows leave of orders",
                       'The rule "some-customers" hides columns or rows', "gatehousectl catalog --config FILE --database NAME >FILE", "--catalog FILE"):
            self.assertIn(wanted, out)
        self.assertNotIn("Try again", out)
        self.assertEqual(ctl("explain", "--policy", name, "--database", "shop", "--as", "g", "--catalog", SHOP + "/shop.catalog", "SELECT id FROM orders")[0], 0)
        tests, = self.files(f"version: 1\npolicy: {name}\ndatabase: shop\ntests:\n  - as: g\n    sql: SELECT id FROM orders\n    expect: allow\n")
        code, out, _ = ctl("test", tests)
        self.assertEqual(code, 1)
        self.assertIn("without a catalog", out)

    def test_mistakes(self):
        for text, what in (("  - sql: SELECT 1\n    expct: allow\n", 'unknown key "expct"'),
                           ("  - sql: SELECT 1\n", "a test needs sql and expect"),
                           ("  - sql: SELECT 1\n    expect: allow\n    database: other\n", "does not list"),
                           ("  - sql: SELECT 1\n    expect: perhaps\n", "perhaps")):
            code, out, err = ctl("test", self.suite(text))
            self.assertEqual((code, out), (2, ""), text)
            self.assertIn(what, err)
        self.assertEqual(ctl("test", "/nonexistent.yaml")[0], 2)
        self.assertEqual(ctl("test")[0], 2)

    def files(self, *texts):
        names = []
        for text in texts:
            f = tempfile.NamedTemporaryFile("w", suffix=".txt")
            self.addCleanup(f.close)
            f.write(text)
            f.flush()
            names.append(f.name)
        return names

    def test_diff(self):
        """Effect, rule, text and limits are compared; the times of the records and the groups of their sessions count."""
        head = "version: 1\ndatabases: { shop: {}, lab: {} }\nrules:\n"
        rule = "  - { name: NAME, groups: g, database: shop, allow: select, on: public.customersMORE }\n"
        day = ', times: { from: "08:00", to: "18:00", zone: UTC }'
        masked = ', columns: { email: { mask: email }, "*": visible }'
        hidden = ', columns: { email: hidden, "*": visible }'
        corpus = [{"type": "session.open", "session": "s1", "groups": "g,h"},
                  {"type": "statement", "session": "s1", "principal": "ann", "database": "shop", "sql": "SELECT id\u001b FROM customers", "time": "2026-11-30T12:00:00.123Z"},
                  {"type": "statement", "session": "s1", "principal": "ann", "database": "shop", "sql": "SELECT email FROM customers", "time": "2026-11-30T12:00:00.123Z"},
                  {"type": "statement", "session": "s1", "principal": "ann", "database": "shop", "sql": "SELECT email FROM customers", "time": "2026-11-30T12:00:01.123Z"},
                  {"type": "statement", "session": "s1", "principal": "ann", "database": "shop", "parse_id": "3", "kind": "execute"},
                  {"type": "result", "session": "s1", "rows": "1"},
                  {"sql": "SELECT 1", "groups": ["g"], "database": "lab"}]
        corpus[1]["sql"] = "SELECT id FROM customers"
        lines = "".join(json.dumps(e) + "\n" for e in corpus)
        journal = "".join(f"{n} 00000000 " + json.dumps({"seq": n, "id": f"{n}-0", "stream": "audit", "session": e["session"],
                                                        "fields": [[k, v] for k, v in e.items() if k != "session"]}) + "\n"
                          for n, e in enumerate(corpus) if "session" in e)

        def diff(old, new, *more, text=lines):
            names = self.files(text, head + old, head + new)
            return ctl("diff", "--corpus", names[0], "--catalog", SHOP + "/shop.catalog", *more, *names[1:])
        plain = rule.replace("NAME", "a").replace("MORE", "")
        for text in (lines, journal):
            n = "3" if text is lines else "2"
            self.assertEqual(diff(plain, plain, text=text), (0, f"{n} statements, 0 judged otherwise\n", ""))
            code, out, err = diff(plain, rule.replace("NAME", "b").replace("MORE", hidden), text=text)
            self.assertEqual((code, err), (1, ""))
            self.assertIn("shop: ann [g,h]: SELECT email FROM customers\n  old: allow (a)\n  new: deny (b): the column email", out)
            self.assertTrue(out.endswith(f"{n} statements, 2 judged otherwise\n"), out)  # id runs as another text
        code, out, _ = diff(plain, rule.replace("NAME", "b").replace("MORE", masked), "--json")
        got = [json.loads(line) for line in out.splitlines()]
        self.assertEqual((code, [g["new"]["verdict"] for g in got]), (1, ["allow", "allow"]))
        self.assertIn("***", got[1]["new"]["rewritten"])
        self.assertNotIn("rewritten", got[1]["old"])
        self.assertIn("at most 5 rows", diff(plain, rule.replace("NAME", "a").replace("MORE", ", limits: { rows: 5 }"))[1])
        # a row filter by a claim: what a session's token said is recorded
        mine = ', rows: "region = ${claim:REGION}"'
        by = [rule.replace("NAME", "a").replace("MORE", mine.replace("REGION", name)) for name in ("region", "place", "none")]
        opened = dict(corpus[0], attributes='{"region":"eu","place":"us"}')
        renewed = dict(opened, type="session.renewed", attributes='{"region":"eu","place":"eu"}')
        for first, differ in ((opened, True), (renewed, False), (corpus[0], False)):
            text = "".join(json.dumps(e) + "\n" for e in [corpus[0], opened, first, corpus[1]])
            code, out, _ = diff(by[0], by[1], text=text)
            self.assertEqual(code, 1 if differ else 0, out)
            if differ:
                self.assertRegex(out, r"(?s)old: allow .*'eu'.*new: allow .*'us'")
        self.assertEqual(diff(by[0], by[2], text="".join(json.dumps(e) + "\n" for e in [opened, corpus[1]]))[0], 1)
        timed = rule.replace("NAME", "a").replace("MORE", day)
        self.assertEqual(diff(plain, timed)[0], 0)
        self.assertEqual(diff(plain, timed, "--at", "2026-11-30T18:00:00Z")[0], 1)
        self.assertEqual(diff(plain, rule.replace("NAME", "renamed").replace("MORE", ""))[0], 0)
        self.assertEqual(diff(plain, plain, text="{\n")[1], "0 statements, 0 judged otherwise, 1 lines were not understood\n")
        self.assertEqual(diff(plain, plain, "--at", "noon")[0], 2)
        self.assertEqual(diff(plain, "  - { name: x }\n")[0], 2)
        self.assertEqual(ctl("diff", "--corpus", "/nowhere", *self.files(head + plain, head + plain))[0], 2)
        code, out, _ = diff(plain, rule.replace("NAME", "b").replace("MORE", hidden), text=json.dumps(
            {"sql": "SELECT email /* \x1b[31m\u202e */ FROM customers", "principal": "\x1b]0;x", "groups": "g", "database": "shop"}))
        self.assertEqual(code, 1)
        self.assertFalse(any(ord(ch) < 32 and ch != "\n" or ord(ch) > 126 for ch in out), out)

    def test_times(self):
        name = self.files("version: 1\ndatabases: { shop: {} }\nrules:\n  - { name: day, groups: g, database: shop, allow: select, on: public.orders, times: "
                          '{ days: [mon], from: "08:00", to: "18:00", zone: Europe/Berlin } }\n')[0]
        for at, code in (("2026-11-30T17:59:59+01:00", 0), ("2026-11-30T18:00:00+01:00", 3), ("2026-11-30T17:00:00Z", 3), ("2026-12-01T12:00:00Z", 3),
                         ("2026-11-30", 2), ("2026-11-30T12:00:00", 2)):
            self.assertEqual(ctl("explain", "--policy", name, "--database", "shop", "--as", "g", "--at", at, "SELECT id FROM orders")[0], code, at)

    def test_explain_warns_of_views(self):
        name = self.files("version: 1\ndatabases: { shop: {} }\nrules:\n  - { name: v, groups: [g, h], database: shop, allow: select, on: public.customer_directory }\n"
                          "  - { name: c, groups: g, database: shop, allow: select, on: public.customers, columns: { email: hidden, '*': visible } }\n")[0]
        args = ("explain", "--policy", name, "--database", "shop", "--catalog", SHOP + "/shop.catalog", "SELECT count(*) FROM customer_directory")
        warning = "warning: the view public.customer_directory reads public.customers; what the policy hides of that does not reach through a view\n"
        self.assertIn(warning, ctl(*args, "--as", "g")[1])
        self.assertNotIn("warning", ctl(*args, "--as", "h")[1])
        got = json.loads(ctl(*args, "--as", "g", "--json")[1])["views_around"]
        self.assertEqual(got, [{"schema": "public", "name": "customer_directory", "reads_schema": "public", "reads_name": "customers"}])
        code, out, _ = ctl("check", "--catalog", SHOP + "/shop.catalog", name)
        self.assertIn('grants the view public.customer_directory, which reads public.customers; what the rule "c" hides', out)

    def test_grants(self):
        policy, empty = self.files("version: 1\ndatabases: { shop: {} }\nrules:\n  - { name: a, groups: g, database: shop, allow: [select, update], on: public.customers, "
                                   "columns: { email: { mask: email }, name: visible, phone: hidden }, rows: \"region = 'eu'\", write: [name, phone] }\n"
                                   "  - { name: b, principals: [x], database: shop, allow: insert, on: public.orders }\n"
                                   "  - { name: c, principals: [x], database: shop, deny: insert, on: public.orders, reason: No. }\n"
                                   "  - { name: d, groups: h, database: shop, allow: delete, on: public.orders, times: { days: mon, zone: UTC } }\n", "")
        args = ("grants", "--sql", "--policy", policy, "--catalog", SHOP + "/shop.catalog")
        code, out, err = ctl(*args, "--role", 'odd "role"')
        self.assertEqual((code, err), (0, ""))
        self.assertIn('GRANT SELECT ("name", "email", "region"), UPDATE ("name", "phone") ON TABLE "public"."customers" TO "odd ""role""";\n', out)
        self.assertIn('GRANT DELETE ON TABLE "public"."orders" TO', out)
        for word in ("INSERT", "staff", "card_number", "mask_key", "TEMPORARY"):
            self.assertNotIn(word, out)
        self.assertNotIn("orders", ctl(*args, "--as", "g")[1])
        self.assertNotIn("customers", ctl(*args, "--as", "h")[1])
        self.assertEqual(ctl(*args[:1], *args[2:])[0], 2)
        self.assertEqual(ctl(*args, "--database", "nowhere")[0], 2)
        self.assertEqual(ctl("grants", "--sql", "--policy", policy, "--catalog", empty)[0], 2)
