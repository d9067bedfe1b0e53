"""TLS between Gatehouse and the database: a PostgreSQL that lets Gatehouse's role in by TLS alone, its certificates changed under way, and a man in the middle.

What is refused is refused without a way back to plain text: 08001 or 08006 for the client, nothing of the reason; one line with what to do in the log."""
import os
import socket
import subprocess
import threading
import time
import unittest

import psycopg

import stack
from test_mistakes import fields

HBA = "hostnossl all postgres 127.0.0.1/32 scram-sha-256\nhostssl all postgres 127.0.0.1/32 scram-sha-256\n"
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


class Middle(threading.Thread):
    """Between Gatehouse and PostgreSQL. first: what becomes of the first bytes, a function of (client, server) sockets that ends the negotiation its way."""

    def __init__(self, upstream, first):
        super().__init__(daemon=True)
        self.upstream, self.first = upstream, first
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.seen = []  # all that Gatehouse sent
        self.start()

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        server = socket.create_connection(("127.0.0.1", self.upstream))
        try:
            self.seen.append(client.recv(8, socket.MSG_WAITALL))
            self.first(client, server)
        except OSError:
            pass
        back = threading.Thread(target=self.carry, args=(server, client), daemon=True)
        back.start()
        self.carry(client, server, self.seen)
        back.join()

    @staticmethod
    def carry(a, b, seen=None):
        try:
            while data := a.recv(65536):
                if seen is not None:
                    seen.append(data)
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


def through(client, server):
    server.sendall(SSL_REQUEST)
    client.sendall(server.recv(1))


def no_tls(client, server):
    """The classic: it says that there is no TLS, and waits for the password."""
    client.sendall(b"N")


def error_packet(message):
    body = b"SFATAL\0C28000\0M" + message + b"\0\0"
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body


def an_error(client, server):
    client.sendall(error_packet(b"ha ha"))


def injected(client, server):
    server.sendall(SSL_REQUEST)
    client.sendall(server.recv(1) + error_packet(b"as if from inside"))


def injected_later(client, server):
    server.sendall(SSL_REQUEST)
    client.sendall(server.recv(1))
    time.sleep(0.3)
    client.sendall(error_packet(b"as if from inside"))


def closes(client, server):
    client.close()


class UpstreamTLS(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack()
        cls.addClassCleanup(cls.stack.close)
        cls.port = cls.stack.env["GH_PG_PORT_DIRECT"]
        cls.pki = os.path.join(cls.stack.dir, "pgtls")
        with open(cls.stack.env["GH_CONFIG"]) as f:
            cls.config = f.read()
        cls.pg = os.path.join(cls.stack.dir, "pg")
        cls.good = {name: cls.root("cat", f"{cls.pg}/{name}").stdout for name in ("server.crt", "server.key", "pg_hba.conf")}
        cls.daemon = cls.root("stat", "-c", "%U", f"{cls.stack.dir}/etc/shop.password").stdout.strip()

    @staticmethod
    def root(*command, data=None):
        return subprocess.run(stack.as_root(*command), input=data, check=True, stdout=subprocess.PIPE, text=True)

    def setUp(self):
        self.hba("hostssl all shop_owner 127.0.0.1/32 scram-sha-256")
        self.mark = len(self.stack.log("gatehouse"))

    # --- the database's side ---

    def put(self, name, text):
        self.root("tee", f"{self.pg}/{name}", data=text)

    def reload_server(self):
        before = self.stack.log("postgresql").count("received SIGHUP")
        self.stack.signal("postgresql")
        stack.wait_until("PostgreSQL read its files", lambda: self.stack.log("postgresql").count("received SIGHUP") > before)
        time.sleep(0.1)  # the postmaster reads them after it has said so

    def hba(self, *lines):
        self.put("pg_hba.conf", HBA + "\n".join(lines) + "\n")
        self.reload_server()

    def certificate(self, name, san="DNS:localhost,IP:127.0.0.1", ca=None, days=30, subject="/CN=localhost", digest="sha256"):
        """Paths of a certificate and its key; ca: the folder of one; None: self-signed."""
        base = os.path.join(self.pki, name)
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", base + ".key"], check=True)
        with open(base + ".ext", "w") as f:
            f.write(f"subjectAltName={san}\n" if san else "basicConstraints=CA:FALSE\n")
        subprocess.run(["openssl", "req", "-new", "-key", base + ".key", "-subj", subject, "-out", base + ".csr"], check=True, stderr=subprocess.DEVNULL)
        sign = ["-CA", f"{ca}/ca.pem", "-CAkey", f"{ca}/ca.key", "-CAcreateserial"] if ca else ["-signkey", base + ".key"]
        subprocess.run(["openssl", "x509", "-req", "-in", base + ".csr", *sign, "-" + digest, "-days", str(days), "-extfile", base + ".ext", "-out", base + ".crt"],
                       check=True, stderr=subprocess.DEVNULL)
        return base + ".crt", base + ".key"

    def serve(self, pair):
        """The server has this certificate until the end of the test."""
        for name, path in zip(("server.crt", "server.key"), pair):
            with open(path) as f:
                self.put(name, f.read())
        self.reload_server()
        self.addCleanup(self.serve_good)

    def serve_good(self):
        for name in ("server.crt", "server.key"):
            self.put(name, self.good[name])
        self.reload_server()

    # --- the gate's side ---

    def gate(self, tls="{ ca_file: shop-ca.pem }", *changes, host="127.0.0.1", port=None):
        """The daemon with this upstream.tls, until the end of the test."""
        text = self.config
        for old, new in (("\ndatabases:\n", "\nlimits: { upstream_connect: 20s }\ndatabases:\n"),  # other tests may keep the disk busy
                         ("tls: { ca_file: shop-ca.pem }", "tls: " + tls), (f"port: {self.port}", f"port: {port or self.port}"),
                         ("host: 127.0.0.1\n      port", f"host: {host}\n      port"), *changes):
            self.assertIn(old, text)
            text = text.replace(old, new, 1)
        self.reconfigure(text)
        self.addCleanup(self.reconfigure, self.config)

    def reconfigure(self, text, ok=True):
        with open(self.stack.env["GH_CONFIG"], "w") as f:
            f.write(text)
        return self.stack.reload(ok)

    def middle(self, first):
        m = Middle(int(self.port), first)
        self.addCleanup(m.close)
        return m

    def works(self, sql="SELECT 1"):
        with self.stack.psycopg(autocommit=True) as conn:
            return conn.execute(sql).fetchone()

    def fails(self, reason, todo, sqlstate="08001"):
        """Both at the first login, which needs the server's parameters, and at a statement."""
        with self.assertRaises(psycopg.Error) as caught:
            self.works()
        said = str(caught.exception)
        self.assertIn("Gatehouse", said)
        for secret in (reason, "shop_owner", "ha ha", "as if from inside", self.port):
            self.assertNotIn(secret, said)
        lines = [fields(line) for line in self.stack.log("gatehouse")[self.mark:].splitlines() if "event=upstream.failed" in line]
        lines = [line for line in lines if reason in line["reason"]]
        self.assertTrue(lines, self.stack.log("gatehouse")[self.mark:])
        self.assertIn(todo, lines[0]["do"])
        return said

    def refused_config(self, text, *changes):
        config = self.config
        for old, new in changes:
            self.assertIn(old, config)
            config = config.replace(old, new, 1)
        line = self.reconfigure(config, ok=False)
        self.assertIn(text, line)
        self.reconfigure(self.config)

    def doctor(self):
        return subprocess.run(stack.as_root(self.stack.env["GH_CTL"], "doctor", "-c", self.stack.env["GH_CONFIG"]), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60).stdout

    def test_doctor(self):
        """gatehousectl doctor goes the daemon's way, and says what is wrong with it."""
        self.assertIn("takes Gatehouse's login", self.doctor())
        self.hba("hostssl all shop_owner 127.0.0.1/32 reject")
        self.assertIn("pg_hba.conf rejects", self.doctor())
        self.hba("hostssl all shop_owner 127.0.0.1/32 scram-sha-256")
        self.serve(self.certificate("doctor"))
        said = self.doctor()
        self.assertIn("self-signed certificate", said)
        self.assertIn("upstream.tls.ca_file", said)
        self.gate("off")
        self.hba("hostnossl all shop_owner 127.0.0.1/32 scram-sha-256")
        said = self.doctor()
        self.assertIn("databases.shop.upstream.tls: off", said)
        self.assertIn("takes Gatehouse's login", said)

    def ssl_of_session(self):
        """Of the session, and of a reading of the catalog beside it: they are alike."""
        return self.stack.direct("SELECT DISTINCT s.ssl, s.version FROM pg_stat_ssl s JOIN pg_stat_activity USING (pid) WHERE usename = 'shop_owner'")

    # --- tests ---

    def test_verified(self):
        with self.stack.psycopg(autocommit=True) as conn:
            self.assertEqual(conn.execute("SELECT 1").fetchone(), (1,))
            self.assertEqual(self.ssl_of_session(), [(True, "TLSv1.3")])

    def test_much_data_both_ways(self):
        self.stack.scratch("CREATE TABLE scratch.big (n integer, t text)")
        with self.stack.psycopg(autocommit=True) as conn:
            with conn.cursor().copy("COPY scratch.big FROM STDIN") as copy:
                for i in range(20000):
                    copy.write_row((i, "x" * 500))
            rows = conn.execute("SELECT n, t FROM scratch.big ORDER BY n").fetchall()
            self.assertEqual((len(rows), rows[19999]), (20000, (19999, "x" * 500)))
            self.assertEqual(conn.execute("SELECT length(%s::text)", ["y" * 5000000]).fetchone(), (5000000,))

    def test_channel_binding(self):
        """require is only met by SCRAM-SHA-256-PLUS, for each digest that a certificate may be signed with."""
        for digest in ("sha256", "sha384", "sha512"):
            with self.subTest(digest):
                self.serve(self.certificate("digest-" + digest, ca=self.pki, digest=digest))
                self.gate("{ ca_file: shop-ca.pem, channel_binding: require }")
                self.assertEqual(self.works(), (1,))

    def test_channel_binding_that_cannot_be_had(self):
        self.hba("hostssl all shop_owner 127.0.0.1/32 md5")  # the stored secret is SCRAM's: PostgreSQL offers SCRAM, with -PLUS
        self.gate("{ ca_file: shop-ca.pem, channel_binding: require }")
        self.assertEqual(self.works(), (1,))
        for method in ("trust", "password"):
            with self.subTest(method):
                self.hba(f"hostssl all shop_owner 127.0.0.1/32 {method}")
                self.fails("channel binding is required, and the server logs in without", "scram-sha-256")

    def test_tls_1_2(self):
        self.stack.direct("ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.2'")
        try:
            self.reload_server()
            with self.stack.psycopg(autocommit=True) as conn:
                conn.execute("SELECT 1")
                self.assertEqual(self.ssl_of_session(), [(True, "TLSv1.2")])
        finally:
            self.stack.direct("ALTER SYSTEM RESET ssl_max_protocol_version")
            self.reload_server()

    def test_wrong_authority(self):
        self.serve(self.certificate("self"))
        self.fails("self-signed certificate", "upstream.tls.ca_file")
        with self.subTest("the self-signed certificate itself may be the authority"):
            self.gate(f"{{ ca_file: {self.pki}/self.crt }}")
            self.assertEqual(self.works(), (1,))
        with self.subTest("the system's authorities do not know it"):
            self.gate("{}")
            self.fails("certificate", "upstream.tls.ca_file")

    def test_wrong_name(self):
        self.serve(self.certificate("other", san="DNS:db.example,DNS:*.wild.example", ca=self.pki))
        self.fails("IP address mismatch", "server_name")
        self.gate("{ ca_file: shop-ca.pem, server_name: localhost }")
        self.fails("hostname mismatch", "server_name")
        for tls in ("{ ca_file: shop-ca.pem, server_name: db.example }", "{ ca_file: shop-ca.pem, server_name: a.wild.example }",
                    "{ ca_file: shop-ca.pem, verify: ca }"):
            with self.subTest(tls):
                self.gate(tls)
                self.assertEqual(self.works(), (1,))

    def test_expired(self):
        self.serve(self.certificate("expired", ca=self.pki, days=-1))
        self.fails("certificate has expired", "renew")

    def test_server_without_tls(self):
        self.stack.direct("ALTER SYSTEM SET ssl = off")
        try:
            self.reload_server()
            self.fails("does not speak TLS", "ssl = on")
        finally:
            self.stack.direct("ALTER SYSTEM RESET ssl")
            self.reload_server()

    def test_man_in_the_middle(self):
        for first, reason, todo in ((no_tls, "does not speak TLS", "ssl = on"), (an_error, "answered the request for TLS with an error", "look at its log"),
                                    (injected, "plain text behind", "find out who"), (injected_later, "wrong version number", "negotiation"),
                                    (closes, "closed the connection when it was asked", "log")):
            with self.subTest(first.__name__):
                middle = self.middle(first)
                self.gate(port=middle.port)
                # a fresh daemon, because the log says each reason once a minute
                self.stack.stop("gatehouse")
                self.mark = len(self.stack.log("gatehouse"))
                self.stack.start("gatehouse")
                stack.wait_until("HAProxy sees the daemon", self.reaches, 30)
                self.fails(reason, todo)
                sent = b"".join(middle.seen)
                self.assertTrue(sent.startswith(SSL_REQUEST))
                for word in (b"shop_owner", b"user\0", b"SELECT"):
                    self.assertNotIn(word, sent)

    def reaches(self):
        """An error of Gatehouse's own, not of HAProxy's."""
        try:
            self.works()
        except psycopg.Error as e:
            return "Gatehouse" in str(e)
        return True

    def test_who_only_carries_sees_nothing(self):
        middle = self.middle(through)
        self.gate(port=middle.port)
        self.assertEqual(self.works("SELECT 'c4n4ry' || 1"), ("c4n4ry1",))
        sent = b"".join(middle.seen)
        self.assertIn(SSL_REQUEST, sent)
        for word in (b"shop_owner", b"c4n4ry", b"SELECT"):
            self.assertNotIn(word, sent)

    def test_direct_negotiation_needs_17(self):
        self.gate("{ ca_file: shop-ca.pem, negotiation: direct }")
        self.fails("connection was closed", "17")

    def test_client_certificate(self):
        crt, key = self.certificate("client", ca=self.pki, subject="/CN=shop_owner", san=None)
        stranger, stranger_key = self.certificate("stranger", subject="/CN=shop_owner", san=None)
        self.root("chown", self.daemon, key, stranger_key)
        self.root("chmod", "755", self.pki)
        self.root("chmod", "644", crt, stranger)
        self.put("ca.crt", self.root("cat", f"{self.pki}/ca.pem").stdout)
        self.stack.direct("ALTER SYSTEM SET ssl_ca_file = 'ca.crt'")
        try:
            self.hba("hostssl all shop_owner 127.0.0.1/32 cert")
            self.fails("connection requires a valid client certificate", "certificate_file")
            with self.subTest("no password at all"):
                self.gate(f"{{ ca_file: shop-ca.pem, certificate_file: {crt}, key_file: {key} }}", ("      password_file: shop.password\n", ""))
                self.assertEqual(self.works(), (1,))
                self.assertEqual(self.works(), (1,))
            with self.subTest("certificate and password"):
                self.hba("hostssl all shop_owner 127.0.0.1/32 scram-sha-256 clientcert=verify-full")
                self.gate(f"{{ ca_file: shop-ca.pem, certificate_file: {crt}, key_file: {key} }}")
                self.assertEqual(self.works(), (1,))
            with self.subTest("of a stranger"):
                self.gate(f"{{ ca_file: shop-ca.pem, certificate_file: {stranger}, key_file: {stranger_key} }}")
                self.fails("unknown ca", "ssl_ca_file")
            with self.subTest("a key that others can read"):
                self.root("chmod", "640", key)
                self.refused_config("can be read by others", ("{ ca_file: shop-ca.pem }", f"{{ ca_file: shop-ca.pem, certificate_file: {crt}, key_file: {key} }}"))
                self.root("chmod", "600", key)
            with self.subTest("another's key"):
                self.refused_config("is not the key of", ("{ ca_file: shop-ca.pem }", f"{{ certificate_file: {crt}, key_file: {stranger_key} }}"))
        finally:
            self.stack.direct("ALTER SYSTEM RESET ssl_ca_file")
            self.reload_server()

    def test_cancel_goes_over_tls(self):
        middle = self.middle(through)
        self.gate(port=middle.port)
        with self.stack.psycopg(autocommit=True) as conn:
            conn.execute("SELECT 1")
            timer = threading.Timer(1, conn.cancel)
            timer.start()
            with self.assertRaises(psycopg.errors.QueryCanceled):
                conn.execute("SELECT count(*) FROM generate_series(1, 2000000000)")
            timer.join()
        sent = b"".join(middle.seen)
        self.assertGreaterEqual(sent.count(SSL_REQUEST), 2)
        self.assertNotIn(bytes.fromhex("04d2162e"), sent)  # CancelRequest's code, in the clear
        self.assertNotIn("cancel.failed", self.stack.log("gatehouse")[self.mark:])

    def test_off(self):
        self.hba("hostnossl all shop_owner 127.0.0.1/32 scram-sha-256")
        self.gate("off")
        with self.stack.psycopg(autocommit=True) as conn:
            conn.execute("SELECT 1")
            self.assertEqual(self.ssl_of_session(), [(False, None)])
        done = subprocess.run(stack.as_root(f"{self.stack.env['GH_BUILD']}/gatehouse", "-t", "-c", self.stack.env["GH_CONFIG"]), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("warning: databases.shop.upstream.tls: off", done.stdout)

    def test_mistakes_of_configuration(self):
        tls = "tls: { ca_file: shop-ca.pem }"
        for new, text in (("tls: { verify: none }", "verify"), ("tls: { verify: ca }", "needs ca_file"), ("tls: { ca_file: nothing.pem }", "nothing.pem"),
                          ("tls: { ca_file: policy.yaml }", "no certificates in PEM"), ("tls: on", "must be off, or a map"),
                          ("tls: { certificate_file: a }", "go together"), ("tls: { negotiation: never }", "negotiation"),
                          ("tls: off\n      allow_cleartext: true", "in clear text over a network")):
            with self.subTest(new):
                self.refused_config(text, (tls, new))


if __name__ == "__main__":
    unittest.main()
