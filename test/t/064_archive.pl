# A backend that archives is killed in the middle of a batch, of each kind: the books are exact, orders went on
# meanwhile, and the next run goes on. Then a dump with the archive is restored.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
$node->append_conf('postgresql.conf', q{
	shared_preload_libraries = 'commerce'
	restart_after_crash = on
	commerce.archive_after = '90d'});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_user('U' || i) FROM generate_series(1, 20) i;
	SELECT commerce.create_product(NULL, 'P' || i, 1000, 1000) FROM generate_series(1, 3) i;
	SELECT commerce.charge_balance(u, 1000000, 'charge') FROM generate_series(1, 20) u;
	SELECT commerce.place_order(1 + n % 20, format('[{"product_id":%s,"quantity":1}]', 1 + n % 3)::jsonb) FROM generate_series(1, 100) n;
	SELECT commerce.change_shipment_status((commerce.dispatch_items(ARRAY[id])).id, 'DELIVERED') FROM commerce.order_items ORDER BY id;
	SELECT commerce.change_item_status(id, 'CONFIRMED', 'BUYER') FROM commerce.order_items ORDER BY id;
	UPDATE commerce.orders SET created_at = created_at - interval '100 days', updated_at = updated_at - interval '100 days', paid_at = paid_at - interval '100 days';
	UPDATE commerce.balance_entries SET at = at - interval '100 days';
	UPDATE commerce.stock_entries SET at = at - interval '100 days';
	UPDATE commerce_private.jobs SET max_rows = 30 WHERE name = 'archive';
	CREATE TABLE before AS SELECT id, balance, (commerce.export_user(id) -> 'orders') AS orders FROM commerce.users;
	CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NULL; END'});
$node->safe_psql('shop', 'SELECT commerce.fold()');

my $books = q{SELECT * FROM commerce.check_invariants()};
my $orders = 100;
my @batches = (
	[ 'orders',                 'payments',        'OLD.order_id = 75' ],
	[ 'entries of balances',    'balance_entries', 'OLD.user_id = 10' ],
	[ 'entries of stock',       'stock_entries',   'OLD.product_id = 2' ]);
for (@batches)
{
	my ($what, $table, $condition) = @$_;
	$node->safe_psql('shop', "CREATE TRIGGER sleep AFTER DELETE ON commerce.$table FOR EACH ROW WHEN ($condition) EXECUTE FUNCTION sleep()");
	my $out = '';
	my $client = IPC::Run::start([ 'psql', '-XAtd', $node->connstr('shop'), '-c', q{CALL commerce_private.run_batches('archive')} ], '>', \$out, '2>', \$out);
	ok($node->poll_query_until('shop', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'}), "$what: a batch is on its way");
	my $archived = $node->safe_psql('shop', 'SELECT count(*) FROM commerce_private.archived');
	cmp_ok($archived, '>=', 60, "$what: batches before it are committed");
	$node->safe_psql('shop', q{SET statement_timeout = '60s'; SELECT commerce.place_order(20, '[{"product_id":2,"quantity":1}]')});
	$orders++;
	my $pid = $node->safe_psql('shop', q{SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
	kill KILL => $pid;
	$client->finish;
	ok($node->poll_query_until('shop', 'SELECT true'), "$what: killed, and the server is there again");
	is($node->safe_psql('shop', $books), '', "$what: the books are in order");
	is($node->safe_psql('shop', 'SELECT count(*), count(DISTINCT id) FROM commerce.all_order_list'), "$orders|$orders", "$what: no order is lost, or there twice");
	is($node->safe_psql('shop', 'SELECT count(*) FROM commerce_private.archived'), $archived, "$what: what was committed is archived");
	$node->safe_psql('shop', "DROP TRIGGER sleep ON commerce.$table");
}

$node->safe_psql('shop', q{CALL commerce_private.run_batches('archive')});
is($node->safe_psql('shop', 'SELECT count(*) FROM commerce.orders'), 3, 'the next run goes on: all are archived but the new ones');
is($node->safe_psql('shop', $books), '', 'the books are in order');
my $same = q{SELECT count(*) FROM before b JOIN commerce.users u USING (id)
	WHERE (u.id <> 20 AND (u.balance <> b.balance
		OR (SELECT jsonb_agg(o - 'archived_at') FROM jsonb_array_elements(commerce.export_user(u.id) -> 'orders') o)
			<> (SELECT jsonb_agg(o - 'archived_at') FROM jsonb_array_elements(b.orders) o)))};
is($node->safe_psql('shop', $same), 0, 'everybody has what they had');

# A dump: the partitions are tables like any
my $dump = $node->basedir . '/shop.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'shop' ], 'pg_dump');
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', q{shared_preload_libraries = 'commerce'});
$other->start;
$other->safe_psql('postgres', 'CREATE DATABASE shop');
$other->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'shop', $dump ], 'pg_restore');
$other->safe_psql('shop', 'SELECT commerce.prepare_after_restore()');
is($other->safe_psql('shop', $books), '', 'the restored books are in order');
is($other->safe_psql('shop', $same), 0, 'everybody has what they had');
my $month = $other->safe_psql('shop', q{SELECT to_char(month, 'YYYY_MM') FROM commerce_private.archived LIMIT 1});
$node->command_ok([ 'pg_dump', '-Fc', '-t', "commerce_archive.*_$month", '-f', "$dump.month", 'shop' ], 'a month is dumped by itself');
$other->safe_psql('shop', join '', map { "DROP TABLE commerce_archive.${_}_$month;" } qw(orders order_items order_item_events order_coupons payments shipments));
is($other->safe_psql('shop', $books), '', 'the books are in order without a month');
$other->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'shop', "$dump.month" ], 'the month comes back');
is($other->safe_psql('shop', $books), '', 'the books are in order');
is($other->safe_psql('shop', $same), 0, 'everybody has what they had');
$other->safe_psql('shop', q{SELECT commerce.place_order(1, '[{"product_id":1,"quantity":1}]')});
is($other->safe_psql('shop', $books), '', 'the shop sells on');

done_testing();
