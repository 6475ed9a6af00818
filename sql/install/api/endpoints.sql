-- REST: what can be called. One row here is one function of commerce_api, with its check of the request,
-- its privileges, its part of the OpenAPI document and of the tests. What it takes follows from the
-- signature of the function behind it.

CREATE FUNCTION commerce_private.api_internal()
RETURNS text[]
LANGUAGE C IMMUTABLE
AS 'MODULE_PATHNAME', 'commerce_api_internal';
COMMENT ON FUNCTION commerce_private.api_internal() IS 'columns that only the extension uses: no answer has them';

-- Documents that only REST answers.
CREATE FUNCTION commerce_private.api_get_product(product_id bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	product jsonb;
BEGIN
	SELECT pg_catalog.to_jsonb(p) INTO product FROM commerce_api.products p
	WHERE p.id = api_get_product.product_id;
	IF product IS NULL THEN
		PERFORM commerce_private.raise_not_found('product', api_get_product.product_id);
	END IF;
	RETURN product;
END
$$;
COMMENT ON FUNCTION commerce_private.api_get_product(bigint) IS 'a product of the catalogue';

CREATE FUNCTION commerce_private.api_get_order(order_id bigint, actor commerce.actor_kind, actor_id bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	document jsonb;
BEGIN
	SELECT (pg_catalog.to_jsonb(o) - commerce_private.api_internal())
		|| pg_catalog.jsonb_build_object(
			'items', (SELECT pg_catalog.jsonb_agg((pg_catalog.to_jsonb(i) - 'order_id' - commerce_private.api_internal())
						|| pg_catalog.jsonb_build_object('history',
							(SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(e) - 'order_item_id' - commerce_private.api_internal() ORDER BY e.ordinal)
							 FROM commerce_private.all_order_item_events e WHERE e.order_item_id = i.id AND e.month = o.month)) ORDER BY i.seq)
					  FROM commerce_private.all_order_items i WHERE i.order_id = o.id AND i.month = o.month),
			'coupons', coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(c) - 'order_id' - commerce_private.api_internal() ORDER BY c.coupon_issue_id)
					  FROM commerce_private.all_order_coupons c WHERE c.order_id = o.id AND c.month = o.month), '[]'),
			'payments', coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p) - 'order_id' - commerce_private.api_internal() ORDER BY p.id)
					  FROM commerce_private.all_payments p WHERE p.order_id = o.id AND p.month = o.month), '[]'))
	INTO document
	FROM commerce_private.all_orders o
	WHERE o.id = api_get_order.order_id
	  AND (api_get_order.actor = 'ADMIN' OR o.user_id = api_get_order.actor_id);
	IF document IS NULL THEN
		PERFORM commerce_private.raise_not_found('order', api_get_order.order_id);
	END IF;
	RETURN document;
END
$$;
COMMENT ON FUNCTION commerce_private.api_get_order(bigint, commerce.actor_kind, bigint) IS
	'a buyer''s order, archived or not, or any for an administrator, with items, their history, coupons and payments';

-- Whose word is it that the money came? In SQL the caller's; over REST the buyer's own, if the shop takes it.
CREATE FUNCTION commerce_private.api_charge_balance(user_id bigint, amount bigint, idempotency_key text DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer jsonb;
BEGIN
	IF commerce_private.setting('commerce.direct_charge')::boolean THEN
		SELECT pg_catalog.to_jsonb(c) INTO answer
		FROM commerce.charge_balance(api_charge_balance.user_id, api_charge_balance.amount, api_charge_balance.idempotency_key) c;
	ELSE
		SELECT pg_catalog.to_jsonb(p) - commerce_private.api_internal() INTO answer
		FROM commerce.request_charge(api_charge_balance.user_id, api_charge_balance.amount,
			idempotency_key => api_charge_balance.idempotency_key) p;
	END IF;
	RETURN answer;
END
$$;
COMMENT ON FUNCTION commerce_private.api_charge_balance(bigint, bigint, text) IS
	'charge_balance() where commerce.direct_charge is on, else request_charge(). Errors: those of charge_balance(), those of request_charge()';

-- What is a seller's or a buyer's: somebody else's reads as not found.
CREATE FUNCTION commerce_private.api_require_own(kind text, id text, user_id bigint, seller_id bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own boolean;
BEGIN
	CASE api_require_own.kind
		WHEN 'product_id' THEN
			own := EXISTS (SELECT FROM commerce.products p
						   WHERE p.id = api_require_own.id::bigint AND p.seller_id = api_require_own.seller_id);
		WHEN 'coupon_id' THEN
			own := EXISTS (SELECT FROM commerce.coupons c
						   WHERE c.id = api_require_own.id::bigint AND c.seller_id = api_require_own.seller_id);
		WHEN 'promotion_id' THEN
			own := EXISTS (SELECT FROM commerce.promotions m JOIN commerce.products p ON p.id = m.product_id
						   WHERE m.id = api_require_own.id::bigint AND p.seller_id = api_require_own.seller_id);
		WHEN 'coupon_issue_id' THEN
			own := EXISTS (SELECT FROM commerce.coupon_issues i JOIN commerce.coupons c ON c.id = i.coupon_id
						   WHERE i.id = api_require_own.id::bigint AND c.seller_id = api_require_own.seller_id);
		WHEN 'shipment_id' THEN
			own := EXISTS (SELECT FROM commerce_private.all_shipments s
						   WHERE s.id = api_require_own.id::bigint AND s.seller_id = api_require_own.seller_id);
		WHEN 'order_id' THEN
			own := EXISTS (SELECT FROM commerce_private.all_orders o
						   WHERE o.id = api_require_own.id::bigint AND o.user_id = api_require_own.user_id);
		WHEN 'order_sheet_id' THEN
			own := EXISTS (SELECT FROM commerce.order_sheets s
						   WHERE s.id = api_require_own.id::uuid AND s.user_id = api_require_own.user_id);
	END CASE;
	IF NOT own THEN
		PERFORM commerce_private.raise_error('ENTITY_NOT_FOUND', pg_catalog.jsonb_build_object(
			'entity', pg_catalog.regexp_replace(api_require_own.kind, '_id$', ''), 'id', api_require_own.id));
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.api_require_own(text, text, bigint, bigint) IS
	'ENTITY_NOT_FOUND unless the thing that an argument names belongs to the caller';

-- What is found by the answer, by the request, or by the order that either names.
CREATE FUNCTION commerce_private.api_person(request jsonb, body text)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer jsonb := body::jsonb -> 'data';
	user_id bigint := coalesce((answer ->> 'user_id')::bigint, (request ->> 'user_id')::numeric,
							   (request -> 'imported' ->> 'user_id')::numeric);
	order_id bigint := coalesce((answer ->> 'order_id')::bigint, (request ->> 'order_id')::numeric);
BEGIN
	IF user_id IS NULL AND order_id IS NULL THEN
		SELECT i.order_id INTO order_id FROM commerce.order_items i WHERE i.id = (request ->> 'order_item_id')::numeric::bigint;
	END IF;
	IF user_id IS NULL THEN
		SELECT o.user_id INTO user_id FROM commerce.orders o WHERE o.id = order_id;
	END IF;
	RETURN coalesce(user_id, 0);
END
$$;
COMMENT ON FUNCTION commerce_private.api_person(jsonb, text) IS
	'whose data the answer to a seller or administrator has in it; 0: nobody''s';

-- What is shown with more than its own columns is answered so too; an order to a seller as seller_orders shows it, to
-- others, as an order sheet, with its lines (api_answer.c). VOLATILE: to see what the call has written.
CREATE FUNCTION commerce_private.api_complete_order(id bigint)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT pg_catalog.to_jsonb(s) FROM commerce_private.api_seller_orders s WHERE s.id = api_complete_order.id);
END
$$;
COMMENT ON FUNCTION commerce_private.api_complete_order(bigint) IS 'what is the seller''s of an order';

CREATE FUNCTION commerce_private.api_complete_product(id bigint)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT pg_catalog.to_jsonb(p) FROM commerce_api.my_products p WHERE p.id = api_complete_product.id);
END
$$;
COMMENT ON FUNCTION commerce_private.api_complete_product(bigint) IS 'a product as my_products shows it';

CREATE FUNCTION commerce_private.api_complete_coupon(id bigint)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT pg_catalog.to_jsonb(c) FROM commerce_api.coupons c WHERE c.id = api_complete_coupon.id);
END
$$;
COMMENT ON FUNCTION commerce_private.api_complete_coupon(bigint) IS 'a coupon as coupons shows it';

CREATE FUNCTION commerce_private.api_complete_promotion(id bigint)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT pg_catalog.to_jsonb(p) FROM commerce_api.promotions p WHERE p.id = api_complete_promotion.id);
END
$$;
COMMENT ON FUNCTION commerce_private.api_complete_promotion(bigint) IS 'a promotion as promotions shows it';

-- A view of constants, not a table: what is executed is nobody's to write.
CREATE VIEW commerce_private.api_endpoints AS
SELECT e.name, coalesce(e.function, 'commerce.' || e.name) AS function, e.roles::commerce_private.api_role[] AS roles,
	   e.reads, e.as_caller, e.optional::text[] AS optional, e.result, e.completion,
	   e.location, e.summary, e.example::jsonb AS example,
	   -- left out are those that find their work done when they are called again: they change nothing, or answer 409
	   NOT e.reads AND e.name <> ALL ('{sign_up,claim_coupon,cancel_order,set_product_status,set_user_status,stop_coupon,end_promotion,'
		   'revoke_coupon,change_shipment_status,erase_user,confirm_payment,confirm_charge,report_refund,expire_coupons,'
		   'expire_pending_orders,refresh_popular_products,run_job,schedule_jobs,unschedule_jobs,subscribe,unsubscribe,'
		   'ack_events,pause_subscription,resume_subscription,set_http_sink,set_kafka_sink,remove_sink,discard_dead_letters}'::text[]) AS keyed,
	   e.reads OR e.name = ANY ('{cancel_order,cancel_order_item,change_item_status,dispatch_items,change_shipment_status,'
		   'update_shipment,complete_return,complete_exchange}') AS inactive
FROM (VALUES
	-- the catalogue
	('get_product', 'commerce_private.api_get_product', '{ANONYMOUS}', true, false, '{}', NULL, NULL, NULL,
	 'a product of the catalogue', '{"product_id": 1}'),
	-- whoever comes with a token
	('sign_up', NULL, '{BUYER}', false, true, '{}', NULL, NULL, '/users?id=eq.{id}',
	 'makes a buyer of a person whose token names nobody yet; answers who the person is, so that it can be called at each sign-in', '{"name": "Kim Minji", "email": "minji@example.com"}'),
	-- a buyer's own
	('get_balance', NULL, '{BUYER,ADMIN}', true, true, '{}', NULL, NULL, NULL,
	 'the caller''s prepaid balance; for an administrator anybody''s', '{}'),
	('balance_statement', NULL, '{BUYER,ADMIN}', true, true, '{}', NULL, NULL, NULL,
	 'what came into the caller''s balance and went out, newest first; for an administrator anybody''s', '{"max_rows": 20}'),
	('charge_balance', 'commerce_private.api_charge_balance', '{BUYER}', false, true, '{}', NULL, NULL, '/payments?id=eq.{id}',
	 'adds to the caller''s prepaid balance, at once where commerce.direct_charge is on, or when a payment provider has answered', '{"amount": 10000}'),
	('request_charge', NULL, '{BUYER}', false, true, '{}', NULL, NULL, '/payments?id=eq.{id}',
	 'asks a payment provider for a charge of the caller''s prepaid balance', '{"amount": 10000, "payment_channel": "card"}'),
	('claim_coupon', NULL, '{BUYER}', false, true, '{}', NULL, NULL, '/coupon_issues?id=eq.{id}',
	 'claims a coupon, first come first served, once per user', '{"coupon_id": 1}'),
	('usable_coupons', NULL, '{BUYER}', true, true, '{}', NULL, NULL, NULL,
	 'the caller''s coupons that can be used now', '{}'),
	('place_order', NULL, '{BUYER}', false, true, '{}', NULL, 'order', '/rpc/get_order?order_id={id}',
	 'orders and pays, or, with payment_method EXTERNAL, holds stock and coupons until the payment is confirmed',
	 '{"items": [{"product_id": 1, "quantity": 2, "coupon_issue_id": 1}], "coupon_issue_ids": [2], "payment_method": "BALANCE"}'),
	('create_order_sheet', NULL, '{BUYER}', false, true, '{}', NULL, 'order_sheet', '/order_sheets?id=eq.{id}',
	 'prices what the caller wants to order; holds neither stock nor coupons',
	 '{"items": [{"product_id": 1, "quantity": 2}], "coupon_issue_ids": [2]}'),
	('place_sheet_order', NULL, '{BUYER}', false, false, '{}', NULL, 'order', '/rpc/get_order?order_id={id}',
	 'makes the order of a sheet, at its price or a lower one', '{"order_sheet_id": "7d3c6f3e-6b0a-4d0e-9d3a-0d5b1a2c3d4e", "payment_method": "BALANCE"}'),
	('retry_payment', NULL, '{BUYER}', false, true, '{}', NULL, 'order', '/rpc/get_order?order_id={id}',
	 'takes stock and coupons of an unpaid order that has ended again, at its old price, until the payment is confirmed', '{"order_id": 1}'),
	('get_order', 'commerce_private.api_get_order', '{BUYER,ADMIN}', true, false, '{}', NULL, NULL, NULL,
	 'an order with its items, their history, coupons and payments', '{"order_id": 1}'),
	('cancel_order', NULL, '{BUYER,ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'cancels all that is left of an order, before anything of it is dispatched, and refunds it', '{"order_id": 1, "note": "changed my mind"}'),
	('cancel_order_item', NULL, '{BUYER,SELLER,ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'cancels units of an order item before dispatch and refunds them', '{"order_item_id": 1, "quantity": 1, "note": "one too many"}'),
	('change_item_status', NULL, '{BUYER,SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'takes an order item, or part of it, to its next status: a buyer confirms, or asks for a cancellation, a return or an exchange; a seller dispatches, delivers, and accepts or refuses what a buyer asks for',
	 '{"order_item_id": 1, "new_status": "RETURN_REQUESTED", "note": "too small", "quantity": 1}'),
	('update_delivery', NULL, '{BUYER,ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'changes whom and where an order goes to, before anything of it is dispatched', '{"order_id": 1, "delivery": {"address": "1 Sejong-daero, Seoul", "memo": "at the door"}}'),
	('dispatch_items', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, '/shipments?id=eq.{id}',
	 'sends items of one order and one seller as one parcel', '{"order_item_ids": [1], "carrier": "Korea Post", "tracking_number": "6892-1234"}'),
	('change_shipment_status', NULL, '{SELLER,ADMIN}', false, false, '{}', 'moved', NULL, NULL,
	 'takes all items of a parcel to IN_TRANSIT or DELIVERED, or back to PREPARING', '{"shipment_id": 1, "new_status": "DELIVERED"}'),
	('update_shipment', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'corrects carrier or tracking number of a parcel', '{"shipment_id": 1, "tracking_number": "6892-1235"}'),
	('complete_return', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'takes what came back, or was lost on the way, and refunds it', '{"order_item_id": 1, "restock": false, "deduction": 3000, "note": "used"}'),
	('complete_exchange', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'takes what came back and sends a replacement', '{"order_item_id": 1, "replacement_product_id": 2}'),
	-- everybody's own; an administrator's all
	('update_user', NULL, '{BUYER,SELLER,ADMIN}', false, true, '{}', NULL, NULL, NULL,
	 'changes what is given of the caller; an administrator says of whom, and alone changes external_id', '{"phone": "010-1111-1111", "clear": ["address"]}'),
	('export_user', NULL, '{BUYER,ADMIN}', true, true, '{}', NULL, NULL, NULL,
	 'all that is kept about the caller; for an administrator about anybody', '{}'),
	-- a seller's own; an administrator's all
	('update_seller', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'changes what is given of a seller; registration_number is for administrators', '{"shipping_fee": 3000, "free_shipping_from": 50000, "clear": ["category"]}'),
	('create_product', NULL, '{SELLER,ADMIN}', false, false, '{seller_id}', 'product_id', NULL, '/rpc/get_product?product_id={product_id}',
	 'puts a product on sale', '{"name": "Mug", "price": 12000, "stock": 100, "description": "350 ml", "category": "kitchen", "discount": 1000, "shipping_fee": 3000, "max_per_order": 10, "sku": "MUG-350", "image_urls": ["https://shop.example/mug.jpg"]}'),
	('update_product', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'product', NULL,
	 'changes what is given of a product', '{"product_id": 1, "price": 11000}'),
	('set_product_status', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'product', NULL,
	 'puts a product on sale or discontinues it', '{"product_id": 1, "status": "DISCONTINUED"}'),
	('adjust_stock', NULL, '{SELLER,ADMIN}', false, false, '{}', 'available', NULL, NULL,
	 'adds units to a product''s stock, or takes them off', '{"product_id": 1, "delta": 50, "note": "delivery"}'),
	('create_promotion', NULL, '{SELLER,ADMIN}', false, false, '{}', 'promotion_id', NULL, '/promotions?id=eq.{promotion_id}',
	 'discounts a product for a time', '{"product_id": 1, "kind": "PERCENT", "value": 10, "starts_at": "2026-12-01T00:00:00+09:00", "ends_at": "2026-12-08T00:00:00+09:00"}'),
	('update_promotion', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'promotion', NULL,
	 'changes what is given of a promotion', '{"promotion_id": 1, "ends_at": "2026-12-10T00:00:00+09:00"}'),
	('end_promotion', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'promotion', NULL,
	 'ends a promotion at once', '{"promotion_id": 1}'),
	('create_coupon', NULL, '{SELLER,ADMIN}', false, false, '{}', 'coupon_id', NULL, '/coupons?id=eq.{coupon_id}',
	 'offers a coupon', '{"name": "Welcome", "kind": "PERCENT", "value": 10, "quantity": 100, "valid_days": 30, "min_order_amount": 10000, "max_discount": 5000, "round_unit": 100}'),
	('sales_report', NULL, '{SELLER,ADMIN}', true, false, '{seller_id}', NULL, NULL, NULL,
	 'what the seller has sold, by day, product and kind of fact; for an administrator any seller''s, or the shop''s own', '{"from_date": "2026-11-01", "to_date": "2026-11-30"}'),
	('update_coupon', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'coupon', NULL,
	 'changes what is given of a coupon; what was issued keeps its terms', '{"coupon_id": 1, "quantity": 200, "clear": ["description"]}'),
	('issue_coupon', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'gives a coupon to a chosen user, out of its quantity', '{"coupon_id": 1, "user_id": 2, "note": "sorry"}'),
	('stop_coupon', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, 'coupon', NULL,
	 'ends claiming of a coupon; what was issued stays', '{"coupon_id": 1}'),
	('revoke_coupon', NULL, '{SELLER,ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'takes an unused coupon from a user', '{"coupon_issue_id": 1, "note": "abuse"}'),
	-- administrators
	('create_user', NULL, '{ADMIN}', false, false, '{}', 'user_id', NULL, '/users?id=eq.{user_id}',
	 'creates a user', '{"name": "Kim", "email": "kim@example.com", "phone": "010-0000-0000", "role": "BUYER"}'),
	('create_seller', NULL, '{ADMIN}', false, false, '{}', 'seller_id', NULL, '/sellers?id=eq.{seller_id}',
	 'records the business of a user of role SELLER', '{"user_id": 3, "business_name": "Mugs", "registration_number": "123-45-67890"}'),
	('import_user', NULL, '{ADMIN}', false, false, '{}', 'user_id', NULL, '/users?id=eq.{user_id}',
	 'moving in: brings a user with the balance', '{"imported": {"name": "Kim", "email": "kim@example.com", "balance": 5000}}'),
	('import_order', NULL, '{ADMIN}', false, false, '{}', 'order_id', NULL, '/rpc/get_order?order_id={order_id}',
	 'moving in: brings an order that is over',
	 '{"imported": {"user_id": 1, "items": [{"product_id": 1, "quantity": 1, "unit_price": 12000}], "payment_amount": 12000, "paid_at": "2026-05-01T09:00:00+09:00"}}'),
	('import_coupon_issue', NULL, '{ADMIN}', false, false, '{}', 'coupon_issue_id', NULL, '/coupon_issues?id=eq.{coupon_issue_id}',
	 'moving in: brings a coupon that a user holds', '{"imported": {"user_id": 1, "coupon_id": 1, "expires_at": "2027-01-31T00:00:00+09:00"}}'),
	('find_user', NULL, '{ADMIN}', true, false, '{}', NULL, NULL, NULL,
	 'the user with an e-mail or an external_id', '{"email": "kim@example.com"}'),
	('erase_user', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'deletes what is personal of a user who has no business open', '{"user_id": 7, "note": "asked for by mail"}'),
	('adjust_balance', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'corrects a user''s balance, grants something or pays it out', '{"user_id": 1, "amount": -500, "note": "paid out"}'),
	('set_user_status', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'suspends, withdraws or reactivates a user', '{"user_id": 2, "status": "SUSPENDED"}'),
	('expire_coupons', NULL, '{ADMIN}', false, false, '{}', 'expired', NULL, NULL,
	 'marks overdue coupons', '{"max_rows": 1000}'),
	('confirm_payment', NULL, '{ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'takes a payment provider''s answer for an order', '{"order_id": 1, "succeeded": true, "provider_event_id": "evt-1"}'),
	('confirm_charge', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'takes a payment provider''s answer for a charge', '{"payment_id": 1, "succeeded": true, "provider_event_id": "evt-3"}'),
	('return_payment', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'gives back a payment that nobody asked for', '{"payment_id": 1, "note": "paid twice"}'),
	('refund_order', NULL, '{ADMIN}', false, false, '{}', NULL, 'order', NULL,
	 'gives back some of what an order was paid, for goodwill or to put a mistake right', '{"order_id": 1, "amount": 1000, "note": "came late"}'),
	('report_refund', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'takes a payment provider''s answer for a refund', '{"payment_id": 2, "succeeded": true, "provider_event_id": "evt-2"}'),
	('expire_pending_orders', NULL, '{ADMIN}', false, false, '{}', 'expired', NULL, NULL,
	 'cancels orders whose time to pay is over', '{"max_rows": 1000}'),
	('refresh_popular_products', NULL, '{ADMIN}', false, false, '{}', 'rows', NULL, NULL,
	 'counts best sellers anew', '{}'),
	('run_job', 'commerce_private.run_job', '{ADMIN}', false, false, '{}', 'rows', NULL, NULL,
	 'runs a periodic job now; of one that is done in batches, the next batch', '{"name": "popular-products"}'),
	('schedule_jobs', NULL, '{ADMIN}', false, false, '{}', 'jobs', NULL, NULL,
	 'hands the periodic jobs to pg_cron', '{}'),
	('unschedule_jobs', NULL, '{ADMIN}', false, false, '{}', 'jobs', NULL, NULL,
	 'takes the periodic jobs out of pg_cron', '{}'),
	('shop_status', 'commerce_private.api_shop_status', '{ADMIN}', true, false, '{}', NULL, NULL, NULL,
	 'the state of the shop at a glance, as the page rpc/operator shows it', '{}'),
	('check_invariants', NULL, '{ADMIN}', true, false, '{}', NULL, NULL, NULL,
	 'proves the books: what does not hold; empty when all is well', '{}'),
	('subscribe', NULL, '{ADMIN}', false, false, '{}', 'position', NULL, '/subscriptions?name=eq.{name}',
	 'makes a subscription to events', '{"name": "warehouse", "event_types": ["DeliveryRequested"], "from_start": true}'),
	('unsubscribe', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'deletes a subscription', '{"subscription": "warehouse"}'),
	('fetch_events', NULL, '{ADMIN}', true, false, '{}', NULL, NULL, NULL,
	 'the next events of a subscription after its cursor', '{"subscription": "warehouse", "max_events": 100}'),
	('ack_events', NULL, '{ADMIN}', false, false, '{}', 'cursor', NULL, NULL,
	 'says that the events up to a position are dealt with', '{"subscription": "warehouse", "up_to": "00000001-0000000000000300-0000000000000001"}'),
	('seek_subscription', NULL, '{ADMIN}', false, false, '{}', 'cursor', NULL, NULL,
	 'sets the cursor of a subscription', '{"subscription": "warehouse", "to_time": "2026-12-01T00:00:00+09:00"}'),
	('pause_subscription', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'stops a subscription''s events', '{"subscription": "warehouse", "reason": "moving"}'),
	('resume_subscription', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'ends a pause', '{"subscription": "warehouse"}'),
	('set_http_sink', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'lets the relay POST a subscription''s events to a URL', '{"subscription": "warehouse", "url": "https://warehouse.example/events", "secret_name": "warehouse", "batch_size": 10}'),
	('set_kafka_sink', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'lets the relay produce a subscription''s events to a Kafka topic', '{"subscription": "warehouse", "brokers": "kafka.example:9092", "topic": "orders"}'),
	('remove_sink', NULL, '{ADMIN}', false, false, '{}', NULL, NULL, NULL,
	 'leaves a subscription to clients that fetch', '{"subscription": "warehouse"}'),
	('redeliver', NULL, '{ADMIN}', false, false, '{}', 'events', NULL, NULL,
	 'hands dead letters to the relay again', '{"subscription": "warehouse"}'),
	('discard_dead_letters', NULL, '{ADMIN}', false, false, '{}', 'events', NULL, NULL,
	 'deletes dead letters', '{"subscription": "warehouse"}')
) AS e (name, function, roles, reads, as_caller, optional, result, completion, location, summary, example);
COMMENT ON VIEW commerce_private.api_endpoints IS 'the functions of commerce_api';
COMMENT ON COLUMN commerce_private.api_endpoints.function IS 'the function behind it, with its schema';
COMMENT ON COLUMN commerce_private.api_endpoints.roles IS 'who may call it; ANONYMOUS: everybody';
COMMENT ON COLUMN commerce_private.api_endpoints.reads IS 'writes nothing: its arguments are named ones, so that it can be called with GET';
COMMENT ON COLUMN commerce_private.api_endpoints.as_caller IS 'the argument user_id (where there is none, external_id) is the caller, not one of the request, but for an administrator''s';
COMMENT ON COLUMN commerce_private.api_endpoints.optional IS 'arguments that may be left out although the function has no default for them';
COMMENT ON COLUMN commerce_private.api_endpoints.result IS 'what a scalar result is called in the answer';
COMMENT ON COLUMN commerce_private.api_endpoints.completion IS 'what the answer of a row shows beside the row, or instead of it';
COMMENT ON COLUMN commerce_private.api_endpoints.location IS 'where a thing made can be read; {key} stands for that value of the answer, or else of the request';
COMMENT ON COLUMN commerce_private.api_endpoints.example IS 'a request';
COMMENT ON COLUMN commerce_private.api_endpoints.keyed IS 'an Idempotency-Key has the first answer come again; else the header is ignored';
COMMENT ON COLUMN commerce_private.api_endpoints.inactive IS 'a buyer or seller who is suspended or withdrawn may call it, too; the functions behind judge that';

CREATE TABLE commerce_private.api_notes (
	argument    text PRIMARY KEY,
	description text NOT NULL
);
COMMENT ON TABLE commerce_private.api_notes IS 'what the arguments of the functions of commerce_api mean; constant';
INSERT INTO commerce_private.api_notes (argument, description) VALUES
	('address', 'postal address'),
	('amount', 'in the smallest unit of the currency; of a charge above 0, at most commerce.charge_max, a multiple of commerce.charge_unit'),
	('balance_part', 'of an EXTERNAL order: so much of it from the balance, the rest by the provider'),
	('before', 'entries older than that number'),
	('batch_size', 'most events in one request; 1: each alone'),
	('brokers', 'bootstrap servers, host:port, comma-separated'),
	('business_name', 'name of the business'),
	('carrier', 'who carries the parcel'),
	('category', 'category, any text'),
	('claimable', 'whether users can claim it; else it is given out by issue_coupon'),
	('clear', 'attributes to be emptied'),
	('coupon_id', 'the coupon'),
	('coupon_issue_id', 'a coupon that a user holds'),
	('coupon_issue_ids', 'coupons of the caller for the whole order: at most one that takes off the amount, and one for shipping'),
	('cs_phone', 'telephone number of customer service'),
	('deduction', 'what is kept back, such as a return fee'),
	('delivery', 'recipient: name, phone, address and memo, each the caller''s own where left out'),
	('delta', 'units: positive come in, up to a stock of 1 000 000 000 000; negative go out'),
	('description', 'description'),
	('discount', 'instant discount per unit'),
	('email', 'address such as kim@example.com, unique'),
	('event_position', 'one event, by its position; left out: all'),
	('event_types', 'only events of these types; left out: all'),
	('external_id', 'subject that the identity provider knows the person by, unique'),
	('free_shipping_from', 'amount of goods from which these lines are sent free'),
	('from_date', 'the first day, in commerce.timezone'),
	('from_start', 'begin with the oldest event there is, not with the next one'),
	('group_id', 'product of whose variants this is one, such as a size'),
	('image_urls', 'addresses of pictures, at most 100'),
	('imported', 'what is brought, an object'),
	('issue_from', 'can be claimed from then on; left out: now'),
	('issue_until', 'can be claimed until just before'),
	('items', 'lines: product, how many, and a coupon of the caller for that product'),
	('kind', 'how money is taken off'),
	('max_attempts', 'an event that has failed so often becomes a dead letter'),
	('max_discount', 'cap: the most that the coupon takes off'),
	('max_events', 'at most so many'),
	('max_per_order', 'most units in one order; left out: no limit'),
	('max_per_user', 'most units for one user in all orders; left out: no limit'),
	('max_rows', 'at most so many at once'),
	('max_units', 'to how many units of its line a product''s coupon applies; left out: to all'),
	('metadata', 'an object of the shop''s own, at most 16 384 bytes'),
	('min_order_amount', 'what the eligible lines must come to'),
	('name', 'name'),
	('new_status', 'the status to enter; order_item_transitions says which can follow which'),
	('note', 'for the history'),
	('order_id', 'the order'),
	('order_item_id', 'a row of order_items'),
	('order_item_ids', 'rows of order_items, of one order and one seller'),
	('order_sheet_id', 'a sheet of the caller'),
	('payment_channel', 'how the provider is to be paid, such as card'),
	('payment_method', 'BALANCE: paid at once; EXTERNAL: a payment provider answers later'),
	('payment_id', 'the payment'),
	('phone', 'telephone number'),
	('price', 'per unit, before discounts'),
	('product_id', 'the product'),
	('promotion_id', 'the promotion'),
	('provider_event_id', 'the payment provider''s own id of its answer: the same answer twice has one effect'),
	('quantities', 'as long as the ids: how many of each; a smaller number is split off'),
	('quantity', 'how many'),
	('reason', 'shown with the subscription'),
	('registration_number', 'business registration number, unique'),
	('replacement_product_id', 'another product of the seller, of the same price now; left out: the same product'),
	('restock', 'whether what came back can be sold'),
	('role', 'what the user is in the shop'),
	('round_unit', 'a percentage is floored to a multiple of this amount'),
	('secret_name', 'name of a secret in the relay''s own file'),
	('seller_id', 'the seller; an administrator says which, or leaves it out for the shop itself'),
	('shipment_id', 'the parcel'),
	('shipping_fee', 'once per order line; of a seller once per order, for all lines without a fee of their own'),
	('sku', 'number of the product, unique within a seller''s'),
	('starts_at', 'from then on'),
	('ends_at', 'until just before'),
	('status', 'the status to set'),
	('stock', 'units to begin with, from 0 to 1 000 000 000 000'),
	('subscription', 'name of the subscription'),
	('succeeded', 'whether it succeeded'),
	('tax_exempt', 'whether its price has no tax in it'),
	('to_position', 'after this event'),
	('to_date', 'the last day'),
	('to_time', 'with the first event written then or later'),
	('topic', 'Kafka topic'),
	('tracking_number', 'the carrier''s number of the parcel'),
	('up_to', 'position of the last event that is dealt with, as fetch_events answered it'),
	('url', 'where to POST events'),
	('user_id', 'the user'),
	('valid_days', 'an issued coupon expires so many days after its issue'),
	('valid_until', 'an issued coupon expires at this moment'),
	('value', 'an amount (FIXED), or percent 1 to 100 (PERCENT)');

-- Where each argument of the function behind comes from: BODY, the request; USER, the token; KEY, the
-- header Idempotency-Key; ACTOR and ACTOR_ID, what and who the caller is; OWNER, the request when the caller is an
-- administrator, else the token; SELLER, the caller when it is a seller, else the request; SUBJECT, the token's subject,
-- which need not be a user's yet. Some are not offered:
-- how long stock is held without money is not a buyer's to say.
CREATE VIEW commerce_private.api_arguments AS
	SELECT a.endpoint, pg_catalog.row_number() OVER (PARTITION BY a.endpoint ORDER BY a.n)::int AS position, a.argument, a.type, a.source,
		   a.source IN ('BODY', 'OWNER', 'SELLER') AS asked, a.needs_value AND NOT a.optional AS required
	FROM (
		SELECT e.name AS endpoint, i.n, i.argument, i.type::regtype AS type, i.n <= f.pronargs - f.pronargdefaults AS needs_value,
			   i.argument = ANY (e.optional) AS optional,
			   CASE WHEN i.argument = 'idempotency_key' THEN 'KEY'
					WHEN i.argument = 'actor' THEN 'ACTOR'
					WHEN i.argument = 'actor_id' AND 'actor' = ANY (f.proargnames) THEN 'ACTOR_ID'
					WHEN i.argument = 'actor_id' THEN 'USER'
					WHEN i.argument = 'user_id' AND e.as_caller AND 'ADMIN' = ANY (e.roles) THEN 'OWNER'
					WHEN i.argument = 'user_id' AND e.as_caller THEN 'USER'
					WHEN i.argument = 'external_id' AND e.as_caller AND 'user_id' <> ALL (f.proargnames) THEN 'SUBJECT'
					WHEN i.argument = 'seller_id' AND 'SELLER' = ANY (e.roles) THEN 'SELLER'
					ELSE 'BODY' END AS source
		FROM commerce_private.api_endpoints e
		JOIN pg_catalog.pg_proc f ON f.oid = e.function::regproc
		CROSS JOIN LATERAL (
			SELECT a.argument, a.type, pg_catalog.row_number() OVER (ORDER BY a.ordinality) AS n
			FROM ROWS FROM (
				pg_catalog.unnest(f.proargnames),
				pg_catalog.unnest(coalesce(f.proallargtypes, f.proargtypes::oid[])),
				pg_catalog.unnest(f.proargmodes)) WITH ORDINALITY a (argument, type, mode, ordinality)
			WHERE a.type IS NOT NULL AND coalesce(a.mode, 'i') IN ('i', 'b')) i
		WHERE i.argument <> 'pay_within'
		  -- a call's answer is kept here; the key of a charge is known for good there
		  AND (i.argument <> 'idempotency_key' OR e.name IN ('charge_balance', 'request_charge'))) a;
COMMENT ON VIEW commerce_private.api_arguments IS 'the arguments of the functions behind api_endpoints, and where they come from; asked: a request can have it; what is left out has its default, or is NULL';

-- The same once more in one row, which a backend's first call reads. What is executed is not in it: the function behind
-- is found by its name (api_endpoint.c), and what completes an answer is a constant of the code.
CREATE TABLE commerce_private.api_calls (
	name       name PRIMARY KEY,
	roles      commerce_private.api_role[] NOT NULL,
	reads      boolean NOT NULL,
	keyed      boolean NOT NULL,
	result     text,
	completion text,
	location   text,
	arguments  text[] NOT NULL,
	sources    text[] NOT NULL,
	asked      boolean[] NOT NULL,
	required   boolean[] NOT NULL
);
COMMENT ON TABLE commerce_private.api_calls IS 'api_endpoints with api_arguments, one row for each function of commerce_api; constant, made by describe_api()';

-- PostgREST takes a result of this type as it is where a client accepts application/json, instead of making JSON of it.
CREATE DOMAIN commerce_api."application/json" AS json;
COMMENT ON DOMAIN commerce_api."application/json" IS 'what functions answer';

DO $$
DECLARE
	endpoint record;
BEGIN
	FOR endpoint IN
		SELECT e.name, e.reads, e.summary, e.roles,
			   (SELECT pg_catalog.string_agg(pg_catalog.format('%I text DEFAULT NULL', a.argument), ', ' ORDER BY a.position)
				FROM commerce_private.api_arguments a WHERE a.endpoint = e.name AND a.asked) AS named
		FROM commerce_private.api_endpoints e
	LOOP
		EXECUTE pg_catalog.format(
			-- VOLATILE, also those that read: of a HEAD the planner would leave a STABLE one out, and it would be 200
			'CREATE FUNCTION commerce_api.%I(%s) RETURNS commerce_api."application/json" LANGUAGE C VOLATILE SECURITY DEFINER '
			'SET search_path = pg_catalog, pg_temp SET timezone = ''UTC'' %s AS ''MODULE_PATHNAME'', ''commerce_api_call''',
			endpoint.name, CASE WHEN endpoint.reads THEN endpoint.named ELSE 'jsonb' END,
			-- PostgREST begins with what a function says, whatever the role says: these must see what they have waited for
			CASE WHEN endpoint.name IN ('erase_user', 'run_job') THEN 'SET default_transaction_isolation = ''read committed''' END);
		EXECUTE pg_catalog.format('COMMENT ON FUNCTION commerce_api.%I IS %L', endpoint.name,
			pg_catalog.format('%s (%s)', endpoint.summary,
							  CASE WHEN 'ANONYMOUS' = ANY (endpoint.roles) THEN 'everybody'
								   ELSE pg_catalog.lower(pg_catalog.array_to_string(endpoint.roles, ', ')) END));
	END LOOP;
END
$$;
