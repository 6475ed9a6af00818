-- Stock of products: the journal, the narrow rows that it is folded into, and what is available.

CREATE TABLE commerce_private.stock (
	product_id bigint PRIMARY KEY REFERENCES commerce.products,
	on_hand    bigint NOT NULL DEFAULT 0,
	mark       bigint NOT NULL DEFAULT 0,
	depleted   boolean NOT NULL DEFAULT false,
	event_key  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE commerce_private.stock IS
	'folded stock: what is available is on_hand plus the entries of stock_entries not folded yet. No order updates it';
COMMENT ON COLUMN commerce_private.stock.on_hand IS 'sum of the folded entries; what is available is told by available_stock()';
COMMENT ON COLUMN commerce_private.stock.mark IS 'entries of transactions below this id are folded into on_hand';
COMMENT ON COLUMN commerce_private.stock.depleted IS 'nothing was left at the last fold (a StockDepleted event went out)';
COMMENT ON COLUMN commerce_private.stock.event_key IS 'key of the last outbox event of this product';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.stock', '');

CREATE TABLE commerce.stock_entries (
	product_id    bigint NOT NULL REFERENCES commerce.products,
	delta         bigint NOT NULL CHECK (delta <> 0),
	order_item_id bigint,
	actor_id      bigint,
	at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
	xid           bigint NOT NULL DEFAULT pg_catalog.pg_current_xact_id()::text::bigint,
	reason        commerce.stock_reason NOT NULL,
	note          text
);
CREATE INDEX stock_entries_product_idx ON commerce.stock_entries (product_id, xid) INCLUDE (delta);
-- a rebase updates rows, also where they are published
ALTER TABLE commerce.stock_entries REPLICA IDENTITY FULL;
COMMENT ON TABLE commerce.stock_entries IS 'append-only journal of every unit of stock that came or went: the truth';
COMMENT ON COLUMN commerce.stock_entries.delta IS 'units: positive came in, negative went out';
COMMENT ON COLUMN commerce.stock_entries.actor_id IS 'the user who changed the stock by hand; NULL: an order did, or a trusted caller';
COMMENT ON COLUMN commerce.stock_entries.xid IS 'the transaction that wrote the entry; 0: folded from the beginning, or before the database was restored here';
SELECT pg_catalog.pg_extension_config_dump('commerce.stock_entries', '');

CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce_private.stock
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.stock ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce_private.stock
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.stock ENABLE ALWAYS TRIGGER gate_statement;
CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce.stock_entries
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.stock_entries ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce.stock_entries
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.stock_entries ENABLE ALWAYS TRIGGER gate_statement;

-- Rows of the stock tables are written by C alone, which owns them.
CREATE FUNCTION commerce_private.open_stock(product_id bigint, units bigint, actor_id bigint, note text)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_open_stock';
COMMENT ON FUNCTION commerce_private.open_stock(bigint, bigint, bigint, text) IS 'gives a new product its stock row and first entry. Errors: INVALID_REQUEST';

CREATE VIEW commerce_private.stock_left AS
	SELECT s.product_id, s.mark, (s.on_hand + coalesce(j.units, 0))::bigint AS units, j.unfolded
	FROM commerce_private.stock s
	CROSS JOIN LATERAL (SELECT sum(e.delta) AS units, count(*) AS unfolded FROM commerce.stock_entries e
						WHERE e.product_id = s.product_id AND e.xid >= s.mark) j;
COMMENT ON VIEW commerce_private.stock_left IS
	'units of each product that the snapshot sees: on hand, and of entries that are not folded yet. A transaction with an old snapshot may have taken units whose return it does not see: then they are fewer than none';

CREATE FUNCTION commerce_private.product_event_key(product_id bigint)
RETURNS bigint
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_product_event_key';
COMMENT ON FUNCTION commerce_private.product_event_key(bigint) IS
	'locks a product''s stock row until the transaction ends and sets its event_key, for the event that the caller writes';

CREATE FUNCTION commerce_private.move_stock(product_id bigint, delta bigint, actor_id bigint, note text)
RETURNS bigint
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_move_stock';
COMMENT ON FUNCTION commerce_private.move_stock(bigint, bigint, bigint, text) IS
	'adds units to a product''s stock, or takes them off, for which overdue orders make way, and returns what is available after. Errors: INVALID_REQUEST, STOCK_NOT_ENOUGH';

CREATE FUNCTION commerce.adjust_stock(
	product_id bigint, delta bigint, note text DEFAULT NULL, actor_id bigint DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	scope text := 'product:' || adjust_stock.product_id;
	arguments jsonb := pg_catalog.jsonb_build_object('delta', adjust_stock.delta, 'note', adjust_stock.note,
		'actor_id', adjust_stock.actor_id);
	stored jsonb;
	actor jsonb;
	seller_id bigint;
	available bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	IF adjust_stock.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	IF coalesce(adjust_stock.delta, 0) = 0 OR adjust_stock.delta < -9223372036854775807 THEN
		PERFORM commerce_private.raise_invalid('delta', 'must be a number of units other than 0');
	END IF;
	PERFORM commerce_private.check_text('note', adjust_stock.note);
	stored := commerce_private.begin_key(scope, 'adjust_stock', adjust_stock.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		RETURN (stored->'available')::bigint;
	END IF;
	seller_id := commerce_private.product_seller(adjust_stock.product_id);
	actor := commerce_private.require_who(adjust_stock.actor_id, adjust_stock.note, seller_id);

	available := commerce_private.move_stock(adjust_stock.product_id, adjust_stock.delta, adjust_stock.actor_id, adjust_stock.note);
	PERFORM commerce_private.write_event('Product', adjust_stock.product_id::text, 'StockAdjusted',
		pg_catalog.jsonb_build_object('product_id', adjust_stock.product_id, 'seller_id', seller_id, 'delta', adjust_stock.delta,
			'available', available, 'actor', actor),
		commerce_private.product_event_key(adjust_stock.product_id));
	PERFORM commerce_private.end_key(scope, 'adjust_stock', adjust_stock.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('available', available));
	RETURN available;
END
$$;
COMMENT ON FUNCTION commerce.adjust_stock(bigint, bigint, text, bigint, text) IS
	'adds units to a product''s stock, or takes them off, for which overdue unpaid orders give way, and returns what is available after; nothing is added above 1 000 000 000 000. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, STOCK_NOT_ENOUGH, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.available_stock(product_id bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	available bigint;
BEGIN
	IF available_stock.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	SELECT greatest(l.units, 0) + commerce_private.stock_elsewhere(l.product_id) INTO available
	FROM commerce_private.stock_left l WHERE l.product_id = available_stock.product_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('product', available_stock.product_id);
	END IF;
	RETURN available;
END
$$;
COMMENT ON FUNCTION commerce.available_stock(bigint) IS
	'units of a product that can be ordered, as the caller''s snapshot sees them, and those that other cells were said to have; works on a standby. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.fold_stock(
	product_ids bigint[], sold_out bigint[], OUT folded bigint, OUT unfinished bigint[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	moved record;
BEGIN
	folded := 0;
	FOR moved IN
		WITH horizon AS MATERIALIZED (
			SELECT commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS xmin
		), due AS (
			SELECT s.product_id, s.depleted AS was_depleted, f.finished,
				   CASE WHEN fold_stock.product_ids IS NOT NULL THEN s.product_id = ANY (fold_stock.sold_out)
						WHEN s.on_hand + f.finished
							+ coalesce((SELECT sum(j.delta) FROM commerce.stock_entries j
										WHERE j.product_id = s.product_id AND j.xid >= h.xmin), 0) > 0 THEN false
						-- other cells may have some
						ELSE s.depleted OR commerce_private.nothing_elsewhere(s.product_id)
				   END AS is_depleted
			FROM commerce_private.stock s CROSS JOIN horizon h
			CROSS JOIN LATERAL (
				SELECT sum(j.delta) AS finished FROM commerce.stock_entries j
				WHERE j.product_id = s.product_id AND j.xid >= s.mark AND j.xid < h.xmin) f
			WHERE (fold_stock.product_ids IS NULL OR s.product_id = ANY (fold_stock.product_ids))
			  AND (f.finished IS NOT NULL OR s.product_id = ANY (fold_stock.sold_out) <> s.depleted)
			FOR NO KEY UPDATE OF s SKIP LOCKED
		)
		UPDATE commerce_private.stock s
		SET on_hand = s.on_hand + coalesce(due.finished, 0), mark = greatest(s.mark, h.xmin), depleted = due.is_depleted,
			event_key = CASE WHEN due.is_depleted AND NOT due.was_depleted
							 THEN greatest(s.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id())) ELSE s.event_key END
		FROM due CROSS JOIN horizon h
		WHERE s.product_id = due.product_id
		RETURNING s.product_id, s.event_key, due.is_depleted AND NOT due.was_depleted AS now_depleted
	LOOP
		folded := folded + 1;
		IF moved.now_depleted THEN
			PERFORM commerce_private.write_event('Product', p.id::text, 'StockDepleted',
				pg_catalog.jsonb_build_object('product_id', p.id, 'seller_id', p.seller_id, 'name', p.name,
					'category', p.category, 'price', p.price, 'status', p.status),
				moved.event_key)
			FROM commerce.products p WHERE p.id = moved.product_id;
		END IF;
	END LOOP;
	unfinished := ARRAY(
		SELECT p.product_id FROM pg_catalog.unnest(fold_stock.product_ids) p (product_id)
		WHERE EXISTS (SELECT FROM commerce_private.stock s JOIN commerce.stock_entries j ON j.product_id = s.product_id AND j.xid >= s.mark
					  WHERE s.product_id = p.product_id));
END
$$;
COMMENT ON FUNCTION commerce_private.fold_stock(bigint[], bigint[]) IS
	'the part of fold() that moves stock, of all products (NULL) or of some, of which those in sold_out are known to have nothing left; returns how many it moved, and which of those given have entries left to fold';
