-- The checks of the extension's own foreign keys do not run for the rows that it writes without the executor: each
-- would lock a row of what it refers to, that of a popular product for every order. A check leaves its transaction's id
-- in xmax of that row.
\set SHOW_CONTEXT never
\set VERBOSITY terse

CREATE FUNCTION public.locked_references(OUT "table" text, OUT "references" regclass, OUT locked bigint)
RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	FOR "table", "references" IN
		SELECT DISTINCT regexp_replace(conrelid::regclass::text, '_\d+$', '_N'), confrelid::regclass
		FROM pg_constraint
		WHERE contype = 'f' AND conrelid::regclass::text IN (
			'commerce.balance_entries', 'commerce.coupon_issues', 'commerce_private.coupon_quota', 'commerce.order_item_events',
			'commerce.order_items', 'commerce.order_sheet_items', 'commerce.order_sheets', 'commerce.orders',
			'commerce.payments', 'commerce_private.stock', 'commerce.stock_entries')
		ORDER BY 1, 2
	LOOP
		EXECUTE format('SELECT count(*) FROM %s WHERE xmax = pg_current_xact_id()::xid', "references") INTO locked;
		RETURN NEXT;
	END LOOP;
END
$$;

SELECT commerce.create_user('Ref', 'ref@example.com') AS buyer \gset
SELECT commerce.create_product(NULL, 'ref cup', 1000, 10) AS cup,
	commerce.create_coupon('ref', 'FIXED', 100, 10, valid_days => 1) AS coupon \gset
BEGIN;
SELECT status FROM commerce.claim_coupon(:buyer, :coupon);
SELECT payment_amount FROM commerce.create_order_sheet(:buyer, format('[{"product_id": %s, "quantity": 1}]', :cup)::jsonb);
SELECT commerce.adjust_stock(:cup, 5, 'more');

SELECT * FROM public.locked_references() WHERE locked > 0;
COMMIT;

-- nor whose balance changes, which is found and changed at once
BEGIN;
SELECT balance FROM commerce.charge_balance(:buyer, 100000);
SELECT status, payment_amount FROM commerce.place_order(:buyer, format('[{"product_id": %s, "quantity": 2}]', :cup)::jsonb);
SELECT DISTINCT "references" FROM public.locked_references() WHERE locked > 0;
COMMIT;

-- seen when one runs: a DBA's column that refers to a table of the extension
ALTER TABLE commerce.stock_entries ADD COLUMN counted_by bigint REFERENCES commerce.users;
ALTER TABLE commerce.stock_entries ALTER COLUMN counted_by SET DEFAULT :buyer;
BEGIN;
SELECT commerce.adjust_stock(:cup, 1, 'counted');
SELECT * FROM public.locked_references() WHERE locked > 0;
COMMIT;
ALTER TABLE commerce.stock_entries DROP COLUMN counted_by;
DROP FUNCTION public.locked_references();
