# Row security keeps the roles of grant_api() to their rows, and nobody else from what was granted: no reader gets
# fewer rows than there are without a word.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(as_caller claims_of connect_as load_shop state_of value);
use Test::More;

my $db = load_shop();
my $database = value($db, 'SELECT current_database()');
my @roles = qw(rows_reader rows_subscriber rows_reporter rows_owner rows_member);
for my $role (@roles)
{
	$db->do("DROP ROLE IF EXISTS $role");
	$db->do("CREATE ROLE $role LOGIN" . ($role eq 'rows_subscriber' ? ' REPLICATION' : ''));
}
$db->do(q{
	GRANT pg_read_all_data TO rows_reader, rows_subscriber;
	GRANT USAGE ON SCHEMA commerce, commerce_api TO rows_reporter;
	GRANT SELECT ON ALL TABLES IN SCHEMA commerce, commerce_api TO rows_reporter;
	GRANT EXECUTE ON FUNCTION commerce_private.current_user_id(), commerce_private.current_seller_id(), commerce_private.current_admin() TO rows_reporter;
	GRANT USAGE ON SCHEMA commerce TO rows_owner;
	GRANT SELECT ON ALL TABLES IN SCHEMA commerce TO rows_owner;
	GRANT api_buyer TO rows_member});

my @guarded = @{ $db->selectcol_arrayref(q{SELECT c.oid::regclass FROM pg_class c WHERE c.relrowsecurity AND c.relnamespace = 'commerce'::regnamespace ORDER BY 1}) };
cmp_ok(scalar @guarded, '>', 10, 'tables with row security: ' . @guarded);
my %rows = map { $_ => value($db, "SELECT count(*) FROM $_") } @guarded;
cmp_ok(scalar(grep { $_ > 0 } values %rows), '>', 10, 'which have rows');

# which of them a session sees with fewer rows than there are; views: through a view of rows_owner
sub fewer
{
	my ($session, $prefix) = @_;
	return [ grep { value($session, 'SELECT count(*) FROM ' . ($prefix ? $prefix . s/.*\.//r : $_)) != $rows{$_} } @guarded ];
}

is_deeply(fewer(connect_as($_)), [], "$_ sees all rows") for qw(rows_reader rows_subscriber rows_reporter);

# a superuser, and a reader, through views of another role
$db->do('CREATE SCHEMA reports AUTHORIZATION rows_owner');
my $owner = connect_as('rows_owner');
$owner->do("CREATE VIEW reports." . s/.*\.//r . " AS SELECT * FROM $_") for @guarded;
is_deeply(fewer($owner, 'reports.'), [], 'the owner of views sees all rows');
is_deeply(fewer($db, 'reports.'), [], 'a superuser sees them through these views');
is_deeply(fewer(connect_as('rows_reader'), 'reports.'), [], 'and so does pg_read_all_data');

# logical replication reads a table as its role
is(value(connect_as('rows_subscriber'), 'SELECT count(*) FROM commerce.orders'), $rows{'commerce.orders'}, 'the copy of a subscriber with pg_read_all_data is whole');

# the roles of grant_api()
is(as_caller($db, 'buyer 1', sub { value($db, 'SELECT count(*) FROM commerce_api.orders') }), 2, 'a buyer sees its own orders');
my $member = connect_as('rows_member');
$member->do(q{SELECT set_config('request.jwt.claims', ?, false)}, undef, claims_of($db, 'buyer 2'));
is(value($member, 'SELECT count(*) FROM commerce_api.orders'), 2, 'a member of the role too');
my %left = map { $_ => 1 } @guarded;
for my $policy (@{ $db->selectall_arrayref(q{SELECT p.polname, p.polrelid::regclass FROM pg_policy p WHERE 'api_buyer'::regrole = ANY (p.polroles)}) })
{
	$db->do("DROP POLICY $policy->[0] ON $policy->[1]");
}
for my $relation (@guarded)
{
	next unless value($db, q{SELECT has_table_privilege('api_buyer', ?, 'SELECT')}, $relation);
	is(as_caller($db, 'buyer 1', sub { $db->do('SET LOCAL ROLE NONE'); $db->do('GRANT USAGE ON SCHEMA commerce TO api_buyer'); $db->do('SET LOCAL ROLE api_buyer');
			value($db, "SELECT count(*) FROM $relation") }), 0, "without its policy, as after a restore, it sees nothing of $relation");
}
$db->do('ALTER ROLE api_buyer RENAME TO rows_buyer');
is(value($member, 'SELECT count(*) FROM commerce_api.orders'), 0, 'nor when the role has another name since');
$db->do('ALTER ROLE rows_buyer RENAME TO api_buyer');
$_->disconnect for $owner, $member;
$db->do('DROP OWNED BY ' . join ', ', @roles);
$db->do("DROP ROLE $_") for @roles;
done_testing();
