-- Every function, each argument in turn NULL and at its extremes: an error of the table or an answer, never an
-- internal error, and never PostgreSQL's own complaint. All of it is rolled back.

SELECT no_plan();
SET client_min_messages = error;
SELECT commerce.create_user('Kim', 'kim@example.com') AS u \gset
SELECT commerce.create_user('Potter', 'potter@example.com', role => 'SELLER') AS p \gset
SELECT commerce.create_seller(:p, 'Kiln', '1') \g /dev/null
SELECT commerce.create_product(1, 'cup', 1000, 100) \g /dev/null
SELECT commerce.create_coupon('c', 'FIXED', 100, 10, valid_days => 1) \g /dev/null
SELECT commerce.charge_balance(:u, 1000000) \g /dev/null
SELECT commerce.claim_coupon(:u, 1) \g /dev/null
SELECT commerce.place_order(:u, '[{"product_id":1,"quantity":2}]') \g /dev/null
SELECT commerce.place_order(:u, '[{"product_id":1,"quantity":2}]', payment_method => 'EXTERNAL') \g /dev/null

-- values of a type as SQL, the first of them an ordinary one
CREATE FUNCTION pg_temp.values_of(type oid) RETURNS text[] LANGUAGE sql AS $$
	SELECT CASE
		WHEN type = 'bigint'::regtype THEN ARRAY['1', 'NULL', '0', '-1', '2', '9223372036854775807', '-9223372036854775808']
		WHEN type = 'int'::regtype THEN ARRAY['1', 'NULL', '0', '-1', '2147483647', '-2147483648']
		WHEN type = 'text'::regtype THEN ARRAY['''x''', 'NULL', '''''', ''' ''', 'repeat(''가'', 300)', 'repeat(md5(''x''), 4000)', 'E''a\nb\x01"''''\\''']
		WHEN type = 'boolean'::regtype THEN ARRAY['true', 'false', 'NULL']
		WHEN type = 'jsonb'::regtype THEN ARRAY['''[{"product_id":1,"quantity":1}]''', 'NULL', '''null''', '''[]''', '''{}''', '''7''', '''[{"product_id":1e99,"quantity":1}]''']
		WHEN type = 'bigint[]'::regtype THEN ARRAY['''{}''', 'NULL', '''{NULL}''', '''{1}''', '''{-1,0,9223372036854775807}''', '''{{1},{2}}''']
		WHEN type = 'text[]'::regtype THEN ARRAY['''{OrderCreated}''', 'NULL', '''{}''', '''{NULL}''', '''{"",x}''', '''{{a},{b}}''']
		WHEN type = 'timestamptz'::regtype THEN ARRAY['now()', 'NULL', '''infinity''', '''-infinity''', '''4713-01-01 BC''', '''294276-12-31''']
		WHEN type = 'interval'::regtype THEN ARRAY['''1 day''', 'NULL', '''-1 day''', '''178000000 years''']
		WHEN type = 'date'::regtype THEN ARRAY['current_date', 'NULL', '''infinity''', '''-infinity''', '''4713-01-01 BC''', '''5874897-12-31''']
		WHEN type = 'bytea'::regtype THEN ARRAY['''{"order_id": 1, "succeeded": true, "provider_event_id": "x"}''', 'NULL', '''''', '''\x00ff''', '''{}''', '''[]''',
			'''{"data": null}''', '''{"order_id": 1e99}''', 'convert_to(repeat(''['', 60000), ''UTF8'')']
		WHEN type = 'uuid'::regtype THEN ARRAY['''00000000-0000-0000-0000-000000000000''', 'NULL']
		WHEN (SELECT t.typtype = 'e' FROM pg_type t WHERE t.oid = type)
			THEN (SELECT array_agg(quote_literal(e.enumlabel) ORDER BY e.enumsortorder) || 'NULL'::text FROM pg_enum e WHERE e.enumtypid = type)
	END
$$;
CREATE TEMP TABLE call AS
WITH argument AS (
	SELECT p.oid, p.proname, p.pronamespace::regnamespace AS schema, a.n, a.name, pg_temp.values_of(a.type) AS vs, a.n > p.pronargs - p.pronargdefaults AS optional
	FROM pg_proc p, unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames, coalesce(p.proargmodes, array_fill('i'::"char", ARRAY[p.pronargs])))
		WITH ORDINALITY AS a (type, name, mode, n)
	WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND a.mode IN ('i', 'b') AND has_function_privilege('shop', p.oid, 'EXECUTE')
	  AND p.proname NOT IN ('grant_app', 'revoke_app', 'grant_relay', 'grant_monitor', 'grant_mover', 'set_cell', 'publish_catalogue', 'admit_cell', 'join_cells', 'router_sql', 'grant_api', 'revoke_api', 'format_position')
)
SELECT f.proname, format('SELECT * FROM %s.%I(%s)', f.schema, f.proname, (
		-- optional arguments stand by their defaults, others by their ordinary value
		SELECT string_agg(format('%I => %s', o.name, CASE WHEN o.n = f.n THEN v ELSE o.vs[1] END), ', ' ORDER BY o.n)
		FROM argument o WHERE o.oid = f.oid AND (o.n = f.n OR NOT o.optional))) AS statement
FROM argument f, unnest(f.vs) AS v
UNION
SELECT proname, format('SELECT * FROM %s.%I(%s)', schema, proname, string_agg(format('%I => NULL', name), ', ' ORDER BY n)) FROM argument GROUP BY oid, proname, schema;
SELECT is_empty('SELECT DISTINCT proname FROM call WHERE statement IS NULL', 'every type of argument has values');
SELECT cmp_ok(count(*), '>', 300::bigint, 'there are many calls') FROM call;

CREATE FUNCTION pg_temp.state_of(statement text, OUT state text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE EXCEPTION USING ERRCODE = 'OK000';
EXCEPTION WHEN OTHERS THEN
	state := SQLSTATE;
	message := SQLERRM;
END
$$;
SELECT books() AS before \gset
CREATE TEMP TABLE result AS SELECT c.*, s.state, s.message FROM call c, LATERAL pg_temp.state_of(c.statement) s;
SELECT is_empty($$SELECT left(statement, 150), state, left(message, 150) FROM result
	WHERE state NOT IN (SELECT "sqlstate" FROM commerce.error_codes() WHERE code <> 'INTERNAL_SERVER_ERROR') AND state NOT IN ('OK000', '55000')$$,
	'every answer is one of the table');
SELECT is(books(), :'before'::jsonb, 'and nothing has changed');
SELECT ok(bool_or(state = 'OK000') AND bool_or(state = '22023') AND bool_or(state = 'SH404'), 'some succeed, some are refused') FROM result;

-- The same over HTTP: a face for PostgREST, with a status of the table
SELECT set_config('request.method', 'POST', false) \g /dev/null
CREATE TEMP TABLE http_result AS SELECT c.*, s.state, s.message FROM call c, LATERAL pg_temp.state_of(c.statement) s;
SELECT set_config('request.method', '', false) \g /dev/null
SELECT is_empty($$SELECT left(r.statement, 150), r.state, h.state, left(h.message, 150) FROM result r JOIN http_result h USING (statement)
	WHERE NOT CASE WHEN r.state IN ('OK000', '55000') THEN h.state = r.state
				   ELSE h.state = 'PGRST' AND h.message::jsonb ->> 'code' = ANY (ARRAY(SELECT e.code FROM commerce.error_codes() e WHERE e."sqlstate" = r.state)) END$$,
	'over HTTP every error is the same one');

-- What was refused holds nothing back: all that is left can be had.
SELECT is((SELECT remaining FROM commerce.coupon_list WHERE id = 1), 9::bigint, 'nine coupons');
SELECT lives_ok(format($$SELECT commerce.place_order(%s, '[{"product_id":1,"quantity":96}]')$$, :u), 'the last 96 of 100');
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":1,"quantity":1}]')$$, :u), 'STOCK_NOT_ENOUGH', 'and not one more');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
