-- Payments and refunds.

CREATE TABLE commerce.payments (
	id                bigint GENERATED ALWAYS AS IDENTITY,
	order_id          bigint NOT NULL REFERENCES commerce.orders,
	kind              commerce.payment_kind NOT NULL,
	method            commerce.payment_method NOT NULL,
	status            commerce.payment_status NOT NULL,
	amount            bigint NOT NULL CHECK (amount >= 0),
	provider_event_id text CHECK (pg_catalog.char_length(provider_event_id) BETWEEN 1 AND 255),
	at                timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (order_id, id)
);
CREATE UNIQUE INDEX payments_provider_event_id_key ON commerce.payments (provider_event_id)
	WHERE provider_event_id IS NOT NULL;
COMMENT ON TABLE commerce.payments IS 'every attempt to pay an order, and every refund';
COMMENT ON COLUMN commerce.payments.amount IS 'won, never negative: kind tells the direction';
COMMENT ON COLUMN commerce.payments.provider_event_id IS 'the payment provider''s own id of its answer: the same answer twice has one effect';
SELECT pg_catalog.pg_extension_config_dump('commerce.payments', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.payments_id_seq', '');
