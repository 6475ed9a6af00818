-- Best sellers. Nothing in the path of an order writes here: refresh_popular_products() folds what was
-- added to order_item_events since its last watermark.

CREATE TABLE commerce.product_daily_sales (
	day        date NOT NULL,
	product_id bigint NOT NULL REFERENCES commerce.products,
	units      bigint NOT NULL,
	PRIMARY KEY (day, product_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE commerce.product_daily_sales IS 'units sold per day (of payment, in commerce.timezone) and product, less units cancelled later; at most the greatest bigint';
SELECT pg_catalog.pg_extension_config_dump('commerce.product_daily_sales', '');

CREATE TABLE commerce_private.sales_fold (
	mark bigint PRIMARY KEY
);
CREATE UNIQUE INDEX sales_fold_one_row ON commerce_private.sales_fold ((true));
COMMENT ON TABLE commerce_private.sales_fold IS 'watermark: events of transactions below this id are in product_daily_sales; at most one row, written when the first sales are folded';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.sales_fold', '');

CREATE TABLE commerce_private.unfolded_sales (
	day        date NOT NULL,
	product_id bigint NOT NULL REFERENCES commerce.products,
	units      bigint NOT NULL,
	PRIMARY KEY (day, product_id)
);
COMMENT ON TABLE commerce_private.unfolded_sales IS
	'what the last refresh has seen of sales and cancellations that cannot be folded yet, because an older transaction was running, or they were its own transaction''s';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.unfolded_sales', '');

CREATE TABLE commerce.popular_products (
	rank       int PRIMARY KEY,
	product_id bigint NOT NULL REFERENCES commerce.products,
	units_sold bigint NOT NULL,
	until_day  date NOT NULL,
	as_of      timestamptz NOT NULL
);
COMMENT ON TABLE commerce.popular_products IS 'the best sellers of the three days up to until_day, as of the last refresh; read them with popular_products()';
SELECT pg_catalog.pg_extension_config_dump('commerce.popular_products', '');

CREATE FUNCTION commerce_private.lock_sales()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_lock_sales';
COMMENT ON FUNCTION commerce_private.lock_sales() IS 'lets one transaction at a time fold sales';

-- Where plans are made for the values at hand, they are for the few events since the watermark.
CREATE FUNCTION commerce_private.fold_sales(horizon bigint)
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off
AS $$
DECLARE
	watermark bigint := coalesce((SELECT f.mark FROM commerce_private.sales_fold f), 0);
	folded int;
	unfolded int;
BEGIN
	DELETE FROM commerce_private.unfolded_sales;
	WITH sales AS MATERIALIZED (
		SELECT commerce_private.local_date(o.paid_at) AS day, i.product_id, e.xid < fold_sales.horizon AS is_settled,
			   sum(CASE e.event WHEN 'PAID' THEN e.quantity ELSE -e.quantity END) AS units
		FROM commerce.order_item_events e
		JOIN commerce.order_items i ON i.id = e.order_item_id
		JOIN commerce.orders o ON o.id = i.order_id
		WHERE (e.event = 'PAID' OR (e.event = 'CANCELLED' AND e.from_status <> 'PENDING_PAYMENT')) AND e.xid >= watermark
		GROUP BY 1, 2, 3
	), settled AS (
		INSERT INTO commerce.product_daily_sales AS d (day, product_id, units)
		SELECT s.day, s.product_id, least(s.units, 9223372036854775807) FROM sales s WHERE s.is_settled
		ON CONFLICT (day, product_id) DO UPDATE SET units = least(d.units::numeric + EXCLUDED.units, 9223372036854775807)
		RETURNING 1
	), others AS (
		INSERT INTO commerce_private.unfolded_sales (day, product_id, units)
		SELECT s.day, s.product_id, least(s.units, 9223372036854775807) FROM sales s WHERE NOT s.is_settled
		RETURNING 1
	)
	SELECT (SELECT count(*) FROM settled), (SELECT count(*) FROM others) INTO folded, unfolded;
	watermark := greatest(watermark, fold_sales.horizon);
	-- where nothing was sold there is no row: a dump that is being restored brings its own
	INSERT INTO commerce_private.sales_fold AS f (mark)
	SELECT watermark WHERE folded > 0 OR EXISTS (SELECT FROM commerce_private.sales_fold)
	ON CONFLICT ((true)) DO UPDATE SET mark = EXCLUDED.mark;
	RETURN folded + unfolded;
END
$$;
COMMENT ON FUNCTION commerce_private.fold_sales(bigint) IS
	'adds the events of transactions from the watermark up to horizon to product_daily_sales and moves the watermark; those from there on that can be seen are written to unfolded_sales';

CREATE FUNCTION commerce_private.rank_products(days int, top int)
RETURNS TABLE (rank int, product_id bigint, units_sold bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.row_number() OVER (ORDER BY s.units DESC, s.product_id)::int, s.product_id, s.units
	FROM (SELECT d.product_id, least(sum(d.units), 9223372036854775807)::bigint AS units
		  FROM (TABLE commerce.product_daily_sales UNION ALL TABLE commerce_private.unfolded_sales) d
		  WHERE d.day BETWEEN commerce_private.local_date() - (rank_products.days - 1) AND commerce_private.local_date()
		  GROUP BY d.product_id) s
	JOIN commerce.products p ON p.id = s.product_id
	WHERE s.units > 0 AND p.status <> 'DISCONTINUED'
	ORDER BY 1
	LIMIT rank_products.top
$$;
COMMENT ON FUNCTION commerce_private.rank_products(int, int) IS
	'sums product_daily_sales and unfolded_sales over the days up to today and ranks the products that can be bought; ties by product id';

CREATE FUNCTION commerce.refresh_popular_products()
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	written int;
	ranked int;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.lock_sales();
	-- a command of its own after the lock, so that its snapshot sees what the last refresh committed
	written := commerce_private.fold_sales(commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())));

	DELETE FROM commerce.popular_products;
	INSERT INTO commerce.popular_products (rank, product_id, units_sold, until_day, as_of)
	SELECT r.rank, r.product_id, r.units_sold, commerce_private.local_date(), pg_catalog.now()
	FROM commerce_private.rank_products(3, 100) r;
	GET DIAGNOSTICS ranked = ROW_COUNT;
	RETURN written + ranked;
END
$$;
COMMENT ON FUNCTION commerce.refresh_popular_products() IS
	'counts what was sold and cancelled since its last call and ranks the best sellers again; returns how many rows it wrote. Costs what happened since, whatever the number of orders; takes no lock that an order waits for';

CREATE FUNCTION commerce.popular_products(days int DEFAULT 3, top int DEFAULT 5)
RETURNS TABLE (rank int, product_id bigint, name text, price bigint, price_now bigint, units_sold bigint, as_of timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	refreshed_at timestamptz;
BEGIN
	IF popular_products.days IS NULL OR popular_products.days NOT BETWEEN 1 AND 3660 THEN
		PERFORM commerce_private.raise_invalid('days', 'must be from 1 to 3660');
	END IF;
	IF popular_products.top IS NULL OR popular_products.top NOT BETWEEN 1 AND 1000 THEN
		PERFORM commerce_private.raise_invalid('top', 'must be from 1 to 1000');
	END IF;

	-- the stored ranking serves when it is today's, is of these days, and nothing in it was discontinued since
	IF popular_products.days = 3 AND popular_products.top <= 100
	   AND EXISTS (SELECT FROM commerce.popular_products r)
	   AND NOT EXISTS (SELECT FROM commerce.popular_products r JOIN commerce.products p ON p.id = r.product_id
					   WHERE p.status = 'DISCONTINUED' OR r.until_day <> commerce_private.local_date()) THEN
		RETURN QUERY
			SELECT r.rank, r.product_id, p.name, p.price, p.price - m.reduction, r.units_sold, r.as_of
			FROM commerce.popular_products r JOIN commerce.products p ON p.id = r.product_id
			JOIN commerce_private.reductions m ON m.product_id = p.id
			WHERE r.rank <= popular_products.top
			ORDER BY r.rank;
	ELSE
		SELECT max(r.as_of) INTO refreshed_at FROM commerce.popular_products r;
		RETURN QUERY
			SELECT r.rank, r.product_id, p.name, p.price, p.price - m.reduction, r.units_sold, refreshed_at
			FROM commerce_private.rank_products(popular_products.days, popular_products.top) r
			JOIN commerce.products p ON p.id = r.product_id
			JOIN commerce_private.reductions m ON m.product_id = p.id
			ORDER BY r.rank;
	END IF;
END
$$;
COMMENT ON FUNCTION commerce.popular_products(int, int) IS
	'the products of which most units were sold in the last days (today counts as one), as of the last refresh, with their prices, and those now; ties by product id; discontinued products are left out. Errors: INVALID_REQUEST';
