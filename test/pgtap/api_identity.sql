-- role: postgres
-- Whom a token names: by id or by external_id, in which claim, and how a person becomes a user.

\ir api_helpers.psql
SELECT no_plan();

-- What a token with these claims may do, of a database role: balance over REST (or the error), and the rows of users.
CREATE FUNCTION tap.met(role text, claims jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	PERFORM tap.become(role, 'GET', '/', '{}'), set_config('request.jwt.claims', claims::text, true);
	BEGIN
		answer := commerce_api.get_balance()->'data'->>'user_id';
	EXCEPTION WHEN SQLSTATE 'PGRST' THEN
		answer := SQLERRM::jsonb->>'code';
	END;
	answer := answer || '/' || coalesce((SELECT string_agg(u.id::text, ' ') FROM commerce_api.users u), 'nobody');
	PERFORM tap.unbecome();
	RETURN answer;
END
$$;
-- user 1 is known elsewhere by 2, user 2 by a text, user 4 by what is the id of none
UPDATE commerce.users u SET external_id = e.external_id FROM (VALUES (1, '2'), (2, 'auth0|65f1c0ffee'), (4, '400')) e (id, external_id) WHERE e.id = u.id;

CREATE TABLE tap.tokens (subject text, claim text, claims jsonb, met text);
INSERT INTO tap.tokens VALUES
	('id', 'sub', '{"sub": "1"}', '1/1'), ('id', 'sub', '{"sub": 1}', '1/1'), ('id', 'sub', '{"sub": "2"}', '2/2'),
	('id', 'sub', '{"sub": "auth0|65f1c0ffee"}', 'UNAUTHENTICATED/nobody'), ('id', 'sub', '{"sub": "400"}', 'UNAUTHENTICATED/nobody'),
	('id', 'sub', '{"sub": "+1"}', 'UNAUTHENTICATED/nobody'), ('id', 'sub', '{"sub": " 1"}', 'UNAUTHENTICATED/nobody'), ('id', 'sub', '{"sub": "1x"}', 'UNAUTHENTICATED/nobody'),
	('id', 'sub', '{"sub": "18446744073709551617"}', 'UNAUTHENTICATED/nobody'), ('id', 'sub', '{"sub": ""}', 'UNAUTHENTICATED/nobody'), ('id', 'sub', '{"sub": null}', 'UNAUTHENTICATED/nobody'),
	('external_id', 'sub', '{"sub": "2"}', '1/1'), ('external_id', 'sub', '{"sub": 2}', '1/1'), ('external_id', 'sub', '{"sub": "auth0|65f1c0ffee"}', '2/2'),
	('external_id', 'sub', '{"sub": "1"}', 'UNAUTHENTICATED/nobody'), ('external_id', 'sub', '{"sub": "02"}', 'UNAUTHENTICATED/nobody'),
	('external_id', 'sub', '{"sub": "AUTH0|65f1c0ffee"}', 'UNAUTHENTICATED/nobody'), ('external_id', 'sub', '{"sub": "auth0|65f1c0ffee "}', 'UNAUTHENTICATED/nobody'),
	('external_id', 'sub', '{"sub": ""}', 'UNAUTHENTICATED/nobody'), ('external_id', 'sub', '{"sub": null}', 'UNAUTHENTICATED/nobody'), ('external_id', 'sub', '{}', 'UNAUTHENTICATED/nobody'),
	('external_id', 'sub', '{"sub": ["2"]}', 'UNAUTHENTICATED/nobody'), ('external_id', 'sub', '{"sub": {"2": 2}}', 'UNAUTHENTICATED/nobody'),
	('external_id', 'sub', jsonb_build_object('sub', repeat('x', 100000)), 'UNAUTHENTICATED/nobody'),
	('external_id', 'https://shop.example/user', '{"sub": "auth0|65f1c0ffee", "https://shop.example/user": "2"}', '1/1'),
	('external_id', 'https://shop.example/user', '{"sub": "2"}', 'UNAUTHENTICATED/nobody'),
	('id', 'uid', '{"sub": "1", "uid": 2}', '2/2'), ('id', 'UID', '{"sub": "1", "uid": 2}', 'UNAUTHENTICATED/nobody');
SELECT is(tap.met('buyer', t.claims), t.met, format('%s in %s: %s', t.subject, t.claim, left(t.claims::text, 60)))
FROM tap.tokens t
CROSS JOIN LATERAL (SELECT set_config('commerce.jwt_subject', t.subject, true) || set_config('commerce.jwt_user_claim', t.claim, true) || (t.claims IS NULL)) s (set)
WHERE s.set IS NOT NULL;

-- the settings are a superuser's
SELECT throws_ok('SET commerce.jwt_subject = id_or_external_id', '22023', NULL, 'one or the other, never both');
SELECT throws_ok($$SET commerce.jwt_user_claim = ''$$, '22023', NULL, 'a claim has a name');
SET ROLE api_buyer;
SELECT tap.throws_ok('SET commerce.jwt_subject = external_id', '42501', NULL, 'a caller does not say how callers are named');
SELECT tap.throws_ok('SET commerce.jwt_user_claim = email', '42501', NULL, 'nor where');
RESET ROLE;

-- signing up
SELECT is(r.code || r.details, 'FORBIDDEN{"reason": "NO_SIGN_UP"}', 'where tokens name ids, ids are given')
FROM (VALUES ('buyer 1'), ('buyer 999')) c (caller) CROSS JOIN LATERAL tap.http(c.caller, 'sign_up', '{"name": "New"}') r;
SET commerce.jwt_subject = external_id;
CREATE TABLE tap.new AS SELECT r.* FROM tap.http('buyer new', 'sign_up', '{"name": "New", "email": "new@example.com", "phone": "010", "address": "Seoul"}') r;
SELECT is(n.status, 201, 'somebody new'), is(n.headers->>'Location', '/users?id=eq.' || (n.data->>'id'), 'whose row can be read'),
	is((n.data - '{id,created_at,updated_at}'::text[])::text, jsonb_build_object('external_id', 'nobody new', 'name', 'New', 'email', 'new@example.com', 'phone', '010', 'address', 'Seoul', 'role', 'BUYER',
		'status', 'ACTIVE', 'balance', 0, 'metadata', NULL, 'erased_at', NULL)::text, 'a buyer, with nothing') FROM tap.new n;
SELECT is(tap.events('User', (n.data->>'id')::bigint), 'UserCreated', 'which an event tells') FROM tap.new n;
SELECT is(tap.met('buyer', '{"sub": "nobody new"}'), format('%1$s/%1$s', n.data->>'id'), 'and can go on at once') FROM tap.new n;
SELECT is(r.status, 200, 'a second time'), is(r.data::text, n.data::text, 'the same user, as it was'), is(r.headers ? 'Location', false, 'nothing was made')
FROM tap.new n CROSS JOIN LATERAL tap.http('buyer ' || (n.data->>'id'), 'sign_up', '{"name": "Other", "email": "other@example.com"}') r;
SELECT is(r.code, 'ALREADY_EXISTS', 'an e-mail that another has: ' || r.details), is(tap.met('buyer', '{"sub": "nobody thief"}'), 'UNAUTHENTICATED/nobody', 'which links nothing')
FROM tap.http('buyer thief', 'sign_up', '{"name": "Thief", "email": "LEE@example.com"}') r;
SELECT is((r.data->>'id')::int, 3, 'a seller is who it was') FROM (SELECT commerce.update_user(3, external_id => 'sol')) u, LATERAL tap.http('buyer 3', 'sign_up', '{"name": "x"}') r;
SELECT is(r.code, 'FORBIDDEN', 'nobody signs up to sell, or to run the shop: ' || r.details) FROM unnest('{seller new2,admin new2}'::text[]) c (caller) CROSS JOIN LATERAL tap.http(c.caller, 'sign_up', '{"name": "x"}') r;
SELECT is(r.code, 'UNAUTHENTICATED', c.caller) FROM unnest('{anon,anon new2,buyer}'::text[]) c (caller) CROSS JOIN LATERAL tap.http(c.caller, 'sign_up', '{"name": "x"}') r;
SELECT is(r.code, 'INVALID_REQUEST', format('%s: %s', left(b.body::text, 60), r.details))
FROM (VALUES ('{}'::jsonb), ('{"name": null}'), ('{"name": " "}'), ('{"name": 5}'), ('{"name": "x", "email": "x"}'), ('{"name": "x", "external_id": "y"}'), ('{"name": "x", "role": "ADMIN"}'), ('{"name": "x", "metadata": {}}'),
	('{"name": "x", "balance": 5}'), (jsonb_build_object('name', repeat('x', 201)))) b (body) CROSS JOIN LATERAL tap.http('buyer new2', 'sign_up', b.body) r;
SELECT is(r.code, 'INVALID_REQUEST', 'a subject of 201 characters: ' || r.details) FROM tap.http('buyer ' || repeat('x', 194), 'sign_up', '{"name": "x"}') r;
SELECT is(r.status, 201, 'one of 200') FROM tap.http('buyer ' || repeat('x', 193), 'sign_up', '{"name": "x"}') r;
SELECT is(count(*), 0::bigint, 'and nobody was made') FROM commerce.users u WHERE u.external_id = 'nobody new2';
SELECT is(r.code || r.details, 'FORBIDDEN{"role": "BUYER", "reason": "NOT_FOR_ROLE"}', 'an administrator with a buyer''s token does not change who signs in as him') FROM (SELECT commerce.update_user(5, external_id => 'ann')) u,
	(VALUES ('{"external_id": "thief"}'::jsonb), ('{"clear": ["external_id"]}')) b (body) CROSS JOIN LATERAL tap.http('buyer 5', 'update_user', b.body) r;
SELECT is(r.code, 'SUCCESS', 'but what else is his') FROM tap.http('buyer 5', 'update_user', '{"phone": "1"}') r;
-- erased, and back as somebody else
SELECT is((commerce.erase_user((n.data->>'id')::bigint)).status::text, 'WITHDRAWN', 'erased') FROM tap.new n;
SELECT is(tap.met('buyer', '{"sub": "nobody new"}'), 'UNAUTHENTICATED/nobody', 'the subject is nobody''s');
SELECT is(r.status, 201, 'signs up again'), isnt(r.data->>'id', n.data->>'id', 'as somebody new') FROM tap.new n, tap.http('buyer new', 'sign_up', '{"name": "New", "email": "new@example.com"}') r;

-- in SQL
SELECT throws_ok($$SELECT commerce.sign_up(NULL, 'x')$$, '22023', NULL, 'without an external_id'), throws_ok($$SELECT commerce.sign_up('', 'x')$$, '22023', NULL, 'with an empty one'),
	throws_ok($$SELECT commerce.sign_up('x', NULL)$$, '22023', NULL, 'without a name');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books hold');
SELECT * FROM finish();
