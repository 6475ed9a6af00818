# What a subscriber has been given is on disk, whatever synchronous_commit was
# for those who wrote it: the server is killed between fetch and ack.

use strict;
use warnings;
use DBI;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
# nobody else writes WAL out meanwhile
$node->append_conf('postgresql.conf', <<'END');
synchronous_commit = off
wal_writer_delay = 10s
wal_writer_flush_after = 1GB
autovacuum = off
END
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_user('A', 'a@example.com');
	SELECT commerce.subscribe('reader');
	CHECKPOINT;
});

# Leaves nobody time to write anything out.
sub crash
{
	my $postmaster = $node->{_pid};
	my @children;
	for my $file (glob '/proc/[0-9]*/stat')
	{
		open my $process, '<', $file or next;
		push @children, $1 if (<$process> // '') =~ /^(\d+) \(.*\) \S $postmaster /;
	}
	$node->kill9;
	kill 'KILL', @children;
	usleep(10_000) while grep { kill 0, $_ } @children;
	$node->start;
	return;
}

sub connect_to
{
	my ($to) = @_;
	return DBI->connect('dbi:Pg:' . $to->connstr('postgres') =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0 });
}

for my $round (1 .. 2)
{
	my ($writer, $reader) = map { connect_to($node) } 1 .. 2;
	$writer->do('SELECT commerce.charge_balance(1, 100)') for 1 .. 5;
	my $fetched = $reader->selectcol_arrayref(q{SELECT id FROM commerce.fetch_events('reader') ORDER BY position});
	cmp_ok(scalar @$fetched, '>=', 5 * $round, "round $round: there are events to lose");
	crash();
	my @again = split /\n/, $node->safe_psql('postgres', q{SELECT id FROM commerce.fetch_events('reader') ORDER BY position});
	is("@again[0 .. $#$fetched]", "@$fetched", "round $round: what was fetched comes again, in the same order");
	is(scalar(keys %{ { map { $_ => 1 } @again } }), scalar @again, "round $round: once each");
}

# An acknowledged event does not come again after the next crash.
$node->safe_psql('postgres', q{
	SET synchronous_commit = on;
	SELECT commerce.ack_events('reader', max(position)) FROM commerce.fetch_events('reader');
});
crash();
is($node->safe_psql('postgres', "SELECT count(*) FROM commerce.fetch_events('reader')"), '0', 'what was acknowledged does not');

# An idle reader writes nothing: it takes no transaction id.
my $next_xid = 'SELECT pg_snapshot_xmax(pg_current_snapshot())';
my $before = $node->safe_psql('postgres', $next_xid);
$node->safe_psql('postgres', "SELECT count(*) FROM commerce.fetch_events('reader')") for 1 .. 20;
is($node->safe_psql('postgres', $next_xid), $before, 'twenty fetches of nothing write nothing');

# A standby reads the same, and does not acknowledge.
$node->append_conf('postgresql.conf', "max_wal_senders = 5\nwal_level = replica\nwal_writer_delay = 200ms");
$node->restart;
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $long = connect_to($node);
$long->do('SET synchronous_commit = on; BEGIN; SELECT pg_current_xact_id()');
$node->safe_psql('postgres', 'SET synchronous_commit = on; SELECT commerce.charge_balance(1, 100)');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT count(*) FROM commerce.fetch_events('reader')"), '0',
	'a standby knows that an older transaction is open on the primary');
$long->do('COMMIT');
$long->disconnect;
# it had written nothing, so that its COMMIT did not wait for the disk
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my $position = $standby->safe_psql('postgres', "SELECT max(position) FROM commerce.fetch_events('reader')");
is($position, $node->safe_psql('postgres', "SELECT max(position) FROM commerce.fetch_events('reader')"), 'then it reads what the primary does');
my ($status, undef, $stderr) = $standby->psql('postgres', "SELECT commerce.ack_events('reader', '$position')");
isnt($status, 0, 'acknowledging is for the primary');
is($node->safe_psql('postgres', "SELECT commerce.ack_events('reader', '$position')"), $position, 'which takes a position that the standby gave');

$standby->stop;
$node->stop;
done_testing();
