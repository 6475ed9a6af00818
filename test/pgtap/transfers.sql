-- Units that move between cells: sent and received once, what other cells have, and who is short.
-- role: postgres

SELECT no_plan();
SELECT current_setting('shared_preload_libraries') LIKE '%commerce%' AS preloaded \gset
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim, commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT * FROM commerce.charge_balance(:kim, 10000000) \g /dev/null
SELECT commerce.create_product(NULL, 'cup', 100, 10) AS cup, commerce.create_product(NULL, 'pot', 100, 10) AS pot,
	commerce.create_coupon('ten', 'FIXED', 100, 10, valid_days => 7) AS ten \gset
CREATE FUNCTION pg_temp.buy(buyer bigint, product bigint, quantity bigint, method text DEFAULT 'BALANCE') RETURNS text LANGUAGE sql
AS $$SELECT format('SELECT commerce.place_order(%s, ''[{"product_id":%s,"quantity":%s}]'', payment_method => %L)', buyer, product, quantity, method)$$;
CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql AS $$SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid$$;
CREATE FUNCTION pg_temp.send(n int, kind text, resource bigint, units bigint, cell int DEFAULT 1) RETURNS bigint LANGUAGE sql
AS $$SELECT commerce.send_units(pg_temp.id(n), kind::commerce.unit_kind, resource, units, cell)$$;
CREATE FUNCTION pg_temp.receive(n int, kind text, resource bigint, units bigint, cell int DEFAULT 1) RETURNS boolean LANGUAGE sql
AS $$SELECT commerce.receive_units(pg_temp.id(n), kind::commerce.unit_kind, resource, units, cell)$$;

-- sent
SELECT is(pg_temp.send(1, 'STOCK', :cup, 3), 3::bigint, 'so many units are sent');
SELECT is(pg_temp.send(1, 'STOCK', :cup, 3), 3::bigint, 'again, that is what was sent');
SELECT is(pg_temp.send(1, 'STOCK', :cup, 5), 3::bigint, 'also when more were wanted');
SELECT refuses(format('SELECT pg_temp.send(1, %L, %s, %s, %s)', kind, id, units, cell), 'IDEMPOTENCY_KEY_REUSED', 'the id for something else: ' || why)
FROM (VALUES ('another product', 'STOCK', :pot, 3, 1), ('another kind', 'QUOTA', :cup, 3, 1), ('another cell', 'STOCK', :cup, 3, 2), ('fewer units', 'STOCK', :cup, 2, 1)) AS v (why, kind, id, units, cell);
SELECT is(commerce.available_stock(:cup), 7::bigint, 'they are not here any more');
SELECT results_eq(format('SELECT delta, reason::text FROM commerce.stock_entries WHERE product_id = %s ORDER BY xid', :cup),
	$$VALUES (10::bigint, 'INITIAL'), (-3, 'TRANSFER')$$, 'which the journal says');
SELECT is(pg_temp.send(2, 'STOCK', :cup, 100, 2), 7::bigint, 'who wants more gets what is there');
SELECT is(pg_temp.send(3, 'STOCK', :cup, 1), 0::bigint, 'then there is nothing');
SELECT is_empty('SELECT FROM commerce.transfers_out WHERE id = pg_temp.id(3)', 'and nothing is written');
SELECT is(pg_temp.send(4, 'QUOTA', :ten, 4), 4::bigint, 'quota goes the same way');
SELECT is((SELECT remaining FROM commerce.coupon_list WHERE id = :ten), 6::bigint, 'and is gone here');
SELECT results_eq('SELECT id, kind::text, resource_id, units, to_cell FROM commerce.open_transfers ORDER BY id',
	format('VALUES (pg_temp.id(1), ''STOCK'', %s::bigint, 3::bigint, 1), (pg_temp.id(2), ''STOCK'', %1$s, 7, 2), (pg_temp.id(4), ''QUOTA'', %s, 4, 1)', :cup, :ten), 'they are on their way');
INSERT INTO commerce_private.cell (number) VALUES (0);
UPDATE commerce.transfers_out SET at = now() - interval '1 hour' WHERE id = pg_temp.id(2);
SELECT results_eq($$SELECT name, value BETWEEN 3600 AND 7200 OR value = 3 FROM commerce.metrics('cells') ORDER BY name$$,
	$$VALUES ('commerce_open_transfers', true), ('commerce_open_transfers_oldest_seconds', true)$$, 'as metrics say');
DELETE FROM commerce_private.cell;
SELECT ok(commerce.confirm_transfer(pg_temp.id(1)), 'until they are known to be there');
SELECT ok(NOT commerce.confirm_transfer(pg_temp.id(1)), 'which is noted once');
SELECT results_eq('SELECT count(*) FROM commerce.open_transfers', 'VALUES (2::bigint)', 'then it is not open');

-- received
SELECT ok(pg_temp.receive(11, 'STOCK', :cup, 2), 'units come');
SELECT ok(NOT pg_temp.receive(11, 'STOCK', :cup, 2), 'once');
SELECT is(commerce.available_stock(:cup), 2::bigint, 'and are here');
SELECT refuses(format('SELECT pg_temp.receive(11, %L, %s, %s, %s)', kind, id, units, cell), code, 'the id for something else: ' || why)
FROM (VALUES ('another product', 'STOCK', :pot, 2, 1, 'IDEMPOTENCY_KEY_REUSED'), ('another kind', 'QUOTA', :cup, 2, 1, 'IDEMPOTENCY_KEY_REUSED'),
	('another cell', 'STOCK', :cup, 2, 2, 'IDEMPOTENCY_KEY_REUSED'), ('fewer units', 'STOCK', :cup, 1, 1, 'IDEMPOTENCY_KEY_REUSED'),
	('more units', 'STOCK', :cup, 3, 1, 'INVALID_REQUEST')) AS v (why, kind, id, units, cell, code);
SELECT ok(pg_temp.receive(1, 'STOCK', :cup, 1, 3), 'an id that was sent is another one when it comes');
SELECT ok(pg_temp.receive(12, 'QUOTA', :ten, 1), 'quota comes, too');
SELECT is((SELECT remaining FROM commerce.coupon_list WHERE id = :ten), 7::bigint, 'and is here');
SELECT lives_ok(pg_temp.buy(:kim, :cup, 3), 'what came can be sold');
BEGIN;
SELECT is(pg_temp.send(5, 'STOCK', :pot, 4), 4::bigint, 'a transfer');
SELECT ok(pg_temp.receive(13, 'STOCK', :pot, 2), 'there and back');
SELECT is(pg_temp.send(6, 'STOCK', :pot, 9), 8::bigint, 'in one transaction, what came can be sent on');
ROLLBACK;
SELECT is(commerce.available_stock(:pot), 10::bigint, 'is undone whole');
SELECT results_eq('SELECT kind::text, resource_id, available, made, sent, received, open FROM commerce.cell_books()',
	format('VALUES (''STOCK'', %s::bigint, 0::bigint, 7::bigint, 10::bigint, 3::bigint, 7::bigint), (''QUOTA'', %s, 7, 10, 4, 1, 4)', :cup, :ten), 'what a proof over all cells needs');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');

-- the archive keeps what moved apart: a proof over all cells asks for it
UPDATE commerce.stock_entries SET at = at - interval '1 year' WHERE product_id = :cup;
SELECT fold_all() \g /dev/null
SELECT cmp_ok(commerce_private.fold_stock_entries(:cup, now() - interval '100 days', 100), '>=', 4, 'old entries are folded');
SELECT results_eq(format('SELECT reason::text, delta, xid FROM commerce.stock_entries WHERE product_id = %s AND order_item_id IS NULL ORDER BY 1', :cup),
	$$VALUES ('OPENING', 10::bigint, 0::bigint), ('TRANSFER', -7, 0)$$, 'to one, and one of what moved');
SELECT is(commerce_private.fold_stock_entries(:cup, now() - interval '100 days', 100), 0, 'once');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');

-- overdue orders make way, as many as there are
SELECT * FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":4}]', :pot)::jsonb, payment_method => 'EXTERNAL') \gset held_
SELECT * FROM commerce.place_order(:lee, format('[{"product_id":%s,"quantity":5}]', :pot)::jsonb, payment_method => 'EXTERNAL') \gset kept_
UPDATE commerce.orders SET expires_at = now() - interval '1 s' WHERE id = :held_id;
SELECT is(pg_temp.send(7, 'STOCK', :pot, 1), 1::bigint, 'what is there is enough');
SELECT is((SELECT status::text FROM commerce.orders WHERE id = :held_id), 'PENDING_PAYMENT', 'nobody makes way for that');
SELECT is(pg_temp.send(8, 'STOCK', :pot, 100), 4::bigint, 'what an overdue order held is sent');
SELECT results_eq(format('SELECT status::text FROM commerce.orders WHERE id IN (%s, %s) ORDER BY id', :held_id, :kept_id), $$VALUES ('CANCELLED'), ('PENDING_PAYMENT')$$, 'the other one keeps its units');

-- what is asked for and cannot be
SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.%s(%L, %L, %s, %s, %s)', function, id, kind, resource, units, cell), code, format('%s: %s', function, why))
FROM unnest('{send_units,receive_units}'::text[]) AS function,
	(VALUES ('no id', NULL, 'STOCK', :cup::text, '1', '1', 'INVALID_REQUEST'), ('no kind', pg_temp.id(20), NULL, :cup::text, '1', '1', 'INVALID_REQUEST'),
	('no product', pg_temp.id(20), 'STOCK', 'NULL', '1', '1', 'INVALID_REQUEST'), ('no units', pg_temp.id(20), 'STOCK', :cup::text, 'NULL', '1', 'INVALID_REQUEST'),
	('0 units', pg_temp.id(20), 'STOCK', :cup::text, '0', '1', 'INVALID_REQUEST'), ('fewer than none', pg_temp.id(20), 'QUOTA', :ten::text, '-1', '1', 'INVALID_REQUEST'),
	('more than can be', pg_temp.id(20), 'STOCK', :cup::text, '1000000000001', '1', 'INVALID_REQUEST'), ('this cell', pg_temp.id(20), 'STOCK', :cup::text, '1', '0', 'INVALID_REQUEST'),
	('no cell', pg_temp.id(20), 'STOCK', :cup::text, '1', 'NULL', 'INVALID_REQUEST'), ('cell -1', pg_temp.id(20), 'STOCK', :cup::text, '1', '-1', 'INVALID_REQUEST'),
	('cell 9000', pg_temp.id(20), 'STOCK', :cup::text, '1', '9000', 'INVALID_REQUEST'), ('no such product', pg_temp.id(20), 'STOCK', '999', '1', '1', 'ENTITY_NOT_FOUND'),
	('no such coupon', pg_temp.id(20), 'QUOTA', '999', '1', '1', 'ENTITY_NOT_FOUND')) AS v (why, id, kind, resource, units, cell, code);
SELECT refuses('SELECT commerce.confirm_transfer(NULL)', 'INVALID_REQUEST', 'to confirm nothing');
SELECT refuses('SELECT commerce.confirm_transfer(pg_temp.id(999))', 'ENTITY_NOT_FOUND', 'to confirm what was not sent');
SELECT refuses(format('SELECT commerce.set_elsewhere(%s)', arguments), 'INVALID_REQUEST', 'set_elsewhere: ' || arguments)
FROM unnest(ARRAY[$$NULL, '{1}', '{1}'$$, $$'STOCK', NULL, '{1}'$$, $$'STOCK', '{1}', NULL$$, $$'STOCK', '{1}', '{1,2}'$$, $$'STOCK', '{NULL}', '{1}'$$,
	$$'STOCK', '{1}', '{NULL}'$$, $$'QUOTA', '{1}', '{-1}'$$, $$'STOCK', '{{1,2},{3,4}}', '{{1,2},{3,4}}'$$]) AS arguments;
SELECT lives_ok($$SELECT commerce.set_elsewhere('QUOTA', '{}', '{}')$$, 'of nothing');
SELECT refuses(format('SELECT * FROM commerce.wait_for_wants(%s)', timeout), 'INVALID_REQUEST', 'wait_for_wants: ' || timeout)
FROM unnest(ARRAY['NULL', $$'-1 s'$$, $$'61 s'$$, $$'2 days'$$]) AS timeout;
SELECT refuses(format('SELECT commerce.transfers_with(%s)', arguments), 'INVALID_REQUEST', 'transfers_with: ' || arguments) FROM unnest(ARRAY['NULL', '1, NULL']) AS arguments;
SELECT refuses(format('SELECT * FROM commerce.reconcile_transfers(%L)', books), 'INVALID_REQUEST', 'reconcile_transfers: ' || coalesce(books, 'NULL'))
FROM unnest(ARRAY[NULL, 'null', '[]', '7', '{}', '{"cell": 1, "with": 0}', '{"cell": 1, "with": 2, "sent": [], "received": []}', '{"cell": "1", "with": 0, "sent": [], "received": []}',
	'{"cell": 1, "with": 0, "sent": {}, "received": []}', '{"cell": 0, "with": 0, "sent": [], "received": []}', '{"cell": 9000, "with": 0, "sent": [], "received": []}',
	'{"cell": 1e30, "with": 0, "sent": [], "received": []}', '{"cell": 1, "with": 0, "sent": [], "received": [{}]}', '{"cell": 1, "with": 0, "sent": [7], "received": []}',
	'{"cell": 1, "with": 0, "sent": [{"id": "x"}], "received": []}', '{"cell": 1, "with": 0, "sent": [], "received": [{"id": "00000000-0000-4000-8000-000000000077", "kind": "STOCK", "resource_id": 1, "units": 1e30}]}']) AS books;
SELECT is_empty($$SELECT * FROM commerce.reconcile_transfers('{"cell": 1, "with": 0, "sent": [], "received": []}')$$, 'where nothing was lost nothing is done');
BEGIN READ ONLY;
SELECT refuses(call, '25006', 'in a read-only transaction: ' || call)
FROM unnest(ARRAY[format('SELECT pg_temp.send(21, %L, %s, 1)', 'STOCK', :pot), format('SELECT pg_temp.receive(21, %L, %s, 1)', 'STOCK', :pot), 'SELECT commerce.confirm_transfer(pg_temp.id(2))']) AS call;
ROLLBACK;
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');

-- who is short: waits for units of other cells when they may have some, and asks for them. What they are said to have
-- counts for a second: so it is said with the call.
CREATE FUNCTION pg_temp.told(kind text, resource bigint, units bigint, call text) RETURNS text LANGUAGE sql
AS $$SELECT format('SELECT commerce.set_elsewhere(%L, ARRAY[%s]::bigint[], ARRAY[%s]::bigint[]); %s', kind, resource, units, call)$$;
SET commerce.cell_wait = '10ms';
CREATE FUNCTION pg_temp.short() RETURNS text LANGUAGE sql AS $$SELECT CASE WHEN current_setting('shared_preload_libraries') LIKE '%commerce%' THEN 'SERVICE_BUSY' ELSE 'STOCK_NOT_ENOUGH' END$$;
SELECT commerce.set_product_status(:pot, 'ON_SALE') \g /dev/null
SELECT is(commerce.available_stock(:pot), 0::bigint, 'nothing is left here');
SELECT refuses(pg_temp.buy(:kim, :pot, 2), pg_temp.short(), 'to order what other cells may have');
SELECT refuses(format('SELECT commerce.adjust_stock(%s, -3)', :pot), pg_temp.short(), 'to take it off');
SELECT results_eq($$SELECT kind::text, resource_id, wanted, available FROM commerce.wait_for_wants('0')$$,
	format($$SELECT 'STOCK', %s::bigint, 3::bigint, 0::bigint WHERE %L$$, :pot, :'preloaded'), 'the mover is told, of the most that was asked for at a time');
SELECT is_empty($$SELECT FROM commerce.wait_for_wants('1 ms')$$, 'once');
SELECT commerce.set_elsewhere('STOCK', ARRAY[:pot]::bigint[], '{5}') \g /dev/null
SELECT is((SELECT stock FROM commerce.product_list WHERE id = :pot), CASE WHEN :'preloaded' THEN 5 ELSE 0 END::bigint, 'the catalogue shows what other cells have');
SELECT is(commerce.available_stock(:pot), CASE WHEN :'preloaded' THEN 5 ELSE 0 END::bigint, 'and so does the stock');
SELECT is((SELECT status::text FROM commerce.product_list WHERE id = :pot), CASE WHEN :'preloaded' THEN 'ON_SALE' ELSE 'SOLD_OUT' END, 'so it is on sale');
SELECT books() AS before \gset
SELECT is(detail_of(pg_temp.told('STOCK', :pot, 2, pg_temp.buy(:kim, :pot, 7)))::jsonb - 'index', jsonb_build_object('product_id', :pot, 'asked', 7, 'available', CASE WHEN :'preloaded' THEN 2 ELSE 0 END),
	'more than all cells have is refused, with how many there are');
SELECT is_empty($$SELECT FROM commerce.wait_for_wants('0')$$, 'nobody is asked for that');
SELECT refuses(pg_temp.told('STOCK', :pot, 0, pg_temp.buy(:kim, :pot, 1)), 'STOCK_NOT_ENOUGH', 'nothing is left in any cell');
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');

-- in cell 0 of several, of which nothing was ever sent or came: another cell may have put it in stock
BEGIN;
INSERT INTO commerce_private.cell (number) VALUES (0);
SELECT commerce.create_product(NULL, 'dish', 100, 0) AS dish \gset
SELECT refuses(pg_temp.buy(:kim, :dish, 1), pg_temp.short(), 'to order what only other cells may ever have had');
ROLLBACK;
SELECT * FROM commerce.wait_for_wants('0') \g /dev/null

SELECT ok(pg_temp.receive(32, 'STOCK', :pot, 4, 1), 'units come');
SELECT is(pg_temp.send(33, 'STOCK', :pot, 4, 2), 4::bigint, 'and go');
SELECT refuses(pg_temp.buy(:kim, :pot, 1), pg_temp.short(), 'what went a moment ago is not taken to be gone');
SELECT * FROM commerce.wait_for_wants('0') \g /dev/null

-- quota: claims, and a lower quantity
SELECT is(pg_temp.send(30, 'QUOTA', :ten, 7, 2), 7::bigint, 'all of a coupon goes');
CREATE FUNCTION pg_temp.gone() RETURNS text LANGUAGE sql AS $$SELECT CASE WHEN current_setting('shared_preload_libraries') LIKE '%commerce%' THEN 'SERVICE_BUSY' ELSE 'COUPON_SOLD_OUT' END$$;
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :ten), pg_temp.gone(), 'to claim what other cells may have');
SELECT refuses(format('SELECT commerce.update_coupon(%s, quantity => 6)', :ten), CASE WHEN :'preloaded' THEN 'SERVICE_BUSY' ELSE 'INVALID_REQUEST' END, 'to lower what other cells may have');
SELECT results_eq($$SELECT kind::text, resource_id, wanted, available FROM commerce.wait_for_wants('0')$$,
	format($$SELECT 'QUOTA', %s::bigint, 4::bigint, 0::bigint WHERE %L$$, :ten, :'preloaded'), 'the mover is told');
SELECT commerce.set_elsewhere('QUOTA', ARRAY[:ten]::bigint[], '{3}') \g /dev/null
SELECT is((SELECT remaining FROM commerce.coupon_list WHERE id = :ten), CASE WHEN :'preloaded' THEN 3 ELSE 0 END::bigint, 'what other cells have can be claimed');
SELECT is((detail_of(pg_temp.told('QUOTA', :ten, 3, format('SELECT commerce.update_coupon(%s, quantity => 6)', :ten)))::jsonb->>'issued')::int, CASE WHEN :'preloaded' THEN 7 ELSE 10 END, 'what they do not have was issued');
SELECT refuses(pg_temp.told('QUOTA', :ten, 0, format('SELECT commerce.claim_coupon(%s, %s)', :kim, :ten)), 'COUPON_SOLD_OUT', 'nothing is left in any cell');
SELECT ok(pg_temp.receive(31, 'QUOTA', :ten, 4, 2), 'what comes back');
SELECT lives_ok(format('SELECT commerce.update_coupon(%s, quantity => 7)', :ten), 'can be taken off');
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :ten), 'and claimed');
BEGIN;
SELECT refuses(format('UPDATE commerce.coupons SET quantity = 6 WHERE id = %s', :ten), 'INVALID_REQUEST', 'by hand it is not lowered by what other cells have');
ROLLBACK;
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');

-- who may
SELECT commerce.grant_mover('api_admin') \g /dev/null
SELECT is((SELECT string_agg(p.proname, ' ' ORDER BY p.proname COLLATE "C") FROM pg_proc p
		   WHERE p.pronamespace = 'commerce'::regnamespace AND has_function_privilege('api_admin', p.oid, 'EXECUTE')),
	'cell_books cell_number confirm_transfer receive_units send_units set_elsewhere wait_for_wants', 'the mover may call these');
SET ROLE api_admin;
SELECT lives_ok('SELECT FROM commerce.open_transfers', 'and see what is open');
SELECT lives_ok('SELECT FROM commerce.allotments', 'and what is here');
RESET ROLE;
CREATE FUNCTION pg_temp.plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		plan := plan || line || chr(10);
	END LOOP;
	RETURN plan;
END
$$;
SELECT ok(pg_temp.plan('SELECT resource_id, available FROM commerce.allotments') ~ 'stock_entries' AND
	pg_temp.plan('SELECT kind, resource_id, taken FROM commerce.allotments WHERE taken IS NOT NULL') !~ 'stock_entries|quota_entries|coupon_issues|order_items',
	'who asks for what was taken only reads no journal');
SELECT refuses('SET ROLE api_admin; SELECT FROM commerce.users', '42501', 'nothing else');
SELECT commerce.revoke_app('api_admin') \g /dev/null
SELECT is((SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'commerce'::regnamespace AND has_function_privilege('api_admin', p.oid, 'EXECUTE')), 0::bigint, 'it is taken back');
SELECT commerce.grant_app('api_admin') \g /dev/null
SELECT is_empty($$SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'commerce'::regnamespace AND has_function_privilege('api_admin', p.oid, 'EXECUTE')
	AND p.proname = ANY ('{confirm_transfer,receive_units,send_units,set_elsewhere,wait_for_wants,transfers_with,reconcile_transfers,grant_mover}')$$, 'an application may call none of them');
SELECT commerce.revoke_app('api_admin') \g /dev/null
SELECT refuses('SELECT commerce.grant_mover(NULL)', 'INVALID_REQUEST', 'to grant it to nobody');
SELECT * FROM finish();
