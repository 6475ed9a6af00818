-- REST: letting database roles in. The extension creates none; the DBA names them.
-- Each gets a policy of its own on each table, so that the planner sees one plain condition.

-- By the role's oid: two names of roles can be alike as far as a policy's name goes.
CREATE FUNCTION commerce_private.api_policy(role name)
RETURNS name
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'commerce_api_' || r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = api_policy.role
$$;
COMMENT ON FUNCTION commerce_private.api_policy(name) IS 'what the policies of a role of grant_api() are called; NULL: there is no such role';

CREATE FUNCTION commerce.grant_api(anon name, buyer name, seller name, admin name, authenticator name DEFAULT 'authenticator')
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	everybody name[] := ARRAY[grant_api.anon, grant_api.buyer, grant_api.seller, grant_api.admin];
	missing name;
	granted record;
BEGIN
	SELECT a.name INTO missing
	FROM (VALUES ('anon', grant_api.anon), ('buyer', grant_api.buyer), ('seller', grant_api.seller), ('admin', grant_api.admin),
				 ('authenticator', grant_api.authenticator)) a (name, role)
	WHERE a.role IS NULL LIMIT 1;
	IF FOUND THEN
		PERFORM commerce_private.raise_invalid(missing, 'must not be null');
	END IF;
	SELECT r.name INTO missing
	FROM pg_catalog.unnest(everybody || grant_api.authenticator) AS r (name)
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE p.rolname = r.name);
	IF FOUND THEN
		PERFORM commerce_private.raise_error('ENTITY_NOT_FOUND', pg_catalog.jsonb_build_object('entity', 'role', 'id', missing), 'Create the database roles first: anonymous, buyer, seller and admin without LOGIN, and the one that PostgREST connects as.');
	END IF;
	IF (SELECT count(DISTINCT r.name) FROM pg_catalog.unnest(everybody || grant_api.authenticator) AS r (name)) < 5 THEN
		PERFORM commerce_private.raise_invalid('roles', 'must be five different ones');
	END IF;
	IF commerce_private.setting('commerce.direct_charge')::boolean THEN
		RAISE NOTICE 'commerce.direct_charge is on: over REST a buyer''s charge adds to the balance at once, and nobody has paid it'
			USING HINT = 'Turn it off where payment providers take the money.';
	END IF;
	PERFORM commerce.revoke_api(r.role) FROM commerce_private.api_roles r WHERE r.role = ANY (everybody);
	PERFORM commerce_private.close_row_types();
	INSERT INTO commerce_private.api_roles (role, api_role)
	VALUES (grant_api.anon, 'ANONYMOUS'), (grant_api.buyer, 'BUYER'), (grant_api.seller, 'SELLER'), (grant_api.admin, 'ADMIN');

	-- PostgREST uses the casts that its own role may
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION commerce_api.moment_to_json(commerce_api.moment), '
		'commerce_api.moment_from_text(text) TO %I', grant_api.authenticator);
	FOR granted IN SELECT r.role, r.api_role FROM commerce_private.api_roles r WHERE r.role = ANY (everybody) LOOP
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
					   WHERE m.roleid = pg_catalog.quote_ident(granted.role)::regrole AND m.member = pg_catalog.quote_ident(grant_api.authenticator)::regrole) THEN
			EXECUTE pg_catalog.format('GRANT %I TO %I', granted.role, grant_api.authenticator);
		END IF;
		EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce_api TO %I', granted.role);
		-- all of them: each says itself whom it serves, and so with the right error
		EXECUTE pg_catalog.format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA commerce_api TO %I', granted.role);
		-- functions in policies and views are called with the caller's rights
		EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION commerce_private.current_user_id(), commerce_private.current_seller_id(), '
			'commerce_private.current_admin() TO %I', granted.role);
		EXECUTE (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I', f.function, granted.role), '; ')
				 FROM commerce_private.view_functions(ARRAY(
						SELECT v.view FROM commerce_private.api_views v WHERE v.api_role = granted.api_role
						UNION ALL
						SELECT pg_catalog.format('commerce.%I', a.relation)::regclass
						FROM commerce_private.api_relations a WHERE a.api_role = granted.api_role
						UNION ALL
						SELECT 'commerce_private.api_offers'::regclass
						UNION ALL
						SELECT 'commerce_private.api_seller_orders'::regclass)) AS f (function));
		EXECUTE pg_catalog.format('GRANT SELECT ON commerce_private.api_offers TO %I', granted.role);
		IF granted.api_role = 'SELLER' THEN
			EXECUTE pg_catalog.format('GRANT SELECT ON commerce_private.api_seller_orders TO %I', granted.role);
		END IF;
		EXECUTE (SELECT pg_catalog.string_agg(pg_catalog.format('GRANT SELECT ON %s TO %I', v.view, granted.role), '; ')
				 FROM commerce_private.api_views v WHERE v.api_role = granted.api_role);
		EXECUTE (SELECT pg_catalog.string_agg(pg_catalog.format('GRANT SELECT ON commerce.%I TO %I', a.relation, granted.role), '; ')
				 FROM commerce_private.api_relations a WHERE a.api_role = granted.api_role);
	END LOOP;

	FOR granted IN
		SELECT a.relation, a.condition, r.role
		FROM commerce_private.api_relations a JOIN commerce_private.api_roles r ON r.api_role = a.api_role
		WHERE a.condition IS NOT NULL AND r.role = ANY (everybody)
	LOOP
		EXECUTE pg_catalog.format('CREATE POLICY %I ON commerce.%I AS RESTRICTIVE TO %I USING (%s)',
			commerce_private.api_policy(granted.role), granted.relation, granted.role, granted.condition);
	END LOOP;
	NOTIFY pgrst, 'reload schema';
END
$$;
COMMENT ON FUNCTION commerce.grant_api(name, name, name, name, name) IS
	'lets database roles in over REST: anonymous visitors, buyers, sellers, administrators, and the role that PostgREST connects as and becomes one of them by; can be repeated, and with other roles, and is to be repeated after a dump was restored: until then these roles see no rows. For a superuser. Errors: ENTITY_NOT_FOUND, INVALID_REQUEST';

CREATE FUNCTION commerce.revoke_api(role name)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_policy name := commerce_private.api_policy(revoke_api.role);
	policy record;
	connecting name;
BEGIN
	IF revoke_api.role IS NULL THEN
		PERFORM commerce_private.raise_invalid('role', 'must not be null');
	END IF;
	DELETE FROM commerce_private.api_roles r WHERE r.role = revoke_api.role;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('role', revoke_api.role);
	END IF;
	-- a role that was dropped since has nothing left
	IF own_policy IS NOT NULL THEN
		EXECUTE pg_catalog.format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce, commerce_private, commerce_api FROM %I', revoke_api.role);
		EXECUTE pg_catalog.format('REVOKE ALL ON ALL TABLES IN SCHEMA commerce, commerce_private, commerce_api FROM %I', revoke_api.role);
		EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA commerce_api FROM %I', revoke_api.role);
		FOR policy IN
			SELECT p.polrelid::regclass AS relation FROM pg_catalog.pg_policy p WHERE p.polname = own_policy
		LOOP
			EXECUTE pg_catalog.format('DROP POLICY %I ON %s', own_policy, policy.relation);
		END LOOP;
	END IF;
	-- with the last role goes what PostgREST's own was granted
	IF NOT EXISTS (SELECT FROM commerce_private.api_roles) THEN
		FOR connecting IN
			SELECT DISTINCT r.rolname FROM pg_catalog.pg_proc p CROSS JOIN pg_catalog.aclexplode(p.proacl) a
			JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
			WHERE p.pronamespace = 'commerce_api'::regnamespace AND a.grantee <> p.proowner
		LOOP
			EXECUTE pg_catalog.format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce_api FROM %I', connecting);
		END LOOP;
	END IF;
	NOTIFY pgrst, 'reload schema';
END
$$;
COMMENT ON FUNCTION commerce.revoke_api(name) IS
	'takes back from one role what grant_api() granted, except its membership in PostgREST''s role. Errors: ENTITY_NOT_FOUND';
