# What make inject calls: a shop, and scenarios, each of which gives a statement that does its work, each time another
# one.

package Scenarios;

use strict;
use warnings;
use Encode ();
use Exporter qw(import);
use Inject qw(prepare_database);
use JSON::PP ();

our @EXPORT_OK = qw(make_shop scenarios);

sub make_shop
{
	my ($node) = @_;
	$node->safe_psql('postgres', q{
		CREATE EXTENSION commerce;
		CREATE ROLE shop;
		CREATE ROLE api_anon; CREATE ROLE api_buyer; CREATE ROLE api_seller; CREATE ROLE api_admin; CREATE ROLE authenticator;
		-- the first ten of each are for calls that may spoil them
		SELECT commerce.create_user('U' || i, i || '@example.com', role => CASE WHEN i IN (2, 3, 12, 13) THEN 'SELLER' ELSE 'BUYER' END::commerce.user_role)
		FROM generate_series(1, 13) i;
		UPDATE commerce.users SET role = 'ADMIN' WHERE id = 11;
		SELECT commerce.create_seller(u, 'S' || u, u::text) FROM unnest('{2,3,12,13}'::bigint[]) u;
		SELECT commerce.create_product(1, 'X' || i, 100, 1000) FROM generate_series(1, 10) i;
		SELECT commerce.create_product(3, 'P1', 3000, 100000000, shipping_fee => 100), commerce.create_product(4, 'P2', 2000, 100000000, discount => 10),
			commerce.create_product(NULL, 'P3', 1000, 100000000), commerce.create_product(3, 'P4', 500, 100000000);
		SELECT commerce.create_promotion(14, 'PERCENT', 20, now() - interval '1 hour', now() + interval '7 days');
		SELECT commerce.create_coupon('X' || i, 'FIXED', 100, 1000, valid_days => 30) FROM generate_series(1, 10) i;
		SELECT commerce.create_coupon('C1', 'FIXED', 100, 1000000, valid_days => 30),
			commerce.create_coupon('C2', 'PERCENT', 10, 1000000, valid_days => 30, product_id => 12),
			commerce.create_coupon('C3', 'FIXED', 50, 1000000, valid_days => 30);
		SELECT commerce.charge_balance(11, 99999900) FROM generate_series(1, 50);
		SELECT commerce.subscribe('one'), commerce.subscribe('two');
		SELECT commerce.grant_app('shop'), commerce.grant_relay('shop', confirms_payments => true);
		SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin')});
	prepare_database($node, 'postgres');
	$node->safe_psql('postgres', q{
		CREATE SEQUENCE inject.n;
		CREATE FUNCTION inject.buyer(OUT id bigint, OUT c1 bigint, OUT c2 bigint) LANGUAGE plpgsql AS $$
		BEGIN
			id := commerce.create_user('u', 'u' || nextval('inject.n') || '@x');
			PERFORM commerce.charge_balance(id, 10000000);
			c1 := (commerce.claim_coupon(id, 11)).id;
			c2 := (commerce.claim_coupon(id, 12)).id;
		END $$;
		CREATE FUNCTION inject.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE
			before text := inject.state();
			result text;
		BEGIN
			BEGIN
				EXECUTE statement INTO result;
				RETURN 'ok';
			EXCEPTION WHEN OTHERS OR query_canceled THEN
				result := SQLSTATE;
			END;
			RETURN CASE WHEN inject.state() = before THEN result ELSE result || ', and goes on with ' || inject.state() END;
		END $$;
		-- a call as PostgREST makes it
		CREATE FUNCTION inject.request(endpoint text, body jsonb) RETURNS text LANGUAGE plpgsql
		SET request.method = 'POST' SET request.jwt.claims = '{"sub": "11"}' AS $$
		DECLARE
			result text;
		BEGIN
			PERFORM set_config('role', 'api_admin', true);
			EXECUTE format('SELECT commerce_api.%I($1)::text', endpoint) INTO result USING body;
			PERFORM set_config('role', 'none', true);
			RETURN result;
		END $$;
		CREATE FUNCTION inject.state() RETURNS text LANGUAGE sql AS $$
			SELECT concat_ws(' ', current_user, session_user, current_setting('search_path'), current_setting('lock_timeout'),
				current_setting('statement_timeout'), current_setting('enable_seqscan'), current_setting('enable_hashjoin'),
				current_setting('enable_mergejoin'), current_setting('jit'), current_setting('transaction_isolation'),
				current_setting('transaction_read_only'), current_setting('session_replication_role')) $$;
		CREATE FUNCTION inject.counters() RETURNS SETOF text LANGUAGE sql AS $$
			SELECT e::text FROM commerce.escrow e
			WHERE e.in_flight <> 0 OR e.pins <> 0 OR e.waiters <> 0 OR e.available <> CASE e.kind
				WHEN 'stock' THEN (SELECT p.stock FROM commerce.product_list p WHERE p.id = e.resource_id)
				ELSE (SELECT c.remaining FROM commerce.coupon_list c WHERE c.id = e.resource_id) END $$});
	return;
}

my $ask_shop;
sub ask { return $ask_shop->(@_) }

my $serial = 0;
sub key { return "'k" . ++$serial . "'" }
sub made { my ($what) = @_; return ask("SELECT id FROM commerce.place_order(11, '[{\"product_id\": 11, \"quantity\": 3}, {\"product_id\": 13, \"quantity\": 1}]', '{}', NULL, '$what')") }
sub item { my ($status) = @_; my $order = made('BALANCE'); my $item = ask("SELECT id FROM commerce.order_items WHERE order_id = $order AND seq = 1");
	ask("SELECT commerce.change_item_status($item, '$_', 'ADMIN')") for @{ $status // [] }; return $item }
sub overdue { my ($order) = @_; ask("UPDATE commerce.orders SET expires_at = now() - interval '1 minute' WHERE id = $order RETURNING id"); return $order }

# Money that was not asked for: the id of its payment
sub unexpected { my $order = made('BALANCE'); ask("SELECT commerce.confirm_payment($order, true, " . key() . ')');
	return ask("SELECT id FROM commerce.payments WHERE order_id = $order AND status = 'UNEXPECTED'") }

my %scenario = (
	place_order => sub { my ($u, $c1, $c2) = ask('SELECT * FROM inject.buyer()');
		return "SELECT id FROM commerce.place_order($u, '[{\"product_id\": 11, \"quantity\": 2}, {\"product_id\": 12, \"quantity\": 1, \"coupon_issue_id\": $c2}, {\"product_id\": 14, \"quantity\": 3}]', ARRAY[$c1], " . key() . ')' },
	'place_order, external' => sub { my ($u, $c1) = ask('SELECT * FROM inject.buyer()');
		return "SELECT id FROM commerce.place_order($u, '[{\"product_id\": 11, \"quantity\": 2}, {\"product_id\": 13, \"quantity\": 1}]', ARRAY[$c1], " . key() . ", 'EXTERNAL')" },
	'place_order, of what overdue orders hold' => sub { my $p = ask(q{SELECT (commerce.create_product(3, 'W', 100, 1))});
		overdue(ask("SELECT id FROM commerce.place_order(11, '[{\"product_id\": $p, \"quantity\": 1}]', '{}', NULL, 'EXTERNAL')"));
		return "SELECT id FROM commerce.place_order(11, '[{\"product_id\": $p, \"quantity\": 1}]')" },
	charge_balance => sub { return 'SELECT balance FROM commerce.charge_balance(11, 100, ' . key() . ')' },
	claim_coupon => sub { my $u = ask(q{SELECT commerce.create_user('c', 'c' || nextval('inject.n') || '@x')}); return "SELECT id FROM commerce.claim_coupon($u, 13)" },
	create_order_sheet => sub { my ($u, $c1, $c2) = ask('SELECT * FROM inject.buyer()');
		return "SELECT id FROM commerce.create_order_sheet($u, '[{\"product_id\": 11, \"quantity\": 2}, {\"product_id\": 12, \"quantity\": 1, \"coupon_issue_id\": $c2}]', ARRAY[$c1])" },
	place_sheet_order => sub { my $sheet = ask(q{SELECT (commerce.create_order_sheet(b.id, '[{"product_id": 11, "quantity": 2}]', ARRAY[b.c1])).id FROM inject.buyer() b});
		return "SELECT id FROM commerce.place_sheet_order('$sheet', " . key() . ')' },
	confirm_payment => sub { return 'SELECT id FROM commerce.confirm_payment(' . made('EXTERNAL') . ', true, ' . key() . ')' },
	'confirm_payment, failed' => sub { return 'SELECT id FROM commerce.confirm_payment(' . made('EXTERNAL') . ', false, ' . key() . ')' },
	'confirm_payment, late' => sub { my $order = overdue(made('EXTERNAL')); ask('SELECT commerce.expire_pending_orders()');
		return "SELECT id FROM commerce.confirm_payment($order, true, " . key() . ')' },
	retry_payment => sub { my $order = made('EXTERNAL'); ask("SELECT commerce.confirm_payment($order, false, " . key() . ')');
		return "SELECT id FROM commerce.retry_payment($order, NULL, " . key() . ')' },
	refund_order => sub { return 'SELECT id FROM commerce.refund_order(' . made('BALANCE') . ", 100, NULL, 'n', " . key() . ')' },
	'api.refund_order' => sub { return sprintf q(SELECT inject.request('refund_order', '{"order_id": %d, "amount": 100, "note": "n"}')), made('BALANCE') },
	return_payment => sub { return 'SELECT id FROM commerce.return_payment(' . unexpected() . ", NULL, 'n', " . key() . ')' },
	report_refund => sub { my $refund = ask('SELECT id FROM commerce.return_payment(' . unexpected() . ')');
		return "SELECT id FROM commerce.report_refund($refund, false, " . key() . ')' },
	request_charge => sub { return 'SELECT id FROM commerce.request_charge(11, 100, NULL, NULL, ' . key() . ')' },
	'api.change_item_status' => sub { return sprintf q(SELECT inject.request('change_item_status', '{"order_item_id": %d, "new_status": "DISPATCHED", "quantity": 1}')), item() },
	'api.cancel_order_item' => sub { return sprintf q(SELECT inject.request('cancel_order_item', '{"order_item_id": %d, "quantity": 1}')), item() },
	confirm_charge => sub { my $charge = ask('SELECT id FROM commerce.request_charge(11, 100)');
		return "SELECT id FROM commerce.confirm_charge($charge, true, " . key() . ')' },
	import_user => sub { return q{SELECT commerce.import_user('{"name": "n", "balance": 5}', } . key() . ')' },
	import_order => sub { return q{SELECT commerce.import_order('{"user_id": 11, "items": [{"product_id": 11, "quantity": 2, "unit_price": 100}],
		"payment_amount": 150, "difference": "order_discount", "paid_at": "2020-01-01"}', } . key() . ')' },
	import_coupon_issue => sub { my $u = ask(q{SELECT commerce.create_user('n')});
		my $c = ask(q{SELECT commerce.create_coupon('c', 'FIXED', 5, 5, valid_days => 5)});
		return qq{SELECT commerce.import_coupon_issue('{"user_id": $u, "coupon_id": $c}', } . key() . ')' },
	sales_report => sub { return 'SELECT * FROM commerce.sales_report(NULL, current_date - 1, current_date + 1)' },
	dispatch_items => sub { return 'SELECT id FROM commerce.dispatch_items(ARRAY[' . item() . "], 'c', 't', '{1}', 'ADMIN')" },
	complete_return => sub { return 'SELECT id FROM commerce.complete_return(' . item(['DISPATCHED']) . ", false, 1, 1, 'ADMIN')" },
	complete_exchange => sub { return 'SELECT id FROM commerce.complete_exchange('
		. item([ 'DISPATCHED', 'IN_TRANSIT', 'DELIVERED', 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING' ]) . ", false, NULL, 1, 'ADMIN')" },
	cancel_order => sub { return 'SELECT id FROM commerce.cancel_order(' . made('BALANCE') . ", 'ADMIN')" },
	cancel_order_item => sub { return 'SELECT id FROM commerce.cancel_order_item(' . item() . ", 1, 'ADMIN')" },
	change_item_status => sub { return 'SELECT id FROM commerce.change_item_status(' . item() . ", 'DISPATCHED', 'ADMIN', NULL, 'n', 1)" },
	'change_item_status, returned' => sub { return 'SELECT id FROM commerce.change_item_status(' . item([qw(DISPATCHED IN_TRANSIT DELIVERED RETURN_REQUESTED RETURN_PROCESSING)])
		. ", 'RETURNED', 'ADMIN', NULL, 'n', 1)" },
	adjust_stock => sub { return "SELECT commerce.adjust_stock(13, 5, 'note')" },
	fetch_events => sub { return q{SELECT count(*) FROM commerce.fetch_events('one', 40)} },
	ack_events => sub { ask('SELECT commerce.charge_balance(11, 100)'); my $position = ask(q{SELECT position FROM commerce.fetch_events('two', 1)}); return "SELECT 1 FROM commerce.ack_events('two', '$position')" },
	refresh_popular_products => sub { made('BALANCE'); return 'SELECT 1 FROM commerce.refresh_popular_products()' },
	expire_pending_orders => sub { overdue(made('EXTERNAL')) for 1, 2; return 'SELECT commerce.expire_pending_orders()' },
	fold => sub { made('BALANCE'); return 'SELECT commerce.fold()' },
	create_user => sub { return q{SELECT commerce.create_user('x', } . key() . q{ || '@y')} },
	create_product => sub { return q{SELECT commerce.create_product(3, 'x', 100, 7)} },
	create_coupon => sub { return q{SELECT commerce.create_coupon('C', 'FIXED', 100, 10, valid_days => 30)} },
	revoke_coupon => sub { my $issue = ask('SELECT c1 FROM inject.buyer()'); return "SELECT id FROM commerce.revoke_coupon($issue)" },
	update_product => sub { return q{SELECT 1 FROM commerce.update_product(14, price => 500)} },
	'update_user, taken' => sub { return q{SELECT id FROM commerce.update_user(1, email => '2@example.com')} },
	'update_seller, taken' => sub { return q{SELECT id FROM commerce.update_seller(1, registration_number => '3')} },
	subscribe => sub { return 'SELECT 1 FROM commerce.subscribe(' . key() . ')' },
	unsubscribe => sub { my $name = key(); ask("SELECT commerce.subscribe($name)"); return "SELECT 1 FROM commerce.unsubscribe($name)" },
	check_invariants => sub { return 'SELECT count(*) FROM commerce.check_invariants()' },
	'a write by hand' => sub { return q{INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES (13, 1, 'ADJUST') RETURNING product_id} });

my %default = (
	bigint => 1, integer => 1, smallint => 1, text => q{'one'}, name => q{'api_buyer'}, regrole => q{'shop'}, jsonb => q{'{}'}, boolean => 'true',
	'timestamp with time zone' => 'now()', uuid => q{'00000000-0000-0000-0000-000000000000'}, xid8 => q{'1000'}, 'bigint[]' => q{'{}'},
	'text[]' => q{'{}'});

# A call of a function that has no scenario: what its arguments' types ask for, good or not.
sub plain_call
{
	my ($function) = @_;
	my @arguments = map {
		my $value = $default{$_} // ask("SELECT quote_literal(enumlabel) FROM pg_enum WHERE enumtypid = '$_'::regtype ORDER BY enumsortorder LIMIT 1") // 'NULL';
		"$value\::$_"
	} @{ $function->{types} };
	return "SELECT count(*) FROM $function->{schema}.$function->{name}(" . join(', ', @arguments) . ')';
}

# The examples of requests, by endpoint
sub examples
{
	my $paths = JSON::PP::decode_json(Encode::encode_utf8(ask('SELECT commerce_private.openapi()::text')))->{paths};
	my %body;
	for my $path (keys %$paths)
	{
		my $example = $paths->{$path}{post}{requestBody}{content}{'application/json'}{example} or next;
		$body{ $path =~ s{^/rpc/}{}r } = JSON::PP::encode_json($example);
	}
	return %body;
}

# All scenarios, by name; a function of the contract that has none is called plainly. ask() returns the row of a query.
sub scenarios
{
	($ask_shop) = @_;
	my %all = %scenario;
	my %body = examples();
	for my $function (@{ JSON::PP::decode_json(ask(q{
		SELECT jsonb_agg(to_jsonb(f)) FROM (
			SELECT n.nspname AS schema, p.proname AS name,
				ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, i) ORDER BY i) AS types
			FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
			JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
			JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'commerce'
			WHERE p.prokind = 'f' AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
				AND (n.nspname IN ('commerce', 'commerce_api') OR has_function_privilege('shop', p.oid, 'EXECUTE'))
			ORDER BY 1, 2, 3) f})) })
	{
		my ($schema, $name) = @$function{qw(schema name)};
		if ($schema eq 'commerce_api' && "@{ $function->{types} }" eq 'jsonb')
		{
			my $request = ($body{$name} // '{}') =~ s/'/''/gr;
			$all{"api.$name"} //= sub { return "SELECT inject.request('$name', '$request')" };
		}
		else
		{
			$all{ $schema eq 'commerce_api' ? "api.$name" : $name } //= sub { return plain_call($function) };
		}
	}
	return %all;
}

1;
