"""aiomysql: PyMySQL's protocol on asyncio, with a pool."""
import aiomysql

from my_checks import *


async def connect(password=PASSWORD, ca=CA, **more):
    return await aiomysql.connect(**{**dict(host=HOST, port=PORT, user=USER, password=password, db=DATABASE, ssl=tls(ca), autocommit=True, connect_timeout=20), **more})


async def query(conn, sql, args=None):
    async with conn.cursor() as cur:
        await cur.execute(sql, args)
        return list(await cur.fetchall()) if cur.description else []


async def fails(number, awaitable):
    try:
        await awaitable
    except Exception as e:
        cause = e.__cause__ if e.args[0] == 2003 and e.__cause__ else e  # "Can't connect", and why
        assert number in (None, cause.args[0]), cause
        return cause
    raise AssertionError("no error")


async def table(conn, columns):
    await query(conn, f"DROP TABLE IF EXISTS {T}")
    await query(conn, f"CREATE TABLE {T} ({columns})")


@check
async def connects():
    conn = await connect(program_name="driver aiomysql", charset="utf8mb4")
    await conn.ping()
    assert await query(conn, "SELECT 1, DATABASE()") == [(1, "shop")]
    conn.close()


@gate_only
async def verifies_tls():
    assert "certificate" in str(await fails(None, connect(ca=WRONG_CA))).lower()


@gate_only
async def bad_token():
    assert "must be a valid OIDC access token" in (await fails(1045, connect(password="not.a.token"))).args[1]


@check
async def prepared():
    conn = await connect()
    await query(conn, "PREPARE p FROM 'SELECT ? + 1, ?'")
    for n in range(50):
        await query(conn, f"SET @a = {n}, @b = 'x'")
        assert await query(conn, "EXECUTE p USING @a, @b") == [(n + 1, "x")]
    conn.close()


@check
async def batch():
    conn = await connect(autocommit=False)
    await table(conn, "id int PRIMARY KEY, v text")
    async with conn.cursor() as cur:
        await cur.executemany(f"INSERT INTO {T} VALUES (%s, %s)", [(n, f"v{n}") for n in range(5000)])
    await conn.commit()
    async with conn.cursor() as cur:
        await fails(1062, cur.executemany(f"INSERT INTO {T} VALUES (%s, %s)", [(9000, "a"), (1, "b")]))
    await conn.rollback()
    show("batch", await query(conn, f"SELECT count(*) FROM {T}"))
    conn.close()


@check
async def large():
    conn = await connect()
    show_large(await query(conn, SQL_LARGE))
    conn.close()


@check
async def stream():
    conn = await connect()
    async with conn.cursor(aiomysql.SSCursor) as cur:
        await cur.execute(SQL_LARGE)
        rows = []
        while True:
            some = await cur.fetchmany(7000)
            if not some:
                break
            rows += some
        show_large(rows)
    async with conn.cursor(aiomysql.SSCursor) as cur:  # given up half way: the rest is read when it is closed
        await cur.execute(SQL_LARGE)
        await cur.fetchmany(10)
    assert await query(conn, "SELECT 5") == [(5,)]
    conn.close()


@check
async def cancel():
    conn = await connect()
    task = asyncio.create_task(query(conn, "SELECT SLEEP(60)"))
    while not task.done():  # one that comes before the statement runs hits nothing
        other = await connect()
        await query(other, f"KILL QUERY {conn.thread_id()}")
        other.close()
        await asyncio.wait([task], timeout=0.3)
    assert task.exception() is not None and task.exception().args[0] == 1317 or task.result() == [(1,)]
    conn.close()


@check
async def load_local():
    conn = await connect(local_infile=True)
    await table(conn, "id int, v text")
    await query(conn, f"LOAD DATA LOCAL INFILE '{infile()}' INTO TABLE {T} CHARACTER SET utf8mb4")
    show("load_local", await query(conn, LOADED))
    conn.close()


@check
async def transaction():
    conn = await connect(autocommit=False)
    await table(conn, "id int PRIMARY KEY")
    await query(conn, f"INSERT INTO {T} VALUES (1)")
    await conn.rollback()
    await conn.begin()
    await query(conn, f"INSERT INTO {T} VALUES (2)")
    await fails(1062, query(conn, f"INSERT INTO {T} VALUES (2)"))
    await conn.commit()
    show("transaction", await query(conn, f"SELECT * FROM {T}"))
    conn.close()


@check
async def reconnect():
    conn = await connect()
    end_backend((await query(conn, "SELECT CONNECTION_ID()"))[0][0])
    await fails(None, query(conn, "SELECT 1"))
    await conn.ping(reconnect=True)
    assert await query(conn, "SELECT 1") == [(1,)]
    conn.close()


@check
async def types():
    conn = await connect()
    await table(conn, TYPES)
    await query(conn, f"INSERT INTO {T} VALUES ({', '.join(['%s'] * len(ROW))})", ROW)
    got = list((await query(conn, f"SELECT * FROM {T}"))[0])
    assert got == ROW, got
    show("types", (await query(conn, AS_TEXT))[0][0])
    conn.close()


@check
async def injection():
    conn = await connect()
    await table(conn, "v text")
    await query(conn, f"INSERT INTO {T} VALUES (%s)", (EVIL,))
    assert await query(conn, f"SELECT v FROM {T} WHERE v = %s", (EVIL,)) == [(EVIL,)]
    show("injection", await query(conn, f"SELECT md5(v) FROM {T}"))
    conn.close()


@gate_only
async def refused():
    conn = await connect()
    for _ in range(3):
        says_why((await fails(1142, query(conn, STAFF + " WHERE id = %s", (1,)))).args[1])
        assert await query(conn, "SELECT 1") == [(1,)]
    conn.close()


@gate_only
async def refused_in_transaction():
    conn = await connect(autocommit=False)
    await table(conn, "id int")
    await query(conn, f"INSERT INTO {T} VALUES (1)")
    await fails(1142, query(conn, "DELETE FROM orders"))
    await conn.rollback()
    assert await query(conn, f"SELECT count(*) FROM {T}") == [(0,)]
    conn.close()


@check
async def settings_pass():
    conn, wrong = await connect(), []
    for sql in settings():
        try:
            await query(conn, sql)
        except Exception as e:
            wrong.append(f"{sql[:60]}: {e}")
    assert not wrong, wrong
    conn.close()


@check
async def pool():
    pool = await aiomysql.create_pool(minsize=1, maxsize=4, host=HOST, port=PORT, user=USER, password=PASSWORD, db=DATABASE, ssl=tls(), autocommit=True, pool_recycle=60)

    async def work(n):
        async with pool.acquire() as conn:
            return (await query(conn, "SELECT %s", (n,)))[0][0]

    assert await asyncio.gather(*[work(n) for n in range(50)]) == list(range(50))
    pool.close()
    await pool.wait_closed()


@check
async def metadata():
    conn = await connect()
    async with conn.cursor() as cur:
        await cur.execute("SELECT id, total, placed_at FROM orders WHERE 1 = 0")
        show("metadata", [d[:2] for d in cur.description])
    conn.close()


main()
