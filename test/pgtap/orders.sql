-- Placing orders: what an order writes, what it refuses, and in which order it finds fault.
-- role: postgres
-- Postgres only moves clocks and settings by hand; everything else is done as shop.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT commerce.create_user('Potter', 'potter@example.com', role => 'SELLER') AS potter \gset
SELECT commerce.create_seller(:potter, 'Kiln', '1') AS kiln \gset
SELECT commerce.create_user('Weaver', 'weaver@example.com', role => 'SELLER') AS weaver \gset
SELECT commerce.create_seller(:weaver, 'Loom', '2') AS loom \gset
SELECT commerce.create_product(:kiln, 'Teapot', 30000, 10, discount => 1000, shipping_fee => 3000) AS teapot \gset
SELECT commerce.create_product(:loom, 'Scarf', 20000, 10, shipping_fee => 2500) AS scarf \gset
SELECT commerce.create_product(NULL, 'Own', 5000, 10, max_per_order => 4) AS own \gset
SELECT * FROM commerce.charge_balance(:kim, 1000000) \g /dev/null

CREATE FUNCTION pg_temp.items(VARIADIC bigint[]) RETURNS jsonb LANGUAGE sql
AS $$SELECT jsonb_agg(jsonb_build_object('product_id', $1[i], 'quantity', $1[i + 1]) ORDER BY i) FROM generate_series(1, cardinality($1), 2) i$$;
CREATE FUNCTION pg_temp.call(buyer bigint, items jsonb, coupons text DEFAULT '{}', method text DEFAULT 'BALANCE') RETURNS text LANGUAGE sql
AS $$SELECT format('SELECT commerce.place_order(%s, %L, %L, payment_method => %L)', coalesce(buyer::text, 'NULL'), items, coupons, method)$$;

-- One order: every row that it leaves
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:teapot, 2, :scarf, 1)) \gset
SELECT results_eq(format($$SELECT user_id, status::text, payment_method::text, items_total, item_discount_total, order_discount, shipping_discount, shipping_total,
		payment_amount, refunded_amount, paid_at = created_at, expires_at IS NULL FROM commerce.orders WHERE id = %s$$, :o),
	format($$VALUES (%s::bigint, 'PAID', 'BALANCE', 80000::bigint, 2000::bigint, 0::bigint, 0::bigint, 5500::bigint, 83500::bigint, 0::bigint, true, true)$$, :kim),
	'the order and its totals');
SELECT results_eq(format($$SELECT seq, product_id, seller_id, product_name, status::text, quantity, unit_price, unit_discount, unit_final, line_total,
		order_discount_share, shipping_fee, shipping_discount, split_from FROM commerce.order_items WHERE order_id = %s ORDER BY seq$$, :o),
	format($$VALUES (1, %s::bigint, %s::bigint, 'Teapot', 'PREPARING', 2::bigint, 30000::bigint, 1000::bigint, 29000::bigint, 58000::bigint, 0::bigint, 3000::bigint, 0::bigint, NULL::bigint),
		(2, %s, %s, 'Scarf', 'PREPARING', 1, 20000, 0, 20000, 20000, 0, 2500, 0, NULL)$$, :teapot, :kiln, :scarf, :loom),
	'its items, in the order of the request');
SELECT results_eq(format($$SELECT i.seq, e.from_status::text, e.event::text, e.quantity, e.actor::text, e.actor_id FROM commerce.order_item_events e
		JOIN commerce.order_items i ON i.id = e.order_item_id WHERE i.order_id = %s ORDER BY i.seq, e.ordinal$$, :o),
	format($$VALUES (1, NULL, 'PAID', 2::bigint, 'BUYER', %s::bigint), (1, 'PAID', 'PREPARING', 2, 'SYSTEM', NULL),
		(2, NULL, 'PAID', 1, 'BUYER', %1$s), (2, 'PAID', 'PREPARING', 1, 'SYSTEM', NULL)$$, :kim),
	'their history: paid, and prepared at once');
SELECT results_eq(format('SELECT kind::text, method::text, status::text, amount, provider_event_id FROM commerce.payments WHERE order_id = %s', :o),
	$$VALUES ('PAYMENT', 'BALANCE', 'COMPLETED', 83500::bigint, NULL)$$, 'its payment');
SELECT results_eq(format('SELECT user_id, kind::text, amount, balance_after FROM commerce.balance_entries WHERE order_id = %s', :o),
	format($$VALUES (%s::bigint, 'PAYMENT', -83500::bigint, 916500::bigint)$$, :kim), 'what the balance paid');
SELECT results_eq(format($$SELECT e.product_id, e.delta, e.reason::text, i.seq FROM commerce.stock_entries e JOIN commerce.order_items i ON i.id = e.order_item_id
		WHERE i.order_id = %s ORDER BY i.seq$$, :o),
	format($$VALUES (%s::bigint, -2::bigint, 'ORDER', 1), (%s, -1, 'ORDER', 2)$$, :teapot, :scarf), 'the stock that went');
SELECT is(events('Order', :o), 'OrderCreated PaymentCompleted DeliveryRequested DeliveryRequested', 'its events: one delivery for each seller');
SELECT ok(event_payload('Order', :o, 'OrderCreated') @> jsonb_build_object('order_id', :o, 'user_id', :kim, 'status', 'PAID', 'items_total', 80000,
		'item_discount_total', 2000, 'payment_amount', 83500, 'shipping_total', 5500,
		'items', jsonb_build_array(jsonb_build_object('product_id', :teapot, 'seller_id', :kiln, 'quantity', 2, 'unit_price', 30000, 'unit_discount', 1000, 'line_total', 58000),
								   jsonb_build_object('product_id', :scarf, 'seller_id', :loom))), 'OrderCreated carries the order whole');
SELECT ok(event_payload('Order', :o, 'PaymentCompleted') @> jsonb_build_object('order_id', :o, 'payment', jsonb_build_object('method', 'BALANCE', 'amount', 83500),
	'items', jsonb_build_array(jsonb_build_object('product_id', :teapot), jsonb_build_object('product_id', :scarf))), 'so does PaymentCompleted');
SELECT results_eq(format($$SELECT (payload ->> 'seller_id')::bigint, jsonb_array_length(payload -> 'items'), (payload #>> '{items,0,product_id}')::bigint
		FROM commerce.outbox WHERE type = 'DeliveryRequested' AND aggregateid = '%s' ORDER BY 1$$, :o),
	format('VALUES (%s::bigint, 1, %s::bigint), (%s, 1, %s)', :kiln, :teapot, :loom, :scarf), 'a DeliveryRequested has its seller''s items only');
SELECT ok(bool_and(payload @> jsonb_build_object('order_id', :o, 'user_id', :kim, 'status', 'PAID', 'payment_amount', 83500)), 'and all else of the order')
FROM commerce.outbox WHERE type = 'DeliveryRequested' AND aggregateid = :'o';
SELECT results_eq(format('SELECT status::text, jsonb_array_length(items), items #>> ''{1,product_name}'' FROM commerce.order_list WHERE id = %s', :o),
	$$VALUES ('PAID', 2, 'Scarf')$$, 'order_list shows it with its items');

RESET ROLE;
SET commerce.auto_prepare = off;
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:own, 1)) \gset
RESET commerce.auto_prepare;
SET ROLE shop;
SELECT results_eq(format('SELECT status::text FROM commerce.order_items WHERE order_id = %s', :o), $$VALUES ('PAID')$$, 'with auto_prepare off items stay PAID');
SELECT is(events('Order', :o), 'OrderCreated PaymentCompleted', 'and no delivery is asked for');

-- An external payment: stock is held, nothing is paid
BEGIN;
SELECT pg_sleep(0.01);
SELECT id AS o, expires_at - created_at = interval '10 minutes' AS in_time
FROM commerce.place_order(:lee, pg_temp.items(:own, 2), payment_method => 'EXTERNAL') \gset
COMMIT;
SELECT ok(:'in_time', 'a pending order expires after commerce.payment_ttl, 10 minutes');
SELECT results_eq(format($$SELECT o.status::text, o.paid_at IS NULL, i.status::text, p.status::text, p.amount FROM commerce.orders o JOIN commerce.order_items i ON i.order_id = o.id
		JOIN commerce.payments p ON p.order_id = o.id WHERE o.id = %s$$, :o),
	$$VALUES ('PENDING_PAYMENT', true, 'PENDING_PAYMENT', 'REQUESTED', 10000::bigint)$$, 'it waits for its payment');
SELECT is(commerce.available_stock(:own), 7::bigint, 'it holds its stock');
SELECT is(events('Order', :o), 'OrderCreated PaymentRequested', 'and asks for the payment');
SELECT is_empty(format('SELECT * FROM commerce.balance_entries WHERE user_id = %s', :lee), 'the balance pays nothing');

-- Lines of the same product are added up, in the place of the first
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:scarf, 1, :teapot, 1, :scarf, 2)) \gset
SELECT results_eq(format('SELECT seq, product_id, quantity, shipping_fee FROM commerce.order_items WHERE order_id = %s ORDER BY seq', :o),
	format('VALUES (1, %s::bigint, 3::bigint, 2500::bigint), (2, %s, 1, 3000)', :scarf, :teapot), 'lines of the same product become one, with one shipping fee');

-- max_per_order counts the whole order
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:own, 5)), 'PURCHASE_LIMIT_EXCEEDED', 'five of at most four');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:own, 2, :teapot, 1, :own, 3)), 'PURCHASE_LIMIT_EXCEEDED', 'five in two lines');
SELECT lives_ok(pg_temp.call(:kim, pg_temp.items(:own, 4)), 'four of at most four');
SELECT is(detail_of(pg_temp.call(:kim, pg_temp.items(:own, 5)))::jsonb, jsonb_build_object('product_id', :own, 'asked', 5, 'limit', 4, 'index', 0), 'the detail says how many');

-- An order of nothing to pay
SELECT commerce.create_product(NULL, 'Gift', 0, 10) AS gift \gset
SELECT id AS o, payment_amount FROM commerce.place_order(:lee, pg_temp.items(:gift, 1)) \gset
SELECT is(:payment_amount, 0, 'an order may cost nothing');
SELECT is_empty(format('SELECT * FROM commerce.balance_entries WHERE order_id = %s', :o), 'then there is no balance entry');
SELECT results_eq(format('SELECT status::text, amount FROM commerce.payments WHERE order_id = %s', :o), $$VALUES ('COMPLETED', 0::bigint)$$, 'but a payment of 0');

-- The balance: to the last won
SELECT * FROM commerce.charge_balance(:lee, 5000) \g /dev/null
SELECT lives_ok(pg_temp.call(:lee, pg_temp.items(:own, 1)), 'all of the balance can be spent');
SELECT refuses(pg_temp.call(:lee, pg_temp.items(:own, 1)), 'BALANCE_NOT_ENOUGH', 'more than the balance');
SELECT is(detail_of(pg_temp.call(:lee, pg_temp.items(:own, 1)))::jsonb, jsonb_build_object('user_id', :lee, 'asked', 5000, 'balance', 0), 'the detail says how much');

-- Several faults: the first of form, key, user, products, coupons, stock, balance is told.
SELECT commerce.create_product(NULL, 'Gone', 1000, 0) AS gone \gset
SELECT commerce.set_product_status(:gone, 'DISCONTINUED') \g /dev/null
SELECT commerce.create_user('Out', 'out@example.com') AS out \gset
SELECT commerce.set_user_status(:out, 'WITHDRAWN') \g /dev/null
SELECT refuses(pg_temp.call(999999, pg_temp.items(:gone, 0)), 'INVALID_REQUEST', 'form before user');
SELECT refuses(pg_temp.call(:out, pg_temp.items(:gone, 1)), 'FORBIDDEN', 'user before product');
SELECT refuses(pg_temp.call(:lee, pg_temp.items(:gone, 1), '{999999}'), 'PRODUCT_NOT_ON_SALE', 'product before coupon');
SELECT refuses(pg_temp.call(:lee, pg_temp.items(:teapot, 100), '{999999}'), 'COUPON_NOT_USABLE', 'coupon before stock');
SELECT refuses(pg_temp.call(:lee, pg_temp.items(:teapot, 100)), 'STOCK_NOT_ENOUGH', 'stock before balance');

-- Unknown ids
SELECT refuses(pg_temp.call(id, pg_temp.items(:own, 1)), 'ENTITY_NOT_FOUND', 'an order of user ' || id)
FROM unnest(ARRAY[0, -1, 9223372036854775807, -9223372036854775808]) AS id;
SELECT refuses(pg_temp.call(:kim, pg_temp.items(999999, 1)), 'ENTITY_NOT_FOUND', 'an unknown product');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:own, 1, 9223372036854775807, 1)), 'ENTITY_NOT_FOUND', 'one unknown product of two');
SELECT is(detail_of(pg_temp.call(:kim, pg_temp.items(:own, 1, 999999, 1)))::jsonb, '{"entity": "product", "id": 999999}', 'the detail names it');
SELECT refuses('SELECT commerce.place_order(NULL, ''[{"product_id":1,"quantity":1}]'')', 'INVALID_REQUEST', 'an order of nobody');
SELECT refuses(format('SELECT commerce.place_order(%s, %L, payment_method => NULL)', :kim, pg_temp.items(:own, 1)), 'INVALID_REQUEST', 'paid in no way');

-- Malformed and enormous items. (jsonb itself keeps the last of duplicate keys.)
SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.place_order(%s, %s)', :kim, coalesce(quote_literal(items), 'NULL')), 'INVALID_REQUEST', 'items ' || coalesce(left(items, 80), 'NULL'))
FROM unnest(ARRAY[NULL, 'null', '1', '"x"', 'true', '{}', '[]', '[[]]', '[null]', '[1]', '["x"]', '[{}]',
	'{"product_id":1,"quantity":1}', '[[{"product_id":1,"quantity":1}]]', '[{"product_id":1,"quantity":1},null]',
	'[{"product_id":1}]', '[{"quantity":1}]', '[{"product_id":1,"quantity":1,"color":"red"}]', '[{"product_id":1,"quantity":1,"":1}]',
	'[{"Product_id":1,"quantity":1}]', '[{"product_id ":1,"quantity":1}]',
	'[{"product_id":null,"quantity":1}]', '[{"product_id":1,"quantity":null}]', '[{"product_id":"1.0","quantity":1}]', '[{"product_id":1,"quantity":"+1"}]', '[{"product_id":1,"quantity":" 1"}]', '[{"product_id":"","quantity":1}]', '[{"product_id":"12345678901234567890","quantity":1}]',
	'[{"product_id":true,"quantity":1}]', '[{"product_id":1,"quantity":[1]}]', '[{"product_id":{"id":1},"quantity":1}]',
	'[{"product_id":0,"quantity":1}]', '[{"product_id":-1,"quantity":1}]', '[{"product_id":1,"quantity":0}]', '[{"product_id":1,"quantity":-1}]',
	'[{"product_id":1.5,"quantity":1}]', '[{"product_id":1,"quantity":1.5}]', '[{"product_id":1,"quantity":0.9999999999999999999999999}]',
	'[{"product_id":1,"quantity":1e-1000}]', '[{"product_id":1,"quantity":1e1000}]', '[{"product_id":1e131071,"quantity":1}]',
	'[{"product_id":9223372036854775808,"quantity":1}]', '[{"product_id":1,"quantity":9223372036854775808}]', '[{"product_id":1,"quantity":-9223372036854775809}]',
	'[{"product_id":1,"quantity":18446744073709551617}]',
	'[{"product_id":1,"quantity":9223372036854775807},{"product_id":1,"quantity":1}]',
	'[{"product_id":1,"quantity":1,"coupon_issue_id":0}]', '[{"product_id":1,"quantity":1,"coupon_issue_id":-1}]', '[{"product_id":1,"quantity":1,"coupon_issue_id":"seven"}]',
	'[{"product_id":1,"quantity":1,"coupon_issue_id":1.5}]', '[{"product_id":1,"quantity":1,"coupon_issue_id":[]}]']) AS items;
SELECT refuses(format('SELECT commerce.place_order(%s, %L)', :kim, jsonb_build_array(jsonb_build_object('product_id', 1, 'quantity', 1, repeat('가', 100000), 1))), 'INVALID_REQUEST', 'a key of 300 KB');
-- a cut within a character would show as one that no reader can decode
SELECT matches(detail_of(format('SELECT commerce.place_order(%s, %L)', :kim, jsonb_build_array(jsonb_build_object('product_id', 1, 'quantity', 1, 'xy' || repeat('가', 100), 1)))),
	'"items\[0\]\.xy가+"', 'a long unknown key is cut between characters');
SELECT refuses(format('SELECT commerce.place_order(%s, %L)', :kim, (repeat('[', 3000) || repeat(']', 3000))), 'INVALID_REQUEST', 'items nested 3000 deep');
SELECT refuses(pg_temp.call(:kim, jsonb_agg(jsonb_build_object('product_id', :own, 'quantity', 1))), 'INVALID_REQUEST', '1001 lines') FROM generate_series(1, 1001);
SELECT refuses(pg_temp.call(:kim, jsonb_agg(jsonb_build_object('product_id', :own, 'quantity', 1))), 'INVALID_REQUEST', '100000 lines') FROM generate_series(1, 100000);
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:own, 1), coupons), 'COUPON_NOT_USABLE', 'coupons ' || coupons)
FROM unnest(ARRAY['{0}', '{-1}', '{999999}', '{9223372036854775807}', '{1,1}']) AS coupons;
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:own, 1), coupons), 'INVALID_REQUEST', 'coupons ' || coupons)
FROM unnest(ARRAY['{NULL}', '{{1,2},{3,4}}']) AS coupons;
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:own, 1), array_agg(i)::text), 'INVALID_REQUEST', '1001 coupons') FROM generate_series(1, 1001) i;
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');
SELECT lives_ok(format('SELECT commerce.place_order(%s, %L, NULL)', :kim, pg_temp.items(:own, 1)), 'no coupons may be NULL');
SELECT lives_ok(format('SELECT commerce.place_order(%s, %L)', :kim, '[{"product_id":' || :own || ',"quantity":1e0,"coupon_issue_id":null}]'), 'a coupon may be null, and a number have an exponent');
SELECT commerce.adjust_stock(:own, 1) \g /dev/null
SELECT lives_ok(format('SELECT commerce.place_order(%s, %L)', :kim, '[{"product_id":' || :own || '.0,"quantity":1.00}]'), 'or zeros after its point');
SELECT commerce.adjust_stock(:own, 1) \g /dev/null
-- by the operator, as what follows a jsonb that was just read is memory of its own buffer, where no sanitizer looks
SELECT lives_ok(format('SELECT commerce.place_order(%s, %L::jsonb -> ''items'')', :kim, '{"items":[{"product_id":"' || :own || '","quantity":"1"}]}'),
	'or both be strings of digits, which end where the jsonb ends');

-- Sums beyond bigint
SELECT commerce.create_product(NULL, 'Dear', 1000000000000, 100000000, shipping_fee => 1) AS dear \gset
SELECT commerce.create_product(NULL, 'Dear too', 1000000000000, 100000000) AS dear2 \gset
SELECT refuses(pg_temp.call(:kim, items), 'INVALID_REQUEST', what)
FROM (VALUES (pg_temp.items(:dear, 10000000), 'a line beyond bigint'), (pg_temp.items(:dear2, 9000000, :dear, 9000000), 'lines beyond bigint together'),
	(pg_temp.items(:dear2, 9008), 'more than JSON clients read exactly')) AS t (items, what);

-- 1000 lines
SELECT jsonb_agg(jsonb_build_object('product_id', commerce.create_product(NULL, 'P' || i, 100, 2, shipping_fee => 10), 'quantity', 1)) AS thousand FROM generate_series(1, 1000) i \gset
SELECT id AS o, payment_amount FROM commerce.place_order(:kim, :'thousand') \gset
SELECT is(:payment_amount, 110000, 'an order of 1000 lines');
SELECT results_eq(format('SELECT count(*), count(DISTINCT product_id), max(seq) FROM commerce.order_items WHERE order_id = %s', :o), 'VALUES (1000::bigint, 1000::bigint, 1000)', 'has 1000 items');
SELECT is(jsonb_array_length(event_payload('Order', :o, 'OrderCreated') -> 'items'), 1000, 'its event, too');
SELECT refuses(pg_temp.call(:kim, jsonb_set(:'thousand', '{999,quantity}', '2')), 'STOCK_NOT_ENOUGH', 'the last of 1000 lines is not to be had');
SELECT lives_ok(pg_temp.call(:kim, :'thousand'), 'which holds nothing of the others back');

-- Coupons in their place and out of it
SELECT commerce.create_coupon('teapot', 'FIXED', 500, 100, valid_days => 1, product_id => :teapot) AS c \gset
SELECT id AS teapot_coupon FROM commerce.claim_coupon(:kim, :c) \gset
SELECT id AS lees_teapot_coupon FROM commerce.claim_coupon(:lee, :c) \gset
SELECT commerce.create_coupon('order', 'FIXED', 500, 100, valid_days => 1) AS c \gset
SELECT id AS order_coupon FROM commerce.claim_coupon(:kim, :c) \gset
SELECT id AS lees_coupon FROM commerce.claim_coupon(:lee, :c) \gset
SELECT commerce.create_coupon('order 2', 'FIXED', 500, 100, valid_days => 1) AS c \gset
SELECT id AS order_coupon2 FROM commerce.claim_coupon(:kim, :c) \gset
SELECT commerce.create_coupon('kiln', 'FIXED', 500, 100, valid_days => 1, seller_id => :kiln) AS c \gset
SELECT id AS kiln_coupon FROM commerce.claim_coupon(:kim, :c) \gset
SELECT commerce.create_coupon('free', 'FREE_SHIPPING', 0, 100, valid_days => 1) AS c \gset
SELECT id AS free_coupon FROM commerce.claim_coupon(:kim, :c) \gset
SELECT commerce.create_coupon('free 2', 'FREE_SHIPPING', 0, 100, valid_days => 1, seller_id => :kiln) AS c \gset
SELECT id AS free_coupon2 FROM commerce.claim_coupon(:kim, :c) \gset
SELECT commerce.create_coupon('overdue', 'FIXED', 500, 100, valid_days => 1) AS c \gset
SELECT id AS overdue_coupon FROM commerce.claim_coupon(:kim, :c) \gset
SELECT commerce.create_coupon('expired', 'FIXED', 500, 100, valid_days => 1) AS c \gset
SELECT id AS expired_coupon FROM commerce.claim_coupon(:kim, :c) \gset
SELECT commerce.create_coupon('revoked', 'FIXED', 500, 100, valid_days => 1) AS c \gset
SELECT id AS revoked_coupon FROM commerce.claim_coupon(:kim, :c) \gset
SELECT commerce.revoke_coupon(:revoked_coupon) \g /dev/null
SELECT commerce.create_coupon('minimum', 'FIXED', 500, 100, valid_days => 1, min_order_amount => 5001) AS c \gset
SELECT id AS minimum_coupon FROM commerce.claim_coupon(:kim, :c) \gset
SELECT commerce.create_coupon('nothing', 'PERCENT', 1, 100, valid_days => 1, round_unit => 1000) AS c \gset
SELECT id AS nothing_coupon FROM commerce.claim_coupon(:kim, :c) \gset
RESET ROLE;
UPDATE commerce.coupon_issues SET expires_at = now() WHERE id = :expired_coupon;
SELECT commerce.expire_coupons() \g /dev/null
UPDATE commerce.coupon_issues SET expires_at = now() WHERE id = :overdue_coupon;
SET ROLE shop;

SELECT books() AS before \gset
CREATE FUNCTION pg_temp.line(buyer bigint, product bigint, coupon bigint, coupons text DEFAULT '{}') RETURNS text LANGUAGE sql
AS $$SELECT pg_temp.call(buyer, jsonb_build_array(jsonb_build_object('product_id', product, 'quantity', 1, 'coupon_issue_id', coupon)), coupons)$$;
SELECT refuses(pg_temp.line(:kim, :teapot, :order_coupon), 'COUPON_NOT_USABLE', 'an order''s coupon in a line');
SELECT refuses(pg_temp.line(:kim, :teapot, :kiln_coupon), 'COUPON_NOT_USABLE', 'a seller''s coupon in a line');
SELECT refuses(pg_temp.line(:kim, :teapot, :free_coupon), 'COUPON_NOT_USABLE', 'free shipping in a line');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:teapot, 1), '{' || :teapot_coupon || '}'), 'COUPON_NOT_USABLE', 'a product''s coupon for the order');
SELECT refuses(pg_temp.line(:kim, :scarf, :teapot_coupon), 'COUPON_NOT_USABLE', 'a product''s coupon in another''s line');
SELECT refuses(pg_temp.line(:kim, :teapot, :teapot_coupon, '{' || :teapot_coupon || '}'), 'COUPON_NOT_USABLE', 'a coupon in a line and for the order');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:teapot, 1), format('{%s,%1$s}', :order_coupon)), 'COUPON_NOT_USABLE', 'a coupon twice');
SELECT refuses(pg_temp.call(:kim, jsonb_build_array(jsonb_build_object('product_id', :teapot, 'quantity', 1, 'coupon_issue_id', :teapot_coupon),
	jsonb_build_object('product_id', :scarf, 'quantity', 1, 'coupon_issue_id', :teapot_coupon))), 'COUPON_NOT_USABLE', 'a coupon in two lines');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:teapot, 1), format('{%s,%s}', :order_coupon, :order_coupon2)), 'COUPON_NOT_USABLE', 'two coupons for the order');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:teapot, 1), format('{%s,%s}', :order_coupon, :kiln_coupon)), 'COUPON_NOT_USABLE', 'a seller''s coupon beside the order''s');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:teapot, 1), format('{%s,%s}', :free_coupon, :free_coupon2)), 'COUPON_NOT_USABLE', 'free shipping twice');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:scarf, 1), '{' || :kiln_coupon || '}'), 'COUPON_NOT_USABLE', 'a seller''s coupon without that seller''s lines');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:scarf, 1), '{' || :free_coupon2 || '}'), 'COUPON_NOT_USABLE', 'a seller''s free shipping without that seller''s lines');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:teapot, 1), '{' || :lees_coupon || '}'), 'COUPON_NOT_USABLE', 'another user''s coupon');
SELECT refuses(pg_temp.line(:kim, :teapot, :lees_teapot_coupon), 'COUPON_NOT_USABLE', 'another user''s coupon in a line');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:teapot, 1), '{' || :overdue_coupon || '}'), 'COUPON_NOT_USABLE', 'an overdue coupon that nobody has marked');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:teapot, 1), '{' || :expired_coupon || '}'), 'COUPON_NOT_USABLE', 'an expired coupon');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:teapot, 1), '{' || :revoked_coupon || '}'), 'COUPON_NOT_USABLE', 'a revoked coupon');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:own, 1), '{' || :minimum_coupon || '}'), 'COUPON_CONDITION_NOT_MET', 'a coupon below its minimum');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:own, 1), '{' || :nothing_coupon || '}'), 'COUPON_CONDITION_NOT_MET', 'a coupon that takes nothing off');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:own, 1), '{' || :free_coupon || '}'), 'COUPON_CONDITION_NOT_MET', 'free shipping where there is none to pay');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:gift, 1), '{' || :order_coupon || '}'), 'COUPON_CONDITION_NOT_MET', 'a coupon on an order of 0 won');
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing, used no coupon');

-- All that may go together
SELECT id AS o FROM commerce.place_order(:kim, jsonb_build_array(jsonb_build_object('product_id', :teapot, 'quantity', 2, 'coupon_issue_id', :teapot_coupon),
	jsonb_build_object('product_id', :scarf, 'quantity', 1)), ARRAY[:order_coupon, :free_coupon]::bigint[]) \gset
SELECT results_eq(format('SELECT items_total, item_discount_total, order_discount, shipping_discount, shipping_total, payment_amount FROM commerce.orders WHERE id = %s', :o),
	'VALUES (80000::bigint, 3000::bigint, 500::bigint, 5500::bigint, 0::bigint, 76500::bigint)', 'a line''s coupon, the order''s and free shipping together');
SELECT bag_eq(format('SELECT coupon_issue_id, discount FROM commerce.order_coupons WHERE order_id = %s', :o),
	format('VALUES (%s::bigint, 500::bigint), (%s, 1000), (%s, 5500)', :order_coupon, :teapot_coupon, :free_coupon), 'the order knows its coupons and what each took off');
SELECT bag_eq(format($$SELECT id, status::text, used_order_id, used_at IS NOT NULL FROM commerce.coupon_issues WHERE id IN (%s, %s, %s)$$, :order_coupon, :teapot_coupon, :free_coupon),
	format($$VALUES (%1$s::bigint, 'USED', %2$s::bigint, true), (%3$s, 'USED', %2$s, true), (%4$s, 'USED', %2$s, true)$$, :order_coupon, :o, :teapot_coupon, :free_coupon), 'the coupons are used by it');
SELECT is(events('CouponIssue', :order_coupon), 'CouponIssued CouponUsed', 'with their events');
SELECT ok(event_payload('CouponIssue', :order_coupon, 'CouponUsed') @> jsonb_build_object('id', :order_coupon, 'status', 'USED', 'used_order_id', :o), 'that carry the coupon');
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:teapot, 1), '{' || :order_coupon || '}'), 'COUPON_NOT_USABLE', 'a used coupon');
SELECT refuses(format('SELECT commerce.revoke_coupon(%s)', :order_coupon), 'COUPON_NOT_USABLE', 'to revoke a used coupon');
SELECT results_eq(format('SELECT seq, coupon_issue_id, unit_discount, order_discount_share, shipping_discount FROM commerce.order_items WHERE order_id = %s ORDER BY seq', :o),
	format('VALUES (1, %s::bigint, 1500::bigint, 370::bigint, 3000::bigint), (2, NULL, 0, 130, 2500)', :teapot_coupon), 'each item has its part of them');

-- One product, with a coupon and without: two lines
SELECT commerce.create_coupon('own', 'FIXED', 500, 100, valid_days => 1, product_id => :own) AS c \gset
SELECT id AS own_coupon FROM commerce.claim_coupon(:kim, :c) \gset
SELECT commerce.adjust_stock(:own, 100) \g /dev/null
SELECT id AS o FROM commerce.place_order(:kim, jsonb_build_array(jsonb_build_object('product_id', :own, 'quantity', 1),
	jsonb_build_object('product_id', :own, 'quantity', 2, 'coupon_issue_id', :own_coupon), jsonb_build_object('product_id', :own, 'quantity', 1))) \gset
SELECT results_eq(format('SELECT seq, quantity, unit_discount FROM commerce.order_items WHERE order_id = %s ORDER BY seq', :o), 'VALUES (1, 2::bigint, 0::bigint), (2, 2, 500)',
	'lines of one product with different coupons stay apart');

-- Isolation levels
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT lives_ok(pg_temp.call(:kim, pg_temp.items(:own, 1)), 'REPEATABLE READ orders');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT lives_ok(pg_temp.call(:kim, pg_temp.items(:own, 1)), 'SERIALIZABLE orders');
SELECT isnt_empty($$SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
	WHERE d.datname = current_database() AND l.relation = 'commerce.promotions'::regclass AND l.mode = 'SIReadLock'$$, 'they have read that there is no promotion');
COMMIT;
SELECT books() AS before \gset
BEGIN READ ONLY;
SELECT refuses(pg_temp.call(:kim, pg_temp.items(:own, 1)), '25006', 'to order in a read-only transaction');
SELECT refuses('SELECT commerce.place_order(NULL, NULL)', '25006', 'that comes before anything else');
COMMIT;
BEGIN;
SELECT lives_ok(pg_temp.call(:kim, pg_temp.items(:own, 1)), 'an order');
ROLLBACK;
SELECT is(books(), :'before'::jsonb, 'a rollback leaves nothing of it');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
-- Who is short because of an unpaid order of his own is told which.
SELECT commerce.create_user('Own', 'own@example.com') AS own_buyer \gset
SELECT commerce.create_product(NULL, 'Last', 1000, 1) AS last \gset
SELECT commerce.create_product(NULL, 'Beside it', 1000, 10) AS beside \gset
SELECT commerce.create_coupon('own', 'FIXED', 100, 10, valid_days => 1) AS c \gset
SELECT id AS own_coupon FROM commerce.claim_coupon(:own_buyer, :c) \gset
SELECT id AS unpaid FROM commerce.place_order(:own_buyer, pg_temp.items(:last, 1), ARRAY[:own_coupon], payment_method => 'EXTERNAL') \gset
SELECT is(detail_of(format('SELECT commerce.place_order(%s, %L)', :own_buyer, pg_temp.items(:last, 1)))::jsonb,
	jsonb_build_object('product_id', :last, 'asked', 1, 'available', 0, 'index', 0, 'own_order_id', :unpaid), 'the units are in an unpaid order of his own');
SELECT is(detail_of(format('SELECT commerce.place_order(%s, %L)', :own_buyer, pg_temp.items(:last, 2)))::jsonb,
	jsonb_build_object('product_id', :last, 'asked', 2, 'available', 0, 'index', 0), 'who wants more than that order has is not helped by it');
SELECT is(detail_of(format('SELECT commerce.place_order(%s, %L, ARRAY[%s])', :own_buyer, pg_temp.items(:beside, 1), :own_coupon))::jsonb,
	jsonb_build_object('coupon_issue_id', :own_coupon, 'reason', 'HELD', 'own_order_id', :unpaid), 'the coupon is in an unpaid order of his own');
SELECT commerce.confirm_payment(:unpaid, true, 'own') \g /dev/null
SELECT is(detail_of(format('SELECT commerce.place_order(%s, %L, ARRAY[%s])', :own_buyer, pg_temp.items(:beside, 1), :own_coupon))::jsonb,
	jsonb_build_object('coupon_issue_id', :own_coupon, 'reason', 'USED'), 'a coupon of a paid order is used');
SELECT is(detail_of(format('SELECT commerce.place_order(%s, %L)', :own_buyer, pg_temp.items(:last, 1)))::jsonb,
	jsonb_build_object('product_id', :last, 'asked', 1, 'available', 0, 'index', 0), 'and its units are sold');

SELECT * FROM finish();
