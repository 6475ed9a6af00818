-- The prepaid balance: charging and reading it.

SELECT no_plan();
SELECT commerce.create_user('a', 'a@example.com') AS a \gset
SELECT commerce.create_user('b', 'b@example.com') AS b \gset

SELECT results_eq(format('SELECT * FROM commerce.get_balance(%s)', :a), format('VALUES (%s::bigint, 0::bigint)', :a), 'a new balance is 0');
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 100)', :a), format('VALUES (%s::bigint, 100::bigint)', :a), 'the least that can be charged is 100');
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 99999900)', :a), format('VALUES (%s::bigint, 100000000::bigint)', :a), 'the most is 99 999 900');
SELECT results_eq(format('SELECT * FROM commerce.get_balance(%s)', :a), format('VALUES (%s::bigint, 100000000::bigint)', :a), 'the balance is the sum of the charges');
SELECT results_eq(format('SELECT * FROM commerce.get_balance(%s)', :b), format('VALUES (%s::bigint, 0::bigint)', :b), 'of that user alone');
SELECT results_eq(format('SELECT kind::text, amount, balance_after, order_id FROM commerce.balance_entries WHERE user_id = %s ORDER BY number', :a),
	$$VALUES ('CHARGE', 100::bigint, 100::bigint, NULL::bigint), ('CHARGE', 99999900, 100000000, NULL)$$, 'every charge is an entry');
SELECT is(events('User', :a), 'UserCreated BalanceCharged BalanceCharged', 'and an event');
SELECT is(event_payload('User', :a, 'BalanceCharged') - 'charged_at',
	jsonb_build_object('user_id', :a, 'amount', 99999900, 'balance', 100000000), 'which says what was charged and what there is');

SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.charge_balance(%s, %s)', :a, amount), 'INVALID_REQUEST', 'to charge ' || amount)
FROM unnest(ARRAY['NULL', '0', '-1', '-100', '1', '99', '101', '150', '99999999', '100000000', '100000100',
	'9223372036854775807', '9223372036854775800', '-9223372036854775808', '-9223372036854775800']) AS amount;
SELECT refuses('SELECT commerce.charge_balance(NULL, 100)', 'INVALID_REQUEST', 'to charge nobody');
SELECT refuses(format('SELECT commerce.charge_balance(%s, 100)', id), 'ENTITY_NOT_FOUND', 'to charge user ' || id)
FROM unnest(ARRAY[0, -1, 999999, 9223372036854775807, -9223372036854775808]) AS id;
SELECT refuses('SELECT commerce.get_balance(NULL)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.get_balance(0)', 'ENTITY_NOT_FOUND');
SELECT refuses('SELECT commerce.get_balance(-9223372036854775808)', 'ENTITY_NOT_FOUND');
SELECT is(detail_of('SELECT commerce.charge_balance(999999, 100)')::jsonb, '{"entity": "user", "id": 999999}', 'the detail names who is not there');
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');

-- adjust_balance
SELECT commerce.create_user('Boss', 'boss@example.com', role => 'ADMIN') AS boss \gset
SELECT commerce.create_user('c', 'c@example.com') AS c \gset
SELECT results_eq(format('SELECT * FROM commerce.adjust_balance(%s, 555, ''welcome'', %s, ''k'')', :c, :boss), format('VALUES (%s::bigint, 555::bigint)', :c), 'a grant of any amount');
SELECT results_eq(format('SELECT * FROM commerce.adjust_balance(%s, -55, ''correction'')', :c), format('VALUES (%s::bigint, 500::bigint)', :c), 'what is taken off');
SELECT results_eq(format('SELECT * FROM commerce.adjust_balance(%s, 555, ''welcome'', %s, ''k'')', :c, :boss), format('VALUES (%s::bigint, 555::bigint)', :c), 'the same key is the same adjustment');
SELECT refuses(format('SELECT commerce.adjust_balance(%s, 555, ''another reason'', %s, ''k'')', :c, :boss), 'IDEMPOTENCY_KEY_REUSED', 'the key with another note');
SELECT results_eq(format('SELECT number, kind::text, amount, balance_after, reference FROM commerce.balance_entries WHERE user_id = %s ORDER BY number', :c),
	$$VALUES (1::bigint, 'ADJUST', 555::bigint, 555::bigint, 'welcome'), (2, 'ADJUST', -55, 500, 'correction')$$, 'each is an ADJUST entry with its reason');
SELECT is(event_payload('User', :c, 'BalanceAdjusted') - 'adjusted_at',
	jsonb_build_object('user_id', :c, 'amount', -55, 'balance', 500) || who('SYSTEM', note => 'correction'), 'and an event');
SELECT results_eq(format($$SELECT payload #>> '{actor,kind}', payload #>> '{actor,id}' FROM commerce.outbox WHERE type = 'BalanceAdjusted' AND aggregateid = '%s' ORDER BY key, position LIMIT 1$$, :c),
	format('VALUES (''ADMIN'', %L)', :boss), 'which says who');
SELECT commerce.set_user_status(:c, 'WITHDRAWN') \g /dev/null
SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.adjust_balance(%s, -501, ''pay-out'')', :c), 'BALANCE_NOT_ENOUGH', 'to pay out more than there is');
SELECT is(detail_of(format('SELECT commerce.adjust_balance(%s, -501, ''pay-out'')', :c))::jsonb, jsonb_build_object('user_id', :c, 'asked', 501, 'balance', 500), 'the detail says what there is');
SELECT refuses(format('SELECT commerce.adjust_balance(%s, 1, ''x'', %s)', :c, :a), 'FORBIDDEN', 'a buyer who adjusts');
SELECT refuses(format('SELECT commerce.adjust_balance(%s, 1, ''x'', %s)', :c, :c), 'FORBIDDEN', 'the user who adjusts his own');
SELECT refuses(format('SELECT commerce.adjust_balance(%s, 1, ''x'', 999999)', :c), 'FORBIDDEN', 'nobody who adjusts');
SELECT refuses(format('SELECT commerce.adjust_balance(%s, %s, ''x'')', :c, amount), 'INVALID_REQUEST', 'to adjust by ' || amount)
FROM unnest(ARRAY['NULL', '0', '1000000000001', '-1000000000001', '9223372036854775807', '-9223372036854775808']) AS amount;
SELECT refuses(format('SELECT commerce.adjust_balance(%s, 1, %L)', :c, note), 'INVALID_REQUEST', 'for no reason') FROM unnest(ARRAY[NULL, '', ' ']) AS note;
SELECT refuses('SELECT commerce.adjust_balance(NULL, 1, ''x'')', 'INVALID_REQUEST', 'nobody''s balance');
SELECT refuses('SELECT commerce.adjust_balance(999999, 1, ''x'')', 'ENTITY_NOT_FOUND', 'the balance of who is not there');
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');
SELECT results_eq(format('SELECT balance FROM commerce.adjust_balance(%s, -500, ''pay-out'')', :c), 'VALUES (0::bigint)', 'a withdrawn user is paid out');

-- balance_statement
SELECT results_eq(format('SELECT number, amount FROM commerce.balance_statement(%s)', :c), 'VALUES (3::bigint, -500::bigint), (2, -55), (1, 555)', 'a statement is newest first');
SELECT results_eq(format('SELECT number FROM commerce.balance_statement(%s, max_rows => 2)', :c), 'VALUES (3::bigint), (2)', 'as many as asked');
SELECT results_eq(format('SELECT number FROM commerce.balance_statement(%s, 2, 2)', :c), 'VALUES (1::bigint)', 'from the entry before');
SELECT is_empty(format('SELECT * FROM commerce.balance_statement(%s, 1)', :c), 'before the first there is nothing');
SELECT is_empty(format('SELECT * FROM commerce.balance_statement(%s)', :b), 'nor of who never had anything');
SELECT refuses('SELECT commerce.balance_statement(NULL)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.balance_statement(999999)', 'ENTITY_NOT_FOUND');
SELECT refuses(format('SELECT commerce.balance_statement(%s, max_rows => %s)', :c, n), 'INVALID_REQUEST', n || ' rows') FROM unnest(ARRAY['NULL', '0', '-1']) AS n;

-- Charges come and go with their transaction.
BEGIN;
SELECT is(balance, 100::bigint, 'charged in a transaction') FROM commerce.charge_balance(:b, 100);
SAVEPOINT s;
SELECT is(balance, 200::bigint, 'and in a subtransaction') FROM commerce.charge_balance(:b, 100);
ROLLBACK TO s;
SELECT is(balance, 100::bigint, 'rolled back to the savepoint') FROM commerce.get_balance(:b);
COMMIT;
SELECT is(balance, 100::bigint, 'kept by the commit') FROM commerce.get_balance(:b);
SELECT is(events('User', :b), 'UserCreated BalanceCharged', 'what was rolled back left no event');

-- Every isolation level charges; a read-only transaction does not.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is(balance, 200::bigint, 'REPEATABLE READ') FROM commerce.charge_balance(:b, 100);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT is(balance, 300::bigint, 'SERIALIZABLE') FROM commerce.charge_balance(:b, 100);
COMMIT;
BEGIN READ ONLY;
SELECT refuses(format('SELECT commerce.charge_balance(%s, 100)', :b), '25006', 'to charge in a read-only transaction');
SELECT is(balance, 300::bigint, 'which can read the balance') FROM commerce.get_balance(:b);
COMMIT;

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
