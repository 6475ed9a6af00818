# pg_dump and pg_restore into other clusters, where transaction ids are far lower or far higher: the same
# books, and orders go on correctly.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# A cluster whose next transaction id has this epoch (its upper 32 bits)
sub cluster
{
	my ($name, $epoch, $libraries, $settings) = (@_, '');
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	command_ok([ 'pg_resetwal', '-e', $epoch, '-D', $node->data_dir ], "cluster $name is in epoch $epoch");
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$libraries'\n$settings");
	$node->start;
	$node->safe_psql('postgres', 'CREATE ROLE app');
	return $node;
}

# What is in each table
sub books
{
	my ($node, $database) = @_;
	my @tables = split /\n/, $node->safe_psql($database, q{
		SELECT c.oid::regclass FROM pg_class c
		WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind = 'r'});
	return join "\n", sort split /\n/, $node->safe_psql($database, join ' UNION ALL ', map {
		qq{SELECT '$_ ' || count(*) || ' ' || md5(coalesce(string_agg(r::text, ';' ORDER BY r::text), '')) FROM $_ r}
	} @tables);
}

# What the shop answers
my $answers = q{
	SELECT 'stock', id, commerce.available_stock(id)::text FROM commerce.products
	UNION ALL SELECT 'coupon', id, remaining::text FROM commerce.coupon_list
	UNION ALL SELECT 'balance', u.id, (commerce.get_balance(u.id)).balance::text FROM commerce.users u
	UNION ALL SELECT 'popular', product_id, units_sold::text FROM commerce.popular_products(30, 1000)
	UNION ALL SELECT 'order', id, status::text FROM commerce.orders
	ORDER BY 1, 2};

sub fails_with
{
	my ($node, $database, $statement, $sqlstate, $what) = @_;
	my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY sqlstate\n$statement");
	like($err, qr/ERROR:  $sqlstate/, $what);
	return;
}

# No worker comes between the dump and what it is compared with
my $old = cluster('old', 5, 'commerce', 'commerce.maintenance_interval = 0');
$old->safe_psql('postgres', 'CREATE DATABASE shop');
$old->safe_psql('shop', q{
	CREATE EXTENSION commerce;
	SELECT commerce.grant_app('app');
	SELECT commerce.create_user('U' || i, 'u' || i || '@example.com') FROM generate_series(1, 5) i;
	SELECT commerce.create_user('Seller', 'seller@example.com', role => 'SELLER');
	SELECT commerce.create_seller(6, 'Kiln', '1');
	SELECT commerce.create_product(CASE WHEN i > 3 THEN 1 END, '상품 ' || i, 1000 * i, 10, shipping_fee => 100) FROM generate_series(1, 6) i;
	SELECT commerce.create_promotion(2, 'PERCENT', 10, '2020-01-01', '2100-01-01');
	SELECT commerce.create_coupon('Three', 'FIXED', 100, 3, valid_days => 30);
	SELECT commerce.create_coupon('Line', 'PERCENT', 10, 3, valid_days => 30, product_id => 4);
	SELECT commerce.charge_balance(u, 1000000, 'charge') FROM generate_series(1, 5) u;
	SELECT commerce.claim_coupon(1, 1);
	SELECT commerce.claim_coupon(1, 2);
	SELECT commerce.place_order(u, format('[{"product_id":%s,"quantity":1},{"product_id":%s,"quantity":2}]', u, u + 1)::jsonb) FROM generate_series(1, 4) u;
	SELECT commerce.fold();
	SELECT commerce.refresh_popular_products();
});
# some of it is folded, the rest is not
$old->safe_psql('shop', q{
	SELECT commerce.place_order(1, '[{"product_id":4,"quantity":1,"coupon_issue_id":2}]', '{1}', 'order');
	SELECT commerce.place_order(2, '[{"product_id":6,"quantity":3}]', payment_method => 'EXTERNAL');
	SELECT commerce.claim_coupon(2, 1);
	SELECT commerce.adjust_stock(1, -commerce.available_stock(1) + 3);
	SELECT commerce.set_user_status(5, 'SUSPENDED');
	SELECT commerce.set_product_status(5, 'DISCONTINUED');
});
cmp_ok($old->safe_psql('shop', 'SELECT count(*) FROM commerce.stock_entries e JOIN commerce_private.stock s USING (product_id) WHERE e.xid >= s.mark'), '>', 0,
	'the dump has entries that are not folded');
is($old->safe_psql('shop', 'SELECT * FROM commerce.check_invariants()'), '', 'the books are in order before the dump');
my $dump = $old->basedir . '/shop.dump';
my $old_books = books($old, 'shop');
my $old_answers = $old->safe_psql('shop', $answers);
$old->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'shop' ], 'pg_dump');
is(books($old, 'shop'), $old_books, 'nothing happened meanwhile');

my @restores = (
	[ 'lower', 0, 'commerce' ],
	[ 'higher', 9, '' ]);
my %nodes;
for (@restores)
{
	my ($name, $epoch, $libraries) = @$_;
	my $node = $nodes{$name} = cluster($name, $epoch, $libraries);
	$node->safe_psql('postgres', 'CREATE DATABASE shop');

	# The extension may be there for a while before its data comes: workers must not mind.
	$node->command_ok([ 'pg_restore', '--exit-on-error', '--section=pre-data', '-d', 'shop', $dump ], "$name: the extension is restored");
	sleep 2 if $libraries;
	# Several jobs restore tables in any order, so that foreign keys must not be checked meanwhile.
	{
		local $ENV{PGOPTIONS} = $libraries ? '' : '-c session_replication_role=replica';
		$node->command_ok([ 'pg_restore', '--exit-on-error', '--section=data', '--section=post-data', '-d', 'shop',
				$libraries ? '--single-transaction' : '--jobs=2', $dump ], "$name: the data is restored");
	}

	if (!$libraries)
	{
		is(books($node, 'shop'), $old_books, "$name: every table has what it had");
	}
	is($node->safe_psql('shop', $answers), $old_answers, "$name: the shop answers as before, before anything is written");
	fails_with($node, 'shop', 'SELECT commerce.fold()', 'SH429', "$name: nothing can be written before it is this server's own");
	$node->safe_psql('shop', 'SELECT commerce.prepare_after_restore()');
	is($node->safe_psql('shop', 'SELECT * FROM commerce.check_invariants()'), '', "$name: the books are in order");
	is($node->safe_psql('shop', q{SELECT has_function_privilege('app', 'commerce.get_balance(bigint)', 'EXECUTE')}), 't', "$name: grants are there");

	# The last three units of product 1, the last coupon
	my $order = q{SELECT payment_amount FROM commerce.place_order(3, '[{"product_id":1,"quantity":%d}]')};
	is($node->safe_psql('shop', sprintf $order, 2), 2100, "$name: an order");
	is($node->safe_psql('shop', 'SELECT commerce.available_stock(1)'), 1, "$name: takes what it takes");
	fails_with($node, 'shop', sprintf($order, 2), 'SH001', "$name: no more than there is");
	is($node->safe_psql('shop', sprintf $order, 1), 1100, "$name: to the last unit");
	fails_with($node, 'shop', sprintf($order, 1), 'SH001', "$name: and none after it");
	is($node->safe_psql('shop', 'SELECT id FROM commerce.claim_coupon(3, 1)'), 4, "$name: ids go on; the third of three coupons");
	fails_with($node, 'shop', 'SELECT commerce.claim_coupon(4, 1)', 'SH004', "$name: there is no fourth");
	fails_with($node, 'shop', 'SELECT commerce.claim_coupon(2, 1)', 'SH005', "$name: who had one has it");

	# What was known before is known
	is($node->safe_psql('shop', q{SELECT id FROM commerce.place_order(1, '[{"product_id":4,"quantity":1,"coupon_issue_id":2}]', '{1}', 'order')}), 5,
		"$name: an idempotency key is known");
	fails_with($node, 'shop', 'SELECT commerce.charge_balance(5, 100)', '42501', "$name: a suspended user is suspended");
	is($node->safe_psql('shop', q{SELECT status FROM commerce.set_user_status(5, 'ACTIVE')}), 'ACTIVE', "$name: and can be let in again");
	is($node->safe_psql('shop', q{SELECT status FROM commerce.confirm_payment(6, true, 'provider-1')}), 'PAID', "$name: a pending order can be paid");
	is($node->safe_psql('shop', 'SELECT status FROM commerce.revoke_coupon(3)'), 'REVOKED', "$name: a coupon can be revoked");
	is($node->safe_psql('shop', 'SELECT balance FROM commerce.charge_balance(5, 100000)'), 1100000, "$name: a balance can be charged");

	# Counted once, in one order
	$node->poll_query_until('shop', q{
		SELECT commerce.fold() IS NOT NULL AND commerce.refresh_popular_products() IS NOT NULL
			AND (SELECT mark FROM commerce_private.sales_fold) > ALL (SELECT xid FROM commerce.order_item_events)}) or die;
	is($node->safe_psql('shop', q{
		SELECT product_id, sum(quantity) FROM commerce.order_items WHERE status NOT IN ('PENDING_PAYMENT', 'CANCELLED') AND product_id <> 5
		GROUP BY 1 EXCEPT SELECT product_id, units_sold FROM commerce.popular_products(30, 1000)}), '', "$name: what was sold is counted once");
	is($node->safe_psql('shop', q{SELECT max(era) - (SELECT min(era) FROM commerce.outbox) > 0, count(*) FROM commerce_private.origin}), 't|1', "$name: a new era has begun");
	is($node->safe_psql('shop', q{
		SELECT string_agg(type, ' ' ORDER BY era, key, position) FROM commerce.outbox WHERE aggregatetype = 'Order' AND aggregateid = '6'}),
		'OrderCreated PaymentRequested PaymentCompleted DeliveryRequested', "$name: an order's events are in order across the eras");
	is($node->safe_psql('shop', q{
		SELECT count(*) FROM commerce.outbox
		WHERE era = (SELECT era FROM commerce_private.origin) AND key >= commerce_private.to_key(pg_snapshot_xmax(pg_current_snapshot()))}), 0, "$name: no event waits for a transaction id that is far away");
	is($node->safe_psql('shop', q{
		SELECT count(*) FROM (SELECT created_at, lag(created_at) OVER (ORDER BY era, key, position) AS former FROM commerce.outbox) o
		WHERE created_at < former - interval '1 minute'}), 0, "$name: so are all others");
	is($node->safe_psql('shop', 'SELECT * FROM commerce.check_invariants()'), '', "$name: the books are in order");
	$node->restart;
	is($node->safe_psql('shop', 'SELECT * FROM commerce.check_invariants()'), '', "$name: and after a restart");
	fails_with($node, 'shop', sprintf($order, 1), 'SH001', "$name: what was sold stays sold");
}

# And once more, from a cluster that was restored into, back to low ids: eras grow.
my $again = $nodes{higher}->basedir . '/again.dump';
$nodes{higher}->command_ok([ 'pg_dump', '-Fc', '-f', $again, 'shop' ], 'a dump of what was restored');
my $low = $nodes{lower};
$low->safe_psql('postgres', 'CREATE DATABASE again');
$low->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'again', $again ], 'restored beside another');
is($low->safe_psql('again', 'SELECT commerce.prepare_after_restore()'), 't', 'made its own');
is($low->safe_psql('again', q{SELECT commerce.adjust_stock(1, 5)}), 5, 'stock goes on');
is($low->safe_psql('again', q{SELECT status FROM commerce.place_order(4, '[{"product_id":1,"quantity":5}]')}), 'PAID', 'orders, too');
fails_with($low, 'again', q{SELECT commerce.place_order(4, '[{"product_id":1,"quantity":1}]')}, 'SH001', 'to the last unit');
is($low->safe_psql('again', 'SELECT era > 2 FROM commerce_private.origin'), 't', 'in an era of its own');
is($low->safe_psql('again', 'SELECT * FROM commerce.check_invariants()'), '', 'the books are in order');

$_->stop for $old, values %nodes;
done_testing();
