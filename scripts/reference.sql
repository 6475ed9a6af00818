-- Examples of docs/reference.md, run by scripts/reference in the order of the reference in a new database, each in a
-- session of its own. "hidden" is run and not shown, "quiet" shows no output, "not run: why" is shown only, and "elsewhere"
-- is run by test/torture/examples.pl alone, because it makes roles.

-- [create_user]
SELECT commerce.create_user('Kim Minji', 'minji@example.com', phone => '010-1234-5678');

-- [sign_up]
SELECT id, external_id, name, role FROM commerce.sign_up('auth0|65f1c0ffee', 'Lee Joon', 'joon@example.com');
-- again: the same user, as it is
SELECT id, name FROM commerce.sign_up('auth0|65f1c0ffee', 'Joon');

-- [update_user]
SELECT name, email, phone, address FROM commerce.update_user(1, address => 'Seoul', clear => '{phone}');

-- [find_user]
SELECT id, name, status FROM commerce.find_user('minji@example.com');

-- [create_seller]
SELECT commerce.create_user('Potter', 'potter@example.com');
SELECT commerce.create_seller(2, 'Icheon Kiln', '123-45-67890', cs_phone => '031-123-4567');

-- [update_seller]
SELECT business_name, shipping_fee, free_shipping_from
FROM commerce.update_seller(1, shipping_fee => 3000, free_shipping_from => 50000);
-- the examples below have fees of their own
SELECT shipping_fee, free_shipping_from FROM commerce.update_seller(1, shipping_fee => 0, clear => '{free_shipping_from}');

-- [set_user_status]
SELECT id, status FROM commerce.set_user_status(2, 'SUSPENDED');
SELECT id, status FROM commerce.set_user_status(2, 'ACTIVE');

-- [charge_balance]
SELECT * FROM commerce.charge_balance(1, 500000, idempotency_key => 'charge-2026-01-05');
-- sent again: done once, answered the same
SELECT * FROM commerce.charge_balance(1, 500000, idempotency_key => 'charge-2026-01-05');

-- [request_charge]
SELECT id, status, amount, expires_at - at AS time_to_pay FROM commerce.request_charge(1, 5000, payment_channel => 'card');

-- [confirm_charge]
SELECT id AS charge FROM commerce.request_charge(1, 5000) \gset
SELECT status, amount FROM commerce.confirm_charge(:charge, true, provider_event_id => 'evt_charge_1');

-- [adjust_balance]
SELECT * FROM commerce.adjust_balance(1, 3000, 'late parcel');
SELECT * FROM commerce.adjust_balance(1, -3000, 'was granted twice');

-- [get_balance]
SELECT * FROM commerce.get_balance(1);

-- [balance_statement]
SELECT number, kind, amount, balance_after, reference FROM commerce.balance_statement(1, max_rows => 2);
SELECT number, kind, amount, balance_after FROM commerce.balance_statement(1, before => 2, max_rows => 2);

-- [create_product]
SELECT commerce.create_product(1, 'Teapot', price => 32000, stock => 10, discount => 2000, shipping_fee => 3000);
SELECT commerce.create_product(NULL, 'Green tea', price => 9000, stock => 100, max_per_order => 20);

-- [update_product]
SELECT name, price, discount FROM commerce.update_product(2, price => 9500, discount => 500);

-- [set_product_status]
SELECT id, status FROM commerce.set_product_status(2, 'DISCONTINUED');
SELECT id, status FROM commerce.set_product_status(2, 'ON_SALE');

-- [create_promotion]
SELECT commerce.create_promotion(1, 'PERCENT', 10, starts_at => now(), ends_at => now() + interval '1 week');
SELECT name, price, discount_now, price_now FROM commerce.product_list WHERE id = 1;

-- [update_promotion]
SELECT value FROM commerce.update_promotion(1, value => 15, note => 'a better week');

-- [end_promotion]
SELECT commerce.create_promotion(2, 'FIXED', 500, starts_at => now(), ends_at => now() + interval '1 day') AS promotion \gset
SELECT id, ends_at <= now() AS ended FROM commerce.end_promotion(:promotion);

-- [adjust_stock]
SELECT commerce.adjust_stock(1, -1, note => 'broken');

-- [available_stock]
SELECT commerce.available_stock(1);

-- [create_coupon]
-- 10 % off the whole order, at most 5000 won, floored to 100 won; the first 100 users have it for 30 days
SELECT commerce.create_coupon('Welcome', 'PERCENT', 10, quantity => 100, valid_days => 30,
                              max_discount => 5000, round_unit => 100);
-- 1000 won off each teapot
SELECT commerce.create_coupon('Teapot week', 'FIXED', 1000, quantity => 50, valid_until => '2099-12-31', product_id => 1);
-- one seller's shipping for nothing
SELECT commerce.create_coupon('Free shipping', 'FREE_SHIPPING', 0, quantity => 50, valid_days => 7, seller_id => 1);

-- [update_coupon]
-- more of them, for orders of 10 000 won and more; what was issued keeps its terms
SELECT quantity, min_order_amount FROM commerce.update_coupon(3, quantity => 80, min_order_amount => 10000);

-- [claim_coupon]
SELECT id, name, status FROM commerce.claim_coupon(user_id => 1, coupon_id => 1);
SELECT id, name, status FROM commerce.claim_coupon(user_id => 1, coupon_id => 2);

-- [usable_coupons]
SELECT id, coupon_id, name, kind, value FROM commerce.usable_coupons(1);

-- [stop_coupon]
SELECT id, name, stopped_at IS NOT NULL AS stopped FROM commerce.stop_coupon(3);

-- [issue_coupon]
-- one that nobody can claim
SELECT commerce.create_coupon('Sorry', 'FIXED', 2000, quantity => 10, valid_days => 30, claimable => false) AS sorry \gset
SELECT user_id, name, value, status FROM commerce.issue_coupon(coupon_id => :sorry, user_id => 2, note => 'the parcel was late');

-- [revoke_coupon]
SELECT commerce.create_coupon('Mistake', 'FIXED', 999999, quantity => 1, valid_days => 30) AS mistake \gset
SELECT id AS held FROM commerce.claim_coupon(1, :mistake) \gset
SELECT name, status FROM commerce.revoke_coupon(:held, note => 'issued by mistake');

-- [expire_coupons]
SELECT commerce.expire_coupons();

-- [place_order]
-- two teapots with their coupon, three packs of tea, and a coupon for the whole
SELECT id, status, items_total, item_discount_total, order_discount, shipping_total, payment_amount
FROM commerce.place_order(1, '[{"product_id": 1, "quantity": 2, "coupon_issue_id": 2},
                               {"product_id": 2, "quantity": 3}]', '{1}', idempotency_key => 'order-1');
SELECT seq, product_name, status, quantity, unit_final, line_total, order_discount_share
FROM commerce.order_items WHERE order_id = 1 ORDER BY seq;

-- [place_order]
-- paid elsewhere: stock is held until confirm_payment(), or for commerce.payment_ttl
SELECT id, status, payment_amount
FROM commerce.place_order(1, '[{"product_id": 2, "quantity": 1}]', payment_method => 'EXTERNAL');

-- [create_order_sheet]
SELECT payment_amount, expires_at - created_at AS time_to_live
FROM commerce.create_order_sheet(1, '[{"product_id": 2, "quantity": 2}]');

-- [place_sheet_order]
SELECT id AS sheet FROM commerce.create_order_sheet(1, '[{"product_id": 2, "quantity": 2}]') \gset
SELECT id, status, payment_amount FROM commerce.place_sheet_order(:'sheet');

-- [confirm_payment]
SELECT id, status FROM commerce.confirm_payment(2, true, provider_event_id => 'evt_1');

-- [retry_payment]
-- declined, and to be paid by another card
SELECT id AS declined FROM commerce.place_order(1, '[{"product_id": 2, "quantity": 1}]', payment_method => 'EXTERNAL') \gset
SELECT status FROM commerce.confirm_payment(:declined, false, provider_event_id => 'evt_2');
SELECT status, payment_amount FROM commerce.retry_payment(:declined);

-- [refund_order]
SELECT id, status, refunded_amount FROM commerce.refund_order(2, 100, NULL, note => 'a scratch', idempotency_key => 'goodwill-2');

-- [return_payment]
-- the provider says a second time that order 2 was paid, under another id
SELECT id, status FROM commerce.confirm_payment(2, true, provider_event_id => 'evt_3');
SELECT id AS unexpected, status, amount FROM commerce.payments WHERE order_id = 2 AND status = 'UNEXPECTED';
SELECT kind, status, amount
FROM commerce.return_payment((SELECT id FROM commerce.payments WHERE order_id = 2 AND status = 'UNEXPECTED'));

-- [report_refund]
SELECT kind, status, amount
FROM commerce.report_refund((SELECT max(id) FROM commerce.payments WHERE order_id = 2 AND kind = 'REFUND'), true, provider_event_id => 'evt_4');

-- [expire_pending_orders]
SELECT commerce.expire_pending_orders();

-- [change_item_status]
-- the seller of item 1 hands one of two units to the carrier: they become items of their own
SELECT id, seq, status, quantity FROM commerce.change_item_status(1, 'DISPATCHED', 'SELLER', 1, quantity => 1);

-- [cancel_order]
SELECT id, status, refunded_amount FROM commerce.cancel_order(2, 'BUYER', 1, note => 'changed my mind');

-- [cancel_order_item]
SELECT id, status, refunded_amount FROM commerce.cancel_order_item(2, 1, 'BUYER', 1);

-- [update_delivery]
SELECT id AS later FROM commerce.place_order(1, '[{"product_id": 2, "quantity": 3}]') \gset
SELECT recipient_name, recipient_memo FROM commerce.update_delivery(:later, '{"memo": "at the door"}', 'BUYER', 1);

-- [dispatch_items]
SELECT max(id) AS item FROM commerce.order_items \gset
SELECT seller_id, carrier, tracking_number
FROM commerce.dispatch_items(ARRAY[:item], 'Korea Post', '6892-1234', actor => 'ADMIN');

-- [change_shipment_status]
SELECT max(id) AS parcel FROM commerce.shipments \gset
SELECT commerce.change_shipment_status(:parcel, 'DELIVERED', 'ADMIN');

-- [update_shipment]
SELECT max(id) AS parcel FROM commerce.shipments \gset
SELECT carrier, tracking_number FROM commerce.update_shipment(:parcel, tracking_number => '6892-1235');

-- [complete_exchange]
SELECT max(id) AS item FROM commerce.order_items WHERE status = 'DELIVERED' \gset
SELECT status FROM commerce.change_item_status(:item, 'EXCHANGE_REQUESTED', 'BUYER', 1, quantity => 1);
SELECT max(id) AS item FROM commerce.order_items WHERE status = 'EXCHANGE_REQUESTED' \gset
SELECT status FROM commerce.change_item_status(:item, 'EXCHANGE_PROCESSING', 'ADMIN');
SELECT status, quantity FROM commerce.complete_exchange(:item, restock => false);

-- [complete_return]
SELECT max(id) AS item FROM commerce.order_items WHERE status = 'DELIVERED' \gset
SELECT status FROM commerce.change_item_status(:item, 'RETURN_REQUESTED', 'BUYER', 1);
SELECT status FROM commerce.change_item_status(:item, 'RETURN_PROCESSING', 'ADMIN');
SELECT status, refunded_amount FROM commerce.complete_return(:item, deduction => 500);

-- [confirm_delivered_items]
SELECT commerce.confirm_delivered_items();

-- [refresh_popular_products hidden]
DO $$
BEGIN
	LOOP
		PERFORM commerce.refresh_popular_products();
		EXIT WHEN (SELECT f.mark FROM commerce_private.sales_fold f) > (SELECT max(e.xid) FROM commerce.order_item_events e);
		PERFORM pg_sleep(0.02);
	END LOOP;
END
$$;

-- [refresh_popular_products quiet]
SELECT commerce.refresh_popular_products();

-- [popular_products]
SELECT rank, product_id, name, price, units_sold FROM commerce.popular_products();

-- [subscribe quiet]
SELECT commerce.subscribe('warehouse', event_types => '{DeliveryRequested}');

-- [fetch_events quiet]
SELECT position, type, aggregateid, payload FROM commerce.fetch_events('warehouse', max_events => 100);

-- [ack_events quiet]
SELECT commerce.ack_events('warehouse', up_to => position)
FROM commerce.fetch_events('warehouse', max_events => 100) ORDER BY position DESC LIMIT 1;

-- [seek_subscription quiet]
SELECT commerce.seek_subscription('warehouse', to_time => now() - interval '1 hour');

-- [pause_subscription quiet]
SELECT commerce.pause_subscription('warehouse', reason => 'stocktaking');

-- [resume_subscription quiet]
SELECT commerce.resume_subscription('warehouse');

-- [unsubscribe quiet]
SELECT commerce.unsubscribe('warehouse');

-- [sales_report quiet]
SELECT * FROM commerce.sales_report(1, current_date - 30, current_date);

-- [import_user quiet]
SELECT commerce.import_user('{"name": "Park", "email": "park@example.com", "balance": 5000}');

-- [import_order quiet]
SELECT commerce.import_order('{"user_id": 1, "items": [{"product_id": 1, "quantity": 1, "unit_price": 9000}],
	"shipping_total": 3000, "payment_amount": 11500, "difference": "order_discount", "paid_at": "2019-05-05 12:00+09"}');

-- [import_coupon_issue quiet]
SELECT commerce.import_coupon_issue('{"user_id": 3, "coupon_id": 1, "expires_at": "2030-01-01"}');

-- [check_invariants]
SELECT * FROM commerce.check_invariants();

-- [scrub_books]
SELECT commerce.scrub_books();
SELECT ended_at, pieces, found FROM commerce.scrub;

-- [archive]
SELECT commerce.archive();

-- [dump_extras]
ALTER TABLE commerce.orders ADD COLUMN gift boolean;
SELECT commerce.dump_extras(before_data => true);

-- [fold quiet]
SELECT commerce.fold();

-- [schedule_jobs not run: it wants pg_cron]
SELECT commerce.schedule_jobs();

-- [unschedule_jobs not run: it wants pg_cron]
SELECT commerce.unschedule_jobs();

-- [export_user]
SELECT key, left(value::text, 60) AS value FROM jsonb_each(commerce.export_user(2)) ORDER BY key;

-- [erase_user]
SELECT commerce.create_user('Jung', 'jung@example.com') AS jung \gset
SELECT name, email, status FROM commerce.erase_user(:jung);

-- [purge_idempotency_keys]
SELECT commerce.purge_idempotency_keys();

-- [grant_app elsewhere]
CREATE ROLE shop_backend LOGIN;
SELECT commerce.grant_app('shop_backend');

-- [revoke_app elsewhere]
SELECT commerce.revoke_app('shop_backend');

-- [grant_relay elsewhere]
CREATE ROLE relay LOGIN;
SELECT commerce.grant_relay('relay');

-- [grant_monitor elsewhere]
CREATE ROLE monitor LOGIN;
SELECT commerce.grant_monitor('monitor');

-- [metrics]
SELECT name, labels FROM commerce.metrics('orders') WHERE labels->>'status' = 'PAID';

-- [grant_api elsewhere]
SELECT commerce.grant_api('web_anon', 'web_buyer', 'web_seller', 'web_admin', authenticator => 'authenticator');

-- [error_codes]
SELECT http_status, code, sqlstate, message FROM commerce.error_codes() LIMIT 3;

-- [set_cell]
SELECT commerce.set_cell(0);

-- [cell_number]
SELECT commerce.cell_number();

-- [cell_of]
SELECT commerce.cell_of(3000000000017), commerce.cell_of(17);

-- [cell_of_sheet]
SELECT commerce.cell_of_sheet((commerce.create_order_sheet(1, '[{"product_id": 2, "quantity": 1}]')).id);

-- [publish_catalogue]
SELECT commerce.publish_catalogue();

-- [admit_cell not run: it wants wal_level = logical]
SELECT commerce.admit_cell(1);

-- [join_cells not run: it wants another server]
SELECT commerce.set_cell(1);
SELECT commerce.join_cells('host=cell0 dbname=shop user=cells');

-- [reserve_user]
SELECT commerce.reserve_user('sora@example.com', 'auth0|77aa', cell => 3);
-- who comes again is sent to the same cell
SELECT commerce.reserve_user('sora@example.com', 'auth0|77aa', cell => 5);

-- [router_sql]
SELECT left(commerce.router_sql('[{"number": 0, "conninfo": "host=cell0 dbname=shop"}, {"number": 1, "conninfo": "host=cell1 dbname=shop"}]'), 47);

-- [send_units]
SELECT commerce.send_units('3f0c2f1e-8a55-4a0e-9d5e-0f2b6a0c7d11', 'STOCK', 2, units => 30, to_cell => 1);
SELECT units, to_cell FROM commerce.open_transfers;

-- [receive_units]
SELECT commerce.receive_units('b1d6a3c0-52b1-4c3e-8b0a-6c1f0e9d2a22', 'STOCK', 2, units => 12, from_cell => 1);
-- again: nothing
SELECT commerce.receive_units('b1d6a3c0-52b1-4c3e-8b0a-6c1f0e9d2a22', 'STOCK', 2, units => 12, from_cell => 1);

-- [confirm_transfer]
SELECT commerce.confirm_transfer('3f0c2f1e-8a55-4a0e-9d5e-0f2b6a0c7d11');

-- [set_elsewhere]
SELECT commerce.set_elsewhere('STOCK', '{1,2}', '{40,0}');

-- [wait_for_wants]
SELECT * FROM commerce.wait_for_wants('50 ms');

-- [cell_books]
SELECT * FROM commerce.cell_books();

-- [transfers_with]
SELECT jsonb_pretty(commerce.transfers_with(1));

-- [reconcile_transfers elsewhere]
SELECT * FROM commerce.reconcile_transfers('{"cell": 1, "with": 0, "sent": [], "received": []}');

-- [grant_mover elsewhere]
SELECT commerce.grant_mover('mover');
