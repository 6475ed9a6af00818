# A dump restored into another cluster, whose transaction ids are behind or ahead
# of the old one's: each subscription goes on where it was, nothing is skipped,
# nothing comes twice, and what is written there comes after what came along.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = PostgreSQL::Test::Cluster->new('old');
$old->init;
$old->start;
my $burn = 'DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$';

sub events
{
	my ($node, $database, $subscription) = @_;
	return $node->safe_psql($database,
		"SELECT type, aggregateid, payload ->> 'balance', id FROM commerce.fetch_events('$subscription') ORDER BY position");
}

# the newest key there is, in the dump and in the clusters' present
$old->safe_psql('postgres', $burn);
$old->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_user('A', 'a@example.com');
	SELECT commerce.create_user('B', 'b@example.com');
	SELECT commerce.subscribe('half');
	SELECT commerce.subscribe('none');
	SELECT commerce.subscribe('charges', '{BalanceCharged}');
	SELECT commerce.set_http_sink('charges', 'https://example.com/', 'hook');
});
$old->safe_psql('postgres', "SELECT commerce.charge_balance(1, 100 * $_)") for 1 .. 3;
$old->safe_psql('postgres', q{
	SELECT commerce.ack_events('half', max(position)) FROM commerce.fetch_events('half', 3);
	SELECT commerce_private.start_delivering('charges');
	SELECT FROM (SELECT jsonb_agg(position) AS parked, min(position) AS failed FROM commerce.fetch_events('charges', 2)) e,
		commerce_private.report_deliveries('charges', jsonb_build_object(
			'parked', e.parked, 'failed', jsonb_build_array(jsonb_build_object('position', e.failed, 'error', 'HTTP 500'))));
	SELECT commerce.ack_events('charges', max(position)) FROM commerce.fetch_events('charges', 2);
});
my $folder = $old->basedir;
command_ok([ 'pg_dump', '-d', $old->connstr('postgres'), '-Fc', '-f', "$folder/dump" ], 'a dump');

sub restore
{
	my ($node, $database) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	command_ok([ 'pg_restore', '-d', $node->connstr($database), "$folder/dump" ], "restored into $database");
	return;
}

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->start;
for my $ahead (0, 1)
{
	my $shop = $ahead ? 'ahead' : 'behind';
	if ($ahead)
	{
		$new->safe_psql('postgres', $burn) for 1 .. 2;
	}
	my $name = $ahead ? 'a cluster with newer ids' : 'a cluster with older ids';
	restore($new, $shop);

	is($new->safe_psql($shop, 'SELECT commerce.prepare_after_restore()'), 't', "$name: it is made this cluster's own");
	# before anything is written there, while the dump's keys are above the horizon, or not
	is(events($new, $shop, $_), events($old, 'postgres', $_), "$name: $_ goes on where it was")
	  for qw(half none charges);
	is($new->safe_psql($shop, 'SELECT commerce_private.format_position(era, key, position) FROM commerce_private.last_readable()'),
		$old->safe_psql('postgres', 'SELECT commerce_private.format_position(era, key, position) FROM commerce_private.last_readable()'),
		"$name: everything that came along can be read");
	is($new->safe_psql($shop, "SELECT payload ->> 'amount', attempts, last_error FROM commerce.dead_letters"),
		'100|1|HTTP 500', "$name: dead letters come along");
	is($new->safe_psql($shop, "SELECT payload ->> 'amount', attempts FROM commerce_private.due_events('charges')"),
		'200|0', "$name: and parked events");
	is($new->safe_psql($shop, 'SELECT sink, url, secret_name FROM commerce_private.relay_subscriptions()'), 'HTTP|https://example.com/|hook', "$name: and sinks");

	# a subscription that begins there, before the first write
	$new->safe_psql($shop, q{SELECT commerce.subscribe('fresh', from_start => false)});
	my %came = map { $_ => events($new, $shop, $_) } qw(half none charges);
	# the same account, whose last event's key may be far in this cluster's future
	$new->safe_psql($shop, "SELECT commerce.charge_balance(1, 1000 * $_)") for 1 .. 2;
	$new->safe_psql($shop, 'SELECT commerce.charge_balance(2, 5000)');
	is($new->safe_psql($shop, 'SELECT count(DISTINCT era) FROM commerce.outbox'), 2, "$name: a new era has begun");
	for my $subscription (qw(half none charges fresh))
	{
		my $now = events($new, $shop, $subscription);
		my $before = $came{$subscription} // '';
		is(substr($now, 0, length $before), $before, "$name: $subscription reads what came along first");
		is(join(' ', map { (split /\|/)[2] } split /\n/, substr($now, $before ? length($before) + 1 : 0)),
			'1600 3600 5000', "$name: then what was written there, each once and in order");
	}
	# half the way, over the border of the eras
	$new->safe_psql($shop, q{SELECT commerce.ack_events('half', max(position)) FROM commerce.fetch_events('half', 3)});
	is(join(' ', map { (split /\|/)[2] } split /\n/, events($new, $shop, 'half')), '3600 5000', "$name: a cursor crosses into the new era");
	# an era that this cluster does not know yet cannot be acknowledged
	my ($status) = $new->psql($shop, q{SELECT commerce.ack_events('half', commerce_private.format_position(o.era + 1, '0', 1)) FROM commerce_private.origin o});
	isnt($status, 0, "$name: nor does it go beyond");
	is($new->safe_psql($shop, 'SELECT * FROM commerce.check_invariants()'), '', "$name: the books are in order");
}

# Into the same cluster again: the ids still mean what they did, no era begins.
restore($old, 'again');
is(events($old, 'again', 'half'), events($old, 'postgres', 'half'), 'the same cluster: a subscription goes on where it was');
$old->safe_psql('again', 'SELECT commerce.charge_balance(1, 1000)');
is($old->safe_psql('again', 'SELECT count(DISTINCT era) FROM commerce.outbox'), 1, 'the same cluster: in the same era');
is($old->safe_psql('again', q{SELECT payload ->> 'balance' FROM commerce.fetch_events('half') ORDER BY position DESC LIMIT 1}),
	'1600', 'the same cluster: what is written comes last');

$_->stop for $old, $new;
done_testing();
