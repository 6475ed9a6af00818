-- Stock: adjusting it, reading it, selling the last unit.
-- role: postgres
-- Postgres only moves clocks by hand; everything else is done as shop.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT * FROM commerce.charge_balance(:kim, 10000000) \g /dev/null
SELECT commerce.create_product(NULL, 'cup', 100, 5) AS cup \gset
CREATE FUNCTION pg_temp.buy(buyer bigint, product bigint, quantity bigint) RETURNS text LANGUAGE sql
AS $$SELECT format('SELECT commerce.place_order(%s, ''[{"product_id":%s,"quantity":%s}]'')', buyer, product, quantity)$$;

SELECT is(commerce.available_stock(:cup), 5::bigint, 'the first stock');
SELECT is(commerce.adjust_stock(:cup, 3), 8::bigint, 'adjust_stock adds and answers what is available after');
SELECT is(commerce.adjust_stock(:cup, -2, 'broken'), 6::bigint, 'and takes off');
SELECT is(commerce.available_stock(:cup), 6::bigint, 'which available_stock shows');
SELECT results_eq(format('SELECT delta, reason::text, note, order_item_id FROM commerce.stock_entries WHERE product_id = %s ORDER BY ctid', :cup),
	$$VALUES (5::bigint, 'INITIAL', NULL, NULL::bigint), (3, 'ADJUST', NULL, NULL), (-2, 'ADJUST', 'broken', NULL)$$, 'each is an entry with its reason');

SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.adjust_stock(%s, -7)', :cup), 'STOCK_NOT_ENOUGH', 'to take more than there is');
SELECT refuses(format('SELECT commerce.adjust_stock(%s, -9223372036854775807)', :cup), 'STOCK_NOT_ENOUGH', 'to take bigint''s greatest');
SELECT refuses(format('SELECT commerce.adjust_stock(%s, %s)', :cup, delta), 'INVALID_REQUEST', 'to adjust by ' || delta)
FROM unnest(ARRAY['NULL', '0', '-9223372036854775808', '9223372036854775807', '9223372036854775802']) AS delta;
SELECT refuses('SELECT commerce.adjust_stock(NULL, 1)', 'INVALID_REQUEST');
SELECT refuses(format('SELECT commerce.adjust_stock(%s, %s)', id, delta), 'ENTITY_NOT_FOUND', format('to adjust product %s by %s', id, delta))
FROM unnest(ARRAY[0, -1, 999999, 9223372036854775807, -9223372036854775808]) AS id, unnest(ARRAY[1, -1]) AS delta;
SELECT refuses('SELECT commerce.available_stock(NULL)', 'INVALID_REQUEST');
SELECT refuses(format('SELECT commerce.available_stock(%s)', id), 'ENTITY_NOT_FOUND', 'stock of product ' || id)
FROM unnest(ARRAY[0, -1, 999999, 9223372036854775807, -9223372036854775808]) AS id;
SELECT is(detail_of(format('SELECT commerce.adjust_stock(%s, -7)', :cup))::jsonb, jsonb_build_object('product_id', :cup, 'asked', 7, 'available', 6), 'the detail says what was asked and what there is');
SELECT refuses(pg_temp.buy(:kim, :cup, 7), 'STOCK_NOT_ENOUGH', 'to order more than there is');
SELECT refuses(pg_temp.buy(:kim, :cup, 9223372036854775807), 'INVALID_REQUEST', 'a line beyond bigint');
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":4},{"product_id":%2$s,"quantity":3}]')$$, :kim, :cup),
	'STOCK_NOT_ENOUGH', 'two lines of a product that together are too many');
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');

-- The greatest stock, and over it
SELECT commerce.create_product(NULL, 'sand', 0, 1000000000000) AS sand \gset
SELECT refuses(format('SELECT commerce.adjust_stock(%s, 1)', :sand), 'INVALID_REQUEST', 'more than the greatest stock');
SELECT is(detail_of(format('SELECT commerce.adjust_stock(%s, 1)', :sand))::jsonb, '{"argument": "delta", "reason": "would take the stock above 1000000000000"}', 'the detail says how much that is');
SELECT lives_ok(pg_temp.buy(:kim, :sand, 1000000000000), 'all of it is ordered at once');
SELECT is(commerce.available_stock(:sand), 0::bigint, 'and then there is none');
SELECT is(commerce.adjust_stock(:sand, 1000000000000), 1000000000000, 'as much can come again');
-- what an order gives back comes on top of it
SELECT is((commerce.cancel_order(max(id), 'BUYER')).status, 'REFUNDED', 'the order is cancelled') FROM commerce.orders;
SELECT is(commerce.available_stock(:sand), 2000000000000, 'its units are back');
SELECT refuses(format('SELECT commerce.adjust_stock(%s, 1)', :sand), 'INVALID_REQUEST', 'to add to more than the greatest stock');
SELECT is(commerce.adjust_stock(:sand, -1500000000000), 500000000000, 'to take off is not limited');
SELECT is(commerce.adjust_stock(:sand, 500000000000), 1000000000000, 'to fill up is, again');

-- To the last unit, and not one more; what was refused holds nothing back.
SELECT lives_ok(pg_temp.buy(:kim, :cup, 4), 'four of six');
SELECT refuses(pg_temp.buy(:kim, :cup, 3), 'STOCK_NOT_ENOUGH', 'three of two');
SELECT lives_ok(pg_temp.buy(:kim, :cup, 2), 'two of two');
SELECT refuses(pg_temp.buy(:kim, :cup, 1), 'STOCK_NOT_ENOUGH', 'one of none');
SELECT refuses(format('SELECT commerce.adjust_stock(%s, -1)', :cup), 'STOCK_NOT_ENOUGH', 'to take one of none');
SELECT is(commerce.available_stock(:cup), 0::bigint, 'nothing is left');

-- A rollback gives back, of a savepoint too; a unit given in a transaction can be taken in it.
BEGIN;
SELECT is(commerce.adjust_stock(:cup, 2), 2::bigint, 'two come');
SAVEPOINT one;
SELECT lives_ok(pg_temp.buy(:kim, :cup, 2), 'and go to an order in the same transaction');
SELECT is(commerce.available_stock(:cup), 0::bigint, 'which sees that');
ROLLBACK TO one;
SELECT is(commerce.available_stock(:cup), 2::bigint, 'the savepoint gave them back');
SELECT lives_ok(pg_temp.buy(:kim, :cup, 1), 'so that they can be taken again');
SELECT refuses(pg_temp.buy(:kim, :cup, 2), 'STOCK_NOT_ENOUGH', 'but not more of them');
COMMIT;
SELECT is(commerce.available_stock(:cup), 1::bigint, 'one of two was sold');
BEGIN;
SELECT commerce.adjust_stock(:cup, 10) \g /dev/null
ROLLBACK;
SELECT refuses(pg_temp.buy(:kim, :cup, 2), 'STOCK_NOT_ENOUGH', 'what came and was rolled back was never there');
BEGIN;
SELECT lives_ok(pg_temp.buy(:kim, :cup, 1), 'the last one');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT lives_ok(pg_temp.buy(:kim, :cup, 1), 'is there again, in REPEATABLE READ');
SELECT refuses(pg_temp.buy(:kim, :cup, 1), 'STOCK_NOT_ENOUGH', 'once');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT lives_ok(pg_temp.buy(:kim, :cup, 1), 'and in SERIALIZABLE');
SELECT refuses(format('SELECT commerce.adjust_stock(%s, -1)', :cup), 'STOCK_NOT_ENOUGH', 'once');
COMMIT;
BEGIN READ ONLY;
SELECT refuses(format('SELECT commerce.adjust_stock(%s, 1)', :cup), '25006', 'to adjust in a read-only transaction');
SELECT refuses(pg_temp.buy(:kim, :cup, 1), '25006', 'to order in a read-only transaction what is sold out');
SELECT is(commerce.available_stock(:cup), 0::bigint, 'which can read the stock');
COMMIT;

-- Folding never changes what is available.
SELECT commerce.adjust_stock(:cup, 9) \g /dev/null
SELECT jsonb_object_agg(id, stock) AS stock FROM commerce.product_list \gset
SELECT fold_all() \g /dev/null
SELECT is((SELECT jsonb_object_agg(id, stock) FROM commerce.product_list), :'stock'::jsonb, 'folding changes no stock');
SELECT is((SELECT on_hand FROM commerce_private.stock WHERE product_id = :cup), 9::bigint, 'what ended is in on_hand');
SELECT is(commerce.fold(), 0::bigint, 'fold answers how many it moved, here none');
BEGIN;
SELECT is(commerce.adjust_stock(:cup, 1), 10::bigint, 'a unit of a running transaction');
SELECT commerce.fold() \g /dev/null
SELECT is((SELECT on_hand FROM commerce_private.stock WHERE product_id = :cup), 9::bigint, 'is not folded');
SELECT is(commerce.available_stock(:cup), 10::bigint, 'and is counted');
ROLLBACK;
SELECT is(commerce.available_stock(:cup), 9::bigint, 'until it is rolled back');
SELECT lives_ok(pg_temp.buy(:kim, :cup, 9), 'what was folded can be sold');
SELECT refuses(pg_temp.buy(:kim, :cup, 1), 'STOCK_NOT_ENOUGH', 'and no more than that');
SELECT fold_all() \g /dev/null
SELECT is(replace(events('Product', :cup), ' StockAdjusted', ''), 'ProductCreated StockDepleted', 'a fold that finds nothing left says StockDepleted');
SELECT fold_all() \g /dev/null
SELECT is(replace(events('Product', :cup), ' StockAdjusted', ''), 'ProductCreated StockDepleted', 'once');
SELECT commerce.adjust_stock(:cup, 1) \g /dev/null
SELECT fold_all() \g /dev/null
SELECT commerce.adjust_stock(:cup, -1) \g /dev/null
SELECT fold_all() \g /dev/null
SELECT is(replace(events('Product', :cup), ' StockAdjusted', ''), 'ProductCreated StockDepleted StockDepleted', 'and again when there was stock between');
BEGIN READ ONLY;
SELECT refuses('SELECT commerce.fold()', '25006', 'to fold in a read-only transaction');
COMMIT;

-- Units that are taken off: overdue orders make way for them, others do not.
SELECT commerce.create_product(NULL, 'held', 100, 5) AS held \gset
SELECT id AS early FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":3}]', :held)::jsonb, payment_method => 'EXTERNAL') \gset
SELECT id AS late FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":2}]', :held)::jsonb, payment_method => 'EXTERNAL') \gset
SELECT refuses(format('SELECT commerce.adjust_stock(%s, -1)', :held), 'STOCK_NOT_ENOUGH', 'what unpaid orders hold in time');
RESET ROLE;
UPDATE commerce.orders SET expires_at = now() - interval '1 second' WHERE id = :early;
SET ROLE shop;
SELECT refuses(format('SELECT commerce.adjust_stock(%s, -4)', :held), 'STOCK_NOT_ENOUGH', 'more than an overdue order holds');
SELECT is((SELECT status FROM commerce.orders WHERE id = :early), 'PENDING_PAYMENT', 'which was no use to end');
SELECT is(commerce.adjust_stock(:held, -2, 'broken'), 1::bigint, 'what an overdue order holds can be taken off');
SELECT results_eq(format('SELECT status::text FROM commerce.orders WHERE id IN (%s, %s) ORDER BY id', :early, :late), $$VALUES ('CANCELLED'), ('PENDING_PAYMENT')$$, 'it is ended, and no other');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
