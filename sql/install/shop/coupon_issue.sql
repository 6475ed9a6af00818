-- Coupons that users hold: claimed, first come first served, or given to them.

CREATE TABLE commerce.coupon_issues (
	id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id          bigint NOT NULL REFERENCES commerce.users,
	coupon_id        bigint NOT NULL REFERENCES commerce.coupons,
	name             text NOT NULL,
	description      text,
	kind             commerce.coupon_kind NOT NULL,
	value            bigint NOT NULL,
	max_discount     bigint,
	round_unit       bigint NOT NULL DEFAULT 1,
	min_order_amount bigint NOT NULL DEFAULT 0,
	max_units        bigint,
	scope            commerce.coupon_scope NOT NULL,
	seller_id        bigint,
	product_id       bigint,
	status           commerce.coupon_issue_status NOT NULL DEFAULT 'ACTIVE',
	issued_at        timestamptz NOT NULL DEFAULT pg_catalog.now(),
	expires_at       timestamptz NOT NULL,
	used_at          timestamptz,
	used_order_id    bigint,
	event_key        bigint NOT NULL,
	xid              bigint NOT NULL DEFAULT pg_catalog.pg_current_xact_id()::text::bigint,
	CONSTRAINT coupon_issues_user_coupon_key UNIQUE (user_id, coupon_id),
	CONSTRAINT coupon_issues_used_order_id_check CHECK ((status = 'USED') = (used_order_id IS NOT NULL)),
	CONSTRAINT coupon_issues_used_at_check CHECK ((status = 'USED') = (used_at IS NOT NULL)),
	CONSTRAINT coupon_issues_times_check CHECK (commerce_private.is_time(expires_at))
) WITH (fillfactor = 90);
CREATE INDEX coupon_issues_quota_idx ON commerce.coupon_issues (coupon_id, xid);
CREATE INDEX coupon_issues_expires_at_idx ON commerce.coupon_issues (expires_at) WHERE status = 'ACTIVE';
COMMENT ON TABLE commerce.coupon_issues IS 'coupons that users hold, with the terms that the coupon had when it was issued; rows are never deleted: they are the truth of the quota';
COMMENT ON COLUMN commerce.coupon_issues.event_key IS 'key of the last outbox event of this issue';
COMMENT ON COLUMN commerce.coupon_issues.xid IS 'the transaction that issued it';
SELECT pg_catalog.pg_extension_config_dump('commerce.coupon_issues', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.coupon_issues_id_seq', '');

CREATE TRIGGER gate_write BEFORE INSERT OR DELETE OR UPDATE OF id, coupon_id, xid ON commerce.coupon_issues
	FOR EACH ROW EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.coupon_issues ENABLE ALWAYS TRIGGER gate_write;
CREATE TRIGGER gate_statement BEFORE DELETE OR UPDATE OF id, coupon_id, xid OR TRUNCATE ON commerce.coupon_issues
	FOR EACH STATEMENT EXECUTE FUNCTION commerce_private.gate_foreign_write();
ALTER TABLE commerce.coupon_issues ENABLE ALWAYS TRIGGER gate_statement;

CREATE FUNCTION commerce.claim_coupon(user_id bigint, coupon_id bigint)
RETURNS commerce.coupon_issues
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_claim_coupon';
COMMENT ON FUNCTION commerce.claim_coupon(bigint, bigint) IS
	'gives a user one of a coupon, first come first served, once per user, and returns the issue. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, COUPON_SOLD_OUT, COUPON_ALREADY_CLAIMED, COUPON_NOT_CLAIMABLE';

CREATE FUNCTION commerce_private.give_coupon(coupon_id bigint, user_id bigint, actor jsonb)
RETURNS commerce.coupon_issues
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_give_coupon';
COMMENT ON FUNCTION commerce_private.give_coupon(bigint, bigint, jsonb) IS
	'the part of issue_coupon() that issues; actor: what the event says of him. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, COUPON_SOLD_OUT, COUPON_ALREADY_CLAIMED, COUPON_NOT_CLAIMABLE';

CREATE FUNCTION commerce.issue_coupon(coupon_id bigint, user_id bigint, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.coupon_issues
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	actor jsonb;
	issue commerce.coupon_issues;
BEGIN
	PERFORM commerce_private.begin_write();
	IF issue_coupon.coupon_id IS NULL OR issue_coupon.user_id IS NULL THEN
		PERFORM commerce_private.raise_invalid(CASE WHEN issue_coupon.coupon_id IS NULL THEN 'coupon_id' ELSE 'user_id' END, 'must not be null');
	END IF;
	PERFORM commerce_private.check_text('note', issue_coupon.note);
	actor := commerce_private.require_who(issue_coupon.actor_id, issue_coupon.note, commerce_private.coupon_seller(issue_coupon.coupon_id));
	issue := commerce_private.give_coupon(issue_coupon.coupon_id, issue_coupon.user_id, actor);
	RETURN issue;
END
$$;
COMMENT ON FUNCTION commerce.issue_coupon(bigint, bigint, bigint, text) IS
	'gives a chosen user one of a coupon, out of its quantity, whether its window is open and it is claimable or not, and returns the issue. actor_id: an ADMIN, or the seller''s user; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, COUPON_SOLD_OUT, COUPON_ALREADY_CLAIMED, COUPON_NOT_CLAIMABLE';

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
			SELECT i AS issue FROM commerce.coupon_issues i WHERE i.user_id = usable_coupons.user_id)
		SELECT u.*
		FROM own o
		CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(o.issue, '{"status": "ACTIVE", "used_at": null, "used_order_id": null}') u
		WHERE u.expires_at > pg_catalog.clock_timestamp()
		  AND ((o.issue).status = 'ACTIVE'
			   OR (o.issue).status = 'USED' AND (SELECT p.status = 'PENDING_PAYMENT' AND p.expires_at <= pg_catalog.clock_timestamp()
												 FROM commerce.orders p WHERE p.id = (o.issue).used_order_id))
		ORDER BY u.expires_at, u.id;
END
$$;
COMMENT ON FUNCTION commerce.usable_coupons(bigint) IS
	'the coupons a user can use now, the ones that expire first first; one that an overdue unpaid order holds is among them, as the ACTIVE one that it will be. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND';

CREATE FUNCTION commerce_private.coupon_event(issue commerce.coupon_issues, event_type text, more jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
	PERFORM commerce_private.write_event('CouponIssue', issue.id::text, event_type,
		pg_catalog.jsonb_build_object('id', issue.id, 'user_id', issue.user_id, 'coupon_id', issue.coupon_id,
			'name', issue.name, 'description', issue.description, 'kind', issue.kind, 'value', issue.value,
			'max_discount', issue.max_discount, 'round_unit', issue.round_unit,
			'min_order_amount', issue.min_order_amount, 'max_units', issue.max_units, 'scope', issue.scope,
			'seller_id', issue.seller_id, 'product_id', issue.product_id, 'status', issue.status,
			'issued_at', issue.issued_at, 'expires_at', issue.expires_at, 'used_at', issue.used_at,
			'used_order_id', issue.used_order_id) || more,
		issue.event_key);
END
$$;
COMMENT ON FUNCTION commerce_private.coupon_event(commerce.coupon_issues, text, jsonb) IS
	'writes an event that carries the whole coupon issue, and more; the caller has just set its event_key';

CREATE FUNCTION commerce.revoke_coupon(coupon_issue_id bigint, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.coupon_issues
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	actor jsonb;
	issue commerce.coupon_issues;
BEGIN
	PERFORM commerce_private.begin_write();
	PERFORM commerce_private.check_text('note', revoke_coupon.note);
	IF revoke_coupon.coupon_issue_id IS NULL THEN
		PERFORM commerce_private.raise_invalid('coupon_issue_id', 'must not be null');
	END IF;
	SELECT * INTO issue FROM commerce.coupon_issues i WHERE i.id = revoke_coupon.coupon_issue_id;
	IF NOT FOUND THEN
		PERFORM commerce_private.raise_not_found('coupon_issue', revoke_coupon.coupon_issue_id);
	END IF;
	actor := commerce_private.require_who(revoke_coupon.actor_id, revoke_coupon.note, issue.seller_id);

	SELECT * INTO issue FROM commerce.coupon_issues i WHERE i.id = revoke_coupon.coupon_issue_id FOR NO KEY UPDATE;
	IF issue.status <> 'ACTIVE' THEN
		PERFORM commerce_private.raise_error('COUPON_NOT_USABLE', pg_catalog.jsonb_build_object('coupon_issue_id', issue.id, 'reason', issue.status));
	END IF;
	UPDATE commerce.coupon_issues i
	SET status = 'REVOKED', event_key = greatest(i.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id()))
	WHERE i.id = issue.id
	RETURNING i.* INTO issue;
	PERFORM commerce_private.coupon_event(issue, 'CouponRevoked', pg_catalog.jsonb_build_object('actor', actor));
	RETURN issue;
END
$$;
COMMENT ON FUNCTION commerce.revoke_coupon(bigint, bigint, text) IS
	'takes an unused coupon from a user and returns the issue; what was revoked does not return to the pool. actor_id: an ADMIN, or the user of the seller whose coupon it is; NULL for a trusted caller. Errors: INVALID_REQUEST, FORBIDDEN, ENTITY_NOT_FOUND, COUPON_NOT_USABLE';

CREATE FUNCTION commerce.expire_coupons(max_rows int DEFAULT 10000)
RETURNS int
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_expire_coupons';
COMMENT ON FUNCTION commerce.expire_coupons(int) IS
	'marks at most max_rows overdue coupons EXPIRED, with their events, and returns how many; an overdue coupon cannot be used before that either. Coupons that somebody is working on are left for the next time, and so is, with a warning, one that cannot be marked. Errors: INVALID_REQUEST';
