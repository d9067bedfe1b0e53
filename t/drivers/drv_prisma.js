// Prisma's client with its adapter for pg: the ORM's queries, transactions, raw SQL. Without its schema engine, a binary from elsewhere: no db pull.
'use strict'
const { env, evil, check, gateOnly, show, must, endBackend, tls, fails, main } = require('./node_checks.js')
const { PrismaClient, Prisma } = require('@prisma/client')
const { PrismaPg } = require('@prisma/adapter-pg')

function client (more) {
  const adapter = new PrismaPg({ host: env.GH_T_HOST, port: Number(env.GH_T_PORT), user: env.GH_T_USER, password: env.GH_T_PASSWORD, database: env.GH_T_DATABASE, ssl: tls(),
    max: 4, ...more }, { schema: 'public', onPoolError: () => {}, onConnectionError: () => {} })
  return new PrismaClient({ adapter })
}

async function using (f, more) {
  const p = client(more)
  try { return await f(p) } finally { await p.$disconnect() }
}

check('connects', () => using(async p => must((await p.$queryRaw`SELECT 1 AS a`)[0].a === 1, 'one')))
gateOnly('verifies_tls', () => using(async p => must(/self.signed|unable to|certificate/.test(String(await fails(null, p.$queryRaw`SELECT 1`))), 'TLS'),
  { ssl: tls(env.GH_T_WRONG_CA) }))
gateOnly('bad_token', () => using(async p => must(/P1000|Authentication failed|28P01/.test(String((await fails(null, p.$queryRaw`SELECT 1`)).stack)), 'password'),
  { password: 'not.a.token' }))
check('tables', () => using(async p => { // prisma migrate needs the engine
  for (const sql of ['DROP TABLE IF EXISTS scratch.prisma_book', 'DROP TABLE IF EXISTS scratch.prisma_author',
    'CREATE TABLE scratch.prisma_author (id serial PRIMARY KEY, name text NOT NULL UNIQUE, data jsonb, tags text[], born timestamptz(6), big bigint, price numeric(30,9), raw bytea)',
    'CREATE TABLE scratch.prisma_book (id serial PRIMARY KEY, title text NOT NULL, author_id int NOT NULL REFERENCES scratch.prisma_author)']) await p.$executeRawUnsafe(sql)
}))
check('orm_queries', () => using(async p => {
  const born = new Date('2026-01-02T03:04:05.678Z')
  await p.author.createMany({ data: Array.from({ length: 200 }, (_, n) => ({ name: 'a' + n, data: { n: [n, null] }, tags: ['x', 'q"'], born, big: 2n ** 53n + 1n,
    price: '12345678901234567890.123456789', raw: Buffer.from([0, 255, 92, 39]) })) })
  const made = await p.author.create({ data: { name: evil, books: { create: [{ title: 'one' }, { title: evil }] } }, include: { books: true } })
  must(made.books.length === 2 && made.books[1].title === evil, made)
  const a = await p.author.findUnique({ where: { name: 'a7' } })
  must(a.big === 2n ** 53n + 1n && a.price.toFixed(9) === '12345678901234567890.123456789' && a.born.getTime() === born.getTime() && Buffer.from(a.raw).equals(Buffer.from([0, 255, 92, 39])), a.name)
  must(a.data.n[0] === 7 && a.tags[1] === 'q"', a.data)
  show('orm', await p.author.findMany({ where: { name: { contains: 'a1' }, NOT: { name: 'a1' } }, orderBy: { name: 'asc' }, take: 5, skip: 2, select: { name: true, data: true } }))
  show('orm relation', await p.book.findMany({ where: { author: { name: evil } }, select: { title: true, author: { select: { name: true } } }, orderBy: { id: 'asc' } }))
  show('orm json', await p.author.count({ where: { data: { path: ['n', '0'], equals: 150 } } }))
  show('orm aggregate', await p.order.aggregate({ _count: true, _sum: { total: true }, where: { status: 'paid' } }))
  show('orm group', await p.order.groupBy({ by: ['status'], _count: { id: true }, orderBy: { status: 'asc' } }))
  await p.author.upsert({ where: { name: 'a1' }, update: { tags: { push: 'more' } }, create: { name: 'a1' } })
  await p.author.updateMany({ where: { id: { lt: 10 } }, data: { big: { increment: 1 } } })
  show('orm delete', (await p.author.deleteMany({ where: { name: { startsWith: 'a19' } } })).count)
  must((await fails('P2002', p.author.create({ data: { name: 'a1' } }))).meta, 'unique')
}))
check('transaction', () => using(async p => {
  await fails('P2002', p.$transaction([p.author.create({ data: { name: 'undone' } }), p.author.create({ data: { name: 'a1' } })]))
  await fails(null, p.$transaction(async t => { await t.author.create({ data: { name: 'undone' } }); throw new Error('undo') }))
  await p.$transaction(async t => { await t.author.create({ data: { name: 'kept' } }); await t.book.count() }, { isolationLevel: Prisma.TransactionIsolationLevel.Serializable })
  show('transaction', await p.author.findMany({ where: { name: { in: ['undone', 'kept'] } }, select: { name: true } }))
}))
check('injection', () => using(async p => {
  must((await p.$queryRaw`SELECT name FROM scratch.prisma_author WHERE name = ${evil}`)[0].name === evil, 'round trip')
  show('injection', await p.$queryRawUnsafe('SELECT md5($1::text) AS m', evil))
}))
check('large', () => using(async p => {
  const rows = await p.$queryRaw`SELECT n, md5(n::text) AS h FROM generate_series(1, 120000) AS n`
  show('large', `${rows.length} ${require('./node_checks.js').md5(rows.map(r => r.h).join(''))}`)
  let cursor; let count = 0
  for (;;) {
    const page = await p.order.findMany({ take: 1000, ...(cursor && { skip: 1, cursor: { id: cursor } }), orderBy: { id: 'asc' } })
    if (!page.length) break
    count += page.length
    cursor = page[page.length - 1].id
  }
  show('pages', count)
}))
gateOnly('refused', () => using(async p => {
  for (let n = 0; n < 3; n++) {
    for (const call of [() => p.staff.findMany(), () => p.$queryRaw`SELECT * FROM staff WHERE id = ${1}`, () => p.order.deleteMany()]) {
      const e = await fails(null, call())
      must(/42501|denied|not allowed|not available/.test(`${e.message} ${JSON.stringify(e.meta)}`), e)
    }
    must(await p.author.count() > 0, 'after')
  }
  const e = await fails('P2010', p.$queryRaw`SELECT * FROM staff`)
  must(e.meta.code === '42501' || JSON.stringify(e.meta).includes('42501'), e.meta)
  must(`${e.message}${JSON.stringify(e.meta)}`.includes("A driver's test has no business with salaries."), e.message)
}))
gateOnly('refused_in_transaction', () => using(async p => {
  await fails(null, p.$transaction([p.author.create({ data: { name: 'not to be' } }), p.order.deleteMany()]))
  must(await p.author.count({ where: { name: 'not to be' } }) === 0, 'count')
}))
check('reconnect', () => using(async p => {
  endBackend((await p.$queryRaw`SELECT pg_backend_pid() AS p`)[0].p)
  await new Promise(resolve => setTimeout(resolve, 200))
  for (let n = 0; ; n++) {
    try { must(await p.author.count() > 0, 'again'); break } catch (e) { if (n === 3) throw e }
  }
}, { max: 1 }))

main()
