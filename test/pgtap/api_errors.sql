-- role: postgres
-- Errors over REST: each code and reason in each language, and PostgreSQL's own errors, whoever provokes them.

\ir api_helpers.psql
SELECT no_plan();

CREATE TABLE tap.headers (accept text, speaks text);
INSERT INTO tap.headers VALUES ('ko', 'ko'), ('ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7', 'ko'), ('KO-kr', 'ko'), ('en-US,en;q=0.9,ko;q=0.8', 'en'), ('en;q=0.1, ko;q=0.2', 'ko'), ('ko;q=0, en;q=0.1', 'en'),
	('ko; q=0.5, en; q=0.4', 'ko'), ('ja,ko;q=0.5', 'ko'), ('ja', 'en'), ('*', 'en'), ('', 'en'), ('kok', 'en'), ('ko;q=nonsense', 'en'), (';;;,,q=', 'en');

-- what raise_error() tells a request
CREATE FUNCTION tap.told(code text, detail jsonb, accept text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('request.method', 'POST', true), set_config('request.headers', jsonb_build_object('accept-language', accept)::text, true);
	PERFORM commerce_private.raise_error(code, detail);
EXCEPTION WHEN SQLSTATE 'PGRST' THEN
	RETURN SQLERRM;
END
$$;
SELECT is_empty($$SELECT e.code, h.accept, t FROM commerce.error_codes() e, tap.headers h, tap.told(e.code, NULL, h.accept) t
	WHERE t <> jsonb_build_object('code', e.code, 'message', CASE h.speaks WHEN 'ko' THEN e.message_ko ELSE e.message END, 'details', NULL, 'hint', NULL)$$, 'every code in the language of the request');
SELECT is_empty($$SELECT x.reason, h.accept, t FROM commerce_private.error_texts() x, tap.headers h, tap.told('FORBIDDEN', jsonb_build_object('reason', x.reason), h.accept) t
	WHERE x.reason IS NOT NULL AND t->>'hint' <> CASE h.speaks WHEN 'ko' THEN x.sentence_ko ELSE x.sentence END$$, 'every reason has its sentence in it');
SET commerce.language = 'ko';
SELECT is(array(SELECT h.accept FROM tap.headers h WHERE tap.told('FORBIDDEN', NULL, h.accept)->>'message' = 'not allowed'), '{"en-US,en;q=0.9,ko;q=0.8","ko;q=0, en;q=0.1"}',
	'where the header names no language of ours, commerce.language does');
RESET commerce.language;
SELECT is_empty($$SELECT * FROM (SELECT message, message_ko FROM commerce.error_codes() UNION ALL SELECT sentence, sentence_ko FROM commerce_private.error_texts()) t (en, ko)
	WHERE en !~ '^[[:ascii:]–]+$' OR ko !~ '[가-힣]' OR ko !~ '\.$'$$, 'all are sentences of their language');
SELECT is_empty($$SELECT sentence FROM commerce_private.error_texts() GROUP BY 1 HAVING count(*) > 1$$, 'each is there once'),
	   is_empty($$SELECT reason FROM commerce_private.error_texts() WHERE reason IS NOT NULL GROUP BY 1 HAVING count(*) > 1$$, 'and each word'),
	   is_empty($$SELECT reason FROM commerce_private.error_texts() WHERE reason !~ '^[A-Z_]+$'$$, 'in capitals');

-- settings that are no JSON, or JSON of other kinds, change nothing
SELECT is((tap.http('buyer 1', 'get_balance')).code, 'SUCCESS', 'somebody');
CREATE FUNCTION tap.with_setting(setting text, value text) RETURNS tap.response LANGUAGE plpgsql AS $$
DECLARE
	r tap.response;
BEGIN
	PERFORM tap.become('buyer 1', 'GET', '/rpc/get_balance', '{}');
	PERFORM set_config(setting, value, true);
	r.body := commerce_api.get_balance();
	r.code := r.body->>'code';
	PERFORM tap.unbecome();
	RETURN r;
EXCEPTION WHEN OTHERS THEN
	r.sqlstate := SQLSTATE;
	r.code := SQLERRM::jsonb->>'code';
	RETURN r;
END
$$;
SELECT is((tap.with_setting('request.headers', v)).code, 'SUCCESS', 'request.headers = ' || v)
FROM unnest('{"",x,"{","{]",null,5,[],"[1]","\"x\"",true,"{\"accept-language\":5}","{\"accept-language\":{}}","{\"accept-language\":null}","{\"accept-language\":[\"ko\"]}","{\"accept-language\":\"\\u0000\"}","{\"a\":1}}"}'::text[]) v;
SELECT is((tap.with_setting('request.headers', '{"idempotency-key":{}}')).code, 'SUCCESS', 'a key that is an object');
SELECT is((tap.with_setting('request.jwt.claims', v)).code, 'UNAUTHENTICATED', 'request.jwt.claims = ' || v)
FROM unnest(ARRAY['', 'x', '{', 'null', '5', '[]', '["sub"]', '"sub"', 'true', '{}', '{"sub":null}', '{"sub":{}}', '{"sub":{"sub":"1"}}', '{"sub":["1"]}', '{"sub":true}', '{"sub":""}', '{"sub":1.5}', '{"sub":1e0}',
	'{"sub":-1}', '{"sub":"1 "}', '{"sub":"99999999999999999999"}', '{"sub":"\u0000"}', '{"sub":"1"}}']) v;
-- errors, too, are told as always
SELECT is((SELECT r.sqlstate || ' ' || r.code FROM tap.with_setting('request.jwt.claims', '{') r), 'PGRST UNAUTHENTICATED', 'as PostgREST takes it');
CREATE FUNCTION tap.told_with(headers text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('request.method', 'POST', true), set_config('request.headers', headers, true);
	PERFORM commerce_private.raise_error('FORBIDDEN');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || (SQLERRM::jsonb->>'message');
END
$$;
SELECT is(tap.told_with(v), 'PGRST not allowed', 'an error with request.headers = ' || v) FROM unnest('{"",x,"{",null,5,[],"\"x\"","{\"accept-language\":{}}"}'::text[]) v;

-- PostgreSQL's own errors, from what a DBA has added
CREATE FUNCTION tap.misbehave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	CASE NEW.name
		WHEN 'overflow' THEN PERFORM 9223372036854775807 + length(NEW.name);
		WHEN 'numeric overflow' THEN PERFORM 1e5::numeric(3) + length(NEW.name);
		WHEN 'invalid UTF-8' THEN PERFORM convert_from(decode('ff' || left('', length(NEW.name)), 'hex'), 'UTF8');
		WHEN 'NUL' THEN PERFORM ('{"a":"\u0000"}'::json)->>'a' || NEW.name;
		WHEN 'malformed' THEN PERFORM NEW.name::uuid;
		WHEN 'too long' THEN PERFORM CAST(now()::text AS varchar(2)); NEW.name := repeat('x', 10); INSERT INTO tap.short VALUES (NEW.name);
		WHEN 'zero' THEN PERFORM 1 / (length(NEW.name) - 4);
		WHEN 'deadlock' THEN RAISE EXCEPTION 'Process 1 waits for ShareLock' USING ERRCODE = 'deadlock_detected', DETAIL = 'secret';
		WHEN 'serialization' THEN RAISE EXCEPTION 'could not serialize' USING ERRCODE = 'serialization_failure';
		WHEN 'lock' THEN RAISE EXCEPTION 'canceling' USING ERRCODE = 'lock_not_available';
		WHEN 'timeout' THEN RAISE EXCEPTION 'canceling' USING ERRCODE = 'query_canceled';
		WHEN 'rule' THEN RAISE EXCEPTION '이름을 쓸 수 없습니다' USING HINT = 'secret', DETAIL = 'secret';
		WHEN 'privilege' THEN RAISE EXCEPTION 'permission denied for table secret' USING ERRCODE = 'insufficient_privilege';
		WHEN 'no table' THEN EXECUTE 'SELECT * FROM secret';
		WHEN 'syntax' THEN EXECUTE 'SELEC secret';
		WHEN 'disk' THEN RAISE EXCEPTION 'could not extend file "secret"' USING ERRCODE = 'disk_full';
		WHEN 'array' THEN PERFORM repeat(NEW.name, 1000000000);
		ELSE NULL;
	END CASE;
	RETURN NEW;
END
$$;
CREATE TABLE tap.short (name varchar(3));
CREATE TABLE tap.regions (name text PRIMARY KEY);
INSERT INTO tap.regions VALUES ('Seoul');
CREATE TRIGGER misbehave BEFORE INSERT ON commerce.users FOR EACH ROW EXECUTE FUNCTION tap.misbehave();
ALTER TABLE commerce.users ADD CONSTRAINT no_bots CHECK (name <> 'bot'), ADD CONSTRAINT one_boss EXCLUDE (name WITH =) WHERE (name = 'boss');
CREATE UNIQUE INDEX one_phone ON commerce.users (phone);
ALTER TABLE commerce.users ADD CONSTRAINT known_region FOREIGN KEY (address) REFERENCES tap.regions;
CREATE TABLE tap.own (request text, status int, code text, details jsonb);
INSERT INTO tap.own VALUES
	('{"name": "overflow"}', 400, 'INVALID_REQUEST', '{"reason": "has a number that is out of range"}'),
	('{"name": "numeric overflow"}', 400, 'INVALID_REQUEST', '{"reason": "has a number that is out of range"}'),
	('{"name": "invalid UTF-8"}', 400, 'INVALID_REQUEST', '{"reason": "has a character that cannot be stored"}'),
	('{"name": "NUL"}', 400, 'INVALID_REQUEST', '{"reason": "has a character that cannot be stored"}'),
	('{"name": "malformed"}', 400, 'INVALID_REQUEST', '{"reason": "has a malformed value"}'),
	('{"name": "too long"}', 400, 'INVALID_REQUEST', '{"reason": "has a text that is too long"}'),
	('{"name": "array"}', 400, 'INVALID_REQUEST', '{"reason": "is too large"}'),
	('{"name": "rule"}', 400, 'INVALID_REQUEST', '{"reason": "이름을 쓸 수 없습니다"}'),
	('{"name": "zero"}', 500, 'INTERNAL_SERVER_ERROR', NULL),
	('{"name": "no table"}', 500, 'INTERNAL_SERVER_ERROR', NULL),
	('{"name": "syntax"}', 500, 'INTERNAL_SERVER_ERROR', NULL),
	('{"name": "disk"}', 500, 'INTERNAL_SERVER_ERROR', NULL),
	('{"name": "privilege"}', 403, 'FORBIDDEN', NULL),
	('{"name": "deadlock"}', 429, 'SERVICE_BUSY', '{"reason": "CONFLICT"}'),
	('{"name": "serialization"}', 429, 'SERVICE_BUSY', '{"reason": "CONFLICT"}'),
	('{"name": "lock"}', 429, 'SERVICE_BUSY', '{"reason": "LOCK_TIMEOUT"}'),
	('{"name": "timeout"}', 429, 'SERVICE_BUSY', '{"reason": "STATEMENT_TIMEOUT"}'),
	('{"name": "bot"}', 400, 'INVALID_REQUEST', '{"reason": "is against a rule of the shop", "constraint": "no_bots"}'),
	('{"name": "x", "address": "Atlantis"}', 400, 'INVALID_REQUEST', '{"reason": "is against a rule of the shop", "constraint": "known_region"}'),
	('{"name": "x", "phone": "1"}', 201, 'SUCCESS', NULL),
	('{"name": "y", "phone": "1"}', 409, 'ALREADY_EXISTS', '{"entity": "user"}'),
	('{"name": "boss"}', 201, 'SUCCESS', NULL),
	('{"name": "boss"}', 409, 'ALREADY_EXISTS', '{"entity": "user"}');
SELECT is(jsonb_build_object('status', (r).status, 'code', (r).code, 'details', (r).details::jsonb), jsonb_build_object('status', o.status, 'code', o.code, 'details', o.details), o.request),
	   unalike((r).body::text, '%secret%', 'nothing internal')
FROM tap.own o CROSS JOIN LATERAL tap.http('admin 5', 'create_user', o.request::jsonb, '{"accept-language": "en"}') r;
SELECT is_empty($$SELECT o.request, r.body FROM tap.own o JOIN commerce.error_codes() e USING (code) CROSS JOIN LATERAL tap.http('admin 5', 'create_user', o.request::jsonb, '{"accept-language": "ko-KR,ko;q=0.9"}') r
	WHERE o.code <> 'SUCCESS' AND r.body->>'message' <> e.message_ko OR r.body->>'hint' !~ '[가-힣]' OR r.code <> o.code$$, 'all of them in Korean');
CREATE FUNCTION tap.name_constraint() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not this' USING CONSTRAINT = 'users_email_key'; END$$;
CREATE TRIGGER name_constraint BEFORE UPDATE ON commerce.users FOR EACH ROW EXECUTE FUNCTION tap.name_constraint();
SELECT throws_ok($$SELECT commerce.update_user(1, name => 'x')$$, 'P0001', 'not this', 'what a trigger raises stays as it is, whatever constraint it names');
DROP TRIGGER name_constraint ON commerce.users;
ALTER TABLE commerce.users ADD COLUMN region text;
UPDATE commerce.users SET region = 'Seoul';
ALTER TABLE commerce.orders ADD COLUMN risk int DEFAULT 5;
ALTER TABLE commerce.order_items ADD COLUMN risk int DEFAULT 5;
ALTER TABLE commerce.coupon_issues ADD COLUMN risk int DEFAULT 5;
SELECT is(jsonb_path_exists(r.data, '$.**.risk'), false, 'no answer has it') || E'\n' || is(r.status, 201, 'of an order')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}], "delivery": {"memo": "r"}}') r;
SELECT is(r.data ? 'region', false, 'nor of a user') FROM tap.http('admin 5', 'find_user', '{"email": "kim@example.com"}') r;
SELECT is(r.status, 201, 'a coupon') FROM tap.http('buyer 1', 'claim_coupon', '{"coupon_id": 1}') r;
SELECT is(r.data#>>'{0,coupon_id}', '1', 'nor a list') || E'\n' || is(jsonb_path_exists(r.data, '$.**.risk'), false, 'of coupons') FROM tap.http('buyer 1', 'usable_coupons') r;
SELECT is(tap.rows_for('seller 3', $$SELECT FROM commerce_api.seller_orders WHERE items @? '$.**.risk'$$), '0', 'nor a seller''s view') || E'\n' ||
	   is(tap.rows_for('seller 3', $$SELECT FROM commerce_api.seller_orders$$) <> '0', true, 'of orders that are there');
SELECT is_empty($$SELECT id FROM commerce.order_list WHERE items @? '$.**.risk'$$, 'nor the list of orders');
ALTER TABLE commerce.orders DROP COLUMN risk;
ALTER TABLE commerce.order_items DROP COLUMN risk;
ALTER TABLE commerce.coupon_issues DROP COLUMN risk;
ALTER TABLE commerce.users ALTER region SET NOT NULL;
SELECT is(r.details::jsonb, '{"argument": "region", "reason": "is missing"}', 'a DBA''s column that must be there') FROM tap.http('admin 5', 'create_user', '{"name": "z"}') r;
-- where rows are written without the executor
ALTER TABLE commerce.orders ADD CONSTRAINT small_orders CHECK (payment_amount < 30000), ALTER recipient_memo SET NOT NULL;
SELECT is(r.details::jsonb, '{"reason": "is against a rule of the shop", "constraint": "small_orders"}', 'a check of orders')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 10}], "delivery": {"memo": "x"}}') r;
SELECT is(r.details::jsonb, '{"argument": "recipient_memo", "reason": "is missing"}', 'a column of orders') FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}]}') r;

CREATE UNIQUE INDEX one_memo ON commerce.orders (recipient_memo);
SELECT is((tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}], "delivery": {"memo": "once"}}')).status, 201, 'an order with a memo');
SELECT is(r.status || r.details, '409{"constraint": "one_memo"}', 'a unique index on orders') FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}], "delivery": {"memo": "once"}}') r;

-- ids
SELECT is(r.details::jsonb, d.details, d.called || ' ' || d.request)
FROM (VALUES ('get_order', '{"order_id": "99999999999999999999"}', '{"argument": "order_id", "reason": "must be a whole number"}'::jsonb),
	('cancel_order', '{"order_id": 99999999999999999999}', '{"argument": "order_id", "reason": "must be a whole number"}'),
	('place_sheet_order', '{"order_sheet_id": "not-a-uuid"}', '{"argument": "order_sheet_id", "reason": "is malformed"}'),
	('get_order', '{"order_id": "9223372036854775807"}', '{"entity": "order", "id": 9223372036854775807}'),
	('place_order', '{"items": [{"product_id": 9223372036854775807, "quantity": 1}]}', '{"entity": "product", "id": 9223372036854775807}')) d (called, request, details)
CROSS JOIN LATERAL tap.http('buyer 1', d.called, d.request::jsonb) r;
SELECT * FROM finish();
