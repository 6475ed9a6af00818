-- Idempotency: what a key has already done.

CREATE TABLE commerce_private.idempotency_keys (
	scope        text NOT NULL,
	operation    text NOT NULL,
	key          text NOT NULL CHECK (pg_catalog.char_length(key) BETWEEN 1 AND 255),
	request_hash bytea NOT NULL,
	result       jsonb,
	created_at   timestamptz NOT NULL DEFAULT pg_catalog.now(),
	status       int,
	location     text,
	body         text,
	user_id      bigint,
	PRIMARY KEY (scope, operation, key),
	CONSTRAINT idempotency_keys_answer_check CHECK (pg_catalog.num_nonnulls(result, body) = 1 AND (body IS NULL) = (status IS NULL))
);
CREATE INDEX idempotency_keys_created_at_idx ON commerce_private.idempotency_keys (created_at);
CREATE INDEX idempotency_keys_user_id_idx ON commerce_private.idempotency_keys (user_id) WHERE user_id IS NOT NULL;
COMMENT ON TABLE commerce_private.idempotency_keys IS 'keys of the last 24 hours with the result that a repeated call gets';
COMMENT ON COLUMN commerce_private.idempotency_keys.scope IS 'what is acted on: user:7, product:3, order:5, item:9, payment:4, or shop; over REST who calls: user:7, seller:3 or admin:5, with the user''s id';
COMMENT ON COLUMN commerce_private.idempotency_keys.request_hash IS 'SHA-256 of the canonical arguments';
COMMENT ON COLUMN commerce_private.idempotency_keys.result IS 'the row that the first call returned; NULL: it came over REST';
COMMENT ON COLUMN commerce_private.idempotency_keys.status IS 'over REST: the first answer''s HTTP status';
COMMENT ON COLUMN commerce_private.idempotency_keys.location IS 'over REST: where what was made can be read; NULL: nothing was';
COMMENT ON COLUMN commerce_private.idempotency_keys.body IS 'over REST: the first answer, in its language';
COMMENT ON COLUMN commerce_private.idempotency_keys.user_id IS 'over REST: whose data is in the answer to a seller or administrator; NULL: nobody''s';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.idempotency_keys', '');

CREATE FUNCTION commerce_private.begin_key(scope text, operation text, idempotency_key text, arguments jsonb)
RETURNS jsonb
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_begin_key';
COMMENT ON FUNCTION commerce_private.begin_key(text, text, text, jsonb) IS
	'takes a key until the transaction ends, and returns what the key has done already, or NULL: the call is to do its work and end with end_key(). After begin_write(), before anything is locked; idempotency_key may be NULL. arguments: all that was asked for. Errors: INVALID_REQUEST, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce_private.end_key(scope text, operation text, idempotency_key text, arguments jsonb, result jsonb)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_end_key';
COMMENT ON FUNCTION commerce_private.end_key(text, text, text, jsonb, jsonb) IS
	'stores the result of a call that began with begin_key()';

CREATE FUNCTION commerce.purge_idempotency_keys(max_rows int DEFAULT 10000)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	purged int;
BEGIN
	IF purge_idempotency_keys.max_rows IS NULL OR purge_idempotency_keys.max_rows < 1 THEN
		PERFORM commerce_private.raise_invalid('max_rows', 'must be 1 or more');
	END IF;
	DELETE FROM commerce_private.idempotency_keys k
	USING (SELECT d.scope, d.operation, d.key FROM commerce_private.idempotency_keys d
		   WHERE d.created_at < pg_catalog.now() - interval '24 hours'
		   ORDER BY d.created_at LIMIT purge_idempotency_keys.max_rows
		   FOR UPDATE SKIP LOCKED) due
	WHERE k.scope = due.scope AND k.operation = due.operation AND k.key = due.key;
	GET DIAGNOSTICS purged = ROW_COUNT;
	RETURN purged;
END
$$;
COMMENT ON FUNCTION commerce.purge_idempotency_keys(int) IS
	'deletes at most max_rows idempotency keys older than 24 hours and returns how many; an older key counts as new before that too. Errors: INVALID_REQUEST';
