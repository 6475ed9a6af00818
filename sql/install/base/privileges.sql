-- Privileges: nothing for PUBLIC; the DBA grants.

CREATE FUNCTION commerce.require_role(role regrole)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF require_role.role IS NULL THEN
		PERFORM commerce.raise_error('INVALID_REQUEST', 'role must not be null');
	END IF;
	-- a number is a regrole whether or not there is such a role
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = require_role.role) THEN
		PERFORM commerce.raise_error('ENTITY_NOT_FOUND', pg_catalog.format('role %s', require_role.role::oid));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce.require_role(regrole) IS
	'internal: refuses what is no role. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.grant_app(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce.require_role(grant_app.role);
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce TO %s', grant_app.role);
	EXECUTE pg_catalog.format('GRANT SELECT ON commerce.product_list, commerce.order_list, commerce.coupon_list, commerce.job_status, commerce.order_item_transitions, commerce.conversion_by_minute, commerce.conversion_by_hour, commerce.subscription_status, commerce.outbox_segments TO %s', grant_app.role);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s',
		(SELECT pg_catalog.string_agg(f.oid::regprocedure::text, ', ')
		 FROM pg_catalog.pg_proc f
		 WHERE f.pronamespace = 'commerce'::regnamespace
		   AND f.prokind = 'f' AND f.prorettype <> 'trigger'::regtype
		   AND pg_catalog.obj_description(f.oid, 'pg_proc') NOT LIKE 'internal: %'
		   AND f.proname <> ALL (ARRAY[
			   'fold',
			   'grant_api',
			   'grant_app',
			   'grant_relay',
			   'purge_outbox',
			   'reload_counters',
			   'revoke_api',
			   'revoke_app',
			   'run_job',
			   'schedule_jobs',
			   'unschedule_jobs'])),
		grant_app.role);
END
$$;
COMMENT ON FUNCTION commerce.grant_app(regrole) IS
	'lets a trusted application role call the shop''s functions for every user and read the views; for the owner of the extension. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.revoke_app(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce.require_role(revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce FROM %s', revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON ALL TABLES IN SCHEMA commerce FROM %s', revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA commerce FROM %s', revoke_app.role);
END
$$;
COMMENT ON FUNCTION commerce.revoke_app(regrole) IS 'takes back what grant_app() granted. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce, commerce_api FROM PUBLIC;

-- PostgREST learns what there is now
NOTIFY pgrst, 'reload schema';
