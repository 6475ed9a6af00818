-- The schemas, first of all, and plainly: a schema that is there already ends the script, and with it whatever
-- its owner has put into it. commerce.control says pg_catalog for the same reason: CREATE EXTENSION would take
-- over a schema that has the name.

CREATE SCHEMA commerce;
COMMENT ON SCHEMA commerce IS 'Shop: what people read and call; see grant_app()';

CREATE SCHEMA commerce_private;
COMMENT ON SCHEMA commerce_private IS 'Shop: what only the extension itself, its relay and its operator use';

CREATE SCHEMA commerce_api;
COMMENT ON SCHEMA commerce_api IS
	'Shop: catalogue, balance, coupons, orders and payment, and what sellers and administrators do';
