-- Money that comes and goes beside the usual way: successes that nobody asked for, orders that two methods paid,
-- refunds that a provider reports back, goodwill, orders that are paid anew.
-- role: postgres
-- Postgres only moves clocks and settings by hand; everything else is done as shop.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Boss', 'boss@example.com', role => 'ADMIN') AS boss \gset
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT commerce.create_user('Potter', 'potter@example.com', role => 'SELLER') AS potter \gset
SELECT commerce.create_seller(:potter, 'Kiln', '1') AS kiln \gset
SELECT commerce.create_product(NULL, 'Pot', 10000, 100) AS pot \gset
SELECT commerce.create_product(:kiln, 'Cup', 1000, 100) AS cup \gset
SELECT commerce.create_product(NULL, 'Last', 500, 2) AS last \gset
SELECT * FROM commerce.charge_balance(:kim, 100000) \g /dev/null

CREATE FUNCTION pg_temp.pots(bigint) RETURNS jsonb LANGUAGE sql
AS $$SELECT jsonb_build_array(jsonb_build_object('product_id', (SELECT id FROM commerce.products WHERE name = 'Pot'), 'quantity', $1))$$;
CREATE FUNCTION pg_temp.one(bigint) RETURNS jsonb LANGUAGE sql
AS $$SELECT jsonb_build_array(jsonb_build_object('product_id', $1, 'quantity', 1))$$;
CREATE FUNCTION pg_temp.payments(o bigint) RETURNS text LANGUAGE sql
AS $$SELECT string_agg(concat_ws(':', kind, method, status, amount, provider_event_id), ' ' ORDER BY id) FROM commerce.payments WHERE order_id = o$$;
CREATE FUNCTION pg_temp.refunds(o bigint) RETURNS text LANGUAGE sql
AS $$SELECT string_agg(concat_ws(':', r.method, r.status, r.amount, 'to', p.method, p.status), ' ' ORDER BY r.id)
	FROM commerce.payments r JOIN commerce.payments p ON p.id = r.refund_of WHERE r.order_id = o$$;
CREATE FUNCTION pg_temp.balance(u bigint) RETURNS bigint LANGUAGE sql AS 'SELECT balance FROM commerce.users WHERE id = u';
RESET ROLE;
CREATE FUNCTION pg_temp.overdue(o bigint) RETURNS int LANGUAGE sql SECURITY DEFINER
AS $$UPDATE commerce.orders SET expires_at = now() - interval '1 second' WHERE id = o; SELECT commerce.expire_pending_orders()$$;
SET ROLE shop;

-- Money that was not asked for
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.pots(1), payment_method => 'EXTERNAL', payment_channel => 'card') \gset
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''u1'', 9999)', :o), $$VALUES ('PENDING_PAYMENT')$$, 'a success with another amount does not pay the order');
SELECT is(pg_temp.payments(:o), 'PAYMENT:EXTERNAL:REQUESTED:10000 PAYMENT:EXTERNAL:UNEXPECTED:9999:u1', 'it is kept');
SELECT is(event_payload('Order', :o, 'PaymentUnexpected') -> 'payment' ->> 'provider_event_id', 'u1', 'and told');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''u1'', 9999)', :o), $$VALUES ('PENDING_PAYMENT')$$, 'again');
SELECT is(pg_temp.payments(:o), 'PAYMENT:EXTERNAL:REQUESTED:10000 PAYMENT:EXTERNAL:UNEXPECTED:9999:u1', 'once');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''u2'', 10000)', :o), $$VALUES ('PAID')$$, 'the right amount pays it');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''u3'')', :o), $$VALUES ('PAID')$$, 'a second success');
SELECT is(pg_temp.payments(:o), 'PAYMENT:EXTERNAL:COMPLETED:10000:u2 PAYMENT:EXTERNAL:UNEXPECTED:9999:u1 PAYMENT:EXTERNAL:UNEXPECTED:10000:u3', 'is money that was not asked for');
SELECT is(refunded_amount, 0::bigint, 'which is not the order''s') FROM commerce.orders WHERE id = :o;
SELECT id AS b FROM commerce.place_order(:kim, pg_temp.pots(1)) \gset
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''u3'')', :b), $$VALUES ('PAID')$$, 'so is one for an order that the balance paid, under an id that is another order''s');
SELECT is(pg_temp.payments(:b), 'PAYMENT:BALANCE:COMPLETED:10000 PAYMENT:EXTERNAL:UNEXPECTED:10000:u3', 'of what the order has cost');
SELECT books() AS books \gset
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, false, ''u4'')', :b), $$VALUES ('PAID')$$, 'a failure for it');
SELECT is(books(), :'books', 'changes nothing');
-- and is given back
SELECT id AS u FROM commerce.payments WHERE provider_event_id = 'u1' \gset
SELECT id AS r, status AS was FROM commerce.return_payment(:u, :boss, 'too little') \gset
SELECT is(:'was'::text, 'REQUESTED', 'an UNEXPECTED payment is given back');
SELECT is(pg_temp.refunds(:o), 'EXTERNAL:REQUESTED:9999:to:EXTERNAL:UNEXPECTED', 'by the provider, whole');
SELECT is(event_payload('Order', :o, 'RefundRequested') #>> '{refund,provider_event_id}', 'u1', 'the provider is told which payment');
SELECT is(event_payload('Order', :o, 'RefundRequested') -> 'actor', who('ADMIN', :boss, 'too little') -> 'actor', 'with who has asked, and why');
SELECT is(refunded_amount, 0::bigint, 'the order has nothing refunded') FROM commerce.orders WHERE id = :o;
SELECT books() AS books \gset
SELECT results_eq(format('SELECT id FROM commerce.return_payment(%s)', :u), format('VALUES (%s::bigint)', :r), 'a second call answers the same refund');
SELECT is(books(), :'books', 'and does nothing');
SELECT results_eq(format('SELECT status::text FROM commerce.report_refund(%s, false, ''v1'')', :r), $$VALUES ('FAILED')$$, 'that it failed is told');
SELECT results_eq(format('SELECT status::text FROM commerce.report_refund(%s, false, ''v1'')', :r), $$VALUES ('FAILED')$$, 'twice');
SELECT is((SELECT count(*) FROM commerce.outbox WHERE type = 'RefundFailed'), 1::bigint, 'with one event');
SELECT is(refunded_amount, 0::bigint, 'of no concern to the order') FROM commerce.orders WHERE id = :o;
SELECT id AS r2 FROM commerce.return_payment(:u, idempotency_key => 'k') \gset
SELECT isnt(:r2::bigint, :r::bigint, 'then it can be asked for anew');
SELECT results_eq(format('SELECT id FROM commerce.return_payment(%s, idempotency_key => ''k'')', :u), format('VALUES (%s::bigint)', :r2), 'with a key');
SELECT refuses(format('SELECT commerce.return_payment(%s, note => ''x'', idempotency_key => ''k'')', :u), 'IDEMPOTENCY_KEY_REUSED', 'which is for this call');
SELECT results_eq(format('SELECT status::text FROM commerce.report_refund(%s, true, ''v2'')', :r), $$VALUES ('UNEXPECTED')$$, 'when the first goes through after all, the money was given back twice');
SELECT is((SELECT count(*) FROM commerce.outbox WHERE type = 'RefundUnexpected'), 1::bigint, 'which is told');
SELECT results_eq(format('SELECT status::text FROM commerce.report_refund(%s, true, ''v2'')', :r), $$VALUES ('UNEXPECTED')$$, 'the same again');
SELECT results_eq(format('SELECT status::text, provider_event_id FROM commerce.report_refund(%s, true, ''v3'')', :r2), $$VALUES ('COMPLETED', 'v3')$$, 'the second completes');
SELECT results_eq(format('SELECT status::text FROM commerce.report_refund(%s, false, ''v4'')', :r2), $$VALUES ('COMPLETED')$$, 'a failure after that changes nothing');
SELECT results_eq(format('SELECT id FROM commerce.return_payment(%s)', :u), format('VALUES (%s::bigint)', :r2), 'nor does another call');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT id AS paid FROM commerce.payments WHERE provider_event_id = 'u2' \gset
SELECT refuses(format('SELECT commerce.return_payment(%s)', :paid), 'INVALID_STATE_TRANSITION', 'what paid the order is not given back so');
SELECT refuses(format('SELECT commerce.return_payment(%s)', :r2), 'INVALID_STATE_TRANSITION', 'nor is a refund');
SELECT refuses(format('SELECT commerce.return_payment(%s, %s)', :u, :kim), 'FORBIDDEN', 'not by a buyer');
SELECT refuses('SELECT commerce.return_payment(999999)', 'ENTITY_NOT_FOUND', 'an unknown payment');
SELECT refuses(format('SELECT commerce.report_refund(%s, true, ''x'')', :paid), 'INVALID_STATE_TRANSITION', 'a payment is no refund');
SELECT refuses('SELECT commerce.report_refund(999999, true, ''x'')', 'ENTITY_NOT_FOUND', 'an unknown refund');
SELECT refuses(format('SELECT commerce.report_refund(%s, NULL, ''x'')', :r2), 'INVALID_REQUEST', 'no answer');
SELECT refuses(format('SELECT commerce.report_refund(%s, true, '''')', :r2), 'INVALID_REQUEST', 'no event');

-- Nothing to pay
SELECT commerce.create_product(NULL, 'Gift', 0, 10) AS gift \gset
SELECT id AS o, status AS was FROM commerce.place_order(:lee, pg_temp.one(:gift), payment_method => 'EXTERNAL') \gset
SELECT is(:'was'::text, 'PAID', 'where there is nothing to pay the order is paid at once');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''n1'', 700)', :o), $$VALUES ('PAID')$$, 'money for it');
SELECT is(pg_temp.payments(:o), 'PAYMENT:EXTERNAL:COMPLETED:0 PAYMENT:EXTERNAL:UNEXPECTED:700:n1', 'was not asked for');

-- Goodwill, and what comes after it
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.pots(2), payment_method => 'EXTERNAL') \gset
SELECT refuses(format('SELECT commerce.refund_order(%s, 1, %s, ''early'')', :o, :boss), 'REFUND_EXCEEDS_PAID', 'an order that is not paid has nothing to refund');
SELECT * FROM commerce.confirm_payment(:o, true, 'g1') \g /dev/null
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.refund_order(%s, 3000, %s, ''a scratch'', ''g'')', :o, :boss), $$VALUES ('PAID', 3000::bigint)$$, 'goodwill changes no status');
SELECT results_eq(format('SELECT refunded_amount FROM commerce.refund_order(%s, 3000, %s, ''a scratch'', ''g'')', :o, :boss), $$VALUES (3000::bigint)$$, 'its key is taken once');
SELECT refuses(format('SELECT commerce.refund_order(%s, 3001, %s, ''a scratch'', ''g'')', :o, :boss), 'IDEMPOTENCY_KEY_REUSED', 'and for this amount');
SELECT is(refunded_amount, 3000::bigint, 'once') FROM commerce.orders WHERE id = :o;
SELECT refuses(format('SELECT commerce.refund_order(%s, 17001, %s, ''all'')', :o, :boss), 'REFUND_EXCEEDS_PAID', 'more than is left');
SELECT refuses(format('SELECT commerce.refund_order(%s, 0, %s, ''none'')', :o, :boss), 'INVALID_REQUEST', 'nothing');
SELECT refuses(format('SELECT commerce.refund_order(%s, 1, %s, ''mine'')', :o, :lee), 'FORBIDDEN', 'by the buyer');
SELECT refuses('SELECT commerce.refund_order(999999, 1, NULL, ''none'')', 'ENTITY_NOT_FOUND', 'an unknown order');
-- the cancel of all of it gives back what is left
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.cancel_order(%s, ''BUYER'')', :o), $$VALUES ('REFUNDED', 20000::bigint)$$, 'a cancel after goodwill gives back what is left');
SELECT is(pg_temp.refunds(:o), 'EXTERNAL:REQUESTED:3000:to:EXTERNAL:COMPLETED EXTERNAL:REQUESTED:17000:to:EXTERNAL:COMPLETED', 'of the payment');
SELECT is(event_payload('Order', :o, 'OrderItemStatusChanged') -> 'refund', '{"share": 20000, "amount": 17000}', 'the event has both');
-- a refund that failed
SELECT id AS r FROM commerce.payments WHERE order_id = :o AND amount = 17000 \gset
SELECT * FROM commerce.report_refund(:r, false, 'gf') \g /dev/null
SELECT is(refunded_amount, 3000::bigint, 'what a refund that failed took is taken off again') FROM commerce.orders WHERE id = :o;
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT * FROM commerce.report_refund(:r, true, 'gs') \g /dev/null
SELECT results_eq(format('SELECT o.refunded_amount, p.status::text FROM commerce.orders o JOIN commerce.payments p ON p.order_id = o.id WHERE p.id = %s', :r), $$VALUES (20000::bigint, 'COMPLETED')$$, 'a success after that completes it');
SELECT is((SELECT string_agg(type, ' ' ORDER BY position) FROM commerce.outbox WHERE aggregateid = :'o' AND type LIKE 'Refund%'), 'RefundRequested RefundRequested RefundFailed RefundCompleted', 'all of it is told');

-- Of both methods
SELECT pg_temp.balance(:kim) AS before \gset
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.pots(3), payment_method => 'EXTERNAL', balance_part => 12000) \gset
SELECT is(pg_temp.balance(:kim), :before::bigint - 12000, 'the part is taken at once');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''m0'', 30000)', :o), $$VALUES ('PENDING_PAYMENT')$$, 'the provider was not asked for all of it');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''m1'', 18000)', :o), $$VALUES ('PAID')$$, 'but for the rest');
SELECT id AS item FROM commerce.order_items WHERE order_id = :o \gset
SELECT * FROM commerce.cancel_order_item(:item, 1, 'BUYER') \g /dev/null
SELECT is(pg_temp.refunds(:o), 'EXTERNAL:REQUESTED:10000:to:EXTERNAL:COMPLETED', 'the provider gives back first');
SELECT * FROM commerce.cancel_order_item(:item, 1, 'BUYER') \g /dev/null
SELECT is(pg_temp.refunds(:o), 'EXTERNAL:REQUESTED:10000:to:EXTERNAL:COMPLETED EXTERNAL:REQUESTED:8000:to:EXTERNAL:COMPLETED BALANCE:COMPLETED:2000:to:BALANCE:COMPLETED', 'as far as its payment goes, the rest to the balance');
SELECT * FROM commerce.cancel_order(:o, 'BUYER') \g /dev/null
SELECT is(pg_temp.balance(:kim), :before::bigint, 'in the end the balance has its part back');
SELECT is(refunded_amount, 30000::bigint, 'and all is refunded') FROM commerce.orders WHERE id = :o;
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
-- not paid: the part comes back; late: it is taken again
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.pots(3), payment_method => 'EXTERNAL', balance_part => 12000) \gset
SELECT * FROM commerce.confirm_payment(:o, false, 'm2') \g /dev/null
SELECT is(pg_temp.payments(:o), 'PAYMENT:BALANCE:FAILED:12000 PAYMENT:EXTERNAL:FAILED:18000:m2', 'a failure ends both payments');
SELECT is(pg_temp.balance(:kim), :before::bigint, 'the part comes back');
SELECT is(refunded_amount, 0::bigint, 'without a refund') FROM commerce.orders WHERE id = :o;
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''m2'')', :o), $$VALUES ('PAID')$$, 'a success after it, under its id');
SELECT is(pg_temp.balance(:kim), :before::bigint - 12000, 'takes the part again');
SELECT is(pg_temp.payments(:o), 'PAYMENT:BALANCE:FAILED:12000 PAYMENT:EXTERNAL:FAILED:18000:m2 PAYMENT:BALANCE:COMPLETED:12000 PAYMENT:EXTERNAL:COMPLETED:18000:m2', 'by a payment of its own');
SELECT * FROM commerce.cancel_order(:o, 'BUYER') \g /dev/null
-- late, and the balance is spent
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.pots(3), payment_method => 'EXTERNAL', balance_part => 12000) \gset
SELECT is(pg_temp.overdue(:o), 1, 'it expires');
SELECT id AS all FROM commerce.place_order(:kim, pg_temp.pots(:before / 10000)) \gset
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.confirm_payment(%s, true, ''m3'')', :o), $$VALUES ('CANCELLED', 18000::bigint)$$, 'a late success whose part cannot be had is refunded');
SELECT is(pg_temp.refunds(:o), 'EXTERNAL:REQUESTED:18000:to:EXTERNAL:COMPLETED', 'by the provider, what it was paid');
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o), 'INVALID_STATE_TRANSITION', 'it cannot be paid anew');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''m4'')', :o), $$VALUES ('CANCELLED')$$, 'a further success');
SELECT is((SELECT status::text FROM commerce.payments WHERE order_id = :o AND provider_event_id = 'm4'), 'UNEXPECTED', 'was not asked for');
SELECT id AS r FROM commerce.payments WHERE order_id = :o AND kind = 'REFUND' \gset
SELECT * FROM commerce.report_refund(:r, false, 'm5') \g /dev/null
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right while the refund has failed');
SELECT results_eq(format('SELECT refunded_amount FROM commerce.refund_order(%s, 18000, %s, ''anew'')', :o, :boss), $$VALUES (18000::bigint)$$, 'and it is asked for anew');
SELECT * FROM commerce.cancel_order(:all, 'BUYER') \g /dev/null

-- The part that is for tax-exempt lines: of no payment more comes back than it was told to have, nor of the taxed part
SELECT commerce.create_product(NULL, 'Book', 3000, 100, tax_exempt => true) AS book \gset
CREATE FUNCTION pg_temp.book_and_pot() RETURNS jsonb LANGUAGE sql
AS $$SELECT jsonb_agg(jsonb_build_object('product_id', id, 'quantity', 1) ORDER BY name) FROM commerce.products WHERE name IN ('Book', 'Pot')$$;
CREATE FUNCTION pg_temp.parts(o bigint) RETURNS text LANGUAGE sql
AS $$SELECT string_agg(format('%s %s %s:%s', kind, method, amount, tax_free_amount), ', ' ORDER BY id) FROM commerce.payments WHERE order_id = o$$;
CREATE FUNCTION pg_temp.told(o bigint) RETURNS text LANGUAGE sql
AS $$SELECT string_agg(format('%s %s:%s', type, r ->> 'amount', r ->> 'tax_free_amount'), ', ' ORDER BY position)
	FROM (SELECT type, position, coalesce(payload -> 'refund', payload -> 'payment') AS r FROM commerce.outbox
		  WHERE aggregateid = o::text AND (type LIKE 'Refund%' OR type LIKE 'Payment%')) e$$;
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.book_and_pot(), payment_method => 'EXTERNAL', balance_part => 6000) \gset
SELECT * FROM commerce.confirm_payment(:o, true, 't1') \g /dev/null
SELECT is(pg_temp.parts(:o), 'PAYMENT BALANCE 6000:1385, PAYMENT EXTERNAL 7000:1615', 'two payments share what is tax-free');
SELECT id AS i FROM commerce.order_items WHERE order_id = :o AND tax_exempt \gset
SELECT * FROM commerce.cancel_order_item(:i, 1, 'BUYER') \g /dev/null
SELECT * FROM commerce.cancel_order(:o, 'BUYER') \g /dev/null
SELECT is(pg_temp.told(:o), 'PaymentRequested 7000:1615, PaymentCompleted 7000:1615, RefundRequested 3000:1615, RefundRequested 4000:0, RefundCompleted 6000:1385',
	'a refund has at most what its payment was told');
SELECT is(pg_temp.parts(:o), 'PAYMENT BALANCE 6000:1385, PAYMENT EXTERNAL 7000:1615, REFUND EXTERNAL 3000:1615, REFUND EXTERNAL 4000:0, REFUND BALANCE 6000:1385', 'and it is kept');
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.book_and_pot(), payment_method => 'EXTERNAL', balance_part => 6000) \gset
SELECT * FROM commerce.confirm_payment(:o, true, 't8') \g /dev/null
SELECT id AS i FROM commerce.order_items WHERE order_id = :o AND NOT tax_exempt \gset
SELECT * FROM commerce.cancel_order_item(:i, 1, 'BUYER') \g /dev/null
SELECT is(pg_temp.told(:o), 'PaymentRequested 7000:1615, PaymentCompleted 7000:1615, RefundRequested 7000:1615, RefundCompleted 3000:0',
	'one that takes all of a payment takes its tax-free part too');
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.book_and_pot(), payment_method => 'EXTERNAL') \gset
SELECT * FROM commerce.confirm_payment(:o, true, 't2') \g /dev/null
SELECT * FROM commerce.refund_order(:o, 2600, NULL, 'sorry') \g /dev/null
SELECT id AS i FROM commerce.order_items WHERE order_id = :o AND tax_exempt \gset
SELECT * FROM commerce.cancel_order_item(:i, 1, 'BUYER') \g /dev/null
SELECT is(pg_temp.told(:o), 'PaymentRequested 13000:3000, PaymentCompleted 13000:3000, RefundRequested 2600:600, RefundRequested 3000:2400', 'goodwill had some of it');
SELECT id AS r FROM commerce.payments WHERE order_id = :o AND amount = 2600 \gset
SELECT * FROM commerce.report_refund(:r, false, 't3') \g /dev/null
SELECT * FROM commerce.refund_order(:o, 6500, NULL, 'sorry') \g /dev/null
SELECT * FROM commerce.report_refund(:r, true, 't4') \g /dev/null
SELECT is(pg_temp.told(:o), 'PaymentRequested 13000:3000, PaymentCompleted 13000:3000, RefundRequested 2600:600, RefundRequested 3000:2400, RefundFailed 2600:600, RefundRequested 6500:600, RefundCompleted 2600:0',
	'one that is done after all counts as far as the others have left it');
SELECT * FROM commerce.confirm_payment(:o, true, 't5', 1234) \g /dev/null
SELECT id AS u FROM commerce.payments WHERE order_id = :o AND status = 'UNEXPECTED' \gset
SELECT results_eq(format('SELECT tax_free_amount FROM commerce.return_payment(%s)', :u), 'VALUES (NULL::bigint)', 'money that nobody asked for has no such part');
SELECT is(event_payload('Order', :o, 'RefundRequested') -> 'refund' ? 'tax_free_amount', false, 'nor is one told');
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.book_and_pot(), payment_method => 'EXTERNAL', payment_channel => 'card') \gset
SELECT * FROM commerce.confirm_payment(:o, false, 't6') \g /dev/null
SELECT * FROM commerce.retry_payment(:o) \g /dev/null
SELECT * FROM commerce.cancel_order(:o, 'BUYER') \g /dev/null
SELECT * FROM commerce.confirm_payment(:o, true, 't7') \g /dev/null
SELECT is(pg_temp.parts(:o), 'PAYMENT EXTERNAL 13000:3000, PAYMENT EXTERNAL 13000:3000, PAYMENT EXTERNAL 13000:3000, REFUND EXTERNAL 13000:3000', 'each try has it, and a late success that is given back');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');

-- Late, and the world has changed
SELECT id AS o1 FROM commerce.place_order(:lee, pg_temp.one(:cup), payment_method => 'EXTERNAL') \gset
SELECT id AS o2 FROM commerce.place_order(:lee, pg_temp.one(:cup), payment_method => 'EXTERNAL') \gset
SELECT id AS o3 FROM commerce.place_order(:lee, pg_temp.one(:cup), payment_method => 'EXTERNAL') \gset
SELECT pg_temp.overdue(o) FROM unnest(ARRAY[:o1, :o2, :o3]) o \g /dev/null
SELECT commerce.set_product_status(:cup, 'DISCONTINUED') \g /dev/null
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.confirm_payment(%s, true, ''w1'')', :o1), $$VALUES ('CANCELLED', 1000::bigint)$$, 'of a product that is not on sale any more: refunded');
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o2), 'PRODUCT_NOT_ON_SALE', 'nor can it be paid anew');
SELECT commerce.set_product_status(:cup, 'ON_SALE') \g /dev/null
SELECT commerce.set_user_status(:potter, 'SUSPENDED') \g /dev/null
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.confirm_payment(%s, true, ''w2'')', :o2), $$VALUES ('CANCELLED', 1000::bigint)$$, 'of a seller who does not sell any more');
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o3), 'PRODUCT_NOT_ON_SALE', 'nor then');
SELECT commerce.set_user_status(:potter, 'ACTIVE') \g /dev/null
SELECT commerce.set_user_status(:lee, 'WITHDRAWN') \g /dev/null
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o3), 'FORBIDDEN', 'nor by a user who has gone');
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.confirm_payment(%s, true, ''w3'')', :o3), $$VALUES ('CANCELLED', 1000::bigint)$$, 'whose late success is refunded too');
SELECT commerce.set_user_status(:lee, 'ACTIVE') \g /dev/null
SELECT commerce.create_product(NULL, 'Rare', 100, 10) AS rare \gset
RESET ROLE;
UPDATE commerce.products SET max_per_user = 2 WHERE id = :rare;
SET ROLE shop;
SELECT id AS o FROM commerce.place_order(:lee, jsonb_build_array(jsonb_build_object('product_id', :rare, 'quantity', 2)), payment_method => 'EXTERNAL') \gset
SELECT pg_temp.overdue(:o) \g /dev/null
SELECT id AS other FROM commerce.place_order(:lee, pg_temp.one(:rare), payment_method => 'EXTERNAL') \gset
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o), 'PURCHASE_LIMIT_EXCEEDED', 'above the limit per user it is not paid anew');
SELECT results_eq(format('SELECT status::text, refunded_amount FROM commerce.confirm_payment(%s, true, ''w4'')', :o), $$VALUES ('CANCELLED', 200::bigint)$$, 'nor late');
SELECT * FROM commerce.cancel_order(:other, 'BUYER') \g /dev/null

-- Paid anew
SELECT id AS ci FROM commerce.claim_coupon(:kim, commerce.create_coupon('off', 'FIXED', 400, 10, valid_days => 10)) \gset
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.pots(1), ARRAY[:ci], payment_method => 'EXTERNAL', balance_part => 600, payment_channel => 'card') \gset
SELECT commerce.available_stock(:pot) AS stock \gset
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o), 'INVALID_STATE_TRANSITION', 'a pending order is not paid anew');
SELECT * FROM commerce.confirm_payment(:o, false, 'y1') \g /dev/null
RESET ROLE;
UPDATE commerce.products SET price = 12345 WHERE id = :pot;
SET ROLE shop;
SELECT pg_temp.balance(:kim) AS before \gset
SELECT results_eq(format('SELECT status::text, payment_amount, expires_at - now() > interval ''50 minutes'' FROM commerce.retry_payment(%s, ''1h'', ''y'')', :o), $$VALUES ('PENDING_PAYMENT', 9600::bigint, true)$$, 'an order that was declined is paid anew, at its price');
SELECT books() AS books \gset
SELECT results_eq(format('SELECT status::text FROM commerce.retry_payment(%s, ''1h'', ''y'')', :o), $$VALUES ('PENDING_PAYMENT')$$, 'by a key');
SELECT is(books(), :'books', 'once');
SELECT is(pg_temp.payments(:o), 'PAYMENT:BALANCE:FAILED:600 PAYMENT:EXTERNAL:FAILED:9000:y1 PAYMENT:BALANCE:COMPLETED:600 PAYMENT:EXTERNAL:REQUESTED:9000', 'with payments of its own');
SELECT is((SELECT channel FROM commerce.payments WHERE order_id = :o AND status = 'REQUESTED'), 'card', 'by its old channel');
SELECT is(pg_temp.balance(:kim), :before - 600::bigint, 'its part is taken');
SELECT is((SELECT status::text FROM commerce.coupon_issues WHERE id = :ci), 'USED', 'its coupon');
SELECT is(commerce.available_stock(:pot), :stock::bigint, 'and its stock');
SELECT is(events('Order', :o), 'OrderCreated PaymentRequested PaymentFailed OrderCancelled PaymentRequested', 'the provider is asked again');
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, false, ''y1'')', :o), $$VALUES ('PENDING_PAYMENT')$$, 'an answer that is known is not of the new try');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT * FROM commerce.cancel_order(:o, 'BUYER', :kim) \g /dev/null
SELECT results_eq(format('SELECT status::text FROM commerce.retry_payment(%s)', :o), $$VALUES ('PENDING_PAYMENT')$$, 'also one that its buyer cancelled');
SELECT pg_temp.overdue(:o) \g /dev/null
SELECT results_eq(format('SELECT status::text FROM commerce.confirm_payment(%s, true, ''y2'')', :o), $$VALUES ('PAID')$$, 'which, when time ended it, a late success pays');
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o), 'INVALID_STATE_TRANSITION', 'a paid one is not');
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.one(:last), payment_method => 'EXTERNAL') \gset
SELECT pg_temp.overdue(:o) \g /dev/null
SELECT id AS l1 FROM commerce.place_order(:kim, pg_temp.one(:last)) \gset
SELECT id AS l2 FROM commerce.place_order(:kim, pg_temp.one(:last), payment_method => 'EXTERNAL') \gset
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o), 'STOCK_NOT_ENOUGH', 'without stock it fails');
RESET ROLE;
UPDATE commerce.orders SET expires_at = now() - interval '1 second' WHERE id = :l2;
SET ROLE shop;
SELECT results_eq(format('SELECT status::text FROM commerce.retry_payment(%s)', :o), $$VALUES ('PENDING_PAYMENT')$$, 'overdue orders give way to it');
SELECT is(status::text, 'CANCELLED', 'and are ended') FROM commerce.orders WHERE id = :l2;
SELECT id AS ci FROM commerce.claim_coupon(:kim, commerce.create_coupon('off', 'FIXED', 100, 10, valid_days => 10)) \gset
SELECT id AS c1 FROM commerce.place_order(:kim, pg_temp.one(:cup), ARRAY[:ci], payment_method => 'EXTERNAL') \gset
SELECT * FROM commerce.confirm_payment(:c1, false, 'cw') \g /dev/null
SELECT id AS c2 FROM commerce.place_order(:kim, pg_temp.one(:cup), ARRAY[:ci], payment_method => 'EXTERNAL') \gset
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :c1), 'COUPON_NOT_USABLE', 'nor without its coupon, which another order holds');
RESET ROLE;
UPDATE commerce.orders SET expires_at = now() - interval '1 second' WHERE id = :c2;
SET ROLE shop;
SELECT results_eq(format('SELECT status::text FROM commerce.retry_payment(%s)', :c1), $$VALUES ('PENDING_PAYMENT')$$, 'until that is overdue');
SELECT refuses('SELECT commerce.retry_payment(999999)', 'ENTITY_NOT_FOUND', 'an unknown order');
SELECT refuses(format('SELECT commerce.retry_payment(%s, ''-1h'')', :o), 'INVALID_REQUEST', 'no time');
SELECT pg_temp.overdue(:o) \g /dev/null
RESET ROLE;
SET commerce.max_pending_orders = 1;
SET ROLE shop;
SELECT id AS p FROM commerce.place_order(:lee, pg_temp.one(:cup), payment_method => 'EXTERNAL') \gset
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o), 'PENDING_LIMIT_EXCEEDED', 'it counts as a new one');
RESET ROLE;
RESET commerce.max_pending_orders;
UPDATE commerce.orders SET created_at = now() - interval '8 days' WHERE id = :o;
SET ROLE shop;
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o), 'RESERVATION_EXPIRED', 'its time is over some day');
SELECT id AS b FROM commerce.claim_coupon(:lee, commerce.create_coupon('once', 'FIXED', 100, 10, valid_days => 1)) \gset
SELECT id AS o FROM commerce.place_order(:lee, pg_temp.one(:cup), ARRAY[:b], payment_method => 'EXTERNAL') \gset
SELECT * FROM commerce.confirm_payment(:o, false, 'z') \g /dev/null
SELECT commerce.revoke_coupon(:b) \g /dev/null
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o), 'COUPON_NOT_USABLE', 'without its coupon it fails');
SELECT commerce.adjust_balance(:kim, -(SELECT balance FROM commerce.users WHERE id = :kim) + 600, 'paid out') \g /dev/null
SELECT id AS o FROM commerce.place_order(:kim, pg_temp.pots(1), payment_method => 'EXTERNAL', balance_part => 600) \gset
SELECT pg_temp.overdue(:o) \g /dev/null
SELECT commerce.adjust_balance(:kim, -1, 'paid out') \g /dev/null
SELECT refuses(format('SELECT commerce.retry_payment(%s)', :o), 'BALANCE_NOT_ENOUGH', 'without its part it fails');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT * FROM finish();
