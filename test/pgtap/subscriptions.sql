-- Subscriptions: the pull contract, cursors, pauses, seeking, filters.

SELECT no_plan();

SELECT commerce.create_user('A', 'a@example.com') AS a \gset
SELECT commerce.create_user('B', 'b@example.com') AS b \gset

-- subscribe
SELECT is(commerce.subscribe('all'), '00000000-0000000000000000-0000000000000000', 'a subscription begins before the first event');
SELECT refuses($$SELECT commerce.subscribe('all')$$, 'ALREADY_EXISTS', 'a name that is taken');
SELECT refuses(format('SELECT commerce.subscribe(%L)', name), 'INVALID_REQUEST', format('name %s', to_json(name)))
FROM unnest(ARRAY[NULL, '', ' ', ' a', 'a ', repeat('x', 64)]) AS name;
SELECT lives_ok(format('SELECT commerce.subscribe(%L)', repeat('가', 63)), 'a name of 63 characters');
SELECT refuses($$SELECT commerce.subscribe('x', '{}')$$, 'INVALID_REQUEST', 'no event type');
SELECT refuses($$SELECT commerce.subscribe('x', '{OrderCreated,OrderCreatd}')$$, 'INVALID_REQUEST', 'an event type that does not exist');
SELECT refuses($$SELECT commerce.subscribe('x', '{OrderCreated,NULL}')$$, 'INVALID_REQUEST', 'an event type that is null');
SELECT refuses($$SELECT commerce.subscribe('x', from_start => NULL)$$, 'INVALID_REQUEST', 'from_start null');

-- fetch, and fetch again
SELECT settle();
SELECT results_eq(
	$$SELECT type, aggregatetype, aggregateid, payload ->> 'email' FROM commerce.fetch_events('all')$$,
	format($$VALUES ('UserCreated', 'User', '%s', 'a@example.com'), ('UserCreated', 'User', '%s', 'b@example.com')$$, :a, :b),
	'events come in the order of their transactions');
SELECT commerce.charge_balance(:a, 100), commerce.charge_balance(:b, 200), commerce.charge_balance(:a, 300);
SELECT settle();
CREATE TEMP TABLE first AS SELECT * FROM commerce.fetch_events('all');
SELECT is(count(*), 5::bigint, 'five events so far') FROM first;
SELECT results_eq('SELECT * FROM commerce.fetch_events(''all'')', 'SELECT * FROM first', 'the same again until they are acknowledged');
SELECT results_eq('SELECT * FROM commerce.fetch_events(''all'', 2)', 'SELECT * FROM first LIMIT 2', 'at most as many as asked for');
SELECT results_eq(
	'SELECT id, type, aggregatetype, aggregateid, payload, created_at FROM first',
	'SELECT id, type, aggregatetype, aggregateid, payload, created_at FROM commerce.outbox ORDER BY era, key, position',
	'as they were written');
SELECT results_eq('SELECT position FROM first', 'SELECT position FROM first ORDER BY position', 'position sorts as text as they were read');
SELECT results_eq('SELECT position FROM first', 'SELECT position FROM first ORDER BY position COLLATE "ko-x-icu"', 'in another collation');
SELECT is(count(DISTINCT position), 5::bigint, 'positions are unique') FROM first;
SELECT ok(bool_and(position ~ '^[0-9a-f]{8}-[0-9a-f]{16}-[0-9a-f]{16}$'), 'and of fixed width') FROM first;
SELECT refuses(format('SELECT commerce.fetch_events(%L, %s)', 'all', n), 'INVALID_REQUEST', n || ' events')
FROM unnest('{"null", 0, -1, 100001}'::text[]) AS n;
SELECT refuses($$SELECT commerce.fetch_events('nobody')$$, 'ENTITY_NOT_FOUND', 'fetching for an unknown subscription');
SELECT refuses($$SELECT commerce.fetch_events(NULL)$$, 'INVALID_REQUEST', 'fetching for no subscription');

-- it writes nothing
BEGIN READ ONLY;
SELECT count(*) AS fetched FROM commerce.fetch_events('all') \gset
SELECT pg_current_xact_id_if_assigned() IS NULL AS without_id,
	   NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid' AND mode <> 'AccessShareLock') AS without_locks \gset
COMMIT;
SELECT is(:fetched, 5, 'events can be fetched in a read-only transaction');
SELECT ok(:'without_id', 'which is not assigned an id');
SELECT ok(:'without_locks', 'nor locks anything that somebody could wait for');
-- what is not committed cannot be read, not even by its own transaction
BEGIN;
SELECT commerce.charge_balance(:b, 100);
SELECT count(*) AS fetched FROM commerce.fetch_events('all') \gset
ROLLBACK;
SELECT is(:fetched, 5, 'an open transaction does not read its own event');

-- ack
SELECT is(commerce.ack_events('all', position), position, 'ack answers with the cursor') FROM (SELECT * FROM first OFFSET 2 LIMIT 1) e;
SELECT results_eq('SELECT * FROM commerce.fetch_events(''all'')', 'SELECT * FROM first OFFSET 3', 'what is acknowledged does not come again');
SELECT is(commerce.ack_events('all', position), (SELECT position FROM first OFFSET 2 LIMIT 1), 'an earlier position changes nothing')
FROM first LIMIT 1;
SELECT results_eq('SELECT * FROM commerce.fetch_events(''all'')', 'SELECT * FROM first OFFSET 3', 'nothing comes back by it');
SELECT refuses(format('SELECT commerce.ack_events(%L, %L)', 'all', p), 'INVALID_REQUEST', format('ack of %s', coalesce(nullif(p, ''), 'nothing')))
FROM (SELECT max(position) AS last FROM first) l,
	unnest(ARRAY[NULL, '', 'x', '7', left(last, 41), last || '0', upper(overlay(last PLACING 'ABCDEF' FROM 10)), ' ' || left(last, 41),
		replace(last, '-', '_'), overlay(last PLACING 'g' FROM 30), overlay(last PLACING '8' FROM 1), overlay(last PLACING '8' FROM 27)]) AS p;
-- one number too far, and an era, a key too far
SELECT refuses(format('SELECT commerce.ack_events(%L, %L)', 'all', p), 'INVALID_REQUEST', 'ack of ' || p || ', which nobody has read')
FROM (SELECT max(position) AS last FROM first) l,
	unnest(ARRAY[overlay(last PLACING lpad(to_hex(('x' || right(last, 16))::bit(64)::bigint + 1), 16, '0') FROM 27),
		overlay(last PLACING '7' FROM 1), overlay(last PLACING 'f' FROM 10)]) AS p;
BEGIN;
SELECT commerce.charge_balance(:b, 100);
SELECT format_position AS unread FROM commerce.outbox o, commerce_private.format_position(o.era, o.key, o.position)
ORDER BY o.era DESC, o.key DESC, o.position DESC LIMIT 1 \gset
ROLLBACK;
SELECT refuses(format('SELECT commerce.ack_events(%L, %L)', 'all', :'unread'), 'INVALID_REQUEST', 'ack of an event that was never committed');
SELECT refuses(format($$SELECT commerce.ack_events('nobody', %L)$$, max(position)), 'ENTITY_NOT_FOUND', 'ack for an unknown subscription') FROM first;
SELECT commerce.ack_events('all', max(position)) FROM commerce.fetch_events('all');
SELECT is_empty('SELECT * FROM commerce.fetch_events(''all'')', 'all is read');

-- others do not notice
SELECT commerce.subscribe('second');
SELECT settle();
SELECT results_eq('SELECT * FROM commerce.fetch_events(''second'')', 'SELECT * FROM first', 'another subscription reads for itself');
SELECT commerce.subscribe('new', from_start => false);
SELECT is_empty('SELECT * FROM commerce.fetch_events(''new'')', 'one that begins now reads nothing from before');
SELECT commerce.charge_balance(:b, 500);
SELECT settle();
SELECT is(string_agg(payload ->> 'balance', ' '), '700', 'and everything from then on') FROM commerce.fetch_events('new');

-- event types
SELECT commerce.subscribe('users', '{UserCreated}');
SELECT commerce.subscribe('sheets', '{OrderSheetCreated}');
SELECT results_eq('SELECT * FROM commerce.fetch_events(''users'')', $$SELECT * FROM first WHERE type = 'UserCreated'$$,
	'a filter leaves the others out');
SELECT commerce.advance_subscription('users');
SELECT is(count(*), 2::bigint, 'advancing passes nothing that is wanted') FROM commerce.fetch_events('users');
SELECT commerce.ack_events('users', max(position)) FROM commerce.fetch_events('users');
SELECT is(commerce.advance_subscription('users'), (SELECT max(position) FROM commerce.fetch_events('second')), 'only what is not');
SELECT is(commerce.advance_subscription('sheets'), (SELECT max(position) FROM commerce.fetch_events('second')), 'up to the last event');
SELECT is(commerce.advance_subscription('second'), '00000000-0000000000000000-0000000000000000', 'and nothing where all is wanted');
SELECT refuses($$SELECT commerce.advance_subscription('nobody')$$, 'ENTITY_NOT_FOUND', 'advancing an unknown subscription');
SELECT commerce.create_user('C', 'c@example.com') AS c \gset
SELECT settle();
SELECT is(string_agg(aggregateid, ' '), :c::text, 'it goes on from there') FROM commerce.fetch_events('users');

-- pause
SELECT commerce.pause_subscription('second', 'maintenance');
SELECT is_empty('SELECT * FROM commerce.fetch_events(''second'')', 'nothing is fetched while it is paused');
SELECT is(commerce.ack_events('second', position), position, 'what was fetched before can be acknowledged') FROM first LIMIT 1;
SELECT is(state || ' ' || pause_reason, 'PAUSED maintenance', 'the view says so') FROM commerce.subscription_status WHERE name = 'second';
SELECT commerce.resume_subscription('second');
SELECT results_eq('SELECT * FROM commerce.fetch_events(''second'', 4)', 'SELECT * FROM first OFFSET 1', 'then it goes on');
SELECT refuses($$SELECT commerce.pause_subscription('nobody')$$, 'ENTITY_NOT_FOUND', 'pausing an unknown subscription');
SELECT refuses($$SELECT commerce.resume_subscription('nobody')$$, 'ENTITY_NOT_FOUND', 'resuming an unknown subscription');

-- seek
SELECT is(commerce.seek_subscription('all', to_position => position), position, 'seeking back to a position') FROM (SELECT * FROM first OFFSET 1 LIMIT 1) e;
SELECT results_eq('SELECT * FROM commerce.fetch_events(''all'', 3)', 'SELECT * FROM first OFFSET 2', 'goes on after it');
SELECT commerce.seek_subscription('all', to_time => created_at) FROM (SELECT * FROM first OFFSET 3 LIMIT 1) e;
SELECT results_eq('SELECT * FROM commerce.fetch_events(''all'', 2)', 'SELECT * FROM first OFFSET 3', 'seeking to a time goes on with what was written then');
SELECT commerce.seek_subscription('all', to_time => '-infinity');
SELECT results_eq('SELECT * FROM commerce.fetch_events(''all'', 5)', 'SELECT * FROM first', 'to the beginning');
SELECT commerce.seek_subscription('all', to_time => 'infinity');
SELECT is_empty('SELECT * FROM commerce.fetch_events(''all'')', 'to the end');
SELECT refuses($$SELECT commerce.seek_subscription('all')$$, 'INVALID_REQUEST', 'seeking nowhere');
SELECT refuses(format($$SELECT commerce.seek_subscription('all', %L, now())$$, max(position)), 'INVALID_REQUEST', 'seeking twice') FROM first;
SELECT refuses($$SELECT commerce.seek_subscription('all', 'x')$$, 'INVALID_REQUEST', 'seeking to no position');
SELECT refuses(format($$SELECT commerce.seek_subscription('all', %L)$$, overlay(max(position) PLACING '7' FROM 1)), 'INVALID_REQUEST', 'seeking beyond the last event') FROM first;
SELECT refuses($$SELECT commerce.seek_subscription('nobody', to_time => now())$$, 'ENTITY_NOT_FOUND', 'seeking in an unknown subscription');

-- what the view says
SELECT results_eq(
	$$SELECT name, state, lag_events, lag_seconds > 0 FROM commerce.subscription_status WHERE name IN ('all', 'second', 'sheets') ORDER BY name COLLATE "C"$$,
	$$VALUES ('all', 'PULLED', 0::bigint, false), ('second', 'PULLED', 6, true), ('sheets', 'PULLED', 0, false)$$,
	'lag is counted from the cursor, of wanted events');
SELECT is(cursor, (SELECT position FROM first LIMIT 1), 'and shows the cursor') FROM commerce.subscription_status WHERE name = 'second';

-- unsubscribe
SELECT commerce.unsubscribe('new');
SELECT refuses($$SELECT commerce.fetch_events('new')$$, 'ENTITY_NOT_FOUND', 'a subscription that is gone');
SELECT refuses($$SELECT commerce.unsubscribe('new')$$, 'ENTITY_NOT_FOUND', 'unsubscribing twice');
SELECT refuses($$SELECT commerce.unsubscribe(NULL)$$, 'INVALID_REQUEST', 'unsubscribing nobody');

SELECT * FROM finish();
