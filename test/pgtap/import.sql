-- Moving in: users, orders that are over, and the coupons that users hold.

SELECT no_plan();
SELECT commerce.create_seller(commerce.create_user('Potter', 'potter@example.com', role => 'SELLER'), 'Pots', '1') AS pots \gset
SELECT commerce.create_product(:pots, 'pot', 3000, 10) AS pot \gset
SELECT commerce.create_product(NULL, 'cup', 1000, 10) AS cup \gset

-- import_user
SELECT commerce.import_user('{"name": "Kim", "email": "kim@example.com", "phone": "010-1", "address": "Seoul", "external_id": "kakao|1",
	"metadata": {"grade": 1}, "balance": "12345", "created_at": "2019-03-01T10:00:00+09:00"}', 'k1') AS kim \gset
SELECT results_eq(format('SELECT name, email, phone, address, external_id, metadata, balance, role::text, created_at FROM commerce.users WHERE id = %s', :kim),
	$$VALUES ('Kim', 'kim@example.com', '010-1', 'Seoul', 'kakao|1', '{"grade": 1}'::jsonb, 12345::bigint, 'BUYER', '2019-03-01T01:00:00Z'::timestamptz)$$, 'a user is imported');
SELECT results_eq(format('SELECT number, kind::text, amount, balance_after FROM commerce.balance_entries WHERE user_id = %s', :kim),
	$$VALUES (1::bigint, 'OPENING', 12345::bigint, 12345::bigint)$$, 'with an opening balance');
SELECT is(events('User', :kim), 'UserCreated', 'readers of events learn of the user');
SELECT is(commerce.import_user('{"name": "Kim", "email": "kim@example.com", "phone": "010-1", "address": "Seoul", "external_id": "kakao|1",
	"metadata": {"grade": 1}, "balance": "12345", "created_at": "2019-03-01T10:00:00+09:00"}', 'k1'), :kim::bigint, 'the same line again is the same user');
SELECT refuses($$SELECT commerce.import_user('{"name": "Lee"}', 'k1')$$, 'IDEMPOTENCY_KEY_REUSED', 'the key with another line');
SELECT commerce.import_user('{"name": "Lee"}') AS lee \gset
SELECT is_empty(format('SELECT FROM commerce.balance_entries WHERE user_id = %s', :lee), 'without a balance there is no entry');
SELECT refuses($$SELECT commerce.import_user('{"name": "x", "email": "KIM@example.com"}')$$, 'ALREADY_EXISTS', 'a taken e-mail');
SELECT refuses($$SELECT commerce.import_user('{"name": "x", "external_id": "kakao|1"}')$$, 'ALREADY_EXISTS', 'a taken external id');
SELECT refuses(format('SELECT commerce.import_user(%L)', d), 'INVALID_REQUEST', 'import_user ' || coalesce(d::text, 'NULL'))
FROM unnest(ARRAY[NULL, '[]', '3', 'null', '{}', '{"name": ""}', '{"name": 3}', '{"name": "x", "email": "x"}', '{"name": "x", "balance": -1}',
	'{"name": "x", "balance": 1.5}', '{"name": "x", "balance": 1e30}', '{"name": "x", "balance": true}', '{"name": "x", "balanse": 1}',
	'{"name": "x", "created_at": "soon"}', '{"name": "x", "created_at": "infinity"}', '{"name": "x", "created_at": 5}',
	'{"name": "x", "metadata": []}']::jsonb[]) d;

-- import_order
CREATE FUNCTION pg_temp.imported(buyer bigint, more jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('user_id', buyer, 'paid_at', '2020-05-05T12:00:00+09:00', 'items',
		jsonb_build_array(jsonb_build_object('product_id', (SELECT id FROM commerce.products WHERE name = 'pot'), 'quantity', 2, 'unit_price', 2500, 'unit_discount', 100),
			jsonb_build_object('product_id', (SELECT id::text FROM commerce.products WHERE name = 'cup'), 'quantity', '3', 'unit_price', 900, 'product_name', 'old cup', 'tax_exempt', true))) || more
$$;
SELECT commerce.import_order(pg_temp.imported(:kim, '{"order_discount": 1000, "shipping_total": 3000, "payment_amount": 9500, "created_at": "2020-05-05T11:00:00+09:00",
	"delivered_at": "2020-05-07T12:00:00+09:00", "delivery": {"name": "Kim''s mother", "memo": "ring"}, "provider_event_id": "pay-1", "payment_channel": "card", "metadata": {"old": 17}}'), 'o1') AS o \gset
SELECT results_eq(format($$SELECT user_id, status::text, payment_method::text, created_at, paid_at, items_total, item_discount_total, order_discount, shipping_total,
		payment_amount, refunded_amount, tax_free_amount, recipient_name, recipient_phone, recipient_memo, metadata, imported FROM commerce.orders WHERE id = %s$$, :o),
	format($$VALUES (%s::bigint, 'COMPLETED', 'EXTERNAL', '2020-05-05T02:00:00Z'::timestamptz, '2020-05-05T03:00:00Z'::timestamptz, 7700::bigint, 200::bigint, 1000::bigint, 3000::bigint,
		9500::bigint, 0::bigint, 2340::bigint, 'Kim''s mother', '010-1', 'ring', '{"old": 17}'::jsonb, true)$$, :kim), 'an order is imported');
SELECT results_eq(format($$SELECT seq, line, product_id, seller_id, product_name, status::text, quantity, unit_price, unit_discount, line_total, order_discount_share, shipping_fee, tax_exempt
		FROM commerce.order_items WHERE order_id = %s ORDER BY seq$$, :o),
	format($$VALUES (1, 1, %s::bigint, %s::bigint, 'pot', 'CONFIRMED', 2::bigint, 2500::bigint, 100::bigint, 4800::bigint, 640::bigint, 3000::bigint, false),
		(2, 2, %s::bigint, NULL, 'old cup', 'CONFIRMED', 3::bigint, 900::bigint, 0::bigint, 2700::bigint, 360::bigint, 0::bigint, true)$$, :pot, :pots, :cup), 'with its items');
SELECT results_eq(format($$SELECT kind::text, method::text, status::text, amount, provider_event_id, channel FROM commerce.payments WHERE order_id = %s$$, :o),
	$$VALUES ('PAYMENT', 'EXTERNAL', 'COMPLETED', 9500::bigint, 'pay-1', 'card')$$, 'and its payment');
SELECT is(events('Order', :o), 'OrderImported', 'nobody is asked to deliver');
SELECT is(jsonb_array_length(event_payload('Order', :o, 'OrderImported')->'items'), 2, 'the event carries the whole order');
SELECT is(commerce.import_order(pg_temp.imported(:kim, '{"order_discount": 1000, "shipping_total": 3000, "payment_amount": 9500, "created_at": "2020-05-05T11:00:00+09:00",
	"delivered_at": "2020-05-07T12:00:00+09:00", "delivery": {"name": "Kim''s mother", "memo": "ring"}, "provider_event_id": "pay-1", "payment_channel": "card", "metadata": {"old": 17}}'), 'o1'), :o::bigint, 'the same line again is the same order');
SELECT is(commerce.available_stock(:pot) + commerce.available_stock(:cup), 20::bigint, 'no stock moves');
SELECT is((SELECT balance FROM commerce.get_balance(:kim)), 12345::bigint, 'nor the balance');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');

-- a moment that the library would take for none
SELECT commerce.import_order(pg_temp.imported(:lee, '{"payment_amount": 7500, "paid_at": "2000-01-01T00:00:00Z"}')) AS old \gset
SELECT is(date_trunc('ms', (event_payload('Order', :old, 'OrderImported')->>k)::timestamptz), '2000-01-01T00:00:00Z', 'the event has ' || k) FROM unnest('{created_at,paid_at}'::text[]) k;
SELECT is(date_trunc('ms', paid_at), '2000-01-01T00:00:00Z', 'so has the order when it is refunded') FROM commerce.refund_order(:old, 100, NULL, NULL);

-- a difference goes where the call says
SELECT results_eq(format('SELECT order_discount, shipping_total FROM commerce.orders WHERE id = %s',
		commerce.import_order(pg_temp.imported(:kim, more))), format('VALUES (%s::bigint, %s::bigint)', discount, shipping), more::text)
FROM (VALUES ('{"payment_amount": 7000, "difference": "order_discount"}'::jsonb, 500, 0),
	('{"payment_amount": 7999, "difference": "shipping_total"}', 0, 499),
	('{"payment_amount": 7500}', 0, 0), ('{"payment_amount": 0, "order_discount": 7500}', 7500, 0)) v (more, discount, shipping);
SELECT refuses(format('SELECT commerce.import_order(%L)', pg_temp.imported(:kim, more)), 'INVALID_REQUEST', more::text)
FROM unnest(ARRAY['{}', '{"payment_amount": 7000}', '{"payment_amount": 8000, "difference": "order_discount"}', '{"payment_amount": 7000, "difference": "shipping_total"}',
	'{"payment_amount": 7000, "difference": "x"}', '{"payment_amount": 7500, "items": []}', '{"payment_amount": 7500, "items": {}}', '{"payment_amount": 7500, "items": [1]}',
	'{"payment_amount": 7500, "items": [{"product_id": 1, "quantity": 0, "unit_price": 7500}]}', '{"payment_amount": 7500, "items": [{"product_id": 1, "quantity": 1}]}',
	'{"payment_amount": 7500, "items": [{"product_id": 1, "quantity": 1, "unit_price": 7500, "unit_discount": 7501}]}',
	'{"payment_amount": 7500, "items": [{"product_id": 1, "quantity": 1000000000000, "unit_price": 1000000000000}]}',
	'{"payment_amount": 7500, "items": [{"product_id": "1x", "quantity": 1, "unit_price": 7500}]}', '{"payment_amount": 7500, "what": 1}', '{"payment_amount": 7500, "paid_at": null}',
	'{"payment_amount": 7500, "paid_at": "2999-01-01"}', '{"payment_amount": 7500, "delivered_at": "2019-01-01"}', '{"payment_amount": 7500, "created_at": "2021-01-01"}',
	'{"payment_amount": 7500, "delivery": 5}', '{"payment_amount": 7500, "delivery": {"street": "x"}}', '{"payment_amount": 7500, "metadata": 5}', '{"payment_amount": 7500, "user_id": null}']::jsonb[]) more;
SELECT refuses(format('SELECT commerce.import_order(%L)', pg_temp.imported(999, '{"payment_amount": 7500}')), 'ENTITY_NOT_FOUND', 'no such buyer');
SELECT refuses(format('SELECT commerce.import_order(%L)', pg_temp.imported(:kim, '{"payment_amount": 1, "items": [{"product_id": 999, "quantity": 1, "unit_price": 1}]}')), 'ENTITY_NOT_FOUND', 'no such product');

-- what can be done with it
SELECT id AS item FROM commerce.order_items WHERE order_id = :o AND seq = 1 \gset
SELECT refuses(format($$SELECT commerce.cancel_order(%s, 'ADMIN')$$, :o), 'INVALID_STATE_TRANSITION', 'nobody can cancel it');
SELECT refuses(format($$SELECT commerce.cancel_order_item(%s, 1, 'ADMIN')$$, :item), 'INVALID_STATE_TRANSITION', 'nor an item');
SELECT refuses(format($$SELECT commerce.change_item_status(%s, %L, 'ADMIN')$$, :item, s), 'INVALID_STATE_TRANSITION', 'nor take it to ' || s)
FROM unnest(enum_range(NULL::commerce.order_item_status)) s;

-- best sellers: on its own day
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is_empty('SELECT FROM commerce.popular_products()', 'what was sold long ago is no best seller');
SELECT commerce.import_order(pg_temp.imported(:kim, jsonb_build_object('payment_amount', 7500, 'paid_at', now()))) \g /dev/null
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT results_eq('SELECT product_id, units_sold FROM commerce.popular_products()', format('VALUES (%s::bigint, 3::bigint), (%s::bigint, 2::bigint)', :cup, :pot), 'what was sold today is');

-- import_coupon_issue
SELECT commerce.create_coupon('old', 'PERCENT', 10, 3, valid_days => 30, max_discount => 5000, seller_id => :pots) AS coupon \gset
SELECT commerce.import_coupon_issue(jsonb_build_object('user_id', :kim::text, 'coupon_id', :coupon, 'issued_at', now() - interval '40 days', 'expires_at', now() + interval '10 days'), 'c1') AS issue \gset
SELECT results_eq(format($$SELECT user_id, coupon_id, name, kind::text, value, max_discount, scope::text, seller_id, status::text, expires_at - issued_at FROM commerce.coupon_issues WHERE id = %s$$, :issue),
	format($$VALUES (%s::bigint, %s::bigint, 'old', 'PERCENT', 10::bigint, 5000::bigint, 'SELLER', %s::bigint, 'ACTIVE', interval '50 days')$$, :kim, :coupon, :pots), 'a coupon is imported');
SELECT is(events('CouponIssue', :issue), 'CouponIssued', 'readers of events learn of it');
SELECT ok((event_payload('CouponIssue', :issue, 'CouponIssued')->>'imported')::boolean AND (event_payload('User', :kim, 'UserCreated')->>'imported')::boolean, 'and that it was imported, as the user was');
SELECT results_eq(format('SELECT id FROM commerce.usable_coupons(%s)', :kim), ARRAY[:issue::bigint], 'it can be used');
SELECT refuses(format($$SELECT commerce.import_coupon_issue('{"user_id": %s, "coupon_id": %s}')$$, :kim, :coupon), 'COUPON_ALREADY_CLAIMED', 'one of each');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :coupon), 'COUPON_ALREADY_CLAIMED', 'nor can it be claimed again');
SELECT refuses(format('SELECT commerce.import_coupon_issue(%L)', jsonb_build_object('user_id', :lee, 'coupon_id', :coupon) || more), 'INVALID_REQUEST', more::text)
FROM unnest(ARRAY['{"status": "GONE"}', '{"status": "USED"}', jsonb_build_object('status', 'USED', 'used_at', now(), 'used_order_id', :o, 'discount', 5), '{"used_order_id": 5}', '{"x": 1}',
	'{"issued_at": "2999-01-01"}', '{"issued_at": "2020-01-02", "expires_at": "2020-01-01"}', '{"user_id": null}', '{"coupon_id": "x"}']::jsonb[]) more;
SELECT refuses(format($$SELECT commerce.import_coupon_issue('{"user_id": %s, "coupon_id": %s}')$$, u, c), 'ENTITY_NOT_FOUND', 'nobody, or nothing') FROM (VALUES (:kim::bigint, 999::bigint), (999, :coupon)) v (u, c);
SELECT commerce.create_coupon('spent', 'FIXED', 1000, 1, valid_days => 30) AS spent \gset
SELECT commerce.import_coupon_issue(jsonb_build_object('user_id', :kim, 'coupon_id', :spent, 'status', 'USED', 'issued_at', '2020-05-01', 'used_at', '2020-05-05', 'used_order_id', :o, 'discount', 1000), 'c2') AS used \gset
SELECT results_eq(format('SELECT order_id, discount FROM commerce.order_coupons WHERE coupon_issue_id = %s', :used), format('VALUES (%s::bigint, 1000::bigint)', :o), 'one that was used, for an imported order');
SELECT is(commerce.import_coupon_issue(jsonb_build_object('user_id', :kim, 'coupon_id', :spent, 'status', 'USED', 'issued_at', '2020-05-01', 'used_at', '2020-05-05', 'used_order_id', :o, 'discount', 1000), 'c2'), :used::bigint, 'the same line again is the same issue');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :lee, :spent), 'COUPON_SOLD_OUT', 'it was the last one');
SELECT refuses(format($$SELECT commerce.import_coupon_issue('{"user_id": %s, "coupon_id": %s}')$$, :lee, :spent), 'COUPON_SOLD_OUT', 'for imports too');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
