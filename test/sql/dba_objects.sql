-- A DBA's triggers and constraints on tables that are written without the executor.
\set SHOW_CONTEXT never
\set VERBOSITY terse

CREATE TABLE public.seen (n int GENERATED ALWAYS AS IDENTITY, what text);
CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.seen (what)
	VALUES (format('%s %s %s: %s items seen', TG_WHEN, TG_OP, regexp_replace(TG_TABLE_NAME, '\d+', 'N'), (SELECT count(*) FROM commerce.order_items WHERE product_name LIKE 'dba%')));
	RETURN NEW;
END
$$;
CREATE TRIGGER dba_before BEFORE INSERT ON commerce.orders FOR EACH ROW EXECUTE FUNCTION public.see();
CREATE TRIGGER dba_after AFTER INSERT ON commerce.order_items FOR EACH ROW EXECUTE FUNCTION public.see();
CREATE TRIGGER dba_when AFTER INSERT ON commerce.order_items FOR EACH ROW WHEN (NEW.quantity > 1) EXECUTE FUNCTION public.see();
CREATE CONSTRAINT TRIGGER dba_deferred AFTER INSERT ON commerce.stock_entries DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION public.see();
CREATE TRIGGER dba_outbox AFTER INSERT ON commerce.outbox FOR EACH ROW EXECUTE FUNCTION public.see();
CREATE TRIGGER dba_disabled AFTER INSERT ON commerce.payments FOR EACH ROW EXECUTE FUNCTION public.see();
ALTER TABLE commerce.payments DISABLE TRIGGER dba_disabled;

SELECT commerce.create_user('Kim', 'triggers@example.com') AS kim \gset
SELECT commerce.create_product(NULL, 'dba cup', 100, 10) AS cup \gset
SELECT commerce.create_product(NULL, 'dba pot', 100, 10) AS pot \gset
SELECT commerce.charge_balance(:kim, 10000) IS NOT NULL AS charged;
TRUNCATE public.seen RESTART IDENTITY;
BEGIN;
SELECT payment_amount FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1},{"product_id":%s,"quantity":2}]', :cup, :pot)::jsonb);
SELECT what, count(*) FROM public.seen GROUP BY 1 ORDER BY min(n);
TRUNCATE public.seen;
COMMIT;
SELECT what, count(*) FROM public.seen GROUP BY 1 ORDER BY min(n);

-- one that changes a row, and one that refuses it
CREATE FUNCTION public.rename() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.product_name := upper(NEW.product_name);
	RETURN NEW;
END
$$;
CREATE TRIGGER dba_rename BEFORE INSERT ON commerce.order_items FOR EACH ROW EXECUTE FUNCTION public.rename();
SELECT id AS o FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb) \gset
SELECT product_name FROM commerce.order_items WHERE order_id = :o;
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'not today';
END
$$;
CREATE TRIGGER dba_refuse AFTER INSERT ON commerce.payments FOR EACH ROW EXECUTE FUNCTION public.refuse();
SELECT commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
DROP TRIGGER dba_refuse ON commerce.payments;
SELECT commerce.available_stock(:cup);

-- a constraint that is added, in a session that has written to the table before, and taken away again
ALTER TABLE commerce.order_items ADD CONSTRAINT dba_check CHECK (quantity <= 3);
SELECT commerce.place_order(:kim, format('[{"product_id":%s,"quantity":4}]', :cup)::jsonb);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE commerce.order_items DROP CONSTRAINT dba_check;
SELECT payment_amount FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":4}]', :cup)::jsonb);
-- so with a column, and with an index that is unique
ALTER TABLE commerce.orders ADD COLUMN channel text;
SELECT payment_amount, channel FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
SELECT a.id = b.id AS replayed
FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb, idempotency_key => 'column') a,
	commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb, idempotency_key => 'column') b;
ALTER TABLE commerce.orders DROP COLUMN channel;
-- with a default, also one that is changed, in a column that must not be null
SELECT commerce.adjust_stock(:cup, 10) AS cups;
ALTER TABLE commerce.orders ADD COLUMN channel text NOT NULL DEFAULT 'web';
SELECT payment_amount, channel FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
ALTER TABLE commerce.orders ALTER COLUMN channel SET DEFAULT 'shop of ' || current_database();
SELECT payment_amount, channel = 'shop of ' || current_database() AS changed
FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
ALTER TABLE commerce.orders ALTER COLUMN channel DROP DEFAULT;
SELECT commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE commerce.orders DROP COLUMN channel;
-- or that is a domain's, as the domain is now
CREATE DOMAIN public.channel AS text DEFAULT 'web';
ALTER TABLE commerce.orders ADD COLUMN channel public.channel;
SELECT payment_amount, channel FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
ALTER DOMAIN public.channel SET DEFAULT 'shop';
SELECT payment_amount, channel FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
ALTER DOMAIN public.channel ADD CONSTRAINT dba_long CHECK (length(VALUE) > 4) NOT VALID;
SELECT payment_amount, channel FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE commerce.orders DROP COLUMN channel;
DROP DOMAIN public.channel;
-- with indexes of rows in which a column is null, or is not, and of which something else is true
SELECT commerce.adjust_stock(:cup, 20) AS cups;
CREATE UNIQUE INDEX dba_one ON commerce.orders (user_id) WHERE recipient_memo IS NULL AND payment_method = 'EXTERNAL';
CREATE UNIQUE INDEX dba_said ON commerce.orders (recipient_memo) WHERE recipient_memo IS NOT NULL;
CREATE FUNCTION pg_temp.order_cup(buyer bigint, cup bigint, memo text, method commerce.payment_method) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	index text;
BEGIN
	RETURN (commerce.place_order(buyer, format('[{"product_id":%s,"quantity":1}]', cup)::jsonb, payment_method => method, delivery => jsonb_build_object('memo', memo))).status;
EXCEPTION WHEN unique_violation THEN
	GET STACKED DIAGNOSTICS index = CONSTRAINT_NAME;
	RETURN index;
END
$$;
SELECT n, pg_temp.order_cup(:kim, :cup, memo, method::commerce.payment_method) AS placed
FROM (VALUES (1, NULL, 'EXTERNAL'), (2, NULL, 'EXTERNAL'), (3, 'at the door', 'EXTERNAL'), (4, 'ring', 'EXTERNAL'), (5, 'ring', 'BALANCE'), (6, NULL, 'BALANCE')) v (n, memo, method) ORDER BY n;
DROP INDEX commerce.dba_one, commerce.dba_said;
-- and with a foreign key to a table that is not commerce's
CREATE TABLE public.channels (name text PRIMARY KEY);
ALTER TABLE commerce.orders ADD COLUMN channel text REFERENCES public.channels;
ALTER TABLE commerce.orders ALTER COLUMN channel SET DEFAULT 'web';
SELECT commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO public.channels VALUES ('web');
SELECT payment_amount, channel FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
ALTER TABLE commerce.orders DROP COLUMN channel;
DROP TABLE public.channels;
-- so with one of a column that commerce does not write, and to a table that only its schema has
ALTER TABLE commerce.orders ADD COLUMN agent_id bigint REFERENCES commerce.users;
ALTER TABLE commerce.orders ALTER COLUMN agent_id SET DEFAULT -1;
SELECT commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE commerce.orders DROP COLUMN agent_id;
CREATE TABLE commerce.dba_buyers (id bigint PRIMARY KEY);
ALTER TABLE commerce.orders ADD CONSTRAINT dba_buyer FOREIGN KEY (user_id) REFERENCES commerce.dba_buyers NOT VALID;
SELECT commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO commerce.dba_buyers VALUES (:kim);
SELECT payment_amount FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
ALTER TABLE commerce.orders DROP CONSTRAINT dba_buyer;
DROP TABLE commerce.dba_buyers;
-- a trigger that is called like one of commerce's
TRUNCATE public.seen;
CREATE TRIGGER gate_write AFTER INSERT ON commerce.payments FOR EACH ROW EXECUTE FUNCTION public.see();
SELECT payment_amount FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
DROP TRIGGER gate_write ON commerce.payments;
SELECT what FROM public.seen WHERE what LIKE '%payments%';
-- a function in a constraint that is replaced by another
CREATE FUNCTION public.few(bigint) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 1000';
ALTER TABLE commerce.order_items ADD CONSTRAINT dba_few CHECK (public.few(quantity)) NOT VALID;
SELECT payment_amount FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
CREATE OR REPLACE FUNCTION public.few(bigint) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 1';
SELECT payment_amount FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE commerce.order_items DROP CONSTRAINT dba_few;
DROP FUNCTION public.few;
-- functions that say that they are immutable are called while a table's definition is compiled: one that
-- writes to the same table, and one that changes what has been compiled by then
CREATE FUNCTION public.meddle() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	meddling text := current_setting('dba.meddling', true);
BEGIN
	PERFORM set_config('dba.meddling', '', false);
	IF meddling = 'write' THEN
		PERFORM commerce.charge_balance((SELECT id FROM commerce.users WHERE email = 'meddler@example.com'), 100);
	ELSIF meddling = 'change' THEN
		CREATE OR REPLACE FUNCTION public.few(bigint) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 1000';
	END IF;
END
$$;
CREATE FUNCTION public.channel() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM public.meddle();
	RETURN 'web';
END
$$;
CREATE FUNCTION public.few(bigint) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 1000000';
SELECT commerce.create_user('Meddler', 'meddler@example.com') AS meddler \gset
ALTER TABLE commerce.balance_entries ADD CONSTRAINT dba_few CHECK (public.few(amount)) NOT VALID;
ALTER TABLE commerce.balance_entries ADD COLUMN channel text DEFAULT public.channel();
SET dba.meddling = 'write';
SELECT balance FROM commerce.charge_balance(:kim, 1000);
SELECT payment_amount FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
SELECT balance FROM commerce.charge_balance(:meddler, 1000);
SELECT user_id = :kim AS kim, amount, channel FROM commerce.balance_entries WHERE user_id = :meddler OR user_id = :kim AND amount = 1000 ORDER BY user_id, number;
CREATE OR REPLACE FUNCTION public.few(bigint) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 < 1000000';
SET dba.meddling = 'change';
BEGIN;
SELECT balance FROM commerce.charge_balance(:meddler, 100);
SELECT balance FROM commerce.charge_balance(:meddler, 1000);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
ALTER TABLE commerce.balance_entries DROP CONSTRAINT dba_few, DROP COLUMN channel;
DROP FUNCTION public.few, public.channel, public.meddle;
-- a trigger that keeps rows out
CREATE FUNCTION public.keep_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER dba_keep_out BEFORE INSERT ON commerce.orders FOR EACH ROW EXECUTE FUNCTION public.keep_out();
SELECT commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER dba_keep_out ON commerce.orders;
CREATE TRIGGER dba_keep_out BEFORE UPDATE ON commerce.users FOR EACH ROW EXECUTE FUNCTION public.keep_out();
SELECT commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
\echo :LAST_ERROR_SQLSTATE
SELECT commerce.charge_balance(:kim, 1000);
\echo :LAST_ERROR_SQLSTATE
DROP FUNCTION public.keep_out() CASCADE;
-- one before a user's row changes, which the command that charges has written itself
CREATE FUNCTION public.let() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER dba_let BEFORE UPDATE ON commerce.users FOR EACH ROW EXECUTE FUNCTION public.let();
WITH inserted AS (INSERT INTO commerce.users (name) VALUES ('Charged at once') RETURNING id)
SELECT balance FROM inserted, commerce.charge_balance(inserted.id, 1000);
WITH changed AS (UPDATE commerce.users SET phone = '1' WHERE name = 'Charged at once' RETURNING id)
SELECT balance FROM changed, commerce.charge_balance(changed.id, 1000);
-- one that changes what entries and events tell of, and one that changes something else
CREATE OR REPLACE FUNCTION public.let() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
SELECT commerce.charge_balance(:kim, 1000);
\echo :LAST_ERROR_SQLSTATE
CREATE OR REPLACE FUNCTION public.let() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id := -1; RETURN NEW; END';
SELECT commerce.charge_balance(:kim, 1000);
\echo :LAST_ERROR_SQLSTATE
CREATE OR REPLACE FUNCTION public.let() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.updated_at := ''2000-01-01''; RETURN NEW; END';
BEGIN;
SELECT commerce.charge_balance(:kim, 1000) IS NOT NULL AS charged;
SELECT updated_at = '2000-01-01' AS by_trigger FROM commerce.users WHERE id = :kim;
ROLLBACK;
DROP FUNCTION public.let() CASCADE;
-- a check, a column that is computed and an index of a DBA's follow a balance that changes
ALTER TABLE commerce.users ADD COLUMN rich boolean GENERATED ALWAYS AS (balance > 500000) STORED, ADD CONSTRAINT dba_cap CHECK (balance < 5000000);
CREATE INDEX dba_rich ON commerce.users ((balance / 1000)) WHERE rich;
BEGIN;
SELECT balance FROM commerce.charge_balance(:kim, 600000);
SET LOCAL enable_seqscan = off;
SELECT rich, (SELECT count(*) FROM commerce.users WHERE rich AND balance / 1000 >= 500) AS by_index FROM commerce.users WHERE id = :kim;
SELECT commerce.charge_balance(:kim, 4900000);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
ALTER TABLE commerce.users DROP COLUMN rich, DROP CONSTRAINT dba_cap;
-- so does a partial index without one
CREATE INDEX dba_rich ON commerce.users ((balance / 1000)) WHERE balance > 500000;
BEGIN;
SELECT balance FROM commerce.charge_balance(:kim, 600000);
SET LOCAL enable_seqscan = off;
SELECT count(*) AS by_index FROM commerce.users WHERE balance > 500000 AND balance / 1000 = 609;
ROLLBACK;
DROP INDEX commerce.dba_rich;
SELECT payment_amount FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb);
CREATE UNIQUE INDEX dba_unique ON commerce.order_items (product_id) WHERE product_id = :pot AND quantity = 5;
SELECT payment_amount FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":5}]', :pot)::jsonb);
SELECT commerce.adjust_stock(:pot, 10);
SELECT commerce.place_order(:kim, format('[{"product_id":%s,"quantity":5}]', :pot)::jsonb);
\echo :LAST_ERROR_SQLSTATE
SELECT commerce.available_stock(:pot);
SELECT * FROM commerce.check_invariants();

DROP INDEX commerce.dba_unique;
DROP TRIGGER dba_before ON commerce.orders;
DROP TRIGGER dba_after ON commerce.order_items;
DROP TRIGGER dba_when ON commerce.order_items;
DROP TRIGGER dba_rename ON commerce.order_items;
DROP TRIGGER dba_deferred ON commerce.stock_entries;
DROP TRIGGER dba_outbox ON commerce.outbox;
DROP TRIGGER dba_disabled ON commerce.payments;
DROP FUNCTION public.see(), public.rename(), public.refuse();
DROP TABLE public.seen;
