-- What is kept about a person: told, and erased.

CREATE FUNCTION commerce_private.payments_of(user_id bigint)
RETURNS SETOF commerce.payments
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT p.* FROM commerce.orders o JOIN commerce.payments p ON p.order_id = o.id WHERE o.user_id = payments_of.user_id
	UNION ALL SELECT p.* FROM commerce.payments p WHERE p.user_id = payments_of.user_id AND p.order_id IS NULL
$$;
COMMENT ON FUNCTION commerce_private.payments_of(bigint) IS 'the payments of a user: by the indexes of orders, and of charges';

CREATE FUNCTION commerce_private.export_orders(user_id bigint)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(pg_catalog.jsonb_agg((pg_catalog.to_jsonb(o) - '{user_id,event_key,month}'::text[])
		|| pg_catalog.jsonb_build_object(
			'items', (SELECT pg_catalog.jsonb_agg((pg_catalog.to_jsonb(i) - '{order_id,split_quantity,split_net,last_event,month}'::text[])
						|| pg_catalog.jsonb_build_object('history',
							(SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(e) - '{order_item_id,xid,month}'::text[] ORDER BY e.ordinal)
							 FROM commerce_private.all_order_item_events e WHERE e.order_item_id = i.id AND e.month = o.month)) ORDER BY i.seq)
					  FROM commerce_private.all_order_items i WHERE i.order_id = o.id AND i.month = o.month),
			'shipments', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) - '{order_id,month}'::text[] ORDER BY s.id), '[]')
						  FROM commerce_private.all_shipments s WHERE s.order_id = o.id AND s.month = o.month),
			'coupons', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(c) - '{order_id,month}'::text[] ORDER BY c.coupon_issue_id), '[]')
						FROM commerce_private.all_order_coupons c WHERE c.order_id = o.id AND c.month = o.month),
			'payments', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p) - '{order_id,user_id,month}'::text[] ORDER BY p.id), '[]')
						 FROM commerce_private.all_payments p WHERE p.order_id = o.id AND p.month = o.month)) ORDER BY o.id), '[]')
	FROM commerce_private.all_orders o WHERE o.user_id = export_orders.user_id
$$;
COMMENT ON FUNCTION commerce_private.export_orders(bigint) IS
	'the part of export_user() that is orders, archived ones too, with items, their history, coupons and payments';

CREATE FUNCTION commerce.export_user(user_id bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET enable_seqscan = off
AS $$
DECLARE
	exported jsonb;
BEGIN
	IF export_user.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	SELECT pg_catalog.jsonb_build_object(
		'user', pg_catalog.to_jsonb(u) - '{last_entry,event_key}'::text[],
		'seller', (SELECT pg_catalog.to_jsonb(s) - '{user_id,event_key}'::text[] FROM commerce.sellers s WHERE s.user_id = u.id),
		'orders', commerce_private.export_orders(u.id),
		'charges', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p) - '{order_id,user_id}'::text[] ORDER BY p.id), '[]')
					FROM commerce.payments p WHERE p.user_id = u.id AND p.order_id IS NULL),
		'balance_entries', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(e) - 'user_id' ORDER BY e.number), '[]')
							FROM commerce.balance_entries e WHERE e.user_id = u.id),
		'coupons', (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(c) - '{user_id,event_key,xid}'::text[] ORDER BY c.id), '[]')
					FROM commerce.coupon_issues c WHERE c.user_id = u.id),
		'order_sheets', (SELECT coalesce(pg_catalog.jsonb_agg((pg_catalog.to_jsonb(s) - 'user_id')
							|| pg_catalog.jsonb_build_object('items',
								(SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(i) - 'order_sheet_id' ORDER BY i.seq)
								 FROM commerce.order_sheet_items i WHERE i.order_sheet_id = s.id)) ORDER BY s.created_at, s.id), '[]')
						 FROM commerce.order_sheets s WHERE s.user_id = u.id))
	INTO exported
	FROM commerce.users u WHERE u.id = export_user.user_id;
	IF exported IS NULL THEN
		PERFORM commerce_private.raise_not_found('user', export_user.user_id);
	END IF;
	RETURN exported;
END
$$;
COMMENT ON FUNCTION commerce.export_user(bigint) IS
	'all that is kept about a person, as one object: user, seller, orders (with items and their history, coupons, payments), charges, balance_entries, coupons, order_sheets. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.open_business(u commerce.users)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_id bigint := (SELECT s.id FROM commerce.sellers s WHERE s.user_id = u.id);
	return_until timestamptz := pg_catalog.clock_timestamp() - commerce_private.setting('commerce.auto_confirm_after')::interval;
BEGIN
	RETURN CASE
		WHEN u.balance <> 0 THEN 'BALANCE_LEFT'
		WHEN EXISTS (SELECT FROM commerce_private.payments_of(u.id) p WHERE p.status = 'REQUESTED')
			THEN 'PAYMENT_REQUESTED'
		WHEN EXISTS (SELECT FROM commerce_private.payments_of(u.id) p
					 WHERE p.status = 'UNEXPECTED' AND p.kind <> 'REFUND'
					   AND NOT EXISTS (SELECT FROM commerce_private.payments_of(u.id) r
									   WHERE r.refund_of = p.id AND r.kind = 'REFUND' AND r.status = 'COMPLETED'))
			THEN 'PAYMENT_UNEXPECTED'
		WHEN EXISTS (SELECT FROM commerce.orders o JOIN commerce.order_items i ON i.order_id = o.id
					 WHERE o.user_id = u.id AND i.status NOT IN ('CANCELLED', 'RETURNED', 'CONFIRMED')
					   AND NOT (i.status IN ('DELIVERED', 'EXCHANGED') AND i.delivered_at <= return_until))
			THEN 'ORDER_OPEN'
		WHEN EXISTS (SELECT FROM commerce.products p WHERE p.seller_id = own_id AND p.status = 'ON_SALE')
			THEN 'PRODUCT_ON_SALE'
		WHEN EXISTS (SELECT FROM commerce.order_items i
					 WHERE i.seller_id = own_id
					   AND i.status NOT IN ('CANCELLED', 'RETURNED', 'DELIVERED', 'CONFIRMED', 'EXCHANGED'))
			THEN 'ITEM_TO_DELIVER'
	END;
END
$$;
COMMENT ON FUNCTION commerce_private.open_business(commerce.users) IS
	'why a user cannot be erased yet; NULL: nothing is open';

CREATE FUNCTION commerce_private.forget_keys(user_id bigint)
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM commerce_private.idempotency_keys k WHERE k.user_id = forget_keys.user_id;
	DELETE FROM commerce_private.idempotency_keys k
	WHERE k.scope IN (
		SELECT r.role || ':' || forget_keys.user_id FROM pg_catalog.unnest('{user,seller,admin}'::text[]) AS r (role)
		UNION ALL SELECT 'order:' || o.id FROM commerce_private.all_orders o WHERE o.user_id = forget_keys.user_id
		UNION ALL SELECT 'item:' || i.id FROM commerce_private.all_orders o
				  JOIN commerce_private.all_order_items i ON i.order_id = o.id AND i.month = o.month
				  WHERE o.user_id = forget_keys.user_id
		UNION ALL SELECT 'payment:' || p.id FROM commerce_archive.orders o
				  JOIN commerce_archive.payments p ON p.order_id = o.id AND p.month = o.month
				  WHERE o.user_id = forget_keys.user_id
		UNION ALL SELECT 'payment:' || p.id FROM commerce_private.payments_of(forget_keys.user_id) p)
$$;
COMMENT ON FUNCTION commerce_private.forget_keys(bigint) IS
	'deletes the idempotency keys of a user, of the user''s orders, items and payments, and those of sellers and administrators whose answers are about the user: there is personal data in them';

CREATE FUNCTION commerce.erase_user(user_id bigint, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.users
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	before commerce.users;
	u commerce.users;
	reason text;
BEGIN
	PERFORM commerce_private.begin_write();
	IF erase_user.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	PERFORM commerce_private.require_own(erase_user.user_id);
	PERFORM commerce_private.check_text('note', erase_user.note);
	actor := commerce_private.require_who(erase_user.actor_id, erase_user.note);
	IF pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'erase_user() must run in READ COMMITTED'
			USING ERRCODE = 'active_sql_transaction',
				  DETAIL = 'After it has waited for the user''s row it must see what was committed meanwhile.';
	END IF;
	PERFORM commerce_private.close_user(erase_user.user_id);
	u := commerce_private.lock_user(erase_user.user_id);
	IF u.erased_at IS NOT NULL THEN
		RETURN u;
	END IF;
	reason := commerce_private.open_business(u);
	IF reason IS NOT NULL THEN
		PERFORM commerce_private.raise_error('OPEN_BUSINESS', pg_catalog.jsonb_build_object('user_id', u.id, 'reason', reason));
	END IF;

	PERFORM commerce.revoke_coupon(c.id, erase_user.actor_id, erase_user.note)
	FROM (SELECT i.id FROM commerce.coupon_issues i WHERE i.user_id = u.id AND i.status = 'ACTIVE' ORDER BY i.id) c;
	UPDATE commerce.orders o
	SET recipient_name = NULL, recipient_phone = NULL, recipient_address = NULL, recipient_memo = NULL, metadata = NULL
	WHERE o.user_id = u.id
	  AND pg_catalog.num_nonnulls(o.recipient_name, o.recipient_phone, o.recipient_address, o.recipient_memo, o.metadata) > 0;
	-- after the others: one may have been archived meanwhile
	UPDATE commerce_archive.orders o
	SET recipient_name = NULL, recipient_phone = NULL, recipient_address = NULL, recipient_memo = NULL, metadata = NULL
	WHERE o.user_id = u.id
	  AND pg_catalog.num_nonnulls(o.recipient_name, o.recipient_phone, o.recipient_address, o.recipient_memo, o.metadata) > 0;
	PERFORM commerce_private.forget_keys(u.id);
	before := u;
	UPDATE commerce.users c
	SET status = 'WITHDRAWN', name = 'erased', email = NULL, phone = NULL, address = NULL, external_id = NULL, metadata = NULL,
		erased_at = pg_catalog.now(), updated_at = pg_catalog.now(),
		event_key = greatest(c.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE c.id = u.id
	RETURNING c.* INTO u;
	PERFORM commerce_private.follow_status(u, actor);
	PERFORM commerce_private.keep_staff(u);
	PERFORM commerce_private.name_staff(before, u);
	PERFORM commerce_private.write_event('User', u.id::text, 'UserErased',
		pg_catalog.jsonb_build_object('user_id', u.id, 'status', u.status, 'erased_at', u.erased_at, 'actor', actor),
		u.event_key);
	RETURN u;
END
$$;
COMMENT ON FUNCTION commerce.erase_user(bigint, bigint, text) IS
	'erases a person: the user becomes WITHDRAWN, and the name, e-mail, phone, address, external id and metadata, the recipients and metadata of the orders, and idempotency keys go (those of charges stay); ACTIVE coupons are revoked. The books and orders stay, and a seller''s business. A second call changes nothing. OPEN_BUSINESS while there is a balance, a payment that is open, an order that is not over, or something to sell or to deliver. In READ COMMITTED only. A transaction that orders for the user and then claims, or claims and then orders, can meet it in a deadlock, which ends one of the two. actor_id: an ADMIN, or NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, OPEN_BUSINESS';
