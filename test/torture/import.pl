# scripts/import: another shop's users, products, orders and coupons, by CSV and JSON lines: placed once, however often
# and however it is interrupted; what is wrong is in a file with its error, and placed once it is put right. Real
# orders, as history, when there are any: $COMMERCE_DATA.

use strict;
use warnings;
use utf8;
use DBI;
use File::Temp qw(tempdir);
use Test::More;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $dir = tempdir(CLEANUP => 1);
my $db = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, pg_enable_utf8 => 1 });

sub one { my ($sql) = @_; return join '|', map { $_ // '' } $db->selectrow_array($sql) }

sub spew
{
	my ($name, $text) = @_;
	open my $fh, '>:encoding(UTF-8)', "$dir/$name" or die $!;
	print {$fh} $text;
	close $fh or die $!;
	return;
}

sub slurp
{
	my ($name) = @_;
	open my $fh, '<:encoding(UTF-8)', "$dir/$name" or return '';
	local $/ = undef;
	return scalar <$fh>;
}

# runs scripts/import on a file of the folder; returns its exit status and its report
sub import_file
{
	my ($kind, $name, @options) = @_;
	open my $fh, '-|:encoding(UTF-8)', 'scripts/import', '--quiet', "--journal=$dir/journal", '--timezone=UTC', @options, $kind, $name =~ m{/} ? $name : "$dir/$name" or die $!;
	my $report = do { local $/ = undef; <$fh> };
	close $fh;
	note $report;
	return ($? >> 8, $report);
}

spew('users.jsonl', <<'END');
{"key": "u1", "name": "Kim", "email": "kim@example.com", "balance": 5000, "created_at": "2019-03-01T10:00:00Z"}
{"key": "u2", "name": "이수진", "external_id": "lee"}

{"key": "u3", "name": "Twin", "email": "KIM@example.com"}
{"key": "u4", "name": ""}
not json
{"name": "Nobody"}
{"key": "u2", "name": "이수진", "external_id": "lee"}
END
my ($status, $report) = import_file('users', 'users.jsonl');
is($status, 1, 'users: something was rejected');
like($report, qr/^Documents +7\nPlaced +2\nPlaced before +0\nRepeated in the file +1\nRejected +4\n/m, 'the report counts');
is(slurp('users.jsonl.rejects'), <<'END', 'what was rejected has its line and error');
{"error":"line 6: is no JSON object","text":"not json"}
{"error":"line 7: has no key, of up to 200 characters without tabs","name":"Nobody"}
{"email":"KIM@example.com","error":"line 4: ALREADY_EXISTS: {\"entity\": \"user\", \"attribute\": \"email\"}","key":"u3","name":"Twin"}
{"error":"line 5: INVALID_REQUEST: {\"reason\": \"name must be a text\", \"argument\": \"imported\"}","key":"u4","name":""}
END
is(one('SELECT string_agg(name || balance, \' \' ORDER BY id) FROM commerce.users'), 'Kim5000 이수진0', 'the others are there');

# put right, and run again
spew('again.jsonl', slurp('users.jsonl.rejects') =~ s/KIM\@/twin@/r =~ s/"name":""/"name":"Four"/r =~ s/^.*(not json|Nobody).*\n//mgr);
($status, $report) = import_file('users', 'again.jsonl');
is($status, 0, 'a file of rejects is taken when it was put right');
is(one('SELECT count(*) FROM commerce.users'), 4, 'all are there');
is(slurp('again.jsonl.rejects'), '', 'and no file of rejects is left');

spew('products.csv', <<'END');
key,name,price,stock,sku,tax_exempt,image_urls,metadata.color
p1,"Tea pot, ""blue""",9000,3,POT,false,"[""https://example.com/1.png""]",blue
p2,Book,3000,0,BOOK,yes,,
p3,Nothing,-1,0,,,,
END
($status, $report) = import_file('products', 'products.csv');
is($status, 1, 'products: one was rejected');
like(slurp('products.csv.rejects'), qr/^key,name,price,stock,sku,tax_exempt,image_urls,metadata.color,error\np3,Nothing,-1,0,,,,,"line 4: INVALID_REQUEST: .*price.*"\n\z/, 'in CSV, with its error');
is(one(q{SELECT name, price, tax_exempt, image_urls::text, metadata->>'color', commerce.available_stock(id) FROM commerce.products WHERE sku = 'POT'}),
	'Tea pot, "blue"|9000|0|{https://example.com/1.png}|blue|3', 'a product as the file has it');

spew('orders.csv', <<'END');
key,user,paid_at,shipping_total,items.product,items.quantity,items.unit_price,delivery.address,payment_amount
o1,u1,2020-05-05 12:00,2500,p1,2,8000,Seoul,
o1,u1,2020-05-05 12:00,2500,BOOK,1,3000,,
o2,lee,2020-05-06 12:00,,p2,1,3000,,3000
o3,nobody,2020-05-06 12:00,,p2,1,3000,,
o4,u1,2020-05-06 12:00,,p2,1,3000,,2999
o1,u1,2020-05-05 12:00,,p2,1,3000,,
o5,TWIN@example.com,2999-01-01,,p2,1,3000,,
END
($status, $report) = import_file('orders', 'orders.csv', '--batch=2');
is($status, 1, 'orders: some were rejected');
is(one('SELECT string_agg(payment_amount || coalesce(recipient_address, \'\') || to_char(paid_at AT TIME ZONE \'UTC\', \' MM-DD HH24:MI\'), \', \' ORDER BY payment_amount) FROM commerce.orders'),
	'3000 05-06 12:00, 21500Seoul 05-05 12:00', 'an order of two rows, with what it comes to, and one of one');
is(one(q{SELECT string_agg(p.sku || i.quantity, ' ' ORDER BY i.line) FROM commerce.order_items i JOIN commerce.products p ON p.id = i.product_id JOIN commerce.orders o ON o.id = i.order_id WHERE o.payment_amount = 21500}),
	'POT2 BOOK1', 'its items, found by key and by sku');
my @wrong = slurp('orders.csv.rejects') =~ /"line (\d+): ([^"]{1,30})/g;
is("@wrong[ map { 2 * $_ } 0 .. 3 ]", '5 7 6 8', 'the others are rejected');
like(slurp('orders.csv.rejects'), qr/users has no nobody/, 'an unknown user by name');
like(slurp('orders.csv.rejects'), qr/the key o1 came before in this file/, 'rows of one order that do not stand together');

# coupons, of users and orders that came before
my ($coupon) = $db->selectrow_array(q{SELECT commerce.create_coupon('c', 'FIXED', 500, 10, valid_until => '2999-01-01')});
spew('coupons.jsonl', <<"END");
{"key": "c1", "user": "u1", "coupon_id": $coupon, "issued_at": "2020-01-01", "status": "USED", "used_at": "2020-05-05", "order": "o1", "discount": 500}
{"key": "c2", "user": "u2", "coupon_id": $coupon}
END
($status, $report) = import_file('coupon-issues', 'coupons.jsonl');
is($status, 0, 'coupons: all of it is there');
is(one('SELECT string_agg(status::text, \' \' ORDER BY id) FROM commerce.coupon_issues'), 'USED ACTIVE', 'as they were');

# again: nothing twice; and when the journal lacks what was committed last
sub everything { return one('SELECT (SELECT count(*) FROM commerce.users), (SELECT count(*) FROM commerce.products), (SELECT count(*) FROM commerce.orders), (SELECT count(*) FROM commerce.coupon_issues)') }
my $before = everything();
spew('journal', slurp('journal') =~ s/^orders\to2\t\d+\n//mr . "coupon-issues\tc2\t");
import_file(@$_) for [ users => 'users.jsonl' ], [ products => 'products.csv' ], [ orders => 'orders.csv' ], [ 'coupon-issues' => 'coupons.jsonl' ];
is(everything(), $before, 'a second run, and one that was killed before it noted what it had placed, place nothing twice');
like(slurp('journal'), qr/^orders\to2\t\d+\n/m, 'and it is noted then');

is_deeply($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right');

# what is no reason of the shop ends it
my $tried = do { local $ENV{PGDATABASE} = 'torture_no_such_database'; system('scripts/import --quiet users test/data/orders.csv 2> /dev/null') >> 8 };
is($tried, 2, 'without a shop the exit status says that it could not go on');
for my $case ([ "key,name\nq1,\"open\nq2,x\n", 'line 2: a quote is not closed' ], [ "key,name\nq1,Caf\xE9\n", "line 2: '.*' is not UTF-8: --encoding=" ],
	[ "key,name,Name\nq1,x,y\n", 'has the column Name 2 times' ], [ "KEY;name\n", 'has no column NAMES', '--column=name=NAMES' ])
{
	my ($bytes, $told, @more) = @$case;
	open my $raw, '>:raw', "$dir/faulty.csv" or die $!;
	print {$raw} $bytes;
	close $raw or die $!;
	is(system("scripts/import --quiet --journal=$dir/none @more users $dir/faulty.csv > $dir/told 2>&1") >> 8, 2, "$told: it does not go on");
	like(slurp('told'), qr/\Aimport: .*$told/, 'and says why');
}

# another encoding, and lines that are not like the header: what was rejected is put right, and taken
open my $raw, '>:raw', "$dir/latin.csv" or die $!;
print {$raw} "key;name;phone\r\nl1;Jos\xE9;1\r\nl2;Andr\xE9\r\nl3;Zo\xEB;1;2\r\n";
close $raw or die $!;
($status, $report) = import_file('users', 'latin.csv', '--encoding=windows-1252');
is($status, 1, 'windows-1252: lines that are not like the header are rejected');
is(slurp('latin.csv.rejects'), "\x{FEFF}key,name,phone,error\nl2,André,,\"line 3: not as many fields as the header\"\nl3,Zoë,1,2,\"line 4: not as many fields as the header\"\n", 'whole');
spew('latin2.csv', slurp('latin.csv.rejects') =~ s/1,2,/2,/r);
($status, $report) = import_file('users', 'latin2.csv', '--encoding=windows-1252');
is($status, 0, 'put right, with the same options');
is(one(q{SELECT string_agg(name, ' ' ORDER BY name) FROM commerce.users WHERE name IN ('José', 'André', 'Zoë')}), 'André José Zoë', 'they are read');

# real orders, in a currency with two decimals
my ($real) = glob(($ENV{COMMERCE_DATA} // '../shared/data') . '/online_retail*.csv');
SKIP: {
	skip 'there are no real orders', 4 unless defined $real;
	$db->do('CREATE DATABASE torture_import_real TEMPLATE commerce_template');
	$db->do(q{ALTER DATABASE torture_import_real SET commerce.currency = 'GBP'});
	local $ENV{PGDATABASE} = 'torture_import_real';
	my @columns = map { "--column=$_" } 'key=InvoiceNo', 'user=CustomerID', 'paid_at=InvoiceDate', 'items.product=StockCode',
	  'items.product_name=Description', 'items.quantity=Quantity', 'items.unit_price=UnitPrice';
	push @columns, '--datestyle=MDY';
	unlink "$dir/journal";
	my @rejects = ("--rejects=$dir/real.rejects", '--money=units');
	spew('guest.jsonl', qq({"key": "guest", "name": "Guest"}\n));
	import_file('users', 'guest.jsonl');
	import_file('users', $real, '--column=key=CustomerID', '--column=name=CustomerID', @rejects);
	import_file('products', $real, '--column=key=StockCode', '--column=name=Description', '--column=price=UnitPrice', '--set=stock=0', '--set=name=none', '--set=price=0', @rejects);
	($status, $report) = import_file('orders', $real, @columns, '--set=user=guest', @rejects);
	my $shop = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, pg_enable_utf8 => 1 });

	# what the file comes to, without any of the script's code: invoices of which every line is one of an order
	$shop->do('CREATE TEMP TABLE raw (n int GENERATED ALWAYS AS IDENTITY, invoice text, code text, name text, quantity text, at text, price text, customer text, country text)');
	$shop->do('COPY raw (invoice, code, name, quantity, at, price, customer, country) FROM STDIN (FORMAT csv, HEADER)');
	open my $fh, '<', $real or die $!;
	while (my $line = <$fh>) { $shop->pg_putcopydata($line) }
	$shop->pg_putcopyend;
	my @expected = $shop->selectrow_array(q{
		SELECT count(*), sum(amount), sum(units) FROM (
			SELECT sum(quantity::bigint * price::numeric * 100)::bigint AS amount, sum(quantity::bigint) AS units
			FROM raw GROUP BY invoice HAVING bool_and(quantity::bigint > 0 AND price::numeric >= 0)) o});
	is_deeply([ $shop->selectrow_array('SELECT count(*), sum(payment_amount), (SELECT sum(quantity) FROM commerce.order_items) FROM commerce.orders') ], \@expected, 'real orders are there, with what they cost in pence');
	my ($invoices) = $shop->selectrow_array('SELECT count(DISTINCT invoice) FROM raw');
	like($report, qr/^Rejected +@{[ $invoices - $expected[0] ]}$/m, 'and the others were rejected, such as cancellations');
	is(join('|', $shop->selectrow_array(q{SELECT sum(net), count(DISTINCT day) FROM commerce.sales_report(NULL, '2010-11-01', '2010-12-31')})),
		join('|', $expected[1], $shop->selectrow_array(q{SELECT count(DISTINCT (at::timestamp AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Seoul')::date) FROM raw WHERE invoice IN (SELECT invoice FROM raw GROUP BY 1 HAVING bool_and(quantity::bigint > 0 AND price::numeric >= 0))})),
		'the report has them on their days');
	is_deeply($shop->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'real orders: the books are right');
	$shop->disconnect;
	$db->do('DROP DATABASE torture_import_real');
}
done_testing;
