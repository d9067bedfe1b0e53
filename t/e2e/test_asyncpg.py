"""asyncpg through HAProxy and Gatehouse: it speaks the extended protocol alone, in binary, with an implementation of its own."""
import asyncio
import io
import unittest

import asyncpg

import stack

SLOW = "SELECT count(*) FROM generate_series(1, 2000000000)"
TABLE = "CREATE TABLE scratch.t (id integer PRIMARY KEY, v text); INSERT INTO scratch.t SELECT n, 'v' || n FROM generate_series(1, 1000) AS n;"


class Asyncpg(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.shared()

    async def asyncSetUp(self):
        self.stack.scratch(TABLE)
        self.conn = await self.stack.asyncpg()

    async def asyncTearDown(self):
        await self.conn.close(timeout=10)

    async def test_prepared(self):
        statement = await self.conn.prepare("SELECT v FROM scratch.t WHERE id = $1")
        for n in range(1, 100):
            self.assertEqual(await statement.fetchval(n), f"v{n}")
        self.assertEqual([a.name for a in statement.get_parameters()], ["int4"])
        self.assertEqual(await self.conn.fetchval("SELECT $1::text[]", ["a", None, "c"]), ["a", None, "c"])

    async def test_cursor(self):
        async with self.conn.transaction():
            got = [r["id"] async for r in self.conn.cursor("SELECT id FROM scratch.t ORDER BY id", prefetch=50)]
            self.assertEqual(got, list(range(1, 1001)))
            cursor = await self.conn.cursor("SELECT id FROM scratch.t ORDER BY id")
            await cursor.forward(10)
            self.assertEqual([r["id"] for r in await cursor.fetch(3)], [11, 12, 13])

    async def test_transactions(self):
        with self.assertRaises(ZeroDivisionError):
            async with self.conn.transaction():
                await self.conn.execute("DELETE FROM scratch.t")
                raise ZeroDivisionError
        async with self.conn.transaction():
            await self.conn.execute("INSERT INTO scratch.t VALUES (2000, 'x')")
            with self.assertRaises(asyncpg.UniqueViolationError):
                async with self.conn.transaction():
                    await self.conn.execute("INSERT INTO scratch.t VALUES (2000, 'x')")
        self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.t"), [(1001,)])

    async def test_copy(self):
        out = io.BytesIO()
        self.assertEqual(await self.conn.copy_from_query("SELECT * FROM scratch.t ORDER BY id", output=out, format="csv"), "COPY 1000")
        await self.conn.execute("TRUNCATE scratch.t")
        out.seek(0)
        self.assertEqual(await self.conn.copy_to_table("t", schema_name="scratch", source=out, format="csv"), "COPY 1000")
        records = [(n, "r") for n in range(2000, 12000)]
        self.assertEqual(await self.conn.copy_records_to_table("t", schema_name="scratch", records=records), "COPY 10000")
        out = io.BytesIO()
        self.assertEqual(await self.conn.copy_from_table("t", schema_name="scratch", output=out), "COPY 11000")

    async def test_executemany(self):
        await self.conn.executemany("INSERT INTO scratch.t VALUES ($1, $2)", [(n, "m") for n in range(2000, 4000)])
        self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.t"), [(3000,)])
        with self.assertRaises(asyncpg.UniqueViolationError):
            await self.conn.executemany("INSERT INTO scratch.t VALUES ($1, $2)", [(5000, "a"), (1, "b"), (5001, "c")])
        self.assertEqual(self.stack.direct("SELECT count(*) FROM scratch.t"), [(3000,)])

    async def test_cancel_by_timeout(self):
        with self.assertRaises(asyncio.TimeoutError):
            await self.conn.fetchval(SLOW, timeout=0.5)
        self.assertEqual(await self.conn.fetchval("SELECT 1"), 1)
        active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%2000000000%' AND pid <> pg_backend_pid()"
        stack.wait_until("the cancelled statement ends", lambda: self.stack.direct(active) == [(0,)])

    async def test_refused(self):
        for _ in range(3):
            with self.assertRaises(asyncpg.InsufficientPrivilegeError):
                await self.conn.fetch("SELECT * FROM staff WHERE id = $1", 1)
            with self.assertRaises(asyncpg.InsufficientPrivilegeError):
                await self.conn.execute("DROP TABLE orders")
            self.assertEqual(await self.conn.fetchval("SELECT 1"), 1)

    async def test_pool(self):
        import ssl
        context = ssl.create_default_context(cafile=self.stack.env["GH_CA"])
        async with asyncpg.create_pool(host=self.stack.host, port=self.stack.port, user="tester", password=self.stack.token("tester"), database="shop",
                                       ssl=context, min_size=2, max_size=8) as pool:
            got = await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(100)))
        self.assertEqual(got, list(range(100)))

    async def test_many_sessions_at_once(self):
        conns = await asyncio.gather(*(self.stack.asyncpg() for _ in range(20)))
        self.assertEqual(await asyncio.gather(*(c.fetchval("SELECT 1") for c in conns)), [1] * 20)
        await asyncio.gather(*(c.close() for c in conns))


if __name__ == "__main__":
    unittest.main()
