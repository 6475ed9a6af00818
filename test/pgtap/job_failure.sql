-- A job that fails says so in job_status, and does no harm.
-- role: postgres

SELECT no_plan();
SET client_min_messages = error;
CREATE FUNCTION tap.divide() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN 1 / 0; END';
CREATE TRIGGER dba_fail BEFORE DELETE ON commerce_private.idempotency_keys FOR EACH STATEMENT EXECUTE FUNCTION tap.divide();
SELECT is(commerce_private.run_job('purge-idempotency-keys'), NULL, 'a job that fails answers NULL');
SELECT results_eq($$SELECT failures, last_error, last_error_at IS NOT NULL, last_rows FROM commerce.job_status WHERE name = 'purge-idempotency-keys'$$,
	$$VALUES (1::bigint, 'division by zero (SQLSTATE 22012)', true, NULL::bigint)$$, 'job_status has its error');
SELECT commerce_private.run_job('purge-idempotency-keys') \g /dev/null
DROP TRIGGER dba_fail ON commerce_private.idempotency_keys;
INSERT INTO commerce_private.idempotency_keys (scope, operation, key, request_hash, result, created_at)
SELECT 'user:1', 'place_order', 'k', '\x00', '{}', now() - interval '2 days';
SELECT is(commerce_private.run_job('purge-idempotency-keys'), 1::bigint, 'it runs again');
SELECT results_eq($$SELECT failures, last_error IS NOT NULL, last_rows FROM commerce.job_status WHERE name = 'purge-idempotency-keys'$$,
	$$VALUES (2::bigint, true, 1::bigint)$$, 'its failures stay counted, with the last error');

-- a job is a function of the extension that takes at most max_rows and answers a number, nothing else
CREATE FUNCTION commerce.dba_job() RETURNS int LANGUAGE sql AS 'SELECT 7';
UPDATE commerce_private.jobs SET function = j.function, max_rows = j.max_rows
FROM (VALUES ('fold', 'dba_job', NULL), ('check-conversion', 'reload_counters', NULL), ('expire-coupons', 'available_stock', 1), ('purge-order-sheets', 'fold() + 1; SELECT commerce.fold', NULL)) j (name, function, max_rows)
WHERE jobs.name = j.name;
SELECT is(commerce_private.run_job(j.name), NULL, j.name || ' is not run')
FROM commerce_private.jobs j WHERE j.name IN ('fold', 'check-conversion', 'expire-coupons', 'purge-order-sheets') ORDER BY j.name;
SELECT is(s.last_error, format('function commerce.%s is not one that jobs call (SQLSTATE 55000)', j.function), 'and why')
FROM commerce_private.jobs j JOIN commerce.job_status s USING (name)
WHERE j.name IN ('fold', 'check-conversion', 'expire-coupons', 'purge-order-sheets') ORDER BY j.name;
SELECT * FROM finish();
