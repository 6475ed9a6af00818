-- The archive: orders that are long over move out of the tables that the shop works on, and entries of long ago become
-- one. Off until commerce.archive_after says how long after. Every batch is a transaction that leaves the books as they
-- were; what must be known for good stays here, in narrow tables.

-- A table of the archive is one of the shop's with the month in which the order was made, by which it is partitioned.
-- Partitions are made when they are needed and are no members of the extension, so that a DBA can drop or dump them; so
-- they have the indexes, and these tables have none: in a restore they would meet those of the dump. The month comes
-- first: a column that an update adds to a table and to its archive is the last one of both.
CREATE TABLE commerce_archive.orders (
	month       date NOT NULL,
	archived_at timestamptz NOT NULL,
	LIKE commerce.orders
) PARTITION BY LIST (month);
COMMENT ON TABLE commerce_archive.orders IS 'archived orders';
COMMENT ON COLUMN commerce_archive.orders.month IS 'first day of the month in which the order was made';

CREATE TABLE commerce_archive.order_items (
	month date NOT NULL,
	LIKE commerce.order_items
) PARTITION BY LIST (month);
COMMENT ON TABLE commerce_archive.order_items IS 'items of archived orders';

CREATE TABLE commerce_archive.order_item_events (
	month date NOT NULL,
	LIKE commerce.order_item_events
) PARTITION BY LIST (month);
COMMENT ON TABLE commerce_archive.order_item_events IS 'history of items of archived orders';

CREATE TABLE commerce_archive.order_coupons (
	month date NOT NULL,
	LIKE commerce.order_coupons
) PARTITION BY LIST (month);
COMMENT ON TABLE commerce_archive.order_coupons IS 'what archived orders used of coupons';

CREATE TABLE commerce_archive.payments (
	month date NOT NULL,
	LIKE commerce.payments
) PARTITION BY LIST (month);
COMMENT ON TABLE commerce_archive.payments IS 'payments and refunds of archived orders';

CREATE TABLE commerce_archive.shipments (
	month date NOT NULL,
	LIKE commerce.shipments
) PARTITION BY LIST (month);
COMMENT ON TABLE commerce_archive.shipments IS 'parcels of archived orders';

CREATE TABLE commerce_private.archived (
	order_id       bigint PRIMARY KEY,
	user_id        bigint NOT NULL,
	month          date NOT NULL,
	archived_at    timestamptz NOT NULL,
	payment_amount bigint NOT NULL,
	succeeded      text[] NOT NULL
);
COMMENT ON TABLE commerce_private.archived IS 'every order that was archived, kept for good, also when its month is dropped: a provider''s late answer is recognised by it';
COMMENT ON COLUMN commerce_private.archived.month IS 'where it is in the archive';
COMMENT ON COLUMN commerce_private.archived.succeeded IS 'ids of the provider''s events that were successes; a failure changes nothing, known or not';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.archived', '');

CREATE TABLE commerce_private.archived_charges (
	user_id       bigint NOT NULL REFERENCES commerce.users,
	number        bigint NOT NULL,
	key           text,
	payment_id    bigint,
	amount        bigint NOT NULL,
	balance_after bigint NOT NULL,
	PRIMARY KEY (user_id, number)
);
CREATE UNIQUE INDEX archived_charges_key ON commerce_private.archived_charges (user_id, key) WHERE key IS NOT NULL;
COMMENT ON TABLE commerce_private.archived_charges IS 'of CHARGE entries that were folded: what is known of them for good, so that the same key years later is the same charge';
COMMENT ON COLUMN commerce_private.archived_charges.number IS 'the number that the entry had';
COMMENT ON COLUMN commerce_private.archived_charges.payment_id IS 'the charge that a provider has paid; NULL: it was charged at once';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.archived_charges', '');

CREATE TABLE commerce_private.archived_units (
	user_id    bigint NOT NULL REFERENCES commerce.users,
	product_id bigint NOT NULL REFERENCES commerce.products,
	units      bigint NOT NULL,
	user_limit bigint NOT NULL,
	PRIMARY KEY (user_id, product_id)
);
COMMENT ON TABLE commerce_private.archived_units IS 'units of products with a limit per user in archived orders, which count towards it';
COMMENT ON COLUMN commerce_private.archived_units.user_limit IS 'the highest limit that was in force';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.archived_units', '');

-- What is done in rounds, a piece at a time
CREATE TABLE commerce_private.rounds (
	name    text PRIMARY KEY,
	step    int NOT NULL DEFAULT 1,
	done_to bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE commerce_private.rounds IS 'how far work has come that goes round and round; a row is made by the first piece';
COMMENT ON COLUMN commerce_private.rounds.done_to IS 'within the step: ids up to this are done';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.rounds', '');

CREATE FUNCTION commerce_private.lock_job(name text)
RETURNS void
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_lock_job';
COMMENT ON FUNCTION commerce_private.lock_job(text) IS 'takes a job''s lock until the transaction ends, and waits for it';

-- The lock is the job's, not the row's: who locks a row has a transaction id, which holds back the readers of events for
-- as long as the piece takes.
CREATE FUNCTION commerce_private.begin_piece(name text)
RETURNS commerce_private.rounds
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	round commerce_private.rounds;
BEGIN
	PERFORM commerce_private.lock_job(begin_piece.name);
	SELECT * INTO round FROM commerce_private.rounds r WHERE r.name = begin_piece.name;
	RETURN CASE WHEN FOUND THEN round ELSE (begin_piece.name, 1, 0)::commerce_private.rounds END;
END
$$;
COMMENT ON FUNCTION commerce_private.begin_piece(text) IS 'how far the round of a job has come; nobody else goes on with it until the transaction ends';

CREATE FUNCTION commerce_private.end_piece(round commerce_private.rounds)
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO commerce_private.rounds VALUES (round.name, round.step, round.done_to)
	ON CONFLICT (name) DO UPDATE SET step = EXCLUDED.step, done_to = EXCLUDED.done_to
$$;
COMMENT ON FUNCTION commerce_private.end_piece(commerce_private.rounds) IS 'remembers how far a round has come';

-- Both: the shop's rows, whose month is -infinity, and those of the archive. Who joins two of them joins by the month,
-- too: then a row is looked for in one partition.
CREATE VIEW commerce_private.all_orders AS
	SELECT date '-infinity' AS month, NULL::timestamptz AS archived_at, o.* FROM commerce.orders o UNION ALL TABLE commerce_archive.orders;
COMMENT ON VIEW commerce_private.all_orders IS 'orders, archived or not';
CREATE VIEW commerce_private.all_order_items AS
	SELECT date '-infinity' AS month, i.* FROM commerce.order_items i UNION ALL TABLE commerce_archive.order_items;
COMMENT ON VIEW commerce_private.all_order_items IS 'items of orders, archived or not';
CREATE VIEW commerce_private.all_order_item_events AS
	SELECT date '-infinity' AS month, e.* FROM commerce.order_item_events e UNION ALL TABLE commerce_archive.order_item_events;
COMMENT ON VIEW commerce_private.all_order_item_events IS 'history of items, archived or not';
CREATE VIEW commerce_private.all_order_coupons AS
	SELECT date '-infinity' AS month, c.* FROM commerce.order_coupons c UNION ALL TABLE commerce_archive.order_coupons;
COMMENT ON VIEW commerce_private.all_order_coupons IS 'coupons of orders, archived or not';
CREATE VIEW commerce_private.all_payments AS
	SELECT date '-infinity' AS month, p.* FROM commerce.payments p UNION ALL TABLE commerce_archive.payments;
COMMENT ON VIEW commerce_private.all_payments IS 'payments and refunds, of archived orders too';
CREATE VIEW commerce_private.all_shipments AS
	SELECT date '-infinity' AS month, s.* FROM commerce.shipments s UNION ALL TABLE commerce_archive.shipments;
COMMENT ON VIEW commerce_private.all_shipments IS 'parcels, of archived orders too';

CREATE VIEW commerce.all_order_list AS
	SELECT o.id, o.user_id, o.status, o.payment_method, o.created_at, o.updated_at, o.paid_at, o.expires_at,
		   o.items_total, o.item_discount_total, o.order_discount, o.shipping_discount, o.shipping_total,
		   o.payment_amount, o.tax_free_amount, o.refunded_amount, o.recipient_name, o.recipient_phone,
		   o.recipient_address, o.recipient_memo, o.metadata, o.imported, i.items, o.archived_at
	FROM commerce_private.all_orders o
	JOIN LATERAL (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(t)
					- '{order_id,own_shipping,lost,split_quantity,split_net,last_event,limited_user_id,user_limit,month}'::text[] ORDER BY t.seq) AS items
				  FROM commerce_private.all_order_items t WHERE t.order_id = o.id AND t.month = o.month) i ON true;
COMMENT ON VIEW commerce.all_order_list IS 'orders, archived ones too, with their items as a jsonb array';
COMMENT ON COLUMN commerce.all_order_list.archived_at IS 'when it was archived; NULL: it was not';

-- What can still happen to an order that is over is that an administrator opens it again, or refunds some of it.
CREATE VIEW commerce_private.closed_orders AS
	SELECT o.id, o.updated_at FROM commerce.orders o
	WHERE o.status <> 'PENDING_PAYMENT'
	  AND NOT EXISTS (SELECT FROM commerce.order_items i
					  WHERE i.order_id = o.id AND i.status NOT IN ('CANCELLED', 'RETURNED', 'CONFIRMED'))
	  AND NOT EXISTS (SELECT FROM commerce.payments p
					  WHERE p.order_id = o.id
						AND (p.status = 'REQUESTED'
							 OR p.status = 'UNEXPECTED' AND p.kind = 'PAYMENT'
								AND NOT EXISTS (SELECT FROM commerce.payments r WHERE r.refund_of = p.id AND r.status = 'COMPLETED')
							 OR p.status = 'FAILED' AND p.kind = 'REFUND'
								AND NOT EXISTS (SELECT FROM commerce.payments r
												WHERE r.refund_of = p.refund_of AND r.id > p.id AND r.status <> 'FAILED')))
	  -- what best sellers are counted from
	  AND NOT EXISTS (SELECT FROM commerce.order_items i JOIN commerce.order_item_events e ON e.order_item_id = i.id
					  WHERE i.order_id = o.id AND e.xid >= coalesce((SELECT f.mark FROM commerce_private.sales_fold f), 0)
						AND (e.event = 'PAID' OR (e.event = 'CANCELLED' AND e.from_status <> 'PENDING_PAYMENT')));
COMMENT ON VIEW commerce_private.closed_orders IS
	'orders that are over: every item final, no payment requested, no unexpected payment that was not given back, no refund that failed and was not tried again; and whose sales were counted';

CREATE FUNCTION commerce_private.archive_before()
RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.now() - a.span FROM (SELECT commerce_private.setting('commerce.archive_after')::interval AS span) a WHERE a.span > interval '0'
$$;
COMMENT ON FUNCTION commerce_private.archive_before() IS 'what was over before this moment is to be archived; NULL: nothing is';

CREATE FUNCTION commerce_private.find_archivable(after bigint, before timestamptz, max_rows int)
RETURNS SETOF bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
	SELECT c.id FROM commerce_private.closed_orders c
	WHERE c.id > find_archivable.after AND c.id <= commerce_private.first_order_since(find_archivable.before)
	  AND c.updated_at < find_archivable.before
	ORDER BY c.id LIMIT find_archivable.max_rows
$$;
COMMENT ON FUNCTION commerce_private.find_archivable(bigint, timestamptz, int) IS 'orders after an id that are to be archived';

CREATE FUNCTION commerce_private.archive_month(at timestamptz)
RETURNS date
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.date_trunc('month', commerce_private.local_date(archive_month.at)::timestamp)::date
$$;
COMMENT ON FUNCTION commerce_private.archive_month(timestamptz) IS 'the month, in commerce.timezone, that an order of this moment is archived in';

CREATE FUNCTION commerce_private.open_archive_month(month date)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind text;
	partition text;
	indexes text[];
	index text;
BEGIN
	FOR kind, indexes IN
		SELECT k.kind, pg_catalog.array_agg(k.index) FROM (VALUES
			('orders', 'ALTER TABLE commerce_archive.%I ADD PRIMARY KEY (id)'),
			('orders', 'CREATE INDEX ON commerce_archive.%I (user_id, id)'),
			('orders', 'CREATE INDEX ON commerce_archive.%I USING brin (paid_at)'),
			('order_items', 'ALTER TABLE commerce_archive.%I ADD PRIMARY KEY (id)'),
			('order_items', 'CREATE INDEX ON commerce_archive.%I (order_id)'),
			('order_item_events', 'ALTER TABLE commerce_archive.%I ADD PRIMARY KEY (order_item_id, ordinal)'),
			('order_item_events', 'CREATE INDEX ON commerce_archive.%I (at) WHERE event = ''RETURNED'' OR (event = ''CANCELLED'' AND from_status <> ''PENDING_PAYMENT'')'),
			('order_coupons', 'ALTER TABLE commerce_archive.%I ADD PRIMARY KEY (order_id, coupon_issue_id)'),
			('order_coupons', 'CREATE INDEX ON commerce_archive.%I (coupon_issue_id)'),
			('payments', 'ALTER TABLE commerce_archive.%I ADD PRIMARY KEY (id)'),
			('payments', 'CREATE INDEX ON commerce_archive.%I (order_id)'),
			('payments', 'CREATE INDEX ON commerce_archive.%I (refund_of) WHERE refund_of IS NOT NULL'),
			('payments', 'CREATE INDEX ON commerce_archive.%I (at) WHERE kind = ''REFUND'''),
			('shipments', 'ALTER TABLE commerce_archive.%I ADD PRIMARY KEY (id)'),
			('shipments', 'CREATE INDEX ON commerce_archive.%I (order_id)')) k (kind, index)
		GROUP BY k.kind
	LOOP
		partition := kind || '_' || pg_catalog.to_char(open_archive_month.month, 'YYYY_MM');
		CONTINUE WHEN pg_catalog.to_regclass(pg_catalog.format('commerce_archive.%I', partition)) IS NOT NULL;
		-- attached, not made as a partition: that would wait for who reads the archive
		EXECUTE pg_catalog.format('CREATE TABLE commerce_archive.%I (LIKE commerce_archive.%I)', partition, kind);
		FOREACH index IN ARRAY indexes LOOP
			EXECUTE pg_catalog.format(index, partition);
		END LOOP;
		EXECUTE pg_catalog.format('ALTER TABLE commerce_archive.%I ATTACH PARTITION commerce_archive.%I FOR VALUES IN (%L)', kind, partition, open_archive_month.month);
	END LOOP;
END
$$;
COMMENT ON FUNCTION commerce_private.open_archive_month(date) IS 'makes the archive''s partitions of a month, where they are not there';

CREATE FUNCTION commerce_private.note_archived(ids bigint[])
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	INSERT INTO commerce_private.archived (order_id, user_id, month, archived_at, payment_amount, succeeded)
	SELECT o.id, o.user_id, commerce_private.archive_month(o.created_at), pg_catalog.now(), o.payment_amount,
		   ARRAY(SELECT p.provider_event_id FROM commerce.payments p
				 WHERE p.order_id = o.id AND p.kind = 'PAYMENT' AND p.status <> 'FAILED' AND p.provider_event_id IS NOT NULL ORDER BY p.id)
	FROM commerce.orders o WHERE o.id = ANY (note_archived.ids);
	INSERT INTO commerce_private.archived_units AS u (user_id, product_id, units, user_limit)
	SELECT i.limited_user_id, coalesce(i.replacement_product_id, i.product_id), sum(i.quantity), max(i.user_limit)
	FROM commerce.order_items i
	WHERE i.order_id = ANY (note_archived.ids) AND i.limited_user_id IS NOT NULL AND i.status NOT IN ('CANCELLED', 'RETURNED')
	GROUP BY 1, 2
	ON CONFLICT (user_id, product_id) DO UPDATE
	SET units = u.units + EXCLUDED.units, user_limit = greatest(u.user_limit, EXCLUDED.user_limit);
$$;
COMMENT ON FUNCTION commerce_private.note_archived(bigint[]) IS 'what is kept for good of orders that are being archived';

CREATE FUNCTION commerce_private.archive_orders(ids bigint[])
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	-- nobody is waited for: who works on one has opened it again
	locked bigint[] := ARRAY(SELECT o.id FROM commerce.orders o WHERE o.id = ANY (archive_orders.ids) ORDER BY o.id FOR UPDATE SKIP LOCKED);
	due bigint[] := ARRAY(SELECT c.id FROM commerce_private.closed_orders c
						  WHERE c.id = ANY (locked) AND c.updated_at < commerce_private.archive_before());
BEGIN
	PERFORM commerce_private.note_archived(due);
	PERFORM commerce_private.open_archive_month(m.month)
	FROM (SELECT DISTINCT a.month FROM commerce_private.archived a WHERE a.order_id = ANY (due)) m;

	INSERT INTO commerce_archive.orders
	SELECT a.month, a.archived_at, o.* FROM commerce.orders o JOIN commerce_private.archived a ON a.order_id = o.id WHERE o.id = ANY (due);
	WITH gone AS (DELETE FROM commerce.order_item_events e USING commerce.order_items i, commerce_private.archived a
				  WHERE i.order_id = ANY (due) AND e.order_item_id = i.id AND a.order_id = i.order_id RETURNING a.month, e.*)
	INSERT INTO commerce_archive.order_item_events SELECT * FROM gone;
	WITH gone AS (DELETE FROM commerce.order_items i USING commerce_private.archived a
				  WHERE i.order_id = ANY (due) AND a.order_id = i.order_id RETURNING a.month, i.*)
	INSERT INTO commerce_archive.order_items SELECT * FROM gone;
	WITH gone AS (DELETE FROM commerce.shipments s USING commerce_private.archived a
				  WHERE s.order_id = ANY (due) AND a.order_id = s.order_id RETURNING a.month, s.*)
	INSERT INTO commerce_archive.shipments SELECT * FROM gone;
	WITH gone AS (DELETE FROM commerce.order_coupons c USING commerce_private.archived a
				  WHERE c.order_id = ANY (due) AND a.order_id = c.order_id RETURNING a.month, c.*)
	INSERT INTO commerce_archive.order_coupons SELECT * FROM gone;
	WITH gone AS (DELETE FROM commerce.payments p USING commerce_private.archived a
				  WHERE p.order_id = ANY (due) AND a.order_id = p.order_id RETURNING a.month, p.*)
	INSERT INTO commerce_archive.payments SELECT * FROM gone;
	DELETE FROM commerce.orders o WHERE o.id = ANY (due);
	RETURN pg_catalog.cardinality(due);
END
$$;
COMMENT ON FUNCTION commerce_private.archive_orders(bigint[]) IS
	'moves those of some orders that are over, and that nobody is working on, into the archive, and returns how many';

CREATE FUNCTION commerce_private.try_archive_orders(ids bigint[])
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	attempted record;
	moved int := 0;
BEGIN
	SELECT * INTO attempted FROM commerce_private.attempt(NULL, 'commerce_private.archive_orders(bigint[])', try_archive_orders.ids);
	IF attempted.sqlstate IS NULL THEN
		RETURN attempted.result::int;
	END IF;
	IF pg_catalog.cardinality(try_archive_orders.ids) = 1 THEN
		RAISE WARNING 'order % could not be archived: %', try_archive_orders.ids[1], attempted.message USING ERRCODE = attempted.sqlstate;
		RETURN 0;
	END IF;
	-- something of somebody's refers to one of them: by halves, so that the others go
	FOR half IN 0..1 LOOP
		moved := moved + commerce_private.try_archive_orders(CASE half
			WHEN 0 THEN try_archive_orders.ids[:pg_catalog.cardinality(try_archive_orders.ids) / 2]
			ELSE try_archive_orders.ids[pg_catalog.cardinality(try_archive_orders.ids) / 2 + 1:] END);
	END LOOP;
	RETURN moved;
END
$$;
COMMENT ON FUNCTION commerce_private.try_archive_orders(bigint[]) IS
	'archives those of some orders that it can be done to, with a warning for each of the others, and returns how many';

-- Up to the last of a user's oldest entries that can go and leaves something, since no entry has an amount of 0. At most
-- so many at a time.
CREATE FUNCTION commerce_private.fold_balance_entries(first_id bigint, last_id bigint, before timestamptz)
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	most CONSTANT int := 10000;
	users bigint[];
	lasts bigint[];
	folded int;
BEGIN
	SELECT pg_catalog.array_agg(u.id), pg_catalog.array_agg(r.last) INTO users, lasts
	FROM commerce.users u
	CROSS JOIN LATERAL (SELECT min(e.number) AS first FROM commerce.balance_entries e WHERE e.user_id = u.id) f
	CROSS JOIN LATERAL (SELECT coalesce((
			SELECT e.number FROM commerce.balance_entries e
			WHERE e.user_id = u.id
			  AND (e.at >= fold_balance_entries.before
				   OR e.order_id IS NOT NULL AND EXISTS (SELECT FROM commerce.orders o WHERE o.id = e.order_id))
			ORDER BY e.number LIMIT 1), u.last_entry + 1) AS number) s
	CROSS JOIN LATERAL (SELECT max(e.number) AS last FROM commerce.balance_entries e
						WHERE e.user_id = u.id AND e.number < least(s.number, f.first + most) AND e.balance_after > 0) r
	WHERE u.id BETWEEN fold_balance_entries.first_id AND fold_balance_entries.last_id AND r.last > f.first;

	INSERT INTO commerce_private.archived_charges (user_id, number, key, payment_id, amount, balance_after)
	SELECT e.user_id, e.number, e.reference, e.payment_id, e.amount, e.balance_after
	FROM ROWS FROM (pg_catalog.unnest(users), pg_catalog.unnest(lasts)) r (user_id, last) JOIN commerce.balance_entries e ON e.user_id = r.user_id AND e.number <= r.last
	WHERE e.kind = 'CHARGE' AND pg_catalog.num_nonnulls(e.reference, e.payment_id) > 0;
	DELETE FROM commerce.balance_entries e USING ROWS FROM (pg_catalog.unnest(users), pg_catalog.unnest(lasts)) r (user_id, last)
	WHERE e.user_id = r.user_id AND e.number < r.last;
	GET DIAGNOSTICS folded = ROW_COUNT;
	UPDATE commerce.balance_entries e
	SET kind = 'OPENING', amount = e.balance_after, order_id = NULL, reference = NULL, payment_id = NULL
	FROM ROWS FROM (pg_catalog.unnest(users), pg_catalog.unnest(lasts)) r (user_id, last)
	WHERE e.user_id = r.user_id AND e.number = r.last;
	RETURN folded;
END
$$;
COMMENT ON FUNCTION commerce_private.fold_balance_entries(bigint, bigint, timestamptz) IS
	'makes of the oldest entries of some users one OPENING each, with the number of the last, and returns how many fewer there are; entries of orders that are not archived stay, and what comes after them';

CREATE FUNCTION commerce_private.fold_stock_entries(product_id bigint, before timestamptz, max_rows int)
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	-- what comes after the first recent entry is recent, too, or is found when that one is old; of a restore all have 0
	recent bigint := coalesce((SELECT greatest(e.xid, 1) FROM commerce.stock_entries e
							   WHERE e.product_id = fold_stock_entries.product_id AND e.at >= fold_stock_entries.before
							   ORDER BY e.xid LIMIT 1), 9223372036854775807);
	-- the gate keeps others from moving them
	old tid[] := ARRAY(SELECT e.ctid FROM commerce.stock_entries e
					   JOIN commerce_private.stock s ON s.product_id = e.product_id
					   WHERE e.product_id = fold_stock_entries.product_id AND e.xid < s.mark AND e.xid < recent
						 AND e.at < fold_stock_entries.before AND e.reason <> 'OPENING'
						 AND (e.order_item_id IS NULL
							  OR NOT EXISTS (SELECT FROM commerce.order_items i WHERE i.id = e.order_item_id))
					   ORDER BY e.xid LIMIT fold_stock_entries.max_rows);
BEGIN
	IF pg_catalog.cardinality(old) < 2 THEN
		RETURN 0;
	END IF;
	WITH gone AS (
		DELETE FROM commerce.stock_entries e WHERE e.ctid = ANY (old) RETURNING e.delta, e.at, e.reason
	), opening AS (
		DELETE FROM commerce.stock_entries e
		WHERE e.product_id = fold_stock_entries.product_id AND e.xid = 0 AND e.reason = 'OPENING' RETURNING e.delta, e.at, e.reason
	)
	-- below every mark: folded from the beginning
	INSERT INTO commerce.stock_entries (product_id, delta, reason, at, xid)
	SELECT fold_stock_entries.product_id, sum(g.delta), r.reason, max(g.at), 0
	FROM (TABLE gone UNION ALL TABLE opening) g
	CROSS JOIN LATERAL (SELECT CASE g.reason WHEN 'TRANSFER' THEN g.reason ELSE 'OPENING' END AS reason) r
	GROUP BY r.reason HAVING sum(g.delta) <> 0;
	RETURN pg_catalog.cardinality(old);
END
$$;
COMMENT ON FUNCTION commerce_private.fold_stock_entries(bigint, timestamptz, int) IS
	'adds at most max_rows entries of a product to its one OPENING entry, or, of units that moved between cells, to one TRANSFER entry, and returns how many: of those that were folded long ago, the ones of archived orders and of none';

CREATE FUNCTION commerce_private.archive_step(INOUT round commerce_private.rounds, before timestamptz, max_rows int, OUT written int)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ids bigint[];
	upper bigint;
BEGIN
	CASE round.step
	WHEN 1 THEN
		IF round.done_to = 0 THEN
			PERFORM commerce_private.lock_sales();
			PERFORM commerce_private.fold_sales(commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())));
		END IF;
		ids := ARRAY(SELECT f FROM commerce_private.find_archivable(round.done_to, before, max_rows) f);
		upper := ids[pg_catalog.cardinality(ids)];
		written := CASE WHEN upper IS NULL THEN 0 ELSE commerce_private.try_archive_orders(ids) END;
	WHEN 2 THEN
		upper := commerce_private.nth_after('commerce.users', 'id', round.done_to, max_rows);
		written := commerce_private.fold_balance_entries(round.done_to + 1, upper, before);
	ELSE
		upper := commerce_private.nth_after('commerce_private.stock', 'product_id', round.done_to, 1);
		written := commerce_private.fold_stock_entries(upper, before, max_rows);
		IF written = max_rows THEN
			RETURN;
		END IF;
	END CASE;
	round.step := CASE WHEN upper IS NULL THEN round.step + 1 ELSE round.step END;
	round.done_to := coalesce(upper, 0);
END
$$;
COMMENT ON FUNCTION commerce_private.archive_step(commerce_private.rounds, timestamptz, int) IS
	'does the next piece of a round of archiving: of the orders, of the users, and of the products';

CREATE FUNCTION commerce_private.archive_batch(max_rows int)
RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	before timestamptz := commerce_private.archive_before();
	round commerce_private.rounds;
	step record;
	written int := 0;
	until CONSTANT timestamptz := pg_catalog.clock_timestamp() + interval '1 second';
BEGIN
	IF before IS NULL THEN
		RETURN 0;
	END IF;
	PERFORM commerce_private.require_own_columns();
	round := commerce_private.begin_piece('archive');
	WHILE written = 0 AND round.step <= 3 LOOP
		SELECT * INTO step FROM commerce_private.archive_step(round, before, archive_batch.max_rows);
		round := step.round;
		written := step.written;
		-- so much was looked through for nothing that the next transaction goes on
		IF written = 0 AND round.step <= 3 AND pg_catalog.clock_timestamp() > until THEN
			written := 1;
		END IF;
	END LOOP;
	IF round.step > 3 THEN
		round.step := 1;
		round.done_to := 0;
	END IF;
	PERFORM commerce_private.end_piece(round);
	RETURN written;
END
$$;
COMMENT ON FUNCTION commerce_private.archive_batch(int) IS 'what archive() does behind the gate';

CREATE FUNCTION commerce_private.require_own_columns()
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	other record;
BEGIN
	SELECT f.relation, f.name INTO other FROM commerce_private.foreign_columns f
	WHERE f.relation IN ('commerce.orders'::regclass, 'commerce.order_items', 'commerce.order_item_events', 'commerce.order_coupons',
						 'commerce.payments', 'commerce.shipments')
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'column % of table % is not commerce''s: the archive would lose it', other.name, other.relation
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = 'Keep it in a table of your own, or in metadata.';
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.require_own_columns() IS 'refuses to archive where somebody has added a column to the tables that are archived';

CREATE FUNCTION commerce.archive(max_rows int DEFAULT 500)
RETURNS int
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_archive';
COMMENT ON FUNCTION commerce.archive(int) IS
	'the next batch of archiving: moves at most max_rows orders that are over since commerce.archive_after into the archive, or, when there is none, folds entries of balances or stock of that time, and returns how many, or 1 when it has looked for a second and found none yet; 0: nothing is left to do, or the setting is off. Nobody waits for it but who works on these orders. Errors: INVALID_REQUEST';

INSERT INTO commerce_private.jobs (name, schedule, function, max_rows, purpose) VALUES
	('archive', '27 3 * * *', 'archive', 500, 'moves what is long over into the archive');

CREATE FUNCTION commerce_private.find_archived(entity text, id bigint)
RETURNS commerce_private.archived
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	SELECT a FROM commerce_private.archived a
	WHERE a.order_id = CASE find_archived.entity
		WHEN 'order' THEN find_archived.id
		WHEN 'order_item' THEN (SELECT i.order_id FROM commerce_archive.order_items i WHERE i.id = find_archived.id)
		WHEN 'payment' THEN (SELECT p.order_id FROM commerce_archive.payments p WHERE p.id = find_archived.id)
		WHEN 'shipment' THEN (SELECT s.order_id FROM commerce_archive.shipments s WHERE s.id = find_archived.id) END
$$;
COMMENT ON FUNCTION commerce_private.find_archived(text, bigint) IS
	'the archived order that an id is of, which is an order''s, item''s, payment''s or shipment''s; NULL: it is not archived';

CREATE FUNCTION commerce_private.archived_row(archived commerce_private.archived)
RETURNS commerce.orders
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.jsonb_populate_record(NULL::commerce.orders, coalesce(
		(SELECT pg_catalog.to_jsonb(o) FROM commerce_archive.orders o WHERE o.id = archived.order_id AND o.month = archived.month),
		pg_catalog.jsonb_build_object('id', archived.order_id, 'user_id', archived.user_id, 'payment_amount', archived.payment_amount)))
$$;
COMMENT ON FUNCTION commerce_private.archived_row(commerce_private.archived) IS
	'the row that an archived order had; of one whose month was dropped what is kept for good';
