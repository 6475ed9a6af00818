-- The catalogue of a shop of several cells: cell 0 owns sellers, products, promotions, coupons and staff, and publishes
-- them. The other cells subscribe: what arrives is put where orders look for it.

-- A publication of users by their role cannot be: a row's filter may read nothing but its key.
CREATE TABLE commerce_private.staff (
	id          bigint PRIMARY KEY,
	external_id text,
	name        text NOT NULL,
	email       text,
	phone       text,
	address     text,
	role        commerce.user_role NOT NULL CHECK (role <> 'BUYER'),
	status      commerce.user_status NOT NULL,
	erased_at   timestamptz,
	metadata    jsonb,
	created_at  timestamptz NOT NULL,
	updated_at  timestamptz NOT NULL
);
COMMENT ON TABLE commerce_private.staff IS
	'sellers'' users and administrators as cell 0 publishes them, once there are cells; columns as those of users';
CREATE INDEX staff_email_idx ON commerce_private.staff (pg_catalog.lower(email));
CREATE INDEX staff_external_id_idx ON commerce_private.staff (external_id);
SELECT pg_catalog.pg_extension_config_dump('commerce_private.staff', '');

CREATE FUNCTION commerce_private.keep_staff(u commerce.users)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF u.role = 'BUYER' OR NOT EXISTS (SELECT FROM commerce_private.cell c WHERE c.number = 0) THEN
		RETURN;
	END IF;
	INSERT INTO commerce_private.staff AS s (id, external_id, name, email, phone, address, role, status, erased_at, metadata, created_at, updated_at)
	VALUES (u.id, u.external_id, u.name, u.email, u.phone, u.address, u.role, u.status, u.erased_at, u.metadata, u.created_at, u.updated_at)
	ON CONFLICT (id) DO UPDATE
	SET external_id = u.external_id, name = u.name, email = u.email, phone = u.phone, address = u.address, role = u.role,
		status = u.status, erased_at = u.erased_at, metadata = u.metadata, updated_at = u.updated_at
	-- not by updated_at alone: a transaction may change a user twice
	WHERE (s.external_id, s.name, s.email, s.phone, s.address, s.role, s.status, s.erased_at, s.metadata, s.updated_at)
		IS DISTINCT FROM (u.external_id, u.name, u.email, u.phone, u.address, u.role, u.status, u.erased_at, u.metadata, u.updated_at);
END
$$;
COMMENT ON FUNCTION commerce_private.keep_staff(commerce.users) IS
	'has the other cells know a user that was made or changed, unless it is a buyer';

CREATE FUNCTION commerce_private.catalogue_columns(relation regclass)
RETURNS name[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.array_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname <> 'event_key'
$$;
COMMENT ON FUNCTION commerce_private.catalogue_columns(regclass) IS
	'the columns of a table of the catalogue that cell 0 publishes: all but what follows from others, and event_key, which means something on one server only';

CREATE FUNCTION commerce_private.catalogue_list()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.string_agg(pg_catalog.format('TABLE %s (%s)', t.relation,
			(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c.name), ', ') FROM pg_catalog.unnest(commerce_private.catalogue_columns(t.relation)) AS c (name))), ', ')
	FROM pg_catalog.unnest('{commerce_private.staff,commerce.sellers,commerce.products,commerce.promotions,commerce.coupons}'::regclass[]) AS t (relation)
$$;
COMMENT ON FUNCTION commerce_private.catalogue_list() IS 'what the publication commerce_catalogue has';

-- The publisher's side.
CREATE FUNCTION commerce.publish_catalogue()
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce.set_cell(0);
	PERFORM commerce_private.keep_staff(u) FROM commerce.users u WHERE u.role <> 'BUYER';
	-- one that was restored from a dump is there, and empty
	EXECUTE pg_catalog.format(CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_publication p WHERE p.pubname = 'commerce_catalogue')
								   THEN 'ALTER PUBLICATION commerce_catalogue SET %s' ELSE 'CREATE PUBLICATION commerce_catalogue FOR %s' END,
							  commerce_private.catalogue_list());
END
$$;
COMMENT ON FUNCTION commerce.publish_catalogue() IS
	'makes this shop cell 0 and its catalogue one that other cells can have: the publication commerce_catalogue of sellers, products, promotions, coupons and staff. For the owner of the extension, a superuser; again after a restore. No row is changed. Errors: INVALID_REQUEST, FORBIDDEN';

CREATE FUNCTION commerce.admit_cell(number int)
RETURNS name
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	slot CONSTANT name := 'commerce_cell_' || admit_cell.number;
BEGIN
	PERFORM commerce_private.check_cell('number', admit_cell.number, 1);
	PERFORM commerce_private.require_catalogue();
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables p WHERE p.pubname = 'commerce_catalogue') THEN
		RAISE EXCEPTION 'the catalogue is not published'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'SELECT commerce.publish_catalogue().';
	END IF;
	-- what the server has thrown away for want of space can be followed no more
	PERFORM pg_catalog.pg_drop_replication_slot(s.slot_name) FROM pg_catalog.pg_replication_slots s
	WHERE s.slot_name = slot AND s.wal_status = 'lost';
	-- it waits for everybody who may not have known of the publication
	PERFORM pg_catalog.pg_create_logical_replication_slot(slot, 'pgoutput')
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s
					  WHERE s.slot_name = slot AND s.database = pg_catalog.current_database());
	PERFORM commerce_private.keep_staff(u) FROM commerce.users u WHERE u.role <> 'BUYER';
	RETURN slot;
END
$$;
COMMENT ON FUNCTION commerce.admit_cell(int) IS
	'lets another cell have the catalogue: makes its replication slot on cell 0, unless there is one, and returns its name. For the owner of the extension, a superuser, in a transaction that has written nothing. A slot keeps the log until its cell has read it: pg_drop_replication_slot() when the cell is no more. Errors: INVALID_REQUEST, FORBIDDEN';

-- The subscriber's side.
CREATE FUNCTION commerce.join_cells(catalogue text)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	cell CONSTANT int := commerce.cell_number();
BEGIN
	IF join_cells.catalogue IS NULL THEN
		PERFORM commerce_private.raise_invalid('catalogue', 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('catalogue', join_cells.catalogue);
	IF cell = 0 THEN
		RAISE EXCEPTION 'this database is cell 0, which owns the catalogue'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'SELECT commerce.set_cell(number) makes a new one another cell.';
	END IF;
	-- what arrives first finds an origin
	PERFORM commerce_private.begin_write();
	IF EXISTS (SELECT FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
			   WHERE d.datname = pg_catalog.current_database() AND s.subname = 'commerce_catalogue') THEN
		ALTER SUBSCRIPTION commerce_catalogue DISABLE;
		ALTER SUBSCRIPTION commerce_catalogue SET (slot_name = NONE);
		DROP SUBSCRIPTION commerce_catalogue;
	END IF;
	EXECUTE pg_catalog.format('CREATE SUBSCRIPTION commerce_catalogue CONNECTION %L PUBLICATION commerce_catalogue '
							  'WITH (create_slot = false, slot_name = %L)', join_cells.catalogue, 'commerce_cell_' || cell);
END
$$;
COMMENT ON FUNCTION commerce.join_cells(text) IS
	'subscribes this cell to the catalogue of cell 0, which has admitted it, and copies it; catalogue: how to connect there, as libpq has it. Again after a restore, or when something is missing: rows that are there are brought up to date. For the owner of the extension, a superuser. Errors: INVALID_REQUEST, SERVICE_BUSY';

-- A shop that moves by logical replication is sent the stock as well.
CREATE FUNCTION commerce_private.catalogue_arrives()
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.is_replicated()
	   AND NOT EXISTS (SELECT FROM pg_catalog.pg_subscription_rel r WHERE r.srrelid = 'commerce_private.stock'::regclass)
$$;
COMMENT ON FUNCTION commerce_private.catalogue_arrives() IS 'whether what is written now is the catalogue of cell 0, which this cell subscribes to';

CREATE FUNCTION commerce_private.receive_row()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- what is not sent, or follows from the rest
	left_out CONSTANT text[] := '{event_key,scope}'::text[];
	former jsonb;
	columns text;
	given text;
BEGIN
	IF NOT commerce_private.catalogue_arrives() THEN
		RETURN NEW;
	END IF;
	EXECUTE pg_catalog.format('SELECT pg_catalog.to_jsonb(t) FROM %s t WHERE t.id = $1', TG_RELID::regclass) INTO former USING NEW.id;
	IF former IS NULL THEN
		RETURN NEW;
	END IF;
	IF former - left_out = pg_catalog.to_jsonb(NEW) - left_out THEN
		RETURN NULL;
	END IF;
	-- a quantity is guarded by the gate
	SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c.name), ', '), pg_catalog.string_agg('($1).' || pg_catalog.quote_ident(c.name), ', ')
	INTO columns, given
	FROM pg_catalog.unnest(commerce_private.catalogue_columns(TG_RELID)) AS c (name)
	WHERE c.name NOT IN ('id', 'quantity');
	EXECUTE pg_catalog.format('UPDATE %1$s t SET (%2$s) = ROW (%3$s) WHERE t.id = ($1).id',
							  TG_RELID::regclass, columns, given)
		USING NEW;
	IF TG_RELID = 'commerce.coupons'::regclass THEN
		PERFORM commerce_private.receive_quantity(c.id, arrived.quantity)
		FROM pg_catalog.jsonb_populate_record(NULL::commerce.coupons, pg_catalog.to_jsonb(NEW)) AS arrived
		JOIN commerce.coupons c ON c.id = arrived.id AND c.quantity <> arrived.quantity;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION commerce_private.receive_row() IS
	'a row of the catalogue that is copied and here already, after a restore, brings the one that is here up to date';

CREATE FUNCTION commerce_private.open_received()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF commerce_private.catalogue_arrives() THEN
		PERFORM commerce_private.begin_write();
		IF TG_RELID = 'commerce.products'::regclass THEN
			PERFORM commerce_private.open_stock(NEW.id, 0, NULL, NULL);
		ELSE
			PERFORM commerce_private.open_quota(NEW.id, 0, NULL, NULL);
		END IF;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION commerce_private.open_received() IS 'gives a product that has arrived its stock in this cell, a coupon its quota: nothing yet';

-- An e-mail or a subject that a user of this cell has stops the catalogue of nobody: check_cells() tells of it.
CREATE FUNCTION commerce_private.receive_staff()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT commerce_private.catalogue_arrives() THEN
		RETURN NULL;
	END IF;
	-- locked: who is giving them up has done so, or will see this row
	PERFORM FROM commerce.users u WHERE u.external_id = NEW.external_id AND u.id <> NEW.id FOR SHARE;
	IF FOUND THEN
		NEW.external_id := NULL;
	END IF;
	PERFORM FROM commerce.users u WHERE pg_catalog.lower(u.email) = pg_catalog.lower(NEW.email) AND u.id <> NEW.id FOR SHARE;
	IF FOUND THEN
		NEW.email := NULL;
	END IF;
	INSERT INTO commerce.users (id, external_id, name, email, phone, address, role, status, erased_at, metadata, created_at, updated_at)
	OVERRIDING SYSTEM VALUE
	VALUES (NEW.id, NEW.external_id, NEW.name, NEW.email, NEW.phone, NEW.address, NEW.role, NEW.status, NEW.erased_at, NEW.metadata,
			NEW.created_at, NEW.updated_at)
	ON CONFLICT (id) DO UPDATE
	SET external_id = EXCLUDED.external_id, name = EXCLUDED.name, email = EXCLUDED.email, phone = EXCLUDED.phone,
		address = EXCLUDED.address, role = EXCLUDED.role, status = EXCLUDED.status, erased_at = EXCLUDED.erased_at,
		metadata = EXCLUDED.metadata, updated_at = EXCLUDED.updated_at;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION commerce_private.receive_staff() IS 'makes a user of staff that has arrived, or changes the one there is';

CREATE FUNCTION commerce_private.name_staff(before commerce.users, after commerce.users)
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	UPDATE commerce.users u SET email = s.email, updated_at = s.updated_at
	FROM commerce_private.staff s
	WHERE pg_catalog.lower(s.email) = pg_catalog.lower(before.email) AND pg_catalog.lower(after.email) IS DISTINCT FROM pg_catalog.lower(before.email)
	  AND u.id = s.id AND s.id <> before.id;
	UPDATE commerce.users u SET external_id = s.external_id, updated_at = s.updated_at
	FROM commerce_private.staff s
	WHERE s.external_id = before.external_id AND after.external_id IS DISTINCT FROM before.external_id
	  AND u.id = s.id AND s.id <> before.id
$$;
COMMENT ON FUNCTION commerce_private.name_staff(commerce.users, commerce.users) IS
	'gives an e-mail or external id that a user of this cell has no more to the staff of cell 0 whose it is, who had to do without';

CREATE TRIGGER receive BEFORE INSERT ON commerce_private.staff FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_row();
ALTER TABLE commerce_private.staff ENABLE REPLICA TRIGGER receive;
CREATE TRIGGER receive_staff AFTER INSERT OR UPDATE ON commerce_private.staff FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_staff();
ALTER TABLE commerce_private.staff ENABLE REPLICA TRIGGER receive_staff;
CREATE TRIGGER receive BEFORE INSERT ON commerce.sellers FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_row();
ALTER TABLE commerce.sellers ENABLE REPLICA TRIGGER receive;
CREATE TRIGGER receive BEFORE INSERT ON commerce.products FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_row();
ALTER TABLE commerce.products ENABLE REPLICA TRIGGER receive;
CREATE TRIGGER open_received AFTER INSERT ON commerce.products FOR EACH ROW EXECUTE FUNCTION commerce_private.open_received();
ALTER TABLE commerce.products ENABLE REPLICA TRIGGER open_received;
CREATE TRIGGER receive BEFORE INSERT ON commerce.promotions FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_row();
ALTER TABLE commerce.promotions ENABLE REPLICA TRIGGER receive;
CREATE TRIGGER receive BEFORE INSERT ON commerce.coupons FOR EACH ROW EXECUTE FUNCTION commerce_private.receive_row();
ALTER TABLE commerce.coupons ENABLE REPLICA TRIGGER receive;
CREATE TRIGGER open_received AFTER INSERT ON commerce.coupons FOR EACH ROW EXECUTE FUNCTION commerce_private.open_received();
ALTER TABLE commerce.coupons ENABLE REPLICA TRIGGER open_received;

-- The register of users: in which cell somebody signs up who comes to any. No text of a person is kept, so that there is
-- nothing to erase.
CREATE TABLE commerce_private.reservations (
	key  bytea PRIMARY KEY,
	cell int NOT NULL CHECK (cell BETWEEN 0 AND 8999),
	at   timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE commerce_private.reservations IS
	'in cell 0: which cell has, or is to have, the user with an e-mail or an external id; see reserve_user()';
COMMENT ON COLUMN commerce_private.reservations.key IS 'SHA-256 of the kind and the value';
COMMENT ON COLUMN commerce_private.reservations.at IS 'when it was last asked for, for this cell';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.reservations', '');

CREATE FUNCTION commerce_private.reservation_key(kind text, value text)
RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.sha256(pg_catalog.convert_to(kind || ':' || value, 'UTF8'))
$$;
COMMENT ON FUNCTION commerce_private.reservation_key(text, text) IS 'what the register has of a value: email or external_id';

CREATE FUNCTION commerce_private.reserve(key bytea, cell int, renewed boolean)
RETURNS int
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO commerce_private.reservations AS r (key, cell) SELECT reserve.key, reserve.cell WHERE reserve.key IS NOT NULL
	ON CONFLICT (key) DO UPDATE SET at = CASE WHEN reserve.renewed THEN EXCLUDED.at ELSE r.at END RETURNING r.cell
$$;
COMMENT ON FUNCTION commerce_private.reserve(bytea, int, boolean) IS
	'reserves for a cell what is not reserved, or renews what is, and returns the cell that it is reserved for';

CREATE FUNCTION commerce.reserve_user(email text, external_id text, cell int, unused_in int DEFAULT NULL)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
	key_of_email CONSTANT bytea := commerce_private.reservation_key('email', pg_catalog.lower(email));
	key_of_id CONSTANT bytea := commerce_private.reservation_key('external_id', external_id);
	in_cell_0 boolean;
	of_email int;
	known int;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_user(NULL, email, NULL, NULL, external_id, NULL);
	IF pg_catalog.num_nonnulls(email, external_id) = 0 THEN
		PERFORM commerce_private.raise_invalid('email', 'or external_id must be given');
	END IF;
	PERFORM commerce_private.check_cell('cell', coalesce(cell, 0), 0), commerce_private.check_cell('unused_in', coalesce(unused_in, 0), 0);
	PERFORM commerce_private.require_catalogue();
	-- who has asked within a day may be about to make the user
	DELETE FROM commerce_private.reservations r
	WHERE r.key IN (key_of_email, key_of_id) AND r.cell = unused_in AND r.at < pg_catalog.now() - interval '1 day';
	-- users that the shop had when it became cell 0 are in no register
	IF EXISTS (SELECT FROM commerce.users u WHERE u.external_id = reserve_user.external_id) THEN
		RETURN 0;
	END IF;
	in_cell_0 := EXISTS (SELECT FROM commerce.users u WHERE pg_catalog.lower(u.email) = pg_catalog.lower(reserve_user.email));
	known := coalesce((SELECT r.cell FROM commerce_private.reservations r WHERE r.key = key_of_id), CASE WHEN in_cell_0 THEN 0 END,
					  (SELECT r.cell FROM commerce_private.reservations r WHERE r.key = key_of_email), cell);
	IF cell IS NULL THEN
		RETURN known;
	END IF;
	known := coalesce(commerce_private.reserve(key_of_id, known, known = cell), known);
	of_email := CASE WHEN in_cell_0 THEN 0 ELSE commerce_private.reserve(key_of_email, known, known = cell) END;
	IF of_email <> known THEN
		PERFORM commerce_private.raise_taken('user', 'email');
	END IF;
	RETURN known;
END
$$;
COMMENT ON FUNCTION commerce.reserve_user(text, text, int, int) IS
	'on cell 0, before somebody signs up: the cell in which the person with this external id, or else this e-mail, is or is to be; cell, which is reserved then, if neither is known; with cell NULL nothing is reserved, and NULL is the answer. Reserved for good: who is refused there, or interrupted, gets the same answer again. unused_in: a cell that has no such user, as the caller has seen there: what is reserved for it, but not since a day, is so no more. It is reserved anew by who names that cell. An e-mail of another cell than the external id''s is ALREADY_EXISTS. Errors: INVALID_REQUEST, FORBIDDEN, ALREADY_EXISTS';
