-- What reading costs over REST: pages that a request's query reads, with row security, as the role that asks.
--
--   psql -v orders=1000000 -f bench/reading.sql DATABASE
--
-- in a new database with commerce, where the roles of the HTTP tests were let in. Fills it with :orders orders of two
-- lines over 180 days, of 100 sellers that sell alike and one that sells little, written past the extension. The last
-- days' are under way; of the others one in 50 was cancelled and one in 100 refunded. Then asks, each request twice.
-- Of a request of the test (test/pgtap/api_paging.sql) :most says how many pages it may read at 30 000 orders.
\set ON_ERROR_STOP on
\if :{?orders}
\else
	\set orders 1000000
\endif
SELECT (:orders / 20)::int AS users, (:orders / 100)::int AS products \gset

BEGIN;
SET LOCAL synchronous_commit = off;
SET LOCAL session_replication_role = replica;
INSERT INTO commerce.users (id, name, role) OVERRIDING SYSTEM VALUE
SELECT n, 'user ' || n, CASE WHEN n = 1 THEN 'ADMIN' WHEN n <= 102 THEN 'SELLER' ELSE 'BUYER' END::commerce.user_role
FROM generate_series(1, :users) n;
INSERT INTO commerce.sellers (id, user_id, business_name, registration_number) OVERRIDING SYSTEM VALUE
SELECT n, n + 1, 'seller ' || n, n::text FROM generate_series(1, 101) n;
INSERT INTO commerce.products (id, seller_id, name, price, category) OVERRIDING SYSTEM VALUE
SELECT n, 1 + n % 100, 'product ' || n, 150, 'category ' || n % 50 FROM generate_series(1, :products) n;
ALTER TABLE commerce_private.stock DISABLE TRIGGER gate_write;
INSERT INTO commerce_private.stock (product_id, on_hand) SELECT n, 100 FROM generate_series(1, :products) n;
ALTER TABLE commerce_private.stock ENABLE ALWAYS TRIGGER gate_write;
INSERT INTO commerce.orders (id, user_id, status, payment_method, created_at, updated_at, paid_at, items_total, item_discount_total,
	order_discount, shipping_total, payment_amount, event_key)
OVERRIDING SYSTEM VALUE
SELECT n, 103 + (n * 7919) % (:users - 102),
	   CASE WHEN n % 50 = 0 THEN 'CANCELLED' WHEN n % 100 = 1 THEN 'REFUNDED' WHEN n < :orders * 0.95 THEN 'COMPLETED' ELSE 'PAID' END::commerce.order_status,
	   'BALANCE', t.at, t.at, t.at, 300, 0, 0, 0, 300, 3
FROM generate_series(1::bigint, :orders) n
CROSS JOIN LATERAL (SELECT now() - interval '180 days' * (:orders - n) / :orders AS at) t;
INSERT INTO commerce.order_items (id, order_id, seq, product_id, seller_id, product_name, status, quantity, unit_price, unit_discount,
	unit_final, line_total, line, last_event)
OVERRIDING SYSTEM VALUE
SELECT n, o.id, 2 - n % 2, p.id, CASE WHEN n % (:orders / 5) = 13 THEN 101 ELSE 1 + p.id % 100 END, 'product ' || p.id,
	   CASE WHEN o.id % 50 = 0 THEN 'CANCELLED' WHEN o.id % 100 = 1 THEN 'RETURNED' WHEN o.id < :orders * 0.95 THEN 'CONFIRMED' ELSE 'PREPARING' END::commerce.order_item_status,
	   1, 150, 0, 150, 150, 2 - n % 2, 1
FROM generate_series(1::bigint, 2 * :orders) n
CROSS JOIN LATERAL (SELECT 1 + (n * 7919) % :products AS id) p
CROSS JOIN LATERAL (SELECT (n + 1) / 2 AS id) o;
INSERT INTO commerce.shipments (id, seller_id, order_id, carrier, tracking_number, at) OVERRIDING SYSTEM VALUE
SELECT i.id, i.seller_id, i.order_id, 'Korea Post', 'T' || i.id, now() FROM commerce.order_items i WHERE i.status = 'CONFIRMED' AND i.seq = 1 ORDER BY i.id;
INSERT INTO commerce.order_item_events (order_item_id, ordinal, event, quantity, at, actor, xid)
SELECT i.id, 1, 'PAID', 1, o.created_at, 'BUYER', 3 FROM commerce.order_items i JOIN commerce.orders o ON o.id = i.order_id ORDER BY i.id;
INSERT INTO commerce.payments (order_id, user_id, kind, method, status, amount, at)
SELECT o.id, o.user_id, 'PAYMENT', 'BALANCE', 'COMPLETED', 300, o.created_at FROM commerce.orders o ORDER BY o.id;
INSERT INTO commerce.balance_entries (user_id, number, kind, amount, balance_after, order_id, at)
SELECT o.user_id, row_number() OVER (PARTITION BY o.user_id ORDER BY o.id), 'PAYMENT', -300, 0, o.id, o.created_at FROM commerce.orders o;
COMMIT;
VACUUM ANALYZE;

-- As PostgREST asks: $1 is the role, $2 the user.
CREATE TEMPORARY TABLE reading (n int GENERATED ALWAYS AS IDENTITY, role text, user_id bigint, request text, query text, most int, rows bigint, pages bigint);
CREATE FUNCTION pg_temp.ask(role text, user_id bigint, query text, OUT rows bigint, OUT pages bigint) LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	PERFORM set_config('request.jwt.claims', json_build_object('role', role, 'sub', user_id::text)::text, true),
			set_config('jit', 'off', true), set_config('role', role, true);
	FOR i IN 1..2 LOOP
		EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT coalesce(json_agg(t), ''[]'') FROM (' || query || ') t' INTO plan;
	END LOOP;
	EXECUTE 'SELECT count(*) FROM (' || query || ') t' INTO rows;
	PERFORM set_config('role', 'none', true);
	pages := (plan->0->'Plan'->>'Shared Hit Blocks')::bigint + (plan->0->'Plan'->>'Shared Read Blocks')::bigint;
END
$$;
INSERT INTO reading (role, user_id, request, query, most)
SELECT 'api_' || r.role, CASE r.role WHEN 'admin' THEN 1 WHEN 'seller' THEN 8 WHEN 'buyer' THEN :users / 2 END, r.request,
	   format(r.query, :orders / 2, :users / 2, 'T' || 2 * (:orders * 9 / 20) + 5), r.most
FROM (VALUES
	('admin', 'orders?order=id.desc&limit=50', 'SELECT * FROM commerce_api.orders ORDER BY id DESC LIMIT 50', 60),
	('admin', 'orders?id=lt.500000&order=id.desc&limit=50', 'SELECT * FROM commerce_api.orders WHERE id < %1$s ORDER BY id DESC LIMIT 50', 60),
	('admin', 'orders?order=id.desc&limit=50&offset=500000', 'SELECT * FROM commerce_api.orders ORDER BY id DESC LIMIT 50 OFFSET %1$s', NULL),
	('admin', 'orders?status=eq.PAID&order=id.desc&limit=50', 'SELECT * FROM commerce_api.orders WHERE status = ''PAID'' ORDER BY id DESC LIMIT 50', 60),
	('admin', 'orders?status=eq.REFUNDED&order=id.desc&limit=50', 'SELECT * FROM commerce_api.orders WHERE status = ''REFUNDED'' ORDER BY id DESC LIMIT 50', 200),
	('admin', 'orders?status=eq.PENDING_PAYMENT&order=expires_at&limit=50', 'SELECT * FROM commerce_api.orders WHERE status = ''PENDING_PAYMENT'' ORDER BY expires_at LIMIT 50', 60),
	('admin', 'orders?created_at=gte.2026-08-01T00:00:00%2B09:00&created_at=lt.2026-08-02T00:00:00%2B09:00&order=created_at.desc&limit=50',
	 'SELECT * FROM commerce_api.orders WHERE created_at >= now() - interval ''100 days'' AND created_at < now() - interval ''99 days'' ORDER BY created_at DESC LIMIT 50', 400),
	('admin', 'orders?user_id=eq.25000&order=id.desc&limit=50', 'SELECT * FROM commerce_api.orders WHERE user_id = %2$s ORDER BY id DESC LIMIT 50', 100),
	('admin', 'shipments?tracking_number=eq.T900005&select=*,orders(*),order_items(*)',
	 'SELECT s.*, o.j AS orders, i.j AS order_items FROM commerce_api.shipments s LEFT JOIN LATERAL (SELECT to_json(o) j FROM commerce_api.orders o WHERE o.id = s.order_id) o ON true LEFT JOIN LATERAL (SELECT json_agg(i) j FROM commerce_api.order_items i WHERE i.shipment_id = s.id) i ON true WHERE s.tracking_number = %3$L', 100),
	('admin', 'order_item_events?event=eq.RETURN_REQUESTED&at=gte.2026-11-28T00:00:00%2B09:00&order=at.desc&limit=50',
	 'SELECT * FROM commerce_api.order_item_events WHERE event = ''RETURN_REQUESTED'' AND at >= now() - interval ''1 day'' ORDER BY at DESC LIMIT 50', 300),
	('admin', 'payments?status=eq.UNEXPECTED&order=at&limit=50', 'SELECT * FROM commerce_api.payments WHERE status = ''UNEXPECTED'' ORDER BY at LIMIT 50', 60),
	('admin', 'payments?kind=eq.REFUND&status=eq.REQUESTED&order=at.desc&limit=50', 'SELECT * FROM commerce_api.payments WHERE kind = ''REFUND'' AND status = ''REQUESTED'' ORDER BY at DESC LIMIT 50', 60),
	('buyer', 'orders?order=id.desc&limit=20', 'SELECT * FROM commerce_api.orders ORDER BY id DESC LIMIT 20', 80),
	('buyer', 'orders?select=*,order_items(*,order_item_events(*))&order=id.desc&limit=20',
	 'SELECT o.*, i.j AS order_items FROM commerce_api.orders o LEFT JOIN LATERAL (SELECT json_agg(i) j FROM (SELECT i.*, e.j AS order_item_events FROM commerce_api.order_items i LEFT JOIN LATERAL (SELECT json_agg(e) j FROM commerce_api.order_item_events e WHERE e.order_item_id = i.id) e ON true WHERE i.order_id = o.id) i) i ON true ORDER BY o.id DESC LIMIT 20', 600),
	('buyer', 'balance_entries?order=number.desc&limit=20', 'SELECT * FROM commerce_api.balance_entries ORDER BY number DESC LIMIT 20', 80),
	('buyer', 'payments?order=id.desc&limit=20', 'SELECT * FROM commerce_api.payments ORDER BY id DESC LIMIT 20', 200),
	('buyer', 'shipments?order=id.desc&limit=20', 'SELECT * FROM commerce_api.shipments ORDER BY id DESC LIMIT 20', 200),
	('seller', 'seller_orders?order=id.desc&limit=50', 'SELECT * FROM commerce_api.seller_orders ORDER BY id DESC LIMIT 50', 600),
	('seller', 'seller_orders?id=lt.500000&order=id.desc&limit=50', 'SELECT * FROM commerce_api.seller_orders WHERE id < %1$s ORDER BY id DESC LIMIT 50', 600),
	('seller', 'seller_orders?to_send=is.true&order=id.desc&limit=50', 'SELECT * FROM commerce_api.seller_orders WHERE to_send IS TRUE ORDER BY id DESC LIMIT 50', 600),
	('seller', 'seller_orders?asked=is.true&order=id.desc&limit=50', 'SELECT * FROM commerce_api.seller_orders WHERE asked IS TRUE ORDER BY id DESC LIMIT 50', 100),
	('seller', 'order_items?select=*,order_item_events(*)&order=id.desc&limit=20',
	 'SELECT i.*, e.j AS order_item_events FROM commerce_api.order_items i LEFT JOIN LATERAL (SELECT json_agg(e) j FROM commerce_api.order_item_events e WHERE e.order_item_id = i.id) e ON true ORDER BY i.id DESC LIMIT 20', 300),
	('seller', 'shipments?order=id.desc&limit=50', 'SELECT * FROM commerce_api.shipments ORDER BY id DESC LIMIT 50', 100),
	('anon', 'products?order=id&limit=50', 'SELECT * FROM commerce_api.products ORDER BY id LIMIT 50', 800),
	('anon', 'products?category=eq.kitchen&order=id&limit=50', 'SELECT * FROM commerce_api.products WHERE category = ''category 7'' ORDER BY id LIMIT 50', 200),
	('anon', 'promotions?order=ends_at&limit=50', 'SELECT * FROM commerce_api.promotions ORDER BY ends_at LIMIT 50', 60)) AS r (role, request, query, most);
INSERT INTO reading (role, user_id, request, query, most)
SELECT r.role, 102, r.request || ' (of a seller with little)', r.query, 200 FROM reading r WHERE r.role = 'api_seller' ORDER BY r.n;
UPDATE reading r SET (rows, pages) = (SELECT a.rows, a.pages FROM pg_temp.ask(r.role, r.user_id, r.query) a);
\if :{?quiet}
\else
	SELECT r.role, r.request, r.rows, r.pages FROM reading r ORDER BY r.n;
\endif
