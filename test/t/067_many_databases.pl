# A server with many shops: each database has a worker of its own, which folds what is written there and gives its slot
# back when the database is dropped. 5 databases; DATABASES=71 for more.

use strict;
use warnings;
use EscrowClients qw(wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $databases = $ENV{DATABASES} || 5;
my $node = PostgreSQL::Test::Cluster->new('many');
$node->init;
$node->append_conf('postgresql.conf', sprintf q{
shared_preload_libraries = 'commerce'
commerce.maintenance_databases = %d
max_worker_processes = %d
}, $databases + 1, $databases + 8);    # and one that was the model's
$node->start;

my @shops = map { "shop$_" } 1 .. $databases;
$node->safe_psql('postgres', 'CREATE DATABASE model');
$node->safe_psql('model', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_product(NULL, 'Cup', 100, 100);
	SELECT commerce.charge_balance(commerce.create_user('U', 'u@example.com'), 10000);
});
$node->safe_psql('postgres', 'ALTER DATABASE model ALLOW_CONNECTIONS false IS_TEMPLATE true');
wait_until(sub { !$node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'model'}) }, 'the model to be left');
$node->safe_psql('postgres', join '', map { "CREATE DATABASE $_ TEMPLATE model;\n" } @shops);

sub order_everywhere
{
	for my $shop (@_)
	{
		$node->safe_psql($shop, q{SELECT commerce.place_order(1, '[{"product_id": 1, "quantity": 1}]')});
	}
	return;
}

my $begin = time;
order_everywhere(@shops);
my $ordered = time;

sub folded
{
	my ($shop, $left) = @_;
	return $node->safe_psql($shop, 'SELECT on_hand FROM commerce_private.stock') == $left;
}
# what the workers have of their own, while they are there: they leave when there is nothing to do
if ($^O eq 'linux')
{
	my ($n, $sum) = (0, 0);
	for my $pid (split /\n/, $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'commerce maintenance'}))
	{
		my ($private) = eval { slurp_file("/proc/$pid/smaps_rollup") =~ /^Private_Dirty:\s+(\d+)/m } or next;
		$n++;
		$sum += $private;
	}
	diag(sprintf '%d workers are there, with %.1f MB each of their own', $n, $sum / $n / 1024) if $n;
}
wait_until(sub { !grep { !folded($_, 99) } @shops }, 'a fold in each');
diag(sprintf '%d databases: all was folded %.1f s after the first order, the last of which was %.1f s after it', $databases, time - $begin, $ordered - $begin);
is(scalar(grep { !folded($_, 99) } @shops), 0, 'what is ordered is folded in each of them');
is($node->safe_psql($shops[0], q{SELECT count(*) FROM commerce.maintenance WHERE database LIKE 'shop%' AND state IN ('WORKING', 'IDLE')}),
	$databases, 'and each is in the view');

# half of the shops close, as many open
my @gone = splice @shops, 0, int($databases / 2);
$node->safe_psql('postgres', join '', map { "DROP DATABASE $_ WITH (FORCE);\n" } @gone);
my @new = map { "shop_$_" } @gone;
$node->safe_psql('postgres', join '', map { "CREATE DATABASE $_ TEMPLATE model;\n" } @new);
order_everywhere(@new);
wait_until(sub { !grep { !folded($_, 99) } @new }, 'a fold in the new ones');
is(scalar(grep { !folded($_, 99) } @new), 0, 'those that are new have the slots of those that are gone');
push @shops, @new;

my $before = -s $node->logfile;
$node->stop;
unlike(substr(slurp_file($node->logfile), $before), qr/FATAL|PANIC/, 'a clean shutdown logs no FATAL');
done_testing();
