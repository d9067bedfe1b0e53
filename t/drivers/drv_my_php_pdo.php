<?php
// PDO: parameters put into the text by the driver, and statements prepared at the server.
require __DIR__ . '/php_my_checks.php';

function dial(bool $emulate = false, ?string $password = null, ?string $ca = null, array $more = []): PDO
{
    $tls = GATE ? [PDO::MYSQL_ATTR_SSL_CA => $ca ?? getenv('GH_T_CA'), PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => true] : [];
    return new PDO(sprintf('mysql:host=%s;port=%s;dbname=%s;charset=utf8mb4', getenv('GH_T_HOST'), getenv('GH_T_PORT'), getenv('GH_T_DATABASE')), getenv('GH_T_USER'),
        $password ?? getenv('GH_T_PASSWORD'),
        $more + $tls + [PDO::ATTR_EMULATE_PREPARES => $emulate, PDO::ATTR_TIMEOUT => 20, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::MYSQL_ATTR_LOCAL_INFILE => true]);
}

function one(PDO $p, string $sql, array $args = [])
{
    $s = $p->prepare($sql);
    $s->execute($args);
    $value = $s->fetchColumn();
    $s->closeCursor();
    return $value;
}

function table(PDO $p, string $columns): void
{
    $p->exec('DROP TABLE IF EXISTS ' . T);
    $p->exec('CREATE TABLE ' . T . " ($columns)");
}

// The text of an error, with what it was caused by.
function fails(?int $code, callable $f): string
{
    try {
        $f();
    } catch (PDOException | ErrorException $e) {
        must($code === null || ($e->errorInfo[1] ?? $e->getCode()) === $code, $e->getMessage());
        return $e->getMessage() . ($e->getPrevious() ? $e->getPrevious()->getMessage() : '');
    }
    throw new Exception('no error');
}

check('connects', function () {
    $p = dial();
    must($p->query('SELECT 1, DATABASE()')->fetch(PDO::FETCH_NUM) == [1, 'shop']);
    must(strpos($p->getAttribute(PDO::ATTR_SERVER_VERSION), '10.11') !== false, $p->getAttribute(PDO::ATTR_SERVER_VERSION));
});
gate_only('verifies_tls', function () {
    must(stripos(fails(null, function () { dial(false, null, getenv('GH_T_WRONG_CA')); }), 'certificate') !== false);
});
gate_only('bad_token', function () {
    must(strpos(fails(1045, function () { dial(false, 'not.a.token'); }), 'must be a valid OIDC access token') !== false);
});
check('prepared', function () {
    $s = dial()->prepare('SELECT ? + 1, ?');
    for ($n = 0; $n < 50; $n++) {
        $s->execute([$n, 'x']);
        must($s->fetch(PDO::FETCH_NUM) == [$n + 1, 'x'], $n);
        $s->closeCursor();
    }
});
check('prepared_many', function () {
    $p = dial();
    $all = [];
    for ($n = 0; $n < 200; $n++) $all[] = $p->prepare("SELECT $n + ?");
    foreach ($all as $n => $s) {
        $s->execute([1]);
        must($s->fetchColumn() == $n + 1, $n);
        $s->closeCursor();
    }
});
check('batch', function () {
    $p = dial(true);
    table($p, 'id int PRIMARY KEY, v text');
    $s = $p->prepare('INSERT INTO ' . T . ' VALUES (:id, :v)');
    for ($n = 0; $n < 300; $n++) $s->execute(['id' => $n, 'v' => "v$n"]);
    $s = $p->query('SELECT 1; SELECT 2');
    $got = [];
    do $got[] = $s->fetchAll(PDO::FETCH_COLUMN); while ($s->nextRowset());
    must($got == [[1], [2]], $got);
    show('batch', array_map('strval', $p->query('SELECT count(*), sum(id) FROM ' . T)->fetch(PDO::FETCH_NUM)));
});
check('large', function () {
    $sum = new Sum();
    foreach (dial()->query(MY_LARGE, PDO::FETCH_NUM) as $row) $sum->row($row[0], $row[1]);
    $sum->show();
});
check('stream', function () {
    $p = dial(false, null, null, [PDO::MYSQL_ATTR_USE_BUFFERED_QUERY => false]);
    $sum = new Sum();
    $s = $p->query(MY_LARGE, PDO::FETCH_NUM);
    foreach ($s as $row) $sum->row($row[0], $row[1]);
    $sum->show();
    $s = $p->query(MY_LARGE, PDO::FETCH_NUM);
    $s->fetch();
    $s->closeCursor(); // given up half way
    must(one($p, 'SELECT 5') == 5);
});
check('load_local', function () {
    $p = dial();
    table($p, 'id int, v text');
    must($p->exec("LOAD DATA LOCAL INFILE '" . infile() . "' INTO TABLE " . T . ' CHARACTER SET utf8mb4') === 50000);
    show('load_local', array_map('strval', $p->query(LOADED)->fetch(PDO::FETCH_NUM)));
});
check('transaction', function () {
    $p = dial();
    table($p, 'id int PRIMARY KEY');
    $p->beginTransaction();
    $p->exec('INSERT INTO ' . T . ' VALUES (1)');
    $p->rollBack();
    $p->beginTransaction();
    $p->exec('INSERT INTO ' . T . ' VALUES (2)');
    fails(1062, function () use ($p) { $p->exec('INSERT INTO ' . T . ' VALUES (2)'); });
    must($p->inTransaction() && $p->commit());
    show('transaction', $p->query('SELECT * FROM ' . T)->fetchAll(PDO::FETCH_NUM));
});
check('reconnect', function () {
    $p = dial();
    end_backend((int) one($p, 'SELECT CONNECTION_ID()'));
    fails(null, function () use ($p) { $p->query('SELECT 1'); });
    must(one(dial(), 'SELECT 1') == 1);
});

function round_trip(bool $emulate): string
{
    $p = dial($emulate);
    table($p, MY_TYPES);
    $s = $p->prepare('INSERT INTO ' . T . ' VALUES (' . implode(', ', array_fill(0, 15, '?')) . ')');
    foreach (MY_ROW as $n => $v) {
        $int = $n === 0 || $n === 4;
        $s->bindValue($n + 1, $int ? (int) $v : $v, $v === null ? PDO::PARAM_NULL : ($int ? PDO::PARAM_INT : PDO::PARAM_STR));
    }
    $s->execute();
    $s = $p->prepare('SELECT * FROM ' . T . ' WHERE i = ?');
    $s->execute([-42]);
    $got = $s->fetch(PDO::FETCH_NUM);
    must($got[6] === MY_ROW[6] && $got[5] === MY_ROW[5] && $got[0] == -42 && $got[14] === null, $got[5]);
    return one($p, MY_TEXT);
}
check('types', function () { show('types', round_trip(true)); });
check('binary', function () { show('binary', round_trip(false)); });
check('injection', function () {
    foreach ([true, false] as $emulate) {
        $p = dial($emulate);
        table($p, 'v text');
        $p->prepare('INSERT INTO ' . T . ' VALUES (?)')->execute([EVIL]);
        must(one($p, 'SELECT v FROM ' . T . ' WHERE v = ?', [EVIL]) === EVIL && one($p, 'SELECT count(*) FROM ' . T . ' WHERE v = ' . $p->quote(EVIL)) == 1);
        show('injection', one($p, 'SELECT md5(v) FROM ' . T));
    }
});
gate_only('refused', function () {
    foreach ([true, false] as $emulate) {
        $p = dial($emulate);
        my_says_why(fails(1142, function () use ($p) { one($p, 'SELECT * FROM staff WHERE id = ?', [1]); }));
        must(one($p, 'SELECT 1') == 1);
    }
});
gate_only('refused_in_transaction', function () {
    $p = dial();
    table($p, 'id int');
    $p->beginTransaction();
    $p->exec('INSERT INTO ' . T . ' VALUES (1)');
    fails(1142, function () use ($p) { $p->exec('DELETE FROM orders'); });
    $p->rollBack();
    must(one($p, 'SELECT count(*) FROM ' . T) == 0);
});
check('settings_pass', function () {
    $p = dial();
    all_pass(function ($sql) use ($p) { $p->query($sql)->closeCursor(); });
});
check('pool', function () { // a persistent connection: the second time it is the same
    $more = [PDO::ATTR_PERSISTENT => true];
    $first = dial(false, null, null, $more);
    $id = one($first, 'SELECT CONNECTION_ID()');
    $first = null;
    must(one(dial(false, null, null, $more), 'SELECT CONNECTION_ID()') == $id);
});
check('metadata', function () {
    $s = dial()->query('SELECT id, total AS t, placed_at FROM orders WHERE 1 = 0');
    show('metadata', array_map(fn ($n) => [$s->getColumnMeta($n)['name'], $s->getColumnMeta($n)['native_type'], $s->getColumnMeta($n)['len']], range(0, 2)));
});
