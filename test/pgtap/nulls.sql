-- An argument that has to be given and is NULL is INVALID_REQUEST, in every function of the contract, the administrators'
-- and the DBA's too, whatever the others are.
-- role: postgres
-- Some functions are a superuser's.

SELECT no_plan();
SET client_min_messages = error;
-- where NULL says something: the shop's own, a trusted caller, no word of it, none
CREATE TEMP TABLE means (function name, argument name);
INSERT INTO means VALUES ('create_product', 'seller_id'), ('sales_report', 'seller_id'), ('refund_order', 'actor_id'), ('refund_order', 'note'),
	('place_order', 'coupon_issue_ids'), ('create_order_sheet', 'coupon_issue_ids'), ('update_user', 'clear'), ('update_seller', 'clear'),
	('update_product', 'clear'), ('update_coupon', 'clear'), ('cell_of', 'id'), ('cell_of_sheet', 'order_sheet_id');

-- an ordinary value of each type, of things that are not there
CREATE FUNCTION pg_temp.ordinary(type oid) RETURNS text LANGUAGE sql AS $$
	SELECT CASE
		WHEN type = ANY ('{bigint,int}'::regtype[]) THEN '999999'
		WHEN type = 'text'::regtype THEN '''x'''
		WHEN type = 'boolean'::regtype THEN 'true'
		WHEN type = 'jsonb'::regtype THEN '''[{"product_id":1,"quantity":1}]'''
		WHEN type = ANY ('{bigint[],text[]}'::regtype[]) THEN '''{1}'''
		WHEN type = 'timestamptz'::regtype THEN 'now()'
		WHEN type = 'interval'::regtype THEN '''1 day'''
		WHEN type = 'date'::regtype THEN 'current_date'
		WHEN type = 'uuid'::regtype THEN '''00000000-0000-0000-0000-000000000000'''
		WHEN type = 'bytea'::regtype THEN '''{}'''
		WHEN type = ANY ('{regrole,name}'::regtype[]) THEN '''shop'''
		WHEN (SELECT t.typtype = 'e' FROM pg_type t WHERE t.oid = type)
			THEN (SELECT quote_literal(min(e.enumlabel)) FROM pg_enum e WHERE e.enumtypid = type)
	END
$$;
CREATE FUNCTION pg_temp.state_of(statement text, OUT state text, OUT message text, OUT detail text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE EXCEPTION USING ERRCODE = 'OK000';
EXCEPTION WHEN OTHERS THEN
	state := SQLSTATE;
	message := SQLERRM;
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
END
$$;
CREATE TEMP TABLE result AS
WITH argument AS (
	SELECT p.oid, p.proname, a.n, a.name, CASE a.name WHEN 'url' THEN '''http://x''' ELSE pg_temp.ordinary(a.type) END AS ordinary, a.n > p.pronargs - p.pronargdefaults AS optional,
		   pg_get_function_arg_default(p.oid, a.n::int) AS standing
	FROM pg_proc p, unnest(p.proargtypes::oid[], p.proargnames[1:p.pronargs]) WITH ORDINALITY AS a (type, name, n)
	WHERE p.pronamespace = 'commerce'::regnamespace AND p.prorettype <> 'trigger'::regtype)
SELECT f.proname AS function, f.name AS argument, s.*
FROM argument f, LATERAL pg_temp.state_of(format('SELECT * FROM commerce.%I(%s)', f.proname, (
		SELECT string_agg(format('%I => %s', o.name, CASE WHEN o.n = f.n THEN 'NULL' ELSE o.ordinary END), ', ' ORDER BY o.n)
		FROM argument o WHERE o.oid = f.oid AND (o.n = f.n OR NOT o.optional)))) s
WHERE f.standing IS NULL OR f.standing NOT LIKE 'NULL%';
SELECT cmp_ok(count(DISTINCT function), '>=', 60::bigint, 'there are many functions') FROM result;
SELECT is_empty('SELECT * FROM result WHERE state <> ''22023'' AND NOT EXISTS (SELECT FROM means m WHERE (m.function, m.argument) = (result.function, result.argument))', 'NULL is refused');
-- those with arguments that are wrong here as well, or do not go together
SELECT is_empty($$SELECT * FROM result WHERE state = '22023' AND (detail::jsonb ->> 'argument') IS DISTINCT FROM argument
	AND function NOT IN ('ack_events', 'seek_subscription', 'update_delivery', 'reserve_user')$$, 'by the name of the argument');
SELECT is_empty('SELECT m.function, m.argument FROM means m EXCEPT SELECT r.function, r.argument FROM result r WHERE r.state <> ''22023''', 'but where it means something');
SELECT * FROM finish();
