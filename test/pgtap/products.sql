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
	'VALUES (NULL::bigint, 0::bigint, 0::bigint, NULL::bigint, NULL::bigint)',
	'price and stock may be 0, the seller the shop itself, the rest left out');
SELECT is(commerce.available_stock(:free), 0::bigint, 'stock 0 is sold out from the beginning');
SELECT commerce.create_product(NULL, 'Limits', 1000000000000, 1000000000000, discount => 1000000000000,
	shipping_fee => 1000000000000, max_per_order => 1000000000000, max_per_user => 1000000000000) AS limits \gset
SELECT is(commerce.available_stock(:limits), 1000000000000, 'every number may be 10^12');
SELECT commerce.create_product(:kiln, 'Cup', 9000, 4, sku => 'CUP-1', group_id => :teapot, tax_exempt => true, max_per_user => 2,
	image_urls => '{https://example.com/1.png,https://example.com/2.png}', metadata => '{"glaze": "blue"}', actor_id => :potter, note => 'new') AS cup \gset
SELECT is(to_jsonb(p) - '{created_at,updated_at}'::text[], jsonb_build_object('id', :cup, 'seller_id', :kiln, 'name', 'Cup', 'description', NULL, 'price', 9000,
	'discount', 0, 'shipping_fee', NULL, 'max_per_order', NULL, 'max_per_user', 2, 'category', NULL, 'status', 'ON_SALE', 'sku', 'CUP-1', 'group_id', :teapot,
	'tax_exempt', true, 'image_urls', ARRAY['https://example.com/1.png', 'https://example.com/2.png'], 'metadata', '{"glaze": "blue"}'::jsonb), 'with all of its attributes')
FROM commerce.products p WHERE id = :cup;
SELECT is(event_payload('Product', :cup, 'ProductCreated'), (SELECT to_jsonb(p) - 'id' || jsonb_build_object('product_id', :cup, 'stock', 4) || who('SELLER', :kiln, 'new') FROM commerce.products p WHERE id = :cup),
	'ProductCreated carries the product, its stock, who and why');
SELECT results_eq(format('SELECT delta, reason::text, actor_id, note FROM commerce.stock_entries WHERE product_id = %s', :cup),
	format($$VALUES (4::bigint, 'INITIAL', %s::bigint, 'new')$$, :potter), 'so does the first entry');

-- whose product it is: an administrator's call, the seller's own
SELECT commerce.create_user('Boss', 'boss@example.com', role => 'ADMIN') AS boss \gset
SELECT commerce.create_user('Weaver', 'weaver@example.com', role => 'SELLER') AS weaver \gset
SELECT commerce.create_seller(:weaver, 'Loom', '2') AS loom \gset
SELECT commerce.create_product(:loom, 'Cloth', 100, 1, sku => 'CUP-1') AS cloth \gset
SELECT ok(:cloth > 0, 'another seller may have the same sku');
SELECT lives_ok(format($$SELECT commerce.create_product(%s, 'x', 1, 1, actor_id => %s)$$, :kiln, :boss), 'an administrator makes a seller''s product');
SELECT refuses(format($$SELECT commerce.create_product(%L, 'x', 1, 1, actor_id => %s)$$, seller, actor), 'FORBIDDEN', format('a product of seller %s made by %s', seller, actor))
FROM (VALUES (:kiln, :weaver), (:kiln, :kim), (NULL, :potter), (NULL, :kim), (:kiln, 999999), (NULL, 0)) v (seller, actor);
SELECT refuses(format('SELECT commerce.%s', call), 'FORBIDDEN', call || ' by another seller')
FROM unnest(ARRAY[format('update_product(%s, price => 1, actor_id => %s)', :cup, :weaver), format('set_product_status(%s, ''DISCONTINUED'', %s)', :cup, :weaver),
	format('adjust_stock(%s, 1, NULL, %s)', :cup, :weaver), format('create_promotion(%s, ''FIXED'', 1, now(), now() + interval ''1 day'', %s)', :cup, :weaver)]) AS call;
SELECT commerce.set_user_status(:potter, 'SUSPENDED') \g /dev/null
SELECT refuses(format('SELECT commerce.update_product(%s, price => 1, actor_id => %s)', :cup, :potter), 'FORBIDDEN', 'a suspended seller');
SELECT commerce.set_user_status(:potter, 'ACTIVE') \g /dev/null

-- sku, group
SELECT refuses(format($$SELECT commerce.create_product(%s, 'x', 1, 1, sku => 'CUP-1')$$, :kiln), 'ALREADY_EXISTS', 'a taken sku');
SELECT is(detail_of(format($$SELECT commerce.create_product(%s, 'x', 1, 1, sku => 'CUP-1')$$, :kiln))::jsonb, '{"entity": "product", "attribute": "sku"}', 'is told');
SELECT refuses(format($$SELECT commerce.update_product(%s, sku => 'CUP-1')$$, :teapot), 'ALREADY_EXISTS', 'to take a taken sku');
SELECT lives_ok($$SELECT commerce.create_product(NULL, 'x', 1, 1, sku => 'CUP-1')$$, 'the shop''s own products have skus of their own');
SELECT refuses($$SELECT commerce.create_product(NULL, 'x', 1, 1, sku => 'CUP-1')$$, 'ALREADY_EXISTS', 'once');
SELECT refuses(format($$SELECT commerce.create_product(%s, 'x', 1, 1, group_id => 999999)$$, :kiln), 'ENTITY_NOT_FOUND', 'a variant of nothing');
SELECT refuses(format($$SELECT commerce.create_product(%s, 'x', 1, 1, group_id => %s)$$, :kiln, :cloth), 'INVALID_REQUEST', 'a variant of another seller''s product');
SELECT is((commerce.update_product(:teapot, group_id => :teapot)).group_id, :teapot::bigint, 'the first of a group may name itself');

-- keys
SELECT commerce.create_product(:kiln, 'Keyed', 100, 3, sku => 'K', idempotency_key => 'k1') AS keyed \gset
SELECT is(commerce.create_product(:kiln, 'Keyed', 100, 3, sku => 'K', idempotency_key => 'k1'), :keyed::bigint, 'the same call again answers the same product');
SELECT refuses(format($$SELECT commerce.create_product(%s, 'Keyed', 100, 4, sku => 'K', idempotency_key => 'k1')$$, :kiln), 'IDEMPOTENCY_KEY_REUSED', 'another stock under the key');
SELECT is(commerce.adjust_stock(:keyed, -1, 'broken', idempotency_key => 'k1'), 2::bigint, 'one unit is taken off');
SELECT is(commerce.adjust_stock(:keyed, -1, 'broken', idempotency_key => 'k1'), 2::bigint, 'once');
SELECT is(commerce.available_stock(:keyed), 2::bigint, 'however often it is sent');
SELECT refuses(format($$SELECT commerce.adjust_stock(%s, -1, 'stolen', idempotency_key => 'k1')$$, :keyed), 'IDEMPOTENCY_KEY_REUSED', 'another note under the key');
SELECT is(commerce.adjust_stock(:cup, -1, 'broken', idempotency_key => 'k1'), 3::bigint, 'another product has keys of its own');
SELECT is(events('Product', :keyed), 'ProductCreated StockAdjusted', 'its events');
SELECT is(event_payload('Product', :keyed, 'StockAdjusted'), jsonb_build_object('product_id', :keyed, 'seller_id', :kiln, 'delta', -1, 'available', 2) || who('SYSTEM', note => 'broken'),
	'StockAdjusted says how many, how many are left, and why');

SELECT lives_ok($$SELECT commerce.create_product(NULL, repeat('가', 200), 1, 1, description => repeat('가', 20000), image_urls => array_fill(repeat('a', 2000), '{100}'))$$,
	'the longest texts');
SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.create_product(%s)', arguments), 'INVALID_REQUEST', 'create_product(' || arguments || ')')
FROM unnest(ARRAY[$$NULL, NULL, 1, 1$$, $$NULL, '', 1, 1$$, $$NULL, '  ', 1, 1$$,
	$$NULL, 'x', NULL, 1$$, $$NULL, 'x', -1, 1$$, $$NULL, 'x', -9223372036854775808, 1$$,
	$$NULL, 'x', 1, NULL$$, $$NULL, 'x', 1, -1$$, $$NULL, 'x', 1, -9223372036854775808$$, $$NULL, 'x', 1, 1000000000001$$, $$NULL, 'x', 1, 9223372036854775807$$,
	$$NULL, 'x', 100, 1, discount => 101$$, $$NULL, 'x', 100, 1, discount => -1$$, $$NULL, 'x', 100, 1, discount => NULL$$,
	$$NULL, 'x', 1, 1, shipping_fee => -1$$, $$NULL, 'x', 1000000000001, 1$$, $$NULL, 'x', 1, 1, shipping_fee => 1000000000001$$,
	$$NULL, 'x', 1, 1, max_per_order => 0$$, $$NULL, 'x', 1, 1, max_per_order => -1$$, $$NULL, 'x', 1, 1, max_per_user => 0$$,
	$$NULL, 'x', 1, 1, max_per_order => 1000000000001$$, $$NULL, 'x', 1, 1, max_per_user => 1000000000001$$,
	$$NULL, 'x', 1, 1, image_urls => NULL$$, $$NULL, 'x', 1, 1, image_urls => ARRAY[NULL]::text[]$$, $$NULL, 'x', 1, 1, image_urls => '{""}'$$,
	$$NULL, 'x', 1, 1, image_urls => '{{a},{b}}'$$, $$NULL, 'x', 1, 1, image_urls => array_fill('a'::text, '{101}')$$,
	$$NULL, 'x', 1, 1, image_urls => ARRAY[repeat('a', 2001)]$$, $$NULL, 'x', 1, 1, sku => ' '$$, $$NULL, 'x', 1, 1, sku => repeat('a', 201)$$,
	$$NULL, 'x', 1, 1, tax_exempt => NULL$$, $$NULL, 'x', 1, 1, metadata => '[]'$$, $$NULL, 'x', 1, 1, metadata => jsonb_build_object('a', repeat('x', 17000))$$,
	$$NULL, 'x', 1, 1, description => repeat('a', 20001)$$, $$NULL, 'x', 1, 1, note => repeat('a', 2001)$$, $$NULL, repeat('a', 201), 1, 1$$,
	$$NULL, 'x', 1, 1, idempotency_key => ''$$]) AS arguments;
SELECT refuses(format($$SELECT commerce.create_product(%s, 'x', 1, 1)$$, id), 'ENTITY_NOT_FOUND', 'a product of seller ' || id)
FROM unnest(ARRAY[0, -1, 999999, 9223372036854775807, -9223372036854775808]) AS id;

-- update_product
SELECT refuses(format('SELECT commerce.update_product(%s, %s)', :teapot, arguments), 'INVALID_REQUEST', 'update_product(' || arguments || ')')
FROM unnest(ARRAY['name => ''''', 'name => '' ''', 'price => -1', 'price => 1999', 'discount => 32001', 'discount => -1',
	'shipping_fee => -1', 'max_per_order => 0', 'price => -9223372036854775808', 'clear => ''{nothing}''', 'clear => ''{price}''', 'clear => ''{name}''',
	'clear => ''{image_urls}''', 'clear => ARRAY[NULL]::text[]', 'description => ''x'', clear => ''{description}''', 'sku => ''''',
	'metadata => ''1''', 'image_urls => ''{{a}}''']) AS arguments;
SELECT refuses('SELECT commerce.update_product(NULL, price => 1)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.update_product(999999, price => 1)', 'ENTITY_NOT_FOUND');
SELECT refuses('SELECT commerce.update_product(-9223372036854775808)', 'ENTITY_NOT_FOUND');
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');
SELECT to_jsonb(p) - 'updated_at' AS row FROM commerce.products p WHERE id = :teapot \gset
SELECT is(to_jsonb(u) - 'updated_at', :'row'::jsonb, 'an update of nothing returns the row as it was') FROM commerce.update_product(:teapot) u;
SELECT results_eq(format($$SELECT name, price, discount, shipping_fee, max_per_order, description, category
		FROM commerce.update_product(%s, 'Pot', 40000, 'black', 'pots', 0, 0, 9)$$, :teapot),
	$$VALUES ('Pot', 40000::bigint, 0::bigint, 0::bigint, 9::bigint, 'black', 'pots')$$, 'update_product changes what is given');
SELECT results_eq(format('SELECT name, price, discount, shipping_fee, max_per_order, description, category FROM commerce.update_product(%s, price => 41000)', :teapot),
	$$VALUES ('Pot', 41000::bigint, 0::bigint, 0::bigint, 9::bigint, 'black', 'pots')$$, 'and nothing else');
SELECT results_eq(format($$SELECT description, category, shipping_fee, max_per_order, max_per_user, sku, group_id, metadata, image_urls, tax_exempt
		FROM commerce.update_product(%s, max_per_user => 7, sku => 'P', metadata => '{"a": 1}', image_urls => '{u}', tax_exempt => true,
			clear => '{description,category,shipping_fee,max_per_order,group_id}', actor_id => %s, note => 'tidy')$$, :teapot, :potter),
	$$VALUES (NULL::text, NULL::text, NULL::bigint, NULL::bigint, 7::bigint, 'P', NULL::bigint, '{"a": 1}'::jsonb, '{u}'::text[], true)$$, 'what clear names is emptied');
SELECT is(event_payload('Product', :teapot, 'ProductChanged') - 'updated_at', (SELECT to_jsonb(p) - '{id,updated_at}'::text[] || jsonb_build_object('product_id', :teapot) || who('SELLER', :kiln, 'tidy') FROM commerce.products p WHERE id = :teapot),
	'ProductChanged carries the product, who and why');
SELECT events('Product', :teapot) AS events \gset
SELECT commerce.update_product(:teapot, 'Pot', 41000) \g /dev/null
SELECT is(events('Product', :teapot), :'events', 'nothing is told of a change to what it is already');
SELECT commerce.place_order(:kim, jsonb_build_array(jsonb_build_object('product_id', :teapot, 'quantity', 1))) \g /dev/null
SELECT commerce.update_product(:teapot, 'Vase', 50000) \g /dev/null
SELECT results_eq(format('SELECT product_name, unit_price FROM commerce.order_items WHERE product_id = %s', :teapot),
	$$VALUES ('Pot', 41000::bigint)$$, 'an order keeps name and price of its time');

-- set_product_status
SELECT refuses(format('SELECT commerce.set_product_status(%s, ''SOLD_OUT'')', :teapot), 'INVALID_REQUEST', 'to store SOLD_OUT');
SELECT refuses(format('SELECT commerce.set_product_status(%s, NULL)', :teapot), 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.set_product_status(NULL, ''ON_SALE'')', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.set_product_status(0, ''ON_SALE'')', 'ENTITY_NOT_FOUND');
SELECT is((commerce.set_product_status(:teapot, 'DISCONTINUED', :potter, 'out of fashion')).status, 'DISCONTINUED', 'a product is discontinued');
SELECT ok(event_payload('Product', :teapot, 'ProductStatusChanged') @> (jsonb_build_object('product_id', :teapot, 'from', 'ON_SALE', 'status', 'DISCONTINUED') || who('SELLER', :kiln, 'out of fashion')),
	'with an event that says who and why');
SELECT count(*) AS told FROM commerce.outbox WHERE type = 'ProductStatusChanged' \gset
SELECT commerce.set_product_status(:teapot, 'DISCONTINUED') \g /dev/null
SELECT is((SELECT count(*) FROM commerce.outbox WHERE type = 'ProductStatusChanged'), :told::bigint, 'once');
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]')$$, :kim, :teapot), 'PRODUCT_NOT_ON_SALE', 'to order what is discontinued');
SELECT is_empty(format('SELECT FROM commerce.product_list WHERE id = %s', :teapot), 'product_list shows it no more');
SELECT is((commerce.set_product_status(:teapot, 'ON_SALE')).status, 'ON_SALE', 'and on sale again');
SELECT lives_ok(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]')$$, :kim, :teapot), 'and ordered again');
SELECT commerce.set_user_status(:potter, 'SUSPENDED') \g /dev/null
SELECT is_empty(format('SELECT FROM commerce.product_list WHERE id = %s', :teapot), 'nor one of a seller who is not active');
SELECT commerce.set_user_status(:potter, 'ACTIVE') \g /dev/null
SELECT isnt_empty(format('SELECT FROM commerce.product_list WHERE id = %s', :teapot), 'until he is again');

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
SELECT commerce.create_promotion(:sale, 'FIXED', 9000, now() - interval '2 hours', now() + interval '100 milliseconds') AS short \gset
SELECT pg_sleep(0.11) \g /dev/null
SELECT commerce.create_promotion(:sale, 'FIXED', 9000, now() + interval '1 hour', now() + interval '2 hours') AS later \gset
SELECT is(pg_temp.price_now(:sale), 6700::bigint, 'one that is over or not begun does not count');
SELECT is(pg_temp.price_paid(:kim, :sale), 6700::bigint, 'nor is it paid');
SELECT commerce.create_promotion(:sale, 'FIXED', 1000000000000, '2020-01-01', '2100-01-01') \g /dev/null
SELECT is(pg_temp.price_now(:sale), 0::bigint, 'a price does not fall below 0');
SELECT is(pg_temp.price_paid(:kim, :sale), 0::bigint, 'nor what is paid');
SELECT commerce.create_product(NULL, 'Odd', 999, 10) AS odd \gset
SELECT commerce.create_promotion(:odd, 'PERCENT', 7, '2020-01-01', '2100-01-01') \g /dev/null
SELECT is(pg_temp.price_now(:odd), 930::bigint, 'a percentage is floored: 7 % of 999 is 69');
SELECT is(pg_temp.price_paid(:kim, :odd), 930::bigint, 'as it is when paid');
SELECT commerce.create_promotion(:limits, 'PERCENT', 99, '2020-01-01', '2100-01-01') \g /dev/null
SELECT is((SELECT discount_now FROM commerce.product_list WHERE id = :limits), 1000000000000, 'the greatest price does not overflow');

SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.create_promotion(%s, %s)', :sale, arguments), 'INVALID_REQUEST', 'create_promotion(' || arguments || ')')
FROM unnest(ARRAY[$$NULL, 1, now(), '2100-01-01'$$, $$'FREE_SHIPPING', 1, now(), '2100-01-01'$$,
	$$'FIXED', 0, now(), '2100-01-01'$$, $$'FIXED', -1, now(), '2100-01-01'$$, $$'FIXED', NULL, now(), '2100-01-01'$$,
	$$'PERCENT', 0, now(), '2100-01-01'$$, $$'PERCENT', 101, now(), '2100-01-01'$$, $$'PERCENT', 9223372036854775807, now(), '2100-01-01'$$,
	$$'FIXED', -9223372036854775808, now(), '2100-01-01'$$,
	$$'FIXED', 1, NULL, '2100-01-01'$$, $$'FIXED', 1, now(), NULL$$, $$'FIXED', 1, now(), now()$$,
	$$'FIXED', 1, now(), now() - interval '1 second'$$,
	$$'FIXED', 1000000000001, now(), '2100-01-01'$$, $$'FIXED', 1, '-infinity', '2100-01-01'$$, $$'FIXED', 1, now(), 'infinity'$$,
	$$'FIXED', 1, '2020-01-01', '2020-01-02'$$]) AS arguments;
SELECT refuses($$SELECT commerce.create_promotion(NULL, 'FIXED', 1, now(), '2100-01-01')$$, 'INVALID_REQUEST');
SELECT refuses($$SELECT commerce.create_promotion(0, 'FIXED', 1, now(), '2100-01-01')$$, 'ENTITY_NOT_FOUND');
SELECT refuses($$SELECT commerce.create_promotion(9223372036854775807, 'FIXED', 1, now(), '2100-01-01')$$, 'ENTITY_NOT_FOUND');

SELECT refuses(format('SELECT commerce.update_promotion(%s, %s)', :later, arguments), 'INVALID_REQUEST', 'update_promotion(' || arguments || ')')
FROM unnest(ARRAY['value => 0', 'value => 1000000000001', 'starts_at => ''-infinity''', 'ends_at => ''infinity''', 'ends_at => ''2020-01-01''', 'starts_at => ''2100-01-01''',
	'starts_at => ''2099-01-01'', ends_at => ''2098-01-01''', 'note => repeat(''a'', 2001)']) AS arguments;
SELECT refuses(statement, 'INVALID_REQUEST') FROM unnest(ARRAY['SELECT commerce.update_promotion(NULL)', 'SELECT commerce.end_promotion(NULL)']) AS statement;
SELECT refuses(statement, 'ENTITY_NOT_FOUND') FROM unnest(ARRAY['SELECT commerce.update_promotion(0)', 'SELECT commerce.end_promotion(999999)']) AS statement;
SELECT refuses(statement, 'FORBIDDEN') FROM unnest(ARRAY[format('SELECT commerce.update_promotion(%s, actor_id => %s)', :later, :potter), format('SELECT commerce.end_promotion(%s, %s)', :later, :kim)]) AS statement;
BEGIN READ ONLY;
SELECT refuses(statement, '25006', 'read-only: ' || statement)
FROM unnest(ARRAY['SELECT commerce.create_product(NULL, ''x'', 1, 1)', 'SELECT commerce.update_product(1, price => 1)',
	'SELECT commerce.set_product_status(1, ''ON_SALE'')', 'SELECT commerce.create_promotion(1, ''FIXED'', 1, now(), ''2100-01-01'')', 'SELECT commerce.update_promotion(1, 1)', 'SELECT commerce.end_promotion(1)',
	'SELECT commerce.create_user(''x'', ''x@example.com'')', 'SELECT commerce.create_seller(1, ''x'', ''x'')',
	'SELECT commerce.set_user_status(1, ''ACTIVE'')']) AS statement;
COMMIT;
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');

-- a promotion is changed, and ended: at once, or before it begins
SELECT commerce.create_product(:kiln, 'Bowl', 1000, 10) AS bowl \gset
SELECT commerce.create_promotion(:bowl, 'FIXED', 100, now() - interval '1 hour', '2100-01-01', :potter, 'spring', 'p1') AS p \gset
SELECT is(commerce.create_promotion(:bowl, 'FIXED', 100, (SELECT starts_at FROM commerce.promotions WHERE id = :p), '2100-01-01', :potter, 'spring', 'p1'), :p::bigint, 'the same call again answers the same promotion');
SET TimeZone = 'America/New_York';
SELECT is(commerce.create_promotion(:bowl, 'FIXED', 100, (SELECT starts_at FROM commerce.promotions WHERE id = :p), '2100-01-01+00', :potter, 'spring', 'p1'), :p::bigint, 'whatever the time zone of the session');
RESET TimeZone;
SELECT is((commerce.update_promotion(:p, 300, actor_id => :potter)).value, 300::bigint, 'its value is changed');
SELECT is(pg_temp.price_now(:bowl), 700::bigint, 'and counts');
SELECT is((SELECT ends_at FROM commerce.update_promotion(:p, ends_at => '2099-01-01+00')), '2099-01-01+00', 'so is its end');
SELECT commerce.update_promotion(:p, 300) \g /dev/null
SELECT ok(ends_at <= clock_timestamp() AND starts_at < ends_at, 'it is ended at once') FROM commerce.end_promotion(:p, :boss, 'over');
SELECT is(pg_temp.price_now(:bowl), 1000::bigint, 'and counts no more');
SELECT is(pg_temp.price_paid(:kim, :bowl), 1000::bigint, 'nor is it paid');
SELECT ends_at FROM commerce.promotions WHERE id = :p \gset
SELECT is((commerce.end_promotion(:p)).ends_at, :'ends_at', 'what is over stays as it is');
SELECT is(events('Promotion', :p), 'PromotionCreated PromotionChanged PromotionChanged PromotionEnded', 'each change has an event');
SELECT ok(event_payload('Promotion', :p, 'PromotionEnded') @> (jsonb_build_object('promotion_id', :p, 'product_id', :bowl, 'seller_id', :kiln, 'kind', 'FIXED', 'value', 300) || who('ADMIN', :boss, 'over')),
	'which carries the promotion, who and why');
SELECT ok(created_at < updated_at, 'when it was made is known, and when it was changed') FROM commerce.promotions WHERE id = :p;
SELECT is((commerce.end_promotion(:later)).ends_at, (SELECT starts_at FROM commerce.promotions WHERE id = :later), 'one that has not begun will not begin');
SELECT is(events('Promotion', :later), 'PromotionCreated PromotionEnded', 'with its event');
SELECT commerce.end_promotion(:later) \g /dev/null
SELECT is(events('Promotion', :later), 'PromotionCreated PromotionEnded', 'once');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
