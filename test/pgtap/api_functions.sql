-- role: postgres
-- Every function of commerce_api, as every role: who is let in, what a request may say, and that no
-- answer is outside the table of errors. Tokens name users by external_id, without which nobody can sign up.

\setenv JWT_SUBJECT external_id
\ir api_helpers.psql
SELECT no_plan();

-- One caller for each role, whose user fits.
CREATE TABLE tap.callers (api_role text, caller text);
INSERT INTO tap.callers VALUES ('ANONYMOUS', 'anon'), ('BUYER', 'buyer 1'), ('SELLER', 'seller 3'), ('ADMIN', 'admin 5');

SELECT results_eq(
	$$SELECT e.name COLLATE "C" FROM commerce_private.api_endpoints e ORDER BY 1$$,
	$$SELECT p.proname::text COLLATE "C" FROM pg_proc p WHERE p.pronamespace = 'commerce_api'::regnamespace AND p.prosrc = 'commerce_api_call' ORDER BY 1$$,
	'every endpoint is a function, and every such function an endpoint');
SELECT is_empty(
	$$SELECT e.name, p.proname FROM commerce_private.api_endpoints e, pg_proc p
	  WHERE p.pronamespace = 'commerce_api'::regnamespace AND p.proname = e.name
		AND (NOT p.prosecdef OR p.provolatile <> 'v'
			 OR NOT e.reads AND p.proargtypes <> 'jsonb'::regtype::oid::text::oidvector)$$,
	'all are VOLATILE, so that none is left out of a HEAD, and what writes takes one jsonb');
SELECT set_eq($$SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'commerce_api'::regnamespace AND 'default_transaction_isolation=read committed' = ANY (p.proconfig)$$,
	'{erase_user,run_job}'::name[], 'PostgREST begins a transaction in READ COMMITTED for what needs it, whatever the role has');
SELECT is_empty(
	$$SELECT e.name FROM commerce_private.api_endpoints e JOIN pg_proc p ON p.oid = e.function::regproc
	  WHERE e.reads AND p.provolatile = 'v'$$,
	'what only reads calls nothing that is VOLATILE');

-- The third column of the contract: who has which function over REST. It changes only with the domain.
CREATE TABLE tap.promised (name text, roles text);
INSERT INTO tap.promised
SELECT n, p.roles FROM (VALUES
	('BUYER', 'sign_up charge_balance request_charge claim_coupon usable_coupons create_order_sheet place_order place_sheet_order retry_payment'),
	('BUYER,SELLER,ADMIN', 'update_user change_item_status cancel_order_item'),
	('BUYER,ADMIN', 'export_user get_balance balance_statement update_delivery cancel_order'),
	('SELLER,ADMIN', 'update_seller create_product update_product set_product_status create_promotion update_promotion end_promotion adjust_stock
		create_coupon update_coupon stop_coupon issue_coupon revoke_coupon dispatch_items change_shipment_status update_shipment complete_return
		complete_exchange sales_report'),
	('ADMIN', 'create_user find_user set_user_status erase_user create_seller confirm_charge adjust_balance expire_coupons confirm_payment
		return_payment report_refund expire_pending_orders refund_order refresh_popular_products import_user import_order import_coupon_issue
		schedule_jobs unschedule_jobs check_invariants')) p (roles, names)
CROSS JOIN LATERAL regexp_split_to_table(p.names, '\s+') n;
SELECT is((SELECT array_to_string(e.roles, ',') FROM commerce_private.api_endpoints e WHERE e.name = p.name), p.roles, format('%s is for %s', p.name, p.roles))
FROM tap.promised p;
-- keys come in the header: what takes one in SQL takes one here
SELECT is_empty($$SELECT e.name FROM commerce_private.api_endpoints e JOIN pg_proc f ON f.oid = e.function::regproc WHERE 'idempotency_key' = ANY (f.proargnames) AND NOT e.keyed$$, 'a function with a key takes it from the header');
SELECT is_empty($$SELECT a.endpoint FROM commerce_private.api_arguments a WHERE a.argument = 'idempotency_key' AND (a.asked OR a.source <> 'KEY')$$, 'and from nowhere else');

-- what is executed is found by name; the table that calls are described by says nothing else than the views, and is nobody's to write
SELECT is_empty(
	$$SELECT e.name, e.function FROM commerce_private.api_endpoints e
	  WHERE e.function::regproc <> coalesce(to_regproc('commerce_private.api_' || e.name), to_regproc('commerce.' || e.name), to_regproc('commerce_private.' || e.name))$$,
	'the function behind is found by its name');
SELECT is_empty(
	$$SELECT e.name FROM commerce_private.api_endpoints e LEFT JOIN commerce_private.api_calls c ON c.name = e.name
	  WHERE (c.roles, c.reads, c.keyed, c.result, c.completion, c.location) IS DISTINCT FROM (e.roles, e.reads, e.keyed, e.result, e.completion, e.location)
		 OR (SELECT jsonb_agg(jsonb_build_array(a.argument, a.source, a.asked, a.required) ORDER BY a.position) FROM commerce_private.api_arguments a WHERE a.endpoint = e.name)
			IS DISTINCT FROM (SELECT jsonb_agg(jsonb_build_array(a.argument, a.source, a.asked, a.required) ORDER BY a.n)
							  FROM ROWS FROM (unnest(c.arguments), unnest(c.sources), unnest(c.asked), unnest(c.required)) WITH ORDINALITY a (argument, source, asked, required, n))$$,
	'calls are described as the views say');
SELECT is((SELECT count(*) FROM commerce_private.api_calls), (SELECT count(*) FROM commerce_private.api_endpoints), 'and no more');
SELECT refuses(statement, 'FORBIDDEN') FROM unnest(ARRAY['DELETE FROM commerce_private.api_calls', 'TRUNCATE commerce_private.api_calls', 'UPDATE commerce_private.api_calls SET roles = ''{ANONYMOUS}''',
	'INSERT INTO commerce_private.api_calls SELECT * FROM commerce_private.api_calls WHERE false']) statement;

-- who is let in
SELECT is((tap.http(c.caller, e.name, e.example)).code, 'UNAUTHENTICATED', format('%s as %s', e.name, c.caller))
FROM commerce_private.api_endpoints e CROSS JOIN (VALUES ('anon'), ('anon 1'), ('buyer'), ('admin 999'), ('buyer x')) c (caller)
WHERE 'ANONYMOUS' <> ALL (e.roles) AND NOT (e.name = 'sign_up' AND c.caller IN ('buyer x', 'admin 999'));
SELECT is((tap.http(c.caller, e.name, e.example)).code, 'FORBIDDEN', format('%s as %s', e.name, c.caller))
FROM commerce_private.api_endpoints e JOIN tap.callers c ON c.api_role <> 'ANONYMOUS' AND c.api_role::commerce_private.api_role <> ALL (e.roles)
WHERE 'ANONYMOUS' <> ALL (e.roles);
SELECT is((tap.http(wrong.caller, e.name, e.example)).code, 'FORBIDDEN', format('%s with the role of %s', e.name, wrong.caller))
FROM commerce_private.api_endpoints e
CROSS JOIN (VALUES ('SELLER', 'seller 1'), ('SELLER', 'seller 5'), ('ADMIN', 'admin 3'), ('ADMIN', 'admin 1'), ('ADMIN', 'admin 6')) wrong (api_role, caller)
WHERE wrong.api_role::commerce_private.api_role = ANY (e.roles);
SELECT ok(r.status < 500 AND r.code NOT IN ('UNAUTHENTICATED', 'FORBIDDEN'),
		  format('%s as %s: %s %s', e.name, c.caller, r.code, r.details))
FROM commerce_private.api_endpoints e
JOIN (SELECT c.api_role, c.caller FROM tap.callers c
	  -- sellers and administrators buy too, with a buyer's token
	  UNION ALL VALUES ('BUYER', 'buyer 3'), ('BUYER', 'buyer 5')) c ON c.api_role::commerce_private.api_role = ANY (e.roles) OR 'ANONYMOUS' = ANY (e.roles)
CROSS JOIN LATERAL tap.http(c.caller, e.name, e.example) r;

-- what a request may say
CREATE TABLE tap.mine AS
	SELECT e.name, c.caller, e.example, e.reads, c.api_role FROM commerce_private.api_endpoints e
	JOIN tap.callers c ON c.api_role::commerce_private.api_role = CASE WHEN e.roles[1] = 'ANONYMOUS' THEN 'BUYER' ELSE e.roles[1] END;
SELECT is((tap.http(m.caller, m.name, body)).code, 'INVALID_REQUEST', format('%s: %s', m.name, coalesce(body::text, 'no body')))
FROM tap.mine m CROSS JOIN (VALUES ('[]'::jsonb), ('5'), ('"x"'), ('null'), ('[{}]'), (NULL), ('{"no such key": 1}'), ('{"USER_ID": 1}')) b (body)
WHERE NOT m.reads;
SELECT is((tap.http(m.caller, m.name, m.example || jsonb_build_object(a.argument, 1))).details::jsonb,
		  jsonb_build_object('argument', a.argument, 'reason', 'is not known'), format('%s: %s is not for the request to say', m.name, a.argument))
FROM tap.mine m JOIN commerce_private.api_arguments a ON a.endpoint = m.name
WHERE NOT m.reads AND (NOT a.asked OR (a.source = 'SELLER' AND m.api_role = 'SELLER') OR (a.source = 'OWNER' AND m.api_role <> 'ADMIN'));
SELECT is((tap.http(m.caller, m.name, b.body)).details::jsonb, jsonb_build_object('argument', a.argument, 'reason', 'is missing'), format('%s: %s', m.name, b.body))
FROM tap.mine m JOIN commerce_private.api_arguments a ON a.endpoint = m.name AND a.required AND a.source = 'BODY'
CROSS JOIN LATERAL (VALUES (m.example - a.argument), (m.example || jsonb_build_object(a.argument, NULL))) b (body)
WHERE NOT m.reads OR b.body ->> a.argument IS NOT NULL OR NOT b.body ? a.argument;
-- whose it is an administrator says, and nobody else
SELECT is((tap.http('admin 5', e.name, e.example)).details::jsonb, jsonb_build_object('argument', a.argument, 'reason', 'is missing'), format('%s: an administrator says whose', e.name))
FROM commerce_private.api_endpoints e JOIN commerce_private.api_arguments a ON a.endpoint = e.name AND a.source = 'OWNER';
SELECT is((tap.http(c.caller, e.name, e.example || jsonb_build_object(a.argument, '2'))).details::jsonb, jsonb_build_object('argument', a.argument, 'reason', 'is not known'), format('%s: %s does not', e.name, c.caller))
FROM commerce_private.api_endpoints e JOIN commerce_private.api_arguments a ON a.endpoint = e.name AND a.source = 'OWNER'
JOIN tap.callers c ON c.api_role::commerce_private.api_role = ANY (e.roles) AND c.api_role <> 'ADMIN';
-- how long stock is held without money is not a buyer's to say
SELECT is((tap.http('buyer 1', e.name, e.example || '{"pay_within": "1 day"}')).details::jsonb, '{"argument": "pay_within", "reason": "is not known"}', e.name || ' has no pay_within')
FROM commerce_private.api_endpoints e JOIN pg_proc f ON f.oid = e.function::regproc WHERE 'pay_within' = ANY (f.proargnames);
-- (what is JSON may be anything at this point; what it holds is the function's to judge)
SELECT is((tap.http(m.caller, m.name, m.example || jsonb_build_object(a.argument, v.value))).code, 'INVALID_REQUEST',
		  format('%s: %s = %s', m.name, a.argument, v.value))
FROM tap.mine m JOIN commerce_private.api_arguments a ON a.endpoint = m.name AND a.source = 'BODY'
CROSS JOIN (VALUES ('{}'::jsonb), ('[[]]'), ('1.5'), ('1e30'), ('"2026-13-45"'), ('"\t'' OR 1=1; --"'), ('true'), ('-9223372036854775809')) v (value)
WHERE NOT m.reads AND a.type <> 'jsonb'::regtype
  AND NOT (a.type = 'boolean'::regtype AND v.value = 'true') AND NOT (a.type = 'text'::regtype AND jsonb_typeof(v.value) = 'string');
SELECT is((tap.http(m.caller, m.name, m.example || jsonb_build_object(a.argument, v.value))).code, 'INVALID_REQUEST',
		  format('%s?%s=%s', m.name, a.argument, v.value))
FROM tap.mine m JOIN commerce_private.api_arguments a ON a.endpoint = m.name AND a.source = 'BODY'
CROSS JOIN (VALUES (''), ('1.5'), ('x'), ('1;drop'), (' 1'), ('9223372036854775808')) v (value)
WHERE m.reads AND a.type <> 'text'::regtype;

-- in a read-only transaction (PostgREST's GET) nothing that writes gets anywhere: PostgREST answers 405
CREATE FUNCTION tap.read_only(caller text, called text, body jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
BEGIN
	SET LOCAL transaction_read_only = on;
	SELECT r.sqlstate INTO state FROM tap.http(caller, called, body) r;
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = coalesce(state, 'none');
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
	RETURN SQLERRM;
END
$$;
SELECT is(tap.read_only(m.caller, m.name, m.example), '25006', m.name || ' refuses a read-only transaction') FROM tap.mine m WHERE NOT m.reads;
SELECT is(tap.read_only(m.caller, m.name, m.example) <> '25006', true, m.name || ' works in a read-only transaction') FROM tap.mine m WHERE m.reads;

-- without HTTP the same errors have their SQLSTATEs
SELECT throws_ok($$SELECT commerce_api.place_order('{}')$$, '28000', 'authentication is required', 'called by somebody that grant_api() does not know');
SET request.jwt.claims = '{"sub": "6"}';
SET ROLE api_buyer;
SELECT tap.throws_ok($$SELECT commerce_api.place_order('{"items": 5, "x": 1}')$$, '22023', NULL, 'a bad body in SQL');
SELECT tap.throws_ok($$SELECT commerce_api.charge_balance('{"amount": 5}')$$, '22023', NULL, 'a bad amount in SQL');
RESET ROLE;
RESET request.jwt.claims;
SELECT * FROM finish();
