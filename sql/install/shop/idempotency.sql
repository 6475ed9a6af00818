-- Idempotency: what a key has already done.

CREATE TABLE commerce_private.idempotency_keys (
	user_id      bigint NOT NULL REFERENCES commerce.users,
	operation    text NOT NULL,
	key          text NOT NULL CHECK (pg_catalog.char_length(key) BETWEEN 1 AND 255),
	request_hash bytea NOT NULL,
	result       jsonb NOT NULL,
	created_at   timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (user_id, operation, key)
);
CREATE INDEX idempotency_keys_created_at_idx ON commerce_private.idempotency_keys (created_at);
COMMENT ON TABLE commerce_private.idempotency_keys IS 'keys of the last 24 hours with the result that a repeated call gets';
COMMENT ON COLUMN commerce_private.idempotency_keys.request_hash IS 'SHA-256 of the canonical arguments';
COMMENT ON COLUMN commerce_private.idempotency_keys.result IS 'the row that the first call returned';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.idempotency_keys', '');

CREATE FUNCTION commerce.purge_idempotency_keys(max_rows int DEFAULT 10000)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	purged int;
BEGIN
	IF purge_idempotency_keys.max_rows IS NULL OR purge_idempotency_keys.max_rows < 1 THEN
		PERFORM commerce_private.raise_error('INVALID_REQUEST', 'max_rows must be 1 or more');
	END IF;
	DELETE FROM commerce_private.idempotency_keys k
	USING (SELECT d.user_id, d.operation, d.key FROM commerce_private.idempotency_keys d
		   WHERE d.created_at < pg_catalog.now() - interval '24 hours'
		   ORDER BY d.created_at LIMIT purge_idempotency_keys.max_rows
		   FOR UPDATE SKIP LOCKED) due
	WHERE k.user_id = due.user_id AND k.operation = due.operation AND k.key = due.key;
	GET DIAGNOSTICS purged = ROW_COUNT;
	RETURN purged;
END
$$;
COMMENT ON FUNCTION commerce.purge_idempotency_keys(int) IS
	'deletes at most max_rows idempotency keys older than 24 hours and returns how many; an older key counts as new before that too. Errors: INVALID_REQUEST';
