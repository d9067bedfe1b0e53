"""pg8000: written in Python alone; the extended protocol. Debian's 1.10 (named statements, portals, binary, no SCRAM) and today's (text)."""
import io

from checks import *

try:
    from pg8000.dbapi import connect as dbapi_connect
    from pg8000.dbapi import DatabaseError as Error
    OLD = False
except ImportError:
    from pg8000 import connect as dbapi_connect
    from pg8000 import Error
    OLD = True
    # It wraps its socket without a look at the certificate, by a function that newer Pythons have no more.
    verified = [tls()]
    ssl.wrap_socket = lambda sock: verified[0].wrap_socket(sock, server_hostname=HOST)


def connect(autocommit=True, context=None, **more):
    context = context or tls()
    if OLD:
        verified[0] = context
        how = dict(ssl=context is not None)
    else:
        how = dict(ssl_context=context)
    conn = dbapi_connect(**{**dict(host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, timeout=60), **how, **more})
    conn.autocommit = autocommit
    return conn


def run(conn, sql, args=(), stream=None):
    cur = conn.cursor()
    cur.execute(sql, args, **({} if stream is None else dict(stream=stream)))
    return [list(row) for row in cur.fetchall()] if cur.description else None


def fields(e):
    """SQLSTATE and everything else that the error says."""
    if isinstance(e.args[0], dict):
        return e.args[0]["C"], "\n".join(str(v) for v in e.args[0].values())
    return next(a for a in e.args if len(a) == 5 and a.isalnum() and a not in ("ERROR", "FATAL")), "\n".join(e.args)


def error_code(f, *args, **more):
    return fields(raises(Error, f, *args, **more))[0]


@check
def connects():
    conn = connect()
    assert run(conn, "SHOW server_version_num")[0][0].startswith("15")
    conn.close()


@gate_only
def verifies_tls():
    assert "certificate verify failed" in str(raises(Exception, connect, context=tls(WRONG_CA)))


@gate_only
def bad_token():
    code, text = fields(raises(Error, connect, password="not.a.token"))
    assert code == "28P01" and "must be a valid OIDC access token" in text and "Get a fresh token" in text, text


@check
def prepared():
    conn = connect()
    for n in range(50):
        assert run(conn, "SELECT CAST(%s AS int) + 1, CAST(%s AS text)", (n, "x")) == [[n + 1, "x"]]
    conn.close()


@check
def prepared_many():
    conn = connect()
    for _ in range(2):
        assert [run(conn, f"SELECT {n} + CAST(%s AS int)", (1,))[0][0] for n in range(200)] == list(range(1, 201))
    conn.close()


@check
def batch():
    conn = connect(autocommit=False)
    run(conn, f"DROP TABLE IF EXISTS {T}")
    run(conn, f"CREATE TABLE {T} (id int PRIMARY KEY, v text)")
    conn.cursor().executemany(f"INSERT INTO {T} VALUES (%s, %s)", [(n, f"v{n}") for n in range(500)])
    conn.commit()
    assert error_code(conn.cursor().executemany, f"INSERT INTO {T} VALUES (%s, %s)", [(900, "a"), (1, "b"), (901, "c")]) == "23505"
    conn.rollback()
    show("batch", run(conn, f"SELECT count(*) FROM {T}"))
    conn.close()


@check
def large():
    conn = connect(autocommit=False)  # the old one fetches by portals, which end with the transaction
    show_large(run(conn, SQL_LARGE))
    conn.close()


@check
def stream():
    """SQL's cursors; and the old one fetches every result through a portal, 100 rows at a time."""
    conn = connect(autocommit=False)
    run(conn, f"DECLARE c SCROLL CURSOR FOR {SQL_LARGE}")

    def rows():
        while True:
            got = run(conn, "FETCH 10000 FROM c")
            yield from got
            if not got:
                return

    show_large(rows())
    assert run(conn, "FETCH ABSOLUTE 51 FROM c")[0][0] == 51
    run(conn, "CLOSE c")
    conn.commit()
    conn.close()


@check
def copy_in():
    conn = connect()
    run(conn, f"DROP TABLE IF EXISTS {T}")
    run(conn, f"CREATE TABLE {T} (id int, v text)")
    run(conn, f"COPY {T} FROM STDIN", stream=io.BytesIO(b"".join(b"%d\ta\\tb\\\\%d\n" % (n, n) for n in range(50000))))
    assert error_code(run, conn, f"COPY {T} FROM STDIN", stream=io.BytesIO(b"x\ta\n")) == "22P02"
    show("copy_in", run(conn, f"SELECT CAST(count(*) AS int), CAST(sum(id) AS text), md5(string_agg(v, '' ORDER BY id)) FROM {T}"))
    conn.close()


@check
def copy_out():
    conn = connect()
    for how in ("text", "csv", "binary"):
        out = io.BytesIO()
        run(conn, f"COPY (SELECT * FROM {T} ORDER BY id) TO STDOUT (FORMAT {how})", stream=out)
        show(f"copy_out {how}", hashlib.md5(out.getvalue()).hexdigest())
    conn.close()


@check
def transaction():
    conn = connect(autocommit=False)
    run(conn, f"DROP TABLE IF EXISTS {T}")
    run(conn, f"CREATE TABLE {T} (id int PRIMARY KEY)")
    conn.commit()
    run(conn, f"INSERT INTO {T} VALUES (1)")
    conn.rollback()
    run(conn, f"INSERT INTO {T} VALUES (2)")
    run(conn, "SAVEPOINT s")
    run(conn, f"INSERT INTO {T} VALUES (3)")
    run(conn, "ROLLBACK TO s")
    conn.commit()
    assert error_code(run, conn, f"INSERT INTO {T} VALUES (2)") == "23505"
    assert error_code(run, conn, "SELECT 1") == "25P02"
    conn.rollback()
    show("transaction", run(conn, f"SELECT * FROM {T}"))
    conn.close()


@check
def reconnect():
    conn = connect()
    end_backend(run(conn, "SELECT pg_backend_pid()")[0][0])
    raises(Exception, run, conn, "SELECT 1")
    conn = connect()
    assert run(conn, "SELECT 1") == [[1]]
    conn.close()


@check
def types():
    conn = connect()
    run(conn, f"DROP TABLE IF EXISTS {T}")
    run(conn, f"CREATE TABLE {T} ({TYPES})")
    row = [*ROW]
    row[11] = '{"a": [1, null, "x"]}'
    run(conn, f"INSERT INTO {T} VALUES ({', '.join(f'CAST(%s AS {kind.split()[1]})' for kind in TYPES.split(', '))})", row)
    got = run(conn, f"SELECT * FROM {T}")[0]
    assert got == ROW, got
    run(conn, "SET timezone = 'UTC'")
    show("types", run(conn, f"SELECT CAST(r AS text) FROM {T} AS r")[0][0])
    conn.close()


@check
def injection():
    conn = connect()
    run(conn, f"DROP TABLE IF EXISTS {T}")
    run(conn, f"CREATE TABLE {T} (v text)")
    run(conn, f"INSERT INTO {T} VALUES (%s)", (EVIL,))
    assert run(conn, f"SELECT v FROM {T} WHERE v = %s", (EVIL,)) == [[EVIL]]
    show("injection", run(conn, f"SELECT md5(v) FROM {T}"))
    conn.close()


@gate_only
def refused():
    conn = connect()
    for _ in range(3):
        for sql, args in (("SELECT * FROM staff WHERE id = %s", (1,)), ("TABLE staff", ())):
            code, text = fields(raises(Error, run, conn, sql, args))
            assert code == "42501" and "Read public.orders." in text, text
            says_why(text)
        assert run(conn, "SELECT 1") == [[1]]
    conn.close()


@gate_only
def refused_in_transaction():
    conn = connect(autocommit=False)
    run(conn, f"DROP TABLE IF EXISTS {T}")
    run(conn, f"CREATE TABLE {T} (id int)")
    conn.commit()
    run(conn, f"INSERT INTO {T} VALUES (1)")
    assert error_code(run, conn, "DELETE FROM orders") == "42501"
    assert error_code(run, conn, "SELECT 1") == "25P02"
    conn.rollback()
    assert run(conn, f"SELECT CAST(count(*) AS int) FROM {T}") == [[0]]
    conn.close()


@check
def notify():
    a, b = connect(), connect()
    run(a, "LISTEN drivers_pg8000")
    run(b, "NOTIFY drivers_pg8000, 'hello'")
    for _ in range(1000):  # it takes them in with the answer of a statement
        run(a, "SELECT 1")
        got = a.notifies if OLD else a.notifications
        if got:
            break
    assert got[0][1] == "drivers_pg8000", got
    a.close(), b.close()


@check
def settings_pass():
    conn = connect()
    for sql in settings():
        if not OLD or not sql.startswith(("DEALLOCATE", "DISCARD ALL", "DISCARD PLANS")):
            run(conn, sql)
    for sql in ("DISCARD ALL",) if OLD else ():  # takes its BEGIN and COMMIT away, which it keeps prepared: the last thing it does
        run(conn, sql)
    conn = connect()
    assert run(conn, "SELECT 1") == [[1]]
    conn.close()


@check
def metadata():
    conn = connect()
    cur = conn.cursor()
    cur.execute("SELECT * FROM orders WHERE false")
    show("metadata", [(c[0], c[1]) for c in cur.description])
    conn.close()


main()
