# Counters and marks do not outlive what they were about: DROP and CREATE
# EXTENSION, and a dump that is restored where transaction ids are others.

use strict;
use warnings;
use EscrowClients qw(check_books connect_to make_shop run_clients sold_out);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub start_node
{
	my ($name, $preload) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'\n") if $preload;
	$node->start;
	return $node;
}

sub refused
{
	my ($node, $sql, $state, $what) = @_;
	my ($code, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, qr/ERROR:\s+$state/, $what);
	return;
}

sub burn_ids
{
	my ($node, $count) = @_;
	$node->safe_psql('postgres', qq{DO 'BEGIN FOR i IN 1..$count LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END'});
	return;
}

my $old = start_node('old', 1);

# ---------------------------------------------------------------------------
# DROP and CREATE EXTENSION: the ids are the same, the things are not
make_shop($old, stock => [ 5, 100 ], quota => [1]);
$old->safe_psql('postgres', q{
	SELECT commerce.adjust_stock(1, -5);
	SELECT commerce.adjust_stock(2, 1);
	SELECT commerce.claim_coupon(1, 1);
	DROP EXTENSION commerce});
make_shop($old, stock => [ 100, 5 ], quota => [1]);
is($old->safe_psql('postgres', 'SELECT commerce.adjust_stock(1, -100)'), 0, 'create again: what is there can be sold');
refused($old, 'SELECT commerce.adjust_stock(2, -6)', 'SH001', 'create again: what was there before cannot');
$old->safe_psql('postgres', 'SELECT commerce.claim_coupon(1, 1)');
pass('create again: coupons too');
check_books($old, 'create again');

# ---------------------------------------------------------------------------
# A dump, with entries folded and not folded, and marks far ahead of a new cluster
$old->safe_psql('postgres', 'DROP EXTENSION commerce');
make_shop($old, stock => [ 20, 20, 20 ], quota => [ 5, 5 ]);
burn_ids($old, 3000);
$old->safe_psql('postgres', q{
	SELECT commerce.adjust_stock(1, -5);
	SELECT commerce.place_order(1, '[{"product_id":2,"quantity":20}]');
	SELECT commerce.claim_coupon(i, 1) FROM generate_series(1, 4) i;
	SELECT commerce.fold();
	SELECT commerce.adjust_stock(1, -5);
	SELECT commerce.claim_coupon(1, 2)});
cmp_ok($old->safe_psql('postgres', 'SELECT max(mark)::text::bigint FROM commerce_private.stock'), '>', 3000, 'restore: a mark is far ahead');
my $dump = $old->basedir . '/dump.sql';
$old->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'restore: pg_dump');

sub check_restored
{
	my ($node, $what) = @_;
	is($node->safe_psql('postgres', 'SELECT string_agg(commerce.available_stock(i)::text, $$ $$ ORDER BY i) FROM generate_series(1, 3) i'),
		'10 0 20', "$what: the stock is what it was");

	$node->safe_psql('postgres', 'SELECT commerce.prepare_after_restore()');
	# what is sold from now on is counted, though its transaction ids are below the marks of the dump
	refused($node, q{SELECT commerce.place_order(1, '[{"product_id":2,"quantity":1}]')}, 'SH001', "$what: what is sold is sold");
	$node->safe_psql('postgres', 'SELECT commerce.adjust_stock(1, -8)');
	is($node->safe_psql('postgres', 'SELECT commerce.available_stock(1)'), 2, "$what: what is sold from now on is counted");
	$node->restart;
	refused($node, 'SELECT commerce.adjust_stock(1, -3)', 'SH001', "$what: and not sold again after a restart");
	$node->safe_psql('postgres', 'SELECT commerce.claim_coupon(5, 1)');
	refused($node, 'SELECT commerce.claim_coupon(6, 1)', 'SH004', "$what: of coupons too");
	my ($failed, $records) = run_clients($node, 4, sold_out());
	is(scalar @$records, 2, "$what: exactly what was left is sold");
	is($node->safe_psql('postgres', 'SELECT commerce.fold() IS NOT NULL'), 't', "$what: and folded");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM commerce_private.origin o, pg_control_system() c WHERE o.system_identifier = c.system_identifier'),
		1, "$what: the ids are this cluster's now");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM commerce_private.origin'), 1, "$what: and no other's");
	check_books($node, $what);
	return;
}

for my $preload (1, 0)
{
	my $what = 'restore, preload ' . ($preload ? 'on' : 'off');
	my $new = start_node("new$preload", $preload);
	command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $new->connstr('postgres'), '-f', $dump ], "$what: psql");
	check_restored($new, $what);
	cmp_ok($new->safe_psql('postgres', 'SELECT era FROM commerce_private.origin'), '>', $old->safe_psql('postgres', 'SELECT era FROM commerce_private.origin'),
		"$what: the outbox has a new era");
	$new->stop;
}

# Somebody has used the new extension before the data came.
{
	my $new = start_node('used', 1);
	my $session = connect_to($new);
	$session->do('CREATE EXTENSION commerce');
	$session->do('SELECT commerce.fold()');
	command_ok([ 'psql', '-X', '-q', '-d', $new->connstr('postgres'), '-f', $dump ], 'restore over: psql');
	ok(!eval { $session->do('SELECT commerce.adjust_stock(1, 1)'); 1 }, 'restore over: a session that knew the old origin is refused');
	$new->safe_psql('postgres', 'SELECT commerce.prepare_after_restore()');
	is($session->selectrow_array('SELECT commerce.adjust_stock(1, 1)'), 11, 'restore over: a session that knew the old origin looks again');
	$session->do('SELECT commerce.adjust_stock(1, -1)');
	$session->disconnect;
	check_restored($new, 'restore over');

	# a mark of the future: pg_resetwal, or a table copied by hand
	$new->safe_psql('postgres', q{SELECT commerce.adjust_stock(3, 0 - 1); SELECT commerce.fold();
		ALTER TABLE commerce_private.stock DISABLE TRIGGER ALL;
		UPDATE commerce_private.stock SET mark = '99999999' WHERE product_id = 3;
		ALTER TABLE commerce_private.stock ENABLE TRIGGER ALL;
		SELECT commerce.reload_counters()});
	$new->safe_psql('postgres', 'SELECT commerce.prepare_after_restore()');
	$new->safe_psql('postgres', 'SELECT commerce.adjust_stock(3, -9)');
	$new->restart;
	is($new->safe_psql('postgres', 'SELECT commerce.available_stock(3)'), 10, 'a mark of the future is set right before the first sale');
	refused($new, 'SELECT commerce.adjust_stock(3, -11)', 'SH001', 'and hides none');
	check_books($new, 'a mark of the future');

	# what escapes the triggers
	$new->safe_psql('postgres', q{
		ALTER TABLE commerce.stock_entries DISABLE TRIGGER ALL;
		INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES (3, -10, 'ADJUST');
		ALTER TABLE commerce.stock_entries ENABLE TRIGGER ALL;
		SELECT commerce.reload_counters()});
	refused($new, 'SELECT commerce.adjust_stock(3, -1)', 'SH001', 'reload_counters() reads what was written with triggers disabled');
	check_books($new, 'reload_counters');
}

# The data alone, from a dump that disables triggers: it leaves them enabled, but not for replication.
{
	my $data = $old->basedir . '/data.sql';
	$old->command_ok([ 'pg_dump', '--data-only', '--disable-triggers', '-f', $data, 'postgres' ], 'data alone: pg_dump');
	my $new = start_node('data', 1);
	$new->safe_psql('postgres', 'CREATE EXTENSION commerce');
	command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $new->connstr('postgres'), '-f', $data ], 'data alone: psql');
	like($new->safe_psql('postgres', 'SELECT * FROM commerce.check_invariants()'), qr/^the gate's triggers are always enabled\|\d+$/,
		'data alone: check_invariants() says what is wrong');
	$new->safe_psql('postgres', 'SELECT commerce.reload_counters()');
	$new->safe_psql('postgres', 'SELECT commerce.prepare_after_restore()');
	# a counter is loaded now
	is($new->safe_psql('postgres', 'SELECT commerce.adjust_stock(1, -1)'), 9, 'data alone: the stock is what it was');
	$new->safe_psql('postgres', q{
		SET session_replication_role = replica;
		INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES (1, -9, 'ADJUST')});
	refused($new, 'SELECT commerce.adjust_stock(1, -1)', 'SH001', 'data alone: what is written in replica mode counts, after reload_counters()');
	check_books($new, 'data alone');
}

done_testing();
