-- Subscriptions: cursors into the outbox, and what delivering through commerce-relay needs to remember.

CREATE TABLE commerce.event_types (
	type          text PRIMARY KEY,
	aggregatetype text NOT NULL,
	meaning       text NOT NULL
);
COMMENT ON TABLE commerce.event_types IS 'every type of event that the outbox can hold, and what it is about';
INSERT INTO commerce.event_types (type, aggregatetype, meaning) VALUES
	('UserCreated', 'User', 'a user was created'),
	('UserChanged', 'User', 'attributes of a user were changed'),
	('UserStatusChanged', 'User', 'a user was suspended, withdrawn or reactivated'),
	('SellerCreated', 'Seller', 'a user became a seller'),
	('SellerChanged', 'Seller', 'attributes of a seller were changed, or whether the seller sells'),
	('BalanceCharged', 'User', 'a user charged the prepaid balance'),
	('BalanceAdjusted', 'User', 'an admin corrected, granted or paid out'),
	('OrderCreated', 'Order', 'an order was placed'),
	('PaymentRequested', 'Order', 'an order waits for an external payment'),
	('PaymentCompleted', 'Order', 'an order was paid'),
	('PaymentFailed', 'Order', 'an external payment failed or timed out'),
	('OrderCancelled', 'Order', 'an order or a part of it was cancelled'),
	('RefundCompleted', 'Order', 'money went back to the balance'),
	('RefundRequested', 'Order', 'money is to go back through the payment provider'),
	('DeliveryRequested', 'Order', 'a seller is to deliver its items of an order'),
	('OrderItemStatusChanged', 'Order', 'an item of an order changed its status'),
	('CouponIssued', 'CouponIssue', 'a user claimed a coupon'),
	('CouponUsed', 'CouponIssue', 'an order used a coupon'),
	('CouponRestored', 'CouponIssue', 'an order gave a coupon back'),
	('CouponExpired', 'CouponIssue', 'a coupon was marked expired'),
	('CouponRevoked', 'CouponIssue', 'an admin revoked a coupon'),
	('OrderSheetCreated', 'OrderSheet', 'a quote was made'),
	('ConversionAlert', 'Conversion', 'too few order sheets become orders'),
	('StockDepleted', 'Product', 'the last unit of a product was sold');

CREATE TYPE commerce.sink_kind AS ENUM ('NONE', 'HTTP', 'KAFKA');
COMMENT ON TYPE commerce.sink_kind IS 'where commerce-relay delivers a subscription; NONE: a client pulls it';

CREATE TABLE commerce.subscriptions (
	name            text PRIMARY KEY CHECK (pg_catalog.char_length(name) BETWEEN 1 AND 63 AND name = pg_catalog.btrim(name)),
	event_types     text[],
	era             int NOT NULL,
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

-- Copies, so that neither keeps a segment of the outbox from being emptied.
CREATE TABLE commerce_private.parked_events (
	subscription    text NOT NULL REFERENCES commerce.subscriptions ON UPDATE CASCADE ON DELETE CASCADE,
	era             int NOT NULL,
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
	PRIMARY KEY (subscription, era, key, position)
) WITH (fillfactor = 80);
CREATE INDEX parked_events_aggregate_idx ON commerce_private.parked_events
	(subscription, aggregatetype, aggregateid, era, key, position);
COMMENT ON TABLE commerce_private.parked_events IS
	'events that the cursor of their subscription has passed and that are still to be delivered: those that failed, and those of the same aggregate behind them';
COMMENT ON COLUMN commerce_private.parked_events.next_attempt_at IS 'when to try again; NULL: as soon as the event before it of the same aggregate is gone';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.parked_events', '');

CREATE TABLE commerce.dead_letters (
	subscription  text NOT NULL REFERENCES commerce.subscriptions ON UPDATE CASCADE ON DELETE CASCADE,
	era           int NOT NULL,
	key           bigint NOT NULL,
	position      bigint NOT NULL,
	id            uuid NOT NULL,
	type          text NOT NULL,
	aggregatetype text NOT NULL,
	aggregateid   text NOT NULL,
	payload       jsonb NOT NULL,
	created_at    timestamptz NOT NULL,
	attempts      int NOT NULL,
	last_error    text,
	died_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (subscription, era, key, position)
);
COMMENT ON TABLE commerce.dead_letters IS 'events that were given up; redeliver() tries them again';
SELECT pg_catalog.pg_extension_config_dump('commerce.dead_letters', '');

-- Positions and the horizon (src/subscription.c). Functions that walk the outbox in its order have settings
-- by which they are always planned as a walk of the index, and not compiled: what they do ends after a
-- few rows, which the planner cannot know.

CREATE FUNCTION commerce_private.format_position(era int, key bigint, "position" bigint)
RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_format_position';
COMMENT ON FUNCTION commerce_private.format_position(int, bigint, bigint) IS
	'an event''s position as fetch_events() returns it: era, key and position as hexadecimal numbers of fixed width, so that text order is reading order';

CREATE FUNCTION commerce_private.parse_position("position" text, OUT era int, OUT key bigint, OUT number bigint)
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_parse_position';
COMMENT ON FUNCTION commerce_private.parse_position(text) IS
	'the reverse of format_position(). Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.system_identifier()
RETURNS bigint
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_system_identifier';
COMMENT ON FUNCTION commerce_private.system_identifier() IS 'of this cluster';

CREATE FUNCTION commerce_private.outbox_horizon(OUT era int, OUT key bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((SELECT o.era FROM commerce_private.origin o WHERE o.system_identifier = commerce_private.system_identifier()),
					2147483647),
		   commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()))
$$;
COMMENT ON FUNCTION commerce_private.outbox_horizon() IS
	'events with (era, key) below this can be read under the same snapshot: nothing can come in among them any more. Eras before the current one are closed, as are all when this cluster has not written here yet';

CREATE FUNCTION commerce_private.last_readable(OUT era int, OUT key bigint, OUT "position" bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	horizon record;
BEGIN
	SELECT * INTO horizon FROM commerce_private.outbox_horizon();
	SELECT e.era, e.key, e.position INTO last_readable.era, last_readable.key, last_readable.position
	FROM commerce.outbox e
	WHERE ROW (e.era, e.key) < ROW (horizon.era, horizon.key)
	ORDER BY e.era DESC, e.key DESC, e.position DESC LIMIT 1;
	IF NOT FOUND THEN
		last_readable.era := 0;
		last_readable.key := 0;
		last_readable.position := 0;
	END IF;
END
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
		PERFORM commerce_private.raise_error('ENTITY_NOT_FOUND', pg_catalog.jsonb_build_object('entity', 'subscription', 'id', lock_subscription_row.subscription));
	END IF;
	RETURN found_row;
END
$$;
COMMENT ON FUNCTION commerce_private.lock_subscription_row(text) IS
	'locks and returns the row of a subscription. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.wake_relay()
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.pg_notify('commerce_outbox', '')
$$;
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
		SELECT 0 AS era, 0::bigint AS key, 0::bigint AS position INTO start;
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
			   created_at timestamptz)
LANGUAGE C STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS 'MODULE_PATHNAME', 'commerce_fetch_events';
COMMENT ON FUNCTION commerce.fetch_events(text, int) IS
	'the next events of a subscription after its cursor, in order, at most max_events (up to 100000); the same again until ack_events(); none while it is paused. Writes nothing and works in a read-only transaction and on a standby. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

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
	'says that the events up to and including this position, as fetch_events() returned it, are dealt with, and returns the cursor. An earlier position than the cursor changes nothing. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

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
		SELECT e.era, e.key, e.position - 1 AS position INTO wanted
		FROM commerce.outbox e
		WHERE ROW (e.era, e.key, e.position) > ROW (s.era, s.key, s.position)
		  AND ROW (e.era, e.key, e.position) <= ROW (last.era, last.key, last.position)
		  AND e.type = ANY (s.event_types)
		ORDER BY e.era, e.key, e.position LIMIT 1;
		IF NOT FOUND THEN
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

-- Delivering: one session at a time, and what it remembers. What commerce-relay does with a subscription:
-- lock_subscription(), once per session; blocked_aggregates(), once after that; then again and again
-- fetch_events(), deliver, and in one transaction fail_event() for what failed, park_events() for what
-- waits behind it (the rest of that aggregate), ack_events() for the whole batch, record_deliveries().
-- In between due_events(), and finish_events() or fail_event() for each of them.

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
		PERFORM commerce_private.raise_error('ENTITY_NOT_FOUND', pg_catalog.jsonb_build_object('entity', 'subscription', 'id', lock_subscription.subscription));
	END IF;
	RETURN commerce_private.try_lock_subscription(lock_subscription.subscription, true);
END
$$;
COMMENT ON FUNCTION commerce.lock_subscription(text) IS
	'makes this session the one that delivers a subscription, until unlock_subscription() or its end; false when another session is. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.unlock_subscription(subscription text)
RETURNS boolean
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_unlock_subscription';
COMMENT ON FUNCTION commerce.unlock_subscription(text) IS
	'gives back what lock_subscription() took, as often as it was taken; false when this session does not have it';

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
		PERFORM commerce_private.raise_error('SERVICE_BUSY', pg_catalog.jsonb_build_object('reason', pg_catalog.format('process %s is delivering subscription %s',
				commerce_private.delivering_session(sought.name), sought.name)), 'Pause the subscription first: whoever delivers it would move the cursor on.');
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
			PERFORM commerce_private.raise_invalid('to_position', 'must not be before events that retention has removed', 'to_time => ''-infinity'' goes to the oldest event that is left.');
		END IF;
	ELSE
		SELECT e.era, e.key, e.position - 1 AS position INTO wanted
		FROM commerce.outbox e
		WHERE e.created_at >= seek_subscription.to_time
		  AND ROW (e.era, e.key, e.position) <= ROW (last.era, last.key, last.position)
		ORDER BY e.era, e.key, e.position LIMIT 1;
		IF NOT FOUND THEN
			wanted := last;
		END IF;
	END IF;
	UPDATE commerce.subscriptions s SET era = wanted.era, key = wanted.key, position = wanted.position
	WHERE s.name = sought.name;
	-- these will be fetched again
	DELETE FROM commerce_private.parked_events p
	WHERE p.subscription = sought.name AND ROW (p.era, p.key, p.position) > ROW (wanted.era, wanted.key, wanted.position)
	  AND EXISTS (SELECT FROM commerce.outbox e WHERE e.era = p.era AND e.key = p.key AND e.position = p.position);
	PERFORM commerce_private.wake_relay();
	RETURN commerce_private.format_position(wanted.era, wanted.key, wanted.position);
END
$$;
COMMENT ON FUNCTION commerce.seek_subscription(text, text, timestamptz) IS
	'sets the cursor, back or forth, and returns it: to a position, after which the next fetch_events() begins, or to the first event written at a time or later (and to the end when there is none). Refused while a session delivers the subscription: pause it first. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, SERVICE_BUSY';

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
	PERFORM commerce_private.lock_subscription_row(set_http_sink.subscription);
	IF set_http_sink.url IS NULL OR set_http_sink.url !~ '^https?://[^/?#@\s]+([/?#]\S*)?$' THEN
		PERFORM commerce_private.raise_invalid('url', 'must begin with http:// or https:// and name a host, without a user or password', 'Credentials belong into the relay''s file.');
	END IF;
	IF set_http_sink.batch_size IS NULL OR set_http_sink.batch_size NOT BETWEEN 1 AND 1000 THEN
		PERFORM commerce_private.raise_invalid('batch_size', 'must be from 1 to 1000');
	END IF;
	IF set_http_sink.max_attempts IS NULL OR set_http_sink.max_attempts NOT BETWEEN 1 AND 100 THEN
		PERFORM commerce_private.raise_invalid('max_attempts', 'must be from 1 to 100');
	END IF;
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
	PERFORM commerce_private.lock_subscription_row(set_kafka_sink.subscription);
	IF pg_catalog.btrim(coalesce(set_kafka_sink.brokers, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('brokers', 'must name the bootstrap servers, such as kafka1:9092,kafka2:9092');
	END IF;
	IF set_kafka_sink.topic IS NULL OR set_kafka_sink.topic !~ '^[a-zA-Z0-9._-]{1,249}$' THEN
		PERFORM commerce_private.raise_invalid('topic', 'must be of 1 to 249 letters, digits, dots, underscores and hyphens');
	END IF;
	IF set_kafka_sink.max_attempts IS NULL OR set_kafka_sink.max_attempts NOT BETWEEN 1 AND 100 THEN
		PERFORM commerce_private.raise_invalid('max_attempts', 'must be from 1 to 100');
	END IF;
	UPDATE commerce.subscriptions s
	SET sink = 'KAFKA', url = NULL, brokers = set_kafka_sink.brokers, topic = set_kafka_sink.topic,
		secret_name = set_kafka_sink.secret_name, batch_size = 1, max_attempts = set_kafka_sink.max_attempts
	WHERE s.name = set_kafka_sink.subscription;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.set_kafka_sink(text, text, text, text, int) IS
	'lets commerce-relay produce a subscription''s events to a topic. secret_name: of the section of the relay''s file with the credentials. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.give_up_events(subscription text, era int, key bigint, "position" bigint, reason text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	given_up bigint;
BEGIN
	WITH parked AS (
		DELETE FROM commerce_private.parked_events p
		WHERE p.subscription = give_up_events.subscription
		  AND (give_up_events.position IS NULL
			   OR (p.era = give_up_events.era AND p.key = give_up_events.key AND p.position = give_up_events.position))
		RETURNING p.*)
	INSERT INTO commerce.dead_letters AS d (subscription, era, key, position, id, type, aggregatetype, aggregateid, payload,
											created_at, attempts, last_error)
	SELECT p.subscription, p.era, p.key, p.position, p.id, p.type, p.aggregatetype, p.aggregateid, p.payload,
		   p.created_at, p.attempts, nullif(pg_catalog.concat_ws('; ', give_up_events.reason, p.last_error), '')
	FROM parked p
	ON CONFLICT (subscription, era, key, position) DO UPDATE
	SET attempts = EXCLUDED.attempts, last_error = EXCLUDED.last_error, died_at = EXCLUDED.died_at;
	GET DIAGNOSTICS given_up = ROW_COUNT;
	RETURN given_up;
END
$$;
COMMENT ON FUNCTION commerce_private.give_up_events(text, int, bigint, bigint, text) IS
	'makes dead letters of parked events, that at a position or all, and returns how many';

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
	given_up := commerce_private.give_up_events(remove_sink.subscription, NULL, NULL, NULL, 'the sink was removed');
	IF given_up > 0 THEN
		RAISE WARNING '% undelivered events of subscription % are dead letters now', given_up, remove_sink.subscription
			USING HINT = 'Clients can fetch them after seek_subscription(); redeliver() hands them to another sink.';
	END IF;
	PERFORM commerce_private.wake_relay();
END
$$;
COMMENT ON FUNCTION commerce.remove_sink(text) IS
	'leaves a subscription to clients that pull. Events that were parked become dead letters, of which a warning tells: the cursor has passed them, so that clients do not get them unless seek_subscription() moves it back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

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
						FROM commerce_private.parked_events e WHERE e.subscription = s.name) p
	WHERE s.sink <> 'NONE'
	ORDER BY s.name
$$;
COMMENT ON FUNCTION commerce_private.relay_subscriptions() IS
	'what commerce-relay is to deliver: each subscription with a sink, how many of its events are parked, and when the first of them is due';

CREATE FUNCTION commerce_private.park_events(subscription text, positions text[])
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	parked int;
	known int;
BEGIN
	PERFORM commerce_private.check_text('subscription', park_events.subscription),
		commerce_private.check_texts('positions', park_events.positions);
	s := commerce_private.lock_subscription_row(park_events.subscription);
	-- a relay that has not noticed yet
	IF s.sink = 'NONE' THEN
		PERFORM commerce_private.raise_invalid('subscription', 'must have a sink', 'Clients that pull do not get parked events.');
	END IF;
	INSERT INTO commerce_private.parked_events (subscription, era, key, position, id, type, aggregatetype, aggregateid,
										payload, created_at)
	SELECT s.name, e.era, e.key, e.position, e.id, e.type, e.aggregatetype, e.aggregateid, e.payload, e.created_at
	FROM (SELECT DISTINCT u.position FROM pg_catalog.unnest(park_events.positions) u (position)) given
	CROSS JOIN LATERAL commerce_private.parse_position(given.position) p
	JOIN commerce.outbox e ON e.era = p.era AND e.key = p.key AND e.position = p.number
	ON CONFLICT DO NOTHING;
	GET DIAGNOSTICS parked = ROW_COUNT;
	SELECT count(*) INTO known
	FROM (SELECT DISTINCT u.position FROM pg_catalog.unnest(park_events.positions) u (position)) given
	CROSS JOIN LATERAL commerce_private.parse_position(given.position) p
	JOIN commerce_private.parked_events e ON e.subscription = s.name AND e.era = p.era AND e.key = p.key AND e.position = p.number;
	IF known < (SELECT count(DISTINCT u.position) FROM pg_catalog.unnest(park_events.positions) u (position)) THEN
		PERFORM commerce_private.raise_error('ENTITY_NOT_FOUND', pg_catalog.jsonb_build_object('entity', 'event'));
	END IF;
	RETURN parked;
END
$$;
COMMENT ON FUNCTION commerce_private.park_events(text, text[]) IS
	'remembers events that wait behind a failed one of their aggregate, so that the cursor can pass them; returns how many were not parked yet. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.fail_event(subscription text, event_position text, error text, retry_at timestamptz)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	p record;
	failed commerce_private.parked_events;
BEGIN
	PERFORM commerce_private.check_text('subscription', fail_event.subscription),
		commerce_private.check_text('event_position', fail_event.event_position),
		commerce_private.check_text('error', fail_event.error);
	s := commerce_private.lock_subscription_row(fail_event.subscription);
	PERFORM commerce_private.park_events(s.name, ARRAY[fail_event.event_position]);
	SELECT * INTO p FROM commerce_private.parse_position(fail_event.event_position);
	UPDATE commerce_private.parked_events e
	SET attempts = e.attempts + 1, next_attempt_at = fail_event.retry_at, last_error = fail_event.error,
		last_error_at = pg_catalog.clock_timestamp()
	WHERE e.subscription = s.name AND e.era = p.era AND e.key = p.key AND e.position = p.number
	RETURNING e.* INTO failed;
	IF fail_event.retry_at IS NOT NULL AND failed.attempts < s.max_attempts THEN
		RETURN false;
	END IF;
	PERFORM commerce_private.give_up_events(s.name, p.era, p.key, p.number, NULL);
	RETURN true;
END
$$;
COMMENT ON FUNCTION commerce_private.fail_event(text, text, text, timestamptz) IS
	'records that delivering an event failed: it is parked until retry_at; after the subscription''s max_attempts, or when retry_at is NULL, it becomes a dead letter, and the answer is true. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.due_events(subscription text, max_events int DEFAULT 100)
RETURNS TABLE ("position" text, id uuid, type text, aggregatetype text, aggregateid text, payload jsonb,
			   created_at timestamptz, attempts int)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.format_position(e.era, e.key, e.position), e.id, e.type, e.aggregatetype, e.aggregateid, e.payload,
		   e.created_at, e.attempts
	FROM (SELECT DISTINCT ON (f.aggregatetype, f.aggregateid) f.aggregatetype, f.aggregateid, f.next_attempt_at
		  FROM commerce_private.parked_events f WHERE f.subscription = due_events.subscription
		  ORDER BY f.aggregatetype, f.aggregateid, f.era, f.key, f.position) first
	JOIN commerce_private.parked_events e ON e.subscription = due_events.subscription
		AND e.aggregatetype = first.aggregatetype AND e.aggregateid = first.aggregateid
	JOIN commerce.subscriptions s ON s.name = due_events.subscription AND s.paused_at IS NULL
	WHERE coalesce(first.next_attempt_at, '-infinity') <= pg_catalog.clock_timestamp()
	ORDER BY e.era, e.key, e.position
	LIMIT greatest(due_events.max_events, 0)
$$;
COMMENT ON FUNCTION commerce_private.due_events(text, int) IS
	'parked events to deliver now, in order: those of every aggregate of which the first is due. An event that fails holds back the later ones of its aggregate';

CREATE FUNCTION commerce_private.finish_events(subscription text, positions text[])
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	s commerce.subscriptions;
	finished int;
BEGIN
	PERFORM commerce_private.check_text('subscription', finish_events.subscription),
		commerce_private.check_texts('positions', finish_events.positions);
	s := commerce_private.lock_subscription_row(finish_events.subscription);
	PERFORM commerce_private.parse_position(u.position) FROM pg_catalog.unnest(finish_events.positions) u (position);
	DELETE FROM commerce_private.parked_events e
	USING (SELECT p.* FROM pg_catalog.unnest(finish_events.positions) u (position)
		   CROSS JOIN LATERAL commerce_private.parse_position(u.position) p) given
	WHERE e.subscription = s.name AND e.era = given.era AND e.key = given.key AND e.position = given.number;
	GET DIAGNOSTICS finished = ROW_COUNT;
	RETURN finished;
END
$$;
COMMENT ON FUNCTION commerce_private.finish_events(text, text[]) IS
	'forgets parked events that were delivered, and returns how many. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.blocked_aggregates(subscription text)
RETURNS TABLE (aggregatetype text, aggregateid text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT DISTINCT e.aggregatetype, e.aggregateid FROM commerce_private.parked_events e
	WHERE e.subscription = blocked_aggregates.subscription
$$;
COMMENT ON FUNCTION commerce_private.blocked_aggregates(text) IS
	'the aggregates of a subscription that have parked events: new events of theirs must be parked too';

CREATE FUNCTION commerce_private.record_deliveries(
	subscription text, delivered bigint, failed bigint, error text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM commerce_private.check_text('subscription', record_deliveries.subscription),
		commerce_private.check_text('error', record_deliveries.error);
	IF record_deliveries.delivered IS NULL OR record_deliveries.failed IS NULL
	   OR record_deliveries.delivered < 0 OR record_deliveries.failed < 0 THEN
		PERFORM commerce_private.raise_invalid('delivered', 'must be 0 or more, and failed too');
	END IF;
	PERFORM commerce_private.lock_subscription_row(record_deliveries.subscription);
	UPDATE commerce.subscriptions s
	SET attempts = s.attempts + record_deliveries.delivered + record_deliveries.failed,
		delivered = s.delivered + record_deliveries.delivered,
		failures = s.failures + record_deliveries.failed,
		last_success_at = CASE WHEN record_deliveries.delivered > 0 THEN pg_catalog.clock_timestamp() ELSE s.last_success_at END,
		last_error = coalesce(record_deliveries.error, s.last_error),
		last_error_at = CASE WHEN record_deliveries.error IS NOT NULL THEN pg_catalog.clock_timestamp() ELSE s.last_error_at END
	WHERE s.name = record_deliveries.subscription;
END
$$;
COMMENT ON FUNCTION commerce_private.record_deliveries(text, bigint, bigint, text) IS
	'adds to the counters of subscription_status: events delivered and failed since the last call, and the last error. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

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
	IF redeliver.event_position IS NOT NULL THEN
		SELECT * INTO p FROM commerce_private.parse_position(redeliver.event_position);
	ELSE
		SELECT NULL::int AS era, NULL::bigint AS key, NULL::bigint AS number INTO p;
	END IF;
	WITH dead AS (
		DELETE FROM commerce.dead_letters d
		WHERE d.subscription = s.name
		  AND (redeliver.event_position IS NULL OR (d.era = p.era AND d.key = p.key AND d.position = p.number))
		RETURNING d.*)
	INSERT INTO commerce_private.parked_events (subscription, era, key, position, id, type, aggregatetype, aggregateid,
										payload, created_at, next_attempt_at, last_error)
	SELECT d.subscription, d.era, d.key, d.position, d.id, d.type, d.aggregatetype, d.aggregateid, d.payload,
		   d.created_at, pg_catalog.clock_timestamp(), d.last_error
	FROM dead d
	ON CONFLICT DO NOTHING;
	GET DIAGNOSTICS revived = ROW_COUNT;
	IF revived = 0 AND redeliver.event_position IS NOT NULL THEN
		PERFORM commerce_private.raise_error('ENTITY_NOT_FOUND', pg_catalog.jsonb_build_object('entity', 'dead_letter', 'id', redeliver.event_position));
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
	DELETE FROM commerce.dead_letters d
	WHERE d.subscription = s.name
	  AND (discard_dead_letters.event_position IS NULL
		   OR commerce_private.format_position(d.era, d.key, d.position) = discard_dead_letters.event_position);
	GET DIAGNOSTICS discarded = ROW_COUNT;
	RETURN discarded;
END
$$;
COMMENT ON FUNCTION commerce.discard_dead_letters(text, text) IS
	'deletes dead letters of a subscription, that at a position or all, and returns how many. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

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
		   AND (f.proname = ANY ('{relay_subscriptions,lock_subscription,unlock_subscription,fetch_events,ack_events,advance_subscription,park_events,fail_event,due_events,finish_events,blocked_aggregates,record_deliveries,pause_subscription}')
				OR (grant_relay.confirms_payments AND f.proname = ANY ('{receive_payment_result,park_payment_result,due_payment_result,retry_payment_result,fail_payment_result,redeliver_payment_results}')))),
		grant_relay.role);
END
$$;
COMMENT ON FUNCTION commerce.grant_relay(regrole, boolean) IS
	'lets commerce-relay''s role pull and acknowledge, and with confirms_payments confirm payments as messages say and keep those that fail, and nothing else; for the owner of the extension. revoke_app() takes it back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
