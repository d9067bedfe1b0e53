# ruby-pg: libpq, text and binary by its type maps, its own pipeline calls. One line for each check, as checks.py says it.
require 'pg'
require 'digest'
require 'bigdecimal'
require 'date'
require 'time'
require 'json'

ENVS = ENV.to_h
GATE = ENVS['GH_T_WAY'] == 'gate'
T = "#{ENVS['GH_T_PREFIX']}t"
LARGE = 'SELECT n, md5(n::text) AS h FROM generate_series(1, 120000) AS n'
EVIL = "'); DROP TABLE #{T}; -- \\' $1 %s ? :x \"\u2019"
TYPES = 'i int, b bigint, n numeric, f float8, t bool, s text, y bytea, d date, ts timestamptz, a int[], ta text[], j jsonb, u uuid, z text'
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

def fails(kind, code = nil)
  yield
rescue kind => e
  must(code.nil? || e.result.error_field(PG::PG_DIAG_SQLSTATE) == code, e)
  e
else
  raise "no #{kind}"
end

def connect(**more)
  tls = GATE ? { sslmode: 'verify-full', sslrootcert: ENVS['GH_T_CA'] } : { sslmode: 'disable' }
  c = PG.connect(host: ENVS['GH_T_HOST'], port: ENVS['GH_T_PORT'], user: ENVS['GH_T_USER'], password: ENVS['GH_T_PASSWORD'], dbname: ENVS['GH_T_DATABASE'],
                 connect_timeout: 20, **tls, **more)
  c.set_notice_receiver { |_| nil }
  return c unless block_given?

  begin
    yield c
  ensure
    c.close unless c.finished?
  end
end

def table(c, columns)
  c.exec("DROP TABLE IF EXISTS #{T}; CREATE TABLE #{T} (#{columns})")
end

def end_backend(c)
  must system(ENVS['GH_T_END_BACKEND'], c.exec('SELECT pg_backend_pid()').getvalue(0, 0), out: File::NULL)
end

def says_why(e)
  message = e.result.error_field(PG::PG_DIAG_MESSAGE_PRIMARY)
  must(message.include?("select on public.staff is denied by the policy: A driver's test has no business with salaries."), message)
  must(e.result.error_field(PG::PG_DIAG_MESSAGE_HINT) == 'Read public.orders.', e)
end

class Sum
  def initialize
    @count = 0
    @md5 = Digest::MD5.new
  end

  def row(n, h)
    must(n.to_i == (@count += 1), n)
    @md5 << h
  end

  def show
    Object.send(:show, 'large', "#{@count} #{@md5.hexdigest}")
  end
end

check('connects') do
  connect(application_name: 'driver ruby', options: '-c statement_timeout=60000') do |c|
    must(c.exec('SHOW statement_timeout').getvalue(0, 0) == '1min' && c.server_version / 10_000 == 15 && c.ssl_in_use? == GATE)
  end
end
gate_only('verifies_tls') { must fails(PG::ConnectionBad) { connect(sslrootcert: ENVS['GH_T_WRONG_CA']) }.message.include?('certificate verify failed') }
gate_only('bad_token') { must fails(PG::ConnectionBad) { connect(password: 'not.a.token') }.message.include?('must be a valid OIDC access token') }
check('prepared') do
  connect do |c|
    c.prepare('p', 'SELECT $1::int + 1, $2::text')
    50.times { |n| must(c.exec_prepared('p', [n, 'x']).values == [[(n + 1).to_s, 'x']]) }
    must(c.describe_prepared('p').nparams == 2)
    c.exec('DEALLOCATE p')
    fails(PG::InvalidSqlStatementName, '26000') { c.exec_prepared('p', [1, 'x']) }
  end
end
check('prepared_many') do
  connect do |c|
    200.times { |n| c.prepare("p#{n}", "SELECT #{n} + $1::int") }
    200.times { |n| must(c.exec_prepared("p#{n}", [1]).getvalue(0, 0).to_i == n + 1) }
  end
end
check('batch') do
  connect do |c|
    table(c, 'id int PRIMARY KEY, v text')
    c.enter_pipeline_mode
    500.times { |n| c.send_query_params("INSERT INTO #{T} VALUES ($1, $2)", [n, "v#{n}"]) }
    c.pipeline_sync
    500.times do
      must(c.get_result.cmd_tuples == 1)
      must(c.get_result.nil?)
    end
    must(c.get_result.result_status == PG::PGRES_PIPELINE_SYNC)
    ["DELETE FROM #{T}", 'SELECT 1 / 0', 'SELECT 1'].each { |sql| c.send_query_params(sql, []) }
    c.pipeline_sync
    c.get_result.check
    must(c.get_result.nil?)
    fails(PG::DivisionByZero, '22012') { c.get_result.check }
    must(c.get_result.nil?)
    must(c.get_result.result_status == PG::PGRES_PIPELINE_ABORTED)
    must(c.get_result.nil?)
    must(c.get_result.result_status == PG::PGRES_PIPELINE_SYNC)
    c.exit_pipeline_mode
    fails(PG::DivisionByZero, '22012') { c.exec("DELETE FROM #{T}; SELECT 1 / 0") }
    show('batch', c.exec("SELECT count(*), md5(string_agg(v, '' ORDER BY id)) FROM #{T}").values)
  end
end
check('large') do
  connect do |c|
    sum = Sum.new
    c.exec(LARGE).each_row { |n, h| sum.row(n, h) }
    sum.show
  end
end
check('stream') do # single row mode
  connect do |c|
    c.send_query(LARGE)
    c.set_single_row_mode
    sum = Sum.new
    c.get_result.stream_each_row { |n, h| sum.row(n, h) }
    must(c.get_result.nil?)
    sum.show
    c.transaction do
      c.exec("DECLARE c SCROLL CURSOR FOR #{LARGE}")
      must(c.exec('FETCH ABSOLUTE 51 FROM c').getvalue(0, 0) == '51')
    end
  end
end
check('cancel') do
  connect do |c|
    done = false
    thread = Thread.new do
      until done # one that comes before the statement runs hits nothing
        sleep 0.3
        c.cancel unless done
      end
    end
    begin
      fails(PG::QueryCanceled, '57014') { c.async_exec('SELECT pg_sleep(60)') }
    ensure
      done = true
      thread.join
    end
  end
  connect { |c| must(c.exec('SELECT 1').values == [['1']]) }
end
check('copy_in') do
  connect do |c|
    table(c, 'id int, v text')
    c.copy_data("COPY #{T} FROM STDIN") { 50_000.times { |n| c.put_copy_data("#{n}\ta\\tb\\\\#{n}\n") } }
    fails(PG::InvalidTextRepresentation, '22P02') { c.copy_data("COPY #{T} FROM STDIN") { c.put_copy_data("x\ta\n") } }
    fails(RuntimeError) { c.copy_data("COPY #{T} FROM STDIN") { raise 'given up' } }
    show('copy_in', c.exec("SELECT count(*), sum(id), md5(string_agg(v, '' ORDER BY id)) FROM #{T}").values)
  end
end
check('copy_out') do
  connect do |c|
    %w[text csv binary].each do |how|
      md5 = Digest::MD5.new
      c.copy_data("COPY (SELECT * FROM #{T} ORDER BY id) TO STDOUT (FORMAT #{how})") do
        while (data = c.get_copy_data)
          md5 << data
        end
      end
      show("copy_out #{how}", md5.hexdigest)
    end
  end
end
check('transaction') do
  connect do |c|
    table(c, 'id int PRIMARY KEY')
    fails(ZeroDivisionError) do
      c.transaction do
        c.exec("INSERT INTO #{T} VALUES (1)")
        1 / 0
      end
    end
    c.transaction do
      c.exec("INSERT INTO #{T} VALUES (2)")
      c.exec('SAVEPOINT s')
      c.exec("INSERT INTO #{T} VALUES (3)")
      c.exec('ROLLBACK TO s')
    end
    c.exec('BEGIN')
    fails(PG::UniqueViolation, '23505') { c.exec_params("INSERT INTO #{T} VALUES ($1)", [2]) }
    must(c.transaction_status == PG::PQTRANS_INERROR)
    fails(PG::InFailedSqlTransaction, '25P02') { c.exec('SELECT 1') }
    c.exec('ROLLBACK')
    show('transaction', c.exec("SELECT array_agg(id) FROM #{T}").values)
  end
end
check('reconnect') do
  connect do |c|
    end_backend(c)
    fails(PG::Error) { c.exec('SELECT 1') }
    must(c.status == PG::CONNECTION_BAD)
    c.reset
    must(c.exec('SELECT 1').values == [['1']])
  end
end

def round_trip(binary)
  connect do |c|
    table(c, TYPES)
    raw = "\0\xff\\'".b
    text = ["-42", (2**53 + 1).to_s, '12345678901234567890.123456789', '0.1', 't', "t\u00ebxt \u{1f418}", { value: raw, format: 1 }, '2026-02-28',
            '2026-01-02 03:04:05.678901+00', '{1,NULL,3}', '{a,"b\"c",NULL}', '{"a": [1, null, "x"]}', '00000000-0000-0000-0000-000000000007', nil]
    if binary # in their binary formats, with their types said
      text[0] = { value: [-42].pack('l>'), format: 1, type: 23 }
      text[1] = { value: [2**53 + 1].pack('q>'), format: 1, type: 20 }
      text[3] = { value: [0.1].pack('G'), format: 1, type: 701 }
      text[4] = { value: "\1", format: 1, type: 16 }
      text[12] = { value: ("\0" * 15 + "\7").b, format: 1, type: 2950 }
    end
    c.exec_params("INSERT INTO #{T} VALUES (#{(1..14).map { |n| "$#{n}" }.join(', ')})", text)
    c.type_map_for_results = PG::BasicTypeMapForResults.new(c)
    got = c.exec_params("SELECT i, b, f, t, s, y, a, ta, z FROM #{T}", [], binary ? 1 : 0).values[0] unless binary
    got ||= c.exec_params("SELECT i, b, f, t, s, y, ARRAY[1, NULL, 3], ARRAY['a', 'b\"c', NULL], z FROM #{T}", [], 0).values[0].each_with_index.map do |v, k|
      k < 6 ? c.exec_params("SELECT #{%w[i b f t s y][k]} FROM #{T}", [], 1).getvalue(0, 0) : v
    end
    must(got == [-42, 2**53 + 1, 0.1, true, "t\u00ebxt \u{1f418}", raw, [1, nil, 3], ['a', 'b"c', nil], nil], got)
    c.type_map_for_results = PG::TypeMapAllStrings.new
    c.exec("SET timezone = 'UTC'")
    c.exec("SELECT r::text FROM #{T} AS r").getvalue(0, 0)
  end
end
check('types') { show('types', round_trip(false)) }
check('binary') { show('binary', round_trip(true)) }
check('injection') do
  connect do |c|
    table(c, 'v text')
    c.exec_params("INSERT INTO #{T} VALUES ($1)", [EVIL])
    must(c.exec_params("SELECT v FROM #{T} WHERE v = $1", [EVIL]).getvalue(0, 0) == EVIL)
    must(c.exec("SELECT v FROM #{T} WHERE v = #{c.escape_literal(EVIL)} AND v = '#{c.escape_string(EVIL)}'").ntuples == 1)
    show('injection', c.exec("SELECT md5(v) FROM #{T}").values)
  end
end
gate_only('refused') do
  connect do |c|
    3.times do
      says_why(fails(PG::InsufficientPrivilege, '42501') { c.exec_params('SELECT * FROM staff WHERE id = $1', [1]) })
      says_why(fails(PG::InsufficientPrivilege, '42501') { c.exec('SELECT * FROM staff') })
      says_why(fails(PG::InsufficientPrivilege, '42501') { c.prepare('', 'TABLE staff') })
      must(c.exec('SELECT 1').values == [['1']])
    end
  end
end
gate_only('refused_in_transaction') do
  connect do |c|
    table(c, 'id int')
    fails(PG::InsufficientPrivilege, '42501') do
      c.transaction do
        c.exec("INSERT INTO #{T} VALUES (1)")
        c.exec('DELETE FROM orders')
      end
    end
    must(c.exec("SELECT count(*) FROM #{T}").values == [['0']])
  end
end
check('notify') do
  connect do |a|
    connect do |b|
      a.exec('LISTEN drivers_ruby')
      b.exec("NOTIFY drivers_ruby, 'hello'")
      got = nil
      a.wait_for_notify(20) { |channel, _, payload| got = [channel, payload] }
      must(got == %w[drivers_ruby hello], got)
    end
  end
end
check('settings_pass') do
  connect do |c|
    File.readlines(ENVS['GH_T_SETTINGS'], chomp: true).each { |sql| c.exec(sql) }
    c.set_client_encoding('UTF8')
    must(c.exec('SELECT 1').values == [['1']])
  end
end
check('metadata') do
  connect do |c|
    r = c.exec('SELECT * FROM orders WHERE false')
    show('metadata', r.fields.each_index.map { |n| [r.fname(n), r.ftype(n), r.fmod(n), r.ftablecol(n)] }.inspect)
  end
end
gate_only('large_object') do
  connect do |c|
    e = fails(PG::Error) { c.transaction { c.lo_creat } }
    must(e.message.include?('lo_creat'), e)
    must(c.exec('SELECT 1').values == [['1']])
  end
end
