# What grant_api() granted goes through a dump, without the roles' policies, which pg_dump leaves out: until it is
# called again these roles see no rows. And all of it can be taken away.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'");
$node->start;
my @roles = map { "web_$_" } qw(anon buyer seller admin);
$node->safe_psql('postgres', "CREATE ROLE $_") for @roles;
$node->safe_psql('postgres', 'CREATE ROLE authenticator LOGIN NOINHERIT');
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(shop restored);
$node->safe_psql('shop', q{
	CREATE EXTENSION commerce;
	SELECT commerce.grant_api('web_anon', 'web_buyer', 'web_seller', 'web_admin');
	SELECT commerce.create_user('U' || i, 'u' || i || '@example.com') FROM generate_series(1, 2) i;
	SELECT commerce.create_product(NULL, 'mug', 1000, 10);
	SELECT commerce.charge_balance(i, 10000), commerce.place_order(i, '[{"product_id": 1, "quantity": 1}]') FROM generate_series(1, 2) i});

# What a buyer sees and can do
sub as_buyer
{
	my ($database) = @_;
	return $node->safe_psql($database, q{
		BEGIN;
		SET LOCAL ROLE web_buyer;
		SET LOCAL request.jwt.claims = '{"sub": "1"}';
		SELECT count(*), min(user_id) FROM commerce_api.orders;
		SELECT commerce_api.get_balance() -> 'data';
		COMMIT});
}

# An order with a key, once more
sub keyed_order
{
	my ($database) = @_;
	return $node->safe_psql($database, q{
		BEGIN;
		SET LOCAL ROLE web_buyer;
		SET LOCAL request.jwt.claims = '{"sub": "1"}';
		SET LOCAL request.method = 'POST';
		SET LOCAL request.headers = '{"idempotency-key": "k"}';
		SELECT commerce_api.place_order('{"items": [{"product_id": 1, "quantity": 1}], "payment_method": "EXTERNAL"}');
		COMMIT});
}

my $privileges = q{
	SELECT 'policy', polrelid::regclass::text, polname::text, pg_get_expr(polqual, polrelid), polroles::regrole[]::text FROM pg_policy WHERE polname LIKE 'commerce_api%'
	UNION ALL SELECT 'table', c.oid::regclass::text, a.grantee::regrole::text, a.privilege_type, NULL
		FROM pg_class c CROSS JOIN aclexplode(c.relacl) a WHERE a.grantee::regrole::text LIKE 'web%'
	UNION ALL SELECT 'function', p.oid::regprocedure::text, a.grantee::regrole::text, a.privilege_type, NULL
		FROM pg_proc p CROSS JOIN aclexplode(p.proacl) a WHERE a.grantee::regrole::text LIKE 'web%'
	ORDER BY 1, 2, 3, 4, 5};

is(as_buyer('shop'), "1|1\n{\"user_id\":1,\"balance\":9000}", 'a buyer sees its own');
my $order = keyed_order('shop');
like($order, qr/"PENDING_PAYMENT"/, 'an order with a key');
$node->stop('immediate');
$node->start;
is(keyed_order('shop'), $order, 'after a crash the same answer');
my $file = "$PostgreSQL::Test::Utils::tmp_check/shop.dump";
command_ok([ 'pg_dump', '-Fc', '-f', $file, '-d', $node->connstr('shop') ], 'dump');
command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $file ], 'restore, without an error');
is(as_buyer('restored'), "0|\n{\"user_id\":1,\"balance\":9000}", 'a buyer sees no rows yet');
$node->safe_psql('restored', "SELECT commerce.grant_api('web_anon', 'web_buyer', 'web_seller', 'web_admin')");
is($node->safe_psql('restored', $privileges), $node->safe_psql('shop', $privileges), 'after grant_api(): the same grants and policies');
is(as_buyer('restored'), as_buyer('shop'), 'and a buyer sees the same');
is(keyed_order('restored'), $order, 'and has the same answer to a key');
is($node->safe_psql('restored', 'SELECT commerce_private.openapi() = commerce_private.build_openapi()::jsonb'), 't', 'the OpenAPI document is that of the installation');

for my $database (qw(shop restored))
{
	$node->safe_psql($database, "SELECT commerce.revoke_api('$_')") for @roles;
	is($node->safe_psql($database, $privileges), '', "$database: all is taken back");
	$node->safe_psql($database, "SELECT commerce.grant_api('web_anon', 'web_buyer', 'web_seller', 'web_admin')");
	is(as_buyer($database), "2|1\n{\"user_id\":1,\"balance\":9000}", "$database: and given again");
	$node->safe_psql($database, 'DROP EXTENSION commerce');
	is($node->safe_psql($database, q{SELECT count(*) FROM pg_namespace WHERE nspname = 'commerce_api'}), '0', "$database: dropped");
}
$node->safe_psql('postgres', "DROP ROLE $_") for @roles;
$node->stop;
done_testing();
