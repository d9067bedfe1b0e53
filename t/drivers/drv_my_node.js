// mysql2: parameters in the text (query), and statements prepared at the server (execute). One line for each check, as checks.py says it.
'use strict'
const fs = require('fs')
const path = require('path')
const mysql = require('mysql2/promise')
const { env, table, evil, check, gateOnly, show, must, settings, endBackend, md5, tls, largeSum, main } = require('./node_checks')

const large = 'SELECT n, h FROM drv_numbers ORDER BY n'
const types = "i int, b bigint, n decimal(30, 9), f double, t boolean, s text, y varbinary(40), d date, ts datetime(6), tm time(3), j longtext, e enum('a', 'b'), bt bit(8), u bigint unsigned, z text"
const asText = `SELECT CONCAT_WS('|', i, b, n, f, t, s, HEX(y), d, ts, tm, j, e, HEX(bt), u, COALESCE(z, 'NULL')) AS x FROM ${table}`
const row = [-42, '9007199254740993', '123456789012345678901.123456789', 0.1, true, 't\u00ebxt \u{1f418}', Buffer.from([0, 255, 92, 39]), '2026-02-28', '2026-01-02 03:04:05.678901',
  '05:06:07', '{"a": [1, null, "x"]}', 'b', Buffer.from([5]), '18446744073709551615', null]

const options = more => ({ host: env.GH_T_HOST, port: Number(env.GH_T_PORT), user: env.GH_T_USER, password: env.GH_T_PASSWORD, database: env.GH_T_DATABASE, connectTimeout: 20000,
  ssl: tls() || undefined, supportBigNumbers: true, bigNumberStrings: true, ...more })
const using = async (f, more) => {
  const c = await mysql.createConnection(options(more))
  c.on('error', () => {})
  try { return await f(c) } finally { await c.end().catch(() => {}) }
}
const one = async (c, sql, args) => Object.values((await c.query(sql, args))[0][0])[0]
const fresh = async (c, columns) => { await c.query(`DROP TABLE IF EXISTS ${table}`); await c.query(`CREATE TABLE ${table} (${columns})`) }
const fails = async (number, promise) => {
  let error
  try { await promise } catch (e) { error = e }
  must(error && (!number || error.errno === number), error || 'no error')
  return error
}
const saysWhy = e => must(e.message.includes("select on shop.staff is denied by the policy: A driver's test has no business with salaries.") && e.message.includes('Read shop.orders.') &&
  e.sqlState === '42000', e)

check('connects', () => using(async c => {
  await c.ping()
  must(await one(c, 'SELECT DATABASE()') === 'shop', 'database')
}, { charset: 'utf8mb4', flags: ['-COMPRESS'] }))
gateOnly('verifies_tls', async () => must(/certificate|self.signed|unable to verify/i.test((await fails(null, using(c => c.ping(), { ssl: tls(env.GH_T_WRONG_CA) }))).message), 'TLS'))
gateOnly('bad_token', async () => must((await fails(1045, using(c => c.ping(), { password: 'not.a.token' }))).message.includes('must be a valid OIDC access token'), 'token'))
check('prepared', () => using(async c => {
  for (let n = 0; n < 50; n++) {
    const [[r]] = await c.execute('SELECT ? + 1 AS a, ? AS b', [n, 'x'])
    must(Number(r.a) === n + 1 && r.b === 'x', r)
  }
}))
check('prepared_many', () => using(async c => {
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 200; n++) must(Number(Object.values((await c.execute(`SELECT ${n} + ?`, [1]))[0][0])[0]) === n + 1, n)
  }
}, { maxPreparedStatements: 50 })) // those beyond it are closed
check('batch', () => using(async c => {
  await fresh(c, 'id int PRIMARY KEY, v text')
  await c.query(`INSERT INTO ${table} VALUES ?`, [Array.from({ length: 500 }, (_, n) => [n, 'v' + n])])
  const [results] = await c.query(`SELECT 1 AS a; INSERT INTO ${table} VALUES (1000, 'x'); SELECT 2 AS b`)
  must(results.length === 3 && results[2][0].b === 2, results)
  await fails(1062, c.query(`SELECT 1; INSERT INTO ${table} VALUES (1, 'twice')`))
  show('batch', await one(c, `SELECT concat(count(*), ' ', sum(id)) FROM ${table}`))
}, { multipleStatements: true }))
check('large', () => using(async c => {
  const [rows] = await c.query({ sql: large, rowsAsArray: true })
  const sum = largeSum()
  for (const [n, h] of rows) sum.row(n, h)
  sum.end()
}))
check('stream', () => using(async c => {
  const sum = largeSum()
  for await (const r of c.connection.query({ sql: large, rowsAsArray: true }).stream({ highWaterMark: 100 })) sum.row(r[0], r[1])
  sum.end()
  must(await one(c, 'SELECT 5') === 5, 'after')
}))
check('cancel', () => using(async c => {
  const sleeps = c.query('SELECT SLEEP(60) AS s').then(([r]) => r[0].s, e => { must(e.errno === 1317, e); return 1 })
  let done = false
  sleeps.finally(() => { done = true })
  while (!done) { // one that comes before the statement runs hits nothing
    await using(k => k.query(`KILL QUERY ${c.threadId}`))
    await new Promise(resolve => setTimeout(resolve, 300))
  }
  must(await sleeps === 1, 'it slept to its end')
  must(await one(c, 'SELECT 1') === 1, 'after')
}))
check('load_local', () => using(async c => {
  await fresh(c, 'id int, v text')
  const file = path.join(env.GH_T_FOLDER, 'lines.txt')
  fs.writeFileSync(file, Array.from({ length: 50000 }, (_, n) => `${n}\ta\\tb\\\\${n}\n`).join(''))
  await c.query({ sql: `LOAD DATA LOCAL INFILE '${file}' INTO TABLE ${table} CHARACTER SET utf8mb4`, infileStreamFactory: p => fs.createReadStream(p) })
  show('load_local', await one(c, `SELECT concat_ws(' ', count(*), sum(id), min(v), sum(crc32(v))) FROM ${table}`))
}))
check('transaction', () => using(async c => {
  await fresh(c, 'id int PRIMARY KEY')
  await c.beginTransaction()
  await c.query(`INSERT INTO ${table} VALUES (1)`)
  await c.rollback()
  await c.beginTransaction()
  await c.query(`INSERT INTO ${table} VALUES (2)`)
  await c.query('SAVEPOINT s')
  await c.query(`INSERT INTO ${table} VALUES (3)`)
  await c.query('ROLLBACK TO SAVEPOINT s')
  await fails(1062, c.query(`INSERT INTO ${table} VALUES (?)`, [2]))
  await c.commit()
  show('transaction', await one(c, `SELECT group_concat(id) FROM ${table}`))
}))
check('reconnect', async () => {
  await using(async c => {
    endBackend(await one(c, 'SELECT CONNECTION_ID()'))
    await fails(null, c.query('SELECT 1'))
  })
  await using(async c => must(await one(c, 'SELECT 1') === 1, 'again'))
})
const roundTrip = how => using(async c => {
  await fresh(c, types)
  await c[how](`INSERT INTO ${table} VALUES (${row.map(() => '?').join(', ')})`, row)
  const [[got]] = await c[how](`SELECT * FROM ${table} WHERE i = ?`, [-42])
  must(got.i === -42 && got.b === row[1] && got.n === row[2] && got.f === 0.1 && got.t === 1 && got.s === row[5] && got.y.equals(row[6]) && got.u === row[13] && got.z === null, got)
  return one(c, asText)
}, { dateStrings: true })
check('types', async () => show('types', await roundTrip('query')))
check('binary', async () => show('binary', await roundTrip('execute')))
check('injection', () => using(async c => {
  await fresh(c, 'v text')
  await c.query(`INSERT INTO ${table} VALUES (?)`, [evil])
  must(await one(c, `SELECT v FROM ${table} WHERE v = ${c.escape(evil)}`) === evil, 'quoted by the driver')
  must((await c.execute(`SELECT v FROM ${table} WHERE v = ?`, [evil]))[0][0].v === evil, 'as a parameter')
  show('injection', await one(c, `SELECT md5(v) FROM ${table}`))
}))
gateOnly('refused', () => using(async c => {
  for (let n = 0; n < 3; n++) {
    saysWhy(await fails(1142, c.query('SELECT * FROM staff')))
    saysWhy(await fails(1142, c.execute('SELECT * FROM staff WHERE id = ?', [1])))
    must(await one(c, 'SELECT 1') === 1, 'after')
  }
}))
gateOnly('refused_in_transaction', () => using(async c => {
  await fresh(c, 'id int')
  await c.beginTransaction()
  await c.query(`INSERT INTO ${table} VALUES (1)`)
  await fails(1142, c.query('DELETE FROM orders'))
  await c.rollback()
  must(Number(await one(c, `SELECT count(*) FROM ${table}`)) === 0, 'count')
}))
check('settings_pass', () => using(async c => {
  const wrong = []
  for (const sql of settings()) await c.query(sql).catch(e => wrong.push(`${sql}: ${e.message}`))
  must(wrong.length === 0, wrong)
}))
check('pool', async () => {
  const pool = mysql.createPool(options({ connectionLimit: 4 }))
  const got = await Promise.all(Array.from({ length: 50 }, (_, n) => pool.query('SELECT ? AS n', [n])))
  must(got.every(([r], n) => r[0].n === n), 'results')
  endBackend((await pool.query('SELECT CONNECTION_ID() AS p'))[0][0].p)
  for (let n = 0; ; n++) {
    try { must((await pool.query('SELECT 1 AS a'))[0][0].a === 1, 'again'); break } catch (e) { if (n === 5) throw e }
  }
  await pool.end()
})
check('metadata', () => using(async c => {
  const [, fields] = await c.query('SELECT id, total AS t, placed_at FROM orders WHERE 1 = 0')
  show('metadata', fields.map(f => [f.name, f.orgName, f.orgTable, f.columnType, f.columnLength, f.flags]))
  await fresh(c, 'id int AUTO_INCREMENT PRIMARY KEY, v text')
  const [r] = await c.execute(`INSERT INTO ${table} (v) VALUES ('a')`)
  must(r.insertId === 1 && r.affectedRows === 1, r)
  show('metadata md5', md5('x').length)
}))

main()
