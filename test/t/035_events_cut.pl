# History that was cut: a server that is recovered to a point in the past, a standby that is promoted without
# the newest history, a copy of a data directory. Who goes on from a position of the history that is gone skips
# nothing of the new one, and is told when he has had what the shop has not.

use strict;
use warnings;
use IPC::Run qw(run);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $shop = PostgreSQL::Test::Cluster->new('shop');
$shop->init(has_archiving => 1, allows_streaming => 1);
$shop->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
max_prepared_transactions = 5
});
$shop->start;

my %code = slurp_file('docs/consumer.md') =~ /^```\w+ ([\w-]+)\n(.*?)^```$/gms;
my $program = $shop->basedir . '/consumer.pl';
append_to_file($program, $code{consumer});
my $warehouses = PostgreSQL::Test::Cluster->new('warehouses');
$warehouses->init;
$warehouses->start;
for my $warehouse (qw(behind ahead))
{
	$warehouses->safe_psql('postgres', "CREATE DATABASE $warehouse");
	$warehouses->safe_psql($warehouse, $code{'consumer-tables'});
}

sub value
{
	my ($node, $sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

sub charge
{
	my ($node, $n) = @_;
	value($node, 'SELECT commerce.charge_balance(1, 100)') for 1 .. $n;
	return;
}

# Lets the consumer of docs/consumer.md read what there is; returns whether it was content, and what it said.
sub count_in
{
	my ($node, $warehouse) = @_;
	local $ENV{ONCE} = 1;
	my $said = '';
	my @dsn = map { 'dbi:Pg:' . $_ =~ s/ /;/gr } $node->connstr('postgres'), $warehouses->connstr($warehouse);
	my $content = run [ $^X, $program, @dsn ], '>&', \$said;
	return ($content, $said);
}

sub charges
{
	my ($warehouse) = @_;
	return $warehouses->safe_psql($warehouse, 'SELECT coalesce(sum(charges), 0) FROM charged');
}

# Somebody who keeps his own position and passes over what is not after it
my %state = (position => '', had => {}, lost => '');

sub consume
{
	my ($node) = @_;
	for (split /\n/, value($node, q{SELECT position, id FROM commerce.fetch_events('own', 1000) ORDER BY position}))
	{
		my ($position, $id) = split /\|/;
		next if $position le $state{position};
		$state{had}{$id}++;
		$state{position} = $position;
	}
	return;
}

sub skipped
{
	my ($node) = @_;
	return grep { !$state{had}{$_} } split /\n/, value($node, 'SELECT id FROM commerce.outbox');
}

sub era
{
	my ($node) = @_;
	return value($node, 'SELECT era FROM commerce_private.origin');
}

# ---------------------------------------------------------------------------
# What was
value($shop, q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_user('A', 'a@example.com');
	SELECT commerce.create_product(NULL, 'lamp', 1000, 10)});
value($shop, $code{'shop-setup'});
value($shop, q{SELECT commerce.subscribe('own')});
$shop->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($shop, 'backup', has_streaming => 1);
$standby->start;

my ($status, undef, $error) = $shop->psql('postgres', q{BEGIN; SELECT commerce.charge_balance(1, 100); PREPARE TRANSACTION 'a'});
like($error, qr/cannot PREPARE a transaction that has called an operation of commerce/,
	'what was called cannot be prepared: it might be committed when its era has ended');
charge($shop, 5);
consume($shop);
is((count_in($shop, 'behind'))[0], 1, 'a consumer reads');
value($shop, q{BEGIN; INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES (1, -1, 'ADJUST'); PREPARE TRANSACTION 'by hand'});
value($shop, q{SELECT pg_create_restore_point('middle')});
value($shop, q{ROLLBACK PREPARED 'by hand'});
$shop->wait_for_catchup($standby, 'replay', $shop->lsn('insert'));
$standby->stop;

charge($shop, 20);
consume($shop);
is(scalar(skipped($shop)), 0, 'all is consumed');
is((count_in($shop, 'ahead'))[0], 1, 'another consumer reads on');
is(charges('ahead'), 20, 'and counts');
my $lost = $state{position};
my $former = era($shop);
value($shop, 'SELECT pg_switch_wal()');
$shop->stop;

# ---------------------------------------------------------------------------
# Recovered to a point in the past
my $recovered = PostgreSQL::Test::Cluster->new('recovered');
$recovered->init_from_backup($shop, 'backup', has_restoring => 1, standby => 0);
$recovered->append_conf('postgresql.conf', "recovery_target_name = 'middle'\nrecovery_target_action = 'promote'\n");
$recovered->start;
$recovered->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or BAIL_OUT('no recovery');

($status, undef, $error) = $recovered->psql('postgres', q{SET lock_timeout = '100ms'; SELECT commerce.charge_balance(1, 100)});
like($error, qr/lock timeout/, 'recovered: a write by hand that was prepared before is waited for');
value($recovered, q{COMMIT PREPARED 'by hand'});
is(value($recovered, 'SELECT commerce.available_stock(1)'), 9, 'recovered: and counts');
($status, undef, $error) = $recovered->psql('postgres', "SELECT commerce.ack_events('own', '$lost')");
isnt($status, 0, 'recovered: a position that is not there cannot be acknowledged');
charge($recovered, 10);
cmp_ok(era($recovered), '>', $former, 'recovered: an era has begun');
like(slurp_file($recovered->logfile), qr/LOG:  commerce begins era \d+ of its events/, 'recovered: which the log says');
is(value($recovered, 'SELECT count(DISTINCT era) FROM commerce.outbox'), 2, 'recovered: one');
is(value($recovered, qq{SELECT count(*) FROM commerce.fetch_events('own', 1000) WHERE era > $former AND position > '$lost'}), 10,
	'recovered: everything in it comes after what was ever given out, and says its era');
consume($recovered);
charge($recovered, 30);
consume($recovered);
is(scalar(skipped($recovered)), 0, 'recovered: nothing is skipped');
is(scalar(grep { $_ > 1 } values %{ $state{had} }), 0, 'recovered: nothing comes twice');
($status, undef, $error) = $recovered->psql('postgres', "SELECT commerce.ack_events('own', '$lost')");
like($error, qr/there is none at $lost/, 'recovered: nor can it when the new history is longer than the old one was');
is(value($recovered, q{SELECT commerce.ack_events('own', max(position)) = max(position) FROM commerce.fetch_events('own', 1000)}), 't',
	'recovered: one that is there can');
($status, undef, $error) = $recovered->psql('postgres', "SELECT commerce.ack_events('own', '$lost')");
isnt($status, 0, 'recovered: also when it is before the cursor');

is((count_in($recovered, 'behind'))[0], 1, 'recovered: a consumer that has had nothing of what is gone goes on');
is(charges('behind'), 5 + 40, 'recovered: and has counted everything once');
charge($recovered, 1);
my ($content, $said) = count_in($recovered, 'ahead');
is($content, '', 'recovered: a consumer that has had what is gone is told so');
like($said, qr/must be the position of an event/, 'recovered: by the shop');
is(charges('ahead'), 20, 'recovered: and counts nothing');
is($recovered->safe_psql('postgres', 'SELECT * FROM commerce.check_invariants()'), '', 'recovered: the books are in order');

# ---------------------------------------------------------------------------
# Promoted without the newest history, beside the other
$state{had} = { map { $_ => 1 } grep { $state{had}{$_} } split /\n/, value($recovered, "SELECT id FROM commerce.outbox WHERE era <= $former") };
$state{position} = $lost;
$standby->start;
$standby->promote;
charge($standby, 30);
cmp_ok(era($standby), '>', $former, 'promoted: an era has begun');
isnt(era($standby), era($recovered), 'promoted: not the one that another server has begun from the same backup');
consume($standby);
is(scalar(skipped($standby)), 0, 'promoted: nothing is skipped');
is(value($standby, "SELECT min(position) > '$lost' FROM commerce.fetch_events('own', 1000) WHERE era > $former"), 't',
	'promoted: what is new comes after what was given out');
my $era = era($standby);
$standby->restart;
charge($standby, 1);
is(era($standby), $era, 'promoted: no era begins without a reason');
is($standby->safe_psql('postgres', 'SELECT * FROM commerce.check_invariants()'), '', 'promoted: the books are in order');

# ---------------------------------------------------------------------------
# A copy of a data directory
$standby->stop;
$standby->backup_fs_cold('cold');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($standby, 'cold');
$copy->start;
is(era($copy), $era, 'copied: nobody can tell');
cmp_ok(value($copy, 'SELECT commerce.open_era()'), '>', $era, 'copied: but by open_era()');
charge($copy, 1);
is(value($copy, "SELECT count(*) FROM commerce.fetch_events('own', 1000) WHERE era > $era"), 1, 'copied: then what is written is of another era');
($status, undef, $error) = $copy->psql('postgres', 'SET default_transaction_read_only = on; SELECT commerce.open_era()');
like($error, qr/read-only transaction/, 'copied: open_era() writes');
is($copy->safe_psql('postgres', 'SELECT * FROM commerce.check_invariants()'), '', 'copied: the books are in order');

done_testing();
