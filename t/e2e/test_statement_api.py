"""The statement API: SQL in HTTP requests through a real HAProxy, judged and recorded before a real application runs it on PostgreSQL; what
cannot be read in one way only, and every failure of the agent, leaves the application without a byte."""
import gzip
import json
import re
import signal
import subprocess
import threading
import time
import unittest

import psycopg
import pymysql

import haproxy
import httpgate
import spop
import stack

COUNT = "SELECT count(*) FROM orders"


def call(tool, arguments, ident=1, **params):
    return {"jsonrpc": "2.0", "id": ident, "method": "tools/call", "params": {"name": tool, "arguments": arguments, **params}}


class Live(unittest.TestCase):
    """The whole stack."""

    @classmethod
    def setUpClass(cls):
        cls.s = httpgate.up("catalog: { refresh: 1s }\n", mysql=True)
        cls.addClassCleanup(cls.s.close)
        cls.app_my = httpgate.Application(cls.s, mysql=True)
        cls.addClassCleanup(cls.app_my.close)
        cls.gate_my = httpgate.Gate(cls.app_my.server_port, cls.app_my.server_port, cls.s.dir + "/jail", edit=httpgate.EDIT_MY)
        cls.gate_my.start()
        cls.addClassCleanup(cls.gate_my.stop)
        cls.app = httpgate.Application(cls.s)
        cls.addClassCleanup(cls.app.close)
        notes = ("str(assistants) if { path -m str /mcp }", "str(assistants) if { path -m str /mcp }\n    http-request set-var(txn.gh_api) str(notes) if { path -m str /notes }")
        cls.gate = httpgate.Gate(cls.app.server_port, cls.app.server_port, cls.s.dir + "/jail", edit=[
            notes, ("/query /mcp /verdict", "/query /mcp /verdict /notes"), ("-m str reports }\n", "-m str reports notes }\n")])
        cls.gate.start()
        cls.addClassCleanup(cls.gate.stop)

    def post(self, path, body, who="agent", **more):
        return self.gate.post(path, body, self.s.token(who) if who else None, **more)

    def nothing_ran(self, *args, **more):
        """post() that must not reach the application with a byte."""
        before = self.app.bytes
        answer = self.post(*args, **more)
        self.assertEqual(self.app.bytes, before, answer)
        return answer

    # --- the SQL endpoint ---

    def test_allowed_and_recorded_before(self):
        marker = f"/* {time.monotonic_ns()} */ " + COUNT
        status, body, _ = self.post("/query", {"sql": marker, "format": "csv", "options": {"timeout": 3}})
        self.assertEqual((status, body), (200, {"rows": [["10000"]]}))
        self.assertEqual(self.app.ran[-1], (marker, "agent@shop.example", [("statement", "allow", marker)]))
        entry = next(e for e in self.s.audit() if e.get("sql") == marker)
        self.assertEqual((entry["kind"], entry["rule"], entry["listener"], json.loads(entry["arguments"])),
                         ("query", "agents-read-orders", "gh_http", {"format": "csv", "options.timeout": 3}))
        self.assertTrue(entry["request"] and entry["src"] == "127.0.0.1")
        opened = httpgate.events(self.s, entry["session"])[0]
        self.assertEqual((opened["type"], opened["api"], opened["principal"]), ("session.open", "reports", "agent@shop.example"))

    def test_denied(self):
        status, body, _ = self.nothing_ran("/query", {"sql": "SELECT * FROM staff"})
        self.assertEqual((status, body["sqlstate"], body["rule"]), (403, "42501", "agents-never-see-staff"))
        self.assertIn("Salaries", body["message"])
        self.assertIn("human resources", body["hint"])
        # a refusal does not wait for its record
        entry = stack.wait_until("its record", lambda: [e for e in httpgate.events(self.s, body["session"]) if e.get("id") == str(body["id"])])
        self.assertEqual([(e["verdict"], e["sql"]) for e in entry], [("deny", "SELECT * FROM staff")])

    def test_blocked(self):
        ctl = self.s.env["GH_CTL"]
        self.addCleanup(subprocess.run, [ctl, "unblock", "principal", "Analyst@shop.example"], stdout=subprocess.DEVNULL)
        self.assertEqual(self.post("/query", {"sql": "SELECT 1"}, who="analyst")[0], 200)
        subprocess.run([ctl, "block", "principal", "Analyst@shop.example", "--reason", "too curious"], check=True, stdout=subprocess.DEVNULL)
        status, body, _ = self.nothing_ran("/query", {"sql": "SELECT 1"}, who="analyst")
        self.assertEqual((status, body["sqlstate"]), (403, "28000"), body)
        self.assertIn("this principal is blocked: too curious", body["message"])
        self.assertEqual(self.post("/query", {"sql": COUNT})[0], 200)

    def test_several_statements_are_judged_whole(self):
        self.assertEqual(self.nothing_ran("/query", {"sql": COUNT + "; DELETE FROM orders"})[0], 403)
        self.assertEqual(self.nothing_ran("/query", {"sql": "SELEC 1"})[1]["sqlstate"], "42601")

    def test_bad_tokens_get_one_answer(self):
        agent = self.s.token("agent")
        bad = {None: None, "garbage": "x.y.z", "tampered": agent[:-6] + "AAAAAA", "other audience": self.s.mint("a@b", ["dbas"], audience="other"),
               "expired": self.s.mint("a@b", ["dbas"], "--ttl", "1s")}
        time.sleep(2.1)
        answers = set()
        for token in bad.values():
            before = self.app.bytes
            status, body, headers = self.gate.post("/query", {"sql": COUNT}, token)
            answers.add((status, json.dumps(body, sort_keys=True), headers["WWW-Authenticate"]))
            self.assertEqual(self.app.bytes, before)
        self.assertEqual(len(answers), 1, answers)
        self.assertEqual(next(iter(answers))[0], 401)
        stack.wait_until("a record of each true reason", lambda: len({e["reason"] for e in self.s.stream("gatehouse:auth") if e.get("api") == "reports"}) >= 4)

    def test_no_rule_at_all(self):
        before = self.app.bytes
        status, body, _ = self.gate.post("/query", {"sql": "SELECT 1"}, self.s.mint("who@shop.example", ["nobody"]))
        self.assertEqual((status, body["sqlstate"], self.app.bytes), (403, "28000", before))

    def test_what_outlives_a_request(self):
        self.s.scratch("CREATE TABLE t(a int)")
        for sql in ("PREPARE p AS SELECT 1", "EXECUTE p", "EXPLAIN EXECUTE p", "CREATE TABLE scratch.u AS EXECUTE p", "DEALLOCATE ALL", "DISCARD ALL",
                    "DECLARE c CURSOR FOR SELECT 1", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "FETCH c", "MOVE c", "CLOSE ALL",
                    "UPDATE scratch.t SET a = 1 WHERE CURRENT OF c", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "PREPARE TRANSACTION 'x'",
                    "SET CONSTRAINTS ALL DEFERRED", "SET TRANSACTION READ WRITE", "SET extra_float_digits = 1", "SET LOCAL extra_float_digits = 1",
                    "RESET ALL", "SET search_path = public", "SELECT set_config('extra_float_digits', '1', false)", "LISTEN x", "UNLISTEN *",
                    "CREATE TEMP TABLE orders(a int)", "CREATE TABLE pg_temp.orders(a int)", "SELECT 1 AS a INTO TEMP orders",
                    "CREATE TEMP VIEW orders AS SELECT 1", "CREATE TEMP SEQUENCE q", "SELECT * FROM pg_temp.orders", "SELECT pg_temp.f()",
                    "COPY scratch.t FROM STDIN", "SELECT 1; SET extra_float_digits = 1", "SELECT set_config('search_' || 'path', 'x', false)",
                    "ALTER ROLE shop_owner SET search_path = x", "SELECT pg_advisory_lock(1)", "SELECT * FROM pg_prepared_statements",
                    "DO $$ BEGIN PERFORM set_config('search_path', 'x', false); END $$", "LOAD 'auto_explain'"):
            with self.subTest(sql):
                status, body, _ = self.nothing_ran("/query", {"sql": sql}, who="dba")
                self.assertEqual((status, body["sqlstate"]), (403, "0A000"), body)
        self.assertEqual(self.post("/query", {"sql": "SHOW search_path"}, who="dba")[0], 200)
        self.assertEqual(self.post("/query", {"sql": "NOTIFY x"}, who="dba")[0], 200)

    def test_a_shared_connection_stays_as_it_was(self):
        """What an identity with few rights could do to the requests of others, or learn of them."""
        self.s.scratch("CREATE SEQUENCE scratch.q")
        self.assertEqual(self.post("/query", {"sql": "SELECT nextval('scratch.q')"}, who="dba")[0], 200)
        # psycopg 3 leaves the connection in the middle of a COPY that it does not expect: nobody's statements would run any more
        for sql in ("COPY orders TO STDOUT", "COPY (SELECT 1) TO STDOUT", "SELECT lastval()", "SELECT currval($1)", "SELECT currval('scratch' || '.q')",
                    "SELECT setseed(0.5)", "SELECT pg_advisory_unlock_all()"):
            with self.subTest(sql):
                status, body, _ = self.nothing_ran("/query", {"sql": sql})
                self.assertEqual((status, body["sqlstate"]), (403, "0A000"), body)
        self.assertEqual(self.post("/query", {"sql": COUNT})[0], 200)

    def test_json_that_readers_differ_about(self):
        sql = json.dumps(COUNT)
        bodies = [
            '{"sql": %s, "sql": "DROP TABLE orders"}', '{"sql": %s, "\\u0073ql": "DROP TABLE orders"}', '{"sql": %s, "SQL": "DROP TABLE orders"}',
            '{"sql": %s, "\\u017fql": "x"}', '{"sql": %s, "query": "DROP TABLE orders"}', '{"sql": %s, "options": {"timeout": 1, "sql": "x"}}',
            '{"sql": %s, "options.timeout": 1}', '[{"sql": %s}]', '{"sql": [%s]}', '{"sql": %s}{"sql": "x"}', '{"sql": %s} x', '\ufeff{"sql": %s}',
            '{"sql": %s,}', "{'sql': %s}", '{"sql": %s, "format": NaN}', '{"sql": %s /* x */}', '{"sql": "SELECT 1\\u0000"}', '{"sql": "\\ud800"}',
            '{"sql": null}', '{"sql": ""}', '{}', '', '{"sql": %s', 'null', '{"options": {"timeout": 1}}', '{"sql": 1}',
        ]
        for body in bodies:
            with self.subTest(body):
                self.assertIn(self.nothing_ran("/query", body.replace("%s", sql).encode())[0], (400, 403))
        for body in (b'{"sql": "\xff"}', b'{"sql": "\xc0\x80"}', '{"sql": "SELECT 1"}'.encode("utf-16"), '{"sql": "SELECT 1"}'.encode("utf-16-le"),
                     '{"sql": "SELECT 1"}'.encode("utf-32"), b'{"sql": "SELECT 1"}\0'):
            self.assertEqual(self.nothing_ran("/query", body)[0], 400)

    def test_content_types(self):
        body = json.dumps({"sql": COUNT}).encode()
        for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\"", "application/json ;  charset=utf-8 "):
            self.assertEqual(self.post("/query", body, headers={"Content-Type": kind})[0], 200, kind)
        for kind in ("text/plain", "application/json; charset=utf-16", "application/json; charset=utf-8; boundary=x", "application/x-www-form-urlencoded",
                     "multipart/form-data; boundary=x", "application/jsonp", "application/json, text/plain", "application/json; charset=utf-8;"):
            self.assertEqual(self.nothing_ran("/query", body, headers={"Content-Type": kind})[0], 400, kind)
        # a text without charset is read by somebody as ISO-8859-1
        plain = {"Content-Type": "text/plain"}
        self.assertEqual(self.post("/notes", COUNT.encode(), headers=plain)[0], 200)
        self.assertEqual(self.nothing_ran("/notes", "SELECT 'é'".encode(), headers=plain)[0], 400)
        self.assertEqual(self.post("/notes", "SELECT 'é'".encode(), headers={"Content-Type": "text/plain; charset=utf-8"})[0], 200)
        self.assertEqual(self.nothing_ran("/notes", b"SELECT '\xe9'", headers={"Content-Type": "text/plain; charset=utf-8"})[0], 400)

    # --- requests of an unsound shape, as bytes ---

    def request(self, body, *head, path="/query", method="POST", length=True, host=True):
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Authorization: Bearer " + self.s.token("agent"), "Content-Type: application/json"]
        lines += [f"Content-Length: {len(body)}"] * length + list(head)
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def refused(self, data, *statuses, **how):
        before = self.app.bytes
        status = self.gate.status(data, **how)
        self.assertIn(status, statuses)
        self.assertEqual(self.app.bytes, before)

    def test_shapes(self):
        body = json.dumps({"sql": COUNT}).encode()
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        # None: closed without a word, as HAProxy 3.2 does with lengths that it cannot read
        self.assertEqual(self.gate.status(self.request(body)), 200)
        self.assertEqual(self.gate.status(self.request(body), pieces=20, pause=0.05), 200)
        self.refused(self.request(chunked, "Transfer-Encoding: chunked", length=False), 400, 411)
        self.refused(self.request(chunked, "Transfer-Encoding: chunked"), 400)
        self.refused(self.request(chunked, "Transfer-Encoding: gzip, chunked", length=False), 400, 411, 422, None)
        self.refused(self.request(body, length=False), 400, 411)
        self.refused(self.request(body, f"Content-Length: {len(body) + 1}"), 400, None)
        self.refused(self.request(body, "Content-Length: 3, %d" % len(body), length=False), 400, None)
        self.refused(self.request(body, "Content-Length: +%d" % len(body), length=False), 400, None)
        self.refused(self.request(body, "Content-Length: 0%o" % len(body), length=False), 411, 413, None)  # octal to some
        self.refused(self.request(body, "Content-Length: 00%d" % len(body), length=False), 411, None)
        self.refused(self.request(gzip.compress(body), "Content-Encoding: gzip"), 400)
        self.refused(self.request(body, "Content-Encoding: identity"), 400)
        self.refused(self.request(body, "Content-Type: text/plain"), 400)
        self.refused(self.request(body, "Authorization: Bearer x"), 400)
        for upgrade in (["Connection: upgrade", "Upgrade: websocket"], ["Connection: upgrade, http2-settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]):
            # HAProxy 2.6 drops the header of a request that has a body
            self.assertIn(self.gate.status(self.request(body, *upgrade)), (200, 400))
            self.assertNotIn("upgrade", self.app.head)
        self.refused(self.request(b"", method="GET", length=False), 405)
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "post", "QUERY"):
            self.refused(self.request(body, method=method), 405)
        self.refused(self.request(body, path="/query?sql=DROP"), 400)
        self.refused(self.request(body, path="/query?"), 400)
        for path in ("/query/", "//query", "/./query", "/query;x", "/%71uery", "/QUERY", "/query#x", "/"):
            self.refused(self.request(body, path=path), 404, 400)
        self.assertEqual(self.gate.status(self.request(body, path="http://localhost/query")), 200)
        self.assertEqual(self.app.target, "/query")
        for path in ("http://localhost/x/query", "http://localhost//query", "http://localhost/mcp@/query", "http://localhost/query?x", "http://other/query", "*", "query"):
            self.refused(self.request(body, path=path), 404, 400)
        self.refused(self.request(b" " * 10001), 413)
        self.refused(self.request(b" " * 3000000), 413, None)
        self.assertEqual(self.gate.status(self.request(body[:-1] + b" " * 9000 + b"}")), 200)

    def test_bytes_behind_the_body_are_another_request(self):
        body = json.dumps({"sql": COUNT}).encode()
        before = len(self.app.ran)
        answer = self.gate.raw(self.request(body) + self.request(json.dumps({"sql": "DELETE FROM orders"}).encode()) + self.request(body), answers=3)
        self.assertEqual(re.findall(rb"HTTP/1\.1 (\d+)", answer), [b"200", b"403", b"200"])
        self.assertEqual(len(self.app.ran), before + 2)

    def test_a_body_that_never_ends(self):
        body = json.dumps({"sql": COUNT}).encode()
        before = self.app.bytes
        with self.gate.socket() as s:
            s.sendall(self.request(body + b" " * 50)[:-50])
            self.assertIn(s.recv(12), (b"HTTP/1.1 408", b"HTTP/1.1 413"))
        self.assertEqual(self.app.bytes, before)

    def test_expect_continue(self):
        body = json.dumps({"sql": COUNT}).encode()
        self.assertIn(b"HTTP/1.1 200", self.gate.raw(self.request(body, "Expect: 100-continue")))

    def test_headers_for_the_application(self):
        """Only those that are listed: no other may stand for the path, the method or the body, or take ours away further on."""
        self.post("/query", {"sql": COUNT}, headers={
            "X-Gatehouse-Principal": "dba@shop.example", "X_Gatehouse_Principal": "dba@shop.example", "x-gatehouse-Id": "1",
            "X-HTTP-Method-Override": "PUT", "X-Method-Override": "PUT", "x_http_method_override": "PUT", "Content-Profile": "other", "Accept_Profile": "x",
            "Connection": "keep-alive, X-Gatehouse-Principal, Content-Type, Content-Length", "Keep-Alive": "1", "Proxy-Connection": "x", "TE": "trailers", "Trailer": "x",
            "X-Original-URL": "/mcp", "X-Rewrite-URL": "/mcp", "X-Original-Method": "PUT", "X-Forwarded-For": "10.0.0.1", "X-Forwarded-User": "dba", "Forwarded": "for=x",
            "Transfer_Encoding": "chunked", "Content_Length": "3", "Content_Type": "text/plain", "Cookie": "a=b", "Prefer": "params=single-object", "Range": "bytes=1-",
            "Proxy-Authorization": "Basic x", "X-Accept": "x", "Accept-": "x", "Mcp-Session-Id": "1", "Accept": "application/json"})
        self.assertEqual(self.app.head["x-gatehouse-principal"], "agent@shop.example")
        self.assertEqual(self.app.target, "/query")
        self.assertEqual(set(self.app.head), {"host", "accept", "accept-encoding", "content-length", "content-type", "mcp-session-id", "x-gatehouse-principal",
                                              "x-gatehouse-session", "x-gatehouse-id"})

    def test_names_cannot_make_headers(self):
        status, body, headers = self.nothing_ran("/query", {"sql": 'SELECT * FROM "a\r\nX-Evil: 1\r\n\r\n\U0001f600é"'})
        self.assertEqual((status, body["sqlstate"]), (403, "42501"))
        self.assertIn("\r\nX-Evil: 1", body["message"])
        self.assertIn("\U0001f600é", body["message"])
        self.assertNotIn("X-Evil", headers)

    def test_http2(self):
        def curl(sql, *more, data="--data-binary"):
            done = subprocess.run(["curl", "--silent", "--show-error", "--http2", "--cacert", self.gate.dir + "/ca.pem", "-H", "Authorization: Bearer " + self.s.token("agent"),
                                   "-H", "Content-Type: application/json", "--write-out", "\n%{http_version} %{http_code}", data,
                                   json.dumps({"sql": sql}) if data != "-T" else "-", *more, f"https://localhost:{self.gate.port}/query"], input=json.dumps({"sql": sql}),
                                  capture_output=True, text=True, timeout=60)
            return done.stdout.splitlines()[-1] + done.stderr
        self.assertEqual(curl(COUNT), "2 200")
        before = self.app.bytes
        self.assertEqual(curl("SELECT * FROM staff"), "2 403")
        for status, answer in (("411", curl(COUNT, "-X", "POST", data="-T")), ("405", curl(COUNT, "-X", "GET")),
                               ("413", curl("SELECT 1 -- " + "x" * 20000))):
            # when the refusal overtakes the body, curl may say that the stream was cancelled
            self.assertTrue(answer == "2 " + status or answer.startswith("0 000curl: (92)"), answer)
        self.assertEqual(self.app.bytes, before)

    # --- MCP ---

    def test_mcp(self):
        status, body, _ = self.post("/mcp", {"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {}}})
        self.assertEqual((status, body["id"], body["result"]["serverInfo"]["name"]), (200, "a", "shop"))
        self.assertEqual(self.post("/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"})[0], 202)
        self.assertEqual(self.post("/mcp", {"jsonrpc": "2.0", "id": 2, "method": "tools/list"})[1]["result"]["tools"][0]["name"], "execute_sql")
        status, body, _ = self.post("/mcp", call("execute_sql", {"sql": COUNT, "limit": 5}, 7, _meta={"progressToken": 1}))
        self.assertEqual((status, body["id"], json.loads(body["result"]["content"][0]["text"])), (200, 7, [["10000"]]))
        self.assertEqual(self.app.ran[-1][2], [("statement", "allow", COUNT)])
        self.assertEqual(self.post("/mcp", call("list_tables", {"whatever": [1]}))[0], 200)
        passed = [e for e in self.s.audit() if e["type"] == "call" and e["verdict"] == "allow"]
        self.assertLessEqual({"initialize", "tools/list", "notifications/initialized", "tools/call"}, {e["method"] for e in passed})

    def test_mcp_refusals(self):
        status, body, _ = self.nothing_ran("/mcp", call("execute_sql", {"sql": "SELECT name FROM staff"}, "x\"\r\n\u00e9"))
        self.assertEqual((status, body["id"], body["result"]["isError"]), (200, "x\"\r\n\u00e9", True))
        text = body["result"]["content"][0]["text"]
        for part in ("ERROR 42501", "HINT: Ask a human", "RULE: agents-never-see-staff"):
            self.assertIn(part, text)
        for message in (call("other_tool", {"sql": COUNT}), call("Execute_SQL", {"sql": COUNT}), call("execute_sql", {"sql": COUNT, "search_path": "x"}),
                        call("execute_sql", {"sql": COUNT, "params": [1]}), call("execute_sql", {"sql": COUNT, "Limit": 1}), call("execute_sql", [COUNT]),
                        call("execute_sql", {"limit": 1}), call("execute_sql", {"sql": COUNT}, task={})):
            status, body, _ = self.nothing_ran("/mcp", message)
            self.assertEqual((status, body["id"], body["result"]["isError"]), (200, 1, True), message)
        for method in ("resources/read", "prompts/get", "completion/complete", "sampling/createMessage", "Tools/call", "tools/call "):
            status, body, _ = self.nothing_ran("/mcp", {"jsonrpc": "2.0", "id": 3, "method": method, "params": {}})
            self.assertEqual((status, body["id"], body["error"]["code"]), (200, 3, -32601))
        good = call("execute_sql", {"sql": COUNT})
        for message in ([good], dict(good, id=None), dict(good, id=1.5), dict(good, id="x" * 200), dict(good, jsonrpc="1.0"), dict(good, METHOD="ping"),
                        dict(good, extra=1), {"jsonrpc": "2.0", "id": 1, "result": {}}, {k: v for k, v in good.items() if k != "id"}):
            status, body, _ = self.nothing_ran("/mcp", message)
            self.assertIn(status, (200, 400, 403), message)
            self.assertTrue("error" in body or body["result"]["isError"], body)
        self.assertEqual(self.nothing_ran("/mcp", good, who=None)[0], 401)
        self.refused(self.request(b"", "Accept: text/event-stream", path="/mcp", method="GET", length=False), 405)
        self.refused(self.request(b"", path="/mcp", method="DELETE", length=False), 405)

    def test_mcp_headers(self):
        """Since 2026 MCP repeats method and name in headers; a server may go by them."""
        good, ping = call("execute_sql", {"sql": COUNT}), {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        listing = call("list_tables", {})
        for message, head in ((good, {"Mcp-Method": "tools/call", "Mcp-Name": "execute_sql"}), (ping, {"Mcp-Method": "ping"}), (ping, {})):
            self.assertEqual(self.post("/mcp", message, headers=head)[0], 200)
        for message, head in ((ping, {"Mcp-Method": "tools/call"}), (ping, {"Mcp-Name": "execute_sql"}), (listing, {"Mcp-Name": "execute_sql"}),
                              (good, {"Mcp-Name": "Execute_SQL"}), (good, {"Mcp-Method": ""}), (good, {"Mcp-Name": "=?base64?ZXhlY3V0ZV9zcWw=?="}),
                              (good, {"Mcp-Param-Sql": "DROP TABLE orders"}), (good, {"mcp_param_sql": "x"})):
            with self.subTest(head):
                status, body, _ = self.nothing_ran("/mcp", message, headers=head)
                self.assertTrue(status == 400 or "error" in body or body["result"]["isError"], body)
        self.post("/mcp", good, headers={"Mcp_Name": "other"})
        self.assertNotIn("mcp_name", self.app.head)
        twice = self.request(json.dumps(ping).encode(), "Mcp-Method: ping", "Mcp-Method: tools/call", path="/mcp")
        self.refused(twice, 400)

    # --- the verdict endpoint ---

    def test_verdict_endpoint(self):
        plain = {"Content-Type": "text/plain"}
        sql = "SELECT 'é\U0001f600\n\"\\' FROM orders"
        status, body, _ = self.nothing_ran("/verdict", sql.encode(), headers=plain)
        self.assertEqual((status, body["verdict"], body["sql"], body["rewritten"], body["rule"]), (200, "allow", sql, False, "agents-read-orders"))
        entry = next(e for e in httpgate.events(self.s, body["session"]) if e.get("id") == str(body["id"]))
        self.assertEqual((entry["verdict"], entry["sql"]), ("allow", sql))
        status, body, _ = self.nothing_ran("/verdict", b"DELETE FROM orders", headers=plain)
        self.assertEqual((status, body["verdict"], body["sqlstate"]), (403, "deny", "42501"))
        # an answer that would not fit into HAProxy's buffer
        status, body, _ = self.nothing_ran("/verdict", b"SELECT 1 " + b"\n" * 9000, headers=plain)
        self.assertEqual((status, body["verdict"], body["sqlstate"]), (413, "deny", "54000"))

    def test_rewritten(self):
        """To whom masks apply, /verdict says what to run; where HAProxy forwards the body, it is refused."""
        plain = {"Content-Type": "text/plain"}
        self.s._minted["masked"] = self.s.mint("masked@shop.example", ["masked"])

        def ask(sql):
            return self.nothing_ran("/verdict", sql, who="masked", headers=plain)
        stack.wait_until("the catalog", lambda: ask(b"SELECT id FROM customers")[0] == 200)
        status, body, _ = ask(b"SELECT id, email FROM customers WHERE id < 3")
        self.assertEqual((status, body["verdict"], body["rewritten"]), (200, "allow", True))
        got = self.s.direct(body["sql"])
        self.assertEqual(len(got), 2)
        self.assertNotIn("c4n4ry", repr(got))
        entry = next(e for e in httpgate.events(self.s, body["session"]) if e.get("id") == str(body["id"]))
        self.assertEqual((entry["sql"], entry["rewritten"]), ("SELECT id, email FROM customers WHERE id < 3", body["sql"]))
        for sql, state in ((b"SELECT card_number FROM customers", "42501"), (b"EXPLAIN SELECT * FROM customers", "42501"), (b"SELECT id FROM orders", "0A000")):
            status, body, _ = ask(sql)
            self.assertEqual((body["verdict"], body["sqlstate"]), ("deny", state), sql[:60])
        status, body, _ = self.nothing_ran("/query", {"sql": "SELECT id FROM customers"}, who="masked")
        self.assertEqual((status, body["sqlstate"]), (403, "42501"))
        # what is much is done by the pool, its rewriting too
        sql = "SELECT id, email FROM customers WHERE id IN (%s)" % ",".join(map(str, range(1, 600)))
        status, body, _ = ask(sql.encode())
        self.assertEqual((status, body["verdict"], body["rewritten"]), (200, "allow", True))
        got = self.s.direct(body["sql"])
        self.assertEqual(len(got), 599)
        self.assertNotIn("c4n4ry", repr(got))
        status, body, _ = ask(sql.replace("email", "card_number").encode())
        self.assertEqual((status, body["verdict"], body["sqlstate"]), (403, "deny", "42501"))

    def test_policies_change_while_the_pool_has_it(self):
        """Long texts of one principal, several at once, while the policy masks more and less: each answer is by the one or by the other, and runs masked."""
        self.s._minted["masked"] = self.s.mint("masked@shop.example", ["masked"])
        before = self.s.policy()
        self.assertIn("phone: { mask: null }", before)
        answers, stop = [], threading.Event()

        def ask(n):
            while not stop.is_set():
                sql = f"SELECT email, phone FROM customers WHERE id > {len(answers)} AND id IN (%s)" % ",".join(map(str, range(n, n + 500)))
                answers.append(self.post("/verdict", sql.encode(), who="masked", headers={"Content-Type": "text/plain"}))
        askers = [threading.Thread(target=ask, args=(n,)) for n in (1, 2, 3)]
        try:
            for t in askers:
                t.start()
            for n in range(10):
                self.s.put_policy(before.replace("phone: { mask: null }", "phone: hidden") if n % 2 == 0 else before)
                self.s.reload()
                seen = len(answers)
                stack.wait_until("more answers", lambda: len(answers) > seen + 3)
        finally:
            stop.set()
            for t in askers:
                t.join()
            self.s.put_policy(before)
            self.s.reload()
        verdicts = {(status, body.get("verdict")) for status, body, _ in answers if body.get("sqlstate") != "57P03"}  # which a busy machine's HAProxy says by itself
        self.assertEqual(verdicts, {(200, "allow"), (403, "deny")})
        for _, body, _ in answers:
            if body.get("verdict") != "allow":
                self.assertIn(body["sqlstate"], ("42501", "57P03"), body)
            else:
                self.assertTrue(body["rewritten"])
                rows = self.s.direct(body["sql"])
                self.assertNotIn("c4n4ry", repr(rows))
                self.assertLessEqual({r[1] for r in rows}, {None})

    def test_password_is_hidden(self):
        self.nothing_ran("/verdict", b"ALTER ROLE x PASSWORD 's3cret-api'", who="dba", headers={"Content-Type": "text/plain"})
        stack.wait_until("its record", lambda: [e for e in self.s.audit() if e.get("sql", "").startswith("ALTER ROLE x PASSWORD '***'")])
        self.assertNotIn("s3cret-api", json.dumps(self.s.audit()))

    # --- MySQL and MariaDB ---

    def my(self, sql, who="agent", path="/query", ran=None):
        """Status and body of SQL before MariaDB; ran: whether it must, or must not, reach the application."""
        before = self.app_my.bytes
        plain = path == "/verdict"
        status, body, _ = self.gate_my.post(path, sql.encode() if plain else {"sql": sql}, self.s.token(who),
                                            headers={"Content-Type": "text/plain; charset=utf-8"} if plain else {})
        if ran is not None:
            self.assertEqual(self.app_my.bytes > before, ran, body)
        return status, body

    def my_direct(self, sql):
        with pymysql.connect(host="127.0.0.1", port=int(self.s.env["GH_MY_PORT_DIRECT"]), user="root", password=self.s.env["GH_PASSWORD_SUPER"],
                             database="shop", autocommit=True, charset="utf8mb4") as c, c.cursor() as cur:
            cur.execute(sql)
            return cur.fetchall()

    def my_global(self, name, value):
        """A global variable of MariaDB, until the test is over and the gate knows that it is."""
        old = self.my_direct(f"SELECT @@GLOBAL.{name}")[0][0]

        def back():
            self.my_direct(f"SET GLOBAL {name} = '{old}'")
            stack.wait_until("the server is as it was", lambda: self.my("SELECT 'é' FROM orders LIMIT 1")[0] == 200)
        self.addCleanup(back)
        self.my_direct(f"SET GLOBAL {name} = '{value}'")

    def test_my_allowed_and_recorded_before(self):
        marker = f"/* {time.monotonic_ns()} */ " + COUNT
        self.assertEqual(self.my(marker, ran=True), (200, {"rows": [["10000"]]}))
        self.assertEqual(self.app_my.ran[-1], (marker, "agent@shop.example", [("statement", "allow", marker)]))
        entry = next(e for e in self.s.audit() if e.get("sql") == marker)
        self.assertEqual((entry["kind"], entry["rule"], entry["database"], entry["relations"]), ("query", "agents-read-orders-in-mysql", "shop_my", "shop.orders:select"))
        status, body = self.my("SELECT `name` FROM staff", ran=False)
        self.assertEqual((status, body["sqlstate"], body["rule"]), (403, "42501", "agents-never-see-staff-in-mysql"))
        status, body, _ = self.gate_my.post("/mcp", call("execute_sql", {"sql": COUNT}, 7), self.s.token("agent"))
        self.assertEqual((status, json.loads(body["result"]["content"][0]["text"])), (200, [["10000"]]))
        status, body, _ = self.gate_my.post("/mcp", call("execute_sql", {"sql": "SELECT * FROM staff"}, 8), self.s.token("agent"))
        self.assertIn("RULE: agents-never-see-staff-in-mysql", body["result"]["content"][0]["text"])

    def test_my_reads_as_the_server_does(self):
        """The application's connection takes several statements in one text, whatever else may hide in it."""
        hidden = ("SELECT 1 FROM orders; SELECT name FROM staff", "SELECT 1 FROM orders;SELECT 1", "SELECT 1 /*!50000 FROM staff */", "SELECT 1 /*!99999 */",
                  "SELECT 1 /*M! FROM staff */", "SELECT /*!name FROM staff -- */ 1", "SELECT '\\' UNION SELECT name FROM staff -- '", "SELECT 1 FROM orders WHERE status = \"\\\" UNION SELECT name FROM staff -- \"",
                  "SELECT 1 FROM orders -- \n UNION SELECT name FROM staff", "SELECT 1 FROM orders --1\n UNION SELECT name FROM staff", "SELECT 1 FROM orders # \n UNION SELECT name FROM staff",
                  "SELECT 1 FROM (SELECT name FROM `staff`) q", "SELECT 1 FROM shop.orders, mysql.global_priv", "TABLE staff", "SELECT 1 /*/ FROM staff /* */", "\\g", "SELECT 1; -- \n SELECT 1")
        for sql in hidden:
            with self.subTest(sql):
                status, body = self.my(sql)
                if status == 200:  # then it is a string or a comment to the server as well
                    self.assertNotIn("c4n4ry", json.dumps(body))
                else:
                    self.assertIn(body.get("sqlstate"), ("42501", "42601", "0A000"), body)
                    self.assertEqual(len([e for e in self.app_my.ran if e[0] == sql]), 0)
        self.assertEqual(self.my('SELECT "id" FROM orders LIMIT 1'), (200, {"rows": [["id"]]}))
        self.assertEqual(self.my("SELECT 'a\\'b', 'é😀' FROM orders LIMIT 1;"), (200, {"rows": [["a'b", "é😀"]]}))

    def test_my_what_outlives_a_request(self):
        state = "SELECT CONNECTION_ID(), DATABASE(), @@SESSION.sql_mode, @@SESSION.autocommit, @x, @@in_transaction"
        cursor = self.app_my.database.cursor()
        cursor.execute(state)
        before = cursor.fetchall()
        pinned = ("USE mysql", "SET sql_mode = 'ANSI_QUOTES'", "SET NAMES gbk", "SET STATEMENT sql_mode = 'ANSI_QUOTES' FOR SELECT \"a\"")  # by the verdict itself
        for sql in ("PREPARE p FROM 'SELECT * FROM customers'", "SET @x = 'SELECT 1'", "PREPARE p FROM @x", "EXECUTE p", "EXECUTE p USING @x", "EXECUTE IMMEDIATE @x",
                    "EXECUTE IMMEDIATE 'SELECT 1'", "DEALLOCATE PREPARE p", "SELECT @x := 1", "SELECT @x", "SELECT 1 INTO @x", "DO @x := 1", "SELECT id FROM orders WHERE @x IS NULL",
                    "USE mysql", "USE shop", "SET sql_mode = 'ANSI_QUOTES'", "SET NAMES gbk", "SET autocommit = 0", "SET STATEMENT sql_mode = 'ANSI_QUOTES' FOR SELECT \"a\"",
                    "SET ROLE NONE", "BEGIN", "START TRANSACTION", "COMMIT", "SAVEPOINT s", "XA START 'x'", "LOCK TABLES orders READ", "FLUSH TABLES WITH READ LOCK",
                    "CREATE TEMPORARY TABLE customers (email text)", "CREATE TEMPORARY TABLE staff SELECT 1 AS name", "HANDLER orders OPEN", "HANDLER orders READ FIRST",
                    "SELECT LAST_INSERT_ID()", "SELECT LAST_INSERT_ID(5)", "SELECT FOUND_ROWS()", "SELECT ROW_COUNT()", "SHOW WARNINGS", "SHOW COUNT(*) ERRORS", "SHOW STATUS",
                    "SELECT @@last_insert_id", "SELECT @@warning_count", "SELECT GET_LOCK('x', 1)", "SELECT RELEASE_ALL_LOCKS()", "SELECT LASTVAL(s)", "SHOW PROFILES", "KILL 1",
                    "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE orders", "BEGIN NOT ATOMIC SET @x = 1; END"):
            with self.subTest(sql):
                status, body = self.my(sql, who="dba", ran=False)
                self.assertEqual((status, body["sqlstate"]), (403, "42501" if sql in pinned else "0A000"), body)
        cursor.execute(state)
        self.assertEqual(cursor.fetchall(), before)
        for sql in ("SELECT @@version, @@sql_mode", "SHOW TABLES", "SHOW VARIABLES LIKE 'version'", "DO 1", "SELECT NOW() /* @x */"):
            self.assertEqual(self.my(sql, who="dba", ran=True)[0], 200, sql)

    def test_my_rewritten(self):
        """What /verdict says runs on the application's connection, and shows what a session would."""
        self.s._minted["masked"] = self.s.mint("masked@shop.example", ["masked"])
        sql = "SELECT c.email, phone, region FROM customers AS c WHERE id < 30 ORDER BY id"
        status, body = self.my(sql, "masked", "/verdict", False)
        self.assertEqual((status, body["verdict"], body["rewritten"]), (200, "allow", True), body)
        got = self.my_direct(body["sql"])
        self.assertTrue(got)
        self.assertNotIn("c4n4ry", repr(got))
        self.assertEqual({r[1:] for r in got}, {(None, "eu")})
        entry = next(e for e in httpgate.events(self.s, body["session"]) if e.get("id") == str(body["id"]))
        self.assertEqual((entry["sql"], entry["rewritten"]), (sql, body["sql"]))
        for sql, state in (("SELECT card_number FROM customers", "42501"), ("EXPLAIN SELECT * FROM customers", "42501"), ("CHECKSUM TABLE customers", "42501"),
                           ("UPDATE customers SET card_number = '1' WHERE id = 3", "0A000"), ("INSERT INTO customers (id) VALUES (3) ON DUPLICATE KEY UPDATE card_number = '1'", "0A000"),
                           ("REPLACE INTO customers VALUES (3, 'a', 'b', 'c', 'd', '2000-01-01', 'eu')", "0A000"), ("UPDATE customers SET name = 'x'", "0A000"),
                           ("SHOW INDEX FROM customers", "42501"), ("CREATE TEMPORARY TABLE customers SELECT 1", "42501")):
            with self.subTest(sql):
                status, body = self.my(sql, "masked", "/verdict", False)
                self.assertEqual((body["verdict"], body["sqlstate"]), ("deny", state), body)
        status, body = self.my("SELECT id FROM customers", "masked", ran=False)  # HAProxy cannot put another text into a body
        self.assertEqual((status, body["sqlstate"]), (403, "42501"))

    def test_my_approval(self):
        self.my_direct("CREATE OR REPLACE TABLE http_asked (n int)")
        self.s._minted["clerk"] = self.s.mint("clerk@shop.example", ["clerks"])
        sql = "INSERT INTO http_asked VALUES (1)"
        status, body = self.my(sql, "clerk", ran=False)
        self.assertEqual((status, body["verdict"]), (403, "ask"), body)
        ident = body["approval"]
        done = subprocess.run([self.s.env["GH_CTL"], "approve", ident, "--token-file", "-"], input=self.s.token("dba"), text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(self.my(sql + " ", "clerk", ran=False)[1]["approval"], ident)
        self.assertEqual(self.my(sql, "clerk", ran=True)[0], 200)
        self.assertEqual(self.my_direct("SELECT COUNT(*) FROM http_asked"), ((1,),))
        self.assertNotEqual(self.my(sql, "clerk", ran=False)[1]["approval"], ident)
        for more in ("INSERT INTO http_asked VALUES (@@version)", "INSERT INTO http_asked SELECT @@hostname"):
            status, body = self.my(more, "clerk", ran=False)
            self.assertEqual(body["verdict"], "deny", body)
            self.assertNotIn("approval", body)

    def test_my_sql_mode(self):
        """In ANSI_QUOTES "x" is a name. What a server has for new connections must be what the configuration says, or nothing is judged."""
        sql = 'SELECT "salary" FROM orders LIMIT 1'
        self.assertEqual(self.my(sql)[0], 200)
        self.my_global("sql_mode", "ANSI_QUOTES")
        stack.wait_until("it is seen", lambda: self.my(sql)[1].get("sqlstate") == "XX000")
        self.my(sql, ran=False)
        self.assertIn("event=api.server", self.s.log("gatehouse"))
        # as the configuration says: read so
        settings = "      password_file: shop.password\n"
        with open(self.s.env["GH_CONFIG"]) as f:
            text = f.read()
        place = text.index("  shop_my:")
        at = text.index(settings, place) + len(settings)

        def put(config):
            with open(self.s.env["GH_CONFIG"], "w") as f:
                f.write(config)
            self.s.reload()
        self.addCleanup(put, text)
        application = self.app_my.database.cursor()
        self.addCleanup(application.execute, "SET SESSION sql_mode = ''")
        application.execute("SET SESSION sql_mode = 'ANSI_QUOTES'")
        put(text[:at] + '    settings: { sql_mode: "ANSI_QUOTES" }\n' + text[at:])
        stack.wait_until("it is judged again", lambda: self.my('SELECT "id" FROM "orders" LIMIT 1')[0] == 200)
        status, body = self.my('SELECT "salary" FROM "staff"', ran=False)
        self.assertEqual((status, body["rule"]), (403, "agents-never-see-staff-in-mysql"), body)
        # another mode that changes no reading
        self.my_direct("SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_ZERO_DATE'")
        self.assertEqual(self.my('SELECT "id" FROM "orders" LIMIT 1')[0], 200)
        self.my_direct("SET GLOBAL sql_mode = ''")
        stack.wait_until("it is refused again", lambda: self.my("SELECT id FROM orders LIMIT 1")[1].get("sqlstate") == "XX000")

    def test_my_init_connect(self):
        self.assertEqual(self.my("SELECT id FROM orders LIMIT 1")[0], 200)
        self.my_global("init_connect", "SET sql_mode = ''PIPES_AS_CONCAT''")
        stack.wait_until("it is seen", lambda: self.my("SELECT id FROM orders LIMIT 1")[1].get("sqlstate") == "XX000")
        self.my("SELECT id FROM orders LIMIT 1", ran=False)

    def test_my_character_set(self):
        """A connection that is reset has the global one, and in latin1 the bytes of UTF-8 are other characters; in gbk some hide a quote."""
        self.my_global("character_set_client", "latin1")
        stack.wait_until("it is seen", lambda: self.my("SELECT 'é' FROM orders LIMIT 1")[0] == 403)
        status, body = self.my("SELECT 1 FROM orders WHERE status = 'é'", ran=False)
        self.assertEqual(body["sqlstate"], "42501")
        self.assertIn("character_set_client", body["message"])
        self.assertEqual(self.my(COUNT, ran=True)[0], 200)
        self.my_direct("SET GLOBAL character_set_client = 'gbk'")
        stack.wait_until("it is seen", lambda: self.my(COUNT)[1].get("sqlstate") == "XX000")
        self.my(COUNT, ran=False)

    def test_my_server_that_does_not_tell(self):
        gate = httpgate.Gate(self.app_my.server_port, self.app_my.server_port, self.s.dir + "/jail", edit=[("str(reports)", "str(gone_my)"), ("-m str reports }", "-m str gone_my }")])
        self.addCleanup(gate.stop)
        gate.start()
        before = self.app_my.bytes
        for _ in range(2):
            status, body, _ = gate.post("/query", COUNT.encode(), self.s.token("agent"), headers={"Content-Type": "text/plain"})
            self.assertEqual((status, body["sqlstate"], self.app_my.bytes), (503, "57P03", before), body)

    def test_my_longer_texts(self):
        """Through the parse pool."""
        gate = httpgate.Gate(self.app_my.server_port, self.app_my.server_port, self.s.dir + "/jail",
                             edit=[*httpgate.EDIT_MY, ("req.body_size le 10000", "req.body_size le 50000")], globals_="    tune.bufsize 65536\n")
        self.addCleanup(gate.stop)
        gate.start()
        for sql, status in (("SELECT count(*) FROM orders WHERE id IN (%s)", 200), ("SELECT count(*) FROM staff WHERE id IN (%s)", 403), ("SELECT 1 IN (%s) /*! */", 403)):
            text = sql % ",".join(map(str, range(10000, 17500)))
            self.assertEqual(gate.post("/query", {"sql": text}, self.s.token("agent"))[0], status)

    # --- the daemon's life ---

    def test_keep_alive_and_many_at_once(self):
        c = self.gate.connect()
        for i in range(6):
            sql, expected = (COUNT, 200) if i % 2 == 0 else ("SELECT * FROM staff", 403)
            self.assertEqual(self.post("/query", {"sql": sql}, connection=c)[0], expected)
        c.close()
        results = []

        def client(n):
            for i in range(5):
                good = (i + n) % 2 == 0
                status, body, _ = self.post("/query", {"sql": f"SELECT {n * 100 + i}, count(*) FROM orders" if good else f"SELECT {i} FROM staff"})
                results.append(status == 200 and body["rows"][0][0] == str(n * 100 + i) if good else status == 403)
        threads = [threading.Thread(target=client, args=(n,)) for n in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(results, [True] * 60)

    def test_one_stream_for_many_requests(self):
        who = self.s.mint("many@shop.example", ["ai-agents"])
        for _ in range(12):
            self.assertEqual(self.gate.post("/query", {"sql": COUNT}, who)[0], 200)
        sessions = [e for e in self.s.stream("gatehouse:sessions") if e["type"] == "session.open" and e["principal"] == "many@shop.example"]
        self.assertTrue(1 <= len(sessions) <= 2, sessions)  # one for each worker
        self.assertEqual(sum(e["type"] == "statement" for e in self.s.audit() if e.get("principal") == "many@shop.example"), 12)


    # --- messages that the shipped configuration does not send ---

    def test_messages(self):
        sql = json.dumps({"sql": COUNT}).encode()
        cases = {  # edit of gatehouse-http.spoe.cfg: path, HTTP status, SQLSTATE
            ("body_len=req.body_len", "body_len=int(5)"): ("/query", 413, "54000"),
            ("body_size=req.body_size", "body_size=int(5)"): ("/query", 413, "54000"),
            ("body_len=req.body_len", "body_len=str(36)"): ("/query", 413, "54000"),
            (" body_size=req.body_size body_len=req.body_len", ""): ("/query", 413, "54000"),
            ("body=var(txn.gh_body)", "body=req.body,bytes(0,20)"): ("/query", 413, "54000"),
            ("api=var(txn.gh_api)", "api=str(none)"): ("/query", 500, "XX000"),
            ("api=var(txn.gh_api)", "api=str(reports) api=str(notes)"): ("/query", 500, "XX000"),
            ("database=var(txn.gh_database)", "database=str(other)"): ("/query", 500, "XX000"),
            ("sql=var(txn.gh_sql)", "sql=str(x)"): ("/query", 500, "XX000"),
            ("token=req.fhdr(authorization)", "token=bool(true)"): ("/query", 401, "28P01"),
            (" token=req.fhdr(authorization)", ""): ("/query", 401, "28P01"),
            ("database=var(txn.gh_database)", "database=str(other) "): ("/verdict", 403, "3D000"),
            ("messages statement", "messages statement other"): ("/query", 503, "57P03"),
        }
        for (old, new), (path, status, sqlstate) in cases.items():
            with self.subTest(new, path=path):
                more = [("spoe-group", "spoe-message other\n    args src=src\n\nspoe-group")] if "other" in new and "messages" in new else []
                gate = httpgate.Gate(self.app.server_port, self.app.server_port, self.s.dir + "/jail", spoe_edit=[(old, new), *more])
                self.addCleanup(gate.stop)
                gate.start()
                before = self.app.bytes
                answer = gate.post(path, sql, self.s.token("agent"))
                self.assertEqual((answer[0], answer[1]["sqlstate"], self.app.bytes), (status, sqlstate, before), answer)

    def test_the_least_message(self):
        """database, sql and token are enough."""
        gate = httpgate.Gate(self.app.server_port, self.app.server_port, self.s.dir + "/jail", spoe_edit=[
            ("args api=var(txn.gh_api) body=var(txn.gh_body) database", "args database"),
            (" content_type=req.fhdr(content-type) mcp_method=req.fhdr(mcp-method) mcp_name=req.fhdr(mcp-name) body_size=req.body_size body_len=req.body_len src=src src_port=src_port listener=fe_name request=unique-id", "")])
        self.addCleanup(gate.stop)
        gate.start()
        self.assertEqual(gate.post("/verdict", COUNT.encode(), self.s.token("agent"))[:2][1]["verdict"], "allow")
        self.assertEqual(gate.post("/verdict", b"DROP TABLE orders", self.s.token("agent"))[:2][1]["verdict"], "deny")

    def test_larger_buffers_take_larger_texts(self):
        """With tune.bufsize 65536 a text of 45 KB passes, through the parse pool."""
        gate = httpgate.Gate(self.app.server_port, self.app.server_port, self.s.dir + "/jail", edit=[("req.body_size le 10000", "req.body_size le 50000")],
                             globals_="    tune.bufsize 65536\n")
        self.addCleanup(gate.stop)
        gate.start()
        for sql, status in (("SELECT count(*) FROM orders WHERE id IN (%s)", 200), ("SELECT count(*) FROM staff WHERE id IN (%s)", 403)):
            text = sql % ",".join(map(str, range(10000, 17500)))
            self.assertGreater(len(text), 40000)
            self.assertEqual(gate.post("/query", {"sql": text}, self.s.token("agent"))[0], status)
        small = httpgate.Gate(self.app.server_port, self.app.server_port, self.s.dir + "/jail",
                              spoe_edit=[("    option      var-prefix", "    max-frame-size 4096\n    option      var-prefix")])
        self.addCleanup(small.stop)
        small.start()
        before = self.app.bytes
        self.assertEqual(small.post("/query", {"sql": "SELECT 1 -- " + "x" * 5000}, self.s.token("agent"))[0], 503)  # over the frame: never asked
        self.assertEqual(self.app.bytes, before)


class Limits(unittest.TestCase):
    def test_sessions_and_idle_time(self):
        """Requests count with sessions, under the same limits, and stop counting when the API is left alone."""
        s = httpgate.up("limits: { sessions_per_principal: 1, api_idle: 1s }\n", threads=1)
        self.addCleanup(s.close)
        app = httpgate.Application(s)
        self.addCleanup(app.close)
        gate = httpgate.Gate(app.server_port, app.server_port, s.dir + "/jail").start()
        self.addCleanup(gate.stop)
        with s.psycopg("agent") as session:
            session.execute(COUNT)
            before = app.bytes
            status, body, _ = gate.post("/query", {"sql": COUNT}, s.token("agent"))
            self.assertEqual((status, body["sqlstate"], app.bytes), (503, "53300", before))
            self.assertEqual(gate.post("/query", {"sql": "SELECT 1"}, s.token("dba"))[0], 200)
        stack.wait_until("room again", lambda: gate.post("/query", {"sql": COUNT}, s.token("agent"))[0] == 200)
        stack.wait_until("the end of both API sessions", lambda: {"agent@shop.example", "dba@shop.example"} == {
            e["principal"] for e in s.stream("gatehouse:sessions") if e.get("reason") == "idle"})
        stack.wait_until("room for a session", lambda: s.psql("-Atc", "SELECT 1", who="agent").stdout == "1\n")


class DaemonGone(unittest.TestCase):
    def test_haproxy_is_gone_before_the_answer(self):
        s = httpgate.up()
        self.addCleanup(s.close)
        app = httpgate.Application(s)
        self.addCleanup(app.close)
        gate = httpgate.Gate(app.server_port, app.server_port, s.dir + "/jail").start()
        self.assertEqual(gate.post("/query", {"sql": COUNT}, s.token("agent"))[0], 200)
        ran = len(app.ran)
        s.signal("redis", signal.SIGSTOP)

        def ask():
            try:
                gate.post("/query", {"sql": "SELECT 'orphan'"}, s.token("agent"))
            except OSError:
                pass
        client = threading.Thread(target=ask)
        client.start()
        stack.wait_until("the question in the journal", lambda: subprocess.run(
            haproxy.as_root("grep", "-rqs", "orphan", s.dir + "/etc/journal")).returncode == 0)
        gate.stop()
        s.signal("redis", signal.SIGCONT)
        client.join()
        entries = stack.wait_until("the record", lambda: [e for e in s.audit() if e["type"] == "result" and e.get("skipped") == "1"])
        self.assertIn(entries[0]["reason"], ("HAProxy closed the connection", "ledger"))
        self.assertEqual(len(app.ran), ran)

    def test_ended_at_once_while_the_pool_is_at_work(self):
        """SIGTERM three times, which waits for nobody: what the pool has just found is not to be rewritten by a pool that is gone, nor is an answer of the ledger to
        reach a worker that is. (The stack looks for the sanitizer's words at its end.)"""
        s = httpgate.up("catalog: { refresh: 1s }\n")
        self.addCleanup(s.close)
        app = httpgate.Application(s)
        self.addCleanup(app.close)
        gate = httpgate.Gate(app.server_port, app.server_port, s.dir + "/jail").start()
        self.addCleanup(gate.stop)
        token = s.mint("masked@shop.example", ["masked"])

        def verdict(sql):
            return gate.post("/verdict", sql.encode(), token, headers={"Content-Type": "text/plain"})[0]
        for n in range(6):
            stack.wait_until("the catalog", lambda: verdict("SELECT id FROM customers") == 200, 60)
            stop, done = threading.Event(), []

            def ask(k):
                while not stop.is_set():  # noqa: B023
                    ids = ",".join(map(str, range(1000 + k, 2400 + k)))
                    try:
                        done.append(verdict(f"SELECT id, email FROM customers WHERE id IN ({ids}) AND id <> {n * 100000 + len(done)}"))  # noqa: B023
                    except OSError:
                        time.sleep(0.05)

            def session():
                try:
                    with s.psycopg("agent", autocommit=True) as c:
                        while True:
                            c.execute(COUNT)
                            done.append("a row")  # noqa: B023
                except psycopg.Error:
                    pass
            askers = [threading.Thread(target=ask, args=(k,)) for k in range(3)] + [threading.Thread(target=session) for _ in range(3)]
            for t in askers:
                t.start()
            stack.wait_until("answers", lambda: done.count(200) > 6 and done.count("a row") > 6, 60)  # noqa: B023
            for _ in range(3):
                if s.runs("gatehouse"):
                    s.signal("gatehouse", signal.SIGTERM)
                    time.sleep(0.002)
            stack.wait_until("its end", lambda: not s.runs("gatehouse"), 60)
            stop.set()
            for t in askers:
                t.join(60)
            s.start("gatehouse")

    def test_redis_reload_kill_and_drain(self):
        s = httpgate.up()
        self.addCleanup(s.close)
        app = httpgate.Application(s)
        self.addCleanup(app.close)
        gate = httpgate.Gate(app.server_port, app.server_port, s.dir + "/jail").start()
        self.addCleanup(gate.stop)
        token = s.token("agent")
        keep = gate.connect()
        self.addCleanup(keep.close)
        ask = lambda **more: gate.post("/query", {"sql": COUNT}, token, **more)  # noqa: E731
        self.assertEqual(ask(connection=keep)[0], 200)

        with self.subTest("strict, and Redis is away"):
            s.stop("redis")
            before = app.bytes
            status, body, _ = ask()
            self.assertEqual((status, body["sqlstate"], app.bytes), (503, "57P03", before))
            s.start("redis")
            stack.wait_until("service with Redis back", lambda: ask()[0] == 200)

        with self.subTest("reload"):
            policy = s.policy()
            rule = "    groups: ai-agents\n    database: shop\n    allow: select"
            self.assertIn(rule, policy)
            s.put_policy(policy.replace(rule, rule.replace("ai-agents", "others")))
            s.signal("gatehouse")
            stack.wait_until("the new policy", lambda: ask(connection=keep)[0] == 403)
            s.put_policy(policy)
            s.signal("gatehouse")
            stack.wait_until("the old policy", lambda: ask(connection=keep)[0] == 200)

        with self.subTest("reloads under load"):
            done = threading.Event()
            wrong = []

            def client():
                c = gate.connect()
                while not done.is_set():
                    status, body, _ = ask(connection=c)
                    if status != 200 and (status, body["sqlstate"]) not in ((403, "42501"), (403, "28000")):
                        wrong.append((status, body))
                c.close()
            clients = [threading.Thread(target=client) for _ in range(6)]
            for t in clients:
                t.start()
            for i in range(12):
                s.put_policy(policy.replace(rule, rule.replace("ai-agents", "others")) if i % 2 == 0 else policy + f"# {i}\n")
                s.signal("gatehouse")
                time.sleep(0.15)
            done.set()
            for t in clients:
                t.join()
            self.assertEqual(wrong, [])
            s.put_policy(policy)
            s.signal("gatehouse")
            stack.wait_until("the old policy again", lambda: ask()[0] == 200)

        with self.subTest("mode: observe"):
            s.put_policy(policy.replace("mode: enforce", "mode: observe"))
            s.signal("gatehouse")
            for sql in ("SELECT count(*) FROM staff", "SET application_name = 'observed'"):
                stack.wait_until(sql, lambda: gate.post("/query", {"sql": sql}, token)[0] == 200)
                self.assertIn("observe-deny", [e["verdict"] for e in s.audit() if e.get("sql") == sql])
            self.assertEqual(gate.post("/query", b'{"sql": "SELECT 1", "sql": "SELECT 2"}', token)[0], 400)
            s.put_policy(policy)
            s.signal("gatehouse")
            stack.wait_until("the policy in force again", lambda: gate.post("/query", {"sql": "SELECT count(*) FROM staff"}, token)[0] == 403)

        with self.subTest("the token expires between two requests of a connection"):
            short = s.mint("short@shop.example", ["ai-agents"], "--ttl", "10s")
            self.assertEqual(gate.post("/query", {"sql": COUNT}, short, connection=keep)[0], 200)
            stack.wait_until("its expiry", lambda: gate.post("/query", {"sql": COUNT}, short, connection=keep)[0] == 401, 30)

        with self.subTest("the agent is dead: the verdict of an earlier request is not used"):
            self.assertEqual(ask(connection=keep)[0], 200)
            s.signal("gatehouse", signal.SIGSTOP)
            before, ran = app.bytes, len(app.ran)
            self.assertEqual(ask(connection=keep)[0], 503)
            s.signal("gatehouse", signal.SIGCONT)
            s.kill("gatehouse")
            self.assertEqual(ask(connection=keep)[0], 503)
            self.assertEqual((app.bytes, len(app.ran)), (before, ran))
            s.start("gatehouse")
            stack.wait_until("service after a restart", lambda: ask()[0] == 200)

        with self.subTest("drain"):
            s.stop("gatehouse")
            opened = {e["session"] for e in s.stream("gatehouse:sessions") if e["type"] == "session.open"}
            closed = [e for e in s.stream("gatehouse:sessions") if e["type"] == "session.close"]
            self.assertIn("drained", [e["reason"] for e in closed])
            self.assertTrue({e["session"] for e in closed} <= opened)
            self.assertEqual(ask()[0], 503)


# In the daemon's order: HAProxy sets the variables of an ACK up to the one that is cut off, so the verdict comes last.
ALLOW = dict(status="200", principal="p", session="s", id="1", answer='{"verdict":"allow"}', rewritten="no", verdict="allow")


def slow(message, args):
    time.sleep(7)  # "timeout processing" is 5 s
    return spop.set_vars(**ALLOW)


def hang_up(message, args):
    raise EOFError


BEHAVIOURS = {
    "silent": lambda m, a: spop.SILENT,
    "slow": slow,
    "hangs up": hang_up,
    "empty ACK": lambda m, a: b"",
    "no verdict": lambda m, a: spop.set_vars(**dict(ALLOW, verdict=None)),
    "empty verdict": lambda m, a: spop.set_vars(**dict(ALLOW, verdict="")),
    "refuse": lambda m, a: spop.set_vars(**dict(ALLOW, verdict="refuse")),
    "number": lambda m, a: spop.set_vars(**dict(ALLOW, verdict=1)),
    "capitals": lambda m, a: spop.set_vars(**dict(ALLOW, verdict="ALLOW")),
    "a tail": lambda m, a: spop.set_vars(**dict(ALLOW, verdict="allowed")),
    "rewritten": lambda m, a: spop.set_vars(**dict(ALLOW, rewritten="yes")),
    "says nothing of rewriting": lambda m, a: spop.set_vars(verdict="allow"),
    "wrong scope": lambda m, a: spop.set_vars(**ALLOW).replace(b"\x01\x03\x02", b"\x01\x03\x00"),
    "truncated": lambda m, a: spop.set_vars(**ALLOW)[:-1],
    "deny": lambda m, a: spop.set_vars(verdict="deny", status="403", rewritten="no", answer="{}"),
    "deny without a body": lambda m, a: spop.set_vars(verdict="deny"),
}


class FailClosed(unittest.TestCase):
    """An agent of the test's own, wrong in every way: no byte at the application."""

    def setUp(self):
        self.app = httpgate.Application()
        self.addCleanup(self.app.close)

    def run_case(self, behaviour=None, agent=True, hello=True, paths=("/query", "/mcp", "/verdict")):
        gate = httpgate.Gate(self.app.server_port, self.app.server_port)
        self.addCleanup(gate.stop)
        a = None
        if agent:
            a = spop.Agent(gate.jail + "/gatehouse/spop.sock", behaviour, haproxy.haproxy_owner(), hello)
            self.addCleanup(a.close)
        gate.start()
        statuses = []
        threads = [threading.Thread(target=lambda p=p: statuses.append(gate.post(p, {"sql": "SELECT 1"}, "t")[0])) for p in paths]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return statuses, a, gate

    def test_the_test_itself(self):
        statuses, agent, gate = self.run_case(lambda m, a: spop.set_vars(**ALLOW))
        self.assertEqual(statuses, [200] * 3, gate.log())
        self.assertGreater(self.app.bytes, 0)
        seen = {a["api"]: a for _, a in agent.messages}
        self.assertEqual((seen["reports"]["body"], seen["reports"]["token"], seen["reports"]["body_size"]), (b'{"sql": "SELECT 1"}', "Bearer t", 19))
        self.assertEqual((seen[None]["database"], seen[None]["sql"], seen[None]["body"]), ("shop", b'{"sql": "SELECT 1"}', None))

    def test_wrong_answers(self):
        for name, behaviour in BEHAVIOURS.items():
            with self.subTest(name):
                # whoever asks /verdict gets the rewritten text in its answer
                paths = ("/query", "/mcp") if name == "rewritten" else ("/query", "/mcp", "/verdict")
                statuses, _, gate = self.run_case(behaviour, paths=paths)
                self.assertEqual(self.app.bytes, 0, gate.log())
                self.assertEqual({s // 100 for s in statuses} - {4, 5}, set(), statuses)

    def test_dead_and_no_hello(self):
        for how in (dict(agent=False), dict(behaviour=lambda m, a: spop.set_vars(**ALLOW), hello=False)):
            statuses, _, gate = self.run_case(**how)
            self.assertEqual((self.app.bytes, statuses), (0, [503] * 3), gate.log())

    def test_large_and_chunked_are_never_asked(self):
        asked = []
        gate = httpgate.Gate(self.app.server_port, self.app.server_port)
        self.addCleanup(gate.stop)
        a = spop.Agent(gate.jail + "/gatehouse/spop.sock", lambda m, args: asked.append(args) or spop.set_vars(**ALLOW), haproxy.haproxy_owner())
        self.addCleanup(a.close)
        gate.start()
        head = b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        gate.raw(head + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3000000)
        gate.raw(head + b"Content-Length: 15000\r\n\r\n" + b"x" * 15000)
        gate.raw(head + b"Transfer-Encoding: chunked\r\n\r\n8\r\nSELECT 1\r\n", pieces=1)
        gate.raw(head + b"Transfer-Encoding: chunked\r\n\r\n8\r\nSELECT 1\r\n8\r\n; DROP x\r\n0\r\n\r\n", pieces=6, pause=0.2)
        self.assertEqual((asked, self.app.bytes), ([], 0))


if __name__ == "__main__":
    unittest.main()
