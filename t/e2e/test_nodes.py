"""Two HAProxy and Gatehouse pairs on one Redis: each with its own journal, chain and rights; the record of both is one, and an auditor reads it.

The keys have a hash tag, and the rights are those of doc/ledger.md.
"""
import os
import re
import subprocess
import threading
import time
import unittest

import psycopg

import stack

PREFIX = "{gh}:"


def rights(who):
    """What doc/ledger.md says, for keys with our prefix."""
    with open(os.path.join(stack.TOP, "doc", "ledger.md")) as f:
        text = f.read()
    if who == "auditor":
        found = re.search(r"An auditor .*? needs `([^`]*)`", text, re.S).group(1)
    else:
        found = re.search(r"ACL SETUSER gatehouse on >PASSWORD (.*?)\n\n", text, re.S).group(1).replace(":n1", ":" + who)
    return found.replace("gatehouse:", PREFIX).split()


class Nodes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        anchors = "  journal: journal\n  anchors: { interval: 500ms }\n"
        cls.a = stack.Stack(config=lambda t: t.replace("  journal: journal\n", anchors).replace("redis:\n", f'redis:\n  prefix: "{PREFIX}"\n'))
        cls.addClassCleanup(cls.a.close)
        cls.port = cls.a.env["GH_REDIS_URL"].rsplit(":", 1)[1].strip("/")
        cls.password = "/tmp/gh-nodes.%d.password" % os.getpid()
        cls.addClassCleanup(lambda: os.path.exists(cls.password) and os.unlink(cls.password))
        with open(cls.password, "w") as f:
            f.write("for the second node and the auditor\n")
        os.chmod(cls.password, 0o600)
        for user, who in (("node-2", "shop-2"), ("auditor", "auditor")):
            cls.a.redis("ACL", "SETUSER", user, "on", ">for the second node and the auditor", *rights(who))

        def second(text):
            text = text.replace("node: shop-1", "node: shop-2").replace("  journal: journal\n", anchors)
            text = text.replace("redis:\n  host: 127.0.0.1\n  port: 6379\n",
                                f'redis: # port: 6379 is the other one\'s\n  host: 127.0.0.1\n  port: {cls.port}\n  prefix: "{PREFIX}"\n'
                                f"  user: node-2\n  password_file: {cls.password}\n")
            assert "node-2" in text
            return text + "\nlimits: { audit_rate: 256KiB }\n"

        cls.b = stack.Stack(config=second)
        cls.addClassCleanup(cls.b.close)

    def audit(self, *args, expect=0):
        done = subprocess.run([self.a.env["GH_BUILD"] + "/gatehousectl", "audit", *args, "--redis", "127.0.0.1:" + self.port, "--user", "auditor",
                               "--password-file", self.password, "--prefix", PREFIX], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done.stdout

    def both_anchors(self):
        path = "/tmp/gh-nodes.%d.anchors" % os.getpid()
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        with open(path, "wb") as out:
            for s in (self.a, self.b):
                out.write(subprocess.run(stack.as_root("cat", s.dir + "/etc/journal/anchors.log"), check=True, stdout=subprocess.PIPE).stdout)
        return path

    def verify(self, expect=0):
        keys = [x for s in (self.a, self.b) for x in ("--key", s.dir + "/etc/journal/node.pub")]
        return self.audit("verify", "--anchors", self.both_anchors(), *keys, expect=expect)

    def test_one_record(self):
        failed = []

        def work(s, name):
            try:
                for n in range(4):
                    with s.psycopg(autocommit=True) as c:
                        for i in range(25):
                            c.execute(f"SELECT '{name}-{n}-{i}'")
            except psycopg.Error as e:
                failed.append(e)

        threads = [threading.Thread(target=work, args=x) for x in ((self.a, "a"), (self.b, "b"))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])
        time.sleep(1.2)
        text = self.verify()
        self.assertIn("shop-1, redis", text)
        self.assertIn("shop-2, redis", text)
        for name, node in (("a", "shop-1"), ("b", "shop-2")):
            lines = self.audit("search", "--node", node, "--text", f"'{name}-", "--limit", "1000").splitlines()
            self.assertEqual(len(lines), 100)
        self.assertEqual(self.audit("search", "--node", "shop-1", "--text", "'b-"), "")
        keys = self.a.redis("KEYS", "*").split()
        self.assertEqual([k for k in keys if not k.startswith(PREFIX)], [])

    def test_rights(self):
        """A node's user cannot move another node's counter; an auditor cannot write."""
        def run(user, *args):
            return subprocess.run(["redis-cli", "-p", self.port, "--user", user, "--pass", "for the second node and the auditor", "--no-auth-warning",
                                   *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        self.assertIn("NOPERM", run("node-2", "SET", PREFIX + "shipped:shop-1", "1"))
        self.assertIn("NOPERM", run("node-2", "DEL", PREFIX + "sessions"))
        self.assertIn("NOPERM", run("node-2", "XTRIM", PREFIX + "sessions", "MAXLEN", "0"))
        self.assertIn("NOPERM", run("node-2", "CONFIG", "GET", "*"))
        for command in (("XADD", PREFIX + "sessions", "*", "a", "b"), ("DEL", PREFIX + "sessions"), ("EVAL", "return 1", "0")):
            self.assertIn("NOPERM", run("auditor", *command))

    def test_quota(self):
        """No principal fills the record; the others do not notice, and what is refused is told of as a number."""
        greedy = self.b.mint("greedy@shop.example", ["testers"])
        ran = refused = 0
        with self.b.psycopg(password=greedy, autocommit=True) as c, self.b.psycopg(autocommit=True) as other:
            for i in range(100):
                try:
                    c.execute(f"SELECT {i} -- " + "x" * 20000)
                    ran += 1
                except psycopg.Error as e:
                    self.assertEqual(e.sqlstate, "53400")
                    self.assertIn("limits.audit_rate", str(e))
                    refused += 1
            self.assertGreater(ran, 5)
            self.assertGreater(refused, 20)
            other.execute("SELECT 'not greedy'")
        time.sleep(1.2)
        recorded = self.audit("search", "--principal", "greedy@shop.example", "--type", "statement").splitlines()
        self.assertEqual(len([x for x in recorded if " query " in x]), ran)
        self.assertIn("refused=", self.audit("search", "--type", "quota"))
        self.verify()


if __name__ == "__main__":
    unittest.main()
