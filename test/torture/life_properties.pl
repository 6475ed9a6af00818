# The life of random orders: random products of several sellers, random coupons,
# random steps on random parts of random items. A model of the rules, written
# here a second time, says after each step what must have been refunded; in the
# end everything is cancelled or returned, and what was paid has come back.
#
# Runs with a fixed seed, and with another one, which it prints; LIFE_SEED
# repeats that one. LIFE_ORDERS (50) is how many orders each makes.

use strict;
use warnings;
use DBI;
use JSON::PP;
use Test::More;

my $orders = $ENV{LIFE_ORDERS} || 50;
my $db = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
$db->do('SET enable_seqscan = off');	# the newest event by the index, not by all events
my $run = 0;

sub one { my ($sql, @values) = @_; return ($db->selectrow_array($sql, undef, @values))[0] }
sub rows { my ($sql, @values) = @_; return @{ $db->selectall_arrayref($sql, { Slice => {} }, @values) } }
sub pick { return $_[ rand @_ ] }
sub between { my ($low, $high) = @_; return $low + int rand($high - $low + 1) }
sub floor_div { use integer; return $_[0] * $_[1] / $_[2] }

# ---------------------------------------------------------------------------
# The rules of coupons, as little as is needed to know what to expect

my (@sellers, %products, %stock);

sub make_shop
{
	@sellers = (undef);
	%products = ();
	for my $n (1 .. 3)
	{
		my $user = one(q{SELECT commerce.create_user($1, $2, role => 'SELLER')}, "seller $run $n", "seller$run-$n\@example.com");
		push @sellers, one('SELECT commerce.create_seller($1, $2, $3)', $user, "seller $n", "$run-$n");
	}
	for my $n (1 .. 12)
	{
		my $price = pick(0, 1, between(1, 100), between(100, 100_000));
		my $seller = pick(@sellers);
		my $id = one('SELECT commerce.create_product($1, $2, $3, 100000, discount => $4, shipping_fee => $5)', $seller, "product $n",
			$price, between(0, $price), pick(0, 0, between(1, 5000)));
		$products{$id} = { id => $id, seller => $seller };
		$stock{$id} = 100_000;
	}
	return;
}

# A coupon of a random kind that the user holds, and that takes something off.
sub claim
{
	my ($user, %where) = @_;
	my $kind = $where{kind} || pick('FIXED', 'PERCENT');
	my $coupon = one('SELECT commerce.create_coupon($1, $2, $3, 1, valid_days => 5, seller_id => $4, product_id => $5, round_unit => $6)',
		'coupon', $kind, $kind eq 'FIXED' ? pick(1, between(1, 1000), between(1, 50_000)) : between(1, 100),
		$where{seller}, $where{product}, $kind eq 'PERCENT' ? pick(1, 1, 10) : 1);
	return one('SELECT id FROM commerce.claim_coupon($1, $2)', $user, $coupon);
}

# Places an order, and returns the model of it, or nothing when the coupons take nothing off.
sub place
{
	my ($user) = @_;
	my (@items, @coupons);
	for my $id (map { pick(sort { $a <=> $b } keys %products) } 1 .. between(1, 6))
	{
		my $item = { product_id => $id, quantity => pick(1, 2, between(1, 30)) };
		$item->{coupon_issue_id} = claim($user, product => $id) if rand() < 0.3 && !grep { $_->{product_id} == $id } @items;
		push @items, $item;
	}
	push @coupons, claim($user, seller => pick(undef, map { $products{ $_->{product_id} }{seller} } @items)) if rand() < 0.6;
	push @coupons, claim($user, kind => 'FREE_SHIPPING', seller => pick(undef, map { $products{ $_->{product_id} }{seller} } @items)) if rand() < 0.3;

	my $method = pick('BALANCE', 'EXTERNAL');
	my $order = eval {
		$db->selectrow_hashref('SELECT * FROM commerce.place_order($1, $2, $3, payment_method => $4)', undef, $user, encode_json(\@items), \@coupons, $method);
	};
	if (!$order)
	{
		die $@ unless $db->state eq 'SH008';
		return;
	}
	if ($method eq 'EXTERNAL')
	{
		$order = $db->selectrow_hashref('SELECT * FROM commerce.confirm_payment($1, true, $2)', undef, $order->{id}, "paid $order->{id}");
	}
	my $model = { id => $order->{id}, user => $user, method => $method, paid => $order->{payment_amount}, refunded => 0, items => {} };
	my ($sums, $discount) = (0, 0);
	for my $row (rows('SELECT * FROM commerce.order_items WHERE order_id = $1 ORDER BY seq', $order->{id}))
	{
		my $net = $row->{line_total} - $row->{order_discount_share};
		$model->{items}{ $row->{id} } = {
			id => $row->{id}, status => 'PREPARING', seller => $row->{seller_id} // 0, product => $row->{product_id},
			quantity => $row->{quantity}, net => $net, coupon => $row->{coupon_issue_id},
			shipping => $row->{shipping_fee} - $row->{shipping_discount},
			whole => $row->{quantity}, whole_net => $net };
		$sums += $net + $row->{shipping_fee} - $row->{shipping_discount};
		$discount += $row->{order_discount_share};
		$stock{ $row->{product_id} } -= $row->{quantity};
	}
	$model->{wrong} = 1 if $sums != $model->{paid} || $discount != $order->{order_discount};
	for my $used (rows('SELECT u.coupon_issue_id, c.scope, c.seller_id FROM commerce.order_coupons u JOIN commerce.coupon_issues i ON i.id = u.coupon_issue_id
						JOIN commerce.coupons c ON c.id = i.coupon_id WHERE u.order_id = $1', $order->{id}))
	{
		$model->{coupons}{ $used->{coupon_issue_id} } = $used;
	}
	return $model;
}

# ---------------------------------------------------------------------------
# Steps. next_steps: from where to where without going in circles.

my %next_steps = (
	PREPARING => [ 'CANCELLED', 'CANCELLED', 'CANCEL_REQUESTED', 'DISPATCHED', 'DISPATCHED' ],
	CANCEL_REQUESTED => [ 'PREPARING', 'CANCEL_PROCESSING' ], CANCEL_PROCESSING => ['CANCELLED'],
	DISPATCHED => ['IN_TRANSIT'], IN_TRANSIT => ['DELIVERED'],
	DELIVERED => [ 'RETURN_REQUESTED', 'RETURN_REQUESTED', 'EXCHANGE_REQUESTED', 'CONFIRMED' ],
	RETURN_REQUESTED => [ 'DELIVERED', 'RETURN_PROCESSING', 'RETURN_PROCESSING' ], RETURN_PROCESSING => [ 'RETURNED', 'RETURNED', 'DELIVERED' ],
	EXCHANGE_REQUESTED => [ 'DELIVERED', 'EXCHANGE_PROCESSING' ], EXCHANGE_PROCESSING => [ 'EXCHANGED', 'DELIVERED' ]);

# Takes units of an item of the model to a status: what must be true afterwards.
sub expect
{
	my ($model, $item, $to, $quantity, $new_id) = @_;
	if ($quantity < $item->{quantity})
	{
		my $before = $item->{whole} - $item->{quantity};
		my $net = floor_div($item->{whole_net}, $before + $quantity, $item->{whole}) - floor_div($item->{whole_net}, $before, $item->{whole});
		$item->{quantity} -= $quantity;
		$item->{net} -= $net;
		$item = $model->{items}{$new_id} = { %$item, id => $new_id, quantity => $quantity, net => $net, whole => $quantity, whole_net => $net, shipping => 0 };
	}
	$item->{status} = $to;
	if ($to eq 'CANCELLED' || $to eq 'RETURNED')
	{
		$model->{refunded} += $item->{net};
		$stock{ $item->{product} } += $quantity;
	}
	if ($to eq 'CANCELLED')
	{
		my @group = grep { $_->{seller} == $item->{seller} } values %{ $model->{items} };
		if (!grep { $_->{status} ne 'CANCELLED' } @group)
		{
			$model->{refunded} += $_->{shipping} for @group;
		}
	}
	return;
}

# Which coupons are with the order still
sub held_coupons
{
	my ($model) = @_;
	return sort grep {
		my $coupon = $model->{coupons}{$_};
		grep {
			$_->{status} ne 'CANCELLED'
			  && ($coupon->{scope} eq 'ORDER' || ($coupon->{scope} eq 'SELLER' && $_->{seller} == $coupon->{seller_id})
				|| ($coupon->{scope} eq 'PRODUCT' && ($_->{coupon} // 0) == $coupon->{coupon_issue_id}))
		} values %{ $model->{items} };
	} keys %{ $model->{coupons} };
}

sub differences
{
	my ($model) = @_;
	my @wrong;
	my $order = $db->selectrow_hashref('SELECT * FROM commerce.orders WHERE id = $1', undef, $model->{id});
	push @wrong, "order $model->{id}: refunded $order->{refunded_amount}, not $model->{refunded}" if $order->{refunded_amount} != $model->{refunded};
	push @wrong, "order $model->{id}: refunded more than paid" if $order->{refunded_amount} > $model->{paid};
	for my $row (rows('SELECT * FROM commerce.order_items WHERE order_id = $1', $model->{id}))
	{
		my $item = $model->{items}{ $row->{id} } or push(@wrong, "item $row->{id} is unknown"), next;
		my $net = $row->{line_total} - $row->{order_discount_share};
		push @wrong, "item $row->{id}: $row->{status} $row->{quantity} $net, not $item->{status} $item->{quantity} $item->{net}"
		  if $row->{status} ne $item->{status} || $row->{quantity} != $item->{quantity} || $net != $item->{net};
	}
	my $event = decode_json(one(q{SELECT payload FROM commerce.outbox WHERE aggregatetype = 'Order' AND aggregateid = $1 AND type <> 'DeliveryRequested'
								 ORDER BY era DESC, key DESC, position DESC LIMIT 1}, $model->{id}));
	push @wrong, "order $model->{id}: the last event says otherwise"
	  if $event->{refunded_amount} != $model->{refunded} || @{ $event->{items} } != keys %{ $model->{items} } || $event->{status} ne $order->{status};
	my $held = join ' ', map { $_->{coupon_issue_id} } sort { $a->{coupon_issue_id} cmp $b->{coupon_issue_id} }
	  rows(q{SELECT u.coupon_issue_id FROM commerce.order_coupons u JOIN commerce.coupon_issues i ON i.id = u.coupon_issue_id
			 WHERE u.order_id = $1 AND u.restored_at IS NULL AND i.status = 'USED' AND i.used_order_id = u.order_id}, $model->{id});
	push @wrong, "order $model->{id}: holds the coupons $held" if $held ne join ' ', held_coupons($model);
	return @wrong;
}

sub step
{
	my ($model, $item, $to) = @_;
	my $quantity = rand() < 0.5 ? $item->{quantity} : between(1, $item->{quantity});
	my $id = one(q{SELECT id FROM commerce.change_item_status($1, $2, 'ADMIN', quantity => $3)}, $item->{id}, $to, $quantity);
	expect($model, $item, $to, $quantity, $id);
	return differences($model);
}

# Cancels or returns whatever is left, in random order.
sub end_all
{
	my ($model) = @_;
	my @wrong;
	my %way = (
		PREPARING => 'CANCELLED', CANCEL_REQUESTED => 'CANCEL_PROCESSING', CANCEL_PROCESSING => 'CANCELLED', DISPATCHED => 'IN_TRANSIT',
		IN_TRANSIT => 'DELIVERED', DELIVERED => 'RETURN_REQUESTED', RETURN_REQUESTED => 'RETURN_PROCESSING', RETURN_PROCESSING => 'RETURNED',
		EXCHANGE_REQUESTED => 'EXCHANGE_PROCESSING', EXCHANGE_PROCESSING => 'DELIVERED');
	while (my @left = sort { $a->{id} <=> $b->{id} } grep { $way{ $_->{status} } } values %{ $model->{items} })
	{
		my $item = pick(@left);
		push @wrong, step($model, $item, $way{ $item->{status} });
	}
	my %dispatched = map { $_->{seller} => 1 } grep { $_->{status} ne 'CANCELLED' } values %{ $model->{items} };
	my $kept = 0;
	for my $item (values %{ $model->{items} })
	{
		$kept += $item->{shipping} if $dispatched{ $item->{seller} };
		$kept += $item->{net} if $item->{status} eq 'CONFIRMED' || $item->{status} eq 'EXCHANGED';
	}
	my $order = $db->selectrow_hashref('SELECT * FROM commerce.orders WHERE id = $1', undef, $model->{id});
	push @wrong, "order $model->{id}: $order->{refunded_amount} of $model->{paid} came back, not all but $kept"
	  if $order->{refunded_amount} != $model->{paid} - $kept;
	return @wrong;
}

sub life
{
	my ($seed) = @_;
	$run++;
	srand($seed);
	make_shop();
	my $user = one('SELECT commerce.create_user($1, $2)', "buyer $run", "buyer$run\@example.com");
	one('SELECT balance FROM commerce.charge_balance($1, 99999900)', $user) for 1 .. 10;
	my $charged = one('SELECT balance FROM commerce.get_balance($1)', $user);
	my (@wrong, @models);
	my $steps = 0;
	while (@models < $orders)
	{
		my $model = place($user) or next;
		push @models, $model;
		push @wrong, "order $model->{id}: items do not add up" if $model->{wrong};
		push @wrong, differences($model);
		for (1 .. between(0, 10))
		{
			my $item = pick(sort { $a->{id} <=> $b->{id} } values %{ $model->{items} });
			my $ways = $next_steps{ $item->{status} } or next;
			push @wrong, step($model, $item, pick(@$ways));
			$steps++;
		}
		push @wrong, end_all($model) if rand() < 0.7;
	}
	is_deeply([ @wrong[ 0 .. ($#wrong > 9 ? 9 : $#wrong) ] ], [], "seed $seed: after each step of " . @models . ' orders the model is right');
	cmp_ok($steps, '>', $orders, 'there were steps');

	my $balance = $charged;
	$balance -= $_->{paid} - $_->{refunded} for grep { $_->{method} eq 'BALANCE' } @models;
	is(one('SELECT balance FROM commerce.get_balance($1)', $user), $balance, 'the balance is what the orders left');
	is_deeply([ map { $_ + 0 } map { one('SELECT commerce.available_stock($1)', $_) } sort keys %products ], [ map { $stock{$_} } sort keys %products ], 'the stock too');
	$db->do('RESET enable_seqscan');
	is_deeply([ rows(q{SELECT aggregateid FROM commerce.outbox WHERE aggregatetype = 'CouponIssue' GROUP BY 1
					   HAVING count(*) FILTER (WHERE type = 'CouponRestored') > count(*) FILTER (WHERE type = 'CouponUsed')}) ], [], 'no coupon comes back twice');
	is_deeply([ rows('SELECT * FROM commerce.check_invariants()') ], [], 'the books are right');
	return;
}

life(1);
life(defined $ENV{LIFE_SEED} ? $ENV{LIFE_SEED} : time ^ ($$ << 8));
done_testing;
