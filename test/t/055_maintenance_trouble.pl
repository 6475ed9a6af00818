# What can befall the workers "commerce maintenance", and does not keep them from
# their work: they are terminated, somebody else folds for a long time, there are
# orders that cannot be ended, or not all at once, a database's settings are not for
# them, and another database was half dropped.

use strict;
use warnings;
use EscrowClients qw(check_books connect_to make_shop wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('trouble');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
commerce.escrow_max_resources = 16
commerce.max_pending_orders = 100
});
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

# An order that is not paid
sub order
{
	my ($product) = @_;
	return qq{
		SET commerce.payment_ttl = '1s';
		SELECT commerce.place_order(1, '[{"product_id": $product, "quantity": 1}]', payment_method => 'EXTERNAL');};
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

sub wait_until_expired
{
	my ($database, $left) = @_;
	return wait_until(sub { value(q{SELECT count(*) FROM commerce.orders WHERE status = 'PENDING_PAYMENT'}, $database) == ($left // 0) },
		'orders to expire');
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
	} . order(1), 'shop');
terminate('shop');
wait_until_expired('shop');
pass('a database is not forgotten whose first worker was terminated');

# Its last fold
make_shop($node, stock => [5]);
wait_until(sub { worker('postgres') }, 'a worker');
wait_until(sub { !worker('postgres') }, 'the worker to go');
my $locker = connect_to($node);
# who takes the last units writes an event, too: the lock waits for him, and the worker behind it
my $taker = connect_to($node);
$taker->begin_work;
$taker->do('SELECT commerce.adjust_stock(1, -5)');
$locker->begin_work;
$locker->do('LOCK TABLE commerce.outbox IN SHARE MODE', { pg_async => 1 });
wait_until(sub { value("SELECT cardinality(pg_blocking_pids($locker->{pg_pid})) > 0") eq 't' }, 'the lock to wait');
$taker->commit;
$locker->pg_result;
$taker->disconnect;
terminate('postgres', q{wait_event_type = 'Lock'});
$locker->rollback;
wait_until(sub { value(q{SELECT depleted FROM commerce_private.stock}) eq 't' }, 'the product to be depleted');
is(value(q{SELECT count(*) FROM commerce.outbox WHERE type = 'StockDepleted'}), '1',
	'StockDepleted is told when the worker is terminated that was about to');
check_books($node, 'worker terminated');

# Somebody who folds, and does not end
value('SELECT commerce.adjust_stock(1, 5)');
$locker->begin_work;
$locker->do('SELECT commerce.fold()');
value(order(1));
wait_until_expired('postgres');
pass('orders expire while somebody folds');
$locker->commit;
wait_until(sub { value('SELECT count(*) FROM commerce.stock_entries e JOIN commerce_private.stock s USING (product_id) WHERE e.xid >= s.mark') == 0 },
	'folding');
pass('and what he has not folded is folded');
check_books($node, 'two who fold');

# More products than counters, and an order that cannot be ended at all
value(q{SELECT commerce.create_product(NULL, 'Cup', 10, 1) FROM generate_series(2, 21)});
value(order(1));
my $first = value('SELECT max(id) FROM commerce.orders');
value(qq{
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN RAISE 'not this one'; END\$\$;
	CREATE TRIGGER refuse BEFORE UPDATE ON commerce.payments FOR EACH ROW WHEN (OLD.order_id = $first) EXECUTE FUNCTION refuse()});
value(join '', map { order($_) } 2 .. 21);
wait_until_expired('postgres', 1);
is(value(q{SELECT id FROM commerce.orders WHERE status = 'PENDING_PAYMENT'}), $first, 'what cannot be ended does not keep the rest');
wait_until(sub { !worker('postgres') }, 'the worker to go');
value('DROP TRIGGER refuse ON commerce.payments');
wait_until_expired('postgres');
check_books($node, 'the rest');

# Settings that are meant for others: the worker waits for who writes by hand
value(q{
	ALTER DATABASE postgres SET default_transaction_isolation = 'repeatable read';
	ALTER DATABASE postgres SET lock_timeout = '1s'});
wait_until(sub { !worker('postgres') }, 'the worker to go');
value(order(1));
wait_until(sub { !worker('postgres') }, 'the worker to go');
$locker->begin_work;
$locker->do('UPDATE commerce_private.stock SET on_hand = on_hand WHERE product_id = 1');
$locker->do('UPDATE commerce.users SET name = name WHERE id = 1');
wait_until(
	sub {
		worker('postgres', q{wait_event_type = 'Lock'})
		  || !value(q{SELECT count(*) FROM commerce.orders WHERE status = 'PENDING_PAYMENT'});
	},
	'the worker to wait');
$locker->do('SELECT pg_sleep(2)');
$locker->commit;
wait_until_expired('postgres');

# A database whose DROP was interrupted
value('CREATE DATABASE broken');
value(q{UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'broken'});
$locker->disconnect;
$node->restart;
value('SELECT commerce.adjust_stock(1, 1)');
wait_until(sub { worker('postgres') }, 'the worker');
wait_until(sub { !worker('postgres') }, 'the worker to go');

my $log = slurp_file($node->logfile);
unlike($log, qr/could not serialize access/, 'the isolation level is not for the worker');
unlike($log, qr/canceling statement due to lock timeout/, 'nor is the limit of waiting');
unlike($log, qr/invalid database/, 'no worker goes into a database that cannot be used');

done_testing();
