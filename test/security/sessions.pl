# A pooled session serves one caller after another, by whatever ends a transaction: each sees what a session of his
# own would see, and what belongs to him.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(claims_of connect_as load_shop state_of value);
use List::Util qw(shuffle);
use Test::More;

my $seed = $ENV{SECURITY_SEED} || 1;
srand $seed;
my $db = load_shop();
my @callers = ('anon', 'buyer', 'buyer 1', 'buyer 2', 'buyer 99', 'seller 3', 'seller 4', 'seller 1', 'admin 5', 'admin 6', 'admin 1');
my %views = map { my $role = $_; $role => $db->selectcol_arrayref(q{
	SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'commerce_api'::regnamespace AND c.relkind = 'v'
	AND has_table_privilege(?, c.oid, 'SELECT') ORDER BY 1}, undef, "api_$role") } qw(anon buyer seller admin);
# what moves by itself, and what one transaction after another counts
my $moving = qr/^(lag_seconds|last_\w+)$/;

sub begin
{
	my ($session, $caller) = @_;
	my $claims = claims_of($db, $caller);
	$session->begin_work;
	$session->do('SET LOCAL ROLE api_' . $caller =~ s/ .*//r);
	$session->do(q{SELECT set_config('request.jwt.claims', ?, true), set_config('request.method', 'GET', true)}, undef, $claims);
}

sub sees
{
	my ($session, $view) = @_;
	local $session->{pg_expand_array} = 0;
	my $rows = $session->selectall_arrayref("SELECT * FROM $view", { Slice => {} });
	return join "\n", sort map { my $row = $_; join '|', map { /$moving/ ? () : "$_=" . ($row->{$_} // '') } sort keys %$row } @$rows;
}

# The model: a new session for each caller, and whose things there are.
my %model;
for my $caller (@callers)
{
	my $own = connect_as('authenticator');
	for my $view (@{ $views{ $caller =~ s/ .*//r } })
	{
		begin($own, $caller);
		$model{$caller}{$view} = sees($own, $view);
		$own->rollback;
	}
	$own->disconnect;
}
my %count = (
	'commerce_api.orders' => 'SELECT count(*) FROM commerce.orders WHERE user_id = ?', 'commerce_api.users' => 'SELECT count(*) FROM commerce.users WHERE id = ?',
	'commerce_api.coupon_issues' => 'SELECT count(*) FROM commerce.coupon_issues WHERE user_id = ?', 'commerce_api.balance_entries' => 'SELECT count(*) FROM commerce.balance_entries WHERE user_id = ?',
	'commerce_api.order_items' => 'SELECT count(*) FROM commerce.order_items i JOIN commerce.orders o ON o.id = i.order_id WHERE o.user_id = ?',
	'commerce_api.order_sheets' => 'SELECT count(*) FROM commerce.order_sheets WHERE user_id = ?');
for my $view (sort keys %count)
{
	is(scalar(split /\n/, $model{"buyer $_"}{$view}), value($db, $count{$view}, $_), "buyer $_ sees his $view") for 1, 2, 99;
	is($model{buyer}{$view}, '', "  and who is nobody none of $view");
	isnt($model{'buyer 1'}{$view}, $model{'buyer 2'}{$view}, '  control: two buyers see different ones');
}

my $pooled = connect_as('authenticator');
my ($seen, @wrong) = 0;
my $deadline = time + 60;
for my $round (1 .. 300)
{
	my $caller = $callers[ rand @callers ];
	begin($pooled, $caller);
	for my $view ((shuffle @{ $views{ $caller =~ s/ .*//r } })[0 .. 4])
	{
		next unless $view;
		push @wrong, "round $round: $caller: $view" if sees($pooled, $view) ne $model{$caller}{$view};
		$seen++;
	}
	# ways to end: commit, rollback, an error, an error caught by a savepoint, claims left set for the session
	my $end = int rand 5;
	if ($end == 0) { $pooled->commit }
	elsif ($end == 1) { $pooled->rollback }
	elsif ($end == 2) { state_of($pooled, 'SELECT 1 / 0'); $pooled->rollback }
	elsif ($end == 3) { $pooled->do('SAVEPOINT a'); state_of($pooled, 'SELECT FROM commerce_private.idempotency_keys'); $pooled->do('ROLLBACK TO a'); $pooled->commit }
	else { $pooled->commit; $pooled->do('DISCARD PLANS') }
	last if time > $deadline;
}
is_deeply(\@wrong, [], "$seen looks in one session, as many callers (SECURITY_SEED=$seed)");

# What another session makes of a caller is so for the next request of this one.
sub found
{
	my ($caller, $claims) = @_;
	begin($pooled, $caller);
	$pooled->do(q{SELECT set_config('request.jwt.claims', ?, true)}, undef, $claims) if $claims;
	# not by HTTP: for the SQLSTATE
	$pooled->do(q{SET LOCAL request.method = ''});
	my $rows = value($pooled, 'SELECT count(*) FROM commerce_api.' . ($caller =~ /^seller/ ? 'my_products' : 'users'));
	my $call = $caller =~ /^seller/ ? q{sales_report(NULL, '2026-01-01', '2026-01-02')} : $caller =~ /^admin/ ? q{get_balance('1')} : 'get_balance()';
	my $state = state_of($pooled, "SELECT commerce_api.$call");
	$pooled->rollback;
	return "$state $rows";
}
my $new = value($db, q{SELECT commerce.create_user('new', 'new@example.com', external_id => 'new')});
is(found("buyer $new"), ' 1', 'a user that was made');
my $old = claims_of($db, "buyer $new");
$db->do('SELECT commerce.update_user(?, external_id => ?)', undef, $new, 'newer');
is(found("buyer $new"), ' 1', 'by another external_id');
is(found("buyer $new", $old), $ENV{JWT_SUBJECT} ? '28000 0' : ' 1', 'and by the first no more');
is(found("seller $new"), '42501 0', 'who is no seller');
$db->do("SELECT commerce.create_seller(?, 'New', 'new')", undef, $new);
is(found("seller $new"), ' 0', 'until he is one');
$db->do("UPDATE commerce.users SET role = 'ADMIN' WHERE id = ?", undef, $new);
my $all = value($db, 'SELECT count(*) FROM commerce.users');
is(found("admin $new"), " $all", 'an administrator');
$db->do("SELECT commerce.set_user_status(?, 'SUSPENDED')", undef, $new);
is(found("admin $new"), '42501 0', 'who is suspended');
my $buyer = value($db, q{SELECT commerce.create_user('gone', external_id => 'gone')});
my $claims = claims_of($db, "buyer $buyer");
is(found("buyer $buyer", $claims), ' 1', 'a buyer');
$db->do('SELECT commerce.erase_user(?)', undef, $buyer);
is(found("buyer $buyer", $claims), $ENV{JWT_SUBJECT} ? '28000 0' : ' 1', 'who was erased: the external_id is nobody\'s');

# The control: claims that a session keeps show the next caller's transaction the wrong things.
$pooled->do(q{SELECT set_config('request.jwt.claims', ?, false)}, undef, claims_of($db, 'buyer 2'));
$pooled->begin_work;
$pooled->do('SET LOCAL ROLE api_buyer');
isnt(sees($pooled, 'commerce_api.orders'), $model{'buyer 1'}{'commerce_api.orders'}, 'control: claims left in the session are seen');
$pooled->rollback;
done_testing();
