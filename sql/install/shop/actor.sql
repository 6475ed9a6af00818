-- Who makes a change.

CREATE FUNCTION commerce_private.require_who(
	actor_id bigint, note text DEFAULT NULL, seller_id bigint DEFAULT NULL, user_id bigint DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind commerce.actor_kind := 'SYSTEM'::commerce.actor_kind;
	id bigint;
BEGIN
	IF require_who.actor_id IS NOT NULL THEN
		SELECT CASE WHEN s.id = require_who.seller_id THEN 'SELLER' WHEN u.role = 'ADMIN' THEN 'ADMIN'
					WHEN u.id = require_who.user_id THEN 'BUYER' END::commerce.actor_kind,
			   CASE WHEN s.id = require_who.seller_id THEN s.id ELSE u.id END
		INTO kind, id
		FROM commerce.users u LEFT JOIN commerce.sellers s ON s.user_id = u.id
		WHERE u.id = require_who.actor_id AND u.status = 'ACTIVE';
	END IF;
	IF kind IS NULL THEN
		PERFORM commerce_private.raise_error('FORBIDDEN', pg_catalog.jsonb_build_object('user_id', require_who.actor_id,
			'reason', 'NOT_ENTITLED'));
	END IF;
	RETURN pg_catalog.jsonb_build_object('kind', kind, 'id', id, 'note', require_who.note);
END
$$;
COMMENT ON FUNCTION commerce_private.require_who(bigint, text, bigint, bigint) IS
	'judges the actor of a call by the user''s id: an active ADMIN, the active user of the seller whose thing it is (seller_id), or the user himself (user_id); NULL: a trusted caller. Returns what events say of him, as actor_put() in src/shop/actor.c writes it. Errors: FORBIDDEN';
