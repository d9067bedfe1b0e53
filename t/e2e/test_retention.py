"""audit.retention: what is old goes from Redis, and files from the journal, only after a signed event has said so; audit verify then says what went and when,
and still finds everything else that is missing, changed, or said by somebody else to have been removed by retention."""
import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import psycopg

import stack
from test_audit import INDEX, Base, Record, event_hash, field, journal_dir

RIGHTS = ("resetkeys", "~gatehouse:audit:*", "~gatehouse:approval:*", "~gatehouse:orders", "~gatehouse:sessions", "~gatehouse:auth", "~gatehouse:shipped:shop-1",
          "~gatehouse:shipped:shop-1/*", "resetchannels", "-@all", "+script|load", "+evalsha", "+get", "+set", "+xadd", "+xrange", "+xrevrange", "+time")
ASK = """
  - name: askers-insert
    groups: askers
    database: shop
    ask: insert
    on: scratch.t
    approvers: dbas
"""


def configured(retention, more=""):
    def change(text):
        at = "  journal: journal\n"
        assert at in text
        return text.replace(at, at + f"  anchors: {{ interval: 300ms }}\n  retention: {retention}\n" + more)
    return change


class Retained(Base):
    def start(self, retention, more="", policy=None):
        self.s = stack.Stack(config=configured(retention, more), **({"policy": policy} if policy else {}))
        self.addCleanup(self.s.close)
        self.record = Record(self.s)
        self.journal = journal_dir(self.s)
        self.both = ("--journal", self.journal, "--config", self.s.env["GH_CONFIG"])

    def session(self, *statements, who="tester"):
        """A session that ran these and ended; its id."""
        with self.s.psycopg(who, autocommit=True) as c:
            for sql in statements:
                c.execute(sql)
            ident = c.execute("SELECT current_setting('gatehouse.session')").fetchone()[0]
        return ident

    def session_or_none(self, *statements):
        """The same while Redis may be busy with something else."""
        try:
            return self.session(*statements)
        except psycopg.Error:
            return None

    def streams(self):
        return {k.split(":", 2)[2] for k in self.record.keys() if k.startswith("gatehouse:audit:")}

    def gone(self, *sessions, within=40):
        stack.wait_until("the sessions are gone", lambda: not self.streams() & set(sessions), within)

    def retentions(self):
        return [x for x in self.record.all() if field(x[3], "type") == "retention"]

    def reconfigure(self, old, new, restart=True):
        self.s.configure(old, new)
        if restart:
            self.s.stop("gatehouse")
            self.s.start("gatehouse")
            self.lets_in()

    def lets_in(self):
        """HAProxy has seen that the daemon is there again."""
        def attempt():
            try:
                self.s.psycopg().close()
                return True
            except psycopg.OperationalError:
                return False
        stack.wait_until("HAProxy lets in again", attempt, 40)

    def put_back(self, kinds, may=frozenset()):
        """What is found now: all of these kinds, and of others only what it may say too; then the record is again what it was."""
        try:
            found, findings = self.found()
        finally:
            self.record.restore()
        self.assertEqual(found - may, kinds, findings)
        return findings

    def missing(self):
        """The kinds that verify must say when a stream is gone: there is a gap before what came after it, or nothing came after it, or both."""
        there = [e[0] for e in self.record.all()]
        return {"deleted"} | ({"cut"} if there[-1] < int(self.s.redis("GET", "gatehouse:shipped:shop-1")) else set())

    # --- by age ---

    def test_age(self):
        self.start("{ age: 2s, interval: 200ms }")
        with self.s.psycopg(autocommit=True) as running:
            mine = running.execute("SELECT current_setting('gatehouse.session')").fetchone()[0]
            ended = [self.session(f"SELECT {i}", "SELECT 'more'") for i in range(3)]
            self.assertTrue(self.streams() >= {mine, *ended})
            self.gone(*ended)
            self.assertIn(mine, self.streams(), "of a session that runs")
            self.assertIn(mine, [field(f, "session") for _, f in self.record.entries(INDEX) if field(f, "type") == "session.open"])
            self.assertFalse({field(f, "session") for _, f in self.record.entries(INDEX)} & set(ended))
            report = self.whole(*self.both)
            removed = [r for r in report["removed"] if r["source"] == "redis"]
            self.assertGreaterEqual(sum(r["events"] for r in removed), 3 * 8)
            self.assertEqual({(r["node"], r["reason"]) for r in removed}, {("shop-1", "age")})
            said = self.audit("verify", expect=0)
            self.assertRegex(said, r"(?m)^removed +shop-1, redis: \d+ events of \d+ streams, between \d+ and \d+, by retention \(age\) on 20\d\d-.*Z, signed$")
            self.assertIn("whole, but for what was removed by retention, signed", said)
            self.assertEqual(running.execute("SELECT 2").fetchone(), (2,))
            self.assertIn("SELECT 2", [e.get("sql") for e in self.s.audit()])
            self.whole(*self.both)
        self.gone(mine)
        self.s.stop("gatehouse")
        self.whole(*self.both)
        self.as_documented()

    def test_large_events(self):
        """More of them than one answer may take: they are read a few at a time."""
        self.start("{ age: 4s, interval: 200ms }")
        ended = self.session(*(f"SELECT length('{i}{'x' * 12_000_000}')" for i in range(7)))
        self.gone(ended)
        self.assertNotIn("retention.redis", self.s.log("gatehouse"))
        self.whole(*self.both)

    def test_what_no_answer_may_hold(self):
        """Somebody puts more into the index, and into a session's stream, than is read: that session stays, the log says so, and everything else goes."""
        self.start("{ age: 2s, interval: 2s }")
        first = self.session("SELECT 1")
        pour = "return redis.call('XADD', KEYS[1], ARGV[1], 'type', string.rep('x', 70000000))"
        poured = [(key, self.s.redis("EVAL", pour, "1", key, "*").strip()) for key in (f"gatehouse:audit:{first}", INDEX)]
        ended = [stack.wait_until("the ledger is available", lambda: self.session_or_none(f"SELECT {i}"), 60) for i in range(3)]  # noqa: B023
        self.gone(*ended, within=180)
        self.assertIn(first, {k.split(":", 2)[2] for k in self.s.redis("KEYS", "gatehouse:audit:*").split()})
        log = self.s.log("gatehouse")
        self.assertRegex(log, rf'event=retention.kept stream="gatehouse:audit:{first}" reason="its last entry is larger than any event"')
        self.assertRegex(log, 'event=retention.kept stream="gatehouse:sessions" reason="it has an entry that is larger than any event')
        self.assertNotIn("event=retention.redis", log)
        for key, ident in poured:
            self.s.redis("XDEL", key, ident)
        self.gone(first, within=60)
        self.whole(*self.both)

    def as_documented(self):
        """The signature with openssl, and the runs computed from the journal."""
        hashes = {}
        for e in self.journal_events():
            hashes[int(field(e["fields"], "seq"))] = (e["key"], event_hash(e["key"], e["fields"]), field(e["fields"], "prev"))
        runs = 0
        for _, _, _, fields in self.retentions():
            said = json.loads(field(fields, "signed"))
            with tempfile.TemporaryDirectory() as d:
                with open(d + "/text", "w") as f:
                    f.write(field(fields, "signed"))
                with open(d + "/sig", "wb") as f:
                    f.write(base64.urlsafe_b64decode(field(fields, "signature") + "=="))
                subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", self.journal + "/node.pub", "-rawin", "-in", d + "/text", "-sigfile", d + "/sig"],
                               check=True, stdout=subprocess.DEVNULL)
            for first, last, prev, hash_ in said["runs"]:
                self.assertEqual((prev, hash_), (hashes[first][2], hashes[last][1]))
                runs += 1
            for one in said["streams"]:
                self.assertEqual((one["key"], one["hash"]), hashes[one["last"]][:2])
        self.assertGreater(runs, 0)

    def journal_events(self):
        names = {"audit": "gatehouse:audit:{}", "approval": "gatehouse:approval:{}", "sessions": INDEX, "auth": "gatehouse:auth"}
        for name in sorted(n for n in os.listdir(self.journal) if n.startswith("journal-")):
            with open(os.path.join(self.journal, name)) as f:
                for line in f:
                    e = json.loads(line.split(" ", 2)[2])
                    yield {"key": names[e["stream"]].format(e["session"]), "fields": [x for pair in e["fields"] for x in pair]}

    def test_what_else_is_missing_is_found(self):
        self.start("{ age: 3s, interval: 200ms }")
        old = [self.session(f"SELECT {i}") for i in range(3)]
        self.gone(*old)
        self.reconfigure("age: 3s, interval: 200ms", "age: 1h")  # so that no retention event comes after what follows
        with self.s.psycopg(autocommit=True) as running:
            for i in range(4):
                running.execute(f"SELECT {i} AS stays")
            mine = running.execute("SELECT current_setting('gatehouse.session')").fetchone()[0]
            stack.wait_until("the counter says what is there", lambda: int(self.s.redis("GET", "gatehouse:shipped:shop-1")) == self.record.all()[-1][0])
            self.s.kill("gatehouse")  # now nothing changes any more
        self.record.save()
        self.whole()
        key = "gatehouse:audit:" + mine
        entries = self.record.entries(key)
        retention = self.retentions()[-1]
        seq = int(field(entries[3][1], "seq"))

        self.s.redis("XDEL", key, entries[3][0])
        self.assertEqual(self.put_back({"deleted"})[0]["seq"], seq)
        self.s.redis("DEL", key)
        self.put_back(self.missing())
        # and whatever came after them, an anchor perhaps: the last ones of all
        for _, where, ident, _ in [e for e in self.record.all() if e[0] > seq]:
            self.s.redis("XDEL", where, ident)
        self.put_back({"cut"})
        # the event that says so
        self.s.redis("XDEL", INDEX, retention[2])
        self.put_back({"deleted"})
        # says that more went than did
        text = json.loads(field(retention[3], "signed"))
        prev, last = field(entries[3][1], "prev"), event_hash(key, entries[3][1])
        more = dict(text, runs=text["runs"] + [[seq, seq, prev, last]])
        def say(new, fields):
            return [new if i % 2 and fields[i - 1] == "signed" else x for i, x in enumerate(fields)]
        self.s.redis("XDEL", key, entries[3][0])
        self.record.put(INDEX, [(i, say(json.dumps(more, separators=(",", ":")), f) if i == retention[2] else f) for i, f in self.record.entries(INDEX)])
        found = self.put_back({"forged", "deleted", "changed"}, may={"rewritten"})  # where an anchor is of that very event
        self.assertTrue(any("retention event has no good signature" in f["text"] for f in found), found)
        # another one, with a key of one's own
        self.s.redis("XDEL", key, entries[3][0])
        own = self.sign(json.dumps(more, separators=(",", ":")))
        made = say(own[0], retention[3])
        made = [own[1] if i % 2 and made[i - 1] == "signature" else own[2] if i % 2 and made[i - 1] == "key" else x for i, x in enumerate(made)]
        self.s.redis("XADD", INDEX, "*", *made)
        found = self.put_back({"forged", "deleted", "inserted", "reordered"})
        self.assertTrue(any("none of those that count" in f["text"] for f in found), found)
        # the genuine one a second time, under another number
        again = [str(10 ** 6) if i == 3 else x for i, x in enumerate(retention[3])]
        self.s.redis("XDEL", key, entries[3][0])
        self.s.redis("XADD", INDEX, "*", *again)
        self.assertIn("deleted", {f["kind"] for f in self.found()[1]})
        self.record.restore()
        # an event that was removed, made up again
        run = text["runs"][0]
        made = ["type", "statement", "seq", str(run[1]), "node", "shop-1", "time", "2026-01-01T00:00:00.000Z", "prev", run[2], "sql", "SELECT 'made up'"]
        self.s.redis("XADD", "gatehouse:audit:old", "*", *made)
        found, _ = self.found()
        self.record.restore()
        self.assertTrue(found & {"changed", "deleted", "inserted"}, found)
        self.whole()

    @staticmethod
    def sign(text):
        """By a key of one's own: the text, its signature, the key."""
        with tempfile.TemporaryDirectory() as d:
            subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", d + "/key"], check=True, stderr=subprocess.DEVNULL)
            with open(d + "/text", "w") as f:
                f.write(text)
            subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", d + "/key", "-rawin", "-in", d + "/text", "-out", d + "/sig"], check=True)
            public = subprocess.run(["openssl", "pkey", "-in", d + "/key", "-pubout", "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout[-32:]
            with open(d + "/sig", "rb") as f:
                signature = f.read()
        encode = lambda b: base64.urlsafe_b64encode(b).decode().rstrip("=")  # noqa: E731
        return text, encode(signature), encode(public)

    def test_changed_before_it_was_removed(self):
        """Retention does not wash a record: what was changed or deleted before goes on to be found."""
        self.start("{ age: 1h }")
        one, two = self.session("SELECT 'one'"), self.session("SELECT 'two'")
        self.s.stop("gatehouse")
        key = "gatehouse:audit:" + one
        entries = self.record.entries(key)
        at = next(n for n, (_, f) in enumerate(entries) if field(f, "sql") == "SELECT 'one'")
        self.record.put(key, [(i, [x.replace("SELECT 'one'", "SELECT 'other'") for x in f]) for i, f in entries])
        self.assertEqual(self.found()[0], {"changed"})
        gone = self.record.entries("gatehouse:audit:" + two)[1]
        self.s.redis("XDEL", "gatehouse:audit:" + two, gone[0])
        self.reconfigure("{ age: 1h }", "{ age: 1s, interval: 100ms }")
        self.gone(one, two)
        kinds, findings = self.found()
        self.assertEqual(kinds, {"changed", "deleted"}, findings)
        seq = int(field(entries[at][1], "seq"))
        self.assertIn((seq, seq + 1), [(f["seq"], f.get("to")) for f in findings if f["kind"] == "changed"], findings)
        seq = int(field(gone[1], "seq"))
        self.assertIn(seq, [f["seq"] for f in findings if f["kind"] == "deleted"], findings)
        self.assertIn("event=retention.changed", self.s.log("gatehouse"))

    def test_ids_and_times_of_another(self):
        """Somebody who writes to Redis cannot have a young session removed by ids that look old, nor one that runs by an event that says it has ended."""
        self.start("{ age: 5m, interval: 200ms }")
        with self.s.psycopg(autocommit=True) as running:
            mine = running.execute("SELECT current_setting('gatehouse.session')").fetchone()[0]
            young = self.session("SELECT 'young'")
            entries = self.record.entries("gatehouse:audit:" + young)
            self.record.put("gatehouse:audit:" + young, [(f"{n + 1}-1", f) for n, (_, f) in enumerate(entries)])
            for session in (mine, young):
                self.s.redis("XADD", INDEX, "*", "type", "session.close", "seq", "1", "node", "shop-1", "time", "2020-01-01T00:00:00.000Z", "prev", "0" * 64, "session", session)
            sessions = self.record.entries(INDEX)
            self.record.put(INDEX, [(f"{n + 1}-1", f) for n, (_, f) in enumerate(sessions)])
            self.s.redis("XADD", "gatehouse:audit:" + mine, "*", "type", "session.close", "seq", "2", "node", "shop-1", "time", "2020-01-01T00:00:00.000Z", "prev", "0" * 64)
            other = self.session("SELECT 'other'")
            with self.assertRaises(AssertionError):
                stack.wait_until("a removal", lambda: {mine, young, other} - self.streams(), 4)

    # --- by size ---

    def test_size(self):
        self.start("{ size: 1MiB, least: 3s, interval: 200ms }")  # Redis has more than that by itself
        old = [self.session(f"SELECT {i}") for i in range(3)]
        self.gone(*old)
        self.assertEqual({r["reason"] for r in self.whole(*self.both)["removed"]}, {"size"})
        self.reconfigure("size: 1MiB, least: 3s", "size: 900GiB, least: 1s")
        stays = self.session("SELECT 'stays'")
        with self.assertRaises(AssertionError):
            stack.wait_until("a removal", lambda: stays not in self.streams(), 4)

    # --- approvals go with the sessions that asked ---

    def test_approvals(self):
        self.start("{ age: 3s, interval: 200ms }", policy=stack.own_policy() + ASK)
        self.s._minted["asker"] = self.s.mint("asker@shop.example", ["askers"])
        self.s.scratch("CREATE TABLE scratch.t (n int)")
        with self.s.psycopg("asker", autocommit=True) as c, self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            c.execute("INSERT INTO scratch.t VALUES (1)")
        ident = str(caught.exception).split("decision on request ")[1].split()[0]
        key = "gatehouse:approval:" + ident
        stack.wait_until("the request's stream", lambda: key in self.record.keys())
        stack.wait_until("it is gone", lambda: key not in self.record.keys(), 40)
        subprocess.run([self.s.env["GH_CTL"], "approve", ident, "--token-file", "-"], input=self.s.token("dba"), text=True, check=True, stdout=subprocess.DEVNULL)
        with self.s.psycopg("asker", autocommit=True) as c:
            self.assertEqual(c.execute("INSERT INTO scratch.t VALUES (1)").rowcount, 1)  # Redis was never asked
        stack.wait_until("its end is there", lambda: [f for _, f in self.record.entries(key) if field(f, "type") == "approval.used"])
        self.whole(*self.both)

    # --- two daemons ---

    def test_upgrade(self):
        """The old daemon's sessions stay while it has them, and go when it has ended, by the new one."""
        self.start("{ age: 2s, interval: 200ms }")
        with self.s.psycopg(autocommit=True) as c:
            mine = c.execute("SELECT current_setting('gatehouse.session')").fetchone()[0]
            old = self.s.upgrade()
            ended = self.session("SELECT 'new'")
            self.gone(ended)
            self.assertIn(mine, self.streams())
            self.assertEqual(c.execute("SELECT 1").fetchone(), (1,))
        stack.wait_until("the old daemon ends", lambda: not self.s.runs(old), 60)
        self.gone(mine)
        report = self.whole(*self.both)
        self.assertEqual({r["node"] for r in report["removed"]}, {"shop-1", "shop-1/1"})
        self.assertEqual({r["by"] for r in report["removed"] if r["node"] == "shop-1"} - {"shop-1", "shop-1/1"}, set())

    # --- rights ---

    def test_least_rights(self):
        self.start("{ age: 1s, interval: 200ms }")
        s = self.s
        s.stop("gatehouse")
        password = os.path.join(self.s.dir, "etc", "redis-password")
        with open(password, "w") as f:
            f.write("rights-secret\n")
        os.chmod(password, 0o600)
        with open(s.env["GH_CONFIG"]) as f:
            user = re.search(r"(?m)^user: *(\S+)", f.read())
        if user:
            subprocess.run(stack.as_root("chown", user[1], password), check=True)
        s.redis("ACL", "SETUSER", "gatehouse", "on", ">rights-secret", *RIGHTS)
        self.reconfigure("redis:\n", f"redis:\n  user: gatehouse\n  password_file: {password}\n", restart=False)
        s.start("gatehouse")
        self.lets_in()
        one = self.session("SELECT 1")
        stack.wait_until("it says what is missing", lambda: "event=retention.redis" in s.log("gatehouse"))
        self.assertRegex(s.log("gatehouse"), r"event=retention.redis .*NOPERM.*do=\"give Redis's user the rights")
        self.assertIn(one, self.streams())
        self.assertEqual(self.retentions(), [], "said before it was known that it can be done")
        s.redis("ACL", "SETUSER", "gatehouse", "+unlink", "+xtrim", "+xdel")
        self.gone(one)
        self.whole("--redis", s.env["GH_REDIS_URL"].split("//")[1].rstrip("/"), "--anchors", self.journal + "/anchors.log", "--key", self.journal + "/node.pub")

    # --- the journal ---

    def test_journal_files(self):
        self.start("{ age: 1h }", "  segment: 1MiB\n  retain: 0\n")
        with self.s.psycopg(autocommit=True) as c:
            for i in range(60):
                c.execute(f"SELECT {i} -- " + "y" * 60000)
        files = lambda: sorted(n for n in os.listdir(self.journal) if n.startswith("journal-"))  # noqa: E731
        stack.wait_until("old files are gone", lambda: files()[0] != "journal-0000000000000001.log" and len(files()) == 2)
        self.s.stop("gatehouse")
        report = self.whole("--journal", self.journal)
        removed = [r for r in report["removed"] if r["source"] == "journal"]
        self.assertEqual((removed[-1]["first"], removed[-1]["last"] + 1, removed[-1]["reason"]), (1, int(files()[0][8:24]), "size"))
        self.assertRegex(self.audit("verify", "--journal", self.journal, expect=0), r"(?m)^removed +shop-1, journal: files of the journal, between 1 and \d+, by retention")
        self.whole(*self.both)
        with tempfile.TemporaryDirectory() as d:
            shutil.copytree(self.journal, d + "/j", ignore=shutil.ignore_patterns("*.sock"))
            os.unlink(os.path.join(d, "j", files()[0]))
            kinds, findings = self.found("--journal", d + "/j", "--anchors", self.journal + "/anchors.log")
            self.assertIn("deleted", kinds, findings)
        # What the journal says it removed is missing in Redis only when somebody deletes it there.
        self.record.save()
        key = max((k for k in self.record.keys() if k.startswith("gatehouse:audit:")), key=lambda k: len(self.record.entries(k)))
        self.s.redis("XDEL", key, self.record.entries(key)[3][0])
        self.put_back({"deleted"})


if __name__ == "__main__":
    unittest.main()
