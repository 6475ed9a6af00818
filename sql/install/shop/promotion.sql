-- Promotions: discounts of a product for a time.

CREATE TABLE commerce.promotions (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	product_id bigint NOT NULL REFERENCES commerce.products,
	kind       commerce.coupon_kind NOT NULL CHECK (kind IN ('FIXED', 'PERCENT')),
	value      bigint NOT NULL CHECK (value > 0 AND (kind = 'FIXED' OR value <= 100)),
	starts_at  timestamptz NOT NULL,
	ends_at    timestamptz NOT NULL,
	event_key  bigint NOT NULL DEFAULT 0,
	CHECK (starts_at <= ends_at)
);
CREATE INDEX promotions_product_id_idx ON commerce.promotions (product_id, ends_at);
COMMENT ON TABLE commerce.promotions IS 'discounts of a product for a time: from starts_at until just before ends_at';
COMMENT ON COLUMN commerce.promotions.value IS 'won per unit (FIXED) or percent 1–100 (PERCENT)';
COMMENT ON COLUMN commerce.promotions.ends_at IS 'not after starts_at: ended before it began';
COMMENT ON COLUMN commerce.promotions.event_key IS 'key of the last outbox event of this promotion';
SELECT pg_catalog.pg_extension_config_dump('commerce.promotions', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.promotions_id_seq', '');

CREATE FUNCTION commerce.create_promotion(
	product_id bigint, kind commerce.coupon_kind, value bigint, starts_at timestamptz, ends_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	promotion_id bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	IF create_promotion.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	IF create_promotion.kind IS NULL OR create_promotion.kind NOT IN ('FIXED', 'PERCENT') THEN
		PERFORM commerce_private.raise_invalid('kind', 'must be FIXED or PERCENT');
	END IF;
	IF create_promotion.value IS NULL OR create_promotion.value < 1
	   OR (create_promotion.kind = 'PERCENT' AND create_promotion.value > 100) THEN
		PERFORM commerce_private.raise_invalid('value', 'must be 1 or more won, or 1 to 100 percent');
	END IF;
	IF create_promotion.starts_at IS NULL OR create_promotion.ends_at IS NULL
	   OR create_promotion.starts_at >= create_promotion.ends_at THEN
		PERFORM commerce_private.raise_invalid('starts_at', 'must be before ends_at');
	END IF;
	IF NOT EXISTS (SELECT FROM commerce.products p WHERE p.id = create_promotion.product_id) THEN
		PERFORM commerce_private.raise_not_found('product', create_promotion.product_id);
	END IF;
	INSERT INTO commerce.promotions (product_id, kind, value, starts_at, ends_at)
	VALUES (create_promotion.product_id, create_promotion.kind, create_promotion.value,
			create_promotion.starts_at, create_promotion.ends_at)
	RETURNING id INTO promotion_id;
	RETURN promotion_id;
END
$$;
COMMENT ON FUNCTION commerce.create_promotion(bigint, commerce.coupon_kind, bigint, timestamptz, timestamptz) IS
	'discounts a product by won (FIXED) or percent (PERCENT) per unit from starts_at until just before ends_at, and returns the promotion''s id; the largest of a product''s running promotions and its instant discount counts. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
