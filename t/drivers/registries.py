"""The drivers of t/drivers/run --registries: from pip, npm, Go modules and Maven, in the versions that registries/ locks."""
import os
import shutil
import threading

import drivers_my
from drivers import CHECKS, DRIVERS as DEBIAN, Driver, GO, HERE, JAVA, NO_LO, NO_POOL, NODE, WORK, here, must_run
from drivers_my import MyDriver

LOCKS = os.path.join(HERE, "registries")
PGJDBC = "42.7.11"
CONNECTOR_J = "26.10.0"
MARIADB_J = "3.5.11"
HIKARI = "/usr/share/java/HikariCP.jar:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-nop.jar"
VENV, NODE_WORK, JARS, GO_WORK, GO_MY = (os.path.join(WORK, name) for name in ("venv", "npm", "jars", "go-pgx5", "go-mysql"))
_once = threading.Lock()


def pip():
    with _once:
        if not os.path.exists(VENV):
            must_run(["/usr/bin/python3", "-m", "venv", VENV])
            must_run([os.path.join(VENV, "bin", "pip"), "install", "-q", "--no-deps", "-r", os.path.join(LOCKS, "requirements.txt")])


def npm():
    """Prisma's client is generated without its engines, which would come from elsewhere: it is told that there is one already, and never calls it."""
    with _once:
        if os.path.exists(NODE_WORK):
            return
        os.makedirs(NODE_WORK)
        for name in ("package.json", "package-lock.json", "schema.prisma"):
            shutil.copy(os.path.join(LOCKS, name), NODE_WORK)
        must_run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=NODE_WORK)
        must_run(["node_modules/.bin/prisma", "generate", "--schema", "schema.prisma"], cwd=NODE_WORK,
                 env=dict(os.environ, PRISMA_SCHEMA_ENGINE_BINARY="/bin/true", DATABASE_URL="postgresql://localhost/shop", CHECKPOINT_DISABLE="1"))


def go_modules(where, mod, sources, change=lambda text: text):
    """Builds main.go, the last source, with the modules that registries/MOD.mod and .sum lock."""
    os.makedirs(where)
    for name in sources[:-1]:
        shutil.copy(here(name), where)
    for kind in ("mod", "sum"):
        shutil.copy(os.path.join(LOCKS, f"{mod}.{kind}"), os.path.join(where, f"go.{kind}"))
    with open(here(sources[-1])) as f, open(os.path.join(where, "main.go"), "w") as out:
        out.write(change(f.read()))
    must_run([GO, "build", "-o", "program", "."], cwd=where, env=dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="-mod=readonly", GOCACHE=os.path.join(WORK, "go-cache")))


def pgx5():
    go_modules(GO_WORK, "go", ["go/checks.go", "go/pgx5/version.go", "go/pgx/main.go"],
               lambda text: text.replace("jackc/pgconn", "jackc/pgx/v5/pgconn").replace("jackc/pgx/v4", "jackc/pgx/v5"))


def maven(artifact):
    must_run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={JARS}"])


def locked(name):
    with open(os.path.join(LOCKS, "requirements.txt")) as f:
        return next(line.strip() for line in f if line.startswith(name + "=="))


def of_pip(name, program=None, requirement=None, **more):
    debian = DEBIAN[name]
    out = Driver("python3-venv", [os.path.join(VENV, "bin", "python"), "-W", "ignore", here(f"drv_{program or name}.py")], more.get("lacks", debian.lacks),
                 checks=more.get("checks", debian.checks if debian.checks[:4] != CHECKS[:4] else None), prepare=pip)
    out.version = lambda: locked(requirement or name)
    return out


def my_pip(requirement, *program, **more):
    out = MyDriver("python3-venv", [os.path.join(VENV, "bin", "python"), "-W", "ignore", here(f"drv_my_{program[0]}.py"), *program[1:]], prepare=pip, **more)
    out.version = lambda: locked(requirement)
    return out


def my_java(prefix, artifact, version):
    jar = os.path.join(JARS, f"{artifact.split(':')[1]}-{version}.jar")
    out = MyDriver("default-jdk-headless maven libhikaricp-java", drivers_my.java(jar, prefix), prepare=lambda: maven(f"{artifact}:{version}"))
    out.version = lambda: f"{artifact} {version}"
    return out


def of_npm(program, versions, lacks=None, checks=None):
    out = Driver("nodejs", [NODE, here(program)], lacks, checks=checks, prepare=npm, env=dict(NODE_PATH=os.path.join(NODE_WORK, "node_modules")))
    out.version = lambda: versions
    return out


DRIVERS = {
    "psycopg2": of_pip("psycopg2", requirement="psycopg2-binary"),
    "psycopg": of_pip("psycopg"),
    "asyncpg": of_pip("asyncpg"),
    "pg8000": of_pip("pg8000", lacks=dict(cancel="it cannot cancel", binary="it reads and writes text alone", pool=NO_POOL, large_object=NO_LO)),
    "sqlalchemy": of_pip("sqlalchemy", requirement="SQLAlchemy", checks=DEBIAN["sqlalchemy"].checks + ["psycopg", "pg8000"]),
    "django": of_pip("django", requirement="Django"),
    "pgjdbc": Driver("default-jdk-headless maven libhikaricp-java", [JAVA, "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/postgresql-{PGJDBC}.jar:{HIKARI}", here("PgJdbc.java")],
                     prepare=lambda: maven(f"org.postgresql:postgresql:{PGJDBC}")),
    "pgx5": Driver("golang-go", [os.path.join(GO_WORK, "program")], prepare=pgx5),
    "node-pg": of_npm("drv_node_pg.js", "pg 8.23.1, pg-copy-streams 7.0.0", dict(large_object=NO_LO)),
    "postgresjs": of_npm("drv_postgresjs.js", "postgres 3.4.9", dict(binary="it reads and writes text alone", large_object=NO_LO)),
    "prisma": of_npm("drv_prisma.js", "prisma 6.19.3",
                     checks=["connects", "verifies_tls", "bad_token", "tables", "orm_queries", "transaction", "injection", "large", "refused", "refused_in_transaction", "reconnect"]),
}
DRIVERS.update({
    "pymysql": my_pip("PyMySQL", "dbapi", "pymysql", lacks=dict(binary=drivers_my.TEXT_ONLY, pool=NO_POOL)),
    "aiomysql": my_pip("aiomysql", "aiomysql", lacks=drivers_my.DRIVERS["aiomysql"].lacks),
    "mysql-connector-python": my_pip("mysql-connector-python", "dbapi", "connector"),
    "sqlalchemy-mysql": my_pip("SQLAlchemy", "sqlalchemy", checks=drivers_my.ORM_CHECKS + ["mysqlconnector", "aiomysql"]),
    "django-mysql": my_pip("Django", "django", checks=drivers_my.DJANGO_CHECKS),
    "connector-j": my_java("jdbc:mysql", "com.mysql:mysql-connector-j", CONNECTOR_J),
    "mariadb-jdbc": my_java("jdbc:mariadb", "org.mariadb.jdbc:mariadb-java-client", MARIADB_J),
    "go-mysql": MyDriver("golang-go", [os.path.join(GO_MY, "program")], prepare=lambda: go_modules(GO_MY, "my_go", ["go/checks.go", "go/mysql/main.go"])),
    "mysql2": MyDriver("nodejs", [NODE, here("drv_my_node.js")], prepare=npm, env=dict(NODE_PATH=os.path.join(NODE_WORK, "node_modules"))),
})
DRIVERS["go-mysql"].version = lambda: "github.com/go-sql-driver/mysql 1.8.1"
DRIVERS["mysql2"].version = lambda: "mysql2 3.24.6"
DRIVERS["pgjdbc"].version = lambda: f"postgresql {PGJDBC}"
DRIVERS["pgx5"].version = lambda: "github.com/jackc/pgx/v5 5.5.5"
