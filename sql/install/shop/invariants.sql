-- The books, proved: whole in one statement, or a range of ids at a time (shop/scrub.sql). A function checks what
-- belongs to one kind of thing, of those whose ids are in a range; its plan is made for that range. What has to do with
-- orders is checked of archived ones, too. Ids are of a cell where set_cell() was called: a shop that is
-- no cell may have others.

CREATE FUNCTION commerce_private.relation_obstacles(OUT relation text, OUT obstacle text)
RETURNS SETOF record
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'commerce_relation_obstacles';
COMMENT ON FUNCTION commerce_private.relation_obstacles() IS
	'the tables, indexes and sequences that the library cannot work with, and why: their rows are not in PostgreSQL''s own table of that name';

CREATE FUNCTION commerce_private.check_users(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		SELECT 'balance is the sum of its entries',
			(SELECT count(*) FROM commerce.users u
			 LEFT JOIN (SELECT e.user_id, sum(e.amount) AS total FROM commerce.balance_entries e
						WHERE e.user_id BETWEEN first AND last GROUP BY 1) e ON e.user_id = u.id
			 WHERE u.id BETWEEN first AND last AND u.balance <> coalesce(e.total, 0))
		UNION ALL SELECT 'balance_after is the running sum of the entries',
			(SELECT count(*) FROM (SELECT e.balance_after, sum(e.amount) OVER (PARTITION BY e.user_id ORDER BY e.number) AS running
								   FROM commerce.balance_entries e WHERE e.user_id BETWEEN first AND last) r
			 WHERE r.balance_after <> r.running)
		UNION ALL SELECT 'balance entries are numbered without gaps',
			(SELECT count(*) FROM commerce.users u
			 LEFT JOIN (SELECT e.user_id, max(e.number) AS newest, min(e.number) AS oldest, count(*) AS entries
						FROM commerce.balance_entries e WHERE e.user_id BETWEEN first AND last GROUP BY 1) e ON e.user_id = u.id
			 WHERE u.id BETWEEN first AND last
			   AND (u.last_entry <> coalesce(e.newest, 0) OR e.entries <> e.newest - e.oldest + 1
					OR e.oldest > 1 AND NOT EXISTS (SELECT FROM commerce.balance_entries o
													WHERE o.user_id = u.id AND o.number = e.oldest AND o.kind = 'OPENING')))
		UNION ALL SELECT 'a charge that was paid has its one entry',
			(SELECT count(*) FROM
			 (SELECT p.id, p.user_id, p.amount FROM commerce.payments p
			  WHERE p.order_id IS NULL AND p.user_id BETWEEN first AND last AND p.kind = 'CHARGE' AND p.status = 'COMPLETED') p
			 FULL JOIN (SELECT e.payment_id, min(e.user_id) AS user_id, sum(e.amount) AS amount, count(*) AS entries
						FROM (SELECT n.payment_id, n.user_id, n.amount FROM commerce.balance_entries n WHERE n.user_id BETWEEN first AND last
							  UNION ALL
							  SELECT a.payment_id, a.user_id, a.amount FROM commerce_private.archived_charges a WHERE a.user_id BETWEEN first AND last) e
						WHERE e.payment_id IS NOT NULL GROUP BY 1) e ON e.payment_id = p.id
			 WHERE (p.user_id, p.amount, 1) IS DISTINCT FROM (e.user_id, e.amount, e.entries))
		UNION ALL SELECT 'a seller is active when the user is',
			(SELECT count(*) FROM commerce.sellers s JOIN commerce.users u ON u.id = s.user_id
			 WHERE u.id BETWEEN first AND last AND s.active <> (u.status = 'ACTIVE'))
		UNION ALL SELECT 'nothing personal is left of an erased user',
			(SELECT count(*) FROM commerce.users u
			 WHERE u.id BETWEEN first AND last AND u.erased_at IS NOT NULL
			   AND (u.status <> 'WITHDRAWN' OR u.name <> 'erased'
					OR pg_catalog.num_nonnulls(u.email, u.phone, u.address, u.external_id, u.metadata) > 0
					OR EXISTS (SELECT FROM commerce_private.all_orders o
							   WHERE o.user_id = u.id
								 AND pg_catalog.num_nonnulls(o.recipient_name, o.recipient_phone, o.recipient_address,
									o.recipient_memo, o.metadata) > 0)))
		UNION ALL SELECT 'an erased user has no coupon to use',
			(SELECT count(*) FROM commerce.users u JOIN commerce.coupon_issues i ON i.user_id = u.id
			 WHERE u.id BETWEEN first AND last AND u.erased_at IS NOT NULL AND i.status = 'ACTIVE')
		UNION ALL SELECT 'nobody has more of a product than its limit allowed',
			(SELECT count(*) FROM (SELECT
								   FROM (SELECT i.limited_user_id AS user_id, coalesce(i.replacement_product_id, i.product_id) AS product_id,
												i.quantity AS units, i.user_limit
										 FROM commerce.order_items i
										 WHERE i.limited_user_id BETWEEN first AND last AND i.status NOT IN ('CANCELLED', 'RETURNED')
										 UNION ALL
										 SELECT a.user_id, a.product_id, a.units, a.user_limit FROM commerce_private.archived_units a
										 WHERE a.user_id BETWEEN first AND last) u
								   GROUP BY u.user_id, u.product_id HAVING sum(u.units) > max(u.user_limit)) l)
		UNION ALL SELECT 'a user is of this cell or of cell 0''s staff',
			(SELECT count(*) FROM commerce.users u
			 WHERE u.id BETWEEN first AND last AND commerce.cell_of(u.id) <> cell
			   AND NOT EXISTS (SELECT FROM commerce_private.staff s WHERE s.id = u.id));
END
$$;
COMMENT ON FUNCTION commerce_private.check_users(bigint, bigint) IS 'the invariants of users, of a range of ids, with how many rows break each';

CREATE FUNCTION commerce_private.check_products(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		SELECT 'stock is never negative',
			(SELECT count(*) FROM (SELECT e.product_id FROM commerce.stock_entries e
								   WHERE e.product_id BETWEEN first AND last GROUP BY 1 HAVING sum(e.delta) < 0) n)
		UNION ALL SELECT 'folded and unfolded stock is the sum of all entries',
			(SELECT count(*) FROM commerce.products p
			 LEFT JOIN commerce_private.stock_left l ON l.product_id = p.id
			 LEFT JOIN (SELECT e.product_id, sum(e.delta) AS total FROM commerce.stock_entries e
						WHERE e.product_id BETWEEN first AND last GROUP BY 1) e ON e.product_id = p.id
			 WHERE p.id BETWEEN first AND last AND l.units IS DISTINCT FROM coalesce(e.total, 0))
		UNION ALL SELECT 'the tables'' rows are where the library reads and writes them',
			(SELECT count(*) FROM commerce_private.relation_obstacles())
		UNION ALL SELECT 'the gate''s triggers are always enabled',
			(SELECT count(*) FROM pg_catalog.pg_trigger g
			 WHERE g.tgfoid = 'commerce_private.gate_foreign_write()'::regprocedure AND g.tgenabled <> 'A')
		UNION ALL SELECT 'units of products that went to other cells or came from them are in the journal',
			(SELECT count(*) FROM commerce_private.moved_units(first, last, 'STOCK') m
			 LEFT JOIN (SELECT e.product_id, sum(e.delta) AS total FROM commerce.stock_entries e
						WHERE e.product_id BETWEEN first AND last AND e.reason = 'TRANSFER' GROUP BY 1) e ON e.product_id = m.resource_id
			 WHERE m.units <> coalesce(e.total, 0))
		UNION ALL SELECT 'a product and its promotions were made in this cell or in cell 0',
			(SELECT count(*) FROM commerce.products p
			 WHERE p.id BETWEEN first AND last
			   AND (commerce.cell_of(p.id) NOT IN (0, cell)
					OR EXISTS (SELECT FROM commerce.promotions r WHERE r.product_id = p.id AND commerce.cell_of(r.id) NOT IN (0, cell))));
END
$$;
COMMENT ON FUNCTION commerce_private.check_products(bigint, bigint) IS
	'the invariants of products, of a range of ids, and of the gate, with how many rows break each';

CREATE FUNCTION commerce_private.check_coupons(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		SELECT 'a coupon is not issued more often than its quantity',
			(SELECT count(*) FROM commerce.coupons c
			 WHERE c.id BETWEEN first AND last
			   AND c.quantity < (SELECT count(*) FROM commerce.coupon_issues i WHERE i.coupon_id = c.id))
		UNION ALL SELECT 'a coupon''s quantity is the sum of its entries',
			(SELECT count(*) FROM commerce.coupons c
			 LEFT JOIN (SELECT e.coupon_id, sum(e.delta) AS total FROM commerce.quota_entries e WHERE e.reason <> 'TRANSFER' GROUP BY 1) e ON e.coupon_id = c.id
			 WHERE c.id BETWEEN first AND last
			   -- in the cell that made it; the others have what came from there
			   AND coalesce(e.total, 0) <> CASE WHEN coalesce(commerce.cell_of(c.id) = cell, true) THEN c.quantity ELSE 0 END)
		UNION ALL SELECT 'folded and unfolded quota is the sum of all entries less all issues',
			(SELECT count(*) FROM commerce.coupons c
			 LEFT JOIN commerce_private.quota_left l ON l.coupon_id = c.id
			 LEFT JOIN (SELECT e.coupon_id, sum(e.delta) AS total FROM commerce.quota_entries e GROUP BY 1) e ON e.coupon_id = c.id
			 WHERE c.id BETWEEN first AND last
			   AND l.units IS DISTINCT FROM coalesce(e.total, 0) - (SELECT count(*) FROM commerce.coupon_issues i WHERE i.coupon_id = c.id))
		UNION ALL SELECT 'units of coupons that went to other cells or came from them are in the journal',
			(SELECT count(*) FROM commerce_private.moved_units(first, last, 'QUOTA') m
			 LEFT JOIN (SELECT e.coupon_id, sum(e.delta) AS total FROM commerce.quota_entries e
						WHERE e.coupon_id BETWEEN first AND last AND e.reason = 'TRANSFER' GROUP BY 1) e ON e.coupon_id = m.resource_id
			 WHERE m.units <> coalesce(e.total, 0))
		UNION ALL SELECT 'a coupon was made in this cell or in cell 0',
			(SELECT count(*) FROM commerce.coupons c
			 WHERE c.id BETWEEN first AND last AND commerce.cell_of(c.id) NOT IN (0, cell));
END
$$;
COMMENT ON FUNCTION commerce_private.check_coupons(bigint, bigint) IS 'the invariants of coupons, of a range of ids, with how many rows break each';

CREATE FUNCTION commerce_private.check_coupon_issues(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		SELECT 'a coupon is used by at most one live order',
			(SELECT count(*) FROM commerce.coupon_issues i
			 LEFT JOIN (SELECT c.coupon_issue_id, count(*) AS uses, max(c.order_id) AS order_id
						FROM commerce_private.all_order_coupons c
						WHERE c.coupon_issue_id BETWEEN first AND last AND c.restored_at IS NULL GROUP BY 1) c ON c.coupon_issue_id = i.id
			 WHERE i.id BETWEEN first AND last
			   AND ((i.status = 'USED') <> (coalesce(c.uses, 0) = 1) OR coalesce(c.uses, 0) > 1
					OR (i.status = 'USED' AND i.used_order_id <> c.order_id))
			   -- whose month of the archive was dropped
			   AND NOT (c.uses IS NULL AND EXISTS (SELECT FROM commerce_private.archived a
												   WHERE a.order_id = i.used_order_id
													 AND NOT EXISTS (SELECT FROM commerce_archive.orders o WHERE o.id = a.order_id))))
		UNION ALL SELECT 'a coupon was issued in this cell',
			(SELECT count(*) FROM commerce.coupon_issues i WHERE i.id BETWEEN first AND last AND commerce.cell_of(i.id) <> cell);
END
$$;
COMMENT ON FUNCTION commerce_private.check_coupon_issues(bigint, bigint) IS
	'the invariants of issued coupons, of a range of ids, with how many rows break each';

CREATE FUNCTION commerce_private.entries_of_items(first bigint, last bigint)
RETURNS TABLE (order_id bigint, line int, product_id bigint, taken bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
	IF first = 0 THEN
		RETURN QUERY
			SELECT i.order_id, i.line, e.product_id, -e.delta
			FROM commerce.stock_entries e JOIN commerce.order_items i ON i.id = e.order_item_id;
	ELSE
		-- an entry is of the transaction of an event, and there is an index for a product's
		RETURN QUERY
			SELECT i.order_id, i.line, e.product_id, -e.delta
			FROM (SELECT DISTINCT t.id, t.order_id, t.line, t.product_id, h.xid
				  FROM commerce.order_items t JOIN commerce.order_item_events h ON h.order_item_id = t.id
				  WHERE t.order_id BETWEEN first AND last) i
			JOIN commerce.stock_entries e ON e.product_id = i.product_id AND e.xid = i.xid AND e.order_item_id = i.id;
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.entries_of_items(bigint, bigint) IS
	'units that went out for the lines of orders: of all (first is 0), or of a range of ids those of the products that were ordered';

CREATE FUNCTION commerce_private.entries_of_orders(first bigint, last bigint)
RETURNS TABLE (order_id bigint, amount bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
	-- of a few orders by their users; of archived ones the entries may be folded
	RETURN QUERY
		SELECT e.order_id, e.amount FROM commerce.balance_entries e
		JOIN commerce.orders o ON o.id = e.order_id
		WHERE o.id BETWEEN first AND last AND e.user_id = o.user_id
		UNION ALL
		SELECT e.order_id, e.amount FROM commerce.balance_entries e
		WHERE first = 0 AND e.order_id IS NOT NULL
		  AND NOT EXISTS (SELECT FROM commerce.orders o WHERE o.id = e.order_id AND o.user_id = e.user_id)
		  AND NOT EXISTS (SELECT FROM commerce_private.archived a WHERE a.order_id = e.order_id);
END
$$;
COMMENT ON FUNCTION commerce_private.entries_of_orders(bigint, bigint) IS
	'the balance entries of orders that are not archived, of a range of ids; of all (first is 0) also those that are of no order, or of another user''s';

CREATE FUNCTION commerce_private.check_orders(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		-- What is out beside what the buyers have came back and was not restocked, or was lost. Of archived orders the
		-- entries are folded.
		SELECT 'stock went out for the units of an order',
			(SELECT count(*) FROM
			 (SELECT l.order_id, l.line, gone.units AS gone,
					 bool_or(p.present > p.taken OR p.taken > p.present + gone.units) AS off,
					 coalesce(sum(p.taken - p.present), 0) AS beside
			  FROM (SELECT i.order_id, i.line FROM commerce.order_items i JOIN commerce.orders o ON o.id = i.order_id
					WHERE i.order_id BETWEEN first AND last AND NOT o.imported
					  -- nor, but of the whole, one of which something was exchanged: entries of a product that came between are not found
					  AND (first = 0 OR NOT EXISTS (SELECT FROM commerce.order_items x JOIN commerce.order_item_events e ON e.order_item_id = x.id
													WHERE x.order_id = i.order_id AND x.line = i.line AND e.event = 'EXCHANGED'))
					GROUP BY 1, 2) l
			  CROSS JOIN LATERAL
				(SELECT coalesce(sum(e.quantity), 0) AS units
				 FROM commerce.order_items i JOIN commerce.order_item_events e ON e.order_item_id = i.id
				 WHERE i.order_id = l.order_id AND i.line = l.line
				   AND (e.event = 'RETURNED' AND e.restocked IS NOT TRUE OR e.event = 'EXCHANGED' AND NOT e.restocked)) gone
			  LEFT JOIN
				(SELECT u.order_id, u.line, u.product_id, sum(u.present) AS present, sum(u.taken) AS taken
				 FROM (SELECT i.order_id, i.line, coalesce(i.replacement_product_id, i.product_id) AS product_id,
							  CASE WHEN i.status IN ('CANCELLED', 'RETURNED') THEN 0 ELSE i.quantity END AS present, 0::bigint AS taken
					   FROM commerce.order_items i WHERE i.order_id BETWEEN first AND last
					   UNION ALL
					   SELECT e.order_id, e.line, e.product_id, 0, e.taken FROM commerce_private.entries_of_items(first, last) e) u
				 GROUP BY 1, 2, 3) p ON p.order_id = l.order_id AND p.line = l.line
			  GROUP BY 1, 2, 3) o
			 WHERE o.off OR o.beside <> o.gone)
		UNION ALL SELECT 'rows of a line add up to what was ordered',
			(SELECT count(*) FROM commerce_private.all_order_items i
			 LEFT JOIN (SELECT p.split_from, sum(p.quantity + p.split_quantity) AS units,
							   sum(p.line_total - p.order_discount_share + p.split_net) AS net,
							   bool_and((p.order_id, p.line) = (w.order_id, w.line)) AS same
						FROM commerce_private.all_order_items p JOIN commerce_private.all_order_items w ON w.id = p.split_from AND w.month = p.month
						WHERE p.order_id BETWEEN first AND last GROUP BY 1) p ON p.split_from = i.id
			 WHERE i.order_id BETWEEN first AND last
			   AND ((i.split_quantity, i.split_net) IS DISTINCT FROM (coalesce(p.units, 0), coalesce(p.net, 0)) OR NOT p.same))
		UNION ALL SELECT 'payment amount follows from the totals',
			(SELECT count(*) FROM commerce_private.all_orders o
			 WHERE o.id BETWEEN first AND last AND o.payment_amount <> o.items_total - o.item_discount_total - o.order_discount + o.shipping_total)
		UNION ALL SELECT 'what is tax-free is what the tax-exempt items cost',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT i.order_id, sum(i.line_total - i.order_discount_share) AS net FROM commerce_private.all_order_items i
						WHERE i.order_id BETWEEN first AND last AND i.tax_exempt GROUP BY 1) i ON i.order_id = o.id
			 WHERE o.id BETWEEN first AND last AND o.tax_free_amount <> coalesce(i.net, 0))
		UNION ALL SELECT 'what is kept back of an item is not above what it cost',
			(SELECT count(*) FROM commerce_private.all_order_items i
			 WHERE i.order_id BETWEEN first AND last AND i.deduction NOT BETWEEN 0 AND CASE i.status WHEN 'RETURNED' THEN i.line_total - i.order_discount_share ELSE 0 END)
		UNION ALL SELECT 'items add up to their order',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT i.order_id, sum(i.unit_price * i.quantity) AS items_total,
							   sum(i.unit_discount * i.quantity) AS item_discount_total,
							   sum(i.order_discount_share) AS order_discount,
							   sum(i.shipping_discount) AS shipping_discount,
							   sum(i.shipping_fee - i.shipping_discount) AS shipping_total
						FROM commerce_private.all_order_items i WHERE i.order_id BETWEEN first AND last GROUP BY 1) i ON i.order_id = o.id
			 WHERE o.id BETWEEN first AND last
			   AND (o.items_total, o.item_discount_total, o.order_discount, o.shipping_discount, o.shipping_total)
				   IS DISTINCT FROM
				   (i.items_total, i.item_discount_total, i.order_discount, i.shipping_discount, i.shipping_total))
		UNION ALL SELECT 'payments are what the order says was paid',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT p.order_id,
							   coalesce(sum(p.amount) FILTER (WHERE p.status = 'COMPLETED'), 0) AS paid,
							   coalesce(sum(p.amount) FILTER (WHERE p.status = 'COMPLETED' AND p.method = 'BALANCE'), 0) AS part,
							   coalesce(sum(p.amount) FILTER (WHERE p.status = 'REQUESTED'), 0) AS requested,
							   count(*) FILTER (WHERE p.status = 'COMPLETED' AND p.method = 'BALANCE') AS from_balance,
							   count(*) FILTER (WHERE p.status = 'COMPLETED' AND p.method = 'EXTERNAL') AS from_provider,
							   count(*) FILTER (WHERE p.status = 'REQUESTED' AND p.method = 'EXTERNAL') AS requests
						FROM commerce_private.all_payments p WHERE p.order_id BETWEEN first AND last AND p.kind = 'PAYMENT' GROUP BY 1) p ON p.order_id = o.id
			 WHERE o.id BETWEEN first AND last
			   AND CASE WHEN o.paid_at IS NOT NULL
						THEN p.paid = o.payment_amount AND p.from_balance <= 1 AND p.from_provider <= 1
							 AND p.from_balance + p.from_provider > 0 AND p.requests = 0
						WHEN o.status = 'PENDING_PAYMENT'
						THEN p.paid = p.part AND p.from_balance <= 1 AND p.requests = 1 AND p.part + p.requested = o.payment_amount
						-- nothing, or a late success that was refused
						ELSE p.from_balance = 0 AND p.from_provider <= 1 AND p.requests = 0 END IS NOT TRUE)
		UNION ALL SELECT 'a late success that was refused is refunded, or its refund failed',
			(SELECT count(*) FROM commerce_private.all_payments p
			 JOIN commerce_private.all_orders o ON o.id = p.order_id AND o.month = p.month
			 WHERE p.order_id BETWEEN first AND last AND p.kind = 'PAYMENT' AND p.status = 'COMPLETED' AND o.paid_at IS NULL AND o.status <> 'PENDING_PAYMENT'
			   AND p.amount <> (SELECT coalesce(sum(r.amount), 0) FROM commerce_private.all_payments r
								WHERE r.refund_of = p.id AND r.month = p.month AND r.status IN ('REQUESTED', 'COMPLETED'))
			   AND NOT EXISTS (SELECT FROM commerce_private.all_payments r WHERE r.refund_of = p.id AND r.month = p.month AND r.status = 'FAILED'))
		UNION ALL SELECT 'refunds are what the order says was refunded',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT r.order_id, sum(r.amount) AS refunded
						FROM commerce_private.all_payments r JOIN commerce_private.all_payments p ON p.id = r.refund_of AND p.month = r.month
						WHERE r.order_id BETWEEN first AND last AND r.kind = 'REFUND' AND r.status IN ('REQUESTED', 'COMPLETED') AND p.status = 'COMPLETED'
						GROUP BY 1) p ON p.order_id = o.id
			 WHERE o.id BETWEEN first AND last AND (o.refunded_amount <> coalesce(p.refunded, 0) OR o.refunded_amount > o.payment_amount))
		UNION ALL SELECT 'what is tax-free of the payments is what is tax-free of the order',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT p.order_id, sum(p.tax_free_amount) FILTER (WHERE p.status IN ('COMPLETED', 'REQUESTED')) AS tax_free,
							   bool_or((p.tax_free_amount IS NULL) <> (p.status = 'UNEXPECTED')) AS off
						FROM commerce_private.all_payments p WHERE p.order_id BETWEEN first AND last AND p.kind = 'PAYMENT' GROUP BY 1) p ON p.order_id = o.id
			 WHERE o.id BETWEEN first AND last
			   AND (p.off OR (o.paid_at IS NOT NULL OR o.status = 'PENDING_PAYMENT') AND p.tax_free IS DISTINCT FROM o.tax_free_amount))
		UNION ALL SELECT 'balance payments and refunds are in the balance entries',
			(SELECT count(*) FROM
			 (SELECT p.order_id, sum(CASE p.kind WHEN 'PAYMENT' THEN -p.amount ELSE p.amount END) AS amount
			  FROM commerce.payments p WHERE p.order_id BETWEEN first AND last AND p.method = 'BALANCE' AND p.status = 'COMPLETED' GROUP BY 1) p
			 FULL JOIN (SELECT e.order_id, sum(e.amount) AS amount FROM commerce_private.entries_of_orders(first, last) e GROUP BY 1) e ON e.order_id = p.order_id
			 WHERE coalesce(p.amount, 0) <> coalesce(e.amount, 0))
		UNION ALL SELECT 'order status agrees with its items',
			(SELECT count(*) FROM commerce_private.all_orders o
			 LEFT JOIN (SELECT i.order_id, count(*) AS items,
							   count(*) FILTER (WHERE i.status = 'PENDING_PAYMENT') AS pending,
							   count(*) FILTER (WHERE i.status = 'CANCELLED') AS cancelled,
							   count(*) FILTER (WHERE i.status IN ('CANCELLED', 'RETURNED')) AS gone,
							   count(*) FILTER (WHERE i.status IN ('DELIVERED', 'CONFIRMED', 'EXCHANGED')) AS done
						FROM commerce_private.all_order_items i WHERE i.order_id BETWEEN first AND last GROUP BY 1) i ON i.order_id = o.id
			 WHERE o.id BETWEEN first AND last AND o.status IS DISTINCT FROM
				   CASE WHEN i.items IS NULL THEN NULL
						WHEN i.pending = i.items THEN 'PENDING_PAYMENT'
						WHEN i.gone = i.items AND o.paid_at IS NULL THEN 'CANCELLED'
						WHEN i.gone = i.items THEN 'REFUNDED'
						WHEN i.gone + i.done = i.items THEN 'COMPLETED'
						WHEN i.gone > 0 THEN 'PARTIALLY_CANCELLED'
						ELSE 'PAID' END::commerce.order_status)
		UNION ALL SELECT 'a parcel''s items are of its order and seller',
			(SELECT count(*) FROM commerce_private.all_order_items i JOIN commerce_private.all_shipments s ON s.id = i.shipment_id AND s.month = i.month
			 WHERE i.order_id BETWEEN first AND last AND (i.order_id, i.seller_id) IS DISTINCT FROM (s.order_id, s.seller_id))
		UNION ALL SELECT 'an item''s status is its last event',
			(SELECT count(*) FROM commerce_private.all_order_items i
			 LEFT JOIN (SELECT DISTINCT ON (e.order_item_id) e.order_item_id, e.event
						FROM commerce_private.all_order_item_events e
						JOIN commerce_private.all_order_items t ON t.id = e.order_item_id AND t.month = e.month AND t.order_id BETWEEN first AND last
						ORDER BY e.order_item_id, e.ordinal DESC) e ON e.order_item_id = i.id
			 WHERE i.order_id BETWEEN first AND last AND i.status IS DISTINCT FROM e.event)
		UNION ALL SELECT 'an order, its items and shipments are of this cell',
			(SELECT count(*) FROM commerce_private.all_orders o WHERE o.id BETWEEN first AND last AND commerce.cell_of(o.id) <> cell)
			+ (SELECT count(*) FROM commerce_private.all_order_items i
			   WHERE i.order_id BETWEEN first AND last AND (commerce.cell_of(i.id) <> cell OR commerce.cell_of(i.shipment_id) <> cell));
END
$$;
COMMENT ON FUNCTION commerce_private.check_orders(bigint, bigint) IS
	'the invariants of orders, of a range of ids, with how many rows break each';

CREATE FUNCTION commerce_private.check_payments(first bigint, last bigint)
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	cell CONSTANT int := (SELECT c.number FROM commerce_private.cell c);
BEGIN
	RETURN QUERY
		SELECT 'refunds go back to the payment that they name, and are at most its amount',
			(SELECT count(*) FROM commerce_private.all_payments p
			 JOIN (SELECT r.refund_of, sum(r.amount) FILTER (WHERE r.status IN ('REQUESTED', 'COMPLETED')) AS refunded,
						  count(*) FILTER (WHERE r.status IN ('REQUESTED', 'COMPLETED')) AS refunds
				   FROM commerce_private.all_payments r WHERE r.refund_of BETWEEN first AND last AND r.kind = 'REFUND' GROUP BY 1) r ON r.refund_of = p.id
			 WHERE p.id BETWEEN first AND last
			   AND (p.status NOT IN ('COMPLETED', 'UNEXPECTED') OR p.kind = 'REFUND'
				OR r.refunded > p.amount
				OR p.status = 'UNEXPECTED' AND (r.refunds > 1 OR r.refunded <> p.amount)
				OR EXISTS (SELECT FROM commerce_private.all_payments r
						   WHERE r.refund_of = p.id AND r.month = p.month AND r.kind = 'REFUND'
							 AND (r.order_id, r.user_id, r.method) IS DISTINCT FROM (p.order_id, p.user_id, p.method))))
		UNION ALL SELECT 'refunds have no more of the tax-free or taxed part of a payment than it had',
			(SELECT count(*) FROM commerce_private.all_payments p
			 JOIN (SELECT r.refund_of, count(r.tax_free_amount) AS told, count(*) AS refunds,
						  coalesce(sum(r.amount) FILTER (WHERE r.status IN ('REQUESTED', 'COMPLETED')), 0) AS amount,
						  coalesce(sum(r.tax_free_amount) FILTER (WHERE r.status IN ('REQUESTED', 'COMPLETED')), 0) AS tax_free
				   FROM commerce_private.all_payments r WHERE r.refund_of BETWEEN first AND last AND r.kind = 'REFUND' GROUP BY 1) r ON r.refund_of = p.id
			 WHERE p.id BETWEEN first AND last
			   AND (r.tax_free > p.tax_free_amount OR r.amount - r.tax_free > p.amount - p.tax_free_amount
				OR r.told <> CASE WHEN p.tax_free_amount IS NULL THEN 0 ELSE r.refunds END))
		UNION ALL SELECT 'a payment is of this cell',
			(SELECT count(*) FROM commerce_private.all_payments p WHERE p.id BETWEEN first AND last AND commerce.cell_of(p.id) <> cell);
END
$$;
COMMENT ON FUNCTION commerce_private.check_payments(bigint, bigint) IS
	'the invariants of payments and what was refunded of them, of a range of ids, with how many rows break each';

CREATE FUNCTION commerce.check_invariants()
RETURNS TABLE (invariant text, violations bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most CONSTANT bigint := 9223372036854775807;
BEGIN
	RETURN QUERY
		SELECT c.invariant, c.violations
		FROM (SELECT * FROM commerce_private.check_users(0, most)
			  UNION ALL SELECT * FROM commerce_private.check_products(0, most)
			  UNION ALL SELECT * FROM commerce_private.check_coupons(0, most)
			  UNION ALL SELECT * FROM commerce_private.check_coupon_issues(0, most)
			  UNION ALL SELECT * FROM commerce_private.check_orders(0, most)
			  UNION ALL SELECT * FROM commerce_private.check_payments(0, most)) c
		WHERE c.violations > 0;
END
$$;
COMMENT ON FUNCTION commerce.check_invariants() IS
	'proves the books, with the archive, in one statement: returns each invariant that does not hold with how many rows break it; empty when all is well';
