# DBD::mysql: MariaDB's C library; parameters in the text, and statements prepared at the server. One line for each check, as checks.py says it.
use strict;
use warnings;
use utf8;
use DBI qw(:sql_types);
use Digest::MD5 qw(md5_hex);

my $gate = $ENV{GH_T_WAY} eq 'gate';
my $t = "$ENV{GH_T_PREFIX}t";
my $large = 'SELECT n, h FROM drv_numbers ORDER BY n';
my $evil = "'); DROP TABLE $t; -- \\' \$1 %s ? :x \"\x{2019}";
my $types = "i int, b bigint, n decimal(30, 9), f double, t boolean, s text, y varbinary(40), d date, ts datetime(6), tm time(3), j longtext, e enum('a', 'b'), bt bit(8), u bigint unsigned, z text";
my @row = (-42, '9007199254740993', '123456789012345678901.123456789', '0.1', 1, "t\x{eb}xt \x{1f418}", "\0\xff\\'", '2026-02-28', '2026-01-02 03:04:05.678901', '05:06:07',
    '{"a": [1, null, "x"]}', 'b', "\5", '18446744073709551615', undef);
my $as_text = "SELECT CONCAT_WS('|', i, b, n, f, t, s, HEX(y), d, ts, tm, j, e, HEX(bt), u, COALESCE(z, 'NULL')) FROM $t";
$| = 1;
binmode STDOUT, ':utf8';

sub check {
    my ($name, $f) = @_;
    if (eval { $f->(); 1 }) { print "ok $name\n" }
    else { my $why = join ' ', split ' ', $@; print STDERR "$why\n"; print "FAIL $name: ", substr($why, 0, 300), "\n" }
}
sub gate_only { check(@_) if $gate }
sub show { my ($name, @v) = @_; print "= $name ", join(' ', map { $_ // 'NULL' } @v), "\n" }
sub must { my ($ok, $what) = @_; die 'not so: ' . ($what // '') . ' at line ' . (caller)[2] unless $ok }

sub dial {
    my (%more) = @_;
    my $dsn = "DBI:mysql:database=$ENV{GH_T_DATABASE};host=$ENV{GH_T_HOST};port=$ENV{GH_T_PORT};mysql_connect_timeout=20;mysql_local_infile=1" .
        ($gate ? ';mysql_ssl=1;mysql_ssl_optional=1;mysql_ssl_verify_server_cert=1;mysql_ssl_ca_file=' . ($more{ca} // $ENV{GH_T_CA}) : '') . ($more{dsn} // '');
    return DBI->connect($dsn, $ENV{GH_T_USER}, $more{password} // $ENV{GH_T_PASSWORD}, {RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, mysql_enable_utf8mb4 => 1, %{$more{attr} // {}}});
}
my %server = (dsn => ';mysql_server_prepare=1');
sub fails {
    my ($code, $f) = @_;
    my $ok = eval { $f->(); 1 };
    my $why = $@;
    must(!$ok, 'no error');
    must(!defined $code || $DBI::err == $code, "$DBI::err: $why");
    return $why;
}
sub table { my ($d, $columns) = @_; $d->do("DROP TABLE IF EXISTS $t"); $d->do("CREATE TABLE $t ($columns)") }
sub one { my ($d, $sql, @args) = @_; return scalar $d->selectrow_array($sql, undef, @args) }
sub says_why {
    my ($why) = @_;
    must(index($why, "select on shop.staff is denied by the policy: A driver's test has no business with salaries.") >= 0 && index($why, 'Read shop.orders.') >= 0, $why);
}
sub show_large {
    my ($s) = @_;
    my ($count, $md5) = (0, Digest::MD5->new);
    while (my @r = $s->fetchrow_array) { must($r[0] == ++$count, $count); $md5->add($r[1]) }
    show(large => $count, $md5->hexdigest);
}

check(connects => sub { my $d = dial(); must($d->ping && one($d, 'SELECT DATABASE()') eq 'shop' && $d->get_info(18) =~ /10[.]11/) });
gate_only(verifies_tls => sub { must(fails(undef, sub { dial(ca => $ENV{GH_T_WRONG_CA}) }) =~ /certificate|SSL/i) });
gate_only(bad_token => sub { must(fails(1045, sub { dial(password => 'not.a.token') }) =~ /must be a valid OIDC access token/) });
check(prepared => sub {
    for my $d (dial(), dial(%server)) {
        my $s = $d->prepare('SELECT ? + 1, ?');
        for my $n (0 .. 49) { $s->execute($n, 'x'); my @r = $s->fetchrow_array; must($r[0] == $n + 1 && $r[1] eq 'x'); $s->finish }
    }
});
check(prepared_many => sub {
    my $d = dial(%server);
    my @s = map { $d->prepare("SELECT $_ + ?") } 0 .. 199;
    for my $n (0 .. 199) { $s[$n]->execute(1); must($s[$n]->fetchrow_array == $n + 1); $s[$n]->finish }
});
check(batch => sub {
    my $d = dial(%server);
    table($d, 'id int PRIMARY KEY, v text');
    my $s = $d->prepare("INSERT INTO $t VALUES (?, ?)");
    $d->begin_work;
    must($s->execute_array({}, [0 .. 499], [map { "v$_" } 0 .. 499]) == 500);
    $d->commit;
    fails(1062, sub { $s->execute(1, 'twice') });
    show(batch => $d->selectrow_array("SELECT count(*), sum(id) FROM $t"));
});
check(large => sub {
    my $d = dial();
    my $s = $d->prepare($large);
    $s->execute;
    show_large($s);
    my $long = dial(%server)->prepare('SELECT length(?), md5(?)');
    $long->execute('x' x 3_000_000, 'y');
    show(long_data => $long->fetchrow_array);
});
check(stream => sub {
    my $d = dial(attr => {mysql_use_result => 1});
    my $s = $d->prepare($large);
    $s->execute;
    show_large($s);
    $s->execute;
    $s->fetchrow_array;
    $s->finish; # given up half way
    must(one($d, 'SELECT 5') == 5);
});
check(cancel => sub {
    my $d = dial();
    my $s = $d->prepare('SELECT SLEEP(60)', {async => 1});
    my $id = one($d, 'SELECT CONNECTION_ID()');
    $s->execute;
    must(0 == system("$ENV{GH_T_WAIT_ASLEEP} $id"), 'asleep');
    dial()->do("KILL QUERY $d->{mysql_thread_id}");
    my $slept = eval { $s->mysql_async_result; ($s->fetchrow_array)[0] } // 'error';
    must($slept eq '1' || $DBI::err == 1317, $slept);
});
check(load_local => sub {
    my $d = dial();
    table($d, 'id int, v text');
    my $path = "$ENV{GH_T_FOLDER}/lines.txt";
    open my $f, '>', $path or die $!;
    print $f "$_\ta\\tb\\\\$_\n" for 0 .. 49_999;
    close $f;
    must($d->do("LOAD DATA LOCAL INFILE '$path' INTO TABLE $t CHARACTER SET utf8mb4") == 50_000);
    show(load_local => $d->selectrow_array("SELECT count(*), sum(id), min(v), sum(crc32(v)) FROM $t"));
});
check(transaction => sub {
    my $d = dial();
    table($d, 'id int PRIMARY KEY');
    $d->begin_work;
    $d->do("INSERT INTO $t VALUES (1)");
    $d->rollback;
    $d->begin_work;
    $d->do("INSERT INTO $t VALUES (2)");
    fails(1062, sub { $d->do("INSERT INTO $t VALUES (2)") });
    $d->commit;
    show(transaction => $d->selectrow_array("SELECT group_concat(id) FROM $t"));
});
check(reconnect => sub {
    my $d = dial();
    must(0 == system("$ENV{GH_T_END_BACKEND} " . one($d, 'SELECT CONNECTION_ID()') . ' >/dev/null'), 'end');
    fails(undef, sub { $d->do('SELECT 1') });
    must(!$d->ping);
    $d = dial();
    $d->{mysql_auto_reconnect} = 1; # by itself, with the token that it has
    must(0 == system("$ENV{GH_T_END_BACKEND} " . one($d, 'SELECT CONNECTION_ID()') . ' >/dev/null'), 'end');
    must(one($d, 'SELECT 1') == 1);
});
sub round_trip {
    my ($d) = @_;
    table($d, $types);
    my $s = $d->prepare("INSERT INTO $t VALUES (" . join(', ', ('?') x 15) . ')');
    $s->bind_param($_ + 1, $row[$_], $_ == 6 || $_ == 12 ? SQL_BINARY : $_ < 2 || $_ == 4 ? SQL_INTEGER : SQL_VARCHAR) for 0 .. 14;
    $s->execute;
    my @got = $d->selectrow_array("SELECT y, s, u, z, ts FROM $t WHERE i = ?", undef, -42);
    must($got[0] eq $row[6] && $got[1] eq $row[5] && $got[2] eq $row[13] && !defined $got[3] && $got[4] eq $row[8], $got[1]);
    return one($d, $as_text);
}
check(types => sub { show(types => round_trip(dial())) });
check(binary => sub { show(binary => round_trip(dial(%server))) });
check(injection => sub {
    for my $d (dial(), dial(%server)) {
        table($d, 'v text');
        $d->do("INSERT INTO $t VALUES (?)", undef, $evil);
        must(one($d, "SELECT v FROM $t WHERE v = ?", $evil) eq $evil && one($d, "SELECT count(*) FROM $t WHERE v = " . $d->quote($evil)) == 1);
        show(injection => one($d, "SELECT md5(v) FROM $t"));
    }
});
gate_only(refused => sub {
    for my $d (dial(), dial(%server)) {
        for (1 .. 3) {
            says_why(fails(1142, sub { $d->selectrow_array('SELECT * FROM staff WHERE id = ?', undef, 1) }));
            must(one($d, 'SELECT 1') == 1);
        }
    }
});
gate_only(refused_in_transaction => sub {
    my $d = dial();
    table($d, 'id int');
    $d->begin_work;
    $d->do("INSERT INTO $t VALUES (1)");
    fails(1142, sub { $d->do('DELETE FROM orders') });
    $d->rollback;
    must(one($d, "SELECT count(*) FROM $t") == 0);
});
check(settings_pass => sub {
    my $d = dial();
    open my $f, '<', $ENV{GH_T_SETTINGS} or die $!;
    my @wrong;
    while (my $sql = <$f>) { chomp $sql; my $s = $d->prepare($sql); eval { $s->execute; 1 } or push @wrong, substr($sql, 0, 60) . ": $@" }
    must(!@wrong, "@wrong");
    must(one($d, 'SELECT 1') == 1);
});
check(metadata => sub {
    my $d = dial();
    my $s = $d->prepare('SELECT id, total AS t, placed_at FROM orders WHERE 1 = 0');
    $s->execute;
    show(metadata => @{$s->{NAME}}, @{$s->{TYPE}}, @{$s->{mysql_type_name}});
    table($d, 'id int AUTO_INCREMENT PRIMARY KEY, v text');
    $d->do("INSERT INTO $t (v) VALUES ('a')");
    must($d->last_insert_id(undef, undef, undef, undef) == 1);
    show(column_info => map { "$_->{COLUMN_NAME}:$_->{TYPE_NAME}" } @{$d->column_info(undef, 'shop', $t, '%')->fetchall_arrayref({})});
    show(primary_key => $d->primary_key(undef, 'shop', $t));
});
