# Every function of the contract, which is read from the catalog, runs out of memory, is cancelled and is
# terminated at its allocations. After each time the session and its settings are as before, the same call then
# does what it does, and the counters and the books are right. Where each point is tried it is called again, and the
# counters are looked at, after ten.
#
#   INJECT_POINTS (1)        at how many allocations of a call, chosen by INJECT_SEED (1); "each": at each place in
#                            PostgreSQL, called by those functions of commerce, where no call before it had a fault of
#                            that kind, until the call ends without one. To be cancelled or terminated anywhere between
#                            two checks for interrupts is the same: it happens at the second
#   INJECT_KINDS (oom cancel die) twice: out of memory, and once more when commerce cleans up after that
#   INJECT_MODES (warm)      warm: the session has made the call before; reset: what it has kept of the catalog is
#                            forgotten; cold: it is new; try: PL/pgSQL catches the error; savepoint: it is rolled back to.
#                            At each place: with reset and cold, what was not before; with try and savepoint, all again;
#                            for these four, places with the same two nearest functions of commerce are one
#   INJECT_FUNCTIONS (all)   only these
#   INJECT_FIRST (1)         the call that a run that was stopped goes on with
#
# PostgreSQL itself crashes at some points when memory is short: a crash at one that test/perl/Inject.pm knows is counted, and is none
# of ours. On a server with assertions (make inject) many more mistakes are noticed.

use strict;
use warnings;
use DBI;
use Inject qw(connect_to crashes functions is_known_warning);
use List::Util qw(shuffle sum0);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Scenarios qw(make_shop scenarios);
use Test::More;
use Time::HiRes qw(sleep time);

my $points = $ENV{INJECT_POINTS} || 1;
my $seed = $ENV{INJECT_SEED} || 1;
my @kinds = split ' ', $ENV{INJECT_KINDS} || 'oom cancel die';
my @modes = split ' ', $ENV{INJECT_MODES} || 'warm';
my $first = $ENV{INJECT_FIRST} || 1;
my $each = $points eq 'each' ? 10 : 1;
my %only = map { $_ => 1 } split ' ', $ENV{INJECT_FUNCTIONS} // '';

my ($node, $crashes, %asked, %count, %survived);
my $log_read = 0;
my $shops = 0;

# A crash may leave a server that asserts its way out of recovery; the next one begins anew.
sub open_shop
{
	$node = PostgreSQL::Test::Cluster->new('inject' . ++$shops);
	$crashes = $node->basedir . '/crashes';
	mkdir $crashes or die $!;
	$ENV{INJECT_DIR} = $crashes;
	$node->init;
	$node->append_conf('postgresql.conf', q{
		commerce.max_pending_orders = 1000000
		jit_above_cost = -1
		shared_preload_libraries = 'commerce'
		restart_after_crash = on
		max_prepared_transactions = 5
		fsync = off
		log_statement = none
		commerce.maintenance_interval = 0});
	$node->start;
	make_shop($node);
	$log_read = 0;
	return;
}

# ---------------------------------------------------------------------------
# Sessions

my $control;
open_shop();

sub control
{
	return $control if $control && $control->ping;
	for (1 .. 600)
	{
		$control = eval { DBI->connect('dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0 }) };
		return $control if $control;
		if (!-e $node->data_dir . '/postmaster.pid')
		{
			$count{'servers that did not recover'}++;
			take_crashes('a server that does not recover');
			$node->stop('immediate', fail_ok => 1);
			open_shop();
		}
		sleep 0.1;
	}
	die 'the server does not come back';
}

sub ask
{
	my ($sql) = @_;
	for (1 .. 3)
	{
		my @row = eval { control()->selectrow_array($sql) };
		return wantarray ? @row : $row[0] unless $@;
		die $@ if control()->ping;
	}
	die "the server does not answer: $sql";
}

# Where each place is tried plans are made anew, or the places of that would be gone after five calls.
sub session
{
	for (1 .. 600)
	{
		my $db = eval { connect_to($node->connstr('postgres'), $points eq 'each' ? '-c plan_cache_mode=force_custom_plan' : '') };
		return $db if $db;
		sleep 0.1;
	}
	die 'the server does not come back';
}

# ---------------------------------------------------------------------------
# Crashes

my (%known_crashes, @problems, %seen);

# The number of the allocation that had the last fault, and the functions that came to it
sub last_fault
{
	my ($n, @lines) = -e "$crashes/fired" ? split /\n/, slurp_file("$crashes/fired") : ();
	return ($n, @lines);
}

sub problem
{
	my ($what) = @_;
	return if $seen{$what}++;
	my ($n, @lines) = last_fault();
	my @at = functions($node, @lines);
	push @problems, $what . (defined $n ? "; the last fault: allocation $n at " . join ' < ', @at[ 0 .. ($#at < 11 ? $#at : 11) ] : '');
	diag $problems[-1] if @problems <= 40;
	return;
}

sub has_crashed
{
	my @files = glob "$crashes/crash.*";
	return scalar @files;
}

# What is known of the crash that ended a session
sub judge_crash
{
	my ($what) = @_;
	sleep 0.1;
	take_crashes($what) or problem("$what: the connection was lost, and nothing crashed");
	control();
	return;
}

# Judges the crashes that were noted, and returns how many.
sub take_crashes
{
	my ($what) = @_;
	my @taken = crashes($node, $crashes);
	warnings_of_log() if @taken;
	$_->{known} ? $known_crashes{ $_->{known} }++ : problem("$what: $_->{stacks}") for @taken;
	return scalar @taken;
}

# ---------------------------------------------------------------------------
# Injecting

my %expected = (oom => qr/^53200$/, twice => qr/^53200$/, cancel => qr/^57014$/, die => qr/^57P01$/);
my $good = ask('SELECT inject.state()');
my %scenario = scenarios(\&ask);

# Returns 'ok' or the SQLSTATE, and how it is called in this mode.
sub run_statement
{
	my ($db, $mode, $statement) = @_;
	my $row = eval { [ $db->selectrow_array($mode eq 'try' ? 'SELECT inject.try(' . $db->quote($statement) . ')' : $statement) ] };
	my $error = $db->errstr // '';
	return $mode eq 'try' ? $row->[0] : 'ok' if $row;
	return '57P01' if $error =~ /terminating connection due to administrator command/;
	# what could not begin PostgreSQL ends the session for when its caller rolls back
	return 'not ended' if $error =~ /a subtransaction could not be ended|unexpected state SUBBEGIN/;
	return $db->ping ? $db->state : 'lost';
}

# What PostgreSQL warns of, such as what was left open, is a problem, unless calls warn of it that have had no fault; and
# so are locks.
my (%usual_warning, %usual_lock);

sub warnings_of_log
{
	my $log = slurp_file($node->logfile, $log_read);
	$log_read += length $log;
	return grep { !/because of crash/ } map { s/\d+/N/gr } $log =~ /(?:WARNING|PANIC): .*/g;
}

# A session that is idle has locks only where the call is there to take them.
sub locks_of
{
	my ($db) = @_;
	return split /\n/, ask("SELECT string_agg(concat_ws(' ', locktype, relation::regclass, classid, objid, mode), E'\n') FROM pg_locks WHERE pid = $db->{pg_pid}") // '';
}

sub note_usual
{
	my ($db) = @_;
	$usual_warning{$_}++ for warnings_of_log();
	$usual_lock{$_}++ for locks_of($db);
	return;
}

# Nothing is left behind: counters as the rows say, locks of the session.
sub check_rest
{
	my ($what, $db) = @_;
	for (1 .. 20)
	{
		last if !defined ask('SELECT inject.counters() LIMIT 1');
		sleep 0.05;
	}
	my $counters = ask('SELECT inject.counters() LIMIT 1');
	problem("$what: counters: $counters") if defined $counters;
	my ($lock) = grep { !$usual_lock{$_} } locks_of($db);
	problem("$what: it has kept a lock: $lock") if defined $lock && $db->ping;
	return;
}

sub check_warnings
{
	my ($what) = @_;
	my ($n, @lines) = last_fault();
	for my $warning (grep { !$usual_warning{$_} } warnings_of_log())
	{
		is_known_warning($node, $warning, @lines) ? $count{'warned of by PostgreSQL'}++ : problem("$what: $warning");
	}
	return;
}

# PL/pgSQL leaves its own subtransaction open when it cannot copy the error that it has caught.
sub is_left_open
{
	return slurp_file("$crashes/fired") =~ /CopyErrorData\n\S*plpgsql\.so/;
}

# PL/pgSQL's library that has run out of memory while it was loaded cannot be loaded again.
sub is_half_loaded
{
	my ($db) = @_;
	return ($db->errstr // '') =~ /attempt to redefine parameter "plpgsql\./;
}

sub arm_session
{
	my ($db, $mode, $kind, $n) = @_;
	$db->do('SELECT inject.reset_caches()') if $mode eq 'reset';
	my $places = $points ne 'each' ? '' : $mode =~ /^(try|savepoint)$/ ? "$kind $mode" : $kind;
	$db->do('SELECT inject.arm($1, $2, $3, $4)', undef, $kind, $n, $places, $mode eq 'warm' ? 'f' : 't');
	return;
}

# How many allocations a call has
sub count_allocations
{
	my ($db, $mode, $statement) = @_;
	arm_session($db, $mode, 'oom', 1_000_000_000_000);
	run_statement($db, $mode, $statement);
	return ($db->selectrow_array('SELECT inject.disarm()'))[0];
}

# A session that, when it is to be warm, has made the call before: that is undone, so that it can still be made.
sub begin_session
{
	my ($run) = @_;
	eval { $run->{db}->disconnect };	# which may have ended
	$run->{db} = session();
	return if $run->{mode} eq 'cold';
	$run->{db}->begin_work;
	run_statement($run->{db}, $run->{mode}, $run->{statement});
	$run->{db}->rollback;
	return;
}

# Whether the session has come to its end, as it was told to or not
sub is_lost
{
	my ($what, $kind, $end) = @_;
	return $kind =~ /^(oom|twice)$/ if $end eq 'not ended';
	return 0 unless $end eq '57P01' || $end eq 'lost';
	return 1 if $kind eq 'die' && !has_crashed();
	$end eq 'lost' ? judge_crash($what) : problem("$what: terminated");
	return 1;
}

# Makes the call, and returns what became of it: 'failed', 'done' (it ended as usual, maybe with an error) or 'survived'
# (without one) when it had a fault; 'ended' with its session, or 'done, and ended'; 'not reached'
sub inject
{
	my ($run, $what, $kind, $n) = @_;
	my ($db, $mode) = @$run{qw(db mode)};
	unlink "$crashes/fired";
	if ($mode eq 'savepoint')
	{
		$db->begin_work;
		$db->do('SAVEPOINT s');
	}
	arm_session($db, $mode, $kind, $n);
	my $end = run_statement($db, $mode, $run->{statement});
	return 'ended' if is_lost($what, $kind, $end);
	my ($counted, $state);
	my $alive = eval {
		$db->do('ROLLBACK TO s') if $mode eq 'savepoint';
		($counted, $state) = $db->selectrow_array('SELECT inject.disarm(), inject.state()');
		1;
	};
	if (!$alive)
	{
		my $error = $@;
		if (!$db->ping)
		{
			is_lost("$what, afterwards", $kind, 'lost');
			return 'done, and ended';
		}
		$mode eq 'try' && is_left_open() ? $count{'left open by PL/pgSQL'}++ : problem("$what: afterwards $error");
		$db->disconnect;
		return 'ended';
	}
	problem("$what: settings $state") if $state ne $good;
	return $counted >= 0 ? 'not reached' : $kind eq 'oom' && $end eq 'ok' ? 'survived' : 'done' if $run->{usual}{$end};
	$end =~ $expected{$kind} || $end eq 'PGRST' && $run->{name} =~ /^api\./ or problem("$what: $end " . ($db->errstr // ''));
	return 'failed';
}

# The call that has failed can be made.
sub make_again
{
	my ($run, $what) = @_;
	my $db = $run->{db};
	my $again = run_statement($db, $run->{mode}, $run->{statement});
	if ($again eq 'lost')
	{
		judge_crash("$what, again");
	}
	elsif (is_half_loaded($db))
	{
		$count{'half loaded PL/pgSQL'}++;
	}
	else
	{
		$run->{usual}{$again} ? $count{'again, right'}++ : problem("$what: again, it is $again " . ($db->errstr // ''));
	}
	$run->{statement} = undef;
	return;
}

# Who was told of no memory, and went on
sub note_survival
{
	my ($db, $name) = @_;
	my @at = functions($node, split /\n/, ($db->selectrow_array('SELECT inject.place()'))[0]);
	$survived{ join ' < ', @at[ 0 .. ($#at < 4 ? $#at : 4) ] }{$name}++;
	return;
}

sub inject_and_look
{
	my ($run, $kind, $n, $last) = @_;
	my $what = "$run->{name}, $kind, $run->{mode}";
	$run->{statement} //= $scenario{ $run->{name} }->();
	begin_session($run) if $run->{mode} eq 'cold' || !$run->{db}->ping;
	my $end = eval { inject($run, $what, $kind, $n) } // do {
		# the session before may have crashed when it was closed
		has_crashed() ? judge_crash($what) : problem("$what: $@");
		'not armed';
	};
	my $db = $run->{db};
	note_survival($db, $run->{name}) if $end eq 'survived';
	check_warnings($what);
	# what ended with its session may have been committed before that
	$run->{statement} = undef if $end ne 'failed';
	make_again($run, $what) if $last && $run->{statement};
	if ($run->{mode} eq 'savepoint' && $db->ping)
	{
		eval { $db->commit; 1 } or $db->ping ? problem("$what: commit: $@") : judge_crash("$what, commit");
		$run->{statement} = undef if $last;
	}
	check_rest($what, $db) if $last;
	return $end;
}

my @names = sort grep { !%only || $only{$_} || $only{ s/,.*//r } } keys %scenario;
my $begun = time;
my $call = 0;

sub show_progress
{
	my ($what) = @_;
	diag sprintf '%d of %d calls (%s), %d faults, %d problems, %d s', $call, @names * @modes, $what, sum0(values %asked), scalar @problems, time - $begun;
	return;
}

# What failed has done nothing, and the same statement can be made again.
sub inject_at_numbers
{
	my ($run, $kind, @numbers) = @_;
	for my $n (@numbers)
	{
		my $end = inject_and_look($run, $kind, $n, 1);
		$count{"$kind, $end"}++;
		$asked{$kind}++;
	}
	return;
}

# Goes on behind the last fault, until there is none; and once more from the beginning, for what came before that only
# later. A new server, after one that did not recover, knows no places: the call that ended the old one is left then.
sub inject_at_new_places
{
	my ($run, $kind) = @_;
	my $from = 1;
	my $done = 0;
	my $shop = $shops;
	while ($shops == $shop)
	{
		my $end = inject_and_look($run, $kind, $from, ++$done % $each == 0);
		my ($n) = last_fault();
		if (defined $n)
		{
			$count{"$kind, $end"}++;
			$asked{$kind}++;
			$from = $n + 1;
			show_progress("$run->{name}, $run->{mode}, $kind") if $done % 1000 == 0;
		}
		elsif ($from == 1)
		{
			last;
		}
		else
		{
			$from = 1;
		}
	}
	return;
}

# One session serves all calls while it is there.
my $session;

sub sweep
{
	my ($name, $mode) = @_;
	$session = session() unless $session && $session->ping;
	my $run = { name => $name, mode => $mode, db => $session };
	# a call without a scenario of its own may do something the first time only
	$run->{usual} = { map { run_statement($run->{db}, $mode, $scenario{$name}->()) => 1 } 1, 2 };
	note_usual($run->{db});
	if ($points eq 'each')
	{
		inject_at_new_places($run, $_) for @kinds;
	}
	else
	{
		my $cold = $mode eq 'cold' ? session() : undef;
		my $all = count_allocations($cold // $run->{db}, $mode, $scenario{$name}->());
		$cold->disconnect if $cold;
		my @numbers = sort { $a <=> $b } map { 1 + int rand $all } 1 .. $points;
		inject_at_numbers($run, $_, @numbers) for @kinds;
	}
	$session = $run->{db};
	my $books = ask('SELECT i::text FROM commerce.check_invariants() i LIMIT 1');
	problem("$name, $mode: the books: $books") if defined $books;
	return;
}

$SIG{__DIE__} = sub { diag $_[0] unless $^S };
srand $seed;
@names = shuffle(@names) if $points eq 'each';
for my $mode (@modes)
{
	for my $name (@names)
	{
		next if ++$call < $first;
		sweep($name, $mode);
		show_progress("$name, $mode") if $points ne '1' && $call % 10 == 0 || $call == @names * @modes;
	}
}
diag "repeat it with INJECT_SEED=$seed INJECT_POINTS=$points INJECT_KINDS='@kinds' INJECT_MODES='@modes' INJECT_FUNCTIONS='NAME'" if @problems;
my $injected = sum0(values %asked);
is(scalar @problems, 0, "$injected faults in $call calls leave session, counters and books right");
cmp_ok($injected, '>=', @names, 'every function of the contract') if $first == 1;
diag "seed $seed: ", join ', ', (map { "$_ $asked{$_}" } sort keys %asked), map { "$_ $count{$_}" } sort keys %count;
diag 'crashes of PostgreSQL itself: ', join ', ', map { "$_ $known_crashes{$_}" } sort keys %known_crashes if %known_crashes;
diag "survived $_: " . join ' ', sort keys %{ $survived{$_} } for sort keys %survived;
$node->stop('immediate');
done_testing();
