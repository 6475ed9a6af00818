-- Users, sellers, prepaid balances.

CREATE TABLE commerce.users (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	external_id text CHECK (external_id <> ''),
	name        text NOT NULL CHECK (pg_catalog.btrim(name) <> ''),
	email       text CHECK (email ~ '^[^@\s]+@[^@\s]+$' AND pg_catalog.char_length(email) <= 254),
	phone       text,
	balance     bigint NOT NULL DEFAULT 0 CHECK (balance >= 0),
	address     text,
	role        commerce.user_role NOT NULL DEFAULT 'BUYER',
	status      commerce.user_status NOT NULL DEFAULT 'ACTIVE',
	erased_at   timestamptz,
	metadata    jsonb,
	created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
	last_entry  bigint NOT NULL DEFAULT 0,
	event_key   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX users_email_key ON commerce.users (pg_catalog.lower(email)) WHERE email IS NOT NULL;
CREATE UNIQUE INDEX users_external_id_key ON commerce.users (external_id) WHERE external_id IS NOT NULL;
COMMENT ON TABLE commerce.users IS 'everybody who buys, sells or runs the shop';
COMMENT ON COLUMN commerce.users.external_id IS 'the subject that the identity provider knows this person by; NULL: none';
COMMENT ON COLUMN commerce.users.email IS 'NULL: none; upper and lower case are not told apart';
COMMENT ON COLUMN commerce.users.balance IS 'prepaid balance in won; always the sum of the user''s balance_entries';
COMMENT ON COLUMN commerce.users.erased_at IS 'when the personal data was erased';
COMMENT ON COLUMN commerce.users.metadata IS 'the shop''s own attributes, an object';
COMMENT ON COLUMN commerce.users.last_entry IS 'number of the last balance entry; 0: there is none';
COMMENT ON COLUMN commerce.users.event_key IS 'key of the last outbox event of this user';
SELECT pg_catalog.pg_extension_config_dump('commerce.users', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.users_id_seq', '');

CREATE TABLE commerce.sellers (
	id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id             bigint NOT NULL UNIQUE REFERENCES commerce.users,
	business_name       text NOT NULL CHECK (pg_catalog.btrim(business_name) <> ''),
	registration_number text NOT NULL UNIQUE
						CHECK (pg_catalog.btrim(registration_number) <> '' AND pg_catalog.char_length(registration_number) <= 200),
	cs_phone            text,
	address             text,
	category            text,
	active              boolean NOT NULL DEFAULT true,
	shipping_fee        bigint NOT NULL DEFAULT 0 CHECK (shipping_fee >= 0),
	free_shipping_from  bigint CHECK (free_shipping_from >= 0),
	metadata            jsonb,
	created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
	event_key           bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE commerce.sellers IS 'the business behind a user of role SELLER';
COMMENT ON COLUMN commerce.sellers.registration_number IS 'business registration number';
COMMENT ON COLUMN commerce.sellers.cs_phone IS 'telephone number of customer service';
COMMENT ON COLUMN commerce.sellers.category IS 'sales category';
COMMENT ON COLUMN commerce.sellers.active IS 'whether the seller sells: the user''s status is ACTIVE';
COMMENT ON COLUMN commerce.sellers.shipping_fee IS 'shipping policy: won, once per order, for all lines without a fee of their own';
COMMENT ON COLUMN commerce.sellers.free_shipping_from IS 'shipping policy: amount of goods, won, from which these lines are sent free; NULL: never';
COMMENT ON COLUMN commerce.sellers.metadata IS 'the shop''s own attributes, an object';
COMMENT ON COLUMN commerce.sellers.event_key IS 'key of the last outbox event of this seller';
SELECT pg_catalog.pg_extension_config_dump('commerce.sellers', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.sellers_id_seq', '');

CREATE TRIGGER gate_delete BEFORE DELETE OR UPDATE OF id ON commerce.users
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.users ENABLE ALWAYS TRIGGER gate_delete;
CREATE TRIGGER gate_delete BEFORE DELETE OR UPDATE OF id ON commerce.sellers
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.sellers ENABLE ALWAYS TRIGGER gate_delete;

CREATE FUNCTION commerce.create_user(
	name text, email text, phone text DEFAULT NULL, address text DEFAULT NULL,
	role commerce.user_role DEFAULT 'BUYER')
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	created commerce.users;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_text('name', create_user.name),
		commerce_private.check_text('email', create_user.email), commerce_private.check_text('phone', create_user.phone),
		commerce_private.check_text('address', create_user.address);
	IF pg_catalog.btrim(coalesce(create_user.name, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be empty');
	END IF;
	IF coalesce(create_user.email, '') !~ '^[^@\s]+@[^@\s]+$' THEN
		PERFORM commerce_private.raise_invalid('email', 'must be an address such as kim@example.com');
	END IF;
	IF create_user.role IS NULL THEN
		PERFORM commerce_private.raise_invalid('role', 'must not be null');
	END IF;

	INSERT INTO commerce.users (name, email, phone, address, role, event_key)
	VALUES (create_user.name, create_user.email, create_user.phone, create_user.address, create_user.role,
			commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	ON CONFLICT DO NOTHING
	RETURNING * INTO created;
	IF created.id IS NULL THEN
		PERFORM commerce_private.raise_error('ALREADY_EXISTS', pg_catalog.jsonb_build_object('entity', 'user', 'attribute', 'email'));
	END IF;

	PERFORM commerce_private.write_event('User', created.id::text, 'UserCreated',
		pg_catalog.jsonb_build_object('user_id', created.id, 'name', created.name, 'email', created.email,
			'phone', created.phone, 'address', created.address, 'role', created.role,
			'status', created.status, 'created_at', created.created_at),
		created.event_key);
	RETURN created.id;
END
$$;
COMMENT ON FUNCTION commerce.create_user(text, text, text, text, commerce.user_role) IS
	'creates a user with an empty balance and returns its id; email is unique, upper and lower case not told apart. Errors: INVALID_REQUEST, ALREADY_EXISTS';

CREATE FUNCTION commerce.create_seller(
	user_id bigint, business_name text, registration_number text, cs_phone text DEFAULT NULL,
	address text DEFAULT NULL, category text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	owner_role commerce.user_role;
	owner_status commerce.user_status;
	seller_id bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_text('business_name', create_seller.business_name),
		commerce_private.check_text('registration_number', create_seller.registration_number),
		commerce_private.check_text('cs_phone', create_seller.cs_phone),
		commerce_private.check_text('address', create_seller.address),
		commerce_private.check_text('category', create_seller.category);
	IF create_seller.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	IF pg_catalog.btrim(coalesce(create_seller.business_name, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('business_name', 'must not be empty');
	END IF;
	IF pg_catalog.btrim(coalesce(create_seller.registration_number, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('registration_number', 'must not be empty');
	END IF;

	SELECT role, status INTO owner_role, owner_status FROM commerce.users WHERE id = create_seller.user_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('user', create_seller.user_id);
	END IF;
	IF owner_role <> 'SELLER' THEN
		PERFORM commerce_private.raise_invalid('user_id', pg_catalog.format('must be of a user of role SELLER, not %s', owner_role));
	END IF;

	INSERT INTO commerce.sellers (user_id, business_name, registration_number, cs_phone, address, category, active)
	VALUES (create_seller.user_id, create_seller.business_name, create_seller.registration_number,
			create_seller.cs_phone, create_seller.address, create_seller.category, owner_status = 'ACTIVE')
	ON CONFLICT DO NOTHING
	RETURNING id INTO seller_id;
	IF seller_id IS NULL THEN
		PERFORM commerce_private.raise_error('ALREADY_EXISTS', pg_catalog.jsonb_build_object('entity', 'seller'));
	END IF;
	RETURN seller_id;
END
$$;
COMMENT ON FUNCTION commerce.create_seller(bigint, text, text, text, text, text) IS
	'records the business of a user of role SELLER, once per user, and returns the seller''s id. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, ALREADY_EXISTS';

CREATE FUNCTION commerce.set_user_status(user_id bigint, status commerce.user_status)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	changed commerce.users;
BEGIN
	PERFORM commerce_private.begin_write();
	IF set_user_status.user_id IS NULL OR set_user_status.status IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null, nor status');
	END IF;
	UPDATE commerce.users u SET status = set_user_status.status, updated_at = pg_catalog.now()
	WHERE u.id = set_user_status.user_id
	RETURNING u.* INTO changed;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('user', set_user_status.user_id);
	END IF;
	UPDATE commerce.sellers s SET active = changed.status = 'ACTIVE', updated_at = pg_catalog.now()
	WHERE s.user_id = changed.id AND s.active <> (changed.status = 'ACTIVE');
	RETURN changed;
END
$$;
COMMENT ON FUNCTION commerce.set_user_status(bigint, commerce.user_status) IS
	'suspends, withdraws or reactivates a user and returns the row. A user who is not ACTIVE may not charge, order, claim or make sheets; cancelling and refunds go on. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
