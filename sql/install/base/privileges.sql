-- Privileges: nothing for PUBLIC; the DBA grants.

CREATE FUNCTION commerce_private.require_role(role regrole)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF require_role.role IS NULL THEN
		PERFORM commerce_private.raise_invalid('role', 'must not be null');
	END IF;
	-- a number is a regrole whether or not there is such a role
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = require_role.role) THEN
		PERFORM commerce_private.raise_not_found('role', require_role.role::oid);
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_role(regrole) IS
	'refuses what is no role. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- Functions in a view are called with the reader's rights.
CREATE FUNCTION commerce_private.view_functions(views regclass[])
RETURNS SETOF regprocedure
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE read (view) AS (
		SELECT v::oid FROM pg_catalog.unnest(view_functions.views) AS v
		UNION
		SELECT d.refobjid FROM read r JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.view
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass)
	SELECT DISTINCT f.oid::regprocedure
	FROM pg_catalog.pg_rewrite w
	JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_proc'::regclass
	JOIN pg_catalog.pg_proc f ON f.oid = d.refobjid AND f.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
	WHERE w.ev_class IN (SELECT r.view FROM read r)
$$;
COMMENT ON FUNCTION commerce_private.view_functions(regclass[]) IS 'the functions of the extension that views, and the views that these read, call';

-- A table of anybody's with a column of a row type of ours would keep an update from changing our table. Not while
-- the extension is created: what it records of the privileges of row types, pg_dump warns of.
CREATE FUNCTION commerce_private.close_row_types()
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	open record;
BEGIN
	FOR open IN
		SELECT t.oid::regtype AS type, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
		FROM pg_catalog.pg_type t
		CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))) AS a
		WHERE t.typnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace, 'commerce_archive'::regnamespace, 'commerce_api'::regnamespace)
		  AND t.typtype = 'c' AND a.grantee <> t.typowner
		GROUP BY 1, 2
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON TYPE %s FROM %s', open.type, open.grantee);
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce_private.close_row_types() IS
	'leaves the types of our rows to their owner, so that nobody''s table has a column of one';

CREATE FUNCTION commerce.grant_app(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	views CONSTANT regclass[] := ARRAY(SELECT c.oid FROM pg_catalog.pg_class c
									   WHERE c.relnamespace = 'commerce'::regnamespace AND c.relkind = 'v');
BEGIN
	PERFORM commerce_private.require_role(grant_app.role);
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce TO %s', grant_app.role);
	PERFORM commerce_private.close_row_types();
	EXECUTE pg_catalog.format('GRANT SELECT ON ALL TABLES IN SCHEMA commerce TO %s', grant_app.role);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s',
		(SELECT pg_catalog.string_agg(f.oid::regprocedure::text, ', ')
		 FROM pg_catalog.pg_proc f
		 WHERE f.oid IN (SELECT commerce_private.view_functions(views))
			OR f.pronamespace = 'commerce'::regnamespace AND f.prokind = 'f' AND f.proname <> ALL (ARRAY[
			   'admit_cell',
			   'archive',
			   'confirm_transfer',
			   'dump_extras',
			   'fold',
			   'grant_api',
			   'grant_app',
			   'grant_monitor',
			   'grant_mover',
			   'grant_relay',
			   'join_cells',
			   'open_era',
			   'prepare_after_restore',
			   'publish_catalogue',
			   'purge_outbox',
			   'receive_units',
			   'reconcile_transfers',
			   'reload_counters',
			   'revoke_api',
			   'revoke_app',
			   'router_sql',
			   'schedule_jobs',
			   'scrub_books',
			   'send_units',
			   'set_cell',
			   'set_elsewhere',
			   'transfers_with',
			   'unschedule_jobs',
			   'wait_for_wants'])),
		grant_app.role);
END
$$;
COMMENT ON FUNCTION commerce.grant_app(regrole) IS
	'lets a trusted application role call the shop''s functions for every user and read all tables and views of schema commerce; for the owner of the extension. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.revoke_app(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.require_role(revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce, commerce_private FROM %s', revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON ALL TABLES IN SCHEMA commerce, commerce_private FROM %s', revoke_app.role);
	EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA commerce, commerce_private FROM %s', revoke_app.role);
END
$$;
COMMENT ON FUNCTION commerce.revoke_app(regrole) IS 'takes back what grant_app() granted. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

-- PostgreSQL gives functions to PUBLIC, and ALTER DEFAULT PRIVILEGES may have given anything to anybody. Each script
-- begins with the extension's dependency on plpgsql, written anew: what has become a member since is what that script has
-- made, and not one before it in the same transaction, after which a DBA may have granted something. What stays is PUBLIC's
-- use of enums and domains: without it, who may read a table could make no view of it.
CREATE FUNCTION commerce_private.close_new_objects()
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	open record;
BEGIN
	FOR open IN
		SELECT k.kind, k.name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
		FROM pg_catalog.pg_extension e
		JOIN pg_catalog.pg_depend b ON b.classid = 'pg_extension'::regclass AND b.objid = e.oid AND b.refclassid = 'pg_extension'::regclass
		JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
			AND d.xmin = b.xmin AND d.cmin::text::bigint > b.cmin::text::bigint
		JOIN (SELECT 'pg_namespace'::regclass AS class, n.oid, 'SCHEMA' AS kind, n.oid::regnamespace::text AS name, n.nspowner AS owner,
					 coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)) AS acl
			  FROM pg_catalog.pg_namespace n
			  UNION ALL
			  SELECT 'pg_class', c.oid, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass::text, c.relowner, c.relacl
			  FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S')
			  UNION ALL
			  SELECT 'pg_proc', f.oid, 'ROUTINE', f.oid::regprocedure::text, f.proowner,
					 coalesce(f.proacl, pg_catalog.acldefault('f', f.proowner))
			  FROM pg_catalog.pg_proc f
			  UNION ALL
			  -- rows are not members of their own: close_row_types()
			  SELECT 'pg_type', t.oid, 'TYPE', t.oid::regtype::text, t.typowner, coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))
			  FROM pg_catalog.pg_type t WHERE t.typcategory <> 'A' AND t.typtype <> 'c') AS k ON (k.class, k.oid) = (d.classid, d.objid)
		CROSS JOIN LATERAL pg_catalog.aclexplode(k.acl) AS a
		WHERE e.extname = 'commerce' AND a.grantee <> k.owner AND (k.kind <> 'TYPE' OR a.grantee <> 0)
		GROUP BY 1, 2, 3
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM %s', open.kind, open.name, open.grantee);
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce_private.close_new_objects() IS
	'at the end of the install script and of every update script: takes back what everybody but the owner has of the objects that the script has made';

SELECT commerce_private.close_new_objects();

DO $$
DECLARE
	object record;
BEGIN
	FOR object IN
		SELECT r.rolname AS name, CASE WHEN r.writes THEN 'write' ELSE 'read' END AS does
		FROM (SELECT p.rolname, pg_catalog.has_table_privilege(p.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writes,
					 pg_catalog.has_table_privilege(p.oid, c.oid, 'SELECT') AS reads
			  FROM pg_catalog.pg_roles p CROSS JOIN pg_catalog.pg_class c
			  WHERE NOT p.rolsuper AND p.rolname !~ '^pg_' AND c.oid = 'commerce.users'::regclass) r
		WHERE r.reads OR r.writes ORDER BY 1
	LOOP
		-- a NOTICE would not be shown
		RAISE WARNING 'role "%" can % all tables of commerce, as a member of another role', object.name, object.does;
	END LOOP;
END
$$;

-- PostgREST learns what there is now
NOTIFY pgrst, 'reload schema';
