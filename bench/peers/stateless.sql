-- The usual stateless application's tables. Its stock is in Redis.
CREATE TABLE users (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL,
	balance bigint NOT NULL CHECK (balance >= 0)
);
CREATE TABLE products (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	seller_id bigint NOT NULL,
	name text NOT NULL,
	price bigint NOT NULL CHECK (price >= 0)
);
CREATE SEQUENCE order_ids INCREMENT 100;
CREATE TABLE orders (
	id bigint PRIMARY KEY,
	user_id bigint NOT NULL REFERENCES users,
	status text NOT NULL,
	total bigint NOT NULL CHECK (total >= 0),
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON orders (user_id);
CREATE TABLE order_items (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id bigint NOT NULL REFERENCES orders,
	product_id bigint NOT NULL REFERENCES products,
	seller_id bigint NOT NULL,
	product_name text NOT NULL,
	quantity bigint NOT NULL CHECK (quantity > 0),
	price bigint NOT NULL
);
CREATE INDEX ON order_items (order_id);
CREATE INDEX ON order_items (product_id);
CREATE TABLE payments (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id bigint NOT NULL REFERENCES orders,
	amount bigint NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON payments (order_id);
CREATE TABLE balance_entries (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id bigint NOT NULL REFERENCES users,
	order_id bigint REFERENCES orders,
	amount bigint NOT NULL,
	balance_after bigint NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON balance_entries (user_id);
CREATE TABLE outbox (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	type text NOT NULL,
	order_id bigint NOT NULL,
	payload jsonb NOT NULL
);

INSERT INTO users (name, balance) SELECT 'user ' || n, 1000000000000 FROM generate_series(1, 1000) n;
INSERT INTO products (seller_id, name, price) SELECT n % 100 + 1, 'product ' || n, 100 FROM generate_series(1, 1000) n;
VACUUM ANALYZE users, products;
