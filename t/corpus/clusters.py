"""Three PostgreSQL clusters that are file copies of one: "gate" is behind Gatehouse, "direct" and "again" are not. The same statements give them
the same OIDs, transaction ids and plans; where the two direct ones differ from each other, an answer is not deterministic."""
import os
import re
import shutil
import signal
import subprocess
import time

import haproxy
import source

BIN = source.SERVER + "/bin"
NAMES = ("direct", "gate", "again")
ROOT = os.getuid() == 0
SETTINGS = """
unix_socket_directories = ''
fsync = off
full_page_writes = off
autovacuum = off
jit = off
max_connections = 30
max_replication_slots = 4
wal_level = logical
shared_preload_libraries = 'pg_stat_statements'
max_prepared_transactions = 2
max_wal_size = '8GB'
checkpoint_timeout = '1d'
shared_buffers = '128MB'
log_min_messages = fatal
log_min_error_statement = panic
"""
# What pg_regress gives a database (create_database() in pg_regress.c).
DATABASE_SETTINGS = ("lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'", "lc_time TO 'C'", "bytea_output TO 'hex'",
                     "timezone_abbreviations TO 'Default'")
DATABASES = ("contrib_regression", "regression", "tools")


def as_postgres(*command):
    return ["runuser", "-u", "postgres", "--", *command] if ROOT else list(command)


def run(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}")
    return done.stdout


def free_addresses():
    """One port that is free on three loopback addresses: what shows the port (dblink, postgres_fdw) shows the same one."""
    hosts = [f"127.0.0.{11 + i}" for i in range(len(NAMES))]
    port = haproxy.free_ports(1, hosts)[0]
    return {name: (host, port) for name, host in zip(NAMES, hosts)}


class Clusters:
    def __init__(self, folder):
        self.folder = folder
        self.addresses = free_addresses()
        self.servers = {}
        first = self.data("direct")
        os.makedirs(os.path.join(folder, "work", "results"))
        if ROOT:
            shutil.chown(folder, "postgres")
            for path in ("work", "work/results"):
                shutil.chown(os.path.join(folder, path), "postgres")
        run(*as_postgres(BIN + "/initdb", "-D", first, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust", "-N"))
        self.append(first)
        self.start("direct")
        for name in DATABASES:
            self.create("direct", name)
        self.stop("direct")
        for name in NAMES[1:]:
            run(*as_postgres("cp", "-a", first, self.data(name)))
        for name in NAMES:
            self.start(name)

    def data(self, name):
        return os.path.join(self.folder, name)

    def append(self, data):
        subprocess.run(as_postgres("tee", "-a", data + "/postgresql.conf"), input=SETTINGS, stdout=subprocess.DEVNULL, text=True, check=True)

    def start(self, name):
        log = open(os.path.join(self.folder, name + ".log"), "ab")
        self.servers[name] = subprocess.Popen(as_postgres(BIN + "/postgres", "-D", self.data(name), "-p", str(self.addresses[name][1]), "-h", self.addresses[name][0]), stdin=subprocess.DEVNULL,
                                              stdout=log, stderr=log, cwd="/", env=dict(os.environ, TZ="UTC", PGHOST=self.addresses[name][0], PGPORT=str(self.addresses[name][1])))
        end = time.monotonic() + 60
        while subprocess.run([BIN + "/pg_isready", "-q", "-h", self.addresses[name][0], "-p", str(self.addresses[name][1])]).returncode != 0:
            if self.servers[name].poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start, see {log.name}")
            time.sleep(0.05)

    def stop(self, name):
        server = self.servers.pop(name)
        if server.poll() is None:
            with open(os.path.join(self.data(name), "postmaster.pid")) as f:
                os.kill(int(f.readline()), signal.SIGINT)
            server.wait(60)

    def close(self):
        for name in list(self.servers):
            self.stop(name)

    def sql(self, name, database, *statements):
        command = [BIN + "/psql", "-XAtqw", "-h", self.addresses[name][0], "-p", str(self.addresses[name][1]), "-U", "postgres", "-d", database, "-v", "ON_ERROR_STOP=1"]
        for s in statements:
            command += ["-c", s]
        return run(*command)

    def create(self, name, database):
        self.sql(name, "postgres", f"CREATE DATABASE {database} TEMPLATE template0",
                 *(f"ALTER DATABASE {database} SET {s}" for s in DATABASE_SETTINGS))

    def recreate(self, database):
        """Empty again, alike in all three."""
        for name in NAMES:
            self.sql(name, "postgres", f"DROP DATABASE {database} WITH (FORCE)")
            self.create(name, database)


def libraries(folder):
    """regress.so and the two modules of contrib/spi that the regression SQL loads, in one folder."""
    lib = os.path.join(folder, "lib")
    for name in ("autoinc", "refint"):
        link = os.path.join(lib, name + ".so")
        if not os.path.exists(link):
            os.symlink(f"{source.SERVER}/lib/{name}.so", link)
    return lib


def schedule(folder):
    with open(os.path.join(folder, "src/src/test/regress/parallel_schedule")) as f:
        return [name for line in f if line.startswith("test:") for name in line[5:].split()]


# Not here: these write files outside of their cluster's folder, or wait for an archiver.
NOT_CONTRIB = ("adminpack", "basic_archive")


def contrib(folder):
    """Modules with regression SQL: name and scripts, in the Makefile's order."""
    top = os.path.join(folder, "src/contrib")
    out = []
    for module in sorted(os.listdir(top)):
        makefile = os.path.join(top, module, "Makefile")
        if module in NOT_CONTRIB or not os.path.exists(makefile):
            continue
        with open(makefile) as f:
            text = f.read().replace("\\\n", " ")
        m = re.search(r"^REGRESS\s*[+:]?=\s*(.*)$", text, re.M)
        names = [n for n in m[1].split() if os.path.exists(os.path.join(top, module, "sql", n + ".sql"))] if m else []
        if names:
            out.append((module, names))
    return out
