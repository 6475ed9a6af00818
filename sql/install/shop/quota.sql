-- Quota of coupons: the journal of how many there may be, and the narrow rows that it is folded into with what was issued.

CREATE TABLE commerce_private.coupon_quota (
	coupon_id bigint PRIMARY KEY REFERENCES commerce.coupons,
	on_hand   bigint NOT NULL,
	mark      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE commerce_private.coupon_quota IS
	'folded quota: what remains is on_hand and the quota_moves that are not folded yet. No claim updates it';
COMMENT ON COLUMN commerce_private.coupon_quota.mark IS 'moves of transactions below this id are folded into on_hand';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.coupon_quota', '');

CREATE TABLE commerce.quota_entries (
	coupon_id bigint NOT NULL REFERENCES commerce.coupons,
	delta     bigint NOT NULL CHECK (delta <> 0),
	reason    commerce.quota_reason NOT NULL,
	actor_id  bigint,
	note      text,
	at        timestamptz NOT NULL DEFAULT pg_catalog.now(),
	xid       bigint NOT NULL DEFAULT pg_catalog.pg_current_xact_id()::text::bigint
);
CREATE INDEX quota_entries_coupon_idx ON commerce.quota_entries (coupon_id, xid) INCLUDE (delta);
-- a rebase updates rows, also where they are published
ALTER TABLE commerce.quota_entries REPLICA IDENTITY FULL;
COMMENT ON TABLE commerce.quota_entries IS 'append-only journal of how many of a coupon there may be: what remains is its sum less the coupon_issues';
COMMENT ON COLUMN commerce.quota_entries.delta IS 'positive: so many more may be issued; negative: fewer';
COMMENT ON COLUMN commerce.quota_entries.actor_id IS 'the user who changed it; NULL: a trusted caller';
COMMENT ON COLUMN commerce.quota_entries.xid IS 'the transaction that wrote the entry; 0: folded from the beginning, or before the database was restored here';
SELECT pg_catalog.pg_extension_config_dump('commerce.quota_entries', '');

CREATE VIEW commerce_private.quota_moves AS
	SELECT i.coupon_id, i.xid, -1::bigint AS delta FROM commerce.coupon_issues i
	UNION ALL
	SELECT e.coupon_id, e.xid, e.delta FROM commerce.quota_entries e;
COMMENT ON VIEW commerce_private.quota_moves IS 'all that changes what remains of a coupon: each issue, and each entry of its quota';

CREATE VIEW commerce_private.quota_left AS
	SELECT q.coupon_id, q.mark, (q.on_hand + coalesce(j.units, 0))::bigint AS units, j.unfolded
	FROM commerce_private.coupon_quota q
	CROSS JOIN LATERAL (SELECT sum(m.delta) AS units, count(*) AS unfolded FROM commerce_private.quota_moves m
						WHERE m.coupon_id = q.coupon_id AND m.xid >= q.mark) j;
COMMENT ON VIEW commerce_private.quota_left IS
	'how many of each coupon remain as the snapshot sees them: on hand, and of moves that are not folded yet';

CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce_private.coupon_quota
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.coupon_quota ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce_private.coupon_quota
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.coupon_quota ENABLE ALWAYS TRIGGER gate_statement;
CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce.quota_entries
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.quota_entries ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce.quota_entries
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.quota_entries ENABLE ALWAYS TRIGGER gate_statement;

CREATE FUNCTION commerce_private.record_quota()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'commerce_record_quota';
COMMENT ON FUNCTION commerce_private.record_quota() IS
	'the journal follows a quantity that an UPDATE by hand changes. Errors: INVALID_REQUEST';
CREATE TRIGGER record_quota AFTER UPDATE OF quantity ON commerce.coupons
	FOR EACH ROW WHEN (OLD.quantity <> NEW.quantity) EXECUTE FUNCTION commerce_private.record_quota();

-- Rows of the quota tables are written by C alone, which owns them.
CREATE FUNCTION commerce_private.open_quota(coupon_id bigint, quantity bigint, actor_id bigint, note text)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_open_quota';
COMMENT ON FUNCTION commerce_private.open_quota(bigint, bigint, bigint, text) IS 'gives a new coupon its quota row and first entry';

CREATE FUNCTION commerce_private.change_quota(coupon_id bigint, former bigint, quantity bigint, actor_id bigint, note text)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_change_quota';
COMMENT ON FUNCTION commerce_private.change_quota(bigint, bigint, bigint, bigint, text) IS
	'changes the quantity of a coupon whose row the caller has locked; fewer are taken as a claim takes. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.receive_quantity(coupon_id bigint, quantity bigint)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_receive_quantity';
COMMENT ON FUNCTION commerce_private.receive_quantity(bigint, bigint) IS
	'writes the quantity of a coupon that another cell owns';

CREATE FUNCTION commerce_private.fold_quota(coupon_ids bigint[], OUT folded bigint, OUT unfinished bigint[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
	WITH horizon AS MATERIALIZED (
		SELECT commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS xmin
	), due AS (
		SELECT q.coupon_id, f.finished
		FROM commerce_private.coupon_quota q CROSS JOIN horizon h
		CROSS JOIN LATERAL (
			SELECT sum(m.delta) AS finished FROM commerce_private.quota_moves m
			WHERE m.coupon_id = q.coupon_id AND m.xid >= q.mark AND m.xid < h.xmin) f
		WHERE f.finished IS NOT NULL AND (fold_quota.coupon_ids IS NULL OR q.coupon_id = ANY (fold_quota.coupon_ids))
		FOR NO KEY UPDATE OF q SKIP LOCKED
	)
	UPDATE commerce_private.coupon_quota q
	SET on_hand = q.on_hand + due.finished, mark = greatest(q.mark, h.xmin)
	FROM due CROSS JOIN horizon h
	WHERE q.coupon_id = due.coupon_id;
	GET DIAGNOSTICS folded = ROW_COUNT;
	unfinished := ARRAY(
		SELECT c.coupon_id FROM pg_catalog.unnest(fold_quota.coupon_ids) c (coupon_id)
		WHERE EXISTS (SELECT FROM commerce_private.coupon_quota q JOIN commerce_private.quota_moves m ON m.coupon_id = q.coupon_id AND m.xid >= q.mark
					  WHERE q.coupon_id = c.coupon_id));
END
$$;
COMMENT ON FUNCTION commerce_private.fold_quota(bigint[]) IS
	'the part of fold() that moves coupon quota, of all coupons (NULL) or of some; returns how many it moved, and which of those given have moves left to fold';
