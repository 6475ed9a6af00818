# Default privileges that give everything away before CREATE EXTENSION: nothing of ours is anybody's but the
# owner's afterwards.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(connect_as state_of value);
use Test::More;

my $postgres = connect_as('postgres', 'postgres');
my @roles = ('default_reader', '"default Grantor"', 'default_all_reader', 'default_all_writer');
$postgres->do("DROP ROLE IF EXISTS $_"), $postgres->do("CREATE ROLE $_ LOGIN") for @roles;
$postgres->do('GRANT pg_read_all_data TO default_all_reader');
$postgres->do('GRANT pg_write_all_data TO default_all_writer');
$postgres->do('CREATE DATABASE defaults');
my $shop = connect_as('postgres', 'defaults');

for my $kind (qw(TABLES SEQUENCES FUNCTIONS TYPES SCHEMAS))
{
	$shop->do("ALTER DEFAULT PRIVILEGES GRANT ALL ON $kind TO PUBLIC");
	$shop->do("ALTER DEFAULT PRIVILEGES GRANT ALL ON $kind TO default_reader");
	$shop->do("ALTER DEFAULT PRIVILEGES GRANT ALL ON $kind TO \"default Grantor\" WITH GRANT OPTION");
}

# What is granted to anybody but its owner on what is in these schemas, as "kind name grantee".
sub granted
{
	my (@schemas) = @_;
	return @{ $shop->selectcol_arrayref(q{
		WITH object AS (
			SELECT 'schema' AS kind, n.oid::regnamespace::text AS name, n.nspname AS schema, n.nspowner AS owner,
				coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl FROM pg_namespace n
			UNION ALL SELECT 'relation', c.oid::regclass::text, c.relnamespace::regnamespace::name, c.relowner, c.relacl FROM pg_class c
			UNION ALL SELECT 'column', a.attrelid::regclass || '.' || a.attname, c.relnamespace::regnamespace::name, c.relowner, a.attacl
				FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
			UNION ALL SELECT 'function', p.oid::regprocedure::text, p.pronamespace::regnamespace::name, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc p
			UNION ALL SELECT CASE t.typtype WHEN 'c' THEN 'rows' ELSE 'type' END, t.oid::regtype::text, t.typnamespace::regnamespace::name, t.typowner, coalesce(t.typacl, acldefault('T', t.typowner))
				FROM pg_type t WHERE t.typcategory <> 'A')
		SELECT DISTINCT o.kind || ' ' || o.name || ' ' || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
		FROM object o, aclexplode(o.acl) a WHERE o.schema = ANY (?) AND a.grantee <> o.owner ORDER BY 1}, undef, \@schemas) };
}

$shop->do(q{
	CREATE SCHEMA control;
	CREATE TABLE control.thing (id bigint GENERATED ALWAYS AS IDENTITY);
	CREATE FUNCTION control.doing() RETURNS int LANGUAGE sql AS 'SELECT 1';
	CREATE TYPE control.word AS ENUM ('A')});
cmp_ok(scalar granted('control'), '>=', 15, 'control: what is made by hand is everybody\'s');

my @notices;
{
	local $shop->{PrintWarn} = 1;
	local $SIG{__WARN__} = sub { push @notices, @_ };
	$shop->do('CREATE EXTENSION commerce');
}
my @schemas = @{ $shop->selectcol_arrayref(q{
	SELECT n.nspname FROM pg_namespace n JOIN pg_depend d ON d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e'}) };
cmp_ok(scalar @schemas, '>=', 2, "schemas: @schemas");
is_deeply([ grep { !/^(rows|type) .* PUBLIC$/ } granted(@schemas) ], [],
	'nothing of the extension is anybody\'s but its owner\'s; but PUBLIC may use types');

# What stays is said.
like("@notices", qr/WARNING:  role "default_all_reader" can read all tables/, 'who reads all data is named');
like("@notices", qr/WARNING:  role "default_all_writer" can write all tables/, 'who writes all data is named');
unlike("@notices", qr/default_reader|default Grantor/, 'nobody else is');

# What grant_app() gives, revoke_app() takes back, and the types of rows are closed by then.
$shop->do("SELECT commerce.grant_app('default_reader')");
cmp_ok(scalar granted(@schemas), '>', 50, 'control: grants of an application are seen');
my @rows = @{ $shop->selectcol_arrayref(q{
	SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = ANY (SELECT oid FROM pg_namespace WHERE nspname = ANY (?))
	AND c.relkind IN ('r', 'p', 'v')}, undef, \@schemas) };
cmp_ok(scalar @rows, '>', 40, 'types of rows: ' . @rows);
$shop->do('GRANT USAGE ON SCHEMA commerce_api TO default_reader');
my $application = connect_as('default_reader', 'defaults');
is_deeply([ grep { state_of($application, "CREATE TEMP TABLE mine (row $_)") ne '42501' } @rows ], [],
	'an application makes no table with a column of a row type of ours');
$shop->do('GRANT USAGE ON TYPE commerce.orders TO default_reader');
is(state_of($application, 'CREATE TEMP TABLE mine (row commerce.orders)'), '', 'control: with the privilege it does');
is(state_of($shop, 'ALTER TABLE commerce.orders ADD COLUMN x uuid DEFAULT gen_random_uuid()'), '0A000', '  and an update could not change our table');
$application->disconnect;
$shop->do('REVOKE USAGE ON TYPE commerce.orders FROM default_reader');
$shop->do('REVOKE USAGE ON SCHEMA commerce_api FROM default_reader');
$shop->do("SELECT commerce.revoke_app('default_reader')");
is_deeply([ grep { !/^type .* PUBLIC$/ } granted(@schemas) ], [], 'nothing is left after revoke_app()');

is(`pg_dump --schema-only --extension=commerce defaults 2>&1 >/dev/null | grep init_privs`, '', 'pg_dump knows all privileges of ours');

$shop->do('DROP OWNED BY ' . join ', ', @roles);
$shop->disconnect;
$postgres->do('DROP DATABASE defaults');
$postgres->do("DROP ROLE $_") for @roles;
done_testing();
