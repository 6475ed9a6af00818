# Traps laid before CREATE EXTENSION, for the superuser who runs it: a schema with one of our names, and what
# its owner puts into it.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(connect_as state_of value);
use Test::More;

my $postgres = connect_as('postgres', 'postgres');
$postgres->do('DROP ROLE IF EXISTS mallory');
$postgres->do('CREATE ROLE mallory LOGIN');

sub is_superuser
{
	return value($postgres, q{SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'});
}

# What a trap does when a superuser runs into it.
my $payload = q{$body$ BEGIN
	IF (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER) THEN
		EXECUTE 'ALTER ROLE mallory SUPERUSER';
	END IF;
	RETURN NULL;
END $body$};

# name => [ what mallory prepares in the schema, what in the extension or its users would run into it ]
my %trap = (
	'an operator that beats the catalog\'s' => [ q{
		CREATE FUNCTION %1$s.trap(oid, regnamespace) RETURNS boolean LANGUAGE plpgsql AS } . $payload . q{;
		CREATE OPERATOR %1$s.= (FUNCTION = %1$s.trap, LEFTARG = oid, RIGHTARG = regnamespace);
	}, q{SELECT n.oid = 'pg_catalog'::regnamespace FROM pg_catalog.pg_namespace n} ],
	'an overload that beats ours for an untyped literal' => [ q{
		CREATE FUNCTION %1$s.fold_sales(text) RETURNS boolean LANGUAGE plpgsql AS } . $payload . q{;
		CREATE FUNCTION %1$s.fold_sales(bigint) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
	}, q{SELECT %1$s.fold_sales('9223372036854775807')} ],
	'another schema under the name' => [ q{
		ALTER SCHEMA %1$s RENAME TO former;
		CREATE SCHEMA %1$s;
		CREATE FUNCTION %1$s.get_balance(user_id bigint) RETURNS bigint LANGUAGE plpgsql AS } . $payload . q{;
	}, q{SELECT %1$s.get_balance(1)} ]);

my @schemas = @{ connect_as('postgres')->selectcol_arrayref(q{
	SELECT DISTINCT p.pronamespace::regnamespace FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
	JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	WHERE e.extname = 'commerce' AND d.deptype = 'e' ORDER BY 1}) };
cmp_ok(scalar @schemas, '>=', 2, "schemas with functions of ours: @schemas");

for my $schema (@schemas)
{
	for my $name (sort keys %trap)
	{
		my ($prepare, $run_into) = map { s/%1\$s/$schema/gr } @{ $trap{$name} };
		$postgres->do('CREATE DATABASE install_trap');
		$postgres->do('GRANT CREATE ON DATABASE install_trap TO mallory');
		my $mallory = connect_as('mallory', 'install_trap');
		$mallory->do("CREATE SCHEMA $schema");
		$mallory->do($prepare);

		my $victim = connect_as('postgres', 'install_trap');
		is(state_of($victim, 'CREATE EXTENSION commerce'), '42P06', "$schema made before, $name: already exists");
		ok(!is_superuser(), '  and nothing has come of it');
		is(value($victim, q{SELECT count(*) FROM pg_extension WHERE extname = 'commerce'}), 0, '  the extension is not there');

		$victim->do("SET search_path = $schema, pg_catalog");
		state_of($victim, $run_into) and diag($victim->errstr);
		ok(is_superuser(), '  control: whoever runs into the trap makes mallory superuser');
		$postgres->do('ALTER ROLE mallory NOSUPERUSER');
		$_->disconnect for $mallory, $victim;
		$postgres->do('DROP DATABASE install_trap');
	}
}

# The same by a restore: the dump's CREATE EXTENSION meets a schema that the database's owner has made.
{
	my $dump = `pg_dump --schema-only --extension=commerce`;
	ok($dump =~ /CREATE EXTENSION IF NOT EXISTS commerce WITH SCHEMA pg_catalog/, 'a dump makes the extension where it belongs');
	ok($dump !~ /CREATE SCHEMA commerce/, 'and no schema of ours');
	$postgres->do('CREATE DATABASE install_trap OWNER mallory');
	my $mallory = connect_as('mallory', 'install_trap');
	$mallory->do('CREATE SCHEMA commerce');
	open my $psql, '|-', 'psql -Xq -d install_trap >/dev/null 2>&1' or die $!;
	print $psql $dump;
	close $psql;
	is(value($mallory, q{SELECT count(*) FROM pg_extension WHERE extname = 'commerce'}), 0,
		'a restore into a database whose owner has made the schema leaves the extension out');
	$mallory->disconnect;
	$postgres->do('DROP DATABASE install_trap');
}

$postgres->do('DROP ROLE mallory');
done_testing();
