"""gatehousectl audit: what was done to the record by redis-cli and in the journal is found, and said exactly; tail, search, show, export.

The chain is computed here a second time, from what doc/ledger.md says. Every manipulation starts from the same whole record.
"""
import hashlib
import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

import psycopg

import stack
from haproxy import free_port

TERMINAL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
NASTY = "a\x1b]0;owned\x07\x1b[2J\r\u202eevil\u2066 \x7f \x9b31m"
ZERO = "0" * 64
INDEX, AUTH = "gatehouse:sessions", "gatehouse:auth"


def event_hash(key, fields):
    netstring = lambda s: b"%d:%s," % (len(s), s)  # noqa: E731
    return hashlib.sha256(b"".join(netstring(x.encode()) for x in [key, *fields])).hexdigest()


def field(fields, name):
    return dict(zip(fields[::2], fields[1::2])).get(name)


class Record:
    """The record in Redis, to change it by hand."""

    def __init__(self, s):
        self.s = s

    def keys(self):
        return sorted(k for k in self.s.redis("KEYS", "gatehouse:*").split("\n") if k)

    def entries(self, key):
        script = "return cjson.encode(redis.call('XRANGE', KEYS[1], '-', '+'))"
        out = json.loads(self.s.redis("EVAL", script, "1", key))
        return [(i, f) for i, f in out or ()]

    def put(self, key, entries):
        self.s.redis("DEL", key)
        for ident, fields in entries:
            self.s.redis("XADD", key, ident, *fields)

    # As one script each: a state of Redis that there never was would be another finding than the one a test means.
    def save(self):
        script = "local all = redis.call('KEYS', 'gatehouse:*') for _, k in ipairs(all) do redis.call('COPY', k, 'saved:' .. k, 'REPLACE') end return cjson.encode(all)"
        self.saved = sorted(json.loads(self.s.redis("EVAL", script, "0")) or ())

    def restore(self):
        script = """for _, k in ipairs(redis.call('KEYS', 'gatehouse:*')) do redis.call('DEL', k) end
                    for _, k in ipairs(ARGV) do redis.call('COPY', 'saved:' .. k, k) end"""
        self.s.redis("EVAL", script, "0", *self.saved)

    def all(self):
        """(seq, key, id, fields) of everything, by number."""
        out = [(int(field(f, "seq")), k, i, f) for k in self.keys() if "shipped" not in k for i, f in self.entries(k)]
        return sorted(out)


def journal_dir(s):
    return os.path.join(s.dir, "etc", "journal")


class Base(unittest.TestCase):
    def audit(self, *args, json_out=False, expect=None):
        done = subprocess.run([self.s.env["GH_CTL"], "audit", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        if expect is not None:
            self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        bad = TERMINAL.search(done.stdout + done.stderr)
        self.assertIsNone(bad, bad)
        return json.loads(done.stdout) if json_out else done.stdout

    def verify(self, *args, expect):
        return self.audit("verify", "--json", *args, json_out=True, expect=expect)

    def found(self, *args):
        """The kinds of what was touched, and their sentences."""
        report = self.verify(*args, expect=6)
        self.assertFalse(report["whole"])
        return {f["kind"] for f in report["findings"]}, report["findings"]

    def whole(self, *args):
        report = self.verify(*args, expect=0)
        self.assertTrue(report["whole"])
        self.assertEqual(report["findings"], [])
        return report


class Touched(Base):
    @classmethod
    def setUpClass(cls):
        cls.s = stack.Stack(config=lambda t: t.replace("  journal: journal\n", "  journal: journal\n  anchors: { interval: 300ms }\n"))
        cls.addClassCleanup(cls.s.close)
        s = cls.s
        cls.record = Record(s)
        n = 0
        while n < 2 or not cls.unanchored():
            assert n < 20, "there is an anchor amid every session"
            with s.psycopg(autocommit=True) as c:
                for i in range(5):
                    c.execute(f"SELECT {n}{i} AS n -- {NASTY if i == 3 else 'x'}".replace("\r", ""))
                try:
                    c.execute("SELECT * FROM staff")
                except psycopg.Error:
                    pass
            for i in range(2):
                try:
                    s.psycopg(password="no token").close()
                except psycopg.Error:
                    pass
            n += 1
            time.sleep(0.5)
        cls.sessions = n
        s.stop("gatehouse")
        cls.record.save()
        cls.journal = journal_dir(s)
        cls.key = os.path.join(cls.journal, "node.pub")
        cls.anchors = os.path.join(cls.journal, "anchors.log")

    @classmethod
    def tearDownClass(cls):
        cls.record.restore()
        cls.s.start("gatehouse")  # so that its log is searched, and it ends in good order

    def setUp(self):
        self.addCleanup(self.record.restore)

    @classmethod
    def unanchored(cls):
        """The events of the first session amid which there is no anchor, which would be another finding when what it speaks of is changed; or nothing."""
        everything = cls.record.all()
        anchors = [x[0] for x in everything if field(x[3], "type") == "anchor"]
        for key in sorted({x[1] for x in everything if x[1].startswith("gatehouse:audit:")}):
            events = [x for x in everything if x[1] == key]
            if sum(field(x[3], "type") == "statement" for x in events) > 4 and not any(events[0][0] <= a <= events[-1][0] + 1 for a in anchors):
                return events
        return []

    def a_statement(self):
        """The second one of that session."""
        return [x for x in self.unanchored() if field(x[3], "type") == "statement"][1]

    def change(self, key, ident, fn):
        self.record.put(key, [(i, fn(list(f)) if i == ident else f) for i, f in self.record.entries(key)])

    # --- nothing was touched ---

    def test_whole(self):
        report = self.whole()
        (w,) = report["writers"]
        everything = self.record.all()
        self.assertEqual((w["events"], w["first"], w["last"]), (len(everything), 1, len(everything)))
        self.assertGreaterEqual(w["anchors"], 2)
        self.assertEqual(w["anchors_outside"], w["anchors"])
        self.assertEqual(w["anchored"], w["last"], "the last event of a daemon that ended is an anchor")
        self.whole("--journal", self.journal)
        self.whole("--journal", self.journal, "--config", self.s.env["GH_CONFIG"])
        self.whole("--redis", self.s.env["GH_REDIS_URL"].split("//")[1].rstrip("/"), "--anchors", self.anchors, "--key", self.key)

    def test_the_chain_as_documented(self):
        ends = {False: ZERO, True: ZERO}
        for n, (seq, key, _, fields) in enumerate(self.record.all()):
            self.assertEqual(seq, n + 1)
            self.assertEqual(fields[::2][:5], ["type", "seq", "node", "time", "prev"])
            self.assertEqual(fields[9], ends[key == AUTH])
            if field(fields, "type") == "anchor":
                said = json.loads(field(fields, "signed"))
                self.assertEqual((said["main"]["hash"], said["auth"]["hash"], said["seq"]), (ends[False], ends[True], seq))
            ends[key == AUTH] = event_hash(key, fields)

    def test_anchors_are_signed_as_documented(self):
        with open(self.anchors) as f:
            lines = [json.loads(line) for line in f]
        with tempfile.TemporaryDirectory() as d:
            for line in lines:
                import base64
                with open(d + "/text", "w") as f:
                    f.write(line["anchor"])
                with open(d + "/sig", "wb") as f:
                    f.write(base64.urlsafe_b64decode(line["signature"] + "=="))
                subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", self.key, "-rawin", "-in", d + "/text", "-sigfile", d + "/sig"],
                               check=True, stdout=subprocess.DEVNULL)

    # --- by redis-cli ---

    def test_changed(self):
        seq, key, ident, _ = self.a_statement()
        for at, new in (("sql", "SELECT 1"), ("verdict", "deny"), ("principal", "somebody@else"), ("time", "2020-01-01T00:00:00.000Z")):
            self.record.restore()
            self.change(key, ident, lambda f: [new if i > 0 and f[i - 1] == at and i % 2 else x for i, x in enumerate(f)])
            kinds, findings = self.found()
            self.assertEqual(kinds, {"changed"})
            self.assertEqual([f["seq"] for f in findings], [seq])
            self.assertIn(key, findings[0]["text"])

    def test_a_field_more_or_less(self):
        seq, key, ident, _ = self.a_statement()
        for fn in (lambda f: f + ["approved_by", "dba@shop.example"], lambda f: f[:-2]):
            self.record.restore()
            self.change(key, ident, fn)
            kinds, findings = self.found()
            self.assertEqual((kinds, findings[0]["seq"]), ({"changed"}, seq))

    def test_bytes_moved_between_fields(self):
        """What a hash over the plain bytes would not see."""
        seq, key, ident, fields = self.a_statement()
        i = fields.index("sql")
        self.change(key, ident, lambda f: f[:i] + ["sq", "l" + f[i + 1]] + f[i + 2:])
        self.assertEqual(self.found()[0], {"changed"})

    def test_no_chain_any_more(self):
        for n, (seq, key, ident, fields) in enumerate(self.record.all()):
            if n > 3:
                break
            self.change(key, ident, lambda f: f[:8] + f[10:])
        self.assertIn("inserted", self.found()[0])

    def test_deleted(self):
        seq, key, ident, _ = self.a_statement()
        self.s.redis("XDEL", key, ident)
        kinds, findings = self.found()
        self.assertEqual(kinds, {"deleted"})
        self.assertEqual(findings[0]["seq"], seq)

    def test_a_session_deleted(self):
        seq, key, _, _ = self.a_statement()
        first, last = min(x[0] for x in self.record.all() if x[1] == key), max(x[0] for x in self.record.all() if x[1] == key)
        self.s.redis("DEL", key)
        kinds, findings = self.found()
        self.assertEqual(kinds, {"deleted"})
        self.assertTrue(first <= min(f["seq"] for f in findings) and max(f.get("to", f["seq"]) for f in findings) <= last)

    def test_the_beginning_deleted(self):
        for seq, key, ident, _ in self.record.all()[:4]:
            self.s.redis("XDEL", key, ident)
        kinds, findings = self.found()
        self.assertEqual((kinds, findings[0]["seq"], findings[0]["to"]), ({"deleted"}, 1, 4))

    def test_reordered(self):
        _, key, _, _ = self.a_statement()
        e = self.record.entries(key)
        self.record.put(key, [(e[0][0], e[0][1]), (e[1][0], e[2][1]), (e[2][0], e[1][1]), *e[3:]])
        kinds, findings = self.found()
        self.assertEqual(kinds, {"reordered"})
        self.assertEqual(findings[0]["seq"], int(field(e[1][1], "seq")))

    def test_moved_to_another_stream(self):
        seq, key, ident, fields = self.a_statement()
        self.s.redis("XDEL", key, ident)
        self.s.redis("XADD", "gatehouse:audit:other", ident, *fields)
        kinds, findings = self.found()
        self.assertEqual((kinds, findings[0]["seq"]), ({"changed"}, seq))

    def test_inserted(self):
        seq, key, ident, fields = self.a_statement()
        self.s.redis("XADD", key, "*", "type", "statement", "sql", "SELECT 'made up'")
        self.assertEqual(self.found()[0], {"inserted"})
        self.record.restore()
        self.s.redis("XADD", "gatehouse:audit:other", "*", *fields)  # the same a second time
        kinds, findings = self.found()
        self.assertEqual((kinds, findings[0]["seq"]), ({"inserted"}, seq))
        self.record.restore()
        made_up = [x if i == 0 or fields[i - 1] != "sql" else "SELECT 'made up'" for i, x in enumerate(fields)]
        self.s.redis("XADD", "gatehouse:audit:a", "*", *made_up)
        kinds, findings = self.found()
        self.assertEqual(kinds, {"inserted"})
        self.assertIn("gatehouse:audit:a;", findings[0]["text"].replace(" is not in the chain", ";"))

    def append_forged(self, n=1):
        """Events that are well linked behind the last one, as somebody would write who read this page."""
        seq, key, _, fields = self.record.all()[-1]
        prev, last_main = None, [x for x in self.record.all() if x[1] != AUTH][-1]
        prev = event_hash(last_main[1], last_main[3])
        for i in range(n):
            seq += 1
            fields = ["type", "statement", "seq", str(seq), "node", fields[5], "time", fields[7], "prev", prev, "verdict", "allow", "sql", "SELECT 'forged'"]
            self.s.redis("XADD", "gatehouse:audit:forged", "*", *fields)
            prev = event_hash("gatehouse:audit:forged", fields)
        self.s.redis("SET", "gatehouse:shipped:" + fields[5], str(seq))

    def test_forged_behind_the_end(self):
        """The chain cannot tell (whoever knows its end can go on), but no anchor covers it, the journal does not have it, and the daemon stops."""
        self.append_forged()
        report = self.verify(expect=0)
        self.assertIn("1 events of shop-1 are behind its last anchor", report["notes"][0])
        kinds, findings = self.found("--journal", self.journal, "--config", self.s.env["GH_CONFIG"])
        self.assertEqual(kinds, {"inserted"})

    def test_cut_at_the_end(self):
        everything = self.record.all()
        for seq, key, ident, _ in everything[-4:]:
            self.s.redis("XDEL", key, ident)
        kinds, findings = self.found()
        self.assertEqual(kinds, {"cut"})
        self.assertEqual(findings[0]["seq"], everything[-4][0])
        # without the counter's help: it is made to fit
        self.s.redis("SET", "gatehouse:shipped:shop-1", str(everything[-5][0]))
        kinds, findings = self.found()
        self.assertEqual((kinds, findings[0]["seq"], findings[0]["to"]), ({"rolled back"}, everything[-4][0], everything[-1][0]))
        # nothing tells but an anchor from outside
        report = self.verify("--redis", self.s.env["GH_REDIS_URL"].split("//")[1].rstrip("/"), "--key", self.key, expect=0)
        self.assertIn("no anchors from outside", report["notes"][0])

    def test_everything_gone(self):
        for k in self.record.keys():
            self.s.redis("DEL", k)
        kinds, findings = self.found()
        self.assertEqual(kinds, {"rolled back"})
        self.assertEqual(findings[0]["seq"], 1)

    def test_counter(self):
        self.s.redis("DEL", "gatehouse:shipped:shop-1")
        self.assertEqual(self.found()[0], {"changed"})

    def test_refused_logins(self):
        e = self.record.entries(AUTH)
        self.assertGreaterEqual(len(e), 4)
        self.s.redis("XDEL", AUTH, e[1][0])
        kinds, findings = self.found()
        self.assertEqual((kinds, findings[0]["seq"]), ({"deleted"}, int(field(e[1][1], "seq"))))
        self.record.restore()
        self.s.redis("XTRIM", AUTH, "MAXLEN", "2")  # as their bound does
        self.whole()
        self.record.restore()
        self.s.redis("DEL", AUTH)
        self.assertEqual(self.found()[0], {"deleted"})

    def rewrite_all(self, change, anchors=None):
        """The whole record again with a chain that fits; anchors: a function that signs them anew."""
        streams, ends = {}, {False: (0, ZERO), True: (0, ZERO)}
        for seq, key, ident, f in self.record.all():
            f = change(list(f))
            f[9] = ends[key == AUTH][1]
            if anchors and f[1] == "anchor":
                said = json.loads(field(f, "signed"))
                said["main"], said["auth"] = ({"seq": s, "hash": h} for s, h in (ends[False], ends[True]))
                f[f.index("signed") + 1], f[f.index("signature") + 1], f[f.index("key") + 1] = anchors(json.dumps(said, separators=(",", ":")))
            ends[key == AUTH] = (seq, event_hash(key, f))
            streams.setdefault(key, []).append((ident, f))
        for key, entries in streams.items():
            self.record.put(key, entries)

    def harmless(self, f):
        return [x if i == 0 or f[i - 1] != "sql" else "SELECT 'harmless'" for i, x in enumerate(f)]

    def test_rewritten(self):
        """The attacker computes the whole chain again: every link fits, and the anchors do not."""
        self.rewrite_all(self.harmless)
        kinds, findings = self.found()
        self.assertEqual(kinds, {"rewritten"})

    def test_rewritten_and_anchored_anew(self):
        import base64
        d = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, d)
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", d + "/k"], check=True)
        der = subprocess.run(["openssl", "pkey", "-in", d + "/k", "-pubout", "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout
        b64 = lambda b: base64.urlsafe_b64encode(b).decode().rstrip("=")  # noqa: E731

        def sign(text):
            with open(d + "/t", "w") as f:
                f.write(text)
            subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", d + "/k", "-rawin", "-in", d + "/t", "-out", d + "/s"], check=True)
            with open(d + "/s", "rb") as f:
                return text, b64(f.read()), b64(der[-32:])

        self.rewrite_all(self.harmless, sign)
        kinds, findings = self.found()
        self.assertLessEqual({"forged", "rewritten"}, kinds)
        # even without the outside anchors the key tells; and without the key, the outside anchors
        redis = self.s.env["GH_REDIS_URL"].split("//")[1].rstrip("/")
        self.assertIn("forged", self.found("--redis", redis, "--key", self.key)[0])
        self.assertIn("rewritten", self.found("--redis", redis, "--anchors", self.anchors)[0])

    def test_an_anchor_of_another_event(self):
        seq, key, ident, fields = [x for x in self.record.all() if x[3][1] == "anchor"][-1]
        other = [x for x in self.record.all() if x[3][1] == "anchor"][0][3]
        self.change(key, ident, lambda f: f[:10] + other[10:])
        self.assertIn("forged", self.found()[0])

    # --- in the journal ---

    def journal_copy(self):
        d = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, d)
        shutil.copytree(self.journal, d + "/j", ignore=shutil.ignore_patterns("*.sock"))
        (name,) = [n for n in os.listdir(d + "/j") if n.startswith("journal-")]
        return d + "/j", os.path.join(d, "j", name)

    def journal_lines(self, path, change):
        with open(path) as f:
            lines = change(f.read().splitlines(True))
        with open(path, "w") as f:
            f.write("".join(lines))

    def test_journal(self):
        d, path = self.journal_copy()
        self.journal_lines(path, lambda lines: [x.replace("SELECT 00", "SELECT 99") for x in lines])
        self.assertIn("damaged", self.found("--journal", d, "--anchors", self.anchors)[0])
        for change, kind in ((lambda x: x[:-3], "cut"), (lambda x: x[:5] + x[6:], "deleted")):
            d, path = self.journal_copy()
            self.journal_lines(path, change)
            self.assertEqual(self.found("--journal", d, "--anchors", self.anchors)[0], {kind})
            kinds, findings = self.found("--journal", d, "--config", self.s.env["GH_CONFIG"], "--anchors", self.anchors)
            self.assertIn(kind, kinds)

    def test_redis_against_the_journal(self):
        seq, key, ident, _ = self.record.all()[-1]
        self.change(key, ident, lambda f: f + ["more", "x"])  # the last event: no other follows that would tell
        kinds, findings = self.found("--journal", self.journal, "--config", self.s.env["GH_CONFIG"])
        self.assertIn("changed", kinds)
        self.assertIn(seq, [f["seq"] for f in findings])

    # --- what people read ---

    def test_show(self):
        _, key, _, _ = self.a_statement()
        text = self.audit("show", key.split(":")[2], expect=0)
        self.assertRegex(text, r"SELECT \d+0 AS n")
        self.assertIn("<U+202E>", text)
        self.assertIn("<U+001B>", text)
        self.assertRegex(text, r"(?m)^ +\+0\.\d+  statement \d+, query: allow")
        self.assertRegex(text, r"result of \d+: 1 rows, \d+ bytes, \d+\.\d+ ms, SQLSTATE 00000")
        self.assertEqual(text, self.audit("show", key.split(":")[2], "--journal", self.journal, expect=0))
        self.audit("show", "nobody\x1b[2J", expect=4)

    def test_search(self):
        find = lambda *a: [json.loads(x) for x in self.audit("search", "--json", *a, expect=0).splitlines()]  # noqa: E731
        everything = self.record.all()
        self.assertEqual(len(find()), len(everything))
        self.assertEqual({e["type"] for e in find("--verdict", "deny")}, {"statement"})
        self.assertEqual(len(find("--verdict", "deny")), self.sessions)
        self.assertEqual(len(find("--table", "staff")), self.sessions)
        self.assertEqual(len(find("--table", "public.STAFF")), self.sessions)  # the text names no schema, so it may be any
        self.assertEqual(len(find("--table", "taff")), 0)
        self.assertEqual(len(find("--table", "public.taff")), 0)
        self.assertEqual(len(find("--text", "select 0")), 5)
        self.assertEqual(len(find("--principal", "tester@shop.example", "--type", "session.open")), 2 * self.sessions)
        self.assertEqual(len(find("--principal", "nobody")), 0)
        self.assertEqual(len(find("--since", "1h")), len(everything))
        self.assertEqual(len(find("--until", "1h")), 0)
        self.assertEqual(len(find("--limit", "3")), 3)
        self.assertEqual([e["seq"] for e in find("--limit", "3")], [str(x[0]) for x in everything[-3:]])
        _, key, _, _ = self.a_statement()
        self.assertEqual(len(find("--session", key.split(":")[2])), len([x for x in everything if x[1] == key]))
        self.assertEqual(len(find("--journal", self.journal)), len(everything))
        self.audit("search", "--since", "yesterday", expect=2)
        self.assertIn("<U+202E>", self.audit("search", expect=0))

    def said(self, *args, expect):
        """What is said beside the output, of which there is none."""
        done = subprocess.run([self.s.env["GH_CTL"], "audit", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual((done.returncode, done.stdout), (expect, ""), done.stderr)
        return done.stderr

    def test_what_nothing_can_be(self):
        """A word that no record has is refused with those that there are, and a search that finds nothing says so."""
        self.assertIn("did you mean allow?", self.said("search", "--verdict", "alow", expect=2))
        self.assertIn("allow, deny, ask, observe-deny, observe-ask, approve", self.said("export", "--verdict", "maybe?", expect=2))
        self.assertIn("did you mean statement?", self.said("tail", "--type", "statment", expect=2))
        for more in ([], ["--json"], ["--journal", self.journal]):
            self.assertIn("nothing fits", self.said("search", "--verdict", "observe-ask", *more, expect=0))
        self.assertIn("nothing fits", self.said("export", "--type", "grant.ended", expect=0))
        self.assertIn("the SESSION's id is missing", self.said("show", expect=2))
        self.assertIn('unknown command "serch": did you mean search?', self.said("serch", expect=2))
        with open(os.path.join(stack.TOP, "ctl", "audit.c")) as f:
            known = set(re.findall(r'"([a-z_.]+)"', f.read().split("types[] = {")[1].split("};")[0]))
        written = {"approval." + k for k in ("expired", "lapsed", "replaced", "granted", "used")} | {"block", "unblock", "grant", "retention"}
        for name in os.listdir(os.path.join(stack.TOP, "spoa")):
            if name.endswith(".c"):
                with open(os.path.join(stack.TOP, "spoa", name)) as f:
                    text = f.read()
                written |= set(re.findall(r'rec_append\([^;"]*LED_[A-Z]+, [^;"]*"([a-z_.]+)"', text))
                written |= set(re.findall(r'(?:\.type = |ord_event\([^;"]*|append_keys\([^;"]*|tell\(s, )"([a-z_]+\.?[a-z_]+)"', text)) - {"text", "refusal", "what"}  # of a hook, of an answer over HTTP
        self.assertEqual(known, written)

    def test_the_daemons_own_login(self):
        """It may not list keys: that is said, and who can."""
        with open(os.path.join(stack.TOP, "doc", "ledger.md")) as f:
            doc = f.read()
        rights = re.search(r"ACL SETUSER gatehouse on >PASSWORD (.*?)\n\n", doc, re.S).group(1).replace(":n1", ":shop-1")
        auditor = re.search(r"An auditor .*? needs `([^`]*)`", doc, re.S).group(1)
        self.s.redis("ACL", "SETUSER", "ledger", "on", ">right", *rights.split())
        self.s.redis("ACL", "SETUSER", "auditor", "on", ">right", *auditor.split())
        for user in ("ledger", "auditor"):
            self.addCleanup(self.s.redis, "ACL", "DELUSER", user)
        password = os.path.join(self.s.dir, "right.password")
        with open(os.open(password, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
            f.write("right\n")
        config = self.s.env["GH_CONFIG"] + ".ledger"
        with open(self.s.env["GH_CONFIG"]) as f, open(config, "w") as out:
            out.write(f.read().replace("\nredis:\n", f"\nredis:\n  user: ledger\n  password_file: {password}\n"))
        for command in ("search", "verify", "export"):
            said = self.said(command, "--config", config, expect=1)
            self.assertRegex(said, "NOPERM.*\n    do: this is the daemon's own login, .*--user NAME --password-file FILE; or read the journal: --journal FOLDER")
        own = ["--config", config, "--user", "auditor", "--password-file", password]
        self.assertEqual(self.audit("search", *own, expect=0), self.audit("search", expect=0))
        self.whole(*own)
        url = re.search("@?([0-9.]+:[0-9]+)", self.s.env["GH_REDIS_URL"]).group(1)
        self.whole("--redis", url, "--user", "auditor", "--password-file", password, "--key", self.key)
        self.s.redis("ACL", "SETUSER", "auditor", "-xread")
        self.assertRegex(self.said("tail", *own, expect=1), "cannot follow the streams in Redis: NOPERM.*\n    do: this login lacks a right; an auditor's user")
        self.s.redis("ACL", "SETUSER", "auditor", "resetpass", ">other")
        self.assertRegex(self.said("search", *own, expect=1), "WRONGPASS.*\n    do: see that --user and --password-file are right, .*ACL SETUSER is gone when Redis starts again")

    def test_one_event(self):
        """One is one."""
        seq, key, ident, _ = self.a_statement()
        self.s.redis("XDEL", key, ident)
        _, findings = self.found()
        self.assertRegex(findings[0]["text"], f"^1 event of [^ ]+ is missing between event {seq - 1} ")
        _, findings = self.found("--journal", self.journal, "--config", self.s.env["GH_CONFIG"])
        self.assertTrue([f for f in findings if re.match("1 event of [^ ]+ that the journal has is not in Redis$", f["text"])], findings)

    def test_export(self):
        lines = [json.loads(x) for x in self.audit("export", expect=0).splitlines()]
        self.assertEqual(len(lines), len(self.record.all()))
        for e in lines:
            key = e.pop("stream")
            e.pop("entry")
            match = [x for x in self.record.all() if str(x[0]) == e["seq"]]
            self.assertEqual((key, e), (match[0][1], dict(zip(match[0][3][::2], match[0][3][1::2]))))

    def test_by_hand_and_nasty(self):
        """Entries that somebody else wrote, with names and values for a terminal."""
        nasty = NASTY.replace("\x9b", "\u009b")
        self.s.redis("XADD", "gatehouse:audit:x\x1b[2J", "*", "type" + nasty, nasty, "stream", "z", "session", nasty)
        self.s.redis("XADD", INDEX, "*", "type", nasty, "time", nasty, "principal", nasty, "sql", nasty, "rule", nasty)
        self.assertIn("inserted", self.found()[0])
        self.audit("verify", expect=6)
        self.assertIn("<U+001B>", self.audit("search", expect=0))
        self.audit("search", "--json", expect=0)
        self.audit("export", expect=0)
        self.audit("show", "x\x1b[2J", expect=0)


class Life(Base):
    """Upgrades, kills and full files do not break the chain."""

    def setUp(self):
        self.s = stack.Stack(config=lambda t: t.replace("  journal: journal\n", "  journal: journal\n  segment: 1MiB\n  anchors: { interval: 300ms }\n"))
        self.addCleanup(self.s.close)

    def settled(self):
        last = stack.wait_until("an anchor ends the record", lambda: (lambda a: a if a and a[-1][3][1] == "anchor" else None)(Record(self.s).all()))
        return last

    @staticmethod
    def one(s, sql):
        try:
            with s.psycopg(autocommit=True) as c:
                c.execute(sql)
                return True
        except psycopg.Error:  # the ledger finds another state than it left, and refuses until that is mended
            return False

    def test_life(self):
        s, journal = self.s, journal_dir(self.s)
        big = "SELECT 1 -- " + "x" * 1500000
        with s.psycopg(autocommit=True) as c:
            c.execute(big)
            for i in range(60):
                c.execute(f"SELECT {i} -- " + "y" * 60000)
            c.execute("SELECT 3")
            for i in range(20):  # what a text's records have in common is kept, and must be what it would be anew
                c.execute("SELECT %s || ' \"\u00e9\\ again'", ["v"], prepare=False)
        again = [[(k, v) for k, v in e.items() if k not in ("id", "seq", "time", "prev")] for e in s.audit() if "again" in e.get("sql", "")]
        for kind in ("parse", "execute"):
            of_kind = [e for e in again if ("kind", kind) in e]
            self.assertEqual((len(of_kind), [e for e in of_kind if e != of_kind[0]]), (20, []))
            self.assertIn(("verdict", "allow"), of_kind[0])
        self.assertTrue(big in [e.get("sql") for e in s.audit()], "it is not whole in the record")
        self.assertGreater(len([n for n in os.listdir(journal) if n.startswith("journal-")]), 2)
        self.settled()
        self.whole("--journal", journal, "--config", s.env["GH_CONFIG"])
        # killed: the one that starts next anchors what it left
        with s.psycopg(autocommit=True) as c:
            c.execute("SELECT 4")
            s.kill("gatehouse")
        s.start("gatehouse")
        self.settled()
        self.whole("--journal", journal, "--config", s.env["GH_CONFIG"])
        # taken over: two writers, each with its chain
        with s.psycopg(autocommit=True) as old:
            old.execute("SELECT 5")
            name = s.upgrade()
            with s.psycopg(autocommit=True) as new:
                new.execute("SELECT 6")
                old.execute("SELECT 7")
                stack.wait_until("both are in Redis", lambda: {"SELECT 6", "SELECT 7"} <= {e.get("sql") for e in s.audit()})
                stack.wait_until("each has an anchor", lambda: {field(f, "node") for _, _, _, f in Record(s).all() if field(f, "type") == "anchor"} == {"shop-1", "shop-1/1"})
                report = self.whole("--journal", journal, "--config", s.env["GH_CONFIG"])
                self.assertEqual({w["node"] for w in report["writers"]}, {"shop-1", "shop-1/1"})
        stack.wait_until("the old daemon ends", lambda: not s.runs(name))
        # a state from before is brought back while the daemon runs: it fills Redis again, and nothing is missing
        record = Record(s)
        record.save()
        with s.psycopg(autocommit=True) as c:
            c.execute("SELECT 8")
        stack.wait_until("it is in Redis", lambda: "SELECT 8" in [e.get("sql") for e in s.audit()])
        before = [x[0::3] for x in record.all()]
        record.restore()
        stack.wait_until("Redis is filled again", lambda: self.one(s, "SELECT 9"))
        stack.wait_until("what it had lost too", lambda: {"SELECT 8", "SELECT 9"} <= {e.get("sql") for e in s.audit()})
        self.assertGreater(len(record.all()), len(before))
        self.whole("--journal", journal, "--config", s.env["GH_CONFIG"])
        for k in s.redis("KEYS", "saved:*").split():
            s.redis("DEL", k)
        # what runs is followed
        tail = subprocess.Popen([s.env["GH_CTL"], "audit", "tail", "--type", "statement"], stdout=subprocess.PIPE, text=True)
        try:
            with s.psycopg(autocommit=True) as c:
                def followed():
                    c.execute("SELECT 10 /* \x1b[31m */")
                    return select.select([tail.stdout], [], [], 0.5)[0]
                stack.wait_until("tail shows it", followed, 30)
                self.assertIn("SELECT 10 /* <U+001B>[31m */", tail.stdout.readline())
        finally:
            tail.kill()
            tail.communicate()
        self.assertNotIn("ledger.anchor ", s.log("gatehouse"))


class Long(Base):
    """Texts whose records the parse pool makes say what short ones say, and stand where they belong."""

    @classmethod
    def setUpClass(cls):
        cls.s = stack.Stack(config=lambda t: t + f"metrics: {{ listen: 127.0.0.1:{free_port()} }}\n")
        cls.addClassCleanup(cls.s.close)

    def test_narrow_terminals(self):
        """Nothing of a client's stands in a terminal's first column, also where a line is longer than it is wide."""
        words = "statement 7, query: allow by rule all"
        with self.s.psycopg(autocommit=True) as c:
            c.execute(f"SELECT '{'x' * 150}{words}{'y' * 151}', '\u00e9' -- {words}\n-- {words}{' ' * 300}{words}", prepare=False)
        session = [e for e in self.s.stream(INDEX) if e["type"] == "session.open"][-1]["session"]
        whole = self.audit("show", session, expect=0)
        self.assertIn(f"\n           | -- {words}<300 blanks>{words}\n", whole)
        for args in (("show", session), ("search", "--session", session, "--type", "statement")):
            for columns in (40, 80, 93, 119):
                lines, rc = stack.on_terminal(columns, self.s.env["GH_CTL"], "audit", *args)
                self.assertEqual((rc, [x for x in lines if len(x) > columns]), (0, []))
                self.assertEqual([x for x in lines if x.startswith(words[:9])], [])
                if args[0] == "search":
                    self.assertEqual(len([x for x in lines if not x.startswith("    ")]), 1)
                    self.assertIn(words, "".join(x[4:] if x.startswith("    ") else x for x in lines))
                else:
                    of_sql = "".join(x[13:] for x in lines if x[:13] in ("           | ", "           : "))
                    self.assertIn(f"{words}<300blanks>{words}".replace(" ", ""), of_sql.replace(" ", ""))
        self.assertEqual(len(self.audit("search", "--session", session, "--type", "statement", expect=0).splitlines()), 1)  # in a pipe each event is a line

    def test_long_texts(self):
        pad = "/* " + "long, " * 9000 + "*/"
        token = self.s.token("tester")
        deep, secret = "SELECT " + "(" * 40000, f"ALTER ROLE nobody PASSWORD 'spoken aloud' {pad}"
        shown = f"SELEKT 'it is {token}' {pad}"
        with self.s.psycopg(autocommit=True) as c:
            for sql in (deep, "SELECT 1", secret, "SELECT 2", shown):
                if len(sql) < 10:
                    c.execute(sql, prepare=False)
                    continue
                with self.assertRaises(psycopg.Error):
                    c.execute(sql, prepare=False)
            for n in range(2):
                self.assertEqual(c.execute(f"SELECT %s::text {pad}", ["w" * 7000], prepare=True).fetchone(), ("w" * 7000,))
            self.assertEqual(c.execute("SELECT %s::text || %s::text /* " + "v" * 4000 + "*/", ["x" * 3000, "y" * 3000]).fetchone(), ("x" * 3000 + "y" * 3000,))
            c.execute("SELECT 3", prepare=False)
        session = stack.wait_until("the session is over", lambda: [e for e in self.s.audit() if e["type"] == "session.close"])[0]["session"]
        events = [e for e in self.s.audit() if e["session"] == session and e["type"] == "statement"]
        self.assertEqual([(e["kind"], e["verdict"]) for e in events],
                         [("query", "deny"), ("query", "allow"), ("query", "deny"), ("query", "allow"), ("query", "deny"),
                          ("parse", "allow"), ("execute", "allow"), ("execute", "allow"), ("parse", "allow"), ("execute", "allow"), ("query", "allow")])
        texts = [e.get("sql") for e in events]
        self.assertEqual(texts[:4], [deep, "SELECT 1", secret.replace("spoken aloud", "***"), "SELECT 2"])
        self.assertEqual(texts[4], shown.replace(token, "***"))
        self.assertEqual(texts[5], f"SELECT $1::text {pad}")
        self.assertEqual([(e.get("sql"), e["parse_id"]) for e in events[6:8]], [(None, "6")] * 2)
        self.assertEqual(json.loads(events[6]["params"]), ["w" * 7000])
        self.assertEqual(json.loads(events[9]["params"]), ["x" * 3000, "y" * 3000])
        self.assertEqual(texts[10], "SELECT 3")
        for e in events:
            self.assertEqual(e.get("sha256"), hashlib.sha256(e["sql"].encode()).hexdigest() if "sql" in e else None)
            self.assertNotIn("sql_cut", e)
        self.assertGreaterEqual(self.s.metric("gatehouse_parse_pool_jobs_total"), 7)
        stack.wait_until("an anchor", lambda: [e for e in self.s.stream(INDEX) if e["type"] == "anchor"])
        self.whole()


class Results(Base):
    """record: results: what the client got, as it got it, and no more than was asked for."""

    @classmethod
    def setUpClass(cls):
        cls.s = stack.Stack(policy=stack.shop_policy(),
                            config=lambda t: t.replace("    engine: postgresql\n", "    engine: postgresql\n    record: { rows: 5, bytes: 4KiB }\n"))
        cls.addClassCleanup(cls.s.close)

    def ended(self):
        """Waits until the record has the end of every session."""
        def all_ended():
            opened, closed = ([e["session"] for e in self.s.stream(INDEX) if e["type"] == kind] for kind in ("session.open", "session.close"))
            return opened and set(opened) == set(closed)
        stack.wait_until("every session's end is in the record", all_ended)

    def data(self, who, *statements, prepare=None, binary=False):
        with self.s.psycopg(who, autocommit=True) as c:
            for sql, *params in statements:
                cur = c.cursor(binary=binary)
                got = cur.execute(sql, *params, prepare=prepare).fetchall()
            pid = c.info.backend_pid
        self.assertIsNotNone(pid)
        self.ended()
        session = [e for e in self.s.stream(INDEX) if e["type"] == "session.close"][-1]["session"]
        results = [e for e in self.s.audit() if e["session"] == session and e["type"] == "result"]
        return got, json.loads(results[-1].get("data", "null")), results[-1]

    def test_as_the_client_saw_it(self):
        got, data, _ = self.data("agent", ("SELECT id, email, phone FROM customers ORDER BY id LIMIT 2",))
        self.assertEqual(data, [{"columns": ["id", "email", "phone"]}] + [[str(i), e, p] for i, e, p in got])
        self.assertNotIn("c4n4ry", json.dumps(self.s.audit()))
        self.assertIsNone(got[0][2])

    def test_bounds(self):
        got, data, result = self.data("dba", ("SELECT id FROM customers ORDER BY id",))
        self.assertEqual((len(got), data[1:], result["data_cut"], result["rows"]), (1000, [[str(i)] for i in range(1, 6)], "1", "1000"))
        got, data, result = self.data("dba", ("SELECT repeat('x', 5000)",))
        self.assertEqual((len(got[0][0]), data[1:], result["data_cut"]), (5000, [], "1"))
        got, data, result = self.data("dba", ("SELECT repeat('y', 3000000), 1",))  # a row that streams
        self.assertEqual((len(got[0][0]), data[1:], result["data_cut"]), (3000000, [], "1"))
        got, data, result = self.data("dba", ("SELECT repeat('z', 3000)",))
        self.assertEqual((data[1:], result.get("data_cut")), ([["z" * 3000]], None))

    def test_extended(self):
        _, data, _ = self.data("dba", ("SELECT %s::text, NULL, 7", ["a\x1b\u202e"]))
        self.assertEqual(data, [["a\x1b\u202e", None, "7"]])
        _, data, _ = self.data("dba", ("SELECT %s::int4, %s::text", [258, "b"]), binary=True)
        self.assertEqual(data, [["\x01\x02", "b"]] if data[0][0] == "\x01\x02" else [[{"hex": "00000102"}, "b"]])
        with self.s.psycopg("dba", autocommit=True) as c:
            with c.cursor().copy("COPY (SELECT 1, 'two') TO STDOUT") as copy:
                self.assertEqual(b"".join(copy), b"1\ttwo\n")
        self.ended()
        self.assertIn('["1\\ttwo\\n"]', [e.get("data") for e in self.s.audit() if e["type"] == "result"])

    def test_shown(self):
        self.data("dba", ("SELECT 'r\x1b[2J', 2",))
        session = [e for e in self.s.stream(INDEX) if e["type"] == "session.close"][-1]["session"]
        self.assertIn('> ["r\\u001B[2J","2"]', self.audit("show", session, expect=0))


RECORD_RULES = """
  - name: recorded-with-rows
    groups: recorders
    database: shop
    allow: select
    on: scratch.kept
    record: results
  - name: recorded-without
    groups: recorders
    database: shop
    allow: select
    on: scratch.numbers
    record: statements
  - name: recorded-as-the-database-says
    groups: recorders
    database: shop
    allow: select
    on: scratch.plain
  - name: recorded-when-approved
    groups: recorders
    database: shop
    ask: select
    on: scratch.asked
    approvers: dbas
    record: results
"""


class PerRule(Base):
    """record in a rule: what of the results is in the journal and in Redis, whatever the database's record says; and what is not is nowhere."""

    @classmethod
    def setUpClass(cls):
        cls.s = stack.Stack(policy=stack.own_policy() + RECORD_RULES)
        cls.addClassCleanup(cls.s.close)
        cls.s.scratch("".join(f"CREATE TABLE scratch.{t} (n int, s text); INSERT INTO scratch.{t} SELECT g, '{t}-' || 'value-' || g FROM generate_series(1, 8) g; "
                              for t in ("kept", "numbers", "plain", "asked")))
        cls.s._minted["recorder"] = cls.s.mint("recorder@shop.example", ["recorders"])

    def records(self, conn, sql, prepare=None):
        """The event of the result, as Redis has it."""
        known = {(e["session"], e["id"]) for e in self.s.audit()}
        got = conn.execute(sql, prepare=prepare).fetchall()
        event = stack.wait_until("its result is recorded", lambda: [e for e in self.s.audit() if e["type"] == "result" and (e["session"], e["id"]) not in known])
        self.assertEqual((len(event), event[0]["rows"]), (1, str(len(got))))
        return event[0]

    def rows(self, event):
        return [row for row in json.loads(event.get("data", "[]")) if not isinstance(row, dict)]

    def check(self, conn, sql, want, cut, prepare=None):
        with self.subTest(sql=sql, prepare=prepare):
            event = self.records(conn, sql, prepare)
            self.assertEqual((self.rows(event), event.get("data_cut")), (want, cut))
            if not want:
                self.assertNotIn("data", event)

    def value(self, table, n):
        return [[str(i), f"{table}-value-{i}"] for i in range(1, n + 1)]

    def journal(self):
        return subprocess.run(stack.as_root("sh", "-c", f"cat {journal_dir(self.s)}/journal-*"), stdout=subprocess.PIPE, check=True).stdout

    def everything(self, most, cut, plain, plain_cut):
        with self.s.psycopg("recorder", autocommit=True, prepare_threshold=None) as c:
            for prepare in (None, True, True):  # the last two by one prepared statement
                self.check(c, "SELECT n, s FROM scratch.kept ORDER BY n", self.value("kept", most), cut, prepare)
                self.check(c, "SELECT n, s FROM scratch.numbers ORDER BY n", [], None, prepare)
                self.check(c, "SELECT n, s FROM scratch.plain ORDER BY n", self.value("plain", plain), plain_cut, prepare)
            # where rules differ, results counts
            self.check(c, "SELECT p.n, p.s FROM scratch.plain p JOIN scratch.kept USING (n) ORDER BY p.n", self.value("plain", most), cut)
            self.check(c, "SELECT n.n, p.s FROM scratch.numbers n JOIN scratch.plain p USING (n) ORDER BY n.n", [], None)
            sql = "SELECT n, s FROM scratch.asked ORDER BY n"
            with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
                c.execute(sql)
            ident = str(caught.exception).split("decision on request ")[1].split()[0]
            subprocess.run([self.s.env["GH_CTL"], "approve", ident, "--token-file", "-"], input=self.s.token("dba"), text=True, check=True, stdout=subprocess.DEVNULL)
            self.check(c, sql, self.value("asked", most), cut)

    def test_per_rule(self):
        self.everything(8, None, 0, None)  # the database says nothing: numbers alone
        self.s.configure("    engine: postgresql\n", "    engine: postgresql\n    record: { rows: 3, bytes: 4KiB }\n")
        self.s.reload()
        self.everything(3, "1", 3, "1")
        kept, record = self.journal(), json.dumps(self.s.audit())
        for place in (kept.decode(errors="replace"), record):
            self.assertIn("kept-value-1", place)
            self.assertIn("kept-value-8", place)
            self.assertIn("asked-value-8", place)
            self.assertNotIn("numbers-value-", place)
        stack.wait_until("an anchor vouches for the writer", lambda: [e for e in self.s.stream(INDEX) if e["type"] == "anchor"])
        self.whole("--journal", journal_dir(self.s))

    def test_what_a_rule_may_say(self):
        good = self.s.policy()
        for word in ("none", "all", "rows: 5"):
            self.s.put_policy(good.replace("record: statements", f"record: {word}" if ":" not in word else f"record: {{ {word} }}"))
            self.s.reload(ok=False)
        self.s.put_policy(good)
        self.s.reload()


if __name__ == "__main__":
    unittest.main()
