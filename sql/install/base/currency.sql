-- The shop's one currency: the setting commerce.currency, fixed once there are orders.

CREATE TABLE commerce_private.fixed_currency (
	single boolean PRIMARY KEY DEFAULT true CHECK (single),
	code   text NOT NULL
);
COMMENT ON TABLE commerce_private.fixed_currency IS 'the currency that the orders of the shop are in; no row: KRW, or there are no orders';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.fixed_currency', '');

CREATE FUNCTION commerce_private.require_currency()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_require_currency';
COMMENT ON FUNCTION commerce_private.require_currency() IS
	'before an order is inserted: fixes the shop''s currency with the first one. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.shop_currency(OUT code text, OUT decimals int)
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_shop_currency';
COMMENT ON FUNCTION commerce_private.shop_currency() IS
	'the shop''s currency by ISO 4217, and with how many digits after the point it is written: amounts are in its smallest unit';
