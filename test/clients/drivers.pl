# What docs/clients.md prints for each driver is in examples/clients/, to the letter, and works: a bigint that no
# double holds, items, a retry, the details of a refusal, what an error does to the connection, and the answer that
# is lost. A driver that is not installed is named, and so are those that are compiled, unless CLIENTS=all
# (make test-clients); DRIVERS="pg psycopg" tries only these.

use strict;
use warnings;
use DBI;
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use IPC::Run qw(run timeout);
use JSON::PP qw(decode_json);
use POSIX qw(_exit);
use Test::More;

my $folder = 'examples/clients';
my $python = -x '/usr/bin/python3' ? '/usr/bin/python3' : 'python3';    # Debian's has Debian's packages
my $made = tempdir(CLEANUP => 1);

# the file's name, how it is run, what fails when the driver is not there, and how it is built
my @drivers = (
	(map { [ "$_->[0].mjs", [ 'node', "$_->[0].mjs" ], [ 'node', '--input-type=module', '-e', "await import('$_->[1]')" ], $_->[2] ] }
		[qw(pg pg)], [qw(postgres postgres)], [qw(drizzle drizzle-orm)], [qw(kysely kysely)], [qw(typeorm typeorm)],
		[qw(sequelize sequelize)], [ qw(prisma @prisma/adapter-pg), [qw(npx prisma generate --schema schema.prisma)] ]),
	(map { [ "${_}_.py", [ $python, "${_}_.py" ], [ $python, '-c', "import $_" ] ] }
		qw(psycopg psycopg2 asyncpg sqlalchemy django)),
	[ 'pdo.php', [qw(php pdo.php)], [ 'php', '-r', "exit(extension_loaded('pdo_pgsql') ? 0 : 1);" ] ],
	[ 'pg.rb', [qw(ruby pg.rb)], [qw(ruby -rpg -e 0)] ],
	[ 'dbi.pl', [ $^X, 'dbi.pl' ], [ $^X, '-e', '0' ] ],
);
# Go and Rust from Debian's packages
$ENV{GO111MODULE} = 'off';
$ENV{GOPATH} = '/usr/share/gocode';
$ENV{GOCACHE} = "$made/go";
$ENV{CARGO_HOME} = "$made/cargo";
$ENV{CARGO_TARGET_DIR} //= $made;
my $jar = '/usr/share/java/postgresql.jar';
my @compiled = (
	[ 'Jdbc.java', [ 'java', '-cp', "$jar:$made", 'Jdbc' ], [ 'test', '-e', $jar ], [ 'javac', '-cp', $jar, '-d', $made, 'Jdbc.java' ] ],
	[ 'pgx.go', ["$made/pgx"], [qw(go list github.com/jackc/pgx/v4/pgxpool)], [ qw(go build -o), "$made/pgx", 'main.go', 'again.go', 'pgx.go' ] ],
	[ 'pq.go', ["$made/pq"], [qw(go list github.com/lib/pq)], [ qw(go build -o), "$made/pq", 'main.go', 'again.go', 'pq.go' ] ],
	[ 'tokio_postgres.rs', ["$ENV{CARGO_TARGET_DIR}/debug/tokio_postgres"], [ 'sh', '-c', 'ls -d /usr/share/cargo/registry/tokio-postgres-*' ],
		# a Cargo.lock may be another cargo's
		[ 'sh', '-c', q{rm -f Cargo.lock; cargo build --offline --config 'source.crates-io.replace-with="debian"' \
			--config 'source.debian.directory="/usr/share/cargo/registry"'} ] ],
);
# prisma generate would get a program from elsewhere that it does not need
$ENV{PRISMA_SCHEMA_ENGINE_BINARY} = '/bin/true';

# The page shows the beginning of each file.
{
	my $page = slurp('docs/clients.md');
	my %shown;
	while ($page =~ /^```\w+ ([\w.]+)\n(.*?)^```$/gms)
	{
		$shown{$1} = 1;
		like(slurp("$folder/$1"), qr/^(?:<\?php\n)?\Q$2\E/, "docs/clients.md shows $1");
	}
	is(join(' ', grep { !$shown{$_} } map { $_->[0] } @drivers, @compiled), '', 'docs/clients.md shows each driver');
	my $packages = decode_json(slurp("$folder/package.json"));
	my %version = (%{ $packages->{dependencies} }, %{ $packages->{optionalDependencies} });
	is(join(' ', grep { $page !~ /\| \Q$_ $version{$_}\E \|/ } qw(pg postgres drizzle-orm prisma kysely typeorm sequelize)),
		'', 'and their versions of npm');
}

my $shop = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0 });
my $database = $shop->selectrow_array('SELECT current_database()');
$shop->do($_) for split /^;\n/m, <<'END';
CREATE ROLE clients LOGIN PASSWORD 'clients'
;
SELECT commerce.grant_app('clients')
;
SELECT setval('commerce.orders_id_seq', 9007199254740992)
;
CREATE SEQUENCE public.tries
;
CREATE FUNCTION public.trouble() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
BEGIN
	CASE nextval('public.tries')
	WHEN 1 THEN
		RAISE 'one more time' USING ERRCODE = 'serialization_failure';
	WHEN 2 THEN
		PERFORM pg_terminate_backend(pg_backend_pid());
		PERFORM pg_sleep(1);
	ELSE
	END CASE;
	RETURN NEW;
END $$
;
CREATE TRIGGER trouble BEFORE INSERT ON commerce.orders FOR EACH ROW EXECUTE FUNCTION public.trouble()
;
END

# A proxy before the server. The answer to the first request with the key "...-3" is not let through: the server has
# done it, and the connection is cut.
sub proxy
{
	my ($listener) = @_;
	my $readers = IO::Select->new($listener);
	my (%peer, %is_server, $withheld);
	while (my @ready = $readers->can_read)
	{
		for my $socket (@ready)
		{
			if ($socket == $listener)
			{
				my $client = $listener->accept;
				my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ENV{PGPORT}) or die $!;
				@peer{ $client, $server } = ($server, $client);
				$is_server{$server} = 1;
				$readers->add($client, $server);
				next;
			}
			my $peer = $peer{$socket} or next;
			my $over = !sysread $socket, my $bytes, 65536;
			$withheld = $peer if !$withheld && !$is_server{$socket} && $bytes =~ /\d-3/;
			if ($withheld && $socket == $withheld)
			{
				$over = $bytes =~ /Z\x00{3}\x05[IT]\z/ or next;    # ready for the next query
				append_file("$made/cut", 'yes');
			}
			if ($over)
			{
				$readers->remove($socket, $peer);
				delete @peer{ $socket, $peer };
				$_->close for $socket, $peer;
			}
			else
			{
				syswrite $peer, $bytes;
			}
		}
	}
	return;
}

sub slurp
{
	my ($file) = @_;
	open my $fh, '<', $file or die "$file: $!";
	local $/ = undef;
	return <$fh>;
}

sub append_file
{
	my ($file, $text) = @_;
	open my $fh, '>>', $file or die "$file: $!";
	print $fh $text;
	close $fh or die "$file: $!";
	return;
}

sub try_driver
{
	my ($file, @command) = @_;
	my $user = $shop->selectrow_array('SELECT commerce.create_user(?, ?)', undef, $file, "$file\@example.com");
	$shop->do('SELECT commerce.charge_balance(?, 100000)', undef, $user);
	my $product = $shop->selectrow_array('SELECT commerce.create_product(NULL, ?, 1000, 10)', undef, $file);
	$shop->do('ALTER SEQUENCE public.tries RESTART');
	unlink "$made/cut";

	my $listener = IO::Socket::INET->new(Listen => 10, LocalAddr => '127.0.0.1') or die $!;
	my $proxy = fork // die $!;
	if (!$proxy) { $SIG{PIPE} = 'IGNORE'; proxy($listener); _exit(0) }
	local %ENV = (
		%ENV,
		PGHOST       => '127.0.0.1',
		PGPORT       => $listener->sockport,
		PGUSER       => 'clients',
		PGPASSWORD   => 'clients',
		PGDATABASE   => $database,
		JDBC_URL     => 'jdbc:postgresql://127.0.0.1:' . $listener->sockport . "/$database?user=clients&password=clients",
		DATABASE_URL => 'postgresql://clients:clients@127.0.0.1:' . $listener->sockport . "/$database");
	my ($done, $output) = command(60, @command, $user, $product);
	kill 'KILL', $proxy;
	waitpid $proxy, 0;

	my $orders = $shop->selectcol_arrayref('SELECT id FROM commerce.orders WHERE user_id = ? ORDER BY id', undef, $user);
	is($output, <<"END", $file);
order $$orders[0] of 1000
order $$orders[0] again
SH001: product $product, asked 1000, available 9
connection kept
order $$orders[1] of 2000
END
	is(scalar @$orders, 2, "$file: each order once");
	cmp_ok($shop->selectrow_array('SELECT last_value FROM public.tries'), '>=', 4, "$file: it was refused, and ended");
	ok(-e "$made/cut", "$file: it lost an answer");
	ok($done, "$file: ends well");
	return;
}

# Whether the command ended well; its output. It is in the examples' folder.
sub command
{
	my ($seconds, @command) = @_;
	my $output = '';
	my $done = eval { run(\@command, '<', \undef, '>&', \$output, init => sub { chdir $folder or die $! }, timeout($seconds)) };
	return ($done, $output . $@);
}

my $all = ($ENV{CLIENTS} // '') eq 'all' || $ENV{DRIVERS};
my @absent = $all ? () : map { $_->[0] =~ s/\..*//r } @compiled;
for my $driver (@drivers, $all ? @compiled : ())
{
	my ($file, $command, $probe, $build) = @$driver;
	my $name = $file =~ s/_?\..*//r;
	next if $ENV{DRIVERS} && " $ENV{DRIVERS} " !~ / $name /;
	my ($done, $output) = command(60, @$probe);
	if (!$done)
	{
		push @absent, $name;
		next;
	}
	($done, $output) = command(1200, @$build) if $build;
	ok($done, "$file is built") or diag($output);
	try_driver($file, @$command) if $done;
}
SKIP:
{
	skip('no driver', scalar @absent) if @absent;
}
diag("Not tried: @absent. `make test-clients` gets them and tries them.") if @absent;
my $wrong = $shop->selectall_arrayref('SELECT * FROM commerce.check_invariants()');
is_deeply($wrong, [], 'the books are right') or diag explain $wrong;
$shop->do('DROP OWNED BY clients');
$shop->do('DROP ROLE clients');
done_testing();
