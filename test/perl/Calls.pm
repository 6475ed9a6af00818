# What the fuzzers share: a shop, the functions of the contract, which are read from the catalog and from openapi(),
# and random calls of them. What is drawn depends on srand() alone.

package Calls;

use strict;
use warnings;
use DBI;
use Exporter qw(import);
use JSON::PP;
use Torture qw(one pick);

our @EXPORT_OK = qw(@endpoints @functions @internal call claims connect_as draw draw_ahead headers look_at_books next_function open_shop statement);

our (@functions, @endpoints, @internal);
my ($db, %labels, @often);

# For PostgREST's role, with what decides how the caller is told, which a superuser sets
sub connect_as
{
	my ($role, $subject) = @_;
	my $db = DBI->connect('dbi:Pg:application_name=fuzz', undef, undef,
		{ RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_server_prepare => 0 });
	$db->{InactiveDestroy} = 1;
	$db->do('SET client_min_messages = error');
	$db->do("SET commerce.jwt_subject = $subject") if $subject;
	$db->do("SET SESSION AUTHORIZATION $role") if $role;
	return $db;
}

# ---------------------------------------------------------------------------
# The shop and the contract

# What a shop lives of is called more often.
my %weight = (
	place_order => 12, claim_coupon => 5, charge_balance => 6, create_order_sheet => 5, place_sheet_order => 5,
	confirm_payment => 5, cancel_order => 5, cancel_order_item => 6, change_item_status => 10, adjust_stock => 5,
	expire_pending_orders => 2);

sub read_contract
{
	my $contract = $db->selectall_arrayref(q{
		SELECT n.nspname AS schema, p.proname AS name, p.pronargdefaults AS defaults,
			n.nspname <> 'commerce_api' AND NOT has_function_privilege('shop', p.oid, 'EXECUTE') AS internal,
			ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, i) ORDER BY i) AS types,
			coalesce(p.proargnames[1:(p.pronargs)], '{}') AS names
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
		JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'commerce'
		WHERE p.prokind = 'f' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
		ORDER BY 1, 2, 5}, { Slice => {} });
	@functions = grep { !$_->{internal} && $_->{schema} ne 'commerce_api' } @$contract;
	@endpoints = grep { $_->{schema} eq 'commerce_api' } @$contract;

	# rebase() makes an era, as after a restore, and is not repeated for nothing
	@internal = grep { $_->{internal} && $_->{name} ne 'rebase' } @$contract;
	%labels = map { $_->[0] => $_->[1] } @{ $db->selectall_arrayref(q{
		SELECT t.oid::regtype::text, ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname LIKE 'commerce%' AND t.typtype = 'e'}) };
	my $paths = JSON::PP->new->decode(one($db, 'SELECT commerce_private.openapi()'))->{paths};
	for my $endpoint (@endpoints)
	{
		my $schema = $paths->{"/rpc/$endpoint->{name}"}{post}{requestBody}{content}{'application/json'}{schema};
		$endpoint->{members} = [ sort keys %{ $schema->{properties} // {} } ];
	}
	@often = map { ($_) x ($weight{ $_->{name} } // 0) } @functions;
	return;
}

# The shop, with a catalogue of what can be called
sub open_shop
{
	$db = connect_as();
	$db->do(q{
		SELECT commerce.create_user('U' || i, 'u' || i || '@example.com', role => CASE WHEN i IN (2, 3) THEN 'SELLER' ELSE 'BUYER' END::commerce.user_role)
		FROM generate_series(1, 8) i});
	$db->do(q{UPDATE commerce.users SET role = 'ADMIN' WHERE id = 1});
	$db->do(q{SELECT commerce.create_seller(2, 'Two', '2'), commerce.create_seller(3, 'Three', '3')});
	$db->do(q{SELECT commerce.charge_balance(i, 50000000) FROM generate_series(1, 8) i});
	$db->do(q{SELECT commerce.create_product(CASE WHEN i % 3 > 0 THEN i % 3 END, 'P' || i, 100 * i, CASE i WHEN 1 THEN 5 ELSE 10000 END, discount => i % 2, shipping_fee => i % 4)
		FROM generate_series(1, 6) i});
	$db->do(q{SELECT commerce.create_coupon('C' || i, (CASE i % 3 WHEN 0 THEN 'PERCENT' WHEN 1 THEN 'FIXED' ELSE 'FREE_SHIPPING' END)::commerce.coupon_kind, i % 3 * 10 % 20 + 5 * (i % 3 / 2 + 1) - i % 3 / 2 * 15, 1000, valid_days => 10)
		FROM generate_series(1, 3) i});
	$db->do(q{SELECT commerce.claim_coupon(u, c) FROM generate_series(1, 8) u, generate_series(1, 3) c});
	$db->do(q{SELECT commerce.subscribe('sub' || i) FROM generate_series(1, 4) i});
	$db->do(q{SELECT commerce.place_order(u, '[{"product_id": 2, "quantity": 3}, {"product_id": 3, "quantity": 2}]', payment_method => m::commerce.payment_method)
		FROM generate_series(1, 8) u, unnest('{BALANCE,EXTERNAL}'::text[]) m});
	$db->do(q{SELECT commerce.create_order_sheet(u, '[{"product_id": 4, "quantity": 1}]') FROM generate_series(1, 8) u});
	$db->do(q{SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin')});
	read_contract();
	return $db;
}

# What is wrong with the books, and with the counters while nobody is in a transaction. What other cells were said to have
# is no stock of this one. What is received of a transfer that nobody has sent is true here: of a coupon, that can be more
# than there are.
sub look_at_books
{
	my ($session) = @_;
	my $books = one($session, q{
		SELECT string_agg(i::text, E'\n') FROM commerce.check_invariants() i
		WHERE i.invariant <> 'a coupon is not issued more often than its quantity' OR EXISTS (
			SELECT FROM commerce.coupons c
			WHERE c.quantity + (SELECT coalesce(sum(t.units), 0) FROM commerce.transfers_in t WHERE t.kind = 'QUOTA' AND t.resource_id = c.id)
				< (SELECT count(*) FROM commerce.coupon_issues i WHERE i.coupon_id = c.id))});
	my $counters = one($session, q{
		SELECT string_agg(e::text, E'\n') FROM commerce.escrow e WHERE in_flight <> 0 OR pins <> 0 OR waiters <> 0 OR kind = 'stock'
			AND available <> (SELECT greatest(l.units, 0) FROM commerce_private.stock_left l WHERE l.product_id = e.resource_id)});
	return (defined $books ? "the books: $books" : (), defined $counters ? "counters: $counters" : ());
}

# ---------------------------------------------------------------------------
# Values, as SQL or as JSON

# Whether what is drawn is to be good as far as that is known beforehand: of values that are any, one of six is wrong, and
# hardly a call of six arguments would do its work.
my $tame = 0;

my @strange = (0, 1, -1, 100, 10**9, '9223372036854775807', '-9223372036854775808', '2147483648');

sub id
{
	return 1 + int rand 8 if $tame;
	return pick(1 + int rand 8, 1 + int rand 40, 1 + int rand 400, pick(@strange));
}

sub any_text
{
	return 'x' if $tame;
	return pick('', 'x', 'key' . int(rand 30), 'x' x pick(10, 10, 300, 300, 5000), '한국어', q{a'b"c\\d}, "\x{1}", 'a@b', '%', 'null',
		'BUYER', '{"a":1}', 'http://127.0.0.1:1/x', 'OrderCreated',
		'00000001-00000000000003e8-0000000000000001', 'ffffffff-ffffffffffffffff-ffffffffffffffff');
}

# JSON is put together as text: half of the time that a fuzzer has would be an encoder's.
sub json_text { return '"' . $_[0] =~ s/(["\\\x00-\x1f])/sprintf '\\u%04x', ord $1/ger . '"' }

sub line
{
	my $product = 1 + int rand 6;
	my $quantity = 1 + int rand 3;
	$product = pick(1 + int rand 40, 'null', '"x"', 1.5, -1) if !$tame && rand() < 0.1;
	$quantity = pick(0, -1, 10, '"2"', 'null', 0.5, 1e300) if !$tame && rand() < 0.1;
	my $line = qq({"product_id": $product);
	$line .= qq(, "quantity": $quantity) if rand() > 0.03;
	$line .= ', "coupon_issue_id": ' . id() if rand() < 0.2;
	$line .= ', "more": 1' if rand() < 0.03;
	return "$line}";
}

sub lines { return '[' . join(', ', map { line() } 1 .. pick(@_)) . ']' }

sub document
{
	return pick('[]', '{}', 'null', '1', '"x"', '[null]', '[[[]]]', '[1,2]', '[' x 200 . ']' x 200, '{"a":{"b":[1,{"c":null}]}}')
	  if !$tame && rand() < 0.1;
	return lines(1, 1, 2, 3, 5, $tame ? () : 30);
}

# A number for an argument of this name
sub number
{
	my ($name) = @_;
	return pick(100, 1000, 50000, $tame ? () : pick(@strange)) if $name =~ /amount|price|value|fee|discount/;
	return pick(1, 1, 2, 5, $tame ? () : (-1, 100, pick(@strange))) if $name =~ /quantity|delta|stock|batch|max|days|top|limit/;
	return id();
}

# A text for an argument of this name, which is to be good half of the time
sub text
{
	my ($name) = @_;
	return any_text() if !$tame && rand() < 0.3;
	return 'sub' . (1 + int rand 4) if $name =~ /subscription|^name$/;
	return 'key' . int rand 1000 if $name =~ /key|event_id/;
	return 'u' . int(rand 1e6) . '@example.com' if $name eq 'email';
	return any_text();
}

# Where the newest of what an argument names is found
my %newest = (
	order_id => 'orders', order_item_id => 'order_items', item_id => 'order_items', coupon_issue_id => 'coupon_issues',
	payment_id => 'payments', shipment_id => 'shipments', user_id => 'users', product_id => 'products');

sub quote { return $db->quote($_[0]) }

# A value as text, undef for NULL, or "\x03TABLE N", the id of one of the newest
sub value
{
	my ($type, $name) = @_;
	return undef if rand() < ($tame ? 0.02 : 0.06);
	my $bare = $type =~ s/\[\]$//r;
	if ($type =~ /\[\]$/)
	{
		return '{}' if $tame && rand() < 0.8;
		return pick('{}', '{1}', '{' . id() . '}', '{1,1}', '{NULL}', '{{1,2},{3,4}}', '[5:6]={1,2}', '{' . join(',', 1 .. 400) . '}')
		  if $bare =~ /int|numeric/;
		return pick('{}', '{OrderCreated}', '{NULL}', '{x,y}', '{{a,b}}', '{00000001-00000000000003e8-0000000000000001}');
	}
	return "\x{3}order_sheets " . int rand 5 if $type eq 'uuid' && rand() < 0.8;
	return "\x{3}$newest{$name} " . int rand 4 if $newest{$name} && rand() < 0.3;
	return
		$labels{$type} ? pick(@{ $labels{$type} })
	  : $type =~ /^(bigint|numeric)$/ ? number($name)
	  : $type eq 'integer' ? pick(0, 1, 2, 10, $tame ? () : (1000, -1, 2147483647, -2147483648))
	  : $type eq 'smallint' ? pick(0, 1, -1, 32767)
	  : $type =~ /^(text|character varying)$/ ? text($name)
	  : $type =~ /^(name|regrole)$/ ? pick('shop', 'api_anon', 'api_buyer')
	  : $type =~ /^jsonb?$/ ? document()
	  : $type eq 'boolean' ? pick('t', 'f')
	  : $type =~ /^timestamp/ ? $tame ? pick('now', 'tomorrow') : pick('now', '2026-01-01', 'infinity', '-infinity', '294276-12-31', '4713-01-01 BC', 'tomorrow')
	  : $type eq 'date' ? pick('2026-01-01', 'infinity', '5874897-12-31')
	  : $type eq 'interval' ? pick('1 day', '-1 day', '178000000 years')
	  : $type eq 'uuid' ? '0190b5a0-0000-7000-8000-000000000000'
	  : $type =~ /^(xid8|oid)$/ ? pick(0, 1, 1000, 4294967295)
	  : $type eq 'regclass' ? pick('commerce.orders', 'pg_class')
	  : $type eq 'regproc' ? 'commerce.place_order'
	  : $type eq 'regtype' ? 'bigint'
	  : undef;
}

sub literal
{
	my ($type, $value) = @_;
	return "NULL::$type" if !defined $value;
	return quote($value) . "::$type" if $value !~ /^\x{3}(\w+) (\d+)/;
	return $1 eq 'order_sheets' ? "(SELECT s.id FROM commerce.order_sheets s ORDER BY s.id DESC OFFSET $2 LIMIT 1)" : "(SELECT max(x.id) - $2 FROM commerce.$1 x)";
}

sub json_value
{
	my ($name) = @_;
	return 'null' if rand() < 0.05;
	return pick('"x"', -1, '[]', '{}', 1e300, 'true') if !$tame && rand() < 0.05;
	return lines(1, 2, 5) if $name eq 'items';
	return '[' . id() . ']' if $name =~ /_ids$/;
	return number($name) if $name =~ /_id$|^id$|amount|price|value|fee|discount|quantity|delta|stock|batch|max|days|top|limit/;
	for my $type (grep { /\Q$name\E$/ } sort keys %labels)
	{
		return json_text(pick(@{ $labels{$type} }));
	}
	return json_text(text($name));
}

# To draw from some hundred values that were drawn before is many times faster.
sub draw_ahead
{
	my (%values, %members);
	for my $function (@functions, @endpoints)
	{
		my ($types, $names) = @$function{qw(types names)};
		for (0, 1)
		{
			$tame = $_;
			$function->{values}[$tame] = [ map {
				my ($type, $name) = ($types->[$_], $names->[$_] // '');
				$values{"$type $name $tame"} //= [ map { value($type, $name) } 1 .. 200 ]
			} 0 .. $#$types ];
			$function->{member_values}[$tame] = [ map {
				my $name = $_;
				$members{"$name $tame"} //= [ map { qq("$name": ) . json_value($name) } 1 .. 200 ]
			} @{ $function->{members} // [] } ];
		}
	}
	return;
}

# Arguments for a function
sub draw
{
	my ($function) = @_;
	my ($members, $types) = @$function{qw(members types)};
	$tame = rand() < 0.5 ? 1 : 0;
	if (@{ $members // [] } && rand() < 0.95)
	{
		my $ahead = $function->{member_values}[$tame];
		return [ '{' . join(', ', $ahead
			? map { rand() < 0.8 ? $_->[ rand @$_ ] : () } @$ahead
			: map { rand() < 0.8 ? qq("$_": ) . json_value($_) : () } @$members) . '}' ];
	}
	my $n = @$types;
	$n -= int rand(1 + $function->{defaults}) if rand() < 0.5;
	my $ahead = $function->{values}[$tame];
	return [ $ahead ? map { $_->[ rand @$_ ] } @$ahead[ 0 .. $n - 1 ] : map { value($types->[$_], $function->{names}[$_] // '') } 0 .. $n - 1 ];
}

sub statement
{
	my ($function, $arguments) = @_;
	return sprintf 'SELECT * FROM %s.%s(%s)', $function->{schema}, $db->quote_identifier($function->{name}),
	  join ', ', map { literal($function->{types}[$_], $arguments->[$_]) } 0 .. $#$arguments;
}

sub call
{
	my ($function) = @_;
	return statement($function, draw($function));
}

# The next function to be called of a list, by turns, when it is not one of those called often
sub next_function
{
	my ($session) = @_;
	my $all = $session->{all};
	return !$session->{internal} && rand() < 0.6 ? pick(@often) : $all->[ $session->{next}++ % @$all ];
}

# What PostgREST tells of a request
sub claims { return '{"role": "x", "sub": ' . pick(1 + int rand 12, '"1"', '"x"', 'null') . '}' }

sub headers
{
	my $language = pick('ko', 'en;q=0.5, ko', '');
	my $key = pick('k1', 'k' . int(rand 1e6), '', 'x' x 300);
	return qq({"accept-language": "$language", "idempotency-key": "$key"});
}

1;
