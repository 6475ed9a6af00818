-- Promotions: discounts of a product for a time.

CREATE TABLE commerce.promotions (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	product_id bigint NOT NULL REFERENCES commerce.products,
	kind       commerce.coupon_kind NOT NULL CHECK (kind IN ('FIXED', 'PERCENT')),
	value      bigint NOT NULL,
	starts_at  timestamptz NOT NULL,
	ends_at    timestamptz NOT NULL,
	event_key  bigint NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT promotions_value_check CHECK (value > 0 AND (kind = 'FIXED' OR value <= 100)),
	CONSTRAINT promotions_end_check CHECK (starts_at <= ends_at),
	CONSTRAINT promotions_times_check CHECK (commerce_private.is_time(starts_at) AND commerce_private.is_time(ends_at))
);
CREATE INDEX promotions_product_id_idx ON commerce.promotions (product_id, ends_at);
CREATE INDEX promotions_ends_at_idx ON commerce.promotions (ends_at);
COMMENT ON TABLE commerce.promotions IS 'discounts of a product for a time: from starts_at until just before ends_at';
COMMENT ON COLUMN commerce.promotions.value IS 'an amount per unit (FIXED) or percent 1 to 100 (PERCENT)';
COMMENT ON COLUMN commerce.promotions.ends_at IS 'not after starts_at: ended before it began';
COMMENT ON COLUMN commerce.promotions.event_key IS 'key of the last outbox event of this promotion';
SELECT pg_catalog.pg_extension_config_dump('commerce.promotions', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.promotions_id_seq', '');

-- As an order reckons it (src/shop/product.c).
CREATE VIEW commerce_private.reductions AS
	SELECT p.id AS product_id, least(p.price, greatest(p.discount, m.best)) AS reduction
	FROM commerce.products p
	CROSS JOIN LATERAL (SELECT max(CASE r.kind WHEN 'FIXED' THEN r.value
										ELSE p.price / 100 * r.value + p.price % 100 * r.value / 100 END) AS best
						FROM commerce.promotions r
						WHERE r.product_id = p.id AND r.starts_at <= pg_catalog.statement_timestamp()
						  AND r.ends_at > pg_catalog.statement_timestamp()) m;
COMMENT ON VIEW commerce_private.reductions IS
	'what is off a unit of each product now: the larger of instant discount and running promotions';

CREATE FUNCTION commerce_private.promotion_event(p commerce.promotions, event_type text, actor jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('Promotion', p.id::text, event_type,
		pg_catalog.jsonb_build_object('promotion_id', p.id, 'product_id', p.product_id,
			'seller_id', commerce_private.product_seller(p.product_id), 'kind', p.kind, 'value', p.value,
			'starts_at', p.starts_at, 'ends_at', p.ends_at, 'created_at', p.created_at, 'updated_at', p.updated_at,
			'actor', actor),
		p.event_key);
END
$$;
COMMENT ON FUNCTION commerce_private.promotion_event(commerce.promotions, text, jsonb) IS
	'writes an event that carries the whole promotion and who did it; the caller has just set its event_key';

CREATE FUNCTION commerce_private.check_promotion_value(kind commerce.coupon_kind, value bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF value NOT BETWEEN 1 AND (CASE kind WHEN 'PERCENT' THEN 100 ELSE 1000000000000 END) THEN
		PERFORM commerce_private.raise_invalid('value', 'must be 1 to 1 000 000 000 000, or 1 to 100 percent');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_promotion_value(commerce.coupon_kind, bigint) IS
	'raises INVALID_REQUEST for a discount that a promotion cannot give';

CREATE FUNCTION commerce.create_promotion(
	product_id bigint, kind commerce.coupon_kind, value bigint, starts_at timestamptz, ends_at timestamptz,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	scope text := 'product:' || create_promotion.product_id;
	missing text;
	arguments jsonb;
	stored jsonb;
	actor jsonb;
	p commerce.promotions;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	missing := CASE WHEN create_promotion.product_id IS NULL THEN 'product_id' WHEN create_promotion.value IS NULL THEN 'value'
					WHEN create_promotion.starts_at IS NULL THEN 'starts_at' WHEN create_promotion.ends_at IS NULL THEN 'ends_at' END;
	IF missing IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid(missing, 'must not be null');
	END IF;
	IF create_promotion.kind IS NULL OR create_promotion.kind NOT IN ('FIXED', 'PERCENT') THEN
		PERFORM commerce_private.raise_invalid('kind', 'must be FIXED or PERCENT');
	END IF;
	PERFORM commerce_private.check_promotion_value(create_promotion.kind, create_promotion.value),
		commerce_private.check_time('starts_at', create_promotion.starts_at),
		commerce_private.check_text('note', create_promotion.note);
	arguments := pg_catalog.jsonb_build_object('kind', create_promotion.kind, 'value', create_promotion.value,
		'starts_at', create_promotion.starts_at AT TIME ZONE 'UTC', 'ends_at', create_promotion.ends_at AT TIME ZONE 'UTC',
		'actor_id', create_promotion.actor_id, 'note', create_promotion.note);
	stored := commerce_private.begin_key(scope, 'create_promotion', create_promotion.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;
	-- after the key: what is sent again may be about a time that is over by now
	PERFORM commerce_private.check_end('ends_at', create_promotion.ends_at, create_promotion.starts_at);
	actor := commerce_private.require_who(create_promotion.actor_id, create_promotion.note,
		commerce_private.product_seller(create_promotion.product_id));

	INSERT INTO commerce.promotions (product_id, kind, value, starts_at, ends_at, event_key)
	VALUES (create_promotion.product_id, create_promotion.kind, create_promotion.value,
			create_promotion.starts_at, create_promotion.ends_at, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	RETURNING * INTO p;
	PERFORM commerce_private.promotion_event(p, 'PromotionCreated', actor);
	PERFORM commerce_private.end_key(scope, 'create_promotion', create_promotion.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('id', p.id));
	RETURN p.id;
END
$$;
COMMENT ON FUNCTION commerce.create_promotion(bigint, commerce.coupon_kind, bigint, timestamptz, timestamptz, bigint, text, text) IS
	'discounts a product by an amount (FIXED) or a percentage (PERCENT) per unit from starts_at until just before ends_at, and returns the promotion''s id; the largest of a product''s running promotions and its instant discount counts. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, IDEMPOTENCY_KEY_REUSED';

-- Whose a promotion is may be read without a lock: it never changes.
CREATE FUNCTION commerce_private.promotion_seller(promotion_id bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	product_id bigint;
BEGIN
	IF promotion_seller.promotion_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('promotion_id', 'must not be null');
	END IF;
	SELECT p.product_id INTO product_id FROM commerce.promotions p WHERE p.id = promotion_seller.promotion_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('promotion', promotion_seller.promotion_id);
	END IF;
	RETURN commerce_private.product_seller(product_id);
END
$$;
COMMENT ON FUNCTION commerce_private.promotion_seller(bigint) IS
	'the seller of the product that a promotion is of; NULL: the shop. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.update_promotion(
	promotion_id bigint, value bigint DEFAULT NULL, starts_at timestamptz DEFAULT NULL, ends_at timestamptz DEFAULT NULL,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.promotions
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	before commerce.promotions;
	p commerce.promotions;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce_private.check_text('note', update_promotion.note),
		commerce_private.check_time('starts_at', update_promotion.starts_at),
		commerce_private.check_end('ends_at', update_promotion.ends_at, update_promotion.starts_at);
	actor := commerce_private.require_who(update_promotion.actor_id, update_promotion.note,
		commerce_private.promotion_seller(update_promotion.promotion_id));
	SELECT * INTO before FROM commerce.promotions c WHERE c.id = update_promotion.promotion_id FOR NO KEY UPDATE;
	PERFORM commerce_private.check_promotion_value(before.kind, update_promotion.value);
	p := before;
	p.value := coalesce(update_promotion.value, p.value);
	p.starts_at := coalesce(update_promotion.starts_at, p.starts_at);
	p.ends_at := coalesce(update_promotion.ends_at, p.ends_at);
	IF p IS NOT DISTINCT FROM before THEN
		RETURN before;
	END IF;
	IF p.starts_at >= p.ends_at THEN
		PERFORM commerce_private.raise_invalid(CASE WHEN update_promotion.ends_at IS NULL THEN 'starts_at' ELSE 'ends_at' END,
			'would leave the promotion no time');
	END IF;

	UPDATE commerce.promotions c
	SET value = p.value, starts_at = p.starts_at, ends_at = p.ends_at, updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = p.id
	RETURNING c.* INTO p;
	PERFORM commerce_private.promotion_event(p, 'PromotionChanged', actor);
	RETURN p;
END
$$;
COMMENT ON FUNCTION commerce.update_promotion(bigint, bigint, timestamptz, timestamptz, bigint, text) IS
	'changes what is given of a promotion and returns the row; orders made before keep their prices. actor_id: an ADMIN, or the user of the product''s seller; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.end_promotion(promotion_id bigint, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.promotions
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	p commerce.promotions;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce_private.check_text('note', end_promotion.note);
	actor := commerce_private.require_who(end_promotion.actor_id, end_promotion.note,
		commerce_private.promotion_seller(end_promotion.promotion_id));
	SELECT * INTO p FROM commerce.promotions c WHERE c.id = end_promotion.promotion_id FOR NO KEY UPDATE;
	IF p.ends_at <= pg_catalog.statement_timestamp() OR p.ends_at = p.starts_at THEN
		RETURN p;
	END IF;
	UPDATE commerce.promotions c
	SET ends_at = greatest(c.starts_at, pg_catalog.statement_timestamp()), updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = p.id
	RETURNING c.* INTO p;
	PERFORM commerce_private.promotion_event(p, 'PromotionEnded', actor);
	RETURN p;
END
$$;
COMMENT ON FUNCTION commerce.end_promotion(bigint, bigint, text) IS
	'ends a promotion at once, or one that has not begun before it begins, and returns the row; one that is over stays as it is. actor_id: an ADMIN, or the user of the product''s seller; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND';
