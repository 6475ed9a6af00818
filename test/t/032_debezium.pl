# What a connector that decodes the WAL reads of the outbox, by the plug-in and
# the publication of docs/debezium.md: every committed event, none of a rollback,
# each aggregate's in the order of its causes, under the one name commerce.outbox.

use strict;
use warnings;
use DBD::Pg ();
use DBI;
use IPC::Run qw(start);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $document = slurp_file('docs/debezium.md');
my %code = $document =~ /^```\w+ ([\w-]+)\n(.*?)^```$/gms;
is(join(' ', sort keys %code), 'connector prepare', 'the document has the code');
my $connector = decode_json($code{connector})->{config};
is($connector->{'plugin.name'}, 'pgoutput', 'the connector uses the plug-in that is tested here');
is($connector->{'transforms.outbox.type'}, 'io.debezium.transforms.outbox.EventRouter', 'and the outbox event router');
is_deeply({ map { $_ => $connector->{$_} } grep { /^transforms\.outbox\./ && !/\.type$/ } keys %$connector },
	{ 'transforms.outbox.table.fields.additional.placement' => 'era:header:era' }, 'whose every setting is the default, but for a header');

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'");
$node->start;
my $dsn = 'dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_user('U', 'u' || i || '@example.com') FROM generate_series(1, 4) i;
	SELECT commerce.create_product(NULL, 'lamp', 1000, 100000);
});
my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM commerce.outbox');
$node->safe_psql('postgres', $code{prepare});
$node->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('$connector->{'slot.name'}', 'pgoutput')");

# Writers on the same few accounts: ids are got early and used late, or rolled back.
my $folder = $node->basedir;
append_to_file("$folder/writer.pl", <<'END');
	use DBI;
	my $shop = DBI->connect($ARGV[0], undef, undef, { RaiseError => 1, AutoCommit => 0 });
	srand $ARGV[1];
	for (1 .. 150)
	{
		my $user = 1 + int rand 4;
		$shop->selectrow_array('SELECT pg_current_xact_id()') if rand() < 0.5;
		$shop->do('SELECT commerce.charge_balance(?, 1000)', undef, $user);
		$shop->do(q{SELECT commerce.place_order(?, '[{"product_id":1,"quantity":1}]')}, undef, $user) if rand() < 0.3;
		rand() < 0.2 ? $shop->rollback : $shop->commit;
	}
	$shop->disconnect;
END
my @writers = map { start [ $^X, "$folder/writer.pl", $dsn, $_ ] } 1 .. 3;
$_->finish or BAIL_OUT('a writer failed') for @writers;
# what retention does is no event
$node->safe_psql('postgres', 'TRUNCATE commerce_private.outbox_' . $node->safe_psql('postgres',
	q{SELECT (extract(epoch FROM now())::bigint / 86400 + 8) % 16}));

# The messages of pgoutput, protocol version 1
my $db = DBI->connect($dsn, undef, undef, { RaiseError => 1 });
my $changes = $db->prepare(q{SELECT data FROM pg_logical_slot_get_binary_changes(?, NULL, NULL, 'proto_version', '1', 'publication_names', ?)});
$changes->execute(@$connector{qw(slot.name publication.name)});
my (%relations, %kinds, @events);
while (my ($data) = $changes->fetchrow_array)
{
	my $kind = substr $data, 0, 1;
	$kinds{$kind}++;
	if ($kind eq 'R')
	{
		my ($id, $schema, $name, undef, $ncolumns, $rest) = unpack 'x N Z* Z* C n a*', $data;
		my @columns;
		for (1 .. $ncolumns)
		{
			(undef, my $column, undef, undef, $rest) = unpack 'C Z* N N a*', $rest;
			push @columns, $column;
		}
		$relations{$id} = { name => "$schema.$name", columns => \@columns };
	}
	elsif ($kind eq 'I')
	{
		my ($id, undef, $ncolumns, $rest) = unpack 'x N a n a*', $data;
		my %row = (relation => $relations{$id}{name});
		for my $column (@{ $relations{$id}{columns} })
		{
			(my $form, $rest) = unpack 'a a*', $rest;
			($row{$column}, $rest) = unpack 'N/a a*', $rest if $form eq 't';
		}
		push @events, \%row;
	}
}
is_deeply([ sort keys %kinds ], [qw(B C I R)], 'it reads inserts and nothing else, retention included');
is_deeply([ keys %{ { map { $_->{relation} => 1 } @events } } ], ['commerce.outbox'], 'the segments have one name');
my %columns = map { $_ => 1 } map { @{ $_->{columns} } } values %relations;
ok($columns{$_}, "column $_ is where the event router looks for it") for qw(id aggregatetype aggregateid type payload era);

my $written = $db->selectall_arrayref(q{SELECT id, aggregatetype, aggregateid, payload::text FROM commerce.outbox ORDER BY era, key, position});
my %later = map { $_->[0] => 1 } @$written[ $before .. $#$written ];
is(scalar @events, scalar @$written - $before, 'as many as were written');
cmp_ok(scalar @events, '>', 300, 'which are many');
is_deeply([ sort map { $_->{id} } @events ], [ sort keys %later ], 'the same ones, none of a rollback');
my (%read, %wrote);
push @{ $read{"$_->{aggregatetype} $_->{aggregateid}"} }, "$_->{id} $_->{payload}" for @events;
push @{ $wrote{"$_->[1] $_->[2]"} }, "$_->[0] $_->[3]" for grep { $later{ $_->[0] } } @$written;
is_deeply(\%read, \%wrote, 'each aggregate in the order in which fetch_events() gives it, with the same payload');
my %balance = map { $_->{aggregateid} => decode_json($_->{payload})->{balance} } grep { $_->{type} eq 'BalanceCharged' } @events;
my %orders;
$orders{ $_->{aggregateid} } .= substr $_->{type}, 0, 1 for grep { $_->{aggregatetype} eq 'Order' } @events;
is_deeply([ grep { $_ ne 'OPD' } values %orders ], [], 'an order is made, then paid, then delivered');
is(scalar keys %balance, 4, 'of every account');

$db->disconnect;
$node->stop;
done_testing();
