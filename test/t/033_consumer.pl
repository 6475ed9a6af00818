# The consumer of docs/consumer.md, as it is printed there, is killed again and
# again while the shop writes, and counts every event once.

use strict;
use warnings;
use DBI;
use IPC::Run qw(start);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
$node->start;
my $folder = $node->basedir;

my %code = slurp_file('docs/consumer.md') =~ /^```\w+ ([\w-]+)\n(.*?)^```$/gms;
is(join(' ', sort keys %code), 'again consumer consumer-tables shop-setup', 'the document has the code');
append_to_file("$folder/consumer.pl", $code{consumer});

$node->safe_psql('postgres', 'CREATE DATABASE warehouse');
$node->safe_psql('warehouse', $code{'consumer-tables'});
$node->safe_psql('postgres', 'CREATE EXTENSION commerce');
$node->safe_psql('postgres', $code{'shop-setup'});
$node->safe_psql('postgres', "SELECT commerce.create_user('U', 'u$_\@example.com')") for 1 .. 3;

my @dsn = map { 'dbi:Pg:' . $node->connstr($_) =~ s/ /;/gr } qw(postgres warehouse);

# Writers commit and roll back until they are told to stop.
my $writer = <<'END';
	use DBI;
	my $shop = DBI->connect($ARGV[0], undef, undef, { RaiseError => 1, AutoCommit => 0 });
	srand $ARGV[1];
	until (-e $ARGV[2])
	{
		$shop->do('SELECT commerce.charge_balance(?, ?)', undef, 1 + int rand 3, 100 * (1 + int rand 9));
		rand() < 0.2 ? $shop->rollback : $shop->commit;
	}
END
append_to_file("$folder/writer.pl", $writer);
my @writers = map { start [ $^X, "$folder/writer.pl", $dsn[0], $_, "$folder/enough" ] } 1 .. 2;

my $output = '';
for (1 .. 8)
{
	my $consumer = start [ $^X, "$folder/consumer.pl", @dsn ], '>&', \$output;
	usleep(150_000 + rand 150_000);
	$consumer->signal('KILL');
	$consumer->finish;
}
$node->poll_query_until('postgres', 'SELECT count(*) >= 50 FROM commerce.balance_entries');
append_to_file("$folder/enough", '');
$_->finish for @writers;
is($output, '', 'the consumer had no errors until it was killed');

# what nobody can have acknowledged yet
$node->poll_query_until('postgres', q{
	SELECT commerce_private.to_key(pg_snapshot_xmin(pg_current_snapshot())) > max(key) FROM commerce.outbox});
$ENV{ONCE} = 1;
command_ok([ $^X, "$folder/consumer.pl", @dsn ], 'and comes to an end when it is let');

my $expected = $node->safe_psql('postgres', 'SELECT user_id, sum(amount), count(*) FROM commerce.balance_entries GROUP BY 1 ORDER BY 1');
is($node->safe_psql('warehouse', 'SELECT user_id, won, charges FROM charged ORDER BY 1'), $expected, 'every event counts once');
is($node->safe_psql('postgres', q{SELECT lag_events FROM commerce.subscription_status}), '0', 'all is acknowledged');
is($node->safe_psql('postgres', q{SELECT commerce_private.format_position(era, key, position) FROM commerce.subscriptions}),
	$node->safe_psql('warehouse', 'SELECT position FROM progress'), 'the shop and the consumer agree how far it is');

# Killed between its commit and ack_events(), all the way: nothing was acknowledged.
$node->safe_psql('postgres', q{SELECT commerce.seek_subscription('warehouse', to_time => '-infinity')});
command_ok([ $^X, "$folder/consumer.pl", @dsn ], 'it reads what it has had already');
is($node->safe_psql('warehouse', 'SELECT user_id, won, charges FROM charged ORDER BY 1'), $expected, 'and counts none of it again');

# The consumer's database is restored from a backup of its first half.
my $half = $node->safe_psql('postgres', q{
	SELECT commerce_private.format_position(era, key, position) FROM commerce.outbox
	WHERE type = 'BalanceCharged' ORDER BY era, key, position
	OFFSET (SELECT count(*) / 2 FROM commerce.balance_entries) LIMIT 1});
$node->safe_psql('warehouse', "TRUNCATE charged; UPDATE progress SET position = '$half'");
$node->safe_psql('postgres', "SELECT commerce.seek_subscription('warehouse', to_position => '$half')");
command_ok([ $^X, "$folder/consumer.pl", @dsn ], 'after a seek it reads on from there');
is($node->safe_psql('warehouse', 'SELECT user_id, won, charges FROM charged ORDER BY 1'),
	$node->safe_psql('postgres', qq{
		SELECT aggregateid, sum((payload ->> 'amount')::bigint), count(*) FROM commerce.outbox
		WHERE type = 'BalanceCharged' AND commerce_private.format_position(era, key, position) > '$half' GROUP BY 1 ORDER BY 1}),
	'what came after, once');

$node->stop;
done_testing();
