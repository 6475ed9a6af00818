# What the scripts of test/security/ share. An attack that is refused proves little by itself: each script
# shows first, with the hole opened by hand, that the attack would be seen.

package Attack;

use strict;
use warnings;
use DBI;
use Exporter qw(import);

our @EXPORT_OK = qw(as_caller claims_of connect_as load_shop state_of value);

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

# The shop of test/pgtap/api_helpers.psql in the script's own database, with what two buyers did in it; answers a
# session of the superuser.
sub load_shop
{
	system('psql -Xq -v ON_ERROR_STOP=1 -f test/pgtap/api_helpers.psql >/dev/null') == 0 or die 'no shop';
	my $db = connect_as('postgres');
	$db->do($_) for (
		'SELECT commerce.claim_coupon(u, c) FROM generate_series(1, 2) u, generate_series(1, 4) c',
		q{SELECT commerce.place_order(u, '[{"product_id":1,"quantity":2},{"product_id":3,"quantity":1}]') FROM generate_series(1, 2) u},
		q{SELECT commerce.place_order(u, '[{"product_id":2,"quantity":1}]', payment_method => 'EXTERNAL') FROM generate_series(1, 2) u},
		q{SELECT commerce.create_order_sheet(u, '[{"product_id":4,"quantity":1}]') FROM generate_series(1, 2) u});
	return $db;
}

# The claims of a token of a caller ('buyer 1', 'anon'), as load_shop() has set up who is named how.
sub claims_of
{
	my ($db, $caller) = @_;
	return value($db, q{SELECT jsonb_strip_nulls(jsonb_build_object('role', 'api_' || split_part(caller, ' ', 1), 'sub', tap.subject(nullif(split_part(caller, ' ', 2), ''))))
		FROM CAST(? AS text) AS caller}, $caller);
}

# Does something in a transaction of a caller of REST ('buyer 1', 'anon'), which is rolled back.
sub as_caller
{
	my ($db, $caller, $deed) = @_;
	$db->begin_work;
	$db->do(q{SELECT tap.become(?, 'GET', '/', '{}')}, undef, $caller);
	my @result = eval { $deed->() };
	my $error = $@;
	$db->rollback;
	die $error if $error;
	return wantarray ? @result : $result[0];
}

1;
