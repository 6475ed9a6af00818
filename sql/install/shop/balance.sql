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
	payment_id    bigint,
	PRIMARY KEY (user_id, number)
);
CREATE UNIQUE INDEX balance_entries_charge_key ON commerce.balance_entries (user_id, reference)
	WHERE kind = 'CHARGE' AND reference IS NOT NULL;
COMMENT ON TABLE commerce.balance_entries IS 'append-only journal of every balance: the sum of a user''s amounts is that user''s balance';
COMMENT ON COLUMN commerce.balance_entries.number IS '1, 2, 3 ... of each user, without gaps';
COMMENT ON COLUMN commerce.balance_entries.amount IS 'signed';
COMMENT ON COLUMN commerce.balance_entries.order_id IS 'the order that was paid or refunded, archived or not';
COMMENT ON COLUMN commerce.balance_entries.reference IS 'idempotency key of a charge, kept for good, or the reason of an adjustment';
COMMENT ON COLUMN commerce.balance_entries.payment_id IS 'the charge that a provider has paid; NULL: another entry';
SELECT pg_catalog.pg_extension_config_dump('commerce.balance_entries', '');

CREATE FUNCTION commerce.charge_balance(
	INOUT user_id bigint, IN amount bigint, IN idempotency_key text DEFAULT NULL, OUT balance bigint)
RETURNS record
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_charge_balance';
COMMENT ON FUNCTION commerce.charge_balance(bigint, bigint, text) IS
	'adds an amount to a user''s prepaid balance and returns the new balance; amount: above 0, at most commerce.charge_max (99 999 999), a multiple of commerce.charge_unit (100). The idempotency_key stays with the entry for good: the same key months later returns the first result. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.adjust_balance(
	INOUT user_id bigint, IN amount bigint, IN note text, IN actor_id bigint DEFAULT NULL,
	IN idempotency_key text DEFAULT NULL, OUT balance bigint)
RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	most CONSTANT bigint := 1000000000000;
	most_balance CONSTANT bigint := 9007199254740991;
	scope text := 'user:' || adjust_balance.user_id;
	arguments jsonb := pg_catalog.jsonb_build_object('amount', adjust_balance.amount, 'note', adjust_balance.note,
		'actor_id', adjust_balance.actor_id);
	stored jsonb;
	actor jsonb;
	u commerce.users;
	event_position bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	IF adjust_balance.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	IF adjust_balance.amount IS NULL OR adjust_balance.amount = 0 OR adjust_balance.amount NOT BETWEEN -most AND most THEN
		PERFORM commerce_private.raise_invalid('amount', 'must not be 0, nor above 1 000 000 000 000 either way');
	END IF;
	PERFORM commerce_private.check_text('note', adjust_balance.note);
	IF pg_catalog.btrim(coalesce(adjust_balance.note, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('note', 'must not be empty');
	END IF;
	stored := commerce_private.begin_key(scope, 'adjust_balance', adjust_balance.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		adjust_balance.balance := (stored->'balance')::bigint;
		RETURN;
	END IF;

	actor := commerce_private.require_who(adjust_balance.actor_id, adjust_balance.note);
	u := commerce_private.lock_user(adjust_balance.user_id);
	IF u.balance + adjust_balance.amount < 0 THEN
		PERFORM commerce_private.raise_error('BALANCE_NOT_ENOUGH', pg_catalog.jsonb_build_object('user_id', u.id,
			'asked', -adjust_balance.amount, 'balance', u.balance));
	END IF;
	IF u.balance + adjust_balance.amount > most_balance THEN
		PERFORM commerce_private.raise_invalid('amount', 'would take the balance out of range');
	END IF;
	-- before the change: a trigger may change the balance, too
	event_position := pg_catalog.nextval('commerce_private.outbox_position_seq');
	UPDATE commerce.users c
	SET balance = c.balance + adjust_balance.amount, last_entry = c.last_entry + 1, updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = u.id
	RETURNING c.* INTO u;
	INSERT INTO commerce.balance_entries (user_id, number, kind, amount, balance_after, reference)
	VALUES (u.id, u.last_entry, 'ADJUST', adjust_balance.amount, u.balance, adjust_balance.note);
	PERFORM commerce_private.write_event('User', u.id::text, 'BalanceAdjusted',
		pg_catalog.jsonb_build_object('user_id', u.id, 'amount', adjust_balance.amount, 'balance', u.balance,
			'adjusted_at', pg_catalog.now(), 'actor', actor),
		u.event_key, event_position);
	adjust_balance.balance := u.balance;
	PERFORM commerce_private.end_key(scope, 'adjust_balance', adjust_balance.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('user_id', u.id, 'balance', u.balance));
END
$$;
COMMENT ON FUNCTION commerce.adjust_balance(bigint, bigint, text, bigint, text) IS
	'corrects a user''s balance, grants something or pays it out (amount below 0), whatever the user''s status, and returns the new balance; never below 0. note: why. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, BALANCE_NOT_ENOUGH, IDEMPOTENCY_KEY_REUSED';

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
	'a user''s prepaid balance. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.balance_statement(user_id bigint, before bigint DEFAULT NULL, max_rows int DEFAULT 100)
RETURNS SETOF commerce.balance_entries
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	IF balance_statement.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	IF balance_statement.max_rows IS NULL OR balance_statement.max_rows < 1 THEN
		PERFORM commerce_private.raise_invalid('max_rows', 'must be 1 or more');
	END IF;
	IF NOT EXISTS (SELECT FROM commerce.users u WHERE u.id = balance_statement.user_id) THEN
		PERFORM commerce_private.raise_not_found('user', balance_statement.user_id);
	END IF;
	RETURN QUERY
		SELECT e.* FROM commerce.balance_entries e
		WHERE e.user_id = balance_statement.user_id
		  AND e.number < coalesce(balance_statement.before, 9223372036854775807)
		ORDER BY e.number DESC LIMIT balance_statement.max_rows;
END
$$;
COMMENT ON FUNCTION commerce.balance_statement(bigint, bigint, int) IS
	'what came into a user''s balance and went out, newest first, at most max_rows entries; before: only entries of a lower number, such as the last one of the page before. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
