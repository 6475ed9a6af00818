package MockKafka;

# librdkafka's mock cluster as a broker for tests (test/relay/mock_kafka.c),
# and kcat to read and write its topics.

use strict;
use warnings;
use IPC::Open2;
use JSON::PP;

sub new
{
	my ($class, @topics) = @_;
	my $self = bless {}, $class;
	$self->{pid} = open2($self->{out}, $self->{in}, 'build/relay-tests/mock_kafka', @topics);
	$self->{brokers} = readline $self->{out};
	chomp $self->{brokers};
	return $self;
}

sub brokers { return $_[0]{brokers} }

# down, up, or "error CODE COUNT" for the next answers to Produce
sub tell
{
	my ($self, $line) = @_;
	print { $self->{in} } "$line\n";
	readline $self->{out};
	return;
}

# All messages of a topic, as { key, payload, headers, partition, offset }
sub messages
{
	my ($self, $topic) = @_;
	my @messages;
	open my $kcat, '-|', 'timeout', '20', 'kcat', '-q', '-C', '-b', $self->{brokers}, '-t', $topic,
	  '-o', 'beginning', '-e', '-J' or die "kcat: $!";
	while (my $line = <$kcat>)
	{
		my $message = decode_json($line);
		$message->{headers} = { @{ $message->{headers} // [] } };
		push @messages, $message;
	}
	close $kcat;
	return @messages;
}

sub produce
{
	my ($self, $topic, @values) = @_;
	return $self->write($topic, [], @values);
}

# into one partition, in order
sub produce_with_key
{
	my ($self, $topic, $key, @values) = @_;
	return $self->write($topic, [ '-k' => $key ], @values);
}

sub write
{
	my ($self, $topic, $options, @values) = @_;
	open my $kcat, '|-', 'timeout', '20', 'kcat', '-q', '-P', '-b', $self->{brokers}, '-t', $topic, @$options
	  or die "kcat: $!";
	print $kcat "$_\n" for @values;
	close $kcat or die "kcat: $?";
	return;
}

sub DESTROY
{
	my ($self) = @_;
	close $self->{in};
	local $?;
	waitpid $self->{pid}, 0;
	return;
}

1;
