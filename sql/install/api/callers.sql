-- REST: who calls. PostgREST checks the token, takes a database role from its claim `role`, and hands its
-- claims over as the setting request.jwt.claims; the user is the claim `sub`.

CREATE TYPE commerce_private.api_role AS ENUM ('ANONYMOUS', 'BUYER', 'SELLER', 'ADMIN');
COMMENT ON TYPE commerce_private.api_role IS 'what a database role may do over REST';

CREATE TABLE commerce_private.api_roles (
	role     name PRIMARY KEY,
	api_role commerce_private.api_role NOT NULL
);
COMMENT ON TABLE commerce_private.api_roles IS 'database roles that grant_api() has let in, and as what';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.api_roles', '');

CREATE FUNCTION commerce_private.current_user_id()
RETURNS bigint
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_current_user_id';
COMMENT ON FUNCTION commerce_private.current_user_id() IS
	'user id in the claim "sub" of the request''s token; NULL without one';

-- The role that SET ROLE chose: in a definer function current_user is the owner.
CREATE FUNCTION commerce_private.current_api_role()
RETURNS commerce_private.api_role
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.api_role FROM commerce_private.api_roles r
	WHERE r.role = CASE pg_catalog.current_setting('role') WHEN 'none' THEN session_user::name
					ELSE pg_catalog.current_setting('role')::name END
$$;
COMMENT ON FUNCTION commerce_private.current_api_role() IS 'what the calling database role may do over REST; NULL: nothing';

CREATE FUNCTION commerce_private.shop_scope()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE commerce_private.current_api_role() WHEN 'ADMIN' THEN 'admin:' || commerce_private.current_user_id()
				WHEN 'SELLER' THEN 'seller:' || commerce_private.current_user_id() ELSE 'shop' END
$$;
COMMENT ON FUNCTION commerce_private.shop_scope() IS
	'scope of the keys of what is created in the shop: over REST the caller''s own, so that nobody meets another''s key';

CREATE FUNCTION commerce_private.current_seller_id()
RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.id FROM commerce.users u JOIN commerce.sellers s ON s.user_id = u.id
	WHERE u.id = commerce_private.current_user_id() AND u.role = 'SELLER'
	  AND commerce_private.current_api_role() = 'SELLER'
$$;
COMMENT ON FUNCTION commerce_private.current_seller_id() IS
	'seller id of a caller whose database role and user are both a seller''s, active or not; else NULL';

CREATE FUNCTION commerce_private.current_admin()
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM commerce.users u
				   WHERE u.id = commerce_private.current_user_id() AND u.role = 'ADMIN' AND u.status = 'ACTIVE'
					 AND commerce_private.current_api_role() = 'ADMIN')
$$;
COMMENT ON FUNCTION commerce_private.current_admin() IS
	'whether the caller''s database role and active user are both an administrator''s';

