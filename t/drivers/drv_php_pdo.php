<?php
// PDO's pgsql driver: statements prepared on the server, or parameters put in by PDO.
require __DIR__ . '/php_checks.php';

function dial(array $options = [], string $more = '', ?string $password = null): PDO
{
    $tls = GATE ? 'sslmode=verify-full' . (strpos($more, 'sslrootcert') === false ? ';sslrootcert=' . getenv('GH_T_CA') : '') : 'sslmode=disable';
    return new PDO(sprintf('pgsql:host=%s;port=%s;dbname=%s;%s%s', getenv('GH_T_HOST'), getenv('GH_T_PORT'), getenv('GH_T_DATABASE'), $tls, $more), getenv('GH_T_USER'),
        $password ?? getenv('GH_T_PASSWORD'), $options + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}

function one(PDO $c, string $sql, array $args = [])
{
    $s = $c->prepare($sql);
    $s->execute($args);
    return $s->fetchColumn();
}

function fails(?string $state, callable $f): PDOException
{
    try {
        $f();
    } catch (PDOException $e) {
        must($state === null || $e->errorInfo[0] === $state, $e->getMessage());
        return $e;
    }
    throw new Exception('no error');
}

function table(PDO $c, string $columns): void
{
    $c->exec('DROP TABLE IF EXISTS ' . T . '; CREATE TABLE ' . T . " ($columns)");
}

check('connects', function () {
    $c = dial([], ";application_name=driver;options='-c statement_timeout=60000'");
    must(one($c, 'SHOW statement_timeout') === '1min' && strpos($c->getAttribute(PDO::ATTR_SERVER_VERSION), '15') === 0);
});
gate_only('verifies_tls', function () {
    must(strpos(fails(null, function () { dial([], ';sslrootcert=' . getenv('GH_T_WRONG_CA')); })->getMessage(), 'certificate verify failed') !== false);
});
gate_only('bad_token', function () {
    must(strpos(fails(null, function () { dial([], '', 'not.a.token'); })->getMessage(), 'must be a valid OIDC access token') !== false);
});
check('prepared', function () {
    foreach ([[], [PDO::ATTR_EMULATE_PREPARES => true], [PDO::PGSQL_ATTR_DISABLE_PREPARES => true]] as $options) {
        $s = dial($options)->prepare('SELECT CAST(:n AS int) + 1, CAST(:s AS text)');
        for ($n = 0; $n < 50; $n++) {
            $s->execute([':n' => $n, ':s' => 'x']);
            must($s->fetch(PDO::FETCH_NUM) === [$n + 1, 'x'], $n);
        }
    }
});
check('prepared_many', function () {
    $c = dial();
    $all = array_map(fn ($n) => $c->prepare("SELECT $n + CAST(? AS int)"), range(0, 199));
    foreach ($all as $n => $s) {
        $s->execute([1]);
        must($s->fetchColumn() === $n + 1, $n);
    }
});
check('batch', function () {
    $c = dial();
    table($c, 'id int PRIMARY KEY, v text');
    $c->exec(implode(';', array_map(fn ($n) => 'INSERT INTO ' . T . " VALUES ($n, 'v$n')", range(0, 499))));
    fails('22012', function () use ($c) { $c->exec('DELETE FROM ' . T . '; SELECT 1 / 0; SELECT 1'); });
    show('batch', one($c, "SELECT count(*) || md5(string_agg(v, '' ORDER BY id)) FROM " . T));
});
check('large', function () {
    $sum = new Sum();
    foreach (dial()->query(LARGE, PDO::FETCH_NUM) as $row) $sum->row($row[0], $row[1]);
    $sum->show();
});
check('stream', function () { // PDO's scrollable cursor: DECLARE, and FETCH for each row
    $c = dial();
    $c->beginTransaction();
    $s = $c->prepare('SELECT n FROM generate_series(1, 3000) AS n', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
    $s->execute();
    for ($n = 1; $row = $s->fetch(PDO::FETCH_NUM); $n++) must($row[0] === $n, $row);
    must($s->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 51)[0] === 51 && $s->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_PRIOR)[0] === 50);
    $c->commit();
    show('stream', $n);
});
check('copy_in', function () {
    $c = dial();
    table($c, 'id int, v text');
    must($c->pgsqlCopyFromArray(T, array_map(fn ($n) => "$n\ta\\tb\\\\$n\n", range(0, 49999))));
    fails('22P02', function () use ($c) { $c->pgsqlCopyFromArray(T, ["x\ta\n"]); });
    show('copy_in', one($c, "SELECT count(*) || ' ' || sum(id) || ' ' || md5(string_agg(v, '' ORDER BY id)) FROM " . T));
});
check('copy_out', function () {
    $rows = dial()->pgsqlCopyToArray(T);
    sort($rows);
    show('copy_out', count($rows) . ' ' . md5(implode('', $rows)));
});
check('transaction', function () {
    $c = dial();
    table($c, 'id int PRIMARY KEY');
    $c->beginTransaction();
    $c->exec('INSERT INTO ' . T . ' VALUES (1)');
    $c->rollBack();
    $c->beginTransaction();
    foreach (['INSERT INTO ' . T . ' VALUES (2)', 'SAVEPOINT s', 'INSERT INTO ' . T . ' VALUES (3)', 'ROLLBACK TO s'] as $sql) $c->exec($sql);
    $c->commit();
    $c->beginTransaction();
    fails('23505', function () use ($c) { one($c, 'INSERT INTO ' . T . ' VALUES (?)', [2]); });
    fails('25P02', function () use ($c) { one($c, 'SELECT 1'); });
    $c->rollBack();
    show('transaction', one($c, 'SELECT array_agg(id) FROM ' . T));
});
check('reconnect', function () {
    $c = dial();
    end_backend(one($c, 'SELECT pg_backend_pid()'));
    fails(null, function () use ($c) { $c->query('SELECT 1'); });
    must(one(dial(), 'SELECT 1') === 1);
});
check('types', function () {
    $c = dial();
    table($c, TYPES);
    $row = [-42, 9007199254740993, '12345678901234567890.123456789', '0.1', true, "t\u{eb}xt \u{1f418}", "\0\xff\\'", '2026-02-28', '2026-01-02 03:04:05.678901+00',
        '{1,NULL,3}', '{a,"b\"c",NULL}', '{"a": [1, null, "x"]}', '00000000-0000-0000-0000-000000000007', null];
    $s = $c->prepare('INSERT INTO ' . T . ' VALUES (' . implode(', ', array_fill(0, 14, '?')) . ')');
    foreach ($row as $n => $v) $s->bindValue($n + 1, $v, [0 => PDO::PARAM_INT, 1 => PDO::PARAM_INT, 4 => PDO::PARAM_BOOL, 6 => PDO::PARAM_LOB, 13 => PDO::PARAM_NULL][$n] ?? PDO::PARAM_STR);
    $s->execute();
    $c->exec("SET timezone = 'UTC'");
    $got = $c->query('SELECT * FROM ' . T)->fetch(PDO::FETCH_NUM);
    $got[6] = stream_get_contents($got[6]);
    $got[3] = (string) $got[3];
    must($got === $row, array_slice($got, 0, 6));
    show('types', one($c, 'SELECT CAST(r AS text) FROM ' . T . ' AS r'));
});
check('injection', function () {
    foreach ([false, true] as $emulate) {
        $c = dial([PDO::ATTR_EMULATE_PREPARES => $emulate]);
        table($c, 'v text');
        $c->prepare('INSERT INTO ' . T . ' VALUES (?)')->execute([EVIL]);
        must(one($c, 'SELECT v FROM ' . T . ' WHERE v = ?', [EVIL]) === EVIL);
        must(one($c, 'SELECT v FROM ' . T . ' WHERE v = :v', [':v' => EVIL]) === EVIL);
        show('injection', one($c, 'SELECT md5(v) FROM ' . T));
    }
});
gate_only('refused', function () {
    $c = dial();
    for ($n = 0; $n < 3; $n++) {
        says_why(fails('42501', function () use ($c) { one($c, 'SELECT * FROM staff WHERE id = ?', [1]); })->getMessage());
        says_why(fails('42501', function () use ($c) { $c->exec('SELECT * FROM staff'); })->getMessage());
        must(one($c, 'SELECT 1') === 1);
    }
});
gate_only('refused_in_transaction', function () {
    $c = dial();
    table($c, 'id int');
    $c->beginTransaction();
    $c->exec('INSERT INTO ' . T . ' VALUES (1)');
    fails('42501', function () use ($c) { $c->exec('DELETE FROM orders'); });
    fails('25P02', function () use ($c) { one($c, 'SELECT 1'); });
    $c->rollBack();
    must(one($c, 'SELECT count(*) FROM ' . T) === 0);
});
check('notify', function () {
    [$a, $b] = [dial(), dial()];
    $a->exec('LISTEN drivers_pdo');
    $b->exec("NOTIFY drivers_pdo, 'hello'");
    $got = $a->pgsqlGetNotify(PDO::FETCH_ASSOC, 20000);
    must($got && $got['payload'] === 'hello', $got);
});
check('settings_pass', function () {
    $c = dial();
    foreach (settings() as $sql) $c->exec($sql);
    must(one($c, 'SELECT 1') === 1);
});
check('pool', function () { // persistent: PDO's name for its pool of one
    $pid = one(dial([PDO::ATTR_PERSISTENT => true]), 'SELECT pg_backend_pid()');
    must(one(dial([PDO::ATTR_PERSISTENT => true]), 'SELECT pg_backend_pid()') === $pid);
});
check('metadata', function () { // getColumnMeta asks the catalog for the names of type and table
    $c = dial();
    $s = $c->query('SELECT * FROM orders WHERE false');
    show('metadata', [$s->getColumnMeta(0), $s->getColumnMeta(2), $s->getColumnMeta(4)]);
    table($c, 'id serial PRIMARY KEY, v text');
    $c->exec('INSERT INTO ' . T . " (v) VALUES ('k')");
    must($c->lastInsertId() === '1' && $c->lastInsertId(T . '_id_seq') === '1');
});
gate_only('large_object', function () {
    $c = dial();
    $c->beginTransaction();
    $e = fails(null, function () use ($c) { must($c->pgsqlLOBCreate() === false); throw new PDOException($c->errorInfo()[2] ?? 'refused'); });
    $c->rollBack();
    must(one($c, 'SELECT 1') === 1);
});
