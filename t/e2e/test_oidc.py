"""Keys that are fetched: rotation while sessions run; a provider that is down, slow, or answers nonsense; unknown keys, also as a flood; reload
and upgrade. t/matrix/test_provider.py does the same with a real provider."""
import base64
import concurrent.futures
import json
import os
import re
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.request

import psycopg

import httpgate
import idp
import stack
from haproxy import free_port

LIMITS = "limits: { login_failures: 1000000, login_failures_per_name: 1000000, login_delay: 0 }\n"


def drop(handler):
    handler.connection.close()


def trickle(handler):
    """An answer that never ends: a byte now and then."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


def endless(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        handler.wfile.write(b" " * 65536)


def endless_head(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Field: " + b"x" * 1000 + b"\r\n")


class Oidc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.idp = idp.Provider(os.path.join(os.environ["GH_BUILD"], "gatehousectl"))
        cls.addClassCleanup(cls.idp.close)
        cls.fast, cls.lazy, cls.dark = cls.idp.realm("fast"), cls.idp.realm("lazy"), cls.idp.realm("dark")
        cls.fast.keys, cls.lazy.keys = ["es256-1"], ["es256-1"]
        cls.dark.answers["discovery"] = drop
        cls.port = free_port()
        cls.stack = stack.Stack(config=cls.configured)
        cls.addClassCleanup(cls.stack.close)

    @classmethod
    def configured(cls, text):
        often = ("refresh_min: 1s", "refresh_max: 1s", "refetch_interval: 1s", "fetch_timeout: 1s")
        seldom = ("refresh_min: 1h", "refetch_interval: 1s", "fetch_timeout: 4s")
        more = cls.fast.config("discovery", *often) + cls.lazy.config("jwks_url", *seldom) + cls.dark.config("discovery", *often)
        return text.replace("\ndatabases:\n", more + "\ndatabases:\n", 1) + httpgate.APIS + f"\n{LIMITS}metrics: {{ listen: 127.0.0.1:{cls.port} }}\n"

    def login(self, token):
        with self.stack.psycopg(password=token, autocommit=True) as conn:
            return conn.execute("SELECT 1").fetchone() == (1,)

    def refused(self, token):
        """The reason in the record."""
        before = len(self.stack.stream("gatehouse:auth"))
        with self.assertRaises(psycopg.OperationalError) as caught:
            self.stack.psycopg(password=token).close()
        self.assertIn("must be a valid OIDC access token", str(caught.exception))
        return stack.wait_until("the record", lambda: self.stack.stream("gatehouse:auth")[before:])[0]["reason"]

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def metric(self, line):
        text = self.get("/metrics")[1]
        return next((float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith(line)), None)

    def lines(self, event, realm):
        return [row for row in self.stack.log("gatehouse").splitlines() if f"event={event} " in row and realm.issuer in row]

    def wait_fetch(self, realm, fetches=2):
        """Until that many fetches have begun: the ones before have ended."""
        before = realm.requests
        stack.wait_until("a fetch", lambda: realm.requests >= before + fetches)

    def settle(self, realm, key):
        """Past the refetch interval, and with this key alone at hand."""
        realm.answers.clear()
        realm.published.clear()
        realm.keys = [key]
        stack.wait_until("the key is known", lambda: self.try_login(realm.mint(key)))

    def try_login(self, token):
        try:
            return self.login(token)
        except psycopg.OperationalError:
            time.sleep(0.2)
            return False

    # --- rotation ---

    def test_rotation_while_sessions_run(self):
        self.settle(self.lazy, "es256-1")
        old = self.lazy.mint("es256-1")
        with self.stack.psycopg(password=old, autocommit=True) as conn:
            time.sleep(1.1)  # past refetch_interval
            self.lazy.keys = ["es256-1", "rs256-2"]
            before = self.lazy.requests
            self.assertTrue(self.login(self.lazy.mint("rs256-2")))  # nothing but this login asks: the next refresh is an hour away
            self.assertEqual(self.lazy.requests, before + 1)
            self.assertTrue(self.login(old))
            time.sleep(1.1)
            self.lazy.keys = ["es256-3"]
            self.assertTrue(self.login(self.lazy.mint("es256-3")))
            self.assertEqual(self.refused(old), "unknown key")  # what vanished is gone
            self.assertEqual(self.refused(self.lazy.mint("rs256-2")), "unknown key")
            self.assertEqual(conn.execute("SELECT 2").fetchone(), (2,))  # the session goes on
        self.assertTrue(any("es256-3" in row for row in self.lines("keys.fetched", self.lazy)), self.lines("keys.fetched", self.lazy))

    def test_refreshed_in_the_background(self):
        self.settle(self.fast, "es256-1")
        self.fast.keys = ["es256-2"]
        self.wait_fetch(self.fast, 3)
        self.assertTrue(self.login(self.fast.mint("es256-2")))
        self.assertEqual(self.refused(self.fast.mint("es256-1")), "unknown key")

    # --- a provider in trouble ---

    def test_down(self):
        self.settle(self.fast, "es256-1")
        token = self.fast.mint("es256-1")
        self.idp.down()
        try:
            stack.wait_until("it is noticed", lambda: '"check":"keys"' in self.get("/healthz")[1] and "of " + self.fast.issuer + " are" in self.get("/healthz")[1])
            self.assertTrue(self.login(token))
            stack.wait_until("nobody listens", lambda: "connect" in self.lines("keys.failed", self.fast)[-1])
            reason = re.search(r' reason=("[^"]*"|\S+)', self.lines("keys.failed", self.fast)[-1]).group()
            same = [row for row in self.lines("keys.failed", self.fast) if reason in row]
            time.sleep(2.5)  # fails again, and again
            self.assertEqual([row for row in self.lines("keys.failed", self.fast) if reason in row], same)
            self.assertIn(" do=", self.lines("keys.failed", self.fast)[-1])
            self.assertTrue(self.login(token))
            self.stack.signal("gatehouse")  # a reload keeps the keys
            stack.wait_until("the reload", lambda: "event=reload " in self.stack.log("gatehouse"))
            self.assertTrue(self.login(token))
            status, text = self.get("/healthz")
            self.assertEqual(status, 200, text)
        finally:
            self.idp.up()
        stack.wait_until("it is well again", lambda: f"keys of {self.fast.issuer} are" not in self.get("/healthz")[1])
        self.assertGreater(self.metric(f'gatehouse_issuer_key_fetches_total{{issuer="{self.fast.issuer}",result="unreachable"}}'), 0)
        self.assertEqual(self.metric(f'gatehouse_issuer_keys{{issuer="{self.fast.issuer}"}}'), 1)

    def test_never_there(self):
        """The daemon has started all the same, and says what is wrong."""
        self.assertEqual(self.refused(self.dark.mint("es256-1")), "no keys of the issuer yet")
        self.assertIn(" do=", self.lines("keys.failed", self.dark)[0])
        status, text = self.get("/healthz")
        self.assertEqual(status, 200)
        self.assertIn(f"no keys of {self.dark.issuer}", text)
        self.assertEqual(self.metric(f'gatehouse_issuer_keys{{issuer="{self.dark.issuer}"}}'), 0)

    def test_slow(self):
        """While one question is open, logins whose key is known come in, and those whose key is not wait for its answer."""
        self.settle(self.lazy, "es256-1")
        asked, go = threading.Event(), threading.Event()

        def slow(handler):
            asked.set()
            go.wait(60)
            handler.answer(self.idp.jwks(["es256-1", "es256-2"]))

        known, new = self.lazy.mint("es256-1"), self.lazy.mint("es256-2")
        time.sleep(1.1)
        self.lazy.answers["keys"] = slow
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(self.login, new)
            try:
                self.assertTrue(asked.wait(10))
                self.assertTrue(self.login(known))
                self.assertTrue(self.login(self.stack.token("tester")))
                self.assertEqual(self.metric(f'gatehouse_issuer_logins_waiting{{issuer="{self.lazy.issuer}"}}'), 1)
                self.assertFalse(waiting.done())
            finally:
                go.set()
            self.assertTrue(waiting.result(30))

    def test_waits_no_longer_than_it_should(self):
        self.settle(self.lazy, "es256-1")
        time.sleep(1.1)
        self.lazy.answers["keys"] = trickle
        began = time.monotonic()
        self.assertEqual(self.refused(self.lazy.mint("es256-9")), "unknown key")
        self.assertLess(time.monotonic() - began, 30)
        self.assertTrue(self.login(self.lazy.mint("es256-1")))

    def test_rubbish(self):
        """Whatever it answers, known keys stay, and the reason is logged."""
        other = json.dumps({"keys": [{"kty": "RSA", "kid": "es256-1", "n": "AQAB", "e": "AQAB"}]})
        cases = [
            ("html", {"keys": lambda h: h.answer("<html>Welcome</html>")}, {}, "not valid JSON"),
            ("an empty set", {"keys": lambda h: h.answer('{"keys": []}')}, {}, "no key that can verify"),
            ("a weak key", {"keys": lambda h: h.answer(other)}, {}, "an RSA key of 17 bits"),
            ("a key twice", {"keys": lambda h: h.answer(self.idp.jwks(["es256-1", "es256-1"]))}, {}, "earlier key"),
            ("huge", {"keys": lambda h: h.answer("[" + "1," * 600000 + "1]")}, {}, "too large"),
            ("without end", {"keys": endless}, {}, "too large"),
            ("a head without end", {"keys": endless_head}, {}, "too large"),
            ("a trickle", {"keys": trickle}, {}, "no answer within 1000 ms"),
            ("a redirect", {"keys": lambda h: h.answer("", 302, Location=f"{self.idp.url}/lazy/keys")}, {}, "redirects are not followed"),
            ("a redirect to http", {"keys": lambda h: h.answer("", 302, Location="http://127.0.0.1:1/keys")}, {}, "redirects are not followed"),
            ("an error", {"keys": lambda h: h.answer(self.idp.jwks(["es256-9"]), 500)}, {}, "status is 500"),
            ("another issuer", {}, {"issuer": self.lazy.issuer}, "is of the issuer"),
            ("its issuer with a slash", {}, {"issuer": self.fast.issuer + "/"}, "is of the issuer"),
            ("keys by http", {}, {"jwks_uri": "http://127.0.0.1:1/keys"}, "must begin with https"),
            ("keys in a file", {}, {"jwks_uri": "file:///etc/passwd"}, "cannot be used"),
            ("no keys", {}, {"jwks_uri": None}, "no jwks_uri"),
            ("discovery is html", {"discovery": lambda h: h.answer("<html>")}, {}, "no JSON object"),
            ("a closed connection", {"discovery": drop}, {}, "discovery document: "),
        ]
        token = self.fast.mint("es256-1")
        for name, answers, published, reason in cases:
            with self.subTest(name):
                self.settle(self.fast, "es256-1")
                stack.wait_until("it is well", lambda: f"keys of {self.fast.issuer} are" not in self.get("/healthz")[1])
                before = len(self.lines("keys.failed", self.fast))
                self.fast.answers.update(answers)
                self.fast.published.update(published)
                rows = stack.wait_until("the line", lambda: self.lines("keys.failed", self.fast)[before:])
                self.assertIn(reason, rows[0])
                self.assertTrue(self.login(token))
                self.assertEqual(self.refused(self.fast.mint("es256-9")), "unknown key")

    def test_bad_certificates(self):
        for name in ("stranger", "misnamed", "expired"):
            with self.subTest(name):
                self.settle(self.fast, "es256-1")
                stack.wait_until("it is well", lambda: f"keys of {self.fast.issuer} are" not in self.get("/healthz")[1])
                before = len(self.lines("keys.failed", self.fast))
                self.idp.down()
                self.idp.up(name)
                try:
                    rows = stack.wait_until("the line", lambda: [r for r in self.lines("keys.failed", self.fast)[before:] if "TLS" in r])
                    self.assertIn("ca_file", rows[0])
                    self.assertTrue(self.login(self.fast.mint("es256-1")))
                    self.fast.keys = ["es256-9"]
                    self.assertEqual(self.refused(self.fast.mint("es256-9")), "unknown key")
                finally:
                    self.idp.down()
                    self.idp.up()

    # --- floods ---

    def test_a_flood_of_unknown_keys(self):
        """Made-up key ids: the provider is asked once a second at most, and nobody whose key is known is kept out."""
        self.settle(self.lazy, "es256-1")
        good = self.lazy.mint("es256-1")
        bad = [self.lazy.mint("es256-1", "--kid", f"made-up-{i}") for i in range(20)]
        before, began = self.lazy.requests, time.monotonic()

        def attack(n):
            for i in range(10):
                try:
                    self.stack.psycopg(password=bad[(n + i) % len(bad)]).close()
                    return False
                except psycopg.OperationalError:
                    pass
            return True

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            attacks = [pool.submit(attack, n) for n in range(12)]
            logins = 0
            while not all(a.done() for a in attacks):
                self.assertTrue(self.login(good))
                logins += 1
            self.assertTrue(all(a.result() for a in attacks))
        self.assertGreater(logins, 0)
        self.assertLessEqual(self.lazy.requests - before, (time.monotonic() - began) / 1.0 + 2)

    # --- tokens ---

    def test_large_tokens(self):
        self.settle(self.lazy, "es256-1")
        large = self.lazy.mint("es256-1", "--claim", "padding=" + "x" * 5700)
        self.assertGreater(len(large), 7900)
        self.assertLessEqual(len(large), 8192)
        self.assertTrue(self.login(large))
        self.assertEqual(self.refused(self.lazy.mint("es256-1", "--claim", "padding=" + "x" * 60000)), "token too long")

    def test_one_issuers_key_is_not_anothers(self):
        self.settle(self.lazy, "es256-5")
        self.assertTrue(self.login(self.lazy.mint("es256-5")))
        self.settle(self.fast, "es256-1")
        self.assertEqual(self.refused(self.fast.mint("es256-5")), "unknown key")

    # --- SQL in HTTP requests ---

    def test_requests_wait_too(self):
        """A request whose token has a key that is not there yet waits for it; a flood of such does not keep others out."""
        self.settle(self.lazy, "es256-1")
        app = httpgate.Application(self.stack)
        self.addCleanup(app.close)
        gate = httpgate.Gate(app.server_port, app.server_port, self.stack.dir + "/jail")
        gate.start()
        self.addCleanup(gate.stop)
        agent = {"principal": "agent@shop.example", "groups": ("ai-agents",)}
        count = {"sql": "SELECT count(*) FROM orders"}
        self.assertEqual(gate.post("/query", count, self.lazy.mint("es256-1", **agent))[0], 200)
        time.sleep(1.1)
        self.lazy.keys = ["es256-1", "es256-7"]
        before = self.lazy.requests
        self.assertEqual(gate.post("/query", count, self.lazy.mint("es256-7", **agent))[0], 200)
        self.assertEqual(self.lazy.requests, before + 1)
        self.assertEqual(gate.post("/query", count, self.lazy.mint("es256-1", "--kid", "made-up", **agent))[0], 401)
        asked, go = threading.Event(), threading.Event()

        def slow(handler):
            asked.set()
            go.wait(3)
            handler.answer(self.idp.jwks(["es256-1"]))

        time.sleep(1.1)
        self.lazy.answers["keys"] = slow
        bad, good = self.lazy.mint("es256-1", "--kid", "made-up", **agent), self.lazy.mint("es256-1", **agent)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            waiting = [pool.submit(gate.post, "/query", count, bad) for _ in range(16)]
            self.assertTrue(asked.wait(10))
            self.assertEqual(gate.post("/query", count, good)[0], 200)
            go.set()
            for answer in waiting:
                self.assertNotEqual(answer.result()[0], 200)

    # --- gatehousectl ---

    def whoami(self, token, *more):
        """Exit status, and what it prints as JSON."""
        done = subprocess.run([self.stack.env["GH_CTL"], "whoami", "-c", self.stack.env["GH_CONFIG"], "--token-file", "-", "--json", *more], input=token + "\n",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        for part in token.split("."):
            self.assertFalse(len(part) > 20 and part in done.stdout + done.stderr)
        return done.returncode, json.loads(done.stdout)

    def test_whoami(self):
        self.settle(self.lazy, "es256-1")
        good = self.lazy.mint("es256-1", "--claim", "azp=etl")
        head, body, signature = good.split(".")
        status, said = self.whoami(good)
        self.assertEqual((status, said["accepted"], said["open"], said["principal"], said["groups"]), (0, True, True, "tester@shop.example", ["testers"]))
        self.assertTrue(all(s["ok"] for s in said["steps"]))
        self.assertIn("1 fetched", [s["seen"] for s in said["steps"] if s["step"] == "keys"])
        self.assertTrue(next(d for d in said["databases"] if d["name"] == "shop")["rules"])
        status, said = self.whoami(self.lazy.mint("es256-1", groups=["nobodies"]))
        self.assertEqual((status, said["accepted"], said["open"]), (3, True, False))
        none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        bad = {"length": good + "A" * 9000, "segments": "opaque", "base64url": good + "=", "algorithm": f"{none}.{body}.", "signature": f"{head}.{body}.{signature[:-8]}AAAAAAAA",
               "issuer": self.stack.mint("a", ["b"], issuer="https://elsewhere.example"), "audience": self.lazy.mint("es256-1", "--claim", "aud=other"),
               "times": self.lazy.mint("es256-1", "--claim", "exp=1000000000"), "key": self.lazy.mint("es256-1", "--kid", "other"), "keys": self.dark.mint("es256-1"),
               "principal": self.lazy.mint("es256-1", "--claim", "sub=null"), "groups": self.lazy.mint("es256-1", "--claim", "groups=7"),
               "algorithm allowed": self.lazy.mint("es384-1"), "claims": f"{head}.Ingi.{signature}", "header": f"{body[:-4]}.{body}.{signature}"}
        for step, token in bad.items():
            with self.subTest(step):
                status, said = self.whoami(token)
                last = said["steps"][-1]
                self.assertEqual((status, said["accepted"], last["step"], last["ok"]), (3, False, step, False), said)
                self.assertTrue(last["do"] and last["reason"])
                self.assertEqual(said["databases"], [])
        done = subprocess.run([self.stack.env["GH_CTL"], "whoami", "-c", self.stack.env["GH_CONFIG"], "--token-file", "-"], input=good, stdout=subprocess.PIPE, text=True)
        self.assertIn("verdict: accepted", done.stdout)
        self.assertIn("principal: tester@shop.example", done.stdout)

    def test_doctor(self):
        command = [self.stack.env["GH_CTL"], "doctor", "-c", self.stack.env["GH_CONFIG"]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as doctor:
            said = ""
            for line in doctor.stdout:  # up to the issuers
                said += line
                if f"problem  {self.dark.issuer}: no keys: discovery document" in line:
                    break
            doctor.kill()
        self.assertIn(f"ok       {self.lazy.issuer}: 1 keys fetched", said)
        self.assertIn(self.dark.issuer, said)

    # --- upgrade ---

    def test_zz_upgrade(self):
        """The new daemon fetches for itself, and takes over only when it has what the old one had."""
        self.settle(self.fast, "es256-1")
        self.settle(self.lazy, "es256-1")
        with self.assertRaises(AssertionError):  # one realm has no keys
            self.stack.upgrade()
        self.assertIn(f"no keys of {self.dark.issuer}", self.stack.log("gatehouse"))
        self.assertTrue(self.login(self.lazy.mint("es256-1")))
        self.dark.answers.clear()
        self.dark.keys = ["es256-1"]
        old = self.stack.upgrade()
        stack.wait_until("the old one ends", lambda: not self.stack.runs(old))
        for realm in (self.fast, self.lazy, self.dark):
            self.assertTrue(self.login(realm.mint("es256-1")))


if __name__ == "__main__":
    unittest.main()
