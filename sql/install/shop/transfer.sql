-- Units of stock and quota that move between cells (docs/cells.md). A unit is in one cell, or on its way: sent by a row of
-- transfers_out, and there when the other cell has a row of transfers_in with the same id.

CREATE TABLE commerce.transfers_out (
	id           uuid PRIMARY KEY,
	kind         commerce.unit_kind NOT NULL,
	resource_id  bigint NOT NULL,
	units        bigint NOT NULL CHECK (units > 0),
	to_cell      int NOT NULL,
	at           timestamptz NOT NULL DEFAULT pg_catalog.now(),
	delivered_at timestamptz
);
CREATE INDEX transfers_out_resource_idx ON commerce.transfers_out (kind, resource_id);
CREATE INDEX transfers_out_open_idx ON commerce.transfers_out (at) WHERE delivered_at IS NULL;
COMMENT ON TABLE commerce.transfers_out IS 'units that this cell has sent to others; rows are kept for good';
COMMENT ON COLUMN commerce.transfers_out.id IS 'never used twice, in all cells';
COMMENT ON COLUMN commerce.transfers_out.kind IS 'STOCK: units of a product; QUOTA: of a coupon';
COMMENT ON COLUMN commerce.transfers_out.resource_id IS 'product id or coupon id';
COMMENT ON COLUMN commerce.transfers_out.delivered_at IS 'when the other cell was known to have them; NULL: it may not have them yet';
SELECT pg_catalog.pg_extension_config_dump('commerce.transfers_out', '');

CREATE TABLE commerce.transfers_in (
	id          uuid PRIMARY KEY,
	kind        commerce.unit_kind NOT NULL,
	resource_id bigint NOT NULL,
	units       bigint NOT NULL CHECK (units > 0),
	from_cell   int NOT NULL,
	at          timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX transfers_in_resource_idx ON commerce.transfers_in (kind, resource_id);
COMMENT ON TABLE commerce.transfers_in IS 'units that this cell has received from others; rows are kept for good, since an id is received once';
COMMENT ON COLUMN commerce.transfers_in.id IS 'as the sending cell has it in transfers_out';
COMMENT ON COLUMN commerce.transfers_in.kind IS 'STOCK: units of a product; QUOTA: of a coupon';
COMMENT ON COLUMN commerce.transfers_in.resource_id IS 'product id or coupon id';
SELECT pg_catalog.pg_extension_config_dump('commerce.transfers_in', '');

CREATE FUNCTION commerce_private.moved_units(first bigint, last bigint, kind commerce.unit_kind)
RETURNS TABLE (resource_id bigint, units bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.id, coalesce(sum(t.units), 0)::bigint
	FROM (SELECT s.product_id AS id FROM commerce_private.stock s WHERE moved_units.kind = 'STOCK'
		  UNION ALL SELECT q.coupon_id FROM commerce_private.coupon_quota q WHERE moved_units.kind = 'QUOTA') r
	LEFT JOIN (SELECT o.kind, o.resource_id, -o.units AS units FROM commerce.transfers_out o
			   UNION ALL SELECT i.kind, i.resource_id, i.units FROM commerce.transfers_in i) t
		ON t.kind = moved_units.kind AND t.resource_id = r.id AND t.resource_id BETWEEN first AND last
	WHERE r.id BETWEEN first AND last
	GROUP BY r.id
$$;
COMMENT ON FUNCTION commerce_private.moved_units(bigint, bigint, commerce.unit_kind) IS
	'units of each product or coupon, of a range of ids, that came from other cells, less those that went there';

CREATE VIEW commerce.open_transfers AS
	SELECT t.id, t.kind, t.resource_id, t.units, t.to_cell, t.at
	FROM commerce.transfers_out t WHERE t.delivered_at IS NULL;
COMMENT ON VIEW commerce.open_transfers IS
	'transfers that are to be finished: receive_units() in the other cell, then confirm_transfer() here; anybody may, at any time and again';

-- The columns of both parts have the same types: so who asks only for what was taken reads no journal.
CREATE VIEW commerce.allotments AS
	SELECT 'STOCK'::commerce.unit_kind AS kind, l.product_id AS resource_id, greatest(l.units, 0) AS available, c.taken,
		   coalesce(o.units, 0) AS overdue
	FROM commerce_private.stock_left l
	LEFT JOIN commerce_private.escrow_counters() c ON c.journal = 'commerce.stock_entries'::regclass AND c.resource_id = l.product_id
	LEFT JOIN (SELECT i.product_id, pg_catalog.sum(i.quantity)::bigint AS units
			   FROM commerce.orders o JOIN commerce.order_items i ON i.order_id = o.id
			   WHERE o.status = 'PENDING_PAYMENT' AND o.expires_at <= pg_catalog.now() GROUP BY 1) o ON o.product_id = l.product_id
	UNION ALL
	SELECT 'QUOTA', l.coupon_id, greatest(l.units, 0), c.taken, 0::bigint
	FROM commerce_private.quota_left l
	LEFT JOIN commerce_private.escrow_counters() c ON c.journal = 'commerce.coupon_issues'::regclass AND c.resource_id = l.coupon_id;
COMMENT ON VIEW commerce.allotments IS 'what this cell has of each product and coupon';
COMMENT ON COLUMN commerce.allotments.resource_id IS 'product id or coupon id';
COMMENT ON COLUMN commerce.allotments.available IS 'units that are here; those that transactions have taken which have not ended are among them';
COMMENT ON COLUMN commerce.allotments.taken IS
	'units that orders and claims took here, since the product or coupon got its counter; NULL: it has none, as without preloading';
COMMENT ON COLUMN commerce.allotments.overdue IS 'units that overdue unpaid orders hold: they make way to whoever wants some';

CREATE FUNCTION commerce.send_units(transfer_id uuid, kind commerce.unit_kind, resource_id bigint, units bigint, to_cell int)
RETURNS bigint
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_send_units';
COMMENT ON FUNCTION commerce.send_units(uuid, commerce.unit_kind, bigint, bigint, int) IS
	'takes up to so many units of a product or coupon out of this cell, as many as are here and for which overdue unpaid orders make way, and returns how many are now on their way to another cell; 0: none, and nothing is written. The same id again returns what it has sent. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.receive_units(transfer_id uuid, kind commerce.unit_kind, resource_id bigint, units bigint, from_cell int)
RETURNS boolean
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_receive_units';
COMMENT ON FUNCTION commerce.receive_units(uuid, commerce.unit_kind, bigint, bigint, int) IS
	'adds units that another cell has sent, and committed, to this cell; false: this id was received before, and nothing is done. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.confirm_transfer(transfer_id uuid)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
BEGIN
	PERFORM commerce_private.begin_write();
	IF confirm_transfer.transfer_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('transfer_id', 'must not be null');
	END IF;
	UPDATE commerce.transfers_out t SET delivered_at = pg_catalog.clock_timestamp()
	WHERE t.id = confirm_transfer.transfer_id AND t.delivered_at IS NULL;
	IF FOUND THEN
		RETURN true;
	END IF;
	IF NOT EXISTS (SELECT FROM commerce.transfers_out t WHERE t.id = confirm_transfer.transfer_id) THEN
		PERFORM commerce_private.raise_not_found('transfer', confirm_transfer.transfer_id::text);
	END IF;
	RETURN false;
END
$$;
COMMENT ON FUNCTION commerce.confirm_transfer(uuid) IS
	'notes that the other cell has received a transfer of this one; false: that was noted before. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.cell_books()
RETURNS TABLE (kind commerce.unit_kind, resource_id bigint, available bigint, made bigint, sent bigint, received bigint, open bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT t.kind, t.resource_id,
		   CASE t.kind WHEN 'STOCK' THEN (SELECT l.units FROM commerce_private.stock_left l WHERE l.product_id = t.resource_id)
				ELSE (SELECT l.units FROM commerce_private.quota_left l WHERE l.coupon_id = t.resource_id) END,
		   CASE t.kind WHEN 'STOCK' THEN (SELECT coalesce(sum(e.delta), 0) FROM commerce.stock_entries e
										  WHERE e.product_id = t.resource_id AND e.reason <> 'TRANSFER')
				ELSE (SELECT coalesce(sum(e.delta), 0) FROM commerce.quota_entries e
					  WHERE e.coupon_id = t.resource_id AND e.reason <> 'TRANSFER') END::bigint,
		   sum(t.sent)::bigint, sum(t.received)::bigint, sum(t.open)::bigint
	FROM (SELECT o.kind, o.resource_id, o.units AS sent, 0 AS received, CASE WHEN o.delivered_at IS NULL THEN o.units ELSE 0 END AS open
		  FROM commerce.transfers_out o
		  UNION ALL
		  SELECT i.kind, i.resource_id, 0, i.units, 0 FROM commerce.transfers_in i) t
	GROUP BY 1, 2 ORDER BY 1, 2
$$;
COMMENT ON FUNCTION commerce.cell_books() IS
	'what a proof over all cells needs of this one, for each product and coupon of which units have moved: available, units that are here; made, the sum of its entries but for transfers (of a coupon: how many may be issued, in the cell that owns it); sent and received, units that moved; open, sent units of open_transfers. Over all cells sent less received is what is on its way, from 0 to open; of a coupon made adds up to its quantity';

-- A cell that has lost its last commits, as by a failover to a standby that was behind: units that it had sent are there
-- twice, units that it had received are nowhere. The other cells' books tell which.
CREATE FUNCTION commerce.transfers_with(cell int, since timestamptz DEFAULT '-infinity')
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF transfers_with.cell IS NULL OR transfers_with.since IS NULL THEN
		PERFORM commerce_private.raise_invalid(CASE WHEN transfers_with.cell IS NULL THEN 'cell' ELSE 'since' END, 'must not be null');
	END IF;
	RETURN pg_catalog.jsonb_build_object(
		'cell', commerce.cell_number(), 'with', transfers_with.cell,
		'sent', (SELECT coalesce(pg_catalog.jsonb_agg(t), '[]')
				 FROM (SELECT o.id, o.kind, o.resource_id, o.units FROM commerce.transfers_out o
					   WHERE o.to_cell = transfers_with.cell AND o.at >= transfers_with.since) t),
		'received', (SELECT coalesce(pg_catalog.jsonb_agg(t), '[]')
					 FROM (SELECT i.id, i.kind, i.resource_id, i.units FROM commerce.transfers_in i
						   WHERE i.from_cell = transfers_with.cell AND i.at >= transfers_with.since) t));
END
$$;
COMMENT ON FUNCTION commerce.transfers_with(int, timestamptz) IS
	'what this cell has sent to another one, and received from it, since a moment, for reconcile_transfers() there. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.take_units(kind commerce.unit_kind, resource_id bigint, units bigint)
RETURNS bigint
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_take_units';
COMMENT ON FUNCTION commerce_private.take_units(commerce.unit_kind, bigint, bigint) IS
	'the part of send_units() that takes: up to so many units, with their journal; returns how many. Errors: ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.are_transfers(list jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT NOT EXISTS (
		SELECT FROM pg_catalog.jsonb_array_elements(are_transfers.list) e
		WHERE (e ->> 'id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND e ->> 'kind' IN ('STOCK', 'QUOTA')
			   AND e ->> 'resource_id' ~ '^\d{1,18}$' AND e ->> 'units' ~ '^[1-9]\d{0,12}$') IS NOT TRUE)
$$;
COMMENT ON FUNCTION commerce_private.are_transfers(jsonb) IS 'whether an array has transfers as transfers_with() returns them';

CREATE FUNCTION commerce.reconcile_transfers(books jsonb)
RETURNS TABLE (transfer_id uuid, kind commerce.unit_kind, resource_id bigint, direction text, units bigint, missing bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	other CONSTANT int := CASE WHEN books ->> 'cell' ~ '^\d{1,4}$' AND pg_catalog.jsonb_typeof(books -> 'cell') = 'number' THEN (books ->> 'cell')::int END;
	t record;
BEGIN
	PERFORM commerce_private.begin_write();
	IF books IS NULL OR other IS NULL OR other = commerce.cell_number() OR other NOT BETWEEN 0 AND 8999 OR books -> 'with' IS DISTINCT FROM pg_catalog.to_jsonb(commerce.cell_number())
	   OR pg_catalog.jsonb_typeof(books -> 'sent') IS DISTINCT FROM 'array' OR pg_catalog.jsonb_typeof(books -> 'received') IS DISTINCT FROM 'array'
	   OR NOT commerce_private.are_transfers(books -> 'sent') OR NOT commerce_private.are_transfers(books -> 'received') THEN
		PERFORM commerce_private.raise_invalid('books', 'must be what transfers_with() this cell returned in another one');
	END IF;
	FOR t IN
		SELECT r.id, r.kind, r.resource_id, r.units - coalesce(o.units, 0) AS units
		FROM pg_catalog.jsonb_to_recordset(books -> 'received') AS r (id uuid, kind commerce.unit_kind, resource_id bigint, units bigint)
		LEFT JOIN commerce.transfers_out o ON o.id = r.id
		WHERE r.units > coalesce(o.units, 0) ORDER BY r.kind DESC, r.resource_id, r.id
	LOOP
		transfer_id := t.id;
		kind := t.kind;
		resource_id := t.resource_id;
		direction := 'SENT';
		units := commerce_private.take_units(t.kind, t.resource_id, t.units);
		missing := t.units - units;
		IF units > 0 THEN
			INSERT INTO commerce.transfers_out AS o (id, kind, resource_id, units, to_cell, delivered_at)
			VALUES (t.id, t.kind, t.resource_id, units, other, pg_catalog.clock_timestamp())
			ON CONFLICT (id) DO UPDATE SET units = o.units + EXCLUDED.units;
		END IF;
		RETURN NEXT;
	END LOOP;
	FOR t IN
		SELECT s.* FROM pg_catalog.jsonb_to_recordset(books -> 'sent') AS s (id uuid, kind commerce.unit_kind, resource_id bigint, units bigint)
		WHERE NOT EXISTS (SELECT FROM commerce.transfers_in i WHERE i.id = s.id) ORDER BY s.kind DESC, s.resource_id, s.id
	LOOP
		CONTINUE WHEN NOT commerce.receive_units(t.id, t.kind, t.resource_id, t.units, other);
		transfer_id := t.id;
		kind := t.kind;
		resource_id := t.resource_id;
		direction := 'RECEIVED';
		units := t.units;
		missing := 0;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce.reconcile_transfers(jsonb) IS
	'for a cell that has lost its last commits, with what transfers_with() this cell returns in each other one: sends again, at once and as much as there is, what the other has received from here, and receives what it has sent. Returns what was done; missing: units that both cells had and that were sold in both, for which orders are to be cancelled here before it is called again. Changes nothing where nothing was lost. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.grant_mover(role regrole)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.require_role(grant_mover.role);
	PERFORM commerce_private.close_row_types();
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA commerce TO %s', grant_mover.role);
	EXECUTE pg_catalog.format('GRANT SELECT ON commerce.open_transfers, commerce.allotments TO %s', grant_mover.role);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s',
		(SELECT pg_catalog.string_agg(f.oid::regprocedure::text, ', ')
		 FROM pg_catalog.pg_proc f
		 WHERE f.oid IN (SELECT commerce_private.view_functions(ARRAY['commerce.allotments'::regclass]))
			OR f.pronamespace = 'commerce'::regnamespace
			   AND f.proname = ANY ('{cell_books,cell_number,confirm_transfer,receive_units,send_units,set_elsewhere,wait_for_wants}')),
		grant_mover.role);
END
$$;
COMMENT ON FUNCTION commerce.grant_mover(regrole) IS
	'lets commerce-mover''s role move units between this cell and others, and nothing else; for the owner of the extension. revoke_app() takes it back. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
