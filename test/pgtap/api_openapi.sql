-- role: postgres
-- The OpenAPI document says what is there; node's validators look at its form (test/http).

\ir api_helpers.psql
SELECT no_plan();

SELECT is(commerce_private.openapi(), commerce_private.build_openapi()::jsonb, 'the stored document is the one that would be made now');
SELECT is(commerce_private.openapi()->>'openapi', '3.1.0', 'OpenAPI 3.1');
SELECT is(commerce_private.openapi()->'info'->>'version', (SELECT extversion FROM pg_extension WHERE extname = 'commerce'), 'of this version');
SELECT is_empty(
	$$SELECT name FROM commerce_private.api_endpoints e WHERE NOT commerce_private.openapi()->'paths'->('/rpc/' || e.name) ? CASE WHEN e.reads THEN 'get' ELSE 'post' END$$,
	'every function is in it');
SELECT is_empty(
	$$SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'commerce_api'::regnamespace AND NOT commerce_private.openapi()->'paths' ? ('/rpc/' || p.proname)
	  -- root is GET /; the others are for embedding and cannot be called; those of casts are for PostgREST
	  AND p.proname NOT IN ('root', 'product', 'variants') AND p.oid NOT IN (SELECT c.castfunc FROM pg_cast c)$$,
	'also those that are no endpoints');
SELECT is_empty(
	$$SELECT relname FROM pg_class v WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v' AND NOT commerce_private.openapi()->'paths' ? ('/' || v.relname)$$,
	'every view is in it');
SELECT is_empty(
	$$SELECT a.endpoint, a.argument FROM commerce_private.api_arguments a WHERE a.source IN ('BODY', 'SELLER')
	  AND NOT EXISTS (SELECT FROM commerce_private.api_notes n WHERE n.argument = a.argument)$$, 'every argument is described');
SELECT is_empty(
	$$SELECT n.argument FROM commerce_private.api_notes n
	  WHERE NOT EXISTS (SELECT FROM commerce_private.api_arguments a WHERE a.argument = n.argument AND a.source IN ('BODY', 'SELLER'))$$, 'nothing else is');
SELECT is_empty(
	$$SELECT e.name, k FROM commerce_private.api_endpoints e CROSS JOIN jsonb_object_keys(e.example) k
	  WHERE NOT EXISTS (SELECT FROM commerce_private.api_arguments a WHERE a.endpoint = e.name AND a.argument = k AND a.source = 'BODY')$$, 'the examples name arguments that there are');
SELECT is_empty(
	$$SELECT c.code FROM commerce.error_codes() c
	  WHERE c.code NOT IN (SELECT x.code FROM commerce_private.api_endpoints e, commerce_private.api_endpoint_errors(e.name) x)
		AND c.code NOT IN ('RESERVATION_EXPIRED', 'REFUND_EXCEEDS_PAID', 'PENDING_LIMIT_EXCEEDED', 'OPEN_BUSINESS')$$, 'every error can come from some function');
SELECT is_empty(
	$$SELECT DISTINCT r FROM (SELECT jsonb_path_query(commerce_private.openapi(), 'strict $.**."$ref"') #>> '{}' AS r) r
	  WHERE commerce_private.openapi() #> string_to_array(substr(r.r, 3), '/') IS NULL$$, 'every reference leads somewhere');
SELECT is_empty(
	$$SELECT p FROM jsonb_each(commerce_private.openapi()->'components'->'parameters') p WHERE p.value->>'in' = 'header' AND p.value ? 'example'$$,
	'no header has an example: Swagger UI would send it with every request');
SELECT ok((SELECT array_agg(code) FROM commerce_private.api_endpoint_errors('place_sheet_order')) @> '{STOCK_NOT_ENOUGH,ORDER_SHEET_USED,PRICE_CHANGED}',
		  'errors "of place_order()" are those of place_order');

-- GET /
BEGIN;
SELECT tap.become('anon', 'GET', '/', '{"accept": "application/openapi+json"}') \g /dev/null
SELECT tap.is(convert_from(commerce_api.root()::bytea, 'UTF8')::jsonb->>'openapi', '3.1.0', 'GET / is the document');
SELECT tap.ok(current_setting('response.headers') LIKE '%application/openapi+json%', 'and says so');
SELECT tap.become('anon', 'GET', '/', '{"accept": "text/html,*/*"}') \g /dev/null
SELECT tap.ok(convert_from(commerce_api.root()::bytea, 'UTF8') LIKE '<!doctype html>%place_order%', 'for a browser it is a page');
SELECT tap.ok(current_setting('response.headers') LIKE '%text/html%', 'and says so');
SELECT set_config('request.headers', 'accept: text/html', true) \g /dev/null
SELECT tap.lives_ok('SELECT commerce_api.root()', 'headers that are not JSON are none');
SELECT tap.ok(current_setting('response.headers') LIKE '%application/openapi+json%', 'and ask for no page');
SELECT tap.ok(commerce_api.operator()::text LIKE '<!doctype html>%', 'the operator''s page');
SELECT set_config('response.headers', '[{"X-A": "1"}]', true), commerce_api.operator() \g /dev/null
SELECT tap.is(current_setting('response.headers')::jsonb->0->>'X-A', '1', 'which leaves headers that are there');
SELECT tap.ok(current_setting('response.headers') LIKE '%text/html%', 'and has its own');
SELECT set_config('response.headers', '[{"X-A": "1"}]', true), commerce_api.root() \g /dev/null
SELECT tap.is(current_setting('response.headers')::jsonb->0->>'X-A', '1', 'so does GET /');
SELECT tap.ok(current_setting('response.headers') LIKE '%application/openapi+json%', 'with its own');
ROLLBACK;
CREATE FUNCTION tap.root_for(accept text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	type text;
BEGIN
	PERFORM tap.become('anon', 'GET', '/', json_strip_nulls(json_build_object('accept', accept))::jsonb);
	PERFORM commerce_api.root();
	type := jsonb_path_query_first(current_setting('response.headers')::jsonb, '$[*]."Content-Type"') #>> '{}';
	PERFORM tap.unbecome();
	RETURN CASE type WHEN 'text/html; charset=utf-8' THEN 'page' WHEN 'application/openapi+json' THEN 'document' END;
END
$$;
SELECT is(tap.root_for(a.accept), a.kind, coalesce(a.accept, 'no Accept'))
FROM (VALUES (NULL, 'document'), ('', 'document'), ('*/*', 'document'), ('text/*', 'document'), ('image/png', 'document'), ('application/json', 'document'),
	('text/html', 'page'), ('TEXT/HTML; charset=utf-8', 'page'), ('text/html, */*', 'page'), ('text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'page'),
	('application/json;q=0.5, text/html;q=0.9', 'page'), ('text/html;q=0.5', 'page'), ('application/openapi+json, text/html;q=0', 'document'),
	('application/json, text/html;q=0.5', 'document'), ('text/html;q=0.1, */*', 'document'), ('text/html ; level=1 ; q=0.4, application/*;q=0.8', 'document'),
	('text/html;q=0', 'document'), ('text/html;q=x', 'page'), ('application/x-text/html', 'document'), (';,;q=1,,', 'document')) a (accept, kind);
SELECT is(commerce_private.api_html('<a href="x">&'), '&lt;a href=&quot;x&quot;&gt;&amp;', 'text in pages is escaped');
SELECT * FROM finish();
