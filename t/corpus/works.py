"""What is run: PostgreSQL's regression SQL, that of contrib and PL/pgSQL, and real tools."""
import os
import re
import shutil
import subprocess

import clusters
import source

ORM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "orm")
# The part for t/run: these modules, and in the extended protocol the schedule up to this file.
CONTRIB = ("btree_gist", "citext", "cube", "dblink", "hstore", "intarray", "ltree", "pg_trgm", "pgcrypto", "postgres_fdw", "tsm_system_rows")
LAST = "strings"


def psql_env(bench, top, database):
    keep = {k: os.environ[k] for k in ("PATH", "HOME", "LANG", "TERM") if k in os.environ}
    return dict(keep, PGHOST="127.0.0.1", PGPORT=str(bench.tee.port), PGUSER="postgres", PGDATABASE=database, PGSSLMODE="disable", PGGSSENCMODE="disable",
                PGTZ="PST8PDT", PGDATESTYLE="Postgres, MDY", PG_ABS_SRCDIR=top, PG_ABS_BUILDDIR=os.path.join(bench.folder, "work"),
                PG_LIBDIR=clusters.libraries(bench.source), PG_DLSUFFIX=".so", LC_ALL="C.UTF-8")


def psql(bench, top, database, script, name, timeout=120):
    def work():
        with open(script, "rb") as f, open(os.path.join(bench.folder, "psql.out"), "wb") as out:
            subprocess.run([source.SERVER + "/bin/psql", "-X", "-a", "-q", "-d", database, "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"], stdin=f,
                           stdout=out, stderr=subprocess.STDOUT, env=dict(psql_env(bench, top, database), PGAPPNAME="pg_regress/" + name), cwd=bench.folder,
                           timeout=timeout)
    return work


def regress(bench, names, protocol):
    top = os.path.join(bench.source, "src/src/test/regress")
    first = True
    for name in names:
        script = psql(bench, top, "regression", os.path.join(top, "sql", name + ".sql"), name)

        def work(script=script, first=first):
            if first:
                bench.clusters.recreate("regression")
            bench.tee.protocol = protocol
            script()
            bench.tee.protocol = "simple"
        yield ("regress/" if protocol == "simple" else f"regress-{protocol}/") + name, work
        first = False


def contrib(bench, modules):
    for module, names in modules:
        top = os.path.join(bench.source, "src/contrib", module)
        for i, name in enumerate(names):
            script = psql(bench, top, "contrib_regression", os.path.join(top, "sql", name + ".sql"), name)

            def work(script=script, i=i):
                if i == 0:
                    bench.clusters.recreate("contrib_regression")
                script()
            yield f"contrib/{module}/{name}", work


# --- tools ---------------------------------------------------------------------------------------------------------------------

def command(bench, database, *words, timeout=300, out="tool.out", more=()):
    """Through the tee. Its output is what the direct answers made of it."""
    env = dict(psql_env(bench, "/", database), **dict(more))
    with open(os.path.join(bench.folder, out), "wb") as f:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.PIPE, env=env, cwd=bench.folder, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.decode(errors='replace')[-3000:]}")


def dump_alike(bench, database, *options):
    """pg_dump through the gate, and of the same cluster directly: the files are equal."""
    dumps = []
    key = re.compile(rb"^\\(un)?restrict \S+$", re.M)  # a random key of each dump's own
    stack, address = bench.stack, bench.clusters.addresses["gate"]
    for target in (f"host={stack.host} port={stack.port} user=tester sslmode=verify-full sslrootcert={stack.env['GH_CA']} dbname={database}",
                   f"host={address[0]} port={address[1]} user=postgres sslmode=disable dbname={database}"):
        dumps.append(key.sub(b"", subprocess.run([source.SERVER + "/bin/pg_dump", *options, "-d", target], check=True, stdout=subprocess.PIPE,
                                    env=dict(os.environ, PGPASSWORD=bench.tee.token)).stdout))
    assert dumps[0] == dumps[1] and len(dumps[0]) > 1000, f"pg_dump {' '.join(options)} of {database}: {[len(d) for d in dumps]} bytes"


def tools(bench):
    bin_ = source.SERVER + "/bin/"
    work = bench.folder

    def pg_dump():
        command(bench, "regression", bin_ + "pg_dump", "-Fc", "--no-owner", "--no-blobs", out="dump.custom")
        # without large objects: libpq reads them with FunctionCall messages, which the gate refuses
        command(bench, "regression", bin_ + "pg_dump", "--schema-only", out="schema.sql")
        command(bench, "regression", bin_ + "pg_dump", "--inserts", "--data-only", "-t", "onek", "-t", "int8_tbl", out="inserts.sql")
        dump_alike(bench, "regression", "--schema-only")
        dump_alike(bench, "regression", "--data-only", "--rows-per-insert=50", "-t", "tenk1")

    def pg_dumpall():
        command(bench, "postgres", bin_ + "pg_dumpall", "--schema-only", "--exclude-database=contrib_regression", "--exclude-database=shop", "-l", "postgres")

    def pg_restore():
        bench.clusters.recreate("tools")
        env = psql_env(bench, "/", "tools")
        done = subprocess.run([bin_ + "pg_restore", "--no-owner", "-d", "tools", os.path.join(work, "dump.custom")], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300)
        assert b"database connection" not in done.stderr, done.stderr[-2000:]  # some objects of the regression database restore with errors, directly too

    def pgbench():
        bench.clusters.recreate("tools")
        command(bench, "tools", "/usr/bin/pgbench", "-i", "-s", "1", "-q")
        for protocol in ("simple", "extended", "prepared"):
            command(bench, "tools", "/usr/bin/pgbench", "-n", "-c", "1", "-t", "60", "-M", protocol, "--random-seed=1")

    def maintenance():
        command(bench, "tools", bin_ + "vacuumdb", "--analyze", "--full", "tools")
        command(bench, "tools", bin_ + "reindexdb", "tools")
        command(bench, "tools", bin_ + "clusterdb", "tools")
        command(bench, "tools", bin_ + "createuser", "--createdb", "corpus_tool_user")
        command(bench, "tools", bin_ + "dropuser", "corpus_tool_user")

    def describe():
        psql(bench, "/", "regression", os.path.join(ORM, "describe.sql"), "describe")()

    yield "tools/psql describe", describe
    yield "tools/pg_dump", pg_dump
    yield "tools/pg_dumpall", pg_dumpall
    yield "tools/pg_restore", pg_restore
    yield "tools/pgbench", pgbench
    yield "tools/maintenance", maintenance


def orms(bench):
    def sqlalchemy_own():
        bench.clusters.recreate("tools")
        command(bench, "tools", "/usr/bin/python3", os.path.join(ORM, "sqlalchemy_work.py"), more={"PYTHONHASHSEED": "0"})

    def sqlalchemy_suite():
        bench.clusters.recreate("tools")
        for name in bench.tee.addresses:
            bench.clusters.sql(name, "tools", "CREATE SCHEMA test_schema", "CREATE EXTENSION hstore")
        work = os.path.join(bench.folder, "suite")
        shutil.copytree(ORM, work)
        done = subprocess.run(["/usr/bin/python3", "-m", "pytest", "test_suite.py", "--dburi", f"postgresql+psycopg2://postgres@127.0.0.1:{bench.tee.port}/tools"],
                              cwd=work, env=dict(psql_env(bench, "/", "tools"), PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        # Which of its tests pass is its own business; that most do shows that it ran.
        assert " passed" in done.stdout, done.stdout[-3000:]

    def django():
        bench.clusters.recreate("tools")
        with bench.strict():
            command(bench, "tools", "/usr/bin/python3", os.path.join(ORM, "django_work.py"), more={"PYTHONHASHSEED": "0"})

    yield "orm/sqlalchemy application", sqlalchemy_own
    yield "orm/sqlalchemy dialect suite", sqlalchemy_suite
    yield "orm/django (strict)", django


def plan(bench, everything):
    names = clusters.schedule(bench.source)
    modules = clusters.contrib(bench.source)
    yield from regress(bench, names, "simple")
    yield from tools(bench)
    yield from orms(bench)
    if everything:
        yield from contrib(bench, modules)
        for protocol in ("extended", "binary"):
            yield from regress(bench, names, protocol)
        return
    yield from contrib(bench, [m for m in modules if m[0] in CONTRIB])
    for protocol in ("extended", "binary"):
        yield from regress(bench, names[:names.index(LAST)], protocol)
