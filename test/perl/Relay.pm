package Relay;

# commerce-relay as tests run it: a process whose log is kept in a file.
#
#   my $relay = Relay->new(node => $node, dbname => 'shop', config => "...", arguments => [...]);
#   $relay->start; $relay->stop; $relay->kill; my $status = $relay->run('--once');

use strict;
use warnings;
use Exporter 'import';
use POSIX ();
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(complaints wait_until);
my $number = 0;

# Waits until the code returns something true, and returns that; after a long
# time, something false.
sub wait_until
{
	my ($code, $seconds) = @_;
	my $end = time + ($seconds // 60);
	while (1)
	{
		my $result = $code->();
		return $result if $result || time > $end;
		sleep 0.02;
	}
	return;
}

# What is wrong with what a sink was given since its position `start`: for each
# aggregate the first arrivals are to be all that was written, in order.
sub complaints
{
	my ($node, $sink) = @_;
	my %written;
	for my $row (split /\n/, $node->safe_psql('postgres', qq{
		SELECT o.aggregatetype || '/' || o.aggregateid || ' ' || o.id FROM commerce.outbox o
		WHERE commerce_private.format_position(o.era, o.key, o.position) > '$sink->{start}' ORDER BY o.era, o.key, o.position}))
	{
		my ($subject, $id) = split / /, $row;
		push @{ $written{$subject} }, $id;
	}
	my (%arrived, %seen);
	for my $event ($sink->events)
	{
		push @{ $arrived{ $event->{subject} } }, $event->{id} unless $seen{ $event->{id} }++;
	}
	my @complaints = grep { "@{$written{$_}}" ne "@{$arrived{$_} // []}" } sort keys %written;
	push @complaints, grep { !$written{$_} } sort keys %arrived;
	return "@complaints";
}

sub new
{
	my ($class, %settings) = @_;
	$number++;
	my $folder = $settings{node}->basedir;
	my $self = bless {
		arguments => [],
		config    => '',
		%settings,
		log  => "$folder/relay.$number.log",
		file => "$folder/relay.$number.conf"
	}, $class;
	$self->write_config($self->{config});
	return $self;
}

sub write_config
{
	my ($self, $text) = @_;
	unlink $self->{file};
	open my $file, '>', $self->{file} or die "$self->{file}: $!";
	chmod 0600, $self->{file};
	print $file $text;
	close $file;
	return;
}

# Retries that tests can wait for, and sinks on this host; whatever comes later wins.
sub command
{
	my ($self, @more) = @_;
	my $user = $self->{user} ? " user=$self->{user}" : '';
	return (
		'commerce-relay',
		'--dbname' => $self->{node}->connstr($self->{dbname} // 'postgres') . $user,
		'--config' => $self->{file},
		'-o' => 'retries=100ms', '-o' => 'poll_interval=100ms', '-o' => 'standby_interval=100ms',
		'-o' => 'sink_addresses=127.0.0.1',
		@{ $self->{arguments} }, @more);
}

sub spawn
{
	my ($self, @more) = @_;
	my @command = $self->command(@more);
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open STDERR, '>>', $self->{log} or POSIX::_exit(1);
		open STDOUT, '>&', \*STDERR or POSIX::_exit(1);
		exec @command or POSIX::_exit(1);
	}
	return $pid;
}

sub start
{
	my ($self, @more) = @_;
	$self->{pid} = $self->spawn(@more);
	return $self;
}

# Sends the signal and waits for the end; returns the exit status.
sub end
{
	my ($self, $signal) = @_;
	my $pid = delete $self->{pid} or return;
	kill $signal, $pid;
	local $?;
	waitpid $pid, 0;
	return $? & 127 ? -1 : $? >> 8;
}

sub stop { return $_[0]->end('TERM') }
sub kill_hard { return $_[0]->end('KILL') }

# Runs it to its end; returns the exit status.
sub run
{
	my ($self, @more) = @_;
	my $pid = $self->spawn(@more);
	local $?;
	waitpid $pid, 0;
	return $? & 127 ? -1 : $? >> 8;
}

sub log
{
	my ($self) = @_;
	open my $log, '<', $self->{log} or return '';
	local $/ = undef;
	return <$log> // '';
}

sub DESTROY
{
	my ($self) = @_;
	$self->kill_hard;
	return;
}

1;
