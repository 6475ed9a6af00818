-- The state of the shop: what is wrong is said, in figures that are right, and at a price that does not grow with the shop.
-- role: postgres

SELECT no_plan();
\ir api_helpers.psql

CREATE FUNCTION tap.status(path text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_path_query_array(r.data, path::jsonpath) FROM tap.http('admin 5', 'shop_status') r
$$;
CREATE FUNCTION tap.problems() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(concat_ws(' ', CASE WHEN (p->>'bad')::boolean THEN '!' ELSE '' END || (p->>'code'), p->>'subject', p->>'count', p->>'detail'), '; ' ORDER BY n), '')
	FROM jsonb_array_elements(tap.status('$.problems[*]')) WITH ORDINALITY x (p, n)
	WHERE p->>'code' NOT IN ('HORIZON_HELD')
$$;
CREATE FUNCTION tap.waits(kind text) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s', w->>'count', CASE WHEN w->'oldest' <> 'null' THEN 'since ' || age(date_trunc('minute', now() + interval '30 seconds'), date_trunc('minute', (w->>'oldest')::timestamptz + interval '30 seconds')) END)
	FROM jsonb_array_elements(tap.status(format('$.waiting[*] ? (@.kind == "%s")', kind))) w
$$;
SET intervalstyle = 'postgres_verbose';
-- the worker folds and ends orders as well as jobs do, and is not there in every form of the server
CREATE FUNCTION tap.without_worker(names text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN tap.status('$.worker') <@ '["WORKING", "IDLE"]' THEN regexp_replace(regexp_replace(names, '(expire-pending-orders|fold), ', '', 'g'), '11', '9') ELSE names END
$$;

-- Jobs
UPDATE commerce.subscriptions SET era = 9223372036854775807;
SELECT is(tap.problems(), tap.without_worker('DIRECT_CHARGE; JOBS_NOT_SCHEDULED archive, check-conversion, confirm-delivered-items, expire-coupons, expire-pending-orders, fold, popular-products, purge-idempotency-keys, purge-order-sheets, purge-outbox, scrub 11'),
	'a shop whose jobs were never run');
SELECT commerce_private.run_job(name) FROM commerce_private.jobs \g /dev/null
SET commerce.direct_charge = off;
SELECT is(tap.problems(), '', 'a shop that is well');
CREATE TEMPORARY TABLE allowed (name text, last interval);
INSERT INTO allowed VALUES ('popular-products', '4 minutes'), ('purge-outbox', '22 minutes'), ('purge-order-sheets', '122 minutes');
SELECT is_empty($$SELECT j.schedule FROM commerce_private.jobs j WHERE j.schedule !~ '^((\*|\*/\d+|\d+) \*|\d+ \d+) \* \* \*$'$$, 'schedules are such that their period is known');
UPDATE commerce_private.job_runs r SET finished_at = now() - a.last + interval '20 seconds' FROM allowed a WHERE a.name = r.name;
SELECT is(tap.problems(), '', 'jobs may be late by two periods and two minutes');
UPDATE commerce_private.job_runs r SET finished_at = now() - a.last - interval '1 second' FROM allowed a WHERE a.name = r.name;
SELECT is(tap.problems(), '!JOBS_OVERDUE popular-products, purge-order-sheets, purge-outbox 3', 'and not more');
SELECT is(tap.status('$.problems[0].since')->>0, to_jsonb(max(r.finished_at))->>0, 'it says when one of them was seen last') FROM commerce_private.job_runs r JOIN allowed USING (name);
SELECT commerce_private.run_job(name) FROM commerce_private.jobs \g /dev/null
CREATE FUNCTION tap.divide() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN 1 / 0; END';
CREATE TRIGGER dba_fail BEFORE DELETE ON commerce_private.idempotency_keys FOR EACH STATEMENT EXECUTE FUNCTION tap.divide();
SET client_min_messages = error;
SELECT commerce_private.run_job('purge-idempotency-keys') \g /dev/null
RESET client_min_messages;
SELECT is(tap.problems(), '!JOB_FAILED purge-idempotency-keys division by zero (SQLSTATE 22012)', 'a job that failed');
DROP TRIGGER dba_fail ON commerce_private.idempotency_keys;
SELECT commerce_private.run_job('purge-idempotency-keys') \g /dev/null
SELECT is(tap.problems(), '', 'and ran again');

-- Subscriptions
SELECT commerce.subscribe('partner'), commerce.set_http_sink('partner', 'https://partner.example/') \g /dev/null
SELECT is(tap.problems(), '!NO_RELAY partner 1', 'a sink without a relay');
SELECT is(tap.status('$.subscriptions[*] ? (@.name == "partner").lag_events')->>0, count(*)::text, 'what it has not had yet') FROM commerce.outbox;
SELECT pg_advisory_lock_shared(commerce_private.subscription_lock_key('partner')) \g /dev/null
SELECT commerce.pause_subscription('partner', 'moving') \g /dev/null
SELECT is(tap.problems(), 'SUBSCRIPTION_PAUSED partner moving', 'a pause, and why');
SELECT commerce.resume_subscription('partner') \g /dev/null
UPDATE commerce.subscriptions SET era = 0 WHERE name = 'warehouse';
UPDATE commerce.outbox SET created_at = now() - interval '10 minutes';
SELECT is(tap.problems(), '!NO_RELAY partner 1; SUBSCRIPTION_BEHIND warehouse', 'a client that is late');
UPDATE commerce.outbox SET created_at = now() - interval '2 hours';
SELECT is(tap.problems(), '!NO_RELAY partner 1; !SUBSCRIPTION_BEHIND warehouse', 'and very late');
UPDATE commerce.subscriptions SET event_types = '{ProductCreated}' WHERE name = 'warehouse';
SELECT is(tap.status('$.subscriptions[*] ? (@.name == "warehouse").lag_events')->>0, count(*)::text, 'only what it wants counts') FROM commerce.outbox WHERE type = 'ProductCreated';
UPDATE commerce.subscriptions SET event_types = '{OrderImported}' WHERE name = 'warehouse';
SELECT is(tap.problems(), '!NO_RELAY partner 1', 'of nothing that it wants it is not late');
SELECT commerce_private.park_events('partner', ARRAY(SELECT commerce_private.format_position(era, key, position) FROM commerce.outbox ORDER BY era, key, position LIMIT 2)) \g /dev/null
UPDATE commerce_private.parked_events SET died_at = now() - interval '3 hours';
SELECT is(tap.waits('DEAD_LETTERS'), '2 since @ 3 hours', 'dead letters'), is(tap.problems(), '!DEAD_LETTERS 2; !NO_RELAY partner 1', 'are a problem');
SELECT commerce.unsubscribe('partner') \g /dev/null
INSERT INTO commerce_private.parked_payment_results (message, origin, died_at) VALUES ('x', 't/0/1', now() - interval '1 hour');
SELECT is(tap.waits('DEAD_PAYMENT_RESULTS'), '1 since @ 1 hour', 'a payment result that nobody understands'), is(tap.problems(), '!DEAD_PAYMENT_RESULTS 1', 'is a problem');
DELETE FROM commerce_private.parked_payment_results;

-- Orders: revenue is what was not given back
SELECT is(tap.status('$.orders.placed') || tap.status('$.orders.revenue') || tap.status('$.orders.refunded'), '[0, 0, 0]', 'nothing was sold');
SELECT commerce.place_order(1, '[{"product_id": 2, "quantity": 3}]'), commerce.place_order(2, '[{"product_id": 2, "quantity": 1}]'),
	   commerce.place_order(2, '[{"product_id": 2, "quantity": 1}]', payment_method => 'EXTERNAL'), commerce.place_order(2, '[{"product_id": 2, "quantity": 1}]', payment_method => 'EXTERNAL') \g /dev/null
SELECT commerce.cancel_order(1, 'BUYER', 1), commerce.refund_order(2, 500, NULL, 'sorry') \g /dev/null
SELECT commerce.import_order('{"user_id": 1, "items": [{"product_id": 1, "quantity": 2, "unit_price": 9000}], "payment_amount": 18000, "paid_at": "2019-05-05T12:00:00+09:00"}') \g /dev/null
UPDATE commerce.orders SET created_at = now() WHERE imported;
SELECT is(tap.status('$.orders.placed') || tap.status('$.orders.paid') || tap.status('$.orders.revenue') || tap.status('$.orders.refunded'), '[4, 2, 7500, 24500]',
	'orders of the last hour, what they brought, and what was given back');
UPDATE commerce.orders o SET created_at = date_trunc('minute', now()) - a.ago
FROM (VALUES (1, interval '59 minutes'), (2, interval '59 minutes 1 second'), (3, interval '1 minute'), (4, interval '-1 second')) a (id, ago) WHERE o.id = a.id;
SELECT is(tap.status('$.orders.per_minute[0]') || tap.status('$.orders.per_minute[58]') || tap.status('$.orders.per_minute[59]'), '[1, 1, 1]', 'each in the minute in which it was placed'),
	   is(tap.status('$.orders.placed'), '[3]', 'none but those of the last 60 minutes');
UPDATE commerce.orders SET created_at = now() - interval '20 minutes' WHERE status = 'PENDING_PAYMENT';
SELECT is(tap.waits('UNPAID_ORDERS'), '2 since @ 20 mins', 'orders that wait for their money'), is(tap.waits('OVERDUE_ORDERS'), '0 ', 'in time'), is(tap.problems(), '', 'are no problem');
UPDATE commerce.orders SET expires_at = now() - interval '6 minutes' WHERE id = 3;
SELECT is(tap.waits('OVERDUE_ORDERS'), '1 since @ 6 mins', 'one that nobody has ended'), is(tap.problems(), '!OVERDUE_ORDERS 1', 'is one');
UPDATE commerce.orders SET expires_at = now() + interval '6 minutes' WHERE id = 3;

-- What waits for somebody
CREATE TEMPORARY TABLE item AS SELECT i.id FROM commerce.order_items i WHERE i.order_id = 2;
SELECT commerce.change_item_status(id, s.status::commerce.order_item_status, 'ADMIN') FROM item, (VALUES ('DISPATCHED'), ('IN_TRANSIT'), ('DELIVERED'), ('RETURN_REQUESTED')) s (status) \g /dev/null
UPDATE commerce.order_item_events e SET at = now() - interval '2 days' FROM item WHERE e.order_item_id = item.id AND e.event = 'RETURN_REQUESTED';
SELECT is(tap.waits('RETURNS'), '1 since @ 2 days', 'a return that was asked for');
SELECT commerce.change_item_status(id, s.status::commerce.order_item_status, 'ADMIN') FROM item, (VALUES ('RETURN_PROCESSING'), ('DELIVERED'), ('EXCHANGE_REQUESTED')) s (status) \g /dev/null
SELECT is(tap.waits('RETURNS'), '0 ', 'and refused'), matches(tap.waits('EXCHANGES'), '^1 since', 'an exchange');
SELECT commerce.place_order(1, '[{"product_id": 2, "quantity": 1}]') \g /dev/null
SELECT commerce.change_item_status(max(id), 'CANCEL_REQUESTED', 'BUYER', 1) FROM commerce.order_items \g /dev/null
SELECT matches(tap.waits('CANCELLATIONS'), '^1 since', 'a cancellation that its seller has to agree to');
SELECT commerce.confirm_payment(3, true, 'a'), commerce.confirm_payment(3, true, 'b') \g /dev/null
SELECT matches(tap.waits('UNEXPECTED_PAYMENTS'), '^1 since', 'money that nobody asked for');
SELECT commerce.return_payment(id) FROM commerce.payments WHERE status = 'UNEXPECTED' \g /dev/null
SELECT is(tap.waits('UNEXPECTED_PAYMENTS'), '0 ', 'is done with when it is given back'), matches(tap.waits('REFUNDS'), '^1 since', 'which the provider has to answer');
SELECT commerce.report_refund(id, false, 'no') FROM commerce.payments WHERE kind = 'REFUND' AND status = 'REQUESTED' \g /dev/null
SELECT is(tap.waits('REFUNDS'), '0 ', 'it has'), matches(tap.waits('FAILED_REFUNDS'), '^1 since', 'and could not'), matches(tap.waits('UNEXPECTED_PAYMENTS'), '^1 since', 'so that it is still here');
SELECT commerce.return_payment(id) FROM commerce.payments WHERE status = 'UNEXPECTED' \g /dev/null
SELECT is(tap.waits('FAILED_REFUNDS'), '0 ', 'what is tried again did not fail'), is(tap.waits('UNEXPECTED_PAYMENTS'), '0 ', 'nor is it here');

-- What sells and what runs out
SELECT commerce.adjust_stock(2, 1 - commerce.available_stock(2)) \g /dev/null
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(tap.status('$.running_out[*].product_id') || tap.status('$.running_out[*].stock') || tap.status('$.running_out[*].seller_name'), '[2, 1, "Mugs"]', 'a product of which less is there than was sold in three days');
SELECT is(tap.status('$.units_per_day[13].units'), to_jsonb(ARRAY[sum(units)]), 'units of today') FROM (TABLE commerce.product_daily_sales UNION ALL TABLE commerce_private.unfolded_sales) t WHERE day = commerce_private.local_date();
SELECT commerce.adjust_stock(2, 100) \g /dev/null
SELECT is(tap.status('$.running_out'), '[[]]', 'and not when there is enough');

-- A shop with a history: orders of a year, and, before and after them, imported ones, which are older than their ids
INSERT INTO commerce.orders (user_id, status, payment_method, created_at, paid_at, items_total, item_discount_total, order_discount, shipping_total, payment_amount, event_key, imported)
SELECT 1, 'COMPLETED', 'BALANCE', t.at, t.at, 1000, 0, 0, 0, 1000, 0, t.imported
FROM (SELECT n, n <= 2000 OR n > 8000 AS imported, CASE WHEN n <= 2000 OR n > 8000 THEN timestamptz '2019-01-01' + n * interval '1 hour' ELSE now() - (8000 - n) * interval '1 hour' END AS at
	  FROM generate_series(1, 8500) n) t ORDER BY n;
ANALYZE commerce.orders;
CREATE TABLE tap.moments AS
SELECT t.moment, t.most, commerce_private.first_order_since(t.moment) AS first
FROM (VALUES (now() - interval '1 minute', 510), (now() - interval '1 hour', 510), (now() - interval '90 minutes', 520), (now() - interval '100 hours', 610), (now() + interval '1 hour', 510)) t (moment, most);
SELECT is_empty(format('SELECT id FROM commerce.orders WHERE id < %s AND created_at >= %L AND NOT imported AND id > 10', first, moment), format('no order since %s is left out', moment)),
	   cmp_ok((SELECT count(*) FROM commerce.orders o WHERE o.id >= m.first), '<', m.most::bigint, 'and not many others come with them')
FROM tap.moments m;
SELECT is(commerce_private.first_order_since('2000-01-01'), 0::bigint, 'of all time: all of them');
CREATE FUNCTION tap.most_read(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	CREATE TEMPORARY TABLE before ON COMMIT DROP AS SELECT s.relid, s.seq_tup_read + coalesce(s.idx_tup_fetch, 0) AS rows FROM pg_stat_xact_user_tables s;
	EXECUTE statement;
	SELECT string_agg(s.relname, ', ' ORDER BY s.relname) INTO result
	FROM pg_stat_xact_user_tables s LEFT JOIN before b USING (relid)
	WHERE s.schemaname LIKE 'commerce%' AND s.seq_tup_read + coalesce(s.idx_tup_fetch, 0) - coalesce(b.rows, 0) > 1000;
	RETURN result;
END
$$;
SELECT is(tap.most_read('SELECT commerce_private.api_shop_status()'), NULL, 'the state of the shop is told without reading what is old');
SELECT is(tap.most_read('SELECT count(*) FROM commerce.orders WHERE paid_at > now() - interval ''1 year'''), 'orders', 'which would be seen');
SELECT * FROM finish();
