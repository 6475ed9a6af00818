-- Users and sellers: what may be created, what is refused, what a status means.

SELECT no_plan();

-- create_user
SELECT commerce.create_user('김민지', 'minji@example.com') AS minji \gset
SELECT is(u.*, ROW(:minji, NULL, '김민지', 'minji@example.com', NULL, NULL, 'BUYER', 'ACTIVE', NULL, NULL, u.created_at, 0, u.updated_at, 0, u.event_key)::commerce.users,
	'a user begins as an ACTIVE BUYER with an empty balance')
FROM commerce.users u WHERE id = :minji;
SELECT commerce.create_user(role => 'SELLER', email => 'Potter@Example.com', name => 'Potter', phone => '010-1', address => 'Icheon') AS potter \gset
SELECT results_eq(
	format($$SELECT phone, address, role::text FROM commerce.users WHERE id = %s$$, :potter),
	$$VALUES ('010-1', 'Icheon', 'SELLER')$$,
	'arguments go where their names say');
SELECT is(events('User', :minji), 'UserCreated', 'creating a user writes UserCreated');
SELECT is(event_payload('User', :minji, 'UserCreated') - 'created_at',
	jsonb_build_object('user_id', :minji, 'external_id', NULL, 'name', '김민지', 'email', 'minji@example.com', 'phone', NULL,
		'address', NULL, 'role', 'BUYER', 'status', 'ACTIVE', 'metadata', NULL),
	'which carries the user');

SELECT refuses($$SELECT commerce.create_user('x', 'minji@example.com')$$, 'ALREADY_EXISTS', 'an email that is taken');
SELECT refuses($$SELECT commerce.create_user('x', 'MINJI@example.COM')$$, 'ALREADY_EXISTS', 'an email that is taken, in capitals');
SELECT refuses($$SELECT commerce.create_user(NULL, 'a@example.com')$$, 'INVALID_REQUEST', 'no name');
SELECT refuses($$SELECT commerce.create_user('', 'a@example.com')$$, 'INVALID_REQUEST', 'an empty name');
SELECT refuses($$SELECT commerce.create_user('   ', 'a@example.com')$$, 'INVALID_REQUEST', 'a name of spaces');
SELECT refuses(format('SELECT commerce.create_user(%L, %L)', 'x', email), 'INVALID_REQUEST', format('email %s', to_json(email)))
FROM unnest(ARRAY['', 'a', '@', 'a@', '@b', 'a@b@c', 'a b@c', E'a@b\n', 'a@ b']) AS email;
SELECT refuses($$SELECT commerce.create_user('x', 'a@example.com', role => NULL)$$, 'INVALID_REQUEST', 'no role');
SELECT refuses(format('SELECT commerce.create_user(%L, %L)', 'x', string_agg(md5(i::text), '') || '@example.com'),
	'INVALID_REQUEST', 'an email of 32 KB')
FROM generate_series(1, 1000) i;
SELECT lives_ok(format('SELECT commerce.create_user(%L, %L)', repeat('가', 200), 'long@example.com'), 'a name of 200 characters');
SELECT lives_ok(format('SELECT commerce.create_user(%L, %L)', 'x', repeat('a', 64) || '@' || repeat('b', 189)),
	'the longest email there is, of 254 characters');

SELECT commerce.create_user('Kakao', external_id => 'kakao|1', metadata => '{"grade": "gold", "none": null}', idempotency_key => 'k') AS kakao \gset
SELECT results_eq(format('SELECT email, external_id, metadata FROM commerce.users WHERE id = %s', :kakao),
	$$VALUES (NULL::text, 'kakao|1', '{"grade": "gold", "none": null}'::jsonb)$$, 'a person without an e-mail');
SELECT is(commerce.create_user('Kakao', external_id => 'kakao|1', metadata => '{"grade": "gold", "none": null}', idempotency_key => 'k'), :kakao::bigint, 'the same key is the same user');
SELECT refuses($$SELECT commerce.create_user('Other', external_id => 'kakao|1', idempotency_key => 'k')$$, 'IDEMPOTENCY_KEY_REUSED', 'the key with another name');
SELECT isnt(commerce.create_user('No e-mail'), commerce.create_user('No e-mail'), 'many have no e-mail');
SELECT is(detail_of($$SELECT commerce.create_user('x', 'minji@example.com')$$)::jsonb, '{"entity": "user", "attribute": "email"}', 'the detail names what is taken');
SELECT is(detail_of($$SELECT commerce.create_user('x', external_id => 'kakao|1')$$)::jsonb, '{"entity": "user", "attribute": "external_id"}', 'an external id that is taken');
SELECT is(detail_of($$SELECT commerce.create_user('x', 'new@example.com', external_id => 'kakao|1')$$)::jsonb, '{"entity": "user", "attribute": "external_id"}', 'with an e-mail that is free');
SELECT refuses(format($$SELECT commerce.create_user('x', external_id => %L)$$, e), 'INVALID_REQUEST', 'external id "' || e || '"') FROM unnest(ARRAY['', ' ']) AS e;
SELECT refuses(format($$SELECT commerce.create_user('x', metadata => %L)$$, m), 'INVALID_REQUEST', 'metadata ' || m) FROM unnest(ARRAY['[]', '"x"', '1', 'null']) AS m;
SELECT lives_ok($$SELECT commerce.create_user('x', metadata => jsonb_build_object('a', repeat('x', 16000)))$$, 'metadata of 16 000 bytes');
SELECT refuses($$SELECT commerce.create_user('x', metadata => jsonb_build_object('a', repeat('x', 16384)))$$, 'INVALID_REQUEST', 'metadata of more than 16 384 bytes');

-- update_user
SELECT commerce.create_user('Yoon', 'yoon@example.com', role => 'ADMIN') AS yoon \gset
SELECT commerce.create_user('Ex', 'ex@example.com', role => 'ADMIN') AS ex \gset
SELECT commerce.set_user_status(:ex, 'SUSPENDED') \g /dev/null
SELECT results_eq(
	format($$SELECT id, name, email, phone, address, external_id, metadata FROM commerce.update_user(%s, name => 'Kim', email => 'kim@example.com', phone => '010', metadata => '{"a": 1}', note => 'by phone', actor_id => %s)$$, :kakao, :yoon),
	format($$VALUES (%s::bigint, 'Kim', 'kim@example.com', '010', NULL::text, 'kakao|1', '{"a": 1}'::jsonb)$$, :kakao), 'what is given is changed, the rest is not');
SELECT is(event_payload('User', :kakao, 'UserChanged') - 'created_at',
	jsonb_build_object('user_id', :kakao, 'external_id', 'kakao|1', 'name', 'Kim', 'email', 'kim@example.com', 'phone', '010', 'address', NULL,
		'role', 'BUYER', 'status', 'ACTIVE', 'metadata', '{"a": 1}'::jsonb) || who('ADMIN', :yoon, 'by phone'), 'UserChanged carries the user and who did it');
SELECT results_eq(
	format($$SELECT name, email, phone, address, external_id, metadata FROM commerce.update_user(%s, address => 'Seoul', clear => '{email,phone,external_id,metadata}')$$, :kakao),
	$$VALUES ('Kim', NULL::text, NULL::text, 'Seoul', NULL::text, NULL::jsonb)$$, 'clear empties');
SELECT lives_ok($$SELECT commerce.create_user('x', 'KIM@example.com', external_id => 'kakao|1')$$, 'what was cleared is free');
SELECT is(detail_of(format($$SELECT commerce.update_user(%s, email => 'Kim@example.com')$$, :kakao))::jsonb, '{"entity": "user", "attribute": "email"}', 'an e-mail that is taken');
SELECT is(detail_of(format($$SELECT commerce.update_user(%s, external_id => 'kakao|1')$$, :kakao))::jsonb, '{"entity": "user", "attribute": "external_id"}', 'an external id that is taken');
SELECT books() AS before \gset
SELECT is((commerce.update_user(:kakao, address => 'Seoul', clear => '{email}')).name, 'Kim', 'what changes nothing');
SELECT is(books(), :'before'::jsonb, 'writes nothing');
SELECT refuses(format($$SELECT commerce.update_user(%s, %s)$$, :kakao, a), 'INVALID_REQUEST', a)
FROM unnest(ARRAY['name => ''''', 'name => '' ''', 'email => ''x''', 'external_id => ''''', 'metadata => ''[]''', 'clear => ''{name}''',
	'clear => ''{balance}''', 'clear => ''{nothing}''', 'clear => ''{NULL}''', 'clear => ''{""}''', 'email => ''a@b'', clear => ''{email}''', 'clear => ''{phone,role}''']) AS a;
SELECT refuses('SELECT commerce.update_user(NULL, name => ''x'')', 'INVALID_REQUEST', 'to change nobody');
SELECT refuses('SELECT commerce.update_user(999999, name => ''x'')', 'ENTITY_NOT_FOUND', 'to change who is not there');
SELECT lives_ok(format($$SELECT commerce.update_user(%1$s, phone => '011', actor_id => %1$s)$$, :kakao), 'a user changes his own');
SELECT refuses(format($$SELECT commerce.update_user(%s, phone => '012', actor_id => %s)$$, :kakao, actor), 'FORBIDDEN', 'actor ' || actor)
FROM unnest(ARRAY[:minji, :ex, 0, -1, 999999]) AS actor;
SELECT refuses(format($$SELECT commerce.update_user(%1$s, external_id => 'new', actor_id => %1$s)$$, :kakao), 'FORBIDDEN', 'but not who he signs in as');
SELECT refuses(format($$SELECT commerce.update_user(%1$s, clear => '{external_id}', actor_id => %1$s)$$, :kakao), 'FORBIDDEN', 'nor that it is nobody');
SELECT lives_ok(format($$SELECT commerce.update_user(%s, external_id => 'new', actor_id => %s)$$, :kakao, :yoon), 'which an administrator changes');

-- find_user
SELECT is((commerce.find_user('MINJI@example.com')).id, :minji::bigint, 'found by e-mail, in capitals too');
SELECT is((commerce.find_user(external_id => 'new')).id, :kakao::bigint, 'found by external id');
SELECT refuses('SELECT commerce.find_user()', 'INVALID_REQUEST', 'to find by nothing');
SELECT refuses('SELECT commerce.find_user(''a@b'', ''c'')', 'INVALID_REQUEST', 'to find by both');
SELECT refuses('SELECT commerce.find_user(''nobody@example.com'')', 'ENTITY_NOT_FOUND', 'an e-mail of nobody');
SELECT refuses('SELECT commerce.find_user(external_id => ''NEW'')', 'ENTITY_NOT_FOUND', 'an external id of nobody');
SELECT is(detail_of('SELECT commerce.find_user(external_id => ''NEW'')')::jsonb, '{"entity": "user", "id": "NEW"}', 'the detail says what was looked for');

-- create_seller
SELECT commerce.create_seller(:potter, 'Kiln & Co', '123-45-67890', '02-1234', 'Icheon 1', 'tableware') AS kiln \gset
SELECT results_eq(
	format('SELECT user_id, business_name, registration_number, cs_phone, address, category FROM commerce.sellers WHERE id = %s', :kiln),
	format($$VALUES (%s::bigint, 'Kiln & Co', '123-45-67890', '02-1234', 'Icheon 1', 'tableware')$$, :potter),
	'a seller is stored as given');
SELECT refuses(format($$SELECT commerce.create_seller(%s, 'Again', '999')$$, :potter), 'ALREADY_EXISTS', 'a second business of one user');
SELECT refuses(format($$SELECT commerce.create_seller(%s, 'B', '1')$$, :yoon), 'INVALID_REQUEST', 'an ADMIN as seller');
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

SELECT is(detail_of(format($$SELECT commerce.create_seller(%s, 'B', '123-45-67890')$$, :weaver))::jsonb, '{"entity": "seller", "attribute": "registration_number"}', 'the detail names what is taken');
SELECT is(detail_of(format($$SELECT commerce.create_seller(%s, 'B', '2')$$, :potter))::jsonb, '{"entity": "seller", "attribute": "user_id"}', 'also that it is the user');
SELECT refuses(format($$SELECT commerce.create_seller(%1$s, 'B', '1', actor_id => %1$s)$$, :weaver), 'FORBIDDEN', 'a user who makes himself a seller');
SELECT is(event_payload('Seller', :kiln, 'SellerCreated') - '{created_at,updated_at}'::text[],
	jsonb_build_object('seller_id', :kiln, 'user_id', :potter, 'business_name', 'Kiln & Co', 'registration_number', '123-45-67890', 'cs_phone', '02-1234',
		'address', 'Icheon 1', 'category', 'tableware', 'active', true, 'shipping_fee', 0, 'free_shipping_from', NULL, 'metadata', NULL) || who('SYSTEM'),
	'SellerCreated carries the seller');
SELECT commerce.create_seller(:kakao, 'Kakao Shop', '3', actor_id => :yoon) AS kakao_shop \gset
SELECT is((SELECT role FROM commerce.users WHERE id = :kakao), 'SELLER', 'a BUYER becomes a SELLER by it');
SELECT is(events('User', :kakao), 'UserCreated UserChanged UserChanged UserChanged UserChanged UserChanged', 'which is told');
SELECT is(events('User', :potter), 'UserCreated', 'and only then');

-- update_seller
SELECT results_eq(
	format($$SELECT business_name, registration_number, cs_phone, address, category, shipping_fee, free_shipping_from, metadata
		FROM commerce.update_seller(%s, business_name => 'Kiln', shipping_fee => 3000, free_shipping_from => 50000, metadata => '{"a": 1}', clear => '{cs_phone,category}', actor_id => %s, note => 'n')$$, :kiln, :potter),
	$$VALUES ('Kiln', '123-45-67890', NULL::text, 'Icheon 1', NULL::text, 3000::bigint, 50000::bigint, '{"a": 1}'::jsonb)$$, 'a seller''s user changes the seller');
SELECT is(event_payload('Seller', :kiln, 'SellerChanged') @> (jsonb_build_object('business_name', 'Kiln', 'shipping_fee', 3000) || who('SELLER', :kiln, 'n')), true, 'SellerChanged says so');
SELECT results_eq(format($$SELECT free_shipping_from, metadata FROM commerce.update_seller(%s, clear => '{free_shipping_from,metadata}')$$, :kiln), 'VALUES (NULL::bigint, NULL::jsonb)', 'clear empties');
SELECT books() AS before \gset
SELECT refuses(format($$SELECT commerce.update_seller(%s, %s)$$, :kiln, a), 'INVALID_REQUEST', a)
FROM unnest(ARRAY['business_name => ''''', 'registration_number => '' ''', 'shipping_fee => -1', 'shipping_fee => 1000000000001', 'free_shipping_from => -1',
	'metadata => ''1''', 'clear => ''{shipping_fee}''', 'clear => ''{active}''', 'clear => ''{business_name}''', 'category => ''x'', clear => ''{category}''']) AS a;
SELECT refuses('SELECT commerce.update_seller(NULL)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.update_seller(999999, category => ''x'')', 'ENTITY_NOT_FOUND');
SELECT refuses(format($$SELECT commerce.update_seller(%s, registration_number => '3')$$, :kiln), 'ALREADY_EXISTS', 'a registration number that is taken');
SELECT refuses(format($$SELECT commerce.update_seller(%s, registration_number => '4', actor_id => %s)$$, :kiln, :potter), 'FORBIDDEN', 'which a seller does not change');
SELECT refuses(format($$SELECT commerce.update_seller(%s, category => 'x', actor_id => %s)$$, :kiln, actor), 'FORBIDDEN', 'actor ' || actor)
FROM unnest(ARRAY[:minji, :kakao, :ex, 999999]) AS actor;
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');
SELECT is((commerce.update_seller(:kiln, registration_number => '4', actor_id => :yoon)).registration_number, '4', 'an administrator changes it');

-- set_user_status
SELECT is((commerce.set_user_status(:minji, 'SUSPENDED')).status, 'SUSPENDED', 'set_user_status returns the changed row');
SELECT is((SELECT status FROM commerce.users WHERE id = :minji), 'SUSPENDED', 'and changes it');
SELECT is((commerce.set_user_status(:minji, 'ACTIVE', :yoon, 'mistake')).status, 'ACTIVE', 'a suspension ends');
SELECT is(event_payload('User', :minji, 'UserStatusChanged') @> (jsonb_build_object('user_id', :minji, 'from', 'SUSPENDED', 'status', 'ACTIVE') || who('ADMIN', :yoon, 'mistake')), true, 'UserStatusChanged says what and who');
SELECT books() AS before \gset
SELECT is((commerce.set_user_status(:minji, 'ACTIVE')).status, 'ACTIVE', 'the status that he has');
SELECT is(books(), :'before'::jsonb, 'changes nothing');
SELECT refuses(format($$SELECT commerce.set_user_status(%s, 'WITHDRAWN', %s)$$, :minji, actor), 'FORBIDDEN', 'actor ' || actor) FROM unnest(ARRAY[:minji, :ex, 999999]) AS actor;
SELECT commerce.set_user_status(:potter, 'SUSPENDED') \g /dev/null
SELECT is((SELECT active FROM commerce.sellers WHERE id = :kiln), false, 'a seller who is suspended sells nothing');
SELECT is(event_payload('Seller', :kiln, 'SellerChanged')->>'active', 'false', 'which is told');
SELECT commerce.set_user_status(:potter, 'WITHDRAWN') \g /dev/null
SELECT commerce.set_user_status(:potter, 'ACTIVE') \g /dev/null
SELECT is((SELECT active FROM commerce.sellers WHERE id = :kiln), true, 'and sells again');
SELECT commerce.set_user_status(:weaver, 'SUSPENDED') \g /dev/null
SELECT commerce.create_seller(:weaver, 'Weaver', '5') AS weaver_shop \gset
SELECT is((SELECT active FROM commerce.sellers WHERE id = :weaver_shop), false, 'who is suspended begins as a seller who sells nothing');
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
SELECT is(detail_of(format('SELECT commerce.charge_balance(%s, 100)', :minji))::jsonb, jsonb_build_object('user_id', :minji, 'status', 'SUSPENDED', 'reason', 'NOT_ACTIVE'), 'the detail says why');
SELECT is(balance, 99000::bigint, 'a suspended user''s balance can be read') FROM commerce.get_balance(:minji);
SELECT is(status, 'WITHDRAWN', 'from here on withdrawn') FROM commerce.set_user_status(:minji, 'WITHDRAWN');
SELECT refuses(format('SELECT commerce.charge_balance(%s, 100)', :minji), 'FORBIDDEN', 'a charge of a withdrawn user');
SELECT refuses(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]')$$, :minji, :cup), 'FORBIDDEN', 'an order of a withdrawn user');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :minji, :coupon2), 'FORBIDDEN', 'a claim of a withdrawn user');


-- His unpaid orders end at once.
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT id AS issue FROM commerce.claim_coupon(:lee, :coupon) \gset
SELECT id AS p FROM commerce.place_order(:lee, format('[{"product_id":%s,"quantity":3}]', :cup)::jsonb, ARRAY[:issue]::bigint[], payment_method => 'EXTERNAL') \gset
SELECT id AS q FROM commerce.place_order(:lee, format('[{"product_id":%s,"quantity":5}]', :cup)::jsonb, payment_method => 'EXTERNAL') \gset
SELECT commerce.available_stock(:cup) AS held \gset
SELECT commerce.set_user_status(:lee, 'SUSPENDED', :yoon) \g /dev/null
SELECT is(commerce.available_stock(:cup) - :held, 8::bigint, 'what a suspended user''s unpaid orders held is there again');
SELECT results_eq(format('SELECT status::text FROM commerce.orders WHERE user_id = %s', :lee), $$VALUES ('CANCELLED'), ('CANCELLED')$$, 'they are cancelled');
SELECT is((SELECT status FROM commerce.coupon_issues WHERE id = :issue), 'ACTIVE', 'and his coupon too');
SELECT is(events('Order', :p), 'OrderCreated PaymentRequested PaymentFailed OrderCancelled', 'as when their time is over');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
