# The maintenance worker runs out of memory again and again, somewhere, while orders come and are overdue. When there is
# memory again it has soon done all its work, and the counters and the books are right.
#
#   INJECT_SECONDS, INJECT_WITHIN (3000): within so many allocations
#
# Where is not repeated by a seed, so that it is a part of make inject alone.

use strict;
use warnings;
use DBI;
use Inject qw(crashes module prepare_database);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'make inject runs it' unless $ENV{INJECT_SECONDS};
my $seconds = $ENV{INJECT_SECONDS};
my $within = $ENV{INJECT_WITHIN} || 3000;
my $node = PostgreSQL::Test::Cluster->new('shop');
my $dir = $node->basedir . '/crashes';
mkdir $dir or die $!;
$ENV{INJECT_DIR} = $dir;
my $module = module();
$node->init;
$node->append_conf('postgresql.conf', qq{
	shared_preload_libraries = '$module, commerce'
	commerce.maintenance_interval = 20
	restart_after_crash = on
	log_statement = none
	fsync = off});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_product(NULL, 'P' || i, 10, 100000000) FROM generate_series(1, 3) i;
	SELECT commerce.charge_balance(commerce.create_user('U'), 90000000)});

my $db;

sub run_sql
{
	my ($sql) = @_;
	for (1 .. 600)
	{
		$db = eval { DBI->connect('dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0 }) } unless $db && $db->ping;
		my $row = $db && eval { $db->selectrow_arrayref($sql) // [] };
		return $row->[0] if $row;
		sleep 0.1;
	}
	die "the server does not answer: $sql: " . ($DBI::errstr // '');
}

sub set_within
{
	my ($n) = @_;
	$node->append_conf('postgresql.conf', "inject.worker_within = $n");
	$node->reload;
	return;
}

set_within($within);
my $end = time + $seconds;
my ($rounds, %known, @unknown) = (0);
while (time < $end)
{
	my $method = ++$rounds % 3 ? 'EXTERNAL' : 'BALANCE';
	run_sql("SELECT commerce.place_order(1, format('[{\"product_id\": %s, \"quantity\": 1}]', 1 + $rounds % 3)::jsonb, '{}', NULL, '$method')");
	run_sql(q{WITH o AS (UPDATE commerce.orders SET expires_at = now() - interval '1 minute' WHERE status = 'PENDING_PAYMENT' RETURNING 1) SELECT count(*) FROM o}) if $rounds % 10 == 0;
	for (crashes($node, $dir))
	{
		$_->{known} ? $known{ $_->{known} }++ : push @unknown, $_->{stacks};
	}
	sleep 0.01;
}
set_within(0);
run_sql('SELECT commerce.charge_balance(1, 100)');
my $left = q{
	SELECT (SELECT count(*) FROM commerce.orders WHERE status = 'PENDING_PAYMENT' AND expires_at < now())
		+ (SELECT count(*) FROM commerce.escrow e WHERE e.in_flight <> 0 OR e.pins <> 0 OR e.waiters <> 0)};
for (1 .. 600)
{
	last if run_sql($left) == 0;
	sleep 0.1;
}
is(run_sql($left), 0, 'with memory the worker does its work');
is(run_sql('SELECT i::text FROM commerce.check_invariants() i LIMIT 1') // '', '', 'the books are right');
is(join("\n", @unknown), '', 'no crash but those of PostgreSQL');
my $log = slurp_file($node->logfile);
my $failed = () = $log =~ /ERROR:  out of memory/g;
cmp_ok($failed, '>', 0, 'it has run out of memory');
diag "$rounds rounds, the worker has run out of memory $failed times", map { "; PostgreSQL itself has crashed: $_ $known{$_}" } sort keys %known;
$node->stop;
done_testing();
