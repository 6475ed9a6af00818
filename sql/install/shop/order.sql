-- Orders, their items, and what they used of coupons.
--
-- What refers to an order that may be archived, and stays when it is (an issue of a coupon, an entry, a sheet), has its
-- number without a foreign key. Nor has a reference a foreign key that no index serves: each deletion would look for it
-- in the whole table.

CREATE TABLE commerce.orders (
	id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id             bigint NOT NULL REFERENCES commerce.users,
	status              commerce.order_status NOT NULL,
	payment_method      commerce.payment_method NOT NULL,
	created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
	paid_at             timestamptz,
	expires_at          timestamptz,
	items_total         bigint NOT NULL CHECK (items_total >= 0),
	item_discount_total bigint NOT NULL,
	order_discount      bigint NOT NULL,
	shipping_discount   bigint NOT NULL DEFAULT 0 CHECK (shipping_discount >= 0),
	shipping_total      bigint NOT NULL CHECK (shipping_total >= 0),
	payment_amount      bigint NOT NULL,
	refunded_amount     bigint NOT NULL DEFAULT 0,
	event_key           bigint NOT NULL,
	recipient_name      text,
	recipient_phone     text,
	recipient_address   text,
	recipient_memo      text,
	tax_free_amount     bigint NOT NULL DEFAULT 0,
	metadata            jsonb,
	imported            boolean NOT NULL DEFAULT false,
	CONSTRAINT orders_item_discount_total_check CHECK (item_discount_total BETWEEN 0 AND items_total),
	CONSTRAINT orders_order_discount_check CHECK (order_discount BETWEEN 0 AND items_total - item_discount_total),
	CONSTRAINT orders_tax_free_amount_check CHECK (tax_free_amount BETWEEN 0 AND payment_amount),
	CONSTRAINT orders_payment_amount_check
		CHECK (payment_amount = items_total - item_discount_total - order_discount + shipping_total),
	CONSTRAINT orders_refunded_amount_check CHECK (refunded_amount BETWEEN 0 AND payment_amount),
	CONSTRAINT orders_pending_check CHECK ((status = 'PENDING_PAYMENT') = (expires_at IS NOT NULL))
) WITH (fillfactor = 90);
CREATE INDEX orders_user_id_idx ON commerce.orders (user_id, id);
CREATE INDEX orders_unpaid_idx ON commerce.orders (user_id) WHERE status = 'PENDING_PAYMENT';
CREATE INDEX orders_expires_at_idx ON commerce.orders (expires_at) WHERE status = 'PENDING_PAYMENT';
COMMENT ON TABLE commerce.orders IS 'orders; an order that fails its checks leaves no row';
COMMENT ON COLUMN commerce.orders.paid_at IS 'when the payment was completed';
COMMENT ON COLUMN commerce.orders.expires_at IS 'while payment is pending: when the held stock and coupons are given back';
COMMENT ON COLUMN commerce.orders.items_total IS 'sum of unit price x quantity';
COMMENT ON COLUMN commerce.orders.item_discount_total IS 'sum of unit discount x quantity';
COMMENT ON COLUMN commerce.orders.order_discount IS 'what the order''s coupon took off; spread over the items';
COMMENT ON COLUMN commerce.orders.shipping_discount IS 'what the free-shipping coupon took off';
COMMENT ON COLUMN commerce.orders.shipping_total IS 'shipping fees less shipping_discount';
COMMENT ON COLUMN commerce.orders.payment_amount IS 'items_total - item_discount_total - order_discount + shipping_total';
COMMENT ON COLUMN commerce.orders.refunded_amount IS 'sum of completed and requested refunds; never above what was paid';
COMMENT ON COLUMN commerce.orders.recipient_name IS 'whom the order is delivered to: the user''s own name at the moment of ordering, where the call gave none';
COMMENT ON COLUMN commerce.orders.recipient_memo IS 'a word to who delivers';
COMMENT ON COLUMN commerce.orders.tax_free_amount IS 'what of payment_amount, without shipping, is for tax-exempt lines';
COMMENT ON COLUMN commerce.orders.metadata IS 'an object of the shop''s own';
COMMENT ON COLUMN commerce.orders.imported IS 'it was over before the shop moved here: it moved no stock, and can be refunded by amount alone';
COMMENT ON COLUMN commerce.orders.event_key IS 'key of the last outbox event of this order';
SELECT pg_catalog.pg_extension_config_dump('commerce.orders', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.orders_id_seq', '');

-- Of a table that each order writes the columns are in an order that leaves little room between them, which would go to the
-- WAL with each row.
CREATE TABLE commerce.order_items (
	id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id             bigint NOT NULL REFERENCES commerce.orders,
	seq                  int NOT NULL CHECK (seq > 0),
	line                 int NOT NULL CHECK (line > 0),
	status               commerce.order_item_status NOT NULL,
	last_event           int NOT NULL DEFAULT 0,
	product_id           bigint NOT NULL REFERENCES commerce.products,
	seller_id            bigint REFERENCES commerce.sellers,
	quantity             bigint NOT NULL CHECK (quantity > 0),
	unit_price           bigint NOT NULL CHECK (unit_price >= 0),
	unit_discount        bigint NOT NULL,
	unit_final           bigint NOT NULL,
	line_total           bigint NOT NULL,
	order_discount_share bigint NOT NULL DEFAULT 0,
	shipping_fee         bigint NOT NULL DEFAULT 0 CHECK (shipping_fee >= 0),
	shipping_discount    bigint NOT NULL DEFAULT 0,
	coupon_issue_id      bigint REFERENCES commerce.coupon_issues,
	deduction            bigint NOT NULL DEFAULT 0,
	split_from           bigint,
	split_quantity       bigint NOT NULL DEFAULT 0 CHECK (split_quantity >= 0),
	split_net            bigint NOT NULL DEFAULT 0 CHECK (split_net >= 0),
	replacement_product_id bigint REFERENCES commerce.products,
	shipment_id          bigint,
	delivered_at         timestamptz,
	limited_user_id      bigint,
	user_limit           bigint,
	tax_exempt           boolean NOT NULL DEFAULT false,
	own_shipping         boolean NOT NULL DEFAULT false,
	lost                 boolean NOT NULL DEFAULT false,
	product_name         text NOT NULL,
	CONSTRAINT order_items_order_seq_key UNIQUE (order_id, seq),
	CONSTRAINT order_items_unit_discount_check CHECK (unit_discount BETWEEN 0 AND unit_price),
	CONSTRAINT order_items_deduction_check CHECK (deduction BETWEEN 0 AND line_total - order_discount_share),
	CONSTRAINT order_items_unit_final_check CHECK (unit_final = unit_price - unit_discount),
	CONSTRAINT order_items_line_total_check CHECK (line_total = unit_final * quantity),
	CONSTRAINT order_items_discount_share_check CHECK (order_discount_share BETWEEN 0 AND line_total),
	CONSTRAINT order_items_shipping_discount_check CHECK (shipping_discount BETWEEN 0 AND shipping_fee)
) WITH (fillfactor = 90);
-- with what commerce_private.api_seller_orders looks through
CREATE INDEX order_items_seller_id_idx ON commerce.order_items (seller_id, id) INCLUDE (order_id, status) WHERE seller_id IS NOT NULL;
CREATE INDEX order_items_limited_idx ON commerce.order_items (limited_user_id, (coalesce(replacement_product_id, product_id)))
	WHERE limited_user_id IS NOT NULL;
CREATE INDEX order_items_held_idx ON commerce.order_items (product_id) WHERE status = 'PENDING_PAYMENT';
CREATE INDEX order_items_requests_idx ON commerce.order_items (status)
	WHERE status IN ('CANCEL_REQUESTED', 'CANCEL_PROCESSING', 'RETURN_REQUESTED', 'RETURN_PROCESSING', 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING');
CREATE INDEX order_items_delivered_idx ON commerce.order_items (delivered_at) WHERE status = 'DELIVERED' OR status = 'EXCHANGED';
COMMENT ON TABLE commerce.order_items IS 'lines of an order as they were ordered; a part that goes another way is split off as a row of its own, so that the rows of a line always add up to what was ordered';
COMMENT ON COLUMN commerce.order_items.seq IS 'position in the order, from 1; parts split off take the next';
COMMENT ON COLUMN commerce.order_items.product_name IS 'name when it was ordered';
COMMENT ON COLUMN commerce.order_items.unit_price IS 'per unit when it was ordered';
COMMENT ON COLUMN commerce.order_items.unit_discount IS 'taken off per unit by instant discount or promotion, and by a product coupon';
COMMENT ON COLUMN commerce.order_items.order_discount_share IS 'this row''s share of the order''s discount';
COMMENT ON COLUMN commerce.order_items.shipping_fee IS 'once per ordered line; stays with the row that the line began as';
COMMENT ON COLUMN commerce.order_items.shipping_discount IS 'what the free-shipping coupon took off this fee';
COMMENT ON COLUMN commerce.order_items.coupon_issue_id IS 'the product coupon used on this line';
COMMENT ON COLUMN commerce.order_items.split_from IS 'the row this part was split off';
COMMENT ON COLUMN commerce.order_items.line IS 'number of the ordered line, from 1, whose rows this is one of';
COMMENT ON COLUMN commerce.order_items.limited_user_id IS 'the buyer, when the product had a limit per user; NULL: it had none';
COMMENT ON COLUMN commerce.order_items.user_limit IS 'the limit per user that was in force';
COMMENT ON COLUMN commerce.order_items.deduction IS 'what was kept back at the return';
COMMENT ON COLUMN commerce.order_items.replacement_product_id IS 'what the buyer has got in exchange; NULL: nothing was exchanged';
COMMENT ON COLUMN commerce.order_items.shipment_id IS 'the parcel it went with last';
COMMENT ON COLUMN commerce.order_items.own_shipping IS 'the product had a shipping fee of its own; otherwise the line shares its seller''s policy';
COMMENT ON COLUMN commerce.order_items.lost IS 'RETURNED from the way: the parcel was lost, or came back to its sender';
COMMENT ON COLUMN commerce.order_items.split_quantity IS 'units that were split off this row';
COMMENT ON COLUMN commerce.order_items.split_net IS 'what these came to';
COMMENT ON COLUMN commerce.order_items.last_event IS 'ordinal of the last row of its history';
COMMENT ON COLUMN commerce.order_items.delivered_at IS 'when it was DELIVERED last';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_items', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.order_items_id_seq', '');

CREATE TABLE commerce.order_item_events (
	order_item_id bigint NOT NULL REFERENCES commerce.order_items,
	ordinal       int NOT NULL CHECK (ordinal > 0),
	event         commerce.order_item_status NOT NULL,
	quantity      bigint NOT NULL CHECK (quantity > 0),
	at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
	xid           bigint NOT NULL DEFAULT pg_catalog.pg_current_xact_id()::text::bigint,
	actor_id      bigint,
	actor         commerce.actor_kind NOT NULL,
	from_status   commerce.order_item_status,
	restocked     boolean,
	note          text,
	PRIMARY KEY (order_item_id, ordinal)
);
-- What best sellers are counted from: units sold, and units of paid orders cancelled. Rows come in the order of their
-- transactions, or nearly, and each order would pay for a btree.
CREATE INDEX order_item_events_sales_idx ON commerce.order_item_events USING brin (xid) WITH (autosummarize = on)
	WHERE event = 'PAID' OR (event = 'CANCELLED' AND from_status <> 'PENDING_PAYMENT');
-- Pages are summarized once they are full. Of the first ones there is a summary already, which each order would change.
SELECT pg_catalog.brin_desummarize_range('commerce.order_item_events_sales_idx', 0);
COMMENT ON TABLE commerce.order_item_events IS 'append-only history of every order item';
COMMENT ON COLUMN commerce.order_item_events.ordinal IS 'number within the item''s history, from 1';
COMMENT ON COLUMN commerce.order_item_events.restocked IS 'of RETURNED and EXCHANGED: whether what came back went into stock; NULL: nothing came back';
COMMENT ON COLUMN commerce.order_item_events.event IS 'the status that was entered';
COMMENT ON COLUMN commerce.order_item_events.from_status IS 'the status before; NULL for the first';
COMMENT ON COLUMN commerce.order_item_events.actor_id IS 'user id of the buyer or admin, seller id of the seller; NULL: the system, or a trusted caller';
COMMENT ON COLUMN commerce.order_item_events.xid IS 'the transaction that wrote the event';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_item_events', '');

CREATE TABLE commerce.order_coupons (
	order_id        bigint NOT NULL REFERENCES commerce.orders,
	coupon_issue_id bigint NOT NULL REFERENCES commerce.coupon_issues,
	discount        bigint NOT NULL CHECK (discount > 0),
	restored_at     timestamptz,
	PRIMARY KEY (order_id, coupon_issue_id)
);
CREATE UNIQUE INDEX order_coupons_live_key ON commerce.order_coupons (coupon_issue_id) WHERE restored_at IS NULL;
COMMENT ON TABLE commerce.order_coupons IS 'which coupons an order used and what each took off; a coupon is used by at most one order that has not given it back';
COMMENT ON COLUMN commerce.order_coupons.discount IS 'what it took off';
COMMENT ON COLUMN commerce.order_coupons.restored_at IS 'when the coupon was given back to the user';
SELECT pg_catalog.pg_extension_config_dump('commerce.order_coupons', '');

CREATE FUNCTION commerce.place_order(
	user_id bigint, items jsonb, coupon_issue_ids bigint[] DEFAULT '{}', idempotency_key text DEFAULT NULL,
	payment_method commerce.payment_method DEFAULT 'BALANCE', delivery jsonb DEFAULT NULL, metadata jsonb DEFAULT NULL,
	pay_within interval DEFAULT NULL, balance_part bigint DEFAULT 0, payment_channel text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_place_order';
COMMENT ON FUNCTION commerce.place_order(bigint, jsonb, bigint[], text, commerce.payment_method, jsonb, jsonb, interval, bigint, text) IS
	'prices, reserves, pays and records an order in one transaction and returns the order. items: [{"product_id":1,"quantity":2,"coupon_issue_id":7}], at most 1000 lines, coupon_issue_id only for a product''s coupon; coupon_issue_ids: the order''s coupons. payment_method BALANCE: paid at once; EXTERNAL: PENDING_PAYMENT with stock and coupons held, unless there is nothing to pay. delivery: {"name","phone","address","memo"}, the user''s own where missing. metadata: an object of the shop''s own. Of an EXTERNAL order: balance_part, what the balance pays; payment_channel, such as card; pay_within, how long it can be paid. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, PRODUCT_NOT_ON_SALE, PURCHASE_LIMIT_EXCEEDED, PENDING_LIMIT_EXCEEDED, STOCK_NOT_ENOUGH, BALANCE_NOT_ENOUGH, COUPON_NOT_USABLE, COUPON_CONDITION_NOT_MET, IDEMPOTENCY_KEY_REUSED';
