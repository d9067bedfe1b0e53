# DBD::Pg: libpq, statements prepared on the server after the second time, asynchronous calls. One line for each check, as checks.py says it.
use strict;
use warnings;
use utf8;
use DBI;
use DBD::Pg qw(:pg_types :async);
use Digest::MD5 qw(md5_hex);
use Encode qw(encode);

my $gate = $ENV{GH_T_WAY} eq 'gate';
my $t = "$ENV{GH_T_PREFIX}t";
my $large = 'SELECT n, md5(n::text) AS h FROM generate_series(1, 120000) AS n';
my $evil = "'); DROP TABLE $t; -- \\' \$1 %s ? :x \"\x{2019}";
my $types = 'i int, b bigint, n numeric, f float8, t bool, s text, y bytea, d date, ts timestamptz, a int[], ta text[], j jsonb, u uuid, z text';
$| = 1;
binmode STDOUT, ':utf8';

sub check {
    my ($name, $f) = @_;
    if (eval { $f->(); 1 }) { print "ok $name\n" }
    else { my $why = join ' ', split ' ', $@; print STDERR "$why\n"; print "FAIL $name: ", substr($why, 0, 300), "\n" }
}
sub gate_only { check(@_) if $gate }
sub show { my ($name, @v) = @_; print "= $name ", join(' ', map { ref $_ ? '[' . join(',', map { $_ // 'NULL' } @$_) . ']' : $_ // 'NULL' } @v), "\n" }
sub must { my ($ok, $what) = @_; die 'not so: ' . ($what // '') . ' at line ' . (caller)[2] unless $ok }

sub dial {
    my (%more) = @_;
    my $dsn = "dbi:Pg:host=$ENV{GH_T_HOST};port=$ENV{GH_T_PORT};dbname=$ENV{GH_T_DATABASE};connect_timeout=20;sslmode=" .
        ($gate ? 'verify-full;sslrootcert=' . ($more{ca} // $ENV{GH_T_CA}) : 'disable') . ($more{dsn} // '');
    return DBI->connect($dsn, $ENV{GH_T_USER}, $more{password} // $ENV{GH_T_PASSWORD}, {RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_enable_utf8 => 1,
        AutoInactiveDestroy => 1, %{$more{attr} // {}}});
}
# fails CODE, FUNCTION: the handle's error must have that SQLSTATE.
sub fails {
    my ($code, $f) = @_;
    my $ok = eval { $f->(); 1 };
    my $why = $@;
    must(!$ok, "no error");
    my $state = $DBI::state;
    must(!defined $code || $state eq $code, "$state: $why");
    return $why;
}
sub table { my ($d, $columns) = @_; $d->do("SET client_min_messages = warning"); $d->do("DROP TABLE IF EXISTS $t"); $d->do("CREATE TABLE $t ($columns)") }
sub one { my ($d, $sql, @args) = @_; return scalar $d->selectrow_array($sql, undef, @args) }
sub end_backend { my ($d) = @_; must(0 == system("$ENV{GH_T_END_BACKEND} " . one($d, 'SELECT pg_backend_pid()') . ' >/dev/null'), 'end') }
sub wait_asleep { my ($pid) = @_; must(0 == system("$ENV{GH_T_WAIT_ASLEEP} $pid"), 'asleep') }
sub says_why {
    my ($why) = @_;
    must(index($why, "select on public.staff is denied by the policy: A driver's test has no business with salaries.") >= 0, $why);
    must(index($why, 'Read public.orders.') >= 0, $why);
}

check(connects => sub {
    my $d = dial(dsn => ";application_name=driver_perl;options='-c statement_timeout=60000'");
    must(one($d, 'SHOW statement_timeout') eq '1min' && one($d, 'SHOW application_name') eq 'driver_perl');
    must($d->ping && int($d->{pg_server_version} / 10000) == 15);
});
gate_only(verifies_tls => sub { must(fails(undef, sub { dial(ca => $ENV{GH_T_WRONG_CA}) }) =~ /certificate verify failed/) });
gate_only(bad_token => sub { must(fails(undef, sub { dial(password => 'not.a.token') }) =~ /must be a valid OIDC access token/) });
check(prepared => sub {
    my $d = dial(attr => {pg_switch_prepared => 1});
    my $s = $d->prepare('SELECT ?::int + 1, ?::text');
    for my $n (0 .. 49) { $s->execute($n, 'x'); my @r = $s->fetchrow_array; must($r[0] == $n + 1 && $r[1] eq 'x') }
});
check(prepared_many => sub {
    my $d = dial(attr => {pg_switch_prepared => 1});
    my @s = map { $d->prepare("SELECT $_ + ?::int") } 0 .. 199;
    for my $n (0 .. 199) { $s[$n]->execute(1); must($s[$n]->fetchrow_array == $n + 1) }
});
check(batch => sub {
    my $d = dial();
    table($d, 'id int PRIMARY KEY, v text');
    my $s = $d->prepare("INSERT INTO $t VALUES (?, ?)");
    $d->begin_work;
    must($s->execute_array({}, [0 .. 499], [map { "v$_" } 0 .. 499]) == 500);
    $d->commit;
    fails('22012', sub { $d->do("DELETE FROM $t; SELECT 1 / 0; SELECT 1") });
    show(batch => one($d, "SELECT count(*) || md5(string_agg(v, '' ORDER BY id)) FROM $t"));
});
sub sum_of {
    my ($next) = @_;
    my ($count, $md5) = (0, Digest::MD5->new);
    while (my @r = $next->()) { must($r[0] == ++$count); $md5->add($r[1]) }
    show(large => $count, $md5->hexdigest);
}
check(large => sub {
    my $s = dial()->prepare($large);
    $s->execute;
    sum_of(sub { $s->fetchrow_array });
});
check(stream => sub {    # it has no fetch size: SQL's cursors
    my $d = dial();
    $d->begin_work;
    $d->do("DECLARE c SCROLL CURSOR FOR $large");
    my @rows;
    sum_of(sub { @rows = @{$d->selectall_arrayref('FETCH 10000 FROM c')} unless @rows; return @{shift(@rows) // []} });
    must(one($d, 'FETCH ABSOLUTE 51 FROM c') == 51);
    $d->commit;
});
check(cancel => sub {
    my $d = dial();
    my $pid = one($d, 'SELECT pg_backend_pid()');
    my $s = $d->prepare('SELECT pg_sleep(60)', {pg_async => PG_ASYNC});
    $s->execute;
    wait_asleep($pid);    # a request that comes before the statement runs hits nothing
    my $got = $d->pg_cancel;
    must($got && $d->state eq '57014', "$got " . $d->state);
    must(one($d, 'SELECT 1') == 1);
});
check(copy_in => sub {
    my $d = dial();
    table($d, 'id int, v text');
    $d->do("COPY $t FROM STDIN");
    $d->pg_putcopydata("$_\ta\\tb\\\\$_\n") for 0 .. 49999;
    $d->pg_putcopyend;
    $d->do("COPY $t FROM STDIN");
    $d->pg_putcopydata("x\ta\n");
    fails('22P02', sub { $d->pg_putcopyend });
    show(copy_in => one($d, "SELECT count(*) || ' ' || sum(id) || ' ' || md5(string_agg(v, '' ORDER BY id)) FROM $t"));
});
check(copy_out => sub {
    my $d = dial();
    for my $how (qw(text csv binary)) {
        $d->do("COPY (SELECT * FROM $t ORDER BY id) TO STDOUT (FORMAT $how)");
        my ($md5, $row) = (Digest::MD5->new);
        $md5->add(utf8::is_utf8($row) ? encode('UTF-8', $row) : $row) while $d->pg_getcopydata($row) >= 0;
        show("copy_out $how", $md5->hexdigest);
    }
});
check(transaction => sub {
    my $d = dial();
    table($d, 'id int PRIMARY KEY');
    $d->begin_work; $d->do("INSERT INTO $t VALUES (1)"); $d->rollback;
    $d->begin_work; $d->do("INSERT INTO $t VALUES (2)"); $d->pg_savepoint('s'); $d->do("INSERT INTO $t VALUES (3)"); $d->pg_rollback_to('s'); $d->pg_release('s'); $d->commit;
    $d->begin_work;
    fails('23505', sub { $d->do("INSERT INTO $t VALUES (?)", undef, 2) });
    fails('25P02', sub { $d->do('SELECT 1') });
    $d->rollback;
    $d->begin_work;
    $d->{ReadOnly} = 1;
    fails('25006', sub { $d->do("INSERT INTO $t VALUES (4)") });
    $d->{ReadOnly} = 0;
    $d->rollback;
    show(transaction => one($d, "SELECT array_agg(id)::text FROM $t"));
});
check(reconnect => sub {
    my $d = dial();
    end_backend($d);
    fails(undef, sub { $d->do('SELECT 1') });
    must(!$d->ping);
    must(one(dial(), 'SELECT 1') == 1);
});
sub round_trip {
    my ($d) = dial();
    table($d, $types);
    my $s = $d->prepare("INSERT INTO $t VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    my @row = (-42, '9007199254740993', '12345678901234567890.123456789', 0.1, 't', "t\x{eb}xt \x{1f418}", "\0\xff\\'", '2026-02-28', '2026-01-02 03:04:05.678901+00',
        [1, undef, 3], ['a', 'b"c', undef], '{"a": [1, null, "x"]}', '00000000-0000-0000-0000-000000000007', undef);
    $s->bind_param(7, undef, {pg_type => PG_BYTEA});
    $s->execute(@row);
    my @got = $d->selectrow_array("SELECT i, b, n, f, t, s, y, a, ta, z FROM $t");
    must($got[0] == -42 && $got[1] eq $row[1] && $got[2] eq $row[2] && $got[3] == 0.1 && $got[4] && $got[5] eq $row[5] && $got[6] eq $row[6] && !defined $got[9]);
    must($got[7][0] == 1 && !defined $got[7][1] && $got[8][1] eq 'b"c' && !defined $got[8][2]);
    $d->do("SET timezone = 'UTC'");
    return one($d, "SELECT r::text FROM $t AS r");
}
check(types => sub { show(types => round_trip()) });
check(injection => sub {
    my $d = dial();
    table($d, 'v text');
    $d->do("INSERT INTO $t VALUES (?)", undef, $evil);
    must(one($d, "SELECT v FROM $t WHERE v = ?", $evil) eq $evil);
    must(one($d, "SELECT v FROM $t WHERE v = " . $d->quote($evil)) eq $evil);
    show(injection => one($d, "SELECT md5(v) FROM $t"));
});
gate_only(refused => sub {
    my $d = dial();
    for (1 .. 3) {
        says_why(fails('42501', sub { $d->selectall_arrayref('SELECT * FROM staff WHERE id = ?', undef, 1) }));
        says_why(fails('42501', sub { $d->do('SELECT * FROM staff') }));
        must(one($d, 'SELECT 1') == 1);
    }
});
gate_only(refused_in_transaction => sub {
    my $d = dial();
    table($d, 'id int');
    $d->begin_work;
    $d->do("INSERT INTO $t VALUES (1)");
    fails('42501', sub { $d->do('DELETE FROM orders') });
    fails('25P02', sub { $d->do('SELECT 1') });
    $d->rollback;
    must(one($d, "SELECT count(*) FROM $t") == 0);
});
check(notify => sub {
    my ($a, $b) = (dial(), dial());
    $a->do('LISTEN drivers_perl');
    $b->do("NOTIFY drivers_perl, 'hello'");
    my $got;
    for (1 .. 1000) { last if $got = $a->pg_notifies; select undef, undef, undef, 0.02 }
    must($got && $got->[0] eq 'drivers_perl' && $got->[2] eq 'hello');
});
check(settings_pass => sub {
    my $d = dial();
    open my $f, '<', $ENV{GH_T_SETTINGS} or die;
    while (my $sql = <$f>) { chomp $sql; $d->do($sql) }
    must($d->ping && one($d, 'SELECT 1') == 1);
});
check(metadata => sub {    # DBI's calls, which read the catalog
    my $d = dial();
    table($d, "id serial PRIMARY KEY, v text UNIQUE DEFAULT 'x', o int REFERENCES $t");
    my ($schema, $name) = split /\./, $t;
    my %all = (columns => $d->column_info(undef, $schema, $name, undef), tables => $d->table_info(undef, $schema, $name, 'TABLE'),
        keys => $d->primary_key_info(undef, $schema, $name), foreign => $d->foreign_key_info(undef, $schema, $name, undef, undef, undef),
        statistics => $d->statistics_info(undef, $schema, $name, 0, 0), views => $d->table_info(undef, 'public', '%', 'VIEW'));
    for my $what (sort keys %all) {
        my $rows = $all{$what} ? $all{$what}->fetchall_arrayref : [];
        show("metadata $what", scalar @$rows, md5_hex(encode('UTF-8', join '|', map { my $r = $_; map { $_ // 'NULL' } @$r[0 .. ($#$r > 20 ? 20 : $#$r)] } @$rows)));
    }
    $d->do("INSERT INTO $t (v) VALUES ('k')");
    must($d->last_insert_id(undef, $schema, $name, undef) == 1);
    show('metadata of types', scalar @{$d->type_info_all});
});
gate_only(large_object => sub {
    my $d = dial();
    $d->begin_work;
    my $made = eval { $d->pg_lo_creat($d->{pg_INV_WRITE}) };
    must(!$made, 'made one');
    $d->rollback;
    must(one($d, 'SELECT 1') == 1);
});
