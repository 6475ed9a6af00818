# Many clients work on the same few orders at once: they order in both ways and
# by sheets, answer for payment providers early, late and twice, cancel wholes
# and parts, take items from step to step, and let time pass, while holds are
# expired and freed. What must hold: nobody deadlocks, an error is one that the
# rules have, an answer has one effect, and the books are right.
#
# RACES_CLIENTS (12), RACES_ROUNDS per client (400), RACES_SEED (1).

use strict;
use warnings;
use DBI;
use File::Temp;
use JSON::PP;
use Storable;
use Test::More;
use Time::HiRes qw(sleep);

my $clients = $ENV{RACES_CLIENTS} || 12;
my $rounds = $ENV{RACES_ROUNDS} || 400;
my $seed = $ENV{RACES_SEED} || 1;
my $dir = File::Temp->newdir;
note "$clients clients, $rounds rounds each, seed $seed";

# not enough stock or balance, more than one user may have, coupon gone, a step that somebody else has made impossible, a price of
# yesterday, a sheet that is used, an event id of another order
my %expected = map { $_ => 1 } qw(SH001 SH002 SH007 SH008 SH009 SH010 SH011 SH012 SH014 SH016);

sub connect_to_shop { return DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1 }) }
sub pick { return $_[ rand @_ ] }

my $db = connect_to_shop();
sub one { my ($sql, @values) = @_; return ($db->selectrow_array($sql, undef, @values))[0] }

my (@users, @products, @issues);
my $kiln = one(q{SELECT commerce.create_seller(commerce.create_user('seller', 'seller@example.com', role => 'SELLER'), 'Kiln', '1')});
push @users, one('SELECT commerce.create_user($1, $2)', "user $_", "user$_\@example.com") for 1 .. 4;
one('SELECT balance FROM commerce.charge_balance($1, 90000000)', $_) for @users;
push @products, one('SELECT commerce.create_product($1, $2, $3, $4, shipping_fee => 10, max_per_user => $5)', $_ % 2 ? $kiln : undef, "product $_", 100 * $_,
	$_ < 5 ? 3 : 300, $_ > 6 ? 5 : undef) for 1 .. 8;
for my $n (1 .. 3)
{
	my $coupon = one(q{SELECT commerce.create_coupon('coupon', 'FIXED', 50, 100, valid_days => 1, seller_id => $1)}, $n == 3 ? $kiln : undef);
	push @issues, map { [ $_, one('SELECT id FROM commerce.claim_coupon($1, $2)', $_, $coupon) ] } @users;
}

# ---------------------------------------------------------------------------

sub order_of_some_age
{
	my ($shop) = @_;
	return pick(@{ $shop->selectcol_arrayref('SELECT id FROM commerce.orders ORDER BY id DESC LIMIT 12') }, 0);
}

sub item_of_some_age
{
	my ($shop) = @_;
	return pick(@{ $shop->selectcol_arrayref('SELECT id FROM commerce.order_items ORDER BY id DESC LIMIT 20') }, 0);
}

sub basket
{
	my $user = pick(@users);
	my @items = map { { product_id => $_, quantity => pick(1, 1, 2) } } (sort { rand() <=> 0.5 } @products)[ 0 .. rand 4 ];
	my @own = grep { $_->[0] == $user } @issues;
	return ($user, encode_json(\@items), rand() < 0.4 ? [ pick(@own)->[1] ] : []);
}

my %deeds = (
	place => sub {
		my ($shop) = @_;
		my ($user, $items, $coupons) = basket();
		$shop->do('SELECT commerce.place_order($1, $2, $3, payment_method => $4)', undef, $user, $items, $coupons, pick('BALANCE', 'EXTERNAL', 'EXTERNAL'));
	},
	sheet => sub {
		my ($shop) = @_;
		my ($user, $items, $coupons) = basket();
		$shop->do('SELECT commerce.create_order_sheet($1, $2, $3)', undef, $user, $items, $coupons);
	},
	use_sheet => sub {
		my ($shop) = @_;
		my $sheets = $shop->selectcol_arrayref('SELECT id FROM commerce.order_sheets ORDER BY created_at DESC LIMIT 3');
		$shop->do('SELECT commerce.place_sheet_order($1, payment_method => $2)', undef, pick(@$sheets), pick('BALANCE', 'EXTERNAL')) if @$sheets;
	},
	confirm => sub {
		my ($shop) = @_;
		my ($order) = order_of_some_age($shop);
		my $succeeded = rand() < 0.6 ? 1 : 0;
		$shop->do('SELECT commerce.confirm_payment(id, $2, $3) FROM commerce.orders WHERE id = $1 AND payment_method = $4', undef,
			$order, $succeeded, "$order $succeeded " . pick(1, 2), 'EXTERNAL');
	},
	cancel => sub {
		my ($shop) = @_;
		my ($order) = order_of_some_age($shop);
		$shop->do(q{SELECT commerce.cancel_order(id, 'BUYER', user_id) FROM commerce.orders WHERE id = $1}, undef, $order);
	},
	cancel_item => sub {
		my ($shop) = @_;
		my ($item) = item_of_some_age($shop);
		$shop->do(q{SELECT commerce.cancel_order_item(id, 1, 'ADMIN') FROM commerce.order_items WHERE id = $1}, undef, $item);
	},
	step => sub {
		my ($shop) = @_;
		my ($item) = item_of_some_age($shop);
		$shop->do(q{SELECT commerce.change_item_status(i.id, t.to_status, t.actor) FROM commerce.order_items i
					JOIN LATERAL (SELECT * FROM commerce.order_item_transitions t WHERE t.from_status = i.status AND NOT t.whole_order ORDER BY random() LIMIT 1) t ON true
					WHERE i.id = $1}, undef, $item);
	},
	overdue => sub {
		my ($shop) = @_;
		# not in the order of our locks, so in a transaction of its own that waits for nothing
		$shop->do(q{UPDATE commerce.orders SET expires_at = now() WHERE id IN
					(SELECT id FROM commerce.orders WHERE status = 'PENDING_PAYMENT' ORDER BY random() LIMIT 3 FOR UPDATE SKIP LOCKED)});
	},
	expire => sub { my ($shop) = @_; $shop->do('SELECT commerce.expire_pending_orders()') },
	auto_confirm => sub { my ($shop) = @_; $shop->do('SELECT commerce.confirm_delivered_items()') });
my @choice = map { ($_->[0]) x $_->[1] }
  [ place => 8 ], [ sheet => 1 ], [ use_sheet => 2 ], [ confirm => 5 ], [ cancel => 2 ], [ cancel_item => 2 ], [ step => 6 ], [ overdue => 2 ], [ expire => 1 ], [ auto_confirm => 1 ];

sub client
{
	my ($number) = @_;
	srand($seed * 1000 + $number);
	my $shop = connect_to_shop();
	$shop->do('SET commerce.auto_confirm_after = 0');
	my (%done, %errors, @surprises);
	for (1 .. $rounds)
	{
		my $deed = pick(@choice);
		# now and then the locks are held for a while, in a transaction of one deed
		my $slowly = rand() < 0.3;
		if (eval {
				$shop->begin_work if $slowly;
				$deeds{$deed}->($shop);
				sleep 0.004 if $slowly;
				$shop->commit if $slowly;
				1;
			})
		{
			$done{$deed}++;
			next;
		}
		my $state = $shop->state;
		$errors{$state}++;
		push @surprises, "$deed: $state $@" unless $expected{$state};
		$shop->rollback if $slowly;
	}
	Storable::store({ done => \%done, errors => \%errors, surprises => \@surprises }, "$dir/$number");
	return;
}

$db->{InactiveDestroy} = 1;
my @pids;
for my $number (1 .. $clients)
{
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		eval { client($number); 1 } or print STDERR "# $@";
		require POSIX;
		POSIX::_exit($@ ? 1 : 0);
	}
	push @pids, $pid;
}
my $ended_well = 0;
for my $pid (@pids)
{
	waitpid $pid, 0;
	$ended_well++ if $? == 0;
}
is($ended_well, $clients, 'every client came to its end');

my (%done, %errors, @surprises);
for my $result (map { Storable::retrieve("$dir/$_") } grep { -e "$dir/$_" } 1 .. $clients)
{
	$done{$_} += $result->{done}{$_} for keys %{ $result->{done} };
	$errors{$_} += $result->{errors}{$_} for keys %{ $result->{errors} };
	push @surprises, @{ $result->{surprises} };
}
note 'done: ', join ', ', map { "$_ $done{$_}" } sort keys %done;
note 'errors: ', join ', ', map { "$_ $errors{$_}" } sort keys %errors;
$db = connect_to_shop();
note 'orders: ', join ', ', map { "@$_" } @{ $db->selectall_arrayref('SELECT status, count(*) FROM commerce.orders GROUP BY 1 ORDER BY 1') };
is_deeply([ @surprises[ 0 .. ($#surprises > 9 ? 9 : $#surprises) ] ], [], 'no deadlock, and no error that the rules do not have');
is_deeply([ sort grep { !$done{$_} } keys %deeds ], [], 'everything was done');
cmp_ok($errors{SH016} // 0, '>', 0, 'limits per user were reached');
is_deeply($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right');
is(one(q{SELECT count(*) FROM (SELECT aggregateid FROM commerce.outbox WHERE type IN ('PaymentCompleted') GROUP BY 1 HAVING count(*) > 1) o}), 0, 'no order is paid twice');
is(one(q{SELECT count(*) FROM (SELECT order_id FROM commerce.payments WHERE kind = 'PAYMENT' AND status = 'COMPLETED' GROUP BY 1 HAVING count(*) > 1) o}), 0, 'nor has two payments');
is(one(q{SELECT count(*) FROM (SELECT consumed_order_id FROM commerce.order_sheets WHERE consumed_order_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1) s}), 0, 'no order is of two sheets');
is(one(q{SELECT count(*) FROM commerce.orders o WHERE (SELECT e.payload ->> 'status' FROM commerce.outbox e WHERE e.aggregatetype = 'Order' AND e.aggregateid = o.id::text
		 AND e.type <> 'DeliveryRequested' ORDER BY e.era DESC, e.key DESC, e.position DESC LIMIT 1) <> o.status::text}), 0, 'the last event of each order says what it is');
# sweeps end overdue orders, and confirm items, in a subtransaction, whose id is above that of its transaction
is(one(q{SELECT count(*) FROM commerce.outbox WHERE aggregatetype = 'Order' AND type NOT IN ('PaymentFailed', 'OrderCancelled')
		 AND payload #>> '{changes,0,to_status}' IS DISTINCT FROM 'CONFIRMED'
		 AND key::text::bigint < xmin::text::bigint}), 0, 'no event has a key below the transaction that wrote it');
$db->do('UPDATE commerce.orders SET expires_at = now() WHERE expires_at IS NOT NULL');
one('SELECT commerce.expire_pending_orders()');
is(one('SELECT count(*) FROM commerce.products p WHERE commerce.available_stock(p.id) <>
		(SELECT sum(delta) FROM commerce.stock_entries e WHERE e.product_id = p.id)'), 0, 'what is available is the sum of the journal');
is_deeply($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right when all has expired');
done_testing;
