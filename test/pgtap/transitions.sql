-- The steps of an order item, walked completely: from each status, reached by allowed steps, every step to
-- every status by every actor is tried. What must succeed is written here once more.
-- role: postgres

SELECT no_plan();

CREATE TABLE pg_temp.expected (from_status text, to_status text, actors text);
INSERT INTO pg_temp.expected VALUES
	('PAID',                'PREPARING',           'SELLER ADMIN SYSTEM'),
	('PAID',                'CANCELLED',           'BUYER SELLER ADMIN SYSTEM'),
	('PREPARING',           'DISPATCHED',          'SELLER ADMIN'),
	('PREPARING',           'CANCELLED',           'BUYER SELLER ADMIN SYSTEM'),
	('PREPARING',           'CANCEL_REQUESTED',    'BUYER ADMIN'),
	('DISPATCHED',          'PREPARING',           'SELLER ADMIN'),
	('DISPATCHED',          'IN_TRANSIT',          'SELLER ADMIN SYSTEM'),
	('IN_TRANSIT',          'DELIVERED',           'SELLER ADMIN SYSTEM'),
	('DELIVERED',           'CONFIRMED',           'BUYER ADMIN SYSTEM'),
	('DELIVERED',           'RETURN_REQUESTED',    'BUYER ADMIN'),
	('DELIVERED',           'EXCHANGE_REQUESTED',  'BUYER ADMIN'),
	('CANCEL_REQUESTED',    'PREPARING',           'BUYER SELLER ADMIN'),
	('CANCEL_REQUESTED',    'CANCEL_PROCESSING',   'SELLER ADMIN'),
	('CANCEL_PROCESSING',   'CANCELLED',           'SELLER ADMIN SYSTEM'),
	('RETURN_REQUESTED',    'DELIVERED',           'BUYER SELLER ADMIN'),
	('RETURN_REQUESTED',    'RETURN_PROCESSING',   'SELLER ADMIN'),
	('RETURN_PROCESSING',   'DELIVERED',           'SELLER ADMIN'),
	('RETURN_PROCESSING',   'RETURNED',            'SELLER ADMIN SYSTEM'),
	('EXCHANGE_REQUESTED',  'DELIVERED',           'BUYER SELLER ADMIN'),
	('EXCHANGE_REQUESTED',  'EXCHANGE_PROCESSING', 'SELLER ADMIN'),
	('EXCHANGE_PROCESSING', 'DELIVERED',           'SELLER ADMIN'),
	('EXCHANGE_PROCESSING', 'EXCHANGED',           'SELLER ADMIN SYSTEM'),
	('EXCHANGED',           'CONFIRMED',           'BUYER ADMIN SYSTEM'),
	('EXCHANGED',           'RETURN_REQUESTED',    'BUYER ADMIN'),
	('EXCHANGED',           'EXCHANGE_REQUESTED',  'BUYER ADMIN'),
	('CONFIRMED',           'RETURN_REQUESTED',    'ADMIN'),
	('CONFIRMED',           'EXCHANGE_REQUESTED',  'ADMIN');
-- A parcel that was lost is complete_return()'s alone.
CREATE TABLE pg_temp.lost (from_status text, to_status text, actors text);
INSERT INTO pg_temp.lost VALUES ('DISPATCHED', 'RETURNED', 'SELLER ADMIN'), ('IN_TRANSIT', 'RETURNED', 'SELLER ADMIN');

-- How to come to each status from the start.
CREATE TABLE pg_temp.paths (status text, path text);
INSERT INTO pg_temp.paths VALUES
	('PENDING_PAYMENT',     ''),
	('PAID',                ''),
	('PREPARING',           'PREPARING'),
	('DISPATCHED',          'PREPARING DISPATCHED'),
	('IN_TRANSIT',          'PREPARING DISPATCHED IN_TRANSIT'),
	('DELIVERED',           'PREPARING DISPATCHED IN_TRANSIT DELIVERED'),
	('CONFIRMED',           'PREPARING DISPATCHED IN_TRANSIT DELIVERED CONFIRMED'),
	('CANCEL_REQUESTED',    'PREPARING CANCEL_REQUESTED'),
	('CANCEL_PROCESSING',   'PREPARING CANCEL_REQUESTED CANCEL_PROCESSING'),
	('CANCELLED',           'CANCELLED'),
	('RETURN_REQUESTED',    'PREPARING DISPATCHED IN_TRANSIT DELIVERED RETURN_REQUESTED'),
	('RETURN_PROCESSING',   'PREPARING DISPATCHED IN_TRANSIT DELIVERED RETURN_REQUESTED RETURN_PROCESSING'),
	('RETURNED',            'PREPARING DISPATCHED IN_TRANSIT DELIVERED RETURN_REQUESTED RETURN_PROCESSING RETURNED'),
	('EXCHANGE_REQUESTED',  'PREPARING DISPATCHED IN_TRANSIT DELIVERED EXCHANGE_REQUESTED'),
	('EXCHANGE_PROCESSING', 'PREPARING DISPATCHED IN_TRANSIT DELIVERED EXCHANGE_REQUESTED EXCHANGE_PROCESSING'),
	('EXCHANGED',           'PREPARING DISPATCHED IN_TRANSIT DELIVERED EXCHANGE_REQUESTED EXCHANGE_PROCESSING EXCHANGED');
SELECT is((SELECT count(*) FROM pg_temp.paths p WHERE p.status = ANY (enum_range(NULL::commerce.order_item_status)::text[])),
	cardinality(enum_range(NULL::commerce.order_item_status))::bigint, 'there is a path to every status');

SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.create_user('Lee', 'lee@example.com') AS lee \gset
SELECT commerce.create_user('Potter', 'potter@example.com', role => 'SELLER') AS potter \gset
SELECT commerce.create_seller(:potter, 'Kiln', '1') AS kiln \gset
SELECT commerce.create_product(:kiln, 'Cup', 1000, 1000) AS cup \gset
SELECT commerce.create_seller(commerce.create_user('Weaver', 'weaver@example.com', role => 'SELLER'), 'Loom', '2') AS loom \gset
SELECT * FROM commerce.charge_balance(:kim, 1000000) \g /dev/null

-- An order of one item that has come to a status.
CREATE FUNCTION pg_temp.item_in(buyer bigint, product bigint, status text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	placed bigint;
	item bigint;
	step text;
BEGIN
	SET LOCAL commerce.auto_prepare = off;
	SELECT id INTO placed FROM commerce.place_order(buyer, jsonb_build_array(jsonb_build_object('product_id', product, 'quantity', 2)),
		payment_method => CASE status WHEN 'PENDING_PAYMENT' THEN 'EXTERNAL' ELSE 'BALANCE' END::commerce.payment_method);
	SELECT i.id INTO item FROM commerce.order_items i WHERE i.order_id = placed;
	FOREACH step IN ARRAY string_to_array((SELECT p.path FROM pg_temp.paths p WHERE p.status = item_in.status), ' ') LOOP
		PERFORM commerce.change_item_status(item, step::commerce.order_item_status, 'ADMIN');
	END LOOP;
	RETURN item;
END
$$;
CREATE FUNCTION pg_temp.outcome(state text) RETURNS text LANGUAGE sql
AS $$SELECT CASE state WHEN 'OK000' THEN 'OK' ELSE coalesce((SELECT e.code FROM commerce.error_codes() e WHERE e.sqlstate = state), state) END$$;
-- What happens at a step, which is undone: OK, or the error's code.
CREATE FUNCTION pg_temp.try(item bigint, to_status text, actor text, actor_id bigint DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	changed commerce.order_items;
	event commerce.order_item_events;
BEGIN
	SELECT * INTO changed FROM commerce.change_item_status(item, to_status::commerce.order_item_status, actor::commerce.actor_kind, actor_id, 'why');
	SELECT * INTO event FROM commerce.order_item_events e WHERE e.order_item_id = item ORDER BY e.ordinal DESC LIMIT 1;
	IF changed.id <> item OR changed.status::text <> to_status OR (event.event::text, event.actor::text, event.note) <> (to_status, actor, 'why')
	   OR event.actor_id IS DISTINCT FROM try.actor_id OR EXISTS (SELECT FROM commerce.check_invariants()) THEN
		RETURN 'bad rows';
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'OK000';
EXCEPTION WHEN OTHERS THEN
	RETURN pg_temp.outcome(SQLSTATE);
END
$$;

CREATE TABLE pg_temp.items AS SELECT p.status, pg_temp.item_in(:kim, :cup, p.status) AS item FROM pg_temp.paths p;
CREATE TABLE pg_temp.walked AS
	SELECT i.status AS from_status, t.status AS to_status, a.actor::text, pg_temp.try(i.item, t.status::text, a.actor::text) AS result
	FROM pg_temp.items i CROSS JOIN unnest(enum_range(NULL::commerce.order_item_status)) AS t (status)
	CROSS JOIN unnest(enum_range(NULL::commerce.actor_kind)) AS a (actor);
SELECT is(count(*), 1024::bigint, '16 statuses x 16 statuses x 4 actors') FROM pg_temp.walked;
SELECT results_eq(
	format('SELECT to_status::text, actor FROM pg_temp.walked WHERE result = ''OK'' AND from_status = %L ORDER BY 1, 2', p.status),
	format($$SELECT to_status, actor FROM pg_temp.expected CROSS JOIN unnest(string_to_array(actors, ' ')) actor WHERE from_status = %L ORDER BY 1, 2$$, p.status),
	'from ' || p.status)
FROM pg_temp.paths p;
SELECT is_empty($$SELECT * FROM pg_temp.walked WHERE result NOT IN ('OK', 'INVALID_STATE_TRANSITION')$$, 'every other step is refused by its name');

-- The table says the same, and besides it the steps of whole orders.
SELECT results_eq($$SELECT from_status::text, to_status::text, actor::text FROM commerce.order_item_transitions WHERE NOT whole_order ORDER BY 1, 2, 3$$,
	$$SELECT from_status, to_status, actor FROM (SELECT * FROM pg_temp.expected UNION ALL SELECT * FROM pg_temp.lost) e CROSS JOIN unnest(string_to_array(actors, ' ')) actor ORDER BY 1, 2, 3$$, 'the table of steps');
SELECT results_eq($$SELECT from_status::text, to_status::text, actor::text FROM commerce.order_item_transitions WHERE whole_order ORDER BY 1, 2, 3$$,
	$$VALUES ('CANCELLED', 'PAID', 'SYSTEM'), ('CANCELLED', 'PENDING_PAYMENT', 'SYSTEM'), ('CANCEL_PROCESSING', 'CANCELLED', 'BUYER'), ('CANCEL_REQUESTED', 'CANCELLED', 'ADMIN'),
		('CANCEL_REQUESTED', 'CANCELLED', 'BUYER'), ('CANCEL_REQUESTED', 'CANCELLED', 'SELLER'), ('CANCEL_REQUESTED', 'CANCELLED', 'SYSTEM'), ('PENDING_PAYMENT', 'CANCELLED', 'ADMIN'), ('PENDING_PAYMENT', 'CANCELLED', 'BUYER'),
		('PENDING_PAYMENT', 'CANCELLED', 'SYSTEM'), ('PENDING_PAYMENT', 'PAID', 'SYSTEM')$$, 'the steps of whole orders');

-- Whose item it is: all that an actor may do with his own he may not do with another's.
SELECT is_empty(format($$SELECT w.*, pg_temp.try(i.item, w.to_status::text, w.actor, CASE w.actor WHEN 'BUYER' THEN %s ELSE %s END)
		FROM pg_temp.walked w JOIN pg_temp.items i ON i.status = w.from_status WHERE w.result = 'OK' AND w.actor IN ('BUYER', 'SELLER')
		AND pg_temp.try(i.item, w.to_status::text, w.actor, CASE w.actor WHEN 'BUYER' THEN %1$s ELSE %2$s END) <> 'OK'$$, :kim, :kiln),
	'buyer and seller may do what their kind may, with their own');
SELECT is_empty(format($$SELECT w.*, pg_temp.try(i.item, w.to_status::text, w.actor, CASE w.actor WHEN 'BUYER' THEN %s ELSE %s END)
		FROM pg_temp.walked w JOIN pg_temp.items i ON i.status = w.from_status WHERE w.actor IN ('BUYER', 'SELLER')
		AND pg_temp.try(i.item, w.to_status::text, w.actor, CASE w.actor WHEN 'BUYER' THEN %1$s ELSE %2$s END) <> 'ENTITY_NOT_FOUND'$$, :lee, :loom),
	'with another''s nothing: it is not found');

-- Cancelling whole orders: allowed from where each item may be cancelled
CREATE FUNCTION pg_temp.try_cancel(item bigint, actor text, actor_id bigint DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	cancelled commerce.orders;
BEGIN
	SELECT c.* INTO cancelled FROM commerce.order_items i CROSS JOIN LATERAL commerce.cancel_order(i.order_id, actor::commerce.actor_kind, actor_id, 'why') c WHERE i.id = item;
	IF cancelled.status NOT IN ('CANCELLED', 'REFUNDED') OR EXISTS (SELECT FROM commerce.check_invariants()) THEN
		RETURN 'bad rows';
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'OK000';
EXCEPTION WHEN OTHERS THEN
	RETURN pg_temp.outcome(SQLSTATE);
END
$$;
SELECT results_eq($$SELECT i.status, a.actor::text FROM pg_temp.items i CROSS JOIN unnest(enum_range(NULL::commerce.actor_kind)) AS a (actor)
		WHERE pg_temp.try_cancel(i.item, a.actor::text) = 'OK' ORDER BY 1, 2$$,
	$$VALUES ('CANCEL_PROCESSING', 'ADMIN'), ('CANCEL_PROCESSING', 'BUYER'), ('CANCEL_PROCESSING', 'SELLER'), ('CANCEL_PROCESSING', 'SYSTEM'),
		('CANCEL_REQUESTED', 'ADMIN'), ('CANCEL_REQUESTED', 'BUYER'), ('CANCEL_REQUESTED', 'SELLER'), ('CANCEL_REQUESTED', 'SYSTEM'),
		('PAID', 'ADMIN'), ('PAID', 'BUYER'), ('PAID', 'SELLER'), ('PAID', 'SYSTEM'),
		('PENDING_PAYMENT', 'ADMIN'), ('PENDING_PAYMENT', 'BUYER'), ('PENDING_PAYMENT', 'SYSTEM'),
		('PREPARING', 'ADMIN'), ('PREPARING', 'BUYER'), ('PREPARING', 'SELLER'), ('PREPARING', 'SYSTEM')$$, 'cancel_order: from where, and by whom');
SELECT is_empty($$SELECT i.status, a.actor FROM pg_temp.items i CROSS JOIN unnest(enum_range(NULL::commerce.actor_kind)) AS a (actor)
		WHERE pg_temp.try_cancel(i.item, a.actor::text) NOT IN ('OK', 'INVALID_STATE_TRANSITION')$$, 'cancel_order refuses the rest by its name');
SELECT is(pg_temp.try_cancel(item, 'BUYER', :kim), 'OK', 'a buyer cancels his order') FROM pg_temp.items WHERE status = 'PREPARING';
SELECT is(pg_temp.try_cancel(item, 'BUYER', :lee), 'ENTITY_NOT_FOUND', 'and no other''s') FROM pg_temp.items WHERE status = 'PREPARING';
SELECT is(pg_temp.try_cancel(item, 'SELLER', :kiln), 'OK', 'a seller cancels an order of his own goods') FROM pg_temp.items WHERE status = 'PREPARING';
SELECT is(pg_temp.try_cancel(item, 'SELLER', :loom), 'ENTITY_NOT_FOUND', 'and no other') FROM pg_temp.items WHERE status = 'PREPARING';

-- The status of the order, derived from every pair of statuses that its two items can have
CREATE FUNCTION pg_temp.derive(kim bigint, cup bigint, first text, second text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	placed bigint;
	items bigint[];
	derived text;
	step text;
BEGIN
	BEGIN
		SET LOCAL commerce.auto_prepare = off;
		SELECT id INTO placed FROM commerce.place_order(kim, jsonb_build_array(jsonb_build_object('product_id', cup, 'quantity', 2), jsonb_build_object('product_id', cup - 1, 'quantity', 1)));
		SELECT array_agg(i.id ORDER BY i.id) INTO items FROM commerce.order_items i WHERE i.order_id = placed;
		FOREACH step IN ARRAY string_to_array((SELECT p.path FROM pg_temp.paths p WHERE p.status = first), ' ') LOOP
			PERFORM commerce.change_item_status(items[1], step::commerce.order_item_status, 'ADMIN');
		END LOOP;
		FOREACH step IN ARRAY string_to_array((SELECT p.path FROM pg_temp.paths p WHERE p.status = second), ' ') LOOP
			PERFORM commerce.change_item_status(items[2], step::commerce.order_item_status, 'ADMIN');
		END LOOP;
		SELECT o.status INTO derived FROM commerce.orders o JOIN commerce.order_items i ON i.order_id = o.id WHERE i.id = items[1];
		RAISE EXCEPTION USING ERRCODE = 'OK000';
	EXCEPTION WHEN SQLSTATE 'OK000' THEN
		RETURN derived;
	END;
END
$$;
SELECT commerce.create_product(:kiln, 'Saucer', 500, 1000) AS saucer \gset
SELECT commerce.create_product(:kiln, 'Spoon', 700, 1000) AS spoon \gset
SELECT is_empty(format($$
	WITH s AS (SELECT p.status, p.status IN ('CANCELLED', 'RETURNED') AS gone, p.status IN ('DELIVERED', 'CONFIRMED', 'EXCHANGED') AS done
			   FROM pg_temp.paths p WHERE p.status <> 'PENDING_PAYMENT')
	SELECT a.status, b.status, d.derived FROM s a JOIN s b ON a.status <= b.status CROSS JOIN LATERAL pg_temp.derive(%s, %s, a.status, b.status) AS d (derived)
	WHERE d.derived <> CASE WHEN a.gone AND b.gone THEN 'REFUNDED'
							WHEN (a.gone OR a.done) AND (b.gone OR b.done) THEN 'COMPLETED'
							WHEN a.gone OR b.gone THEN 'PARTIALLY_CANCELLED' ELSE 'PAID' END$$, :kim, :spoon),
	'an order''s status follows from its items');
SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are right');
SELECT finish();
