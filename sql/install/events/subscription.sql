-- Subscriptions: cursors into the outbox, and reading from them.

CREATE TYPE commerce.sink_kind AS ENUM ('NONE', 'HTTP', 'KAFKA');
COMMENT ON TYPE commerce.sink_kind IS 'where commerce-relay delivers a subscription; NONE: a client pulls it';

CREATE TABLE commerce.subscriptions (
	name            text PRIMARY KEY CHECK (pg_catalog.char_length(name) BETWEEN 1 AND 63 AND name = pg_catalog.btrim(name)),
	event_types     text[],
	era             bigint NOT NULL,
	key             bigint NOT NULL,
	position        bigint NOT NULL,
	created_at      timestamptz NOT NULL DEFAULT pg_catalog.now(),
	paused_at       timestamptz,
	pause_reason    text,
	sink            commerce.sink_kind NOT NULL DEFAULT 'NONE',
	url             text,
	brokers         text,
	topic           text,
	secret_name     text,
	batch_size      int NOT NULL DEFAULT 1 CHECK (batch_size BETWEEN 1 AND 1000),
	max_attempts    int NOT NULL DEFAULT 10 CHECK (max_attempts BETWEEN 1 AND 100),
	attempts        bigint NOT NULL DEFAULT 0,
	delivered       bigint NOT NULL DEFAULT 0,
	failures        bigint NOT NULL DEFAULT 0,
	last_success_at timestamptz,
	last_error      text,
	last_error_at   timestamptz,
	CONSTRAINT subscriptions_sink_check CHECK (
		CASE sink WHEN 'HTTP' THEN url ~ '^https?://[^/?#@\s]+([/?#]\S*)?$' AND brokers IS NULL AND topic IS NULL
				  WHEN 'KAFKA' THEN url IS NULL AND brokers <> '' AND topic ~ '^[a-zA-Z0-9._-]{1,249}$'
				  ELSE pg_catalog.num_nonnulls(url, brokers, topic, secret_name) = 0 END IS TRUE)
) WITH (fillfactor = 50);
COMMENT ON TABLE commerce.subscriptions IS 'who reads the outbox, and how far each has come; see the view subscription_status';
COMMENT ON COLUMN commerce.subscriptions.event_types IS 'only events of these types; NULL: all';
COMMENT ON COLUMN commerce.subscriptions.era IS 'the cursor, first part: events up to and including (era, key, position) are acknowledged';
COMMENT ON COLUMN commerce.subscriptions.key IS 'the cursor, second part';
COMMENT ON COLUMN commerce.subscriptions.position IS 'the cursor, third part';
COMMENT ON COLUMN commerce.subscriptions.paused_at IS 'while it is set, fetch_events() returns nothing';
COMMENT ON COLUMN commerce.subscriptions.url IS 'HTTP: where to POST';
COMMENT ON COLUMN commerce.subscriptions.brokers IS 'KAFKA: bootstrap servers, host:port, comma-separated';
COMMENT ON COLUMN commerce.subscriptions.secret_name IS 'name of a secret in the relay''s own file; the secret itself is never in the database';
COMMENT ON COLUMN commerce.subscriptions.batch_size IS 'HTTP: most events in one request; 1: each event alone';
COMMENT ON COLUMN commerce.subscriptions.max_attempts IS 'an event that has failed so often becomes a dead letter';
COMMENT ON COLUMN commerce.subscriptions.attempts IS 'deliveries that the relay tried';
SELECT pg_catalog.pg_extension_config_dump('commerce.subscriptions', '');

-- Positions and the horizon (src/events/subscription.c). Functions that walk the outbox in its order have settings
-- by which they are always planned as a walk of the index, and not compiled: what they do ends after a
-- few rows, which the planner cannot know.

CREATE FUNCTION commerce_private.format_position(era bigint, key bigint, "position" bigint)
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_format_position';
COMMENT ON FUNCTION commerce_private.format_position(bigint, bigint, bigint) IS
	'an event''s position as fetch_events() returns it: era, key and position as hexadecimal numbers of fixed width, so that text order is reading order';

CREATE FUNCTION commerce_private.parse_position("position" text, OUT era bigint, OUT key bigint, OUT number bigint)
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_parse_position';
COMMENT ON FUNCTION commerce_private.parse_position(text) IS
	'the reverse of format_position(). Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.system_identifier()
RETURNS bigint
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_system_identifier';
COMMENT ON FUNCTION commerce_private.system_identifier() IS 'of this cluster';

CREATE FUNCTION commerce_private.outbox_horizon(OUT era bigint, OUT key bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((SELECT o.era FROM commerce_private.origin o WHERE o.system_identifier = commerce_private.system_identifier()),
					9223372036854775807),
		   commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()))
$$;
COMMENT ON FUNCTION commerce_private.outbox_horizon() IS
	'events with (era, key) below this can be read under the same snapshot: nothing can come in among them any more. Eras before the current one are closed, as are all when this cluster has not written here yet';

CREATE FUNCTION commerce_private.event_before(INOUT era bigint, INOUT key bigint, INOUT "position" bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	found_event record;
BEGIN
	SELECT e.era, e.key, e.position INTO found_event
	FROM commerce.outbox e
	WHERE ROW (e.era, e.key, e.position) < ROW (event_before.era, event_before.key, event_before.position)
	ORDER BY e.era DESC, e.key DESC, e.position DESC LIMIT 1;
	event_before.era := coalesce(found_event.era, 0);
	event_before.key := coalesce(found_event.key, 0);
	event_before.position := coalesce(found_event.position, 0);
END
$$;
COMMENT ON FUNCTION commerce_private.event_before(bigint, bigint, bigint) IS
	'the last event before a cursor, by which a cursor is always at an event; zeros when there is none';

CREATE FUNCTION commerce_private.last_readable(OUT era bigint, OUT key bigint, OUT "position" bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.era, e.key, e."position"
	FROM commerce_private.outbox_horizon() h CROSS JOIN LATERAL commerce_private.event_before(h.era, h.key, 0) e
$$;
COMMENT ON FUNCTION commerce_private.last_readable() IS 'cursor of the last event that can be read now';

-- Pulling

CREATE FUNCTION commerce_private.lock_subscription_row(subscription text)
RETURNS commerce.subscriptions
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_row commerce.subscriptions;
BEGIN
	IF lock_subscription_row.subscription IS NULL THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must not be null');
	END IF;
	SELECT * INTO found_row FROM commerce.subscriptions s
	WHERE s.name = lock_subscription_row.subscription FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('subscription', lock_subscription_row.subscription);
	END IF;
	RETURN found_row;
END
$$;
COMMENT ON FUNCTION commerce_private.lock_subscription_row(text) IS
	'locks and returns the row of a subscription. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.wake_relay()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_wake_relay';
COMMENT ON FUNCTION commerce_private.wake_relay() IS
	'tells who listens that there is something to do; orders never call it, because NOTIFY makes commits wait for each other';

CREATE FUNCTION commerce.subscribe(name text, event_types text[] DEFAULT NULL, from_start boolean DEFAULT true)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	unknown text;
	start record;
BEGIN
	PERFORM commerce_private.check_text('name', subscribe.name),
		commerce_private.check_texts('event_types', subscribe.event_types);
	IF subscribe.name IS NULL OR subscribe.name <> pg_catalog.btrim(subscribe.name)
	   OR pg_catalog.char_length(subscribe.name) NOT BETWEEN 1 AND 63 THEN
		PERFORM commerce_private.raise_invalid('name', 'must be of 1 to 63 characters, without spaces around it');
	END IF;
	IF subscribe.from_start IS NULL THEN
		PERFORM commerce_private.raise_invalid('from_start', 'must not be null');
	END IF;
	IF pg_catalog.cardinality(subscribe.event_types) = 0 THEN
		PERFORM commerce_private.raise_invalid('event_types', 'must not be empty; NULL means all');
	END IF;
	SELECT coalesce(t.type, 'NULL') INTO unknown FROM pg_catalog.unnest(subscribe.event_types) t (type)
	WHERE NOT EXISTS (SELECT FROM commerce.event_types k WHERE k.type = t.type) LIMIT 1;
	IF FOUND THEN
		PERFORM commerce_private.raise_invalid('event_types', pg_catalog.format('name %s, which is no event type', unknown), 'The table commerce.event_types has them all.');
	END IF;

	IF subscribe.from_start THEN
		SELECT 0::bigint AS era, 0::bigint AS key, 0::bigint AS position INTO start;
	ELSE
		SELECT * INTO start FROM commerce_private.last_readable();
	END IF;
	INSERT INTO commerce.subscriptions (name, event_types, era, key, position)
	VALUES (subscribe.name, subscribe.event_types, start.era, start.key, start.position)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_error('ALREADY_EXISTS', pg_catalog.jsonb_build_object('entity', 'subscription', 'attribute', 'name'));
	END IF;
	PERFORM commerce_private.wake_relay();
	RETURN commerce_private.format_position(start.era, start.key, start.position);
END
$$;
COMMENT ON FUNCTION commerce.subscribe(text, text[], boolean) IS
	'makes a subscription and returns the position after which it begins. event_types: only these; NULL: all. from_start: with the oldest event there is, or else with those that come from now on (events written shortly before may come too, while a transaction older than they are is open). Errors: INVALID_REQUEST';

CREATE FUNCTION commerce.unsubscribe(subscription text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('subscription', unsubscribe.subscription);
	PERFORM commerce_private.lock_subscription_row(unsubscribe.subscription);
	DELETE FROM commerce.subscriptions s WHERE s.name = unsubscribe.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.unsubscribe(text) IS
	'deletes a subscription with its parked events and dead letters. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.fetch_events(subscription text, max_events int DEFAULT 100)
RETURNS TABLE ("position" text, id uuid, type text, aggregatetype text, aggregateid text, payload jsonb,
			   created_at timestamptz, era bigint)
LANGUAGE C STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS 'MODULE_PATHNAME', 'commerce_fetch_events';
COMMENT ON FUNCTION commerce.fetch_events(text, int) IS
	'the next events of a subscription after its cursor, in order, at most max_events (up to 100000); the same again until ack_events(); none while it is paused. era grows when history may have been cut. Writes nothing and works in a read-only transaction and on a standby. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.ack_events(subscription text, up_to text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	wanted record;
	last record;
BEGIN
	PERFORM commerce_private.check_text('subscription', ack_events.subscription),
		commerce_private.check_text('up_to', ack_events.up_to);
	SELECT * INTO wanted FROM commerce_private.parse_position(ack_events.up_to);
	s := commerce_private.lock_subscription_row(ack_events.subscription);
	IF ROW (wanted.era, wanted.key, wanted.number) NOT IN (ROW (s.era, s.key, s.position), ROW (0, 0, 0))
	   AND NOT EXISTS (SELECT FROM commerce.outbox e
					   WHERE e.era = wanted.era AND e.key = wanted.key AND e.position = wanted.number)
	   AND NOT EXISTS (SELECT FROM commerce_private.outbox_purged p
					   WHERE ROW (p.era, p.key, p.position) >= ROW (wanted.era, wanted.key, wanted.number)) THEN
		PERFORM commerce_private.raise_invalid('up_to', pg_catalog.format('must be the position of an event: there is none at %s', ack_events.up_to),
			'A position of a history that is gone: this server was promoted without it, or recovered to a moment before it. Compare by event id what both sides have.');
	END IF;
	IF ROW (wanted.era, wanted.key, wanted.number) <= ROW (s.era, s.key, s.position) THEN
		RETURN commerce_private.format_position(s.era, s.key, s.position);
	END IF;
	SELECT * INTO last FROM commerce_private.last_readable();
	IF ROW (wanted.era, wanted.key, wanted.number) > ROW (last.era, last.key, last.position) THEN
		PERFORM commerce_private.raise_invalid('up_to', 'must not be beyond the last event that can have been fetched');
	END IF;
	UPDATE commerce.subscriptions u SET era = wanted.era, key = wanted.key, position = wanted.number
	WHERE u.name = s.name;
	RETURN ack_events.up_to;
END
$$;
COMMENT ON FUNCTION commerce.ack_events(text, text) IS
	'says that the events up to and including this position, as fetch_events() returned it, are dealt with, and returns the cursor. An earlier position than the cursor changes nothing; one at which there is no event, and was none that retention has removed, is an error. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.advance_subscription(subscription text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	last record;
	wanted record;
BEGIN
	PERFORM commerce_private.check_text('subscription', advance_subscription.subscription);
	s := commerce_private.lock_subscription_row(advance_subscription.subscription);
	IF s.event_types IS NOT NULL THEN
		SELECT * INTO last FROM commerce_private.last_readable();
		SELECT e.era, e.key, e.position INTO wanted
		FROM commerce.outbox e
		WHERE ROW (e.era, e.key, e.position) > ROW (s.era, s.key, s.position)
		  AND ROW (e.era, e.key, e.position) <= ROW (last.era, last.key, last.position)
		  AND e.type = ANY (s.event_types)
		ORDER BY e.era, e.key, e.position LIMIT 1;
		IF FOUND THEN
			SELECT * INTO wanted FROM commerce_private.event_before(wanted.era, wanted.key, wanted.position);
		ELSE
			wanted := last;
		END IF;
		IF ROW (wanted.era, wanted.key, wanted.position) > ROW (s.era, s.key, s.position) THEN
			UPDATE commerce.subscriptions u SET era = wanted.era, key = wanted.key, position = wanted.position
			WHERE u.name = s.name
			RETURNING u.* INTO s;
		END IF;
	END IF;
	RETURN commerce_private.format_position(s.era, s.key, s.position);
END
$$;
COMMENT ON FUNCTION commerce.advance_subscription(text) IS
	'moves the cursor past events that the subscription does not want (event_types) and returns it, so that the next fetch_events() need not look at them again. Nothing that it wants is passed. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.pause_subscription(subscription text, reason text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('subscription', pause_subscription.subscription),
		commerce_private.check_text('reason', pause_subscription.reason);
	PERFORM commerce_private.lock_subscription_row(pause_subscription.subscription);
	UPDATE commerce.subscriptions s
	SET paused_at = coalesce(s.paused_at, pg_catalog.clock_timestamp()), pause_reason = pause_subscription.reason
	WHERE s.name = pause_subscription.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.pause_subscription(text, text) IS
	'lets fetch_events() return nothing, and the relay deliver nothing, until resume_subscription(); what was fetched can still be acknowledged. Its events are kept meanwhile. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.resume_subscription(subscription text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('subscription', resume_subscription.subscription);
	PERFORM commerce_private.lock_subscription_row(resume_subscription.subscription);
	UPDATE commerce.subscriptions s SET paused_at = NULL, pause_reason = NULL
	WHERE s.name = resume_subscription.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.resume_subscription(text) IS
	'ends a pause. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.seek_subscription(
	subscription text, to_position text DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	wanted record;
	last record;
	sought commerce.subscriptions;
BEGIN
	PERFORM commerce_private.check_text('subscription', seek_subscription.subscription),
		commerce_private.check_text('to_position', seek_subscription.to_position);
	IF pg_catalog.num_nonnulls(seek_subscription.to_position, seek_subscription.to_time) <> 1 THEN
		PERFORM commerce_private.raise_invalid('to_position', 'must be given, or to_time, and not both');
	END IF;
	sought := commerce_private.lock_subscription_row(seek_subscription.subscription);
	IF NOT commerce_private.try_lock_subscription(sought.name, false) THEN
		PERFORM commerce_private.raise_error('SERVICE_BUSY', '{"reason": "BEING_DELIVERED"}', 'Pause the subscription first: whoever delivers it would move the cursor on.');
	END IF;
	SELECT * INTO last FROM commerce_private.last_readable();
	IF seek_subscription.to_position IS NOT NULL THEN
		SELECT p.era, p.key, p.number AS position INTO wanted
		FROM commerce_private.parse_position(seek_subscription.to_position) p;
		IF ROW (wanted.era, wanted.key, wanted.position) > ROW (last.era, last.key, last.position)
		   AND ROW (wanted.era, wanted.key, wanted.position) > ROW (sought.era, sought.key, sought.position) THEN
			PERFORM commerce_private.raise_invalid('to_position', 'must not be beyond the last event that can have been fetched');
		END IF;
		IF EXISTS (SELECT FROM commerce_private.outbox_purged p
				   WHERE ROW (p.era, p.key, p.position) > ROW (wanted.era, wanted.key, wanted.position)) THEN
			PERFORM commerce_private.raise_invalid('to_position', 'must not be before events that retention has removed', 'An earlier to_time goes to the oldest event that is left.');
		END IF;
	ELSE
		SELECT e.era, e.key, e.position INTO wanted
		FROM commerce.outbox e
		WHERE e.created_at >= seek_subscription.to_time
		  AND ROW (e.era, e.key, e.position) <= ROW (last.era, last.key, last.position)
		ORDER BY e.era, e.key, e.position LIMIT 1;
		IF FOUND THEN
			SELECT * INTO wanted FROM commerce_private.event_before(wanted.era, wanted.key, wanted.position);
		ELSE
			wanted := last;
		END IF;
	END IF;
	UPDATE commerce.subscriptions s SET era = wanted.era, key = wanted.key, position = wanted.position
	WHERE s.name = sought.name;
	-- these will be fetched again
	DELETE FROM commerce_private.parked_events p
	WHERE p.subscription = sought.name AND p.died_at IS NULL
	  AND ROW (p.era, p.key, p.position) > ROW (wanted.era, wanted.key, wanted.position)
	  AND EXISTS (SELECT FROM commerce.outbox e WHERE e.era = p.era AND e.key = p.key AND e.position = p.position);
	PERFORM commerce_private.wake_relay();
	RETURN commerce_private.format_position(wanted.era, wanted.key, wanted.position);
END
$$;
COMMENT ON FUNCTION commerce.seek_subscription(text, text, timestamptz) IS
	'sets the cursor, back or forth, and returns it: to a position, after which the next fetch_events() begins, or to the first event written at a time or later (and to the end when there is none). Refused while a session delivers the subscription: pause it first. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, SERVICE_BUSY';
