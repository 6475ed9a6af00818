-- How errors look: in SQL, and over HTTP.
\set SHOW_CONTEXT never

SELECT http_status, code, "sqlstate", message, message_ko, detail_keys FROM commerce.error_codes();

-- an SQLSTATE of our own has a class of our own, and means one thing
SELECT code, "sqlstate" FROM commerce.error_codes() WHERE "sqlstate" LIKE 'SH%' AND "sqlstate" !~ '^SH(0[0-9]{2}|404|429)$';
SELECT "sqlstate" FROM commerce.error_codes() GROUP BY 1 HAVING count(*) > 1;
SELECT code FROM commerce.error_codes() GROUP BY 1 HAVING count(*) > 1;
-- no 503: PostgREST answers it by reloading its connections
SELECT code FROM commerce.error_codes() WHERE http_status NOT BETWEEN 400 AND 500;

-- in SQL: an SQLSTATE, a message without ids, ids in the detail, a hint where one helps
SELECT commerce.get_balance(999999);
\echo :LAST_ERROR_SQLSTATE
SELECT commerce.set_product_status(1, 'SOLD_OUT');
\echo :LAST_ERROR_SQLSTATE
SELECT commerce.charge_balance(1, 50);
\echo :LAST_ERROR_SQLSTATE
SELECT commerce_private.raise_error('SERVICE_BUSY');
SELECT commerce_private.raise_error('NO_SUCH_CODE');
SELECT commerce_private.raise_error(NULL);

-- in Korean
SET commerce.language = 'ko';
SELECT commerce.get_balance(999999);
SELECT commerce.charge_balance(1, 50);
RESET commerce.language;

-- every code, in both faces: what raise_error() raises is what error_codes() says
-- (a detail that the table does not know is refused)
CREATE FUNCTION pg_temp.detail_of(code text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_object_agg(k, CASE k WHEN 'reason' THEN 'EXPIRED' ELSE 'd' END) FROM commerce.error_codes() e, string_to_table(e.detail_keys, ' ') k
	WHERE e.code = detail_of.code AND e.detail_keys <> ''
$$;
CREATE FUNCTION pg_temp.raised(code text, detail jsonb DEFAULT NULL, hint text DEFAULT NULL,
	OUT state text, OUT message text, OUT details text, OUT hints text)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM commerce_private.raise_error(code, detail, hint);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, details = PG_EXCEPTION_DETAIL, hints = PG_EXCEPTION_HINT;
END
$$;
SELECT e.code FROM commerce.error_codes() e, pg_temp.raised(e.code, pg_temp.detail_of(e.code), 'It is read by clients that pull.') r
WHERE (r.state, r.message, r.details, r.hints)
	  IS DISTINCT FROM (e."sqlstate", e.message, coalesce(pg_temp.detail_of(e.code)::text, ''), 'It is read by clients that pull.');
SELECT commerce_private.raise_error('ENTITY_NOT_FOUND', '{"entity": "user", "i": 7}');
SELECT commerce_private.raise_error('ENTITY_NOT_FOUND', '{"entity": "user", "id": 7}');
SELECT commerce_private.raise_not_found('user', 7);
SELECT commerce_private.raise_invalid('items[0].quantity', 'must be "1" or more', 'It is read by clients that pull.');

-- a reason is a word of error_texts(), whose sentence is the hint; so is a hint one of these
SELECT commerce_private.raise_error('FORBIDDEN', '{"reason": "NOT_ACTIVE"}');
SELECT commerce_private.raise_error('FORBIDDEN', '{"reason": "because"}');
SELECT commerce_private.raise_error('FORBIDDEN', '{}', 'Try again.');

-- over HTTP: PGRST, and JSON in message and detail
SELECT set_config('request.method', 'POST', false);
SELECT * FROM pg_temp.raised('ENTITY_NOT_FOUND', '{"entity": "user", "id": 7}');
SELECT * FROM pg_temp.raised('UNAUTHENTICATED');
SELECT * FROM pg_temp.raised('SERVICE_BUSY', NULL, 'It is read by clients that pull.');
SELECT * FROM pg_temp.raised('INVALID_REQUEST', jsonb_build_object('reason', E'a "quote", a \\, a \n and 한글'));
SELECT e.code FROM commerce.error_codes() e, pg_temp.raised(e.code, pg_temp.detail_of(e.code), 'It is read by clients that pull.') r
WHERE r.state <> 'PGRST'
   OR r.message::jsonb <> jsonb_build_object('code', e.code, 'message', e.message, 'details', pg_temp.detail_of(e.code)::text, 'hint', 'It is read by clients that pull.')
   OR r.details::jsonb ->> 'status' <> e.http_status::text
   OR jsonb_typeof(r.details::jsonb -> 'headers') IS DISTINCT FROM 'object'
   OR (r.details::jsonb) - '{status,headers}'::text[] <> '{}';
SELECT commerce.get_balance(999999);
SELECT commerce.charge_balance(NULL, 100);

-- the language of the request
CREATE FUNCTION pg_temp.speaks(accept text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('request.headers', coalesce(jsonb_build_object('accept-language', accept)::text, ''), true);
	RETURN CASE (SELECT r.message::jsonb ->> 'message' FROM pg_temp.raised('FORBIDDEN') r)
		WHEN 'not allowed' THEN 'en' WHEN '권한이 없습니다.' THEN 'ko' END;
END
$$;
SELECT left(accept, 40) AS accept, pg_temp.speaks(accept) FROM unnest(ARRAY[NULL, '', 'ko', 'KO-kr', 'ko-KR,ko;q=0.9,en-US;q=0.8', 'en-US,en;q=0.9,ko;q=0.8',
	'en;q=0.5, ko;q=0.9', 'en; q=0.5, ko; q=0.9', 'en ;Q=0.5,ko ;Q=0.9', 'ko;q=0, en;q=0.1', 'ko;q=0', 'kok, en;q=0.1', 'kok', 'fr', 'fr, ko;q=0.1', '*', 'ko;q=oops,en;q=0.1',
	',,;;==', repeat('ko,', 10000), 'ko;q=nan,en', 'ko;q=1e400,en']) WITH ORDINALITY AS a (accept, n) ORDER BY n;
SET commerce.language = 'ko';
SELECT left(accept, 40) AS accept, pg_temp.speaks(accept) FROM unnest(ARRAY[NULL, 'en', 'en;q=0.1', 'fr', 'ko;q=0,en;q=0']) WITH ORDINALITY AS a (accept, n) ORDER BY n;
RESET commerce.language;
-- headers of a shape that PostgREST does not send do not get in an error's way
CREATE FUNCTION pg_temp.status_with(headers text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('request.headers', headers, true);
	RETURN (SELECT r.state || ' ' || (r.message::jsonb ->> 'code') FROM pg_temp.raised('FORBIDDEN') r);
END
$$;
SELECT headers, pg_temp.status_with(headers)
FROM unnest(ARRAY['{}', '{"accept-language":null}', '{"accept-language":["ko"]}', '{"accept-language":7}', '[]', '7', 'null',
	'accept-language: ko', '{"accept-language":"ko"', '{"accept-language":"ko"} {}', '{"accept-language":"\u0000"}', '{"accept-language":"\ud800"}', ' ']) AS headers;
-- claims of such a shape are nobody's
CREATE FUNCTION pg_temp.user_with(claims text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('request.jwt.claims', claims, true);
	RETURN commerce_private.current_user_id();
END
$$;
SELECT claims, pg_temp.user_with(claims)
FROM unnest(ARRAY['{"sub":"7"}', '{"sub":7}', '{"sub":"7"', 'sub: 7', '{"sub":"7","\ud800":1}', '7', '{"sub":"-7"}', '{"sub":"7 "}', '{"sub":null}', '{}', '']) AS claims;

-- a session that PostgREST has used before
SELECT set_config('request.method', '', false), set_config('request.headers', '', false);
SELECT commerce.get_balance(999999);
\echo :LAST_ERROR_SQLSTATE
