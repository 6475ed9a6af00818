-- REST: what GET / answers, and a page for operators.

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

CREATE FUNCTION commerce_private.api_index_page()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>commerce</title><style>'
		'body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em;color:#222}'
		'table{border-collapse:collapse;width:100%}td{padding:.2em .8em .2em 0;vertical-align:top;border-top:1px solid #ddd}'
		'code{white-space:nowrap}h2{margin-top:1.6em}small{color:#666}</style></head><body><h1>commerce '
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
	PERFORM pg_catalog.set_config('response.headers', (coalesce(nullif(pg_catalog.current_setting('response.headers', true), ''), '[]')::jsonb || pg_catalog.jsonb_build_array(
		pg_catalog.jsonb_build_object('Content-Type', CASE WHEN page THEN 'text/html; charset=utf-8' ELSE 'application/openapi+json' END),
		pg_catalog.jsonb_build_object('Vary', 'Accept'),
		pg_catalog.jsonb_build_object('X-Content-Type-Options', 'nosniff'),
		pg_catalog.jsonb_build_object('Content-Security-Policy', 'default-src ''none''; style-src ''unsafe-inline''; frame-ancestors ''none''')))::text, true);
	RETURN pg_catalog.convert_to(CASE WHEN page THEN commerce_private.api_index_page() ELSE commerce_private.openapi()::text END, 'UTF8');
END
$$;
COMMENT ON FUNCTION commerce_api.root() IS 'GET /: the OpenAPI document, or, for browsers, a page (db-root-spec = "root")';

-- The page itself holds nothing of the shop: it asks rpc/shop_status with the operator's own token.
CREATE FUNCTION commerce_api.operator()
RETURNS commerce_api."text/html"
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM pg_catalog.set_config('response.headers', (coalesce(nullif(pg_catalog.current_setting('response.headers', true), ''), '[]')::jsonb || '[{"Content-Type": "text/html; charset=utf-8"}, {"Cache-Control": "no-store"}, {"X-Content-Type-Options": "nosniff"}, {"Referrer-Policy": "no-referrer"},
		{"Content-Security-Policy": "default-src ''none''; connect-src ''self''; style-src ''unsafe-inline''; script-src ''unsafe-inline''; base-uri ''none''; form-action ''none''; frame-ancestors ''none''"}]')::text, true);
	RETURN $html$<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>commerce: the shop at a glance</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 0; background: #f4f5f7; color: #1c2430 }
header { background: #1c2430; color: #fff; padding: .7em 1.4em; display: flex; gap: 1.2em; align-items: baseline }
header h1 { font-size: 1.15em; margin: 0 } header span { opacity: .75; font-size: .9em }
main { padding: 1.2em; display: grid; gap: 1em; grid-template-columns: repeat(auto-fit, minmax(21em, 1fr)); max-width: 90em; margin: auto }
section { background: #fff; border-radius: 8px; padding: .9em 1.1em; box-shadow: 0 1px 2px #0002; overflow-x: auto }
section.wide { grid-column: 1 / -1 }
h2 { font-size: .82em; text-transform: uppercase; letter-spacing: .06em; color: #5b6675; margin: 0 0 .5em }
table { border-collapse: collapse; width: 100%; font-size: .92em }
th { text-align: left; color: #5b6675; font-weight: 500 } td, th { padding: .18em .7em .18em 0 } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.numbers { display: flex; flex-wrap: wrap; gap: .4em 2.2em } .numbers b { display: block; font-size: 1.7em; font-variant-numeric: tabular-nums }
.bars { display: flex; align-items: flex-end; gap: 2px; height: 84px; border-bottom: 1px solid #ccd } .bars i { flex: 1; background: #2f6fde; min-height: 1px }
.bad { color: #b3261e; font-weight: 600 } .none { color: #7b8794 }
form { max-width: 30em; margin: 4em auto; background: #fff; padding: 1.5em; border-radius: 8px }
input { width: 100%; box-sizing: border-box; font: inherit; padding: .5em; margin: .6em 0 }
button { font: inherit; padding: .4em 1.2em }
</style>
</head>
<body>
<header><h1>commerce</h1><span id="state"></span></header>
<form id="login" hidden>
<label for="token">Token of an administrator</label>
<input id="token" type="password" autocomplete="off" required>
<button>Show</button>
<p>It stays in this browser tab. A link can carry it as <code>operator#token</code>.</p>
</form>
<main id="main" hidden></main>
<script>
const $ = id => document.getElementById(id);
let token = location.hash.slice(1) || sessionStorage.getItem('token');
if (location.hash) history.replaceState(null, '', location.pathname);
const number = n => n === null || n === undefined ? '–' : Number(n).toLocaleString();
const time = t => t ? new Date(t).toLocaleTimeString() : '–';
function node(tag, text, cls) { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (cls) e.className = cls; return e; }
function section(title, content, cls) { const s = node('section', undefined, cls); s.append(node('h2', title), content); return s; }
function numbers(pairs) {
  const d = node('div', undefined, 'numbers');
  for (const [label, value, bad] of pairs) { const p = node('div', label); p.prepend(node('b', value, bad ? 'bad' : '')); d.append(p); }
  return d;
}
function table(rows, columns) {
  if (!rows.length) return node('p', 'none', 'none');
  const t = node('table'), h = node('tr');
  for (const c of columns) h.append(node('th', c.title, c.text ? '' : 'n'));
  t.append(h);
  for (const r of rows) {
    const tr = node('tr');
    for (const c of columns) { const v = c.value(r); tr.append(node('td', v, (c.text ? '' : 'n') + (c.bad && c.bad(r) ? ' bad' : ''))); }
    t.append(tr);
  }
  return t;
}
function show(s) {
  const bars = node('div', undefined, 'bars'), most = Math.max(1, ...s.orders_per_minute);
  s.orders_per_minute.forEach((n, i) => { const b = node('i'); b.style.height = 100 * n / most + '%'; b.title = n + ' orders, ' + (s.orders_per_minute.length - 1 - i) + ' min ago'; bars.append(b); });
  const conversion = s.sheets.last_hour ? Math.round(100 * s.sheets.ordered / s.sheets.last_hour) + ' %' : '–';
  const warnings = s.warnings.map(w => section('Warning', node('p', w, 'bad'), 'wide'));
  $('main').replaceChildren(...warnings,
    section('Orders', numbers([['in the last minute', number(s.orders.last_minute)], ['in the last hour', number(s.orders.last_hour)],
      ['won in the last hour', number(s.orders.won_last_hour)], ['waiting for payment', number(s.orders.pending_payment)]])),
    section('Orders a minute, last 30 minutes (most: ' + most + ')', bars),
    section('Order sheets in the last hour', numbers([['made', number(s.sheets.last_hour)], ['became orders', number(s.sheets.ordered)], ['conversion', conversion]])),
    section('Escrow', numbers([['counters loaded', number(s.escrow.counters)], ['units in flight', number(s.escrow.in_flight)], ['sessions waiting', number(s.escrow.waiters), s.escrow.waiters > 0]])),
    section('Best sellers', table(s.popular_products, [{title: '', value: r => r.rank}, {title: 'product', value: r => r.name, text: 1}, {title: 'units', value: r => number(r.units_sold)}])),
    section('What holds delivery and folding back', s.horizon ? numbers([[s.horizon.kind + ' in ' + s.horizon.database + ' since ' + time(s.horizon.since), s.horizon.holder, s.horizon.age > 100000]]) : node('p', 'nothing', 'none')),
    section('Subscriptions', table(s.subscriptions, [{title: 'name', value: r => r.name, text: 1}, {title: 'state', value: r => r.state, text: 1, bad: r => r.state === 'PAUSED'},
      {title: 'to', value: r => r.destination || '–', text: 1}, {title: 'events behind', value: r => number(r.lag_events)}, {title: 'seconds behind', value: r => number(Math.round(r.lag_seconds)), bad: r => r.lag_seconds > 60},
      {title: 'dead letters', value: r => number(r.dead_letters), bad: r => r.dead_letters > 0}, {title: 'last error', value: r => r.last_error || '', text: 1}]), 'wide'),
    section('Jobs', table(s.jobs, [{title: 'name', value: r => r.name, text: 1}, {title: 'schedule', value: r => r.schedule, text: 1}, {title: 'last run', value: r => time(r.last_finished_at), text: 1},
      {title: 'rows', value: r => number(r.last_rows)}, {title: 'failures', value: r => number(r.failures), bad: r => r.failures > 0}, {title: 'last error', value: r => r.last_error || '', text: 1}]), 'wide'));
  $('state').textContent = 'version ' + s.version + ', as of ' + time(s.as_of);
}
function ask(why) { sessionStorage.removeItem('token'); token = null; $('main').hidden = true; $('login').hidden = false; $('state').textContent = why || ''; }
async function load() {
  if (!token) return ask();
  try {
    const r = await fetch('shop_status', {headers: {Authorization: 'Bearer ' + token, Accept: 'application/json'}});
    const b = await r.json();
    if (r.status === 401 || r.status === 403) return ask(b.details || b.message);
    if (!r.ok) throw new Error(b.message);
    sessionStorage.setItem('token', token); $('login').hidden = true; $('main').hidden = false;
    show(b.data);
  } catch (e) { $('state').textContent = 'no answer: ' + e.message; }
  setTimeout(load, 5000);
}
$('login').onsubmit = e => { e.preventDefault(); token = $('token').value.trim(); load(); };
load();
</script>
</body>
</html>
$html$;
END
$$;
COMMENT ON FUNCTION commerce_api.operator() IS 'a page that shows the state of the shop to an administrator';

-- Made once, when the extension is created or updated: half a second's work, for anybody who asks.
INSERT INTO commerce_private.api_document (document) SELECT commerce_private.build_openapi();
