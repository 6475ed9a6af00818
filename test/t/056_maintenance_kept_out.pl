# The maintenance worker minds its own business: it does nothing in a database that is read-only by default, where
# it is switched off, or whose orders come from another server; slots of dropped databases are given to others; and
# a shutdown is no failure.

use strict;
use warnings;
use EscrowClients qw(check_books connect_to wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub start_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
commerce.maintenance_interval = 100ms
commerce.maintenance_databases = 3
max_logical_replication_workers = 16
max_sync_workers_per_subscription = 4
max_worker_processes = 32
});
	$node->start;
	return $node;
}

my $node = start_node('shops');

sub value
{
	my ($sql, $database, $where) = @_;
	return ($where // $node)->safe_psql($database // 'postgres', $sql);
}

# A shop with an order whose time to pay is over
sub make_shop_with_overdue
{
	my ($database, $where) = @_;
	value(q{
		CREATE EXTENSION commerce;
		SELECT commerce.create_user('A', 'a@example.com');
		SELECT commerce.create_product(NULL, 'lamp', 1000, 10)}, $database, $where);
	add_overdue($database, $where);
	return;
}

sub add_overdue
{
	my ($database, $where) = @_;
	value(q{
		SELECT status FROM commerce.place_order(1, '[{"product_id":1,"quantity":1}]', payment_method => 'EXTERNAL');
		UPDATE commerce.orders SET expires_at = now() - interval '1 minute' WHERE status = 'PENDING_PAYMENT'}, $database, $where);
	return;
}

sub pending
{
	my ($database, $where) = @_;
	return value(q{SELECT count(*) FROM commerce.orders WHERE status = 'PENDING_PAYMENT'}, $database, $where);
}

sub state_of
{
	my ($database, $where) = @_;
	return value("SELECT state FROM commerce.maintenance WHERE database = '$database'", undef, $where);
}

# ---------------------------------------------------------------------------
# Read-only by default, and switched off: before anything happens there, and while a worker is there
make_shop_with_overdue('postgres');
wait_until(sub { pending('postgres') == 0 }, 'an order to expire');
pass('where nothing is in its way, the worker ends overdue orders');
for my $setting ('default_transaction_read_only = on', 'commerce.maintenance = off')
{
	my $state = $setting =~ /read/ ? 'READ_ONLY' : 'OFF';
	value('CREATE DATABASE shop');
	value("ALTER DATABASE shop SET $setting");
	value('SET default_transaction_read_only = off; ' . q{
		CREATE EXTENSION commerce;
		SELECT commerce.create_user('A', 'a@example.com');
		SELECT commerce.create_product(NULL, 'lamp', 1000, 10);
		SELECT status FROM commerce.place_order(1, '[{"product_id":1,"quantity":1}]', payment_method => 'EXTERNAL');
		UPDATE commerce.orders SET expires_at = now() - interval '1 minute'}, 'shop');
	wait_until(sub { state_of('shop') eq $state }, "the worker to be kept out: $state");
	pass("$setting: the view says that the worker is kept out");
	add_overdue('postgres');
	wait_until(sub { pending('postgres') == 0 }, 'an order elsewhere to expire');
	is(pending('shop'), 1, "$setting: the worker does nothing there");
	value("ALTER DATABASE shop RESET " . ($setting =~ s/ =.*//r));
	wait_until(sub { pending('shop') == 0 }, 'the order to expire');
	pass("$setting: and does it when it may");

	# while there is always news, so that the worker stays
	my $writer = connect_to($node, 'shop');
	$writer->do('SELECT commerce.charge_balance(1, 100)');
	wait_until(sub { state_of('shop') eq 'WORKING' }, 'a worker');
	value("ALTER DATABASE shop SET $setting");
	$writer->do(q{SELECT commerce.place_order(1, '[{"product_id":1,"quantity":1}]', payment_method => 'EXTERNAL')});
	$writer->do(q{UPDATE commerce.orders SET expires_at = now() - interval '1 minute' WHERE status = 'PENDING_PAYMENT'});
	wait_until(sub { state_of('shop') eq $state }, 'the worker to go');
	is(pending('shop'), 1, "$setting: a worker that is there goes, and leaves everything as it is");
	$writer->disconnect;
	value('DROP DATABASE shop WITH (FORCE)');
}

# ---------------------------------------------------------------------------
# Subscribers
my $publisher = start_node('publisher');
value(q{ALTER DATABASE postgres SET commerce.maintenance = off}, undef, $publisher);
make_shop_with_overdue('postgres', $publisher);
my $tables = value(q{
	SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_extension e, unnest(e.extconfig) t (oid) JOIN pg_class c ON c.oid = t.oid
	WHERE e.extname = 'commerce' AND c.relkind = 'r' AND NOT c.relispartition}, undef, $publisher);
value("CREATE PUBLICATION all_of_it FOR TABLE $tables, commerce.outbox WITH (publish_via_partition_root = true)", undef, $publisher);
value('CREATE PUBLICATION catalogue FOR TABLE commerce.sellers', undef, $publisher);
my $source = $publisher->connstr('postgres') =~ s{'}{}gr;
for my $database ('copy', 'cell')
{
	value("CREATE DATABASE $database");
	value('CREATE EXTENSION commerce', $database);
}
value("CREATE SUBSCRIPTION copy CONNECTION '$source' PUBLICATION all_of_it", 'copy');
value("CREATE SUBSCRIPTION cell CONNECTION '$source' PUBLICATION catalogue", 'cell');
for my $database ('copy', 'cell')
{
	wait_until(sub { value(q{SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'}, $database) == 0 }, "the tables of $database");
}
is(pending('copy'), 1, 'a subscriber: the order has come');
# as at a start of the server, when every database is visited
for my $enabled (1, 0)
{
	value('ALTER SUBSCRIPTION copy DISABLE', 'copy') if !$enabled;
	$node->restart;
	wait_until(sub { state_of('copy') eq 'SUBSCRIBER' }, 'the worker to be kept out');
	add_overdue('postgres');
	wait_until(sub { pending('postgres') == 0 }, 'an order elsewhere to expire');
	is(pending('copy'), 1, 'a subscriber: the worker does nothing there, with the subscription ' . ($enabled ? 'enabled' : 'disabled'));
}
value(q{ALTER SUBSCRIPTION copy ENABLE}, 'copy');
value(q{ALTER DATABASE postgres RESET commerce.maintenance}, undef, $publisher);
wait_until(sub { pending('postgres', $publisher) == 0 }, 'the publisher to end the order');
wait_until(sub { pending('copy') == 0 }, 'it to come to the subscriber');
$publisher->wait_for_catchup('copy');
is(value('SELECT * FROM commerce.check_invariants()', 'copy'), '', 'a subscriber: its books are the publisher\'s, and in order');
value(q{
	SELECT commerce.create_user('A', 'a@example.com');
	SELECT commerce.create_product(NULL, 'lamp', 1000, 10)}, 'cell');
add_overdue('cell');
wait_until(sub { pending('cell') == 0 }, 'the order of the cell to expire');
pass('a cell that is sent the catalogue has a worker');

# ---------------------------------------------------------------------------
# Slots: three databases have one, a fourth does not, until one of them is dropped
value('DROP SUBSCRIPTION copy', 'copy');
value('CREATE DATABASE fourth');
make_shop_with_overdue('fourth');
wait_until(sub { state_of('fourth') eq 'NO_SLOT' }, 'the view to say that there is no slot');
pass('a database without a worker is in the view');
wait_until(sub { slurp_file($node->logfile) =~ /database "fourth" has no commerce maintenance worker/ }, 'the log to say so');
is(pending('fourth'), 1, 'and has none');
value('DROP DATABASE copy WITH (FORCE)');
wait_until(sub { pending('fourth') == 0 }, 'the order to expire');
pass('when a database is dropped, another gets its slot');
is(() = slurp_file($node->logfile) =~ /has no commerce maintenance worker/g, 1, 'the log has said it once');

# ---------------------------------------------------------------------------
# A shutdown, while a worker waits for a lock and others have nothing to do
my $locker = connect_to($node);
$locker->begin_work;
$locker->do('UPDATE commerce_private.stock SET on_hand = on_hand');
value('SELECT commerce.charge_balance(1, 100)', 'cell');
$node->restart;
value('SELECT commerce.charge_balance(1, 100)');
$locker = connect_to($node);
$locker->begin_work;
$locker->do('UPDATE commerce_private.stock SET on_hand = on_hand');
wait_until(sub { value(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'commerce maintenance' AND wait_event_type = 'Lock'}) }, 'a worker to wait');
$node->stop('fast');
my $log = slurp_file($node->logfile);
unlike($log, qr/FATAL:  terminating background worker/, 'a shutdown is no failure');
unlike($log, qr/ERROR:  canceling statement/, 'nor an error');
$publisher->stop;

done_testing();
