-- What `make demo` shows: a shop is filled and everything it does is done once.
-- Run it in a database in which commerce was just created: psql -f scripts/demo.sql

\set QUIET on
\set ON_ERROR_STOP on
\pset pager off
\pset footer off
\pset null '-'
SET timezone = 'Asia/Seoul';

SELECT EXISTS (SELECT FROM commerce.users) OR EXISTS (SELECT FROM commerce.products) AS used \gset
\if :used
	\echo This needs a shop with nothing in it: CREATE EXTENSION commerce in a new database.
	\quit
\endif

-- Six users, two of whom sell; nine products; three coupons. Their ids begin at 1.
\o /dev/null
SELECT commerce.create_user('Kim Minji', 'minji@example.com', phone => '010-1234-5678', address => 'Seoul'),
	   commerce.create_user('Lee Junho', 'junho@example.com'),
	   commerce.create_user('Park Sora', 'sora@example.com'),
	   commerce.create_user('Choi Dowon', 'dowon@example.com', role => 'SELLER'),
	   commerce.create_user('Han Yuna', 'yuna@example.com', role => 'SELLER'),
	   commerce.create_user('Yoon Ara', 'ara@example.com', role => 'ADMIN');
SELECT commerce.create_seller(4, 'Dowon Ceramics', '120-81-00001', category => 'kitchen'),
	   commerce.create_seller(5, 'Yuna Lights', '120-81-00002', category => 'living');
SELECT commerce.create_product(1, 'Teapot', 32000, 40, category => 'kitchen', shipping_fee => 3000),
	   commerce.create_product(1, 'Cup', 9000, 200, category => 'kitchen', discount => 500),
	   commerce.create_product(1, 'Celadon vase', 240000, 1, category => 'living', shipping_fee => 6000),
	   commerce.create_product(2, 'Desk lamp', 54000, 25, category => 'living', shipping_fee => 2500),
	   commerce.create_product(2, 'Candle', 4500, 2000, category => 'living', max_per_order => 20),
	   commerce.create_product(NULL, 'Green tea, 80 g', 15000, 120, category => 'tea'),
	   commerce.create_product(NULL, 'Barley tea, 200 g', 6000, 300, category => 'tea'),
	   commerce.create_product(NULL, 'Gift box', 2000, 0, category => 'extras'),
	   commerce.create_product(NULL, 'Tea cosy', 18000, 12, category => 'kitchen');
SELECT FROM commerce.create_promotion(4, 'PERCENT', 20, now(), now() + interval '7 days');
SELECT commerce.create_coupon('Welcome', 'FIXED', 5000, 2, valid_days => 30, min_order_amount => 20000),
	   commerce.create_coupon('Tea week', 'PERCENT', 30, 100, valid_days => 7, product_id => 6, max_discount => 4000, round_unit => 100),
	   commerce.create_coupon('Free shipping', 'FREE_SHIPPING', 0, 100, valid_days => 7);
\o

\echo
SELECT code AS currency, decimals FROM commerce_private.shop_currency() \gset
\echo == The shop. Amounts are in the smallest unit of :currency
SELECT id, name, seller_name AS seller, price, discount_now AS off, price_now, shipping_fee AS shipping, stock, status
FROM commerce.product_list ORDER BY id;

\echo == A balance is charged, and an order is placed: checked, priced, paid and recorded in one call
\set ECHO queries
SELECT * FROM commerce.charge_balance(1, 300000);
SELECT id AS order_id, status, items_total, item_discount_total, shipping_total, payment_amount
FROM commerce.place_order(1, '[{"product_id": 1, "quantity": 1}, {"product_id": 4, "quantity": 2}]');
SELECT * FROM commerce.get_balance(1);
\set ECHO none

\echo == Coupons: first come, first served, and one per user. Of "Welcome" there are two
\set ECHO queries
SELECT id AS coupon_issue_id, name, kind, value, status FROM commerce.claim_coupon(1, 1);
SELECT id AS coupon_issue_id, name FROM commerce.claim_coupon(2, 1);
\set ON_ERROR_STOP off
SELECT id AS coupon_issue_id, name FROM commerce.claim_coupon(1, 1);
SELECT id AS coupon_issue_id, name FROM commerce.claim_coupon(3, 1);
\set ON_ERROR_STOP on
SELECT id, name, kind, value, scope, quantity, remaining, status FROM commerce.coupon_list ORDER BY id;
\set ECHO none

\o /dev/null
SELECT commerce.claim_coupon(1, 2), commerce.claim_coupon(1, 3);
\o

\echo
\echo == An order with three coupons: one on a line, one on the order, one on shipping
\set ECHO queries
SELECT id AS order_id, items_total, item_discount_total AS off_items, order_discount AS off_order, shipping_discount AS off_shipping, payment_amount
FROM commerce.place_order(1,
	'[{"product_id": 6, "quantity": 3, "coupon_issue_id": 3}, {"product_id": 1, "quantity": 1}]',
	ARRAY[1, 4]);
\set ECHO none

\echo == What the shop refuses leaves no trace. Of the vase there is one, and Sora has not charged yet
\set ON_ERROR_STOP off
\set ECHO queries
SELECT id FROM commerce.place_order(3, '[{"product_id": 3, "quantity": 2}]');
SELECT id FROM commerce.place_order(3, '[{"product_id": 3, "quantity": 1}]');
SELECT id FROM commerce.place_order(3, '[{"product_id": 5, "quantity": 21}]');
SELECT * FROM commerce.charge_balance(3, 150);
\set ECHO none
\set ON_ERROR_STOP on

\echo
\echo == The same request twice, with an idempotency key: one order
\set ECHO queries
SELECT balance FROM commerce.charge_balance(3, 400000, 'charge-1');
SELECT balance FROM commerce.charge_balance(3, 400000, 'charge-1');
SELECT id AS order_id, payment_amount FROM commerce.place_order(3, '[{"product_id": 3, "quantity": 1}]', idempotency_key => 'order-1');
SELECT id AS order_id, payment_amount FROM commerce.place_order(3, '[{"product_id": 3, "quantity": 1}]', idempotency_key => 'order-1');
\set ECHO none

\echo == An order sheet is a quote that is good for fifteen minutes
SELECT balance FROM commerce.charge_balance(2, 200000) \gset
\set ECHO queries
SELECT id AS sheet, payment_amount, to_char(expires_at - created_at, 'MI:SS') AS good_for
FROM commerce.create_order_sheet(2, '[{"product_id": 2, "quantity": 4}]');
\set ECHO none
SELECT id AS sheet FROM commerce.order_sheets \gset
\set ECHO queries
SELECT id AS order_id, status, payment_amount FROM commerce.place_sheet_order(:'sheet');
\set ECHO none

\echo == Paid elsewhere: the order holds its stock until the payment provider answers
\set ECHO queries
SELECT id AS order_id, status, payment_amount, to_char(expires_at - created_at, 'MI:SS') AS held_for
FROM commerce.place_order(2, '[{"product_id": 9, "quantity": 2}]', payment_method => 'EXTERNAL');
SELECT id AS order_id, status, paid_at IS NOT NULL AS paid FROM commerce.confirm_payment(5, true, 'provider-event-77');
\set ECHO none

\echo == Two of four cups are cancelled: they are split off, refunded, and back in stock
\set ECHO queries
SELECT id AS order_id, status, payment_amount, refunded_amount FROM commerce.cancel_order_item(6, 2, 'BUYER', 2, 'two are enough');
SELECT i.seq, i.product_name, i.quantity, i.line_total, i.status, string_agg(e.event::text, ' > ' ORDER BY e.ordinal) AS history
FROM commerce.order_items i JOIN commerce.order_item_events e ON e.order_item_id = i.id
WHERE i.order_id = 4 GROUP BY i.id ORDER BY i.seq;
SELECT * FROM commerce.get_balance(2);
\set ECHO none

\echo == 40 customers place 300 orders
SELECT setseed(0.5), count(commerce.charge_balance(commerce.create_user('Customer ' || n, 'customer' || n || '@example.com'), 1000000))
FROM generate_series(1, 40) n \gset
\timing on
SELECT count(*) AS orders, round(sum(o.payment_amount) / 10.0 ^ :decimals, :decimals) AS :"currency"
FROM (SELECT u.id, jsonb_build_array(
			jsonb_build_object('product_id', (ARRAY[2, 7, 7, 5])[1 + floor(random() * 4)::int], 'quantity', 1),
			jsonb_build_object('product_id', 5, 'quantity', n % 2 + 1)) AS items
	  FROM generate_series(1, 300) n JOIN commerce.users u ON u.email = 'customer' || 1 + n % 40 || '@example.com') c,
	 LATERAL commerce.place_order(c.id, c.items) o;
\timing off

\echo == Best sellers of three days. A job counts what was sold since it last ran, here by hand
\set ECHO queries
SELECT commerce.refresh_popular_products() AS rows_written;
SELECT rank, name, price, units_sold FROM commerce.popular_products();
\set ECHO none

\echo == Everything that happened is an event, for other systems to fetch or to be sent to them
\set ECHO queries
SELECT commerce.subscribe('data-platform') AS subscription;
SELECT type, aggregatetype, aggregateid, left(payload::text, 60) || '…' AS payload
FROM commerce.fetch_events('data-platform', 1000) WHERE type <> 'UserCreated' LIMIT 6;
SELECT type, count(*) FROM commerce.outbox GROUP BY 1 ORDER BY 2 DESC, 1;
\set ECHO none

\echo == Jobs, with pg_cron
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') AS has_cron \gset
\if :has_cron
SELECT commerce.schedule_jobs() AS scheduled \gset
\echo :scheduled jobs are scheduled; those of this minute run when it ends.
\else
\echo pg_cron is not here. A job runs by hand with CALL commerce_private.run_batches(name).
\endif
SELECT name, schedule, purpose FROM commerce.job_status ORDER BY name;

\echo == The books: check_invariants() shows what is wrong with them, so nothing is right
\set ECHO queries
SELECT * FROM commerce.check_invariants();
\set ECHO none
