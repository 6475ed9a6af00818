-- Rebase: what makes journals that came from another cluster this cluster's own (see src/escrow/gate.c).

CREATE FUNCTION commerce_private.rebase(system_identifier bigint, timeline bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- ids of this cluster from here on are not folded; smaller ones are
	present bigint := commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()));
BEGIN
	PERFORM commerce_private.fold_sales(9223372036854775807);
	UPDATE commerce_private.sales_fold SET mark = present;

	UPDATE commerce_private.stock s SET on_hand = l.units, mark = present
	FROM commerce_private.stock_left l WHERE l.product_id = s.product_id;
	UPDATE commerce_private.coupon_quota q SET on_hand = l.units, mark = present
	FROM commerce_private.quota_left l WHERE l.coupon_id = q.coupon_id;

	UPDATE commerce.stock_entries SET xid = 0 WHERE xid >= present;
	UPDATE commerce.coupon_issues SET xid = 0 WHERE xid >= present;
	UPDATE commerce.quota_entries SET xid = 0 WHERE xid >= present;
	UPDATE commerce.order_item_events SET xid = 0 WHERE xid >= present;
	UPDATE commerce.users SET event_key = 0 WHERE event_key >= present;
	UPDATE commerce_private.stock SET event_key = 0 WHERE event_key >= present;
	UPDATE commerce.orders SET event_key = 0 WHERE event_key >= present;
	UPDATE commerce.promotions SET event_key = 0 WHERE event_key >= present;
	UPDATE commerce.coupons SET event_key = 0 WHERE event_key >= present;
	UPDATE commerce.coupon_issues SET event_key = 0 WHERE event_key >= present;
	UPDATE commerce_private.conversion_windows SET event_key = 0 WHERE event_key >= present;

	WITH former AS (DELETE FROM commerce_private.origin RETURNING era)
	INSERT INTO commerce_private.origin (system_identifier, timeline, era)
	SELECT rebase.system_identifier, rebase.timeline, commerce_private.next_era(max(era)) FROM former;
END
$$;
COMMENT ON FUNCTION commerce_private.rebase(bigint, bigint) IS
	'folds everything, resets the marks to this cluster''s transaction ids and begins a new era of the outbox';
