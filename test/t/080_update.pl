# An update to the next version while orders come in: files, standby, switch to it, ALTER EXTENSION. The next version
# is made here: this one with another number, a column and a function more, and its update script. Where there is a
# released version before this one, a shop of that is updated to this one, too.

use strict;
use warnings;
use DBI;
use EscrowClients qw(check_books connect_to make_shop start_clients stop_clients wait_until);
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Schema qw(schema schema_differences);
use Test::More;

my ($version) = slurp_file('commerce.control') =~ /^default_version *= *'(.*)'/m;
my ($next, $later) = ('9.0.0', '10.0.0');
my $tmp = PostgreSQL::Test::Utils::tempdir();
my $log = "$PostgreSQL::Test::Utils::log_path/build.log";

# Copies the source for another version, changes it, and builds a library that says it is of that version.
sub build
{
	my ($is, $before, @changes) = @_;
	system("cp -a . $tmp/$is && cd $tmp/$is && rm -f commerce.so src/base/version.o commerce--*.sql") == 0 or die;
	for (@changes)
	{
		my ($file, $from, $to) = @$_;
		my $source = slurp_file("$tmp/$is/$file");
		$source =~ s/\Q$from\E/$to/ or die "$file has no $from";
		unlink "$tmp/$is/$file" or die;
		append_to_file("$tmp/$is/$file", $source);
	}
	system("cd $tmp/$is && make -s commerce.so EXTVERSION=$is EXTBEFORE=$before with_llvm=no >>$log 2>&1") == 0 or die "version $is does not build: see $log";
	return;
}
# The next one writes a column that the version before does not have. What is schema.h's to say of it is said in one file
# here, so that the others are not compiled anew.
build($next, $version,
	['src/shop/order.c', "#define LOCK_ORDER", "#define ORDERS_MADE_FOR_TEST (ORDERS_IMPORTED + 1)
#define ORDERS_COLUMNS (catalog_is_before() ? ORDERS_IMPORTED : ORDERS_MADE_FOR_TEST)
#define LOCK_ORDER"],
	['src/shop/order.c', "\treturn row_insert_returning(TABLE_ORDERS", "\trow_put_int32(&row, ORDERS_MADE_FOR_TEST, 8);\n\treturn row_insert_returning(TABLE_ORDERS"]);
build($later, $next);

# The next version's script, and the way there.
my $news = q{
ALTER TABLE commerce.orders ADD COLUMN made_for_test int NOT NULL DEFAULT 7;
CREATE FUNCTION commerce.made_for_test() RETURNS int LANGUAGE sql AS 'SELECT 9';
CREATE TYPE commerce_private.kind_for_test AS ENUM ('A');
CREATE TABLE commerce_private.table_for_test (id bigint GENERATED ALWAYS AS IDENTITY, kind commerce_private.kind_for_test);
CREATE VIEW commerce_private.view_for_test AS SELECT t.id FROM commerce_private.table_for_test t;
INSERT INTO commerce_private.own_parts VALUES ('commerce.orders', 'column', 'made_for_test');
SELECT commerce_private.describe_api();
SELECT commerce_private.close_new_objects();
};
append_to_file("$tmp/$next/commerce--$next.sql", $news);
append_to_file("$tmp/$next/commerce--$version--$next.sql", qq{
SELECT commerce_private.require_library();
SELECT commerce_private.close_gate();
$news});
append_to_file("$tmp/$later/commerce--$next--$later.sql", q{
SELECT commerce_private.require_library();
CREATE FUNCTION commerce.made_later() RETURNS int LANGUAGE sql AS 'SELECT 10';
SELECT commerce_private.close_new_objects();
});

# An installation of its own, beside the one of this run.
my ($bindir, $pkglibdir, $sharedir) = map { `pg_config --$_` =~ s/\n//r } qw(bindir pkglibdir sharedir);
my ($root, $below) = "$bindir $sharedir" =~ m{^(.*)(/.*|)/bin \1/} or die "$bindir $sharedir";
system('cp', '-a', $root, "$tmp/root") == 0 or die;
my ($libdir, $extensions) = map { "$tmp/root" . s/^\Q$root\E//r } $pkglibdir, "$sharedir/extension";

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
my @shop = (stock => [1000000], users => 10);
make_shop($primary, @shop);
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('after', install_path => "$tmp/root$below");
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

# Clients order all the time, from the server and in the database that a file names, and note what was answered.
sub go_to
{
	my ($file, $node, $database) = @_;
	append_to_file("$file.new", "dbi:Pg:dbname=$database;host=" . $node->host . ';port=' . $node->port);
	rename "$file.new", $file or die;
	return;
}
sub order_from
{
	my ($file) = @_;
	return sub {
		my ($db, $number, $note, undef, $stop) = @_;
		undef $db;
		for (my $n = 1; !-e $stop;)
		{
			$db //= eval { DBI->connect(slurp_file($file), undef, undef, { RaiseError => 1, PrintError => 0 }) };
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
	};
}
sub orders_go_on
{
	my ($clients, $while) = @_;
	my $noted = sub { return scalar map { split /\n/, slurp_file($_) } glob "$clients->{dir}/[0-9]*" };
	my $before = $noted->();
	wait_until(sub { $noted->() > $before + 100 }, "orders $while");
	return pass("orders go on $while");
}

# What was updated, is or is not what a fresh installation of that version is.
sub differences
{
	my ($node, $database) = @_;
	return schema_differences(map { schema(connect_to($node, $_)) } $database, 'fresh');
}

# ALTER EXTENSION UPDATE while clients order, their orders afterwards, and what it made.
sub update_while_ordering
{
	my ($node, $database, $clients, $what) = @_;
	orders_go_on($clients, "with the library of $what and the script before");
	$node->safe_psql($database, 'ALTER EXTENSION commerce UPDATE');
	orders_go_on($clients, "after ALTER EXTENSION UPDATE to $what");
	my ($failed, $noted) = stop_clients($clients);
	my @answered = map { $_->{order} // () } @$noted;
	is_deeply([ $failed, map { $_->{error} // () } @$noted ], [0], 'nobody was told of an error but that a server stops');
	is($node->safe_psql($database, 'SELECT count(*) FROM commerce.orders WHERE id = ANY ($$' . "{@{[join ',', @answered]}}" . '$$)'), @answered,
		'every order that was answered is there: ' . @answered);
	check_books($node, "after the update to $what", $database);
	is_deeply([ differences($node, $database) ], [], "what was updated is what a fresh installation of $what is");
	return;
}

# The released version from which an update script leads here
if (my ($released) = map { m{--([\d.]+)--\Q$version\E\.sql$} } glob 'sql/commerce--*.sql')
{
	$primary->safe_psql('postgres', 'CREATE DATABASE released');
	$primary->safe_psql('postgres', 'CREATE DATABASE fresh');
	$primary->safe_psql('released', "CREATE EXTENSION commerce VERSION '$released'");
	$primary->safe_psql('fresh', 'CREATE EXTENSION commerce');
	make_shop($primary, @shop, database => 'released');
	go_to("$tmp/released", $primary, 'released');
	update_while_ordering($primary, 'released', start_clients($primary, 3, order_from("$tmp/released")), $version);
	$primary->safe_psql('postgres', "DROP DATABASE $_ (FORCE)") for qw(released fresh);
}

go_to("$tmp/server", $primary, 'postgres');
my $clients = start_clients($primary, 3, order_from("$tmp/server"));
orders_go_on($clients, 'before the update');

install($next);
$standby->restart;
is($standby->safe_psql('postgres', 'SELECT commerce.available_stock(1) > 0, (SELECT extversion FROM pg_extension WHERE extname = $$commerce$$)'),
	"t|$version", "a standby with the next library reads what is there");
orders_go_on($clients, 'meanwhile');

$primary->stop('fast');
$standby->promote;
go_to("$tmp/server", $standby, 'postgres');
$standby->safe_psql('postgres', 'CREATE ROLE eager; CREATE ROLE clerk');
$standby->safe_psql('postgres', "CREATE DATABASE $_") for qw(fresh old);
$standby->safe_psql('fresh', 'CREATE EXTENSION commerce');
$standby->safe_psql('old', "CREATE EXTENSION commerce VERSION '$version'");

# What default privileges give away of what is new, the script takes back; what a DBA has granted, it leaves.
$standby->safe_psql('postgres', join '', map { "ALTER DEFAULT PRIVILEGES GRANT ALL ON $_ TO eager;" } qw(TABLES SEQUENCES FUNCTIONS TYPES SCHEMAS));
$standby->safe_psql($_, 'GRANT SELECT ON commerce.orders TO clerk; GRANT EXECUTE ON FUNCTION commerce.available_stock(bigint) TO clerk') for qw(postgres fresh);
update_while_ordering($standby, 'postgres', $clients, $next);
is($standby->safe_psql('postgres', q{SELECT string_agg(DISTINCT made_for_test::text, ' '), commerce.made_for_test() FROM commerce.orders}), '7 8|9',
	'what is new is there: orders of the version before have the default');

# What an update script may forget is seen, and nothing else.
my $fresh = schema(connect_to($standby, 'fresh'));
sub forgotten
{
	my ($what, @seen) = @_;
	my $db = connect_to($standby, 'fresh');
	$db->begin_work;
	$db->do($what);
	is_deeply([ map { /^(.*?: (?:is missing|should not be$|[^:]*))/s } schema_differences(schema($db), $fresh) ], \@seen, "seen: $what");
	$db->rollback;
	return;
}
forgotten('ALTER EXTENSION commerce DROP FUNCTION commerce.made_for_test(); DROP FUNCTION commerce.made_for_test()',
	'function commerce.made_for_test(): is missing');
forgotten('ALTER EXTENSION commerce DROP FUNCTION commerce.made_for_test()',
	'function commerce.made_for_test(): depends on', 'function commerce.made_for_test(): privileges at first');
forgotten('GRANT EXECUTE ON FUNCTION commerce.made_for_test() TO PUBLIC', 'function commerce.made_for_test(): privileges');
forgotten('ALTER FUNCTION commerce.made_for_test() SET jit = off', 'function commerce.made_for_test(): definition');
forgotten('ALTER TABLE commerce.orders ALTER made_for_test DROP DEFAULT', 'default value for commerce.orders.made_for_test: is missing');
forgotten('ALTER TABLE commerce.orders ALTER made_for_test DROP NOT NULL', 'table column commerce.orders.made_for_test: definition');
forgotten('ALTER TABLE commerce.orders SET (fillfactor = 50)', 'table commerce.orders: definition');
forgotten('CREATE INDEX made_for_test ON commerce.orders (made_for_test)', 'index commerce.made_for_test: should not be');
forgotten(q{DELETE FROM commerce_private.own_parts WHERE name = 'made_for_test'},
	'row of commerce_private.own_parts: (commerce.orders,column,made_for_test)');
forgotten('COMMENT ON TABLE commerce.orders IS NULL', 'table commerce.orders: comment');
forgotten(q{UPDATE pg_extension SET extcondition[array_position(extconfig, 'commerce.orders'::regclass)] = 'WHERE false' WHERE extname = 'commerce'},
	'table commerce.orders: dumped');

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
# what is granted between two steps of one transaction stays
$standby->safe_psql('old', "BEGIN; ALTER EXTENSION commerce UPDATE TO '$next'; GRANT EXECUTE ON FUNCTION commerce.made_for_test() TO clerk; ALTER EXTENSION commerce UPDATE; COMMIT");
is($standby->safe_psql('old', q{SELECT extversion, commerce.create_user('x', 'x@example.com') FROM pg_extension WHERE extname = 'commerce'}), "$later|1",
	'an update of two steps leads to it');
is($standby->safe_psql('old', q{SELECT string_agg(f.proname || ' ' || array_to_string(array(SELECT a.grantee::regrole::text FROM aclexplode(f.proacl) a WHERE a.grantee <> f.proowner), ' '), ', ' ORDER BY f.proname)
	FROM pg_proc f WHERE f.proname IN ('made_for_test', 'made_later')}), 'made_for_test clerk, made_later ', 'the second takes back what it has made, and no more');
is($standby->safe_psql('postgres', q{SELECT commerce.create_user('x', 'x@example.com') > 0}), 't', 'one version is served meanwhile');

# An encoding that is none of ours
$standby->safe_psql('postgres', q{CREATE DATABASE korean TEMPLATE template0 ENCODING 'EUC_KR' LOCALE 'C'});
$standby->safe_psql('postgres', q{CREATE DATABASE western TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
like(($standby->psql($_, 'CREATE EXTENSION commerce'))[2],
	qr/commerce needs a database with the encoding UTF8; that of this one is/, "a database of another encoding is refused: $_") for qw(korean western);
$standby->stop;
done_testing();
