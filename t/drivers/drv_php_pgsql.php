<?php
// php-pgsql: libpq through PHP's own functions.
require __DIR__ . '/php_checks.php';

function dial(string $more = '', ?string $password = null)
{
    $tls = GATE ? 'sslmode=verify-full sslrootcert=' . getenv('GH_T_CA') : 'sslmode=disable';
    return pg_connect(sprintf("host=%s port=%s user=%s password='%s' dbname=%s connect_timeout=20 %s %s", getenv('GH_T_HOST'), getenv('GH_T_PORT'), getenv('GH_T_USER'),
        $password ?? getenv('GH_T_PASSWORD'), getenv('GH_T_DATABASE'), $tls, $more), PGSQL_CONNECT_FORCE_NEW);
}

function one($c, string $sql, array $args = [])
{
    return pg_fetch_result(pg_query_params($c, $sql, $args), 0, 0);
}

// Every result of what was sent, so that an error can be looked at: pg_query() shows its text alone.
function results($c): array
{
    $out = [];
    while ($r = pg_get_result($c)) $out[] = $r;
    return $out;
}

function state($r): ?string
{
    return pg_result_error_field($r, PGSQL_DIAG_SQLSTATE);
}

function error_of($c, string $sql, ?array $args = null)
{
    $args === null ? pg_send_query($c, $sql) : pg_send_query_params($c, $sql, $args);
    $all = results($c);
    return end($all);
}

function table($c, string $columns): void
{
    pg_query($c, 'SET client_min_messages = warning');
    pg_query($c, 'DROP TABLE IF EXISTS ' . T . '; CREATE TABLE ' . T . " ($columns)");
}

function fails(callable $f): string
{
    try {
        $f();
    } catch (ErrorException $e) {
        return $e->getMessage();
    }
    throw new Exception('no error');
}

check('connects', function () {
    $c = dial("application_name='driver php' options='-c statement_timeout=60000'");
    must(one($c, 'SHOW statement_timeout') === '1min' && one($c, 'SHOW application_name') === 'driver php' && pg_parameter_status($c, 'server_encoding') === 'UTF8');
    must(pg_ping($c));
});
gate_only('verifies_tls', function () {
    must(strpos(fails(function () { dial('sslrootcert=' . getenv('GH_T_WRONG_CA')); }), 'certificate verify failed') !== false);
});
gate_only('bad_token', function () {
    must(strpos(fails(function () { dial('', 'not.a.token'); }), 'must be a valid OIDC access token') !== false);
});
check('prepared', function () {
    $c = dial();
    pg_prepare($c, 'p', 'SELECT $1::int + 1, $2::text');
    for ($n = 0; $n < 50; $n++) must(pg_fetch_row(pg_execute($c, 'p', [$n, 'x'])) === [(string) ($n + 1), 'x'], $n);
});
check('prepared_many', function () {
    $c = dial();
    for ($n = 0; $n < 200; $n++) pg_prepare($c, "p$n", "SELECT $n + \$1::int");
    for ($n = 0; $n < 200; $n++) must(pg_fetch_result(pg_execute($c, "p$n", [1]), 0, 0) == $n + 1, $n);
    pg_query($c, 'DEALLOCATE ALL');
});
check('batch', function () {
    $c = dial();
    table($c, 'id int PRIMARY KEY, v text');
    pg_send_query($c, implode(';', array_map(fn ($n) => 'INSERT INTO ' . T . " VALUES ($n, 'v$n')", range(0, 499))));
    must(count(results($c)) === 500);
    must(state(error_of($c, 'DELETE FROM ' . T . '; SELECT 1 / 0; SELECT 1')) === '22012');
    show('batch', one($c, "SELECT count(*) || md5(string_agg(v, '' ORDER BY id)) FROM " . T));
});
check('large', function () {
    $r = pg_query(dial(), LARGE);
    $sum = new Sum();
    while ($row = pg_fetch_row($r)) $sum->row($row[0], $row[1]);
    $sum->show();
});
check('stream', function () {
    $c = dial();
    pg_query($c, 'BEGIN; DECLARE c SCROLL CURSOR FOR ' . LARGE);
    $sum = new Sum();
    do {
        $rows = pg_fetch_all(pg_query($c, 'FETCH 10000 FROM c'), PGSQL_NUM);
        foreach ($rows as $row) $sum->row($row[0], $row[1]);
    } while ($rows);
    $sum->show();
    must(one($c, 'FETCH ABSOLUTE 51 FROM c') === '51');
    pg_query($c, 'COMMIT');
});
check('cancel', function () {
    $c = dial();
    $pid = one($c, 'SELECT pg_backend_pid()');
    pg_send_query($c, 'SELECT pg_sleep(60)');
    wait_asleep($pid);
    must(pg_cancel_query($c));
    results($c);
    must(one($c, 'SELECT 1') === '1');
});
check('copy_in', function () {
    $c = dial();
    table($c, 'id int, v text');
    must(pg_copy_from($c, T, array_map(fn ($n) => "$n\ta\\tb\\\\$n\n", range(0, 49999))));
    pg_query($c, 'COPY ' . T . ' FROM STDIN');
    pg_put_line($c, "x\ta\n");
    pg_put_line($c, "\\.\n");
    try {
        pg_end_copy($c);
        must(false, 'no error');
    } catch (ErrorException $e) {
        must(strpos($e->getMessage(), 'invalid input syntax') !== false, $e->getMessage());
    }
    show('copy_in', one($c, "SELECT count(*) || ' ' || sum(id) || ' ' || md5(string_agg(v, '' ORDER BY id)) FROM " . T));
});
check('copy_out', function () {
    $rows = pg_copy_to(dial(), T);
    sort($rows);
    show('copy_out', count($rows) . ' ' . md5(implode('', $rows)));
});
check('transaction', function () {
    $c = dial();
    table($c, 'id int PRIMARY KEY');
    foreach (['BEGIN', 'INSERT INTO ' . T . ' VALUES (1)', 'ROLLBACK', 'BEGIN', 'INSERT INTO ' . T . ' VALUES (2)', 'SAVEPOINT s', 'INSERT INTO ' . T . ' VALUES (3)',
        'ROLLBACK TO s', 'COMMIT', 'BEGIN'] as $sql) pg_query($c, $sql);
    must(state(error_of($c, 'INSERT INTO ' . T . ' VALUES ($1)', [2])) === '23505' && pg_transaction_status($c) === PGSQL_TRANSACTION_INERROR);
    must(state(error_of($c, 'SELECT 1')) === '25P02');
    pg_query($c, 'ROLLBACK');
    show('transaction', one($c, 'SELECT array_agg(id) FROM ' . T));
});
check('reconnect', function () {
    $c = dial();
    end_backend((int) one($c, 'SELECT pg_backend_pid()'));
    fails(function () use ($c) { pg_query($c, 'SELECT 1'); });
    must(pg_connection_status($c) === PGSQL_CONNECTION_BAD);
    must(pg_connection_reset($c) && one($c, 'SELECT 1') === '1');
});
check('types', function () {
    $c = dial();
    table($c, TYPES);
    $row = ['-42', '9007199254740993', '12345678901234567890.123456789', '0.1', 't', "t\u{eb}xt \u{1f418}", pg_escape_bytea($c, "\0\xff\\'"), '2026-02-28',
        '2026-01-02 03:04:05.678901+00', '{1,NULL,3}', '{a,"b\"c",NULL}', '{"a": [1, null, "x"]}', '00000000-0000-0000-0000-000000000007', null];
    pg_query_params($c, 'INSERT INTO ' . T . ' VALUES (' . implode(', ', array_map(fn ($n) => "\$$n", range(1, 14))) . ')', $row);
    pg_query($c, "SET timezone = 'UTC'");
    $got = pg_fetch_row(pg_query($c, 'SELECT * FROM ' . T));
    must(pg_unescape_bytea($got[6]) === "\0\xff\\'", $got[6]);
    $got[6] = $row[6];
    must($got === $row, $got);
    show('types', one($c, 'SELECT r::text FROM ' . T . ' AS r'));
});
check('injection', function () {
    $c = dial();
    table($c, 'v text');
    pg_query_params($c, 'INSERT INTO ' . T . ' VALUES ($1)', [EVIL]);
    must(one($c, 'SELECT v FROM ' . T . ' WHERE v = $1', [EVIL]) === EVIL);
    must(pg_num_rows(pg_query($c, 'SELECT v FROM ' . T . ' WHERE v = ' . pg_escape_literal($c, EVIL) . " AND v = '" . pg_escape_string($c, EVIL) . "'")) === 1);
    show('injection', one($c, 'SELECT md5(v) FROM ' . T));
});
gate_only('refused', function () {
    $c = dial();
    for ($n = 0; $n < 3; $n++) {
        foreach ([error_of($c, 'SELECT * FROM staff WHERE id = $1', [1]), error_of($c, 'SELECT * FROM staff')] as $r) {
            must(state($r) === '42501');
            says_why(pg_result_error($r));
        }
        must(one($c, 'SELECT 1') === '1');
    }
});
gate_only('refused_in_transaction', function () {
    $c = dial();
    table($c, 'id int');
    pg_query($c, 'BEGIN; INSERT INTO ' . T . ' VALUES (1)');
    must(state(error_of($c, 'DELETE FROM orders')) === '42501' && state(error_of($c, 'SELECT 1')) === '25P02');
    pg_query($c, 'ROLLBACK');
    must(one($c, 'SELECT count(*) FROM ' . T) === '0');
});
check('notify', function () {
    [$a, $b] = [dial(), dial()];
    pg_query($a, 'LISTEN drivers_php');
    pg_query($b, "NOTIFY drivers_php, 'hello'");
    for ($n = 0, $got = false; $n < 1000 && !$got; $n++, usleep(20000)) $got = pg_get_notify($a);
    must($got && $got['payload'] === 'hello', $got);
});
check('settings_pass', function () {
    $c = dial();
    foreach (settings() as $sql) pg_query($c, $sql);
    must(pg_set_client_encoding($c, 'UTF8') === 0 && one($c, 'SELECT 1') === '1');
});
check('pool', function () { // pg_pconnect: the second time it is the same connection, after its reset
    $tls = GATE ? 'sslmode=verify-full sslrootcert=' . getenv('GH_T_CA') : 'sslmode=disable';
    $dsn = sprintf('host=%s port=%s user=%s password=%s dbname=%s %s', getenv('GH_T_HOST'), getenv('GH_T_PORT'), getenv('GH_T_USER'), getenv('GH_T_PASSWORD'),
        getenv('GH_T_DATABASE'), $tls);
    must(one(pg_pconnect($dsn), 'SELECT pg_backend_pid()') === one(pg_pconnect($dsn), 'SELECT pg_backend_pid()'));
});
check('metadata', function () { // what it asks of the catalog itself
    $c = dial();
    show('metadata', pg_meta_data($c, 'orders', true));
    $r = pg_query($c, 'SELECT * FROM orders WHERE false');
    show('metadata of a result', [pg_field_name($r, 2), pg_field_type($r, 2), pg_field_table($r, 2)]);
    table($c, 'id int, v text');
    must(pg_insert($c, T, ['id' => 1, 'v' => EVIL]) !== false && pg_select($c, T, ['id' => 1])[0]['v'] === EVIL && pg_update($c, T, ['v' => 'x'], ['id' => 1])
        && pg_delete($c, T, ['id' => 1]));
});
gate_only('large_object', function () {
    $c = dial();
    pg_query($c, 'BEGIN');
    must(strpos(fails(function () use ($c) { pg_lo_create($c); }), 'Unable to create') !== false);
    pg_query($c, 'ROLLBACK');
    must(one($c, 'SELECT 1') === '1');
});
