-- A database that will not do is told before anything is made in it.
DO $$
BEGIN
	IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
		RAISE EXCEPTION 'commerce needs a database with the encoding UTF8; that of this one is %', pg_catalog.getdatabaseencoding()
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = 'CREATE DATABASE ... TEMPLATE template0 ENCODING ''UTF8''';
	END IF;
END
$$;

-- The schemas, first of all, and plainly: a schema that is there already ends the script, and with it whatever
-- its owner has put into it. commerce.control says pg_catalog for the same reason: CREATE EXTENSION would take
-- over a schema that has the name.

CREATE SCHEMA commerce;
COMMENT ON SCHEMA commerce IS 'Shop: what people read and call; see grant_app()';

CREATE SCHEMA commerce_private;
COMMENT ON SCHEMA commerce_private IS 'Shop: what only the extension itself, its relay and its operator use';

CREATE SCHEMA commerce_archive;
COMMENT ON SCHEMA commerce_archive IS 'Shop: orders that are long over, by month; see archive()';

CREATE SCHEMA commerce_api;
COMMENT ON SCHEMA commerce_api IS
	'Shop: catalogue, balance, coupons, orders and payment, and what sellers and administrators do. Amounts are whole numbers of the smallest unit of commerce.currency';

CREATE FUNCTION commerce_private.require_library()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_require_library';
COMMENT ON FUNCTION commerce_private.require_library() IS
	'refuses unless the library in memory can serve this version of the extension: what each script calls first';
SELECT commerce_private.require_library();
