# Counters do not outlive a crash: a backend or the postmaster is killed in the
# middle of the load, again and again, and afterwards everything that a client
# was told is committed is there, nothing else is, and no unit is lost or sold
# twice.
#
# ESCROW_CRASHES (5) is how many times. 50 is the long mode.

use strict;
use warnings;
use EscrowClients qw(connect_to make_shop start_clients stop_clients random_history check_books check_history
  run_clients sold_out wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $crashes = $ENV{ESCROW_CRASHES} || 5;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
restart_after_crash = on
max_connections = 50
commerce.maintenance_interval = 100ms
});
$node->start;

my %shop = (products => 6, users => 40, coupons => 3);
make_shop($node, %shop, stock => [ (1000) x 6 ], quota => [ 10, 20, 40 ]);

my @history;
for my $crash (1 .. $crashes)
{
	my $clients = start_clients($node, 8, random_history(%shop));
	my $what;
	sleep 0.5 + rand;
	if ($crash % 2)
	{
		$what = "crash $crash, of a backend";
		my $victim = $node->safe_psql('postgres', q{
			SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()
			ORDER BY random() LIMIT 1});
		kill KILL => $victim if $victim;
		# the clients go on with the server that has recovered
		wait_until(sub { eval { connect_to($node)->disconnect; 1 } }, 'the server to recover');
		sleep 0.3;
	}
	else
	{
		$what = "crash $crash, of the postmaster";
		my ($pid) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
		$node->kill9;
		wait_until(sub { !kill 0, $pid }, 'the postmaster to be gone');
		# its children have to notice first
		wait_until(sub {
			return 1 if $node->start(fail_ok => 1);
			$node->stop('fast', fail_ok => 1);
			return 0;
		}, 'the server to start');
	}
	my ($failed, $records) = stop_clients($clients);
	is($failed, 0, "$what: every client came to its end");
	# a connection that came before the end of the killed one was noticed says nothing of the server after it
	wait_until(sub { (eval { $node->safe_psql('postgres', 'SELECT count(*) FROM commerce.escrow WHERE pins > 0') } // 1) == 0 }, 'the last to go');
	push @history, @$records;
	check_history($node, \@history, $what);
	check_books($node, $what);
}

# What is left is sold to the last unit, and no further.
my $left = $node->safe_psql('postgres', q{
	SELECT commerce.adjust_stock(1, 100);
	SELECT commerce.adjust_stock(1, 100 - commerce.available_stock(1)) WHERE commerce.available_stock(1) <> 100;
	SELECT commerce.available_stock(1)});
my ($failed, $records) = run_clients($node, 8, sold_out());
is($failed, 0, 'afterwards: every client came to its end');
is(scalar @$records, 100, 'afterwards: exactly what there was is sold');
check_books($node, 'afterwards');

done_testing();
