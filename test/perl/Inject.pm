# Sessions in which allocations fail, or that are cancelled or terminated at one (test/inject/inject.c).

package Inject;

use strict;
use warnings;
use Cwd qw(getcwd);
use DBI;
use Exporter qw(import);

our @EXPORT_OK = qw(arm connect_to disarm module prepare_database);

my $module = getcwd() . '/test/inject/inject.so';

# The module's path; it is built if need be.
sub module
{
	system('make', '-s', '-C', 'test/inject') == 0 or die 'test/inject does not build';
	return $module;
}

# Makes the module's functions, in the schema inject.
sub prepare_database
{
	my ($node, $database) = @_;
	my $file = module();
	$node->safe_psql($database, qq{
		CREATE SCHEMA inject;
		CREATE FUNCTION inject.arm(kind text, n bigint, again_after bigint DEFAULT 0) RETURNS void LANGUAGE C STRICT AS '$file', 'inject_arm';
		CREATE FUNCTION inject.disarm() RETURNS bigint LANGUAGE C STRICT AS '$file', 'inject_disarm';
		CREATE FUNCTION inject.stacks() RETURNS SETOF bigint LANGUAGE C STRICT AS '$file', 'inject_stacks';
		CREATE FUNCTION inject.under(names text[]) RETURNS void LANGUAGE C STRICT AS '$file', 'inject_under';
		CREATE FUNCTION inject.place() RETURNS text LANGUAGE C STRICT AS '$file', 'inject_where';
		GRANT USAGE ON SCHEMA inject TO PUBLIC});
	return;
}

# A session of the superuser that can be armed.
sub connect_to
{
	my ($connstr) = @_;
	local $ENV{PGOPTIONS} = "-c session_preload_libraries=$module";
	return DBI->connect("dbi:Pg:" . $connstr =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0, pg_server_prepare => 0 });
}

sub arm
{
	my ($db, $kind, $n, @under) = @_;
	$db->do('SELECT inject.under($1)', undef, \@under);
	$db->do('SELECT inject.arm($1, $2)', undef, $kind, $n);
	return;
}

# Whether what was armed has happened.
sub disarm
{
	my ($db) = @_;
	return ($db->selectrow_array('SELECT inject.disarm()'))[0] < 0;
}

1;
