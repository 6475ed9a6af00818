-- Fulfilment: what can happen to the items of an order, and by whom.

CREATE TABLE commerce.order_item_transitions (
	from_status commerce.order_item_status NOT NULL,
	to_status   commerce.order_item_status NOT NULL,
	actor       commerce.actor_kind NOT NULL,
	whole_order boolean NOT NULL DEFAULT false,
	PRIMARY KEY (from_status, to_status, actor)
);
COMMENT ON TABLE commerce.order_item_transitions IS
	'every step that an order item can take, and who may make it; what is not here is INVALID_STATE_TRANSITION. Part of the extension, as its code is: not in a dump';
COMMENT ON COLUMN commerce.order_item_transitions.actor IS 'BUYER and SELLER: of their own items only';
COMMENT ON COLUMN commerce.order_item_transitions.whole_order IS
	'made for all items of an order together, by place_order(), confirm_payment(), retry_payment(), expire_pending_orders() or cancel_order(); never by change_item_status()';

INSERT INTO commerce.order_item_transitions (from_status, to_status, actor, whole_order)
SELECT s.from_status::commerce.order_item_status, s.to_status::commerce.order_item_status, a.actor, s.whole_order
FROM (VALUES
	-- payment
	('PENDING_PAYMENT',     'PAID',                '{SYSTEM}',                    true),
	('PENDING_PAYMENT',     'CANCELLED',           '{BUYER,ADMIN,SYSTEM}',        true),
	('CANCELLED',           'PAID',                '{SYSTEM}',                    true), -- a late success
	('CANCELLED',           'PENDING_PAYMENT',     '{SYSTEM}',                    true), -- paid anew
	-- delivery
	('PAID',                'PREPARING',           '{SELLER,ADMIN,SYSTEM}',       false),
	('PREPARING',           'DISPATCHED',          '{SELLER,ADMIN}',              false),
	('DISPATCHED',          'PREPARING',           '{SELLER,ADMIN}',              false), -- by mistake
	('DISPATCHED',          'IN_TRANSIT',          '{SELLER,ADMIN,SYSTEM}',       false),
	('IN_TRANSIT',          'DELIVERED',           '{SELLER,ADMIN,SYSTEM}',       false),
	('DELIVERED',           'CONFIRMED',           '{BUYER,ADMIN,SYSTEM}',        false),
	-- cancelling, before dispatch
	('PAID',                'CANCELLED',           '{BUYER,SELLER,ADMIN,SYSTEM}', false),
	('PREPARING',           'CANCELLED',           '{BUYER,SELLER,ADMIN,SYSTEM}', false),
	('PREPARING',           'CANCEL_REQUESTED',    '{BUYER,ADMIN}',               false),
	('CANCEL_REQUESTED',    'PREPARING',           '{BUYER,SELLER,ADMIN}',        false), -- withdrawn or refused
	('CANCEL_REQUESTED',    'CANCEL_PROCESSING',   '{SELLER,ADMIN}',              false),
	('CANCEL_PROCESSING',   'CANCELLED',           '{SELLER,ADMIN,SYSTEM}',       false),
	('CANCEL_REQUESTED',    'CANCELLED',           '{BUYER,SELLER,ADMIN,SYSTEM}', true), -- with all the others
	('CANCEL_PROCESSING',   'CANCELLED',           '{BUYER}',                     true),
	-- lost on the way, or back at its sender
	('DISPATCHED',          'RETURNED',            '{SELLER,ADMIN}',              false),
	('IN_TRANSIT',          'RETURNED',            '{SELLER,ADMIN}',              false),
	-- return, after delivery
	('DELIVERED',           'RETURN_REQUESTED',    '{BUYER,ADMIN}',               false),
	('RETURN_REQUESTED',    'DELIVERED',           '{BUYER,SELLER,ADMIN}',        false), -- withdrawn or refused
	('RETURN_REQUESTED',    'RETURN_PROCESSING',   '{SELLER,ADMIN}',              false),
	('RETURN_PROCESSING',   'DELIVERED',           '{SELLER,ADMIN}',              false), -- what came back is not accepted
	('RETURN_PROCESSING',   'RETURNED',            '{SELLER,ADMIN,SYSTEM}',       false),
	-- exchange, after delivery
	('DELIVERED',           'EXCHANGE_REQUESTED',  '{BUYER,ADMIN}',               false),
	('EXCHANGE_REQUESTED',  'DELIVERED',           '{BUYER,SELLER,ADMIN}',        false), -- withdrawn or refused
	('EXCHANGE_REQUESTED',  'EXCHANGE_PROCESSING', '{SELLER,ADMIN}',              false),
	('EXCHANGE_PROCESSING', 'DELIVERED',           '{SELLER,ADMIN}',              false), -- what came back is not accepted
	('EXCHANGE_PROCESSING', 'EXCHANGED',           '{SELLER,ADMIN,SYSTEM}',       false),
	-- after an exchange, as after delivery
	('EXCHANGED',           'CONFIRMED',           '{BUYER,ADMIN,SYSTEM}',        false),
	('EXCHANGED',           'RETURN_REQUESTED',    '{BUYER,ADMIN}',               false),
	('EXCHANGED',           'EXCHANGE_REQUESTED',  '{BUYER,ADMIN}',               false),
	-- a hidden defect
	('CONFIRMED',           'RETURN_REQUESTED',    '{ADMIN}',                     false),
	('CONFIRMED',           'EXCHANGE_REQUESTED',  '{ADMIN}',                     false)
) AS s (from_status, to_status, actors, whole_order)
CROSS JOIN LATERAL pg_catalog.unnest(s.actors::commerce.actor_kind[]) AS a (actor);

CREATE FUNCTION commerce.change_item_status(
	order_item_id bigint, new_status commerce.order_item_status, actor commerce.actor_kind,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL, quantity bigint DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS commerce.order_items
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_change_item_status';
COMMENT ON FUNCTION commerce.change_item_status(bigint, commerce.order_item_status, commerce.actor_kind, bigint, text, bigint, text) IS
	'takes an order item to a status that commerce.order_item_transitions allows the actor, with the refund, stock and coupons that come back, and returns the item; quantity: only so many units, which are split off as an item of their own. To RETURNED and EXCHANGED it is complete_return() and complete_exchange() with their defaults. actor_id: the user id of the buyer or administrator, or the seller''s id; NULL: a trusted caller. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION, STOCK_NOT_ENOUGH, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.complete_return(
	order_item_id bigint, restock boolean DEFAULT true, deduction bigint DEFAULT 0, quantity bigint DEFAULT NULL,
	actor commerce.actor_kind DEFAULT 'SELLER', actor_id bigint DEFAULT NULL, note text DEFAULT NULL,
	idempotency_key text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_complete_return';
COMMENT ON FUNCTION commerce.complete_return(bigint, boolean, bigint, bigint, commerce.actor_kind, bigint, text, text) IS
	'takes what came back, or quantity of it, and refunds its net less a deduction, such as a return fee; restock false: broken or lost, nothing goes into stock. From DISPATCHED and IN_TRANSIT too: a parcel that was lost, or is back at its sender, which counts as a cancel for shipping and coupons. Returns the order. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.complete_exchange(
	order_item_id bigint, restock boolean DEFAULT true, replacement_product_id bigint DEFAULT NULL, quantity bigint DEFAULT NULL,
	actor commerce.actor_kind DEFAULT 'SELLER', actor_id bigint DEFAULT NULL, note text DEFAULT NULL,
	idempotency_key text DEFAULT NULL)
RETURNS commerce.order_items
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_complete_exchange';
COMMENT ON FUNCTION commerce.complete_exchange(bigint, boolean, bigint, bigint, commerce.actor_kind, bigint, text, text) IS
	'takes what came back, or quantity of it, and sends a replacement out of the stock: of the same product, or another one of the same seller that is on sale at the same price; no money moves. Returns the item. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION, PRODUCT_NOT_ON_SALE, PURCHASE_LIMIT_EXCEEDED, STOCK_NOT_ENOUGH, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.cancel_order(
	order_id bigint, actor commerce.actor_kind, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_cancel_order';
COMMENT ON FUNCTION commerce.cancel_order(bigint, commerce.actor_kind, bigint, text) IS
	'cancels all that is left of an order, before anything of it is dispatched, refunds it and returns the order. actor_id: the buyer''s user id, or the id of the seller of all its items; NULL: a trusted caller. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce.cancel_order_item(
	order_item_id bigint, quantity bigint, actor commerce.actor_kind,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_cancel_order_item';
COMMENT ON FUNCTION commerce.cancel_order_item(bigint, bigint, commerce.actor_kind, bigint, text, text) IS
	'cancels units of an order item before dispatch, refunds them and returns the order; of an order whose payment is pending nothing can be cancelled but the whole. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.confirm_delivered_items(max_rows int DEFAULT 1000)
RETURNS int
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_confirm_delivered_items';
COMMENT ON FUNCTION commerce.confirm_delivered_items(int) IS
	'confirms, in the buyers'' place, the items of at most max_rows orders that were delivered longer than commerce.auto_confirm_after ago, and returns how many items; orders that somebody is working on are left for the next time, and so is, with a warning, one that cannot be confirmed. Errors: INVALID_REQUEST';

INSERT INTO commerce_private.jobs (name, schedule, function, max_rows, purpose) VALUES
	('confirm-delivered-items', '* * * * *', 'confirm_delivered_items', 1000, 'confirms items in the buyers'' place some days after their delivery');
