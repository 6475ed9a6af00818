-- role: postgres
-- What calls over HTTP answer: status, headers, body; and how PostgreSQL's own errors look there.

\ir api_helpers.psql
SELECT no_plan();

-- 201, 202, 200
SELECT is(r.status, 201, 'an order is 201'), is(r.code, 'SUCCESS', 'with SUCCESS'), is(r.body->>'message', 'the request succeeded', 'and its message'),
	   is(r.headers->>'Location', '/rpc/get_order?order_id=1', 'and a Location'), is(r.headers->>'Vary', 'Accept-Language', 'and Vary'),
	   ok(r.headers->>'Access-Control-Expose-Headers' LIKE '%Idempotent-Replayed%', 'and its headers can be read'),
	   is(r.data->>'status', 'PAID', 'it is paid'), is(r.data->>'user_id', '1', 'it is the caller''s'),
	   is(jsonb_array_length(r.data->'items'), 1, 'it has its items'), ok(NOT r.data ? 'event_key', 'and nothing that is ours alone')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 1, "quantity": 2}]}') r;
SELECT is(r.status, 200, 'it can be read'), is(r.data->'items'->0->'history'->0->>'event', 'PAID', 'with its history'),
	   is(r.data->'payments'->0->>'amount', '21000', 'and its payment')
FROM tap.http('buyer 1', 'get_order', '{"order_id": "1"}') r;
SELECT is(r.status, 404, 'not by another buyer'), is(r.code, 'ENTITY_NOT_FOUND', 'who does not find it')
FROM tap.http('buyer 2', 'get_order', '{"order_id": "1"}') r;
SELECT is(r.status, 200, 'but by an administrator') FROM tap.http('admin 5', 'get_order', '{"order_id": "1"}') r;
SELECT is(r.status, 202, 'an order that is not paid yet is 202'), is(r.headers->>'Location', '/rpc/get_order?order_id=2', 'with a Location')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 1, "quantity": 2}], "payment_method": "EXTERNAL"}') r;
SELECT is(r.status, 200, 'a charge is 200'), is(r.data->>'balance', '9980000', 'with the balance'), ok(NOT r.headers ? 'Location', 'and nothing made')
FROM tap.http('buyer 1', 'charge_balance', '{"amount": 1000}') r;
SELECT is(r.status, 201, 'a claim is 201'), is(r.headers->>'Location', '/coupon_issues?id=eq.1', 'with a Location')
FROM tap.http('buyer 1', 'claim_coupon', '{"coupon_id": 1}') r;
SELECT is(r.data->>'product_id', '6', 'a scalar result has a name'), is(r.headers->>'Location', '/rpc/get_product?product_id=6', 'that Location uses')
FROM tap.http('seller 3', 'create_product', '{"name": "jug", "price": 100, "stock": 0}') r;
SELECT is((SELECT seller_id FROM commerce.products WHERE id = 6), 1::bigint, 'a seller makes its own products');
SELECT is(r.data->>'status', 'SOLD_OUT', 'a product with nothing left') FROM tap.http('anon', 'get_product', '{"product_id": "6"}') r;
SELECT is(r.status, 404, 'a discontinued product') FROM tap.http('anon', 'get_product', '{"product_id": "5"}') r;
SELECT is(jsonb_array_length(r.data), 1, 'a set is an array') FROM tap.http('buyer 1', 'usable_coupons') r;
SELECT is(r.data, '[]', 'an empty one too') FROM tap.http('buyer 2', 'usable_coupons') r;

-- a sheet, the order made of it, and its life
SELECT is(r.status, 201, 'a sheet is 201'), is(r.headers->>'Location', '/order_sheets?id=eq.' || (r.data->>'id'), 'with a Location'),
	   is(r.data->'items'->0->>'line_total', '9500', 'and priced lines'), ok(set_config('tap.sheet', r.data->>'id', false) <> '', 'and an id')
FROM tap.http('buyer 2', 'create_order_sheet', '{"items": [{"product_id": 3, "quantity": 2}]}') r;
SELECT is(r.status, 404, 'somebody else''s sheet is not found')
FROM tap.http('buyer 1', 'place_sheet_order', jsonb_build_object('order_sheet_id', current_setting('tap.sheet'))) r;
SELECT is(r.status, 201, 'its own makes an order'), is(jsonb_array_length(r.data->'items'), 1, 'with its items'),
	   ok(set_config('tap.item', r.data->'items'->0->>'id', false) <> '', 'of some id'), ok(set_config('tap.order', r.data->>'id', false) <> '', 'too')
FROM tap.http('buyer 2', 'place_sheet_order', jsonb_build_object('order_sheet_id', current_setting('tap.sheet'))) r;
SELECT is(r.code, 'ORDER_SHEET_USED', 'once')
FROM tap.http('buyer 2', 'place_sheet_order', jsonb_build_object('order_sheet_id', current_setting('tap.sheet'))) r;
SELECT is(r.status, 404, 'another buyer does not find it') FROM tap.http('buyer 1', 'cancel_order', jsonb_build_object('order_id', current_setting('tap.order')::int)) r;
SELECT is(r.status, 404, 'nor its item')
FROM tap.http('buyer 1', 'change_item_status', jsonb_build_object('order_item_id', current_setting('tap.item')::int, 'new_status', 'CANCELLED')) r;
SELECT is(r.status, 404, 'nor does another seller')
FROM tap.http('seller 3', 'change_item_status', jsonb_build_object('order_item_id', current_setting('tap.item')::int, 'new_status', 'DISPATCHED')) r;
SELECT is(r.data->>'status', 'PARTIALLY_CANCELLED', 'a part of it cancelled'), is(jsonb_array_length(r.data->'items'), 2, 'is split off')
FROM tap.http('buyer 2', 'cancel_order_item', jsonb_build_object('order_item_id', current_setting('tap.item')::int, 'quantity', 1)) r;
SELECT is(r.code, 'INVALID_STATE_TRANSITION', 'a buyer does not dispatch')
FROM tap.http('buyer 2', 'change_item_status', jsonb_build_object('order_item_id', current_setting('tap.item')::int, 'new_status', 'DISPATCHED')) r;
SELECT is(r.data->>'status', s.status, format('%s: %s', s.caller, s.status))
FROM (VALUES ('seller 4', 'DISPATCHED'), ('seller 4', 'IN_TRANSIT'), ('admin 5', 'DELIVERED'), ('buyer 2', 'RETURN_REQUESTED'), ('seller 4', 'RETURN_PROCESSING'), ('seller 4', 'RETURNED')) s (caller, status)
CROSS JOIN LATERAL tap.http(s.caller, 'change_item_status', jsonb_build_object('order_item_id', current_setting('tap.item')::int, 'new_status', s.status)) r;
SELECT is(e.actor::text || e.actor_id, 'SELLER2', 'a seller''s steps carry the seller''s id') FROM commerce.order_item_events e
WHERE e.order_item_id = current_setting('tap.item')::int AND e.event = 'DISPATCHED';
SELECT is(r.data->>'status', 'REFUNDED', 'all of it came back') FROM tap.http('buyer 2', 'get_order', jsonb_build_object('order_id', current_setting('tap.order'))) r;
SELECT is(r.data->>'status', 'PAID', 'a payment is confirmed by an administrator') FROM tap.http('admin 5', 'confirm_payment', '{"order_id": 2, "succeeded": true, "provider_event_id": "e1"}') r;
SELECT is(r.data->>'status', 'REFUNDED', 'and cancelled by its buyer') FROM tap.http('buyer 1', 'cancel_order', '{"order_id": 2}') r;

-- Idempotency-Key
SELECT is(r.status, 201, 'first with a key'), ok(NOT r.headers ? 'Idempotent-Replayed', 'is no replay')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 3, "quantity": 1}]}', '{"idempotency-key": "k"}') r;
SELECT is(r.status, 201, 'again with the key'), is(r.headers->>'Idempotent-Replayed', 'true', 'is a replay'), is(r.data->>'id', '4', 'of the same order'),
	   is(jsonb_array_length(r.data->'items'), 1, 'with its items')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 3, "quantity": 1}]}', '{"idempotency-key": "k"}') r;
SELECT is(r.status, 200, 'a charge after it'), ok(NOT r.headers ? 'Idempotent-Replayed', 'is no replay')
FROM tap.http('buyer 1', 'charge_balance', '{"amount": 1000}', '{"idempotency-key": "k"}') r;
SELECT is(r.status, 422, 'the key for another order'), is(r.code, 'IDEMPOTENCY_KEY_REUSED', 'says so')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 3, "quantity": 2}]}', '{"idempotency-key": "k"}') r;
SELECT is(r.status, 400, 'an empty key') FROM tap.http('buyer 1', 'charge_balance', '{"amount": 1000}', '{"idempotency-key": ""}') r;

-- the table's errors and their headers
SELECT is(r.status, 401, 'no token'), is(r.headers->>'WWW-Authenticate', 'Bearer', 'says what is wanted'), is(r.body->>'hint', 'The request has no token, or its token lacks a role, an audience or a subject.', 'and why'),
	   ok(r.body ?& '{code,message,details,hint}'::text[], 'all four members are there'),
	   ok(r.headers->>'Access-Control-Expose-Headers' LIKE '%WWW-Authenticate%', 'and the headers can be read')
FROM tap.http('anon', 'get_balance') r;
SELECT is(r.status, 409, 'not enough stock'), is(r.code, 'STOCK_NOT_ENOUGH', 'says so') FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 1, "quantity": 1000}]}') r;
SELECT commerce.create_user('Poor', 'poor@example.com') \g /dev/null
SELECT is(r.code, 'BALANCE_NOT_ENOUGH', 'not enough balance') FROM tap.http('buyer 7', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}]}') r;
SELECT is(r.code, 'COUPON_ALREADY_CLAIMED', 'a coupon twice') FROM tap.http('buyer 1', 'claim_coupon', '{"coupon_id": 1}') r;
SELECT is(r.status, 400, 'charge not a multiple of 100'), is(r.code, 'INVALID_REQUEST', 'says so') FROM tap.http('buyer 1', 'charge_balance', '{"amount": 50}') r;
SELECT is(r.details::jsonb, '{"argument": "payment_method", "reason": "cannot be \"CASH\""}', 'an unknown label') FROM tap.http('buyer 1', 'place_order', '{"items": [], "payment_method": "CASH"}') r;
SELECT is(r.details::jsonb, '{"argument": "starts_at", "reason": "must be a time such as 2026-12-01T09:00:00+09:00"}', 'a malformed time') FROM tap.http('seller 3', 'create_promotion', '{"product_id": 1, "kind": "FIXED", "value": 1, "starts_at": "yesterday-ish", "ends_at": "2030-01-01"}') r;

-- a token whose claims PostgreSQL cannot read is none
CREATE FUNCTION tap.with_claims(claims text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM tap.become('buyer 1', 'GET', '/', '{}'), set_config('request.jwt.claims', claims, true);
	EXECUTE statement INTO result;
	PERFORM tap.unbecome();
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || CASE SQLSTATE WHEN 'PGRST' THEN ' ' || (SQLERRM::json->>'code') ELSE '' END;
END
$$;
SELECT is(tap.with_claims(c.claims, s.statement), s.result, format('%s with %s', s.statement, left(c.claims, 60)))
FROM (VALUES ('{"role": "api_buyer", "sub": "1", "x": "\u0000"}'), ('{"role": "api_buyer", "x": "\u0000", "sub": "1"}'), ('{"sub": "\u0000"}'), ('{"sub": "1"')) c (claims)
CROSS JOIN (VALUES ('SELECT commerce_api.get_balance()', 'PGRST UNAUTHENTICATED'), ('SELECT commerce_api.charge_balance(''{"amount": 1000}'')', 'PGRST UNAUTHENTICATED'),
	('SELECT count(*) FROM commerce_api.orders', '0')) s (statement, result);
SELECT is(tap.with_claims('{"sub": "1", "x": "\\u0000"}', 'SELECT count(*) > 0 FROM commerce_api.orders'), 'true', 'others are as good as they look');

-- languages
SELECT is(r.body->>'message', '요청에 성공했습니다.', 'Korean') FROM tap.http('buyer 1', 'get_balance', '{}', '{"accept-language": "ko-KR,ko;q=0.9,en;q=0.8"}') r;
SELECT is(r.body->>'message', '인증이 필요합니다.', 'Korean errors') FROM tap.http('anon', 'get_balance', '{}', '{"accept-language": "ko"}') r;
SELECT is(r.body->>'message', 'the request succeeded', 'English') FROM tap.http('buyer 1', 'get_balance', '{}', '{"accept-language": "en;q=0.9,ko;q=0.1"}') r;

-- somebody else's things are not found
SELECT is(r.status, 404, f.called || ' of another seller''s: ' || r.details)
FROM (VALUES ('update_product', '{"product_id": 3, "price": 1}'::jsonb), ('set_product_status', '{"product_id": 3, "status": "DISCONTINUED"}'),
	('adjust_stock', '{"product_id": 3, "delta": 1}'), ('adjust_stock', '{"product_id": 4, "delta": 1}'), ('update_promotion', '{"promotion_id": 2, "value": 1}'), ('end_promotion', '{"promotion_id": 2}'), ('stop_coupon', '{"coupon_id": 4}'), ('update_coupon', '{"coupon_id": 4, "quantity": 200}'), ('issue_coupon', '{"coupon_id": 1, "user_id": 2}'), ('revoke_coupon', '{"coupon_issue_id": 1}'), ('stop_coupon', '{"coupon_id": 1}'),
	('create_promotion', '{"product_id": 3, "kind": "FIXED", "value": 1, "starts_at": "2030-01-01", "ends_at": "2030-02-01"}'),
	('create_coupon', '{"name": "x", "kind": "FIXED", "value": 1, "quantity": 1, "valid_days": 1, "product_id": 3}')) f (called, body)
CROSS JOIN LATERAL tap.http('seller 3', f.called, f.body) r;
SELECT is(r.code, 'SUCCESS', f.called || ' of one''s own')
FROM (VALUES ('update_product', '{"product_id": 2, "price": 1000}'::jsonb), ('adjust_stock', '{"product_id": 2, "delta": 1}'), ('stop_coupon', '{"coupon_id": 3}'),
	('create_coupon', '{"name": "x", "kind": "FIXED", "value": 1, "quantity": 1, "valid_days": 1, "product_id": 2}')) f (called, body)
CROSS JOIN LATERAL tap.http('seller 3', f.called, f.body) r;

-- a seller is answered what is the seller's of an order
SELECT is((r.data->'items'->0->>'seller_id')::int, 1, 'a part of a seller''s line is cancelled'), is(jsonb_array_length(r.data->'items'), 2, 'and is a row'),
	   is(r.data->>'recipient_name', 'Lee', 'of an order for somebody'), ok(NOT r.data ?| '{user_id,payment_amount,status}'::text[], 'of which nothing else is told'),
	   is((SELECT count(*) FROM jsonb_array_elements(r.data->'items') i WHERE i->>'seller_id' <> '1'), 0::bigint, 'nor other sellers'' lines')
FROM tap.http('buyer 2', 'place_order', '{"items": [{"product_id": 2, "quantity": 2}, {"product_id": 3, "quantity": 1}]}') o
CROSS JOIN LATERAL (SELECT i->'id' AS id FROM jsonb_array_elements(o.data->'items') i WHERE i->>'seller_id' = '1') i
CROSS JOIN LATERAL tap.http('seller 3', 'cancel_order_item', jsonb_build_object('order_item_id', i.id, 'quantity', 1)) r;

-- a parcel is its seller's, and its buyer's to see
CREATE TABLE tap.parcel AS
SELECT o.data->'id' AS order_id, o.data->'items'->0->'id' AS item_id
FROM tap.http('buyer 2', 'place_order', '{"items": [{"product_id": 2, "quantity": 2}]}') o;
SELECT is(r.status, 404, 'another buyer changes nothing about where it goes') FROM tap.parcel p, tap.http('buyer 1', 'update_delivery', jsonb_build_object('order_id', p.order_id, 'delivery', '{"memo": "here"}'::jsonb)) r;
SELECT is(r.data->>'recipient_memo', 'here', 'its own does') FROM tap.parcel p, tap.http('buyer 2', 'update_delivery', jsonb_build_object('order_id', p.order_id, 'delivery', '{"memo": "here"}'::jsonb)) r;
SELECT is(r.status, 404, 'another seller does not send it') FROM tap.parcel p, tap.http('seller 4', 'dispatch_items', jsonb_build_object('order_item_ids', jsonb_build_array(p.item_id))) r;
SELECT is(r.status, s.status, 'its seller sends it: ' || s.status), is(r.headers->>'Location', s.location, 'and is told where it is')
FROM tap.parcel p, (VALUES (201, '/shipments?id=eq.1'), (201, '/shipments?id=eq.1')) s (status, location),
	LATERAL tap.http('seller 3', 'dispatch_items', jsonb_build_object('order_item_ids', jsonb_build_array(p.item_id), 'tracking_number', '7'), jsonb_build_object('idempotency-key', 'd', 'x-try', random())) r;
SELECT is(r.status, 404, format('another seller does not find the parcel: %s', c.called))
FROM (VALUES ('update_shipment', '{"shipment_id": 1, "tracking_number": "8"}'::jsonb), ('change_shipment_status', '{"shipment_id": 1, "new_status": "IN_TRANSIT"}')) c (called, body),
	LATERAL tap.http('seller 4', c.called, c.body) r;
SELECT is(r.data, s.data, 'items are moved once') FROM (VALUES ('{"moved": 1}'::jsonb), ('{"moved": 0}')) s (data), LATERAL tap.http('seller 3', 'change_shipment_status', '{"shipment_id": 1, "new_status": "DELIVERED"}', jsonb_build_object('x-try', s.data)) r;
SELECT is(r.code, 'INVALID_STATE_TRANSITION', 'where it went is not changed any more') FROM tap.parcel p, tap.http('buyer 2', 'update_delivery', jsonb_build_object('order_id', p.order_id, 'delivery', '{"memo": "there"}'::jsonb)) r;
SELECT is(r.data->>'status', s.status, s.status) FROM tap.parcel p, (VALUES ('buyer 2', 'RETURN_REQUESTED'), ('seller 3', 'RETURN_PROCESSING')) s (caller, status),
	LATERAL tap.http(s.caller, 'change_item_status', jsonb_build_object('order_item_id', p.item_id, 'new_status', s.status)) r;
SELECT is(tap.rows_for(w.caller, format('SELECT FROM commerce_api.order_item_events WHERE order_item_id = %s AND actor = ''BUYER'' AND actor_id IS NOT NULL', p.item_id)), w.rows, w.caller || ' is shown the buyer''s id')
FROM tap.parcel p, (VALUES ('seller 3', '0'), ('buyer 2', '2'), ('admin 5', '2')) w (caller, rows);
SELECT is(tap.rows_for('seller 3', format('SELECT FROM commerce_api.order_item_events WHERE order_item_id = %s AND actor = ''SELLER'' AND actor_id = 1', p.item_id)) <> '0', true, 'a seller is shown its own') FROM tap.parcel p;
SELECT is(r.status, 404, 'another seller does not take it back') FROM tap.parcel p, tap.http('seller 4', 'complete_return', jsonb_build_object('order_item_id', p.item_id)) r;
SELECT is(r.data->'items'->0->>'deduction', '500', 'its own does, and keeps something'), ok(NOT r.data ? 'refunded_amount', 'and is answered what is his')
FROM tap.parcel p, tap.http('seller 3', 'complete_return', jsonb_build_object('order_item_id', p.item_id, 'deduction', 500)) r;
DROP TABLE tap.parcel;

-- an order that was not paid is paid anew, by its buyer
SELECT is((tap.http('admin 5', 'confirm_payment', jsonb_build_object('order_id', o.data->'id', 'succeeded', false, 'provider_event_id', 'f'))).data->>'status', 'CANCELLED', 'a payment fails'),
	   ok(set_config('tap.order', o.data->>'id', false) <> '', 'of an order')
FROM tap.http('buyer 1', 'place_order', '{"items": [{"product_id": 2, "quantity": 1}], "payment_method": "EXTERNAL"}') o;
SELECT is(r.status, 404, 'another buyer does not find it') FROM tap.http('buyer 2', 'retry_payment', jsonb_build_object('order_id', current_setting('tap.order')::int)) r;
SELECT is(r.status, 202, 'its own tries again'), is(r.headers->>'Location', '/rpc/get_order?order_id=' || current_setting('tap.order'), 'and is told where it is'),
	   is(jsonb_array_length(r.data->'items'), 1, 'with its items')
FROM tap.http('buyer 1', 'retry_payment', jsonb_build_object('order_id', current_setting('tap.order')::int), '{"idempotency-key": "again"}') r;
SELECT is(r.status, 202, 'once with a key'), is(r.headers->>'Idempotent-Replayed', 'true', 'as a replay')
FROM tap.http('buyer 1', 'retry_payment', jsonb_build_object('order_id', current_setting('tap.order')::int), '{"idempotency-key": "again"}') r;
SELECT is(r.code, 'REFUND_EXCEEDS_PAID', 'what is not paid is not refunded')
FROM tap.http('admin 5', 'refund_order', jsonb_build_object('order_id', current_setting('tap.order')::int, 'amount', 100, 'note', 'x')) r;

-- where commerce.direct_charge is off a buyer asks, and a provider pays
SELECT ok(jsonb_path_exists(r.data, '$.problems[*] ? (@.code == "DIRECT_CHARGE")'), 'shop_status says that it is on') FROM tap.http('admin 5', 'shop_status') r;
SET commerce.direct_charge = off;
SELECT ok(NOT jsonb_path_exists(r.data, '$.problems[*] ? (@.code == "DIRECT_CHARGE")'), 'and nothing when it is off') FROM tap.http('admin 5', 'shop_status') r;
CREATE TABLE tap.charge AS SELECT r.* FROM tap.http('buyer 2', 'charge_balance', '{"amount": 3000}', '{"idempotency-key": "charge"}') r;
SELECT is(r.status, 202, 'a charge waits for its payment'), is(r.data->>'status', 'REQUESTED', 'which is asked for'), is(r.headers->>'Location', '/payments?id=eq.' || (r.data->>'id'), 'and can be read'),
	   ok(NOT r.data ? 'idempotency_key', 'without its key') FROM tap.charge r;
SELECT is(r.status, 202, 'again with the key'), is(r.data->>'id', c.data->>'id', 'it is the same') FROM tap.charge c, tap.http('buyer 2', 'charge_balance', '{"amount": 3000}', '{"idempotency-key": "charge"}') r;
SELECT is(tap.rows_for('buyer 2', format('SELECT FROM commerce_api.payments WHERE id = %s', c.data->>'id')), '1', 'the buyer sees it'),
	   is(tap.rows_for('buyer 1', format('SELECT FROM commerce_api.payments WHERE id = %s', c.data->>'id')), '0', 'and no other') FROM tap.charge c;
CREATE TABLE tap.before AS SELECT u.balance FROM commerce.users u WHERE u.id = 2;
SELECT is(r.data->>'status', 'COMPLETED', 'it is paid') FROM tap.charge c, tap.http('admin 5', 'confirm_charge', jsonb_build_object('payment_id', c.data->'id', 'succeeded', true, 'provider_event_id', 'c')) r;
SELECT is(u.balance - b.balance, 3000::bigint, 'and credited then') FROM commerce.users u, tap.before b WHERE u.id = 2;
RESET commerce.direct_charge;

-- what the contract gives to administrators alone, within what others have
SELECT is(r.status, 403, format('%s: %s is not %s''s to set', f.called, f.body, f.caller))
FROM (VALUES ('buyer 1', 'update_user', '{"external_id": "x"}'::jsonb), ('buyer 1', 'update_user', '{"clear": ["external_id"]}'),
	('seller 3', 'update_user', '{"external_id": "x"}'), ('seller 3', 'update_seller', '{"registration_number": "999"}')) f (caller, called, body)
CROSS JOIN LATERAL tap.http(f.caller, f.called, f.body) r;
SELECT is(r.data->>'id', f.id, format('%s: %s as %s is about himself', f.called, f.body, f.caller)), is(r.data->>'phone', f.phone, 'and changes it')
FROM (VALUES ('buyer 1', 'update_user', '{"phone": "1"}'::jsonb, '1', '1'), ('seller 4', 'update_user', '{"phone": "2"}', '4', '2')) f (caller, called, body, id, phone)
CROSS JOIN LATERAL tap.http(f.caller, f.called, f.body) r;
SELECT is(r.data->>'id', '2', 'a seller changes its own business'), is((r.data->>'shipping_fee')::int, 2500, 'only') FROM tap.http('seller 4', 'update_seller', '{"shipping_fee": 2500}') r;
SELECT is(r.details::jsonb->>'argument', 'seller_id', 'and does not say which') FROM tap.http('seller 4', 'update_seller', '{"seller_id": 1, "shipping_fee": 2500}') r;
SELECT is(r.data->>'user_id', '2', 'an administrator reads any balance') FROM tap.http('admin 5', 'get_balance', '{"user_id": "2"}') r;
SELECT is(r.status, 200, 'a balance is adjusted'), is(r.data->>'user_id', '2', 'and told')
FROM tap.http('admin 5', 'adjust_balance', '{"user_id": 2, "amount": 500, "note": "sorry"}', '{"idempotency-key": "a"}') r;
SELECT is(r.headers->>'Idempotent-Replayed', 'true', 'once with a key') FROM tap.http('admin 5', 'adjust_balance', '{"user_id": 2, "amount": 500, "note": "sorry"}', '{"idempotency-key": "a"}') r;
SELECT is(o.payload->'actor', tap.who('ADMIN', 5, 'sorry')->'actor', 'by the caller') FROM commerce.outbox o WHERE o.type = 'BalanceAdjusted';

-- a person is told what is kept, and of nobody else
SELECT ok(r.data::text LIKE '%kim@example.com%', 'the caller''s own'), ok(r.data::text NOT LIKE '%lee@example.com%', 'and nobody else''s') FROM tap.http('buyer 1', 'export_user') r;
SELECT is(r.code, 'OPEN_BUSINESS', 'who has a balance is not erased') FROM tap.http('admin 5', 'erase_user', '{"user_id": 2}') r;

-- what a seller does carries the seller's user, and a key is each caller's own
SELECT is(r.status, s.status, format('%s makes a product with a key: %s', s.caller, s.body))
FROM (VALUES ('seller 3', '{"name": "keyed", "price": 1, "stock": 0}'::jsonb, 201), ('seller 3', '{"name": "keyed", "price": 1, "stock": 0}', 201), ('seller 3', '{"name": "keyed", "price": 2, "stock": 0}', 422),
	('seller 4', '{"name": "other", "price": 1, "stock": 0}', 201), ('admin 5', '{"name": "shop", "price": 1, "stock": 0}', 201)) s (caller, body, status)
CROSS JOIN LATERAL tap.http(s.caller, 'create_product', s.body, '{"idempotency-key": "p"}') r;
SELECT is((SELECT o.payload->'actor' FROM commerce.outbox o WHERE o.type = 'ProductCreated' AND o.payload->>'name' = 'keyed'), tap.who('SELLER', 1)->'actor', 'the seller made it');

-- a seller's coupon is given to somebody and taken back by its seller alone
CREATE TABLE tap.given AS SELECT r.* FROM tap.http('seller 4', 'issue_coupon', '{"coupon_id": 4, "user_id": 1, "note": "sorry"}') r;
SELECT is(g.data->>'status', 'ACTIVE', 'it is given') FROM tap.given g;
SELECT is(r.status, 404, 'another seller does not find it') FROM tap.given g, tap.http('seller 3', 'revoke_coupon', jsonb_build_object('coupon_issue_id', g.data->'id')) r;
SELECT is(r.data->>'status', 'REVOKED', 'its own takes it back') FROM tap.given g, tap.http('seller 4', 'revoke_coupon', jsonb_build_object('coupon_issue_id', g.data->'id')) r;
-- a seller reads of its own sales
SELECT is((SELECT count(*) FROM jsonb_array_elements(r.data) e JOIN commerce.products p ON p.id = (e->>'product_id')::bigint WHERE p.seller_id <> 1), 0::bigint, 'a seller''s report is of the own products'),
	   ok(jsonb_array_length(r.data) > 0, 'which were sold') FROM tap.http('seller 3', 'sales_report', '{"from_date": "2000-01-01", "to_date": "2090-01-01"}') r;
SELECT is(r.code, 'INVALID_REQUEST', 'and no other''s') FROM tap.http('seller 3', 'sales_report', '{"seller_id": "2", "from_date": "2000-01-01", "to_date": "2090-01-01"}') r;

-- a seller buys with a buyer's token of the same person, and has nothing of it as the seller
SELECT is(r.status, 200, 'a seller charges with a buyer''s token') FROM tap.http('buyer 3', 'charge_balance', '{"amount": 100000}') r;
SELECT is(r.status, 201, 'and buys, from another seller') FROM tap.http('buyer 3', 'place_order', '{"items": [{"product_id": 3, "quantity": 1}]}') r;
SELECT is(tap.rows_for('buyer 3', 'SELECT FROM commerce_api.orders WHERE user_id = 3'), '1', 'reads the order with that token'),
	   is(tap.rows_for('seller 3', 'SELECT FROM commerce_api.orders'), '42501', 'and not with a seller''s');

-- whole numbers are numbers or strings of digits
SELECT is(r.status, e.status, format('charge_balance %s', e.body))
FROM (VALUES ('{"amount": "1000"}'::jsonb, 200), ('{"amount": 1000.0}', 200), ('{"amount": "1000.0"}', 400), ('{"amount": " 1000"}', 400), ('{"amount": "1000 "}', 400),
	('{"amount": "+1000"}', 400), ('{"amount": "1e3"}', 400), ('{"amount": ""}', 400), ('{"amount": "-"}', 400), ('{"amount": "9223372036854775808"}', 400)) e (body, status)
CROSS JOIN LATERAL tap.http('buyer 3', 'charge_balance', e.body) r;
SELECT is(r.status, 200, 'negative ones too') FROM tap.http('admin 5', 'adjust_stock', '{"product_id": "1", "delta": "-1"}') r;
SELECT is(r.code, 'ENTITY_NOT_FOUND', 'and those in arrays') FROM tap.http('seller 3', 'dispatch_items', '{"order_item_ids": ["999999999"]}') r;
SELECT is(r.status, 200, 'int, as bigint') FROM tap.http('admin 5', 'expire_coupons', '{"max_rows": "10"}') r;

-- users that are not active
CREATE TABLE tap.held AS SELECT r.data FROM tap.http('buyer 2', 'place_order', '{"items": [{"product_id": 2, "quantity": 3}]}') r;
SELECT commerce.set_user_status(2, 'SUSPENDED') \g /dev/null
SELECT is(r.code, e.code, format('a suspended buyer: %s', e.called))
FROM tap.held h, LATERAL (VALUES ('place_order', '{"items": [{"product_id": 2, "quantity": 1}]}'::jsonb, 'FORBIDDEN'), ('update_user', '{"name": "x"}', 'FORBIDDEN'),
	('update_delivery', jsonb_build_object('order_id', h.data->'id', 'delivery', '{"address": "elsewhere"}'::jsonb), 'FORBIDDEN'),
	('cancel_order_item', jsonb_build_object('order_item_id', h.data#>'{items,0,id}', 'quantity', 1), 'SUCCESS'),
	('get_order', jsonb_build_object('order_id', h.data->'id'), 'SUCCESS')) e (called, body, code)
CROSS JOIN LATERAL tap.http('buyer 2', e.called, e.body) r;
SELECT is(r.status, 403, 'a suspended buyer does not charge'), is(r.details::jsonb, '{"user_id": 2, "status": "SUSPENDED", "reason": "NOT_ACTIVE"}', 'and is told why') FROM tap.http('buyer 2', 'charge_balance', '{"amount": 1000}') r;
SELECT is(r.status, 200, 'but reads its balance') FROM tap.http('buyer 2', 'get_balance') r;
SELECT commerce.set_user_status(3, 'WITHDRAWN') \g /dev/null
SELECT is(r.code, e.code, format('a seller who has left: %s', e.called))
FROM tap.held h, LATERAL (VALUES ('create_product', '{"name": "x", "price": 1, "stock": 1}'::jsonb, 'FORBIDDEN'), ('update_seller', '{"category": "x"}', 'FORBIDDEN'),
	('adjust_stock', '{"product_id": 1, "delta": 1}', 'FORBIDDEN'), ('issue_coupon', '{"coupon_id": 3, "user_id": 1}', 'FORBIDDEN'),
	('dispatch_items', jsonb_build_object('order_item_ids', ARRAY[h.data#>'{items,0,id}']), 'SUCCESS'),
	('update_shipment', '{"shipment_id": 1, "tracking_number": "right"}', 'SUCCESS'),
	('sales_report', '{"from_date": "2000-01-01", "to_date": "2090-01-01"}', 'SUCCESS')) e (called, body, code)
CROSS JOIN LATERAL tap.http('seller 3', e.called, e.body) r;
SELECT is(tap.rows_for('seller 3', format('SELECT FROM commerce_api.seller_orders WHERE id = %s', h.data->'id')), '1', 'and reads what is to be sent') FROM tap.held h;

-- headers that are there already stay
CREATE FUNCTION tap.with_headers(present text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	headers text;
BEGIN
	PERFORM set_config('response.headers', present, true);
	PERFORM tap.become('buyer 1', 'GET', '/', '{}');
	PERFORM commerce_api.get_balance();
	headers := current_setting('response.headers');
	PERFORM tap.unbecome();
	RETURN headers;
END
$$;
SELECT is(tap.with_headers('[{"X-A": "1"}]')::jsonb->0->>'X-A', '1', 'a header that was there stays');
SELECT is(tap.with_headers('[]')::jsonb->0->>'Vary', 'Accept-Language', 'an empty list of headers');

-- what has no id in its answer
SELECT is(r.status, 201, 'a subscription is 201'), is(r.headers->>'Location', '/subscriptions?name=eq.a%20%26%20%C3%A9%2C.%2F%3F', 'with a Location made of the request')
FROM tap.http('admin 5', 'subscribe', '{"name": "a & é,./?"}') r;

-- PostgreSQL's own errors, raised below the wrapper by a DBA's trigger
CREATE TABLE tap.fault (state text);
INSERT INTO tap.fault VALUES ('');
CREATE FUNCTION tap.raise_fault() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	RAISE EXCEPTION 'secret %', (SELECT state FROM tap.fault) USING ERRCODE = (SELECT state FROM tap.fault);
END
$$;
CREATE TRIGGER fail BEFORE INSERT ON commerce.promotions FOR EACH ROW EXECUTE FUNCTION tap.raise_fault();
CREATE FUNCTION tap.with_fault(state text) RETURNS SETOF tap.response LANGUAGE plpgsql AS $$
BEGIN
	UPDATE tap.fault f SET state = with_fault.state;
	RETURN QUERY SELECT r.* FROM tap.http('admin 5', 'create_promotion', '{"product_id": 1, "kind": "FIXED", "value": 1, "starts_at": "2030-01-01", "ends_at": "2030-02-01"}') r;
END
$$;
SELECT is(r.code, f.code, format('SQLSTATE %s is %s', f.state, f.code)),
	   ok(coalesce(r.details, '') NOT LIKE 'secret%' OR f.state IN ('P0001', '55000'), f.state || ': no internals in the details'),
	   is(r.headers ? 'Retry-After', f.code = 'SERVICE_BUSY', f.state || ': Retry-After'),
	   ok(r.headers->>'Access-Control-Expose-Headers' LIKE '%Retry-After%', f.state || ': and it can be read')
FROM (VALUES ('40001', 'SERVICE_BUSY'), ('40P01', 'SERVICE_BUSY'), ('55P03', 'SERVICE_BUSY'), ('57014', 'SERVICE_BUSY'),
	('22003', 'INVALID_REQUEST'), ('P0001', 'INVALID_REQUEST'), ('55000', 'INVALID_REQUEST'), ('54001', 'INVALID_REQUEST'), ('22P05', 'INVALID_REQUEST'), ('42501', 'FORBIDDEN'), ('23505', 'ALREADY_EXISTS'), ('23514', 'INVALID_REQUEST'),
	('XX001', 'INTERNAL_SERVER_ERROR'), ('58030', 'INTERNAL_SERVER_ERROR'), ('ZZ123', 'INTERNAL_SERVER_ERROR'), ('28000', 'INTERNAL_SERVER_ERROR')) f (state, code)
CROSS JOIN LATERAL tap.with_fault(f.state) r;
SELECT is(r.sqlstate, 'PT418', 'a status that somebody chose is left alone') FROM tap.with_fault('PT418') r;

-- all that was in between has left the books right
DROP TRIGGER fail ON commerce.promotions;
SELECT is(r.data, '[]', 'the books are right') FROM tap.http('admin 5', 'check_invariants') r;
SELECT * FROM finish();
