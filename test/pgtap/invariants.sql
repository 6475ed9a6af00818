-- check_invariants(): every way to break the books by hand is reported, and by its name.
-- role: postgres

SELECT no_plan();
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT commerce.create_seller(commerce.create_user('Sel', 'sel@example.com', role => 'SELLER'), 'Sel', '1') \g /dev/null
SELECT commerce.charge_balance(:kim, 1000000) \g /dev/null
SELECT commerce.charge_balance(:kim, 1000) \g /dev/null
SELECT commerce.create_product(NULL, 'cup', 1000, 100, shipping_fee => 2500) AS cup \gset
SELECT commerce.create_product(NULL, 'pot', 3000, 100) AS pot \gset
SELECT commerce.create_coupon('c', 'FIXED', 100, 2, valid_days => 1) AS coupon \gset
SELECT id AS issue FROM commerce.claim_coupon(:kim, :coupon) \gset
SELECT id AS unused FROM commerce.claim_coupon(:lee, :coupon) \gset
SELECT commerce.create_coupon('f', 'FREE_SHIPPING', 0, 5, valid_days => 1) AS free \gset
SELECT id AS free_issue FROM commerce.claim_coupon(:kim, :free) \gset
SELECT id AS o FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":2},{"product_id":%s,"quantity":1}]', :cup, :pot)::jsonb, ARRAY[:issue, :free_issue]::bigint[]) \gset
SELECT id AS pending FROM commerce.place_order(:lee, format('[{"product_id":%s,"quantity":1}]', :pot)::jsonb, payment_method => 'EXTERNAL') \gset
SELECT fold_all() \g /dev/null
SELECT commerce.adjust_stock(:cup, 5) \g /dev/null
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');

CREATE TEMP TABLE seen (invariant text);
-- Does the damage, and undoes it. reports: the invariants that must be reported; others may be.
CREATE FUNCTION pg_temp.reports(invariants text[], damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	got text[];
	missing text[];
BEGIN
	BEGIN
		EXECUTE damage;
		SELECT coalesce(array_agg(c.invariant), '{}') INTO got FROM commerce.check_invariants() c WHERE c.violations > 0;
		RAISE EXCEPTION USING ERRCODE = 'OK000';
	EXCEPTION WHEN SQLSTATE 'OK000' THEN
		NULL;
	END;
	INSERT INTO pg_temp.seen SELECT unnest(got);
	missing := ARRAY(SELECT unnest(invariants) EXCEPT SELECT unnest(got));
	RETURN tap.is(missing, '{}'::text[], left(damage, 100) || ' is reported');
END
$$;

SELECT pg_temp.reports(ARRAY[invariant], replace(replace(replace(replace(replace(replace(replace(replace(damage,
	':kim', :'kim'), ':lee', :'lee'), ':cup', :'cup'), ':coupon', :'coupon'), ':issue', :'issue'), ':unused', :'unused'), ':pending', :'pending'), ':o', :'o'))
FROM (VALUES
	('balance is the sum of its entries', 'UPDATE commerce.users SET balance = balance + 1 WHERE id = :kim'),
	('balance is the sum of its entries', 'UPDATE commerce.users SET balance = 1 WHERE id = :lee'),
	('balance is the sum of its entries', 'DELETE FROM commerce.balance_entries WHERE user_id = :kim'),
	('balance_after is the running sum of the entries', 'UPDATE commerce.balance_entries SET balance_after = balance_after + 1 WHERE user_id = :kim AND order_id IS NOT NULL'),
	('balance_after is the running sum of the entries', 'UPDATE commerce.balance_entries SET amount = amount + CASE WHEN order_id IS NULL THEN 1 ELSE -2 END WHERE user_id = :kim'),
	('balance entries are numbered without gaps', 'UPDATE commerce.balance_entries SET number = number + 1 WHERE user_id = :kim AND number = (SELECT max(number) FROM commerce.balance_entries WHERE user_id = :kim)'),
	('balance entries are numbered without gaps', 'UPDATE commerce.users SET last_entry = last_entry + 1 WHERE id = :lee'),
	('balance entries are numbered without gaps', 'UPDATE commerce.balance_entries SET number = number + 1000 WHERE user_id = :kim; UPDATE commerce.users SET last_entry = last_entry + 1000 WHERE id = :kim'),
	('nothing personal is left of an erased user', 'UPDATE commerce.users SET erased_at = now() WHERE id = :lee'),
	('nothing personal is left of an erased user', 'UPDATE commerce.users SET erased_at = now(), name = ''erased'', email = NULL, status = ''WITHDRAWN'' WHERE id = :kim'),
	('an erased user has no coupon to use', 'UPDATE commerce.users SET erased_at = now(), name = ''erased'', email = NULL, status = ''WITHDRAWN''; UPDATE commerce.coupon_issues SET status = ''ACTIVE'', used_at = NULL, used_order_id = NULL'),
	('a seller is active when the user is', 'UPDATE commerce.sellers SET active = false'),
	('a seller is active when the user is', 'UPDATE commerce.users SET status = ''SUSPENDED'' WHERE role = ''SELLER'''),
	('the tables'' rows are where the library reads and writes them', 'CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler; ALTER TABLE commerce.payments SET ACCESS METHOD other'),
	('the tables'' rows are where the library reads and writes them', 'ALTER TABLE commerce.payments RENAME TO payments_before; CREATE VIEW commerce.payments AS TABLE commerce.payments_before'),
	('stock is never negative', 'INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES (:cup, -1000, ''ADJUST'')'),
	('folded and unfolded stock is the sum of all entries', 'UPDATE commerce_private.stock SET on_hand = on_hand + 1 WHERE product_id = :cup'),
	('folded and unfolded stock is the sum of all entries', 'UPDATE commerce_private.stock SET mark = 9223372036854775807 WHERE product_id = :cup'),
	('folded and unfolded stock is the sum of all entries', 'UPDATE commerce_private.stock SET mark = ''0'' WHERE product_id = :cup'),
	('folded and unfolded stock is the sum of all entries', 'DELETE FROM commerce_private.stock WHERE product_id = :cup'),
	('a coupon is not issued more often than its quantity', 'ALTER TABLE commerce.coupons DISABLE TRIGGER record_quota; UPDATE commerce.coupons SET quantity = 1 WHERE id = :coupon'),
	('a coupon''s quantity is the sum of its entries', 'UPDATE commerce.quota_entries SET delta = delta + 1 WHERE coupon_id = :coupon'),
	('a coupon''s quantity is the sum of its entries', 'DELETE FROM commerce.quota_entries WHERE coupon_id = :coupon'),
	('folded and unfolded quota is the sum of all entries less all issues', 'UPDATE commerce_private.coupon_quota SET on_hand = on_hand + 1 WHERE coupon_id = :coupon'),
	('folded and unfolded quota is the sum of all entries less all issues', 'UPDATE commerce_private.coupon_quota SET mark = 1 WHERE coupon_id = :coupon'),
	('folded and unfolded quota is the sum of all entries less all issues', 'DELETE FROM commerce_private.coupon_quota WHERE coupon_id = :coupon'),
	('a coupon is used by at most one live order', 'UPDATE commerce.coupon_issues SET status = ''ACTIVE'', used_at = NULL, used_order_id = NULL WHERE id = :issue'),
	('a coupon is used by at most one live order', 'UPDATE commerce.coupon_issues SET used_order_id = :pending WHERE id = :issue'),
	('a coupon is used by at most one live order', 'UPDATE commerce.coupon_issues SET status = ''USED'', used_at = now(), used_order_id = :o WHERE id = :unused'),
	('a coupon is used by at most one live order', 'DROP INDEX commerce.order_coupons_live_key; INSERT INTO commerce.order_coupons VALUES (:pending, :issue, 100, NULL)'),
	('a coupon is used by at most one live order', 'UPDATE commerce.order_coupons SET restored_at = now() WHERE coupon_issue_id = :issue'),
	('payment amount follows from the totals', 'ALTER TABLE commerce.orders DROP CONSTRAINT orders_payment_amount_check; UPDATE commerce.orders SET payment_amount = payment_amount + 1 WHERE id = :o'),
	('what is tax-free is what the tax-exempt items cost', 'UPDATE commerce.orders SET tax_free_amount = 1 WHERE id = :o'),
	('what is tax-free is what the tax-exempt items cost', 'UPDATE commerce.order_items SET tax_exempt = true WHERE order_id = :o'),
	('what is kept back of an item is not above what it cost', 'UPDATE commerce.order_items SET deduction = 1 WHERE order_id = :o'),
	('what is kept back of an item is not above what it cost', 'ALTER TABLE commerce.order_items DROP CONSTRAINT order_items_deduction_check; UPDATE commerce.order_items SET deduction = 1000000, status = ''RETURNED'' WHERE order_id = :o'),
	('nobody has more of a product than its limit allowed', 'UPDATE commerce.order_items SET limited_user_id = :kim, user_limit = quantity - 1 WHERE order_id = :o'),
	('nobody has more of a product than its limit allowed', 'UPDATE commerce.order_items SET limited_user_id = :kim, user_limit = 2, replacement_product_id = :cup WHERE order_id = :o'),
	('items add up to their order', 'UPDATE commerce.orders SET items_total = items_total + 1, payment_amount = payment_amount + 1 WHERE id = :o'),
	('items add up to their order', 'UPDATE commerce.orders SET order_discount = order_discount + 1, payment_amount = payment_amount - 1 WHERE id = :o'),
	('items add up to their order', 'UPDATE commerce.orders SET shipping_discount = shipping_discount - 1 WHERE id = :o'),
	('items add up to their order', 'UPDATE commerce.order_items SET order_discount_share = order_discount_share - 1 WHERE order_id = :o AND seq = 1'),
	('items add up to their order', 'UPDATE commerce.order_items SET shipping_fee = shipping_fee + 1 WHERE order_id = :o AND seq = 1'),
	('items add up to their order', 'UPDATE commerce.order_items SET quantity = 3, line_total = unit_final * 3 WHERE order_id = :o AND seq = 1'),
	('items add up to their order', 'UPDATE commerce.order_items SET order_id = :pending, seq = 2 WHERE order_id = :o AND seq = 2'),
	('payments are what the order says was paid', 'UPDATE commerce.payments SET amount = amount + 1 WHERE order_id = :o'),
	('payments are what the order says was paid', 'UPDATE commerce.payments SET status = ''FAILED'' WHERE order_id = :o'),
	('payments are what the order says was paid', 'UPDATE commerce.payments SET status = ''COMPLETED'' WHERE order_id = :pending'),
	('payments are what the order says was paid', 'DELETE FROM commerce.payments WHERE order_id = :o'),
	('refunds are what the order says was refunded', 'UPDATE commerce.orders SET refunded_amount = 1 WHERE id = :o'),
	('payments are what the order says was paid', 'UPDATE commerce.payments SET amount = amount - 1 WHERE order_id = :pending'),
	('payments are what the order says was paid', 'INSERT INTO commerce.payments (user_id, order_id, kind, method, status, amount) SELECT user_id, order_id, kind, method, status, 0 FROM commerce.payments WHERE order_id = :o'),
	('a late success that was refused is refunded, or its refund failed', 'UPDATE commerce.orders SET paid_at = NULL WHERE id = :o'),
	('refunds are what the order says was refunded', 'INSERT INTO commerce.payments (user_id, order_id, kind, method, status, amount, refund_of) SELECT user_id, order_id, ''REFUND'', method, ''COMPLETED'', 1, id FROM commerce.payments WHERE order_id = :o'),
	('refunds go back to the payment that they name, and are at most its amount', 'INSERT INTO commerce.payments (user_id, order_id, kind, method, status, amount, refund_of) SELECT user_id, order_id, ''REFUND'', method, ''COMPLETED'', amount + 1, id FROM commerce.payments WHERE order_id = :o'),
	('refunds go back to the payment that they name, and are at most its amount', 'INSERT INTO commerce.payments (user_id, order_id, kind, method, status, amount, refund_of) SELECT user_id, order_id, ''REFUND'', ''EXTERNAL'', ''FAILED'', 1, id FROM commerce.payments WHERE order_id = :o'),
	('refunds go back to the payment that they name, and are at most its amount', 'INSERT INTO commerce.payments (user_id, order_id, kind, method, status, amount, refund_of) SELECT user_id, :pending, ''REFUND'', method, ''FAILED'', 1, id FROM commerce.payments WHERE order_id = :o'),
	('refunds go back to the payment that they name, and are at most its amount', 'INSERT INTO commerce.payments (user_id, order_id, kind, method, status, amount, refund_of) SELECT user_id, order_id, ''REFUND'', method, ''FAILED'', 1, id FROM commerce.payments WHERE order_id = :pending'),
	('what is tax-free of the payments is what is tax-free of the order', 'UPDATE commerce.payments SET tax_free_amount = 1 WHERE order_id = :o'),
	('what is tax-free of the payments is what is tax-free of the order', 'UPDATE commerce.payments SET tax_free_amount = NULL WHERE order_id = :pending'),
	('what is tax-free of the payments is what is tax-free of the order', 'INSERT INTO commerce.payments (user_id, order_id, kind, method, status, amount, tax_free_amount) SELECT user_id, order_id, kind, method, ''UNEXPECTED'', 1, 0 FROM commerce.payments WHERE order_id = :o'),
	('refunds have no more of the tax-free or taxed part of a payment than it had', 'INSERT INTO commerce.payments (user_id, order_id, kind, method, status, amount, refund_of, tax_free_amount) SELECT user_id, order_id, ''REFUND'', method, ''COMPLETED'', 1, id, 1 FROM commerce.payments WHERE order_id = :o'),
	('refunds have no more of the tax-free or taxed part of a payment than it had', 'UPDATE commerce.payments SET tax_free_amount = 1 WHERE order_id = :o; INSERT INTO commerce.payments (user_id, order_id, kind, method, status, amount, refund_of, tax_free_amount) SELECT user_id, order_id, ''REFUND'', method, ''COMPLETED'', amount, id, 0 FROM commerce.payments WHERE order_id = :o'),
	('refunds have no more of the tax-free or taxed part of a payment than it had', 'INSERT INTO commerce.payments (user_id, order_id, kind, method, status, amount, refund_of) SELECT user_id, order_id, ''REFUND'', method, ''FAILED'', 1, id FROM commerce.payments WHERE order_id = :o'),
	('balance payments and refunds are in the balance entries', 'UPDATE commerce.balance_entries SET amount = amount - 1 WHERE order_id = :o'),
	('balance payments and refunds are in the balance entries', 'UPDATE commerce.balance_entries SET order_id = NULL WHERE order_id = :o'),
	('balance payments and refunds are in the balance entries', 'UPDATE commerce.payments SET amount = amount + 1 WHERE order_id = :o'),
	('a charge that was paid has its one entry', 'INSERT INTO commerce.payments (user_id, kind, method, status, amount) SELECT user_id, ''CHARGE'', ''EXTERNAL'', ''COMPLETED'', 100 FROM commerce.orders WHERE id = :o'),
	('a charge that was paid has its one entry', 'UPDATE commerce.balance_entries SET payment_id = (SELECT id FROM commerce.payments WHERE order_id = :o) WHERE order_id = :o'),
	('order status agrees with its items', 'UPDATE commerce.orders SET status = ''COMPLETED'' WHERE id = :o'),
	('order status agrees with its items', 'UPDATE commerce.orders SET status = ''PAID'', expires_at = NULL WHERE id = :pending'),
	('order status agrees with its items', 'UPDATE commerce.order_items SET status = ''CANCELLED'' WHERE order_id = :o AND seq = 1'),
	('order status agrees with its items', 'DELETE FROM commerce.order_item_events; UPDATE commerce.stock_entries SET order_item_id = NULL; DELETE FROM commerce.order_items WHERE order_id = :pending'),
	('a user is of this cell or of cell 0''s staff', 'INSERT INTO commerce_private.cell (number) VALUES (1)'),
	('a coupon was issued in this cell', 'INSERT INTO commerce_private.cell (number) VALUES (1)'),
	('an order, its items and shipments are of this cell', 'INSERT INTO commerce_private.cell (number) VALUES (1)'),
	('a payment is of this cell', 'INSERT INTO commerce_private.cell (number) VALUES (1)'),
	('a product and its promotions were made in this cell or in cell 0', 'INSERT INTO commerce_private.cell (number) VALUES (0); INSERT INTO commerce.products (id, name, price) OVERRIDING SYSTEM VALUE VALUES (1000000000001, ''x'', 1)'),
	('a product and its promotions were made in this cell or in cell 0', 'INSERT INTO commerce_private.cell (number) VALUES (0); INSERT INTO commerce.promotions (id, product_id, kind, value, starts_at, ends_at) OVERRIDING SYSTEM VALUE VALUES (1000000000001, :cup, ''FIXED'', 1, now(), now())'),
	('a coupon was made in this cell or in cell 0', 'INSERT INTO commerce_private.cell (number) VALUES (0); INSERT INTO commerce.coupons (id, name, kind, value, quantity, valid_days) OVERRIDING SYSTEM VALUE VALUES (1000000000001, ''x'', ''FIXED'', 1, 1, 1)'),
	('a parcel''s items are of its order and seller', 'WITH parcel AS (INSERT INTO commerce.shipments (order_id) VALUES (:pending) RETURNING id) UPDATE commerce.order_items SET shipment_id = parcel.id FROM parcel WHERE order_id = :o'),
	('a parcel''s items are of its order and seller', 'WITH parcel AS (INSERT INTO commerce.shipments (order_id, seller_id) SELECT :o, min(id) FROM commerce.sellers RETURNING id) UPDATE commerce.order_items SET shipment_id = parcel.id FROM parcel WHERE order_id = :o'),
	('an item''s status is its last event', 'UPDATE commerce.order_items SET status = ''DISPATCHED'' WHERE order_id = :o AND seq = 1'),
	('an item''s status is its last event', 'DELETE FROM commerce.order_item_events WHERE event = ''PREPARING'''),
	('stock went out for the units of an order', 'UPDATE commerce.stock_entries SET order_item_id = (SELECT id FROM commerce.order_items WHERE order_id = :o AND seq = 2) WHERE order_item_id = (SELECT id FROM commerce.order_items WHERE order_id = :o AND seq = 1)'),
	('rows of a line add up to what was ordered', 'UPDATE commerce.order_items SET split_quantity = 1 WHERE order_id = :o AND seq = 1'),
	('rows of a line add up to what was ordered', 'UPDATE commerce.order_items SET split_net = 1 WHERE order_id = :o AND seq = 1'),
	('rows of a line add up to what was ordered', 'UPDATE commerce.order_items SET split_from = (SELECT id FROM commerce.order_items WHERE order_id = :o AND seq = 1) WHERE order_id = :o AND seq = 2'),
	('stock went out for the units of an order', 'UPDATE commerce.stock_entries SET delta = delta - 1 WHERE order_item_id IN (SELECT id FROM commerce.order_items WHERE order_id = :o)'),
	('stock went out for the units of an order', 'UPDATE commerce.stock_entries SET order_item_id = NULL WHERE order_item_id IN (SELECT id FROM commerce.order_items WHERE order_id = :pending)'),
	('units of products that went to other cells or came from them are in the journal', 'INSERT INTO commerce.transfers_in (id, kind, resource_id, units, from_cell) SELECT gen_random_uuid(), ''STOCK'', min(id), 1, 1 FROM commerce.products'),
	('units of coupons that went to other cells or came from them are in the journal', 'INSERT INTO commerce.transfers_out (id, kind, resource_id, units, to_cell) SELECT gen_random_uuid(), ''QUOTA'', min(id), 1, 1 FROM commerce.coupons'),
	('the gate''s triggers are always enabled', 'ALTER TABLE commerce.stock_entries DISABLE TRIGGER gate_write'),
	('the gate''s triggers are always enabled', 'ALTER TABLE commerce.stock_entries ENABLE TRIGGER gate_write')
) AS t (invariant, damage);

-- none is left out
CREATE TEMP VIEW named AS SELECT replace(m[1], $$''$$, $$'$$) AS invariant
	FROM pg_proc p, regexp_matches(p.prosrc, $$SELECT '((?:[^']|'')+)',\s*\(SELECT count$$, 'g') m
	WHERE p.pronamespace = 'commerce_private'::regnamespace AND p.proname ~ '^check_' AND p.prorettype = 'record'::regtype;
SELECT cmp_ok((SELECT count(*) FROM named), '>=', 15::bigint, 'the invariants are found in the source');
SELECT is_empty('SELECT invariant FROM named EXCEPT SELECT invariant FROM pg_temp.seen', 'each has been seen broken');

-- the check itself
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the damage was undone');
SET ROLE shop;
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'an application may ask');
BEGIN READ ONLY;
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'in a read-only transaction');
COMMIT;
SELECT * FROM finish();
