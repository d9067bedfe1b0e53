"""The table of drivers and checks, and their runner: see t/drivers/run.

Each program prints "ok CHECK" or "FAIL CHECK: why" for each of its checks, and "= NAME VALUE" for results. It runs through the gate and straight
to the database. A check is passed when both say ok, or the gate alone for those of GATE_ONLY. A check that the table expects and the program does
not print is a failure, and so is one that the table does not know. All "=" lines must be the same both ways.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
WORK = os.environ.get("GH_T_WORK", "/nowhere")

GATE_ONLY = {"verifies_tls", "bad_token", "refused", "refused_in_transaction", "large_object", "pgadmin_without_grant", "dbeaver_without_grant",
             "datagrip_without_grant"}
CHECKS = ["connects", "verifies_tls", "bad_token", "prepared", "prepared_many", "batch", "large", "stream", "cancel", "copy_in", "copy_out", "transaction",
          "reconnect", "types", "binary", "injection", "refused", "refused_in_transaction", "notify", "settings_pass", "pool", "metadata", "large_object"]

# What every driver must read back, however it sent it.
ROW = r'''(-42,9007199254740993,12345678901234567890.123456789,0.1,t,"tëxt 🐘","\\x00ff5c27",2026-02-28,"2026-01-02 03:04:05.678901+00","{1,NULL,3}","{a,""b\\""c"",NULL}","{""a"": [1, null, ""x""]}",00000000-0000-0000-0000-000000000007,)'''
LARGE = "120000 a818999d5bf18299fe76cedb3eeef253"
FIXED = {"types": ROW, "binary": ROW, "large": LARGE}

PYTHON, NODE, GO, JAVA = "/usr/bin/python3", "/usr/bin/node", "/usr/bin/go", "/usr/bin/java"
JARS = "/usr/share/java/postgresql.jar:/usr/share/java/HikariCP.jar:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-nop.jar"

NO_POOL = "it has no pool of its own"
NO_LO = "it has no calls for large objects"
TEXT_ONLY = "it reads and writes text alone"


class Driver:
    mysql, common, fixed = False, CHECKS, FIXED

    def __init__(self, packages, command, lacks=None, checks=None, prepare=None, env=None, direct_password=False, alone=False):
        """lacks: common checks that it cannot do, each with the reason. checks: its own list instead of the common one. prepare: a function that
        makes what the command needs. direct_password: it knows no SCRAM, and takes another way to the database. alone: it reads
        the whole catalog, which others change."""
        self.packages, self.command, self.lacks, self.prepare, self.env = packages, command, lacks or {}, prepare, env or {}
        self.checks = checks or [c for c in self.common if c not in self.lacks]
        self.direct_password, self.alone = direct_password, alone
        assert not set(self.lacks) - set(self.common)

    def way_to(self, stack, word, way):
        """The environment's part that says where the database is and who one is there; word begins the names of the program's own tables."""
        env = dict(GH_T_PREFIX="scratch." + word, GH_T_SETTINGS=here("settings.sql"), GH_T_END_BACKEND=os.path.join(WORK, "end-backend"),
                   GH_T_WAIT_ASLEEP=os.path.join(WORK, "wait-asleep"))
        if way == "gate":
            return dict(env, GH_T_HOST=stack.host, GH_T_PORT=str(stack.port), GH_T_USER="driver", GH_T_PASSWORD=stack.mint("driver@shop.example", ["testers", "drivers"]),
                        GH_T_PASSWORD_ALL=stack.token("dba"), GH_T_PASSWORD_TOOLS=stack.mint("tool@shop.example", ["testers", "tools"]))
        user, password = "drivers_direct", "drivers"
        if not self.direct_password:
            user = "shop_owner"
            with open(os.path.join(stack.dir, "etc", "shop.password")) as f:
                password = f.read().strip()
        return dict(env, GH_T_HOST="127.0.0.1", GH_T_PORT=stack.env["GH_PG_PORT_DIRECT"], GH_T_USER=user, GH_T_PASSWORD=password, GH_T_PASSWORD_ALL=password,
                    GH_T_PASSWORD_TOOLS=password)

    def version(self):
        out = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}, ", *self.packages.split()], stdout=subprocess.PIPE, text=True).stdout
        return out.rstrip(", ")


def go_build(name, *sources):
    """With Debian's packages of Go sources, and nothing from elsewhere."""
    where = os.path.join(WORK, "go-" + name)
    os.makedirs(where)
    for source in sources:
        shutil.copy(os.path.join(HERE, "go", source), where)
    env = dict(os.environ, GO111MODULE="off", GOTOOLCHAIN="local", GOPATH="/usr/share/gocode", GOCACHE=os.path.join(WORK, "go-cache"), GOFLAGS="")
    env.pop("GOROOT", None)
    return must_run([GO, "build", "-o", "program", "."], cwd=where, env=env)


def must_run(command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}:\n{done.stdout}")


NODE_MODULES = os.path.join(WORK, "node", "usr", "share", "nodejs")
NODE_PACKAGES = ["node-pg", "node-split2", "node-xtend", "node-readable-stream", "node-safe-buffer", "node-string-decoder", "node-inherits", "node-util-deprecate",
                 "node-core-util-is", "node-isarray", "node-process-nextick-args", "node-through2"]


def unpack_node():
    """Debian's node-pg beside whatever Node is installed: its dependencies allow no other than Debian's own."""
    where = os.path.join(WORK, "node")
    os.makedirs(where)
    must_run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *NODE_PACKAGES], cwd=where)
    for name in os.listdir(where):
        if name.endswith(".deb"):
            must_run(["dpkg-deb", "-x", name, where], cwd=where)


def python(name):
    return [PYTHON, "-W", "ignore", os.path.join(HERE, f"drv_{name}.py")]


def here(name):
    return os.path.join(HERE, name)


DRIVERS = {
    "psycopg2": Driver("python3-psycopg2", python("psycopg2"), dict(binary=TEXT_ONLY)),
    "psycopg": Driver("python3-psycopg python3-psycopg-pool", python("psycopg"), dict(large_object=NO_LO)),
    "asyncpg": Driver("python3-asyncpg", python("asyncpg"), dict(types="it speaks binary alone", large_object=NO_LO)),
    "pg8000": Driver("python3-pg8000", python("pg8000"), dict(cancel="it cannot cancel", binary="it chooses the format itself, see types", pool=NO_POOL, large_object=NO_LO),
                     direct_password=True),
    "sqlalchemy": Driver("python3-sqlalchemy python3-psycopg2 python3-asyncpg", python("sqlalchemy"),
                         checks=["connects", "verifies_tls", "bad_token", "create_all", "reflection", "orm_queries", "core", "stream", "isolation", "pool", "refused", "asyncpg"]),
    "django": Driver("python3-django python3-psycopg2", python("django"),
                     checks=["connects", "verifies_tls", "bad_token", "migrates", "inspectdb", "orm_queries", "transaction", "refused", "reconnect"]),
    "pgjdbc": Driver("default-jdk-headless libpostgresql-jdbc-java libhikaricp-java", [JAVA, "-XX:TieredStopAtLevel=1", "-cp", JARS, here("PgJdbc.java")]),
    "pgx4": Driver("golang-go golang-github-jackc-pgx-v4-dev", [os.path.join(WORK, "go-pgx4", "program")], prepare=lambda: go_build("pgx4", "checks.go", "pgx/main.go", "pgx4/version.go")),
    "libpq-go": Driver("golang-go golang-github-lib-pq-dev", [os.path.join(WORK, "go-libpq", "program")],
                       dict(copy_out="it has none", large_object=NO_LO), prepare=lambda: go_build("libpq", "checks.go", "libpq/main.go")),
    "node-pg": Driver("nodejs", [NODE, here("drv_node_pg.js")],
                      dict(copy_in="Debian has no pg-copy-streams; see the registries", copy_out="Debian has no pg-copy-streams; see the registries", large_object=NO_LO),
                      prepare=unpack_node, env=dict(NODE_PATH=NODE_MODULES)),
    "ruby-pg": Driver("ruby-pg", ["/usr/bin/ruby", here("drv_ruby_pg.rb")], dict(pool=NO_POOL)),
    "dbd-pg": Driver("libdbd-pg-perl", ["/usr/bin/perl", here("drv_dbd_pg.pl")], dict(binary=TEXT_ONLY, pool=NO_POOL)),
    "php-pgsql": Driver("php-cli php-pgsql", ["/usr/bin/php", here("drv_php_pgsql.php")], dict(binary=TEXT_ONLY)),
    "php-pdo": Driver("php-cli php-pgsql", ["/usr/bin/php", here("drv_php_pdo.php")], dict(cancel="it cannot cancel", binary=TEXT_ONLY)),
    "odbc": Driver("odbc-postgresql unixodbc python3-pyodbc", python("odbc"),
                   dict(copy_in="ODBC has no COPY", copy_out="ODBC has no COPY", binary=TEXT_ONLY, notify="ODBC has no notifications", large_object=NO_LO)),
    "gui": Driver("python3-psycopg", python("gui"), checks=["datagrip", "datagrip_without_grant", "dbeaver", "dbeaver_without_grant", "pgadmin", "pgadmin_without_grant"], alone=True),
}


def environment(stack, name, driver, way):
    env = dict(os.environ, GH_T_WAY=way, GH_T_DATABASE="shop", GH_T_CA=stack.env["GH_CA"], GH_T_WRONG_CA=os.path.join(WORK, "wrong.pem"),
               PYTHONDONTWRITEBYTECODE="1", **driver.env)
    for mine in [e for e in env if e.startswith("PG")]:
        del env[mine]
    env.update(driver.way_to(stack, re.sub("[^a-z0-9]", "_", name) + "_", way))
    return env


def set_up(stack):
    """What the programs ask for from outside, and the way to the database for a driver that knows no SCRAM."""
    must_run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", os.path.join(WORK, "wrong.key"), "-days", "30", "-subj", "/CN=another CA", "-out",
              os.path.join(WORK, "wrong.pem")])
    psql = f'psql -XAtq "{stack.env["GH_PG_DIRECT_URL"]}" -c'
    for name, text in (("end-backend", f'exec {psql} "SELECT pg_terminate_backend($1)"'),
                       ("wait-asleep", f'until [ "$({psql} "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = \'PgSleep\'")" = 1 ]; do sleep 0.05; done')):
        path = os.path.join(WORK, name)
        with open(path, "w") as f:
            f.write("#!/bin/sh\n" + text + "\n")
        os.chmod(path, 0o700)
    stack.scratch("")
    hba = os.path.join(stack.dir, "pg", "pg_hba.conf")
    with open(hba) as f:
        old = f.read()
    with open(hba, "w") as f:
        f.write("host shop drivers_direct 127.0.0.1/32 password\n" + old)
    stack.direct("CREATE ROLE drivers_direct LOGIN PASSWORD 'drivers' IN ROLE shop_owner; ALTER ROLE drivers_direct SET role = shop_owner; SELECT pg_reload_conf()")


def run_program(stack, name, driver, way):
    """What it printed: checks {name: None or why it failed}, results in order, and its standard error."""
    try:
        done = subprocess.run(driver.command, env=environment(stack, name, driver, way), cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace", timeout=240)
        out, err = done.stdout, done.stderr
    except subprocess.TimeoutExpired as e:
        out, err = (e.stdout or b"").decode(errors="replace"), "it did not end within 240 s\n"
    checks, results = {}, []
    for line in out.splitlines():
        if line.startswith("= "):
            results.append(line[2:])
        elif line.startswith("ok "):
            checks.setdefault(line[3:], None)
        elif line.startswith("FAIL "):
            check, _, why = line[5:].partition(": ")
            checks[check] = why
    return checks, results, err


def judge(name, driver, gate, direct):
    """The lines to show and the two counts."""
    lines, passed, failed = [], 0, 0
    for check in driver.checks:
        ways = [("through the gate", gate)] + ([] if check in GATE_ONLY else [("straight", direct)])
        whys = [f"{way}: {got[0].get(check, 'it printed nothing')}" for way, got in ways if got[0].get(check, "missing") is not None]
        passed, failed = passed + (not whys), failed + bool(whys)
        lines += [f"  FAIL {name} {check}: {why}" for why in whys]
    for way, got in (("gate", gate), ("direct", direct)):
        for check in got[0].keys() - set(driver.checks):
            failed += 1
            lines.append(f"  FAIL {name} {check}: the table of checks does not expect it ({way})")
    mine = [r for r in gate[1] if r.split(" ", 1)[0] not in GATE_ONLY]
    if mine != direct[1] or not mine:
        failed += 1
        there, here_ = set(direct[1]), set(mine)
        lines += [f"  FAIL {name}: other results than straight\n    gate   {r[:1000]}" for r in mine if r not in there]
        lines += [f"    direct {r[:1000]}" for r in direct[1] if r not in here_] + ([] if mine else ["  no results at all"])
    else:
        passed += 1
    for what, _, value in (r.partition(" ") for r in mine):
        if what in driver.fixed and value != driver.fixed[what]:
            failed += 1
            lines.append(f"  FAIL {name} {what}: {value}\n    not {driver.fixed[what]}")
    lacks = "".join(f"\n  without {check}: {why}" for check, why in driver.lacks.items())
    lines.insert(0, f"{name}: {passed} passed, {failed} failed ({driver.version()}){lacks}")
    if failed:
        lines += ["    " + line for got in (gate, direct) for line in got[2].splitlines()[-40:]]
    return lines, passed, failed


def one(stack, name, driver):
    try:
        if driver.prepare:
            driver.prepare()
        gate, direct = (run_program(stack, name, driver, way) for way in ("gate", "direct"))
    except (AssertionError, OSError) as e:
        return [f"{name}: it does not come to run: {e}"], 0, len(driver.checks)
    return judge(name, driver, gate, direct)


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    sys.modules["drivers"] = sys.modules["__main__"]  # what the other tables import is this
    import drivers_my
    drivers = {**DRIVERS, **drivers_my.DRIVERS}
    if "--registries" in sys.argv:
        from registries import DRIVERS as drivers
    unknown = [a for a in args if a not in drivers]
    if unknown:
        sys.exit(f"no such driver: {' '.join(unknown)}; there are {' '.join(drivers)}")
    chosen = {n: d for n, d in drivers.items() if not args or n in args}
    if "--packages" in sys.argv:
        print(" ".join(sorted({p for d in chosen.values() for p in d.packages.split()})))
        return
    import stack as e2e
    passed = failed = 0
    mysql = any(d.mysql for d in chosen.values())
    stack = e2e.Stack(mysql=mysql)
    try:
        set_up(stack)
        if mysql:
            drivers_my.set_up(stack)
        for alone in (False, True):
            with concurrent.futures.ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as threads:
                waiting = [threads.submit(one, stack, name, driver) for name, driver in chosen.items() if driver.alone == alone]
                for done in concurrent.futures.as_completed(waiting):
                    lines, ok, bad = done.result()
                    print("\n".join(lines), flush=True)
                    passed, failed = passed + ok, failed + bad
    finally:
        try:
            stack.close()
            passed += 1
        except AssertionError as e:
            print(e)
            failed += 1
        print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
