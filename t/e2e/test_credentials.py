"""What a client shows besides a password: a certificate, in place of a token, together with one, or named by one (cnf); a bearer token by
OAUTHBEARER, as clients of PostgreSQL 18 do it. One stack for all of it."""
import base64
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

import psycopg

import pgraw
import stack


class CA:
    """A folder with a CA and certificates of clients."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="gh-certs.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        for name in ("ca", "other"):
            self.run(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -days 2 -subj '/CN=Clients'")
        self.run("cat ca.pem other.pem >both.pem; chmod 644 *.pem")

    def run(self, command):
        subprocess.run(["sh", "-ec", command], cwd=self.dir, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def issue(self, name, uri, ca="ca", dates=""):
        self.run(f"""openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj '/O=Shop/CN={name}'
            printf 'subjectAltName=URI:{uri}\\nextendedKeyUsage=clientAuth\\n' >{name}.ext
            openssl x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -out {name}.pem -days 1 -extfile {name}.ext {dates}""")
        os.chmod(self.path(name + ".key"), 0o600)
        return self

    def path(self, name):
        return os.path.join(self.dir, name)

    def client(self, name):
        return {"sslcert": self.path(name + ".pem"), "sslkey": self.path(name + ".key")}

    def der(self, name):
        return subprocess.run(["openssl", "x509", "-in", self.path(name + ".pem"), "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout

    def thumbprint(self, name):
        return base64.urlsafe_b64encode(hashlib.sha256(self.der(name)).digest()).rstrip(b"=").decode()


DISCOVERY = "https://idp.shop.example/.well-known/openid-configuration"
ca = None
gate = None


def setUpModule():
    global ca, gate
    ca = CA()
    unittest.addModuleCleanup(shutil.rmtree, ca.dir)
    ca.issue("tester", "spiffe://shop.example/people/tester@shop.example")
    ca.issue("agent", "spiffe://shop.example/people/agent@shop.example")
    ca.issue("stranger", "spiffe://elsewhere.example/people/tester@shop.example")
    ca.issue("forged", "spiffe://shop.example/people/tester@shop.example", ca="other")

    def config(text):
        entry = (f"  certificates:\n    - ca_file: {ca.path('ca.pem')}\n      principal: uri\n      only: spiffe://shop.example/people/*\n"
                 "      groups: [testers]\n      principals:\n        spiffe://shop.example/people/tester@shop.example: tester@shop.example\n"
                 "        spiffe://shop.example/people/agent@shop.example: agent@shop.example\n  require: token\n"
                 f"  oauthbearer: {{ openid_configuration: \"{DISCOVERY}\", scope: openid gatehouse }}\n")
        assert "identity:\n" in text
        return text.replace("identity:\n", "identity:\n" + entry)

    gate = stack.Stack(config)
    unittest.addModuleCleanup(gate.close)
    # As haproxy-conf/README.md says: HAProxy asks for a certificate, and trusts one CA more than Gatehouse takes names from.
    edit_haproxy("haproxy.cfg", "alpn postgresql ", f"alpn postgresql ca-file {ca.path('both.pem')} verify optional ")


def edit_haproxy(name, old, new):
    path = os.path.join(gate.dir, "etc", name)
    with open(path) as f:
        text = f.read()
    assert old in text, (name, old)
    with open(path, "w") as f:
        f.write(text.replace(old, new))
    gate.stop("haproxy")
    gate.start("haproxy")


class Credentials(unittest.TestCase):
    def setUp(self):
        self.stack, self.ca = gate, ca

    def demand(self, what):
        path = self.stack.env["GH_CONFIG"]
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(re.sub(r"(?m)^  require: \w+$", f"  require: {what}", text))
        before = self.stack.log("gatehouse").count("event=reload")
        self.stack.signal("gatehouse")
        stack.wait_until("a reload", lambda: self.stack.log("gatehouse").count("event=reload") > before)

    def connect(self, cert=None, **more):
        conn = self.stack.psycopg(autocommit=True, **dict(self.ca.client(cert) if cert else {"sslcert": "/nowhere/cert"}, **more))
        self.addCleanup(conn.close)
        return conn

    def refused(self, *args, **kw):
        with self.assertRaises(psycopg.OperationalError) as caught:
            self.connect(*args, **kw)
        return str(caught.exception).split("FATAL:", 1)[-1].strip()

    def reasons(self, n):
        return stack.wait_until(f"{n} reasons", lambda: len(self.stack.stream("gatehouse:auth")) >= n and self.stack.stream("gatehouse:auth"))

    def last_open(self):
        return max((e for e in self.stack.stream("gatehouse:sessions") if e["type"] == "session.open"), key=lambda e: int(e["seq"]))


class Certificates(Credentials):
    def test_instead_of_a_token(self):
        self.demand("certificate")
        known = len(self.stack.stream("gatehouse:auth"))
        conn = self.connect("tester", password=None, user="whoever")
        self.assertEqual(conn.execute("SELECT count(*) FROM orders").fetchone(), (10000,))
        entry = self.last_open()
        self.assertEqual((entry["principal"], entry["groups"], entry["user"]), ("tester@shop.example", "testers", "whoever"))
        self.assertEqual(entry["cert_fingerprint"], hashlib.sha256(self.ca.der("tester")).hexdigest())
        self.assertEqual((entry["cert_subject"], entry["issuer"], entry["sni"]), ("CN=tester,O=Shop", "x509:CN=Clients", "localhost"))
        self.assertLess(int(entry["expires"]), time.time() + 86400 + 60)
        # Everything else gets one answer; a token does not help, and is not asked for.
        texts = {self.refused(None), self.refused("stranger"), self.refused("forged"), self.refused("forged", password=self.stack.token("tester"))}
        self.assertEqual(len(texts), 1, texts)
        self.assertIn("needs a valid client certificate", texts.pop())
        new = self.reasons(known + 4)[known:]
        self.assertEqual({e["sqlstate"] for e in new}, {"28000"})
        self.assertEqual([e.get("cert_subject") for e in new], [None, "CN=stranger,O=Shop", "CN=forged,O=Shop", "CN=forged,O=Shop"])
        self.assertEqual(new[0]["reason"], "no client certificate")
        # A certificate's session has no token to renew: any token is another issuer's.
        with self.assertRaises(psycopg.Error) as caught:
            conn.execute(f"SET gatehouse.token = '{self.stack.token('tester')}'")
        self.assertEqual(caught.exception.sqlstate, "28P01")

    def test_both(self):
        self.demand("both")
        known = len(self.stack.stream("gatehouse:auth"))
        token = self.stack.token("tester")
        conn = self.connect("tester", password=token)
        self.assertEqual(conn.execute("SELECT 1").fetchone(), (1,))
        entry = self.last_open()
        self.assertEqual((entry["issuer"], entry["cert_subject"]), ("https://issuer.shop.example", "CN=tester,O=Shop"))
        texts = {self.refused(None, password=token), self.refused("agent", password=token), self.refused("forged", password=token),
                 self.refused("stranger", password=token), self.refused("tester", password="no.such.token"), self.refused("tester", password="x" * 50000)}
        self.assertEqual(len(texts), 1, texts)
        reasons = [e["reason"] for e in self.reasons(known + 6)[known:]]
        self.assertEqual((reasons[0], reasons[1], reasons[5]), ("no client certificate", "client certificate of another principal", "token too long"))
        # A fresh token is held against the certificate too.
        conn.execute(f"SET gatehouse.token = '{self.stack.mint('tester@shop.example', ['testers'])}'")

    def test_a_token_that_names_its_certificate(self):
        for demand in ("token", "both"):
            self.demand(demand)
            bound = self.stack.mint("tester@shop.example", ["testers"], "--claim", f'cnf={{"x5t#S256": "{self.ca.thumbprint("agent")}"}}')
            with self.subTest(demand):
                self.assertEqual(self.connect("agent", password=bound).execute("SELECT 1").fetchone(), (1,))
                self.refused("tester", password=bound)
                self.refused(None, password=bound)
        self.demand("token")
        for cnf in ('{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}', "{}", '"x"', "null", '{"x5t#S256": "short"}',
                    f'{{"x5t#S256": "{self.ca.thumbprint("agent")}", "jkt": "x"}}'):
            with self.subTest(cnf):
                if cnf == "null":
                    continue  # the mint leaves it out
                self.refused("agent", password=self.stack.mint("tester@shop.example", ["testers"], "--claim", f"cnf={cnf}"))
        # A session goes on with its certificate only.
        conn = self.connect("tester")
        with self.assertRaises(psycopg.Error) as caught:
            conn.execute(f"SET gatehouse.token = '{bound}'")
        self.assertEqual(caught.exception.sqlstate, "28P01")
        # Not asked for, so it is recorded and no more.
        self.connect("stranger").execute("SELECT 1")
        self.assertEqual(self.last_open()["cert_subject"], "CN=stranger,O=Shop")

    def test_a_reload_demands_more(self):
        self.demand("token")
        conn = self.connect(None)
        self.assertEqual(conn.execute("SELECT 1").fetchone(), (1,))
        self.demand("both")
        with self.assertRaises(psycopg.errors.InvalidAuthorizationSpecification):
            conn.execute("SELECT 1")
        self.demand("token")
        self.assertEqual(conn.execute("SELECT 1").fetchone(), (1,))

    def test_what_a_client_says_of_itself_is_nothing(self):
        """No startup parameter, no PROXY header inside TLS, no SNI makes a certificate."""
        self.demand("certificate")
        client = pgraw.RawClient.tls(self.stack)
        self.addCleanup(client.close)
        client.send(pgraw.startup([("user", "x"), ("database", "shop"), ("cert", "CN=tester"), ("ssl_c_der", "30"), ("gatehouse.auth", "none")]))
        kind, body = client.read()
        self.assertEqual((kind, pgraw.error_fields(body)["C"]), ("E", "28000"))


class Bearer(Credentials):
    def setUp(self):
        super().setUp()
        self.demand("token")

    def start(self, options="-c gatehouse.auth=oauthbearer", params=()):
        client = pgraw.RawClient.tls(self.stack)
        self.addCleanup(client.close)
        more = [("options", options)] if options else []
        client.send(pgraw.startup([("user", "someone"), ("database", "shop"), *more, *params]))
        kind, body = client.read()
        self.assertEqual(kind, "R", body)
        return client, body

    def bearer(self, text):
        data = b"n,,\1auth=" + text.encode() + b"\1\1"
        return pgraw.message("p", pgraw.cstr("OAUTHBEARER") + struct.pack(">I", len(data)) + data)

    def refusal(self, text):
        """What the client reads before and after its last word."""
        client, _ = self.start()
        client.send(self.bearer(text))
        kind, body = client.read()
        self.assertEqual((kind, body[:4]), ("R", b"\0\0\0\x0b"))
        client.send(pgraw.message("p", b"\1"))
        kind, error = client.read()
        self.assertEqual(kind, "E")
        return json.loads(body[4:]), tuple(sorted(pgraw.error_fields(error).items()))

    def test_login(self):
        client, offered = self.start()
        self.assertEqual(offered, b"\0\0\0\x0aOAUTHBEARER\0\0")
        client.send(self.bearer("Bearer " + self.stack.token("tester")))
        client.until("Z")
        self.assertIn(("D", b"\0\1\0\0\0\x051\x30\x30\x30\x30"), client.run(pgraw.query("SELECT count(*)::text FROM orders")))
        # The session is like any other: it takes a fresh token.
        client.run(pgraw.query(f"SET gatehouse.token = '{self.stack.mint('tester@shop.example', ['testers'])}'"))
        self.assertEqual(self.last_open()["user"], "someone")

    def test_discovery_is_no_bad_login(self):
        known = len(self.stack.stream("gatehouse:auth"))
        for _ in range(3):
            where, error = self.refusal("")
            self.assertEqual(where, {"status": "invalid_token", "scope": "openid gatehouse", "openid-configuration": DISCOVERY})
        self.assertEqual(len(self.stack.stream("gatehouse:auth")), known)
        # And a bad one looks the same, byte for byte.
        expired = self.stack.mint("tester@shop.example", ["testers"], "--claim", f"exp={int(time.time()) - 3600}")
        for bad in ("Bearer " + expired, "Bearer x", "Bearer", "Basic eHg6eHg=", "Bearer ", "x"):
            self.assertEqual(self.refusal(bad), (where, error), bad)
        self.assertEqual(len(self.reasons(known + 6)), known + 6)

    def test_who_is_asked_how(self):
        self.assertEqual(self.start(options=None)[1], b"\0\0\0\3")
        self.assertEqual(self.start(options="-c gatehouse.auth=password")[1], b"\0\0\0\3")
        self.assertEqual(self.start(options="-c gatehouse.auth=anything")[1], b"\0\0\0\3")
        for options in ("-cgatehouse.auth=oauthbearer", "--gatehouse.auth=oauthbearer", "-c jit=off -c gatehouse.auth=oauthbearer"):
            self.assertIn(b"OAUTHBEARER", self.start(options)[1])
        # A frontend whose clients all do it: one more argument of HAProxy's message.
        edit_haproxy("gatehouse.spoe.cfg", "engine=str(postgresql) ", "engine=str(postgresql) auth=str(oauthbearer) ")
        try:
            self.assertIn(b"OAUTHBEARER", self.start(options=None)[1])
            self.assertEqual(self.start(options="-c gatehouse.auth=password")[1], b"\0\0\0\3")
        finally:
            edit_haproxy("gatehouse.spoe.cfg", "engine=str(postgresql) auth=str(oauthbearer) ", "engine=str(postgresql) ")

    def test_disorder(self):
        for data in (b"n,a=dba,\1auth=Bearer x\1\1", b"p=tls-exporter,,\1auth=Bearer x\1\1", b"n,,\1auth=Bearer x\1auth=Bearer y\1\1", b"n,,"):
            client, _ = self.start()
            client.send(pgraw.message("p", pgraw.cstr("OAUTHBEARER") + struct.pack(">I", len(data)) + data))
            kind, body = client.read()
            self.assertEqual((kind, pgraw.error_fields(body)["C"]), ("E", "08P01"), data)
        client, _ = self.start()
        client.send(pgraw.message("p", pgraw.cstr(self.stack.token("tester"))))
        self.assertEqual(pgraw.error_fields(client.read()[1])["C"], "08P01")


if __name__ == "__main__":
    unittest.main()
