-- role: postgres
-- Every verb on every table and view of both schemas as every role, and whose rows each sees: through the
-- views, and by direct SQL where a DBA has let the roles into schema commerce.

\ir api_helpers.psql
SELECT no_plan();

-- something of everybody's: buyers 1 and 2 buy from sellers 1 and 2 with a coupon, and both have a sheet
SELECT commerce.claim_coupon(u, 1), commerce.place_order(u, jsonb_build_array(jsonb_build_object('product_id', 1, 'quantity', 1),
	jsonb_build_object('product_id', 3, 'quantity', 1)), ARRAY[u]::bigint[]) FROM generate_series(1, 2) u \g /dev/null
SELECT commerce.dispatch_items(ARRAY[i.id], actor => 'ADMIN') FROM commerce.order_items i JOIN commerce.orders o ON o.id = i.order_id
WHERE (o.user_id, i.seller_id) IN ((1, 1), (2, 2)) \g /dev/null
INSERT INTO commerce.order_sheets (user_id, coupon_issue_ids, items_total, item_discount_total, order_discount, shipping_discount, shipping_total, payment_amount, expires_at)
SELECT u, '{}', 5000, 0, 0, 0, 0, 5000, now() + interval '1 hour' FROM generate_series(1, 2) u;
INSERT INTO commerce.order_sheet_items
SELECT id, 1, 3, 2, 'cap', 1, 5000, 0, 5000, 5000, 0, 0, 0, NULL, 1 FROM commerce.order_sheets;
INSERT INTO commerce.popular_products VALUES (1, 3, 2, commerce_private.local_date(), now()), (2, 1, 2, commerce_private.local_date(), now());

SELECT commerce.update_product(id, category => 'kitchen') FROM unnest('{1,2,5}'::bigint[]) id \g /dev/null

CREATE TABLE tap.callers (api_role commerce_private.api_role, caller text);
INSERT INTO tap.callers VALUES ('ANONYMOUS', 'anon'), ('BUYER', 'buyer 1'), ('SELLER', 'seller 3'), ('ADMIN', 'admin 5');

-- nothing of commerce can be named, and nothing of commerce_api written
SELECT is(tap.rows_for(c.caller, q.query), '42501', format('%s: %s', c.caller, q.query))
FROM tap.callers c CROSS JOIN pg_class t
CROSS JOIN LATERAL (VALUES
	(format('SELECT FROM %s', t.oid::regclass)),
	(format('INSERT INTO %s DEFAULT VALUES', t.oid::regclass)),
	(format('UPDATE %s SET %I = NULL', t.oid::regclass, coalesce((SELECT attname FROM pg_attribute WHERE attrelid = t.oid AND attnum > 0 ORDER BY attnum DESC LIMIT 1), 'x'))),
	(format('DELETE FROM %s', t.oid::regclass)),
	(format('TRUNCATE %s', t.oid::regclass))) q (query)
WHERE t.relkind IN ('r', 'p', 'v') AND t.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace);
SELECT is(tap.rows_for(c.caller, q.query), '42501', format('%s: %s', c.caller, q.query))
FROM tap.callers c CROSS JOIN pg_class t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN LATERAL (VALUES
	(format('INSERT INTO %s (%I) VALUES (NULL)', t.oid::regclass, a.attname)),
	(format('UPDATE %s SET %I = NULL', t.oid::regclass, a.attname)),
	(format('DELETE FROM %s WHERE %I IS NULL', t.oid::regclass, a.attname))) q (query)
WHERE t.relkind IN ('r', 'p', 'v', 'm', 'f') AND t.relnamespace = 'commerce_api'::regnamespace;
SELECT throws_ok(q.query, '42501', NULL, 'the owner: ' || q.query)
FROM (VALUES ('UPDATE commerce_api.users SET name = NULL'), ('DELETE FROM commerce_api.products')) q (query);
SELECT is(tap.rows_for(c.caller, format('SELECT %s', f.oid::regprocedure)), '42501', format('%s: %s', c.caller, f.oid::regprocedure))
FROM tap.callers c CROSS JOIN pg_proc f WHERE f.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND f.pronargs = 0 AND f.prorettype <> 'trigger'::regtype;

-- what each role can read, row by row
CREATE TABLE tap.expected (view text, caller text, rows text);
\copy tap.expected FROM stdin WITH (DELIMITER ' ')
order_item_transitions anon ALL
order_item_transitions admin_5 ALL
products anon 4
products buyer_1 4
products seller_3 4
products admin_5 4
my_products anon 42501
my_products buyer_1 42501
my_products seller_3 3
my_products seller_4 1
my_products seller_1 0
my_products admin_5 5
my_products admin_6 0
promotions anon 2
promotions buyer_1 2
categories anon 1
categories buyer_1 1
categories seller_3 1
categories admin_5 1
promotions seller_3 1
promotions admin_5 2
stock_entries anon 42501
stock_entries buyer_1 42501
stock_entries seller_3 5
stock_entries admin_5 9
quota_entries anon 42501
quota_entries buyer_1 42501
quota_entries seller_3 1
quota_entries admin_5 4
quota_entries admin_6 0
sellers anon 2
sellers buyer_1 2
sellers seller_3 2
sellers admin_5 2
popular_products anon 2
popular_products buyer_1 2
popular_products seller_3 2
popular_products admin_5 2
coupons anon 4
coupons buyer_1 4
coupons seller_3 4
coupons admin_5 4
coupon_issues anon 42501
coupon_issues buyer_1 1
coupon_issues buyer 0
coupon_issues seller_3 42501
coupon_issues admin_5 2
coupon_issues admin_6 0
coupon_issues admin_1 0
users anon 42501
users buyer_1 1
users buyer 0
users buyer_999 0
users seller_3 1
users admin_5 6
users admin_6 0
balance_entries anon 42501
balance_entries buyer_1 2
balance_entries seller_3 42501
balance_entries admin_5 4
orders anon 42501
orders buyer_1 1
orders buyer 0
orders seller_3 42501
orders admin_5 2
orders admin_1 0
seller_orders anon 42501
seller_orders buyer_1 42501
seller_orders seller_3 2
seller_orders seller_1 0
seller_orders admin_5 42501
shipments anon 42501
shipments buyer_1 1
shipments buyer_2 1
shipments buyer 0
shipments seller_3 1
shipments seller_4 1
shipments admin_5 2
shipments admin_6 0
order_items anon 42501
order_items buyer_1 2
order_items buyer 0
order_items seller_3 2
order_items seller_1 0
order_items admin_5 4
order_item_events anon 42501
order_item_events buyer_1 5
order_item_events seller_3 5
order_item_events admin_5 10
order_coupons anon 42501
order_coupons buyer_1 1
order_coupons seller_3 42501
order_coupons admin_5 2
payments anon 42501
payments buyer_1 1
payments seller_3 42501
payments admin_5 2
order_sheets anon 42501
order_sheets buyer_1 1
order_sheets seller_3 42501
order_sheets admin_5 2
order_sheet_items anon 42501
order_sheet_items buyer_1 1
order_sheet_items seller_3 42501
order_sheet_items admin_5 2
job_status anon 42501
job_status buyer_1 42501
job_status seller_3 42501
job_status admin_6 0
subscriptions anon 42501
subscriptions buyer_1 42501
subscriptions seller_3 42501
subscriptions admin_5 1
subscriptions admin_6 0
conversion_by_hour anon 42501
conversion_by_hour buyer_1 42501
conversion_by_hour seller_3 42501
conversion_by_hour admin_5 1
conversion_by_hour admin_6 0
conversion_by_minute anon 42501
conversion_by_minute buyer_1 42501
conversion_by_minute seller_3 42501
conversion_by_minute admin_5 1
conversion_by_minute admin_6 0
dead_letters anon 42501
dead_letters buyer_1 42501
dead_letters seller_3 42501
dead_letters admin_5 0
outbox_segments anon 42501
outbox_segments buyer_1 42501
outbox_segments seller_3 42501
outbox_segments admin_5 1
outbox_segments admin_6 0
\.
UPDATE tap.expected SET caller = replace(caller, '_', ' ');
UPDATE tap.expected SET rows = (SELECT count(*) FROM commerce.order_item_transitions) WHERE rows = 'ALL';
SELECT is(tap.rows_for(e.caller, format('SELECT FROM commerce_api.%I', e.view)), e.rows, format('%s: %s', e.caller, e.view))
FROM tap.expected e;
SELECT is_empty(
	$$SELECT relname FROM pg_class v WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v'
	  AND NOT EXISTS (SELECT FROM tap.expected e WHERE e.view = v.relname)$$, 'no view is left out here');
SELECT is_empty(
	$$SELECT relname FROM pg_class v WHERE v.relnamespace = 'commerce_api'::regnamespace AND v.relkind = 'v'
	  AND 'security_invoker=true' <> ALL (coalesce(v.reloptions, '{}'))$$, 'every view runs with its caller''s rights');
SELECT is_empty(
	$$SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	  WHERE c.relnamespace IN ('commerce_api'::regnamespace, 'commerce'::regnamespace) AND c.relkind = 'v' AND c.relname <> 'horizon'
		AND (a.attname = ANY (commerce_private.api_internal()) OR a.attname = 'mark')$$, 'no view shows what is ours alone');

-- whose rows: other users' cannot be asked for, by whatever the query says
SELECT is(tap.rows_for('buyer 1', format('SELECT FROM commerce_api.%I WHERE user_id <> 1', v.view)), '0', v.view || ' of others')
FROM (VALUES ('orders'), ('coupon_issues'), ('balance_entries'), ('order_sheets')) v (view);
SELECT is(tap.rows_for('seller 3', 'SELECT FROM commerce_api.order_items WHERE seller_id IS DISTINCT FROM 1'), '0', 'items of another seller');
SELECT is(tap.rows_for('anon', $$SELECT FROM commerce_api.products WHERE id = 5$$), '0', 'a discontinued product');
SELECT is(tap.rows_for('seller 3', $$SELECT FROM commerce_api.my_products WHERE id = 5 AND status = 'DISCONTINUED'$$), '1', 'a discontinued product of one''s own');

-- of an order a seller sees where it goes, and the seller's own lines
SELECT is(tap.rows_for('seller 3', $$SELECT FROM commerce_api.seller_orders WHERE recipient_name IN ('Kim', 'Lee') AND jsonb_array_length(items) = 1
	AND items->0->>'seller_id' = '1' AND NOT items->0 ? 'limited_user_id'$$), '2', 'a seller''s lines of two orders, and their recipients');
SELECT is_empty($$SELECT a.attname FROM pg_attribute a WHERE a.attrelid = 'commerce_api.seller_orders'::regclass AND a.attnum > 0 AND a.attname !~ '^(id|created_at|recipient_.*|to_send|asked|items)$'$$,
	'and nothing else of them');

-- row security by itself: a DBA has opened the schema, and given privileges on the tables
GRANT USAGE ON SCHEMA commerce TO api_anon, api_buyer, api_seller, api_admin;
SELECT is(tap.rows_for('buyer 1', 'SELECT FROM commerce.orders'), '1', 'direct SQL: own orders');
SELECT is(tap.rows_for('buyer', 'SELECT FROM commerce.orders'), '0', 'direct SQL: no user, no orders');
SELECT is(tap.rows_for('seller 3', 'SELECT FROM commerce.order_item_events'), '5', 'direct SQL: a seller''s history');
SELECT is(tap.rows_for('admin 6', 'SELECT FROM commerce.users'), '0', 'direct SQL: a suspended administrator');
SELECT is(tap.rows_for(c.caller, q.query), '42501', format('direct SQL: %s: %s', c.caller, q.query))
FROM tap.callers c CROSS JOIN (VALUES
	('SELECT FROM commerce_private.idempotency_keys'), ('SELECT FROM commerce.outbox'), ('SELECT FROM commerce_private.stock'),
	('SELECT commerce.create_user(''x'', ''x@example.com'')'), ('SELECT commerce.place_order(2, ''[]'')'), ('SELECT commerce_private.write_event(''a'', ''b'', ''c'', ''{}'', ''0'')'),
	('DELETE FROM commerce.orders'), ('UPDATE commerce.users SET balance = 0')) q (query);
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA commerce TO api_buyer;
SELECT is(tap.rows_for('buyer 1', $$UPDATE commerce.users SET name = 'x' WHERE id = 2$$), '0', 'row security: cannot write another user');
SELECT is(tap.rows_for('buyer 1', $$DELETE FROM commerce.coupon_issues WHERE user_id = 2$$), '0', 'row security: cannot delete another''s coupon');
SELECT is(tap.rows_for('buyer 1', $$INSERT INTO commerce.order_coupons VALUES (2, 1, 5)$$), '42501', 'row security: cannot insert for another');

CREATE FUNCTION tap.policies_of(role name) RETURNS SETOF pg_policy LANGUAGE sql AS $$
	SELECT * FROM pg_policy p WHERE p.polroles @> ARRAY[(SELECT r.oid FROM pg_roles r WHERE r.rolname = policies_of.role)]
$$;
CREATE FUNCTION tap.policy_of(role name) RETURNS name LANGUAGE sql AS $$SELECT polname FROM tap.policies_of(policy_of.role) LIMIT 1$$;

-- a role with privileges and without its policy, as after a restore, sees nothing
SELECT format('DROP POLICY %I ON commerce.orders', tap.policy_of('api_buyer')) \gexec
SELECT is(tap.rows_for('buyer 1', 'SELECT FROM commerce_api.orders'), '0', 'no policy, no rows');
SELECT is_empty(
	$$SELECT a.relation FROM commerce_private.api_relations a JOIN pg_class c ON c.oid = format('commerce.%I', a.relation)::regclass
	  WHERE c.relkind = 'r' AND (a.condition IS NOT NULL) <> c.relrowsecurity$$, 'what has conditions has row security');

-- other roles and the extension's own functions are as before
CREATE ROLE api_test_reporting;
GRANT USAGE ON SCHEMA commerce TO api_test_reporting;
GRANT SELECT ON commerce.orders TO api_test_reporting;
SET ROLE api_test_reporting;
SELECT tap.is((SELECT count(*) FROM commerce.orders)::int, 2, 'a role that is not of the API sees what it was granted');
RESET ROLE;
REVOKE ALL ON commerce.orders FROM api_test_reporting;
REVOKE ALL ON SCHEMA commerce FROM api_test_reporting;
DROP ROLE api_test_reporting;

-- and back
SELECT lives_ok($$SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin')$$, 'grant_api() again');
SELECT is(tap.rows_for('buyer 1', 'SELECT FROM commerce_api.orders'), '1', 'and all is as it was');
SELECT is((SELECT count(*) FROM tap.policies_of('api_buyer'))::int,
		  (SELECT count(*) FROM commerce_private.api_relations WHERE api_role = 'BUYER' AND condition IS NOT NULL)::int, 'each policy once');

-- a second set, whose names differ in their ends only
CREATE ROLE api_test_tenant_europe_west_api_storefront_web_role_anon;
CREATE ROLE api_test_tenant_europe_west_api_storefront_web_role_buyer;
CREATE ROLE api_test_tenant_europe_west_api_storefront_web_role_seller;
CREATE ROLE api_test_tenant_europe_west_api_storefront_web_role_admin;
CREATE TABLE tap.tenant AS SELECT 'api_test_tenant_europe_west_api_storefront_web_role_' || r AS role FROM unnest('{anon,buyer,seller,admin}'::text[]) r;
SELECT lives_ok(format('SELECT commerce.grant_api(%s)', string_agg(quote_literal(role), ', ')), 'long names') FROM tap.tenant;
SELECT is((SELECT count(*) FROM tap.policies_of(role))::int,
		  (SELECT count(*) FROM commerce_private.api_relations a WHERE a.api_role = r.api_role AND a.condition IS NOT NULL)::int, role || ' has its policies')
FROM tap.tenant JOIN commerce_private.api_roles r USING (role);
SELECT lives_ok(format('SELECT commerce.revoke_api(%L)', role), 'revoke_api ' || role) FROM tap.tenant WHERE role LIKE '%buyer';
SELECT is((SELECT count(*) FROM tap.policies_of(role))::int = 0, role LIKE '%buyer', role || ': only its own policies are gone') FROM tap.tenant;
-- and roles that were dropped without revoke_api()
SELECT format('DROP OWNED BY %I', role) FROM tap.tenant \gexec
SELECT format('DROP ROLE %I', role) FROM tap.tenant \gexec
SELECT lives_ok(format('SELECT commerce.revoke_api(%L)', role), 'revoke_api of a dropped role') FROM tap.tenant WHERE role NOT LIKE '%buyer';
SELECT is_empty('SELECT role FROM commerce_private.api_roles JOIN tap.tenant USING (role)', 'nothing is left of them');

SELECT throws_ok($$SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'no such role')$$, 'SH404', NULL, 'an unknown role');
SELECT throws_ok($$SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_seller')$$, '22023', NULL, 'a role twice');
SELECT lives_ok(format('SELECT commerce.revoke_api(%L)', r), 'revoke_api ' || r) FROM unnest('{api_anon,api_buyer,api_seller,api_admin}'::text[]) r;
SELECT is_empty($$SELECT p.oid::regprocedure, a.grantee::regrole FROM pg_proc p, aclexplode(p.proacl) a WHERE p.pronamespace = 'commerce_api'::regnamespace AND a.grantee <> p.proowner$$,
	'with the last of them goes what the role that connects had');
SELECT throws_ok($$SELECT commerce.revoke_api('api_anon')$$, 'SH404', NULL, 'revoke_api() of what was not granted');
SELECT is_empty($$SELECT FROM pg_policy WHERE polname NOT IN ('commerce_as_granted', 'commerce_guard')$$, 'no policy of a role is left');
REVOKE ALL ON SCHEMA commerce FROM api_anon, api_buyer, api_seller, api_admin;
SELECT is_empty(
	$$SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid IN ('api_anon'::regrole, 'api_buyer'::regrole, 'api_seller'::regrole, 'api_admin'::regrole)
	  AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())$$, 'the roles could be dropped');
SELECT is((tap.http('buyer 1', 'get_balance')).sqlstate, '42501', 'and let nobody in');
SELECT * FROM finish();
