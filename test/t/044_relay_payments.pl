# Payment results from a Kafka topic to confirm_payment(): those that arrive, that make no sense, and that
# fail for another reason.

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

my $kafka = MockKafka->new('payments=2');
my $node = PostgreSQL::Test::Cluster->new('relay_payments');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'\ncommerce.max_pending_orders = 100");
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
my $config = sprintf "[payments]\nbrokers = %s\ntopic = payments\nsecret = kafka\ngive_up_after = 1min\n"
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

# Of charges and refunds, and with amounts
{
	my ($order) = make_orders(1);
	my $charge = $node->safe_psql('postgres', 'SELECT id FROM commerce.request_charge(1, 5000)');
	my %paid = (%{ result($order, 1, 'amount') }, amount => 1001);
	$kafka->produce_with_key('payments', 'a', $json->encode(\%paid), $json->encode({ %paid, provider_event_id => 'right', amount => '1000' }),
		$json->encode({ charge_id => $charge + 0, succeeded => JSON::PP::true, provider_event_id => 'charge', amount => 5000 }));
	ok(wait_until(sub { orders('PAID', $order) == 1 }), 'the right amount pays');
	is($node->safe_psql('postgres', "SELECT amount FROM commerce.payments WHERE order_id = $order AND status = 'UNEXPECTED'"), 1001,
		'another was not asked for');
	ok(wait_until(sub { $node->safe_psql('postgres', 'SELECT balance FROM commerce.users WHERE id = 1') == 5000 }), 'a charge is paid');
	my $refund = $node->safe_psql('postgres', "SELECT id FROM commerce.return_payment(
		(SELECT id FROM commerce.payments WHERE order_id = $order AND status = 'UNEXPECTED'))");
	$kafka->produce('payments', $json->encode({ refund_id => $refund + 0, succeeded => JSON::PP::true, provider_event_id => 'refund' }));
	ok(wait_until(sub { $node->safe_psql('postgres', "SELECT status FROM commerce.payments WHERE id = $refund") eq 'COMPLETED' }),
		'a refund is reported');
}

# what is parked: waiting, or dead letters
sub parked
{
	my ($columns, $condition) = @_;
	return $node->safe_psql('postgres',
		"SELECT $columns FROM commerce_private.parked_payment_results WHERE $condition");
}

{
	my ($order) = make_orders(1);
	my @refused = (
		'no json', '[]', '{"order_id": 1, "charge_id": 1, "succeeded": true, "provider_event_id": "a"}', '{"order_id": "x", "succeeded": true, "provider_event_id": "a"}',
		$json->encode(result(999999, 1, 'nowhere')), '[' x 60_000, "\xff\xfe");
	$kafka->produce('payments', @refused, $json->encode(result($order, 1, 'behind')));
	ok(wait_until(sub { orders('PAID', $order) == 1 }), 'results that make no sense hold back nothing');
	ok(wait_until(sub { parked('count(*)', 'died_at IS NOT NULL') == 7 }), 'and are dead letters at once');
	is_deeply([ sort split /\n/, parked('message', 'died_at IS NOT NULL') ], [ sort @refused[0 .. 5], '\377\376' ],
		'as they were; bytes that are no text can be seen');
	is(parked('count(*)', q{last_error ~ '\w' AND origin ~ '^payments/\d+/\d+$' AND died_at IS NOT NULL}), 7,
		'with the reason and the place they came from');
	is(parked('count(*)', 'died_at IS NULL'), 0, 'and nothing waits for another attempt');
}

# An error that is not the message's: a trigger of the DBA, until the table "broken" is empty
$node->safe_psql('postgres', q{
	CREATE TABLE broken (order_id bigint, error text);
	CREATE FUNCTION break_orders() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE
		what text := (SELECT error FROM public.broken b WHERE b.order_id = NEW.id);
	BEGIN
		IF what = 'crash' THEN
			PERFORM pg_terminate_backend(pg_backend_pid());
		ELSIF what IS NOT NULL THEN
			RAISE EXCEPTION USING MESSAGE = what;
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER break_orders BEFORE UPDATE ON commerce.orders FOR EACH ROW EXECUTE FUNCTION break_orders();
});

{
	my ($broken, $crashing, $other) = make_orders(3);
	$node->safe_psql('postgres', "INSERT INTO broken VALUES ($broken, 'a trigger''s error'), ($crashing, 'crash')");
	# the second message of the order must not overtake the first
	$kafka->produce_with_key('payments', 'a', map { $json->encode($_) }
		result($broken, 0, 'failure'), result($broken, 1, 'success'), result($crashing, 1, 'crash'), result($other, 1, 'other'));
	ok(wait_until(sub { orders('PAID', $other) == 1 }), 'an error of a trigger, or a lost session, holds back no other order');
	ok(wait_until(sub { parked('count(*)', "about = 'order:$broken' AND died_at IS NULL") == 2 }), 'two results of the order wait');
	ok(wait_until(sub { parked('count(*)', "attempts >= 3 AND about IN ('order:$broken', 'order:$crashing')") == 2 }), 'they are tried again and again');
	is(parked('count(*)', "about = 'order:$broken' AND attempts > 0 AND last_error LIKE '%a trigger''s error%'"), 1, 'only the first one, in its turn');
	is(parked('count(*)', "about = 'order:$crashing' AND last_error LIKE '%terminating connection%'"), 1, 'the reason is kept');
	is(parked('count(*)', "about = 'order:$broken' AND attempts > 1 AND next_attempt_at - last_error_at > interval '1.5 seconds'"), 1,
		'with growing pauses');
	$relay->kill_hard;
	$node->safe_psql('postgres', "DELETE FROM broken; UPDATE commerce_private.parked_payment_results SET next_attempt_at = now()");
	$relay->start;
	ok(wait_until(sub { orders('PAID', $broken, $crashing) == 2 }), 'when the trouble is over they arrive, whatever happened to the relay');
	is($node->safe_psql('postgres', "SELECT string_agg(provider_event_id, ' ' ORDER BY id) FROM commerce.payments
		WHERE order_id = $broken AND provider_event_id IS NOT NULL"), 'failure success', 'in their order');
	is(parked('count(*)', 'died_at IS NULL'), 0, 'and are forgotten');
}

{
	my ($broken) = make_orders(1);
	$node->safe_psql('postgres', "INSERT INTO broken VALUES ($broken, 'for ever')");
	$kafka->produce('payments', $json->encode(result($broken, 1, 'late')));
	ok(wait_until(sub { parked('count(*)', "about = 'order:$broken'") == 1 }), 'a result that fails');
	is(parked('count(*)', 'about IS NOT NULL AND died_at IS NOT NULL'), 0, 'is not given up');
	$node->safe_psql('postgres', q{UPDATE commerce_private.parked_payment_results SET parked_at = parked_at - interval '1 min', next_attempt_at = now()
		WHERE about IS NOT NULL});
	ok(wait_until(sub { parked('count(*)', "about = 'order:$broken' AND died_at IS NOT NULL AND last_error LIKE '%for ever%'") == 1 }),
		'until give_up_after is over');
	like($relay->log, qr{payments/\d/\d+ is a dead letter: .*for ever}, 'which is told');
	$node->safe_psql('postgres', 'DELETE FROM broken');
	is($relay->run('--redeliver-payments'), 0, '--redeliver-payments');
	ok(wait_until(sub { orders('PAID', $broken) == 1 }), 'has it tried again');
	like($relay->log, qr/payments: 8 dead letters will be tried again/, 'with the others');
	ok(wait_until(sub { parked('count(*)', 'died_at IS NOT NULL') == 7 }), 'which are refused again');
	is($node->safe_psql('postgres', 'SELECT commerce.discard_payment_results()'), 7, 'and can be thrown away');
}

{
	my ($order) = make_orders(1);
	# a server that can neither confirm nor park
	$node->safe_psql('postgres', 'ALTER ROLE relay SET default_transaction_read_only = on; '
		. q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'commerce-relay payments'});
	$kafka->produce('payments', $json->encode(result($order, 1, 'read-only')));
	ok(wait_until(sub { $relay->log =~ /cannot execute INSERT in a read-only transaction.*trying again/ }), 'a message that cannot be parked stays at hand');
	$node->safe_psql('postgres', 'ALTER ROLE relay RESET default_transaction_read_only; '
		. q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'commerce-relay payments'});
	ok(wait_until(sub { orders('PAID', $order) == 1 }), 'until it can');
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
	is(parked('count(*)', 'true'), 0, 'and nothing is parked');
}

$node->stop;
done_testing();
