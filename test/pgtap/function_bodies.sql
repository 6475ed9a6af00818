-- Names in function bodies are looked up when the functions run, and CREATE EXTENSION does not look at bodies. Every
-- body is looked at here: those in SQL by PostgreSQL, those in PL/pgSQL by plpgsql_check, where that is installed.
-- role: postgres

SELECT no_plan();
SET check_function_bodies = on;
SELECT lives_ok(format('SELECT pg_catalog.fmgr_sql_validator(%s)', p.oid), p.oid::regprocedure::text)
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE l.lanname = 'sql' AND p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace, 'commerce_api'::regnamespace);

SELECT count(*) > 0 AS installed FROM pg_available_extensions WHERE name = 'plpgsql_check' \gset
\if :installed
CREATE EXTENSION plpgsql_check SCHEMA tap;
CREATE FUNCTION pg_temp.complaints() RETURNS TABLE (function regprocedure, lineno int, message text) LANGUAGE sql AS $$
	SELECT p.oid, c.lineno, c.message
	FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	LEFT JOIN LATERAL (SELECT min(g.tgrelid) AS relation FROM pg_trigger g WHERE g.tgfoid = p.oid) t ON true
	CROSS JOIN LATERAL tap.plpgsql_check_function_tb(p.oid, coalesce(t.relation, 0), fatal_errors => false,
		performance_warnings => false, extra_warnings => false) c
	WHERE l.lanname = 'plpgsql' AND p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace, 'commerce_api'::regnamespace)
	  -- pg_cron need not be there
	  AND NOT (p.proname IN ('schedule_jobs', 'unschedule_jobs') AND c.message ~ '"cron(\.job)?" does not exist')
	  -- what raises errors is VOLATILE, so that no planner calls it; a statement of a STABLE function that writes is refused by PostgreSQL
	  AND c.message <> 'routine is marked as STABLE, but expression is VOLATILE'
$$;
SELECT is_empty('SELECT * FROM pg_temp.complaints()', 'plpgsql_check has nothing to say');
-- it would have said so
ALTER TABLE commerce_private.jobs RENAME TO former_jobs;
SELECT cmp_ok(count(*), '>', 0::bigint, 'a name that is not there is found') FROM pg_temp.complaints();
ALTER TABLE commerce_private.former_jobs RENAME TO jobs;
\else
SELECT skip('plpgsql_check is not installed', 2);
\endif

SELECT * FROM finish();
