# The life of random orders: random products of several sellers, random coupons, payments from the balance and by a
# provider, whose answers come in any order and more than once, random steps on random parts of random items, refunds
# that fail, goodwill, exchanges, lost parcels. A model of the rules, written here a second time, says after each step
# who has which money and which units; in the end everything is cancelled or returned, and what was paid has come back.
#
# Runs with a fixed seed, and with another one, which it prints; LIFE_SEED
# repeats that one. LIFE_ORDERS (50) is how many orders each makes.

use strict;
use warnings;
use DBI;
use JSON::PP;
use List::Util qw(min sum0);
use Test::More;

my $orders = $ENV{LIFE_ORDERS} || 50;
my $db = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
$db->do('SET enable_seqscan = off');	# the newest event by the index, not by all events
$db->do('SET commerce.max_pending_orders = 100000');
my $run = 0;

sub one { my ($sql, @values) = @_; return ($db->selectrow_array($sql, undef, @values))[0] }
sub row { my ($sql, @values) = @_; return $db->selectrow_hashref($sql, undef, @values) }
sub rows { my ($sql, @values) = @_; return @{ $db->selectall_arrayref($sql, { Slice => {} }, @values) } }
sub pick { return $_[ rand @_ ] }
sub between { my ($low, $high) = @_; return $low + int rand($high - $low + 1) }
sub floor_div { use integer; return $_[0] * $_[1] / $_[2] }
sub by_id { return sort { $a->{id} <=> $b->{id} } @_ }

# ---------------------------------------------------------------------------
# The shop: products in pairs of the same price, so that one can be exchanged for the other.

my @reported = (undef);
my (@sellers, %products, %stock, $balance, %ways);

sub make_shop
{
	@sellers = (undef);
	%products = ();
	for my $n (1 .. 3)
	{
		my $user = one(q{SELECT commerce.create_user($1, $2, role => 'SELLER')}, "seller $run $n", "seller$run-$n\@example.com");
		push @sellers, one('SELECT commerce.create_seller($1, $2, $3)', $user, "seller $n", "$run-$n");
		push @reported, $sellers[-1];
		row('SELECT * FROM commerce.update_seller($1, shipping_fee => $2, free_shipping_from => $3)', $sellers[-1],
			between(1, 5000), pick(undef, 50_000));
	}
	for my $n (1 .. 6)
	{
		my $price = pick(0, 1, between(1, 100), between(100, 100_000));
		my ($seller, $discount, $fee) = (pick(@sellers), between(0, $price), pick(undef, undef, 0, between(1, 5000)));
		my @pair = map { one('SELECT commerce.create_product($1, $2, $3, 100000, discount => $4, shipping_fee => $5, tax_exempt => $6)',
				$seller, "product $n $_", $price, $discount, $fee, rand() < 0.3 ? 't' : 'f') } 1, 2;
		$products{ $pair[$_] } = { id => $pair[$_], seller => $seller, twin => $pair[ 1 - $_ ], own_fee => defined $fee } for 0, 1;
		$stock{$_} = 100_000 for @pair;
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
	$db->do('UPDATE commerce.coupons SET max_units = $1 WHERE id = $2', undef, between(1, 5), $coupon) if $where{product} && rand() < 0.5;
	return one('SELECT id FROM commerce.claim_coupon($1, $2)', $user, $coupon);
}

# ---------------------------------------------------------------------------
# Money of the model: payments as rows should be, by id; refunds find their payment.

sub live_refunds
{
	my ($model, $payment) = @_;
	return sum0 map { $_->{amount} }
	  grep { $_->{kind} eq 'REFUND' && $_->{of} == $payment->{id} && $_->{status} =~ /REQUESTED|COMPLETED/ } values %{ $model->{payments} };
}

sub completed { my ($model, $method) = @_; return grep { $_->{kind} eq 'PAYMENT' && $_->{status} eq 'COMPLETED' && $_->{method} eq $method } values %{ $model->{payments} } }
sub paid { my ($model) = @_; return sum0 map { $_->{amount} } completed($model, 'BALANCE'), completed($model, 'EXTERNAL') }
sub left { my ($model) = @_; return paid($model) - $model->{refunded} }

# Rows of payments that the model expects and does not know the ids of yet
sub expect_payment
{
	my ($model, %payment) = @_;
	$payment{tax_free} = tax_free_of($model, @payment{qw(method amount)}) if $payment{kind} eq 'PAYMENT' && $payment{status} ne 'UNEXPECTED';
	push @{ $model->{new} }, \%payment;
	return;
}

# What of a payment of the order is for tax-exempt lines: a provider's share is rounded down, the balance has the rest.
sub tax_free_of
{
	my ($model, $method, $amount) = @_;
	return 0 if $model->{amount} == 0;
	return floor_div($model->{tax_free}, $amount, $model->{amount}) if $method eq 'EXTERNAL';
	return $model->{tax_free} - floor_div($model->{tax_free}, $model->{amount} - $amount, $model->{amount});
}

# What of a refund is for them: as many of the wanted won as the payment has left, and the more where it has no others.
sub tax_free_back
{
	my ($model, $payment, $amount, $wanted) = @_;
	my @live = grep { $_->{kind} eq 'REFUND' && ($_->{of} // 0) == $payment->{id} && $_->{status} =~ /REQUESTED|COMPLETED/ } values %{ $model->{payments} };
	my $tax_free = $payment->{tax_free} - sum0 map { $_->{tax_free} } @live;
	my $taxed = $payment->{amount} - $payment->{tax_free} - sum0 map { $_->{amount} - $_->{tax_free} } @live;
	my $part = $wanted < 0 ? 0 : min($wanted, $tax_free, $amount);
	$part = $amount - $taxed if $amount - $part > $taxed;
	return $part;
}

# Gives money back, of which some is wanted for tax-exempt lines: by the provider as far as its payment goes, the rest
# to the balance.
sub expect_refund
{
	my ($model, $amount, $tax_free) = @_;
	$model->{refunded} += $amount;
	for my $payment (completed($model, 'EXTERNAL'), completed($model, 'BALANCE'))
	{
		my $part = min($amount, $payment->{amount} - live_refunds($model, $payment));
		next if $part <= 0;
		my $part_free = tax_free_back($model, $payment, $part, floor_div($tax_free, $part, $amount));
		$amount -= $part;
		$tax_free -= $part_free;
		my $external = $payment->{method} eq 'EXTERNAL';
		expect_payment($model, kind => 'REFUND', method => $payment->{method}, status => $external ? 'REQUESTED' : 'COMPLETED', amount => $part, of => $payment->{id}, tax_free => $part_free);
		$balance += $part unless $external;
	}
	$model->{broken} = "$amount could go nowhere" if $amount > 0;
	return;
}

# The new rows of the database become the model's, each for an expected one.
sub settle
{
	my ($model) = @_;
	my @wrong;
	my @found = rows('SELECT * FROM commerce.payments WHERE order_id = $1 ORDER BY id', $model->{id});
	for my $row (grep { !$model->{payments}{ $_->{id} } } @found)
	{
		my ($i) = grep { my $e = $model->{new}[$_]; $e->{kind} eq $row->{kind} && $e->{method} eq $row->{method} && $e->{amount} == $row->{amount}
			  && ($e->{of} // 0) == ($row->{refund_of} // 0) } 0 .. $#{ $model->{new} };
		push(@wrong, "payment $row->{id} ($row->{kind} $row->{method} $row->{amount} $row->{status}) is unknown"), next unless defined $i;
		$model->{payments}{ $row->{id} } = { %{ splice @{ $model->{new} }, $i, 1 }, id => $row->{id} };
	}
	push @wrong, map { "order $model->{id}: no $_->{kind} of $_->{amount} by $_->{method}" } @{ $model->{new} };
	$model->{new} = [];
	my %status = map { $_->{id} => $_->{status} } @found;
	my %tax_free = map { $_->{id} => $_->{tax_free_amount} // 'none' } @found;
	push @wrong, map { "payment $_->{id} ($_->{kind}) has $tax_free{ $_->{id} } tax-free, not " . ($_->{tax_free} // 'none') }
	  grep { $tax_free{ $_->{id} } ne ($_->{tax_free} // 'none') } by_id(values %{ $model->{payments} });
	push @wrong, map { "payment $_->{id} is " . ($status{ $_->{id} } // 'gone') . ", not $_->{status}" }
	  grep { ($status{ $_->{id} } // '') ne $_->{status} } by_id(values %{ $model->{payments} });
	return @wrong;
}

# ---------------------------------------------------------------------------
# Units of the model

sub never_came { my ($item) = @_; return $item->{status} eq 'CANCELLED' || ($item->{status} eq 'RETURNED' && $item->{lost}) }

sub sharers
{
	my ($model, $item) = @_;
	return grep { ($_->{own_fee} || $item->{own_fee}) ? $_->{line} == $item->{line} : $_->{seller} == $item->{seller} } values %{ $model->{items} };
}

sub fee_is_back { my ($model, $item) = @_; return !grep { !never_came($_) } sharers($model, $item) }

sub read_items
{
	my ($model) = @_;
	my ($sums, $discount, $tax_free) = (0, 0, 0);
	my $order = row('SELECT * FROM commerce.orders WHERE id = $1', $model->{id});
	for my $row (rows('SELECT * FROM commerce.order_items WHERE order_id = $1 ORDER BY seq', $model->{id}))
	{
		my $net = $row->{line_total} - $row->{order_discount_share};
		$model->{items}{ $row->{id} } = {
			id => $row->{id}, status => $row->{status}, seller => $row->{seller_id} // 0, product => $row->{product_id}, line => $row->{line},
			quantity => $row->{quantity}, net => $net, coupon => $row->{coupon_issue_id}, own_fee => $products{ $row->{product_id} }{own_fee},
			shipping => $row->{shipping_fee} - $row->{shipping_discount}, fee_discount => $row->{shipping_discount},
			tax_exempt => $row->{tax_exempt}, deduction => 0, lost => 0, whole => $row->{quantity}, whole_net => $net };
		$sums += $net + $row->{shipping_fee} - $row->{shipping_discount};
		$discount += $row->{order_discount_share};
		$tax_free += $net if $row->{tax_exempt};
	}
	$model->{wrong} = 1 if $sums != $order->{payment_amount} || $discount != $order->{order_discount} || $tax_free != $order->{tax_free_amount};
	return;
}

# All units of an order go out of stock, or come back.
sub move_all { my ($model, $sign) = @_; $stock{ $_->{product} } += $sign * $_->{quantity} for values %{ $model->{items} }; return }
sub set_all { my ($model, $status) = @_; $_->{status} = $status for values %{ $model->{items} }; return }

# Splits units off an item of the model when they are not all of it.
sub split_off
{
	my ($model, $item, $quantity, $new_id) = @_;
	return $item if $quantity == $item->{quantity};
	my $before = $item->{whole} - $item->{quantity};
	my $net = floor_div($item->{whole_net}, $before + $quantity, $item->{whole}) - floor_div($item->{whole_net}, $before, $item->{whole});
	$item->{quantity} -= $quantity;
	$item->{net} -= $net;
	return $model->{items}{$new_id} = { %$item, id => $new_id, quantity => $quantity, net => $net, whole => $quantity, whole_net => $net, shipping => 0, fee_discount => 0 };
}

# An item has come to be cancelled or returned: what the buyer gets.
sub expect_end
{
	my ($model, @items) = @_;
	my $share = sum0 map { $_->{net} - $_->{deduction} } @items;
	if (my @never = grep { never_came($_) } @items)
	{
		my %concerned = map { $_->{id} => 1 } map { sharers($model, $_) } @never;
		$share += sum0 map { $_->{shipping} } grep { $concerned{ $_->{id} } && fee_is_back($model, $_) } values %{ $model->{items} };
	}
	my $back = min($share, left($model));
	expect_refund($model, $back, min($back, sum0 map { $_->{tax_exempt} ? $_->{net} : 0 } @items));
	return;
}

# Which coupons are with the order still
sub held_coupons
{
	my ($model) = @_;
	return () if !grep { $_->{status} ne 'CANCELLED' } values %{ $model->{items} };
	return sort grep {
		my $coupon = $model->{coupons}{$_};
		grep {
			$coupon->{kind} eq 'FREE_SHIPPING' ? $_->{fee_discount} > 0 && !fee_is_back($model, $_)
			  : !never_came($_)
			  && ($coupon->{scope} eq 'ORDER' || ($coupon->{scope} eq 'SELLER' && $_->{seller} == $coupon->{seller_id})
				|| ($coupon->{scope} eq 'PRODUCT' && ($_->{coupon} // 0) == $coupon->{coupon_issue_id}))
		} values %{ $model->{items} };
	} keys %{ $model->{coupons} };
}

sub expected_status
{
	my ($model) = @_;
	my @items = values %{ $model->{items} };
	my $gone = grep { $_->{status} =~ /^(CANCELLED|RETURNED)$/ } @items;
	my $done = grep { $_->{status} =~ /^(DELIVERED|CONFIRMED|EXCHANGED)$/ } @items;
	return 'PENDING_PAYMENT' if $model->{state} eq 'PENDING';
	return 'CANCELLED' if $model->{state} eq 'CANCELLED';
	return $gone == @items ? 'REFUNDED' : $gone + $done == @items ? 'COMPLETED' : $gone ? 'PARTIALLY_CANCELLED' : 'PAID';
}

sub differences
{
	my ($model) = @_;
	my @wrong = map { "order $model->{id}: $_" } grep { defined } delete $model->{broken};
	push @wrong, settle($model);
	my $order = row('SELECT * FROM commerce.orders WHERE id = $1', $model->{id});
	push @wrong, "order $model->{id}: refunded $order->{refunded_amount}, not $model->{refunded}" if $order->{refunded_amount} != $model->{refunded};
	push @wrong, "order $model->{id} is $order->{status}, not " . expected_status($model) if $order->{status} ne expected_status($model);
	for my $row (rows('SELECT * FROM commerce.order_items WHERE order_id = $1', $model->{id}))
	{
		my $item = $model->{items}{ $row->{id} } or push(@wrong, "item $row->{id} is unknown"), next;
		my @is = ($row->{status}, $row->{quantity}, $row->{line_total} - $row->{order_discount_share}, $row->{deduction}, $row->{replacement_product_id} // $row->{product_id});
		my @should = @$item{qw(status quantity net deduction product)};
		push @wrong, "item $row->{id}: @is, not @should" if "@is" ne "@should";
	}
	my $event = decode_json(one(q{SELECT payload FROM commerce.outbox WHERE aggregatetype = 'Order' AND aggregateid = $1 AND type <> 'DeliveryRequested'
								 ORDER BY era DESC, key DESC, position DESC LIMIT 1}, $model->{id}));
	push @wrong, "order $model->{id}: the last event says otherwise" if $event->{refunded_amount} != $model->{refunded} || $event->{status} ne $order->{status};
	my $held = join ' ', sort map { $_->{coupon_issue_id} }
	  rows(q{SELECT u.coupon_issue_id FROM commerce.order_coupons u JOIN commerce.coupon_issues i ON i.id = u.coupon_issue_id
			 WHERE u.order_id = $1 AND u.restored_at IS NULL AND i.status = 'USED' AND i.used_order_id = u.order_id}, $model->{id});
	push @wrong, "order $model->{id}: holds the coupons $held" if $held ne join ' ', held_coupons($model);
	push @wrong, "order $model->{id}: the balance is not $balance" if one('SELECT balance FROM commerce.get_balance($1)', $model->{user}) != $balance;
	return @wrong;
}

# ---------------------------------------------------------------------------
# Placing and paying

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

	my $method = pick('BALANCE', 'EXTERNAL', 'EXTERNAL');
	my $part = $method eq 'EXTERNAL' && rand() < 0.5 ? between(0, 50_000) : 0;
	my $order = eval {
		row('SELECT * FROM commerce.place_order($1, $2, $3, payment_method => $4, balance_part => $5)', $user, encode_json(\@items), \@coupons, $method, $part);
	};
	if (!$order)
	{
		die $@ unless $db->state eq 'SH008' || $@ =~ /balance_part/;
		return;
	}
	my $amount = $order->{payment_amount};
	my $model = { id => $order->{id}, user => $user, amount => $amount, tax_free => $order->{tax_free_amount}, part => $method eq 'BALANCE' ? $amount : $part, refunded => 0,
		state => $method eq 'BALANCE' || $amount == $part ? 'PAID' : 'PENDING', items => {}, payments => {}, new => [], answers => 0 };
	read_items($model);
	move_all($model, -1);
	$balance -= $model->{part};
	# an order that costs nothing has the one payment, of its method
	expect_payment($model, kind => 'PAYMENT', method => 'BALANCE', status => 'COMPLETED', amount => $model->{part}) if $model->{part} > 0 || $method eq 'BALANCE';
	expect_payment($model, kind => 'PAYMENT', method => 'EXTERNAL', status => $amount == 0 ? 'COMPLETED' : 'REQUESTED', amount => $amount - $model->{part})
	  if $method eq 'EXTERNAL' && ($amount > $model->{part} || $amount == 0);
	for my $used (rows('SELECT u.coupon_issue_id, i.kind, i.scope, i.seller_id FROM commerce.order_coupons u JOIN commerce.coupon_issues i ON i.id = u.coupon_issue_id
						WHERE u.order_id = $1', $order->{id}))
	{
		$model->{coupons}{ $used->{coupon_issue_id} } = $used;
	}
	return $model;
}

sub requested { my ($model) = @_; return grep { $_->{kind} eq 'PAYMENT' && $_->{status} eq 'REQUESTED' } values %{ $model->{payments} } }

# The order is paid for good.
sub expect_paid { my ($model) = @_; $model->{state} = 'PAID'; set_all($model, 'PREPARING'); return }

# The order will not be paid for now: all comes back.
sub expect_unpaid
{
	my ($model, $status) = @_;
	$_->{status} = $status for requested($model);
	for (completed($model, 'BALANCE'))
	{
		$_->{status} = $status;
		$balance += $_->{amount};
	}
	$model->{state} = 'CANCELLED';
	move_all($model, +1);
	set_all($model, 'CANCELLED');
	return;
}

sub provider { my ($model, $succeeded, $amount) = @_; return row('SELECT * FROM commerce.confirm_payment($1, $2, $3, $4)', $model->{id}, $succeeded ? 't' : 'f', 'answer ' . ++$model->{answers}, $amount) }

# The provider's answer, right or wrong, in time, late or once more
sub answer
{
	my ($model) = @_;
	my $owed = $model->{amount} - $model->{part};
	my $wrong = rand() < 0.2 ? pick(grep { $_ != $owed && $_ > 0 } $owed + 1, $owed - 1, 7) : undef;
	if (rand() < 0.25)
	{
		provider($model, 0);
		expect_payment($model, kind => 'PAYMENT', method => 'EXTERNAL', status => 'FAILED', amount => $owed) if $model->{state} eq 'CANCELLED' && !completed($model, 'EXTERNAL');
		expect_unpaid($model, 'FAILED') if $model->{state} eq 'PENDING';
		return;
	}
	# nothing says what a success of an order that asked for nothing is about: it says so itself
	my $amount = $owed > 0 ? pick(undef, $owed) : 7;
	provider($model, 1, $wrong // $amount);
	if ($wrong || $model->{state} eq 'PAID' || completed($model, 'EXTERNAL'))
	{
		expect_payment($model, kind => 'PAYMENT', method => 'EXTERNAL', status => 'UNEXPECTED', amount => $wrong // $amount // $owed);
	}
	elsif ($model->{state} eq 'PENDING')
	{
		$_->{status} = 'COMPLETED' for requested($model);
		expect_paid($model);
	}
	elsif ($model->{given_up})
	{
		expect_payment($model, kind => 'PAYMENT', method => 'EXTERNAL', status => 'COMPLETED', amount => $owed);
		$model->{late} = 1;
	}
	else
	{
		expect_payment($model, kind => 'PAYMENT', method => 'EXTERNAL', status => 'COMPLETED', amount => $owed);
		take_part_again($model);
		move_all($model, -1);
		expect_paid($model);
	}
	return;
}

sub take_part_again
{
	my ($model) = @_;
	return if $model->{part} == 0;
	$balance -= $model->{part};
	expect_payment($model, kind => 'PAYMENT', method => 'BALANCE', status => 'COMPLETED', amount => $model->{part});
	return;
}

# A late success for an order that a person gave up is refunded at once; its payment must be known first.
sub settle_late
{
	my ($model) = @_;
	return () unless delete $model->{late};
	my ($row) = rows(q{SELECT * FROM commerce.payments WHERE order_id = $1 AND kind = 'PAYMENT' AND method = 'EXTERNAL' AND status = 'COMPLETED'}, $model->{id});
	return "order $model->{id}: its late success is no payment" unless $row;
	$model->{payments}{ $row->{id} } = { %{ shift @{ $model->{new} } }, id => $row->{id} };
	expect_refund($model, $row->{amount}, $row->{tax_free_amount});
	return ();
}

sub give_up
{
	my ($model) = @_;
	one(q{SELECT id FROM commerce.cancel_order($1, 'BUYER', $2)}, $model->{id}, $model->{user});
	expect_unpaid($model, 'EXPIRED');
	$model->{given_up} = 1;
	return;
}

sub retry
{
	my ($model) = @_;
	one('SELECT id FROM commerce.retry_payment($1)', $model->{id});
	take_part_again($model);
	expect_payment($model, kind => 'PAYMENT', method => 'EXTERNAL', status => 'REQUESTED', amount => $model->{amount} - $model->{part});
	$model->{state} = 'PENDING';
	$model->{given_up} = 0;
	move_all($model, -1);
	set_all($model, 'PENDING_PAYMENT');
	return;
}

# What a provider says of a refund
sub report
{
	my ($model, $refund, $succeeded) = @_;
	one('SELECT id FROM commerce.report_refund($1, $2, $3)', $refund->{id}, $succeeded ? 't' : 'f', 'refund ' . ++$model->{answers});
	my $payment = $model->{payments}{ $refund->{of} };
	my $expected = $payment->{status} ne 'UNEXPECTED';
	if ($refund->{status} eq 'REQUESTED')
	{
		$refund->{status} = $succeeded ? 'COMPLETED' : 'FAILED';
		$model->{refunded} -= $refund->{amount} if !$succeeded && $expected;
	}
	elsif ($refund->{status} eq 'FAILED' && $succeeded)
	{
		if ($payment->{amount} - live_refunds($model, $payment) >= $refund->{amount})
		{
			$refund->{tax_free} = tax_free_back($model, $payment, @$refund{qw(amount tax_free)}) if $expected;
			$refund->{status} = 'COMPLETED';
			$model->{refunded} += $refund->{amount} if $expected;
		}
		else
		{
			$refund->{status} = 'UNEXPECTED';
		}
	}
	return;
}

# Something that is about money alone, or nothing when there is nothing to do
sub money_step
{
	my ($model) = @_;
	my @refunds = grep { $_->{kind} eq 'REFUND' && $_->{method} eq 'EXTERNAL' && $_->{status} ne 'UNEXPECTED' } by_id(values %{ $model->{payments} });
	my @unexpected = grep { my $p = $_; $p->{kind} eq 'PAYMENT' && $p->{status} eq 'UNEXPECTED' && !live_refunds($model, $p) } by_id(values %{ $model->{payments} });
	my @ways;
	push @ways, sub { answer($model) } if rand() < 0.3 || $model->{state} eq 'PENDING';
	push @ways, sub { give_up($model) } if $model->{state} eq 'PENDING';
	push @ways, sub {
		$db->do('UPDATE commerce.orders SET expires_at = now() WHERE id = $1', undef, $model->{id});
		one('SELECT commerce.expire_pending_orders()');
		expect_unpaid($model, 'EXPIRED');
	} if $model->{state} eq 'PENDING' && rand() < 0.5;
	push @ways, sub { retry($model) } if $model->{state} eq 'CANCELLED' && !completed($model, 'EXTERNAL') && $model->{amount} > $model->{part};
	push @ways, sub { report($model, pick(@refunds), rand() < 0.7) } if @refunds;
	push @ways, sub {
		my $payment = pick(@unexpected);
		one('SELECT id FROM commerce.return_payment($1)', $payment->{id});
		expect_payment($model, kind => 'REFUND', method => 'EXTERNAL', status => 'REQUESTED', amount => $payment->{amount}, of => $payment->{id});
	} if @unexpected;
	push @ways, sub {
		my $amount = between(1, left($model));
		one(q{SELECT id FROM commerce.refund_order($1, $2, NULL, 'sorry')}, $model->{id}, $amount);
		expect_refund($model, $amount, floor_div($model->{tax_free}, $amount, $model->{amount}));
	} if left($model) > 0 && rand() < 0.3 && $model->{state} ne 'PENDING';
	my $way = pick(@ways) or return ();
	$way->();
	return (settle_late($model), differences($model));
}

# ---------------------------------------------------------------------------
# Steps of items: from where to where.

my %next_steps = (
	PREPARING => [ 'CANCELLED', 'CANCELLED', 'CANCEL_REQUESTED', 'dispatch', 'dispatch' ],
	CANCEL_REQUESTED => [ 'PREPARING', 'CANCEL_PROCESSING' ], CANCEL_PROCESSING => ['CANCELLED'],
	DISPATCHED => [ 'IN_TRANSIT', 'IN_TRANSIT', 'PREPARING', 'lost' ], IN_TRANSIT => [ 'DELIVERED', 'DELIVERED', 'lost' ],
	DELIVERED => [ 'RETURN_REQUESTED', 'RETURN_REQUESTED', 'EXCHANGE_REQUESTED', 'CONFIRMED' ],
	CONFIRMED => [ undef, undef, 'RETURN_REQUESTED', 'EXCHANGE_REQUESTED' ],
	EXCHANGED => [ 'RETURN_REQUESTED', 'EXCHANGE_REQUESTED', 'CONFIRMED' ],
	RETURN_REQUESTED => [ 'DELIVERED', 'RETURN_PROCESSING', 'RETURN_PROCESSING' ], RETURN_PROCESSING => [ 'return', 'return', 'DELIVERED' ],
	EXCHANGE_REQUESTED => [ 'DELIVERED', 'EXCHANGE_PROCESSING', 'EXCHANGE_PROCESSING' ], EXCHANGE_PROCESSING => [ 'exchange', 'exchange', 'DELIVERED' ]);

# The part that the last step split off, if it did
sub newest { my ($model, $item, $quantity) = @_; return $quantity == $item->{quantity} ? $item->{id} : one('SELECT max(id) FROM commerce.order_items WHERE order_id = $1 AND split_from = $2', $model->{id}, $item->{id}) }

sub give_back
{
	my ($model, $item, $quantity, $lost) = @_;
	my $part_net = $quantity == $item->{quantity} ? $item->{net} : do {
		my $before = $item->{whole} - $item->{quantity};
		floor_div($item->{whole_net}, $before + $quantity, $item->{whole}) - floor_div($item->{whole_net}, $before, $item->{whole});
	};
	my ($restock, $deduction) = (rand() < 0.6, pick(0, between(0, $part_net)));
	one(q{SELECT id FROM commerce.complete_return($1, $2, $3, $4, 'ADMIN')}, $item->{id}, $restock ? 't' : 'f', $deduction, $quantity);
	$item = split_off($model, $item, $quantity, newest($model, $item, $quantity));
	@$item{qw(status deduction lost)} = ('RETURNED', $deduction, $lost);
	$stock{ $item->{product} } += $quantity if $restock;
	expect_end($model, $item);
	return;
}

sub exchange
{
	my ($model, $item, $quantity) = @_;
	my ($restock, $replacement) = (rand() < 0.6, pick(undef, $item->{product}, $products{ $item->{product} }{twin}));
	one(q{SELECT id FROM commerce.complete_exchange($1, $2, $3, $4, 'ADMIN')}, $item->{id}, $restock ? 't' : 'f', $replacement, $quantity);
	$item = split_off($model, $item, $quantity, newest($model, $item, $quantity));
	$stock{ $item->{product} } += $quantity if $restock;
	$item->{product} = $replacement // $item->{product};
	$stock{ $item->{product} } -= $quantity;
	$item->{status} = 'EXCHANGED';
	return;
}

# A parcel with some of what one seller has to send
sub dispatch
{
	my ($model, $item) = @_;
	my @items = grep { $_->{id} == $item->{id} || ($_->{status} eq 'PREPARING' && $_->{seller} == $item->{seller} && rand() < 0.5) } by_id(values %{ $model->{items} });
	my @quantities = map { pick($_->{quantity}, between(1, $_->{quantity})) } @items;
	my $parcel = one(q{SELECT id FROM commerce.dispatch_items($1, 'carrier', 'T1', $2, 'ADMIN')}, [ map { $_->{id} } @items ], \@quantities);
	for my $n (0 .. $#items)
	{
		my $part = split_off($model, $items[$n], $quantities[$n], newest($model, $items[$n], $quantities[$n]));
		$part->{status} = 'DISPATCHED';
		$part->{parcel} = $parcel;
	}
	return;
}

# A carrier's message is about all that a parcel has.
sub carry
{
	my ($model, $item, $to) = @_;
	my @moved = grep { ($_->{parcel} // 0) == $item->{parcel} && ($_->{status} eq 'DISPATCHED' || ($_->{status} eq 'IN_TRANSIT' && $to eq 'DELIVERED')) } values %{ $model->{items} };
	$ways{carry} = 1;
	my $n = one(q{SELECT commerce.change_shipment_status($1, $2, 'ADMIN')}, $item->{parcel}, $to);
	$model->{broken} = "$n items of parcel $item->{parcel} moved" if $n != @moved;
	$_->{status} = $to for @moved;
	return;
}

sub step
{
	my ($model, $item, $to) = @_;
	my $quantity = rand() < 0.5 ? $item->{quantity} : between(1, $item->{quantity});
	$ways{$_} = 1 for $item->{status}, $to;
	if ($to eq 'return' || $to eq 'lost') { give_back($model, $item, $quantity, $to eq 'lost') }
	elsif ($to eq 'exchange') { exchange($model, $item, $quantity) }
	elsif ($to eq 'dispatch') { dispatch($model, $item) }
	elsif ($to =~ /IN_TRANSIT|DELIVERED/ && $item->{status} =~ /DISPATCHED|IN_TRANSIT/ && $item->{parcel} && rand() < 0.5) { carry($model, $item, $to) }
	else
	{
		my $id = one(q{SELECT id FROM commerce.change_item_status($1, $2, 'ADMIN', quantity => $3)}, $item->{id}, $to, $quantity);
		$item = split_off($model, $item, $quantity, $id);
		$item->{status} = $to;
		delete $item->{parcel} if $to eq 'PREPARING';
		if ($to eq 'CANCELLED')
		{
			$stock{ $item->{product} } += $quantity;
			expect_end($model, $item);
		}
	}
	return differences($model);
}

# Cancels or returns whatever is left, in random order.
sub end_all
{
	my ($model) = @_;
	my @wrong;
	my %way = (
		PREPARING => 'CANCELLED', CANCEL_REQUESTED => 'CANCEL_PROCESSING', CANCEL_PROCESSING => 'CANCELLED', DISPATCHED => 'IN_TRANSIT',
		IN_TRANSIT => 'DELIVERED', DELIVERED => 'RETURN_REQUESTED', RETURN_REQUESTED => 'RETURN_PROCESSING', RETURN_PROCESSING => 'return',
		EXCHANGE_REQUESTED => 'EXCHANGE_PROCESSING', EXCHANGE_PROCESSING => 'exchange', EXCHANGED => 'RETURN_REQUESTED');
	while (my @left = grep { $way{ $_->{status} } } by_id(values %{ $model->{items} }))
	{
		my $item = pick(@left);
		push @wrong, step($model, $item, $item->{status} eq 'DELIVERED' && rand() < 0.3 ? 'EXCHANGE_REQUESTED' : $way{ $item->{status} });
	}
	# a provider that fails is asked until it does it
	for my $tries (1 .. 100)
	{
		my ($open) = grep { $_->{kind} eq 'REFUND' && $_->{status} eq 'REQUESTED' } by_id(values %{ $model->{payments} }) or last;
		report($model, $open, 1);
		push @wrong, differences($model);
	}
	my $kept = sum0 map { $_->{shipping} } grep { !fee_is_back($model, $_) } values %{ $model->{items} };
	$kept += sum0 map { $_->{status} eq 'CONFIRMED' ? $_->{net} : $_->{deduction} } values %{ $model->{items} };
	my $failed = sum0 map { $_->{amount} } grep { $_->{kind} eq 'REFUND' && $_->{status} eq 'FAILED' } values %{ $model->{payments} };
	my $order = row('SELECT * FROM commerce.orders WHERE id = $1', $model->{id});
	push @wrong, "order $model->{id}: $order->{refunded_amount} of $model->{amount} came back, not all but $kept"
	  if $order->{refunded_amount} + $failed < $model->{amount} - $kept || $order->{refunded_amount} > $model->{amount};
	return @wrong;
}

sub item_step
{
	my ($model) = @_;
	my $item = pick(by_id(values %{ $model->{items} }));
	my $to = pick(@{ $next_steps{ $item->{status} } || [] }) or return ();
	return step($model, $item, $to);
}

# What the reports of all sellers and the shop come to, with what earlier runs sold
my $earlier = 0;

sub sales
{
	my (@models) = @_;
	return $earlier += sum0 map { $_->{amount} - $_->{refunded} } grep { $_->{state} eq 'PAID' } @models;
}

sub life
{
	my ($seed) = @_;
	$run++;
	srand($seed);
	make_shop();
	my $user = one('SELECT commerce.create_user($1, $2)', "buyer $run", "buyer$run\@example.com");
	one('SELECT balance FROM commerce.charge_balance($1, 99999900)', $user) for 1 .. 10;
	$balance = one('SELECT balance FROM commerce.get_balance($1)', $user);
	my (@wrong, @models);
	my $steps = 0;
	while (@models < $orders)
	{
		my $model = place($user) or next;
		push @models, $model;
		push @wrong, "order $model->{id}: items do not add up" if $model->{wrong};
		push @wrong, differences($model);
		for (1 .. between(1, 14))
		{
			# an order that was placed before goes on too
			my $any = rand() < 0.8 ? $model : pick(@models);
			push @wrong, $any->{state} eq 'PAID' && rand() < 0.7 ? item_step($any) : money_step($any);
			$steps++;
		}
		push @wrong, end_all($model) if $model->{state} eq 'PAID' && rand() < 0.6;
	}
	is_deeply([ @wrong[ 0 .. ($#wrong > 9 ? 9 : $#wrong) ] ], [], "seed $seed: after each step of " . @models . ' orders the model is right');
	cmp_ok($steps, '>', $orders, 'there were steps');
	if ($seed == 1)
	{
		my %became = map { $_->{kind} . ' ' . $_->{status} => 1 } map { values %{ $_->{payments} } } @models;
		is_deeply([ grep { !$became{$_} } 'PAYMENT FAILED', 'PAYMENT EXPIRED', 'PAYMENT UNEXPECTED', 'REFUND COMPLETED', 'REFUND FAILED' ], [], 'payments took every way');
		is_deeply([ grep { !$ways{$_} } keys %next_steps, qw(CANCELLED lost exchange return carry dispatch) ], [], 'and items');
	}
	is_deeply([ map { $_ + 0 } map { one('SELECT commerce.available_stock($1)', $_) } sort keys %products ], [ map { $stock{$_} } sort keys %products ], 'the stock is what the orders left');
	is(one(q{SELECT coalesce(sum(r.net), 0) FROM unnest($1::bigint[]) s (id),
			 commerce.sales_report(s.id, current_date - 1, current_date + 1) r}, \@reported), sales(@models), 'the reports too');
	$db->do('RESET enable_seqscan');
	is_deeply([ map { values %$_ } rows(q{WITH told AS (
						   SELECT DISTINCT ON (i ->> 'id') i AS item
						   FROM commerce.outbox e CROSS JOIN jsonb_array_elements(e.payload -> 'items') i WHERE e.aggregatetype = 'Order'
						   ORDER BY i ->> 'id', e.era DESC, e.key DESC, e.position DESC)
					   SELECT concat_ws(' ', i.id, i.split_from, i.quantity, i.status, t.item) FROM commerce.order_items i
					   LEFT JOIN told t ON (t.item ->> 'id')::bigint = i.id
					   WHERE (i.quantity, i.line_total, i.order_discount_share, i.status::text) IS DISTINCT FROM
							 ((t.item ->> 'quantity')::bigint, (t.item ->> 'line_total')::bigint, (t.item ->> 'order_discount_share')::bigint, t.item ->> 'status')}) ],
		[], 'who reads the events alone knows all items as they are');
	is_deeply([ rows(q{SELECT aggregateid FROM commerce.outbox WHERE aggregatetype = 'CouponIssue' GROUP BY 1
					   HAVING count(*) FILTER (WHERE type = 'CouponRestored') > count(*) FILTER (WHERE type = 'CouponUsed')}) ], [], 'no coupon comes back twice');
	is_deeply([ rows('SELECT * FROM commerce.check_invariants()') ], [], 'the books are right');
	return;
}

life(1);
life(defined $ENV{LIFE_SEED} ? $ENV{LIFE_SEED} : time ^ ($$ << 8));
done_testing;
