<?php
// mysqli (mysqlnd): text, statements prepared at the server with long data, cursors, several statements, KILL.
require __DIR__ . '/php_my_checks.php';
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

function dial(?string $password = null, ?string $ca = null): mysqli
{
    $m = mysqli_init();
    $m->options(MYSQLI_OPT_CONNECT_TIMEOUT, 20);
    $m->options(MYSQLI_OPT_LOCAL_INFILE, true);
    if (GATE) {
        $m->ssl_set(null, null, $ca ?? getenv('GH_T_CA'), null, null);
        $m->options(MYSQLI_OPT_SSL_VERIFY_SERVER_CERT, true);
    }
    $m->real_connect(getenv('GH_T_HOST'), getenv('GH_T_USER'), $password ?? getenv('GH_T_PASSWORD'), getenv('GH_T_DATABASE'), (int) getenv('GH_T_PORT'), null, GATE ? MYSQLI_CLIENT_SSL : 0);
    $m->set_charset('utf8mb4');
    return $m;
}

function one(mysqli $m, string $sql)
{
    return $m->query($sql)->fetch_row()[0];
}

function table(mysqli $m, string $columns): void
{
    $m->query('DROP TABLE IF EXISTS ' . T);
    $m->query('CREATE TABLE ' . T . " ($columns)");
}

// The text of an error, with what it was caused by.
function fails(?int $code, callable $f): string
{
    try {
        $f();
    } catch (mysqli_sql_exception | ErrorException $e) {
        must($code === null || $e->getCode() === $code, $e->getMessage());
        return $e->getMessage() . ($e->getPrevious() ? $e->getPrevious()->getMessage() : '');
    }
    throw new Exception('no error');
}

check('connects', function () {
    $m = dial();
    must($m->query('SELECT 1, DATABASE()')->fetch_row() === ['1', 'shop'] && @$m->ping() && $m->character_set_name() === 'utf8mb4');
});
gate_only('verifies_tls', function () {
    must(stripos(fails(null, function () { dial(null, getenv('GH_T_WRONG_CA')); }), 'certificate') !== false);
});
gate_only('bad_token', function () {
    must(strpos(fails(1045, function () { dial('not.a.token'); }), 'must be a valid OIDC access token') !== false);
});
check('prepared', function () {
    $m = dial();
    $s = $m->prepare('SELECT ? + 1, ?');
    for ($n = 0; $n < 50; $n++) {
        $x = 'x';
        $s->bind_param('is', $n, $x);
        $s->execute();
        $r = $s->get_result()->fetch_row();
        must((int) $r[0] === $n + 1 && $r[1] === 'x', $r);
    }
    $s->reset();
    $s->close();
});
check('prepared_many', function () {
    $m = dial();
    $all = [];
    for ($n = 0; $n < 200; $n++) $all[] = $m->prepare("SELECT $n + ?");
    foreach ($all as $n => $s) {
        $s->execute([1]);
        must((int) $s->get_result()->fetch_row()[0] === $n + 1, $n);
    }
});
check('batch', function () {
    $m = dial();
    table($m, 'id int PRIMARY KEY, v text');
    $s = $m->prepare('INSERT INTO ' . T . ' VALUES (?, ?)');
    for ($n = 0; $n < 500; $n++) $s->execute([$n, "v$n"]);
    $m->multi_query('SELECT 1; INSERT INTO ' . T . " VALUES (1000, 'x'); SELECT 2, 3");
    $got = [];
    do {
        if ($r = $m->store_result()) $got[] = $r->fetch_row();
    } while ($m->more_results() && $m->next_result());
    must($got === [['1'], ['2', '3']], $got);
    $m->multi_query('SELECT 1; INSERT INTO ' . T . " VALUES (1, 'twice'); SELECT 2");
    $m->store_result();
    fails(1062, function () use ($m) { $m->next_result(); });
    show('batch', $m->query('SELECT count(*), sum(id) FROM ' . T)->fetch_row());
});
check('large', function () {
    $m = dial();
    $sum = new Sum();
    foreach ($m->query(MY_LARGE) as $row) $sum->row($row['n'], $row['h']);
    $sum->show();
    $s = $m->prepare('SELECT length(?), md5(?)');
    $null = null;
    $s->bind_param('bs', $null, $null);
    for ($n = 0; $n < 20; $n++) $s->send_long_data(0, str_repeat('x', 100000));
    $null = 'y';
    $s->execute();
    show('long_data', $s->get_result()->fetch_row());
});
check('stream', function () {
    $m = dial();
    $sum = new Sum();
    $r = $m->query(MY_LARGE, MYSQLI_USE_RESULT);
    while ($row = $r->fetch_row()) $sum->row($row[0], $row[1]);
    $r->free();
    $sum->show();
    $r = $m->query(MY_LARGE, MYSQLI_USE_RESULT); // given up half way
    $r->fetch_row();
    $r->free();
    must(one($m, 'SELECT 5') === '5');
    $s = $m->prepare('SELECT n, h FROM drv_numbers WHERE n > ? ORDER BY n LIMIT 1000');
    $s->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
    $s->execute([10]);
    $s->bind_result($n, $h);
    for ($count = 0; $s->fetch(); $count++) must($n === 11 + $count, $n);
    must($count === 1000, $count);
});
check('cancel', function () {
    $m = dial();
    $id = one($m, 'SELECT CONNECTION_ID()');
    $m->query('SELECT SLEEP(60)', MYSQLI_ASYNC);
    wait_asleep((int) $id);
    $k = dial();
    $k->query('KILL QUERY ' . $m->thread_id);
    try {
        must($m->reap_async_query()->fetch_row()[0] === '1');
    } catch (mysqli_sql_exception $e) {
        must($e->getCode() === 1317, $e->getMessage());
    }
    must(one($m, 'SELECT 1') === '1');
});
check('load_local', function () {
    $m = dial();
    table($m, 'id int, v text');
    $m->query("LOAD DATA LOCAL INFILE '" . infile() . "' INTO TABLE " . T . ' CHARACTER SET utf8mb4');
    must($m->affected_rows === 50000, $m->affected_rows);
    show('load_local', $m->query(LOADED)->fetch_row());
});
check('transaction', function () {
    $m = dial();
    table($m, 'id int PRIMARY KEY');
    $m->autocommit(false);
    $m->query('INSERT INTO ' . T . ' VALUES (1)');
    $m->rollback();
    $m->begin_transaction(MYSQLI_TRANS_START_READ_WRITE);
    $m->query('INSERT INTO ' . T . ' VALUES (2)');
    $m->savepoint('s');
    $m->query('INSERT INTO ' . T . ' VALUES (3)');
    $m->query('ROLLBACK TO SAVEPOINT `s`');
    $m->commit();
    fails(1062, function () use ($m) { $m->query('INSERT INTO ' . T . ' VALUES (2)'); });
    $m->rollback();
    $m->begin_transaction(MYSQLI_TRANS_START_READ_ONLY | MYSQLI_TRANS_START_WITH_CONSISTENT_SNAPSHOT);
    fails(1792, function () use ($m) { $m->query('INSERT INTO ' . T . ' VALUES (4)'); });
    $m->rollback();
    show('transaction', $m->query('SELECT * FROM ' . T)->fetch_all());
});
check('reconnect', function () {
    $m = dial();
    end_backend((int) one($m, 'SELECT CONNECTION_ID()'));
    fails(null, function () use ($m) { $m->query('SELECT 1'); });
    must(one(dial(), 'SELECT 1') === '1');
});
check('types', function () {
    $m = dial();
    table($m, MY_TYPES);
    $values = array_map(fn ($v) => $v === null ? 'NULL' : "'" . $m->real_escape_string($v) . "'", MY_ROW);
    $m->query('INSERT INTO ' . T . ' VALUES (' . implode(', ', $values) . ')');
    $got = $m->query('SELECT * FROM ' . T)->fetch_row();
    must($got[6] === MY_ROW[6] && $got[5] === MY_ROW[5] && $got[14] === null, $got[5]);
    show('types', one($m, MY_TEXT));
});
check('binary', function () {
    $m = dial();
    table($m, MY_TYPES);
    $s = $m->prepare('INSERT INTO ' . T . ' VALUES (' . implode(', ', array_fill(0, 15, '?')) . ')');
    $row = MY_ROW;
    [$row[0], $row[1], $row[3], $row[4]] = [-42, 9007199254740993, 0.1, 1];
    $s->bind_param('iisdissssssssss', ...$row);
    $s->execute();
    $s = $m->prepare('SELECT * FROM ' . T . ' WHERE i = ?');
    $s->execute([-42]);
    $got = $s->get_result()->fetch_row();
    must($got[0] === -42 && $got[1] === 9007199254740993 && $got[3] === 0.1 && $got[6] === MY_ROW[6] && $got[8] === MY_ROW[8] && $got[14] === null, $got[8]);
    show('binary', one($m, MY_TEXT));
});
check('injection', function () {
    $m = dial();
    table($m, 'v text');
    $m->prepare('INSERT INTO ' . T . ' VALUES (?)')->execute([EVIL]);
    must(one($m, 'SELECT v FROM ' . T . " WHERE v = '" . $m->real_escape_string(EVIL) . "'") === EVIL);
    show('injection', one($m, 'SELECT md5(v) FROM ' . T));
});
gate_only('refused', function () {
    $m = dial();
    for ($n = 0; $n < 3; $n++) {
        my_says_why(fails(1142, function () use ($m) { $m->query('SELECT * FROM staff'); }));
        my_says_why(fails(1142, function () use ($m) { $m->prepare('SELECT * FROM staff WHERE id = ?'); }));
        must(one($m, 'SELECT 1') === '1');
    }
});
gate_only('refused_in_transaction', function () {
    $m = dial();
    table($m, 'id int');
    $m->begin_transaction();
    $m->query('INSERT INTO ' . T . ' VALUES (1)');
    fails(1142, function () use ($m) { $m->query('DELETE FROM orders'); });
    $m->rollback();
    must(one($m, 'SELECT count(*) FROM ' . T) === '0');
});
check('settings_pass', function () {
    $m = dial();
    all_pass(function ($sql) use ($m) { $m->query($sql); });
    must($m->select_db('shop') && $m->set_charset('utf8') && one($m, 'SELECT 1') === '1');
});
check('metadata', function () {
    $m = dial();
    $r = $m->query('SELECT id, total AS t, placed_at, 1 + 1 FROM orders WHERE 1 = 0');
    show('metadata', array_map(fn ($f) => [$f->name, $f->type, $f->length, $f->decimals], $r->fetch_fields()));
    table($m, 'id int AUTO_INCREMENT PRIMARY KEY, v text');
    $m->query('INSERT INTO ' . T . " (v) VALUES ('a'), ('b')");
    must($m->insert_id === 1 && $m->affected_rows === 2);
    show('metadata of a statement', $m->prepare('SELECT * FROM orders WHERE id = ?')->result_metadata()->field_count);
});
