# An update to the next version while orders come in: files, standby, switch to it, ALTER EXTENSION. The next version
# is made here: this one with another number, a column and a function more, and its update script.

use strict;
use warnings;
use DBI;
use EscrowClients qw(check_books connect_to make_shop start_clients wait_until);
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($version) = slurp_file('commerce.control') =~ /^default_version *= *'(.*)'/m;
my ($next, $later) = ('9.0.0', '10.0.0');
my $tmp = PostgreSQL::Test::Utils::tempdir();
my $log = "$PostgreSQL::Test::Utils::log_path/build.log";

# Builds a library that says it is of another version.
sub build
{
	my ($is, $before) = @_;
	system(qq{cp -a . $tmp/$is && cd $tmp/$is && rm -f commerce.so src/base/version.o commerce--*.sql &&
		make -s commerce.so EXTVERSION=$is EXTBEFORE=$before with_llvm=no >>$log 2>&1}) == 0 or die "version $is does not build: see $log";
	return;
}
build($next, $version);
build($later, $next);

# The next version's script, and the way there.
my $news = q{
ALTER TABLE commerce.orders ADD COLUMN made_for_test int NOT NULL DEFAULT 7;
CREATE FUNCTION commerce.made_for_test() RETURNS int LANGUAGE sql AS 'SELECT 9';
REVOKE ALL ON FUNCTION commerce.made_for_test() FROM PUBLIC;
};
append_to_file("$tmp/$next/commerce--$next.sql", $news);
append_to_file("$tmp/$next/commerce--$version--$next.sql", qq{
SELECT commerce_private.require_library();
SELECT commerce_private.close_gate();
$news});
append_to_file("$tmp/$later/commerce--$next--$later.sql", "SELECT commerce_private.require_library();\n");

# An installation of its own, beside the one of this run.
my $bindir = `pg_config --bindir` =~ s/\n//r;
my ($root, $below) = $bindir =~ m{^(.*)(/usr/lib/postgresql/.*)/bin$} or die $bindir;
system('cp', '-a', $root, "$tmp/root") == 0 or die;
my $libdir = "$tmp/root" . (`pg_config --pkglibdir` =~ s/^\Q$root\E|\n//gr);
my $extensions = "$tmp/root" . (`pg_config --sharedir` =~ s/^\Q$root\E|\n//gr) . '/extension';

sub install
{
	my ($is) = @_;
	system("cp -f --remove-destination $tmp/$is/commerce.so $libdir/") == 0 or die;
	system("cp $tmp/$is/commerce--*.sql $extensions/") == 0 or die if $is ne $version;
	my $control = slurp_file("$extensions/commerce.control") =~ s/^default_version.*/default_version = '$is'/mr;
	unlink "$extensions/commerce.control";
	append_to_file("$extensions/commerce.control", $control);
	return;
}

my $primary = PostgreSQL::Test::Cluster->new('before');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'commerce'\nmax_connections = 30\n");
$primary->start;
make_shop($primary, stock => [1000000], users => 10);
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('after', install_path => "$tmp/root$below");
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

# Clients order all the time, from the server that the file names, and note what was answered.
my $server = "$tmp/server";
sub go_to
{
	my ($node) = @_;
	append_to_file("$server.new", 'dbi:Pg:dbname=postgres;host=' . $node->host . ';port=' . $node->port);
	rename "$server.new", $server or die;
	return;
}
sub order_on
{
	my ($db, $number, $note, undef, $stop) = @_;
	undef $db;
	for (my $n = 1; !-e $stop;)
	{
		$db //= eval { DBI->connect(slurp_file($server), undef, undef, { RaiseError => 1, PrintError => 0 }) };
		my $id = $db && eval { $db->selectrow_array($db->prepare_cached(
			q{SELECT id FROM commerce.place_order($1, '[{"product_id": 1, "quantity": 1}]', idempotency_key => $2)}), undef, $number, "$number-$n") };
		if ($id)
		{
			$note->({ order => $id });
			$n++;
			next;
		}
		# what is to be repeated; a server that stops, starts, or is a standby yet
		next if $db && ($db->state // '') eq '40001';
		$note->({ error => $DBI::errstr }) if $db && $db->err && $db->state !~ /^(57P0[123]|08\w\w\w|25006|22000|S8006)$/;
		undef $db;
		select undef, undef, undef, 0.05;
	}
	return;
}
go_to($primary);
my $clients = start_clients($primary, 3, \&order_on);
sub noted { return map { split /\n/, slurp_file($_) } glob "$clients->{dir}/[0-9]*" }
sub orders_go_on
{
	my ($while) = @_;
	my $before = () = noted();
	wait_until(sub { my $now = () = noted(); $now > $before + 100 }, "orders $while");
	return pass("orders go on $while");
}
orders_go_on('before the update');

install($next);
$standby->restart;
is($standby->safe_psql('postgres', 'SELECT commerce.available_stock(1) > 0, (SELECT extversion FROM pg_extension WHERE extname = $$commerce$$)'),
	"t|$version", "a standby with the next library reads what is there");
orders_go_on('meanwhile');

$primary->stop('fast');
$standby->promote;
go_to($standby);
orders_go_on('with the next library and the script before');
$standby->safe_psql('postgres', 'CREATE DATABASE fresh');
$standby->safe_psql('postgres', 'CREATE DATABASE old');
$standby->safe_psql('fresh', 'CREATE EXTENSION commerce');
$standby->safe_psql('old', "CREATE EXTENSION commerce VERSION '$version'");

$standby->safe_psql('postgres', 'ALTER EXTENSION commerce UPDATE');
orders_go_on('after ALTER EXTENSION UPDATE');
is($standby->safe_psql('postgres', 'SELECT count(DISTINCT made_for_test), commerce.made_for_test() FROM commerce.orders'), '1|9', 'what is new is there');

append_to_file("$clients->{dir}/stop", '');
waitpid $_, 0 for @{ $clients->{pids} };
my @answered = map { /"order":"?(\d+)/ ? $1 : () } noted();
is_deeply([ grep { /error/ } noted() ], [], 'nobody was told of an error but that a server stops');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM commerce.orders WHERE id = ANY ($$' . "{@{[join ',', @answered]}}" . '$$)'), @answered,
	'every order that was answered is there: ' . @answered);
check_books($standby, 'after the update');

sub catalog
{
	my ($database) = @_;
	return scalar run_command([ "$tmp/root$below/bin/psql", '-XAtq', '-d', $standby->connstr($database), '-f', 'test/sql/catalog.sql' ]);
}
is(catalog('postgres'), catalog('fresh'), 'what was updated is what a fresh installation is');

# Who is not meant for each other says so.
sub refused
{
	my ($database, $pattern, $what) = @_;
	my ($code, $out, $err) = $standby->psql($database, q{SELECT commerce.create_user('x', 'x@example.com')});
	like($err, $pattern, $what);
	return;
}
$standby->stop;
system("cp -f --remove-destination commerce.so $libdir/") == 0 or die;
$standby->start;
refused('postgres', qr/version \Q$version\E of the library of commerce cannot serve version \Q$next\E .*restart the server/s,
	'a library that is older than the extension refuses, and says what to do');
wait_until(sub { $standby->safe_psql('postgres', q{SELECT string_agg(DISTINCT state, ' ') FROM commerce.maintenance WHERE database = 'postgres'}) eq 'OTHER_VERSION' },
	'the worker');
pass('the worker keeps out');
like(($standby->psql('fresh', 'DROP EXTENSION commerce; CREATE EXTENSION commerce'))[2],
	qr/cannot serve version \Q$next\E of the extension.*restart the server/s, 'CREATE EXTENSION with that library does, too');
like(($standby->psql('old', 'ALTER EXTENSION commerce UPDATE'))[2],
	qr/cannot serve version \Q$next\E of the extension.*restart the server/s, 'and ALTER EXTENSION UPDATE');

$standby->stop;
install($later);
$standby->start;
refused('old', qr/cannot serve version \Q$version\E .*ALTER EXTENSION commerce UPDATE/s, 'a library two versions ahead, too');
$standby->safe_psql('old', 'ALTER EXTENSION commerce UPDATE');
is($standby->safe_psql('old', q{SELECT extversion, commerce.create_user('x', 'x@example.com') FROM pg_extension WHERE extname = 'commerce'}), "$later|1",
	'an update of two steps leads to it');
is($standby->safe_psql('postgres', q{SELECT commerce.create_user('x', 'x@example.com') > 0}), 't', 'one version is served meanwhile');

# An encoding that is none of ours
$standby->safe_psql('postgres', q{CREATE DATABASE korean TEMPLATE template0 ENCODING 'EUC_KR' LOCALE 'C'});
$standby->safe_psql('postgres', q{CREATE DATABASE western TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
like(($standby->psql($_, 'CREATE EXTENSION commerce'))[2],
	qr/commerce needs a database with the encoding UTF8; that of this one is/, "a database of another encoding is refused: $_") for qw(korean western);
$standby->stop;
done_testing();
