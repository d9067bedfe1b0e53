"""What depends on the versions of a cell: that the servers are those that it names, what they report, and clients newer than Debian 12's.

t/matrix/run sets GH_MX_HAPROXY, GH_MX_POSTGRESQL and GH_MX_STORE (what the cell is), and GH_MX_PSQL_17 and GH_MX_PSQL_18 (psql programs).
"""
import os
import re
import signal
import struct
import subprocess
import threading
import unittest

import psycopg

import pgraw
import stack

SLOW = "SELECT count(*) FROM generate_series(1, 2000000000)"
RUNNING = f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{SLOW}%'"
# What a gate has to say differently: whose session it is, and what it pins.
OURS = {"application_name", "is_superuser", "session_authorization", "search_path"}


class Versions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    def psql(self, version, *args, start=False, **settings):
        env = dict(self.stack.client_env(), LC_ALL="C.UTF-8", **settings)
        command = [os.environ["GH_MX_PSQL_" + version], "-X", *args]
        if start:
            return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)

    def test_servers_of_this_cell(self):
        self.assertEqual(self.stack.direct("SHOW server_version")[0][0].split(".")[0], os.environ["GH_MX_POSTGRESQL"])
        said = self.stack.redis("INFO", "server")
        self.assertEqual(re.findall(r"^server_name:(\w+)", said, re.M) or ["redis"], [os.environ["GH_MX_STORE"]])
        program = os.environ.get("GH_HAPROXY", "/usr/sbin/haproxy")
        version = subprocess.run([program, "-v"], stdout=subprocess.PIPE, check=True, text=True).stdout
        self.assertIn(f"version {os.environ['GH_MX_HAPROXY']}.", version)
        exe = os.readlink(f"/proc/{self.stack.pid('haproxy')}/exe")
        self.assertEqual(os.path.basename(exe), "haproxy")

    def test_parameters_are_those_of_the_server(self):
        """Every ParameterStatus reaches the client, at the login that opens the upstream and at one that takes them from the cache."""
        want = pgraw.RawClient.direct(self.stack)
        self.addCleanup(want.close)
        for _ in range(2):
            got = pgraw.RawClient.gate(self.stack)
            self.addCleanup(got.close)
            self.assertEqual(set(got.parameters), set(want.parameters))
            same = set(want.parameters) - OURS
            self.assertEqual({n: got.parameters[n] for n in same}, {n: want.parameters[n] for n in same})
            self.assertEqual(got.parameters.get("search_path", '"public"'), '"public"')  # reported from 18 on, and as it is pinned

    def test_oauthbearer(self):
        """libpq 18 asks where to get a token, gets one from its program, and is let in by it."""
        path, issuer = self.stack.env["GH_CONFIG"], "https://idp.shop.example"
        with open(path) as f:
            before = f.read()

        def reload(text):
            with open(path, "w") as f:
                f.write(text)
            n = self.stack.log("gatehouse").count("event=reload ")
            self.stack.signal("gatehouse")
            stack.wait_until("a reload", lambda: self.stack.log("gatehouse").count("event=reload ") > n)

        def client(token, **more):
            settings = dict(host=self.stack.host, port=self.stack.port, user="someone", dbname="shop", sslmode="verify-full",
                            sslrootcert=self.stack.env["GH_CA"], oauth_issuer=issuer, oauth_client_id="tests",
                            options="'-c gatehouse.auth=oauthbearer'", **more)
            done = subprocess.run([os.environ["GH_MX_OAUTH_18"], " ".join(f"{k}={v}" for k, v in settings.items()), "SELECT count(*) FROM orders"],
                                  env=dict(os.environ, GH_TOKEN=token), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
            return done.returncode, done.stdout

        reload(before.replace("identity:\n", f"identity:\n  oauthbearer: {{ openid_configuration: \"{issuer}/.well-known/openid-configuration\", scope: gate }}\n"))
        try:
            self.assertEqual(client(self.stack.token("tester")), (0, f"asked at {issuer}/.well-known/openid-configuration for gate\n10000\n"))
            code, said = client("no.such.token")
            self.assertEqual(code, 1)
            self.assertIn("must be a valid OIDC access token", said)
            # A libpq that is set up for it, and a database that asks for a password: a clear end.
            reload(before)
            code, said = client(self.stack.token("tester"))
            self.assertEqual((code, "asked at" in said), (1, False))
        finally:
            reload(before)

    def test_direct_tls(self):
        for version in ("17", "18"):
            with self.subTest(version):
                done = self.psql(version, "-Atc", "SELECT 1", PGSSLNEGOTIATION="direct")
                self.assertEqual((done.returncode, done.stdout), (0, "1\n"))

    def test_describe_with_newer_psql(self):
        self.stack.scratch("CREATE TABLE scratch.items (id integer PRIMARY KEY, label text, price numeric(8,2));")
        for version in ("17", "18"):
            for command in (r"\d", r"\d+ scratch.items", r"\dt scratch.*", r"\dn", r"\df scratch.*", r"\di scratch.*", r"\dv", r"\l", r"\du", r"\dT", r"\conninfo"):
                with self.subTest(f"{version} {command}"):
                    done = self.psql(version, "-v", "ON_ERROR_STOP=1", "-c", command)
                    self.assertEqual(done.returncode, 0, done.stdout)
                    self.assertNotIn("ERROR", done.stdout)

    def test_protocol_3_2_is_negotiated_down(self):
        """libpq 18 may ask for 3.2, and for later ones by "latest". The gate speaks 3.0, and says so before anything else."""
        for wanted in ("3.0", "3.2", "latest"):
            done = self.psql("18", "-At", "-c", "SELECT 1", "-c", r"\conninfo", PGMAXPROTOCOLVERSION=wanted)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertRegex(done.stdout, r"(?m)^Protocol Version\|3\.0$")
        done = self.psql("18", "-Atc", "SELECT 'at least 3.2'", PGMINPROTOCOLVERSION="3.2", PGMAXPROTOCOLVERSION="latest")
        self.assertEqual(done.returncode, 2)
        self.assertIn("protocol version", done.stdout)
        self.assertNotIn("at least 3.2", self.stack.log("postgresql"))

    def test_negotiation_byte_for_byte(self):
        """NegotiateProtocolVersion before the question for the password: the version that is spoken, then the options that are not known."""
        for minor, options in ((2, []), (0, ["_pq_.a"]), (9999, ["_pq_.test_protocol_negotiation", "_pq_.b"])):
            client = pgraw.RawClient.tls(self.stack)
            client.send(pgraw.startup([("user", "tester"), ("database", "shop"), *[(o, "on") for o in options]], minor))
            kind, body = client.read()
            want = struct.pack(">II", 196608, len(options)) + b"".join(pgraw.cstr(o) for o in options)
            self.assertEqual((kind, body), ("v", want))
            client.login(lambda: self.stack.token("tester"))
            self.assertEqual([k for k, _ in client.run(pgraw.query("SELECT 1"))], ["T", "D", "C", "Z"])
            client.close()

    def test_cancel_by_newer_psql(self):
        for version in ("17", "18"):
            for more in ({}, {"PGSSLNEGOTIATION": "direct"}, *([{"PGMAXPROTOCOLVERSION": "3.2"}] if version == "18" else [])):
                with self.subTest(f"{version} {more}"):
                    client = self.psql(version, "-Atc", SLOW + f" -- {version} {len(more)}", start=True, **more)
                    stack.wait_until("the statement runs", lambda: self.stack.direct(RUNNING) == [(1,)])
                    client.send_signal(signal.SIGINT)
                    out, _ = client.communicate(timeout=30)
                    self.assertIn("canceling statement due to user request", out)
                    stack.wait_until("it has ended", lambda: self.stack.direct(RUNNING) == [(0,)])

    def test_cancel_inside_tls(self):
        """libpq 17 and later have PQcancelBlocking(), which sends CancelRequest inside TLS; dblink of PostgreSQL 17 and later calls it."""
        if int(os.environ["GH_MX_POSTGRESQL"]) < 17:
            client = pgraw.RawClient.gate(self.stack)
            self.addCleanup(client.close)
            client.send(pgraw.query(SLOW))
            stack.wait_until("the statement runs", lambda: self.stack.direct(RUNNING) == [(1,)])
            pgraw.RawClient.tls(self.stack).send(pgraw.cancel(*client.key))
            self.assertEqual(pgraw.error_fields(client.until("E")[-1][1])["C"], "57014")
            return
        with psycopg.connect(self.stack.env["GH_PG_DIRECT_URL"], autocommit=True) as server:
            server.execute("CREATE EXTENSION IF NOT EXISTS dblink")
            server.execute("SET log_statement = 'none'")  # the next text holds a token, and nobody's log should
            where = " ".join(f"{k}={v}" for k, v in self.stack.dsn().items())
            server.execute("SELECT dblink_connect('gate', %s)", [where])
            self.assertEqual(server.execute("SELECT dblink_send_query('gate', %s)", [SLOW]).fetchone(), (1,))
            stack.wait_until("the statement runs", lambda: self.stack.direct(RUNNING + " AND query NOT LIKE '%dblink%'") == [(1,)])
            self.assertEqual(server.execute("SELECT dblink_cancel_query('gate')").fetchone(), ("OK",))
            with self.assertRaises(psycopg.errors.QueryCanceled):
                server.execute("SELECT * FROM dblink_get_result('gate') AS t (n bigint)")
            server.execute("SELECT dblink_disconnect('gate')")

    def test_newer_syntax_is_refused_and_the_session_goes_on(self):
        """What PostgreSQL 15's grammar does not know never reaches a server that would understand it."""
        self.stack.scratch("CREATE TABLE scratch.t (id integer)")
        with self.stack.psycopg(autocommit=True) as conn:
            for sql in ("CREATE TABLE scratch.v (a integer, b integer GENERATED ALWAYS AS (a + 1) VIRTUAL)",
                        "UPDATE scratch.t SET id = 1 RETURNING WITH (OLD AS o) o.id",
                        "SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (n integer PATH '$'))",
                        "SELECT JSON_OBJECT('a': 1)",
                        "COPY scratch.t FROM STDIN (ON_ERROR ignore, LOG_VERBOSITY verbose) WHERE 'nonsense' NOT"):
                with self.subTest(sql), self.assertRaises(psycopg.errors.SyntaxError):
                    conn.execute(sql)
            self.assertEqual(conn.execute("SELECT 1").fetchone(), (1,))
        self.assertNotRegex(self.stack.log("postgresql"), "JSON_TABLE|VIRTUAL|OLD AS")

    def test_returning_old_and_new_is_a_read(self):
        """PostgreSQL 18 reads "old" and "new" in RETURNING as rows of the target; to an older grammar they are names. It takes SELECT either way."""
        with self.stack.psycopg("agent", autocommit=True) as conn:
            for sql in ("UPDATE staff SET id = id RETURNING old.name", "DELETE FROM staff RETURNING old.*", "INSERT INTO staff (id) VALUES (100) RETURNING new"):
                with self.subTest(sql), self.assertRaises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(sql)
        self.assertEqual(self.stack.direct("SELECT count(*) FROM staff"), [(20,)])


class UpstreamTLS(unittest.TestCase):
    """Gatehouse's own way to this cell's PostgreSQL, which lets its role in by TLS alone; SCRAM-SHA-256-PLUS or nothing; direct negotiation where the server can."""

    @classmethod
    def setUpClass(cls):
        cls.direct = int(os.environ["GH_MX_POSTGRESQL"]) >= 17
        more = "channel_binding: require" + (", negotiation: direct" if cls.direct else "")
        cls.stack = stack.Stack(config=lambda text: text.replace("tls: { ca_file: shop-ca.pem }", f"tls: {{ ca_file: shop-ca.pem, {more} }}"))
        cls.addClassCleanup(cls.stack.close)
        hba = "host all postgres 127.0.0.1/32 scram-sha-256\nhostssl all shop_owner 127.0.0.1/32 scram-sha-256\n"
        subprocess.run(stack.as_root("tee", f"{cls.stack.dir}/pg/pg_hba.conf"), input=hba, stdout=subprocess.DEVNULL, check=True, text=True)
        cls.stack.direct("SELECT pg_reload_conf()")
        stack.wait_until("the rules are in force", lambda: cls.stack.direct("SELECT count(*) FROM pg_hba_file_rules") == [(2,)])

    def test_it_is_tls(self):
        with open(self.stack.env["GH_CONFIG"]) as f:
            self.assertIn("channel_binding: require", f.read())
        with self.stack.psycopg(autocommit=True) as conn:
            self.assertEqual(conn.execute("SELECT 1").fetchone(), (1,))
            sql = "SELECT s.ssl, s.version FROM pg_stat_ssl s JOIN pg_stat_activity USING (pid) WHERE usename = 'shop_owner'"
            self.assertEqual(self.stack.direct(sql), [(True, "TLSv1.3")])

    def test_cancel(self):
        with self.stack.psycopg(autocommit=True) as conn:
            conn.execute("SELECT 1")
            timer = threading.Timer(1, conn.cancel)
            timer.start()
            with self.assertRaises(psycopg.errors.QueryCanceled):
                conn.execute(SLOW)
            timer.join()

    def test_who_it_is_survives_resets(self):
        with self.stack.psycopg(autocommit=True) as conn:
            for sql in ("SELECT 1", "RESET gatehouse.principal", "RESET ALL", "DISCARD ALL"):
                conn.execute(sql)
                self.assertEqual(conn.execute("SHOW gatehouse.principal", prepare=False).fetchone(), ("tester@shop.example",))


if __name__ == "__main__":
    unittest.main()
