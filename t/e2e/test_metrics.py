"""/metrics and /healthz on the whole stack: the exposition read by Prometheus' own Python parser, what each number counts, what health says when
something is away, the bounds of the little HTTP server; and that the dashboard and the alerts speak of metrics that there are."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
import unittest

import psycopg
from prometheus_client.parser import text_string_to_metric_families

import haproxy
import stack


def with_metrics(line):
    return lambda text: text + f"\nmetrics: {line}\n"


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("gatehouse", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


class Served(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = haproxy.free_port()
        cls.stack = stack.Stack(config=with_metrics(f"{{ listen: 127.0.0.1:{cls.port} }}"))
        cls.addClassCleanup(cls.stack.close)

    def get(self, path, method="GET"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        c.request(method, path)
        r = c.getresponse()
        body = r.read().decode()
        c.close()
        return r, body

    def samples(self):
        """{(name, labels as sorted pairs): value} and the text; every family has help and a type."""
        r, text = self.get("/metrics")
        self.assertEqual(r.status, 200)
        self.assertEqual(r.getheader("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        out = {}
        for family in text_string_to_metric_families(text):
            self.assertTrue(family.documentation, family.name)
            self.assertIn(family.type, ("counter", "gauge", "histogram"), family.name)
            for s in family.samples:
                key = (s.name, tuple(sorted(s.labels.items())))
                self.assertNotIn(key, out, "a series comes twice")
                out[key] = s.value
        return out, text

    def value(self, name, **labels):
        return self.samples()[0].get((name, tuple(sorted(labels.items()))), 0)

    def health(self):
        r, body = self.get("/healthz")
        self.assertEqual(r.getheader("Content-Type"), "application/json")
        return r.status, json.loads(body)


class Numbers(Served):
    def test_what_is_counted(self):
        before, _ = self.samples()
        self.stack.scratch("CREATE TABLE scratch.t (n int); INSERT INTO scratch.t SELECT generate_series(1, 100);")
        with self.stack.psycopg(autocommit=True) as conn:
            self.assertEqual(self.value("gatehouse_sessions"), 1)
            conn.execute("SELECT n FROM scratch.t")
            conn.execute("SELECT n FROM scratch.t")
            for sql in ("SELECT name FROM staff", "SELEC 1", "SELECT 1/0"):
                with self.assertRaises(psycopg.Error):
                    conn.execute(sql)
        with self.assertRaises(psycopg.Error):
            self.stack.psycopg(password="nonsense")
        stack.wait_until("the session is gone", lambda: self.value("gatehouse_sessions") == 0)
        hits = ("gatehouse_facts_cache_hits_total", ())  # workers publish these a few times a second
        stack.wait_until("the cache's numbers", lambda: self.value(hits[0]) > before[hits])
        after, text = self.samples()

        def grew(name, **labels):
            key = (name, tuple(sorted(labels.items())))
            return after.get(key, 0) - before.get(key, 0)

        def grew_all(name, **labels):
            want = set(labels.items())
            return sum(after[k] - before.get(k, 0) for k in after if k[0] == name and want <= set(k[1]))

        self.assertEqual(grew("gatehouse_sessions_total", engine="postgresql", result="opened"), 1)
        self.assertEqual(grew("gatehouse_sessions_total", engine="postgresql", result="login_refused"), 1)
        self.assertEqual(grew_all("gatehouse_logins_refused_total"), 1)
        self.assertEqual(grew_all("gatehouse_statements_total", database="shop", verdict="allow"), 3)
        self.assertEqual(grew_all("gatehouse_statements_total", database="shop", verdict="deny"), 2)
        self.assertEqual(grew("gatehouse_refusals_total", sqlstate="42501"), 1)
        self.assertEqual(grew("gatehouse_refusals_total", sqlstate="42601"), 1)
        self.assertEqual(grew("gatehouse_server_errors_total", **{"class": "22"}), 1)
        self.assertEqual(grew("gatehouse_parse_errors_total"), 1)
        self.assertEqual(grew("gatehouse_rows_total"), 200)
        self.assertEqual(grew("gatehouse_facts_cache_hits_total"), 1)
        self.assertEqual(grew("gatehouse_facts_cache_misses_total"), 4)
        self.assertEqual(grew("gatehouse_gate_seconds_count"), 3)
        self.assertEqual(grew("gatehouse_statement_seconds_count"), 3)
        self.assertEqual(grew("gatehouse_statement_seconds_bucket", le="+Inf"), 3)
        self.assertGreater(grew("gatehouse_statement_seconds_sum"), 0)
        self.assertEqual(grew("gatehouse_spop_messages_total", message="session"), 2)
        for direction in ("from_client", "to_client", "from_server", "to_server"):
            self.assertGreater(grew("gatehouse_bytes_total", direction=direction), 50, direction)
        self.assertGreaterEqual(grew("gatehouse_audit_events_total"), 9)
        self.assertEqual(after[("gatehouse_ready", ())], 1)
        self.assertEqual(after[("gatehouse_audit_redis_up", ())], 1)
        self.assertGreater(after[("gatehouse_audit_journal_bytes", ())], 0)
        self.assertGreater(after[("process_open_fds", ())], 5)
        self.assertGreater(after[("process_resident_memory_bytes", ())], 1 << 20)
        self.assertGreater(after[("process_cpu_seconds_total", ())], 0)
        self.assertLess(abs(after[("process_start_time_seconds", ())] - time.time()), 3600)
        for secret in ("tester@shop.example", "127.0.0.1", "scratch.t", "shop_owner", self.stack.token("tester")[:20]):
            self.assertNotIn(secret, text)

    def test_counters_stay_when_their_rule_goes(self):
        rule = "  - name: passing\n    groups: testers\n    database: shop\n    allow: select\n    on: public.customers\n"
        old = self.stack.policy()
        self.addCleanup(self.reload_with, old)
        generation = self.value("gatehouse_config_generation")
        self.reload_with(old + rule)
        with self.stack.psycopg(autocommit=True) as conn:
            conn.execute("SELECT count(*) FROM customers")
        labels = dict(database="shop", verdict="allow", rule="passing")
        self.assertEqual(self.value("gatehouse_statements_total", **labels), 1)
        self.reload_with(old)
        self.assertEqual(self.value("gatehouse_statements_total", **labels), 1)
        self.assertEqual(self.value("gatehouse_config_generation"), generation + 2)
        self.assertEqual(self.value("gatehouse_policy_generation"), generation + 2)
        # A reload that fails is a number and a warning, and the daemon stays ready.
        failed = self.value("gatehouse_config_reloads_total", result="failed")
        self.stack.put_policy(old + "  - nonsense: 1\n")
        self.stack.signal("gatehouse", signal.SIGHUP)
        stack.wait_until("the failed reload is counted", lambda: self.value("gatehouse_config_reloads_total", result="failed") == failed + 1)
        self.assertEqual(self.value("gatehouse_config_last_reload_successful"), 0)
        status, body = self.health()
        self.assertEqual(status, 200)
        self.assertEqual([w["check"] for w in body["warnings"]], ["reload"])
        self.assertIn("policy.yaml:", body["warnings"][0]["why"])

    def reload_with(self, text):
        self.stack.put_policy(text)
        before = self.value("gatehouse_config_reloads_total", result="ok")
        self.stack.signal("gatehouse", signal.SIGHUP)
        stack.wait_until("the reload", lambda: self.value("gatehouse_config_reloads_total", result="ok") > before)

    def test_cancel_requests(self):
        before = self.value("gatehouse_cancel_requests_total", result="matched")
        with self.stack.psycopg(autocommit=True) as conn:
            conn.execute("SELECT 1")
            conn.cancel()
            stack.wait_until("the request", lambda: self.value("gatehouse_cancel_requests_total", result="matched") == before + 1)

    def test_health_says_what_is_away(self):
        self.assertEqual(self.health()[0], 200)
        self.stack.stop("redis")
        try:
            status, body = stack.wait_until("not ready", lambda: (lambda h: h[0] == 503 and h)(self.health()))
            self.assertEqual(body["status"], "not ready")
            self.assertEqual([c["check"] for c in body["failed"]], ["ledger"])
            self.assertIn("Redis", body["failed"][0]["why"])
            self.assertIn("start Redis", body["failed"][0]["do"])
            self.assertEqual(self.value("gatehouse_ready"), 0)
            self.assertEqual(self.value("gatehouse_audit_redis_up"), 0)
        finally:
            self.stack.start("redis")
        stack.wait_until("ready again", lambda: self.health()[0] == 200)


class Bounds(Served):
    def raw(self, data, shut=False):
        with socket.create_connection(("127.0.0.1", self.port), 20) as s:
            s.sendall(data)
            if shut:
                s.shutdown(socket.SHUT_WR)
            out = b""
            while True:
                try:
                    more = s.recv(65536)
                except ConnectionResetError:
                    break
                if not more:
                    break
                out += more
            return out

    def test_methods_and_paths(self):
        r, body = self.get("/nothing")
        self.assertEqual((r.status, r.getheader("Connection")), (404, "close"))
        r, body = self.get("/metrics", "POST")
        self.assertEqual((r.status, r.getheader("Allow")), (405, "GET, HEAD"))
        r, body = self.get("/metrics", "HEAD")
        self.assertEqual((r.status, body), (200, ""))
        self.assertGreater(int(r.getheader("Content-Length")), 5000)
        self.assertEqual(self.get("/healthz?verbose=1")[0].status, 200)

    def test_what_is_no_request(self):
        self.assertTrue(self.raw(b"\x16\x03\x01\x00\xa5" + b"x" * 200 + b"\r\n\r\n").startswith(b"HTTP/1.1 400 "))
        self.assertTrue(self.raw(b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 9000).startswith(b"HTTP/1.1 431 "))
        self.assertEqual(self.raw(b"GET /metr", shut=True), b"")
        self.assertTrue(self.raw(b"GET /healthz HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n" + b"b" * 1000).startswith(b"HTTP/1.1 200 "))

    def test_byte_by_byte(self):
        with socket.create_connection(("127.0.0.1", self.port), 20) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for b in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
                s.sendall(bytes([b]))
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200 "))

    def test_silent_connections_end_and_let_others_in(self):
        idle = [socket.create_connection(("127.0.0.1", self.port), 20) for _ in range(40)]
        try:
            # Sixteen at once; the sixteen are closed after five seconds, and then those that waited: ours comes after all forty.
            self.assertEqual(self.get("/healthz")[0].status, 200)
            for s in idle[:16]:
                self.assertEqual(s.recv(10), b"")
        finally:
            for s in idle:
                s.close()

    def test_drain(self):
        port = haproxy.free_port()
        own = stack.Stack(config=with_metrics(f"{{ listen: 127.0.0.1:{port} }}"))
        self.addCleanup(own.close)
        with own.psycopg() as conn:
            conn.execute("SELECT count(*) FROM orders")  # an open transaction holds the drain up
            own.signal("gatehouse", signal.SIGTERM)

            def draining():
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                c.request("GET", "/healthz")
                r = c.getresponse()
                return r.status == 503 and json.loads(r.read())["failed"][0]["check"] == "draining"

            stack.wait_until("health says that it drains", draining)
            conn.rollback()


class Listeners(unittest.TestCase):
    def test_socket_with_owner_and_mode(self):
        with open(os.path.join(stack.TOP, "examples", "shop", "gatehouse.yaml")) as f:
            self.assertIn("/var/lib/haproxy/", f.read())
        own = stack.Stack(config=with_metrics('{ socket: /var/lib/haproxy/gatehouse/metrics.sock, owner: haproxy, mode: "0600" }'))
        self.addCleanup(own.close)
        path = os.path.join(own.dir, "jail", "gatehouse", "metrics.sock")
        st = subprocess.run(stack.as_root("stat", "-c", "%U %a", path), check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual(st, "haproxy 600\n")
        out = subprocess.run(stack.as_root("curl", "-sS", "--unix-socket", path, "http://gatehouse/healthz"), check=True, stdout=subprocess.PIPE).stdout
        self.assertEqual(json.loads(out)["status"], "ready")

    def test_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            own = stack.Stack(config=with_metrics(f"{{ listen: 127.0.0.1:{port} }}"))
            self.addCleanup(own.close)
            self.assertEqual(own.log("gatehouse").count("event=metrics.port_taken"), 1)
            self.assertIn("choose another", own.log("gatehouse"))
            with own.psycopg(autocommit=True) as conn:
                conn.execute("SELECT 1")
        stack.wait_until("it listens", lambda: "event=metrics.listening" in own.log("gatehouse"))
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        c.request("GET", "/healthz")
        self.assertEqual(c.getresponse().status, 200)


NAME = re.compile(r"\b(?:gatehouse|process)_[a-z_]+\b")


class Files(Served):
    """examples/grafana and examples/prometheus ask for nothing that is not there."""

    def exported(self):
        names = set()
        for family in text_string_to_metric_families(self.samples()[1]):
            names.add(family.name + "_total" if family.type == "counter" else family.name)
            if family.type == "histogram":
                names |= {family.name + suffix for suffix in ("_bucket", "_sum", "_count")}
        return names

    def check(self, expression, where):
        used = set(NAME.findall(re.sub(r'"[^"]*"', '""', expression)))
        self.assertTrue(used, f"{where}: no metric in {expression}")
        self.assertEqual(used - self.exported(), set(), f"{where}: {expression}")
        self.assertEqual(expression.count("("), expression.count(")"), where)

    def test_dashboard(self):
        with open(os.path.join(stack.TOP, "examples", "grafana", "gatehouse.json")) as f:
            board = json.load(f)
        panels = [p for p in board["panels"] if p["type"] != "row"]
        self.assertGreaterEqual(len(panels), 12)
        self.assertEqual(len({p["id"] for p in board["panels"]}), len(board["panels"]))
        for p in panels:
            self.assertTrue(p["targets"], p["title"])
            for t in p["targets"]:
                self.check(t["expr"], p["title"])
        shown = set().union(*(NAME.findall(t["expr"]) for p in panels for t in p["targets"]))
        for name in ("gatehouse_statements_total", "gatehouse_gate_seconds_bucket", "gatehouse_audit_lag_seconds", "gatehouse_logins_refused_total"):
            self.assertIn(name, shown)

    def test_alerts(self):
        with open(os.path.join(stack.TOP, "examples", "prometheus", "gatehouse.rules.yml")) as f:
            text = f.read()
        expressions = re.findall(r"^\s+expr: (.+)$", text, re.M)
        self.assertGreaterEqual(len(expressions), 6)
        self.assertEqual(len(expressions), text.count("- alert:"))
        for e in expressions:
            self.check(e, "gatehouse.rules.yml")
