"""PyMySQL, mysqlclient and MySQL Connector/Python, by the name in the first argument. The first two put parameters into the text; the third prepares at the server too
(in Python, and in C: connector-c)."""
import threading

from my_checks import *

KIND = sys.argv[1]
if KIND == "pymysql":
    import pymysql as driver
    import pymysql.cursors
    from pymysql.constants import CLIENT, ER  # noqa: F401
elif KIND == "mysqlclient":
    import MySQLdb as driver
    import MySQLdb.cursors
    from MySQLdb.constants import CLIENT
else:
    import mysql.connector as driver
Error = driver.Error
PREPARES = KIND.startswith("connector")


def options(ca=CA, autocommit=True, streaming=False, multi=False, infile=False, **more):
    out = dict(host=HOST, port=PORT, user=USER, database=DATABASE, password=PASSWORD)
    if KIND == "pymysql":
        out.update(autocommit=autocommit, connect_timeout=20, read_timeout=120, program_name="driver pymysql", local_infile=infile,
                   cursorclass=pymysql.cursors.SSCursor if streaming else pymysql.cursors.Cursor, client_flag=CLIENT.MULTI_STATEMENTS if multi else 0)
        out.update(ssl=dict(ca=ca)) if GATE else None
    elif KIND == "mysqlclient":
        out.update(autocommit=autocommit, connect_timeout=20, charset="utf8mb4", local_infile=infile, client_flag=CLIENT.MULTI_STATEMENTS if multi else 0,
                   cursorclass=MySQLdb.cursors.SSCursor if streaming else MySQLdb.cursors.Cursor)
        out["passwd"], out["db"] = out.pop("password"), out.pop("database")
        out.update(ssl=dict(ca=ca)) if GATE else None
    else:
        out.update(autocommit=autocommit, connection_timeout=20, use_pure=KIND == "connector", allow_local_infile=infile)
        out.update(dict(ssl_ca=ca, ssl_verify_cert=True, ssl_verify_identity=True) if GATE else dict(ssl_disabled=True))
    return {**out, **more}


def connect(**more):
    return driver.connect(**options(**more))


def query(conn, sql, args=None, prepared=False):
    cur = conn.cursor(prepared=True) if prepared else conn.cursor()
    try:
        cur.execute(sql, args) if args is not None else cur.execute(sql)
        return [tuple(r) for r in cur.fetchall()] if cur.description else []
    finally:
        cur.close()


def code(f, *args, **more):
    return raises(Error, f, *args, **more).args[0]


def thread(conn):
    return conn.thread_id() if not PREPARES else conn.connection_id


def table(conn, columns):
    query(conn, f"DROP TABLE IF EXISTS {T}")
    query(conn, f"CREATE TABLE {T} ({columns})")


@check
def connects():
    conn = connect()
    conn.ping()
    assert query(conn, "SELECT 1, DATABASE()") == [(1, "shop")]
    assert query(conn, "SELECT @@character_set_client, @@autocommit") == [("utf8mb4", 1)]
    conn.close()


@gate_only
def verifies_tls():
    text = str(raises(Exception, connect, ca=WRONG_CA))
    assert "certificate" in text.lower(), text


@gate_only
def bad_token():
    e = raises(Error, connect, **({"passwd" if KIND == "mysqlclient" else "password": "not.a.token"}))
    assert e.args[0] == 1045 and "must be a valid OIDC access token" in str(e), e
    conn = connect()
    query(conn, f"SET gatehouse.token = '{PASSWORD}'")  # and a fresh one in the session
    assert query(conn, "SELECT 1") == [(1,)]
    conn.close()


@check
def prepared():
    conn = connect()
    if PREPARES:
        cur = conn.cursor(prepared=True)
        for n in range(50):
            cur.execute("SELECT ? + 1, ?", (n, "x"))
            assert [tuple(r) for r in cur.fetchall()] == [(n + 1, "x")], n
        cur.close()
    query(conn, "PREPARE p FROM 'SELECT ? + 1, ?'")
    for n in range(50):
        query(conn, f"SET @a = {n}, @b = 'x'")
        assert query(conn, "EXECUTE p USING @a, @b") == [(n + 1, "x")]
    query(conn, "DEALLOCATE PREPARE p")
    assert code(query, conn, "EXECUTE p USING @a, @b") == 1243
    conn.close()


@check
def prepared_many():
    conn = connect()
    if PREPARES:
        for n in range(200):
            assert query(conn, f"SELECT {n} + ?", (1,), prepared=True) == [(n + 1,)]
    for n in range(100):
        query(conn, f"PREPARE p{n} FROM 'SELECT {n} + 1'")
    assert [query(conn, f"EXECUTE p{n}")[0][0] for n in range(100)] == list(range(1, 101))
    conn.close()


@check
def batch():
    conn = connect(autocommit=False, multi=True)
    table(conn, "id int PRIMARY KEY, v text")
    cur = conn.cursor()
    cur.executemany(f"INSERT INTO {T} VALUES (%s, %s)", [(n, f"v{n}") for n in range(5000)])
    cur.executemany(f"UPDATE {T} SET v = %s WHERE id = %s", [("w", n) for n in range(100)])
    conn.commit()
    assert code(cur.executemany, f"INSERT INTO {T} VALUES (%s, %s)", [(9000, "a"), (1, "b")]) == 1062
    conn.rollback()
    cur.close()
    if not PREPARES:
        cur = conn.cursor()
        cur.execute(f"SELECT 1; UPDATE {T} SET v = 'x' WHERE id = 7; SELECT 2, 3")
        got = [cur.fetchall()]
        while cur.nextset():
            got.append(cur.fetchall())
        assert [tuple(g) for g in got if g] == [((1,),), ((2, 3),)], got
        cur.close()
    conn.rollback()
    show("batch", query(conn, f"SELECT count(*), sum(v = 'w'), sum(v = 'x') FROM {T}"))
    conn.close()


@check
def large():
    conn = connect()
    show_large(query(conn, SQL_LARGE))
    show("long text", query(conn, "SELECT length(%s), md5(%s)", ("\u00e9" * 3_000_000, "x" * 2_000_000)))
    conn.close()


@check
def stream():
    conn = connect(streaming=True)
    cur = conn.cursor()
    cur.execute(SQL_LARGE)
    show_large(iter(cur.fetchone, None))
    cur.execute(SQL_LARGE)
    assert cur.fetchone()[0] == 1 and len(cur.fetchmany(1000)) == 1000  # given up half way
    if PREPARES:
        cur.fetchall()  # it wants the rest to be read
    cur.close()
    assert query(conn, "SELECT 5") == [(5,)]
    conn.close()


@check
def cancel():
    conn, done = connect(), threading.Event()

    def again():  # one that comes before the statement runs hits nothing
        while not done.wait(0.3):
            other = connect()
            query(other, f"KILL QUERY {thread(conn)}")
            other.close()

    killer = threading.Thread(target=again)
    killer.start()
    try:
        try:
            assert query(conn, "SELECT SLEEP(60)") == [(1,)]
        except Error as e:
            assert e.args[0] == 1317, e
    finally:
        done.set()
        killer.join()
    conn.close()
    other = connect()
    assert query(other, "SELECT 1") == [(1,)]
    other.close()


@check
def load_local():
    conn = connect(infile=True)
    table(conn, "id int, v text")
    query(conn, f"LOAD DATA LOCAL INFILE '{infile()}' INTO TABLE {T} CHARACTER SET utf8mb4")
    show("load_local", query(conn, LOADED))
    assert raises(Exception, query, conn, f"LOAD DATA LOCAL INFILE '/nowhere/at/all' INTO TABLE {T}")
    conn.close()


@check
def transaction():
    conn = connect(autocommit=False)
    table(conn, "id int PRIMARY KEY")
    query(conn, f"INSERT INTO {T} VALUES (1)")
    conn.rollback()
    query(conn, f"INSERT INTO {T} VALUES (2)")
    query(conn, "SAVEPOINT s")
    query(conn, f"INSERT INTO {T} VALUES (3)")
    query(conn, "ROLLBACK TO SAVEPOINT s")
    conn.commit()
    assert code(query, conn, f"INSERT INTO {T} VALUES (2)") == 1062
    query(conn, f"INSERT INTO {T} VALUES (4)")  # the transaction goes on, as it does in MySQL
    conn.commit()
    query(conn, "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    query(conn, "START TRANSACTION READ ONLY")
    assert code(query, conn, f"INSERT INTO {T} VALUES (5)") == 1792
    conn.rollback()
    show("transaction", query(conn, f"SELECT * FROM {T} ORDER BY id"))
    conn.close()


@check
def reconnect():
    conn = connect()
    end_backend(query(conn, "SELECT CONNECTION_ID()")[0][0])
    raises(Exception, query, conn, "SELECT 1")
    if KIND == "pymysql":
        conn.ping(reconnect=True)
        assert query(conn, "SELECT 1") == [(1,)]
    elif PREPARES:
        conn.reconnect(attempts=3)
        assert query(conn, "SELECT 1") == [(1,)]
    conn = connect()
    assert query(conn, "SELECT 1") == [(1,)]
    conn.close()


def round_trip(prepared):
    conn = connect()
    table(conn, TYPES)
    mark = "?" if prepared else "%s"
    query(conn, f"INSERT INTO {T} VALUES ({', '.join([mark] * len(ROW))})", ROW, prepared=prepared)
    got = list(query(conn, f"SELECT * FROM {T}" + (f" WHERE i = {mark}" if prepared else ""), (-42,) if prepared else None, prepared=prepared)[0])
    if isinstance(got[12], int):
        got[12] = bytes([got[12]])
    got[6] = bytes(got[6])
    assert got == ROW, got
    text = query(conn, AS_TEXT)[0][0]
    conn.close()
    return text


@check
def types():
    show("types", round_trip(False))


if PREPARES:
    @check
    def binary():
        show("binary", round_trip(True))


@check
def injection():
    conn = connect()
    table(conn, "v text")
    query(conn, f"INSERT INTO {T} VALUES (%s)", (EVIL,))
    assert query(conn, f"SELECT v FROM {T} WHERE v = %s", (EVIL,)) == [(EVIL,)]
    if PREPARES:
        assert query(conn, f"SELECT v FROM {T} WHERE v = ?", (EVIL,), prepared=True) == [(EVIL,)]
    show("injection", query(conn, f"SELECT md5(v) FROM {T}"))
    conn.close()


@gate_only
def refused():
    conn = connect()
    for _ in range(3):
        e = raises(Error, query, conn, STAFF + " WHERE id = %s", (1,))
        assert e.args[0] == 1142, e
        says_why(e.args[1])
        if PREPARES:
            says_why(raises(Error, query, conn, STAFF + " WHERE id = ?", (1,), prepared=True).args[1])
        assert query(conn, "SELECT 1") == [(1,)]
    conn.close()


@gate_only
def refused_in_transaction():
    conn = connect(autocommit=False)
    table(conn, "id int")
    query(conn, f"INSERT INTO {T} VALUES (1)")
    assert code(query, conn, "DELETE FROM orders") == 1142
    query(conn, f"INSERT INTO {T} VALUES (2)")
    conn.rollback()
    assert query(conn, f"SELECT count(*) FROM {T}") == [(0,)]
    conn.close()


@check
def settings_pass():
    conn = connect()
    all_pass(lambda sql: query(conn, sql))
    if PREPARES:
        conn.cmd_reset_connection()
    elif KIND == "mysqlclient":
        conn.set_character_set("utf8mb4")
    else:
        conn.set_charset("utf8mb4")
        conn.select_db("shop")
    assert query(conn, "SELECT 1") == [(1,)]
    conn.close()


if PREPARES:
    @check
    def pool():
        from mysql.connector.pooling import MySQLConnectionPool
        pool, got = MySQLConnectionPool(pool_size=4, pool_name="p", **options()), []

        def work(n):
            conn = pool.get_connection()
            got.append(query(conn, "SELECT %s", (n,))[0][0])
            conn.close()  # resets the session: COM_RESET_CONNECTION

        for group in range(10):
            threads = [threading.Thread(target=work, args=(group * 4 + n,)) for n in range(4)]
            [t.start() for t in threads]
            [t.join() for t in threads]
        assert sorted(got) == list(range(40))


@check
def metadata():
    conn = connect()
    cur = conn.cursor()
    cur.execute("SELECT id, total, status AS s, placed_at, NULL, 1 + 1 FROM orders WHERE 1 = 0")
    cur.fetchall()
    show("metadata", [d[:2] for d in cur.description])
    cur.close()
    table(conn, "id int AUTO_INCREMENT PRIMARY KEY, v text")
    cur = conn.cursor()
    cur.execute(f"INSERT INTO {T} (v) VALUES ('a'), ('b')")
    assert (cur.lastrowid, cur.rowcount) == (1, 2), (cur.lastrowid, cur.rowcount)
    show("metadata columns", query(conn, f"SHOW COLUMNS FROM {T}"))
    conn.close()


main()
