# scripts/replay: every invoice of a file becomes the order that SQL computes
# from the same file. The small file has every kind of dirt in it and is always
# there; the real orders are used when there are any: $COMMERCE_DATA.

use strict;
use warnings;
use utf8;
use DBI;
use Test::More;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $rate = 1783.5;
my $fixture = 'test/data/orders.csv';

sub connect_to
{
	my ($database) = @_;
	return DBI->connect("dbi:Pg:dbname=$database", undef, undef,
		{ RaiseError => 1, PrintError => 0, pg_enable_utf8 => 1 });
}

# runs scripts/replay; returns its exit status and its report
sub replay
{
	my ($database, @arguments) = @_;
	local $ENV{PGDATABASE} = $database;
	open my $fh, '-|:encoding(UTF-8)', 'scripts/replay', '--quiet', "--rate=$rate", @arguments or die $!;
	my $report = do { local $/ = undef; <$fh> };
	close $fh;
	note $report;
	return ($? >> 8, $report);
}

# What the file comes to, computed without any of replay's code. COPY reads
# the file; the rules are those of docs/replay.md.
sub load_file
{
	my ($db, $file) = @_;
	$db->do('SET client_min_messages = warning');
	$db->do('DROP TABLE IF EXISTS raw CASCADE');
	$db->do('CREATE TABLE raw (invoice text, code text, name text, quantity text, at text, price text,
			 customer text, country text)');
	$db->do('COPY raw FROM STDIN (FORMAT csv, HEADER)');
	open my $fh, '<', $file or die "$file: $!";
	while (my $line = <$fh>) { $db->pg_putcopydata($line) }
	$db->pg_putcopyend;
	$db->do(qq{
		CREATE VIEW lines AS
		SELECT invoice, trim(code) AS code, quantity::bigint AS quantity, round(price::numeric * $rate)::bigint AS won,
			   coalesce(nullif(customer, ''), 'guest') AS customer
		FROM raw
		WHERE invoice <> '' AND invoice !~ '^C' AND trim(code) <> ''
		  AND CASE WHEN quantity ~ '^[0-9]+\$' THEN quantity::bigint > 0 ELSE false END
		  AND price ~ '^[0-9]+(\\.[0-9]+)?\$'});
	return;
}

sub one
{
	my ($db, $sql) = @_;
	my @row = $db->selectrow_array($sql);
	return join ' ', map { $_ // 'NULL' } @row;
}

# Compares every order with its invoice, whatever was in the shop before.
sub compare
{
	my ($db, $what) = @_;
	my $placed = q{(SELECT substr(k.key, 25) AS invoice, (k.result->>'id')::bigint AS id
					FROM commerce_private.idempotency_keys k
					WHERE k.operation = 'place_order' AND substr(k.key, 25) IN (SELECT invoice FROM lines))};
	is(one($db, qq{
			SELECT count(*), sum(o.payment_amount), sum(i.units), sum(i.lines)
			FROM $placed p JOIN commerce.orders o USING (id)
			JOIN (SELECT order_id, sum(quantity) AS units, count(*) AS lines FROM commerce.order_items GROUP BY 1) i
			  ON i.order_id = o.id}),
		one($db, q{
			SELECT count(DISTINCT invoice), sum(quantity * won), sum(quantity), count(DISTINCT (invoice, code, won))
			FROM lines}),
		"$what: orders, revenue, units and order lines");
	is(one($db, qq{
			SELECT count(*) FROM (SELECT invoice, customer, sum(quantity * won) AS amount FROM lines GROUP BY 1, 2) l
			FULL JOIN (SELECT p.invoice, o.payment_amount, coalesce(nullif(substr(u.external_id, 8), ''), 'guest') AS customer
					   FROM $placed p JOIN commerce.orders o USING (id) JOIN commerce.users u ON u.id = o.user_id) o
			  ON o.invoice = l.invoice AND o.payment_amount = l.amount
			 AND o.customer = l.customer
			WHERE l.invoice IS NULL OR o.invoice IS NULL}),
		'0', "$what: each order has its invoice's user and amount");
	is(one($db, qq{
			SELECT count(*) FROM (SELECT invoice, code, won, sum(quantity) AS units FROM lines GROUP BY 1, 2, 3) l
			FULL JOIN (SELECT p.invoice, substr(d.description, 12) AS code, i.unit_price, i.quantity
					   FROM $placed p JOIN commerce.order_items i ON i.order_id = p.id
					   JOIN commerce.products d ON d.id = i.product_id) i
			  ON (i.invoice, i.code, i.unit_price, i.quantity) = (l.invoice, l.code, l.won, l.units)
			WHERE l.invoice IS NULL OR i.invoice IS NULL}),
		'0', "$what: each order has its invoice's products, prices and quantities");
	is(one($db, q{
			SELECT count(*) FROM commerce.products p WHERE commerce.available_stock(p.id) <> 0}),
		'0', "$what: every unit given was sold");
	is(one($db, 'SELECT count(*) FROM commerce.check_invariants()'), '0', "$what: the books are right");
	return;
}

sub counted
{
	my ($db, $report, $what) = @_;
	my ($orders, $units, $revenue) = $db->selectrow_array(
		q{SELECT to_char(count(DISTINCT invoice), 'FM999,999,999,999'), to_char(sum(quantity), 'FM999,999,999,999'),
				 to_char(sum(quantity * won), 'FM999,999,999,999,999') FROM lines});
	like($report, qr/^Orders placed +\Q$orders\E in/m, "$what: the report counts the orders");
	like($report, qr/^Units +\Q$units\E in/m, "$what: the report counts the units");
	like($report, qr/^Revenue +\Q$revenue\E won/m, "$what: the report counts the revenue");
	return;
}

my $db = connect_to($ENV{PGDATABASE});
my ($status, $report);

load_file($db, $fixture);
($status, $report) = replay($ENV{PGDATABASE}, '--connections=4', $fixture);
is($status, 0, 'the small file: replayed');
compare($db, 'the small file');
counted($db, $report, 'the small file');
like($report, qr/^  cancellation invoices +1, such as line 9\n  no invoice number +1, such as line 19\n  no stock code +1, such as line 18\n  price below 0 +1, such as line 17\n  price not a number +1, such as line 16\n  quantity below 1 +2, such as line 10\n  quantity not a whole number +1, such as line 14\n/m,
	'the small file: the report says what was left out');
is(one($db, q{SELECT string_agg(DISTINCT name, '|' ORDER BY name) FROM commerce.products WHERE description ~ ' K-[134]$'}),
	'K-3|TEA POT, "BLUE"|한글 이름', 'the small file: names');

($status, $report) = replay($ENV{PGDATABASE}, '--connections=4', $fixture);
is($status, 0, 'the small file again');
like($report, qr/^Orders placed +0 in/m, 'the small file again: nothing is placed twice');
compare($db, 'the small file again');

# fewer units than asked for: who is refused leaves no trace
$db->do('CREATE DATABASE torture_replay_scarce TEMPLATE commerce_template');
($status, $report) = replay('torture_replay_scarce', '--stock=20', $fixture);
is($status, 0, 'scarce: a refusal is no failure');
like($report, qr/^Orders placed +5 in/m, 'scarce: what there was enough of was placed');
like($report, qr/^Orders refused +2\n  STOCK_NOT_ENOUGH +2, such as invoice F10\d\d in line \d+: /m, 'scarce: the report says why');
my $scarce = connect_to('torture_replay_scarce');
is(one($scarce, 'SELECT count(*) FROM commerce.orders'), '5', 'scarce: orders');
is(one($scarce, 'SELECT count(*) FROM commerce.check_invariants()'), '0', 'scarce: the books are right');
$scarce->disconnect;

my ($real) = defined $ENV{COMMERCE_DATA} ? glob("$ENV{COMMERCE_DATA}/online_retail*.csv") : ();
SKIP:
{
	skip 'the file of real orders is not there (COMMERCE_DATA names its folder)', 12 unless $real;
	load_file($db, $real);
	($status, $report) = replay($ENV{PGDATABASE}, $real);
	is($status, 0, 'real orders: replayed');
	compare($db, 'real orders');
	counted($db, $report, 'real orders');
	cmp_ok(one($db, 'SELECT commerce.refresh_popular_products()'), '>', 0, 'real orders: best sellers refreshed');
	is(one($db, q{
			SELECT string_agg(r.product_id || ':' || r.units_sold, ' ' ORDER BY rank)
			FROM (SELECT s.* FROM commerce.popular_products(3, 100) s JOIN commerce.products p ON p.id = s.product_id
				  WHERE p.description NOT LIKE 'stock code K-%' ORDER BY rank LIMIT 20) r}),
		one($db, q{
			SELECT string_agg(id || ':' || units, ' ' ORDER BY units DESC, id)
			FROM (SELECT p.id, sum(l.quantity) AS units FROM (SELECT * FROM lines) l
				  JOIN commerce.products p ON p.description = 'stock code ' || l.code AND p.price = l.won
				  GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20) t}),
		'real orders: best sellers are those of the file');
	is(one($db, 'SELECT sum(units) FROM commerce.product_daily_sales'),
		one($db, 'SELECT sum(quantity) FROM commerce.order_items'), 'real orders: every unit sold is counted once');
}
$db->disconnect;
done_testing();
