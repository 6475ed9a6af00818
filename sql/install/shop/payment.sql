-- Payments and refunds.

CREATE TABLE commerce.payments (
	id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id          bigint REFERENCES commerce.orders,
	user_id           bigint NOT NULL REFERENCES commerce.users,
	kind              commerce.payment_kind NOT NULL,
	method            commerce.payment_method NOT NULL,
	status            commerce.payment_status NOT NULL,
	amount            bigint NOT NULL CHECK (amount >= 0),
	provider_event_id text CHECK (pg_catalog.char_length(provider_event_id) BETWEEN 1 AND 200),
	at                timestamptz NOT NULL DEFAULT pg_catalog.now(),
	channel           text,
	expires_at        timestamptz,
	refund_of         bigint REFERENCES commerce.payments,
	charge_id         bigint,
	requested_at      timestamptz,
	idempotency_key   text,
	tax_free_amount   bigint,
	failed_at         timestamptz,
	archived_order_id bigint,
	CONSTRAINT payments_tax_free_amount_check CHECK (tax_free_amount BETWEEN 0 AND amount),
	CONSTRAINT payments_order_id_check CHECK (order_id IS NOT NULL OR archived_order_id IS NOT NULL OR kind <> 'PAYMENT'),
	CONSTRAINT payments_refund_of_check CHECK ((kind = 'REFUND') = (refund_of IS NOT NULL)),
	CONSTRAINT payments_charge_id_check CHECK (charge_id IS NULL OR (kind = 'CHARGE' AND status = 'UNEXPECTED'))
);
CREATE INDEX payments_order_id_idx ON commerce.payments (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX payments_user_id_idx ON commerce.payments (user_id) WHERE order_id IS NULL;
CREATE UNIQUE INDEX payments_charge_event_key ON commerce.payments (coalesce(charge_id, id), provider_event_id, (status = 'FAILED'))
	WHERE provider_event_id IS NOT NULL AND kind = 'CHARGE';
CREATE UNIQUE INDEX payments_order_event_key ON commerce.payments (order_id, provider_event_id, (status = 'FAILED'))
	WHERE provider_event_id IS NOT NULL AND kind = 'PAYMENT';
CREATE UNIQUE INDEX payments_charge_key ON commerce.payments (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX payments_expires_at_idx ON commerce.payments (expires_at) WHERE kind = 'CHARGE' AND status = 'REQUESTED';
-- the oldest first, as somebody asks for them over REST
CREATE INDEX payments_waiting_idx ON commerce.payments (at)
	WHERE status = 'UNEXPECTED' OR (kind = 'REFUND' AND status IN ('REQUESTED', 'FAILED'));
CREATE INDEX payments_refund_of_idx ON commerce.payments (refund_of) WHERE refund_of IS NOT NULL;
COMMENT ON TABLE commerce.payments IS 'every attempt to pay an order or to charge a balance, and every refund';
COMMENT ON COLUMN commerce.payments.amount IS 'never negative: kind tells the direction';
COMMENT ON COLUMN commerce.payments.provider_event_id IS 'the payment provider''s own id of its answer: the same answer twice has one effect';
COMMENT ON COLUMN commerce.payments.order_id IS 'NULL: a charge, an answer for an archived order, and what belongs to these';
COMMENT ON COLUMN commerce.payments.archived_order_id IS 'of an UNEXPECTED payment that came for an archived order, and of its refund: the order';
COMMENT ON COLUMN commerce.payments.channel IS 'how the provider is to be paid, such as card or virtual_account';
COMMENT ON COLUMN commerce.payments.expires_at IS 'of a charge that is REQUESTED: until when it can be paid';
COMMENT ON COLUMN commerce.payments.refund_of IS 'the payment that a refund goes back to';
COMMENT ON COLUMN commerce.payments.requested_at IS 'of an answered refund: when it was asked for, at being the time of the answer';
COMMENT ON COLUMN commerce.payments.charge_id IS 'of an UNEXPECTED payment: the charge that it answers';
COMMENT ON COLUMN commerce.payments.failed_at IS 'of a refund that failed: when, whatever the provider said later';
COMMENT ON COLUMN commerce.payments.tax_free_amount IS 'what of amount, without shipping, is for tax-exempt lines; NULL: of what is not for an order''s lines, such as a charge or an UNEXPECTED payment';
COMMENT ON COLUMN commerce.payments.idempotency_key IS 'of a charge: the key it was requested with, kept for good';
SELECT pg_catalog.pg_extension_config_dump('commerce.payments', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.payments_id_seq', '');

CREATE FUNCTION commerce.request_charge(
	user_id bigint, amount bigint, payment_channel text DEFAULT NULL, pay_within interval DEFAULT NULL,
	idempotency_key text DEFAULT NULL)
RETURNS commerce.payments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_request_charge';
COMMENT ON FUNCTION commerce.request_charge(bigint, bigint, text, interval, text) IS
	'asks a payment provider for a charge of a user''s balance, and returns it, a payment that confirm_charge() completes. amount: as charge_balance() takes it; payment_channel, such as card; pay_within, how long it can be paid. A user has at most commerce.max_pending_orders of them REQUESTED. The idempotency_key stays with the payment for good. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, PENDING_LIMIT_EXCEEDED, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.confirm_charge(payment_id bigint, succeeded boolean, provider_event_id text, amount bigint DEFAULT NULL)
RETURNS commerce.payments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_confirm_charge';
COMMENT ON FUNCTION commerce.confirm_charge(bigint, boolean, text, bigint) IS
	'takes a payment provider''s answer for a charge and returns the charge; the same provider_event_id with the same outcome again has no further effect. A success, in time or late, credits the balance of an ACTIVE user once; one with another amount, a second one, or one of another user is kept as an UNEXPECTED payment, which return_payment() gives back. amount: what was paid; NULL: what was asked for. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.confirm_payment(order_id bigint, succeeded boolean, provider_event_id text, amount bigint DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_confirm_payment';
COMMENT ON FUNCTION commerce.confirm_payment(bigint, boolean, text, bigint) IS
	'takes a payment provider''s answer for an order and returns the order; the same provider_event_id with the same outcome again has no further effect. amount: what was paid; NULL: what was asked for. A success after the order was given up takes its stock and coupons again, or is refunded. A success with another amount, or for an order that is paid already, is kept as an UNEXPECTED payment, which return_payment() gives back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.return_payment(
	payment_id bigint, actor_id bigint DEFAULT NULL, note text DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS commerce.payments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_return_payment';
COMMENT ON FUNCTION commerce.return_payment(bigint, bigint, text, text) IS
	'gives an UNEXPECTED payment back: asks the provider to refund the whole of it, and returns the refund. While that refund has not FAILED, a second call returns it and does nothing. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.report_refund(payment_id bigint, succeeded boolean, provider_event_id text)
RETURNS commerce.payments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_report_refund';
COMMENT ON FUNCTION commerce.report_refund(bigint, boolean, text) IS
	'takes a payment provider''s answer for a refund and returns the refund: COMPLETED, or FAILED, and then what it took of an order can be refunded anew. A failure after a success changes nothing; a success after a failure completes it, or, when the money was refunded otherwise meanwhile, makes it UNEXPECTED. The refund of an archived order is answered where nothing changes. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce.refund_order(
	order_id bigint, amount bigint, actor_id bigint, note text, idempotency_key text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_refund_order';
COMMENT ON FUNCTION commerce.refund_order(bigint, bigint, bigint, text, text) IS
	'gives back a part of what an order has cost, as goodwill or to put a mistake right, and returns the order, whose status stays as it is; at most what is paid and not yet refunded. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, REFUND_EXCEEDS_PAID, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.retry_payment(order_id bigint, pay_within interval DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_retry_payment';
COMMENT ON FUNCTION commerce.retry_payment(bigint, interval, text) IS
	'asks anew for the payment of a CANCELLED order that was not paid, until commerce.payment_ttl_max after it was made, and returns it: PENDING_PAYMENT again. At its old price, by its old channel, it takes stock, coupons and balance again as a new order does, or fails whole. pay_within: how long it can be paid. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION, RESERVATION_EXPIRED, FORBIDDEN, PENDING_LIMIT_EXCEEDED, PRODUCT_NOT_ON_SALE, PURCHASE_LIMIT_EXCEEDED, COUPON_NOT_USABLE, STOCK_NOT_ENOUGH, BALANCE_NOT_ENOUGH, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.expire_pending_orders(max_rows int DEFAULT 1000)
RETURNS int
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_expire_pending_orders';
COMMENT ON FUNCTION commerce.expire_pending_orders(int) IS
	'ends at most max_rows orders and charges whose time to pay is over, gives the orders'' stock, coupons and balance back, and returns how many; those that somebody is working on are left for the next time, and so is, with a warning, one that cannot be ended. Errors: INVALID_REQUEST';
