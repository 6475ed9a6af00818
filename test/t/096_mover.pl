# commerce-mover on three cells: everything is sold and nothing twice, wherever the units are and whatever is killed.
#
# MOVER_ROUNDS (1) says how many rounds of killing there are, each with movers that are killed and one with a cell; MOVER_SEED (1)
# which.

use strict;
use warnings;
use Cells;
use EscrowClients qw(start_clients stop_clients);
use Mover;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Relay qw(wait_until);
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'commerce-mover was not built' if system('command -v commerce-mover >/dev/null') != 0;

my $cells = Cells->new(3);
my @users = map { [ $cells->user($_), $cells->user($_), $cells->user($_) ] } 0 .. 2;
my $go = $cells->node(0)->basedir . '/go.';
my $metrics = $cells->node(0)->basedir . '/metrics.prom';
# for who asks once: the mover may be slow
my $patient = q{SET commerce.cell_wait = '60s'};
my $mover = Mover->new(cells => $cells, arguments => ["--metrics=$metrics"]);
my $router = $cells->make_router;

# Buys one unit after the other until told that the shop is sold out; whoever is busy, or lost the server, tries again.
sub buyer
{
	my ($product, $units) = @_;
	return sub {
		my ($db, $number, $log, $node) = @_;
		my ($cell) = $node->name =~ /(\d+)$/;
		$db->do("SET application_name = 'buyer $product'");
		sleep 0.02 until -e "$go$product";
		my $user = $users[$cell][ $number - 1 ];
		for (my $n = 1;; $n++)
		{
			my $key = "$product-$number-$n";
			my $done = 0;
			my $end = time + 180;
			until ($done)
			{
				$done = eval {
					$db->do(q{SELECT commerce.place_order($1, $2, idempotency_key => $3)}, undef, $user,
						qq([{"product_id":$product,"quantity":$units}]), $key);
					1;
				};
				last if $done;
				my $state = $db->state;
				if ($state eq 'SH001')
				{
					$log->({ sold_out => 1 });
					return;
				}
				die "$state: $@" if time > $end;
				sleep 0.05;
				unless ($db->ping)
				{
					$db->{InactiveDestroy} = 1;
					$db = eval { EscrowClients::connect_to($node) } // $db;
				}
			}
		}
	};
}

sub open_shop_for
{
	my ($product, $open, $units) = @_;
	my @clients = map { start_clients($cells->node($_), 3, buyer($product, $units)) } @$open;
	for my $n (@$open)
	{
		wait_until(sub { $cells->value($n, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'buyer $product'") == 3 })
		  or die 'the buyers do not come';
	}
	append_to_file("$go$product", '');
	return @clients;
}

sub close_shop_for
{
	my (@clients) = @_;
	my ($failed, @records) = (0);
	for (@clients)
	{
		my ($some, $records) = stop_clients($_, let_them_finish => 1);
		$failed += $some;
		push @records, @$records;
	}
	return ($failed, scalar(grep { $_->{sold_out} } @records));
}

sub sold
{
	my ($product) = @_;
	my $units = 0;
	$units += $cells->value($_, qq{
		SELECT coalesce(sum(i.quantity), 0) FROM commerce.order_items i JOIN commerce.orders o ON o.id = i.order_id
		WHERE i.product_id = $product AND o.status <> 'CANCELLED'}) for 0 .. $cells->count - 1;
	return $units;
}

sub is_sold_out
{
	my ($product, $units, $what, @clients) = @_;
	my ($failed, $told) = close_shop_for(@clients);
	is($failed, 0, "$what: every buyer goes on until the shop is sold out");
	is($told, 3 * @clients, "$what: and is told so");
	is(sold($product), $units, "$what: exactly what there was is sold");
	is($cells->units('STOCK', $product), 0, "$what: and nothing is left");
	return;
}

sub sell_out
{
	my ($what, $meanwhile, @units) = @_;
	my $product = $cells->product(@units);
	my $sum = 0;
	$sum += $_ for @units;
	my @clients = open_shop_for($product, [ 0 .. 2 ], 1);
	$meanwhile->($product) if $meanwhile;
	is_sold_out($product, $sum, $what, @clients);
	return;
}

# The books of all cells, which may be read while units are under way
sub check_global_books
{
	my ($what) = @_;
	return unless $router;
	my $found;
	wait_until(sub { ($found = $cells->problems) eq '' });
	is($found, '', "$what: the books of all cells are in order");
	return;
}

# How often the mover has begun to lead, by its log
sub times_leading { return scalar(() = $mover->log =~ /info: leading$/mg) }

# Before anything else
is($mover->run('--check'), 0, '--check finds all in order');
SKIP:
{
	skip 'the sanitizers look for that', 1 if $ENV{ASAN_OPTIONS};
	skip 'there is no valgrind', 1 if system('command -v valgrind >/dev/null') != 0;
	command_ok([ qw(valgrind -q --leak-check=full --error-exitcode=9), $mover->command('--check') ], 'and leaves no memory behind');
}
{
	my $wrong = Mover->new(cells => $cells);
	my $text = slurp_file($wrong->{list});
	(my $swapped = $text) =~ s/^1 (.*)\n2 (.*)$/2 $1\n1 $2/m;
	$wrong->{list} .= '.wrong';
	append_to_file($wrong->{list}, $swapped);
	is($wrong->run('--check'), 1, 'a list with two cells exchanged is refused');
	like($wrong->log, qr/cell 1: this is cell 2, and the list has another number/, 'with what is wrong');
	append_to_file($wrong->{list}, "3 - secret=x\n");
	is($wrong->run, 2, 'a list with a wrong line');
	like($wrong->log, qr/cells\.wrong:5: how to connect is not what libpq understands$/m, 'is told, without what it says');
}

# Without a mover
my $product = $cells->product(5, 0, 0);
my @clients = open_shop_for($product, [0], 1);
ok(wait_until(sub { sold($product) == 5 }), 'without a mover a cell sells what it has');
$mover->start;
is_sold_out($product, 5, 'the mover comes late', @clients);
ok(wait_until(sub { $mover->metric('commerce_mover_leading') eq '1' }), 'it leads, as its metrics say');
ok(wait_until(sub { $mover->metric('commerce_mover_cell_up{cell="2"}') eq '1' }), 'and a cell is up');

# Cell 0 has never had or sent a unit of it
$product = $cells->product(0, 3, 0);
is($cells->node(0)->psql('postgres', "$patient; SELECT commerce.place_order($users[0][0], '[{\"product_id\":$product,\"quantity\":3}]')"), 0,
	'what other cells alone have is sold in cell 0');

# Nor that what an unpaid order holds there, whose time is up, is not to be had. Nobody else ends it.
$cells->value(1, 'ALTER DATABASE postgres SET commerce.maintenance = off');
$product = $cells->product(0, 3, 0);
$cells->value(1, qq{
	SELECT commerce.place_order($users[1][0], '[{"product_id":$product,"quantity":3}]', payment_method => 'EXTERNAL');
	UPDATE commerce.orders SET expires_at = now() WHERE status = 'PENDING_PAYMENT'});
is($cells->node(0)->psql('postgres', "$patient; SELECT commerce.place_order($users[0][0], '[{\"product_id\":$product,\"quantity\":3}]')"), 0,
	'what an overdue order holds in another cell makes way');
$cells->value(1, 'ALTER DATABASE postgres RESET commerce.maintenance');

sell_out('even allotments', undef, 40, 40, 40);
sell_out('all units in one cell', undef, 0, 120, 0);
is($cells->open_transfers, 0, 'nothing is on its way') if wait_until(sub { $cells->open_transfers == 0 });

# Orders of several units, which no cell may have
$product = $cells->product(7, 7, 7);
@clients = open_shop_for($product, [ 0 .. 2 ], 3);
is_sold_out($product, 21, 'three at a time', @clients);

# Quota
{
	my $coupon = $cells->coupon(5);
	my $issued = 0;
	for my $n (1, 2, 0, 1, 2, 0, 1, 2, 0)
	{
		my $user = $cells->user($n);
		my ($status, $out, $err) = $cells->node($n)->psql('postgres', "\\set VERBOSITY sqlstate\n$patient; SELECT commerce.claim_coupon($user, $coupon)");
		$issued++ unless $status || $err;
		like($err, qr/SH004/, 'a coupon that is used up is refused') if $err;
	}
	is($issued, 5, 'coupons are claimed wherever somebody asks');
	is($cells->units('QUOTA', $coupon), 0, 'and all of them');
}

# Ended in the middle of anything
sell_out('SIGTERM again and again', sub {
	my ($id) = @_;
	for (1 .. 4)
	{
		my $begun = times_leading();
		is($mover->stop, 0, 'it ends as it should');
		$mover->start;
		wait_until(sub { times_leading() > $begun });
	}
}, 0, 0, 120);

# Killed in the middle of anything, beside another mover that stands by
srand($ENV{MOVER_SEED} || 1);
my $other = Mover->new(cells => $cells)->start;
for my $round (1 .. $ENV{MOVER_ROUNDS} || 1)
{
	sell_out("round $round of kill -9", sub {
		my ($id) = @_;
		for (1 .. 6)
		{
			sleep 0.05 + rand 0.3;
			my $victim = rand() < 0.5 ? $mover : $other;
			$victim->kill_hard;
			$victim->start;
		}
	}, 0, 150, 0);
	sell_out("round $round of a cell that is killed", sub {
		my ($id) = @_;
		my $n = int rand 3;
		sleep 0.1 + rand 0.3;
		note("cell $n is killed");
		$cells->node($n)->stop('immediate');
		sleep rand 1;
		$cells->node($n)->start;
	}, 50, 50, 50);
	# reads all orders
	check_global_books("round $round") if $round % 10 == 0;
}

# A cell that is down stops no other; its units are not called sold
{
	my $id = $cells->product(3, 0, 4);
	$cells->node(2)->stop('immediate');
	is($cells->node(1)->psql('postgres', "$patient; SELECT commerce.place_order($users[1][0], '[{\"product_id\":$id,\"quantity\":3}]')"), 0,
		'with a cell down the others help each other');
	my ($status, $out, $err) = $cells->node(1)->psql('postgres',
		"\\set VERBOSITY sqlstate\nSELECT commerce.place_order($users[1][0], '[{\"product_id\":$id,\"quantity\":1}]')");
	like($err, qr/SH429/, 'and nobody is told that all is sold');
	$cells->node(2)->start;
	ok(wait_until(sub { ($cells->node(1)->psql('postgres', "SELECT commerce.place_order($users[1][0], '[{\"product_id\":$id,\"quantity\":4}]')"))[0] == 0 }),
		'what it has is sold when it is back');
}

is($mover->stop, 0, 'SIGTERM ends a mover');
is($other->stop, 0, 'and the other');
is($cells->value($_, 'SELECT string_agg(invariant, $$ $$) FROM commerce.check_invariants()'), '', "cell $_: the books are right") for 0 .. 2;
check_global_books('at the end');
done_testing();
