# The workers "commerce maintenance": they come when something happens, do what
# is to be done, go when nothing does, and survive what a server's life brings.

use strict;
use warnings;
use EscrowClients qw(check_books connect_to make_shop wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('maintenance');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
max_prepared_transactions = 5
max_replication_slots = 1
wal_level = logical
});
$node->start;
make_shop($node, stock => [ 10, 10 ], quota => [5]);

sub value
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

sub workers
{
	my ($database) = @_;
	return value(qq{SELECT pid FROM pg_stat_activity WHERE backend_type = 'commerce maintenance' AND datname = '$database'});
}

sub launcher
{
	return value(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'commerce maintenance launcher'});
}

my $unfolded = q{SELECT (SELECT count(*) FROM commerce.stock_entries e JOIN commerce_private.stock s USING (product_id) WHERE e.xid >= s.mark)
	+ (SELECT count(*) FROM commerce.coupon_issues i JOIN commerce_private.coupon_quota q USING (coupon_id) WHERE i.xid >= q.mark)};

like(launcher(), qr/^\d+$/, 'the launcher is to be seen in pg_stat_activity');

# Folding
value('SELECT commerce.adjust_stock(1, -3); SELECT commerce.claim_coupon(1, 1)');
wait_until(sub { workers('postgres') }, 'a worker to come');
pass('a worker comes when something happens');
wait_until(sub { value($unfolded) == 0 }, 'folding');
is(value('SELECT on_hand FROM commerce_private.stock WHERE product_id = 1'), 7, 'it folds stock');
is(value('SELECT on_hand FROM commerce_private.coupon_quota'), 4, 'and quota');
value('SELECT commerce.adjust_stock(1, -7)');
wait_until(sub { value(q{SELECT count(*) FROM commerce.outbox WHERE type = 'StockDepleted' AND aggregateid = '1'}) }, 'StockDepleted');
pass('and says StockDepleted');
wait_until(sub { !workers('postgres') }, 'the worker to go');
pass('it goes when nothing happens');
check_books($node, 'folded');

# What holds the horizon back
{
	my $session = connect_to($node);
	value(q{SELECT pg_create_logical_replication_slot('idle', 'pgoutput')});
	value(q{BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'forgotten'});
	$session->begin_work;
	$session->do('SELECT pg_current_xact_id()');
	is(value(q{SELECT string_agg(kind || ' ' || CASE kind WHEN 'session' THEN state ELSE holder END || ' ' || holds_folding, ', ' ORDER BY kind)
			   FROM (SELECT h.*, a.state FROM commerce.horizon h LEFT JOIN pg_stat_activity a ON a.pid::text = h.holder) h
			   WHERE kind <> 'session' OR state = 'idle in transaction'}),
		'prepared forgotten true, session idle in transaction true, slot idle false', 'the view horizon says who holds folding back');
	value('SELECT commerce.adjust_stock(2, -4)');
	wait_until(sub { workers('postgres') }, 'the worker');
	wait_until(sub { !workers('postgres') }, 'the worker to go');
	is(value('SELECT on_hand FROM commerce_private.stock WHERE product_id = 2'), 10, 'nothing is folded while it is held back');
	is(value('SELECT commerce.available_stock(2)'), 6, 'which changes nothing');
	$session->rollback;
	value(q{ROLLBACK PREPARED 'forgotten'});
	value('SELECT commerce.adjust_stock(1, 1)');
	wait_until(sub { value($unfolded) == 0 }, 'folding');
	is(value('SELECT on_hand FROM commerce_private.stock WHERE product_id = 2'), 6, 'and all is when it no longer is');
	value(q{SELECT pg_drop_replication_slot('idle')});
	$session->disconnect;
}

# Relays are woken, orders notify nobody.
{
	my $listener = connect_to($node);
	value(q{SELECT commerce.subscribe('relay')});
	$listener->do('LISTEN commerce_outbox');
	value('SELECT commerce.charge_balance(1, 100)');
	my $notification;
	wait_until(sub { $notification = $listener->pg_notifies }, 'a notification');
	my $worker = workers('postgres');
	is($notification->[1], $worker, 'relays are woken by the worker');
	$listener->disconnect;
}

# Orders that are not paid in time
{
	my $db = connect_to($node);
	$db->do(q{SET commerce.payment_ttl = '1s'});
	my ($order) = $db->selectrow_array(q{SELECT (commerce.place_order(1, '[{"product_id":2,"quantity":6}]', payment_method => 'EXTERNAL')).id});
	is(value('SELECT commerce.available_stock(2)'), 0, 'an order that is to be paid holds its stock');
	wait_until(sub { value("SELECT status = 'CANCELLED' FROM commerce.orders WHERE id = $order") eq 't' }, 'the order to expire');
	is(value('SELECT commerce.available_stock(2)'), 6, 'and gives it back when its time is over');

	# an order whose time is just over is left to whoever calls
	wait_until(
		sub {
			$db->do(q{SELECT commerce.place_order(1, '[{"product_id":2,"quantity":6}]', payment_method => 'EXTERNAL')});
			$db->do('SELECT pg_sleep(2.5)');
			return value('SELECT commerce.expire_pending_orders()') == 1;
		},
		'an overdue order to be there still');

	# also when the worker has gone meanwhile, and the server was stopped
	$db->do(q{SET commerce.payment_ttl = '5s'});
	($order) = $db->selectrow_array(q{SELECT (commerce.place_order(1, '[{"product_id":2,"quantity":6}]', payment_method => 'EXTERNAL')).id});
	$db->disconnect;
	wait_until(sub { !workers('postgres') }, 'the worker to go');
	$node->restart;
	wait_until(sub { value("SELECT status = 'CANCELLED' FROM commerce.orders WHERE id = $order") eq 't' }, 'the order to expire');
	is(value('SELECT commerce.available_stock(2)'), 6, 'also after a restart, without any call');
}

# Termination
for my $who (\&launcher, sub { workers('postgres') })
{
	value('SELECT commerce.adjust_stock(1, 1)');
	wait_until(sub { workers('postgres') }, 'the worker');
	my $pid = $who->();
	value("SELECT pg_terminate_backend($pid)");
	my $now;
	wait_until(sub { value('SELECT commerce.adjust_stock(1, 1)'); ($now = $who->()) && $now ne $pid }, 'it to come back');
	pass('what is terminated comes back');
}

# Reload
$node->append_conf('postgresql.conf', "commerce.maintenance_interval = 0\n");
$node->reload;
value('SELECT commerce.adjust_stock(1, 1)');
wait_until(sub { workers('postgres') }, 'the worker');
wait_until(sub { !workers('postgres') }, 'the worker to go');
cmp_ok(value($unfolded), '>', 0, 'a reload turns rounds off');
$node->append_conf('postgresql.conf', "commerce.maintenance_interval = 100ms\n");
$node->reload;
value('SELECT commerce.adjust_stock(1, 1)');
wait_until(sub { value($unfolded) == 0 }, 'folding');
pass('and on');

# What was sold out when it was last sold has units again, written by hand.
$node->append_conf('postgresql.conf', "commerce.maintenance_interval = 0\n");
$node->reload;
my $product = value(q{SELECT commerce.create_product(NULL, 'lamp', 10, 5)});
wait_until(sub { !workers('postgres') }, 'the worker to go');
value("SELECT commerce.adjust_stock($product, -5)");
value("INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES ($product, 7, 'ADJUST')");
$node->append_conf('postgresql.conf', "commerce.maintenance_interval = 100ms\n");
$node->reload;
value('SELECT commerce.adjust_stock(1, 1)');
wait_until(sub { value($unfolded) == 0 }, 'folding');
is(value("SELECT on_hand, depleted FROM commerce_private.stock WHERE product_id = $product"), '7|f',
	'what was written by hand after the last unit was sold is not overlooked');

# Other databases: they can be dropped and used as templates, and templates are left alone
value('CREATE DATABASE other');
$node->safe_psql('other', q{CREATE EXTENSION commerce; SELECT commerce.create_user('a', 'a@example.com')});
wait_until(sub { workers('other') }, 'a worker in the other database');
value('CREATE DATABASE copy TEMPLATE other');
pass('a database in which a worker was can be a template');
$node->safe_psql('copy', q{SELECT commerce.create_user('b', 'b@example.com')});
wait_until(sub { workers('copy') }, 'a worker in the copy');
value('DROP DATABASE copy');
$node->safe_psql('other', q{SELECT commerce.create_user('c', 'c@example.com')});
value('DROP DATABASE other WITH (FORCE)');
pass('and dropped, with FORCE or without');
value('ALTER DATABASE template1 ALLOW_CONNECTIONS true');
$node->safe_psql('template1', 'CREATE EXTENSION commerce');
$node->restart;
value('SELECT commerce.adjust_stock(1, 1)');
wait_until(sub { workers('postgres') }, 'the worker');
is(workers('template1'), '', 'no worker goes into a template');
$node->safe_psql('template1', 'DROP EXTENSION commerce');

# DROP EXTENSION, and CREATE EXTENSION again
value('DROP EXTENSION commerce');
wait_until(sub { !workers('postgres') }, 'the worker to go');
make_shop($node, stock => [5]);
value('SELECT commerce.adjust_stock(1, -2)');
wait_until(sub { value('SELECT on_hand FROM commerce_private.stock') == 3 }, 'folding');
pass('it folds in an extension that was created again');
check_books($node, 'created again');

my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|terminated by signal/, 'nothing crashed');
unlike($log, qr/commerce maintenance" \(PID \d+\) exited with exit code [2-9]/, 'no worker ended badly');
is(() = $log =~ /ERROR:  relation "commerce\.\w+" does not exist/g, 0, 'no worker looked for what was dropped');

done_testing();
