-- Run by the superuser in the database that every pgTAP file and torture
-- script gets a copy of. Roles are shared by all databases of the server:
-- they are made here and nowhere else.

CREATE EXTENSION commerce;

CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
GRANT USAGE ON SCHEMA tap TO PUBLIC;

-- An application's role: it owns nothing, reads everything, and calls what is
-- meant to be called.
CREATE ROLE shop LOGIN;
GRANT USAGE ON SCHEMA commerce, commerce_private TO shop;
GRANT SELECT ON ALL TABLES IN SCHEMA commerce, commerce_private TO shop;
DO $$
DECLARE
	public_function regprocedure;
BEGIN
	FOR public_function IN
		SELECT oid FROM pg_proc
		WHERE pronamespace = 'commerce'::regnamespace
		   OR pronamespace = 'commerce_private'::regnamespace AND proname = ANY (
				'{current_user_id,current_api_role,current_seller_id,current_admin,openapi,setting,local_date,list_segments,'
				'format_position,delivering_session,run_job,job_backlog,list_dump_extras,stock_elsewhere,quota_elsewhere,relay_subscriptions,start_delivering,due_events,'
				'blocked_aggregates,report_deliveries,'
				'receive_payment_result,park_payment_result,due_payment_result,retry_payment_result,fail_payment_result}')
	LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO shop', public_function);
	END LOOP;
END
$$;

-- The roles that PostgREST would use. A test that is about REST calls grant_api() for them.
CREATE ROLE api_anon;
CREATE ROLE api_buyer;
CREATE ROLE api_seller;
CREATE ROLE api_admin;
CREATE ROLE authenticator LOGIN NOINHERIT;
GRANT api_anon, api_buyer, api_seller, api_admin TO authenticator;

-- What the test files share.

-- Passes when the statement fails with this error of error_codes(), or with
-- this SQLSTATE. What a statement did that should have failed is undone.
CREATE FUNCTION tap.refuses(statement text, code text, what text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	expected text := coalesce((SELECT e.sqlstate FROM commerce.error_codes() e WHERE e.code = refuses.code), refuses.code);
	got text;
	message text := 'it succeeded';
	detail text;
BEGIN
	BEGIN
		EXECUTE statement;
		RAISE EXCEPTION USING ERRCODE = 'OK000';
	EXCEPTION WHEN OTHERS THEN
		got := SQLSTATE;
		IF got <> 'OK000' THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
		END IF;
	END;
	RETURN tap.ok(got = expected, left(coalesce(what, statement), 120) || ' is ' || code)
		|| CASE WHEN got = expected THEN ''
				ELSE E'\n' || tap.diag(format('%s: %s (%s)', got, message, detail)) END;
END
$$;

-- The detail of the error that the statement fails with; NULL when it does not.
CREATE FUNCTION tap.detail_of(statement text)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE statement;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN detail;
END
$$;

-- What is in each table: two states with the same result are the same.
CREATE FUNCTION tap.books()
RETURNS jsonb
LANGUAGE plpgsql
AS $$
DECLARE
	books jsonb := '{}';
	relation regclass;
	content text;
BEGIN
	FOR relation IN
		SELECT c.oid FROM pg_class c
		WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind = 'r'
	LOOP
		EXECUTE format($q$SELECT count(*) || ' ' || md5(coalesce(string_agg(r::text, ';' ORDER BY r::text), '')) FROM %s r$q$,
					   relation)
		INTO content;
		books := books || jsonb_build_object(relation::text, content);
	END LOOP;
	RETURN books;
END
$$;

-- The types of the events of an aggregate, in their order.
CREATE FUNCTION tap.events(aggregatetype text, aggregateid bigint)
RETURNS text
LANGUAGE sql
AS $$
	SELECT string_agg(o.type, ' ' ORDER BY o.era, o.key, o.position)
	FROM commerce.outbox o
	WHERE o.aggregatetype = events.aggregatetype AND o.aggregateid = events.aggregateid::text
$$;

-- The payload of its newest event of a type.
CREATE FUNCTION tap.event_payload(aggregatetype text, aggregateid bigint, type text)
RETURNS jsonb
LANGUAGE sql
AS $$
	SELECT o.payload FROM commerce.outbox o
	WHERE o.aggregatetype = event_payload.aggregatetype AND o.aggregateid = event_payload.aggregateid::text
	  AND o.type = event_payload.type
	ORDER BY o.era DESC, o.key DESC, o.position DESC LIMIT 1
$$;

-- Who did it, as every event says it.
CREATE FUNCTION tap.who(kind text, id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS jsonb
LANGUAGE sql
AS $$
	SELECT jsonb_build_object('actor', jsonb_build_object('kind', who.kind, 'id', who.id, 'note', who.note))
$$;

-- Folds until everything committed is folded: a transaction that runs
-- anywhere on the server holds folding back.
CREATE FUNCTION tap.fold_all()
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '60 seconds';
BEGIN
	LOOP
		PERFORM commerce.fold();
		EXIT WHEN NOT EXISTS (SELECT FROM commerce.stock_entries e JOIN commerce_private.stock s USING (product_id) WHERE e.xid >= s.mark)
			AND NOT EXISTS (SELECT FROM commerce_private.quota_moves m JOIN commerce_private.coupon_quota q USING (coupon_id) WHERE m.xid >= q.mark);
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'something holds folding back';
		END IF;
		PERFORM pg_sleep(0.02);
	END LOOP;
END
$$;

-- Waits until all that has begun anywhere on the server has ended, so that
-- every event committed so far can be read.
CREATE FUNCTION tap.settle()
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
	begun xid8 := pg_snapshot_xmax(pg_current_snapshot());
	deadline timestamptz := clock_timestamp() + interval '60 seconds';
BEGIN
	WHILE pg_snapshot_xmin(pg_current_snapshot()) < begun LOOP
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'something holds the horizon';
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;

-- commerce-relay's role
CREATE ROLE relay LOGIN;
SELECT commerce.grant_relay('relay', confirms_payments => true);
