"""psqlodbc through unixODBC and pyodbc: libpq, statements prepared on the server or put together by the driver, cursors, catalog calls."""
import threading

import pyodbc

from checks import *

pyodbc.pooling = False
DRIVER = os.environ.get("GH_T_ODBC_DRIVER", "PostgreSQL Unicode")


def connect(autocommit=True, more="", **fields):
    tls = f"sslmode=verify-full;pqopt={{sslrootcert={fields.pop('ca', CA)}}};" if GATE else "sslmode=disable;"
    text = f"DRIVER={{{DRIVER}}};SERVER={HOST};PORT={PORT};DATABASE={DATABASE};UID={USER};PWD={fields.pop('password', PASSWORD)};{tls}{more}"
    conn = pyodbc.connect(text, autocommit=autocommit)
    return conn


def run(conn, sql, *args):
    cur = conn.execute(sql, *args)
    return [tuple(r) for r in cur.fetchall()] if cur.description else None


def state(e):
    return e.args[0]


@check
def connects():
    conn = connect()
    show("connects", (conn.getinfo(pyodbc.SQL_DBMS_NAME), conn.getinfo(pyodbc.SQL_DBMS_VER), conn.getinfo(pyodbc.SQL_MAX_IDENTIFIER_LEN)))
    assert run(conn, "SELECT 1") == [(1,)]
    conn.close()


@gate_only
def verifies_tls():
    assert "certificate verify failed" in str(raises(pyodbc.Error, connect, ca=WRONG_CA))


@gate_only
def bad_token():
    e = raises(pyodbc.Error, connect, password="not.a.token")
    assert "must be a valid OIDC access token" in str(e), e


@check
def prepared():
    for how in ("UseServerSidePrepare=1;", "UseServerSidePrepare=0;"):
        conn = connect(more=how)
        cur = conn.cursor()
        for n in range(50):
            assert tuple(cur.execute("SELECT CAST(? AS int) + 1, CAST(? AS text)", n, "x").fetchone()) == (n + 1, "x")
        conn.close()


@check
def prepared_many():
    conn = connect(more="UseServerSidePrepare=1;")
    cursors = [conn.cursor() for _ in range(50)]
    for n, cur in enumerate(cursors):
        cur.execute(f"SELECT {n} + CAST(? AS int)", 1)
    assert [cur.fetchone()[0] for cur in cursors] == list(range(1, 51))
    for n in range(200):
        assert cursors[0].execute(f"SELECT {n} + CAST(? AS int)", 1).fetchone()[0] == n + 1
    conn.close()


@check
def batch():
    conn = connect()
    run(conn, f"DROP TABLE IF EXISTS {T}")
    run(conn, f"CREATE TABLE {T} (id int PRIMARY KEY, v text)")
    cur = conn.cursor()
    cur.executemany(f"INSERT INTO {T} VALUES (?, ?)", [(n, f"v{n}") for n in range(500)])
    cur.fast_executemany = True
    cur.executemany(f"INSERT INTO {T} VALUES (?, ?)", [(n, f"v{n}") for n in range(500, 1000)])
    assert state(raises(pyodbc.Error, run, conn, f"DELETE FROM {T}; SELECT 1 / 0; SELECT 1")).startswith("22012")
    show("batch", run(conn, f"SELECT CAST(count(*) AS int), md5(string_agg(v, '' ORDER BY id)) FROM {T}"))
    conn.close()


@check
def large():
    conn = connect()
    show_large(conn.execute(SQL_LARGE))
    conn.close()


@check
def stream():
    """UseDeclareFetch: the driver declares a cursor and fetches from it."""
    conn = connect(autocommit=False, more="UseDeclareFetch=1;Fetch=5000;")
    show_large(conn.execute(SQL_LARGE))
    conn.rollback()
    conn.close()


@check
def cancel():
    conn = connect()
    pid = run(conn, "SELECT pg_backend_pid()")[0][0]
    cur = conn.cursor()

    def once_it_runs():
        subprocess.run([os.environ["GH_T_WAIT_ASLEEP"], str(pid)], check=True)
        cur.cancel()

    thread = threading.Thread(target=once_it_runs)
    thread.start()
    e = raises(pyodbc.Error, cur.execute, "SELECT pg_sleep(60)")
    thread.join()
    assert "canceling statement" in str(e), e
    assert run(conn, "SELECT 1") == [(1,)]
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
    assert state(raises(pyodbc.IntegrityError, run, conn, f"INSERT INTO {T} VALUES (?)", 2)) == "23505"
    conn.rollback()
    show("transaction", run(conn, f"SELECT * FROM {T}"))
    conn.commit()
    conn.close()
    conn = connect(autocommit=False, more="Protocol=7.4-2;")  # a savepoint before each statement
    run(conn, "SELECT 1")
    raises(pyodbc.Error, run, conn, "SELECT 1 / 0")
    assert run(conn, "SELECT 1") == [(1,)]
    conn.close()


@check
def reconnect():
    conn = connect()
    end_backend(run(conn, "SELECT pg_backend_pid()")[0][0])
    raises(pyodbc.Error, run, conn, "SELECT 1")
    conn = connect()
    assert run(conn, "SELECT 1") == [(1,)]
    conn.close()


@check
def types():
    conn = connect(more="ByteaAsLongVarBinary=1;BoolsAsChar=0;")
    run(conn, f"DROP TABLE IF EXISTS {T}")
    run(conn, f"CREATE TABLE {T} ({TYPES})")
    run(conn, f"INSERT INTO {T} VALUES (?, ?, CAST(? AS numeric), ?, ?, ?, ?, ?, CAST(? AS timestamptz), CAST(? AS int[]), CAST(? AS text[]), CAST(? AS jsonb), CAST(? AS uuid), ?)",
        ROW[0], ROW[1], str(ROW[2]), ROW[3], ROW[4], ROW[5], ROW[6], ROW[7], "2026-01-02 03:04:05.678901+00", "{1,NULL,3}", '{a,"b\\"c",NULL}', '{"a": [1, null, "x"]}',
        str(ROW[12]), None)
    got = run(conn, f"SELECT i, b, n, f, t, s, y, d, z FROM {T}")[0]
    assert list(got[:2]) == ROW[:2] and str(got[2]) == str(ROW[2]) and list(got[3:8]) == ROW[3:8] and got[8] is None, got
    run(conn, "SET timezone = 'UTC'")
    show("types", run(conn, f"SELECT CAST(r AS text) FROM {T} AS r")[0][0])
    conn.close()


@check
def injection():
    for how in ("UseServerSidePrepare=1;", "UseServerSidePrepare=0;"):
        conn = connect(more=how)
        run(conn, f"DROP TABLE IF EXISTS {T}")
        run(conn, f"CREATE TABLE {T} (v text)")
        run(conn, f"INSERT INTO {T} VALUES (?)", EVIL)
        assert run(conn, f"SELECT v FROM {T} WHERE v = ?", EVIL) == [(EVIL,)]
        show("injection", run(conn, f"SELECT md5(v) FROM {T}"))
        conn.close()


@gate_only
def refused():
    conn = connect()
    for _ in range(3):
        for sql, args in (("SELECT * FROM staff WHERE id = ?", [1]), ("SELECT * FROM staff", [])):
            e = raises(pyodbc.Error, run, conn, sql, *args)
            assert state(e) == "42501", e
            says_why(e.args[1])  # it shows DETAIL, and no HINT
        assert run(conn, "SELECT 1") == [(1,)]
    conn.close()


@gate_only
def refused_in_transaction():
    conn = connect(autocommit=False, more="Protocol=7.4-1;")  # an error ends the transaction
    run(conn, f"DROP TABLE IF EXISTS {T}")
    run(conn, f"CREATE TABLE {T} (id int)")
    conn.commit()
    run(conn, f"INSERT INTO {T} VALUES (1)")
    assert state(raises(pyodbc.Error, run, conn, "DELETE FROM orders")) == "42501"
    conn.rollback()
    assert run(conn, f"SELECT CAST(count(*) AS int) FROM {T}") == [(0,)]
    conn.close()


@check
def settings_pass():
    conn = connect()
    for sql in settings():
        run(conn, sql)
    assert run(conn, "SELECT 1") == [(1,)]
    conn.close()


@check
def pool():
    """unixODBC's way, as pyodbc asks for it, with what it asks a connection before another uses it."""
    pyodbc.pooling = True
    for n in range(5):
        conn = connect()
        assert run(conn, "SELECT CAST(? AS int)", n) == [(n,)]
        conn.close()
    pyodbc.pooling = False


@check
def metadata():
    """The catalog calls of ODBC."""
    conn = connect()
    schema, name = T.split(".")
    run(conn, f"DROP TABLE IF EXISTS {T}")
    run(conn, f"CREATE TABLE {T} (id serial PRIMARY KEY, v text UNIQUE DEFAULT 'x', o int REFERENCES {T})")
    cur = conn.cursor()
    calls = dict(tables=lambda: cur.tables(schema=schema, table=name), columns=lambda: cur.columns(schema=schema, table=name),
                 keys=lambda: cur.primaryKeys(name, schema=schema), foreign=lambda: cur.foreignKeys(name, schema=schema),
                 statistics=lambda: cur.statistics(name, schema=schema), special=lambda: cur.rowIdColumns(name, schema=schema), version=lambda: cur.rowVerColumns(name, schema=schema),
                 types=lambda: cur.getTypeInfo(), procedures=lambda: cur.procedures(schema="public"), procedure_columns=lambda: cur.procedureColumns(schema="public"),
                 schemas=lambda: cur.tables(catalog="", schema="%", table=""), views=lambda: cur.tables(schema="public", tableType="VIEW"))
    for what, call in calls.items():
        rows = [tuple(r) for r in call().fetchall()]
        show(f"metadata {what}", [r[:17] for r in rows] if what == "columns" else rows)  # without the table's oid, which is its 23rd
    show("metadata of a result", [c[:2] + c[3:] for c in cur.execute("SELECT * FROM orders WHERE false").description])
    conn.close()


main()
