-- An order as a client without stored functions places it: the same rows, one
-- statement after the other.
\set user random(1, :users)
\set a random(1, :products / 2)
\set b random(:products / 2 + 1, :products)
BEGIN;
SELECT status FROM plain.users WHERE id = :user;
SELECT id, seller_id AS seller_a, name AS name_a, price, discount, shipping_fee, status, max_per_order FROM plain.products WHERE id = :a;
SELECT id, seller_id AS seller_b, name AS name_b, price, discount, shipping_fee, status, max_per_order FROM plain.products WHERE id = :b;
SELECT kind, value FROM plain.promotions WHERE product_id IN (:a, :b) AND starts_at <= now() AND ends_at > now();
UPDATE plain.users SET balance = balance - 300, last_entry = last_entry + 1, updated_at = now() WHERE id = :user AND balance >= 300 RETURNING balance AS balance, last_entry AS entry \gset
UPDATE plain.stock SET on_hand = on_hand - 1 WHERE product_id = :a AND on_hand >= 1;
UPDATE plain.stock SET on_hand = on_hand - 2 WHERE product_id = :b AND on_hand >= 2;
INSERT INTO plain.orders (user_id, status, payment_method, paid_at, items_total, item_discount_total, order_discount, shipping_total, payment_amount, event_key) VALUES (:user, 'PAID', 'BALANCE', now(), 300, 0, 0, 0, 300, commerce_private.to_key(pg_current_xact_id())) RETURNING id AS order \gset
INSERT INTO plain.order_items (order_id, seq, product_id, seller_id, product_name, status, quantity, unit_price, unit_discount, unit_final, line_total) VALUES (:order, 1, :a, 1, 'product', 'PREPARING', 1, 100, 0, 100, 100) RETURNING id AS item_a \gset
INSERT INTO plain.order_items (order_id, seq, product_id, seller_id, product_name, status, quantity, unit_price, unit_discount, unit_final, line_total) VALUES (:order, 2, :b, 2, 'product', 'PREPARING', 2, 100, 0, 100, 200) RETURNING id AS item_b \gset
INSERT INTO plain.order_item_events (order_item_id, from_status, event, quantity, actor, actor_id) VALUES (:item_a, NULL, 'PAID', 1, 'BUYER', :user), (:item_a, 'PAID', 'PREPARING', 1, 'SYSTEM', NULL), (:item_b, NULL, 'PAID', 2, 'BUYER', :user), (:item_b, 'PAID', 'PREPARING', 2, 'SYSTEM', NULL);
INSERT INTO plain.stock_entries (product_id, delta, reason, order_item_id) VALUES (:a, -1, 'ORDER', :item_a), (:b, -2, 'ORDER', :item_b);
INSERT INTO plain.payments (order_id, kind, method, status, amount) VALUES (:order, 'PAYMENT', 'BALANCE', 'COMPLETED', 300);
INSERT INTO plain.balance_entries (user_id, number, kind, amount, balance_after, order_id) VALUES (:user, :entry, 'PAYMENT', -300, :balance, :order);
INSERT INTO plain.outbox (aggregatetype, aggregateid, type, payload) VALUES ('Order', :order, 'OrderCreated', '{"order_id": 1, "user_id": 1, "status": "PAID", "items_total": 300, "payment_amount": 300, "items": [{"id": 1, "seq": 1, "product_id": 1, "quantity": 1, "unit_price": 100, "line_total": 100}, {"id": 2, "seq": 2, "product_id": 2, "quantity": 2, "unit_price": 100, "line_total": 200}]}'), ('Order', :order, 'PaymentCompleted', '{"order_id": 1, "user_id": 1, "status": "PAID", "items_total": 300, "payment_amount": 300, "items": [{"id": 1, "seq": 1, "product_id": 1, "quantity": 1, "unit_price": 100, "line_total": 100}, {"id": 2, "seq": 2, "product_id": 2, "quantity": 2, "unit_price": 100, "line_total": 200}], "payment": {"id": 1, "method": "BALANCE", "amount": 300}}'), ('Order', :order, 'DeliveryRequested', '{"order_id": 1, "user_id": 1, "seller_id": 1, "items": [{"id": 1, "seq": 1, "product_id": 1, "quantity": 1, "unit_price": 100, "line_total": 100}]}'), ('Order', :order, 'DeliveryRequested', '{"order_id": 1, "user_id": 1, "seller_id": 2, "items": [{"id": 2, "seq": 2, "product_id": 2, "quantity": 2, "unit_price": 100, "line_total": 200}]}');
COMMIT;
