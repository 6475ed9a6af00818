-- Escrow: what keeps stock and coupon quota exact. The journals and the narrow rows they are folded
-- into belong to their domains (stock: shop/stock.sql, quota: shop/quota.sql).

CREATE TABLE commerce_private.gate ();
COMMENT ON TABLE commerce_private.gate IS
	'never holds a row: every operation of the extension locks it ROW EXCLUSIVE, a write past the extension SHARE ROW EXCLUSIVE, so that the two never run side by side';

CREATE TABLE commerce_private.origin (
	system_identifier bigint PRIMARY KEY,
	timeline          bigint NOT NULL,
	era               bigint NOT NULL,
	recorded_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
	rebase_mark       bigint,
	rebase_step       int    NOT NULL DEFAULT 1,
	rebase_done_to    bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE commerce_private.origin IS
	'the cluster that the transaction ids in the journals belong to; written at first use. A dump restored elsewhere is recognised by it';
COMMENT ON COLUMN commerce_private.origin.system_identifier IS 'of pg_control_system()';
COMMENT ON COLUMN commerce_private.origin.timeline IS 'of the write-ahead log; another one means that history may have been cut: a new era begins';
COMMENT ON COLUMN commerce_private.origin.era IS 'number of the outbox''s era that is written now';
COMMENT ON COLUMN commerce_private.origin.rebase_mark IS 'while what came from another cluster is made this one''s: the mark that everything gets; NULL: that is done';
COMMENT ON COLUMN commerce_private.origin.rebase_step IS 'how far that has come, by rebase_batch()';
COMMENT ON COLUMN commerce_private.origin.rebase_done_to IS 'within the step: ids up to this are done';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.origin', '');

-- Triggers for writes that do not come from the extension's own functions: of rows, which replication
-- fires as well, and of statements, so that the gate is taken before a row that an order may want.
CREATE FUNCTION commerce_private.gate_foreign_write()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'commerce_gate_foreign_write';
COMMENT ON FUNCTION commerce_private.gate_foreign_write() IS
	'waits for running orders, and keeps new ones out until this transaction has ended';

CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce_private.origin
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.origin ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce_private.origin
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.origin ENABLE ALWAYS TRIGGER gate_statement;

CREATE FUNCTION commerce_private.next_era(former bigint)
RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT greatest(coalesce(next_era.former, 0) + 1, extract(epoch FROM pg_catalog.clock_timestamp())::bigint)
$$;
COMMENT ON FUNCTION commerce_private.next_era(bigint) IS
	'number of the era after one: seconds since 1970, so that no two histories that go on from one backup have the same';

CREATE FUNCTION commerce.open_era()
RETURNS bigint
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_open_era';
COMMENT ON FUNCTION commerce.open_era() IS
	'begins a new era of the events and returns its number: to be called once, before anything else, on a server that was started from a copy of another''s data directory or volume without recovery to a timeline of its own. After a promotion, a recovery to a point in time, or the restore of a dump it happens by itself';

CREATE FUNCTION commerce_private.close_gate()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_close_gate';
COMMENT ON FUNCTION commerce_private.close_gate() IS
	'waits for running orders, keeps new ones out until this transaction has ended, and makes all counters stale';

CREATE FUNCTION commerce.reload_counters()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
BEGIN
	PERFORM commerce_private.close_gate();
	-- ENABLE TRIGGER, which is in dumps too, forgets the ALWAYS
	FOR t IN SELECT g.tgrelid::regclass AS relation, g.tgname FROM pg_catalog.pg_trigger g
			 WHERE g.tgfoid = 'commerce_private.gate_foreign_write()'::regprocedure AND g.tgenabled <> 'A'
			 ORDER BY 1
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.relation, t.tgname);
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce.reload_counters() IS
	'after a write to the tables with their triggers disabled: enables the gate''s triggers always, and has all counters in shared memory read again from the tables; waits for running orders';

CREATE FUNCTION commerce_private.escrow_counters(
	OUT journal regclass, OUT resource_id bigint, OUT available bigint, OUT in_flight bigint, OUT pins int,
	OUT waiters int, OUT loads bigint, OUT evictions bigint, OUT taken bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_escrow_counters';
COMMENT ON FUNCTION commerce_private.escrow_counters() IS 'the counters in shared memory of this database; see the view escrow';

CREATE VIEW commerce.escrow AS
	SELECT CASE c.journal WHEN pg_catalog.to_regclass('commerce.stock_entries') THEN 'stock' ELSE 'quota' END AS kind,
		   c.resource_id, c.available, c.in_flight, c.pins, c.waiters, c.loads, c.evictions
	FROM commerce_private.escrow_counters() c
	WHERE c.journal IN (pg_catalog.to_regclass('commerce.stock_entries'), pg_catalog.to_regclass('commerce.coupon_issues'));
COMMENT ON VIEW commerce.escrow IS
	'the counters that stock and coupon quota are checked against, as they are now; empty when the library is not preloaded';
COMMENT ON COLUMN commerce.escrow.kind IS 'stock: of a product; quota: of a coupon';
COMMENT ON COLUMN commerce.escrow.resource_id IS 'product id or coupon id';
COMMENT ON COLUMN commerce.escrow.available IS 'units that a take can have at once; NULL: read from the tables at the next use';
COMMENT ON COLUMN commerce.escrow.in_flight IS 'units taken by transactions that have not ended';
COMMENT ON COLUMN commerce.escrow.pins IS 'transactions that have taken or given units and have not ended';
COMMENT ON COLUMN commerce.escrow.waiters IS 'sessions that wait for units in flight to come back or to be sold';
COMMENT ON COLUMN commerce.escrow.loads IS 'how often it was read from the tables since it got its place';
COMMENT ON COLUMN commerce.escrow.evictions IS 'of the whole server since its start: how often a counter lost its place to another';

-- What other cells have, as commerce-mover says it, and what is wanted of them.
CREATE FUNCTION commerce.set_elsewhere(kind commerce.unit_kind, resource_ids bigint[], units bigint[])
RETURNS void
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_set_elsewhere';
COMMENT ON FUNCTION commerce.set_elsewhere(commerce.unit_kind, bigint[], bigint[]) IS
	'says how many units of products or coupons other cells have at this moment, of those that have a counter in shared memory: who is short is refused at once for the second in which there are not enough elsewhere either. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce.wait_for_wants(timeout interval)
RETURNS TABLE (kind commerce.unit_kind, resource_id bigint, wanted bigint, available bigint)
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_wait_for_wants';
COMMENT ON FUNCTION commerce.wait_for_wants(interval) IS
	'what was asked for here in vain since it was told last: units that those wanted who wait for units of other cells, and units that are available here. Waits for the first of it, so long at most; without preloading always so long, for nothing. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.stock_elsewhere(product_id bigint)
RETURNS bigint
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_stock_elsewhere';
COMMENT ON FUNCTION commerce_private.stock_elsewhere(bigint) IS 'units of a product that other cells have, as set_elsewhere() said last; 0: it did not';

CREATE FUNCTION commerce_private.quota_elsewhere(coupon_id bigint)
RETURNS bigint
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_quota_elsewhere';
COMMENT ON FUNCTION commerce_private.quota_elsewhere(bigint) IS 'units of a coupon that other cells have, as set_elsewhere() said last; 0: it did not';

CREATE FUNCTION commerce_private.nothing_elsewhere(product_id bigint)
RETURNS boolean
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_nothing_elsewhere';
COMMENT ON FUNCTION commerce_private.nothing_elsewhere(bigint) IS 'whether no other cell has units of a product: there is no other, or it was said a moment ago';

CREATE FUNCTION commerce.fold()
RETURNS bigint
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_fold';
COMMENT ON FUNCTION commerce.fold() IS
	'adds finished journal entries to stock.on_hand and coupon_quota.on_hand and returns how many products and coupons it moved; never changes what is available';

CREATE VIEW commerce.horizon AS
	SELECT h.kind, h.database, h.holder, h.since, h.xid, pg_catalog.age(coalesce(h.xid, h.xmin)) AS age,
		   h.xid IS NOT NULL AS holds_folding, h.detail
	FROM (SELECT 'session' AS kind, a.datname AS database, a.pid::text AS holder, a.xact_start AS since,
				 a.backend_xid AS xid, a.backend_xmin AS xmin,
				 pg_catalog.concat_ws(' ', a.usename, a.application_name, a.state) AS detail
		  FROM pg_catalog.pg_stat_activity a
		  WHERE (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL) AND a.pid <> pg_catalog.pg_backend_pid()
		  UNION ALL
		  SELECT 'prepared', p.database, p.gid, p.prepared, p.transaction, NULL, p.owner
		  FROM pg_catalog.pg_prepared_xacts p
		  UNION ALL
		  SELECT 'slot', s.database, s.slot_name, NULL, NULL, coalesce(s.xmin, s.catalog_xmin),
				 CASE WHEN s.active THEN 'active' ELSE 'inactive' END
		  FROM pg_catalog.pg_replication_slots s
		  WHERE s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL) h
	ORDER BY holds_folding DESC, age DESC;
COMMENT ON VIEW commerce.horizon IS
	'what holds the transaction id horizon back, in all databases, the oldest first. Events written after a transaction that has an id, and is still running, are not delivered, and entries not folded, until it ends. Other sessions'' transactions are shown to superusers and members of pg_read_all_stats';
COMMENT ON COLUMN commerce.horizon.kind IS 'session, prepared (a prepared transaction) or slot (a replication slot)';
COMMENT ON COLUMN commerce.horizon.holder IS 'process id for pg_terminate_backend(), name for ROLLBACK PREPARED, or name of the slot';
COMMENT ON COLUMN commerce.horizon.age IS 'how many transaction ids have been given since';
COMMENT ON COLUMN commerce.horizon.holds_folding IS 'holds back delivery and folding; the others only keep VACUUM from removing old rows';
