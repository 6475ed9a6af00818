# scripts/replay with files as they come: how they are written, what is wrong with them and how that is told, what is
# left behind, the exit status, and the exports that docs/replay.md has options for.

use strict;
use warnings;
use utf8;
use DBI;
use Encode qw(encode);
use File::Temp qw(tempdir);
use Test::More;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $dir = tempdir(CLEANUP => 1);
my $header = "InvoiceNo,StockCode,Description,Quantity,UnitPrice,CustomerID,Country\n";
my $db = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, pg_enable_utf8 => 1 });

sub one { my ($sql) = @_; return join '|', map { $_ // '' } $db->selectrow_array($sql) }

sub spew
{
	my ($bytes) = @_;
	open my $fh, '>:raw', "$dir/file.csv" or die $!;
	print {$fh} $bytes;
	close $fh or die $!;
	return;
}

# runs a command in a shell: its exit status, and all that it prints
sub run
{
	my ($command) = @_;
	open my $fh, '-|:encoding(UTF-8)', "timeout 60 $command 2>&1" or die $!;
	my $report = do { local $/ = undef; <$fh> } // '';
	close $fh;
	note $report;
	return ($? >> 8, $report);
}

sub replay
{
	my ($bytes, $options) = @_;
	spew($bytes);
	return run("scripts/replay --quiet --connections=2 --rate=1000 @{[ $options // '' ]} $dir/file.csv");
}

# A file that is refused as a whole: status 2, one line, and nothing is placed.
sub refused
{
	my ($bytes, $pattern, $what, $options) = @_;
	my $before = one('SELECT count(*) FROM commerce.orders');
	my ($status, $report) = replay($bytes, $options);
	is($status, 2, "$what: status 2");
	like($report, qr/\Areplay: [^\n]*$pattern[^\n]*\n\z/, "$what: one line says it");
	is(one('SELECT count(*) FROM commerce.orders'), $before, "$what: nothing is placed");
	return;
}

my ($status, $report) = run('scripts/replay --help');
is($status, 0, '--help');
like($report, qr/load test.*shop of its own.*scripts\/import/s, 'it says that it is a load test, and what moves history in');

# --- what is left behind
my $two = $header . "A1,K,CUP,6,1.234,7,UK\nA2,K,CUP,60,1.234,8,UK\nA2,L,POT,1,0.05,8,UK\n";
($status, $report) = replay($two, '--stock=6');
is($status, 0, 'a refusal is no failure');
like($report, qr/STOCK_NOT_ENOUGH +1, such as invoice A2 in line 3: /, 'it is named with its line');
like($report, qr/\AFile /, 'nothing else is printed');
is(one('SELECT count(*), sum(balance), sum(b.amount) FROM commerce.users u JOIN commerce.balance_entries b ON b.user_id = u.id'), '2|0|0',
	'neither who is refused keeps money, nor who is not');
($status, $report) = replay($two);
is($status, 0, 'with enough stock');
is(one('SELECT sum(balance) FROM commerce.users'), '0', 'what was given is what it cost');
($status, $report) = replay($two);
is($status, 0, 'placed before is placed');
like($report, qr/^Orders placed +0 in .*^Placed by an earlier replay +2$/ms, 'and said to be');
($status, $report) = replay($header . "A1,K,CUP,7,1.234,7,UK\n");
is($status, 0, 'another file with the same invoice number');
like($report, qr/^Orders placed +1 in/m, 'has another order');
unlike($report, qr/earlier/, 'that no earlier replay has placed');

# --- invoices that begin with C
($status, $report) = replay($header . "CA-1,K,CUP,2,1,c1,UK\nCA-2,K,CUP,-2,1,c1,UK\nCA-3,K,CUP,x,1,c1,UK\n");
like($report, qr/^Orders placed +1 in .*^  cancellation invoices +1, such as line 3\n  quantity not a whole number +1, such as line 4$/ms,
	'a cancellation takes something back');

# --- numbers
($status, $report) = replay($header . join '', map { "N$_->[0],N$_->[0],x,$_->[1],\"$_->[2]\",n,UK\n" }
	[ 1, '6.0', '1.50' ], [ 2, '1e2', '1E0' ], [ 3, '2', '1,234.50' ], [ 4, '1', '2.5500000000000003' ], [ 5, '1', '.5' ], [ 6, '1', '1e300' ], [ 7, '1.5', '1' ],
	[ 8, '1', '1,25' ], [ 9, '1', '12.3.4' ], [ 10, '99999999999999', '1' ], [ 11, '1', '1e-300' ], [ 12, '1', '999999999' ], [ 13, '1000000', '1000000' ], [ 14, '1', '' ]);
is($status, 0, 'numbers in many forms');
is($db->selectrow_array(q{SELECT string_agg(substr(p.description, 13) || ':' || i.quantity || '*' || i.unit_price, ' ' ORDER BY substr(p.description, 13)::int)
	FROM commerce.order_items i JOIN commerce.products p ON p.id = i.product_id WHERE p.description LIKE 'stock code N%'}),
	'1:6*1500 2:100*1000 3:2*1234500 4:1*2550 5:1*500 11:1*0 12:1*999999999000', 'mean what they say');
like($report, qr/^  amount above 1000000000000 +2, such as line 7\n  price not a number +3, such as line 9\n  quantity above 1000000000000 +1, such as line 11\n  quantity not a whole number +1, such as line 8\n/m,
	'and the others are told');
($status, $report) = replay("InvoiceNo;StockCode;Quantity;UnitPrice;CustomerID\nD1;D1;1.000;1.234,50;d\n", '--decimal-comma');
is(one(q{SELECT i.quantity, i.unit_price FROM commerce.order_items i JOIN commerce.products p ON p.id = i.product_id WHERE p.description = 'stock code D1'}), '1000|1234500', '--decimal-comma');

# --- how the file is written
my $latin = encode('cp1252', $header . "L1,L1,CAF\x{E9} \x{2013} CUP,1,1,\x{FC},UK\n");
refused($latin, q{line 2: 'CAF.*' is not UTF-8: --encoding=}, 'Latin-1');
($status, $report) = replay($latin, '--encoding=windows-1252');
is(one(q{SELECT name FROM commerce.products WHERE description = 'stock code L1'}), "CAF\x{E9} \x{2013} CUP", 'with --encoding it is read');
my $wide = $header . "W1,W1,찻잔,1,1,손님,UK\nW1,W2,\"a\nb\",1,1,손님,UK\nW2,W1,찻잔,1,-1,손님,UK\n";
for my $case ([ 'UTF-16LE', "\xFF\xFE" ], [ 'UTF-16BE', "\xFE\xFF" ], [ 'UTF-8', "\xEF\xBB\xBF" ])
{
	my ($encoding, $mark) = @$case;
	($status, $report) = replay($mark . encode($encoding, $wide =~ s/W(?=\d,)/W$encoding/gr =~ s/\n/\r\n/gr));
	is($status, 0, "$encoding with its mark");
	is(one(qq{SELECT string_agg(name, '|' ORDER BY id) FROM commerce.products WHERE description LIKE 'stock code W$encoding%'}) =~ s/\r//r, "찻잔|a\nb", "$encoding: is read");
	like($report, qr/price below 0 +1, such as line 5$/m, "$encoding: lines are counted as an editor does");
}
is(one(q{SELECT count(*) FROM commerce.users WHERE external_id = 'replay 손님'}), 1, 'a customer of any language');
refused(encode('UTF-16LE', $wide), 'NUL bytes.*--encoding=UTF-16LE', 'UTF-16 without its mark');
($status, $report) = replay(encode('UTF-16LE', $wide), '--encoding=UTF-16LE');
is($status, 0, 'with --encoding=UTF-16LE');
for my $separator (';', "\t", '|')
{
	($status, $report) = replay($header =~ tr/,/:/r =~ s/:/$separator/gr . join($separator, 'S' . ord $separator, 'S', 'CUP, blue', 2, '1.5', 's', 'UK') . "\n\n");
	like($report, qr/^Units +2 in 1 order lines$/m, "fields are separated by '$separator'");
}
($status, $report) = replay($header . "U1,U,x,1,1,u\nU2,U,CUP, blue,1,1,u,UK\nU3,U,a\0b,1,1,u,UK\nU4,U,x,1,1,u,UK,,\n");
like($report, qr/^  a NUL byte +1, such as line 4\n  not as many fields as the header +2, such as line 2\n/m, 'lines that are not like the header, and NUL');
like($report, qr/^Orders placed +1 in/m, 'the others are placed');

# --- what is wrong as a whole
refused($header . "Q1,Q,x,1,1,q,UK\nQ2,Q,\"open,1,1,q,UK\nQ3,Q,x,1,1,q,UK\n", 'line 3: a quote is not closed', 'a quote that stays open');
refused($header . "Q1,Q,x,1,1,q,UK\nQ2,Q,\"open,1,1,q,UK\nQ3,Q,\"x\",1,1,q,UK\n", 'line 3, field 3, is not CSV: ', 'a quote that closes somewhere else');
refused($header =~ s/Country/quantity/r . "Q1,Q,x,1,1,q,2\n", 'has the column Quantity 2 times', 'a column that is there twice');
refused($header =~ s/\n/\r/r . "Q1,Q,x,1,1,q,UK\r", 'end with CR alone', 'lines of an old Mac');
refused("Order,SKU,Qty\n1,2,3\n", 'no column StockCode for the code.*--column=code=HEADER.*Order, SKU, Qty', 'a header of another shop', '--set=invoice=1 --set=customer=1 --set=country=1');
refused($header, 'one of .*customer.*invoice', 'a name that is none', '--column=sku=StockCode');
refused('', 'has no header', 'an empty file');
refused($header, '--rate must be a number above 0', 'a rate that is none', '--rate=x');

# --- ids
($status, $report) = replay($header . ('I' x 181) . ",K,CUP,1,1,i,UK\nI2," . ('I' x 30000) . ",CUP,1,1,i,UK\nI3,K,CUP,1,1," . ('I' x 181) . ",UK\n"
	. 'I' x 180 . ',' . 'I' x 180 . ',' . 'long name ' x 30 . ',1,1,' . 'I' x 180 . ",UK\n");
is($status, 0, 'ids that are too long');
like($report, qr/^Orders placed +1 in .*^  code longer than 180 characters 1, such as line 3\n  customer longer than 180 characters 1, such as line 4\n  invoice longer than 180 characters 1, such as line 2\n/ms,
	'stop no other line');
($status, $report) = replay($header . "E1,K,CUP,1,1,a+b\@example.com,UK\nE2,K,CUP,1,1,a-b\@example.com,UK\n");
is(one(q{SELECT count(DISTINCT o.user_id) FROM commerce.orders o JOIN commerce.users u ON u.id = o.user_id WHERE u.external_id LIKE 'replay a_b@example.com'}), 2, 'two addresses are two users');

# --- nothing, and the wrong place
($status, $report) = replay($header . "X1,K,CUP,none,1,x,UK\n");
is($status, 1, 'nothing to place: status 1');
like($report, qr/^Nothing could be placed\.$/m, 'and said');
($status, $report) = replay($header . "X1,X,CUP,1,1,x,UK\n", '--stock=0');
is($status, 1, 'all refused: status 1');
($status, $report) = run('scripts/replay --rates=1');
is($status, 2, 'an option that there is not: status 2');
($status, $report) = run("scripts/replay $dir/nowhere.csv");
is($status, 2, 'a file that there is not: status 2');
is($report, "replay: $dir/nowhere.csv: No such file or directory\n", 'and said');
refused($two, 'there is no connection to the shop: .*nowhere', 'no server', "--connect='host=$dir/nowhere'");
refused($two, 'the database template1 has no extension commerce', 'no extension', '--connect=dbname=template1');
$db->do('CREATE ROLE replay_stranger LOGIN');
refused($two, 'permission denied for ', 'no rights', "--connect=user=replay_stranger");
$db->do('DROP ROLE replay_stranger');

# --- a shop with other orders
$db->do(q{SELECT commerce.place_order(commerce.create_user('Kim'), format('[{"product_id": %s, "quantity": 1}]', commerce.create_product(NULL, 'Gift', 0, 1))::jsonb)});
refused($two, 'orders of its own', 'a shop in use');
($status, $report) = replay($two, '--shop-in-use');
is($status, 0, '--shop-in-use');
is_deeply($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right');

# --- the exports of docs/replay.md
my %exports = (
	shopify => [ 'shopify.csv', '2|2|4|67000' ], woocommerce => [ 'woocommerce.csv', '2|2|6|66250' ], amazon => [ 'amazon.txt', '2|2|3|101800' ],
	olist => [ 'olist.csv', '2|2|3|538700' ], superstore => [ 'superstore.csv', '2|2|7|1016268' ], online => [ 'online_retail_ii.csv', '2|1|36|195000' ]);
open my $fh, '<:encoding(UTF-8)', 'docs/replay.md' or die $!;
my %options = map { /^\| (\w+).*\| `(--column.*)` \|$/ ? (lc $1 => $2) : () } <$fh>;
is_deeply([ sort keys %options ], [ sort keys %exports ], 'docs/replay.md has options for each');
for my $shop (sort keys %exports)
{
	my ($file, $expected) = @{ $exports{$shop} };
	$db->do("CREATE DATABASE replay_$shop TEMPLATE commerce_template");
	($status, $report) = run(encode('UTF-8', "scripts/replay --quiet --connections=2 --rate=1000 --connect=dbname=replay_$shop $options{$shop} test/data/exports/$file"));
	is($status, 0, "$shop: replayed");
	my $there = DBI->connect("dbi:Pg:dbname=replay_$shop", undef, undef, { RaiseError => 1, PrintError => 0 });
	is(join('|', $there->selectrow_array(q{SELECT count(*), count(DISTINCT user_id), (SELECT sum(quantity) FROM commerce.order_items), sum(payment_amount) FROM commerce.orders})),
		$expected, "$shop: orders, users, units, money");
	$there->disconnect;
	$db->do("DROP DATABASE replay_$shop");
}
done_testing;
