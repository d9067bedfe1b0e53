"""The quickstart as a newcomer has it: the tour, then its page, signed in at the stand-in for a provider."""
import os
import re
import subprocess
import unittest
import urllib.parse

import psycopg

import pagegate
import stack


class Running:
    """The quickstart's page, as pagegate.Browser wants it."""

    def __init__(self, s):
        self.url, self.ca = s.env["GH_PAGE_URL"], s.env["GH_CA"]
        self.host = self.url.removeprefix("https://")
        self.port = int(self.host.split(":")[1])


class Quickstart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(policy=stack.shop_policy(), page=True)
        cls.addClassCleanup(cls.stack.close)

    def test_tour(self):
        done = subprocess.run([stack.QUICKSTART, "tour"], env=dict(os.environ, GH_DIR=self.stack.dir), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        self.assertTrue(done.stdout.endswith("--- Everything was as it should be\n"))
        self.assertIn(f"open {self.stack.env['GH_PAGE_URL']} and sign in as dba@shop.example", done.stdout)

    def test_page(self):
        sql = "UPDATE orders SET status = 'seen' WHERE id = 7"
        with self.stack.psycopg("agent", autocommit=True) as conn:
            with self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
                conn.execute(sql)
            ident = str(caught.exception).split("decision on request ")[1].split()[0]
            for who, groups in (("analyst", "analysts"), ("agent", "ai-agents"), ("dba", "dbas")):
                browser = pagegate.Browser(Running(self.stack))
                query = browser.begin(f"/login?next={ident}")
                provider = pagegate.Browser(type("Provider", (), {"host": f"localhost:{self.stack.env['GH_PROVIDER_PORT']}", "ca": browser.gate.ca,
                                                                  "port": int(self.stack.env["GH_PROVIDER_PORT"])}))
                self.assertIn(f"{who}@shop.example</a> ({groups})", provider.get("/authorize?" + query).text)
                back = provider.get(f"/authorize?{query}&as={who}@shop.example").headers["Location"]
                self.assertEqual(provider.get("/authorize?" + re.sub("redirect_uri=[^&]*", "redirect_uri=https://evil.example", query)).status, 400)
                self.assertEqual(browser.back(back).headers["Location"], f"/requests/{ident}")
                page = browser.get(f"/requests/{ident}")
                self.assertEqual(page.status, 404 if who == "analyst" else 200)
                self.assertEqual('id="approve"' in page.text, who == "dba")
            code = dict(urllib.parse.parse_qsl(back.partition("?")[2]))["code"]
            self.assertEqual(provider.request("POST", "/token", f"grant_type=authorization_code&code={code}".encode()).status, 400)  # used
            self.assertEqual(browser.post(f"/requests/{ident}", {"csrf": page.csrf(), "verdict": "approve", "reason": ""}).status, 303)
            self.assertEqual(conn.execute(sql).rowcount, 1)
        self.assertEqual(self.stack.direct("SELECT status FROM orders WHERE id = 7"), [("seen",)])


if __name__ == "__main__":
    unittest.main()
