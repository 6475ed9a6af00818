-- REST: the state of the shop at a glance, as the page rpc/operator shows it. It is asked for every few
-- seconds: nothing here reads all of a table that grows, and what is counted is counted up to 10 000.

-- Ids of orders grow with time, but for imported ones, which came when the shop moved in. From the newest
-- back in growing steps, until an order is too old; then by halves in between.
CREATE FUNCTION commerce_private.first_order_since(moment timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	newest bigint := (SELECT max(o.id) FROM commerce.orders o);
	low bigint := 0;
	high bigint := newest;
	step bigint := 1;
	middle bigint;
	found_order record;
BEGIN
	WHILE low < high LOOP
		middle := CASE WHEN step > 0 THEN greatest(newest - step, 0) ELSE low + (high - low) / 2 END;
		SELECT o.id, NOT o.imported AND o.created_at < first_order_since.moment AS older INTO found_order
		FROM commerce.orders o WHERE o.id >= middle ORDER BY o.id LIMIT 1;
		IF found_order.older THEN
			low := found_order.id + 1;
			step := 0;
		ELSE
			high := middle;
			step := step * 2;
		END IF;
	END LOOP;
	RETURN low;
END
$$;
COMMENT ON FUNCTION commerce_private.first_order_since(timestamptz) IS
	'an id that is at most that of the first order since then, and not much less; found by looking at a few dozen';

CREATE FUNCTION commerce_private.status_of_orders()
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	most CONSTANT bigint := 200000;
	since timestamptz := pg_catalog.date_trunc('minute', pg_catalog.statement_timestamp()) - interval '59 minutes';
	first bigint := commerce_private.first_order_since(since);
	newest bigint := (SELECT max(o.id) FROM commerce.orders o);
BEGIN
	IF newest - first >= most THEN
		first := newest - most + 1;
		SELECT pg_catalog.date_trunc('minute', o.created_at) + interval '1 minute' INTO since
		FROM commerce.orders o WHERE o.id >= first AND NOT o.imported ORDER BY o.id LIMIT 1;
	END IF;
	RETURN (
		SELECT pg_catalog.jsonb_build_object('since', since, 'placed', coalesce(sum(c.placed), 0), 'paid', coalesce(sum(c.paid), 0),
				'revenue', coalesce(sum(c.revenue), 0), 'refunded', coalesce(sum(c.refunded), 0),
				'per_minute', pg_catalog.jsonb_agg(CASE WHEN m.minute >= since THEN coalesce(c.placed, 0) END ORDER BY m.minute))
		FROM pg_catalog.generate_series(0, 59) AS n (ago)
		CROSS JOIN LATERAL (SELECT pg_catalog.date_trunc('minute', pg_catalog.statement_timestamp()) - n.ago * interval '1 minute' AS minute) m
		LEFT JOIN (SELECT pg_catalog.date_trunc('minute', o.created_at) AS minute, count(*) AS placed, count(o.paid_at) AS paid,
						  sum(o.payment_amount - o.refunded_amount) FILTER (WHERE o.paid_at IS NOT NULL) AS revenue,
						  sum(o.refunded_amount) FILTER (WHERE o.paid_at IS NOT NULL) AS refunded
				   FROM commerce.orders o
				   WHERE o.id >= first AND o.created_at >= since AND NOT o.imported
				   GROUP BY 1) c ON c.minute = m.minute);
END
$$;
COMMENT ON FUNCTION commerce_private.status_of_orders() IS
	'orders of the last 60 minutes by the clock, or of as many of them as the last 200 000 orders are from';

-- Each part walks an index that was made for it, and ends early.
CREATE FUNCTION commerce_private.status_of_waiting()
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
	WITH requests AS (
		SELECT CASE WHEN i.status IN ('CANCEL_REQUESTED', 'CANCEL_PROCESSING') THEN 'CANCELLATIONS'
					WHEN i.status IN ('RETURN_REQUESTED', 'RETURN_PROCESSING') THEN 'RETURNS' ELSE 'EXCHANGES' END AS kind, e.at
		FROM (SELECT t.status, t.id, t.last_event FROM commerce.order_items t
			  WHERE t.status IN ('CANCEL_REQUESTED', 'CANCEL_PROCESSING', 'RETURN_REQUESTED', 'RETURN_PROCESSING', 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING')
			  LIMIT 10000) i
		JOIN commerce.order_item_events e ON e.order_item_id = i.id AND e.ordinal = i.last_event
	), payments AS (
		SELECT CASE WHEN p.status = 'UNEXPECTED' THEN 'UNEXPECTED_PAYMENTS' WHEN p.status = 'FAILED' THEN 'FAILED_REFUNDS' ELSE 'REFUNDS' END AS kind, p.at
		FROM (SELECT t.id, t.status, t.at, t.refund_of FROM commerce.payments t
			  WHERE (t.status = 'UNEXPECTED' AND t.kind <> 'REFUND') OR (t.kind = 'REFUND' AND t.status IN ('REQUESTED', 'FAILED'))
			  LIMIT 10000) p
		-- what was given back, and what was tried again, is done
		WHERE p.status = 'REQUESTED'
		   OR NOT EXISTS (SELECT FROM commerce.payments r
						  WHERE r.status <> 'FAILED' AND (r.refund_of = p.id OR (r.refund_of = p.refund_of AND r.id > p.id)))
	), waiting AS (
		SELECT * FROM requests
		UNION ALL SELECT * FROM payments
		UNION ALL (SELECT 'UNPAID_ORDERS', o.created_at FROM commerce.orders o WHERE o.status = 'PENDING_PAYMENT' ORDER BY o.expires_at LIMIT 10000)
		UNION ALL (SELECT 'OVERDUE_ORDERS', o.expires_at FROM commerce.orders o
				   WHERE o.status = 'PENDING_PAYMENT' AND o.expires_at < pg_catalog.statement_timestamp() - interval '5 minutes' ORDER BY o.expires_at LIMIT 10000)
		UNION ALL (SELECT 'DEAD_LETTERS', d.died_at FROM commerce.dead_letters d LIMIT 10000)
		UNION ALL (SELECT 'DEAD_PAYMENT_RESULTS', r.died_at FROM commerce_private.parked_payment_results r WHERE r.died_at IS NOT NULL LIMIT 10000)
	)
	SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('kind', k.kind, 'count', coalesce(w.waiting, 0), 'oldest', w.oldest) ORDER BY k.ordinality)
	FROM pg_catalog.unnest('{RETURNS,EXCHANGES,CANCELLATIONS,UNPAID_ORDERS,OVERDUE_ORDERS,REFUNDS,FAILED_REFUNDS,UNEXPECTED_PAYMENTS,DEAD_LETTERS,DEAD_PAYMENT_RESULTS}'::text[])
		WITH ORDINALITY AS k (kind, ordinality)
	LEFT JOIN (SELECT g.kind, count(*) AS waiting, min(g.at) AS oldest FROM waiting g GROUP BY g.kind) w ON w.kind = k.kind
$$;
COMMENT ON FUNCTION commerce_private.status_of_waiting() IS 'what waits for somebody: how many of each kind, counted up to 10 000, and since when the oldest';

-- The view subscription_status counts up to a million, as who looks into one wants it.
CREATE FUNCTION commerce_private.status_of_subscriptions()
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
	SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
				'name', s.name, 'state', s.state, 'destination', s.destination, 'lag_events', b.events,
				'lag_seconds', coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - b.oldest), 0), 'parked', s.parked, 'dead_letters', s.dead_letters,
				'paused_at', s.paused_at, 'pause_reason', s.pause_reason, 'last_success_at', s.last_success_at,
				'last_error', s.last_error, 'last_error_at', s.last_error_at) ORDER BY s.name), '[]')
	FROM commerce.subscription_status s
	JOIN commerce.subscriptions u ON u.name = s.name
	CROSS JOIN LATERAL (SELECT count(*) AS events, min(e.created_at) AS oldest
						FROM (SELECT o.type, o.created_at FROM commerce.outbox o
							  WHERE ROW (o.era, o.key, o.position) > ROW (u.era, u.key, u.position)
							  ORDER BY o.era, o.key, o.position LIMIT 10000) e
						WHERE u.event_types IS NULL OR e.type = ANY (u.event_types)) b
$$;
COMMENT ON FUNCTION commerce_private.status_of_subscriptions() IS
	'every subscription, how its deliveries go, and what it wants of the first 10 000 events after its cursor';

CREATE FUNCTION commerce_private.status_of_products(OUT popular jsonb, OUT running_out jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
	WITH sold AS (SELECT * FROM commerce.popular_products(3, 100))
	SELECT (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) ORDER BY s.rank), '[]') FROM sold s WHERE s.rank <= 5),
		   (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(r) ORDER BY r.lasts_days, r.units_sold DESC, r.product_id), '[]')
			FROM (SELECT s.product_id, s.name, v.business_name AS seller_name, greatest(l.units, 0) AS stock, s.units_sold,
						 pg_catalog.round(greatest(l.units, 0) * d.days / s.units_sold, 2) AS lasts_days
				  FROM sold s
				  JOIN commerce.products p ON p.id = s.product_id
				  LEFT JOIN commerce.sellers v ON v.id = p.seller_id
				  CROSS JOIN LATERAL (SELECT t.units FROM commerce_private.stock_left t WHERE t.product_id = s.product_id) l
				  CROSS JOIN (SELECT extract(epoch FROM pg_catalog.statement_timestamp()
								- pg_catalog.timezone(commerce_private.setting('commerce.timezone'), (commerce_private.local_date() - 2)::timestamp)) / 86400 AS days) d
				  WHERE greatest(l.units, 0) * d.days < 3 * s.units_sold
				  ORDER BY lasts_days, s.units_sold DESC, s.product_id LIMIT 10) r)
$$;
COMMENT ON FUNCTION commerce_private.status_of_products() IS
	'the five best sellers of three days, and those of the hundred best whose stock is gone within three days if they sell on as they did';

CREATE FUNCTION commerce_private.status_problems(jobs jsonb, worker text, subscriptions jsonb, waiting jsonb)
RETURNS TABLE (code text, bad boolean, subject text, count bigint, since timestamptz, detail text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH job AS (
		SELECT j.* FROM pg_catalog.jsonb_to_recordset(status_problems.jobs)
			AS j (name text, state text, last_finished_at timestamptz, last_error text, last_error_at timestamptz)
		-- what the worker does as well
		WHERE j.name NOT IN ('fold', 'expire-pending-orders') OR coalesce(status_problems.worker, '') NOT IN ('WORKING', 'IDLE')
	), subscription AS (
		SELECT s.* FROM pg_catalog.jsonb_to_recordset(status_problems.subscriptions)
			AS s (name text, state text, lag_seconds numeric, paused_at timestamptz, pause_reason text, last_success_at timestamptz, last_error text, last_error_at timestamptz)
	), waits AS (
		SELECT w.* FROM pg_catalog.jsonb_to_recordset(status_problems.waiting) AS w (kind text, count bigint, oldest timestamptz)
		WHERE w.count > 0
	)
	SELECT 'REBASING', true, NULL, NULL::bigint, o.recorded_at, NULL FROM commerce_private.origin o WHERE o.rebase_mark IS NOT NULL
	UNION ALL
	SELECT 'BOOKS_WRONG', true, pg_catalog.string_agg(DISTINCT f.invariant, ', '), count(*), max(s.started_at), NULL
	FROM commerce.scrub s CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(s.found) AS f (invariant text) HAVING count(*) > 0
	UNION ALL
	SELECT 'FOREIGN_COLUMNS', false, pg_catalog.string_agg(f.relation || '.' || f.name, ', '), count(*), NULL, NULL
	FROM commerce_private.foreign_columns f HAVING count(*) > 0
	UNION ALL
	SELECT 'EMPTY_PUBLICATIONS', false, pg_catalog.string_agg(p.name, ', ' ORDER BY p.name), count(*), NULL, NULL
	FROM commerce_private.empty_publications p HAVING count(*) > 0
	UNION ALL
	SELECT 'JOBS_OVERDUE', true, pg_catalog.string_agg(j.name, ', ' ORDER BY j.name), count(*), max(j.last_finished_at), NULL
	FROM job j WHERE j.state = 'OVERDUE' HAVING count(*) > 0
	UNION ALL
	SELECT 'JOB_FAILED', true, j.name, NULL, j.last_error_at, j.last_error FROM job j WHERE j.state = 'FAILED'
	UNION ALL
	SELECT 'JOBS_NOT_SCHEDULED', false, pg_catalog.string_agg(j.name, ', ' ORDER BY j.name), count(*), NULL, NULL
	FROM job j WHERE j.state = 'NEVER' HAVING count(*) > 0
	UNION ALL
	SELECT 'NO_WORKER', true, status_problems.worker, NULL, NULL, NULL WHERE status_problems.worker = 'NO_SLOT'
	UNION ALL
	SELECT w.kind, true, NULL, w.count, w.oldest, NULL FROM waits w WHERE w.kind IN ('OVERDUE_ORDERS', 'DEAD_LETTERS', 'DEAD_PAYMENT_RESULTS')
	UNION ALL
	SELECT 'NO_RELAY', true, pg_catalog.string_agg(s.name, ', ' ORDER BY s.name), count(*), max(s.last_success_at), NULL
	FROM subscription s WHERE s.state = 'WAITING' HAVING count(*) > 0
	UNION ALL
	SELECT 'DELIVERY_FAILS', false, s.name, NULL, s.last_error_at, s.last_error
	FROM subscription s WHERE s.state = 'DELIVERING' AND s.last_error_at > coalesce(s.last_success_at, '-infinity')
	UNION ALL
	SELECT 'SUBSCRIPTION_BEHIND', s.lag_seconds > 3600, s.name, NULL, pg_catalog.statement_timestamp() - s.lag_seconds * interval '1 second', NULL
	FROM subscription s WHERE s.state IN ('DELIVERING', 'PULLED') AND s.lag_seconds > 300
	UNION ALL
	SELECT 'SUBSCRIPTION_PAUSED', false, s.name, NULL, s.paused_at, s.pause_reason FROM subscription s WHERE s.state = 'PAUSED'
	UNION ALL
	SELECT 'OUTBOX_HELD', false, o.held_by, count(*), min(o.retained_until), NULL
	FROM commerce.outbox_segments o
	WHERE o.held_by IS NOT NULL AND o.retained_until < pg_catalog.statement_timestamp() - interval '1 hour' GROUP BY o.held_by
	UNION ALL
	SELECT 'HORIZON_HELD', h.since < pg_catalog.statement_timestamp() - interval '1 hour', h.holder, NULL, h.since, pg_catalog.concat_ws(', ', h.kind, h.database, h.detail)
	FROM (SELECT * FROM commerce.horizon t WHERE t.holds_folding LIMIT 1) h
	WHERE h.since < pg_catalog.statement_timestamp() - interval '5 minutes'
	UNION ALL
	SELECT 'CONVERSION_LOW', false, NULL, c.paid, c.ends_at, pg_catalog.format('%s/%s', c.paid, c.sheets)
	FROM (SELECT * FROM commerce_private.conversion_windows t ORDER BY t.starts_at DESC LIMIT 1) c WHERE c.alerting
	UNION ALL
	SELECT 'DIRECT_CHARGE', false, NULL, NULL, NULL, NULL WHERE commerce_private.setting('commerce.direct_charge')::boolean
$$;
COMMENT ON FUNCTION commerce_private.status_problems(jsonb, text, jsonb, jsonb) IS
	'what is not as it should be; bad: somebody should look at it now. docs/rest-setup.md says what each code means';

CREATE FUNCTION commerce_private.api_shop_status()
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	jobs jsonb := (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(j) ORDER BY j.name), '[]')
				   FROM (SELECT t.name, t.state, t.schedule, t.last_finished_at, t.last_rows, t.backlog, t.failures, t.last_error, t.last_error_at
						 FROM commerce.job_status t) j);
	worker text := (SELECT m.state FROM commerce.maintenance m WHERE m.database = pg_catalog.current_database());
	subscriptions jsonb := commerce_private.status_of_subscriptions();
	waiting jsonb := commerce_private.status_of_waiting();
	products record;
BEGIN
	SELECT * INTO products FROM commerce_private.status_of_products();
	RETURN pg_catalog.jsonb_build_object(
		'as_of', pg_catalog.statement_timestamp(),
		'version', (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'commerce'),
		'timezone', commerce_private.setting('commerce.timezone'),
		'currency', (SELECT pg_catalog.to_jsonb(c) FROM commerce_private.shop_currency() c),
		'problems', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p) ORDER BY p.bad DESC, p.code, p.subject), '[]')
					 FROM commerce_private.status_problems(jobs, worker, subscriptions, waiting) p),
		'waiting', waiting,
		'orders', commerce_private.status_of_orders(),
		'units_per_day', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('day', d.day, 'units', coalesce(s.units, 0)) ORDER BY d.day)
						  FROM (SELECT commerce_private.local_date() - n AS day FROM pg_catalog.generate_series(0, 13) n) d
						  LEFT JOIN (SELECT t.day, sum(t.units) AS units
									 FROM (TABLE commerce.product_daily_sales UNION ALL TABLE commerce_private.unfolded_sales) t
									 WHERE t.day > commerce_private.local_date() - 14 GROUP BY t.day) s ON s.day = d.day),
		'popular_products', products.popular,
		'running_out', products.running_out,
		'sheets', (SELECT pg_catalog.jsonb_build_object('last_hour', count(*), 'ordered', count(s.consumed_order_id))
				   FROM (SELECT t.consumed_order_id FROM commerce.order_sheets t
						 WHERE t.created_at > pg_catalog.statement_timestamp() - interval '1 hour' ORDER BY t.created_at DESC LIMIT 200000) s),
		'jobs', jobs,
		'worker', worker,
		'subscriptions', subscriptions,
		'horizon', (SELECT pg_catalog.to_jsonb(h) FROM (SELECT t.kind, t.database, t.holder, t.since, t.age FROM commerce.horizon t
														WHERE t.holds_folding LIMIT 1) h),
		'escrow', (SELECT pg_catalog.jsonb_build_object('counters', count(*), 'in_flight', coalesce(sum(e.in_flight), 0),
						'waiters', coalesce(sum(e.waiters), 0)) FROM commerce.escrow e));
END
$$;
COMMENT ON FUNCTION commerce_private.api_shop_status() IS 'what an operator looks at first';
