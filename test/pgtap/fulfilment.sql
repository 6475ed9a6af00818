-- What cancelling, returning and exchanging bring about: splits, money, shipping, stock, coupons, events.
-- role: postgres
-- Postgres only moves clocks and settings by hand; everything else is done as shop.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT commerce.create_seller(commerce.create_user('Potter', 'potter@example.com', role => 'SELLER'), 'Kiln', '1') AS kiln \gset
SELECT commerce.create_seller(commerce.create_user('Weaver', 'weaver@example.com', role => 'SELLER'), 'Loom', '2') AS loom \gset
SELECT commerce.create_product(:kiln, 'Cup', 1000, 100, shipping_fee => 300) AS cup \gset
SELECT commerce.create_product(:kiln, 'Pot', 7000, 100, shipping_fee => 500) AS pot \gset
SELECT commerce.create_product(:loom, 'Scarf', 3333, 100, shipping_fee => 250) AS scarf \gset
SELECT commerce.create_product(NULL, 'Own', 100, 100) AS own \gset
SELECT * FROM commerce.charge_balance(:kim, 10000000) \g /dev/null

CREATE FUNCTION pg_temp.items(VARIADIC bigint[]) RETURNS jsonb LANGUAGE sql
AS $$SELECT jsonb_agg(jsonb_build_object('product_id', $1[i], 'quantity', $1[i + 1]) ORDER BY i) FROM generate_series(1, cardinality($1), 2) i$$;
CREATE FUNCTION pg_temp.item(o bigint, s int) RETURNS bigint LANGUAGE sql
AS $$SELECT id FROM commerce.order_items WHERE order_id = o AND seq = s$$;
CREATE FUNCTION pg_temp.walk(item bigint, VARIADIC steps text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE step text;
BEGIN
	FOREACH step IN ARRAY steps LOOP
		PERFORM commerce.change_item_status(item, step::commerce.order_item_status, 'ADMIN');
	END LOOP;
END $$;
CREATE FUNCTION pg_temp.deliver(item bigint) RETURNS void LANGUAGE sql
AS $$SELECT pg_temp.walk(item, 'DISPATCHED', 'IN_TRANSIT', 'DELIVERED')$$;
-- an order's items: seq, status, quantity, net, shipping, split from which seq
CREATE FUNCTION pg_temp.shows(o bigint) RETURNS TABLE (line text) LANGUAGE sql
AS $$SELECT concat_ws(' ', i.seq, i.status, i.quantity || 'x', i.line_total - i.order_discount_share, i.shipping_fee - i.shipping_discount, 'of ' || p.seq)
	FROM commerce.order_items i LEFT JOIN commerce.order_items p ON p.id = i.split_from WHERE i.order_id = o ORDER BY i.seq$$;

-- Part of a line: 7 x 1000 less 995, net 6005; the parts are floor(6005 (k + c) / 7) - floor(6005 k / 7)
SELECT commerce.create_coupon('995 off', 'FIXED', 995, 100, valid_days => 10) AS off \gset
SELECT id AS ci FROM commerce.claim_coupon(:kim, :off) \gset
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:cup, 7), ARRAY[:ci]) \gset
SELECT pg_temp.item(:o, 1) AS i \gset
SELECT balance AS b FROM commerce.get_balance(:kim) \gset
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.cancel_order_item(%s, 1, ''BUYER'', %s)', :i, :kim),
	$$VALUES ('PARTIALLY_CANCELLED', 857::bigint)$$, 'one of seven: floor(6005 / 7)');
SELECT results_eq(format('SELECT refunded_amount FROM commerce.cancel_order_item(%s, 3, ''BUYER'', %s)', :i, :kim), 'VALUES (3431::bigint)', 'three more: floor(6005 * 4 / 7) in all');
SELECT results_eq(format('SELECT * FROM pg_temp.shows(%s)', :o),
	$$VALUES ('1 PREPARING 3x 2574 300'), ('2 CANCELLED 1x 857 0 of 1'), ('3 CANCELLED 3x 2574 0 of 1')$$, 'the parts are rows of their own, and add up');
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :ci), 'USED', 'a coupon stays used while something of it is left');
SELECT is((SELECT balance FROM commerce.get_balance(:kim)), :b + 3431::bigint, 'the money is back at once');
SELECT is(commerce.available_stock(:cup), 97::bigint, 'so is the stock');
SELECT results_eq(format($$SELECT delta, reason::text, i.seq FROM commerce.stock_entries e JOIN commerce.order_items i ON i.id = e.order_item_id WHERE i.order_id = %s ORDER BY e.ctid$$, :o),
	$$VALUES (-7::bigint, 'ORDER', 1), (1, 'CANCEL', 2), (3, 'CANCEL', 3)$$, 'journalled with the part');
SELECT results_eq(format($$SELECT e.from_status::text, e.event::text, e.quantity, e.actor::text, e.actor_id FROM commerce.order_item_events e WHERE order_item_id = %s$$, pg_temp.item(:o, 3)),
	format($$VALUES ('PREPARING', 'CANCELLED', 3::bigint, 'BUYER', %s::bigint)$$, :kim), 'the part has its own history');
SELECT refuses(format('SELECT commerce.cancel_order_item(%s, 4, ''BUYER'')', :i), 'INVALID_REQUEST', 'more than is left');
SELECT refuses(format('SELECT commerce.cancel_order_item(%s, 1, ''BUYER'')', pg_temp.item(:o, 3)), 'INVALID_STATE_TRANSITION', 'what is cancelled already');
SELECT results_eq(format('SELECT status::text, refunded_amount, payment_amount FROM commerce.cancel_order_item(%s, 3, ''BUYER'')', :i),
	$$VALUES ('REFUNDED', 6305::bigint, 6305::bigint)$$, 'the rest: all of the line, and its shipping');
SELECT results_eq(format('SELECT status::text, used_order_id IS NULL FROM commerce.coupon_issues WHERE id = %s', :ci), $$VALUES ('ACTIVE', true)$$, 'now the coupon is back');
SELECT ok((SELECT restored_at IS NOT NULL FROM commerce.order_coupons WHERE order_id = :o), 'which the order remembers');
SELECT is(events('CouponIssue', :ci), 'CouponIssued CouponUsed CouponRestored', 'the coupon''s events');
SELECT is(events('Order', :o), 'OrderCreated PaymentCompleted DeliveryRequested OrderItemStatusChanged RefundCompleted OrderItemStatusChanged RefundCompleted OrderItemStatusChanged OrderCancelled RefundCompleted',
	'the order''s events');
SELECT ok(event_payload('Order', :o, 'RefundCompleted') @> jsonb_build_object('order_id', :o, 'status', 'REFUNDED', 'refunded_amount', 6305, 'payment_amount', 6305,
	'refund', jsonb_build_object('amount', 2874, 'method', 'BALANCE', 'status', 'COMPLETED')), 'RefundCompleted says what was refunded, and carries the order');
SELECT is(jsonb_array_length(event_payload('Order', :o, 'OrderItemStatusChanged') -> 'items'), 1, 'an event has the items that it is about');
SELECT ok(event_payload('Order', :o, 'OrderItemStatusChanged') @> jsonb_build_object('actor', jsonb_build_object('kind', 'BUYER', 'id', NULL),
	'changes', jsonb_build_array(jsonb_build_object('item_id', :i, 'from_status', 'PREPARING', 'to_status', 'CANCELLED', 'quantity', 3))), 'OrderItemStatusChanged says what changed, and who did it');
SELECT is(ARRAY(SELECT jsonb_object_keys(event_payload('Order', :o, 'OrderCreated')) ORDER BY 1), ARRAY(SELECT jsonb_object_keys(event_payload('Order', :o, 'OrderCancelled')) ORDER BY 1),
	'events of an order have one shape');
SELECT is(ARRAY(SELECT jsonb_object_keys(event_payload('Order', :o, 'OrderCreated') #> '{items,0}') ORDER BY 1), ARRAY(SELECT jsonb_object_keys(event_payload('Order', :o, 'OrderCancelled') #> '{items,2}') ORDER BY 1),
	'its items too');
SELECT refuses(format('SELECT commerce.cancel_order(%s, ''BUYER'')', :o), 'INVALID_STATE_TRANSITION', 'an order cancelled to its end cannot be cancelled');

-- A part of a part
SELECT id AS ci FROM commerce.claim_coupon(:kim, commerce.create_coupon('777 off', 'FIXED', 777, 100, valid_days => 10)) \gset
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:scarf, 10), ARRAY[:ci]) \gset
SELECT pg_temp.deliver(pg_temp.item(:o, 1));
SELECT id AS part FROM commerce.change_item_status(pg_temp.item(:o, 1), 'RETURN_REQUESTED', 'BUYER', :kim, 'moths', 7) \gset
SELECT results_eq(format('SELECT * FROM pg_temp.shows(%s)', :o), $$VALUES ('1 DELIVERED 3x 9766 250'), ('2 RETURN_REQUESTED 7x 22787 0 of 1')$$, 'a return of seven of ten');
SELECT pg_temp.walk(:part, 'RETURN_PROCESSING');
SELECT * FROM commerce.change_item_status(:part, 'RETURNED', 'SELLER', :loom, quantity => 3) \g /dev/null
SELECT pg_temp.walk(:part, 'DELIVERED');
SELECT results_eq(format('SELECT * FROM pg_temp.shows(%s)', :o),
	$$VALUES ('1 DELIVERED 3x 9766 250'), ('2 DELIVERED 4x 13022 0 of 1'), ('3 RETURNED 3x 9765 0 of 2')$$, 'of which three are accepted: floor(22787 * 3 / 7)');
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.orders WHERE id = %s', :o), $$VALUES ('COMPLETED', 9765::bigint)$$, 'refunded without shipping');
SELECT is(commerce.available_stock(:scarf), 93::bigint, 'what was returned is in stock again');
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :ci), 'USED', 'a return brings no coupon back');
SELECT id AS part2 FROM commerce.change_item_status(pg_temp.item(:o, 1), 'RETURN_REQUESTED', 'BUYER', :kim) \gset
SELECT is((SELECT status::text FROM commerce.orders WHERE id = :o), 'PARTIALLY_CANCELLED', 'a return asked for opens a completed order again');
SELECT pg_temp.walk(:part2, 'RETURN_PROCESSING', 'RETURNED');
SELECT pg_temp.walk(:part, 'RETURN_REQUESTED', 'RETURN_PROCESSING', 'RETURNED');
SELECT results_eq(format('SELECT status::text, refunded_amount, shipping_total FROM commerce.orders WHERE id = %s', :o), $$VALUES ('REFUNDED', 32553::bigint, 250::bigint)$$, 'all of it returned: all but the shipping');
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :ci), 'USED', 'and still not the coupon');
SELECT is((SELECT count(*) FROM commerce.outbox WHERE aggregateid = :o::text AND type = 'OrderCancelled'), 0::bigint, 'which is no OrderCancelled');

-- Shipping: a seller's whole group, before dispatch
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:cup, 2, :pot, 1, :scarf, 1, :own, 1)) \gset
SELECT results_eq(format('SELECT refunded_amount FROM commerce.cancel_order_item(%s, 2, ''SELLER'', %s)', pg_temp.item(:o, 1), :kiln), 'VALUES (2300::bigint)', 'a line with a fee of its own, and its fee');
SELECT results_eq(format('SELECT refunded_amount FROM commerce.cancel_order_item(%s, 1, ''BUYER'')', pg_temp.item(:o, 2)), 'VALUES (9800::bigint)', 'the seller''s other line, and its fee');
SELECT results_eq(format('SELECT refunded_amount FROM commerce.cancel_order_item(%s, 1, ''BUYER'')', pg_temp.item(:o, 4)), 'VALUES (9900::bigint)', 'the shop''s own goods are a group too');
SELECT pg_temp.deliver(pg_temp.item(:o, 3));
SELECT pg_temp.walk(pg_temp.item(:o, 3), 'RETURN_REQUESTED', 'RETURN_PROCESSING', 'RETURNED');
SELECT results_eq(format('SELECT status::text, payment_amount - refunded_amount FROM commerce.orders WHERE id = %s', :o), $$VALUES ('REFUNDED', 250::bigint)$$, 'shipping stays paid where something was dispatched');
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:cup, 2, :pot, 1)) \gset
SELECT pg_temp.walk(pg_temp.item(:o, 1), 'DISPATCHED');
SELECT * FROM commerce.cancel_order_item(pg_temp.item(:o, 2), 1, 'BUYER') \g /dev/null
SELECT is((SELECT refunded_amount FROM commerce.orders WHERE id = :o), 7500::bigint, 'the fee of a line does not depend on what else is on its way');
SELECT refuses(format('SELECT commerce.cancel_order(%s, ''BUYER'')', :o), 'INVALID_STATE_TRANSITION', 'nor can the order be cancelled whole');

-- The whole order, with a free-shipping coupon: what was paid, to the won
SELECT id AS ship FROM commerce.claim_coupon(:kim, commerce.create_coupon('free', 'FREE_SHIPPING', 0, 10, valid_days => 10, seller_id => :kiln)) \gset
SELECT id AS ci FROM commerce.claim_coupon(:kim, commerce.create_coupon('13 %', 'PERCENT', 13, 10, valid_days => 10)) \gset
SELECT id AS o, payment_amount AS paid FROM commerce.place_order(:kim, pg_temp.items(:cup, 3, :pot, 1, :scarf, 2), ARRAY[:ship, :ci]) \gset
SELECT * FROM commerce.cancel_order_item(pg_temp.item(:o, 1), 1, 'BUYER') \g /dev/null
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.cancel_order(%s, ''BUYER'', %s, ''all of it'')', :o, :kim), format($$VALUES ('REFUNDED', %s::bigint)$$, :paid), 'cancelled whole: refunded whole');
SELECT results_eq(format('SELECT status::text FROM commerce.coupon_issues WHERE id IN (%s, %s)', :ship, :ci), $$VALUES ('ACTIVE'), ('ACTIVE')$$, 'both coupons are back');
SELECT is((SELECT count(*) FROM commerce.outbox WHERE aggregateid = :o::text AND type = 'OrderCancelled'), 1::bigint, 'one OrderCancelled');

-- A coupon comes back when all it applied to is cancelled, even if the order goes on
SELECT id AS line FROM commerce.claim_coupon(:kim, commerce.create_coupon('a pot''s', 'FIXED', 10, 10, valid_days => 10, product_id => :pot)) \gset
SELECT id AS sell FROM commerce.claim_coupon(:kim, commerce.create_coupon('a seller''s', 'FIXED', 10, 10, valid_days => 10, seller_id => :kiln)) \gset
SELECT id AS o FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1,"coupon_issue_id":%s},{"product_id":%s,"quantity":1},{"product_id":%s,"quantity":1}]', :pot, :line, :cup, :scarf)::jsonb, ARRAY[:sell]) \gset
SELECT * FROM commerce.cancel_order_item(pg_temp.item(:o, 1), 1, 'BUYER') \g /dev/null
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :line), 'ACTIVE', 'a line''s coupon with its line');
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :sell), 'USED', 'a seller''s not while there is another line of the seller');
SELECT * FROM commerce.cancel_order_item(pg_temp.item(:o, 2), 1, 'BUYER') \g /dev/null
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :sell), 'ACTIVE', 'but with the last of them');
SELECT lives_ok(format('SELECT commerce.place_order(%s, %L, ARRAY[%s])', :kim, pg_temp.items(:cup, 1), :sell), 'a coupon that came back can be used again');
SELECT * FROM commerce.cancel_order_item(pg_temp.item(:o, 3), 1, 'BUYER') \g /dev/null
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :sell), 'USED', 'and does not come back twice');

-- When its time has passed it comes back expired
SELECT id AS ci FROM commerce.claim_coupon(:kim, commerce.create_coupon('short', 'FIXED', 10, 10, valid_days => 10)) \gset
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:cup, 1), ARRAY[:ci]) \gset
RESET ROLE;
UPDATE commerce.coupon_issues SET expires_at = now() - interval '1 second' WHERE id = :ci;
SET ROLE shop;
SELECT * FROM commerce.cancel_order(:o, 'SELLER', :kiln) \g /dev/null
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :ci), 'EXPIRED', 'a coupon whose time has passed comes back EXPIRED');
SELECT is(events('CouponIssue', :ci), 'CouponIssued CouponUsed CouponRestored CouponExpired', 'and its events say so');

-- Cancelling by request
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:pot, 2)) \gset
SELECT id AS part FROM commerce.change_item_status(pg_temp.item(:o, 1), 'CANCEL_REQUESTED', 'BUYER', :kim, quantity => 1) \gset
SELECT is((SELECT refunded_amount FROM commerce.orders WHERE id = :o), 0::bigint, 'a request moves no money');
SELECT is(commerce.available_stock(:pot), 98::bigint, 'nor stock');
SELECT pg_temp.walk(:part, 'CANCEL_PROCESSING');
SELECT results_eq(format('SELECT id, status::text, quantity FROM commerce.change_item_status(%s, ''CANCELLED'', ''SELLER'', %s)', :part, :kiln), format($$VALUES (%s::bigint, 'CANCELLED', 1::bigint)$$, :part), 'the row that has changed is returned');
SELECT is((SELECT refunded_amount FROM commerce.orders WHERE id = :o), 7000::bigint, 'its end does');
SELECT is(commerce.available_stock(:pot), 99::bigint, 'both');

-- Exchange: no money, no stock
SELECT pg_temp.deliver(pg_temp.item(:o, 1));
SELECT pg_temp.walk(pg_temp.item(:o, 1), 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING', 'EXCHANGED');
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.orders WHERE id = %s', :o), $$VALUES ('COMPLETED', 7000::bigint)$$, 'an exchange moves no money');
SELECT is(commerce.available_stock(:pot), 99::bigint, 'nor stock');

-- A suspended buyer's orders go on
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:own, 1)) \gset
SELECT * FROM commerce.set_user_status(:kim, 'SUSPENDED') \g /dev/null
SELECT lives_ok(format('SELECT commerce.cancel_order(%s, ''BUYER'', %s)', :o, :kim), 'a suspended buyer may cancel, and is refunded');
SELECT * FROM commerce.set_user_status(:kim, 'ACTIVE') \g /dev/null

-- An actor_id that nobody can have is nobody's, and not the trusted caller's NULL
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:own, 1)) \gset
SELECT refuses(format('SELECT commerce.cancel_order(%s, ''BUYER'', 0)', :o), 'FORBIDDEN', 'there is no buyer 0');
SELECT refuses(format('SELECT commerce.cancel_order_item(%s, 1, ''SELLER'', 0)', pg_temp.item(:o, 1)), 'FORBIDDEN', 'there is no seller 0');
SELECT refuses(format('SELECT commerce.change_item_status(%s, ''CANCELLED'', ''BUYER'', -1)', pg_temp.item(:o, 1)), 'FORBIDDEN', 'nor a buyer -1');

-- An order paid outside: the money is asked back
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.items(:pot, 2), payment_method => 'EXTERNAL') \gset
SELECT refuses(format('SELECT commerce.cancel_order_item(%s, 1, ''BUYER'')', pg_temp.item(:o, 1)), 'INVALID_STATE_TRANSITION', 'no part of a pending order can be cancelled');
SELECT * FROM commerce.confirm_payment(:o, true, 'paid') \g /dev/null
SELECT * FROM commerce.cancel_order_item(pg_temp.item(:o, 1), 1, 'BUYER') \g /dev/null
SELECT results_eq(format($$SELECT kind::text, method::text, status::text, amount FROM commerce.payments WHERE order_id = %s ORDER BY id$$, :o),
	$$VALUES ('PAYMENT', 'EXTERNAL', 'COMPLETED', 14500::bigint), ('REFUND', 'EXTERNAL', 'REQUESTED', 7000)$$, 'a refund is requested');
SELECT is(events('Order', :o), 'OrderCreated PaymentRequested PaymentCompleted DeliveryRequested OrderItemStatusChanged RefundRequested', 'by an event');
SELECT is((SELECT balance FROM commerce.get_balance(:lee)), 0::bigint, 'the balance gets nothing');

-- With auto_prepare off the seller takes what is paid, and then delivery is asked for
RESET ROLE;
SET commerce.auto_prepare = off;
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:own, 1, :own - 1, 1)) \gset
SELECT * FROM commerce.change_item_status(pg_temp.item(:o, 2), 'PREPARING', 'SELLER', :loom) \g /dev/null
SELECT is(events('Order', :o), 'OrderCreated PaymentCompleted OrderItemStatusChanged DeliveryRequested', 'a delivery is asked for when the seller takes the item');
SELECT is(event_payload('Order', :o, 'DeliveryRequested') #>> '{items,0,product_name}', 'Scarf', 'and for that item alone');
RESET commerce.auto_prepare;

-- Automatic confirmation
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:cup, 1, :pot, 1, :own, 1)) \gset
SELECT pg_temp.deliver(pg_temp.item(:o, 1)), pg_temp.deliver(pg_temp.item(:o, 2));
SELECT is(commerce.confirm_delivered_items(), 0, 'what was just delivered is not confirmed');
UPDATE commerce.order_items SET delivered_at = now() - interval '7 days 1 second' WHERE id = pg_temp.item(:o, 1);
UPDATE commerce.order_items SET delivered_at = now() - interval '6 days 23 hours' WHERE id = pg_temp.item(:o, 2);
SELECT is(commerce.confirm_delivered_items(), 1, 'after commerce.auto_confirm_after, 7 days, it is');
SELECT results_eq(format('SELECT status::text FROM commerce.order_items WHERE order_id = %s ORDER BY seq', :o), $$VALUES ('CONFIRMED'), ('DELIVERED'), ('PREPARING')$$, 'and nothing else');
SELECT results_eq(format('SELECT actor::text FROM commerce.order_item_events WHERE order_item_id = %s AND event = ''CONFIRMED''', pg_temp.item(:o, 1)), $$VALUES ('SYSTEM')$$, 'by the system');
SELECT is(commerce.confirm_delivered_items(), 0, 'once');
SET commerce.auto_confirm_after = '1h';
SELECT is(commerce.confirm_delivered_items(), 1, 'auto_confirm_after can be set');
RESET commerce.auto_confirm_after;

-- one that cannot be confirmed
SET ROLE shop;
SELECT id AS o1 FROM commerce.place_order(:kim, pg_temp.items(:own, 1)) \gset
SELECT id AS o2 FROM commerce.place_order(:kim, pg_temp.items(:own, 1)) \gset
SELECT id AS o3 FROM commerce.place_order(:kim, pg_temp.items(:own, 1)) \gset
SELECT pg_temp.deliver(pg_temp.item(o, 1)) FROM unnest(ARRAY[:o1, :o2, :o3]) o \g /dev/null
RESET ROLE;
UPDATE commerce.order_items SET delivered_at = now() - interval '8 days' - interval '1 second' * order_id WHERE order_id IN (:o1, :o2, :o3);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not this one'; END$$;
CREATE TRIGGER refuse BEFORE UPDATE ON commerce.orders FOR EACH ROW WHEN (OLD.id = :o2) EXECUTE FUNCTION refuse();
SET client_min_messages = error;
SET ROLE shop;
SELECT is(commerce.confirm_delivered_items(), 2, 'an order that cannot be confirmed does not keep the others');
SELECT results_eq(format('SELECT status::text FROM commerce.order_items WHERE order_id IN (%s, %s, %s) ORDER BY order_id', :o1, :o2, :o3),
	$$VALUES ('CONFIRMED'), ('DELIVERED'), ('CONFIRMED')$$, 'which are confirmed');
SELECT is(commerce.confirm_delivered_items(), 0, 'nothing more can be');
RESET ROLE;
RESET client_min_messages;
DROP TRIGGER refuse ON commerce.orders;
SET ROLE shop;
SELECT is(commerce.confirm_delivered_items(), 1, 'it is confirmed when it can be');

-- Bad arguments
SET ROLE shop;
SELECT refuses('SELECT commerce.change_item_status(NULL, ''PAID'', ''ADMIN'')', 'INVALID_REQUEST', 'no item');
SELECT refuses('SELECT commerce.change_item_status(1, NULL, ''ADMIN'')', 'INVALID_REQUEST', 'no status');
SELECT refuses('SELECT commerce.change_item_status(1, ''PAID'', NULL)', 'INVALID_REQUEST', 'no actor');
SELECT refuses('SELECT commerce.change_item_status(1, ''PAID'', ''ADMIN'', quantity => 0)', 'INVALID_REQUEST', 'no units');
SELECT refuses('SELECT commerce.change_item_status(999999, ''PAID'', ''ADMIN'')', 'ENTITY_NOT_FOUND', 'an unknown item');
SELECT refuses(format('SELECT commerce.change_item_status(%s, ''DISPATCHED'', ''ADMIN'', quantity => 2)', pg_temp.item(:o, 3)), 'INVALID_REQUEST', 'more units than there are');
SELECT refuses('SELECT commerce.cancel_order(NULL, ''ADMIN'')', 'INVALID_REQUEST', 'no order');
SELECT refuses('SELECT commerce.cancel_order(1, NULL)', 'INVALID_REQUEST', 'no actor');
SELECT refuses('SELECT commerce.cancel_order(999999, ''ADMIN'')', 'ENTITY_NOT_FOUND', 'an unknown order');
SELECT refuses('SELECT commerce.cancel_order_item(NULL, 1, ''ADMIN'')', 'INVALID_REQUEST', 'no item');
SELECT refuses('SELECT commerce.cancel_order_item(1, NULL, ''ADMIN'')', 'INVALID_REQUEST', 'no quantity');
SELECT refuses('SELECT commerce.cancel_order_item(1, -1, ''ADMIN'')', 'INVALID_REQUEST', 'a negative quantity');
SELECT refuses('SELECT commerce.cancel_order_item(1, 1, NULL)', 'INVALID_REQUEST', 'no actor');
SELECT refuses('SELECT commerce.cancel_order_item(999999, 1, ''ADMIN'')', 'ENTITY_NOT_FOUND', 'an unknown item');
SELECT refuses('SELECT commerce.confirm_delivered_items(0)', 'INVALID_REQUEST', 'no orders to confirm');
BEGIN READ ONLY;
SELECT refuses('SELECT commerce.cancel_order(1, ''ADMIN'')', '25006', 'cancelling in a read-only transaction');
SELECT refuses('SELECT commerce.change_item_status(1, ''PAID'', ''ADMIN'')', '25006', 'a step in a read-only transaction');
COMMIT;

-- An order of which a part is to be cancelled can still be cancelled whole, by whoever may.
SELECT commerce.create_user('Han', 'han@example.com') AS han \gset
SELECT commerce.charge_balance(:han, 1000000) \g /dev/null
SELECT commerce.create_product(NULL, 'Bowl', 1000, 100) AS bowl \gset
SELECT commerce.create_product(NULL, 'Dish', 1000, 100) AS dish \gset
SELECT id AS o FROM commerce.place_order(:han, jsonb_build_array(jsonb_build_object('product_id', :bowl, 'quantity', 2), jsonb_build_object('product_id', :dish, 'quantity', 1))) \gset
SELECT id AS i FROM commerce.order_items WHERE order_id = :o AND product_id = :bowl \gset
SELECT commerce.change_item_status(:i, 'CANCEL_REQUESTED', 'BUYER', :han) \g /dev/null
SELECT refuses(format('SELECT commerce.change_item_status(%s, ''CANCELLED'', ''SELLER'')', :i), 'INVALID_STATE_TRANSITION', 'a request is not granted in one step');
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.cancel_order(%s, ''BUYER'', %s)', :o, :han), $$VALUES ('REFUNDED', 3000::bigint)$$,
	'the whole order is cancelled');
SELECT is((SELECT array_agg(DISTINCT status::text) FROM commerce.order_items WHERE order_id = :o), '{CANCELLED}', 'with all its items');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT finish();
