"""The database's credential: from files, commands and the environment, by group, changed while sessions run. No statement fails for that, and nobody gets to see it."""
import os
import subprocess
import threading
import unittest

import psycopg

import stack
from test_mistakes import fields


class Credentials(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack()
        cls.addClassCleanup(cls.stack.close)
        cls.etc = os.path.join(cls.stack.dir, "etc")
        with open(cls.stack.env["GH_CONFIG"]) as f:
            cls.config = f.read()
        cls.file = os.path.join(cls.etc, "shop.password")
        cls.daemon = subprocess.run(stack.as_root("stat", "-c", "%U", cls.file), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        cls.first = cls.read()
        cls.now = cls.first
        cls.secrets = [cls.first]

    @classmethod
    def read(cls):
        return subprocess.run(stack.as_root("cat", cls.file), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    @classmethod
    def tearDownClass(cls):
        """Nothing that was ever a password is in a log, in the record, or was said to a client (see run())."""
        seen = cls.stack.log("gatehouse") + cls.stack.log("haproxy") + cls.stack.log("redis") + cls.stack.redis("--scan") + str(cls.stack.audit())
        seen += str(cls.stack.stream("gatehouse:sessions"))
        for secret in cls.secrets:
            if secret in seen:
                raise AssertionError(f"a password was shown: {secret}")

    def setUp(self):
        self.mark = len(self.stack.log("gatehouse"))
        self.errors = []

    def put(self, path, text, mode="600"):
        """As the daemon's own."""
        subprocess.run(stack.as_root("tee", path), input=text, stdout=subprocess.DEVNULL, check=True, text=True)
        subprocess.run(stack.as_root("chmod", mode, path), check=True)
        subprocess.run(stack.as_root("chown", self.daemon, path), check=True)

    def server_password(self, password, role="shop_owner"):
        self.stack.direct(f"ALTER ROLE {role} PASSWORD '{password}'")
        type(self).secrets.append(password)

    def gate(self, *changes):
        text = self.config
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new, 1)
        self.reconfigure(text)
        self.addCleanup(self.reconfigure, self.config)

    def reconfigure(self, text, ok=True):
        with open(self.stack.env["GH_CONFIG"], "w") as f:
            f.write(text)
        return self.stack.reload(ok)

    def one(self, sql="SELECT current_user::text", who="tester"):
        with self.stack.psycopg(who, autocommit=True) as conn:
            return conn.execute(sql).fetchone()[0]

    def events(self, name):
        return [fields(line) for line in self.stack.log("gatehouse")[self.mark:].splitlines() if f"event={name} " in line]

    # --- tests ---

    def test_rotation_under_load(self):
        """Source first, then the server, a few times, while clients connect all the time: none of their statements fails."""
        stop, failed, done = threading.Event(), [], [0]

        def client():
            while not stop.is_set():
                try:
                    self.one("SELECT 1")
                    done[0] += 1
                except psycopg.Error as e:
                    failed.append(str(e))

        clients = [threading.Thread(target=client) for _ in range(4)]
        for c in clients:
            c.start()
        try:
            for i in range(3):
                password = f"r0tated-{i}"
                self.put(self.file, password + "\n")
                self.server_password(password)
                before = done[0]
                stack.wait_until("logins with the new one", lambda: done[0] > before + 20 or failed, 60)
                stack.wait_until("time for another reading", lambda: len(self.events("credential.renewed")) > i or failed)
        finally:
            stop.set()
            for c in clients:
                c.join()
            self.put(self.file, self.first + "\n")
            self.server_password(self.first)
        self.assertEqual(failed, [])
        self.assertEqual(len(self.events("credential.renewed")), 3)
        self.assertEqual(self.events("upstream.failed"), [])

    def test_first_login_of_all(self):
        """Where the client's login itself needs the server's parameters."""
        self.put(self.file, "f1rst\n")
        self.server_password("f1rst")
        self.addCleanup(self.server_password, self.first)
        self.addCleanup(self.put, self.file, self.first + "\n")
        self.stack.stop("gatehouse")
        self.put(self.file, "n0t yet\n")
        self.stack.start("gatehouse")
        stack.wait_until("it has read its files", lambda: self.events("start"))
        self.put(self.file, "f1rst\n")
        stack.wait_until("HAProxy sees the daemon", self.works, 30)
        self.assertEqual(len(self.events("credential.renewed")), 1)

    def works(self):
        try:
            return self.one("SELECT 1")
        except psycopg.Error:
            return False

    def test_wrong_everywhere(self):
        self.server_password("s0mething else")
        self.addCleanup(self.server_password, self.first)
        with self.stack.psycopg(autocommit=True) as conn:
            for _ in range(3):
                with self.assertRaises(psycopg.Error) as caught:
                    conn.execute("SELECT 1")
                self.assertEqual(caught.exception.sqlstate, "08006")
                self.assertNotIn("shop_owner", str(caught.exception))
            self.put(self.file, "s0mething else\n")
            self.addCleanup(self.put, self.file, self.first + "\n")
            stack.wait_until("the same session works", lambda: self.executes(conn))
        self.assertRegex(self.stack.log("gatehouse"), r"event=upstream.failed .*sqlstate=\"?28P01")  # once a minute

    @staticmethod
    def executes(conn):
        try:
            return conn.execute("SELECT 1").fetchone()
        except psycopg.Error:
            return None

    def command(self, script):
        path = os.path.join(self.etc, "password.sh")
        self.put(path, "#!/bin/sh\n" + script, "700")
        return f"password_command: [{path}, shop]"

    def test_command(self):
        self.gate(("password_file: shop.password", self.command(f"id -un >{self.stack.dir}/log/who; cat {self.file}\n")))
        self.assertEqual(self.one(), "shop_owner")
        with self.subTest("changed in both places"):
            self.put(self.file, "fr0m the command\n")
            self.server_password("fr0m the command")
            self.addCleanup(self.server_password, self.first)
            self.addCleanup(self.put, self.file, self.first + "\n")
            self.assertEqual(self.one(), "shop_owner")
        with self.subTest("it hangs: that statement fails after a while, other sessions go on"):
            with self.stack.psycopg(autocommit=True) as other:
                other.execute("SELECT 1")
                self.command("echo 'the vault is slow' >&2; sleep 1000\n")
                self.server_password("an0ther")
                waiting = threading.Thread(target=lambda: self.errors.append(self.works()))
                waiting.start()
                while waiting.is_alive():
                    self.assertEqual(other.execute("SELECT 1").fetchone(), (1,))
                    threading.Event().wait(0.05)
            self.assertEqual(self.errors, [False])
            line = self.events("credential.failed")[-1]
            self.assertIn("did not end within 10 s", line["reason"])
            self.assertIn("the vault is slow", self.events("credential.command")[-1]["stderr"])
        for script, reason in (("echo an0ther; exit 7\n", "exited with 7"), ("exec yes an0ther\n", "more than 4096"), ("true\n", "is empty")):
            with self.subTest(script):
                self.command(script)
                self.assertFalse(self.works())
                self.assertIn(reason, self.events("credential.failed")[-1]["reason"])
        with self.subTest("it prints the password to its standard error too"):
            self.command("set -x; echo an0ther\n")
            self.assertTrue(self.works())
            self.assertIn("kept back", self.events("credential.command")[-1]["stderr"])

    def test_command_runs_as_the_daemon(self):
        """Also before the daemon has become it, and on a reload; each time once, though root's start reads the files as that user again."""
        who = os.path.join(self.stack.dir, "who")
        self.put(who, "", "600")
        self.gate(("password_file: shop.password", self.command(f"id -un >>{who}; cat {self.file}\n")))
        self.stack.stop("gatehouse")
        self.stack.start("gatehouse")
        stack.wait_until("HAProxy sees the daemon", self.works, 30)
        names = subprocess.run(stack.as_root("cat", who), check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        self.assertEqual(names, [self.daemon] * 2)
        subprocess.run(stack.as_root(self.stack.env["GH_BUILD"] + "/gatehouse", "-t", "-c", self.stack.env["GH_CONFIG"]), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        names = subprocess.run(stack.as_root("cat", who), check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        self.assertEqual(names, [self.daemon] * 3)

    def test_by_group(self):
        """The first entry that has one of the session's groups counts; else the default."""
        for role in ("for_agents", "for_dbas"):
            self.stack.direct(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD '{role}-s3cret'")
            self.put(os.path.join(self.etc, role), role + "-s3cret\n")
            type(self).secrets.append(role + "-s3cret")
        more = "password_file: shop.password\n      credentials:\n"
        more += "        - { groups: [nobody, dbas], user: for_dbas, password_file: for_dbas }\n"
        more += "        - { groups: [ai-agents, dbas], user: for_agents, password_file: for_agents }"
        self.gate(("password_file: shop.password", more))
        for who, role in (("dba", "for_dbas"), ("agent", "for_agents"), ("tester", "shop_owner"), ("dba2", "for_dbas"), ("agent", "for_agents")):
            with self.subTest(who):
                with self.stack.psycopg(who, autocommit=True) as conn:
                    # before and after its own connection is there: never the other role's parameters
                    self.assertEqual(conn.execute("SELECT current_user::text").fetchone()[0], role)
                    self.assertEqual(conn.info.parameter_status("session_authorization"), role)

    def test_environment(self):
        self.assertIn("GH_NOT_SET is not set", self.refused("password_file: shop.password", "password_env: GH_NOT_SET"))

    def refused(self, old, new):
        self.assertIn(old, self.config)
        line = self.reconfigure(self.config.replace(old, new, 1), ok=False)
        self.reconfigure(self.config)
        return line

    def test_memory(self):
        """No core file, no reading by the daemon's own user, and locked."""
        pid = self.stack.pid("gatehouse")
        status = subprocess.run(stack.as_root("cat", f"/proc/{pid}/status"), check=True, stdout=subprocess.PIPE, text=True).stdout
        locked = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmLck:"))
        self.assertGreaterEqual(locked, 1024)
        maps = subprocess.run(stack.as_root("cat", f"/proc/{pid}/smaps"), check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertRegex(maps, r"VmFlags: .*\blo\b.*\bdd\b")  # locked, and not in dumps
        owner = os.stat(f"/proc/{pid}/mem")
        self.assertEqual(owner.st_uid, 0)


if __name__ == "__main__":
    unittest.main()
