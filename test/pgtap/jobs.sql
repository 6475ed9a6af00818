-- Periodic jobs without pg_cron: what is missing is said, and everything can be run by hand.
-- role: postgres
-- Who calls schedule_jobs() is a DBA.

SELECT no_plan();
SELECT refuses('SELECT commerce.' || f || '()', '55000', f || ' without pg_cron') FROM unnest(ARRAY['schedule_jobs', 'unschedule_jobs']) AS f;
CREATE FUNCTION pg_temp.complaint(statement text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END
$$;
SELECT is(message, format('extension pg_cron is not installed in database "%s"', current_database()), 'which says what is missing') FROM pg_temp.complaint('SELECT commerce.schedule_jobs()');
SELECT matches(hint, 'cron', 'and what to do') FROM pg_temp.complaint('SELECT commerce.schedule_jobs()');

SET ROLE shop;
SELECT set_eq('SELECT name FROM commerce.job_status WHERE name IN (''popular-products'', ''expire-coupons'', ''purge-idempotency-keys'', ''fold'')',
	ARRAY['popular-products', 'expire-coupons', 'purge-idempotency-keys', 'fold'], 'the jobs are there');
SELECT is_empty('SELECT * FROM commerce.job_status WHERE last_started_at IS NOT NULL', 'none has run');
SELECT isnt(commerce_private.run_job(name), NULL, name || ' runs by hand') FROM commerce_private.jobs ORDER BY name;
SELECT is_empty('SELECT * FROM commerce.job_status WHERE last_finished_at IS NULL OR last_finished_at < last_started_at OR failures > 0 OR last_error IS NOT NULL OR last_rows IS NULL', 'job_status says so');
SELECT refuses('SELECT commerce_private.run_job(''no-such-job'')', 'ENTITY_NOT_FOUND');
SELECT refuses('SELECT commerce_private.run_job('''')', 'ENTITY_NOT_FOUND');
SELECT refuses('SELECT commerce_private.run_job(NULL)', 'INVALID_REQUEST');
BEGIN READ ONLY;
SELECT refuses('SELECT commerce_private.run_job(''fold'')', '25006', 'a job in a read-only transaction');
COMMIT;
SELECT is((SELECT failures FROM commerce.job_status WHERE name = 'fold'), 0::bigint, 'is refused and no failure of the job');
SELECT * FROM finish();
