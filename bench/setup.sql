-- The shop that is measured: :users users with enough balance, :products
-- products of 100 sellers with enough stock; and its copy in plain. With
-- :claimants, that many users can claim coupons.
\set ON_ERROR_STOP on
CREATE EXTENSION commerce;

SELECT count(commerce.create_user('user ' || n, 'user' || n || '@example.com', role => CASE WHEN n <= 100 THEN 'SELLER' ELSE 'BUYER' END::commerce.user_role))
FROM generate_series(1, :users) n;
SELECT count(commerce.create_seller(n, 'seller ' || n, 'registration ' || n)) FROM generate_series(1, 100) n;
SELECT count(commerce.charge_balance(n, 99999900)) FROM generate_series(1, :users) n;
SELECT count(commerce.create_product(n % 100 + 1, 'product ' || n, 100, 1000000000, shipping_fee => 0, discount => n % 3))
FROM generate_series(1, :products) n;
INSERT INTO commerce.users (name, email)
SELECT 'claimant ' || n, 'claimant' || n || '@example.com' FROM generate_series(:users + 1, :claimants) n;
SELECT count(commerce.create_coupon('first come ' || n, 'FIXED', 1000, 1000000000, valid_days => 30)) FROM generate_series(1, 40) n;
SELECT commerce.fold();

\ir plpgsql.sql
INSERT INTO plain.users OVERRIDING SYSTEM VALUE SELECT * FROM commerce.users;
INSERT INTO plain.sellers OVERRIDING SYSTEM VALUE SELECT * FROM commerce.sellers;
INSERT INTO plain.balance_entries OVERRIDING SYSTEM VALUE SELECT * FROM commerce.balance_entries;
INSERT INTO plain.products OVERRIDING SYSTEM VALUE SELECT * FROM commerce.products;
INSERT INTO plain.stock SELECT product_id, commerce.available_stock(product_id) FROM commerce_private.stock;
INSERT INTO plain.stock_entries SELECT * FROM commerce.stock_entries;
INSERT INTO plain.coupons (name, kind, value, quantity, valid_days) SELECT name, kind, value, quantity, valid_days FROM commerce.coupons;
INSERT INTO plain.coupon_quota SELECT * FROM commerce_private.coupon_quota;
\ir vacuum.sql
