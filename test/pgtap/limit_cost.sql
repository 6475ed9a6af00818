-- An order of a product without max_per_user pays nothing for that there are such limits: it takes no lock for them,
-- reads none of the user's earlier orders, and writes no entry of theirs. Counted, beside an order of a product with one.
-- role: postgres
-- Who looks at what statements read and write is a DBA.

SELECT no_plan();
SELECT commerce.create_user('a') AS buyer \gset
SELECT commerce.create_product(NULL, 'plain', 100, 1000) AS plain \gset
SELECT commerce.create_product(NULL, 'limited', 100, 1000, max_per_user => 500) AS limited \gset
SELECT commerce.charge_balance(:buyer, 1000000) \g /dev/null
CREATE FUNCTION pg_temp.one(bigint) RETURNS jsonb LANGUAGE sql
AS $$SELECT jsonb_build_array(jsonb_build_object('product_id', $1, 'quantity', 1))$$;
SELECT commerce.place_order(:buyer, pg_temp.one(p)) FROM generate_series(1, 30), unnest(ARRAY[:plain, :limited]) p \g /dev/null

-- How many records an order writes to the WAL: the fewest of ten, since now and then a page of an index is split
CREATE FUNCTION pg_temp.wal(product bigint, buyer bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
	fewest bigint;
BEGIN
	FOR i IN 1 .. 10 LOOP
		EXECUTE format('EXPLAIN (ANALYZE, WAL, TIMING off, FORMAT json) SELECT commerce.place_order(%s, %L)', buyer, pg_temp.one(product)) INTO plan;
		fewest := least(fewest, (plan -> 0 -> 'Plan' ->> 'WAL Records')::bigint);
	END LOOP;
	RETURN fewest;
END
$$;
SELECT pg_temp.wal(:plain, :buyer) AS plain_wal \gset
SELECT cmp_ok(:plain_wal::bigint, '>', 10::bigint, 'what an order writes is counted');
SELECT is(pg_temp.wal(:limited, :buyer), :plain_wal::bigint + 2, 'one of a product with a limit writes two records more: an entry of the index of limited units, and the lock on the user''s row');

-- How many rows an order reads of a table, by an index or without
CREATE FUNCTION pg_temp.read_of(tab regclass) RETURNS bigint LANGUAGE sql AS $$
	SELECT pg_stat_get_xact_tuples_returned(tab) + pg_stat_get_xact_tuples_fetched(tab)
		   + (SELECT sum(pg_stat_get_xact_tuples_fetched(indexrelid))::bigint FROM pg_index WHERE indrelid = tab)
$$;
CREATE FUNCTION pg_temp.reads(product bigint, buyer bigint, tab regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint := pg_temp.read_of(tab);
BEGIN
	PERFORM commerce.place_order(buyer, pg_temp.one(product));
	RETURN pg_temp.read_of(tab) - before;
END
$$;
SELECT is(pg_temp.reads(:plain, :buyer, 'commerce.order_items'), 0::bigint, 'an order of a product without a limit reads no item of another');
SELECT cmp_ok(pg_temp.reads(:limited, :buyer, 'commerce.order_items'), '>=', 40::bigint, 'one of a product with a limit reads those that count');
SELECT is(pg_temp.reads(:limited, :buyer, 'commerce.users') - pg_temp.reads(:plain, :buyer, 'commerce.users'), 0::bigint, 'and the user''s row as often: it is locked where it has been read');

-- Nor does an order of both read what is not limited
SELECT commerce.create_user('b') AS other \gset
SELECT commerce.charge_balance(:other, 1000000) \g /dev/null
SELECT commerce.place_order(:other, pg_temp.one(:plain)) FROM generate_series(1, 30) \g /dev/null
SELECT is(pg_temp.reads(:limited, :other, 'commerce.order_items'), 0::bigint, 'what a limit reads is of its product alone');
SELECT * FROM finish();
