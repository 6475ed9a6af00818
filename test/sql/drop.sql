-- DROP EXTENSION leaves nothing behind, and the extension can come again, in the same session too.
\set SHOW_CONTEXT never

CREATE FUNCTION pg_temp.trade() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	buyer bigint := commerce.create_user('Kim', 'drop@example.com');
	cup bigint := commerce.create_product(NULL, 'cup', 100, 2);
	coupon bigint := commerce.create_coupon('c', 'FIXED', 10, 1, valid_days => 1);
	issue bigint;
	amount bigint;
BEGIN
	PERFORM commerce.charge_balance(buyer, 10000, 'key');
	issue := (commerce.claim_coupon(buyer, coupon)).id;
	amount := (commerce.place_order(buyer, jsonb_build_array(jsonb_build_object('product_id', cup, 'quantity', 2)), ARRAY[issue], 'key')).payment_amount;
	PERFORM commerce.refresh_popular_products();
	PERFORM commerce.fold();
	RETURN format('paid %s, %s left', amount, commerce.available_stock(cup));
END
$$;
DROP EXTENSION commerce;
CREATE EXTENSION commerce;
SELECT pg_temp.trade();
SELECT * FROM commerce.check_invariants();
DROP EXTENSION commerce;

-- nothing is left, no schema either
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'commerce%';
SELECT proname FROM pg_proc WHERE probin LIKE '%commerce%';
SELECT classoid::regclass FROM pg_init_privs i WHERE privtype = 'e' AND classoid = 'pg_class'::regclass AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = i.objoid);
SELECT evtname FROM pg_event_trigger WHERE evtname LIKE '%commerce%';
SELECT rolname FROM pg_roles WHERE rolname LIKE 'commerce%';

-- and again, with the plans that this session has kept of the first
CREATE EXTENSION commerce;
SELECT pg_temp.trade();
SELECT * FROM commerce.check_invariants();
-- ids begin anew, and so does all that was known
SELECT count(*), max(id) FROM commerce.users;
SELECT count(*), max(era) > 0 AS has_era FROM commerce_private.origin;
DROP EXTENSION commerce;

-- a schema that is there already is not taken over
CREATE SCHEMA commerce;
CREATE EXTENSION commerce;
DROP SCHEMA commerce;
CREATE SCHEMA commerce_api;
CREATE EXTENSION commerce;
DROP SCHEMA commerce_api;
CREATE EXTENSION commerce;
