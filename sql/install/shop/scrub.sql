-- The scrub: the books proved a range of ids at a time, round after round, by a job.

CREATE TABLE commerce_private.scrub_rounds (
	started_at timestamptz PRIMARY KEY,
	ended_at   timestamptz,
	pieces     bigint NOT NULL DEFAULT 0,
	found      jsonb NOT NULL DEFAULT '[]'
);
COMMENT ON TABLE commerce_private.scrub_rounds IS 'the round of the scrub that goes on, and the last one that has ended; see the view scrub';
SELECT pg_catalog.pg_extension_config_dump('commerce_private.scrub_rounds', '');

CREATE VIEW commerce.scrub AS
	SELECT r.started_at, r.ended_at, r.pieces, r.found FROM commerce_private.scrub_rounds r;
COMMENT ON VIEW commerce.scrub IS 'rounds in which the books are proved a piece at a time: the last that has ended, and the one that goes on';
COMMENT ON COLUMN commerce.scrub.ended_at IS 'NULL: it goes on';
COMMENT ON COLUMN commerce.scrub.pieces IS 'ranges of users, products, coupons, issued coupons, orders and payments that were checked';
COMMENT ON COLUMN commerce.scrub.found IS 'what does not hold: the invariant, how many rows break it, and the ids of the piece, from and to';

-- A round takes about 1000 runs of a job that runs every minute: 1000 minutes are less than a day.
CREATE FUNCTION commerce_private.scrub_width(relations regclass[])
RETURNS int
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT greatest(1000, sum(c.reltuples) / 160)::int FROM pg_catalog.pg_class c WHERE c.oid = ANY (scrub_width.relations)
$$;
COMMENT ON FUNCTION commerce_private.scrub_width(regclass[]) IS 'how many of something are checked at a time';

CREATE FUNCTION commerce_private.scrub_upper(kind text, after bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	relations regclass[] := CASE kind
		WHEN 'users' THEN ARRAY['commerce.users'::regclass]
		WHEN 'products' THEN ARRAY['commerce_private.stock'::regclass]
		WHEN 'coupons' THEN ARRAY['commerce.coupons'::regclass]
		WHEN 'coupon_issues' THEN ARRAY['commerce.coupon_issues'::regclass]
		WHEN 'orders' THEN ARRAY['commerce.orders'::regclass, 'commerce_private.archived'::regclass]
		WHEN 'payments' THEN ARRAY['commerce.payments'::regclass, 'commerce_archive.payments'::regclass] END;
	-- nobody analyzes a partitioned table unasked; an order has about one payment
	width int := commerce_private.scrub_width(pg_catalog.array_replace(relations, 'commerce_archive.payments'::regclass, 'commerce_private.archived'::regclass));
BEGIN
	RETURN (SELECT min(commerce_private.nth_after(r.relation,
				CASE r.relation WHEN 'commerce_private.stock'::regclass THEN 'product_id'
								WHEN 'commerce_private.archived'::regclass THEN 'order_id' ELSE 'id' END, scrub_upper.after, width))
			FROM pg_catalog.unnest(relations) AS r (relation));
END
$$;
COMMENT ON FUNCTION commerce_private.scrub_upper(text, bigint) IS 'the id up to which the next piece goes; NULL: there is none';

CREATE FUNCTION commerce_private.scrub_piece(kind text, first bigint, last bigint)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	found jsonb;
BEGIN
	EXECUTE pg_catalog.format('SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(''invariant'', c.invariant, ''violations'', c.violations, ''from'', $1, ''to'', $2)) '
							  'FROM commerce_private.%I($1, $2) c WHERE c.violations > 0', 'check_' || kind)
		INTO found USING first, last;
	RETURN coalesce(found, '[]');
END
$$;
COMMENT ON FUNCTION commerce_private.scrub_piece(text, bigint, bigint) IS 'what does not hold of a range of ids, as the view scrub shows it';

CREATE FUNCTION commerce.scrub_books()
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kinds CONSTANT text[] := '{users,products,coupons,coupon_issues,orders,payments}'::text[];
	most CONSTANT int := 100;
	started CONSTANT timestamptz := pg_catalog.clock_timestamp();
	round commerce_private.rounds := commerce_private.begin_piece('scrub');
	upper bigint;
	problems jsonb;
	problem record;
BEGIN
	upper := commerce_private.scrub_upper(kinds[round.step], round.done_to);
	WHILE upper IS NULL AND round.step < pg_catalog.cardinality(kinds) LOOP
		round.step := round.step + 1;
		round.done_to := 0;
		upper := commerce_private.scrub_upper(kinds[round.step], 0);
	END LOOP;
	IF upper IS NOT NULL THEN
		problems := commerce_private.scrub_piece(kinds[round.step], round.done_to + 1, upper);
	END IF;
	-- nothing is written before the piece was looked at
	INSERT INTO commerce_private.scrub_rounds (started_at)
	SELECT started WHERE NOT EXISTS (SELECT FROM commerce_private.scrub_rounds r WHERE r.ended_at IS NULL);
	IF upper IS NULL THEN
		DELETE FROM commerce_private.scrub_rounds r WHERE r.ended_at IS NOT NULL;
		UPDATE commerce_private.scrub_rounds SET ended_at = pg_catalog.clock_timestamp();
		PERFORM commerce_private.end_piece(('scrub', 1, 0)::commerce_private.rounds);
		RETURN 0;
	END IF;
	FOR problem IN SELECT * FROM pg_catalog.jsonb_to_recordset(problems) AS p (invariant text, violations bigint) LOOP
		RAISE WARNING 'the books are not in order: % (% rows, % % to %)', problem.invariant, problem.violations, kinds[round.step], round.done_to + 1, upper;
	END LOOP;
	UPDATE commerce_private.scrub_rounds r
	SET pieces = r.pieces + 1, found = CASE WHEN pg_catalog.jsonb_array_length(r.found) < most THEN r.found || problems ELSE r.found END
	WHERE r.ended_at IS NULL;
	round.done_to := upper;
	PERFORM commerce_private.end_piece(round);
	RETURN 1;
END
$$;
COMMENT ON FUNCTION commerce.scrub_books() IS
	'proves the next piece of the books, of users, products, coupons, issued coupons, orders or payments, and returns how many pieces; 0: the round has ended. What does not hold is a warning, and in the view scrub';

INSERT INTO commerce_private.jobs (name, schedule, function, purpose) VALUES
	('scrub', '* * * * *', 'scrub_books', 'proves the books piece by piece');
