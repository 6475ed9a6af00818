# What commerce is measured against leaves the rows that it leaves itself: the scripts of bench/pgbench run on the shop
# of bench/setup.sql, with the same random numbers on both sides.

use strict;
use warnings;
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $bench = dirname(__FILE__) . '/../../bench';
my $node = PostgreSQL::Test::Cluster->new('bench');
$node->init;
$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'commerce'});
$node->start;
my %shop = (users => 200, products => 200, claimants => 10_400);
command_ok([ 'psql', '-XqAt', '-o', '/dev/null', '-d', $node->connstr('postgres'), '-f', "$bench/setup.sql", map { ('-v', "$_=$shop{$_}") } keys %shop ],
	'the shop is made');

# runs a script 20 times
my %run;
my %define = (%shop, last => 3, coupon => 1, n => 0, from => 0, to => 0);
sub run_script
{
	my ($script) = @_;
	$run{$script} = 1;
	my ($out, $err) = run_command([ 'pgbench', '-n', '-M', 'prepared', '-t', 20, '--random-seed', 1, '-d', $node->connstr('postgres'),
			(map { ('-D', "$_=$define{$_}") } keys %define), '-f', "$bench/pgbench/$script.sql" ]);
	like($out, qr{transactions actually processed: 20/20$}m, "$script runs") or diag $err;
	return;
}
run_script($_) for map { ($_, "${_}_plpgsql") } qw(place_order place_order_one charge_balance claim_coupon);

# what is another moment's or transaction's on either side
my $moments = join ' ', map { "- '$_'::text" } qw(xid event_key era key position segment created_at updated_at paid_at issued_at expires_at at charged_at);
my %row = (
	outbox => "jsonb_set(to_jsonb(t) - 'id'::text, '{payload}', t.payload $moments) $moments",
	users => "to_jsonb(t) - 'balance'::text $moments");
for my $table (qw(users orders order_items order_item_events stock_entries balance_entries payments coupon_issues outbox))
{
	my ($ours, $theirs) = map {
		my $row = $row{$table} // "to_jsonb(t) $moments";
		"SELECT ($row)::text FROM $_.$table t"
		  . ($table eq 'outbox' ? q{ WHERE t.type IN ('OrderCreated', 'PaymentCompleted', 'DeliveryRequested', 'CouponIssued')} : '')
	} qw(commerce plain);
	is($node->safe_psql('postgres', "(($ours) EXCEPT ALL ($theirs)) LIMIT 3"), '', "$table: they leave what commerce leaves");
	is($node->safe_psql('postgres', "(($theirs) EXCEPT ALL ($ours)) LIMIT 3"), '', "$table: and nothing else");
	cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM ($ours) t"), '>=', 20, "$table: there are rows");
}

# one statement after another, with constants for what a client knows
my $rows = q{SELECT concat_ws(' ', (SELECT count(*) FROM plain.order_items), (SELECT count(*) FROM plain.order_item_events),
	(SELECT count(*) FROM plain.outbox), (SELECT count(*) FROM plain.payments), (SELECT count(*) FROM plain.balance_entries), (SELECT count(*) FROM plain.stock_entries))};
my @before = split ' ', $node->safe_psql('postgres', $rows);
run_script('place_order_statements');
my @after = split ' ', $node->safe_psql('postgres', $rows);
is_deeply([ map { $after[$_] - $before[$_] } 0 .. $#after ], [ map { 20 * $_ } 2, 4, 4, 1, 1, 2 ], 'as many rows as an order has');

run_script($_) for qw(insert place_order_cells);
is_deeply([ sort map { m{(\w+)\.sql$} } glob "$bench/pgbench/*.sql" ], [ sort keys %run ], 'every script has run');
done_testing();
