# Counters under load: the boundary, random histories, eviction, holders that
# stay, long orders, and clients that are stopped in every way short of a crash.
#
# ESCROW_ROUNDS (100) is how many transactions each client of a history makes.

use strict;
use warnings;
use DBI;
use EscrowClients qw(connect_to make_shop run_clients start_clients stop_clients random_history check_books
  check_history wait_until sold_out);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $rounds = $ENV{ESCROW_ROUNDS} || 100;

my $node = PostgreSQL::Test::Cluster->new('escrow');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
max_connections = 150
max_prepared_transactions = 2
commerce.escrow_max_resources = 1200
commerce.maintenance_interval = 100ms
});
$node->start;

# A shop of its own for each part
sub new_shop
{
	my (%shop) = @_;
	my $db = connect_to($node);
	$db->do('SET client_min_messages = error');
	$db->do('DROP EXTENSION IF EXISTS commerce');
	$db->disconnect;
	make_shop($node, %shop);
	return connect_to($node);
}

sub waits
{
	my ($db, $pid) = @_;
	return scalar $db->selectrow_array(
		'SELECT cardinality(pg_blocking_pids($1)) > 0', undef, $pid);
}

# An order of so many units by this user
sub order
{
	my ($user, $product, $units) = @_;
	return qq{SELECT commerce.place_order($user, '[{"product_id":$product,"quantity":$units}]')};
}

# ---------------------------------------------------------------------------
# N units and many more takers, some of which roll back: exactly N are sold.
{
	my $db = new_shop(stock => [200]);
	my ($failed, $records) = run_clients($node, 24, sold_out());
	is($failed, 0, 'boundary: every client came to its end');
	is(scalar @$records, 200, 'boundary: exactly what there was is sold');
	is($db->selectrow_array('SELECT commerce.available_stock(1)'), 0, 'boundary: nothing is left');
	check_books($node, 'boundary');
}

# ---------------------------------------------------------------------------
# Random histories, with writes by hand, folding all the while
{
	my %shop = (products => 12, users => 40, coupons => 4, by_hand => 1, rounds => $rounds);
	new_shop(%shop, stock => [ (40) x 12 ], quota => [ 5, 10, 20, 40 ]);
	my ($failed, $records) = run_clients($node, 12, random_history(%shop));
	is($failed, 0, 'history: every client came to its end');
	check_history($node, $records, 'history');
	check_books($node, 'history');
}

# Two and more folders at once
{
	my %shop = (products => 4, users => 40, coupons => 1, rounds => $rounds);
	new_shop(%shop, stock => [ (4000) x 4 ], quota => [40]);
	my $folders = start_clients($node, 4, sub {
		my ($db, $number, $log, $node, $stop) = @_;
		$db->do('SELECT commerce.fold()') until -e $stop;
	});
	my ($failed, $records) = run_clients($node, 6, random_history(%shop));
	is($failed, 0, 'folders: every client came to its end');
	is((stop_clients($folders))[0], 0, 'folders: and every folder');
	check_history($node, $records, 'folders');
	check_books($node, 'folders');
}

# ---------------------------------------------------------------------------
# An idle holder of one unit beside a bulk order and small buyers
{
	my $db = new_shop(stock => [10]);
	my ($idle, $bulk, $small, $late) = map { connect_to($node) } 1 .. 4;
	$idle->begin_work;
	$idle->do(order(1, 1, 1));

	# ten are wanted and nine are there: this waits for the idle one
	$bulk->do(order(2, 1, 10), { pg_async => 1 });
	wait_until(sub { waits($db, $bulk->{pg_pid}) }, 'the bulk order to wait');
	pass('holder: a bulk order waits for the unit that may come back');
	is($db->selectrow_array('SELECT waiters FROM commerce.escrow'), 1, 'holder: the view escrow counts it');
	$db->do(order(5, 1, 1));
	is($db->selectrow_array('SELECT commerce.available_stock(1)'), 9, 'holder: small buyers pass it by');
	wait_until(sub { $bulk->pg_ready }, 'the bulk order to be told');
	ok(!eval { $bulk->pg_result; 1 }, 'holder: which makes ten impossible');
	is($bulk->state, 'SH001', 'holder: and the bulk order is told so, while the holder is idle still');

	# all are held: by the idle one, and by one that gives back
	$bulk->begin_work;
	$bulk->do(order(2, 1, 8));
	for ([ $small, 3 ], [ $late, 4 ])
	{
		my ($waiter, $user) = @$_;
		$waiter->do(order($user, 1, 1), { pg_async => 1 });
		wait_until(sub { waits($db, $waiter->{pg_pid}) }, 'a small buyer to wait');
	}
	# long enough that each waits for one of the two
	$bulk->rollback;
	wait_until(sub { $small->pg_ready && $late->pg_ready }, 'the small buyers to be served');
	ok(eval { $_->pg_result; 1 }, 'holder: a small buyer gets what another holder gives back') for $small, $late;
	$idle->rollback;
	is($db->selectrow_array('SELECT commerce.available_stock(1)'), 7, 'holder: all is accounted for');

	# limits on waiting
	$idle->begin_work;
	$idle->do(order(1, 1, 7));
	for (['lock_timeout', '55P03'], ['statement_timeout', '57014'])
	{
		my ($setting, $state) = @$_;
		$small->do("SET $setting = '300ms'");
		eval { $small->do(order(3, 1, 1)) };
		is($small->state, $state, "holder: $setting ends the wait");
		$small->do("RESET $setting");
	}
	$small->do(order(3, 1, 1), { pg_async => 1 });
	wait_until(sub { waits($db, $small->{pg_pid}) }, 'a buyer to wait');
	$db->do('SELECT pg_terminate_backend($1)', undef, $small->{pg_pid});
	wait_until(sub { !$db->selectrow_array('SELECT waiters FROM commerce.escrow') }, 'the waiter to go');
	$idle->rollback;
	check_books($node, 'holder');
	$_->disconnect for $idle, $bulk, $late;
}

# ---------------------------------------------------------------------------
# A limit per user keeps nobody but the user waiting
{
	my $db = new_shop(stock => [10]);
	$db->do(q{SELECT commerce.update_product(1, max_per_user => 4)});
	my ($first, $second) = map { connect_to($node) } 1 .. 2;
	$first->begin_work;
	$first->do(order(1, 1, 2));
	$second->do(order(1, 1, 2), { pg_async => 1 });
	wait_until(sub { waits($db, $second->{pg_pid}) }, 'the same user to wait');
	$db->do(q{SET lock_timeout = '1s'});
	$db->do(order(2, 1, 4));
	pass('limit: another user passes the order that the same user waits for');
	$first->commit;
	wait_until(sub { $second->pg_ready }, 'the same user to be served');
	ok(eval { $second->pg_result; 1 }, 'limit: within it, the same user goes on');
	is($db->selectrow_array('SELECT commerce.available_stock(1)'), 2, 'limit: all is accounted for');
	ok(!eval { $first->do(order(1, 1, 1)); 1 } && $first->state eq 'SH016', 'limit: and beyond it, not');
	check_books($node, 'limit');
	$_->disconnect for $first, $second;
}

# ---------------------------------------------------------------------------
# Two transactions that take twice in opposite order
{
	my $db = new_shop(stock => [ 1, 1 ]);
	my @both = map { connect_to($node) } 1 .. 2;
	$_->begin_work for @both;
	$both[0]->do(order(1, 1, 1));
	$both[1]->do(order(2, 2, 1));
	$both[0]->do(order(1, 2, 1), { pg_async => 1 });
	$both[1]->do(order(2, 1, 1), { pg_async => 1 });
	my %states;
	my @left = @both;
	wait_until(sub {
		for my $one (@left)
		{
			next unless $one->pg_ready;
			$states{ eval { $one->pg_result; 1 } ? 'taken' : $one->state }++;
			$states{taken} ? $one->commit : $one->rollback;
			@left = grep { $_ != $one } @left;
		}
		return !@left;
	}, 'a deadlock to be found');
	is_deeply(\%states, { '40P01' => 1, taken => 1 }, 'deadlock: it is found, and the other one goes on');
	check_books($node, 'deadlock');
	$_->disconnect for @both;
}

# ---------------------------------------------------------------------------
# A buyer who waits for an overdue order: lock_timeout is for all of his waits together
{
	my $db = new_shop(stock => [1], users => 2);
	my ($buyer, $busy) = map { connect_to($node) } 1 .. 2;
	$db->do(q{SELECT commerce.place_order(2, '[{"product_id":1,"quantity":1}]', payment_method => 'EXTERNAL')});
	$busy->begin_work;
	$busy->do('SELECT commerce.charge_balance(2, 100)');
	$db->do('UPDATE commerce.orders SET expires_at = now()');
	$buyer->do(q{SET lock_timeout = '1500ms'});
	eval { $buyer->do(q{SELECT commerce.place_order(1, '[{"product_id":1,"quantity":1}]')}) };
	is($buyer->state, '55P03', 'overdue: lock_timeout ends the wait');
	$busy->rollback;
	$_->disconnect for $buyer, $busy;
}

# ---------------------------------------------------------------------------
# PREPARE TRANSACTION, of orders and of writes by hand
{
	my $db = new_shop(stock => [10]);
	$db->begin_work;
	$db->do('SELECT commerce.adjust_stock(1, -1)');
	ok(!eval { $db->do(q{PREPARE TRANSACTION 'a'}); 1 }, 'prepare: a transaction that holds units cannot be prepared')
	  or BAIL_OUT('it would make everything wait');
	is($db->state, '0A000', 'prepare: and says so');
	like($db->errstr, qr/cannot PREPARE a transaction that has called an operation of commerce/, 'prepare: clearly');
	$db->rollback;

	$db->do('SELECT commerce.adjust_stock(1, -1)');
	$db->do('BEGIN');
	$db->do(q{INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES (1, -9, 'ADJUST')});
	$db->do(q{PREPARE TRANSACTION 'by hand'});
	my $other = connect_to($node);
	my $wait_for_other = sub {
		$other->do("SELECT commerce.adjust_stock(1, $_[0])", { pg_async => 1 });
		wait_until(sub { $db->selectrow_array(q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1}, undef, $other->{pg_pid}) },
			'an order to wait for the prepared write');
	};
	$wait_for_other->(-1);
	$db->do(q{COMMIT PREPARED 'by hand'});
	ok(!eval { $other->pg_result; 1 }, 'prepare: an order waits for a prepared write by hand');
	is($other->state, 'SH001', 'prepare: and sees what it has left');

	$db->do('BEGIN');
	$db->do('UPDATE commerce_private.origin SET timeline = 0');
	$db->do(q{PREPARE TRANSACTION 'by hand'});
	$wait_for_other->(1);
	$db->do(q{COMMIT PREPARED 'by hand'});
	$other->pg_result;
	is_deeply($db->selectcol_arrayref('SELECT o.timeline = c.timeline_id FROM commerce_private.origin o, pg_control_checkpoint() c'),
		[1], 'prepare: one that waits for a prepared change of the origin looks again');
	check_books($node, 'prepare');
	$other->disconnect;
}

# ---------------------------------------------------------------------------
# Orders of 1000 lines by 100 clients
{
	my $db = new_shop(stock => [ (60) x 1000 ], users => 100);
	my $items = '[' . join(',', map { qq({"product_id":$_,"quantity":1}) } 1 .. 1000) . ']';
	my ($failed, $records) = run_clients($node, 100, sub {
		my ($db, $number, $log) = @_;
		my $ok = eval { $db->do('SELECT commerce.place_order($1, $2)', undef, $number, $items); 1 };
		die $@ unless $ok || $db->state eq 'SH001';
		$log->({ ordered => 1 }) if $ok;
		return;
	});
	is($failed, 0, 'long orders: every client came to its end');
	is(scalar @$records, 60, 'long orders: as many as there is stock for');
	is($db->selectrow_array('SELECT max(stock) FROM commerce.product_list'), 0, 'long orders: all is sold');
	check_books($node, 'long orders');
}

# ---------------------------------------------------------------------------
# More resources than counters
{
	my %shop = (products => 60, users => 40, coupons => 4, rounds => $rounds);
	$node->append_conf('postgresql.conf', "commerce.escrow_max_resources = 20\n");
	$node->restart;
	my $db = new_shop(%shop, stock => [ (20) x 60 ], quota => [ 5, 10, 20, 40 ]);
	my ($failed, $records) = run_clients($node, 6, random_history(%shop));
	is($failed, 0, 'eviction: every client came to its end');
	cmp_ok($db->selectrow_array('SELECT max(evictions) FROM commerce.escrow'), '>', 100, 'eviction: there were many');
	check_history($node, $records, 'eviction');
	check_books($node, 'eviction');

	# all pinned: the answer is "busy", for what is in stock and for what is not
	$db->do('SELECT commerce.adjust_stock(60, -commerce.available_stock(60)) WHERE commerce.available_stock(60) > 0');
	my $holder = connect_to($node);
	$holder->begin_work;
	$holder->do('SELECT commerce.adjust_stock(i, 1) FROM generate_series(1, 20) i');
	for my $product (59, 60)
	{
		eval { $db->do('SELECT commerce.adjust_stock($1, -1)', undef, $product) };
		is($db->state, 'SH429', 'eviction: when all counters are pinned the answer is SERVICE_BUSY');
	}
	$holder->rollback;
	ok(eval { $db->do('SELECT commerce.adjust_stock(59, 1)'); 1 }, 'eviction: and not for long');
	check_books($node, 'eviction, all pinned');

	# as many products as one likes can be made in one transaction
	ok(eval { $db->do(q{SELECT commerce.create_product(NULL, 'p', 1, 5) FROM generate_series(1, 100)}); 1 },
		'eviction: new products need no counter');
	$holder->disconnect;
}

# ---------------------------------------------------------------------------
# Clients whose statements time out, who are terminated, and who vanish
{
	my %shop = (products => 6, users => 40, coupons => 2);
	my $db = new_shop(%shop, stock => [ (300) x 6 ], quota => [ 20, 40 ]);
	$db->do(q{ALTER SYSTEM SET statement_timeout = '15ms'});
	$db->do('SELECT pg_reload_conf()');
	my $history = random_history(%shop);
	my $clients = start_clients($node, 8, $history);
	my $quiet = connect_to($node);
	$quiet->do('SET statement_timeout = 0');
	for (1 .. 40)
	{
		sleep 0.05;
		$quiet->do(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
					 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1});
	}
	# one in the middle of a transaction, whose client is gone without a word
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		# not by exit: END blocks are the test's
		eval {
			my $gone = connect_to($node);
			$gone->do('SET statement_timeout = 0');
			$gone->begin_work;
			$gone->do('SELECT commerce.adjust_stock(2, 1000)');
		};
		kill KILL => $$;
	}
	waitpid $pid, 0;
	my ($failed, $records) = stop_clients($clients);
	is($failed, 0, 'stopped: every client came to its end');
	$quiet->do('ALTER SYSTEM RESET statement_timeout');
	$quiet->do('SELECT pg_reload_conf()');
	wait_until(sub { !$quiet->selectrow_array('SELECT count(*) FROM commerce.escrow WHERE pins > 0') }, 'the last to go');
	check_history($node, $records, 'stopped');
	check_books($node, 'stopped');
}

done_testing();
