-- REST: who calls. PostgREST checks the token, takes a database role from one of its claims, and hands its
-- claims over as the setting request.jwt.claims. commerce.jwt_user_claim says which of them names the user, and
-- commerce.jwt_subject whether by id or by external_id.
--
-- These are functions in C, which read users, sellers and api_roles for a caller who may not.

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
	'the user that the request''s token names; NULL without a token, or when there is no such external_id';

CREATE FUNCTION commerce_private.current_api_role()
RETURNS commerce_private.api_role
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_current_api_role';
COMMENT ON FUNCTION commerce_private.current_api_role() IS
	'what the calling database role, which SET ROLE chose, may do over REST; NULL: nothing';

CREATE FUNCTION commerce_private.current_seller_id()
RETURNS bigint
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_current_seller_id';
COMMENT ON FUNCTION commerce_private.current_seller_id() IS
	'seller id of a caller whose database role and user are both a seller''s, active or not; else NULL';

CREATE FUNCTION commerce_private.current_admin()
RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_current_admin';
COMMENT ON FUNCTION commerce_private.current_admin() IS
	'whether the caller''s database role and active user are both an administrator''s';
