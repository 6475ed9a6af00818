-- A function that writes is called once, or not at all.
BEGIN;
SELECT plan(21);
SELECT commerce.create_user('Once', 'once@example.com') AS u \gset
SELECT commerce.charge_balance(:u, 100000);
SELECT commerce.create_product(NULL, 'cup', 100, 10) AS p \gset
\set items '\'[{"product_id": ' :p ', "quantity": 1}]\''

SELECT throws_ok(format('SELECT (commerce.place_order(%s, %L)).*', :u, :items), '0A000',
	'place_order() would be called once for each column', 'all columns of a call are refused');
SELECT throws_ok(format('SELECT 1 + (commerce.place_order(%s, %L)).id, (commerce.place_order(%1$s, %2$L)).status', :u, :items), '0A000',
	NULL, 'and two, wherever they stand');
SELECT throws_ok(format('SELECT (commerce.place_order(u.id, %L)).* FROM commerce.users u WHERE u.id = %s', :items, :u), '0A000', NULL,
	'and of a call with columns of a table');
SELECT throws_ok(format('CREATE TABLE made AS SELECT (commerce.charge_balance(%s, 100)).*', :u), '0A000', NULL, 'and of what returns a record');
SELECT throws_ok(format('SELECT (commerce.place_order(%s, %L)).id WHERE (commerce.place_order(%1$s, %2$L)).status = ''PAID''', :u, :items), '0A000', NULL,
	'and of one column and another in a condition');
SELECT throws_ok(format('SELECT WHERE (commerce.place_order(%s, %L)).id > 0 AND (commerce.place_order(%1$s, %2$L)).status = ''PAID''', :u, :items), '0A000', NULL,
	'and of two in conditions');
CREATE TEMP TABLE taken (id bigint, status commerce.order_status);
SELECT throws_ok(format('INSERT INTO taken VALUES ((commerce.place_order(%s, %L)).id, (commerce.place_order(%1$s, %2$L)).status), (0, NULL)', :u, :items), '0A000', NULL,
	'and of two in a list of rows');
SELECT throws_ok(format('INSERT INTO taken VALUES (0) RETURNING (commerce.place_order(%s, %L)).*', :u, :items), '0A000', NULL, 'and of all columns in RETURNING');
SELECT throws_ok(format('SELECT count(*) FROM taken HAVING (commerce.place_order(%s, %L)).id > 0 AND (commerce.place_order(%1$s, %2$L)).status = ''PAID''', :u, :items),
	'0A000', NULL, 'and of two in HAVING');
SELECT throws_ok(format('SELECT FROM concat((commerce.place_order(%s, %L)).id, (commerce.place_order(%1$s, %2$L)).status)', :u, :items), '0A000', NULL, 'and of two in FROM');
SELECT is(commerce.available_stock(:p), 10::bigint, 'nothing was sold');

SELECT lives_ok(format('SELECT (commerce.place_order(%s, %L)).id', :u, :items), 'one column may be selected');
SELECT lives_ok(format('SELECT commerce.place_order(%s, %L)', :u, :items), 'and the row');
SELECT lives_ok(format('SELECT id, status FROM commerce.place_order(%s, %L)', :u, :items), 'and columns FROM a call');
SELECT lives_ok(format('SELECT (o).id, (o).status FROM (SELECT commerce.place_order(%s, %L) AS o) s', :u, :items), 'and columns of a call in a subquery');
SELECT is(commerce.available_stock(:p), 6::bigint, 'each of them sold once');
SELECT lives_ok(format('INSERT INTO taken (id) VALUES ((commerce.place_order(%s, %L)).id), ((commerce.place_order(%1$s, %2$L)).id)', :u, :items),
	'and a column of equal calls in two rows');
SELECT lives_ok(format('MERGE INTO taken t USING (SELECT 0) s(id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET id = (commerce.place_order(%s, %L)).id
	WHEN NOT MATCHED THEN INSERT (id) VALUES ((commerce.place_order(%1$s, %2$L)).id)', :u, :items), 'and in two actions of MERGE');
SELECT is(commerce.available_stock(:p), 3::bigint, 'each of these sold once, too');
SELECT is(count(DISTINCT o.id), 2::bigint, 'and each of equal rows, by a call of its own')
FROM (VALUES (:u, :items::jsonb), (:u, :items)) r (user_id, items), commerce.place_order(r.user_id, r.items) o;

SELECT is_empty($$
	SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
	WHERE p.pronamespace = 'commerce'::regnamespace AND p.provolatile = 'v' AND (t.typtype = 'c' OR t.typname = 'record')
		AND p.prosupport <> 'commerce_private.called_once(internal)'::regprocedure$$, 'every function that writes and returns a row has it');
SELECT * FROM finish();
ROLLBACK;
