-- Where commerce-relay delivers a subscription.

CREATE FUNCTION commerce.set_http_sink(
	subscription text, url text, secret_name text DEFAULT NULL, batch_size int DEFAULT 1, max_attempts int DEFAULT 10)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM commerce_private.check_text('subscription', set_http_sink.subscription),
		commerce_private.check_text('url', set_http_sink.url),
		commerce_private.check_text('secret_name', set_http_sink.secret_name);
	IF set_http_sink.url IS NULL OR set_http_sink.url !~ '^https?://[^/?#@\s]+([/?#]\S*)?$' THEN
		PERFORM commerce_private.raise_invalid('url', 'must begin with http:// or https:// and name a host, without a user or password', 'Credentials belong into the relay''s file.');
	END IF;
	IF set_http_sink.batch_size IS NULL OR set_http_sink.batch_size NOT BETWEEN 1 AND 1000 THEN
		PERFORM commerce_private.raise_invalid('batch_size', 'must be from 1 to 1000');
	END IF;
	IF set_http_sink.max_attempts IS NULL OR set_http_sink.max_attempts NOT BETWEEN 1 AND 100 THEN
		PERFORM commerce_private.raise_invalid('max_attempts', 'must be from 1 to 100');
	END IF;
	PERFORM commerce_private.lock_subscription_row(set_http_sink.subscription);
	UPDATE commerce.subscriptions s
	SET sink = 'HTTP', url = set_http_sink.url, brokers = NULL, topic = NULL, secret_name = set_http_sink.secret_name,
		batch_size = set_http_sink.batch_size, max_attempts = set_http_sink.max_attempts
	WHERE s.name = set_http_sink.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.set_http_sink(text, text, text, int, int) IS
	'lets commerce-relay POST a subscription''s events to url. secret_name: of the signing secret in the relay''s file; batch_size: most events in one request, 1 for each alone; max_attempts: after which an event becomes a dead letter. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.set_kafka_sink(
	subscription text, brokers text, topic text, secret_name text DEFAULT NULL, max_attempts int DEFAULT 10)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM commerce_private.check_text('subscription', set_kafka_sink.subscription),
		commerce_private.check_text('brokers', set_kafka_sink.brokers),
		commerce_private.check_text('topic', set_kafka_sink.topic),
		commerce_private.check_text('secret_name', set_kafka_sink.secret_name);
	IF pg_catalog.btrim(coalesce(set_kafka_sink.brokers, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('brokers', 'must name the bootstrap servers, such as kafka1:9092,kafka2:9092');
	END IF;
	IF set_kafka_sink.topic IS NULL OR set_kafka_sink.topic !~ '^[a-zA-Z0-9._-]{1,249}$' THEN
		PERFORM commerce_private.raise_invalid('topic', 'must be of 1 to 249 letters, digits, dots, underscores and hyphens');
	END IF;
	IF set_kafka_sink.max_attempts IS NULL OR set_kafka_sink.max_attempts NOT BETWEEN 1 AND 100 THEN
		PERFORM commerce_private.raise_invalid('max_attempts', 'must be from 1 to 100');
	END IF;
	PERFORM commerce_private.lock_subscription_row(set_kafka_sink.subscription);
	UPDATE commerce.subscriptions s
	SET sink = 'KAFKA', url = NULL, brokers = set_kafka_sink.brokers, topic = set_kafka_sink.topic,
		secret_name = set_kafka_sink.secret_name, batch_size = 1, max_attempts = set_kafka_sink.max_attempts
	WHERE s.name = set_kafka_sink.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.set_kafka_sink(text, text, text, text, int) IS
	'lets commerce-relay produce a subscription''s events to a topic. secret_name: of the section of the relay''s file with the credentials. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.remove_sink(subscription text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given_up bigint;
BEGIN
	PERFORM commerce_private.check_text('subscription', remove_sink.subscription);
	PERFORM commerce_private.lock_subscription_row(remove_sink.subscription);
	UPDATE commerce.subscriptions s
	SET sink = 'NONE', url = NULL, brokers = NULL, topic = NULL, secret_name = NULL, batch_size = 1
	WHERE s.name = remove_sink.subscription;
	-- clients do not get what the cursor has passed
	UPDATE commerce_private.parked_events e
	SET died_at = pg_catalog.clock_timestamp(), last_error = pg_catalog.concat_ws('; ', 'the sink was removed', e.last_error)
	WHERE e.subscription = remove_sink.subscription AND e.died_at IS NULL;
	GET DIAGNOSTICS given_up = ROW_COUNT;
	IF given_up > 0 THEN
		RAISE WARNING '% undelivered events of subscription % are dead letters now', given_up, remove_sink.subscription
			USING HINT = 'Clients can fetch them after seek_subscription(); redeliver() hands them to another sink.';
	END IF;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.remove_sink(text) IS
	'leaves a subscription to clients that pull. Events that were parked become dead letters, of which a warning tells: the cursor has passed them, so that clients do not get them unless seek_subscription() moves it back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
