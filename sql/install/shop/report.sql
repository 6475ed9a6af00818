-- Reports: what was sold, and what of it was undone, each on its own day, so that a closed day never changes.

-- Of what is read by time, every order would pay for a btree; rows come in the order of these times, or nearly.
CREATE INDEX orders_times_idx ON commerce.orders USING brin (paid_at, created_at);
-- Pages are summarized once they are full. Of the first ones there is a summary already, which each order would change.
SELECT pg_catalog.brin_desummarize_range('commerce.orders_times_idx', 0);
-- What was asked for, and what was undone: an order that goes well has no entry in it.
CREATE INDEX order_item_events_undone_idx ON commerce.order_item_events (at)
	WHERE event IN ('CANCEL_REQUESTED', 'RETURN_REQUESTED', 'EXCHANGE_REQUESTED', 'RETURNED')
	   OR (event = 'CANCELLED' AND from_status <> 'PENDING_PAYMENT');
CREATE INDEX payments_refunds_idx ON commerce.payments (at) WHERE kind = 'REFUND';

-- What a coupon took off is by its own terms; the rest of a discount is the seller's own.
CREATE FUNCTION commerce_private.item_discounts(
	item commerce_private.all_order_items, OUT own_discounts bigint, OUT shop_discounts bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (item.unit_discount * item.quantity + item.order_discount_share - d.shop)::bigint, d.shop::bigint
	FROM (SELECT coalesce(sum(CASE WHEN i.scope = 'PRODUCT'
								   -- so much per unit, of all units that it was used for
								   THEN c.discount / (SELECT sum(u.quantity) FROM commerce_private.all_order_items u
													  WHERE u.order_id = item.order_id AND u.month = item.month AND u.coupon_issue_id = i.id) * item.quantity
								   ELSE item.order_discount_share END), 0) AS shop
		  FROM commerce_private.all_order_coupons c JOIN commerce.coupon_issues i ON i.id = c.coupon_issue_id
		  WHERE c.order_id = item.order_id AND c.month = item.month AND i.kind <> 'FREE_SHIPPING' AND i.seller_id IS NULL
			AND (i.scope <> 'PRODUCT' OR i.id = item.coupon_issue_id)) d
$$;
COMMENT ON FUNCTION commerce_private.item_discounts(commerce_private.all_order_items) IS
	'what was taken off an item, shipping apart: by instant discount, promotions and the seller''s coupons, and by the shop''s coupons';

CREATE FUNCTION commerce_private.ships_free_by_shop(item commerce_private.all_order_items)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM commerce_private.all_order_coupons c JOIN commerce.coupon_issues i ON i.id = c.coupon_issue_id
				   WHERE c.order_id = item.order_id AND c.month = item.month AND i.kind = 'FREE_SHIPPING' AND i.seller_id IS NULL)
$$;
COMMENT ON FUNCTION commerce_private.ships_free_by_shop(commerce_private.all_order_items) IS 'whether the shop''s coupon, not a seller''s, paid for the shipping of an item''s order';

-- Shipping comes back when the last of the items that share the fee is cancelled, or lost on the way.
CREATE FUNCTION commerce_private.fee_came_back(fee commerce_private.all_order_items)
RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN pg_catalog.bool_and(i.status = 'CANCELLED' OR (i.status = 'RETURNED' AND i.lost)) THEN max(e.at) END
	FROM commerce_private.all_order_items i
	LEFT JOIN LATERAL (SELECT max(h.at) AS at FROM commerce_private.all_order_item_events h
					   WHERE h.order_item_id = i.id AND h.month = i.month AND h.event = i.status) e ON true
	WHERE i.order_id = fee.order_id AND i.month = fee.month
	  AND CASE WHEN fee.own_shipping OR i.own_shipping THEN i.line = fee.line ELSE i.seller_id IS NOT DISTINCT FROM fee.seller_id END
$$;
COMMENT ON FUNCTION commerce_private.fee_came_back(commerce_private.all_order_items) IS
	'when the shipping fee that stands on an item was refunded; NULL: it was not';

CREATE FUNCTION commerce_private.item_facts(from_time timestamptz, until_time timestamptz)
RETURNS TABLE (seller_id bigint, day date, product_id bigint, fact text, units bigint, gross bigint, own_discounts bigint,
			   shop_discounts bigint, shipping bigint, deductions bigint, tax_free bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
	WITH ended AS MATERIALIZED (
		SELECT commerce_private.local_date(e.at) AS day, CASE e.event WHEN 'CANCELLED' THEN 'CANCEL' ELSE 'RETURN' END AS fact, i AS item
		FROM commerce_private.all_order_item_events e JOIN commerce_private.all_order_items i ON i.id = e.order_item_id AND i.month = e.month
		WHERE e.at >= from_time AND e.at < until_time
		  AND (e.event = 'RETURNED' OR (e.event = 'CANCELLED' AND e.from_status <> 'PENDING_PAYMENT'))
	), sold AS MATERIALIZED (
		SELECT commerce_private.local_date(o.paid_at) AS day, i AS item
		FROM commerce_private.all_orders o JOIN commerce_private.all_order_items i ON i.order_id = o.id AND i.month = o.month
		WHERE o.paid_at >= from_time AND o.paid_at < until_time
	), goods AS (
		SELECT 1 AS sign, s.day, (s.item).product_id, 'SALE' AS fact, s.item, 0::bigint AS deduction FROM sold s
		UNION ALL
		SELECT -1, e.day, coalesce((e.item).replacement_product_id, (e.item).product_id), e.fact, e.item, (e.item).deduction FROM ended e
	), fees AS (
		SELECT 1 AS sign, s.day, 'SALE' AS fact, s.item FROM sold s WHERE (s.item).shipping_fee > 0
		UNION ALL
		SELECT -1, commerce_private.local_date(b.at), 'CANCEL', f
		FROM (SELECT DISTINCT (e.item).order_id, (e.item).month FROM ended e) o
		JOIN commerce_private.all_order_items f ON f.order_id = o.order_id AND f.month = o.month AND f.shipping_fee > 0
		CROSS JOIN LATERAL commerce_private.fee_came_back(f) b (at)
		WHERE b.at >= from_time AND b.at < until_time
	)
	SELECT (g.item).seller_id, g.day, g.product_id, g.fact, g.sign * (g.item).quantity,
		   g.sign * (g.item).unit_price * (g.item).quantity, g.sign * d.own_discounts, g.sign * d.shop_discounts, 0, g.deduction,
		   CASE WHEN (g.item).tax_exempt THEN g.sign * ((g.item).line_total - (g.item).order_discount_share) ELSE 0 END
	FROM goods g CROSS JOIN LATERAL commerce_private.item_discounts(g.item) d
	UNION ALL
	SELECT (f.item).seller_id, f.day, (f.item).product_id, f.fact, 0, 0,
		   CASE WHEN s.by_shop THEN 0 ELSE f.sign * (f.item).shipping_discount END,
		   CASE WHEN s.by_shop THEN f.sign * (f.item).shipping_discount ELSE 0 END, f.sign * (f.item).shipping_fee, 0, 0
	FROM fees f CROSS JOIN LATERAL commerce_private.ships_free_by_shop(f.item) s (by_shop)
$$;
COMMENT ON FUNCTION commerce_private.item_facts(timestamptz, timestamptz) IS
	'what was sold, cancelled and returned from one moment until just before another; what is undone has the opposite sign';

CREATE FUNCTION commerce_private.refund_facts(from_time timestamptz, until_time timestamptz)
RETURNS TABLE (day date, amount bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
	SELECT commerce_private.local_date(f.at), f.amount
	FROM commerce_private.all_payments r
	JOIN commerce_private.all_orders o ON o.id = r.order_id AND o.month = r.month AND o.paid_at IS NOT NULL
	LEFT JOIN commerce_private.all_payments p ON p.id = r.refund_of AND p.month = r.month
	-- a success after the failure adds to what the failure's day says, and takes nothing from it
	CROSS JOIN LATERAL (VALUES (coalesce(r.requested_at, r.at), r.amount), (r.failed_at, -r.amount),
							   (CASE WHEN r.failed_at IS NOT NULL AND r.status = 'COMPLETED' THEN r.at END, r.amount)) f (at, amount)
	WHERE r.kind = 'REFUND' AND p.status IS DISTINCT FROM 'UNEXPECTED'
	  -- asked for, and failed, at most as long before
	  AND r.at >= from_time AND f.at >= from_time AND f.at < until_time
$$;
COMMENT ON FUNCTION commerce_private.refund_facts(timestamptz, timestamptz) IS
	'what was to go back to buyers of paid orders, with the opposite sign what a provider failed to give back, and what it gave back after all';

CREATE FUNCTION commerce.sales_report(seller_id bigint, from_date date, to_date date)
RETURNS TABLE (day date, product_id bigint, fact text, units bigint, gross bigint, own_discounts bigint, shop_discounts bigint,
			   shipping bigint, deductions bigint, refunds bigint, net bigint, tax_free bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	zone text := commerce_private.setting('commerce.timezone');
	from_time timestamptz;
	until_time timestamptz;
BEGIN
	IF from_date IS NULL OR from_date NOT BETWEEN '1900-01-01' AND '9999-12-30' THEN
		PERFORM commerce_private.raise_invalid('from_date', 'must be a day of the calendar');
	END IF;
	IF to_date IS NULL OR to_date NOT BETWEEN from_date AND '9999-12-30' THEN
		PERFORM commerce_private.raise_invalid('to_date', 'must be a day of the calendar, from_date or later');
	END IF;
	IF sales_report.seller_id IS NOT NULL AND NOT EXISTS (SELECT FROM commerce.sellers s WHERE s.id = sales_report.seller_id) THEN
		PERFORM commerce_private.raise_not_found('seller', sales_report.seller_id);
	END IF;
	from_time := from_date::timestamp AT TIME ZONE zone;
	until_time := (to_date + 1)::timestamp AT TIME ZONE zone;

	RETURN QUERY
		WITH facts AS MATERIALIZED (
			SELECT f.*, f.gross - f.own_discounts - f.shop_discounts + f.shipping + f.deductions AS net
			FROM commerce_private.item_facts(from_time, until_time) f
		), goodwill AS (
			-- what was refunded and no item accounts for
			SELECT g.day, sum(g.amount) AS amount
			FROM (SELECT r.day, r.amount FROM commerce_private.refund_facts(from_time, until_time) r
				  UNION ALL SELECT f.day, f.net FROM facts f WHERE f.fact <> 'SALE') g
			WHERE sales_report.seller_id IS NULL
			GROUP BY 1 HAVING sum(g.amount) <> 0
		)
		SELECT f.day, f.product_id, f.fact, sum(f.units)::bigint, sum(f.gross)::bigint, sum(f.own_discounts)::bigint,
			   sum(f.shop_discounts)::bigint, sum(f.shipping)::bigint, sum(f.deductions)::bigint,
			   CASE f.fact WHEN 'SALE' THEN 0 ELSE -sum(f.net) END::bigint, sum(f.net)::bigint, sum(f.tax_free)::bigint
		FROM facts f WHERE f.seller_id IS NOT DISTINCT FROM sales_report.seller_id
		GROUP BY f.day, f.product_id, f.fact
		UNION ALL
		SELECT g.day, NULL, 'REFUND', 0, 0, 0, 0, 0, 0, g.amount::bigint, -g.amount::bigint, 0 FROM goodwill g
		ORDER BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION commerce.sales_report(bigint, date, date) IS
	'what a seller has sold from one day to another, in commerce.timezone; seller_id NULL: the shop''s own. A row per day, product and kind of fact: SALE by the day of payment, CANCEL and RETURN by their own, with the opposite signs, so that a closed day never changes. own_discounts: instant discounts, promotions, the seller''s coupons; shop_discounts: the shop''s coupons; both with what a free-shipping coupon took off shipping. deductions: kept back at returns; refunds: what went back to buyers; net: gross less discounts, plus shipping and deductions, which is what the money came to; tax_free: of it, without shipping, for tax-exempt products. The shop''s own report has refunds that no item accounts for, such as goodwill, in rows REFUND without a product: less where one was taken off a later return, or where a provider failed. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';
