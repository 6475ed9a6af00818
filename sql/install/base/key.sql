-- Transaction ids are stored as bigint, which every driver reads.
CREATE FUNCTION commerce_private.to_key(xid xid8)
RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_to_key';
COMMENT ON FUNCTION commerce_private.to_key(xid8) IS 'a transaction id as the tables have it; no cast leads there';
