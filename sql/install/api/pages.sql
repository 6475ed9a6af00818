-- REST: what GET / answers, and a page for operators, whose HTML, style and script are files of web/.

-- PostgREST takes a function that returns such a domain for the maker of that media type.
CREATE DOMAIN commerce_api."*/*" AS bytea;
COMMENT ON DOMAIN commerce_api."*/*" IS 'any media type; the function says which';
CREATE DOMAIN commerce_api."text/html" AS text;
COMMENT ON DOMAIN commerce_api."text/html" IS 'a page for browsers';

CREATE FUNCTION commerce_private.api_html(string text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(api_html.string, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;')
$$;
COMMENT ON FUNCTION commerce_private.api_html(text) IS 'text as HTML';

-- A page runs its own script and has its own style, known by their hashes, and nothing else.
CREATE FUNCTION commerce_private.csp_hash(content text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '''sha256-' || pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(csp_hash.content, 'UTF8')), 'base64') || ''''
$$;
COMMENT ON FUNCTION commerce_private.csp_hash(text) IS 'what a Content-Security-Policy calls a style or script that stands in the page';

CREATE FUNCTION commerce_private.set_headers(headers jsonb)
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT FROM pg_catalog.set_config('response.headers',
		(coalesce(nullif(pg_catalog.current_setting('response.headers', true), ''), '[]')::jsonb
		 || (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(h.key, h.value)) FROM pg_catalog.jsonb_each(set_headers.headers) h))::text, true)
$$;
COMMENT ON FUNCTION commerce_private.set_headers(jsonb) IS 'adds headers to the response that PostgREST will give';

CREATE FUNCTION commerce_private.index_style()
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ':root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em}'
		'table{border-collapse:collapse;width:100%}td{padding:.2em .8em .2em 0;vertical-align:top;border-top:1px solid #8886}'
		'code{white-space:nowrap}h2{margin-top:1.6em}small{opacity:.7}'
$$;
COMMENT ON FUNCTION commerce_private.index_style() IS 'style of api_index_page()';

CREATE FUNCTION commerce_private.api_index_page()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>commerce</title><style>'
		|| commerce_private.index_style() || '</style></head><body><h1>commerce '
		|| commerce_private.api_html(commerce_private.openapi()->'info'->>'version') || '</h1><p>'
		|| commerce_private.api_html(commerce_private.openapi()->'info'->>'description')
		|| '. Programs get the <a href="https://spec.openapis.org/oas/v3.1.0">OpenAPI 3.1</a> document here: <code>curl -H ''Accept: application/openapi+json''</code>. '
		'The state of the shop is on <a href="rpc/operator">a page of its own</a>.</p>'
		|| '<h2>Reading</h2><table>'
		|| (SELECT pg_catalog.string_agg(pg_catalog.format('<tr><td><code>GET /%s</code></td><td>%s <small>%s</small></td></tr>', v.name,
					commerce_private.api_html(pg_catalog.obj_description(v.view, 'pg_class')), v.roles), '' ORDER BY v.name)
			FROM (SELECT w.name, w.view, CASE WHEN 'ANONYMOUS' = ANY (pg_catalog.array_agg(w.api_role)) THEN 'everybody'
											  ELSE pg_catalog.lower(pg_catalog.string_agg(w.api_role::text, ', ' ORDER BY w.api_role)) END AS roles
				  FROM commerce_private.api_views w GROUP BY 1, 2) v)
		|| '</table><h2>Doing</h2><table>'
		|| (SELECT pg_catalog.string_agg(pg_catalog.format('<tr><td><code>%s /rpc/%s</code></td><td>%s <small>%s</small></td></tr>',
					CASE WHEN e.reads THEN 'GET' ELSE 'POST' END, e.name, commerce_private.api_html(e.summary),
					CASE WHEN 'ANONYMOUS' = ANY (e.roles) THEN 'everybody' ELSE pg_catalog.lower(pg_catalog.array_to_string(e.roles, ', ')) END), '' ORDER BY e.name)
			FROM commerce_private.api_endpoints e)
		|| '</table></body></html>'
$$;
COMMENT ON FUNCTION commerce_private.api_index_page() IS 'the page that a browser gets of GET /';

-- Who takes anything is a program; who says text/html, and nothing that it would rather have, a browser.
CREATE FUNCTION commerce_private.api_prefers_page(accept text)
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(w.page > 0 AND w.page >= coalesce(w.document, w.application, w.anything, 0), false)
	FROM (SELECT max(a.q) FILTER (WHERE a.type = 'text/html') AS page,
				 max(a.q) FILTER (WHERE a.type IN ('application/openapi+json', 'application/json')) AS document,
				 max(a.q) FILTER (WHERE a.type = 'application/*') AS application,
				 max(a.q) FILTER (WHERE a.type = '*/*') AS anything
		  FROM (SELECT pg_catalog.lower(pg_catalog.btrim(pg_catalog.split_part(r.range, ';', 1))) AS type,
					   coalesce(pg_catalog.substring(r.range, '(?i);\s*q=([01](?:\.\d{0,3})?)')::numeric, 1) AS q
				FROM pg_catalog.string_to_table(api_prefers_page.accept, ',') AS r (range)) a) w
$$;
COMMENT ON FUNCTION commerce_private.api_prefers_page(text) IS 'whether a header Accept asks for HTML rather than JSON';

CREATE FUNCTION commerce_api.root()
RETURNS commerce_api."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	page boolean := commerce_private.api_prefers_page(commerce_private.request_header('accept'));
BEGIN
	PERFORM commerce_private.set_headers(pg_catalog.jsonb_build_object(
		'Content-Type', CASE WHEN page THEN 'text/html; charset=utf-8' ELSE 'application/openapi+json' END,
		'Vary', 'Accept',
		'X-Content-Type-Options', 'nosniff',
		'Content-Security-Policy', pg_catalog.format('default-src ''none''; style-src %s; base-uri ''none''; form-action ''none''; frame-ancestors ''none''',
													 commerce_private.csp_hash(commerce_private.index_style()))));
	RETURN pg_catalog.convert_to(CASE WHEN page THEN commerce_private.api_index_page() ELSE (SELECT d.in_order::text FROM commerce_private.api_document d) END, 'UTF8');
END
$$;
COMMENT ON FUNCTION commerce_api.root() IS 'GET /: the OpenAPI document, or, for browsers, a page (db-root-spec = "root")';

-- The build puts a file in the place of its name between two @.
CREATE FUNCTION commerce_private.operator_page(OUT html text, OUT style text, OUT script text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $function$
	SELECT $web$
@web/operator.html@
$web$, $web$
@web/operator.css@
$web$, $web$
@web/operator.texts.js@
@web/operator.js@
$web$
$function$;
COMMENT ON FUNCTION commerce_private.operator_page() IS 'the operator''s page: its HTML, and the style and the script that belong into it';

-- The page holds nothing of the shop: it asks rpc/shop_status with the operator's own token.
CREATE FUNCTION commerce_api.operator()
RETURNS commerce_api."text/html"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	page record;
BEGIN
	SELECT * INTO page FROM commerce_private.operator_page();
	PERFORM commerce_private.set_headers(pg_catalog.jsonb_build_object(
		'Content-Type', 'text/html; charset=utf-8',
		'Cache-Control', 'no-store',
		'X-Content-Type-Options', 'nosniff',
		'Referrer-Policy', 'no-referrer',
		'Cross-Origin-Opener-Policy', 'same-origin',
		'Content-Security-Policy', pg_catalog.format('default-src ''none''; connect-src ''self''; style-src %s; script-src %s; base-uri ''none''; form-action ''none''; '
			'frame-ancestors ''none''; require-trusted-types-for ''script''; trusted-types ''none''',
			commerce_private.csp_hash(page.style), commerce_private.csp_hash(page.script))));
	RETURN pg_catalog.replace(pg_catalog.replace(pg_catalog.ltrim(page.html, E'\n'), '<style></style>', '<style>' || page.style || '</style>'),
		'<script></script>', '<script>' || page.script || '</script>');
END
$$;
COMMENT ON FUNCTION commerce_api.operator() IS 'a page that shows the state of the shop to an administrator';

-- Made once, when the extension is created or updated: half a second's work, for anybody who asks. The install script
-- calls it, and each update script, since the document says the version.
CREATE FUNCTION commerce_private.describe_api()
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	ALTER TABLE commerce_private.api_calls DISABLE TRIGGER commerce_refuse_write;
	DELETE FROM commerce_private.api_calls;
	INSERT INTO commerce_private.api_calls
	SELECT e.name, e.roles, e.reads, e.keyed, e.result, e.completion, e.location,
		   coalesce(a.arguments, '{}'), coalesce(a.sources, '{}'), coalesce(a.asked, '{}'), coalesce(a.required, '{}')
	FROM commerce_private.api_endpoints e
	LEFT JOIN (SELECT a.endpoint, pg_catalog.array_agg(a.argument::text ORDER BY a.position) AS arguments,
					  pg_catalog.array_agg(a.source::text ORDER BY a.position) AS sources, pg_catalog.array_agg(a.asked ORDER BY a.position) AS asked,
					  pg_catalog.array_agg(a.required ORDER BY a.position) AS required
			   FROM commerce_private.api_arguments a GROUP BY a.endpoint) a ON a.endpoint = e.name;
	ALTER TABLE commerce_private.api_calls ENABLE TRIGGER commerce_refuse_write;
	DELETE FROM commerce_private.api_document;
	INSERT INTO commerce_private.api_document (document, in_order)
	SELECT d.in_order::jsonb, d.in_order FROM commerce_private.build_openapi() AS d (in_order);
END
$$;
COMMENT ON FUNCTION commerce_private.describe_api() IS 'makes what calls over REST are described by, and the OpenAPI document, anew: for the install and update scripts';
SELECT commerce_private.describe_api();
