# Every id that an endpoint takes, with somebody else's thing: refused, as if it were not there, and nothing changes.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(connect_as load_shop value);
use JSON::PP;
use Test::More;

my $db = load_shop();
my $json = JSON::PP->new->ascii->allow_nonref;

# a parcel of each seller's, of whose items the first is to be exchanged
$db->do($_) for q{SELECT commerce.place_order(1, '[{"product_id":1,"quantity":1},{"product_id":3,"quantity":1}]')},
	q{SELECT commerce.dispatch_items(ARRAY[id], actor => 'ADMIN') FROM commerce.order_items WHERE id IN (1, 2)},
	(map { "SELECT commerce.change_item_status(1, '$_', 'ADMIN')" } qw(IN_TRANSIT DELIVERED EXCHANGE_REQUESTED EXCHANGE_PROCESSING));
# For each kind of thing that an argument can name: whose [ the caller's own, somebody else's ] it is, as SQL.
sub ids { return [ map { value($db, $_) } @_ ] }
my %buyers = (
	order_id => ids(map { "SELECT max(id) FROM commerce.orders WHERE user_id = $_" } 1, 2),
	order_item_id => ids(map { "SELECT max(i.id) FROM commerce.order_items i JOIN commerce.orders o ON o.id = i.order_id WHERE o.user_id = $_ AND i.status = 'PREPARING'" } 1, 2),
	order_sheet_id => ids(map { "SELECT id FROM commerce.order_sheets WHERE user_id = $_" } 1, 2),
	coupon_issue_id => ids(map { "SELECT id FROM commerce.coupon_issues WHERE user_id = $_ AND coupon_id = 1" } 1, 2));
my %sellers = (
	coupon_issue_id => ids(map { "SELECT min(id) FROM commerce.coupon_issues WHERE coupon_id = $_" } 3, 4),
	product_id => [ 1, 3 ], group_id => [ 1, 3 ], replacement_product_id => [ 2, 3 ], coupon_id => [ 3, 4 ], seller_id => [ 1, 2 ],
	shipment_id => ids(map { "SELECT id FROM commerce.shipments WHERE seller_id = $_" } 1, 2),
	promotion_id => ids(map { "SELECT id FROM commerce.promotions WHERE product_id = $_" } 1, 3),
	order_item_id => ids(map { "SELECT id FROM commerce.order_items WHERE seller_id = $_ AND status = 'PREPARING' LIMIT 1" } 1, 2),
	order_id => ids(map { "SELECT order_id FROM commerce.order_items WHERE seller_id = $_ AND status = 'PREPARING' LIMIT 1" } 1, 2));
# what everybody may name
my %common = map { $_ => 1 } ('buyer coupon_id', 'buyer product_id', 'seller user_id');

sub call
{
	my ($caller, $endpoint, $body) = @_;
	$db->begin_work;
	my $before = value($db, 'SELECT tap.books()');
	my $answer = $db->selectrow_hashref('SELECT (r).status, (r).code, (r).data FROM (SELECT tap.http(?, ?, ?) AS r) t', undef, $caller, $endpoint, $json->encode($body));
	$answer->{changed} = $before ne value($db, 'SELECT tap.books()');
	$db->rollback;
	return $answer;
}

my ($attempts, $reached) = (0, 0);
for my $row (@{ $db->selectall_arrayref(q{
	SELECT a.endpoint, a.argument, a.type::text, r.role, e.example::text
	FROM commerce_private.api_arguments a JOIN commerce_private.api_endpoints e ON e.name = a.endpoint
	CROSS JOIN LATERAL unnest(e.roles::text[]) AS r (role)
	WHERE (a.argument ~ '_ids?$' AND a.type <> 'text'::regtype OR a.type = 'uuid'::regtype) AND a.source IN ('BODY', 'SELLER') AND r.role IN ('BUYER', 'SELLER') ORDER BY 1, 2, 4}, { Slice => {} }) })
{
	my ($caller, $things) = $row->{role} eq 'BUYER' ? ('buyer 1', \%buyers) : ('seller 3', \%sellers);
	my $kind = $row->{argument} =~ s/_ids$/_id/r;
	next if $common{"@{[ $caller =~ /(\w+)/ ]} $kind"};
	my $what = "$caller: $row->{endpoint}($row->{argument})";
	my ($own, $other) = @{ $things->{$kind} // [] };
	if (!defined $other)
	{
		fail("$what: no thing of somebody else's is known here");
		next;
	}
	my $example = $json->decode($row->{example});
	# the rest of the request is fine: nobody else's coupons, products that are there
	delete $example->{$_} for grep { /coupon/ && $_ ne $row->{argument} } keys %$example;
	if (ref $example->{items}) { delete $_->{coupon_issue_id} for @{ $example->{items} } }
	my @bodies = map { { %$example, $row->{argument} => $row->{type} =~ /\[\]/ ? [$_] : $_ } } $other, $own;

	my $answer = call($caller, $row->{endpoint}, $bodies[0]);
	$attempts++;
	ok(($answer->{status} // 0) =~ /^4/ && $answer->{code} =~ /^(ENTITY_NOT_FOUND|COUPON_NOT_USABLE|INVALID_REQUEST)$/ && !$answer->{changed}, "$what of somebody else")
	  or diag($json->encode($answer));
	$answer = call($caller, $row->{endpoint}, $bodies[1]);
	$reached++ if $answer->{status} =~ /^2/ || $answer->{code} !~ /NOT_FOUND/;
}

# ids within items
for my $endpoint ('place_order', 'create_order_sheet')
{
	for my $try ([ 'in a line', { items => [ { product_id => 1, quantity => 1, coupon_issue_id => 0 + $buyers{coupon_issue_id}[1] } ] } ],
		[ 'for the order', { items => [ { product_id => 1, quantity => 1 } ], coupon_issue_ids => [ 0 + $buyers{coupon_issue_id}[1] ] } ])
	{
		my $answer = call('buyer 1', $endpoint, $try->[1]);
		$attempts++;
		ok($answer->{code} eq 'COUPON_NOT_USABLE' && !$answer->{changed}, "buyer 1: $endpoint: somebody else's coupon $try->[0]") or diag($json->encode($answer));
	}
	my $answer = call('buyer 1', $endpoint, { items => [ { product_id => 1, quantity => 1 } ], coupon_issue_ids => [ 0 + $buyers{coupon_issue_id}[0] ] });
	like($answer->{status}, qr/^2/, '  control: his own is used');
}
# a claim to be somebody else
for my $body ({ user_id => 2, amount => 100 }, { amount => 100, actor_id => 2 })
{
	my $answer = call('buyer 1', 'charge_balance', $body);
	$attempts++;
	ok($answer->{code} eq 'INVALID_REQUEST' && !$answer->{changed}, 'who calls is not a matter of the request');
}
cmp_ok($attempts, '>', 10, "$attempts attempts");
cmp_ok($reached, '>', 8, "control: $reached of these calls find the caller's own thing");
is($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()')->[0], undef, 'the books hold');
done_testing();
