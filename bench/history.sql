-- :orders paid orders of two lines each, spread over three days, with all that
-- they would have left; those were the last three days, or, with :days, so many
-- days ago, and then the orders are over. Written past the extension, which is much
-- faster and needs its triggers out of the way.
\set ON_ERROR_STOP on
\if :{?days}
\set status CONFIRMED
\set order_status COMPLETED
\else
\set days 0
\set status PREPARING
\set order_status PAID
\endif
BEGIN;
SET LOCAL synchronous_commit = off;
SET LOCAL session_replication_role = replica;
ALTER TABLE commerce.stock_entries DISABLE TRIGGER gate_write;
SELECT coalesce(max(id), 0) AS o FROM commerce.orders \gset
SELECT coalesce(max(id), 0) AS i FROM commerce.order_items \gset
SELECT max(id) AS users FROM commerce.users \gset
SELECT max(id) AS products FROM commerce.products \gset

INSERT INTO commerce.orders (id, user_id, status, payment_method, created_at, updated_at, paid_at, expires_at, items_total,
	item_discount_total, order_discount, shipping_discount, shipping_total, payment_amount, refunded_amount, event_key)
OVERRIDING SYSTEM VALUE
SELECT :o + n, 1 + n % :users, :'order_status', 'BALANCE', t.at, t.at, t.at, NULL, 300, 0, 0, 0, 0, 300, 0, 3
FROM generate_series(1::bigint, :orders) n CROSS JOIN LATERAL (SELECT now() - :days * interval '1 day' - interval '70 hours' * n / :orders AS at) t;
INSERT INTO commerce.order_items (id, order_id, seq, product_id, seller_id, product_name, status, quantity, unit_price, unit_discount,
	unit_final, line_total, order_discount_share, shipping_fee, shipping_discount, line, last_event)
OVERRIDING SYSTEM VALUE
SELECT :i + n, :o + (n + 1) / 2, 2 - n % 2, 1 + (n * 7919) % :products, 1 + (n * 7919 + 1) % 100, 'product', :'status',
	   1 + (n + 1) % 2, 100, 0, 100, 100 * (1 + (n + 1) % 2), 0, 0, 0, 2 - n % 2, 2
FROM generate_series(1::bigint, 2 * :orders) n;
INSERT INTO commerce.order_item_events (order_item_id, ordinal, from_status, event, quantity, at, actor, actor_id, xid)
SELECT i.id, e.ordinal, e.from_status, e.event, i.quantity, now(), e.actor, NULL, '3'
FROM commerce.order_items i
CROSS JOIN (VALUES (1, NULL::commerce.order_item_status, 'PAID'::commerce.order_item_status, 'BUYER'::commerce.actor_kind),
				   (2, 'PAID', :'status', 'SYSTEM')) e (ordinal, from_status, event, actor)
WHERE i.id > :i;
INSERT INTO commerce.payments (order_id, user_id, kind, method, status, amount, tax_free_amount)
SELECT id, user_id, 'PAYMENT', 'BALANCE', 'COMPLETED', 300, 0 FROM commerce.orders WHERE id > :o;
INSERT INTO commerce.balance_entries (user_id, number, kind, amount, balance_after, order_id, at)
SELECT o.user_id, u.last_entry + o.nth, 'PAYMENT', -300, u.balance - 300 * o.nth, o.id, o.created_at
FROM (SELECT o.*, row_number() OVER (PARTITION BY o.user_id ORDER BY o.id) AS nth FROM commerce.orders o WHERE o.id > :o) o
JOIN commerce.users u ON u.id = o.user_id;
UPDATE commerce.balance_entries SET at = at - :days * interval '1 day' WHERE kind = 'CHARGE';
UPDATE commerce.users u SET last_entry = e.newest, balance = u.balance - 300 * e.entries
FROM (SELECT e.user_id, max(e.number) AS newest, count(*) FILTER (WHERE e.order_id > :o) AS entries FROM commerce.balance_entries e GROUP BY 1) e
WHERE e.user_id = u.id;
INSERT INTO commerce.stock_entries (product_id, delta, reason, order_item_id, at, xid)
SELECT i.product_id, -i.quantity, 'ORDER', i.id, o.created_at, '3' FROM commerce.order_items i JOIN commerce.orders o ON o.id = i.order_id WHERE i.id > :i;
SELECT setval('commerce.orders_id_seq', :o + :orders), setval('commerce.order_items_id_seq', :i + 2 * :orders);
ALTER TABLE commerce.stock_entries ENABLE ALWAYS TRIGGER gate_write;
COMMIT;
VACUUM ANALYZE;
CHECKPOINT;
