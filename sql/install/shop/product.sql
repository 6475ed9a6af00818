-- Products, promotions, stock.

CREATE TABLE commerce.products (
	id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	seller_id     bigint REFERENCES commerce.sellers,
	name          text NOT NULL CHECK (pg_catalog.btrim(name) <> ''),
	description   text,
	price         bigint NOT NULL CHECK (price >= 0),
	discount      bigint NOT NULL DEFAULT 0,
	shipping_fee  bigint CHECK (shipping_fee >= 0),
	max_per_order bigint CHECK (max_per_order > 0),
	category      text,
	status        commerce.product_status NOT NULL DEFAULT 'ON_SALE' CHECK (status <> 'SOLD_OUT'),
	created_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at    timestamptz NOT NULL DEFAULT pg_catalog.now(),
	sku           text CHECK (pg_catalog.btrim(sku) <> ''),
	group_id      bigint REFERENCES commerce.products,
	max_per_user  bigint CHECK (max_per_user > 0),
	tax_exempt    boolean NOT NULL DEFAULT false,
	image_urls    text[] NOT NULL DEFAULT '{}',
	metadata      jsonb,
	CHECK (discount BETWEEN 0 AND price)
);
CREATE UNIQUE INDEX products_sku_key ON commerce.products (coalesce(seller_id, 0), sku) WHERE sku IS NOT NULL;
CREATE INDEX products_group_id_idx ON commerce.products (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX products_seller_id_idx ON commerce.products (seller_id);
COMMENT ON TABLE commerce.products IS 'what is sold; a product is discontinued, not deleted. Its stock is in stock and stock_entries: available_stock()';
COMMENT ON COLUMN commerce.products.seller_id IS 'NULL: the shop''s own';
COMMENT ON COLUMN commerce.products.price IS 'won per unit, before discounts';
COMMENT ON COLUMN commerce.products.discount IS 'instant discount, won per unit';
COMMENT ON COLUMN commerce.products.shipping_fee IS 'won, once per order line; NULL: the seller''s shipping policy, or the shop''s';
COMMENT ON COLUMN commerce.products.max_per_order IS 'most units in one order; NULL: no limit';
COMMENT ON COLUMN commerce.products.sku IS 'the seller''s own number of the product, unique within the seller''s products or the shop''s own';
COMMENT ON COLUMN commerce.products.group_id IS 'products of one group are variants of one thing, such as sizes: the id of one of them';
COMMENT ON COLUMN commerce.products.max_per_user IS 'most units that one user can have ordered; NULL: no limit';
COMMENT ON COLUMN commerce.products.tax_exempt IS 'what is paid for it counts into the order''s tax_free_amount';
COMMENT ON COLUMN commerce.products.metadata IS 'an object of the shop''s own';
COMMENT ON COLUMN commerce.products.status IS 'ON_SALE or DISCONTINUED; SOLD_OUT is what views show';
SELECT pg_catalog.pg_extension_config_dump('commerce.products', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.products_id_seq', '');

CREATE TABLE commerce.promotions (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	product_id bigint NOT NULL REFERENCES commerce.products,
	kind       commerce.coupon_kind NOT NULL CHECK (kind IN ('FIXED', 'PERCENT')),
	value      bigint NOT NULL CHECK (value > 0 AND (kind = 'FIXED' OR value <= 100)),
	starts_at  timestamptz NOT NULL,
	ends_at    timestamptz NOT NULL,
	CHECK (starts_at < ends_at)
);
CREATE INDEX promotions_product_id_idx ON commerce.promotions (product_id, ends_at);
COMMENT ON TABLE commerce.promotions IS 'discounts of a product for a time: from starts_at until just before ends_at';
COMMENT ON COLUMN commerce.promotions.value IS 'won per unit (FIXED) or percent 1–100 (PERCENT)';
SELECT pg_catalog.pg_extension_config_dump('commerce.promotions', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.promotions_id_seq', '');

CREATE TABLE commerce_private.stock (
	product_id bigint PRIMARY KEY REFERENCES commerce.products,
	on_hand    bigint NOT NULL DEFAULT 0,
	mark       bigint NOT NULL DEFAULT 0,
	depleted   boolean NOT NULL DEFAULT false,
	event_key  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE commerce_private.stock IS
	'folded stock: what is available is on_hand plus the entries of stock_entries not folded yet. No order updates it';
COMMENT ON COLUMN commerce_private.stock.on_hand IS 'sum of the folded entries; what is available is told by available_stock()';
COMMENT ON COLUMN commerce_private.stock.mark IS 'entries of transactions below this id are folded into on_hand';
COMMENT ON COLUMN commerce_private.stock.depleted IS 'nothing was left at the last fold (a StockDepleted event went out)';
COMMENT ON COLUMN commerce_private.stock.event_key IS 'key of the last outbox event of this product';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.stock', '');

CREATE TABLE commerce.stock_entries (
	id            bigint GENERATED ALWAYS AS IDENTITY,
	product_id    bigint NOT NULL REFERENCES commerce.products,
	delta         bigint NOT NULL CHECK (delta <> 0),
	reason        commerce.stock_reason NOT NULL,
	order_item_id bigint,
	note          text,
	at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
	xid           bigint NOT NULL DEFAULT pg_catalog.pg_current_xact_id()::text::bigint,
	PRIMARY KEY (product_id, xid, id) INCLUDE (delta)
);
COMMENT ON TABLE commerce.stock_entries IS 'append-only journal of every unit of stock that came or went: the truth';
COMMENT ON COLUMN commerce.stock_entries.delta IS 'units: positive came in, negative went out';
COMMENT ON COLUMN commerce.stock_entries.xid IS 'the transaction that wrote the entry; 0: folded from the beginning, or before the database was restored here';
SELECT pg_catalog.pg_extension_config_dump('commerce.stock_entries', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.stock_entries_id_seq', '');

CREATE TRIGGER gate_delete BEFORE DELETE OR UPDATE OF id ON commerce.products
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.products ENABLE ALWAYS TRIGGER gate_delete;

CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce_private.stock
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.stock ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce_private.stock
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.stock ENABLE ALWAYS TRIGGER gate_statement;
CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce.stock_entries
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.stock_entries ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce.stock_entries
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.stock_entries ENABLE ALWAYS TRIGGER gate_statement;

-- Rows of the stock tables are written by C alone, which owns them.
CREATE FUNCTION commerce_private.open_stock(product_id bigint, units bigint)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_open_stock';
COMMENT ON FUNCTION commerce_private.open_stock(bigint, bigint) IS 'gives a new product its stock row and first entry. Errors: INVALID_REQUEST';

CREATE VIEW commerce_private.stock_left AS
	SELECT s.product_id, s.mark, (s.on_hand + coalesce(j.units, 0))::bigint AS units, j.unfolded
	FROM commerce_private.stock s
	CROSS JOIN LATERAL (SELECT sum(e.delta) AS units, count(*) AS unfolded FROM commerce.stock_entries e
						WHERE e.product_id = s.product_id AND e.xid >= s.mark) j;
COMMENT ON VIEW commerce_private.stock_left IS
	'units of each product that the snapshot sees: on hand, and of entries that are not folded yet. A transaction with an old snapshot may have taken units whose return it does not see: then they are fewer than none';

CREATE FUNCTION commerce.adjust_stock(product_id bigint, delta bigint, note text DEFAULT NULL)
RETURNS bigint
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_adjust_stock';
COMMENT ON FUNCTION commerce.adjust_stock(bigint, bigint, text) IS
	'adds units to a product''s stock, or takes them off, and returns what is available after; nothing is added above 1 000 000 000 000. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, STOCK_NOT_ENOUGH';

CREATE FUNCTION commerce.available_stock(product_id bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
	available bigint;
BEGIN
	IF available_stock.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	SELECT greatest(l.units, 0) INTO available
	FROM commerce_private.stock_left l WHERE l.product_id = available_stock.product_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('product', available_stock.product_id);
	END IF;
	RETURN available;
END
$$;
COMMENT ON FUNCTION commerce.available_stock(bigint) IS
	'units of a product that can be ordered, as the caller''s snapshot sees them; works on a standby. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.create_product(
	seller_id bigint, name text, price bigint, stock bigint, description text DEFAULT NULL,
	category text DEFAULT NULL, discount bigint DEFAULT 0, shipping_fee bigint DEFAULT 0,
	max_per_order bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	product_id bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_text('name', create_product.name),
		commerce_private.check_text('description', create_product.description),
		commerce_private.check_text('category', create_product.category);
	PERFORM commerce_private.check_product(create_product.name, create_product.price, create_product.discount,
								   create_product.shipping_fee, create_product.max_per_order);
	IF create_product.seller_id IS NOT NULL
	   AND NOT EXISTS (SELECT FROM commerce.sellers s WHERE s.id = create_product.seller_id) THEN
		PERFORM commerce_private.raise_not_found('seller', create_product.seller_id);
	END IF;

	INSERT INTO commerce.products (seller_id, name, price, description, category, discount, shipping_fee, max_per_order)
	VALUES (create_product.seller_id, create_product.name, create_product.price, create_product.description,
			create_product.category, create_product.discount, create_product.shipping_fee, create_product.max_per_order)
	RETURNING id INTO product_id;
	PERFORM commerce_private.open_stock(product_id, create_product.stock);
	RETURN product_id;
END
$$;
COMMENT ON FUNCTION commerce.create_product(bigint, text, bigint, bigint, text, text, bigint, bigint, bigint) IS
	'puts a product on sale with its first stock and returns its id; money in won; seller_id NULL: the shop''s own. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.check_product(name text, price bigint, discount bigint, shipping_fee bigint, max_per_order bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pg_catalog.btrim(coalesce(check_product.name, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be empty');
	END IF;
	IF check_product.price IS NULL OR check_product.price < 0 THEN
		PERFORM commerce_private.raise_invalid('price', 'must be 0 or more');
	END IF;
	IF check_product.discount IS NULL OR check_product.discount NOT BETWEEN 0 AND check_product.price THEN
		PERFORM commerce_private.raise_invalid('discount', 'must be between 0 and the price');
	END IF;
	IF check_product.shipping_fee IS NULL OR check_product.shipping_fee < 0 THEN
		PERFORM commerce_private.raise_invalid('shipping_fee', 'must be 0 or more');
	END IF;
	IF check_product.max_per_order < 1 THEN
		PERFORM commerce_private.raise_invalid('max_per_order', 'must be 1 or more, or null for no limit');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_product(text, bigint, bigint, bigint, bigint) IS
	'the rules of a product''s attributes, each with its INVALID_REQUEST';

CREATE FUNCTION commerce.update_product(
	product_id bigint, name text DEFAULT NULL, price bigint DEFAULT NULL, discount bigint DEFAULT NULL,
	shipping_fee bigint DEFAULT NULL, max_per_order bigint DEFAULT NULL, description text DEFAULT NULL,
	category text DEFAULT NULL)
RETURNS commerce.products
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	p commerce.products;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_text('name', update_product.name),
		commerce_private.check_text('description', update_product.description),
		commerce_private.check_text('category', update_product.category);
	IF update_product.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	SELECT * INTO p FROM commerce.products WHERE id = update_product.product_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('product', update_product.product_id);
	END IF;
	p.name := coalesce(update_product.name, p.name);
	p.price := coalesce(update_product.price, p.price);
	p.discount := coalesce(update_product.discount, p.discount);
	p.shipping_fee := coalesce(update_product.shipping_fee, p.shipping_fee);
	p.max_per_order := coalesce(update_product.max_per_order, p.max_per_order);
	p.description := coalesce(update_product.description, p.description);
	p.category := coalesce(update_product.category, p.category);
	PERFORM commerce_private.check_product(p.name, p.price, p.discount, p.shipping_fee, p.max_per_order);

	UPDATE commerce.products
	SET name = p.name, price = p.price, discount = p.discount, shipping_fee = p.shipping_fee,
		max_per_order = p.max_per_order, description = p.description, category = p.category,
		updated_at = pg_catalog.now()
	WHERE id = p.id
	RETURNING * INTO p;
	RETURN p;
END
$$;
COMMENT ON FUNCTION commerce.update_product(bigint, text, bigint, bigint, bigint, bigint, text, text) IS
	'changes the attributes that are given, leaves those that are NULL, and returns the row; orders made before keep their prices. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.set_product_status(product_id bigint, status commerce.product_status)
RETURNS commerce.products
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	changed commerce.products;
BEGIN
	PERFORM commerce_private.begin_write();
	IF set_product_status.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	IF set_product_status.status IS NULL OR set_product_status.status = 'SOLD_OUT' THEN
		PERFORM commerce_private.raise_invalid('status', 'must be ON_SALE or DISCONTINUED', 'A product is shown as SOLD_OUT when it has no stock; see adjust_stock().');
	END IF;
	UPDATE commerce.products p SET status = set_product_status.status, updated_at = pg_catalog.now()
	WHERE p.id = set_product_status.product_id
	RETURNING p.* INTO changed;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('product', set_product_status.product_id);
	END IF;
	RETURN changed;
END
$$;
COMMENT ON FUNCTION commerce.set_product_status(bigint, commerce.product_status) IS
	'puts a product on sale or discontinues it and returns the row. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.create_promotion(
	product_id bigint, kind commerce.coupon_kind, value bigint, starts_at timestamptz, ends_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	promotion_id bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	IF create_promotion.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	IF create_promotion.kind IS NULL OR create_promotion.kind NOT IN ('FIXED', 'PERCENT') THEN
		PERFORM commerce_private.raise_invalid('kind', 'must be FIXED or PERCENT');
	END IF;
	IF create_promotion.value IS NULL OR create_promotion.value < 1
	   OR (create_promotion.kind = 'PERCENT' AND create_promotion.value > 100) THEN
		PERFORM commerce_private.raise_invalid('value', 'must be 1 or more won, or 1 to 100 percent');
	END IF;
	IF create_promotion.starts_at IS NULL OR create_promotion.ends_at IS NULL
	   OR create_promotion.starts_at >= create_promotion.ends_at THEN
		PERFORM commerce_private.raise_invalid('starts_at', 'must be before ends_at');
	END IF;
	IF NOT EXISTS (SELECT FROM commerce.products p WHERE p.id = create_promotion.product_id) THEN
		PERFORM commerce_private.raise_not_found('product', create_promotion.product_id);
	END IF;
	INSERT INTO commerce.promotions (product_id, kind, value, starts_at, ends_at)
	VALUES (create_promotion.product_id, create_promotion.kind, create_promotion.value,
			create_promotion.starts_at, create_promotion.ends_at)
	RETURNING id INTO promotion_id;
	RETURN promotion_id;
END
$$;
COMMENT ON FUNCTION commerce.create_promotion(bigint, commerce.coupon_kind, bigint, timestamptz, timestamptz) IS
	'discounts a product by won (FIXED) or percent (PERCENT) per unit from starts_at until just before ends_at, and returns the promotion''s id; the largest of a product''s running promotions and its instant discount counts. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.fold_stock(
	product_ids bigint[], sold_out bigint[], OUT folded bigint, OUT unfinished bigint[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
	moved record;
BEGIN
	folded := 0;
	FOR moved IN
		WITH horizon AS MATERIALIZED (
			SELECT commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS xmin
		), due AS (
			SELECT s.product_id, s.depleted AS was_depleted, f.finished,
				   CASE WHEN fold_stock.product_ids IS NOT NULL THEN s.product_id = ANY (fold_stock.sold_out)
						ELSE s.on_hand + f.finished
							+ coalesce((SELECT sum(j.delta) FROM commerce.stock_entries j
										WHERE j.product_id = s.product_id AND j.xid >= h.xmin), 0) <= 0
				   END AS is_depleted
			FROM commerce_private.stock s CROSS JOIN horizon h
			CROSS JOIN LATERAL (
				SELECT sum(j.delta) AS finished FROM commerce.stock_entries j
				WHERE j.product_id = s.product_id AND j.xid >= s.mark AND j.xid < h.xmin) f
			WHERE (fold_stock.product_ids IS NULL OR s.product_id = ANY (fold_stock.product_ids))
			  AND (f.finished IS NOT NULL OR s.product_id = ANY (fold_stock.sold_out) <> s.depleted)
			FOR NO KEY UPDATE OF s SKIP LOCKED
		)
		UPDATE commerce_private.stock s
		SET on_hand = s.on_hand + coalesce(due.finished, 0), mark = greatest(s.mark, h.xmin), depleted = due.is_depleted,
			event_key = CASE WHEN due.is_depleted AND NOT due.was_depleted
							 THEN greatest(s.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id())) ELSE s.event_key END
		FROM due CROSS JOIN horizon h
		WHERE s.product_id = due.product_id
		RETURNING s.product_id, s.event_key, due.is_depleted AND NOT due.was_depleted AS now_depleted
	LOOP
		folded := folded + 1;
		IF moved.now_depleted THEN
			PERFORM commerce_private.write_event('Product', p.id::text, 'StockDepleted',
				pg_catalog.jsonb_build_object('product_id', p.id, 'seller_id', p.seller_id, 'name', p.name,
					'category', p.category, 'price', p.price, 'status', p.status),
				moved.event_key)
			FROM commerce.products p WHERE p.id = moved.product_id;
		END IF;
	END LOOP;
	unfinished := ARRAY(
		SELECT p.product_id FROM pg_catalog.unnest(fold_stock.product_ids) p (product_id)
		WHERE EXISTS (SELECT FROM commerce_private.stock s JOIN commerce.stock_entries j ON j.product_id = s.product_id AND j.xid >= s.mark
					  WHERE s.product_id = p.product_id));
END
$$;
COMMENT ON FUNCTION commerce_private.fold_stock(bigint[], bigint[]) IS
	'the part of fold() that moves stock, of all products (NULL) or of some, of which those in sold_out are known to have nothing left; returns how many it moved, and which of those given have entries left to fold';
