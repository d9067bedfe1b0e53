"""A real OpenID provider, npm's oidc-provider, started here: discovery, client credentials with access tokens in every algorithm, rotation while
sessions run, the provider down, silent, and talking nonsense; and the approvers' page, where people sign in at it. Needs node, and npm once; GH_MX_PROVIDER names a folder to keep its packages in."""
import base64
import html
import http.cookiejar
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import unittest
import urllib.parse
import urllib.request

import psycopg

import idp
import pagegate
import stack
from haproxy import free_port

HERE = os.path.dirname(os.path.abspath(__file__))
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


def packages():
    """The folder with node_modules, as the lock file says."""
    where = os.environ.get("GH_MX_PROVIDER") or tempfile.mkdtemp(prefix="gh-provider.", dir="/tmp")
    for name in ("package.json", "package-lock.json", "provider.mjs"):
        shutil.copy(os.path.join(HERE, "provider", name), where)
    if not os.path.exists(os.path.join(where, "node_modules")):
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=where, check=True, stdout=subprocess.DEVNULL)
    return where


class Real(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = packages()
        if "GH_MX_PROVIDER" not in os.environ:
            cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.certificates = idp.Provider(os.path.join(os.environ["GH_BUILD"], "gatehousectl"))
        cls.addClassCleanup(cls.certificates.close)
        cls.port = free_port()
        cls.url = f"https://127.0.0.1:{cls.port}"
        cls.gate = pagegate.Gate()
        cls.addClassCleanup(cls.gate.stop)
        d = cls.certificates.dir
        cls.process = subprocess.Popen(["node", "provider.mjs", str(cls.port), f"{d}/server.pem", f"{d}/server.key", cls.gate.url + "/callback"], cwd=cls.folder, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        cls.addClassCleanup(cls.process.stdout.close)
        cls.addClassCleanup(cls.process.wait)
        cls.addClassCleanup(cls.process.stdin.close)
        cls.say(keys=[[a, f"{a}-1"] for a in ALGORITHMS])
        cls.stack = stack.Stack(config=cls.configured, policy=stack.own_policy() + pagegate.RULES)
        cls.addClassCleanup(cls.stack.close)
        cls.gate.start(os.path.join(cls.stack.dir, "jail"))

    @classmethod
    def configured(cls, text):
        issuer = f"""    - issuer: {cls.url}
      audience: gatehouse
      discovery: true
      ca_file: {cls.certificates.dir}/ca.pem
      refresh_min: 1s
      refresh_max: 2s
      refetch_interval: 1s
      fetch_timeout: 1s
      algorithms: [{", ".join(ALGORITHMS)}]
      groups_claim: realm.roles
      required_claims: {{ scope: "db:use", client_id: [agent, service] }}
      client_groups: {{ service: [testers] }}
"""
        page = cls.gate.section(cls.url, f"required_claims: {{ iss: \"{cls.url}\" }}").replace(f"client_id: {pagegate.CLIENT}", "client_id: page").replace(" groups\n", "\n")
        return text.replace("\ndatabases:\n", issuer + "\ndatabases:\n", 1) + page

    @classmethod
    def say(cls, **command):
        cls.process.stdin.write(json.dumps(command) + "\n")
        cls.process.stdin.flush()
        line = cls.process.stdout.readline()
        while "ready" not in line:
            assert line, "the provider has ended"
            line = cls.process.stdout.readline()

    def token(self, alg="ES256", client="agent"):
        form = {"grant_type": "client_credentials", "resource": f"https://gatehouse.example/{alg}", "scope": "db:use"}
        basic = base64.b64encode(f"{client}:{urllib.parse.quote('a secret of the test')}".encode()).decode()
        request = urllib.request.Request(f"{self.url}/token", urllib.parse.urlencode(form).encode(), {"Authorization": f"Basic {basic}"})
        context = ssl.create_default_context(cafile=f"{self.certificates.dir}/ca.pem")
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return json.load(answer)["access_token"]

    def login(self, token):
        with self.stack.psycopg(password=token, autocommit=True) as conn:
            return conn.execute("SELECT 1").fetchone() == (1,)

    def refused(self, token):
        before = len(self.stack.stream("gatehouse:auth"))
        with self.assertRaises(psycopg.OperationalError):
            self.stack.psycopg(password=token).close()
        return stack.wait_until("the record", lambda: self.stack.stream("gatehouse:auth")[before:])[0]["reason"]

    def header(self, token):
        head = token.split(".")[0]
        return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))

    def test_every_algorithm(self):
        for alg in ALGORITHMS:
            with self.subTest(alg):
                token = self.token(alg)
                self.assertEqual((self.header(token)["alg"], self.header(token)["typ"]), (alg, "at+jwt"))
                self.assertTrue(self.login(token))

    def test_groups_of_a_service(self):
        """A token without groups, whose sub is its client."""
        self.assertTrue(self.login(self.token(client="service")))

    def test_rotation_while_sessions_run(self):
        old = self.token()
        with self.stack.psycopg(password=old, autocommit=True) as conn:
            self.say(keys=[["ES256", "next"], ["ES256", "ES256-1"], ["RS256", "RS256-1"]])
            new = self.token()
            self.assertEqual(self.header(new)["kid"], "next")
            self.assertTrue(stack.wait_until("the new key", lambda: self.try_login(new)))
            self.assertTrue(self.login(old))
            self.say(keys=[["ES256", "next"], ["RS256", "RS256-1"]])
            stack.wait_until("the old key is gone", lambda: not self.try_login(old))
            self.assertEqual(self.refused(old), "unknown key")
            self.assertEqual(conn.execute("SELECT 2").fetchone(), (2,))
        self.say(keys=[[a, f"{a}-1"] for a in ALGORITHMS])
        stack.wait_until("all as before", lambda: self.try_login(old))

    def try_login(self, token):
        try:
            return self.login(token)
        except psycopg.OperationalError:
            return False

    # --- the approvers' page ---

    def at_the_provider(self, address, principal):
        """Fills in its forms; where it sends the browser in the end."""
        jar = http.cookiejar.CookieJar()
        stop = type("Stop", (urllib.request.HTTPRedirectHandler,), {"redirect_request": lambda *args: None})
        https = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=f"{self.certificates.dir}/ca.pem"))
        opener = urllib.request.build_opener(https, stop, urllib.request.HTTPCookieProcessor(jar))
        body = None
        for _ in range(12):
            try:
                answer = opener.open(urllib.request.Request(address, body), timeout=20)
            except urllib.error.HTTPError as e:
                if e.code not in (302, 303):
                    raise AssertionError(f"{address}: {e.code} {e.read()[:500]}")
                address, body = urllib.parse.urljoin(address, e.headers["Location"]), None
                if address.startswith(self.gate.url):
                    return address
                continue
            page = answer.read().decode()
            form = re.search(r'<form[^>]* action="([^"]+)"[^>]*>(.*?)</form>', page, re.S)
            fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form[2]))
            if "password" in form[2]:
                fields.update(login=principal, password="any")
            address, body = urllib.parse.urljoin(address, html.unescape(form[1])), urllib.parse.urlencode(fields).encode()
        raise AssertionError(f"the provider has more and more forms: {page}")

    def sign_in(self, principal):
        b = pagegate.Browser(self.gate)
        answer = b.get("/login")
        self.assertEqual(answer.status, 303, answer.text)
        answer = b.back(self.at_the_provider(answer.headers["Location"], principal))
        self.assertEqual(answer.status, 303, answer.text + self.stack.log("gatehouse")[-2000:])
        return b

    def reconfigure(self, old, new):
        with open(self.stack.env["GH_CONFIG"]) as f:
            text = f.read()
        self.assertIn(old, text)
        with open(self.stack.env["GH_CONFIG"], "w") as f:
            f.write(text.replace(old, new))
        n = self.stack.log("gatehouse").count("event=reload ")
        self.stack.signal("gatehouse")
        stack.wait_until("the reload", lambda: self.stack.log("gatehouse").count("event=reload ") > n)

    def test_page(self):
        self.stack.scratch("CREATE TABLE scratch.t (n int, s text)")
        self.stack._minted["asker"] = self.stack.mint("asker@shop.example", ["askers"])
        secret = os.path.join(self.stack.dir, "etc", "page.password")
        with open(os.open(secret, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
            f.write("a secret: + of % the page")
        subprocess.run(stack.as_root("chown", "daemon" if os.getuid() == 0 else str(os.getuid()), secret), check=True)
        last = "client_id: page"
        for n, client in enumerate(("page", "page-basic", "page-post")):
            with self.subTest(client):
                now = f"client_id: {client}"
                if n > 0:
                    now += f"\n    client_secret_file: page.password\n    client_auth: {client.removeprefix('page-')}"
                    self.reconfigure(last, now)
                last = now
                sql = f"INSERT INTO scratch.t VALUES ({n}, 'real provider')"
                with self.stack.psycopg("asker", autocommit=True) as conn:
                    with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
                        conn.execute(sql)
                    ident = str(caught.exception).split("decision on request ")[1].split()[0]
                    self.assertNotIn(ident, self.sign_in("somebody@shop.example").get("/").text)
                    b = self.sign_in("dba@shop.example")
                    page = b.get(f"/requests/{ident}")
                    self.assertIn("real provider", page.text)
                    self.assertEqual(b.post(f"/requests/{ident}", {"csrf": page.csrf(), "verdict": "approve", "reason": ""}).status, 303)
                    self.assertEqual(conn.execute(sql).rowcount, 1)

    def test_in_trouble(self):
        token = self.token()
        self.assertTrue(self.login(token))
        for mode in ("down", "hang", "rubbish"):
            with self.subTest(mode):
                before = self.stack.log("gatehouse").count("event=keys.failed")
                self.say(mode=mode)
                stack.wait_until("it is noticed", lambda: self.stack.log("gatehouse").count("event=keys.failed") > before)
                self.assertTrue(self.login(token))
                self.assertTrue(self.login(self.token("PS512")))
                fetched = self.stack.log("gatehouse").count("event=keys.fetched")
                self.say(mode="ok")
                stack.wait_until("it is well again", lambda: self.stack.log("gatehouse").count("event=keys.fetched") > fetched)
                self.assertTrue(self.login(self.token()))


if __name__ == "__main__":
    unittest.main()
