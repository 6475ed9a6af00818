-- Cells: which numbers a cell can have, the ids that it gives out, and who may make one.
-- role: postgres

SELECT no_plan();
SELECT is(commerce.cell_number(), 0, 'a shop is cell 0');
SELECT is(commerce.cell_of(id), cell, 'the cell of ' || id)
FROM (VALUES (1::bigint, 0), (999999999999, 0), (1000000000001, 1), (8999999999999999, 8999)) AS v (id, cell);
SELECT is(commerce.cell_of_sheet(('00000000-0000-4000-8000-00000000' || bits)::uuid), cell, 'the cell of a sheet that ends with ' || bits)
FROM (VALUES ('0000', 0), ('0001', 1), ('c001', 1), ('2327', 8999), ('2328', NULL)) AS v (bits, cell);

SELECT refuses(format('SELECT commerce.set_cell(%s)', number), 'INVALID_REQUEST', 'a cell cannot be ' || number) FROM unnest('{-1,9000}'::int[]) AS number;
SELECT refuses('SELECT commerce.admit_cell(' || number || ')', 'INVALID_REQUEST', 'nor admit ' || number) FROM unnest('{-1,0,9000}'::int[]) AS number;
SELECT refuses('SELECT commerce.admit_cell(1)', '55000', 'nor admit one before it has published the catalogue');
SELECT refuses($$SELECT commerce.join_cells('dbname=x')$$, '55000', 'nor is cell 0 in need of its own catalogue');
SELECT refuses('SET ROLE shop; ' || call, '42501', 'no application: ' || call)
FROM unnest('{SELECT commerce.set_cell(1),SELECT commerce.publish_catalogue()}'::text[]) AS call;
SELECT commerce.grant_app('api_admin') \g /dev/null
SELECT is((SELECT string_agg(p.proname, ' ' ORDER BY p.proname COLLATE "C") FROM pg_proc p
	WHERE p.pronamespace = 'commerce'::regnamespace AND has_function_privilege('api_admin', p.oid, 'EXECUTE')
	  AND p.proname = ANY ('{set_cell,publish_catalogue,admit_cell,join_cells,cell_number,cell_of,cell_of_sheet,reserve_user}')),
	'cell_number cell_of cell_of_sheet reserve_user', 'an application is granted what routes, not what makes cells');
SELECT commerce.revoke_app('api_admin') \g /dev/null

-- a new cell, at both ends of its range
SELECT lives_ok('SELECT commerce.set_cell(8999)', 'a new database becomes a cell');
SELECT is(commerce.cell_number(), 8999, 'it remembers');
SELECT refuses('SELECT commerce.set_cell(0)', 'INVALID_REQUEST', 'it stays that');
SELECT results_eq($$SELECT DISTINCT s.seqmin, s.seqmax FROM pg_sequence s JOIN commerce_private.id_columns c ON c.sequence = s.seqrelid$$,
	'VALUES (8999000000000001::bigint, 8999999999999999::bigint)', 'all sequences of ids have its range');
SELECT is((SELECT count(*) FROM commerce_private.id_columns)::int, 11, 'there are so many');
SELECT is(commerce.create_user('Kim'), 8999000000000001, 'the first user');
SELECT is(commerce.create_user('Lee'), 8999000000000002, 'the second');
-- as after a restore of rows that are newer than the sequence
SELECT setval('commerce.users_id_seq', 8999000000000001) \g /dev/null
SELECT commerce.set_cell(8999) \g /dev/null
SELECT is(commerce.create_user('Han'), 8999000000000003, 'set again, it goes on behind the highest id');
SELECT setval('commerce.users_id_seq', 8999000000000007, false) \g /dev/null
SELECT commerce.set_cell(8999) \g /dev/null
SELECT is(commerce.create_user('Oh'), 8999000000000007, 'or where the sequence is');
SELECT setval('commerce.users_id_seq', 8999999999999999) \g /dev/null
SELECT refuses($$SELECT commerce.create_user('One too many')$$, '2200H', 'no id is given out beyond its range');
SELECT setval('commerce.users_id_seq', 8999000000000007) \g /dev/null
INSERT INTO commerce.products (id, name, price) OVERRIDING SYSTEM VALUE VALUES (1, 'cup', 1000);
SELECT commerce_private.open_stock(1, 5, NULL, NULL) \g /dev/null
SELECT is(commerce.cell_of_sheet((commerce.create_order_sheet(8999000000000001, '[{"product_id":1,"quantity":1}]')).id), 8999, 'a sheet says the cell')
FROM generate_series(1, 3);
SELECT is(commerce.cell_of(id), 8999, 'an order too') FROM commerce.place_order(8999000000000001, '[{"product_id":1,"quantity":1}]', payment_method => 'EXTERNAL');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT refuses(call, 'FORBIDDEN', 'the catalogue is cell 0''s: ' || call)
FROM unnest(ARRAY[$$SELECT commerce.create_product(NULL, 'cup', 1000, 1)$$, $$SELECT commerce.reserve_user('a@example.com', NULL, 1)$$]) AS call;

-- the register of users, on cell 0
DELETE FROM commerce_private.cell;
SELECT is(commerce.reserve_user('sora@example.com', 'auth|sora', NULL), NULL::int, 'nobody is known yet');
SELECT is_empty('SELECT * FROM commerce_private.reservations', 'and who asks without a cell reserves nothing');
SELECT is(commerce.reserve_user('Sora@example.com', 'auth|sora', 3), 3, 'a new person comes to the cell that is named');
SELECT is(commerce.reserve_user(NULL, 'auth|sora', NULL), 3, 'where he is known to be then');
SELECT is(commerce.reserve_user('sora@example.com', 'auth|sora', 5), 3, 'and again');
SELECT is(commerce.reserve_user('sora@EXAMPLE.com', NULL, 5), 3, 'known by the e-mail');
SELECT is(commerce.reserve_user(NULL, 'auth|sora', 5), 3, 'known by the external id');
SELECT is(commerce.reserve_user('sora2@example.com', 'auth|sora', 5), 3, 'who has another e-mail now');
SELECT is(commerce.reserve_user('sora@example.com', 'auth|other', 5), 3, 'who has the same e-mail is sent where it is refused');
SELECT is(commerce.reserve_user('min@example.com', 'auth|min', 4), 4, 'somebody else');
SELECT refuses($$SELECT commerce.reserve_user('sora@example.com', 'auth|min', 4)$$, 'ALREADY_EXISTS', 'an e-mail of another cell');
SELECT is(commerce.create_user('Old', 'old@example.com', external_id => 'auth|old') > 0, true, 'a user whom the shop had before');
SELECT is(commerce.reserve_user('old@example.com', NULL, 4), 0, 'is in cell 0, by the e-mail');
SELECT is(commerce.reserve_user('sora@example.com', NULL, 5, unused_in => 3), 3, 'what nobody has may be about to be used');
UPDATE commerce_private.reservations SET at = now() - interval '1 day 1 second';
SELECT is(commerce.reserve_user('sora@example.com', NULL, 5), 3, 'after a day it is reserved still');
SELECT is(commerce.reserve_user('sora@example.com', NULL, 5, unused_in => 4), 3, 'whatever is not used elsewhere');
SELECT is(commerce.reserve_user('sora@example.com', NULL, 3), 3, 'who names the cell');
SELECT is(commerce.reserve_user('sora@example.com', NULL, 5, unused_in => 3), 3, 'reserves it anew');
UPDATE commerce_private.reservations SET at = now() - interval '1 day 1 second';
SELECT is(commerce.reserve_user('sora@example.com', NULL, 5, unused_in => 3), 5, 'then it is another cell''s, which asks for it');
SELECT is(commerce.reserve_user('sora@example.com', NULL, 3, unused_in => 5), 5, 'for a day, too');
SELECT refuses($$SELECT commerce.reserve_user('sora@example.com', 'auth|sora', 3)$$, 'ALREADY_EXISTS', 'the external id stays where it is');
SELECT is(commerce.reserve_user(NULL, 'auth|old', 4), 0, 'by the external id');
SELECT refuses($$SELECT commerce.reserve_user('old@example.com', 'auth|min', 4)$$, 'ALREADY_EXISTS', 'whose e-mail is taken for all');
SELECT refuses(call, 'INVALID_REQUEST', call) FROM unnest(ARRAY['SELECT commerce.reserve_user(NULL, NULL, 1)',
	$$SELECT commerce.reserve_user('a@b', NULL, 9000)$$, $$SELECT commerce.reserve_user('a', NULL, 1)$$,
	$$SELECT commerce.reserve_user('a@b', NULL, 1, unused_in => 9000)$$]) AS call;
SELECT is((SELECT count(*) FROM commerce_private.reservations r WHERE encode(r.key, 'escape') ~ 'example|auth')::int, 0, 'no name of anybody is in the register');

-- staff, as cell 0 has the others know them
INSERT INTO commerce_private.cell (number) VALUES (0);
SELECT commerce.create_user('Boss', 'boss@example.com', role => 'ADMIN') AS boss \gset
BEGIN;
SELECT commerce.update_user(:boss, email => 'chief@example.com'), commerce.set_user_status(:boss, 'SUSPENDED') \g /dev/null
COMMIT;
SELECT is((SELECT s.email || ' ' || s.status FROM commerce_private.staff s WHERE s.id = :boss), 'chief@example.com SUSPENDED', 'all that a transaction has changed');
SELECT * FROM finish();
