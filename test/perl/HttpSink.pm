package HttpSink;

# A real HTTP server for tests of commerce-relay: a process of its own, which
# keeps every request in a file and answers as a callback says.
#
#   my $sink = HttpSink->new(folder => ..., answer => sub { my ($request) = @_; ... });
#   $sink->start; $sink->url; $sink->stop; $sink->start(answer => ...);
#   $sink->requests; $sink->events;
#
# With tls => 1 it speaks HTTPS; $sink->certificate is the file to trust.
#
# A request is { number, at, path, headers, body, events }. The callback runs
# in the server's process and returns a status, or { status, headers, body,
# after (seconds), when (a function of how many requests there are by now: it is
# answered when that is true) }, or one of
#   silence   nothing is answered, the connection stays open
#   half      the answer ends before its announced length
#   close     the connection is closed without an answer

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::SSL;
use IO::Socket::SSL::Utils;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(time);

my $number = 0;

sub new
{
	my ($class, %settings) = @_;
	$number++;
	my $self = bless {
		answer => sub { 200 },
		%settings,
		file => "$settings{folder}/requests.$number",
		port => 0
	}, $class;
	$self->make_certificate if $self->{tls};
	return $self;
}

sub make_certificate
{
	my ($self) = @_;
	my ($certificate, $key) = CERT_create(
		purpose => 'server', subject => { commonName => 'HttpSink' }, subjectAltNames => [ [ IP => '127.0.0.1' ] ]);
	PEM_cert2file($certificate, $self->certificate);
	PEM_key2file($key, "$self->{file}.key");
	return;
}

sub certificate { return "$_[0]{file}.crt" }

sub url
{
	my ($self, $path) = @_;
	return ($self->{tls} ? 'https' : 'http') . "://127.0.0.1:$self->{port}" . ($path // '/events');
}

sub listen_again
{
	my ($self) = @_;
	my $class = $self->{tls} ? 'IO::Socket::SSL' : 'IO::Socket::INET';
	my $listener = $class->new(
		$self->{tls} ? (SSL_server => 1, SSL_cert_file => $self->certificate, SSL_key_file => "$self->{file}.key") : (),
		LocalAddr => '127.0.0.1',
		LocalPort => $self->{port},
		Proto     => 'tcp',
		Listen    => 50,
		ReuseAddr => 1) or die "HttpSink: $!";
	$self->{port} = $listener->sockport;
	return $listener;
}

sub start
{
	my ($self, %settings) = @_;
	@$self{ keys %settings } = values %settings;
	my $listener = $self->listen_again;
	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0)
	{
		# neither the test's END blocks nor its output are this process's
		$SIG{$_} = 'DEFAULT' for qw(TERM INT);
		$SIG{PIPE} = 'IGNORE';
		eval { $self->serve($listener); 1 } or warn "HttpSink: $@";
		POSIX::_exit(1);
	}
	close $listener;
	return $self;
}

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;
	kill 'KILL', $pid;
	local $?;
	waitpid $pid, 0;
	return;
}

sub DESTROY
{
	my ($self) = @_;
	$self->stop;
	return;
}

sub serve
{
	my ($self, $listener) = @_;
	my $select = IO::Select->new($listener);
	my (%buffers, @later);
	open my $record, '>>', $self->{file} or die "$self->{file}: $!";
	$record->autoflush(1);
	my $count = () = $self->requests;
	while (1)
	{
		for my $socket ($select->can_read(@later ? 0.01 : undef))
		{
			if ($socket == $listener)
			{
				my $client = $listener->accept or next;
				$buffers{$client} = '';
				$select->add($client);
				next;
			}
			if (!read_some($socket, \$buffers{$socket}))
			{
				$select->remove($socket);
				delete $buffers{$socket};
				close $socket;
				next;
			}
			while (my $request = take_request(\$buffers{$socket}))
			{
				$request->{number} = ++$count;
				$request->{at} = time;
				print $record encode_json($request) . "\n";
				$request->{events} = events_of($request);
				my $answer = $self->{answer}->($request);
				$answer = { status => $answer } unless ref $answer;
				push @later, [ time + ($answer->{after} // 0), $socket, $answer ];
			}
		}
		my $now = time;
		my (@due, @not_due);
		for my $answer (@later)
		{
			my $when = $answer->[2]{when};
			push @{ $answer->[0] <= $now && (!$when || $when->($count)) ? \@due : \@not_due }, $answer;
		}
		@later = @not_due;
		for my $due (@due)
		{
			my ($at, $socket, $answer) = @$due;
			next unless exists $buffers{$socket};
			next if reply($socket, $answer);
			$select->remove($socket);
			delete $buffers{$socket};
			close $socket;
		}
	}
	return;
}

# Appends what has come; false at the end.
sub read_some
{
	my ($socket, $buffer) = @_;
	do
	{
		sysread $socket, $$buffer, 65536, length $$buffer or return 0;
	} while ($socket->can('pending') && $socket->pending);
	return 1;
}

# the first whole request in the buffer, which loses it
sub take_request
{
	my ($buffer) = @_;
	my $end = index $$buffer, "\r\n\r\n";
	return if $end < 0;
	my ($first, @lines) = split /\r\n/, substr($$buffer, 0, $end);
	my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () } @lines;
	my $length = $headers{'content-length'} // 0;
	return if length($$buffer) < $end + 4 + $length;
	my $body = substr $$buffer, $end + 4, $length;
	substr($$buffer, 0, $end + 4 + $length) = '';
	my (undef, $path) = split / /, $first;
	return { path => $path, headers => \%headers, body => $body };
}

# Returns whether the connection stays open.
sub reply
{
	my ($socket, $answer) = @_;
	my $status = $answer->{status};
	return 1 if $status eq 'silence';
	return 0 if $status eq 'close';
	my $half = $status eq 'half';
	my $body = $answer->{body} // '';
	my %headers = ('Content-Length' => $half ? 100 : length $body, %{ $answer->{headers} // {} });
	$status = 200 if $half;
	syswrite $socket, "HTTP/1.1 $status Said so\r\n"
	  . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers) . "\r\n$body";
	return !$half;
}

sub events_of
{
	my ($request) = @_;
	my $json = eval { decode_json($request->{body}) } // {};
	return ref $json eq 'ARRAY' ? $json : [$json];
}

sub requests
{
	my ($self) = @_;
	open my $record, '<', $self->{file} or return;
	my @requests;
	while (my $line = <$record>)
	{
		last unless $line =~ /\n\z/;
		my $request = decode_json($line);
		$request->{events} = events_of($request);
		push @requests, $request;
	}
	return @requests;
}

# every event that has come, in order, with repetitions
sub events
{
	my ($self) = @_;
	return map { @{ $_->{events} } } $self->requests;
}

1;
