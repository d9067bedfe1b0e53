"""MySQL's protocol through HAProxy and the daemon to MariaDB: the mariadb CLI, PyMySQL, mysqlclient, aiomysql, and packets by hand.

t/drivers has what each driver does.

The database shop_open is one in mode observe: what runs there is MariaDB's answer to whatever a client says, so that it shows the protocol and not the policy.
"""
import asyncio
import os
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import aiomysql
import MySQLdb
import pymysql

import stack
from stack import wait_until

POLICY = """version: 1
databases: { shop: {}, shop_my: { mode: enforce }, shop_open: { mode: observe } }
rules:
  - { name: agents-read-orders, groups: ai-agents, database: shop_my, allow: select, on: shop.orders }
  - { name: agents-ask, groups: ai-agents, database: shop_my, ask: update, on: shop.orders, require: where, approvers: dbas }
  - { name: analysts-read-a-little, groups: analysts, database: shop_my, allow: select, on: shop.orders, limits: { rows: 10, time: 1s } }
  - { name: dbas-do-everything, groups: dbas, database: [shop, shop_my], allow: all, on: "*.*" }
  - { name: all-log-in, groups: [dbas, ai-agents, testers], database: shop_open, allow: select, on: nothing.nothing }
"""
OPEN = """
  shop_open:
    engine: mysql
    upstream:
      host: 127.0.0.1
      port: 3306
      tls: { ca_file: shop-my-ca.pem }
      database: shop
      user: shop_owner
      password_file: shop.password
"""
QUIT, QUERY, PING, CHANGE_USER, RESET = 1, 3, 14, 17, 31


def config(text):
    mark = "\n\n# strict:"
    assert mark in text
    return text.replace(mark, OPEN + mark, 1)


def setUpModule():
    global S
    S = stack.Stack(config=config, policy=POLICY, mysql=True)
    with direct() as c:
        c.cursor().execute("GRANT ALL ON *.* TO shop_owner@'127.0.0.1'")


def tearDownModule():
    S.close()


def where():
    return dict(host=S.env["GH_MY_HOST"], port=int(S.env["GH_MY_PORT"]))


def connect(who="dba", database="shop", token=None, **more):
    return pymysql.connect(**dict(dict(where(), user=who, password=token or S.token(who), database=database, ssl={"ca": S.env["GH_CA"]},
                                       connect_timeout=20, read_timeout=60), **more))


def direct():
    return pymysql.connect(host="127.0.0.1", port=int(S.env["GH_MY_PORT_DIRECT"]), user="root", password=S.env["GH_PASSWORD_SUPER"], database="shop",
                           autocommit=True)


def rows(connection, sql, *args):
    with connection.cursor() as c:
        c.execute(sql, *args)
        return c.fetchall()


def mariadb(*args, who="dba", database="shop", script=None, wait=True):
    """The CLI, with the token in a file of its own."""
    path = os.path.join(S.dir, f"{who}.cnf")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        f.write(f"[client]\npassword={S.token(who)}\n")
    command = ["mariadb", f"--defaults-file={path}", "--protocol=TCP", "-h", S.env["GH_MY_HOST"], "-P", S.env["GH_MY_PORT"], "-u", who,
               f"--ssl-ca={S.env['GH_CA']}", "--ssl-verify-server-cert", "--batch", "--skip-column-names", *args, database]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    if not wait:
        process.stdin.write(script)
        process.stdin.flush()
        return process
    out, err = process.communicate(script, timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


class Raw:
    """Packets by hand, inside TLS."""

    def __init__(self, database="shop_open", who="dba", caps=0, login=True):
        plain = socket.create_connection((S.env["GH_MY_HOST"], int(S.env["GH_MY_PORT"])), timeout=20)
        self.socket = plain
        self.greeting = self.packet()[1]
        self.caps = caps | 0x200 | 0x800 | 0x8000 | 0x80000 | 8
        head = struct.pack("<IIB23x", self.caps, 1 << 24, 45)
        self.send(1, head)
        context = ssl.create_default_context(cafile=S.env["GH_CA"])
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        token = S.token(who).encode()
        if login:
            self.send(2, head + who.encode() + b"\0" + b"\x20" + b"x" * 32 + database.encode() + b"\0caching_sha2_password\0")
            assert self.packet() == (3, b"\x01\x04")
            self.send(4, token + b"\0")
            answer = self.packet()
            assert answer[0] == 5 and answer[1][:1] == b"\0", answer

    def send(self, seq, payload):
        self.socket.sendall(struct.pack("<I", len(payload))[:3] + bytes([seq]) + payload)

    def read(self, n):
        out = b""
        while len(out) < n:
            piece = self.socket.recv(n - len(out))
            if not piece:
                raise EOFError
            out += piece
        return out

    def packet(self):
        head = self.read(4)
        return head[3], self.read(int.from_bytes(head[:3], "little"))

    def ask(self, payload, seq=0):
        self.send(seq, payload)
        return self.packet()[1]

    def query(self, sql):
        return self.ask(bytes([QUERY]) + sql.encode())

    def closed(self):
        try:
            return self.socket.recv(1) == b""
        except OSError:
            return True

    def close(self):
        self.socket.close()


def code(answer):
    assert answer[:1] == b"\xff", answer
    return struct.unpack("<H", answer[1:3])[0]


class TestLogin(unittest.TestCase):
    def refused(self, number, **more):
        with self.assertRaises(pymysql.MySQLError) as e:
            connect(**more)
        self.assertEqual(e.exception.args[0], number)
        return e.exception.args[1]

    def test_mariadb_cli(self):
        done = mariadb("-e", "SELECT 1")
        self.assertEqual((done.returncode, done.stdout), (0, "1\n"), done.stderr)

    def test_pymysql(self):
        with connect() as c:
            self.assertEqual(rows(c, "SELECT 1"), ((1,),))
            c.ping(reconnect=False)

    def test_mysqlclient(self):
        c = MySQLdb.connect(**dict(where(), host="127.0.0.1"), user="dba", passwd=S.token("dba"), db="shop_open", ssl={"ca": S.env["GH_CA"]})
        c.query("SELECT 1")
        self.assertEqual(c.store_result().fetch_row(), ((1,),))
        c.close()

    def test_aiomysql(self):
        async def run():
            c = await aiomysql.connect(**where(), user="dba", password=S.token("dba"), db="shop", ssl=ssl.create_default_context(cafile=S.env["GH_CA"]))
            async with c.cursor() as cur:
                await cur.execute("SELECT 1")
                out = await cur.fetchall()
            c.close()
            return out
        self.assertEqual(asyncio.run(run()), ((1,),))

    def test_cleartext_plugin_and_native_password(self):
        """Both ways besides caching_sha2_password: a client that begins with the token, and one that is asked to change its method."""
        raw = Raw(login=False)
        head = struct.pack("<IIB23x", raw.caps | 0x200000, 1 << 24, 45)
        token = S.token("dba").encode()
        self.assertGreater(len(token), 251)
        raw.send(2, head + b"dba\0\xfc" + struct.pack("<H", len(token)) + token + b"shop_open\0mysql_clear_password\0")
        self.assertEqual(raw.packet()[1][:1], b"\0")
        raw = Raw(login=False)
        raw.send(2, struct.pack("<IIB23x", raw.caps, 1 << 24, 45) + b"dba\0\x14" + b"y" * 20 + b"shop_open\0mysql_native_password\0")
        self.assertTrue(raw.packet()[1].startswith(b"\xfecaching_sha2_password\0"))
        raw.send(4, b"z" * 32)
        self.assertEqual(raw.packet(), (5, b"\x01\x04"))
        raw.send(6, token + b"\0")
        self.assertEqual(raw.packet()[1][:1], b"\0")

    def test_long_token(self):
        token = S.mint("long@shop.example", ["dbas"] + ["g" * 60 + str(i) for i in range(80)])
        self.assertGreater(len(token), 6000)
        with connect(token=token) as c:
            self.assertEqual(rows(c, "SELECT 1"), ((1,),))

    def test_no_tls(self):
        self.assertIn("TLS", self.refused(3159, ssl=None, ssl_disabled=True))

    def test_bad_token(self):
        self.refused(1045, token="nonsense")
        self.refused(1045, token=S.token("dba")[:-4] + "AAAA")

    def test_no_token(self):
        raw = Raw(login=False)
        raw.send(2, struct.pack("<IIB23x", raw.caps, 1 << 24, 45) + b"dba\0\0shop\0caching_sha2_password\0")
        self.assertEqual(code(raw.packet()[1]), 1045)

    def test_unknown_database(self):
        self.refused(1049, database="nope")

    def test_database_of_the_other_engine(self):
        """shop is PostgreSQL's name too: what a client of MySQL gets is MySQL's."""
        with connect(database="shop_my") as c:
            self.assertEqual(rows(c, "SELECT 1"), ((1,),))
        done = S.psql("-c", "SELECT 1", "dbname=shop_my", who="dba")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("there is no such database", done.stderr)

    def test_not_a_login(self):
        for payload in (b"", b"\0" * 40, b"\xff" * 40):
            with socket.create_connection(tuple(where().values()), timeout=20) as s:
                s.recv(4096)
                s.sendall(struct.pack("<I", len(payload))[:3] + b"\1" + payload)
                s.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: s.recv(4096), b""))
                self.assertTrue(answer == b"" or code(answer[4:]) in (1043, 3159), answer)

    def test_plaintext_behind_ssl_request(self):
        with socket.create_connection(tuple(where().values()), timeout=20) as s:
            s.recv(4096)
            s.sendall(b"\x20\0\0\1" + struct.pack("<IIB23x", 0xAA00 | 0x200 | 0x800, 1 << 24, 45) + b"\x05\0\0\2\x03x")
            self.assertEqual(s.recv(4096), b"")

    def test_connection_ids(self):
        a, b = connect(), connect()
        self.assertNotEqual(a.thread_id(), b.thread_id())
        self.assertEqual(a.thread_id() >> 24, b.thread_id() >> 24)
        a.close()
        b.close()

    def test_record(self):
        with connect(program_name="a test of mine") as c:
            rows(c, "SELECT 1")
        found = wait_until("the record", lambda: [e for e in S.audit() if e.get("application_name") == "a test of mine"])
        entries = S.stream("gatehouse:audit:" + found[0]["session"])
        kinds = [e["type"] for e in entries]
        self.assertEqual(kinds[0], "session.open")
        self.assertIn("SELECT 1", [e.get("sql") for e in entries if e["type"] == "statement"])


class TestRefusal(unittest.TestCase):
    def test_a_refusal_is_an_answer(self):
        with connect("agent") as c:
            around = "WITH staff AS (SELECT 1) SELECT * FROM (WITH c AS (SELECT * FROM staff) SELECT * FROM c) q"  # to MariaDB staff is the table here
            for sql in ("SELECT name FROM staff", around, "SELECT 1; DROP TABLE orders", "this is no SQL"):
                with self.assertRaises(pymysql.MySQLError) as e:
                    rows(c, sql)
                self.assertIn(e.exception.args[0], (1142, 1235))
            self.assertEqual(rows(c, "SELECT 1"), ((1,),))
        with direct() as c:
            self.assertEqual(rows(c, "SELECT count(*) FROM orders"), ((10000,),))

    def test_cli_goes_on(self):
        done = mariadb("--force", script="DROP TABLE orders;\nSELECT 1;\n", who="agent")
        self.assertIn("ERROR 1142", done.stderr)
        self.assertEqual(done.stdout, "1\n")

    def test_commands(self):
        raw = Raw("shop", "agent")
        for command in (b"\x04staff\0", b"\x02mysql", b"\x05x", b"\x06x", b"\x07\x01", b"\x08", b"\x09", b"\x0a", b"\x0c\1\0\0\0", b"\x0d", b"\x12\0\0\0\0\0\0\0\0\0\0",
                        b"\x13x", b"\x15\0", b"\x11dba\0", b"\x1c\1\0\0\0\1\0\0\0", b"\x1e", b"\xfa", b"\x17\1\0\0\0\0\1\0\0\0"):
            self.assertIn(code(raw.ask(command)), (1142, 1235, 1243), command)
        self.assertEqual(raw.ask(bytes([PING]))[:1], b"\0")
        raw.close()

    def test_wrong_number_ends_it(self):
        raw = Raw("shop")
        self.assertEqual(code(raw.ask(b"\x03SELECT 1", seq=5)), 1835)
        self.assertTrue(raw.closed())


class TestRules(unittest.TestCase):
    """What the policy says beyond yes and no."""

    def refusal(self, connection, sql, *args):
        with self.assertRaises(pymysql.MySQLError) as e:
            rows(connection, sql, *args)
        return e.exception.args

    def test_approval(self):
        sql = "UPDATE orders SET status = 'void' WHERE id = 7"
        with connect("agent", autocommit=True) as c:
            number, text = self.refusal(c, sql)
            self.assertEqual(number, 1142)
            request = text.split("request ")[1].split(".")[0]
            done = subprocess.run([S.env["GH_CTL"], "approve", request, "--token-file", "-"], input=S.token("dba"), text=True, stdout=subprocess.PIPE)
            self.assertEqual(done.returncode, 0, done.stdout)
            with c.cursor() as cur:
                self.assertEqual(cur.execute(sql), 1)
            self.assertNotIn(request, self.refusal(c, sql)[1])
            rows(c, "SET @n = 8")
            self.assertIn("variables", self.refusal(c, "UPDATE orders SET status = 'void' WHERE id = @n")[1])
            self.assertIn("left behind", self.refusal(c, "UPDATE orders SET status = 'void' WHERE id = last_insert_id()")[1])
            self.assertIn("which connection it is", self.refusal(c, "UPDATE orders SET status = 'void' WHERE id = connection_id()")[1])
            self.assertIn("WHERE", self.refusal(c, "UPDATE orders SET status = 'void'")[1])
        with direct() as d:
            self.assertEqual(rows(d, "SELECT count(*) FROM orders WHERE status = 'void'"), ((1,),))

    def test_approval_means_the_same(self):
        """Of another collation, or behind a temporary table, the same bytes are another statement."""
        sql = "UPDATE orders SET status = 'void' WHERE id = 7 AND 'a' = 'A'"
        asked = []
        for says in ((), ("SET NAMES utf8mb4 COLLATE utf8mb4_bin",), (), ("SET autocommit = 1",)):
            with connect("agent", autocommit=True) as c:
                for s in says:
                    rows(c, s)
                asked.append(self.refusal(c, sql)[1].split("request ")[1].split(".")[0])
        self.assertEqual(asked[0], asked[2])
        self.assertEqual(asked[0], asked[3])
        self.assertNotEqual(asked[0], asked[1])
        sql = "UPDATE shop.orders SET status = 'void' WHERE id = 9"
        with connect("agent", token=S.mint("both@shop.example", ["ai-agents", "dbas"]), autocommit=True) as c:
            self.assertIn("waits for a decision", self.refusal(c, sql)[1])
            rows(c, "CREATE TEMPORARY TABLE shop.orders (id int, status text)")
            self.assertIn("temporary objects", self.refusal(c, sql)[1])

    def test_a_fresh_token_and_a_reason(self):
        with connect("agent") as c:
            fresh = S.mint("agent@shop.example", ["ai-agents"], key="rs256")
            rows(c, f"SET gatehouse.token = '{fresh}'")
            rows(c, "SET gatehouse.reason = 'the customer called'")
            self.assertEqual(rows(c, "SELECT count(*) FROM orders WHERE id < 3"), ((2,),))
            self.assertEqual(self.refusal(c, f"SET gatehouse.token = '{S.token('dba')}'")[0], 1045)
            self.assertEqual(self.refusal(c, f"SET @x = 1, gatehouse.token = '{fresh}'")[0], 1142)
        log = subprocess.run(stack.as_root("cat", f"{S.dir}/my/general.log"), stdout=subprocess.PIPE, check=True, text=True).stdout
        self.assertNotIn(fresh.split(".")[2], log)

    def test_limits(self):
        with connect("analyst") as c:
            self.assertEqual(len(rows(c, "SELECT id FROM orders WHERE id <= 10")), 10)
            self.assertEqual(self.refusal(c, "SELECT id FROM orders")[0], 1226)
            self.assertEqual(len(rows(c, "SELECT id FROM orders WHERE id <= 5")), 5)
            slow = "SELECT count(*) FROM orders a, orders b, orders c WHERE a.total + b.total + c.total < 0"
            self.assertEqual(self.refusal(c, slow)[0], 1226)
            with direct() as d:
                wait_until("the server stops", lambda: not [r for r in rows(d, "SHOW PROCESSLIST") if "a.total" in str(r[7]) and "SHOW" not in str(r[7])])
            self.assertEqual(len(rows(c, "SELECT id FROM orders WHERE id <= 5")), 5)


class TestProtocol(unittest.TestCase):
    """In shop_open, where everything runs."""

    def setUp(self):
        self.c = connect(database="shop_open", autocommit=True)
        self.addCleanup(self.c.close)

    def same(self, sql, *args):
        """As straight to the server, which has no masks and no filters."""
        with direct() as d:
            self.assertEqual(rows(self.c, sql, *args), rows(d, sql, *args))

    def test_results(self):
        self.same("SELECT * FROM customers ORDER BY id")
        self.same("SELECT count(*), sum(total), max(placed_at), NULL, 1.5e0 FROM orders")
        self.same("SELECT * FROM orders WHERE id < %s ORDER BY id", (100,))
        self.same("SELECT 1 WHERE 1 = 0")
        self.same("SELECT 'é', 'ж', '🐘'")

    def test_errors_pass(self):
        with self.assertRaises(pymysql.MySQLError) as e:
            rows(self.c, "SELECT * FROM nowhere")
        self.assertEqual(e.exception.args[0], 1146)
        self.assertEqual(rows(self.c, "SELECT 2"), ((2,),))

    def test_several_statements(self):
        from pymysql.constants import CLIENT
        with connect(database="shop_open", client_flag=CLIENT.MULTI_STATEMENTS) as c, c.cursor() as cur:
            cur.execute("SELECT 1; SELECT 2, 3; DO 0")
            out = [cur.fetchall()]
            while cur.nextset():
                out.append(cur.fetchall())
            self.assertEqual(out[:2], [((1,),), ((2, 3),)])
            self.assertEqual(rows(c, "SELECT 4"), ((4,),))

    def test_without_multi_statements(self):
        with self.assertRaises(pymysql.MySQLError) as e:
            rows(self.c, "SELECT 1; SELECT 2")
        self.assertEqual(e.exception.args[0], 1064)  # the server's own

    def test_great_rows_and_statements(self):
        self.same("SELECT repeat('x', 17000000), length(repeat('y', 16777215)), repeat('z', 16777211)")
        text = "a" * 9_000_000
        self.assertEqual(rows(self.c, "SELECT length(%s)", (text,)), ((9_000_000,),))
        with self.assertRaises(pymysql.MySQLError) as e:
            rows(self.c, "SELECT length(%s)", ("b" * 17_000_000,))
        self.assertEqual(e.exception.args[0], 1153)
        self.assertEqual(rows(self.c, "SELECT 1"), ((1,),))

    def test_a_slow_reader(self):
        c = connect(database="shop_open", cursorclass=pymysql.cursors.SSCursor)
        with c.cursor() as cur:
            cur.execute("SELECT a.id, repeat('x', 1000) FROM orders a, (SELECT id FROM orders LIMIT 10) b")
            time.sleep(0.3)
            self.assertEqual(sum(1 for _ in cur), 100_000)
        c.close()

    def test_transactions(self):
        rows(self.c, "CREATE TABLE IF NOT EXISTS t_tx (n int) ENGINE=InnoDB")
        rows(self.c, "DELETE FROM t_tx")
        self.c.begin()
        rows(self.c, "INSERT INTO t_tx VALUES (1)")
        self.c.rollback()
        self.c.begin()
        rows(self.c, "INSERT INTO t_tx VALUES (2)")
        self.c.commit()
        self.same("SELECT * FROM t_tx")

    def test_session_state_is_pinned(self):
        for sql in ("SET sql_mode = 'ANSI_QUOTES'", "SET NAMES gbk", "USE mysql"):
            c = connect(database="shop_open")
            with self.assertRaises(pymysql.MySQLError, msg=sql) as e:
                rows(c, sql)
            self.assertEqual(e.exception.args[0], 1053, sql)
            with self.assertRaises(pymysql.MySQLError):
                rows(c, "SELECT 1")
        self.c.select_db("shop_open")
        self.c.select_db("shop")
        self.assertEqual(rows(self.c, "SELECT DATABASE()"), (("shop",),))

    def test_what_the_server_reports_is_set_again(self):
        """MariaDB Connector/J takes sql_mode from the reports when it connects; the gate needs it there."""
        reported = "autocommit,character_set_client,character_set_connection,character_set_results,sql_mode,time_zone"
        agent = connect("agent")
        self.addCleanup(agent.close)
        for sql in ("set autocommit=1, session_track_schema=1, session_track_system_variables='auto_increment_increment'",
                    "set sql_mode=CONCAT(@@sql_mode,',STRICT_TRANS_TABLES'),session_track_system_variables = CONCAT(@@global.session_track_system_variables,',tx_isolation')",
                    "SET SESSION session_track_system_variables = DEFAULT", "SET @@session_track_system_variables = ''"):
            with self.subTest(sql):
                rows(agent, sql)
                self.assertEqual(set(rows(agent, "SELECT @@session_track_system_variables")[0][0].split(",")), set(reported.split(",")))
                self.assertEqual(rows(agent, "SELECT count(*) > 0 FROM orders"), ((1,),))
        with self.assertRaises(pymysql.MySQLError) as e:
            rows(agent, "SET session_track_system_variables = 'no_such_variable', autocommit = 7")
        self.assertNotEqual(e.exception.args[0], 1142)
        self.assertIn("sql_mode", rows(agent, "SELECT @@session_track_system_variables")[0][0])
        for sql in ("SET STATEMENT session_track_system_variables = '' FOR SELECT 1", "PREPARE s FROM 'SET session_track_system_variables = \'\''", "EXECUTE IMMEDIATE 'SET session_track_system_variables = \'\''"):
            with self.subTest(sql), self.assertRaises(pymysql.MySQLError) as e:
                rows(agent, sql)
            self.assertIn(e.exception.args[0], (1142, 1235))
        raw = Raw("shop", "agent", 0x10000 | 0x20000)
        self.addCleanup(raw.close)
        self.assertIn(b"may not be changed", raw.query("SET session_track_system_variables = ''; SELECT 1"))
        ident = raw.ask(b"\x16SET session_track_system_variables = ''")[1:5]
        for _ in range(2):
            self.assertEqual(raw.ask(b"\x17" + ident + b"\0\1\0\0\0")[:1], b"\0")
            self.assertEqual(raw.query("SELECT @@session_track_system_variables"), b"\1")
            _, _, row, _ = (raw.packet()[1] for _ in range(4))  # the column, EOF, the row, EOF
            self.assertEqual(set(row[1:].decode().split(",")), set(reported.split(",")))

    def test_reset_connection(self):
        raw = Raw()
        self.assertEqual(raw.query("SET @x = 5")[:1], b"\0")
        self.assertEqual(raw.ask(bytes([RESET]))[:1], b"\0")
        self.assertEqual(raw.query("SELECT @x")[:1], b"\1")
        raw.close()
        self.assertEqual(rows(self.c, "SELECT @@character_set_client, @@session_track_schema"), (("utf8mb4", 1),))

    def test_local_infile(self):
        """A file of the client's: when granted, and when not."""
        rows(self.c, "CREATE OR REPLACE TABLE t_file (n int)")
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("1\n" * 100_000)
            f.flush()
            sql = f"LOAD DATA LOCAL INFILE '{f.name}' INTO TABLE t_file"
            with connect(database="shop_open", local_infile=True, autocommit=True) as c:
                with c.cursor() as cur:
                    self.assertEqual(cur.execute(sql), 100_000)
                self.assertEqual(rows(c, "SELECT count(*) FROM t_file"), ((100_000,),))
            with connect("agent", local_infile=True) as c:
                with self.assertRaises(pymysql.MySQLError) as e:
                    rows(c, sql)
                self.assertEqual(e.exception.args[0], 1142)
        self.same("SELECT count(*) FROM t_file")

    def test_what_the_database_is_told(self):
        rows(self.c, "SELECT 'marker of test_what'")
        log = subprocess.run(stack.as_root("cat", f"{S.dir}/my/general.log"), stdout=subprocess.PIPE, check=True).stdout
        self.assertIn(b"marker of test_what", log)


class TestKill(unittest.TestCase):
    def sleeper(self, who="dba"):
        c = connect(who, database="shop_open")
        out = []

        def run():
            try:
                out.append(rows(c, "SELECT SLEEP(30), 'asleep'"))
            except pymysql.MySQLError as e:
                out.append(e)
        t = threading.Thread(target=run)
        began = time.monotonic()
        t.start()
        with direct() as d:
            wait_until("the statement runs", lambda: [r for r in rows(d, "SHOW PROCESSLIST") if "asleep" in str(r[7]) and "SLEEP" in str(r[7])])
        return c, t, out, began

    def killed(self, sleeper):
        c, t, out, began = sleeper
        t.join(15)
        self.assertFalse(t.is_alive())
        self.assertLess(time.monotonic() - began, 20)
        return c, out[0]

    def test_kill_query(self):
        sleeper = self.sleeper()
        with connect() as k:
            rows(k, f"KILL QUERY {sleeper[0].thread_id()}")
        c, out = self.killed(sleeper)
        self.assertTrue(isinstance(out, pymysql.MySQLError) and out.args[0] == 1317 or out[0][0] == 1, out)
        self.assertEqual(rows(c, "SELECT 1"), ((1,),))

    def test_kill_connection(self):
        sleeper = self.sleeper()
        raw = Raw("shop")
        self.assertEqual(raw.ask(b"\x0c" + struct.pack("<I", sleeper[0].thread_id()))[:1], b"\0")
        c, out = self.killed(sleeper)
        self.assertIsInstance(out, pymysql.MySQLError)
        raw.close()

    def test_somebody_elses(self):
        sleeper = self.sleeper()
        with connect("agent") as k:
            for sql in (f"KILL QUERY {sleeper[0].thread_id()}", f"KILL {sleeper[0].thread_id()}", "KILL 1", "KILL QUERY 99999999"):
                with self.assertRaises(pymysql.MySQLError) as e:
                    rows(k, sql)
                self.assertEqual(e.exception.args[0], 1142, sql)
        self.assertTrue(sleeper[1].is_alive())
        with connect() as k:
            rows(k, f"kill query {sleeper[0].thread_id()};")
        self.killed(sleeper)

    def test_control_c(self):
        process = mariadb("--unbuffered", database="shop_open", script="SELECT SLEEP(30), 'interrupt me';\n", wait=False)
        with direct() as d:
            wait_until("it runs", lambda: [r for r in rows(d, "SHOW PROCESSLIST") if "interrupt me" in str(r[7]) and "SLEEP" in str(r[7])])
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        self.assertLess(time.monotonic() - began, 15)


class TestBlock(unittest.TestCase):
    def test_principal(self):
        """Sessions end, what they run is stopped at the server, and no new one is let in."""
        ctl = S.env["GH_CTL"]
        idle, busy = connect("dba2"), connect("dba2")
        ended = []

        def run():
            try:
                rows(busy, "SELECT SLEEP(50)")
            except pymysql.MySQLError as e:
                ended.append(e)

        def sleeps():
            with direct() as c:
                return rows(c, "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(50)%'")
        thread = threading.Thread(target=run)
        thread.start()
        wait_until("it runs", sleeps)
        self.addCleanup(subprocess.run, [ctl, "unblock", "principal", "DBA2@shop.example"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run([ctl, "block", "principal", "DBA2@shop.example", "--reason", "it ran amok"], check=True, stdout=subprocess.DEVNULL)
        thread.join(20)
        self.assertTrue(ended)
        with self.assertRaises(pymysql.MySQLError):
            rows(idle, "SELECT 1")
        wait_until("the server was told", lambda: not sleeps())
        with self.assertRaisesRegex(pymysql.MySQLError, "this principal is blocked: it ran amok"):
            connect("dba2")
        connect("dba").close()
        subprocess.run([ctl, "unblock", "principal", "dba2@shop.example"], check=True, stdout=subprocess.DEVNULL)
        connect("dba2").close()


class TestUpstream(unittest.TestCase):
    """How Gatehouse logs in at MariaDB."""

    def use(self, plugin, password="shop's own"):
        with direct() as d:
            if plugin == "ed25519" and not rows(d, "SELECT 1 FROM information_schema.plugins WHERE plugin_name = 'ed25519'"):
                rows(d, "INSTALL SONAME 'auth_ed25519'")
            word = subprocess.run(stack.as_root("cat", f"{S.dir}/etc/shop.password"), stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
            rows(d, f"ALTER USER shop_owner@'127.0.0.1' IDENTIFIED VIA {plugin} USING PASSWORD('{word}') REQUIRE SSL")

    def tearDown(self):
        self.use("mysql_native_password")

    def test_methods(self):
        for plugin in ("ed25519", "mysql_native_password"):
            self.use(plugin)
            with connect(database="shop_open") as c:
                self.assertEqual(rows(c, "SELECT current_user()"), (("shop_owner@127.0.0.1",),))

    def test_wrong_password(self):
        with direct() as d:
            rows(d, "ALTER USER shop_owner@'127.0.0.1' IDENTIFIED BY 'another'")
        with self.assertRaises(pymysql.MySQLError) as e:
            connect(database="shop_open")
        self.assertEqual(e.exception.args[0], 1429)
        self.assertNotIn("shop_owner", e.exception.args[1])

    def test_database_away_and_back(self):
        c = connect(database="shop_open")
        self.assertEqual(rows(c, "SELECT 1"), ((1,),))
        S.stop("mariadb")
        self.addCleanup(S.start, "mariadb")
        with self.assertRaises(pymysql.MySQLError):
            rows(c, "SELECT 1")
        with self.assertRaises(pymysql.MySQLError) as e:
            connect(database="shop_open")  # says SET AUTOCOMMIT = 0
        self.assertEqual(e.exception.args[0], 1429)
        S.start("mariadb")
        with connect(database="shop_open") as d:
            self.assertEqual(rows(d, "SELECT 1"), ((1,),))


if __name__ == "__main__":
    unittest.main()
