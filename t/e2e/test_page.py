"""The approvers' page without a browser: who may sign in, see and decide, and everything that somebody could send instead of what the page's forms
and the provider send. t/e2e/test_page_browser.py does it with Chromium."""
import json
import os
import re
import subprocess
import threading
import unittest
import urllib.parse
import urllib.request

import psycopg

import httpgate
import pagegate
import stack

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;"


class Page(pagegate.Case):
    @classmethod
    def configured(cls, text):
        return super().configured(text) + httpgate.APIS

    # --- as it should be ---

    def test_approve(self):
        sql = "/* reason: told to */ INSERT INTO scratch.t VALUES (1, 'page')"
        ident = self.ask(sql)
        b = self.browser()
        self.assertIn("Sign in", b.get("/").text)
        answer = b.sign_in(self.realm, "dba@shop.example", f"/login?next={ident}")
        self.assertEqual((answer.status, answer.headers["Location"]), (303, f"/requests/{ident}"))
        b.past.append(b.cookies["__Host-gatehouse"])
        cookie = next(c for c in answer.headers.get_all("Set-Cookie") if c.startswith("__Host-gatehouse="))
        for word in ("; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age=3600"):
            self.assertIn(word, cookie)
        self.assertNotIn("Domain", cookie)
        self.assertEqual(list(b.cookies), ["__Host-gatehouse"])
        page = b.get("/")
        self.assertIn(f"/requests/{ident}", page.text)
        self.assertIn("told to", page.text)
        page = b.get(f"/requests/{ident}")
        for text in ("asker@shop.example", "told to", "scratch.t:insert", "page-insert", "1 of dbas", "VALUES (1, &#39;page&#39;)"):
            self.assertIn(text, page.text)
        answer = self.decide(b, ident, "approve", "go on")
        self.assertEqual((answer.status, answer.headers["Location"]), (303, f"/requests/{ident}"))
        self.assertIn("approved by <strong>dba@shop.example", b.get(f"/requests/{ident}").text)
        self.assertEqual(self.run_sql(sql), 1)
        self.assertEqual(self.state(ident), "used")
        again = self.ask(sql)
        self.assertNotEqual(again, ident)
        page = b.get(f"/requests/{again}")
        self.assertIn("The same statement, earlier", page.text)
        self.assertIn("<q>go on</q>", page.text)
        answer = self.decide(b, ident, "approve")
        self.assertEqual(answer.status, 409)
        self.assertIn("nothing is left to decide", answer.text)
        signed_in = [e for e in self.stack.stream("gatehouse:auth") if e["type"] == "page.signed_in"]
        self.assertEqual((signed_in[-1]["principal"], signed_in[-1]["src"]), ("dba@shop.example", "127.0.0.1"))
        events = stack.wait_until("the decision", lambda: [e for e in self.stack.stream("gatehouse:approval:" + ident) if e["type"] == "approval.decision"])
        self.assertEqual((events[0]["approver"], events[0]["issuer"], events[0]["reason"]), ("dba@shop.example", self.realm.issuer, "go on"))

    def test_asked_over_http(self):
        """Which API and tool, and what was beside the SQL: shown to who decides, as text; and the request runs as it was shown."""
        app = httpgate.Application(self.stack)
        self.addCleanup(app.close)
        gate = httpgate.Gate(app.server_port, app.server_port, self.stack.dir + "/jail")
        gate.start()
        self.addCleanup(gate.stop)
        sql = "INSERT INTO scratch.t VALUES (31, 'over http')"

        def call(limit):
            _, body, _ = gate.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
                "name": "execute_sql", "arguments": {"sql": sql, "limit": limit}}}, self.stack.token("asker"))
            return body["result"]
        ident, other = (call(limit)["content"][0]["text"].split("decision on request ")[1].split()[0] for limit in (EVIL, 5))
        self.assertNotEqual(ident, other)
        b = self.signed_in()
        page = b.get(f"/requests/{other}").text
        for name, value in (("over HTTP", "assistants"), ("tool", "execute_sql"), ("beside it", "{&quot;limit&quot;:5}")):
            self.assertIn(f"<dt>{name}</dt><dd>{value}</dd>", page)
        page = b.get(f"/requests/{ident}").text
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;", page.partition("<dt>beside it</dt><dd>")[2].partition("</dd>")[0])
        self.assertNotIn("<script>alert", page)
        self.assertIn("31, &#39;over http&#39;", b.get("/").text)
        status, plain, _ = gate.post("/query", {"sql": sql}, self.stack.token("asker"))
        self.assertEqual(status, 403)
        page = b.get(f"/requests/{plain['approval']}").text
        self.assertIn("<dt>over HTTP</dt><dd>reports</dd>", page)
        for name in ("tool", "beside it"):
            self.assertNotIn(f"<dt>{name}</dt>", page)
        self.assertNotIn("<dt>over HTTP</dt>", b.get(f"/requests/{self.ask(sql)}").text)
        self.assertEqual(self.decide(b, other, "approve").status, 303)
        self.assertTrue(call(EVIL)["isError"])
        self.assertFalse(call(5)["isError"])
        self.assertEqual((self.state(other), self.state(ident)), ("used", "pending"))
        self.assertEqual([ran for ran, *_ in app.ran], [sql])
        self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.t WHERE n = 31"), [(1,)])

    def test_counted(self):
        def samples(name):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=20) as r:
                lines = [x for x in r.read().decode().splitlines() if x.startswith(name + "{")]
            return {tuple(re.findall('="([^"]*)"', x)): int(x.rsplit(" ", 1)[1]) for x in lines}
        requests, sign_ins = samples("gatehouse_page_requests_total"), samples("gatehouse_page_sign_ins_total")
        ident = self.ask("INSERT INTO scratch.t VALUES (1, 'counted')")
        b = self.signed_in()
        self.assertEqual(b.get("/").status, 200)
        self.assertEqual(self.decide(b, ident, "approve").status, 303)
        self.assertEqual(self.browser().get("/callback?state=x&code=y").status, 400)
        wrong = self.browser()
        location = self.realm.authorize(wrong.begin(), "dba@shop.example")
        self.assertEqual(wrong.back(location + "&iss=https://other.example").status, 400)
        self.assertEqual(self.browser().get("/api/approvals", headers={"Authorization": "Bearer no.token.here"}).status, 401)
        self.assertEqual(self.browser().get("/nothing<script>").status, 404)
        more = {k: v - requests.get(k, 0) for k, v in samples("gatehouse_page_requests_total").items() if v != requests.get(k, 0)}
        for key, least in ((("list", "200"), 1), (("login", "303"), 2), (("callback", "303"), 1), (("callback", "400"), 2), (("request", "200"), 1),
                           (("decision", "303"), 1), (("api", "401"), 1), (("other", "404"), 1)):
            self.assertGreaterEqual(more.get(key, 0), least, (key, more))
        more = {k: v - sign_ins.get(k, 0) for k, v in samples("gatehouse_page_sign_ins_total").items() if v != sign_ins.get(k, 0)}
        self.assertEqual(more, {("begun",): 2, ("signed_in",): 1, ("not_begun_here",): 2})

    def test_deny(self):
        sql = "INSERT INTO scratch.t VALUES (2, 'deny')"
        ident = self.ask(sql)
        b = self.signed_in()
        answer = self.decide(b, ident, "deny")
        self.assertEqual(answer.status, 400)
        self.assertIn("A denial needs a reason", answer.text)
        self.assertEqual(self.decide(b, ident, "deny", "x" * 501).status, 400)
        self.assertEqual(self.decide(b, ident, "maybe", "x").status, 400)
        self.assertEqual(self.state(ident), "pending")
        self.assertEqual(self.decide(b, ident, "deny", EVIL).status, 303)
        self.assertNotIn("<script>alert", b.get(f"/requests/{ident}").text)
        self.assertNotIn("<img", b.get("/?all=1").text)
        with self.stack.psycopg("asker", autocommit=True) as conn, self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "denied by dba@shop.example"):
            conn.execute(sql)

    def test_quorum(self):
        sql = "UPDATE scratch.t SET n = n WHERE n = 77"
        ident = self.ask(sql)
        b, b2 = self.signed_in(), self.signed_in("dba2@shop.example")
        self.assertEqual(self.decide(b, ident, "approve").status, 303)
        page = b.get(f"/requests/{ident}")
        self.assertNotIn('id="approve"', page.text)  # but may still say no
        self.assertIn('id="deny"', page.text)
        self.assertEqual(self.decide(b, ident, "approve").status, 409)
        self.assertEqual(self.state(ident), "pending")
        self.assertEqual(self.decide(b2, ident, "approve").status, 303)
        self.assertEqual(self.state(ident), "approved")
        self.assertEqual(self.decide(b, ident, "deny", "on second thoughts").status, 303)  # until it is used
        self.assertEqual(self.state(ident), "denied")
        with self.stack.psycopg("asker", autocommit=True) as conn, self.assertRaisesRegex(psycopg.errors.InsufficientPrivilege, "on second thoughts"):
            conn.execute(sql)

    def test_grant(self):
        """For some time, and with other values, as far as the rule lets approvers agree to it."""
        ident = self.ask("INSERT INTO scratch.g VALUES (1)")
        b = self.signed_in()
        page = b.get(f"/requests/{ident}")
        self.assertIn("for at most 20 min, scope kind", page.text)
        self.assertEqual(re.findall(r'<option value="(\w+)"', page.text), ["0", "60", "300", "600", "900", "1200", "statement", "kind"])
        form = {"csrf": page.csrf(), "verdict": "approve", "reason": ""}
        for bad in ({"for": "1201", "scope": "kind"}, {"for": "60", "scope": "rule"}, {"for": "60", "scope": "all"}, {"for": "60"}, {"for": "-60", "scope": "kind"},
                    {"for": "6e1", "scope": "kind"}, {"for": "99999999999", "scope": "kind"}):
            with self.subTest(str(bad)):
                self.assertEqual(b.post(f"/requests/{ident}", dict(form, **bad)).status, 400)
        self.assertEqual(self.state(ident), "pending")
        self.assertEqual(b.post(f"/requests/{ident}", dict(form, **{"for": "600", "scope": "kind"})).status, 303)
        self.assertIn("for 10 min (kind)", b.get(f"/requests/{ident}").text)
        for n in (1, 2, 1):
            self.assertEqual(self.run_sql(f"INSERT INTO scratch.g VALUES ({n})"), 1)
        self.ask("DELETE FROM scratch.g WHERE n = 1")
        once = self.ask("INSERT INTO scratch.t VALUES (18, 'no grant')")
        self.assertNotIn("<select", b.get(f"/requests/{once}").text)
        self.assertEqual(b.post(f"/requests/{once}", dict(form, **{"for": "60", "scope": "statement"})).status, 400)
        self.assertEqual(self.state(once), "pending")

    def test_blocked(self):
        """Who is blocked sees nothing, is signed out, cannot sign in, and has no API."""
        ident = self.ask("INSERT INTO scratch.t VALUES (19, 'blocked')")
        b, other = self.signed_in("dba2@shop.example"), self.signed_in()
        form = {"csrf": b.get("/").csrf(), "verdict": "approve", "reason": ""}
        self.ctl("block", "principal", "DBA2@shop.example", "--reason", "laptop <stolen>")
        try:
            answer = b.post(f"/requests/{ident}", form)
            self.assertEqual(answer.status, 403)
            self.assertIn("laptop &lt;stolen&gt;", answer.text)
            self.assertNotIn("scratch", b.get(f"/requests/{ident}").text)
            again = self.browser()
            self.refused(again.sign_in(self.realm, "dba2@shop.example"), again)
            status, said = self.api("GET", "/approvals", "dba2")
            self.assertEqual(status, 403)
            self.assertIn("blocked", said["error"])
            self.assertIn(ident, other.get("/").text)
            self.ctl("block", "address", "127.0.0.0/8", "--reason", "nobody from here")
            try:
                self.assertIn("nobody from here", other.get("/").text)
                self.assertEqual(self.browser().get("/login").status, 403)
            finally:
                self.ctl("unblock", "address", "127.0.0.0/8")
        finally:
            self.ctl("unblock", "principal", "dba2@shop.example")
        self.assertIn("Sign in", b.get("/").text)
        self.assertEqual(self.state(ident), "pending")

    # --- who may see and decide ---

    def test_others(self):
        ident, theirs = self.ask("INSERT INTO scratch.t VALUES (3, 'others')"), self.ask("DELETE FROM scratch.t WHERE n = 3")
        own, lead, nobody, dba = (self.signed_in(w + "@shop.example") for w in ("asker", "lead", "nobody", "dba"))
        page = own.get(f"/requests/{ident}")  # a dba too, but the request is their own
        self.assertIn("a request of your own", page.text)
        self.assertNotIn('id="decide"', page.text)
        answer = own.post(f"/requests/{ident}", {"csrf": page.csrf(), "verdict": "approve", "reason": ""})
        self.assertEqual(answer.status, 403)
        self.assertIn("somebody else must decide", answer.text)
        for b, hidden in ((lead, ident), (nobody, ident), (nobody, theirs), (dba, theirs)):
            self.assertEqual(b.get(f"/requests/{hidden}").status, 404)
            self.assertNotIn(hidden, b.get("/").text + b.get("/?all=1").text)
            answer = b.post(f"/requests/{hidden}", {"csrf": b.get("/").csrf(), "verdict": "approve", "reason": ""})
            self.assertEqual(answer.status, 404)
            self.assertNotIn("scratch", answer.text)
        self.assertEqual((self.state(ident), self.state(theirs)), ("pending", "pending"))
        refused = [e for e in self.stack.stream("gatehouse:auth") if e["type"] == "decision.refused" and e["request"] in (ident, theirs)]
        self.assertEqual(len(refused), 5)
        self.assertEqual(self.decide(lead, theirs, "approve").status, 303)

    def test_signed_out(self):
        ident = self.ask("INSERT INTO scratch.t VALUES (4, 'out')")
        b = self.browser()
        for path in ("/", f"/requests/{ident}", "/?all=1"):
            page = b.get(path)
            self.assertNotIn("scratch", page.text)
            self.assertIn("Sign in", page.text)
        self.assertIn(f"/login?next={ident}", b.get(f"/requests/{ident}").text)
        b.cookies["__Host-gatehouse"] = "A" * 43
        self.assertNotIn("scratch", b.get(f"/requests/{ident}").text)
        self.assertEqual(b.post(f"/requests/{ident}", {"csrf": "A" * 43, "verdict": "approve"}).status, 403)
        b = self.signed_in()
        old = dict(b.cookies)
        self.assertEqual(b.post("/logout", {"csrf": "no"}).status, 403)
        self.assertEqual(b.post("/logout", {"csrf": b.get("/").csrf()}).status, 303)
        self.assertEqual(b.cookies, {})
        b.cookies = old
        self.assertIn("Sign in", b.get("/").text)

    # --- forged forms ---

    def test_csrf(self):
        ident = self.ask("INSERT INTO scratch.t VALUES (5, 'csrf')")
        b, other = self.signed_in(), self.signed_in()
        good, path = b.get("/").csrf(), f"/requests/{ident}"
        form = {"csrf": good, "verdict": "approve", "reason": ""}
        for name, fields in (("none", {"csrf": None}), ("empty", {"csrf": ""}), ("of another session", {"csrf": other.get("/").csrf()}), ("cut", {"csrf": good[:-1]}),
                             ("longer", {"csrf": good + "A"})):
            with self.subTest(name):
                answer = b.post(path, {k: v for k, v in dict(form, **fields).items() if v is not None})
                self.assertEqual(answer.status, 403)
        twice = urllib.parse.urlencode(form) + "&csrf=x"
        head = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.gate.url}
        self.assertEqual(b.request("POST", path, twice.encode(), head).status, 403)
        for fields in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": self.gate.url + ".evil.example"}, {"Origin": "http" + self.gate.url[5:]},
                       {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data; boundary=x"},
                       {"Cookie": None}, {"Cookie": "x=" + b.cookies["__Host-gatehouse"]}, {"Cookie": "__Host-gatehouse=x; __Host-gatehouse=" + b.cookies["__Host-gatehouse"]}):
            with self.subTest(str(fields)[:60]):
                self.assertEqual(b.post(path, form, headers=fields).status, 403)
        self.assertEqual(b.get(path + "?csrf=" + good + "&verdict=approve").status, 200)  # a GET decides nothing
        self.assertEqual(self.state(ident), "pending")
        self.assertEqual(b.post(path, form).status, 303)

    def test_headers(self):
        b = self.signed_in()
        for path in ("/", "/requests/0123456789abcdef", "/nowhere", "/page.css", "/page.js", "/login", "/callback", "/api/approvals"):
            answer = b.get(path)
            csp = answer.headers["Content-Security-Policy"]
            for word in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
                self.assertIn(word, csp, path)
            self.assertNotIn("unsafe", csp)
            self.assertEqual((answer.headers["X-Frame-Options"], answer.headers["Cache-Control"], answer.headers["X-Content-Type-Options"]),
                             ("DENY", "no-store", "nosniff"), path)
            self.assertNotRegex(answer.text, r"<script(?! src=\"/page\.js\")|<[a-z]+ [^>]*\bon[a-z]+=|style=|javascript:")

    def test_forged_host(self):
        b = self.signed_in()
        for host in ("evil.example", "localhost", f"localhost:{self.gate.port}.evil.example", f"127.0.0.1:{self.gate.port}"):
            for path in ("/", "/login", "/api/approvals"):
                answer = b.get(path, host=host)
                self.assertEqual(answer.status, 421, (host, path))
                self.assertNotIn("Set-Cookie", answer.headers)
        b2 = self.browser()
        q = dict(urllib.parse.parse_qsl(b2.begin()))
        self.assertEqual(q["redirect_uri"], self.gate.url + "/callback")
        forwarded = b2.get("/login", headers={"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"})
        self.assertNotIn("evil", forwarded.headers["Location"])

    # --- what is shown ---

    def test_texts_of_others(self):
        sql = f"INSERT INTO scratch.t VALUES (6, $${EVIL}$$) /* \u202e reversed \u0456 \x1b[2K */" + " " * 500 + "\n" * 60 + "-- <U+202E> end"
        ident = self.ask(sql, "evil")
        b = self.signed_in("<b>dba</b>&x@shop.example")
        for path in ("/", f"/requests/{ident}", "/?all=1"):
            page = b.get(path).text
            self.assertNotRegex(page, r"<script>|<img|<b>dba|onerror=alert\(2\)>[^&]")
            self.assertIn("&lt;b&gt;dba&lt;/b&gt;&amp;x@shop.example", page)
            self.assertFalse([c for c in "\u202e\x1b" if c in page])
        page = b.get(f"/requests/{ident}").text
        for text in ("<mark>U+202E</mark>", "<mark>U+001B</mark>", "<mark>500 blanks</mark>", "<mark>59 empty lines</mark>", "<u>\u0456</u>", "&lt;U+202E&gt; end</i></pre>",
                     "evil&lt;script&gt;"):
            self.assertIn(text, page)
        self.assertEqual(self.decide(b, ident, "approve", EVIL).status, 303)
        page = b.get(f"/requests/{ident}").text
        self.assertNotIn("<script>alert", page)
        self.assertIn("approved by <strong>&lt;b&gt;dba", page)
        for path in ("/?after=" + urllib.parse.quote(EVIL), "/" + urllib.parse.quote(EVIL), "/?all=%zz", "/callback?error=" + urllib.parse.quote(EVIL), "/login?next=//evil.example"):
            answer = self.browser().get(path)
            self.assertNotIn("alert(1)", answer.text)
            self.assertNotIn("evil.example", answer.headers.get("Location", "").partition("?")[0])

    def test_many(self):
        idents = [self.ask(f"INSERT INTO scratch.t VALUES (7, 'many {i}')") for i in range(60)]
        b = self.signed_in()
        seen, path = [], "/"
        while path:
            page = b.get(path).text
            seen += re.findall(r'href="/requests/([0-9a-z]{16})"', page)
            more = re.search(r'href="(/\?after=[0-9a-z]+)">More', page)
            path = more and more[1]
        self.assertEqual(len(seen), len(set(seen)))
        self.assertLess(set(idents), set(seen) | {""})

    # --- forged sign-ins ---

    def refused(self, answer, b):
        self.assertIn(answer.status, (400, 403), answer.text)
        self.assertIn("You are not signed in", answer.text)
        self.assertNotIn("__Host-gatehouse", b.cookies)

    def test_state(self):
        """What was not begun in this browser does not end there: nobody can be signed in as somebody else."""
        mallory, victim = self.browser(), self.browser()
        location = self.realm.authorize(mallory.begin(), "dba2@shop.example")
        n = len(self.realm.exchanges)
        self.refused(victim.back(location), victim)
        victim.begin()
        self.refused(victim.back(location), victim)
        for change in ({"state": None}, {"state": ""}, {"state": "A" * 43}, {"iss": "https://evil.example"}, {"iss": ""}, {"code": None}, {"code": ""}):
            with self.subTest(str(change)):
                b = self.browser()
                where, _, query = self.realm.authorize(b.begin(), "dba@shop.example").partition("?")
                q = dict(urllib.parse.parse_qsl(query), **change)
                self.refused(b.back(where + "?" + urllib.parse.urlencode({k: v for k, v in q.items() if v is not None})), b)
        b = self.browser()
        location = self.realm.authorize(b.begin(), "dba@shop.example")
        self.refused(b.back(location + "&state=" + "A" * 43), b)
        b = self.browser()
        location = self.realm.authorize(b.begin(), "dba@shop.example")
        b.cookies["__Host-gatehouse-login"] = b.cookies["__Host-gatehouse-login"][:-2] + "AA"
        self.refused(b.back(location), b)
        self.assertEqual(len(self.realm.exchanges), n)  # no code was ever sent on
        b = self.browser()
        self.refused(b.back(self.realm.authorize(b.begin(), "stranger@shop.example")), b)

    def test_replay(self):
        b = self.browser()
        location = self.realm.authorize(b.begin(), "dba@shop.example")
        login = dict(b.cookies)
        self.assertEqual(b.back(location).status, 303)
        b.past.append(b.cookies["__Host-gatehouse"])
        n = len(self.realm.exchanges)
        for cookies in ({}, login):
            other = self.browser()
            other.cookies = dict(cookies)
            self.refused(other.back(location), other)
        self.assertEqual(len(self.realm.exchanges), n)
        again = self.browser()  # a fresh code for a sign-in that has ended
        again.cookies = dict(login)
        self.realm.codes["f" * 32] = {"principal": "dba@shop.example", "client_id": pagegate.CLIENT}
        self.refused(again.back(re.sub("code=[^&]*", "code=" + "f" * 32, location)), again)
        spliced = self.browser()  # another's code under a state of one's own: PKCE
        mine, theirs = self.realm.authorize(spliced.begin(), "dba@shop.example"), self.realm.authorize(self.browser().begin(), "dba2@shop.example")
        code = dict(urllib.parse.parse_qsl(theirs.partition("?")[2]))["code"]
        self.refused(spliced.back(re.sub("code=[^&]*", "code=" + code, mine)), spliced)
        self.assertEqual(self.realm.exchanges[-1][1], 400)

    def test_two_callbacks_at_once(self):
        b = self.browser()
        location = self.realm.authorize(b.begin(), "dba@shop.example")
        answers = []

        def back():
            twin = self.browser()
            twin.cookies = dict(b.cookies)
            answers.append(twin.back(location).status)
            twin.past += twin.cookies.values()
        threads = [threading.Thread(target=back) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(answers), [303, 403, 403, 403])

    def test_id_tokens(self):
        """Each is right but for one thing."""
        reasons = []
        cases = [({"nonce": "A" * 43}, "nonce"), ({"nonce": None}, "nonce"), ({"audience": "gatehouse"}, "wrong audience"), ({"issuer": "https://issuer.shop.example"}, "unknown issuer"),
                 ({"more": ["--ttl", "1s", "--claim", "exp=1000000000"]}, "expired"), ({"more": ["--claim", "azp=somebody"]}, "wrong audience"),
                 ({"more": ["--claim", f'aud=["{pagegate.CLIENT}", "others"]']}, "wrong audience"), ({"more": ["--claim", "nbf=4000000000"]}, "not valid yet"),
                 ({"more": ["--claim", 'cnf={"x5t#S256":"' + "A" * 43 + '"}']}, "bound to"), ({"principal": "a\u202eb"}, "bad principal"),
                 ({"more": ["--claim", "groups=7"]}, "bad groups"), ({"key": "es256-9"}, "unknown key")]
        for change, reason in cases:
            with self.subTest(str(change)):
                self.realm.id_claims = change
                b = self.browser()
                try:
                    self.refused(b.sign_in(self.realm, "dba@shop.example"), b)
                finally:
                    self.realm.id_claims = {}
                reasons.append(reason)
        recorded = [e["reason"] for e in self.stack.stream("gatehouse:auth") if e["type"] == "login.refused" and e.get("api") == "page"]
        for reason in reasons:
            self.assertTrue([r for r in recorded if reason in r], (reason, recorded))
        self.realm.id_claims = {"more": ["--claim", f'aud=["{pagegate.CLIENT}", "others"]', "--claim", "azp=" + pagegate.CLIENT]}
        try:
            self.signed_in()
        finally:
            self.realm.id_claims = {}

    def test_token_endpoint_answers(self):
        for name, answer in (("html", lambda h: h.answer("<html>", 200)), ("no ID token", lambda h: h.answer('{"access_token": "x"}')), ("an error", lambda h: h.answer('{"error": "server_error"}', 500)),
                             ("rubbish in it", lambda h: h.answer('{"id_token": "a.b.c"}')), ("twice", lambda h: h.answer('{"id_token": "a", "id_token": "b"}')),
                             ("a redirect", lambda h: h.answer("", 307, Location=self.realm.issuer + "/token")), ("huge", lambda h: h.answer('{"id_token": "' + "a" * 2000000 + '"}')),
                             ("closed", lambda h: h.connection.close())):
            with self.subTest(name):
                self.realm.answers["token"] = answer
                b = self.browser()
                try:
                    self.refused(b.sign_in(self.realm, "dba@shop.example"), b)
                finally:
                    self.realm.answers.clear()
        self.signed_in()

    def test_pairwise_subjects(self):
        """A provider that calls one person by another name at each client: they could approve what they have asked for."""
        self.realm.published = {"subject_types_supported": ["pairwise"]}
        try:
            self.upgrade()  # the document is asked for anew
            answer = self.browser().get("/login")
            self.assertEqual(answer.status, 503)
            self.assertIn("pairwise", [row for row in self.stack.log("gatehouse").splitlines() if "event=page.provider " in row][-1])
            self.realm.published = {"subject_types_supported": ["pairwise", "public"]}
            self.signed_in()
        finally:
            self.realm.published = {}

    def test_slow_provider(self):
        """Who signs in waits for it; nobody else does, and no more than a few can wait."""
        b = self.signed_in()
        go = threading.Event()

        def slow(handler):
            go.wait(30)
            handler.answer('{"error": "slow"}', 400)
        waiting = [self.browser() for _ in range(12)]
        locations = [self.realm.authorize(w.begin(), "dba@shop.example") for w in waiting]
        self.realm.answers["token"] = slow
        answers = []
        threads = [threading.Thread(target=lambda w=w, at=at: answers.append(w.back(at).status)) for w, at in zip(waiting, locations)]
        try:
            for t in threads:
                t.start()
            stack.wait_until("those that are too many", lambda: len(answers) == 4)
            self.assertEqual(answers, [503] * 4)
            for _ in range(5):
                self.assertEqual(b.get("/").status, 200)
        finally:
            go.set()
            for t in threads:
                t.join()
            self.realm.answers.clear()
        self.assertEqual(sorted(answers), [403] * 8 + [503] * 4)

    def test_fixation(self):
        """A session is never one that the browser brought along, and signing in again ends the one before."""
        b = self.browser()
        b.cookies["__Host-gatehouse"] = "B" * 43
        self.assertEqual(b.sign_in(self.realm, "dba@shop.example").status, 303)
        first = b.cookies["__Host-gatehouse"]
        self.assertNotEqual(first, "B" * 43)
        self.assertEqual(b.sign_in(self.realm, "lead@shop.example").status, 303)
        b.past += [first, b.cookies["__Host-gatehouse"]]
        self.assertNotEqual(b.cookies["__Host-gatehouse"], first)
        self.assertIn("lead@shop.example", b.get("/").text)
        b.cookies["__Host-gatehouse"] = first
        self.assertIn("Sign in", b.get("/").text)

    def test_bounded(self):
        """Of one person's sessions the oldest end; beginning costs the gate nothing that it keeps."""
        bs = [self.signed_in("nobody@shop.example") for _ in range(12)]
        self.assertEqual(["Sign out" in b.get("/").text for b in bs], [False] * 2 + [True] * 10)
        before = self.stack.rss_kib("gatehouse")
        for _ in range(200):
            self.browser().begin()
        self.assertLess(self.stack.rss_kib("gatehouse") - before, 20000)

    # --- other configurations ---

    def test_confidential_client(self):
        secret = "s3cret+ with: all %kinds"
        path = os.path.join(self.stack.dir, "etc", "page.password")
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
            f.write(secret)
        subprocess.run(stack.as_root("chown", "daemon" if os.getuid() == 0 else str(os.getuid()), path), check=True)
        client, public = f"client_id: {pagegate.CLIENT}", self.signed_in()
        for n, (way, post) in enumerate((("basic", False), ("post", True))):
            name = f"secretive-{way}"
            self.realm.clients[name] = {"redirect_uri": self.gate.url + "/callback", "secret": secret, "post": post}
            self.reconfigure(client, f"client_id: {name}\n    client_secret_file: page.password\n    client_auth: {way}")
            try:
                if n == 0:
                    self.assertIn("Sign in", public.get("/").text)  # another client: who signed in before has to again
                self.signed_in()
                self.realm.clients[name]["secret"] = "another"
                b = self.browser()
                self.refused(b.sign_in(self.realm, "dba@shop.example"), b)
            finally:
                self.reconfigure(f"client_id: {name}\n    client_secret_file: page.password\n    client_auth: {way}", client)
        self.signed_in()

    def test_identity_of_the_access_token(self):
        """A provider whose ID tokens call people otherwise than its access tokens: with the ID token's name one could approve what one asked for."""
        ident = self.ask("INSERT INTO scratch.t VALUES (17, 'other names')")
        self.realm.id_claims = {"principal": "00u17", "groups": ["dbas"]}
        given = {}

        def access(q):
            given.update(q)
            token = self.realm.mint("es256-1", principal=q["principal"], groups=self.realm.people[q["principal"]])
            self.idp.issued.append(token)
            return token
        more = "identity_from: access_token\n    parameters: { resource: \"https://gatehouse.example/api?x=y&z\" }"
        self.reconfigure(f"client_id: {pagegate.CLIENT}", f"client_id: {pagegate.CLIENT}\n    {more}")
        try:
            self.realm.access_token = access
            own = self.signed_in("asker@shop.example")
            self.assertEqual(given["resource"], "https://gatehouse.example/api?x=y&z")
            page = own.get(f"/requests/{ident}")
            self.assertIn("a request of your own", page.text)
            self.assertEqual(own.post(f"/requests/{ident}", {"csrf": page.csrf(), "verdict": "approve", "reason": ""}).status, 403)
            for bad in ("opaque", self.stack.token("dba"), self.realm.mint("es256-1", "--claim", "aud=page", principal="dba@shop.example", groups=["dbas"]),
                        self.realm.mint("es256-1", "--claim", 'cnf={"x5t#S256":"' + "A" * 43 + '"}', principal="dba@shop.example", groups=["dbas"])):
                self.realm.access_token = lambda q: bad
                b = self.browser()
                self.refused(b.sign_in(self.realm, "dba@shop.example"), b)
            self.realm.access_token = access
            b = self.browser()
            self.realm.id_claims["nonce"] = "A" * 43  # the ID token still has to be the one of this sign-in
            self.refused(b.sign_in(self.realm, "dba@shop.example"), b)
            del self.realm.id_claims["nonce"]
            self.assertEqual(self.decide(self.signed_in(), ident, "approve").status, 303)
        finally:
            self.realm.id_claims, self.realm.access_token = {}, lambda q: "opaque"
            self.reconfigure(f"client_id: {pagegate.CLIENT}\n    {more}", f"client_id: {pagegate.CLIENT}")

    def test_restart(self):
        """Nothing of a session is kept: after an upgrade people sign in again."""
        b = self.signed_in()
        self.upgrade()
        stack.wait_until("the new daemon's page", lambda: b.get("/").status == 200)
        self.assertIn("Sign in", b.get("/").text)
        b = self.signed_in()
        ident = self.ask("INSERT INTO scratch.t VALUES (8, 'after an upgrade')")
        self.assertEqual(self.decide(b, ident, "approve").status, 303)

    # --- the API for machines ---

    def api(self, method, path, who=None, body=None, token=None, **fields):
        head = {"Content-Type": "application/json"}
        if who or token:
            head["Authorization"] = "Bearer " + (token or self.stack.token(who))
        b = self.browser()
        answer = b.request(method, "/api" + path, None if body is None else json.dumps(body).encode(), dict(head, **fields))
        return answer.status, json.loads(answer.text)

    def test_api(self):
        sql = "INSERT INTO scratch.t VALUES (9, 'api')"
        ident, theirs = self.ask(sql), self.ask("DELETE FROM scratch.t WHERE n = 9")
        status, page = self.api("GET", "/approvals?limit=1000", "dba")
        self.assertEqual(status, 200)
        ids = [r["id"] for r in page["approvals"]]
        self.assertIn(ident, ids)
        self.assertNotIn(theirs, ids)
        self.assertEqual(self.api("GET", f"/approvals/{ident}", "dba")[1]["sql_exact"], sql)
        self.assertEqual(self.api("GET", f"/approvals/{theirs}", "dba")[0], 404)
        self.assertEqual(self.api("GET", f"/approvals/{ident}", "analyst")[0], 404)
        yes = {"verdict": "approve"}
        self.assertEqual(self.api("POST", f"/approvals/{ident}", "analyst", yes)[0], 403)
        self.assertEqual(self.api("POST", f"/approvals/{ident}", "asker", yes)[0], 403)
        self.assertEqual(self.api("POST", f"/approvals/{ident}", "dba", {"verdict": "deny"})[0], 400)
        self.assertEqual(self.api("POST", f"/approvals/{ident}", "dba", {"verdict": "approve", "more": 1})[0], 400)
        self.assertEqual(self.state(ident), "pending")
        b = self.signed_in()  # a browser that is signed in is nobody here
        cookie = "; ".join(f"{k}={v}" for k, v in b.cookies.items())
        self.assertEqual(self.api("POST", f"/approvals/{ident}", None, yes, Cookie=cookie)[0], 401)
        bound = self.stack.mint("dba@shop.example", ["dbas"], "--claim", 'cnf={"x5t#S256":"' + "A" * 43 + '"}')
        self.assertEqual(self.api("POST", f"/approvals/{ident}", None, yes, token=bound)[0], 401)
        self.assertEqual(self.api("POST", f"/approvals/{ident}", None, yes, token=self.idp.issued[-1])[0], 401)  # an ID token is for the page alone
        for bad in ("x", "a.b.c", self.stack.token("dba")[:-4] + "AAAA"):
            self.assertEqual(self.api("GET", "/approvals", None, token=bad)[0], 401)
        self.assertEqual(self.api("GET", "/approvals", None, token="forged.source.", **{"X-Gatehouse-Source": "192.0.2.9"})[0], 401)
        said = stack.wait_until("the record", lambda: [e for e in self.stack.stream("gatehouse:auth") if e.get("api") == "page" and e["type"] == "login.refused"])
        self.assertEqual({e["src"] for e in said}, {"127.0.0.1"})  # as HAProxy says, and nobody else
        for path in ("/sessions", "/status", "/approvals/../status", f"/approvals/{ident}/x"):
            self.assertEqual(self.api("GET", path, "dba")[0], 404, path)
        status, answer = self.api("POST", f"/approvals/{ident}", "dba", {"verdict": "approve", "reason": "machines agree"})
        self.assertEqual((status, answer["request"]["status"]), (200, "approved"))
        self.assertEqual(self.run_sql(sql), 1)
        self.assertEqual(self.api("POST", f"/approvals/{ident}", "dba", yes)[0], 409)

    def remote(self, *args, who="dba", want=0, url=None, ca=None):
        """gatehousectl, from another machine: it has no socket."""
        env = {"PATH": os.environ["PATH"], "GATEHOUSE_ADMIN": "/nowhere", "GATEHOUSE_URL": url or self.gate.url, "GATEHOUSE_CA": ca or self.gate.ca}
        args = [*args, "--token-file", "-"] if who else args
        done = subprocess.run([os.path.join(os.environ["GH_BUILD"], "gatehousectl"), *args], env=env, input=self.stack.token(who) if who else "",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, want, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_gatehousectl_by_url(self):
        ok, failed, usage, refused, unknown, over = range(6)
        sql = "INSERT INTO scratch.t VALUES (16, 'remote')"
        ident, theirs = self.ask(sql), self.ask("DELETE FROM scratch.t WHERE n = 16")
        listed = [r["id"] for r in json.loads(self.remote("approvals", "--json"))]
        self.assertIn(ident, listed)
        self.assertNotIn(theirs, listed)
        self.assertIn("VALUES (16, 'remote')", self.remote("approvals", "show", ident))
        self.remote("approvals", "show", theirs, want=unknown)
        self.remote("approvals", who=None, want=usage)
        self.assertIn("somebody else must decide", self.remote("approve", ident, who="asker", want=refused))
        self.remote("approve", ident, who="analyst", want=refused)
        self.assertIn("approved", self.remote("approve", ident, "--reason", "from afar"))
        self.assertEqual(self.run_sql(sql), 1)
        self.remote("deny", ident, "--reason", "late", want=over)
        self.assertIn("certificate", self.remote("approvals", want=failed, ca=self.idp.dir + "/ca.pem"))
        self.assertIn("--ca-file", self.remote("approvals", want=failed, url="https://127.0.0.1:1"))
        for url in ("http://" + self.gate.host, self.gate.url + "/x", "https://", "localhost"):
            self.remote("approvals", want=usage, url=url)
        self.remote("sessions", "--url", self.gate.url, want=usage)

    def test_bad_tokens_are_counted(self):
        self.reconfigure("login_failures: 1000000, login_failures_per_name: 1000000", "login_failures: 5, login_failures_per_name: 5")
        try:
            statuses = [self.api("GET", "/approvals", None, token="a.b.c")[0] for _ in range(12)]
            self.assertEqual(statuses[:5], [401] * 5)
            self.assertEqual(statuses[-3:], [429] * 3)
        finally:
            self.reconfigure("login_failures: 5, login_failures_per_name: 5", "login_failures: 1000000, login_failures_per_name: 1000000")
        stack.wait_until("it is forgiven", lambda: self.api("GET", "/approvals", "dba")[0] == 200)

    def test_rubbish(self):
        b = self.signed_in()
        for path in ("/requests/", "/requests/x", "/requests/" + "0" * 17, "/requests/0123456789ABCDEF", "/%2e%2e/x", "//", "/api", "/api/"):
            self.assertIn(b.get(path).status, (401, 404), path)
        for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
            self.assertIn(b.request(method, "/").status, (400, 405), method)
        self.assertEqual(b.post("/", {"x": "y"}).status, 404)
        self.assertEqual(b.post("/login", {"x": "y"}).status, 404)
        self.assertIn(b.get("/login", headers={"Cookie": "x" * 30000}).status, (303, 400, 431))
        self.assertEqual(b.get("/").status, 200)


if __name__ == "__main__":
    unittest.main()
