"""Mistakes of configuration, made one after another on a real stack: each gets one line that says what happened, why, and what to do, in the
daemon's log, from "gatehouse -t", or in HAProxy's log where only HAProxy can know."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

import psycopg

import stack

LINE = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)')


def fields(line):
    return {k: v[1:-1].replace('\\"', '"').replace("\\\\", "\\") if v.startswith('"') else v for k, v in LINE.findall(line)}


class MovedClock(threading.Thread):
    def __init__(self, upstream, seconds):
        super().__init__(daemon=True)
        self.upstream, self.seconds = upstream, seconds
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.upstream))
            for a, b, change in ((client, server, False), (server, client, True)):
                threading.Thread(target=self.carry, args=(a, b, change), daemon=True).start()

    def carry(self, a, b, change):
        while True:
            try:
                data = a.recv(65536)
                if change:
                    data = re.sub(rb"\$13\r\n(\d{13})\r\n", lambda m: b"$13\r\n%d\r\n" % (int(m.group(1)) + 1000 * self.seconds), data)
                b.sendall(data)
            except OSError:
                data = b""
            if not data:
                a.close()
                b.close()
                return

    def close(self):
        self.listener.close()


class Mistakes(unittest.TestCase):
    """One stack; each test changes files, and all of them are put back."""

    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack()
        cls.addClassCleanup(cls.stack.close)
        cls.etc = os.path.join(cls.stack.dir, "etc")
        cls.program = os.path.join(cls.stack.env["GH_BUILD"], "gatehouse")
        cls.doors = os.path.join(cls.stack.dir, "jail", "gatehouse")

    def setUp(self):
        stack.wait_until("the stack is as it was", lambda: self.connect() is None, 30)
        self.mark = len(self.stack.log("gatehouse"))

    def read(self, name):
        with open(os.path.join(self.etc, name)) as f:
            return f.read()

    def edit(self, name, *changes):
        """Replaces texts in a file of etc/, until the end of the test."""
        old = text = self.read(name)
        for before, after in changes:
            self.assertIn(before, text)
            text = text.replace(before, after)
        self.write(name, text)
        self.addCleanup(self.write, name, old)

    def write(self, name, text):
        with open(os.path.join(self.etc, name), "w") as f:
            f.write(text)

    def restart(self, name):
        self.stack.stop(name)
        if name == "gatehouse":
            self.mark = len(self.stack.log(name))
        self.stack.start(name)

    def restart_for_test(self, *names):
        """With what was edited; and again, with what was there before, when the test is over."""
        for name in names:
            self._cleanups.insert(0, (self.restart, (name,), {}))  # cleanups run from the last to the first: after every file
        for name in names:
            self.restart(name)

    def since(self):
        return [fields(line) for line in self.stack.log("gatehouse")[self.mark:].splitlines()]

    def events(self, event, **want):
        return [f for f in self.since() if f.get("event") == event and all(want[k] in (f.get(k) or "") for k in want)]

    def one(self, event, *remedy, seconds=15, **want):
        """Exactly one line of that event, with every text of remedy in what it says to do."""
        stack.wait_until(f"a line {event} {want}", lambda: self.events(event, **want), seconds)
        found = self.events(event, **want)
        self.assertEqual(len(found), 1, found)
        for text in remedy:
            self.assertIn(text, found[0]["do"])
        return found[0]

    def provoke(self, event, *remedy, **want):
        """Connects until there is such a line, and then some more: still one. (HAProxy itself refuses until it has seen the daemon back.)"""
        def seen():
            self.assertIsNotNone(self.connect())
            return self.events(event, **want)
        stack.wait_until(f"a line {event} {want}", seen, 30)
        for _ in range(3):
            self.assertIsNotNone(self.connect())
        return self.one(event, *remedy, **want)

    def connection(self):
        try:
            return self.stack.psycopg(autocommit=True)
        except psycopg.OperationalError:
            return None

    def connect(self, who="tester", sql="SELECT 1"):
        try:
            with self.stack.psycopg(who, autocommit=True) as conn:
                conn.execute(sql)
            return None
        except psycopg.Error as e:
            return e


class AtStart(Mistakes):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.stop("gatehouse")

    def setUp(self):
        pass

    def run_with(self, *changes, check=False):
        """The last line of a daemon that should not start, or all that -t says."""
        text = self.read("gatehouse.yaml")
        for before, after in changes:
            self.assertIn(before, text)
            text = text.replace(before, after)
        self.write("wrong.yaml", text)
        try:
            done = subprocess.run(stack.as_root(self.program, "-c", os.path.join(self.etc, "wrong.yaml"), *(["-t"] if check else [])),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
        except subprocess.TimeoutExpired as e:
            raise AssertionError(f"it started with {changes}: {e.stdout}")
        return done

    def fails(self, changes, *texts):
        done = self.run_with(*changes)
        self.assertEqual(done.returncode, 1, done.stdout)
        lines = [line for line in done.stdout.splitlines() if "event=start.failed" in line or line.startswith("/")]
        self.assertEqual(len(lines), 1, done.stdout)
        for text in texts:
            self.assertIn(text, lines[0])

    def says(self, changes, code, *texts):
        done = self.run_with(*changes, check=True)
        self.assertEqual(done.returncode, code, done.stdout)
        for text in texts:
            self.assertIn(text, done.stdout)

    def test_socket_folder_is_missing(self):
        change = [(f"{self.doors}/spop.sock", f"{self.stack.dir}/jail/nowhere/spop.sock")]
        self.fails(change, "nowhere/spop.sock: No such file", "install -d -o gatehouse")
        self.says(change, 1, "error: spop: the folder", "nowhere", "install -d")

    def test_socket_path_is_a_file(self):
        self.fails([(f"{self.doors}/spop.sock", f"{self.etc}/policy.yaml")], "not a socket", "correct the path")

    def test_journal(self):
        self.fails([("journal: journal", "journal: /proc/journal")], "/proc/journal", "make the folder above audit.journal")
        self.says([("journal: journal", f"journal: {self.stack.dir}/no/journal")], 1, "error: audit.journal", "install -d -o", "-m 0700")
        folder = os.path.join(self.etc, "roots-own")
        subprocess.run(stack.as_root("install", "-d", "-o", "root", "-m", "755", folder), check=True)
        self.fails([("journal: journal", "journal: roots-own")], "roots-own must belong to the daemon's user", "chmod 700")
        self.says([("journal: journal", "journal: roots-own")], 1, "chown -R")

    def test_keys(self):
        self.fails([("jwks_file: jwks.json", "jwks_file: none.json")], "wrong.yaml:", "none.json: No such file", "jwks_uri")
        self.write("empty.json", '{"keys": [{"kty": "oct", "k": "AA"}]}')
        self.fails([("jwks_file: jwks.json", "jwks_file: empty.json")], "wrong.yaml:", "no key that can verify", "jwks_uri")

    def test_database_host_is_unknown(self):
        self.fails([("host: 127.0.0.1\n      port", "host: no.such.host.invalid\n      port")], "no.such.host.invalid", "correct upstream.host")

    def test_policy_and_configuration_name_other_databases(self):
        self.fails([("  shop:\n    engine", "  shap:\n    engine")], "the policy does not list \"shap\"", "add it under databases")
        text = self.read("policy.yaml")
        self.write("more.yaml", text.replace("databases:\n", "databases:\n  gone: { mode: enforce }\n", 1))
        self.says([("policy: policy.yaml", "policy: more.yaml")], 0, "warning: databases: the policy lists the database \"gone\"", "do: add it")

    def test_attributes_that_no_issuer_keeps(self):
        rule = ("  - { name: by-region, groups: nobody, database: shop, allow: select, on: public.customers, rows: \"region = ${claim:region}\" }\n")
        self.write("claims.yaml", self.read("policy.yaml").rstrip("\n") + "\n" + rule)
        use = ("policy: policy.yaml", "policy: claims.yaml")
        self.says([use], 0, "warning: identity.issuers.attributes: the rule \"by-region\" filters rows by ${claim:region}, and no issuer keeps",
                  "do: add attributes: { region: region }")
        done = self.run_with(use, ("groups_claim: groups\n", "groups_claim: groups\n      attributes: { region: area }\n"), check=True)
        self.assertNotIn("attributes", done.stdout)

    def test_owner_is_no_peer(self):
        self.says([("peers: [haproxy]", "peers: [root]")], 0, "warning: spop: its owner haproxy", "add haproxy to spop.peers", "payload.peers")

    def test_peers_cannot_open_the_socket(self):
        for given in ("  owner: daemon\n", ""):
            self.says([("  owner: haproxy\n", given)], 0, "warning: spop: user haproxy, one of its peers, cannot open the socket, which will be", "with mode 0600",
                      "set spop.owner: haproxy", "set payload.owner: haproxy")

    def test_the_daemons_own_door(self):
        """Its owner is the daemon unless somebody is named, and root needs no right: nothing to warn of."""
        done = self.run_with(("drain_timeout: 5s", f"drain_timeout: 5s\nadmin: {{ socket: {self.doors}/own.sock, peers: [root] }}"), check=True)
        self.assertNotIn("warning: admin", done.stdout)

    def test_peers_cannot_enter_the_folder(self):
        subprocess.run(stack.as_root("chmod", "700", self.doors), check=True)
        self.addCleanup(subprocess.run, stack.as_root("chmod", "755", self.doors), check=True)
        self.says([], 0, "warning: spop: user haproxy, one of its peers, cannot enter the folder", "-g haproxy -m 0750")

    def test_metrics_address(self):
        self.fails([("drain_timeout: 5s", "drain_timeout: 5s\nmetrics: { listen: 192.0.2.1:9640 }")], "192.0.2.1:9640", "no such address",
                   "correct metrics.listen")

    def test_descriptors(self):
        with open(os.path.join(self.etc, "wrong.yaml"), "w") as f:
            f.write(self.read("gatehouse.yaml") + "limits: { sessions: 5000 }\n")
        done = subprocess.run(stack.as_root("bash", "-c", f"ulimit -n 1000; exec '{self.program}' -t -c '{self.etc}/wrong.yaml'"),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("warning: limits.sessions: 5000 sessions need 10128 file descriptors, and there may be 1000", done.stdout)
        self.assertIn("LimitNOFILE", done.stdout)


class HAProxySide(Mistakes):
    def test_wrong_path_for_the_chroot(self):
        """HAProxy looks for the path inside its jail: nothing connects, and after a while the daemon says so once; and again only after a change."""
        self.edit("gatehouse.yaml", ("spop:\n", "spop:\n  silence: 2s\n"))
        self.edit("haproxy.cfg", ("unix@/gatehouse/spop.sock", f"unix@{self.doors}/spop.sock"))
        self.restart_for_test("haproxy", "gatehouse")
        line = self.one("spop.silent", "chroot", "/gatehouse/spop.sock", "namei -l", "spop.peers")
        self.assertEqual(line["socket"], f"{self.doors}/spop.sock")
        time.sleep(3)  # a second silence's worth: nothing new to say
        self.one("spop.silent")
        self.doCleanups()
        self.assertEqual(self.events("spop.silent"), [])

    def test_haproxy_comes_and_goes(self):
        self.edit("gatehouse.yaml", ("spop:\n", "spop:\n  silence: 2s\n"))
        self.restart_for_test("gatehouse")
        self.stack.stop("haproxy")
        try:
            self.one("spop.silent")
        finally:
            self.stack.start("haproxy")
        self.one_heard()
        self.stack.stop("haproxy")
        stack.wait_until("it says so again", lambda: len(self.events("spop.silent")) == 2)
        self.stack.start("haproxy")

    def one_heard(self):
        stack.wait_until("spop.heard", lambda: self.events("spop.heard"))
        self.assertEqual(len(self.events("spop.heard")), 1)

    def test_peers(self):
        """HAProxy checks every second; the log has one line."""
        self.edit("gatehouse.yaml", ("peers: [haproxy]", "peers: [root]"))
        self.restart_for_test("gatehouse")
        uid = subprocess.run(["id", "-u", "haproxy"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        line = self.one("door.peer_refused", "spop.peers", door="spop")
        self.assertEqual(line["uid"], uid)
        time.sleep(3)
        self.one("door.peer_refused", door="spop")
        self.one("preflight", "add haproxy to spop.peers", key="spop")

    def refuse_some(self, reason, *remedy):
        self.restart_for_test("gatehouse", "haproxy")
        self.provoke("payload.refused", *remedy, reason=reason)

    def test_no_unique_id_format(self):
        self.edit("haproxy.cfg", ("    unique-id-format %[var(txn.gh.ticket)]\n", ""))
        self.refuse_some("no ticket", "unique-id-format", "proxy-v2-options unique-id", "gatehouse-pg.cfg")

    def test_no_unique_id_option(self):
        self.edit("haproxy.cfg", (" proxy-v2-options unique-id,ssl", ""))
        self.refuse_some("no ticket", "proxy-v2-options unique-id")

    def test_no_proxy_header(self):
        self.edit("haproxy.cfg", (" send-proxy-v2 proxy-v2-options unique-id,ssl track", " track"))
        self.refuse_some("PROXY header", "send-proxy-v2")

    def test_checks_at_the_payload_door(self):
        self.edit("haproxy.cfg", ("unique-id,ssl track gh_agent/gatehouse", "unique-id,ssl check inter 500ms"))
        self.restart_for_test("gatehouse", "haproxy")
        self.one("payload.refused", "track gh_agent/gatehouse")
        time.sleep(2)
        self.one("payload.refused")

    def test_message_without_its_arguments(self):
        self.edit("gatehouse.spoe.cfg", ("src=src src_port=src_port ", ""))
        self.restart_for_test("gatehouse", "haproxy")
        self.provoke("spop.message", "gatehouse.spoe.cfg", message="session")

    def test_message_of_another_engine(self):
        self.edit("gatehouse.spoe.cfg", ("engine=str(postgresql)", "engine=str(oracle)"))
        self.restart_for_test("gatehouse", "haproxy")
        self.provoke("spop.message", "gatehouse.spoe.cfg", reason="engine")

    def haproxy_lines(self, before, text):
        """New ones: by content, because a restarted HAProxy writes its log file from the beginning (it takes O_APPEND from its stdout)."""
        return [line for line in self.stack.log("haproxy").splitlines() if line not in before and text in line and " gh_pg_tls" in line]

    def test_what_haproxy_logs(self):
        """The fields of haproxy-conf/README.md: for a session, for one that is refused, and while there is no daemon."""
        before = set(self.stack.log("haproxy").splitlines())
        self.assertIsNone(self.connect())
        line = stack.wait_until("HAProxy's line", lambda: self.haproxy_lines(before, "gh=allow"))[0]
        session = re.search(r" session=(\S+) ", line).group(1)
        self.assertEqual([e["session"] for e in self.stack.audit() if e["type"] == "session.open" and e["session"] == session], [session])
        self.assertRegex(line, r' reason="" gh_error=-$')
        self.edit("gatehouse.yaml", ("drain_timeout: 5s", "drain_timeout: 5s\nlimits: { sessions: 1 }"))
        self.restart_for_test("gatehouse")
        with stack.wait_until("it serves again, and the session before has ended", self.connection, 30) as conn:
            conn.execute("SELECT 1")
            before = set(self.stack.log("haproxy").splitlines())
            self.assertEqual(self.connect().sqlstate or "53300", "53300")
            line = stack.wait_until("HAProxy's line", lambda: self.haproxy_lines(before, "gh=refuse"))[0]
            self.assertRegex(line, r' session=\S{20,} reason="sessions" gh_error=-$')
        self.stack.stop("gatehouse")
        try:
            before = set(self.stack.log("haproxy").splitlines())
            self.assertIsNotNone(self.connect())
            line = stack.wait_until("HAProxy's line", lambda: self.haproxy_lines(before, "gh=-"))[0]
            self.assertRegex(line, r" session=- .* gh_error=\d+$")
        finally:
            self.stack.start("gatehouse")


class Behind(Mistakes):
    """Redis, PostgreSQL, the issuer."""

    def redis(self, *args):
        out = self.stack.redis(*args)
        self.assertNotIn("ERR", out)
        return out

    def test_redis_is_not_there(self):
        self.edit("gatehouse.yaml", (f"port: {self.stack.env['GH_REDIS_PORT']}", "port: 1"))
        self.restart_for_test("gatehouse")
        self.one("ledger.redis_away", "redis.port", why="Connection refused")
        time.sleep(2)
        self.one("ledger.redis_away")

    def test_redis_password(self):
        subprocess.run(stack.as_root("install", "-o", "daemon" if os.getuid() == 0 else str(os.getuid()), "-m", "600", "/dev/stdin",
                                     os.path.join(self.etc, "redis.password")), input=b"wr0ng-s3cret\n", check=True)
        port = f"port: {self.stack.env['GH_REDIS_PORT']}"
        self.redis("ACL", "SETUSER", "ledger", "on", ">right", "~*", "+@all")
        self.addCleanup(self.redis, "ACL", "DELUSER", "ledger")
        self.edit("gatehouse.yaml", (port, port + "\n  user: ledger\n  password_file: redis.password"))
        self.restart_for_test("gatehouse")
        self.one("ledger.redis_away", "redis.password_file", why="WRONGPASS")
        self.assertNotIn("wr0ng", self.stack.log("gatehouse"))

    def test_redis_rights(self):
        self.restart_for_test("gatehouse")
        self.redis("ACL", "SETUSER", "default", "-xadd")
        try:
            self.restart("gatehouse")
            self.one("ledger.redis_away", "doc/ledger.md", why="XADD")
            time.sleep(3)
            self.one("ledger.redis_away")
        finally:
            self.redis("ACL", "SETUSER", "default", "+@all")
        stack.wait_until("it goes on by itself", lambda: self.connect() is None)

    def test_redis_memory(self):
        self.restart_for_test("gatehouse")
        self.redis("CONFIG", "SET", "maxmemory", "1")
        try:
            self.restart("gatehouse")
            self.one("ledger.redis_away", "maxmemory", why="OOM")
        finally:
            self.redis("CONFIG", "SET", "maxmemory", "0")
        stack.wait_until("it goes on by itself", lambda: self.connect() is None)

    def test_redis_clock(self):
        """A proxy before the real Redis moves the one number that tells its time (libfaketime and Redis's allocator do not get along)."""
        proxy = MovedClock(int(self.stack.env["GH_REDIS_PORT"]), 90)
        self.addCleanup(proxy.close)
        self.edit("gatehouse.yaml", (f"port: {self.stack.env['GH_REDIS_PORT']}", f"port: {proxy.port}"))
        self.restart_for_test("gatehouse")
        self.assertRegex(self.one("ledger.clock", "NTP")["reason"], r"Redis's machine is (89|90|91) s ahead of ours")
        self.assertEqual(self.events("ledger.redis_away"), [])

    def test_full_disk(self):
        self.stack.stop("gatehouse")
        folder = os.path.join(self.etc, "small")
        owner = "daemon" if os.getuid() == 0 else str(os.getuid())
        subprocess.run(stack.as_root("install", "-d", folder), check=True)
        subprocess.run(stack.as_root("mount", "-t", "tmpfs", "-o", f"size=256k,mode=700,uid={owner}", "none", folder), check=True)
        self.addCleanup(subprocess.run, stack.as_root("umount", folder), check=True)
        self.edit("gatehouse.yaml", ("journal: journal", "journal: small"), ("node: shop-1", "node: shop-2"))
        self.stack.start("gatehouse")
        self._cleanups.insert(1, (self.restart, ("gatehouse",), {}))
        stack.wait_until("it serves", lambda: self.connect() is None)
        self.mark = len(self.stack.log("gatehouse"))
        subprocess.run(stack.as_root("dd", "if=/dev/zero", f"of={folder}/fill", "bs=4k"), stderr=subprocess.DEVNULL)
        self.assertIsNotNone(self.connect(sql="SELECT '" + "x" * 20000 + "'"))
        stack.wait_until("it is said", lambda: self.events("ledger.unavailable"))
        found = self.events("ledger.unavailable")  # a short event may find room in the last page meanwhile: then it is said once more
        self.assertIn(len(found), (1, 2, 3), found)
        for line in found:
            self.assertIn("No space left", line["why"])
            self.assertIn("free space", line["do"])
        subprocess.run(stack.as_root("rm", f"{folder}/fill"), check=True)
        stack.wait_until("it goes on by itself", lambda: self.connect() is None)

    def upstream(self, change, *remedy, **want):
        self.edit("gatehouse.yaml", change)
        self.restart_for_test("gatehouse")
        self.upstream_fails(*remedy, **want)

    def upstream_fails(self, *remedy, **want):
        line = self.provoke("upstream.failed", *remedy, **want)
        self.assertEqual(line["upstream"], "127.0.0.1:" + self.stack.env["GH_PG_PORT_DIRECT"])

    def test_database_name(self):
        self.upstream(("database: shop\n", "database: shup\n"), "upstream.database", sqlstate="3D000")

    def test_database_port(self):
        self.edit("gatehouse.yaml", (f"port: {self.stack.env['GH_PG_PORT_DIRECT']}", "port: 1"))
        self.restart_for_test("gatehouse")
        self.provoke("upstream.failed", "upstream.port", "listen_addresses", reason="Connection refused")

    def test_database_password(self):
        self.restart_for_test("gatehouse")
        self.stack.direct("ALTER ROLE shop_owner PASSWORD 'an0ther'")
        with open(os.path.join(self.etc, "shop.password")) as f:
            old = f.read().strip()
        try:
            self.upstream_fails("upstream.password_file", "upstream.user", sqlstate="28P01")
            self.assertNotIn(old, self.stack.log("gatehouse"))
        finally:
            self.stack.direct(f"ALTER ROLE shop_owner PASSWORD '{old}'")

    def hba(self, lines):
        path = os.path.join(self.stack.dir, "pg", "pg_hba.conf")
        old = subprocess.run(stack.as_root("cat", path), check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(stack.as_root("tee", path), input=lines.encode(), stdout=subprocess.DEVNULL, check=True)
        self.stack.signal("postgresql")
        return path, old

    def test_database_wants_tls(self):
        path, old = self.hba("host all postgres 127.0.0.1/32 scram-sha-256\nhostssl all shop_owner 127.0.0.1/32 scram-sha-256\n")
        try:
            self.upstream(("tls: { ca_file: shop-ca.pem }", "tls: off"), "tls: off", sqlstate="28000")
        finally:
            subprocess.run(stack.as_root("tee", path), input=old, stdout=subprocess.DEVNULL, check=True)
            self.stack.signal("postgresql")

    def test_clocks_of_the_issuer(self):
        ahead = int(time.time()) + 90
        token = self.stack.mint("tester@shop.example", ["testers"], "--claim", f"iat={ahead}", "--claim", f"nbf={ahead}")
        self.mark = len(self.stack.log("gatehouse"))
        with self.assertRaises(psycopg.Error):
            self.stack.psycopg(password=token)
        self.assertRegex(self.one("login.refused", "NTP", "leeway")["do"], r"begins (8[5-9]|90) s in this machine's future")

    def test_key_that_is_not_known(self):
        token = self.stack.mint("tester@shop.example", ["testers"], "--kid", "rotated")
        self.mark = len(self.stack.log("gatehouse"))
        with self.assertRaises(psycopg.Error):
            self.stack.psycopg(password=token)
        self.one("login.refused", "fetch its JWK set", "reload")


class Doctor(Mistakes):
    """gatehousectl doctor: quiet when all is well, and each mistake by name."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = os.path.join(cls.etc, "policy.yaml")  # without the databases that this stack has not, and their rules
        with open(path) as f:
            rules = re.split(r"(?m)^(?=  - name: )", re.sub(r"  shop_(my|gone):\n    mode: enforce\n", "", f.read()))
        text = "".join(r for r in rules if not re.search(r"(?m)^    database: .*shop_(my|gone)", r))
        assert "database: shop\n" in text and "shop_my" not in text and "shop_gone" not in text
        with open(path, "w") as f:
            f.write(text)

    def doctor(self, code, *texts, haproxy="haproxy.cfg"):
        done = subprocess.run(stack.as_root(self.stack.env["GH_CTL"], "doctor", "-c", self.stack.env["GH_CONFIG"], "--haproxy",
                                            os.path.join(self.etc, haproxy)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout)
        for text in texts:
            self.assertIn(text, done.stdout)
        return done.stdout

    def test_all_is_well(self):
        out = self.doctor(0, "ok       daemon: it runs, and its last reload took", "ok       redis", "ok       shop", "ok       haproxy", "0 problems\n")
        self.assertNotIn("problem ", out)
        self.assertNotIn("note ", out)

    def checked(self):
        done = subprocess.run(stack.as_root(self.program, "-t", "-c", self.stack.env["GH_CONFIG"]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_daemon(self):
        with self.subTest("a reload that failed"):
            self.edit("policy.yaml", ("mode: enforce", "mode: enforced"))
            self.stack.reload(ok=False)
            self.doCleanups()
            self.doctor(1, "problem  daemon: its last reload failed: ", "policy.yaml:", "enforced", "1 problem\n")
            self.stack.reload()
        with self.subTest("it does not run"):
            self.stack.stop("gatehouse")
            try:
                self.doctor(1, "problem  daemon: it does not run", "1 problem\n")
            finally:
                self.stack.start("gatehouse")

    def test_files_that_the_daemons_user_cannot_read(self):
        """The start reads them as root, a reload does not."""
        self.assertNotIn("warning: user", self.checked())
        path = os.path.join(self.etc, "policy.yaml")
        subprocess.run(stack.as_root("chmod", "600", path), check=True)
        subprocess.run(stack.as_root("chown", "root", path), check=True)
        self.addCleanup(subprocess.run, stack.as_root("chmod", "644", path), check=True)
        wanted = ("a reload would fail, because it reads the files as daemon: ", "policy.yaml", "Permission denied")
        self.doctor(1, "problem  user: ", *wanted, "1 problem\n")
        text = self.checked()
        for want in ("warning: user: ", *wanted, "do: let daemon read that file"):
            self.assertIn(want, text)

    def test_mode_observe(self):
        self.edit("policy.yaml", ("mode: enforce", "mode: observe"))
        self.doctor(0, "note     databases: the policy has the database \"shop\" in mode observe: nothing is refused, hidden, masked", "0 problems\n")
        self.assertIn("note: databases: the policy has the database \"shop\" in mode observe", self.checked())

    def test_a_second_haproxy(self):
        """It puts its own socket where the running one's is, and leaves it behind when it ends, as it does when it cannot bind a port."""
        self.addCleanup(self.restart, "haproxy")
        done = subprocess.run(stack.as_root("timeout", "--signal=KILL", "5", "haproxy", "-f", os.path.join(self.etc, "haproxy.cfg")), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
        self.assertNotEqual(done.returncode, 0)
        self.doctor(1, "problem  haproxy: nobody listens at ", "pg-tls.sock", "restart HAProxy")

    def test_haproxy(self):
        for before, after, *texts in (
            ("server gatehouse unix@/gatehouse/spop.sock", f"server gatehouse unix@{self.doors}/spop.sock", "off the front of the path"),
            ("server gatehouse unix@/gatehouse/payload.sock", "server gatehouse unix@/elsewhere/payload.sock", "no server line leads to", "payload.sock"),
            (" proxy-v2-options unique-id,ssl", "", "hands no ticket over"),
            ("send-proxy-v2 proxy-v2-options unique-id", "proxy-v2-options unique-id", "hands no ticket over"),
            ("unique-id-format %[var(txn.gh.ticket)]", "# none", "unique-id-format %[var(txn.gh.ticket)]"),
            ("gatehouse_starttls.lua", "gatehouse_startls.lua", "lua-load"),
            ("tune.ssl.hard-maxrecord 8192", "tune.ssl.hard-maxrecord 16000", "tune.ssl.hard-maxrecord 8192", "hang"),
            ("tune.ssl.hard-maxrecord 8192", "# none", "tune.ssl.hard-maxrecord 8192"),
            ("user haproxy\n", "user nobody\n", "add nobody to peers"),
            ("server tls unix@/gatehouse/pg-tls.sock send-proxy-v2", "server tls unix@/gatehouse/pg-tls.sock", "pg-tls.sock sends no PROXY header"),
            ("    tcp-request content send-spoe-group gatehouse session\n", "    tcp-request content accept if TRUE\n    tcp-request content send-spoe-group gatehouse session\n",
             "gh_pg_tls has \"tcp-request content accept\"", "lets everybody pass"),
            ("    tcp-request content send-spoe-group gatehouse session\n", "    tcp-request content send-spoe-group gatehouse session\n    default_backend gh_pg_gatehouse\n",
             "gh_pg_tls has \"default_backend\""),
            ("frontend gh_pg_tls\n", "defaults\n    default_backend gh_pg_gatehouse\n\nfrontend gh_pg_tls\n", "gh_pg_tls has \"default_backend\", its own or its defaults'"),
            ("frontend gh_pg_tls\n", "defaults lax\n    default_backend gh_pg_gatehouse\n\ndefaults\n    mode tcp\n\nfrontend gh_pg_tls from lax\n",
             "gh_pg_tls has \"default_backend\""),
            ("config " + self.etc + "/gatehouse.spoe.cfg", "config /nowhere.cfg", "/nowhere.cfg does not send"),
        ):
            with self.subTest(after):
                self.edit("haproxy.cfg", (before, after))
                self.doctor(1, *texts)
                self.doCleanups()

    def test_redis_and_database(self):
        self.edit("gatehouse.yaml", (f"port: {self.stack.env['GH_REDIS_PORT']}", "port: 1"), (f"port: {self.stack.env['GH_PG_PORT_DIRECT']}", "port: 2"))
        self.doctor(1, "problem  redis", "start Redis", "problem  shop: 127.0.0.1:2 cannot be reached: Connection refused", "listen_addresses", "2 problems\n")

    def test_policy_that_does_not_fit(self):
        self.doctor(0, "ok       shop: the policy's rules with columns or rows fit its relations")
        with open(os.path.join(self.etc, "policy.yaml")) as f:
            rules = f.read()
        self.edit("policy.yaml", (rules, rules + "\n  - { name: mistyped, groups: nobody, database: shop, allow: select, on: public.staff,"
                                                 " columns: { slary: hidden, \"*\": visible } }\n"))
        self.doctor(1, "problem  shop: the rule \"mistyped\" makes public.staff unusable", '"slary", which does not exist; did you mean "salary"?',
                    "do: correct the rule", "1 problem\n")

    def test_attributes(self):
        """A filter that reads what nobody's identity has is told by doctor, a reload and whoami."""
        token = self.stack.mint("ann@shop.example", ["by-regions"])
        rules = self.read("policy.yaml")
        self.addCleanup(self.stack.signal, "gatehouse", signal.SIGHUP)  # behind the files
        self.edit("policy.yaml", (rules, rules + "\n  - { name: by-region, groups: by-regions, database: shop, allow: select, on: public.customers,"
                                                 " rows: \"region = ${claim:region}\" }\n"))

        def whoami(*more):
            return subprocess.run(stack.as_root(self.stack.env["GH_CTL"], "whoami", "-c", self.stack.env["GH_CONFIG"], "--token-file", "-", *more), input=token,
                                  stdout=subprocess.PIPE, text=True, timeout=60).stdout
        self.stack.signal("gatehouse", signal.SIGHUP)
        self.one("preflight", "add attributes: { region: region }", key="identity.issuers.attributes")
        self.doctor(1, "problem  identity.issuers.attributes: the rule \"by-region\" filters rows by ${claim:region}", "1 problem\n")
        said = whoami()
        self.assertIn("warning  database shop: the rule by-region shows no rows: it filters them by ${claim:region}, and the token has no attribute region", said)
        self.assertIn("do: add attributes: { region: region } to this issuer", said)
        self.edit("gatehouse.yaml", ("groups_claim: groups\n", "groups_claim: groups\n      attributes: { region: area }\n"))
        self.doctor(0)
        self.assertIn("do: have the provider put the claim area into the token", whoami())
        shop, = [d for d in json.loads(whoami("--json"))["databases"] if d["name"] == "shop"]
        self.assertEqual([(m["rule"], m["attribute"]) for m in shop["missing_attributes"]], [("by-region", "region")])
        token = self.stack.mint("ann@shop.example", ["by-regions"], "--claim", "area=eu")
        self.assertNotIn("warning", whoami())

    def test_configuration(self):
        self.edit("gatehouse.yaml", ("node:", "nodes:"))
        self.doctor(1, "problem  configuration", "gatehouse.yaml:")
