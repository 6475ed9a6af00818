-- Cells: a shop on several databases. Each cell gives out ids of a range of its own, so that an id says where its row is.

CREATE TABLE commerce_private.cell (
	number int PRIMARY KEY CHECK (number BETWEEN 0 AND 8999),
	set_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE UNIQUE INDEX cell_one_row ON commerce_private.cell ((true));
COMMENT ON TABLE commerce_private.cell IS 'one row: which cell of the shop this database is, by set_cell(); none: the shop has one, which is cell 0';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.cell', '');

CREATE FUNCTION commerce.cell_of(id bigint)
RETURNS int
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_cell_of';
COMMENT ON FUNCTION commerce.cell_of(bigint) IS
	'the cell that gave out an id: the id divided by 10^12. The rows of a user, orders and all, are in the cell of the user''s id';

CREATE FUNCTION commerce.cell_of_sheet(order_sheet_id uuid)
RETURNS int
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_cell_of_sheet';
COMMENT ON FUNCTION commerce.cell_of_sheet(uuid) IS
	'the cell of an order sheet, which is that of its user: the last 14 bits of its id. NULL for an id that no sheet can have';

CREATE FUNCTION commerce.cell_number()
RETURNS int
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((SELECT c.number FROM commerce_private.cell c), 0)
$$;
COMMENT ON FUNCTION commerce.cell_number() IS 'which cell of the shop this database is; 0 unless set_cell() said otherwise';

CREATE FUNCTION commerce_private.check_cell(argument text, cell int, lowest int)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF cell IS NULL OR cell NOT BETWEEN lowest AND 8999 THEN
		PERFORM commerce_private.raise_invalid(argument, pg_catalog.format('must be from %s to 8999', lowest));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_cell(text, int, int) IS 'refuses an argument that is not the number of a cell, or is one below lowest. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.is_replicated()
RETURNS boolean
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'commerce_is_replicated';
COMMENT ON FUNCTION commerce_private.is_replicated() IS 'whether what this session writes arrives by a subscription';

CREATE VIEW commerce_private.id_columns AS
	SELECT c.oid::regclass AS relation, a.attname AS name,
		   pg_catalog.pg_get_serial_sequence(c.oid::regclass::text, a.attname)::regclass AS sequence,
		   pg_catalog.to_regclass('commerce_archive.' || pg_catalog.quote_ident(c.relname)) AS archive
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attidentity <> ''
	WHERE c.relkind = 'r' AND c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace);
COMMENT ON VIEW commerce_private.id_columns IS 'the columns with ids that sequences give out, and where archived rows with such ids are';

CREATE FUNCTION commerce_private.place_sequence(ids commerce_private.id_columns, lowest bigint, highest bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	relation regclass;
	given bigint;
	newest bigint;
BEGIN
	EXECUTE pg_catalog.format('SELECT CASE WHEN s.is_called THEN s.last_value ELSE s.last_value - 1 END FROM %s s', ids.sequence) INTO newest;
	IF newest NOT BETWEEN lowest AND highest THEN
		newest := lowest - 1;
	END IF;
	-- what was restored may be newer than the sequence
	FOREACH relation IN ARRAY pg_catalog.array_remove(ARRAY[ids.relation, ids.archive], NULL) LOOP
		EXECUTE pg_catalog.format('SELECT max(t.%1$I) FROM %2$s t WHERE t.%1$I BETWEEN $1 AND $2', ids.name, relation)
			INTO given USING lowest, highest;
		newest := greatest(newest, given);
	END LOOP;
	EXECUTE pg_catalog.format('ALTER SEQUENCE %s MINVALUE %s MAXVALUE %s START WITH %s RESTART WITH %s',
		ids.sequence, lowest, highest, lowest, newest + 1);
END
$$;
COMMENT ON FUNCTION commerce_private.place_sequence(commerce_private.id_columns, bigint, bigint) IS
	'has a sequence give out ids from lowest to highest, behind those that there are';

CREATE FUNCTION commerce.set_cell(number int)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	width CONSTANT bigint := 1000000000000;
	former int;
	ids commerce_private.id_columns;
BEGIN
	PERFORM commerce_private.check_cell('number', set_cell.number, 0);
	LOCK TABLE commerce_private.cell IN SHARE ROW EXCLUSIVE MODE;
	SELECT c.number INTO former FROM commerce_private.cell c;
	IF former <> set_cell.number THEN
		PERFORM commerce_private.raise_invalid('number', pg_catalog.format('must be %s, as before: a cell keeps its number for good', former));
	END IF;
	IF former IS NULL AND set_cell.number <> 0 AND NOT commerce_private.is_empty() THEN
		PERFORM commerce_private.raise_invalid('number', 'must be 0: a shop that has rows is cell 0');
	END IF;
	-- nobody is given an id meanwhile, and orders have the gate before the sequences; and counters, that were told that no
	-- other cell has units, are loaded anew
	PERFORM commerce_private.close_gate();
	FOR ids IN SELECT * FROM commerce_private.id_columns LOOP
		PERFORM commerce_private.place_sequence(ids, set_cell.number * width + 1, (set_cell.number + 1) * width - 1);
	END LOOP;
	INSERT INTO commerce_private.cell (number) VALUES (set_cell.number) ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION commerce.set_cell(int) IS
	'makes this database a cell of the shop: from now on it gives out ids from number * 10^12 + 1 to (number + 1) * 10^12 - 1. For the owner of the extension, before the first user of a new cell; a shop that has users is cell 0. Again, with the same number, after a restore: behind the highest ids there are. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.require_catalogue()
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF commerce.cell_number() <> 0 THEN
		PERFORM commerce_private.raise_error('FORBIDDEN', '{"reason": "CATALOGUE_CELL"}');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_catalogue() IS
	'refuses in every cell but 0, which owns the catalogue, the staff and the register of users. Errors: FORBIDDEN';

CREATE FUNCTION commerce_private.require_own(user_id bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF commerce.cell_of(require_own.user_id) = 0 THEN
		PERFORM commerce_private.require_catalogue();
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_own(bigint) IS
	'refuses to change a user of cell 0, of whose staff each cell has a copy, in another one. Errors: FORBIDDEN';
