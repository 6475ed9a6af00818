-- What an order costs: examples reckoned by hand, then many random carts against an independent
-- computation in exact numerics.
--
-- A cart is jsonb: {"lines": [{"price", "quantity", "discount", "fee", "seller": 1 | 2 | null,
-- "promotions": [{"kind", "value"}], "coupon": C}], "order": C, "shipping": C}, where a coupon C is
-- {"kind", "value", "cap", "unit", "min", "seller"}. What is not given is 0, null or 1.

SELECT no_plan();
CREATE TEMP TABLE seller (n int PRIMARY KEY, id bigint);
INSERT INTO seller SELECT n, commerce.create_seller(commerce.create_user('S' || n, n || '@example.com', role => 'SELLER'), 'S' || n, n::text) FROM generate_series(1, 3) n;
CREATE TEMP SEQUENCE user_number;

-- gives a user a coupon of this kind, and returns its issue
CREATE FUNCTION pg_temp.hold(buyer bigint, c jsonb, product bigint DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
	SELECT (commerce.claim_coupon(buyer, commerce.create_coupon('c', (c ->> 'kind')::commerce.coupon_kind, (c ->> 'value')::bigint, 1, valid_days => 1,
		seller_id => (SELECT id FROM pg_temp.seller WHERE n = (c ->> 'seller')::int), product_id => product,
		min_order_amount => coalesce((c ->> 'min')::bigint, 0), max_discount => (c ->> 'cap')::bigint, round_unit => coalesce((c ->> 'unit')::bigint, 1)))).id
$$;

-- what the extension makes of a cart: totals and lines, or the code of its error
CREATE FUNCTION pg_temp.actual(cart jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	buyer bigint := commerce.create_user('B', 'b' || nextval('pg_temp.user_number') || '@example.com');
	items jsonb := '[]';
	issues bigint[] := '{}';
	line jsonb;
	product bigint;
	placed commerce.orders;
BEGIN
	FOR line IN SELECT jsonb_array_elements(cart -> 'lines') LOOP
		product := commerce.create_product((SELECT id FROM pg_temp.seller WHERE n = (line ->> 'seller')::int), 'p', (line ->> 'price')::bigint,
			1000000, discount => coalesce((line ->> 'discount')::bigint, 0), shipping_fee => coalesce((line ->> 'fee')::bigint, 0));
		PERFORM commerce.create_promotion(product, (p ->> 'kind')::commerce.coupon_kind, (p ->> 'value')::bigint, '2020-01-01', '2100-01-01')
		FROM jsonb_array_elements(line -> 'promotions') p;
		items := items || jsonb_build_object('product_id', product, 'quantity', line -> 'quantity', 'coupon_issue_id',
			CASE WHEN line ? 'coupon' THEN pg_temp.hold(buyer, line -> 'coupon', product) END);
	END LOOP;
	IF cart ? 'order' THEN issues := issues || pg_temp.hold(buyer, cart -> 'order'); END IF;
	IF cart ? 'shipping' THEN issues := issues || pg_temp.hold(buyer, cart -> 'shipping'); END IF;
	placed := commerce.place_order(buyer, items, issues, payment_method => 'EXTERNAL');
	RETURN jsonb_build_object('items_total', placed.items_total, 'item_discount', placed.item_discount_total, 'order_discount', placed.order_discount,
		'shipping', placed.shipping_total, 'shipping_discount', placed.shipping_discount, 'pay', placed.payment_amount,
		'lines', (SELECT jsonb_agg(jsonb_build_array(i.unit_final, i.line_total, i.order_discount_share, i.shipping_fee, i.shipping_discount) ORDER BY i.seq)
				  FROM commerce.order_items i WHERE i.order_id = placed.id),
		-- what the order took down of its coupons
		'coupons', (SELECT coalesce(sum(c.discount), 0) FROM commerce.order_coupons c WHERE c.order_id = placed.id));
EXCEPTION WHEN SQLSTATE 'SH007' THEN
	RETURN '{"error": "COUPON_NOT_USABLE"}';
WHEN SQLSTATE 'SH008' THEN
	RETURN '{"error": "COUPON_CONDITION_NOT_MET"}';
END
$$;

-- what a coupon takes off an amount
CREATE FUNCTION pg_temp.off(c jsonb, amount numeric) RETURNS numeric LANGUAGE sql AS $$
	SELECT least(amount, (c ->> 'cap')::numeric,
		CASE c ->> 'kind' WHEN 'FIXED' THEN (c ->> 'value')::numeric
			 WHEN 'PERCENT' THEN div(div(amount * (c ->> 'value')::numeric, 100), coalesce((c ->> 'unit')::numeric, 1)) * coalesce((c ->> 'unit')::numeric, 1)
			 ELSE amount END)
$$;

-- an amount spread over weights by largest remainder, ties to the first
CREATE FUNCTION pg_temp.spread(amount numeric, weights numeric[]) RETURNS numeric[] LANGUAGE sql AS $$
	WITH total AS (SELECT sum(w) AS sum FROM unnest(weights) w),
	part AS (SELECT n, CASE WHEN sum = 0 THEN 0 ELSE div(amount * w, sum) END AS floor, CASE WHEN sum = 0 THEN 0 ELSE mod(amount * w, sum) END AS rest
			 FROM unnest(weights) WITH ORDINALITY u (w, n), total),
	ranked AS (SELECT n, floor, row_number() OVER (ORDER BY rest DESC, n) AS rank, amount - sum(floor) OVER () AS left FROM part)
	SELECT array_agg(floor + CASE WHEN rank <= "left" THEN 1 ELSE 0 END ORDER BY n) FROM ranked
$$;

-- what a cart ought to cost; "error" is an array of those that are right
CREATE FUNCTION pg_temp.expected(cart jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	n int := jsonb_array_length(cart -> 'lines');
	unit_final numeric[] := '{}'; total numeric[] := '{}'; fee numeric[] := '{}'; seller int[] := '{}';
	weights numeric[];
	shares numeric[] := array_fill(0::numeric, ARRAY[n]);
	fee_shares numeric[] := array_fill(0::numeric, ARRAY[n]);
	errors text[] := '{}';
	items_total numeric := 0; coupons numeric := 0; amount numeric; eligible numeric; list numeric;
	line jsonb; c jsonb; place text;
BEGIN
	FOR line IN SELECT jsonb_array_elements(cart -> 'lines') LOOP
		list := (line ->> 'price')::numeric;
		items_total := items_total + list * (line ->> 'quantity')::numeric;
		amount := list - least(list, greatest(coalesce((line ->> 'discount')::numeric, 0),
			(SELECT max(CASE p ->> 'kind' WHEN 'FIXED' THEN (p ->> 'value')::numeric ELSE div(list * (p ->> 'value')::numeric, 100) END)
			 FROM jsonb_array_elements(line -> 'promotions') p)));
		IF line ? 'coupon' THEN
			IF pg_temp.off(line -> 'coupon', amount) = 0 THEN errors := errors || 'COUPON_CONDITION_NOT_MET'::text; END IF;
			IF amount * (line ->> 'quantity')::numeric < coalesce((line #>> '{coupon,min}')::numeric, 0) THEN
				errors := errors || 'COUPON_CONDITION_NOT_MET'::text;
			END IF;
			coupons := coupons + pg_temp.off(line -> 'coupon', amount) * (line ->> 'quantity')::numeric;
			amount := amount - pg_temp.off(line -> 'coupon', amount);
		END IF;
		unit_final := unit_final || amount;
		total := total || amount * (line ->> 'quantity')::numeric;
		fee := fee || coalesce((line ->> 'fee')::numeric, 0);
		seller := seller || coalesce((line ->> 'seller')::int, 0);
	END LOOP;
	FOREACH place IN ARRAY ARRAY['order', 'shipping'] LOOP
		CONTINUE WHEN NOT cart ? place;
		c := cart -> place;
		SELECT array_agg(CASE WHEN (c ->> 'seller')::int <> s THEN 0 WHEN place = 'order' THEN t ELSE f END ORDER BY i),
			   sum(t) FILTER (WHERE ((c ->> 'seller')::int <> s) IS NOT TRUE)
		INTO weights, eligible
		FROM unnest(total, fee, seller) WITH ORDINALITY AS u (t, f, s, i);
		IF eligible IS NULL THEN
			errors := errors || 'COUPON_NOT_USABLE'::text;
			CONTINUE;
		END IF;
		amount := pg_temp.off(c, (SELECT sum(w) FROM unnest(weights) w));
		IF eligible < coalesce((c ->> 'min')::numeric, 0) OR amount = 0 THEN errors := errors || 'COUPON_CONDITION_NOT_MET'::text; END IF;
		coupons := coupons + amount;
		IF place = 'order' THEN shares := pg_temp.spread(amount, weights); ELSE fee_shares := pg_temp.spread(amount, weights); END IF;
	END LOOP;
	IF errors <> '{}' THEN
		RETURN jsonb_build_object('error', errors);
	END IF;
	SELECT sum(f) INTO list FROM unnest(total) f;
	RETURN jsonb_build_object('items_total', items_total, 'item_discount', items_total - list, 'order_discount', (SELECT sum(s) FROM unnest(shares) s),
		'shipping', (SELECT sum(f) FROM unnest(fee) f) - (SELECT sum(s) FROM unnest(fee_shares) s), 'shipping_discount', (SELECT sum(s) FROM unnest(fee_shares) s),
		'pay', list - (SELECT sum(s) FROM unnest(shares) s) + (SELECT sum(f) FROM unnest(fee) f) - (SELECT sum(s) FROM unnest(fee_shares) s),
		'lines', (SELECT jsonb_agg(jsonb_build_array(u, t, s, f, fs) ORDER BY i)
				  FROM unnest(unit_final, total, shares, fee, fee_shares) WITH ORDINALITY AS l (u, t, s, f, fs, i)),
		'coupons', coupons);
END
$$;

-- By hand. The extension must give what is written here, and so must the independent computation.
CREATE TEMP TABLE example (n serial, what text, cart jsonb, result jsonb);
INSERT INTO example (what, cart, result) VALUES
('no discount', '{"lines":[{"price":1000,"quantity":3,"fee":2500}]}', '{"pay":5500,"shipping":2500}'),
('shipping is paid once per line', '{"lines":[{"price":1000,"quantity":3,"fee":2500},{"price":1,"quantity":1,"fee":3000}]}', '{"pay":8501,"shipping":5500}'),
('instant discount per unit', '{"lines":[{"price":1000,"quantity":3,"discount":100}]}', '{"pay":2700,"item_discount":300}'),
('the larger of discount and promotion', '{"lines":[{"price":1000,"quantity":1,"discount":100,"promotions":[{"kind":"PERCENT","value":11}]}]}', '{"pay":890}'),
('the larger of discount and promotion, the other way', '{"lines":[{"price":1000,"quantity":1,"discount":120,"promotions":[{"kind":"PERCENT","value":11}]}]}', '{"pay":880}'),
('a product coupon counts for every unit, after the discount', '{"lines":[{"price":1000,"quantity":3,"discount":100,"coupon":{"kind":"FIXED","value":50}}]}', '{"pay":2550,"item_discount":450,"coupons":150}'),
('its percentage is floored per unit', '{"lines":[{"price":999,"quantity":10,"coupon":{"kind":"PERCENT","value":5}}]}', '{"pay":9500}'),
('its cap is per unit', '{"lines":[{"price":1000,"quantity":2,"coupon":{"kind":"PERCENT","value":50,"cap":300}}]}', '{"pay":1400}'),
('a fixed amount above the price takes the price', '{"lines":[{"price":1000,"quantity":2,"fee":10,"coupon":{"kind":"FIXED","value":5000}}]}', '{"pay":10,"coupons":2000}'),
('100 percent', '{"lines":[{"price":999,"quantity":2,"coupon":{"kind":"PERCENT","value":100}}]}', '{"pay":0}'),
('its minimum is tested before it', '{"lines":[{"price":1000,"quantity":2,"coupon":{"kind":"FIXED","value":100,"min":2001}}]}', '{"error":"COUPON_CONDITION_NOT_MET"}'),
('its minimum is just met', '{"lines":[{"price":1000,"quantity":2,"coupon":{"kind":"FIXED","value":100,"min":1800}}]}', '{"pay":1800}'),
('an order coupon in won', '{"lines":[{"price":1000,"quantity":1},{"price":2000,"quantity":1}],"order":{"kind":"FIXED","value":300}}', '{"pay":2700,"order_discount":300,"lines":[[1000,1000,100,0,0],[2000,2000,200,0,0]]}'),
('an order coupon in percent, floored to its unit', '{"lines":[{"price":12345,"quantity":1}],"order":{"kind":"PERCENT","value":10,"unit":100}}', '{"pay":11145,"order_discount":1200}'),
('floor before unit, unit before cap', '{"lines":[{"price":99999,"quantity":1}],"order":{"kind":"PERCENT","value":33,"unit":1000,"cap":32500}}', '{"order_discount":32000}'),
('a cap that is no multiple of the unit stays whole', '{"lines":[{"price":99999,"quantity":1}],"order":{"kind":"PERCENT","value":33,"unit":1000,"cap":12345}}', '{"order_discount":12345}'),
('the unit does not apply to won', '{"lines":[{"price":10000,"quantity":1}],"order":{"kind":"FIXED","value":1234,"unit":1000}}', '{"order_discount":1234}'),
('rounded to nothing', '{"lines":[{"price":999,"quantity":1}],"order":{"kind":"PERCENT","value":10,"unit":100}}', '{"error":"COUPON_CONDITION_NOT_MET"}'),
('never more than the order, shipping not counted', '{"lines":[{"price":1000,"quantity":1,"fee":2500}],"order":{"kind":"FIXED","value":9999}}', '{"pay":2500,"order_discount":1000}'),
('the minimum does not count shipping', '{"lines":[{"price":1000,"quantity":1,"fee":2500}],"order":{"kind":"FIXED","value":1,"min":1001}}', '{"error":"COUPON_CONDITION_NOT_MET"}'),
('the minimum counts after product discounts', '{"lines":[{"price":1000,"quantity":1,"discount":1}],"order":{"kind":"FIXED","value":1,"min":1000}}', '{"error":"COUPON_CONDITION_NOT_MET"}'),
('the minimum counts after product coupons', '{"lines":[{"price":1000,"quantity":1,"coupon":{"kind":"FIXED","value":1}}],"order":{"kind":"FIXED","value":1,"min":1000}}', '{"error":"COUPON_CONDITION_NOT_MET"}'),
('the order coupon comes after product coupons', '{"lines":[{"price":1000,"quantity":1,"coupon":{"kind":"PERCENT","value":50}}],"order":{"kind":"PERCENT","value":10}}', '{"pay":450}'),
('largest remainder: three equal lines, the first gets the odd won', '{"lines":[{"price":1000,"quantity":1},{"price":1000,"quantity":1},{"price":1000,"quantity":1}],"order":{"kind":"FIXED","value":100}}', '{"lines":[[1000,1000,34,0,0],[1000,1000,33,0,0],[1000,1000,33,0,0]]}'),
('two odd won go to the first two', '{"lines":[{"price":1000,"quantity":1},{"price":1000,"quantity":1},{"price":1000,"quantity":1}],"order":{"kind":"FIXED","value":101}}', '{"lines":[[1000,1000,34,0,0],[1000,1000,34,0,0],[1000,1000,33,0,0]]}'),
('not the largest line, the largest remainder', '{"lines":[{"price":700,"quantity":1},{"price":200,"quantity":1},{"price":100,"quantity":1}],"order":{"kind":"FIXED","value":7}}', '{"lines":[[700,700,5,0,0],[200,200,1,0,0],[100,100,1,0,0]]}'),
('a line of 0 won gets nothing', '{"lines":[{"price":0,"quantity":5},{"price":3,"quantity":1},{"price":3,"quantity":1}],"order":{"kind":"FIXED","value":1}}', '{"lines":[[0,0,0,0,0],[3,3,1,0,0],[3,3,0,0,0]]}'),
('a seller''s coupon counts and reduces that seller''s lines only', '{"lines":[{"price":1000,"quantity":1,"seller":1},{"price":3000,"quantity":1,"seller":2},{"price":500,"quantity":2,"seller":1},{"price":10,"quantity":1}],"order":{"kind":"PERCENT","value":10,"seller":1}}',
	'{"pay":4810,"order_discount":200,"lines":[[1000,1000,100,0,0],[3000,3000,0,0,0],[500,1000,100,0,0],[10,10,0,0,0]]}'),
('its minimum counts that seller''s lines only', '{"lines":[{"price":1000,"quantity":1,"seller":1},{"price":3000,"quantity":1,"seller":2}],"order":{"kind":"FIXED","value":1,"seller":1,"min":1001}}', '{"error":"COUPON_CONDITION_NOT_MET"}'),
('without that seller it is not usable', '{"lines":[{"price":3000,"quantity":1,"seller":2},{"price":1,"quantity":1}],"order":{"kind":"FIXED","value":1,"seller":1}}', '{"error":"COUPON_NOT_USABLE"}'),
('the shop''s free shipping covers all fees', '{"lines":[{"price":1000,"quantity":1,"fee":2500,"seller":1},{"price":1000,"quantity":1,"fee":3000}],"shipping":{"kind":"FREE_SHIPPING","value":0}}', '{"pay":2000,"shipping":0,"shipping_discount":5500}'),
('a seller''s covers that seller''s fees', '{"lines":[{"price":1000,"quantity":1,"fee":2500,"seller":1},{"price":1000,"quantity":1,"fee":3000,"seller":2}],"shipping":{"kind":"FREE_SHIPPING","value":0,"seller":2}}', '{"pay":4500,"shipping":2500,"shipping_discount":3000}'),
('free shipping has a cap, too', '{"lines":[{"price":1000,"quantity":1,"fee":2500},{"price":1000,"quantity":1,"fee":2500}],"shipping":{"kind":"FREE_SHIPPING","value":0,"cap":3001}}', '{"shipping":1999,"lines":[[1000,1000,0,2500,1501],[1000,1000,0,2500,1500]]}'),
('its minimum does not count fees', '{"lines":[{"price":1000,"quantity":1,"fee":2500}],"shipping":{"kind":"FREE_SHIPPING","value":0,"min":1001}}', '{"error":"COUPON_CONDITION_NOT_MET"}'),
('its minimum counts before the order coupon', '{"lines":[{"price":1000,"quantity":1,"fee":2500}],"order":{"kind":"FIXED","value":500},"shipping":{"kind":"FREE_SHIPPING","value":0,"min":1000}}', '{"pay":500}'),
('nothing to ship', '{"lines":[{"price":1000,"quantity":1}],"shipping":{"kind":"FREE_SHIPPING","value":0}}', '{"error":"COUPON_CONDITION_NOT_MET"}'),
('all four at once', '{"lines":[{"price":10000,"quantity":2,"fee":3000,"seller":1,"discount":500,"promotions":[{"kind":"PERCENT","value":10}],"coupon":{"kind":"PERCENT","value":7,"unit":10}},{"price":5000,"quantity":1,"fee":2500}],"order":{"kind":"PERCENT","value":10,"unit":100,"cap":2000},"shipping":{"kind":"FREE_SHIPPING","value":0,"seller":1}}',
	'{"items_total":25000,"item_discount":3260,"order_discount":2000,"shipping":2500,"shipping_discount":3000,"pay":22240,"lines":[[8370,16740,1540,3000,3000],[5000,5000,460,2500,0]]}');
SELECT is((SELECT jsonb_object_agg(key, a -> key) FROM jsonb_object_keys(result) key), result, what)
FROM example, LATERAL pg_temp.actual(cart) a ORDER BY n;
SELECT is_empty($$SELECT what, e FROM example, LATERAL pg_temp.expected(cart) e
	WHERE NOT CASE WHEN result ? 'error' THEN e -> 'error' ? (result ->> 'error') ELSE e @> result END$$, 'the independent computation gives the same');

-- At random. Small prices and odd numbers make ties and remainders; large ones leave bigint when multiplied.
SELECT setseed(0.20260101);
CREATE FUNCTION pg_temp.upto(n numeric) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT floor(random()::numeric * (n + 1))::bigint';
CREATE FUNCTION pg_temp.coupon(kinds text[], amount bigint, sellers boolean) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	kind text := kinds[1 + pg_temp.upto(cardinality(kinds) - 1)];
	c jsonb := jsonb_build_object('kind', kind, 'value', CASE kind WHEN 'FIXED' THEN 1 + pg_temp.upto(amount) WHEN 'PERCENT' THEN 1 + pg_temp.upto(99) ELSE 0 END);
BEGIN
	IF random() < 0.3 THEN c := c || jsonb_build_object('cap', 1 + pg_temp.upto(amount)); END IF;
	IF random() < 0.3 THEN c := c || jsonb_build_object('unit', (ARRAY[10, 100, 1000])[1 + pg_temp.upto(2)]); END IF;
	IF random() < 0.2 THEN c := c || jsonb_build_object('min', pg_temp.upto(2 * amount)); END IF;
	IF sellers AND random() < 0.4 THEN c := c || jsonb_build_object('seller', 1 + pg_temp.upto(2)); END IF;
	RETURN c;
END
$$;
CREATE FUNCTION pg_temp.cart() RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	lines jsonb := '[]';
	line jsonb;
	cart jsonb;
	magnitude numeric := (ARRAY[10, 1000, 30000, 100000, 1e9, 1e11])[1 + pg_temp.upto(5)];
	price bigint;
BEGIN
	FOR i IN 1 .. 1 + pg_temp.upto(6) LOOP
		price := pg_temp.upto(magnitude);
		line := jsonb_build_object('price', price, 'quantity', 1 + pg_temp.upto(8), 'fee', (ARRAY[0, 2500, 3000, 2501])[1 + pg_temp.upto(3)],
			'discount', CASE WHEN random() < 0.3 THEN pg_temp.upto(price) ELSE 0 END,
			'seller', CASE WHEN random() < 0.8 THEN 1 + pg_temp.upto(1) END);
		IF random() < 0.3 THEN line := line || jsonb_build_object('promotions', jsonb_build_array(pg_temp.coupon('{FIXED,PERCENT}', price, false) - '{cap,unit,min}'::text[])); END IF;
		IF random() < 0.3 THEN line := line || jsonb_build_object('coupon', pg_temp.coupon('{FIXED,PERCENT}', price, false)); END IF;
		lines := lines || line;
	END LOOP;
	cart := jsonb_build_object('lines', lines);
	IF random() < 0.7 THEN cart := cart || jsonb_build_object('order', pg_temp.coupon('{FIXED,PERCENT}', magnitude::bigint, true)); END IF;
	IF random() < 0.4 THEN cart := cart || jsonb_build_object('shipping', pg_temp.coupon('{FREE_SHIPPING}', 5000, true)); END IF;
	RETURN cart;
END
$$;
CREATE TEMP TABLE cart AS SELECT n, pg_temp.cart() AS cart FROM generate_series(1, 400) n;
CREATE TEMP TABLE priced AS SELECT n, cart, pg_temp.actual(cart) AS actual, pg_temp.expected(cart) AS expected FROM cart;
SELECT is_empty($$SELECT n, cart, actual, expected FROM priced
	WHERE NOT CASE WHEN expected ? 'error' THEN expected -> 'error' ? coalesce(actual ->> 'error', '-') ELSE actual = expected END$$,
	'400 random carts cost what they ought to cost');
SELECT cmp_ok(count(*) FILTER (WHERE NOT actual ? 'error'), '>', 150::bigint, 'most of which can be ordered') FROM priced;
SELECT cmp_ok(count(*) FILTER (WHERE (actual ->> 'order_discount')::numeric > 0), '>', 50::bigint, 'many with an order''s coupon') FROM priced;
SELECT cmp_ok(count(*) FILTER (WHERE (actual ->> 'shipping_discount')::numeric > 0), '>', 20::bigint, 'some with free shipping') FROM priced;
SELECT is(count(DISTINCT actual ->> 'error'), 2::bigint, 'and all kinds of refusal') FROM priced;
SELECT is_empty($$SELECT o.id FROM commerce.orders o JOIN commerce.order_items i ON i.order_id = o.id GROUP BY o.id
	HAVING o.order_discount <> sum(i.order_discount_share) OR o.item_discount_total <> sum(i.unit_discount * i.quantity)$$, 'shares add up');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
