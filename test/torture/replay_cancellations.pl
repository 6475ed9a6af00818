# scripts/replay --cancellations: cancellation invoices cancel parts of the
# orders that they match, once, and the money is what the units cost. The real
# orders are used too when there are any: $COMMERCE_DATA.

use strict;
use warnings;
use DBI;
use File::Temp;
use Test::More;

sub connect_to
{
	my ($database) = @_;
	return DBI->connect("dbi:Pg:dbname=$database", undef, undef, { RaiseError => 1, PrintError => 0 });
}

sub replay
{
	my ($database, @arguments) = @_;
	local $ENV{PGDATABASE} = $database;
	open my $fh, '-|', 'scripts/replay', '--quiet', '--rate=1000', '--cancellations', @arguments or die $!;
	my $report = do { local $/ = undef; <$fh> };
	close $fh;
	note $report;
	return ($? >> 8, $report);
}

my $file = File::Temp->new(SUFFIX => '.csv');
print $file <<'END';
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
C100,A,CUP,-1,12/1/10 8:00,1.00,7,UK
101,A,CUP,10,12/1/10 8:01,1.00,7,UK
101,B,POT,3,12/1/10 8:01,2.50,7,UK
102,A,CUP,4,12/1/10 8:02,1.00,7,UK
102,A,CUP,2,12/1/10 8:02,1.00,7,UK
103,A,CUP,5,12/1/10 8:03,1.00,8,UK
C104,A,CUP,-8,12/1/10 8:04,1.00,7,UK
C104,B,POT,-1,12/1/10 8:04,2.49,7,UK
105,A,CUP,1,12/1/10 8:05,1.00,7,UK
C106,B,POT,-3,12/1/10 8:06,2.50,7,UK
C107,A,CUP,-100,12/1/10 8:07,1.00,8,UK
C108,A,CUP,-1,12/1/10 8:08,1.00,,UK
C109,A,CUP,one,12/1/10 8:09,1.00,7,UK
END
close $file;

my $db = connect_to($ENV{PGDATABASE});
my ($status, $report) = replay($ENV{PGDATABASE}, "$file");
is($status, 0, 'nothing failed');
is_deeply(
	$db->selectall_arrayref(q{
		SELECT substr(k.key, 25), o.status, p.description, sum(i.quantity) FILTER (WHERE i.status = 'PREPARING'), sum(i.quantity) FILTER (WHERE i.status = 'CANCELLED')
		FROM commerce_private.idempotency_keys k JOIN commerce.orders o ON o.id = (k.result ->> 'id')::bigint JOIN commerce.order_items i ON i.order_id = o.id
		JOIN commerce.products p ON p.id = i.product_id WHERE k.operation = 'place_order' GROUP BY 1, 2, 3 ORDER BY 1, 3}),
	[ [ '101', 'PARTIALLY_CANCELLED', 'stock code A', 8, 2 ], [ '101', 'PARTIALLY_CANCELLED', 'stock code B', undef, 3 ],
	  [ '102', 'REFUNDED', 'stock code A', undef, 6 ], [ '103', 'REFUNDED', 'stock code A', undef, 5 ], [ '105', 'PAID', 'stock code A', 1, undef ] ],
	'the same customer, code and price, only what came before, the latest first, and no more than was ordered');
is_deeply($db->selectcol_arrayref(q{SELECT DISTINCT note FROM commerce.order_item_events WHERE event = 'CANCELLED' ORDER BY 1}), [ 'replay C104/8', 'replay C106/11', 'replay C107/12' ], 'each says why');
is($db->selectrow_array('SELECT sum(refunded_amount) FROM commerce.orders'), 8 * 1000 + 3 * 2500 + 5 * 1000, 'refunded is what the units cost');
like($report, qr/^Cancelled +16 units in 5 order lines, 20,500 won refunded$/m, 'the report says so');
like($report, qr/^  cancellations of earlier orders 4, such as line 2$/m, 'and what was not found');
like($report, qr/^  quantity not a whole number 1, such as line 14$/m, 'or not understood');
($status, $report) = replay($ENV{PGDATABASE}, "$file");
is($status, 0, 'again, nothing fails');
like($report, qr/^Cancelled +0 units in 0 order lines/m, 'and nothing is cancelled twice');
is($db->selectrow_array('SELECT sum(refunded_amount) FROM commerce.orders'), 20500, 'nor refunded');
is_deeply($db->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right');

# a file with totals has those of cancellations below 0, and another shop's begin with a small c
{
	my $totals = File::Temp->new(SUFFIX => '.csv');
	print $totals <<'END';
InvoiceNo,StockCode,Quantity,InvoiceDate,Sales,CustomerID,Country
101,A,4,12/1/10 8:01,10.00,7,UK
c102,A,-2,12/1/10 8:02,-5.00,7,UK
END
	close $totals;
	$db->do('CREATE DATABASE totals TEMPLATE commerce_template');
	my $shop = connect_to('totals');
	for my $time ('the first', 'the second')
	{
		($status, $report) = replay('totals', '--column=name=StockCode', '--column=total=Sales', "$totals");
		is($status, 0, "$time time nothing fails");
		is($shop->selectrow_array(q{SELECT coalesce(sum(quantity), 0) FROM commerce.order_items WHERE status = 'CANCELLED'}), 2, "$time time two are cancelled in all");
	}
	is_deeply($shop->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right');
	$shop->disconnect;
	$db->do('DROP DATABASE totals');
}

SKIP:
{
	my ($data) = $ENV{COMMERCE_DATA} ? glob "$ENV{COMMERCE_DATA}/online_retail*.csv" : ();
	skip 'COMMERCE_DATA names no directory with the real orders', 4 unless $data;
	$db->do('CREATE DATABASE real_cancellations TEMPLATE commerce_template');
	my $real = connect_to('real_cancellations');
	($status, $report) = replay('real_cancellations', $data);
	is($status, 0, 'the real orders, with their cancellations');
	my ($units, $amount) = $real->selectrow_array(q{SELECT sum(i.quantity), sum(i.quantity * i.unit_final) FROM commerce.order_items i WHERE i.status = 'CANCELLED'});
	cmp_ok($units, '>', 0, 'some are matched');
	is($real->selectrow_array('SELECT sum(refunded_amount) FROM commerce.orders'), $amount, 'refunded is what the units cost');
	is_deeply($real->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right');
	$real->disconnect;
	$db->do('DROP DATABASE real_cancellations');
}
done_testing;
