# A dump restored into another cluster is made that cluster's own outside the callers, who are refused meanwhile: by the
# maintenance worker, or by prepare_after_restore(); in steps, at each of which it is killed.

use strict;
use warnings;
use EscrowClients qw(check_books connect_to make_shop wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub start_node
{
	my ($name, $preload) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', "max_prepared_transactions = 20\nrestart_after_crash = on\n");
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'\ncommerce.maintenance_interval = 100ms\n") if $preload;
	$node->start;
	return $node;
}

my $old = start_node('old', 1);
make_shop($old, stock => [ 20, 20, 20 ], quota => [ 5, 5 ]);
$old->safe_psql('postgres', q{DO 'BEGIN FOR i IN 1..3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END'});
$old->safe_psql('postgres', q{
	SELECT commerce.subscribe('data');
	SELECT commerce.create_seller(1, 'Kiln', '1');
	SELECT commerce.adjust_stock(1, -5);
	SELECT status FROM commerce.place_order(1, '[{"product_id":2,"quantity":20}]');
	SELECT commerce.claim_coupon(i, 1) FROM generate_series(1, 4) i;
	SELECT commerce.fold();
	SELECT commerce.refresh_popular_products();
	SELECT commerce.adjust_stock(1, -5);
	SELECT status FROM commerce.place_order(2, '[{"product_id":3,"quantity":1}]');
	SELECT commerce.claim_coupon(1, 2)});
my $dump = $old->basedir . '/dump.sql';
$old->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'a dump');

my $shown = q{
	SELECT (SELECT string_agg(commerce.available_stock(i)::text, ' ' ORDER BY i) FROM generate_series(1, 3) i),
		   (SELECT string_agg(remaining::text, ' ' ORDER BY id) FROM commerce.coupon_list),
		   (SELECT string_agg(product_id || ':' || units_sold, ' ' ORDER BY rank) FROM commerce.popular_products())};
$old->safe_psql('postgres', 'SELECT commerce.refresh_popular_products()');
my $expected = $old->safe_psql('postgres', $shown);
my $events = $old->safe_psql('postgres', q{SELECT id FROM commerce.fetch_events('data', 1000) ORDER BY position});

sub restore
{
	my ($node) = @_;
	command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $dump ], $node->name . ': restored');
	return;
}

# What a server says that may be starting: psql ends before it would read what it is asked on its standard input.
sub ask
{
	my ($node, $sql) = @_;
	my (undef, $out) = $node->psql('postgres', '', extra_params => [ '-c', $sql ]);
	return $out;
}

sub refused
{
	my ($node, $sql, $state, $what) = @_;
	my ($code, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, qr/ERROR:\s+$state/, $node->name . ": $what");
	return $err;
}

sub check_rebased
{
	my ($node) = @_;
	my $name = $node->name;
	# whatever table has transaction ids, so that a new one is not forgotten
	my $query = $node->safe_psql('postgres', q{
		SELECT string_agg(format('SELECT %L FROM %s WHERE %I >= commerce_private.to_key(pg_snapshot_xmax(pg_current_snapshot()))',
								 a.attrelid::regclass || '.' || a.attname, a.attrelid::regclass, a.attname), ' UNION ')
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind = 'r'
		  AND a.attname IN ('xid', 'event_key', 'mark')});
	is($node->safe_psql('postgres', $query), '', "$name: no transaction id is in this server's future");
	is($node->safe_psql('postgres', q{SELECT id FROM commerce.fetch_events('data', 1000) ORDER BY position}), $events, "$name: the events are what they were");
	$node->safe_psql('postgres', 'SELECT commerce.refresh_popular_products()');
	is($node->safe_psql('postgres', $shown), $expected, "$name: so are stock, coupons and best sellers");
	refused($node, q{SELECT commerce.place_order(1, '[{"product_id":2,"quantity":1}]')}, 'SH001', 'what is sold is sold');
	is($node->safe_psql('postgres', 'SELECT commerce.adjust_stock(1, -8)'), 2, "$name: what is sold from now on is counted");
	is($node->safe_psql('postgres', 'SELECT commerce.adjust_stock(1, 8)'), 10, "$name: and what comes back");
	$node->safe_psql('postgres', 'SELECT commerce.charge_balance(1, 100)');
	is($node->safe_psql('postgres', q{SELECT count(DISTINCT era) FROM commerce.fetch_events('data', 1000)}), 2, "$name: a new era has begun");
	is($node->safe_psql('postgres', 'SELECT commerce.prepare_after_restore()'), 'f', "$name: there is nothing left to do");
	check_books($node, $name);
	return;
}

# ---------------------------------------------------------------------------
# By hand, where the library is not preloaded
{
	my $node = start_node('by_hand', 0);
	restore($node);
	my $err = refused($node, 'SELECT commerce.charge_balance(1, 100)', 'SH429', 'operations are refused');
	like($err, qr/HINT:.*prepare_after_restore/, 'by_hand: the hint says what to do');
	refused($node, q{SELECT commerce.fetch_events('data')}, 'SH429', 'so are readers of events');
	$node->safe_psql('postgres', 'BEGIN; LOCK TABLE commerce.users IN SHARE MODE; PREPARE TRANSACTION $$lock$$' =~ s/\$\$/'/gr);
	($err) = ($node->psql('postgres', q{SET statement_timeout = '300ms'; SELECT commerce.prepare_after_restore()}))[2];
	like($err, qr/statement timeout/, 'by_hand: a caller has his timeout');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'commerce rebase'}), 1,
		'by_hand: what he began goes on');
	$node->safe_psql('postgres', q{ROLLBACK PREPARED 'lock'});
	wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM commerce_private.origin WHERE rebase_mark IS NULL}) == 1 }, 'its end');
	check_rebased($node);
	# ids that were reset, or a table that was copied by hand
	$node->safe_psql('postgres', 'UPDATE commerce_private.stock SET mark = 99999999 WHERE product_id = 1');
	refused($node, 'SELECT commerce.adjust_stock(1, -8)', 'SH429', 'a mark of the future refuses');
	is($node->safe_psql('postgres', 'SELECT commerce.prepare_after_restore()'), 't', 'by_hand: until it is set right');
	is($node->safe_psql('postgres', 'SELECT commerce.adjust_stock(1, -8)'), 2, 'by_hand: then it goes on');
	$node->stop;
}

# ---------------------------------------------------------------------------
# By the worker, at the first call that is refused
{
	my $node = start_node('worker', 1);
	restore($node);
	refused($node, 'SELECT commerce.charge_balance(1, 100)', 'SH429', 'operations are refused');
	wait_until(sub { ($node->psql('postgres', 'SELECT commerce.fold()'))[0] == 0 }, 'the worker to have done it');
	check_rebased($node);
	like(slurp_file($node->logfile), qr/LOG:  commerce makes what came from another server.*LOG:  commerce has made what came/s, 'worker: the log says so');
	$node->stop;
}

# ---------------------------------------------------------------------------
# Killed at every step: a prepared transaction has a lock that the step wants, and keeps it over a crash.
{
	my $node = start_node('killed', 1);
	restore($node);
	my @steps = qw(commerce_private.origin commerce_private.unfolded_sales commerce_private.stock commerce_private.coupon_quota
		commerce.order_item_events commerce.users commerce.orders commerce_private.conversion_windows);
	$node->safe_psql('postgres', "BEGIN; LOCK TABLE $_ IN SHARE MODE; PREPARE TRANSACTION '$_'") for @steps;

	my $waiting = sub {
		my ($table) = @_;
		my $pid;
		wait_until(
			sub {
				# somebody asks, again and again, and is refused
				ask($node, q{SET statement_timeout = '1s'; SELECT commerce.charge_balance(1, 100)});
				$pid = ask($node, qq{
					SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l USING (pid)
					WHERE a.backend_type = 'commerce maintenance' AND NOT l.granted AND l.relation = '$table'::regclass});
				return $pid;
			},
			"the worker to come to $table");
		return $pid;
	};
	for my $table (@steps)
	{
		my $pid = $waiting->($table);
		kill 'KILL', $pid;
		wait_until(sub { !kill(0, $pid) }, 'it to die');
		$pid = $waiting->($table);
		pass("killed: at $table, after a crash it comes to where it was");
		refused($node, 'SELECT commerce.charge_balance(1, 100)', 'SH429', 'operations are refused still');
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		$node->safe_psql('postgres', "ROLLBACK PREPARED '$table'");
	}
	wait_until(sub { ($node->psql('postgres', 'SELECT commerce.fold()'))[0] == 0 }, 'the worker to come to the end');
	check_rebased($node);
	$node->stop;
}
$old->stop;

done_testing();
