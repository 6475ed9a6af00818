package Bench;

# What the programs of bench/ that measure with pgbench share: a server of its
# own with shops in it, one run of pgbench, of a script in Redis or of refusals,
# and how figures are made and written.

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Temp;

our @EXPORT = qw($users $products %server start_server stop_server sql script make_shop slow_sync has_redis cpu pgbench refusals_program median figure machine);
our ($users, $products) = (10_000, 10_000);
our %server;

# ---------------------------------------------------------------------------
# The server

# The server and Redis wait longer for the disk when slow_sync() says so.
my $sync_file = File::Temp->new;
chmod 0644, "$sync_file";
my %slow = (LD_PRELOAD => abs_path('build') . '/bench/slow_sync.so', SLOW_SYNC => "$sync_file");

sub compile
{
	my ($target, $arguments) = @_;
	mkdir 'build';
	mkdir 'build/bench';
	system("cc -O2 -Wall -o build/bench/$target $arguments") == 0 or die "bench: build/bench/$target\n";
	return;
}

sub start_server
{
	slow_sync(0);
	compile('slow_sync.so', '-shared -fPIC bench/slow_sync.c -ldl');
	{
		local @ENV{ keys %slow } = values %slow;
		system('scripts/cluster stop >/dev/null') == 0 && system('scripts/cluster start') == 0 or die "bench: no server\n";
	}
	for (split /\n/, `scripts/cluster env`)
	{
		$server{$1} = $ENV{$1} = $2 if /^export (\w+)=(.*)$/;
	}
	chomp(my $bindir = `$server{PG_CONFIG} --bindir`);
	$ENV{PATH} = "$bindir:$ENV{PATH}";
	chomp(my $data = sql('SHOW data_directory'));
	open my $fh, '<', "$data/postmaster.pid" or die "bench: $data/postmaster.pid: $!\n";
	chomp($server{pid} = <$fh>);
	return;
}

sub stop_server
{
	system 'scripts/cluster stop >/dev/null' if %server;
	%server = ();
	return;
}
END { my $status = $?; stop_server(); $? = $status; }
$SIG{INT} = $SIG{TERM} = sub { exit 130 };

# Adds so many microseconds to each fdatasync() of the server and of Redis.
sub slow_sync
{
	my ($microseconds) = @_;
	open my $fh, '+<', "$sync_file" or die $!;
	syswrite $fh, pack 'i', $microseconds;
	close $fh;
	return;
}

# runs commands in the measured database and returns what psql prints
sub sql
{
	my (@commands) = @_;
	open my $psql, '-|', 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', map { ('-c', $_) } @commands or die $!;
	my $out = do { local $/ = undef; <$psql> };
	close $psql or die "bench: @commands\n";
	return $out;
}

sub script
{
	my ($file, @variables) = @_;
	system('psql', '-XqAt', '-o', '/dev/null', '-f', $file, map { ('-v', $_) } @variables) == 0 or die "bench: $file\n";
	return;
}

# While a history is written nothing has to outlive a crash, and checkpoints would write its pages again and again.
sub fill_fast
{
	my ($fill) = @_;
	my %setting = (fsync => 'off', full_page_writes => 'off', autovacuum => 'off', max_wal_size => '16GB', checkpoint_timeout => '1h');
	sql((map { "ALTER SYSTEM SET $_ = '$setting{$_}'" } sort keys %setting), 'SELECT pg_reload_conf()');
	$fill->();
	sql((map { "ALTER SYSTEM RESET $_" } sort keys %setting), 'SELECT pg_reload_conf()');
	# what checkpoints wrote meanwhile is the system's to write
	system 'sync';
	return;
}

# A shop with so many orders; with claimants, each of so many clients has 10 000 users who can claim coupons.
sub make_shop
{
	my ($database, $orders, $clients, $days) = @_;
	sql("CREATE DATABASE $database");
	local $ENV{PGDATABASE} = $database;
	script('bench/setup.sql', "users=$users", "products=$products", 'claimants=' . ($clients ? 10_000 * ($clients + 1) : 0));
	fill_fast(sub { script('bench/history.sql', "orders=$orders", $days ? "days=$days" : ()) }) if $orders;
	return;
}

# CPU seconds that a process, the server's if nothing is said, and its children have used, those that have ended
# included; with a title only the children that have it.
sub cpu
{
	my ($parent, $title) = @_;
	my $ticks = 0;
	$parent //= $server{pid};
	for my $file (glob '/proc/[0-9]*/stat')
	{
		open my $fh, '<', $file or next;
		my $line = <$fh> // next;
		my ($pid) = $line =~ /^(\d+)/;
		my @field = split ' ', $line =~ s/^.*\)//r;
		next unless $pid == $parent || $field[1] == $parent;
		next if $title && title($pid) !~ $title;
		$ticks += $field[11] + $field[12];
		$ticks += $field[13] + $field[14] if $pid == $parent;
	}
	return $ticks / 100;
}

sub title
{
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/cmdline" or return '';
	return <$fh> // '';
}

# ---------------------------------------------------------------------------
# One run

# By pgbench, or as redis or statement says: transactions per second and, by pgbench, CPU microseconds of each.
# clients, seconds; script of bench/pgbench/, its variables in define; database; tcp.
sub pgbench
{
	my (%with) = @_;
	return redis(%with) if $with{redis};
	return refusals(%with) if $with{statement};
	local $ENV{PGDATABASE} = $with{database} // 'bench';
	local $ENV{PGHOST} = $with{tcp} ? '127.0.0.1' : $server{PGHOST};
	sql('CHECKPOINT');
	my $before = cpu();
	my @command = ('pgbench', '-n', '-M', 'prepared', '-c', $with{clients}, '-j', $with{clients} < 2 ? 1 : 2, '-T', $with{seconds},
		'-D', "users=$users", '-D', "products=$products", (map { ('-D', "$_=$with{define}{$_}") } sort keys %{ $with{define} }), '-f', "bench/pgbench/$with{script}.sql");
	open my $pipe, '-|', "@command 2>&1" or die $!;
	my $out = do { local $/ = undef; <$pipe> };
	close $pipe or die "bench: @command\n$out\n";
	my ($tps) = $out =~ /^tps = ([\d.]+)/m or die "bench: @command\n$out\n";
	my ($n) = $out =~ /^number of transactions actually processed: (\d+)/m;
	die "bench: @command\n$out\n" if $out =~ /aborted/;
	return ($tps, 1e6 * (cpu() - $before) / $n);
}

sub has_redis
{
	return scalar grep { -x "$_/redis-server" } split /:/, $ENV{PATH};
}

# Claims by a script in Redis that checks, counts down, remembers the user and appends to a stream, with
# appendfsync always.
sub redis
{
	my (%with) = @_;
	my $dir = File::Temp->newdir;
	my $socket = "$dir/redis";
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		open STDOUT, '>', "$dir/log";
		@ENV{ keys %slow } = values %slow;
		exec 'redis-server', '--port', 0, '--unixsocket', $socket, '--dir', $dir, '--appendonly', 'yes', '--appendfsync', 'always', '--save', '';
	}
	select undef, undef, undef, 0.1 until -S $socket;
	my $cli = sub {
		open my $pipe, '-|', 'redis-cli', '-s', $socket, @_ or die $!;
		chomp(my $answer = <$pipe> // '');
		close $pipe;
		return $answer;
	};
	my $sha = $cli->(SCRIPT => LOAD => q{if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then return -1 end }
		  . q{if tonumber(redis.call('GET', KEYS[1])) <= 0 then return 0 end }
		  . q{redis.call('DECR', KEYS[1]) redis.call('SADD', KEYS[2], ARGV[1]) redis.call('XADD', KEYS[3], '*', 'user', ARGV[1]) return 1});
	my ($rate, $requests, $quota) = (0, 100 * $with{clients}, 1_000_000_000);
	for (1 .. 2)
	{
		# the first run tells how many the second can do in its time
		$cli->(SET => left => $quota);
		open my $pipe, '-|', 'redis-benchmark', '-s', $socket, '-c', $with{clients}, '-n', $requests, '-r', 2_000_000_000, '-q',
		  'EVALSHA', $sha, 3, 'left', 'users', 'stream', '__rand_int__' or die $!;
		my $out = do { local $/ = undef; <$pipe> };
		close $pipe;
		($rate) = $out =~ /([\d.]+) requests per second/ or die "bench: redis-benchmark: $out\n";
		my $claims = $quota - $cli->(GET => 'left');
		die "bench: of $requests requests to Redis only $claims claimed\n" if $claims < 0.99 * $requests;
		$requests = int($rate * $with{seconds}) || 1;
	}
	kill TERM => $pid;
	waitpid $pid, 0;
	return $rate;
}

# bench/refusals.c, compiled once
my $refusals;

sub refusals_program
{
	return $refusals if $refusals;
	compile('refusals', "bench/refusals.c -I\$($ENV{PG_CONFIG} --includedir) -L\$($ENV{PG_CONFIG} --libdir) -lpq");
	return $refusals = 'build/bench/refusals';
}

# Answers to a statement that is refused, with an SQLSTATE.
sub refusals
{
	my (%with) = @_;
	open my $pipe, '-|', refusals_program(), $with{clients}, $with{seconds}, $users, $with{sqlstate}, $with{statement} or die $!;
	my ($rate, $others) = split ' ', <$pipe> // '';
	close $pipe or die "bench: refusals\n";
	# who has claimed the one coupon there was gets another
	die "bench: $with{statement}: $others other answers\n" if $others > $rate * $with{seconds} / 100;
	return $rate;
}

# ---------------------------------------------------------------------------
# Figures

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	my $half = int(@sorted / 2);
	return @sorted % 2 ? $sorted[$half] : ($sorted[ $half - 1 ] + $sorted[$half]) / 2;
}

sub figure
{
	my ($value) = @_;
	return sprintf '%.2f', $value if $value < 10;
	return sprintf '%.1f', $value if $value < 100;
	my $text = sprintf '%.0f', $value;
	1 while $text =~ s/^(\d+)(\d{3})/$1 $2/;
	return $text;
}

sub machine
{
	my ($model) = map { /^model name\s*:\s*(.*)/ ? $1 : () } do { open my $fh, '<', '/proc/cpuinfo' or (); defined $fh ? <$fh> : () };
	open my $fh, '<', '/proc/loadavg' or return '';
	my ($load) = <$fh> =~ /^(\S+)/;
	chomp(my $cores = `nproc`);
	return sprintf '%s cores (%s), load %s before the start', $cores, $model // 'unknown', $load;
}

1;
