# Old segments of the outbox are emptied while events are written and read:
# nothing is removed that a subscription has not had, nobody waits for it, and
# it says what holds a segment back.

use strict;
use warnings;
use DBI;
use IPC::Run qw(start);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
$node->append_conf('postgresql.conf', "commerce.outbox_retention = '2d'\nshared_preload_libraries = 'commerce'");
$node->start;
my $folder = $node->basedir;
my $dsn = 'dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr;

$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_user('U' || i, 'u' || i || '@example.com') FROM generate_series(1, 1000) i;
	SELECT commerce.subscribe('fast'), commerce.subscribe('slow'), commerce.subscribe('wants nothing', '{ConversionAlert}');
	-- events of ten days, until yesterday
	UPDATE commerce.outbox o SET created_at = n.at, segment = (extract(epoch FROM n.at)::bigint / 86400 % 16)::int
	FROM (SELECT e.id, date_trunc('day', now(), 'UTC') - interval '10 days' + interval '14 minutes' * row_number() OVER (ORDER BY e.position) AS at
		  FROM commerce.outbox e WHERE e.type = 'UserCreated') n
	WHERE n.id = o.id;
});
is($node->safe_psql('postgres', 'SELECT count(*) FROM commerce.outbox_segments WHERE retained_until < now()'), '8',
	'eight days are due: two days and the rest of a day are kept');

# Held
my ($status, $stdout, $stderr) = $node->psql('postgres', 'SELECT commerce.purge_outbox()');
is($stdout, '0', 'nothing is removed that was not read');
like($stderr, qr/segment \d+ of the outbox is past its retention and is held by subscription fast, slow$/m, 'it says who has not read it');
unlike($stderr, qr/wants nothing/, 'a subscription holds nothing that it does not want');
is($node->safe_psql('postgres', 'SELECT DISTINCT held_by FROM commerce.outbox_segments'), 'fast, slow', 'a view says so too');

# While one reads everything, slowly, and another has read it all, orders come in
# and retention runs all the time.
$node->safe_psql('postgres', q{SELECT commerce.ack_events('fast', max(position)) FROM commerce.fetch_events('fast', 10000)});
append_to_file("$folder/reader.pl", <<'END');
	use DBI;
	my $shop = DBI->connect($ARGV[0], undef, undef, { RaiseError => 1, PrintError => 0 });
	my $empty = 0;
	while ($empty < 20 || !-e "$ARGV[1]/written")
	{
		my $events = $shop->selectall_arrayref(q{SELECT position, id FROM commerce.fetch_events('slow', 50) ORDER BY position});
		print "$_->[1]\n" for @$events;
		$shop->do(q{SELECT commerce.ack_events('slow', ?)}, undef, $events->[-1][0]) if @$events;
		$empty = @$events ? 0 : $empty + 1;
		select undef, undef, undef, 0.02;
	}
END
append_to_file("$folder/writer.pl", <<'END');
	use DBI;
	my $shop = DBI->connect($ARGV[0], undef, undef, { RaiseError => 1, PrintError => 0 });
	# an order that waited for retention would not come through
	$shop->do(q{SET lock_timeout = '150ms'});
	$shop->do('SELECT commerce.charge_balance(?, 100)', undef, $_) for 1 .. 500;
	open my $done, '>', "$ARGV[1]/written" or die;
END
my ($read, $complaints) = ('', '');
my $all = $node->safe_psql('postgres', 'SELECT id FROM commerce.outbox ORDER BY era, key, position');
my $reader = start [ $^X, "$folder/reader.pl", $dsn, $folder ], '>', \$read, '2>', \$complaints;
my $writer = start [ $^X, "$folder/writer.pl", $dsn, $folder ], '2>', \$complaints;
my $purger = DBI->connect($dsn, undef, undef, { RaiseError => 1, PrintError => 0, PrintWarn => 0 });
my ($runs, $emptied) = (0, 0);
while ($reader->pumpable)
{
	$emptied += $purger->selectrow_array('SELECT commerce.purge_outbox()');
	$runs++;
	select undef, undef, undef, 0.1;
	$reader->pump_nb;
}
$reader->finish;
$writer->finish;
is($complaints, '', 'neither the reader nor the writer failed');
my @read = split /\n/, $read;
is(scalar @read, scalar(keys %{ { map { $_ => 1 } @read } }), 'the slow reader had no event twice');
is("@read[0 .. 999]", join(' ', split /\n/, $all), 'and all of the old ones, in order');
is(scalar @read, 1500, 'and all of the new ones');
is($emptied + $purger->selectrow_array('SELECT commerce.purge_outbox()'), 8, 'what was due was removed behind it');
is($node->safe_psql('postgres', q{SELECT count(*) FROM commerce.outbox WHERE created_at < now() - interval '3 days'}), '0', 'nothing old is left');
is($node->safe_psql('postgres', q{SELECT count(*) FROM commerce.outbox WHERE type = 'UserCreated'}), '178', 'the last two days are');

# Read and in use: left for the next time, in bounded time.
$node->safe_psql('postgres', q{
	UPDATE commerce.outbox SET created_at = created_at - interval '3 days',
		segment = (extract(epoch FROM created_at - interval '3 days')::bigint / 86400 % 16)::int WHERE type = 'UserCreated'});
my $user = DBI->connect($dsn, undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 0 });
$user->selectrow_array('SELECT count(*) FROM commerce.outbox');
($status, $stdout, $stderr) = $node->psql('postgres', q{
	SELECT commerce.ack_events('fast', max(position)) > '' FROM commerce.fetch_events('fast', 10000);
	SELECT commerce.purge_outbox()});
is($stdout, "t\n0", 'a segment that somebody reads is not emptied');
like($stderr, qr/NOTICE:  segment \d+ of the outbox is in use; it is left for the next time/, 'it says that');
$user->rollback;
is($node->safe_psql('postgres', q{SELECT commerce_private.run_job('purge-outbox')}), '2', 'the job empties it afterwards');

# Who goes back to what is gone is told.
my $gone = '00000001-0000000000000001-0000000000000001';
($status, undef, $stderr) = $node->psql('postgres', "SELECT commerce.seek_subscription('fast', to_position => '$gone')");
like($stderr, qr/must not be before events that retention has removed/, 'seeking to events that are gone is refused');
is($node->safe_psql('postgres', q{
	SELECT commerce.seek_subscription('fast', to_time => '-infinity');
	SELECT count(*) = (SELECT count(*) FROM commerce.outbox) FROM commerce.fetch_events('fast', 10000)}) =~ s/.*\n//r,
	't', 'to a time it goes to the oldest there is');

$_->disconnect for $user, $purger;
$node->stop;
done_testing();
