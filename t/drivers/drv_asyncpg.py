"""asyncpg: the extended protocol alone, in binary, with an implementation of its own; pipelines of its own, pool with reset."""
import io
import json

import asyncpg

from checks import *


def arguments(**more):
    return {**dict(host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, ssl=tls() or False, timeout=20), **more}


async def connect(**more):
    return await asyncpg.connect(**arguments(**more))


async def fails(kind, awaitable):
    try:
        await awaitable
    except kind as e:
        return e
    raise AssertionError(f"nothing raised where {kind} was due")


@check
async def connects():
    conn = await connect(server_settings={"application_name": "driver asyncpg", "jit": "off"})
    assert await conn.fetchval("SHOW jit") == "off" and conn.get_server_version().major == 15
    await conn.close()


@gate_only
async def verifies_tls():
    assert "certificate verify failed" in str(await fails(ssl.SSLError, connect(ssl=tls(WRONG_CA))))


@gate_only
async def bad_token():
    e = await fails(asyncpg.InvalidPasswordError, connect(password="not.a.token"))
    assert e.sqlstate == "28P01" and "must be a valid OIDC access token" in str(e) and "Get a fresh token" in e.hint, e
    conn = await connect()  # and a fresh one in the session
    assert await conn.execute(f"SET gatehouse.token = '{PASSWORD}'") == "SET"
    await (await conn.prepare(f"SET gatehouse.token TO '{PASSWORD}'")).fetch()
    await conn.close()


@check
async def prepared():
    conn = await connect()
    statement = await conn.prepare("SELECT $1::int + 1, $2::text")
    for n in range(50):
        assert tuple(await statement.fetchrow(n, "x")) == (n + 1, "x")
    assert [a.name for a in statement.get_parameters()] == ["int4", "text"]
    await conn.close()


@check
async def prepared_many():
    """More than its cache keeps: the others are closed by Close messages."""
    conn = await connect(statement_cache_size=20)
    for _ in range(2):
        for n in range(200):
            assert await conn.fetchval(f"SELECT {n} + $1::int", 1) == n + 1
    await conn.close()
    conn = await connect(statement_cache_size=0)  # unnamed, as behind pgbouncer
    assert [await conn.fetchval("SELECT $1::int", n) for n in range(20)] == list(range(20))
    await conn.close()


@check
async def batch():
    conn = await connect()
    await conn.execute(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int PRIMARY KEY, v text)")
    await conn.executemany(f"INSERT INTO {T} VALUES ($1, $2)", [(n, f"v{n}") for n in range(5000)])
    await fails(asyncpg.UniqueViolationError, conn.executemany(f"INSERT INTO {T} VALUES ($1, $2)", [(n, "w") for n in range(9000, 3000, -1)]))
    await fails(asyncpg.DivisionByZeroError, conn.execute(f"DELETE FROM {T}; SELECT 1 / 0; SELECT 1"))
    show("batch", await conn.fetchval(f"SELECT count(*) FROM {T}"))
    await conn.close()


@check
async def large():
    conn = await connect()
    show_large(await conn.fetch(SQL_LARGE))
    await conn.close()


@check
async def stream():
    conn = await connect()
    async with conn.transaction():
        show_large([r async for r in conn.cursor(SQL_LARGE, prefetch=5000)])
        cursor = await conn.cursor("SELECT generate_series(1, 100)")
        await cursor.forward(50)
        assert [r[0] for r in await cursor.fetch(2)] == [51, 52]
    await conn.close()


@check
async def cancel():
    conn = await connect()
    await fails(asyncio.TimeoutError, conn.fetchval("SELECT pg_sleep(60)", timeout=1))
    assert await conn.fetchval("SELECT 1") == 1
    await conn.close()


@check
async def copy_in():
    conn = await connect()
    await conn.execute(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int, v text)")
    schema, table = T.split(".")
    await conn.copy_records_to_table(table, schema_name=schema, records=((n, f"a\tb\\{n}") for n in range(50000)))
    source = io.BytesIO("".join(f"{n},x{n}\n" for n in range(50000, 60000)).encode())
    assert await conn.copy_to_table(table, schema_name=schema, source=source, format="csv") == "COPY 10000"
    await fails(asyncpg.InvalidTextRepresentationError, conn.copy_to_table(table, schema_name=schema, source=io.BytesIO(b"x,a\n"), format="csv"))
    show("copy_in", tuple(await conn.fetchrow(f"SELECT count(*), sum(id), md5(string_agg(v, '' ORDER BY id)) FROM {T}")))
    await conn.close()


@check
async def copy_out():
    conn = await connect()
    for how in ("text", "csv", "binary"):
        out = io.BytesIO()
        await conn.copy_from_query(f"SELECT * FROM {T} WHERE id < $1 ORDER BY id", 50000, output=out, format=how)
        show(f"copy_out {how}", hashlib.md5(out.getvalue()).hexdigest())
    await conn.close()


@check
async def transaction():
    conn = await connect()
    await conn.execute(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int PRIMARY KEY)")
    tr = conn.transaction()
    await tr.start()
    await conn.execute(f"INSERT INTO {T} VALUES (1)")
    await tr.rollback()
    async with conn.transaction(isolation="serializable"):
        await conn.execute(f"INSERT INTO {T} VALUES (2)")
        with_savepoint = conn.transaction()
        await with_savepoint.start()
        await fails(asyncpg.UniqueViolationError, conn.execute(f"INSERT INTO {T} VALUES (2)"))
        await fails(asyncpg.InFailedSQLTransactionError, conn.fetchval("SELECT 1"))
        await with_savepoint.rollback()
        await conn.execute(f"INSERT INTO {T} VALUES (3)")
    tr = conn.transaction(readonly=True)
    await tr.start()
    await fails(asyncpg.ReadOnlySQLTransactionError, conn.execute(f"INSERT INTO {T} VALUES (4)"))
    await tr.rollback()
    show("transaction", [r[0] for r in await conn.fetch(f"SELECT * FROM {T}")])
    await conn.close()


@check
async def reconnect():
    conn = await connect()
    end_backend(await conn.fetchval("SELECT pg_backend_pid()"))
    await fails((asyncpg.PostgresError, asyncpg.InterfaceError, OSError), conn.fetchval("SELECT 1"))
    await fails((asyncpg.PostgresError, asyncpg.InterfaceError, OSError), conn.fetchval("SELECT 1"))
    assert conn.is_closed()
    conn = await connect()
    assert await conn.fetchval("SELECT 1") == 1
    await conn.close()


@check
async def binary():
    conn = await connect()
    await conn.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    await conn.execute(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} ({TYPES})")
    await conn.execute(f"INSERT INTO {T} VALUES ({', '.join(f'${n + 1}' for n in range(len(ROW)))})", *ROW)
    got = list(await conn.fetchrow(f"SELECT * FROM {T}"))
    assert got == ROW, got
    await conn.execute("SET timezone = 'UTC'")
    show("binary", await conn.fetchval(f"SELECT r::text FROM {T} AS r"))
    await conn.close()


@check
async def injection():
    conn = await connect()
    await conn.execute(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (v text)")
    await conn.execute(f"INSERT INTO {T} VALUES ($1)", EVIL)
    assert await conn.fetchval(f"SELECT v FROM {T} WHERE v = $1", EVIL) == EVIL
    show("injection", await conn.fetchval(f"SELECT md5(v) FROM {T}"))
    await conn.close()


@gate_only
async def refused():
    conn = await connect()
    for _ in range(3):
        for call in (conn.fetch("SELECT * FROM staff WHERE id = $1", 1), conn.execute("SELECT * FROM staff"), conn.prepare("TABLE staff")):
            e = await fails(asyncpg.InsufficientPrivilegeError, call)
            assert e.sqlstate == "42501"
            says_why(str(e), e.hint)
        assert await conn.fetchval("SELECT 1") == 1
    await conn.close()


@gate_only
async def refused_in_transaction():
    conn = await connect()
    await conn.execute(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int)")
    tr = conn.transaction()
    await tr.start()
    await conn.execute(f"INSERT INTO {T} VALUES ($1)", 1)
    await fails(asyncpg.InsufficientPrivilegeError, conn.execute("DELETE FROM orders"))
    await fails(asyncpg.InFailedSQLTransactionError, conn.fetchval("SELECT 1"))
    await tr.rollback()
    assert await conn.fetchval(f"SELECT count(*) FROM {T}") == 0
    await conn.close()


@check
async def notify():
    a, b = await connect(), await connect()
    got = asyncio.get_running_loop().create_future()
    await a.add_listener("drivers_asyncpg", lambda conn, pid, channel, payload: got.done() or got.set_result((channel, payload)))
    await b.execute("NOTIFY drivers_asyncpg, 'hello'")
    assert await asyncio.wait_for(got, 20) == ("drivers_asyncpg", "hello")
    await a.close()
    await b.close()


@check
async def settings_pass():
    conn = await connect(statement_cache_size=0)
    for sql in settings():
        await conn.execute(sql)
    await conn.reset()
    assert await conn.fetchval("SELECT 1") == 1
    await conn.close()


@check
async def pool():
    async with asyncpg.create_pool(**arguments(min_size=2, max_size=5)) as pool:
        assert await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(50))) == list(range(50))


@check
async def metadata():
    """What asyncpg asks of the catalog for a type that it does not know."""
    conn = await connect()
    await conn.execute(f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (a int, b text[])")
    show("metadata", tuple(await conn.fetchval(f"SELECT ROW(1, ARRAY['x'])::{T}")))
    statement = await conn.prepare("SELECT * FROM orders")
    show("metadata columns", [(a.name, a.type.name) for a in statement.get_attributes()])
    await conn.close()


main()
