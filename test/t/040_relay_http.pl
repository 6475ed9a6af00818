# commerce-relay to an HTTP endpoint that behaves and misbehaves.

use strict;
use warnings;
use DBI;
use Digest::SHA qw(hmac_sha256);
use HttpSink;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Relay qw(wait_until);
use Test::More;

plan skip_all => 'commerce-relay was not built' if system('command -v commerce-relay >/dev/null') != 0;

my $node = PostgreSQL::Test::Cluster->new('relay_http');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	CREATE ROLE relay LOGIN;
	SELECT commerce.grant_relay('relay');
});

my $folder = $node->basedir;
my $subscriptions = 0;

# A subscription, its endpoint and its relay
sub scene
{
	my (%settings) = @_;
	my $name = 's' . ++$subscriptions;
	my $sink = HttpSink->new(folder => $folder, tls => defined $settings{secret}, answer => $settings{answer} // sub { 200 });
	$sink->start;
	my $config = $settings{config} // '';
	# a secret goes over https, and to the URLs that it names
	$config = sprintf "[relay]\nca_file = %s\n[secret %s]\nurl = %s\n%s", $sink->certificate, $settings{secret}, $sink->url('/'), $config
	  if $settings{secret};
	$node->safe_psql('postgres', sprintf q{
		SELECT commerce.subscribe('%s', from_start => false);
		SELECT commerce.set_http_sink('%s', '%s', %s, batch_size => %d, max_attempts => %d)},
		$name, $name, $settings{url} // $sink->url,
		$settings{secret} ? "'$settings{secret}'" : 'NULL', $settings{batch} // 1, $settings{attempts} // 10);
	my $relay = Relay->new(
		node => $node, user => 'relay', config => $config,
		arguments => [ '-s' => $name, @{ $settings{arguments} // [] } ]);
	return ($name, $sink, $relay);
}

my $users = 0;

# Makes users, with two events each; returns their ids.
sub make_events
{
	my ($count) = @_;
	my @ids;
	for (1 .. $count)
	{
		$users++;
		push @ids, $node->safe_psql('postgres', qq{
			SELECT commerce.create_user('user $users', 'user$users\@example.com') AS id \\gset
			SELECT :id FROM commerce.charge_balance(:id, 1000)});
	}
	return @ids;
}

# The ids of the events that were written for these users, in order
sub written
{
	my (@users) = @_;
	return split /\n/, $node->safe_psql('postgres', sprintf q{
		SELECT id FROM commerce.outbox WHERE aggregatetype = 'User' AND aggregateid = ANY ('{%s}')
		ORDER BY era, key, position}, join ',', @users);
}

# The ids of a sink's events of some users, each at its first arrival
sub arrived
{
	my ($sink, @users) = @_;
	my %wanted = map { ("User/$_" => 1) } @users;
	my %seen;
	return grep { !$seen{$_}++ } map { $_->{id} } grep { $wanted{ $_->{subject} } } $sink->events;
}

sub status
{
	my ($name, $column) = @_;
	return $node->safe_psql('postgres', "SELECT $column FROM commerce.subscription_status WHERE name = '$name'");
}

sub is_all_in_order
{
	my ($sink, $users, $what) = @_;
	for my $user (@$users)
	{
		my @written = written($user);
		my @arrived = arrived($sink, $user);
		return fail("$what: user $user got @arrived and not @written") if "@arrived" ne "@written";
	}
	return pass($what);
}

sub wait_for_events
{
	my ($sink, @users) = @_;
	my $count = written(@users);
	return wait_until(sub { arrived($sink, @users) >= $count });
}

{
	my $secret = 'whsec_' . encode_base64('0123456789abcdefghijklmnop', '');
	my ($name, $sink, $relay) = scene(
		secret => 'hook',
		config => "key = $secret\nheader = X-Shop: 한국\n");
	my ($user) = make_events(1);
	my $begin = time;
	is($relay->run('--once'), 0, '--once ends with status 0');
	my @requests = $sink->requests;
	is(scalar @requests, 2, 'each event is a request of its own');
	is_all_in_order($sink, [$user], 'what was written arrives');

	my ($request) = @requests;
	my $headers = $request->{headers};
	my ($event) = @{ $request->{events} };
	my $row = $node->safe_psql('postgres', qq{
		SELECT payload FROM commerce.outbox WHERE id = '$event->{id}'});
	is($headers->{'content-type'}, 'application/cloudevents+json; charset=utf-8', 'it is a CloudEvent');
	is_deeply(
		[ @$event{qw(specversion source type subject partitionkey datacontenttype)} ],
		[ '1.0', '/commerce', 'UserCreated', "User/$user", $user, 'application/json' ], 'with its attributes');
	like($event->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/, 'and an RFC 3339 time');
	is_deeply($event->{data}, JSON::PP::decode_json($row), 'and the payload');
	is($headers->{'webhook-id'}, $event->{id}, 'webhook-id is the id of the event');
	my $timestamp = $headers->{'webhook-timestamp'};
	ok($begin <= $timestamp && $timestamp <= $request->{at}, 'webhook-timestamp is when it is sent');
	is($headers->{'webhook-signature'},
		'v1,' . encode_base64(hmac_sha256(
			"$headers->{'webhook-id'}.$headers->{'webhook-timestamp'}.$request->{body}",
			decode_base64(substr $secret, 6)), ''), 'webhook-signature is right');
	is($headers->{'x-shop'}, '한국', 'a header of the file is sent');
	is(status($name, "delivered || ' ' || failures || ' ' || lag_events"), '2 0 0', 'and the counters tell of it');

	is($relay->run('--once'), 0, '--once with nothing to do');
	is(scalar $sink->requests, 2, 'sends nothing');
}

{
	my ($name, $sink, $relay) = scene(batch => 50, secret => 'hook',
		config => "key = whsec_" . encode_base64('x' x 24, '') . "\n");
	my @users = make_events(20);
	is($relay->run('--once'), 0, 'batches');
	my @requests = $sink->requests;
	is(scalar @requests, 1, '40 events are one request');
	is($requests[0]{headers}{'content-type'}, 'application/cloudevents-batch+json; charset=utf-8', 'of CloudEvents in a batch');
	is_deeply([ map { $_->{id} } $sink->events ], [ written(@users) ], 'in order');
	like($requests[0]{headers}{'webhook-id'}, qr/^batch_[0-9a-f]{32}$/, 'with an id of its own');
}

{
	my $poison;
	my ($name, $sink, $relay) = scene(attempts => 3, answer => sub {
		my ($request) = @_;
		my $event = $request->{events}[0];
		$poison //= $event->{subject};
		return $event->{subject} eq $poison && $event->{type} eq 'UserCreated' ? { status => 500, body => "no\1\xff" } : 200;
	});
	my @users = make_events(5);
	$relay->start;
	ok(wait_for_events($sink, @users), 'an event that always fails holds back nothing but its aggregate');
	ok(wait_until(sub { status($name, 'dead_letters') == 1 }), 'and is a dead letter in the end');
	my @first = map { $_->{type} } grep { $_->{subject} eq "User/$users[0]" } $sink->events;
	is("@first", 'UserCreated UserCreated UserCreated BalanceCharged', 'the event behind it waits for that');
	is(status($name, 'last_error'), 'status 500', 'the error is kept');
	like($relay->log, qr/the endpoint says: no\?\?$/m, 'and what the endpoint says is in the log, readable');
	is(status($name, 'parked'), 0, 'nothing is parked any more');

	$sink->stop;
	$sink->start(answer => sub { 200 });
	$node->safe_psql('postgres', "SELECT commerce.redeliver('$name')");
	ok(wait_until(sub { status($name, 'dead_letters') == 0 && status($name, 'parked') == 0 }), 'redeliver() tries it again');
	is($relay->stop, 0, 'SIGTERM ends it with status 0');
}

{
	my $count = 0;
	my ($name, $sink, $relay) = scene(answer => sub {
		my ($request) = @_;
		return 200 if $request->{events}[0]{type} ne 'UserCreated';
		return $count++ < 3 ? 500 : 200;
	});
	my ($user) = make_events(1);
	$relay->start;
	ok(wait_for_events($sink, $user), 'an event that fails three times arrives');
	is(join(' ', map { $_->{type} } $sink->events), 'UserCreated UserCreated UserCreated UserCreated BalanceCharged',
		'and the one behind it after it');
	$relay->stop;
}

{
	my ($name, $sink, $relay) = scene(answer => sub {
		my ($request) = @_;
		return $request->{number} == 1 ? { status => 429, headers => { 'Retry-After' => 2 } } : 200;
	}, arguments => [ '-o' => 'max_requests=1' ]);
	my @users = make_events(3);
	$relay->start;
	ok(wait_for_events($sink, @users), 'after status 429 all arrives');
	my @requests = $sink->requests;
	cmp_ok($requests[1]{at} - $requests[0]{at}, '>', 1.9, 'not before the Retry-After is over');
	is_all_in_order($sink, \@users, 'and in order');
	$relay->stop;
}

{
	my ($name, $sink, $relay) = scene(answer => sub { 410 });
	my ($user) = make_events(1);
	$relay->start;
	ok(wait_until(sub { status($name, 'state') eq 'PAUSED' }), '410 pauses the subscription');
	is(status($name, 'dead_letters + parked'), 0, 'and the event is neither parked nor dead');
	ok(wait_until(sub { status($name, 'delivering_pid') eq '' }), 'the lock is given back');
	my $before = $sink->requests;
	$sink->stop;
	$sink->start(answer => sub { 200 });
	$node->safe_psql('postgres', "SELECT commerce.resume_subscription('$name')");
	ok(wait_until(sub { status($name, 'delivered') == 2 }), 'resume_subscription() has it delivered by the running relay');
	is_all_in_order($sink, [$user], 'in order');
	$relay->stop;
}

{
	my ($name, $sink, $relay) = scene(answer => sub { return { status => 500, after => 0.3 } });
	my @users = make_events(4);
	$relay->start;
	wait_until(sub { status($name, 'parked') > 0 });
	wait_until(sub { $sink->requests >= 6 });
	# with requests under way
	$node->safe_psql('postgres', "SELECT commerce.remove_sink('$name')");
	make_events(1);
	ok(wait_until(sub { $relay->log =~ /subscription $name: ended/ }), 'the relay lets go of a subscription whose sink is removed');
	is(status($name, 'parked'), 0, 'nothing is left where clients do not see it');
	my $left = $node->safe_psql('postgres', sprintf q{
		SELECT count(DISTINCT id) FROM (SELECT id FROM commerce.dead_letters WHERE subscription = '%s'
										UNION ALL SELECT id FROM commerce.fetch_events('%s')) e
		WHERE id = ANY ('{%s}')}, $name, $name, join ',', written(@users));
	is($left, scalar written(@users), 'every event is fetched, or is a dead letter');
	$relay->stop;
}

{
	my ($name, $sink, $relay) = scene(answer => sub {
		my ($request) = @_;
		return { status => 410, after => $request->{number} * 0.1, when => sub { $_[0] >= 8 } };
	});
	make_events(10);
	$relay->start;
	ok(wait_until(sub { $relay->log =~ /subscription $name: ended/ }), '410 to eight requests under way');
	is(scalar(() = $relay->log =~ /wants no more events/g), 1, 'is told once');
	is(scalar $sink->requests, 8, 'and no other is sent');
	$relay->stop;
}

for my $answer ('silence', 'half', 'close', 302)
{
	my ($name, $sink, $relay) = scene(
		answer => sub {
			my ($request) = @_;
			return $request->{number} <= 2 ? { status => $answer, headers => { Location => '/elsewhere' } } : 200;
		},
		# where somebody waits for it; a slow machine takes its time to answer the others
		arguments => $answer eq 'silence' ? [ '-o' => 'timeout=1s' ] : []);
	my @users = make_events(3);
	$relay->start;
	ok(wait_for_events($sink, @users), "answer $answer: all arrives in the end");
	ok(wait_until(sub { status($name, 'delivered') == 6 }), "answer $answer: and is acknowledged");
	cmp_ok(status($name, 'failures'), $answer eq 'silence' ? '>=' : '==', 2, "answer $answer: two attempts failed");
	is_all_in_order($sink, \@users, "answer $answer: in order");
	is(scalar(grep { $_->{path} ne '/events' } $sink->requests), 0, "answer $answer: no redirect is followed");
	$relay->stop;
}

{
	my ($name, $sink, $relay) = scene(attempts => 1, answer => sub {
		my ($request) = @_;
		return { status => $request->{events}[0]{type} eq 'UserCreated' ? 200 : 400, body => 'x' x 3_000_000 };
	});
	make_events(1);
	is($relay->run('--once'), 0, 'an answer that is very long');
	is(status($name, "delivered || ' ' || dead_letters"), '1 1', 'is judged by its status');
	is(status($name, 'last_error'), 'status 400', 'whatever that is');
}

{
	my ($name, $sink, $relay) = scene(
		secret => 'hook',
		config => "header = Authorization: Bearer TOPSECRET\n",
		answer => sub {
			my ($request) = @_;
			my $sent = $request->{headers}{authorization};
			my ($token) = $sent =~ /(\S+)$/;
			return { status => 401, body => $request->{events}[0]{type} eq 'UserCreated' ? "[$sent] $token?" : '.' x 195 . $token };
		});
	make_events(1);
	$relay->run('--once');
	is(status($name, 'last_error'), 'status 401', 'what an endpoint answers is not shown in the database');
	like($relay->log, qr/says: \[\*{6} \*{9}\] \*{9}\?$/m, 'it is in the log, where a header of the file that it repeats is masked');
	$node->safe_psql('postgres', "UPDATE commerce_private.parked_events SET type = 'x', next_attempt_at = now()");
	$relay->run('--once');
	like($relay->log, qr/says: \.{195}\*{5}$/m, 'and so is a part of it');
	unlike($relay->log, qr/TOPS/, 'and nothing of it is anywhere');
}

{
	my ($name, $sink, $relay) = scene(batch => 100, answer => sub {
		my ($request) = @_;
		return (grep { $_->{type} eq 'UserCreated' && $_->{data}{name} =~ /7$/ } @{ $request->{events} }) ? 400 : 200;
	}, attempts => 2);
	my @users = make_events(40);
	$relay->start;
	ok(wait_until(sub { status($name, 'dead_letters') == 4 && status($name, 'lag_events + parked') == 0 }),
		'of a batch, the events that fail are found');
	is(status($name, 'delivered'), 76, 'and all others are delivered');
	my %ids;
	my %contents;
	for my $request ($sink->requests)
	{
		$contents{ $request->{headers}{'webhook-id'} }{ join ' ', map { $_->{id} } @{ $request->{events} } } = 1;
	}
	is(scalar(grep { keys %$_ > 1 } values %contents), 0, 'requests with the same webhook-id have the same events');
	$relay->stop;
}

{
	my ($name, $sink, $relay) = scene();
	my ($dead_name, $dead_sink) = scene();
	$dead_sink->stop;
	my $both = Relay->new(node => $node, user => 'relay', arguments => [ '-s' => $name, '-s' => $dead_name ]);
	my @users = make_events(30);
	$both->start;
	ok(wait_for_events($sink, @users), 'a dead endpoint delays no other');
	ok(wait_until(sub { $both->log =~ /subscription $dead_name: the endpoint fails again and again/ }),
		'and is left alone for a time');
	cmp_ok(status($dead_name, 'parked'), '<', 60, 'with not all of its events parked');
	$dead_sink->start;
	ok(wait_for_events($dead_sink, @users), 'when it comes back, it gets everything');
	is_all_in_order($dead_sink, \@users, 'in order');
	is($both->stop, 0, 'and the relay ends as it should');
}

# A secret goes where its own section says, whatever the database says.
{
	my $secret = "header = Authorization: Bearer TOPSECRET\n";
	my ($name, $sink, $relay) = scene(secret => 'hook', config => $secret);
	my $thief = HttpSink->new(folder => $folder, tls => 1)->start;
	my $plain = HttpSink->new(folder => $folder)->start;
	make_events(1);
	for my $url ($thief->url, $plain->url, $sink->url('/') =~ s/^https/http/r)
	{
		$node->safe_psql('postgres', "SELECT commerce.set_http_sink('$name', '$url', 'hook')");
		is($relay->run('--check'), 2, "a secret is not sent to $url");
		$relay->run('--once');
	}
	like($relay->log, qr/subscription $name cannot be delivered: its secret does not name its URL/, 'which is told');
	like($relay->log, qr/subscription $name cannot be delivered: its secret is not sent without https/, 'of http too');
	is(scalar(map { $_->requests } $thief, $plain, $sink), 0, 'and nobody has been sent anything');
	$node->safe_psql('postgres', sprintf q{SELECT commerce.set_http_sink('%s', '%s', 'hook')}, $name, $sink->url);
	is($relay->run('--once'), 0, 'its own URL gets it');
	is(($sink->requests)[0]{headers}{authorization}, 'Bearer TOPSECRET', 'with the secret');
	$node->safe_psql('postgres', "SELECT commerce.set_kafka_sink('$name', '127.0.0.1:1', 't', 'hook')");
	is($relay->run('--check'), 2, 'nor is it sent to brokers that it does not name');
	like($relay->log, qr/its secret does not name all of its brokers/, 'which is told');
}

# This host's own services, and a cloud's metadata, are no sinks unless they are named.
{
	my ($name, $sink, $relay) = scene(arguments => [ '-o' => 'sink_addresses=0.0.0.0/0 ::/0' ]);
	make_events(1);
	is($relay->run('--once'), 3, 'a sink on this host');
	is(scalar $sink->requests, 0, 'is not connected to');
	is(status($name, 'last_error'), q{the relay's sink_addresses do not have its address}, 'which is told');
	like($relay->log, qr/a sink is at the address 127\.0\.0\.1, which is not among sink_addresses/, 'in the log too');
	$node->safe_psql('postgres', sprintf q{SELECT commerce.set_http_sink('%s', '%s')}, $name, $sink->url =~ s/127.0.0.1/localhost/r);
	$node->safe_psql('postgres', 'UPDATE commerce_private.parked_events SET next_attempt_at = now()');
	$relay->run('--once');
	is(scalar $sink->requests, 0, 'not by its name either');
}

{
	my ($name, $sink, $relay) = scene(secret => 'nobody');
	$relay->write_config('');
	is($relay->run('--check'), 2, 'a secret that the file does not have is told at once');
	like($relay->log, qr/no section \[secret nobody\]/, 'by its name');
	my ($other_name, $other_sink) = scene();
	my ($user) = make_events(1);
	$relay = Relay->new(node => $node, user => 'relay', arguments => [ '-s' => $name, '-s' => $other_name ]);
	is($relay->run('--once'), 3, 'and leaves its events');
	is_all_in_order($other_sink, [$user], 'but not those of others');
	$node->safe_psql('postgres', "SELECT commerce.unsubscribe('$name')");

	$relay = Relay->new(node => $node, user => 'relay', config => <<'END');
[relay]
timeout = 5
nonsense = 1
[secret a]
key = whsec_short
header = Content-Type: text/plain
[nothing]
END
	is($relay->run, 2, 'a wrong file is told before anything runs');
	my @lines = $relay->log =~ /relay\.\d+\.conf:(\d+): /g;
	is("@lines", '2 3 5 6 7', 'every line of it that is wrong');

	# whatever is wrong with a line, what it says may be a secret
	$relay = Relay->new(node => $node, user => 'relay', config => <<'END');
[secret k]
key: SECRET==
header Authorization: Bearer SECRET
SECRET=
SECRET==
kafka.sasl.password: SECRET = 1
[key = SECRET
[SECRET]
SECRET = 1
[payments]
secret = SECRET
key = SECRET
END
	is($relay->run('--check'), 2, 'lines of secrets that are wrong');
	is(join(' ', $relay->log =~ /relay\.\d+\.conf:(\d+): /g), '2 3 4 5 6 7 8 12', 'are told');
	$relay->write_config("[payments]\nbrokers = a\ntopic = b\nsecret = SECRET\n");
	is($relay->run('--check'), 2, 'so is a secret that has no section');
	unlike($relay->log, qr/SECRET/, 'nothing of them is printed');

	$relay->write_config("[relay]\ntimeout = 5s\n");
	chmod 0604, $relay->{file};
	is($relay->run('--check'), 2, 'a file that others can read is refused');

	my ($example) = slurp_file('docs/relay.md') =~ /```ini\n(.*?)```/s;
	$example =~ s/whsec_\.\.\./'whsec_' . encode_base64('x' x 24, '')/e;
	$example =~ s/\[payments\].*//s;
	$relay = Relay->new(node => $node, user => 'relay', config => $example, arguments => [ '-s' => 'none' ]);
	is($relay->run('--check'), 0, 'the file in docs/relay.md is right') or diag($relay->log);

	$relay = Relay->new(node => $node, user => 'nobody_at_all');
	is($relay->run, 1, 'a server that lets nobody in is status 1');
	# of these libpq knows at once that it is no use
	for my $dbname ("host=$folder/nothing", 'port=x', 'sslmode=nonsense', 'service=nothing', 'pasword=x')
	{
		my $messages = `timeout -k 1 $PostgreSQL::Test::Utils::timeout_default commerce-relay --dbname='$dbname' 2>&1`;
		is($? >> 8, 1, "a connection that cannot be made with $dbname is status 1");
		like($messages, qr/ error: \S/, 'and says why');
	}
	is(system('commerce-relay', '--nonsense') >> 8, 2, 'an unknown option is status 2');
	is(scalar(() = `commerce-relay --help` =~ /^  +(-\w|--\w)/mg), 9, 'the help has every option');
}

# A relay that has nothing to do is found asleep again and again; one that goes round and round never is.
sub is_asleep
{
	my ($relay, $what) = @_;
	my $looks = 0;
	return ok(wait_until(sub {
		$looks = slurp_file("/proc/$relay->{pid}/stat") =~ /\) S [^)]*$/ ? $looks + 1 : 0;
		return $looks >= 20;
	}), $what);
}

# A scene whose answers come when a function is called, which is returned, too
sub scene_with_waits
{
	my $go = "$folder/go" . ($subscriptions + 1);
	return (scene(answer => sub { return { status => 200, when => sub { -e $go } } }), sub { append_to_file($go, ''); return });
}

{
	my ($name, $sink, $relay, $answer) = scene_with_waits();
	my @users = make_events(2);
	$relay->start;
	wait_until(sub { $sink->requests >= 2 });
	kill 'TERM', $relay->{pid};
	ok(wait_until(sub { $relay->log =~ /a signal to end/ }), 'SIGTERM while requests are under way');
	is_asleep($relay, 'takes no CPU');
	$answer->();
	is($relay->end(0), 0, 'ends it with status 0');
	is(status($name, 'delivered'), 2, 'after their answers');
	my @before = $sink->requests;
	is(scalar @before, 2, 'and sends nothing new');
	is($relay->run('--once'), 0, 'the rest comes later');
	is_all_in_order($sink, \@users, 'in order');
}

{
	my ($name, $sink, $relay, $answer) = scene_with_waits();
	make_events(2);
	$relay->start;
	wait_until(sub { $sink->requests >= 2 });
	my $paused = $node->safe_psql('postgres', "SELECT now() FROM commerce.pause_subscription('$name')");
	ok($node->poll_query_until('postgres', qq{
		SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'commerce-relay'
					   AND query ~ 'relay_subscriptions' AND query_start > '$paused' AND state = 'idle')}), 'a pause is heard of');
	is_asleep($relay, 'and waiting for answers takes no CPU');
	$answer->();
	ok(wait_until(sub { $relay->log =~ /subscription $name: ended/ }), 'after which it ends');
	$relay->stop;
}

{
	my ($name, $sink, $relay, $answer) = scene_with_waits();
	my $holder = DBI->connect('dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr, undef, undef, { RaiseError => 1 });
	make_events(15);
	$relay->start;
	wait_until(sub { $sink->requests >= 8 });
	$holder->begin_work;
	$holder->do("SELECT FROM commerce.subscriptions WHERE name = '$name' FOR UPDATE");
	$answer->();
	ok($node->poll_query_until('postgres', qq{
		SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'commerce-relay $name' AND wait_event_type = 'Lock')}),
		'the server keeps a relay waiting');
	is_asleep($relay, 'which takes no CPU');
	$holder->rollback;
	$holder->disconnect;
	$relay->stop;
}

$node->stop;
done_testing();
