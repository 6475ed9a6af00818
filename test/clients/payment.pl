# examples/payment: the shop, what stands between it and a provider, and a provider that moves no money. Buyers pay,
# decline, pay late, another amount, twice; answers come three times, forged, old, when nobody is there; refunds fail;
# the program is killed and reads every event again. In the end both sides' books say the same.

use strict;
use warnings;
use DBI;
use Digest::SHA qw(hmac_sha256);
use HTTP::Tiny;
use IO::Socket::INET;
use IPC::Run qw(run start);
use JSON::PP qw(decode_json encode_json);
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(sleep);

my $python = -x '/usr/bin/python3' ? '/usr/bin/python3' : 'python3';    # Debian's has Debian's packages
run([ $python, '-c', 'import psycopg' ], '>&', \my $missing)
  or plan(skip_all => 'examples/payment was not tried, because there is no psycopg for Python');

my $shop = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0 });
$shop->do(q{CREATE ROLE payments LOGIN PASSWORD 'payments'});
$shop->do(q{SELECT commerce.grant_app('payments')});

sub free_port
{
	return IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
}
my ($provider_port, $port) = (free_port(), free_port());
my ($provider_url, $url) = map { "http://127.0.0.1:$_" } $provider_port, $port;

# the settings that examples/payment/README.md has for each program, with ports that are free here
my $lines = do { local (@ARGV, $/) = 'examples/payment/README.md'; <> =~ /^```sh\n(.*?)^```$/ms ? $1 : die 'no lines' };
$lines =~ s/\b8091\b/$provider_port/g;
$lines =~ s/\b8090\b/$port/g;
my ($both) = $lines =~ /^export (.*)$/m or die 'no settings';
my %settings = map {
	my ($of) = $lines =~ m{^(.*) python3 examples/payment/$_\.py\b}m or die "no line of $_";
	($_ => { map { split /=/ } split / /, "$both $of" })
} qw(payments provider);
my $log = '';
my $http = HTTP::Tiny->new(max_redirect => 0, timeout => 30);
my %running;

sub begin
{
	my ($program, $program_url, %more) = @_;
	local %ENV = (%ENV, %{ $settings{$program} }, %more);
	$running{$program} = start([ $python, "examples/payment/$program.py" ], '<', \undef, '>&', \$log);
	until_true("$program answers", sub { $http->get("$program_url/")->{status} == 404 });
	return;
}

sub begin_payments
{
	begin('payments', $url, PGHOST => '127.0.0.1', PGUSER => 'payments', PGPASSWORD => 'payments');
	return;
}

sub end
{
	my ($program, $signal) = @_;
	$running{$program}->signal($signal);
	$running{$program}->finish;
	delete $running{$program};
	return;
}
END { $_->kill_kill for values %running }

# Fails the test, and ends it, when it does not become true.
sub until_true
{
	my ($what, $sub) = @_;
	for (1 .. 600)
	{
		return 1 if $sub->();
		sleep 0.1;
	}
	diag($log);
	BAIL_OUT("never: $what");
}

sub value
{
	my ($query, @values) = @_;
	return scalar $shop->selectrow_array($query, undef, @values);
}

sub until_value
{
	my ($what, $expected, $query, @values) = @_;
	my $got;
	for (1 .. 600)
	{
		$got = value($query, @values) // 'nothing';
		last if $got eq $expected;
		$running{payments}->pump_nb if $running{payments};
		sleep 0.1;
	}
	is($got, $expected, $what) or diag($log);
	return;
}

my $order_is = 'SELECT status FROM commerce.orders WHERE id = ?';
# what became of the money of an order
my $money = q{SELECT string_agg(kind || ' ' || status || ' ' || amount, ', ' ORDER BY id) FROM commerce.payments WHERE order_id = ?};

my $user = value('SELECT commerce.create_user(?, ?)', 'Kim Minji', 'minji@example.com');
my $product = value('SELECT commerce.create_product(NULL, ?, 9000, 100)', 'Teapot');

sub order
{
	my ($wanted, $seconds) = @_;
	return value(q{SELECT id FROM commerce.place_order(?, jsonb_build_array(jsonb_build_object('product_id', ?::bigint, 'quantity', 1)),
		payment_method => 'EXTERNAL', pay_within => make_interval(secs => ?))}, $user, $wanted // $product, $seconds // 600);
}

sub requested
{
	return value(q{SELECT max(id) FROM commerce.payments WHERE order_id = ? AND status = 'REQUESTED' AND kind = 'PAYMENT'}, @_);
}

# The provider's page, to which a buyer is sent
sub page_of
{
	my ($payment) = @_;
	my $answer = $http->get("$url/pay?payment_id=$payment");
	return $answer->{headers}{location} // "status $answer->{status}";
}

sub press
{
	my ($page, $button) = @_;
	return $http->post_form($page, { do => $button })->{status};
}

# The provider's
sub books
{
	return decode_json($http->get("$provider_url/books", { headers => { Authorization => 'Bearer sk_test' } })->{content});
}

begin('provider', $provider_url);
begin_payments();

my $order = order();
my $page = page_of(requested($order));
like($http->get($page)->{content}, qr{<h1>9,000 won</h1>.*<button name="do" value="pay">}s, 'the buyer sees a page');
is(press($page, 'pay'), 303, 'and pays');
until_value('the order is paid', 'PAID', $order_is, $order);
is(page_of(value('SELECT max(id) FROM commerce.payments WHERE order_id = ?', $order)), 'status 410', 'and has no page any more');
$shop->do('SELECT commerce.cancel_order(?, $$SYSTEM$$)', undef, $order);
until_value('a cancelled order is paid back', 'PAYMENT COMPLETED 9000, REFUND COMPLETED 9000', $money, $order);

my $declined = order();
press(page_of(requested($declined)), 'decline');
until_value('declined: the order is given up', 'CANCELLED', $order_is, $declined);
$shop->do('SELECT commerce.retry_payment(?)', undef, $declined);
press(page_of(requested($declined)), 'pay');
until_value('and paid by another try', 'PAID', $order_is, $declined);

my $thrice = order();
press(page_of(requested($thrice)), 'thrice');
until_value('an answer comes three times', 'PAID', $order_is, $thrice);

my $less = order();
press(page_of(requested($less)), 'less');
until_value('another amount is nobody\'s payment, and goes back', 'PAYMENT REQUESTED 9000, PAYMENT UNEXPECTED 8900, REFUND COMPLETED 8900',
	$money, $less);
is(value($order_is, $less), 'PENDING_PAYMENT', 'the order waits for its own');

my $twice = order();
press(page_of(requested($twice)), 'twice');
until_value('what is paid twice goes back once', 'PAYMENT COMPLETED 9000, PAYMENT UNEXPECTED 9000, REFUND COMPLETED 9000', $money, $twice);
is(value($order_is, $twice), 'PAID', 'and the order is paid');

# Late: the page is open, and the order is given up meanwhile.
my $rare = value('SELECT commerce.create_product(NULL, ?, 9000, 2)', 'Rare teapot');
my @late = map { order($rare, 1) } 1, 2;
my @late_pages = map { page_of(requested($_)) } @late;
sleep 1.1;
$shop->do('SELECT commerce.expire_pending_orders()');
is_deeply([ map { value($order_is, $_) } @late ], [ ('CANCELLED') x 2 ], 'not paid in time');
$shop->do('SELECT commerce.adjust_stock(?, -1)', undef, $rare);
press($late_pages[0], 'pay');
until_value('late, and there is one left: paid', 'PAID', $order_is, $late[0]);
press($late_pages[1], 'pay');
until_value('late, and there is none: paid back', 'REFUND COMPLETED 9000',
	q{SELECT string_agg(kind || ' ' || status || ' ' || amount, ', ') FROM commerce.payments WHERE order_id = ? AND kind = 'REFUND'}, $late[1]);
is(value($order_is, $late[1]), 'CANCELLED', 'and still given up');

my $keep = order();
press(page_of(requested($keep)), 'keep');
until_value('paid', 'PAID', $order_is, $keep);
$shop->do('SELECT commerce.cancel_order(?, $$SYSTEM$$)', undef, $keep);
until_value('a refund fails', 'PAYMENT COMPLETED 9000, REFUND FAILED 9000', $money, $keep);
$shop->do('SELECT commerce.refund_order(?, 9000, NULL, note => $$once more$$)', undef, $keep);
until_value('and is asked for anew', 'PAYMENT COMPLETED 9000, REFUND FAILED 9000, REFUND COMPLETED 9000', $money, $keep);

my $charge = value('SELECT id FROM commerce.request_charge(?, 50000)', $user);
press(page_of($charge), 'pay');
until_value('a charge comes in', 50000, 'SELECT balance FROM commerce.get_balance(?)', $user);

# Who does not have the secret
my $forged = order();
my $body = encode_json({ status => 'succeeded', payment => 'pay_forged', amount => 9000, reference => "order-$forged-" . requested($forged) });
sub answer
{
	my ($secret, $age, $sent) = @_;
	my ($id, $time) = ('msg_1', time - $age);
	my $signature = encode_base64(hmac_sha256("$id.$time.$body", $secret), '');
	return $http->post("$url/answers", { content => $sent // $body,
		headers => { 'webhook-id' => $id, 'webhook-timestamp' => $time, 'webhook-signature' => "v1,$signature" } })->{status};
}
is(answer('whsec_guess', 0), 401, 'a forged answer is refused');
is(answer('whsec_test', 3600), 401, 'one from an hour ago too');
is(answer('whsec_test', 0, $body =~ s/9000/1/r), 401, 'and one that was changed on the way');
is($http->post("$url/answers", { content => $body })->{status}, 401, 'and one that nobody signed');
is(value($money, $forged), 'PAYMENT REQUESTED 9000', 'none of them counts');
is(answer('whsec_test', 0), 200, 'the same one, as it should be, is taken');
is(value($order_is, $forged), 'PAID', 'and counts');
my $again = order(undef, 1);
my $first_try = requested($again);
is(page_of("00$first_try"), page_of($first_try), 'one payment has one page, however its number is written');
sleep 1.1;
$shop->do('SELECT commerce.expire_pending_orders()');
$shop->do('SELECT commerce.retry_payment(?)', undef, $again);
$body = encode_json({ status => 'failed', payment => 'pay_first', amount => 9000, reference => "order-$again-$first_try" });
is(answer('whsec_test', 0), 200, 'that the first try failed is told late');
is(value($order_is, $again), 'PENDING_PAYMENT', 'and does not end the second one');
$body = encode_json({ status => 'failed', payment => 'pay_second', amount => 9000, reference => "order-$again-" . requested($again) });
is(answer('whsec_test', 0), 200, 'that this one failed');
is(value($order_is, $again), 'CANCELLED', 'does');
$body = encode_json({ status => 'succeeded', payment => 'pay_forged', amount => 9000, reference => 'order-999999-1' });
is(answer('whsec_test', 0), 422, 'what is about no order of the shop is told so');

# Nobody is there when the provider has something to say; then it is, and reads all events again.
my $away = order();
$page = page_of(requested($away));
end('payments', 'KILL');
press($page, 'pay');
is(value($order_is, $away), 'PENDING_PAYMENT', 'the provider finds nobody');
my @before = map { "$_->{reference} " . join ' ', sort keys %{ $_->{refunds} } } values %{ books() };
$shop->do(q{SELECT commerce.seek_subscription('payments', to_time => '-infinity')});
begin_payments();
until_value('and says it again', 'PAID', $order_is, $away);
until_value('all events are read again', 0, q{SELECT lag_events FROM commerce.subscription_status WHERE name = 'payments'});
is_deeply([ sort map { "$_->{reference} " . join ' ', sort keys %{ $_->{refunds} } } values %{ books() } ], [ sort @before ],
	'and nothing is asked for twice');

# Both sides' books. The forged payment is in the shop's alone: it was signed here.
my $theirs = books();
my $kept = 9000;
for my $payment (values %$theirs)
{
	$kept += $payment->{paid};
	$kept -= $_->{amount} for grep { $_->{status} eq 'succeeded' } values %{ $payment->{refunds} };
}
is(value(q{SELECT sum(CASE kind WHEN 'REFUND' THEN -amount ELSE amount END) FROM commerce.payments
	WHERE method = 'EXTERNAL' AND status IN ('COMPLETED', 'UNEXPECTED')}), $kept, 'the shop has what the provider has taken in for it');
end($_, 'TERM') for keys %running;
is_deeply($shop->selectall_arrayref('SELECT * FROM commerce.check_invariants()'), [], 'the books are right');
unlike($log, qr/Traceback/, 'neither program met what it did not expect') or diag($log);

$shop->do('DROP OWNED BY payments');
$shop->do('DROP ROLE payments');
done_testing();
