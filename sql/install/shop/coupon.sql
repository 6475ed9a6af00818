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
	CONSTRAINT coupons_times_check CHECK (commerce_private.is_time(issue_from) AND commerce_private.is_time(issue_until)
										  AND commerce_private.is_time(valid_until)),
	CONSTRAINT coupons_shipping_check CHECK (kind <> 'FREE_SHIPPING' OR product_id IS NULL),
	CONSTRAINT coupons_units_check CHECK (max_units IS NULL OR product_id IS NOT NULL)
);
COMMENT ON TABLE commerce.coupons IS 'coupons that users can claim, or are given; what remains is told by the view coupon_list';
COMMENT ON COLUMN commerce.coupons.value IS 'an amount (FIXED), percent 1 to 100 (PERCENT), 0 (FREE_SHIPPING)';
COMMENT ON COLUMN commerce.coupons.max_discount IS 'cap: the most that the coupon takes off (of a product coupon: per unit)';
COMMENT ON COLUMN commerce.coupons.round_unit IS 'a percentage is floored to a multiple of this amount';
COMMENT ON COLUMN commerce.coupons.min_order_amount IS 'what the eligible lines must come to after product discounts, shipping not counted';
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
-- What the attributes of a coupon may be; NULL: not given, or none.
CREATE FUNCTION commerce_private.check_coupon(
	name text, description text, quantity bigint, issue_from timestamptz, min_order_amount bigint, max_discount bigint,
	round_unit bigint, max_units bigint, metadata jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	positive record;
BEGIN
	PERFORM commerce_private.check_text('name', name), commerce_private.check_text('description', description);
	IF pg_catalog.btrim(name) = '' THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be empty');
	END IF;
	FOR positive IN SELECT * FROM (VALUES ('quantity', quantity), ('max_discount', max_discount), ('round_unit', round_unit),
								   ('max_units', max_units)) AS v (argument, value) WHERE v.value NOT BETWEEN 1 AND 1000000000000 LOOP
		PERFORM commerce_private.raise_invalid(positive.argument, 'must be between 1 and 1 000 000 000 000');
	END LOOP;
	PERFORM commerce_private.check_time('issue_from', issue_from), commerce_private.check_amount('min_order_amount', min_order_amount),
		commerce_private.check_metadata(metadata);
END
$$;
COMMENT ON FUNCTION commerce_private.check_coupon(text, text, bigint, timestamptz, bigint, bigint, bigint, bigint, jsonb) IS
	'the rules of a coupon''s attributes, each with its INVALID_REQUEST';

-- The rules that need more than one attribute.
CREATE FUNCTION commerce_private.check_coupon_row(c commerce.coupons)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF c.issue_until <= c.issue_from THEN
		PERFORM commerce_private.raise_invalid('issue_from', 'must be before issue_until');
	END IF;
	IF c.valid_until <= c.issue_from THEN
		PERFORM commerce_private.raise_invalid('issue_from', 'must be before valid_until');
	END IF;
	IF c.max_units IS NOT NULL AND c.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('max_units', 'must be null for a coupon that is not of a product');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_coupon_row(commerce.coupons) IS
	'the rules of a coupon as a whole. Errors: INVALID_REQUEST';

-- What only a new coupon can get wrong: these never change.
CREATE FUNCTION commerce_private.check_new_coupon(c commerce.coupons)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF c.kind IS NULL THEN
		PERFORM commerce_private.raise_invalid('kind', 'must be FIXED, PERCENT or FREE_SHIPPING');
	END IF;
	IF c.kind = 'FIXED' AND coalesce(c.value, 0) NOT BETWEEN 1 AND 1000000000000 THEN
		PERFORM commerce_private.raise_invalid('value', 'must be 1 to 1 000 000 000 000');
	END IF;
	IF c.kind = 'PERCENT' AND coalesce(c.value, 0) NOT BETWEEN 1 AND 100 THEN
		PERFORM commerce_private.raise_invalid('value', 'must be a whole percentage from 1 to 100');
	END IF;
	IF pg_catalog.num_nonnulls(c.valid_days, c.valid_until) <> 1 THEN
		PERFORM commerce_private.raise_invalid('valid_days', 'must be given, or valid_until, and not both');
	END IF;
	IF c.valid_days NOT BETWEEN 1 AND 36500 THEN
		PERFORM commerce_private.raise_invalid('valid_days', 'must be from 1 to 36500');
	END IF;
	IF c.kind = 'FREE_SHIPPING' AND c.product_id IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must be null for a FREE_SHIPPING coupon');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_new_coupon(commerce.coupons) IS
	'the rules of what never changes of a coupon, each with its INVALID_REQUEST';

CREATE FUNCTION commerce_private.offer_event(c commerce.coupons, event_type text, actor jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('Coupon', c.id::text, event_type,
		pg_catalog.jsonb_build_object('coupon_id', c.id, 'name', c.name, 'description', c.description, 'kind', c.kind,
			'value', c.value, 'max_discount', c.max_discount, 'round_unit', c.round_unit,
			'min_order_amount', c.min_order_amount, 'scope', c.scope, 'seller_id', c.seller_id,
			'product_id', c.product_id, 'quantity', c.quantity, 'issue_from', c.issue_from,
			'issue_until', c.issue_until, 'valid_days', c.valid_days, 'valid_until', c.valid_until,
			'stopped_at', c.stopped_at, 'max_units', c.max_units, 'claimable', c.claimable, 'metadata', c.metadata,
			'created_at', c.created_at, 'updated_at', c.updated_at, 'actor', actor),
		c.event_key);
END
$$;
COMMENT ON FUNCTION commerce_private.offer_event(commerce.coupons, text, jsonb) IS
	'writes an event that carries the whole coupon and who did it; the caller has just set its event_key';

-- Whose a coupon is, and what it is for, may be read without a lock: it never changes.
CREATE FUNCTION commerce_private.coupon_seller(coupon_id bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	seller_id bigint;
BEGIN
	IF coupon_seller.coupon_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('coupon_id', 'must not be null');
	END IF;
	SELECT c.seller_id INTO seller_id FROM commerce.coupons c WHERE c.id = coupon_seller.coupon_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('coupon', coupon_seller.coupon_id);
	END IF;
	RETURN seller_id;
END
$$;
COMMENT ON FUNCTION commerce_private.coupon_seller(bigint) IS
	'the seller who issued it; NULL: the shop. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.require_coupon_subject(seller_id bigint, product_id bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	owner_id bigint;
BEGIN
	IF seller_id IS NOT NULL AND NOT EXISTS (SELECT FROM commerce.sellers s WHERE s.id = seller_id) THEN
		PERFORM commerce_private.raise_not_found('seller', seller_id);
	END IF;
	IF product_id IS NOT NULL THEN
		owner_id := commerce_private.product_seller(product_id);
		IF seller_id IS NOT NULL AND owner_id IS DISTINCT FROM seller_id THEN
			PERFORM commerce_private.raise_invalid('product_id', pg_catalog.format('must be a product of seller %s', seller_id));
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_coupon_subject(bigint, bigint) IS
	'the seller and the product of a coupon are there, and belong together. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.create_coupon(
	name text, kind commerce.coupon_kind, value bigint, quantity bigint,
	valid_days int DEFAULT NULL, valid_until timestamptz DEFAULT NULL,
	issue_from timestamptz DEFAULT pg_catalog.now(), issue_until timestamptz DEFAULT NULL,
	seller_id bigint DEFAULT NULL, product_id bigint DEFAULT NULL, min_order_amount bigint DEFAULT 0,
	max_discount bigint DEFAULT NULL, round_unit bigint DEFAULT 1, description text DEFAULT NULL,
	max_units bigint DEFAULT NULL, claimable boolean DEFAULT true, metadata jsonb DEFAULT NULL,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	missing text;
	terms jsonb;
	arguments jsonb;
	stored jsonb;
	actor jsonb;
	c commerce.coupons;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	missing := CASE WHEN create_coupon.name IS NULL THEN 'name' WHEN create_coupon.quantity IS NULL THEN 'quantity'
					WHEN create_coupon.issue_from IS NULL THEN 'issue_from' WHEN create_coupon.min_order_amount IS NULL THEN 'min_order_amount'
					WHEN create_coupon.round_unit IS NULL THEN 'round_unit' WHEN create_coupon.claimable IS NULL THEN 'claimable' END;
	IF missing IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid(missing, 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', create_coupon.note), commerce_private.check_time('valid_until', create_coupon.valid_until),
		commerce_private.check_time('issue_until', create_coupon.issue_until);
	PERFORM commerce_private.check_coupon(create_coupon.name, create_coupon.description, create_coupon.quantity,
		create_coupon.issue_from, create_coupon.min_order_amount, create_coupon.max_discount, create_coupon.round_unit,
		create_coupon.max_units, create_coupon.metadata);
	-- free shipping has no amount; a cap is max_discount
	terms := pg_catalog.jsonb_build_object('name', create_coupon.name, 'description', create_coupon.description,
		'kind', create_coupon.kind, 'value', CASE WHEN create_coupon.kind = 'FREE_SHIPPING' THEN 0 ELSE create_coupon.value END,
		'quantity', create_coupon.quantity, 'valid_days', create_coupon.valid_days,
		'valid_until', create_coupon.valid_until AT TIME ZONE 'UTC', 'issue_from', create_coupon.issue_from AT TIME ZONE 'UTC',
		'issue_until', create_coupon.issue_until AT TIME ZONE 'UTC', 'seller_id', create_coupon.seller_id,
		'product_id', create_coupon.product_id, 'min_order_amount', create_coupon.min_order_amount,
		'max_discount', create_coupon.max_discount, 'round_unit', create_coupon.round_unit, 'max_units', create_coupon.max_units,
		'claimable', create_coupon.claimable, 'metadata', create_coupon.metadata);
	-- what begins now, as it does when it does not say, begins at another time when it is sent again
	arguments := terms || pg_catalog.jsonb_build_object('actor_id', create_coupon.actor_id, 'note', create_coupon.note,
		'issue_from', CASE WHEN create_coupon.issue_from <> pg_catalog.now() THEN create_coupon.issue_from AT TIME ZONE 'UTC' END);
	c := pg_catalog.jsonb_populate_record(NULL::commerce.coupons, terms);
	c.issue_from := create_coupon.issue_from;
	c.issue_until := create_coupon.issue_until;
	c.valid_until := create_coupon.valid_until;
	PERFORM commerce_private.check_new_coupon(c);
	PERFORM commerce_private.check_coupon_row(c);
	stored := commerce_private.begin_key('shop', 'create_coupon', create_coupon.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;
	-- after the key: what is sent again may be about a time that is over by now
	PERFORM commerce_private.check_end('issue_until', c.issue_until, c.issue_from), commerce_private.check_end('valid_until', c.valid_until, c.issue_from);
	PERFORM commerce_private.require_coupon_subject(c.seller_id, c.product_id);
	actor := commerce_private.require_who(create_coupon.actor_id, create_coupon.note, c.seller_id);

	INSERT INTO commerce.coupons (name, description, kind, value, max_discount, round_unit, min_order_amount, seller_id, product_id,
								  quantity, issue_from, issue_until, valid_days, valid_until, max_units, claimable, metadata, event_key)
	VALUES (c.name, c.description, c.kind, c.value, c.max_discount, c.round_unit, c.min_order_amount, c.seller_id, c.product_id,
			c.quantity, c.issue_from, c.issue_until, c.valid_days, c.valid_until, c.max_units, c.claimable, c.metadata,
			commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	RETURNING * INTO c;
	PERFORM commerce_private.open_quota(c.id, c.quantity, create_coupon.actor_id, create_coupon.note);
	PERFORM commerce_private.offer_event(c, 'CouponCreated', actor);
	PERFORM commerce_private.end_key('shop', 'create_coupon', create_coupon.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('id', c.id));
	RETURN c.id;
END
$$;
COMMENT ON FUNCTION commerce.create_coupon(text, commerce.coupon_kind, bigint, bigint, int, timestamptz, timestamptz,
										   timestamptz, bigint, bigint, bigint, bigint, bigint, text, bigint, boolean, jsonb,
										   bigint, text, text) IS
	'offers a coupon of which quantity can be claimed from issue_from until just before issue_until, and returns its id. value: an amount (FIXED), percent 1 to 100 (PERCENT), not used for FREE_SHIPPING. Exactly one of valid_days (after issue) and valid_until. product_id: a line''s coupon, of at most max_units of its units; seller_id alone: counts on that seller''s lines; neither: on the whole order. claimable false: given out by issue_coupon() alone. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.update_coupon(
	coupon_id bigint, name text DEFAULT NULL, description text DEFAULT NULL, quantity bigint DEFAULT NULL,
	issue_from timestamptz DEFAULT NULL, issue_until timestamptz DEFAULT NULL, min_order_amount bigint DEFAULT NULL,
	max_discount bigint DEFAULT NULL, round_unit bigint DEFAULT NULL, max_units bigint DEFAULT NULL,
	claimable boolean DEFAULT NULL, metadata jsonb DEFAULT NULL, clear text[] DEFAULT '{}',
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.coupons
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	changes jsonb;
	actor jsonb;
	before commerce.coupons;
	c commerce.coupons;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce_private.check_text('note', update_coupon.note), commerce_private.check_texts('clear', update_coupon.clear);
	PERFORM commerce_private.check_coupon(update_coupon.name, update_coupon.description, update_coupon.quantity,
		update_coupon.issue_from, update_coupon.min_order_amount, update_coupon.max_discount, update_coupon.round_unit,
		update_coupon.max_units, update_coupon.metadata);
	PERFORM commerce_private.check_end('issue_until', update_coupon.issue_until, update_coupon.issue_from);
	changes := commerce_private.changes(
		pg_catalog.jsonb_build_object('name', update_coupon.name, 'description', update_coupon.description,
			'quantity', update_coupon.quantity, 'issue_from', update_coupon.issue_from, 'issue_until', update_coupon.issue_until,
			'min_order_amount', update_coupon.min_order_amount, 'max_discount', update_coupon.max_discount,
			'round_unit', update_coupon.round_unit, 'max_units', update_coupon.max_units,
			'claimable', update_coupon.claimable, 'metadata', update_coupon.metadata),
		update_coupon.clear, '{description,issue_until,max_discount,max_units,metadata}');
	actor := commerce_private.require_who(update_coupon.actor_id, update_coupon.note, commerce_private.coupon_seller(update_coupon.coupon_id));

	SELECT * INTO before FROM commerce.coupons o WHERE o.id = update_coupon.coupon_id FOR NO KEY UPDATE;
	c := pg_catalog.jsonb_populate_record(before, changes);
	IF c IS NOT DISTINCT FROM before THEN
		RETURN before;
	END IF;
	PERFORM commerce_private.check_coupon_row(c);
	IF c.quantity <> before.quantity THEN
		PERFORM commerce_private.change_quota(c.id, before.quantity, c.quantity, update_coupon.actor_id, update_coupon.note);
	END IF;
	UPDATE commerce.coupons o
	SET name = c.name, description = c.description, issue_from = c.issue_from, issue_until = c.issue_until,
		min_order_amount = c.min_order_amount, max_discount = c.max_discount, round_unit = c.round_unit,
		max_units = c.max_units, claimable = c.claimable, metadata = c.metadata, updated_at = pg_catalog.now(),
		event_key = greatest(o.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE o.id = c.id
	RETURNING o.* INTO c;
	PERFORM commerce_private.offer_event(c, 'CouponChanged', actor);
	RETURN c;
END
$$;
COMMENT ON FUNCTION commerce.update_coupon(bigint, text, text, bigint, timestamptz, timestamptz, bigint, bigint, bigint, bigint,
										   boolean, jsonb, text[], bigint, text) IS
	'changes the attributes of a coupon that are given, empties those that clear names (description, issue_until, max_discount, max_units, metadata), leaves the others, and returns the row; what was issued keeps all its terms. A lower quantity waits for those who are claiming; one below what is issued is INVALID_REQUEST with issued in the detail. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.stop_coupon(coupon_id bigint, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.coupons
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	c commerce.coupons;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce_private.check_text('note', stop_coupon.note);
	actor := commerce_private.require_who(stop_coupon.actor_id, stop_coupon.note, commerce_private.coupon_seller(stop_coupon.coupon_id));
	SELECT * INTO c FROM commerce.coupons o WHERE o.id = stop_coupon.coupon_id FOR NO KEY UPDATE;
	IF c.stopped_at IS NOT NULL THEN
		RETURN c;
	END IF;
	UPDATE commerce.coupons o
	SET stopped_at = pg_catalog.now(), updated_at = pg_catalog.now(),
		event_key = greatest(o.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE o.id = c.id
	RETURNING o.* INTO c;
	PERFORM commerce_private.offer_event(c, 'CouponStopped', actor);
	RETURN c;
END
$$;
COMMENT ON FUNCTION commerce.stop_coupon(bigint, bigint, text) IS
	'ends claiming and issuing of a coupon and returns the row; what was issued stays usable. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND';
