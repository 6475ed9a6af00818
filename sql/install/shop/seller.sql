-- Sellers: the businesses behind users of role SELLER.

CREATE FUNCTION commerce_private.check_seller(
	business_name text, registration_number text, cs_phone text, address text, category text, shipping_fee bigint,
	free_shipping_from bigint, metadata jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('business_name', business_name),
		commerce_private.check_text('registration_number', registration_number),
		commerce_private.check_text('cs_phone', cs_phone), commerce_private.check_text('address', address),
		commerce_private.check_text('category', category);
	IF pg_catalog.btrim(business_name) = '' THEN
		PERFORM commerce_private.raise_invalid('business_name', 'must not be empty');
	END IF;
	IF pg_catalog.btrim(registration_number) = '' THEN
		PERFORM commerce_private.raise_invalid('registration_number', 'must not be empty');
	END IF;
	PERFORM commerce_private.check_amount('shipping_fee', shipping_fee);
	PERFORM commerce_private.check_amount('free_shipping_from', free_shipping_from);
	PERFORM commerce_private.check_metadata(metadata);
END
$$;
COMMENT ON FUNCTION commerce_private.check_seller(text, text, text, text, text, bigint, bigint, jsonb) IS
	'the rules of a seller''s attributes, each with its INVALID_REQUEST; NULL: not given';

CREATE FUNCTION commerce_private.seller_event(s commerce.sellers, event_type text, actor jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('Seller', s.id::text, event_type,
		pg_catalog.jsonb_build_object('seller_id', s.id, 'user_id', s.user_id, 'business_name', s.business_name,
			'registration_number', s.registration_number, 'cs_phone', s.cs_phone, 'address', s.address,
			'category', s.category, 'active', s.active, 'shipping_fee', s.shipping_fee,
			'free_shipping_from', s.free_shipping_from, 'metadata', s.metadata, 'created_at', s.created_at,
			'updated_at', s.updated_at, 'actor', actor),
		s.event_key);
END
$$;
COMMENT ON FUNCTION commerce_private.seller_event(commerce.sellers, text, jsonb) IS
	'writes an event that carries the whole seller and who did it; the caller has just set its event_key';

CREATE FUNCTION commerce_private.follow_status(u commerce.users, actor jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s commerce.sellers;
BEGIN
	UPDATE commerce.sellers c
	SET active = u.status = 'ACTIVE', updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.user_id = u.id AND c.active <> (u.status = 'ACTIVE')
	RETURNING c.* INTO s;
	IF s.id IS NOT NULL THEN
		PERFORM commerce_private.seller_event(s, 'SellerChanged', actor);
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.follow_status(commerce.users, jsonb) IS
	'makes the seller of a user active or not, as the user''s new status says';

CREATE FUNCTION commerce.create_seller(
	user_id bigint, business_name text, registration_number text, cs_phone text DEFAULT NULL,
	address text DEFAULT NULL, category text DEFAULT NULL, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	u commerce.users;
	s commerce.sellers;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	IF create_seller.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	IF create_seller.business_name IS NULL THEN
		PERFORM commerce_private.raise_invalid('business_name', 'must not be null');
	END IF;
	IF create_seller.registration_number IS NULL THEN
		PERFORM commerce_private.raise_invalid('registration_number', 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', create_seller.note);
	PERFORM commerce_private.check_seller(create_seller.business_name, create_seller.registration_number,
		create_seller.cs_phone, create_seller.address, create_seller.category, NULL, NULL, NULL);
	actor := commerce_private.require_who(create_seller.actor_id, create_seller.note);
	u := commerce_private.lock_user(create_seller.user_id);
	PERFORM commerce_private.require_not_erased(u);
	IF u.role = 'ADMIN' THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be of an administrator');
	END IF;

	INSERT INTO commerce.sellers (user_id, business_name, registration_number, cs_phone, address, category, active, event_key)
	VALUES (u.id, create_seller.business_name, create_seller.registration_number, create_seller.cs_phone,
			create_seller.address, create_seller.category, u.status = 'ACTIVE',
			commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	ON CONFLICT DO NOTHING
	RETURNING * INTO s;
	IF s.id IS NULL THEN
		PERFORM commerce_private.raise_taken('seller',
			CASE WHEN EXISTS (SELECT FROM commerce.sellers o WHERE o.user_id = u.id) THEN 'user_id'
				 WHEN EXISTS (SELECT FROM commerce.sellers o WHERE o.registration_number = create_seller.registration_number)
				 THEN 'registration_number' END);
	END IF;
	PERFORM commerce_private.seller_event(s, 'SellerCreated', actor);
	IF u.role <> 'SELLER' THEN
		UPDATE commerce.users c
		SET role = 'SELLER', updated_at = pg_catalog.now(),
			event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
		WHERE c.id = u.id
		RETURNING c.* INTO u;
		PERFORM commerce_private.user_event(u, 'UserChanged', pg_catalog.jsonb_build_object('actor', actor));
	END IF;
	RETURN s.id;
END
$$;
COMMENT ON FUNCTION commerce.create_seller(bigint, text, text, text, text, text, bigint, text) IS
	'records the business of a user, once per user, and returns the seller''s id; a BUYER becomes a SELLER by it. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, ALREADY_EXISTS, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce_private.store_seller(s commerce.sellers)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE commerce.sellers c
	SET business_name = s.business_name, registration_number = s.registration_number, cs_phone = s.cs_phone,
		address = s.address, category = s.category, shipping_fee = s.shipping_fee,
		free_shipping_from = s.free_shipping_from, metadata = s.metadata, updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = s.id;
END
$$;
COMMENT ON FUNCTION commerce_private.store_seller(commerce.sellers) IS 'writes the attributes of a seller whose row the caller has locked';

CREATE FUNCTION commerce.update_seller(
	seller_id bigint, business_name text DEFAULT NULL, registration_number text DEFAULT NULL,
	cs_phone text DEFAULT NULL, address text DEFAULT NULL, category text DEFAULT NULL,
	shipping_fee bigint DEFAULT NULL, free_shipping_from bigint DEFAULT NULL, metadata jsonb DEFAULT NULL,
	clear text[] DEFAULT '{}', actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.sellers
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	changes jsonb;
	actor jsonb;
	before commerce.sellers;
	s commerce.sellers;
	attempted record;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	IF update_seller.seller_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('seller_id', 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', update_seller.note), commerce_private.check_texts('clear', update_seller.clear);
	PERFORM commerce_private.check_seller(update_seller.business_name, update_seller.registration_number,
		update_seller.cs_phone, update_seller.address, update_seller.category, update_seller.shipping_fee,
		update_seller.free_shipping_from, update_seller.metadata);
	changes := commerce_private.changes(
		pg_catalog.jsonb_build_object('business_name', update_seller.business_name,
			'registration_number', update_seller.registration_number, 'cs_phone', update_seller.cs_phone,
			'address', update_seller.address, 'category', update_seller.category,
			'shipping_fee', update_seller.shipping_fee, 'free_shipping_from', update_seller.free_shipping_from,
			'metadata', update_seller.metadata),
		update_seller.clear, '{cs_phone,address,category,free_shipping_from,metadata}');
	-- the shop has looked into whose business it is
	actor := commerce_private.require_who(update_seller.actor_id, update_seller.note,
		seller_id => CASE WHEN changes ? 'registration_number' THEN NULL ELSE update_seller.seller_id END);

	SELECT * INTO before FROM commerce.sellers c WHERE c.id = update_seller.seller_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('seller', update_seller.seller_id);
	END IF;
	s := pg_catalog.jsonb_populate_record(before, changes);
	IF s IS NOT DISTINCT FROM before THEN
		RETURN s;
	END IF;
	SELECT * INTO attempted
	FROM commerce_private.attempt('{sellers_registration_number_key}', 'commerce_private.store_seller(commerce.sellers)', s);
	IF attempted.sqlstate IS NOT NULL THEN
		PERFORM commerce_private.raise_taken('seller', 'registration_number');
	END IF;
	SELECT * INTO s FROM commerce.sellers c WHERE c.id = before.id;
	PERFORM commerce_private.seller_event(s, 'SellerChanged', actor);
	RETURN s;
END
$$;
COMMENT ON FUNCTION commerce.update_seller(bigint, text, text, text, text, text, bigint, bigint, jsonb, text[], bigint, text) IS
	'changes the attributes of a seller that are given, empties those that clear names (cs_phone, address, category, free_shipping_from, metadata), leaves the others, and returns the row. shipping_fee and free_shipping_from are the shipping policy: once per order for all lines without a fee of their own, nothing from this amount of goods on. actor_id: an ADMIN, or the seller''s user, who cannot change registration_number; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, ALREADY_EXISTS';
