-- Order sheets: what they cost, how long they live, and that each makes one order, at its price or a lower one.
-- role: postgres
-- Postgres only moves clocks and settings by hand; everything else is done as shop.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT commerce.create_seller(commerce.create_user('Potter', 'potter@example.com', role => 'SELLER'), 'Kiln', '1') AS kiln \gset
SELECT commerce.create_product(:kiln, 'Cup', 1000, 10, discount => 100, shipping_fee => 300) AS cup \gset
SELECT commerce.create_product(NULL, 'Pot', 7000, 10) AS pot \gset
SELECT * FROM commerce.charge_balance(:kim, 1000000) \g /dev/null
SELECT id AS ci FROM commerce.claim_coupon(:kim, commerce.create_coupon('off', 'FIXED', 1000, 100, valid_days => 10)) \gset
SELECT id AS line FROM commerce.claim_coupon(:kim, commerce.create_coupon('cups', 'PERCENT', 10, 100, valid_days => 10, product_id => :cup)) \gset
CREATE FUNCTION pg_temp.items(VARIADIC bigint[]) RETURNS jsonb LANGUAGE sql
AS $$SELECT jsonb_agg(jsonb_build_object('product_id', $1[i], 'quantity', $1[i + 1]) ORDER BY i) FROM generate_series(1, cardinality($1), 2) i$$;
CREATE FUNCTION pg_temp.place(sheet uuid) RETURNS text LANGUAGE sql AS $$SELECT format('SELECT commerce.place_sheet_order(%L)', sheet)$$;

-- What a sheet says
BEGIN;
SELECT pg_sleep(0.01);
SELECT id AS sheet, expires_at - created_at = interval '15 minutes' AS in_time
FROM commerce.create_order_sheet(:kim, format('[{"product_id":%s,"quantity":2},{"product_id":%s,"quantity":2,"coupon_issue_id":%s},{"product_id":%1$s,"quantity":1}]', :pot, :cup, :line)::jsonb, ARRAY[:ci]) \gset
COMMIT;
SELECT ok(:'in_time', 'a sheet lives commerce.sheet_ttl, 15 minutes');
SELECT results_eq(format('SELECT user_id, coupon_issue_ids, items_total, item_discount_total, order_discount, shipping_total, payment_amount, consumed_order_id FROM commerce.order_sheets WHERE id = %L', :'sheet'),
	format('VALUES (%s::bigint, ARRAY[%s]::bigint[], 23000::bigint, 380::bigint, 1000::bigint, 300::bigint, 21920::bigint, NULL::bigint)', :kim, :ci), 'its totals');
SELECT results_eq(format('SELECT seq, product_id, product_name, quantity, unit_price, unit_discount, unit_final, line_total, order_discount_share, shipping_fee, coupon_issue_id FROM commerce.order_sheet_items WHERE order_sheet_id = %L ORDER BY seq', :'sheet'),
	format($$VALUES (1, %s::bigint, 'Pot', 3::bigint, 7000::bigint, 0::bigint, 7000::bigint, 21000::bigint, 928::bigint, 0::bigint, NULL::bigint), (2, %s, 'Cup', 2, 1000, 190, 810, 1620, 72, 300, %s)$$, :pot, :cup, :line),
	'its lines, added up');
SELECT is(commerce.available_stock(:cup), 10::bigint, 'it holds no stock');
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :ci), 'ACTIVE', 'and no coupon');
SELECT ok((SELECT payload FROM commerce.outbox WHERE aggregatetype = 'OrderSheet' AND aggregateid = :'sheet' AND type = 'OrderSheetCreated')
	@> jsonb_build_object('order_sheet_id', :'sheet', 'user_id', :kim, 'payment_amount', 21920, 'coupon_issue_ids', jsonb_build_array(:ci),
		'items', jsonb_build_array(jsonb_build_object('seq', 2, 'product_id', :cup, 'unit_final', 810, 'coupon_issue_id', :line))), 'its event carries it whole');

-- One order
SELECT id AS o FROM commerce.place_sheet_order(:'sheet', 'key') \gset
SELECT results_eq(format('SELECT status::text, payment_amount, items_total, order_discount FROM commerce.orders WHERE id = %s', :o), $$VALUES ('PAID', 21920::bigint, 23000::bigint, 1000::bigint)$$, 'the order of a sheet costs what the sheet says');
SELECT results_eq(format('SELECT seq, product_id, quantity, unit_final, order_discount_share, coupon_issue_id FROM commerce.order_items WHERE order_id = %s ORDER BY seq', :o),
	format('SELECT seq, product_id, quantity, unit_final, order_discount_share, coupon_issue_id FROM commerce.order_sheet_items WHERE order_sheet_id = %L ORDER BY seq', :'sheet'), 'line by line');
SELECT is((SELECT consumed_order_id FROM commerce.order_sheets WHERE id = :'sheet'), :o::bigint, 'the sheet knows its order');
SELECT refuses(pg_temp.place(:'sheet'), 'ORDER_SHEET_USED', 'a second order of the sheet');
SELECT is(detail_of(pg_temp.place(:'sheet'))::jsonb, jsonb_build_object('order_sheet_id', :'sheet', 'order_id', :o), 'the detail names the first');
SELECT books() AS books \gset
SELECT is(id, :o::bigint, 'with the key of the first it is the first') FROM commerce.place_sheet_order(:'sheet', 'key');
SELECT is(books(), :'books', 'and nothing else');
SELECT refuses(format('SELECT commerce.place_sheet_order(%L, ''key'', ''EXTERNAL'')', :'sheet'), 'IDEMPOTENCY_KEY_REUSED', 'the key with another method');

-- External payment
SELECT id AS sheet FROM commerce.create_order_sheet(:lee, pg_temp.items(:pot, 1)) \gset
SELECT refuses(pg_temp.place(:'sheet'), 'BALANCE_NOT_ENOUGH', 'an order that cannot be paid');
SELECT is((SELECT consumed_order_id FROM commerce.order_sheets WHERE id = :'sheet'), NULL, 'does not use the sheet up');
SELECT is(status::text, 'PENDING_PAYMENT', 'but one paid outside does') FROM commerce.place_sheet_order(:'sheet', payment_method => 'EXTERNAL');
SELECT refuses(pg_temp.place(:'sheet'), 'ORDER_SHEET_USED', 'a sheet whose order is pending is used');

-- Time is told at use
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, pg_temp.items(:pot, 1)) \gset
RESET ROLE;
UPDATE commerce.order_sheets SET expires_at = now() WHERE id = :'sheet';
SELECT refuses(pg_temp.place(:'sheet'), 'ORDER_SHEET_EXPIRED', 'a sheet whose time is over');
UPDATE commerce.order_sheets SET expires_at = now() + interval '5 seconds' WHERE id = :'sheet';
SET ROLE shop;
SELECT lives_ok(pg_temp.place(:'sheet'), 'at its last seconds it is good');
RESET ROLE;
UPDATE commerce.order_sheets SET expires_at = now() - interval '1 hour' WHERE id = :'sheet';
SELECT refuses(pg_temp.place(:'sheet'), 'ORDER_SHEET_USED', 'used comes before expired');
SET commerce.sheet_ttl = '1h';
SELECT ok(expires_at > now() + interval '59 minutes', 'sheet_ttl can be set') FROM commerce.create_order_sheet(:kim, pg_temp.items(:pot, 1));
RESET commerce.sheet_ttl;
SET ROLE shop;

-- The price is the sheet's or there is no order
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, pg_temp.items(:pot, 2, :cup, 1)) \gset
SELECT * FROM commerce.update_product(:pot, price => 7100) \g /dev/null
SELECT refuses(pg_temp.place(:'sheet'), 'PRICE_CHANGED', 'a higher price');
SELECT is(detail_of(pg_temp.place(:'sheet'))::jsonb, jsonb_build_object('order_sheet_id', :'sheet', 'then', 15200, 'now', 15400), 'the detail tells both');
SELECT * FROM commerce.update_product(:pot, discount => 100) \g /dev/null
SELECT lives_ok(pg_temp.place(:'sheet'), 'a higher price with a discount that makes up for it is the same price');
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, pg_temp.items(:pot, 1, :cup, 1)) \gset
SELECT FROM commerce.update_product(:pot, price => 7200) a, commerce.update_product(:cup, price => 900) b \g /dev/null
SELECT lives_ok(pg_temp.place(:'sheet'), 'the same in all, of other prices');
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, pg_temp.items(:pot, 1)) \gset
SELECT commerce.create_promotion(:pot, 'FIXED', 1000, now() - interval '1 hour', now() + interval '1 hour') \g /dev/null
SELECT lives_ok(pg_temp.place(:'sheet'), 'a lower price is what the order costs');
SELECT is(o.payment_amount, s.payment_amount - 900, 'which is less, by the promotion that takes the discount''s place, than the sheet said') FROM commerce.order_sheets s JOIN commerce.orders o ON o.id = s.consumed_order_id WHERE s.id = :'sheet';
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, pg_temp.items(:pot, 1)) \gset
SELECT * FROM commerce.update_product(:pot, shipping_fee => 1) \g /dev/null
SELECT refuses(pg_temp.place(:'sheet'), 'PRICE_CHANGED', 'another shipping fee');

-- What else can have changed
SELECT id AS c2 FROM commerce.claim_coupon(:kim, commerce.create_coupon('two', 'FIXED', 10, 100, valid_days => 10)) \gset
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, pg_temp.items(:pot, 1), ARRAY[:c2]) \gset
SELECT * FROM commerce.place_order(:kim, pg_temp.items(:pot, 1), ARRAY[:c2]) \g /dev/null
SELECT refuses(pg_temp.place(:'sheet'), 'COUPON_NOT_USABLE', 'its coupon is used elsewhere');
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, pg_temp.items(:pot, 3)) \gset
SELECT commerce.adjust_stock(:pot, 1 - commerce.available_stock(:pot)) \g /dev/null
SELECT refuses(pg_temp.place(:'sheet'), 'STOCK_NOT_ENOUGH', 'the stock is gone');
SELECT * FROM commerce.set_product_status(:pot, 'DISCONTINUED') \g /dev/null
SELECT refuses(pg_temp.place(:'sheet'), 'PRODUCT_NOT_ON_SALE', 'the product is gone');
SELECT refuses(format('SELECT commerce.create_order_sheet(%s, %L)', :kim, pg_temp.items(:pot, 3)), 'PRODUCT_NOT_ON_SALE', 'which a new sheet finds too');
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, pg_temp.items(:cup, 1)) \gset
SELECT * FROM commerce.set_user_status(:kim, 'SUSPENDED') \g /dev/null
SELECT refuses(pg_temp.place(:'sheet'), 'FORBIDDEN', 'the user is suspended');
SELECT refuses(format('SELECT commerce.create_order_sheet(%s, %L)', :kim, pg_temp.items(:cup, 3)), 'FORBIDDEN', 'and makes no sheets');
SELECT * FROM commerce.set_user_status(:kim, 'ACTIVE') \g /dev/null

-- Sweeping frees space
RESET ROLE;
SELECT count(*) AS sheets FROM commerce.order_sheets \gset
UPDATE commerce.order_sheets SET created_at = now() - interval '30 days 1 second', expires_at = now() - interval '30 days' WHERE id = :'sheet' OR consumed_order_id = :o;
SET ROLE shop;
SELECT is(commerce.purge_order_sheets(1), 1, 'at most max_rows');
SELECT is(commerce.purge_order_sheets(), 1, 'sheets older than 30 days go, used or not');
SELECT is((SELECT count(*) FROM commerce.order_sheets), :sheets - 2::bigint, 'and no others');

-- Bad arguments
SELECT refuses('SELECT commerce.create_order_sheet(NULL, ''[{"product_id":1,"quantity":1}]'')', 'INVALID_REQUEST', 'a sheet of nobody');
SELECT refuses('SELECT commerce.create_order_sheet(999999, ''[{"product_id":1,"quantity":1}]'')', 'ENTITY_NOT_FOUND', 'of an unknown user');
SELECT refuses(format('SELECT commerce.create_order_sheet(%s, ''[]'')', :kim), 'INVALID_REQUEST', 'of nothing');
SELECT refuses(format('SELECT commerce.create_order_sheet(%s, NULL)', :kim), 'INVALID_REQUEST', 'of null');
SELECT refuses(format('SELECT commerce.create_order_sheet(%s, %L)', :kim, pg_temp.items(999999, 1)), 'ENTITY_NOT_FOUND', 'of an unknown product');
SELECT refuses(format('SELECT commerce.create_order_sheet(%s, %L, ARRAY[%s])', :lee, pg_temp.items(:cup, 1), :ci), 'COUPON_NOT_USABLE', 'with another''s coupon');
SELECT refuses('SELECT commerce.place_sheet_order(NULL)', 'INVALID_REQUEST', 'an order of no sheet');
SELECT refuses('SELECT commerce.place_sheet_order(gen_random_uuid())', 'ENTITY_NOT_FOUND', 'of an unknown sheet');
SELECT refuses('SELECT commerce.place_sheet_order(gen_random_uuid(), payment_method => NULL)', 'INVALID_REQUEST', 'paid in no way');
SELECT refuses('SELECT commerce.purge_order_sheets(0)', 'INVALID_REQUEST', 'purging no rows');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT finish();
