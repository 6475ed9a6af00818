# commerce-relay to Kafka, against librdkafka's mock cluster.

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

my $kafka = MockKafka->new('first=4', 'outage=4', 'errors=4', 'refused=4', 'killed=4', 'forbidden=4');
my $node = PostgreSQL::Test::Cluster->new('relay_kafka');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	CREATE ROLE relay LOGIN;
	SELECT commerce.grant_relay('relay');
});

# A subscription, named as its topic, and its relay
sub scene
{
	my ($name, %settings) = @_;
	$node->safe_psql('postgres', sprintf q{
		SELECT commerce.subscribe('%s', from_start => false);
		SELECT commerce.set_kafka_sink('%s', '%s', '%s', %s)},
		$name, $name, $kafka->brokers, $name, $settings{secret} ? "'$settings{secret}'" : 'NULL');
	my $relay = Relay->new(
		node => $node, user => 'relay', config => $settings{config} // '',
		arguments => [ '-s' => $name, @{ $settings{arguments} // [] } ]);
	return $relay;
}

sub make_events
{
	my ($users, $charges) = @_;
	return split /\n/, $node->safe_psql('postgres', qq{
		CREATE TEMP TABLE made AS
		SELECT commerce.create_user('user', gen_random_uuid() || '\@example.com') AS id FROM generate_series(1, $users);
		CREATE TEMP TABLE charged AS
		SELECT c.balance FROM generate_series(1, $charges) n, made, commerce.charge_balance(id, n * 100) c;
		SELECT o.id FROM commerce.outbox o JOIN made ON o.aggregateid = made.id::text AND o.aggregatetype = 'User'
		ORDER BY o.era, o.key, o.position});
}

# What is wrong with the messages of a topic: every event, in order of its
# aggregate at first arrival
sub complaints
{
	my ($topic, @written) = @_;
	my %order = map { ($written[$_] => $_) } 0 .. $#written;
	my (%seen, %last, @complaints);
	for my $message ($kafka->messages($topic))
	{
		my $id = $message->{headers}{ce_id};
		next if $seen{$id}++;
		push @complaints, "unknown $id" unless defined $order{$id};
		push @complaints, "$id too late" if ($last{ $message->{key} } // -1) > ($order{$id} // 0);
		$last{ $message->{key} } = $order{$id};
	}
	push @complaints, "missing $_" for grep { !$seen{$_} } @written;
	return "@complaints";
}

sub caught_up
{
	my ($name) = @_;
	return wait_until(sub {
		$node->safe_psql('postgres',
			"SELECT lag_events + parked FROM commerce.subscription_status WHERE name = '$name'") eq '0';
	});
}

{
	my $relay = scene('first');
	my @written = make_events(10, 4);
	is($relay->run('--once'), 0, '--once to Kafka');
	is(complaints('first', @written), '', 'every event is there, in order');
	my @messages = $kafka->messages('first');
	is(scalar @messages, 50, 'and none is there twice');
	my %partitions;
	$partitions{ $_->{key} }{ $_->{partition} } = 1 for @messages;
	is(scalar(grep { keys %$_ > 1 } values %partitions), 0, 'an aggregate is in one partition');

	my ($message) = grep { $_->{headers}{ce_id} eq $written[0] } @messages;
	my ($type, $id, $payload) = split /\|/, $node->safe_psql('postgres', qq{
		SELECT type, aggregateid, payload FROM commerce.outbox WHERE id = '$written[0]'});
	is($message->{key}, $id, 'the key is the id of the aggregate');
	is_deeply(decode_json($message->{payload}), decode_json($payload), 'the value is the payload');
	my $headers = $message->{headers};
	is_deeply(
		[ @$headers{qw(content-type ce_specversion ce_source ce_type ce_subject ce_partitionkey)} ],
		[ 'application/json', '1.0', '/commerce', $type, "User/$id", $id ], 'the headers are those of a CloudEvent');
}

{
	my $relay = scene('outage');
	my @written = make_events(5, 2);
	$kafka->tell('down');
	$relay->start;
	wait_until(sub { $relay->log =~ /Connect to|refused|brokers are down/ });
	is($node->safe_psql('postgres', "SELECT delivered + parked FROM commerce.subscription_status WHERE name = 'outage'"), 0,
		'while the broker is down nothing is acknowledged or parked');
	$kafka->tell('up');
	ok(caught_up('outage'), 'when it is back everything is acknowledged');
	is(complaints('outage', @written), '', 'and is there, in order');
	is($relay->stop, 0, 'SIGTERM ends the relay with status 0');
}

{
	my $relay = scene('errors');
	my @written = make_events(10, 4);
	# not leader, timed out, not enough replicas: to be repeated
	$kafka->tell("error $_ 2") for 6, 7, 19;
	$relay->start;
	ok(caught_up('errors'), 'errors of the broker are got over');
	is(complaints('errors', @written), '', 'every event is there, in order');
	is(scalar $kafka->messages('errors'), scalar @written, 'and none is there twice');
	is($node->safe_psql('postgres', "SELECT failures FROM commerce.subscription_status WHERE name = 'errors'"), 0,
		'and no event has failed');
	$relay->stop;
}

{
	my $relay = scene('refused');
	# message too large: not to be repeated by the producer
	$kafka->tell('error 10 1');
	my @written = make_events(3, 3);
	$relay->start;
	ok(caught_up('refused'), 'what the broker refuses is tried again by the relay');
	is(complaints('refused', @written), '', 'every event is there, in order');
	cmp_ok($node->safe_psql('postgres', "SELECT failures FROM commerce.subscription_status WHERE name = 'refused'"), '>', 0,
		'and events had failed');
	$relay->stop;
}

{
	my $relay = scene('killed', arguments => [ '-o' => 'fetch_size=20' ]);
	my @written = make_events(40, 5);
	for (1 .. 3)
	{
		$relay->start;
		my $before = $node->safe_psql('postgres', "SELECT cursor FROM commerce.subscription_status WHERE name = 'killed'");
		wait_until(sub {
			$node->safe_psql('postgres', "SELECT cursor FROM commerce.subscription_status WHERE name = 'killed'") ne $before;
		}, 5);
		$relay->kill_hard;
	}
	$relay->start;
	ok(caught_up('killed'), 'a relay that was killed goes on');
	is(complaints('killed', @written), '', 'every event is there, in order');
	$relay->stop;
}

{
	my $relay = scene('wrong', secret => 'wrong', config => "[secret wrong]\nbrokers = " . $kafka->brokers . "\nkafka.no.such.property = 1\n");
	is($relay->run('--check'), 2, 'a property that librdkafka does not know is told at once');
	like($relay->log, qr/kafka\.no\.such\.property: No such configuration property/, 'by its name');
}

{
	my $relay = scene('forbidden', arguments => [ '-o' => 'sink_addresses=10.0.0.0/8' ]);
	make_events(1, 0);
	$relay->start;
	ok(wait_until(sub { $relay->log =~ /a sink is at the address 127\.0\.0\.1, which is not among sink_addresses/ }),
		'brokers at an address that is not allowed are not connected to');
	is($node->safe_psql('postgres', "SELECT delivered + parked FROM commerce.subscription_status WHERE name = 'forbidden'"), 0,
		'and get nothing');
	$relay->stop;
}

$node->stop;
done_testing();
