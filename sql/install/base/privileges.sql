-- Privileges: nothing for PUBLIC; the DBA grants.

CREATE FUNCTION commerce.grant_app(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF grant_app.role IS NULL THEN
		PERFORM commerce.raise_error('INVALID_REQUEST', 'role must not be null');
	END IF;
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
	'lets a trusted application role call the shop''s functions for every user and read the views; for the owner of the extension';

CREATE FUNCTION commerce.revoke_app(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF revoke_app.role IS NULL THEN
		PERFORM commerce.raise_error('INVALID_REQUEST', 'role must not be null');
	END IF;
	EXECUTE pg_catalog.format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce FROM %s', revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON ALL TABLES IN SCHEMA commerce FROM %s', revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA commerce FROM %s', revoke_app.role);
END
$$;
COMMENT ON FUNCTION commerce.revoke_app(regrole) IS 'takes back what grant_app() granted';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce, commerce_api FROM PUBLIC;

-- PostgREST learns what there is now
NOTIFY pgrst, 'reload schema';
