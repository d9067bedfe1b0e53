<?php
// What the programs in PHP share. One line for each check, as checks.py says it.
error_reporting(E_ALL);
set_error_handler(function ($no, $text) { throw new ErrorException($text, $no); });
define('GATE', getenv('GH_T_WAY') === 'gate');
define('T', getenv('GH_T_PREFIX') . 't');
const LARGE = 'SELECT n, md5(n::text) AS h FROM generate_series(1, 120000) AS n';
define('EVIL', "'); DROP TABLE " . T . "; -- \\' \$1 %s ? :x \"\u{2019}");
const TYPES = 'i int, b bigint, n numeric, f float8, t bool, s text, y bytea, d date, ts timestamptz, a int[], ta text[], j jsonb, u uuid, z text';

function check(string $name, callable $f): void
{
    try {
        $f();
        echo "ok $name\n";
    } catch (Throwable $e) {
        fwrite(STDERR, $e . "\n");
        echo "FAIL $name: ", substr(preg_replace('/\s+/', ' ', $e->getMessage()), 0, 300), ' line ', $e->getLine(), "\n";
    }
}

function gate_only(string $name, callable $f): void
{
    if (GATE) check($name, $f);
}

function show(string $name, $value): void
{
    echo "= $name ", is_string($value) ? $value : json_encode($value), "\n";
}

function must(bool $ok, $what = ''): void
{
    if (!$ok) throw new Exception('not so: ' . json_encode($what));
}

function says_why(string $text): void
{
    must(strpos($text, "select on public.staff is denied by the policy: A driver's test has no business with salaries.") !== false, $text);
    must(strpos($text, 'Read public.orders.') !== false, $text);
}

function end_backend(int $pid): void
{
    exec(getenv('GH_T_END_BACKEND') . ' ' . $pid, $out, $status);
    must($status === 0, 'end');
}

function wait_asleep(int $pid): void
{
    exec(getenv('GH_T_WAIT_ASLEEP') . ' ' . $pid, $out, $status);
    must($status === 0, 'asleep');
}

function settings(): array
{
    return file(getenv('GH_T_SETTINGS'), FILE_IGNORE_NEW_LINES);
}

class Sum
{
    private $count = 0;
    private $md5;

    public function __construct()
    {
        $this->md5 = hash_init('md5');
    }

    public function row($n, $h): void
    {
        must((int) $n === ++$this->count, $n);
        hash_update($this->md5, $h);
    }

    public function show(): void
    {
        show('large', $this->count . ' ' . hash_final($this->md5));
    }
}
