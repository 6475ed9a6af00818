-- Conversion of order sheets: the views, and the alert with its window, thresholds, two in a row, and
-- clearing. Time is moved in the data.
-- role: postgres

SELECT no_plan();
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_product(NULL, 'Cup', 1000, 100000) AS cup \gset
SELECT * FROM commerce.charge_balance(:kim, 10000000) \g /dev/null

-- Makes sheets of which some become paid orders, all as of a moment.
CREATE FUNCTION pg_temp.sheets(kim bigint, cup bigint, at timestamptz, n int, paid int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	made commerce.order_sheets;
BEGIN
	FOR i IN 1..n LOOP
		SELECT * INTO made FROM commerce.create_order_sheet(kim, jsonb_build_array(jsonb_build_object('product_id', cup, 'quantity', 1)));
		IF i <= paid THEN
			PERFORM commerce.place_sheet_order(made.id);
		END IF;
		UPDATE commerce.order_sheets SET created_at = at, expires_at = at + interval '15 minutes' WHERE id = made.id;
	END LOOP;
END
$$;
-- What has been judged, and the alerts
CREATE FUNCTION pg_temp.judged() RETURNS text LANGUAGE sql
AS $$SELECT string_agg(verdict || CASE WHEN alerting THEN '!' ELSE '' END, ' ' ORDER BY starts_at) FROM commerce_private.conversion_windows$$;
CREATE FUNCTION pg_temp.alerts() RETURNS bigint LANGUAGE sql
AS $$SELECT count(*) FROM commerce.outbox WHERE type = 'ConversionAlert' AND aggregatetype = 'Conversion'$$;
-- Time passes: everything that was, was some windows earlier.
CREATE FUNCTION pg_temp.pass(windows int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	earlier CONSTANT interval := windows * interval '10 minutes';
	judged commerce_private.conversion_windows[] := ARRAY(SELECT w FROM commerce_private.conversion_windows w);
BEGIN
	UPDATE commerce.order_sheets SET created_at = created_at - earlier, expires_at = expires_at - earlier;
	DELETE FROM commerce_private.conversion_windows;
	INSERT INTO commerce_private.conversion_windows
		SELECT starts_at - earlier, ends_at - earlier, sheets, paid, usual, threshold, verdict, alerting, event_key FROM unnest(judged);
END
$$;

-- The views
SELECT pg_temp.sheets(:kim, :cup, '2020-01-01 10:15:30+00', 3, 1), pg_temp.sheets(:kim, :cup, '2020-01-01 10:16:10+00', 1, 1);
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb) \gset
SELECT id AS o FROM commerce.place_sheet_order(:'sheet', payment_method => 'EXTERNAL') \gset
UPDATE commerce.order_sheets SET created_at = '2020-01-01 10:59:59+00', expires_at = '2020-01-01 11:14:59+00' WHERE id = :'sheet';
SELECT results_eq($$SELECT minute, sheets, matured, paid, percent FROM commerce.conversion_by_minute ORDER BY 1$$,
	$$VALUES ('2020-01-01 10:15+00'::timestamptz, 3::bigint, 3::bigint, 1::bigint, 33.33), ('2020-01-01 10:16+00', 1, 1, 1, 100.00), ('2020-01-01 10:59+00', 1, 0, 0, NULL)$$, 'by minute; a pending order is not settled');
SELECT results_eq($$SELECT hour, sheets, matured, paid, percent FROM commerce.conversion_by_hour$$,
	$$VALUES ('2020-01-01 10:00+00'::timestamptz, 5::bigint, 4::bigint, 2::bigint, 50.00)$$, 'by hour');
SELECT * FROM commerce.confirm_payment(:o, true, 'p') \g /dev/null
SELECT results_eq($$SELECT matured, paid FROM commerce.conversion_by_hour$$, 'VALUES (5::bigint, 3::bigint)', 'paid later, it counts in the hour of its sheet');
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb) \gset
SELECT results_eq($$SELECT sheets, matured FROM commerce.conversion_by_hour WHERE hour > now() - interval '1 hour'$$, 'VALUES (1::bigint, 0::bigint)', 'a sheet that can be used yet is not settled');
DELETE FROM commerce.order_sheets;

-- A window that is complete: over for as long as a sheet lives. Another must not become complete meanwhile.
SELECT pg_sleep(600 - passed) FROM (SELECT extract(epoch FROM clock_timestamp() - interval '15 minutes')::numeric % 600 AS passed) w WHERE passed > 580;
SELECT to_timestamp(600 * floor(extract(epoch FROM clock_timestamp() - interval '15 minutes') / 600)) AS complete_until \gset
CREATE FUNCTION pg_temp.window(kim bigint, cup bigint, complete_until timestamptz, n int, paid int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.pass(1);
	PERFORM pg_temp.sheets(kim, cup, complete_until - interval '1 second', n, paid);
	IF commerce.check_conversion() <> 1 THEN
		RETURN 'not one window';
	END IF;
	RETURN (SELECT concat_ws(' ', w.verdict, w.sheets, w.paid, w.threshold, w.alerting) FROM commerce_private.conversion_windows w ORDER BY w.starts_at DESC LIMIT 1);
END
$$;
SELECT is(commerce.check_conversion(), 6, 'at first the last six windows are judged');
SELECT is(commerce.check_conversion(), 0, 'each once');
SELECT is(pg_temp.judged(), 'TOO_FEW TOO_FEW TOO_FEW TOO_FEW TOO_FEW TOO_FEW', 'no sheets say nothing');
SELECT is((SELECT max(ends_at) FROM commerce_private.conversion_windows), :'complete_until'::timestamptz, 'up to the last that is complete');
SELECT pg_temp.sheets(:kim, :cup, :'complete_until'::timestamptz + interval '1 second', 60, 0);
SELECT is(commerce.check_conversion(), 0, 'what came after is not judged yet');
DELETE FROM commerce.order_sheets;

SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 49, 0), 'TOO_FEW 49 0 5.00 f', '49 sheets are too few');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 50, 2), 'BAD 50 2 5.00 f', '4 % of 50 is below the floor: a first time');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 60, 3), 'GOOD 60 3 5.00 f', '5 % is not');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 50, 0), 'BAD 50 0 5.00 f', 'bad, good, bad are not two in a row');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 10, 0), 'TOO_FEW 10 0 5.00 f', 'too few between');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 50, 0), 'BAD 50 0 5.00 f', 'break the row too');
SELECT is(pg_temp.alerts(), 0::bigint, 'no alert yet');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 51, 1), 'BAD 51 1 5.00 t', 'two in a row: the alert');
SELECT is(pg_temp.alerts(), 1::bigint, 'one event');
SELECT ok((SELECT payload FROM commerce.outbox WHERE type = 'ConversionAlert') @> '{"sheets": 51, "paid": 1, "percent": 1.96, "threshold": 5.00, "usual": null}', 'which says what was seen');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 50, 0), 'BAD 50 0 5.00 t', 'it goes on');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 50, 10), 'GOOD 50 10 5.00 t', 'one good window does not clear it');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 5, 5), 'TOO_FEW 5 5 5.00 t', 'nor does one that says nothing');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 50, 10), 'GOOD 50 10 5.00 t', 'which breaks that row as well');
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 50, 10), 'GOOD 50 10 5.00 f', 'two good windows in a row clear it');
SELECT is(pg_temp.alerts(), 1::bigint, 'still one event');
SELECT pg_temp.window(:kim, :cup, :'complete_until', 50, 0);
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 50, 0), 'BAD 50 0 5.00 t', 'then it can come again');
SELECT is(pg_temp.alerts(), 2::bigint, 'with a second event');

-- The usual: the same hour of seven days
DELETE FROM commerce.order_sheets;
DELETE FROM commerce_private.conversion_windows;
SELECT commerce.check_conversion() \g /dev/null
SELECT date_trunc('hour', :'complete_until'::timestamptz - interval '10 minutes') AS hour \gset
SELECT pg_temp.pass(1);
SELECT pg_temp.sheets(:kim, :cup, :'hour'::timestamptz - day * interval '1 day' + interval '59 minutes', 10, 5) FROM generate_series(1, 7) day;
SELECT pg_temp.sheets(:kim, :cup, :'hour'::timestamptz - interval '1 day 1 second', 20, 0), pg_temp.sheets(:kim, :cup, :'hour'::timestamptz - interval '23 hours', 20, 0),
	pg_temp.sheets(:kim, :cup, :'hour'::timestamptz - interval '8 days' + interval '5 minutes', 20, 0);
SELECT pg_temp.sheets(:kim, :cup, :'complete_until'::timestamptz - interval '1 second', 50, 14);
SELECT is(commerce.check_conversion(), 1, 'a window after seven days');
SELECT results_eq('SELECT verdict, usual, threshold FROM commerce_private.conversion_windows ORDER BY starts_at DESC LIMIT 1', $$VALUES ('BAD', 50.00, 30.00)$$, '28 % is bad where 50 % is usual: below 60 % of it');
DELETE FROM commerce_private.conversion_windows WHERE ends_at = :'complete_until';
SELECT pg_temp.sheets(:kim, :cup, :'complete_until'::timestamptz - interval '1 second', 10, 4);
SELECT is(commerce.check_conversion(), 1, 'again, with some more');
SELECT results_eq('SELECT verdict, sheets, paid FROM commerce_private.conversion_windows ORDER BY starts_at DESC LIMIT 1', $$VALUES ('GOOD', 60::bigint, 18::bigint)$$, '30 % is not below 30 %');
DELETE FROM commerce.order_sheets WHERE created_at < now() - interval '6 days';
DELETE FROM commerce_private.conversion_windows WHERE ends_at = :'complete_until';
SELECT commerce.check_conversion() \g /dev/null
SELECT ok((SELECT usual FROM commerce_private.conversion_windows ORDER BY starts_at DESC LIMIT 1) = 50.00, 'of 50 sheets and more');

-- Settings; too long ago; the job
DELETE FROM commerce.order_sheets;
DELETE FROM commerce_private.conversion_windows;
SET commerce.conversion_floor = 80;
SELECT commerce.check_conversion() \g /dev/null
SELECT is(pg_temp.window(:kim, :cup, :'complete_until', 50, 39), 'BAD 50 39 80.00 f', 'conversion_floor can be set');
RESET commerce.conversion_floor;
DELETE FROM commerce_private.conversion_windows;
SET commerce.conversion_window = '1h';
SELECT is(commerce.check_conversion(), 6, 'so can conversion_window');
SELECT is((SELECT min(ends_at - starts_at) FROM commerce_private.conversion_windows), interval '1 hour', 'windows of an hour');
RESET commerce.conversion_window;
DELETE FROM commerce_private.conversion_windows;
INSERT INTO commerce_private.conversion_windows (starts_at, ends_at, sheets, paid, threshold, verdict, alerting, event_key)
	SELECT d, d + interval '10 minutes', 50, 0, 5, 'BAD', false, '0' FROM unnest(ARRAY[date_trunc('hour', now() - interval '31 days'), date_trunc('hour', now() - interval '1 day')]) d;
SELECT is(commerce_private.run_job('check-conversion'), 6::bigint, 'after a pause the last six, by the job');
SELECT is((SELECT count(*) FROM commerce_private.conversion_windows), 7::bigint, 'what is older than 30 days goes');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT finish();
