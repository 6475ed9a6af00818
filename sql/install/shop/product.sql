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
	CONSTRAINT products_discount_check CHECK (discount BETWEEN 0 AND price)
);
CREATE UNIQUE INDEX products_sku_key ON commerce.products (coalesce(seller_id, 0), sku) WHERE sku IS NOT NULL;
CREATE INDEX products_group_id_idx ON commerce.products (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX products_seller_id_idx ON commerce.products (seller_id);
CREATE INDEX products_category_idx ON commerce.products (category, id) INCLUDE (seller_id) WHERE status = 'ON_SALE';
COMMENT ON TABLE commerce.products IS 'what is sold; a product is discontinued, not deleted. Its stock is in stock and stock_entries: available_stock()';
COMMENT ON COLUMN commerce.products.seller_id IS 'NULL: the shop''s own';
COMMENT ON COLUMN commerce.products.price IS 'per unit, before discounts';
COMMENT ON COLUMN commerce.products.discount IS 'instant discount per unit';
COMMENT ON COLUMN commerce.products.shipping_fee IS 'once per order line; NULL: the seller''s shipping policy, or the shop''s';
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

-- What the attributes of a product may be; NULL: not given, or none.
CREATE FUNCTION commerce_private.check_product(
	name text, price bigint, description text, category text, discount bigint, shipping_fee bigint, max_per_order bigint,
	max_per_user bigint, image_urls text[], sku text, metadata jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_text('name', name), commerce_private.check_text('description', description),
		commerce_private.check_text('category', category), commerce_private.check_text('sku', sku);
	IF pg_catalog.btrim(name) = '' THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be empty');
	END IF;
	IF pg_catalog.btrim(sku) = '' THEN
		PERFORM commerce_private.raise_invalid('sku', 'must not be empty');
	END IF;
	PERFORM commerce_private.check_amount('price', price), commerce_private.check_amount('discount', discount),
		commerce_private.check_amount('shipping_fee', shipping_fee);
	IF max_per_order NOT BETWEEN 1 AND 1000000000000 THEN
		PERFORM commerce_private.raise_invalid('max_per_order', 'must be between 1 and 1 000 000 000 000');
	END IF;
	IF max_per_user NOT BETWEEN 1 AND 1000000000000 THEN
		PERFORM commerce_private.raise_invalid('max_per_user', 'must be between 1 and 1 000 000 000 000');
	END IF;
	IF pg_catalog.cardinality(image_urls) > 100 OR pg_catalog.array_ndims(image_urls) > 1 THEN
		PERFORM commerce_private.raise_invalid('image_urls', 'must be a list of at most 100');
	END IF;
	IF EXISTS (SELECT FROM pg_catalog.unnest(image_urls) AS u (url) WHERE u.url IS NULL OR pg_catalog.btrim(u.url) = '') THEN
		PERFORM commerce_private.raise_invalid('image_urls', 'must not have an empty one');
	END IF;
	PERFORM commerce_private.check_texts('image_urls', image_urls), commerce_private.check_metadata(metadata);
END
$$;
COMMENT ON FUNCTION commerce_private.check_product(text, bigint, text, text, bigint, bigint, bigint, bigint, text[], text, jsonb) IS
	'the rules of a product''s attributes, each with its INVALID_REQUEST';

-- The rules that need more than one attribute, and other products.
CREATE FUNCTION commerce_private.check_product_row(p commerce.products)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	variant commerce.products;
BEGIN
	IF p.discount > p.price THEN
		PERFORM commerce_private.raise_invalid('discount', 'must not be above the price');
	END IF;
	IF p.group_id IS NULL OR p.group_id = p.id THEN
		RETURN;
	END IF;
	SELECT * INTO variant FROM commerce.products v WHERE v.id = p.group_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('product', p.group_id);
	END IF;
	IF variant.seller_id IS DISTINCT FROM p.seller_id THEN
		PERFORM commerce_private.raise_invalid('group_id', 'must be a product of the same seller');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_product_row(commerce.products) IS
	'the rules of a product as a whole. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.product_event(p commerce.products, event_type text, more jsonb, key bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('Product', p.id::text, event_type,
		pg_catalog.jsonb_build_object('product_id', p.id, 'seller_id', p.seller_id, 'name', p.name,
			'description', p.description, 'price', p.price, 'discount', p.discount, 'shipping_fee', p.shipping_fee,
			'max_per_order', p.max_per_order, 'category', p.category, 'status', p.status, 'created_at', p.created_at,
			'updated_at', p.updated_at, 'sku', p.sku, 'group_id', p.group_id, 'max_per_user', p.max_per_user,
			'tax_exempt', p.tax_exempt, 'image_urls', p.image_urls, 'metadata', p.metadata) || more,
		key);
END
$$;
COMMENT ON FUNCTION commerce_private.product_event(commerce.products, text, jsonb, bigint) IS
	'writes an event that carries the whole product; key: product_event_key(), or this transaction''s for a product that it has made';

-- Whose a product is may be read without a lock: it never changes.
CREATE FUNCTION commerce_private.product_seller(product_id bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	seller_id bigint;
BEGIN
	IF product_seller.product_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must not be null');
	END IF;
	SELECT p.seller_id INTO seller_id FROM commerce.products p WHERE p.id = product_seller.product_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('product', product_seller.product_id);
	END IF;
	RETURN seller_id;
END
$$;
COMMENT ON FUNCTION commerce_private.product_seller(bigint) IS
	'the seller whose product it is; NULL: the shop''s own. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.create_product(
	seller_id bigint, name text, price bigint, stock bigint, description text DEFAULT NULL,
	category text DEFAULT NULL, discount bigint DEFAULT 0, shipping_fee bigint DEFAULT NULL,
	max_per_order bigint DEFAULT NULL, max_per_user bigint DEFAULT NULL, image_urls text[] DEFAULT '{}',
	sku text DEFAULT NULL, group_id bigint DEFAULT NULL, tax_exempt boolean DEFAULT false,
	metadata jsonb DEFAULT NULL, actor_id bigint DEFAULT NULL, note text DEFAULT NULL,
	idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	arguments jsonb;
	missing text;
	stored jsonb;
	actor jsonb;
	p commerce.products;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	missing := CASE WHEN create_product.name IS NULL THEN 'name' WHEN create_product.price IS NULL THEN 'price'
					WHEN create_product.stock IS NULL THEN 'stock' WHEN create_product.discount IS NULL THEN 'discount'
					WHEN create_product.image_urls IS NULL THEN 'image_urls' WHEN create_product.tax_exempt IS NULL THEN 'tax_exempt' END;
	IF missing IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid(missing, 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', create_product.note);
	PERFORM commerce_private.check_product(create_product.name, create_product.price, create_product.description,
		create_product.category, create_product.discount, create_product.shipping_fee, create_product.max_per_order,
		create_product.max_per_user, create_product.image_urls, create_product.sku, create_product.metadata);
	arguments := pg_catalog.jsonb_build_object('seller_id', create_product.seller_id, 'name', create_product.name,
		'price', create_product.price, 'description', create_product.description, 'category', create_product.category,
		'discount', create_product.discount, 'shipping_fee', create_product.shipping_fee,
		'max_per_order', create_product.max_per_order, 'max_per_user', create_product.max_per_user,
		'image_urls', create_product.image_urls, 'sku', create_product.sku, 'group_id', create_product.group_id,
		'tax_exempt', create_product.tax_exempt, 'metadata', create_product.metadata,
		'stock', create_product.stock, 'actor_id', create_product.actor_id, 'note', create_product.note);
	stored := commerce_private.begin_key('shop', 'create_product', create_product.idempotency_key, arguments);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;
	IF create_product.seller_id IS NOT NULL
	   AND NOT EXISTS (SELECT FROM commerce.sellers s WHERE s.id = create_product.seller_id) THEN
		PERFORM commerce_private.raise_not_found('seller', create_product.seller_id);
	END IF;
	actor := commerce_private.require_who(create_product.actor_id, create_product.note, create_product.seller_id);

	p := pg_catalog.jsonb_populate_record(NULL::commerce.products, arguments);
	PERFORM commerce_private.check_product_row(p);
	INSERT INTO commerce.products (seller_id, name, price, description, category, discount, shipping_fee, max_per_order,
								   max_per_user, image_urls, sku, group_id, tax_exempt, metadata)
	VALUES (p.seller_id, p.name, p.price, p.description, p.category, p.discount, p.shipping_fee, p.max_per_order,
			p.max_per_user, p.image_urls, p.sku, p.group_id, p.tax_exempt, p.metadata)
	ON CONFLICT (coalesce(seller_id, 0), sku) WHERE sku IS NOT NULL DO NOTHING
	RETURNING * INTO p;
	IF p.id IS NULL THEN
		PERFORM commerce_private.raise_taken('product', 'sku');
	END IF;
	PERFORM commerce_private.open_stock(p.id, create_product.stock, create_product.actor_id, create_product.note);
	PERFORM commerce_private.product_event(p, 'ProductCreated', pg_catalog.jsonb_build_object('stock', create_product.stock, 'actor', actor),
		commerce_private.to_key(pg_catalog.pg_current_xact_id()));
	PERFORM commerce_private.end_key('shop', 'create_product', create_product.idempotency_key, arguments,
		pg_catalog.jsonb_build_object('id', p.id));
	RETURN p.id;
END
$$;
COMMENT ON FUNCTION commerce.create_product(bigint, text, bigint, bigint, text, text, bigint, bigint, bigint, bigint, text[], text,
											bigint, boolean, jsonb, bigint, text, text) IS
	'puts a product on sale with its first stock and returns its id; amounts are in the smallest unit of commerce.currency. seller_id NULL: the shop''s own. shipping_fee: once per order line; NULL: the seller''s policy. sku: unique within the seller''s products, or the shop''s own. group_id: another product of the seller, of which this one is a variant. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, ALREADY_EXISTS, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce_private.store_product(p commerce.products)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE commerce.products c
	SET name = p.name, price = p.price, description = p.description, category = p.category, discount = p.discount,
		shipping_fee = p.shipping_fee, max_per_order = p.max_per_order, max_per_user = p.max_per_user,
		image_urls = p.image_urls, sku = p.sku, group_id = p.group_id, tax_exempt = p.tax_exempt,
		metadata = p.metadata, updated_at = pg_catalog.now()
	WHERE c.id = p.id;
END
$$;
COMMENT ON FUNCTION commerce_private.store_product(commerce.products) IS 'writes the attributes of a product whose row the caller has locked';

CREATE FUNCTION commerce.update_product(
	product_id bigint, name text DEFAULT NULL, price bigint DEFAULT NULL, description text DEFAULT NULL,
	category text DEFAULT NULL, discount bigint DEFAULT NULL, shipping_fee bigint DEFAULT NULL,
	max_per_order bigint DEFAULT NULL, max_per_user bigint DEFAULT NULL, image_urls text[] DEFAULT NULL,
	sku text DEFAULT NULL, group_id bigint DEFAULT NULL, tax_exempt boolean DEFAULT NULL, metadata jsonb DEFAULT NULL,
	clear text[] DEFAULT '{}', actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.products
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	changes jsonb;
	actor jsonb;
	before commerce.products;
	p commerce.products;
	attempted record;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	PERFORM commerce_private.check_text('note', update_product.note), commerce_private.check_texts('clear', update_product.clear);
	PERFORM commerce_private.check_product(update_product.name, update_product.price, update_product.description,
		update_product.category, update_product.discount, update_product.shipping_fee, update_product.max_per_order,
		update_product.max_per_user, update_product.image_urls, update_product.sku, update_product.metadata);
	changes := commerce_private.changes(
		pg_catalog.jsonb_build_object('name', update_product.name, 'price', update_product.price,
			'description', update_product.description, 'category', update_product.category,
			'discount', update_product.discount, 'shipping_fee', update_product.shipping_fee,
			'max_per_order', update_product.max_per_order, 'max_per_user', update_product.max_per_user,
			'image_urls', update_product.image_urls, 'sku', update_product.sku, 'group_id', update_product.group_id,
			'tax_exempt', update_product.tax_exempt, 'metadata', update_product.metadata),
		update_product.clear, '{description,category,shipping_fee,max_per_order,max_per_user,sku,group_id,metadata}');
	actor := commerce_private.require_who(update_product.actor_id, update_product.note,
		commerce_private.product_seller(update_product.product_id));

	SELECT * INTO before FROM commerce.products c WHERE c.id = update_product.product_id FOR NO KEY UPDATE;
	p := pg_catalog.jsonb_populate_record(before, changes);
	IF p IS NOT DISTINCT FROM before THEN
		RETURN before;
	END IF;
	PERFORM commerce_private.check_product_row(p);
	SELECT * INTO attempted FROM commerce_private.attempt('{products_sku_key}', 'commerce_private.store_product(commerce.products)', p);
	IF attempted.sqlstate IS NOT NULL THEN
		PERFORM commerce_private.raise_taken('product', 'sku');
	END IF;
	SELECT * INTO p FROM commerce.products c WHERE c.id = before.id;
	PERFORM commerce_private.product_event(p, 'ProductChanged', pg_catalog.jsonb_build_object('actor', actor),
		commerce_private.product_event_key(p.id));
	RETURN p;
END
$$;
COMMENT ON FUNCTION commerce.update_product(bigint, text, bigint, text, text, bigint, bigint, bigint, bigint, text[], text, bigint,
											boolean, jsonb, text[], bigint, text) IS
	'changes the attributes of a product that are given, empties those that clear names (description, category, shipping_fee, max_per_order, max_per_user, sku, group_id, metadata), leaves the others, and returns the row; orders made before keep their prices. group_id: another product of the seller, or the product''s own id. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, ALREADY_EXISTS';

CREATE FUNCTION commerce.set_product_status(
	product_id bigint, status commerce.product_status, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.products
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	p commerce.products;
	former commerce.product_status;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.require_catalogue();
	IF set_product_status.status IS NULL OR set_product_status.status = 'SOLD_OUT' THEN
		PERFORM commerce_private.raise_invalid('status', 'must be ON_SALE or DISCONTINUED', 'A product is shown as SOLD_OUT when it has no stock; see adjust_stock().');
	END IF;
	PERFORM commerce_private.check_text('note', set_product_status.note);
	actor := commerce_private.require_who(set_product_status.actor_id, set_product_status.note,
		commerce_private.product_seller(set_product_status.product_id));

	SELECT * INTO p FROM commerce.products c WHERE c.id = set_product_status.product_id FOR NO KEY UPDATE;
	IF p.status = set_product_status.status THEN
		RETURN p;
	END IF;
	former := p.status;
	UPDATE commerce.products c SET status = set_product_status.status, updated_at = pg_catalog.now()
	WHERE c.id = p.id
	RETURNING c.* INTO p;
	PERFORM commerce_private.product_event(p, 'ProductStatusChanged', pg_catalog.jsonb_build_object('from', former, 'actor', actor),
		commerce_private.product_event_key(p.id));
	RETURN p;
END
$$;
COMMENT ON FUNCTION commerce.set_product_status(bigint, commerce.product_status, bigint, text) IS
	'puts a product on sale or discontinues it and returns the row. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND';
