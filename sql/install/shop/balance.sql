-- Prepaid balances.

CREATE TABLE commerce.balance_entries (
	user_id       bigint NOT NULL REFERENCES commerce.users,
	number        bigint NOT NULL CHECK (number > 0),
	kind          commerce.balance_entry_kind NOT NULL,
	amount        bigint NOT NULL CHECK (amount <> 0),
	balance_after bigint NOT NULL CHECK (balance_after >= 0),
	order_id      bigint,
	reference     text,
	at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (user_id, number)
);
CREATE UNIQUE INDEX balance_entries_charge_key ON commerce.balance_entries (user_id, reference)
	WHERE kind = 'CHARGE' AND reference IS NOT NULL;
COMMENT ON TABLE commerce.balance_entries IS 'append-only journal of every balance: the sum of a user''s amounts is that user''s balance';
COMMENT ON COLUMN commerce.balance_entries.number IS '1, 2, 3 … of each user, without gaps';
COMMENT ON COLUMN commerce.balance_entries.amount IS 'signed, in won';
COMMENT ON COLUMN commerce.balance_entries.order_id IS 'the order that was paid or refunded';
COMMENT ON COLUMN commerce.balance_entries.reference IS 'idempotency key of a charge, kept for good, or the reason of an adjustment';
SELECT pg_catalog.pg_extension_config_dump('commerce.balance_entries', '');

CREATE FUNCTION commerce.charge_balance(
	INOUT user_id bigint, IN amount bigint, IN idempotency_key text DEFAULT NULL, OUT balance bigint)
RETURNS record
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_charge_balance';
COMMENT ON FUNCTION commerce.charge_balance(bigint, bigint, text) IS
	'adds won to a user''s prepaid balance and returns the new balance; amount: above 0, below 100 000 000, a multiple of 100; a repeated idempotency_key returns the first result. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.get_balance(INOUT user_id bigint, OUT balance bigint)
RETURNS record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
	IF get_balance.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	SELECT u.balance INTO get_balance.balance FROM commerce.users u WHERE u.id = get_balance.user_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('user', get_balance.user_id);
	END IF;
END
$$;
COMMENT ON FUNCTION commerce.get_balance(bigint) IS
	'a user''s prepaid balance in won. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
