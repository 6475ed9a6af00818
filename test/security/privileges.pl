# What each kind of caller may do with everything that the extension has, tried, not read.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(connect_as load_shop state_of value);
use Test::More;

my $db = load_shop();
my $database = value($db, 'SELECT current_database()');
# name => what makes the role
my %made = (
	priv_nobody => '', priv_creator => 'GRANT CREATE, USAGE ON SCHEMA public TO priv_creator',
	priv_owner => "ALTER DATABASE \"$database\" OWNER TO priv_owner", priv_monitor => 'GRANT pg_monitor TO priv_monitor',
	priv_replication => 'ALTER ROLE priv_replication REPLICATION', priv_reader => 'GRANT pg_read_all_data TO priv_reader',
	priv_writer => 'GRANT pg_write_all_data TO priv_writer', priv_app => q{SELECT commerce.grant_app('priv_app')},
	priv_relay => q{SELECT commerce.grant_relay('priv_relay')},
	priv_watch => q{SELECT commerce.grant_monitor('priv_watch')});
for my $role (sort keys %made)
{
	$db->do("DROP ROLE IF EXISTS $role");
	$db->do("CREATE ROLE $role LOGIN");
	$db->do($made{$role}) if $made{$role};
}

my $schemas = q{(SELECT d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
	WHERE d.classid = 'pg_namespace'::regclass AND d.deptype = 'e' AND e.extname = 'commerce')};
my @relations = @{ $db->selectall_arrayref(qq{
	SELECT c.oid::regclass::text AS name, c.relkind, (SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
		ORDER BY pg_column_is_updatable(c.oid, a.attnum, false) DESC, a.attname = 'id' LIMIT 1) AS attribute
	FROM pg_class c WHERE c.relnamespace IN $schemas AND c.relkind IN ('r', 'p', 'v') ORDER BY 1}, { Slice => {} }) };
my @functions = @{ $db->selectcol_arrayref("SELECT p.oid FROM pg_proc p WHERE p.pronamespace IN $schemas ORDER BY 1") };

my %attack = (
	read => sub { "SELECT FROM $_[0]{name} LIMIT 0" },
	insert => sub { "INSERT INTO $_[0]{name} DEFAULT VALUES" },
	update => sub { $_[0]{attribute} ? "UPDATE $_[0]{name} SET $_[0]{attribute} = DEFAULT WHERE false" : undef },
	delete => sub { "DELETE FROM $_[0]{name} WHERE false" },
	truncate => sub { $_[0]{relkind} eq 'v' ? undef : "TRUNCATE $_[0]{name} CASCADE" },
	own => sub { "COMMENT ON " . ($_[0]{relkind} eq 'v' ? 'VIEW' : 'TABLE') . " $_[0]{name} IS 'mine'" });
my $attempts = 0;

# { attack => [ what it succeeded on ] } of a session; functions are those that may be executed
sub got
{
	my ($session) = @_;
	my %got = map { $_ => [] } keys %attack;
	for my $attack (sort keys %attack)
	{
		for my $relation (@relations)
		{
			my $sql = $attack{$attack}->($relation) // next;
			$attempts++;
			$session->begin_work;
			# anything but a refusal is a way in, but for 55000: a view that nobody can write
			push @{ $got{$attack} }, $relation->{name} if state_of($session, $sql) !~ /^(42501|55000)$/;
			$session->rollback;
		}
	}
	$attempts += @functions;
	$got{execute} = [ map { value($session, 'SELECT ?::regprocedure::text', $_) } grep { value($session,
			q{SELECT has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(p.pronamespace, 'USAGE') FROM pg_proc p WHERE p.oid = ?}, $_) } @functions ];
	return \%got;
}

sub counts
{
	my ($got) = @_;
	return join ', ', map { "$_ " . @{ $got->{$_} } } sort keys %$got;
}

my $nothing = 'delete 0, execute 0, insert 0, own 0, read 0, truncate 0, update 0';
for my $role (qw(priv_nobody priv_creator priv_owner priv_monitor priv_replication))
{
	is(counts(got(connect_as($role))), $nothing, "$role may do nothing");
}
{
	my $got = got(connect_as('priv_reader'));
	my %read = map { $_ => 1 } @{ $got->{read} };
	is_deeply([ grep { $_->{relkind} ne 'v' && !$read{ $_->{name} } } @relations ], [], 'pg_read_all_data reads every table');
	$got->{read} = [];
	is(counts($got), $nothing, '  and does nothing else');
}
{
	my $got = got(connect_as('priv_writer'));
	cmp_ok(scalar @{ $got->{insert} }, '>', 30, 'pg_write_all_data writes');
	is(counts({ %$got, insert => [], update => [], delete => [] }), $nothing, '  and does nothing else: it executes and truncates nothing');
}
{
	my $got = got(connect_as('priv_relay'));
	cmp_ok(scalar @{ $got->{execute} }, '<', 20, 'the relay executes few functions: ' . @{ $got->{execute} });
	is(counts({ %$got, execute => [] }), $nothing, '  and touches no table');
}
{
	my $session = connect_as('priv_watch');
	my $got = got($session);
	is_deeply([ sort @{ $got->{read} } ], [ map { "commerce.$_" } qw(escrow horizon job_status maintenance outbox_segments scrub subscription_status) ],
		'who monitors reads seven views');
	is_deeply([ grep { !/^commerce\.metrics/ } @{ $got->{execute} } ], [], '  executes metrics()');
	is(counts({ %$got, execute => [], read => [] }), $nothing, '  and does nothing else');
	cmp_ok(value($session, 'SELECT count(*) FROM commerce.metrics()'), '>', 50, '  which answers');
}
{
	my $got = got(connect_as('priv_app'));
	cmp_ok(scalar @{ $got->{execute} }, '>', 30, 'an application executes the contract');
	is_deeply([ grep { /^commerce\.(grant|revoke)_(api|app|relay|monitor)/ } @{ $got->{execute} } ], [], '  and grants nothing');
	is_deeply([ grep { !/^commerce\./ } @{ $got->{read} } ], [], '  and reads the schema commerce alone');
	is(counts({ %$got, execute => [], read => [] }), $nothing, '  and writes nothing');
}
for my $role (qw(anon buyer seller admin))
{
	$db->do("ALTER ROLE api_$role LOGIN");
	my $got = got(connect_as("api_$role"));
	is(counts({ %$got, execute => [], read => [] }), $nothing, "the role of $role writes nothing");
	is_deeply([ grep { !/^commerce_api\./ } @{ $got->{read} } ], [], '  and reads, by name, nothing but commerce_api');
	is_deeply([ grep { !/^commerce_api\./ } @{ $got->{execute} } ], [], '  and executes, by name, nothing but commerce_api');
	$db->do("ALTER ROLE api_$role NOLOGIN");
}

# The control: what is given is seen.
$db->do('GRANT USAGE ON SCHEMA commerce TO priv_nobody');
$db->do('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON commerce.users TO priv_nobody');
$db->do('GRANT EXECUTE ON FUNCTION commerce.get_balance(bigint) TO priv_nobody');
is(counts(got(connect_as('priv_nobody'))), 'delete 1, execute 1, insert 1, own 0, read 1, truncate 0, update 1', 'control: what is granted is seen; TRUNCATE needs the tables that refer to it too');

note("$attempts attempts on " . @relations . ' relations and ' . @functions . ' functions');
$db->do("ALTER DATABASE \"$database\" OWNER TO postgres");
$db->do('DROP OWNED BY ' . join ', ', sort keys %made);
$db->do("DROP ROLE $_") for sort keys %made;
done_testing();
