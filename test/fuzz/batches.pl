# Random calls of every function of the contract, thousands a second: some hundred at a time are sent as one statement,
# a function that makes each of them in a subtransaction and looks at its outcome. A batch is the application's, the
# relay's or PostgREST's, in a transaction of any isolation level that is committed, rolled back or prepared. Every error
# has to be one of those that a caller is told; role and settings have to be as before it. The books and the counters are
# looked at all the time. One session does it alone: what waits or is cancelled is for calls.pl.
#
# What a call costs beside its function is kept small: its statement is planned once in a session and called with other
# values, which are taken from some hundreds for each argument. Of eight batches one sends each call as a text of its own.
# Each 100 000 calls the shop is a new one, in a database of its own, since calls become slower as it grows.
#
# FUZZ_SECONDS (10), FUZZ_CALLS (no limit) and FUZZ_SEED (1) change the run: what is called depends on the seed alone.
# FUZZ_SHOP (1) is the number of the first shop, to begin with the one in which something went wrong. The calls of a batch
# that are needed for what went wrong are printed.

use strict;
use warnings;
use Calls qw(@endpoints @functions claims connect_as draw draw_ahead headers look_at_books next_function open_shop statement);
use DBI;
use List::Util qw(min shuffle);
use Test::More;
use Time::HiRes qw(sleep time);
use Torture qw(pick);

my $seconds = $ENV{FUZZ_SECONDS} || 10;
my $limit   = $ENV{FUZZ_CALLS}   || 1e12;
my $seed    = $ENV{FUZZ_SEED}    || 1;
my $shop    = $ENV{FUZZ_SHOP}    || 1;
my $size    = 300;
my $batches = 333;    # in a shop
my ($db, %sessions, %called, %outcomes, %succeeded, @claims, @headers);

# What is said to a caller: of a rule, of his arguments and of his rights; and a transaction that may not write.
my $expected = '^(00000|SH|PGRST|22|23|25006|25001|55000|28000|42501)';

# ---------------------------------------------------------------------------
# A shop

# Calls of these are statements of their own in the function that makes calls whose plans are kept. A call comes to it
# as the statement's number and the arguments.
my @statements;

sub number_statements
{
	my (@callable) = @_;
	for my $function (@callable)
	{
		my ($schema, $name, $types) = @$function{qw(schema name types)};
		for my $n (@$types - $function->{defaults} .. @$types)
		{
			$function->{numbers}[$n] = @statements;
			push @statements, "PERFORM * FROM $schema.\"$name\"(" . join(', ', map { '(a[' . ($_ + 2) . "])::$types->[$_]" } 0 .. $n - 1) . ');';
		}
	}
	return;
}

# Finds a statement by its number.
sub search_tree
{
	my ($from, $to) = @_;
	return $statements[$from] if $from == $to;
	my $middle = int(($from + $to + 1) / 2);
	return "IF n < $middle THEN " . search_tree($from, $middle - 1) . "\nELSE " . search_tree($middle, $to) . ' END IF;';
}

# A function that makes calls, each by this code, and returns their SQLSTATEs, up to the first that is not expected, which
# comes with its message
sub create_run
{
	my ($name, $code) = @_;
	$db->do(qq{
		CREATE FUNCTION fuzz.$name(calls text[], roles text[], claims text[], headers text[], expected text)
		RETURNS text[] LANGUAGE plpgsql AS \$\$
		DECLARE
			before CONSTANT text := fuzz.settings();
			outcomes text[] := '{}';
			outcome text;
			a text[];
			n int;
		BEGIN
			FOR i IN 1 .. cardinality(calls) LOOP
				BEGIN
					IF roles IS NOT NULL THEN
						PERFORM set_config('role', roles[i], true), set_config('request.method', 'POST', true),
							set_config('request.jwt.claims', claims[i], true), set_config('request.headers', headers[i], true);
					END IF;
					$code
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
		END \$\$});
	return;
}

# What an attentive fuzzer finds
my $arm   = { schema => 'fuzz', name => 'arm',   types => [],       names => [],       defaults => 0 };
my $fault = { schema => 'fuzz', name => 'fault', types => ['text'], names => ['what'], defaults => 0 };

sub open_next_shop
{
	$ENV{PGDATABASE} = 'postgres';
	$db = connect_as();
	$db->do("CREATE DATABASE fuzz$shop TEMPLATE commerce_template");
	$db->do("ALTER DATABASE fuzz$shop SET $_") for 'jit = off', 'synchronous_commit = ' . ($shop % 2 ? 'off' : 'on');
	$ENV{PGDATABASE} = "fuzz$shop";
	$db = open_shop();
	$db->do(q{
		CREATE SCHEMA fuzz;
		GRANT USAGE ON SCHEMA fuzz TO PUBLIC;

		CREATE FUNCTION fuzz.settings() RETURNS text LANGUAGE sql AS $$
			SELECT concat_ws(' ', session_user, current_setting('search_path'), current_setting('lock_timeout'),
				current_setting('statement_timeout'), current_setting('enable_seqscan'), current_setting('enable_hashjoin'),
				current_setting('enable_mergejoin'), current_setting('jit'), current_setting('transaction_isolation'),
				current_setting('transaction_read_only'), current_setting('session_replication_role')) $$;

		-- The n-th newest of a table: of `what` when it is "\x03TABLE N"
		CREATE FUNCTION fuzz.newest(what text) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE
			n CONSTANT int := split_part(what, ' ', 2);
		BEGIN
			CASE split_part(what, ' ', 1)
				WHEN E'\x03order_sheets' THEN RETURN (SELECT s.id FROM commerce.order_sheets s ORDER BY s.id DESC OFFSET n LIMIT 1);
				WHEN E'\x03orders' THEN RETURN (SELECT max(x.id) - n FROM commerce.orders x);
				WHEN E'\x03order_items' THEN RETURN (SELECT max(x.id) - n FROM commerce.order_items x);
				WHEN E'\x03coupon_issues' THEN RETURN (SELECT max(x.id) - n FROM commerce.coupon_issues x);
				WHEN E'\x03payments' THEN RETURN (SELECT max(x.id) - n FROM commerce.payments x);
				WHEN E'\x03shipments' THEN RETURN (SELECT max(x.id) - n FROM commerce.shipments x);
				WHEN E'\x03users' THEN RETURN (SELECT max(x.id) - n FROM commerce.users x);
				WHEN E'\x03products' THEN RETURN (SELECT max(x.id) - n FROM commerce.products x);
			END CASE;
		END $$;

		CREATE TABLE fuzz.armed ();
		GRANT INSERT ON fuzz.armed TO shop;
		CREATE FUNCTION fuzz.arm() RETURNS void LANGUAGE sql AS 'INSERT INTO fuzz.armed DEFAULT VALUES';
		CREATE FUNCTION fuzz.fault(what text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN
			IF EXISTS (SELECT FROM fuzz.armed) THEN
				EXECUTE what;
			END IF;
		END $$});
	@statements = ();
	number_statements(@functions, @endpoints, $arm, $fault);
	create_run('run_texts', 'EXECUTE calls[i];');
	create_run('run_kept', q{
		a := string_to_array(calls[i], E'\x1f', E'\x02');
		n := a[1];
		IF strpos(calls[i], E'\x03') > 0 THEN
			a := ARRAY(SELECT CASE WHEN u.v LIKE E'\x03%' THEN fuzz.newest(u.v) ELSE u.v END FROM unnest(a) WITH ORDINALITY u(v, place) ORDER BY u.place);
		END IF;
		} . search_tree(0, $#statements));
	srand($seed * 1_000_003 + $shop);
	draw_ahead();
	@claims = map { claims() } 1 .. 200;
	@headers = map { headers() } 1 .. 200;
	return;
}

sub leave_shop
{
	eval { $_->disconnect } for values %sessions;
	%sessions = ();
	$db->do("ROLLBACK PREPARED '$_'") for map { @$_ } @{ $db->selectall_arrayref('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()') };
	$db->disconnect;
	$ENV{PGDATABASE} = 'postgres';
	$db = connect_as();
	$db->do("DROP DATABASE fuzz$shop WITH (FORCE)");
	$shop++;
	return;
}

# ---------------------------------------------------------------------------
# A batch

# What looks through everything, or gives and takes a hundred rights, is called in one batch of sixteen only.
my %slow = map { $_ => 1 } qw(
	check_invariants check_conversion dump_extras export_user grant_api grant_app grant_relay list_dump_extras list_segments
	metrics operator product root purge_outbox refresh_popular_products scrub_books variants);

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
	my @all = shuffle($requests ? @endpoints : @functions);
	my @slow = $number % 32 == 2 || $number % 32 == 4 ? grep { $slow{ $_->{name} } } @all : ();
	@all = (@slow, grep { !$slow{ $_->{name} } } @all);
	my $order = { all => \@all, next => 0 };
	my $end = rand();
	return {
		user  => $user,
		form  => rand() < 1 / 8 ? 'texts' : 'kept',
		calls => [ map { [ $_, draw($_) ] } map { $requests ? $all[ $_ % @all ] : next_function($order) } 1 .. $size ],
		begin => 'BEGIN ISOLATION LEVEL ' . pick('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') . (rand() < 0.03 ? ' READ ONLY' : ''),
		subject => $requests ? pick('id', 'external_id') : '',
		end => $end < 0.1 && !$requests ? 'PREPARE' : $end < 0.8 ? 'COMMIT' : 'ROLLBACK',
		prepared => pick('COMMIT PREPARED', 'ROLLBACK PREPARED'),
		$requests
		? ( roles => [ map { pick(qw(api_anon api_buyer api_buyer api_seller api_admin)) } 1 .. $size ],
			claims => [ map { pick(@claims) } 1 .. $size ],
			headers => [ map { pick(@headers) } 1 .. $size ])
		: () };
}

# A call as fuzz.run_kept() or fuzz.run_texts() has it
sub written
{
	my ($form, $call) = @_;
	my ($function, $arguments) = @$call;
	return statement($function, $arguments) if $form eq 'texts';
	return join "\x1f", $function->{numbers}[@$arguments], map { $_ // "\x02" } @$arguments;
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
		($session->selectrow_array("SELECT fuzz.run_$batch->{form}(\$1, \$2, \$3, \$4, \$5)", undef,
			[ map { written($batch->{form}, $batch->{calls}[$_]) } @numbers ],
			(map { $batch->{$_} && [ @{ $batch->{$_} }[@numbers] ] } qw(roles claims headers)), $expected))[0];
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
	$called{"$_->[0]{schema}.$_->[0]{name}"}++ for @{ $batch->{calls} }[ 0 .. min($#all, $#$outcomes) ];
	$outcomes{ substr $_, 0, 5 }++ for @$outcomes;
	$succeeded{ $batch->{user} } += grep { $_ eq '00000' } @$outcomes;
	if ($outcomes->[-1] =~ /$expected/)
	{
		my $session = session($batch);
		return eval {
			$session->do($batch->{end} eq 'PREPARE' ? "PREPARE TRANSACTION 'fuzz$number'" : $batch->{end});
			$session->do("$batch->{prepared} 'fuzz$number'") if $batch->{end} eq 'PREPARE';
			1;
		} || $batch->{end} eq 'PREPARE' && $session->state eq '0A000' ? () : "batch $number, shop $shop, at $batch->{end}: $@";
	}
	roll_back($batch);

	# a session that is lost, or an error that is no call's, does not say which call it was
	my $lost = $outcomes->[-1] =~ /^-----/;
	my @needed = $lost ? @all : @all[ 0 .. $#$outcomes ];
	my $wrong = what_fails($batch, @needed);
	return "batch $number, shop $shop: $outcomes->[-1]\n  not again" unless $wrong;
	@needed = minimise($batch, $wrong, @needed);
	return "batch $number, shop $shop, $batch->{form}: $outcomes->[-1]\n" . join '', map {
		my $i = $_;
		'  ' . join(' ', $batch->{user}, map { $batch->{$_}[$i] } grep { $batch->{$_} } qw(roles claims headers)) . ': '
		  . statement(@{ $batch->{calls}[$i] }) . ";\n"
	} @needed;
}

# ---------------------------------------------------------------------------

open_next_shop();
my %named = map { $_->{name} => $_ } @functions;
my @planted = ([ $named{error_codes}, [] ], [ $named{charge_balance}, [ 1, 1 ] ], [ $named{charge_balance}, [ 2, 1 ] ]);
for my $form (qw(kept texts))
{
	for my $planted ([ "RAISE 'x' USING ERRCODE = 'XX000'", 'XX000 x' ], [ 'PERFORM pg_terminate_backend(pg_backend_pid())', 'the session is lost' ],
		[ 'SET lock_timeout = 7', 'settings are' ])
	{
		my ($what, $seen) = @$planted;
		my $batch = { user => 'shop', subject => '', form => $form, begin => 'BEGIN', end => 'COMMIT', calls => [
			@planted, [ $arm, [] ], @planted, [ $fault, ["DO \$x\$BEGIN $what; END\$x\$"] ], @planted ] };
		my ($found) = run_batch($batch, 0);
		like($found, qr/$seen.*\n.*: .*fuzz\."arm".*\n.*: .*fuzz\."fault".*\n\z/, "$form, $seen: is seen, with the two calls that it takes");
	}
}
(%called, %outcomes, %succeeded) = ();

my @wrong;
my $end = time + $seconds;
my $told = my $begun = time;
my ($done, $calls, $looks, $next_look) = (0, 0, 0, 0);
my $first = $shop;
while (@wrong <= 10 && ($done < 16 || time < $end && $calls < $limit))
{
	open_next_shop() if $done > 0;
	my $number = ($shop - 1) * $batches;
	my $before = @wrong;    # a shop in which something is wrong stays so
	while (@wrong == $before && ++$number <= $shop * $batches && ($done < 16 || time < $end && $calls < $limit))
	{
		push @wrong, run_batch(plan_batch($number), $number);
		$done++;
		$calls += $size;
		if (time >= $next_look)
		{
			my $looked = time;
			push @wrong, map { "after batch $number, shop $shop: $_" } look_at_books($db);
			$looks++;
			$next_look = time + 30 * (time - $looked);
		}
		next if time < $told + 30;
		$told = time;
		diag sprintf '%d calls, %d a second, %d wrong', $calls, $calls / (time - $begun), scalar @wrong;
	}
	push @wrong, map { "at the end of shop $shop: $_" } look_at_books($db);
	$looks++;
	leave_shop();
}
diag "repeat it with FUZZ_SEED=$seed, and FUZZ_SHOP=N for a shop" if @wrong;
is(join("\n", @wrong), '', "$calls calls leave the books right, and nobody met an error that is not to be expected");
is_deeply([ grep { !$called{$_} } map { "$_->{schema}.$_->{name}" } @functions, @endpoints ], [], 'every function of the contract was called');
cmp_ok($succeeded{$_} // 0, '>', 0, "some calls of $_ succeeded") for qw(shop relay authenticator);
diag sprintf 'seed %d, shops %d to %d: %d calls, %d a second; %d looks at the books; %s', $seed, $first, $shop - 1, $calls,
  $calls / (time - $begun), $looks, join ', ', map { "$_ $outcomes{$_}" } sort keys %outcomes;
done_testing();
