package Cells;

# Cells of a shop on throwaway servers, with the list of them that commerce-mover reads.
#
#   my $cells = Cells->new(3);          cell 0 with the catalogue, the others subscribe to it
#   $cells->node(1); $cells->value(1, 'SELECT ...'); $cells->list;
#   $cells->product(10, 0, 5);          so many units in each cell; returns its id
#   $cells->user(1);                    the id of a rich one there
#   $cells->make_router; $cells->problems;   what check_cells() finds, where PL/Proxy is installed
#
#   Cells::start_node('one')            a server that can be one, and is not yet

use strict;
use warnings;
use EscrowClients qw(wait_until);
use PostgreSQL::Test::Cluster;

my $number = 0;

sub new
{
	my ($class, $count) = @_;
	my $self = bless { name => 'cell' . ++$number . '_', nodes => [] }, $class;
	$self->add for 1 .. $count;
	return $self;
}

sub start_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'commerce'
commerce.maintenance_interval = 100ms
wal_retrieve_retry_interval = 100ms
max_worker_processes = 32
max_replication_slots = 20
max_wal_senders = 20
});
	$node->start;
	return $node;
}

sub count { return scalar @{ $_[0]{nodes} } }
sub node { return $_[0]{nodes}[ $_[1] ] }
sub value { return $_[0]->node($_[1])->safe_psql('postgres', $_[2]) }
sub connstr { return 'host=' . $_[0]->node($_[1])->host . ' port=' . $_[0]->node($_[1])->port . ' dbname=postgres' }

sub add
{
	my ($self) = @_;
	my $n = $self->count;
	my $node = start_node($self->{name} . $n);
	push @{ $self->{nodes} }, $node;
	$self->value($n, q{CREATE EXTENSION commerce; CREATE ROLE mover LOGIN; SELECT commerce.grant_mover('mover')});
	if ($n == 0)
	{
		$self->value(0, 'SELECT commerce.publish_catalogue()');
	}
	else
	{
		$self->value(0, "SELECT commerce.admit_cell($n)");
		$self->value($n, "SELECT commerce.set_cell($n)");
		$self->value($n, sprintf q{SELECT commerce.join_cells('%s')}, $self->connstr(0));
		$node->wait_for_subscription_sync;
	}
	return $node;
}

# The file with all cells, for a role.
sub list
{
	my ($self, $role) = @_;
	my $file = $self->node(0)->basedir . '/cells';
	open my $list, '>', $file or die "$file: $!";
	print $list "# number, REST, how to connect\n", map { "$_ - " . $self->connstr($_) . ' user=' . ($role // 'mover') . "\n" } 0 .. $self->count - 1;
	close $list;
	return $file;
}

sub wait_for_catalogue
{
	my ($self, $query) = @_;
	for my $n (1 .. $self->count - 1)
	{
		wait_until(sub { $self->value($n, $query) > 0 }, "the catalogue in cell $n");
	}
	return;
}

sub product
{
	my ($self, @units) = @_;
	my $id = $self->value(0, q{SELECT commerce.create_product(NULL, 'product', 10, 0)});
	$self->wait_for_catalogue("SELECT count(*) FROM commerce_private.stock WHERE product_id = $id");
	for my $n (grep { $units[$_] } 0 .. $#units)
	{
		$self->value($n, "SELECT commerce.adjust_stock($id, $units[$n])");
	}
	return $id;
}

sub coupon
{
	my ($self, $quantity) = @_;
	my $id = $self->value(0, "SELECT commerce.create_coupon('coupon', 'FIXED', 1, $quantity, valid_days => 1)");
	$self->wait_for_catalogue("SELECT count(*) FROM commerce_private.coupon_quota WHERE coupon_id = $id");
	return $id;
}

sub user
{
	my ($self, $n) = @_;
	my $user = ++$self->{users};
	my $id = $self->value($n, qq{SELECT commerce.create_user('user', 'user$user\@example.com')});
	$self->value($n, "SELECT commerce.charge_balance($id, 50000000)");
	return $id;
}

# What is in the cells and on its way, of a kind.
sub units
{
	my ($self, $kind, $id) = @_;
	my $units = 0;
	for my $n (0 .. $self->count - 1)
	{
		$units += $self->value($n, qq{
			SELECT coalesce((SELECT sum(available) FROM commerce.allotments WHERE kind = '$kind' AND resource_id = $id), 0)
				 + coalesce((SELECT sum(units) FROM commerce.transfers_out WHERE kind = '$kind' AND resource_id = $id), 0)
				 - coalesce((SELECT sum(units) FROM commerce.transfers_in WHERE kind = '$kind' AND resource_id = $id), 0)});
	}
	return $units;
}

# The router, which is a database of cell 0; false where there is no PL/Proxy for this server.
sub make_router
{
	my ($self) = @_;
	chomp(my $share = `pg_config --sharedir`);
	return 0 unless -e "$share/extension/plproxy.control";
	my $list = join ', ', map { qq({"number": $_, "conninfo": ") . $self->connstr($_) . '"}' } 0 .. $self->count - 1;
	my $sql = $self->value(0, "SELECT commerce.router_sql('[$list]')");
	$self->value(0, 'CREATE DATABASE router');
	$self->node(0)->safe_psql('router', $sql);
	return 1;
}

sub problems
{
	my ($self) = @_;
	return $self->node(0)->safe_psql('router', q{SELECT concat_ws(' ', cell, problem) FROM commerce.check_cells()});
}

sub open_transfers
{
	my ($self) = @_;
	my $open = 0;
	$open += $self->value($_, 'SELECT count(*) FROM commerce.open_transfers') for 0 .. $self->count - 1;
	return $open;
}

1;
