-- Rebase: what makes journals that came from another cluster this cluster's own (see src/escrow/origin.c), in
-- batches that are transactions of their own. Each can be done again: what a batch has done is of this cluster's
-- past, and is summed, or set to 0, to no effect.

CREATE FUNCTION commerce_private.is_empty()
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT NOT (EXISTS (SELECT FROM commerce.users) OR EXISTS (SELECT FROM commerce.products)
				OR EXISTS (SELECT FROM commerce.coupons) OR EXISTS (SELECT FROM commerce.outbox))
$$;
COMMENT ON FUNCTION commerce_private.is_empty() IS 'nothing was ever written here';

CREATE FUNCTION commerce_private.marks_are_ahead()
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM commerce_private.stock s WHERE s.mark > h.xmin)
		OR EXISTS (SELECT FROM commerce_private.coupon_quota q WHERE q.mark > h.xmin)
	FROM (SELECT commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS xmin) h
$$;
COMMENT ON FUNCTION commerce_private.marks_are_ahead() IS
	'some mark is not this cluster''s past: transaction ids were reset, or a table was copied by hand';

CREATE FUNCTION commerce_private.write_origin(system_identifier bigint, timeline bigint, rebasing boolean)
RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	WITH former AS (DELETE FROM commerce_private.origin RETURNING era)
	INSERT INTO commerce_private.origin (system_identifier, timeline, era, rebase_mark)
	SELECT write_origin.system_identifier, write_origin.timeline, commerce_private.next_era(max(era)),
		   CASE WHEN write_origin.rebasing
				THEN commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) END
	FROM former
	RETURNING era
$$;
COMMENT ON FUNCTION commerce_private.write_origin(bigint, bigint, boolean) IS
	'makes this cluster the origin, in a new era, which it returns; with a rebase to be done: ids from its mark on are this cluster''s, smaller ones are folded';

CREATE FUNCTION commerce_private.nth_after(relation regclass, id_column name, after bigint, n int)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
	id bigint;
BEGIN
	EXECUTE pg_catalog.format('SELECT max(i) FROM (SELECT %1$I AS i FROM %2$s WHERE %1$I > $1 ORDER BY 1 LIMIT $2) t',
							  nth_after.id_column, nth_after.relation)
		INTO id USING nth_after.after, nth_after.n;
	RETURN id;
END
$$;
COMMENT ON FUNCTION commerce_private.nth_after(regclass, name, bigint, int) IS
	'the id up to which the next n rows go; NULL: there is none';

CREATE FUNCTION commerce_private.rebase_batch()
RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	steps CONSTANT text[] := '{sales,stock,coupons,histories,users,orders,end}'::text[];
	o commerce_private.origin;
	upper bigint;
BEGIN
	SELECT * INTO o FROM commerce_private.origin;
	CASE steps[o.rebase_step]
	WHEN 'sales' THEN
		-- all of them; until the end no id is above the watermark
		PERFORM commerce_private.fold_sales(9223372036854775807);
	WHEN 'stock' THEN
		upper := commerce_private.nth_after('commerce_private.stock', 'product_id', o.rebase_done_to, 200);
		UPDATE commerce_private.stock s
		SET on_hand = l.units, mark = o.rebase_mark, event_key = CASE WHEN s.event_key < o.rebase_mark THEN s.event_key ELSE 0 END
		FROM commerce_private.stock_left l
		WHERE l.product_id = s.product_id AND s.product_id > o.rebase_done_to AND s.product_id <= upper;
		UPDATE commerce.stock_entries SET xid = 0
		WHERE product_id > o.rebase_done_to AND product_id <= upper AND xid >= o.rebase_mark;
	WHEN 'coupons' THEN
		upper := commerce_private.nth_after('commerce_private.coupon_quota', 'coupon_id', o.rebase_done_to, 50);
		UPDATE commerce_private.coupon_quota q SET on_hand = l.units, mark = o.rebase_mark
		FROM commerce_private.quota_left l
		WHERE l.coupon_id = q.coupon_id AND q.coupon_id > o.rebase_done_to AND q.coupon_id <= upper;
		UPDATE commerce.coupon_issues i
		SET xid = CASE WHEN i.xid < o.rebase_mark THEN i.xid ELSE 0 END,
			event_key = CASE WHEN i.event_key < o.rebase_mark THEN i.event_key ELSE 0 END
		WHERE i.coupon_id > o.rebase_done_to AND i.coupon_id <= upper
		  AND (i.xid >= o.rebase_mark OR i.event_key >= o.rebase_mark);
		UPDATE commerce.quota_entries SET xid = 0
		WHERE coupon_id > o.rebase_done_to AND coupon_id <= upper AND xid >= o.rebase_mark;
	WHEN 'histories' THEN
		upper := commerce_private.nth_after('commerce.order_item_events', 'order_item_id', o.rebase_done_to, 5000);
		UPDATE commerce.order_item_events SET xid = 0
		WHERE order_item_id > o.rebase_done_to AND order_item_id <= upper AND xid >= o.rebase_mark;
	WHEN 'users' THEN
		upper := commerce_private.nth_after('commerce.users', 'id', o.rebase_done_to, 5000);
		UPDATE commerce.users SET event_key = 0
		WHERE id > o.rebase_done_to AND id <= upper AND event_key >= o.rebase_mark;
	WHEN 'orders' THEN
		upper := commerce_private.nth_after('commerce.orders', 'id', o.rebase_done_to, 5000);
		UPDATE commerce.orders SET event_key = 0
		WHERE id > o.rebase_done_to AND id <= upper AND event_key >= o.rebase_mark;
	ELSE
		UPDATE commerce.sellers SET event_key = 0 WHERE event_key >= o.rebase_mark;
		UPDATE commerce.promotions SET event_key = 0 WHERE event_key >= o.rebase_mark;
		UPDATE commerce.coupons SET event_key = 0 WHERE event_key >= o.rebase_mark;
		UPDATE commerce_private.conversion_windows SET event_key = 0 WHERE event_key >= o.rebase_mark;
		UPDATE commerce_private.sales_fold SET mark = o.rebase_mark;
		UPDATE commerce_private.origin SET rebase_mark = NULL, rebase_step = 1, rebase_done_to = 0;
		RETURN NULL;
	END CASE;
	UPDATE commerce_private.origin
	SET rebase_step = o.rebase_step + CASE WHEN upper IS NULL THEN 1 ELSE 0 END, rebase_done_to = coalesce(upper, 0);
	RETURN steps[o.rebase_step] || coalesce(' up to ' || upper, '');
END
$$;
COMMENT ON FUNCTION commerce_private.rebase_batch() IS
	'does the next batch of a rebase, whole products and coupons: sums what was folded and not, sets the mark to this cluster''s, and ids from it on to 0; returns what it did, NULL when the rebase has ended';

CREATE FUNCTION commerce.prepare_after_restore()
RETURNS boolean
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_prepare_after_restore';
COMMENT ON FUNCTION commerce.prepare_after_restore() IS
	'makes data that was restored from a dump, or came by logical replication, this cluster''s own, and returns whether anything was to be done. A background process does it in batches, which goes on when this call is cancelled; until it has ended, operations are refused with SERVICE_BUSY. With the library preloaded it begins by itself at the first call that is refused';
