// What the programs for Node share. One line for each check, as checks.py says it.
'use strict'
const { execFileSync } = require('child_process')
const crypto = require('crypto')
const fs = require('fs')

const env = process.env
const gate = env.GH_T_WAY === 'gate'
const table = env.GH_T_PREFIX + 't'
const checks = []

exports.env = env
exports.gate = gate
exports.table = table
exports.large = 'SELECT n, md5(n::text) AS h FROM generate_series(1, 120000) AS n'
exports.evil = `'); DROP TABLE ${table}; -- \\' $1 %s ? :x "\u2019`
exports.types = 'i int, b bigint, n numeric, f float8, t bool, s text, y bytea, d date, ts timestamptz, a int[], ta text[], j jsonb, u uuid, z text'
exports.check = (name, f) => checks.push([name, f])
exports.gateOnly = (name, f) => { if (gate) checks.push([name, f]) }
exports.show = (name, value) => console.log(`= ${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
exports.must = (ok, what) => { if (!ok) throw new Error('not so: ' + (what instanceof Error ? what.stack : JSON.stringify(what))) }
exports.settings = () => fs.readFileSync(env.GH_T_SETTINGS, 'utf8').trim().split('\n')
exports.endBackend = pid => execFileSync(env.GH_T_END_BACKEND, [String(pid)], { stdio: 'ignore' })
exports.md5 = data => crypto.createHash('md5').update(data).digest('hex')
exports.tls = ca => gate ? { ca: fs.readFileSync(ca || env.GH_T_CA, 'utf8'), rejectUnauthorized: true, servername: env.GH_T_HOST } : false

exports.largeSum = () => {
  const sum = crypto.createHash('md5')
  let count = 0
  return {
    row (n, h) { exports.must(Number(n) === ++count, n); sum.update(h) },
    end () { exports.show('large', `${count} ${sum.digest('hex')}`) }
  }
}

// fails gives the error of a promise that must be rejected, with that SQLSTATE when one is given.
exports.fails = async (code, promise) => {
  let error
  try { await promise } catch (e) { error = e }
  exports.must(error && (!code || error.code === code), error || 'no error')
  return error
}

exports.saysWhy = (message, hint) => {
  exports.must(message.includes("select on public.staff is denied by the policy: A driver's test has no business with salaries."), message)
  exports.must(hint === 'Read public.orders.', hint)
}

exports.main = async () => {
  for (const [name, f] of checks) {
    try {
      await f()
      console.log('ok ' + name)
    } catch (e) {
      console.error(e)
      console.log(`FAIL ${name}: ${String(e).replace(/\s+/g, ' ').slice(0, 300)}`)
    }
  }
  process.exit(0)
}
