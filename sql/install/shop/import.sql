-- Moving in: what a shop was before it came here. What is imported wakes nobody, and moves neither stock nor
-- anything else than an opening balance.

-- Reading a JSON document with an error that says where in it. path: "items[0]." or nothing.
CREATE FUNCTION commerce_private.check_imported(document jsonb, path text, attributes text[])
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unknown text;
BEGIN
	IF document IS NULL OR pg_catalog.jsonb_typeof(document) <> 'object' THEN
		PERFORM commerce_private.raise_invalid('imported', pg_catalog.btrim(path || ' must be an object'));
	END IF;
	SELECT k INTO unknown FROM pg_catalog.jsonb_object_keys(document) k WHERE k <> ALL (attributes) LIMIT 1;
	IF FOUND THEN
		PERFORM commerce_private.raise_invalid('imported', pg_catalog.format('has %s, which is no attribute', path || pg_catalog.left(unknown, 100)));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_imported(jsonb, text, text[]) IS
	'raises INVALID_REQUEST unless a document is an object that has no other attributes than these';

CREATE FUNCTION commerce_private.imported_number(document jsonb, path text, attribute text, lowest bigint, highest bigint, missing bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	value text := document->>attribute;
BEGIN
	IF value IS NULL AND missing IS NOT NULL THEN
		RETURN missing;
	END IF;
	IF value IS NULL OR value !~ '^-?[0-9]{1,18}$' OR value::bigint NOT BETWEEN lowest AND highest THEN
		PERFORM commerce_private.raise_invalid('imported',
			pg_catalog.format('%s must be a whole number between %s and %s', path || attribute, lowest, highest));
	END IF;
	RETURN value::bigint;
END
$$;
COMMENT ON FUNCTION commerce_private.imported_number(jsonb, text, text, bigint, bigint, bigint) IS
	'a whole number, or digits, of a document; missing: what it is where it is not given, NULL: it must be. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.imported_text(document jsonb, path text, attribute text, needed boolean DEFAULT false)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF needed AND pg_catalog.btrim(coalesce(document->>attribute, '')) = ''
	   OR coalesce(pg_catalog.jsonb_typeof(document->attribute), 'null') NOT IN ('string', 'null') THEN
		PERFORM commerce_private.raise_invalid('imported', path || attribute || ' must be a text');
	END IF;
	PERFORM commerce_private.check_text(attribute, document->>attribute);
	RETURN document->>attribute;
END
$$;
COMMENT ON FUNCTION commerce_private.imported_text(jsonb, text, text, boolean) IS
	'a text of a document. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.imported_time(document jsonb, attribute text, missing timestamptz DEFAULT NULL)
RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given text := commerce_private.imported_text(document, '', attribute);
	value timestamptz := CASE WHEN given IS NULL THEN missing ELSE commerce_private.read_time(given) END;
BEGIN
	IF value IS NULL THEN
		PERFORM commerce_private.raise_invalid('imported', attribute || ' must be a time such as 2026-12-01T09:00:00+09:00');
	END IF;
	-- this very moment is 0 in the library, which takes it for none
	RETURN CASE WHEN value = '2000-01-01 00:00:00+00' THEN value + interval '1 microsecond' ELSE value END;
END
$$;
COMMENT ON FUNCTION commerce_private.imported_time(jsonb, text, timestamptz) IS
	'a finite time of a document, of which the first moment of 2000 is the one after it; missing: what it is where it is not given, NULL: it must be. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce.import_user(imported jsonb, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stored jsonb;
	opening bigint;
	created_at timestamptz;
	u commerce.users;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_imported(imported, '', '{name,email,phone,address,external_id,metadata,balance,created_at}');
	PERFORM commerce_private.check_user(commerce_private.imported_text(imported, '', 'name', true),
		commerce_private.imported_text(imported, '', 'email'), commerce_private.imported_text(imported, '', 'phone'),
		commerce_private.imported_text(imported, '', 'address'), commerce_private.imported_text(imported, '', 'external_id'),
		nullif(imported->'metadata', 'null'));
	opening := commerce_private.imported_number(imported, '', 'balance', 0, 9007199254740991, 0);
	created_at := commerce_private.imported_time(imported, 'created_at', pg_catalog.now());
	stored := commerce_private.begin_key('shop', 'import_user', idempotency_key, imported);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;

	INSERT INTO commerce.users (name, email, phone, address, external_id, metadata, balance, last_entry, created_at, event_key)
	VALUES (imported->>'name', imported->>'email', imported->>'phone', imported->>'address', imported->>'external_id',
			nullif(imported->'metadata', 'null'), opening, (opening > 0)::int, created_at,
			commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	ON CONFLICT DO NOTHING
	RETURNING * INTO u;
	IF u.id IS NULL THEN
		PERFORM commerce_private.raise_taken('user',
			CASE WHEN EXISTS (SELECT FROM commerce.users t WHERE t.external_id = imported->>'external_id') THEN 'external_id'
				 WHEN EXISTS (SELECT FROM commerce.users t WHERE pg_catalog.lower(t.email) = pg_catalog.lower(imported->>'email')) THEN 'email' END);
	END IF;
	IF opening > 0 THEN
		INSERT INTO commerce.balance_entries (user_id, number, kind, amount, balance_after)
		VALUES (u.id, 1, 'OPENING', opening, opening);
	END IF;
	PERFORM commerce_private.user_event(u, 'UserCreated', '{"imported": true}');
	PERFORM commerce_private.end_key('shop', 'import_user', idempotency_key, imported, pg_catalog.jsonb_build_object('id', u.id));
	RETURN u.id;
END
$$;
COMMENT ON FUNCTION commerce.import_user(jsonb, text) IS
	'moving in: creates a user from {"name", "email", "phone", "address", "external_id", "metadata", "balance", "created_at"}, of which the name alone is needed; the balance is an OPENING entry. Returns the id. Errors: INVALID_REQUEST, ALREADY_EXISTS, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce_private.imported_items(items jsonb)
RETURNS SETOF commerce.order_items
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most CONSTANT bigint := 1000000000000;
	item jsonb;
	path text;
	row commerce.order_items;
	product commerce.products;
BEGIN
	IF coalesce(pg_catalog.jsonb_typeof(items), 'null') <> 'array' OR pg_catalog.jsonb_array_length(items) NOT BETWEEN 1 AND 1000 THEN
		PERFORM commerce_private.raise_invalid('imported', 'items must be an array of 1 to 1000 elements');
	END IF;
	FOR item, row.line IN SELECT e.value, e.ordinality FROM pg_catalog.jsonb_array_elements(items) WITH ORDINALITY e LOOP
		path := pg_catalog.format('items[%s].', row.line - 1);
		PERFORM commerce_private.check_imported(item, path, '{product_id,product_name,quantity,unit_price,unit_discount,tax_exempt}');
		row.product_id := commerce_private.imported_number(item, path, 'product_id', 1, 999999999999999999);
		row.quantity := commerce_private.imported_number(item, path, 'quantity', 1, most);
		row.unit_price := commerce_private.imported_number(item, path, 'unit_price', 0, most);
		row.unit_discount := commerce_private.imported_number(item, path, 'unit_discount', 0, row.unit_price, 0);
		row.unit_final := row.unit_price - row.unit_discount;
		IF row.unit_price::numeric * row.quantity > 9007199254740991 THEN
			PERFORM commerce_private.raise_invalid('imported', path || 'quantity makes an amount that is too large');
		END IF;
		row.line_total := row.unit_final * row.quantity;
		SELECT * INTO product FROM commerce.products p WHERE p.id = row.product_id;
		IF NOT FOUND THEN
			PERFORM commerce_private.raise_not_found('product', row.product_id);
		END IF;
		row.seller_id := product.seller_id;
		row.product_name := coalesce(commerce_private.imported_text(item, path, 'product_name'), product.name);
		IF coalesce(pg_catalog.jsonb_typeof(item->'tax_exempt'), 'null') NOT IN ('boolean', 'null') THEN
			PERFORM commerce_private.raise_invalid('imported', path || 'tax_exempt must be true or false');
		END IF;
		row.tax_exempt := coalesce((item->>'tax_exempt')::boolean, product.tax_exempt);
		RETURN NEXT row;
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce_private.imported_items(jsonb) IS
	'the lines of an imported order, without what the order decides. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.imported_totals(imported jsonb, lines commerce.order_items[])
RETURNS commerce.orders
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most CONSTANT bigint := 9007199254740991;
	totals commerce.orders;
	goods numeric;
	difference bigint;
BEGIN
	SELECT sum(l.unit_price * l.quantity) INTO goods FROM pg_catalog.unnest(lines) l;
	IF goods > most THEN
		PERFORM commerce_private.raise_invalid('imported', 'items make an amount that is too large');
	END IF;
	SELECT sum(l.unit_price * l.quantity), sum(l.unit_discount * l.quantity), sum(l.line_total)
	INTO totals.items_total, totals.item_discount_total, goods
	FROM pg_catalog.unnest(lines) l;
	totals.order_discount := commerce_private.imported_number(imported, '', 'order_discount', 0, most, 0);
	totals.shipping_total := commerce_private.imported_number(imported, '', 'shipping_total', 0, most, 0);
	totals.payment_amount := commerce_private.imported_number(imported, '', 'payment_amount', 0, most);

	difference := totals.payment_amount - (goods - totals.order_discount + totals.shipping_total);
	IF difference <> 0 THEN
		CASE imported->>'difference'
			WHEN 'order_discount' THEN totals.order_discount := totals.order_discount - difference;
			WHEN 'shipping_total' THEN totals.shipping_total := totals.shipping_total + difference;
			ELSE
				PERFORM commerce_private.raise_invalid('imported', pg_catalog.format(
					'payment_amount is %s off the items less order_discount plus shipping_total: difference may say which of these takes it', difference));
		END CASE;
	END IF;
	IF totals.order_discount NOT BETWEEN 0 AND goods OR totals.shipping_total NOT BETWEEN 0 AND most THEN
		PERFORM commerce_private.raise_invalid('imported', 'order_discount must be between 0 and what the items cost, shipping_total 0 or more');
	END IF;
	RETURN totals;
END
$$;
COMMENT ON FUNCTION commerce_private.imported_totals(jsonb, commerce.order_items[]) IS
	'what an imported order comes to; a difference goes where the document says. Errors: INVALID_REQUEST';

-- Each line's share by largest remainder, ties to the lower line.
CREATE FUNCTION commerce_private.spread_discount(discount bigint, lines commerce.order_items[])
RETURNS TABLE (line int, share bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.line, (s.share + (pg_catalog.row_number() OVER (ORDER BY s.rest DESC, s.line)
							   <= spread_discount.discount - sum(s.share) OVER ())::int)::bigint
	FROM (SELECT l.line, pg_catalog.div(spread_discount.discount::numeric * l.line_total, t.total) AS share,
				 pg_catalog.mod(spread_discount.discount::numeric * l.line_total, t.total) AS rest
		  FROM pg_catalog.unnest(spread_discount.lines) l,
			   (SELECT greatest(sum(u.line_total), 1) AS total FROM pg_catalog.unnest(spread_discount.lines) u) t) s
$$;
COMMENT ON FUNCTION commerce_private.spread_discount(bigint, commerce.order_items[]) IS
	'spreads the discount of an imported order over its lines, as orders placed here spread theirs';

CREATE FUNCTION commerce_private.write_imported(order_id bigint)
RETURNS void
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_write_imported';
COMMENT ON FUNCTION commerce_private.write_imported(bigint) IS 'writes OrderImported, which carries the order as OrderCreated does';

CREATE FUNCTION commerce_private.insert_imported(
	buyer commerce.users, imported jsonb, totals commerce.orders, lines commerce.order_items[], paid timestamptz, delivered timestamptz)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	made bigint;
BEGIN
	PERFORM commerce_private.require_currency();
	INSERT INTO commerce.orders (user_id, status, payment_method, created_at, paid_at, items_total, item_discount_total,
		order_discount, shipping_total, payment_amount, event_key, recipient_name, recipient_phone, recipient_address,
		recipient_memo, tax_free_amount, metadata, imported)
	SELECT buyer.id, 'COMPLETED', 'EXTERNAL', commerce_private.imported_time(imported, 'created_at', paid), paid,
		   totals.items_total, totals.item_discount_total, totals.order_discount, totals.shipping_total, totals.payment_amount,
		   commerce_private.to_key(pg_catalog.pg_current_xact_id()),
		   coalesce(commerce_private.imported_text(d.delivery, 'delivery.', 'name'), buyer.name),
		   coalesce(commerce_private.imported_text(d.delivery, 'delivery.', 'phone'), buyer.phone),
		   coalesce(commerce_private.imported_text(d.delivery, 'delivery.', 'address'), buyer.address),
		   commerce_private.imported_text(d.delivery, 'delivery.', 'memo'),
		   coalesce((SELECT sum(l.line_total - s.share) FROM pg_catalog.unnest(lines) l
					 JOIN commerce_private.spread_discount(totals.order_discount, lines) s USING (line) WHERE l.tax_exempt), 0),
		   nullif(imported->'metadata', 'null'), true
	FROM (SELECT nullif(imported->'delivery', 'null') AS delivery) d
	RETURNING id INTO made;
	INSERT INTO commerce.order_items (order_id, seq, line, product_id, seller_id, product_name, status, quantity, unit_price,
		unit_discount, unit_final, line_total, order_discount_share, shipping_fee, delivered_at, tax_exempt, last_event)
	SELECT made, l.line, l.line, l.product_id, l.seller_id, l.product_name, 'CONFIRMED', l.quantity, l.unit_price,
		   l.unit_discount, l.unit_final, l.line_total, s.share,
		   CASE l.line WHEN 1 THEN totals.shipping_total ELSE 0 END, delivered, l.tax_exempt, 3
	FROM pg_catalog.unnest(lines) l JOIN commerce_private.spread_discount(totals.order_discount, lines) s USING (line)
	ORDER BY l.line;
	INSERT INTO commerce.order_item_events (order_item_id, ordinal, from_status, event, quantity, at, actor, note)
	SELECT i.id, e.ordinal, e.from_status, e.event, i.quantity, e.at, 'SYSTEM', 'imported'
	FROM commerce.order_items i,
		 (VALUES (1, NULL::commerce.order_item_status, 'PAID'::commerce.order_item_status, paid),
				 (2, 'PAID', 'DELIVERED', delivered),
				 (3, 'DELIVERED', 'CONFIRMED', delivered)) e (ordinal, from_status, event, at)
	WHERE i.order_id = made
	ORDER BY i.id, e.ordinal;
	INSERT INTO commerce.payments (order_id, user_id, kind, method, status, amount, provider_event_id, at, channel, tax_free_amount)
	SELECT made, buyer.id, 'PAYMENT', 'EXTERNAL', 'COMPLETED', o.payment_amount,
			commerce_private.imported_text(insert_imported.imported, '', 'provider_event_id'), paid,
			commerce_private.imported_text(insert_imported.imported, '', 'payment_channel'), o.tax_free_amount
	FROM commerce.orders o WHERE o.id = made;
	RETURN made;
END
$$;
COMMENT ON FUNCTION commerce_private.insert_imported(commerce.users, jsonb, commerce.orders, commerce.order_items[], timestamptz, timestamptz) IS
	'the rows of an imported order';

CREATE FUNCTION commerce.import_order(imported jsonb, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stored jsonb;
	paid timestamptz;
	delivered timestamptz;
	buyer commerce.users;
	lines commerce.order_items[];
	order_id bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_imported(imported, '', '{user_id,items,order_discount,shipping_total,payment_amount,difference,created_at,'
		'paid_at,delivered_at,delivery,provider_event_id,payment_channel,metadata}');
	PERFORM commerce_private.check_metadata(nullif(imported->'metadata', 'null'));
	IF nullif(imported->'delivery', 'null') IS NOT NULL THEN
		PERFORM commerce_private.check_imported(imported->'delivery', 'delivery', '{name,phone,address,memo}');
	END IF;
	paid := commerce_private.imported_time(imported, 'paid_at');
	delivered := commerce_private.imported_time(imported, 'delivered_at', paid);
	IF commerce_private.imported_time(imported, 'created_at', paid) > paid OR paid > delivered OR delivered > pg_catalog.now() THEN
		PERFORM commerce_private.raise_invalid('imported', 'created_at, paid_at and delivered_at must be in this order, and past');
	END IF;
	stored := commerce_private.begin_key('shop', 'import_order', idempotency_key, imported);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;

	buyer := commerce_private.lock_user(commerce_private.imported_number(imported, '', 'user_id', 1, 999999999999999999));
	PERFORM commerce_private.require_not_erased(buyer);
	lines := ARRAY(SELECT i FROM commerce_private.imported_items(imported->'items') i);
	order_id := commerce_private.insert_imported(buyer, imported, commerce_private.imported_totals(imported, lines), lines, paid, delivered);
	PERFORM commerce_private.write_imported(order_id);
	PERFORM commerce_private.end_key('shop', 'import_order', idempotency_key, imported, pg_catalog.jsonb_build_object('id', order_id));
	RETURN order_id;
END
$$;
COMMENT ON FUNCTION commerce.import_order(jsonb, text) IS
	'moving in: an order that is over, paid EXTERNAL, from {"user_id", "items": [{"product_id", "product_name", "quantity", "unit_price", "unit_discount", "tax_exempt"}], "order_discount", "shipping_total", "payment_amount", "difference", "created_at", "paid_at", "delivered_at", "delivery", "provider_event_id", "payment_channel", "metadata"}. Needed are user_id, items with product, quantity and price, payment_amount and paid_at; difference: order_discount or shipping_total, which takes what payment_amount is off the rest. It moves no stock and no balance, counts towards no limit and wakes nobody; it can be refunded by amount, and not be cancelled or returned. Returns the id. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce_private.insert_imported_issue(coupon_id bigint, user_id bigint, issued_at timestamptz, expires_at timestamptz)
RETURNS bigint
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_insert_imported_issue';
COMMENT ON FUNCTION commerce_private.insert_imported_issue(bigint, bigint, timestamptz, timestamptz) IS
	'takes one of a coupon''s quota and writes the issue, with the coupon''s terms as they are. Errors: COUPON_SOLD_OUT, COUPON_ALREADY_CLAIMED';

CREATE FUNCTION commerce_private.require_imported_use(imported jsonb)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	order_id bigint := commerce_private.imported_number(imported, '', 'used_order_id', 1, 999999999999999999);
BEGIN
	PERFORM commerce_private.imported_time(imported, 'used_at'),
		commerce_private.imported_number(imported, '', 'discount', 1, 9007199254740991);
	IF NOT EXISTS (SELECT FROM commerce.orders o
				   WHERE o.id = order_id AND o.imported AND o.user_id = (require_imported_use.imported->>'user_id')::bigint) THEN
		PERFORM commerce_private.raise_invalid('imported', 'used_order_id must be an imported order of the user');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_imported_use(jsonb) IS
	'raises INVALID_REQUEST unless it is told when and for which imported order of the user a coupon was used, and what it took off';

CREATE FUNCTION commerce.import_coupon_issue(imported jsonb, idempotency_key text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
<<given>>
DECLARE
	stored jsonb;
	status text;
	issued timestamptz;
	expires timestamptz;
	holder commerce.users;
	coupon commerce.coupons;
	issue commerce.coupon_issues;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_imported(imported, '', '{user_id,coupon_id,status,issued_at,expires_at,used_at,used_order_id,discount}');
	issued := commerce_private.imported_time(imported, 'issued_at', pg_catalog.now());
	IF issued > pg_catalog.now() THEN
		PERFORM commerce_private.raise_invalid('imported', 'issued_at must be past');
	END IF;
	status := coalesce(commerce_private.imported_text(imported, '', 'status'), 'ACTIVE');
	IF status <> ALL ('{ACTIVE,USED,EXPIRED,REVOKED}') THEN
		PERFORM commerce_private.raise_invalid('imported', 'status must be ACTIVE, USED, EXPIRED or REVOKED');
	END IF;
	PERFORM commerce_private.imported_number(imported, '', 'user_id', 1, 999999999999999999),
		commerce_private.imported_number(imported, '', 'coupon_id', 1, 999999999999999999);
	stored := commerce_private.begin_key('shop', 'import_coupon_issue', idempotency_key, imported);
	IF stored IS NOT NULL THEN
		RETURN (stored->'id')::bigint;
	END IF;

	holder := commerce_private.lock_user((imported->>'user_id')::bigint);
	PERFORM commerce_private.require_not_erased(holder);
	SELECT * INTO coupon FROM commerce.coupons c WHERE c.id = (imported->>'coupon_id')::bigint;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('coupon', (imported->>'coupon_id')::bigint);
	END IF;
	expires := commerce_private.imported_time(imported, 'expires_at',
		coalesce(coupon.valid_until, issued + pg_catalog.make_interval(days => coupon.valid_days)));
	IF expires <= issued THEN
		PERFORM commerce_private.raise_invalid('imported', 'expires_at must be after issued_at');
	END IF;
	IF status = 'USED' THEN
		PERFORM commerce_private.require_imported_use(imported);
	ELSIF imported ?| '{used_at,used_order_id,discount}' THEN
		PERFORM commerce_private.raise_invalid('imported', 'used_at, used_order_id and discount are of a coupon that is USED');
	END IF;

	issue.id := commerce_private.insert_imported_issue(coupon.id, holder.id, issued, expires);
	UPDATE commerce.coupon_issues i
	SET status = given.status::commerce.coupon_issue_status, used_at = commerce_private.read_time(imported->>'used_at'),
		used_order_id = (imported->>'used_order_id')::bigint
	WHERE i.id = issue.id
	RETURNING * INTO issue;
	IF status = 'USED' THEN
		INSERT INTO commerce.order_coupons (order_id, coupon_issue_id, discount)
		VALUES (issue.used_order_id, issue.id, (imported->>'discount')::bigint);
	END IF;
	PERFORM commerce_private.coupon_event(issue, 'CouponIssued', '{"imported": true}');
	PERFORM commerce_private.end_key('shop', 'import_coupon_issue', idempotency_key, imported, pg_catalog.jsonb_build_object('id', issue.id));
	RETURN issue.id;
END
$$;
COMMENT ON FUNCTION commerce.import_coupon_issue(jsonb, text) IS
	'moving in: a coupon that a user holds or has had, from {"user_id", "coupon_id", "status", "issued_at", "expires_at", "used_at", "used_order_id", "discount"}, of which the ids are needed; the last three are of a coupon that was USED for an imported order. It takes one of the coupon''s quantity, and its terms as they are. Returns the id. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, INVALID_STATE_TRANSITION, COUPON_SOLD_OUT, COUPON_ALREADY_CLAIMED, IDEMPOTENCY_KEY_REUSED';
