-- The shop's currency: a setting until there are orders; and what a charge may be, which goes with it.
-- role: postgres
-- Settings are a superuser's.

SELECT no_plan();
SELECT is(commerce_private.shop_currency(), ROW('KRW'::text, 0), 'won, which has no decimals');
SET commerce.currency = 'USD';
SELECT is(commerce_private.shop_currency(), ROW('USD'::text, 2), 'dollars have two');
SET commerce.currency = 'KWD';
SELECT is(commerce_private.shop_currency(), ROW('KWD'::text, 3), 'dinars three');
SELECT refuses(format('SET commerce.currency = %L', c), '22023', 'currency "' || c || '"') FROM unnest(ARRAY['', 'usd', 'US', 'USDX', 'U1D', '원']) AS c;
SELECT refuses($$SET ROLE shop; SET commerce.currency = 'EUR'$$, '42501', 'a currency that an application chooses');
RESET ROLE;

-- a shop in dollars: amounts are cents
SET commerce.currency = 'USD';
SET commerce.charge_max = 50000;
SET commerce.charge_unit = 1;
SELECT commerce.create_user('Kim') AS kim \gset
SELECT results_eq(format('SELECT balance FROM commerce.charge_balance(%s, 49999)', :kim), 'VALUES (49999::bigint)', 'charges are within charge_max, multiples of charge_unit');
SELECT refuses(format('SELECT commerce.charge_balance(%s, 50001)', :kim), 'INVALID_REQUEST', 'a charge above charge_max');
SET commerce.charge_unit = 500;
SELECT refuses(format('SELECT commerce.charge_balance(%s, 750)', :kim), 'INVALID_REQUEST', 'a charge that is no multiple of charge_unit');
SELECT commerce.create_product(NULL, 'cup', 1999, 100) AS cup \gset
SELECT format('SELECT payment_amount FROM commerce.place_order(%s, ''[{"product_id":%s,"quantity":1}]'')', :kim, :cup) AS buy \gset
SET commerce.currency = 'EUR';
BEGIN;
SELECT lives_ok(:'buy', 'an order in euros');
ROLLBACK;
BEGIN;
SELECT lives_ok(format($$SELECT commerce.import_order('{"user_id": %s, "paid_at": "2020-05-05", "payment_amount": 425, "items": [{"product_id": %s, "quantity": 1, "unit_price": 425}]}')$$, :kim, :cup), 'also one that is imported');
SELECT is((SELECT code FROM commerce_private.fixed_currency), 'EUR', 'which fixes it');
ROLLBACK;
SET commerce.currency = 'USD';
SELECT lives_ok(:'buy', 'that is not committed fixes nothing');
SELECT lives_ok(:'buy', 'and one in dollars is');
SET commerce.currency = 'EUR';
SELECT refuses(:'buy', 'INVALID_REQUEST', 'from then on another currency');
SELECT is(detail_of(:'buy')::jsonb->>'argument', 'commerce.currency', 'is the setting''s fault');
RESET commerce.currency;
SELECT refuses(:'buy', 'INVALID_REQUEST', 'also when it is the default');
SET commerce.currency = 'USD';
SELECT lives_ok(:'buy', 'and the shop''s own is taken');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
