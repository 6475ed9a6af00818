-- Coupons that users can get.

CREATE TABLE commerce.coupons (
	id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name             text NOT NULL CHECK (pg_catalog.btrim(name) <> ''),
	description      text,
	kind             commerce.coupon_kind NOT NULL,
	value            bigint NOT NULL,
	max_discount     bigint CHECK (max_discount > 0),
	round_unit       bigint NOT NULL DEFAULT 1 CHECK (round_unit > 0),
	min_order_amount bigint NOT NULL DEFAULT 0 CHECK (min_order_amount >= 0),
	scope            commerce.coupon_scope NOT NULL GENERATED ALWAYS AS (
						CASE WHEN product_id IS NOT NULL THEN 'PRODUCT'::commerce.coupon_scope
							 WHEN seller_id IS NOT NULL THEN 'SELLER'::commerce.coupon_scope
							 ELSE 'ORDER'::commerce.coupon_scope END) STORED,
	seller_id        bigint REFERENCES commerce.sellers,
	product_id       bigint REFERENCES commerce.products,
	quantity         bigint NOT NULL CHECK (quantity > 0),
	issue_from       timestamptz NOT NULL DEFAULT pg_catalog.now(),
	issue_until      timestamptz,
	valid_days       int CHECK (valid_days > 0),
	valid_until      timestamptz,
	stopped_at       timestamptz,
	max_units        bigint CHECK (max_units > 0),
	claimable        boolean NOT NULL DEFAULT true,
	metadata         jsonb,
	event_key        bigint NOT NULL DEFAULT 0,
	created_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT coupons_value_check CHECK (CASE kind WHEN 'FIXED' THEN value > 0
													WHEN 'PERCENT' THEN value BETWEEN 1 AND 100
													ELSE value = 0 END),
	CONSTRAINT coupons_validity_check CHECK (pg_catalog.num_nonnulls(valid_days, valid_until) = 1),
	CONSTRAINT coupons_window_check CHECK (issue_from < issue_until),
	CONSTRAINT coupons_shipping_check CHECK (kind <> 'FREE_SHIPPING' OR product_id IS NULL),
	CONSTRAINT coupons_units_check CHECK (max_units IS NULL OR product_id IS NOT NULL)
);
COMMENT ON TABLE commerce.coupons IS 'coupons that users can claim, or are given; what remains is told by the view coupon_list';
COMMENT ON COLUMN commerce.coupons.value IS 'won (FIXED), percent 1–100 (PERCENT), 0 (FREE_SHIPPING)';
COMMENT ON COLUMN commerce.coupons.max_discount IS 'cap: most won that the coupon takes off (of a product coupon: per unit)';
COMMENT ON COLUMN commerce.coupons.round_unit IS 'a percentage is floored to a multiple of this many won';
COMMENT ON COLUMN commerce.coupons.min_order_amount IS 'won that the eligible lines must come to after product discounts, shipping not counted';
COMMENT ON COLUMN commerce.coupons.scope IS 'follows from product_id and seller_id';
COMMENT ON COLUMN commerce.coupons.quantity IS 'how many may be issued in all: the sum of its quota_entries';
COMMENT ON COLUMN commerce.coupons.valid_days IS 'an issued coupon expires this many days after its issue';
COMMENT ON COLUMN commerce.coupons.valid_until IS 'an issued coupon expires at this moment';
COMMENT ON COLUMN commerce.coupons.max_units IS 'to how many units of its line a product''s coupon applies; NULL: to all';
COMMENT ON COLUMN commerce.coupons.claimable IS 'false: given out by issue_coupon() alone';
COMMENT ON COLUMN commerce.coupons.metadata IS 'an object of the shop''s own';
COMMENT ON COLUMN commerce.coupons.event_key IS 'key of the last outbox event of this coupon';
SELECT pg_catalog.pg_extension_config_dump('commerce.coupons', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.coupons_id_seq', '');

CREATE TRIGGER gate_delete BEFORE DELETE OR UPDATE OF id, quantity ON commerce.coupons
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.coupons ENABLE ALWAYS TRIGGER gate_delete;
CREATE FUNCTION commerce.create_coupon(
	name text, kind commerce.coupon_kind, value bigint, quantity bigint,
	valid_days int DEFAULT NULL, valid_until timestamptz DEFAULT NULL,
	issue_from timestamptz DEFAULT pg_catalog.now(), issue_until timestamptz DEFAULT NULL,
	seller_id bigint DEFAULT NULL, product_id bigint DEFAULT NULL, min_order_amount bigint DEFAULT 0,
	max_discount bigint DEFAULT NULL, round_unit bigint DEFAULT 1, description text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	-- free shipping has no amount; a cap is max_discount
	stored_value bigint := CASE WHEN create_coupon.kind = 'FREE_SHIPPING' THEN 0 ELSE create_coupon.value END;
	product_seller_id bigint;
	coupon_id bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_text('name', create_coupon.name),
		commerce_private.check_text('description', create_coupon.description);
	IF pg_catalog.btrim(coalesce(create_coupon.name, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be empty');
	END IF;
	IF create_coupon.kind IS NULL THEN
		PERFORM commerce_private.raise_invalid('kind', 'must be FIXED, PERCENT or FREE_SHIPPING');
	END IF;
	IF create_coupon.kind = 'FIXED' AND (stored_value IS NULL OR stored_value < 1) THEN
		PERFORM commerce_private.raise_invalid('value', 'must be 1 or more won');
	END IF;
	IF create_coupon.kind = 'PERCENT' AND (stored_value IS NULL OR stored_value NOT BETWEEN 1 AND 100) THEN
		PERFORM commerce_private.raise_invalid('value', 'must be a whole percentage from 1 to 100');
	END IF;
	IF create_coupon.quantity IS NULL OR create_coupon.quantity < 1 THEN
		PERFORM commerce_private.raise_invalid('quantity', 'must be 1 or more');
	END IF;
	IF pg_catalog.num_nonnulls(create_coupon.valid_days, create_coupon.valid_until) <> 1 THEN
		PERFORM commerce_private.raise_invalid('valid_days', 'must be given, or valid_until, and not both');
	END IF;
	IF create_coupon.valid_days NOT BETWEEN 1 AND 36500 THEN
		PERFORM commerce_private.raise_invalid('valid_days', 'must be from 1 to 36500');
	END IF;
	IF create_coupon.issue_from IS NULL THEN
		PERFORM commerce_private.raise_invalid('issue_from', 'must not be null');
	END IF;
	IF create_coupon.issue_until <= create_coupon.issue_from THEN
		PERFORM commerce_private.raise_invalid('issue_from', 'must be before issue_until');
	END IF;
	IF create_coupon.min_order_amount IS NULL OR create_coupon.min_order_amount < 0 THEN
		PERFORM commerce_private.raise_invalid('min_order_amount', 'must be 0 or more');
	END IF;
	IF create_coupon.max_discount < 1 THEN
		PERFORM commerce_private.raise_invalid('max_discount', 'must be 1 or more, or null for no cap');
	END IF;
	IF create_coupon.round_unit IS NULL OR create_coupon.round_unit < 1 THEN
		PERFORM commerce_private.raise_invalid('round_unit', 'must be 1 or more');
	END IF;
	IF create_coupon.kind = 'FREE_SHIPPING' AND create_coupon.product_id IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must be null for a FREE_SHIPPING coupon');
	END IF;
	IF create_coupon.seller_id IS NOT NULL
	   AND NOT EXISTS (SELECT FROM commerce.sellers s WHERE s.id = create_coupon.seller_id) THEN
		PERFORM commerce_private.raise_not_found('seller', create_coupon.seller_id);
	END IF;
	IF create_coupon.product_id IS NOT NULL THEN
		SELECT p.seller_id INTO product_seller_id FROM commerce.products p WHERE p.id = create_coupon.product_id;
		IF NOT FOUND THEN
			PERFORM commerce_private.raise_not_found('product', create_coupon.product_id);
		END IF;
		IF create_coupon.seller_id <> product_seller_id
		   OR (create_coupon.seller_id IS NOT NULL AND product_seller_id IS NULL) THEN
			PERFORM commerce_private.raise_invalid('product_id', pg_catalog.format('must be a product of seller %s', create_coupon.seller_id));
		END IF;
	END IF;

	INSERT INTO commerce.coupons (name, description, kind, value, max_discount, round_unit, min_order_amount,
								  seller_id, product_id, quantity, issue_from, issue_until, valid_days, valid_until)
	VALUES (create_coupon.name, create_coupon.description, create_coupon.kind, stored_value,
			create_coupon.max_discount, create_coupon.round_unit, create_coupon.min_order_amount,
			create_coupon.seller_id, create_coupon.product_id, create_coupon.quantity, create_coupon.issue_from,
			create_coupon.issue_until, create_coupon.valid_days, create_coupon.valid_until)
	RETURNING id INTO coupon_id;
	PERFORM commerce_private.open_quota(coupon_id, create_coupon.quantity, NULL, NULL);
	RETURN coupon_id;
END
$$;
COMMENT ON FUNCTION commerce.create_coupon(text, commerce.coupon_kind, bigint, bigint, int, timestamptz, timestamptz,
										   timestamptz, bigint, bigint, bigint, bigint, bigint, text) IS
	'offers a coupon of which quantity can be claimed from issue_from until just before issue_until, and returns its id. value: won (FIXED), percent 1–100 (PERCENT), not used for FREE_SHIPPING. Exactly one of valid_days (after issue) and valid_until. product_id: a line''s coupon; seller_id alone: counts on that seller''s lines; neither: on the whole order. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.stop_coupon(coupon_id bigint)
RETURNS commerce.coupons
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	stopped commerce.coupons;
BEGIN
	PERFORM commerce_private.begin_write();
	IF stop_coupon.coupon_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('coupon_id', 'must not be null');
	END IF;
	UPDATE commerce.coupons c
	SET stopped_at = coalesce(c.stopped_at, pg_catalog.now()), updated_at = pg_catalog.now()
	WHERE c.id = stop_coupon.coupon_id
	RETURNING c.* INTO stopped;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('coupon', stop_coupon.coupon_id);
	END IF;
	RETURN stopped;
END
$$;
COMMENT ON FUNCTION commerce.stop_coupon(bigint) IS
	'ends claiming of a coupon and returns the row; what was issued stays usable. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
