-- The archive: what is long over moves, the books and what is known of it stay.
-- role: postgres
-- Time passes by the DBA's hand.

SELECT no_plan();
SET commerce.timezone = 'UTC';
CREATE PROCEDURE pg_temp.let_pass(span interval) LANGUAGE plpgsql AS $$
BEGIN
	UPDATE commerce.orders SET created_at = created_at - span, updated_at = updated_at - span, paid_at = paid_at - span;
	UPDATE commerce.order_items SET delivered_at = delivered_at - span WHERE delivered_at IS NOT NULL;
	UPDATE commerce.order_item_events SET at = at - span;
	UPDATE commerce.payments SET at = at - span;
	UPDATE commerce.balance_entries SET at = at - span;
	UPDATE commerce.stock_entries SET at = at - span;
END
$$;
-- what is folded is below the horizon of the whole server
CREATE PROCEDURE pg_temp.wait_for_horizon() LANGUAGE plpgsql AS $$
DECLARE
	last bigint := pg_current_xact_id()::text::bigint;
BEGIN
	COMMIT;
	WHILE pg_snapshot_xmin(pg_current_snapshot())::text::bigint <= last LOOP
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
	PERFORM commerce.fold();
END
$$;
CREATE PROCEDURE pg_temp.deliver(VARIADIC orders bigint[]) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM commerce.change_shipment_status((commerce.dispatch_items(i.ids)).id, 'DELIVERED')
	FROM (SELECT array_agg(id) AS ids FROM commerce.order_items WHERE order_id = ANY (orders) AND status = 'PREPARING' GROUP BY order_id, seller_id) i;
	PERFORM commerce.change_item_status(id, 'CONFIRMED', 'BUYER') FROM commerce.order_items WHERE order_id = ANY (orders) AND status = 'DELIVERED';
END
$$;
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT commerce.create_user('U' || i, 'u' || i || '@example.com', '010', 'Seoul') FROM generate_series(1, 4) i \g /dev/null
SELECT commerce.create_user('S', 's@example.com') \g /dev/null
SELECT commerce.create_seller(5, 'Kiln', '1') \g /dev/null
SELECT commerce.create_product(CASE i WHEN 2 THEN 1 END, 'P' || i, 1000, 1000, shipping_fee => 100, max_per_user => CASE i WHEN 3 THEN 5 END) FROM generate_series(1, 3) i \g /dev/null
SELECT commerce.create_coupon('c', 'FIXED', 100, 50, valid_days => 30) \g /dev/null
SELECT commerce.charge_balance(u, 100000, 'charge') FROM generate_series(1, 4) u \g /dev/null
SELECT commerce.confirm_charge((commerce.request_charge(1, 5000, idempotency_key => 'asked')).id, true, 'charge-1') \g /dev/null
SELECT commerce.claim_coupon(1, 1) \g /dev/null

-- 1: of two sellers, with coupon and sheet; 2: of a limited product, one unit cancelled; 3: an EXTERNAL one; 4: not paid;
-- 5: delivered only; 6: a refund is asked for; 7: paid twice; 8: a return
SELECT (commerce.place_sheet_order((commerce.create_order_sheet(1, '[{"product_id":1,"quantity":2},{"product_id":2,"quantity":1}]', '{1}')).id)).id \g /dev/null
SELECT commerce.place_order(2, '[{"product_id":3,"quantity":4}]') \g /dev/null
SELECT commerce.cancel_order_item(3, 1, 'BUYER') \g /dev/null
SELECT commerce.place_order(3, '[{"product_id":1,"quantity":1}]', payment_method => 'EXTERNAL') FROM generate_series(3, 4) \g /dev/null
SELECT commerce.confirm_payment(3, true, 'evt-3') \g /dev/null
SELECT commerce.confirm_payment(4, false, 'evt-4') \g /dev/null
SELECT commerce.place_order(4, '[{"product_id":1,"quantity":1}]') \g /dev/null
SELECT commerce.place_order(4, '[{"product_id":1,"quantity":1}]', payment_method => 'EXTERNAL') FROM generate_series(6, 7) \g /dev/null
SELECT commerce.confirm_payment(o, true, 'evt-' || o) FROM generate_series(6, 7) o \g /dev/null
SELECT commerce.confirm_payment(7, true, 'evt-again') \g /dev/null
SELECT commerce.place_order(4, '[{"product_id":2,"quantity":2}]') \g /dev/null
CALL pg_temp.deliver(1, 2, 3, 6, 7);
SELECT commerce.change_shipment_status((commerce.dispatch_items(ARRAY[id])).id, 'DELIVERED') FROM commerce.order_items WHERE order_id IN (5, 8) AND status = 'PREPARING' ORDER BY id \g /dev/null
SELECT commerce.refund_order(6, 100, NULL, 'late') \g /dev/null
SELECT commerce.change_item_status(id, 'RETURN_REQUESTED', 'BUYER', 4) FROM commerce.order_items WHERE order_id = 8 \g /dev/null
SELECT commerce.change_item_status(id, 'RETURN_PROCESSING', 'SELLER') FROM commerce.order_items WHERE order_id = 8 \g /dev/null
SELECT commerce.complete_return(id, restock => false, deduction => 500) FROM commerce.order_items WHERE order_id = 8 \g /dev/null
CALL pg_temp.let_pass('100 days');
CALL pg_temp.wait_for_horizon();
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order before');

CREATE TEMPORARY TABLE before AS
SELECT 'stock' AS what, p.id, commerce.available_stock(p.id)::text AS answer FROM commerce.products p
UNION ALL SELECT 'balance', u.id, u.balance::text FROM commerce.users u
UNION ALL SELECT 'order', l.id, (to_jsonb(l) - 'archived_at')::text FROM commerce.all_order_list l
UNION ALL SELECT 'report', s.id, (SELECT jsonb_agg(to_jsonb(r) ORDER BY r.day, r.product_id, r.fact)::text
	FROM commerce.sales_report(s.id, current_date - 101, current_date) r) FROM (VALUES (NULL), (1)) s (id)
UNION ALL SELECT 'export', u.id, jsonb_path_query_array(commerce.export_user(u.id), '$.orders')::text FROM commerce.users u;
CREATE VIEW pg_temp.after AS
SELECT 'stock' AS what, p.id, commerce.available_stock(p.id)::text AS answer FROM commerce.products p
UNION ALL SELECT 'balance', u.id, u.balance::text FROM commerce.users u
UNION ALL SELECT 'order', l.id, (to_jsonb(l) - 'archived_at')::text FROM commerce.all_order_list l
UNION ALL SELECT 'report', s.id, (SELECT jsonb_agg(to_jsonb(r) ORDER BY r.day, r.product_id, r.fact)::text
	FROM commerce.sales_report(s.id, current_date - 101, current_date) r) FROM (VALUES (NULL), (1)) s (id)
UNION ALL SELECT 'export', u.id, jsonb_path_query_array(commerce.export_user(u.id), '$.orders')::text FROM commerce.users u;
UPDATE before SET answer = regexp_replace(answer, '"archived_at": (null|"[^"]*")', '"archived_at": x', 'g') WHERE what = 'export';

-- when
SELECT is(commerce.archive(), 0, 'without the setting nothing is archived');
SELECT throws_ok('SET commerce.archive_after = ''30d''', '22023', NULL, 'what reports and alerts look back at is not archived');
SET commerce.archive_after = '101d';
SELECT is(commerce.archive(), 0, 'nor what is not over for so long');
SET commerce.archive_after = '90d';
CALL commerce_private.run_batches('archive');
SELECT set_eq('SELECT order_id FROM commerce_private.archived', ARRAY[1, 2, 3, 4, 8], 'what is over is archived: not 5, which can be returned, nor 6 and 7, where money is on its way');
SELECT is((SELECT string_agg(DISTINCT tableoid::regclass::text, ' ') FROM commerce_archive.orders),
	format('commerce_archive.orders_%s', to_char(now() - interval '100 days', 'YYYY_MM')), 'by the month in which it was made');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order after');
SELECT is_empty($$SELECT what, id, regexp_replace(answer, '"archived_at": (null|"[^"]*")', '"archived_at": x', 'g') FROM pg_temp.after EXCEPT SELECT * FROM before$$, 'stock, balances, lists, reports and exports answer as before');
SELECT is_empty('SELECT * FROM commerce.order_list WHERE id IN (1, 2, 3, 4, 8)', 'they are gone from the shop''s own tables');
SELECT is((SELECT count(*) FROM commerce.order_items i WHERE i.order_id IN (1, 2, 3, 4, 8)) + (SELECT count(*) FROM commerce.payments p WHERE p.order_id IN (1, 2, 3, 4, 8)), 0::bigint, 'with all that is theirs');
SELECT is((SELECT last_rows > 0 FROM commerce.job_status WHERE name = 'archive'), true, 'the job counts what all its batches did');

-- what refers to them
SELECT is((SELECT used_order_id FROM commerce.coupon_issues WHERE id = 1), 1::bigint, 'a coupon knows the order it was used for');
SELECT refuses(format('SELECT commerce.place_sheet_order(%L)', (SELECT id FROM commerce.order_sheets)), 'ORDER_SHEET_USED', 'a sheet stays used');
SELECT refuses('SELECT commerce.claim_coupon(1, 1)', 'COUPON_ALREADY_CLAIMED');

-- entries
SELECT results_eq('SELECT number, kind::text, amount, balance_after FROM commerce.balance_entries WHERE user_id = 1',
	'VALUES (3::bigint, ''OPENING'', 101900::bigint, 101900::bigint)', 'a user''s entries are one, with the last one''s number');
SELECT is((SELECT max(number) FROM commerce.balance_entries WHERE user_id = 4), (SELECT last_entry FROM commerce.users WHERE id = 4), 'those from an order that stays on are as they were');
SELECT is((SELECT count(*) FROM commerce.balance_entries WHERE user_id = 4 AND order_id = 5), 1::bigint, 'also that order''s');
SELECT results_eq('SELECT delta FROM commerce.stock_entries WHERE product_id = 3', ARRAY[997::bigint], 'so are a product''s');
SELECT is((SELECT count(*) FROM commerce.stock_entries WHERE product_id = 1 AND order_item_id IS NOT NULL), 3::bigint, 'but for those of orders that stay');
SELECT results_eq('SELECT (commerce.charge_balance(1, 100000, ''charge'')).balance', ARRAY[100000::bigint], 'the same key years later is the same charge');
SELECT refuses('SELECT commerce.charge_balance(1, 200000, ''charge'')', 'IDEMPOTENCY_KEY_REUSED');
SELECT is((SELECT id FROM commerce.request_charge(1, 5000, idempotency_key => 'asked')), 1::bigint, 'also of a charge that a provider paid');
SELECT lives_ok('SELECT commerce.confirm_charge(1, true, ''charge-1'')', 'whose answer is known');
SELECT refuses('SELECT commerce.place_order(2, ''[{"product_id":3,"quantity":3}]'')', 'PURCHASE_LIMIT_EXCEEDED', 'units of archived orders count towards the limit, and one more');
SELECT lives_ok('SELECT commerce.place_order(2, ''[{"product_id":3,"quantity":2}]'')', 'what is left of the limit can be had');

-- who changes them is told
CREATE FUNCTION pg_temp.is_archived(statement text) RETURNS text LANGUAGE sql AS $$
	SELECT refuses(statement, 'INVALID_STATE_TRANSITION') || E'\n' || ok(detail_of(statement)::jsonb ? 'archived_at', 'and says when it was archived')
$$;
SELECT pg_temp.is_archived(s) FROM unnest(ARRAY[
	'SELECT commerce.cancel_order(1, ''BUYER'', 1)', 'SELECT commerce.change_item_status(1, ''RETURN_REQUESTED'', ''ADMIN'')',
	'SELECT commerce.cancel_order_item(2, 1, ''SELLER'', 1)', 'SELECT commerce.refund_order(1, 1, NULL, ''x'')',
	'SELECT commerce.retry_payment(4)', 'SELECT commerce.update_delivery(1, ''{"name":"x"}'', ''ADMIN'')',
	'SELECT commerce.dispatch_items(''{1}'')', 'SELECT commerce.complete_return(1)', 'SELECT commerce.complete_exchange(1)',
	'SELECT commerce.change_shipment_status(1, ''DELIVERED'')', 'SELECT commerce.update_shipment(1, ''x'')',
	format('SELECT commerce.return_payment(%s)', (SELECT min(id) FROM commerce_archive.payments WHERE order_id = 3)),
	format('SELECT commerce.report_refund(%s, true, ''x'')', (SELECT id FROM commerce_archive.payments WHERE kind = 'REFUND' LIMIT 1))]) s;
SELECT refuses('SELECT commerce.cancel_order(1, ''BUYER'', 2)', 'ENTITY_NOT_FOUND', 'somebody else''s is not there');
SELECT refuses('SELECT commerce.change_item_status(1, ''RETURN_PROCESSING'', ''SELLER'', 1)', 'INVALID_STATE_TRANSITION', 'an order that has lines of the seller');
SELECT refuses('SELECT commerce.cancel_order(2, ''SELLER'', 1)', 'ENTITY_NOT_FOUND', 'one that has none');

-- a provider's late answers
SELECT is((SELECT status FROM commerce.confirm_payment(3, true, 'evt-3')), 'COMPLETED', 'an answer that was taken is known');
SELECT is((SELECT status FROM commerce.confirm_payment(4, false, 'evt-late')), 'CANCELLED', 'a failure changes nothing');
SELECT is_empty('SELECT * FROM commerce.payments WHERE archived_order_id IS NOT NULL', 'neither left a payment');
SELECT is((SELECT status FROM commerce.confirm_payment(4, true, 'evt-late', 1100)), 'CANCELLED', 'a success that nobody waits for');
SELECT commerce.confirm_payment(4, true, 'evt-late', 1100) \g /dev/null
SELECT results_eq('SELECT user_id, kind::text, status::text, amount FROM commerce.payments WHERE archived_order_id = 4',
	'VALUES (3::bigint, ''PAYMENT'', ''UNEXPECTED'', 1100::bigint)', 'is UNEXPECTED, once');
SELECT is((SELECT payload->'payment'->>'archived_order_id' FROM commerce.outbox WHERE type = 'PaymentUnexpected' ORDER BY position DESC LIMIT 1), '4', 'which its event tells');
SELECT is((SELECT status FROM commerce.report_refund((commerce.return_payment((SELECT id FROM commerce.payments WHERE archived_order_id = 4))).id, true, 'back')), 'COMPLETED', 'and is given back');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');

-- a round goes on where another ended; what cannot move is left
CALL pg_temp.deliver(5);
SELECT id AS failed FROM commerce.payments WHERE order_id = 6 AND kind = 'REFUND' \gset
SELECT commerce.report_refund(:failed, false, 'f') \g /dev/null
SELECT commerce.refund_order(6, 100, NULL, 'anew') \g /dev/null
SELECT commerce.report_refund(id, true, 'r' || id) FROM commerce.payments WHERE kind = 'REFUND' AND status = 'REQUESTED' \g /dev/null
SELECT commerce.report_refund((commerce.return_payment(id)).id, true, 'u' || id) FROM commerce.payments WHERE order_id = 7 AND status = 'UNEXPECTED' \g /dev/null
CALL pg_temp.let_pass('100 days');
CREATE TABLE public.gifts (order_id bigint REFERENCES commerce.orders);
INSERT INTO public.gifts VALUES (6);
CALL pg_temp.wait_for_horizon();
CALL commerce_private.run_batches('archive');
SELECT set_eq('SELECT id FROM commerce.orders WHERE id < 9', ARRAY[6], 'an order that a table of somebody''s refers to is left, and the others go');
DROP TABLE public.gifts;
ALTER TABLE commerce.orders ADD gift text;
SELECT throws_ok('SELECT commerce.archive()', '55000', NULL, 'where a column was added nothing is archived: it would be lost');
ALTER TABLE commerce.orders DROP gift;
CALL commerce_private.run_batches('archive');
SELECT is_empty('SELECT id FROM commerce.orders WHERE id < 9', 'it goes when it can');

-- what a provider says again of a refund
SELECT results_eq(format('SELECT p.id, p.order_id, p.status::text, p.provider_event_id FROM commerce_archive.payments a, commerce.report_refund(a.id, %L, a.provider_event_id) p WHERE a.order_id IN (6, 7) AND a.kind = ''REFUND'' AND a.id <> %s', b, :failed),
	format('SELECT id, order_id, status::text, provider_event_id FROM commerce_archive.payments WHERE order_id IN (6, 7) AND kind = ''REFUND'' AND status = ''COMPLETED'' AND id <> %s', :failed), 'a refund that is done is answered, ' || b)
FROM unnest('{t,f}'::bool[]) b;
SELECT is((SELECT status FROM commerce.report_refund(:failed, false, 'f')), 'FAILED', 'one that failed, that it failed');
SELECT pg_temp.is_archived(format('SELECT commerce.report_refund(%s, true, ''g'')', :failed));
SELECT is((SELECT count(*) FROM commerce.outbox WHERE type LIKE 'Refund%' AND aggregatetype = 'Order' AND aggregateid = '6'), 4::bigint, 'and none of them did anything');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');

-- a person is erased there, too
SELECT commerce.adjust_balance(1, -(commerce.get_balance(1)).balance, 'paid out') \g /dev/null
INSERT INTO commerce_private.idempotency_keys (scope, operation, key, request_hash, result)
SELECT s, 'x', 'x', '', '{}' FROM unnest('{order:1,item:1,payment:2}'::text[]) s;
SELECT commerce.erase_user(1) \g /dev/null
SELECT is_empty('SELECT * FROM commerce_private.idempotency_keys WHERE operation = ''x''', 'and keys of what is archived go');
SELECT is((SELECT count(*) FROM commerce_archive.orders WHERE user_id = 1 AND num_nonnulls(recipient_name, recipient_phone, recipient_address) > 0), 0::bigint, 'erase_user reaches into the archive');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');

-- the invariants see the archive
BEGIN;
UPDATE commerce_archive.order_items SET quantity = quantity + 1, line_total = line_total + unit_final WHERE id = 1;
SELECT isnt_empty('SELECT * FROM commerce.check_invariants() WHERE invariant = ''items add up to their order''', 'what is changed there is found');
ROLLBACK;

-- what is true of a shop with orders
BEGIN;
DELETE FROM commerce.order_item_events; DELETE FROM commerce.payments WHERE order_id IS NOT NULL;
DELETE FROM commerce.order_items; DELETE FROM commerce.orders;
SET LOCAL commerce.currency = 'USD';
SELECT refuses('SELECT commerce.place_order(2, ''[{"product_id":1,"quantity":1}]'')', 'INVALID_REQUEST', 'the currency is fixed, though all orders are archived');
ROLLBACK;

-- a month can be dropped
DO $$
DECLARE
	t regclass;
BEGIN
	FOR t IN SELECT inhrelid FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent AND p.relnamespace = 'commerce_archive'::regnamespace AND p.relkind = 'p' LOOP
		EXECUTE format('DROP TABLE %s', t);
	END LOOP;
END
$$;
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order when all months are dropped');
SELECT refuses('SELECT commerce.cancel_order(1, ''ADMIN'')', 'INVALID_STATE_TRANSITION', 'an order that was there is known');
SELECT is((SELECT id FROM commerce.confirm_payment(3, true, 'evt-3')), 3::bigint, 'and a provider''s answer for it');

-- recent entries are not read to find old ones
SELECT commerce.create_product(NULL, 'popular', 1, 1) AS popular \gset
UPDATE commerce.stock_entries SET at = at - interval '1 year' WHERE product_id = :popular;
INSERT INTO commerce.stock_entries (product_id, delta, reason, at) SELECT :popular, 1, 'ADJUST', now() - interval '1 year' FROM generate_series(1, 2);
INSERT INTO commerce.stock_entries (product_id, delta, reason) SELECT :popular, 1, 'ADJUST' FROM generate_series(1, 500);
CALL pg_temp.wait_for_horizon();
CREATE TEMP VIEW read AS SELECT coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) AS rows FROM pg_stat_xact_user_tables WHERE relid = 'commerce.stock_entries'::regclass;
BEGIN;
SELECT rows AS before FROM read \gset
SELECT is(commerce_private.fold_stock_entries(:popular, now() - interval '1 day', 500), 3, 'the old ones of a product become one');
SELECT cmp_ok(rows - :before, '<', 50::bigint, 'without a look at those of today') FROM read;
COMMIT;
SELECT is(commerce.available_stock(:popular), 503::bigint, 'there are as many units');

-- the books a piece at a time
DELETE FROM commerce_private.scrub_rounds;
SELECT commerce.scrub_books() FROM generate_series(1, 12) \g /dev/null
BEGIN;
SELECT commerce_private.begin_piece('scrub') \g /dev/null
SELECT coalesce(pg_current_xact_id_if_assigned()::text, 'none') AS id \gset
COMMIT;
SELECT is(:'id', 'none'::text, 'while a piece is looked at, its transaction has no id that holds back the readers of events');
SELECT results_eq('SELECT ended_at IS NOT NULL, found FROM commerce.scrub ORDER BY started_at LIMIT 1', $$VALUES (true, '[]'::jsonb)$$, 'a round of the scrub finds nothing');
UPDATE commerce.users SET balance = balance + 1 WHERE id = 2;
UPDATE commerce.order_items SET status = 'PAID' WHERE id = (SELECT max(id) FROM commerce.order_items);
DELETE FROM commerce_private.scrub_rounds;
UPDATE commerce_private.rounds SET step = 1, done_to = 0 WHERE name = 'scrub';
SELECT commerce.scrub_books() FROM generate_series(1, 12) \g /dev/null
SELECT set_eq('SELECT f->>''invariant'' FROM commerce.scrub s, jsonb_array_elements(s.found) f WHERE s.ended_at IS NOT NULL', 'SELECT invariant FROM commerce.check_invariants()', 'and what check_invariants() finds when something is wrong');
SELECT isnt_empty('SELECT * FROM commerce.check_invariants()', 'which is something');
SELECT * FROM finish();
