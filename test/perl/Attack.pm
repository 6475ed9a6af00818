# What the scripts of test/security/ share. An attack that is refused proves little by itself: each script
# shows first, with the hole opened by hand, that the attack would be seen.

package Attack;

use strict;
use warnings;
use DBI;
use Exporter qw(import);

our @EXPORT_OK = qw(connect_as state_of value);

# A session of a role, in a database.
sub connect_as
{
	my ($role, $database) = @_;
	return DBI->connect('dbi:Pg:' . ($database ? "dbname=$database" : ''), $role, undef,
		{ RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1 });
}

# What the statement ends with: its SQLSTATE, '' when it succeeds.
sub state_of
{
	my ($db, $sql, @values) = @_;
	return eval { $db->do($sql, undef, @values); 1 } ? '' : $db->state;
}

sub value
{
	my ($db, $sql, @values) = @_;
	return ($db->selectrow_array($sql, undef, @values))[0];
}

1;
