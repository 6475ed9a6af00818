-- Order sheets: priced quotes with a time to live.

CREATE TABLE commerce.order_sheets (
	id                  uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
	user_id             bigint NOT NULL REFERENCES commerce.users,
	coupon_issue_ids    bigint[] NOT NULL,
	items_total         bigint NOT NULL,
	item_discount_total bigint NOT NULL,
	order_discount      bigint NOT NULL,
	shipping_discount   bigint NOT NULL,
	shipping_total      bigint NOT NULL,
	payment_amount      bigint NOT NULL,
	created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
	expires_at          timestamptz NOT NULL,
	consumed_order_id   bigint,
	CONSTRAINT order_sheets_payment_amount_check
		CHECK (payment_amount = items_total - item_discount_total - order_discount + shipping_total)
);
CREATE UNIQUE INDEX order_sheets_consumed_order_id_key ON commerce.order_sheets (consumed_order_id)
	WHERE consumed_order_id IS NOT NULL;
CREATE INDEX order_sheets_user_id_idx ON commerce.order_sheets (user_id, created_at);
CREATE INDEX order_sheets_created_at_idx ON commerce.order_sheets (created_at);
COMMENT ON TABLE commerce.order_sheets IS 'quotes: lines and coupons with their prices, good until expires_at, used for at most one order';
COMMENT ON COLUMN commerce.order_sheets.coupon_issue_ids IS 'the order''s coupons that were chosen';
COMMENT ON COLUMN commerce.order_sheets.consumed_order_id IS 'the order that was made of it, archived or not';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_sheets', '');

CREATE TABLE commerce.order_sheet_items (
	order_sheet_id       uuid NOT NULL REFERENCES commerce.order_sheets ON DELETE CASCADE,
	seq                  int NOT NULL,
	product_id           bigint NOT NULL REFERENCES commerce.products,
	seller_id            bigint REFERENCES commerce.sellers,
	product_name         text NOT NULL,
	quantity             bigint NOT NULL,
	unit_price           bigint NOT NULL,
	unit_discount        bigint NOT NULL,
	unit_final           bigint NOT NULL,
	line_total           bigint NOT NULL,
	order_discount_share bigint NOT NULL,
	shipping_fee         bigint NOT NULL,
	shipping_discount    bigint NOT NULL,
	coupon_issue_id      bigint REFERENCES commerce.coupon_issues,
	line                 int NOT NULL,
	PRIMARY KEY (order_sheet_id, seq)
);
COMMENT ON TABLE commerce.order_sheet_items IS 'priced lines of an order sheet; columns as in order_items';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_sheet_items', '');

CREATE FUNCTION commerce.create_order_sheet(user_id bigint, items jsonb, coupon_issue_ids bigint[] DEFAULT '{}')
RETURNS commerce.order_sheets
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_create_order_sheet';
COMMENT ON FUNCTION commerce.create_order_sheet(bigint, jsonb, bigint[]) IS
	'prices what a user wants to order, with arguments as those of place_order(), and returns the sheet, good for commerce.sheet_ttl. Holds neither stock nor coupons. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, PRODUCT_NOT_ON_SALE, PURCHASE_LIMIT_EXCEEDED, COUPON_NOT_USABLE, COUPON_CONDITION_NOT_MET';

CREATE FUNCTION commerce.place_sheet_order(
	order_sheet_id uuid, idempotency_key text DEFAULT NULL, payment_method commerce.payment_method DEFAULT 'BALANCE',
	delivery jsonb DEFAULT NULL, metadata jsonb DEFAULT NULL, pay_within interval DEFAULT NULL,
	balance_part bigint DEFAULT 0, payment_channel text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_place_sheet_order';
COMMENT ON FUNCTION commerce.place_sheet_order(uuid, text, commerce.payment_method, jsonb, jsonb, interval, bigint, text) IS
	'orders what a sheet says, once, at the sheet''s price or a lower one, and returns the order; the other arguments are those of place_order(). Errors: those of place_order(), ORDER_SHEET_USED, ORDER_SHEET_EXPIRED, PRICE_CHANGED';

CREATE FUNCTION commerce.purge_order_sheets(max_rows int DEFAULT 10000)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	purged int;
BEGIN
	PERFORM commerce_private.begin_write();
	IF purge_order_sheets.max_rows IS NULL OR purge_order_sheets.max_rows < 1 THEN
		PERFORM commerce_private.raise_invalid('max_rows', 'must be 1 or more');
	END IF;
	DELETE FROM commerce.order_sheets s
	USING (SELECT d.id FROM commerce.order_sheets d
		   WHERE d.created_at < pg_catalog.now() - interval '30 days'
			 AND d.expires_at < pg_catalog.now()
		   ORDER BY d.created_at LIMIT purge_order_sheets.max_rows
		   FOR UPDATE SKIP LOCKED) due
	WHERE s.id = due.id;
	GET DIAGNOSTICS purged = ROW_COUNT;
	RETURN purged;
END
$$;
COMMENT ON FUNCTION commerce.purge_order_sheets(int) IS
	'deletes at most max_rows expired order sheets that are older than 30 days and returns how many; their orders stay. Errors: INVALID_REQUEST';
