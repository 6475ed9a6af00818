-- Coupons, first come first served, and the coupons that users hold.

CREATE TABLE commerce.coupons (
	id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name             text NOT NULL CHECK (pg_catalog.btrim(name) <> ''),
	description      text,
	kind             commerce.coupon_kind NOT NULL,
	value            bigint NOT NULL,
	max_discount     bigint CHECK (max_discount > 0),
	round_unit       bigint NOT NULL DEFAULT 1 CHECK (round_unit > 0),
	min_order_amount bigint NOT NULL DEFAULT 0 CHECK (min_order_amount >= 0),
	scope            commerce.coupon_scope NOT NULL GENERATED ALWAYS AS (
						CASE WHEN product_id IS NOT NULL THEN 'PRODUCT'::commerce.coupon_scope
							 WHEN seller_id IS NOT NULL THEN 'SELLER'::commerce.coupon_scope
							 ELSE 'ORDER'::commerce.coupon_scope END) STORED,
	seller_id        bigint REFERENCES commerce.sellers,
	product_id       bigint REFERENCES commerce.products,
	quantity         bigint NOT NULL CHECK (quantity > 0),
	issue_from       timestamptz NOT NULL DEFAULT pg_catalog.now(),
	issue_until      timestamptz,
	valid_days       int CHECK (valid_days > 0),
	valid_until      timestamptz,
	stopped_at       timestamptz,
	created_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
	updated_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT coupons_value_check CHECK (CASE kind WHEN 'FIXED' THEN value > 0
													WHEN 'PERCENT' THEN value BETWEEN 1 AND 100
													ELSE value = 0 END),
	CONSTRAINT coupons_validity_check CHECK (pg_catalog.num_nonnulls(valid_days, valid_until) = 1),
	CONSTRAINT coupons_window_check CHECK (issue_from < issue_until),
	CONSTRAINT coupons_shipping_check CHECK (kind <> 'FREE_SHIPPING' OR product_id IS NULL)
);
COMMENT ON TABLE commerce.coupons IS 'coupons that users can claim; what remains is told by the view coupon_list';
COMMENT ON COLUMN commerce.coupons.value IS 'won (FIXED), percent 1–100 (PERCENT), 0 (FREE_SHIPPING)';
COMMENT ON COLUMN commerce.coupons.max_discount IS 'cap: most won that the coupon takes off (of a product coupon: per unit)';
COMMENT ON COLUMN commerce.coupons.round_unit IS 'a percentage is floored to a multiple of this many won';
COMMENT ON COLUMN commerce.coupons.min_order_amount IS 'won that the eligible lines must come to after product discounts, shipping not counted';
COMMENT ON COLUMN commerce.coupons.scope IS 'follows from product_id and seller_id';
COMMENT ON COLUMN commerce.coupons.quantity IS 'how many may be issued in all';
COMMENT ON COLUMN commerce.coupons.valid_days IS 'an issued coupon expires this many days after its issue';
COMMENT ON COLUMN commerce.coupons.valid_until IS 'an issued coupon expires at this moment';
SELECT pg_catalog.pg_extension_config_dump('commerce.coupons', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.coupons_id_seq', '');

CREATE TABLE commerce_private.coupon_quota (
	coupon_id bigint PRIMARY KEY REFERENCES commerce.coupons,
	on_hand   bigint NOT NULL,
	mark      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE commerce_private.coupon_quota IS
	'folded quota: what remains is on_hand less the coupon_issues not folded yet. No claim updates it';
COMMENT ON COLUMN commerce_private.coupon_quota.mark IS 'issues of transactions below this id are folded into on_hand';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.coupon_quota', '');

CREATE TABLE commerce.coupon_issues (
	id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id       bigint NOT NULL REFERENCES commerce.users,
	coupon_id     bigint NOT NULL REFERENCES commerce.coupons,
	name          text NOT NULL,
	description   text,
	kind          commerce.coupon_kind NOT NULL,
	value         bigint NOT NULL,
	status        commerce.coupon_issue_status NOT NULL DEFAULT 'ACTIVE',
	issued_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
	expires_at    timestamptz NOT NULL,
	used_at       timestamptz,
	used_order_id bigint,
	event_key     bigint NOT NULL,
	xid           bigint NOT NULL DEFAULT pg_catalog.pg_current_xact_id()::text::bigint,
	CONSTRAINT coupon_issues_user_coupon_key UNIQUE (user_id, coupon_id),
	CHECK ((status = 'USED') = (used_order_id IS NOT NULL)),
	CHECK ((status = 'USED') = (used_at IS NOT NULL))
) WITH (fillfactor = 90);
CREATE INDEX coupon_issues_quota_idx ON commerce.coupon_issues (coupon_id, xid);
CREATE INDEX coupon_issues_expires_at_idx ON commerce.coupon_issues (expires_at) WHERE status = 'ACTIVE';
COMMENT ON TABLE commerce.coupon_issues IS 'coupons that users hold, with what the coupon said when it was issued; rows are never deleted: they are the truth of the quota';
COMMENT ON COLUMN commerce.coupon_issues.event_key IS 'key of the last outbox event of this issue';
COMMENT ON COLUMN commerce.coupon_issues.xid IS 'the transaction that issued it';
SELECT pg_catalog.pg_extension_config_dump('commerce.coupon_issues', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.coupon_issues_id_seq', '');

CREATE VIEW commerce_private.quota_left AS
	SELECT q.coupon_id, q.mark, q.on_hand - j.unfolded AS units, j.unfolded
	FROM commerce_private.coupon_quota q
	CROSS JOIN LATERAL (SELECT count(*) AS unfolded FROM commerce.coupon_issues i
						WHERE i.coupon_id = q.coupon_id AND i.xid >= q.mark) j;
COMMENT ON VIEW commerce_private.quota_left IS
	'how many of each coupon remain as the snapshot sees them: on hand, less the issues that are not folded yet';

CREATE TRIGGER gate_delete BEFORE DELETE OR UPDATE OF id, quantity ON commerce.coupons
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.coupons ENABLE ALWAYS TRIGGER gate_delete;
CREATE TRIGGER gate_write BEFORE INSERT OR UPDATE OR DELETE ON commerce_private.coupon_quota
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.coupon_quota ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON commerce_private.coupon_quota
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce_private.coupon_quota ENABLE ALWAYS TRIGGER gate_statement;
CREATE TRIGGER gate_write BEFORE INSERT OR DELETE OR UPDATE OF id, coupon_id, xid ON commerce.coupon_issues
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.coupon_issues ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE DELETE OR UPDATE OF id, coupon_id, xid OR TRUNCATE ON commerce.coupon_issues
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.coupon_issues ENABLE ALWAYS TRIGGER gate_statement;

CREATE FUNCTION commerce_private.change_quota()
RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NEW.quantity < (SELECT count(*) FROM commerce.coupon_issues i WHERE i.coupon_id = NEW.id) THEN
		PERFORM commerce_private.raise_invalid('quantity', pg_catalog.format('must not be below what is issued of coupon %s', NEW.id));
	END IF;
	UPDATE commerce_private.coupon_quota q SET on_hand = q.on_hand + NEW.quantity - OLD.quantity WHERE q.coupon_id = NEW.id;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION commerce_private.change_quota() IS 'what remains of a coupon goes with its quantity, which an UPDATE by hand changes';
CREATE TRIGGER change_quota AFTER UPDATE OF quantity ON commerce.coupons
	FOR EACH ROW WHEN (OLD.quantity <> NEW.quantity) EXECUTE FUNCTION commerce_private.change_quota();

CREATE FUNCTION commerce_private.open_quota(coupon_id bigint, quantity bigint)
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_open_quota';
COMMENT ON FUNCTION commerce_private.open_quota(bigint, bigint) IS 'gives a new coupon its quota row';

CREATE FUNCTION commerce.create_coupon(
	name text, kind commerce.coupon_kind, value bigint, quantity bigint,
	valid_days int DEFAULT NULL, valid_until timestamptz DEFAULT NULL,
	issue_from timestamptz DEFAULT pg_catalog.now(), issue_until timestamptz DEFAULT NULL,
	seller_id bigint DEFAULT NULL, product_id bigint DEFAULT NULL, min_order_amount bigint DEFAULT 0,
	max_discount bigint DEFAULT NULL, round_unit bigint DEFAULT 1, description text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	-- free shipping has no amount; a cap is max_discount
	stored_value bigint := CASE WHEN create_coupon.kind = 'FREE_SHIPPING' THEN 0 ELSE create_coupon.value END;
	product_seller_id bigint;
	coupon_id bigint;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_text('name', create_coupon.name),
		commerce_private.check_text('description', create_coupon.description);
	IF pg_catalog.btrim(coalesce(create_coupon.name, '')) = '' THEN
		PERFORM commerce_private.raise_invalid('name', 'must not be empty');
	END IF;
	IF create_coupon.kind IS NULL THEN
		PERFORM commerce_private.raise_invalid('kind', 'must be FIXED, PERCENT or FREE_SHIPPING');
	END IF;
	IF create_coupon.kind = 'FIXED' AND (stored_value IS NULL OR stored_value < 1) THEN
		PERFORM commerce_private.raise_invalid('value', 'must be 1 or more won');
	END IF;
	IF create_coupon.kind = 'PERCENT' AND (stored_value IS NULL OR stored_value NOT BETWEEN 1 AND 100) THEN
		PERFORM commerce_private.raise_invalid('value', 'must be a whole percentage from 1 to 100');
	END IF;
	IF create_coupon.quantity IS NULL OR create_coupon.quantity < 1 THEN
		PERFORM commerce_private.raise_invalid('quantity', 'must be 1 or more');
	END IF;
	IF pg_catalog.num_nonnulls(create_coupon.valid_days, create_coupon.valid_until) <> 1 THEN
		PERFORM commerce_private.raise_invalid('valid_days', 'must be given, or valid_until, and not both');
	END IF;
	IF create_coupon.valid_days NOT BETWEEN 1 AND 36500 THEN
		PERFORM commerce_private.raise_invalid('valid_days', 'must be from 1 to 36500');
	END IF;
	IF create_coupon.issue_from IS NULL THEN
		PERFORM commerce_private.raise_invalid('issue_from', 'must not be null');
	END IF;
	IF create_coupon.issue_until <= create_coupon.issue_from THEN
		PERFORM commerce_private.raise_invalid('issue_from', 'must be before issue_until');
	END IF;
	IF create_coupon.min_order_amount IS NULL OR create_coupon.min_order_amount < 0 THEN
		PERFORM commerce_private.raise_invalid('min_order_amount', 'must be 0 or more');
	END IF;
	IF create_coupon.max_discount < 1 THEN
		PERFORM commerce_private.raise_invalid('max_discount', 'must be 1 or more, or null for no cap');
	END IF;
	IF create_coupon.round_unit IS NULL OR create_coupon.round_unit < 1 THEN
		PERFORM commerce_private.raise_invalid('round_unit', 'must be 1 or more');
	END IF;
	IF create_coupon.kind = 'FREE_SHIPPING' AND create_coupon.product_id IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid('product_id', 'must be null for a FREE_SHIPPING coupon');
	END IF;
	IF create_coupon.seller_id IS NOT NULL
	   AND NOT EXISTS (SELECT FROM commerce.sellers s WHERE s.id = create_coupon.seller_id) THEN
		PERFORM commerce_private.raise_not_found('seller', create_coupon.seller_id);
	END IF;
	IF create_coupon.product_id IS NOT NULL THEN
		SELECT p.seller_id INTO product_seller_id FROM commerce.products p WHERE p.id = create_coupon.product_id;
		IF NOT FOUND THEN
			PERFORM commerce_private.raise_not_found('product', create_coupon.product_id);
		END IF;
		IF create_coupon.seller_id <> product_seller_id
		   OR (create_coupon.seller_id IS NOT NULL AND product_seller_id IS NULL) THEN
			PERFORM commerce_private.raise_invalid('product_id', pg_catalog.format('must be a product of seller %s', create_coupon.seller_id));
		END IF;
	END IF;

	INSERT INTO commerce.coupons (name, description, kind, value, max_discount, round_unit, min_order_amount,
								  seller_id, product_id, quantity, issue_from, issue_until, valid_days, valid_until)
	VALUES (create_coupon.name, create_coupon.description, create_coupon.kind, stored_value,
			create_coupon.max_discount, create_coupon.round_unit, create_coupon.min_order_amount,
			create_coupon.seller_id, create_coupon.product_id, create_coupon.quantity, create_coupon.issue_from,
			create_coupon.issue_until, create_coupon.valid_days, create_coupon.valid_until)
	RETURNING id INTO coupon_id;
	PERFORM commerce_private.open_quota(coupon_id, create_coupon.quantity);
	RETURN coupon_id;
END
$$;
COMMENT ON FUNCTION commerce.create_coupon(text, commerce.coupon_kind, bigint, bigint, int, timestamptz, timestamptz,
										   timestamptz, bigint, bigint, bigint, bigint, bigint, text) IS
	'offers a coupon of which quantity can be claimed from issue_from until just before issue_until, and returns its id. value: won (FIXED), percent 1–100 (PERCENT), not used for FREE_SHIPPING. Exactly one of valid_days (after issue) and valid_until. product_id: a line''s coupon; seller_id alone: counts on that seller''s lines; neither: on the whole order. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.stop_coupon(coupon_id bigint)
RETURNS commerce.coupons
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	stopped commerce.coupons;
BEGIN
	PERFORM commerce_private.begin_write();
	IF stop_coupon.coupon_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('coupon_id', 'must not be null');
	END IF;
	UPDATE commerce.coupons c
	SET stopped_at = coalesce(c.stopped_at, pg_catalog.now()), updated_at = pg_catalog.now()
	WHERE c.id = stop_coupon.coupon_id
	RETURNING c.* INTO stopped;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('coupon', stop_coupon.coupon_id);
	END IF;
	RETURN stopped;
END
$$;
COMMENT ON FUNCTION commerce.stop_coupon(bigint) IS
	'ends claiming of a coupon and returns the row; what was issued stays usable. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce.claim_coupon(user_id bigint, coupon_id bigint)
RETURNS commerce.coupon_issues
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_claim_coupon';
COMMENT ON FUNCTION commerce.claim_coupon(bigint, bigint) IS
	'gives a user one of a coupon, first come first served, once per user, and returns the issue. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, COUPON_SOLD_OUT, COUPON_ALREADY_CLAIMED, COUPON_NOT_CLAIMABLE';

CREATE FUNCTION commerce.usable_coupons(user_id bigint)
RETURNS SETOF commerce.coupon_issues
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	IF usable_coupons.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('user_id', 'must not be null');
	END IF;
	IF NOT EXISTS (SELECT FROM commerce.users u WHERE u.id = usable_coupons.user_id) THEN
		PERFORM commerce_private.raise_not_found('user', usable_coupons.user_id);
	END IF;
	RETURN QUERY
		-- the user's first, not everybody's that are active
		WITH own AS MATERIALIZED (
			SELECT i.* FROM commerce.coupon_issues i WHERE i.user_id = usable_coupons.user_id)
		SELECT i.* FROM own i WHERE i.status = 'ACTIVE' AND i.expires_at > pg_catalog.clock_timestamp()
		ORDER BY i.expires_at, i.id;
END
$$;
COMMENT ON FUNCTION commerce.usable_coupons(bigint) IS
	'the coupons a user can use now, the ones that expire first first. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.coupon_event(issue commerce.coupon_issues, event_type text)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.write_event('CouponIssue', coupon_event.issue.id::text, coupon_event.event_type,
		pg_catalog.to_jsonb(coupon_event.issue) - '{event_key,xid}'::text[], coupon_event.issue.event_key);
END
$$;
COMMENT ON FUNCTION commerce_private.coupon_event(commerce.coupon_issues, text) IS
	'writes an event that carries the whole coupon issue; the caller has just set its event_key';

CREATE FUNCTION commerce.revoke_coupon(coupon_issue_id bigint, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.coupon_issues
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	issue commerce.coupon_issues;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_text('note', revoke_coupon.note);
	IF revoke_coupon.coupon_issue_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('coupon_issue_id', 'must not be null');
	END IF;
	PERFORM commerce_private.require_who(revoke_coupon.actor_id);
	SELECT * INTO issue FROM commerce.coupon_issues i WHERE i.id = revoke_coupon.coupon_issue_id FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('coupon_issue', revoke_coupon.coupon_issue_id);
	END IF;
	IF issue.status <> 'ACTIVE' THEN
		PERFORM commerce_private.raise_error('COUPON_NOT_USABLE', pg_catalog.jsonb_build_object('coupon_issue_id', issue.id, 'reason', 'the coupon is ' || issue.status));
	END IF;
	UPDATE commerce.coupon_issues i
	SET status = 'REVOKED', event_key = greatest(i.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE i.id = issue.id
	RETURNING i.* INTO issue;
	PERFORM commerce_private.write_event('CouponIssue', issue.id::text, 'CouponRevoked',
		(pg_catalog.to_jsonb(issue) - '{event_key,xid}'::text[])
		|| pg_catalog.jsonb_build_object('actor_id', revoke_coupon.actor_id, 'note', revoke_coupon.note),
		issue.event_key);
	RETURN issue;
END
$$;
COMMENT ON FUNCTION commerce.revoke_coupon(bigint, bigint, text) IS
	'takes an unused coupon from a user and returns the issue; what was revoked does not return to the pool. actor_id: the ADMIN who did it, or NULL for a trusted caller. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, COUPON_NOT_USABLE';

CREATE FUNCTION commerce.expire_coupons(max_rows int DEFAULT 10000)
RETURNS int
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_expire_coupons';
COMMENT ON FUNCTION commerce.expire_coupons(int) IS
	'marks at most max_rows overdue coupons EXPIRED, with their events, and returns how many; an overdue coupon cannot be used before that either. Coupons that somebody is working on are left for the next time, and so is, with a warning, one that cannot be marked. Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.fold_quota(coupon_ids bigint[], OUT folded bigint, OUT unfinished bigint[])
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
	WITH horizon AS MATERIALIZED (
		SELECT commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS xmin
	), due AS (
		SELECT q.coupon_id, i.finished
		FROM commerce_private.coupon_quota q CROSS JOIN horizon h
		CROSS JOIN LATERAL (
			SELECT count(*) AS finished FROM commerce.coupon_issues j
			WHERE j.coupon_id = q.coupon_id AND j.xid >= q.mark AND j.xid < h.xmin) i
		WHERE i.finished > 0 AND (fold_quota.coupon_ids IS NULL OR q.coupon_id = ANY (fold_quota.coupon_ids))
		FOR NO KEY UPDATE OF q SKIP LOCKED
	)
	UPDATE commerce_private.coupon_quota q
	SET on_hand = q.on_hand - due.finished, mark = greatest(q.mark, h.xmin)
	FROM due CROSS JOIN horizon h
	WHERE q.coupon_id = due.coupon_id;
	GET DIAGNOSTICS folded = ROW_COUNT;
	unfinished := ARRAY(
		SELECT c.coupon_id FROM pg_catalog.unnest(fold_quota.coupon_ids) c (coupon_id)
		WHERE EXISTS (SELECT FROM commerce_private.coupon_quota q JOIN commerce.coupon_issues j ON j.coupon_id = q.coupon_id AND j.xid >= q.mark
					  WHERE q.coupon_id = c.coupon_id));
END
$$;
COMMENT ON FUNCTION commerce_private.fold_quota(bigint[]) IS
	'the part of fold() that moves coupon quota, of all coupons (NULL) or of some; returns how many it moved, and which of those given have issues left to fold';
