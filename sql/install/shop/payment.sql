-- Payments and refunds.

CREATE TABLE commerce.payments (
	id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id          bigint REFERENCES commerce.orders,
	user_id           bigint NOT NULL REFERENCES commerce.users,
	kind              commerce.payment_kind NOT NULL,
	method            commerce.payment_method NOT NULL,
	status            commerce.payment_status NOT NULL,
	amount            bigint NOT NULL CHECK (amount >= 0),
	provider_event_id text CHECK (pg_catalog.char_length(provider_event_id) BETWEEN 1 AND 255),
	at                timestamptz NOT NULL DEFAULT pg_catalog.now(),
	channel           text,
	expires_at        timestamptz,
	refund_of         bigint REFERENCES commerce.payments,
	charge_id         bigint REFERENCES commerce.payments
);
CREATE INDEX payments_order_id_idx ON commerce.payments (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX payments_user_id_idx ON commerce.payments (user_id) WHERE order_id IS NULL;
CREATE UNIQUE INDEX payments_charge_event_key ON commerce.payments (coalesce(charge_id, id), provider_event_id, (status = 'FAILED'))
	WHERE provider_event_id IS NOT NULL AND order_id IS NULL;
CREATE UNIQUE INDEX payments_order_event_key ON commerce.payments (order_id, provider_event_id, (status = 'FAILED'))
	WHERE provider_event_id IS NOT NULL AND order_id IS NOT NULL;
COMMENT ON TABLE commerce.payments IS 'every attempt to pay an order or to charge a balance, and every refund';
COMMENT ON COLUMN commerce.payments.amount IS 'won, never negative: kind tells the direction';
COMMENT ON COLUMN commerce.payments.provider_event_id IS 'the payment provider''s own id of its answer: the same answer twice has one effect';
COMMENT ON COLUMN commerce.payments.order_id IS 'NULL: a charge, and what belongs to it';
COMMENT ON COLUMN commerce.payments.channel IS 'how the provider is to be paid, such as card or virtual_account';
COMMENT ON COLUMN commerce.payments.expires_at IS 'of a charge that is REQUESTED: until when it can be paid';
COMMENT ON COLUMN commerce.payments.refund_of IS 'the payment that a refund goes back to';
COMMENT ON COLUMN commerce.payments.charge_id IS 'of an UNEXPECTED payment: the charge that it answers';
SELECT pg_catalog.pg_extension_config_dump('commerce.payments', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.payments_id_seq', '');

CREATE FUNCTION commerce.confirm_payment(order_id bigint, succeeded boolean, provider_event_id text)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_confirm_payment';
COMMENT ON FUNCTION commerce.confirm_payment(bigint, boolean, text) IS
	'takes a payment provider''s answer for an order of payment_method EXTERNAL and returns the order; the same provider_event_id again has no further effect. A success after the order was given up takes its stock and coupons again or asks for a refund; an answer after a success changes nothing. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.expire_pending_orders(max_rows int DEFAULT 1000)
RETURNS int
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_expire_pending_orders';
COMMENT ON FUNCTION commerce.expire_pending_orders(int) IS
	'cancels at most max_rows orders whose time to pay is over, gives their stock and coupons back, and returns how many; orders that somebody is working on are left for the next time, and so is, with a warning, one that cannot be cancelled. Errors: INVALID_REQUEST';
