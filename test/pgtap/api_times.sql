-- role: postgres
-- Times in requests: with an offset, or the shop's; finite and concrete. What is kept can be told by RFC 3339. The form
-- of answers is in api_answers.sql.

\ir api_helpers.psql
SELECT no_plan();

-- what is read, whatever the session says
CREATE TABLE tap.written (text text, at timestamptz);
INSERT INTO tap.written
SELECT t.text, t.at::timestamptz FROM (VALUES
	('2026-12-01T09:00:00+09:00', '2026-12-01 00:00:00Z'), ('2026-12-01T00:00:00Z', '2026-12-01 00:00:00Z'), ('2026-12-01t00:00:00z', '2026-12-01 00:00:00Z'),
	('2026-12-01 00:00:00+00', '2026-12-01 00:00:00Z'), ('2026-12-01T09:00+0900', '2026-12-01 00:00:00Z'), ('2026-11-30T18:30:00-05:30', '2026-12-01 00:00:00Z'),
	('2026-12-01T00:00:00.5Z', '2026-12-01 00:00:00.5Z'), ('2026-12-01T00:00:00.123456789Z', '2026-12-01 00:00:00.123456Z'),
	-- the shop's
	('2026-12-01T09:00:00', '2026-12-01 00:00:00Z'), ('2026-12-01T09:00', '2026-12-01 00:00:00Z'), ('2026-12-01', '2026-11-30 15:00:00Z'),
	('2024-02-29T00:00:00Z', '2024-02-29 00:00:00Z'), ('9999-12-30T23:59:59Z', '9999-12-30 23:59:59Z'), ('0001-01-02T00:00:00Z', '0001-01-02 00:00:00Z')) t (text, at);
CREATE TABLE tap.nonsense (text text);
INSERT INTO tap.nonsense VALUES
	('infinity'), ('-infinity'), ('now'), ('today'), ('tomorrow'), ('yesterday'), ('epoch'), ('allballs'), (''), (' '), ('2026'), ('2026-12'), ('20261201'), ('1'), ('1796083200'),
	('01.12.2026'), ('12/01/2026'), ('1 Dec 2026'), ('Dec 1 2026'), ('2026-335'), ('J2451187'), ('2026-12-01 BC'), ('2026-12-01T00:00:00Z BC'), ('10000-01-01T00:00:00Z'), ('+10000-01-01T00:00:00Z'),
	('-2026-12-01T00:00:00Z'), ('0000-01-01T00:00:00Z'), ('0001-01-01T00:00:00Z'), ('9999-12-31T00:00:00Z'), ('2026-02-29T00:00:00Z'), ('2026-13-01T00:00:00Z'), ('2026-00-01T00:00:00Z'),
	('2026-12-00T00:00:00Z'), ('2026-12-32T00:00:00Z'), ('2026-12-01T24:00:00Z'), ('2026-12-01T00:60:00Z'), ('2026-12-01T00:00:60Z'), ('2026-12-01T00:00:00.Z'), ('2026-12-01T00:00:00 KST'),
	('2026-12-01T00:00:00 Asia/Seoul'), ('2026-12-01T00:00:00+16:00'), ('2026-12-01T00:00:00+09:60'), ('2026-12-01T00:00:00+9'), ('2026-12-01T00:00:00Z '), (' 2026-12-01'), ('2026-12-01T'),
	('2026-12-01Z'), ('2026-12-01T9:00:00Z'), ('2026-12-01T09:00:00PM'), ('2026-12-01T09:00:00+09:00:00'), ('２０２６-12-01');

SELECT is((SELECT array_agg(w.text) FROM tap.written w WHERE commerce_private.read_time(w.text) IS DISTINCT FROM w.at), NULL, 'what is a time is read');
SELECT is((SELECT array_agg(n.text) FROM tap.nonsense n WHERE commerce_private.read_time(n.text) IS NOT NULL), NULL, 'what is none is not');
SET TimeZone = 'America/St_Johns';
SET DateStyle = 'German';
SELECT is((SELECT array_agg(w.text) FROM tap.written w WHERE commerce_private.read_time(w.text) IS DISTINCT FROM w.at), NULL, 'TimeZone and DateStyle do not matter');
SET commerce.timezone = 'America/New_York';
SELECT is(commerce_private.read_time('2026-07-01T00:00:00'), '2026-07-01 04:00:00Z'::timestamptz, 'commerce.timezone does'),
	   is(commerce_private.read_time('2026-12-01'), '2026-12-01 05:00:00Z'::timestamptz, 'with its summer time'),
	   is(commerce_private.read_time('2026-12-01T09:00:00+09:00'), '2026-12-01 00:00:00Z'::timestamptz, 'but not where there is an offset');
RESET commerce.timezone;
RESET DateStyle;
RESET TimeZone;
-- the same in a filter of a view, as PostgREST calls it
SELECT is((SELECT array_agg(w.text) FROM tap.written w WHERE commerce_api.moment_from_text(w.text) <> w.at), NULL, 'so it is in a filter');
SELECT tap.refuses(format('SELECT commerce_api.moment_from_text(%L)', n.text), 'INVALID_REQUEST', format('no filter: %s', n.text)) FROM tap.nonsense n WHERE n.text IN ('tomorrow', 'infinity');

-- every argument of every function
CREATE TABLE tap.arguments AS SELECT a.endpoint, a.argument, a.type::regtype::text AS type FROM commerce_private.api_arguments a WHERE a.asked AND a.type IN ('timestamptz'::regtype, 'date'::regtype);
SELECT cmp_ok(count(*), '>', 8::bigint, 'some functions take times') FROM tap.arguments;
SELECT is_empty(format($$SELECT n.text, r.code, r.details FROM tap.nonsense n CROSS JOIN LATERAL tap.http('admin 5', %L, jsonb_build_object(%L, n.text)) r
	WHERE r.status <> 400 OR r.code <> 'INVALID_REQUEST' OR r.details::jsonb->>'argument' <> %L OR r.details::jsonb->>'reason' NOT LIKE 'must be a %%such as%%'$$, a.endpoint, a.argument, a.argument),
	format('%s of %s is no nonsense', a.argument, a.endpoint))
FROM tap.arguments a ORDER BY 1;
SELECT is_empty(format($$SELECT w.text, r.code, r.details FROM tap.written w CROSS JOIN LATERAL tap.http('admin 5', %L, jsonb_build_object(%L, w.text)) r
	WHERE r.details::jsonb->>'argument' = %L AND r.details::jsonb->>'reason' LIKE 'must be a %%such as%%'$$, a.endpoint, a.argument, a.argument),
	format('%s of %s can be a time', a.argument, a.endpoint))
FROM tap.arguments a WHERE a.type = 'timestamp with time zone' ORDER BY 1;
SELECT is((r).data -> 'promotion_id' IS NOT NULL, true, 'a promotion of the shop''s day')
FROM tap.http('seller 3', 'create_promotion', '{"product_id": 2, "kind": "FIXED", "value": 1, "starts_at": "2099-01-01", "ends_at": "2099-01-02T00:00:00"}') r;
SELECT results_eq($$SELECT starts_at, ends_at FROM commerce.promotions ORDER BY id DESC LIMIT 1$$, $$VALUES ('2098-12-31 15:00Z'::timestamptz, '2099-01-01 15:00Z'::timestamptz)$$, 'is from midnight to midnight in Seoul');
SELECT is((r).code, 'INVALID_REQUEST', 'moving in: ' || t) FROM unnest('{tomorrow,infinity,01.05.2020,2020-05-01T25:00:00Z}'::text[]) t
CROSS JOIN LATERAL tap.http('admin 5', 'import_user', jsonb_build_object('imported', jsonb_build_object('name', 'x', 'created_at', t))) r;
SELECT is(commerce.import_user('{"name": "Old", "created_at": "2020-05-01T09:00:00"}'), 7::bigint, 'a user of old');
SELECT is(created_at, '2020-05-01T00:00:00Z'::timestamptz, 'came at the shop''s time') FROM commerce.users WHERE id = 7;

-- in SQL what PostgreSQL reads, but nothing that cannot be told
SELECT tap.refuses(format(f.call, t.value), 'INVALID_REQUEST', format('%s, %s', t.value, f.call))
FROM (VALUES ('infinity'), ('-infinity'), ('10000-01-01'), ('0044-03-15 BC')) t (value),
	 (VALUES ('SELECT commerce.create_promotion(1, ''FIXED'', 1, %L, now() + interval ''1 day'')'), ('SELECT commerce.create_promotion(1, ''FIXED'', 1, now(), %L)'),
			 ('SELECT commerce.update_promotion(1, starts_at => %L)'), ('SELECT commerce.update_promotion(1, ends_at => %L)'),
			 ('SELECT commerce.create_coupon(''x'', ''FIXED'', 1, 1, valid_until => %L)'), ('SELECT commerce.create_coupon(''x'', ''FIXED'', 1, 1, valid_days => 1, issue_from => %L)'),
			 ('SELECT commerce.create_coupon(''x'', ''FIXED'', 1, 1, valid_days => 1, issue_until => %L)'),
			 ('SELECT commerce.update_coupon(1, issue_from => %L)'), ('SELECT commerce.update_coupon(1, issue_until => %L)')) f (call);
-- nor past the functions
SELECT throws_ok(format(f.statement, t.value), '23514', NULL, format('%s, %s', t.value, f.statement))
FROM (VALUES ('infinity'), ('10000-01-01')) t (value),
	 (VALUES ('UPDATE commerce.promotions SET ends_at = %L'), ('UPDATE commerce.coupons SET issue_until = %L'), ('UPDATE commerce.coupons SET valid_until = %L, valid_days = NULL'),
			 ('INSERT INTO commerce.promotions (product_id, kind, value, starts_at, ends_at) VALUES (1, ''FIXED'', 1, now(), %L)')) f (statement);
SELECT throws_ok(f.statement, '23514', NULL, f.statement)
FROM (VALUES ('UPDATE commerce.promotions SET starts_at = ''-infinity'''), ('UPDATE commerce.coupons SET issue_from = ''0044-03-15 BC''')) f (statement);
SELECT commerce.claim_coupon(1, 1) \g /dev/null
SELECT throws_ok('UPDATE commerce.coupon_issues SET expires_at = ''infinity''', '23514', NULL, 'a coupon that somebody holds ends');

-- how they are told
SELECT is(commerce_api.moment_to_json(t.at::commerce_api.moment)::text, t.told, t.told)
FROM (VALUES ('2026-12-01 09:00+09'::timestamptz, '"2026-12-01T00:00:00+00:00"'), ('2026-12-01 00:00:00.123456Z', '"2026-12-01T00:00:00.123456+00:00"'),
	('1800-01-01 00:00Z', '"1800-01-01T00:00:00+00:00"'), ('0001-01-02 00:00Z', '"0001-01-02T00:00:00+00:00"'), (NULL, NULL)) t (at, told);
SELECT * FROM finish();
