# Sessions in which allocations fail, or that are cancelled or terminated at one (test/inject/inject.c).

package Inject;

use strict;
use warnings;
use Cwd qw(getcwd);
use DBI;
use Exporter qw(import);
use PostgreSQL::Test::Utils qw(slurp_file);

our @EXPORT_OK = qw(arm connect_to crashes disarm functions is_known_warning module prepare_database);

my $module = getcwd() . '/test/inject/inject.so';

# The module's path; it is built if need be.
sub module
{
	system('make', '-s', '-C', 'test/inject') == 0 or die 'test/inject does not build';
	return $module;
}

# Makes the module's functions, in the schema inject.
sub prepare_database
{
	my ($node, $database) = @_;
	my $file = module();
	$node->safe_psql($database, qq{
		CREATE SCHEMA inject;
		CREATE FUNCTION inject.arm(kind text, n bigint, places text DEFAULT '', by_nearest boolean DEFAULT false) RETURNS void LANGUAGE C STRICT AS '$file', 'inject_arm';
		CREATE FUNCTION inject.disarm() RETURNS bigint LANGUAGE C STRICT AS '$file', 'inject_disarm';
		CREATE FUNCTION inject.reset_caches() RETURNS void LANGUAGE C STRICT AS '$file', 'inject_reset_caches';
		CREATE FUNCTION inject.under(names text[]) RETURNS void LANGUAGE C STRICT AS '$file', 'inject_under';
		CREATE FUNCTION inject.place() RETURNS text LANGUAGE C STRICT AS '$file', 'inject_where';
		GRANT USAGE ON SCHEMA inject TO PUBLIC});
	return;
}

# A session of the superuser that can be armed.
sub connect_to
{
	my ($connstr, $options) = @_;
	local $ENV{PGOPTIONS} = "-c session_preload_libraries=$module " . ($options // '');
	return DBI->connect("dbi:Pg:" . $connstr =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0, pg_server_prepare => 0 });
}

sub arm
{
	my ($db, $kind, $n, @under) = @_;
	$db->do('SELECT inject.under($1)', undef, \@under);
	$db->do('SELECT inject.arm($1, $2)', undef, $kind, $n);
	return;
}

# Whether what was armed has happened.
sub disarm
{
	my ($db) = @_;
	return ($db->selectrow_array('SELECT inject.disarm()'))[0] < 0;
}

# ---------------------------------------------------------------------------
# Crashes

# Where PostgreSQL crashes when it has run out of memory somewhere: both functions are in the stacks.
my @known = (
	[ qr/^GrantLockLocal$/, qr/^LockAcquireExtended$/ ],
	[ qr/^plpgsql_destroy_econtext$/, qr/^(CopyErrorData|AtSubCommit_childXids|CommitSubTransaction)$/ ],
	[ qr/^generate_partition_qual$/, qr/^copyObjectImpl$/ ],
	[ qr/^pgstat_/, qr/^pgstat_get_entry_ref/ ],
	[ qr/^TransactionId(SetStatusBit|SetPageStatus)/, qr/^pgstat_get_xact_stack_level$/ ],
	[ qr/./, qr/^AtCommit_Notify$/ ],
	[ qr/^(RecordTransactionAbort|XactLogAbortRecord)$/, qr/^smgrDoPendingDeletes$/ ]);

my %function_of;

# The functions of a stack, the innermost first
sub functions
{
	my ($node, @lines) = @_;
	my @names;
	for (@lines)
	{
		my ($file, $offset, $name) = split;
		my $path = $file =~ /^postgres/ ? $node->config_data('--bindir') . '/postgres' : $file;
		$function_of{"$path $offset"} //= $name ne '?' ? $name : do {
			my ($found) = split /\n/, qx(addr2line -f -e '$path' $offset 2>/dev/null);
			$found && $found ne '??' ? $found : "$path+$offset";
		};
		push @names, $function_of{"$path $offset"};
	}
	return grep { !/^(ExceptionalCondition|crashed|step|my_(set|generation)_|palloc|pstrdup|MemoryContext(Alloc|Strdup)|repalloc|raise|abort|gsignal|__|errfinish)|libc\.so/ } @names;
}

# PostgreSQL warns when it runs out of memory while it begins or commits, which ours do in one place, and while it undoes.
sub is_known_warning
{
	my ($node, $warning, @lines) = @_;
	my ($nearest) = functions($node, grep { /\bcommerce\.so / } @lines);
	return $warning =~ /Abort(Sub)?Transaction while in (START|COMMIT) state/ && ($nearest // '') =~ /^(subtransaction_try|end_subtransaction|)$/
	  || $warning =~ /Abort(Sub)?Transaction while in ABORT state/;
}

# The crashes that were noted in a folder (INJECT_DIR), which are taken away: known, where PostgreSQL was and
# what for, or stacks.
sub crashes
{
	my ($node, $dir) = @_;
	my @taken;
	for my $file (glob "$dir/crash.*")
	{
		my ($crashed, $injected) = split /INJECTED AT\n/, slurp_file($file);
		unlink $file;
		my @at = functions($node, grep { /^\S+ 0x/ } split /\n/, $crashed);
		my @by = functions($node, grep { /^\S+ 0x/ } split /\n/, $injected // '');
		my @pairs = grep { my $pair = $_; grep({ /$pair->[0]/ } @at[ 0 .. ($#at < 7 ? $#at : 7) ]) && grep { /$pair->[1]/ } @by } @known;
		push @taken, @pairs
		  ? { known => ($at[0] // '?') . ' <- ' . ($by[0] // '?') }
		  : { stacks => 'CRASH in ' . join(' < ', @at[ 0 .. ($#at < 11 ? $#at : 11) ]) . "\n  after " . join(' < ', @by[ 0 .. ($#by < 15 ? $#by : 15) ]) };
	}
	return @taken;
}

1;
