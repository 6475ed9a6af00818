# Moving a shop to another server by logical replication, as docs/operations.md prints it, while orders come in.
# NEWER_PREFIX is where a server of a newer major version is installed, with commerce; without it, both servers are
# of one version.

use strict;
use warnings;
use DBI;
use EscrowClients qw(check_books make_shop wait_until);
use IPC::Run qw(start);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %code = slurp_file('docs/operations.md') =~ /^```sql (move-\w[\w-]*)\n(.*?)^```$/gms;
is(join(' ', sort keys %code), 'move-caught-up move-close move-copied move-open move-prepare move-publish move-sequences move-subscribe',
	'the document has the code');

sub start_node
{
	my ($name, @prefix) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, @prefix);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
max_worker_processes = 32
max_logical_replication_workers = 16
max_sync_workers_per_subscription = 4
});
	$node->start;
	return $node;
}

my $old = start_node('old');
my $new = start_node('new', $ENV{NEWER_PREFIX} ? (install_path => $ENV{NEWER_PREFIX}) : ());
my @versions = map { $_->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int / 10000}) } $old, $new;
note("from PostgreSQL $versions[0] to $versions[1]" . ($versions[0] == $versions[1] ? ': no newer server is there (NEWER_PREFIX)' : ''));

make_shop($old, stock => [ 1000, 1000 ], quota => [5]);
$old->safe_psql('postgres', q{
	SELECT commerce.cancel_order((commerce.place_order(1, '[{"product_id":2,"quantity":1}]')).id, 'BUYER');
	UPDATE commerce.orders SET created_at = created_at - interval '100 days', updated_at = updated_at - interval '100 days' WHERE status = 'REFUNDED'});
ok($old->poll_query_until('postgres', q{SET commerce.archive_after = '90d'; SELECT commerce.archive() = 1}, "SET\nt"), 'an order is archived');
$old->safe_psql('postgres', q{
	SELECT commerce.subscribe('data');
	SELECT commerce.claim_coupon(1, 1);
	SELECT status FROM commerce.place_order(1, '[{"product_id":2,"quantity":6}]', payment_method => 'EXTERNAL');
	SELECT commerce.ack_events('data', max(position)) FROM commerce.fetch_events('data', 3)});
append_to_file($old->basedir . '/writer.pl', <<'END');
	use DBI;
	my $shop = DBI->connect($ARGV[0], undef, undef, { RaiseError => 0, PrintError => 0 });
	while ($shop->ping)
	{
		$shop->do(q{SELECT commerce.charge_balance(1, 1000)});
		$shop->do(q{SELECT commerce.place_order(1, '[{"product_id":1,"quantity":1}]')});
		select undef, undef, undef, 0.02;
	}
END
my $writer = start [ $^X, $old->basedir . '/writer.pl', 'dbi:Pg:' . $old->connstr('postgres') =~ s/ /;/gr ];

sub run_code
{
	my ($node, $sql, @variables) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run [ $node->installed_command('psql'), '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
		map { ('-v', $_) } @variables ], '<', \$sql, '>', \$out, '2>', \$err;
	$ok or BAIL_OUT("$sql: $err");
	return $out;
}

run_code($old, $code{'move-publish'});
run_code($new, run_code($old, $code{'move-prepare'}));
run_code($new, $code{'move-subscribe'}, 'old=' . $old->connstr('postgres') =~ s/'//gr . ' application_name=commerce_move');
wait_until(sub { run_code($new, $code{'move-copied'}) eq "t\n" }, 'the copies');
my $copied = $old->safe_psql('postgres', 'SELECT count(*) FROM commerce.orders');
wait_until(sub { $old->safe_psql('postgres', 'SELECT count(*) FROM commerce.orders') > $copied + 10 }, 'orders meanwhile');
my ($closed_at) = run_code($old, $code{'move-close'} . '\echo :closed_at') =~ /([0-9A-F]+\/[0-9A-F]+)/;
$writer->finish;
wait_until(sub { run_code($old, $code{'move-caught-up'}, "closed_at=$closed_at") eq "t\n" }, 'the rest');
run_code($new, run_code($old, $code{'move-sequences'}));
is(run_code($new, $code{'move-open'}), "t\n", 'it is made its own, and the books are in order');

my $what = q{
	SELECT 'user', id, balance::text FROM commerce.users
	UNION ALL SELECT 'archived', id, items::text FROM commerce.all_order_list WHERE archived_at IS NOT NULL
	UNION ALL SELECT 'stock', id, commerce.available_stock(id)::text FROM commerce.products
	UNION ALL SELECT 'coupon', id, remaining::text FROM commerce.coupon_list
	UNION ALL SELECT 'order', id, status::text FROM commerce.orders
	ORDER BY 1, 2};
is($new->safe_psql('postgres', $what), $old->safe_psql('postgres', $what), 'everything has come');
my $events = q{SELECT id FROM commerce.fetch_events('data', 100000) ORDER BY position};
is($new->safe_psql('postgres', $events), $old->safe_psql('postgres', $events), 'a subscription goes on where it was');
my $last = $old->safe_psql('postgres', 'SELECT max(id) FROM commerce.orders');
is($new->safe_psql('postgres', q{SELECT id FROM commerce.place_order(2, '[{"product_id":1,"quantity":1}]')}), $last + 1, 'numbers go on');
is($new->safe_psql('postgres', q{SELECT count(DISTINCT era) FROM commerce.fetch_events('data', 100000)}), 2, 'in a new era');
check_books($new, 'moved');
$_->stop for $new, $old;

done_testing();
