# commerce-relay when it or the server dies during delivery, and two relays for
# one subscription: every event arrives, in order within its aggregate.

use strict;
use warnings;
use HttpSink;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Relay qw(complaints wait_until);
use Test::More;
use Time::HiRes qw(sleep);

plan skip_all => 'commerce-relay was not built' if system('command -v commerce-relay >/dev/null') != 0;

my $node = PostgreSQL::Test::Cluster->new('relay_crash');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'\nrestart_after_crash = on");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	CREATE ROLE relay LOGIN;
	SELECT commerce.grant_relay('relay');
});

my $users = 0;
my $charges = 8;

# Makes users, with a number of events each, in one go.
sub make_events
{
	my ($count) = @_;
	my ($first, $last) = ($users + 1, $users + $count);
	$users = $last;
	$node->safe_psql('postgres', qq{
		CREATE TEMP TABLE made AS
		SELECT commerce.create_user('user ' || i, 'user' || i || '\@example.com') AS id FROM generate_series($first, $last) i;
		SELECT commerce.charge_balance(id, n * 100) FROM generate_series(1, $charges) n, made});
	return;
}

sub scene
{
	my ($name, %settings) = @_;
	my $sink = HttpSink->new(folder => $node->basedir, tls => 1, answer => $settings{answer} // sub { 200 });
	$sink->start;
	$node->safe_psql('postgres', sprintf q{
		SELECT commerce.subscribe('%s', from_start => false);
		SELECT commerce.set_http_sink('%s', '%s', 'mark', batch_size => %d)},
		$name, $name, $sink->url, $settings{batch} // 1);
	return $sink;
}

sub relay
{
	my ($name, $sink, $mark) = @_;
	return Relay->new(
		node => $node, user => 'relay',
		config => sprintf("[relay]\nca_file = %s\n[secret mark]\nurl = %s\nheader = X-Mark: $mark\n", $sink->certificate, $sink->url('/')),
		arguments => [ '-s' => $name, '-o' => 'fetch_size=50' ]);
}

sub caught_up
{
	my ($name) = @_;
	my ($status, $lag) = $node->psql('postgres',
		"SELECT lag_events + parked FROM commerce.subscription_status WHERE name = '$name'");
	return $status == 0 && $lag eq '0';
}

sub begin
{
	my ($name, %settings) = @_;
	my $sink = scene($name, %settings);
	$sink->{start} = $node->safe_psql('postgres', "SELECT cursor FROM commerce.subscription_status WHERE name = '$name'");
	return $sink;
}

sub is_complete
{
	my ($name, $sink, $what) = @_;
	ok(wait_until(sub { caught_up($name) }), "$what: everything is delivered");
	is(complaints($node, $sink), '', "$what: in order, and nothing is missing");
	return;
}

sub slow { return { status => 200, after => rand 0.02 } }

# now and then an error, so that there are parked events as well
sub slow_and_unreliable { return { status => rand() < 0.05 ? 500 : 200, after => rand 0.02 } }

for my $batch (1, 20)
{
	my $name = "killed$batch";
	my $sink = begin($name, answer => \&slow_and_unreliable, batch => $batch);
	my $relay = relay($name, $sink, 'a');
	make_events(10);
	for (1 .. 4)
	{
		my $before = () = $sink->events;
		# 36 events, so that as many come in any case as are waited for
		make_events(4);
		$relay->start;
		ok(wait_until(sub { (() = $sink->events) > $before + 30 }), "relay killed, batches of $batch: under way");
		$relay->kill_hard;
	}
	$relay->start;
	is_complete($name, $sink, "relay killed, batches of $batch");
	$relay->stop;
}

{
	my $sink = begin('server', answer => \&slow_and_unreliable);
	my $relay = relay('server', $sink, 'a')->start;
	for my $crash (
		sub {
			# the server starts again by itself when a session is killed
			my $pid = $node->safe_psql('postgres', q{
				SELECT pid FROM pg_stat_activity WHERE application_name = 'commerce-relay server'});
			kill 'KILL', $pid;
			wait_until(sub { slurp_file($node->logfile) =~ /all server processes terminated/ });
		},
		sub {
			$node->stop('immediate');
			$node->start;
		})
	{
		my $before = () = $sink->events;
		make_events(10);
		wait_until(sub { (() = $sink->events) > $before + 20 });
		$crash->();
		wait_until(sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
		ok(kill(0, $relay->{pid}), 'the relay outlives the server');
	}
	make_events(1);
	is_complete('server', $sink, 'server killed');
	like($relay->log, qr/connecting again/, 'and it says that it connects again');
	$relay->stop;
}

{
	my $sink = begin('backend', answer => \&slow);
	my $relay = relay('backend', $sink, 'a')->start;
	make_events(10);
	for (1 .. 3)
	{
		my $before = () = $sink->events;
		make_events(4);
		ok(wait_until(sub { (() = $sink->events) > $before + 5 }), 'sessions terminated: under way');
		$node->safe_psql('postgres', q{
			SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'commerce-relay backend'});
	}
	is_complete('backend', $sink, 'sessions terminated');
	$relay->stop;
}

{
	my $sink = begin('two', answer => \&slow);
	my %relays = map { ($_ => relay('two', $sink, $_)) } qw(a b);
	$_->start for values %relays;
	ok(wait_until(sub { grep { $_->log =~ /standing by/ } values %relays }), 'one of two relays stands by');
	make_events(5);
	is_complete('two', $sink, 'two relays');
	my %marks = map { ($_->{headers}{'x-mark'} => 1) } $sink->requests;
	is(scalar keys %marks, 1, 'only one has delivered');

	my ($first) = keys %marks;
	my ($second) = grep { $_ ne $first } keys %relays;
	my $before = () = $sink->events;
	make_events(10);
	ok(wait_until(sub { (() = $sink->events) > $before + 10 }), 'which is under way');
	$relays{$first}->kill_hard;
	make_events(1);
	is_complete('two', $sink, 'the other one goes on');
	my $order = join '', map { $_->{headers}{'x-mark'} } $sink->requests;
	like($order, qr/^$first+$second+$/, 'after the first, never with it');

	$relays{$first}->start;
	ok(wait_until(sub { $relays{$first}->log =~ /standing by/ }), 'the first one comes back and stands by');
	is($relays{$second}->stop, 0, 'the second one is stopped');
	make_events(1);
	is_complete('two', $sink, 'the first one goes on again');
	is($relays{$first}->run('--once'), 3, '--once, while another relay delivers, ends with status 3');
	$relays{$first}->stop;
}

$node->stop;
done_testing();
