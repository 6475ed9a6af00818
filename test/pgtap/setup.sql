-- Run by the superuser in the database that every pgTAP file and torture
-- script gets a copy of. Roles are shared by all databases of the server:
-- they are made here and nowhere else.

CREATE EXTENSION commerce;

CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
GRANT USAGE ON SCHEMA tap TO PUBLIC;

-- An application's role: it owns nothing, reads everything, and calls what is
-- meant to be called.
CREATE ROLE shop LOGIN;
GRANT USAGE ON SCHEMA commerce TO shop;
GRANT SELECT ON ALL TABLES IN SCHEMA commerce TO shop;
DO $$
DECLARE
	public_function regprocedure;
BEGIN
	FOR public_function IN
		SELECT oid FROM pg_proc
		WHERE pronamespace = 'commerce'::regnamespace
		  AND obj_description(oid, 'pg_proc') NOT LIKE 'internal:%'
	LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO shop', public_function);
	END LOOP;
END
$$;
