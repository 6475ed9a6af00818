# The runbook of docs/cells.md: its steps, from the page itself, with buyers who order by the router all the time. A call
# may be refused where the page says so, and nowhere else.

use strict;
use warnings;
use Cells;
use DBI;
use EscrowClients qw(check_books wait_until start_clients stop_clients);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $share = `pg_config --sharedir`);
plan skip_all => 'there is no PL/Proxy for this server' unless -e "$share/extension/plproxy.control";

my $page = slurp_file('docs/cells.md');
my @cells;
my %where;

# A block of the page, with its places filled in
sub step
{
	my ($name, %values) = @_;
	my ($block) = $page =~ /^```sql $name\n(.*?)^```/ms or die "the page has no $name";
	$block =~ s/(["'])\Q$_\E(?=["'])/$1$values{$_}/g for keys %values;
	return $block;
}

sub start_node
{
	my ($number, $name) = @_;
	my $node = Cells::start_node($name // "cell$number");
	$cells[$number] = $node;
	$where{"host=cell$number dbname=shop"} = join ' ', 'host=' . $node->host, 'port=' . $node->port, 'dbname=postgres';
	$where{"host=cell$number dbname=shop user=cells"} = $where{"host=cell$number dbname=shop"} . ' user=cells';
	return $node;
}

sub in_cell
{
	my ($number, $sql) = @_;
	return $cells[$number]->safe_psql('postgres', $sql);
}

my $router;

sub in_router
{
	my ($sql) = @_;
	return $router->safe_psql('router', $sql);
}

sub has_catalogue
{
	my ($number) = @_;
	wait_until(sub { in_cell($number, q{SELECT count(*) = 5 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel}) eq 't' }, "the catalogue in cell $number");
	return;
}

# Units for a cell, as commerce-mover brings them
sub bring
{
	my ($to, $units, $from) = (@_, 0);
	my $id = in_cell($from, 'SELECT gen_random_uuid()');
	in_cell($from, "SELECT commerce.send_units('$id', 'STOCK', 1, $units, $to)");
	in_cell($to, "SELECT commerce.receive_units('$id', 'STOCK', 1, $units, $from)");
	in_cell($from, "SELECT commerce.confirm_transfer('$id')");
	return;
}

sub number { my ($block, $was, $is) = @_; return $block =~ s/\b$was\b/$is/r }

# The first cells
start_node($_) for 0, 1;
in_cell(0, 'CREATE EXTENSION commerce');
in_cell(0, step('cells-publish'));
in_cell(0, q{SELECT commerce.create_product(NULL, 'teapot', 1000, 100000)});
in_cell(0, step('cells-admit') =~ s/\(2\)/(1)/r);
in_cell(0, step('cells-role'));
in_cell(1, step('cells-join', %where) =~ s/set_cell\(2\)/set_cell(1)/r);
has_catalogue(1);
append_to_file(my $made = $cells[0]->basedir . '/router.sql', in_cell(0, step('cells-router', %where)));
in_cell(0, 'CREATE DATABASE router');
$router = $cells[0];
$router->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $made, $router->connstr('router') ], 'the router is made');
bring(1, 30000);
my @buyers = map { in_router("UPDATE router.cells SET takes_users = number = $_ % 2; SELECT commerce.create_user('u$_', 'u$_\@example.com')") } 0 .. 5;
in_router("SELECT commerce.charge_balance($_, 50000000)") for @buyers;
in_router('UPDATE router.cells SET takes_users = true');

# Buyers order by the router while something is done. What became of their calls: "cell SQLSTATE", 00000 for an order.
sub while_selling
{
	my ($what) = @_;
	my $clients = start_clients($router, 2, sub {
		my (undef, $number, $log, undef, $stop) = @_;
		my $database = DBI->connect('dbi:Pg:' . join(';', 'host=' . $router->host, 'port=' . $router->port, 'dbname=router'), undef, undef,
			{ RaiseError => 0, PrintError => 0 });
		until (-e $stop)
		{
			my $buyer = $buyers[ rand @buyers ];
			my $ok = $database->do(qq{SELECT * FROM commerce.place_order($buyer, '[{"product_id": 1, "quantity": 1}]')});
			$log->([ int($buyer / 1e12), $ok ? '00000' : $database->state ]);
		}
	});
	$what->();
	my ($failed, $calls) = stop_clients($clients);
	is($failed, 0, 'the buyers are there to the end');
	my %outcomes;
	$outcomes{"$_->[0] $_->[1]"}++ for @$calls;
	return \%outcomes;
}

sub orders { return in_cell($_[0], 'SELECT count(*) FROM commerce.orders') }

# Add a cell
start_node(2);
my $outcomes = while_selling(sub {
	in_cell(0, step('cells-admit'));
	in_cell(2, step('cells-join', %where));
	has_catalogue(2);
	in_router(step('cells-add', %where));
	in_router(q{UPDATE router.cells SET takes_users = number = 2});
	my $new = in_router(q{SELECT commerce.create_user('New', 'new@example.com')});
	like($new, qr/^2000000000001$/, 'a cell is added, and new users go there');
	in_router("SELECT commerce.charge_balance($new, 10000)");
	bring(2, 10);
	is(in_router(qq{SELECT status FROM commerce.place_order($new, '[{"product_id": 1, "quantity": 1}]')}), 'PAID', 'who order there');
});
is_deeply([ sort keys %$outcomes ], [ '0 00000', '1 00000' ], 'no call failed meanwhile');

# Lose a cell, and have it back
$outcomes = while_selling(sub {
	my ($before, $lost) = (orders(0), orders(1));
	$cells[1]->stop('immediate');
	wait_until(sub { orders(0) > $before + 20 }, 'orders of another cell');
	$cells[1]->start;
	wait_until(sub { orders(1) > $lost + 20 }, 'orders of the cell');
	pass('a cell is lost: others go on, and it comes back');
});
is_deeply([ grep { !/^1 / } grep { !/ 00000/ } keys %$outcomes ], [], 'only calls for its own users failed');
is(in_router(step('cells-check')), '', 'the books of all cells are in order');

# Move a cell: a standby takes its place
$cells[1]->backup('move');
my $moved = PostgreSQL::Test::Cluster->new('moved');
$moved->init_from_backup($cells[1], 'move', has_streaming => 1);
$moved->start;
my $last = orders(1);
$outcomes = while_selling(sub {
	my $other = orders(0);
	$cells[1]->wait_for_catchup($moved);
	$cells[1]->stop;
	$moved->promote;
	$where{'host=cell9 dbname=shop'} = join ' ', 'host=' . $moved->host, 'port=' . $moved->port, 'dbname=postgres';
	$cells[1] = $moved;
	in_router(step('cells-move', %where));
	wait_until(sub { orders(1) > $last + 20 && orders(0) > $other + 20 }, 'orders');
	pass('a cell has moved');
});
is_deeply([ grep { !/^1 / } grep { !/ 00000/ } keys %$outcomes ], [], 'only calls for its own users failed');
in_cell(0, q{SELECT commerce.update_product(1, price => 900)});
wait_until(sub { in_cell(1, 'SELECT price FROM commerce.products WHERE id = 1') == 900 }, 'a price in the cell that moved');
is(in_router(step('cells-check')), '', 'the books of all cells are in order');

# A dump of a cell, restored on another server; what comes after it is lost
sub dump_cell
{
	my ($number) = @_;
	my $dump = $cells[$number]->basedir . '/cell.dump';
	$cells[$number]->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $cells[$number]->connstr('postgres') ], "a dump of cell $number");
	return $dump;
}

sub restore_dump
{
	my ($number, $dump) = @_;
	my $node = start_node($number, "restored$number");
	in_cell($number, step('cells-role') =~ s/\n.*//sr);
	$node->command_ok([ 'pg_restore', '-d', $node->connstr('postgres'), $dump ], 'is restored');
	$where{'host=cell9 dbname=shop'} = $where{"host=cell$number dbname=shop"};
	return;
}

my $units = in_router('SELECT commerce.available_stock(1)');
my $dump = dump_cell(1);
my ($mine) = grep { $_ > 1e12 } @buyers;
my $lost = in_router(qq{SELECT id FROM commerce.place_order($mine, '[{"product_id": 1, "quantity": 1}]')});
bring(1, 7);
bring(2, 5, 1);
in_cell(0, q{SELECT commerce.update_product(1, price => 800)});
$cells[1]->stop('immediate');
restore_dump(1, $dump);
in_cell(1, step('cells-restore', %where));
has_catalogue(1);
in_router(step('cells-move', %where));
is(in_router(q{SELECT problem FROM commerce.check_cells() WHERE problem LIKE 'units%'}), 'units were sent and did not arrive, or the other way round', 'what cells have of each other is not in order');
in_cell(1, step('cells-reconcile', answer => in_cell($_, step('cells-transfers')))) for 0, 2;
is(in_router(step('cells-check')), '', 'until it is reconciled');
is(in_router('SELECT commerce.available_stock(1)'), $units, 'every unit is there');
is(in_router(qq{SELECT payment_amount FROM commerce.place_order($mine, '[{"product_id": 1, "quantity": 1}]')}), 800, 'and it sells at the price of today');

# The same with cell 0, of which a product, a user of another cell in its register, and units that it sent are lost
$dump = dump_cell(0);
my $product = in_cell(0, q{SELECT commerce.create_product(NULL, 'lost', 1000, 1)});
for my $number (1, 2)
{
	wait_until(sub { in_cell($number, "SELECT count(*) FROM commerce.products WHERE id = $product") == 1 }, "a product in cell $number");
}
in_router(q{UPDATE router.cells SET takes_users = number = 1; SELECT commerce.create_user('Far', 'far@example.com', external_id => 'auth|far')});
$units = in_router('SELECT commerce.available_stock(1)');
bring(1, 7);
in_router(q{ALTER DATABASE postgres ALLOW_CONNECTIONS false; SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'postgres'});
restore_dump(0, $dump);
in_cell(0, step('cells-restore-0'));
in_cell(0, in_cell($_, step('cells-known'))) for 1, 2;
for my $number (1, 2)
{
	in_cell(0, number(step('cells-admit'), 2, $number));
	in_cell($number, step('cells-rejoin', %where));
	has_catalogue($number);
}
in_router(number(step('cells-move', %where), 1, 0));
in_cell(0, step('cells-reconcile', answer => in_cell($_, number(step('cells-transfers'), 1, 0)))) for 1, 2;
is(in_router(step('cells-check')), '', 'cell 0 is restored');
is(in_router('SELECT commerce.available_stock(1)'), $units, 'every unit is there');
cmp_ok(in_cell(0, q{SELECT commerce.create_product(NULL, 'new', 1000, 1)}), '>', $product, 'no id is given again');
in_router(q{UPDATE router.cells SET takes_users = true});
my (undef, undef, $refused) = $router->psql('router', q{SELECT commerce.create_user('Far', 'far@example.com')});
like($refused, qr/exists already/, 'nor an e-mail');
in_cell(0, q{SELECT commerce.update_product(1, price => 700)});
for my $number (1, 2)
{
	wait_until(sub { in_cell($number, 'SELECT price FROM commerce.products WHERE id = 1') == 700 }, "a price in cell $number");
}

# No step of the page is left out
my %done = map { $_ => 1 } slurp_file($0) =~ /step\('([\w-]+)'/g;
is_deeply([ sort keys %done ], [ sort $page =~ /^```sql (cells-[\w-]+)$/mg ], 'every step of the runbook was done');

done_testing();
