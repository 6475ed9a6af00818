-- Conversion: how many order sheets become paid orders, and an alert when too few do.

CREATE VIEW commerce.order_sheet_outcomes AS
	SELECT s.id, s.user_id, s.created_at, s.consumed_order_id AS order_id,
		   o.paid_at IS NOT NULL AS paid,
		   -- what becomes of the sheet is settled: its order is paid or given up, or no order can be made of it
		   CASE WHEN o.id IS NULL THEN s.expires_at <= pg_catalog.statement_timestamp()
				ELSE o.status <> 'PENDING_PAYMENT' END AS matured
	FROM commerce.order_sheets s LEFT JOIN commerce.orders o ON o.id = s.consumed_order_id;
COMMENT ON VIEW commerce.order_sheet_outcomes IS 'order sheets of the last 30 days and whether they became paid orders; matured: it is settled whether they do';

CREATE VIEW commerce.conversion_by_minute AS
	SELECT pg_catalog.date_trunc('minute', s.created_at) AS minute, count(*) AS sheets,
		   count(*) FILTER (WHERE s.matured) AS matured, count(*) FILTER (WHERE s.paid) AS paid,
		   pg_catalog.round(100.0 * count(*) FILTER (WHERE s.paid) / nullif(count(*) FILTER (WHERE s.matured), 0), 2) AS percent
	FROM commerce.order_sheet_outcomes s GROUP BY 1;
COMMENT ON VIEW commerce.conversion_by_minute IS 'order sheets by the minute in which they were made, and how many became paid orders; percent: of the matured ones';

CREATE VIEW commerce.conversion_by_hour AS
	SELECT pg_catalog.date_trunc('hour', s.created_at) AS hour, count(*) AS sheets,
		   count(*) FILTER (WHERE s.matured) AS matured, count(*) FILTER (WHERE s.paid) AS paid,
		   pg_catalog.round(100.0 * count(*) FILTER (WHERE s.paid) / nullif(count(*) FILTER (WHERE s.matured), 0), 2) AS percent
	FROM commerce.order_sheet_outcomes s GROUP BY 1;
COMMENT ON VIEW commerce.conversion_by_hour IS 'order sheets by the hour in which they were made, and how many became paid orders; percent: of the matured ones';

CREATE TABLE commerce_private.conversion_windows (
	starts_at timestamptz PRIMARY KEY,
	ends_at   timestamptz NOT NULL,
	sheets    bigint NOT NULL,
	paid      bigint NOT NULL,
	usual     numeric(5, 2),
	threshold numeric(5, 2) NOT NULL,
	verdict   text NOT NULL CHECK (verdict IN ('GOOD', 'BAD', 'TOO_FEW')),
	alerting  boolean NOT NULL,
	event_key bigint NOT NULL,
	CONSTRAINT conversion_windows_ends_at_check CHECK (starts_at < ends_at),
	CONSTRAINT conversion_windows_paid_check CHECK (paid BETWEEN 0 AND sheets)
);
COMMENT ON TABLE commerce_private.conversion_windows IS 'the windows that check_conversion() has judged in the last 30 days; the alert is on when the last one says so';
COMMENT ON COLUMN commerce_private.conversion_windows.sheets IS 'matured order sheets made in the window';
COMMENT ON COLUMN commerce_private.conversion_windows.paid IS 'how many of them became paid orders';
COMMENT ON COLUMN commerce_private.conversion_windows.usual IS 'percent that became paid orders in the same hour of the 7 days before; NULL: too few to say';
COMMENT ON COLUMN commerce_private.conversion_windows.threshold IS 'percent: the larger of commerce.conversion_floor and 60 % of usual';
COMMENT ON COLUMN commerce_private.conversion_windows.verdict IS 'BAD: below the threshold; TOO_FEW: fewer than 50 sheets say nothing';
COMMENT ON COLUMN commerce_private.conversion_windows.alerting IS 'the alert is on after this window: since two BAD ones in a row, until two GOOD ones in a row';
COMMENT ON COLUMN commerce_private.conversion_windows.event_key IS 'key of the last ConversionAlert';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.conversion_windows', '');

CREATE FUNCTION commerce_private.count_conversion(
	from_time timestamptz, until_time timestamptz, OUT sheets bigint, OUT paid bigint)
RETURNS record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT count(*), count(*) FILTER (WHERE s.paid) FROM commerce.order_sheet_outcomes s
	WHERE s.matured AND s.created_at >= from_time AND s.created_at < until_time
$$;
COMMENT ON FUNCTION commerce_private.count_conversion(timestamptz, timestamptz) IS
	'matured order sheets made from one moment until just before another, and how many were paid';

CREATE FUNCTION commerce_private.usual_conversion(at timestamptz, OUT sheets bigint, OUT paid bigint)
RETURNS record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT sum(c.sheets)::bigint, sum(c.paid)::bigint
	FROM commerce_private.setting('commerce.timezone') AS zone (name)
	CROSS JOIN pg_catalog.generate_series(1, 7) AS days (ago)
	CROSS JOIN LATERAL (SELECT pg_catalog.date_trunc('hour', at AT TIME ZONE zone.name)
							   - pg_catalog.make_interval(days => days.ago) AS starts_at) AS hour
	CROSS JOIN LATERAL commerce_private.count_conversion(hour.starts_at AT TIME ZONE zone.name,
												 (hour.starts_at + interval '1 hour') AT TIME ZONE zone.name) AS c
$$;
COMMENT ON FUNCTION commerce_private.usual_conversion(timestamptz) IS
	'conversion in the same hour (in commerce.timezone) of the 7 days before a moment''s day';

CREATE FUNCTION commerce_private.judge_window(window_start timestamptz, window_end timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	enough CONSTANT int := 50;
	former commerce_private.conversion_windows;
	judged commerce_private.conversion_windows;
	past record;
	again boolean;
	alert jsonb;
BEGIN
	SELECT * INTO former FROM commerce_private.conversion_windows w ORDER BY w.starts_at DESC LIMIT 1;
	judged.starts_at := judge_window.window_start;
	judged.ends_at := judge_window.window_end;
	SELECT c.sheets, c.paid INTO judged.sheets, judged.paid
	FROM commerce_private.count_conversion(judged.starts_at, judged.ends_at) c;
	SELECT * INTO past FROM commerce_private.usual_conversion(judged.starts_at);
	IF past.sheets >= enough THEN
		judged.usual := 100.0 * past.paid / past.sheets;
	END IF;
	judged.threshold := greatest(commerce_private.setting('commerce.conversion_floor')::numeric,
								 coalesce(0.6 * judged.usual, 0));
	judged.verdict := CASE WHEN judged.sheets < enough THEN 'TOO_FEW'
						   WHEN 100.0 * judged.paid / judged.sheets < judged.threshold THEN 'BAD'
						   ELSE 'GOOD' END;
	again := former.verdict = judged.verdict AND former.ends_at = judged.starts_at;
	judged.alerting := CASE WHEN again AND judged.verdict = 'BAD' THEN true
							WHEN again AND judged.verdict = 'GOOD' THEN false
							ELSE coalesce(former.alerting, false) END;
	judged.event_key := coalesce(former.event_key, 0);

	IF judged.alerting AND NOT former.alerting THEN
		judged.event_key := greatest(judged.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()));
		alert := pg_catalog.jsonb_build_object(
			'starts_at', judged.starts_at, 'ends_at', judged.ends_at, 'sheets', judged.sheets, 'paid', judged.paid,
			'percent', pg_catalog.round(100.0 * judged.paid / judged.sheets, 2),
			'threshold', judged.threshold, 'usual', judged.usual);
		PERFORM commerce_private.write_event('Conversion', 'order_sheets', 'ConversionAlert', alert, judged.event_key);
		-- anybody may listen, and notify: it says nothing but that there is something to look at
		PERFORM pg_catalog.pg_notify('commerce_conversion_alert', '');
	END IF;
	INSERT INTO commerce_private.conversion_windows SELECT judged.*;
END
$$;
COMMENT ON FUNCTION commerce_private.judge_window(timestamptz, timestamptz) IS
	'compares a window''s conversion with the threshold and raises or clears the alert';

CREATE FUNCTION commerce.check_conversion()
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	length CONSTANT interval := commerce_private.setting('commerce.conversion_window')::interval;
	seconds CONSTANT numeric := extract(epoch FROM length);
	complete_until timestamptz;
	next_start timestamptz;
	judged int := 0;
BEGIN
	PERFORM commerce_private.begin_write();
	LOCK TABLE commerce_private.conversion_windows IN SHARE ROW EXCLUSIVE MODE;
	-- the last window in which no sheet can be used any more
	complete_until := pg_catalog.to_timestamp(seconds * pg_catalog.floor(
		extract(epoch FROM pg_catalog.clock_timestamp() - commerce_private.setting('commerce.sheet_ttl')::interval) / seconds));
	SELECT pg_catalog.to_timestamp(seconds * pg_catalog.ceil(extract(epoch FROM max(w.ends_at)) / seconds)) INTO next_start
	FROM commerce_private.conversion_windows w;
	-- after a pause, what is long past is nobody's alarm
	next_start := greatest(next_start, complete_until - 6 * length);

	WHILE next_start + length <= complete_until LOOP
		PERFORM commerce_private.judge_window(next_start, next_start + length);
		next_start := next_start + length;
		judged := judged + 1;
	END LOOP;
	DELETE FROM commerce_private.conversion_windows w WHERE w.ends_at < pg_catalog.now() - interval '30 days';
	RETURN judged;
END
$$;
COMMENT ON FUNCTION commerce.check_conversion() IS
	'judges the windows of order sheets that have become complete and returns how many; two in a row below the threshold write a ConversionAlert event and notify commerce_conversion_alert, with nothing in the notification, once, until two in a row are above it again';

INSERT INTO commerce_private.jobs (name, schedule, function, purpose) VALUES
	('check-conversion', '* * * * *', 'check_conversion', 'alerts when too few order sheets become paid orders');
