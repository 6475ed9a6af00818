-- Users and sellers: what may be created, what is refused, what a status means.

SELECT no_plan();

-- create_user
SELECT commerce.create_user('김민지', 'minji@example.com') AS minji \gset
SELECT is(u.*, ROW(:minji, NULL, '김민지', 'minji@example.com', NULL, 0, NULL, 'BUYER', 'ACTIVE', NULL, NULL, u.created_at, u.updated_at, 0, u.event_key)::commerce.users,
	'a user begins as an ACTIVE BUYER with an empty balance')
FROM commerce.users u WHERE id = :minji;
SELECT commerce.create_user(role => 'SELLER', email => 'Potter@Example.com', name => 'Potter', phone => '010-1', address => 'Icheon') AS potter \gset
SELECT results_eq(
	format($$SELECT phone, address, role::text FROM commerce.users WHERE id = %s$$, :potter),
	$$VALUES ('010-1', 'Icheon', 'SELLER')$$,
	'arguments go where their names say');
SELECT is(events('User', :minji), 'UserCreated', 'creating a user writes UserCreated');
SELECT is(event_payload('User', :minji, 'UserCreated') - 'created_at',
	jsonb_build_object('user_id', :minji, 'name', '김민지', 'email', 'minji@example.com', 'phone', NULL,
		'address', NULL, 'role', 'BUYER', 'status', 'ACTIVE'),
	'which carries the user');

SELECT refuses($$SELECT commerce.create_user('x', 'minji@example.com')$$, 'ALREADY_EXISTS', 'an email that is taken');
SELECT refuses($$SELECT commerce.create_user('x', 'MINJI@example.COM')$$, 'ALREADY_EXISTS', 'an email that is taken, in capitals');
SELECT refuses($$SELECT commerce.create_user(NULL, 'a@example.com')$$, 'INVALID_REQUEST', 'no name');
SELECT refuses($$SELECT commerce.create_user('', 'a@example.com')$$, 'INVALID_REQUEST', 'an empty name');
SELECT refuses($$SELECT commerce.create_user('   ', 'a@example.com')$$, 'INVALID_REQUEST', 'a name of spaces');
SELECT refuses(format('SELECT commerce.create_user(%L, %L)', 'x', email), 'INVALID_REQUEST', format('email %s', to_json(email)))
FROM unnest(ARRAY[NULL, '', 'a', '@', 'a@', '@b', 'a@b@c', 'a b@c', E'a@b\n', 'a@ b']) AS email;
SELECT refuses($$SELECT commerce.create_user('x', 'a@example.com', role => NULL)$$, 'INVALID_REQUEST', 'no role');
SELECT refuses(format('SELECT commerce.create_user(%L, %L)', 'x', string_agg(md5(i::text), '') || '@example.com'),
	'INVALID_REQUEST', 'an email of 32 KB')
FROM generate_series(1, 1000) i;
SELECT lives_ok(format('SELECT commerce.create_user(%L, %L)', repeat('가', 200), 'long@example.com'), 'a name of 200 characters');
SELECT lives_ok(format('SELECT commerce.create_user(%L, %L)', 'x', repeat('a', 64) || '@' || repeat('b', 189)),
	'the longest email there is, of 254 characters');

-- create_seller
SELECT commerce.create_seller(:potter, 'Kiln & Co', '123-45-67890', '02-1234', 'Icheon 1', 'tableware') AS kiln \gset
SELECT results_eq(
	format('SELECT user_id, business_name, registration_number, cs_phone, address, category FROM commerce.sellers WHERE id = %s', :kiln),
	format($$VALUES (%s::bigint, 'Kiln & Co', '123-45-67890', '02-1234', 'Icheon 1', 'tableware')$$, :potter),
	'a seller is stored as given');
SELECT refuses(format($$SELECT commerce.create_seller(%s, 'Again', '999')$$, :potter), 'ALREADY_EXISTS', 'a second business of one user');
SELECT refuses(format($$SELECT commerce.create_seller(%s, 'B', '1')$$, :minji), 'INVALID_REQUEST', 'a BUYER as seller');
SELECT commerce.create_user('Weaver', 'weaver@example.com', role => 'SELLER') AS weaver \gset
SELECT refuses(format($$SELECT commerce.create_seller(%s, 'B', '123-45-67890')$$, :weaver), 'ALREADY_EXISTS', 'a registration number that is taken');
SELECT refuses($$SELECT commerce.create_seller(NULL, 'B', '1')$$, 'INVALID_REQUEST', 'a seller without a user');
SELECT refuses(format($$SELECT commerce.create_seller(%s, NULL, '1')$$, :weaver), 'INVALID_REQUEST', 'no business name');
SELECT refuses(format($$SELECT commerce.create_seller(%s, ' ', '1')$$, :weaver), 'INVALID_REQUEST', 'a blank business name');
SELECT refuses(format($$SELECT commerce.create_seller(%s, 'B', NULL)$$, :weaver), 'INVALID_REQUEST', 'no registration number');
SELECT refuses(format($$SELECT commerce.create_seller(%s, 'B', '')$$, :weaver), 'INVALID_REQUEST', 'an empty registration number');
SELECT refuses(format('SELECT commerce.create_seller(%s, %L, %L)', :weaver, 'B', string_agg(md5(i::text), '')),
	'INVALID_REQUEST', 'a registration number of 32 KB')
FROM generate_series(1, 1000) i;
SELECT refuses(format($$SELECT commerce.create_seller(%s, 'B', '1')$$, id), 'ENTITY_NOT_FOUND', 'seller of user ' || id)
FROM unnest(ARRAY[0, -1, 999999, 9223372036854775807, -9223372036854775808]) AS id;
SELECT is(detail_of($$SELECT commerce.create_seller(999999, 'B', '1')$$)::jsonb, '{"entity": "user", "id": 999999}', 'the detail names entity and id');

-- set_user_status
SELECT is((commerce.set_user_status(:minji, 'SUSPENDED')).status, 'SUSPENDED', 'set_user_status returns the changed row');
SELECT is((SELECT status FROM commerce.users WHERE id = :minji), 'SUSPENDED', 'and changes it');
SELECT is((commerce.set_user_status(:minji, 'ACTIVE')).status, 'ACTIVE', 'a suspension ends');
SELECT refuses('SELECT commerce.set_user_status(NULL, ''ACTIVE'')', 'INVALID_REQUEST');
SELECT refuses(format('SELECT commerce.set_user_status(%s, NULL)', :minji), 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.set_user_status(0, ''ACTIVE'')', 'ENTITY_NOT_FOUND');
SELECT refuses('SELECT commerce.set_user_status(-9223372036854775808, ''ACTIVE'')', 'ENTITY_NOT_FOUND');

-- What a suspended or withdrawn user may not do. Each is possible while the user is ACTIVE.
SELECT commerce.create_product(NULL, 'cup', 1000, 100) AS cup \gset
SELECT commerce.create_coupon('c', 'FIXED', 100, 10, valid_days => 1) AS coupon \gset
SELECT commerce.create_coupon('d', 'FIXED', 100, 10, valid_days => 1) AS coupon2 \gset
SELECT * FROM commerce.charge_balance(:minji, 100000) \g /dev/null
SELECT id AS issue FROM commerce.claim_coupon(:minji, :coupon) \gset
SELECT payment_amount FROM commerce.place_order(:minji, format('[{"product_id":%s,"quantity":1}]', :cup)::jsonb) \g /dev/null
SELECT is(status, 'SUSPENDED', 'from here on suspended') FROM commerce.set_user_status(:minji, 'SUSPENDED');
SELECT refuses(format('SELECT commerce.charge_balance(%s, 100)', :minji), 'FORBIDDEN', 'a charge of a suspended user');
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]')$$, :minji, :cup), 'FORBIDDEN', 'an order of a suspended user');
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]', payment_method => 'EXTERNAL')$$, :minji, :cup), 'FORBIDDEN', 'an external order of a suspended user');
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]', '{%s}')$$, :minji, :cup, :issue), 'FORBIDDEN', 'an order with a coupon of a suspended user');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :minji, :coupon2), 'FORBIDDEN', 'a claim of a suspended user');
SELECT is(detail_of(format('SELECT commerce.charge_balance(%s, 100)', :minji))::jsonb, jsonb_build_object('user_id', :minji, 'status', 'SUSPENDED'), 'the detail says why');
SELECT is(balance, 99000::bigint, 'a suspended user''s balance can be read') FROM commerce.get_balance(:minji);
SELECT is(status, 'WITHDRAWN', 'from here on withdrawn') FROM commerce.set_user_status(:minji, 'WITHDRAWN');
SELECT refuses(format('SELECT commerce.charge_balance(%s, 100)', :minji), 'FORBIDDEN', 'a charge of a withdrawn user');
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]')$$, :minji, :cup), 'FORBIDDEN', 'an order of a withdrawn user');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :minji, :coupon2), 'FORBIDDEN', 'a claim of a withdrawn user');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
