"""psycopg2: libpq's simple protocol and text; parameters are put into the statement by the client."""
import io
import select
import threading

import psycopg2
import psycopg2.errors
import psycopg2.extras
import psycopg2.pool
from psycopg2.extensions import ISOLATION_LEVEL_SERIALIZABLE, TRANSACTION_STATUS_IDLE

from checks import *

psycopg2.extras.register_uuid()


def connect(autocommit=True, **more):
    tls = dict(sslmode="verify-full", sslrootcert=CA) if GATE else dict(sslmode="disable")
    conn = psycopg2.connect(**{**dict(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE, connect_timeout=20), **tls, **more})
    conn.autocommit = autocommit
    return conn


def query(conn, sql, args=None):
    with conn.cursor() as cur:
        cur.execute(sql, args)
        return cur.fetchall() if cur.description else None


@check
def connects():
    conn = connect(application_name="driver psycopg2", options="-c statement_timeout=60000 -c extra_float_digits=3")
    assert conn.info.ssl_in_use == GATE
    assert query(conn, "SHOW statement_timeout") == [("1min",)]
    assert conn.server_version // 10000 == 15 and conn.encoding == "UTF8"
    assert conn.info.backend_pid == query(conn, "SELECT pg_backend_pid()")[0][0] or GATE
    conn.close()


@gate_only
def verifies_tls():
    assert "certificate verify failed" in str(raises(psycopg2.OperationalError, connect, sslrootcert=WRONG_CA))


@gate_only
def bad_token():
    e = raises(psycopg2.OperationalError, connect, password="not.a.token")
    assert "must be a valid OIDC access token" in str(e), e  # psycopg2 has no pgcode for a connection that failed
    conn = connect()
    with conn.cursor() as cursor:  # and a fresh one in the session
        cursor.execute(f"SET gatehouse.token = '{PASSWORD}'")
        cursor.execute("SET gatehouse.token = %s", (PASSWORD,))
        assert cursor.statusmessage == "SET", cursor.statusmessage
    conn.close()


@check
def prepared():
    conn = connect()
    query(conn, "PREPARE p (int, text) AS SELECT $1 + 1, $2")
    for n in range(50):
        assert query(conn, "EXECUTE p (%s, %s)", (n, "x")) == [(n + 1, "x")]
    query(conn, "DEALLOCATE p")
    assert raises(psycopg2.Error, query, conn, "EXECUTE p (1, 'x')").pgcode == "26000"
    conn.close()


@check
def prepared_many():
    conn = connect()
    for n in range(200):
        query(conn, f"PREPARE p{n} AS SELECT {n} + $1::int")
    assert [query(conn, f"EXECUTE p{n} (1)")[0][0] for n in range(200)] == list(range(1, 201))
    query(conn, "DEALLOCATE ALL")
    conn.close()


@check
def batch():
    conn = connect()
    query(conn, f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int PRIMARY KEY, v text)")
    with conn.cursor() as cur:
        psycopg2.extras.execute_values(cur, f"INSERT INTO {T} VALUES %s", [(n, f"v{n}") for n in range(5000)], page_size=1000)
        psycopg2.extras.execute_batch(cur, f"UPDATE {T} SET v = %s WHERE id = %s", [("w", n) for n in range(100)])
    e = raises(psycopg2.Error, query, conn, f"DELETE FROM {T}; SELECT 1 / 0; SELECT 1")
    assert e.pgcode == "22012"
    show("batch", query(conn, f"SELECT count(*), count(*) FILTER (WHERE v = 'w') FROM {T}"))
    conn.close()


@check
def large():
    conn = connect()
    with conn.cursor() as cur:
        cur.execute(SQL_LARGE)
        show_large(cur)
    conn.close()


@check
def stream():
    conn = connect(autocommit=False)
    with conn.cursor(name="portal") as cur:
        cur.itersize = 5000
        cur.execute(SQL_LARGE)
        show_large(cur)
    with conn.cursor(name="scrolls", scrollable=True) as cur:
        cur.execute("SELECT generate_series(1, 100)")
        cur.scroll(50)
        assert cur.fetchone() == (51,)
        cur.scroll(-11)
        assert cur.fetchmany(2) == [(41,), (42,)]
    conn.close()


@check
def cancel():
    conn = connect()
    done = threading.Event()

    def again():  # one that comes before the statement runs hits nothing
        while not done.wait(0.3):
            conn.cancel()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        raises(psycopg2.errors.QueryCanceled, query, conn, "SELECT pg_sleep(60)")
    finally:
        done.set()
        thread.join()
    conn.close()
    other = connect()
    assert query(other, "SELECT 1") == [(1,)]
    other.close()


@check
def copy_in():
    conn = connect()
    query(conn, f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int, v text)")
    with conn.cursor() as cur:
        cur.copy_expert(f"COPY {T} FROM STDIN", io.StringIO("".join(f"{n}\ta\\tb\\\\{n}\n" for n in range(50000))))
        assert cur.rowcount == 50000
        e = raises(psycopg2.Error, cur.copy_expert, f"COPY {T} FROM STDIN (FORMAT csv)", io.StringIO("1,a\nx,b\n"))
        assert e.pgcode == "22P02"
    show("copy_in", query(conn, f"SELECT count(*), sum(id), min(v), md5(string_agg(v, '' ORDER BY id)) FROM {T}"))
    conn.close()


@check
def copy_out():
    conn = connect()
    for how in ("text", "csv, header", "binary"):
        out = io.BytesIO()
        with conn.cursor() as cur:
            cur.copy_expert(f"COPY (SELECT * FROM {T} ORDER BY id) TO STDOUT (FORMAT {how})", out)
        show(f"copy_out {how}", hashlib.md5(out.getvalue()).hexdigest())
    conn.close()


@check
def transaction():
    conn = connect(autocommit=False)
    query(conn, f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int PRIMARY KEY)")
    conn.commit()
    query(conn, f"INSERT INTO {T} VALUES (1)")
    conn.rollback()
    query(conn, f"INSERT INTO {T} VALUES (2)")
    query(conn, "SAVEPOINT s")
    query(conn, f"INSERT INTO {T} VALUES (3)")
    query(conn, "ROLLBACK TO s")
    conn.commit()
    raises(psycopg2.errors.UniqueViolation, query, conn, f"INSERT INTO {T} VALUES (2)")
    raises(psycopg2.errors.InFailedSqlTransaction, query, conn, "SELECT 1")
    conn.rollback()
    conn.set_session(isolation_level=ISOLATION_LEVEL_SERIALIZABLE, readonly=True)
    raises(psycopg2.errors.ReadOnlySqlTransaction, query, conn, f"INSERT INTO {T} VALUES (4)")
    conn.rollback()
    show("transaction", query(conn, f"SELECT * FROM {T}"))
    conn.close()


@check
def reconnect():
    conn = connect()
    end_backend(query(conn, "SELECT pg_backend_pid()")[0][0])
    raises((psycopg2.OperationalError, psycopg2.InterfaceError), query, conn, "SELECT 1")
    assert conn.closed
    conn = connect()
    assert query(conn, "SELECT 1") == [(1,)]
    conn.close()


@check
def types():
    conn = connect()
    query(conn, f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} ({TYPES})")
    row = [*ROW]
    row[11] = psycopg2.extras.Json(ROW[11])
    query(conn, f"INSERT INTO {T} VALUES ({', '.join(['%s'] * len(row))})", row)
    got = list(query(conn, f"SELECT * FROM {T}")[0])
    got[6] = bytes(got[6])
    assert got == ROW, got
    query(conn, "SET timezone = 'UTC'")
    show("types", query(conn, f"SELECT r::text FROM {T} AS r")[0][0])
    conn.close()


@check
def injection():
    conn = connect()
    query(conn, f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (v text)")
    query(conn, f"INSERT INTO {T} VALUES (%s)", (EVIL,))
    assert query(conn, f"SELECT v FROM {T} WHERE v = %s", (EVIL,)) == [(EVIL,)]
    show("injection", query(conn, f"SELECT md5(v) FROM {T}"))
    conn.close()


@gate_only
def refused():
    conn = connect()
    for _ in range(3):
        e = raises(psycopg2.errors.InsufficientPrivilege, query, conn, "SELECT * FROM staff WHERE id = %s", (1,))
        says_why(e.diag.message_primary, e.diag.message_hint)
        assert query(conn, "SELECT 1") == [(1,)]
    conn.close()


@gate_only
def refused_in_transaction():
    conn = connect(autocommit=False)
    query(conn, f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int)")
    conn.commit()
    query(conn, f"INSERT INTO {T} VALUES (1)")
    raises(psycopg2.errors.InsufficientPrivilege, query, conn, "DELETE FROM orders")
    raises(psycopg2.errors.InFailedSqlTransaction, query, conn, "SELECT 1")
    conn.rollback()
    assert query(conn, f"SELECT count(*) FROM {T}") == [(0,)]
    conn.close()


@check
def notify():
    a, b = connect(), connect()
    query(a, "LISTEN drivers")
    query(b, "NOTIFY drivers, 'hello'")
    while not a.notifies:
        assert select.select([a], [], [], 20)[0]
        a.poll()
    assert (a.notifies[0].channel, a.notifies[0].payload) == ("drivers", "hello")
    a.close(), b.close()


@check
def settings_pass():
    conn = connect()
    for sql in settings():
        query(conn, sql)
    conn.set_client_encoding("UTF8")
    conn.reset()
    assert conn.info.transaction_status == TRANSACTION_STATUS_IDLE and query(conn, "SELECT 1") == [(1,)]
    conn.close()


@check
def pool():
    tls = dict(sslmode="verify-full", sslrootcert=CA) if GATE else dict(sslmode="disable")
    pool = psycopg2.pool.ThreadedConnectionPool(2, 5, host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE, **tls)
    got = []

    def work(n):
        conn = pool.getconn()
        got.append(query(conn, "SELECT %s", (n,))[0][0])
        pool.putconn(conn)

    for group in range(10):
        threads = [threading.Thread(target=work, args=(group * 5 + n,)) for n in range(5)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    assert sorted(got) == list(range(50))
    pool.closeall()


@check
def metadata():
    conn = connect()
    with conn.cursor() as cur:
        cur.execute("SELECT * FROM orders WHERE false")
        show("metadata", [(c.name, c.type_code, c.precision, c.scale) for c in cur.description])
    conn.close()


@gate_only
def large_object():
    conn = connect(autocommit=False)
    e = raises(psycopg2.Error, conn.lobject, 0, "w")
    assert "FunctionCall" in str(e), e
    conn.rollback()
    assert query(conn, "SELECT 1") == [(1,)]
    conn.close()


main()
