-- Periodic jobs, run by pg_cron. No rule depends on one having run: they count, mark and free.

CREATE TABLE commerce_private.jobs (
	name       text PRIMARY KEY,
	schedule   text NOT NULL,
	function   text NOT NULL,
	max_rows   int,
	purpose    text NOT NULL
);
COMMENT ON TABLE commerce_private.jobs IS 'the extension''s periodic jobs; schedule_jobs() hands them to pg_cron';
COMMENT ON COLUMN commerce_private.jobs.schedule IS 'cron expression';
COMMENT ON COLUMN commerce_private.jobs.function IS 'name of a function of schema commerce, which answers how many rows it wrote';
COMMENT ON COLUMN commerce_private.jobs.max_rows IS 'its argument max_rows: the size of a batch, one after another until nothing is left to do; NULL: it is called once';
INSERT INTO commerce_private.jobs (name, schedule, function, max_rows, purpose) VALUES
	('popular-products', '* * * * *', 'refresh_popular_products', NULL, 'ranks the best sellers'),
	('expire-coupons', '* * * * *', 'expire_coupons', 1000, 'marks overdue coupons, with their events'),
	('purge-idempotency-keys', '7 * * * *', 'purge_idempotency_keys', 10000, 'deletes keys older than 24 hours'),
	('expire-pending-orders', '* * * * *', 'expire_pending_orders', 1000, 'cancels orders whose time to pay is over'),
	('purge-order-sheets', '17 * * * *', 'purge_order_sheets', 10000, 'deletes order sheets older than 30 days'),
	('fold', '* * * * *', 'fold', NULL, 'folds the journals of stock and coupons');

CREATE TABLE commerce_private.job_runs (
	name        text PRIMARY KEY,
	started_at  timestamptz NOT NULL,
	finished_at timestamptz NOT NULL,
	rows        bigint,
	failures    bigint NOT NULL DEFAULT 0,
	last_error  text,
	last_error_at timestamptz
);
COMMENT ON TABLE commerce_private.job_runs IS 'the last run of each job; see the view job_status';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.job_runs', '');

CREATE FUNCTION commerce_private.is_job_function(function text)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (
		SELECT FROM pg_catalog.pg_proc f
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = f.oid
			AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'commerce'
		WHERE f.pronamespace = 'commerce'::regnamespace AND f.proname = is_job_function.function
		  AND f.prorettype IN ('int4'::regtype, 'int8'::regtype) AND NOT f.proretset
		  AND coalesce(f.proargnames, '{}') <@ ARRAY['max_rows'])
$$;
COMMENT ON FUNCTION commerce_private.is_job_function(text) IS
	'whether there is a function of the extension with this name that takes at most max_rows and answers a number';

CREATE FUNCTION commerce_private.call_job(function text, max_rows int)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	written bigint;
BEGIN
	IF NOT commerce_private.is_job_function(function) THEN
		RAISE EXCEPTION 'function commerce.% is not one that jobs call', function
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	EXECUTE pg_catalog.format(CASE WHEN max_rows IS NULL THEN 'SELECT commerce.%I()' ELSE 'SELECT commerce.%I($1)' END, function)
		INTO written USING max_rows;
	RETURN written;
END
$$;
COMMENT ON FUNCTION commerce_private.call_job(text, int) IS
	'calls a job''s function and returns the rows it wrote';

CREATE FUNCTION commerce_private.run_batch(name text, goes_on boolean)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	job commerce_private.jobs;
	started timestamptz := pg_catalog.clock_timestamp();
	attempted record;
	written bigint;
	failure text;
BEGIN
	PERFORM commerce_private.check_text('name', run_batch.name);
	IF run_batch.name IS NULL THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be null');
	END IF;
	SELECT * INTO job FROM commerce_private.jobs j WHERE j.name = run_batch.name;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('job', run_batch.name);
	END IF;
	IF NOT commerce_private.try_lock_job(job.name) THEN
		RETURN NULL;
	END IF;
	SELECT * INTO attempted FROM commerce_private.attempt(NULL, 'commerce_private.call_job(text,int)', job.function, job.max_rows);
	IF attempted.sqlstate IS NULL THEN
		written := attempted.result::bigint;
	ELSE
		failure := pg_catalog.format('%s (SQLSTATE %s)', attempted.message, attempted.sqlstate);
	END IF;
	INSERT INTO commerce_private.job_runs AS r (name, started_at, finished_at, rows, failures, last_error, last_error_at)
	VALUES (job.name, started, pg_catalog.clock_timestamp(), written,
			CASE WHEN failure IS NULL THEN 0 ELSE 1 END, failure,
			CASE WHEN failure IS NOT NULL THEN pg_catalog.clock_timestamp() END)
	ON CONFLICT (name) DO UPDATE
	SET started_at = CASE WHEN run_batch.goes_on THEN r.started_at ELSE EXCLUDED.started_at END,
		finished_at = EXCLUDED.finished_at,
		rows = EXCLUDED.rows + CASE WHEN run_batch.goes_on THEN coalesce(r.rows, 0) ELSE 0 END,
		failures = r.failures + EXCLUDED.failures,
		last_error = coalesce(EXCLUDED.last_error, r.last_error),
		last_error_at = coalesce(EXCLUDED.last_error_at, r.last_error_at);
	IF failure IS NOT NULL THEN
		RAISE WARNING 'job % failed: %', job.name, failure;
	END IF;
	RETURN written;
END
$$;
COMMENT ON FUNCTION commerce_private.run_batch(text, boolean) IS
	'runs a job of commerce_private.jobs, or a batch of one that is done in batches (goes_on: not its first), and records how it went; returns the rows it wrote, NULL when it failed or is running already. What says that the server is in trouble (SQLSTATE 53, 57, 58, XX) is raised and not recorded. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.run_job(name text)
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.run_batch(run_job.name, false)
$$;
COMMENT ON FUNCTION commerce_private.run_job(text) IS
	'runs a job, or one batch of it, as run_batch() does, in the caller''s transaction. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.try_lock_job(name text)
RETURNS boolean
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_try_lock_job';
COMMENT ON FUNCTION commerce_private.try_lock_job(text) IS
	'takes a job''s lock until the transaction ends, or answers false when another session has it';

CREATE FUNCTION commerce_private.is_batched(name text)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT j.max_rows IS NOT NULL FROM commerce_private.jobs j WHERE j.name = is_batched.name
$$;
COMMENT ON FUNCTION commerce_private.is_batched(text) IS 'whether a job is done batch by batch';

-- One that commits can neither have its owner's rights nor settings of its own: it runs as the caller, in READ COMMITTED
-- or whatever the caller has, and names all it calls in full.
CREATE PROCEDURE commerce_private.run_batches(name text)
LANGUAGE plpgsql
AS $$
DECLARE
	written bigint := commerce_private.run_batch(run_batches.name, false);
BEGIN
	COMMIT;
	WHILE written OPERATOR(pg_catalog.>) 0 AND commerce_private.is_batched(run_batches.name) LOOP
		written := commerce_private.run_batch(run_batches.name, true);
		COMMIT;
	END LOOP;
END
$$;
COMMENT ON PROCEDURE commerce_private.run_batches(text) IS
	'runs a job, batch by batch with a commit after each, until nothing is left to do. For pg_cron, or CALL by hand; not in a transaction. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.require_cron()
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_cron') THEN
		RAISE EXCEPTION 'extension pg_cron is not installed in database "%"', pg_catalog.current_database()
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = CASE
					  WHEN coalesce(pg_catalog.current_setting('cron.database_name', true), '') = '' THEN
						  'Set shared_preload_libraries = ''pg_cron'' and cron.database_name to this database, restart the server, and run CREATE EXTENSION pg_cron. Everything else works without it; CALL commerce_private.run_batches(name) runs a job by hand.'
					  WHEN pg_catalog.current_setting('cron.database_name') <> pg_catalog.current_database() THEN
						  pg_catalog.format('pg_cron serves database "%s": set cron.database_name to this database and restart the server, or schedule CALL commerce_private.run_batches(name) there with cron.schedule_in_database().',
							  pg_catalog.current_setting('cron.database_name'))
					  ELSE 'Run CREATE EXTENSION pg_cron.'
				  END;
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_cron() IS 'says what is missing when pg_cron is not there';

CREATE FUNCTION commerce.schedule_jobs()
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job commerce_private.jobs;
	scheduled int := 0;
BEGIN
	PERFORM commerce_private.require_cron();
	FOR job IN SELECT * FROM commerce_private.jobs j ORDER BY j.name LOOP
		EXECUTE 'SELECT cron.schedule($1, $2, $3)'
			USING 'commerce ' || job.name, job.schedule, pg_catalog.format('CALL commerce_private.run_batches(%L)', job.name);
		scheduled := scheduled + 1;
	END LOOP;
	RETURN scheduled;
END
$$;
COMMENT ON FUNCTION commerce.schedule_jobs() IS
	'puts the jobs of commerce_private.jobs into pg_cron, or puts them right there, for the current role; returns how many. They run as that role. Says what is missing when pg_cron is not there';

CREATE FUNCTION commerce.unschedule_jobs()
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unscheduled int;
BEGIN
	PERFORM commerce_private.require_cron();
	EXECUTE 'SELECT count(cron.unschedule(jobid))::int FROM cron.job WHERE jobname LIKE ''commerce %'' AND username = CURRENT_USER'
		INTO unscheduled;
	RETURN unscheduled;
END
$$;
COMMENT ON FUNCTION commerce.unschedule_jobs() IS
	'takes the current role''s jobs of commerce out of pg_cron and returns how many there were';
