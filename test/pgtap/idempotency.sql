-- Idempotency: a key does its work once.
-- role: postgres
-- Postgres only moves clocks by hand; everything else is done as shop.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT commerce.create_product(NULL, 'cup', 1000, 100) AS cup \gset
SELECT commerce.create_product(NULL, 'pot', 3000, 100) AS pot \gset
SELECT * FROM commerce.charge_balance(:lee, 100000) \g /dev/null

-- charge_balance
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 50000, ''a'')', :kim), format('VALUES (%s::bigint, 50000::bigint)', :kim), 'the first call charges');
SELECT books() AS before \gset
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 50000, ''a'')', :kim), format('VALUES (%s::bigint, 50000::bigint)', :kim), 'the second gets the first''s result');
SELECT is(books(), :'before'::jsonb, 'and does nothing');
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 10000, ''b'')', :kim), format('VALUES (%s::bigint, 60000::bigint)', :kim), 'another key charges again');
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 50000, ''a'')', :kim), format('VALUES (%s::bigint, 50000::bigint)', :kim), 'a stored result is of its time');
SELECT refuses(format('SELECT commerce.charge_balance(%s, 50100, ''a'')', :kim), 'IDEMPOTENCY_KEY_REUSED', 'the key with another amount');
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 50000, ''a'')', :lee), format('VALUES (%s::bigint, 150000::bigint)', :lee), 'a key is its user''s own');
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 100)', :kim), format('VALUES (%s::bigint, 60100::bigint)', :kim), 'a call without a key charges');
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 100)', :kim), format('VALUES (%s::bigint, 60200::bigint)', :kim), 'every time');
SELECT is((SELECT count(*) FROM commerce.balance_entries WHERE user_id = :kim AND amount = 50000), 1::bigint, 'one entry for one key');

-- place_order
SELECT id AS o FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1},{"product_id":%s,"quantity":2}]', :cup, :pot)::jsonb, idempotency_key => 'a') \gset
SELECT books() AS before \gset
SELECT is(r, (SELECT o FROM commerce.orders o WHERE id = :o), 'a repeated order is the first order''s row')
FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1},{"product_id":%s,"quantity":2}]', :cup, :pot)::jsonb, idempotency_key => 'a') r;
SELECT is((r).id, :o::bigint, 'also when its lines come in another order, split and with exponents')
FROM commerce.place_order(:kim, format('[{"quantity":1,"product_id":%s},{"product_id":%s,"quantity":1e0,"coupon_issue_id":null},{"product_id":%1$s,"quantity":1}]', :pot, :cup)::jsonb, '{}', 'a') r;
SELECT is((r).id, :o::bigint, 'and coupons are NULL instead of none')
FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1},{"product_id":%s,"quantity":2}]', :cup, :pot)::jsonb, NULL, 'a') r;
SELECT is(books(), :'before'::jsonb, 'nothing is done twice');
SELECT refuses(format('SELECT commerce.place_order(%s, %L, %L, ''a'', %L)', :kim, replace(replace(items, ':cup', :'cup'), ':pot', :'pot'), coupons, method), 'IDEMPOTENCY_KEY_REUSED', what)
FROM (VALUES ('[{"product_id":pot,"quantity":2}]', '{}', 'BALANCE', 'the key with a line less'), ('[{"product_id":cup,"quantity":2},{"product_id":pot,"quantity":2}]', '{}', 'BALANCE', 'with another quantity'),
	('[{"product_id":cup,"quantity":1},{"product_id":pot,"quantity":2,"coupon_issue_id":1}]', '{}', 'BALANCE', 'with a line''s coupon'),
	('[{"product_id":cup,"quantity":1},{"product_id":pot,"quantity":2}]', '{1}', 'BALANCE', 'with an order''s coupon'),
	('[{"product_id":cup,"quantity":1},{"product_id":pot,"quantity":2}]', '{}', 'EXTERNAL', 'with another way to pay'),
	('[{"product_id":999999,"quantity":1}]', '{}', 'BALANCE', 'with a product that is not there: the key comes first')) AS t (shape, coupons, method, what),
	LATERAL (SELECT replace(replace(shape, 'cup,', :'cup' || ','), 'pot,', :'pot' || ',') AS items) i;
SELECT lives_ok(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]', idempotency_key => 'b')$$, :kim, :cup), 'a key of a charge is free for an order');
SELECT is(detail_of(format('SELECT commerce.charge_balance(%s, 100, ''a'')', :kim)), '{"key": "a"}', 'the detail names the key');

-- An error is not stored: the key can be tried again.
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":101}]', idempotency_key => 'again')$$, :kim, :cup), 'STOCK_NOT_ENOUGH');
SELECT is_empty('SELECT * FROM commerce_private.idempotency_keys WHERE key = ''again''', 'a call that failed leaves no key');
SELECT commerce.adjust_stock(:cup, 100) \g /dev/null
SELECT commerce.charge_balance(:kim, 1000000) \g /dev/null
SELECT lives_ok(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":101}]', idempotency_key => 'again')$$, :kim, :cup), 'and can succeed later');
-- nor is what was rolled back
BEGIN;
SELECT lives_ok(format('SELECT commerce.charge_balance(%s, 100, ''rolled back'')', :kim), 'a key');
SELECT lives_ok(format('SELECT commerce.charge_balance(%s, 100, ''rolled back'')', :kim), 'twice in one transaction');
SELECT refuses(format('SELECT commerce.charge_balance(%s, 200, ''rolled back'')', :kim), 'IDEMPOTENCY_KEY_REUSED', 'with other arguments in it');
ROLLBACK;
SELECT results_eq(format('SELECT user_id FROM commerce.charge_balance(%s, 200, ''rolled back'')', :kim), format('VALUES (%s::bigint)', :kim), 'is free when rolled back');

-- A replay answers even when the thing could not be done any more.
SELECT commerce.set_user_status(:kim, 'SUSPENDED') \g /dev/null
SELECT is((r).id, :o::bigint, 'a suspended user hears of its order')
FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1},{"product_id":%s,"quantity":2}]', :cup, :pot)::jsonb, idempotency_key => 'a') r;
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]', idempotency_key => 'new')$$, :kim, :cup), 'FORBIDDEN', 'but makes no new one');
SELECT commerce.set_user_status(:kim, 'ACTIVE') \g /dev/null

-- Keys have 1 to 255 characters.
SELECT refuses(format('SELECT commerce.charge_balance(%s, 100, %L)', :kim, key), 'INVALID_REQUEST', length(key) || ' characters')
FROM unnest(ARRAY['', repeat('x', 256), repeat('가', 256), repeat('x', 10000000)]) AS key;
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]', idempotency_key => '')$$, :kim, :cup), 'INVALID_REQUEST', 'an order with an empty key');
SELECT lives_ok(format('SELECT commerce.charge_balance(%s, 100, %L)', :kim, key), length(key) || ' characters, ' || to_json(left(key, 1)))
FROM unnest(ARRAY[repeat('x', 255), repeat('가', 255), ' ', E'\n', '''";--']) AS key;
SELECT refuses(format('SELECT commerce.charge_balance(999999, 100, ''a'')'), 'ENTITY_NOT_FOUND', 'a key of nobody');

-- Kept for 24 hours, and not a moment longer
SELECT balance FROM commerce.adjust_balance(:kim, 500, 'gift', idempotency_key => 'a') \gset
SELECT balance FROM commerce.adjust_balance(:kim, 700, 'gift', idempotency_key => 'b') \g /dev/null
RESET ROLE;
UPDATE commerce_private.idempotency_keys SET created_at = now() - interval '23 hours 59 minutes' WHERE scope = 'user:' || :kim AND operation = 'adjust_balance' AND key = 'a';
UPDATE commerce_private.idempotency_keys SET created_at = now() - interval '24 hours 1 second' WHERE scope = 'user:' || :kim AND operation = 'adjust_balance' AND key = 'b';
SET ROLE shop;
SELECT results_eq(format('SELECT balance FROM commerce.adjust_balance(%s, 500, ''gift'', idempotency_key => ''a'')', :kim), format('VALUES (%s::bigint)', :balance), 'a key of 23:59 hours is known');
SELECT balance FROM commerce.get_balance(:kim) \gset
SELECT results_eq(format('SELECT balance - %s FROM commerce.adjust_balance(%s, 20000, ''gift'', idempotency_key => ''b'')', :balance, :kim), 'VALUES (20000::bigint)', 'one of 24 hours is new, purged or not, for other arguments too');
SELECT results_eq(format('SELECT balance - %s FROM commerce.adjust_balance(%s, 20000, ''gift'', idempotency_key => ''b'')', :balance, :kim), 'VALUES (20000::bigint)', 'and then known again');
SELECT is(commerce.purge_idempotency_keys(), 0, 'nothing to purge');
RESET ROLE;
UPDATE commerce_private.idempotency_keys SET created_at = now() - interval '25 hours' WHERE scope = 'user:' || :kim AND operation = 'adjust_balance' AND key IN ('a', 'b');
SET ROLE shop;
SELECT is(commerce.purge_idempotency_keys(1), 1, 'at most as many as asked');
SELECT is(commerce.purge_idempotency_keys(), 1, 'the rest the next time');
SELECT is((SELECT count(*) FROM commerce_private.idempotency_keys WHERE scope = 'user:' || :kim AND operation = 'adjust_balance' AND key IN ('a', 'b')), 0::bigint, 'they are gone');

-- A charge's key is kept for good.
RESET ROLE;
UPDATE commerce_private.idempotency_keys SET created_at = now() - interval '1 year';
SELECT commerce.purge_idempotency_keys() \g /dev/null
UPDATE commerce.balance_entries SET at = now() - interval '1 year';
SET ROLE shop;
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 50000, ''a'')', :kim), format('VALUES (%s::bigint, 50000::bigint)', :kim), 'a year later it is the same charge');
SELECT refuses(format('SELECT commerce.charge_balance(%s, 50100, ''a'')', :kim), 'IDEMPOTENCY_KEY_REUSED', 'and of its amount');
SELECT is((SELECT count(*) FROM commerce.balance_entries WHERE user_id = :kim AND kind = 'CHARGE' AND reference = 'a'), 1::bigint, 'with one entry');
SELECT commerce.set_user_status(:kim, 'SUSPENDED') \g /dev/null
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 50000, ''a'')', :kim), format('VALUES (%s::bigint, 50000::bigint)', :kim), 'also of a suspended user');
SELECT commerce.set_user_status(:kim, 'ACTIVE') \g /dev/null
SELECT balance FROM commerce.adjust_balance(:kim, 100, 'gift', idempotency_key => 'c') \g /dev/null
SELECT isnt_empty('SELECT * FROM commerce_private.idempotency_keys', 'the others are not');
SELECT refuses(format('SELECT commerce.purge_idempotency_keys(%s)', n), 'INVALID_REQUEST', 'purge ' || n) FROM unnest(ARRAY['NULL', '0', '-1']) AS n;

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
