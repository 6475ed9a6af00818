# Random calls of every function of the contract, thousands a second: some hundred at a time are sent as one statement,
# a function that makes each of them in a subtransaction and looks at its outcome. A batch is the application's, the
# relay's or PostgREST's, in a transaction of any isolation level that is committed, rolled back or prepared. Every error
# has to be one of those that a caller is told; role and settings have to be as before it. The books and the counters are
# looked at all the time. One session does it alone: what waits or is cancelled is for calls.pl.
#
# FUZZ_SECONDS (10), FUZZ_CALLS (no limit) and FUZZ_SEED (1) change the run: what is called depends on the seed alone. The
# calls of a batch that are needed for what went wrong are printed.

use strict;
use warnings;
use Calls qw(@endpoints @functions call claims connect_as headers next_function open_shop);
use DBI;
use List::Util qw(min shuffle sum0);
use Test::More;
use Time::HiRes qw(sleep time);
use Torture qw(one pick);

my $seconds = $ENV{FUZZ_SECONDS} || 10;
my $limit   = $ENV{FUZZ_CALLS}   || 1e12;
my $seed    = $ENV{FUZZ_SEED}    || 1;
my $size    = 300;
my $db      = open_shop();

# What is said to a caller: of a rule, of his arguments and of his rights; and a transaction that may not write.
my $expected = '^(00000|SH|PGRST|22|23|25006|25001|55000|28000|42501)';

$db->do(q{
	CREATE SCHEMA fuzz;
	GRANT USAGE ON SCHEMA fuzz TO PUBLIC;

	CREATE FUNCTION fuzz.settings() RETURNS text LANGUAGE sql AS $$
		SELECT concat_ws(' ', session_user, current_setting('search_path'), current_setting('lock_timeout'),
			current_setting('statement_timeout'), current_setting('enable_seqscan'), current_setting('enable_hashjoin'),
			current_setting('enable_mergejoin'), current_setting('jit'), current_setting('transaction_isolation'),
			current_setting('transaction_read_only'), current_setting('session_replication_role')) $$;

	-- The SQLSTATEs of the calls, up to the first that is not expected, which comes with its message.
	CREATE FUNCTION fuzz.run(calls text[], roles text[], claims text[], headers text[], expected text)
	RETURNS text[] LANGUAGE plpgsql AS $$
	DECLARE
		before CONSTANT text := fuzz.settings();
		outcomes text[] := '{}';
		outcome text;
	BEGIN
		FOR i IN 1 .. cardinality(calls) LOOP
			BEGIN
				IF roles IS NOT NULL THEN
					PERFORM set_config('role', roles[i], true), set_config('request.method', 'POST', true),
						set_config('request.jwt.claims', claims[i], true), set_config('request.headers', headers[i], true);
				END IF;
				EXECUTE calls[i];
				outcome := '00000';
				IF current_user <> coalesce(roles[i], session_user) THEN
					outcome := 'ROLE  it is ' || current_user || ' who goes on';
				END IF;
			EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
				outcome := SQLSTATE;
				IF outcome !~ expected THEN
					outcome := outcome || ' ' || SQLERRM;
				END IF;
			END;
			IF fuzz.settings() <> before THEN
				outcome := 'STATE settings are ' || fuzz.settings();
			END IF;
			outcomes := outcomes || outcome;
			EXIT WHEN outcome !~ expected;
		END LOOP;
		RETURN outcomes;
	END $$;

	-- What an attentive fuzzer finds
	CREATE TABLE fuzz.armed ();
	GRANT INSERT ON fuzz.armed TO shop;
	CREATE FUNCTION fuzz.fault(what text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		IF EXISTS (SELECT FROM fuzz.armed) THEN
			EXECUTE what;
		END IF;
	END $$});

# ---------------------------------------------------------------------------
# A batch

# What looks through everything, or gives and takes a hundred rights, is called in one batch of eight only.
my %slow = map { $_ => 1 } qw(
	check_invariants check_conversion dump_extras export_user grant_api grant_app grant_relay metrics operator root
	purge_outbox refresh_popular_products scrub_books);

my (%sessions, %called, %outcomes, %succeeded);

sub session
{
	my ($batch) = @_;
	my ($user, $subject) = @$batch{qw(user subject)};
	return $sessions{ $user . $subject } //= connect_as($user, $subject);
}

sub plan_batch
{
	my ($number) = @_;
	srand($seed * 1_000_003 + $number);
	my $user = $number % 4 == 0 ? 'authenticator' : $number % 15 == 1 ? 'relay' : 'shop';
	my $requests = $user eq 'authenticator';
	my @all = grep { $number % 16 == 2 || $number % 16 == 4 || !$slow{ $_->{name} } } $requests ? @endpoints : @functions;
	my $order = { all => [ shuffle(@all) ], next => 0 };
	my @chosen = map { $requests ? $order->{all}[ $_ % @all ] : next_function($order) } 1 .. $size;
	my $end = rand();
	return {
		user  => $user,
		names => [ map { "$_->{schema}.$_->{name}" } @chosen ],
		calls => [ map { call($_) } @chosen ],
		begin => 'BEGIN ISOLATION LEVEL ' . pick('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') . (rand() < 0.03 ? ' READ ONLY' : ''),
		subject => $requests ? pick('id', 'external_id') : '',
		end => $end < 0.1 ? 'PREPARE' : $end < 0.8 ? 'COMMIT' : 'ROLLBACK',
		prepared => pick('COMMIT PREPARED', 'ROLLBACK PREPARED'),
		$requests
		? ( roles => [ map { pick(qw(api_anon api_buyer api_buyer api_seller api_admin)) } 1 .. $size ],
			claims => [ map { claims() } 1 .. $size ],
			headers => [ map { headers() } 1 .. $size ])
		: () };
}

sub reconnect
{
	%sessions = ();
	for (1 .. 600)
	{
		return $db = $_ for grep { $_ } eval { connect_as() };
		sleep 0.1;
	}
	die 'the server does not come back';
}

# Makes these calls of a batch, in a transaction that is still open; returns their outcomes.
sub try_calls
{
	my ($batch, @numbers) = @_;
	my $outcomes = eval {
		my $session = session($batch);
		$session->do($batch->{begin});
		($session->selectrow_array('SELECT fuzz.run($1, $2, $3, $4, $5)', undef,
			(map { $batch->{$_} && [ @{ $batch->{$_} }[@numbers] ] } qw(calls roles claims headers)), $expected))[0];
	};
	return $outcomes if $outcomes;
	my $error = $@;
	my $session = eval { session($batch) };
	return [ '----- ' . $error ] if $session && $session->ping;
	reconnect();
	return ['----- the session is lost'];
}

sub roll_back
{
	my ($batch) = @_;
	my $session = session($batch);
	$session->do('ROLLBACK') if $session->ping > 1;
	return;
}

sub what_fails
{
	my ($batch, @numbers) = @_;
	my $outcomes = try_calls($batch, @numbers);
	roll_back($batch);
	return '' if $outcomes->[-1] =~ /$expected/;
	return substr $outcomes->[-1], 0, 30;
}

# The fewest of these calls that end in the same way, as far as it is found by leaving out ever fewer at a time.
sub minimise
{
	my ($batch, $wrong, @numbers) = @_;
	for (my $step = @numbers; $step >= 1; $step = int($step / 2))
	{
		for (my $i = 0; $i < @numbers;)
		{
			my @fewer = @numbers;
			splice @fewer, $i, $step;
			@fewer && what_fails($batch, @fewer) eq $wrong ? @numbers = @fewer : $i += $step;
		}
	}
	return @numbers;
}

# Returns what is wrong with the batch.
sub run_batch
{
	my ($batch, $number) = @_;
	my @all = 0 .. $#{ $batch->{calls} };
	my $outcomes = try_calls($batch, @all);
	$called{ $batch->{names}[$_] // '' }++ for 0 .. min($#all, $#$outcomes);
	$outcomes{ substr $_, 0, 5 }++ for @$outcomes;
	$succeeded{ $batch->{user} } += grep { $_ eq '00000' } @$outcomes;
	if ($outcomes->[-1] =~ /$expected/)
	{
		my $session = session($batch);
		return eval {
			$session->do($batch->{end} eq 'PREPARE' ? "PREPARE TRANSACTION 'fuzz$number'" : $batch->{end});
			$session->do("$batch->{prepared} 'fuzz$number'") if $batch->{end} eq 'PREPARE';
			1;
		} || $batch->{end} eq 'PREPARE' && $session->state eq '0A000' ? () : "batch $number, at $batch->{end}: $@";
	}
	roll_back($batch);

	# a session that is lost, or an error that is no call's, does not say which call it was
	my $lost = $outcomes->[-1] =~ /^-----/;
	my @needed = $lost ? @all : @all[ 0 .. $#$outcomes ];
	my $wrong = what_fails($batch, @needed);
	return "batch $number: $outcomes->[-1]\n  not again" unless $wrong;
	@needed = minimise($batch, $wrong, @needed);
	return "batch $number: $outcomes->[-1]\n" . join '', map {
		my $i = $_;
		'  ' . join(' ', $batch->{user}, map { $batch->{$_}[$i] } grep { $batch->{$_} } qw(roles claims headers)) . ": $batch->{calls}[$i];\n"
	} @needed;
}

sub look_at_books
{
	my $books = one($db, q{SELECT string_agg(i::text, E'\n') FROM commerce.check_invariants() i});
	my $counters = one($db, q{
		SELECT string_agg(e::text, E'\n') FROM commerce.escrow e WHERE in_flight <> 0 OR pins <> 0 OR waiters <> 0
			OR kind = 'stock' AND available <> commerce.available_stock(resource_id)});
	return grep { defined } $books, $counters;
}

# ---------------------------------------------------------------------------

my @planted = map { "SELECT commerce.$_" } 'error_codes()', 'charge_balance(1, 1)', 'charge_balance(2, 1)';
for my $fault ([ "RAISE 'x' USING ERRCODE = 'XX000'", 'XX000 x' ], [ 'PERFORM pg_terminate_backend(pg_backend_pid())', 'the session is lost' ],
	[ 'SET lock_timeout = 7', 'settings are' ])
{
	my $batch = { user => 'shop', subject => '', begin => 'BEGIN', end => 'COMMIT', calls => [
		@planted, 'INSERT INTO fuzz.armed DEFAULT VALUES', @planted, "SELECT fuzz.fault(\$f\$DO \$x\$BEGIN $fault->[0]; END\$x\$\$f\$)", @planted ] };
	my ($found) = run_batch($batch, 0);
	like($found, qr/$fault->[1].*\n.*: INSERT.*\n.*: SELECT fuzz\.fault.*\n\z/, "$fault->[1]: is seen, with the two calls that it takes");
}
(%called, %outcomes, %succeeded) = ();

my @wrong;
my $end = time + $seconds;
my $told = my $begun = time;
my ($number, $calls, $looks, $next_look) = (0, 0, 0, 0);
while ($number < 16 || time < $end && $calls < $limit)
{
	push @wrong, run_batch(plan_batch(++$number), $number);
	$calls += $size;
	if (time >= $next_look)
	{
		my $before = time;
		push @wrong, map { "after batch $number: $_" } look_at_books();
		$looks++;
		$next_look = time + 15 * (time - $before);
	}
	last if @wrong > 10;
	next if time < $told + 30;
	$told = time;
	diag sprintf '%d calls, %d a second, %d wrong', $calls, $calls / (time - $begun), scalar @wrong;
}
push @wrong, look_at_books();
diag "repeat it with FUZZ_SEED=$seed FUZZ_CALLS=$calls" if @wrong;
is(join("\n", @wrong), '', "$calls calls leave the books right, and nobody met an error that is not to be expected");
is_deeply([ grep { !$called{$_} } map { "$_->{schema}.$_->{name}" } @functions, @endpoints ], [], 'every function of the contract was called');
cmp_ok($succeeded{$_} // 0, '>', 0, "some calls of $_ succeeded") for qw(shop relay authenticator);
note sprintf 'seed %d: %d calls, %d a second; %d looks at the books; %s', $seed, $calls, $calls / (time - $begun), $looks,
  join ', ', map { "$_ $outcomes{$_}" } sort keys %outcomes;
done_testing();
