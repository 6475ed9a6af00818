-- What an operation reads does not grow with the shop: no table is read from end to end, also when plans
-- were made while it was empty, and a sweep reads what is due.
-- role: postgres
-- Who looks at what statements read is a DBA.

SELECT no_plan();

-- Without foreign-key checks, whose plans are PostgreSQL's. Setting this later would make all plans anew.
SET session_replication_role = replica;
-- On a slow machine, too, no more orders are overdue than are meant to be.
SET commerce.payment_ttl = '1d';

-- Every operation once, which makes its plans, on tables that are known to be empty.
VACUUM ANALYZE;
CREATE FUNCTION pg_temp.everything() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	email text := 'a' || gen_random_uuid() || '@example.com';
	buyer bigint := commerce.create_user('a', email);
	product bigint := commerce.create_product(NULL, 'p', 1000, 10);
	coupon bigint := commerce.create_coupon('c', 'FIXED', 100, 10, valid_days => 7);
	made bigint;
	item bigint;
	sheet uuid;
	items jsonb := jsonb_build_array(jsonb_build_object('product_id', product, 'quantity', 2));
BEGIN
	PERFORM commerce.charge_balance(buyer, 1000000, 'key');
	made := (commerce.place_order(buyer, items, ARRAY[(commerce.claim_coupon(buyer, coupon)).id], 'key')).id;
	EXECUTE 'SELECT i.id FROM commerce.order_items i WHERE i.order_id = $1 AND i.seq = 1' INTO item USING made;
	PERFORM commerce.change_item_status(item, 'DISPATCHED', 'SELLER', quantity => 1);
	PERFORM commerce.cancel_order_item(item, 1, 'BUYER', buyer);
	made := (commerce.place_order(buyer, items)).id;
	PERFORM commerce.cancel_order(made, 'BUYER', buyer);
	made := (commerce.place_order(buyer, items, payment_method => 'EXTERNAL')).id;
	PERFORM commerce.confirm_payment(made, true, 'yes ' || made);
	made := (commerce.place_order(buyer, items, payment_method => 'EXTERNAL')).id;
	PERFORM commerce.confirm_payment(made, false, 'no ' || made);
	PERFORM commerce.confirm_payment(made, true, 'late ' || made);
	sheet := (commerce.create_order_sheet(buyer, items)).id;
	PERFORM commerce.place_sheet_order(sheet, 'sheet');
	PERFORM commerce.adjust_stock(product, 1);
	PERFORM commerce.adjust_stock(product, -1);
	PERFORM commerce.update_product(product, price => 1100), commerce.set_product_status(product, 'ON_SALE');
	PERFORM commerce.end_promotion((commerce.update_promotion(commerce.create_promotion(product, 'PERCENT', 5, now(), now() + interval '1 day'), value => 6)).id);
	PERFORM commerce.update_user(buyer, phone => '010'), commerce.adjust_balance(buyer, 1, 'sorry'), commerce.set_user_status(buyer, 'ACTIVE');
	PERFORM commerce.issue_coupon(coupon, commerce.create_user('b'));
	PERFORM commerce.update_coupon(coupon, name => 'd'), commerce.stop_coupon(coupon);
	PERFORM commerce.balance_statement(buyer), commerce.find_user(email), commerce.sign_up(gen_random_uuid()::text, 'x');
	PERFORM commerce.update_seller(commerce.create_seller(commerce.create_user('s', NULL, role => 'SELLER'), 's', gen_random_uuid()::text), address => 'x');
	made := (commerce.place_order(buyer, items)).id;
	PERFORM commerce.update_delivery(made, '{"memo": "x"}', 'BUYER', buyer), commerce.refund_order(made, 100, NULL, 'x');
	EXECUTE 'SELECT i.id FROM commerce.order_items i WHERE i.order_id = $1 AND i.seq = 1' INTO item USING made;
	PERFORM commerce.change_shipment_status((commerce.dispatch_items(ARRAY[item], 'Post', 'KR1')).id, 'DELIVERED');
	PERFORM commerce.change_item_status(item, 'EXCHANGE_REQUESTED', 'BUYER', buyer);
	PERFORM commerce.change_item_status(item, 'EXCHANGE_PROCESSING', 'ADMIN'), commerce.complete_exchange(item);
	BEGIN
		PERFORM commerce.place_order(buyer, jsonb_build_array(jsonb_build_object('product_id', product, 'quantity', 1000)));
	EXCEPTION WHEN SQLSTATE 'SH001' THEN
		NULL;
	END;
	PERFORM commerce.usable_coupons(buyer), commerce.get_balance(buyer), commerce.available_stock(product);
	PERFORM commerce.expire_pending_orders(), commerce.expire_coupons(), commerce.confirm_delivered_items();
END
$$;
SELECT lives_ok('SELECT pg_temp.everything()') FROM generate_series(1, 7);

-- PostgreSQL makes plans again by itself when the search_path is another, as after a session's first temporary table.
SELECT format('ALTER FUNCTION %s SET search_path = pg_catalog, tap, pg_temp', oid::regprocedure) FROM pg_proc
WHERE pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND proconfig @> ARRAY['search_path=pg_catalog, pg_temp'] \gexec
SELECT lives_ok('SELECT pg_temp.everything()');

-- The shop grows, and nobody has analysed it yet.
SELECT commerce.create_product(NULL, 'stock ' || n, 1000, 10) FROM generate_series(1, 300) n \g /dev/null
SELECT commerce.create_coupon('coupon ' || n, 'FIXED', 100, 10, valid_days => 7) FROM generate_series(1, 300) n \g /dev/null
SELECT commerce.create_user('u', n || '@example.com') FROM generate_series(1, 300) n \g /dev/null
SELECT commerce.charge_balance(id, 10000) FROM commerce.users WHERE name = 'u' \g /dev/null
SELECT commerce.create_promotion(id, 'PERCENT', 5, now(), now() + interval '1 day') FROM commerce.products WHERE name LIKE 'stock%' \g /dev/null
SELECT commerce.place_order(u.id, jsonb_build_array(jsonb_build_object('product_id', p.id, 'quantity', 1)),
		ARRAY[(commerce.claim_coupon(u.id, c.id)).id], 'first', m.method)
FROM (SELECT id, row_number() OVER (ORDER BY id) n FROM commerce.users WHERE name = 'u') u
JOIN (SELECT id, row_number() OVER (ORDER BY id) n FROM commerce.products WHERE name LIKE 'stock%') p USING (n)
JOIN (SELECT id, row_number() OVER (ORDER BY id) n FROM commerce.coupons WHERE name LIKE 'coupon%') c USING (n),
(VALUES ('EXTERNAL'::commerce.payment_method)) m(method) \g /dev/null
SELECT commerce.claim_coupon(u.id, c.id)
FROM (SELECT id, row_number() OVER (ORDER BY id) n FROM commerce.users WHERE name = 'u') u
JOIN (SELECT id, row_number() OVER (ORDER BY id) n FROM commerce.coupons WHERE name LIKE 'coupon%') c ON c.n % 300 = (u.n + 1) % 300 \g /dev/null
SELECT commerce.create_order_sheet(u.id, jsonb_build_array(jsonb_build_object('product_id', p.id, 'quantity', 1)))
FROM (SELECT id, row_number() OVER (ORDER BY id) n FROM commerce.users WHERE name = 'u') u
JOIN (SELECT id, row_number() OVER (ORDER BY id) n FROM commerce.products WHERE name LIKE 'stock%') p USING (n) \g /dev/null

CREATE FUNCTION pg_temp.too_much_read() RETURNS TABLE (relname name, seq_tup_read bigint, idx_tup_fetch bigint) LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMPORARY TABLE before ON COMMIT DROP AS
		SELECT s.relid, s.seq_tup_read, s.idx_tup_fetch FROM pg_stat_xact_user_tables s WHERE s.schemaname IN ('commerce', 'commerce_private');
	PERFORM pg_temp.everything();
	RETURN QUERY
		SELECT a.relname, a.seq_tup_read - b.seq_tup_read, a.idx_tup_fetch - b.idx_tup_fetch
		FROM pg_stat_xact_user_tables a JOIN before b USING (relid)
		WHERE a.seq_tup_read - b.seq_tup_read >= 300 OR a.idx_tup_fetch - b.idx_tup_fetch >= 300;
END
$$;
SELECT is_empty('SELECT * FROM pg_temp.too_much_read()', 'no operation reads a table or an index from end to end');

-- Statistics of a rush for one product, where most orders wait for their payment; and one of them is overdue.
ALTER TABLE commerce.order_items ALTER product_id SET (n_distinct = 1);
UPDATE commerce.orders SET expires_at = now() WHERE id = (SELECT max(id) FROM commerce.orders WHERE status = 'PENDING_PAYMENT');
ANALYZE;
SELECT is_empty('SELECT * FROM pg_temp.too_much_read()', 'nor when most orders are pending ones of one product');

-- An index that is being built does not have every row yet.
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'commerce.promotions_product_id_idx'::regclass;
SELECT throws_ok('SELECT pg_temp.everything()', '55000', 'index commerce.promotions_product_id_idx is not valid', 'no row is missed for an invalid index');
SELECT * FROM finish();
