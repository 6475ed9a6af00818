-- Events as a data platform reads them: through a subscription, and nothing else.
-- From them alone it knows every order, account and coupon as the shop does.
-- role: postgres
-- Postgres only moves clocks by hand.

SELECT no_plan();
-- What somebody has added to the shop's tables is nothing for subscribers.
SELECT format('ALTER TABLE commerce.%I ADD COLUMN of_the_dba int DEFAULT 5', t)
FROM unnest('{users,sellers,products,promotions,coupons,coupon_issues,orders,order_items,payments,shipments,order_sheets,order_sheet_items}'::text[]) t \gexec
SELECT commerce.subscribe('platform');
SET ROLE shop;
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT commerce.create_user('Boss', 'boss@example.com', role => 'ADMIN') AS boss \gset
SELECT commerce.create_seller(commerce.create_user('Potter', 'potter@example.com', role => 'SELLER'), 'Kiln', '1') AS kiln \gset
SELECT commerce.create_product(:kiln, 'Cup', 1000, 100, shipping_fee => 300, discount => 50) AS cup \gset
SELECT commerce.create_product(NULL, 'Pot', 7000, 4) AS pot \gset
SELECT commerce.charge_balance(:kim, 1000000), commerce.charge_balance(:lee, 50000);
SELECT commerce.create_coupon('used', 'FIXED', 500, 100, valid_days => 10) AS used \gset
SELECT commerce.create_coupon('restored', 'FIXED', 700, 100, valid_days => 10) AS restored \gset
SELECT commerce.create_coupon('expired', 'PERCENT', 7, 100, valid_days => 10) AS expired \gset
SELECT commerce.create_coupon('revoked', 'FREE_SHIPPING', 0, 100, valid_days => 10) AS revoked \gset
SELECT (commerce.claim_coupon(:kim, :used)).id AS used \gset
SELECT (commerce.claim_coupon(:kim, :restored)).id AS restored \gset
SELECT (commerce.claim_coupon(:kim, :expired)).id AS expired \gset
SELECT (commerce.claim_coupon(:kim, :revoked)).id AS revoked \gset
SELECT (commerce.revoke_coupon(:revoked, :boss, 'misuse')).status;

SELECT balance FROM commerce.adjust_balance(:kim, 500, 'sorry', :boss);
SELECT name FROM commerce.update_user(:kim, name => 'Kim Minji', actor_id => :boss, note => 'whole name');
SELECT phone FROM commerce.update_user(:kim, phone => '010-1', actor_id => :kim, note => 'myself');
SELECT shipping_fee FROM commerce.update_seller((SELECT min(id) FROM commerce.sellers), shipping_fee => 0, category => 'pots', actor_id => :boss);
SELECT (commerce.set_user_status(:lee, s, :boss, 'a look')).status FROM unnest('{SUSPENDED,ACTIVE}'::commerce.user_status[]) s;

SELECT status FROM commerce.erase_user(commerce.create_user('Gone', 'gone@example.com'), :boss);
SELECT description FROM commerce.update_product(:cup, description => 'with a handle', actor_id => :boss, note => 'asked for');
SELECT (commerce.set_product_status(:pot, s, :boss, 'a crack')).status FROM unnest('{DISCONTINUED,ON_SALE}'::commerce.product_status[]) s;
SELECT commerce.adjust_stock(:cup, 1, 'found', :boss);
SELECT commerce.create_promotion(:pot, 'FIXED', 1, now() + interval '1 day', now() + interval '2 days') AS promotion \gset
SELECT (commerce.update_promotion(:promotion, 2)).value, (commerce.end_promotion(:promotion)).value;
SELECT commerce.create_coupon('offer', 'FIXED', 500, 100, valid_days => 10) AS offer \gset
SELECT (commerce.update_coupon(:offer, quantity => 50)).quantity, (commerce.stop_coupon(:offer)).quantity;

-- paid at once, with a coupon; one of its cups is cancelled, the rest goes to the buyer
SELECT format('[{"product_id": %s, "quantity": 3}, {"product_id": %s, "quantity": 1}]', :cup, :pot) AS both \gset
SELECT (commerce.place_order(:kim, :'both', ARRAY[:used::bigint])).id AS o \gset
SELECT id AS cups FROM commerce.order_items WHERE order_id = :o AND product_id = :cup \gset
SELECT (commerce.cancel_order_item(:cups, 1, 'BUYER', :kim)).status;
SELECT (commerce.change_item_status(id, s::commerce.order_item_status, 'ADMIN', :boss)).status
FROM commerce.order_items, unnest('{DISPATCHED,IN_TRANSIT,DELIVERED}'::text[]) WITH ORDINALITY u (s, n)
WHERE order_id = :o AND status <> 'CANCELLED' ORDER BY n, id;
-- sent as a parcel
SELECT (commerce.place_order(:kim, :'both')).id AS p \gset
SELECT id FROM commerce.update_delivery(:p, '{"memo": "at the door"}', 'BUYER', :kim);
SELECT id AS parcel FROM commerce.dispatch_items(ARRAY(SELECT id FROM commerce.order_items WHERE order_id = :p AND product_id = :cup), 'Post', 'KR1', actor => 'ADMIN', actor_id => :boss) \gset
SELECT commerce.change_shipment_status(:parcel, 'DELIVERED', 'ADMIN', :boss);
-- from before the shop was here
SELECT commerce.import_order(jsonb_build_object('user_id', :kim, 'paid_at', '2020-05-05T12:00:00Z', 'items', jsonb_build_array(jsonb_build_object('product_id', :cup, 'quantity', 2, 'unit_price', 900)), 'payment_amount', 1800));
-- of a sheet, cancelled whole
SELECT (commerce.place_sheet_order((commerce.create_order_sheet(:kim, :'both', ARRAY[:restored::bigint])).id)).id AS s \gset
SELECT (commerce.cancel_order(:s, 'BUYER', :kim, 'changed my mind')).status;
-- paid outside: yes, no, and yes with a cancellation after
SELECT (commerce.confirm_payment((commerce.place_order(:lee, :'both', payment_method => 'EXTERNAL')).id, true, 'p1')).id AS x \gset
SELECT (commerce.cancel_order(:x, 'BUYER', :lee)).status;
SELECT (commerce.confirm_payment((commerce.place_order(:lee, :'both', payment_method => 'EXTERNAL')).id, false, 'p2')).status;
-- money that nobody asked for, and a refund that failed, was asked anew, and then went through after all
SELECT (commerce.confirm_payment(:x, true, 'p9')).status;
SELECT id AS r FROM commerce.payments WHERE order_id = :x AND kind = 'REFUND' \gset
SELECT (commerce.report_refund(:r, false, 'r1')).status;
SELECT (commerce.refund_order(:x, (SELECT amount FROM commerce.payments WHERE id = :r), NULL, 'anew')).status;
SELECT (commerce.report_refund(:r, true, 'r2')).status;
-- a charge that a provider is to pay, and does not
SELECT (commerce.confirm_charge((commerce.request_charge(:lee, 100)).id, false, 'c1')).status;
-- pending, and all pots sold
SELECT (commerce.place_order(:kim, format('[{"product_id": %s, "quantity": 2}]', :pot)::jsonb, payment_method => 'EXTERNAL')).status;
RESET ROLE;
UPDATE commerce.coupon_issues SET expires_at = now() - interval '1 second' WHERE id = :expired;
SELECT commerce.expire_coupons();
SELECT fold_all();

-- what the platform reads
SELECT settle();
CREATE TEMP TABLE e AS SELECT * FROM commerce.fetch_events('platform', 1000);
SELECT set_eq('SELECT id FROM e', 'SELECT id FROM commerce.outbox', 'the platform has every event');
SELECT set_eq(
	'SELECT DISTINCT type, aggregatetype FROM e',
	$$SELECT type, aggregatetype FROM commerce.event_types WHERE type <> 'ConversionAlert'$$,
	'every type there is was written (but an alert), about what event_types says');

-- what it makes of them: the newest event of each aggregate
CREATE TEMP TABLE orders AS
SELECT DISTINCT ON (aggregateid) aggregateid::bigint AS id, payload FROM e
WHERE aggregatetype = 'Order' AND type <> 'DeliveryRequested' ORDER BY aggregateid, position DESC;
SELECT is(count(*), 7::bigint, 'seven orders') FROM orders;
SELECT is_empty(
	$$SELECT o.id, k.key, o.payload -> k.key, to_jsonb(l) -> k.key
	  FROM orders o JOIN commerce.order_list l USING (id)
	  CROSS JOIN unnest('{user_id,status,payment_method,created_at,paid_at,expires_at,items_total,item_discount_total,order_discount,shipping_discount,shipping_total,payment_amount,refunded_amount}'::text[]) k (key)
	  WHERE CASE WHEN k.key LIKE '%\_at' THEN (o.payload ->> k.key)::timestamptz IS DISTINCT FROM (to_jsonb(l) ->> k.key)::timestamptz
				 ELSE o.payload -> k.key IS DISTINCT FROM to_jsonb(l) -> k.key END$$,
	'an order''s last event has the order as it is');
SELECT is_empty(
	$$SELECT i.id, e.item FROM commerce.order_items i CROSS JOIN LATERAL (SELECT t.item FROM commerce.outbox b
		CROSS JOIN jsonb_array_elements(b.payload -> 'items') t (item) WHERE b.aggregatetype = 'Order' AND b.type <> 'DeliveryRequested' AND t.item ->> 'id' = i.id::text
		ORDER BY b.era DESC, b.key DESC, b.position DESC LIMIT 1) e
	  WHERE NOT to_jsonb(i) - '{delivered_at}'::text[] @> e.item$$,
	'with every item, as it is, with its prices, discounts and seller (when it was delivered, its own event says)');
SELECT set_eq(
	$$SELECT DISTINCT (t.item ->> 'id')::bigint FROM commerce.outbox b CROSS JOIN jsonb_array_elements(b.payload -> 'items') t (item)
	  WHERE b.aggregatetype = 'Order'$$,
	'SELECT id FROM commerce.order_items', 'and no other');
SELECT set_eq(
	$$SELECT DISTINCT ON (aggregateid) aggregateid::bigint, payload ->> 'status', (payload ->> 'used_order_id')::bigint
	  FROM e WHERE aggregatetype = 'CouponIssue' ORDER BY aggregateid, position DESC$$,
	'SELECT id, status::text, used_order_id FROM commerce.coupon_issues',
	'a coupon''s last event has the coupon as it is');
SELECT results_eq(
	$$SELECT aggregateid::bigint, sum((payload ->> 'amount')::bigint)::bigint FROM e WHERE type = 'BalanceCharged' GROUP BY 1 ORDER BY 1$$,
	$$SELECT user_id, sum(amount)::bigint FROM commerce.balance_entries WHERE kind = 'CHARGE' GROUP BY 1 ORDER BY 1$$,
	'charges add up');
SELECT results_eq(
	$$SELECT payload ->> 'name', (payload ->> 'product_id')::bigint, payload -> 'seller_id' = 'null' FROM e WHERE type = 'StockDepleted'$$,
	format($$VALUES ('Pot', %s::bigint, true)$$, :pot), 'the product that is sold out is named');
SELECT set_eq(
	$$SELECT DISTINCT ON (aggregateid) aggregateid::bigint, payload ->> 'name' AS name, (payload ->> 'price')::bigint AS price, payload ->> 'status' AS status
	  FROM e WHERE aggregatetype = 'Product' AND type <> 'StockAdjusted' ORDER BY aggregateid, position DESC$$,
	'SELECT id, name, price, status::text FROM commerce.products', 'a product''s last event but one of stock has the product as it is');
SELECT is_empty(
	$$SELECT FROM (SELECT type, lag(type) OVER (PARTITION BY aggregatetype, aggregateid ORDER BY position) AS before FROM e) f
	  WHERE (type IN ('UserCreated', 'SellerCreated', 'OrderCreated', 'OrderImported', 'CouponIssued', 'OrderSheetCreated', 'ProductCreated', 'PromotionCreated', 'CouponCreated')) <> (before IS NULL)$$,
	'every aggregate begins with its beginning');
SELECT is(count(DISTINCT id), count(*), 'ids are unique') FROM e;
SELECT ok(bool_and(created_at <= now() AND created_at > now() - interval '1 hour'), 'and times are when it happened') FROM e;

SELECT is_empty($$SELECT type FROM e WHERE payload @? '$.**.of_the_dba'$$, 'nothing that was added to the shop''s tables is told');

-- Who did it and why is said in one way by all.
SELECT set_eq(
	$$SELECT DISTINCT type FROM e WHERE payload ? 'actor'$$,
	$$VALUES ('UserChanged'), ('UserStatusChanged'), ('UserErased'), ('SellerCreated'), ('SellerChanged'), ('BalanceAdjusted'), ('CouponCreated'),
		('CouponChanged'), ('CouponStopped'), ('CouponRevoked'), ('ProductCreated'), ('ProductChanged'), ('ProductStatusChanged'), ('PromotionCreated'),
		('PromotionChanged'), ('PromotionEnded'), ('StockAdjusted'), ('OrderItemStatusChanged'), ('ShipmentCreated'), ('ShipmentChanged'),
		('DeliveryChanged'), ('RefundRequested')$$, 'these say who');
SELECT is_empty(
	$$SELECT type, payload -> 'actor' FROM e WHERE payload ? 'note' OR payload ? 'actor' AND
		(NOT payload -> 'actor' ?& '{kind,id,note}' OR (payload -> 'actor') - '{kind,id,note}'::text[] <> '{}'
		 OR payload #>> '{actor,kind}' <> ALL (enum_range(NULL::commerce.actor_kind)::text[])
		 OR payload #>> '{actor,kind}' = 'SYSTEM' AND payload #>> '{actor,id}' IS NOT NULL)$$, 'by kind, id and note');
SELECT is(payload -> 'actor', who('BUYER', :kim, 'myself') -> 'actor', 'a user who changes himself')
FROM e WHERE type = 'UserChanged' AND aggregateid = :'kim' ORDER BY position DESC LIMIT 1;

-- They are written in jsonb's own form by commerce: PostgreSQL finds in it what it finds in what it has parsed itself,
-- also where there are many members, and where all numbers are large.
SELECT count(*) AS places FROM generate_series(1, 40) n,
	commerce.create_product(CASE WHEN n % 2 = 0 THEN :kiln END, 'thing ' || n, 1000000007::bigint * n, 100) AS id;
SELECT count(*) FROM commerce.place_order(:kim, (SELECT jsonb_agg(jsonb_build_object('product_id', id, 'quantity', 1)) FROM commerce.products WHERE name LIKE 'thing %'),
	payment_method => 'EXTERNAL', delivery => '{"name": "김민지"}', metadata => '{"a": [1, {"b": null}], "c": {}}');
SELECT is(max(jsonb_array_length(payload -> 'items')), 40, 'many items') FROM commerce.outbox;
SELECT is_empty(
	$$SELECT o.type FROM commerce.outbox o WHERE o.payload <> o.payload::text::jsonb OR o.payload::text <> o.payload::text::jsonb::text$$,
	'every payload is the value that its text is');
SELECT is_empty(
	$$WITH parsed AS (SELECT o.type, o.payload, o.payload::text::jsonb AS same FROM commerce.outbox o)
	SELECT p.type, k.key FROM parsed p CROSS JOIN LATERAL jsonb_object_keys(p.same) k (key) WHERE (p.payload -> k.key) IS DISTINCT FROM (p.same -> k.key)
	UNION ALL
	SELECT p.type, k.key FROM parsed p CROSS JOIN LATERAL jsonb_array_elements(p.payload -> 'items') WITH ORDINALITY i (item, n)
	CROSS JOIN LATERAL jsonb_each(p.same -> 'items' -> (i.n - 1)::int) k (key, value) WHERE (i.item -> k.key) IS DISTINCT FROM k.value$$,
	'and its members are found by their keys');

-- Events that are written together are in that order, however many, and before those that are written later.
SELECT array_agg(commerce.create_seller(commerce.create_user('Many ' || n, 'many' || n || '@example.com', role => 'SELLER'), 'Many ' || n, 'many ' || n)) AS many
FROM generate_series(1, 20) n \gset
SELECT jsonb_agg(jsonb_build_object('product_id', commerce.create_product(s, 'Many', 10, 10), 'quantity', 1)) AS many_items FROM unnest(:'many'::bigint[]) s \gset
SELECT (commerce.place_order(:kim, :'many_items')).id AS many1 \gset
SELECT (commerce.place_order(:kim, :'many_items')).id AS many2 \gset
SELECT results_eq(format($$SELECT e.aggregateid::bigint, e.type, (e.payload->>'seller_id')::bigint FROM commerce.outbox e
	WHERE e.aggregatetype = 'Order' AND e.aggregateid IN ('%s', '%s') ORDER BY e.position$$, :many1, :many2),
	format($$SELECT o, t.type, t.seller FROM unnest(ARRAY[%s, %s]::bigint[]) o
	CROSS JOIN (VALUES (1, 'OrderCreated', NULL::bigint), (2, 'PaymentCompleted', NULL) UNION ALL SELECT 3, 'DeliveryRequested', s FROM unnest(%L::bigint[]) s) t (n, type, seller)
	ORDER BY o, t.n, t.seller$$, :many1, :many2, :'many'), 'positions are in the order of writing');
SELECT is(count(DISTINCT e.position), count(*), 'and each is of one event') FROM commerce.outbox e;

-- Payloads are compressed by commerce: equal bytes of every length, at every distance, and none.
RESET ROLE;
CREATE TEMP TABLE shapes AS
WITH noise AS (SELECT string_agg(md5(n::text), '') AS text FROM generate_series(1, 160) n)
SELECT row_number() OVER () AS n, jsonb_build_object('text', t.text) AS payload
FROM noise, LATERAL (
	SELECT repeat('a', 600) AS text
	UNION ALL SELECT noise.text
	UNION ALL SELECT string_agg(left(noise.text, l) || chr(32 + l % 90), '') FROM generate_series(1, 300) l
	UNION ALL SELECT left(noise.text, d) || left(noise.text, 40) FROM generate_series(4070, 4110) d
	UNION ALL SELECT left(noise.text, 600) || left(noise.text, l) || '!' FROM generate_series(1, 40) l
	UNION ALL SELECT left(noise.text, 600) || left(noise.text, l) FROM generate_series(260, 300) l) t;
SELECT count(commerce_private.write_event('User', 'shape', n::text, payload, '1')) FROM shapes;
SELECT results_eq(
	$$SELECT type::bigint, payload FROM commerce.outbox WHERE aggregateid = 'shape' ORDER BY 1$$,
	'SELECT n, payload FROM shapes ORDER BY 1', 'a payload comes back as it was written');
SELECT cmp_ok(pg_column_size(payload), '<', 100, 'and takes little room where it says little')
FROM commerce.outbox WHERE aggregateid = 'shape' AND type = '1';

SELECT * FROM finish();
