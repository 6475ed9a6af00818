# Functions and operators of one's own in a query's conditions are shown no value of a row that the caller may not
# read: every column of every view and table that a role can read over REST, and by SQL when a DBA has opened the
# schema.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(as_caller connect_as load_shop value);
use Test::More;

my $db = load_shop();
$db->do(q{
	CREATE SCHEMA mallory;
	GRANT USAGE, CREATE ON SCHEMA mallory TO PUBLIC;
	CREATE TABLE mallory.seen (seen text);
	GRANT INSERT ON mallory.seen TO PUBLIC;
	-- as cheap as can be, so that a planner that may choose asks it first
	CREATE FUNCTION mallory.leak(shown text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
		$$BEGIN INSERT INTO mallory.seen VALUES (shown); RETURN true; END$$;
	CREATE FUNCTION mallory.leak2(shown text, x int) RETURNS boolean LANGUAGE sql COST 0.0000001 AS
		$$SELECT mallory.leak(shown)$$;
	CREATE OPERATOR mallory.@@@ (FUNCTION = mallory.leak2, LEFTARG = text, RIGHTARG = int);
	GRANT USAGE ON SCHEMA commerce, commerce_private TO api_anon, api_buyer, api_seller, api_admin;
	ANALYZE});
# the hole that is looked for: a view of the owner's that is no barrier
$db->do(q{
	CREATE VIEW mallory.control AS SELECT * FROM commerce.product_list WHERE status <> 'DISCONTINUED' AND stock < 1000000;
	GRANT SELECT ON mallory.control TO api_anon});

my @ways = (q{SELECT count(*) FROM %2$s WHERE mallory.leak(%1$s::text)},
	q{SELECT count(*) FROM %2$s WHERE %1$s::text OPERATOR(mallory.@@@) 1},
	q{SELECT count(*) FROM %2$s t WHERE CASE WHEN mallory.leak(%1$s::text) THEN false END},
	q{SELECT count(*) FROM %2$s t JOIN (VALUES (1)) AS v (x) ON t.%1$s::text OPERATOR(mallory.@@@) v.x});

# What a caller reads in a column, in a transaction of its own.
sub readable
{
	my ($relation, $column) = @_;
	return map { $_ // '' } @{ $db->selectcol_arrayref("SELECT DISTINCT $column\::text FROM $relation") };
}

# What a query's functions were shown of a column, other than these values.
sub leaked
{
	my ($caller, $relation, $column, $readable) = @_;
	return as_caller($db, $caller, sub {
		my @before = readable($relation, $column);
		my %readable = map { $_ => 1 } @$readable, @before;
		$db->do(sprintf $_, $column, $relation) for @ways;
		# what changes by itself cannot be compared
		return if grep { !$readable{$_} } readable($relation, $column);
		$db->do('SET LOCAL ROLE NONE');
		return grep { !$readable{$_} } map { $_ // '' } @{ $db->selectcol_arrayref('SELECT DISTINCT seen FROM mallory.seen') };
	});
}

cmp_ok(scalar leaked('anon', 'mallory.control', 'stock', []), '>', 0, 'control: a view that is no barrier shows it the stock of a discontinued product');

my @callers = ('anon', 'buyer 1', 'buyer', 'seller 3', 'admin 6');
my $columns = 0;
for my $caller (@callers)
{
	my ($role) = $caller =~ /(\w+)/;
	my @readable = @{ $db->selectall_arrayref(q{
		SELECT c.oid::regclass, quote_ident(a.attname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace, 'commerce_api'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
		  AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege(?, c.oid, a.attnum, 'SELECT') ORDER BY 1, 2}, undef, "api_$role") };
	my @leaks;
	for my $column (@readable)
	{
		$columns++;
		# a seller's own product that is discontinued is in another view
		my $mine = grep { "@$_" eq "commerce_api.my_products $column->[1]" } @readable;
		my @own = $mine && $column->[0] =~ /^commerce_api\.products$|api_offers$/
		  ? as_caller($db, $caller, sub { readable('commerce_api.my_products', $column->[1]) }) : ();
		my @values = leaked($caller, @$column, \@own);
		push @leaks, "$column->[0].$column->[1]: @values[0 .. ($#values > 3 ? 3 : $#values)]" if @values;
	}
	cmp_ok(scalar @readable, '>', 50, "$caller can read columns");
	is_deeply(\@leaks, [], '  and is shown nothing else');
}
note(sprintf '%d columns, %d ways', $columns, scalar @ways);
done_testing();
