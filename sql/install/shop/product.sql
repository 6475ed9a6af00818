-- Products.

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

CREATE TRIGGER gate_delete BEFORE DELETE OR UPDATE OF id ON commerce.products
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.products ENABLE ALWAYS TRIGGER gate_delete;

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
	PERFORM commerce_private.open_stock(product_id, create_product.stock, NULL, NULL);
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
