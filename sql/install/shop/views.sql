-- Views for SQL clients.

CREATE VIEW commerce_private.product_offers AS
	SELECT p.id, p.seller_id, s.business_name AS seller_name, coalesce(s.active, true) AS seller_active, p.name, p.description,
		   p.category, p.price, p.discount, m.reduction AS discount_now, p.price - m.reduction AS price_now, p.shipping_fee,
		   p.max_per_order, p.max_per_user, k.available AS stock,
		   CASE WHEN p.status = 'ON_SALE' AND k.available <= 0 THEN 'SOLD_OUT'::commerce.product_status
				ELSE p.status END AS status,
		   p.sku, p.group_id, p.tax_exempt, p.image_urls, p.metadata, p.created_at, p.updated_at
	FROM commerce.products p
	LEFT JOIN commerce.sellers s ON s.id = p.seller_id
	JOIN LATERAL (SELECT greatest(t.units, 0) + commerce_private.stock_elsewhere(t.product_id) AS available
				  FROM commerce_private.stock_left t WHERE t.product_id = p.id) k ON true
	JOIN commerce_private.reductions m ON m.product_id = p.id;
COMMENT ON VIEW commerce_private.product_offers IS 'every product with what is off its price now, remaining stock, and status';

CREATE VIEW commerce.product_list AS
	SELECT o.id, o.seller_id, o.seller_name, o.name, o.description, o.category, o.price, o.discount, o.discount_now,
		   o.price_now, o.shipping_fee, o.max_per_order, o.max_per_user, o.stock, o.status, o.sku, o.group_id,
		   o.tax_exempt, o.image_urls, o.metadata, o.created_at, o.updated_at
	FROM commerce_private.product_offers o
	WHERE o.status <> 'DISCONTINUED' AND o.seller_active;
COMMENT ON VIEW commerce.product_list IS 'the catalogue: products with what is off their price now, remaining stock, and status (SOLD_OUT when nothing is left); without those that are discontinued, or of a seller who is not active';
COMMENT ON COLUMN commerce.product_list.discount_now IS 'per unit: the larger of instant discount and running promotions';
COMMENT ON COLUMN commerce.product_list.stock IS 'units that can be ordered';

CREATE VIEW commerce.order_list AS
	SELECT o.id, o.user_id, o.status, o.payment_method, o.created_at, o.updated_at, o.paid_at, o.expires_at,
		   o.items_total, o.item_discount_total, o.order_discount, o.shipping_discount, o.shipping_total,
		   o.payment_amount, o.tax_free_amount, o.refunded_amount, o.recipient_name, o.recipient_phone,
		   o.recipient_address, o.recipient_memo, o.metadata, o.imported, i.items
	FROM commerce.orders o
	JOIN LATERAL (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(t)
					- '{order_id,own_shipping,lost,split_quantity,split_net,last_event,limited_user_id,user_limit}'::text[] ORDER BY t.seq) AS items
				  -- in a view i.* is what there is when it is made: a column of somebody's own is not shown
				  FROM (SELECT i.* FROM commerce.order_items i) t WHERE t.order_id = o.id) i ON true;
COMMENT ON VIEW commerce.order_list IS 'orders with their items as a jsonb array';

CREATE VIEW commerce.coupon_list AS
	SELECT c.id, c.name, c.description, c.kind, c.value, c.max_discount, c.round_unit, c.min_order_amount, c.scope,
		   c.seller_id, c.product_id, c.quantity, q.remaining, c.issue_from, c.issue_until, c.valid_days,
		   c.valid_until, c.stopped_at, c.max_units, c.claimable, c.metadata,
		   CASE WHEN c.stopped_at IS NOT NULL THEN 'STOPPED'
				WHEN c.issue_until <= pg_catalog.statement_timestamp()
				  OR c.valid_until <= pg_catalog.statement_timestamp() THEN 'EXPIRED'
				WHEN c.issue_from > pg_catalog.statement_timestamp() THEN 'SCHEDULED'
				WHEN q.remaining <= 0 THEN 'EXHAUSTED'
				ELSE 'ACTIVE' END::commerce.coupon_status AS status,
		   c.created_at, c.updated_at
	FROM commerce.coupons c
	JOIN LATERAL (SELECT greatest(t.units, 0) + commerce_private.quota_elsewhere(t.coupon_id) AS remaining
				  FROM commerce_private.quota_left t WHERE t.coupon_id = c.id) q ON true;
COMMENT ON VIEW commerce.coupon_list IS 'coupons with how many can still be issued, and their status';

-- Each is found by an index, and counting ends early.
CREATE FUNCTION commerce_private.job_backlog(name text)
RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	now timestamptz := pg_catalog.statement_timestamp();
BEGIN
	RETURN CASE job_backlog.name
		WHEN 'archive' THEN (SELECT count(*) FROM commerce_private.find_archivable(0, commerce_private.archive_before(), 1000))
		WHEN 'confirm-delivered-items' THEN (SELECT count(*) FROM (
			SELECT FROM commerce.order_items i
			WHERE (i.status = 'DELIVERED' OR i.status = 'EXCHANGED')
			  AND i.delivered_at <= now - commerce_private.setting('commerce.auto_confirm_after')::interval LIMIT 10000) b)
		WHEN 'expire-coupons' THEN (SELECT count(*) FROM (
			SELECT FROM commerce.coupon_issues i WHERE i.status = 'ACTIVE' AND i.expires_at <= now LIMIT 10000) b)
		WHEN 'expire-pending-orders' THEN (SELECT count(*) FROM (
			(SELECT FROM commerce.orders o WHERE o.status = 'PENDING_PAYMENT' AND o.expires_at <= now LIMIT 10000)
			UNION ALL
			(SELECT FROM commerce.payments p WHERE p.kind = 'CHARGE' AND p.status = 'REQUESTED' AND p.expires_at <= now LIMIT 10000)) b)
		WHEN 'purge-idempotency-keys' THEN (SELECT count(*) FROM (
			SELECT FROM commerce_private.idempotency_keys k WHERE k.created_at < now - interval '24 hours' LIMIT 10000) b)
		WHEN 'purge-order-sheets' THEN (SELECT count(*) FROM (
			SELECT FROM commerce.order_sheets s
			WHERE s.created_at < now - interval '30 days' AND s.expires_at < now LIMIT 10000) b) END;
END
$$;
COMMENT ON FUNCTION commerce_private.job_backlog(text) IS
	'what is due for a job and not done yet, counted up to 10 000, for the archive up to 1 000; NULL: it is not counted';

CREATE VIEW commerce.job_status AS
	SELECT j.name, j.purpose, j.schedule, r.started_at AS last_started_at, r.finished_at AS last_finished_at,
		   r.rows AS last_rows, r.failures, r.last_error, r.last_error_at,
		   CASE WHEN r.name IS NULL THEN 'NEVER'
				WHEN r.finished_at < pg_catalog.statement_timestamp() - 2 * p.period - interval '2 minutes' THEN 'OVERDUE'
				WHEN r.last_error_at >= r.started_at THEN 'FAILED'
				ELSE 'OK' END AS state,
		   commerce_private.job_backlog(j.name) AS backlog
	FROM commerce_private.jobs j
	LEFT JOIN commerce_private.job_runs r ON r.name = j.name
	CROSS JOIN LATERAL (SELECT CASE WHEN j.schedule LIKE '* * %' THEN interval '1 minute'
									WHEN j.schedule LIKE '*/% * %' THEN pg_catalog.substring(j.schedule, '\d+')::int * interval '1 minute'
									WHEN j.schedule LIKE '% * * * *' THEN interval '1 hour' ELSE interval '1 day' END AS period) p;
COMMENT ON VIEW commerce.job_status IS 'the periodic jobs, when each ran last, and its last error';
COMMENT ON COLUMN commerce.job_status.failures IS 'since ever; last_error stays when later runs succeed';
COMMENT ON COLUMN commerce.job_status.backlog IS 'what is due and not done yet, counted up to 10 000, for the archive up to 1 000; NULL: it is not counted';
COMMENT ON COLUMN commerce.job_status.state IS
	'OK; FAILED: the last run; OVERDUE: it ended more than two periods and two minutes ago; NEVER: it has not run yet';
