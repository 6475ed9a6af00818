-- Users, and the table of the sellers among them.

CREATE TABLE commerce.users (
	id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	external_id text CHECK (external_id <> ''),
	name        text NOT NULL CHECK (pg_catalog.btrim(name) <> ''),
	email       text CHECK (email ~ '^[^@\s]+@[^@\s]+$' AND pg_catalog.char_length(email) <= 254),
	phone       text,
	address     text,
	role        commerce.user_role NOT NULL DEFAULT 'BUYER',
	status      commerce.user_status NOT NULL DEFAULT 'ACTIVE',
	erased_at   timestamptz,
	metadata    jsonb,
	created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
	-- what an order changes is together: the WAL has all from the first byte to the last that changes
	balance     bigint NOT NULL DEFAULT 0 CHECK (balance >= 0),
	updated_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
	last_entry  bigint NOT NULL DEFAULT 0,
	event_key   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX users_email_key ON commerce.users (pg_catalog.lower(email)) WHERE email IS NOT NULL;
CREATE UNIQUE INDEX users_external_id_key ON commerce.users (external_id) WHERE external_id IS NOT NULL;
COMMENT ON TABLE commerce.users IS 'everybody who buys, sells or runs the shop';
COMMENT ON COLUMN commerce.users.external_id IS 'the subject that the identity provider knows this person by; NULL: none';
COMMENT ON COLUMN commerce.users.email IS 'NULL: none; upper and lower case are not told apart';
COMMENT ON COLUMN commerce.users.balance IS 'prepaid balance; always the sum of the user''s balance_entries';
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
COMMENT ON COLUMN commerce.sellers.shipping_fee IS 'shipping policy: once per order, for all lines without a fee of their own';
COMMENT ON COLUMN commerce.sellers.free_shipping_from IS 'shipping policy: amount of goods from which these lines are sent free; NULL: never';
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

-- What the attributes of a user may be; NULL: not given.
CREATE FUNCTION commerce_private.check_user(name text, email text, phone text, address text, external_id text, metadata jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('name', name), commerce_private.check_text('email', email),
		commerce_private.check_text('phone', phone), commerce_private.check_text('address', address),
		commerce_private.check_text('external_id', external_id);
	IF pg_catalog.btrim(name) = '' THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be empty');
	END IF;
	IF email !~ '^[^@\s]+@[^@\s]+$' THEN
		PERFORM commerce_private.raise_invalid('email', 'must be an address such as kim@example.com');
	END IF;
	IF pg_catalog.btrim(external_id) = '' THEN
		PERFORM commerce_private.raise_invalid('external_id', 'must not be empty');
	END IF;
	PERFORM commerce_private.check_metadata(metadata);
END
$$;
COMMENT ON FUNCTION commerce_private.check_user(text, text, text, text, text, jsonb) IS
	'the rules of a user''s attributes, each with its INVALID_REQUEST';

CREATE FUNCTION commerce_private.user_event(u commerce.users, event_type text, more jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('User', u.id::text, event_type,
		pg_catalog.jsonb_build_object('user_id', u.id, 'external_id', u.external_id, 'name', u.name, 'email', u.email,
			'phone', u.phone, 'address', u.address, 'role', u.role, 'status', u.status, 'metadata', u.metadata,
			'created_at', u.created_at) || more,
		u.event_key);
	PERFORM commerce_private.keep_staff(u);
END
$$;
COMMENT ON FUNCTION commerce_private.user_event(commerce.users, text, jsonb) IS
	'writes an event that carries the whole user, and has the other cells know staff; the caller has just set its event_key';

CREATE FUNCTION commerce_private.raise_taken(entity text, attribute text)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.raise_error('ALREADY_EXISTS', pg_catalog.jsonb_strip_nulls(
		pg_catalog.jsonb_build_object('entity', entity, 'attribute', attribute)));
END
$$;
COMMENT ON FUNCTION commerce_private.raise_taken(text, text) IS 'raises ALREADY_EXISTS: somebody else has this value of an attribute';

CREATE FUNCTION commerce_private.lock_user(user_id bigint)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	u commerce.users;
BEGIN
	SELECT * INTO u FROM commerce.users l WHERE l.id = lock_user.user_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('user', lock_user.user_id);
	END IF;
	RETURN u;
END
$$;
COMMENT ON FUNCTION commerce_private.lock_user(bigint) IS
	'locks a user''s row until the transaction ends. Errors: ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.close_user(user_id bigint)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_close_user';
COMMENT ON FUNCTION commerce_private.close_user(bigint) IS
	'waits for those who claim a coupon or make an order sheet for a user, and keeps others from it until the transaction ends';

CREATE FUNCTION commerce_private.require_not_erased(u commerce.users)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF u.erased_at IS NOT NULL THEN
		PERFORM commerce_private.raise_error('INVALID_STATE_TRANSITION',
			pg_catalog.jsonb_build_object('entity', 'user', 'id', u.id, 'reason', 'ERASED'));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_not_erased(commerce.users) IS 'raises INVALID_STATE_TRANSITION for an erased user';

CREATE FUNCTION commerce_private.insert_user(
	name text, email text, phone text, address text, role commerce.user_role, external_id text, metadata jsonb)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	created commerce.users;
BEGIN
	INSERT INTO commerce.users (name, email, phone, address, role, external_id, metadata, event_key)
	VALUES (insert_user.name, insert_user.email, insert_user.phone, insert_user.address, insert_user.role,
			insert_user.external_id, insert_user.metadata, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	ON CONFLICT DO NOTHING
	RETURNING * INTO created;
	IF created.id IS NOT NULL THEN
		PERFORM commerce_private.user_event(created, 'UserCreated', '{}');
	END IF;
	RETURN created;
END
$$;
COMMENT ON FUNCTION commerce_private.insert_user(text, text, text, text, commerce.user_role, text, jsonb) IS
	'writes a new user, with the event; nobody (id NULL) when the e-mail or the external_id is taken';

CREATE FUNCTION commerce.create_user(
	name text, email text DEFAULT NULL, phone text DEFAULT NULL, address text DEFAULT NULL,
	role commerce.user_role DEFAULT 'BUYER', external_id text DEFAULT NULL, metadata jsonb DEFAULT NULL,
	idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	arguments jsonb;
	stored jsonb;
	created commerce.users;
BEGIN
	PERFORM commerce_private.begin_write();
	IF create_user.name IS NULL THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be null');
	END IF;
	PERFORM commerce_private.check_user(create_user.name, create_user.email, create_user.phone, create_user.address,
		create_user.external_id, create_user.metadata);
	IF create_user.role IS NULL THEN
		PERFORM commerce_private.raise_invalid('role', 'must not be null');
	END IF;
	IF create_user.role <> 'BUYER' THEN
		PERFORM commerce_private.require_catalogue();
	END IF;
	arguments := pg_catalog.jsonb_build_object('name', create_user.name, 'email', create_user.email,
		'phone', create_user.phone, 'address', create_user.address, 'role', create_user.role,
		'external_id', create_user.external_id, 'metadata', create_user.metadata);
	stored := commerce_private.begin_key('shop', 'create_user', create_user.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;

	created := commerce_private.insert_user(create_user.name, create_user.email, create_user.phone, create_user.address,
		create_user.role, create_user.external_id, create_user.metadata);
	IF created.id IS NULL THEN
		PERFORM commerce_private.raise_taken('user',
			CASE WHEN EXISTS (SELECT FROM commerce.users u WHERE u.external_id = create_user.external_id) THEN 'external_id'
				 WHEN EXISTS (SELECT FROM commerce.users u WHERE pg_catalog.lower(u.email) = pg_catalog.lower(create_user.email)) THEN 'email' END);
	END IF;
	PERFORM commerce_private.end_key('shop', 'create_user', create_user.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('id', created.id));
	RETURN created.id;
END
$$;
COMMENT ON FUNCTION commerce.create_user(text, text, text, text, commerce.user_role, text, jsonb, text) IS
	'creates a user with an empty balance and returns its id. email, upper and lower case not told apart, and external_id, the subject that an identity provider knows the person by, are unique when given; metadata: an object of the shop''s own, of at most 16 384 bytes. Errors: INVALID_REQUEST, ALREADY_EXISTS, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.sign_up(
	external_id text, name text, email text DEFAULT NULL, phone text DEFAULT NULL, address text DEFAULT NULL)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	u commerce.users;
BEGIN
	PERFORM commerce_private.begin_write();
	IF sign_up.external_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('external_id', 'must not be null');
	END IF;
	IF sign_up.name IS NULL THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be null');
	END IF;
	PERFORM commerce_private.check_user(sign_up.name, sign_up.email, sign_up.phone, sign_up.address, sign_up.external_id, NULL);
	SELECT f.* INTO u FROM commerce.users f WHERE f.external_id = sign_up.external_id;
	IF FOUND THEN
		RETURN u;
	END IF;
	u := commerce_private.insert_user(sign_up.name, sign_up.email, sign_up.phone, sign_up.address, 'BUYER', sign_up.external_id, NULL);
	IF u.id IS NULL THEN
		-- the person may have signed up a moment ago, in another session
		SELECT f.* INTO u FROM commerce.users f WHERE f.external_id = sign_up.external_id;
		IF NOT FOUND THEN
			PERFORM commerce_private.raise_taken('user', 'email');
		END IF;
	END IF;
	RETURN u;
END
$$;
COMMENT ON FUNCTION commerce.sign_up(text, text, text, text, text) IS
	'the user with this external_id: the one there is, unchanged, or a new BUYER with an empty balance. So it can be called at each sign-in. An e-mail that another user has is refused, and links nothing. Errors: INVALID_REQUEST, ALREADY_EXISTS';

CREATE FUNCTION commerce_private.store_user(u commerce.users)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE commerce.users c
	SET name = u.name, email = u.email, phone = u.phone, address = u.address, external_id = u.external_id,
		metadata = u.metadata, updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = u.id;
END
$$;
COMMENT ON FUNCTION commerce_private.store_user(commerce.users) IS 'writes the attributes of a user whose row the caller has locked';

CREATE FUNCTION commerce.update_user(
	user_id bigint, name text DEFAULT NULL, email text DEFAULT NULL, phone text DEFAULT NULL,
	address text DEFAULT NULL, external_id text DEFAULT NULL, metadata jsonb DEFAULT NULL,
	clear text[] DEFAULT '{}', actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	changes jsonb;
	actor jsonb;
	before commerce.users;
	u commerce.users;
	attempted record;
BEGIN
	PERFORM commerce_private.begin_write();
	IF update_user.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	PERFORM commerce_private.require_own(update_user.user_id);
	PERFORM commerce_private.check_text('note', update_user.note), commerce_private.check_texts('clear', update_user.clear);
	PERFORM commerce_private.check_user(update_user.name, update_user.email, update_user.phone, update_user.address,
		update_user.external_id, update_user.metadata);
	changes := commerce_private.changes(
		pg_catalog.jsonb_build_object('name', update_user.name, 'email', update_user.email, 'phone', update_user.phone,
			'address', update_user.address, 'external_id', update_user.external_id, 'metadata', update_user.metadata),
		update_user.clear, '{email,phone,address,external_id,metadata}');
	-- who signs in as this user is not the user's own choice
	actor := commerce_private.require_who(update_user.actor_id, update_user.note,
		user_id => CASE WHEN changes ? 'external_id' THEN NULL ELSE update_user.user_id END);
	-- nor is it an administrator's who comes with a buyer's token
	IF changes ? 'external_id' AND update_user.actor_id = update_user.user_id AND commerce_private.current_api_role() = 'BUYER' THEN
		PERFORM commerce_private.raise_error('FORBIDDEN', '{"role": "BUYER", "reason": "NOT_FOR_ROLE"}');
	END IF;

	before := commerce_private.lock_user(update_user.user_id);
	PERFORM commerce_private.require_not_erased(before);
	u := pg_catalog.jsonb_populate_record(before, changes);
	IF u IS NOT DISTINCT FROM before THEN
		RETURN u;
	END IF;
	SELECT * INTO attempted
	FROM commerce_private.attempt('{users_email_key,users_external_id_key}', 'commerce_private.store_user(commerce.users)', u);
	IF attempted.sqlstate IS NOT NULL THEN
		PERFORM commerce_private.raise_taken('user',
			CASE attempted.constraint_name WHEN 'users_email_key' THEN 'email' ELSE 'external_id' END);
	END IF;
	SELECT * INTO u FROM commerce.users c WHERE c.id = before.id;
	PERFORM commerce_private.name_staff(before, u);
	PERFORM commerce_private.user_event(u, 'UserChanged', pg_catalog.jsonb_build_object('actor', actor));
	RETURN u;
END
$$;
COMMENT ON FUNCTION commerce.update_user(bigint, text, text, text, text, text, jsonb, text[], bigint, text) IS
	'changes the attributes of a user that are given, empties those that clear names (email, phone, address, external_id, metadata), leaves the others, and returns the row. actor_id: an ADMIN, or the user himself, who cannot change external_id; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, ALREADY_EXISTS, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce.find_user(email text DEFAULT NULL, external_id text DEFAULT NULL)
RETURNS commerce.users
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	found commerce.users;
BEGIN
	PERFORM commerce_private.check_text('email', find_user.email), commerce_private.check_text('external_id', find_user.external_id);
	IF pg_catalog.num_nonnulls(find_user.email, find_user.external_id) <> 1 THEN
		PERFORM commerce_private.raise_invalid('email', 'or external_id must be given, and not both');
	END IF;
	IF find_user.email IS NOT NULL THEN
		SELECT u.* INTO found FROM commerce.users u WHERE pg_catalog.lower(u.email) = pg_catalog.lower(find_user.email);
	ELSE
		SELECT u.* INTO found FROM commerce.users u WHERE u.external_id = find_user.external_id;
	END IF;
	IF found.id IS NULL THEN
		PERFORM commerce_private.raise_not_found('user', coalesce(find_user.email, find_user.external_id));
	END IF;
	RETURN found;
END
$$;
COMMENT ON FUNCTION commerce.find_user(text, text) IS
	'the user with this e-mail, upper and lower case not told apart, or with this external_id: one of the two is given. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.end_unpaid_orders(user_id bigint)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_end_unpaid_orders';
COMMENT ON FUNCTION commerce_private.end_unpaid_orders(bigint) IS
	'ends the unpaid orders and charges of a user whose row the caller has locked, as overdue ones are';

CREATE FUNCTION commerce.set_user_status(
	user_id bigint, status commerce.user_status, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	before commerce.users;
	u commerce.users;
BEGIN
	PERFORM commerce_private.begin_write();
	IF set_user_status.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	PERFORM commerce_private.require_own(set_user_status.user_id);
	IF set_user_status.status IS NULL THEN
		PERFORM commerce_private.raise_invalid('status', 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', set_user_status.note);
	actor := commerce_private.require_who(set_user_status.actor_id, set_user_status.note);
	before := commerce_private.lock_user(set_user_status.user_id);
	PERFORM commerce_private.require_not_erased(before);
	IF before.status = set_user_status.status THEN
		RETURN before;
	END IF;

	UPDATE commerce.users c
	SET status = set_user_status.status, updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = before.id
	RETURNING c.* INTO u;
	PERFORM commerce_private.user_event(u, 'UserStatusChanged', pg_catalog.jsonb_build_object('from', before.status, 'actor', actor));
	PERFORM commerce_private.follow_status(u, actor);
	IF u.status <> 'ACTIVE' THEN
		PERFORM commerce_private.end_unpaid_orders(u.id);
	END IF;
	RETURN u;
END
$$;
COMMENT ON FUNCTION commerce.set_user_status(bigint, commerce.user_status, bigint, text) IS
	'suspends, withdraws or reactivates a user and returns the row. A user who is not ACTIVE may not charge, order, claim or make sheets, a seller sells nothing, and unpaid orders end at once; cancelling and refunds go on. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION';
