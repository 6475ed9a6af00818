# Cells: ids of a range of their own; the catalogue of cell 0 in another cell, as it is there and as it changes,
# with orders going on meanwhile; a cell that is down and comes back; a cell that is restored from a dump.

use strict;
use warnings;
use Cells;
use DBD::Pg qw(:async);
use DBI;
use EscrowClients qw(check_books connect_to wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $zero = Cells::start_node('zero');
my $one  = Cells::start_node('one');
my $catalogue = join ' ', 'host=' . $zero->host, 'port=' . $zero->port, 'dbname=postgres';

sub value
{
	my ($node, $sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

sub refused
{
	my ($node, $sql, $sqlstate, $hint, $what) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, qr/ERROR:  $sqlstate:.*$hint/s, $what);
	return;
}

sub arrives
{
	my ($node, $sql, $expected, $what) = @_;
	wait_until(sub { value($node, $sql) eq $expected }, $what);
	pass("$what arrives");
	return;
}

# A shop with a history becomes cell 0
value($zero, q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_user('Kim', 'kim@example.com');
	SELECT commerce.create_user('Potter', 'potter@example.com', role => 'SELLER');
	SELECT commerce.create_user('Admin', role => 'ADMIN', external_id => 'auth|admin');
	SELECT commerce.create_seller(2, 'Kiln', '1');
	SELECT commerce.create_product(1, 'teapot', 30000, 10);
	SELECT commerce.create_product(NULL, 'tea', 9000, 100);
	SELECT commerce.create_promotion(2, 'PERCENT', 10, now(), now() + interval '1 day');
	SELECT commerce.create_coupon('Hello', 'FIXED', 1000, 5, valid_days => 30);
	SELECT commerce.charge_balance(1, 1000000);
	SELECT status FROM commerce.place_order(1, '[{"product_id":1,"quantity":1}]')});
# its counter is there before the other cells are
my $too_many = q{SET commerce.cell_wait = 0; SELECT commerce.place_order(1, '[{"product_id":2,"quantity":101}]')};
refused($zero, $too_many, 'SH001', '', 'who wants more than there is');
my $books = q{
	SELECT md5(string_agg(r, ';' ORDER BY r)) FROM (
		SELECT (u, u.xmin, u.ctid)::text FROM commerce.users u UNION ALL SELECT (p, p.xmin, p.ctid)::text FROM commerce.products p
		UNION ALL SELECT (c, c.xmin, c.ctid)::text FROM commerce.coupons c UNION ALL SELECT (o, o.xmin, o.ctid)::text FROM commerce.orders o) AS r (r)};
is(value($zero, q{SELECT count(*) FROM commerce.metrics('cells')}), 0, 'a shop of one cell has no metrics of cells');
my $before = value($zero, $books);
value($zero, 'SELECT commerce.publish_catalogue()');
is(value($zero, $books), $before, 'a shop becomes cell 0, and no row is touched');
is(value($zero, 'SELECT commerce.cell_number()'), 0, 'it is cell 0');
refused($zero, $too_many, 'SH429', '', 'who wants more than it has waits for what other cells may have');
is(value($zero, 'SELECT commerce.admit_cell(1)'), 'commerce_cell_1', 'it admits another cell');
is(value($zero, 'SELECT commerce.admit_cell(1)'), 'commerce_cell_1', 'and again, without another slot');

# The new cell
value($one, 'CREATE EXTENSION commerce; SELECT commerce.set_cell(1)');
value($one, "SELECT commerce.join_cells('$catalogue')");
$one->wait_for_subscription_sync;
is(value($one, q{SELECT string_agg(concat_ws(' ', id, seller_id, name, price), ', ' ORDER BY id) FROM commerce.products}),
	'1 1 teapot 30000, 2 tea 9000', 'the products are there');
is(value($one, q{SELECT string_agg(concat_ws(' ', id, name, role, external_id, balance), ', ' ORDER BY id) FROM commerce.users}),
	'2 Potter SELLER 0, 3 Admin ADMIN auth|admin 0', 'the staff, and nobody else');
is(value($one, 'SELECT string_agg(commerce.available_stock(id)::text, $$ $$) FROM commerce.products'), '0 0', 'nothing is in stock yet');
is(value($one, 'SELECT remaining FROM commerce.coupon_list'), 0, 'nor can a coupon be had');
check_books($one, 'the books of a new cell are in order');

my $cell = '10' . '0' x 11;
is(value($one, q{SELECT commerce.create_user('Lee', 'lee@example.com')}), 1 + $cell, 'its ids are of its range');
value($one, 'SELECT commerce.adjust_stock(2, 20); SELECT commerce.charge_balance(' . (1 + $cell) . ', 1000000)');
my $buy = sub { return q{SELECT id || ' ' || payment_amount FROM commerce.place_order(} . (1 + $cell) . qq{, '[{"product_id":$_[0],"quantity":1}]')} };
is(value($one, $buy->(2)), (1 + $cell) . ' 8100', 'it sells, with the promotion');
is(value($one, qq{SELECT commerce.cell_of_sheet((commerce.create_order_sheet(1 + $cell, '[{"product_id":2,"quantity":1}]')).id)}), 1, 'a sheet says its cell');
is(value($zero, q{SELECT commerce.cell_of_sheet((commerce.create_order_sheet(1, '[{"product_id":2,"quantity":1}]')).id)}), 0, 'in cell 0 too');

# The catalogue is cell 0's
refused($one, $_->[0], 42501, 'HINT:  Cell 0 owns the catalogue', "not here: $_->[1]")
	for [ q{SELECT commerce.create_product(NULL, 'x', 1, 1)}, 'a product' ],
	[ 'SELECT commerce.update_product(1, price => 1)', 'its price' ],
	[ q{SELECT commerce.set_product_status(1, 'DISCONTINUED')}, 'its status' ],
	[ q{SELECT commerce.create_promotion(1, 'PERCENT', 1, now(), now() + interval '1 day')}, 'a promotion' ],
	[ 'SELECT commerce.update_promotion(1, value => 5)', 'its value' ],
	[ 'SELECT commerce.end_promotion(1)', 'its end' ],
	[ q{SELECT commerce.create_coupon('x', 'FIXED', 1, 1, valid_days => 1)}, 'a coupon' ],
	[ q{SELECT commerce.update_coupon(1, name => 'y')}, 'its name' ],
	[ 'SELECT commerce.stop_coupon(1)', 'its end' ],
	[ "SELECT commerce.create_seller(1 + $cell, 'x', 'y')", 'a seller' ],
	[ q{SELECT commerce.update_seller(1, business_name => 'y')}, 'its name' ],
	[ q{SELECT commerce.create_user('x', role => 'ADMIN')}, 'an administrator' ],
	[ q{SELECT commerce.update_user(3, name => 'y')}, 'an administrator\'s name' ],
	[ q{SELECT commerce.set_user_status(2, 'SUSPENDED')}, 'a seller\'s status' ],
	[ 'SELECT commerce.erase_user(3)', 'an administrator\'s data' ],
	[ q{SELECT commerce.reserve_user('x@example.com', NULL, 1)}, 'the register of users' ],
	[ 'SELECT commerce.publish_catalogue()', 'a publication' ],
	[ 'SELECT commerce.admit_cell(2)', 'another cell' ];

# Whatever changes there arrives, while an order here has not ended; and an order goes on while what arrives has not
my $order = connect_to($one);
$order->begin_work;
$order->do($buy->(2));
value($zero, q{
	SELECT commerce.update_product(2, price => 5000);
	SELECT commerce.create_product(NULL, 'cup', 4000, 7);
	SELECT commerce.create_user('Weaver', 'weaver@example.com', role => 'SELLER');
	SELECT commerce.create_seller(4, 'Loom', '2');
	SELECT commerce.create_product(2, 'cloth', 20000, 3);
	SELECT commerce.create_coupon('More', 'PERCENT', 5, 100, valid_days => 30);
	SELECT commerce.update_coupon(1, quantity => 7);
	SELECT commerce.end_promotion(1);
	SELECT commerce.set_user_status(2, 'SUSPENDED')});
arrives($one, 'SELECT price FROM commerce.products WHERE id = 2', 5000, 'a price');
arrives($one, q{SELECT count(*) FROM commerce.products p JOIN commerce_private.stock s ON s.product_id = p.id WHERE p.name IN ('cup', 'cloth')}, 2, 'a product, with its stock,');
arrives($one, q{SELECT count(*) FROM commerce.coupons c JOIN commerce_private.coupon_quota q ON q.coupon_id = c.id WHERE c.name = 'More'}, 1, 'a coupon, with its quota,');
arrives($one, 'SELECT quantity FROM commerce.coupons WHERE id = 1', 7, 'the quantity of a coupon');
arrives($one, q{SELECT s.business_name FROM commerce.sellers s JOIN commerce.users u ON u.id = s.user_id WHERE u.name = 'Weaver'}, 'Loom', 'a seller');
arrives($one, 'SELECT u.status || s.active::text FROM commerce.users u JOIN commerce.sellers s ON s.user_id = u.id WHERE u.id = 2', 'SUSPENDEDfalse', 'the status of one');
arrives($one, 'SELECT count(*) FROM commerce.promotions WHERE ends_at > now()', 0, 'the end of a promotion');
$order->commit;
is(value($one, $buy->(2)), (3 + $cell) . ' 5000', 'the new price is paid');

# What arrives has begun and cannot end: it waits for somebody who has its e-mail, or gives it up
my $signing_up = connect_to($one);
$signing_up->begin_work;
$signing_up->do(q{SELECT commerce.create_user('Slow', 'slow@example.com')});
value($zero, q{BEGIN; SELECT commerce.create_product(NULL, 'dish', 1, 1); SELECT commerce.create_coupon('c', 'FIXED', 1, 1, valid_days => 1);
	SELECT commerce.create_user('Slow', 'slow@example.com', role => 'ADMIN'); COMMIT});
wait_until(sub { value($one, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%worker' AND wait_event_type = 'Lock'}) == 1 },
	'what arrives to wait');
is(value($one, 'SET lock_timeout = $$10s$$; ' . $buy->(2)) =~ s/.* //r, 5000, 'an order goes on beside it');
$signing_up->rollback;
arrives($one, q{SELECT count(*) FROM commerce.products p JOIN commerce_private.stock s ON s.product_id = p.id WHERE p.name = 'dish'}, 1, 'then the product');
check_books($_, 'the books are in order') for $zero, $one;

# An e-mail that is taken here stops nothing
value($one, q{SELECT commerce.create_user('Other', 'taken@example.com')});
value($zero, q{SELECT commerce.create_user('Boss', 'taken@example.com', role => 'ADMIN'); SELECT commerce.update_user(3, external_id => 'auth|chief')});
arrives($one, q{SELECT coalesce(email, '-') FROM commerce.users WHERE name = 'Boss'}, '-', 'staff whose e-mail is taken');
arrives($one, 'SELECT external_id FROM commerce.users WHERE id = 3', 'auth|chief', 'a new external id');
my ($other) = value($one, q{SELECT id FROM commerce.users WHERE name = 'Other'});
value($one, "SELECT commerce.update_user($other, email => 'TAKEN\@example.com', external_id => 'auth|new')");
is(value($one, q{SELECT count(*) FROM commerce.users WHERE name = 'Boss' AND email IS NULL}), 1, 'nor is it theirs while the other has it');
value($one, "SELECT commerce.update_user($other, email => 'free\@example.com')");
is(value($one, q{SELECT email FROM commerce.users WHERE name = 'Boss'}), 'taken@example.com', 'it is when he has another');
value($zero, q{SELECT commerce.create_user('Heir', 'free@example.com', role => 'ADMIN', external_id => 'auth|new')});
arrives($one, q{SELECT num_nulls(email, external_id) FROM commerce.users WHERE name = 'Heir'}, 2, 'staff of whom all is taken');
value($one, "SELECT commerce.erase_user($other)");
is(value($one, q{SELECT email || ' ' || external_id FROM commerce.users WHERE name = 'Heir'}), 'free@example.com auth|new', 'it is theirs when he is erased');
my $late = value($one, q{SELECT commerce.create_user('Late', 'late@example.com')});
my $giver = connect_to($one);
$giver->begin_work;
$giver->do("SELECT commerce.update_user($late, email => 'later\@example.com')");
value($zero, q{SELECT commerce.create_user('Next', 'late@example.com', role => 'ADMIN')});
my $is_there = q{SELECT EXISTS (SELECT FROM commerce.users WHERE name = 'Next')};
wait_until(sub { value($one, "$is_there OR EXISTS (SELECT FROM pg_locks WHERE NOT granted)") eq 't' }, 'staff, or their wait for a change');
$giver->commit;
wait_until(sub { value($one, $is_there) eq 't' }, 'staff whose e-mail somebody has just given up');
is(value($one, q{SELECT email FROM commerce.users WHERE name = 'Next'}), 'late@example.com', 'what is given up at that moment is theirs, too');

# The worker goes on here
value($one, 'SELECT status FROM commerce.place_order(' . (1 + $cell) . q{, '[{"product_id":2,"quantity":1}]', payment_method => 'EXTERNAL');
	UPDATE commerce.orders SET expires_at = now() - interval '1 minute' WHERE status = 'PENDING_PAYMENT'});
wait_until(sub { value($one, q{SELECT count(*) FROM commerce.orders WHERE status = 'PENDING_PAYMENT'}) == 0 }, 'an overdue order to end');
like(value($one, q{SELECT state FROM commerce.maintenance WHERE database = 'postgres'}), qr/^(WORKING|IDLE)$/, 'the worker works in a cell that subscribes to the catalogue');

# Down and back, as metrics tell it
sub metric
{
	my ($node, $name) = @_;
	return value($node, "SELECT value FROM commerce.metrics('cells') WHERE name = 'commerce_$name'");
}
wait_until(sub { metric($one, 'catalogue_up') eq '1' && metric($one, 'catalogue_silent_seconds') ne '' && metric($zero, 'catalogue_slot_up') eq '1' }, 'the metrics of a cell that is up');
is(metric($one, 'catalogue_copying_tables'), 0, 'it has all tables');
$one->backup('standby');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($one, 'standby', has_streaming => 1);
$standby->start;
is(value($standby, q{SELECT string_agg(name, ' ') FROM commerce.metrics('cells') WHERE name ~ 'catalogue'}), '', 'its standby, where no catalogue arrives by itself, says nothing of it');
$standby->stop;
is(metric($one, "open_transfers$_"), 0, "commerce_open_transfers$_ of one from which nothing goes") for '', '_oldest_seconds';
my $errors = metric($one, 'catalogue_errors_total');
like($errors, qr/^\d+$/, 'errors are counted');
$one->stop('immediate');
value($zero, 'SELECT commerce.update_product(2, price => 6000)');
wait_until(sub { metric($zero, 'catalogue_slot_up') eq '0' }, 'its slot to be left');
cmp_ok(metric($zero, 'catalogue_slot_lag_bytes'), '>', 0, 'the log that it has not read is counted');
is(metric($zero, 'catalogue_slot_lost'), 0, 'and kept');
$one->start;
arrives($one, 'SELECT price FROM commerce.products WHERE id = 2', 6000, 'what changed while the cell was down');
is(value($one, $buy->(2)) =~ s/.* //r, 6000, 'and it sells');

# Joined again while all is well
value($one, "SELECT commerce.join_cells('$catalogue')");
$one->wait_for_subscription_sync;
value($zero, 'SELECT commerce.update_product(2, price => 6500)');
arrives($one, 'SELECT price FROM commerce.products WHERE id = 2', 6500, 'what changes after a cell has joined again');

# A publication that was restored from a dump is empty
value($zero, 'ALTER PUBLICATION commerce_catalogue DROP TABLE commerce_private.staff, commerce.sellers, commerce.products, commerce.promotions, commerce.coupons');
refused($zero, 'SELECT commerce.admit_cell(2)', 55000, 'publish_catalogue', 'nobody is admitted to an empty one');
value($zero, 'SELECT commerce.publish_catalogue(); SELECT commerce.update_product(2, price => 6600)');
arrives($one, 'SELECT price FROM commerce.products WHERE id = 2', 6600, 'what changes after it was published again');

# A dump of the cell, restored elsewhere. What came after it is fetched by joining again.
my $dump = $one->basedir . '/cell.dump';
$one->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $one->connstr("postgres") ], 'a dump of the cell');
$one->stop;
value($zero, q{SELECT commerce.update_product(2, price => 7000); SELECT commerce.create_product(NULL, 'jug', 100, 1); SELECT commerce.update_coupon(2, quantity => 101)});
my $restored = Cells::start_node('restored');
$restored->command_ok([ 'pg_restore', '-d', $restored->connstr('postgres'), $dump ], 'is restored');
value($restored, 'SELECT commerce.prepare_after_restore()');
value($restored, 'SELECT commerce.set_cell(1)');
refused($restored, 'SELECT commerce.set_cell(2)', 22023, 'must be 1, as before', 'as another cell');
my ($id) = split / /, value($restored, $buy->(2));
ok($id > $cell && $id < 2 * $cell, 'it sells before it has joined, with ids of its range');
$order = connect_to($restored);
$order->begin_work;
$order->do($buy->(2));
value($restored, "SELECT commerce.join_cells('$catalogue')");
$restored->wait_for_subscription_sync;
$order->commit;
pass('it joins, while an order has not ended');
is(value($restored, $buy->(2)) =~ s/.* //r, 7000, 'what came after the dump is there');
is(value($restored, q{SELECT s.on_hand FROM commerce.products p JOIN commerce_private.stock s ON s.product_id = p.id WHERE p.name = 'jug'}), 0, 'also a product');
is(value($restored, 'SELECT quantity FROM commerce.coupons WHERE id = 2'), 101, 'also the quantity of a coupon');
value($zero, 'SELECT commerce.update_product(2, price => 7500)');
arrives($restored, 'SELECT price FROM commerce.products WHERE id = 2', 7500, 'a price');

# A cell that was away for too long: what it should have had is gone
$restored->stop;
value($zero, q{ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'; SELECT pg_reload_conf()});
value($zero, 'SELECT commerce.update_product(2, price => 8000)');
for (1 .. 3)
{
	value($zero, 'SELECT pg_logical_emit_message(false, $$x$$, $$x$$)');
	value($zero, 'SELECT pg_switch_wal()');
}
wait_until(sub { value($zero, 'CHECKPOINT'); value($zero, q{SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'commerce_cell_1'}) eq 'lost' },
	'the log of a cell to be gone');
is(metric($zero, 'catalogue_slot_lost'), 1, 'metrics tell of it');
value($zero, 'ALTER SYSTEM RESET max_slot_wal_keep_size; SELECT pg_reload_conf()');
is(value($zero, 'SELECT commerce.admit_cell(1)'), 'commerce_cell_1', 'it is admitted anew');
$restored->start;
value($restored, "SELECT commerce.join_cells('$catalogue')");
arrives($restored, 'SELECT price FROM commerce.products WHERE id = 2', 8000, 'what it missed');

# Cell 0 is told again what it is, while somebody orders
my $once = q{SELECT status FROM commerce.place_order(1, '[{"product_id":2,"quantity":1}]')};
my ($who_orders, $who_tells) = map { connect_to($zero) } 1 .. 2;
$who_orders->begin_work;
$who_orders->do($once);
$who_tells->do('SELECT commerce.publish_catalogue()', { pg_async => PG_ASYNC });
wait_until(sub { value($zero, 'SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $who_tells->{pg_pid}) }, 'somebody to wait for the order');
is($who_orders->selectrow_array($once), 'PAID', 'who orders orders more');
$who_orders->commit;
$who_tells->pg_result;
is($zero->psql('postgres', $once), 0, 'and no id is given out twice');
check_books($_, 'the books are in order') for $zero, $restored;

done_testing();
