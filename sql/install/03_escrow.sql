-- Escrow: what keeps stock and coupon quota exact. The journals and the narrow rows they are folded
-- into belong to their domains (stock: 05_products.sql, quota: 06_coupons.sql).

CREATE TABLE commerce.gate ();
COMMENT ON TABLE commerce.gate IS
	'never holds a row: every operation of the extension locks it ROW EXCLUSIVE, a write past the extension SHARE ROW EXCLUSIVE, so that the two never run side by side';

CREATE TABLE commerce.origin (
	system_identifier bigint NOT NULL,
	era               int    NOT NULL,
	recorded_at       timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE commerce.origin IS
	'the cluster that the transaction ids in the journals belong to; written at first use. A dump restored elsewhere is recognised by it';
COMMENT ON COLUMN commerce.origin.system_identifier IS 'of pg_control_system()';
COMMENT ON COLUMN commerce.origin.era IS 'number of the outbox''s era that this cluster writes';
SELECT pg_catalog.pg_extension_config_dump('commerce.origin', '');

-- Row triggers for writes that do not come from the extension's own functions.
CREATE FUNCTION commerce.gate_foreign_write()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'commerce_gate_foreign_write';
COMMENT ON FUNCTION commerce.gate_foreign_write() IS
	'internal: waits for running orders, and keeps new ones out until this transaction has ended';

CREATE FUNCTION commerce.fold()
RETURNS bigint
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_fold';
COMMENT ON FUNCTION commerce.fold() IS
	'adds finished journal entries to stock.on_hand and coupon_quota.on_hand and returns how many products and coupons it moved; never changes what is available';
