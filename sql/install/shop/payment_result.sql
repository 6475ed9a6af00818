-- Payment results that commerce-relay takes from Kafka: those that could not be confirmed are kept here, so that the topic goes on.

CREATE TABLE commerce_private.parked_payment_results (
	id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	about           text,
	message         text NOT NULL,
	origin          text NOT NULL,
	parked_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	attempts        int NOT NULL DEFAULT 0,
	next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	last_error      text,
	last_error_at   timestamptz,
	died_at         timestamptz
);
CREATE INDEX parked_payment_results_about_idx ON commerce_private.parked_payment_results (about, id) WHERE died_at IS NULL;
CREATE INDEX parked_payment_results_next_attempt_at_idx ON commerce_private.parked_payment_results (next_attempt_at, id) WHERE died_at IS NULL;
CREATE INDEX parked_payment_results_origin_idx ON commerce_private.parked_payment_results (origin);
COMMENT ON TABLE commerce_private.parked_payment_results IS
	'messages with payment results that could not be confirmed: those that wait for another attempt, those about the same thing behind them, and dead letters';
COMMENT ON COLUMN commerce_private.parked_payment_results.about IS 'order:17, charge:4 or refund:9: messages about one of them keep their order; NULL: it was refused before that was known';
COMMENT ON COLUMN commerce_private.parked_payment_results.message IS 'as it came; one that is no text in UTF-8 with its other bytes as backslash and octal digits';
COMMENT ON COLUMN commerce_private.parked_payment_results.origin IS 'topic/partition/offset';
COMMENT ON COLUMN commerce_private.parked_payment_results.died_at IS 'since when it is a dead letter; NULL: it will be tried again';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.parked_payment_results', '');
SELECT pg_catalog.pg_extension_config_dump('commerce_private.parked_payment_results_id_seq', '');

CREATE FUNCTION commerce_private.payment_result_text(message bytea)
RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN a.sqlstate IS NULL THEN a.result ELSE pg_catalog.encode(payment_result_text.message, 'escape') END
	FROM commerce_private.attempt('{22}', 'pg_catalog.convert_from(bytea,name)', payment_result_text.message, 'UTF8'::name) a
$$;
COMMENT ON FUNCTION commerce_private.payment_result_text(bytea) IS
	'a message as text; one that is no text in UTF-8 with its other bytes as backslash and octal digits, which is never JSON';

CREATE FUNCTION commerce_private.parse_payment_result(message text)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	parsed jsonb;
BEGIN
	SELECT pg_catalog.jsonb_build_object('kind', n.kind, 'id', n.id::bigint, 'succeeded', (r.result ->> 'succeeded')::boolean,
		'provider_event_id', r.result ->> 'provider_event_id', 'amount', (r.result ->> 'amount')::bigint)
	INTO STRICT parsed
	FROM (SELECT parse_payment_result.message::jsonb AS value) m
	CROSS JOIN LATERAL (SELECT coalesce(m.value -> 'data', m.value) AS result) r
	CROSS JOIN LATERAL (VALUES ('order', r.result ->> 'order_id'), ('charge', r.result ->> 'charge_id'),
							   ('refund', r.result ->> 'refund_id')) AS n (kind, id)
	WHERE n.id IS NOT NULL;
	RETURN parsed;
END
$$;
COMMENT ON FUNCTION commerce_private.parse_payment_result(text) IS 'what read_payment_result() answers, as an object; raises PostgreSQL''s own errors';

CREATE FUNCTION commerce_private.read_payment_result(
	message text, OUT kind text, OUT id bigint, OUT succeeded boolean, OUT provider_event_id text, OUT amount bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	attempted record;
BEGIN
	-- data_exception, program_limit_exceeded, no_data_found, too_many_rows
	SELECT * INTO attempted
	FROM commerce_private.attempt('{22,54,P0002,P0003}', 'commerce_private.parse_payment_result(text)', read_payment_result.message);
	IF attempted.sqlstate IN ('P0002', 'P0003') THEN
		PERFORM commerce_private.raise_invalid('message', 'must have one of order_id, charge_id and refund_id');
	ELSIF attempted.sqlstate IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid('message', 'makes no sense: ' || attempted.message);
	END IF;
	SELECT * INTO read_payment_result.kind, read_payment_result.id, read_payment_result.succeeded,
		 read_payment_result.provider_event_id, read_payment_result.amount
	FROM pg_catalog.jsonb_to_record(attempted.result::jsonb)
		AS r (kind text, id bigint, succeeded boolean, provider_event_id text, amount bigint);
END
$$;
COMMENT ON FUNCTION commerce_private.read_payment_result(text) IS
	'what a message says, which is {"order_id": 1, "succeeded": true, "provider_event_id": "...", "amount": 9000}, or the same with charge_id, or, without amount, with refund_id, or a CloudEvent with that as its data; amount can be missing. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.take_payment_result(message text)
RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r record;
	status text;
BEGIN
	SELECT * INTO r FROM commerce_private.read_payment_result(take_payment_result.message);
	CASE r.kind
		WHEN 'order' THEN
			SELECT o.status INTO status FROM commerce.confirm_payment(r.id, r.succeeded, r.provider_event_id, r.amount) o;
		WHEN 'charge' THEN
			SELECT p.status INTO status FROM commerce.confirm_charge(r.id, r.succeeded, r.provider_event_id, r.amount) p;
		WHEN 'refund' THEN
			SELECT p.status INTO status FROM commerce.report_refund(r.id, r.succeeded, r.provider_event_id) p;
	END CASE;
	RETURN pg_catalog.format('%s %s is %s', r.kind, r.id, status);
END
$$;
COMMENT ON FUNCTION commerce_private.take_payment_result(text) IS
	'hands what a message says to confirm_payment(), confirm_charge() or report_refund(), and says what became of it. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce_private.receive_payment_result(message bytea, origin text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	content CONSTANT text := commerce_private.payment_result_text(receive_payment_result.message);
	thing text;
BEGIN
	IF content IS NULL OR receive_payment_result.origin IS NULL THEN
		PERFORM commerce_private.raise_invalid('message', 'must not be null, nor origin');
	END IF;
	SELECT r.kind || ':' || r.id INTO thing FROM commerce_private.read_payment_result(content) r;
	IF EXISTS (SELECT FROM commerce_private.parked_payment_results p WHERE p.about = thing AND p.died_at IS NULL) THEN
		INSERT INTO commerce_private.parked_payment_results (about, message, origin)
		VALUES (thing, content, receive_payment_result.origin);
		RETURN NULL;
	END IF;
	RETURN commerce_private.take_payment_result(content);
END
$$;
COMMENT ON FUNCTION commerce_private.receive_payment_result(bytea, text) IS
	'takes what a message says of an order, a charge or a refund, and says what became of it; NULL: a message about the same thing is parked, and this one now waits behind it. origin: topic/partition/offset. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce_private.park_payment_result(message bytea, origin text, error text, refused boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	content CONSTANT text := commerce_private.payment_result_text(park_payment_result.message);
	thing text;
BEGIN
	IF content IS NULL OR park_payment_result.origin IS NULL OR park_payment_result.refused IS NULL THEN
		PERFORM commerce_private.raise_invalid('message', 'must not be null, nor origin, nor refused');
	END IF;
	-- it comes again when the relay ends before its offset is committed
	IF EXISTS (SELECT FROM commerce_private.parked_payment_results p WHERE p.origin = park_payment_result.origin AND p.message = content) THEN
		RETURN;
	END IF;
	-- one that was refused may say nothing that can be read
	IF NOT park_payment_result.refused THEN
		SELECT r.kind || ':' || r.id INTO thing FROM commerce_private.read_payment_result(content) r;
	END IF;
	INSERT INTO commerce_private.parked_payment_results (about, message, origin, attempts, next_attempt_at, last_error, last_error_at, died_at)
	VALUES (thing, content, park_payment_result.origin, 1, pg_catalog.clock_timestamp() + interval '1 second',
			park_payment_result.error, pg_catalog.clock_timestamp(),
			CASE WHEN park_payment_result.refused THEN pg_catalog.clock_timestamp() END);
END
$$;
COMMENT ON FUNCTION commerce_private.park_payment_result(bytea, text, text, boolean) IS
	'keeps a message that receive_payment_result() has failed on, for another attempt or, when it was refused for what it says, as a dead letter. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.due_payment_result(OUT id bigint, OUT origin text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE commerce_private.parked_payment_results u
	SET attempts = u.attempts + 1,
		next_attempt_at = pg_catalog.clock_timestamp()
			+ least(interval '10 minutes', interval '1 second' * 2 ^ least(u.attempts, 10))
	FROM (SELECT p.id FROM commerce_private.parked_payment_results p
		  WHERE p.died_at IS NULL AND p.next_attempt_at <= pg_catalog.clock_timestamp()
			AND NOT EXISTS (SELECT FROM commerce_private.parked_payment_results before
							WHERE before.about = p.about AND before.id < p.id AND before.died_at IS NULL)
		  ORDER BY p.next_attempt_at, p.id LIMIT 1 FOR UPDATE SKIP LOCKED) due
	WHERE u.id = due.id
	RETURNING u.id, u.origin
$$;
COMMENT ON FUNCTION commerce_private.due_payment_result() IS
	'the parked message to try now, NULL when there is none. Its next attempt is set at once, twice as far away each time, up to ten minutes: another relay does not try it meanwhile, and one that ends loses nothing';

CREATE FUNCTION commerce_private.retry_payment_result(id bigint)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	content text;
BEGIN
	DELETE FROM commerce_private.parked_payment_results p WHERE p.id = retry_payment_result.id AND p.died_at IS NULL
	RETURNING p.message INTO content;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	RETURN commerce_private.take_payment_result(content);
END
$$;
COMMENT ON FUNCTION commerce_private.retry_payment_result(bigint) IS
	'takes what a parked message says, forgets it, and says what became of it; NULL: another relay has done so. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce_private.fail_payment_result(id bigint, error text, refused boolean, give_up_after interval)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE commerce_private.parked_payment_results p
	SET last_error = fail_payment_result.error, last_error_at = pg_catalog.clock_timestamp(),
		died_at = CASE WHEN fail_payment_result.refused
							OR p.parked_at + fail_payment_result.give_up_after <= pg_catalog.clock_timestamp()
					   THEN pg_catalog.clock_timestamp() END
	WHERE p.id = fail_payment_result.id AND p.died_at IS NULL
	RETURNING p.died_at IS NOT NULL
$$;
COMMENT ON FUNCTION commerce_private.fail_payment_result(bigint, text, boolean, interval) IS
	'records that retry_payment_result() has failed; true: the message is a dead letter now, because it was refused for what it says or has been parked for give_up_after';

CREATE FUNCTION commerce.redeliver_payment_results(id bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	revived bigint;
BEGIN
	UPDATE commerce_private.parked_payment_results p
	SET died_at = NULL, parked_at = pg_catalog.clock_timestamp(), attempts = 0, next_attempt_at = pg_catalog.clock_timestamp()
	WHERE p.died_at IS NOT NULL AND (redeliver_payment_results.id IS NULL OR p.id = redeliver_payment_results.id);
	GET DIAGNOSTICS revived = ROW_COUNT;
	IF revived = 0 AND redeliver_payment_results.id IS NOT NULL THEN
		PERFORM commerce_private.raise_not_found('dead_letter', redeliver_payment_results.id);
	END IF;
	RETURN revived;
END
$$;
COMMENT ON FUNCTION commerce.redeliver_payment_results(bigint) IS
	'lets the relay try dead letters among payment results again, one or all, and returns how many. Errors: ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.discard_payment_results(id bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	discarded bigint;
BEGIN
	DELETE FROM commerce_private.parked_payment_results p
	WHERE p.died_at IS NOT NULL AND (discard_payment_results.id IS NULL OR p.id = discard_payment_results.id);
	GET DIAGNOSTICS discarded = ROW_COUNT;
	RETURN discarded;
END
$$;
COMMENT ON FUNCTION commerce.discard_payment_results(bigint) IS
	'deletes dead letters among payment results, one or all, and returns how many';
