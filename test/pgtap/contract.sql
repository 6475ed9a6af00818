-- The contract: the functions of the schema commerce that callers rely on, with the names, order and types of their
-- arguments, what has which default, and what they return. A row is a promise; it changes only with the domain.

SELECT no_plan();
CREATE TEMP TABLE contract (promise text, result text);
INSERT INTO contract VALUES
	($c$create_user(name text, email text = NULL, phone text = NULL, address text = NULL, role user_role = 'BUYER', external_id text = NULL, metadata jsonb = NULL, idempotency_key text = NULL)$c$, $c$bigint$c$),
	($c$sign_up(external_id text, name text, email text = NULL, phone text = NULL, address text = NULL)$c$, $c$users$c$),
	($c$update_user(user_id bigint, name text = NULL, email text = NULL, phone text = NULL, address text = NULL, external_id text = NULL, metadata jsonb = NULL, clear text[] = '{}', actor_id bigint = NULL, note text = NULL)$c$, $c$users$c$),
	($c$find_user(email text = NULL, external_id text = NULL)$c$, $c$users$c$),
	($c$set_user_status(user_id bigint, status user_status, actor_id bigint = NULL, note text = NULL)$c$, $c$users$c$),
	($c$export_user(user_id bigint)$c$, $c$jsonb$c$),
	($c$erase_user(user_id bigint, actor_id bigint = NULL, note text = NULL)$c$, $c$users$c$),
	($c$create_seller(user_id bigint, business_name text, registration_number text, cs_phone text = NULL, address text = NULL, category text = NULL, actor_id bigint = NULL, note text = NULL)$c$, $c$bigint$c$),
	($c$update_seller(seller_id bigint, business_name text = NULL, registration_number text = NULL, cs_phone text = NULL, address text = NULL, category text = NULL, shipping_fee bigint = NULL, free_shipping_from bigint = NULL, metadata jsonb = NULL, clear text[] = '{}', actor_id bigint = NULL, note text = NULL)$c$, $c$sellers$c$),
	($c$create_product(seller_id bigint, name text, price bigint, stock bigint, description text = NULL, category text = NULL, discount bigint = 0, shipping_fee bigint = NULL, max_per_order bigint = NULL, max_per_user bigint = NULL, image_urls text[] = '{}', sku text = NULL, group_id bigint = NULL, tax_exempt boolean = false, metadata jsonb = NULL, actor_id bigint = NULL, note text = NULL, idempotency_key text = NULL)$c$, $c$bigint$c$),
	($c$update_product(product_id bigint, name text = NULL, price bigint = NULL, description text = NULL, category text = NULL, discount bigint = NULL, shipping_fee bigint = NULL, max_per_order bigint = NULL, max_per_user bigint = NULL, image_urls text[] = NULL, sku text = NULL, group_id bigint = NULL, tax_exempt boolean = NULL, metadata jsonb = NULL, clear text[] = '{}', actor_id bigint = NULL, note text = NULL)$c$, $c$products$c$),
	($c$set_product_status(product_id bigint, status product_status, actor_id bigint = NULL, note text = NULL)$c$, $c$products$c$),
	($c$create_promotion(product_id bigint, kind coupon_kind, value bigint, starts_at timestamptz, ends_at timestamptz, actor_id bigint = NULL, note text = NULL, idempotency_key text = NULL)$c$, $c$bigint$c$),
	($c$update_promotion(promotion_id bigint, value bigint = NULL, starts_at timestamptz = NULL, ends_at timestamptz = NULL, actor_id bigint = NULL, note text = NULL)$c$, $c$promotions$c$),
	($c$end_promotion(promotion_id bigint, actor_id bigint = NULL, note text = NULL)$c$, $c$promotions$c$),
	($c$adjust_stock(product_id bigint, delta bigint, note text = NULL, actor_id bigint = NULL, idempotency_key text = NULL)$c$, $c$bigint$c$),
	($c$available_stock(product_id bigint)$c$, $c$bigint$c$),
	($c$charge_balance(user_id bigint, amount bigint, idempotency_key text = NULL)$c$, $c$(user_id bigint, balance bigint)$c$),
	($c$request_charge(user_id bigint, amount bigint, payment_channel text = NULL, pay_within interval = NULL, idempotency_key text = NULL)$c$, $c$payments$c$),
	($c$confirm_charge(payment_id bigint, succeeded boolean, provider_event_id text, amount bigint = NULL)$c$, $c$payments$c$),
	($c$adjust_balance(user_id bigint, amount bigint, note text, actor_id bigint = NULL, idempotency_key text = NULL)$c$, $c$(user_id bigint, balance bigint)$c$),
	($c$get_balance(user_id bigint)$c$, $c$(user_id bigint, balance bigint)$c$),
	($c$balance_statement(user_id bigint, before bigint = NULL, max_rows int = 100)$c$, $c$setof balance_entries$c$),
	($c$create_coupon(name text, kind coupon_kind, value bigint, quantity bigint, valid_days int = NULL, valid_until timestamptz = NULL, issue_from timestamptz = now(), issue_until timestamptz = NULL, seller_id bigint = NULL, product_id bigint = NULL, min_order_amount bigint = 0, max_discount bigint = NULL, round_unit bigint = 1, description text = NULL, max_units bigint = NULL, claimable boolean = true, metadata jsonb = NULL, actor_id bigint = NULL, note text = NULL, idempotency_key text = NULL)$c$, $c$bigint$c$),
	($c$update_coupon(coupon_id bigint, name text = NULL, description text = NULL, quantity bigint = NULL, issue_from timestamptz = NULL, issue_until timestamptz = NULL, min_order_amount bigint = NULL, max_discount bigint = NULL, round_unit bigint = NULL, max_units bigint = NULL, claimable boolean = NULL, metadata jsonb = NULL, clear text[] = '{}', actor_id bigint = NULL, note text = NULL)$c$, $c$coupons$c$),
	($c$stop_coupon(coupon_id bigint, actor_id bigint = NULL, note text = NULL)$c$, $c$coupons$c$),
	($c$claim_coupon(user_id bigint, coupon_id bigint)$c$, $c$coupon_issues$c$),
	($c$issue_coupon(coupon_id bigint, user_id bigint, actor_id bigint = NULL, note text = NULL)$c$, $c$coupon_issues$c$),
	($c$usable_coupons(user_id bigint)$c$, $c$setof coupon_issues$c$),
	($c$revoke_coupon(coupon_issue_id bigint, actor_id bigint = NULL, note text = NULL)$c$, $c$coupon_issues$c$),
	($c$expire_coupons(max_rows int = 10000)$c$, $c$int$c$),
	($c$create_order_sheet(user_id bigint, items jsonb, coupon_issue_ids bigint[] = '{}')$c$, $c$order_sheets$c$),
	($c$place_order(user_id bigint, items jsonb, coupon_issue_ids bigint[] = '{}', idempotency_key text = NULL, payment_method payment_method = 'BALANCE', delivery jsonb = NULL, metadata jsonb = NULL, pay_within interval = NULL, balance_part bigint = 0, payment_channel text = NULL)$c$, $c$orders$c$),
	($c$place_sheet_order(order_sheet_id uuid, idempotency_key text = NULL, payment_method payment_method = 'BALANCE', delivery jsonb = NULL, metadata jsonb = NULL, pay_within interval = NULL, balance_part bigint = 0, payment_channel text = NULL)$c$, $c$orders$c$),
	($c$retry_payment(order_id bigint, pay_within interval = NULL, idempotency_key text = NULL)$c$, $c$orders$c$),
	($c$confirm_payment(order_id bigint, succeeded boolean, provider_event_id text, amount bigint = NULL)$c$, $c$orders$c$),
	($c$return_payment(payment_id bigint, actor_id bigint = NULL, note text = NULL, idempotency_key text = NULL)$c$, $c$payments$c$),
	($c$report_refund(payment_id bigint, succeeded boolean, provider_event_id text)$c$, $c$payments$c$),
	($c$expire_pending_orders(max_rows int = 1000)$c$, $c$int$c$),
	($c$update_delivery(order_id bigint, delivery jsonb, actor actor_kind, actor_id bigint = NULL, note text = NULL)$c$, $c$orders$c$),
	($c$change_item_status(order_item_id bigint, new_status order_item_status, actor actor_kind, actor_id bigint = NULL, note text = NULL, quantity bigint = NULL, idempotency_key text = NULL)$c$, $c$order_items$c$),
	($c$dispatch_items(order_item_ids bigint[], carrier text = NULL, tracking_number text = NULL, quantities bigint[] = NULL, actor actor_kind = 'SELLER', actor_id bigint = NULL, idempotency_key text = NULL)$c$, $c$shipments$c$),
	($c$change_shipment_status(shipment_id bigint, new_status order_item_status, actor actor_kind = 'SELLER', actor_id bigint = NULL, note text = NULL)$c$, $c$int$c$),
	($c$update_shipment(shipment_id bigint, carrier text = NULL, tracking_number text = NULL, actor_id bigint = NULL, note text = NULL)$c$, $c$shipments$c$),
	($c$complete_return(order_item_id bigint, restock boolean = true, deduction bigint = 0, quantity bigint = NULL, actor actor_kind = 'SELLER', actor_id bigint = NULL, note text = NULL, idempotency_key text = NULL)$c$, $c$orders$c$),
	($c$complete_exchange(order_item_id bigint, restock boolean = true, replacement_product_id bigint = NULL, quantity bigint = NULL, actor actor_kind = 'SELLER', actor_id bigint = NULL, note text = NULL, idempotency_key text = NULL)$c$, $c$order_items$c$),
	($c$cancel_order(order_id bigint, actor actor_kind, actor_id bigint = NULL, note text = NULL)$c$, $c$orders$c$),
	($c$cancel_order_item(order_item_id bigint, quantity bigint, actor actor_kind, actor_id bigint = NULL, note text = NULL, idempotency_key text = NULL)$c$, $c$orders$c$),
	($c$refund_order(order_id bigint, amount bigint, actor_id bigint, note text, idempotency_key text = NULL)$c$, $c$orders$c$),
	($c$popular_products(days int = 3, top int = 5)$c$, $c$setof (rank int, product_id bigint, name text, price bigint, price_now bigint, units_sold bigint, as_of timestamptz)$c$),
	($c$refresh_popular_products()$c$, $c$int$c$),
	($c$sales_report(seller_id bigint, from_date date, to_date date)$c$, $c$setof (day date, product_id bigint, fact text, units bigint, gross bigint, own_discounts bigint, shop_discounts bigint, shipping bigint, deductions bigint, refunds bigint, net bigint, tax_free bigint)$c$),
	($c$import_user(imported jsonb, idempotency_key text = NULL)$c$, $c$bigint$c$),
	($c$import_order(imported jsonb, idempotency_key text = NULL)$c$, $c$bigint$c$),
	($c$import_coupon_issue(imported jsonb, idempotency_key text = NULL)$c$, $c$bigint$c$),
	($c$schedule_jobs()$c$, $c$int$c$),
	($c$unschedule_jobs()$c$, $c$int$c$),
	($c$check_invariants()$c$, $c$setof (invariant text, violations bigint)$c$);

-- The catalog in the words of the contract
CREATE FUNCTION pg_temp.type_name(type oid) RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(replace(format_type(type, NULL), 'commerce.', ''), 'timestamp with time zone', 'timestamptz'), 'integer', 'int')
$$;
CREATE TEMP VIEW present AS
SELECT p.proname AS name,
	format('%s(%s)', p.proname,
		(SELECT coalesce(string_agg(concat_ws(' ', p.proargnames[n], type.name,
				'= ' || regexp_replace(pg_get_function_arg_default(p.oid, n), '::[a-z_. ]+(\[\])?$', '')), ', ' ORDER BY n), '')
		 FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a (type, ord), LATERAL (SELECT ord::int AS n) o,
			LATERAL (SELECT pg_temp.type_name(a.type) AS name) type)) AS promise,
	CASE WHEN p.proretset THEN 'setof ' ELSE '' END ||
		coalesce((SELECT '(' || string_agg(p.proargnames[n] || ' ' || pg_temp.type_name(a.type), ', ' ORDER BY n) || ')'
				  FROM unnest(p.proallargtypes) WITH ORDINALITY a (type, ord), LATERAL (SELECT ord::int AS n) o
				  WHERE p.proargmodes[n] IN ('o', 'b', 't')), pg_temp.type_name(p.prorettype)) AS result
FROM pg_proc p WHERE p.pronamespace = 'commerce'::regnamespace;

SELECT is(format('%s %s', coalesce(p.promise, 'no function'), p.result), format('%s %s', c.promise, c.result), split_part(c.promise, '(', 1))
FROM contract c LEFT JOIN present p ON p.name = split_part(c.promise, '(', 1);

SELECT is_empty('SELECT name FROM present GROUP BY 1 HAVING count(*) > 1', 'no function is overloaded');
-- bigint for what is internal: any driver and any mapper can read what comes back
SELECT is_empty($$SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE a.atttypid = 'xid8'::regtype AND c.relnamespace = 'commerce'::regnamespace$$, 'no column is of a type that drivers do not know');
-- What an update script has to find: a name for each rule, and the same order of columns in a table and its archive
SELECT is_empty($$SELECT c.conrelid::regclass, c.conname FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
	WHERE c.connamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.conname ~ ('^' || t.relname || '_check\d*$')$$,
	'every constraint has a name that says what it is about');
CREATE TEMP VIEW columns AS
SELECT c.relnamespace::regnamespace::text AS schema, c.relname::text AS relation, a.attname::text AS name, a.atttypid::regtype AS type,
	   row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) - CASE WHEN c.relnamespace = 'commerce_archive'::regnamespace THEN o.number ELSE 0 END AS number
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
CROSS JOIN LATERAL (SELECT CASE c.relname WHEN 'orders' THEN 2 ELSE 1 END) AS o (number)
WHERE a.attnum > 0 AND c.relkind IN ('r', 'p') AND c.relname IN ('orders', 'order_items', 'order_item_events', 'order_coupons', 'payments', 'shipments')
  AND c.relnamespace IN ('commerce'::regnamespace, 'commerce_archive'::regnamespace);
SELECT set_eq($$SELECT relation, name, type, number FROM columns WHERE schema = 'commerce_archive' AND number > 0$$,
	$$SELECT relation, name, type, number FROM columns WHERE schema = 'commerce'$$, 'the archive''s tables have the shop''s columns, in their order');
SELECT set_eq($$SELECT DISTINCT name FROM columns WHERE schema = 'commerce_archive' AND number <= 0$$, '{month,archived_at}'::text[], 'after their own');
SELECT * FROM finish();
