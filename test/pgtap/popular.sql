-- Best sellers: three days of commerce.timezone, folded by watermark.
-- role: postgres
-- Postgres moves paid_at by hand; everything else is done as shop.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.charge_balance(:kim, 90000000) \g /dev/null
SELECT commerce.create_product(NULL, 'P' || i, 10, 1000000) AS id FROM generate_series(1, 8) i \g /dev/null
SELECT array_agg(id ORDER BY id) AS p FROM commerce.products \gset
CREATE FUNCTION pg_temp.sell(product bigint, quantity bigint, at timestamptz DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	o bigint := (commerce.place_order((SELECT min(id) FROM commerce.users), jsonb_build_array(jsonb_build_object('product_id', product, 'quantity', quantity)))).id;
BEGIN
	IF at IS NOT NULL THEN
		UPDATE commerce.orders SET paid_at = at WHERE id = o;
	END IF;
	RETURN o;
END
$$;
CREATE FUNCTION pg_temp.ranking(days int DEFAULT 3, top int DEFAULT 5) RETURNS text LANGUAGE sql
AS $$SELECT string_agg(format('%s:%s=%s', rank, name, units_sold), ' ' ORDER BY rank) FROM commerce.popular_products(days, top)$$;
SELECT is_empty('SELECT * FROM commerce.popular_products()', 'nothing sold, nothing popular');

-- midnight is midnight in Seoul
SELECT (commerce_private.local_date()::timestamp AT TIME ZONE 'Asia/Seoul') AS midnight \gset
RESET ROLE;
SELECT pg_temp.sell((:'p'::bigint[])[1], 5, :'midnight'), pg_temp.sell((:'p'::bigint[])[2], 9, :'midnight'::timestamptz - interval '2 days'),
	pg_temp.sell((:'p'::bigint[])[3], 100, :'midnight'::timestamptz - interval '2 days 1 microsecond'), pg_temp.sell((:'p'::bigint[])[4], 3),
	pg_temp.sell((:'p'::bigint[])[5], 2), pg_temp.sell((:'p'::bigint[])[6], 3, :'midnight'::timestamptz - interval '1 microsecond'), pg_temp.sell((:'p'::bigint[])[7], 1) \g /dev/null
SET ROLE shop;
SELECT is_empty('SELECT * FROM commerce.popular_products()', 'nothing is counted in the path of an order');
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(), '1:P2=9 2:P1=5 3:P4=3 4:P6=3 5:P5=2', 'today and the two days before, the first five, ties by product id');
SELECT is(pg_temp.ranking(3, 100), '1:P2=9 2:P1=5 3:P4=3 4:P6=3 5:P5=2 6:P7=1', 'all of them; a microsecond before the window is outside');
SELECT is(pg_temp.ranking(3, 1), '1:P2=9', 'the first');
SELECT is(pg_temp.ranking(1, 10), '1:P1=5 2:P4=3 3:P5=2 4:P7=1', 'today only');
SELECT is(pg_temp.ranking(4, 2), '1:P3=100 2:P2=9', 'four days');
SELECT results_eq('SELECT product_id, price FROM commerce.popular_products(3, 1)', format('VALUES (%s::bigint, 10::bigint)', (:'p'::bigint[])[2]), 'with id and price');
SELECT ok(bool_and(as_of BETWEEN now() - interval '1 hour' AND clock_timestamp()), 'as of the refresh') FROM commerce.popular_products();
SELECT bag_eq('SELECT day - commerce_private.local_date(), product_id, sum(units)::bigint FROM (SELECT * FROM commerce.product_daily_sales UNION ALL SELECT * FROM commerce_private.unfolded_sales) s GROUP BY 1, 2',
	(SELECT format('VALUES (0, %s::bigint, 5::bigint), (-2, %s, 9), (-3, %s, 100), (0, %s, 3), (0, %s, 2), (-1, %s, 3), (0, %s, 1)', v[1], v[2], v[3], v[4], v[5], v[6], v[7])
	 FROM (SELECT :'p'::bigint[] AS v) t), 'each on the day it was paid');

-- the watermark: what was counted is not counted again
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(), '1:P2=9 2:P1=5 3:P4=3 4:P6=3 5:P5=2', 'refreshing again changes nothing');
SELECT pg_temp.sell((:'p'::bigint[])[7], 10) \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P2=9 2:P1=5', 'a new sale is not seen before a refresh');
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P7=11 2:P2=9', 'and counted by the next');
BEGIN;
SELECT pg_temp.sell((:'p'::bigint[])[1], 100) \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P7=11 2:P2=9', 'nor is one of this transaction');
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P1=105 2:P7=11', 'a refresh counts its own transaction''s sales');
SELECT is(pg_temp.ranking(4, 2), '1:P1=105 2:P3=100', 'for any number of days');
SELECT pg_temp.sell((:'p'::bigint[])[1], 1) \g /dev/null
SELECT is(pg_temp.ranking(4, 2), '1:P1=105 2:P3=100', 'as of the refresh');
COMMIT;
SELECT is(pg_temp.ranking(3, 2), '1:P1=105 2:P7=11', 'as of the refresh');
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P1=106 2:P7=11', 'the next counts the rest, and nothing twice');
RESET ROLE;
SELECT pg_temp.sell((:'p'::bigint[])[1], 1) AS o \gset
SELECT commerce.cancel_order(:o, 'ADMIN') \g /dev/null
UPDATE commerce.orders SET paid_at = now() - interval '90 days' WHERE id = :o;
SET ROLE shop;
BEGIN;
SELECT commerce.cancel_order_item((SELECT min(i.id) FROM commerce.order_items i WHERE i.product_id = (:'p'::bigint[])[1] AND i.quantity = 1), 1, 'ADMIN') \g /dev/null
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P1=105 2:P7=11', 'and takes off what its own transaction cancelled');
COMMIT;
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P1=105 2:P7=11', 'once');
BEGIN;
SELECT pg_temp.sell((:'p'::bigint[])[1], 100) \g /dev/null
ROLLBACK;
BEGIN;
SELECT commerce.refresh_popular_products() \g /dev/null
ROLLBACK;
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P1=105 2:P7=11', 'what was rolled back was not sold');

-- a pending order is not sold
SELECT commerce.place_order(:kim, jsonb_build_array(jsonb_build_object('product_id', (:'p'::bigint[])[8], 'quantity', 1000)), payment_method => 'EXTERNAL') \g /dev/null
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P1=105 2:P7=11', 'units that are not paid are not sold');

-- discontinued products go, sold-out ones stay; at once
SELECT commerce.set_product_status((:'p'::bigint[])[1], 'DISCONTINUED') \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P7=11 2:P2=9', 'a discontinued product is left out, before a refresh too');
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(3, 2), '1:P7=11 2:P2=9', 'and after');
SELECT commerce.set_product_status((:'p'::bigint[])[1], 'ON_SALE') \g /dev/null
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(3, 1), '1:P1=105', 'it comes back with its sales');
SELECT commerce.adjust_stock(id, -commerce.available_stock(id)) FROM unnest(ARRAY[(:'p'::bigint[])[1]]) id \g /dev/null
SELECT is((SELECT status FROM commerce.product_list WHERE id = (:'p'::bigint[])[1]), 'SOLD_OUT', 'a product sold out');
SELECT is(pg_temp.ranking(3, 1), '1:P1=105', 'is popular all the same');

-- yesterday's ranking is not shown today: the days are summed again
RESET ROLE;
UPDATE commerce.popular_products SET until_day = until_day - 1;
INSERT INTO commerce.product_daily_sales AS d (day, product_id, units) VALUES (commerce_private.local_date() - 2, (:'p'::bigint[])[2], 68)
ON CONFLICT (day, product_id) DO UPDATE SET units = d.units + 68;
SET ROLE shop;
SELECT is(pg_temp.ranking(3, 2), '1:P1=105 2:P2=77', 'a ranking of yesterday is not read');
SELECT isnt_empty('SELECT * FROM commerce.popular_products() WHERE as_of IS NOT NULL', 'it says of when it is');

-- the zone of the session does not matter, that of the shop does
SET TimeZone = 'Pacific/Kiritimati';
SELECT is(pg_temp.ranking(1, 10), '1:P1=105 2:P7=11 3:P4=3 4:P5=2', 'today is today in Seoul, wherever the caller is');
SET TimeZone = 'Pacific/Pago_Pago';
SELECT is(pg_temp.ranking(1, 10), '1:P1=105 2:P7=11 3:P4=3 4:P5=2', 'east or west');
RESET TimeZone;
SELECT is(commerce_private.local_date(at), day, format('%s is on %s in Seoul', at, day))
FROM (VALUES ('2024-02-28 15:00:00Z'::timestamptz, '2024-02-29'::date), ('2024-02-29 14:59:59.999999Z', '2024-02-29'), ('2024-12-31 15:00Z', '2025-01-01'), ('1970-01-01 00:00Z', '1970-01-01'),
	('4713-01-02 00:00 BC', '4713-01-02 BC')) AS t (at, day);
SELECT is(commerce_private.local_date(NULL), NULL, 'no moment, no day');

-- A refresh whose snapshot is old fails and can be tried again; it counts nothing twice and leaves one watermark.
RESET ROLE;
INSERT INTO commerce_private.sales_fold SELECT '3' WHERE NOT EXISTS (SELECT FROM commerce_private.sales_fold);
SELECT is((SELECT count(*) FROM commerce_private.sales_fold), 1::bigint, 'there is one watermark');
SELECT throws_ok('INSERT INTO commerce_private.sales_fold VALUES (''1'')', '23505', NULL, 'there cannot be two');
SET ROLE shop;

-- Cancelled units come off the day they were sold on; what was returned or exchanged stays sold.
RESET ROLE;
SELECT pg_temp.sell((:'p'::bigint[])[8], 50) AS today, pg_temp.sell((:'p'::bigint[])[8], 500, :'midnight'::timestamptz - interval '1 day') AS yesterday \gset
SET ROLE shop;
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is((SELECT units_sold FROM commerce.popular_products(1, 100) WHERE name = 'P8'), 50::bigint, 'sold today');
SELECT is((SELECT units_sold FROM commerce.popular_products(3, 100) WHERE name = 'P8'), 550::bigint, 'sold today and yesterday');
SELECT commerce.cancel_order_item(id, 100, 'BUYER') FROM commerce.order_items WHERE order_id = :yesterday \g /dev/null
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is((SELECT units_sold FROM commerce.popular_products(1, 100) WHERE name = 'P8'), 50::bigint, 'what was sold yesterday and cancelled today does not count against today');
SELECT is((SELECT units_sold FROM commerce.popular_products(3, 100) WHERE name = 'P8'), 450::bigint, 'but against yesterday');
SELECT commerce.cancel_order(:today, 'ADMIN') \g /dev/null
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is((SELECT units_sold FROM commerce.popular_products(1, 100) WHERE name = 'P8'), NULL, 'what was cancelled whole is not popular');
SELECT pg_temp.sell((:'p'::bigint[])[8], 7) AS returned \gset
SELECT id AS item FROM commerce.order_items WHERE order_id = :returned \gset
SELECT commerce.change_item_status(:item, s, a) FROM (VALUES ('DISPATCHED'::commerce.order_item_status, 'ADMIN'::commerce.actor_kind), ('IN_TRANSIT', 'ADMIN'), ('DELIVERED', 'ADMIN'),
	('RETURN_REQUESTED', 'BUYER'), ('RETURN_PROCESSING', 'ADMIN'), ('RETURNED', 'ADMIN')) AS v (s, a) \g /dev/null
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is((SELECT status FROM commerce.order_items WHERE id = :item), 'RETURNED', 'what was returned');
SELECT is((SELECT units_sold FROM commerce.popular_products(1, 100) WHERE name = 'P8'), 7::bigint, 'was sold');

-- What a refresh reads does not grow with what was sold long ago: of that at most what fills one range of the index.
RESET ROLE;
BEGIN;
SET LOCAL session_replication_role = replica;
INSERT INTO commerce.order_items (id, order_id, seq, line, product_id, product_name, status, quantity, unit_price, unit_discount, unit_final, line_total)
OVERRIDING SYSTEM VALUE SELECT -n, -n, 1, 1, 1, 'P1', 'PAID', 1, 10, 0, 10, 10 FROM generate_series(1, 60000) n;
INSERT INTO commerce.order_item_events (order_item_id, ordinal, event, quantity, at, xid, actor)
SELECT -n, 1, 'PAID', 1, now(), '3', 'BUYER' FROM generate_series(1, 60000) n;
COMMIT;
VACUUM ANALYZE commerce.order_items, commerce.order_item_events;
SELECT pg_temp.sell((:'p'::bigint[])[7], 1) \g /dev/null
BEGIN;
SELECT seq_tup_read + idx_tup_fetch AS before FROM pg_stat_xact_user_tables WHERE relid = 'commerce.order_item_events'::regclass \gset
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT ok(read < 30000, format('%s rows are read', read))
FROM (SELECT seq_tup_read + idx_tup_fetch - :before AS read FROM pg_stat_xact_user_tables
	  WHERE relid = 'commerce.order_item_events'::regclass) r;
COMMIT;
SELECT is((SELECT units_sold FROM commerce.popular_products(1, 100) WHERE name = 'P7'), 12::bigint, 'and what was sold since is counted');
DELETE FROM commerce.order_item_events WHERE order_item_id < 0;
DELETE FROM commerce.order_items WHERE id < 0;

-- More than fits: sums stop at bigint's end, and the refresh goes on.
SELECT commerce.create_product(NULL, 'Sand', 0, 10) AS sand \gset
RESET ROLE;
INSERT INTO commerce.product_daily_sales (day, product_id, units)
SELECT commerce_private.local_date() - ago, :sand, 9223372036854775807 FROM generate_series(0, 1) ago;
SELECT pg_temp.sell(:sand, 1), pg_temp.sell(:sand, 1, :'midnight'::timestamptz - interval '1 day') \g /dev/null
SET ROLE shop;
SELECT commerce.refresh_popular_products() \g /dev/null
SELECT is(pg_temp.ranking(3, 1), '1:Sand=9223372036854775807', 'sums stop at bigint''s end');
SELECT is(pg_temp.ranking(2, 1), '1:Sand=9223372036854775807', 'those of the stored ranking and others');

SELECT refuses(format('SELECT * FROM commerce.popular_products(%s)', arguments), 'INVALID_REQUEST', 'popular_products(' || arguments || ')')
FROM unnest(ARRAY['NULL', '0', '-1', '3661', '2147483647', '-2147483648', '3, NULL', '3, 0', '3, -1', '3, 1001', '3, 2147483647']) AS arguments;
SELECT lives_ok('SELECT * FROM commerce.popular_products(3660, 1000)', 'the greatest window');
BEGIN READ ONLY;
SELECT refuses('SELECT commerce.refresh_popular_products()', '25006', 'to refresh in a read-only transaction');
SELECT is(pg_temp.ranking(3, 1), '1:Sand=9223372036854775807', 'which can read the ranking');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT lives_ok('SELECT commerce.refresh_popular_products()', 'to refresh in SERIALIZABLE');
COMMIT;

SELECT * FROM finish();
