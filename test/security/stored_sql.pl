# Who may write every table (pg_write_all_data, or a DBA's grant on all tables) puts SQL wherever there is
# text; then a superuser, jobs and callers over REST do what they do. None of it is executed.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(connect_as state_of value);
use Test::More;

my $postgres = connect_as('postgres');
$postgres->do('DROP ROLE IF EXISTS stored_writer');
$postgres->do('CREATE ROLE stored_writer');
$postgres->do('GRANT pg_read_all_data, pg_write_all_data TO stored_writer');

# Counts how often a superuser executed it, whatever is rolled back afterwards.
$postgres->do('CREATE SEQUENCE public.executed');
$postgres->do(q{
	CREATE FUNCTION public.attack() RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		IF (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
			PERFORM nextval('public.executed');
		END IF;
		RETURN true;
	END $$});

my @forms = ('(SELECT public.attack())', '(SELECT public.attack())); SELECT public.attack(); --');

# a shop with something in most tables
$postgres->do($_) for (
	q{SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin')},
	q{SELECT commerce.create_user('Kim', 'kim@example.com'), commerce.create_user('Sol', 'sol@example.com', role => 'SELLER'),
		commerce.create_user('Ann', 'ann@example.com', role => 'ADMIN')},
	q{SELECT commerce.create_seller(2, 'Mugs', '111-11-11111'), commerce.create_product(1, 'mug', 1000, 1000),
		commerce.create_coupon('won', 'FIXED', 100, 100, valid_days => 30), commerce.charge_balance(1, 1000000), commerce.subscribe('warehouse')},
	q{SELECT commerce.create_promotion(1, 'PERCENT', 5, now(), now() + interval '1 day'), commerce.claim_coupon(1, 1),
		commerce.create_order_sheet(1, '[{"product_id": 1, "quantity": 1}]'), commerce.place_order(1, '[{"product_id": 1, "quantity": 1}]', idempotency_key => 'k')});

my %user_of = (BUYER => 1, SELLER => 2, ADMIN => 3);
my $endpoints = $postgres->selectall_arrayref(q{
	SELECT e.name, coalesce(r.role, 'BUYER') AS role, e.reads, e.example,
		CASE WHEN e.reads THEN (SELECT string_agg(format('%I => %L', x.key, x.value), ', ') FROM jsonb_each_text(e.example) x) END AS arguments
	FROM commerce_private.api_endpoints e
	LEFT JOIN LATERAL (SELECT x::text AS role FROM unnest(e.roles) x WHERE x <> 'ANONYMOUS' LIMIT 1) r ON true ORDER BY 1}, { Slice => {} });

# What is called after a write: read when it is needed, so that what is new is called too.
sub calls
{
	my @calls = @{ $postgres->selectcol_arrayref(q{
		SELECT format('SELECT %s()', p.oid::regproc) FROM pg_proc p
		WHERE p.pronamespace IN (SELECT d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'commerce'
								 WHERE d.classid = 'pg_namespace'::regclass AND d.refclassid = 'pg_extension'::regclass)
		  AND p.pronargs = p.pronargdefaults AND p.prorettype <> 'trigger'::regtype AND p.proname <> 'build_openapi' ORDER BY 1}) };
	push @calls, q{SELECT commerce_private.run_job(name) FROM (SELECT name FROM commerce_private.jobs) j},
	  q{SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin')},
	  q{SELECT commerce.grant_app('shop'), commerce.grant_relay('shop')};
	return @calls;
}

# Executes a statement, and undoes it when it fails.
sub attempt
{
	my ($sql) = @_;
	$postgres->do('SAVEPOINT attempt');
	my $worked = eval { $postgres->do($sql); 1 };
	$postgres->do($worked ? 'RELEASE attempt' : 'ROLLBACK TO attempt');
	return $worked;
}

# Writes some columns with one form of the attack, calls everything, and takes it back.
# Returns how often the attack was executed, and the columns that could be written.
sub attack
{
	my ($form, @columns) = @_;
	my $quoted = $postgres->quote($form);
	my $before = value($postgres, 'SELECT last_value FROM public.executed');
	my @written;
	$postgres->begin_work;
	$postgres->do('SET LOCAL ROLE stored_writer');
	for my $column (@columns)
	{
		my ($table, $name, $type) = @$column;
		my $value = $type eq 'text[]' ? "ARRAY[$quoted]" : $type eq 'jsonb' ? "to_jsonb($quoted\::text)" : $quoted;
		push @written, "$table.$name" if attempt("UPDATE $table SET $name = $value")
		  || attempt("UPDATE $table SET $name = $value WHERE ctid = (SELECT min(ctid) FROM $table)");
	}
	$postgres->do('RESET ROLE');
	# descriptions that are kept are forgotten
	$postgres->do(q{CREATE FUNCTION public.change() RETURNS int LANGUAGE sql AS 'SELECT 1'});
	attempt($_) for calls();
	for my $endpoint (@$endpoints)
	{
		my ($role, $user) = ($endpoint->{role}, $user_of{ $endpoint->{role} });
		$postgres->do(qq{SELECT set_config('request.jwt.claims', '{"sub": "$user"}', true), set_config('role', 'api_' || lower('$role'), true)});
		attempt("SELECT commerce_api.$endpoint->{name}(" . ($endpoint->{reads} ? $endpoint->{arguments} // '' : $postgres->quote($endpoint->{example})) . ')');
		$postgres->do('RESET ROLE');
	}
	$postgres->rollback;
	return (value($postgres, 'SELECT last_value FROM public.executed') - $before, @written);
}

sub columns
{
	return @{ $postgres->selectall_arrayref(q{
		SELECT c.oid::regclass::text, quote_ident(a.attname), a.atttypid::regtype::text FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace IN (SELECT d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'commerce'
								 WHERE d.classid = 'pg_namespace'::regclass AND d.refclassid = 'pg_extension'::regclass)
		  AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND a.atttypid::regtype::text IN ('text', 'name', 'text[]', 'jsonb')
		ORDER BY 1, a.attnum}) };
}

# The control: a table with a command, and a function that executes it.
$postgres->do('SELECT nextval(\'public.executed\')');
$postgres->do('CREATE TABLE commerce.hole AS SELECT \'SELECT 1\'::text AS command');
$postgres->do(q{
	CREATE FUNCTION commerce.run_hole() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
	DECLARE command text := (SELECT h.command FROM commerce.hole h); BEGIN EXECUTE command; END $$});
my ($executed) = attack($forms[0], grep { $_->[0] eq 'commerce.hole' } columns());
cmp_ok($executed, '>', 0, 'control: text of a table that is executed is seen');
$postgres->do('DROP TABLE commerce.hole');
$postgres->do('DROP FUNCTION commerce.run_hole()');

# of each table one column at a time
my %columns;
push @{ $columns{ $_->[0] } }, $_ for columns();
my %written;
while (my @round = map { shift @$_ // () } @columns{ sort keys %columns })
{
	for my $form (@forms)
	{
		my ($executed, @written) = attack($form, @round);
		is($executed, 0, "$form is not executed: @written");
		$written{$_} = 1 for @written;
	}
}
cmp_ok(scalar keys %written, '>=', 50, keys(%written) . ' columns were written');
is(value($postgres, 'SELECT count(*) FROM commerce.check_invariants()'), 0, 'the books are right');
$postgres->do('DROP OWNED BY stored_writer');
$postgres->do('DROP ROLE stored_writer');
done_testing();
