// postgres.js: its own protocol code with pipelines, cursors, COPY streams, cancel over a plain connection.
'use strict'
const { env, table, evil, types, large, check, gateOnly, show, must, settings, endBackend, md5, tls, largeSum, fails, saysWhy, main } = require('./node_checks.js')
const { pipeline } = require('stream/promises')
const { Readable } = require('stream')
const postgres = require('postgres')

const open = more => postgres({ host: env.GH_T_HOST, port: Number(env.GH_T_PORT), user: env.GH_T_USER, password: env.GH_T_PASSWORD, database: env.GH_T_DATABASE, ssl: tls(), max: 1,
  onnotice: () => {}, connect_timeout: 20, ...more })

async function using (f, more) {
  const sql = open(more)
  try { return await f(sql) } finally { await sql.end({ timeout: 5 }) }
}

const one = async (sql, text, args = []) => Object.values((await sql.unsafe(text, args))[0])[0]

check('connects', () => using(async sql => must(await one(sql, 'SHOW application_name') === 'driver postgres.js', 'name'), { connection: { application_name: 'driver postgres.js' } }))
gateOnly('verifies_tls', () => using(async sql => must(/self.signed|unable to|certificate/.test(String(await fails(null, sql`SELECT 1`))), 'TLS'), { ssl: tls(env.GH_T_WRONG_CA) }))
gateOnly('bad_token', () => using(async sql => {
  const e = await fails('28P01', sql`SELECT 1`)
  must(e.message.includes('must be a valid OIDC access token') && e.hint.includes('Get a fresh token'), e)
}, { password: 'not.a.token' }))
check('prepared', () => using(async sql => {
  for (let n = 0; n < 50; n++) must((await sql`SELECT ${n}::int + 1 AS a, ${'x'}::text AS b`)[0].a === n + 1, n)
}))
check('prepared_many', async () => {
  for (const prepare of [true, false]) {
    await using(async sql => {
      for (let n = 0; n < 200; n++) must(await one(sql, `SELECT ${n} + $1::int AS a`, [1]) === n + 1, n)
    }, { prepare })
  }
})
check('batch', () => using(async sql => {
  await sql.unsafe(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id int PRIMARY KEY, v text)`)
  await Promise.all(Array.from({ length: 500 }, (_, n) => sql`INSERT INTO ${sql(table)} VALUES (${n}, ${'v' + n})`)) // pipelined
  await sql`INSERT INTO ${sql(table)} ${sql(Array.from({ length: 1000 }, (_, n) => ({ id: n + 500, v: 'w' })))}`
  await fails('22012', sql.unsafe(`DELETE FROM ${table}; SELECT 1 / 0; SELECT 1`))
  const done = await Promise.allSettled([sql`SELECT 1 AS a`, sql`SELECT 1 / ${0}::int AS a`, sql`SELECT 3 AS a`])
  must(done.map(d => d.status).join() === 'fulfilled,rejected,fulfilled', done)
  show('batch', await one(sql, `SELECT count(*)::text || md5(string_agg(v, '' ORDER BY id)) FROM ${table}`))
}))
check('large', () => using(async sql => {
  const sum = largeSum()
  for (const r of await sql.unsafe(large)) sum.row(r.n, r.h)
  sum.end()
}))
check('stream', () => using(async sql => { // portals
  const sum = largeSum()
  for await (const rows of sql.unsafe(large).cursor(5000)) for (const r of rows) sum.row(r.n, r.h)
  sum.end()
  for await (const rows of sql.unsafe(large).cursor(10)) { must(rows.length === 10, rows); break }
  must(await one(sql, 'SELECT 1') === 1, 'after')
}))
check('cancel', () => using(async sql => {
  const query = sql`SELECT pg_sleep(60)`.execute()
  const got = query.catch(e => e)
  let ended = false
  got.then(() => { ended = true })
  while (!ended) {
    await new Promise(resolve => setTimeout(resolve, 400))
    if (!ended) query.cancel()
  }
  must((await got).code === '57014', await got)
}))
check('copy_in', () => using(async sql => {
  await sql.unsafe(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id int, v text)`)
  await pipeline(Readable.from(function * () { for (let n = 0; n < 50000; n++) yield `${n}\ta\\tb\\\\${n}\n` }()), await sql`COPY ${sql(table)} FROM STDIN`.writable())
  show('copy_in', await one(sql, `SELECT count(*) || ' ' || sum(id) || ' ' || md5(string_agg(v, '' ORDER BY id)) FROM ${table}`))
}))
check('copy_out', () => using(async sql => {
  for (const how of ['text', 'csv', 'binary']) {
    const parts = []
    const stream = await sql.unsafe(`COPY (SELECT * FROM ${table} ORDER BY id) TO STDOUT (FORMAT ${how})`).readable()
    await new Promise((resolve, reject) => stream.on('data', part => parts.push(part)).on('end', resolve).on('error', reject))
    show('copy_out ' + how, md5(Buffer.concat(parts)))
  }
}))
check('transaction', () => using(async sql => {
  await sql.unsafe(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id int PRIMARY KEY)`)
  await fails(null, sql.begin(async sql => { await sql`INSERT INTO ${sql(table)} VALUES (1)`; throw new Error('undo') }))
  await sql.begin('isolation level serializable', async sql => {
    await sql`INSERT INTO ${sql(table)} VALUES (2)`
    await fails('23505', sql.savepoint(sql => sql`INSERT INTO ${sql(table)} VALUES (2)`))
  })
  await fails('25006', sql.begin('read only', sql => sql`INSERT INTO ${sql(table)} VALUES (3)`))
  show('transaction', await one(sql, `SELECT array_agg(id) FROM ${table}`))
}))
check('reconnect', () => using(async sql => { // it takes another connection by itself
  endBackend(await one(sql, 'SELECT pg_backend_pid()'))
  await new Promise(resolve => setTimeout(resolve, 500)) // what it sends before it has seen the end is never answered
  for (let n = 0; ; n++) {
    try { must(await one(sql, 'SELECT 1') === 1, 'again'); break } catch (e) { if (n === 3) throw e }
  }
}))
check('types', () => using(async sql => {
  await sql.unsafe(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (${types})`)
  const raw = Buffer.from([0, 255, 92, 39])
  await sql`INSERT INTO ${sql(table)} VALUES (${-42}, ${'9007199254740993'}, ${'12345678901234567890.123456789'}, ${0.1}, ${true}, ${'t\u00ebxt \u{1f418}'}, ${raw}, ${'2026-02-28'}::text::date,
    ${'2026-01-02T03:04:05.678901Z'}::text::timestamptz, ${[1, null, 3]}::int[], ${'{a,"b\\"c",NULL}'}::text::text[], ${sql.json({ a: [1, null, 'x'] })}, ${'00000000-0000-0000-0000-000000000007'}, ${null})`
  const got = (await sql`SELECT * FROM ${sql(table)}`)[0]
  must(got.i === -42 && got.b === '9007199254740993' && got.n === '12345678901234567890.123456789' && got.f === 0.1 && got.t && got.y.equals(raw) && got.z === null, got)
  must(JSON.stringify([got.a, got.ta.slice(0, 2), got.j]) === '[[1,null,3],["a","b\\"c"],{"a":[1,null,"x"]}]', got) // it reads NULL in text[] as a word
  await sql`SET timezone = 'UTC'`
  show('types', await one(sql, `SELECT r::text FROM ${table} AS r`))
}))
check('injection', () => using(async sql => {
  await sql.unsafe(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (v text)`)
  await sql`INSERT INTO ${sql(table)} VALUES (${evil})`
  must((await sql`SELECT v FROM ${sql(table)} WHERE v = ${evil}`)[0].v === evil, 'round trip')
  show('injection', await one(sql, `SELECT md5(v) FROM ${table}`))
}))
gateOnly('refused', () => using(async sql => {
  for (let n = 0; n < 3; n++) {
    for (const call of [() => sql`SELECT * FROM staff WHERE id = ${1}`, () => sql.unsafe('SELECT * FROM staff; SELECT 1'), () => sql`TABLE staff`]) {
      const e = await fails('42501', call())
      saysWhy(e.message, e.hint)
    }
    must(await one(sql, 'SELECT 1') === 1, 'after')
  }
}))
gateOnly('refused_in_transaction', () => using(async sql => {
  await sql.unsafe(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id int)`)
  await fails('42501', sql.begin(async sql => { await sql`INSERT INTO ${sql(table)} VALUES (1)`; await sql`DELETE FROM orders` }))
  must(await one(sql, `SELECT count(*)::int FROM ${table}`) === 0, 'count')
}))
check('notify', () => using(async sql => {
  let give
  const got = new Promise(resolve => { give = resolve })
  const listening = await sql.listen('drivers_postgresjs', give)
  await sql.notify('drivers_postgresjs', 'hello')
  must(await got === 'hello', 'payload')
  await listening.unlisten()
}, { max: 2 }))
check('settings_pass', () => using(async sql => {
  for (const text of settings()) await sql.unsafe(text)
  must(await one(sql, 'SELECT 1') === 1, 'after')
}))
check('pool', () => using(async sql => {
  const got = await Promise.all(Array.from({ length: 50 }, (_, n) => sql`SELECT ${n}::int AS n`))
  must(got.every((r, n) => r[0].n === n), 'results')
}, { max: 4 }))
check('metadata', () => using(async sql => {
  const described = await sql`SELECT * FROM orders WHERE id = ${1}`.describe()
  show('metadata', described.columns.map(c => [c.name, c.type]))
}))

main()
