# Waiting for units that may come back goes on when lock_timeout's own limit is
# reached, but not when statement_timeout is over, also when both are found at
# the same time: as after the process was stopped.

use strict;
use warnings;
use DBD::Pg qw(:async);
use DBI;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('shop');
$node->init;
$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'commerce'});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION commerce;
	SELECT commerce.create_product(NULL, 'Cup', 10, 1);
	SELECT commerce.charge_balance(commerce.create_user('U' || i, i || '@example.com'), 1000) FROM generate_series(1, 2) i;
});

sub session
{
	return DBI->connect('dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0 });
}

my $order = q{SELECT commerce.place_order(%d, '[{"product_id": 1, "quantity": 1}]')};
my ($first, $second) = (session(), session());
$first->begin_work;
$first->do(sprintf $order, 1);

$second->do(q{SET statement_timeout = '3s'});
my $pid = $second->{pg_pid};
$second->do(sprintf($order, 2), { pg_async => PG_ASYNC });
$node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid") or die 'does not wait';
kill STOP => $pid;
sleep 4;
kill CONT => $pid;
# what does not end by itself is sold when the first gives up
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
sleep 1 until $second->pg_ready || time > $deadline;
ok($second->pg_ready, 'the statement ends');
$first->rollback;
ok(!eval { $second->pg_result; 1 }, 'with an error');
is($second->state, '57014', 'the statement timeout');
is($node->safe_psql('postgres', 'SELECT commerce.available_stock(1)'), '1', 'nothing is sold');
is($node->safe_psql('postgres', 'SELECT waiters FROM commerce.escrow'), '0', 'nobody waits any more');

$_->disconnect for $first, $second;
$node->stop;
done_testing();
