# What torture scripts share: clients that do things in transactions of every
# kind and remember what was committed, and disturbers beside them.
#
# A deed is a function of the client's $shop ({ db, round, ... }) that makes one
# call and returns what is to be remembered if it is committed.

package Torture;

use strict;
use warnings;
use DBI;
use Exporter qw(import);
use File::Temp;
use POSIX ();
use Storable;
use Test::More;
use Time::HiRes qw(sleep);

our @EXPORT_OK = qw($clients $rounds connect_to_shop note_error one pick reconnect run table transaction);

our $clients = $ENV{TORTURE_CLIENTS} || 16;
our $rounds = $ENV{TORTURE_ROUNDS} || 150;
my $seed = $ENV{TORTURE_SEED} || 1;

# Errors that every client must be ready for: a serialization failure, a
# statement that was cancelled; run() adds others.
my %expected;

sub connect_to_shop
{
	my ($name) = @_;
	my $db = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
	$db->do("SET application_name = '$name'");
	return $db;
}

# Another connection in place of one that is lost, or that is to be lost.
sub reconnect
{
	my ($shop) = @_;
	$shop->{db}{InactiveDestroy} = 1 unless eval { $shop->{db}->disconnect };
	$shop->{db} = connect_to_shop('torture client');
	$shop->{db}->do($_) for @{ $shop->{settings} };
	return $shop->{db};
}

sub one
{
	my ($db, $sql, @values) = @_;
	return ($db->selectrow_array($sql, undef, @values))[0];
}

# a query's rows of two columns as { first => second }
sub table
{
	my ($db, $sql) = @_;
	return { map { $_->[0] => 0 + $_->[1] } @{ $db->selectall_arrayref($sql) } };
}

sub pick { return $_[ rand @_ ] }

# Counts an error, and lets one be seen that is not to be expected.
sub note_error
{
	my ($shop, $error) = @_;
	my $state = $shop->{db}->state || '-----';

	# DBD::Pg has no SQLSTATE for a COMMIT that was cancelled
	$state = '57014' if $state eq '-----' && $error =~ /canceling statement/;
	$shop->{errors}{$state}++;
	push @{ $shop->{surprises} }, "$state $error" unless $expected{$state} || !$shop->{db}->ping;
	return $state;
}

# One transaction. Afterwards everything in it is remembered, or nothing.
# Returns the deeds that were committed, or the error's SQLSTATE.
sub transaction
{
	my ($shop, @deeds) = @_;
	my $db = $shop->{db};
	my $alone = @deeds == 1;
	my ($xid, @done);
	my $committed = eval {
		$db->begin_work;
		$db->do('SET TRANSACTION ISOLATION LEVEL ' . pick(('READ COMMITTED') x 3, 'REPEATABLE READ', 'SERIALIZABLE'));
		$db->do('SET LOCAL statement_timeout = ' . (1 + int rand 20)) if rand() < 0.1;
		for my $deed (@deeds)
		{
			my $savepoint = !$alone && rand() < 0.5;
			$db->do('SAVEPOINT s') if $savepoint;
			my $result = eval { $deed->($shop) };
			if (!$result)
			{
				my $error = $@;
				die $error if !$savepoint || !$db->ping;
				note_error($shop, $error);
				$db->do('ROLLBACK TO s');
				next;
			}
			if ($savepoint && rand() < 0.3)
			{
				$db->do('ROLLBACK TO s');
				next;
			}
			$db->do('RELEASE s') if $savepoint && rand() < 0.5;
			push @done, $result;
		}
		if (rand() < 0.15)
		{
			$db->rollback;
			return 0;
		}
		$xid = one($db, 'SELECT pg_current_xact_id_if_assigned()::text');
		$db->commit;
		1;
	};
	my $state = '';
	if (!defined $committed)
	{
		$state = note_error($shop, $@);
		return $state if $db->{AutoCommit};
		return $state if $db->ping && eval { $db->rollback };

		# the connection is gone; was it before or after the commit?
		$db = reconnect($shop);
		return $state unless defined $xid;
		my $status;
		sleep 0.01 until ($status = one($db, 'SELECT pg_xact_status($1::xid8)', $xid)) ne 'in progress';
		$committed = $status eq 'committed';
	}
	return $state unless $committed;
	push @{ $shop->{memory} }, grep { ref } @done;
	return;
}

sub client
{
	my ($number, $file, $with) = @_;
	srand($seed * 1000 + $number);
	my $shop = {
		db => connect_to_shop('torture opening'), number => $number, settings => $with->{settings} // [],
		memory => [], errors => {}, surprises => [] };
	$shop->{db}->do($_) for @{ $shop->{settings} };
	$with->{opening}->($shop) if $with->{opening};
	$shop->{db}->do(q{SET application_name = 'torture client'});
	for my $round (1 .. $with->{rounds})
	{
		$shop->{round} = $round;
		$with->{round}->($shop);
	}
	delete $shop->{db};
	Storable::store($shop, $file);
	return;
}

# Does what it is given, cancels, terminates and looks at the books, until told
# to stop.
sub disturber
{
	my ($number, $file, $until, $with) = @_;
	srand($seed * 1000 + 900 + $number);
	my $db = connect_to_shop('torture disturber');
	my $victim = q{FROM pg_stat_activity WHERE application_name = 'torture client' AND datname = current_database()};
	my ($runs, @surprises) = (0);
	while (!-e $until)
	{
		my $sql = pick(
			@{ $with->{disturb} },
			"SELECT pg_cancel_backend(pid) $victim AND state = 'active' ORDER BY random() LIMIT 1",
			"SELECT pg_terminate_backend(pid) $victim AND state <> 'idle' ORDER BY random() LIMIT 1");
		eval { $db->do($sql); $runs++; 1 }
		  or $expected{ $db->state } or push @surprises, $db->state . " $sql: $@";
		my $violated = eval { one($db, 'SELECT string_agg(invariant, $1) FROM commerce.check_invariants()', ', ') };
		push @surprises, "in the middle of it: $violated" if defined $violated;
		sleep 0.02;
	}
	Storable::store({ runs => $runs, surprises => \@surprises }, $file);
	return;
}

sub start
{
	my ($body, @arguments) = @_;
	my $pid = fork // die $!;
	return $pid if $pid;
	eval { $body->(@arguments); 1 } or print STDERR "# $@";
	POSIX::_exit($@ ? 1 : 0);
}

# run(opening => SUB, round => SUB, disturb => [SQL], expect => [SQLSTATE], settings => [SQL],
# rounds => N): $clients clients with N or $rounds rounds each, and two disturbers. Tests that all
# came to their end and met nothing that is not to be expected. Returns what
# each client kept in its $shop, and all that is to be remembered.
sub run
{
	my (%with) = @_;
	$with{rounds} //= $rounds;
	note "$clients clients, $with{rounds} rounds each, seed $seed";
	%expected = map { $_ => 1 } qw(40001 57014), @{ $with{expect} };
	my $dir = File::Temp->newdir;
	my @disturbers = map { start(\&disturber, $_, "$dir/disturber$_", "$dir/stop", \%with) } 1, 2;
	my $ended_well = 0;
	for my $pid (map { start(\&client, $_, "$dir/$_", \%with) } 1 .. $clients)
	{
		waitpid $pid, 0;
		$ended_well++ if $? == 0;
	}
	open my $stop, '>', "$dir/stop" or die $!;
	close $stop;
	for my $pid (@disturbers)
	{
		waitpid $pid, 0;
		$ended_well++ if $? == 0;
	}
	is($ended_well, $clients + 2, 'every client came to its end');

	my @results = map { Storable::retrieve("$dir/$_") } grep { -e "$dir/$_" } 1 .. $clients;
	my @disturbed = map { Storable::retrieve("$dir/disturber$_") } grep { -e "$dir/disturber$_" } 1, 2;
	my @memory = map { @{ $_->{memory} } } @results;
	my (%deeds, %errors);
	$deeds{ $_->{what} }++ for @memory;
	for my $result (@results)
	{
		$errors{$_} += $result->{errors}{$_} for keys %{ $result->{errors} };
	}
	note 'committed: ', join ', ', map { "$_ $deeds{$_}" } sort keys %deeds;
	note 'errors: ', join ', ', map { "$_ $errors{$_}" } sort keys %errors;
	note 'disturbed: ', join ' and ', map { $_->{runs} } @disturbed;
	is_deeply([ map { @{ $_->{surprises} } } @results, @disturbed ], [], 'nobody met an error that is not to be expected');
	return (\@results, \@memory);
}

1;
