"""The whole stack for end-to-end tests: examples/quickstart up, with a policy of the tests' own.

    stack.shared()   one stack for all tests that break nothing; with GH_DIR in the environment, the one that runs there
    stack.Stack()    one of its own, for a test that kills processes; close() it

Both use the programs in GH_BUILD when that is set (t/run sets it), else the quickstart builds them.
"""
import asyncio
import atexit
import fcntl
import json
import os
import pty
import re
import shlex
import signal
import ssl
import struct
import subprocess
import tempfile
import termios
import time
import urllib.request

import leaks
import pgraw
from haproxy import free_port

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUICKSTART = os.path.join(TOP, "examples", "quickstart")
POLICY = os.path.join(TOP, "t", "e2e", "policy.yaml")
SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")


def as_root(*command):
    return list(command) if os.getuid() == 0 else ["sudo", "--", *command]


def read_env(directory):
    """The export lines of GH_DIR/env."""
    out = {}
    with open(os.path.join(directory, "env")) as f:
        for line in f:
            name, value = shlex.split(line)[1].split("=", 1)
            out[name] = value
    return out


def read(path):
    with open(path) as f:
        return f.read()


def edit(path, change):
    """Puts what change makes of the file's text into it, which must be another; gives the old one."""
    old = read(path)
    new = change(old)
    assert new != old, path
    with open(path, "w") as f:
        f.write(new)
    return old


def own_policy():
    """The policy of the tests' own."""
    return read(POLICY)


def shop_policy():
    return read(os.path.join(TOP, "examples", "shop", "policy.yaml"))


def with_metrics(text):
    """A configuration with metrics on a free port, for Stack.metric()."""
    return text + f"\nmetrics: {{ listen: 127.0.0.1:{free_port()} }}\n"


class Stack:
    def __init__(self, config=None, directory=None, build=None, policy=None, mysql=False, page=False):
        """config: a function that takes the text of examples/shop/gatehouse.yaml and gives another; directory: a stack that runs already;
        build: other programs than those in GH_BUILD; policy: another policy's text; mysql: MariaDB is there too; page: the quickstart's own page
        and provider are."""
        self.ours = directory is None
        if self.ours:
            directory = self._up(config, build, policy, mysql, page)
        self.dir = directory
        self.env = read_env(directory)
        self.port = int(self.env["GH_PG_PORT"])
        self.host = self.env["GH_PG_HOST"]
        self._tokens = {"agent": "GH_TOKEN_AGENT", "analyst": "GH_TOKEN_ANALYST", "dba": "GH_TOKEN_DBA", "dba2": "GH_TOKEN_DBA2"}
        self._minted = {}
        self._given = []
        self.data_tokens = set()  # what leaks.py calls those that a test sends as data of an allowed statement
        self._shown = []

    @staticmethod
    def _up(config, build, policy, mysql, page):
        directory = tempfile.mkdtemp(prefix="gh-e2e.", dir="/tmp")
        env = dict(os.environ, GH_DIR=directory, GH_POLICY_FILE=directory + ".policy.yaml", GH_WITHOUT_MYSQL="" if mysql else "1", GH_PAGE="1" if page else "0")
        if build:
            env["GH_BUILD"] = build
        text = read(os.path.join(TOP, "examples", "shop", "gatehouse.yaml"))
        claim = "      groups_claim: groups\n"
        assert claim in text
        text = text.replace(claim, claim + "      leeway: 0s\n")  # so that tests need not wait for it
        env["GH_CONFIG_FILE"] = directory + ".yaml"
        with open(env["GH_CONFIG_FILE"], "w") as f:
            f.write(text if config is None else config(text))
        with open(env["GH_POLICY_FILE"], "w", encoding="utf-8") as f:
            f.write(own_policy() if policy is None else policy)
        os.chmod(f.name, 0o644)
        try:
            done = subprocess.run([QUICKSTART, "up"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        finally:
            os.unlink(env["GH_CONFIG_FILE"])
            os.unlink(env["GH_POLICY_FILE"])
        if done.returncode != 0:
            raise AssertionError("the stack does not start:\n" + done.stdout)
        return directory

    def close(self):
        """Stops it, and fails when a sanitizer had something to say, or a secret is where it must not be."""
        if not self.ours:
            return
        leaked = leaks.search(self)
        self._quickstart("down")
        log = self.log("gatehouse")
        found = [line for line in log.splitlines() if any(mark in line for mark in SANITIZER_MARKS)]
        if found:
            raise AssertionError(f"sanitizer reports in {self.dir}/log/gatehouse.log:\n" + "\n".join(found))
        if leaked:
            raise AssertionError(f"secrets in the wrong places of {self.dir}:\n" + "\n".join(leaked[:50]))
        subprocess.run(as_root("rm", "-rf", self.dir), check=True)

    def _quickstart(self, *args):
        done = subprocess.run([QUICKSTART, *args], env=dict(os.environ, GH_DIR=self.dir), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise AssertionError(f"quickstart {' '.join(args)}: {done.stdout}")

    # --- processes: postgresql, redis, gatehouse, haproxy ---

    def start(self, name):
        self._quickstart("start", name)

    def stop(self, name, sig="TERM"):
        """Sends the signal and waits until the process is gone."""
        self._quickstart("stop", name, sig)

    def upgrade(self):
        """A new gatehouse takes over; gives the name of the old one, which is "gatehouse" again when it failed. The new one has the admin door a moment
        after the other doors: it is waited for."""
        old = "gatehouse-" + self.pid("gatehouse")
        self._quickstart("upgrade")
        self.wait_for_admin()
        return old

    def wait_for_admin(self):
        """Until the admin door answers, where the configuration has one."""
        with open(self.env["GH_CONFIG"]) as f:
            if not re.search(r"(?m)^admin:", f.read()):
                return
        wait_until("the admin door answers", lambda: subprocess.run([self.env["GH_CTL"], "status"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0, 40)

    # --- configuration ---

    def configure(self, old, new, name="GH_CONFIG"):
        """Puts new in old's place in gatehouse.yaml, which must have it; nobody is told."""
        edit(self.env[name], lambda text: text.replace(old, new))

    def configure_policy(self, old, new):
        """The same in the policy."""
        self.configure(old, new, "GH_POLICY")

    def policy(self):
        return read(self.env["GH_POLICY"])

    def put_policy(self, text):
        with open(self.env["GH_POLICY"], "w") as f:
            f.write(text)

    def reload(self, ok=True, seconds=20):
        """SIGHUP; the log line that says what came of it, which must be that it took (or not)."""
        at = len(self.log("gatehouse"))
        self.signal("gatehouse")
        done = wait_until("a reload", lambda: [x for x in self.log("gatehouse")[at:].splitlines() if " event=reload " in x or " event=reload.failed " in x], seconds)
        assert (" event=reload " in done[0]) == ok, done
        return done[0]

    def runs(self, name):
        """False for a zombie too."""
        try:
            with open(f"/proc/{self.pid(name)}/stat") as f:
                state = f.read().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state[0] != "Z" or int(state[17]) > 1

    def kill(self, name):
        self.stop(name, "KILL")

    def pid(self, name):
        with open(self.env["GH_PIDS"]) as f:
            return dict(line.split() for line in f)[name]

    def signal(self, name, sig=signal.SIGHUP):
        subprocess.run(as_root("kill", "-s", str(int(sig)), self.pid(name)), check=True)

    def rss_kib(self, name):
        with open(f"/proc/{self.pid(name)}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))

    def log(self, name):
        with open(os.path.join(self.dir, "log", name + ".log"), errors="replace") as f:
            return f.read()

    # --- identities ---

    def token(self, who, group="testers"):
        """agent, analyst, dba, dba2, or tester: the group of t/e2e/policy.yaml that may do anything to schema scratch. Of anybody else the group counts that is given first."""
        if who in self._tokens:
            return self.env[self._tokens[who]]
        if who not in self._minted:
            self._minted[who] = self.mint(f"{who}@shop.example", [group])
        return self._minted[who]

    def mint(self, principal, groups, *more, key="es256", issuer="https://issuer.shop.example", audience="gatehouse"):
        command = [self.env["GH_CTL"], "token", "--key", f"{self.dir}/keys/{key}.pem", "--issuer", issuer, "--audience", audience,
                   "--principal", principal, *more]
        for group in groups:
            command += ["--group", group]
        token = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self._given.append(token)
        return token

    def ctl(self, *args, status=0):
        """What gatehousectl prints, as root."""
        done = subprocess.run(as_root(self.env["GH_CTL"], *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        assert not any(m in done.stderr for m in SANITIZER_MARKS), done.stderr
        return done.stdout

    def grants_sql(self, database, role, groups, policy=None, catalog=None):
        """The script of "policy grants --sql" for a role that has these groups' rights. policy, catalog: files in the place of this stack's and of the catalog of now."""
        if catalog is None:
            with tempfile.NamedTemporaryFile("w", suffix=".catalog") as f:
                f.write(self.ctl("catalog", "--config", self.env["GH_CONFIG"], "--database", database))
                f.flush()
                return self.grants_sql(database, role, groups, policy, f.name)
        return self.ctl("policy", "grants", "--sql", "--policy", policy or self.env["GH_POLICY"], "--catalog", catalog, "--database", database, "--role", role,
                        "--as", groups)

    # --- what leaks.py looks for, and where ---

    def given_tokens(self):
        return [self.env[name] for name in self._tokens.values()] + self._given

    def received(self):
        """What psql, and clients of pgraw, got from the gate: as far as it was kept."""
        return b"".join(self._shown) + pgraw.received(self.port)

    def metrics_url(self):
        with open(self.env["GH_CONFIG"]) as f:
            listen = re.search(r"(?m)^metrics: *{ *listen: *\"?([^ ,}\"]+)|^metrics:\n +listen: *\"?([^ \n\"]+)", f.read())
        return "http://" + (listen.group(1) or listen.group(2)) if listen else None

    def metric(self, name):
        """The value of one without labels."""
        with urllib.request.urlopen(self.metrics_url() + "/metrics", timeout=20) as answer:
            return next(float(line.split()[1]) for line in answer.read().decode().splitlines() if line.startswith(name + " "))

    # --- clients ---

    def dsn(self, who="tester", **more):
        """Keywords for psycopg.connect(), through HAProxy."""
        out = dict(host=self.host, port=self.port, user=who, password=self.token(who), dbname="shop", sslmode="verify-full",
                   sslrootcert=self.env["GH_CA"], connect_timeout=20)
        out.update(more)
        return out

    def psycopg(self, who="tester", **more):
        import psycopg
        return psycopg.connect(**self.dsn(who, **more))

    def asyncpg(self, who="tester", **more):
        """A coroutine that connects."""
        import asyncpg
        context = ssl.create_default_context(cafile=self.env["GH_CA"])
        return asyncpg.connect(**dict(dict(host=self.host, port=self.port, user=who, password=self.token(who), database="shop", ssl=context,
                                           timeout=20), **more))

    def client_env(self, who="tester"):
        """Environment for psql and pgbench."""
        return dict(os.environ, PGHOST=self.host, PGPORT=str(self.port), PGUSER=who, PGPASSWORD=self.token(who), PGDATABASE="shop",
                    PGSSLMODE="verify-full", PGSSLROOTCERT=self.env["GH_CA"], PGCONNECT_TIMEOUT="20", PSQLRC="/dev/null")

    def psql(self, *args, who="tester", script=None):
        """subprocess.CompletedProcess of psql -X with standard output and error as text."""
        done = subprocess.run(["psql", "-X", *args], env=self.client_env(who), input=script, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=120)
        self._shown.append((done.stdout + done.stderr).encode())
        return done

    def direct(self, sql, params=None):
        """Rows of a statement that goes straight to the database as superuser; [] when it returns none."""
        import psycopg
        with psycopg.connect(self.env["GH_PG_DIRECT_URL"], autocommit=True) as c:
            cur = c.execute(sql, params)
            return cur.fetchall() if cur.description else []

    def scratch(self, sql):
        """Sets the schema scratch up anew as the role that Gatehouse uses; sql makes what the test needs in it."""
        self.direct("SET ROLE shop_owner; DROP SCHEMA IF EXISTS scratch CASCADE; CREATE SCHEMA scratch; " + sql)

    # --- the record ---

    def redis(self, *args):
        return subprocess.run(["redis-cli", "--raw", "-u", self.env["GH_REDIS_URL"], *args], check=True, stdout=subprocess.PIPE, text=True).stdout

    def audit(self):
        """Every entry of every session's stream, as dictionaries in order, each with its session."""
        script = """local out = {}
                    for i, key in ipairs(redis.call('KEYS', 'gatehouse:audit:*')) do out[i] = {key, redis.call('XRANGE', key, '-', '+')} end
                    return cjson.encode(out)"""
        out = []
        for key, entries in json.loads(self.redis("EVAL", script, "0")) or ():
            out += [dict(zip(fields[::2], fields[1::2]), id=ident, session=key.split(":", 2)[2]) for ident, fields in entries or ()]
        return out

    def stream(self, key):
        script = "return cjson.encode(redis.call('XRANGE', KEYS[1], '-', '+'))"
        entries = json.loads(self.redis("EVAL", script, "1", key))
        return [dict(zip(fields[::2], fields[1::2]), id=ident) for ident, fields in entries or ()]


def wait_until(what, condition, seconds=15):
    """Polls; the last value is given back, and an AssertionError says what did not happen."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def on_terminal(columns, *command):
    """What command puts on a terminal of so many columns, and its exit status."""
    main, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    p = subprocess.Popen(command, stdout=end, stderr=end, stdin=subprocess.DEVNULL)
    os.close(end)
    got = b""
    try:
        while piece := os.read(main, 65536):
            got += piece
    except OSError:  # its other end is closed
        pass
    os.close(main)
    return got.decode().splitlines(), p.wait()


def run(coroutine):
    return asyncio.run(coroutine)


_shared = None


def shared():
    global _shared
    if isinstance(_shared, AssertionError):
        raise _shared
    if _shared is None:
        try:
            _shared = Stack(directory=os.environ.get("GH_DIR"))
        except AssertionError as e:
            _shared = e
            raise
        if _shared.ours:
            atexit.register(_shared.close)
    return _shared
