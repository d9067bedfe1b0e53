"""MySQL 9.7 behind Gatehouse: what MariaDB cannot show. Its only way to log in is caching_sha2_password: full inside TLS, full with the server's RSA key, fast, and refused
where neither TLS nor a key is there. GH_MX_MYSQL names the folder that servers.sh unpacked it into. Needs root."""
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import pymysql

import haproxy
import stack
from stack import wait_until

ENTER = os.path.join(stack.TOP, "t", "matrix", "enter")
DATABASES = {"tls": "tls: { ca_file: shop-my-ca.pem }", "rsa": "tls: off, public_key_file: mysql.pub", "bare": "tls: off"}
POLICY = """version: 1
databases: { shop: {}, shop_my: {}, tls: {}, rsa: {}, bare: {} }
rules:
  - { name: dbas, groups: dbas, database: "*", allow: all, on: "*.*" }
  - { name: agents, groups: ai-agents, database: tls, allow: select, on: store.orders }
  - name: analysts
    groups: analysts
    database: tls
    allow: select
    on: store.people
    columns: { email: { mask: email }, phone: { mask: null }, born: { mask: { truncate: year } }, "*": visible }
    rows: "region = 'eu'"
"""
SETUP = """ALTER USER root@localhost IDENTIFIED BY '{word}';
CREATE DATABASE store;
CREATE USER gate@'127.0.0.1' IDENTIFIED WITH caching_sha2_password BY '{word}';
GRANT ALL ON store.* TO gate@'127.0.0.1';
CREATE TABLE store.orders (id int PRIMARY KEY, total decimal(10, 2));
INSERT INTO store.orders VALUES (1, 5.07), (2, 5.14);
CREATE TABLE store.people (id int PRIMARY KEY, email varchar(60), phone varchar(20), born date, region varchar(8), j json);
INSERT INTO store.people VALUES (1, 'ann@mail.example', '123', '1990-05-06', 'eu', '{{}}'), (2, 'bob@mail.example', '456', '1991-07-08', 'us', NULL);
CREATE VIEW store.names AS SELECT id, email FROM store.people;
"""


class Server:
    """MySQL on a port of its own, with the certificate that the stack's MariaDB has."""

    def __init__(self, tls):
        self.dir = tempfile.mkdtemp(prefix="gh-mysql.", dir="/tmp")
        shutil.chown(self.dir, "mysql")
        self.word = os.urandom(12).hex()
        self.port = haproxy.free_port()
        for name in ("server.crt", "server.key"):
            subprocess.run(["install", "-o", "mysql", "-m", "600", os.path.join(tls, name), self.dir], check=True)
        setup = self.path("setup.sql")
        with open(os.open(setup, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(SETUP.format(word=self.word))
        shutil.chown(setup, "mysql")
        self.command = [ENTER, os.environ["GH_MX_MYSQL"], "mysql", "/usr/sbin/mysqld", "--no-defaults", "--datadir=" + self.path("data")]
        self.run("--initialize-insecure").wait(120)
        self.process = self.run(f"--port={self.port}", "--bind-address=127.0.0.1", "--mysqlx=OFF", "--secure-file-priv=", "--skip-name-resolve", "--socket=" + self.path("my.sock"),
                                "--ssl-cert=" + self.path("server.crt"), "--ssl-key=" + self.path("server.key"), "--init-file=" + setup)
        wait_until("MySQL listens", self.listens, 90)

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, *more):
        with open(self.path("log"), "ab") as log:
            return subprocess.Popen([*self.command, *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def listens(self):
        assert self.process.poll() is None, "MySQL does not start: " + self.path("log")
        with open(self.path("log")) as f:
            return "ready for connections" in f.read()

    def forget(self):
        """The next login of each user must be a full one."""
        c = pymysql.connect(unix_socket=self.path("my.sock"), user="root", password=self.word)
        c.cursor().execute("FLUSH PRIVILEGES")
        c.close()

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.dir)


class MySQL(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(policy=POLICY, mysql=True)
        cls.addClassCleanup(cls.stack.close)
        cls.server = Server(os.path.join(cls.stack.dir, "mytls"))
        cls.addClassCleanup(cls.server.close)
        etc = os.path.join(cls.stack.dir, "etc")
        with open(os.open(os.path.join(etc, "mysql.password"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(cls.server.word + "\n")
        shutil.chown(os.path.join(etc, "mysql.password"), "daemon")
        shutil.copyfile(cls.server.path("data/public_key.pem"), os.path.join(etc, "mysql.pub"))
        more = "".join(f"  {name}: {{ engine: mysql, upstream: {{ host: 127.0.0.1, port: {cls.server.port}, {tls}, database: store, user: gate, "
                       "password_file: mysql.password } }\n" for name, tls in DATABASES.items())
        with open(cls.stack.env["GH_CONFIG"]) as f:
            text = f.read()
        with open(cls.stack.env["GH_CONFIG"], "w") as f:
            f.write(text.replace("\n\n# strict:", "\n\n" + more + "\n# strict:", 1))
        cls.stack.stop("gatehouse")
        cls.stack.start("gatehouse")
        wait_until("HAProxy sees the daemon", lambda: cls.connects("shop_my"))

    @classmethod
    def connects(cls, database):
        try:
            cls.connect(database).close()
            return True
        except pymysql.MySQLError:
            return False

    @classmethod
    def connect(cls, database, who="dba"):
        return pymysql.connect(host=cls.stack.env["GH_MY_HOST"], port=int(cls.stack.env["GH_MY_PORT"]), user=who, password=cls.stack.token(who), database=database,
                               ssl={"ca": cls.stack.env["GH_CA"]}, autocommit=None, read_timeout=60)

    def rows(self, connection, sql, *args):
        with connection.cursor() as c:
            c.execute(sql, *args)
            return c.fetchall()

    def test_masks_and_row_filters(self):
        with self.connect("tls", "analyst") as c:
            with c.cursor() as cur:
                cur.execute("SELECT email, upper(phone), born FROM people")
                self.assertEqual([d[0] for d in cur.description], ["email", "upper(phone)", "born"])
                self.assertEqual([[str(v) for v in r] for r in cur.fetchall()], [["a***@mail.example", "None", "1990-01-01"]])
            self.assertEqual(self.rows(c, "SELECT count(*) FROM people WHERE region = 'us'"), ((0,),))
            for sql in ("TABLE people", "SELECT * FROM (people)"):
                self.assertIn("a***@mail.example", self.rows(c, sql)[0], sql)
            for sql in ("SELECT * FROM names", "EXPLAIN SELECT * FROM people", "SHOW WARNINGS", "TABLE orders"):
                with self.assertRaises(pymysql.MySQLError, msg=sql) as e:
                    self.rows(c, sql)
                self.assertEqual(e.exception.args[0], 1142, sql)
            self.assertIn("masked: email", [r[4] for r in self.rows(c, "SHOW gatehouse.grants")])

    def test_ways_to_log_in(self):
        self.server.forget()
        with self.connect("bare") as c, self.assertRaises(pymysql.MySQLError) as e:
            self.rows(c, "SELECT 1")
        self.assertEqual(e.exception.args[0], 1429)
        self.assertIn("public_key_file", self.stack.log("gatehouse"))
        for database in ("rsa", "bare", "tls"):  # full by the key; then fast, which needs nothing; fast
            with self.connect(database) as c:
                self.assertEqual(self.rows(c, "SELECT id, total FROM orders ORDER BY id LIMIT 1")[0][0], 1)
        self.server.forget()
        with self.connect("tls") as c:
            self.assertEqual(self.rows(c, "SELECT 1"), ((1,),))

    def test_statements(self):
        with self.connect("tls", "agent") as c:
            self.assertEqual(self.rows(c, "SELECT count(*) FROM orders"), ((2,),))
            for sql in ("DROP TABLE orders", "SELECT user FROM mysql.user", "SET sql_mode = 'ANSI'", "SET PERSIST sql_mode = ''", "SELECT load_file('/etc/passwd')", "USE mysql"):
                with self.assertRaises(pymysql.MySQLError, msg=sql) as e:
                    self.rows(c, sql)
                self.assertEqual(e.exception.args[0], 1142, sql)
            self.assertTrue(self.rows(c, "SELECT @@version")[0][0].startswith("9."))

    def test_its_own_client(self):
        """mysql, whose library verifies names: statements, a refusal, KILL by Ctrl-C is tested with MariaDB's."""
        env, token = self.stack.env, self.stack.token("agent")
        path = os.path.join(self.stack.dir, "mysql.cnf")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(f"[client]\npassword={token}\nhost={env['GH_MY_HOST']}\nport={env['GH_MY_PORT']}\nprotocol=TCP\nuser=agent\nssl-mode=VERIFY_IDENTITY\nssl-ca={env['GH_CA']}\n")
        for more in ([], ["--get-server-public-key"], ["--enable-cleartext-plugin", "--default-auth=mysql_clear_password"]):
            done = subprocess.run([ENTER, os.environ["GH_MX_MYSQL"], "root", "/usr/bin/mysql", f"--defaults-file={path}", "--batch", "--skip-column-names", "--force", *more, "tls"],
                                  input="SELECT count(*) FROM orders;\nDROP TABLE orders;\nSELECT 7;\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
            self.assertEqual(done.stdout, "2\n7\n", done.stderr)
            self.assertIn("ERROR 1142 (42000)", done.stderr)

    def test_kill_query(self):
        c, out = self.connect("tls"), []
        t = threading.Thread(target=lambda: out.append(self.rows(c, "SELECT SLEEP(30)")))
        t.start()
        began = time.monotonic()
        while t.is_alive() and time.monotonic() - began < 20:
            with self.connect("tls") as k:
                self.rows(k, f"KILL QUERY {c.thread_id()}")
            t.join(1)
        self.assertFalse(t.is_alive())
        self.assertEqual(out, [((1,),)])
        c.close()


if __name__ == "__main__":
    sys.exit("run it by t/e2e/run.py")
