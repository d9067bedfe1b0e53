<?php
// What the PHP programs for MySQL share, over and above php_checks.php.
require __DIR__ . '/php_checks.php';
const MY_LARGE = 'SELECT n, h FROM drv_numbers ORDER BY n';
const MY_TYPES = "i int, b bigint, n decimal(30, 9), f double, t boolean, s text, y varbinary(40), d date, ts datetime(6), tm time(3), j longtext, e enum('a', 'b'), bt bit(8), u bigint unsigned, z text";
const MY_ROW = ['-42', '9007199254740993', '123456789012345678901.123456789', '0.1', '1', "t\u{eb}xt \u{1f418}", "\0\xff\\'", '2026-02-28', '2026-01-02 03:04:05.678901', '05:06:07',
    '{"a": [1, null, "x"]}', 'b', "\5", '18446744073709551615', null];
define('MY_TEXT', "SELECT CONCAT_WS('|', i, b, n, f, t, s, HEX(y), d, ts, tm, j, e, HEX(bt), u, COALESCE(z, 'NULL')) FROM " . T);
define('LOADED', 'SELECT count(*), sum(id), min(v), sum(crc32(v)) FROM ' . T);

function my_says_why(string $text): void
{
    must(strpos($text, "select on shop.staff is denied by the policy: A driver's test has no business with salaries.") !== false, $text);
    must(strpos($text, 'Read shop.orders.') !== false, $text);
}

function infile(): string
{
    $path = getenv('GH_T_FOLDER') . '/lines.txt';
    $f = fopen($path, 'w');
    for ($n = 0; $n < 50000; $n++) fwrite($f, "$n\ta\\tb\\\\$n\n");
    fclose($f);
    return $path;
}

function all_pass(callable $run): void
{
    $wrong = [];
    foreach (settings() as $sql) {
        try {
            $run($sql);
        } catch (Throwable $e) {
            $wrong[] = substr($sql, 0, 60) . ': ' . $e->getMessage();
        }
    }
    must($wrong === [], $wrong);
}
