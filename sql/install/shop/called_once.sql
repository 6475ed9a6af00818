-- (f(...)).* of a function that writes is refused.
CREATE FUNCTION commerce_private.called_once(internal)
RETURNS internal
LANGUAGE C STRICT
AS 'MODULE_PATHNAME', 'commerce_called_once';
COMMENT ON FUNCTION commerce_private.called_once(internal) IS
	'planner support of functions that write and return a row: (f(...)).* would call them once for each column';

DO $$
DECLARE
	writing regprocedure;
BEGIN
	FOR writing IN
		SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_type t ON t.oid = p.prorettype
		WHERE p.pronamespace = 'commerce'::pg_catalog.regnamespace AND p.provolatile = 'v'
			AND (t.typtype = 'c' OR t.oid = 'pg_catalog.record'::pg_catalog.regtype)
	LOOP
		EXECUTE pg_catalog.format('ALTER FUNCTION %s SUPPORT commerce_private.called_once', writing);
	END LOOP;
END
$$;
