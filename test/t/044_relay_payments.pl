# Payment results from a Kafka topic to confirm_payment().

use strict;
use warnings;
use JSON::PP;
use MockKafka;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Relay qw(wait_until);
use Test::More;

plan skip_all => 'commerce-relay was not built' if system('command -v commerce-relay >/dev/null') != 0;
plan skip_all => 'there is no kcat' if system('command -v kcat >/dev/null') != 0;
system('make', '-s', 'relay-tests') == 0 or BAIL_OUT('the tests of the relay do not build');

my $kafka = MockKafka->new('payments=2', 'refused');
my $node = PostgreSQL::Test::Cluster->new('relay_payments');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	CREATE ROLE relay LOGIN;
	SELECT commerce.grant_relay('relay');
	SELECT commerce.create_user('buyer', 'buyer@example.com');
	SELECT commerce.create_product(NULL, 'tea', 1000, 1000);
});

# Orders that wait for their payment; returns their ids.
sub make_orders
{
	my ($count) = @_;
	return split /\n/, $node->safe_psql('postgres', qq{
		SELECT (commerce.place_order(1, '[{"product_id": 1, "quantity": 1}]', payment_method => 'EXTERNAL')).id
		FROM generate_series(1, $count)});
}

sub result
{
	my ($order, $succeeded, $id) = @_;
	return { order_id => $order + 0, succeeded => $succeeded ? JSON::PP::true : JSON::PP::false, provider_event_id => $id };
}

sub orders
{
	my ($status, @ids) = @_;
	return $node->safe_psql('postgres', sprintf q{
		SELECT count(*) FROM commerce.orders WHERE status = '%s' AND id = ANY ('{%s}')}, $status, join ',', @ids);
}

my $json = JSON::PP->new->canonical;
my $config = sprintf "[payments]\nbrokers = %s\ntopic = payments\ndead_letter_topic = refused\nsecret = kafka\n"
  . "[secret kafka]\nkafka.session.timeout.ms = 5000\nkafka.heartbeat.interval.ms = 500\n", $kafka->brokers;
my $relay = Relay->new(node => $node, user => 'relay', config => $config);

is($relay->run('--check'), 2, 'a role that may not confirm payments is told at once');
like($relay->log, qr/grant_relay/, 'with what to do');
$node->safe_psql('postgres', "SELECT commerce.grant_relay('relay', confirms_payments => true)");
is($relay->run('--check'), 0, 'with the privilege all is well');

{
	my @orders = make_orders(10);
	my $number = 0;
	my @results = map { $number++; result($_, $number % 5, "first-$number") } @orders;
	# one as a CloudEvent, and every one twice
	$results[0] = { specversion => '1.0', id => 'x', source => '/provider', type => 'Paid', data => $results[0] };
	$kafka->produce('payments', map { $json->encode($_) } (@results) x 2);
	$relay->start;
	ok(wait_until(sub { orders('PENDING_PAYMENT', @orders) == 0 }), 'every result arrives');
	is(orders('PAID', @orders), 8, 'successes pay');
	is(orders('CANCELLED', @orders), 2, 'failures cancel');

	my ($last) = make_orders(1);
	$kafka->produce('payments', $json->encode(result($last, 1, 'last')));
	ok(wait_until(sub { orders('PAID', $last) == 1 }), 'a result that comes later');
	is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT provider_event_id) FROM commerce.payments
		WHERE provider_event_id IS NOT NULL}), '11|11', 'a result that comes twice has one effect');
}

{
	my ($order) = make_orders(1);
	my @refused = (
		'no json', '[]', '{"order_id": "x", "succeeded": true, "provider_event_id": "a"}',
		$json->encode(result(999999, 1, 'nowhere')));
	$kafka->produce('payments', @refused, $json->encode(result($order, 1, 'behind')));
	ok(wait_until(sub { orders('PAID', $order) == 1 }), 'results that make no sense hold back nothing');
	my @dead;
	ok(wait_until(sub { @dead = $kafka->messages('refused'); @dead == @refused }), 'and go to the dead letters');
	is_deeply([ sort map { $_->{payload} } @dead ], [ sort @refused ], 'as they were');
	is(scalar(grep { $_->{headers}{error} =~ /\w/ && $_->{headers}{origin} =~ m{^payments/\d+/\d+$} } @dead), 4,
		'with the reason and the place they came from');
}

{
	my @orders = make_orders(60);
	my @results = map { $json->encode(result($_, 1, "killed-$_")) } @orders;
	$kafka->produce('payments', @results);
	for my $share (30)
	{
		wait_until(sub { orders('PAID', @orders) >= $share });
		$relay->kill_hard;
		$relay->start;
	}
	wait_until(sub { $node->safe_psql('postgres', q{
		SELECT count(*) FROM pg_stat_activity WHERE application_name = 'commerce-relay payments'}) > 0 });
	$node->stop('immediate');
	$node->start;
	ok(wait_until(sub { orders('PAID', @orders) == @orders }), 'kill -9 of the relay and a crash of the server lose no result');
	is($relay->stop, 0, 'SIGTERM ends it with status 0');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM commerce.check_invariants()'), 0, 'and the books are right');
	# what was refused shortly before the kill may be refused again: its offset was not committed yet
	my %refused = map { $_->{headers}{origin} => 1 } $kafka->messages('refused');
	is(scalar(keys %refused), 4, 'and nothing more was refused');
}

$node->stop;
done_testing();
