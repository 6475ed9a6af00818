-- A job that fails says so in job_status, and does no harm.
-- role: postgres

SELECT no_plan();
SET client_min_messages = error;
UPDATE commerce_private.jobs SET command = 'SELECT 1 / 0' WHERE name = 'fold';
SELECT is(commerce_private.run_job('fold'), NULL, 'a job that fails answers NULL');
SELECT results_eq($$SELECT failures, last_error, last_error_at IS NOT NULL, last_rows FROM commerce.job_status WHERE name = 'fold'$$,
	$$VALUES (1::bigint, 'division by zero (SQLSTATE 22012)', true, NULL::bigint)$$, 'job_status has its error');
SELECT commerce_private.run_job('fold') \g /dev/null
UPDATE commerce_private.jobs SET command = 'SELECT 7' WHERE name = 'fold';
SELECT is(commerce_private.run_job('fold'), 7::bigint, 'it runs again');
SELECT results_eq($$SELECT failures, last_error IS NOT NULL, last_rows FROM commerce.job_status WHERE name = 'fold'$$,
	$$VALUES (2::bigint, true, 7::bigint)$$, 'its failures stay counted, with the last error');
UPDATE commerce_private.jobs SET command = 'SELECT count(*) FROM pg_temp.owned' WHERE name = 'fold';
CREATE TEMP TABLE owned ();
SELECT is(commerce_private.run_job('fold'), 0::bigint, 'a command sees what it names');
SELECT * FROM finish();
