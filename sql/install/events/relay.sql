-- Delivering: one session at a time. What commerce-relay does with a subscription:
-- start_delivering(), once per session; then again and again fetch_events() and due_events(), deliver, and
-- report_deliveries().

CREATE FUNCTION commerce_private.try_lock_subscription(name text, for_session boolean)
RETURNS boolean
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_try_lock_subscription';
COMMENT ON FUNCTION commerce_private.try_lock_subscription(text, boolean) IS
	'takes the lock of who delivers a subscription, for the session or for the transaction';

CREATE FUNCTION commerce.lock_subscription(subscription text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('subscription', lock_subscription.subscription);
	IF lock_subscription.subscription IS NULL THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must not be null');
	END IF;
	IF NOT EXISTS (SELECT FROM commerce.subscriptions s WHERE s.name = lock_subscription.subscription) THEN
		PERFORM commerce_private.raise_not_found('subscription', lock_subscription.subscription);
	END IF;
	RETURN commerce_private.try_lock_subscription(lock_subscription.subscription, true);
END
$$;
COMMENT ON FUNCTION commerce.lock_subscription(text) IS
	'makes this session the one that delivers a subscription, until unlock_subscription() or its end; false when another session is. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.unlock_subscription(subscription text)
RETURNS boolean
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_unlock_subscription';
COMMENT ON FUNCTION commerce.unlock_subscription(text) IS
	'gives back what lock_subscription() took, as often as it was taken; false when this session does not have it. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.start_delivering(subscription text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM commerce.subscriptions s WHERE s.name = start_delivering.subscription AND s.sink = 'NONE') THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must have a sink', 'It is read by clients that pull.');
	END IF;
	RETURN commerce.lock_subscription(start_delivering.subscription);
END
$$;
COMMENT ON FUNCTION commerce_private.start_delivering(text) IS
	'as lock_subscription(), for commerce-relay: of a subscription with a sink. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.delivers_subscription(subscription text)
RETURNS boolean
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_delivers_subscription';
COMMENT ON FUNCTION commerce_private.delivers_subscription(text) IS
	'whether this session is the one that delivers a subscription';

CREATE FUNCTION commerce_private.subscription_lock_key(subscription text)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_subscription_lock_key';
COMMENT ON FUNCTION commerce_private.subscription_lock_key(text) IS
	'key of the lock in pg_locks, classid in the upper half and objid in the lower';

CREATE FUNCTION commerce_private.delivering_session(subscription text)
RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.pid FROM pg_catalog.pg_locks l
	WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 15
	  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
	  AND (l.classid::bigint << 32 | l.objid::bigint) = commerce_private.subscription_lock_key(delivering_session.subscription)
	LIMIT 1
$$;
COMMENT ON FUNCTION commerce_private.delivering_session(text) IS
	'process id of the session that delivers a subscription, NULL when none does';

CREATE FUNCTION commerce_private.relay_subscriptions()
RETURNS TABLE (name text, sink commerce.sink_kind, url text, brokers text, topic text, secret_name text,
			   event_types text[], batch_size int, max_attempts int, paused boolean, "cursor" text,
			   parked bigint, next_attempt_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.name, s.sink, s.url, s.brokers, s.topic, s.secret_name, s.event_types, s.batch_size, s.max_attempts,
		   s.paused_at IS NOT NULL, commerce_private.format_position(s.era, s.key, s.position), p.parked, p.next_attempt_at
	FROM commerce.subscriptions s
	CROSS JOIN LATERAL (SELECT count(*) AS parked, min(e.next_attempt_at) AS next_attempt_at
						FROM commerce_private.parked_events e WHERE e.subscription = s.name AND e.died_at IS NULL) p
	WHERE s.sink <> 'NONE'
	ORDER BY s.name
$$;
COMMENT ON FUNCTION commerce_private.relay_subscriptions() IS
	'what commerce-relay is to deliver: each subscription with a sink, how many of its events are parked, and when the first of them is due';

CREATE FUNCTION commerce_private.due_events(subscription text, max_events int DEFAULT 100)
RETURNS TABLE ("position" text, id uuid, type text, aggregatetype text, aggregateid text, payload jsonb,
			   created_at timestamptz, attempts int)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.format_position(e.era, e.key, e.position), e.id, e.type, e.aggregatetype, e.aggregateid, e.payload,
		   e.created_at, e.attempts
	FROM (SELECT DISTINCT ON (f.aggregatetype, f.aggregateid) f.aggregatetype, f.aggregateid, f.next_attempt_at
		  FROM commerce_private.parked_events f WHERE f.subscription = due_events.subscription AND f.died_at IS NULL
		  ORDER BY f.aggregatetype, f.aggregateid, f.era, f.key, f.position) first
	JOIN commerce_private.parked_events e ON e.subscription = due_events.subscription
		AND e.aggregatetype = first.aggregatetype AND e.aggregateid = first.aggregateid AND e.died_at IS NULL
	JOIN commerce.subscriptions s ON s.name = due_events.subscription AND s.paused_at IS NULL
	-- one moment for all: else the second of an aggregate could be due and the first just not
	WHERE coalesce(first.next_attempt_at, '-infinity') <= pg_catalog.statement_timestamp()
	ORDER BY e.era, e.key, e.position
	LIMIT greatest(due_events.max_events, 0)
$$;
COMMENT ON FUNCTION commerce_private.due_events(text, int) IS
	'parked events to deliver now, in order: those of every aggregate of which the first is due. An event that fails holds back the later ones of its aggregate';

CREATE FUNCTION commerce_private.blocked_aggregates(subscription text)
RETURNS TABLE (aggregatetype text, aggregateid text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT DISTINCT e.aggregatetype, e.aggregateid FROM commerce_private.parked_events e
	WHERE e.subscription = blocked_aggregates.subscription AND e.died_at IS NULL
$$;
COMMENT ON FUNCTION commerce_private.blocked_aggregates(text) IS
	'the aggregates of a subscription that have parked events: new events of theirs must be parked too';

CREATE FUNCTION commerce_private.json_texts(list jsonb)
RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY(SELECT e.value FROM pg_catalog.jsonb_array_elements_text(json_texts.list) e (value))
$$;
COMMENT ON FUNCTION commerce_private.json_texts(jsonb) IS 'the elements of a JSON array as texts; none of NULL';

CREATE FUNCTION commerce_private.report_deliveries(subscription text, report jsonb)
RETURNS TABLE (dead text, aggregatetype text, aggregateid text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	died text[];
	successes CONSTANT bigint := coalesce((report_deliveries.report ->> 'delivered')::bigint, 0);
	failed_attempts CONSTANT bigint := coalesce((report_deliveries.report ->> 'failures')::bigint, 0);
	reason CONSTANT text := report_deliveries.report ->> 'error';
BEGIN
	PERFORM commerce_private.check_text('subscription', report_deliveries.subscription),
		commerce_private.check_text('error', report_deliveries.report ->> 'error');
	s := commerce_private.lock_subscription_row(report_deliveries.subscription);
	-- the sink may be gone, which a relay has not noticed yet
	IF s.sink = 'NONE' OR NOT commerce_private.delivers_subscription(s.name) THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must have a sink, and this session must deliver it',
			'start_delivering() makes it the one that does.');
	END IF;
	IF successes < 0 OR failed_attempts < 0 THEN
		PERFORM commerce_private.raise_invalid('report', 'must have 0 or more deliveries and failures');
	END IF;

	PERFORM commerce_private.park_events(s.name, commerce_private.json_texts(
		pg_catalog.jsonb_path_query_array(report_deliveries.report, '$.failed[*].position'))
		|| commerce_private.json_texts(report_deliveries.report -> 'parked'));
	WITH failed AS (
		UPDATE commerce_private.parked_events e
		SET attempts = e.attempts + 1, last_error = f.value ->> 'error', last_error_at = pg_catalog.clock_timestamp(),
			next_attempt_at = pg_catalog.clock_timestamp() + interval '1 ms' * (f.value ->> 'retry_after')::bigint,
			died_at = CASE WHEN e.attempts + 1 >= s.max_attempts OR f.value ->> 'retry_after' IS NULL
						   THEN pg_catalog.clock_timestamp() END
		FROM pg_catalog.jsonb_array_elements(report_deliveries.report -> 'failed') f (value)
		CROSS JOIN LATERAL commerce_private.parse_position(f.value ->> 'position') p
		WHERE e.subscription = s.name AND e.era = p.era AND e.key = p.key AND e.position = p.number
		RETURNING f.value ->> 'position' AS position, e.died_at)
	SELECT pg_catalog.array_agg(f.position) FILTER (WHERE f.died_at IS NOT NULL) INTO died FROM failed f;
	DELETE FROM commerce_private.parked_events e
	USING pg_catalog.unnest(commerce_private.json_texts(report_deliveries.report -> 'finished')) u (position)
	CROSS JOIN LATERAL commerce_private.parse_position(u.position) p
	WHERE e.subscription = s.name AND e.era = p.era AND e.key = p.key AND e.position = p.number;

	IF report_deliveries.report ? 'up_to' THEN
		PERFORM commerce.ack_events(s.name, report_deliveries.report ->> 'up_to');
	END IF;
	IF (report_deliveries.report ->> 'advance')::boolean THEN
		PERFORM commerce.advance_subscription(s.name);
	END IF;
	IF report_deliveries.report ? 'pause' THEN
		PERFORM commerce.pause_subscription(s.name, report_deliveries.report ->> 'pause');
	END IF;
	IF successes + failed_attempts > 0 OR reason IS NOT NULL THEN
		UPDATE commerce.subscriptions u
		SET attempts = u.attempts + successes + failed_attempts, delivered = u.delivered + successes,
			failures = u.failures + failed_attempts,
			last_success_at = CASE WHEN successes > 0 THEN pg_catalog.clock_timestamp() ELSE u.last_success_at END,
			last_error = coalesce(reason, u.last_error),
			last_error_at = CASE WHEN reason IS NOT NULL THEN pg_catalog.clock_timestamp() ELSE u.last_error_at END
		WHERE u.name = s.name;
	END IF;
	RETURN QUERY SELECT d.position, NULL, NULL FROM pg_catalog.unnest(died) d (position)
		UNION ALL SELECT NULL, b.aggregatetype, b.aggregateid FROM commerce_private.blocked_aggregates(s.name) b;
END
$$;
COMMENT ON FUNCTION commerce_private.report_deliveries(text, jsonb) IS
	'what became of events, from the session that delivers a subscription with a sink. report, all of it optional: failed, [{position, error, retry_after}]: parked for so many milliseconds, or dead letters after max_attempts or when there is no retry_after; parked, positions that wait behind those; finished, positions of parked events that were delivered; up_to: as ack_events(); advance: true: as advance_subscription(); pause: as pause_subscription(), with this reason; delivered, failures and error: for subscription_status. Returns the positions that are dead letters now, and the aggregates that have parked events: new events of theirs must be parked too. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.grant_relay(role regrole, confirms_payments boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.require_role(grant_relay.role);
	IF grant_relay.confirms_payments IS NULL THEN
		PERFORM commerce_private.raise_invalid('confirms_payments', 'must not be null');
	END IF;
	PERFORM commerce_private.close_row_types();
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce, commerce_private TO %s', grant_relay.role);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s',
		(SELECT pg_catalog.string_agg(f.oid::regprocedure::text, ', ')
		 FROM pg_catalog.pg_proc f
		 WHERE f.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
		   AND (f.proname = ANY ('{relay_subscriptions,start_delivering,unlock_subscription,fetch_events,due_events,blocked_aggregates,report_deliveries}')
				OR (grant_relay.confirms_payments AND f.proname = ANY ('{receive_payment_result,park_payment_result,due_payment_result,retry_payment_result,fail_payment_result,redeliver_payment_results}')))),
		grant_relay.role);
END
$$;
COMMENT ON FUNCTION commerce.grant_relay(regrole, boolean) IS
	'lets commerce-relay''s role pull, and acknowledge what it delivers to sinks, and with confirms_payments confirm payments as messages say and keep those that fail, and nothing else; for the owner of the extension. revoke_app() takes it back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
