# What can befall the workers "commerce maintenance", and does not keep them from
# their work: they are terminated.

use strict;
use warnings;
use EscrowClients qw(check_books connect_to make_shop wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('trouble');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'\n");
$node->start;

sub value
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

sub worker
{
	my ($database, $condition) = @_;
	return value(qq{SELECT pid FROM pg_stat_activity WHERE backend_type = 'commerce maintenance'
					AND datname = '$database' AND } . ($condition // 'true'));
}

# Ends a database's worker when it is as the condition says.
sub terminate
{
	my ($database, $condition) = @_;
	my $pid;
	wait_until(sub { $pid = worker($database, $condition) }, "a worker in $database");
	value("SELECT pg_terminate_backend($pid)");
	wait_until(sub { (worker($database) || 0) ne $pid }, 'its end');
	return;
}

# The first worker of a database, which is given the place of one that has no commerce
value(q{CREATE EXTENSION commerce; SELECT commerce.create_user('U', 'u@example.com')});
wait_until(sub { worker('postgres') }, 'a worker');
value('DROP EXTENSION commerce');
wait_until(sub { !worker('postgres') }, 'the worker to go');
value('CREATE DATABASE shop');
value(q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_user('U', 'u@example.com'), commerce.create_product(NULL, 'Cup', 10, 1);
	SET commerce.payment_ttl = '1s';
	SELECT commerce.place_order(1, '[{"product_id": 1, "quantity": 1}]', payment_method => 'EXTERNAL');
}, 'shop');
terminate('shop');
wait_until(sub { value('SELECT status FROM commerce.orders', 'shop') eq 'CANCELLED' }, 'the order to expire');
pass('a database is not forgotten whose first worker was terminated');

# Its last fold
make_shop($node, stock => [5]);
wait_until(sub { worker('postgres') }, 'a worker');
wait_until(sub { !worker('postgres') }, 'the worker to go');
my $locker = connect_to($node);
$locker->begin_work;
$locker->do('LOCK TABLE commerce.outbox IN SHARE MODE');
value('SELECT commerce.adjust_stock(1, -5)');
terminate('postgres', q{wait_event_type = 'Lock'});
$locker->rollback;
wait_until(sub { value(q{SELECT depleted FROM commerce.stock}) eq 't' }, 'the product to be depleted');
is(value(q{SELECT count(*) FROM commerce.outbox WHERE type = 'StockDepleted'}), '1',
	'StockDepleted is told when the worker is terminated that was about to');
check_books($node, 'worker terminated');

done_testing();
