# The router: a database whose functions call those of the cells, by PL/Proxy. Every function of the contract is called
# through it, or is one that docs/cells.md says is not there.

use strict;
use warnings;
use Cells;
use DBD::Pg qw(:async);
use EscrowClients qw(connect_to check_books wait_until);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $share = `pg_config --sharedir`);
plan skip_all => 'there is no PL/Proxy for this server' unless -e "$share/extension/plproxy.control";

my $page = slurp_file('docs/cells.md');

my ($zero, $one) = map { Cells::start_node($_) } qw(zero one);
my @cells = ($zero, $one);
my @where = map { join ' ', 'host=' . $_->host, 'port=' . $_->port, 'dbname=postgres' } @cells;

# Two cells, as docs/cells.md has it
$_->safe_psql('postgres', 'CREATE EXTENSION commerce; CREATE ROLE shop_app LOGIN; SELECT commerce.grant_app($$shop_app$$)') for @cells;
$zero->safe_psql('postgres', 'SELECT commerce.publish_catalogue()');
$zero->safe_psql('postgres', 'SELECT commerce.admit_cell(1)');
$one->safe_psql('postgres', "SELECT commerce.set_cell(1); SELECT commerce.join_cells('$where[0]')");

my (undef, undef, $wrong) = $zero->psql('postgres', q{SELECT commerce.router_sql('[{"number": 0, "conninfo": ""}, {"number": 9000, "conninfo": ""}]')});
like($wrong, qr/numbers from 0 to 8999/, 'a number that no cell has is refused');

# The router, and who may use it
my $list = join ', ', map { qq({"number": $_, "conninfo": "$where[$_]"}) } 0, 1;
my $made = $zero->basedir . '/router.sql';
append_to_file($made, $zero->safe_psql('postgres', "SELECT commerce.router_sql('[$list]')"));
$zero->safe_psql('postgres', 'CREATE DATABASE router');
$zero->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $made, $zero->connstr('router') ], 'an empty database becomes the router');
$zero->safe_psql('router', 'SELECT commerce.grant_app($$shop_app$$); CREATE ROLE stranger LOGIN');
$zero->command_fails([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $made, $zero->connstr('postgres') ], 'a database with a shop in it does not');

my $router = DBI->connect('dbi:Pg:' . join(';', 'host=' . $zero->host, 'port=' . $zero->port, 'dbname=router'), 'shop_app', undef,
	{ RaiseError => 1, PrintError => 0 });
my %called;

# The first column of the first row
sub value
{
	my ($sql) = @_;
	$called{$1} = 1 while $sql =~ /\bcommerce\.(\w+)\(/g;
	my $value = eval { $router->selectrow_array($sql) };
	fail("$sql: $@") if $@;
	return $value;
}

sub refused
{
	my ($sql, $sqlstate, $what) = @_;
	$called{$1} = 1 while $sql =~ /\bcommerce\.(\w+)\(/g;
	return fail($what) if eval { $router->do($sql); 1 };
	is($router->state, $sqlstate, $what) or diag $router->errstr;
	return;
}

# In a cell
sub in_cell
{
	my ($cell, $sql) = @_;
	return $cells[$cell]->safe_psql('postgres', $sql);
}

# New users go there until it is said otherwise
sub users_go_to
{
	my ($cell) = @_;
	$zero->safe_psql('router', "UPDATE router.cells SET takes_users = number = $cell");
	return;
}

sub arrives
{
	my ($sql) = @_;
	return wait_until(sub { in_cell(1, $sql) eq 't' }, $sql);
}

# Move units, as commerce-mover does
sub move
{
	my ($kind, $id, $units, $from, $to) = @_;
	my $transfer = in_cell($from, 'SELECT gen_random_uuid()');
	in_cell($from, "SELECT commerce.send_units('$transfer', '$kind', $id, $units, $to)");
	in_cell($to, "SELECT commerce.receive_units('$transfer', '$kind', $id, $units, $from)");
	in_cell($from, "SELECT commerce.confirm_transfer('$transfer')");
	return;
}

# Users, by the register
users_go_to(1);
my $kim = value(q{SELECT commerce.create_user('Kim', 'kim@example.com')});
my $lee = value(q{SELECT commerce.create_user('Lee', idempotency_key => 'lee')});
users_go_to(0);
my $han = value(q{SELECT (commerce.sign_up('auth|han', 'Han', 'han@example.com')).id});
my $potter = value(q{SELECT commerce.create_user('Potter', 'potter@example.com', role => 'SELLER')});
my $admin = value(q{SELECT commerce.create_user('Admin', role => 'ADMIN')});
is_deeply([ map { value("SELECT commerce.cell_of($_)") } $kim, $lee, $han, $potter, $admin ], [ 1, 1, 0, 0, 0 ], 'users are where there is room, staff in cell 0');
is(value(q{SELECT commerce.create_user('Lee', idempotency_key => 'lee')}), $lee, 'a key finds its user, though new ones go elsewhere');
refused(q{SELECT commerce.create_user('Kim', 'KIM@example.com')}, 'SH017', 'an e-mail that is taken in another cell');
refused(q{SELECT commerce.create_user('Kim', 'kim@example.com', role => 'ADMIN')}, 'SH017', 'by staff, too');
is(value(q{SELECT (commerce.sign_up('auth|han', 'Han', 'han@example.com')).id}), $han, 'who signs up again is the same user');
refused(q{SELECT commerce.sign_up('auth|other', 'Other', 'kim@example.com')}, 'SH017', 'and nobody else');
# as if the router had been killed between the two steps
is(value(q{SELECT commerce.reserve_user('oh@example.com', NULL, 1)}), 1, 'a cell is reserved, and the user never made');
my $oh = value(q{SELECT commerce.create_user('Oh', 'oh@example.com')});
is(value("SELECT commerce.cell_of($oh)"), 1, 'the next try comes to that cell');
value(q{SELECT commerce.reserve_user('far@example.com', NULL, 8)});
refused(q{SELECT commerce.create_user('Far', 'far@example.com')}, '55000', 'nobody is made in another cell than the reserved one, which the router does not know');
refused(q{SELECT commerce.sign_up('auth|far', 'Far', 'far@example.com')}, '55000', 'nor signs up there');
is(value("SELECT email FROM commerce.update_user($oh, email => 'oh2\@example.com')"), 'oh2@example.com', 'an e-mail is changed');
refused("SELECT commerce.update_user($han, email => 'oh2\@example.com')", 'SH017', 'which is taken then');
refused("SELECT commerce.update_user($han, external_id => 'auth|oh')", 'SH017', 'as an external id is')
  if value("SELECT external_id FROM commerce.update_user($oh, external_id => 'auth|oh')") eq 'auth|oh';
is(value(q{SELECT (commerce.sign_up('auth|oh', 'Oh', 'han@example.com')).id}), $oh, 'who has signed up is not refused for an e-mail of another cell');
is(value(q{SELECT id FROM commerce.find_user('OH2@example.com')}), $oh, 'a user is found by e-mail');
is(value(q{SELECT id FROM commerce.find_user(external_id => 'auth|han')}), $han, 'by external id');
is(value(q{SELECT id FROM commerce.find_user('potter@example.com')}), $potter, 'staff, of whom there are copies, too');
refused(q{SELECT commerce.find_user('nobody@example.com')}, 'SH404', 'nobody');
refused(q{SELECT commerce.find_user()}, '22023', 'nor without a name');

# The catalogue, in cell 0
my $seller = value("SELECT commerce.create_seller($potter, 'Kiln', '1')");
is(value("SELECT business_name FROM commerce.update_seller($seller, business_name => 'Oven')"), 'Oven', 'a seller is changed');
my $cup = value("SELECT commerce.create_product($seller, 'cup', 1000, 100, actor_id => $potter)");
my $tea = value(q{SELECT commerce.create_product(NULL, 'tea', 500, 50)});
is(value("SELECT price FROM commerce.update_product($cup, price => 1100)"), 1100, 'a price');
is(value("SELECT status FROM commerce.set_product_status($tea, 'ON_SALE')"), 'ON_SALE', 'a status');
is(value("SELECT commerce.adjust_stock($tea, 10)"), 60, 'stock');
my $promotion = value("SELECT commerce.create_promotion($tea, 'PERCENT', 10, now(), now() + interval '1 day')");
is(value("SELECT value FROM commerce.update_promotion($promotion, 20)"), 20, 'a promotion is changed');
is(value("SELECT id FROM commerce.end_promotion($promotion)"), $promotion, 'and ended');
my $coupon = value(q{SELECT commerce.create_coupon('Hello', 'FIXED', 100, 10, valid_days => 30)});
is(value("SELECT quantity FROM commerce.update_coupon($coupon, quantity => 12)"), 12, 'a coupon is changed');
arrives("SELECT count(*) = 2 FROM commerce.products WHERE id IN ($cup, $tea)");
arrives("SELECT quantity = 12 FROM commerce.coupons WHERE id = $coupon");
move('STOCK', $_, 30, 0, 1) for $cup, $tea;
move('QUOTA', $coupon, 4, 0, 1);
is(value("SELECT commerce.available_stock($cup)"), 100, 'the stock of all cells');
refused('SELECT commerce.available_stock(77)', 'SH404', 'of no product');

# Money
is(value("SELECT balance FROM commerce.charge_balance($kim, 100000)"), 100000, 'a charge');
is(value("SELECT balance FROM commerce.adjust_balance($kim, 50, 'late')"), 100050, 'an adjustment');
is(value("SELECT balance FROM commerce.get_balance($kim)"), 100050, 'the balance');
is(value("SELECT count(*) FROM commerce.balance_statement($kim)"), 2, 'its statement');
value("SELECT balance FROM commerce.charge_balance($han, 100000)");
my $charge = value("SELECT id FROM commerce.request_charge($kim, 5000)");
is(value("SELECT status FROM commerce.confirm_charge($charge, true, 'c1')"), 'COMPLETED', 'a charge by a provider');
refused("SELECT commerce.charge_balance($_, 1000)", 'SH404', "nobody: $_") for 8_000_000_000_000_001, 77, -1;
refused('SELECT commerce.charge_balance(NULL, 1000)', '22023', 'nor NULL');

# Coupons
my $issue = value("SELECT id FROM commerce.claim_coupon($kim, $coupon)");
is(value("SELECT commerce.cell_of($issue)"), 1, 'a coupon is claimed where the user is');
refused("SELECT commerce.claim_coupon($kim, $coupon)", 'SH005', 'once');
is(value("SELECT count(*) FROM commerce.usable_coupons($kim)"), 1, 'it can be used');
my $other = value("SELECT id FROM commerce.issue_coupon($coupon, $lee, $admin)");
is(value("SELECT status FROM commerce.revoke_coupon($other, $admin)"), 'REVOKED', 'one is issued and revoked');

# Orders, and what follows
my $items = sub { my ($product, $n) = @_; return qq{'[{"product_id": $product, "quantity": $n}]'} };
my $order = value("SELECT id FROM commerce.place_order($kim, @{[ $items->($cup, 6) ]}, ARRAY[$issue])");
is(value("SELECT commerce.cell_of($order)"), 1, 'an order is where the user is');
my $far = value("SELECT id FROM commerce.place_order($han, @{[ $items->($tea, 3) ]})");
is(value("SELECT commerce.cell_of($far)"), 0, 'another is elsewhere');
refused("SELECT commerce.place_order($kim, @{[ $items->($cup, 0) ]})", '22023', 'what is refused has its code');
my $sheet = value("SELECT id FROM commerce.create_order_sheet($kim, @{[ $items->($cup, 1) ]})");
is(value("SELECT commerce.cell_of_sheet('$sheet')"), 1, 'a sheet says its cell');
is(in_cell(1, "SELECT commerce.cell_of_sheet('$sheet')"), 1, 'as it does there');
my $of_sheet = value("SELECT id FROM commerce.place_sheet_order('$sheet')");
is(value("SELECT recipient_memo FROM commerce.update_delivery($of_sheet, '{\"memo\": \"door\"}', 'BUYER', $kim)"), 'door', 'its delivery is changed');
is(value("SELECT status FROM commerce.cancel_order($of_sheet, 'BUYER', $kim)"), 'REFUNDED', 'it is cancelled');
my $external = value("SELECT id FROM commerce.place_order($lee, @{[ $items->($tea, 1) ]}, payment_method => 'EXTERNAL')");
is(value("SELECT status FROM commerce.confirm_payment($external, false, 'p1')"), 'CANCELLED', 'a payment fails');
is(value("SELECT status FROM commerce.retry_payment($external)"), 'PENDING_PAYMENT', 'is tried again');
is(value("SELECT status FROM commerce.confirm_payment($external, true, 'p2')"), 'PAID', 'and comes');
value("SELECT commerce.confirm_payment($external, true, 'p3')");
my $unexpected = in_cell(1, "SELECT id FROM commerce.payments WHERE order_id = $external AND status = 'UNEXPECTED'");
my $refund = value("SELECT id FROM commerce.return_payment($unexpected)");
is(value("SELECT status FROM commerce.report_refund($refund, true, 'p4')"), 'COMPLETED', 'what came twice goes back');
is(value("SELECT refunded_amount FROM commerce.refund_order($order, 10, $admin, 'a scratch')"), 10, 'an administrator refunds');

my $item = in_cell(1, "SELECT id FROM commerce.order_items WHERE order_id = $order");
is(value("SELECT refunded_amount > 10 FROM commerce.cancel_order_item($item, 1, 'ADMIN')"), 1, 'an item is cancelled');
my $parcel = value("SELECT id FROM commerce.dispatch_items(ARRAY[$item], 'Post', '1', actor_id => $seller)");
is(value("SELECT tracking_number FROM commerce.update_shipment($parcel, tracking_number => '2')"), 2, 'a parcel');
is(value("SELECT commerce.change_shipment_status($parcel, 'DELIVERED', 'ADMIN')"), 1, 'it arrives');
my $part = value("SELECT id FROM commerce.change_item_status($item, 'EXCHANGE_REQUESTED', 'BUYER', $kim, quantity => 1)");
value("SELECT commerce.change_item_status($part, 'EXCHANGE_PROCESSING', 'ADMIN')");
is(value("SELECT quantity FROM commerce.complete_exchange($part, restock => false)"), 1, 'an exchange');
$part = value("SELECT id FROM commerce.change_item_status($item, 'RETURN_REQUESTED', 'BUYER', $kim, quantity => 1)");
value("SELECT commerce.change_item_status($part, 'RETURN_PROCESSING', 'ADMIN')");
is(value("SELECT id FROM commerce.complete_return($part, deduction => 50)"), $order, 'a return');

# Of all cells
like(value("SELECT commerce.$_()"), qr/^\d+$/, "$_ in all cells")
  for qw(expire_pending_orders expire_coupons confirm_delivered_items purge_order_sheets purge_idempotency_keys refresh_popular_products check_conversion);
@called{qw(expire_pending_orders expire_coupons confirm_delivered_items purge_order_sheets purge_idempotency_keys refresh_popular_products check_conversion)} = (1) x 7;
is_deeply($router->selectall_arrayref('SELECT rank, product_id, name, price, units_sold FROM commerce.popular_products(3, 2)'),
	[ [ 1, $cup, 'cup', 1100, 5 ], [ 2, $tea, 'tea', 500, 4 ] ], 'best sellers of all cells');
value('SELECT count(*) FROM commerce.popular_products()');
refused('SELECT commerce.popular_products(0)', '22023', 'of no day');
my $report = 'SELECT sum(units) FROM commerce.sales_report(%s, current_date - 2, current_date + 2) WHERE fact = $$SALE$$';
is(value(sprintf $report, 'NULL'), 4, 'sales of the shop\'s own, in two cells');
is(value(sprintf $report, $seller), 7, 'and of a seller');
is(value('SELECT count(DISTINCT labels -> $$cell$$) FROM commerce.metrics($$server$$)'), 2, 'metrics tell their cell');
is(value('SELECT count(*) FROM commerce.error_codes() WHERE code = $$SERVICE_BUSY$$'), 1, 'error codes');
is(value('SELECT count(*) FROM commerce.check_invariants()'), 0, 'the books of each cell');

# Pages
sub all_pages
{
	my ($page) = @_;
	my @seen;
	while (my @rows = map { $_->[0] } @{ $router->selectall_arrayref("SELECT id FROM $page(\$1, 2)", undef, [ @seen ]) })
	{
		push @seen, @rows;
		last if @seen > 20;
	}
	return [ sort @seen ];
}
my @orders = sort map { split /\n/, in_cell($_, 'SELECT id FROM commerce.orders') } 0, 1;
is_deeply(all_pages('router.order_page'), \@orders, 'a list of orders by pages has each order once');
is(value("SELECT string_agg(id::text, ' ') FROM router.order_page(user_id => $han)"), $far, 'those of a user');
is(value("SELECT count(*) FROM router.order_page(seller_id => $seller)"), 2, 'of a seller');
is(value("SELECT string_agg(id::text, ' ') FROM router.order_page(status => 'REFUNDED')"), $of_sheet, 'of a status');
refused('SELECT router.order_page(max_rows => 1001)', '22023', 'no page is longer than 1000');
is(value("SELECT count(*) FROM router.user_page()"), 6, 'users: each once, also those of whom there are copies');
is(value("SELECT count(*) FROM router.user_page(role => 'BUYER')"), 4, 'of a role');
my $moved = in_cell(1, q{SELECT commerce.import_user('{"name": "Moved", "created_at": "2020-01-01T00:00:00Z"}')});
is_deeply(all_pages('router.user_page'), [ sort $kim, $lee, $han, $potter, $admin, $oh, $moved ], 'by pages, too, with one who is older than his id');
is_deeply($router->selectall_arrayref('SELECT id, stock, status FROM router.product_page(0, 2)'),
	[ map { [ $_, value("SELECT commerce.available_stock($_)"), 'ON_SALE' ] } $cup, $tea ], 'products, with the stock of all cells');
is_deeply($router->selectall_arrayref('SELECT id, remaining, status FROM router.coupon_page()'), [ [ $coupon, 10, 'ACTIVE' ] ], 'coupons');
is(value("SELECT stopped_at IS NOT NULL FROM commerce.stop_coupon($coupon)"), 1, 'a coupon ends');

# The end of a user
is(value("SELECT commerce.export_user($kim) #>> '{user,email}'"), 'kim@example.com', 'a user\'s data');
is(value("SELECT status FROM commerce.set_user_status($oh, 'SUSPENDED', $admin)"), 'SUSPENDED', 'a user is suspended');
is(value("SELECT email IS NULL FROM commerce.erase_user($oh, $admin)"), 1, 'and erased');

# An e-mail that a refused change has reserved
refused("SELECT commerce.update_user($kim, email => 'left\@example.com', name => '')", '22023', 'a change is refused');
my $take = "SELECT email FROM commerce.update_user($han, email => 'left\@example.com')";
my $day_later = q{UPDATE commerce_private.reservations SET at = at - interval '25 hours'};
refused($take, 'SH017', 'its e-mail is reserved for a day');
in_cell(0, $day_later);
refused("SELECT commerce.update_user($han, email => 'KIM\@example.com')", 'SH017', 'one that somebody has is his for good');
refused("SELECT commerce.update_user($han, email => 'far\@example.com')", 'SH017', 'and one of a cell that the router does not know is not had');
is(value($take), 'left@example.com', 'then another cell has it');
refused("SELECT commerce.update_user($kim, email => 'left\@example.com')", 'SH017', 'for good');
value(q{SELECT commerce.reserve_user('staff@example.com', NULL, 1)});
refused(q{SELECT commerce.create_user('Clerk', 'staff@example.com', role => 'ADMIN')}, 'SH017', 'nor is staff made with what is reserved for a buyer');
in_cell(0, $day_later);
is(value(q{SELECT commerce.cell_of(commerce.create_user('Clerk', 'staff@example.com', role => 'ADMIN'))}), 0, 'until a day later');
value(q{SELECT commerce.reserve_user('both@example.com', NULL, 1)});
in_cell(0, $day_later);
is(value(q{SELECT commerce.cell_of(commerce.create_user('Both', 'both@example.com', role => 'ADMIN', external_id => 'auth|both'))}), 0, 'as is one who has an external id, too');
in_cell(0, $day_later);
users_go_to(0);
value(q{SELECT commerce.reserve_user('late@example.com', NULL, 1)});
in_cell(0, $day_later);
is(value(q{SELECT commerce.cell_of(commerce.create_user('Late', 'late@example.com'))}), 1, 'a sign-up comes to the reserved cell whenever it comes');
is(value(q{SELECT commerce.reserve_user('late@example.com', NULL, 0, unused_in => 1)}), 1, 'and has reserved it anew');

# Everything that the contract has was called, or is said not to be here
is($router->selectrow_array('SELECT count(*) FROM commerce.check_cells()'), 0, 'the books of all cells are in order');
$called{$_} = 1 for qw(grant_app revoke_app);
my ($not_here) = $page =~ /<!-- not through the router -->\n(.*?)\n\n/s;
my %contract = map { $_ => 1 } split /\n/, in_cell(0, q{SELECT proname FROM pg_proc WHERE pronamespace = 'commerce'::regnamespace});
my %absent = map { $_ => 1 } $not_here =~ /`(\w+)`/g;
is_deeply([ grep { !$called{$_} && !$absent{$_} } sort keys %contract ], [], 'every function was called through the router, or the page says that it is not there');
is_deeply([ grep { !$contract{$_} } sort keys %absent ], [], 'the page names only functions that there are');
my %here = map { $_->[0] => 1 } @{ $router->selectall_arrayref(q{SELECT proname FROM pg_proc WHERE pronamespace = 'commerce'::regnamespace}) };
is_deeply([ grep { $here{$_} } sort keys %absent ], [], 'and these are not there');

# Who may
eval { DBI->connect('dbi:Pg:' . join(';', 'host=' . $zero->host, 'port=' . $zero->port, 'dbname=router'), 'stranger', undef, { RaiseError => 1, PrintError => 0 })
	->do("SELECT commerce.get_balance($kim)") };
like($@, qr/permission denied/, 'nothing is granted to everybody');
in_cell(1, 'REVOKE ALL ON FUNCTION commerce.get_balance(bigint) FROM shop_app');
refused("SELECT commerce.get_balance($kim)", '42501', 'a cell grants to the caller\'s own role');

# What is wrong is found
sub problems
{
	return $zero->safe_psql('router', q{SELECT coalesce(cell || ': ', '') || problem FROM commerce.check_cells() ORDER BY 1});
}
in_cell(0, 'ALTER DATABASE postgres SET commerce.shipping_fee = 3000');
in_cell(1, q{SELECT commerce.create_user('Twin', 'left@example.com')});
in_cell(0, qq{SELECT commerce.send_units(gen_random_uuid(), 'STOCK', $cup, 1, 1)});
is(problems(), "commerce.shipping_fee differs\nemail is that of several users", 'a setting that differs, an e-mail of two users; units on the way are in order');
in_cell(0, 'ALTER DATABASE postgres RESET commerce.shipping_fee');
in_cell(1, q{UPDATE commerce.users SET email = NULL WHERE name = 'Twin'});
in_cell(0, 'UPDATE commerce.transfers_out SET delivered_at = now() WHERE delivered_at IS NULL');
is(problems(), 'units were sent and did not arrive, or the other way round', 'units that are lost');
in_cell(1, "INSERT INTO commerce.quota_entries (coupon_id, delta, reason) VALUES ($coupon, 1, 'CHANGE')");
like(problems(), qr/^1: .*^the allotments of a coupon do not add up to its quantity$/ms, 'quota that nobody gave');
$zero->safe_psql('router', "UPDATE router.cells SET conninfo = '$where[0]' WHERE number = 1");
like(problems(), qr/^the list of cells is wrong$/m, 'a cell that is another');
$zero->safe_psql('router', "UPDATE router.cells SET conninfo = '$where[1]' WHERE number = 1");

# A cell that is down
$one->stop('immediate');
is(value("SELECT balance FROM commerce.get_balance($han)"), 98500, 'a cell is down: the users of the others go on');
ok(!eval { $router->do("SELECT commerce.get_balance($kim)") }, 'its own are refused');
$one->start;
wait_until(sub { eval { $router->do("SELECT commerce.charge_balance($kim, 1000)") } }, 'the cell to be back');
pass('and come back with it');

# A machine that is gone is not waited for; the list has the last word
like(value('SELECT router.conninfo(1)'), qr/^tcp_user_timeout=\d+ keepalives_idle=\d+ .*\Q$where[1]\E$/, 'TCP is to find out who is gone');

# A cell that hangs, behind HAProxy as deploy/ha has it, which ends connections to what does not answer
my @stopped;
END { kill CONT => @stopped if @stopped }

sub ends
{
	my ($sql) = @_;
	$router->do($sql, { pg_async => PG_ASYNC });
	wait_until(sub { $router->pg_ready }, 'an end of the call');
	return eval { $router->pg_result };
}

SKIP:
{
	local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
	skip 'there is no HAProxy', 4 if system('command -v haproxy >/dev/null') != 0;
	my $front = PostgreSQL::Test::Utils::tempdir_short();
	append_to_file("$front/haproxy.cfg", sprintf <<'END', $front, $one->port, $one->host, $one->port);
defaults
	mode tcp
	timeout connect 3s
	timeout check 1s
	timeout client 1d
	timeout server 1d
listen cell
	bind unix@%s/.s.PGSQL.%d mode 777
	option pgsql-check user postgres
	default-server inter 200ms fall 2 rise 1 on-marked-down shutdown-sessions check
	server one unix@%s/.s.PGSQL.%d
END
	my $haproxy = fork // die $!;
	if ($haproxy == 0)
	{
		exec 'haproxy', '-db', '-q', '-f', "$front/haproxy.cfg";
	}
	my $behind = "host=$front port=" . $one->port . ' dbname=postgres';
	$zero->safe_psql('router', "UPDATE router.cells SET conninfo = '$behind' WHERE number = 1");
	my $charge = "SELECT commerce.charge_balance($kim, 1000)";
	wait_until(sub { eval { $router->do($charge) } }, 'HAProxy');
	chomp(my $postmaster = (split /\n/, slurp_file($one->data_dir . '/postmaster.pid'))[0]);
	my @processes = ($postmaster, split ' ', `ps -o pid= --ppid $postmaster`);
	kill STOP => @processes;
	@stopped = reverse @processes;
	ok(!defined ends($charge), 'a cell that hangs: the call comes to an end');
	ok(!defined ends($charge), 'as does one that begins then');
	is(value("SELECT balance FROM commerce.get_balance($han)"), 98500, 'the users of the other go on');
	kill CONT => @stopped;
	wait_until(sub { eval { $router->do($charge) } }, 'the cell to be back');
	pass('and it comes back');
	kill TERM => $haproxy;
	waitpid $haproxy, 0;
}

done_testing();
