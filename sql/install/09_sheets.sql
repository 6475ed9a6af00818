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
	consumed_order_id   bigint REFERENCES commerce.orders,
	CONSTRAINT order_sheets_payment_amount_check
		CHECK (payment_amount = items_total - item_discount_total - order_discount + shipping_total)
);
CREATE INDEX order_sheets_user_id_idx ON commerce.order_sheets (user_id, created_at);
CREATE INDEX order_sheets_created_at_idx ON commerce.order_sheets (created_at);
COMMENT ON TABLE commerce.order_sheets IS 'quotes: lines and coupons with their prices, good until expires_at, used for at most one order';
COMMENT ON COLUMN commerce.order_sheets.coupon_issue_ids IS 'the order''s coupons that were chosen';
COMMENT ON COLUMN commerce.order_sheets.consumed_order_id IS 'the order that was made of it';
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
	PRIMARY KEY (order_sheet_id, seq)
);
COMMENT ON TABLE commerce.order_sheet_items IS 'priced lines of an order sheet; columns as in order_items';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_sheet_items', '');
