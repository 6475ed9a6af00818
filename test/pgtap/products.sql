-- Products and promotions: what may be created and changed, and what product_list shows.

SELECT no_plan();
SELECT commerce.create_user('Potter', 'potter@example.com', role => 'SELLER') AS potter \gset
SELECT commerce.create_seller(:potter, 'Kiln', '1') AS kiln \gset
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT * FROM commerce.charge_balance(:kim, 10000000) \g /dev/null

-- create_product
SELECT commerce.create_product(:kiln, 'Teapot', 32000, 7, 'brown', 'tea', 2000, 3000, 5) AS teapot \gset
SELECT results_eq(
	format($$SELECT seller_id, name, price, description, category, discount, shipping_fee, max_per_order, status::text
			 FROM commerce.products WHERE id = %s$$, :teapot),
	format($$VALUES (%s::bigint, 'Teapot', 32000::bigint, 'brown', 'tea', 2000::bigint, 3000::bigint, 5::bigint, 'ON_SALE')$$, :kiln),
	'a product is stored as given, on sale');
SELECT is(commerce.available_stock(:teapot), 7::bigint, 'with its first stock');
SELECT commerce.create_product(NULL, 'Free', 0, 0) AS free \gset
SELECT results_eq(
	format('SELECT seller_id, price, discount, shipping_fee, max_per_order FROM commerce.products WHERE id = %s', :free),
	'VALUES (NULL::bigint, 0::bigint, 0::bigint, 0::bigint, NULL::bigint)',
	'price and stock may be 0, the seller the shop itself, the rest left out');
SELECT is(commerce.available_stock(:free), 0::bigint, 'stock 0 is sold out from the beginning');
SELECT commerce.create_product(NULL, 'Limits', 9223372036854775807, 1000000000000, discount => 9223372036854775807,
	shipping_fee => 9223372036854775807, max_per_order => 9223372036854775807) AS limits \gset
SELECT is(commerce.available_stock(:limits), 1000000000000, 'every number may be bigint''s greatest, but for the stock');

SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.create_product(%s)', arguments), 'INVALID_REQUEST', 'create_product(' || arguments || ')')
FROM unnest(ARRAY[$$NULL, NULL, 1, 1$$, $$NULL, '', 1, 1$$, $$NULL, '  ', 1, 1$$,
	$$NULL, 'x', NULL, 1$$, $$NULL, 'x', -1, 1$$, $$NULL, 'x', -9223372036854775808, 1$$,
	$$NULL, 'x', 1, NULL$$, $$NULL, 'x', 1, -1$$, $$NULL, 'x', 1, -9223372036854775808$$, $$NULL, 'x', 1, 1000000000001$$, $$NULL, 'x', 1, 9223372036854775807$$,
	$$NULL, 'x', 100, 1, discount => 101$$, $$NULL, 'x', 100, 1, discount => -1$$, $$NULL, 'x', 100, 1, discount => NULL$$,
	$$NULL, 'x', 1, 1, shipping_fee => -1$$, $$NULL, 'x', 1, 1, shipping_fee => NULL$$,
	$$NULL, 'x', 1, 1, max_per_order => 0$$, $$NULL, 'x', 1, 1, max_per_order => -1$$]) AS arguments;
SELECT refuses(format($$SELECT commerce.create_product(%s, 'x', 1, 1)$$, id), 'ENTITY_NOT_FOUND', 'a product of seller ' || id)
FROM unnest(ARRAY[0, -1, 999999, 9223372036854775807, -9223372036854775808]) AS id;

-- update_product
SELECT refuses(format('SELECT commerce.update_product(%s, %s)', :teapot, arguments), 'INVALID_REQUEST', 'update_product(' || arguments || ')')
FROM unnest(ARRAY['name => ''''', 'name => '' ''', 'price => -1', 'price => 1999', 'discount => 32001', 'discount => -1',
	'shipping_fee => -1', 'max_per_order => 0', 'price => -9223372036854775808']) AS arguments;
SELECT refuses('SELECT commerce.update_product(NULL, price => 1)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.update_product(999999, price => 1)', 'ENTITY_NOT_FOUND');
SELECT refuses('SELECT commerce.update_product(-9223372036854775808)', 'ENTITY_NOT_FOUND');
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');
SELECT to_jsonb(p) - 'updated_at' AS row FROM commerce.products p WHERE id = :teapot \gset
SELECT is(to_jsonb(u) - 'updated_at', :'row'::jsonb, 'an update of nothing returns the row as it was') FROM commerce.update_product(:teapot) u;
SELECT results_eq(format($$SELECT name, price, discount, shipping_fee, max_per_order, description, category
		FROM commerce.update_product(%s, 'Pot', 40000, 0, 0, 9, 'black', 'pots')$$, :teapot),
	$$VALUES ('Pot', 40000::bigint, 0::bigint, 0::bigint, 9::bigint, 'black', 'pots')$$, 'update_product changes what is given');
SELECT results_eq(format('SELECT name, price, discount, shipping_fee, max_per_order, description, category FROM commerce.update_product(%s, price => 41000)', :teapot),
	$$VALUES ('Pot', 41000::bigint, 0::bigint, 0::bigint, 9::bigint, 'black', 'pots')$$, 'and nothing else');
SELECT commerce.place_order(:kim, jsonb_build_array(jsonb_build_object('product_id', :teapot, 'quantity', 1))) \g /dev/null
SELECT commerce.update_product(:teapot, 'Vase', 50000) \g /dev/null
SELECT results_eq(format('SELECT product_name, unit_price FROM commerce.order_items WHERE product_id = %s', :teapot),
	$$VALUES ('Pot', 41000::bigint)$$, 'an order keeps name and price of its time');

-- set_product_status
SELECT refuses(format('SELECT commerce.set_product_status(%s, ''SOLD_OUT'')', :teapot), 'INVALID_REQUEST', 'to store SOLD_OUT');
SELECT refuses(format('SELECT commerce.set_product_status(%s, NULL)', :teapot), 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.set_product_status(NULL, ''ON_SALE'')', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.set_product_status(0, ''ON_SALE'')', 'ENTITY_NOT_FOUND');
SELECT is((commerce.set_product_status(:teapot, 'DISCONTINUED')).status, 'DISCONTINUED', 'a product is discontinued');
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]')$$, :kim, :teapot), 'PRODUCT_NOT_ON_SALE', 'to order what is discontinued');
SELECT is((SELECT status FROM commerce.product_list WHERE id = :teapot), 'DISCONTINUED', 'product_list shows it');
SELECT is((commerce.set_product_status(:teapot, 'ON_SALE')).status, 'ON_SALE', 'and on sale again');
SELECT lives_ok(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]')$$, :kim, :teapot), 'and ordered again');

-- SOLD_OUT is shown, never stored
SELECT is((SELECT status FROM commerce.product_list WHERE id = :free), 'SOLD_OUT', 'a product without stock is shown as SOLD_OUT');
SELECT is((SELECT status FROM commerce.products WHERE id = :free), 'ON_SALE', 'and stored as ON_SALE');
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]')$$, :kim, :free), 'STOCK_NOT_ENOUGH', 'to order what is sold out');
SELECT commerce.adjust_stock(:free, 1) \g /dev/null
SELECT is((SELECT status FROM commerce.product_list WHERE id = :free), 'ON_SALE', 'stock brings it back');
SELECT results_eq(format('SELECT seller_name, stock FROM commerce.product_list WHERE id = %s', :teapot), $$VALUES ('Kiln', 5::bigint)$$,
	'product_list names the seller and the remaining stock');

-- Promotions: the largest of instant discount and running promotions counts, never more than the price.
SELECT commerce.create_product(NULL, 'Sale', 10000, 1000, discount => 1000) AS sale \gset
CREATE FUNCTION pg_temp.price_now(product bigint) RETURNS bigint LANGUAGE sql
AS 'SELECT price_now FROM commerce.product_list WHERE id = product';
CREATE FUNCTION pg_temp.price_paid(buyer bigint, product bigint) RETURNS bigint LANGUAGE sql
AS $$SELECT payment_amount FROM commerce.place_order(buyer, jsonb_build_array(jsonb_build_object('product_id', product, 'quantity', 1)))$$;
SELECT is(pg_temp.price_now(:sale), 9000::bigint, 'the instant discount alone');
SELECT commerce.create_promotion(:sale, 'PERCENT', 5, now() - interval '1 hour', now() + interval '1 hour') \g /dev/null
SELECT is(pg_temp.price_now(:sale), 9000::bigint, 'a smaller promotion changes nothing');
SELECT is(pg_temp.price_paid(:kim, :sale), 9000::bigint, 'nor what is paid');
SELECT commerce.create_promotion(:sale, 'FIXED', 1500, now() - interval '1 hour', now() + interval '1 hour') \g /dev/null
SELECT is(pg_temp.price_now(:sale), 8500::bigint, 'a larger one counts instead');
SELECT is(pg_temp.price_paid(:kim, :sale), 8500::bigint, 'and is paid');
SELECT commerce.create_promotion(:sale, 'PERCENT', 33, now() - interval '1 hour', now() + interval '1 hour') \g /dev/null
SELECT is(pg_temp.price_now(:sale), 6700::bigint, 'the largest of all counts, they are not added up');
SELECT is(pg_temp.price_paid(:kim, :sale), 6700::bigint, 'and is paid');
SELECT commerce.create_promotion(:sale, 'FIXED', 9000, now() - interval '2 hours', now() - interval '1 hour') \g /dev/null
SELECT commerce.create_promotion(:sale, 'FIXED', 9000, now() + interval '1 hour', now() + interval '2 hours') \g /dev/null
SELECT is(pg_temp.price_now(:sale), 6700::bigint, 'one that is over or not begun does not count');
SELECT is(pg_temp.price_paid(:kim, :sale), 6700::bigint, 'nor is it paid');
SELECT commerce.create_promotion(:sale, 'FIXED', 9223372036854775807, '-infinity', 'infinity') \g /dev/null
SELECT is(pg_temp.price_now(:sale), 0::bigint, 'a price does not fall below 0');
SELECT is(pg_temp.price_paid(:kim, :sale), 0::bigint, 'nor what is paid');
SELECT commerce.create_product(NULL, 'Odd', 999, 10) AS odd \gset
SELECT commerce.create_promotion(:odd, 'PERCENT', 7, '-infinity', 'infinity') \g /dev/null
SELECT is(pg_temp.price_now(:odd), 930::bigint, 'a percentage is floored: 7 % of 999 is 69');
SELECT is(pg_temp.price_paid(:kim, :odd), 930::bigint, 'as it is when paid');
SELECT commerce.create_promotion(:limits, 'PERCENT', 99, '-infinity', 'infinity') \g /dev/null
SELECT is((SELECT discount_now FROM commerce.product_list WHERE id = :limits), 9223372036854775807, 'the greatest price does not overflow');

SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.create_promotion(%s, %s)', :sale, arguments), 'INVALID_REQUEST', 'create_promotion(' || arguments || ')')
FROM unnest(ARRAY[$$NULL, 1, now(), 'infinity'$$, $$'FREE_SHIPPING', 1, now(), 'infinity'$$,
	$$'FIXED', 0, now(), 'infinity'$$, $$'FIXED', -1, now(), 'infinity'$$, $$'FIXED', NULL, now(), 'infinity'$$,
	$$'PERCENT', 0, now(), 'infinity'$$, $$'PERCENT', 101, now(), 'infinity'$$, $$'PERCENT', 9223372036854775807, now(), 'infinity'$$,
	$$'FIXED', -9223372036854775808, now(), 'infinity'$$,
	$$'FIXED', 1, NULL, 'infinity'$$, $$'FIXED', 1, now(), NULL$$, $$'FIXED', 1, now(), now()$$,
	$$'FIXED', 1, now(), now() - interval '1 second'$$]) AS arguments;
SELECT refuses($$SELECT commerce.create_promotion(NULL, 'FIXED', 1, now(), 'infinity')$$, 'INVALID_REQUEST');
SELECT refuses($$SELECT commerce.create_promotion(0, 'FIXED', 1, now(), 'infinity')$$, 'ENTITY_NOT_FOUND');
SELECT refuses($$SELECT commerce.create_promotion(9223372036854775807, 'FIXED', 1, now(), 'infinity')$$, 'ENTITY_NOT_FOUND');

BEGIN READ ONLY;
SELECT refuses(statement, '25006', 'read-only: ' || statement)
FROM unnest(ARRAY['SELECT commerce.create_product(NULL, ''x'', 1, 1)', 'SELECT commerce.update_product(1, price => 1)',
	'SELECT commerce.set_product_status(1, ''ON_SALE'')', 'SELECT commerce.create_promotion(1, ''FIXED'', 1, now(), ''infinity'')',
	'SELECT commerce.create_user(''x'', ''x@example.com'')', 'SELECT commerce.create_seller(1, ''x'', ''x'')',
	'SELECT commerce.set_user_status(1, ''ACTIVE'')']) AS statement;
COMMIT;
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
