-- role: postgres
-- What every function and view really answers, against what the OpenAPI document says of it: no member that
-- is not declared, none that is declared and not there.

\setenv JWT_SUBJECT external_id
\ir api_helpers.psql
-- no answer's time depends on any of these
SET TimeZone = 'Asia/Kathmandu';
SET DateStyle = 'German';
SET IntervalStyle = 'sql_standard';
SELECT no_plan();

-- The one form of times in answers and events.
CREATE FUNCTION tap.moment_form() RETURNS text LANGUAGE sql AS $$
	SELECT '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00$'
$$;

-- Where a value is not as its schema says.
CREATE FUNCTION tap.differences(schema jsonb, given jsonb, path text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	types jsonb := CASE jsonb_typeof(schema->'type') WHEN 'array' THEN schema->'type' WHEN 'string' THEN jsonb_build_array(schema->'type') END;
	kind text := jsonb_typeof(given);
	m record;
BEGIN
	IF schema ? '$ref' THEN
		RETURN QUERY SELECT tap.differences(commerce_private.openapi() #> string_to_array(substr(schema->>'$ref', 3), '/'), given, path);
		RETURN;
	END IF;
	IF schema ? 'anyOf' AND NOT EXISTS (SELECT FROM jsonb_array_elements(schema->'anyOf') a WHERE NOT EXISTS (SELECT tap.differences(a, given, path))) THEN
		RETURN NEXT path || ' is none of those that it can be: ' || given;
	END IF;
	IF NOT (types ? kind OR types ? 'integer' AND kind = 'number' AND given::text !~ '[.]') THEN
		RETURN NEXT format('%s is a %s', path, kind);
	END IF;
	IF given <> schema->'const' OR NOT schema->'enum' @> given THEN
		RETURN NEXT format('%s cannot be %s', path, given);
	END IF;
	IF schema->>'format' = 'date-time' AND kind = 'string' AND given #>> '{}' !~ tap.moment_form() THEN
		RETURN NEXT format('%s has a time of another form: %s', path, given);
	END IF;
	IF kind = 'array' THEN
		FOR m IN SELECT * FROM jsonb_array_elements(given) LOOP
			RETURN QUERY SELECT tap.differences(schema->'items', m.value, path || '[]');
		END LOOP;
	ELSIF kind = 'object' AND schema ? 'properties' THEN
		RETURN QUERY SELECT format('%s.%s is not in the document', path, k) FROM jsonb_object_keys(given) k WHERE NOT schema->'properties' ? k;
		RETURN QUERY SELECT format('%s.%s is not there', path, k)
			FROM jsonb_array_elements_text(coalesce(schema->'required', (SELECT jsonb_agg(p) FROM jsonb_object_keys(schema->'properties') p))) k WHERE NOT given ? k;
		FOR m IN SELECT * FROM jsonb_each(given) LOOP
			RETURN QUERY SELECT tap.differences(schema->'properties'->m.key, m.value, path || '.' || m.key);
		END LOOP;
	END IF;
END
$$;
SELECT is(array(SELECT tap.differences('{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"], "enum": ["x"]}, "c": {}}}', v.value, '$') ORDER BY 1), v.differences, v.value::text)
FROM (VALUES ('{"a": 1, "b": "x", "c": []}'::jsonb, '{}'::text[]), ('5', '{$ is a number}'), ('{"a": "1", "b": 5, "d": 1}', '{$.a is a string,$.b cannot be 5,$.b is a number,$.c is not there,$.d is not in the document}')) v (value, differences);

-- What the document says of a status of a function.
CREATE FUNCTION tap.documented(called text, status int) RETURNS jsonb LANGUAGE sql
BEGIN ATOMIC
	SELECT m.value->'responses'->(status::text) FROM jsonb_each(commerce_private.openapi()->'paths'->('/rpc/' || called)) m;
END;

-- A life of the shop, in which every function succeeds. :name is a value that an answer before had.
CREATE TABLE tap.steps (n int GENERATED ALWAYS AS IDENTITY, caller text, called text, body text, keep text, path text);
\copy tap.steps (caller, called, body, keep, path) FROM stdin WITH (DELIMITER '|')
anon|get_product|{"product_id": "1"}||
anon|get_product|{"product_id": "4"}||
buyer 1|get_balance|{}||
admin 5|get_balance|{"user_id": "1"}||
buyer 1|balance_statement|{}||
admin 5|balance_statement|{"user_id": "1", "max_rows": "1"}||
buyer 1|charge_balance|{"amount": 1000}||
buyer 1|claim_coupon|{"coupon_id": 1}|issue|data,id
buyer 1|usable_coupons|{}||
buyer 1|place_order|{"items": [{"product_id": 1, "quantity": 3}, {"product_id": 4, "quantity": 1}], "coupon_issue_ids": [:issue]}|order|data,id
buyer 1|place_order|{"items": [{"product_id": 1, "quantity": 3}, {"product_id": 4, "quantity": 1}], "coupon_issue_ids": [:issue]}|item|data,items,0,id
buyer 1|place_order|{"items": [{"product_id": 2, "quantity": 1}], "payment_method": "EXTERNAL"}|pending|data,id
admin 5|confirm_payment|{"order_id": :pending, "succeeded": true, "provider_event_id": "e1"}||
buyer 1|create_order_sheet|{"items": [{"product_id": 2, "quantity": 1}]}|sheet|data,id
buyer 1|place_sheet_order|{"order_sheet_id": ":sheet"}||
buyer 1|cancel_order_item|{"order_item_id": :item, "quantity": 1}||
seller 3|cancel_order_item|{"order_item_id": :item, "quantity": 1}||
seller 3|change_item_status|{"order_item_id": :item, "new_status": "DISPATCHED"}||
seller 3|change_item_status|{"order_item_id": :item, "new_status": "IN_TRANSIT"}||
seller 3|change_item_status|{"order_item_id": :item, "new_status": "DELIVERED"}||
buyer 1|get_order|{"order_id": ":order"}||
buyer 1|cancel_order|{"order_id": :pending}||
admin 5|get_order|{"order_id": ":pending"}||
buyer 1|place_order|{"items": [{"product_id": 2, "quantity": 2}], "payment_method": "EXTERNAL"}|retried|data,id
admin 5|confirm_payment|{"order_id": :retried, "succeeded": false, "provider_event_id": "e2"}||
buyer 1|retry_payment|{"order_id": :retried}||
admin 5|confirm_payment|{"order_id": :retried, "succeeded": true, "provider_event_id": "e3"}||
admin 5|confirm_payment|{"order_id": :retried, "succeeded": true, "provider_event_id": "e4", "amount": 5}||
admin 5|refund_order|{"order_id": :retried, "amount": 100, "note": "sorry"}||
admin 5|get_order|{"order_id": ":retried"}|unexpected|data,payments,2,id
admin 5|get_order|{"order_id": ":retried"}|refund|data,payments,3,id
admin 5|report_refund|{"payment_id": :refund, "succeeded": true, "provider_event_id": "r1"}||
admin 5|return_payment|{"payment_id": :unexpected, "note": "twice"}||
buyer 2|place_order|{"items": [{"product_id": 2, "quantity": 3}], "delivery": {"name": "Lee"}}|sent|data,id
buyer 2|place_order|{"items": [{"product_id": 2, "quantity": 3}], "delivery": {"name": "Lee"}}|thing|data,items,0,id
buyer 2|update_delivery|{"order_id": :sent, "delivery": {"memo": "at the door"}}||
seller 3|dispatch_items|{"order_item_ids": [:thing], "carrier": "CJ", "tracking_number": "1"}|parcel|data,id
seller 3|update_shipment|{"shipment_id": :parcel, "tracking_number": "2"}||
seller 3|change_shipment_status|{"shipment_id": :parcel, "new_status": "DELIVERED"}||
buyer 2|change_item_status|{"order_item_id": :thing, "new_status": "EXCHANGE_REQUESTED"}||
seller 3|change_item_status|{"order_item_id": :thing, "new_status": "EXCHANGE_PROCESSING"}||
seller 3|complete_exchange|{"order_item_id": :thing}||
buyer 2|change_item_status|{"order_item_id": :thing, "new_status": "RETURN_REQUESTED"}||
seller 3|change_item_status|{"order_item_id": :thing, "new_status": "RETURN_PROCESSING"}||
seller 3|complete_return|{"order_item_id": :thing, "quantity": 1, "deduction": 100}||
admin 5|complete_return|{"order_item_id": :thing, "restock": false}||
buyer 1|request_charge|{"amount": 1000, "payment_channel": "card"}|charge|data,id
admin 5|confirm_charge|{"payment_id": :charge, "succeeded": true, "provider_event_id": "c1", "amount": 1000}||
seller 3|create_product|{"name": "jug", "price": 100, "stock": 0, "sku": "J1", "image_urls": ["https://example.com/j"], "tax_exempt": true, "metadata": {"a": 1}}|product|data,product_id
seller 3|update_product|{"product_id": :product, "price": 200}||
seller 3|adjust_stock|{"product_id": :product, "delta": 5}||
seller 3|create_promotion|{"product_id": :product, "kind": "FIXED", "value": 1, "starts_at": "2020-01-01", "ends_at": "2090-02-01"}|promotion|data,promotion_id
seller 3|update_promotion|{"promotion_id": :promotion, "value": 2, "note": "more"}||
admin 5|end_promotion|{"promotion_id": :promotion}||
seller 3|set_product_status|{"product_id": :product, "status": "DISCONTINUED"}||
seller 3|create_coupon|{"name": "x", "kind": "FIXED", "value": 1, "quantity": 1, "valid_days": 1}|coupon|data,coupon_id
seller 3|update_coupon|{"coupon_id": :coupon, "quantity": 2, "clear": ["description"]}||
seller 3|issue_coupon|{"coupon_id": :coupon, "user_id": 2}|given|data,id
seller 3|revoke_coupon|{"coupon_issue_id": :given, "note": "abuse"}||
seller 3|sales_report|{"from_date": "2000-01-01", "to_date": "2090-01-01"}||
admin 5|sales_report|{"from_date": "2000-01-01", "to_date": "2090-01-01"}||
seller 3|stop_coupon|{"coupon_id": :coupon}||
buyer 1|update_user|{"phone": "010-2222-2222", "clear": ["address"]}||
seller 3|update_user|{"phone": "010-2222-3333"}||
seller 3|update_seller|{"shipping_fee": 3000, "free_shipping_from": 50000, "clear": ["category"]}||
admin 5|update_seller|{"seller_id": 2, "registration_number": "444", "metadata": {"a": [1]}}||
admin 5|import_user|{"imported": {"name": "Old", "balance": 5000}}|old|data,user_id
admin 5|import_order|{"imported": {"user_id": :old, "items": [{"product_id": 1, "quantity": 1, "unit_price": 100}], "payment_amount": 100, "paid_at": "2020-05-01T09:00:00+09:00"}}||
admin 5|import_coupon_issue|{"imported": {"user_id": :old, "coupon_id": 1}}||
buyer new|sign_up|{"name": "New", "email": "new@example.com"}||
admin 5|find_user|{"email": "kim@example.com"}||
admin 5|update_user|{"user_id": 2, "external_id": "lee", "metadata": {"a": 1}}||
admin 5|adjust_balance|{"user_id": 2, "amount": -500, "note": "paid out"}||
admin 5|create_user|{"name": "x", "email": "x@example.com", "role": "SELLER"}|user|data,user_id
admin 5|create_seller|{"user_id": :user, "business_name": "x", "registration_number": "333"}||
admin 5|set_user_status|{"user_id": :user, "status": "WITHDRAWN"}||
buyer 1|export_user|{}||
admin 5|export_user|{"user_id": "2"}||
admin 5|create_user|{"name": "Gone"}|gone|data,user_id
admin 5|erase_user|{"user_id": :gone, "note": "asked"}||
buyer 2|claim_coupon|{"coupon_id": 1}|issue|data,id
admin 5|revoke_coupon|{"coupon_issue_id": :issue}||
admin 5|expire_coupons|{}||
admin 5|expire_pending_orders|{}||
admin 5|refresh_popular_products|{}||
admin 5|run_job|{"name": "popular-products"}||
admin 5|schedule_jobs|{}||
admin 5|unschedule_jobs|{}||
admin 5|check_invariants|{}||
admin 5|subscribe|{"name": "somebody"}||
admin 5|set_http_sink|{"subscription": "somebody", "url": "https://example.com/"}||
admin 5|set_kafka_sink|{"subscription": "somebody", "brokers": "example.com:9092", "topic": "t"}||
admin 5|shop_status|{}||
admin 5|redeliver|{"subscription": "somebody"}||
admin 5|remove_sink|{"subscription": "somebody"}||
admin 5|fetch_events|{"subscription": "somebody", "max_events": "1"}|position|data,0,position
admin 5|ack_events|{"subscription": "somebody", "up_to": ":position"}||
admin 5|seek_subscription|{"subscription": "somebody", "to_position": ":position"}||
admin 5|pause_subscription|{"subscription": "somebody"}||
admin 5|resume_subscription|{"subscription": "somebody"}||
admin 5|discard_dead_letters|{"subscription": "somebody"}||
admin 5|unsubscribe|{"subscription": "somebody"}||
\.
-- pg_cron is in one database of the server only
CREATE OR REPLACE FUNCTION commerce_private.require_cron() RETURNS void LANGUAGE sql AS '';
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobid bigint GENERATED ALWAYS AS IDENTITY, jobname text, username name DEFAULT current_user);
CREATE FUNCTION cron.schedule(text, text, text) RETURNS bigint LANGUAGE sql AS 'INSERT INTO cron.job (jobname) VALUES ($1) RETURNING jobid';
CREATE FUNCTION cron.unschedule(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';

CREATE TABLE tap.answers (n int, called text, response tap.response, again tap.response, changed text[]);
-- not one transaction: events can be fetched when what wrote them has been committed
CREATE PROCEDURE tap.live() LANGUAGE plpgsql AS $$
DECLARE
	step record;
	known record;
	r tap.response;
	again tap.response;
	books jsonb;
	kept jsonb := '{}';
BEGIN
	FOR step IN SELECT s.*, NOT e.reads AS writes FROM tap.steps s JOIN commerce_private.api_endpoints e ON e.name = s.called ORDER BY s.n LOOP
		FOR known IN SELECT * FROM jsonb_each_text(kept) LOOP
			step.body := replace(step.body, ':' || known.key, known.value);
		END LOOP;
		IF step.called = 'fetch_events' THEN
			PERFORM tap.settle();
		END IF;
		r := tap.http(step.caller, step.called, step.body::jsonb, jsonb_build_object('idempotency-key', md5(step.body), 'accept-language', CASE step.n % 2 WHEN 0 THEN 'ko' ELSE 'en' END));
		IF step.keep <> '' THEN
			kept := kept || jsonb_build_object(step.keep, r.body #> string_to_array(step.path, ','));
		END IF;
		COMMIT;
		again := NULL;
		IF step.writes THEN
			books := tap.books();
			again := tap.http(step.caller, step.called, step.body::jsonb, jsonb_build_object('idempotency-key', md5(step.body), 'accept-language', 'de'));
		END IF;
		INSERT INTO tap.answers VALUES (step.n, step.called, r, again,
			array(SELECT b.key FROM jsonb_each(tap.books()) b WHERE step.writes AND b.value <> books->b.key ORDER BY 1));
		COMMIT;
	END LOOP;
END
$$;
CALL tap.live();

SELECT is((a.response).code, 'SUCCESS', format('%s: %s %s', a.called, (a.response).code, (a.response).details)) FROM tap.answers a ORDER BY a.n;
SELECT is_empty($$SELECT e.name FROM commerce_private.api_endpoints e WHERE e.name NOT IN (SELECT a.called FROM tap.answers a)$$, 'no function is left out here');
SELECT is_empty(format($$SELECT tap.differences(%L, %L, '$')$$, d.response->'content'->'application/json'->'schema', (a.response).body),
				format('%s, %s, is as documented', a.called, (a.response).status))
FROM tap.answers a CROSS JOIN LATERAL (SELECT tap.documented(a.called, (a.response).status) AS response) d ORDER BY a.n;
SELECT is(array(SELECT h FROM jsonb_object_keys((a.response).headers - 'Access-Control-Expose-Headers') h ORDER BY 1),
		  array(SELECT h FROM jsonb_object_keys(tap.documented(a.called, (a.response).status)->'headers') h WHERE h <> 'Idempotent-Replayed' OR (a.response).headers ? h ORDER BY 1),
		  format('%s, %s, has its headers', a.called, (a.response).status)) FROM tap.answers a ORDER BY a.n;
-- a repeated key: the answer that was stored, of whatever language, and nothing done
SELECT is(row((a.again).told, (a.again).status, (a.again).headers->>'Location'), row((a.response).told, (a.response).status, (a.response).headers->>'Location'), a.called || ': again with its key, the answer is the first'),
	   is((a.again).headers->>'Idempotent-Replayed', 'true', 'and says so'), is(a.changed, '{}', 'and changes nothing')
FROM tap.answers a JOIN commerce_private.api_endpoints e ON e.name = a.called AND e.keyed ORDER BY a.n;
-- or a call that finds its work done; what a job notes of its run, and as of when, is no work
SELECT ok(coalesce((a.again).code = 'SUCCESS' OR (a.again).status IN (404, 409), false), format('%s: again it is %s %s', a.called, (a.again).code, (a.again).details)),
	   is((a.again).headers->'Idempotent-Replayed', NULL, 'no replay'),
	   is(array(SELECT c FROM unnest(a.changed) c WHERE c NOT IN ('commerce.popular_products', 'commerce_private.sales_fold', 'commerce_private.job_runs')), '{}', 'and changes nothing')
FROM tap.answers a JOIN commerce_private.api_endpoints e ON e.name = a.called AND NOT e.keyed AND NOT e.reads ORDER BY a.n;
-- what could have been left empty above
SELECT ok(jsonb_array_length((a.response).data #> string_to_array(f.path, ',')) > 0, format('%s of %s', f.path, f.called))
FROM (VALUES ('usable_coupons', ''), ('sales_report', ''), ('balance_statement', ''), ('fetch_events', ''), ('get_order', 'items'), ('get_order', 'items,0,history'), ('get_order', 'coupons'), ('get_order', 'payments'),
	('shop_status', 'problems'), ('shop_status', 'waiting'), ('shop_status', 'jobs'), ('shop_status', 'subscriptions'), ('shop_status', 'popular_products')) f (called, path)
JOIN LATERAL (SELECT x.response FROM tap.answers x WHERE x.called = f.called ORDER BY n LIMIT 1) a ON true;

-- where money is a payment provider's to tell
BEGIN;
SET LOCAL commerce.direct_charge = off;
SELECT is_empty(format($$SELECT tap.differences(%L, %L, '$')$$, tap.documented('charge_balance', r.status)->'content'->'application/json'->'schema', r.body), 'a charge that is asked for is as documented'),
	   is(r.status, 202, 'and waits for its payment')
FROM tap.http('buyer 1', 'charge_balance', '{"amount": 2000}') r;
COMMIT;

-- errors
SELECT is_empty(format($$SELECT tap.differences(%L, %L, '$')$$, tap.documented(e.called, (r).status)->'content'->'application/json'->'schema', (r).body),
				format('%s, %s, is as documented', e.called, (r).code)), ok((r).status >= 400, 'and an error')
FROM (VALUES ('anon', 'place_order'), ('seller 3', 'place_order'), ('buyer 1', 'place_order'), ('anon', 'get_product'), ('buyer 1', 'cancel_order')) e (caller, called)
CROSS JOIN LATERAL tap.http(e.caller, e.called, CASE e.called WHEN 'cancel_order' THEN '{"order_id": 999}' ELSE '{}' END::jsonb) r;

-- views, all columns
CREATE FUNCTION tap.rows_of(view name) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM tap.become(CASE view WHEN 'seller_orders' THEN 'seller 3' ELSE 'admin 5' END, 'GET', '/' || view, '{}');
	-- times by the cast of their domain, as PostgREST does it
	RETURN QUERY EXECUTE (SELECT format('SELECT to_jsonb(v) %s FROM commerce_api.%I v',
			string_agg(format('|| jsonb_build_object(%L, commerce_api.moment_to_json(v.%I))', a.attname, a.attname), ' ')
				FILTER (WHERE a.atttypid = 'commerce_api.moment'::regtype), view)
		FROM pg_attribute a WHERE a.attrelid = format('commerce_api.%I', view)::regclass AND a.attnum > 0);
	PERFORM tap.unbecome();
END
$$;
SELECT is_empty(format($$SELECT tap.differences(%L, r, '$') FROM tap.rows_of(%L) r$$, commerce_private.openapi()->'components'->'schemas'->v.relname, v.relname), v.relname || ' has the rows that are documented')
FROM pg_class v WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v' ORDER BY v.relname;

-- A row has the same fields whichever way it is read: what functions answer (a singular) and what views show (its plural);
-- what is in another row names that row no more.
CREATE FUNCTION tap.fields(schema jsonb, more text[] DEFAULT '{}', less text[] DEFAULT '{}') RETURNS text[] LANGUAGE sql AS $$
	SELECT array_agg(DISTINCT k ORDER BY k) FROM (SELECT jsonb_array_elements_text(schema->'required') UNION SELECT unnest(more)) f (k) WHERE k <> ALL (less)
$$;
CREATE TABLE tap.same (what text, view text, found text[]);
INSERT INTO tap.same
	SELECT s.key, v.relname, tap.fields(s.value, '{}', CASE WHEN d.schemas->v.relname->'properties' ? 'items' THEN '{}' ELSE '{items}' END::text[])
	FROM (SELECT commerce_private.openapi()->'components'->'schemas') d (schemas)
	CROSS JOIN pg_class v JOIN jsonb_each(d.schemas) s ON s.key = commerce_private.api_singular(v.relname)
	WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v'
	UNION ALL
	SELECT 'an order in full: ' || m.what, m.view, tap.fields(jsonb_path_query_first(d.schema, m.path::jsonpath), m.parent, m.own)
	FROM (SELECT commerce_private.openapi()->'components'->'schemas'->'order_in_full') d (schema)
	CROSS JOIN (VALUES ('order', 'orders', '$', '{}'::text[], '{items,coupons,payments,archived_at}'::text[]), ('items', 'order_items', '$.properties.items.items', '{order_id}', '{history}'),
		('history', 'order_item_events', '$.properties.items.items.properties.history.items', '{order_item_id}', '{}'),
		('coupons', 'order_coupons', '$.properties.coupons.items', '{order_id}', '{}'), ('payments', 'payments', '$.properties.payments.items', '{order_id}', '{}')) m (what, view, path, parent, own)
	UNION ALL
	SELECT m.what, m.view, array_agg(a.attname::text ORDER BY a.attname COLLATE "default")
	FROM (VALUES ('product_list', 'products', 'commerce.product_list'), ('my_products', 'products', 'commerce_api.my_products'), ('coupon_list', 'coupons', 'commerce.coupon_list'),
		('order_list', 'orders', 'commerce.order_list'), ('variants and best sellers', 'products', (SELECT max(t.typrelid::regclass::text) FROM pg_proc f JOIN pg_type t ON t.oid = f.prorettype
		WHERE f.pronamespace = 'commerce_api'::regnamespace AND f.proname IN ('variants', 'product')))) m (what, view, relation)
	JOIN pg_attribute a ON a.attrelid = m.relation::regclass AND a.attnum > 0 AND (m.what, a.attname) <> ('order_list', 'items')
	GROUP BY 1, 2;
SELECT is(s.found, tap.fields(commerce_private.openapi()->'components'->'schemas'->s.view), format('%s has the fields of %s', s.what, s.view)) FROM tap.same s ORDER BY 1;
SELECT is_empty($$SELECT w.what FROM unnest('{product,order,seller_order,coupon,coupon_issue,order_item,payment,shipment,user,seller,promotion,order_sheet}'::text[]) AS w (what)
	WHERE w.what NOT IN (SELECT s.what FROM tap.same s)$$, 'all that functions answer is compared');
SELECT is_empty(
	$$SELECT v.relname, a.attname FROM pg_class v JOIN pg_class t ON t.relname = v.relname AND t.relnamespace = 'commerce'::regnamespace AND t.relkind IN ('r', 'p')
	  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (commerce_private.api_internal())
	  WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relname NOT IN ('subscriptions', 'popular_products')
		AND NOT EXISTS (SELECT FROM pg_attribute s WHERE s.attrelid = v.oid AND s.attname = a.attname)$$,
	'a view shows every column of its table that is not ours alone');
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attribute a JOIN pg_class v ON v.oid = a.attrelid
	WHERE v.relnamespace = 'commerce_api'::regnamespace AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)$$, 'every time of a view is a moment');

-- events
CREATE TABLE tap.event_times AS
	SELECT o.type, t #>> '{}' AS text FROM commerce.outbox o, jsonb_path_query(o.payload, '$.** ? (@.type() == "string")') t
	WHERE t #>> '{}' ~ '^(\d{4}-\d\d-\d\d|\d\d[./]\d\d[./]\d{4})';
SELECT cmp_ok(count(DISTINCT type), '>', 10::bigint, 'there are times in events') FROM tap.event_times;
SELECT is_empty($$SELECT * FROM tap.event_times WHERE text !~ tap.moment_form()$$, 'they have the same form');

-- every answer has an example, which is as its schema says; and functions promise what they answer
CREATE TABLE tap.contents AS
	SELECT p.key AS path, r.key AS status, c.key AS type, c.value AS content
	FROM jsonb_each(commerce_private.openapi()->'paths') p, jsonb_each(p.value) m, jsonb_each(m.value->'responses') r, jsonb_each(r.value->'content') c
	WHERE c.key LIKE '%json' AND p.key <> '/' AND r.key < '300';
SELECT is_empty($$SELECT path, status, type FROM tap.contents WHERE NOT content ? 'example'$$, 'every answer has an example');
SELECT is_empty($$SELECT path, status, type, tap.differences(content->'schema', content->'example', '$') FROM tap.contents$$, 'and it is as the schema says');
SELECT is_empty($$SELECT s.key, tap.differences(s.value, e, '$') FROM jsonb_each(commerce_private.openapi()->'components'->'schemas') s, jsonb_array_elements(s.value->'examples') e$$, 'so are those of the components');
SELECT is_empty(
	$$SELECT s.key FROM jsonb_each(commerce_private.openapi()->'components'->'schemas') s
	  WHERE s.value->>'type' = 'object' AND NOT EXISTS (SELECT FROM pg_class v WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relname = s.key)
		AND (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(s.value->'properties') k) IS DISTINCT FROM (SELECT array_agg(k ORDER BY k) FROM jsonb_array_elements_text(s.value->'required') k)$$,
	'all that a function answers is required');
SELECT * FROM finish();
