-- role: postgres
-- A DBA's trigger that calls functions of commerce_api while one is under way.

\ir api_helpers.psql
SELECT no_plan();

-- What a call runs by is forgotten when any function of the database changes; the call under way goes on.
CREATE FUNCTION tap.change_functions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	CREATE OR REPLACE FUNCTION tap.changed() RETURNS int LANGUAGE sql AS 'SELECT 1';
	PERFORM commerce_api.create_order_sheet('{"items": [{"product_id": 1, "quantity": 1}]}');
	-- what was freed has other contents by now
	PERFORM commerce_api.get_product(product_id => '1'), commerce_api.get_balance(), commerce_api.usable_coupons();
	RETURN NULL;
END
$$;
CREATE TRIGGER dba_nested AFTER INSERT ON commerce.orders FOR EACH ROW EXECUTE FUNCTION tap.change_functions();
SELECT is(r.status, 201, format('order %s by way of a trigger that changes a function and calls the API', n)), is(r.details, NULL, 'no error'),
	   is(r.headers->>'Location', '/rpc/get_order?order_id=' || n, 'has its Location'), is(jsonb_array_length(r.data->'items'), 1, 'and its items')
FROM generate_series(1, 3) n, tap.http('buyer 1', 'place_order', jsonb_build_object('items', jsonb_build_array(jsonb_build_object('product_id', 2, 'quantity', n)))) r;
DROP TRIGGER dba_nested ON commerce.orders;
SELECT is(balance, 10000000 - 6 * 8000::bigint, 'each was paid once') FROM commerce.get_balance(1);
SELECT is(count(*), 3::bigint, 'each made its sheet') FROM commerce.order_sheets;

-- So with more ways to leave out arguments than are kept of one function.
CREATE FUNCTION tap.make_many() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	optional text[] := '{description,category,discount,shipping_fee,max_per_order,seller_id}';
	given jsonb;
BEGIN
	IF pg_trigger_depth() = 1 THEN
		FOR mask IN 0 .. 63 LOOP
			SELECT jsonb_object_agg(o.name, CASE WHEN n <= 2 THEN '"x"'::jsonb ELSE '1' END) INTO given
			FROM unnest(optional) WITH ORDINALITY o (name, n) WHERE mask & (1 << n::int - 1) <> 0;
			PERFORM commerce_api.create_product(coalesce(given, '{}') || '{"name": "jug", "price": 100, "stock": 1}');
		END LOOP;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER dba_nested AFTER INSERT ON commerce.products FOR EACH ROW EXECUTE FUNCTION tap.make_many();
SELECT is(r.status, 201, 'a product by way of a trigger that makes others in 64 ways'), is(r.data->>'product_id', '6', 'is answered'), is(r.details, NULL, 'no error')
FROM tap.http('admin 5', 'create_product', '{"name": "pot", "price": 100, "stock": 1, "shipping_fee": 3000}') r;
SELECT is(count(*), 64::bigint, 'all are made') FROM commerce.products WHERE name = 'jug';
DROP TRIGGER dba_nested ON commerce.products;

-- What is answered is the call's own: a charge below that is a replay, and a response below, are not its.
SELECT commerce.charge_balance(1, 1000, 'bonus') \g /dev/null
CREATE FUNCTION tap.charge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM commerce.charge_balance(1, 1000, 'bonus');
	RETURN NULL;
END
$$;
CREATE TRIGGER dba_nested AFTER INSERT ON commerce.orders FOR EACH ROW EXECUTE FUNCTION tap.charge();
CREATE TRIGGER dba_nested AFTER INSERT ON commerce_private.idempotency_keys FOR EACH ROW EXECUTE FUNCTION tap.charge();
SELECT is(r.headers->'Idempotent-Replayed', NULL, 'a new order is not a replay because a trigger''s charge is'), is(r.status, 202, 'and says so'),
	   is(r.headers->>'Location', '/rpc/get_order?order_id=4', 'and where it is')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}], "payment_method": "EXTERNAL"}', '{"idempotency-key": "order"}') r;
SELECT is(r.headers->>'Idempotent-Replayed', 'true', 'the same order again is a replay'), is(r.status, 202, 'answered as then'),
	   is(r.headers->>'Location', '/rpc/get_order?order_id=4', 'with its Location'), is(r.data->>'id', '4', 'and answers the order')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}], "payment_method": "EXTERNAL"}', '{"idempotency-key": "order"}') r;
DROP TRIGGER dba_nested ON commerce.orders;
DROP TRIGGER dba_nested ON commerce_private.idempotency_keys;

CREATE FUNCTION tap.claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM commerce_api.claim_coupon('{"coupon_id": 1}');
	RETURN NULL;
END
$$;
CREATE TRIGGER dba_nested AFTER INSERT ON commerce.balance_entries FOR EACH ROW EXECUTE FUNCTION tap.claim();
SELECT is(r.status, 200, 'a charge by way of a trigger that claims a coupon makes nothing'), is(r.headers->'Location', NULL, 'nowhere'),
	   is(r.headers->>'Vary', 'Accept-Language', 'and has its headers')
FROM tap.http('buyer 2', 'charge_balance', '{"amount": 1000}') r;
SELECT is(count(*), 1::bigint, 'the coupon is claimed') FROM commerce.coupon_issues WHERE user_id = 2;
DROP TRIGGER dba_nested ON commerce.balance_entries;

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT * FROM finish();
