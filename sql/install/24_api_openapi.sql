-- REST: the OpenAPI 3.1 document. It is made of what is there: views and their columns, the endpoints and
-- the signatures behind them, the enums, the table of errors and the "Errors:" in the functions' comments.

CREATE FUNCTION commerce.api_schema_of(type regtype, nullable boolean)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN t.typtype = 'e' AND nullable THEN
			pg_catalog.jsonb_build_object('anyOf', pg_catalog.jsonb_build_array(
				pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || t.typname), '{"type": "null"}'::jsonb))
		WHEN t.typtype = 'e' THEN pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || t.typname)
		WHEN t.typelem <> 0 AND t.typcategory = 'A' THEN
			pg_catalog.jsonb_build_object('type', b.type, 'items', commerce.api_schema_of(t.typelem::regtype, false))
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
COMMENT ON FUNCTION commerce.api_schema_of(regtype, boolean) IS 'internal: JSON schema of a type''s values in JSON';

CREATE FUNCTION commerce.api_sample(type regtype, name text)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN t.typtype = 'e' THEN (SELECT pg_catalog.to_jsonb(e.enumlabel) FROM pg_catalog.pg_enum e
								   WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder LIMIT 1)
		WHEN t.typcategory = 'A' OR t.oid = 'jsonb'::regtype THEN '[]'
		WHEN name IN ('price', 'unit_price', 'unit_final', 'line_total', 'items_total', 'payment_amount', 'amount', 'balance', 'balance_after') THEN '12000'
		WHEN name = 'email' THEN '"kim@example.com"'
		WHEN t.oid IN ('bigint'::regtype, 'int'::regtype, 'smallint'::regtype) OR t.typcategory = 'N' THEN
			CASE WHEN name ~ 'discount|refunded|failures|dead|lag' THEN '0' ELSE '1' END::jsonb
		WHEN t.typcategory = 'B' THEN 'true'
		WHEN t.oid = 'timestamptz'::regtype THEN '"2026-12-01T09:00:00+09:00"'
		WHEN t.oid = 'uuid'::regtype THEN '"7d3c6f3e-6b0a-4d0e-9d3a-0d5b1a2c3d4e"'
		WHEN name ~ 'name$' THEN '"Mug"'
		ELSE '"text"' END
	FROM pg_catalog.pg_type t WHERE t.oid = api_sample.type
$$;
COMMENT ON FUNCTION commerce.api_sample(regtype, text) IS 'internal: an example of a value';

-- The columns of a table, a view of commerce_api or a function's result. A view's column is described, and
-- known not to be null, by the column of the same name that it shows.
CREATE FUNCTION commerce.api_columns(relation oid)
RETURNS TABLE (name text, type regtype, nullable boolean, description text, ordinal int)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT a.attname, a.atttypid::regtype, NOT coalesce(b.attnotnull, a.attnotnull), coalesce(b.description, s.description), a.attnum::int
	FROM pg_catalog.pg_attribute a
	JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
	LEFT JOIN LATERAL (
		SELECT o.attnotnull, pg_catalog.col_description(o.attrelid, o.attnum) AS description
		FROM pg_catalog.pg_attribute o JOIN pg_catalog.pg_class t ON t.oid = o.attrelid
		WHERE t.relname = CASE c.relname WHEN 'my_products' THEN 'products' ELSE c.relname END
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
	  AND a.attname NOT IN ('event_key', 'xid')
$$;
COMMENT ON FUNCTION commerce.api_columns(oid) IS 'internal: columns as REST shows them';

CREATE FUNCTION commerce.api_row_schema(relation oid)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object('type', 'object',
		'properties', pg_catalog.jsonb_object_agg(c.name, commerce.api_schema_of(c.type, c.nullable)
			|| CASE WHEN c.description IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('description', c.description) END),
		'examples', pg_catalog.jsonb_build_array(pg_catalog.jsonb_object_agg(c.name, commerce.api_sample(c.type, c.name))))
	FROM commerce.api_columns(api_row_schema.relation) c
$$;
COMMENT ON FUNCTION commerce.api_row_schema(oid) IS 'internal: JSON schema of a row';

-- What an endpoint answers in "data".
CREATE FUNCTION commerce.api_data_schema(endpoint text)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH item AS (
		SELECT e.*, f.proretset, f.prorettype,
			   CASE
				WHEN e.result IS NOT NULL THEN
					pg_catalog.jsonb_build_object('type', 'object', 'required', pg_catalog.jsonb_build_array(e.result),
						'properties', pg_catalog.jsonb_build_object(e.result, commerce.api_schema_of(f.prorettype::regtype, true)))
				WHEN f.prorettype = 'void'::regtype THEN '{"type": "null"}'
				WHEN f.proname = 'api_get_product' THEN '{"$ref": "#/components/schemas/products"}'
				WHEN f.proname = 'api_get_order' THEN '{"$ref": "#/components/schemas/order"}'
				WHEN f.prorettype = 'jsonb'::regtype THEN '{"type": "object"}'
				WHEN c.relname = 'orders' THEN '{"$ref": "#/components/schemas/order"}'
				WHEN c.relname = 'order_sheets' THEN '{"$ref": "#/components/schemas/order_sheet"}'
				WHEN v.oid IS NOT NULL THEN pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || v.relname)
				WHEN c.oid IS NOT NULL THEN commerce.api_row_schema(c.oid)
				ELSE (SELECT pg_catalog.jsonb_build_object('type', 'object',
							'properties', pg_catalog.jsonb_object_agg(a.name, commerce.api_schema_of(a.type::regtype, true)))
					  FROM ROWS FROM (pg_catalog.unnest(f.proargnames), pg_catalog.unnest(f.proallargtypes), pg_catalog.unnest(f.proargmodes)) AS a (name, type, mode)
					  WHERE a.mode <> 'i') END AS schema
		FROM commerce.api_endpoints e
		JOIN pg_catalog.pg_proc f ON f.oid = ('commerce.' || e.function)::regproc
		LEFT JOIN pg_catalog.pg_class c ON c.reltype = f.prorettype AND c.relkind = 'r'
		LEFT JOIN pg_catalog.pg_class v ON v.relname = c.relname AND v.relnamespace = 'commerce_api'::regnamespace AND v.relname <> 'products'
		WHERE e.name = api_data_schema.endpoint)
	SELECT CASE WHEN i.proretset THEN pg_catalog.jsonb_build_object('type', 'array', 'items', i.schema) ELSE i.schema END FROM item i
$$;
COMMENT ON FUNCTION commerce.api_data_schema(text) IS 'internal: JSON schema of what an endpoint answers';

-- Error codes that an endpoint can answer: those that the comment of the function behind names, and those of any call.
CREATE FUNCTION commerce.api_endpoint_errors(endpoint text)
RETURNS TABLE (http_status int, code text, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE mentioned (comment) AS (
		SELECT pg_catalog.obj_description(('commerce.' || e.function)::regproc, 'pg_proc')
		FROM commerce.api_endpoints e WHERE e.name = api_endpoint_errors.endpoint
		UNION
		-- "Errors: those of place_order(), …"
		SELECT pg_catalog.obj_description(('commerce.' || r.name[1])::regproc, 'pg_proc')
		FROM mentioned m
		CROSS JOIN LATERAL pg_catalog.regexp_matches(pg_catalog.substring(m.comment, 'Errors: .*'), 'those of (\w+)\(\)', 'g') AS r (name))
	SELECT c.http_status, c.code, c.message
	FROM commerce.error_codes() c
	WHERE c.code = ANY ('{INVALID_REQUEST,SERVICE_BUSY,INTERNAL_SERVER_ERROR}')
	   OR (c.code = ANY ('{UNAUTHENTICATED,FORBIDDEN}')
		   AND (SELECT 'ANONYMOUS' <> ALL (e.roles) FROM commerce.api_endpoints e WHERE e.name = api_endpoint_errors.endpoint))
	   OR (c.code = 'ENTITY_NOT_FOUND' AND api_endpoint_errors.endpoint IN ('get_product', 'get_order'))
	   OR EXISTS (SELECT FROM mentioned m WHERE pg_catalog.substring(m.comment, 'Errors: .*') ~ ('\m' || c.code || '\M'))
$$;
COMMENT ON FUNCTION commerce.api_endpoint_errors(text) IS 'internal: what can go wrong in an endpoint';

CREATE FUNCTION commerce.api_error_responses(endpoint text)
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
		  FROM commerce.api_endpoint_errors(api_error_responses.endpoint) e
		  GROUP BY e.http_status) s
$$;
COMMENT ON FUNCTION commerce.api_error_responses(text) IS 'internal: the error responses of an endpoint';

-- What PostgREST answers by itself, with codes of its own.
CREATE FUNCTION commerce.api_postgrest_responses(OUT by_status jsonb, OUT components jsonb)
RETURNS record
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_object_agg(r.status, pg_catalog.jsonb_build_object('$ref', '#/components/responses/postgrest_' || r.status)),
		   pg_catalog.jsonb_object_agg('postgrest_' || r.status, pg_catalog.jsonb_build_object('description', r.description,
				'content', '{"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}'::jsonb))
	FROM (VALUES
		(400, 'PostgREST''s own: a body that is no JSON (PGRST102), a query that cannot be parsed (PGRST100), an unknown column (42703) or a malformed value (22P02)'),
		(401, 'PostgREST''s own: a token that is malformed, expired, or not signed by us (PGRST301, PGRST303); 42501 for a visitor without a token'),
		(403, 'PostgREST''s own: 42501, the role may not read this'),
		(404, 'PostgREST''s own: no such function, argument or view (PGRST202, PGRST205)'),
		(405, 'PostgREST''s own: the method is not allowed (PGRST101, PGRST117), or a GET of what writes (25006)'),
		(406, 'PostgREST''s own: a media type that is not available (PGRST107), or no single row for application/vnd.pgrst.object+json (PGRST116)'),
		(415, 'PostgREST''s own: a content type that is not understood'),
		(416, 'PostgREST''s own: an offset beyond the last row, when rows are counted (PGRST103)'),
		(500, 'PostgREST''s own: something it did not expect'),
		(503, 'PostgREST''s own: it cannot reach the database (PGRST000 to PGRST002)'),
		(504, 'PostgREST''s own: no connection to the database became free in time (PGRST003)')) AS r (status, description)
$$;
COMMENT ON FUNCTION commerce.api_postgrest_responses() IS 'internal: error responses that are not ours, as components and as references to them';

CREATE FUNCTION commerce.api_rpc_path(endpoint text)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH e AS (SELECT e.*, pg_catalog.obj_description(('commerce.' || e.function)::regproc, 'pg_proc') AS comment
			   FROM commerce.api_endpoints e WHERE e.name = api_rpc_path.endpoint),
	arguments AS (
		SELECT a.*, n.description,
			   CASE WHEN a.argument = 'items' THEN '{"$ref": "#/components/schemas/lines"}'
					ELSE commerce.api_schema_of(a.type, NOT a.required) END
			   || CASE WHEN n.description IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('description', n.description) END AS schema
		FROM commerce.api_arguments a LEFT JOIN commerce.api_notes n USING (argument)
		WHERE a.endpoint = api_rpc_path.endpoint AND a.source IN ('BODY', 'SELLER')),
	success AS (
		SELECT pg_catalog.jsonb_build_object(
			'headers', '{"Vary": {"$ref": "#/components/headers/Vary"}}'::jsonb
				|| CASE WHEN e.location IS NULL THEN '{}' ELSE '{"Location": {"$ref": "#/components/headers/Location"}}' END::jsonb
				|| CASE WHEN EXISTS (SELECT FROM commerce.api_arguments k WHERE k.endpoint = e.name AND k.source = 'KEY')
						THEN '{"Idempotent-Replayed": {"$ref": "#/components/headers/Idempotent-Replayed"}}' ELSE '{}' END::jsonb,
			'content', pg_catalog.jsonb_build_object('application/json', pg_catalog.jsonb_build_object('schema',
				pg_catalog.jsonb_build_object('type', 'object', 'required', '["code", "message", "data"]'::jsonb,
					'properties', pg_catalog.jsonb_build_object(
						'code', '{"type": "string", "const": "SUCCESS"}'::jsonb,
						'message', '{"type": "string", "examples": ["the request succeeded", "요청에 성공했습니다."]}'::jsonb,
						'data', commerce.api_data_schema(e.name)))))) AS response
		FROM e),
	operation AS (
		SELECT pg_catalog.jsonb_build_object(
			'tags', CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN '["catalogue"]'
						 ELSE (SELECT pg_catalog.jsonb_agg(pg_catalog.lower(r::text)) FROM pg_catalog.unnest(e.roles) r) END,
			'summary', e.summary,
			'description', pg_catalog.format('%s.%s', e.summary, CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN '' ELSE
				' For the role ' || pg_catalog.lower(pg_catalog.array_to_string(e.roles, ' or ')) || '; the caller is the token''s `sub`.' END),
			'security', CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN '[{}, {"bearer": []}]' ELSE '[{"bearer": []}]' END::jsonb,
			'responses', (SELECT p.by_status FROM commerce.api_postgrest_responses() p) || commerce.api_error_responses(e.name)
				|| pg_catalog.jsonb_build_object('200', s.response || pg_catalog.jsonb_build_object('description',
					CASE WHEN e.location IS NULL THEN 'done' ELSE 'a repeated Idempotency-Key: what was answered first' END))
				|| CASE WHEN e.location IS NULL THEN '{}'::jsonb
						ELSE pg_catalog.jsonb_build_object('201', s.response || '{"description": "made; Location says where it can be read"}') END
				|| CASE WHEN EXISTS (SELECT FROM commerce.api_arguments p WHERE p.endpoint = e.name AND p.argument = 'payment_method')
						THEN pg_catalog.jsonb_build_object('202', s.response || '{"description": "made, and waiting for its payment"}')
						ELSE '{}'::jsonb END) AS common,
			pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('$ref', '#/components/parameters/Accept-Language'))
				|| CASE WHEN e.reads THEN '[]' ELSE '[{"$ref": "#/components/parameters/Prefer"}]' END::jsonb
				|| CASE WHEN EXISTS (SELECT FROM commerce.api_arguments k WHERE k.endpoint = e.name AND k.source = 'KEY')
						THEN '[{"$ref": "#/components/parameters/Idempotency-Key"}]' ELSE '[]' END::jsonb AS headers,
			e.*
		FROM e, success s)
	SELECT CASE WHEN o.reads THEN
		pg_catalog.jsonb_build_object('get', o.common || pg_catalog.jsonb_build_object('operationId', o.name,
			'parameters', o.headers || coalesce((
				SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', a.argument, 'in', 'query', 'required', a.required,
							'schema', commerce.api_schema_of(a.type, false), 'description', coalesce(a.description, a.argument))
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
COMMENT ON FUNCTION commerce.api_rpc_path(text) IS 'internal: the path item of an endpoint';

CREATE FUNCTION commerce.api_view_path(view regclass)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object('get', pg_catalog.jsonb_build_object(
		'operationId', 'read_' || v.relname,
		'tags', CASE WHEN 'ANONYMOUS' = ANY (r.roles) THEN '["catalogue"]'
					 ELSE (SELECT pg_catalog.jsonb_agg(pg_catalog.lower(x::text)) FROM pg_catalog.unnest(r.roles) x) END,
		'summary', pg_catalog.obj_description(v.oid, 'pg_class'),
		'security', CASE WHEN 'ANONYMOUS' = ANY (r.roles) THEN '[{}, {"bearer": []}]' ELSE '[{"bearer": []}]' END::jsonb,
		'parameters', '[{"$ref": "#/components/parameters/select"}, {"$ref": "#/components/parameters/order"}, '
					   '{"$ref": "#/components/parameters/limit"}, {"$ref": "#/components/parameters/offset"}, '
					   '{"$ref": "#/components/parameters/Prefer-count"}]'::jsonb
			|| (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', c.name, 'in', 'query', 'required', false,
						'schema', '{"type": "string"}'::jsonb, 'description', 'filter, such as `eq.1`, `gt.5`, `in.(1,2)`, `is.null`'
							|| coalesce('; ' || c.description, '')) ORDER BY c.ordinal)
				FROM commerce.api_columns(v.oid) c
				-- paging has these names already
				WHERE c.name NOT IN ('select', 'order', 'limit', 'offset')),
		'responses', (SELECT p.by_status FROM commerce.api_postgrest_responses() p) || pg_catalog.jsonb_build_object('200', s.response || '{"description": "rows; an empty array when there is none"}',
																					   '206', s.response || '{"description": "part of the rows, when they are counted"}')))
	FROM pg_catalog.pg_class v
	CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(w.api_role ORDER BY w.api_role) AS roles FROM commerce.api_views w WHERE w.view = v.oid) r
	CROSS JOIN LATERAL (SELECT pg_catalog.jsonb_build_object('headers', '{"Content-Range": {"$ref": "#/components/headers/Content-Range"}}'::jsonb,
			'content', pg_catalog.jsonb_build_object('application/json', pg_catalog.jsonb_build_object('schema',
				pg_catalog.jsonb_build_object('type', 'array', 'items', pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || v.relname))),
				'application/vnd.pgrst.object+json', pg_catalog.jsonb_build_object('schema',
				pg_catalog.jsonb_build_object('$ref', '#/components/schemas/' || v.relname)))) AS response) s
	WHERE v.oid = api_view_path.view
$$;
COMMENT ON FUNCTION commerce.api_view_path(regclass) IS 'internal: the path item of a view';

CREATE FUNCTION commerce.api_components()
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object(
		'securitySchemes', '{"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "a token with the claims role (the database role) and sub (the user id)"}}'::jsonb,
		'parameters', '{
			"Idempotency-Key": {"name": "Idempotency-Key", "in": "header", "required": false, "schema": {"type": "string", "minLength": 1, "maxLength": 255}, "description": "makes a repeated request harmless: the first answer comes again. Kept 24 hours"},
			"Accept-Language": {"name": "Accept-Language", "in": "header", "required": false, "schema": {"type": "string"}, "description": "language of messages: ko or en", "example": "ko"},
			"Prefer": {"name": "Prefer", "in": "header", "required": false, "schema": {"type": "string"}, "description": "`tx=rollback` answers what would happen, and does nothing: a free quote"},
			"Prefer-count": {"name": "Prefer", "in": "header", "required": false, "schema": {"type": "string"}, "description": "`count=exact` counts all rows into Content-Range"},
			"select": {"name": "select", "in": "query", "required": false, "schema": {"type": "string"}, "description": "columns, and related rows to embed, such as `id,order_items(*)`"},
			"order": {"name": "order", "in": "query", "required": false, "schema": {"type": "string"}, "description": "such as `id.desc`"},
			"limit": {"name": "limit", "in": "query", "required": false, "schema": {"type": "integer", "minimum": 0}},
			"offset": {"name": "offset", "in": "query", "required": false, "schema": {"type": "integer", "minimum": 0}}}'::jsonb,
		'responses', (SELECT p.components FROM commerce.api_postgrest_responses() p),
		'headers', '{
			"Vary": {"schema": {"type": "string"}, "description": "Accept-Language"},
			"Location": {"schema": {"type": "string", "format": "uri-reference"}, "description": "where what was made can be read"},
			"Idempotent-Replayed": {"schema": {"type": "string", "const": "true"}, "description": "the key had done its work already"},
			"Retry-After": {"schema": {"type": "string"}, "description": "seconds"},
			"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer"},
			"Content-Range": {"schema": {"type": "string"}, "description": "which rows of how many: 0-9/57, or 0-9/* when they are not counted"}}'::jsonb,
		'schemas', '{
			"error": {"type": "object", "required": ["code", "message", "details", "hint"], "properties": {
				"code": {"type": "string", "description": "of the table of errors; SQLSTATEs and PGRSTnnn are PostgREST''s own"},
				"message": {"type": "string"},
				"details": {"type": ["string", "null"], "description": "the things concerned and their ids"},
				"hint": {"type": ["string", "null"]}}},
			"lines": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"type": "object", "additionalProperties": false,
				"required": ["product_id", "quantity"], "properties": {
				"product_id": {"type": "integer", "format": "int64", "minimum": 1},
				"quantity": {"type": "integer", "format": "int64", "minimum": 1},
				"coupon_issue_id": {"type": ["integer", "null"], "format": "int64", "minimum": 1, "description": "a coupon of the caller for that product"}}}},
			"order": {"allOf": [{"$ref": "#/components/schemas/orders"}, {"type": "object", "required": ["items"], "properties": {
				"items": {"type": "array", "items": {"allOf": [{"$ref": "#/components/schemas/order_items"}, {"type": "object", "properties": {
					"history": {"type": "array", "items": {"$ref": "#/components/schemas/order_item_events"}}}}]}},
				"coupons": {"type": "array", "items": {"$ref": "#/components/schemas/order_coupons"}},
				"payments": {"type": "array", "items": {"$ref": "#/components/schemas/payments"}}}}]},
			"order_sheet": {"allOf": [{"$ref": "#/components/schemas/order_sheets"}, {"type": "object", "required": ["items"], "properties": {
				"items": {"type": "array", "items": {"$ref": "#/components/schemas/order_sheet_items"}}}}]}}'::jsonb
			|| (SELECT pg_catalog.jsonb_object_agg(t.typname, pg_catalog.jsonb_build_object('type', 'string',
							'description', coalesce(pg_catalog.obj_description(t.oid, 'pg_type'), t.typname),
							'enum', (SELECT pg_catalog.jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)))
				FROM pg_catalog.pg_type t WHERE t.typnamespace = 'commerce'::regnamespace AND t.typtype = 'e' AND t.typname <> 'api_role')
			|| (SELECT pg_catalog.jsonb_object_agg(v.relname, commerce.api_row_schema(v.oid)
							|| pg_catalog.jsonb_build_object('description', pg_catalog.obj_description(v.oid, 'pg_class')))
				FROM pg_catalog.pg_class v WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v'))
$$;
COMMENT ON FUNCTION commerce.api_components() IS 'internal: the components of the OpenAPI document';

CREATE FUNCTION commerce.build_openapi()
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_build_object(
		'openapi', '3.1.0',
		'info', pg_catalog.jsonb_build_object('title', 'commerce',
			'version', (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'commerce'),
			'description', pg_catalog.obj_description('commerce_api'::regnamespace, 'pg_namespace'),
			'license', '{"name": "PostgreSQL License", "identifier": "PostgreSQL"}'::jsonb),
		'servers', '[{"url": "/"}]'::jsonb,
		'tags', '[{"name": "catalogue", "description": "for everybody"}, {"name": "buyer", "description": "for a buyer, about its own"}, {"name": "seller", "description": "for a seller, about its own"}, {"name": "admin", "description": "for an administrator"}]'::jsonb,
		'paths', '{"/": {"get": {"operationId": "root", "tags": ["catalogue"], "summary": "this document; for browsers a page", "security": [{}, {"bearer": []}],
					"responses": {"200": {"description": "OpenAPI 3.1", "content": {"application/openapi+json": {"schema": {"type": "object"}}, "text/html": {"schema": {"type": "string"}}}},
								  "401": {"description": "a token that is not good", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}}}}}}'::jsonb
			|| (SELECT pg_catalog.jsonb_object_agg('/rpc/' || e.name, commerce.api_rpc_path(e.name)) FROM commerce.api_endpoints e)
			|| (SELECT pg_catalog.jsonb_object_agg('/' || v.relname, commerce.api_view_path(v.oid))
				FROM pg_catalog.pg_class v WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v'),
		'components', commerce.api_components())
$$;
COMMENT ON FUNCTION commerce.build_openapi() IS 'internal: makes the OpenAPI document anew';

-- Made once, when the extension is created or updated: half a second's work, for anybody who asks.
CREATE TABLE commerce.api_document (
	document jsonb NOT NULL
);
COMMENT ON TABLE commerce.api_document IS 'the OpenAPI document, one row; made by the install and update scripts';
INSERT INTO commerce.api_document (document) SELECT commerce.build_openapi();

CREATE FUNCTION commerce.openapi()
RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.document FROM commerce.api_document d
$$;
COMMENT ON FUNCTION commerce.openapi() IS 'the OpenAPI 3.1 document of the REST interface';
