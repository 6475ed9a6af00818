# The runbook of docs/cells.md: its steps, from the page itself, with buyers who order by the router all the time. A call
# may be refused where the page says so, and nowhere else.

use strict;
use warnings;
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
	my ($number) = @_;
	my $node = PostgreSQL::Test::Cluster->new("cell$number");
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
commerce.maintenance_interval = 100ms
wal_retrieve_retry_interval = 100ms
max_worker_processes = 32
});
	$node->start;
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

sub in_router
{
	my ($sql) = @_;
	return $cells[0]->safe_psql('router', $sql);
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
	my ($to, $units) = @_;
	my $id = in_cell(0, 'SELECT gen_random_uuid()');
	in_cell(0, "SELECT commerce.send_units('$id', 'STOCK', 1, $units, $to)");
	in_cell($to, "SELECT commerce.receive_units('$id', 'STOCK', 1, $units, 0)");
	in_cell(0, "SELECT commerce.confirm_transfer('$id')");
	return;
}

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
$cells[0]->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $made, $cells[0]->connstr('router') ], 'the router is made');
bring(1, 30000);
my @buyers = map { in_router("UPDATE router.cells SET takes_users = number = $_ % 2; SELECT commerce.create_user('u$_', 'u$_\@example.com')") } 0 .. 5;
in_router("SELECT commerce.charge_balance($_, 50000000)") for @buyers;
in_router('UPDATE router.cells SET takes_users = true');

# Buyers order by the router while something is done. What became of their calls: "cell SQLSTATE", 00000 for an order.
sub while_selling
{
	my ($what) = @_;
	my $clients = start_clients($cells[0], 2, sub {
		my (undef, $number, $log, undef, $stop) = @_;
		my $router = DBI->connect('dbi:Pg:' . join(';', 'host=' . $cells[0]->host, 'port=' . $cells[0]->port, 'dbname=router'), undef, undef,
			{ RaiseError => 0, PrintError => 0 });
		until (-e $stop)
		{
			my $buyer = $buyers[ rand @buyers ];
			my $ok = $router->do(qq{SELECT * FROM commerce.place_order($buyer, '[{"product_id": 1, "quantity": 1}]')});
			$log->([ int($buyer / 1e12), $ok ? '00000' : $router->state ]);
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

# Its last commit is lost, by which it had received units
my $lost = in_cell(0, 'SELECT gen_random_uuid()');
my $units = in_router('SELECT commerce.available_stock(1)');
in_cell(0, "SELECT commerce.send_units('$lost', 'STOCK', 1, 7, 1); SELECT commerce.confirm_transfer('$lost')");
is(in_router('SELECT problem FROM commerce.check_cells()'), 'units were sent and did not arrive, or the other way round', 'units are lost');
in_cell(1, step('cells-reconcile', answer => in_cell($_, step('cells-transfers')))) for 0, 2;
is(in_router(step('cells-check')), '', 'reconciled');
is(in_router('SELECT commerce.available_stock(1)'), $units, 'every unit is there');

# Cell 0 has lost its last commits: a product that cell 1 has, and a user of cell 1 in the register
in_cell(1, q{INSERT INTO commerce.products (id, name, price) OVERRIDING SYSTEM VALUE VALUES (7, 'lost', 1000); SELECT commerce.create_user('Far', 'far@example.com', external_id => 'auth|far')});
in_cell(0, in_cell($_, step('cells-known'))) for 1, 2;
cmp_ok(in_cell(0, q{SELECT commerce.create_product(NULL, 'new', 1000, 1)}), '>', 7, 'no id is given again');
my (undef, undef, $refused) = $cells[0]->psql('router', q{SELECT commerce.create_user('Far', 'far@example.com')});
like($refused, qr/exists already/, 'nor an e-mail');

done_testing();
