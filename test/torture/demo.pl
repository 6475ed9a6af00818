# The demo in won, and in currencies with two and three decimals: it gets to its end, and reads right.

use strict;
use warnings;
use DBI;
use Test::More;

my $db = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0, AutoCommit => 1 });

for my $case ([ KRW => 0 ], [ USD => 2 ], [ KWD => 3 ])
{
	my ($currency, $decimals) = @$case;
	my $name = 'torture_demo_' . lc $currency;
	$db->do("CREATE DATABASE $name TEMPLATE commerce_template");
	$db->do("ALTER DATABASE $name SET commerce.currency = '$currency'");
	local $ENV{PGDATABASE} = $name;
	my $output = qx{psql -X -q -f scripts/demo.sql 2> /dev/null};
	is($?, 0, "$currency: the demo gets to its end");
	my $shop = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0 });
	my ($sum) = $shop->selectrow_array(q{SELECT sum(o.payment_amount) FROM commerce.orders o JOIN commerce.users u ON u.id = o.user_id WHERE u.name LIKE 'Customer %'});
	my $told = $decimals ? substr($sum, 0, -$decimals) . '.' . substr($sum, -$decimals) : $sum;
	like($output, qr/^ *orders \| +$currency *\n[-+]+\n +300 \| \Q$told\E$/m, "$currency: what was ordered is in it");
	like($output, qr/^== The shop\. Amounts are in the smallest unit of $currency$/m, "$currency: amounts are said to be");
	is_deeply($shop->selectall_arrayref(q{SELECT DISTINCT payload #>> '{payment,currency}', payload #>> '{payment,decimals}' FROM commerce.outbox WHERE type = 'PaymentCompleted'}),
		[ [ $currency, $decimals ] ], "$currency: and payments are told in it");
	is_deeply($shop->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], "$currency: the books are right");
	$shop->disconnect;
	$db->do("DROP DATABASE $name");
}
done_testing;
