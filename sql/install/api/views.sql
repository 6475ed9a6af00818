-- REST: what can be read. Views run with the caller's rights, so the row security of the tables
-- decides which rows there are; they name each table's columns plainly, so that PostgREST finds
-- the foreign keys. What remains of stock and coupons comes from views of commerce that run with their owner's
-- rights: the journals behind are for nobody else.

-- What is looked up for a product. A barrier, and looked up by the id of a row that may be seen, so that no function
-- of somebody's own in a query's condition is shown another product's.
CREATE VIEW commerce_private.api_offers WITH (security_barrier = true) AS
	SELECT l.id, l.seller_name, l.discount_now, l.price_now, l.stock, l.status
	FROM commerce_private.product_offers l
	WHERE l.status <> 'DISCONTINUED' AND l.seller_active OR l.seller_id = (SELECT commerce_private.current_seller_id()) OR (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_private.api_offers IS 'price, stock and status of the products that the caller may see';
COMMENT ON COLUMN commerce_private.api_offers.discount_now IS 'per unit: the larger of instant discount and running promotions';
COMMENT ON COLUMN commerce_private.api_offers.stock IS 'units that can be ordered';

CREATE VIEW commerce_api.products WITH (security_invoker = true) AS
	SELECT p.id, p.seller_id, l.seller_name, p.name, p.description, p.category, p.price, p.discount, l.discount_now,
		   l.price_now, p.shipping_fee, p.max_per_order, p.max_per_user, l.stock, l.status, p.sku, p.group_id, p.tax_exempt,
		   p.image_urls, CASE WHEN p.metadata IS NOT NULL
			   AND (p.seller_id = (SELECT commerce_private.current_seller_id()) OR (SELECT commerce_private.current_admin()))
			   THEN p.metadata END AS metadata, p.created_at::commerce_api.moment AS created_at, p.updated_at::commerce_api.moment AS updated_at
	FROM commerce.products p
	-- OFFSET 0 keeps it one look-up for each product
	JOIN LATERAL (SELECT o.seller_name, o.discount_now, o.price_now, o.stock, o.status
				  FROM commerce_private.api_offers o WHERE o.id = p.id OFFSET 0) l ON true
	WHERE p.status = 'ON_SALE';
COMMENT ON VIEW commerce_api.products IS 'the catalogue: products on sale or sold out; metadata is for their sellers and administrators';

CREATE VIEW commerce_api.categories WITH (security_invoker = true) AS
	SELECT p.category, count(*) AS products
	FROM commerce.products p
	LEFT JOIN commerce.sellers s ON s.id = p.seller_id
	WHERE p.status = 'ON_SALE' AND coalesce(s.active, true) AND p.category IS NOT NULL
	GROUP BY p.category;
COMMENT ON VIEW commerce_api.categories IS 'the categories of the catalogue, with how many products each has';
COMMENT ON COLUMN commerce_api.categories.products IS 'products on sale or sold out';

CREATE FUNCTION commerce_api.variants(commerce_api.products)
RETURNS SETOF commerce_api.products
LANGUAGE sql STABLE ROWS 10
BEGIN ATOMIC
	SELECT v.* FROM commerce_api.products v
	WHERE (v.group_id = coalesce($1.group_id, $1.id) OR v.id = $1.group_id) AND v.id <> $1.id;
END;
COMMENT ON FUNCTION commerce_api.variants(commerce_api.products) IS 'the other products of its group, such as other sizes, for embedding: products?id=eq.1&select=*,variants(*)';

CREATE VIEW commerce_api.my_products WITH (security_invoker = true) AS
	SELECT p.id, p.seller_id, l.seller_name, p.name, p.description, p.category, p.price, p.discount, l.discount_now,
		   l.price_now, p.shipping_fee, p.max_per_order, p.max_per_user, l.stock, l.status, p.sku, p.group_id, p.tax_exempt,
		   p.image_urls, p.metadata, p.created_at::commerce_api.moment AS created_at, p.updated_at::commerce_api.moment AS updated_at
	FROM commerce.products p
	-- OFFSET 0 keeps it one look-up for each product
	JOIN LATERAL (SELECT o.seller_name, o.discount_now, o.price_now, o.stock, o.status
				  FROM commerce_private.api_offers o WHERE o.id = p.id OFFSET 0) l ON true
	WHERE p.seller_id = (SELECT commerce_private.current_seller_id()) OR (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.my_products IS 'a seller''s own products, discontinued ones too; for an administrator all';

CREATE VIEW commerce_api.promotions WITH (security_invoker = true) AS
	SELECT m.id, m.product_id, m.kind, m.value,
		   -- as commerce_private.reductions has it
		   p.price - least(p.price, greatest(p.discount, CASE m.kind WHEN 'FIXED' THEN m.value
															ELSE p.price / 100 * m.value + p.price % 100 * m.value / 100 END)) AS price,
		   m.starts_at::commerce_api.moment AS starts_at, m.ends_at::commerce_api.moment AS ends_at,
		   m.created_at::commerce_api.moment AS created_at, m.updated_at::commerce_api.moment AS updated_at
	FROM commerce.promotions m
	JOIN commerce.products p ON p.id = m.product_id;
COMMENT ON VIEW commerce_api.promotions IS 'the promotions that run, of products of the catalogue; for a seller all of its own products, for an administrator all';
COMMENT ON COLUMN commerce_api.promotions.price IS 'per unit, while it runs, where no larger one runs';

CREATE VIEW commerce_api.stock_entries WITH (security_invoker = true) AS
	SELECT e.product_id, e.delta, e.reason, e.order_item_id, e.actor_id, e.note, e.at::commerce_api.moment AS at FROM commerce.stock_entries e;
COMMENT ON VIEW commerce_api.stock_entries IS 'every unit of stock that came or went, of a seller''s own products; for an administrator all';

CREATE VIEW commerce_api.sellers WITH (security_invoker = true) AS
	SELECT s.id, s.user_id, s.business_name, s.registration_number, s.cs_phone, s.address, s.category,
		   s.active, s.shipping_fee, s.free_shipping_from,
		   CASE WHEN s.metadata IS NOT NULL
			   AND (s.id = (SELECT commerce_private.current_seller_id()) OR (SELECT commerce_private.current_admin()))
			   THEN s.metadata END AS metadata, s.created_at::commerce_api.moment AS created_at, s.updated_at::commerce_api.moment AS updated_at
	FROM commerce.sellers s;
COMMENT ON VIEW commerce_api.sellers IS 'the businesses that sell; metadata is for the seller itself and administrators';

CREATE VIEW commerce_api.popular_products WITH (security_invoker = true) AS
	SELECT p.rank, p.product_id, p.name, p.price, p.price_now, p.units_sold, p.as_of::commerce_api.moment AS as_of FROM commerce.popular_products() p;
COMMENT ON VIEW commerce_api.popular_products IS 'the five products of which most units were sold today and on the two days before';

CREATE FUNCTION commerce_api.product(commerce_api.popular_products)
RETURNS SETOF commerce_api.products
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
	SELECT p.* FROM commerce_api.products p WHERE p.id = $1.product_id;
END;
COMMENT ON FUNCTION commerce_api.product(commerce_api.popular_products) IS 'the product itself, for embedding: popular_products?select=*,product(*)';

CREATE VIEW commerce_api.coupons WITH (security_invoker = true) AS
	SELECT c.id, c.name, c.description, c.kind, c.value, c.max_discount, c.round_unit, c.min_order_amount, c.scope,
		   c.seller_id, c.product_id, c.quantity, l.remaining, c.issue_from::commerce_api.moment AS issue_from, c.issue_until::commerce_api.moment AS issue_until, c.valid_days,
		   c.valid_until::commerce_api.moment AS valid_until, c.stopped_at::commerce_api.moment AS stopped_at, c.max_units, c.claimable,
		   CASE WHEN c.metadata IS NOT NULL
			   AND (c.seller_id = (SELECT commerce_private.current_seller_id()) OR (SELECT commerce_private.current_admin()))
			   THEN c.metadata END AS metadata, l.status, c.created_at::commerce_api.moment AS created_at, c.updated_at::commerce_api.moment AS updated_at
	FROM commerce.coupons c
	JOIN commerce.coupon_list l ON l.id = c.id;
COMMENT ON VIEW commerce_api.coupons IS 'the coupons of the shop; those that are claimable, with status ACTIVE, can be claimed; metadata is for their sellers and administrators';

CREATE VIEW commerce_api.quota_entries WITH (security_invoker = true) AS
	SELECT e.coupon_id, e.delta, e.reason, e.actor_id, e.note, e.at::commerce_api.moment AS at FROM commerce.quota_entries e;
COMMENT ON VIEW commerce_api.quota_entries IS 'how the quantity of a seller''s own coupons came about and changed; for an administrator of all';

CREATE VIEW commerce_api.coupon_issues WITH (security_invoker = true) AS
	SELECT i.id, i.user_id, i.coupon_id, i.name, i.description, i.kind, i.value, i.max_discount, i.round_unit,
		   i.min_order_amount, i.max_units, i.scope, i.seller_id, i.product_id, i.status, i.issued_at::commerce_api.moment AS issued_at, i.expires_at::commerce_api.moment AS expires_at,
		   i.used_at::commerce_api.moment AS used_at, i.used_order_id
	FROM commerce.coupon_issues i;
COMMENT ON VIEW commerce_api.coupon_issues IS 'the caller''s coupons; for an administrator all';

CREATE VIEW commerce_api.users WITH (security_invoker = true) AS
	SELECT u.id, u.external_id, u.name, u.email, u.phone, u.balance, u.address, u.role, u.status, u.erased_at::commerce_api.moment AS erased_at, u.metadata,
		   u.created_at::commerce_api.moment AS created_at, u.updated_at::commerce_api.moment AS updated_at
	FROM commerce.users u;
COMMENT ON VIEW commerce_api.users IS 'the caller; for an administrator everybody';

CREATE VIEW commerce_api.balance_entries WITH (security_invoker = true) AS
	SELECT e.user_id, e.number, e.kind, e.amount, e.balance_after, e.order_id, e.payment_id, e.reference, e.at::commerce_api.moment AS at
	FROM commerce.balance_entries e;
COMMENT ON VIEW commerce_api.balance_entries IS 'what came into the caller''s balance and went out; for an administrator everybody''s';

CREATE VIEW commerce_api.orders WITH (security_invoker = true) AS
	SELECT o.id, o.user_id, o.status, o.payment_method, o.created_at::commerce_api.moment AS created_at, o.updated_at::commerce_api.moment AS updated_at, o.paid_at::commerce_api.moment AS paid_at, o.expires_at::commerce_api.moment AS expires_at,
		   o.items_total, o.item_discount_total, o.order_discount, o.shipping_discount, o.shipping_total,
		   o.payment_amount, o.tax_free_amount, o.refunded_amount,
		   o.recipient_name, o.recipient_phone, o.recipient_address, o.recipient_memo, o.metadata, o.imported
	FROM commerce.orders o;
COMMENT ON VIEW commerce_api.orders IS 'the caller''s orders; for an administrator all';

CREATE VIEW commerce_api.order_items WITH (security_invoker = true) AS
	SELECT i.id, i.order_id, i.seq, i.product_id, i.seller_id, i.product_name, i.status, i.quantity, i.unit_price,
		   i.unit_discount, i.unit_final, i.line_total, i.order_discount_share, i.shipping_fee, i.shipping_discount,
		   i.coupon_issue_id, i.split_from, i.delivered_at::commerce_api.moment AS delivered_at, i.line, i.tax_exempt, i.deduction,
		   -- not plainly: a second way from an item to a product would make order_items(products(*)) ambiguous
		   coalesce(i.replacement_product_id) AS replacement_product_id, i.shipment_id
	FROM commerce.order_items i;
COMMENT ON VIEW commerce_api.order_items IS 'what the caller ordered; for a seller what was ordered of it; for an administrator all';

-- Of somebody's order a seller sees where it goes and the seller's own lines. Whose the order is, and what the rest of
-- it is, are not there to be asked for: therefore a barrier, with its owner's rights.
CREATE VIEW commerce_private.api_seller_orders WITH (security_barrier = true) AS
	SELECT s.order_id AS id, o.created_at, o.recipient_name, o.recipient_phone, o.recipient_address, o.recipient_memo, s.to_send, s.asked,
		   (SELECT pg_catalog.jsonb_agg((pg_catalog.to_jsonb(i) - 'order_id' - commerce_private.api_internal())
			|| pg_catalog.jsonb_build_object('delivered_at', commerce_api.moment_to_json(i.delivered_at)) ORDER BY i.seq)
			-- in a view i.* is what there is when it is made: a column of somebody's own is not shown
			FROM (SELECT i.* FROM commerce.order_items i) i
			WHERE i.order_id = s.order_id AND i.seller_id = (SELECT commerce_private.current_seller_id())) AS items
	-- found in the index alone, the newest first; with OFFSET 0 only those are looked up that are asked for
	FROM (SELECT i.order_id, pg_catalog.bool_or(i.status IN ('PAID', 'PREPARING')) AS to_send,
				 pg_catalog.bool_or(i.status IN ('CANCEL_REQUESTED', 'CANCEL_PROCESSING', 'RETURN_REQUESTED', 'RETURN_PROCESSING',
												 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING')) AS asked
		  FROM commerce.order_items i
		  WHERE i.seller_id = (SELECT commerce_private.current_seller_id())
		  GROUP BY i.order_id ORDER BY i.order_id DESC) s
	CROSS JOIN LATERAL (SELECT o.created_at, o.recipient_name, o.recipient_phone, o.recipient_address, o.recipient_memo
						FROM commerce.orders o WHERE o.id = s.order_id OFFSET 0) o
	ORDER BY s.order_id DESC;
COMMENT ON VIEW commerce_private.api_seller_orders IS 'orders as the seller of some of their lines sees them';
COMMENT ON COLUMN commerce_private.api_seller_orders.to_send IS 'some of the seller''s lines are to be sent';
COMMENT ON COLUMN commerce_private.api_seller_orders.asked IS 'a cancellation, return or exchange of some of them was asked for, and is not done';
COMMENT ON COLUMN commerce_private.api_seller_orders.items IS 'the seller''s lines of the order';

CREATE VIEW commerce_api.seller_orders WITH (security_invoker = true) AS
	SELECT o.id, o.created_at::commerce_api.moment AS created_at, o.recipient_name, o.recipient_phone, o.recipient_address,
		   o.recipient_memo, o.to_send, o.asked, o.items
	FROM commerce_private.api_seller_orders o;
COMMENT ON VIEW commerce_api.seller_orders IS 'orders with lines of the seller: when, to whom, what there is to do, and the seller''s lines; nothing else of them';

CREATE VIEW commerce_api.order_item_events WITH (security_invoker = true) AS
	SELECT e.order_item_id, e.ordinal, e.from_status, e.event, e.quantity, e.restocked, e.at::commerce_api.moment AS at, e.actor,
		   -- who the buyer is, is not the seller's to know
		   CASE WHEN e.actor <> 'BUYER' OR (SELECT commerce_private.current_seller_id()) IS NULL THEN e.actor_id END AS actor_id,
		   e.note
	FROM commerce.order_item_events e;
COMMENT ON VIEW commerce_api.order_item_events IS 'the history of the order items that the caller can see';
COMMENT ON COLUMN commerce_api.order_item_events.actor_id IS 'user id of the buyer or admin, seller id of the seller; a buyer''s is not shown to sellers';

CREATE VIEW commerce_api.shipments WITH (security_invoker = true) AS
	SELECT s.id, s.order_id, s.seller_id, s.carrier, s.tracking_number, s.at::commerce_api.moment AS at FROM commerce.shipments s;
COMMENT ON VIEW commerce_api.shipments IS 'parcels of the caller''s orders; for a seller those it sent; for an administrator all';

CREATE VIEW commerce_api.order_coupons WITH (security_invoker = true) AS
	SELECT c.order_id, c.coupon_issue_id, c.discount, c.restored_at::commerce_api.moment AS restored_at FROM commerce.order_coupons c;
COMMENT ON VIEW commerce_api.order_coupons IS 'the coupons that the caller''s orders used; for an administrator all';

CREATE VIEW commerce_api.payments WITH (security_invoker = true) AS
	SELECT p.id, p.order_id, p.user_id, p.kind, p.channel, p.method, p.status, p.amount, p.tax_free_amount, p.expires_at::commerce_api.moment AS expires_at, p.refund_of,
		   p.charge_id, p.archived_order_id, p.provider_event_id, p.requested_at::commerce_api.moment AS requested_at, p.failed_at::commerce_api.moment AS failed_at,
		   p.at::commerce_api.moment AS at
	FROM commerce.payments p;
COMMENT ON VIEW commerce_api.payments IS 'the caller''s payments, refunds and charges; for an administrator all';

CREATE VIEW commerce_api.order_sheets WITH (security_invoker = true) AS
	SELECT s.id, s.user_id, s.coupon_issue_ids, s.items_total, s.item_discount_total, s.order_discount,
		   s.shipping_discount, s.shipping_total, s.payment_amount, s.created_at::commerce_api.moment AS created_at, s.expires_at::commerce_api.moment AS expires_at, s.consumed_order_id
	FROM commerce.order_sheets s;
COMMENT ON VIEW commerce_api.order_sheets IS 'the caller''s order sheets; for an administrator all';

CREATE VIEW commerce_api.order_sheet_items WITH (security_invoker = true) AS
	SELECT i.order_sheet_id, i.seq, i.line, i.product_id, i.seller_id, i.product_name, i.quantity, i.unit_price,
		   i.unit_discount, i.unit_final, i.line_total, i.order_discount_share, i.shipping_fee, i.shipping_discount,
		   i.coupon_issue_id
	FROM commerce.order_sheet_items i;
COMMENT ON VIEW commerce_api.order_sheet_items IS 'priced lines of the caller''s order sheets; for an administrator all';

CREATE VIEW commerce_api.job_status WITH (security_invoker = true) AS
	SELECT j.name, j.purpose, j.schedule, j.last_started_at::commerce_api.moment AS last_started_at, j.last_finished_at::commerce_api.moment AS last_finished_at, j.last_rows, j.backlog, j.failures,
		   j.last_error, j.last_error_at::commerce_api.moment AS last_error_at, j.state
	FROM commerce.job_status j
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.job_status IS 'the periodic jobs, when each ran last, and its last error; for administrators';

CREATE VIEW commerce_api.order_item_transitions WITH (security_invoker = true) AS
	SELECT t.from_status, t.to_status, t.actor, t.whole_order FROM commerce.order_item_transitions t;
COMMENT ON VIEW commerce_api.order_item_transitions IS 'every step that an order item can take, and who may make it';

CREATE VIEW commerce_api.subscriptions WITH (security_invoker = true) AS
	SELECT s.name, s.state, s.paused_at::commerce_api.moment AS paused_at, s.pause_reason, s.sink, s.destination, s.event_types, s.cursor, s.lag_events,
		   s.lag_seconds, s.parked, s.dead_letters, s.attempts, s.delivered, s.failures, s.last_success_at::commerce_api.moment AS last_success_at,
		   s.last_error, s.last_error_at::commerce_api.moment AS last_error_at
	FROM commerce.subscription_status s
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.subscriptions IS 'every subscription to events: how far it is behind, and how its deliveries go; for administrators';

CREATE VIEW commerce_api.dead_letters WITH (security_invoker = true) AS
	SELECT d.subscription, d.position, d.id, d.type, d.aggregatetype, d.aggregateid, d.payload, d.created_at::commerce_api.moment AS created_at, d.attempts,
		   d.last_error, d.died_at::commerce_api.moment AS died_at
	FROM commerce.dead_letters d
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.dead_letters IS 'events that the relay has given up; for administrators';

CREATE VIEW commerce_api.outbox_segments WITH (security_invoker = true) AS
	SELECT s.segment, s.newest_event_at::commerce_api.moment AS newest_event_at, s.bytes, s.retained_until::commerce_api.moment AS retained_until, s.held_by
	FROM commerce.outbox_segments s
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.outbox_segments IS 'the daily segments of the outbox that have events in them; for administrators';

CREATE VIEW commerce_api.conversion_by_hour WITH (security_invoker = true) AS
	SELECT c.hour::commerce_api.moment AS hour, c.sheets, c.matured, c.paid, c.percent
	FROM commerce.conversion_by_hour c
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.conversion_by_hour IS 'order sheets by the hour in which they were made, and how many became paid orders; for administrators';

CREATE VIEW commerce_api.conversion_by_minute WITH (security_invoker = true) AS
	SELECT c.minute::commerce_api.moment AS minute, c.sheets, c.matured, c.paid, c.percent
	FROM commerce.conversion_by_minute c
	WHERE (SELECT commerce_private.current_admin());
COMMENT ON VIEW commerce_api.conversion_by_minute IS 'order sheets by the minute in which they were made, and how many became paid orders; for administrators';

-- Nobody writes a view. What cannot be written at all PostgreSQL would say before it looks at privileges, and
-- that of a view that cannot be updated is 500 to PostgREST; with a trigger privileges come first, 401 or 403.
CREATE FUNCTION commerce_private.api_refuse_write()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.raise_error('FORBIDDEN', '{"reason": "READ_ONLY"}');
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION commerce_private.api_refuse_write() IS 'trigger function of the views of commerce_api';

DO $$
DECLARE
	view regclass;
BEGIN
	FOR view IN SELECT v.oid FROM pg_catalog.pg_class v
				WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v' ORDER BY v.relname LOOP
		EXECUTE pg_catalog.format('CREATE TRIGGER commerce_refuse_write INSTEAD OF INSERT OR UPDATE OR DELETE ON %s '
								  'FOR EACH ROW EXECUTE FUNCTION commerce_private.api_refuse_write()', view);
	END LOOP;
END
$$;

-- Nor what calls are described by.
CREATE TRIGGER commerce_refuse_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON commerce_private.api_calls
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.api_refuse_write();

-- Whose the rows are. A relation that a view of commerce_api reads is here once for each role that may read
-- it; condition says which rows (NULL: all there are).
CREATE VIEW commerce_private.api_relations AS
WITH catalogue (relation) AS (VALUES ('coupon_list'), ('sellers'), ('coupons'), ('order_item_transitions')),
	shop (relation, buyer, seller) AS (VALUES
	('users', 'id = (SELECT commerce_private.current_user_id())', 'id = (SELECT commerce_private.current_user_id())'),
	('balance_entries', 'user_id = (SELECT commerce_private.current_user_id())', NULL),
	('coupon_issues', 'user_id = (SELECT commerce_private.current_user_id())', NULL),
	('orders', 'user_id = (SELECT commerce_private.current_user_id())', NULL),
	('order_items', 'order_id = ANY (ARRAY(SELECT o.id FROM commerce.orders o))',
					'seller_id = (SELECT commerce_private.current_seller_id())'),
	('order_item_events', 'order_item_id = ANY (ARRAY(SELECT i.id FROM commerce.order_items i))',
						  'EXISTS (SELECT FROM commerce.order_items i WHERE i.id = order_item_id)'),
	('shipments', 'order_id = ANY (ARRAY(SELECT o.id FROM commerce.orders o))', 'seller_id = (SELECT commerce_private.current_seller_id())'),
	('order_coupons', 'order_id = ANY (ARRAY(SELECT o.id FROM commerce.orders o))', NULL),
	('payments', 'order_id = ANY (ARRAY(SELECT o.id FROM commerce.orders o)) OR order_id IS NULL AND user_id = (SELECT commerce_private.current_user_id())', NULL),
	('order_sheets', 'user_id = (SELECT commerce_private.current_user_id())', NULL),
	('order_sheet_items', 'order_sheet_id = ANY (ARRAY(SELECT s.id FROM commerce.order_sheets s))', NULL),
	('promotions', 'starts_at <= pg_catalog.statement_timestamp() AND ends_at > pg_catalog.statement_timestamp() AND EXISTS ('
				   'SELECT FROM commerce.products p LEFT JOIN commerce.sellers s ON s.id = p.seller_id WHERE p.id = product_id AND coalesce(s.active, true))',
				   'EXISTS (SELECT FROM commerce.products p WHERE p.id = product_id AND p.seller_id = (SELECT commerce_private.current_seller_id()))'),
	('stock_entries', NULL, 'EXISTS (SELECT FROM commerce.products p WHERE p.id = product_id AND p.seller_id = (SELECT commerce_private.current_seller_id()))'),
	('quota_entries', NULL, 'EXISTS (SELECT FROM commerce.coupons c WHERE c.id = coupon_id AND c.seller_id = (SELECT commerce_private.current_seller_id()))'))
SELECT c.relation, r.api_role, NULL AS condition FROM catalogue c
CROSS JOIN pg_catalog.unnest(pg_catalog.enum_range(NULL::commerce_private.api_role)) AS r (api_role)
UNION ALL SELECT s.relation, 'BUYER', s.buyer FROM shop s WHERE s.buyer IS NOT NULL
UNION ALL SELECT s.relation, 'ANONYMOUS', s.buyer FROM shop s WHERE s.relation = 'promotions'
UNION ALL SELECT s.relation, 'SELLER', s.seller FROM shop s WHERE s.seller IS NOT NULL
UNION ALL SELECT s.relation, 'ADMIN', '(SELECT commerce_private.current_admin())' FROM shop s
UNION ALL SELECT v.relation, 'ADMIN', NULL FROM (VALUES ('job_status'), ('subscription_status'), ('outbox_segments'), ('dead_letters'), ('conversion_by_hour'), ('conversion_by_minute')) AS v (relation)
UNION ALL VALUES
	('products', 'ANONYMOUS'::commerce_private.api_role, 'status = ''ON_SALE'''),
	('products', 'BUYER', 'status = ''ON_SALE'''),
	('products', 'SELLER', 'status = ''ON_SALE'' OR seller_id = (SELECT commerce_private.current_seller_id())'),
	('products', 'ADMIN', 'status = ''ON_SALE'' OR (SELECT commerce_private.current_admin())');
COMMENT ON VIEW commerce_private.api_relations IS 'which rows of the tables and views of schema commerce a role can read over REST; constants';
COMMENT ON COLUMN commerce_private.api_relations.condition IS 'becomes a row security policy; NULL: all rows';

-- Row security. Everybody else is left as granted. A role of grant_api() sees no row until it has its own policy:
-- a dump has grants in it, but not policies on an extension's tables, and a restored database must not show more
-- than it did. Such a role is known by what it alone is granted, the functions of commerce_api, for which one
-- stands here; what a superuser may do everywhere, and pg_read_all_data in every schema, makes nobody one.
DO $$
DECLARE
	guarded text;
BEGIN
	FOR guarded IN SELECT DISTINCT a.relation FROM commerce_private.api_relations a WHERE a.condition IS NOT NULL ORDER BY 1 LOOP
		EXECUTE pg_catalog.format('ALTER TABLE commerce.%I ENABLE ROW LEVEL SECURITY', guarded);
		EXECUTE pg_catalog.format('CREATE POLICY commerce_as_granted ON commerce.%I USING (true) WITH CHECK (true)', guarded);
		EXECUTE pg_catalog.format($policy$
			CREATE POLICY commerce_guard ON commerce.%I AS RESTRICTIVE USING ((SELECT
				NOT pg_catalog.has_function_privilege('commerce_api.get_order(text)'::regprocedure, 'EXECUTE')
				OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER AND r.rolsuper)
				OR EXISTS (SELECT FROM pg_catalog.pg_policy p CROSS JOIN pg_catalog.unnest(p.polroles) AS r (role)
						   WHERE p.polrelid = %L::regclass AND NOT p.polpermissive AND r.role <> 0
							 AND pg_catalog.pg_has_role(r.role, 'USAGE'))))$policy$,
			guarded, 'commerce.' || guarded);
	END LOOP;
END
$$;

-- A view is for a role when each relation that it reads is; one is empty for the others.
CREATE VIEW commerce_private.api_views AS
	SELECT v.oid::regclass AS view, v.relname AS name, r.api_role
	FROM pg_catalog.pg_class v
	CROSS JOIN pg_catalog.unnest(pg_catalog.enum_range(NULL::commerce_private.api_role)) AS r (api_role)
	WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v'
	  AND (v.relname <> 'my_products' OR r.api_role IN ('SELLER', 'ADMIN'))
	  AND (v.relname <> 'seller_orders' OR r.api_role = 'SELLER')
	  AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_rewrite w
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
			AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
		JOIN pg_catalog.pg_class b ON b.oid = d.refobjid AND b.relnamespace = 'commerce'::regnamespace
		WHERE w.ev_class = v.oid
		  AND NOT EXISTS (SELECT FROM commerce_private.api_relations a WHERE a.relation = b.relname AND a.api_role = r.api_role));
COMMENT ON VIEW commerce_private.api_views IS 'which views of commerce_api are for which role';
