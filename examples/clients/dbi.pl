use strict;
use warnings;
use DBD::Pg;
use DBI;
use JSON::PP qw(decode_json encode_json);
use Time::HiRes qw(sleep);

sub connect_shop
{
	return DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0 });    # PGHOST and so on
}

my $db = connect_shop();

sub place_order
{
	my ($user_id, $items, $key) = @_;
	for my $tries (1 .. 5)
	{
		my $order = eval {
			$db->selectrow_hashref('SELECT id, payment_amount FROM commerce.place_order(?, ?, idempotency_key => ?)',
				undef, $user_id, encode_json($items), $key);
		};
		return $order if $order;
		my ($error, $code, $detail) = ($@, $db->state, $db->pg_error_field('message_detail') // '');
		die { code => $code, details => decode_json($detail) } if $detail =~ /^\{/ && $code ne 'SH429';
		my $lost = !$db->ping;
		die $error if $tries == 5 || !$lost && $code !~ /^(40001|40P01|SH429)$/;
		sleep 0.05;
		$db = connect_shop() if $lost;
	}
}

# What it is run with: perl dbi.pl USER PRODUCT. test/clients/drivers.pl compares what it prints.
my ($user, $product) = @ARGV;
my $key = "$user-$$";
my $items = sub { [ { product_id => 0 + $product, quantity => $_[0] } ] };

my $order = place_order($user, $items->(1), "$key-1");
print "order $order->{id} of $order->{payment_amount}\n";
$order = place_order($user, $items->(1), "$key-1");
print "order $order->{id} again\n";
my $before = $db->{pg_pid};
eval { place_order($user, $items->(1000), "$key-2"); 1 } or do
{
	my ($code, $details) = @{$@}{qw(code details)};
	print "$code: product $details->{product_id}, asked $details->{asked}, available $details->{available}\n";
};
print 'connection ', $db->{pg_pid} == $before ? 'kept' : 'closed', "\n";
$order = place_order($user, $items->(2), "$key-3");
print "order $order->{id} of $order->{payment_amount}\n";
