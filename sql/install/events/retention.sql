-- Retention of the outbox, and what to watch: views for subscriptions, segments and the horizon.

CREATE TABLE commerce_private.outbox_purged (
	era      bigint NOT NULL,
	key      bigint NOT NULL,
	position bigint NOT NULL,
	PRIMARY KEY (era, key, position)
);
COMMENT ON TABLE commerce_private.outbox_purged IS 'how far retention has come: cursor of the last event that was removed; one row, written at the first purge';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.outbox_purged', '');

CREATE FUNCTION commerce_private.purge_segment(n int, retention interval)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	filtered text;
	newest record;
	holders text;
BEGIN
	SELECT * INTO newest FROM commerce_private.newest_event(n);
	IF newest.key IS NULL THEN
		RETURN false;
	END IF;
	-- what a subscription does not want must not hold anything back
	FOR filtered IN
		SELECT s.name FROM commerce.subscriptions s
		WHERE s.event_types IS NOT NULL
		  AND ROW (s.era, s.key, s.position) < ROW (newest.era, newest.key, newest.position)
		ORDER BY s.name
	LOOP
		PERFORM commerce.advance_subscription(filtered);
	END LOOP;
	holders := commerce_private.outbox_holders(newest.era, newest.key, newest.position);
	IF holders IS NOT NULL THEN
		RAISE WARNING 'segment % of the outbox is past its retention and is held by subscription %', n, holders
			USING HINT = 'Let the subscription catch up, or give up its events with seek_subscription() or unsubscribe().';
		RETURN false;
	END IF;

	EXECUTE pg_catalog.format('LOCK TABLE commerce_private.%I IN ACCESS EXCLUSIVE MODE', 'outbox_' || n);
	-- again, now that nobody can write there
	SELECT * INTO newest FROM commerce_private.newest_event(n);
	IF newest.created_at >= pg_catalog.clock_timestamp() - retention
	   OR commerce_private.outbox_holders(newest.era, newest.key, newest.position) IS NOT NULL THEN
		RETURN false;
	END IF;
	EXECUTE pg_catalog.format('TRUNCATE TABLE commerce_private.%I', 'outbox_' || n);
	UPDATE commerce_private.outbox_purged p SET era = newest.era, key = newest.key, position = newest.position
	WHERE ROW (p.era, p.key, p.position) < ROW (newest.era, newest.key, newest.position);
	IF NOT EXISTS (SELECT FROM commerce_private.outbox_purged) THEN
		INSERT INTO commerce_private.outbox_purged (era, key, position)
		VALUES (newest.era, newest.key, newest.position);
	END IF;
	RETURN true;
END
$$;
COMMENT ON FUNCTION commerce_private.purge_segment(int, interval) IS
	'empties a segment of the outbox that nothing is written to any more, and returns whether it has: not one that has a newer event than retention allows, or that a subscription has not had';

CREATE FUNCTION commerce.purge_outbox()
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
DECLARE
	retention interval := commerce_private.setting('commerce.outbox_retention')::interval;
	attempted record;
	emptied int := 0;
BEGIN
	IF pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'purge_outbox() must run in READ COMMITTED'
			USING ERRCODE = 'active_sql_transaction',
				  DETAIL = 'After it has waited for a lock it must see what was committed meanwhile.';
	END IF;
	FOR n IN 0..15 LOOP
		CONTINUE WHEN commerce_private.segment_end(n) + retention > pg_catalog.clock_timestamp();
		-- lock_not_available
		SELECT * INTO attempted FROM commerce_private.attempt('{55P03}', 'commerce_private.purge_segment(int,interval)', n, retention);
		IF attempted.sqlstate IS NOT NULL THEN
			-- and what is behind it, since readers wait for the locks that we have by now
			RAISE NOTICE 'segment % of the outbox is in use; it is left for the next time', n;
			EXIT;
		END IF;
		emptied := emptied + attempted.result::boolean::int;
	END LOOP;
	RETURN emptied;
END
$$;
COMMENT ON FUNCTION commerce.purge_outbox() IS
	'empties each daily segment of the outbox that is older than commerce.outbox_retention and that every subscription has had, and returns how many; says which subscription holds a segment back. Orders never wait for it';

CREATE FUNCTION commerce_private.newest_event(segment int, OUT era bigint, OUT key bigint, OUT "position" bigint, OUT created_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.era, e.key, e.position, e.created_at FROM commerce.outbox e
	WHERE e.segment = newest_event.segment
	ORDER BY e.era DESC, e.key DESC, e.position DESC LIMIT 1
$$;
COMMENT ON FUNCTION commerce_private.newest_event(int) IS 'the last event of a segment, in the order of reading';

CREATE FUNCTION commerce_private.outbox_holders(era bigint, key bigint, "position" bigint)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.string_agg(s.name, ', ' ORDER BY s.name) FROM commerce.subscriptions s
	WHERE ROW (s.era, s.key, s.position) < ROW (outbox_holders.era, outbox_holders.key, outbox_holders.position)
$$;
COMMENT ON FUNCTION commerce_private.outbox_holders(bigint, bigint, bigint) IS
	'the subscriptions that have not had the events up to this cursor; NULL for none';

INSERT INTO commerce_private.jobs (name, schedule, function, purpose) VALUES
	('purge-outbox', '*/10 * * * *', 'purge_outbox', 'empties old segments of the outbox');

CREATE VIEW commerce.subscription_status AS
	SELECT s.name,
		   CASE WHEN s.paused_at IS NOT NULL THEN 'PAUSED' WHEN s.sink = 'NONE' THEN 'PULLED'
				WHEN commerce_private.delivering_session(s.name) IS NOT NULL THEN 'DELIVERING' ELSE 'WAITING' END AS state,
		   s.paused_at, s.pause_reason, s.sink, coalesce(s.url, s.topic) AS destination, s.event_types,
		   commerce_private.format_position(s.era, s.key, s.position) AS cursor,
		   (SELECT count(*) FROM (SELECT FROM commerce.outbox e
								  WHERE ROW (e.era, e.key, e.position) > ROW (s.era, s.key, s.position)
									AND (s.event_types IS NULL OR e.type = ANY (s.event_types))
								  LIMIT 1000000) e) AS lag_events,
		   coalesce((SELECT extract(epoch FROM pg_catalog.clock_timestamp() - e.created_at) FROM commerce.outbox e
					 WHERE ROW (e.era, e.key, e.position) > ROW (s.era, s.key, s.position)
					   AND (s.event_types IS NULL OR e.type = ANY (s.event_types))
					 ORDER BY e.era, e.key, e.position LIMIT 1), 0) AS lag_seconds,
		   (SELECT count(*) FROM commerce_private.parked_events p WHERE p.subscription = s.name AND p.died_at IS NULL) AS parked,
		   (SELECT count(*) FROM commerce.dead_letters d WHERE d.subscription = s.name) AS dead_letters,
		   s.attempts, s.delivered, s.failures, s.last_success_at, s.last_error, s.last_error_at,
		   commerce_private.delivering_session(s.name) AS delivering_pid
	FROM commerce.subscriptions s;
COMMENT ON VIEW commerce.subscription_status IS 'every subscription: how far it is behind, and how its deliveries go';
COMMENT ON COLUMN commerce.subscription_status.state IS
	'PAUSED; PULLED: by a client; DELIVERING: a relay works on it; WAITING: it has a sink and no relay';
COMMENT ON COLUMN commerce.subscription_status.lag_events IS
	'committed events after the cursor, also those that an older transaction still keeps from being read (view horizon); counted up to 1000000';
COMMENT ON COLUMN commerce.subscription_status.lag_seconds IS 'age of the first of them; 0 when there is none';
COMMENT ON COLUMN commerce.subscription_status.parked IS 'events that the cursor has passed and that are still to be delivered';
COMMENT ON COLUMN commerce.subscription_status.delivering_pid IS 'the session that has lock_subscription()';

CREATE FUNCTION commerce_private.segment_end(segment int)
RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.timezone('UTC', (date '1970-01-01' + t.today - (t.today - segment_end.segment) % 16 + 1)::timestamp)
	FROM (SELECT pg_catalog.date(pg_catalog.timezone('UTC', pg_catalog.clock_timestamp())) - date '1970-01-01' AS today) t
$$;
COMMENT ON FUNCTION commerce_private.segment_end(int) IS
	'the end of the latest day, up to today, whose events are in a segment';

CREATE FUNCTION commerce_private.list_segments()
RETURNS TABLE (segment int, newest_event_at timestamptz, bytes bigint, retained_until timestamptz, held_by text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.segment,
		   newest.created_at,
		   pg_catalog.pg_total_relation_size(pg_catalog.format('commerce_private.outbox_%s', n.segment)),
		   commerce_private.segment_end(n.segment) + commerce_private.setting('commerce.outbox_retention')::interval,
		   commerce_private.outbox_holders(newest.era, newest.key, newest.position)
	FROM pg_catalog.generate_series(0, 15) n (segment)
	CROSS JOIN LATERAL commerce_private.newest_event(n.segment) newest
	WHERE newest.key IS NOT NULL
$$;
COMMENT ON FUNCTION commerce_private.list_segments() IS 'the daily segments of the outbox that have events in them: see the view outbox_segments';

CREATE VIEW commerce.outbox_segments AS
	SELECT l.segment, l.newest_event_at, l.bytes, l.retained_until, l.held_by FROM commerce_private.list_segments() l;
COMMENT ON VIEW commerce.outbox_segments IS 'the daily segments of the outbox that have events in them';
COMMENT ON COLUMN commerce.outbox_segments.retained_until IS 'purge_outbox() empties the segment after this, when no subscription holds it';
COMMENT ON COLUMN commerce.outbox_segments.held_by IS 'subscriptions that have not had all of it';
