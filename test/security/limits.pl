# No text of a request is longer than the domain allows, in any argument of any function, in SQL and over REST; the
# refusal names the argument, and is short itself.

use strict;
use warnings;
use utf8;
use lib 'test/perl';
use Attack qw(connect_as load_shop value);
use JSON::PP;
use Test::More;

my $db = load_shop();

# characters, by the name of the argument; any other text has 1000
my %limit = (
	(map { $_ => 200 } qw(name business_name phone cs_phone category sku payment_channel carrier tracking_number registration_number external_id provider_event_id)),
	email => 254, idempotency_key => 255, description => 20000,
	(map { $_ => 2000 } qw(address url image_urls note memo)));

# An ordinary value of each type, as SQL.
my %value = (bigint => '1', integer => '1', text => q{'x'}, 'text[]' => q{'{x}'}, boolean => 'true', jsonb => q{'[{"product_id":1,"quantity":1}]'},
	'bigint[]' => q{'{}'}, uuid => q{'00000000-0000-0000-0000-000000000000'}, 'timestamp with time zone' => 'now()', interval => q{'1 day'}, name => q{'x'}, date => 'now()', regrole => q{'shop'});

# and of arguments that are more than their type
my %named = ('commerce.request_charge.amount' => 1000, metadata => q{'{}'}, email => q{'x@example.com'}, payment_method => q{'EXTERNAL'}, delivery => q{'{}'}, ends_at => q{now() + interval '1 day'},
	issue_until => q{now() + interval '1 day'}, 'commerce.create_coupon.valid_until' => 'NULL',
	'commerce.import_coupon_issue.imported' => q{'{"user_id":1,"coupon_id":1}'},
	'commerce.import_user.imported' => q{'{"name":"x"}'},
	'commerce.import_order.imported' => q{'{"user_id":1,"items":[{"product_id":1,"quantity":1,"unit_price":1}],"payment_amount":1,"paid_at":"2020-01-01"}'});

sub ordinary
{
	my ($type) = @_;
	return $value{$type} // value($db, q{SELECT quote_literal(enumlabel) FROM pg_enum WHERE enumtypid = ?::regtype ORDER BY enumsortorder LIMIT 1}, $type)
	  // die "no value of type $type";
}

my @arguments = @{ $db->selectall_arrayref(q{
	SELECT p.oid, p.oid::regproc AS function, a.name, a.type::regtype AS type
	FROM pg_proc p, unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames, coalesce(p.proargmodes, array_fill('i'::"char", ARRAY[p.pronargs])))
		WITH ORDINALITY AS a (type, name, mode, n)
	WHERE (p.pronamespace = 'commerce'::regnamespace
		   OR p.pronamespace = 'commerce_private'::regnamespace AND has_function_privilege('relay', p.oid, 'EXECUTE') AND p.prolang <> (SELECT oid FROM pg_language WHERE lanname = 'sql'))
	  AND p.prokind = 'f' AND p.prorettype <> 'trigger'::regtype AND a.mode IN ('i', 'b') AND p.proname !~ 'payment_result'
	ORDER BY 2, a.n}, { Slice => {} }) };
my %of;
push @{ $of{ $_->{function} } }, $_ for @arguments;

# What a call with these values ends with, undone: SQLSTATE, detail.
sub outcome
{
	my ($function, %given) = @_;
	my $sql = sprintf 'SELECT * FROM %s(%s)', $function,
	  join ', ', map { "\"$_->{name}\" => " . ($given{ $_->{name} } // $named{"$function.$_->{name}"} // $named{ $_->{name} } // ordinary($_->{type})) } @{ $of{$function} };
	$db->begin_work;
	my $done = eval { $db->selectall_arrayref($sql); 1 };
	my @outcome = ($done ? '' : $db->state, $done ? '' : $db->pg_error_field('message_detail') // '', $done ? '' : $db->errstr);
	$db->rollback;
	return @outcome;
}

sub long
{
	my ($type, $characters, $character) = @_;
	my $text = sprintf q{repeat('%s', %d)}, $character, $characters;
	return $type eq 'text[]' ? "ARRAY[$text]" : $text;
}

my $tested = 0;
for my $function (sort keys %of)
{
	for my $argument (grep { $_->{type} =~ /^text/ } @{ $of{$function} })
	{
		my ($name, $type) = @$argument{qw(name type)};
		my $limit = $limit{$name} // 1000;
		my @wrong;
		for my $character ('x', '가')
		{
			for my $length ($limit + 1, 300_000)
			{
				my ($state, $detail, $message) = outcome($function, $name => long($type, $length, $character));
				push @wrong, "$length of $character: $state $message" unless $state eq '22023' && $detail =~ /"\Q$name\E"/ && $detail =~ /at most/ && length($detail) < 500;
				$tested++;
			}
			# control: as long as it may be, it is not this that is complained of
			my ($state, $detail) = outcome($function, $name => long($type, $limit, $character));
			push @wrong, "$limit of $character: $detail" if $detail =~ /at most $limit/;
		}
		if ($type eq 'text[]')
		{
			my ($state, $detail) = outcome($function, $name => q{array_fill('x'::text, ARRAY[1001])});
			push @wrong, "1001 elements: $state $detail" unless $state eq '22023' && $detail =~ /"\Q$name\E"/ && $detail =~ /at most/;
			$tested++;
		}
		is_deeply(\@wrong, [], "$function($name)");
	}
}

# Over REST: every argument of text of every endpoint, as a string, and the header
my %caller = (BUYER => 'buyer 1', SELLER => 'seller 3', ADMIN => 'admin 5', ANONYMOUS => 'anon');
my $json = JSON::PP->new->ascii;
for my $row (@{ $db->selectall_arrayref(q{
	SELECT a.endpoint, a.argument, a.type::text, a.source, e.roles[cardinality(e.roles)]::text AS role,
		-- an administrator says whose
		(e.example || coalesce((SELECT jsonb_object_agg(o.argument, 1) FROM commerce_private.api_arguments o
								WHERE o.endpoint = e.name AND o.source IN ('OWNER', 'SELLER') AND o.required), '{}'))::text AS example
	FROM commerce_private.api_arguments a JOIN commerce_private.api_endpoints e ON e.name = a.endpoint
	WHERE a.type IN ('text'::regtype, 'text[]'::regtype) AND a.source IN ('BODY', 'SELLER', 'KEY') ORDER BY 1, 2}, { Slice => {} }) })
{
	my $limit = $limit{ $row->{argument} } // 1000;
	my $text = '가' x ($limit + 1);
	my $body = $json->decode($row->{example});
	my %headers;
	if ($row->{source} eq 'KEY') { $headers{'idempotency-key'} = $text }
	else { $body->{ $row->{argument} } = $row->{type} eq 'text[]' ? [$text] : $text }
	# who signs up is nobody yet, which no user's id says
	my $is_new = $row->{endpoint} eq 'sign_up';
	$db->do('SET commerce.jwt_subject = ' . ($is_new ? 'external_id' : 'id'));
	my $answer = $db->selectrow_hashref(q{SELECT (r).status, (r).code, (r).details FROM (SELECT tap.http(?, ?, ?, ?) AS r) t}, undef,
		$is_new ? 'buyer new' : $caller{ $row->{role} }, $row->{endpoint}, $json->encode($body), $json->encode(\%headers));
	ok($answer->{status} == 400 && $answer->{code} eq 'INVALID_REQUEST' && $answer->{details} =~ /at most/ && length $answer->{details} < 500,
		"REST: $row->{endpoint}, $row->{argument}") or diag("$answer->{status} $answer->{code} " . substr $answer->{details} // '', 0, 200);
	$tested++;
}
cmp_ok($tested, '>', 200, "$tested calls with a text that is too long");

# An array of a request is counted before its elements are read: those are all of a wrong type here.
for my $array (@{ $db->selectall_arrayref(q{
	SELECT a.endpoint, a.argument, e.roles[cardinality(e.roles)]::text AS role, e.example::text
	FROM commerce_private.api_arguments a JOIN commerce_private.api_endpoints e ON e.name = a.endpoint
	WHERE a.type IN ('bigint[]'::regtype, 'text[]'::regtype) AND a.source = 'BODY' ORDER BY 1, 2}, { Slice => {} }) })
{
	for my $length (1000, 1001)
	{
		my $body = { %{ $json->decode($array->{example}) }, $array->{argument} => [ (JSON::PP::true) x $length ] };
		my $details = value($db, q{SELECT (tap.http(?, ?, ?)).details}, $caller{ $array->{role} }, $array->{endpoint}, $json->encode($body));
		like($details, $length > 1000 ? qr/at most 1000 elements/ : qr/whole number|string/, "$array->{endpoint}: $length elements of $array->{argument}");
	}
}
done_testing();
