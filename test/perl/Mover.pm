package Mover;

# commerce-mover as tests run it: a process whose log is kept in a file.
#
#   my $mover = Mover->new(cells => $cells, arguments => [...]);
#   $mover->start; $mover->stop; $mover->kill_hard; my $status = $mover->run('--check');

use strict;
use warnings;
use Relay;

our @ISA = ('Relay');
my $number = 0;

sub new
{
	my ($class, %settings) = @_;
	my $folder = $settings{cells}->node(0)->basedir;
	$number++;
	return bless {
		arguments => [],
		list      => $settings{cells}->list,
		%settings,
		log => "$folder/mover.$number.log"
	}, $class;
}

sub command
{
	my ($self, @more) = @_;
	return ('commerce-mover', '--cells' => $self->{list}, '--log-level' => 'debug', @{ $self->{arguments} }, @more);
}

sub metric
{
	my ($self, $name) = @_;
	my ($file) = map { /^--metrics=(.*)/ } @{ $self->{arguments} };
	open my $metrics, '<', $file or return '';
	my ($value) = map { /^\Q$name\E (\S+)$/ } <$metrics>;
	close $metrics;
	return $value // '';
}

1;
