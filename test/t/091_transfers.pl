# Units move between cells and none is lost or there twice: when the server is killed at each step of a transfer, when
# clients buy and sessions are killed meanwhile, up to the last unit, and when a cell has lost its last commits.
# Two cells, which are two databases of a server.
#
# CELL_KILLS (2) is how often the clients' server is killed. 100 is the long mode.

use strict;
use warnings;
use EscrowClients qw(connect_to start_clients stop_clients wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $kills = $ENV{CELL_KILLS} || 2;
my @cells = ('zero', 'one');
my $units = 300;

my $node = PostgreSQL::Test::Cluster->new('cells');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
restart_after_crash = on
max_connections = 50
commerce.maintenance_interval = 100ms
});
$node->start;

sub value
{
	my ($cell, $sql) = @_;
	return $node->safe_psql($cells[$cell], $sql);
}

$node->safe_psql('template1', 'CREATE EXTENSION commerce');
$node->safe_psql('postgres', "CREATE DATABASE $_") for @cells;
value(1, 'SELECT commerce.set_cell(1)');
value($_, q{
	SELECT count(commerce.charge_balance(commerce.create_user('u' || i), 10000000)) FROM generate_series(1, 400) i}) for 0, 1;
value(0, qq{
	SELECT commerce.create_product(NULL, 'cup', 10, $units), commerce.create_coupon('coupon', 'FIXED', 1, $units, valid_days => 1)});
# what a subscription would bring
value(1, q{
	INSERT INTO commerce.products (id, name, price) OVERRIDING SYSTEM VALUE VALUES (1, 'cup', 10);
	INSERT INTO commerce.coupons (id, name, kind, value, quantity, valid_days) OVERRIDING SYSTEM VALUE VALUES (1, 'coupon', 'FIXED', 1, 300, 1);
	SELECT commerce_private.open_stock(1, 0, NULL, NULL), commerce_private.open_quota(1, 0, NULL, NULL)});

# What the mover does with transfers that were begun.
sub finish
{
	my (@db) = @_;
	for my $from (0, 1)
	{
		for my $t (@{ $db[$from]->selectall_arrayref('SELECT id, kind, resource_id, units, to_cell FROM commerce.open_transfers', { Slice => {} }) })
		{
			$db[ $t->{to_cell} ]->do('SELECT commerce.receive_units($1, $2, $3, $4, $5)', undef, @$t{qw(id kind resource_id units)}, $from);
			$db[$from]->do('SELECT commerce.confirm_transfer($1)', undef, $t->{id});
		}
	}
	return;
}

# All units of each kind: available, sold or issued, and on the way.
sub check_sums
{
	my ($what) = @_;
	my %here = (STOCK => 0, QUOTA => 0);
	my (%out, %in);
	for my $cell (0, 1)
	{
		for (split /\n/, value($cell, q{
			SELECT 'here', a.kind, a.available + CASE a.kind WHEN 'STOCK' THEN
				(SELECT coalesce(sum(i.quantity), 0) FROM commerce.order_items i WHERE i.product_id = a.resource_id AND i.status <> 'CANCELLED')
				ELSE (SELECT count(*) FROM commerce.coupon_issues i WHERE i.coupon_id = a.resource_id) END, NULL
			FROM commerce.allotments a
			UNION ALL SELECT 'out', kind, units, id FROM commerce.transfers_out
			UNION ALL SELECT 'in', kind, units, id FROM commerce.transfers_in}))
		{
			my ($where, $transfer) = split /\|/, $_, 2;
			my ($kind, $n) = split /\|/, $transfer;
			$here{$kind} += $n if $where eq 'here';
			$out{$transfer} = 1 if $where eq 'out';
			$in{$transfer} = 1 if $where eq 'in';
		}
	}
	is(join(' ', grep { !$out{$_} } keys %in), '', "$what: nothing came that was not sent");
	for my $sent (grep { !$in{$_} } keys %out)
	{
		my ($kind, $n) = split /\|/, $sent;
		$here{$kind} += $n;
	}
	is("$here{STOCK} $here{QUOTA}", "$units $units", "$what: no unit is lost or there twice");
	return;
}

sub check_cells
{
	my ($what) = @_;
	for my $cell (0, 1)
	{
		is(value($cell, q{
			SELECT invariant FROM commerce.check_invariants()
			UNION ALL SELECT concat_ws(' ', 'counter', e.kind, e.resource_id, e.available, a.available) FROM commerce.escrow e
			JOIN commerce.allotments a ON lower(a.kind::text) = e.kind AND a.resource_id = e.resource_id
			WHERE e.available <> a.available OR e.pins > 0}), '', "$what: books and counters of cell $cell");
	}
	return;
}

sub kill_and_recover
{
	my ($pid) = @_;
	kill KILL => $pid or die "kill: $!";
	# the postmaster hears of it, and lets nobody in before it has recovered
	wait_until(sub { !kill(0, $pid) && eval { connect_to($node, $cells[0])->disconnect; 1 } }, 'the server to recover');
	return;
}

# The server dies at each step of a transfer, with it not committed and committed
my $number = 0;
my %call = (
	send    => sub { my ($db, $id, $kind) = @_; $db->do('SELECT commerce.send_units($1, $2, 1, 7, 1)', undef, $id, $kind) },
	receive => sub { my ($db, $id, $kind) = @_; $db->do('SELECT commerce.receive_units($1, $2, 1, 7, 0)', undef, $id, $kind) },
	confirm => sub { my ($db, $id) = @_; $db->do('SELECT commerce.confirm_transfer($1)', undef, $id) });
for my $last ('send', 'receive', 'confirm')
{
	for my $commits (0, 1)
	{
		my %id = map { $_ => sprintf '00000000-0000-4000-8000-%012d', ++$number } 'STOCK', 'QUOTA';
		my $what = "killed with $last " . ($commits ? 'committed' : 'not committed');
		for my $step ('send', 'receive', 'confirm')
		{
			my $db = connect_to($node, $cells[ $step eq 'receive' ? 1 : 0 ]);
			$db->begin_work;
			$call{$step}->($db, $id{$_}, $_) for 'STOCK', 'QUOTA';
			if ($step ne $last)
			{
				$db->commit;
				$db->disconnect;
				next;
			}
			$db->commit if $commits;
			kill_and_recover($db->{pg_pid});
			$db->{InactiveDestroy} = 1;
			last;
		}
		check_sums($what);
		my @db = map { connect_to($node, $_) } @cells;
		finish(@db) for 1, 2;
		$_->disconnect for @db;
		check_sums("$what, and finished");
		check_cells("$what, and finished") if $commits;
		my $expected = $last eq 'send' && !$commits ? 0 : 2;
		is(value(1, "SELECT count(*) FROM commerce.transfers_in WHERE id IN ('$id{STOCK}', '$id{QUOTA}')"), $expected, "$what: it has happened, or it has not");
	}
}

# Clients buy in both cells while units go to and fro
sub is_expected
{
	my ($db) = @_;
	return ($db->state // '') =~ /^(SH001|SH004|SH005|SH429|40P01)$/;
}

sub reconnected
{
	my ($db, $cell, $stop) = @_;
	return $db if eval { $db->ping };
	$db->{InactiveDestroy} = 1;
	until (-e $stop)
	{
		my $new = eval { connect_to($node, $cells[$cell]) };
		return $new if $new;
		sleep 0.05;
	}
	return;
}

sub buyer
{
	my ($cell, $stop) = @_;
	my $db = connect_to($node, $cells[$cell]);
	my $first = $cell * 1000000000000;
	until (-e $stop)
	{
		my $user = $first + 1 + int rand 400;
		my $ok = eval {
			if (rand() < 0.5) { $db->do('SELECT commerce.claim_coupon($1, 1)', undef, $user) }
			else
			{
				my ($order) = $db->selectrow_array('SELECT (commerce.place_order($1, $2)).id', undef, $user, '[{"product_id":1,"quantity":' . (1 + int rand 3) . '}]');
				$db->do(q{SELECT commerce.cancel_order($1, 'ADMIN')}, undef, $order) if rand() < 0.9;
			}
			1;
		};
		next if $ok || is_expected($db);
		$db = reconnected($db, $cell, $stop) // return;
		# however often it is killed, there is something to be had
		eval { $db->do(q{SELECT commerce.cancel_order(o.id, 'ADMIN') FROM commerce.orders o WHERE o.status = 'PAID' ORDER BY o.id LIMIT 20}) };
	}
	return;
}

sub shuffle_units
{
	my ($stop) = @_;
	my @db = map { connect_to($node, $_) } @cells;
	until (-e $stop)
	{
		my $from = int rand 2;
		next if eval {
			$db[$from]->do('SELECT commerce.send_units(gen_random_uuid(), $1, 1, $2, $3)', undef, rand() < 0.5 ? 'STOCK' : 'QUOTA', 1 + int rand 100, 1 - $from);
			finish(@db) if rand() < 0.7;
			1;
		};
		for (0, 1) { $db[$_] = reconnected($db[$_], $_, $stop) // return }
	}
	return;
}

my $clients = start_clients($node, 6, sub {
	my ($db, $client, $log, undef, $stop) = @_;
	$db->disconnect;
	$client > 4 ? shuffle_units($stop) : buyer($client % 2, $stop);
});
for my $kill (1 .. $kills)
{
	sleep 0.5 + rand;
	my $victim = $node->safe_psql('postgres', q{
		SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname IN ('zero', 'one') ORDER BY random() LIMIT 1});
	kill_and_recover($victim) if $victim;
}
my ($failed) = stop_clients($clients);
is($failed, 0, 'every client came to its end');
wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname IN ('zero', 'one')}) == 0 }, 'the last to go');
check_sums('after the clients');
my @db = map { connect_to($node, $_) } @cells;
finish(@db);
$_->disconnect for @db;
check_sums('after the clients, and finished');
check_cells('after the clients, and finished');

# The last unit of the shop: all are in one cell, and everybody buys in the other, with a mover that brings what is wanted
sub mover
{
	my ($stop) = @_;
	my @db = map { connect_to($node, $_) } @cells;
	until (-e $stop)
	{
		for my $cell (0, 1)
		{
			my $wants = $db[$cell]->selectall_arrayref(q{SELECT kind, resource_id, wanted - available AS missing FROM commerce.wait_for_wants('20 ms')}, { Slice => {} });
			for my $want (@$wants)
			{
				next if $want->{missing} <= 0;
				$db[ 1 - $cell ]->do('SELECT commerce.send_units(gen_random_uuid(), $1, $2, $3, $4)', undef, @$want{qw(kind resource_id missing)}, $cell);
			}
			finish(@db);
			for my $a (@{ $db[ 1 - $cell ]->selectall_arrayref('SELECT kind, resource_id, available FROM commerce.allotments') })
			{
				$db[$cell]->do('SELECT commerce.set_elsewhere($1, ARRAY[$2::bigint], ARRAY[$3::bigint])', undef, @$a);
			}
		}
	}
	return;
}

# SERVICE_BUSY is no answer: again, until it is sold or there is nothing
sub buy_all
{
	my ($stop, $log) = @_;
	my $db = connect_to($node, $cells[1]);
	for (my $n = 1; !-e $stop; $n++)
	{
		my $user = 1000000000000 + 1 + $n % 400;
		my $ok = eval { $db->do('SELECT commerce.place_order($1, $2)', undef, $user, '[{"product_id":1,"quantity":1}]'); 1 };
		$log->({ sold => 1 }) if $ok;
		next if $ok || $db->state eq 'SH429';
		die $@ if $db->state ne 'SH001';
		return;
	}
	die "told to stop\n";
}

my ($left, $sold_before) = split /\|/, value(0, q{SELECT available, 0 FROM commerce.allotments WHERE kind = 'STOCK'});
$left += value(1, q{SELECT available FROM commerce.allotments WHERE kind = 'STOCK'});
cmp_ok($left, '>', 20, "there are units left: $left");
my $depleted = q{SELECT count(*) FROM commerce.outbox WHERE type = 'StockDepleted'};
is(value($_, $depleted), 0, "cell $_ has not said that the shop is empty, though it had sold out itself, or sent all it had") for 0, 1;
my $moves = start_clients($node, 1, sub { mover($_[4]) });
my $buyers = start_clients($node, 6, sub { buy_all($_[4], $_[2]) });
my ($lost, $records) = stop_clients($buyers, let_them_finish => 1);
is($lost, 0, 'each buyer was told that the shop is sold out');
is(scalar @$records, $left, 'when the last unit of both cells was sold');
wait_until(sub { value(0, $depleted) + value(1, $depleted) > 0 }, 'a cell to say that the shop is empty');
($failed) = stop_clients($moves);
is($failed, 0, 'the mover came to its end');
check_sums('sold out');
check_cells('sold out');
is(value($_, q{SELECT available FROM commerce.allotments WHERE kind = 'STOCK'}), 0, "nothing is left in cell $_") for 0, 1;

# A cell loses its last commits: units that it had sent are there twice, units that it had received are nowhere
value(0, 'SELECT commerce.adjust_stock(1, 100), commerce.update_coupon(1, quantity => 350)');
$units += 100;    # of stock; quota is looked at by itself
my $quota = sub { value(0, q{SELECT sum(available) FROM commerce.allotments WHERE kind = 'QUOTA'}) + value(1, q{SELECT sum(available) FROM commerce.allotments WHERE kind = 'QUOTA'}) };
my $quota_before = $quota->();
value(0, q{SELECT commerce.send_units('10000000-0000-4000-8000-000000000001', 'STOCK', 1, 30, 1)});
value(1, q{SELECT commerce.receive_units('10000000-0000-4000-8000-000000000001', 'STOCK', 1, 30, 0)});
value(0, q{SELECT commerce.confirm_transfer('10000000-0000-4000-8000-000000000001')});
# the worker leaves some time after the last commit
wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'zero'}) == 0 }, 'everybody to leave');
$node->safe_psql('postgres', 'CREATE DATABASE backup TEMPLATE zero');
value(0, q{SELECT commerce.send_units('10000000-0000-4000-8000-000000000002', 'STOCK', 1, 50, 1), commerce.send_units('10000000-0000-4000-8000-000000000003', 'QUOTA', 1, 5, 1)});
value(1, q{SELECT commerce.send_units('10000000-0000-4000-8000-000000000004', 'STOCK', 1, 10, 0)});
@db = map { connect_to($node, $_) } @cells;
finish(@db);
$_->disconnect for @db;
sub available { return join ' ', map { value($_, q{SELECT available FROM commerce.allotments WHERE kind = 'STOCK'}) } 0, 1 }
is(available(), '30 70', 'so many units are in each cell');
$node->safe_psql('postgres', 'DROP DATABASE zero WITH (FORCE)');
$node->safe_psql('postgres', 'ALTER DATABASE backup RENAME TO zero');
is(available(), '70 70', 'with its last commits lost, units are there twice');

sub reconcile
{
	my $books = value(1, 'SELECT commerce.transfers_with(0)');
	return value(0, "SELECT kind, direction, units, missing FROM commerce.reconcile_transfers('$books')");
}
# most of what is there twice was sold again before anybody saw to it
value(0, q{SELECT count(commerce.place_order(u, '[{"product_id":1,"quantity":10}]')) FROM generate_series(1, 5) u});
is(reconcile(), "QUOTA|SENT|5|0\nSTOCK|SENT|20|30\nSTOCK|RECEIVED|10|0", 'it is sent again as far as it is there, and received again');
is(reconcile(), 'STOCK|SENT|10|20', 'again, what was received then');
value(0, q{SELECT count(commerce.cancel_order(o.id, 'ADMIN')) FROM (SELECT id FROM commerce.orders WHERE status = 'PAID' ORDER BY id DESC LIMIT 5) o});
is(reconcile(), 'STOCK|SENT|20|0', 'and the rest when orders were cancelled');
is(reconcile(), '', 'then nothing is left to be done');
is(available(), '30 70', 'no unit is there twice');
is($quota->(), $quota_before, 'nor one of a coupon');
check_cells('at the end');
is(value(1, q{SELECT count(*) FROM commerce.transfers_in}), value(0, 'SELECT count(*) FROM commerce.transfers_out'), 'all that came to cell 1 was sent there');

done_testing();
