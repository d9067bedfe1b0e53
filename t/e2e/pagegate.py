"""The approvers' page over HTTPS: HAProxy with haproxy-conf/gatehouse-page.cfg before a stack, and a browser's part in a few lines."""
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.parse

import psycopg

import haproxy
import idp
import leaks
import stack

CLIENT = "gatehouse-page"
RULES = """
  - name: page-insert
    groups: askers
    database: shop
    ask: insert
    on: scratch.t
    approvers: dbas
  - name: page-delete
    groups: askers
    database: shop
    ask: delete
    on: scratch.t
    approvers: leads
  - name: page-two
    groups: askers
    database: shop
    ask: update
    on: scratch.t
    approvers: dbas
    quorum: 2
  - name: page-grant
    groups: askers
    database: shop
    ask: [insert, delete]
    on: scratch.g
    approvers: dbas
    grant: { max: 20m, scope: kind }
  - name: page-read
    groups: askers
    database: shop
    allow: select
    on: scratch.*
"""
LIMITS = "limits: { login_failures: 1000000, login_failures_per_name: 1000000, approvals_per_principal: 1000 }\n"


class Gate:
    """Its port is known before it starts, because the daemon's configuration names it."""

    def __init__(self):
        self.port = haproxy.free_port()
        self.host = f"localhost:{self.port}"
        self.url = f"https://{self.host}"
        self.dir = tempfile.mkdtemp(prefix="gh-page.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        lib = os.path.join(haproxy.TOP, "examples", "lib", "stack.sh")
        subprocess.run(["bash", "-euc", f'. "{lib}"; gh_tls "$1"', "-", self.dir], check=True)
        self.ca = os.path.join(self.dir, "ca.pem")
        self.process = None

    def section(self, issuer, *more):
        """The section page of gatehouse.yaml, with HAProxy's folder as it is before the quickstart changes it."""
        lines = ["page:", "  socket: /var/lib/haproxy/gatehouse/page.sock", "  owner: haproxy", "  peers: [haproxy]", f"  url: {self.url}"]
        if issuer is not None:
            lines += ["  sign_in:", f"    issuer: {issuer}", f"    client_id: {CLIENT}", "    scope: openid groups", *("    " + m for m in more)]
        return "\n" + "\n".join(lines) + "\n"

    def start(self, jail):
        with open(os.path.join(haproxy.TOP, "haproxy-conf", "gatehouse-page.cfg")) as f:
            text = f.read()
        for old, new in (("bind :8444", f"bind 127.0.0.1:{self.port}"), ("/etc/haproxy/gatehouse-page.pem", self.dir + "/edge.pem"), ("gt 300", "gt 3000")):
            assert old in text, old
            text = text.replace(old, new)
        config = os.path.join(self.dir, "haproxy.cfg")
        with open(config, "w") as f:
            f.write(f"global\n    log stdout format raw local0\n    chroot {jail}\n    user haproxy\n    group haproxy\n"
                    "defaults\n    log global\n    timeout connect 5s\n    timeout client 50s\n    timeout server 50s\n" + text)
        self.log_path = os.path.join(self.dir, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(haproxy.as_root(os.environ.get("GH_HAPROXY", "haproxy"), "-db", "-f", config), stdout=log, stderr=log)
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError("HAProxy does not start: " + self.log())
                time.sleep(0.05)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
        shutil.rmtree(self.dir)


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.bytes = response.read()
        self.text = self.bytes.decode()

    def csrf(self):
        found = re.search(r'name="csrf" value="([^"]+)"', self.text)
        return found and found[1]


class Browser:
    """Cookies, and what a browser says of where a request comes from. It follows no redirects by itself."""

    def __init__(self, gate):
        self.gate, self.cookies = gate, {}
        self.received = []

    def request(self, method, path, body=None, headers=(), host=None):
        head = {"Host": host or self.gate.host}
        if self.cookies:
            head["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        head.update(headers)
        c = http.client.HTTPSConnection("localhost", self.gate.port, timeout=40, context=ssl.create_default_context(cafile=self.gate.ca))
        c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in head.items():
            if value is not None:
                c.putheader(name, value)
        if body is not None:
            c.putheader("Content-Length", str(len(body)))
        c.endheaders(body)
        answer = Answer(c.getresponse())
        c.close()
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.split(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        self.received.append(answer.bytes)
        return answer

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, form, headers=()):
        head = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.gate.url, "Sec-Fetch-Site": "same-origin"}
        head.update(headers)
        return self.request("POST", path, urllib.parse.urlencode(form).encode(), head)

    def begin(self, path="/login"):
        """The provider's query string."""
        answer = self.get(path)
        assert answer.status == 303, (answer.status, answer.text)
        return answer.headers["Location"].partition("?")[2]

    def back(self, location):
        """Where the provider sends it."""
        assert location.startswith(self.gate.url + "/callback?"), location
        return self.get(location[len(self.gate.url):])

    def sign_in(self, realm, principal, path="/login"):
        return self.back(realm.authorize(self.begin(path), principal))


class Case(unittest.TestCase):
    """A stack with the page, a provider with people, and what tests do with them."""
    @classmethod
    def setUpClass(cls):
        cls.idp = idp.Provider(os.path.join(os.environ["GH_BUILD"], "gatehousectl"))
        cls.addClassCleanup(cls.idp.close)
        cls.realm = cls.idp.realm("people")
        cls.realm.keys = ["es256-1"]
        cls.realm.people = {"dba@shop.example": ["dbas"], "dba2@shop.example": ["dbas"], "lead@shop.example": ["leads"], "asker@shop.example": ["dbas"],
                            "nobody@shop.example": [], "<b>dba</b>&x@shop.example": ["dbas"]}
        cls.gate = Gate()
        cls.addClassCleanup(cls.gate.stop)
        cls.realm.clients[CLIENT] = {"redirect_uri": cls.gate.url + "/callback"}
        cls.stack = stack.Stack(config=cls.configured, policy=stack.own_policy() + RULES)
        cls.addClassCleanup(cls.close)
        cls.gate.start(os.path.join(cls.stack.dir, "jail"))
        cls.stack._minted["asker"] = cls.stack.mint("asker@shop.example", ["askers"])
        cls.stack._minted["evil"] = cls.stack.mint("evil<script>alert(1)</script><img-src=x>", ["askers"])
        cls.stack.scratch("CREATE TABLE scratch.t (n int, s text); CREATE TABLE scratch.g (n int)")
        cls.browsers = []

    @classmethod
    def configured(cls, text):
        issuer = cls.realm.config("discovery", "refetch_interval: 1s")
        cls.metrics_port = haproxy.free_port()
        return text.replace("\ndatabases:\n", issuer + "\ndatabases:\n", 1) + LIMITS + f"metrics: {{ listen: 127.0.0.1:{cls.metrics_port} }}\n" + \
            cls.gate.section(cls.realm.issuer)

    @classmethod
    def close(cls):
        """What signs somebody in is in no log, no record and no page."""
        cookies = [v for b in cls.browsers for v in [*b.cookies.values(), *b.past] if len(v) >= 40]
        needles = {f"ID token {i}": t.split(".")[2].encode() for i, t in enumerate(cls.idp.issued)}
        needles.update({f"cookie {i}": c.encode() for i, c in enumerate(cookies)})
        needles.update({f"code {i}": f["code"].encode() for i, (f, _) in enumerate(cls.realm.exchanges) if len(f.get("code", "")) > 20})
        needles.update({f"verifier {i}": f["code_verifier"].encode() for i, (f, _) in enumerate(cls.realm.exchanges) if "code_verifier" in f})
        places = dict(leaks.places(cls.stack), haproxy=cls.gate.log().encode(), pages=b"".join(x for b in cls.browsers for x in b.received))
        found = leaks.find(needles, places)
        cls.stack.close()
        if found or (cls.idp.issued and not needles):
            raise AssertionError(f"of {len(needles)} secrets: " + "\n".join(found[:20]))

    def browser(self):
        b = Browser(self.gate)
        b.past = []
        self.browsers.append(b)
        return b

    def signed_in(self, who="dba@shop.example"):
        b = self.browser()
        self.assertEqual(b.sign_in(self.realm, who).status, 303)
        self.assertIn("__Host-gatehouse", b.cookies)
        b.past.append(b.cookies["__Host-gatehouse"])
        return b

    def ask(self, sql, who="asker"):
        with self.stack.psycopg(who, autocommit=True) as conn, self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            conn.execute(sql)
        self.assertIn("decision on request ", str(caught.exception))
        return str(caught.exception).split("decision on request ")[1].split()[0]

    def run_sql(self, sql, who="asker"):
        with self.stack.psycopg(who, autocommit=True) as conn:
            return conn.execute(sql).rowcount

    def decide(self, b, ident, verdict, reason="", **more):
        page = b.get(f"/requests/{ident}")
        return b.post(f"/requests/{ident}", {"csrf": page.csrf() or "none", "verdict": verdict, "reason": reason}, **more)

    def state(self, ident):
        return json.loads(self.ctl("approvals", "show", ident, "--json"))["status"]

    def ctl(self, *args):
        return subprocess.run([self.stack.env["GH_CTL"], *args], check=True, stdout=subprocess.PIPE, text=True).stdout

    def upgrade(self):
        """The new daemon has the page a moment after the other doors."""
        self.stack.upgrade()
        stack.wait_until("the page", lambda: self.browser().get("/").status == 200)

    def reconfigure(self, old, new):
        self.stack.configure(old, new)
        self.stack.reload()
