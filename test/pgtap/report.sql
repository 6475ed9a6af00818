-- sales_report(): facts by their own days, for sellers and for the shop.
-- role: postgres
-- Who takes days back is a DBA.

SELECT no_plan();
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.charge_balance(:kim, 90000000) \g /dev/null
SELECT commerce.create_seller(commerce.create_user('Sel', 'sel@example.com', role => 'SELLER'), 'Sel', '1') AS sel \gset
SELECT commerce.create_product(:sel, 'cup', 1000, 1000, discount => 100, shipping_fee => 2500) AS cup \gset
SELECT commerce.create_product(:sel, 'pot', 3000, 1000) AS pot \gset
SELECT commerce.create_product(NULL, 'book', 5000, 1000, shipping_fee => 3000) AS book \gset
UPDATE commerce.products SET tax_exempt = true WHERE id = :book;
CREATE FUNCTION pg_temp.coupon(kind commerce.coupon_kind, value bigint, seller bigint, product bigint) RETURNS bigint LANGUAGE sql AS $$
	SELECT (commerce.claim_coupon((SELECT id FROM commerce.users WHERE name = 'Kim'),
		commerce.create_coupon('c', kind, value, 9, valid_days => 9, seller_id => seller, product_id => product))).id
$$;
-- all that happened so far happened so many days earlier
CREATE FUNCTION pg_temp.sleep(days int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE commerce.orders SET paid_at = paid_at - make_interval(days => sleep.days);
	UPDATE commerce.order_item_events SET at = at - make_interval(days => sleep.days);
	UPDATE commerce.payments SET at = at - make_interval(days => sleep.days), requested_at = requested_at - make_interval(days => sleep.days),
		failed_at = failed_at - make_interval(days => sleep.days);
END
$$;
CREATE FUNCTION pg_temp.report(seller bigint, earliest int DEFAULT -30) RETURNS TABLE (ago int, product text, fact text, units bigint, gross bigint, own bigint, shop bigint,
		shipping bigint, deductions bigint, refunds bigint, net bigint, tax_free bigint) LANGUAGE sql AS $$
	SELECT r.day - d.today, p.name, r.fact, r.units, r.gross, r.own_discounts, r.shop_discounts, r.shipping, r.deductions, r.refunds, r.net, r.tax_free
	FROM commerce_private.local_date() d (today), commerce.sales_report(seller, d.today + earliest, d.today) r LEFT JOIN commerce.products p ON p.id = r.product_id
	ORDER BY r.day, r.product_id, r.fact
$$;

-- a sale, with every kind of discount
SELECT commerce.place_order(:kim, format('[{"product_id": %s, "quantity": 3, "coupon_issue_id": %s}, {"product_id": %s, "quantity": 2}, {"product_id": %s, "quantity": 1}]',
		:cup, pg_temp.coupon('FIXED', 50, NULL, :cup), :pot, :book)::jsonb,
	ARRAY[pg_temp.coupon('FIXED', 1000, :sel, NULL), pg_temp.coupon('FREE_SHIPPING', 0, NULL, NULL)]) AS placed \gset
SELECT id AS o FROM commerce.orders \gset
SELECT results_eq(format('SELECT * FROM pg_temp.report(%s)', :sel),
	$$VALUES (0, 'cup', 'SALE', 3::bigint, 3000::bigint, 598::bigint, 2650::bigint, 2500::bigint, 0::bigint, 0::bigint, 2252::bigint, 0::bigint),
			 (0, 'pot', 'SALE', 2, 6000, 702, 0, 0, 0, 0, 5298, 0)$$, 'a seller''s sales');
SELECT results_eq('SELECT * FROM pg_temp.report(NULL)',
	$$VALUES (0, 'book', 'SALE', 1::bigint, 5000::bigint, 0::bigint, 3000::bigint, 3000::bigint, 0::bigint, 0::bigint, 5000::bigint, 5000::bigint)$$, 'the shop''s');
SELECT is((SELECT sum(net) FROM (SELECT net FROM pg_temp.report(:sel) UNION ALL SELECT net FROM pg_temp.report(NULL)) n),
	(SELECT payment_amount FROM commerce.orders WHERE id = :o)::numeric, 'together what was paid');

-- what comes later does not change the day of the sale
CREATE TEMP TABLE sold AS SELECT * FROM pg_temp.report(:sel);
SELECT pg_temp.sleep(3) \g /dev/null
SELECT id AS cups FROM commerce.order_items WHERE order_id = :o AND product_id = :cup \gset
SELECT id AS pots FROM commerce.order_items WHERE order_id = :o AND product_id = :pot \gset
SELECT commerce.cancel_order_item(:cups, 1, 'ADMIN') \g /dev/null
SELECT results_eq(format('SELECT * FROM pg_temp.report(%s, 0)', :sel),
	$$VALUES (0, 'cup', 'CANCEL', -1::bigint, -1000::bigint, -200::bigint, -50::bigint, 0::bigint, 0::bigint, 750::bigint, -750::bigint, 0::bigint)$$, 'a part cancelled is a fact of its own day');
SELECT results_eq(format('SELECT * FROM pg_temp.report(%s) WHERE ago < 0', :sel), 'SELECT -3, product, fact, units, gross, own, shop, shipping, deductions, refunds, net, tax_free FROM sold', 'the closed day is what it was');
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.cancel_order_item(:cups, 2, 'ADMIN') \g /dev/null
SELECT results_eq(format('SELECT product, fact, units, shipping, shop, net FROM pg_temp.report(%s, 0)', :sel),
	$$VALUES ('cup', 'CANCEL', -2::bigint, -2500::bigint, -2600::bigint, -1502::bigint)$$, 'with the last of a line its shipping goes');
SELECT commerce.change_item_status(:pots, s, 'ADMIN') FROM unnest('{DISPATCHED,IN_TRANSIT,DELIVERED,RETURN_REQUESTED,RETURN_PROCESSING}'::commerce.order_item_status[]) s \g /dev/null
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.complete_return(:pots, quantity => 1, deduction => 500) \g /dev/null
SELECT results_eq(format('SELECT * FROM pg_temp.report(%s, 0)', :sel),
	$$VALUES (0, 'pot', 'RETURN', -1::bigint, -3000::bigint, -351::bigint, 0::bigint, 0::bigint, 500::bigint, 2149::bigint, -2149::bigint, 0::bigint)$$, 'a return with a deduction');

-- goodwill, which a later return gives less for
SELECT pg_temp.sleep(1) \g /dev/null
SELECT is_empty('SELECT * FROM pg_temp.report(NULL, 0)', 'nothing today');
SELECT commerce.refund_order(:o, 7000, NULL, 'sorry') \g /dev/null
SELECT results_eq('SELECT product, fact, units, refunds, net FROM pg_temp.report(NULL, 0)', $$VALUES (NULL, 'REFUND', 0::bigint, 7000::bigint, -7000::bigint)$$, 'goodwill has no product');
SELECT is_empty(format('SELECT * FROM pg_temp.report(%s, 0)', :sel), 'and is the shop''s');
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.complete_return(:pots) \g /dev/null
SELECT results_eq(format('SELECT fact, net FROM pg_temp.report(%s, 0)', :sel), $$VALUES ('RETURN', -2649::bigint)$$, 'the seller''s return is whole');
SELECT results_eq('SELECT fact, net FROM pg_temp.report(NULL, 0)', $$VALUES ('REFUND', 1500::bigint)$$, 'what the goodwill has given already, the shop has back');
SELECT is((SELECT sum(net) FROM (SELECT net FROM pg_temp.report(:sel) UNION ALL SELECT net FROM pg_temp.report(NULL)) n),
	(SELECT payment_amount - refunded_amount FROM commerce.orders WHERE id = :o)::numeric, 'together what is left of the money');

-- a refund that the provider fails to make, and one that was not expected
SELECT pg_temp.sleep(1) \g /dev/null
SELECT id AS e FROM commerce.place_order(:kim, format('[{"product_id": %s, "quantity": 1}]', :book)::jsonb, payment_method => 'EXTERNAL') \gset
SELECT commerce.confirm_payment(:e, true, 'p1') \g /dev/null
SELECT commerce.confirm_payment(:e, true, 'p2') \g /dev/null
SELECT commerce.return_payment(id) FROM commerce.payments WHERE status = 'UNEXPECTED' \g /dev/null
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.cancel_order(:e, 'ADMIN') \g /dev/null
CREATE TEMP TABLE cancelled AS SELECT * FROM pg_temp.report(NULL, -1);
SELECT results_eq('SELECT ago, product, fact, net FROM cancelled', $$VALUES (-1, 'book', 'SALE', 8000::bigint), (0, 'book', 'CANCEL', -8000::bigint)$$, 'what came twice and went back is no fact');
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.report_refund(p.id, false, 'r1') FROM commerce.payments p JOIN commerce.payments t ON t.id = p.refund_of WHERE p.order_id = :e AND t.status = 'COMPLETED' \g /dev/null
SELECT results_eq('SELECT fact, refunds FROM pg_temp.report(NULL, 0)', $$VALUES ('REFUND', -8000::bigint)$$, 'what did not go back after all');
SELECT results_eq('SELECT ago + 1, product, fact, net FROM pg_temp.report(NULL, -2) WHERE ago < 0', 'SELECT ago, product, fact, net FROM cancelled', 'the closed days are what they were');
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.refund_order(:e, 8000, NULL, 'again') \g /dev/null
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.report_refund(p.id, true, 'r2') FROM commerce.payments p WHERE p.order_id = :e AND status = 'REQUESTED' AND amount = 8000 AND refund_of = (SELECT id FROM commerce.payments WHERE order_id = :e AND kind = 'PAYMENT' AND status = 'COMPLETED') \g /dev/null
SELECT is_empty('SELECT * FROM pg_temp.report(NULL, 0)', 'the provider''s answer is no fact');
SELECT results_eq('SELECT fact, refunds FROM pg_temp.report(NULL, -1)', $$VALUES ('REFUND', 8000::bigint)$$, 'asked anew, it is of the day of asking');

-- one that failed and goes through after all, and one that does so when the money was given back otherwise
SELECT pg_temp.sleep(1) \g /dev/null
SELECT id AS l FROM commerce.place_order(:kim, format('[{"product_id": %s, "quantity": 1}]', :book)::jsonb, payment_method => 'EXTERNAL') \gset
SELECT commerce.confirm_payment(:l, true, 'p3') \g /dev/null
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.refund_order(:l, 5000, NULL, 'sorry') \g /dev/null
SELECT id AS r1 FROM commerce.payments WHERE order_id = :l AND kind = 'REFUND' \gset
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.report_refund(:r1, false, 'r3') \g /dev/null
CREATE TEMP TABLE closed AS SELECT * FROM pg_temp.report(NULL);
SELECT results_eq('SELECT ago, fact, refunds FROM closed WHERE ago >= -2', $$VALUES (-2, 'SALE', 0::bigint), (-1, 'REFUND', 5000::bigint), (0, 'REFUND', -5000::bigint)$$, 'a refund and its failure');
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.report_refund(:r1, true, 'r4') \g /dev/null
SELECT results_eq('SELECT fact, refunds FROM pg_temp.report(NULL, 0)', $$VALUES ('REFUND', 5000::bigint)$$, 'a success after the failure is a fact of its day');
SELECT results_eq('SELECT ago + 1, product, fact, refunds, net FROM pg_temp.report(NULL) WHERE ago < 0', 'SELECT ago, product, fact, refunds, net FROM closed', 'and leaves closed days as they were');
SELECT commerce.refund_order(:l, 2000, NULL, 'sorry') \g /dev/null
SELECT id AS r2 FROM commerce.payments WHERE order_id = :l AND amount = 2000 \gset
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.report_refund(:r2, false, 'r5') \g /dev/null
SELECT commerce.refund_order(:l, 3000, NULL, 'again') \g /dev/null
DROP TABLE closed;
CREATE TEMP TABLE closed AS SELECT * FROM pg_temp.report(NULL);
SELECT pg_temp.sleep(1) \g /dev/null
SELECT commerce.report_refund(:r2, true, 'r6') AS late \gset
SELECT is((SELECT status::text FROM commerce.payments WHERE id = :r2), 'UNEXPECTED', 'one that goes through beside another');
SELECT results_eq('SELECT ago + 1, product, fact, refunds, net FROM pg_temp.report(NULL)', 'SELECT ago, product, fact, refunds, net FROM closed', 'changes no day at all');

-- an unpaid order is none, an imported one is of its own day
SELECT commerce.place_order(:kim, format('[{"product_id": %s, "quantity": 1}]', :book)::jsonb, payment_method => 'EXTERNAL') AS unpaid \gset
SELECT is_empty('SELECT * FROM pg_temp.report(NULL, 0)', 'an unpaid order is no sale');
SELECT commerce.import_order(format('{"user_id": %s, "paid_at": "2020-05-05 00:00+09", "payment_amount": 5000, "difference": "order_discount", "items": [{"product_id": %s, "quantity": 2, "unit_price": 3000}]}', :kim, :book)::jsonb) AS imported \gset
SELECT results_eq($$SELECT day, fact, units, gross, own_discounts, net FROM commerce.sales_report(NULL, '2020-05-05', '2020-05-05')$$,
	$$VALUES ('2020-05-05'::date, 'SALE', 2::bigint, 6000::bigint, 1000::bigint, 5000::bigint)$$, 'an imported order, on its day in Seoul');
SELECT is_empty($$SELECT * FROM commerce.sales_report(NULL, '2020-05-04', '2020-05-04')$$, 'and on no other');

SELECT refuses(format('SELECT * FROM commerce.sales_report(%s)', a), code, a)
FROM (VALUES ('NULL, NULL, now()::date', 'INVALID_REQUEST'), ('NULL, now()::date, NULL', 'INVALID_REQUEST'), ($$NULL, '2020-01-02', '2020-01-01'$$, 'INVALID_REQUEST'),
	($$NULL, '-infinity', 'infinity'$$, 'INVALID_REQUEST'), ($$999, '2020-01-02', '2020-01-02'$$, 'ENTITY_NOT_FOUND')) v (a, code);
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
