-- complete_exchange(): what an item can be replaced by, and what moves.

SELECT no_plan();
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.charge_balance(:kim, 1000000) \g /dev/null
SELECT commerce.create_seller(commerce.create_user('Sel', 'sel@example.com', role => 'SELLER'), 'Sel', '1') AS sel \gset
SELECT commerce.create_seller(commerce.create_user('Oth', 'oth@example.com', role => 'SELLER'), 'Oth', '2') AS oth \gset
SELECT commerce.create_product(:sel, 'M', 9000, 10, discount => 1000) AS m \gset
SELECT commerce.create_product(:sel, 'L', 8000, 10) AS l \gset
SELECT commerce.create_product(:sel, 'dear', 9000, 10) AS dear \gset
SELECT commerce.create_product(:sel, 'scarce', 8000, 1) AS scarce \gset
SELECT commerce.create_product(:sel, 'gone', 8000, 10) AS gone \gset
SELECT commerce.create_product(:sel, 'few each', 8000, 10, max_per_user => 1) AS few \gset
SELECT commerce.create_product(:oth, 'theirs', 8000, 10) AS theirs \gset
SELECT commerce.set_product_status(:gone, 'DISCONTINUED') \g /dev/null
SELECT id AS o FROM commerce.place_order(:kim, format('[{"product_id": %s, "quantity": 4}]', :m)::jsonb) \gset
SELECT id AS item FROM commerce.order_items WHERE order_id = :o \gset
SELECT commerce.change_item_status(:item, s, 'ADMIN') FROM unnest('{DISPATCHED,IN_TRANSIT,DELIVERED,EXCHANGE_REQUESTED,EXCHANGE_PROCESSING}'::commerce.order_item_status[]) s \g /dev/null

SELECT refuses(format('SELECT commerce.complete_exchange(%s, replacement_product_id => %s, quantity => 2)', :item, p), code, what)
FROM (VALUES (:dear::bigint, 'INVALID_REQUEST', 'one that costs more now, though its list price is the same'), (:theirs, 'INVALID_REQUEST', 'another seller''s'),
	(:scarce, 'STOCK_NOT_ENOUGH', 'one that is short'), (:gone, 'PRODUCT_NOT_ON_SALE', 'one that is not on sale'), (:few, 'PURCHASE_LIMIT_EXCEEDED', 'more than anybody may have')) v (p, code, what);
SELECT results_eq(format('SELECT status::text, quantity FROM commerce.order_items WHERE order_id = %s', :o), $$VALUES ('EXCHANGE_PROCESSING', 4::bigint)$$, 'then nothing changes');

SELECT id AS part FROM commerce.complete_exchange(:item, replacement_product_id => :l, quantity => 1) \gset
SELECT results_eq(format('SELECT status::text, quantity, product_id, replacement_product_id FROM commerce.order_items WHERE id = %s', :part),
	format($$VALUES ('EXCHANGED', 1::bigint, %s::bigint, %s::bigint)$$, :m, :l), 'one that costs the same now, though not by its list price');
SELECT is(commerce.available_stock(:m), 7::bigint, 'what came back is in stock');
SELECT is(commerce.available_stock(:l), 9::bigint, 'and the replacement is out');
SELECT commerce.complete_exchange(:item, restock => false, quantity => 2) \g /dev/null
SELECT is(commerce.available_stock(:m), 5::bigint, 'two broken ones are replaced by the same');
SELECT is((SELECT balance FROM commerce.get_balance(:kim)), 968000::bigint, 'no money moves');
SELECT commerce.complete_exchange(:item, replacement_product_id => :few) \g /dev/null
SELECT refuses(format('SELECT commerce.place_order(%s, %L)', :kim, format('[{"product_id": %s, "quantity": 1}]', :few)), 'PURCHASE_LIMIT_EXCEEDED', 'the exchange counts for the replacement');

-- a return afterwards is about the replacement
SELECT commerce.change_item_status(:part, s, 'ADMIN') FROM unnest('{RETURN_REQUESTED,RETURN_PROCESSING}'::commerce.order_item_status[]) s \g /dev/null
SELECT commerce.complete_return(:part) \g /dev/null
SELECT is(commerce.available_stock(:l), 10::bigint, 'the replacement came back');
SELECT is((SELECT refunded_amount FROM commerce.orders WHERE id = :o), 8000::bigint, 'for what the unit cost');
SELECT results_eq(format($$SELECT p.name, r.fact, r.units FROM commerce.sales_report(%s, current_date - 1, current_date + 1) r JOIN commerce.products p ON p.id = r.product_id ORDER BY r.product_id$$, :sel),
	$$VALUES ('M', 'SALE', 4::bigint), ('L', 'RETURN', -1::bigint)$$, 'and so the report says');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
