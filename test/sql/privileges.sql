-- Who may do what: nothing for PUBLIC, and what grant_app() grants.
\set SHOW_CONTEXT never

-- what PUBLIC may do: nothing. (Types may be named by everybody, as everywhere; the schema is closed.)
SELECT 'schema' AS kind, n.nspname::text AS name FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
WHERE n.nspname IN ('commerce', 'commerce_private') AND a.grantee = 0
UNION ALL SELECT 'function', p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND a.grantee = 0
UNION ALL SELECT 'relation', c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND a.grantee = 0
UNION ALL SELECT 'column', a.attrelid::regclass || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid, aclexplode(a.attacl) x
WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND x.grantee = 0
ORDER BY 1, 2;

CREATE ROLE regress_nobody;
CREATE ROLE "regress App" LOGIN;

-- what a role holds, in one line: schema, functions, relations, sequences
CREATE FUNCTION pg_temp.holds(role text) RETURNS text LANGUAGE sql AS $$
	SELECT format('schemas %s %s, functions %s, read %s, write %s, sequences %s',
		has_schema_privilege(role, 'commerce', 'USAGE, CREATE'), has_schema_privilege(role, 'commerce_private', 'USAGE, CREATE'),
		(SELECT count(*) FROM pg_proc p WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND has_function_privilege(role, p.oid, 'EXECUTE')),
		(SELECT count(*) FROM pg_class c WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
		 AND (has_table_privilege(role, c.oid, 'SELECT') OR has_any_column_privilege(role, c.oid, 'SELECT'))),
		(SELECT count(*) FROM pg_class c WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
		 AND (has_table_privilege(role, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR has_any_column_privilege(role, c.oid, 'INSERT, UPDATE, REFERENCES'))),
		(SELECT count(*) FROM pg_class c WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
		 AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(role, c.oid, 'USAGE, SELECT, UPDATE') END))
$$;
SELECT pg_temp.holds('regress_nobody');

SET ROLE regress_nobody;
SELECT commerce.get_balance(1);
SELECT commerce.place_order(1, '[{"product_id":1,"quantity":1}]');
SELECT * FROM commerce.users;
SELECT * FROM commerce.product_list;
SELECT commerce.grant_app('regress_nobody');
RESET ROLE;

-- the schemas alone open no function and no table
GRANT USAGE ON SCHEMA commerce, commerce_private TO regress_nobody;
SET ROLE regress_nobody;
SELECT commerce.get_balance(1);
SELECT commerce.check_invariants();
SELECT commerce_private.raise_error('FORBIDDEN');
SELECT * FROM commerce.users;
SELECT * FROM commerce.coupon_list;
RESET ROLE;
REVOKE USAGE ON SCHEMA commerce, commerce_private FROM regress_nobody;

-- a role that was granted INSERT needs none of our functions
BEGIN;
SELECT commerce.create_product(NULL, 'p', 100, 1) AS p \gset
GRANT USAGE ON SCHEMA commerce TO regress_nobody;
GRANT INSERT, SELECT ON commerce.stock_entries TO regress_nobody;
SET LOCAL ROLE regress_nobody;
INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES (:p, 1, 'ADJUST') RETURNING delta, xid::text = pg_current_xact_id()::text AS own;
ROLLBACK;

-- an application
SELECT commerce.grant_app('"regress App"');
SELECT commerce.grant_app('"regress App"');
-- may call these
SELECT p.proname FROM pg_proc p WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND has_function_privilege('regress App', p.oid, 'EXECUTE')
  AND p.proname IN ('create_user', 'create_seller', 'set_user_status', 'create_product', 'update_product', 'set_product_status', 'create_promotion',
	'adjust_stock', 'available_stock', 'charge_balance', 'get_balance', 'create_coupon', 'stop_coupon', 'claim_coupon', 'usable_coupons',
	'revoke_coupon', 'expire_coupons', 'place_order', 'popular_products', 'refresh_popular_products', 'check_invariants', 'error_codes', 'local_date',
	'purge_idempotency_keys', 'fold', 'run_job', 'schedule_jobs', 'unschedule_jobs', 'grant_app', 'revoke_app')
ORDER BY 1;
-- and of what is private only what its views call, and by no name
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'commerce_private'::regnamespace AND has_function_privilege('regress App', p.oid, 'EXECUTE')
ORDER BY p.proname;
SELECT has_schema_privilege('regress App', 'commerce_private', 'USAGE') AS may_name_them;
-- may read the tables and views of commerce, no other, and write nothing
SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
  AND has_table_privilege('regress App', c.oid, 'SELECT') <> (c.relnamespace = 'commerce'::regnamespace);
SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
  AND has_table_privilege('regress App', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER');
SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind = 'S'
  AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege('regress App', c.oid, 'SELECT, UPDATE, USAGE') END;
SELECT has_schema_privilege('regress App', 'commerce', 'CREATE') AS may_create, has_function_privilege('regress App', 'commerce.get_balance(bigint)', 'EXECUTE WITH GRANT OPTION') AS may_grant;

BEGIN;
SET LOCAL ROLE "regress App";
SELECT commerce.create_user('App', 'app@example.com') AS u \gset
SELECT commerce.create_product(NULL, 'p', 100, 1) AS p \gset
SELECT balance FROM commerce.charge_balance(:u, 1000);
SELECT status, payment_amount FROM commerce.place_order(:u, format('[{"product_id":%s,"quantity":1}]', :p)::jsonb);
SELECT stock, status FROM commerce.product_list WHERE id = :p;
-- every view, with the functions that the view calls
SELECT format('SELECT count(v) >= 0 AS %I FROM %s AS v', c.relname, c.oid::regclass) FROM pg_class c
WHERE c.relnamespace = 'commerce'::regnamespace AND c.relkind = 'v' AND has_table_privilege(c.oid, 'SELECT') ORDER BY c.relname \gexec
DO $$
DECLARE
	relation regclass;
	tables int := 0;
BEGIN
	FOR relation IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'commerce'::regnamespace AND c.relkind IN ('r', 'p') LOOP
		EXECUTE format('SELECT FROM %s LIMIT 1', relation);
		tables := tables + 1;
	END LOOP;
	ASSERT tables > 20;
END
$$;
SELECT commerce.refresh_popular_products() >= 0 AS refreshed;
SELECT * FROM commerce.check_invariants();
ROLLBACK;
SET ROLE "regress App";
SELECT count(*) FROM commerce.users WHERE name = 'App';
SELECT * FROM commerce_private.idempotency_keys;
UPDATE commerce.users SET balance = 1000000;
INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES (1, 1, 'ADJUST');
SELECT commerce_private.write_event('User', '1', 'UserCreated', '{}', '1');
SELECT commerce_private.run_job('fold');
SELECT commerce.grant_app('regress_nobody');
SET commerce.timezone = 'America/New_York';
SET commerce.auto_prepare = off;
SET commerce.payment_ttl = '1 day';
SET commerce.language = 'ko';
RESET commerce.language;
-- names of its own mislead no function of ours
CREATE TEMP TABLE users (id bigint, balance bigint, status text);
CREATE TEMP TABLE products (id bigint);
CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz';
CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS 'SELECT ''owned''';
SET search_path = pg_temp, pg_catalog;
BEGIN;
SELECT commerce.create_user('App', 'app@example.com') AS u \gset
SELECT commerce.create_product(NULL, 'p', 100, 1) AS p \gset
SELECT balance FROM commerce.charge_balance(:u, 1000);
SELECT status FROM commerce.place_order(:u, format('[{"product_id":%s,"quantity":1}]', :p)::jsonb);
SELECT stock, created_at IS NOT NULL FROM commerce.product_list WHERE id = :p;
ROLLBACK;
RESET search_path;
RESET ROLE;

SELECT commerce.grant_monitor('"regress App"');
SELECT commerce.revoke_app('"regress App"');
SELECT pg_temp.holds('regress App');
SELECT commerce.revoke_app('"regress App"');
SELECT commerce.grant_app(NULL);
SELECT commerce.revoke_app(NULL);
SELECT commerce.grant_app('regress_no_such_role');
SELECT commerce.grant_app('-');
SELECT commerce.revoke_app('-');
SELECT commerce.grant_app('4294967295');
SELECT commerce.revoke_app('4294967295');
SELECT commerce.grant_relay(NULL);
SELECT commerce.grant_relay('-');
SELECT commerce.grant_relay('4294967295');
SELECT commerce.grant_relay('"regress App"', NULL);
SELECT commerce.grant_monitor(NULL);
SELECT commerce.grant_monitor('-');
SELECT commerce.grant_api(NULL, 'regress_nobody', 'regress_nobody', 'regress_nobody');
SELECT commerce.revoke_api(NULL);
-- who lets REST in is told that charges are not paid, where they are not
CREATE ROLE regress_api_anon;
CREATE ROLE regress_api_buyer;
CREATE ROLE regress_api_seller;
CREATE ROLE regress_api_admin;
BEGIN;
SELECT commerce.grant_api('regress_api_anon', 'regress_api_buyer', 'regress_api_seller', 'regress_api_admin', 'regress_nobody');
SET LOCAL commerce.direct_charge = off;
SELECT commerce.grant_api('regress_api_anon', 'regress_api_buyer', 'regress_api_seller', 'regress_api_admin', 'regress_nobody');
ROLLBACK;
DROP ROLE regress_api_anon, regress_api_buyer, regress_api_seller, regress_api_admin;

DROP OWNED BY "regress App";
DROP ROLE "regress App", regress_nobody;
