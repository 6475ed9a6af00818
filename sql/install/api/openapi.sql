-- REST: the OpenAPI 3.1 document. It is made of what is there: views and their columns, the endpoints and
-- the signatures behind them, the enums, the table of errors and the "Errors:" in the functions' comments.

CREATE FUNCTION commerce_private.api_schema_of(type regtype, nullable boolean)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN t.typtype = 'e' AND nullable THEN
			pg_catalog.jsonb_build_object('anyOf', pg_catalog.jsonb_build_array(
				pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || t.typname), '{"type": "null"}'::jsonb))
		WHEN t.typtype = 'e' THEN pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || t.typname)
		WHEN t.typtype = 'd' THEN commerce_private.api_schema_of(t.typbasetype::regtype, nullable)
		WHEN t.typelem <> 0 AND t.typcategory = 'A' THEN
			pg_catalog.jsonb_build_object('type', b.type, 'items', commerce_private.api_schema_of(t.typelem::regtype, false))
		WHEN api_schema_of.type = 'jsonb'::regtype THEN '{}'
		ELSE pg_catalog.jsonb_build_object('type', b.type) || coalesce(f.format, '{}') END
	FROM pg_catalog.pg_type t
	CROSS JOIN LATERAL (
		SELECT CASE WHEN t.typcategory = 'A' THEN 'array'
					WHEN t.oid IN ('bigint'::regtype, 'int'::regtype, 'smallint'::regtype) THEN 'integer'
					WHEN t.typcategory = 'N' THEN 'number'
					WHEN t.typcategory = 'B' THEN 'boolean'
					ELSE 'string' END AS name) n
	CROSS JOIN LATERAL (
		SELECT CASE WHEN nullable THEN pg_catalog.jsonb_build_array(n.name, 'null') ELSE pg_catalog.to_jsonb(n.name) END AS type) b
	LEFT JOIN (VALUES
		('bigint'::regtype, '{"format": "int64"}'::jsonb), ('int', '{"format": "int32"}'), ('uuid', '{"format": "uuid"}'),
		('timestamptz', '{"format": "date-time"}'), ('date', '{"format": "date"}')) f (type, format) ON f.type = api_schema_of.type
	WHERE t.oid = api_schema_of.type
$$;
COMMENT ON FUNCTION commerce_private.api_schema_of(regtype, boolean) IS 'JSON schema of a type''s values in JSON';

-- Names tell more than types do: amounts look like amounts.
CREATE FUNCTION commerce_private.api_example(schema jsonb, name text, schemas jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN schema ? '$ref' THEN commerce_private.api_example(schemas -> pg_catalog.regexp_replace(schema ->> '$ref', '^.*/', ''), name, schemas)
		WHEN schema ? 'anyOf' THEN commerce_private.api_example(schema -> 'anyOf' -> 0, name, schemas)
		WHEN schema ? 'const' THEN schema -> 'const'
		-- an order, and what is in it, after the usual payment
		WHEN schema -> 'enum' ? 'PAID' THEN '"PAID"'
		WHEN schema ? 'enum' THEN schema -> 'enum' -> 0
		ELSE CASE coalesce(schema -> 'type' ->> 0, schema ->> 'type')
			WHEN 'object' THEN (SELECT coalesce(pg_catalog.jsonb_object_agg(p.key, commerce_private.api_example(p.value, p.key, schemas)), '{}')
								FROM pg_catalog.jsonb_each(schema -> 'properties') p WHERE coalesce(schema -> 'required' ? p.key, true))
			WHEN 'array' THEN (SELECT pg_catalog.jsonb_agg(commerce_private.api_example(schema -> 'items', name, schemas))
							   FROM pg_catalog.generate_series(1, coalesce((schema -> 'minItems')::int, 1)))
			WHEN 'null' THEN 'null'
			WHEN 'boolean' THEN 'true'
			WHEN 'integer' THEN (CASE
				WHEN name IN ('price', 'price_now', 'unit_price', 'unit_final', 'line_total', 'items_total', 'payment_amount', 'amount', 'balance', 'balance_after') THEN '12000'
				WHEN name ~ 'discount|refunded|failures|dead|lag' THEN '0'
				ELSE '1' END)::jsonb
			WHEN 'number' THEN (CASE WHEN name ~ 'lag' THEN '0' ELSE '1' END)::jsonb
			WHEN 'string' THEN (CASE
				WHEN schema ->> 'format' = 'date-time' THEN '"2026-12-01T00:00:00+00:00"'
				WHEN schema ->> 'format' = 'date' THEN '"2026-12-01"'
				WHEN schema ->> 'format' = 'uuid' THEN '"7d3c6f3e-6b0a-4d0e-9d3a-0d5b1a2c3d4e"'
				WHEN name = 'email' THEN '"kim@example.com"'
				WHEN name ~ 'name$' THEN '"Mug"'
				WHEN name IN ('position', 'cursor') THEN '"00000001-0000000000000300-0000000000000001"'
				ELSE '"text"' END)::jsonb
			ELSE '{}' END
		END
$$;
COMMENT ON FUNCTION commerce_private.api_example(jsonb, text, jsonb) IS 'an example of what a JSON schema describes; schemas: those that it may refer to';

CREATE FUNCTION commerce_private.api_object(properties jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object('type', 'object', 'properties', properties,
		'required', (SELECT pg_catalog.jsonb_agg(k.key ORDER BY k.key) FROM pg_catalog.jsonb_object_keys(properties) AS k (key)))
$$;
COMMENT ON FUNCTION commerce_private.api_object(jsonb) IS 'JSON schema of an object that has all these properties';

CREATE FUNCTION commerce_private.api_array(items jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object('type', 'array', 'items', items)
$$;
COMMENT ON FUNCTION commerce_private.api_array(jsonb) IS 'JSON schema of an array';

-- The columns of a table, a view of commerce_api or a function's result. A view's column is described, and
-- known not to be null, by the column of the same name that it shows.
CREATE FUNCTION commerce_private.api_columns(relation oid)
RETURNS TABLE (name text, type regtype, nullable boolean, description text, ordinal int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT a.attname, a.atttypid::regtype,
		   -- what is computed of a price, too
		   NOT (coalesce(b.attnotnull, a.attnotnull) OR (a.attname IN ('price_now', 'discount_now') AND c.relname <> 'popular_products')),
		   coalesce(pg_catalog.col_description(a.attrelid, a.attnum), b.description, s.description), a.attnum::int
	FROM pg_catalog.pg_attribute a
	JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
	LEFT JOIN LATERAL (
		SELECT o.attnotnull, pg_catalog.col_description(o.attrelid, o.attnum) AS description
		FROM pg_catalog.pg_attribute o JOIN pg_catalog.pg_class t ON t.oid = o.attrelid
		WHERE t.relname = CASE WHEN c.relname = 'my_products' THEN 'products'
							   WHEN c.relname = 'seller_orders' THEN 'orders' ELSE c.relname END
		  AND t.relnamespace = 'commerce'::regnamespace AND t.relkind IN ('r', 'p')
		  AND o.attname = a.attname AND NOT o.attisdropped AND o.attnum > 0) b ON true
	LEFT JOIN LATERAL (
		SELECT pg_catalog.col_description(d.refobjid, d.refobjsubid) AS description
		FROM pg_catalog.pg_rewrite w
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
			AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
		JOIN pg_catalog.pg_attribute o ON o.attrelid = d.refobjid AND o.attnum = d.refobjsubid
		WHERE w.ev_class = c.oid AND o.attname = a.attname
		  AND pg_catalog.col_description(d.refobjid, d.refobjsubid) IS NOT NULL
		LIMIT 1) s ON true
	WHERE a.attrelid = api_columns.relation AND a.attnum > 0 AND NOT a.attisdropped
	  AND a.attname <> ALL (commerce_private.api_internal())
$$;
COMMENT ON FUNCTION commerce_private.api_columns(oid) IS 'columns as REST shows them';

CREATE FUNCTION commerce_private.api_row_properties(relation regclass, chosen text[] DEFAULT NULL)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_object_agg(c.name, commerce_private.api_schema_of(c.type, c.nullable) || pg_catalog.jsonb_build_object('x-order', c.ordinal)
			|| CASE WHEN c.description IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('description', c.description) END)
	FROM commerce_private.api_columns(api_row_properties.relation) c
	WHERE chosen IS NULL OR c.name = ANY (chosen)
$$;
COMMENT ON FUNCTION commerce_private.api_row_properties(regclass, text[]) IS 'JSON schemas of the columns of a row, or of those chosen';

CREATE FUNCTION commerce_private.api_result_properties(function regproc)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- refunds that no item accounts for are of no product
	SELECT pg_catalog.jsonb_object_agg(a.name, commerce_private.api_schema_of(a.type::regtype, f.proname = 'sales_report' AND a.name = 'product_id')
			|| pg_catalog.jsonb_build_object('x-order', a.ordinal))
	FROM pg_catalog.pg_proc f
	CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(f.proargnames), pg_catalog.unnest(f.proallargtypes), pg_catalog.unnest(f.proargmodes)) WITH ORDINALITY AS a (name, type, mode, ordinal)
	WHERE f.oid = api_result_properties.function AND a.mode <> 'i'
$$;
COMMENT ON FUNCTION commerce_private.api_result_properties(regproc) IS 'JSON schemas of the columns that a function returns';

-- What the rows of a view can embed: over a foreign key of the table that the view shows, or by a function of the
-- row. Relations of a table to itself, and those by way of a third one, have to be spelled out, and are not here.
CREATE FUNCTION commerce_private.api_embedded_properties(view oid)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH shown AS (
		SELECT v.oid AS view, v.relname, t.oid AS shows
		FROM pg_catalog.pg_class v
		JOIN pg_catalog.pg_class t ON t.relnamespace = 'commerce'::regnamespace AND t.relkind IN ('r', 'p')
			AND t.relname = CASE v.relname WHEN 'my_products' THEN 'products' ELSE v.relname END
		WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v'
		  AND EXISTS (SELECT FROM pg_catalog.pg_rewrite w
					  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
					  WHERE w.ev_class = v.oid AND d.refobjid = t.oid)),
	related AS (
		SELECT referring.view AS referring, referring.relname AS referring_name, referred.view AS referred, referred.relname AS referred_name,
			   NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = k.conrelid AND i.indisunique AND i.indpred IS NULL
							 AND pg_catalog.string_to_array(i.indkey::text, ' ')::smallint[] <@ k.conkey) AS many
		FROM pg_catalog.pg_constraint k
		JOIN shown referring ON referring.shows = k.conrelid
		JOIN shown referred ON referred.shows = k.confrelid
		WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND k.conparentid = 0
		  -- which the view hides
		  AND k.conname <> 'order_items_replacement_product_id_fkey'
		  -- PostgREST also sees the way by a table that joins the two
		  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint one
						  JOIN pg_catalog.pg_constraint other ON other.conrelid = one.conrelid AND other.contype = 'f' AND other.confrelid = k.confrelid
						  JOIN pg_catalog.pg_constraint p ON p.conrelid = one.conrelid AND p.contype = 'p' AND one.conkey || other.conkey <@ p.conkey
						  WHERE one.contype = 'f' AND one.confrelid = k.conrelid)
		  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
						  WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
							AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute b WHERE b.attrelid = referring.view AND b.attname = a.attname))),
	embedded (name, target, many) AS (
		SELECT r.referred_name, r.referred_name, false FROM related r WHERE r.referring = api_embedded_properties.view
		UNION ALL
		SELECT r.referring_name, r.referring_name, r.many FROM related r WHERE r.referred = api_embedded_properties.view
		UNION ALL
		SELECT f.proname, c.relname, f.prorows > 1
		FROM pg_catalog.pg_proc f
		JOIN pg_catalog.pg_class c ON c.reltype = f.prorettype AND c.relkind = 'v'
		WHERE f.pronamespace = 'commerce_api'::regnamespace
		  AND f.proargtypes[0] = (SELECT v.reltype FROM pg_catalog.pg_class v WHERE v.oid = api_embedded_properties.view))
	SELECT coalesce(pg_catalog.jsonb_object_agg(o.name, CASE WHEN o.many THEN commerce_private.api_array(o.target)
			ELSE pg_catalog.jsonb_build_object('anyOf', pg_catalog.jsonb_build_array(o.target, '{"type": "null"}'::jsonb)) END
			|| pg_catalog.jsonb_build_object('x-order', 1000 + o.ordinal, 'description', pg_catalog.format('there with `select=*,%s(*)`', o.name))), '{}')
	FROM (SELECT e.name, pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || min(e.target)) AS target, pg_catalog.bool_or(e.many) AS many,
				 pg_catalog.row_number() OVER (ORDER BY e.name) AS ordinal
		  FROM embedded e GROUP BY e.name HAVING count(*) = 1) o
$$;
COMMENT ON FUNCTION commerce_private.api_embedded_properties(oid) IS 'JSON schemas of the rows that a row of a view can embed';

CREATE FUNCTION commerce_private.api_singular(relation name)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.regexp_replace(pg_catalog.regexp_replace(relation, 'ies$', 'ys'), 's$', '')
$$;
COMMENT ON FUNCTION commerce_private.api_singular(name) IS 'what one row of a table is called';

CREATE FUNCTION commerce_private.status_schema()
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.api_object(pg_catalog.jsonb_build_object(
		'as_of', n.moment,
		'version', n.string,
		'timezone', n.string,
		'currency', commerce_private.api_object(commerce_private.api_result_properties('commerce_private.shop_currency')),
		'problems', '{"description": "what is not as it should be: code and bad say what and how urgently; the rest is null where it says nothing"}'
			|| commerce_private.api_array(commerce_private.api_object(pg_catalog.jsonb_build_object('code', n.string, 'bad', '{"type": "boolean"}'::jsonb,
				'subject', n.string || n.nullable, 'count', n.number || '{"type": ["integer", "null"]}', 'since', n.moment || n.nullable, 'detail', n.string || n.nullable))),
		'waiting', '{"description": "what waits for somebody, counted up to 10000, and since when the oldest"}'
			|| commerce_private.api_array(commerce_private.api_object(pg_catalog.jsonb_build_object('kind', n.string, 'count', n.number, 'oldest', n.moment || n.nullable))),
		'orders', '{"description": "since the moment said: for 60 minutes by the clock, but at most of the last 200000 orders. revenue: less what was refunded"}'
			|| commerce_private.api_object(pg_catalog.jsonb_build_object('since', n.moment, 'placed', n.number, 'paid', n.number, 'revenue', n.number, 'refunded', n.number,
				'per_minute', commerce_private.api_array(n.number || '{"type": ["integer", "null"]}')
					|| '{"minItems": 60, "maxItems": 60, "description": "placed in each minute by the clock, the latest last, which is not over; null before since"}')),
		'units_per_day', commerce_private.api_array(commerce_private.api_object(pg_catalog.jsonb_build_object('day', commerce_private.api_schema_of('date', false), 'units', n.number)))
			|| '{"minItems": 14, "maxItems": 14, "description": "sold, less cancelled; today last"}',
		'popular_products', commerce_private.api_array(commerce_private.api_object(commerce_private.api_result_properties('commerce.popular_products'))),
		'running_out', '{"description": "best sellers whose stock is gone within three days if they sell on as they did"}'
			|| commerce_private.api_array(commerce_private.api_object(pg_catalog.jsonb_build_object('product_id', n.number, 'name', n.string, 'seller_name', n.string || n.nullable,
				'stock', n.number, 'units_sold', n.number, 'lasts_days', '{"type": "number"}'::jsonb))),
		'sheets', commerce_private.api_object(pg_catalog.jsonb_build_object('last_hour', n.number, 'ordered', n.number)),
		'jobs', commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.job_status',
			'{name,state,schedule,last_finished_at,last_rows,backlog,failures,last_error,last_error_at}'))),
		'worker', n.string || n.nullable || '{"description": "state of the maintenance worker here; null: there is none"}',
		'subscriptions', commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.subscription_status',
			'{name,state,destination,lag_events,lag_seconds,parked,dead_letters,paused_at,pause_reason,last_success_at,last_error,last_error_at}'))),
		'horizon', pg_catalog.jsonb_build_object('description', 'what holds delivery and folding back most', 'anyOf', pg_catalog.jsonb_build_array(
			commerce_private.api_object(commerce_private.api_row_properties('commerce.horizon', '{kind,database,holder,since,age}')), '{"type": "null"}'::jsonb)),
		'escrow', commerce_private.api_object(pg_catalog.jsonb_build_object('counters', n.number, 'in_flight', n.number, 'waiters', n.number))))
	FROM (SELECT commerce_private.api_schema_of('bigint', false) AS number, commerce_private.api_schema_of('text', false) AS string,
				 commerce_private.api_schema_of('timestamptz', false) AS moment, '{"type": ["string", "null"]}'::jsonb AS nullable) n
$$;
COMMENT ON FUNCTION commerce_private.status_schema() IS 'JSON schema of what shop_status answers';

-- Plurals are rows of views, as they are when select does not choose; singulars are what functions answer.
CREATE FUNCTION commerce_private.api_schemas()
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object(
		'error', '{"type": "object", "required": ["code", "message", "details", "hint"], "properties": {
			"code": {"type": "string", "description": "of the table of errors; SQLSTATEs and PGRSTnnn are PostgREST''s own"},
			"message": {"type": "string"},
			"details": {"type": ["string", "null"], "description": "the things concerned and their ids"},
			"hint": {"type": ["string", "null"]}}}'::jsonb,
		'ambiguity', '{"type": "object", "required": ["code", "message", "details", "hint"], "properties": {
			"code": {"type": "string", "const": "PGRST201"},
			"message": {"type": "string"},
			"details": {"type": "array", "description": "the relationships there are", "items": {"type": "object", "required": ["cardinality", "embedding", "relationship"], "properties": {
				"cardinality": {"type": "string"}, "embedding": {"type": "string"}, "relationship": {"type": "string"}}}},
			"hint": {"type": "string", "description": "how to name each of them in select"}}}'::jsonb,
		'lines', '{"type": "array", "minItems": 1, "maxItems": 1000, "items": {"type": "object", "additionalProperties": false,
			"required": ["product_id", "quantity"], "properties": {
			"product_id": {"type": "integer", "format": "int64", "minimum": 1},
			"quantity": {"type": "integer", "format": "int64", "minimum": 1},
			"coupon_issue_id": {"type": ["integer", "null"], "format": "int64", "minimum": 1, "description": "a coupon of the caller for that product"}}}}'::jsonb,
		'product', commerce_private.api_object(commerce_private.api_row_properties('commerce_api.products')),
		'coupon', commerce_private.api_object(commerce_private.api_row_properties('commerce_api.coupons')),
		'promotion', commerce_private.api_object(commerce_private.api_row_properties('commerce_api.promotions')),
		'order', commerce_private.api_object(o.properties || pg_catalog.jsonb_build_object('items', commerce_private.api_array(commerce_private.api_object(o.item)))),
		'seller_order', commerce_private.api_object(commerce_private.api_row_properties('commerce_api.seller_orders')
			|| pg_catalog.jsonb_build_object('items', commerce_private.api_array(commerce_private.api_object(o.item)))),
		'order_in_full', commerce_private.api_object(o.properties || pg_catalog.jsonb_build_object(
			'items', commerce_private.api_array(commerce_private.api_object(o.item || pg_catalog.jsonb_build_object('history',
				commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.order_item_events') - 'order_item_id'))))),
			'coupons', commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.order_coupons') - 'order_id')),
			'payments', commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.payments') - 'order_id')),
			'archived_at', commerce_private.api_schema_of('timestamptz', true) || '{"description": "when it was archived; null: it was not"}')),
		'order_sheet', commerce_private.api_object(commerce_private.api_row_properties('commerce.order_sheets') || pg_catalog.jsonb_build_object(
			'items', commerce_private.api_array(commerce_private.api_object(commerce_private.api_row_properties('commerce.order_sheet_items') - 'order_sheet_id')))),
		'exported_user', commerce_private.api_object('{"user": {"$ref": "#/components/schemas/user"}, "seller": {"type": ["object", "null"]}}'
			|| (SELECT pg_catalog.jsonb_object_agg(k.key, '{"type": "array", "items": {"type": "object"}}'::jsonb)
				FROM pg_catalog.unnest('{orders,charges,balance_entries,coupons,order_sheets}'::text[]) AS k (key))),
		'shop_status', commerce_private.status_schema())
		|| (SELECT pg_catalog.jsonb_object_agg(commerce_private.api_singular(c.relname), commerce_private.api_object(commerce_private.api_row_properties(c.oid)))
			FROM pg_catalog.pg_class c
			WHERE c.relkind = 'r' AND c.relname NOT IN ('orders', 'order_sheets', 'products', 'coupons', 'promotions')
			  AND c.reltype IN (SELECT f.prorettype FROM commerce_private.api_endpoints e JOIN pg_catalog.pg_proc f ON f.oid = e.function::regproc))
		|| (SELECT pg_catalog.jsonb_object_agg(t.typname, pg_catalog.jsonb_build_object('type', 'string',
						'description', coalesce(pg_catalog.obj_description(t.oid, 'pg_type'), t.typname),
						'enum', (SELECT pg_catalog.jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)))
			FROM pg_catalog.pg_type t
			-- units move by SQL alone
			WHERE t.typnamespace = 'commerce'::regnamespace AND t.typtype = 'e' AND t.typname <> 'unit_kind')
		|| (SELECT pg_catalog.jsonb_object_agg(v.relname, commerce_private.api_object(r.properties)
						|| pg_catalog.jsonb_build_object('properties', r.properties || commerce_private.api_embedded_properties(v.oid),
														 'description', pg_catalog.obj_description(v.oid, 'pg_class')))
			FROM pg_catalog.pg_class v CROSS JOIN LATERAL (SELECT commerce_private.api_row_properties(v.oid) AS properties) r
			WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v')
	FROM (SELECT commerce_private.api_row_properties('commerce.orders') AS properties,
				 commerce_private.api_row_properties('commerce.order_items') - 'order_id' AS item) o
$$;
COMMENT ON FUNCTION commerce_private.api_schemas() IS 'the schemas of the OpenAPI document, without examples';

-- What an endpoint answers in "data".
CREATE FUNCTION commerce_private.api_data_schema(endpoint text)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH item AS (
		SELECT f.proretset,
			   CASE
				WHEN e.result IS NOT NULL THEN
					commerce_private.api_object(pg_catalog.jsonb_build_object(e.result, commerce_private.api_schema_of(f.prorettype::regtype, false)))
				WHEN f.prorettype = 'void'::regtype THEN '{"type": "null"}'
				WHEN e.completion = 'order' AND 'SELLER' = ANY (e.roles) THEN
					'{"anyOf": [{"$ref": "#/components/schemas/order"}, {"$ref": "#/components/schemas/seller_order"}]}'
				WHEN f.prorettype = 'record'::regtype THEN commerce_private.api_object(commerce_private.api_result_properties(f.oid))
				WHEN f.proname = 'api_charge_balance' THEN commerce_private.api_object(commerce_private.api_result_properties('commerce.charge_balance'))
				ELSE pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || CASE f.proname
					WHEN 'api_get_product' THEN 'product'
					WHEN 'api_get_order' THEN 'order_in_full'
					WHEN 'api_shop_status' THEN 'shop_status'
					WHEN 'export_user' THEN 'exported_user'
					ELSE (SELECT commerce_private.api_singular(c.relname) FROM pg_catalog.pg_class c WHERE c.reltype = f.prorettype) END) END AS schema
		FROM commerce_private.api_endpoints e
		JOIN pg_catalog.pg_proc f ON f.oid = e.function::regproc
		WHERE e.name = api_data_schema.endpoint)
	SELECT CASE WHEN i.proretset THEN commerce_private.api_array(i.schema) ELSE i.schema END FROM item i
$$;
COMMENT ON FUNCTION commerce_private.api_data_schema(text) IS 'JSON schema of what an endpoint answers';

-- What PostgREST answers by itself, with codes of its own.
CREATE FUNCTION commerce_private.api_postgrest_responses(OUT by_status jsonb, OUT components jsonb)
RETURNS record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_object_agg(r.status, pg_catalog.jsonb_build_object('$ref', '#/components/responses/postgrest_' || r.status)),
		   pg_catalog.jsonb_object_agg('postgrest_' || r.status, pg_catalog.jsonb_build_object('description', r.description,
				'content',
				CASE r.status WHEN 300 THEN '{"application/json": {"schema": {"$ref": "#/components/schemas/ambiguity"}}}'
							  ELSE '{"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}' END::jsonb))
	FROM (VALUES
		(300, 'PostgREST''s own: what select embeds is related in more than one way (PGRST201), and the hint says how to choose'),
		(400, 'PostgREST''s own: a body that is no JSON (PGRST102), a query that cannot be parsed (PGRST100), an unknown column (42703) or a malformed value (22P02); as text, a request line that is too long'),
		(401, 'PostgREST''s own: a token that is malformed, expired, or not signed by us (PGRST301, PGRST303); 42501 for a visitor without a token'),
		(403, 'PostgREST''s own: 42501, the role may not read this'),
		(404, 'PostgREST''s own: no such function, argument or view (PGRST202, PGRST205)'),
		(405, 'PostgREST''s own: the method is not allowed (PGRST101, PGRST117), or a GET of what writes (25006)'),
		(406, 'PostgREST''s own: a media type that is not available (PGRST107), or no single row for application/vnd.pgrst.object+json (PGRST116)'),
		(415, 'PostgREST''s own: a content type that is not understood'),
		(416, 'PostgREST''s own: an offset beyond the last row, when rows are counted (PGRST103)'),
		(500, 'PostgREST''s own: something it did not expect, such as JSON that is nested too deeply (54001), a wait of a view that was too long (55P03, 57014), or, as text, bytes that are not UTF-8'),
		(503, 'PostgREST''s own: it cannot reach the database (PGRST000 to PGRST002)'),
		(504, 'PostgREST''s own: no connection to the database became free in time (PGRST003)')) AS r (status, description)
$$;
COMMENT ON FUNCTION commerce_private.api_postgrest_responses() IS 'error responses that are not ours, as components and as references to them';

-- Error codes that an endpoint can answer: those that the comment of the function behind names, and those of any call.
CREATE FUNCTION commerce_private.api_endpoint_errors(endpoint text)
RETURNS TABLE (http_status int, code text, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE mentioned (comment) AS (
		SELECT pg_catalog.obj_description(e.function::regproc, 'pg_proc')
		FROM commerce_private.api_endpoints e WHERE e.name = api_endpoint_errors.endpoint
		UNION
		-- "Errors: those of place_order(), ..."
		SELECT pg_catalog.obj_description(('commerce.' || r.name[1])::regproc, 'pg_proc')
		FROM mentioned m
		CROSS JOIN LATERAL pg_catalog.regexp_matches(pg_catalog.substring(m.comment, 'Errors: .*'), 'those of (\w+)\(\)', 'g') AS r (name))
	SELECT c.http_status, c.code, c.message
	FROM commerce.error_codes() c
	WHERE c.code = ANY ('{INVALID_REQUEST,SERVICE_BUSY,INTERNAL_SERVER_ERROR}')
	   OR (c.code = ANY ('{UNAUTHENTICATED,FORBIDDEN}')
		   AND (SELECT 'ANONYMOUS' <> ALL (e.roles) FROM commerce_private.api_endpoints e WHERE e.name = api_endpoint_errors.endpoint))
	   OR (c.code = 'IDEMPOTENCY_KEY_REUSED'
		   AND (SELECT e.keyed FROM commerce_private.api_endpoints e WHERE e.name = api_endpoint_errors.endpoint))
	   OR (c.code = 'ENTITY_NOT_FOUND' AND api_endpoint_errors.endpoint IN ('get_product', 'get_order'))
	   OR EXISTS (SELECT FROM mentioned m WHERE pg_catalog.substring(m.comment, 'Errors: .*') ~ ('\m' || c.code || '\M'))
$$;
COMMENT ON FUNCTION commerce_private.api_endpoint_errors(text) IS 'what can go wrong in an endpoint';

CREATE FUNCTION commerce_private.api_error_responses(endpoint text)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_object_agg(s.http_status, s.response)
	FROM (SELECT e.http_status, pg_catalog.jsonb_build_object(
				'description', pg_catalog.string_agg(pg_catalog.format('`%s`: %s', e.code, e.message), '; ' ORDER BY e.code),
				'headers', '{"Vary": {"$ref": "#/components/headers/Vary"}}'::jsonb
					|| CASE e.http_status WHEN 401 THEN '{"WWW-Authenticate": {"$ref": "#/components/headers/WWW-Authenticate"}}'
										  WHEN 429 THEN '{"Retry-After": {"$ref": "#/components/headers/Retry-After"}}' ELSE '{}' END::jsonb,
				'content', pg_catalog.jsonb_build_object('application/json', pg_catalog.jsonb_build_object(
					'schema', '{"$ref": "#/components/schemas/error"}'::jsonb,
					'examples', pg_catalog.jsonb_object_agg(e.code, pg_catalog.jsonb_build_object('value',
						pg_catalog.jsonb_build_object('code', e.code, 'message', e.message, 'details', NULL, 'hint', NULL)))))) AS response
		  FROM commerce_private.api_endpoint_errors(api_error_responses.endpoint) e
		  GROUP BY e.http_status) s
$$;
COMMENT ON FUNCTION commerce_private.api_error_responses(text) IS 'the error responses of an endpoint';

CREATE FUNCTION commerce_private.api_rpc_path(endpoint text, schemas jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH e AS (SELECT e.*, pg_catalog.obj_description(e.function::regproc, 'pg_proc') AS comment
			   FROM commerce_private.api_endpoints e WHERE e.name = api_rpc_path.endpoint),
	arguments AS (
		SELECT a.*, n.description,
			   CASE WHEN a.argument = 'items' THEN '{"$ref": "#/components/schemas/lines"}'
					ELSE commerce_private.api_schema_of(a.type, NOT a.required) END
			   || pg_catalog.jsonb_build_object('x-order', a.position)
			   || CASE WHEN n.description IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('description', n.description) END AS schema
		FROM commerce_private.api_arguments a LEFT JOIN commerce_private.api_notes n USING (argument)
		WHERE a.endpoint = api_rpc_path.endpoint AND a.asked),
	has AS (
		SELECT e.location IS NOT NULL AS location,
			   e.keyed AS key,
			   e.name IN ('retry_payment', 'request_charge') AS always_pending, e.name = 'charge_balance' AS charge, e.name = 'sign_up' AS sign_up,
			   EXISTS (SELECT FROM commerce_private.api_arguments a WHERE a.endpoint = e.name AND a.argument = 'payment_method') AS payment,
			   d.schema AS data, commerce_private.api_example(d.schema, '', schemas) AS example
		FROM e, commerce_private.api_data_schema(e.name) AS d (schema)),
	success AS (
		SELECT pg_catalog.jsonb_object_agg(r.status, pg_catalog.jsonb_build_object(
			'description', r.description,
			'headers', '{"Vary": {"$ref": "#/components/headers/Vary"}}'::jsonb
				|| CASE WHEN r.status > 200 THEN '{"Location": {"$ref": "#/components/headers/Location"}}' ELSE '{}' END::jsonb
				|| CASE WHEN has.key THEN '{"Idempotent-Replayed": {"$ref": "#/components/headers/Idempotent-Replayed"}}' ELSE '{}' END::jsonb,
			'content', pg_catalog.jsonb_build_object('application/json', pg_catalog.jsonb_build_object(
				'schema', commerce_private.api_object(pg_catalog.jsonb_build_object(
					'code', '{"type": "string", "const": "SUCCESS"}'::jsonb,
					'message', '{"type": "string", "examples": ["the request succeeded", "\uc694\uccad\uc5d0 \uc131\uacf5\ud588\uc2b5\ub2c8\ub2e4."]}'::jsonb,
					'data', CASE WHEN has.charge AND r.status = 202 THEN '{"$ref": "#/components/schemas/payment"}' ELSE has.data END)),
				'example', pg_catalog.jsonb_build_object('code', 'SUCCESS', 'message', 'the request succeeded',
					'data', CASE WHEN has.charge AND r.status = 202 THEN commerce_private.api_example('{"$ref": "#/components/schemas/payment"}', '', schemas)
						WHEN r.status = 202 AND has.example ? 'items'
						THEN pg_catalog.jsonb_set(has.example, '{items,0,status}', '"PENDING_PAYMENT"')
							 || '{"status": "PENDING_PAYMENT", "payment_method": "EXTERNAL", "paid_at": null}'
						ELSE has.example END))))) AS responses
		FROM has
		CROSS JOIN LATERAL (VALUES
			(200, CASE WHEN has.sign_up THEN 'the user whom the token names already' ELSE 'done' END, NOT has.location OR has.charge OR has.sign_up),
			(201, 'made; Location says where it can be read', has.location AND NOT has.always_pending AND NOT has.charge),
			(202, 'made, and waiting for its payment', has.payment OR has.always_pending OR has.charge)) AS r (status, description, there)
		WHERE r.there),
	operation AS (
		SELECT pg_catalog.jsonb_build_object(
			'tags', CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN '["catalogue"]'
						 ELSE (SELECT pg_catalog.jsonb_agg(pg_catalog.lower(r::text)) FROM pg_catalog.unnest(e.roles) r) END,
			'summary', e.summary,
			'description', pg_catalog.format('%s.%s', e.summary, CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN '' ELSE
				' For the role ' || pg_catalog.lower(pg_catalog.array_to_string(e.roles, ' or ')) || '; the caller is whom the token names.' END
				|| CASE WHEN e.reads THEN ''
						WHEN e.keyed THEN ' A repeated `Idempotency-Key` has the first answer come again, and nothing done.'
						ELSE ' A repeated call finds the work done, so an `Idempotency-Key` is ignored.' END
				|| ' `limit` and `offset` are for views: an offset is refused here, and with `limit=0` nothing is done, and the answer is `null` or empty.'),
			'security', CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN '[{}, {"bearer": []}]' ELSE '[{"bearer": []}]' END::jsonb,
			-- nothing of a function can be embedded
			'responses', (SELECT p.by_status - '300' FROM commerce_private.api_postgrest_responses() p) || commerce_private.api_error_responses(e.name)
				|| s.responses) AS common,
			pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('$ref', '#/components/parameters/Accept-Language'))
				|| CASE WHEN e.reads THEN '[]' ELSE '[{"$ref": "#/components/parameters/Prefer"}]' END::jsonb
				|| CASE WHEN has.key THEN '[{"$ref": "#/components/parameters/Idempotency-Key"}]' ELSE '[]' END::jsonb AS headers,
			e.*
		FROM e, has, success s)
	SELECT CASE WHEN o.reads THEN
		pg_catalog.jsonb_build_object('get', o.common || pg_catalog.jsonb_build_object('operationId', o.name,
			'parameters', o.headers || coalesce((
				SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', a.argument, 'in', 'query', 'required', a.required AND a.source = 'BODY',
							'schema', commerce_private.api_schema_of(a.type, false), 'description', coalesce(a.description, a.argument))
							|| CASE WHEN o.example ? a.argument THEN pg_catalog.jsonb_build_object('example', o.example -> a.argument) ELSE '{}' END
						ORDER BY a.position)
				FROM arguments a), '[]')))
	ELSE
		pg_catalog.jsonb_build_object('post', o.common || pg_catalog.jsonb_build_object('operationId', o.name, 'parameters', o.headers,
			'requestBody', pg_catalog.jsonb_build_object('required', true, 'content', pg_catalog.jsonb_build_object('application/json',
				pg_catalog.jsonb_build_object('example', o.example, 'schema', pg_catalog.jsonb_build_object('type', 'object',
					'additionalProperties', false,
					'required', coalesce((SELECT pg_catalog.jsonb_agg(a.argument ORDER BY a.position) FROM arguments a WHERE a.required AND a.source = 'BODY'), '[]'),
					'properties', coalesce((SELECT pg_catalog.jsonb_object_agg(a.argument, a.schema) FROM arguments a), '{}')))))))
	END
	FROM operation o
$$;
COMMENT ON FUNCTION commerce_private.api_rpc_path(text, jsonb) IS 'the path item of an endpoint';

CREATE FUNCTION commerce_private.api_view_path(view regclass, schemas jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object('get', pg_catalog.jsonb_build_object(
		'operationId', 'read_' || v.relname,
		'tags', CASE WHEN 'ANONYMOUS' = ANY (r.roles) THEN '["catalogue"]'
					 ELSE (SELECT pg_catalog.jsonb_agg(pg_catalog.lower(x::text)) FROM pg_catalog.unnest(r.roles) x) END,
		'summary', pg_catalog.obj_description(v.oid, 'pg_class'),
		'description', pg_catalog.format('%s. All columns are there when `select` chooses none. `Accept: text/csv` has the rows as CSV, '
			'`Accept: application/vnd.pgrst.object+json` one row without its array.', pg_catalog.obj_description(v.oid, 'pg_class')),
		'security', CASE WHEN 'ANONYMOUS' = ANY (r.roles) THEN '[{}, {"bearer": []}]' ELSE '[{"bearer": []}]' END::jsonb,
		'parameters', '[{"$ref": "#/components/parameters/select"}, {"$ref": "#/components/parameters/order"}, '
					   '{"$ref": "#/components/parameters/limit"}, {"$ref": "#/components/parameters/offset"}, '
					   '{"$ref": "#/components/parameters/Prefer-count"}]'::jsonb
			|| (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', c.name, 'in', 'query', 'required', false,
						'schema', '{"type": "string"}'::jsonb, 'description', 'filter, such as `eq.1`, `gt.5`, `in.(1,2)`, `is.null`'
							|| coalesce('; ' || c.description, '')) ORDER BY c.ordinal)
				FROM commerce_private.api_columns(v.oid) c
				-- paging has these names already
				WHERE c.name NOT IN ('select', 'order', 'limit', 'offset')),
		'responses', (SELECT p.by_status FROM commerce_private.api_postgrest_responses() p) || pg_catalog.jsonb_build_object('200', s.response || '{"description": "rows; an empty array when there is none"}',
																					   '206', s.response || '{"description": "part of the rows, when they are counted"}')))
	FROM pg_catalog.pg_class v
	CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(w.api_role ORDER BY w.api_role) AS roles FROM commerce_private.api_views w WHERE w.view = v.oid) r
	CROSS JOIN LATERAL (SELECT pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || v.relname) AS schema) w
	CROSS JOIN LATERAL (SELECT commerce_private.api_example(w.schema, '', schemas) AS row) e
	CROSS JOIN LATERAL (SELECT pg_catalog.jsonb_build_object('headers', '{"Content-Range": {"$ref": "#/components/headers/Content-Range"}}'::jsonb,
			'content', pg_catalog.jsonb_build_object('application/json', pg_catalog.jsonb_build_object(
				'schema', commerce_private.api_array(w.schema), 'example', pg_catalog.jsonb_build_array(e.row)))) AS response) s
	WHERE v.oid = api_view_path.view
$$;
COMMENT ON FUNCTION commerce_private.api_view_path(regclass, jsonb) IS 'the path item of a view';

CREATE FUNCTION commerce_private.api_components(schemas jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object(
		'securitySchemes', '{"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "a token with the claims role (the database role) and sub (the user id), or those that the shop reads in their place"}}'::jsonb,
		'parameters', '{
			"Idempotency-Key": {"name": "Idempotency-Key", "in": "header", "required": false, "schema": {"type": "string", "minLength": 1, "maxLength": 255}, "description": "makes a repeated request harmless: the first answer comes again, with its status and Location. The caller''s own, per function; kept 24 hours, of charges for good"},
			"Accept-Language": {"name": "Accept-Language", "in": "header", "required": false, "schema": {"type": "string"}, "description": "language of messages: ko or en"},
			"Prefer": {"name": "Prefer", "in": "header", "required": false, "schema": {"type": "string"}, "description": "`tx=rollback` answers what would happen, and does nothing: a free quote"},
			"Prefer-count": {"name": "Prefer", "in": "header", "required": false, "schema": {"type": "string"}, "description": "`count=exact` counts all rows into Content-Range"},
			"select": {"name": "select", "in": "query", "required": false, "schema": {"type": "string"}, "description": "columns, and related rows to embed, such as `id,order_items(*)`"},
			"order": {"name": "order", "in": "query", "required": false, "schema": {"type": "string"}, "description": "such as `id.desc`"},
			"limit": {"name": "limit", "in": "query", "required": false, "schema": {"type": "integer", "minimum": 0}},
			"offset": {"name": "offset", "in": "query", "required": false, "schema": {"type": "integer", "minimum": 0}}}'::jsonb,
		'responses', (SELECT p.components FROM commerce_private.api_postgrest_responses() p),
		'headers', '{
			"Vary": {"schema": {"type": "string"}, "description": "Accept-Language"},
			"Location": {"schema": {"type": "string", "format": "uri-reference"}, "description": "where what was made can be read"},
			"Idempotent-Replayed": {"schema": {"type": "string", "const": "true"}, "description": "the key had done its work already"},
			"Retry-After": {"schema": {"type": "string"}, "description": "seconds"},
			"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"},
			"Content-Range": {"schema": {"type": "string"}, "description": "which rows of how many: 0-9/57, or 0-9/* when they are not counted"}}'::jsonb,
		'schemas', (SELECT pg_catalog.jsonb_object_agg(s.key, s.value || CASE WHEN s.value ->> 'type' = 'object'
						THEN pg_catalog.jsonb_build_object('examples', pg_catalog.jsonb_build_array(commerce_private.api_example(s.value, '', schemas))) ELSE '{}' END)
					FROM pg_catalog.jsonb_each(schemas) s))
$$;
COMMENT ON FUNCTION commerce_private.api_components(jsonb) IS 'the components of the OpenAPI document';

-- jsonb sorts by length; who reads wants the catalogue before the administrator's work, columns as they are in
-- the table, and a name before what is said of it. "x-order" is a place among the others, and is left out.
CREATE FUNCTION commerce_private.api_in_order(document jsonb)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pg_catalog.jsonb_typeof(document) = 'array' THEN
		RETURN (SELECT '[' || coalesce(pg_catalog.string_agg(
						CASE WHEN pg_catalog.jsonb_typeof(e.value) IN ('array', 'object') THEN commerce_private.api_in_order(e.value)
							 ELSE e.value::text END, ',' ORDER BY e.ordinal), '') || ']'
				FROM pg_catalog.jsonb_array_elements(document) WITH ORDINALITY AS e (value, ordinal));
	END IF;
	RETURN (SELECT '{' || coalesce(pg_catalog.string_agg(pg_catalog.to_json(p.key)::text || ':'
						|| CASE WHEN pg_catalog.jsonb_typeof(p.value) NOT IN ('array', 'object')
								  OR p.key IN ('example', 'examples', 'required', 'enum') THEN p.value::text
								ELSE commerce_private.api_in_order(p.value) END, ','
					ORDER BY (p.value ->> 'x-order')::int, pg_catalog.array_position('{openapi,info,operationId,title,name,in,tags,type,format,
						$ref,summary,version,description,contact,servers,security,parameters,requestBody,required,properties,headers,content,
						schema,responses,code,message,data,details,hint,paths,components}'::text[], p.key), p.key COLLATE "C"), '') || '}'
			FROM pg_catalog.jsonb_each(document) p WHERE p.key <> 'x-order');
END
$$;
COMMENT ON FUNCTION commerce_private.api_in_order(jsonb) IS 'an array or object as JSON text, in the order of a reader';

-- Everybody's, then the buyer's, the seller's and the administrator's; of each what is read, then what is done.
CREATE FUNCTION commerce_private.api_paths_in_order(paths jsonb)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_object_agg(o.key, o.value || pg_catalog.jsonb_build_object('x-order', o.place))
	FROM (SELECT p.key, p.value, pg_catalog.row_number() OVER (
				ORDER BY pg_catalog.array_position('{catalogue,buyer,seller,admin}'::text[], pg_catalog.jsonb_path_query_first(p.value, '$.*.tags[0]') #>> '{}'),
						 p.key LIKE '/rpc/%', p.value ? 'post', p.key COLLATE "C") AS place
		  FROM pg_catalog.jsonb_each(paths) p) o
$$;
COMMENT ON FUNCTION commerce_private.api_paths_in_order(jsonb) IS 'paths with the places that they have among each other';

CREATE FUNCTION commerce_private.build_openapi()
RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.api_in_order(pg_catalog.jsonb_build_object(
		'openapi', '3.1.0',
		'info', pg_catalog.jsonb_build_object('title', 'commerce',
			'version', (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'commerce'),
			'description', pg_catalog.obj_description('commerce_api'::regnamespace, 'pg_namespace'),
			'contact', '{"name": "whoever runs this shop"}'::jsonb,
			'license', '{"name": "PostgreSQL License", "identifier": "PostgreSQL"}'::jsonb),
		'servers', '[{"url": "/"}]'::jsonb,
		'tags', '[{"name": "catalogue", "description": "for everybody"}, {"name": "buyer", "description": "for a buyer, about its own"}, {"name": "seller", "description": "for a seller, about its own"}, {"name": "admin", "description": "for an administrator"}]'::jsonb,
		'paths', commerce_private.api_paths_in_order('{"/": {"get": {"operationId": "root", "tags": ["catalogue"], "summary": "this document; for browsers a page", "description": "The OpenAPI document. Who accepts text/html before JSON is answered a page.", "security": [{}, {"bearer": []}],
					"responses": {"200": {"description": "OpenAPI 3.1", "content": {"application/openapi+json": {"schema": {"type": "object"}}, "text/html": {"schema": {"type": "string"}}}},
								  "401": {"description": "a token that is not good", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}}}}}}'::jsonb
			|| pg_catalog.jsonb_build_object('/rpc/operator', pg_catalog.jsonb_build_object('get', '{"operationId": "operator", "tags": ["admin"], "security": [{}, {"bearer": []}],
					"description": "The page itself is for everybody and has nothing of the shop in it; it asks rpc/shop_status with an administrator''s token."}'::jsonb
				|| pg_catalog.jsonb_build_object('summary', (SELECT pg_catalog.obj_description(f.oid, 'pg_proc')
												   FROM pg_catalog.pg_proc f WHERE f.pronamespace = 'commerce_api'::regnamespace AND f.proname = 'operator'),
					'responses', (SELECT p.by_status - '300' FROM commerce_private.api_postgrest_responses() p)
						|| '{"200": {"description": "the page", "content": {"text/html": {"schema": {"type": "string"}}}}}')))
			|| (SELECT pg_catalog.jsonb_object_agg('/rpc/' || e.name, commerce_private.api_rpc_path(e.name, s.schemas)) FROM commerce_private.api_endpoints e)
			|| (SELECT pg_catalog.jsonb_object_agg('/' || v.relname, commerce_private.api_view_path(v.oid, s.schemas))
				FROM pg_catalog.pg_class v WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v')),
		'components', commerce_private.api_components(s.schemas)))::json
	FROM (SELECT commerce_private.api_schemas() OFFSET 0) s (schemas)
$$;
COMMENT ON FUNCTION commerce_private.build_openapi() IS 'makes the OpenAPI document anew';

CREATE TABLE commerce_private.api_document (
	document jsonb NOT NULL,
	in_order json NOT NULL
);
COMMENT ON TABLE commerce_private.api_document IS 'the OpenAPI document, one row, made by describe_api(); in_order is what GET / answers';

CREATE FUNCTION commerce_private.openapi()
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.document FROM commerce_private.api_document d
$$;
COMMENT ON FUNCTION commerce_private.openapi() IS 'the OpenAPI 3.1 document of the REST interface';
