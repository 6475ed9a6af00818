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

CREATE VIEW commerce.allotments AS
	SELECT 'STOCK'::commerce.unit_kind AS kind, l.product_id AS resource_id, greatest(l.units, 0) AS available, c.taken
	FROM commerce_private.stock_left l
	LEFT JOIN commerce_private.escrow_counters() c ON c.journal = 'commerce.stock_entries'::regclass AND c.resource_id = l.product_id
	UNION ALL
	SELECT 'QUOTA', l.coupon_id, greatest(l.units, 0), c.taken
	FROM commerce_private.quota_left l
	LEFT JOIN commerce_private.escrow_counters() c ON c.journal = 'commerce.coupon_issues'::regclass AND c.resource_id = l.coupon_id;
COMMENT ON VIEW commerce.allotments IS 'what this cell has of each product and coupon';
COMMENT ON COLUMN commerce.allotments.resource_id IS 'product id or coupon id';
COMMENT ON COLUMN commerce.allotments.available IS 'units that are here; those that transactions have taken which have not ended are among them';
COMMENT ON COLUMN commerce.allotments.taken IS
	'units that orders and claims took here, since the product or coupon got its counter; NULL: it has none, as without preloading';

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
