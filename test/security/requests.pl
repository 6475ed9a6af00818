# Hostile JSON and headers to every endpoint: an error of the table with a short detail, never an internal one, and
# nothing of it stays.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(connect_as load_shop value);
use JSON::PP;
use Test::More;

my $db = load_shop();
my $json = JSON::PP->new->ascii->allow_nonref;
my %caller = (BUYER => 'buyer 1', SELLER => 'seller 3', ADMIN => 'admin 5', ANONYMOUS => 'anon');
my %known = map { $_ => 1 } @{ $db->selectcol_arrayref(q{SELECT code FROM commerce.error_codes() WHERE code <> 'INTERNAL_SERVER_ERROR'}) };
my ($tries, %codes) = 0;

# [ status, code, length of details ] of a request, undone
sub answer
{
	my ($caller, $endpoint, $body, $headers) = @_;
	$db->begin_work;
	my @answer = eval { $db->selectrow_array('SELECT (r).status, (r).code, length((r).details), (r).sqlstate, left((r).details, 200) FROM (SELECT tap.http(?, ?, ?, ?) AS r) t', undef, $caller, $endpoint, $body, $headers) };
	@answer = (0, "$@", 0) if !@answer;
	$db->rollback;
	$tries++;
	$codes{ $answer[1] // $answer[3] // '' }++;
	return \@answer;
}

sub wrong
{
	my ($answer) = @_;
	my ($status, $code, $length) = @$answer;
	return !(defined $code && ($code eq 'SUCCESS' && $status =~ /^2/ || $known{$code} && $status =~ /^4/ && ($length // 0) < 1000));
}

my $deep = '[' x 2000 . ']' x 2000;
my @values = ('null', '[]', '{}', 'true', '0', '-1', '1.5', '1e400', '-0', '9223372036854775808', '1e1000', '""', '"x"', '"\u0001\u001f"', q("'; DROP TABLE commerce.users; --"),
	'"$$"', '"%s%n"', '"../../etc/passwd"', '"<script>alert(1)</script>"', '[[[]]]', '[null]', '[1,1]', '["x"]', '{"a":{"b":1}}', '"2026-02-30"', '"infinity"', '"NaN"', qq("@{['x' x 5000]}"), $deep,
	'[{"product_id":1,"quantity":1,"quantity":2}]', '[{"product_id":"1","quantity":1}]', '[{"product_id":1,"quantity":1,"x":1}]', '"\ud83d\ude00"');
my @bodies = ('null', '[]', '"x"', '7', 'true', '{}', '{"":1}', '{"__proto__":{}}', '{"user_id":1,"actor_id":1,"actor":"ADMIN","idempotency_key":"x"}', $deep, '{"x":' . $deep . '}');
my @headers = ('{}', '{"idempotency-key":""}', '{"idempotency-key":"\'; --"}', '{"idempotency-key":"\u0001"}', '{"accept-language":"ko;q=9,,;;,*"}', '{"accept-language":"' . 'ko,' x 20000 . '"}',
	'[]', '"x"', '{"idempotency-key":7}', '{"idempotency-key":null}', '{"idempotency-key":["a"]}', '{"x-forwarded-for":"' . 'x' x 50000 . '"}', '{"prefer":"tx=rollback"}');

for my $endpoint (@{ $db->selectall_arrayref(q{
	SELECT e.name, e.roles[1]::text AS role, e.reads, e.example::text,
		(SELECT coalesce(json_agg(a.argument), '[]') FROM commerce_private.api_arguments a WHERE a.endpoint = e.name AND a.asked)::text AS arguments
	FROM commerce_private.api_endpoints e ORDER BY 1}, { Slice => {} }) })
{
	my $caller = $caller{ $endpoint->{role} };
	my @wrong;
	my $arguments = $json->decode($endpoint->{arguments});
	for my $value (@values)
	{
		for my $argument (@$arguments)
		{
			my %body = map { $_ => $json->encode($json->decode($endpoint->{example})->{$_}) } keys %{ $json->decode($endpoint->{example}) };
			$body{$argument} = $value;
			my $answer = answer($caller, $endpoint->{name}, '{' . join(',', map { qq("$_":$body{$_}) } sort keys %body) . '}', '{}');
			push @wrong, "$argument: " . substr($value, 0, 60) . ": @$answer[0, 1]" . ($answer->[4] // '') if wrong($answer);
		}
	}
	if (!$endpoint->{reads})
	{
		for my $body (@bodies)
		{
			my $answer = answer($caller, $endpoint->{name}, $body, '{}');
			push @wrong, "body " . substr($body, 0, 60) . ": @$answer[0, 1]" if wrong($answer);
		}
	}
	for my $headers (@headers)
	{
		my $answer = answer($caller, $endpoint->{name}, $endpoint->{example}, $headers);
		push @wrong, "headers " . substr($headers, 0, 60) . ": @$answer[0, 1]" if wrong($answer);
	}
	is_deeply(\@wrong, [], $endpoint->{name});
}
cmp_ok($tries, '>', 1000, "$tries requests: " . join ', ', map { "$_ $codes{$_}" } sort keys %codes);
is($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()')->[0], undef, 'the books hold');

# The control: an error that is internal is seen.
$db->do(q{CREATE FUNCTION public.broken() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION USING ERRCODE = 'XX000'; END$$});
$db->do('CREATE TRIGGER broken BEFORE UPDATE ON commerce.users FOR EACH ROW EXECUTE FUNCTION public.broken()');
ok(wrong(answer('buyer 1', 'charge_balance', '{"amount":100}', '{}')), 'control: an internal error is seen');
done_testing();
