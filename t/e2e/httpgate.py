"""HAProxy with haproxy-conf/gatehouse-http.cfg, and applications behind it that run the SQL of the requests they get."""
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import psycopg
import pymysql

import haproxy
import stack

APIS = """
apis:
  reports:
    database: shop
    form: json
    sql: sql
    also: [format, options.timeout]
  assistants:
    database: shop
    form: mcp
    tools:
      execute_sql: { sql: sql, also: [limit] }
    pass: [initialize, server/discover, ping, tools/list, notifications/initialized]
    pass_tools: [list_tables]
  notes:
    database: shop
    form: text
"""
# The same before MariaDB, for a gate of their own, and one whose database nobody can reach.
APIS_MY = """  reports_my:
    database: shop_my
    form: json
    sql: sql
    also: [format]
  assistants_my:
    database: shop_my
    form: mcp
    tools:
      execute_sql: { sql: sql, also: [limit] }
    pass: [ping]
  gone_my:
    database: shop_gone
    form: text
"""
EDIT_MY = [("str(reports)", "str(reports_my)"), ("str(assistants)", "str(assistants_my)"), ("-m str reports }", "-m str reports_my }"),
           ("-m str assistants }", "-m str assistants_my }"), ("str(shop)", "str(shop_my)")]
GONE = """
  shop_gone:
    engine: mysql
    upstream: { host: 127.0.0.1, port: 9, database: shop, user: shop_owner, password_file: shop.password }
"""


def events(s, session):
    """The entries of a session's stream with their own fields, in order."""
    script = "return cjson.encode(redis.call('XRANGE', KEYS[1], '-', '+'))"
    return [dict(zip(fields[::2], fields[1::2])) for _, fields in json.loads(s.redis("EVAL", script, "1", "gatehouse:audit:" + session)) or ()]


class Application(http.server.ThreadingHTTPServer):
    """Runs what it is sent on one connection that all requests share, as a pool would; keeps what it saw."""
    daemon_threads = True

    def __init__(self, s=None, mysql=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.stack = s
        self.lock = threading.Lock()
        self.bytes = 0
        self.head, self.target = {}, None
        self.ran = []  # (sql, principal, what the record said of it at that time)
        self.database = None
        if mysql:  # as pools have it: several statements in one text, and texts in UTF-8
            self.database = pymysql.connect(host="127.0.0.1", port=int(s.env["GH_MY_PORT_DIRECT"]), user="root", password=s.env["GH_PASSWORD_SUPER"],
                                            database="shop", charset="utf8mb4", autocommit=True, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
        elif s is not None:
            self.database = psycopg.connect(s.env["GH_PG_DIRECT_URL"], options="-c role=shop_owner", autocommit=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()
        if self.database is not None:
            self.database.close()

    def run(self, sql, headers):
        recorded = [e for e in events(self.stack, headers["X-Gatehouse-Session"]) if e.get("id") == headers["X-Gatehouse-Id"]]
        verdict = [(e["type"], e["verdict"], e["sql"]) for e in recorded]
        with self.lock:
            self.ran.append((sql, headers["X-Gatehouse-Principal"], verdict))
            if isinstance(self.database, pymysql.Connection):
                with self.database.cursor() as cur:
                    cur.execute(sql)
                    return [list(map(str, row)) for row in cur.fetchall()]
            cur = self.database.execute(sql)
            return [list(map(str, row)) for row in cur.fetchall()] if cur.description else []


class Counting:
    def __init__(self, file, server):
        self.file, self.server = file, server

    def _count(self, data):
        with self.server.lock:
            self.server.bytes += len(data)
        return data

    def readline(self, *args):
        return self._count(self.file.readline(*args))

    def read(self, *args):
        return self._count(self.file.read(*args))

    def close(self):
        self.file.close()

    @property
    def closed(self):
        return self.file.closed


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.rfile = Counting(self.rfile, self.server)

    def handle(self):
        try:
            super().handle()
        except ConnectionResetError:
            pass  # HAProxy ended an idle connection

    def log_message(self, *args):
        pass

    def reply(self, status, value):
        body = json.dumps(value).encode() if value is not None else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.head = {k.lower(): v for k, v in self.headers.items()}  # of the last request
        self.server.target = self.path
        if self.server.stack is None:
            self.reply(200, {"seen": len(body)})
        elif self.path == "/mcp":
            self.mcp(json.loads(body))
        else:
            text = body.decode() if self.path == "/notes" else json.loads(body)["sql"]
            try:
                self.reply(200, {"rows": self.server.run(text, self.headers)})
            except psycopg.Error as e:
                self.reply(422, {"sqlstate": e.sqlstate, "message": str(e)})
            except pymysql.Error as e:
                self.reply(422, {"errno": e.args[0], "message": str(e)})

    def mcp(self, message):
        """As much of the Model Context Protocol as a client needs to call a tool: "Streamable HTTP", JSON answers."""
        method, ident = message["method"], message.get("id")
        if ident is None:
            self.reply(202, None)
            return
        if method == "initialize":
            result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                      "serverInfo": {"name": "shop", "version": "1"}}
        elif method == "tools/list":
            result = {"tools": [{"name": "execute_sql", "inputSchema": {"type": "object"}}]}
        elif method == "tools/call" and message["params"]["name"] == "execute_sql":
            rows = self.server.run(message["params"]["arguments"]["sql"], self.headers)
            result = {"resultType": "complete", "content": [{"type": "text", "text": json.dumps(rows)}], "isError": False}
        else:
            result = {"content": [{"type": "text", "text": "done: " + method}]}
        self.reply(200, {"jsonrpc": "2.0", "id": ident, "result": result})


def whole_answers(data):
    """How many final HTTP answers with all of their bodies are in data."""
    count = 0
    while b"\r\n\r\n" in data:
        head, data = data.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if length and len(data) < int(length[1]):
            break
        data = data[int(length[1]) if length else 0:]
        count += not head.startswith(b"HTTP/1.1 1")
    return count


class Gate:
    """HAProxy in front of the applications. jail: the chroot with gatehouse/spop.sock in it; none: one of its own."""

    def __init__(self, reports, mcp, jail=None, edit=(), spoe_edit=(), globals_=""):
        self.dir = tempfile.mkdtemp(prefix="gh-http.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.port = haproxy.free_port()
        lib = os.path.join(haproxy.TOP, "examples", "lib", "stack.sh")
        subprocess.run(["bash", "-euc", f'. "{lib}"; gh_tls "$1"', "-", self.dir], check=True)
        self.jail = jail or os.path.join(self.dir, "jail")
        os.makedirs(os.path.join(self.jail, "gatehouse"), 0o755, exist_ok=True)
        conf = os.path.join(haproxy.TOP, "haproxy-conf")
        self._copy(os.path.join(conf, "gatehouse-http.spoe.cfg"), "gatehouse-http.spoe.cfg", spoe_edit)
        self.config = self._copy(os.path.join(conf, "gatehouse-http.cfg"), "haproxy.cfg", [
            ("bind :8443", f"bind 127.0.0.1:{self.port}"), ("/etc/haproxy/gatehouse-http.pem", self.dir + "/edge.pem"),
            ("/etc/haproxy/", self.dir + "/"), ("127.0.0.1:8081", "127.0.0.1:%d" % reports), ("127.0.0.1:8082", "127.0.0.1:%d" % mcp), *edit],
            f"global\n    log stdout format raw local0\n    chroot {self.jail}\n    user haproxy\n    group haproxy\n{globals_}"
            "defaults\n    log global\n    timeout connect 5s\n    timeout client 50s\n    timeout server 50s\n")
        self.log_path = os.path.join(self.dir, "log")
        self.process = None

    def _copy(self, source, name, edit, head=""):
        with open(source) as f:
            text = f.read()
        for old, new in edit:
            assert old in text, old
            text = text.replace(old, new)
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(head + text)
        return os.path.join(self.dir, name)

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(haproxy.as_root(os.environ.get("GH_HAPROXY", "haproxy"), "-db", "-f", self.config), stdout=log, stderr=log)
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError("HAProxy does not start: " + self.log())
                time.sleep(0.05)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
        shutil.rmtree(self.dir)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def context(self):
        return ssl.create_default_context(cafile=os.path.join(self.dir, "ca.pem"))

    def connect(self):
        return http.client.HTTPSConnection("localhost", self.port, timeout=30, context=self.context())

    def socket(self):
        return self.context().wrap_socket(socket.create_connection(("127.0.0.1", self.port), 30), server_hostname="localhost")

    def post(self, path, body, token=None, headers=(), connection=None):
        """(status, decoded JSON, headers); the SQL API takes a str as its SQL."""
        head = {"Content-Type": "application/json"}
        if token:
            head["Authorization"] = "Bearer " + token
        head.update(headers)
        c = connection or self.connect()
        c.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), head)
        r = c.getresponse()
        data = r.read()
        if connection is None:
            c.close()
        return r.status, json.loads(data) if data else None, r.headers

    def raw(self, data, pieces=1, pause=0.0, answers=1):
        """Bytes as they are over TLS; what comes back, until there are so many whole answers or the other side closes."""
        with self.socket() as s:
            step = max(1, -(-len(data) // pieces))
            try:
                for i in range(0, len(data), step):
                    s.sendall(data[i:i + step])
                    time.sleep(pause)
            except OSError:
                pass  # HAProxy has answered and does not want the rest
            answer = b""
            try:
                while whole_answers(answer) < answers and (piece := s.recv(65536)):
                    answer += piece
            except OSError:
                pass
            return answer

    def status(self, data, **how):
        answer = self.raw(data, **how)
        return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else None


def up(more="", threads=2, mysql=False):
    """A stack whose configuration has the APIs above."""
    def config(text):
        text = text.replace("threads: 2", f"threads: {threads}")
        if mysql:
            mark = "\n\n# strict:"
            assert mark in text
            text = text.replace(mark, GONE + mark)
        return text + APIS + (APIS_MY if mysql else "") + more
    return stack.Stack(config=config, mysql=mysql)
