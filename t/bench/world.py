"""What is measured: one PostgreSQL and one Redis, and the ways to that PostgreSQL.

    strict, journal   HAProxy's two hops (plaintext edge, TLS) and a gatehouse with that audit.mode; the quickstart's configuration and policy
    strict-fsync      the same with audit.durability: fsync, and a Redis of its own that writes to its disk before it answers
    pgbouncer         the same two hops with pgbouncer in Gatehouse's place: session pooling, a password as long as a token
    pgbouncer-new     the same, but no server connection is used twice, as with Gatehouse
    hops              the same two hops, and PostgreSQL itself behind them
    tcp               HAProxy in TCP mode: one hop, no TLS
    direct            no proxy, no TLS
    my-strict, my-journal  HAProxy's two hops and the same two gatehouses, for MySQL's protocol; MariaDB behind it
    my-hops           two hops of HAProxy alone and MariaDB itself behind them, which ends TLS
    my-direct         no proxy, no TLS

Each way has processes of its own, started in a folder of their own under /tmp and ended by pid.
"""
import os
import secrets
import subprocess
import sys
import tempfile
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import stack  # noqa: E402
from haproxy import free_port  # noqa: E402

# Only what the benchmarks need: an identity that may do everything would be judged by less.
BENCH_RULE = """
  - name: bench
    groups: benchmarks
    database: shop
    allow: [select, insert, update, delete]
    on: [public.pgbench_*, public.bulk, public.bulk_in]
  - name: bench-masked
    groups: benchmarks
    database: shop
    allow: select
    on: public.bulk_masked
    columns:
      id: visible
      filler: { mask: { expression: "@mask@" } }
  - name: bench-mysql
    groups: benchmarks
    database: shop_my
    allow: all
    on: shop.sbtest*
"""
# What bulk_masked's filler is for those whose rule masks it; the peers' statements say it themselves.
MASK = "left(filler, 80) || '**********'"
# Nobody speaks TLS to PostgreSQL here: what stands on its machine need not, and the peers' way would be another one.
PLAIN = ("tls: { ca_file: shop-ca.pem }", "tls: off")
PLAIN_MY = ("tls: { ca_file: shop-my-ca.pem }", "tls: off")
MANY = "limits: { sessions: 12000, sessions_per_principal: 12000 }\n"
GATES = ("strict", "journal")
DURABLE = ("strict-fsync",)
PEERS = ("pgbouncer", "pgbouncer-new", "hops", "tcp", "direct")
MY_GATES = ("my-strict", "my-journal")
MY = MY_GATES + ("my-hops", "my-direct")


def policy():
    """The shop's, and that of who measures."""
    return stack.shop_policy() + BENCH_RULE.replace("@mask@", MASK)


def shell(directory, script, *args, **env):
    """Runs a piece of examples/lib/stack.sh for the stack in that directory."""
    lib = os.path.join(stack.TOP, "examples", "lib", "stack.sh")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", f'. "{lib}"; gh_users; {script}', "bench", *args],
                          env=dict(os.environ, GH_DIR=directory, **env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{script}: {done.stdout}")
    return done.stdout


def read_as_root(path):
    return subprocess.run(stack.as_root("cat", path), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def edit(text, *changes):
    for old, new in changes:
        if old not in text:
            raise RuntimeError(f"what the benchmark changes in a configuration is not there: {old!r}")
        text = text.replace(old, new)
    return text


def cpu_ns(pid):
    """What all threads of a process have used; ended threads are not counted, and none of ours end."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as f:
            total += int(f.read().split()[0])
    return total


class Way:
    """A way to the database: where it is, who one is there, and the process in the middle, if any."""

    def __init__(self, name, port, user, password, ca=None, middle=None):
        self.name, self.host, self.port, self.user, self.password, self.ca = name, "localhost" if ca else "127.0.0.1", port, user, password, ca
        self.env = {"GH_CA": ca}  # as RawClient.tls() wants it
        self.tls = ca is not None
        self.middle = middle  # a pid
        self.settle = lambda: None

    def client_env(self):
        env = dict(os.environ, PGHOST=self.host, PGPORT=str(self.port), PGUSER=self.user, PGPASSWORD=self.password, PGDATABASE="shop",
                   PGSSLMODE="verify-full" if self.tls else "disable", PGGSSENCMODE="disable", PSQLRC="/dev/null", PGCONNECT_TIMEOUT="20")
        if self.tls:
            env["PGSSLROOTCERT"] = self.env["GH_CA"]
        return env

    def cpu_ns(self):
        return cpu_ns(self.middle) if self.middle else None


class World:
    def __init__(self, only=None):
        """only: the names of the ways that are wanted."""
        self.ways = {}
        self.started = []  # (directory, process)
        self.directories = []
        self.stack = None
        self.my_ports = {}  # of gates beside the first
        wanted = [w for w in GATES + DURABLE + PEERS + MY if only is None or w in only]
        self.mysql = any(w in MY for w in wanted)
        try:
            self._base()
            for name in wanted:
                self.ways[name] = getattr(self, "_" + name.replace("-", "_"))()
        except BaseException:
            self.close()
            raise

    def close(self):
        for directory, name in reversed(self.started):
            shell(directory, f"gh_stop {name}")
        for directory in self.directories:
            subprocess.run(stack.as_root("rm", "-rf", directory), check=True)
        if self.stack is not None:
            self.stack.close()
        self.started, self.directories, self.stack = [], [], None

    # --- the database ---

    def _base(self):
        self.metrics = {name: free_port() for name in GATES + DURABLE}
        plain = (PLAIN, PLAIN_MY) if self.mysql else (PLAIN,)
        self.stack = stack.Stack(mysql=self.mysql, config=lambda text: edit(text, *plain) + MANY + f"metrics: {{ listen: 127.0.0.1:{self.metrics['strict']} }}\n",
                                 policy=policy())
        self.token = self.stack.mint("bench@shop.example", ["benchmarks"], "--ttl", "24h", key="rs256")
        self.shop_password = read_as_root(os.path.join(self.stack.dir, "etc", "shop.password"))
        self.redis_ports = [self.stack.env["GH_REDIS_PORT"]]
        self.direct_port = int(self.stack.env["GH_PG_PORT_DIRECT"])
        # As a server in production: it logs no statement. The disk is not what is measured.
        for setting in ("log_statement = 'none'", "synchronous_commit = off", "autovacuum = off", "max_wal_size = '8GB'",
                        "checkpoint_timeout = '1h'"):
            self.sql(f"ALTER SYSTEM SET {setting}")
        self.sql("SELECT pg_reload_conf()")
        self.stack.redis("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
        if self.mysql:
            self._base_mysql()

    def _base_mysql(self):
        """MariaDB, as in production too: without its log of all statements; and Gatehouse's user logs in without TLS."""
        self.my_direct_port = int(self.stack.env["GH_MY_PORT_DIRECT"])
        subprocess.run(["mariadb", "--no-defaults", "--protocol=TCP", "--host=127.0.0.1", f"--port={self.my_direct_port}", "--user=root"], check=True, text=True,
                       env=dict(os.environ, MYSQL_PWD=self.stack.env["GH_PASSWORD_SUPER"]), input="SET GLOBAL general_log = 0; SET GLOBAL max_prepared_stmt_count = 100000; "
                       "ALTER USER shop_owner@'127.0.0.1' REQUIRE NONE;")

    def sql(self, text):
        subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self.stack.env["GH_PG_DIRECT_URL"], "-c", text], check=True,
                       stdout=subprocess.DEVNULL)

    def load(self, scale, bulk_bytes):
        """pgbench's tables, and a table that takes so many bytes on the wire (112 for each row)."""
        env = dict(os.environ, PGOPTIONS="-c role=shop_owner")
        subprocess.run(["pgbench", "-i", "-q", "-s", str(scale), self.stack.env["GH_PG_DIRECT_URL"]], env=env, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.sql(f"""SET ROLE shop_owner; CREATE UNLOGGED TABLE public.bulk AS
                     SELECT i + 1000000 AS id, repeat('x', 90) AS filler FROM generate_series(1, {bulk_bytes // 112}) AS i;
                     CREATE UNLOGGED TABLE public.bulk_masked AS TABLE public.bulk;
                     CREATE UNLOGGED TABLE public.bulk_in (id bigint, filler text)""")
        self.sql("VACUUM ANALYZE public.bulk, public.bulk_masked")

    def rest(self):
        """Between two measurements: the record of the last one is shipped and away, so that nobody pays for another's."""
        for way in self.ways.values():
            way.settle()
        script = """for _, key in ipairs(redis.call('KEYS', 'gatehouse:audit:*')) do redis.call('UNLINK', key) end"""
        for port in self.redis_ports:
            subprocess.run(["redis-cli", "-p", port, "EVAL", script, "0"], check=True, stdout=subprocess.DEVNULL)

    def compact(self):
        """Between two benchmarks: Redis' file would grow without end."""
        self.stack.redis("BGREWRITEAOF")
        stack.wait_until("Redis has rewritten its file", lambda: "aof_rewrite_in_progress:0" in self.stack.redis("INFO", "persistence"), 60)

    # --- pieces ---

    def _directory(self):
        directory = tempfile.mkdtemp(prefix="gh-bench.", dir="/tmp")
        self.directories.append(directory)
        os.chmod(directory, 0o755)
        for sub in ("etc", "jail", "log", "run"):
            os.mkdir(os.path.join(directory, sub))
        open(os.path.join(directory, "pids"), "w").close()
        return directory

    def _haproxy(self, directory, port, change=None, my=""):
        """HAProxy with the shipped configuration, changed by a function; my: MySQL's port."""
        shell(directory, f'gh_tls "$GH_DIR/tls"; gh_haproxy_config "$GH_DIR" {port} {my}; [ -d "$GH_DIR/jail/gatehouse" ] || gh_root install -d -o haproxy -m 755 "$GH_DIR/jail/gatehouse"')
        path = os.path.join(directory, "etc", "haproxy.cfg")
        if change is not None:
            with open(path) as f:
                text = change(f.read())
            with open(path, "w") as f:
                f.write(text)
        self._start(directory, "haproxy", "gh_start_haproxy", GH_PG_PORT=str(port))

    def _start(self, directory, name, script, **env):
        self.started.append((directory, name))
        shell(directory, script, **env)
        with open(os.path.join(directory, "pids")) as f:
            return dict(line.split() for line in f)[name]

    @staticmethod
    def _without_gatehouse(server):
        """The shipped sections without the questions to the agent; the last hop goes to that server line."""
        dropped = ("filter spoe", "send-spoe-group", "var(txn.gh.verdict)", "var(txn.gh.ticket)", "gh_pg_cancels", "sc-inc-gpc0", "sc0_gpc0_rate",
                   "-m str cancel }")

        def change(text):
            text, agent, _ = text.partition("backend gh_agent")
            if not agent:
                raise RuntimeError("gatehouse-pg.cfg has no gh_agent")
            kept = [line for line in text.splitlines() if not any(word in line for word in dropped) or line.startswith("    log-format")]
            text = "\n".join(line for line in kept if "stick-table" not in line) + "\n"
            old = next(line for line in kept if line.lstrip().startswith("server gatehouse "))
            return edit(text, (old, "    server " + server), ("    tcp-request content reject unless { req.len ge 8 }\n",
                                                             "    tcp-request content reject unless { req.len ge 8 }\n    default_backend gh_pg_gatehouse\n"))
        return change

    # --- the ways ---

    def _strict(self):
        return self._gate("strict", self.stack.port, self.stack.env["GH_CA"], self.stack.pid("gatehouse"))

    def _journal(self):
        return self._another("journal", ("mode: strict", "mode: journal"))

    def _strict_fsync(self):
        directory, port = self._directory(), str(free_port())
        self._start(directory, "redis", 'gh_root install -d -o "$GH_USER_REDIS" -m 700 "$GH_DIR/redis"; gh_start_redis', GH_REDIS_PORT=port)
        subprocess.run(["redis-cli", "-p", port, "CONFIG", "SET", "appendfsync", "always"], check=True, stdout=subprocess.DEVNULL)
        own = f"port: {self.redis_ports[0]}"
        self.redis_ports.append(port)
        return self._another("strict-fsync", ("mode: strict", "mode: strict\n  durability: fsync"), (own, f"port: {port}"))

    def _another(self, name, *changes):
        """A daemon and HAProxy of its own; the databases, keys and policy are the first one's, and Redis if the changes of the configuration do not say otherwise."""
        directory, port = self._directory(), free_port()
        my = self.my_ports[name] = free_port() if self.mysql else ""
        own = self.stack.dir
        for file in ("jwks.json", "policy.yaml", "shop.password"):
            subprocess.run(stack.as_root("cp", "-p", f"{own}/etc/{file}", f"{directory}/etc/"), check=True)
        with open(self.stack.env["GH_CONFIG"]) as f:
            text = edit(f.read(), (own, directory), ("node: shop-1", f"node: shop-{name}"), (str(self.metrics["strict"]), str(self.metrics[name])), *changes)
        config = f"{directory}/etc/gatehouse.yaml"
        with open(config, "w") as f:
            f.write(text)
        shell(directory, 'gh_root install -d -o "$GH_USER_DAEMON" -m 700 "$GH_DIR/etc/journal"; '
                         'gh_root install -d -o "$GH_USER_DAEMON" -m 755 "$GH_DIR/admin"; '
                         'gh_root install -d -o "$GH_USER_DAEMON" -m 755 "$GH_DIR/jail/gatehouse"')
        pid = self._start(directory, "gatehouse", "gh_start_gatehouse", GH_CONFIG=config)
        self._haproxy(directory, port, my=my)
        return self._gate(name, port, f"{directory}/tls/ca.pem", pid)

    def _gate(self, name, port, ca, pid):
        way = Way(name, port, "bench", self.token, ca, pid)
        url = f"http://127.0.0.1:{self.metrics[name]}/metrics"

        def unshipped():
            with urllib.request.urlopen(url, timeout=10) as answer:
                return any(line.split() == ["gatehouse_audit_unshipped_events", "0"] for line in answer.read().decode().splitlines())
        way.settle = lambda: stack.wait_until(f"the record of {name} is in Redis", unshipped, 120)
        return way

    def _pooler(self, name, *settings):
        directory, port = self._directory(), free_port()
        password = secrets.token_hex(len(self.token))[:len(self.token)]
        lines = ["[databases]", f"shop = host=127.0.0.1 port={self.direct_port} dbname=shop user=shop_owner password={self.shop_password}",
                 "[pgbouncer]", "listen_addr =", "listen_port = 6432", f"unix_socket_dir = {directory}/jail/pgbouncer", "unix_socket_mode = 0777",
                 "auth_type = plain", f"auth_file = {directory}/etc/users.txt", "pool_mode = session", "default_pool_size = 100",
                 "max_client_conn = 12000", "server_tls_sslmode = disable", *settings]
        for path, text in ((f"{directory}/etc/pgbouncer.ini", "\n".join(lines) + "\n"), (f"{directory}/etc/users.txt", f'"bench" "{password}"\n')):
            with open(path, "w") as f:
                os.fchmod(f.fileno(), 0o600)
                f.write(text)
        shell(directory, 'gh_root chown "$GH_USER_DAEMON" "$GH_DIR"/etc/*; gh_root install -d -o "$GH_USER_DAEMON" -m 755 "$GH_DIR/jail/pgbouncer"')
        pid = self._start(directory, "pgbouncer", 'gh_spawn pgbouncer "$GH_USER_DAEMON" /usr/sbin/pgbouncer "$GH_DIR/etc/pgbouncer.ini"; '
                                                  'gh_wait_for 10 pgbouncer test -S "$GH_DIR/jail/pgbouncer/.s.PGSQL.6432"')
        self._haproxy(directory, port, self._without_gatehouse("pgbouncer unix@/pgbouncer/.s.PGSQL.6432"))
        return Way(name, port, "bench", password, f"{directory}/tls/ca.pem", pid)

    def _pgbouncer(self):
        return self._pooler("pgbouncer")

    def _pgbouncer_new(self):
        return self._pooler("pgbouncer-new", "server_lifetime = 0")

    def _hops(self):
        directory, port = self._directory(), free_port()
        self._haproxy(directory, port, self._without_gatehouse(f"postgresql 127.0.0.1:{self.direct_port}"))
        return Way("hops", port, "shop_owner", self.shop_password, f"{directory}/tls/ca.pem")

    def _tcp(self):
        directory, port = self._directory(), free_port()

        def plain(text):
            head, _, _ = text.partition("# Gatehouse for PostgreSQL")
            return head + f"""
listen tcp
    mode tcp
    bind 127.0.0.1:{port}
    option tcplog
    timeout tunnel 24h
    server postgresql 127.0.0.1:{self.direct_port}
"""
        self._haproxy(directory, port, plain)
        return Way("tcp", port, "shop_owner", self.shop_password)

    def _my_strict(self):
        return self._my_gate("strict", self._strict(), int(self.stack.env["GH_MY_PORT"]))

    def _my_journal(self):
        first = self.ways.get("journal") or self._journal()
        return self._my_gate("journal", first, self.my_ports["journal"])

    def _my_gate(self, name, first, port):
        way = self._gate(name, port, first.env["GH_CA"], first.middle)
        way.name = "my-" + name
        return way

    def _my_hops(self):
        directory, port = self._directory(), free_port()

        def two(text):
            head, _, _ = text.partition("# Gatehouse for PostgreSQL")
            hop = f"abns@gh-bench-{port}"
            return head + "".join(f"""
listen {name}
    mode tcp
    bind {bind}
    option tcplog
    timeout tunnel 24h
    server next {server}
""" for name, bind, server in (("edge", f"127.0.0.1:{port}", hop), ("hop", hop, f"127.0.0.1:{self.my_direct_port}")))
        self._haproxy(directory, port, two)
        return Way("my-hops", port, "shop_owner", self.shop_password, os.path.join(self.stack.dir, "mytls", "ca.pem"))

    def _my_direct(self):
        return Way("my-direct", self.my_direct_port, "shop_owner", self.shop_password)

    def _direct(self):
        return Way("direct", self.direct_port, "shop_owner", self.shop_password)
