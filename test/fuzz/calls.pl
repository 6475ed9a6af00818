# Random calls of every function of the contract (test/perl/Calls.pm): by several sessions, in transactions of every
# isolation level with savepoints and PREPARE TRANSACTION, some of which are cancelled or terminated. After each round
# nobody is in a transaction, and the books and the counters must be right. At the end every other function of the
# extension is called by the superuser, where only crashes count. batches.pl calls more, one after the other.
#
# FUZZ_SECONDS (10), FUZZ_SESSIONS (4), FUZZ_TRANSACTIONS (40, of a session in a round) and FUZZ_SEED (1) change the run:
# what a session calls in a round depends on the seed alone, when it does so on the machine. FUZZ_LOG is a folder for
# what was called in a round that fails.

use strict;
use warnings;
use Calls qw(@endpoints @functions @internal call claims connect_as headers look_at_books next_function open_shop);
use DBI;
use File::Temp;
use List::Util qw(shuffle sum0);
use POSIX ();
use Storable;
use Test::More;
use Time::HiRes qw(sleep time);
use Torture qw(one pick);

my $seconds  = $ENV{FUZZ_SECONDS}  || 10;
my $sessions = $ENV{FUZZ_SESSIONS} || 4;
my $seed     = $ENV{FUZZ_SEED}     || 1;
my $transactions = $ENV{FUZZ_TRANSACTIONS} || 40;
my $db = open_shop();

# ---------------------------------------------------------------------------
# A session

my ($log, %counts, %codes, @surprises);

sub note_error
{
	my ($session, $statement) = @_;
	my $message = $session->{db}->errstr // '';
	my $state = $session->{db}->state || ($message =~ /terminating|closed|canceling/ ? '57P01' : '-----');
	$state = '57P01' if $state =~ /^08/ && $message =~ /terminating connection due to admin/;
	$codes{$state}++;
	print $log "-- $state $message\n";
	push @surprises, "$state $message\n  $statement"
	  if !$session->{internal} && $state =~ /^(XX|58|53|08|42(?!501))|^-----/ && $message !~ /tuple concurrently updated/;
	return;
}

# Returns whether it succeeded.
sub execute
{
	my ($session, $statement) = @_;
	print $log "$statement;\n";
	return 1 if eval { $session->{db}->do($statement); 1 };
	note_error($session, $statement);
	return 0;
}

sub next_call
{
	my ($session) = @_;
	my $function = next_function($session);
	$counts{ "$function->{schema}.$function->{name}" }++;
	return call($function);
}

# What is drawn does not depend on what succeeds, or a seed would not repeat a session.
sub plan_calls
{
	my ($session) = @_;
	my @steps = map { { statement => next_call($session), savepoint => rand() < 0.3, end => pick('', '', 'RELEASE', 'ROLLBACK TO') } }
	  1 .. pick(1, 1, 2, 4, 6);
	my $end = rand();
	return {
		steps => \@steps,
		begin => 'BEGIN ISOLATION LEVEL ' . pick('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') . (rand() < 0.05 ? ' READ ONLY' : ''),
		end => $end < 0.12 ? 'PREPARE' : $end < 0.85 ? 'COMMIT' : 'ROLLBACK',
		prepared => pick('COMMIT PREPARED', 'ROLLBACK PREPARED') };
}

sub plan_request
{
	my ($session) = @_;
	my $endpoint = $endpoints[ $session->{next_endpoint}++ % @endpoints ];
	$counts{"$endpoint->{schema}.$endpoint->{name}"}++;
	return {
		begin => 'BEGIN',
		steps => [
			{ statement => 'SET LOCAL ROLE ' . pick(qw(api_anon api_buyer api_buyer api_seller api_admin)) },
			{ statement => "SELECT set_config('request.jwt.claims', '" . claims() . "', true), set_config('request.method', 'POST', true), set_config('request.headers', '"
				  . headers() . "', true)" },
			{ statement => call($endpoint) } ],
		end => pick('COMMIT', 'COMMIT', 'ROLLBACK') };
}

sub run_plan
{
	my ($session, $plan, $number) = @_;
	my $savepoints = 0;
	execute($session, $plan->{begin}) or return;
	for my $step (@{ $plan->{steps} })
	{
		execute($session, 'SAVEPOINT s' . ++$savepoints) or return if $step->{savepoint};
		if (execute($session, $step->{statement}))
		{
			$counts{'(succeeded)'}++;
			$counts{'(endpoints succeeded)'}++ if $step->{statement} =~ /FROM commerce_api\./;
			execute($session, "$step->{end} s" . $savepoints--) or return if $savepoints > 0 && $step->{end};
		}
		else
		{
			return execute($session, 'ROLLBACK') if $savepoints == 0;
			execute($session, "ROLLBACK TO s$savepoints") or return;
		}
	}
	return execute($session, $plan->{end}) if $plan->{end} ne 'PREPARE';
	my $name = "fuzz_$session->{number}_$number";
	if (execute($session, "PREPARE TRANSACTION '$name'"))
	{
		$counts{'(prepared)'}++ if execute($session, "$plan->{prepared} '$name'");
	}
	return;
}

sub session
{
	my ($number, $round, $file, $internal) = @_;
	open $log, '>:encoding(UTF-8)', "$file.sql" or die $!;

	# the sessions of a round share out the functions
	srand($seed * 1_000_003 + $round * 1009);
	my @all = shuffle($internal ? @internal : @functions);
	my $session = {
		number => $number, internal => $internal, all => \@all, next => int($number * @all / $sessions),
		next_endpoint => int(($number + $round * $sessions) * 10) };
	srand($seed * 1_000_003 + $round * 1009 + $number);
	my $role = $internal ? '' : 'shop';
	my $timeout = pick(0, 300, 1500);
	my $subject = pick('id', 'external_id');
	for my $n (1 .. $transactions)
	{
		my $request = !$internal && $n % 4 == 0;
		my $plan = $request ? plan_request($session) : plan_calls($session);
		my $is = $request ? 'authenticator' : $role;
		# a connection for each, since most of a call's cost is what a new one reads first
		$session->{db} = $session->{connections}{$is};
		if (!$session->{db} || !$session->{db}->ping)
		{
			$session->{db} = $session->{connections}{$is} = eval { connect_as($is, $request && $subject) } or do { sleep 0.3; next };
			execute($session, $_) for q{SET statement_timeout = '2s'}, "SET lock_timeout = $timeout", q{SET idle_in_transaction_session_timeout = '20s'};
		}
		run_plan($session, $plan, $n);
		execute($session, 'ROLLBACK') if $session->{db}->ping && $session->{db}->ping > 1;
	}
	close $log;
	Storable::store({ counts => \%counts, codes => \%codes, surprises => \@surprises }, $file);
	return;
}

sub disturber
{
	my ($round, $until) = @_;
	srand($seed * 1_000_003 + $round * 1009 + 999);
	my $admin = connect_as();
	while (!-e $until)
	{
		sleep rand 0.6;
		my $what = rand() < 0.85 ? 'pg_cancel_backend' : 'pg_terminate_backend';
		eval { $admin->do("SELECT $what(pid) FROM pg_stat_activity WHERE application_name = 'fuzz' AND usename IN ('shop', 'authenticator') AND datname = current_database() ORDER BY random() LIMIT 1") };
	}
	return;
}

sub start
{
	my ($body, @arguments) = @_;
	my $pid = fork // die $!;
	return $pid if $pid;
	my $ok = eval { $body->(@arguments); 1 };
	print STDERR "# $@" unless $ok;
	POSIX::_exit($ok ? 0 : 1);
}

my $dir = File::Temp->newdir;
my (%called, %failed, @unexpected);

# A session that nobody ends: it is lost when the server crashes.
my $watch = connect_as();

# One round of all sessions; returns what is wrong after it.
sub round
{
	my ($round, $internal) = @_;
	my $until = "$dir/stop$round";
	my @pids = map { start(\&session, $_, $round, "$dir/$_", $internal) } 1 .. $sessions;
	my $disturber = $internal ? undef : start(\&disturber, $round, $until);
	my @wrong;
	for my $pid (@pids)
	{
		waitpid $pid, 0;
		push @wrong, 'a session did not come to its end' if $?;
	}
	open my $stop, '>', $until or die $!;
	close $stop;
	waitpid $disturber, 0 if $disturber;
	for my $result (map { Storable::retrieve("$dir/$_") } grep { -e "$dir/$_" } 1 .. $sessions)
	{
		$called{$_} += $result->{counts}{$_} for keys %{ $result->{counts} };
		$failed{$_} += $result->{codes}{$_} for keys %{ $result->{codes} };
		push @wrong, @{ $result->{surprises} };
	}
	push @wrong, 'the server crashed' unless $watch->ping;
	my $check = $watch = connect_as();
	$check->do("ROLLBACK PREPARED '$_'") for map { @$_ } @{ $check->selectall_arrayref('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()') };

	# a session that was terminated may be about to end
	for (1 .. 100)
	{
		last unless one($check, q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fuzz' AND datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND usename IN ('shop', 'authenticator')});
		sleep 0.05;
	}
	return @wrong if $internal;
	push @wrong, look_at_books($check);
	return @wrong;
}

sub keep_log
{
	my ($round) = @_;
	return unless $ENV{FUZZ_LOG};
	mkdir $ENV{FUZZ_LOG};
	system 'cp', "$dir/$_.sql", "$ENV{FUZZ_LOG}/round$round.session$_.sql" for 1 .. $sessions;
	return;
}

my $end = time + $seconds;
my $told = time;
my $round = 0;
while (($round < 3 || time < $end) && @unexpected < 20)
{
	my @wrong = round(++$round, 0);
	push @unexpected, map { "round $round: $_" } @wrong;
	keep_log($round) if @wrong;
	next if time < $told + 30;
	$told = time;
	printf STDERR "# fuzz: round %d, %d calls, %d succeeded, %d s to go\n", $round,
	  sum0(map { $called{$_} } grep { !/^\(/ } keys %called), $called{'(succeeded)'}, $end - time;
}
my $calls = sum0(map { $called{$_} } grep { !/^\(/ } keys %called);
diag "repeat it with FUZZ_SEED=$seed FUZZ_SESSIONS=$sessions; what was called is in FUZZ_LOG" if @unexpected;
is_deeply(\@unexpected, [], "$round rounds leave the books right, and nobody met an error that is not to be expected");
is_deeply([ grep { !$called{$_} } map { "$_->{schema}.$_->{name}" } @functions, @endpoints ], [], 'every function of the contract was called');
cmp_ok($called{'(succeeded)'}, '>', $calls / 20, 'many calls succeeded');
cmp_ok($called{'(endpoints succeeded)'} // 0, '>', 0, 'some of endpoints');
diag "seed $seed: $calls calls, $called{'(succeeded)'} succeeded, ", $called{'(prepared)'} // 0, ' prepared; errors: ', join ', ', map { "$_ $failed{$_}" } sort keys %failed;

is_deeply([ round(++$round, 1) ], [], 'functions that are not for callers do not crash');
ok(eval { one(connect_as(), 'SELECT 1') }, 'the server is there');
done_testing();
