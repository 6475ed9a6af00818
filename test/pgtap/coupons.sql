-- Coupons: offering, claiming, revoking, expiring.
-- role: postgres
-- Postgres only moves clocks by hand; everything else is done as shop.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT commerce.create_user('Boss', 'boss@example.com', role => 'ADMIN') AS boss \gset
SELECT commerce.create_user('Potter', 'potter@example.com', role => 'SELLER') AS potter \gset
SELECT commerce.create_seller(:potter, 'Kiln', '1') AS kiln \gset
SELECT commerce.create_user('Weaver', 'weaver@example.com', role => 'SELLER') AS weaver \gset
SELECT commerce.create_seller(:weaver, 'Loom', '2') AS loom \gset
SELECT commerce.create_product(:kiln, 'Teapot', 10000, 100) AS teapot \gset
SELECT commerce.create_product(NULL, 'Own', 10000, 100) AS own \gset
SELECT * FROM commerce.charge_balance(:kim, 1000000) \g /dev/null

-- create_coupon
SELECT commerce.create_coupon('Spring', 'PERCENT', 10, 3, valid_days => 7, issue_from => '2020-01-01', issue_until => '2100-01-01',
	seller_id => :kiln, product_id => :teapot, min_order_amount => 5000, max_discount => 2000, round_unit => 100, description => 'd') AS spring \gset
SELECT is(to_jsonb(c) - '{id,event_key,created_at,updated_at,issue_from,issue_until}'::text[],
	jsonb_build_object('name', 'Spring', 'description', 'd', 'kind', 'PERCENT', 'value', 10, 'max_discount', 2000, 'round_unit', 100,
		'min_order_amount', 5000, 'scope', 'PRODUCT', 'seller_id', :kiln, 'product_id', :teapot, 'quantity', 3,
		'valid_days', 7, 'valid_until', NULL, 'stopped_at', NULL, 'max_units', NULL, 'claimable', true, 'metadata', NULL), 'a coupon is stored as given')
FROM commerce.coupons c WHERE id = :spring;
SELECT commerce.create_coupon('All', 'FIXED', 1000, 1, valid_until => '2100-01-01') AS all \gset
SELECT commerce.create_coupon('Kiln''s', 'FIXED', 1000, 5, valid_days => 1, seller_id => :kiln) AS kilns \gset
SELECT commerce.create_coupon('Own', 'FIXED', 1000, 5, valid_days => 1, product_id => :own) AS owns \gset
SELECT commerce.create_coupon('Shipping', 'FREE_SHIPPING', 0, 5, valid_days => 1) AS shipping \gset
SELECT results_eq('SELECT scope::text FROM commerce.coupons ORDER BY id', $$VALUES ('PRODUCT'), ('ORDER'), ('SELLER'), ('PRODUCT'), ('ORDER')$$,
	'the scope follows from product and seller');
SELECT ok(issue_from <= now() AND issue_until IS NULL, 'without a window it can be claimed from now on') FROM commerce.coupons WHERE id = :all;

SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.create_coupon(%s)', arguments), 'INVALID_REQUEST', 'create_coupon(' || arguments || ')')
FROM unnest(ARRAY[
	$$NULL, 'FIXED', 1, 1, valid_days => 1$$, $$'', 'FIXED', 1, 1, valid_days => 1$$, $$' ', 'FIXED', 1, 1, valid_days => 1$$,
	$$'x', NULL, 1, 1, valid_days => 1$$,
	$$'x', 'FIXED', NULL, 1, valid_days => 1$$, $$'x', 'FIXED', 0, 1, valid_days => 1$$, $$'x', 'FIXED', -1, 1, valid_days => 1$$,
	$$'x', 'FIXED', -9223372036854775808, 1, valid_days => 1$$,
	$$'x', 'PERCENT', 0, 1, valid_days => 1$$, $$'x', 'PERCENT', 101, 1, valid_days => 1$$, $$'x', 'PERCENT', NULL, 1, valid_days => 1$$,
	$$'x', 'PERCENT', 9223372036854775807, 1, valid_days => 1$$,
	$$'x', 'FIXED', 1, 0, valid_days => 1$$, $$'x', 'FIXED', 1, -1, valid_days => 1$$, $$'x', 'FIXED', 1, NULL, valid_days => 1$$,
	$$'x', 'FIXED', 1, -9223372036854775808, valid_days => 1$$,
	$$'x', 'FIXED', 1, 1$$, $$'x', 'FIXED', 1, 1, valid_days => 1, valid_until => '2100-01-01'$$,
	$$'x', 'FIXED', 1, 1, valid_days => 0$$, $$'x', 'FIXED', 1, 1, valid_days => -1$$, $$'x', 'FIXED', 1, 1, valid_days => 36501$$,
	$$'x', 'FIXED', 1, 1, valid_days => 2147483647$$, $$'x', 'FIXED', 1, 1, valid_days => -2147483648$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, issue_from => NULL$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, issue_from => now(), issue_until => now()$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, issue_until => '2000-01-01'$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, min_order_amount => -1$$, $$'x', 'FIXED', 1, 1, valid_days => 1, min_order_amount => NULL$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, max_discount => 0$$, $$'x', 'FIXED', 1, 1, valid_days => 1, max_discount => -1$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, round_unit => 0$$, $$'x', 'FIXED', 1, 1, valid_days => 1, round_unit => -100$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, round_unit => NULL$$,
	$$'x', 'FIXED', 1000000000001, 1, valid_days => 1$$, $$'x', 'FIXED', 1, 1000000000001, valid_days => 1$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, min_order_amount => 1000000000001$$, $$'x', 'FIXED', 1, 1, valid_days => 1, max_discount => 1000000000001$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, round_unit => 1000000000001$$,
	$$'x', 'FIXED', 1, 1, valid_until => 'infinity'$$, $$'x', 'FIXED', 1, 1, valid_days => 1, issue_from => '-infinity'$$, $$'x', 'FIXED', 1, 1, valid_days => 1, issue_until => 'infinity'$$,
	$$'x', 'FIXED', 1, 1, valid_until => '2020-01-02', issue_from => '2020-01-01'$$, $$'x', 'FIXED', 1, 1, valid_days => 1, issue_from => '2020-01-01', issue_until => '2020-01-02'$$,
	$$'x', 'FIXED', 1, 1, valid_until => '2099-01-01', issue_from => '2099-01-02'$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, max_units => 1$$, $$'x', 'FIXED', 1, 1, valid_days => 1, max_units => 0$$, $$'x', 'FIXED', 1, 1, valid_days => 1, claimable => NULL$$,
	$$'x', 'FIXED', 1, 1, valid_days => 1, metadata => '[1]'$$, $$'x', 'FIXED', 1, 1, valid_days => 1, note => repeat('a', 2001)$$,
	$$repeat('a', 201), 'FIXED', 1, 1, valid_days => 1$$, $$'x', 'FIXED', 1, 1, valid_days => 1, description => repeat('a', 20001)$$]) AS arguments;
SELECT refuses(format($$SELECT commerce.create_coupon('x', 'FIXED', 1, 1, valid_days => 1, product_id => %s, max_units => 0)$$, :teapot), 'INVALID_REQUEST', 'a coupon for no unit');
SELECT refuses(format($$SELECT commerce.create_coupon('x', 'FREE_SHIPPING', 0, 1, valid_days => 1, product_id => %s)$$, :teapot), 'INVALID_REQUEST', 'free shipping of a product');
SELECT refuses(format($$SELECT commerce.create_coupon('x', 'FIXED', 1, 1, valid_days => 1, product_id => %s, seller_id => %s)$$, :teapot, :loom), 'INVALID_REQUEST', 'a seller''s coupon for another''s product');
SELECT refuses(format($$SELECT commerce.create_coupon('x', 'FIXED', 1, 1, valid_days => 1, product_id => %s, seller_id => %s)$$, :own, :loom), 'INVALID_REQUEST', 'a seller''s coupon for the shop''s own product');
SELECT refuses(format($$SELECT commerce.create_coupon('x', 'FIXED', 1, 1, valid_days => 1, product_id => %s)$$, id), 'ENTITY_NOT_FOUND', 'a coupon for product ' || id)
FROM unnest(ARRAY[0, -1, 9223372036854775807, -9223372036854775808]) AS id;
SELECT refuses(format($$SELECT commerce.create_coupon('x', 'FIXED', 1, 1, valid_days => 1, seller_id => %s)$$, id), 'ENTITY_NOT_FOUND', 'a coupon of seller ' || id)
FROM unnest(ARRAY[0, -1, 9223372036854775807, -9223372036854775808]) AS id;
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');
SELECT lives_ok($$SELECT commerce.create_coupon('x', 'FIXED', 1000000000000, 1000000000000, valid_until => '2100-01-01',
	min_order_amount => 1000000000000, max_discount => 1000000000000, round_unit => 1000000000000)$$, 'every number may be 10^12');

-- who: an administrator, or the seller whose coupon it is
SELECT commerce.create_coupon('Kiln''s own', 'FIXED', 100, 2, valid_days => 1, seller_id => :kiln, product_id => :teapot, max_units => 2, claimable => false,
	metadata => '{"campaign": 7}', actor_id => :potter, note => 'for regulars', idempotency_key => 'c1') AS given \gset
SELECT is(commerce.create_coupon('Kiln''s own', 'FIXED', 100, 2, valid_days => 1, seller_id => :kiln, product_id => :teapot, max_units => 2, claimable => false,
	metadata => '{"campaign": 7}', actor_id => :potter, note => 'for regulars', idempotency_key => 'c1'), :given::bigint, 'the same call again answers the same coupon');
SELECT refuses(format($$SELECT commerce.create_coupon('Kiln''s own', 'FIXED', 100, 3, valid_days => 1, idempotency_key => 'c1')$$), 'IDEMPOTENCY_KEY_REUSED', 'another coupon under the key');
SELECT is(event_payload('Coupon', :given, 'CouponCreated'), (SELECT to_jsonb(c) - '{id,event_key}'::text[] || jsonb_build_object('coupon_id', :given) || who('SELLER', :kiln, 'for regulars') FROM commerce.coupons c WHERE id = :given),
	'CouponCreated carries the coupon, who and why');
SELECT results_eq(format('SELECT delta, reason::text, actor_id, note FROM commerce.quota_entries WHERE coupon_id = %s', :given),
	format($$VALUES (2::bigint, 'INITIAL', %s::bigint, 'for regulars')$$, :potter), 'so does its first entry');
SELECT refuses(statement, 'FORBIDDEN') FROM unnest(ARRAY[
	format($$SELECT commerce.create_coupon('x', 'FIXED', 1, 1, valid_days => 1, seller_id => %s, actor_id => %s)$$, :kiln, :weaver),
	format($$SELECT commerce.create_coupon('x', 'FIXED', 1, 1, valid_days => 1, actor_id => %s)$$, :potter),
	format($$SELECT commerce.create_coupon('x', 'FIXED', 1, 1, valid_days => 1, product_id => %s, actor_id => %s)$$, :teapot, :potter),
	format($$SELECT commerce.create_coupon('x', 'FIXED', 1, 1, valid_days => 1, actor_id => %s)$$, :kim),
	format('SELECT commerce.update_coupon(%s, quantity => 9, actor_id => %s)', :given, :weaver), format('SELECT commerce.update_coupon(%s, quantity => 9, actor_id => %s)', :all, :potter),
	format('SELECT commerce.stop_coupon(%s, %s)', :given, :weaver), format('SELECT commerce.issue_coupon(%s, %s, %s)', :given, :kim, :weaver),
	format('SELECT commerce.issue_coupon(%s, %s, %s)', :given, :kim, :kim)]) AS statement;

-- issue_coupon: to whom the seller chooses, out of the same quantity
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :given), 'COUPON_NOT_CLAIMABLE', 'to claim what is given out');
SELECT is(detail_of(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :given))::jsonb, jsonb_build_object('coupon_id', :given, 'reason', 'GIVEN_OUT'), 'and why');
SELECT id AS gift FROM commerce.issue_coupon(:given, :kim, :potter, 'thank you') \gset
SELECT is((SELECT to_jsonb(i) - '{id,event_key,xid,issued_at,expires_at}'::text[] FROM commerce.coupon_issues i WHERE id = :gift),
	jsonb_build_object('user_id', :kim, 'coupon_id', :given, 'name', 'Kiln''s own', 'description', NULL, 'kind', 'FIXED', 'value', 100, 'max_discount', NULL, 'round_unit', 1,
		'min_order_amount', 0, 'max_units', 2, 'scope', 'PRODUCT', 'seller_id', :kiln, 'product_id', :teapot, 'status', 'ACTIVE', 'used_at', NULL, 'used_order_id', NULL), 'the issue has all terms');
SELECT is(event_payload('CouponIssue', :gift, 'CouponIssued') - '{issued_at,expires_at}'::text[], (SELECT to_jsonb(i) - '{event_key,xid,issued_at,expires_at}'::text[] || who('SELLER', :kiln, 'thank you')
	FROM commerce.coupon_issues i WHERE id = :gift), 'CouponIssued carries them, who and why');
SELECT refuses(format('SELECT commerce.issue_coupon(%s, %s)', :given, :kim), 'COUPON_ALREADY_CLAIMED', 'a second one for the same user');
SELECT is((commerce.revoke_coupon(:gift, :potter)).status, 'REVOKED', 'its seller takes it back');
SELECT refuses(format('SELECT commerce.issue_coupon(%s, %s)', :given, :kim), 'COUPON_ALREADY_CLAIMED', 'who had one that was revoked gets no other');
SELECT lives_ok(format('SELECT commerce.issue_coupon(%s, %s)', :given, :lee), 'the second of two');
SELECT refuses(format('SELECT commerce.issue_coupon(%s, %s)', :given, :boss), 'COUPON_SOLD_OUT', 'the third');
SELECT lives_ok(format('SELECT commerce.issue_coupon(commerce.create_coupon(''x'', ''FIXED'', 1, 1, valid_days => 1, issue_from => now() + interval ''1 day''), %s)', :potter), 'before its window');
SELECT refuses(statement, 'INVALID_REQUEST') FROM unnest(ARRAY['SELECT commerce.issue_coupon(NULL, 1)', format('SELECT commerce.issue_coupon(%s, NULL)', :given)]) AS statement;
SELECT refuses(statement, 'ENTITY_NOT_FOUND') FROM unnest(ARRAY['SELECT commerce.issue_coupon(0, 1)', format('SELECT commerce.issue_coupon(%s, 0)', :given)]) AS statement;

-- update_coupon: quantities have a journal, what was issued keeps its terms
SELECT is((SELECT quantity FROM commerce.update_coupon(:given, quantity => 5, actor_id => :potter, note => 'more')), 5::bigint, 'there are more');
SELECT is((SELECT remaining FROM commerce.coupon_list WHERE id = :given), 3::bigint, 'that can be had');
SELECT lives_ok(format('SELECT commerce.issue_coupon(%s, %s)', :given, :boss), 'the third now');
SELECT results_eq(format('SELECT delta, reason::text, actor_id, note FROM commerce.quota_entries WHERE coupon_id = %s ORDER BY at, delta', :given),
	format($$VALUES (2::bigint, 'INITIAL', %1$s::bigint, 'for regulars'), (3, 'CHANGE', %1$s, 'more')$$, :potter), 'the journal says who and why');
SELECT refuses(format('SELECT commerce.update_coupon(%s, quantity => 2)', :given), 'INVALID_REQUEST', 'fewer than are issued');
SELECT is(detail_of(format('SELECT commerce.update_coupon(%s, quantity => 2)', :given))::jsonb, '{"argument": "quantity", "reason": "must not be below what is issued", "issued": 3}', 'and how many that are');
SELECT is((SELECT quantity FROM commerce.update_coupon(:given, quantity => 3)), 3::bigint, 'as many as are issued');
SELECT refuses(format('SELECT commerce.issue_coupon(%s, %s)', :given, :potter), 'COUPON_SOLD_OUT', 'are all');
SELECT is(to_jsonb(c) - '{created_at,updated_at,issue_from,event_key}'::text[], jsonb_build_object('id', :given, 'name', 'New', 'description', 'better', 'kind', 'FIXED', 'value', 100, 'max_discount', 90,
	'round_unit', 10, 'min_order_amount', 5000, 'scope', 'PRODUCT', 'seller_id', :kiln, 'product_id', :teapot, 'quantity', 4, 'issue_until', '2100-01-01T00:00:00+00:00'::timestamptz, 'valid_days', 1, 'valid_until', NULL,
	'stopped_at', NULL, 'max_units', 7, 'claimable', true, 'metadata', '{"campaign": 8}'::jsonb), 'all that can change')
FROM commerce.update_coupon(:given, 'New', 'better', 4, now() - interval '1 day', '2100-01-01+00', 5000, 90, 10, 7, true, '{"campaign": 8}') c;
SELECT is((SELECT jsonb_build_array(name, max_discount, min_order_amount, max_units) FROM commerce.coupon_issues WHERE coupon_id = :given AND user_id = :lee), '["Kiln''s own", null, 0, 2]',
	'what was issued keeps its terms');
SELECT is((SELECT (to_jsonb(c) ->> k) FROM commerce.update_coupon(:given, clear => ARRAY[k]) c), NULL, k || ' is emptied')
FROM unnest('{description,issue_until,max_discount,max_units,metadata}'::text[]) k;
SELECT is(events('Coupon', :given), 'CouponCreated CouponChanged CouponChanged CouponChanged CouponChanged CouponChanged CouponChanged CouponChanged CouponChanged', 'each change has an event');
SELECT commerce.update_coupon(:given, name => 'New', quantity => 4) \g /dev/null
SELECT is(events('Coupon', :given), 'CouponCreated CouponChanged CouponChanged CouponChanged CouponChanged CouponChanged CouponChanged CouponChanged CouponChanged', 'but one to what it is already');
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :weaver, :given), 'it can be claimed now');
SELECT books() AS before \gset
SELECT refuses(format('SELECT commerce.update_coupon(%s, %s)', :given, arguments), 'INVALID_REQUEST', 'update_coupon(' || arguments || ')')
FROM unnest(ARRAY['name => ''''', 'quantity => 0', 'quantity => -1', 'quantity => 1000000000001', 'issue_until => ''2020-01-01''', 'issue_until => ''infinity''', 'issue_from => ''-infinity''',
	'issue_from => ''2099-01-02'', issue_until => ''2099-01-01''', 'min_order_amount => -1', 'max_discount => 0', 'round_unit => 0', 'max_units => 0', 'metadata => ''"x"''', 'clear => ''{name}''', 'clear => ''{quantity}''',
	'clear => ''{value}''', 'clear => ''{metadata}'', metadata => ''{}''', 'note => repeat(''a'', 2001)']) AS arguments;
SELECT refuses(format('SELECT commerce.update_coupon(%s, max_units => 1)', :all), 'INVALID_REQUEST', 'units of a coupon of no product');
SELECT refuses(format('SELECT commerce.update_coupon(%s, issue_from => ''2100-01-01'')', :all), 'INVALID_REQUEST', 'a window after valid_until');
SELECT refuses('SELECT commerce.update_coupon(NULL)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.update_coupon(0)', 'ENTITY_NOT_FOUND');
SELECT is(books(), :'before'::jsonb, 'what was refused changed nothing');
-- several changes in one transaction, with claims between
BEGIN;
SELECT commerce.update_coupon(:given, quantity => 9) \g /dev/null
SELECT commerce.update_coupon(:given, quantity => 6) \g /dev/null
SAVEPOINT s;
SELECT commerce.update_coupon(:given, quantity => 4) \g /dev/null
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :potter, :given), 'COUPON_SOLD_OUT', 'there are four');
ROLLBACK TO s;
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :potter, :given), 'and six after the rollback to the savepoint');
COMMIT;
SELECT is((SELECT remaining FROM commerce.coupon_list WHERE id = :given), 1::bigint, 'five of six are issued');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');

-- claim_coupon
SELECT id AS issue FROM commerce.claim_coupon(:kim, :spring) \gset
SELECT is(to_jsonb(i) - '{id,issued_at,expires_at,event_key,xid}'::text[],
	jsonb_build_object('user_id', :kim, 'coupon_id', :spring, 'name', 'Spring', 'description', 'd', 'kind', 'PERCENT', 'value', 10,
		'max_discount', 2000, 'round_unit', 100, 'min_order_amount', 5000, 'max_units', NULL, 'scope', 'PRODUCT', 'seller_id', :kiln, 'product_id', :teapot,
		'status', 'ACTIVE', 'used_at', NULL, 'used_order_id', NULL), 'a claim takes down what the coupon says')
FROM commerce.coupon_issues i WHERE id = :issue;
SELECT is((SELECT i FROM commerce.coupon_issues i WHERE id = :issue), i, 'and returns the row') FROM commerce.claim_coupon(:lee, :kilns) c, commerce.coupon_issues i WHERE i.id = :issue;
SELECT is(events('CouponIssue', :issue), 'CouponIssued', 'it writes CouponIssued');
SELECT ok(event_payload('CouponIssue', :issue, 'CouponIssued') @> jsonb_build_object('id', :issue, 'user_id', :kim, 'coupon_id', :spring, 'name', 'Spring', 'kind', 'PERCENT', 'value', 10, 'status', 'ACTIVE'),
	'which carries the issue');
SELECT is((SELECT remaining FROM commerce.coupon_list WHERE id = :spring), 2::bigint, 'coupon_list counts what remains');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :spring), 'COUPON_ALREADY_CLAIMED', 'a second claim of one user');
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :all), 'the only one of a coupon');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :lee, :all), 'COUPON_SOLD_OUT', 'is not there for the next');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :all), 'COUPON_ALREADY_CLAIMED', 'who has it is told so, sold out or not');
SELECT is((SELECT status FROM commerce.coupon_list WHERE id = :all), 'EXHAUSTED', 'and it is shown as EXHAUSTED');
SELECT refuses('SELECT commerce.claim_coupon(NULL, 1)', 'INVALID_REQUEST');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, NULL)', :kim), 'INVALID_REQUEST');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', id, :kilns), 'ENTITY_NOT_FOUND', 'a claim of user ' || id)
FROM unnest(ARRAY[0, -1, 9223372036854775807, -9223372036854775808]) AS id;
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, id), 'ENTITY_NOT_FOUND', 'a claim of coupon ' || id)
FROM unnest(ARRAY[0, -1, 9223372036854775807, -9223372036854775808]) AS id;

-- the window of issue
SELECT commerce.create_coupon('Later', 'FIXED', 1, 5, valid_days => 1, issue_from => now() + interval '1 hour') AS later \gset
SELECT commerce.create_coupon('Over', 'FIXED', 1, 5, valid_days => 1, issue_from => '2020-01-01', issue_until => '2100-01-02') AS over \gset
SELECT commerce.create_coupon('Past', 'FIXED', 1, 5, valid_until => '2100-01-02', issue_from => '2020-01-01') AS past \gset
RESET ROLE;
UPDATE commerce.coupons SET issue_until = '2020-01-02' WHERE id = :over;
UPDATE commerce.coupons SET valid_until = '2020-01-02' WHERE id = :past;
SET ROLE shop;
SELECT refuses(format('SELECT commerce.issue_coupon(%s, %s)', :past, :kim), 'COUPON_NOT_CLAIMABLE', 'to give what would expire at once');
SELECT lives_ok(format('SELECT commerce.issue_coupon(%s, %s)', :over, :lee), 'to give after the window');
SELECT commerce.create_coupon('Open', 'FIXED', 1, 5, valid_until => now() + interval '1 hour', issue_from => now() - interval '1 hour', issue_until => now() + interval '1 hour') AS open \gset
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :later), 'COUPON_NOT_CLAIMABLE', 'before the window');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :over), 'COUPON_NOT_CLAIMABLE', 'after the window');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :past), 'COUPON_NOT_CLAIMABLE', 'what would have expired already');
SELECT is(i.expires_at, c.valid_until, 'an issue is valid until valid_until') FROM commerce.claim_coupon(:kim, :open) i JOIN commerce.coupons c ON c.id = i.coupon_id;
SELECT results_eq(format('SELECT status::text FROM commerce.coupon_list WHERE id IN (%s, %s, %s, %s) ORDER BY id', :later, :over, :past, :open),
	$$VALUES ('SCHEDULED'), ('EXPIRED'), ('EXPIRED'), ('ACTIVE')$$, 'coupon_list shows what has not begun and what is over');
SELECT ok(stopped_at IS NOT NULL, 'stop_coupon returns the row') FROM commerce.stop_coupon(:open);
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :lee, :open), 'COUPON_NOT_CLAIMABLE', 'a stopped coupon');
SELECT refuses(format('SELECT commerce.issue_coupon(%s, %s)', :open, :lee), 'COUPON_NOT_CLAIMABLE', 'to give a stopped coupon');
SELECT is((SELECT status FROM commerce.coupon_list WHERE id = :open), 'STOPPED', 'is shown as STOPPED');
SELECT stopped_at FROM commerce.coupons WHERE id = :open \gset
SELECT is((commerce.stop_coupon(:open)).stopped_at, :'stopped_at', 'stopping again changes nothing of it');
SELECT is(events('Coupon', :open), 'CouponCreated CouponStopped', 'nor is it told again');
SELECT ok(EXISTS (SELECT FROM commerce.usable_coupons(:kim) WHERE coupon_id = :open), 'what was issued stays usable');
SELECT refuses('SELECT commerce.stop_coupon(NULL)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.stop_coupon(0)', 'ENTITY_NOT_FOUND');

-- A rolled back claim gives the quota back.
SELECT commerce.create_coupon('Two', 'FIXED', 1, 2, valid_days => 1) AS two \gset
BEGIN;
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :two), 'claimed');
SAVEPOINT s;
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :lee, :two), 'both of two');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :boss, :two), 'COUPON_SOLD_OUT', 'the third of two');
ROLLBACK TO s;
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :boss, :two), 'after a rollback to the savepoint');
ROLLBACK;
SELECT is((SELECT remaining FROM commerce.coupon_list WHERE id = :two), 2::bigint, 'a rollback gives all back');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :two), 'REPEATABLE READ claims');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :two), 'COUPON_ALREADY_CLAIMED', 'once');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :lee, :two), 'SERIALIZABLE claims');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :boss, :two), 'COUPON_SOLD_OUT', 'no more than there are');
COMMIT;
BEGIN READ ONLY;
SELECT refuses(statement, '25006', 'read-only: ' || statement)
FROM unnest(ARRAY['SELECT commerce.claim_coupon(1, 1)', 'SELECT commerce.stop_coupon(1)', 'SELECT commerce.revoke_coupon(1)',
	'SELECT commerce.expire_coupons()', 'SELECT commerce.update_coupon(1, name => ''x'')', 'SELECT commerce.issue_coupon(1, 1)', 'SELECT commerce.create_coupon(''x'', ''FIXED'', 1, 1, valid_days => 1)']) AS statement;
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :boss, :two), '25006', 'a sold-out coupon in a read-only transaction');
SELECT isnt_empty(format('SELECT * FROM commerce.usable_coupons(%s)', :kim), 'which can read the coupons');
COMMIT;

-- Folding does not change what remains.
SELECT jsonb_object_agg(id, remaining) AS remaining FROM commerce.coupon_list \gset
SELECT fold_all() \g /dev/null
SELECT is((SELECT jsonb_object_agg(id, remaining) FROM commerce.coupon_list), :'remaining'::jsonb, 'folding changes no remaining quantity');
SELECT is((SELECT on_hand FROM commerce_private.coupon_quota WHERE coupon_id = :two), 0::bigint, 'what ended is in on_hand');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :boss, :two), 'COUPON_SOLD_OUT', 'sold out stays sold out');

-- valid_days: whole days after the issue, in commerce.timezone, whatever the session's zone says of summer time.
SET TimeZone = 'America/New_York';
SELECT commerce.create_coupon('Days', 'FIXED', 1, 5, valid_days => 120) AS days120 \gset
SELECT commerce.create_coupon('Days', 'FIXED', 1, 5, valid_days => 240) AS days240 \gset
SELECT is(extract(epoch FROM expires_at - issued_at), 120 * 86400::numeric, '120 days are 120 days in Seoul') FROM commerce.claim_coupon(:lee, :days120);
SELECT is(extract(epoch FROM expires_at - issued_at), 240 * 86400::numeric, '240 days are 240 days in Seoul') FROM commerce.claim_coupon(:lee, :days240);
RESET TimeZone;

-- usable_coupons: only those usable now, the ones that expire first first
SELECT results_eq(format('SELECT coupon_id FROM commerce.usable_coupons(%s)', :kim),
	format('VALUES (%s::bigint), (%s), (%s), (%s)', :open, :two, :spring, :all), 'the ones that expire first come first');
RESET ROLE;
UPDATE commerce.coupon_issues SET expires_at = clock_timestamp() WHERE user_id = :kim AND coupon_id = :open;
SET ROLE shop;
SELECT results_eq(format('SELECT coupon_id FROM commerce.usable_coupons(%s)', :kim),
	format('VALUES (%s::bigint), (%s), (%s)', :two, :spring, :all), 'an overdue coupon is not usable, marked or not');
-- what an unpaid order holds is not usable, until it is overdue
SELECT id AS held FROM commerce.usable_coupons(:kim) WHERE coupon_id = :two \gset
SELECT id AS holder FROM commerce.place_order(:kim, format('[{"product_id":%s,"quantity":1}]', :own)::jsonb, ARRAY[:held]::bigint[], payment_method => 'EXTERNAL') \gset
SELECT is_empty(format('SELECT FROM commerce.usable_coupons(%s) WHERE id = %s', :kim, :held), 'a coupon that an unpaid order holds');
RESET ROLE;
UPDATE commerce.orders SET expires_at = now() - interval '1 second' WHERE id = :holder;
SET ROLE shop;
SELECT results_eq(format('SELECT status::text, used_at, used_order_id FROM commerce.usable_coupons(%s) WHERE id = %s', :kim, :held), $$VALUES ('ACTIVE', NULL::timestamptz, NULL::bigint)$$,
	'one that is overdue holds none');
SELECT lives_ok(format($$SELECT commerce.place_order(%s, '[{"product_id":%s,"quantity":1}]', '{%s}', payment_method => 'EXTERNAL')$$, :kim, :own, :held), 'and it can be used');
SELECT commerce.cancel_order(max(id), 'BUYER', :kim) FROM commerce.orders WHERE user_id = :kim \g /dev/null
SELECT refuses('SELECT * FROM commerce.usable_coupons(NULL)', 'INVALID_REQUEST');
SELECT refuses('SELECT * FROM commerce.usable_coupons(0)', 'ENTITY_NOT_FOUND');

-- revoke_coupon
SELECT remaining FROM commerce.coupon_list WHERE id = :spring \gset
SELECT refuses(format('SELECT commerce.revoke_coupon(%s, %s)', :issue, :kim), 'FORBIDDEN', 'a BUYER revokes');
SELECT refuses(format('SELECT commerce.revoke_coupon(%s, %s)', :issue, :weaver), 'FORBIDDEN', 'another SELLER revokes');
SELECT refuses(format('SELECT commerce.revoke_coupon(%s, 999999)', :issue), 'FORBIDDEN', 'nobody revokes');
SELECT commerce.set_user_status(:boss, 'SUSPENDED') \g /dev/null
SELECT refuses(format('SELECT commerce.revoke_coupon(%s, %s)', :issue, :boss), 'FORBIDDEN', 'a suspended ADMIN revokes');
SELECT commerce.set_user_status(:boss, 'ACTIVE') \g /dev/null
SELECT is((commerce.revoke_coupon(:issue, :boss, 'misuse')).status, 'REVOKED', 'an ADMIN revokes');
SELECT is(events('CouponIssue', :issue), 'CouponIssued CouponRevoked', 'with an event');
SELECT ok(event_payload('CouponIssue', :issue, 'CouponRevoked') @> (jsonb_build_object('id', :issue, 'status', 'REVOKED') || who('ADMIN', :boss, 'misuse')), 'that says who and why');
SELECT is((SELECT remaining FROM commerce.coupon_list WHERE id = :spring), :remaining::bigint, 'what is revoked does not return to the pool');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :spring), 'COUPON_ALREADY_CLAIMED', 'nor can it be claimed again');
SELECT refuses(format('SELECT commerce.revoke_coupon(%s)', :issue), 'COUPON_NOT_USABLE', 'to revoke twice');
SELECT refuses('SELECT commerce.revoke_coupon(NULL)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.revoke_coupon(0)', 'ENTITY_NOT_FOUND');
SELECT refuses('SELECT commerce.revoke_coupon(-9223372036854775808)', 'ENTITY_NOT_FOUND');

-- expire_coupons
SELECT id AS overdue FROM commerce.coupon_issues WHERE user_id = :kim AND coupon_id = :open \gset
SELECT refuses('SELECT commerce.expire_coupons(NULL)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.expire_coupons(0)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.expire_coupons(-1)', 'INVALID_REQUEST');
SELECT is(commerce.expire_coupons(), 1, 'what is overdue is marked');
SELECT is((SELECT status FROM commerce.coupon_issues WHERE id = :overdue), 'EXPIRED', 'EXPIRED');
SELECT is(events('CouponIssue', :overdue), 'CouponIssued CouponExpired', 'with its event');
SELECT is(commerce.expire_coupons(), 0, 'once');
SELECT refuses(format('SELECT commerce.revoke_coupon(%s)', :overdue), 'COUPON_NOT_USABLE', 'to revoke what has expired');
-- one that cannot be marked
RESET ROLE;
SELECT min(id) AS fixed FROM commerce.coupon_issues WHERE status = 'ACTIVE' \gset
SELECT count(*) AS others FROM commerce.coupon_issues WHERE status = 'ACTIVE' AND id <> :fixed \gset
CREATE TABLE former AS SELECT id, expires_at FROM commerce.coupon_issues WHERE status = 'ACTIVE';
UPDATE commerce.coupon_issues SET expires_at = clock_timestamp() - interval '1 day' - interval '1 second' * id WHERE status = 'ACTIVE';
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not this one'; END$$;
CREATE TRIGGER refuse BEFORE UPDATE ON commerce.coupon_issues FOR EACH ROW WHEN (OLD.id = :fixed) EXECUTE FUNCTION refuse();
SET client_min_messages = error;
SET ROLE shop;
SELECT is(commerce.expire_coupons()::bigint, :others::bigint, 'a coupon that cannot be marked does not keep the others');
SELECT results_eq($$SELECT id FROM commerce.coupon_issues WHERE status = 'ACTIVE'$$, format('VALUES (%s::bigint)', :fixed), 'which are marked');
SELECT is(events('CouponIssue', :fixed), 'CouponIssued', 'nothing is told of it');
RESET ROLE;
RESET client_min_messages;
DROP TRIGGER refuse ON commerce.coupon_issues;
SET ROLE shop;
SELECT is(commerce.expire_coupons(), 1, 'it is marked when it can be');
RESET ROLE;
UPDATE commerce.coupon_issues i SET status = 'ACTIVE', expires_at = f.expires_at FROM former f WHERE f.id = i.id;
DROP TABLE former;

UPDATE commerce.coupon_issues SET expires_at = clock_timestamp() - interval '1 day' WHERE status = 'ACTIVE';
SET ROLE shop;
SELECT is(commerce.expire_coupons(2), 2, 'at most max_rows at once');
SELECT isnt(commerce.expire_coupons(), 0, 'the rest the next time');
SELECT is_empty(format('SELECT * FROM commerce.usable_coupons(%s)', :kim), 'nothing is usable');

-- What remains goes with a quantity that is changed by hand.
SELECT commerce.create_coupon('Two', 'FIXED', 1000, 2, valid_days => 1) AS two \gset
SELECT commerce.claim_coupon(:kim, :two) \g /dev/null
RESET ROLE;
UPDATE commerce.coupons SET quantity = 3 WHERE id = :two;
SELECT results_eq(format('SELECT remaining, status::text FROM commerce.coupon_list WHERE id = %s', :two), $$VALUES (2::bigint, 'ACTIVE')$$, 'more can be claimed');
SET ROLE shop;
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :lee, :two), 'the second');
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :boss, :two), 'and the third are claimed');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :potter, :two), 'SH004', 'the fourth');
RESET ROLE;
SELECT refuses(format('UPDATE commerce.coupons SET quantity = 2 WHERE id = %s', :two), 'INVALID_REQUEST', 'fewer than are issued');
UPDATE commerce.coupons SET quantity = 5 WHERE id = :two;
UPDATE commerce.coupons SET quantity = 3 WHERE id = :two;
SELECT is((SELECT remaining FROM commerce.coupon_list WHERE id = :two), 0::bigint, 'and fewer again');
-- A coupon is looked for where it was found last. Other rows are there now, or none, and it is found all the same.
INSERT INTO commerce.coupons (name, kind, value, quantity, valid_days, description)
SELECT 'filling', 'FIXED', 1, 1, 1, (SELECT string_agg(md5(n || ' ' || m), '') FROM generate_series(1, 40) m) FROM generate_series(1, 40) n;
SET ROLE shop;
SELECT commerce.create_coupon('moving', 'FIXED', 7, 10, valid_days => 1) AS moving \gset
SELECT is((SELECT value FROM commerce.claim_coupon(:kim, :moving)), 7::bigint, 'a coupon at the end of its table');
RESET ROLE;
UPDATE commerce.coupons SET description = NULL WHERE name = 'filling' OR id = :spring;
VACUUM FULL commerce.coupons;
SET ROLE shop;
SELECT is((SELECT value FROM commerce.claim_coupon(:lee, :moving)), 7::bigint, 'the table has become shorter');
SELECT is((SELECT value FROM commerce.claim_coupon(:weaver, :moving)), 7::bigint, 'it is where it was found');
RESET ROLE;
DELETE FROM commerce.coupons WHERE name = 'filling';
VACUUM FULL commerce.coupons;
UPDATE commerce.coupons SET value = 8 WHERE id = :moving;
UPDATE commerce.coupons SET description = 'moved behind' WHERE id = :two;
VACUUM FULL commerce.coupons;
SET ROLE shop;
SELECT is((SELECT value FROM commerce.claim_coupon(:potter, :moving)), 8::bigint, 'it has moved and changed');
SELECT ctid AS place FROM commerce.coupons WHERE id = :moving \gset
RESET ROLE;
UPDATE commerce.coupons SET description = 'first' WHERE ctid < :'place';
VACUUM FULL commerce.coupons;
SET ROLE shop;
SELECT isnt((SELECT id FROM commerce.coupons WHERE ctid = :'place'), :moving::bigint, 'another coupon is where it was');
SELECT is((SELECT value FROM commerce.claim_coupon(:boss, :moving)), 8::bigint, 'which is not taken for it');
-- what else is wrong is told before "sold out"
SELECT commerce.create_coupon('gone', 'FIXED', 1, 1, valid_days => 1) AS gone \gset
SELECT lives_ok(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :gone), 'the last one');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :lee, :gone), 'COUPON_SOLD_OUT', 'a second user');
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :kim, :gone), 'COUPON_ALREADY_CLAIMED', 'who has it');
SELECT refuses(format('SELECT commerce.claim_coupon(0, %s)', :gone), 'ENTITY_NOT_FOUND', 'a user who is unknown');
SELECT commerce.set_user_status(:weaver, 'SUSPENDED') \g /dev/null
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :weaver, :gone), 'FORBIDDEN', 'a user who is suspended');
SELECT commerce.set_user_status(:weaver, 'ACTIVE') \g /dev/null
SELECT commerce.stop_coupon(:gone) \g /dev/null
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :lee, :gone), 'COUPON_NOT_CLAIMABLE', 'a coupon that is stopped');
RESET ROLE;
-- one that is inserted by hand has no quota
INSERT INTO commerce.coupons (name, kind, value, quantity, valid_days) VALUES ('hand', 'FIXED', 1, 1, 1) RETURNING id AS hand \gset
SELECT refuses(format('SELECT commerce.claim_coupon(%s, %s)', :lee, :hand), 'ENTITY_NOT_FOUND', 'a coupon without a quota');
DELETE FROM commerce.coupons WHERE id = :hand;
-- a product that is inserted by hand has no stock
INSERT INTO commerce.products (name, price) VALUES ('hand', 100) RETURNING id AS hand \gset
SELECT refuses(format('SELECT commerce.available_stock(%s)', :hand), 'ENTITY_NOT_FOUND', 'what is there of it');
SELECT refuses(format('SELECT commerce.adjust_stock(%s, 1)', :hand), 'ENTITY_NOT_FOUND', 'to add to it');
SELECT refuses(format($$SELECT commerce.place_order((SELECT min(id) FROM commerce.users), '[{"product_id": %s, "quantity": 1}]')$$, :hand), 'ENTITY_NOT_FOUND', 'to order it');
DELETE FROM commerce.products WHERE id = :hand;
SET ROLE shop;

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
