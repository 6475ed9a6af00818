-- role: postgres
-- Idempotency-Key over REST, beside what api_answers.sql does with every function.

\ir api_helpers.psql
SELECT no_plan();

-- the key's form, of every function from the catalog
CREATE TABLE tap.mine AS
	SELECT e.name, e.keyed, e.example, CASE WHEN 'BUYER' = ANY (e.roles) THEN 'buyer 1' WHEN 'SELLER' = ANY (e.roles) THEN 'seller 3' ELSE 'admin 5' END AS caller
	FROM commerce_private.api_endpoints e WHERE NOT e.reads;
SELECT is(r.details::jsonb->>'argument', CASE WHEN m.keyed THEN 'idempotency_key' END, format('%s with a key of %s characters', m.name, length(k.key)))
FROM tap.mine m CROSS JOIN (VALUES (repeat('가', 256)), (repeat('x', 1000))) k (key)
CROSS JOIN LATERAL (SELECT (tap.http(m.caller, m.name, m.example, jsonb_build_object('idempotency-key', k.key))).* WHERE m.keyed) r;
SELECT isnt(r.details::jsonb->>'argument', 'idempotency_key', m.name || ' ignores a key')
FROM tap.mine m CROSS JOIN LATERAL tap.http(m.caller, m.name, m.example || '{"unknown": 1}', jsonb_build_object('idempotency-key', repeat('x', 1000))) r WHERE NOT m.keyed;
SELECT is(r.status, 201, format('a key of %s characters: %s', length(k), to_json(left(k, 1))))
FROM unnest(ARRAY[repeat('x', 255), repeat('가', 255), ' ', E'\n', '''";--']) AS k, tap.http('buyer 1', 'create_order_sheet', '{"items": [{"product_id": 1, "quantity": 1}]}', jsonb_build_object('idempotency-key', k)) r;

-- The stored answer is of its time and language; the key with another request is refused, by whatever name.
CREATE TABLE tap.first AS SELECT r.* FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 2}], "delivery": {"name": "Kim", "address": "Seoul"}}', '{"idempotency-key": "k", "accept-language": "ko"}') r;
SELECT is(f.status, 201, 'an order'), is(f.body->>'message', '요청에 성공했습니다.', 'in Korean'), is(f.headers->'Idempotent-Replayed', NULL, 'is no replay') FROM tap.first f;
SELECT is(r.data->>'status', 'PARTIALLY_CANCELLED', 'it is cancelled in part') FROM tap.first f, tap.http('buyer 1', 'cancel_order_item', jsonb_build_object('order_item_id', f.data->'items'->0->'id', 'quantity', 1), '{"idempotency-key": "k"}') r;
UPDATE commerce.products SET name = 'goblet' WHERE id = 2;
SELECT is(r.told, f.told, 'the order again is the first answer, byte for byte'), is(r.status, 201, 'with its status'), is(r.headers, f.headers || '{"Idempotent-Replayed": "true"}', 'and headers')
FROM tap.first f, tap.http('buyer 1', 'place_order', '{"delivery": {"address": "Seoul", "name": "Kim"}, "items": [{"quantity": 2, "product_id": 2}]}', '{"idempotency-key": "k", "accept-language": "en"}') r;
SELECT is(r.data->'items'->0->>'status', 'PREPARING', 'get_order tells the present') FROM tap.first f, tap.http('buyer 1', 'get_order', jsonb_build_object('order_id', f.data->>'id')) r WHERE jsonb_array_length(r.data->'items') = 2;
SELECT is(r.status, 422, 'the key with another order'), is(r.code, 'IDEMPOTENCY_KEY_REUSED', 'says so'), is(r.details::jsonb, '{"key": "k"}', 'and which')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 3}]}', '{"idempotency-key": "k"}') r;
SELECT is(r.code, 'INVALID_REQUEST', 'what is malformed is told first') FROM tap.http('buyer 1', 'place_order', '{"items": [], "payment_method": 5}', '{"idempotency-key": "k"}') r;
SELECT is(r.status, 201, 'the key is the caller''s own'), is(r.headers->'Idempotent-Replayed', NULL, 'and another''s order')
FROM tap.http('buyer 2', 'place_order', '{"items": [{"product_id": 2, "quantity": 3}]}', '{"idempotency-key": "k"}') r;
SELECT refuses($$SELECT commerce.place_order(1, '[{"product_id": 2, "quantity": 2}]', idempotency_key => 'k')$$, 'IDEMPOTENCY_KEY_REUSED', 'a key of REST is not used for an order in SQL');
SELECT is((commerce.place_order(1, '[{"product_id": 2, "quantity": 1}]', idempotency_key => 'sql')).user_id, 1::bigint, 'an order in SQL');
SELECT is(r.code, 'IDEMPOTENCY_KEY_REUSED', 'nor the other way round') FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}]}', '{"idempotency-key": "sql"}') r;
SELECT is(count(*), 1::bigint, 'one call leaves one record') FROM commerce_private.idempotency_keys WHERE scope = 'user:2';

-- errors are not stored
SELECT is(r.code, 'STOCK_NOT_ENOUGH', 'an order that fails') FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 1, "quantity": 101}]}', '{"idempotency-key": "again"}') r;
SELECT is_empty($$SELECT FROM commerce_private.idempotency_keys WHERE key = 'again'$$, 'leaves no key');
SELECT commerce.adjust_stock(1, 1) \g /dev/null
SELECT is(r.status, 201, 'and succeeds later') FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 1, "quantity": 101}]}', '{"idempotency-key": "again"}') r;

-- a replay answers also what could not be done any more
SELECT commerce.set_user_status(1, 'SUSPENDED') \g /dev/null
SELECT is(r.told, f.told, 'a suspended buyer hears of his order')
FROM tap.first f, tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 2}], "delivery": {"name": "Kim", "address": "Seoul"}}', '{"idempotency-key": "k"}') r;
SELECT commerce.set_user_status(1, 'ACTIVE') \g /dev/null
CREATE TABLE tap.sheet AS SELECT r.data->'id' AS id FROM tap.http('buyer 1', 'create_order_sheet', '{"items": [{"product_id": 3, "quantity": 1}]}') r;
CREATE TABLE tap.sheet_order AS SELECT r.* FROM tap.sheet s, tap.http('buyer 1', 'place_sheet_order', jsonb_build_object('order_sheet_id', s.id), '{"idempotency-key": "s"}') r;
DELETE FROM commerce.order_sheets WHERE id = (SELECT (s.id #>> '{}')::uuid FROM tap.sheet s);
SELECT is(r.told, o.told, 'the order of a sheet that has been cleaned away since, too')
FROM tap.sheet s, tap.sheet_order o, tap.http('buyer 1', 'place_sheet_order', jsonb_build_object('order_sheet_id', s.id), '{"idempotency-key": "s"}') r;

-- kept for 24 hours; those of charges for good, whose answer is then made anew
CREATE TABLE tap.charged AS SELECT r.* FROM tap.http('buyer 2', 'charge_balance', '{"amount": 1000}', '{"idempotency-key": "c"}') r;
UPDATE commerce_private.idempotency_keys SET created_at = now() - interval '24 hours 1 second' WHERE key IN ('c', 's');
SELECT commerce.charge_balance(2, 500) \g /dev/null
SELECT is(r.told, c.told, 'a day later it is the same charge'), is(r.headers->>'Idempotent-Replayed', 'true', 'and a replay')
FROM tap.charged c, tap.http('buyer 2', 'charge_balance', '{"amount": 1000}', '{"idempotency-key": "c"}') r;
SELECT is(r.code, 'IDEMPOTENCY_KEY_REUSED', 'and of its amount') FROM tap.http('buyer 2', 'charge_balance', '{"amount": 2000}', '{"idempotency-key": "c"}') r;
SELECT is(r.status, 404, 'any other key is new') FROM tap.sheet s, tap.http('buyer 1', 'place_sheet_order', jsonb_build_object('order_sheet_id', s.id), '{"idempotency-key": "s"}') r;
SELECT is(commerce.purge_idempotency_keys(), 1, 'and is purged');
SET commerce.direct_charge = off;
CREATE TABLE tap.asked AS SELECT r.* FROM tap.http('buyer 2', 'charge_balance', '{"amount": 3000}', '{"idempotency-key": "a"}') r;
SELECT commerce.confirm_charge((a.data->>'id')::bigint, true, 'e') FROM tap.asked a \g /dev/null
SELECT is(r.told, a.told, 'a charge that was asked for is answered as it was then'), is(r.status, 202, 'with its status'), is(r.headers->>'Location', '/payments?id=eq.' || (a.data->>'id'), 'and Location')
FROM tap.asked a, tap.http('buyer 2', 'charge_balance', '{"amount": 3000}', '{"idempotency-key": "a"}') r;
UPDATE commerce_private.idempotency_keys SET created_at = now() - interval '24 hours 1 second';
SELECT is(r.data->>'id', a.data->>'id', 'a day later it is the same payment'), is(r.data->>'status', 'COMPLETED', 'as it is now'), is(r.headers->>'Idempotent-Replayed', 'true', 'and a replay')
FROM tap.asked a, tap.http('buyer 2', 'charge_balance', '{"amount": 3000}', '{"idempotency-key": "a"}') r;
RESET commerce.direct_charge;

-- the key is the call's, and not that of a call that a trigger makes
CREATE FUNCTION tap.nested() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		PERFORM commerce_api.place_order('{"items": [{"product_id": 3, "quantity": 1}]}');
		PERFORM commerce_api.charge_balance('{"amount": 100}');
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER dba_nested AFTER INSERT ON commerce.orders FOR EACH ROW EXECUTE FUNCTION tap.nested();
CREATE TABLE tap.outer AS SELECT r.* FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}]}', '{"idempotency-key": "nested"}') r;
SELECT is(r.told, o.told, 'a call that makes others by a trigger'), is(o.data->'items'->0->>'product_id', '2', 'has its own answer stored')
FROM tap.outer o, tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}]}', '{"idempotency-key": "nested"}') r;
SELECT is((SELECT count(*) FROM commerce_private.idempotency_keys WHERE key = 'nested'), 1::bigint, 'once'), is((SELECT count(*) FROM commerce.balance_entries WHERE reference = 'nested'), 0::bigint, 'and no charge has its key');
DROP TRIGGER dba_nested ON commerce.orders;

-- who is erased is in no stored answer, whoever it was for; others' stay
SELECT commerce.create_user('Old', 'old@example.com') AS old, commerce.create_user('Sho', 'sho@example.com') AS other \gset
SELECT commerce.charge_balance(u.id, 5000) FROM (VALUES (:old), (:other)) u (id) \g /dev/null
SELECT commerce.place_order(u.id, '[{"product_id": 3, "quantity": 1}]', delivery => '{"name": "Oldman", "address": "Busan"}') FROM (VALUES (:old), (:other)) u (id) \g /dev/null
SELECT is((tap.http(c.caller, c.called, replace(replace(c.body, ':user', b.user_id::text), ':item', b.item_id::text)::jsonb, jsonb_build_object('idempotency-key', 'erase ' || b.user_id))).code, 'SUCCESS', format('%s: %s', c.caller, c.called))
FROM (SELECT o.user_id, i.id AS item_id FROM commerce.orders o JOIN commerce.order_items i ON i.order_id = o.id WHERE o.recipient_name = 'Oldman') b CROSS JOIN (VALUES
	(1, 'admin 5', 'update_user', '{"user_id": :user, "phone": "010-9"}'),
	(2, 'seller 4', 'cancel_order_item', '{"order_item_id": :item, "quantity": 1}'),
	(3, 'admin 5', 'adjust_balance', '{"user_id": :user, "amount": -5000, "note": "paid out"}')) c (n, caller, called, body) ORDER BY c.n;
SELECT is((SELECT count(*) FROM commerce_private.idempotency_keys k WHERE k.key = 'erase ' || u.id), 3::bigint, 'answers about ' || u.id) FROM (VALUES (:old), (:other)) u (id);
SELECT is(r.code, 'SUCCESS', 'one is erased') FROM tap.http('admin 5', 'erase_user', jsonb_build_object('user_id', :old)) r;
SELECT is_empty(format('SELECT FROM commerce_private.idempotency_keys k WHERE k.key = %L', 'erase ' || :old), 'answers about the erased are gone');
SELECT is((SELECT count(*) FROM commerce_private.idempotency_keys k WHERE k.key = 'erase ' || :other), 3::bigint, 'others are there');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
