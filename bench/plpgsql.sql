-- What commerce is measured against: the same shop in PL/pgSQL, as well as we
-- know how to write it. Schema plain has commerce's tables with their CHECKs,
-- foreign keys and indexes, and functions that leave the same rows in them.
--
-- Where the two differ, plain has less to do:
--   - stock and quota are one UPDATE of a narrow row (HOT: no index to write),
--     with no mark and no sum of a journal;
--   - the outbox is one ordinary table, not a ring of partitions;
--   - coupons in an order, idempotency keys, REST, and reading stock on a
--     standby are left out;
--   - nobody is kept from writing to the tables by hand.
-- Every statement of a function is prepared once per session by PL/pgSQL.

CREATE SCHEMA plain;

DO $$
DECLARE
	name text;
	reference record;
	source regclass;
	options text[];
BEGIN
	FOREACH name IN ARRAY ARRAY['users', 'sellers', 'balance_entries', 'products', 'promotions', 'stock', 'stock_entries',
			'coupons', 'coupon_quota', 'coupon_issues', 'orders', 'order_items', 'order_item_events', 'payments', 'outbox'] LOOP
		source := coalesce(to_regclass('commerce.' || name), to_regclass('commerce_private.' || name));
		EXECUTE format('CREATE TABLE plain.%I (LIKE %s INCLUDING ALL)', name, source);
		SELECT reloptions INTO options FROM pg_class WHERE oid = source;
		IF options IS NOT NULL THEN
			EXECUTE format('ALTER TABLE plain.%I SET (%s)', name, array_to_string(options, ', '));
		END IF;
	END LOOP;
	FOR reference IN
		SELECT c.conrelid::regclass::text AS source, c.conname, pg_get_constraintdef(c.oid) AS definition
		FROM pg_constraint c
		JOIN pg_class t ON t.oid = c.conrelid
		JOIN pg_class f ON f.oid = c.confrelid
		WHERE c.contype = 'f' AND t.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
		  AND to_regclass('plain.' || t.relname) IS NOT NULL AND to_regclass('plain.' || f.relname) IS NOT NULL
	LOOP
		EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', regexp_replace(reference.source, '^commerce(_private)?\.', 'plain.'),
			reference.conname, regexp_replace(reference.definition, 'commerce(_private)?\.', 'plain.'));
	END LOOP;
END
$$;
CREATE SEQUENCE plain.outbox_position_seq;
ALTER TABLE plain.outbox ALTER id SET DEFAULT gen_random_uuid(), ALTER created_at SET DEFAULT now(),
	ALTER era SET DEFAULT 1, ALTER key SET DEFAULT commerce_private.to_key(pg_current_xact_id()),
	ALTER position SET DEFAULT nextval('plain.outbox_position_seq'), ALTER segment SET DEFAULT 0;

CREATE TYPE plain.line AS (seq int, product_id bigint, quantity bigint, seller_id bigint, name text, price bigint,
	discount bigint, shipping_fee bigint, own_shipping boolean, status commerce.product_status, max_per_order bigint);

CREATE FUNCTION plain.place_order(user_id bigint, items jsonb)
RETURNS plain.orders
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	line plain.line;
	lines plain.line[];
	named int;
	made plain.orders;
	items_total bigint := 0;
	discount_total bigint := 0;
	shipping bigint := 0;
	recipient text;
	balance_after bigint;
	entry bigint;
	item_list jsonb;
	order_json jsonb;
	payment_json jsonb;
BEGIN
	IF jsonb_typeof(place_order.items) IS DISTINCT FROM 'array' OR jsonb_array_length(place_order.items) NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION 'items must be an array of 1 to 1000 lines' USING ERRCODE = '22023';
	END IF;

	-- The lines, those of the same product added up, with what they cost. OFFSET 0
	-- keeps the planner, who expects 100 lines, from reading the whole catalogue.
	SELECT array_agg(ROW(row_number, w.product_id, w.quantity, p.seller_id, p.name, p.price,
						 greatest(p.discount, (SELECT max(CASE r.kind WHEN 'FIXED' THEN least(r.value, p.price)
																	  ELSE p.price * r.value / 100 END)
											   FROM plain.promotions r
											   WHERE r.product_id = p.id AND r.starts_at <= now() AND r.ends_at > now())),
						 coalesce(p.shipping_fee, 0), p.shipping_fee IS NOT NULL, p.status, p.max_per_order)::plain.line ORDER BY w.product_id),
		   count(*)
	INTO lines, named
	FROM (SELECT i.product_id, sum(i.quantity)::bigint AS quantity, row_number() OVER (ORDER BY min(ordinality))
		  FROM ROWS FROM (jsonb_to_recordset(place_order.items) AS (product_id bigint, quantity bigint)) WITH ORDINALITY i
		  GROUP BY i.product_id) w
	LEFT JOIN LATERAL (SELECT * FROM plain.products t WHERE t.id = w.product_id OFFSET 0) p ON true;

	FOREACH line IN ARRAY lines LOOP
		IF line.price IS NULL THEN
			RAISE EXCEPTION 'not found' USING ERRCODE = 'SH404', DETAIL = format('product %s', line.product_id);
		ELSIF line.quantity IS NULL OR line.quantity < 1 THEN
			RAISE EXCEPTION 'invalid request' USING ERRCODE = '22023', DETAIL = 'quantity must be 1 or more';
		ELSIF line.status <> 'ON_SALE' THEN
			RAISE EXCEPTION 'product is not on sale' USING ERRCODE = 'SH003', DETAIL = format('product %s', line.product_id);
		ELSIF line.quantity > line.max_per_order THEN
			RAISE EXCEPTION 'purchase limit exceeded' USING ERRCODE = 'SH016', DETAIL = format('product %s', line.product_id);
		END IF;
		items_total := items_total + line.price * line.quantity;
		discount_total := discount_total + line.discount * line.quantity;
		shipping := shipping + line.shipping_fee;
	END LOOP;

	UPDATE plain.users u SET balance = u.balance - (items_total - discount_total + shipping), last_entry = u.last_entry + 1, updated_at = now()
	WHERE u.id = place_order.user_id AND u.status = 'ACTIVE' AND u.balance >= items_total - discount_total + shipping
	RETURNING u.name, u.balance, u.last_entry INTO recipient, balance_after, entry;
	IF NOT FOUND THEN
		PERFORM FROM plain.users u WHERE u.id = place_order.user_id AND u.status = 'ACTIVE';
		IF NOT FOUND THEN
			RAISE EXCEPTION 'not found, or not active' USING ERRCODE = 'SH404', DETAIL = format('user %s', place_order.user_id);
		END IF;
		RAISE EXCEPTION 'not enough balance' USING ERRCODE = 'SH002';
	END IF;

	-- by ascending product id, so that two orders never wait for each other
	FOREACH line IN ARRAY lines LOOP
		UPDATE plain.stock s SET on_hand = s.on_hand - line.quantity
		WHERE s.product_id = line.product_id AND s.on_hand >= line.quantity;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'not enough stock' USING ERRCODE = 'SH001', DETAIL = format('product %s', line.product_id);
		END IF;
	END LOOP;

	INSERT INTO plain.orders (user_id, status, payment_method, paid_at, items_total, item_discount_total, order_discount,
							  shipping_total, payment_amount, recipient_name, event_key)
	VALUES (place_order.user_id, 'PAID', 'BALANCE', now(), items_total, discount_total, 0, shipping,
			items_total - discount_total + shipping, recipient, commerce_private.to_key(pg_current_xact_id()))
	RETURNING * INTO made;

	WITH i AS (
		INSERT INTO plain.order_items (order_id, seq, line, product_id, seller_id, product_name, status, quantity, unit_price,
									   unit_discount, unit_final, line_total, shipping_fee, own_shipping, last_event)
		SELECT made.id, l.seq, l.seq, l.product_id, l.seller_id, l.name, 'PREPARING', l.quantity, l.price, l.discount,
			   l.price - l.discount, (l.price - l.discount) * l.quantity, l.shipping_fee, l.own_shipping, 2
		FROM unnest(lines) l ORDER BY l.seq
		RETURNING *
	), history AS (
		INSERT INTO plain.order_item_events (order_item_id, ordinal, from_status, event, quantity, actor, actor_id)
		SELECT i.id, e.ordinal, e.from_status, e.event, i.quantity, e.actor, e.actor_id
		FROM i CROSS JOIN (VALUES (1, NULL::commerce.order_item_status, 'PAID'::commerce.order_item_status,
								   'BUYER'::commerce.actor_kind, place_order.user_id),
								  (2, 'PAID', 'PREPARING', 'SYSTEM', NULL)) e (ordinal, from_status, event, actor, actor_id)
	), journal AS (
		INSERT INTO plain.stock_entries (product_id, delta, reason, order_item_id)
		SELECT i.product_id, -i.quantity, 'ORDER', i.id FROM i
	), paid AS (
		INSERT INTO plain.payments (order_id, user_id, kind, method, status, amount, tax_free_amount)
		VALUES (made.id, made.user_id, 'PAYMENT', 'BALANCE', 'COMPLETED', made.payment_amount, 0)
		RETURNING *
	), entry AS (
		INSERT INTO plain.balance_entries (user_id, number, kind, amount, balance_after, order_id)
		SELECT place_order.user_id, entry, 'PAYMENT', -made.payment_amount, balance_after, made.id
		WHERE made.payment_amount > 0
	)
	SELECT jsonb_agg(to_jsonb(i) - '{order_id,lost,last_event,limited_user_id,user_limit,delivered_at,own_shipping,split_quantity,split_net}'::text[]
					 ORDER BY i.seq),
		   (SELECT to_jsonb(p) - '{order_id,user_id,kind,at,expires_at,requested_at,idempotency_key,failed_at,archived_order_id}'::text[]
				   || '{"currency": "KRW", "decimals": 0}' FROM paid p)
	INTO item_list, payment_json
	FROM i;
	order_json := to_jsonb(made) - '{id,event_key,updated_at,imported}'::text[] || jsonb_build_object('order_id', made.id);

	INSERT INTO plain.outbox (aggregatetype, aggregateid, type, payload)
	SELECT 'Order', made.id::text, 'OrderCreated', order_json || jsonb_build_object('items', item_list)
	UNION ALL
	SELECT 'Order', made.id::text, 'PaymentCompleted', order_json || jsonb_build_object('payment', payment_json, 'items', item_list)
	UNION ALL
	SELECT 'Order', made.id::text, 'DeliveryRequested',
		   order_json || jsonb_build_object('seller_id', i->'seller_id', 'items', jsonb_agg(i))
	FROM jsonb_array_elements(item_list) i GROUP BY i->'seller_id';
	RETURN made;
END
$$;

CREATE FUNCTION plain.charge_balance(user_id bigint, amount bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	balance_after bigint;
	entry bigint;
BEGIN
	IF charge_balance.amount IS NULL OR charge_balance.amount NOT BETWEEN 1 AND 99999999 OR charge_balance.amount % 100 <> 0 THEN
		RAISE EXCEPTION 'invalid request' USING ERRCODE = '22023';
	END IF;
	UPDATE plain.users u SET balance = u.balance + charge_balance.amount, last_entry = u.last_entry + 1, updated_at = now(),
		event_key = commerce_private.to_key(pg_current_xact_id())
	WHERE u.id = charge_balance.user_id AND u.status = 'ACTIVE'
	RETURNING u.balance, u.last_entry INTO balance_after, entry;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'not found, or not active' USING ERRCODE = 'SH404';
	END IF;
	INSERT INTO plain.balance_entries (user_id, number, kind, amount, balance_after)
	VALUES (charge_balance.user_id, entry, 'CHARGE', charge_balance.amount, balance_after);
	INSERT INTO plain.outbox (aggregatetype, aggregateid, type, payload)
	VALUES ('User', charge_balance.user_id::text, 'BalanceCharged',
			jsonb_build_object('user_id', charge_balance.user_id, 'amount', charge_balance.amount, 'balance', balance_after, 'charged_at', now()));
	RETURN balance_after;
END
$$;

CREATE FUNCTION plain.claim_coupon(user_id bigint, coupon_id bigint)
RETURNS plain.coupon_issues
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	issue plain.coupon_issues;
BEGIN
	PERFORM FROM plain.users u WHERE u.id = claim_coupon.user_id AND u.status = 'ACTIVE';
	IF NOT FOUND THEN
		RAISE EXCEPTION 'not found, or not active' USING ERRCODE = 'SH404';
	END IF;
	INSERT INTO plain.coupon_issues (user_id, coupon_id, name, description, kind, value, max_discount, round_unit,
		min_order_amount, max_units, scope, seller_id, product_id, expires_at, event_key)
	SELECT claim_coupon.user_id, c.id, c.name, c.description, c.kind, c.value, c.max_discount, c.round_unit,
		   c.min_order_amount, c.max_units, c.scope, c.seller_id, c.product_id,
		   coalesce(c.valid_until, now() + make_interval(days => c.valid_days)), commerce_private.to_key(pg_current_xact_id())
	FROM plain.coupons c
	WHERE c.id = claim_coupon.coupon_id AND c.stopped_at IS NULL AND c.issue_from <= now()
	  AND (c.issue_until > now()) IS NOT FALSE AND (c.valid_until > now()) IS NOT FALSE
	ON CONFLICT (user_id, coupon_id) DO NOTHING
	RETURNING * INTO issue;
	IF issue.id IS NULL THEN
		RAISE EXCEPTION 'coupon cannot be claimed, or was claimed already' USING ERRCODE = 'SH005';
	END IF;
	-- as late as possible: the lock that everybody wants is held for the shortest time
	UPDATE plain.coupon_quota q SET on_hand = q.on_hand - 1 WHERE q.coupon_id = claim_coupon.coupon_id AND q.on_hand > 0;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'coupon is sold out' USING ERRCODE = 'SH004';
	END IF;
	INSERT INTO plain.outbox (aggregatetype, aggregateid, type, payload)
	VALUES ('CouponIssue', issue.id::text, 'CouponIssued', to_jsonb(issue) - '{event_key,xid}'::text[]);
	RETURN issue;
END
$$;

-- for P11: what the smallest durable transaction costs
CREATE TABLE plain.notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id bigint NOT NULL, amount bigint NOT NULL);
