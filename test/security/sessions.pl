# A pooled session serves one caller after another, by whatever ends a transaction: each sees what a session of his
# own would see, and what belongs to him.

use strict;
use warnings;
use lib 'test/perl';
use Attack qw(connect_as load_shop state_of value);
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
	my ($role, $user) = split / /, $caller;
	$session->begin_work;
	$session->do("SET LOCAL ROLE api_$role");
	$session->do(q{SELECT set_config('request.jwt.claims', ?, true), set_config('request.method', 'GET', true)}, undef,
		defined $user ? qq({"role":"api_$role","sub":"$user"}) : qq({"role":"api_$role"}));
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

# The control: claims that a session keeps show the next caller's transaction the wrong things.
$pooled->do(q{SELECT set_config('request.jwt.claims', '{"sub":"2"}', false)});
$pooled->begin_work;
$pooled->do('SET LOCAL ROLE api_buyer');
isnt(sees($pooled, 'commerce_api.orders'), $model{'buyer 1'}{'commerce_api.orders'}, 'control: claims left in the session are seen');
$pooled->rollback;
done_testing();
