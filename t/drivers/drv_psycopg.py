"""psycopg 3: libpq's extended protocol, parameters on the server, text and binary, pipelines; psycopg_pool."""
import threading

import psycopg
from psycopg import errors, pq
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from checks import *


def arguments(**more):
    tls = dict(sslmode="verify-full", sslrootcert=CA) if GATE else dict(sslmode="disable")
    return {**dict(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE, connect_timeout=20, autocommit=True), **tls, **more}


def connect(**more):
    return psycopg.connect(**arguments(**more))


@check
def connects():
    with connect(application_name="driver psycopg", options="-c statement_timeout=60000") as conn:
        assert conn.execute("SHOW statement_timeout").fetchone() == ("1min",)
        assert conn.pgconn.ssl_in_use == GATE and conn.info.server_version // 10000 == 15 and conn.info.encoding == "utf-8"


@gate_only
def verifies_tls():
    assert "certificate verify failed" in str(raises(psycopg.OperationalError, connect, sslrootcert=WRONG_CA))


@gate_only
def bad_token():
    assert "must be a valid OIDC access token" in str(raises(psycopg.OperationalError, connect, password="not.a.token"))
    conn = pq.PGconn.connect(f"host={HOST} port={PORT} user={USER} password=x dbname={DATABASE} sslmode=verify-full sslrootcert={CA}".encode())
    assert b"password authentication failed" in conn.error_message
    with connect() as conn:  # and a fresh one in the session
        for prepare in (False, True):
            assert conn.execute(f"SET gatehouse.token = '{PASSWORD}'", prepare=prepare).statusmessage == "SET"


@check
def prepared():
    with connect() as conn:
        for n in range(50):
            assert conn.execute("SELECT %s::int + 1, %s::text", (n, "x"), prepare=True).fetchone() == (n + 1, "x")


@check
def prepared_many():
    """More than psycopg keeps, so that it deallocates too; and as it does of itself, from the fifth time on."""
    with connect() as conn:
        conn.prepared_max = 20
        for _ in range(2):
            for n in range(200):
                assert conn.execute(f"SELECT {n} + %s::int", (1,), prepare=True).fetchone() == (n + 1,)
        for n in range(10):
            assert conn.execute("SELECT %s::int", (n,)).fetchone() == (n,)


@check
def batch():
    with connect() as conn:
        conn.execute(f"DROP TABLE IF EXISTS {T}")
        conn.execute(f"CREATE TABLE {T} (id int PRIMARY KEY, v text)")
        with conn.pipeline() as p:
            cursors = [conn.execute(f"INSERT INTO {T} VALUES (%s, %s) RETURNING id", (n, f"v{n}")) for n in range(1000)]
            p.sync()
            assert [c.fetchone()[0] for c in cursors] == list(range(1000))
        with conn.cursor() as cur:
            cur.executemany(f"UPDATE {T} SET v = %s WHERE id = %s RETURNING id", [("w", n) for n in range(100)], returning=True)
    with connect(prepare_threshold=None) as conn:
        try:
            with conn.pipeline():
                conn.execute(f"DELETE FROM {T}")
                conn.execute("SELECT 1 / %s", (0,))
                conn.execute("SELECT 1")
            raise AssertionError("no error")
        except errors.DivisionByZero:
            pass
        show("batch", conn.execute(f"SELECT count(*), count(*) FILTER (WHERE v = 'w') FROM {T}").fetchall())


@check
def large():
    with connect() as conn:
        show_large(conn.execute(SQL_LARGE))


@check
def stream():
    with connect(autocommit=False) as conn:
        with conn.cursor(name="portal") as cur:
            cur.itersize = 5000
            cur.execute(SQL_LARGE)
            show_large(cur)
        with conn.cursor(name="scrolls", scrollable=True, binary=True) as cur:
            cur.execute("SELECT generate_series(1, 100)")
            cur.scroll(50)
            assert cur.fetchone() == (51,)
    with connect() as conn, conn.cursor() as cur:  # row by row as they arrive
        assert sum(n for n, in cur.stream("SELECT generate_series(1, 20000)")) == 200010000


@check
def cancel():
    with connect() as conn:
        done = threading.Event()

        def again():  # one that comes before the statement runs hits nothing
            while not done.wait(0.3):
                conn.cancel()

        thread = threading.Thread(target=again)
        thread.start()
        try:
            raises(errors.QueryCanceled, conn.execute, "SELECT pg_sleep(60)")
        finally:
            done.set()
            thread.join()
    with connect() as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


@check
def copy_in():
    with connect() as conn, conn.cursor() as cur:
        cur.execute(f"DROP TABLE IF EXISTS {T}")
        cur.execute(f"CREATE TABLE {T} (id int, v text)")
        with cur.copy(f"COPY {T} FROM STDIN") as copy:
            for n in range(50000):
                copy.write_row((n, f"a\tb\\{n}"))
        with cur.copy(f"COPY {T} FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            for n in range(50000, 60000):
                copy.write_row((n, None))
        assert cur.rowcount == 10000
        try:
            with cur.copy(f"COPY {T} FROM STDIN (FORMAT csv)") as copy:
                copy.write("1,a\nx,b\n")
            raise AssertionError("no error")
        except errors.InvalidTextRepresentation:
            pass
        show("copy_in", cur.execute(f"SELECT count(*), count(v), sum(id), md5(string_agg(v, '' ORDER BY id)) FROM {T}").fetchone())


@check
def copy_out():
    with connect() as conn, conn.cursor() as cur:
        for how in ("text", "csv, header", "binary"):
            digest = hashlib.md5()
            with cur.copy(f"COPY (SELECT * FROM {T} ORDER BY id) TO STDOUT (FORMAT {how})") as copy:
                for data in copy:
                    digest.update(data)
            show(f"copy_out {how}", digest.hexdigest())


@check
def transaction():
    with connect() as conn:
        conn.execute(f"DROP TABLE IF EXISTS {T}")
        conn.execute(f"CREATE TABLE {T} (id int PRIMARY KEY)")
        with conn.transaction():
            conn.execute(f"INSERT INTO {T} VALUES (1)")
            raise psycopg.Rollback()
        with conn.transaction():
            conn.execute(f"INSERT INTO {T} VALUES (2)")
            with conn.transaction("s"):
                conn.execute(f"INSERT INTO {T} VALUES (3)")
                raise psycopg.Rollback()
        conn.autocommit = False
        raises(errors.UniqueViolation, conn.execute, f"INSERT INTO {T} VALUES (2)")
        raises(errors.InFailedSqlTransaction, conn.execute, "SELECT 1")
        conn.rollback()
        conn.isolation_level, conn.read_only = psycopg.IsolationLevel.SERIALIZABLE, True
        raises(errors.ReadOnlySqlTransaction, conn.execute, f"INSERT INTO {T} VALUES (4)")
        conn.rollback()
        show("transaction", conn.execute(f"SELECT * FROM {T}").fetchall())


@check
def reconnect():
    conn = connect()
    end_backend(conn.execute("SELECT pg_backend_pid()").fetchone()[0])
    raises(psycopg.OperationalError, conn.execute, "SELECT 1")
    assert conn.closed and conn.broken
    with connect() as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


def round_trip(binary, fmt):
    with connect() as conn:
        conn.execute(f"DROP TABLE IF EXISTS {T}")
        conn.execute(f"CREATE TABLE {T} ({TYPES})")
        row = [*ROW]
        row[11] = Jsonb(ROW[11])
        conn.execute(f"INSERT INTO {T} VALUES ({', '.join([fmt] * len(row))})", row)
        with conn.cursor(binary=binary) as cur:
            got = list(cur.execute(f"SELECT * FROM {T}").fetchone())
        assert got == ROW, got
        conn.execute("SET timezone = 'UTC'")
        return conn.execute(f"SELECT r::text FROM {T} AS r").fetchone()[0]


@check
def types():
    show("types", round_trip(False, "%t"))


@check
def binary():
    show("binary", round_trip(True, "%s"))  # %s takes binary where psycopg has it, as for results


@check
def injection():
    with connect() as conn:
        conn.execute(f"DROP TABLE IF EXISTS {T}")
        conn.execute(f"CREATE TABLE {T} (v text)")
        conn.execute(f"INSERT INTO {T} VALUES (%s)", (EVIL,))
        assert conn.execute(f"SELECT v FROM {T} WHERE v = %b", (EVIL,)).fetchall() == [(EVIL,)]
        show("injection", conn.execute(f"SELECT md5(v) FROM {T}").fetchall())


@gate_only
def refused():
    with connect() as conn:
        for _ in range(7):  # past the fifth time psycopg prepares
            e = raises(errors.InsufficientPrivilege, conn.execute, "SELECT * FROM staff WHERE id = %s", (1,))
            assert e.sqlstate == "42501"
            says_why(e.diag.message_primary, e.diag.message_hint)
            assert conn.execute("SELECT 1").fetchone() == (1,)


@gate_only
def refused_in_transaction():
    with connect(autocommit=False) as conn:
        conn.execute(f"DROP TABLE IF EXISTS {T}")
        conn.execute(f"CREATE TABLE {T} (id int)")
        conn.commit()
        conn.execute(f"INSERT INTO {T} VALUES (1)")
        raises(errors.InsufficientPrivilege, conn.execute, "DELETE FROM orders")
        raises(errors.InFailedSqlTransaction, conn.execute, "SELECT 1")
        conn.rollback()
        assert conn.execute(f"SELECT count(*) FROM {T}").fetchone() == (0,)


@check
def notify():
    with connect() as a, connect() as b:
        a.execute("LISTEN drivers_psycopg")
        b.execute("SELECT 1")
        b.execute("NOTIFY drivers_psycopg, 'hello'")
        got = next(a.notifies())
        assert (got.channel, got.payload) == ("drivers_psycopg", "hello")


@check
def settings_pass():
    with connect(prepare_threshold=None) as conn:
        for sql in settings():
            conn.execute(sql)
        assert conn.execute("SELECT 1").fetchone() == (1,)


@check
def pool():
    resets = []

    def reset(conn):
        conn.execute("DISCARD ALL")
        resets.append(1)

    with ConnectionPool(kwargs=arguments(prepare_threshold=None), min_size=2, max_size=4, reset=reset) as pool:
        got = []

        def work(n):
            with pool.connection() as conn:
                got.append(conn.execute("SELECT %s::int", (n,)).fetchone()[0])

        for group in range(10):
            threads = [threading.Thread(target=work, args=(group * 5 + n,)) for n in range(5)]
            [t.start() for t in threads]
            [t.join() for t in threads]
        pool.check()
        assert sorted(got) == list(range(50)) and resets  # newer ones reset behind the caller's back


@check
def metadata():
    with connect() as conn:
        cur = conn.execute("SELECT * FROM orders WHERE false")
        show("metadata", [(c.name, c.type_code, c.precision, c.scale) for c in cur.description])
        info = psycopg.types.TypeInfo.fetch(conn, "jsonb")
        show("metadata type", (info.name, info.oid, info.array_oid))


main()
