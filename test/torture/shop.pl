# Many clients do everything at once that a shop's clients do, and much that
# they should not: they roll back, to savepoints and altogether, have statements
# cancelled and connections terminated, send the same key twice, and use every
# isolation level, while stock and sales are folded and somebody writes to the
# journal by hand. Each client remembers what it saw committed. In the end the
# books must be right, and they must be the sum of what the clients remember.
#
# TORTURE_CLIENTS (16), TORTURE_ROUNDS per client (150) and TORTURE_SEED (1)
# change the run. The seed fixes what each client does, not how they meet.

use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);
use Torture qw($clients $rounds connect_to_shop note_error one pick reconnect run table transaction);

my $users = $clients < 40 ? 40 : $clients;

# ---------------------------------------------------------------------------
# The shop: products of much and of little stock, coupons of much and of
# little quota. Product 1 and coupon 1 are never given anything back, so that
# "sold out" is final.

my $db = connect_to_shop('torture');
my %stock = (1 => $clients * $rounds / 40, 2 => 30, 3 => 100, 4 => 1000, 5 => 100_000, 6 => 100_000, 7 => 0, 8 => 5);
my %quota = (1 => 15, 2 => 1000, 3 => 25);
for my $user (1 .. $users)
{
	$db->do('SELECT commerce.create_user($1, $2)', undef, "user $user", "user$user\@example.com");
	$db->do('SELECT commerce.charge_balance($1, 3000000)', undef, $user);
}
for my $product (sort keys %stock)
{
	$db->do('SELECT commerce.create_product(NULL, $1, $2, $3, shipping_fee => $4, max_per_order => $5)', undef,
		"product $product", 1000 * $product, int $stock{$product}, 500 * ($product % 2), $product == 6 ? 4 : undef);
	$stock{$product} = int $stock{$product};
}
my ($first_single, $singles) = (101, 10 * $clients);
$db->do('SELECT setval($1, 100)', undef, 'commerce.products_id_seq');
for my $product ($first_single .. $first_single + $singles - 1)
{
	$db->do('SELECT commerce.create_product(NULL, $1, 100, 1)', undef, "single $product");
	$stock{$product} = 1;
}
for my $coupon (sort keys %quota)
{
	$db->do(q{SELECT commerce.create_coupon($1, 'FIXED', 300, $2, valid_days => 1)}, undef, "coupon $coupon", $quota{$coupon});
}
$db->disconnect;

# ---------------------------------------------------------------------------
# What a client does. Each deed makes one call and returns what is to be
# remembered if it is committed.

sub order
{
	my ($shop) = @_;
	my $user = 1 + int rand $users;
	my (%units, @items, $key, @coupons);
	if (rand() < 0.3)
	{
		@items = ({ product_id => 1, quantity => 1 });
	}
	else
	{
		push @items, { product_id => pick(2, 3, 7, 8, (4, 5, 6) x 3), quantity => 1 + int rand 3 } for 0 .. rand 4;
	}
	$units{ $_->{product_id} } += $_->{quantity} for @items;
	my @claimed = map { $_->{id} } grep { $_->{what} eq 'claim' && $_->{user} == $user } @{ $shop->{memory} };
	@coupons = pick(@claimed) if @claimed && rand() < 0.5;

	# what is asked with a key must be the same for everybody who uses it
	if (rand() < 0.2)
	{
		$user = 1;
		my $n = int($shop->{round} / 3);
		$key = "order $n";
		%units = (5 => 1 + $n % 3);
		@items = ({ product_id => 5, quantity => 1 + $n % 3 });
		@coupons = ();
	}
	my ($id, $amount) = $shop->{db}->selectrow_array(
		'SELECT id, payment_amount FROM commerce.place_order($1, $2, $3, $4)', undef,
		$user, encode_json(\@items), \@coupons, $key);
	return { what => 'order', id => $id, user => $user, amount => $amount, units => \%units, key => $key, coupon => $coupons[0] };
}

sub charge
{
	my ($shop) = @_;
	my $user = 1 + int rand $users;
	my $n = rand() < 0.3 ? int($shop->{round} / 4) : undef;
	$user = 2 if defined $n;
	my $amount = defined $n ? 100 + 100 * $n : 100 * (1 + int rand 500);
	one($shop->{db}, 'SELECT balance FROM commerce.charge_balance($1, $2, $3)', $user, $amount, defined $n ? "charge $n" : undef);
	return { what => 'charge', user => $user, amount => $amount, key => defined $n ? "charge $n" : undef };
}

sub claim
{
	my ($shop) = @_;
	my ($user, $coupon) = (1 + int rand $users, 1 + int rand 3);
	my $id = one($shop->{db}, 'SELECT id FROM commerce.claim_coupon($1, $2)', $user, $coupon);
	return { what => 'claim', id => $id, user => $user, coupon => $coupon };
}

sub adjust
{
	my ($shop) = @_;
	my $product = 2 + int rand 7;
	my $delta = pick(-3 .. -1, 1 .. 6);
	one($shop->{db}, 'SELECT commerce.adjust_stock($1, $2)', $product, $delta);
	return { what => 'adjust', product => $product, delta => $delta };
}

# A DBA who knows only the tables.
sub by_hand
{
	my ($shop) = @_;
	my $product = 2 + int rand 7;
	$shop->{db}->do(q{INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES ($1, 2, 'ADJUST')}, undef, $product);
	return { what => 'adjust', product => $product, delta => 2 };
}

# The last unit of what is never given back, in a transaction with nothing else.
sub last_unit
{
	my ($shop) = @_;
	my $user = 1 + int rand $users;
	my ($id, $amount) = $shop->{db}->selectrow_array(
		q{SELECT id, payment_amount FROM commerce.place_order($1, '[{"product_id": 1, "quantity": 1}]')}, undef, $user);
	return { what => 'order', id => $id, user => $user, amount => $amount, units => { 1 => 1 } };
}

sub last_coupon
{
	my ($shop) = @_;
	my $user = 1 + int rand $users;
	my $id = one($shop->{db}, 'SELECT id FROM commerce.claim_coupon($1, 1)', $user);
	return { what => 'claim', id => $id, user => $user, coupon => 1 };
}

# Products of which there is one unit each: three clients ask for it at about
# the same time, once, and some of them do not keep it. Who is refused is
# refused because somebody else has bought it, which is checked in the end.
sub single_units
{
	my ($shop) = @_;
	my $number = $shop->{number};
	for my $n (0 .. $singles - 1)
	{
		next if ($n + $number) % $clients > 2;
		my $product = $first_single + $n;
		my $keep = rand() < 0.5;
		eval {
			$shop->{db}->begin_work;
			my ($id, $amount) = $shop->{db}->selectrow_array(
				'SELECT id, payment_amount FROM commerce.place_order($1, $2)', undef, $number,
				encode_json([ { product_id => $product, quantity => 1 } ]));
			sleep rand 0.005;
			if ($keep)
			{
				$shop->{db}->commit;
				push @{ $shop->{memory} },
				  { what => 'order', id => $id, user => $number, amount => $amount, units => { $product => 1 } };
			}
			else
			{
				$shop->{db}->rollback;
			}
			1;
		} or do
		{
			my $state = note_error($shop, $@);
			push @{ $shop->{refused_single} }, $product if $state eq 'SH001';
			$shop->{db}->rollback;
		};
	}
	return;
}

sub play_round
{
	my ($shop) = @_;
	my $dice = rand;
	if ($dice < 0.15)
	{
		# sold out, said to somebody who holds nothing: final
		my $state = transaction($shop, pick(\&last_unit, \&last_coupon)) // '';
		push @{ $shop->{sold_out} }, $state if $state =~ /^SH00[14]$/;
	}
	elsif ($dice < 0.65)
	{
		transaction($shop, pick((\&order) x 5, (\&charge) x 2, \&claim, \&adjust));
	}
	elsif ($dice < 0.95)
	{
		transaction($shop, map { pick((\&order) x 4, \&charge, \&claim, \&adjust) } 0 .. rand 4);
	}
	elsif ($dice < 0.97)
	{
		# a writer by hand has nothing else in its transaction: what holds
		# the gate as an order must not ask for it as somebody else
		transaction($shop, \&by_hand);
	}
	else
	{
		# a client that vanishes with a transaction open
		eval {
			$shop->{db}->begin_work;
			order($shop);
			1;
		} or note_error($shop, $@);
		reconnect($shop);
	}
	return;
}

my ($results, $memory) = run(
	opening => \&single_units,
	round   => \&play_round,
	disturb => [
		('SELECT commerce.fold()') x 2, 'SELECT commerce.refresh_popular_products()',
		'SELECT commerce.expire_coupons()', 'SELECT count(*) FROM commerce.product_list' ],
	expect => [qw(40P01 SH001 SH002 SH004 SH005 SH007 SH008 SH014 SH016 SH429)]);
my @results = @$results;
my @memory = @$memory;

# The same key: the same order, remembered once.
my (%by_key, @orders, @charges, $differing);
for my $deed (@memory)
{
	next unless $deed->{what} =~ /^(order|charge)$/;
	my $list = $deed->{what} eq 'order' ? \@orders : \@charges;
	if (defined $deed->{key})
	{
		if (my $before = $by_key{ $deed->{key} })
		{
			$differing++ if ($before->{id} // '') ne ($deed->{id} // '');
			next;
		}
		$by_key{ $deed->{key} } = $deed;
	}
	push @$list, $deed;
}
ok(!$differing, 'the same key had the same answer');
cmp_ok(scalar(keys %by_key), '>', 0, 'keys were used');

$db = connect_to_shop('torture');
is_deeply($db->selectall_arrayref('SELECT invariant, violations FROM commerce.check_invariants()'), [], 'the books are right');

my (%paid, %charged, %sold, %adjusted, %claimed);
for (@orders)
{
	$paid{ $_->{user} } += $_->{amount};
	for my $product (keys %{ $_->{units} })
	{
		$sold{$product} += $_->{units}{$product};
	}
}
$charged{ $_->{user} } += $_->{amount} for @charges;
$adjusted{ $_->{product} } += $_->{delta} for grep { $_->{what} eq 'adjust' } @memory;
$claimed{ $_->{coupon} }++ for grep { $_->{what} eq 'claim' } @memory;

is_deeply([ map { $_->[0] } @{ $db->selectall_arrayref('SELECT id FROM commerce.orders ORDER BY id') } ],
	[ sort { $a <=> $b } map { $_->{id} } @orders ], 'the orders are those that the clients saw committed');
is_deeply(table($db, 'SELECT user_id, sum(payment_amount) FROM commerce.orders GROUP BY 1'), \%paid, 'and cost what they saw');
is_deeply(table($db, 'SELECT id, balance FROM commerce.users'),
	{ map { $_ => 3000000 + ($charged{$_} // 0) - ($paid{$_} // 0) } 1 .. $users }, 'balances: what was charged less what was paid');
is_deeply(table($db, q{SELECT product_id, -sum(delta) FROM commerce.stock_entries WHERE reason = 'ORDER' GROUP BY 1}), \%sold,
	'units sold: no unit lost, none counted twice');
is_deeply(table($db, 'SELECT id, commerce.available_stock(id) FROM commerce.products'),
	{ map { $_ => $stock{$_} + ($adjusted{$_} // 0) - ($sold{$_} // 0) } keys %stock }, 'units left: what was there, came and went');
is_deeply(table($db, 'SELECT coupon_id, count(*) FROM commerce.coupon_issues GROUP BY 1'), \%claimed, 'coupons: those that the clients saw');
is_deeply(table($db, q{SELECT used_order_id, id FROM commerce.coupon_issues WHERE status = 'USED'}),
	{ map { $_->{id} => 0 + $_->{coupon} } grep { defined $_->{coupon} } @orders }, 'coupons used: by those orders');
is(one($db, 'SELECT count(*) FROM (SELECT id FROM commerce.outbox GROUP BY 1 HAVING count(*) > 1) d'), 0, 'no event twice');
is(one($db, q{SELECT count(*) FROM commerce.outbox WHERE type = 'OrderCreated'}), scalar @orders, 'an event for each order, and no other');

# "Sold out" was never said too early: what cannot come back is all gone.
my %sold_out = map { $_ => 1 } map { @{ $_->{sold_out} // [] } } @results;
ok($sold_out{SH001} && $sold_out{SH004}, 'the last unit and the last coupon were asked for');
is($sold{1} // 0, $stock{1}, 'nobody was refused while a unit was left') if $sold_out{SH001};
is($claimed{1} // 0, $quota{1}, 'nobody was refused while a coupon was left') if $sold_out{SH004};

my %refused_single = map { $_ => 1 } map { @{ $_->{refused_single} // [] } } @results;
cmp_ok(scalar(keys %refused_single), '>', $singles / 10, 'single units were asked for more than once');
is_deeply([ grep { !$sold{$_} } sort keys %refused_single ], [], 'and nobody was refused one that was not sold');

# Sales are counted once, whenever they were folded.
$db->do('SELECT commerce.refresh_popular_products()');
is_deeply(table($db, 'SELECT product_id, sum(units) FROM commerce.product_daily_sales GROUP BY 1'), \%sold, 'best sellers count every unit once');
$db->do('SELECT commerce.fold()');
is_deeply($db->selectall_arrayref('SELECT invariant, violations FROM commerce.check_invariants()'), [], 'and the books are right when folded');
$db->disconnect;
done_testing();
