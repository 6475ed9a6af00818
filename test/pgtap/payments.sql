-- Orders that are paid outside: what holds, what the provider's answers do, and what time does.
-- role: postgres
-- Postgres only moves clocks and settings by hand; everything else is done as shop.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT commerce.create_seller(commerce.create_user('Potter', 'potter@example.com', role => 'SELLER'), 'Kiln', '1') AS kiln \gset
SELECT commerce.create_product(:kiln, 'Cup', 1000, 10, shipping_fee => 300) AS cup \gset
SELECT commerce.create_product(NULL, 'Pot', 7000, 10) AS pot \gset
SELECT commerce.create_product(NULL, 'Last', 500, 3) AS last \gset
SELECT * FROM commerce.charge_balance(:kim, 10000000) \g /dev/null
SELECT commerce.create_coupon('off', 'FIXED', 100, 100, valid_days => 10) AS off \gset
SELECT id AS ci FROM commerce.claim_coupon(:lee, :off) \gset

CREATE FUNCTION pg_temp.items(VARIADIC bigint[]) RETURNS jsonb LANGUAGE sql
AS $$SELECT jsonb_agg(jsonb_build_object('product_id', $1[i], 'quantity', $1[i + 1]) ORDER BY i) FROM generate_series(1, cardinality($1), 2) i$$;
CREATE FUNCTION pg_temp.payments(o bigint) RETURNS text LANGUAGE sql
AS $$SELECT string_agg(concat_ws(':', kind, status, amount, provider_event_id), ' ' ORDER BY id) FROM commerce.payments WHERE order_id = o$$;
CREATE FUNCTION pg_temp.history(o bigint) RETURNS text LANGUAGE sql
AS $$SELECT string_agg(e.event || ' ' || e.actor, ', ' ORDER BY e.ordinal) FROM commerce.order_item_events e JOIN commerce.order_items i ON i.id = e.order_item_id WHERE i.order_id = o AND i.seq = 1$$;
RESET ROLE;
CREATE FUNCTION pg_temp.overdue(o bigint) RETURNS void LANGUAGE sql SECURITY DEFINER
AS $$UPDATE commerce.orders SET expires_at = now() - interval '1 second' WHERE id = o$$;
SET ROLE shop;

-- Success
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.items(:cup, 2, :pot, 1), ARRAY[:ci], payment_method => 'EXTERNAL') \gset
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :ci), 'USED', 'a pending order holds its coupon');
SELECT results_eq(format('SELECT id, status::text, paid_at IS NOT NULL, expires_at IS NULL FROM commerce.confirm_payment(%s, true, ''s1'')', :o), format($$VALUES (%s::bigint, 'PAID', true, true)$$, :o), 'a success pays the order');
SELECT is(pg_temp.payments(:o), 'PAYMENT:COMPLETED:9200:s1', 'its payment is completed');
SELECT is(pg_temp.history(:o), 'PENDING_PAYMENT BUYER, PAID SYSTEM, PREPARING SYSTEM', 'its items are paid and prepared');
SELECT is(events('Order', :o), 'OrderCreated PaymentRequested PaymentCompleted DeliveryRequested DeliveryRequested', 'events: as when paid at once');
SELECT is(ARRAY(SELECT jsonb_object_keys(event_payload('Order', :o, 'PaymentRequested')) ORDER BY 1), ARRAY(SELECT jsonb_object_keys(event_payload('Order', :o, 'PaymentCompleted')) ORDER BY 1), 'of the same shape');
-- the same answer again, and failures after it
SELECT books() AS books \gset
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''s1'')', :o), $$VALUES ('PAID')$$, 'the same answer again gives the order');
SELECT is(books(), :'books', 'and changes nothing');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, false, ''s3'')', :o), $$VALUES ('PAID')$$, 'a late failure after success leaves it paid');
SELECT is(pg_temp.payments(:o), 'PAYMENT:COMPLETED:9200:s1', 'and changes nothing');
SELECT is(events('Order', :o), 'OrderCreated PaymentRequested PaymentCompleted DeliveryRequested DeliveryRequested', 'without an event');
SELECT lives_ok(format('SELECT commerce.confirm_payment(%s, false, ''s1'')', :o), 'a failure under the id of the success is a late failure');
SELECT is(status, 'PAID', 'and changes nothing') FROM commerce.orders WHERE id = :o;

-- Failure
SELECT id AS ci FROM commerce.claim_coupon(:kim, :off) \gset
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:cup, 2, :pot, 1), ARRAY[:ci], payment_method => 'EXTERNAL') \gset
SELECT is(commerce.available_stock(:cup), 6::bigint, 'a pending order holds its stock');
SELECT results_eq(format('SELECT status::text, paid_at IS NULL, refunded_amount FROM commerce.confirm_payment(%s, false, ''f1'')', :o), $$VALUES ('CANCELLED', true, 0::bigint)$$, 'a failure cancels the order');
SELECT is(pg_temp.payments(:o), 'PAYMENT:FAILED:9200:f1', 'its payment has failed');
SELECT is(pg_temp.history(:o), 'PENDING_PAYMENT BUYER, CANCELLED SYSTEM', 'its items are cancelled');
SELECT is(commerce.available_stock(:cup), 8::bigint, 'stock is back');
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :ci), 'ACTIVE', 'the coupon too');
SELECT is(events('Order', :o), 'OrderCreated PaymentRequested PaymentFailed OrderCancelled', 'events');
SELECT books() AS books \gset
SELECT * FROM commerce.confirm_payment(:o, false, 'f1') \g /dev/null
SELECT is(books(), :'books', 'the same failure again changes nothing');
SELECT * FROM commerce.confirm_payment(:o, false, 'f2') \g /dev/null
SELECT is(pg_temp.payments(:o), 'PAYMENT:FAILED:9200:f1 PAYMENT:FAILED:9200:f2', 'another is noted');
-- and then a success after all: stock and coupon are there
SELECT results_eq(format('SELECT status::text, paid_at IS NOT NULL FROM commerce.confirm_payment(%s, true, ''f3'')', :o), $$VALUES ('PAID', true)$$, 'a success after a failure, with stock: paid');
SELECT is(pg_temp.history(:o), 'PENDING_PAYMENT BUYER, CANCELLED SYSTEM, PAID SYSTEM, PREPARING SYSTEM', 'the items live again');
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :ci), 'USED', 'the coupon is used again');
SELECT is(commerce.available_stock(:cup), 6::bigint, 'the stock is taken again');
SELECT is(events('Order', :o), 'OrderCreated PaymentRequested PaymentFailed OrderCancelled PaymentCompleted DeliveryRequested DeliveryRequested', 'events');
SELECT * FROM commerce.cancel_order(:o, 'BUYER') \g /dev/null
SELECT is(events('CouponIssue', :ci), 'CouponIssued CouponUsed CouponRestored CouponUsed CouponRestored', 'a coupon comes back once for each use');
SELECT lives_ok(format('SELECT commerce.confirm_payment(%s, false, ''f3'')', :o), 'a failure under its id changes nothing');

-- Time
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.items(:cup, 2), ARRAY[:ci], payment_method => 'EXTERNAL') \gset
SELECT is(commerce.expire_pending_orders(), 0, 'nothing expires before its time');
SELECT pg_temp.overdue(:o);
SELECT is(commerce.expire_pending_orders(), 1, 'an overdue order does');
SELECT is(pg_temp.payments(:o), 'PAYMENT:EXPIRED:2200', 'its payment has expired');
SELECT results_eq(format('SELECT status::text, expires_at IS NULL FROM commerce.orders WHERE id = %s', :o), $$VALUES ('CANCELLED', true)$$, 'it is cancelled');
SELECT is(commerce.available_stock(:cup), 8::bigint, 'its stock is back');
SELECT is((SELECT reason::text FROM commerce.stock_entries ORDER BY ctid DESC LIMIT 1), 'EXPIRE', 'for that reason');
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :ci), 'ACTIVE', 'its coupon too');
SELECT is(events('Order', :o), 'OrderCreated PaymentRequested PaymentFailed OrderCancelled', 'events');
SELECT is(event_payload('Order', :o, 'PaymentFailed') #>> '{payment,status}', 'EXPIRED', 'which say why');
-- a late success whose coupon is used elsewhere
SELECT * FROM commerce.place_order(:kim, pg_temp.items(:pot, 1), ARRAY[:ci]) \g /dev/null
SELECT results_eq(format('SELECT status::text, paid_at IS NULL, refunded_amount FROM commerce.confirm_payment(%s, true, ''t1'')', :o), $$VALUES ('CANCELLED', true, 2200::bigint)$$, 'a late success without its coupon stays cancelled');
SELECT is(pg_temp.payments(:o), 'PAYMENT:EXPIRED:2200 PAYMENT:COMPLETED:2200:t1 REFUND:REQUESTED:2200', 'its money is asked back');
SELECT is(events('Order', :o), 'OrderCreated PaymentRequested PaymentFailed OrderCancelled RefundRequested', 'by an event');
SELECT is(commerce.available_stock(:cup), 8::bigint, 'no stock was kept');
SELECT books() AS books \gset
SELECT * FROM commerce.confirm_payment(:o, true, 't1') \g /dev/null
SELECT is(books(), :'books', 'once');
-- a late success without stock, of which only the second product is short
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.items(:cup, 1, :last, 2), payment_method => 'EXTERNAL') \gset
SELECT pg_temp.overdue(:o);
SELECT commerce.expire_pending_orders() \g /dev/null
SELECT * FROM commerce.place_order(:kim, pg_temp.items(:last, 2)) \g /dev/null
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.confirm_payment(%s, true, ''t3'')', :o), $$VALUES ('CANCELLED', 2300::bigint)$$, 'a late success without stock stays cancelled');
SELECT is(commerce.available_stock(:cup), 8::bigint, 'what was taken of the first product is back');
SELECT id AS all FROM commerce.place_order(:kim, pg_temp.items(:cup, 8)) \gset
SELECT lives_ok(format('SELECT commerce.cancel_order(%s, ''BUYER'')', :all), 'all of it can be ordered');
SELECT is(events('Order', :o), 'OrderCreated PaymentRequested PaymentFailed OrderCancelled RefundRequested', 'the money is asked back');
-- a success after the time, but before anybody noticed: the stock is still held
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.items(:cup, 1), payment_method => 'EXTERNAL') \gset
SELECT pg_temp.overdue(:o);
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''t4'')', :o), $$VALUES ('PAID')$$, 'a success before the sweeper came pays');
SELECT is(commerce.expire_pending_orders(), 0, 'and nothing is left to expire');

-- A buyer's cancel
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.items(:cup, 1), payment_method => 'EXTERNAL') \gset
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.cancel_order(%s, ''BUYER'', %s)', :o, :lee), $$VALUES ('CANCELLED', 0::bigint)$$, 'a pending order can be cancelled');
SELECT is(pg_temp.payments(:o), 'PAYMENT:EXPIRED:1300', 'its payment is waited for no longer');
SELECT is(commerce.available_stock(:cup), 7::bigint, 'its stock is back');
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.confirm_payment(%s, true, ''c1'')', :o), $$VALUES ('CANCELLED', 1300::bigint)$$, 'a success after that is refunded, though there is stock');

-- On a shortage an order frees what is overdue, and that only
SELECT id AS o1 FROM commerce.place_order(:lee, pg_temp.items(:last, 1, :cup, 1), payment_method => 'EXTERNAL') \gset
SELECT refuses(format('SELECT commerce.place_order(%s, %L)', :kim, pg_temp.items(:last, 1)), 'STOCK_NOT_ENOUGH', 'what is held is sold out');
SELECT refuses(format('SELECT commerce.place_order(999999, %L)', pg_temp.items(:last, 1)), 'ENTITY_NOT_FOUND', 'the user comes first while an unpaid order holds units');
SELECT pg_temp.overdue(:o1);
SELECT results_eq(format('SELECT status::text FROM commerce.place_order(%s, %L)', :kim, pg_temp.items(:last, 1)), $$VALUES ('PAID')$$, 'what is held too long is not');
SELECT results_eq(format('SELECT status::text FROM commerce.orders WHERE id = %s', :o1), $$VALUES ('CANCELLED')$$, 'its order is cancelled');
SELECT is(commerce.available_stock(:last), 0::bigint, 'the unit went to the buyer');
SELECT is(commerce.available_stock(:cup), 7::bigint, 'the rest of that order is back');
SELECT refuses(format('SELECT commerce.place_order(%s, %L)', :kim, pg_temp.items(:last, 1)), 'STOCK_NOT_ENOUGH', 'now it is sold out');
-- where there are counters, that is told before who asks; not with a key, which may be that of the last order
RESET ROLE;
SELECT CASE WHEN current_setting('shared_preload_libraries') ~ 'commerce' THEN 'STOCK_NOT_ENOUGH' ELSE 'ENTITY_NOT_FOUND' END AS first \gset
SET ROLE shop;
SELECT refuses(format('SELECT commerce.place_order(999999, %L)', pg_temp.items(:last, 1)), :'first', 'without a key');
SELECT refuses(format('SELECT commerce.place_order(999999, %L, idempotency_key => %L)', pg_temp.items(:last, 1), 'k'), 'ENTITY_NOT_FOUND', 'with a key');
SELECT is(detail_of(format('SELECT commerce.place_order(%s, %L)', :kim, pg_temp.items(:cup, 3, :last, 2)))::jsonb,
	jsonb_build_object('index', 1, 'product_id', :last, 'asked', 2, 'available', 0), 'the detail says which of the lines');
-- too little even then: nothing happens
SELECT commerce.adjust_stock(:last, 1) \g /dev/null
SELECT id AS o1 FROM commerce.place_order(:lee, pg_temp.items(:last, 1), payment_method => 'EXTERNAL') \gset
SELECT pg_temp.overdue(:o1);
SELECT refuses(format('SELECT commerce.place_order(%s, %L)', :kim, pg_temp.items(:last, 2)), 'STOCK_NOT_ENOUGH', 'two of one');
SELECT results_eq(format('SELECT status::text FROM commerce.orders WHERE id = %s', :o1), $$VALUES ('PENDING_PAYMENT')$$, 'an order that failed has freed nothing');
RESET ROLE;
SET commerce.max_pending_orders = 3000;
SET ROLE shop;
-- many of one unit each: as many are ended as are needed, and some more
SELECT commerce.create_product(NULL, 'Rush', 10, 2100) AS rush \gset
SELECT commerce.place_order(:lee, pg_temp.items(:rush, 1), payment_method => 'EXTERNAL') FROM generate_series(1, 2100) \g /dev/null
SELECT pg_temp.overdue(o.id) FROM commerce.orders o JOIN commerce.order_items i ON i.order_id = o.id WHERE i.product_id = :rush \g /dev/null
SELECT refuses(format('SELECT commerce.place_order(%s, %L)', :kim, pg_temp.items(:rush, 2101)), 'STOCK_NOT_ENOUGH', 'one more than overdue orders hold');
SELECT results_eq(format('SELECT status::text FROM commerce.place_order(%s, %L)', :kim, pg_temp.items(:rush, 1001)), $$VALUES ('PAID')$$, 'what a thousand and one overdue orders hold');
SELECT is(commerce.available_stock(:rush) + count(*), 2100 - 1001::bigint, 'nothing is lost') FROM commerce.order_items i WHERE i.product_id = :rush AND i.status = 'PENDING_PAYMENT';
SELECT ok(count(*) > 0, 'not all of them are ended') FROM commerce.order_items i WHERE i.product_id = :rush AND i.status = 'PENDING_PAYMENT';
SELECT results_eq(format('SELECT status::text FROM commerce.place_order(%s, %L)', :kim, pg_temp.items(:rush, 1099)), $$VALUES ('PAID')$$, 'and what the rest do');
SELECT is(commerce.available_stock(:rush), 0::bigint, 'to the last unit');
-- one's own, and within a transaction
SELECT results_eq(format('SELECT status::text FROM commerce.place_order(%s, %L, payment_method => ''EXTERNAL'')', :lee, pg_temp.items(:last, 1)), $$VALUES ('PENDING_PAYMENT')$$, 'a buyer''s own overdue order is in the way no more');
-- a coupon that an overdue order holds is the buyer's again
SELECT id AS ci FROM commerce.claim_coupon(:lee, commerce.create_coupon('once', 'FIXED', 100, 1, valid_days => 1)) \gset
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.items(:pot, 1), ARRAY[:ci], payment_method => 'EXTERNAL') \gset
SELECT refuses(format('SELECT commerce.place_order(%s, %L, ARRAY[%s])', :lee, pg_temp.items(:pot, 1), :ci), 'COUPON_NOT_USABLE', 'a coupon that a pending order holds');
SELECT pg_temp.overdue(:o);
SELECT refuses(format('SELECT commerce.place_order(%s, %L, ARRAY[%s])', :kim, pg_temp.items(:pot, 1), :ci), 'COUPON_NOT_USABLE', 'that of somebody else''s overdue order');
SELECT results_eq(format('SELECT status::text FROM commerce.place_order(%s, %L, ARRAY[%s], payment_method => ''EXTERNAL'')', :lee, pg_temp.items(:pot, 1), :ci), $$VALUES ('PENDING_PAYMENT')$$, 'that of an overdue order');
SELECT results_eq(format('SELECT status::text FROM commerce.orders WHERE id = %s', :o), $$VALUES ('CANCELLED')$$, 'which is ended');
SELECT used_order_id AS o FROM commerce.coupon_issues WHERE id = :ci \gset
SELECT pg_temp.overdue(:o);
SELECT id AS sheet FROM commerce.create_order_sheet(:lee, pg_temp.items(:pot, 1)) \gset
RESET ROLE;
UPDATE commerce.order_sheets SET coupon_issue_ids = ARRAY[:ci], order_discount = 100, payment_amount = payment_amount - 100 WHERE id = :'sheet';
UPDATE commerce.order_sheet_items SET order_discount_share = 100 WHERE order_sheet_id = :'sheet';
SET ROLE shop;
SELECT results_eq(format('SELECT order_discount FROM commerce.place_sheet_order(%L, payment_method => ''EXTERNAL'')', :'sheet'), 'VALUES (100::bigint)', 'for a sheet too');

-- max_rows, oldest first
SELECT id AS o1 FROM commerce.place_order(:lee, pg_temp.items(:cup, 1), payment_method => 'EXTERNAL') \gset
SELECT id AS o2 FROM commerce.place_order(:kim, pg_temp.items(:cup, 1), payment_method => 'EXTERNAL') \gset
SELECT pg_temp.overdue(:o1);
RESET ROLE;
UPDATE commerce.orders SET expires_at = now() - interval '1 hour' WHERE id = :o2;
SET ROLE shop;
SELECT is(commerce.expire_pending_orders(1), 1, 'at most max_rows');
SELECT results_eq(format('SELECT status::text FROM commerce.orders WHERE id IN (%s, %s) ORDER BY id', :o1, :o2), $$VALUES ('PENDING_PAYMENT'), ('CANCELLED')$$, 'the oldest first');
SELECT is(commerce_private.run_job('expire-pending-orders'), 1::bigint, 'the job does the rest');

-- one that cannot be ended
SELECT id AS o1 FROM commerce.place_order(:lee, pg_temp.items(:cup, 1), payment_method => 'EXTERNAL') \gset
SELECT id AS o2 FROM commerce.place_order(:kim, pg_temp.items(:pot, 1), payment_method => 'EXTERNAL') \gset
SELECT id AS o3 FROM commerce.place_order(:kim, pg_temp.items(:cup, 1), payment_method => 'EXTERNAL') \gset
SELECT commerce.available_stock(:cup) AS left \gset
RESET ROLE;
UPDATE commerce.orders SET expires_at = now() - interval '1 second' * id WHERE id IN (:o1, :o2, :o3);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not this one'; END$$;
CREATE TRIGGER refuse BEFORE UPDATE ON commerce.payments FOR EACH ROW WHEN (OLD.order_id = :o2) EXECUTE FUNCTION refuse();
SET client_min_messages = error;
SET ROLE shop;
SELECT is(commerce.expire_pending_orders(), 2, 'an order that cannot be ended does not keep the others');
SELECT results_eq(format('SELECT status::text FROM commerce.orders WHERE id IN (%s, %s, %s) ORDER BY id', :o1, :o2, :o3),
	$$VALUES ('CANCELLED'), ('PENDING_PAYMENT'), ('CANCELLED')$$, 'which are ended');
SELECT is(commerce.available_stock(:cup), :left + 2::bigint, 'with their stock');
SELECT is(events('Order', :o2), 'OrderCreated PaymentRequested', 'nothing is told of it');
-- more of them than are tried at once, and one behind that can be ended: it is tried by and by
SELECT id AS o4 FROM commerce.place_order(:kim, pg_temp.items(:cup, 1), payment_method => 'EXTERNAL') \gset
SELECT id AS o5 FROM commerce.place_order(:kim, pg_temp.items(:cup, 1), payment_method => 'EXTERNAL') \gset
RESET ROLE;
DROP TRIGGER refuse ON commerce.payments;
CREATE TRIGGER refuse BEFORE UPDATE ON commerce.payments FOR EACH ROW WHEN (OLD.order_id < :o5) EXECUTE FUNCTION refuse();
UPDATE commerce.orders SET expires_at = now() - interval '1 hour' WHERE id IN (:o2, :o4);
SET ROLE shop;
SELECT pg_temp.overdue(:o5);
SELECT is(max(ended), 1, 'orders that cannot be ended do not hide the others, however few are tried at once')
FROM (SELECT commerce.expire_pending_orders(1) AS ended FROM generate_series(1, 100)) e;
SELECT is(status, 'CANCELLED', 'which are ended') FROM commerce.orders WHERE id = :o5;

-- an error that says that something is wrong with the server goes up
RESET ROLE;
CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'broken' USING ERRCODE = current_setting('break.code'); END$$;
CREATE TRIGGER refuse_too BEFORE UPDATE ON commerce.payments FOR EACH ROW WHEN (OLD.order_id = :o4) EXECUTE FUNCTION break();
DROP TRIGGER refuse ON commerce.payments;
SET ROLE shop;
SET break.code = '53100';
SELECT throws_ok('SELECT commerce.expire_pending_orders()', '53100', NULL, 'want of resources goes up');
SET break.code = '57P02';
SELECT throws_ok('SELECT commerce.expire_pending_orders()', '57P02', NULL, 'so does an operator''s intervention');
SET break.code = '58030';
SELECT throws_ok('SELECT commerce.expire_pending_orders()', '58030', NULL, 'and an error of the system');
SET break.code = 'XX002';
SELECT throws_ok('SELECT commerce.expire_pending_orders()', 'XX002', NULL, 'and an internal one');
SELECT throws_ok($$SELECT commerce_private.run_job('expire-pending-orders')$$, 'XX002', NULL, 'also out of a job');
RESET ROLE;
RESET client_min_messages;
DROP TRIGGER refuse_too ON commerce.payments;
SET ROLE shop;
SELECT is(commerce.expire_pending_orders(), 2, 'they are ended when they can be');

-- payment_ttl
RESET ROLE;
SET commerce.payment_ttl = '1min';
SELECT ok(expires_at - statement_timestamp() BETWEEN interval '50 seconds' AND interval '1 minute', 'payment_ttl can be set') FROM commerce.place_order(:lee, pg_temp.items(:pot, 1), payment_method => 'EXTERNAL');
RESET commerce.payment_ttl;
SET ROLE shop;

-- Bad arguments
SELECT refuses('SELECT commerce.confirm_payment(NULL, true, ''x'')', 'INVALID_REQUEST', 'no order');
SELECT refuses('SELECT commerce.confirm_payment(1, NULL, ''x'')', 'INVALID_REQUEST', 'no answer');
SELECT refuses('SELECT commerce.confirm_payment(1, true, NULL)', 'INVALID_REQUEST', 'no event id');
SELECT refuses('SELECT commerce.confirm_payment(1, true, '''')', 'INVALID_REQUEST', 'an empty event id');
SELECT refuses(format('SELECT commerce.confirm_payment(%s, true, repeat(''x'', 201))', :o), 'INVALID_REQUEST', 'an event id of 201 characters');
SELECT refuses(format('SELECT commerce.confirm_payment(%s, true, ''x'', -1)', :o), 'INVALID_REQUEST', 'an amount below 0');
SELECT refuses(format('SELECT commerce.confirm_payment(%s, true, ''x'', 1000000000001)', :o), 'INVALID_REQUEST', 'an amount above 10^12');
SELECT refuses('SELECT commerce.confirm_payment(999999, true, ''x'')', 'ENTITY_NOT_FOUND', 'an unknown order');
SELECT refuses('SELECT commerce.expire_pending_orders(0)', 'INVALID_REQUEST', 'no rows');
SELECT refuses('SELECT commerce.expire_pending_orders(NULL)', 'INVALID_REQUEST', 'no number of rows');
BEGIN READ ONLY;
SELECT refuses('SELECT commerce.confirm_payment(1, true, ''x'')', '25006', 'an answer in a read-only transaction');
COMMIT;

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT finish();
