# mysql2: MariaDB's C library; queries, prepared statements, streaming. One line for each check, as checks.py says it.
require 'mysql2'
require 'digest'
require 'bigdecimal'
require 'date'

ENVS = ENV.to_h
GATE = ENVS['GH_T_WAY'] == 'gate'
T = "#{ENVS['GH_T_PREFIX']}t"
LARGE = 'SELECT n, h FROM drv_numbers ORDER BY n'
EVIL = "'); DROP TABLE #{T}; -- \\' $1 %s ? :x \"\u2019"
TYPES = "i int, b bigint, n decimal(30, 9), f double, t boolean, s text, y varbinary(40), d date, ts datetime(6), tm time(3), j longtext, e enum('a', 'b'), bt bit(8), u bigint unsigned, z text"
AS_TEXT = "SELECT CONCAT_WS('|', i, b, n, f, t, s, HEX(y), d, ts, tm, j, e, HEX(bt), u, COALESCE(z, 'NULL')) AS x FROM #{T}"
$stdout.sync = true

def check(name)
  yield
  puts "ok #{name}"
rescue StandardError => e
  warn e.full_message
  puts "FAIL #{name}: #{e.class}: #{e.message.split.join(' ')[0, 300]}"
end

def gate_only(name, &block)
  check(name, &block) if GATE
end

def show(name, value)
  puts "= #{name} #{value}"
end

def must(ok, what = 'value')
  raise "not so: #{what.inspect}" unless ok
end

def fails(code = nil)
  yield
rescue Mysql2::Error => e
  must(code.nil? || e.error_number == code, e)
  e
else
  raise 'no error'
end

def connect(**more)
  tls = GATE ? { sslca: ENVS['GH_T_CA'], sslverify: true } : {}
  c = Mysql2::Client.new(host: ENVS['GH_T_HOST'], port: ENVS['GH_T_PORT'].to_i, username: ENVS['GH_T_USER'], password: ENVS['GH_T_PASSWORD'], database: ENVS['GH_T_DATABASE'],
                         encoding: 'utf8mb4', connect_timeout: 20, local_infile: true, flags: Mysql2::Client::MULTI_STATEMENTS, **tls, **more)
  return c unless block_given?

  begin
    yield c
  ensure
    c.close
  end
end

def table(c, columns)
  c.query("DROP TABLE IF EXISTS #{T}")
  c.query("CREATE TABLE #{T} (#{columns})")
end

def one(c, sql)
  c.query(sql, as: :array).first[0]
end

def says_why(e)
  must(e.message.include?("select on shop.staff is denied by the policy: A driver's test has no business with salaries."), e.message)
  must(e.message.include?('Read shop.orders.') && e.sql_state == '42000', e)
end

def show_large(rows)
  count = 0
  md5 = Digest::MD5.new
  rows.each do |n, h|
    must(n == (count += 1), n)
    md5 << h
  end
  show('large', "#{count} #{md5.hexdigest}")
end

check('connects') do
  connect(connect_attrs: { 'program_name' => 'driver ruby' }) { |c| must(c.ping && one(c, 'SELECT DATABASE()') == 'shop' && c.encoding.to_s == 'UTF-8') }
end
gate_only('verifies_tls') { must fails { connect(sslca: ENVS['GH_T_WRONG_CA']) }.message.downcase.include?('certificate') }
gate_only('bad_token') { must fails(1045) { connect(password: 'not.a.token') }.message.include?('must be a valid OIDC access token') }
check('prepared') do
  connect do |c|
    s = c.prepare('SELECT ? + 1 AS a, ? AS b')
    50.times { |n| must(s.execute(n, 'x', as: :array).first == [n + 1, 'x']) }
    s.close
  end
end
check('prepared_many') do
  connect do |c|
    all = Array.new(200) { |n| c.prepare("SELECT #{n} + ? AS a") }
    all.each_with_index { |s, n| must(s.execute(1, as: :array).first == [n + 1], n) }
  end
end
check('batch') do
  connect do |c|
    table(c, 'id int PRIMARY KEY, v text')
    s = c.prepare("INSERT INTO #{T} VALUES (?, ?)")
    300.times { |n| s.execute(n, "v#{n}") }
    got = [c.query("SELECT 1; INSERT INTO #{T} VALUES (1000, 'x'); SELECT 2", as: :array).to_a]
    got << c.store_result&.to_a while c.next_result
    must(got.compact == [[[1]], [[2]]], got)
    c.query("SELECT 1; INSERT INTO #{T} VALUES (1, 'twice')")
    fails(1062) { c.next_result && c.store_result }
    show('batch', c.query("SELECT count(*), sum(id) FROM #{T}", as: :array).to_a.map { |r| r.map(&:to_i) })
  end
end
check('large') { connect { |c| show_large(c.query(LARGE, as: :array)) } }
check('stream') do
  connect do |c|
    show_large(c.query(LARGE, as: :array, stream: true, cache_rows: false))
  end
end
check('cancel') do
  connect do |c|
    id = one(c, 'SELECT CONNECTION_ID()')
    c.query('SELECT SLEEP(60)', async: true)
    must system(ENVS['GH_T_WAIT_ASLEEP'], id.to_s)
    connect { |k| k.query("KILL QUERY #{c.thread_id}") }
    begin
      must(c.async_result.first.values == [1])
    rescue Mysql2::Error => e
      must(e.error_number == 1317, e)
    end
    must(one(c, 'SELECT 1') == 1)
  end
end
check('load_local') do
  connect do |c|
    table(c, 'id int, v text')
    path = File.join(ENVS['GH_T_FOLDER'], 'lines.txt')
    File.write(path, (0...50_000).map { |n| "#{n}\ta\\tb\\\\#{n}\n" }.join)
    c.query("LOAD DATA LOCAL INFILE '#{path}' INTO TABLE #{T} CHARACTER SET utf8mb4")
    show('load_local', c.query("SELECT count(*), sum(id), min(v), sum(crc32(v)) FROM #{T}", as: :array, cast: false).to_a)
  end
end
check('transaction') do
  connect do |c|
    table(c, 'id int PRIMARY KEY')
    ['BEGIN', "INSERT INTO #{T} VALUES (1)", 'ROLLBACK', 'BEGIN', "INSERT INTO #{T} VALUES (2)", 'SAVEPOINT s', "INSERT INTO #{T} VALUES (3)", 'ROLLBACK TO SAVEPOINT s', 'COMMIT'].each { |q| c.query(q) }
    fails(1062) { c.query("INSERT INTO #{T} VALUES (2)") }
    show('transaction', c.query("SELECT id FROM #{T}", as: :array).to_a)
  end
end
check('reconnect') do
  connect do |c|
    must system(ENVS['GH_T_END_BACKEND'], one(c, 'SELECT CONNECTION_ID()').to_s, out: File::NULL)
    fails { c.query('SELECT 1') }
    must(!c.ping)
  end
  connect { |c| must(one(c, 'SELECT 1') == 1) }
end

RAW = "\0\xff\\'".b
ROW = [-42, 2**53 + 1, BigDecimal('123456789012345678901.123456789'), 0.1, 1, "t\u00ebxt \u{1f418}", RAW, Date.new(2026, 2, 28), '2026-01-02 03:04:05.678901', '05:06:07',
       '{"a": [1, null, "x"]}', 'b', "\5", 2**64 - 1, nil].freeze
check('types') do
  connect do |c|
    table(c, TYPES)
    values = ROW.map do |v|
      next 'NULL' if v.nil?
      next v.to_s('F') if v.is_a?(BigDecimal)

      v.is_a?(Numeric) ? v.to_s : "'#{c.escape(v.to_s)}'".b
    end
    c.query("INSERT INTO #{T} VALUES (#{values.map(&:b).join(', ')})")
    got = c.query("SELECT y, s, d, u, z FROM #{T}", as: :array).first
    must(got[0].b == RAW && got[1] == ROW[5] && got[2] == ROW[7] && got[3] == ROW[13] && got[4].nil?, got)
    show('types', one(c, AS_TEXT))
  end
end
check('binary') do
  connect do |c|
    table(c, TYPES)
    c.prepare("INSERT INTO #{T} VALUES (#{(['?'] * 15).join(', ')})").execute(*ROW)
    got = c.prepare("SELECT y, s, d, u, z, f, b FROM #{T} WHERE i = ?").execute(-42, as: :array).first
    must(got[0].b == RAW && got[1] == ROW[5] && got[2] == ROW[7] && got[3] == ROW[13] && got[4].nil? && got[5] == 0.1 && got[6] == ROW[1], got)
    show('binary', one(c, AS_TEXT))
  end
end
check('injection') do
  connect do |c|
    table(c, 'v text')
    c.prepare("INSERT INTO #{T} VALUES (?)").execute(EVIL)
    must(one(c, "SELECT v FROM #{T} WHERE v = '#{c.escape(EVIL)}'") == EVIL)
    show('injection', one(c, "SELECT md5(v) FROM #{T}"))
  end
end
gate_only('refused') do
  connect do |c|
    3.times do
      says_why(fails(1142) { c.query('SELECT * FROM staff') })
      says_why(fails(1142) { c.prepare('SELECT * FROM staff WHERE id = ?') })
      must(one(c, 'SELECT 1') == 1)
    end
  end
end
gate_only('refused_in_transaction') do
  connect do |c|
    table(c, 'id int')
    c.query('BEGIN')
    c.query("INSERT INTO #{T} VALUES (1)")
    fails(1142) { c.query('DELETE FROM orders') }
    c.query('ROLLBACK')
    must(one(c, "SELECT count(*) FROM #{T}").zero?)
  end
end
check('settings_pass') do
  connect(init_command: 'SET @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483') do |c|
    wrong = File.readlines(ENVS['GH_T_SETTINGS'], chomp: true).filter_map do |sql|
      c.query(sql)
      nil
    rescue Mysql2::Error => e
      "#{sql[0, 60]}: #{e.message}"
    end
    must(wrong.empty?, wrong)
    c.select_db('shop')
    must(one(c, 'SELECT 1') == 1)
  end
end
check('metadata') do
  connect do |c|
    r = c.query('SELECT id, total AS t, placed_at FROM orders WHERE 1 = 0')
    show('metadata', r.fields.inspect)
    table(c, 'id int AUTO_INCREMENT PRIMARY KEY, v text')
    c.query("INSERT INTO #{T} (v) VALUES ('a'), ('b')")
    must(c.last_id == 1 && c.affected_rows == 2)
  end
end
