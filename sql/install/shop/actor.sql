-- Who makes a change.

CREATE FUNCTION commerce_private.require_who(actor_id bigint, seller_id bigint DEFAULT NULL, user_id bigint DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF require_who.actor_id IS NULL
	   OR EXISTS (SELECT FROM commerce.users u
				  WHERE u.id = require_who.actor_id AND u.status = 'ACTIVE'
					AND (u.role = 'ADMIN' OR u.id = require_who.user_id
						 OR EXISTS (SELECT FROM commerce.sellers s WHERE s.user_id = u.id AND s.id = require_who.seller_id))) THEN
		RETURN;
	END IF;
	PERFORM commerce_private.raise_error('FORBIDDEN', pg_catalog.jsonb_build_object('user_id', require_who.actor_id,
		'reason', 'NOT_ENTITLED'));
END
$$;
COMMENT ON FUNCTION commerce_private.require_who(bigint, bigint, bigint) IS
	'judges the actor of a call by the user''s id: an active ADMIN, the active user of the seller whose thing it is (seller_id), or the user himself (user_id); NULL: a trusted caller. Errors: FORBIDDEN';
