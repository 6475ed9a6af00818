-- Events that a subscription's cursor has passed and that are still to be delivered, or were given up.
-- Copies, so that neither keeps a segment of the outbox from being emptied.
CREATE TABLE commerce_private.parked_events (
	subscription    text NOT NULL REFERENCES commerce.subscriptions ON UPDATE CASCADE ON DELETE CASCADE,
	era             bigint NOT NULL,
	key             bigint NOT NULL,
	position        bigint NOT NULL,
	id              uuid NOT NULL,
	type            text NOT NULL,
	aggregatetype   text NOT NULL,
	aggregateid     text NOT NULL,
	payload         jsonb NOT NULL,
	created_at      timestamptz NOT NULL,
	parked_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	attempts        int NOT NULL DEFAULT 0,
	next_attempt_at timestamptz,
	last_error      text,
	last_error_at   timestamptz,
	died_at         timestamptz,
	PRIMARY KEY (subscription, era, key, position)
) WITH (fillfactor = 80);
CREATE INDEX parked_events_aggregate_idx ON commerce_private.parked_events
	(subscription, aggregatetype, aggregateid, era, key, position) WHERE died_at IS NULL;
COMMENT ON TABLE commerce_private.parked_events IS
	'events that the cursor of their subscription has passed and that have not been delivered: those that failed, those of the same aggregate behind them, and dead letters';
COMMENT ON COLUMN commerce_private.parked_events.died_at IS 'since when it is a dead letter; NULL: it is still to be delivered';
COMMENT ON COLUMN commerce_private.parked_events.next_attempt_at IS 'when to try again; NULL: as soon as the event before it of the same aggregate is gone';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.parked_events', '');

CREATE VIEW commerce.dead_letters AS
	SELECT e.subscription, commerce_private.format_position(e.era, e.key, e.position) AS "position", e.id, e.type,
		   e.aggregatetype, e.aggregateid, e.payload, e.created_at, e.attempts, e.last_error, e.died_at
	FROM commerce_private.parked_events e WHERE e.died_at IS NOT NULL;
COMMENT ON VIEW commerce.dead_letters IS 'events that were given up; redeliver() tries them again';

CREATE FUNCTION commerce_private.park_events(subscription text, positions text[])
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	wanted bigint;
	known bigint;
BEGIN
	INSERT INTO commerce_private.parked_events AS known (subscription, era, key, position, id, type, aggregatetype, aggregateid,
														 payload, created_at)
	SELECT park_events.subscription, e.era, e.key, e.position, e.id, e.type, e.aggregatetype, e.aggregateid, e.payload, e.created_at
	FROM (SELECT DISTINCT u.position FROM pg_catalog.unnest(park_events.positions) u (position)) given
	CROSS JOIN LATERAL commerce_private.parse_position(given.position) p
	JOIN commerce.outbox e ON e.era = p.era AND e.key = p.key AND e.position = p.number
	-- a dead letter that was fetched again, after seek_subscription()
	ON CONFLICT (subscription, era, key, position) DO UPDATE
	SET died_at = NULL, attempts = 0, next_attempt_at = NULL WHERE known.died_at IS NOT NULL;
	SELECT count(*), count(e.position) INTO wanted, known
	FROM (SELECT DISTINCT u.position FROM pg_catalog.unnest(park_events.positions) u (position)) given
	CROSS JOIN LATERAL commerce_private.parse_position(given.position) p
	LEFT JOIN commerce_private.parked_events e
		ON e.subscription = park_events.subscription AND e.era = p.era AND e.key = p.key AND e.position = p.number;
	IF known < wanted THEN
		PERFORM commerce_private.raise_error('ENTITY_NOT_FOUND', pg_catalog.jsonb_build_object('entity', 'event'));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.park_events(text, text[]) IS
	'keeps the events at these positions, if they are not kept yet, so that the cursor can pass them. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.redeliver(subscription text, event_position text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	p record;
	revived bigint;
BEGIN
	PERFORM commerce_private.check_text('subscription', redeliver.subscription),
		commerce_private.check_text('event_position', redeliver.event_position);
	s := commerce_private.lock_subscription_row(redeliver.subscription);
	IF s.sink = 'NONE' THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must have a sink', 'Clients that pull can fetch the events after seek_subscription(), as long as the outbox has them.');
	END IF;
	SELECT * INTO p FROM commerce_private.parse_position(redeliver.event_position) WHERE redeliver.event_position IS NOT NULL;
	UPDATE commerce_private.parked_events e
	SET died_at = NULL, attempts = 0, next_attempt_at = pg_catalog.clock_timestamp()
	WHERE e.subscription = s.name AND e.died_at IS NOT NULL
	  AND (redeliver.event_position IS NULL OR (e.era = p.era AND e.key = p.key AND e.position = p.number));
	GET DIAGNOSTICS revived = ROW_COUNT;
	IF revived = 0 AND redeliver.event_position IS NOT NULL THEN
		PERFORM commerce_private.raise_not_found('dead_letter', redeliver.event_position);
	END IF;
	PERFORM commerce_private.wake_relay();
	RETURN revived;
END
$$;
COMMENT ON FUNCTION commerce.redeliver(text, text) IS
	'hands dead letters of a subscription to the relay again, that at a position or all, and returns how many. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.discard_dead_letters(subscription text, event_position text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	discarded bigint;
BEGIN
	PERFORM commerce_private.check_text('subscription', discard_dead_letters.subscription),
		commerce_private.check_text('event_position', discard_dead_letters.event_position);
	s := commerce_private.lock_subscription_row(discard_dead_letters.subscription);
	DELETE FROM commerce_private.parked_events d
	WHERE d.subscription = s.name AND d.died_at IS NOT NULL
	  AND (discard_dead_letters.event_position IS NULL
		   OR commerce_private.format_position(d.era, d.key, d.position) = discard_dead_letters.event_position);
	GET DIAGNOSTICS discarded = ROW_COUNT;
	RETURN discarded;
END
$$;
COMMENT ON FUNCTION commerce.discard_dead_letters(text, text) IS
	'deletes dead letters of a subscription, that at a position or all, and returns how many. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
