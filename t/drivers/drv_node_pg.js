// node-postgres (pg) with its pool; pg-query-stream and pg-copy-streams where they are installed beside it.
'use strict'
const { env, gate, table, large, evil, types, check, gateOnly, show, must, settings, endBackend, md5, tls, largeSum, fails, saysWhy, main } = require('./node_checks.js')
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
let copy // Debian's node-pg comes without it
try { copy = require('pg-copy-streams') } catch (e) { if (e.code !== 'MODULE_NOT_FOUND') throw e }

const options = more => ({ host: env.GH_T_HOST, port: Number(env.GH_T_PORT), user: env.GH_T_USER, password: env.GH_T_PASSWORD, database: env.GH_T_DATABASE, ssl: tls(),
  connectionTimeoutMillis: 20000, ...more })

async function connect (more) {
  const c = new Client(options(more))
  await c.connect()
  return c
}

const one = async (c, sql, args) => Object.values((await c.query(sql, args)).rows[0])[0]

async function using (f, more) {
  const c = await connect(more)
  try { return await f(c) } finally { await c.end() }
}

check('connects', () => using(async c => {
  must(await one(c, 'SHOW application_name') === 'driver node', 'name')
  must(await one(c, 'SHOW statement_timeout') === '1min', 'timeout')
}, { application_name: 'driver node', statement_timeout: 60000 }))
gateOnly('verifies_tls', async () => must((await fails(null, connect({ ssl: tls(env.GH_T_WRONG_CA) }))).message.match(/self.signed|unable to/), 'TLS'))
gateOnly('bad_token', async () => {
  const e = await fails('28P01', connect({ password: 'not.a.token' }))
  must(e.message.includes('must be a valid OIDC access token') && e.hint.includes('Get a fresh token'), e)
})
check('prepared', () => using(async c => {
  for (let n = 0; n < 50; n++) {
    const r = await c.query({ name: 'p', text: 'SELECT $1::int + 1 AS a, $2::text AS b', values: [n, 'x'] })
    must(r.rows[0].a === n + 1 && r.rows[0].b === 'x', r.rows)
  }
}))
check('prepared_many', () => using(async c => {
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 200; n++) must((await c.query({ name: 'p' + n, text: `SELECT ${n} + $1::int AS a`, values: [1] })).rows[0].a === n + 1, n)
  }
}))
check('batch', () => using(async c => {
  await c.query(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id int PRIMARY KEY, v text)`)
  await Promise.all(Array.from({ length: 500 }, (_, n) => c.query(`INSERT INTO ${table} VALUES ($1, $2)`, [n, 'v' + n]))) // queued, in order
  await fails('22012', c.query(`DELETE FROM ${table}; SELECT 1 / 0; SELECT 1`))
  const r = await c.query('SELECT 1 AS a; SELECT 2 AS a')
  must(r.length === 2 && r[1].rows[0].a === 2, r)
  show('batch', await one(c, `SELECT count(*)::text || md5(string_agg(v, '' ORDER BY id)) FROM ${table}`))
}))
check('large', () => using(async c => {
  const sum = largeSum()
  for (const r of (await c.query(large)).rows) sum.row(r.n, r.h)
  sum.end()
}))
check('stream', () => using(async c => { // a portal, a part at a time
  const cursor = c.query(new Cursor(large))
  const sum = largeSum()
  for (;;) {
    const rows = await new Promise((resolve, reject) => cursor.read(5000, (e, rows) => e ? reject(e) : resolve(rows)))
    if (!rows.length) break
    for (const r of rows) sum.row(r.n, r.h)
  }
  sum.end()
  const half = c.query(new Cursor(large))
  await new Promise((resolve, reject) => half.read(7, (e, rows) => e ? reject(e) : resolve(rows)))
  await new Promise(resolve => half.close(resolve))
  must(await one(c, 'SELECT 1') === 1, 'after')
}))
check('cancel', async () => {
  await using(async c => {
    let settled = false
    const query = c.query('SELECT pg_sleep(60)').finally(() => { settled = true })
    query.catch(() => {})
    while (!settled) { // one that comes before the statement runs hits nothing
      await new Promise(resolve => setTimeout(resolve, 300))
      if (!settled) await cancelRequest(c)
    }
    await fails('57014', query)
  })
  await using(async c => must(await one(c, 'SELECT 1') === 1, 'after'))
})

// node-postgres has no call of its own for it that works over TLS; these are the 16 bytes that it would send.
async function cancelRequest (c) {
  const bytes = Buffer.alloc(16)
  bytes.writeInt32BE(16, 0)
  bytes.writeInt32BE(80877102, 4)
  bytes.writeInt32BE(c.processID, 8)
  bytes.writeInt32BE(c.secretKey, 12)
  await new Promise((resolve, reject) => {
    const s = require('net').connect(Number(env.GH_T_PORT), env.GH_T_HOST, () => s.end(bytes))
    s.on('close', resolve).on('error', reject).resume()
  })
}

if (copy) {
  const { pipeline } = require('stream/promises')
  const { Readable } = require('stream')
  check('copy_in', () => using(async c => {
    await c.query(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id int, v text)`)
    await pipeline(Readable.from(function * () { for (let n = 0; n < 50000; n++) yield `${n}\ta\\tb\\\\${n}\n` }()), c.query(copy.from(`COPY ${table} FROM STDIN`)))
    await fails('22P02', pipeline(Readable.from(['x\ta\n']), c.query(copy.from(`COPY ${table} FROM STDIN`))))
    show('copy_in', await one(c, `SELECT count(*) || ' ' || sum(id) || ' ' || md5(string_agg(v, '' ORDER BY id)) FROM ${table}`))
  }))
  check('copy_out', () => using(async c => {
    for (const how of ['text', 'csv', 'binary']) {
      const parts = []
      for await (const part of c.query(copy.to(`COPY (SELECT * FROM ${table} ORDER BY id) TO STDOUT (FORMAT ${how})`))) parts.push(part)
      show('copy_out ' + how, md5(Buffer.concat(parts)))
    }
  }))
}
check('transaction', () => using(async c => {
  await c.query(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id int PRIMARY KEY)`)
  for (const sql of ['BEGIN', `INSERT INTO ${table} VALUES (1)`, 'ROLLBACK', 'BEGIN ISOLATION LEVEL SERIALIZABLE', `INSERT INTO ${table} VALUES (2)`, 'SAVEPOINT s',
    `INSERT INTO ${table} VALUES (3)`, 'ROLLBACK TO s', 'COMMIT', 'BEGIN']) await c.query(sql)
  await fails('23505', c.query(`INSERT INTO ${table} VALUES ($1)`, [2]))
  await fails('25P02', c.query('SELECT 1'))
  await c.query('ROLLBACK')
  await c.query('BEGIN READ ONLY')
  await fails('25006', c.query(`INSERT INTO ${table} VALUES (4)`))
  await c.query('ROLLBACK')
  show('transaction', await one(c, `SELECT array_agg(id) FROM ${table}`))
}))
check('reconnect', async () => {
  const c = await connect()
  c.on('error', () => {})
  endBackend(await one(c, 'SELECT pg_backend_pid()'))
  await fails(null, c.query('SELECT 1'))
  await using(async c => must(await one(c, 'SELECT 1') === 1, 'again'))
})

async function roundTrip (binary) {
  return using(async c => {
    await c.query(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (${types})`)
    const raw = Buffer.from([0, 255, 92, 39])
    const at = '2026-01-02T03:04:05.678901Z' // its own Date has milliseconds
    const row = [-42, '9007199254740993', '12345678901234567890.123456789', 0.1, true, 't\u00ebxt \u{1f418}', raw, '2026-02-28', at, [1, null, 3], ['a', 'b"c', null],
      { a: [1, null, 'x'] }, '00000000-0000-0000-0000-000000000007', null]
    await c.query(`INSERT INTO ${table} VALUES (${row.map((_, n) => '$' + (n + 1))})`, row)
    const got = (await c.query({ text: `SELECT * FROM ${table}`, values: [], binary })).rows[0]
    must(got.i === -42 && String(got.b) === (binary ? String(got.b) : row[1]) && got.f === 0.1 && got.t === true && got.s === row[5] && got.y.equals(raw) && got.z === null, got)
    if (!binary) {
      must(got.n === row[2] && JSON.stringify(got.a) === '[1,null,3]' && JSON.stringify(got.ta) === '["a","b\\"c",null]' && JSON.stringify(got.j) === '{"a":[1,null,"x"]}', got)
      must(got.ts.toISOString() === '2026-01-02T03:04:05.678Z' && got.u === row[12], got)
    }
    await c.query("SET timezone = 'UTC'")
    return one(c, `SELECT r::text FROM ${table} AS r`)
  })
}

check('types', async () => show('types', await roundTrip(false)))
check('binary', async () => show('binary', await roundTrip(true))) // results in binary, as far as it reads them
check('injection', () => using(async c => {
  await c.query(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (v text)`)
  await c.query(`INSERT INTO ${table} VALUES ($1)`, [evil])
  must(await one(c, `SELECT v FROM ${table} WHERE v = $1`, [evil]) === evil, 'round trip')
  must(await one(c, `SELECT v FROM ${table} WHERE v = ${c.escapeLiteral(evil)}`) === evil, 'quoted by the driver')
  show('injection', await one(c, `SELECT md5(v) FROM ${table}`))
}))
gateOnly('refused', () => using(async c => {
  for (let n = 0; n < 3; n++) {
    for (const q of [['SELECT * FROM staff WHERE id = $1', [1]], ['SELECT * FROM staff'], [{ name: 'n', text: 'TABLE staff' }]]) {
      const e = await fails('42501', c.query(...q))
      saysWhy(e.message, e.hint)
    }
    must(await one(c, 'SELECT 1') === 1, 'after')
  }
}))
gateOnly('refused_in_transaction', () => using(async c => {
  await c.query(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id int)`)
  await c.query('BEGIN')
  await c.query(`INSERT INTO ${table} VALUES (1)`)
  await fails('42501', c.query('DELETE FROM orders'))
  await fails('25P02', c.query('SELECT 1'))
  await c.query('ROLLBACK')
  must(await one(c, `SELECT count(*)::int FROM ${table}`) === 0, 'count')
}))
check('notify', () => using(a => using(async b => {
  const got = new Promise((resolve, reject) => {
    a.on('notification', resolve)
    setTimeout(() => reject(new Error('nothing came')), 20000).unref()
  })
  await a.query('LISTEN drivers_node')
  await b.query("NOTIFY drivers_node, 'hello'")
  must((await got).payload === 'hello', 'payload')
})))
check('settings_pass', () => using(async c => {
  for (const sql of settings()) await c.query(sql)
  must(await one(c, 'SELECT 1') === 1, 'after')
}))
check('pool', async () => {
  const pool = new Pool(options({ max: 4 }))
  pool.on('error', () => {})
  const got = await Promise.all(Array.from({ length: 50 }, (_, n) => pool.query('SELECT $1::int AS n', [n])))
  must(got.every((r, n) => r.rows[0].n === n), 'results')
  endBackend((await pool.query('SELECT pg_backend_pid() AS p')).rows[0].p)
  await new Promise(resolve => setTimeout(resolve, 200))
  for (let n = 0; ; n++) {
    try { must((await pool.query('SELECT 1 AS a')).rows[0].a === 1, 'again'); break } catch (e) { if (n === 3) throw e }
  }
  await pool.end()
})
check('metadata', () => using(async c => {
  const r = await c.query('SELECT * FROM orders WHERE false')
  show('metadata', r.fields.map(f => [f.name, f.dataTypeID, f.dataTypeModifier, f.columnID]))
}))

main()
