"""Who may log in: one text for every bad credential, the reason in the record alone; the name that a client sends decides nothing."""
import base64
import hashlib
import hmac
import json
import subprocess
import time
import unittest

import psycopg

import stack


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Identity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def mint(self, *more, **kw):
        return self.stack.mint("tester@shop.example", ["testers"], *more, **kw)

    def login_error(self, token, user="tester"):
        with self.assertRaises(psycopg.OperationalError) as caught:
            self.stack.psycopg(password=token, user=user).close()
        return str(caught.exception).split("FATAL:", 1)[-1].strip()

    def forgeries(self):
        good = self.mint()
        head, body, signature = good.split(".")
        claims = json.loads(unb64(body))
        raw = bytearray(unb64(signature))
        raw[5] ^= 1
        yield "expired", self.mint("--claim", f"exp={int(time.time()) - 3600}")
        yield "not yet valid", self.mint("--claim", f"nbf={int(time.time()) + 3600}")
        yield "no exp", self.mint("--claim", "exp=null")
        yield "exp is text", self.mint("--claim", 'exp="soon"')
        yield "another issuer", self.mint(issuer="https://issuer.evil.example")
        yield "another audience", self.mint(audience="somebody-else")
        yield "unknown kid", self.mint("--kid", "nobody")
        yield "no principal", self.mint("--claim", "sub=null")
        yield "a changed signature", f"{head}.{body}.{b64(raw)}"
        yield "a changed claim", f"{head}.{b64(json.dumps(dict(claims, groups=['dbas'])).encode())}.{signature}"
        yield "no signature", f"{head}.{body}."
        yield "alg none", f"{b64(json.dumps({'alg': 'none', 'typ': 'JWT'}).encode())}.{body}."
        yield "the public key as an HMAC secret", self.hmac_with_public_key(claims)
        yield "not a token", "correct horse battery staple"
        yield "very long", good + "A" * 5000
        yield "two dots", ".."

    def hmac_with_public_key(self, claims):
        pem = subprocess.run(["openssl", "pkey", "-in", f"{self.stack.dir}/keys/rs256.pem", "-pubout"], check=True, stdout=subprocess.PIPE).stdout
        kid = json.loads(unb64(self.mint(key="rs256").split(".")[0]))["kid"]
        signed = f"{b64(json.dumps({'alg': 'HS256', 'kid': kid, 'typ': 'JWT'}).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{signed}.{b64(hmac.new(pem, signed.encode(), hashlib.sha256).digest())}"

    def test_good_tokens(self):
        for token in (self.mint(), self.mint(key="rs256"), self.mint("--ttl", "60s"), self.mint("--claim", 'aud=["other", "gatehouse"]')):
            with self.stack.psycopg(password=token) as conn:
                self.assertEqual(conn.execute("SELECT 1").fetchone(), (1,))

    def test_bad_tokens_get_one_text(self):
        texts = {}
        for name, token in self.forgeries():
            with self.subTest(name):
                texts[name] = self.login_error(token)
        self.assertEqual(len(set(texts.values())), 1, texts)
        self.assertNotIn("expired", texts["expired"])

    def test_the_reason_is_recorded(self):
        before = len(self.stack.stream("gatehouse:auth"))
        token = self.mint("--claim", f"exp={int(time.time()) - 3600}")
        self.login_error(token, user="who-was-it")
        entries = stack.wait_until("an entry in gatehouse:auth", lambda: self.stack.stream("gatehouse:auth")[before:])
        self.assertIn("who-was-it", str(entries))
        self.assertIn("expired", str(entries))
        self.assertNotIn(token[-40:], str(entries) + self.stack.log("gatehouse"))

    def test_the_user_name_decides_nothing(self):
        for name in ("postgres", "dba@shop.example", "shop_owner"):
            with self.stack.psycopg("agent", user=name, password=self.stack.token("agent"), autocommit=True) as conn:
                with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                    conn.execute("SELECT * FROM staff")
                self.assertEqual(conn.execute("SELECT count(*) FROM orders").fetchone(), (10000,))
        self.login_error("", user="postgres")

    def test_unknown_database(self):
        with self.assertRaises(psycopg.OperationalError):
            self.stack.psycopg(dbname="template1").close()

    def test_groups_decide(self):
        with self.stack.psycopg("analyst", autocommit=True) as conn:
            with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                conn.execute("SELECT * FROM staff")
        with self.stack.psycopg("dba", autocommit=True) as conn:
            self.assertEqual(conn.execute("SELECT count(*) FROM staff").fetchone(), (20,))

    def test_expiry_is_enforced_in_the_session(self):
        """The stack of the tests accepts no leeway."""
        conn = self.stack.psycopg(password=self.mint("--ttl", "3s"), autocommit=True)
        self.addCleanup(conn.close)
        self.assertEqual(conn.execute("SELECT 1").fetchone(), (1,))
        time.sleep(4)
        with self.assertRaises(psycopg.Error) as caught:
            conn.execute("SELECT 'after-expiry'")
        self.assertIn(caught.exception.sqlstate, ("28000", "28P01", None), caught.exception)
        self.assertNotIn("after-expiry", self.stack.log("postgresql"))


if __name__ == "__main__":
    unittest.main()
