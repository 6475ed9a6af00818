# Waiting for units that may come back goes on when lock_timeout's own limit is
# reached, but not when statement_timeout is over, also when both are found at
# the same time: as after the process was stopped.

use strict;
use warnings;
use DBI;
use EscrowClients qw(connect_to wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'commerce'});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_product(NULL, 'Cup', 10, 1);
	SELECT commerce.charge_balance(commerce.create_user('U' || i, i || '@example.com'), 1000) FROM generate_series(1, 2) i;
});

my $order = q{SELECT commerce.place_order(%d, '[{"product_id": 1, "quantity": 1}]')};
my $first = connect_to($node);
$first->begin_work;
$first->do(sprintf $order, 1);

my ($output, $error) = ('', '');
my $second = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=sqlstate', '-d', $node->connstr('postgres'), '-c', "SET application_name = 'second'",
		'-c', "SET statement_timeout = '3s'", '-c', sprintf($order, 2) ],
	'<', \undef, '>', \$output, '2>', \$error, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
my $pid;
wait_until(sub { $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'second' AND wait_event_type = 'Lock'") },
	'the second to wait');
kill STOP => $pid;
sleep 4;
kill CONT => $pid;
$second->finish;
is($error, "ERROR:  57014\n", 'with the statement timeout');
$first->rollback;
is($node->safe_psql('postgres', 'SELECT commerce.available_stock(1)'), '1', 'nothing is sold');
is($node->safe_psql('postgres', 'SELECT waiters FROM commerce.escrow'), '0', 'nobody waits any more');

$first->disconnect;
$node->stop;
done_testing();
