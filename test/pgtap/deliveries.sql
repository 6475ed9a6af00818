-- What delivering remembers: events that failed and those behind them, dead
-- letters, sinks, counters; and that a relay's role can do that and nothing else.
-- role: postgres

SELECT no_plan();

SELECT commerce.create_user('A', 'a@example.com') AS a \gset
SELECT commerce.create_user('B', 'b@example.com') AS b \gset
SELECT commerce.charge_balance(:a, 100), commerce.charge_balance(:b, 200), commerce.charge_balance(:a, 300);
SELECT commerce.subscribe('sink', '{BalanceCharged}');
SELECT commerce.subscribe('pulled');
SELECT settle();

-- sinks
SELECT is_empty('SELECT * FROM commerce_private.relay_subscriptions()', 'a subscription without a sink is none of the relay''s business');
SELECT refuses(format($$SELECT commerce.set_http_sink('sink', %L)$$, url), 'INVALID_REQUEST', format('url %s', to_json(url)))
FROM unnest(ARRAY[NULL, '', 'example.com', 'ftp://example.com', 'http://', 'https:///path', 'http://exa mple.com', 'file:///etc/passwd',
	'https://user:secret@example.com/h', 'https://user@example.com', 'https://@example.com']) AS url;
SELECT refuses(format($$SELECT commerce.set_http_sink('sink', 'http://h', batch_size => %s)$$, n), 'INVALID_REQUEST', 'batch_size ' || n)
FROM unnest('{"null", 0, 1001}'::text[]) AS n;
SELECT refuses(format($$SELECT commerce.set_http_sink('sink', 'http://h', max_attempts => %s)$$, n), 'INVALID_REQUEST', 'max_attempts ' || n)
FROM unnest('{"null", 0, 101}'::text[]) AS n;
SELECT refuses($$SELECT commerce.set_http_sink('nobody', 'http://h')$$, 'ENTITY_NOT_FOUND', 'a sink for an unknown subscription');
SELECT refuses(format($$SELECT commerce.set_kafka_sink('sink', 'k:9092', %L)$$, topic), 'INVALID_REQUEST', format('topic %s', to_json(topic)))
FROM unnest(ARRAY[NULL, '', 'a b', 'a/b', repeat('x', 250)]) AS topic;
SELECT refuses(format($$SELECT commerce.set_kafka_sink('sink', %L, 't')$$, brokers), 'INVALID_REQUEST', format('brokers %s', to_json(brokers)))
FROM unnest(ARRAY[NULL, '', ' ']) AS brokers;
SELECT refuses($$UPDATE commerce.subscriptions SET sink = 'HTTP', url = 'https://user:secret@example.com/h'$$, '23514', 'a password in the table');
SELECT lives_ok(format($$SELECT commerce.set_http_sink('sink', %L)$$, url), format('url %s', to_json(url)))
FROM unnest('{http://h,https://[::1]:8080,https://example.com/a@b,https://example.com?to=a@b}'::text[]) AS url;
SELECT commerce.set_kafka_sink('sink', 'k1:9092,k2:9092', 'orders.v1', 'kafka');
SELECT results_eq(
	'SELECT name, sink::text, url, brokers, topic, secret_name, event_types, batch_size, max_attempts, paused, parked FROM commerce_private.relay_subscriptions()',
	$$VALUES ('sink', 'KAFKA', NULL, 'k1:9092,k2:9092', 'orders.v1', 'kafka', '{BalanceCharged}'::text[], 1, 10, false, 0::bigint)$$,
	'a Kafka sink');
SELECT commerce.set_http_sink('sink', 'https://example.com/hook?x=1', 'hook', 50, 3);
SELECT results_eq(
	'SELECT name, sink::text, url, brokers, topic, secret_name, batch_size, max_attempts FROM commerce_private.relay_subscriptions()',
	$$VALUES ('sink', 'HTTP', 'https://example.com/hook?x=1', NULL, NULL, 'hook', 50, 3)$$,
	'an HTTP sink takes its place');

-- What the relay reports, in short
CREATE FUNCTION pg_temp.fail_event(subscription text, event_position text, error text, retry_at timestamptz) RETURNS boolean LANGUAGE sql AS $$
	SELECT count(r.dead) > 0 FROM commerce_private.report_deliveries(subscription, jsonb_build_object('failed', jsonb_build_array(jsonb_build_object(
		'position', event_position, 'error', error, 'retry_after', (extract(epoch FROM retry_at - clock_timestamp()) * 1000)::bigint)))) r
$$;
CREATE FUNCTION pg_temp.park_events(subscription text, positions text[]) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(r.aggregateid) FROM commerce_private.report_deliveries(subscription, jsonb_build_object('parked', positions)) r
$$;
CREATE FUNCTION pg_temp.finish_events(subscription text, positions text[]) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(r.aggregateid) FROM commerce_private.report_deliveries(subscription, jsonb_build_object('finished', positions)) r
$$;

-- From here on as the relay
-- (it may not look up what refuses() looks up)
GRANT EXECUTE ON FUNCTION commerce.error_codes() TO relay;
SET ROLE relay;
SELECT refuses($$SELECT * FROM commerce_private.report_deliveries('sink', '{}')$$, 'INVALID_REQUEST', 'who does not deliver it has nothing to report');
SELECT ok(commerce_private.start_delivering('sink'), 'the relay delivers it');
SELECT refuses($$SELECT commerce_private.start_delivering('pulled')$$, 'INVALID_REQUEST', 'but no subscription that clients pull');
SELECT refuses($$SELECT * FROM commerce_private.report_deliveries('pulled', '{"up_to": "00000001-0000000000000001-0000000000000001"}')$$, 'INVALID_REQUEST', 'whose events it does not acknowledge');
CREATE TEMP TABLE e AS SELECT row_number() OVER () AS n, * FROM commerce.fetch_events('sink');
SELECT is(string_agg(aggregateid, ' ' ORDER BY n), format('%s %s %s', :a, :b, :a), 'the relay fetches') FROM e;
SELECT position AS e1 FROM e WHERE n = 1 \gset
SELECT position AS e2 FROM e WHERE n = 2 \gset
SELECT position AS e3 FROM e WHERE n = 3 \gset

-- the first of A fails: the other one of A waits behind it, that of B does not
BEGIN;
SELECT pg_temp.fail_event('sink', :'e1', 'HTTP 500', now() + interval '1 hour') AS dead \gset
SELECT pg_temp.park_events('sink', ARRAY[:'e3']) AS blocked \gset
SELECT FROM commerce_private.report_deliveries('sink', jsonb_build_object('up_to', :'e3', 'delivered', 1, 'failures', 1, 'error', 'HTTP 500'));
COMMIT;
SELECT ok(NOT :'dead', 'it is tried again');
SELECT is(:blocked, 1, 'the relay is told that A is held back');
SELECT is_empty($$SELECT * FROM commerce.fetch_events('sink')$$, 'the cursor has passed them');
SELECT results_eq($$SELECT * FROM commerce_private.blocked_aggregates('sink')$$, format($$VALUES ('User', '%s')$$, :a), 'A is held back');
SELECT is_empty($$SELECT * FROM commerce_private.due_events('sink')$$, 'nothing is due yet');
SELECT results_eq('SELECT parked, next_attempt_at > now() FROM commerce_private.relay_subscriptions()', 'VALUES (2::bigint, true)', 'the relay is told when');
SELECT pg_temp.park_events('sink', ARRAY[:'e1', :'e3', :'e3']);
SELECT is(parked, 2::bigint, 'parking again changes nothing') FROM commerce_private.relay_subscriptions();
-- due
SELECT pg_temp.fail_event('sink', :'e1', 'HTTP 502', now() - interval '1 second');
SELECT results_eq($$SELECT position, payload, attempts FROM commerce_private.due_events('sink')$$,
	format($$SELECT position, payload, CASE n WHEN 1 THEN 2 ELSE 0 END FROM e WHERE aggregateid = '%s'$$, :a),
	'both are due when the first is, in their order, with what they carry');
SELECT results_eq($$SELECT position FROM commerce_private.due_events('sink', 1)$$, format('SELECT %L', :'e1'), 'at most as many as asked for');
-- delivered
SELECT pg_temp.finish_events('sink', ARRAY[:'e1', :'e2']);
SELECT is(parked, 1::bigint, 'what is delivered is forgotten; the other was not parked') FROM commerce_private.relay_subscriptions();
SELECT results_eq($$SELECT position FROM commerce_private.due_events('sink')$$, format('SELECT %L', :'e3'), 'the next one of A follows');
-- given up
SELECT is(pg_temp.fail_event('sink', :'e3', 'one', now()), false, 'attempt 1 of 3');
SELECT is(pg_temp.fail_event('sink', :'e3', 'two', now()), false, 'attempt 2 of 3');
SELECT is(pg_temp.fail_event('sink', :'e3', 'three', now()), true, 'attempt 3 of 3 is the last');
SELECT is_empty($$SELECT * FROM commerce_private.due_events('sink')$$, 'a dead letter is not due');
SELECT is_empty($$SELECT * FROM commerce_private.blocked_aggregates('sink')$$, 'nor holds anything back');
SELECT is(pg_temp.fail_event('sink', :'e2', 'HTTP 400', NULL), true, 'an event can be given up at once');

SELECT refuses(format($$SELECT pg_temp.fail_event('nobody', %L, 'x', now())$$, :'e1'), 'ENTITY_NOT_FOUND', 'failing for an unknown subscription');
SELECT refuses(format($$SELECT pg_temp.fail_event('sink', %L, 'x', now())$$, left(:'e1', 41) || 'f'), 'ENTITY_NOT_FOUND', 'failing an event that does not exist');
SELECT refuses($$SELECT pg_temp.fail_event('sink', 'x', 'x', now())$$, 'INVALID_REQUEST', 'failing at no position');
SELECT refuses($$SELECT pg_temp.finish_events('sink', '{x}')$$, 'INVALID_REQUEST', 'finishing at no position');
SELECT refuses($$SELECT * FROM commerce_private.report_deliveries('sink', '{"delivered": -1}')$$, 'INVALID_REQUEST', 'delivering less than nothing');
SELECT refuses($$SELECT commerce_private.start_delivering('nobody')$$, 'ENTITY_NOT_FOUND', 'locking an unknown subscription');

-- and nothing else
SELECT refuses('SELECT * FROM ' || t, '42501', 'the relay reading ' || t)
FROM unnest('{commerce.outbox,commerce_private.outbox_0,commerce.subscriptions,commerce.dead_letters,commerce_private.parked_events,commerce.users,commerce.orders,commerce.subscription_status}'::text[]) AS t;
SELECT refuses('SELECT commerce.' || f, '42501', 'the relay calling ' || f)
FROM unnest(ARRAY['subscribe(''x'')', 'unsubscribe(''sink'')', 'resume_subscription(''sink'')', 'seek_subscription(''sink'', to_time => now())',
	'set_http_sink(''sink'', ''http://h'')', 'redeliver(''sink'')', 'discard_dead_letters(''sink'')', 'purge_outbox()',
	'ack_events(''pulled'', ''x'')', 'pause_subscription(''pulled'')', 'advance_subscription(''pulled'')', 'lock_subscription(''pulled'')',
	'create_user(''x'', ''x@example.com'')', 'charge_balance(1, 100)', 'place_order(1, ''[]'')']) AS f;
RESET ROLE;
SELECT commerce.unsubscribe('pulled');
REVOKE EXECUTE ON FUNCTION commerce.error_codes() FROM relay;
SELECT is(string_agg(proname, ' ' ORDER BY proname),
	'blocked_aggregates due_events fetch_events relay_subscriptions report_deliveries start_delivering unlock_subscription',
	'these are its functions')
FROM pg_proc WHERE pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND has_function_privilege('relay', oid, 'EXECUTE')
	AND proname NOT LIKE '%\_payment\_result%';

-- what the shop sees of it
SELECT results_eq(
	$$SELECT state, sink::text, destination, parked, dead_letters, attempts, delivered, failures, last_success_at IS NOT NULL, last_error,
			 last_error_at IS NOT NULL, delivering_pid FROM commerce.subscription_status$$,
	$$VALUES ('DELIVERING', 'HTTP', 'https://example.com/hook?x=1', 0::bigint, 2::bigint, 2::bigint, 1::bigint, 1::bigint, true, 'HTTP 500',
			  true, pg_backend_pid())$$,
	'subscription_status shows how it goes');
SELECT commerce.unlock_subscription('sink');
SELECT is(state, 'WAITING', 'a sink that nobody delivers to') FROM commerce.subscription_status;
SELECT commerce.lock_subscription('sink');
SELECT results_eq('SELECT type, attempts, last_error FROM commerce.dead_letters ORDER BY position',
	$$VALUES ('BalanceCharged', 1, 'HTTP 400'), ('BalanceCharged', 3, 'three')$$, 'dead letters say why');
SELECT is(commerce.redeliver('sink', :'e3'), 1::bigint, 'one is tried again');
SELECT results_eq($$SELECT position, payload, attempts FROM commerce_private.due_events('sink')$$, 'SELECT position, payload, 0 FROM e WHERE n = 3', 'from its first attempt');
SELECT is(count(*), 1::bigint, 'and is no dead letter any more') FROM commerce.dead_letters;
SELECT refuses(format($$SELECT commerce.redeliver('sink', %L)$$, :'e3'), 'ENTITY_NOT_FOUND', 'redelivering what is not dead');
SELECT is(commerce.redeliver('sink'), 1::bigint, 'and the rest');
SELECT is(commerce.redeliver('sink'), 0::bigint, 'of which nothing is left');
SELECT commerce.pause_subscription('sink');
SELECT is_empty($$SELECT * FROM commerce_private.due_events('sink')$$, 'nothing is due while it is paused');
SELECT commerce.resume_subscription('sink');
SELECT pg_temp.fail_event('sink', position, 'x', NULL) FROM commerce_private.due_events('sink');
SELECT is(commerce.discard_dead_letters('sink', :'e3'), 1::bigint, 'a dead letter can be thrown away');
SELECT is(commerce.discard_dead_letters('sink'), 1::bigint, 'and all of them');
-- what will be fetched again is not kept twice
SELECT pg_temp.park_events('sink', ARRAY[:'e1', :'e3']);
SELECT commerce.seek_subscription('sink', to_position => :'e1');
SELECT is(string_agg(position, ' '), :'e1', 'seeking back forgets what comes again') FROM commerce_private.due_events('sink');
-- but what retention has removed does not come again
DELETE FROM commerce_private.parked_events;
SELECT pg_temp.park_events('sink', ARRAY[:'e1', :'e3']);
BEGIN;
DELETE FROM commerce.outbox o WHERE commerce_private.format_position(o.era, o.key, o.position) = :'e3';
SELECT commerce.seek_subscription('sink', to_time => '-infinity');
SELECT coalesce(string_agg(position, ' '), '') AS still_parked FROM commerce_private.due_events('sink') \gset
ROLLBACK;
SELECT is(:'still_parked'::text, :'e3'::text, 'an event that is in the outbox no more stays parked');

-- an event never comes without those before it, also when they fall due while the query runs
BEGIN;
INSERT INTO commerce_private.parked_events (subscription, era, key, position, id, type, aggregatetype, aggregateid, payload, created_at)
SELECT 'sink', 1, 1, 2 * a + n, gen_random_uuid(), 'x', 'Due', a::text, '{}', now() FROM generate_series(1, 50) a, generate_series(0, 1) n;
CREATE FUNCTION pg_temp.count_without_first() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	found bigint := 0;
BEGIN
	FOR i IN 1 .. 60 LOOP
		UPDATE commerce_private.parked_events SET next_attempt_at = clock_timestamp() + interval '0.5 ms' * (aggregateid::int % 10)
		WHERE aggregatetype = 'Due' AND position % 2 = 0;
		FOR j IN 1 .. 5 LOOP
			found := found + (SELECT count(*) FROM (SELECT FROM commerce_private.due_events('sink', 500) WHERE aggregatetype = 'Due'
													GROUP BY aggregateid HAVING count(*) <> 2) one);
		END LOOP;
	END LOOP;
	RETURN found;
END $$;
SELECT pg_temp.count_without_first() AS without_first \gset
SELECT count(*) AS due FROM commerce_private.due_events('sink', 500) WHERE aggregatetype = 'Due' \gset
ROLLBACK;
SELECT is(:without_first, 0, 'an event does not come without the one before it that falls due meanwhile');
SELECT is(:due, 100, 'and then all do');

-- from a sink to clients that pull: they do not get parked events, so none may be left
SELECT commerce.ack_events('sink', :'e3');
SELECT pg_temp.fail_event('sink', :'e1', 'HTTP 500', now() + interval '1 hour');
SELECT lives_ok($$SELECT commerce.remove_sink('sink')$$, 'a sink can be taken away');
SELECT is_empty('SELECT * FROM commerce_private.relay_subscriptions()', 'and is none of the relay''s business any more');
SELECT results_eq(
	$$SELECT position, attempts, last_error FROM commerce.dead_letters ORDER BY 1$$,
	format($$VALUES (%L, 1, 'the sink was removed; HTTP 500'), (%L, 0, 'the sink was removed')$$, :'e1', :'e3'),
	'what was parked is dead letters, for everybody to see');
SELECT results_eq('SELECT state, parked, dead_letters FROM commerce.subscription_status', $$VALUES ('PULLED', 0::bigint, 2::bigint)$$,
	'also in subscription_status');
SELECT refuses($$SELECT commerce.redeliver('sink')$$, 'INVALID_REQUEST', 'without a sink nothing can be delivered again');
SELECT refuses(format($$SELECT commerce.redeliver('sink', %L)$$, :'e1'), 'INVALID_REQUEST', 'not even one event');
SELECT is(count(*), 2::bigint, 'and no dead letter is lost by trying') FROM commerce.dead_letters;
-- a relay that has not noticed yet
SELECT refuses(format($$SELECT pg_temp.park_events('sink', ARRAY[%L])$$, :'e2'), 'INVALID_REQUEST', 'nothing can be parked any more');
SELECT refuses(format($$SELECT pg_temp.fail_event('sink', %L, 'HTTP 500', now())$$, :'e2'), 'INVALID_REQUEST', 'nor fail');
SELECT commerce.remove_sink('sink');
SELECT is(count(*), 2::bigint, 'taking away what is not there changes nothing') FROM commerce.dead_letters;
-- the clients want them
SELECT commerce.seek_subscription('sink', to_time => min(created_at)) FROM commerce.dead_letters WHERE subscription = 'sink';
SELECT is(string_agg(position, ' '), concat_ws(' ', :'e1', :'e2', :'e3'), 'seeking back lets them be fetched') FROM commerce.fetch_events('sink');
-- with a sink, one of them fails again, and the other is parked behind it
SELECT commerce.set_http_sink('sink', 'https://example.com/other');
BEGIN;
SELECT ok(NOT pg_temp.fail_event('sink', :'e1', 'HTTP 503', now() - interval '1 s'), 'a dead letter that is fetched again is an event like others');
SELECT pg_temp.park_events('sink', ARRAY[:'e3']);
SELECT is(string_agg(position || ' ' || attempts, ' '), concat_ws(' ', :'e1', 1, :'e3', 0), 'and so is one behind it') FROM commerce_private.due_events('sink');
ROLLBACK;
SELECT commerce.ack_events('sink', :'e3');
-- another sink wants them
SELECT commerce.set_http_sink('sink', 'https://example.com/other');
SELECT is(commerce.redeliver('sink'), 2::bigint, 'with another sink they can be delivered again');
SELECT is(string_agg(position, ' '), concat_ws(' ', :'e1', :'e3'), 'and are due') FROM commerce_private.due_events('sink');
SELECT commerce.unsubscribe('sink');
SELECT is_empty('SELECT * FROM commerce_private.parked_events', 'unsubscribing leaves nothing behind');

SELECT * FROM finish();
