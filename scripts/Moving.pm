# What scripts/import and scripts/replay share: the connection to the shop, and a reader of the CSV files that other
# shops' programs write. Both die with a line for whoever runs the script.

package Moving;

use strict;
use warnings;
use DBI;
use Encode ();
use IO::Handle;
use Text::CSV_XS;

# ---------------------------------------------------------------------------
# The shop

# The script's arguments as characters: names of columns and files may be in any language.
sub decode_arguments
{
	@ARGV = map { Encode::decode('UTF-8', $_) } @ARGV;
	return;
}

# What a database said, as one line.
sub told
{
	my ($text) = @_;
	my ($error) = $text =~ /\A(?:\w+:\s+)?(.*)$/m;
	my $detail = $text =~ /^DETAIL:\s*(.*)$/m ? ": $1" : '';
	return "$error$detail";
}

# A connection to the database that has the shop. What fails in it dies with what the database said.
sub shop
{
	my ($connect) = @_;
	my $db = DBI->connect("dbi:Pg:$connect", undef, undef, { RaiseError => 0, PrintError => 0, AutoCommit => 1, pg_enable_utf8 => 1 })
	  or die "there is no connection to the shop: ${\told($DBI::errstr)}\n";
	$db->{HandleError} = sub { $_[0] = told($_[1]->errstr) . "\n"; return 0 };
	$db->{RaiseError} = 1;
	$db->do('SET client_min_messages = warning');
	$db->selectrow_array("SELECT 1 FROM pg_extension WHERE extname = 'commerce'")
	  or die "the database ${\$db->{pg_db}} has no extension commerce\n";
	return $db;
}

# ---------------------------------------------------------------------------
# A file

# Reads what stands before the first line, and says how the file is encoded: UTF-16 and UTF-8 may begin with a mark.
sub skip_mark
{
	my ($fh, $encoding) = @_;
	my $read = read $fh, my $mark, 3;
	return $encoding unless $read;
	my ($bytes, $told) = $mark =~ /^\xEF\xBB\xBF/ ? (3, 'UTF-8') : $mark =~ /^\xFF\xFE/ ? (2, 'UTF-16LE') : $mark =~ /^\xFE\xFF/ ? (2, 'UTF-16BE') : (0, $encoding);
	$fh->ungetc(ord) for reverse split //, substr $mark, $bytes;
	return $told;
}

# Opens a CSV file, whose fields a comma, a semicolon, a tab or a bar separates, as its header has it.
sub open_csv
{
	my ($class, $path, $encoding) = @_;
	open my $fh, '<:raw', Encode::encode('UTF-8', $path) or die "$path: $!\n";
	die "$path is a folder\n" if -d $fh;
	defined Encode::find_encoding($encoding) or die "there is no encoding $encoding\n";
	$encoding = skip_mark($fh, $encoding);
	my $wide = $encoding =~ /^UTF-?(16|32)/i;
	binmode $fh, ":encoding($encoding):crlf" if $wide;
	my $line = <$fh> // '';
	die "$path has no header\n" if $line !~ /\S/;
	die "$path has NUL bytes: where it is UTF-16 without a mark at its beginning, --encoding=UTF-16LE says so\n" if $line =~ /\0/;
	die "the lines of $path end with CR alone: make it LF\n" if $line =~ /\r./;

	my %separators = map { $_ => 0 } (',', ';', "\t", '|');
	$separators{$_}++ for $line =~ s/"[^"]*"//gr =~ /([,;\t|])/g;
	my ($separator) = sort { $separators{$b} <=> $separators{$a} || $a cmp $b } keys %separators;
	my $csv = Text::CSV_XS->new({ binary => 1, auto_diag => 0, sep_char => $separator, decode_utf8 => $wide ? 1 : 0 });
	$csv->parse($line =~ s/[\r\n]+\z//r) or die "the header of $path is not CSV\n";
	my $self = bless { path => $path, fh => $fh, csv => $csv, header => [ $csv->fields ], encoding => $encoding, wide => $wide }, $class;
	$self->decode($self->{header}, 1);
	s/^\s+|\s+$//g for @{ $self->{header} };
	return $self;
}

sub decode
{
	my ($self, $cells, $line) = @_;
	return if $self->{wide};
	for my $cell (grep { /[^\x00-\x7F]/ } @$cells)
	{
		$cell = eval { Encode::decode($self->{encoding}, my $copy = $cell, Encode::FB_CROAK) }
		  // die "$self->{path}, line $line: '${\Encode::decode('latin1', $cell)}' is not $self->{encoding}: --encoding=windows-1252, say\n";
	}
	return;
}

sub header { my ($self) = @_; return @{ $self->{header} } }
sub handle { my ($self) = @_; return $self->{fh} }

# Where the column of this name is, upper and lower case not told apart; nothing where there is none.
sub column
{
	my ($self, $name) = @_;
	my @found = grep { lc $self->{header}[$_] eq lc $name } 0 .. $#{ $self->{header} };
	die "$self->{path} has the column $name " . @found . " times\n" if @found > 1;
	return $found[0];
}

# The next row: { line, cells }, with an error where no row can look like this; nothing at the end. The line is the
# one that the row begins in.
sub row
{
	my ($self) = @_;
	my $csv = $self->{csv};
	while (1)
	{
		my $line = $self->{fh}->input_line_number + 1;
		my $cells = $csv->getline($self->{fh});
		if (!$cells)
		{
			my ($code, $text, undef, undef, $field) = $csv->error_diag;
			return if $code == 2012;    # the end
			die "$self->{path}, line $line: a quote is not closed\n" if $code == 2027;
			die "$self->{path}, line $line, field $field, is not CSV: ${\($text =~ s/^\w+ - //r)}\n";
		}
		next if @$cells == 1 && $cells->[0] =~ /^\s*$/;
		$self->decode($cells, $line);
		pop @$cells while @$cells > @{ $self->{header} } && $cells->[-1] =~ /^\s*$/;
		my $error = @$cells != @{ $self->{header} } ? 'not as many fields as the header' : (grep { /\0/ } @$cells) ? 'a NUL byte' : undef;
		return { line => $line, cells => $cells, error => $error };
	}
	return;
}

1;
