# A standby keeps no counters: it is asked before its promotion, and after it
# knows what was sold in between.

use strict;
use warnings;
use EscrowClients qw(check_books make_shop run_clients sold_out wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'\n");
$primary->start;
make_shop($primary, stock => [ 10, 10 ], quota => [2]);
$primary->safe_psql('postgres', 'SELECT commerce.adjust_stock(1, -1)');

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

sub caught_up
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
	return;
}

sub refused
{
	my ($node, $sql, $state, $what) = @_;
	my ($code, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, qr/ERROR:\s+$state/, $what);
	return;
}

caught_up();
is($standby->safe_psql('postgres', 'SELECT commerce.available_stock(1)'), 9, 'a standby tells the stock');
refused($standby, 'SELECT commerce.adjust_stock(1, -1)', '25006', 'it sells nothing');
refused($standby, q{SELECT commerce.place_order(1, '[{"product_id":1,"quantity":1}]')}, '25006', 'and takes no order');
refused($standby, 'SELECT commerce.claim_coupon(1, 1)', '25006', 'and no claim');
refused($standby, q{SELECT commerce.place_order(1, '[{"product_id":1,"quantity":1000}]')}, '25006',
	'and does not say "sold out" either');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM commerce.escrow'), 0, 'it has no counters');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'commerce%'}),
	0, 'and no worker');

$primary->safe_psql('postgres', q{
	SELECT commerce.adjust_stock(1, -7);
	SELECT commerce.adjust_stock(2, -10);
	SELECT commerce.adjust_stock(2, 50);
	SELECT commerce.claim_coupon(1, 1)});
caught_up();
$primary->stop;
$standby->promote;

refused($standby, 'SELECT commerce.adjust_stock(1, -3)', 'SH001', 'after its promotion it does not sell what was sold');
is($standby->safe_psql('postgres', 'SELECT commerce.adjust_stock(2, -50)'), 0, 'and sells what was returned');
$standby->safe_psql('postgres', 'SELECT commerce.claim_coupon(2, 1)');
refused($standby, 'SELECT commerce.claim_coupon(3, 1)', 'SH004', 'of coupons too');
my ($failed, $records) = run_clients($standby, 4, sold_out());
is($failed, 0, 'every client came to its end');
is(scalar @$records, 2, 'exactly what was left is sold');
check_books($standby, 'promoted');
wait_until(
	sub { $standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'commerce maintenance launcher'}) },
	'the launcher');
wait_until(sub { $standby->safe_psql('postgres', 'SELECT count(*) FROM commerce_private.stock WHERE on_hand <> 0') == 0 }, 'a fold');
pass('the maintenance worker works there now');

done_testing();
