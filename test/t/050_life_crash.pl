# A server that dies in the middle of any step of an order's life: afterwards
# nothing of the step has happened, the books are right, and the step can be
# taken. Then it dies in the middle of many of them under load.

use strict;
use warnings;
use DBI;
use EscrowClients qw(wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep sleep);

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
$node->append_conf('postgresql.conf', <<'END');
shared_preload_libraries = 'commerce'
fsync = on
restart_after_crash = on
commerce.auto_confirm_after = 0
# the worker would end the overdue order
commerce.maintenance_interval = 0
END
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_product(NULL, 'Cup', 1000, 100000, shipping_fee => 100), commerce.create_product(NULL, 'Pot', 3000, 100000);
	SELECT commerce.create_coupon('off', 'FIXED', 77, 10000, valid_days => 1);
});

sub connect_to_shop
{
	return DBI->connect('dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
}

# Kills one backend with signal 9, at which the server takes all down and
# starts again; waits for that.
sub crash
{
	my ($pid) = @_;
	my $crashes = () = slurp_file($node->logfile) =~ /all server processes terminated; reinitializing/g;
	kill 'KILL', $pid;
	for (1 .. 3000)
	{
		my @seen = slurp_file($node->logfile) =~ /all server processes terminated; reinitializing/g;
		last if @seen > $crashes && eval { connect_to_shop()->disconnect };
		usleep(10_000);
	}
	return;
}

my $db = connect_to_shop();
sub one { my ($sql, @values) = @_; return ($db->selectrow_array($sql, undef, @values))[0] }
my $user_number = 0;

# Another user with an order of the given method, with a coupon.
sub order
{
	my ($method) = @_;
	$user_number++;
	my $user = one('SELECT commerce.create_user($1, $2)', "user $user_number", "user$user_number\@example.com");
	one('SELECT balance FROM commerce.charge_balance($1, 1000000)', $user);
	my $issue = one('SELECT id FROM commerce.claim_coupon($1, 1)', $user);
	my $order = $method && one(q{SELECT id FROM commerce.place_order($1, '[{"product_id": 1, "quantity": 3}, {"product_id": 2, "quantity": 2}]', ARRAY[$2]::bigint[], payment_method => $3)},
		$user, $issue, $method);
	return ($order, $user, $issue);
}

sub item { return one('SELECT id FROM commerce.order_items WHERE order_id = $1 AND seq = 1', $_[0]) }

sub walk
{
	my ($item, @steps) = @_;
	one(q{SELECT id FROM commerce.change_item_status($1, $2, 'ADMIN')}, $item, $_) for @steps;
	return;
}

# Each step, for an order of its own: what to call, and what it comes to.
sub steps
{
	my %steps;
	my ($order, $user, $issue) = order();
	$steps{'a sheet'} = [ qq{SELECT 1 FROM commerce.create_order_sheet($user, '[{"product_id": 1, "quantity": 1}]', '{$issue}')},
		"SELECT count(*) FROM commerce.order_sheets WHERE user_id = $user", 0, 1 ];
	($order, $user, $issue) = order();
	my $sheet = one(q{SELECT id FROM commerce.create_order_sheet($1, '[{"product_id": 1, "quantity": 1}]', ARRAY[$2]::bigint[])}, $user, $issue);
	$steps{'its order'} = [ "SELECT 1 FROM commerce.place_sheet_order('$sheet')", "SELECT consumed_order_id IS NOT NULL FROM commerce.order_sheets WHERE id = '$sheet'", 0, 1 ];
	($order) = order('EXTERNAL');
	$steps{'success of a payment'} = [ "SELECT 1 FROM commerce.confirm_payment($order, true, 's$order')", "SELECT status FROM commerce.orders WHERE id = $order", 'PENDING_PAYMENT', 'PAID' ];
	($order) = order('EXTERNAL');
	$steps{'failure of a payment'} = [ "SELECT 1 FROM commerce.confirm_payment($order, false, 'f$order')", "SELECT status FROM commerce.orders WHERE id = $order", 'PENDING_PAYMENT', 'CANCELLED' ];
	($order) = order('EXTERNAL');
	one(q{SELECT id FROM commerce.confirm_payment($1, false, $2)}, $order, "g$order");
	$steps{'a late success'} = [ "SELECT 1 FROM commerce.confirm_payment($order, true, 'l$order')", "SELECT status FROM commerce.orders WHERE id = $order", 'CANCELLED', 'PAID' ];
	($order) = order('EXTERNAL');
	$db->do('UPDATE commerce.orders SET expires_at = now() WHERE id = $1', undef, $order);
	$steps{'the end of the time to pay'} = [ 'SELECT commerce.expire_pending_orders()', "SELECT status FROM commerce.orders WHERE id = $order", 'PENDING_PAYMENT', 'CANCELLED' ];
	($order) = order('BALANCE');
	$steps{'a cancel'} = [ "SELECT 1 FROM commerce.cancel_order($order, 'BUYER')", "SELECT status FROM commerce.orders WHERE id = $order", 'PAID', 'REFUNDED' ];
	($order) = order('BALANCE');
	$steps{'a cancel of a part'} = [ "SELECT 1 FROM commerce.cancel_order_item(${\item($order)}, 2, 'BUYER')", "SELECT status FROM commerce.orders WHERE id = $order", 'PAID', 'PARTIALLY_CANCELLED' ];
	($order) = order('BALANCE');
	my $item = item($order);
	walk($item, qw(DISPATCHED IN_TRANSIT DELIVERED RETURN_REQUESTED RETURN_PROCESSING));
	$steps{'a return'} = [ "SELECT 1 FROM commerce.change_item_status($item, 'RETURNED', 'SELLER')", "SELECT status FROM commerce.order_items WHERE id = $item", 'RETURN_PROCESSING', 'RETURNED' ];
	($order) = order('BALANCE');
	my $delivered = item($order);
	walk($delivered, qw(DISPATCHED IN_TRANSIT DELIVERED));
	$steps{'a confirmation'} = [ 'SELECT commerce.confirm_delivered_items()', "SELECT status FROM commerce.order_items WHERE id = $delivered", 'DELIVERED', 'CONFIRMED' ];
	return %steps;
}

my %steps = steps();
sub books { return join ' ', map { one("SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM commerce.$_ t") } qw(orders order_items order_item_events payments users balance_entries stock_entries coupon_issues order_coupons order_sheets outbox) }
my $books = books();
my $available = one('SELECT commerce.available_stock(1)');
my @open;
for my $what (sort keys %steps)
{
	my $session = connect_to_shop();
	$session->begin_work;
	$session->do($steps{$what}[0]);
	push @open, $session;
}
my ($pid) = $open[0]->selectrow_array('SELECT pg_backend_pid()');
crash($pid);
$_->{InactiveDestroy} = 1 for $db, @open;
undef @open;
$db = connect_to_shop();
is(books(), $books, 'after a crash in the middle of every step nothing of it has happened');
is(one('SELECT commerce.available_stock(1)'), $available, 'no unit is lost');
is_deeply($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right');
for my $what (sort keys %steps)
{
	my ($call, $query, $before, $after) = @{ $steps{$what} };
	is(one($query), $before, "$what: has not happened");
	$db->do($call);
	is(one($query), $after, "$what: can happen now");
}
is_deeply($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right');

# Under load: what clients saw committed is there after the crash.
my $clients = 6;
my $memory = PostgreSQL::Test::Utils::tempdir();
sub client
{
	my ($number) = @_;
	my $shop = connect_to_shop();
	open my $log, '>', "$memory/$number" or die $!;
	$log->autoflush(1);
	srand($number);
	while (1)
	{
		my $order = $shop->selectrow_array('SELECT id FROM commerce.orders ORDER BY id DESC OFFSET $1 LIMIT 1', undef, int rand 20);
		my $dice = rand;
		my $done = eval {
			if ($dice < 0.4)
			{
				my $user = 1 + int rand 5;
				my ($id) = $shop->selectrow_array(q{SELECT id FROM commerce.place_order($1, '[{"product_id": 1, "quantity": 2}, {"product_id": 2, "quantity": 1}]', payment_method => 'EXTERNAL')}, undef, $user);
				print $log "order $id\n";
			}
			elsif ($dice < 0.6)
			{
				$shop->do('SELECT commerce.confirm_payment($1, $2, $3)', undef, $order, $dice < 0.55 ? 't' : 'f', "load $order $dice");
				print $log "event $order load $order $dice\n" if $dice >= 0.55;
			}
			elsif ($dice < 0.8)
			{
				$shop->do(q{SELECT commerce.cancel_order($1, 'BUYER')}, undef, $order);
				print $log "cancelled $order\n";
			}
			else
			{
				my ($id) = $shop->selectrow_array(q{SELECT commerce.cancel_order_item(i.id, 1, 'ADMIN') FROM commerce.order_items i WHERE i.order_id = $1 AND i.status IN ('PREPARING', 'PAID') LIMIT 1}, undef, $order);
			}
			1;
		};
		next if $done || $shop->state =~ /^SH/;
		last;
	}
	return;
}
for my $round (1 .. 2)
{
	my @pids;
	$db->{InactiveDestroy} = 1;
	for my $number (1 .. $clients)
	{
		my $pid = fork // die $!;
		if ($pid == 0)
		{
			eval { client("$round-$number") };
			require POSIX;
			POSIX::_exit(0);
		}
		push @pids, $pid;
	}
	wait_until(sub { 20 < map { -e "$memory/$round-$_" ? split /\n/, slurp_file("$memory/$round-$_") : () } 1 .. $clients }, 'load');
	my $watcher = connect_to_shop();
	my ($victim) = $watcher->selectrow_array(q{SELECT pid FROM pg_stat_activity WHERE query ~ 'cancel_order|confirm_payment|place_order' AND pid <> pg_backend_pid() ORDER BY state LIMIT 1});
	$watcher->{InactiveDestroy} = 1;
	crash($victim);
	waitpid $_, 0 for @pids;
	$db = connect_to_shop();
	is_deeply($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], "round $round: the books are right after a crash under load");
	my @log = map { split /\n/, slurp_file("$memory/$round-$_") } 1 .. $clients;
	cmp_ok(scalar @log, '>', 20, "round $round: there was load");
	my @orders = map { /^order (\d+)/ ? $1 : () } @log;
	is(one('SELECT count(*) FROM commerce.orders WHERE id = ANY ($1::bigint[])', \@orders), scalar @orders, "round $round: the orders that were seen are there");
	my @cancelled = map { /^cancelled (\d+)/ ? $1 : () } @log;
	is(one(q{SELECT count(*) FROM commerce.orders WHERE id = ANY ($1::bigint[]) AND status NOT IN ('CANCELLED', 'REFUNDED')}, \@cancelled), 0, "round $round: what was cancelled is cancelled");
}
$db->do('UPDATE commerce.orders SET expires_at = now() WHERE expires_at IS NOT NULL');
one('SELECT commerce.expire_pending_orders(100000)');
is_deeply($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right when all has expired');
$db->disconnect;
$node->stop;
done_testing;
