-- Monitoring: what an operator alerts on, as names and numbers. It is asked for every few seconds, so it reads
-- what api/status reads, and nothing that grows with the shop.

CREATE FUNCTION commerce_private.refusals(OUT code text, OUT count bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_refusals';
COMMENT ON FUNCTION commerce_private.refusals() IS
	'how often each error of error_codes() was raised in this database since the server''s start; empty when the library is not preloaded';

CREATE FUNCTION commerce_private.metrics_of_server()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, '{}'::jsonb, m.value
	FROM (SELECT m.state, m.last_fold_at FROM (SELECT) one
		  LEFT JOIN commerce.maintenance m ON m.database = pg_catalog.current_database()) w
	CROSS JOIN (SELECT max(o.era) AS era, count(o.rebase_mark) AS rebasing FROM commerce_private.origin o) o
	CROSS JOIN (SELECT max(r.finished_at) AS fold_at FROM commerce_private.job_runs r WHERE r.name = 'fold') j
	CROSS JOIN (SELECT coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - min(h.since) FILTER (WHERE h.holds_folding)), 0) AS seconds,
					   coalesce(max(h.age), 0) AS xids FROM commerce.horizon h) h
	CROSS JOIN (SELECT count(*) AS counters, coalesce(sum(e.in_flight), 0) AS in_flight, coalesce(sum(e.waiters), 0) AS waiters,
					   coalesce(sum(e.loads), 0) AS loads, coalesce(max(e.evictions), 0) AS evictions FROM commerce.escrow e) e
	CROSS JOIN (SELECT coalesce(sum(s.bytes), 0) AS bytes,
					   count(*) FILTER (WHERE s.held_by IS NOT NULL AND s.retained_until < pg_catalog.statement_timestamp()) AS held
				FROM commerce.outbox_segments s) s
	CROSS JOIN (SELECT max(s.ended_at) AS ended_at, coalesce(sum(pg_catalog.jsonb_array_length(s.found)), 0) AS found FROM commerce.scrub s) b
	CROSS JOIN LATERAL (VALUES
		('commerce_era', o.era),
		('commerce_rebasing', o.rebasing),
		('commerce_worker_up', CASE WHEN w.state IN ('WORKING', 'IDLE') THEN 1 WHEN w.state IS NOT NULL THEN 0 END),
		('commerce_last_fold_timestamp_seconds', extract(epoch FROM greatest(w.last_fold_at, j.fold_at))),
		('commerce_horizon_age_seconds', greatest(h.seconds, 0)),
		('commerce_horizon_transactions', h.xids),
		('commerce_escrow_counters', e.counters),
		('commerce_escrow_in_flight_units', e.in_flight),
		('commerce_escrow_waiting_sessions', e.waiters),
		('commerce_escrow_loads', e.loads),
		('commerce_escrow_evictions_total', e.evictions),
		('commerce_scrub_last_round_timestamp_seconds', extract(epoch FROM b.ended_at)),
		('commerce_scrub_found', b.found),
		('commerce_outbox_bytes', s.bytes),
		('commerce_outbox_held_segments', s.held)) AS m (name, value)
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_server() IS 'part server of metrics()';

CREATE FUNCTION commerce_private.metrics_of_jobs()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, pg_catalog.jsonb_build_object('task', j.name), m.value
	FROM commerce.job_status j
	LEFT JOIN commerce.maintenance w
		-- which does these as well
		ON w.database = pg_catalog.current_database() AND w.state IN ('WORKING', 'IDLE') AND j.name IN ('fold', 'expire-pending-orders')
	CROSS JOIN LATERAL (VALUES
		('commerce_job_last_finished_timestamp_seconds', extract(epoch FROM j.last_finished_at)),
		('commerce_job_last_rows', j.last_rows),
		('commerce_job_backlog', j.backlog),
		('commerce_job_failures_total', coalesce(j.failures, 0)),
		('commerce_job_failed', (j.state = 'FAILED')::int),
		('commerce_job_overdue', (j.state = 'OVERDUE' AND w.state IS NULL)::int)) AS m (name, value)
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_jobs() IS 'part jobs of metrics()';

CREATE FUNCTION commerce_private.metrics_of_subscriptions()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, pg_catalog.jsonb_build_object('subscription', s.name), m.value
	FROM pg_catalog.jsonb_to_recordset(commerce_private.status_of_subscriptions())
		AS s (name text, state text, lag_events bigint, lag_seconds numeric, parked bigint, dead_letters bigint, last_success_at timestamptz)
	JOIN commerce.subscriptions u ON u.name = s.name
	CROSS JOIN LATERAL (VALUES
		('commerce_subscription_lag_events', s.lag_events),
		('commerce_subscription_lag_seconds', greatest(s.lag_seconds, 0)),
		('commerce_subscription_parked_events', s.parked),
		('commerce_subscription_dead_letters', s.dead_letters),
		('commerce_subscription_delivered_total', u.delivered),
		('commerce_subscription_failures_total', u.failures),
		('commerce_subscription_paused', (s.state = 'PAUSED')::int),
		('commerce_subscription_without_relay', (s.state = 'WAITING')::int),
		('commerce_subscription_last_success_timestamp_seconds', extract(epoch FROM s.last_success_at))) AS m (name, value)
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_subscriptions() IS 'part subscriptions of metrics()';

CREATE FUNCTION commerce_private.metrics_of_waiting()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, pg_catalog.jsonb_build_object('kind', w.kind), m.value
	FROM pg_catalog.jsonb_to_recordset(commerce_private.status_of_waiting()) AS w (kind text, count bigint, oldest timestamptz)
	CROSS JOIN LATERAL (VALUES
		('commerce_waiting_count', w.count),
		('commerce_waiting_oldest_seconds', greatest(coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - w.oldest), 0), 0))) AS m (name, value)
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_waiting() IS 'part waiting of metrics()';

CREATE FUNCTION commerce_private.metrics_of_refusals()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'commerce_refusals_total', pg_catalog.jsonb_build_object('code', r.code), r.count FROM commerce_private.refusals() r
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_refusals() IS 'part refusals of metrics()';

CREATE FUNCTION commerce_private.metrics_of_orders()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	most CONSTANT bigint := 100000;
	since timestamptz := pg_catalog.statement_timestamp() - interval '5 minutes';
	first bigint := greatest(commerce_private.first_order_since(since), (SELECT max(o.id) FROM commerce.orders o) - most + 1);
BEGIN
	RETURN QUERY
	SELECT m.name, pg_catalog.jsonb_build_object('status', s.status), m.value
	FROM pg_catalog.unnest(pg_catalog.enum_range(NULL::commerce.order_status)) AS s (status)
	LEFT JOIN (SELECT o.status, count(*) AS orders FROM commerce.orders o
			   WHERE o.id >= first AND o.created_at >= since AND NOT o.imported GROUP BY o.status) r ON r.status = s.status
	LEFT JOIN (SELECT t.status, t.frequency * c.reltuples AS orders
			   FROM pg_catalog.pg_stats p
			   JOIN pg_catalog.pg_class c ON c.oid = 'commerce.orders'::regclass
			   CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(p.most_common_vals::text::text[]), pg_catalog.unnest(p.most_common_freqs)) AS t (status, frequency)
			   WHERE p.schemaname = 'commerce' AND p.tablename = 'orders' AND p.attname = 'status' AND c.reltuples > 0) e ON e.status = s.status::text
	CROSS JOIN LATERAL (VALUES
		('commerce_orders_of_five_minutes', coalesce(r.orders, 0)::double precision),
		('commerce_orders_about', coalesce(e.orders, 0)::double precision)) AS m (name, value);
END
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_orders() IS 'part orders of metrics()';

-- Slots are of cell 0, the subscription of the others; without cells there is neither.
CREATE FUNCTION commerce_private.metrics_of_cells()
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, '{}'::jsonb, m.value
	FROM commerce_private.cell c
	CROSS JOIN (SELECT count(*) AS transfers, min(o.at) AS oldest
				FROM (SELECT t.at FROM commerce.open_transfers t ORDER BY t.at LIMIT 10000) o) o
	CROSS JOIN LATERAL (VALUES
		('commerce_open_transfers', o.transfers::double precision),
		('commerce_open_transfers_oldest_seconds', greatest(coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - o.oldest), 0), 0))) AS m (name, value)
	UNION ALL
	SELECT m.name, pg_catalog.jsonb_build_object('slot', s.slot_name), m.value
	FROM pg_catalog.pg_replication_slots s
	CROSS JOIN LATERAL (VALUES
		('commerce_catalogue_slot_up', s.active::int::double precision),
		('commerce_catalogue_slot_lost', (s.wal_status = 'lost')::int),
		('commerce_catalogue_slot_lag_bytes', CASE WHEN NOT pg_catalog.pg_is_in_recovery()
			THEN greatest(pg_catalog.pg_current_wal_lsn() - s.confirmed_flush_lsn, 0) END)) AS m (name, value)
	WHERE s.slot_name ~ '^commerce_cell_[0-9]+$' AND s.database = pg_catalog.current_database()
	UNION ALL
	SELECT m.name, '{}', m.value
	FROM pg_catalog.pg_subscription u
	JOIN pg_catalog.pg_database d ON d.oid = u.subdbid AND d.datname = pg_catalog.current_database()
	CROSS JOIN LATERAL (SELECT count(w.pid) AS workers, max(w.last_msg_receipt_time) AS heard_at
						FROM pg_catalog.pg_stat_subscription w WHERE w.subid = u.oid AND w.relid IS NULL) w
	CROSS JOIN LATERAL (SELECT count(*) AS copying FROM pg_catalog.pg_subscription_rel r WHERE r.srsubid = u.oid AND r.srsubstate <> 'r') r
	LEFT JOIN pg_catalog.pg_stat_subscription_stats e ON e.subid = u.oid
	CROSS JOIN LATERAL (VALUES
		('commerce_catalogue_up', least(w.workers, 1)::double precision),
		('commerce_catalogue_silent_seconds', CASE WHEN w.heard_at IS NOT NULL THEN greatest(extract(epoch FROM pg_catalog.clock_timestamp() - w.heard_at), 0) END),
		('commerce_catalogue_errors_total', e.apply_error_count + e.sync_error_count),
		('commerce_catalogue_copying_tables', r.copying)) AS m (name, value)
	-- to a standby it comes with all else
	WHERE u.subname = 'commerce_catalogue' AND NOT pg_catalog.pg_is_in_recovery()
$$;
COMMENT ON FUNCTION commerce_private.metrics_of_cells() IS 'part cells of metrics(): nothing in a shop of one cell';

CREATE FUNCTION commerce.metrics(part text DEFAULT NULL)
RETURNS TABLE (name text, labels jsonb, value double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('part', metrics.part);
	IF metrics.part <> ALL ('{server,jobs,subscriptions,waiting,refusals,orders,cells}') THEN
		PERFORM commerce_private.raise_invalid('part', 'must be server, jobs, subscriptions, waiting, refusals, orders or cells');
	END IF;
	RETURN QUERY
	SELECT m.name, m.labels, m.value
	FROM (SELECT * FROM commerce_private.metrics_of_server() WHERE coalesce(metrics.part, 'server') = 'server'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_jobs() WHERE coalesce(metrics.part, 'jobs') = 'jobs'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_subscriptions() WHERE coalesce(metrics.part, 'subscriptions') = 'subscriptions'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_waiting() WHERE coalesce(metrics.part, 'waiting') = 'waiting'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_refusals() WHERE coalesce(metrics.part, 'refusals') = 'refusals'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_orders() WHERE coalesce(metrics.part, 'orders') = 'orders'
		  UNION ALL SELECT * FROM commerce_private.metrics_of_cells() WHERE coalesce(metrics.part, 'cells') = 'cells') m
	WHERE m.value IS NOT NULL;
END
$$;
COMMENT ON FUNCTION commerce.metrics(text) IS
	'what an operator alerts on, as numbers for a monitoring system: all, or one part. docs/monitoring.md says what each means. Cheap: it reads nothing that grows with the shop, and counts up to 10 000. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce.grant_monitor(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	views CONSTANT regclass[] := '{commerce.job_status,commerce.maintenance,commerce.escrow,commerce.horizon,commerce.subscription_status,commerce.outbox_segments,commerce.scrub}'::regclass[];
BEGIN
	PERFORM commerce_private.require_role(grant_monitor.role);
	PERFORM commerce_private.close_row_types();
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce TO %s', grant_monitor.role);
	EXECUTE pg_catalog.format('GRANT SELECT ON TABLE %s TO %s', pg_catalog.array_to_string(views, ', '), grant_monitor.role);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION commerce.metrics(text), %s TO %s',
		(SELECT pg_catalog.string_agg(f::text, ', ') FROM commerce_private.view_functions(views) f), grant_monitor.role);
END
$$;
COMMENT ON FUNCTION commerce.grant_monitor(regrole) IS
	'lets a monitoring role call metrics() and read job_status, maintenance, escrow, horizon, subscription_status, outbox_segments and scrub, and nothing of the shop''s data; for the owner of the extension. revoke_app() takes it back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
