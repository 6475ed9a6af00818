-- The SQL contract: functions with their signatures, and what holds for all of them.

SELECT p.proname AS function, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
FROM pg_proc p
WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
  AND p.proname IN (
	-- users, products, stock
	'create_user', 'create_seller', 'set_user_status', 'create_product', 'update_product', 'set_product_status',
	'create_promotion', 'adjust_stock', 'available_stock', 'charge_balance', 'get_balance',
	-- coupons
	'create_coupon', 'stop_coupon', 'claim_coupon', 'usable_coupons', 'revoke_coupon', 'expire_coupons',
	-- orders
	'place_order',
	-- best sellers, jobs, books
	'popular_products', 'refresh_popular_products', 'schedule_jobs', 'unschedule_jobs', 'run_job', 'fold',
	'purge_idempotency_keys', 'check_invariants', 'error_codes', 'local_date', 'grant_app', 'revoke_app')
ORDER BY 1;

-- overloaded functions
SELECT p.proname FROM pg_proc p WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) GROUP BY 1 HAVING count(*) > 1;

-- definer functions, and functions in a language that looks names up when it runs, that do not pin the search_path
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
  AND (p.prosecdef OR l.lanname IN ('plpgsql', 'sql'))
  AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false) AND p.prokind <> 'p'
ORDER BY 1;

-- definer functions that are private: only these are called by others than the extension, which has the owner's rights already
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'commerce_private'::regnamespace AND p.prosecdef ORDER BY p.proname;

-- what the functions are allowed to do: readers are STABLE, writers are VOLATILE and not parallel safe
SELECT p.proname, p.provolatile, p.proparallel FROM pg_proc p
WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
  AND (p.provolatile = 'v') <> (p.proname NOT IN ('available_stock', 'get_balance', 'usable_coupons', 'popular_products', 'check_invariants',
	'error_codes', 'local_date'))
  AND p.proname IN ('create_user', 'create_seller', 'set_user_status', 'create_product', 'update_product', 'set_product_status',
	'create_promotion', 'adjust_stock', 'available_stock', 'charge_balance', 'get_balance', 'create_coupon', 'stop_coupon', 'claim_coupon',
	'usable_coupons', 'revoke_coupon', 'expire_coupons', 'place_order', 'popular_products', 'refresh_popular_products', 'check_invariants',
	'error_codes', 'local_date');
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND p.provolatile = 'v' AND p.proparallel = 's' AND p.proname <> 'raise_error';

-- a comment names the errors: only such as there are
SELECT p.proname, e.code FROM pg_proc p,
	LATERAL string_to_table(substring(obj_description(p.oid, 'pg_proc') FROM ' Errors: ([A-Z_, ]+)'), ', ') AS e (code)
WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND e.code NOT IN (SELECT code FROM commerce.error_codes())
ORDER BY 1, 2;

-- functions that change what only the caller or the superuser decides
SELECT p.oid::regprocedure, c.setting FROM pg_proc p, unnest(p.proconfig) AS c (setting)
WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.setting ~ '^(commerce\.|role|session_|row_security|synchronous_commit)'
ORDER BY 1, 2;
