# Rounds in which something is killed in the middle of the load: a backend, the maintenance worker, its launcher,
# the postmaster, commerce-relay. After each round what clients were told is committed is there, nothing else is,
# no unit is lost or sold twice; and the relay brings every event, in order.
#
# KILL_ROUNDS (8) says how many, KILL_SEED (1) which; every 40 rounds the shop is a new one.

use strict;
use warnings;
use EscrowClients qw(check_books check_history connect_to make_shop random_history start_clients stop_clients wait_until);
use HttpSink;
use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Relay qw(complaints);
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds   = $ENV{KILL_ROUNDS} || 8;
my $seed     = $ENV{KILL_SEED}   || 1;
my $renewed  = 40;
my %shop     = (products => 6, users => 40, coupons => 3);
my $has_relay = system('command -v commerce-relay >/dev/null') == 0;
my ($node, $sink, $relay, @history);

sub open_shop
{
	my ($name) = @_;
	$node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', q{
		shared_preload_libraries = 'commerce'
		restart_after_crash = on
		max_connections = 50
		commerce.maintenance_interval = 100ms});
	$node->start;
	make_shop($node, %shop, stock => [ (1000) x 6 ], quota => [ 10, 20, 40 ]);
	@history = ();
	return unless $has_relay;
	$node->safe_psql('postgres', q{CREATE ROLE relay LOGIN; SELECT commerce.grant_relay('relay'); SELECT commerce.subscribe('kills', from_start => false)});
	$sink = HttpSink->new(folder => $node->basedir)->start;
	$sink->{start} = $node->safe_psql('postgres', q{SELECT cursor FROM commerce.subscription_status WHERE name = 'kills'});
	$node->safe_psql('postgres', sprintf q{SELECT commerce.set_http_sink('kills', '%s', batch_size => 20)}, $sink->url);
	$relay = Relay->new(node => $node, user => 'relay', arguments => [ '-s' => 'kills', '-o' => 'timeout=10min' ])->start;
	return;
}

sub close_shop
{
	my ($what) = @_;
	check_history($node, \@history, $what);
	if ($has_relay)
	{
		ok(Relay::wait_until(sub {
			($node->psql('postgres', q{SELECT lag_events + parked FROM commerce.subscription_status WHERE name = 'kills'}))[1] eq '0' }, 600),
			"$what: every event is delivered");
		is(complaints($node, $sink), '', "$what: in order, and nothing is missing");
		$relay->stop;
		$sink->stop;
	}
	$node->stop('immediate');
	return;
}

# One process of the server that is such.
sub process
{
	my ($condition) = @_;
	my ($status, $pid) = $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $condition AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1");
	return $status == 0 ? $pid : '';
}

sub kill_process
{
	my ($signal, $condition) = @_;
	my $pid = process($condition) or return;
	kill $signal => $pid;
	return;
}

sub kill_postmaster
{
	my ($pid) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
	$node->kill9;
	wait_until(sub { !kill 0, $pid }, 'the postmaster to be gone');

	# its children have to notice first
	wait_until(sub {
		return 1 if $node->start(fail_ok => 1);
		$node->stop('fast', fail_ok => 1);
		return 0;
	}, 'the server to start');
	return;
}

my $worker = q{backend_type = 'commerce maintenance'};
my $launcher = q{backend_type = 'commerce maintenance launcher'};
my %kill = (
	'a backend is killed'         => sub { kill_process(KILL => q{backend_type = 'client backend' AND state = 'active'}) },
	'a backend is terminated'     => sub { kill_process(TERM => q{backend_type = 'client backend' AND state = 'active'}) },
	'the worker is killed'        => sub { kill_process(KILL => $worker) },
	'the worker is terminated'    => sub { kill_process(TERM => $worker) },
	'the launcher is killed'      => sub { kill_process(KILL => $launcher) },
	'the launcher is terminated'  => sub { kill_process(TERM => $launcher) },
	'the postmaster is killed'    => \&kill_postmaster,
	$has_relay ? ('the relay is killed' => sub { $relay->kill_hard; $relay->start }) : ());

# Each of them once, in some order, and again.
my @next;
my $begun = time;
for my $round (1 .. $rounds)
{
	srand($seed * 1_000_003 + $round);
	open_shop("kills$round") if $round % $renewed == 1;
	@next = shuffle(sort keys %kill) unless @next;
	my $what = "round $round: " . (my $victim = shift @next);
	local $ENV{ESCROW_SEED} = $seed * 1_000_003 + $round;
	my $clients = start_clients($node, 8, random_history(%shop));
	sleep 0.2 + rand 0.6;
	$kill{$victim}->();

	# clients go on with the server that has recovered
	wait_until(sub { eval { connect_to($node)->disconnect; 1 } }, 'the server to recover');
	sleep 0.2;
	my ($failed, $records) = stop_clients($clients);
	push @history, @$records;
	is($failed, 0, "$what: every client came to its end");
	wait_until(sub { ($node->psql('postgres', q{SELECT (SELECT count(*) FROM commerce.escrow WHERE pins > 0)
		+ (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename <> 'relay' AND pid <> pg_backend_pid())}))[1] eq '0' }, 'the last to go');
	check_books($node, $what);
	check_history($node, \@history, $what) if $round % 10 == 0;
	diag sprintf 'round %d of %d, %d s', $round, $rounds, time - $begun if $round % 10 == 0;
	close_shop($what) if $round % $renewed == 0 || $round == $rounds;
}
diag "repeat it with KILL_SEED=$seed KILL_ROUNDS=$rounds" unless Test::More->builder->is_passing;
done_testing();
