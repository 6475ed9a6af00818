-- What is kept about a person: told by export_user(), erased by erase_user().
-- role: postgres
-- Postgres only moves clocks by hand.

SELECT no_plan();
SET ROLE shop;
SELECT commerce.create_user('Boss', 'boss@example.com', role => 'ADMIN') AS boss \gset
SELECT commerce.create_user('Kim Minji', 'minji@example.com', '010-1', 'Seoul 1', external_id => 'sub-1', metadata => '{"birthday": "1999-01-01"}', idempotency_key => 'kim') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com', address => 'Busan') AS lee \gset
SELECT commerce.create_product(NULL, 'cup', 1000, 100) AS cup \gset
SELECT commerce.create_coupon('c', 'FIXED', 100, 10, valid_days => 1) AS coupon \gset
SELECT commerce.create_coupon('d', 'FIXED', 100, 10, valid_days => 1) AS other \gset
SELECT id AS issue FROM commerce.claim_coupon(:kim, :coupon) \gset
SELECT id AS used FROM commerce.claim_coupon(:kim, :other) \gset
SELECT * FROM commerce.charge_balance(:kim, 1000, 'charge') \g /dev/null
SELECT * FROM commerce.charge_balance(:lee, 9000, 'charge') \g /dev/null
SELECT format('[{"product_id":%s,"quantity":1}]', :cup) AS one \gset
SELECT id AS lees FROM commerce.place_order(:lee, :'one') \gset
SELECT id AS sheet FROM commerce.create_order_sheet(:kim, :'one') \gset
SELECT id AS o FROM commerce.place_order(:kim, :'one', ARRAY[:used]::bigint[], 'buy', delivery => '{"name": "Kim''s mother", "phone": "010-2", "address": "Jeju", "memo": "at the door"}', metadata => '{"gift": "secret"}') \gset
SELECT id AS item FROM commerce.order_items WHERE order_id = :o \gset

-- export_user
SELECT commerce.export_user(:kim) AS exported \gset
SELECT bag_eq(format('SELECT jsonb_object_keys(%L::jsonb)', :'exported'),
	ARRAY['user', 'seller', 'orders', 'charges', 'balance_entries', 'coupons', 'order_sheets'], 'the parts of an export');
SELECT is(((:'exported'::jsonb)->'user') - '{created_at,updated_at}'::text[], jsonb_build_object('id', :kim, 'external_id', 'sub-1', 'name', 'Kim Minji',
	'email', 'minji@example.com', 'phone', '010-1', 'balance', 100, 'address', 'Seoul 1', 'role', 'BUYER', 'status', 'ACTIVE', 'erased_at', NULL,
	'metadata', '{"birthday": "1999-01-01"}'::jsonb), 'the user');
SELECT is(jsonb_path_query_array(:'exported', '$.orders[*].recipient_name'), '["Kim''s mother"]', 'the orders, with their recipients');
SELECT is(jsonb_path_query_array(:'exported', '$.orders[*].items[*].history[*].event'), '["PAID", "PREPARING"]', 'their items and what happened to them');
SELECT is(jsonb_path_query_array(:'exported', '$.orders[*].payments[*].amount'), '[900]', 'their payments');
SELECT is(jsonb_path_query_array(:'exported', '$.orders[*].coupons[*].coupon_issue_id'), jsonb_build_array(:used), 'and coupons');
SELECT is(jsonb_path_query_array(:'exported', '$.balance_entries[*].amount'), '[1000, -900]', 'the entries of the balance');
SELECT is(jsonb_path_query_array(:'exported', '$.coupons[*].id'), jsonb_build_array(:issue, :used), 'the coupons');
SELECT is(jsonb_path_query_array(:'exported', '$.order_sheets[*].items[*].product_id'), jsonb_build_array(:cup), 'the sheets with their lines');
SELECT is((:'exported'::jsonb)->'charges', '[]', 'no charge by a provider');
SELECT is((:'exported'::jsonb)->'seller', 'null', 'and no business');
SELECT ok(:'exported' !~ '(event_key|xid|last_entry)', 'nothing internal');
SELECT ok(:'exported' !~ 'Busan', 'nothing of anybody else');
SELECT commerce.create_user('New') AS new \gset
SELECT is(commerce.export_user(:new)->'orders', '[]', 'who has nothing has empty parts');
SELECT refuses('SELECT commerce.export_user(NULL)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.export_user(999999)', 'ENTITY_NOT_FOUND');

-- What is open keeps a person from being erased.
CREATE FUNCTION pg_temp.open(id bigint) RETURNS text LANGUAGE sql AS $$
	SELECT tap.detail_of(format('SELECT commerce.erase_user(%s)', id))::jsonb->>'reason'
$$;
SELECT refuses(format('SELECT commerce.erase_user(%s)', :kim), 'OPEN_BUSINESS', 'a balance');
SELECT is(pg_temp.open(:kim), 'BALANCE_LEFT', 'which the detail names');
SELECT * FROM commerce.adjust_balance(:kim, -100, 'pay-out') \g /dev/null
SELECT is(pg_temp.open(:kim), 'ORDER_OPEN', 'an order that is under way');
SELECT status FROM commerce.change_item_status(:item, 'DISPATCHED', 'ADMIN') \g /dev/null
SELECT status FROM commerce.change_item_status(:item, 'IN_TRANSIT', 'ADMIN') \g /dev/null
SELECT status FROM commerce.change_item_status(:item, 'DELIVERED', 'ADMIN', note => 'to her mother') \g /dev/null
SELECT is(pg_temp.open(:kim), 'ORDER_OPEN', 'one that can be returned');
SELECT id AS p FROM commerce.place_order(:kim, :'one', payment_method => 'EXTERNAL') \gset
SELECT is(pg_temp.open(:kim), 'PAYMENT_REQUESTED', 'a payment that is requested');
SELECT status FROM commerce.cancel_order(:p, 'BUYER') \g /dev/null
RESET ROLE;
UPDATE commerce.order_items SET delivered_at = now() - interval '8 days' WHERE id = :item;
INSERT INTO commerce.payments (order_id, user_id, kind, method, status, amount) VALUES (:p, :kim, 'PAYMENT', 'EXTERNAL', 'UNEXPECTED', 100) RETURNING id AS unexpected \gset
SET ROLE shop;
SELECT is(pg_temp.open(:kim), 'PAYMENT_UNEXPECTED', 'money that was not asked for');
RESET ROLE;
INSERT INTO commerce.payments (order_id, user_id, kind, method, status, amount, refund_of) VALUES (:p, :kim, 'REFUND', 'EXTERNAL', 'FAILED', 100, :unexpected);
SELECT is(pg_temp.open(:kim), 'PAYMENT_UNEXPECTED', 'of which the refund failed');
DELETE FROM commerce.payments WHERE refund_of = :unexpected;
DELETE FROM commerce.payments WHERE id = :unexpected;
SET ROLE shop;
SELECT refuses(format('SELECT commerce.erase_user(%s, %s)', :kim, actor), 'FORBIDDEN', 'actor ' || actor) FROM unnest(ARRAY[:kim, :lee, 999999]) AS actor;
SELECT refuses('SELECT commerce.erase_user(NULL)', 'INVALID_REQUEST');
SELECT refuses('SELECT commerce.erase_user(999999)', 'ENTITY_NOT_FOUND');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT refuses(format('SELECT commerce.erase_user(%s)', :kim), '25001', 'in REPEATABLE READ');
COMMIT;

-- Then nothing of the person is left but books and orders.
SELECT sum(balance_after) AS entries, count(*) AS n FROM commerce.balance_entries WHERE user_id = :kim \gset
SELECT results_eq(format('SELECT status::text, name, email, phone, address, external_id, metadata, erased_at IS NOT NULL, balance FROM commerce.erase_user(%s, %s, ''asked for by letter'')', :kim, :boss),
	$$VALUES ('WITHDRAWN', 'erased', NULL::text, NULL::text, NULL::text, NULL::text, NULL::jsonb, true, 0::bigint)$$, 'a person past the time for a return is erased');
SELECT is_empty(format('SELECT FROM commerce.orders WHERE user_id = %s AND num_nonnulls(recipient_name, recipient_phone, recipient_address, recipient_memo, metadata) > 0', :kim), 'recipients too');
SELECT results_eq(format('SELECT id, status::text FROM commerce.coupon_issues WHERE user_id = %s ORDER BY id', :kim),
	format($$VALUES (%s::bigint, 'REVOKED'), (%s, 'USED')$$, :issue, :used), 'the coupon that was active is revoked');
SELECT is(events('CouponIssue', :issue), 'CouponIssued CouponRevoked', 'with its event');
SELECT is(event_payload('User', :kim, 'UserErased') - 'erased_at', jsonb_build_object('user_id', :kim, 'status', 'WITHDRAWN') || who('ADMIN', :boss, 'asked for by letter'),
	'UserErased says whom and who, and nothing else');
SELECT is((SELECT count(*) FROM commerce.balance_entries WHERE user_id = :kim), :n::bigint, 'the entries stay');
SELECT is((SELECT payment_amount FROM commerce.orders WHERE id = :o), 900::bigint, 'the orders too');
SELECT is_empty(format($$SELECT FROM commerce_private.idempotency_keys WHERE scope IN ('user:%s', 'order:%s', 'item:%s')$$, :kim, :o, :item), 'no key has a result of his');
SELECT isnt_empty($$SELECT FROM commerce_private.idempotency_keys WHERE scope = 'shop'$$, 'others'' keys stay');
SELECT results_eq(format('SELECT * FROM commerce.charge_balance(%s, 1000, ''charge'')', :kim), format('VALUES (%s::bigint, 1000::bigint)', :kim), 'the key of a charge is known');
SELECT ok(commerce.export_user(:kim)::text !~ '(minji|Minji|010-|Seoul|Jeju|sub-1|birthday|secret|the door)', 'an export has nothing personal');
SELECT ok(commerce.export_user(:kim)::text ~ 'to her mother', 'but notes');
SELECT lives_ok($$SELECT commerce.create_user('Again', 'MINJI@example.com', external_id => 'sub-1')$$, 'e-mail and external id are free again');
SELECT books() AS before \gset
SELECT is((commerce.erase_user(:kim, :boss)).name, 'erased', 'a second call');
SELECT is(books(), :'before'::jsonb, 'changes nothing');
SELECT refuses(format('SELECT commerce.set_user_status(%s, ''ACTIVE'')', :kim), 'INVALID_STATE_TRANSITION', 'nobody comes back');
SELECT refuses(format('SELECT commerce.update_user(%s, name => ''Kim'')', :kim), 'INVALID_STATE_TRANSITION', 'nor gets a name');
SELECT refuses(format('SELECT commerce.create_seller(%s, ''Kim'', ''1'')', :kim), 'INVALID_STATE_TRANSITION', 'nor a business');
SELECT refuses(format('SELECT commerce.charge_balance(%s, 100)', :kim), 'FORBIDDEN', 'nor charges');
SELECT is((SELECT recipient_address FROM commerce.orders WHERE id = :lees), 'Busan', 'others'' orders are as they were');

-- Sellers: not while they sell or have to deliver; their business stays.
SELECT commerce.create_user('Potter', 'potter@example.com', external_id => 'p') AS potter \gset
SELECT commerce.create_seller(:potter, 'Kiln', '123', cs_phone => '02', address => 'Icheon') AS kiln \gset
SELECT commerce.create_product(:kiln, 'pot', 1000, 100) AS pot \gset
SELECT is(pg_temp.open(:potter), 'PRODUCT_ON_SALE', 'a seller with something to sell');
SELECT id AS pots FROM commerce.place_order(:lee, format('[{"product_id":%s,"quantity":1}]', :pot)::jsonb) \gset
SELECT commerce.set_product_status(:pot, 'DISCONTINUED') \g /dev/null
SELECT is(pg_temp.open(:potter), 'ITEM_TO_DELIVER', 'with something to deliver');
SELECT status FROM commerce.cancel_order(:pots, 'BUYER') \g /dev/null
SELECT is((commerce.erase_user(:potter)).role, 'SELLER', 'and when there is nothing');
SELECT results_eq(format('SELECT business_name, registration_number, cs_phone, address, active FROM commerce.sellers WHERE id = %s', :kiln),
	$$VALUES ('Kiln', '123', '02', 'Icheon', false)$$, 'the business stays, and sells nothing');
SELECT is(event_payload('Seller', :kiln, 'SellerChanged')->'active', 'false', 'which is told');

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
