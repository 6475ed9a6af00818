# deploy/ha: that its files fit each other. With HA=1 (make test-ha) all of it on one machine, with the files as they are
# but for addresses, folders and passwords: three machines of etcd, Patroni and PostgreSQL, and one of HAProxy, PgBouncer,
# clients, commerce-relay and a consumer. The one that leads is killed under load: no order that was answered is lost,
# none is made twice, the era grows, and relay and consumer bring every event.

use strict;
use warnings;
use DBI;
use HttpSink;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Relay qw(complaints wait_until);
use Test::More;
use Time::HiRes qw(sleep time);

my %file = map { $_ => slurp_file("deploy/ha/$_") } qw(patroni.yml etcd haproxy.cfg pgbouncer.ini);
my $folder = PostgreSQL::Test::Utils::tempdir;

my @servers = $file{'haproxy.cfg'} =~ /^\tserver (db\d [\d.]+):5432$/mg;
my %address = map { split / / } @servers[ 0 .. 2 ];
is("@servers[3 .. 5]", "@servers[0 .. 2]", 'HAProxy looks for leader and standbys on the same machines');
is_deeply([ $file{'patroni.yml'} =~ /^    - ([\d.]+):2379$/mg ], [ @address{qw(db1 db2 db3)} ], 'Patroni asks etcd there');
my ($cluster) = $file{etcd} =~ /^ETCD_INITIAL_CLUSTER=(.*)/m;
is($cluster, join(',', map { "$_=http://$address{$_}:2380" } sort keys %address), 'and etcd is there');
my ($pooled) = $file{'pgbouncer.ini'} =~ /^shop = host=([\d.]+ port=\d+)/m;
like($file{'haproxy.cfg'}, qr/^\tbind \Q@{[ $pooled =~ s, port=,:,r ]}\E$/m, 'PgBouncer goes to HAProxy');
my ($asked) = $file{'haproxy.cfg'} =~ /check port (\d+)/;
like($file{'patroni.yml'}, qr/^restapi:\n  listen: [\d.]+:$asked\n/m, 'which asks Patroni');
like($file{'patroni.yml'}, qr/^    $_$/m, $_) for 'synchronous_mode: true', 'synchronous_mode_strict: true';
my ($ttl, $wait, $retry) = map { $file{'patroni.yml'} =~ /^    $_: (\d+)$/m } qw(ttl loop_wait retry_timeout);
cmp_ok($ttl, '>=', $wait + 2 * $retry, 'a leader has time to hear of etcd again');
SKIP:
{
	skip 'there is no haproxy', 1 if system('command -v haproxy >/dev/null') != 0;
	ok(system('haproxy', '-c', '-q', '-f', 'deploy/ha/haproxy.cfg') == 0, 'HAProxy understands its file');
}
if (!$ENV{HA})
{
	note('The rest is done by make test-ha.');
	done_testing();
	exit;
}

# Every machine is an address of the loopback.
my $net = join '.', 127, 1 + int rand 250, int rand 250;
my %process;
my $bin = qx(pg_config --bindir) =~ s/\n//r;
my $shop = "$net.100";

sub run_program
{
	my ($name, @command) = @_;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		setpgrp;
		open STDOUT, '>>', "$folder/$name.log" or POSIX::_exit(1);
		open STDERR, '>&', \*STDOUT or POSIX::_exit(1);
		exec @command or POSIX::_exit(1);
	}
	$process{$name} = $pid;
	return;
}

sub kill_program
{
	my ($name, $signal) = @_;
	my $pid = delete $process{$name} or return;
	kill $signal // 'KILL', $pid;
	local $?;
	waitpid $pid, 0;
	return;
}

# The postmaster of a machine and all its processes; nothing while there is none.
sub server_processes
{
	my ($machine) = @_;
	my ($pid) = eval { slurp_file("$folder/$machine/data/postmaster.pid") =~ /^(\d+)/ } or return;
	return ($pid, split ' ', qx(ps -o pid= --ppid $pid));
}

sub start_machine
{
	my ($machine) = @_;
	run_program("etcd-$machine", 'env', (map { /^(ETCD_\w+=.*)/ ? $1 : () } split /\n/, slurp_file("$folder/$machine/etcd")), 'etcd');
	run_program("patroni-$machine", 'patroni', "$folder/$machine/patroni.yml");
	return;
}

# All at once, as when its power goes.
sub kill_machine
{
	my ($machine) = @_;
	my @server = server_processes($machine);
	kill 'KILL', @process{ "etcd-$machine", "patroni-$machine" }, @server;
	kill_program("$_-$machine") for qw(etcd patroni);
	return;
}

$SIG{TERM} = $SIG{INT} = sub { exit 1 };
my $test = $$;
END
{
	local $?;
	if ($shop && $$ == $test)
	{
		append_to_file("$folder/enough", '');
		kill_program($_) for grep { /patroni/ } keys %process;
		for my $machine (qw(db1 db2 db3))
		{
			kill 'KILL', server_processes($machine);
		}
		kill_program($_) for keys %process;
	}
}

sub text_with
{
	my ($name, $machine) = @_;
	my $text = $file{$name};
	my $own = $address{ $machine // 'db1' };
	$text =~ s/^(ETCD_NAME|name)(=|: )db1$/$1$2$machine/m;
	$text =~ s/^(ETCD_(?:LISTEN|ADVERTISE|INITIAL_ADVERTISE)\w+=http:..)10\.0\.0\.1:/$1$own:/mg;
	$text =~ s/(listen|connect_address): 10\.0\.0\.1:/$1: $own:/g;
	$text =~ s/127\.0\.0\.1/$shop/g;
	$text =~ s/10\.0\.0\./$net./g;
	$text =~ s!/var/(lib/etcd|lib/postgresql/15)/shop!"$folder/$machine/" . ($1 eq 'lib/etcd' ? 'etcd.data' : 'data')!ge;
	$text =~ s!/usr/lib/postgresql/15/bin!$bin!g;
	$text =~ s!/var/lib/postgresql/\.patroni!$folder/$machine/!g;
	my $run = $machine ? "$folder/$machine" : $folder;
	$text =~ s!/var/run/postgresql|/var/log/postgresql|/etc/pgbouncer!$run!g;
	return $text;
}

mkdir "$folder/$_" for qw(db1 db2 db3);
for my $machine (qw(db1 db2 db3))
{
	append_to_file("$folder/$machine/$_", text_with($_, $machine)) for qw(etcd patroni.yml);
	start_machine($machine);
}
append_to_file("$folder/$_", text_with($_)) for qw(haproxy.cfg pgbouncer.ini);
append_to_file("$folder/userlist.txt", qq{"shop_app" "app"\n});
run_program('haproxy', 'haproxy', '-f', "$folder/haproxy.cfg");
run_program('pgbouncer', 'pgbouncer', "$folder/pgbouncer.ini");

sub dsn { return 'dbi:Pg:' . join ';', 'connect_timeout=5', @_ }

# As the superuser, on the one that leads.
sub leader
{
	my ($dbname) = @_;
	my $db;
	wait_until(sub {
		$db = DBI->connect(dsn("host=$shop", 'port=5000', "dbname=$dbname"), 'postgres', 'change-me-1', { PrintError => 0 });
	}, 120) or die "nobody leads: $DBI::errstr";
	$db->{RaiseError} = 1;
	return $db;
}

sub members
{
	my $members = qx(patronictl -c $folder/db1/patroni.yml list -f tsv 2>/dev/null);
	return map { /\t(db\d)\t.*\t(Leader|Sync Standby|Replica)\t(\w+)\t(\d+)/ ? { name => $1, role => $2, state => $3, timeline => $4 } : () } split /\n/, $members;
}

sub all_there
{
	return wait_until(sub {
		my @members = grep { $_->{state} =~ /running|streaming/ } members();
		my %timelines = map { $_->{timeline} => 1 } @members;
		join(' ', sort map { $_->{role} } @members) eq 'Leader Replica Sync Standby' && keys %timelines == 1;
	}, 180);
}
ok(all_there(), 'three servers: one leads, one has all that it has') or diag(qx(tail -n 20 $folder/*.log));

my ($users, $products) = (20, 4);
leader('postgres')->do('CREATE DATABASE shop');
my $db = leader('shop');
$db->do($_) for 'CREATE EXTENSION commerce', q{CREATE ROLE shop_app LOGIN PASSWORD 'app'}, q{SELECT commerce.grant_app('shop_app')},
	q{CREATE ROLE relay LOGIN PASSWORD 'relay'}, q{SELECT commerce.grant_relay('relay')},
	"SELECT commerce.charge_balance(commerce.create_user('U' || i, 'u' || i || '\@example.com'), 90000000) FROM generate_series(1, $users) i",
	"SELECT commerce.create_product(NULL, 'P' || i, 10, 1000000) FROM generate_series(1, $products) i",
	q{SELECT commerce.subscribe('relay', from_start => false)}, q{SELECT commerce.subscribe('consumer', from_start => false)};
my ($start) = $db->selectrow_array(q{SELECT cursor FROM commerce.subscription_status WHERE name = 'relay'});
my ($era) = $db->selectrow_array('SELECT max(era) FROM commerce.outbox');
$db->disconnect;

# What commerce-relay is given events by, as Relay and complaints() want it.
package Leader
{
	sub basedir { return $folder }
	sub connstr { return "host=$shop port=5000 dbname=$_[1]" }
	sub safe_psql
	{
		my $rows = main::leader('shop')->selectcol_arrayref($_[2]);
		return join "\n", @$rows;
	}
}
my $node = bless {}, 'Leader';
my $sink = HttpSink->new(folder => $folder)->start;
$sink->{start} = $start;
leader('shop')->do(q{SELECT commerce.set_http_sink('relay', ?, batch_size => 100)}, undef, $sink->url);
my $relay;
{
	local $ENV{PGPASSWORD} = 'relay';
	$relay = Relay->new(node => $node, dbname => 'shop', user => 'relay')->start;
}

# A client orders until it is told to stop, each order with its key until it is answered.
sub pooled { return DBI->connect(dsn("host=$shop", 'port=6432', 'dbname=shop'), 'shop_app', 'app', { PrintError => 0, RaiseError => 1, pg_server_prepare => 0 }) }

sub client
{
	my ($code) = @_;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	$SIG{$_} = 'DEFAULT' for qw(TERM INT);
	my $client;
	until (-e "$folder/enough")
	{
		eval { $client //= pooled(); $code->($client); 1 } or do { $client = undef; sleep 0.1 };
	}
	POSIX::_exit(0);
}

sub order_by
{
	my ($number) = @_;
	my ($n, $tries) = (1, 0);
	open my $log, '>', "$folder/orders.$number" or die $!;
	$log->autoflush;
	return client(sub {
		my ($client) = @_;
		$tries++;
		my ($id) = $client->selectrow_array('SELECT id FROM commerce.place_order(?, ?, idempotency_key => ?)', undef,
			1 + ($number + $n) % $users, sprintf('[{"product_id": %d, "quantity": 1}]', 1 + $n % $products), "$number-$n");
		printf $log "%s-%d %d %.3f %d\n", $number, $n++, $id, time, $tries;
		$tries = 0;
		sleep 0.05;
	});
}

sub consume
{
	open my $log, '>', "$folder/consumed" or die $!;
	$log->autoflush;
	return client(sub {
		my ($client) = @_;
		my $events = $client->selectall_arrayref(q{SELECT position, era, id FROM commerce.fetch_events('consumer', 500)});
		return sleep 0.05 unless @$events;
		print $log map { "@$_[1, 2]\n" } @$events;
		$client->do(q{SELECT commerce.ack_events('consumer', ?)}, undef, $events->[-1][0]);
	});
}
my @clients = ((map { order_by($_) } 1 .. 6), consume());

# The one that leads is killed, comes back, and it is another's turn.
my @killed;
for my $round (1 .. $ENV{HA_ROUNDS} // 2)
{
	sleep 10;
	my ($leader) = map { $_->{name} } grep { $_->{role} eq 'Leader' } members();
	push @killed, [ $leader, time ];
	kill_machine($leader);
	ok(wait_until(sub { grep { $_->{role} eq 'Leader' && $_->{name} ne $leader } members() }, 120), "round $round: another leads than $leader");
	sleep 5;
	start_machine($leader);
	ok(all_there(), "round $round: $leader is back and follows");
}
sleep 3;
append_to_file("$folder/enough", '');
waitpid $_, 0 for @clients;

my (%answered, @times);
for my $line (map { split /\n/, slurp_file("$folder/orders.$_") } 1 .. 6)
{
	my ($key, $id, $at, $tries) = split / /, $line;
	$answered{$key} = { id => $id, tries => $tries };
	push @times, $at;
}
@times = sort { $a <=> $b } @times;
for my $killed (@killed)
{
	my ($before) = grep { $_ <= $killed->[1] } reverse @times;
	my ($after) = grep { $_ > $killed->[1] + 1 } @times;
	diag(sprintf '%s was killed: no order was answered for %.1f s', $killed->[0], $after - $before);
}

$db = leader('shop');
my %there = map { @$_ } @{ $db->selectall_arrayref('SELECT id, 1 FROM commerce.orders') };
my @lost = grep { !$there{ $answered{$_}{id} } } sort keys %answered;
diag(sprintf '%d orders were answered, %d of them after more than one try', scalar keys %answered, scalar grep { $_->{tries} > 1 } values %answered);
cmp_ok(scalar(grep { $_->{tries} > 1 } values %answered), '>', 0, 'clients had to try again');
is("@lost", '', 'no order that was answered is lost');
my %ids = map { $_->{id} => 1 } values %answered;
is(scalar keys %ids, scalar keys %answered, 'each key has an order of its own');
cmp_ok(scalar(keys %there) - scalar(keys %ids), '<=', 6, 'no order was made twice: the last one of a client may have had no answer');
is_deeply($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are in order');
my $eras = $db->selectcol_arrayref('SELECT DISTINCT era FROM commerce.outbox ORDER BY era');
is(scalar @$eras, 1 + @killed, 'each promotion began an era');
cmp_ok($eras->[-1], '>', $era, 'which is greater');

my $events = $db->selectcol_arrayref(q{SELECT id FROM commerce.outbox WHERE commerce_private.format_position(era, key, position) > ?}, undef, $start);
ok(wait_until(sub { sleep 0.5; !$db->selectrow_array(q{SELECT count(*) FROM commerce.subscription_status WHERE name = 'relay' AND lag_events > 0}) }, 300), 'the relay comes to the end');
is(complaints($node, $sink), '', 'with every event, in order');

# whoever consumes goes on where the cursor is
my %seen = map { (split / /)[1] => 1 } split /\n/, slurp_file("$folder/consumed");
while (my @more = @{ $db->selectall_arrayref(q{SELECT position, id FROM commerce.fetch_events('consumer', 1000)}) })
{
	$seen{ $_->[1] } = 1 for @more;
	$db->do(q{SELECT commerce.ack_events('consumer', ?)}, undef, $more[-1][0]);
}
is(scalar(grep { !$seen{$_} } @$events), 0, 'and a consumer gets every event');

$relay->stop;
$sink->stop;
$db->disconnect;
done_testing();
